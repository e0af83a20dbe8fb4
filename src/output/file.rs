//! Standard output and capture files.
//!
//! A capture file is on the disk a second after its packets came: the kernel has octets as
//! soon as the queue is empty, and is told to write them out ([`SYNC_AFTER`]) as long as there
//! are new ones. A file that gets nothing wakes nobody.

use super::file_set::{self, FileSet};
use super::permissions::Permissions;
use super::trail::Trail;
use super::{Stream, may_follow};
use crate::error::Error;
use crate::sys::copier::Copier;
use crate::sys::directory::Directory;
use crate::sys::{Shortage, Sink, files, is_full, shell, stdio};
use crate::time::Timestamp;
use log::info;
use std::any::Any;
use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    let name = "standard output";
    let given = stdio::stdout().map_err(cannot)?;
    if given.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(Stream::file(name, Disk { is_regular: true, ..Disk::new(given, binary) }));
    }
    let (sink, copier) = Sink::shared(given).map_err(cannot)?;
    let lease = copier.map(|copier| Box::new(Terminal(Some(copier))) as Box<dyn Any + Send>);
    Ok(Stream::new(name, sink, lease))
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

/// What becomes of a file that is there already and is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is kept, and nothing is written.
    Refuse,
    /// It is kept, and the new one gets the next number, as in `trunk_00002.pcapng`.
    Number,
    /// It is replaced.
    Replace,
}

/// Sees that a capture file may be made here, and changes nothing yet.
///
/// # Errors
/// When there is one that is to be kept, or something that is no file.
pub fn check(path: &Path, existing: Existing) -> Result<(), Error> {
    files::check_name(path)?;
    let name = path.display();
    if let Ok(metadata) = path.metadata() {
        if files::is_fifo(&metadata) {
            return Err(Error::new(&name, "is a FIFO")
                .hint(format!("use --fifo {}", shell::word(&path.to_string_lossy()))));
        }
        if files::is_tty(&metadata) {
            return Err(Error::new(&name, "is a terminal or a serial port")
                .hint("packets are never written to a bus; name a file"));
        }
        if existing == Existing::Refuse && has_something(path) {
            return Err(kept(path));
        }
    }
    Ok(())
}

fn has_something(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}

/// A new capture file or recording.
///
/// # Errors
/// When one that is to be kept exists, or it cannot be made.
pub fn create(path: &Path, existing: Existing, permissions: Permissions) -> Result<Stream, Error> {
    check(path, existing)?;
    if existing != Existing::Number {
        return match make(path, existing, permissions)? {
            Made::Stream(stream) => Ok(stream),
            Made::Locked => Err(Error::new(path.display(), "is being written by another program")
                .hint("choose another name, or end the other serialshark")),
            Made::Full => Err(kept(path)),
        };
    }
    let names = std::iter::once(path.to_owned());
    let numbered = (2..).map(|number| file_set::numbered(path, number));
    for name in names.chain(numbered).filter(|name| !has_something(name)) {
        // Whoever starts in the same moment may be quicker.
        if let Made::Stream(stream) = make(&name, existing, permissions)? {
            if name != path {
                info!("{} exists, and is kept: writing {}", path.display(), name.display());
            }
            return Ok(stream);
        }
    }
    Err(kept(path))
}

fn kept(path: &Path) -> Error {
    Error::new(path.display(), "exists and is not empty")
        .hint("choose another name, or add --force to overwrite it")
}

/// What came of making a file.
enum Made {
    Stream(Stream),
    /// Another program writes it.
    Locked,
    /// Another program has written it since it was looked at.
    Full,
}

/// Makes a file, or empties the one that is there.
fn make(path: &Path, existing: Existing, permissions: Permissions) -> Result<Made, Error> {
    let name = path.display().to_string();
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let cannot = |error: io::Error| {
        let kind = error.kind();
        let error = Error::new(&name, "cannot write").because(error);
        match (kind, parent) {
            (io::ErrorKind::NotFound, Some(parent)) => error.hint(files::how_to_make(parent)),
            _ if path.is_dir() => error.hint("name a file in it, such as trunk.pcapng"),
            (io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename, _) => {
                error.hint("choose another name: the system does not take this one")
            }
            _ => error,
        }
    };
    let mut options = files::writing(may_follow(path)?);
    let file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            if let Err(error) = permissions.give(&file) {
                let _ = std::fs::remove_file(path);
                return Err(permissions.refused(&name, error));
            }
            file
        }
        // A link to nothing is there as well, and what it leads to is made.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create(true).truncate(false).open(path).map_err(cannot)?
        }
        Err(error) => return Err(cannot(error)),
    };
    let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_regular {
        // Before it is emptied: another serialshark may be writing it.
        if !files::lock(&file) {
            return Ok(Made::Locked);
        }
        if existing != Existing::Replace && file.metadata().is_ok_and(|file| file.len() > 0) {
            return Ok(Made::Full);
        }
        file.set_len(0).map_err(cannot)?;
    }
    let directory = path.parent().and_then(|parent| {
        let parent = if parent == Path::new("") { Path::new(".") } else { parent };
        Directory::open(parent).ok()
    });
    let disk = Disk {
        path: is_regular.then(|| path.to_owned()),
        is_regular,
        directory,
        ..Disk::new(file, is_regular)
    };
    Ok(Made::Stream(Stream::file(&name, disk)))
}

