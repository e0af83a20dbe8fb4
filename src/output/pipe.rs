//! A FIFO that its reader made, as Wireshark does for an extcap: one reader, one stream.
//!
//! Not a `Fifo`: there is nobody to wait for after this reader, and the path is
//! not ours to replace.

use super::Stream;
use crate::error::Error;
use crate::sys::Sink;
#[cfg(unix)]
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use std::path::Path;

/// Opens the named pipe that its reader made.
///
/// # Errors
/// When it is missing.
#[cfg(windows)]
pub fn open(path: &Path) -> Result<Stream, Error> {
    let name = path.display().to_string();
    let sink =
        Sink::open_pipe(path).map_err(|error| Error::new(&name, "cannot open").because(error))?;
    Ok(Stream::new(&name, sink, None))
}

/// Opens the FIFO, which blocks until the reader has opened it too.
///
/// A blocking `open` and no inotify: dumpcap opens without waiting, and that would be told; but
/// a reader that blocks in its own `open` is not, and both would wait for each other.
///
/// # Errors
/// When it is missing, or no FIFO.
#[cfg(unix)]
pub fn open(path: &Path) -> Result<Stream, Error> {
    let name = path.display().to_string();
    let cannot = |errno| Error::new(&name, "cannot open").because(errno);
    let no_fifo = || Error::new(&name, "exists and is not a FIFO");
    let is_fifo = |mode| FileType::from_raw_mode(mode) == FileType::Fifo;
    if !is_fifo(rustix::fs::stat(path).map_err(cannot)?.st_mode) {
        return Err(no_fifo());
    }
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(cannot)?;
    if !is_fifo(fstat(&fd).map_err(cannot)?.st_mode) {
        return Err(no_fifo());
    }
    fcntl_getfl(&fd)
        .and_then(|flags| fcntl_setfl(&fd, flags | OFlags::NONBLOCK))
        .map_err(|errno| Error::new(&name, "cannot set up").because(errno))?;
    // Best effort: without it a slow reader is met a little earlier.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(&fd, super::fifo::PIPE_CAPACITY);
    Ok(Stream::new(&name, Sink::pipe(fd, None), None))
}
