//! The reading end of a pipe, or of what was given as standard input.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};

/// Readable when octets have come, or the end.
#[derive(Debug)]
pub struct PipeReader(File);

impl PipeReader {
    /// This one, which may be in blocking mode: then the first read after it was found readable is
    /// sure to return.
    ///
    /// # Errors
    /// None here.
    pub fn new(file: File) -> io::Result<Self> {
        Ok(Self(file))
    }

    /// Reads once; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing now.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
