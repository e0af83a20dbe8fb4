//! What threads tell the main thread: all that may be a reason to end.

use crate::error::Error;
use crate::sys::Signal;

/// What threads tell the main thread.
pub enum Event {
    /// A signal asks for the end.
    Signal(Signal),
    /// As many packets as asked for have been framed.
    CountReached,
    /// A port has no more octets.
    PortEnded,
    /// A port has vanished, and is not to be waited for.
    PortGone(Error),
    /// An output will take nothing more: with an error, or since its reader left.
    OutputEnded(Option<Error>),
    /// All programs that were started for it read by now.
    ViewersRead,
    /// The program that shows the packets has ended, and how.
    ViewerEnded(Result<(), Error>),
    /// A thread died.
    Panicked(&'static str),
    /// A thread could not be started.
    NoThread(Error),
}
