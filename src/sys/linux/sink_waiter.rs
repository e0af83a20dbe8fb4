//! Waits for a sink and a waker: in `epoll`, so that the waker need not be read.
//!
//! When the reader of a sink has gone: a pipe says so, and a Unix socket too. A TCP client that closes
//! looks like one that has only said all it has to say (`nc -N`, `ncat < /dev/null`) and still reads;
//! so it is served until a write fails. If it has closed, it is noticed with the next packet. On a
//! silent line the kernel asks every [`PROBE_EVERY`], and knows when the client's system has forgotten
//! it: some two minutes after the close.

use crate::sys::{Readiness, Sink, Waker};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How often the kernel asks whether a TCP client that says no more is still there.
const PROBE_EVERY: Duration = Duration::from_secs(30);

const STREAM: u64 = 0;
const WAKER: u64 = 1;
const CLOSE_WATCH: u64 = 2;

/// Waits for a waker, for room in a sink, or for its reader's going, without ticking.
pub struct SinkWaiter {
    epoll: OwnedFd,
    /// The sink once more, if it can be waited for.
    sink: Option<OwnedFd>,
    /// What the sink may tell at any time, beside its reader's going.
    talk: Cell<epoll::EventFlags>,
    /// Whether it is waited for to have room.
    room: Cell<bool>,
}

impl SinkWaiter {
    /// Waits for this waker, and for this sink if there is one.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(waker: &Waker, sink: Option<&Sink>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        // Edge-triggered, so that nobody needs to read the waker.
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, waker, epoll::EventData::new_u64(WAKER), edge)?;
        if let Some(close_watch) = sink.and_then(Sink::close_watch) {
            let data = epoll::EventData::new_u64(CLOSE_WATCH);
            epoll::add(&epoll, close_watch, data, epoll::EventFlags::IN)?;
        }
        // Of a reset a socket tells by itself, of all else by a read that returns nothing.
        let talk = if sink.is_some_and(Sink::may_talk) {
            epoll::EventFlags::IN | epoll::EventFlags::RDHUP
        } else {
            epoll::EventFlags::empty()
        };
        let mut watched = None;
        if let Some(sink) = sink {
            let data = epoll::EventData::new_u64(STREAM);
            let fd = sink.as_fd().try_clone_to_owned()?;
            match epoll::add(&epoll, &fd, data, talk) {
                Ok(()) => watched = Some(fd),
                // A device such as /dev/null: never full, never without a reader.
                Err(Errno::PERM) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Self { epoll, sink: watched, talk: Cell::new(talk), room: Cell::new(false) })
    }

    /// Whether there is a sink that may have no room.
    pub fn may_be_full(&self) -> bool {
        self.sink.is_some()
    }

    /// Whether it is waited for to have room, from now on.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn want_room(&self, is_wanted: bool) -> io::Result<()> {
        self.room.set(is_wanted);
        Ok(self.set_interest()?)
    }

    /// Waits for anything; returns at once with nothing when a signal comes.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Readiness> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut room = [MaybeUninit::<epoll::Event>::uninit(); 4];
        let (events, _) = match epoll::wait(&self.epoll, &mut room, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(Readiness::default()),
            events => events?,
        };
        let mut readiness = Readiness::default();
        for event in events {
            let (source, flags) = (event.data.u64(), event.flags);
            let gone = epoll::EventFlags::ERR | epoll::EventFlags::HUP;
            if source == CLOSE_WATCH || (source == STREAM && flags.intersects(gone)) {
                return Ok(Readiness { is_gone: true, ..readiness });
            }
            if source == STREAM
                && flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP)
            {
                self.hear_out()?;
            }
            readiness.has_room |= source == STREAM && flags.contains(epoll::EventFlags::OUT);
        }
        Ok(readiness)
    }

    fn set_interest(&self) -> rustix::io::Result<()> {
        let Some(sink) = &self.sink else { return Ok(()) };
        let room =
            if self.room.get() { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        let data = epoll::EventData::new_u64(STREAM);
        epoll::modify(&self.epoll, sink.as_fd(), data, self.talk.get() | room)
    }

    /// Throws away what the reader says. When it will say no more, it may still read.
    fn hear_out(&self) -> io::Result<()> {
        let Some(sink) = &self.sink else { return Ok(()) };
        match rustix::io::read(sink, &mut [0; 4096]) {
            Ok(0) => {
                self.talk.set(epoll::EventFlags::empty());
                // Best effort, and nothing for a Unix socket: on a silent line nothing else would
                // tell that a TCP client has gone entirely.
                let _ = sockopt::set_tcp_keepidle(sink, PROBE_EVERY);
                let _ = sockopt::set_tcp_keepintvl(sink, PROBE_EVERY);
                Ok(self.set_interest()?)
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
