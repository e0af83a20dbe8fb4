//! Outputs: where records go. With `source` one of the two ends that do I/O.
//!
//! A [`Listener`] yields a [`Stream`] for each reader that comes; standard output and files
//! are streams from the start. A stream is one run of header, whole records and trailer.

mod admission;
pub mod board;
#[cfg(target_os = "linux")]
pub mod fifo;
pub mod file;
pub mod file_set;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(windows)]
pub mod named_pipe;
#[cfg(all(target_os = "linux", feature = "nats"))]
pub mod nats;
#[cfg(target_os = "linux")]
mod ownership;
pub mod permissions;
pub mod pipe;
pub mod post_rotate;
pub mod report_file;
pub mod tcp;
pub mod trail;
#[cfg(target_os = "linux")]
mod unix_path;
#[cfg(target_os = "linux")]
pub mod unix_socket;
pub mod viewer;

use crate::error::Error;
use crate::sys::{Shortage, Sink, files};
use crate::time::{MonoClock, Timestamp};
use permissions::Permissions;
use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trail::Trail;

/// Whether a link at this path may be followed: not where everybody may put one, as in /tmp, unless
/// it is the user's or the directory owner's, which nobody else can replace there.
///
/// # Errors
/// When there is a link of somebody else.
fn may_follow(path: &Path) -> Result<bool, Error> {
    files::may_follow(path).ok_or_else(|| {
        Error::new(path.display(), "is another user's symlink in a world-writable directory")
            .hint("choose another path, or a directory that only you can write to")
    })
}

/// A place that readers open by its path: a FIFO, or on Windows a named pipe.
///
/// # Errors
/// When it cannot be made.
#[cfg(target_os = "linux")]
pub fn fifo(path: &Path, permissions: Permissions) -> Result<Box<dyn Listener>, Error> {
    Ok(Box::new(fifo::Fifo::listen(path, permissions)?))
}

#[allow(missing_docs, clippy::missing_errors_doc)] // as above
#[cfg(windows)]
pub fn fifo(path: &Path, _permissions: Permissions) -> Result<Box<dyn Listener>, Error> {
    Ok(Box::new(named_pipe::NamedPipe::listen(path)?))
}

#[allow(missing_docs, clippy::missing_errors_doc)] // as above
#[cfg(not(any(target_os = "linux", windows)))]
pub fn fifo(path: &Path, _permissions: Permissions) -> Result<Box<dyn Listener>, Error> {
    Err(not_here(path, "FIFOs"))
}

/// A Unix socket.
///
/// # Errors
/// When it cannot be made.
#[cfg(target_os = "linux")]
pub fn unix_socket(path: &Path, permissions: Permissions) -> Result<Box<dyn Listener>, Error> {
    Ok(Box::new(unix_socket::UnixSocket::listen(path, permissions)?))
}

#[allow(missing_docs, clippy::missing_errors_doc)] // as above
#[cfg(not(target_os = "linux"))]
pub fn unix_socket(path: &Path, _permissions: Permissions) -> Result<Box<dyn Listener>, Error> {
    Err(not_here(path, "Unix sockets"))
}

/// What is said of an output that this system has not.
#[cfg(not(target_os = "linux"))]
fn not_here(path: &Path, what: &str) -> Error {
    Error::new(path.display(), format!("serialshark makes no {what} on this system"))
        .hint("use --tcp PORT, or a file: -w FILE")
}

/// Accepts readers. `accept`, `watch_path` and `stop` are called from a thread each.
pub trait Listener: Send + Sync {
    /// Blocks until a reader comes; `None` once [`stop`](Self::stop) was called.
    ///
    /// # Errors
    /// When no reader can come any more.
    fn accept(&self) -> Result<Option<Stream>, Error>;

    /// Blocks until [`stop`](Self::stop) is called, and meanwhile keeps the place in order
    /// where readers come in.
    fn watch_path(&self);

    /// Makes `accept` and `watch_path` return, now and from now on.
    fn stop(&self);

    /// What to call it in a message.
    fn name(&self) -> &str;

    /// A command that makes Wireshark its reader.
    fn how_to_read(&self) -> &str;
}

/// Where a stream's octets go.
#[derive(Debug)]
enum StreamEnd {
    /// To a reader.
    Sink(Sink),
    /// Into a file: never full, never without a reader.
    File(file::Disk),
}

/// One reader, or one file: takes octets until it is closed or its reader leaves.
#[derive(Debug)]
pub struct Stream {
    name: String,
    end: StreamEnd,
    /// Octets written so far.
    written: u64,
    /// The last packets alone, of so much time, instead of all that come.
    last: Option<Duration>,
    /// The port whose packets alone it has; all have theirs otherwise.
    port: Option<usize>,
    /// Dropped with the stream, to tell its listener.
    _lease: Option<Box<dyn Any + Send>>,
}

