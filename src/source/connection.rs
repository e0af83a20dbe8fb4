//! A connection as a source: ser2net, a serial server, a node of an IoT laboratory; by TCP, raw or
//! with telnet, or by a Unix socket.
//!
//! Everything can be called off: connecting is done without blocking, in `poll` on the socket and
//! the stop bell, and a name is looked up by a [`Lookup`], anew for each try, so that an address
//! that changes is found. Keepalive is on, since a peer that lost its power says nothing, and we
//! send nothing that would show it.
//!
//! A try from an ephemeral port to that very port connects to itself (RFC 793, simultaneous open);
//! it counts as refused.

use super::resolver::Lookup;
use super::telnet::{self, Answer, ComPort, Telnet};
use super::{Input, Source, Woken, read_once, wait, wait_for, words};
use crate::bell::Bell;
use crate::error::Error;
use crate::packet::{Clock, Timestamp};
use log::{debug, warn};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// As much as is read before its frames are handed on.
const BUFFER: usize = 64 * 1024;
/// How long a host may take to answer, and a name to be found.
const CONNECT_NS: u64 = 5_000_000_000;
/// Time between two tries to connect again.
const RETRY_NS: u64 = 1_000_000_000;
/// A silent peer is asked whether it lives after this time, and then at this interval.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `HOST:PORT`, with what is spoken on the way.
    Tcp(String, Speech),
    /// The path of a socket.
    Unix(PathBuf),
}

/// What is spoken on a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// The octets of the line.
    Raw,
    /// These as telnet has them.
    Telnet,
    /// And the far port is set by RFC 2217.
    ComPort(ComPort),
}

/// A connection, open or waiting to be back.
pub struct Connection {
    name: String,
    target: Target,
    clock: Clock,
    stop: Arc<Bell>,
    fd: Option<OwnedFd>,
    telnet: Option<Telnet>,
    lookup: Option<Lookup>,
    /// Whether nothing came yet on this connection.
    is_new: bool,
    buffer: Box<[u8]>,
    /// The octets of the line that telnet had around them.
    line: Vec<u8>,
}

/// What came of connecting.
enum Connected {
    Yes(OwnedFd),
    No(Errno),
    /// The name was not found, for this reason.
    Unknown(String),
    /// The stop bell was rung, or a signal came before there was a thread to ring it.
    Interrupted,
}

impl Connection {
    /// Connects; `name` is what to call it in messages. With `wait` nobody need answer there yet.
    ///
    /// # Errors
    /// When the name does not resolve, or nobody answers there.
    pub fn open(
        name: &str,
        target: Target,
        wait: bool,
        clock: Clock,
        stop: Arc<Bell>,
    ) -> Result<Self, Error> {
        let mut connection = Self {
            name: name.to_owned(),
            target,
            clock,
            stop,
            fd: None,
            telnet: None,
            lookup: None,
            is_new: true,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            line: Vec::new(),
        };
        match connection.connect(true) {
            Connected::Yes(fd) => connection.begin(fd),
            Connected::No(_) | Connected::Unknown(_) if wait => {}
            Connected::Unknown(why) => {
                return Err(Error::new(name, format!("cannot find the host: {why}"))
                    .hint("the form is tcp:HOST:PORT; check the name, or give the address"));
            }
            Connected::No(errno) => {
                let hint = match (&connection.target, errno) {
                    (Target::Unix(_), _) => "check the path, and that a program listens there",
                    (_, Errno::CONNREFUSED) => {
                        "the host is there, but nothing listens on this port; start ser2net"
                    }
                    _ => "check the address, the network and the firewall between",
                };
                return Err(Error::new(name, "cannot connect").because(errno).hint(hint));
            }
            // Whoever reads the signal ends the program; if it was none to end it, the first
            // read says that there is no connection, and we connect again.
            Connected::Interrupted => {}
        }
        Ok(connection)
    }

    /// A connection was made.
    fn begin(&mut self, fd: OwnedFd) {
        self.telnet = match &self.target {
            Target::Tcp(_, Speech::Telnet) => Some(Telnet::new(None)),
            Target::Tcp(_, Speech::ComPort(port)) => Some(Telnet::new(Some(*port))),
            _ => None,
        };
        self.is_new = true;
        self.fd = Some(fd);
        self.reply();
    }

