//! Where frames meet streams: the order in which they leave, how many, and what a new stream
//! gets first.

use super::history::History;
use super::merge::Merger;
use super::writer::Delivery;
use crate::packet::{Tally, Timestamp};
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
    pub fn new(
        live: impl IntoIterator<Item = bool>,
        count: Option<u64>,
        mut history: History,
    ) -> Self {
        let merger = Merger::new(live);
        history.set_may_wait(!merger.is_live());
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
                // What is behind gets it from the history.
                if !self.history.is_behind(delivery) {
                    delivery.offer(&run);
                }
            }
            self.history.remember(run);
        }
    }

    /// Whether frames of a port that is not live can be taken: by all open streams, and by those
    /// that wait for other ports.
    pub fn has_room(&self, port: usize) -> bool {
        self.open.iter().all(|delivery| delivery.outbox.has_room())
            && self.merger.has_room(port)
            && self.history.has_room()
    }

    /// Opens a stream: first the history goes into it, then all that leaves from now on.
    pub fn open(&mut self, delivery: &Arc<Delivery>, now: Timestamp) {
        self.history.begin(delivery, now);
        self.open.push(Arc::clone(delivery));
    }
}
