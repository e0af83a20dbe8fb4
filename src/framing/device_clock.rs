//! The clock of a device at the other end, a counter of so many bits, in terms of ours.
//!
//! What lies between two records is told by the device's clock, since a record may leave the
//! device, or reach us, long after what it tells of. When that was on our clock is told by the
//! arrivals, as far as they go: nothing is dated after it arrived.
//!
//! Each record says how far our clock is ahead of the device's, and how long the record was
//! on its way, in one number: arrival less device time. The *anchor* is the smallest of these
//! numbers in a sliding window of [`WINDOW_NS`]; but for one: a single record lower than all
//! others may be a wrong digit, and counts only when a second one goes as low. A record is
//! dated by the anchor and the device's clock, and never after its arrival. So
//!
//! - records that were held back, by a busy line, a tunnel, or this program's own sleep, get
//!   the time they had on the device, up to [`WINDOW_NS`] before their arrival;
//! - a backlog that is there at the start is dated by its arrival until it is through;
//! - a device clock that is slow by 200 ppm is dated 12 ms too early, one that is fast not at
//!   all too late: the window forgets;
//! - the counter may turn over as often as it likes: the turn nearest to the anchor is meant.
//!
//! A record *fits* that is less than [`AHEAD_NS`] ahead of the anchor and not more than
//! [`WINDOW_NS`] behind, whose clock did not run backwards by more than [`AHEAD_NS`]. One
//! that does not fit changes nothing but itself: it is dated as if it had been on its way as
//! long as the record before. Two in a row that do not fit, but agree with each other to
//! within [`AHEAD_NS`], begin anew; and so does one that counts less than the time since the
//! record before: the device has restarted in between. The first two records have to agree
//! likewise. Of a counter whose turn is shorter these bounds are half and a quarter of it.
//!
//! So for any counts and arrivals: arrival - [`WINDOW_NS`] <= time <= arrival. Without
//! arrivals that mean something, in a file of plain octets, the device's clock alone is
//! followed.
//!
//! Pure: the same counts and arrivals give the same times. Memory: [`SLOTS`] pairs of numbers.

use crate::time::Timestamp;
use std::collections::VecDeque;

/// How far back the anchor looks, and the longest that a record may have been on its way.
const WINDOW_NS: i128 = 60_000_000_000;
/// The window moves in this many steps.
const SLOTS: usize = 12;
const SLOT_NS: u64 = WINDOW_NS as u64 / SLOTS as u64;
/// No number.
const NONE: i128 = i128::MAX;
/// What two records may differ by that are said to agree.
const AHEAD_NS: i128 = 1_000_000_000;

/// A device's counter, and what is known about it.
#[derive(Debug)]
pub(super) struct DeviceClock {
    /// Nanoseconds of a tick, or of some ticks.
    tick_ns: i128,
    ticks: i128,
    /// Nanoseconds that the counter takes to turn over.
    turn_ns: i128,
    /// Whether arrivals are those of the line.
    timed: bool,
    window: VecDeque<Slot>,
    last: Option<Reading>,
    /// The last record, if it did not fit.
    stranger: Option<Reading>,
    restarted: bool,
}

/// The two smallest numbers of a part of the window.
#[derive(Clone, Copy, Debug)]
struct Slot {
    since: Timestamp,
    least: [i128; 2],
}

/// A record.
#[derive(Clone, Copy, Debug)]
struct Reading {
    count: u64,
    arrival: Timestamp,
    /// Arrival less device time.
    ahead_ns: i128,
    time: Timestamp,
}

impl DeviceClock {
    /// A counter of `bits` bits, up to 64, that counts `hz` times a second. If not `timed`,
    /// arrivals say nothing.
    pub(super) fn new(bits: u32, hz: u64, timed: bool) -> Self {
        const SECOND_NS: u64 = 1_000_000_000;
        // What is not a fraction does without a division.
        let is_whole = SECOND_NS.is_multiple_of(hz);
        let (tick_ns, ticks) = if is_whole { (SECOND_NS / hz, 1) } else { (SECOND_NS, hz) };
        Self {
            tick_ns: tick_ns.into(),
            ticks: ticks.into(),
            turn_ns: ((1_i128 << bits) * 1_000_000_000 / i128::from(hz)).max(1),
            timed,
            window: VecDeque::new(),
            last: None,
            stranger: None,
            restarted: false,
        }
    }