    /// Tries each address once. With `at_start` a signal ends it.
    fn connect(&mut self, at_start: bool) -> Connected {
        match self.target.clone() {
            Target::Unix(path) => match SocketAddrUnix::new(path) {
                Ok(address) => {
                    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
                        .and_then(|fd| connect(&fd, &address).map(|()| fd))
                        .map_or_else(Connected::No, Connected::Yes)
                }
                Err(errno) => Connected::No(errno),
            },
            Target::Tcp(host, _) => {
                let addresses = match self.resolve(&host, at_start) {
                    Ok(addresses) => addresses,
                    Err(other) => return other,
                };
                let mut last = Errno::ADDRNOTAVAIL;
                for address in &addresses {
                    match self.connect_to(address, at_start) {
                        Connected::No(errno) => last = errno,
                        other => return other,
                    }
                }
                Connected::No(last)
            }
        }
    }

    /// The addresses of a host at this moment.
    fn resolve(&mut self, host: &str, at_start: bool) -> Result<Vec<SocketAddr>, Connected> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::NOMEM);
        // One that hangs is still the only one.
        if self.lookup.is_none() {
            let lookup = Lookup::start(host).map_err(|error| Connected::No(errno(error)))?;
            self.lookup = Some(lookup);
        }
        let Some(lookup) = &self.lookup else { return Err(Connected::Interrupted) };
        let deadline = self.clock.now().plus_ns(CONNECT_NS);
        loop {
            let ready = (lookup.as_fd(), PollFlags::IN);
            match wait_for(Some(ready), Some(deadline), &self.clock, &self.stop) {
                Ok(Woken::Ready) => break,
                Ok(Woken::Deadline) => {
                    return Err(Connected::Unknown("no answer to the look-up yet".to_owned()));
                }
                Ok(Woken::Stop) => return Err(Connected::Interrupted),
                Err(_) if at_start => return Err(Connected::Interrupted),
                Err(_) => {}
            }
        }
        let found = self.lookup.take().and_then(|lookup| lookup.take());
        match found {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(error)) => {
                let words = error.to_string();
                let words = words.rsplit(": ").next().unwrap_or(&words);
                Err(Connected::Unknown(words.to_owned()))
            }
            None => Err(Connected::Unknown("the look-up failed".to_owned())),
        }
    }

    fn connect_to(&self, address: &SocketAddr, at_start: bool) -> Connected {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = match socket_with(family, SocketType::STREAM, flags, None) {
            Ok(fd) => fd,
            Err(errno) => return Connected::No(errno),
        };
        match connect(&fd, address) {
            Ok(()) => {}
            Err(Errno::INPROGRESS | Errno::INTR) => {
                let deadline = self.clock.now().plus_ns(CONNECT_NS);
                loop {
                    let ready = (fd.as_fd(), PollFlags::OUT);
                    match wait_for(Some(ready), Some(deadline), &self.clock, &self.stop) {
                        Ok(Woken::Ready) => break,
                        Ok(Woken::Deadline) => return Connected::No(Errno::TIMEDOUT),
                        Ok(Woken::Stop) => return Connected::Interrupted,
                        Err(_) if at_start => return Connected::Interrupted,
                        Err(_) => {}
                    }
                }
                match sockopt::socket_error(&fd) {
                    Ok(Ok(())) => {}
                    Ok(Err(errno)) | Err(errno) => return Connected::No(errno),
                }
            }
            Err(errno) => return Connected::No(errno),
        }
        let stream = TcpStream::from(fd);
        if is_its_own_peer(&stream) {
            return Connected::No(Errno::CONNREFUSED);
        }
        let fd = OwnedFd::from(stream);
        let (idle, interval, count) = KEEPALIVE;
        let options = sockopt::set_socket_keepalive(&fd, true)
            .and_then(|()| sockopt::set_tcp_keepidle(&fd, idle))
            .and_then(|()| sockopt::set_tcp_keepintvl(&fd, interval))
            .and_then(|()| sockopt::set_tcp_keepcnt(&fd, count))
            .and_then(|()| sockopt::set_tcp_nodelay(&fd, true));
        if let Err(errno) = options {
            debug!("{address}: no keepalive: {}", words(errno));
        }
        Connected::Yes(fd)
    }

    /// Sends what telnet has to say, and tells what the far end has said of its port.
    fn reply(&mut self) {
        let (Some(fd), Some(telnet)) = (&self.fd, &mut self.telnet) else { return };
        let replies = telnet.take_replies();
        if !replies.is_empty()
            && let Err(errno) = rustix::io::write(fd, &replies)
        {
            debug!("{}: cannot answer: {}", self.name, words(errno));
        }
        let wanted = match &self.target {
            Target::Tcp(_, Speech::ComPort(port)) => port.baud,
            _ => return,
        };
        for answer in telnet.take_answers() {
            match answer {
                Answer::Baud(baud) if baud == wanted => debug!("{}: {baud} baud", self.name),
                Answer::Baud(baud) => {
                    warn!("{}: asked for {wanted} baud, the far port has {baud}", self.name);
                }
                Answer::Refused => {
                    warn!(
                        "{}: does not let its port be set (no RFC 2217): its rate stays as it is",
                        self.name
                    );
                }
            }
        }
    }

    /// The first octets of a raw connection show if it is none.
    fn look_for_telnet(&mut self, len: usize) {
        if !std::mem::take(&mut self.is_new) {
            return;
        }
        if let Target::Tcp(host, Speech::Raw) = &self.target
            && telnet::is_negotiation(&self.buffer[..len])
        {
            warn!(
                "{}: speaks telnet, which changes the bytes: name the port rfc2217:{host}, or \
                 telnet:{host} if its rate is not to be set",
                self.name
            );
        }
    }
}

