//! `serialshark extcap`: links in the user's own folders, from where Wireshark calls us.

use crate::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What the file in Wireshark's folders is called.
const LINK: &str = "serialshark";

const HELP: &str = "\
Serial ports in the interface list of Wireshark and tshark

Usage: serialshark extcap --install | --uninstall

  --install     Link this program into your extcap folders
  --uninstall   Remove these links

Then Wireshark shows each serial port, and simulated ones, after a start or F5; options are
behind the gear beside it. tshark: tshark -D; tshark -i serialshark-sim-mstp
A port that is called extcap is ./extcap.
";

/// Does what the words after `extcap` say, and returns the exit code.
pub fn manage(args: &[OsString]) -> u8 {
    let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let done = match words.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        [] | ["-h" | "--help"] => {
            let _ = io::stdout().write_all(HELP.as_bytes());
            Ok(())
        }
        ["--install"] => install(),
        ["--uninstall"] => uninstall(),
        _ => {
            let what = format!("knows --install and --uninstall, not {}", words.join(" "));
            let error = Error::new("extcap", what).hint("a port of this name is ./extcap");
            let _ = writeln!(io::stderr(), "serialshark: {error}");
            return 2;
        }
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "serialshark: {error}");
            1
        }
    }
}

/// The folders where Wireshark looks for programs of the user: that of 4.2 and later, and that
/// of earlier ones.
fn folders() -> Result<[PathBuf; 2], Error> {
    let dir = |name| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let home = dir("HOME").ok_or_else(|| {
        Error::new("HOME", "is not set").hint("it tells where Wireshark's folders are")
    })?;
    let config = dir("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let mut personal = config.join("wireshark");
    // Wireshark prefers this old place as long as the new one does not exist: made by us, it
    // would hide the user's settings.
    let old = home.join(".wireshark");
    if !personal.is_dir() && old.is_dir() {
        personal = old;
    }
    Ok([home.join(".local/lib/wireshark/extcap"), personal.join("extcap")])
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
        return Err(Error::new(link.display(), "exists and is not a link to serialshark")
            .hint("remove it, or move it away"));
    }
    for link in &links {
        let cannot = |error| Error::new(link.display(), "cannot link").because(error);
        match place(link, &program) {
            Place::Ours(target) if target == program => {
                tell(link, format_args!("is a link to {} already", program.display()));
                continue;
            }
            Place::Ours(_) => std::fs::remove_file(link).map_err(cannot)?,
            _ => {}
        }
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder).map_err(cannot)?;
        }
        std::os::unix::fs::symlink(&program, link).map_err(cannot)?;
        tell(link, format_args!("linked to {}", program.display()));
    }
    Ok(())
}

fn uninstall() -> Result<(), Error> {
    let program = program()?;
    for link in folders()?.map(|folder| folder.join(LINK)) {
        match place(&link, &program) {
            Place::Free => tell(&link, "is not there"),
            Place::Foreign => tell(&link, "left alone: it is not a link to serialshark"),
            Place::Ours(_) => {
                std::fs::remove_file(&link)
                    .map_err(|error| Error::new(link.display(), "cannot remove").because(error))?;
                tell(&link, "removed");
            }
        }
    }
    Ok(())
}