    /// When that was that the device dates by `count`, and that arrived at `arrival`. Bits of
    /// `count` above those that the counter has make no difference.
    pub(super) fn time_of(&mut self, count: u64, arrival: Timestamp) -> Timestamp {
        if !self.timed {
            return self.follow(count, arrival);
        }
        self.forget(arrival);
        let device_ns = self.ns(count);
        let ahead_ns = i128::from(arrival.as_ns()) - device_ns;
        let Some(last) = self.last else {
            return self.judge_stranger(count, ahead_ns, arrival);
        };
        let reference = self.anchor().unwrap_or(last.ahead_ns);
        let late_ns = self.centred(ahead_ns - reference);
        let elapsed_ns = i128::from(arrival.ns_since(last.arrival));
        let step_ns = elapsed_ns - (reference + late_ns - last.ahead_ns);
        let (ahead_bound, late_bound) = (self.ahead_bound(), self.late_bound());
        if -ahead_bound <= late_ns && late_ns <= late_bound && -ahead_bound <= step_ns {
            return self.accept(count, reference + late_ns, arrival);
        }
        self.judge_stranger(count, ahead_ns, arrival)
    }

    /// Whether the device has begun to count anew, as far as that could be told since this was
    /// last asked.
    pub(super) fn restarted(&mut self) -> bool {
        std::mem::take(&mut self.restarted)
    }

    /// What comes next is of another clock.
    pub(super) fn reset(&mut self) {
        self.window.clear();
        self.last = None;
        self.stranger = None;
    }

    fn ns(&self, count: u64) -> i128 {
        let ns = i128::from(count) * self.tick_ns;
        if self.ticks == 1 { ns } else { ns / self.ticks }
    }

    fn ahead_bound(&self) -> i128 {
        AHEAD_NS.min(self.turn_ns / 4)
    }

    fn late_bound(&self) -> i128 {
        WINDOW_NS.min(self.turn_ns / 2)
    }

    /// As near to 0 as whole turns of the counter bring it.
    fn centred(&self, ns: i128) -> i128 {
        let half = self.turn_ns / 2;
        if ns.abs() < half {
            return ns; // a division of 128 bits is as long as all else here
        }
        (ns + half).rem_euclid(self.turn_ns) - half
    }

    /// The second smallest number in the window, or the only one.
    fn anchor(&self) -> Option<i128> {
        let mut least = [NONE; 2];
        for ns in self.window.iter().flat_map(|slot| slot.least) {
            least = with(least, ns);
        }
        least.into_iter().rev().find(|ns| *ns != NONE)
    }

    fn forget(&mut self, now: Timestamp) {
        let is_old = |slot: &Slot| now.ns_since(slot.since) >= WINDOW_NS as u64;
        while self.window.front().is_some_and(is_old) {
            self.window.pop_front();
        }
    }

    fn remember(&mut self, ahead_ns: i128, arrival: Timestamp) {
        match self.window.back_mut() {
            Some(slot) if arrival.ns_since(slot.since) < SLOT_NS => {
                slot.least = with(slot.least, ahead_ns);
            }
            _ => self.window.push_back(Slot { since: arrival, least: with([NONE; 2], ahead_ns) }),
        }
    }

    /// A record that fits.
    fn accept(&mut self, count: u64, ahead_ns: i128, arrival: Timestamp) -> Timestamp {
        if self.window.is_empty() {
            self.remember(ahead_ns, arrival); // twice: the first one is believed
        }
        self.remember(ahead_ns, arrival);
        let late_ns = self.anchor().map_or(0, |anchor| (ahead_ns - anchor).max(0));
        let time = arrival.minus_ns(u64::try_from(late_ns).unwrap_or(0));
        self.last = Some(Reading { count, arrival, ahead_ns, time });
        self.stranger = None;
        time
    }

