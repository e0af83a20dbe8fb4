//! Connections: made, and taken in, without blocking.

use crate::sys::Waker;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
#[cfg(not(target_os = "linux"))]
use rustix::io::ioctl_fionbio;
#[cfg(target_os = "linux")]
use rustix::net::SocketFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, sockopt};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A client that has come.
pub type Client = OwnedFd;

/// Two ends of a connection within this process, non-blocking; the second is for a [`Sink`](crate::sys::Sink).
///
/// # Errors
/// When there are no descriptors left.
pub fn pair() -> io::Result<(UnixStream, Client)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((ours, theirs.into()))
}

/// Takes in clients.
pub struct TcpAcceptor(OwnedFd);

impl TcpAcceptor {
    /// Those of this listener.
    ///
    /// # Errors
    /// None here.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        // A client that has gone by the time we take it in must not leave us blocked.
        listener.set_nonblocking(true)?;
        Ok(Self(listener.into()))
    }

    /// Waits for the next one; `None` when the waker is woken first.
    ///
    /// # Errors
    /// What is not this client's trouble alone.
    pub fn accept(&self, stop: &Waker) -> io::Result<Option<Client>> {
        loop {
            let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(&self.0, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if !fds[0].revents().is_empty() => return Ok(None),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            match accept(&self.0) {
                Ok(client) => return Ok(Some(client)),
                Err(errno) if is_the_clients(errno) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

#[cfg(not(target_os = "linux"))]
fn accept(listener: &OwnedFd) -> Result<OwnedFd, Errno> {
    let client = rustix::net::accept(listener)?;
    rustix::io::fcntl_setfd(&client, rustix::io::FdFlags::CLOEXEC)?;
    ioctl_fionbio(&client, true)?;
    Ok(client)
}

/// Whether it is this client that has failed, or gone already, and the next one may be well: Linux
/// tells of trouble in the network as the result of `accept`.
pub fn is_the_clients(errno: Errno) -> bool {
    #[cfg(target_os = "linux")]
    if errno == Errno::NONET {
        return true;
    }
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
            | Errno::OPNOTSUPP
    )
}

fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    let fd = {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socket_with(family, SocketType::STREAM, flags, None)?
    };
    #[cfg(not(target_os = "linux"))]
    let fd = {
        let fd = rustix::net::socket(family, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        ioctl_fionbio(&fd, true)?;
        fd
    };
    Ok(fd)
}

/// A connection that is being made. Ready once it is, or could not be.
pub struct Connecting {
    fd: OwnedFd,
    /// Whether it was made at once.
    is_done: bool,
}

impl Connecting {
    /// Begins to connect to this address.
    ///
    /// # Errors
    /// When it is known at once that this will not do.
    pub fn start(address: &SocketAddr, _longest: Duration) -> io::Result<Self> {
        let is_v4 = address.is_ipv4();
        let fd = socket(if is_v4 { AddressFamily::INET } else { AddressFamily::INET6 })?;
        match connect(&fd, address) {
            Ok(()) => Ok(Self { fd, is_done: true }),
            Err(Errno::INPROGRESS | Errno::INTR) => Ok(Self { fd, is_done: false }),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether there is nothing to wait for.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// The connection.
    ///
    /// # Errors
    /// Why it could not be made.
    pub fn finish(self) -> io::Result<Connection> {
        if !self.is_done {
            sockopt::socket_error(&self.fd)??;
        }
        let stream = TcpStream::from(self.fd);
        if is_its_own_peer(&stream) {
            return Err(Errno::CONNREFUSED.into());
        }
        Ok(Connection(stream.into()))
    }
}

impl AsFd for Connecting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A connection, non-blocking. Readable when octets have come, or the end.
pub struct Connection(OwnedFd);

impl Connection {
    /// To the Unix socket at this path: at once, or not at all.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let fd = socket(AddressFamily::UNIX)?;
        connect(&fd, &address)?;
        Ok(Self(fd))
    }

    /// From now on a silent peer is asked whether it lives, after this time, then at this interval,
    /// so often; and what is sent goes at once.
    ///
    /// # Errors
    /// Where the system has no such thing.
    pub fn keep_alive(&self, idle: Duration, interval: Duration, count: u32) -> io::Result<()> {
        sockopt::set_socket_keepalive(&self.0, true)?;
        sockopt::set_tcp_keepidle(&self.0, idle)?;
        sockopt::set_tcp_keepintvl(&self.0, interval)?;
        sockopt::set_tcp_keepcnt(&self.0, count)?;
        Ok(sockopt::set_tcp_nodelay(&self.0, true)?)
    }

    /// Reads what there is; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing now.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.0, buffer)?)
    }

    /// Writes what fits now.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits.
    pub fn write(&self, octets: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.0, octets)?)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether a connection leads back to itself.
fn is_its_own_peer(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(peer)) if own == peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_to_itself_is_told_from_one_to_somebody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!is_its_own_peer(&stream));
        // Bound to a port and connected to the same one.
        let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&fd, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
        let own = TcpStream::from(fd);
        let address = own.local_addr().unwrap();
        let fd = OwnedFd::from(own);
        connect(&fd, &address).unwrap();
        assert!(is_its_own_peer(&TcpStream::from(fd)));
    }
}
