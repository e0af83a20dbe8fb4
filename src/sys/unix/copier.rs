//! A descriptor that may block, behind a pipe that does not.
//!
//! A terminal that was stopped with Ctrl-S, a pager that nobody scrolls, a parent that does not
//! read: a write to them may take for ever, and cannot be called off. So whoever has something
//! for them writes into a pipe, which is non-blocking and bounded, and a thread copies from there.
//!
//! A file on a full disk is no different: the thread waits until there is room.
//!
//! That thread is the one exception to the rule that all are joined: while it is in such a write
//! nobody can end it. [`Copier::finish`] waits for it for a moment, and then leaves it to the
//! end of the process.

use crate::sys::Shortage;
use crate::sys::progress::{Mark, Progress, Worker};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// The most octets of a write that goes out entirely or not at all (`PIPE_BUF`).
pub const WHOLE_WRITE: usize = 4096;

/// How long a file is left alone that cannot be written for now.
const RETRY: Duration = Duration::from_secs(1);

/// A thread that copies from a pipe to a descriptor, in order.
#[derive(Debug)]
pub struct Copier {
    ended: Receiver<()>,
}

/// Where octets for a [`Copier`] go in. Closed when dropped.
#[derive(Debug)]
pub struct Inlet {
    pipe: OwnedFd,
    progress: Arc<Progress>,
}

impl Inlet {
    /// Takes up to [`WHOLE_WRITE`] octets, all or none; never waits.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room for them, others when they can no longer be copied.
    pub fn write(&self, octets: &[u8]) -> io::Result<()> {
        loop {
            match rustix::io::write(&self.pipe, octets) {
                Err(Errno::INTR) => {}
                written => return Ok(written.map(|len| self.progress.put(len))?),
            }
        }
    }

    /// All that has gone in, to wait until it is copied.
    pub fn mark(&self) -> Mark {
        self.progress.mark()
    }
}

impl From<Inlet> for OwnedFd {
    fn from(inlet: Inlet) -> Self {
        inlet.pipe
    }
}

impl Copier {
    /// Starts it. What is put into the inlet that it returns goes to `to`, until that takes nothing
    /// more: then the inlet takes nothing either.
    ///
    /// # Errors
    /// When there are no descriptors or threads left.
    pub fn start(name: &str, to: File) -> io::Result<(Inlet, Self)> {
        let (from, pipe) = io::pipe()?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        // Nothing is ever sent: that the sender is gone tells of the end.
        let (running, ended) = sync_channel(0);
        let (from, to) = (OwnedFd::from(from), OwnedFd::from(to));
        let progress = Arc::<Progress>::default();
        let worker = Worker(Arc::clone(&progress));
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || copy(running, &worker, from, to))?;
        Ok((Inlet { pipe: pipe.into(), progress }, Self { ended }))
    }

    /// Waits until all is copied, `moment` at most; tells whether it is. The inlet must be closed.
    pub fn finish(self, moment: Duration) -> bool {
        self.ended.recv_timeout(moment) == Err(RecvTimeoutError::Disconnected)
    }
}

/// The pipe is closed before its end is told: arguments go in reverse order.
fn copy(_running: SyncSender<()>, worker: &Worker, from: OwnedFd, to: OwnedFd) {
    let mut buffer = [0; WHOLE_WRITE];
    let is_file = is_file(&to);
    loop {
        match rustix::io::read(&from, &mut buffer) {
            Err(Errno::INTR) => {}
            Err(_) | Ok(0) => return,
            Ok(len) => {
                if write_all(&to, is_file, &buffer[..len]).is_err() {
                    return;
                }
                worker.done(len);
            }
        }
    }
}

fn write_all(to: impl AsFd, is_file: bool, mut octets: &[u8]) -> Result<(), Errno> {
    while !octets.is_empty() {
        match rustix::io::write(&to, octets) {
            Ok(count) => octets = &octets[count..],
            Err(Errno::INTR) => {}
            // Somebody else has made it non-blocking.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&to, PollFlags::OUT)], None);
            }
            Err(errno) if is_file && Shortage::of_errno(errno).is_some() => {
                std::thread::sleep(RETRY);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn is_file(fd: impl AsFd) -> bool {
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    const MOMENT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(30);

    fn copier() -> (io::PipeReader, Inlet, Copier) {
        let (read, to) = io::pipe().unwrap();
        let (inlet, copier) = Copier::start("copier", OwnedFd::from(to).into()).unwrap();
        (read, inlet, copier)
    }

    #[test]
    fn all_is_copied_in_order_before_it_ends() {
        let (mut read, inlet, copier) = copier();
        for line in ["one\n", "two\n"] {
            inlet.write(line.as_bytes()).unwrap();
            // It is in the pipe behind it then.
            assert!(inlet.mark().wait(LONG));
            let mut copied = vec![0; line.len()];
            rustix::io::ioctl_fionbio(&read, true).unwrap();
            read.read_exact(&mut copied).unwrap();
            assert_eq!(copied, line.as_bytes());
        }
        inlet.write(b"three\n").unwrap();
        drop(inlet);
        assert!(copier.finish(LONG));
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "three\n");
    }

    #[test]
    fn a_writer_never_waits_for_one_that_does_not_read() {
        let (read, inlet, copier) = copier();
        // More than fits the pipe behind it: 64 KiB and what the thread holds.
        let mut written = 0;
        while written < 80_000 {
            match inlet.write(&[0; WHOLE_WRITE]) {
                Ok(()) => written += WHOLE_WRITE,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    poll(&mut [PollFd::new(&inlet.pipe, PollFlags::OUT)], None).unwrap();
                }
            }
        }
        let mark = inlet.mark();
        assert!(!mark.wait(MOMENT));
        drop(inlet);
        assert!(!copier.finish(MOMENT), "is stuck in its write");
        // Nobody will ever take it.
        drop(read);
        assert!(mark.wait(LONG));
    }

    #[test]
    fn a_reader_that_left_is_seen_at_the_inlet() {
        let (read, inlet, copier) = copier();
        drop(read);
        inlet.write(b"nobody hears this").unwrap();
        assert!(copier.finish(LONG));
        assert_eq!(inlet.write(b"nor this").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