impl Stream {
    /// A reader, and what is dropped with its stream.
    fn new(name: &str, sink: Sink, lease: Option<Box<dyn Any + Send>>) -> Self {
        Self {
            name: name.to_owned(),
            end: StreamEnd::Sink(sink),
            written: 0,
            last: None,
            port: None,
            _lease: lease,
        }
    }

    /// A file.
    fn file(name: &str, disk: file::Disk) -> Self {
        Self {
            name: name.to_owned(),
            end: StreamEnd::File(disk),
            written: 0,
            last: None,
            port: None,
            _lease: None,
        }
    }

    /// One that ends when it has what is known of so much time.
    #[cfg(feature = "http")]
    fn of_last(self, last: Duration) -> Self {
        Self { last: Some(last), ..self }
    }

    /// Of how much time it is to have the last packets, and then to end; `None` goes on.
    pub fn last(&self) -> Option<Duration> {
        self.last
    }

    /// One of a single port, that of this number.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    fn of_port(self, port: Option<usize>) -> Self {
        Self { port, ..self }
    }

    /// The port whose packets alone it has, if there is one.
    pub fn port(&self) -> Option<usize> {
        self.port
    }

    /// What to call it in a message.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Octets written so far; of a rotating output, to this file.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The largest run of whole records for one write, which is to go out entirely or not at
    /// all.
    pub fn largest_write(&self) -> usize {
        match &self.end {
            StreamEnd::Sink(sink) => sink.largest_write(),
            StreamEnd::File(_) => 64 * 1024,
        }
    }

    /// Whether [`write`](Self::write) never waits, not for a disk either.
    pub fn is_nonblocking(&self) -> bool {
        match &self.end {
            StreamEnd::Sink(sink) => sink.is_nonblocking(),
            StreamEnd::File(_) => false,
        }
    }

    /// Its reader, if it has one, whose going can be waited for.
    pub fn sink(&self) -> Option<&Sink> {
        match &self.end {
            StreamEnd::Sink(sink) => Some(sink),
            StreamEnd::File(_) => None,
        }
    }

    /// Writes what fits without waiting and returns how much that is.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits, `BrokenPipe` when the reader has gone, others when a
    /// file cannot be written; a file then ends with the last write that succeeded.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let len = match &mut self.end {
            StreamEnd::Sink(sink) => sink.write(octets)?,
            StreamEnd::File(disk) => disk.write(octets)?,
        };
        self.written += len as u64;
        Ok(len)
    }

    /// When [`sync`](Self::sync) should be called, if octets wait for it.
    pub fn sync_due(&self) -> Option<Instant> {
        match &self.end {
            StreamEnd::File(disk) => disk.sync_due(),
            _ => None,
        }
    }

    /// Waits until what was written would survive a power cut, where there is such a thing.
    ///
    /// # Errors
    /// When the disk could not take it.
    pub fn sync(&mut self) -> io::Result<()> {
        match &mut self.end {
            StreamEnd::File(disk) => disk.sync(),
            _ => Ok(()),
        }
    }

    /// Whether it may take octets again after this error, and [`write`](Self::write) or
    /// [`next`](Self::next) be tried once more.
    pub fn is_short(&self, error: &io::Error) -> bool {
        match (&self.end, Shortage::of(error)) {
            (StreamEnd::File(disk), Some(_)) => disk.is_regular,
            (_, Some(shortage)) => shortage == Shortage::System,
            (_, None) => false,
        }
    }

    /// From now on it leaves a trail by which its files can be read, if they are files.
    pub fn leave_trail(&mut self, now: Timestamp) -> Option<Arc<Trail>> {
        match &mut self.end {
            StreamEnd::File(disk) => disk.leave_trail(now),
            StreamEnd::Sink(_) => None,
        }
    }

    /// All packets up to this number, counted from the first, are written, or could not be.
    pub fn reach(&self, packets: u64, clock: &MonoClock) {
        if let StreamEnd::File(file::Disk { trail: Some(trail), .. }) = &self.end {
            trail.reach(self.written, packets, clock);
        }
    }

    /// Whether there are further streams of the same output.
    pub fn rotates(&self) -> bool {
        matches!(&self.end, StreamEnd::File(file::Disk { set: Some(_), .. }))
    }

    /// Whether this stream should end, and the next begin, before `more` octets are written.
    pub fn is_complete(&self, more: usize, clock: &MonoClock) -> bool {
        match &self.end {
            StreamEnd::File(file::Disk { set: Some(set), .. }) => {
                set.is_complete(self.written + more as u64, clock)
            }
            _ => false,
        }
    }

    /// Becomes the next stream of the same output; to be called with the trailer written.
    ///
    /// # Errors
    /// When the next file cannot be made.
    pub fn next(&mut self, now: Timestamp) -> io::Result<()> {
        if let StreamEnd::File(disk) = &mut self.end
            && disk.next(now)?
        {
            self.written = 0;
        }
        Ok(())
    }
}
