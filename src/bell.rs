//! A bell that wakes threads blocked in `poll` or `epoll`.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// An eventfd. Rung once, it stays readable: whoever waits level-triggered sees it for ever
/// (right for "stop"), whoever waits edge-triggered sees each ring once.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A bell that has not been rung.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Waits until it is rung, or `timeout` has passed.
    pub fn wait(&self, timeout: Duration) {
        let timeout = Timespec::try_from(timeout).ok();
        // Woken early by a signal, the caller comes back the sooner.
        let _ = poll(&mut [PollFd::new(self, PollFlags::IN)], timeout.as_ref());
    }

    /// Wakes whoever waits. Never blocks.
    pub fn ring(&self) {
        // The only failure is a counter at 2^64 - 2, and then it is readable anyway.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
