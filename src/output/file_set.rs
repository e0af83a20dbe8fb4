//! The files of one rotating output: their names, their numbers, and which of them may go.
//!
//! `-w trunk.pcapng` gives `trunk_00001_20261123190000.pcapng`, `trunk_00002_...`, named as
//! Wireshark's ring buffer names them, so that its File Set menu finds them all. The number
//! goes on after the highest in the directory, whoever wrote that, and the files of an earlier
//! run count among those to keep: a program that is started anew each night must not fill the
//! disk all the same.
//!
//! With `-G` words of strftime(3) in the name become the time instead, as with tcpdump:
//! `-w trunk_%H.pcapng`. tcpdump overwrites what is there; here that takes `--force`, and without
//! it a number is added. What was made since the time in the name has changed is never overwritten.
//!
//! A complete file may be compressed ([`PostRotate`]); it counts as before, with `.gz` behind its name.
//!
//! Deleting is the one dangerous thing here. Only regular files whose name is exactly one that
//! we would give are deleted, by name in the directory that was opened at the start, never
//! through a symlink; and nothing before the new file is written to, so that a program that
//! fails to start, again and again, leaves all as it was. Two programs at the same file set would
//! delete each other's files, so the second one is refused: by a [`Claim`], and in other namespaces
//! by the lock on the newest file.

mod names;

use super::permissions::Permissions;
use super::post_rotate::{PostRotate, PostRotator};
use crate::error::Error;
use crate::sys::claim::Claim;
use crate::sys::directory::Directory;
use crate::sys::{files, os_string};
use crate::time::{MonoClock, Timestamp};
use chrono::Local;
use log::{Level, debug, warn};
use names::Names;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The end of a name that gzip(1) has given.
const GZIPPED: &[u8] = b".gz";

/// When a file is complete, and how many are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Octets that a file may have before its trailer.
    pub size: Option<u64>,
    /// Seconds after its opening from when on a file takes no more packets.
    pub seconds: Option<u64>,
    /// Files to keep.
    pub files: Option<u64>,
}

/// How the files of a set are made, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// When a file is complete, and how many are kept.
    pub limits: Limits,
    /// Whether files that are there may be overwritten.
    pub force: bool,
    /// Who may open them.
    pub permissions: Permissions,
    /// What is done with a complete file.
    pub post_rotate: Option<PostRotate>,
}

/// The files of one set, of which the newest is being written.
#[derive(Debug)]
pub(super) struct FileSet {
    directory: Directory,
    names: Names,
    limits: Limits,
    /// Whether files that are there may be overwritten.
    force: bool,
    permissions: Permissions,
    /// What may be deleted, the oldest first; without the current file.
    old: VecDeque<OsString>,
    current: OsString,
    /// The highest number so far, of files that have the same `base`.
    number: u64,
    /// What the time has decided about the current name.
    base: Option<String>,
    opened: Timestamp,
    /// Whether no file was made yet.
    is_first: bool,
    /// Whether the current file was written to.
    begun: bool,
    warned: bool,
    /// Whether complete files are compressed, and have another name then.
    is_gzipped: bool,
    /// The directory as it was named.
    parent: PathBuf,
    post_rotator: Option<PostRotator>,
    _claim: Claim,
}

/// What files of this set are called.
fn names(path: &Path, limits: &Limits) -> Result<Names, Error> {
    let no_file = |what| {
        Error::new(path.display(), what)
            .hint("name a file, as in -w trunk.pcapng; number and time are put into the name")
    };
    let names = Names::of(path, limits.seconds.is_some()).map_err(no_file)?;
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(no_file("is not a name for capture files"));
    }
    files::check_name(path)?;
    Ok(names)
}

/// Why files of this name cannot be written into the directory `parent`.
fn cannot(shown: &str, parent: &Path, permissions: Permissions, cause: io::Error) -> Error {
    let kind = cause.kind();
    if files::is_not_permitted(&cause) {
        return permissions.refused(shown, cause);
    }
    let error = Error::new(shown, "cannot write").because(cause);
    match kind {
        ErrorKind::NotFound => error.hint(files::how_to_make(parent)),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => error.hint(format!(
            "choose a directory that you can list and write to; you cannot with {}",
            parent.display()
        )),
        ErrorKind::InvalidFilename => {
            error.hint("choose another name: the system does not take this one")
        }
        _ => error,
    }
}

