//! Standard output and capture files.
//!
//! A capture file is on the disk a second after its packets came: the kernel has octets as
//! soon as the queue is empty, and is told to write them out ([`SYNC_AFTER`]) as long as there
//! are new ones. A file that gets nothing wakes nobody.

use super::ring::{Limits, Ring};
use super::shortage::is_full;
use super::{Kind, Stream, may_follow};
use crate::copier::Copier;
use crate::error::Error;
use crate::packet::Timestamp;
use rustix::fs::{FlockOperation, Mode, OFlags, SeekFrom, flock, seek};
use rustix::io::Errno;
use std::any::Any;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// The device numbers of pseudo-terminals, of which sysfs says nothing.
const UNIX98_SLAVES: std::ops::RangeInclusive<u32> = 136..=143;
/// How long an octet may be in the kernel's memory only. Writing it out takes time too, and
/// together they should stay near a second.
const SYNC_AFTER: Duration = Duration::from_millis(900);
/// How long a terminal may take at the end for what it was given.
const MOMENT: Duration = Duration::from_millis(300);

/// Standard output as a stream of records (`binary`) or of lines.
///
/// # Errors
/// When records would go to a terminal.
pub fn stdout(binary: bool) -> Result<Stream, Error> {
    let stdout = io::stdout();
    if binary && stdout.is_terminal() {
        return Err(Error::new("standard output", "is a terminal, which cannot show packets")
            .hint("pipe it: serialshark ... -w - | tshark -r -  (or leave out -w to see a line per packet)"));
    }
    let cannot = |e| Error::new("standard output", "cannot write").because(e);
    let fd = stdout.as_fd().try_clone_to_owned().map_err(cannot)?;
    let is_file = File::from(fd.try_clone().map_err(cannot)?)
        .metadata()
        .is_ok_and(|metadata| metadata.is_file());
    let mut lease: Option<Box<dyn Any + Send>> = None;
    let (fd, kind) = match own_pipe(&fd) {
        _ if is_file => (fd, Kind::File(Disk { is_regular: true, ..Disk::new(binary) })),
        Some(own) => (own, Kind::Pipe),
        // Another user's, as after su.
        None if stdout.is_terminal() => {
            let (pipe, copier) = Copier::start("stdout", fd).map_err(cannot)?;
            lease = Some(Box::new(Terminal(Some(copier))));
            (pipe, Kind::Pipe)
        }
        None => (fd, Kind::Shared),
    };
    let name = "standard output".to_owned();
    Ok(Stream { name, fd, kind, latch: None, written: 0, _lease: lease })
}

/// A terminal that blocks, perhaps for ever. Dropped when the pipe to it is closed: then it has a
/// moment to take the last lines.
struct Terminal(Option<Copier>);

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(copier) = self.0.take() {
            copier.finish(MOMENT);
        }
    }
}

/// The same pipe or terminal opened once more, so that it need not block: the descriptor that
/// we were given must stay as it is for other programs. Not possible for a socket.
fn own_pipe(fd: &OwnedFd) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// Sees that a capture file may be made here, and changes nothing yet.
///
/// # Errors
/// When there is one that is not empty, without `force`, or something that is no file.
pub fn check(path: &Path, force: bool) -> Result<(), Error> {
    let name = path.display();
    if let Ok(metadata) = path.metadata() {
        if metadata.file_type().is_fifo() {
            return Err(Error::new(&name, "is a FIFO").hint(format!("use --fifo {name}")));
        }
        if is_tty(&metadata) {
            return Err(Error::new(&name, "is a terminal or a serial port")
                .hint("packets are not for a bus; name a file"));
        }
        if metadata.is_file() && metadata.len() > 0 && !force {
            return Err(Error::new(name, "exists and is not empty")
                .hint("choose another name, or add --force to overwrite it"));
        }
    }
    Ok(())
}

/// Whether this is a tty, which is not opened for it: that alone moves a serial port's lines.
fn is_tty(metadata: &Metadata) -> bool {
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let subsystem = Path::new("/sys/dev/char").join(format!("{major}:{minor}/subsystem"));
    metadata.file_type().is_char_device()
        && (UNIX98_SLAVES.contains(&major)
            || subsystem.read_link().is_ok_and(|subsystem| subsystem.ends_with("tty")))
}

/// A new capture file. An existing one that is not empty is replaced only with `force`.
///
/// # Errors
/// When it exists, or cannot be made.
pub fn create(path: &Path, force: bool) -> Result<Stream, Error> {
    check(path, force)?;
    let name = path.display().to_string();
    let no_follow = if may_follow(path)? { OFlags::empty() } else { OFlags::NOFOLLOW };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o660)
        .custom_flags(no_follow.bits().cast_signed())
        .open(path)
        .map_err(|error| Error::new(&name, "cannot write").because(error))?;
    let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_regular {
        // Before it is emptied: another serialshark may be writing it.
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        if locked == Err(Errno::WOULDBLOCK) {
            return Err(Error::new(&name, "is being written by another program")
                .hint("choose another name, or end the other serialshark"));
        }
        file.set_len(0).map_err(|error| Error::new(&name, "cannot write").because(error))?;
    }
    let disk = Disk {
        is_regular,
        directory: path.parent().and_then(|parent| {
            let parent = if parent == Path::new("") { Path::new(".") } else { parent };
            File::open(parent).ok().map(OwnedFd::from)
        }),
        ..Disk::new(is_regular)
    };
    let (fd, kind) = (OwnedFd::from(file), Kind::File(disk));
    Ok(Stream { name, fd, kind, latch: None, written: 0, _lease: None })
}

