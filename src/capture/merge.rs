//! The frames of several ports in one order of time. Pure.
//!
//! A frame may leave once no earlier one can come from any other port: when that port has a
//! later frame waiting, or holds octets of a frame that began later, or has been silent for so
//! long that an adapter would have handed over what it has. A single port is never waited for.

use crate::framing::IDLE_GAP_NS;
use crate::packet::{Batch, Packet, Timestamp};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// What may wait of a port that can itself be kept waiting.
const LANE_MEMORY: usize = 1 << 20;

/// Frames of one batch that follow each other in the common order.
#[derive(Clone, Debug)]
pub struct Run {
    batch: Arc<Batch>,
    frames: Range<usize>,
    memory: usize,
}

impl Run {
    /// Which port the frames came from, counted from 0.
    pub fn port(&self) -> usize {
        self.batch.port()
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Octets of the frames.
    pub fn octets(&self) -> usize {
        self.packets().map(|packet| packet.data.len()).sum()
    }

    /// How long the port was gone directly before, if it was.
    pub fn gap_ns(&self) -> u64 {
        self.packets().next().map_or(0, |packet| packet.gap_ns)
    }

    /// The frames in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.batch.packets_in(self.frames.clone())
    }

    /// Octets of memory that it takes: its part of what its batch does.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// When its last frame began.
    pub fn last_time(&self) -> Timestamp {
        self.batch.time(self.frames.end.saturating_sub(1))
    }

    /// Forgets all frames but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.frames.end = self.frames.end.min(self.frames.start + len);
    }

    fn of(batch: Arc<Batch>, frames: Range<usize>) -> Self {
        let memory = batch.memory_of(frames.clone());
        Self { batch, frames, memory }
    }

    fn first_time(&self) -> Timestamp {
        self.batch.time(self.frames.start)
    }

    /// Splits off the frames that began at `bound` or before; there is one at least.
    fn split_until(&mut self, bound: Timestamp) -> Self {
        let batch = Arc::clone(&self.batch);
        let later = self.frames.clone().find(|&frame| batch.time(frame) > bound);
        let end = later.unwrap_or(self.frames.end);
        let start = std::mem::replace(&mut self.frames.start, end);
        Self::of(batch, start..end)
    }
}

/// Puts the frames of all ports into one order.
#[derive(Debug)]
pub struct Merger {
    lanes: Vec<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    /// Whether its silence means that nothing was said.
    live: bool,
    waiting: VecDeque<Run>,
    memory: usize,
    /// When the last frame began that came.
    last: Timestamp,
    /// When the frame began that its framer has open.
    open_since: Option<Timestamp>,
    ended: bool,
}

impl Lane {
    /// No earlier frame than this can come from here.
    fn floor(&self, now: Timestamp) -> Timestamp {
        match (self.waiting.front(), self.open_since) {
            (Some(run), _) => run.first_time(),
            (None, _) if self.ended => Timestamp::MAX,
            (None, Some(since)) => since,
            (None, None) if self.live => now.minus_ns(IDLE_GAP_NS),
            (None, None) => self.last,
        }
    }
}

impl Merger {
    /// A merger of ports that are live, so that their silence means something, or not.
    pub fn new(live: impl IntoIterator<Item = bool>) -> Self {
        let lane = |live| Lane { live, ..Lane::default() };
        Self { lanes: live.into_iter().map(lane).collect() }
    }

    /// Whether any of the ports is live.
    pub fn is_live(&self) -> bool {
        self.lanes.iter().any(|lane| lane.live)
    }

    /// Number of ports.
    pub fn ports(&self) -> usize {
        self.lanes.len()
    }

    /// Whether what waits of a port is little enough to take more.
    pub fn has_room(&self, port: usize) -> bool {
        self.lanes.get(port).is_none_or(|lane| lane.memory < LANE_MEMORY)
    }

    /// Takes the frames of one read, and since when the port's framer has one open, if it has.
    pub fn push(&mut self, batch: Batch, open_since: Option<Timestamp>) {
        let Some(lane) = self.lanes.get_mut(batch.port()) else { return };
        lane.open_since = open_since;
        if !batch.is_empty() {
            let frames = 0..batch.len();
            lane.last = batch.time(batch.len() - 1);
            let run = Run::of(Arc::new(batch), frames);
            lane.memory += run.memory();
            lane.waiting.push_back(run);
        }
    }

    /// Nothing more comes from this port.
    pub fn end(&mut self, port: usize) {
        if let Some(lane) = self.lanes.get_mut(port) {
            lane.ended = true;
            lane.open_since = None;
        }
    }