fn taken(shown: &str) -> Error {
    Error::new(shown, "files of this name are being written by another program")
        .hint("choose another name, or end the other serialshark")
}

/// The names of the files of a set that are there, the oldest first; the last one may be written.
///
/// # Errors
/// When the directory cannot be read, or the path does not name files.
#[cfg_attr(
    not(all(target_os = "linux", feature = "nats")),
    allow(dead_code, reason = "for --nats")
)]
pub fn listed(path: &Path) -> io::Result<Vec<OsString>> {
    let names = Names::of(path, false).map_err(io::Error::other)?;
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = Directory::open(parent.unwrap_or(Path::new(".")))?;
    let (files, _) = scan(&directory, &names, false)?;
    Ok(files.into())
}

impl FileSet {
    /// Finds the files of earlier runs and opens the next one.
    pub(super) fn open(
        path: &Path,
        options: Options,
        now: Timestamp,
    ) -> Result<(Self, File), Error> {
        let Options { limits, force, permissions, post_rotate } = options;
        let shown = path.display().to_string();
        let names = names(path, &limits)?;
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let parent = parent.unwrap_or(Path::new("."));
        let cannot = |cause| cannot(&shown, parent, permissions, cause);
        let directory = Directory::open(parent).map_err(cannot)?;
        let file_name = path.file_name().unwrap_or_default();
        let identity = directory.identity().map_err(cannot)?;
        let claim =
            Claim::new("files", identity, file_name).map_err(|error| match error.kind() {
                ErrorKind::AddrInUse => taken(&shown),
                _ => cannot(error),
            })?;
        let is_gzipped = post_rotate.as_ref().is_some_and(PostRotate::is_gzip);
        let (old, number) = scan(&directory, &names, is_gzipped).map_err(cannot)?;
        if old.back().is_some_and(|newest| directory.is_being_written(newest)) {
            return Err(taken(&shown));
        }
        let mut set = Self {
            directory,
            names,
            limits,
            force,
            permissions,
            old,
            current: OsString::new(),
            number,
            base: None,
            opened: now,
            is_first: true,
            begun: true, // there is no file to take back yet
            warned: false,
            is_gzipped,
            parent: parent.to_owned(),
            post_rotator: post_rotate.map(PostRotator::start).transpose()?,
            _claim: claim,
        };
        let file = set.create(now).map_err(cannot)?;
        Ok((set, file))
    }

    /// Whether the current file takes no more packets, now that it would have `len` octets.
    pub(super) fn is_complete(&self, len: u64, clock: &MonoClock) -> bool {
        let limit = self.limits;
        limit.size.is_some_and(|size| len > size)
            || limit.seconds.is_some_and(|seconds| {
                clock.now() >= self.opened.plus_ns(seconds.saturating_mul(1_000_000_000))
            })
    }

    /// Opens the next file; may be called again when it fails.
    pub(super) fn next(&mut self, now: Timestamp) -> io::Result<File> {
        if !self.current.is_empty() {
            let complete = std::mem::take(&mut self.current);
            if let Some(post_rotator) = &self.post_rotator {
                post_rotator.file(self.parent.join(&complete));
            }
            if self.limits.files.is_some() {
                self.old.push_back(complete);
            }
        }
        self.create(now)
    }

