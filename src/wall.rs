//! The wall clock, beside the [`Clock`] that all times are taken from.
//!
//! Ours is anchored to it once and goes on evenly. Somebody may set the wall clock meanwhile: a
//! machine without a battery for it starts in the past, and is put right when the network is
//! there. The kernel slews both clocks alike, so what lies between them is constant but for
//! such steps. It is looked at when frames have come and when a stream begins, so an idle
//! program need not wake for it; what is between two looks is one step.
//!
//! What a stream makes of a step is up to its encoder.

use crate::packet::{Clock, Wall};
use log::warn;
use std::sync::{Mutex, PoisonError};

/// Less is not taken for a step: small ones add up until they are one.
const SMALLEST_STEP_NS: i64 = 1_000_000;

/// Notices when somebody sets the wall clock.
#[derive(Debug)]
pub struct WallClock {
    clock: Clock,
    last: Mutex<Wall>,
}

impl WallClock {
    /// For times from this clock, which was just anchored.
    pub fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// The clock that it is beside.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// How the wall clock stands now; logs it when it was set.
    pub fn now(&self) -> Wall {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let lead = self.clock.wall_lead_ns();
        if step_to(*last, *lead.start(), *lead.end()).is_some() {
            // Once more, as exactly as it goes.
            let lead = self.clock.best_wall_lead_ns();
            if let Some(lead_ns) = step_to(*last, *lead.start(), *lead.end()) {
                warn!("{}", last.step_in_words(lead_ns - last.lead_ns));
                *last = Wall { lead_ns, steps: last.steps + 1, ..*last };
            }
        }
        *last
    }
}

/// The new lead, if what lies between `least` and `most` cannot be the old one.
fn step_to(last: Wall, least: i64, most: i64) -> Option<i64> {
    let is_step = last.lead_ns < least.saturating_sub(SMALLEST_STEP_NS)
        || last.lead_ns > most.saturating_add(SMALLEST_STEP_NS);
    is_step.then(|| least.midpoint(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn only_what_no_preemption_explains_is_a_step() {
        let last = Wall { lead_ns: 10 * MS, ..Wall::default() };
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
        let wall = WallClock::new(Clock::start());
        for _ in 0..1000 {
            assert_eq!(wall.now(), Wall::default());
        }
    }
}
