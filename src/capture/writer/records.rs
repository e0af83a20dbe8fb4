//! Packets to whole records to the stream, and the account of them.

use super::End;
use super::waiter::Waiter;
use crate::capture::outbox::{Missed, Outbox, Parcel};
use crate::encode::{Encoder, StreamCounts};
use crate::error::words;
use crate::output::Stream;
use crate::output::shortage::is_full;
use crate::packet::{Clock, Packet, Timestamp};
use crate::wall::WallClock;
use log::{info, warn};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// A shortage is over when it was not met for so long. Where a large record does not fit a small one
/// may, and each of them is no news.
const OVER_AFTER_NS: u64 = 1_000_000_000;

/// Writes the streams of one output, one after the other.
pub struct Writer {
    stream: Stream,
    encoder: Encoder,
    /// Whole records, of which the first `sent` octets are written.
    buffer: Vec<u8>,
    sent: usize,
    /// How much of `buffer` is the header, as long as that is not written.
    header: usize,
    /// What is in `buffer` of each port.
    unsent: Vec<Unsent>,
    /// What of each port a shortage has cost, since the last record.
    lost: Vec<Missed>,
    /// Whether the stream has no packets yet, those in `buffer` counted in.
    is_empty: bool,
    /// Whether its trailer is written.
    is_finished: bool,
    /// Whether a shortage costs packets, and is not the end: what is live cannot be had again.
    may_drop: bool,
    /// When something was found short, lately, and what.
    short: Option<(Timestamp, Errno)>,
    /// How many dropped packets of each port the records told of.
    reported: Vec<u64>,
    /// What the trailers of earlier streams of the same output told.
    accounted: Vec<StreamCounts>,
    clock: Clock,
    wall: Arc<WallClock>,
}

/// Records of one port that are not written yet.
#[derive(Clone, Copy, Debug, Default)]
struct Unsent {
    packets: u64,
    /// What they tell of that was missed before them, and of gaps of their own.
    told: Missed,
}

impl Writer {
    /// With the header in `buffer`, and no packets yet.
    pub fn new(
        stream: Stream,
        encoder: Encoder,
        buffer: Vec<u8>,
        ports: usize,
        wall: Arc<WallClock>,
        may_drop: bool,
    ) -> Self {
        Self {
            stream,
            encoder,
            header: buffer.len(),
            buffer,
            sent: 0,
            unsent: vec![Unsent::default(); ports],
            lost: vec![Missed::default(); ports],
            is_empty: true,
            is_finished: false,
            may_drop,
            short: None,
            reported: vec![0; ports],
            accounted: vec![StreamCounts::default(); ports],
            clock: wall.clock(),
            wall,
        }
    }

