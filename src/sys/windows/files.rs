//! What is particular about files: how they are made, and what is none.

use crate::error::Error;
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;
use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_DELETE, FILE_SHARE_READ};

/// What names of ports and pipes may begin with.
const DEVICES: &str = r"\\.\";

/// How a capture file is opened for writing: others may read, rename and delete it meanwhile.
pub fn writing(_may_follow: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE);
    options
}

/// Opens a file of any kind for reading.
///
/// # Errors
/// When it is missing, or not ours to read.
pub fn reading(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Reads from where the file is, and leaves it there.
///
/// # Errors
/// When it cannot be read.
pub fn peek(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let from = file.stream_position()?;
    let read = file.read(buffer);
    file.seek(SeekFrom::Start(from))?;
    read
}

/// Makes a copy at this path: links need rights, and a hard one of a program that runs could not be
/// removed.
///
/// # Errors
/// When it cannot be made.
pub fn link(to: &Path, path: &Path) -> io::Result<()> {
    std::fs::copy(to, path).map(drop)
}

/// Whether this name is that of a device, which must not be opened to find out more: `COM5`,
/// `\\.\COM12`.
pub fn is_device(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    let name = name.strip_prefix(DEVICES).unwrap_or(&name);
    let number = name.strip_prefix("COM").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit())
}

/// Whether these are names of one port or pipe; `None` if they are names of files. Ports must not be
/// opened to find out.
pub fn is_same_name(one: &Path, other: &Path) -> Option<bool> {
    let is_named = |path: &Path| {
        is_device(path.as_os_str()) || path.as_os_str().to_string_lossy().starts_with(DEVICES)
    };
    let bare = |path: &Path| {
        let name = path.to_string_lossy().to_ascii_uppercase();
        name.strip_prefix(DEVICES).map(str::to_owned).unwrap_or(name)
    };
    (is_named(one) || is_named(other)).then(|| bare(one) == bare(other))
}

/// Whether a file may have this name. Some are those of devices, with any extension too, and in any folder:
/// what is written to `COM5.pcapng` goes onto the line. Only `NUL` itself is asked for by intent.
///
/// # Errors
/// When it may not.
pub fn check_name(path: &Path) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_uppercase();
    let stem = name.split(['.', ':']).next().unwrap_or_default().trim_end();
    let is_numbered = ["COM", "LPT"].iter().any(|kind| {
        let number = stem.strip_prefix(kind);
        number.is_some_and(|number| number.chars().count() == 1 && number.chars().all(is_number))
    });
    let is_named = ["CON", "PRN", "AUX", "CONIN$", "CONOUT$"].contains(&stem);
    let is_nothing = stem == "NUL" && name != "NUL";
    if is_named || is_numbered || is_nothing {
        return Err(Error::new(path.display(), "is the name of a device of Windows")
            .hint("packets are never written to a bus; choose another name"));
    }
    if path.as_os_str().to_string_lossy().starts_with(DEVICES) {
        return Err(Error::new(path.display(), "is the name of a device of Windows")
            .hint("for a named pipe: --pipe NAME"));
    }
    Ok(())
}

/// Digits of devices: the raised ones count as well.
fn is_number(c: char) -> bool {
    c.is_ascii_digit() || "\u{b9}\u{b2}\u{b3}".contains(c)
}

/// What to type where this folder is missing, or what to look for where that would not help.
pub fn how_to_make(directory: &Path) -> String {
    match directory.ancestors().last() {
        Some(drive) if drive.has_root() && !drive.exists() => {
            format!("there is no drive {}", drive.display())
        }
        _ => format!("mkdir \"{}\"", directory.display()),
    }
}

/// Whether it is ours: one that another program writes could not be opened for writing.
pub fn lock(_file: &File) -> bool {
    true
}

/// Whether this is a FIFO: there are none.
pub fn is_fifo(_metadata: &Metadata) -> bool {
    false
}

/// Whether this is a serial port: their names are no names of files.
pub fn is_serial_port(_metadata: &Metadata) -> bool {
    false
}

/// Whether this is a socket: there are none.
pub fn is_socket(_metadata: &Metadata) -> bool {
    false
}

/// Whether this is a terminal or a port: they have names, and no metadata.
pub fn is_tty(_metadata: &Metadata) -> bool {
    false
}

/// Whether a link at this path may be followed: only administrators make them.
pub fn may_follow(_path: &Path) -> Option<bool> {
    Some(true)
}

/// Whether the system does not let us give a group: there are none to give.
pub fn is_not_permitted(_error: &io::Error) -> bool {
    false
}
