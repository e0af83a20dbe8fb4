//! Octets between their arrival and their judgement.

use super::{IDLE_GAP_NS, IDLE_NS, Setup};
use crate::line_errors::{LineError, LineErrorKind, LineErrors};
use crate::packet::{Notes, Tally};
use crate::time::Timestamp;
use std::collections::VecDeque;

/// Octets that were received and not yet judged, with their arrival times, and the account of
/// those that were. What all framers have in common.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) octets: Vec<u8>,
    /// How many of `octets` are gone; they are moved out together, once a push.
    pub(super) taken: usize,
    /// Position in the line of the first octet in `octets`.
    base: u64,
    /// Ends of the chunks that have octets left here, and when they arrived.
    arrivals: VecDeque<(u64, Timestamp)>,
    pub(super) last_arrival: Timestamp,
    last_time: Timestamp,
    octet_ns: u64,
    silence_ns: u64,
    /// A pause that is longer is noted.
    least_pause_ns: u64,
    /// Positions in the line with a pause before them, and how long that was.
    pauses: VecDeque<(u64, u64)>,
    /// Positions in the line of octets that the receiver found something wrong with, and what.
    errors: VecDeque<(u64, LineErrorKind)>,
    pub(super) skipped_run: u32,
    pub(super) tally: Tally,
}

impl Window {
    pub(super) fn new(setup: &Setup) -> Self {
        Self::noting(setup, IDLE_NS)
    }

    /// One that notes pauses longer than this.
    pub(super) fn noting(setup: &Setup, least_pause_ns: u64) -> Self {
        Self {
            octets: Vec::new(),
            taken: 0,
            base: 0,
            arrivals: VecDeque::new(),
            last_arrival: Timestamp::default(),
            last_time: Timestamp::default(),
            octet_ns: setup.line.octet_ns(),
            silence_ns: setup.silence_ns,
            least_pause_ns,
            pauses: VecDeque::new(),
            errors: VecDeque::new(),
            skipped_run: 0,
            tally: Tally::default(),
        }
    }