    /// The window is that of these two.
    fn begin(&mut self, count: u64, ahead_ns: [i128; 2], arrival: Timestamp) -> Timestamp {
        self.window.clear();
        let least = ahead_ns[0].min(ahead_ns[1]);
        self.remember(least, arrival);
        self.remember(least, arrival); // twice: it is believed
        self.accept(count, ahead_ns[1], arrival)
    }

    fn judge_stranger(&mut self, count: u64, ahead_ns: i128, arrival: Timestamp) -> Timestamp {
        let fell_back = |last: Reading| count < last.count;
        if let Some(Reading { ahead_ns: before, .. }) = self.stranger {
            let differ_ns = self.centred(ahead_ns - before);
            if differ_ns.abs() <= self.ahead_bound() {
                self.restarted |= self.last.is_some_and(fell_back);
                return self.begin(count, [before, before + differ_ns], arrival);
            }
        }
        let uptime_ns = self.ns(count).rem_euclid(self.turn_ns);
        let is_younger =
            |last: &Reading| uptime_ns <= i128::from(arrival.ns_since(last.arrival)) + AHEAD_NS;
        if self.last.or(self.stranger).filter(is_younger).is_some_and(fell_back) {
            self.restarted = true;
            return self.begin(count, [ahead_ns; 2], arrival);
        }
        self.stranger = Some(Reading { count, arrival, ahead_ns, time: arrival });
        let before = self.last.filter(|_| !self.window.is_empty());
        before.map_or(arrival, |last| arrival.minus_ns(last.arrival.ns_since(last.time)))
    }

    /// By the device's clock alone; from where it falls back, or leaps by more than a turn, it
    /// goes on.
    fn follow(&mut self, count: u64, arrival: Timestamp) -> Timestamp {
        let time = self.last.map_or(arrival, |last| {
            let step_ns = self.ns(count) - self.ns(last.count);
            let bound = if step_ns < 0 { self.turn_ns / 2 } else { self.turn_ns };
            let step_ns = if step_ns < 0 { step_ns.rem_euclid(self.turn_ns) } else { step_ns };
            let step_ns = if step_ns <= bound { step_ns } else { 0 };
            last.time.plus_ns(u64::try_from(step_ns).unwrap_or(0))
        });
        self.last = Some(Reading { count, arrival, ahead_ns: 0, time });
        time
    }
}

