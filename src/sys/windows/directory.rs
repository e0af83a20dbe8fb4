//! A directory with capture files, by its path.
//!
//! A file that is written may be read and renamed by others meanwhile, as Wireshark does, but
//! written by nobody else.

use super::files::writing;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use windows_sys::Win32::Foundation::ERROR_SHARING_VIOLATION;

/// A directory with capture files.
#[derive(Debug)]
pub struct Directory(PathBuf);

fn is_shared(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_SHARING_VIOLATION.cast_signed())
}

impl Directory {
    /// This one.
    ///
    /// # Errors
    /// When it is missing, or not ours to list.
    pub fn open(path: &Path) -> io::Result<Self> {
        path.read_dir()?;
        std::path::absolute(path).map(Self)
    }

    /// The same directory once more.
    ///
    /// # Errors
    /// None here.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
    }

    /// The names of all that is in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        Ok(self.0.read_dir()?.map(|entry| Ok(entry?.file_name())))
    }

    /// A new file of this name.
    ///
    /// # Errors
    /// When there is something of this name.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        writing(false).create_new(true).open(self.0.join(name))
    }

    /// The file of this name, emptied; `AlreadyExists` if another program writes it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn overwrite(&self, name: &OsStr) -> io::Result<File> {
        let file = match writing(false).open(self.0.join(name)) {
            Err(error) if is_shared(&error) => return Err(io::ErrorKind::AlreadyExists.into()),
            file => file?,
        };
        file.set_len(0)?;
        Ok(file)
    }

    /// Whether another program writes the file of this name.
    pub fn is_being_written(&self, name: &OsStr) -> bool {
        writing(false).open(self.0.join(name)).is_err_and(|error| is_shared(&error))
    }

    /// Whether there is a regular file of this name, and no link to one.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn is_regular(&self, name: &OsStr) -> io::Result<bool> {
        match self.0.join(name).symlink_metadata() {
            Ok(metadata) => Ok(metadata.is_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a regular file, and nothing else.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name.
    pub fn remove_regular(&self, name: &OsStr) -> io::Result<()> {
        if !self.is_regular(name)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        std::fs::remove_file(self.0.join(name))
    }

    /// Waits until what was made in it would survive a power cut: the file system sees to that.
    pub fn sync(&self) {}

    /// What no other directory has, now.
    ///
    /// # Errors
    /// None here: where the system does not tell, as of long paths, it is the path.
    pub fn identity(&self) -> io::Result<PathBuf> {
        Ok(self.0.canonicalize().unwrap_or_else(|_| self.0.clone()))
    }
}
