//! TCP and Unix stream sockets as listeners: each client is a stream of its own.
//!
//! A client has nothing to say. What it sends is read and thrown away, since only that shows
//! when it leaves; its receive buffer is small, so that a client which sends and sends costs
//! next to nothing. At most [`MAX_CLIENTS`] are served at once.

use super::RETRY;
use super::{Kind, Listener, Stream};
use crate::bell::Bell;
use crate::error::{Error, words};
use log::warn;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, FileType, Mode, chmodat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with, sockopt,
};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Clients that one listener serves at once.
const MAX_CLIENTS: usize = 64;
/// Octets of a client's senseless talk that the kernel may hold.
const RECEIVE_BUFFER: usize = 4096;
/// Clients that may wait to be accepted.
const BACKLOG: i32 = 16;
/// Mode of a Unix socket. Not subject to the umask: without write permission a group could not
/// connect, and a socket that nobody can connect to is of no use.
const MODE: u32 = 0o660;

/// A socket that clients connect to.
pub struct Socket {
    name: String,
    how: String,
    fd: OwnedFd,
    /// A Unix socket's path and inode, to be removed at the end.
    path: Option<(PathBuf, u64)>,
    clients: Arc<AtomicUsize>,
    refusing: AtomicBool,
    stop: Bell,
}

impl Socket {
    /// Listens on a TCP address, `[ADDR:]PORT`; without an address on 127.0.0.1.
    ///
    /// # Errors
    /// When the address is in use, not ours, or no address.
    pub fn tcp(address: &str) -> Result<Self, Error> {
        let with_host =
            if address.contains(':') { address.to_owned() } else { format!("127.0.0.1:{address}") };
        let addresses: Vec<SocketAddr> = with_host
            .to_socket_addrs()
            .map_err(|error| Error::new(address, "is no TCP address").because(error))?
            .collect();
        let name = format!("TCP {with_host}");
        let listener = TcpListener::bind(&addresses[..]).map_err(|error| {
            let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
            let error = Error::new(&name, "cannot listen").because(error);
            if in_use {
                error.hint("another program listens there; choose another port")
            } else {
                error
            }
        })?;
        let local =
            listener.local_addr().map_err(|e| Error::new(&name, "cannot listen").because(e))?;
        if !local.ip().is_loopback() {
            warn!("{name}: whoever can reach this address can read the bus");
        }
        Self::new(name, format!("wireshark -k -i TCP@{local}"), listener.into(), None)
    }

    /// Listens on a Unix socket. One that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// When something else is there, somebody listens on it, or it cannot be made.
    pub fn unix(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let fail = |what: &str, errno: Errno| Error::new(&name, what).because(errno);
        let address =
            SocketAddrUnix::new(path).map_err(|errno| fail("is no path for a socket", errno))?;
        let socket = || {
            let flags = SocketFlags::CLOEXEC;
            socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
                .map_err(|errno| fail("cannot make a socket", errno))
        };
        match rustix::fs::lstat(path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
                return Err(Error::new(&name, "exists and is not a socket")
                    .hint("choose another path, or remove it"));
            }
            Ok(_) if connect(&socket()?, &address) == Err(Errno::CONNREFUSED) => {
                rustix::fs::unlink(path).map_err(|errno| fail("cannot replace it", errno))?;
            }
            Ok(_) => {
                return Err(Error::new(&name, "another program listens there")
                    .hint("choose another path, or end the other one first"));
            }
            Err(_) => {}
        }
        let fd = socket()?;
        let listening = bind(&fd, &address).and_then(|()| {
            // Before `listen` nobody can connect, whatever the mode is.
            let made = rustix::fs::lstat(path)?;
            chmodat(CWD, path, Mode::from_raw_mode(MODE), AtFlags::empty())?;
            listen(&fd, BACKLOG)?;
            Ok(made.st_ino)
        });
        let inode = listening.map_err(|errno| {
            fail("cannot make the socket", errno)
                .hint("choose a directory that exists and that you may write to")
        })?;
        let how = format!("wireshark -k -i {name}");
        Self::new(name, how, fd, Some((path.to_owned(), inode)))
    }

    fn new(
        name: String,
        how: String,
        fd: OwnedFd,
        path: Option<(PathBuf, u64)>,
    ) -> Result<Self, Error> {
        let cannot = |error| Error::new(&name, "cannot listen").because(error);
        // A client that has gone by the time we take it in must not leave us blocked.
        rustix::io::ioctl_fionbio(&fd, true).map_err(|errno| cannot(errno.into()))?;
        let stop = Bell::new().map_err(cannot)?;
        Ok(Self {
            name,
            how,
            fd,
            path,
            clients: Arc::default(),
            refusing: AtomicBool::new(false),
            stop,
        })
    }

    /// Takes a client in, or turns it away where there are too many.
    fn admit(&self, fd: OwnedFd) -> Option<Stream> {
        if self.clients.fetch_add(1, Ordering::AcqRel) >= MAX_CLIENTS {
            self.clients.fetch_sub(1, Ordering::AcqRel);
            if !self.refusing.swap(true, Ordering::Relaxed) {
                warn!("{}: more than {MAX_CLIENTS} clients: turning them away", self.name);
            }
            return None;
        }
        self.refusing.store(false, Ordering::Relaxed);
        // Best effort: without these a client is served all the same.
        let _ = sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER);
        let _ = sockopt::set_socket_keepalive(&fd, true);
        if self.path.is_none() {
            let _ = sockopt::set_tcp_nodelay(&fd, true);
        }
        Some(Stream {
            name: self.name.clone(),
            fd,
            kind: Kind::Socket,
            latch: None,
            written: 0,
            _lease: Some(Box::new(Lease(Arc::clone(&self.clients)))),
        })
    }
}

/// A client's place among [`MAX_CLIENTS`].
struct Lease(Arc<AtomicUsize>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Listener for Socket {
    fn accept(&self) -> Result<Option<Stream>, Error> {
        loop {
            let mut fds =
                [PollFd::new(&self.stop, PollFlags::IN), PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(None),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::new(&self.name, "cannot wait").because(errno)),
            }
            match accept_with(&self.fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => {
                    if let Some(stream) = self.admit(client) {
                        return Ok(Some(stream));
                    }
                }
                // The client has gone already.
                Err(Errno::INTR | Errno::CONNABORTED | Errno::AGAIN) => {}
                Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS)) => {
                    warn!("{}: no client can be served just now: {}", self.name, words(errno));
                    self.stop.wait(RETRY);
                }
                Err(errno) => return Err(Error::new(&self.name, "cannot accept").because(errno)),
            }
        }
    }

    fn tend(&self) {}

    fn stop(&self) {
        self.stop.ring();
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn how_to_read(&self) -> &str {
        &self.how
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some((path, inode)) = &self.path
            && rustix::fs::lstat(path).is_ok_and(|stat| stat.st_ino == *inode)
        {
            let _ = rustix::fs::unlink(path);
        }
    }
}
