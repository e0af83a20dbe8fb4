//! A directory that is held open, so that it stays the same whatever its name leads to by now.

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A directory with capture files.
#[derive(Debug)]
pub struct Directory(OwnedFd);

const WRITE: OFlags = OFlags::WRONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Directory {
    /// Opens it.
    ///
    /// # Errors
    /// When it is missing, or not ours to list.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// The same directory once more.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// The names of all that is in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        let entries = Dir::read_from(&self.0)?;
        Ok(entries.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned())))
    }

    /// A new file of this name, locked so that a second program is told that it is written;
    /// best effort.
    ///
    /// # Errors
    /// When there is something of this name.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = WRITE | OFlags::CREATE | OFlags::EXCL;
        let file = openat(&self.0, name, flags, Mode::from(0o660))?;
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(file.into())
    }

    /// The file of this name, emptied and locked; `AlreadyExists` if another program writes it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn overwrite(&self, name: &OsStr) -> io::Result<File> {
        let file = openat(&self.0, name, WRITE | OFlags::NONBLOCK, Mode::empty())?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(Errno::EXIST.into());
        }
        rustix::fs::ftruncate(&file, 0)?;
        Ok(file.into())
    }

    /// Whether another program writes the file of this name.
    pub fn is_being_written(&self, name: &OsStr) -> bool {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.0, name, flags, Mode::empty()).is_ok_and(|file| {
            flock(file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }

    /// Whether there is a regular file of this name, and no link to one.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn is_regular(&self, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(FileType::from_raw_mode(stat.st_mode).is_file()),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a regular file, and nothing else.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name.
    pub fn remove_regular(&self, name: &OsStr) -> io::Result<()> {
        if !self.is_regular(name)? {
            return Err(Errno::NOENT.into());
        }
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Waits until what was made in it would survive a power cut. Best effort: not every file system
    /// can, and most need not.
    pub fn sync(&self) {
        let _ = rustix::fs::fsync(&self.0);
    }

    /// What no other directory has, now.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::fstat(&self.0)?;
        #[allow(clippy::unnecessary_cast)] // not everywhere of this type
        Ok((stat.st_dev as u64, stat.st_ino as u64))
    }
}