/// Whether a connection leads back to itself.
fn is_its_own_peer(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(own), Ok(peer)) if own == peer)
}

impl Source for Connection {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        loop {
            let Some(fd) = &self.fd else {
                return Input::Gone("no connection".to_owned(), self.clock.now());
            };
            match wait(Some(fd.as_fd()), deadline, &self.clock, &self.stop) {
                Woken::Stop => return Input::Stopped,
                Woken::Deadline => return Input::Silence(self.clock.now()),
                Woken::Ready => {}
            }
            let len = match read_once(fd, &mut self.buffer) {
                Ok(0) => continue,
                Ok(len) => len,
                Err(why) => {
                    self.fd = None;
                    return Input::Gone(why, self.clock.now());
                }
            };
            self.look_for_telnet(len);
            let Some(telnet) = &mut self.telnet else {
                return Input::Octets(&self.buffer[..len], self.clock.now());
            };
            self.line.clear();
            telnet.receive(&self.buffer[..len], &mut self.line);
            self.reply();
            if !self.line.is_empty() {
                return Input::Octets(&self.line, self.clock.now());
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        let mut last = None;
        loop {
            let why = match self.connect(false) {
                Connected::Yes(fd) => {
                    self.begin(fd);
                    return Some(self.clock.now());
                }
                Connected::Interrupted => return None,
                Connected::No(errno) => words(errno),
                Connected::Unknown(why) => why,
            };
            if last.as_ref() != Some(&why) {
                debug!("{}: cannot connect: {why}", self.name);
                last = Some(why);
            }
            let retry = self.clock.now().plus_ns(RETRY_NS);
            if wait(None, Some(retry), &self.clock, &self.stop) == Woken::Stop {
                return None;
            }
        }
    }

    fn is_open(&self) -> bool {
        self.fd.is_some()
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let fd = self.fd.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let octets = match self.telnet {
            Some(_) => Telnet::escaped(octets),
            None => octets.to_vec(),
        };
        let written = rustix::io::write(fd, &octets)?;
        if written < octets.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_connection_to_itself_is_told_from_one_to_somebody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!is_its_own_peer(&stream));
        // Bound to a port and connected to the same one.
        use rustix::net::bind;
        let flags = SocketFlags::CLOEXEC;
        let fd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
        bind(&fd, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
        let own = TcpStream::from(fd);
        let address = own.local_addr().unwrap();
        let fd = OwnedFd::from(own);
        connect(&fd, &address).unwrap();
        assert!(is_its_own_peer(&TcpStream::from(fd)));
    }
}
