//! Who may open what we make: `--group` and `--mode`, and the user behind `sudo`.
//!
//! Without them a FIFO that root has made is root's alone, and Wireshark, which nobody should start
//! as root, cannot open it. So under `sudo` the group of the user who typed that gets it.

use crate::error::Error;
pub use crate::sys::owners::{NO_GROUP, group, group_behind_sudo, group_name};
use crate::sys::{files, owners};
#[cfg(target_os = "linux")]
use log::info;
use std::io;

/// What FIFOs, sockets and files get that we make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The group's number; else that of the process, or of the directory.
    pub group: Option<u32>,
    /// The permission bits; else as always, less the umask.
    pub mode: Option<u32>,
}

impl Permissions {
    /// Gives them to a node that we have just made; `O_PATH` is enough.
    ///
    /// # Errors
    /// `EPERM` for a group that the user is not in.
    #[cfg(unix)]
    pub(super) fn give(self, node: &impl std::os::fd::AsFd) -> io::Result<()> {
        owners::set(node, self.group, self.mode)
    }

    /// Gives them to a file that we have just made.
    ///
    /// # Errors
    /// When there are any.
    #[cfg(windows)]
    pub(super) fn give(self, node: &std::fs::File) -> io::Result<()> {
        owners::set(node, self.group, self.mode)
    }

    /// Says so if root has made this node, and nobody else may open it.
    #[cfg(target_os = "linux")]
    pub(super) fn tell_if_roots(self, name: &str, node: &std::os::fd::OwnedFd) {
        if self == Self::default() && owners::is_roots_alone(node) {
            info!("{name}: only root can open it; --group GROUP gives it to a group");
        }
    }

    /// What to say when they could not be given.
    pub(super) fn refused(self, name: &str, error: io::Error) -> Error {
        let is_not_permitted = files::is_not_permitted(&error);
        let is_nowhere_here = error.kind() == io::ErrorKind::Unsupported;
        let error = Error::new(name, "cannot set group and mode").because(error);
        match self.group {
            Some(group) if is_not_permitted => {
                error.hint(format!("you are not a member of {}; see id", group_name(group)))
            }
            _ if is_nowhere_here => {
                error.hint("leave out --group and --mode; a file has the rights of its folder")
            }
            _ => error,
        }
    }
}
