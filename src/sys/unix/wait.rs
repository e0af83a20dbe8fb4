//! Waiting for what can be read or written, and for a waker, in `poll`.

use crate::sys::Waker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// What can be waited for.
pub trait Waitable {
    /// It, and what it is waited for to have.
    fn awaited(&self) -> (BorrowedFd<'_>, PollFlags);
}

impl Waitable for super::net::Connecting {
    fn awaited(&self) -> (BorrowedFd<'_>, PollFlags) {
        (self.as_fd(), PollFlags::OUT)
    }
}

impl Waitable for super::net::Connection {
    fn awaited(&self) -> (BorrowedFd<'_>, PollFlags) {
        (self.as_fd(), PollFlags::IN)
    }
}

impl Waitable for Waker {
    fn awaited(&self) -> (BorrowedFd<'_>, PollFlags) {
        (self.as_fd(), PollFlags::IN)
    }
}

impl Waitable for super::pipe_reader::PipeReader {
    fn awaited(&self) -> (BorrowedFd<'_>, PollFlags) {
        (self.as_fd(), PollFlags::IN)
    }
}

/// Which of the things waited for came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It is ready, or hung up.
    Ready,
    /// The time is over.
    Timeout,
    /// The waker was woken.
    Stop,
    /// A signal came.
    Interrupted,
}

/// Waits for this, if there is anything, for so many nanoseconds, for ever if `None`; or for the
/// waker.
pub fn wait(what: Option<&dyn Waitable>, timeout_ns: Option<u64>, stop: &Waker) -> Woken {
    let timeout = timeout_ns.map(timespec);
    let mut both;
    let mut only;
    let fds: &mut [PollFd<'_>] = match what.map(Waitable::awaited) {
        Some((fd, readiness)) => {
            both = [PollFd::new(stop, PollFlags::IN), PollFd::from_borrowed_fd(fd, readiness)];
            &mut both
        }
        None => {
            only = [PollFd::new(stop, PollFlags::IN)];
            &mut only
        }
    };
    match poll(fds, timeout.as_ref()) {
        Ok(0) => Woken::Timeout,
        Ok(_) if !fds[0].revents().is_empty() => Woken::Stop,
        Ok(_) => Woken::Ready,
        Err(Errno::INTR) => Woken::Interrupted,
        // Not enough memory for the call: what waits is still there afterwards.
        Err(_) => Woken::Ready,
    }
}

/// A time as the kernel takes it.
pub(in crate::sys) fn timespec(ns: u64) -> Timespec {
    Timespec {
        tv_sec: (ns / 1_000_000_000).cast_signed(),
        tv_nsec: (ns % 1_000_000_000).cast_signed(),
    }
}
