//! Standard output and capture files.

use super::{Kind, Stream};
use crate::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Standard output as a stream of records (`binary`) or of lines.
///
/// # Errors
/// When records would go to a terminal, or standard output is closed.
pub fn stdout(binary: bool) -> Result<Stream, Error> {
    let stdout = io::stdout();
    if binary && stdout.is_terminal() {
        return Err(Error::new("standard output", "is a terminal, which cannot show packets")
            .hint("pipe it: serialshark ... -w - | tshark -r -  (or leave out -w to see a line per packet)"));
    }
    let cannot = |e| Error::new("standard output", "cannot write").because(e);
    let fd = stdout.as_fd().try_clone_to_owned().map_err(cannot)?;
    let is_file = File::from(fd.try_clone().map_err(cannot)?)
        .metadata()
        .is_ok_and(|metadata| metadata.is_file());
    let kind = if is_file { Kind::File } else { Kind::Shared };
    // Appending (>>) starts behind what is there.
    let written = if is_file { rustix::fs::tell(&fd).unwrap_or(0) } else { 0 };
    Ok(Stream { name: "standard output".into(), fd, kind, latch: None, written, _lease: None })
}

/// A new capture file. An existing one that is not empty is replaced only with `force`.
///
/// # Errors
/// When it exists, or cannot be made.
pub fn create(path: &Path, force: bool) -> Result<Stream, Error> {
    let name = path.display().to_string();
    if let Ok(metadata) = path.metadata() {
        if metadata.file_type().is_fifo() {
            return Err(Error::new(&name, "is a FIFO").hint(format!("use --fifo {name}")));
        }
        if metadata.is_file() && metadata.len() > 0 && !force {
            return Err(Error::new(&name, "exists and is not empty")
                .hint("choose another name, or add --force to overwrite it"));
        }
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o660)
        .open(path)
        .map_err(|error| Error::new(&name, "cannot write").because(error))?;
    let fd = OwnedFd::from(file);
    Ok(Stream { name, fd, kind: Kind::File, latch: None, written: 0, _lease: None })
}
