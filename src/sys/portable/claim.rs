//! One program for each set of files: the second one is refused.
//!
//! A locked file in the directory for temporary files, named after directory and file.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

/// Held as long as the place is ours.
#[derive(Debug)]
pub struct Claim {
    _file: File,
    path: PathBuf,
}

impl Claim {
    /// Claims what is called `file` in this directory; `purpose` keeps claims of different kinds
    /// apart.
    ///
    /// # Errors
    /// `AddrInUse` when another program, or another part of this one, has it.
    pub fn new(purpose: &str, directory: impl Hash, file: &OsStr) -> io::Result<Self> {
        let mut hasher = DefaultHasher::new();
        (directory, file).hash(&mut hasher);
        let name = format!("serialshark-{purpose}-{:016x}.lock", hasher.finish());
        let path = std::env::temp_dir().join(name);
        let file = File::options().write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, path }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::AddrInUse.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // One that stays does no harm: it is not locked.
        let _ = std::fs::remove_file(&self.path);
    }
}
