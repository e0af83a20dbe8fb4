//! Octets that are not live: a file, standard input, a FIFO that somebody else writes.
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
use crate::bell::Bell;
use crate::error::Error;
use crate::packet::{Clock, Timestamp};
use log::{Level, warn};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// As much as is read before its frames are handed on.
const BUFFER: usize = 64 * 1024;
/// Paced octets are delivered this often.
const PACE_NS: u64 = 20_000_000;

/// What a name stands for, as far as the file system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
pub fn kind(name: &str) -> Kind {
    let stat = if name == "-" {
        if rustix::termios::isatty(rustix::stdio::stdin()) {
            return Kind::Terminal;
        }
        rustix::fs::fstat(rustix::stdio::stdin())
    } else {
        rustix::fs::stat(name)
    };
    match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile) => Kind::Stored,
        Ok(FileType::Fifo) => Kind::Piped,
        Ok(FileType::Socket) if name != "-" => Kind::Socket,
        _ if name == "-" => Kind::Piped,
        _ => Kind::Other,
    }
}

/// Opens a file of any kind for reading; `-` is standard input.
pub(super) fn descriptor(name: &str) -> Result<OwnedFd, Error> {
    let cannot = |errno: Errno| Error::new(name, "cannot open").because(errno);
    if name == "-" {
        return rustix::stdio::stdin()
            .try_clone_to_owned()
            .map_err(|error| Error::new("standard input", "cannot read").because(error));
    }
    // Without O_NONBLOCK the open of a FIFO waits for a writer, deaf to the stop bell.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(name, flags, Mode::empty()).map_err(cannot)
}

/// A file of plain octets.
pub struct Stored {
    name: String,
    file: File,
    octet_ns: u64,
    paced: bool,
    clock: Clock,
    stop: Arc<Bell>,
    /// When the last octet delivered is off the wire.
    time: Timestamp,
    buffer: Box<[u8]>,
}

impl Stored {
    /// Octets of a line at `baud`; when `paced` no faster than they were on the line.
    pub fn new(
        name: &str,
        file: File,
        baud: u32,
        paced: bool,
        clock: Clock,
        stop: Arc<Bell>,
    ) -> Self {
        let octet_ns = 10_000_000_000 / u64::from(baud.max(1));
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
            match rustix::io::read(&self.file, &mut self.buffer[..]) {
                Ok(0) => return Input::Ended,
                Ok(len) => break len,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    Error::new(&self.name, "cannot read").because(errno).log(Level::Error);
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
    fd: OwnedFd,
    clock: Clock,
    stop: Arc<Bell>,
    buffer: Box<[u8]>,
}

impl Piped {
    /// Octets as they come.
    pub fn new(name: &str, fd: OwnedFd, clock: Clock, stop: Arc<Bell>) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { name: name.to_owned(), fd, clock, stop, buffer }
    }
}

impl Source for Piped {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        loop {
            match wait(Some(self.fd.as_fd()), deadline, &self.clock, &self.stop) {
                Woken::Stop => return Input::Stopped,
                Woken::Deadline => return Input::Silence(self.clock.now()),
                Woken::Ready => {}
            }
            // Once: standard input is shared with other programs and stays in blocking mode,
            // so that only the first read after `poll` is sure to return.
            match rustix::io::read(&self.fd, &mut self.buffer[..]) {
                Ok(0) => return Input::Ended,
                Ok(len) => {
                    let octets = &self.buffer[..len];
                    if record::looks_like_one(octets) {
                        warn!("{}: is a recording, read as plain octets; name its file", self.name);
                    }
                    return Input::Octets(octets, self.clock.now());
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => {
                    Error::new(&self.name, "cannot read").because(errno).log(Level::Error);
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
