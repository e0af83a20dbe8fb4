//! How many descriptors there may be.

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// What there are only so many of, and what the lowest number of tells how many are in use.
pub trait Descriptor: Sized {
    /// The same with the lowest number that is free; `None` if that is one of the highest `reserve`
    /// that there may be (a quarter of all, where there may be few).
    fn lowest(self, reserve: u64) -> Option<Self>;
}

impl Descriptor for OwnedFd {
    fn lowest(self, reserve: u64) -> Option<Self> {
        let lowest = self.try_clone().ok().filter(|lowest| is_free_for_all(lowest, reserve))?;
        [lowest, self].into_iter().min_by_key(|fd| fd.as_raw_fd())
    }
}

/// Whether this one, which was the lowest that was free, is none of the highest `reserve`.
pub fn is_free_for_all(fd: &impl AsRawFd, reserve: u64) -> bool {
    let number = u64::try_from(fd.as_raw_fd()).unwrap_or_default();
    let limit = getrlimit(Resource::Nofile).current;
    limit.is_none_or(|limit| number < limit - reserve.min(limit / 4))
}

/// What is said where there are no more of them.
pub fn none_left() -> io::Error {
    Errno::MFILE.into()
}
