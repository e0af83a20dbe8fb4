//! TCP and Unix stream sockets as listeners: each client is a stream of its own.
//!
//! A client has nothing to say. What it sends is read and thrown away, since it may show
//! that it leaves; its receive buffer is small, so that a client which sends and sends costs
//! next to nothing.

use super::entrance::Entrance;
use super::unix_path::UnixPath;
use super::{Kind, Listener, Stream};
use crate::error::Error;
use log::warn;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Octets of a client's senseless talk that the kernel may hold.
const RECEIVE_BUFFER: usize = 4096;
/// A socket that clients connect to.
pub struct Socket {
    name: String,
    how: String,
    /// Locked by `accept` alone, for as long as that takes.
    listening: Mutex<Listening>,
    entrance: Entrance,
}

/// Where clients come in.
struct Listening {
    fd: OwnedFd,
    /// Of a Unix socket.
    path: Option<UnixPath>,
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
        let how = format!("wireshark -k -i {name}");
        let (fd, path) = UnixPath::listen(path)?;
        Self::new(name, how, fd, Some(path))
    }

    fn new(name: String, how: String, fd: OwnedFd, path: Option<UnixPath>) -> Result<Self, Error> {
        let cannot = |error| Error::new(&name, "cannot listen").because(error);
        // A client that has gone by the time we take it in must not leave us blocked.
        rustix::io::ioctl_fionbio(&fd, true).map_err(|errno| cannot(errno.into()))?;
        let entrance = Entrance::new(&name, "clients").map_err(cannot)?;
        Ok(Self { name, how, listening: Mutex::new(Listening { fd, path }), entrance })
    }

    /// Takes a client in, or turns it away where there are too many.
    fn admit(&self, fd: OwnedFd) -> Option<Stream> {
        let (fd, place) = self.entrance.admit(fd)?;
        self.entrance.keep_pace();
        // Best effort: without these a client is served all the same.
        let _ = sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER);
        let _ = sockopt::set_socket_keepalive(&fd, true);
        let _ = sockopt::set_tcp_nodelay(&fd, true); // nothing for a Unix socket
        Some(Stream {
            name: self.name.clone(),
            fd,
            kind: Kind::Socket,
            latch: None,
            written: 0,
            _lease: Some(Box::new(place)),
        })
    }
}

impl Listener for Socket {
    fn accept(&self) -> Result<Option<Stream>, Error> {
        let cannot = |what: &str, errno| Error::new(&self.name, what).because(errno);
        // A panic elsewhere ends the program.
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Listening { fd, path } = &mut *listening;
            let stop = self.entrance.stop_bell();
            let mut fds = vec![PollFd::new(stop, PollFlags::IN), PollFd::new(fd, PollFlags::IN)];
            let watched = path.as_ref().and_then(UnixPath::watched);
            fds.extend(watched.map(|watched| PollFd::new(watched, PollFlags::IN)));
            match poll(&mut fds, path.as_ref().and_then(UnixPath::look_after).as_ref()) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(None),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(cannot("cannot wait", errno)),
            }
            let has_client = !fds[1].revents().is_empty();
            if let Some(path) = path
                && !has_client
                && !path.is_there()
            {
                match path.restore() {
                    Ok(restored) => *fd = restored,
                    Err(errno) => self
                        .entrance
                        .wait_out_shortage(errno)
                        .map_err(|errno| cannot("was removed, and cannot be made again", errno))?,
                }
                continue;
            }
            match accept_with(&*fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => {
                    if let Some(stream) = self.admit(client) {
                        return Ok(Some(stream));
                    }
                }
                Err(errno) if is_the_clients(errno) => {}
                Err(errno) => self
                    .entrance
                    .wait_out_shortage(errno)
                    .map_err(|errno| cannot("cannot accept", errno))?,
            }
        }
    }

    fn tend(&self) {}

    fn stop(&self) {
        self.entrance.stop_bell().ring();
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn how_to_read(&self) -> &str {
        &self.how
    }
}

/// Whether it is this client that has failed, or gone already, and the next one may be well: Linux
/// tells of trouble in the network as the result of `accept`.
fn is_the_clients(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::INTR
            | Errno::AGAIN
            | Errno::CONNABORTED
            | Errno::PERM
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NONET
            | Errno::OPNOTSUPP
    )
}
