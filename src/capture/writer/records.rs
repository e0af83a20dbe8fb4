//! Packets to whole records to the stream, and the account of them.

use super::End;
use super::waiter::Waiter;
use crate::capture::account::{Account, Draft, Missed};
use crate::capture::merge::FrameRange;
use crate::capture::queue::Queue;
use crate::encode::{Encoder, StreamCounts};
use crate::error::words;
use crate::output::Stream;
use crate::packet::Packet;
use crate::sys::{is_full, is_too_large};
use crate::time::wall_clock::WallClock;
use crate::time::{MonoClock, Timestamp};
use log::{info, warn};
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
    /// What is in `buffer` of each port, and what a shortage has cost.
    draft: Draft,
    /// Up to which packet, of all that have left, they are in `buffer`, or written.
    encoded_to: u64,
    /// Whether the stream has no packets yet, those in `buffer` counted in.
    is_empty: bool,
    /// Whether its trailer is written.
    is_finished: bool,
    /// Whether a shortage costs packets, and is not the end: what is live cannot be had again.
    may_drop: bool,
    /// When something was found short, lately, and what.
    short: Option<(Timestamp, i32)>,
    /// Whether it was told that files cannot grow as large as they may.
    is_limit_told: bool,
    clock: MonoClock,
    wall: Arc<WallClock>,
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
            draft: Draft::new(ports),
            encoded_to: 0,
            is_empty: true,
            is_finished: false,
            may_drop,
            short: None,
            is_limit_told: false,
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
        while let Some(queued) = waiter.queue.take() {
            self.encode(&queued.range, queued.missed, waiter.queue, Some(waiter))?;
        }
        self.send(self.buffer.len(), waiter)?;
        Ok(())
    }

    /// Writes these few frames as far as the stream takes them without waiting; the rest stays in
    /// the buffer.
    pub fn write_now(
        &mut self,
        range: &FrameRange,
        missed: Missed,
        queue: &Queue,
    ) -> Result<(), End> {
        self.encode(range, missed, queue, None)?;
        self.try_send(self.buffer.len(), queue)?;
        Ok(())
    }

    /// Adds the record of a packet that was captured before, and sends what is too much for one write.
    pub fn copy(&mut self, packet: &Packet<'_>, waiter: &Waiter<'_>) -> Result<(), End> {
        let port = usize::from(packet.port);
        waiter.queue.account.copied(port);
        match self.add(packet, 0, Some(waiter)) {
            Ok(_) => self.draft.add_record(port, Missed::default()),
            Err(end) => {
                self.draft.add_unwritable(port, 1);
                return Err(end);
            }
        }
        self.is_empty = false;
        Ok(())
    }

    /// Starts the next stream although there is no packet for it, where there is one to start and
    /// this one has packets.
    pub fn start_next(&mut self, waiter: &Waiter<'_>) -> Result<(), End> {
        if self.stream.rotates() && !self.is_empty {
            // On a full disk the next packet sees to it, if this file is complete.
            self.next_stream(waiter)?;
            self.send(self.buffer.len(), waiter)?;
        }
        Ok(())
    }

    /// Ends the last stream of its output.
    pub fn end(&mut self, waiter: &Waiter<'_>) -> Result<(), End> {
        if !self.is_finished && !self.finish(&waiter.queue.account.counts(), waiter)? {
            let full = || io::Error::from(io::ErrorKind::StorageFull);
            let error = self.short.map(|(_, code)| io::Error::from_raw_os_error(code));
            return Err(error.unwrap_or_else(full).into());
        }
        Ok(self.stream.sync()?)
    }

    /// Writes the trailer, given the counts of the whole output up to here; `false` in a shortage.
    fn finish(&mut self, counts: &[StreamCounts], waiter: &Waiter<'_>) -> Result<bool, End> {
        let own = self.draft.unsettled(counts);
        let own = match self.stream.port() {
            Some(only) => &own[only..=only],
            None => &own,
        };
        self.encoder.finish(own, self.clock.now(), &mut self.buffer)?;
        self.is_finished = match self.send(self.buffer.len(), waiter) {
            // It goes without: the next one's trailer tells of both.
            Err(End::Failed(error)) if self.is_outgrown(&error) => {
                self.buffer.clear();
                self.is_finished = true;
                return Ok(true);
            }
            sent => sent?,
        };
        if self.is_finished {
            self.draft.settle(counts);
        }
        Ok(self.is_finished)
    }

    /// Ends this stream and starts the next one of the same output; `false` in a shortage, and
    /// then to be called again.
    fn next_stream(&mut self, waiter: &Waiter<'_>) -> Result<bool, End> {
        if !self.is_finished {
            if !self.send(self.buffer.len(), waiter)? {
                return Ok(false);
            }
            let counts = self.draft.counts_so_far(&waiter.queue.account);
            if !self.finish(&counts, waiter)? {
                return Ok(false);
            }
        }
        let now = self.clock.now();
        match self.stream.next(now) {
            Err(error) if self.is_borne(&error, waiter.queue) => return Ok(false),
            next => next?,
        }
        self.encoder = self.encoder.restart(now, self.wall.now(), &mut self.buffer)?;
        self.header = self.buffer.len();
        (self.is_empty, self.is_finished) = (true, false);
        Ok(true)
    }

    /// Adds the records of these frames, before which some were `missed`, to the buffer. With a
    /// `waiter`, sends what is too much for one write.
    fn encode(
        &mut self,
        range: &FrameRange,
        missed: Missed,
        queue: &Queue,
        waiter: Option<&Waiter<'_>>,
    ) -> Result<(), End> {
        let port = range.port();
        self.draft.miss(port, missed);
        let mut packets = range.packets();
        self.encoded_to = range.number();
        let is_only = self.stream.port().is_some();
        while let Some(mut packet) = packets.next() {
            let mut told = self.draft.take_missed(port);
            told.gap_ns += packet.gap_ns;
            packet.gap_ns = told.gap_ns;
            if is_only {
                // The only port of a stream is its first one.
                packet.port = 0;
            }
            match self.add(&packet, told.packets, waiter) {
                Ok(true) => {
                    self.draft.add_record(port, told);
                    self.is_empty = false;
                }
                Ok(false) => {
                    self.draft.miss(port, Missed { packets: told.packets + 1, ..told });
                    queue.account.dropped(port, 1);
                }
                Err(end) => {
                    self.draft.add_unwritable(port, 1 + packets.count() as u64);
                    return Err(end);
                }
            }
            self.encoded_to += 1;
        }
        Ok(())
    }

    /// Adds the record of a packet. With a `waiter`, sends what it makes too much for one write or
    /// for this stream; `false` if it needs the next stream, and there is a shortage. Without, all
    /// stays in the buffer: such streams have no next one.
    // For each packet, and called from two places.
    #[inline(always)]
    fn add(
        &mut self,
        packet: &Packet<'_>,
        dropped: u64,
        waiter: Option<&Waiter<'_>>,
    ) -> Result<bool, End> {
        let whole = self.buffer.len();
        self.encoder.packet(packet, dropped, &mut self.buffer)?;
        let Some(waiter) = waiter else { return Ok(true) };
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
    fn send(&mut self, mut len: usize, waiter: &Waiter<'_>) -> Result<bool, End> {
        loop {
            match self.try_send(len, waiter.queue) {
                Ok(true) => break,
                Ok(false) => waiter.for_room()?,
                Err(End::Failed(error))
                    if self.stream.sink().is_some() && self.stream.is_short(&error) =>
                {
                    waiter.for_a_moment()?;
                }
                Err(End::Failed(error)) if self.is_outgrown(&error) && self.draft.has_unsent() => {
                    match self.move_on() {
                        Ok(header) => len += header,
                        Err(End::Failed(error)) if self.is_borne(&error, waiter.queue) => {
                            self.drop_unsent(len, waiter.queue);
                            return Ok(false);
                        }
                        Err(end) => return Err(end),
                    }
                }
                Err(End::Failed(error)) if self.is_borne(&error, waiter.queue) => {
                    self.drop_unsent(len, waiter.queue);
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
            info!("{}: can be written again", waiter.queue.name());
        }
        if self.stream.sync_due().is_some_and(|due| due <= Instant::now())
            && let Err(error) = self.stream.sync()
            && !self.is_borne(&error, waiter.queue)
        {
            return Err(error.into());
        }
        Ok(true)
    }

    /// The same as far as it goes without waiting; tells whether it is all.
    fn try_send(&mut self, len: usize, queue: &Queue) -> Result<bool, End> {
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
        self.draft.deliver(&queue.account);
        self.stream.reach(self.encoded_to, &self.clock);
        Ok(true)
    }

    /// Whether this file has as many octets as its file system or a limit of this process allows,
    /// and there is a next one.
    fn is_outgrown(&self, error: &io::Error) -> bool {
        // Where not even the header fits no file will do.
        is_too_large(error) && self.header == 0 && self.stream.rotates()
    }

    /// Leaves the file as it is, for which there is no trailer, and puts the next one's header
    /// before the records that wait. Returns how long that is.
    fn move_on(&mut self) -> Result<usize, End> {
        let now = self.clock.now();
        self.stream.next(now)?;
        let mut next = Vec::new();
        self.encoder = self.encoder.restart(now, self.wall.now(), &mut next)?;
        self.header = next.len();
        next.append(&mut self.buffer);
        self.buffer = next;
        if !std::mem::replace(&mut self.is_limit_told, true) {
            info!(
                "{}: the file cannot grow any further: starting the next one",
                self.stream.name()
            );
        }
        Ok(self.header)
    }

    /// Drops what could not be written, but for the header.
    fn drop_unsent(&mut self, len: usize, queue: &Queue) {
        self.buffer.drain(self.header..len);
        self.is_empty |= self.header > 0;
        self.draft.drop_unsent(&queue.account);
    }

    /// Whether this error is a shortage that costs packets, and not the end. Told once.
    fn is_borne(&mut self, error: &io::Error, queue: &Queue) -> bool {
        let code = error.raw_os_error().filter(|_| self.stream.is_short(error));
        let Some(code) = code.filter(|_| self.may_drop) else { return false };
        if self.short.replace((self.clock.now(), code)).is_none() {
            let name = queue.name();
            if is_full(error) {
                warn!("{name}: disk full: dropping packets until there is room");
            } else {
                let words = words(io::Error::from_raw_os_error(code));
                warn!("{name}: cannot write: {words}: dropping packets until it can");
            }
        }
        true
    }

    /// Counts what will not be written any more.
    pub fn abandon_unsent(&mut self, account: &Account) {
        self.draft.abandon_unsent(account);
    }
}
