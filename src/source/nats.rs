//! Trunks that a NATS server keeps, as ports: what is stored, and then what comes.
//!
//! A [`Subscription`] has the connection and writes each trunk's messages
//! into a socket, as one pcapng stream; a [`Stored`] reads that and makes batches of it. The server
//! keeps what is not read yet, so nothing is lost by an output that is slow.

mod subscription;

use super::{Input, Pace, Source, Woken, wait};
use crate::decode::pieces::Pieces;
use crate::decode::{self, Recorded};
use crate::error::Error;
use crate::framing::{PROTOCOLS, Protocol};
use crate::nats::query::{Place, Query, Range};
use crate::packet::{Batch, Captured, Damage, Direction, Notes};
use crate::sys::Waker;
use crate::sys::pipe_reader::PipeReader;
use crate::time::{MonoClock, Timestamp, WallOffset};
use log::{Level, warn};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use subscription::{Feed, Subscription};

/// As much as is read before its packets are handed on.
const BUFFER: usize = 64 * 1024;
/// A packet may be stored so much later than it was heard.
const LATE_NS: u64 = 1_000_000_000;
/// How often it is looked whether all that was stored has come.
const LOOK_NS: u64 = 100_000_000;
/// How often a server that is missing at the start is asked again.
const RETRY: Duration = Duration::from_secs(5);

/// A trunk that was found.
pub struct Found {
    /// `SITE.TRUNK`.
    pub name: String,
    /// What its packets say of their line.
    pub interface: decode::Interface,
    /// Where its packets come from.
    pub source: Stored,
}

/// One trunk.
pub struct Stored {
    name: String,
    pipe: PipeReader,
    pieces: Pieces,
    range: Range,
    clock: MonoClock,
    stop: Arc<Waker>,
    buffer: Box<[u8]>,
    /// Whether the server has no more at the moment than was written into the pipe.
    is_caught_up: Arc<AtomicBool>,
    /// Whether all that was stored has been read.
    is_live: bool,
    /// Whether packets came that are behind the range.
    is_over: bool,
    /// Ends with the last of its trunks.
    _subscription: Arc<Subscription>,
}