/// The first of a row of capture files that take turns.
///
/// # Errors
/// When it cannot be made.
pub fn rotating(path: &Path, limits: Limits, now: Timestamp) -> Result<Stream, Error> {
    let (ring, fd) = Ring::open(path, limits, now)?;
    let directory = ring.directory().try_clone().ok();
    let kind = Kind::File(Disk {
        is_regular: true,
        directory,
        ring: Some(Box::new(ring)),
        ..Disk::new(true)
    });
    let name = path.display().to_string();
    Ok(Stream { name, fd, kind, latch: None, written: 0, _lease: None })
}

/// How many complete files may wait for [`Disk::sync`]: far fewer than a program may have open.
const WAITING: usize = 128;

/// What a file has beside its descriptor.
#[derive(Debug)]
pub(super) struct Disk {
    /// Whether it is a regular file of records, which a power cut should spare.
    durable: bool,
    /// Whether it is a regular file: only for that a full disk may have room again.
    pub(super) is_regular: bool,
    /// Since when there are octets that a power cut would cost.
    unsynced_since: Option<Instant>,
    /// Where its name is, until that is on the disk too.
    directory: Option<OwnedFd>,
    /// Complete files that are not on the disk yet. Together they take little longer than one,
    /// so that small files on a busy line do not keep the writer waiting for each.
    waiting: Vec<OwnedFd>,
    /// The files that it takes turns with.
    pub(super) ring: Option<Box<Ring>>,
}

impl Disk {
    fn new(durable: bool) -> Self {
        Self {
            durable,
            is_regular: false,
            unsynced_since: None,
            directory: None,
            waiting: Vec::new(),
            ring: None,
        }
    }

    /// Writes all of `octets`, or nothing. A full disk costs a
    /// ring its oldest files first.
    pub(super) fn write(&mut self, fd: &OwnedFd, octets: &[u8]) -> io::Result<usize> {
        if let Some(ring) = &mut self.ring {
            ring.begin();
        }
        let mut len = 0;
        while len < octets.len() {
            match rustix::io::write(fd, &octets[len..]) {
                Ok(count) => len += count,
                Err(Errno::INTR) => {}
                Err(errno) if is_full(errno) && self.make_room() => {}
                Err(errno) => {
                    // Exactly what this call has put there, whoever wrote before it.
                    // Best effort: a device has no length to cut back.
                    if len > 0
                        && let Ok(start) = seek(fd, SeekFrom::Current(-(len as i64)))
                    {
                        let _ = rustix::fs::ftruncate(fd, start);
                    }
                    return Err(errno.into());
                }
            }
        }
        if self.durable && len > 0 {
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        Ok(len)
    }

    /// When [`sync`](Self::sync) should be called, if at all.
    pub(super) fn sync_due(&self) -> Option<Instant> {
        let after = if self.waiting.len() < WAITING { SYNC_AFTER } else { Duration::ZERO };
        Some(self.unsynced_since? + after)
    }

    /// Waits until all octets are on the disk.
    pub(super) fn sync(&mut self, fd: &OwnedFd) -> io::Result<()> {
        if self.unsynced_since.take().is_none() {
            return Ok(());
        }
        // All of them, whatever became of the first.
        let complete = self.write_out_waiting();
        write_out(fd).and(complete)?;
        if let Some(directory) = self.directory.take() {
            // Best effort: not every file system can, and most need not.
            let _ = rustix::fs::fsync(directory);
        }
        Ok(())
    }

    /// Opens the next file of the ring, if it is one; the current one is complete.
    pub(super) fn next(&mut self, now: Timestamp) -> io::Result<Option<OwnedFd>> {
        while let Some(ring) = &mut self.ring {
            let next = ring.next(now);
            self.directory = ring.directory().try_clone().ok();
            match next {
                Err(errno) if is_full(errno) && self.make_room() => {}
                // Complete files have descriptors too.
                Err(Errno::MFILE | Errno::NFILE) if !self.waiting.is_empty() => {
                    self.write_out_waiting()?;
                }
                next => return Ok(Some(next?)),
            }
        }
        Ok(None)
    }

    /// Takes a complete file, which [`sync`](Self::sync) closes.
    pub(super) fn retire(&mut self, complete: OwnedFd) {
        if self.unsynced_since.is_some() {
            self.waiting.push(complete);
        }
    }

    fn write_out_waiting(&mut self) -> io::Result<()> {
        self.waiting.drain(..).map(|fd| write_out(&fd)).fold(Ok(()), Result::and)
    }

    /// Deletes a file of the ring; `false` if that cannot be.
    fn make_room(&mut self) -> bool {
        // A file that is deleted takes room until it is closed, and may be among these.
        // Best effort: room is what is needed most.
        let _ = self.write_out_waiting();
        self.ring.as_mut().is_some_and(|ring| ring.make_room())
    }
}

fn write_out(fd: &OwnedFd) -> io::Result<()> {
    match rustix::fs::fdatasync(fd) {
        // A file system that knows no such thing.
        Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::ROFS) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
