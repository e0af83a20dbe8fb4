//! What is particular about capture files: how they are made, and what is none.

use super::shell;
use crate::error::Error;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// How a capture file is opened for writing; through a link at its path only if `may_follow`.
pub fn writing(may_follow: bool) -> OpenOptions {
    let flags = if may_follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let mut options = OpenOptions::new();
    options.write(true).mode(0o660).custom_flags(flags.bits().cast_signed());
    options
}

/// Locks it, so that no other serialshark writes it too; `false` if another one does. Best effort.
pub fn lock(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
}

/// Opens a file of any kind for reading. The open of a FIFO does not wait for a writer, deaf to all
/// else.
///
/// # Errors
/// When it is missing, or not ours to read.
pub fn reading(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Reads from where the file is, and leaves it there.
///
/// # Errors
/// When it cannot be read.
pub fn peek(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let from = (&*file).stream_position()?;
    file.read_at(buffer, from)
}

/// Makes a link at this path.
///
/// # Errors
/// When there is something.
pub fn link(to: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, path)
}

/// Whether this name is that of a device although it looks like a file: never here.
pub fn is_device(_name: &OsStr) -> bool {
    false
}

/// Whether this is a socket.
pub fn is_socket(metadata: &Metadata) -> bool {
    metadata.file_type().is_socket()
}

/// Whether these are names of one thing, if that shows without a look into any directory: never.
pub fn is_same_name(_one: &Path, _other: &Path) -> Option<bool> {
    None
}

/// Whether a file may have this name: none means something else.
///
/// # Errors
/// None here.
pub fn check_name(_path: &Path) -> Result<(), Error> {
    Ok(())
}

/// What to type where this directory is missing.
pub fn how_to_make(directory: &Path) -> String {
    format!("mkdir -p {}", shell::word(&directory.to_string_lossy()))
}

/// Whether this is a FIFO.
pub fn is_fifo(metadata: &Metadata) -> bool {
    metadata.file_type().is_fifo()
}

/// Whether this is a tty, which is not opened for it: that alone moves a serial port's lines.
#[cfg(target_os = "linux")]
pub fn is_tty(metadata: &Metadata) -> bool {
    use crate::sys::linux::tty::PTS;
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let subsystem = Path::new("/sys/dev/char").join(format!("{major}:{minor}/subsystem"));
    metadata.file_type().is_char_device()
        && (PTS.contains(&major)
            || subsystem.read_link().is_ok_and(|subsystem| subsystem.ends_with("tty")))
}

/// Whether this is a serial port, and no terminal that somebody looks at.
#[cfg(target_os = "linux")]
pub fn is_serial_port(metadata: &Metadata) -> bool {
    use crate::sys::linux::tty::{PTS, has_no_line};
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    is_tty(metadata) && !PTS.contains(&major) && !has_no_line(major, minor)
}

/// Whether this is a serial port: not that we knew.
#[cfg(not(target_os = "linux"))]
pub fn is_serial_port(_metadata: &Metadata) -> bool {
    false
}

/// Whether this may be a tty, of which nothing tells before it is opened.
#[cfg(not(target_os = "linux"))]
pub fn is_tty(metadata: &Metadata) -> bool {
    let null = Path::new("/dev/null").metadata();
    metadata.file_type().is_char_device() && !null.is_ok_and(|null| null.rdev() == metadata.rdev())
}

/// Whether a link at this path may be followed: not where everybody may put one, as in /tmp, unless
/// it is the user's or the directory owner's, which nobody else can replace there. `None` if it is
/// another user's.
///
/// The kernel has the same rule, but can be told to forget it, and does not hear of a link that
/// a program resolves by itself.
pub fn may_follow(path: &Path) -> Option<bool> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let Ok(directory) = parent.unwrap_or(Path::new(".")).metadata() else { return Some(true) };
    if directory.mode() & 0o1002 != 0o1002 {
        return Some(true);
    }
    match path.symlink_metadata() {
        Ok(link) if link.is_symlink() => {
            let us = rustix::process::geteuid().as_raw();
            [us, directory.uid()].contains(&link.uid()).then_some(true)
        }
        _ => Some(false),
    }
}

/// Whether the system does not let us give this group.
pub fn is_not_permitted(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::PERM)
}
