//! What a FIFO or socket passes on to the one that takes its place: mode, owner, access list.

use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid, XattrFlags, chmodat, chownat};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

/// Where Linux keeps a POSIX access control list.
const ACL: &str = "system.posix_acl_access";
/// No attribute is larger.
const LARGEST: usize = 64 * 1024;

/// How a node looks to those who want to open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    mode: u32,
    owner: (u32, u32),
    /// As the kernel has it; `None` where the mode says all.
    acl: Option<Vec<u8>>,
}

impl Ownership {
    /// That of the node with this descriptor, for which `O_PATH` is enough.
    ///
    /// # Errors
    /// When the system refuses to tell.
    pub fn of(node: &OwnedFd) -> rustix::io::Result<Self> {
        let stat = rustix::fs::fstat(node)?;
        Ok(Self { mode: stat.st_mode & 0o7777, owner: (stat.st_uid, stat.st_gid), acl: acl(node)? })
    }

    /// Permissions that nobody but the owner has, for the moment before [`give`](Self::give).
    pub fn owners_mode(&self) -> Mode {
        Mode::from_raw_mode(self.mode & 0o700)
    }

    /// Gives it to another node. One in a directory with a default list has got a list already.
    ///
    /// # Errors
    /// When something about it cannot be given.
    pub fn give(&self, node: &OwnedFd) -> rustix::io::Result<()> {
        let has = Self::of(node)?;
        if has.owner != self.owner {
            let (uid, gid) = (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1));
            chownat(node, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
        }
        match &self.acl {
            Some(acl) => rustix::fs::setxattr(path(node), ACL, acl, XattrFlags::empty())?,
            None if has.acl.is_some() => rustix::fs::removexattr(path(node), ACL)?,
            None => {}
        }
        // Comes last: a list sets the mode too.
        if Self::of(node)?.mode != self.mode {
            chmodat(CWD, path(node), Mode::from_raw_mode(self.mode), AtFlags::empty())?;
        }
        Ok(())
    }
}

fn acl(node: &OwnedFd) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut acl = vec![0; 1024];
    loop {
        match rustix::fs::getxattr(path(node), ACL, &mut acl[..]) {
            Ok(len) => {
                acl.truncate(len);
                return Ok(Some(acl));
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            Err(Errno::RANGE) if acl.len() < LARGEST => acl.resize(LARGEST, 0),
            Err(errno) => return Err(errno),
        }
    }
}

/// A path to this node, wherever its name leads by now.
fn path(node: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", node.as_raw_fd())
}