/// The two smallest of three; the two given are in order.
fn with(least: [i128; 2], ns: i128) -> [i128; 2] {
    if ns < least[0] { [ns, least[0]] } else { [least[0], least[1].min(ns)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000_000_000;
    const WINDOW: u64 = WINDOW_NS as u64;

    /// Microseconds in 32 bits.
    fn clock() -> DeviceClock {
        DeviceClock::new(32, 1_000_000, true)
    }

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_ns(1_000_000 * SECOND + ns)
    }

    /// How long before its arrival each record is dated, which is told by its device time in
    /// microseconds and its arrival in nanoseconds.
    fn late(clock: &mut DeviceClock, records: impl IntoIterator<Item = (u64, u64)>) -> Vec<i64> {
        let late = |(count, arrival): (u64, u64)| {
            let time = clock.time_of(count, at(arrival)).as_ns().cast_signed();
            at(arrival).as_ns().cast_signed() - time
        };
        records.into_iter().map(late).collect()
    }

    /// A record each 100 ms, in order from `first` on, none of them held back.
    fn steady(first: u64, count: u64) -> impl Iterator<Item = (u64, u64)> {
        (first..first + count).map(|n| (n * 100_000, n * 100 * MS))
    }

    #[test]
    fn spacing_is_the_devices() {
        let mut clock = clock();
        let records = [(5_000, 0), (5_192, 38 * MS), (5_500, 39 * MS), (105_000, 100 * MS)];
        assert_eq!(late(&mut clock, records), [0, 37_808_000, 38_500_000, 0]);
    }

    #[test]
    fn a_stall_is_not_in_the_times() {
        let mut clock = clock();
        assert!(late(&mut clock, steady(0, 100)).iter().all(|late| *late == 0));
        // What came meanwhile arrives together after 15 s, and then all is as before.
        let stalled = steady(100, 150).map(|(count, _)| (count, 25 * SECOND));
        let expected: Vec<_> = (0..150).map(|n| (150 - n) * 100_000_000).collect();
        assert_eq!(late(&mut clock, stalled), expected);
        assert!(late(&mut clock, steady(250, 100)).iter().all(|late| *late == 0));
    }

    #[test]
    fn a_backlog_at_the_start_is_dated_by_its_arrival() {
        for step_us in [100, 100_000, 7_000_000, 60_000_000] {
            let mut clock = clock();
            let backlog = (0..50).map(|n| (n * step_us, 0));
            assert!(late(&mut clock, backlog).iter().all(|late| *late == 0));
            // Live from the first one on.
            let live = (1..100).map(|n| (50 * step_us + n * 100_000, n * 100 * MS));
            assert!(late(&mut clock, live).iter().all(|late| *late == 0));
        }
    }

    #[test]
    fn any_wrong_digit_changes_nothing_but_itself() {
        for place in 0..16 {
            for digit in 0..16 {
                for wrong in 2..30 {
                    let right: Vec<_> = steady(0x1_2345, 40).collect();
                    let mut records = right.clone();
                    records[wrong].0 =
                        records[wrong].0 & !(0xf << (4 * place)) | digit << (4 * place);
                    let found = late(&mut clock(), records);
                    for (n, late) in found.into_iter().enumerate() {
                        assert!(late == 0 || n == wrong, "no. {n} is {late} ns late");
                    }
                }
            }
        }
    }

    #[test]
    fn a_wrong_first_time_is_corrected_by_the_next_two() {
        for wrong in [1, 268_000_000, 0xffff_ffff] {
            let records = std::iter::once((wrong, 0)).chain(steady(50_000, 5).map(|(c, _)| (c, 0)));
            let mut records: Vec<_> = records.collect();
            for (n, record) in records.iter_mut().enumerate() {
                record.1 = n as u64 * 100 * MS;
            }
            assert_eq!(late(&mut clock(), records), [0; 6]);
        }
    }

    #[test]
    fn drift_both_ways_is_followed() {
        for ppm in [-200_i64, -50, 50, 200] {
            let mut clock = clock();
            for n in 0..20_000_u64 {
                let count = (n as i64 * (1_000_000 + ppm) / 10).cast_unsigned();
                let late = late(&mut clock, [(count, n * 100 * MS)])[0];
                let bound = (-ppm).max(0) * 60_000 + 100_000;
                assert!((0..=bound).contains(&late), "{ppm} ppm: {late} ns after {n}");
            }
        }
    }

    #[test]
    fn counters_of_any_width_turn_over() {
        // Milliseconds in 16 bits, 1/32 of a microsecond in 32, microseconds in 32, 48, 64.
        let counters =
            [(16, 1000), (32, 32_000_000), (32, 1_000_000), (48, 1_000_000), (64, 1_000_000)];
        for (bits, hz) in counters {
            let mut clock = DeviceClock::new(bits, hz, true);
            let mask = u64::MAX >> (64 - bits);
            for n in 0..10_000_u64 {
                let count = (mask - 200).wrapping_add(n * hz / 10) & mask;
                assert_eq!(late(&mut clock, [(count, n * 100 * MS)]), [0], "{bits} bits: {n}");
            }
            assert!(!clock.restarted());
        }
    }

    #[test]
    fn silence_of_hours_and_turns_is_no_restart() {
        let mut clock = clock();
        late(&mut clock, steady(0, 10));
        let hours = 3 * 3600;
        let again = (0..10).map(|n| (hours * 1_000_000 + n * 1000, hours * SECOND + n * MS));
        let again = again.map(|(count, arrival)| (count & 0xffff_ffff, arrival));
        assert_eq!(late(&mut clock, again), [0; 10]);
        assert!(!clock.restarted());
        // The first record after it is what the next ones are measured by.
        let mut clock = self::clock();
        late(&mut clock, steady(0, 10));
        let later = [(100_000_000, 100 * SECOND), (100_000_192, 100 * SECOND + 38 * MS)];
        assert_eq!(late(&mut clock, later), [0, 37_808_000]);
    }

    #[test]
    fn a_restart_is_seen_at_once_or_by_the_second_record() {
        // After a single record.
        let mut fresh = clock();
        assert_eq!(late(&mut fresh, [(3_600_000_000, 0), (100_000, 500 * MS)]), [0, 0]);
        assert!(fresh.restarted());
        // After an hour, and soon after the last restart.
        for uptime in [3600, 30, 5] {
            let mut clock = clock();
            late(&mut clock, steady(uptime * 10, 20));
            assert!(!clock.restarted());
            let end = (uptime + 2) * SECOND;
            assert_eq!(late(&mut clock, [(500_000, end + 2 * SECOND)]), [0]);
            assert!(clock.restarted(), "{uptime}");
            assert!(!clock.restarted(), "told once");
            let more = (6..20).map(|n| (n * 100_000, end + SECOND + (n + 5) * 100 * MS));
            assert!(late(&mut clock, more).iter().all(|late| *late == 0));
        }
        // Held back, so that it could have counted no more than a second.
        let mut clock = clock();
        late(&mut clock, steady(36_000, 20));
        let end = 3602 * SECOND;
        assert_eq!(late(&mut clock, [(9_000_000, end + MS)]), [0]);
        assert!(!clock.restarted());
        assert_eq!(late(&mut clock, [(9_100_000, end + 2 * MS)]), [0]);
        assert!(clock.restarted());
    }

    #[test]
    fn a_device_that_slept_is_dated_right_when_the_window_has_passed() {
        for slept in [5, 600] {
            let mut clock = clock();
            late(&mut clock, steady(0, 100));
            let awake = (100..1000).map(|n| (n * 100_000, slept * SECOND + n * 100 * MS));
            let late = late(&mut clock, awake);
            assert!(late[601..].iter().all(|late| *late == 0));
            assert_eq!(late[500], if slept == 5 { 5_000_000_000 } else { 0 });
        }
    }

    #[test]
    fn without_arrivals_the_devices_clock_is_followed() {
        let mut clock = DeviceClock::new(32, 1_000_000, false);
        let steps = [0, 1, 60_000_000, 3_600_000_000, 4_200_000_000, 192];
        let mut count = 0xffff_0000;
        let mut expected = at(0);
        assert_eq!(clock.time_of(count, at(0)), expected);
        for step in steps {
            count += step;
            expected = expected.plus_ns(step * 1000);
            assert_eq!(clock.time_of(count, at(1)), expected);
        }
        let mut clock = DeviceClock::new(32, 1_000_000, false);
        assert_eq!(clock.time_of(0xffff_fff0, at(0)), at(0));
        assert_eq!(clock.time_of(0x10, at(0)), at(32_000), "turned over");
        assert_eq!(clock.time_of(u64::MAX, at(0)), at(32_000), "no step of a clock");
    }

    proptest! {
        #[test]
        fn nothing_is_dated_after_its_arrival_or_long_before(
            bits in prop_oneof![Just(16_u32), Just(32), Just(64), 8..=64_u32],
            hz in prop_oneof![Just(1000_u64), Just(1_000_000), Just(32_000_000), 1..1_000_000_000_u64],
            records in vec(
                (
                    prop_oneof![any::<u64>(), 0..100_000_u64, (0..64_u32).prop_map(|bit| 1 << bit)],
                    any::<bool>(),
                    prop_oneof![0..MS, 0..SECOND, 0..2 * WINDOW],
                ),
                1..200,
            ),
        ) {
            let mut clock = DeviceClock::new(bits, hz, true);
            let (mut count, mut arrival) = (0_u64, at(0));
            for (number, is_step, gap) in records {
                count = if is_step { count.wrapping_add(number) } else { number };
                arrival = arrival.plus_ns(gap);
                let time = clock.time_of(count, arrival);
                prop_assert!(time <= arrival);
                prop_assert!(time >= arrival.minus_ns(WINDOW));
                prop_assert!(clock.window.len() <= SLOTS + 1);
            }
        }
    }
}