/// The first of a row of capture files that take turns.
///
/// # Errors
/// When it cannot be made.
pub fn rotating(path: &Path, options: file_set::Options, now: Timestamp) -> Result<Stream, Error> {
    let (set, file) = FileSet::open(path, options, now)?;
    let disk = Disk {
        path: Some(set.path()),
        is_regular: true,
        directory: set.directory().try_clone().ok(),
        set: Some(Box::new(set)),
        ..Disk::new(file, true)
    };
    Ok(Stream::file(&path.display().to_string(), disk))
}

/// How many complete files may wait for [`Disk::sync`]: far fewer than a program may have open.
const WAITING: usize = 128;

/// A file, and what is to be done with it.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    /// Where it is, if that is known.
    path: Option<PathBuf>,
    /// What others can read it by.
    pub(super) trail: Option<Arc<Trail>>,
    /// Whether it is a regular file of records, which a power cut should spare.
    durable: bool,
    /// Whether it is a regular file: only for that a full disk may have room again.
    pub(super) is_regular: bool,
    /// Since when there are octets that a power cut would cost.
    unsynced_since: Option<Instant>,
    /// Where its name is, until that is on the disk too.
    directory: Option<Directory>,
    /// Complete files that are not on the disk yet. Together they take little longer than one,
    /// so that small files on a busy line do not keep the writer waiting for each.
    waiting: Vec<File>,
    /// The set that it is one of.
    pub(super) set: Option<Box<FileSet>>,
}

impl Disk {
    fn new(file: File, durable: bool) -> Self {
        Self {
            file,
            path: None,
            trail: None,
            durable,
            is_regular: false,
            unsynced_since: None,
            directory: None,
            waiting: Vec::new(),
            set: None,
        }
    }

    /// From now on others can read what is written.
    pub(super) fn leave_trail(&mut self, now: Timestamp) -> Option<Arc<Trail>> {
        let trail = Arc::<Trail>::default();
        trail.begin(self.path.clone()?, now);
        self.trail = Some(Arc::clone(&trail));
        Some(trail)
    }

    /// Writes all of `octets`, or nothing. A full disk costs a
    /// set its oldest files first.
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if let Some(set) = &mut self.set {
            set.begin();
        }
        let mut len = 0;
        while len < octets.len() {
            match self.file.write(&octets[len..]) {
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) && self.make_room() => {}
                Err(error) => {
                    // Exactly what this call has put there, whoever wrote before it.
                    // Best effort: a device has no length to cut back.
                    if len > 0
                        && let Ok(start) = self.file.seek(SeekFrom::Current(-(len as i64)))
                    {
                        let _ = self.file.set_len(start);
                    }
                    return Err(error);
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
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced_since.take().is_none() {
            return Ok(());
        }
        // All of them, whatever became of the first.
        let complete = self.write_out_waiting();
        write_out(&self.file).and(complete)?;
        if let Some(directory) = self.directory.take() {
            directory.sync();
        }
        Ok(())
    }

    /// Becomes the next file of the set, if it is one; the current one is complete.
    pub(super) fn next(&mut self, now: Timestamp) -> io::Result<bool> {
        while let Some(set) = &mut self.set {
            let next = set.next(now);
            let path = set.path();
            self.directory = set.directory().try_clone().ok();
            match next {
                Err(error) if is_full(&error) && self.make_room() => {}
                // Complete files have descriptors too.
                Err(error)
                    if Shortage::of(&error) == Some(Shortage::System)
                        && !self.waiting.is_empty() =>
                {
                    self.write_out_waiting()?;
                }
                next => {
                    let complete = std::mem::replace(&mut self.file, next?);
                    if let Some(trail) = &self.trail {
                        trail.begin(path, now);
                    }
                    // Which `sync` closes.
                    if self.unsynced_since.is_some() {
                        self.waiting.push(complete);
                    }
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn write_out_waiting(&mut self) -> io::Result<()> {
        self.waiting.drain(..).map(|file| write_out(&file)).fold(Ok(()), Result::and)
    }

    /// Deletes a file of the set; `false` if that cannot be.
    fn make_room(&mut self) -> bool {
        // A file that is deleted takes room until it is closed, and may be among these.
        // Best effort: room is what is needed most.
        let _ = self.write_out_waiting();
        self.set.as_mut().is_some_and(|set| set.make_room())
    }
}

fn write_out(file: &File) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, ReadOnlyFilesystem, Unsupported};
    match file.sync_data() {
        // A file system that knows no such thing.
        Err(error) if [InvalidInput, Unsupported, ReadOnlyFilesystem].contains(&error.kind()) => {
            Ok(())
        }
        written => written,
    }
}
