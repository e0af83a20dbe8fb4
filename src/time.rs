//! Time: the timestamps of packets, the clock they are taken from, and how far the wall clock is
//! ahead of it.

pub mod wall_clock;

use crate::sys::clock;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in nanoseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The timestamp `ns` nanoseconds after 1970-01-01 00:00:00 UTC.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since 1970-01-01 00:00:00 UTC.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// The end of time (year 2554).
    pub const MAX: Self = Self(u64::MAX);

    /// Whether only a clock that was never set says so: before 2020-01-01.
    pub const fn is_of_unset_clock(self) -> bool {
        self.0 < 1_577_836_800_000_000_000
    }

    /// `ns` nanoseconds later; stays at the end of time (year 2554).
    #[must_use]
    pub const fn plus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// `ns` nanoseconds earlier; stays at 1970.
    #[must_use]
    pub const fn minus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_sub(ns))
    }

    /// Nanoseconds from `earlier` to `self`; 0 if it is not earlier.
    pub const fn ns_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `ns` nanoseconds later, or earlier; stays within time.
    #[must_use]
    pub const fn shifted_ns(self, ns: i64) -> Self {
        Self(self.0.saturating_add_signed(ns))
    }

    /// The same as a duration since 1970, which is what pcap-file takes.
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// The monotonic clock that goes on while the machine sleeps, anchored once to wall time, so that
/// it never runs backwards.
#[derive(Clone, Copy, Debug)]
pub struct MonoClock {
    boot: Timestamp,
}

impl MonoClock {
    /// Anchors a new clock to the wall time of this moment.
    pub fn start() -> Self {
        let unanchored = Self { boot: Timestamp::default() };
        let offset = unanchored.best_wall_offset_ns();
        // Negative on a machine whose wall clock has just begun, in 1970.
        Self { boot: Timestamp(offset.start().midpoint(*offset.end()).max(0).cast_unsigned()) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.boot.plus_ns(clock::now_ns())
    }

    /// How far the wall clock is ahead of this one: at least and at most, since we may be
    /// stopped between two readings.
    pub fn wall_offset_ns(&self) -> RangeInclusive<i64> {
        let before = self.now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let after = self.now();
        let wall = i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX);
        let offset = |clock: Timestamp| wall.saturating_sub(clock.0.cast_signed());
        offset(after)..=offset(before)
    }

    /// The same as exactly as a few tries give it.
    pub fn best_wall_offset_ns(&self) -> RangeInclusive<i64> {
        let mut best = self.wall_offset_ns();
        for _ in 0..7 {
            let offset = self.wall_offset_ns();
            if offset.end() - offset.start() < best.end() - best.start() {
                best = offset;
            }
        }
        best
    }
}

/// How the wall clock stands beside the clock that packets are dated by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallOffset {
    /// Nanoseconds that it is ahead.
    pub offset_ns: i64,
    /// How often it was set so far.
    pub steps: u32,
    /// Whether a recording says so, of the machine and the time that it was made at.
    pub recorded: bool,
}

impl WallOffset {
    /// What to say when it is set, by so much.
    pub fn step_in_words(&self, step_ns: i64) -> String {
        let way = if step_ns < 0 { "back" } else { "forward" };
        format!("the clock was set {way} by {}", seconds(step_ns.unsigned_abs()))
    }
}

/// The nanoseconds of a length of time that somebody named; at most those that are counted here, which
/// are 584 years.
pub fn ns_of(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

/// A time for people, such as `12.346 s`.
pub fn seconds(ns: u64) -> String {
    let ms = ns.saturating_add(500_000) / 1_000_000;
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_for_people() {
        assert_eq!(seconds(12_345_678_901), "12.346 s");
        assert_eq!(
            WallOffset::default().step_in_words(-3_600_000_000_000),
            "the clock was set back by 3600.000 s"
        );
    }

    #[test]
    fn no_length_of_time_is_a_short_one_because_it_is_too_long() {
        assert_eq!(ns_of(Duration::from_secs(2)), 2_000_000_000);
        // Two seconds more than there are.
        assert_eq!(ns_of(Duration::from_secs(u64::MAX / 1_000_000_000 + 2)), u64::MAX);
    }

    #[test]
    fn the_clock_does_not_run_backwards() {
        let clock = MonoClock::start();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
