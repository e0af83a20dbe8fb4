//! One stream's delivery: parcels in, whole records out, until its reader leaves.
//!
//! Each stream has a thread that writes. Records are collected while parcels wait, and sent when
//! none does, in runs of whole records that the stream takes entirely or not at all.
//!
//! On a slow line most of the cost of a packet would be to wake that thread for it. So where the
//! thread sleeps and the stream takes octets without waiting, a reader thread writes its few
//! frames itself: [`Delivery::offer`]. Whatever comes in its way there (a full pipe, an error)
//! it leaves to the thread, and never waits for it.
//!
//! A rotating file opens its next stream itself: the same thread ends one stream with its
//! trailer and starts the next with its header, between two records of the same queue. So
//! nothing can be lost or doubled there, and the rest of the program need not know.

use super::merge::Run;
use super::outbox::{Outbox, Parcel};
use crate::encode::{Encoder, StreamCounts};
use crate::output::Stream;
use crate::packet::{Clock, Packet, Timestamp};
use crate::wall::WallClock;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a reader thread writes itself, at most: their records fit one write in any format. More is
/// left to the stream's thread, so that at full speed framing and writing go on side by side.
const FEW_FRAMES: usize = 4;
/// The same in octets of frames.
const FEW_OCTETS: usize = 1024;

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

/// A stream with its queue: what reader threads offer frames to.
pub struct Delivery {
    /// What waits for the stream's thread, and the account of all.
    pub outbox: Outbox,
    /// Since when it is open.
    pub opened: Timestamp,
    /// Whoever holds it may take parcels and write. Gone with the stream.
    writer: Mutex<Option<Writer>>,
    /// Whether the stream takes octets without waiting.
    is_swift: bool,
}

impl Delivery {
    /// A delivery into `stream`, with its header in `buffer`.
    pub fn new(
        outbox: Outbox,
        stream: Stream,
        encoder: Encoder,
        buffer: Vec<u8>,
        wall: Arc<WallClock>,
    ) -> Self {
        let clock = wall.clock();
        let ports = outbox.counts().len();
        let (is_swift, opened) = (stream.is_swift(), clock.now());
        let writer = Writer {
            stream,
            encoder,
            buffer,
            sent: 0,
            unsent: vec![0; ports],
            is_empty: true,
            reported: vec![0; ports],
            accounted: vec![StreamCounts::default(); ports],
            clock,
            wall,
        };
        Self { outbox, opened, writer: Mutex::new(Some(writer)), is_swift }
    }

    /// Offers frames; never blocks.
    pub fn offer(&self, run: &Run) {
        if self.is_swift
            && run.len() <= FEW_FRAMES
            && run.octets() <= FEW_OCTETS
            && let Ok(mut writer) = self.writer.try_lock()
            && let Some(writer) = &mut *writer
            && writer.buffer.is_empty()
            && !self.outbox.has_parcel()
        {
            let parcel = self.outbox.pass(run);
            if writer.write_now(&parcel, &self.outbox).is_err() || !writer.buffer.is_empty() {
                self.outbox.leave_rest();
            }
        } else {
            self.outbox.offer(run);
        }
    }

    /// The stream's thread: writes it to its end, and closes it.
    pub fn run(&self) -> End {
        let end = self.write_all().err().unwrap_or(End::Finished);
        if let Some(mut writer) = self.lock().take() {
            writer.abandon_unsent(&self.outbox);
        }
        end
    }

