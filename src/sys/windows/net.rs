//! Connections: made, and taken in, without blocking.

use super::ffi::{Event, socket_news, wait_any, watch_listener, watch_stream};
use crate::sys::Waker;
use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::windows::io::{AsHandle as _, BorrowedHandle};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A client that has come.
pub type Client = TcpStream;

/// Two ends of a connection within this process, non-blocking; the second is for a [`Sink`](crate::sys::Sink).
///
/// # Errors
/// When there is no memory, or no port, left for it.
pub fn pair() -> io::Result<(TcpStream, Client)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let own = ours.local_addr()?;
    // Another program may have come to this port first, which is not to get our octets.
    let theirs = loop {
        let (theirs, from) = listener.accept()?;
        if from == own {
            break theirs;
        }
    };
    for end in [&ours, &theirs] {
        end.set_nonblocking(true)?;
        end.set_nodelay(true)?;
    }
    Ok((ours, theirs))
}

/// Takes in clients.
pub struct TcpAcceptor {
    listener: TcpListener,
    /// Set when one has come.
    event: Event,
}

impl TcpAcceptor {
    /// Those of this listener.
    ///
    /// # Errors
    /// When there is no memory left for it.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        let event = Event::new()?;
        watch_listener(&listener, &event)?;
        Ok(Self { listener, event })
    }

    /// Waits for the next one; `None` when the waker is woken first.
    ///
    /// # Errors
    /// What is not this client's trouble alone.
    pub fn accept(&self, stop: &Waker) -> io::Result<Option<Client>> {
        loop {
            if wait_any(&[stop.as_handle(), self.event.as_handle()], None)? == Some(0) {
                return Ok(None);
            }
            // Before the call, which sets it again if there is another one.
            self.event.reset();
            match self.listener.accept() {
                Ok((client, _)) => return Ok(Some(client)),
                Err(error) if is_the_clients(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether it is this client that has failed, or gone already, and the next one may be well.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    [ConnectionAborted, ConnectionReset, Interrupted, WouldBlock].contains(&error.kind())
}

/// A connection that is being made, by a thread. Ready once it is, or could not be.
pub struct Connecting {
    done: Arc<Waker>,
    result: Arc<Mutex<Option<io::Result<TcpStream>>>>,
}

impl Connecting {
    /// Begins to connect to this address, for so long.
    ///
    /// # Errors
    /// When there is no room for another thread.
    pub fn start(address: &SocketAddr, longest: Duration) -> io::Result<Self> {
        let (done, result) = (Arc::new(Waker::new()?), Arc::new(Mutex::new(None)));
        let connecting = Self { done: Arc::clone(&done), result: Arc::clone(&result) };
        let address = *address;
        std::thread::Builder::new().name("connect".to_owned()).spawn(move || {
            let connected = TcpStream::connect_timeout(&address, longest);
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(connected);
            done.wake();
        })?;
        Ok(connecting)
    }

    /// Whether there is nothing to wait for.
    pub fn is_done(&self) -> bool {
        self.done.wait(Duration::ZERO)
    }

    /// The connection.
    ///
    /// # Errors
    /// Why it could not be made.
    pub fn finish(self) -> io::Result<Connection> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = result.ok_or(io::ErrorKind::TimedOut)??;
        if matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(peer)) if own == peer) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let event = Event::new()?;
        watch_stream(&stream, &event)?;
        Ok(Connection { stream, event, has_ended: Cell::new(false) })
    }

    pub(super) fn done(&self) -> BorrowedHandle<'_> {
        self.done.as_handle()
    }
}

/// A connection, non-blocking. Readable when octets have come, or the end.
pub struct Connection {
    stream: TcpStream,
    event: Event,
    /// The other end has closed its half, which is told once; there may be octets before that.
    has_ended: Cell<bool>,
}

impl Connection {
    /// To the Unix socket at this path: not on Windows.
    ///
    /// # Errors
    /// Always.
    pub fn unix(_path: &Path) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets on Windows"))
    }

    /// From now on what is sent goes at once. How often a silent peer is asked whether it lives is the
    /// system's choice.
    ///
    /// # Errors
    /// Where the system has no such thing.
    pub fn keep_alive(&self, _idle: Duration, _interval: Duration, _count: u32) -> io::Result<()> {
        self.stream.set_nodelay(true)
    }

    /// Reads what there is; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing now.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let news = socket_news(&self.stream, &self.event)?;
        self.has_ended.set(self.has_ended.get() || news.has_ended);
        let read = (&self.stream).read(buffer);
        if self.has_ended.get() {
            // So that the rest is read, and the end seen.
            self.event.set();
        }
        read
    }

    /// Writes what fits now.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits.
    pub fn write(&self, octets: &[u8]) -> io::Result<usize> {
        (&self.stream).write(octets)
    }

    pub(super) fn event(&self) -> BorrowedHandle<'_> {
        self.event.as_handle()
    }
}
