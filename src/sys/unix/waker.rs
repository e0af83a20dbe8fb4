//! Wakes threads that are blocked in `poll`, where there is no eventfd.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A pipe. Woken once, it stays readable: whoever waits sees it for ever.
#[derive(Debug)]
pub struct Waker {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Waker {
    /// One that has not been woken.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
        rustix::io::ioctl_fionbio(&reader, true)?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        Ok(Self { reader, writer })
    }

    /// Waits until it is woken, or `timeout` has passed; tells whether it is woken.
    pub fn wait(&self, timeout: Duration) -> bool {
        let timeout = Timespec::try_from(timeout).ok();
        // Woken early by a signal, the caller comes back the sooner.
        poll(&mut [PollFd::new(self, PollFlags::IN)], timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Wakes whoever waits. Never blocks.
    pub fn wake(&self) {
        // The only failure is a full pipe, and then it is readable anyway.
        let _ = rustix::io::write(&self.writer, &[1]);
    }

    /// Forgets that it was woken.
    pub fn clear(&self) {
        let mut octets = [0; 512];
        while rustix::io::read(&self.reader, &mut octets).is_ok_and(|len| len > 0) {}
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
