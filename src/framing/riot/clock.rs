//! The clock of the sniffer, and what it says about ours.

use crate::packet::Timestamp;

/// The sniffer's clock in terms of ours: what lies between two records is told by its clock,
/// since the text of a record may leave the sniffer long after the frame came.
///
/// Its first record is dated by its arrival. After that its clock is followed to the
/// microsecond, but for a correction of at most 100 ppm, since two crystals never agree: once a
/// second, while it is more than 20 ms off, and only if both clocks agree about that second,
/// which they do not in a burst. It is given up, and the record dated by its arrival, when it
/// - stands back by more than 10 s (it was asleep), or steps back (it was restarted), unless
///   that is a counter of 32 bits that turned over: then the step fits our clock to within 10 s;
/// - steps further ahead of our clock than 32 bits of it go (71 minutes): it did not.
///
/// If it runs ahead of our clock otherwise it is believed: records that come in a burst, from a
/// file for instance, keep their distances.
#[derive(Debug, Default)]
pub(super) struct SnifferClock {
    last: Option<Reading>,
    /// The record since which a correction is due.
    base: Option<Reading>,
}

/// One record's time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// On the sniffer's clock.
    rx_us: u64,
    /// What we make of it.
    time: Timestamp,
    /// When the record arrived.
    arrival: Timestamp,
}

impl SnifferClock {
    /// When the frame came that is dated `rx_us` by the sniffer and arrived at `arrival`.
    pub(super) fn time_of(&mut self, rx_us: u64, arrival: Timestamp) -> Timestamp {
        let followed = self.last.and_then(|last| last.followed(rx_us, arrival));
        let mut reading = Reading { rx_us, time: followed.unwrap_or(arrival), arrival };
        match self.base {
            Some(base) if followed.is_some() => {
                if arrival.ns_since(base.arrival) >= CORRECTION_NS {
                    reading.time = base.corrected(reading);
                    self.base = Some(reading);
                }
            }
            _ => self.base = Some(reading),
        }
        self.last = Some(reading);
        reading.time
    }
}

/// How often a correction may be made.
const CORRECTION_NS: u64 = 1_000_000_000;
/// How far the clocks may be apart without one: what a serial line may hold a record back.
const FREE_NS: u64 = 20_000_000;

impl Reading {
    /// The time of the record after this one, if it is by the same clock.
    fn followed(self, rx_us: u64, arrival: Timestamp) -> Option<Timestamp> {
        const TURN_US: u64 = 1 << 32;
        const MAX_LEAD_NS: u64 = TURN_US * 1000;
        const MAX_LAG_NS: u64 = 10_000_000_000;

        let elapsed = arrival.ns_since(self.arrival);
        let step = match rx_us.checked_sub(self.rx_us) {
            Some(step_us) => step_us.saturating_mul(1000),
            None if self.rx_us < TURN_US => {
                let step = (TURN_US - self.rx_us + rx_us) * 1000;
                (step.abs_diff(elapsed) <= MAX_LAG_NS).then_some(step)?
            }
            None => return None,
        };
        let time = self.time.plus_ns(step);
        let lost = arrival.ns_since(time) > MAX_LAG_NS;
        let leapt = step.saturating_sub(elapsed) > MAX_LEAD_NS;
        (!lost && !leapt).then_some(time)
    }

