//! The inode at a FIFO's path: opened by a descriptor, wherever its name leads, and made like another
//! one or beside it.

use crate::output::ownership::Ownership;
use crate::sys::Shortage;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, mkfifoat, openat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// An inode, held by a descriptor that is neither a reader nor a writer (`O_PATH`).
pub(super) struct Node {
    pub(super) fd: OwnedFd,
    stat: Stat,
}

impl Node {
    pub(super) fn at(dir: &OwnedFd, file: &OsString) -> rustix::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(dir, file.as_os_str(), flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Self { fd, stat })
    }

    /// A path to this inode, wherever its name leads by now.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd())
    }

    pub(super) fn open(&self, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        rustix::fs::open(self.path(), flags | OFlags::CLOEXEC, Mode::empty())
    }

    pub(super) fn is_fifo(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Fifo
    }

    pub(super) fn is(&self, stat: &Stat) -> bool {
        (self.stat.st_dev, self.stat.st_ino) == (stat.st_dev, stat.st_ino)
    }
}

/// Makes a FIFO of this ownership.
pub(super) fn make_like(
    dir: &OwnedFd,
    file: &OsString,
    ownership: &Ownership,
) -> rustix::io::Result<Node> {
    mkfifoat(dir, file.as_os_str(), ownership.owners_mode())?;
    let dress = || {
        // By its descriptor: the name may lead elsewhere by now, if the directory is shared.
        let node = Node::at(dir, file)?;
        if !node.is_fifo() {
            return Err(Errno::EXIST);
        }
        ownership.give(&node.fd)?;
        Ok(Node { stat: rustix::fs::fstat(&node.fd)?, ..node })
    };
    dress().inspect_err(|_| {
        let _ = unlinkat(dir, file.as_os_str(), AtFlags::empty());
    })
}

/// Makes a FIFO of this ownership under a name of its own in the same directory.
pub(super) fn make_beside(
    dir: &OwnedFd,
    ownership: &Ownership,
) -> rustix::io::Result<(OsString, Node)> {
    for attempt in 0..16 {
        let file = OsString::from(format!(".serialshark-{}-{attempt}", std::process::id()));
        match make_like(dir, &file, ownership) {
            // Another FIFO of ours in this directory is doing the same.
            Err(Errno::EXIST) => {}
            result => return result.map(|node| (file, node)),
        }
    }
    Err(Errno::EXIST)
}

/// Why the FIFO cannot be replaced by one of ours, if that is so.
pub(super) fn rotation_refused(dir: &OwnedFd, node: &Node) -> Option<String> {
    match Ownership::of(&node.fd).and_then(|ownership| make_beside(dir, &ownership)) {
        Ok((file, _)) => {
            let _ = unlinkat(dir, file, AtFlags::empty());
        }
        // It will be seen when a reader has come.
        Err(errno) if Shortage::of_errno(errno).is_some() => {}
        Err(errno) => {
            let words = io::Error::from(errno).kind();
            return Some(format!(
                "cannot make a FIFO with the same owner and mode next to it ({words})"
            ));
        }
    }
    let dir = rustix::fs::fstat(dir).ok()?;
    let us = rustix::process::geteuid();
    let sticky = dir.st_mode & 0o1000 != 0;
    let may = us.is_root() || [dir.st_uid, node.stat.st_uid].contains(&us.as_raw());
    (sticky && !may).then(|| "it belongs to another user, in a sticky directory".to_owned())
}
