//! The files of one rotating output: their names, their numbers, and which of them may go.
//!
//! `-w trunk.pcapng` gives `trunk_00001_20261123190000.pcapng`, `trunk_00002_...`, named as
//! Wireshark's ring buffer names them, so that its File Set menu finds them all. The number
//! goes on after the highest in the directory, whoever wrote that, and the files of an earlier
//! run count among those to keep: a program that is started anew each night must not fill the
//! disk all the same.
//!
//! Deleting is the one dangerous thing here. Only regular files whose name is exactly one that
//! we would give are deleted, by name in the directory that was opened at the start, never
//! through a symlink; and nothing before the new file is written to, so that a program that
//! fails to start, again and again, leaves all as it was. Two programs at the same ring would
//! delete each other's files, so the second one is refused.

use crate::error::Error;
use crate::packet::{Clock, Timestamp};
use chrono::{Local, NaiveDateTime};
use log::{Level, debug, warn};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

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

/// The names of one ring: the part before the number and the part after the time.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    prefix: Vec<u8>,
    suffix: Vec<u8>,
}

const TIME: &str = "%Y%m%d%H%M%S";
const TIME_LEN: usize = 14;

impl Names {
    /// Those of `-w path`; `None` if it does not name a file.
    fn of(path: &Path) -> Option<Self> {
        if path.as_os_str().as_bytes().ends_with(b"/") {
            return None;
        }
        path.file_name()?;
        let prefix = [path.file_stem()?.as_bytes(), b"_"].concat();
        let suffix = path
            .extension()
            .map_or_else(Vec::new, |extension| [b".", extension.as_bytes()].concat());
        Some(Self { prefix, suffix })
    }

    /// Such as `trunk_00001_20261123190000.pcapng`.
    fn name(&self, number: u64, opened: NaiveDateTime) -> OsString {
        let middle = format!("{number:05}_{}", opened.format(TIME));
        OsString::from_vec([&self.prefix, middle.as_bytes(), &self.suffix].concat())
    }

    /// The number in a name that [`name`](Self::name) could have given.
    fn number(&self, name: &[u8]) -> Option<u64> {
        let middle = name.strip_prefix(&self.prefix[..])?.strip_suffix(&self.suffix[..])?;
        let (number, time) = std::str::from_utf8(middle).ok()?.split_once('_')?;
        let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
        // Eighteen digits always leave room for a next number.
        let plausible = digits(number)
            && (5..=18).contains(&number.len())
            && (number.len() == 5 || !number.starts_with('0'))
            && digits(time)
            && time.len() == TIME_LEN
            && NaiveDateTime::parse_from_str(time, TIME).is_ok();
        plausible.then(|| number.parse().ok()).flatten()
    }
}

/// The files of one ring, of which the newest is being written.
#[derive(Debug)]
pub(super) struct Ring {
    directory: OwnedFd,
    names: Names,
    limits: Limits,
    /// What may be deleted, the oldest first; without the current file.
    old: VecDeque<OsString>,
    current: OsString,
    /// The highest number so far.
    number: u64,
    opened: Timestamp,
    /// Whether no file was made yet.
    is_first: bool,
    /// Whether the current file was written to.
    begun: bool,
    warned: bool,
}