    fn write_all(&self) -> Result<(), End> {
        let waiter = match &*self.lock() {
            Some(writer) => Waiter::new(&self.outbox, &writer.stream)?,
            None => return Ok(()),
        };
        loop {
            let mut writer = self.lock();
            let Some(open) = &mut *writer else { return Ok(()) };
            open.write_waiting(&waiter)?;
            if self.outbox.is_next_stream_wanted() && open.stream.takes_turns() && !open.is_empty {
                open.next_stream(&waiter)?;
                open.send(open.buffer.len(), &waiter)?;
            }
            if self.outbox.is_closing() && !self.outbox.has_parcel() {
                open.finish(&self.outbox.counts(), &waiter)?;
                return Ok(open.stream.sync()?);
            }
            let sync_due = open.stream.sync_due();
            drop(writer);
            waiter.for_parcel(sync_due)?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        // A panic elsewhere ends the program.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer {
    stream: Stream,
    encoder: Encoder,
    /// Whole records, of which the first `sent` octets are written.
    buffer: Vec<u8>,
    sent: usize,
    /// How many packets of each port are in `buffer`.
    unsent: Vec<u64>,
    /// Whether the stream has no packets yet, those in `buffer` counted in.
    is_empty: bool,
    /// How many dropped packets of each port the records told of.
    reported: Vec<u64>,
    /// What the trailers of earlier streams of the same output told.
    accounted: Vec<StreamCounts>,
    clock: Clock,
    wall: Arc<WallClock>,
}

impl Writer {
    /// Writes all that waits.
    fn write_waiting(&mut self, waiter: &Waiter<'_>) -> Result<(), End> {
        // First what a reader thread has left.
        self.send(self.buffer.len(), waiter)?;
        while let Some(parcel) = waiter.outbox.take() {
            self.encode(&parcel, waiter)?;
        }
        self.send(self.buffer.len(), waiter)
    }

    /// Writes the few frames of a parcel as far as the stream takes them without waiting; the
    /// rest stays in the buffer.
    fn write_now(&mut self, parcel: &Parcel, outbox: &Outbox) -> Result<(), End> {
        let port = parcel.run.port();
        self.unsent[port] += parcel.run.len() as u64;
        let mut dropped = parcel.dropped_before;
        for packet in parcel.run.packets() {
            self.encoder.packet(&packet, std::mem::take(&mut dropped), &mut self.buffer)?;
        }
        self.reported[port] += parcel.dropped_before;
        self.is_empty = false;
        self.try_send(self.buffer.len(), outbox)?;
        Ok(())
    }

    /// Writes the trailer, given the counts of the whole output up to here.
    fn finish(&mut self, counts: &[StreamCounts], waiter: &Waiter<'_>) -> Result<(), End> {
        let own: Vec<_> =
            counts.iter().zip(&self.accounted).map(|(all, before)| all.minus(before)).collect();
        self.encoder.finish(&own, self.clock.now(), &mut self.buffer)?;
        self.send(self.buffer.len(), waiter)
    }

    /// Ends this stream and starts the next one of the same output.
    fn next_stream(&mut self, waiter: &Waiter<'_>) -> Result<(), End> {
        self.send(self.buffer.len(), waiter)?;
        // What is still queued, and drops that no record told of, belong to the next one.
        let mut counts = waiter.outbox.counts();
        for (counts, reported) in counts.iter_mut().zip(&self.reported) {
            counts.dropped = *reported;
            counts.framed = counts.delivered + counts.dropped;
        }
        self.finish(&counts, waiter)?;
        self.accounted = counts;
        let now = self.clock.now();
        self.stream.next(now)?;
        self.encoder = self.encoder.restart(now, self.wall.now(), &mut self.buffer)?;
        self.is_empty = true;
        Ok(())
    }

    /// Adds the records of a parcel to the buffer, and sends what is too much for one write.
    fn encode(&mut self, parcel: &Parcel, waiter: &Waiter<'_>) -> Result<(), End> {
        let port = parcel.run.port();
        let mut dropped = parcel.dropped_before;
        let mut packets = parcel.run.packets();
        while let Some(packet) = packets.next() {
            let dropped = std::mem::take(&mut dropped);
            let added = self.add(&packet, dropped, waiter);
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

    /// Adds the record of a packet, and sends what it makes too much for one write or for this
    /// stream.
    fn add(&mut self, packet: &Packet<'_>, dropped: u64, waiter: &Waiter<'_>) -> Result<(), End> {
        let whole = self.buffer.len();
        self.encoder.packet(packet, dropped, &mut self.buffer)?;
        if !self.is_empty && self.stream.is_complete(self.buffer.len(), &self.clock) {
            self.buffer.truncate(whole);
            self.next_stream(waiter)?;
            // Anew, since its time may be another one there.
            self.encoder.packet(packet, dropped, &mut self.buffer)?;
        } else if whole > 0 && self.buffer.len() > self.stream.largest_write() {
            self.send(whole, waiter)?;
        }
        Ok(())
    }

    /// Writes the first `len` octets of the buffer, which hold whole records, all that are
    /// counted in `unsent`.
    fn send(&mut self, len: usize, waiter: &Waiter<'_>) -> Result<(), End> {
        while !self.try_send(len, waiter.outbox)? {
            waiter.for_room()?;
        }
        if self.stream.sync_due().is_some_and(|due| due <= Instant::now()) {
            self.stream.sync()?;
        }
        Ok(())
    }

    /// The same as far as it goes without waiting; tells whether it is all.
    fn try_send(&mut self, len: usize, outbox: &Outbox) -> Result<bool, End> {
        while self.sent < len {
            match self.stream.write(&self.buffer[self.sent..len]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.sent = 0;
        self.buffer.drain(..len);
        for (port, packets) in self.unsent.iter_mut().enumerate() {
            outbox.delivered(port, std::mem::take(packets));
        }
        Ok(true)
    }

    fn abandon_unsent(&mut self, outbox: &Outbox) {
        for (port, packets) in self.unsent.iter_mut().enumerate() {
            outbox.abandoned(port, std::mem::take(packets));
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
