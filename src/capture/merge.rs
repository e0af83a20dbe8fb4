//! The frames of several ports in one order of time. Pure.
//!
//! A frame waits for another port only as long as that one can still bring an earlier frame: until
//! it has a later one waiting, or has ended, or was silent for so long that an adapter would have
//! handed over what it has ([`IDLE_GAP_NS`]), or, with an open frame, until that is whole. And it
//! waits for [`WAIT_NS`] at most, counted from its own arrival; for a port whose octets are stored
//! it waits as long as that takes, since those are there already. What a port that cannot be kept
//! waiting has here is bounded by [`LANE_MEMORY`]: what is more leaves.
//!
//! So frames may leave late: after others that began later, which [`FrameRange::is_late`] tells. Those
//! that wait leave in the order of time in any case. A single port is never waited for.

use crate::framing::IDLE_GAP_NS;
use crate::packet::{Batch, Packet};
use crate::source::Pace;
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// How long a frame waits for other ports at most.
pub const WAIT_NS: u64 = 1_000_000_000;
/// Octets of memory that what waits of one port may take.
const LANE_MEMORY: usize = 1 << 20;

/// Frames of one batch that follow each other in the common order.
#[derive(Clone, Debug)]
pub struct FrameRange {
    batch: Arc<Batch>,
    frames: Range<usize>,
    memory: usize,
    /// Of its first frame, among all that have left.
    number: u64,
    /// When it came.
    arrived: Timestamp,
    is_late: bool,
    /// What its first packet has to tell of the line.
    remark: Option<Arc<str>>,
}

impl FrameRange {
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
        self.batch.octets_of(self.frames.clone())
    }

    /// How long the port was gone directly before, if it was.
    pub fn gap_ns(&self) -> u64 {
        self.packets().next().map_or(0, |packet| packet.gap_ns)
    }

    /// The frames in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut remark = self.remark.as_deref().unwrap_or_default();
        let packets = self.batch.packets_in(self.frames.clone());
        packets.map(move |packet| Packet { remark: std::mem::take(&mut remark), ..packet })
    }

    /// Its first packet tells this of the line, in every stream.
    pub fn set_remark(&mut self, remark: String) {
        self.memory += remark.len();
        self.remark = Some(remark.into());
    }

    /// Octets of memory that it takes: its part of what its batch does.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// When its last frame began.
    pub fn last_time(&self) -> Timestamp {
        self.batch.time(self.frames.end.saturating_sub(1))
    }

    /// Whether frames that began later have left before it.
    pub fn is_late(&self) -> bool {
        self.is_late
    }

    /// The number of its first frame among all that have left, counted from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// So many have left before it.
    pub fn set_number(&mut self, number: u64) {
        self.number = number;
    }

    /// Forgets the frames before this number.
    pub fn skip_to(&mut self, number: u64) {
        let skipped = number.saturating_sub(self.number).min(self.len() as u64);
        if skipped > 0 {
            self.frames.start += skipped as usize;
            self.number += skipped;
            self.remark = None;
        }
    }

    /// Forgets all frames but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.frames.end = self.frames.end.min(self.frames.start + len);
    }

    fn of(batch: Arc<Batch>, frames: Range<usize>, arrived: Timestamp) -> Self {
        let memory = batch.memory_of(frames.clone());
        Self { batch, frames, memory, number: 0, arrived, is_late: false, remark: None }
    }

    fn first_time(&self) -> Timestamp {
        self.batch.time(self.frames.start)
    }

    /// Whether all its frames began at `bound` or before.
    fn is_until(&self, bound: Timestamp) -> bool {
        bound == Timestamp::MAX || self.frames.clone().all(|frame| self.batch.time(frame) <= bound)
    }

    /// Splits off the frames that began at `bound` or before; there is one at least.
    fn split_until(&mut self, bound: Timestamp) -> Self {
        let batch = Arc::clone(&self.batch);
        let later = self.frames.clone().find(|&frame| batch.time(frame) > bound);
        let end = later.unwrap_or(self.frames.end);
        let start = std::mem::replace(&mut self.frames.start, end);
        Self::of(batch, start..end, self.arrived)
    }
}

