//! Groups, and who may open what.

use nix::unistd::{Gid, Group};
use rustix::fs::{AtFlags, CWD, Mode, chmodat, chownat};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// What is said of a group that does not exist.
pub const NO_GROUP: &str = "no such group";

/// Gives group and mode to a node; `O_PATH` is enough.
///
/// # Errors
/// `EPERM` for a group that the user is not in.
pub fn set(node: &impl AsFd, group: Option<u32>, mode: Option<u32>) -> io::Result<()> {
    if let Some(group) = group {
        let group = rustix::fs::Gid::from_raw(group);
        give_group(node, group)?;
    }
    if let Some(mode) = mode {
        #[allow(clippy::unnecessary_cast)] // not everywhere of this type
        let mode = Mode::from_raw_mode(mode as _);
        chmodat(CWD, path(node), mode, AtFlags::empty())?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn give_group(node: &impl AsFd, group: rustix::fs::Gid) -> rustix::io::Result<()> {
    chownat(node, "", None, Some(group), AtFlags::EMPTY_PATH)
}

#[cfg(not(target_os = "linux"))]
fn give_group(node: &impl AsFd, group: rustix::fs::Gid) -> rustix::io::Result<()> {
    chownat(CWD, path(node), None, Some(group), AtFlags::empty())
}

/// A path to this node, wherever its name leads by now.
fn path(node: &impl AsFd) -> String {
    let directory = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    format!("{directory}/{}", node.as_fd().as_raw_fd())
}

/// Whether it is root's, and nobody else may open it.
pub fn is_roots_alone(node: &impl AsFd) -> bool {
    rustix::fs::fstat(node)
        .is_ok_and(|stat| stat.st_uid == 0 && stat.st_gid == 0 && stat.st_mode & 0o006 == 0)
}

/// The number of a group that is given by name or number; `None` if there is none. May ask
/// directories on the network (nsswitch.conf), and blocks as long.
pub fn group(text: &str) -> Option<u32> {
    match Group::from_name(text) {
        Ok(Some(group)) => Some(group.gid.as_raw()),
        // As chgrp(1) has it.
        _ => text.parse().ok().filter(|gid| *gid != u32::MAX),
    }
}

/// The name of a group, or its number if it has none. May block as [`group`] may.
pub fn group_name(gid: u32) -> String {
    let found = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    found.map_or_else(|| gid.to_string(), |group| group.name)
}

/// The group of the user who has made us root by sudo(8). `None` if nobody has.
pub fn group_behind_sudo() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let gid: u32 = std::env::var("SUDO_GID").ok()?.parse().ok()?;
    (gid != 0).then_some(gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_names_and_numbers() {
        assert_eq!(group("root"), Some(0));
        assert_eq!(group("0"), Some(0));
        assert_eq!(group("4294967294"), Some(4_294_967_294));
        for none in ["", "no such group", "-1", "4294967295"] {
            assert_eq!(group(none), None, "{none}");
        }
        assert_eq!(group_name(0), "root");
        assert_eq!(group_name(4_294_967_294), "4294967294");
    }
}