impl Ring {
    /// Finds the files of earlier runs and opens the next one.
    pub(super) fn open(
        path: &Path,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(Self, OwnedFd), Error> {
        let shown = path.display().to_string();
        let no_file = || {
            Error::new(&shown, "is not a name for capture files")
                .hint("name a file, as in -w trunk.pcapng; number and time are put into the name")
        };
        let names = Names::of(path).ok_or_else(no_file)?;
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(no_file());
        }
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let parent = parent.unwrap_or(Path::new("."));
        let cannot = |errno: Errno| {
            let error = Error::new(&shown, "cannot write").because(errno);
            match errno {
                Errno::NOENT => error.hint(format!("mkdir -p {}", parent.display())),
                Errno::ACCESS | Errno::ROFS => error.hint(format!(
                    "choose a directory that you may list and write to; {} is none",
                    parent.display()
                )),
                _ => error,
            }
        };
        let directory = rustix::fs::open(
            parent,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(cannot)?;
        let (old, number) = scan(&directory, &names).map_err(cannot)?;
        if old.back().is_some_and(|newest| is_being_written(&directory, newest)) {
            return Err(Error::new(
                shown,
                "files of this name are being written by another program",
            )
            .hint("choose another name, or end the other serialshark"));
        }
        let mut ring = Self {
            directory,
            names,
            limits,
            old,
            current: OsString::new(),
            number,
            opened: now,
            is_first: true,
            begun: true, // there is no file to take back yet
            warned: false,
        };
        let file = ring.create(now).map_err(cannot)?;
        Ok((ring, file))
    }

    /// Whether the current file takes no more packets, now that it would have `len` octets.
    pub(super) fn is_complete(&self, len: u64, clock: &Clock) -> bool {
        let limit = self.limits;
        limit.size.is_some_and(|size| len > size)
            || limit.seconds.is_some_and(|seconds| {
                clock.now() >= self.opened.plus_ns(seconds.saturating_mul(1_000_000_000))
            })
    }

    /// Opens the next file; may be called again when it fails.
    pub(super) fn next(&mut self, now: Timestamp) -> Result<OwnedFd, Errno> {
        if !self.current.is_empty() {
            self.old.push_back(std::mem::take(&mut self.current));
        }
        self.create(now)
    }

    fn create(&mut self, now: Timestamp) -> Result<OwnedFd, Errno> {
        let time = Local::now().naive_local();
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = self.names.name(self.number + 1, time);
            match rustix::fs::openat(&self.directory, &name, flags, Mode::from(0o660)) {
                Err(Errno::INTR) => {}
                // Made by somebody else since we looked.
                Err(Errno::EXIST) => self.number += 1,
                Err(errno) => return Err(errno),
                Ok(file) => {
                    // Best effort: tells a second program that it would delete our files.
                    let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
                    debug!("writing {}", name.display());
                    self.number += 1;
                    self.current = name;
                    self.opened = self.boundary(now);
                    self.is_first = false;
                    self.begun = false;
                    return Ok(file);
                }
            }
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
        match unlink_regular(&self.directory, name) {
            Ok(()) => {
                debug!("deleted {}", name.display());
                true
            }
            Err(Errno::NOENT) => false,
            Err(errno) => {
                Error::new(name.display(), "cannot delete").because(errno).log(Level::Warn);
                false
            }
        }
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> &OwnedFd {
        &self.directory
    }
}

/// Takes back a file that nothing was written to.
impl Drop for Ring {
    fn drop(&mut self) {
        if !self.begun {
            self.delete(&self.current);
        }
    }
}

/// The regular files that have such names, the oldest first, and the highest number of all.
fn scan(directory: &OwnedFd, names: &Names) -> Result<(VecDeque<OsString>, u64), Errno> {
    let mut found = Vec::new();
    let mut highest = 0;
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let Some(number) = names.number(name) else { continue };
        highest = highest.max(number);
        let name = OsStr::from_bytes(name);
        if is_regular(directory, name)? {
            found.push((number, name.to_owned()));
        }
    }
    found.sort();
    Ok((found.into_iter().map(|(_, name)| name).collect(), highest))
}

fn is_regular(directory: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode).is_file()),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn is_being_written(directory: &OwnedFd, name: &OsStr) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty()).is_ok_and(|file| {
        rustix::fs::flock(file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
    })
}

fn unlink_regular(directory: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    if !is_regular(directory, name)? {
        return Err(Errno::NOENT);
    }
    rustix::fs::unlinkat(directory, name, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Names {
        Names::of(Path::new(path)).unwrap()
    }

    fn evening() -> NaiveDateTime {
        NaiveDateTime::parse_from_str("20261123190000", TIME).unwrap()
    }

    #[test]
    fn names_are_those_of_wiresharks_ring_buffer() {
        let name = |path, number| names(path).name(number, evening()).into_string().unwrap();
        assert_eq!(name("/tmp/name.pcapng", 1), "name_00001_20261123190000.pcapng");
        assert_eq!(name("a.b.pcap", 42), "a.b_00042_20261123190000.pcap");
        assert_eq!(name("name", 123_456), "name_123456_20261123190000");
        assert_eq!(name(".hidden", 1), ".hidden_00001_20261123190000");
        for none in ["/", "..", "dir/", ""] {
            assert_eq!(Names::of(Path::new(none)), None, "{none}");
        }
    }

    #[test]
    fn a_number_is_found_in_our_names_only() {
        let names = names("name.pcapng");
        for number in [1, 99_999, 100_000, 999_999_999_999_999_999] {
            let name = names.name(number, evening());
            assert_eq!(names.number(name.as_bytes()), Some(number), "{name:?}");
        }
        for foreign in [
            "name.pcapng",
            "name_00001_20261123190000.pcap",
            "name_00001_20261123190000.pcapng~",
            "name_00001_20261123190000",
            "name_0001_20261123190000.pcapng",
            "name_000001_20261123190000.pcapng",
            "name_00001_2026112319000.pcapng",
            "name_00001_202611231900000.pcapng",
            "name_00001_20261323190000.pcapng",
            "name_00001-20261123190000.pcapng",
            "name_+0001_20261123190000.pcapng",
            "name_00001_20261123190000_old.pcapng",
            "name_00001_20261123190000_00001_20261123190000.pcapng",
            "my-name_00001_20261123190000.pcapng",
            "Name_00001_20261123190000.pcapng",
            "name_1000000000000000000_20261123190000.pcapng",
            "name_",
            "",
        ] {
            assert_eq!(names.number(foreign.as_bytes()), None, "{foreign}");
        }
        assert_eq!(names.number(b"name_\xff0001_20261123190000.pcapng"), None);
    }
}
