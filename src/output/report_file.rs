//! A small file that is replaced as a whole: whoever reads it finds the old one or the new one, after
//! a power cut too.

use super::may_follow;
use super::permissions::Permissions;
use crate::error::Error;
use crate::sys::claim::Claim;
use crate::sys::directory::Directory;
use crate::sys::files;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Sees that there may be such a file here, and changes nothing yet.
///
/// # Errors
/// When there is something that is no file, or no directory to make it in.
pub fn check(path: &Path) -> Result<(), Error> {
    files::check_name(path)?;
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    if !parent.unwrap_or(Path::new(".")).is_dir() {
        return Err(Error::new(path.display(), "cannot write: there is no such directory")
            .hint("make it first, or name another one with --report"));
    }
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => Err(Error::new(path.display(), "is not a file")
            .hint("name a file for the report, such as --report trunk.json")),
        _ => Ok(()),
    }
}

/// Claims the place: another program that reports there too would replace what this one writes.
///
/// # Errors
/// When another one has it.
pub fn claim(path: &Path) -> Result<Claim, Error> {
    let name = path.display().to_string();
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let claim = Directory::open(parent.unwrap_or(Path::new(".")))
        .and_then(|directory| directory.identity())
        .and_then(|identity| Claim::new("report", identity, path.file_name().unwrap_or_default()));
    claim.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::new(&name, "another serialshark reports there")
            .hint("name another file with --report"),
        _ => Error::new(&name, "cannot write").because(error),
    })
}

/// Puts these octets in its place.
///
/// # Errors
/// When that is not possible; the old one is there then.
pub fn replace(path: &Path, octets: &[u8], permissions: Permissions) -> Result<(), Error> {
    let name = path.display().to_string();
    let cannot = |error: io::Error| Error::new(&name, "cannot write").because(error);
    // A link stays one, and what it leads to is replaced.
    let target = if may_follow(path)? { path.canonicalize().ok() } else { None };
    let target = target.unwrap_or_else(|| path.to_owned());
    let new = beside(&target);
    // One that a crash has left.
    let _ = std::fs::remove_file(&new);
    let result = write(&new, octets, permissions, &name)
        .and_then(|()| std::fs::rename(&new, &target).map_err(cannot));
    if result.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    result
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

fn write(new: &Path, octets: &[u8], permissions: Permissions, name: &str) -> Result<(), Error> {
    let cannot = |error: io::Error| Error::new(name, "cannot write").because(error);
    let mut file = files::writing(false).create_new(true).open(new).map_err(cannot)?;
    file.write_all(octets).map_err(cannot)?;
    file.sync_all().map_err(cannot)?;
    permissions.give(&file).map_err(|error| permissions.refused(name, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_old_one_is_there_until_the_new_one_is() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("report.json");
        check(&path).unwrap();
        replace(&path, b"old", Permissions::default()).unwrap();
        let reader = fs::File::open(&path).unwrap();
        replace(&path, b"new one", Permissions::default()).unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "old");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one_and_what_a_crash_left_is_no_hindrance() {
        let dir = tempfile::TempDir::new().unwrap();
        let (link, target) = (dir.path().join("link"), dir.path().join("target"));
        fs::write(&target, "old").unwrap();
        fs::write(dir.path().join(".target.new"), "left by a crash").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace(&link, b"new", Permissions::default()).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_is_said_before() {
        let dir = tempfile::TempDir::new().unwrap();
        assert!(check(dir.path()).unwrap_err().to_string().contains("not a file"));
        let nowhere = dir.path().join("none/report.json");
        assert!(check(&nowhere).unwrap_err().to_string().contains("no such directory"));
        assert!(replace(&nowhere, b"x", Permissions::default()).is_err());
    }
}