/// Which frames leave next.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// The port that they are of.
    pub port: usize,
    /// They began then or before.
    bound: Timestamp,
}

/// Puts the frames of all ports into one order.
#[derive(Debug)]
pub struct Merger {
    lanes: Vec<Lane>,
    /// How many ranges wait in all lanes.
    waiting: usize,
    /// When the latest frame began that has left.
    last_left: Timestamp,
}

#[derive(Debug)]
struct Lane {
    pace: Pace,
    /// Whether it cannot be kept waiting.
    live: bool,
    waiting: VecDeque<FrameRange>,
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
            (Some(range), _) => range.first_time(),
            (None, _) if self.ended => Timestamp::MAX,
            (None, Some(since)) => since,
            (None, None) if self.pace == Pace::Arrival => now.minus_ns(IDLE_GAP_NS),
            (None, None) => self.last,
        }
    }

    /// Whether it is waited for however long it takes.
    fn is_certain(&self) -> bool {
        self.pace == Pace::Stored && !self.ended
    }

    fn is_full(&self) -> bool {
        self.memory >= LANE_MEMORY
    }
}

impl Merger {
    /// A merger of ports with their paces, which are live, so that they cannot be kept waiting,
    /// or not.
    pub fn new(ports: impl IntoIterator<Item = (Pace, bool)>) -> Self {
        let lane = |(pace, live)| Lane {
            pace,
            live,
            waiting: VecDeque::new(),
            memory: 0,
            last: Timestamp::default(),
            open_since: None,
            ended: false,
        };
        let lanes = ports.into_iter().map(lane).collect();
        Self { lanes, waiting: 0, last_left: Timestamp::default() }
    }

    /// Whether any port is live.
    pub fn is_live(&self) -> bool {
        self.lanes.iter().any(|lane| lane.live)
    }

    /// Number of ports.
    pub fn ports(&self) -> usize {
        self.lanes.len()
    }

    /// Whether this port is live.
    pub fn is_live_port(&self, port: usize) -> bool {
        self.lanes.get(port).is_some_and(|lane| lane.live)
    }

    /// Whether what waits of a port is little enough to take more.
    pub fn has_room(&self, port: usize) -> bool {
        self.lanes.get(port).is_none_or(|lane| !lane.is_full())
    }

    /// Says what the times of a port's octets are from now on: what is stored may be read to its end,
    /// and go on with what comes.
    pub fn set_pace(&mut self, port: usize, pace: Pace) {
        if let Some(lane) = self.lanes.get_mut(port) {
            lane.pace = pace;
        }
    }

    /// Takes the frames of one read at `now`, and since when the port's framer has one open, if
    /// it has.
    pub fn push(&mut self, batch: Batch, open_since: Option<Timestamp>, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(batch.port()) else { return };
        lane.open_since = open_since;
        if !batch.is_empty() {
            let frames = 0..batch.len();
            lane.last = batch.time(batch.len() - 1);
            let range = FrameRange::of(Arc::new(batch), frames, now);
            lane.memory += range.memory();
            lane.waiting.push_back(range);
            self.waiting += 1;
        }
    }

    /// Nothing more comes from this port.
    pub fn end(&mut self, port: usize) {
        if let Some(lane) = self.lanes.get_mut(port) {
            lane.ended = true;
            lane.open_since = None;
        }
    }

    /// Whether frames of this port wait.
    pub fn holds(&self, port: usize) -> bool {
        self.lanes.get(port).is_some_and(|lane| !lane.waiting.is_empty())
    }

    /// Takes the frames that leave next.
    pub fn take(&mut self, next: &Next) -> Option<FrameRange> {
        let lane = self.lanes.get_mut(next.port)?;
        let mut range = match lane.waiting.pop_front_if(|range| range.is_until(next.bound)) {
            Some(mut rest) => {
                self.waiting -= 1;
                // What is left of a split range keeps the memory of all of it.
                lane.memory -= rest.memory;
                if rest.frames.start > 0 {
                    rest.memory = rest.batch.memory_of(rest.frames.clone());
                }
                rest
            }
            None => lane.waiting.front_mut()?.split_until(next.bound),
        };
        range.is_late = range.first_time() < self.last_left;
        self.last_left = self.last_left.max(range.last_time());
        Some(range)
    }

