//! The times of one stream: what it adds to those of its packets, so that they are wall time.
//!
//! Packets are dated by a clock that is anchored once. What the wall clock was ahead of it when
//! the stream began is added. When the wall clock is set forward the stream follows at once;
//! when it is set back, times would run backwards, so that is left to the next stream.

use crate::packet::Packet;
use crate::time::{Timestamp, WallOffset};

/// The times of one stream.
#[derive(Debug)]
pub struct Times {
    start: Timestamp,
    start_offset_ns: i64,
    /// The first packet's, if there is one.
    first: Option<Timestamp>,
    /// The last packet's; 1970 if there is none yet.
    last: Timestamp,
    /// For packets of this machine, and for those of a recording as each port.
    clocks: Vec<AppliedOffset>,
    /// Whether all ports are recordings. Then nothing in the stream is of the time when it is
    /// written, so that a replay is the same each time.
    recorded: bool,
}

/// A packet's time in a stream, and what there is to say about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dated {
    /// Not before the packet's in front of it.
    pub time: Timestamp,
    /// By how much the wall clock was set before it; 0 if it was not.
    pub step_ns: i64,
    /// How much earlier it began than its time here says.
    pub late_ns: u64,
}

/// What is added.
#[derive(Clone, Copy, Debug, Default)]
struct AppliedOffset {
    offset_ns: i64,
    /// How the wall clock stood at the last packet.
    wall: WallOffset,
}

impl AppliedOffset {
    fn at(wall: WallOffset) -> Self {
        Self { offset_ns: wall.offset_ns, wall }
    }
}

impl Times {
    /// Those of a stream that begins at `start`, with packets of so many ports.
    pub fn new(start: Timestamp, ports: usize, recorded: bool) -> Self {
        let clocks = vec![AppliedOffset::default(); 1 + ports];
        let last = Timestamp::default();
        Self { start, start_offset_ns: 0, first: None, last, clocks, recorded }
    }

    /// How the wall clock of this machine stands, as long as there is no packet.
    pub fn set_wall_offset(&mut self, wall: WallOffset) {
        self.clocks[0] = AppliedOffset::at(wall);
        self.start_offset_ns = wall.offset_ns;
    }

    /// The same for recordings, as they stood at the end of an earlier stream.
    pub fn follow(&mut self, earlier: &Self) {
        for (clock, earlier) in self.clocks.iter_mut().zip(&earlier.clocks).skip(1) {
            *clock = AppliedOffset::at(earlier.wall);
        }
    }

    /// The packet's time in this stream.
    pub fn date(&mut self, packet: &Packet<'_>) -> Dated {
        let clock = if packet.wall.recorded { 1 + usize::from(packet.port) } else { 0 };
        // Fewer steps: it came before the stream began.
        let is_news = packet.wall.steps > self.clocks[clock].wall.steps;
        let step_ns = if is_news { self.hear(clock, packet.wall) } else { 0 };
        let began = packet.time.shifted_ns(self.clocks[clock].offset_ns);
        self.last = self.last.max(began);
        self.first.get_or_insert(self.last);
        Dated { time: self.last, step_ns, late_ns: self.last.ns_since(began) }
    }

    #[cold]
    fn hear(&mut self, clock: usize, wall: WallOffset) -> i64 {
        let before = self.clocks[clock];
        self.clocks[clock] =
            AppliedOffset { offset_ns: before.offset_ns.max(wall.offset_ns), wall };
        if self.last > Timestamp::default() {
            // A damaged recording may say anything.
            return wall.offset_ns.saturating_sub(before.wall.offset_ns);
        }
        // Nothing is there yet that what comes could be earlier than.
        if clock == 0 {
            self.set_wall_offset(wall);
        } else {
            self.clocks[clock] = AppliedOffset::at(wall);
        }
        0
    }

    /// When the stream began: with its first packet, if that was heard before it was opened.
    pub fn start(&self) -> Timestamp {
        if self.recorded {
            return self.first.unwrap_or_default();
        }
        let opened = self.start.shifted_ns(self.start_offset_ns);
        self.first.map_or(opened, |first| first.min(opened))
    }

