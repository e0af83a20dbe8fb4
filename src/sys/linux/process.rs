//! Programs that we start: their end, and how they are asked for it.

use crate::sys::Waker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::Duration;

/// A program that was started, beside its [`Child`]: by a descriptor that names no other one, ever.
#[derive(Debug)]
pub struct Program(OwnedFd);

impl Program {
    /// That of this child.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn of(child: &Child) -> io::Result<Self> {
        Ok(Self(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?))
    }

    /// Waits until it has ended; `false` when the waker is woken first.
    pub fn ends_before(&self, stop: &Waker) -> bool {
        loop {
            let mut fds = [PollFd::new(&self.0, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
            if poll(&mut fds, None).is_ok() {
                return !fds[0].revents().is_empty();
            } // else a signal
        }
    }

    /// Waits until it has ended; `false` when `time` has passed first.
    pub fn ends_within(&self, time: Duration) -> bool {
        let timeout = Timespec::try_from(time).ok();
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        let _ = pidfd_send_signal(&self.0, Signal::TERM);
    }
}
