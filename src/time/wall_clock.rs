//! The wall clock, beside the [`MonoClock`] that all times are taken from.
//!
//! Ours is anchored to it once and goes on evenly. Somebody may set the wall clock meanwhile: a
//! machine without a battery for it starts in the past, and is put right when the network is
//! there. The kernel slews both clocks alike, so what lies between them is constant but for
//! such steps. It is looked at when frames have come and when a stream begins, so an idle
//! program need not wake for it; what is between two looks is one step.
//!
//! What a stream makes of a step is up to its encoder.

use crate::time::{MonoClock, WallOffset};
use log::warn;
use std::sync::{Mutex, PoisonError};

/// Less is not taken for a step: small ones add up until they are one.
const SMALLEST_STEP_NS: i64 = 1_000_000;

/// Notices when somebody sets the wall clock.
#[derive(Debug)]
pub struct WallClock {
    clock: MonoClock,
    last: Mutex<WallOffset>,
}

impl WallClock {
    /// For times from this clock, which was just anchored.
    pub fn new(clock: MonoClock) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// The clock that it is beside.
    pub fn clock(&self) -> MonoClock {
        self.clock
    }

    /// How the wall clock stands now; logs it when it was set.
    pub fn now(&self) -> WallOffset {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = self.clock.wall_offset_ns();
        if step_to(*last, *offset.start(), *offset.end()).is_some() {
            // Once more, as exactly as it goes.
            let offset = self.clock.best_wall_offset_ns();
            if let Some(offset_ns) = step_to(*last, *offset.start(), *offset.end()) {
                warn!("{}", last.step_in_words(offset_ns - last.offset_ns));
                *last = WallOffset { offset_ns, steps: last.steps + 1, ..*last };
            }
        }
        *last
    }
}

/// The new offset, if what lies between `least` and `most` cannot be the old one.
fn step_to(last: WallOffset, least: i64, most: i64) -> Option<i64> {
    let is_step = last.offset_ns < least.saturating_sub(SMALLEST_STEP_NS)
        || last.offset_ns > most.saturating_add(SMALLEST_STEP_NS);
    is_step.then(|| least.midpoint(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn only_what_no_preemption_explains_is_a_step() {
        let last = WallOffset { offset_ns: 10 * MS, ..WallOffset::default() };
        assert_eq!(step_to(last, 10 * MS, 10 * MS), None);
        // Stopped for half a second between two of the three readings.
        assert_eq!(step_to(last, -490 * MS, 10 * MS), None);
        assert_eq!(step_to(last, 10 * MS, 510 * MS), None);
        assert_eq!(step_to(last, 11 * MS, 12 * MS), None);
        assert_eq!(step_to(last, 12 * MS, 14 * MS), Some(13 * MS));
        assert_eq!(step_to(last, -14 * MS, 8 * MS), Some(-3 * MS));
    }

    #[test]
    fn a_clock_that_nobody_sets_makes_no_step() {
        let wall = WallClock::new(MonoClock::start());
        for _ in 0..1000 {
            assert_eq!(wall.now(), WallOffset::default());
        }
    }
}
