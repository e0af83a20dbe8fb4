//! One more stream of a capture, which is not written anywhere: its packets go to the analysis.
//!
//! Like any stream it has a bounded queue, and what does not fit is dropped for it alone, and counted.
//! So whatever it does with its packets, and however long that takes, no other stream waits.

use super::queue::Queue;
use super::shared::Shared;
use super::writer::StreamWriter;
use crate::analysis::Record;
use crate::encode::{StreamCounts, Times};
use crate::sys::Waker;
use log::{debug, warn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Takes packets out of its queue.
pub struct Intake<'a> {
    shared: &'a Shared,
    stream: Arc<StreamWriter>,
    times: Times,
    /// Of the last packet: those that were dropped have numbers too.
    number: u64,
    /// Packets of each port that were dropped since the last one that was handed on.
    dropped: Vec<u64>,
}

impl<'a> Intake<'a> {
    /// Opens the stream. With `counts` it is a reader that files wait for.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn open(shared: &'a Shared, name: &str, counts: bool) -> io::Result<Self> {
        let ports = shared.interfaces.len();
        let queue = Queue::new(name, ports, shared.queue_memory, Arc::clone(&shared.gate))?;
        let now = shared.clock.now();
        let mut times = Times::new(now, ports, shared.interfaces.iter().all(|port| port.recorded));
        times.set_wall_offset(shared.wall.now());
        let stream = Arc::new(StreamWriter::unwritten(queue, now));
        shared.streams().open(&stream, now, u64::MAX);
        if counts {
            shared.read_by_some.store(true, Ordering::SeqCst);
            shared.gate.notify();
        }
        Ok(Self { shared, stream, times, number: 0, dropped: vec![0; ports] })
    }

    /// Hands on what waits of the first port, for `most` at most; whether it is damaged as well. Tells
    /// whether there was anything.
    pub fn take(&mut self, most: Duration, mut hear: impl FnMut(&Record<'_>, bool)) -> bool {
        // Two lines in one analysis are none; but its packets have numbers in a capture.
        self.take_all(most, |port, record, is_damaged| {
            if port == 0 {
                hear(record, is_damaged);
            }
        })
    }

    /// The same of all ports, each with its number.
    pub fn take_all(
        &mut self,
        most: Duration,
        mut hear: impl FnMut(usize, &Record<'_>, bool),
    ) -> bool {
        let start = Instant::now();
        let mut any = false;
        while start.elapsed() < most
            && let Some(queued) = self.stream.queue.take()
        {
            any = true;
            let (port, len) = (queued.range.port(), queued.range.len() as u64);
            self.number += queued.missed.packets;
            if let Some(dropped) = self.dropped.get_mut(port) {
                *dropped += queued.missed.packets;
            }
            for packet in queued.range.packets() {
                self.number += 1;
                let record = Record {
                    number: self.number,
                    time: self.times.date(&packet).time,
                    octets: packet.data,
                    original_len: packet.original_len,
                    skipped_before: packet.skipped_before,
                    dropped: self.dropped.get_mut(port).map_or(0, std::mem::take),
                };
                hear(port, &record, !packet.damage.is_none());
            }
            self.queue().account.delivered(port, len);
        }
        any
    }

    /// Waits for packets, or for the end of them, until then.
    pub fn wait(&self, until: Instant) {
        if self.queue().go_to_sleep() {
            self.queue().waker().wait(until.saturating_duration_since(Instant::now()));
            self.queue().waker().clear();
            self.queue().wake_up();
        }
    }

    /// Whether no more comes.
    pub fn is_over(&self) -> bool {
        self.queue().is_closing() && !self.queue().has_parcel()
    }

    /// Ends a [`wait`](Self::wait).
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "for --http"))]
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(self.queue().waker())
    }

    /// What waits.
    pub fn queue(&self) -> &Queue {
        &self.stream.queue
    }

    /// Packets that it was too slow for.
    #[cfg(feature = "top")]
    pub fn dropped(&self) -> u64 {
        self.queue().account.counts().iter().map(|counts| counts.dropped).sum()
    }
}

impl Drop for Intake<'_> {
    fn drop(&mut self) {
        self.shared.close(&self.stream);
        for StreamCounts { framed, delivered, dropped, .. } in self.queue().account.counts() {
            debug!("{}: {framed} packets framed, {delivered} looked at", self.queue().name());
            if dropped > 0 {
                warn!("{}: {dropped} of {framed} packets were not looked at", self.queue().name());
            }
        }
    }
}
