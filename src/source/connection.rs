//! A connection as a source: ser2net, a serial server, a node of an IoT laboratory; by TCP, raw or
//! with telnet, or by a Unix socket.
//!
//! Everything can be called off: connecting is done without blocking, in `poll` on the socket and
//! the stop waker, and a name is looked up by a [`Lookup`], anew for each try, so that an address
//! that changes is found. Keepalive is on, since a peer that lost its power says nothing, and we
//! send nothing that would show it.
//!
//! A try from an ephemeral port to that very port connects to itself (RFC 793, simultaneous open);
//! it counts as refused.

use super::resolver::Lookup;
use super::telnet::{self, Answer, ComPort, Telnet};
use super::{Input, Source, Woken, wait, wait_once};
use crate::error::{Error, words};
use crate::sys::{Waker, net};
use crate::time::{MonoClock, Timestamp};
use log::{debug, warn};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
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

/// Of each read so much is looked at for telnet.
const FIRST_LOOK: usize = 1024;
/// So many octets in so long without an answer to an offer come from no telnet.
const ENOUGH_OCTETS: usize = 100;
const ENOUGH_NS: u64 = 2_000_000_000;

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
    clock: MonoClock,
    stop: Arc<Waker>,
    connection: Option<net::Connection>,
    telnet: Option<Telnet>,
    lookup: Option<Lookup>,
    /// Of a raw connection what it began with, as long as that may be telnet.
    beginning: Option<Vec<u8>>,
    /// Since when there is this connection, and how many octets came.
    since: Timestamp,
    received: usize,
    /// What was said of the far end: each connection would say it again.
    warned: Vec<String>,
    buffer: Box<[u8]>,
    /// The octets of the line that telnet had around them.
    line: Vec<u8>,
}