    /// The time of a later record, moved towards its arrival as far as is plausible.
    fn corrected(self, later: Self) -> Timestamp {
        const CORRECTED: u64 = 10_000; // 1 in so many: 100 ppm
        let elapsed = later.arrival.ns_since(self.arrival);
        let step = later.time.ns_since(self.time);
        if step.abs_diff(elapsed) > FREE_NS + elapsed / 1000 {
            return later.time;
        }
        let (lag, lead) = (later.arrival.ns_since(later.time), later.time.ns_since(later.arrival));
        let faster = (elapsed / CORRECTED).min(lag.saturating_sub(FREE_NS));
        let slower = (elapsed / CORRECTED).min(lead.saturating_sub(FREE_NS));
        later.time.plus_ns(faster).minus_ns(slower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000_000_000;

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_ns(1000 * SECOND + ns)
    }

    #[test]
    fn a_burst_keeps_its_spacing() {
        let mut clock = SnifferClock::default();
        assert_eq!(clock.time_of(5_000_000, at(0)), at(0));
        assert_eq!(clock.time_of(5_000_001, at(0)), at(1000));
        assert_eq!(clock.time_of(65_000_000, at(0)), at(60 * SECOND));
        assert_eq!(clock.time_of(65_000_007, at(0)), at(60 * SECOND + 7000));
    }

    #[test]
    fn a_record_that_waited_in_the_sniffer_is_not_late() {
        let mut clock = SnifferClock::default();
        clock.time_of(1000, at(0));
        assert_eq!(clock.time_of(3000, at(20 * MS)), at(2 * MS));
    }

    #[test]
    fn a_counter_of_32_bits_turns_over() {
        let mut clock = SnifferClock::default();
        clock.time_of(0xffff_ff00, at(0));
        assert_eq!(clock.time_of(0x0000_0100, at(MS)), at(512_000));
        // An hour later, with 600 ms on the way.

        let time = clock.time_of(0x0000_0100, at(4294 * SECOND + 967 * MS));
        assert!(time.ns_since(at(4294 * SECOND + 967 * MS)) < MS);
    }

    #[test]
    fn a_restarted_sniffer_is_anchored_anew() {
        let mut clock = SnifferClock::default();
        clock.time_of(600_000_000, at(0));
        assert_eq!(clock.time_of(100, at(3 * SECOND)), at(3 * SECOND));
        assert_eq!(clock.time_of(1_000_100, at(4 * SECOND + 5 * MS)), at(4 * SECOND));
        clock.time_of(1 << 40, at(5 * SECOND));
        assert_eq!(clock.time_of(100, at(6 * SECOND)), at(6 * SECOND));
        // At what a counter of 32 bits never shows.
        clock.time_of(1 << 32, at(7 * SECOND));
        assert_eq!(clock.time_of(100, at(8 * SECOND)), at(8 * SECOND));
    }

    #[test]
    fn what_no_drift_explains_is_not_corrected() {
        // Beside the 20 ms, drift of one in a thousand.
        let cases =
            [(20_500_000, 102_050), (21_021_021, 102_102), (21_021_022, 0), (22_000_000, 0)];
        for (late_ns, corrected_ns) in cases {
            let mut clock = SnifferClock::default();
            clock.time_of(0, at(0));
            assert_eq!(clock.time_of(1_000_000, at(SECOND + late_ns)), at(SECOND + corrected_ns));
        }
    }

    #[test]
    fn a_correction_is_made_a_second_after_the_last_anchor() {
        let mut clock = SnifferClock::default();
        clock.time_of(600_000_000, at(0));
        assert_eq!(clock.time_of(100, at(500 * MS)), at(500 * MS));
        // 21 ms late, of which a second would correct some.
        assert_eq!(clock.time_of(679_100, at(1200 * MS)), at(1179 * MS));
    }

    #[test]
    fn a_sniffer_that_slept_is_anchored_anew() {
        let mut clock = SnifferClock::default();
        clock.time_of(0, at(0));
        assert_eq!(clock.time_of(1_000_000, at(11 * SECOND)), at(SECOND));
        assert_eq!(clock.time_of(2_000_000, at(13 * SECOND)), at(13 * SECOND));
    }

    #[test]
    fn a_step_that_no_clock_makes_is_not_followed() {
        let mut clock = SnifferClock::default();
        clock.time_of(7, at(0));
        assert_eq!(clock.time_of(u64::MAX, at(SECOND)), at(SECOND));
        assert_eq!(clock.time_of(8, at(2 * SECOND)), at(2 * SECOND));
        // As long as 32 bits take is the most.
        let mut clock = SnifferClock::default();
        clock.time_of(0, at(0));
        assert_eq!(clock.time_of(1 << 32, at(0)), at((1 << 32) * 1000));
        clock.time_of(1 << 33, at(0));
        assert_eq!(clock.time_of((3 << 32) + 1, at(0)), at(0));
    }

    #[test]
    fn drift_is_corrected_by_100_ppm_when_it_is_more_than_20_ms() {
        let mut clock = SnifferClock::default();
        // 50 ppm slow: after 400 s it is 20 ms late, and stays there.
        for second in 0..2000 {
            let time = clock.time_of(second * 999_950, at(second * SECOND));
            let late = at(second * SECOND).ns_since(time);
            assert_eq!(late, (second * 50_000).min(20 * MS));
        }
        // 200 ppm fast is more than is corrected.
        let mut clock = SnifferClock::default();
        for second in 0..=1000 {
            let time = clock.time_of(second * 1_000_200, at(second * SECOND));
            let early = time.ns_since(at(second * SECOND));
            assert_eq!(early, second * 200_000 - second.saturating_sub(100) * 100_000);
        }
    }
}
