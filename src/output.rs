//! Outputs: where records go. With `source` one of the two ends that do I/O.
//!
//! A [`Listener`] yields a [`Stream`] for each reader that comes; standard output and files
//! are streams from the start. A stream is one run of header, whole records and trailer.

mod entrance;
pub mod fifo;
pub mod file;
mod likeness;
pub mod pipe;
pub mod ring;
pub mod shortage;
pub mod socket;
mod unix_path;

use crate::error::Error;
use crate::packet::{Clock, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shortage::Shortage;
use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

/// Whether a link at this path may be followed: not where everybody may put one, as in /tmp, unless
/// it is the user's or the directory owner's, which nobody else can replace there.
///
/// The kernel has the same rule, but can be told to forget it, and does not hear of a link that
/// a program resolves by itself.
///
/// # Errors
/// When there is a link of somebody else.
fn may_follow(path: &Path) -> Result<bool, Error> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let Ok(directory) = parent.unwrap_or(Path::new(".")).metadata() else { return Ok(true) };
    if directory.mode() & 0o1002 != 0o1002 {
        return Ok(true);
    }
    match path.symlink_metadata() {
        Ok(link) if link.is_symlink() => {
            let us = rustix::process::geteuid().as_raw();
            if [us, directory.uid()].contains(&link.uid()) {
                return Ok(true);
            }
            Err(Error::new(path.display(), "is somebody else's link, in a directory for everybody")
                .hint("choose another name, or a directory of your own"))
        }
        _ => Ok(false),
    }
}

/// Accepts readers. `accept`, `tend` and `stop` are called from a thread each.
pub trait Listener: Send + Sync {
    /// Blocks until a reader comes; `None` once [`stop`](Self::stop) was called.
    ///
    /// # Errors
    /// When no reader can come any more.
    fn accept(&self) -> Result<Option<Stream>, Error>;

    /// Blocks until [`stop`](Self::stop) is called, and meanwhile keeps the place in order
    /// where readers come in.
    fn tend(&self);

    /// Makes `accept` and `tend` return, now and from now on.
    fn stop(&self);

    /// What to call it in a message.
    fn name(&self) -> &str;

    /// A command that makes Wireshark its reader.
    fn how_to_read(&self) -> &str;
}

/// How a stream's descriptor behaves.
#[derive(Debug)]
enum Kind {
    /// A pipe of our own, non-blocking.
    Pipe,
    /// A descriptor shared with other programs, which must stay in blocking mode.
    Shared,
    /// A connected stream socket of our own, non-blocking.
    Socket,
    /// A file: never full, never without a reader.
    File(file::Disk),
}

/// One reader, or one file: takes octets until it is closed or its reader leaves.
#[derive(Debug)]
pub struct Stream {
    name: String,
    fd: OwnedFd,
    kind: Kind,
    /// Readable once the reader has gone, where the descriptor itself may not tell.
    latch: Option<OwnedFd>,
    /// Octets written so far.
    written: u64,
    /// Dropped with the stream, to tell its listener.
    _lease: Option<Box<dyn Any + Send>>,
}

impl Stream {
    /// What to call it in a message.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The largest run of whole records for one write, which is to go out entirely or not at
    /// all. Pipes take up to `PIPE_BUF` octets like this. A socket that is ready has room for a
    /// third of its buffer at least, and this is less than a third of the smallest one.
    pub fn largest_write(&self) -> usize {
        match self.kind {
            Kind::Pipe | Kind::Shared => 4096,
            Kind::Socket => 8192,
            Kind::File(_) => 64 * 1024,
        }
    }

    /// Whether [`write`](Self::write) never waits, not for a disk either.
    pub fn is_swift(&self) -> bool {
        matches!(self.kind, Kind::Pipe | Kind::Socket)
    }

    /// Whether its reader's going can be waited for.
    pub fn watched(&self) -> Option<BorrowedFd<'_>> {
        (!matches!(self.kind, Kind::File(_))).then(|| self.fd.as_fd())
    }

    /// Whether its reader may say something, which is of no interest, but its going is.
    pub fn may_talk(&self) -> bool {
        matches!(self.kind, Kind::Socket)
    }

    /// Readable once the reader has gone, where `watched` may miss it.
    pub fn latch(&self) -> Option<BorrowedFd<'_>> {
        self.latch.as_ref().map(AsFd::as_fd)
    }

    /// Writes what fits without waiting and returns how much that is.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits, `BrokenPipe` when the reader has gone, others when a
    /// file cannot be written; a file then ends with the last write that succeeded.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let result = match &mut self.kind {
            Kind::Shared | Kind::Socket if !has_room(&self.fd)? => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Kind::Pipe | Kind::Shared | Kind::Socket => {
                rustix::io::write(&self.fd, octets).map_err(io::Error::from)
            }
            Kind::File(disk) => disk.write(&self.fd, octets),
        };
        if let Ok(len) = result {
            self.written += len as u64;
        }
        result
    }

    /// When [`sync`](Self::sync) should be called, if octets wait for it.
    pub fn sync_due(&self) -> Option<Instant> {
        match &self.kind {
            Kind::File(disk) => disk.sync_due(),
            _ => None,
        }
    }

    /// Waits until what was written would survive a power cut, where there is such a thing.
    ///
    /// # Errors
    /// When the disk could not take it.
    pub fn sync(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::File(disk) => disk.sync(&self.fd),
            _ => Ok(()),
        }
    }

    /// Whether it may take octets again after this error, and [`write`](Self::write) or
    /// [`next`](Self::next) be tried once more.
    pub fn is_short(&self, error: &io::Error) -> bool {
        match (&self.kind, Shortage::of_io(error)) {
            (Kind::File(disk), Some(_)) => disk.is_regular,
            (_, Some(shortage)) => shortage == Shortage::System,
            (_, None) => false,
        }
    }

    /// Whether there are further streams of the same output.
    pub fn takes_turns(&self) -> bool {
        matches!(&self.kind, Kind::File(file::Disk { ring: Some(_), .. }))
    }

    /// Whether this stream should end, and the next begin, before `more` octets are written.
    pub fn is_complete(&self, more: usize, clock: &Clock) -> bool {
        match &self.kind {
            Kind::File(file::Disk { ring: Some(ring), .. }) => {
                ring.is_complete(self.written + more as u64, clock)
            }
            _ => false,
        }
    }

    /// Becomes the next stream of the same output; to be called with the trailer written.
    ///
    /// # Errors
    /// When the next file cannot be made.
    pub fn next(&mut self, now: Timestamp) -> io::Result<()> {
        if let Kind::File(disk) = &mut self.kind
            && let Some(fd) = disk.next(now)?
        {
            self.written = 0;
            disk.retire(std::mem::replace(&mut self.fd, fd));
        }
        Ok(())
    }
}

fn has_room(fd: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(!fds[0].revents().is_empty())
}