    /// Takes a chunk, the last octet of which arrived at `arrival`.
    pub(super) fn push(&mut self, octets: &[u8], arrival: Timestamp) {
        if octets.is_empty() {
            return;
        }
        self.octets.drain(..self.taken);
        self.base += self.taken as u64;
        self.taken = 0;
        self.note_pause(octets.len(), arrival);
        self.octets.extend_from_slice(octets);
        let end = self.base + self.octets.len() as u64;
        while self.arrivals.front().is_some_and(|(end, _)| *end <= self.base) {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back((end, arrival));
        self.last_arrival = arrival;
        self.tally.octets += octets.len() as u64;
    }

    /// Hears what was wrong with the octets of the next push.
    pub(super) fn mark(&mut self, errors: &[LineError]) {
        let start = self.base + self.taken as u64;
        while self.errors.front().is_some_and(|(position, _)| *position < start) {
            self.errors.pop_front();
        }
        let next = self.base + self.octets.len() as u64;
        for error in errors {
            self.errors.push_back((next + u64::from(error.at), error.kind));
            match error.kind {
                LineErrorKind::Symbol => self.tally.symbol_errors += 1,
                LineErrorKind::Break => self.tally.breaks += 1,
                LineErrorKind::Overrun => self.tally.overruns += 1,
            }
        }
    }

    /// How far it is to each break.
    pub(super) fn breaks(&self) -> impl Iterator<Item = usize> {
        let start = self.base + self.taken as u64;
        self.errors
            .iter()
            .filter(move |(position, kind)| *kind == LineErrorKind::Break && *position >= start)
            .map(move |(position, _)| (position - start) as usize)
    }

    /// What was wrong with the first `len` octets. A break at the first of them is how some frames
    /// begin.
    pub(super) fn errors(&self, len: usize) -> LineErrors {
        if self.errors.is_empty() { LineErrors::default() } else { self.errors_within(len) }
    }

    #[cold]
    fn errors_within(&self, len: usize) -> LineErrors {
        let mut errors = LineErrors::default();
        let start = self.base + self.taken as u64;
        for (position, kind) in &self.errors {
            let is_start = *position == start && *kind == LineErrorKind::Break;
            if (start..start + len as u64).contains(position) && !is_start {
                errors.add(*kind);
            }
        }
        errors
    }

    /// Notes a pause before a chunk of this length, if something was open meanwhile.
    pub(super) fn note_pause(&mut self, len: usize, arrival: Timestamp) {
        while self.pauses.front().is_some_and(|(position, _)| *position <= self.base) {
            self.pauses.pop_front();
        }
        if !self.octets.is_empty() {
            let pause = self.pause_before(len, arrival);
            if pause > self.least_pause_ns {
                self.pauses.push_back((self.base + self.octets.len() as u64, pause));
            }
        }
    }

    /// How long the line was silent before a chunk of this length, in nanoseconds.
    pub(super) fn pause_before(&self, len: usize, arrival: Timestamp) -> u64 {
        arrival.minus_ns(len as u64 * self.octet_ns).ns_since(self.last_arrival)
    }

    /// How far it is to each octet that came after a pause that was noted, more
    /// than 1 ms unless told otherwise, but for the first
    /// one held, and how long that was in nanoseconds.
    pub(super) fn pauses(&self) -> impl Iterator<Item = (usize, u64)> {
        let start = self.base + self.taken as u64;
        self.pauses
            .iter()
            .filter(move |(position, _)| *position > start)
            .map(move |(position, pause)| ((position - start) as usize, *pause))
    }

    /// How far it is to each octet that came after a pause, but for the first one held, and whether
    /// no adapter explains that pause.
    pub(super) fn behind_pauses(&self) -> impl Iterator<Item = (usize, bool)> {
        self.pauses().map(|(ahead, pause)| (ahead, pause > IDLE_GAP_NS))
    }

    /// How long the line was silent inside the first `len` octets, in milliseconds.
    pub(super) fn pause_ms(&self, len: usize) -> u32 {
        if self.pauses.is_empty() { 0 } else { self.pause_within(len) }
    }

    #[cold]
    fn pause_within(&self, len: usize) -> u32 {
        let start = self.base + self.taken as u64;
        let inside = start + 1..start + len as u64;
        let pauses = self
            .pauses
            .iter()
            .filter(|(position, pause)| *pause > IDLE_GAP_NS && inside.contains(position));
        let ns: u64 = pauses.map(|(_, pause)| pause).sum();
        u32::try_from(ns / 1_000_000).unwrap_or(u32::MAX)
    }

    /// The octets not yet judged.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    /// When the octet `ahead` of the first began on the wire.
    pub(super) fn time_of(&self, ahead: usize) -> Timestamp {
        let position = self.base + (self.taken + ahead) as u64;
        match self.arrivals.front() {
            Some((end, arrival)) if position < *end => {
                arrival.minus_ns((end - position) * self.octet_ns)
            }
            _ => self.time_of_later(position),
        }
    }

    /// The same of an octet that is not of the first chunk.
    fn time_of_later(&self, position: u64) -> Timestamp {
        self.arrivals
            .iter()
            .find(|(end, _)| position < *end)
            .map_or(self.last_arrival, |(end, arrival)| {
                arrival.minus_ns((end - position) * self.octet_ns)
            })
    }

    /// When silence would end what is held here.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        (!self.octets().is_empty()).then(|| self.last_arrival.plus_ns(self.silence_ns))
    }

    /// The first `len` octets belong to no frame.
    pub(super) fn skip(&mut self, len: usize) {
        self.taken += len;
        self.tally.skipped_octets += len as u64;
        self.skipped_run = self.skipped_run.saturating_add(len as u32);
    }

    /// The first `len` octets may follow a frame, and mean nothing.
    pub(super) fn pad(&mut self, len: usize) {
        self.taken += len;
        self.tally.padding_octets += len as u64;
    }

    /// The first `len` octets are a good frame; returns what is known of it.
    pub(super) fn good(&mut self, len: usize) -> Notes {
        self.good_at(len, self.time_of(0))
    }

