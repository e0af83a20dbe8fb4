//! A line's last hour or two: two analyses listen, the older one tells, and after each [`PERIOD`] it
//! ends and another one begins. So what happened weeks ago does not hide what happens now, and there is
//! never less than a period to judge by once that was heard.

use super::Record;
use super::doctor::Known;
use super::live::Live;
use crate::framing::Protocol;
use std::time::{Duration, Instant};

/// How often the older analysis ends.
pub const PERIOD: Duration = Duration::from_secs(3600);

/// What was heard of late.
pub struct Recent {
    protocol: &'static Protocol,
    known: Known,
    older: Live,
    newer: Live,
    begun: Instant,
}

impl Recent {
    /// Nothing yet, of a line on which this is spoken.
    pub fn new(protocol: &'static Protocol, known: Known, now: Instant) -> Self {
        let live = || Live::new(protocol, known);
        Self { protocol, known, older: live(), newer: live(), begun: now }
    }

    /// Takes the next packet.
    pub fn push(&mut self, record: &Record<'_>, is_damaged: bool) {
        self.older.push(record, is_damaged);
        self.newer.push(record, is_damaged);
    }

    /// The analysis to be asked.
    pub fn analysis(&mut self) -> &mut Live {
        &mut self.older
    }

    /// When [`turn`](Self::turn) is due.
    pub fn due(&self) -> Instant {
        self.begun + PERIOD
    }

    /// Lets go of what is too old, if it is time to.
    pub fn turn(&mut self, now: Instant) {
        if now >= self.due() {
            let fresh = Live::new(self.protocol, self.known);
            self.older = std::mem::replace(&mut self.newer, fresh);
            self.begun = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn what_was_heard_is_told_for_one_period_at_least_and_two_at_most() {
        let start = Instant::now();
        let protocol = crate::framing::protocol("mstp").expect("is in the table");
        let mut recent = Recent::new(protocol, Known::default(), start);
        let hear = |recent: &mut Recent, number| {
            let record = Record {
                number,
                time: Timestamp::from_ns(number * 1_000_000_000),
                octets: b"\x55\xff\x00\x10\x05\x00\x00\x8c",
                original_len: 8,
                skipped_before: 0,
                dropped: 0,
            };
            recent.push(&record, false);
        };
        let frames = |recent: &mut Recent| recent.analysis().report().0["frames"].as_u64();
        hear(&mut recent, 1);
        recent.turn(start + PERIOD - Duration::from_secs(1));
        assert_eq!(frames(&mut recent), Some(1));
        recent.turn(start + PERIOD);
        hear(&mut recent, 2);
        assert_eq!(frames(&mut recent), Some(2));
        recent.turn(start + 2 * PERIOD);
        assert_eq!(frames(&mut recent), Some(1));
    }
}
