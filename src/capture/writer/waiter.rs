//! What a writer thread waits for.
//!
//! When its reader has gone: a pipe says so, and a Unix socket too. A TCP client that closes looks
//! like one that has only said all it has to say (`nc -N`, `ncat < /dev/null`) and still reads; so
//! it is served until a write fails. If it has closed, it is noticed with the next packet. On a silent line
//! the kernel asks every [`PROBE_EVERY`], and knows when the client's system has forgotten it: some
//! two minutes after the close.

use super::End;
use crate::capture::outbox::Outbox;
use crate::output::Stream;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Waits for the bell, for room in the stream, or for its reader's going, without ticking.
pub struct Waiter<'a> {
    /// The queue before the stream.
    pub outbox: &'a Outbox,
    epoll: OwnedFd,
    /// The stream once more, if it can be waited for.
    stream: Option<OwnedFd>,
    /// What the stream may tell at any time, beside its reader's going.
    talk: Cell<epoll::EventFlags>,
    /// Whether it is waited for to have room.
    room: Cell<bool>,
}

/// How often the kernel asks whether a TCP client that says no more is still there.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// How long to wait where memory is short.
const A_MOMENT: Duration = Duration::from_millis(100);

const STREAM: u64 = 0;
const BELL: u64 = 1;
const LATCH: u64 = 2;

impl<'a> Waiter<'a> {
    /// Waits for this stream.
    pub fn new(outbox: &'a Outbox, stream: &Stream) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Edge-triggered, so that nobody needs to read the bell.
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, outbox.bell(), epoll::EventData::new_u64(BELL), edge)?;
        if let Some(latch) = stream.latch() {
            let data = epoll::EventData::new_u64(LATCH);
            epoll::add(&epoll, latch, data, epoll::EventFlags::IN)?;
        }
        // Of a reset a socket tells by itself, of all else by a read that returns nothing.
        let talk = if stream.may_talk() {
            epoll::EventFlags::IN | epoll::EventFlags::RDHUP
        } else {
            epoll::EventFlags::empty()
        };
        let mut watched = None;
        if let Some(fd) = stream.watched() {
            let data = epoll::EventData::new_u64(STREAM);
            let fd = fd.try_clone_to_owned()?;
            match epoll::add(&epoll, &fd, data, talk) {
                Ok(()) => watched = Some(fd),
                // A device such as /dev/null: never full, never without a reader.
                Err(Errno::PERM) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let (talk, room) = (Cell::new(talk), Cell::new(false));
        Ok(Self { outbox, epoll, stream: watched, talk, room })
    }

    /// Waits until a parcel is there, or none will come; or until there is other work to do.
    pub fn for_parcel(&self, other_work: Option<Instant>) -> Result<(), End> {
        while self.outbox.go_to_sleep() {
            let woken = self.wait(other_work);
            self.outbox.wake_up();
            match woken {
                Err(End::OutOfTime) => return Ok(()),
                woken => woken?,
            };
        }
        Ok(())
    }

    /// Waits until the stream takes octets.
    pub fn for_room(&self) -> Result<(), End> {
        if self.stream.is_none() {
            return Err(End::Failed(io::ErrorKind::WouldBlock.into()));
        }
        self.room.set(true);
        self.set_interest()?;
        let room = loop {
            match self.wait(self.outbox.deadline()) {
                Ok(false) => {} // the bell: the time may be limited now
                Ok(true) => break Ok(()),
                Err(end) => break Err(end),
            }
        };
        self.room.set(false);
        self.set_interest()?;
        room
    }

    /// Waits a little while something is short that no event tells of.
    pub fn for_a_moment(&self) -> Result<(), End> {
        let over = Instant::now() + A_MOMENT;
        let until = self.outbox.deadline().map_or(over, |deadline| deadline.min(over));
        match self.wait(Some(until)) {
            Err(End::OutOfTime) if until == over => Ok(()),
            waited => waited.map(drop),
        }
    }

    /// Waits for anything; tells whether the stream has room.
    fn wait(&self, deadline: Option<Instant>) -> Result<bool, End> {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(End::OutOfTime);
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut room = [MaybeUninit::<epoll::Event>::uninit(); 4];
        let (events, _) = match epoll::wait(&self.epoll, &mut room, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(false),
            events => events?,
        };
        let mut has_room = false;
        for event in events {
            let (source, flags) = (event.data.u64(), event.flags);
            let gone = epoll::EventFlags::ERR | epoll::EventFlags::HUP;
            if source == LATCH || (source == STREAM && flags.intersects(gone)) {
                return Err(End::ReaderGone);
            }
            if source == STREAM
                && flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP)
            {
                self.hear_out()?;
            }
            has_room |= source == STREAM && flags.contains(epoll::EventFlags::OUT);
        }
        Ok(has_room)
    }

    fn set_interest(&self) -> rustix::io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let room =
            if self.room.get() { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        let data = epoll::EventData::new_u64(STREAM);
        epoll::modify(&self.epoll, stream.as_fd(), data, self.talk.get() | room)
    }

    /// Throws away what the reader says. When it will say no more, it may still read.
    fn hear_out(&self) -> Result<(), End> {
        let Some(stream) = &self.stream else { return Ok(()) };
        match rustix::io::read(stream, &mut [0; 4096]) {
            Ok(0) => {
                self.talk.set(epoll::EventFlags::empty());
                // Best effort, and nothing for a Unix socket: on a silent line nothing else would
                // tell that a TCP client has gone entirely.
                let _ = sockopt::set_tcp_keepidle(stream, PROBE_EVERY);
                let _ = sockopt::set_tcp_keepintvl(stream, PROBE_EVERY);
                Ok(self.set_interest()?)
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