    /// The stream that it writes.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether all records are written.
    pub fn is_idle(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Writes all that waits.
    pub fn write_waiting(&mut self, waiter: &Waiter<'_>) -> Result<(), End> {
        // First what a reader thread has left.
        self.send(self.buffer.len(), waiter)?;
        while let Some(parcel) = waiter.outbox.take() {
            self.encode(&parcel, waiter)?;
        }
        self.send(self.buffer.len(), waiter)?;
        Ok(())
    }

    /// Writes the few frames of a parcel as far as the stream takes them without waiting; the
    /// rest stays in the buffer.
    pub fn write_now(&mut self, parcel: &Parcel, outbox: &Outbox) -> Result<(), End> {
        let port = parcel.run.port();
        self.unsent[port].packets += parcel.run.len() as u64;
        let mut missed = parcel.missed;
        for packet in parcel.run.packets() {
            let Missed { packets, gap_ns } = std::mem::take(&mut missed);
            let packet = Packet { gap_ns: packet.gap_ns + gap_ns, ..packet };
            self.encoder.packet(&packet, packets, &mut self.buffer)?;
        }
        self.reported[port] += parcel.missed.packets;
        self.is_empty = false;
        self.try_send(self.buffer.len(), outbox)?;
        Ok(())
    }

    /// Starts the next stream although there is no packet for it, where there is one to start and
    /// this one has packets.
    pub fn start_next(&mut self, waiter: &Waiter<'_>) -> Result<(), End> {
        if self.stream.takes_turns() && !self.is_empty {
            // On a full disk the next packet sees to it, if this file is complete.
            self.next_stream(waiter)?;
            self.send(self.buffer.len(), waiter)?;
        }
        Ok(())
    }

    /// Ends the last stream of its output.
    pub fn end(&mut self, waiter: &Waiter<'_>) -> Result<(), End> {
        if !self.is_finished && !self.finish(&waiter.outbox.counts(), waiter)? {
            return Err(self.short.map_or(Errno::NOSPC, |(_, errno)| errno).into());
        }
        Ok(self.stream.sync()?)
    }

    /// Writes the trailer, given the counts of the whole output up to here; `false` in a shortage.
    fn finish(&mut self, counts: &[StreamCounts], waiter: &Waiter<'_>) -> Result<bool, End> {
        let own: Vec<_> =
            counts.iter().zip(&self.accounted).map(|(all, before)| all.minus(before)).collect();
        self.encoder.finish(&own, self.clock.now(), &mut self.buffer)?;
        self.is_finished = self.send(self.buffer.len(), waiter)?;
        Ok(self.is_finished)
    }

    /// Ends this stream and starts the next one of the same output; `false` in a shortage, and
    /// then to be called again.
    fn next_stream(&mut self, waiter: &Waiter<'_>) -> Result<bool, End> {
        if !self.is_finished {
            if !self.send(self.buffer.len(), waiter)? {
                return Ok(false);
            }
            // What is still queued, and drops that no record told of, belong to the next one.
            let mut counts = waiter.outbox.counts();
            for (counts, reported) in counts.iter_mut().zip(&self.reported) {
                counts.dropped = *reported;
                counts.framed = counts.delivered + counts.dropped;
            }
            if !self.finish(&counts, waiter)? {
                return Ok(false);
            }
            self.accounted = counts;
        }
        let now = self.clock.now();
        match self.stream.next(now) {
            Err(error) if self.is_borne(&error, waiter.outbox) => return Ok(false),
            next => next?,
        }
        self.encoder = self.encoder.restart(now, self.wall.now(), &mut self.buffer)?;
        self.header = self.buffer.len();
        (self.is_empty, self.is_finished) = (true, false);
        Ok(true)
    }

    /// Adds the records of a parcel to the buffer, and sends what is too much for one write.
    fn encode(&mut self, parcel: &Parcel, waiter: &Waiter<'_>) -> Result<(), End> {
        let port = parcel.run.port();
        self.lost[port] += parcel.missed;
        let mut packets = parcel.run.packets();
        while let Some(packet) = packets.next() {
            let mut told = std::mem::take(&mut self.lost[port]);
            told.gap_ns += packet.gap_ns;
            let packet = Packet { gap_ns: told.gap_ns, ..packet };
            match self.add(&packet, told.packets, waiter) {
                Ok(true) => {
                    self.unsent[port].packets += 1;
                    self.unsent[port].told += told;
                    self.reported[port] += told.packets;
                    self.is_empty = false;
                }
                Ok(false) => {
                    told.packets += 1;
                    self.lost[port] += told;
                    waiter.outbox.dropped(port, 1);
                }
                Err(end) => {
                    self.unsent[port].packets += 1 + packets.count() as u64;
                    return Err(end);
                }
            }
        }
        Ok(())
    }

    /// Adds the record of a packet, and sends what it makes too much for one write or for this
    /// stream; `false` if it needs the next stream, and there is a shortage.
    fn add(&mut self, packet: &Packet<'_>, dropped: u64, waiter: &Waiter<'_>) -> Result<bool, End> {
        let whole = self.buffer.len();
        self.encoder.packet(packet, dropped, &mut self.buffer)?;
        if self.is_finished
            || !self.is_empty && self.stream.is_complete(self.buffer.len(), &self.clock)
        {
            self.buffer.truncate(whole);
            if !self.next_stream(waiter)? {
                return Ok(false);
            }
            // Anew, since its time may be another one there.
            self.encoder.packet(packet, dropped, &mut self.buffer)?;
        } else if whole > 0 && self.buffer.len() > self.stream.largest_write() {
            self.send(whole, waiter)?;
        }
        Ok(true)
    }

    /// Writes the first `len` octets of the buffer, which hold whole records, all that are
    /// counted in `unsent`; or drops them and returns `false`, if there is a shortage and that is
    /// not the end.
    fn send(&mut self, len: usize, waiter: &Waiter<'_>) -> Result<bool, End> {
        loop {
            match self.try_send(len, waiter.outbox) {
                Ok(true) => break,
                Ok(false) => waiter.for_room()?,
                Err(End::Failed(error))
                    if self.stream.watched().is_some() && self.stream.is_short(&error) =>
                {
                    waiter.for_a_moment()?;
                }
                Err(End::Failed(error)) if self.is_borne(&error, waiter.outbox) => {
                    self.drop_unsent(len, waiter.outbox);
                    return Ok(false);
                }
                Err(end) => return Err(end),
            }
        }
        if len > 0
            && let Some((since, _)) = self.short
            && self.clock.now().ns_since(since) > OVER_AFTER_NS
        {
            self.short = None;
            info!("{}: can be written again", waiter.outbox.name());
        }
        if self.stream.sync_due().is_some_and(|due| due <= Instant::now())
            && let Err(error) = self.stream.sync()
            && !self.is_borne(&error, waiter.outbox)
        {
            return Err(error.into());
        }
        Ok(true)
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
        if len > 0 {
            (self.sent, self.header) = (0, 0);
            self.buffer.drain(..len);
        }
        for (port, unsent) in self.unsent.iter_mut().enumerate() {
            outbox.delivered(port, std::mem::take(unsent).packets);
        }
        Ok(true)
    }

    /// Drops what could not be written, but for the header.
    fn drop_unsent(&mut self, len: usize, outbox: &Outbox) {
        self.buffer.drain(self.header..len);
        self.is_empty |= self.header > 0;
        for (port, unsent) in self.unsent.iter_mut().enumerate() {
            let Unsent { packets, mut told } = std::mem::take(unsent);
            outbox.dropped(port, packets);
            self.reported[port] -= told.packets;
            told.packets += packets;
            self.lost[port] += told;
        }
    }

    /// Whether this error is a shortage that costs packets, and not the end. Told once.
    fn is_borne(&mut self, error: &io::Error, outbox: &Outbox) -> bool {
        let errno = Errno::from_io_error(error).filter(|_| self.stream.is_short(error));
        let Some(errno) = errno.filter(|_| self.may_drop) else { return false };
        if self.short.replace((self.clock.now(), errno)).is_none() {
            let name = outbox.name();
            if is_full(errno) {
                warn!("{name}: disk full: dropping packets until there is room");
            } else {
                warn!("{name}: cannot write: {}: dropping packets until it can", words(errno));
            }
        }
        true
    }

    /// Counts what will not be written any more.
    pub fn abandon_unsent(&mut self, outbox: &Outbox) {
        for (port, unsent) in self.unsent.iter_mut().enumerate() {
            outbox.abandoned(port, std::mem::take(unsent).packets);
        }
    }
}
