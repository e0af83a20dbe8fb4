//! `serialshark extcap`: links in the user's own folders, from where Wireshark calls us. On Windows,
//! where links need rights and a program that runs cannot be replaced, a copy.

#[cfg(all(target_os = "linux", feature = "nats"))]
use super::broker;
use crate::cli::ExtcapArgs;
use crate::error::Error;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::address::Trunk;
use crate::sys::files;
#[cfg(not(windows))]
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What the file in Wireshark's folders is called.
const LINK: &str = if cfg!(windows) { "serialshark.exe" } else { "serialshark" };
/// What it is.
const KIND: &str = if cfg!(windows) { "copy of" } else { "link to" };

/// What is said of it.
const CANNOT: &str = if cfg!(windows) { "cannot copy" } else { "cannot link" };
const DONE: &str = if cfg!(windows) { "copied from" } else { "linked to" };

/// Makes the links, or removes them, and returns the exit code.
pub fn manage(args: &ExtcapArgs) -> u8 {
    let done = if args.install { install() } else { uninstall() };
    #[cfg(all(target_os = "linux", feature = "nats"))]
    let done = done.and_then(|()| manage_broker(args));
    match done {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "serialshark: {error}");
            1
        }
    }
}

/// Keeps the address of the server whose trunks are to be listed, or forgets it.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn manage_broker(args: &ExtcapArgs) -> Result<(), Error> {
    if !args.install {
        if let Some(path) = broker::forget()? {
            tell(&path, "removed");
        }
        return Ok(());
    }
    let Some(wanted) = &args.wanted else { return Ok(()) };
    tell(&broker::keep(wanted)?, "written; only you can read it");
    // Nothing is wrong with the installation when the server is away.
    let said = match broker::trunks(wanted) {
        Ok((account, trunks)) if trunks.is_empty() => format!("{account}: has no such trunk yet"),
        Ok((account, trunks)) => {
            let trunks: Vec<_> = trunks.iter().map(Trunk::to_string).collect();
            format!("{account}: has {}", trunks.join(", "))
        }
        Err(error) => error.to_string(),
    };
    let _ = writeln!(io::stderr(), "serialshark: {said}");
    Ok(())
}

/// The folder where Wireshark looks for programs of the user.
#[cfg(windows)]
fn folders() -> Result<[PathBuf; 1], Error> {
    let data = std::env::var_os("APPDATA").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let data = data.ok_or_else(|| {
        Error::new("APPDATA", "is not set").hint("it tells where Wireshark's folders are")
    })?;
    Ok([data.join(r"Wireshark\extcap")])
}

/// The folders where Wireshark looks for programs of the user: that of 4.2 and later, and that
/// of earlier ones.
#[cfg(not(windows))]
fn folders() -> Result<[PathBuf; 2], Error> {
    let home = home()?;
    let mut personal = settings()?.join("wireshark");
    // Wireshark prefers this old place as long as the new one does not exist: made by us, it
    // would hide the user's settings.
    let old = home.join(".wireshark");
    if !personal.is_dir() && old.is_dir() {
        personal = old;
    }
    Ok([home.join(".local/lib/wireshark/extcap"), personal.join("extcap")])
}

/// A folder that a variable names.
#[cfg(not(windows))]
fn dir(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|dir| dir.is_absolute())
}

#[cfg(not(windows))]
fn home() -> Result<PathBuf, Error> {
    dir("HOME").ok_or_else(|| {
        Error::new("HOME", "is not set").hint("it tells where Wireshark's folders are")
    })
}

/// Where programs keep what the user has set.
#[cfg(not(windows))]
pub(super) fn settings() -> Result<PathBuf, Error> {
    match dir("XDG_CONFIG_HOME") {
        Some(config) => Ok(config),
        None => Ok(home()?.join(".config")),
    }
}

/// What is at the place of a link.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Free,
    /// A link to this serialshark, or another one.
    Ours(PathBuf),
    /// Something else.
    Foreign,
}

/// A copy is told from another version by its octets, and from other programs by its name.
#[cfg(windows)]
fn place(link: &Path, program: &Path) -> Place {
    if !link.is_file() {
        return if link.exists() { Place::Foreign } else { Place::Free };
    }
    let is_same = std::fs::read(link).ok() == std::fs::read(program).ok();
    Place::Ours(if is_same { program } else { link }.to_owned())
}

#[cfg(not(windows))]
fn place(link: &Path, program: &Path) -> Place {
    match link.read_link() {
        Ok(target) if target == program || target.file_name() == Some(OsStr::new(LINK)) => {
            Place::Ours(target)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Free,
        _ => Place::Foreign,
    }
}

fn program() -> Result<PathBuf, Error> {
    std::env::current_exe()
        .map_err(|error| Error::new("serialshark", "cannot find its own file").because(error))
}

fn tell(path: &Path, what: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "serialshark: {}: {what}", path.display());
}

fn install() -> Result<(), Error> {
    let program = program()?;
    let links = folders()?.map(|folder| folder.join(LINK));
    // Before anything is changed.
    if let Some(link) = links.iter().find(|link| place(link, &program) == Place::Foreign) {
        return Err(Error::new(link.display(), format!("exists and is not a {KIND} serialshark"))
            .hint("remove it, or move it away"));
    }
    for link in &links {
        let cannot = |error| Error::new(link.display(), CANNOT).because(error);
        match place(link, &program) {
            Place::Ours(target) if target == program => {
                tell(link, format_args!("is a {KIND} {} already", program.display()));
                continue;
            }
            Place::Ours(_) => std::fs::remove_file(link).map_err(cannot)?,
            _ => {}
        }
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder).map_err(cannot)?;
        }
        files::link(&program, link).map_err(cannot)?;
        tell(link, format_args!("{DONE} {}", program.display()));
    }
    Ok(())
}

fn uninstall() -> Result<(), Error> {
    let program = program()?;
    for link in folders()?.map(|folder| folder.join(LINK)) {
        match place(&link, &program) {
            Place::Free => tell(&link, "is not there"),
            Place::Foreign => {
                tell(&link, format_args!("left alone: it is not a {KIND} serialshark"))
            }
            Place::Ours(_) => {
                std::fs::remove_file(&link)
                    .map_err(|error| Error::new(link.display(), "cannot remove").because(error))?;
                tell(&link, "removed");
            }
        }
    }
    Ok(())
}
