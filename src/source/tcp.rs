//! A TCP connection as a source: ser2net in raw mode, a node of an IoT laboratory.
//!
//! The name is resolved once, at the start: a look-up cannot be interrupted, and one that hangs
//! must not keep the program from ending. Everything after it can: connecting is done without
//! blocking, in `poll` on the socket and the stop bell. Keepalive is on, since a peer that lost
//! its power says nothing, and we send nothing that would show it.

use super::{Input, Source, Woken, read_once, wait, wait_for, words};
use crate::bell::Bell;
use crate::error::Error;
use crate::packet::{Clock, Timestamp};
use log::debug;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// As much as is read before its frames are handed on.
const BUFFER: usize = 64 * 1024;
/// How long a host may take to answer.
const CONNECT_NS: u64 = 5_000_000_000;
/// Time between two tries to connect again.
const RETRY_NS: u64 = 1_000_000_000;
/// A silent peer is asked whether it lives after this time, and then at this interval.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(10), Duration::from_secs(5), 3);

/// A connection, open or waiting to be back.
pub struct Tcp {
    addresses: Vec<SocketAddr>,
    clock: Clock,
    stop: Arc<Bell>,
    fd: Option<OwnedFd>,
    /// Whether octets came since it was opened.
    heard: bool,
    buffer: Box<[u8]>,
}

/// What came of connecting.
enum Connected {
    Yes(OwnedFd),
    No(Errno),
    /// The stop bell was rung, or a signal came before there was a thread to ring it.
    Interrupted,
}

impl Tcp {
    /// Connects to `HOST:PORT`; `name` is what to call it in messages. With `wait` nobody need
    /// answer there yet.
    ///
    /// # Errors
    /// When the name does not resolve, or nobody answers there.
    pub fn open(
        name: &str,
        host: &str,
        wait: bool,
        clock: Clock,
        stop: Arc<Bell>,
    ) -> Result<Self, Error> {
        let addresses: Vec<SocketAddr> = host
            .to_socket_addrs()
            .map_err(|error| {
                let words = error.to_string();
                let words = words.rsplit(": ").next().unwrap_or(&words);
                Error::new(name, format!("cannot find the host: {words}"))
                    .hint("the form is tcp:HOST:PORT; check the name, or give the address")
            })?
            .collect();
        let buffer = vec![0; BUFFER].into_boxed_slice();
        let mut tcp = Self { addresses, clock, stop, fd: None, heard: false, buffer };
        match tcp.connect(true) {
            Connected::Yes(fd) => tcp.fd = Some(fd),
            Connected::No(_) if wait => {}
            Connected::No(errno) => {
                let hint = match errno {
                    Errno::CONNREFUSED => {
                        "the host is there, but nothing listens on this port; start ser2net (raw mode)"
                    }
                    _ => "check the address, the network and the firewall between",
                };
                return Err(Error::new(name, "cannot connect").because(errno).hint(hint));
            }
            // Whoever reads the signal ends the program; if it was none to end it, the first
            // read says that there is no connection, and we connect again.
            Connected::Interrupted => {}
        }
        Ok(tcp)
    }

    /// Tries each address once. With `at_start` a signal ends it.
    fn connect(&self, at_start: bool) -> Connected {
        let mut last = Errno::ADDRNOTAVAIL;
        for address in &self.addresses {
            match self.connect_to(address, at_start) {
                Connected::No(errno) => last = errno,
                other => return other,
            }
        }
        Connected::No(last)
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
}

impl Source for Tcp {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        let Some(fd) = &self.fd else {
            return Input::Gone("no connection".to_owned(), self.clock.now());
        };
        loop {
            match wait(Some(fd.as_fd()), deadline, &self.clock, &self.stop) {
                Woken::Stop => return Input::Stopped,
                Woken::Deadline => return Input::Silence(self.clock.now()),
                Woken::Ready => {}
            }
            match read_once(fd, &mut self.buffer) {
                Ok(0) => {}
                Ok(len) => {
                    self.heard = true;
                    return Input::Octets(&self.buffer[..len], self.clock.now());
                }
                Err(why) => {
                    self.fd = None;
                    return Input::Gone(why, self.clock.now());
                }
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        // One that hangs up as soon as it is connected must not be connected to in a loop.
        let mut at_once = self.heard;
        let mut last_error = None;
        loop {
            if at_once {
                match self.connect(false) {
                    Connected::Yes(fd) => {
                        self.fd = Some(fd);
                        self.heard = false;
                        return Some(self.clock.now());
                    }
                    Connected::Interrupted => return None,
                    Connected::No(errno) if last_error != Some(errno) => {
                        debug!("cannot connect: {}", words(errno));
                        last_error = Some(errno);
                    }
                    Connected::No(_) => {}
                }
            }
            at_once = true;
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
        let written = rustix::io::write(fd, octets)?;
        if written < octets.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}
