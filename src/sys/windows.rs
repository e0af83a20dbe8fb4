//! What Windows has.

mod console;
pub mod copier;
pub mod descriptors;
pub mod directory;
mod ffi;
pub mod files;
pub mod named_pipe;
pub mod net;
pub mod owners;
pub mod pipe_reader;
pub mod port;
pub mod process;
pub mod service;
pub mod shell;
mod shortage;
pub mod signals;
pub mod sink;
pub mod sink_waiter;
pub mod stdio;
#[cfg(feature = "top")]
pub mod terminal;
pub mod wait;
pub mod waker;

use std::ffi::OsString;

/// A name made of these octets, which are a part of one, or a few put together. Names are Unicode
/// here; what is none, which no keyboard gives, is replaced.
pub fn os_string(octets: &[u8]) -> OsString {
    String::from_utf8_lossy(octets).into_owned().into()
}
