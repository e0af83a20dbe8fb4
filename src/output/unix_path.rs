//! A listening Unix socket at a path, where it is made again when it is removed.
//!
//! Its inode is watched, as a FIFO's is: a removal or a move wakes who waits. The socket that takes
//! its place is another one with the same mode, owner and access list; clients of the first keep
//! their connections. Anything else that another program has put there is left alone, and ends the output.

use super::admission::RETRY;
use super::ownership::Ownership;
use super::permissions::Permissions;
use crate::error::Error;
use log::{info, warn};
use rustix::event::Timespec;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, inotify};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 16;
/// Mode of a Unix socket. Not subject to the umask: without write permission a group could not
/// connect, and a socket that nobody can connect to is of no use.
const MODE: u32 = 0o660;

/// The path of a listening Unix socket.
pub struct UnixPath {
    path: PathBuf,
    /// What is there, held with `O_PATH`.
    node: OwnedFd,
    stat: Stat,
    /// Readable when the node is removed or moved, or looks different.
    watch: Option<OwnedFd>,
    /// Whether the path was found to lead elsewhere.
    is_lost: bool,
}

impl UnixPath {
    /// Listens at `path`, on a socket with these permissions. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// When something else is there, somebody listens on it, or it cannot be made.
    pub fn listen(path: &Path, permissions: Permissions) -> Result<(OwnedFd, Self), Error> {
        let fail = |what: &str, errno: Errno| Error::new(path.display(), what).because(errno);
        SocketAddrUnix::new(path)
            .map_err(|errno| fail("is not a valid path for a socket", errno))?;
        match rustix::fs::lstat(path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
                return Err(Error::new(path.display(), "exists and is not a socket")
                    .hint("choose another path, or remove it"));
            }
            Ok(_) if is_stale(path).map_err(|errno| fail("cannot make a socket", errno))? => {
                rustix::fs::unlink(path).map_err(|errno| fail("cannot replace it", errno))?;
            }
            Ok(_) => {
                return Err(Error::new(path.display(), "another program listens there")
                    .hint("choose another path, or end the other one first"));
            }
            Err(_) => {}
        }
        let (fd, node, stat) = make(path, None).map_err(|errno| {
            fail("cannot make the socket", errno)
                .hint("choose a directory that exists and that you may write to")
        })?;
        let mut made = Self { path: path.to_owned(), node, stat, watch: None, is_lost: false };
        permissions
            .give(&made.node)
            .map_err(|error| permissions.refused(&path.display().to_string(), error))?;
        permissions.tell_if_roots(&path.display().to_string(), &made.node);
        made.watch();
        if made.watch.is_none() {
            warn!("{}: cannot be watched: checking every second", path.display());
        }
        Ok((fd, made))
    }

    /// What is readable when it should be looked whether it [`is_there`](Self::is_there).
    pub fn watched(&self) -> Option<&OwnedFd> {
        self.watch.as_ref()
    }

    /// When to look although nothing was heard: at once if it is not there, and every second where
    /// it cannot be watched.
    pub fn look_after(&self) -> Option<Timespec> {
        let after = if self.is_lost { Duration::ZERO } else { RETRY };
        Timespec::try_from(after).ok().filter(|_| self.is_lost || self.watch.is_none())
    }

    /// Whether the path still leads to our socket.
    pub fn is_there(&mut self) -> bool {
        let mut events = [0; 4096];
        if let Some(watch) = &self.watch {
            while rustix::io::read(watch, &mut events).is_ok_and(|len| len > 0) {}
        }
        let is = |stat: Stat| (stat.st_dev, stat.st_ino) == (self.stat.st_dev, self.stat.st_ino);
        self.is_lost = !rustix::fs::lstat(&self.path).is_ok_and(is);
        !self.is_lost
    }

    /// The path does not lead to our socket any more: makes one like it.
    ///
    /// # Errors
    /// When that is not possible; what is short may be there at the next call.
    pub fn restore(&mut self) -> Result<OwnedFd, Errno> {
        let ownership = Ownership::of(&self.node)?;
        let made = match make(&self.path, Some(&ownership)) {
            Err(Errno::ADDRINUSE) if is_stale(&self.path)? => {
                rustix::fs::unlink(&self.path)?;
                make(&self.path, Some(&ownership))
            }
            made => made,
        };
        let (fd, node, stat) = made?;
        (self.node, self.stat, self.is_lost) = (node, stat, false);
        self.watch();
        info!("{}: was removed; made again", self.path.display());
        Ok(fd)
    }

    fn watch(&mut self) {
        let watch = || {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let fd = inotify::init(flags)?;
            let changes = inotify::WatchFlags::ATTRIB | inotify::WatchFlags::MOVE_SELF;
            inotify::add_watch(&fd, proc_path(&self.node), changes)?;
            Ok::<_, Errno>(fd)
        };
        self.watch = watch().ok();
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

/// A path to a node, wherever its name leads by now.
fn proc_path(node: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", node.as_raw_fd())
}

fn socket() -> Result<OwnedFd, Errno> {
    // Non-blocking: a program that is stopped would keep us waiting for our connection.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Whether a socket is there on which nobody listens. (Of a file the kernel says the same.)
fn is_stale(path: &Path) -> Result<bool, Errno> {
    let there = FileType::from_raw_mode(rustix::fs::lstat(path)?.st_mode);
    Ok(there == FileType::Socket
        && connect(&socket()?, &SocketAddrUnix::new(path)?) == Err(Errno::CONNREFUSED))
}

/// A listening socket of this ownership, its node, and what that is.
fn make(path: &Path, ownership: Option<&Ownership>) -> Result<(OwnedFd, OwnedFd, Stat), Errno> {
    let fd = socket()?;
    bind(&fd, &SocketAddrUnix::new(path)?)?;
    let dress = || {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = rustix::fs::open(path, flags, Mode::empty())?;
        // Before `listen` nobody can connect, whatever the mode is.
        match ownership {
            Some(ownership) => ownership.give(&node)?,
            None => {
                let mode = Mode::from_raw_mode(MODE);
                chmodat(CWD, proc_path(&node), mode, AtFlags::empty())?;
            }
        }
        listen(&fd, BACKLOG)?;
        let stat = rustix::fs::fstat(&node)?;
        Ok((node, stat))
    };
    let (node, stat) = dress().inspect_err(|_| {
        let _ = rustix::fs::unlink(path);
    })?;
    Ok((fd, node, stat))
}
