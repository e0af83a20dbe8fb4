//! Octets that are not live: a file, standard input, a FIFO that another program writes.
//!
//! None of them can be put off for lack of time, so nothing of them needs to be dropped: they
//! are read as fast as the open streams take their packets ([`Source::is_live`] is false).
//!
//! Plain octets have no times. Those of a file are dated as if they were on the wire without a
//! gap from the start of the program on: each takes its ten bits at the baud rate. Read as fast
//! as possible, such a capture runs ahead of the clock. Octets that come through a pipe are
//! dated when they arrive, as those of a serial port, since there may be one at its other end
//! (`socat ... | serialshark -`).

use super::{Input, Pace, Source, Woken, record, wait};
use crate::error::Error;
use crate::line::Line;
use crate::sys::{Waker, files, pipe_reader::PipeReader, stdio};
use crate::time::{MonoClock, Timestamp};
use log::{Level, warn};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;

/// As much as is read before its frames are handed on.
const BUFFER: usize = 64 * 1024;
/// Paced octets are delivered this often.
const PACE_NS: u64 = 20_000_000;

/// What a name stands for, as far as the file system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file, or standard input that is one.
    Stored,
    /// A pipe, a FIFO, a socket or a device on standard input.
    Piped,
    /// Standard input that is a terminal.
    Terminal,
    /// A socket with a path.
    Socket,
    /// None of them: a serial port, or nothing.
    Other,
}

/// What this name stands for.
pub fn kind(name: &OsStr) -> FileKind {
    if name == "-" {
        if io::stdin().is_terminal() {
            return FileKind::Terminal;
        }
        let metadata = stdio::stdin().and_then(|stdin| stdin.metadata());
        let is_stored = metadata.is_ok_and(|metadata| metadata.is_file());
        return if is_stored { FileKind::Stored } else { FileKind::Piped };
    }
    if files::is_device(name) {
        return FileKind::Other;
    }
    match Path::new(name).metadata() {
        Ok(metadata) if metadata.is_file() => FileKind::Stored,
        Ok(metadata) if files::is_fifo(&metadata) => FileKind::Piped,
        Ok(metadata) if files::is_socket(&metadata) => FileKind::Socket,
        _ => FileKind::Other,
    }
}

/// Opens a file of any kind for reading; `-` is standard input.
pub(super) fn open(name: &OsStr) -> Result<File, Error> {
    if name == "-" {
        let cannot = |error| Error::new("standard input", "cannot read").because(error);
        return stdio::stdin().map_err(cannot);
    }
    files::reading(Path::new(name))
        .map_err(|error| Error::new(name.display(), "cannot open").because(error))
}

/// A file of plain octets.
pub struct Stored {
    name: String,
    file: File,
    octet_ns: u64,
    paced: bool,
    clock: MonoClock,
    stop: Arc<Waker>,
    /// When the last octet delivered is off the wire.
    time: Timestamp,
    buffer: Box<[u8]>,
}

impl Stored {
    /// Octets of a line at `baud`; when `paced` no faster than they were on the line.
    pub fn new(
        name: &str,
        file: File,
        line: Line,
        paced: bool,
        clock: MonoClock,
        stop: Arc<Waker>,
    ) -> Self {
        let octet_ns = line.octet_ns();
        let len =
            if paced { (PACE_NS / octet_ns.max(1)).clamp(1, BUFFER as u64) } else { BUFFER as u64 };
        let buffer = vec![0; len as usize].into_boxed_slice();
        let time = clock.now();
        Self { name: name.to_owned(), file, octet_ns, paced, clock, stop, time, buffer }
    }
}

impl Source for Stored {
    fn read(&mut self, _deadline: Option<Timestamp>) -> Input<'_> {
        let len = loop {
            match self.file.read(&mut self.buffer) {
                Ok(0) => return Input::Ended,
                Ok(len) => break len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    Error::new(&self.name, "cannot read").because(error).log(Level::Error);
                    return Input::Ended;
                }
            }
        };
        self.time = self.time.plus_ns(len as u64 * self.octet_ns);
        let due = if self.paced { self.time } else { self.clock.now() };
        if wait(None, Some(due), &self.clock, &self.stop) == Woken::Stop {
            return Input::Stopped;
        }
        Input::Octets(&self.buffer[..len], self.time)
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn write(&mut self, _octets: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn pace(&self) -> Pace {
        if self.paced { Pace::Paced } else { Pace::Stored }
    }

    fn is_live(&self) -> bool {
        false
    }
}

/// A pipe of plain octets.
pub struct Piped {
    name: String,
    pipe: PipeReader,
    clock: MonoClock,
    stop: Arc<Waker>,
    buffer: Box<[u8]>,
}

impl Piped {
    /// Octets as they come.
    ///
    /// # Errors
    /// When there is no room for a thread that reads, where one is needed.
    pub fn open(name: &str, file: File, clock: MonoClock, stop: Arc<Waker>) -> Result<Self, Error> {
        let cannot = |error| Error::new(name, "cannot read").because(error);
        let pipe = PipeReader::new(file).map_err(cannot)?;
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Ok(Self { name: name.to_owned(), pipe, clock, stop, buffer })
    }
}

impl Source for Piped {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        loop {
            match wait(Some(&self.pipe), deadline, &self.clock, &self.stop) {
                Woken::Stop => return Input::Stopped,
                Woken::Timeout => return Input::Silence(self.clock.now()),
                Woken::Ready | Woken::Interrupted => {}
            }
            // Once: standard input is shared with other programs and stays in blocking mode,
            // so that only the first read after `poll` is sure to return.
            match self.pipe.read(&mut self.buffer) {
                Ok(0) => return Input::Ended,
                Ok(len) => {
                    let octets = &self.buffer[..len];
                    if record::looks_like_one(octets) {
                        warn!(
                            "{}: is a recording, but read as plain bytes; name the file instead",
                            self.name
                        );
                    }
                    return Input::Octets(octets, self.clock.now());
                }
                Err(error)
                    if [ErrorKind::Interrupted, ErrorKind::WouldBlock].contains(&error.kind()) => {}
                Err(error) => {
                    Error::new(&self.name, "cannot read").because(error).log(Level::Error);
                    return Input::Ended;
                }
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn write(&mut self, _octets: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_live(&self) -> bool {
        false
    }
}
