//! Where frames meet streams: the order in which they leave, how many, and what a new stream
//! gets first.

use super::merge::{Merger, Run};
use super::writer::Delivery;
use crate::packet::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

/// Memory that the history may take, whatever the seconds asked for.
const HISTORY_MEMORY: usize = 16 << 20;

/// Where frames meet streams.
pub struct Streams {
    /// Puts the frames of all ports into one order.
    pub merger: Merger,
    /// Packets still wanted; `u64::MAX` without `--count`.
    pub remaining: u64,
    /// The open streams.
    pub open: Vec<Arc<Delivery>>,
    /// What a new stream gets first, oldest first.
    history: VecDeque<Run>,
    /// What the history takes.
    pub history_memory: usize,
    /// How far back the history goes.
    history_ns: u64,
}

impl Streams {
    /// None yet, for ports that are live or not.
    pub fn new(live: impl IntoIterator<Item = bool>, count: Option<u64>, history_s: u64) -> Self {
        Self {
            merger: Merger::new(live),
            remaining: count.unwrap_or(u64::MAX),
            open: Vec::new(),
            history: VecDeque::new(),
            history_memory: 0,
            history_ns: history_s.saturating_mul(1_000_000_000),
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
            if self.history_ns > 0 {
                self.remember(run);
            }
        }
    }

    fn remember(&mut self, run: Run) {
        let newest = run.last_time();
        self.history_memory += run.memory();
        self.history.push_back(run);
        while let Some(oldest) = self.history.front()
            && (self.history_memory > HISTORY_MEMORY
                || newest.ns_since(oldest.last_time()) > self.history_ns)
        {
            self.history_memory -= oldest.memory();
            self.history.pop_front();
        }
    }

    /// Whether frames of a port that is not live can be taken: by all open streams, and by those
    /// that wait for other ports.
    pub fn has_room(&self, port: usize) -> bool {
        self.open.iter().all(|delivery| delivery.outbox.has_room()) && self.merger.has_room(port)
    }

    /// Opens a stream: first the history goes into it, then all that leaves from now on.
    pub fn open(&mut self, delivery: &Arc<Delivery>, now: Timestamp) {
        for run in &self.history {
            if now.ns_since(run.last_time()) <= self.history_ns {
                delivery.offer(run);
            }
        }
        self.open.push(Arc::clone(delivery));
    }
}
