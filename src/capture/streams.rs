//! Where frames meet streams: the order in which they leave, how many, and what a new stream
//! gets first.

use super::merge::{Merger, Run};
use super::writer::Delivery;
use crate::packet::{Tally, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where frames meet streams.
pub struct Streams {
    /// Puts the frames of all ports into one order.
    pub merger: Merger,
    /// Where the octets of each port went.
    pub tallies: Vec<Tally>,
    /// Packets still wanted; `u64::MAX` without `--count`.
    pub remaining: u64,
    /// The open streams.
    pub open: Vec<Arc<Delivery>>,
    /// How many of them are readers', and not outputs of their own.
    pub readers: usize,
    /// Packets dropped by streams that have ended.
    pub dropped: u64,
    /// What a new stream gets first.
    pub history: History,
}

impl Streams {
    /// None yet, for ports that are live or not.
    pub fn new(live: impl IntoIterator<Item = bool>, count: Option<u64>, history: History) -> Self {
        let merger = Merger::new(live);
        Self {
            tallies: vec![Tally::default(); merger.ports()],
            merger,
            remaining: count.unwrap_or(u64::MAX),
            open: Vec::new(),
            readers: 0,
            dropped: 0,
            history,
        }
    }

    /// Hands all frames that may leave to every open stream, and keeps them for those to come.
    pub fn release(&mut self, now: Timestamp) {
        while self.remaining > 0
            && let Some(mut run) = self.merger.pop(now)
        {
            if self.remaining < u64::MAX {
                run.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
                self.remaining -= run.len() as u64;
            }
            for delivery in &self.open {
                delivery.offer(&run);
            }
            self.history.remember(run);
        }
    }

    /// Whether frames of a port that is not live can be taken: by all open streams, and by those
    /// that wait for other ports.
    pub fn has_room(&self, port: usize) -> bool {
        self.open.iter().all(|delivery| delivery.outbox.has_room()) && self.merger.has_room(port)
    }

    /// Opens a stream: first the history goes into it, then all that leaves from now on.
    pub fn open(&mut self, delivery: &Arc<Delivery>, now: Timestamp) {
        for run in self.history.since(now) {
            delivery.offer(run);
        }
        self.open.push(Arc::clone(delivery));
    }
}

/// The last seconds, oldest first.
pub struct History {
    runs: VecDeque<Run>,
    memory: usize,
    memory_limit: usize,
    reach_ns: u64,
}

impl History {
    /// Of `seconds`, as far as they fit `memory_limit` octets. None of 0 seconds.
    pub fn new(seconds: u64, memory_limit: usize) -> Self {
        let reach_ns = seconds.saturating_mul(1_000_000_000);
        Self { runs: VecDeque::new(), memory: 0, memory_limit, reach_ns }
    }

    /// Octets of memory that it takes.
    pub fn memory(&self) -> usize {
        self.memory
    }

    fn remember(&mut self, run: Run) {
        if self.reach_ns == 0 {
            return;
        }
        let newest = run.last_time();
        self.memory += run.memory();
        self.runs.push_back(run);
        while let Some(oldest) = self.runs.front()
            && (self.memory > self.memory_limit
                || newest.ns_since(oldest.last_time()) > self.reach_ns)
        {
            self.memory -= oldest.memory();
            self.runs.pop_front();
        }
    }

    fn since(&self, now: Timestamp) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| now.ns_since(run.last_time()) <= self.reach_ns)
    }
}