/// What came of connecting.
enum Connected {
    Yes(net::Connection),
    No(io::Error),
    /// The name was not found, for this reason.
    Unknown(String),
    /// The stop waker was woken, or a signal came before there was a thread to wake it.
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
        clock: MonoClock,
        stop: Arc<Waker>,
    ) -> Result<Self, Error> {
        let mut connection = Self {
            name: name.to_owned(),
            target,
            clock,
            stop,
            connection: None,
            telnet: None,
            lookup: None,
            beginning: None,
            since: clock.now(),
            received: 0,
            warned: Vec::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            line: Vec::new(),
        };
        match connection.connect(true) {
            Connected::Yes(made) => connection.begin(made),
            Connected::No(_) | Connected::Unknown(_) if wait => {}
            Connected::Unknown(why) => {
                return Err(Error::new(name, format!("cannot find the host: {why}"))
                    .hint("the form is tcp:HOST:PORT; check the name, or give the address"));
            }
            Connected::No(error) => {
                let hint = match (&connection.target, error.kind()) {
                    (Target::Unix(_), ErrorKind::Unsupported) => "use tcp:HOST:PORT",
                    (Target::Unix(_), ErrorKind::WouldBlock) => {
                        "a program listens there, but does not take the connection: see how it is"
                    }
                    (Target::Unix(_), _) => "check the path, and that a program listens there",
                    (_, ErrorKind::ConnectionRefused) => {
                        "the host is there, but nothing listens on this port; start ser2net"
                    }
                    _ => "check the address, the network and the firewall between",
                };
                return Err(Error::new(name, "cannot connect").because(error).hint(hint));
            }
            // Whoever reads the signal ends the program; if it was none to end it, the first
            // read says that there is no connection, and we connect again.
            Connected::Interrupted => {}
        }
        Ok(connection)
    }

    /// A connection was made.
    fn begin(&mut self, connection: net::Connection) {
        self.telnet = match &self.target {
            Target::Tcp(_, Speech::Telnet) => Some(Telnet::new(None)),
            Target::Tcp(_, Speech::ComPort(port)) => Some(Telnet::new(Some(*port))),
            _ => None,
        };
        self.beginning = self.telnet.is_none().then(Vec::new);
        (self.since, self.received) = (self.clock.now(), 0);
        self.connection = Some(connection);
        self.reply();
    }

    /// Tries each address once. With `at_start` a signal ends it.
    fn connect(&mut self, at_start: bool) -> Connected {
        match self.target.clone() {
            Target::Unix(path) => {
                net::Connection::unix(&path).map_or_else(Connected::No, Connected::Yes)
            }
            Target::Tcp(host, _) => {
                let addresses = match self.resolve(&host, at_start) {
                    Ok(addresses) => addresses,
                    Err(other) => return other,
                };
                let mut last = ErrorKind::AddrNotAvailable.into();
                for address in &addresses {
                    match self.connect_to(address, at_start) {
                        Connected::No(error) => last = error,
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
        // One that hangs is still the only one.
        if self.lookup.is_none() {
            let lookup = Lookup::start(host).map_err(Connected::No)?;
            self.lookup = Some(lookup);
        }
        let Some(lookup) = &self.lookup else { return Err(Connected::Interrupted) };
        let deadline = self.clock.now().plus_ns(CONNECT_NS);
        loop {
            match wait_once(Some(lookup.done()), Some(deadline), &self.clock, &self.stop) {
                Woken::Ready => break,
                Woken::Timeout => {
                    return Err(Connected::Unknown("no answer to the look-up yet".to_owned()));
                }
                Woken::Stop => return Err(Connected::Interrupted),
                Woken::Interrupted if at_start => return Err(Connected::Interrupted),
                Woken::Interrupted => {}
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
        let connecting = match net::Connecting::start(address, Duration::from_nanos(CONNECT_NS)) {
            Ok(connecting) => connecting,
            Err(error) => return Connected::No(error),
        };
        let deadline = self.clock.now().plus_ns(CONNECT_NS);
        while !connecting.is_done() {
            match wait_once(Some(&connecting), Some(deadline), &self.clock, &self.stop) {
                Woken::Ready => break,
                Woken::Timeout => return Connected::No(ErrorKind::TimedOut.into()),
                Woken::Stop => return Connected::Interrupted,
                Woken::Interrupted if at_start => return Connected::Interrupted,
                Woken::Interrupted => {}
            }
        }
        let connection = match connecting.finish() {
            Ok(connection) => connection,
            Err(error) => return Connected::No(error),
        };
        let (idle, interval, count) = KEEPALIVE;
        if let Err(error) = connection.keep_alive(idle, interval, count) {
            debug!("{address}: no keepalive: {}", words(error));
        }
        Connected::Yes(connection)
    }

    /// Sends what telnet has to say, and tells what the far end has said of its port.
    fn reply(&mut self) {
        let (Some(connection), Some(telnet)) = (&self.connection, &mut self.telnet) else { return };
        let replies = telnet.take_replies();
        if !replies.is_empty()
            && let Err(error) = connection.write(&replies)
        {
            debug!("{}: cannot answer: {}", self.name, words(error));
        }
        let wanted = match &self.target {
            Target::Tcp(_, Speech::ComPort(port)) => port.line.baud,
            _ => return,
        };
        for answer in telnet.take_answers() {
            match answer {
                Answer::Baud(baud) if baud == wanted => debug!("{}: {baud} baud", self.name),
                Answer::Baud(baud) => {
                    self.warn_once(format!("asked for {wanted} baud, the far port has {baud}"));
                }
                Answer::Refused => self.warn_once(
                    "has no RFC 2217, so its port cannot be set: its rate stays as it is"
                        .to_owned(),
                ),
            }
        }
    }

    fn warn_once(&mut self, what: String) {
        /// A far end may have another rate each time.
        const MOST: usize = 8;
        if self.warned.len() < MOST && !self.warned.contains(&what) {
            warn!("{}: {what}", self.name);
            self.warned.push(what);
        }
    }

    /// The first octets of a raw connection show if it is none; and one of telnet is none if it
    /// never answers.
    fn look_for_telnet(&mut self, len: usize) {
        let is_mute = self.telnet.as_ref().is_some_and(|telnet| !telnet.is_answered());
        if self.beginning.is_none() && !is_mute {
            return;
        }
        let Target::Tcp(host, _) = self.target.clone() else { return };
        self.received = self.received.saturating_add(len);
        if let Some(beginning) = &mut self.beginning {
            beginning.extend_from_slice(&self.buffer[..len.min(FIRST_LOOK)]);
            let Some(is_telnet) = telnet::is_negotiation(beginning) else { return };
            self.beginning = None;
            if is_telnet {
                self.warn_once(format!(
                    "speaks telnet, which changes the bytes: name the port rfc2217:{host}, or \
                     telnet:{host} if its rate is not to be set"
                ));
            }
        }
        if is_mute
            && self.received >= ENOUGH_OCTETS
            && self.clock.now().ns_since(self.since) >= ENOUGH_NS
        {
            self.warn_once(format!("does not answer as telnet does; a raw port is tcp:{host}"));
        }
    }
}

impl Source for Connection {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        loop {
            let Some(connection) = &self.connection else {
                return Input::Gone("no connection".to_owned(), self.clock.now());
            };
            match wait(Some(connection), deadline, &self.clock, &self.stop) {
                Woken::Stop => return Input::Stopped,
                Woken::Timeout => return Input::Silence(self.clock.now()),
                Woken::Ready | Woken::Interrupted => {}
            }
            // Once, since the kernel fetches what comes next while frames are looked for in this.
            let why = match connection.read(&mut self.buffer) {
                Ok(len) if len > 0 => Ok(len),
                Ok(_) => Err("hung up".to_owned()),
                Err(error)
                    if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) =>
                {
                    continue;
                }
                Err(error) => Err(words(error)),
            };
            let len = match why {
                Ok(len) => len,
                Err(why) => {
                    self.connection = None;
                    return Input::Gone(why, self.clock.now());
                }
            };
            if let Some(telnet) = &mut self.telnet {
                self.line.clear();
                telnet.receive(&self.buffer[..len], &mut self.line);
                self.reply();
            }
            self.look_for_telnet(len);
            if self.telnet.is_none() {
                return Input::Octets(&self.buffer[..len], self.clock.now());
            }
            if !self.line.is_empty() {
                return Input::Octets(&self.line, self.clock.now());
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        let mut last = None;
        loop {
            let why = match self.connect(false) {
                Connected::Yes(connection) => {
                    self.begin(connection);
                    return Some(self.clock.now());
                }
                Connected::Interrupted => return None,
                Connected::No(error) => words(error),
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
        self.connection.is_some()
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let connection = self.connection.as_ref().ok_or(ErrorKind::NotConnected)?;
        let octets = match self.telnet {
            Some(_) => Telnet::escaped(octets),
            None => octets.to_vec(),
        };
        let written = connection.write(&octets)?;
        if written < octets.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}
