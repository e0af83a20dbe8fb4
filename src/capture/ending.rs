//! When the program ends, and in what haste: what the main thread makes of the news.

use super::service::Service;
use crate::error::Error;
use crossbeam_channel::{Receiver, select};
use log::{Level, debug};

/// What threads tell the main thread.
pub enum News {
    /// A signal asks for the end.
    Signal(i32),
    /// As many packets as asked for have been framed.
    CountReached,
    /// A port has no more octets.
    PortEnded,
    /// A port has vanished, and is not to be waited for.
    PortGone(Error),
    /// An output will take nothing more: with an error, or since its reader left.
    OutputEnded(Option<Error>),
    /// A thread died.
    Panicked(&'static str),
    /// A thread could not be started.
    NoThread(Error),
}

/// How to end.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Somebody waits for it.
    Quick,
    /// The input has ended, or there are as many packets as asked for: all are still wanted.
    Leisure,
}

/// What has to come before the end.
pub struct Ending {
    /// Outputs that take packets.
    pub outputs_left: usize,
    /// Ports that may bring some.
    pub ports_left: usize,
    /// What ended outputs while others went on: a failure in the end, and nobody may have read it.
    pub failed: Vec<Error>,
}

impl Ending {
    /// Hears the news until there is a reason to end; meanwhile tells systemd how things stand.
    pub fn wait(&mut self, inbox: &Receiver<News>, service: &Service<'_>) -> Result<Pace, Error> {
        loop {
            select! {
                recv(inbox) -> news => {
                    // Cannot fail: we hold a sender.
                    let Ok(news) = news else { return Ok(Pace::Quick) };
                    let failed = self.failed.len();
                    if let Some(end) = self.hear(news) {
                        return end;
                    }
                    if self.failed.len() > failed {
                        service.status(&self.failed);
                    }
                }
                recv(service.readers_changed) -> _ => service.status(&self.failed),
                recv(service.sign_of_life) -> _ => service.live(&self.failed),
            }
        }
    }

    /// Whether this is a reason to end.
    pub fn hear(&mut self, news: News) -> Option<Result<Pace, Error>> {
        match news {
            News::Signal(signal) => {
                debug!("signal {signal}: ending");
                Some(Ok(Pace::Quick))
            }
            News::CountReached => Some(Ok(Pace::Leisure)),
            News::PortEnded => {
                self.ports_left = self.ports_left.saturating_sub(1);
                (self.ports_left == 0).then_some(Ok(Pace::Leisure))
            }
            News::PortGone(error) | News::NoThread(error) => Some(Err(error)),
            News::Panicked(thread) => {
                Some(Err(Error::new(format!("the {thread} thread"), "has died")
                    .hint("this is a defect of serialshark; what it said above tells where")))
            }
            News::OutputEnded(error) => {
                self.outputs_left = self.outputs_left.saturating_sub(1);
                match error {
                    Some(error) if self.outputs_left == 0 => return Some(Err(error)),
                    None if self.outputs_left == 0 => return Some(Ok(Pace::Quick)),
                    Some(error) => {
                        error.log(Level::Error);
                        self.failed.push(error);
                    }
                    None => {}
                }
                None
            }
        }
    }

    /// What has failed by the end, if that was not the end itself.
    pub fn failure(&mut self) -> Option<Error> {
        (!self.failed.is_empty()).then(|| self.failed.swap_remove(0))
    }
}
