//! The writer thread of one stream: parcels in, whole records out, until its reader leaves.
//!
//! Records are collected while parcels wait, and sent when none does, in runs of whole records
//! that the stream takes entirely or not at all.
//!
//! A rotating file opens its next stream itself: the same thread ends one stream with its
//! trailer and starts the next with its header, between two records of the same queue. So
//! nothing can be lost or doubled there, and the rest of the program need not know.

use super::outbox::{Outbox, Parcel};
use crate::encode::{Encoder, StreamCounts};
use crate::output::Stream;
use crate::packet::Clock;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// How a stream ended.
#[derive(Debug)]
pub enum End {
    /// With its trailer.
    Finished,
    /// Its reader left.
    ReaderGone,
    /// The program ended, and its reader did not take the rest in time.
    OutOfTime,
    /// It could not be written.
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::ReaderGone,
            _ => Self::Failed(error),
        }
    }
}

impl From<Errno> for End {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

/// Writes a stream to its end: `buffer` holds its header.
pub fn run(
    outbox: &Outbox,
    stream: Stream,
    encoder: Encoder,
    buffer: Vec<u8>,
    clock: &Clock,
) -> End {
    let ports = outbox.counts().len();
    let writer = Waiter::new(outbox, &stream).map(|waiter| Writer {
        outbox,
        waiter,
        stream,
        encoder,
        buffer,
        unsent: vec![0; ports],
        is_empty: true,
        reported: vec![0; ports],
        accounted: vec![StreamCounts::default(); ports],
        clock,
    });
    match writer {
        Ok(mut writer) => match writer.write_all() {
            Ok(()) => End::Finished,
            Err(end) => {
                writer.abandon_unsent();
                end
            }
        },
        Err(error) => End::Failed(error),
    }
}

struct Writer<'a> {
    outbox: &'a Outbox,
    waiter: Waiter<'a>,
    stream: Stream,
    encoder: Encoder,
    /// Whole records that are not written yet.
    buffer: Vec<u8>,
    /// How many packets of each port are in `buffer`.
    unsent: Vec<u64>,
    /// Whether the stream has no packets yet, those in `buffer` counted in.
    is_empty: bool,
    /// How many dropped packets of each port the records told of.
    reported: Vec<u64>,
    /// What the trailers of earlier streams of the same output told.
    accounted: Vec<StreamCounts>,
    clock: &'a Clock,
}

impl Writer<'_> {
    fn write_all(&mut self) -> Result<(), End> {
        loop {
            while let Some(parcel) = self.outbox.take() {
                self.encode(&parcel)?;
            }
            self.send(self.buffer.len())?;
            if self.outbox.is_closing() && !self.outbox.has_parcel() {
                break;
            }
            self.waiter.for_parcel(self.stream.sync_due())?;
        }
        let counts = self.outbox.counts();
        self.finish(&counts)?;
        Ok(self.stream.sync()?)
    }

    /// Writes the trailer, given the counts of the whole output up to here.
    fn finish(&mut self, counts: &[StreamCounts]) -> Result<(), End> {
        let own: Vec<_> =
            counts.iter().zip(&self.accounted).map(|(all, before)| all.minus(before)).collect();
        self.encoder.finish(&own, self.clock.now(), &mut self.buffer)?;
        self.send(self.buffer.len())
    }

    /// Ends this stream and starts the next one of the same output.
    fn next_stream(&mut self) -> Result<(), End> {
        self.send(self.buffer.len())?;
        // What is still queued, and drops that no record told of, belong to the next one.
        let mut counts = self.outbox.counts();
        for (counts, reported) in counts.iter_mut().zip(&self.reported) {
            counts.dropped = *reported;
            counts.framed = counts.delivered + counts.dropped;
        }
        self.finish(&counts)?;
        self.accounted = counts;
        let now = self.clock.now();
        self.stream.next(now)?;
        self.encoder = self.encoder.restart(now, &mut self.buffer)?;
        self.is_empty = true;
        Ok(())
    }

    /// Adds the records of a parcel to the buffer, and sends what is too much for one write.
    fn encode(&mut self, parcel: &Parcel) -> Result<(), End> {
        let port = parcel.run.port();
        let mut dropped = parcel.dropped_before;
        let mut packets = parcel.run.packets();
        while let Some(packet) = packets.next() {
            let whole = self.buffer.len();
            let dropped = std::mem::take(&mut dropped);
            let added = match self.encoder.packet(&packet, dropped, &mut self.buffer) {
                Ok(()) => self.make_way(whole),
                Err(error) => Err(error.into()),
            };
            self.unsent[port] += 1;
            if let Err(end) = added {
                self.unsent[port] += packets.count() as u64;
                return Err(end);
            }
            self.reported[port] += dropped;
            self.is_empty = false;
        }
        Ok(())
    }

    /// Sends what the new record, which begins at `whole`, makes too much for one write or for
    /// this stream.
    fn make_way(&mut self, whole: usize) -> Result<(), End> {
        if !self.is_empty && self.stream.is_complete(self.buffer.len(), self.clock) {
            let record = self.buffer.split_off(whole);
            self.next_stream()?;
            self.buffer.extend_from_slice(&record);
        } else if whole > 0 && self.buffer.len() > self.stream.largest_write() {
            self.send(whole)?;
        }
        Ok(())
    }

    /// Writes the first `len` octets of the buffer, which hold whole records, all that are
    /// counted in `unsent`.
    fn send(&mut self, len: usize) -> Result<(), End> {
        let mut sent = 0;
        while sent < len {
            match self.stream.write(&self.buffer[sent..len]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiter.for_room()?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.buffer.drain(..len);
        for (port, packets) in self.unsent.iter_mut().enumerate() {
            self.outbox.delivered(port, std::mem::take(packets));
        }
        if self.stream.sync_due().is_some_and(|due| due <= Instant::now()) {
            self.stream.sync()?;
        }
        Ok(())
    }

    fn abandon_unsent(&mut self) {
        for (port, packets) in self.unsent.iter_mut().enumerate() {
            self.outbox.abandoned(port, std::mem::take(packets));
        }
    }
}

/// Waits for the bell, for room in the stream, or for its reader's going, without ticking.
struct Waiter<'a> {
    outbox: &'a Outbox,
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
    fn new(outbox: &'a Outbox, stream: &Stream) -> io::Result<Self> {
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
    fn for_parcel(&self, other_work: Option<Instant>) -> Result<(), End> {
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
    fn for_room(&self) -> Result<(), End> {
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