    /// The next frames that may leave.
    pub fn pop(&mut self, now: Timestamp) -> Option<Run> {
        let (port, first) = self.first()?;
        let others = self.lanes.iter().enumerate().filter(|(other, _)| *other != port);
        let bound = others.map(|(_, lane)| lane.floor(now)).min().unwrap_or(Timestamp::MAX);
        if first > bound {
            return None;
        }
        let lane = &mut self.lanes[port];
        let run = lane.waiting.front_mut()?.split_until(bound);
        if let Some(split) = lane.waiting.pop_front_if(|run| run.len() == 0) {
            // What is left of a split run keeps the memory of all of it.
            lane.memory -= split.memory();
        }
        Some(run)
    }

    /// When frames may leave although nothing new has come, if any wait for that alone.
    pub fn deadline(&self) -> Option<Timestamp> {
        let (port, first) = self.first()?;
        let by_time_alone =
            |(other, lane): (usize, &Lane)| other == port || lane.floor(Timestamp::MAX) >= first;
        let waits = self.lanes.iter().enumerate().all(by_time_alone);
        waits.then(|| first.plus_ns(IDLE_GAP_NS))
    }

    /// The port of the earliest frame that waits, and its time.
    fn first(&self) -> Option<(usize, Timestamp)> {
        self.lanes
            .iter()
            .enumerate()
            .filter_map(|(port, lane)| Some((port, lane.waiting.front()?.first_time())))
            .min_by_key(|(_, time)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Notes;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns(10_000 * MS + ms * MS)
    }

    fn batch(port: u16, times_ms: &[u64]) -> Batch {
        let mut batch = Batch::new(port);
        for &ms in times_ms {
            batch.push(&[&[0]], Notes { time: at(ms), ..Notes::default() });
        }
        batch
    }

    /// What leaves at `now`: port and time in ms of each frame.
    fn leaving(merger: &mut Merger, now: Timestamp) -> Vec<(usize, u64)> {
        std::iter::from_fn(|| merger.pop(now))
            .flat_map(|run| {
                let port = run.port();
                run.packets().map(|p| (port, p.time.ns_since(at(0)) / MS)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_single_port_waits_for_nobody() {
        let mut merger = Merger::new([true]);
        merger.push(batch(0, &[1, 2, 3]), Some(at(4)));
        assert_eq!(leaving(&mut merger, at(0)), [(0, 1), (0, 2), (0, 3)]);
        assert_eq!(merger.deadline(), None);
    }

    #[test]
    fn frames_of_two_ports_leave_in_the_order_of_time() {
        let mut merger = Merger::new([true, true]);
        merger.push(batch(0, &[1, 4, 5]), None);
        assert_eq!(leaving(&mut merger, at(6)), []);
        merger.push(batch(1, &[2, 3, 9]), None);
        let order = [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5)];
        assert_eq!(leaving(&mut merger, at(10)), order);
        merger.push(batch(0, &[11]), None);
        assert_eq!(leaving(&mut merger, at(12)), [(1, 9)]);
    }

    #[test]
    fn a_silent_port_is_waited_for_as_long_as_an_adapter_may_hold_octets() {
        let mut merger = Merger::new([true, true]);
        merger.push(batch(0, &[5]), None);
        let due = merger.deadline().unwrap();
        assert_eq!(due, at(5).plus_ns(IDLE_GAP_NS));
        assert_eq!(leaving(&mut merger, due.minus_ns(1)), []);
        assert_eq!(leaving(&mut merger, due), [(0, 5)]);
        assert_eq!(merger.deadline(), None);
    }

    #[test]
    fn a_frame_that_has_begun_is_waited_for_and_an_ended_port_is_not() {
        let mut merger = Merger::new([true, true]);
        merger.push(batch(0, &[5]), None);
        merger.push(batch(1, &[]), Some(at(4)));
        assert_eq!(leaving(&mut merger, at(1000)), []);
        assert_eq!(merger.deadline(), None, "no time is enough");
        merger.end(1);
        assert_eq!(leaving(&mut merger, at(5)), [(0, 5)]);
    }

    #[test]
    fn a_port_that_is_not_live_is_waited_for_however_long_it_takes() {
        let mut merger = Merger::new([false, false]);
        merger.push(batch(0, &[5, 7]), None);
        assert_eq!(leaving(&mut merger, at(1_000_000)), []);
        assert_eq!(merger.deadline(), None);
        merger.push(batch(1, &[6]), None);
        assert_eq!(leaving(&mut merger, at(1_000_000)), [(0, 5), (1, 6)]);
        merger.end(1);
        assert_eq!(leaving(&mut merger, at(1_000_000)), [(0, 7)]);
        assert!(merger.has_room(0));
    }
}