    /// The first `len` octets are a damaged frame; returns what `good` does.
    pub(super) fn damaged(&mut self, len: usize) -> Notes {
        self.damaged_at(len, self.time_of(0))
    }

    /// The same as `good`, of a frame that was heard at `time`.
    pub(super) fn good_at(&mut self, len: usize, time: Timestamp) -> Notes {
        self.tally.good_octets += len as u64;
        self.tally.good_frames += 1;
        self.take_frame_at(len, time)
    }

    /// The same as `damaged`, of a frame that was heard at `time`.
    pub(super) fn damaged_at(&mut self, len: usize, time: Timestamp) -> Notes {
        self.tally.damaged_octets += len as u64;
        self.tally.damaged_frames += 1;
        self.take_frame_at(len, time)
    }

    fn take_frame_at(&mut self, len: usize, time: Timestamp) -> Notes {
        let time = self.in_order(time);
        let pause_ms = self.pause_ms(len);
        let errors = self.errors(len);
        self.taken += len;
        let skipped_before = std::mem::take(&mut self.skipped_run);
        Notes { time, skipped_before, pause_ms, errors, ..Notes::default() }
    }

    /// `time`, or the last frame's if that is later.
    pub(super) fn in_order(&mut self, time: Timestamp) -> Timestamp {
        self.last_time = self.last_time.max(time);
        self.last_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::SILENCE_NS;

    #[test]
    fn octets_are_dated_back_from_the_end_of_their_chunk() {
        let mut window = Window::new(&Setup::new(10_000)); // 1 ms an octet
        window.push(b"abc", Timestamp::from_ns(10_000_000));
        window.push(b"de", Timestamp::from_ns(20_000_000));
        let times: Vec<u64> = (0..5).map(|i| window.time_of(i).as_ns() / 1_000_000).collect();
        assert_eq!(times, [7, 8, 9, 18, 19]);
        window.skip(3);
        window.push(b"f", Timestamp::from_ns(30_000_000));
        assert_eq!(window.time_of(0).as_ns(), 18_000_000);
        assert_eq!(window.time_of(2).as_ns(), 29_000_000);
        assert_eq!(window.deadline(), Some(Timestamp::from_ns(30_000_000 + SILENCE_NS)));
        window.skip(3);
        assert_eq!(window.deadline(), None);
    }

    #[test]
    fn errors_belong_to_the_frame_that_has_their_octet() {
        use LineErrorKind::{Break, Overrun, Symbol};
        let mut window = Window::new(&Setup::new(10_000));
        let error = |at, kind| LineError { at, kind };
        let counts = |symbols, breaks, overruns| LineErrors { symbols, breaks, overruns };
        window.push(b"ab", Timestamp::default());
        window.mark(&[error(0, Break), error(1, Symbol), error(3, Break), error(4, Symbol)]);
        window.push(b"cdefg", Timestamp::default());
        assert_eq!(window.breaks().collect::<Vec<_>>(), [2, 5]);
        window.skip(2);
        assert_eq!(window.breaks().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(window.good(3).errors, counts(1, 0, 0), "it begins with its break");
        window.skip(1);
        window.mark(&[error(0, Overrun)]);
        window.push(b"h", Timestamp::default());
        assert_eq!(window.good(1).errors, counts(1, 0, 0));
        assert_eq!(window.good(1).errors, counts(0, 0, 1));
        let tally = window.tally;
        assert_eq!((tally.symbol_errors, tally.breaks, tally.overruns), (2, 2, 1));
    }

    #[test]
    fn a_frame_is_never_earlier_than_the_one_before() {
        let mut window = Window::new(&Setup::new(10_000));
        window.push(b"a", Timestamp::from_ns(50_000_000));
        window.push(&[0; 40], Timestamp::from_ns(51_000_000));
        assert_eq!(window.good(1).time.as_ns(), 49_000_000);
        assert_eq!(window.good(40).time.as_ns(), 49_000_000);
    }
}
