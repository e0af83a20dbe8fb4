//! One program for each FIFO and each set of files: the second one is refused.
//!
//! An abstract socket, named after directory and file, is the lock. It goes with the process and
//! leaves no file. It reaches as far as the network namespace does.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;

/// Held as long as the place is ours.
#[derive(Debug)]
pub struct Claim {
    _socket: OwnedFd,
}

impl Claim {
    /// Claims what is called `file` in the directory with this device and inode; `purpose` keeps
    /// claims of different kinds apart.
    ///
    /// # Errors
    /// `AddrInUse` when another program, or another part of this one, has it.
    pub fn new(purpose: &str, directory: impl Hash, file: &OsStr) -> io::Result<Self> {
        // A name may be longer than a socket's address, hence its hash.
        let mut hasher = DefaultHasher::new();
        (directory, file).hash(&mut hasher);
        let address = format!("serialshark-{purpose}-{:016x}", hasher.finish());
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(address.as_bytes())?)?;
        Ok(Self { _socket: socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_claimed_once_for_each_purpose() {
        let claim = |purpose, file: &str| Claim::new(purpose, std::process::id(), OsStr::new(file));
        let first = claim("fifo", "a").unwrap();
        assert_eq!(claim("fifo", "a").unwrap_err().kind(), io::ErrorKind::AddrInUse);
        claim("fifo", "b").unwrap();
        claim("files", "a").unwrap();
        drop(first);
        claim("fifo", "a").unwrap();
    }
}
