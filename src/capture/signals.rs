//! The signals that the program heeds, and what each asks for. Windows has no signals: there
//! Ctrl-C is SIGINT, and Ctrl-Break, a console that is closed and the end of the session SIGTERM.
//!
//! - SIGINT, SIGTERM: the end. It has [`GRACE`], however many of them come meanwhile: a shell that
//!   closes its terminal, `timeout` and logind send two in a moment. One that comes later kills,
//!   whatever the program waits for.
//! - SIGHUP: the terminal was closed, and that is the end too; or somebody asks for the next files,
//!   where there are several, or a service is reloaded. What it was the kernel tells: a process
//!   whose terminal was hung up has none any more.
//! - SIGUSR1: the counters in the log.
//!
//! Of those that whoever started us ignores, only SIGHUP stays ignored, as nohup wants it. A
//! shell that starts a command in the background ignores SIGINT for it as well; but a capture
//! without its trailers helps nobody.

use super::GRACE;
use crate::sys::signals::{Closer, Inbox, die_by, has_terminal, survive_file_limits};
use crate::sys::{Signal, Waker};
use std::sync::Arc;
use std::time::Instant;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The end.
    End,
    /// The next file of each row of files, if there is one.
    NextFiles,
    /// The counters in the log.
    Counters,
}

/// The signals that were asked for.
pub struct Heeded {
    inbox: Inbox,
    /// Whether SIGHUP asks for the next files, if the terminal is still there.
    hangup_reloads: bool,
    /// Whether there was a terminal to be closed.
    had_terminal: bool,
}

/// Asks for the signals that mean something. With `hangup_reloads` there is something that SIGHUP begins anew.
///
/// # Errors
/// When the system does not let us.
pub fn handle(hangup_reloads: bool) -> std::io::Result<Heeded> {
    survive_file_limits()?;
    let inbox = Inbox::new(&Signal::ALL)?;
    Ok(Heeded { inbox, hangup_reloads, had_terminal: has_terminal() })
}

/// When the end was asked for first.
#[derive(Default)]
struct End(Option<Instant>);

impl End {
    /// Another signal asks for it: kills, if the first one has had its time. SIGHUP never does.
    fn hear(&mut self, signal: Signal) {
        let first = *self.0.get_or_insert_with(Instant::now);
        if signal != Signal::Hangup && first.elapsed() > GRACE {
            die_by(signal);
        }
    }
}

/// Rings the stop waker if the end is asked for while ports and outputs are opened, which may take as
/// long as a host takes to answer.
pub struct WhileOpening {
    closer: Closer,
    thread: std::thread::JoinHandle<bool>,
}

impl WhileOpening {
    /// From now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn new(stop: Arc<Waker>) -> std::io::Result<Self> {
        let inbox = Inbox::new(&[Signal::Interrupt, Signal::Terminate, Signal::Hangup])?;
        let closer = inbox.closer();
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut end = End::default();
            inbox.listen(|signal| {
                end.hear(signal);
                stop.wake();
            });
            end.0.is_some()
        })?;
        Ok(Self { closer, thread })
    }

    /// All is open, or could not be opened: whether the end was asked for meanwhile.
    pub fn finish(self) -> bool {
        self.closer.close();
        self.thread.join().unwrap_or(false)
    }
}

impl Heeded {
    /// Ends [`listen`](Self::listen).
    pub fn closer(&self) -> Closer {
        self.inbox.closer()
    }

    /// Hears the signals, until it is closed. Blocks.
    pub fn listen(self, mut hear: impl FnMut(Signal, Request)) {
        let mut end = End::default();
        let Self { inbox, hangup_reloads, had_terminal } = self;
        inbox.listen(|signal| {
            let closed = || had_terminal && !has_terminal();
            let meaning = meaning(signal, hangup_reloads && !closed());
            if meaning == Request::End {
                end.hear(signal);
            }
            hear(signal, meaning);
        });
    }
}

fn meaning(signal: Signal, hangup_reloads: bool) -> Request {
    match signal {
        Signal::User => Request::Counters,
        Signal::Hangup if hangup_reloads => Request::NextFiles,
        _ => Request::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_meanings() {
        assert_eq!(meaning(Signal::Hangup, false), Request::End);
        assert_eq!(meaning(Signal::Hangup, true), Request::NextFiles);
        assert_eq!(meaning(Signal::Terminate, true), Request::End);
        assert_eq!(meaning(Signal::User, true), Request::Counters);
    }
}