/// Asks the server for its trunks, and begins to read them. With `waits` a server that cannot be
/// reached, or has no such trunk yet, is waited for; with `follows` all end when there are other
/// trunks. `None` when the stop waker was woken first.
///
/// # Errors
/// When there is no such server, or no such trunk on it.
pub fn open(
    query: &Query,
    waits: bool,
    follows: bool,
    clock: MonoClock,
    stop: &Arc<Waker>,
) -> Result<Option<Vec<Found>>, Error> {
    let name = query.address.to_string();
    let mut is_told = false;
    let (subscription, feeds) = loop {
        match Subscription::start(query, follows, clock.now(), stop) {
            Ok(Some(started)) => break started,
            Ok(None) => return Ok(None),
            Err(error) if waits => {
                if !std::mem::replace(&mut is_told, true) {
                    warn!("{error}; it is tried again");
                }
                if stop.wait(RETRY) {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    };
    let subscription = Arc::new(subscription);
    let found = feeds.into_iter().map(|feed| {
        let Feed { trunk, interface, socket, is_caught_up, goes_on } = feed;
        let pipe = PipeReader::new(File::from(socket))
            .map_err(|error| Error::new(&name, "cannot read").because(error))?;
        let source = Stored {
            name: trunk.to_string(),
            pipe,
            pieces: Pieces::default(),
            range: Range { goes_on, ..query.range },
            clock,
            stop: Arc::clone(stop),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            is_caught_up,
            is_live: false,
            is_over: false,
            _subscription: Arc::clone(&subscription),
        };
        Ok(Found { name: trunk.to_string(), interface, source })
    });
    found.collect::<Result<_, _>>().map(Some)
}

/// What is stored of one trunk, as a capture up to the newest packet of now. Packets before and behind
/// the range may be in it.
pub struct Past {
    /// The server and the trunk.
    pub name: String,
    /// What its packets say of their line.
    pub interface: decode::Interface,
    /// The octets of the capture.
    pub input: Box<dyn Read>,
}

/// Reads what is stored of one trunk.
///
/// # Errors
/// When there is no such server, or not one such trunk on it.
pub fn read(query: &Query, clock: MonoClock) -> Result<Past, Error> {
    let name = query.address.to_string();
    let cannot = |error: io::Error| Error::new(&name, "cannot read").because(error);
    let never = Waker::new().map_err(cannot)?;
    let Some((subscription, mut feeds)) = Subscription::start(query, false, clock.now(), &never)?
    else {
        return Err(cannot(ErrorKind::Interrupted.into()));
    };
    let (Some(feed), true) = (feeds.pop(), feeds.is_empty()) else {
        return Err(Error::new(&name, "is more than one trunk").hint("report on one at a time"));
    };
    let socket = UnixStream::from(feed.socket);
    socket.set_nonblocking(false).map_err(cannot)?;
    let input = Box::new(PastInput { socket, _subscription: subscription });
    Ok(Past { name, interface: feed.interface, input })
}

/// The octets, as long as they are subscribed to.
struct PastInput {
    socket: UnixStream,
    _subscription: Subscription,
}

impl Read for PastInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

/// The protocol whose packets these are; of several with the same link type the one that was typed, or
/// that the description begins with.
pub fn protocol_of(
    interface: &decode::Interface,
    typed: Option<&'static Protocol>,
) -> Option<&'static Protocol> {
    let fits = |row: &&Protocol| row.link_type.0 == interface.link_type;
    let described = |row: &&&Protocol| {
        let description = interface.description.as_deref().unwrap_or_default();
        description.strip_prefix(row.help).is_some_and(|rest| rest.starts_with(", "))
    };
    let all = || PROTOCOLS.iter();
    let typed = typed.filter(fits);
    typed
        .or_else(|| all().filter(described).copied().find(|row| fits(row)))
        .or_else(|| all().copied().find(|row| fits(row)))
}

impl Stored {
    /// The packets in what was read; those before damage, which is the end.
    fn packets(&mut self, len: usize) -> Batch {
        let mut batch = Batch::new(0);
        let (range, is_over) = (self.range, &mut self.is_over);
        let result = self.pieces.push(&self.buffer[..len], |packet| {
            match range.place(packet.time.unwrap_or_default()) {
                Place::Before => {}
                Place::Inside if !*is_over => push(&mut batch, packet),
                Place::Inside => {}
                Place::Behind => *is_over = true,
            }
        });
        if let Err(problem) = result {
            Error::new(&self.name, problem).log(Level::Error);
            self.is_over = true;
        }
        batch
    }

    /// Until when something may come, if there is an end to it.
    fn end(&self) -> Option<Timestamp> {
        self.range.to.filter(|_| self.range.goes_on).map(|to| to.plus_ns(LATE_NS))
    }
}

/// Adds a packet as it was captured.
fn push(batch: &mut Batch, packet: &Recorded<'_>) {
    let direction = match packet.flags & 0b11 {
        0b01 => Direction::Inbound,
        0b10 => Direction::Outbound,
        _ => Direction::Unknown,
    };
    let notes = Notes {
        time: packet.time.unwrap_or_default(),
        original_len: packet.original_len,
        damage: Damage::of_epb_flags(packet.flags),
        direction,
        ..Notes::default()
    };
    let captured = Captured {
        flags: packet.flags,
        dropped: packet.dropped,
        comment: packet.comment.map(str::to_owned),
    };
    batch.push_captured(packet.octets, notes, captured);
}

impl Source for Stored {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        loop {
            if self.is_over {
                return Input::Ended;
            }
            // Looked at first: what is in the pipe by then is all that was stored.
            let is_caught_up = self.is_caught_up.load(Ordering::Acquire);
            let looks = !self.is_live || self.end().is_some() && !is_caught_up;
            let look = looks.then(|| self.clock.now().plus_ns(LOOK_NS));
            let end = self.end().filter(|_| is_caught_up);
            let until = [deadline, end, look].into_iter().flatten().min();
            match wait(Some(&self.pipe), until, &self.clock, &self.stop) {
                Woken::Stop => return Input::Stopped,
                Woken::Timeout if end.is_some_and(|end| end <= self.clock.now()) => {
                    return Input::Ended;
                }
                Woken::Timeout => {
                    self.is_live |= is_caught_up;
                    return Input::Silence(self.clock.now());
                }
                Woken::Ready | Woken::Interrupted => {}
            }
            match self.pipe.read(&mut self.buffer) {
                Ok(0) => return Input::Ended,
                Ok(len) => {
                    let batch = self.packets(len);
                    if !batch.is_empty() {
                        return Input::Packets(batch);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    Error::new(&self.name, "cannot read").because(error).log(Level::Error);
                    return Input::Ended;
                }
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn write(&mut self, _octets: &[u8]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn wall(&self) -> Option<WallOffset> {
        // Packets have the wall time of the machine that heard them.
        Some(WallOffset { recorded: true, ..WallOffset::default() })
    }

    fn pace(&self) -> Pace {
        // Messages come a tenth of a second or more after their packets.
        if self.is_live { Pace::Paced } else { Pace::Stored }
    }

    fn is_live(&self) -> bool {
        false
    }
}
