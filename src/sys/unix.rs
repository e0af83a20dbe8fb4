//! What all systems of the Unix family have, Linux among them, and what stands in for that which
//! [`linux`](super::linux) has where there is no Linux.

pub mod clock;
pub mod copier;
pub mod descriptors;
pub mod directory;
pub mod files;
pub mod net;
pub mod owners;
pub mod pipe_reader;
#[cfg(not(target_os = "linux"))]
pub mod port;
pub mod process;
#[cfg(not(target_os = "linux"))]
mod program;
pub mod shell;
mod shortage;
pub mod signals;
pub mod sink;
#[cfg(not(target_os = "linux"))]
pub mod sink_waiter;
pub mod stdio;
#[cfg(feature = "top")]
pub mod terminal;
pub mod termios;
pub mod wait;
#[cfg(not(target_os = "linux"))]
pub mod waker;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// A name made of these octets, which are a part of one, or a few put together.
pub fn os_string(octets: &[u8]) -> OsString {
    OsStr::from_bytes(octets).to_owned()
}
