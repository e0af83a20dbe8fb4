//! Wakes threads that are blocked in `poll` or `epoll`.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// An eventfd. Woken once, it stays readable: whoever waits level-triggered sees it for ever
/// (right for "stop"), whoever waits edge-triggered sees each wake once.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// One that has not been woken.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Waits until it is woken, or `timeout` has passed; tells whether it is woken.
    pub fn wait(&self, timeout: Duration) -> bool {
        let timeout = Timespec::try_from(timeout).ok();
        // Woken early by a signal, the caller comes back the sooner.
        poll(&mut [PollFd::new(self, PollFlags::IN)], timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Wakes whoever waits. Never blocks.
    pub fn wake(&self) {
        // The only failure is a counter at 2^64 - 2, and then it is readable anyway.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Forgets that it was woken.
    pub fn clear(&self) {
        // Fails if it was not.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