    fn create(&mut self, now: Timestamp) -> io::Result<File> {
        let time = Local::now().naive_local();
        let base = self.names.base(time);
        if base.is_some() && base != self.base {
            (self.number, self.base) = (0, base);
        }
        loop {
            let name = self.names.name(self.number + 1, time);
            match self.make(&name) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Made by somebody else since we looked, or for this time before.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => self.number += 1,
                Err(error) => return Err(error),
                Ok(file) => {
                    debug!("writing {}", name.display());
                    self.number += 1;
                    self.old.retain(|old| *old != name);
                    self.current = name;
                    self.opened = self.boundary(now);
                    self.is_first = false;
                    self.begun = false;
                    return Ok(file);
                }
            }
        }
    }

    /// An empty file of this name, which is not there yet or may be overwritten. Locked, so that a
    /// second program is told that it would delete our files; best effort.
    fn make(&self, name: &OsStr) -> io::Result<File> {
        if self.is_gzipped && !self.force && self.directory.is_regular(&compressed(name))? {
            return Err(ErrorKind::AlreadyExists.into());
        }
        match self.directory.create(name) {
            Err(error)
                if error.kind() == ErrorKind::AlreadyExists
                    && self.force
                    && self.base.is_some()
                    && self.directory.is_regular(name)? =>
            {
                self.directory.overwrite(name)
            }
            Ok(file) => match self.permissions.give(&file) {
                Ok(()) => Ok(file),
                Err(error) => {
                    self.delete(name);
                    Err(error)
                }
            },
            Err(error) => Err(error),
        }
    }

    /// Since when a file that is made `now` counts: from a multiple of the seconds after the first,
    /// so that files begin at even times however seldom packets come.
    fn boundary(&self, now: Timestamp) -> Timestamp {
        let seconds = self.limits.seconds.filter(|_| !self.current.is_empty());
        let period = seconds.map_or(0, |seconds| seconds.saturating_mul(1_000_000_000));
        match now.ns_since(self.opened).checked_rem(period) {
            Some(over) if !self.is_first => now.minus_ns(over),
            _ => now,
        }
    }

    /// The current file is about to be written to: deletes those that are one too many.
    pub(super) fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let Some(files) = self.limits.files else { return };
        if self.is_gzipped
            && let Ok((found, _)) = scan(&self.directory, &self.names, true)
        {
            // What was deleted while it was being compressed is there again.
            self.old = found;
            self.old.retain(|name| *name != self.current);
        }
        while self.old.len() as u64 >= files {
            let Some(name) = self.old.pop_front() else { return };
            self.delete(&name);
        }
    }

    /// Deletes the oldest file because the disk is full; `false` if there is none that may go.
    /// Without a number of files to keep, all are to be kept.
    pub(super) fn make_room(&mut self) -> bool {
        if self.limits.files.is_none() {
            return false;
        }
        while let Some(name) = self.old.pop_front() {
            if self.delete(&name) {
                if !std::mem::replace(&mut self.warned, true) {
                    warn!("disk full: deleting the oldest capture files, {} first", name.display());
                }
                return true;
            }
        }
        false
    }

    fn delete(&self, name: &OsStr) -> bool {
        let plain = self.directory.remove_regular(name);
        // While it is being compressed there are both.
        let deleted = match self.is_gzipped {
            true => self.directory.remove_regular(&compressed(name)).or(plain),
            false => plain,
        };
        match deleted {
            Ok(()) => {
                debug!("deleted {}", name.display());
                true
            }
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => {
                Error::new(name.display(), "cannot delete").because(error).log(Level::Warn);
                false
            }
        }
    }

    /// Where the current file is.
    pub(super) fn path(&self) -> PathBuf {
        self.parent.join(&self.current)
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// Takes back a file that nothing was written to.
impl Drop for FileSet {
    fn drop(&mut self) {
        if !self.begun {
            self.delete(&self.current);
        }
    }
}

/// The regular files that have such names, the oldest first, and the highest number of all.
fn scan(
    directory: &Directory,
    names: &Names,
    is_gzipped: bool,
) -> io::Result<(VecDeque<OsString>, u64)> {
    let mut found = Vec::new();
    let mut highest = 0;
    for entry in directory.names()? {
        let entry = entry?;
        let octets = entry.as_encoded_bytes();
        let name = octets.strip_suffix(GZIPPED).filter(|_| is_gzipped).unwrap_or(octets);
        let Some(age) = names.age(name) else { continue };
        highest = highest.max(age.1);
        if directory.is_regular(&entry)? {
            found.push((age, os_string(name)));
        }
    }
    found.sort();
    // While one is being compressed there are both.
    found.dedup();
    Ok((found.into_iter().map(|(_, name)| name).collect(), highest))
}

/// The same name with a number before its extension.
pub(super) fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("_{number:05}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// What gzip(1) calls it.
fn compressed(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push(".gz");
    name
}
