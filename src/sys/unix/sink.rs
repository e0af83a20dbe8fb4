//! Where octets go that somebody reads: a pipe, a socket, or what we were given as standard
//! output. A write never waits, and the reader's going can be waited for.

use super::copier::Copier;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Octets of a reader's senseless talk that the kernel may hold.
const RECEIVE_BUFFER: usize = 4096;

/// How a descriptor behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A pipe of our own, non-blocking.
    Pipe,
    /// A descriptor shared with other programs, which must stay in blocking mode.
    Shared,
    /// A connected stream socket of our own, non-blocking.
    Socket,
}

/// The writing end.
#[derive(Debug)]
pub struct Sink {
    fd: OwnedFd,
    kind: Kind,
    /// Readable once the reader has gone, where the descriptor itself may not tell.
    close_watch: Option<OwnedFd>,
}

impl Sink {
    /// A pipe of our own, which is non-blocking already; `close_watch` is readable once its reader
    /// has gone, where the pipe itself may not tell.
    pub fn pipe(fd: OwnedFd, close_watch: Option<OwnedFd>) -> Self {
        Self { fd, kind: Kind::Pipe, close_watch }
    }

    /// A client's connected socket, which is non-blocking already.
    ///
    /// # Errors
    /// None here.
    pub fn socket(fd: OwnedFd) -> io::Result<Self> {
        // Best effort: without these a client is served all the same.
        let _ = sockopt::set_socket_recv_buffer_size(&fd, RECEIVE_BUFFER);
        let _ = sockopt::set_socket_keepalive(&fd, true);
        let _ = sockopt::set_tcp_nodelay(&fd, true); // nothing for a Unix socket
        Ok(Self { fd, kind: Kind::Socket, close_watch: None })
    }

    /// The second end of a pair within this process.
    ///
    /// # Errors
    /// None here.
    pub fn paired(fd: OwnedFd) -> io::Result<Self> {
        Self::socket(fd)
    }

    /// What we were given, and share with others; and who copies to it, where a write of ours might
    /// wait for ever.
    ///
    /// # Errors
    /// When there are no descriptors or threads left.
    pub fn shared(given: File) -> io::Result<(Self, Option<Copier>)> {
        let is_terminal = given.is_terminal();
        let fd = OwnedFd::from(given);
        // Opened once more it need not block, and the one that we were given stays as it is for
        // other programs. Not possible for a socket, or what belongs to another user, as after su.
        if let Some(own) = reopened(&fd) {
            return Ok((Self::pipe(own, None), None));
        }
        if is_terminal {
            let (inlet, copier) = Copier::start("stdout", fd.into())?;
            return Ok((Self::pipe(inlet.into(), None), Some(copier)));
        }
        Ok((Self { fd, kind: Kind::Shared, close_watch: None }, None))
    }

    /// The largest run of whole records for one write, which is to go out entirely or not at
    /// all. Pipes take up to `PIPE_BUF` octets like this. A socket that is ready has room for a
    /// third of its buffer at least, and this is less than a third of the smallest one.
    pub fn largest_write(&self) -> usize {
        match self.kind {
            Kind::Pipe | Kind::Shared => 4096,
            Kind::Socket => 8192,
        }
    }

    /// Whether [`write`](Self::write) may be called where nothing may wait, not even a little.
    pub fn is_nonblocking(&self) -> bool {
        self.kind != Kind::Shared
    }

    /// Whether its reader may say something, which is of no interest, but its going is.
    pub(in crate::sys) fn may_talk(&self) -> bool {
        self.kind == Kind::Socket
    }

    /// Readable once the reader has gone, where the descriptor itself may miss it.
    pub(in crate::sys) fn close_watch(&self) -> Option<BorrowedFd<'_>> {
        self.close_watch.as_ref().map(AsFd::as_fd)
    }

    /// Whether its reader has gone, as far as it tells at this moment.
    pub fn is_left(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::empty())];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
            && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
    }

    /// Writes what fits without waiting, and returns how much that is.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits, `BrokenPipe` when the reader has gone.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.kind != Kind::Pipe && !has_room(&self.fd)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(rustix::io::write(&self.fd, octets)?)
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(target_os = "linux")]
fn reopened(fd: &OwnedFd) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// The path of a descriptor leads to itself, and not to what it is open on.
#[cfg(not(target_os = "linux"))]
fn reopened(_fd: &OwnedFd) -> Option<OwnedFd> {
    None
}

fn has_room(fd: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(!fds[0].revents().is_empty())
}