    /// The next frames that may leave, if any may.
    pub fn next(&self, now: Timestamp) -> Option<Next> {
        let (port, first) = self.first()?;
        let bound = self.others(port).map(|lane| lane.floor(now)).min();
        let bound = bound.unwrap_or(Timestamp::MAX);
        if first <= bound {
            return Some(Next { port, bound });
        }
        // Once one has waited long enough, or is one too many, all that began earlier leave before it.
        let is_due = self.lanes.iter().enumerate().any(|(port, lane)| {
            let Some(range) = lane.waiting.front() else { return false };
            let waited = now >= range.arrived.plus_ns(WAIT_NS);
            lane.live && lane.is_full() || waited && !self.waits_for_certain(port, range, now)
        });
        let next = self.others(port).filter_map(|lane| Some(lane.waiting.front()?.first_time()));
        is_due.then(|| Next { port, bound: next.min().unwrap_or(Timestamp::MAX) })
    }

    /// Whether what this range waits for will come, however long that takes.
    fn waits_for_certain(&self, port: usize, range: &FrameRange, now: Timestamp) -> bool {
        self.others(port).any(|lane| {
            lane.is_certain() && lane.waiting.is_empty() && lane.floor(now) < range.first_time()
        })
    }

    fn others(&self, port: usize) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().enumerate().filter(move |(other, _)| *other != port).map(|(_, lane)| lane)
    }

    /// When frames may leave although nothing new has come, if any wait.
    pub fn deadline(&self) -> Option<Timestamp> {
        let (port, first) = self.first()?;
        // By then whatever arrives would have shown itself, if there is nothing but that.
        let silent = self.others(port).all(|lane| lane.floor(Timestamp::MAX) >= first);
        let heard = silent.then(|| first.plus_ns(IDLE_GAP_NS));
        let waits = |(port, lane): (usize, &Lane)| {
            let range = lane.waiting.front()?;
            let certain = self.waits_for_certain(port, range, Timestamp::MAX);
            (!certain).then(|| range.arrived.plus_ns(WAIT_NS))
        };
        let waited = self.lanes.iter().enumerate().filter_map(waits).min();
        [heard, waited].into_iter().flatten().min()
    }

    /// The port of the earliest frame that waits, and its time.
    fn first(&self) -> Option<(usize, Timestamp)> {
        // As after most reads.
        if self.waiting == 0 {
            return None;
        }
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
    use proptest::collection::vec;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const LIVE: (Pace, bool) = (Pace::Arrival, true);
    const PIPE: (Pace, bool) = (Pace::Arrival, false);
    const PACED: (Pace, bool) = (Pace::Paced, false);
    const STORED: (Pace, bool) = (Pace::Stored, false);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns(10_000 * MS + ms * MS)
    }

    fn pop(merger: &mut Merger, now: Timestamp) -> Option<FrameRange> {
        let next = merger.next(now)?;
        merger.take(&next)
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
        std::iter::from_fn(|| pop(merger, now))
            .flat_map(|range| {
                let port = range.port();
                range.packets().map(|p| (port, p.time.ns_since(at(0)) / MS)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_single_port_waits_for_nobody() {
        for port in [LIVE, PIPE, PACED, STORED] {
            let mut merger = Merger::new([port]);
            merger.push(batch(0, &[1, 2, 3]), Some(at(4)), at(4));
            assert_eq!(leaving(&mut merger, at(0)), [(0, 1), (0, 2), (0, 3)]);
            assert_eq!(merger.deadline(), None);
        }
    }

    #[test]
    fn frames_of_two_ports_leave_in_the_order_of_time() {
        let mut merger = Merger::new([LIVE, LIVE]);
        merger.push(batch(0, &[1, 4, 5]), None, at(6));
        assert_eq!(leaving(&mut merger, at(6)), []);
        merger.push(batch(1, &[2, 3, 9]), None, at(10));
        let order = [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5)];
        assert_eq!(leaving(&mut merger, at(10)), order);
        merger.push(batch(0, &[11]), None, at(12));
        assert_eq!(leaving(&mut merger, at(12)), [(1, 9)]);
    }

    #[test]
    fn a_silent_port_is_waited_for_as_long_as_an_adapter_may_hold_octets() {
        // One that is away is silent as well; so is a pipe that says nothing.
        for other in [LIVE, PIPE] {
            let mut merger = Merger::new([LIVE, other]);
            merger.push(batch(0, &[5]), None, at(6));
            let due = merger.deadline().unwrap();
            assert_eq!(due, at(5).plus_ns(IDLE_GAP_NS));
            assert_eq!(leaving(&mut merger, due.minus_ns(1)), []);
            assert_eq!(leaving(&mut merger, due), [(0, 5)]);
            assert_eq!(merger.deadline(), None);
        }
    }

    #[test]
    fn a_frame_that_has_begun_is_waited_for_a_second_at_most() {
        let mut merger = Merger::new([LIVE, LIVE]);
        merger.push(batch(0, &[5]), None, at(6));
        merger.push(batch(1, &[]), Some(at(4)), at(7));
        assert_eq!(merger.deadline(), Some(at(1006)));
        assert_eq!(leaving(&mut merger, at(1005)), []);
        assert_eq!(leaving(&mut merger, at(1006)), [(0, 5)]);
        // An ended port is not waited for at all.
        merger.push(batch(0, &[1500]), None, at(1501));
        assert_eq!(leaving(&mut merger, at(1502)), []);
        merger.end(1);
        assert_eq!(leaving(&mut merger, at(1502)), [(0, 1500)]);
    }

    #[test]
    fn an_octet_now_and_then_does_not_hold_up_the_other_port() {
        let mut merger = Merger::new([LIVE, LIVE]);
        let (mut pushed, mut left) = (0, 0);
        for ms in (0..60_000).step_by(100) {
            merger.push(batch(1, &[]), Some(at(0)), at(ms));
            merger.push(batch(0, &[ms]), None, at(ms));
            pushed += 1;
            left += leaving(&mut merger, at(ms)).len();
            assert!(pushed - left <= 11, "{} wait", pushed - left);
        }
    }

    #[test]
    fn what_comes_late_leaves_in_the_order_of_arrival_and_tells() {
        let mut merger = Merger::new([LIVE, LIVE]);
        merger.push(batch(0, &[100]), None, at(101));
        merger.push(batch(1, &[]), Some(at(50)), at(102));
        let range = pop(&mut merger, at(1200)).unwrap();
        assert!(!range.is_late() && range.port() == 0);
        merger.push(batch(1, &[50]), None, at(1300));
        let range = pop(&mut merger, at(1300).plus_ns(IDLE_GAP_NS)).unwrap();
        assert!(range.is_late() && range.port() == 1);
        merger.push(batch(1, &[1310]), None, at(1311));
        assert!(!pop(&mut merger, at(1500)).unwrap().is_late());
    }

    #[test]
    fn what_is_stored_is_waited_for_however_long_it_takes() {
        let mut merger = Merger::new([STORED, STORED]);
        merger.push(batch(0, &[5, 7]), None, at(8));
        assert_eq!(leaving(&mut merger, at(1_000_000)), []);
        assert_eq!(merger.deadline(), None);
        merger.push(batch(1, &[6]), None, at(1_000_000));
        assert_eq!(leaving(&mut merger, at(1_000_000)), [(0, 5), (1, 6)]);
        merger.end(1);
        assert_eq!(leaving(&mut merger, at(1_000_000)), [(0, 7)]);
        assert!(merger.has_room(0));
    }

    #[test]
    fn frames_that_have_waited_leave_in_the_order_of_time_whichever_came_first() {
        let mut merger = Merger::new([STORED, STORED, PACED]);
        merger.push(batch(2, &[100, 300]), None, at(301));
        merger.push(batch(0, &[7, 200]), None, at(302));
        assert_eq!(leaving(&mut merger, at(2000)), []);
        // All that is stored of it was read: what comes is not waited for.
        merger.set_pace(1, Pace::Paced);
        assert_eq!(leaving(&mut merger, at(2000)), [(0, 7), (2, 100), (0, 200)]);
    }

    #[test]
    fn a_paced_replay_whose_next_frame_is_an_hour_away_holds_nothing_up() {
        let mut merger = Merger::new([PACED, PACED]);
        merger.push(batch(0, &[5]), None, at(50));
        assert_eq!(merger.deadline(), Some(at(1050)));
        assert_eq!(leaving(&mut merger, at(1049)), []);
        assert_eq!(leaving(&mut merger, at(1050)), [(0, 5)]);
    }

    #[test]
    fn a_live_port_that_waits_for_what_is_stored_takes_so_much_memory_and_no_more() {
        let mut merger = Merger::new([LIVE, STORED]);
        let times: Vec<u64> = (0..1000).collect();
        for n in 0..200 {
            merger.push(batch(0, &times), None, at(n));
            let _ = leaving(&mut merger, at(n));
            assert!(merger.lanes[0].memory < LANE_MEMORY + (200 << 10));
        }
        assert!(merger.holds(0));
        // What can be kept waiting is: it says that there is no room.
        let mut merger = Merger::new([STORED, STORED]);
        while merger.has_room(0) {
            merger.push(batch(0, &times), None, at(0));
        }
        assert_eq!(leaving(&mut merger, at(1_000_000)), []);
    }

    proptest! {
        /// Whatever comes when: each frame leaves once, each port's in order, none later than a
        /// second after it came, and a frame that is not late is in the order of time.
        #[test]
        fn every_frame_leaves_once_and_in_time(
            steps in vec((0..3u16, 1..400u64, 0..2000u64, any::<bool>()), 1..80)
        ) {
            let mut merger = Merger::new([LIVE, PIPE, LIVE]);
            let (mut now, mut pushed, mut last) = (2000, Vec::new(), [0; 3]);
            let mut left: Vec<(usize, u64, bool)> = Vec::new();
            let take = |merger: &mut Merger, now: u64, left: &mut Vec<_>| {
                while let Some(range) = pop(merger, at(now)) {
                    let (port, late) = (range.port(), range.is_late());
                    left.extend(range.packets().map(|p| (port, p.time.ns_since(at(0)) / MS, late)));
                }
            };
            for (port, pause, age, open) in steps {
                now += pause;
                // The threads call at each deadline.
                while let Some(due) = merger.deadline().filter(|due| *due <= at(now)) {
                    take(&mut merger, due.ns_since(at(0)) / MS + 1, &mut left);
                    prop_assert_ne!(merger.deadline(), Some(due));
                }
                let time = last[usize::from(port)].max(now - age.min(now));
                last[usize::from(port)] = time;
                pushed.push((usize::from(port), time));
                merger.push(batch(port, &[time]), open.then(|| at(time)), at(now));
                take(&mut merger, now, &mut left);
                prop_assert!(merger.deadline().is_none_or(|due| due <= at(now).plus_ns(WAIT_NS)));
            }
            take(&mut merger, now + 1001, &mut left);
            prop_assert_eq!(left.len(), pushed.len());
            for port in 0..3 {
                let of = |(p, time): &(usize, u64)| (*p == port).then_some(*time);
                let came: Vec<_> = pushed.iter().filter_map(of).collect();
                let went: Vec<_> =
                    left.iter().filter(|(p, ..)| *p == port).map(|(_, time, _)| *time).collect();
                prop_assert_eq!(came, went);
            }
            let mut latest = 0;
            for (_, time, late) in left {
                prop_assert!(late || time >= latest);
                latest = latest.max(time);
            }
        }
    }
}
