//! How many readers there may be: here memory alone limits them.

use std::io;
use std::net::TcpStream;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;

/// What is scarce elsewhere.
pub trait Descriptor: Sized {
    /// The same, if there are more than `reserve` left: always.
    fn lowest(self, _reserve: u64) -> Option<Self> {
        Some(self)
    }
}

impl Descriptor for TcpStream {}

impl Descriptor for Arc<OwnedHandle> {}

/// Whether it is none of the highest `reserve`: there is no highest.
pub fn is_free_for_all<D>(_descriptor: &D, _reserve: u64) -> bool {
    true
}

/// What is said where there are no more of them.
pub fn none_left() -> io::Error {
    io::ErrorKind::OutOfMemory.into()
}
