//! What a writer thread waits for.

use super::End;
use crate::capture::outbox::Outbox;
use crate::output::Stream;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// Waits for the bell, for room in the stream, or for its reader's going, without ticking.
pub struct Waiter<'a> {
    /// The queue before the stream.
    pub outbox: &'a Outbox,
    epoll: OwnedFd,
    /// The stream once more, if it can be waited for.
    stream: Option<OwnedFd>,
    /// What to wait for when there is nothing to write.
    idle: epoll::EventFlags,
}

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
        // A socket tells of its reader's going as a read that returns nothing.
        let idle = if stream.may_talk() {
            epoll::EventFlags::IN | epoll::EventFlags::RDHUP
        } else {
            epoll::EventFlags::empty()
        };
        let mut watched = None;
        if let Some(fd) = stream.watched() {
            let data = epoll::EventData::new_u64(STREAM);
            let fd = fd.try_clone_to_owned()?;
            match epoll::add(&epoll, &fd, data, idle) {
                Ok(()) => watched = Some(fd),
                // A device such as /dev/null: never full, never without a reader.
                Err(Errno::PERM) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Self { outbox, epoll, stream: watched, idle })
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
        let Some(stream) = &self.stream else {
            return Err(End::Failed(io::ErrorKind::WouldBlock.into()));
        };
        let interest = |flags| {
            epoll::modify(&self.epoll, stream.as_fd(), epoll::EventData::new_u64(STREAM), flags)
        };
        interest(self.idle | epoll::EventFlags::OUT)?;
        let room = loop {
            match self.wait(self.outbox.deadline()) {
                Ok(false) => {} // the bell: the time may be limited now
                Ok(true) => break Ok(()),
                Err(end) => break Err(end),
            }
        };
        interest(self.idle)?;
        room
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

    /// Throws away what the reader says; its end means that it has gone.
    fn hear_out(&self) -> Result<(), End> {
        let Some(stream) = &self.stream else { return Ok(()) };
        match rustix::io::read(stream, &mut [0; 4096]) {
            Ok(0) => Err(End::ReaderGone),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