    /// What time it is in this stream.
    pub fn now(&self, now: Timestamp) -> Timestamp {
        if self.recorded { self.last } else { now.shifted_ns(self.clocks[0].offset_ns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(times: &mut Times, packet: &Packet<'_>) -> (Timestamp, i64) {
        let Dated { time, step_ns, .. } = times.date(packet);
        (time, step_ns)
    }

    #[test]
    fn what_comes_late_is_told_by_how_much() {
        let mut times = Times::new(at(0), 1, false);
        assert_eq!(times.date(&packet(5, 0, 0, 0)).late_ns, 0);
        let late = times.date(&packet(3, 0, 0, 0));
        assert_eq!((late.time, late.late_ns), (at(5), at(5).ns_since(at(3))));
    }

    #[test]
    fn a_stream_of_recordings_has_no_time_of_its_own() {
        let mut times = Times::new(at(100), 2, true);
        assert_eq!((times.start(), times.now(at(100))), Default::default());
        times.date(&packet(5, 0, 0, 1));
        times.date(&packet(7, 0, 0, 1));
        assert_eq!((times.start(), times.now(at(100))), (at(5), at(7)));
    }

    const HOUR: i64 = 3_600_000_000_000;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_ns(1_000_000 * HOUR as u64).shifted_ns(hours * HOUR)
    }

    /// A packet at this hour of our clock, the wall clock having been set `steps` times.
    fn packet(hour: i64, steps: u32, lead_hours: i64, port: u16) -> Packet<'static> {
        let wall = WallOffset { offset_ns: lead_hours * HOUR, steps, recorded: port == 1 };
        Packet { port, time: at(hour), wall, ..Packet::default() }
    }

    #[test]
    fn a_step_forward_is_followed_at_once_and_told_once() {
        let mut times = Times::new(at(0), 1, false);
        assert_eq!(date(&mut times, &packet(1, 0, 0, 0)), (at(1), 0));
        assert_eq!(date(&mut times, &packet(2, 1, 5, 0)), (at(7), 5 * HOUR));
        assert_eq!(date(&mut times, &packet(3, 1, 5, 0)), (at(8), 0));
        assert_eq!((times.start(), times.now(at(4))), (at(0), at(9)));
    }

    #[test]
    fn a_step_back_is_told_and_left_to_the_next_stream() {
        let mut times = Times::new(at(0), 1, false);
        assert_eq!(date(&mut times, &packet(5, 0, 0, 0)), (at(5), 0));
        assert_eq!(date(&mut times, &packet(6, 1, -3, 0)), (at(6), -3 * HOUR));
        assert_eq!(date(&mut times, &packet(7, 1, -3, 0)), (at(7), 0));
        // Part of the way forward again is not further than we are.
        assert_eq!(date(&mut times, &packet(8, 2, -1, 0)), (at(8), 2 * HOUR));
        assert_eq!(date(&mut times, &packet(9, 3, 1, 0)), (at(10), 2 * HOUR));
        let mut next = Times::new(at(9), 1, false);
        next.set_wall_offset(WallOffset { offset_ns: -3 * HOUR, steps: 4, recorded: false });
        next.follow(&times);
        assert_eq!(next.start(), at(6));
        // Queued since before the last step: dated as the stream is.
        assert_eq!(date(&mut next, &packet(9, 3, 1, 0)), (at(6), 0));
        assert_eq!(date(&mut next, &packet(10, 4, -3, 0)), (at(7), 0));
    }

    #[test]
    fn a_stream_without_packets_follows_any_step_in_silence() {
        let mut times = Times::new(at(0), 1, false);
        assert_eq!(date(&mut times, &packet(1, 1, -3, 0)), (at(-2), 0));
        assert_eq!((times.start(), times.now(at(2))), (at(-3), at(-1)));
    }

    #[test]
    fn a_stream_begins_with_its_first_packet_if_that_is_older() {
        let mut times = Times::new(at(5), 1, false);
        assert_eq!(times.start(), at(5));
        times.date(&packet(3, 0, 0, 0));
        times.date(&packet(4, 0, 0, 0));
        assert_eq!(times.start(), at(3));
        let mut times = Times::new(at(5), 1, false);
        times.date(&packet(6, 0, 0, 0));
        assert_eq!(times.start(), at(5));
    }

    #[test]
    fn no_step_is_too_large() {
        let mut times = Times::new(at(0), 1, false);
        let mut last = times.date(&packet(0, 0, 0, 0)).time;
        for (steps, offset_ns) in [i64::MIN, i64::MAX, i64::MIN, 0].into_iter().enumerate() {
            let wall = WallOffset { offset_ns, steps: 1 + steps as u32, recorded: false };
            let time = times.date(&Packet { wall, ..packet(1, 0, 0, 0) }).time;
            assert!(time >= last);
            last = time;
        }
    }

    #[test]
    fn a_recording_has_a_clock_of_its_own() {
        let mut times = Times::new(at(0), 2, false);
        times.set_wall_offset(WallOffset { offset_ns: 20 * HOUR, steps: 1, recorded: false });
        assert_eq!(date(&mut times, &packet(1, 0, 0, 1)), (at(1), 0));
        assert_eq!(date(&mut times, &packet(2, 1, 5, 1)), (at(7), 5 * HOUR));
        assert_eq!(date(&mut times, &packet(3, 1, 20, 0)), (at(23), 0));
        assert_eq!(date(&mut times, &packet(9, 1, 5, 1)), (at(23), 0), "never backwards");
    }
}
