//! When the program ends, and how much is still written then: what the main thread makes of events.

use super::event::Event;
use super::service::Service;
use crate::error::Error;
use crossbeam_channel::{Receiver, select};
use log::{Level, debug};

/// How much of what is queued is still written at the end.
#[derive(Clone, Copy, Debug)]
pub enum Drain {
    /// What can be within a grace period: somebody waits for the end.
    Quick,
    /// All: the input has ended, or there are as many packets as asked for.
    Complete,
    /// As little as with `Quick`, and then the capture begins anew: there are other ports.
    Anew,
}

/// What has to come before the end.
pub struct Shutdown {
    /// Outputs that take packets.
    pub outputs_left: usize,
    /// Ports that may bring some.
    pub ports_left: usize,
    /// Whether a port ends only because there are other ones now.
    pub follows: bool,
    /// What ended outputs while others went on: a failure in the end, and nobody may have read it.
    pub failed: Vec<Error>,
}

impl Shutdown {
    /// Handles events until there is a reason to end; meanwhile tells systemd how things stand.
    pub fn wait(&mut self, inbox: &Receiver<Event>, service: &Service<'_>) -> Result<Drain, Error> {
        loop {
            select! {
                recv(inbox) -> event => {
                    // Cannot fail: we hold a sender.
                    let Ok(event) = event else { return Ok(Drain::Quick) };
                    let failed = self.failed.len();
                    if let Some(end) = self.handle(event) {
                        return end;
                    }
                    if self.failed.len() > failed {
                        service.status(&self.failed);
                    }
                }
                recv(service.readers_changed) -> _ => service.status(&self.failed),
                recv(service.sign_of_life) -> _ => service.live(&self.failed),
                recv(service.live_line) -> _ => service.show(),
            }
        }
    }

    /// Whether this is a reason to end.
    pub fn handle(&mut self, event: Event) -> Option<Result<Drain, Error>> {
        match event {
            Event::Signal(signal) => {
                debug!("{signal:?} signal: shutdown");
                Some(Ok(Drain::Quick))
            }
            Event::ViewersRead => None,
            Event::ViewerEnded(end) => Some(end.map(|()| Drain::Quick)),
            Event::CountReached => Some(Ok(Drain::Complete)),
            Event::PortEnded if self.follows => Some(Ok(Drain::Anew)),
            Event::PortEnded => {
                self.ports_left = self.ports_left.saturating_sub(1);
                (self.ports_left == 0).then_some(Ok(Drain::Complete))
            }
            Event::PortGone(error) | Event::NoThread(error) => Some(Err(error)),
            Event::Panicked(thread) => {
                Some(Err(Error::new(format!("the {thread} thread"), "has died")
                    .hint("this is a bug in serialshark; the message above says where")))
            }
            Event::OutputEnded(error) => {
                self.outputs_left = self.outputs_left.saturating_sub(1);
                match error {
                    Some(error) if self.outputs_left == 0 => return Some(Err(error)),
                    None if self.outputs_left == 0 => return Some(Ok(Drain::Quick)),
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

    /// There are no more packets: waits until `enough`, the program that shows them has ended, or a
    /// signal comes. Looks at `enough` after each event.
    ///
    /// # Errors
    /// When that program, or a thread, has failed.
    pub fn wait_for_viewers(
        &mut self,
        inbox: &Receiver<Event>,
        enough: impl Fn() -> bool,
    ) -> Result<Drain, Error> {
        while !enough() {
            let Ok(event) = inbox.recv() else { break };
            match event {
                Event::Signal(_) | Event::ViewerEnded(_) | Event::Panicked(_) => {
                    if let Some(end) = self.handle(event) {
                        return end;
                    }
                }
                _ => {}
            }
        }
        Ok(Drain::Complete)
    }

    /// What has failed by the end, if that was not the end itself.
    pub fn failure(&mut self) -> Option<Error> {
        (!self.failed.is_empty()).then(|| self.failed.swap_remove(0))
    }
}
