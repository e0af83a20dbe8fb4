//! Which of the readers of a listener are told of: a monitor that connects each second would fill the log.

use log::{Level, info};
use std::time::{Duration, Instant};

/// So many readers are told of, and one more after each [`TOLD_EVERY`].
const TOLD: u32 = 300;
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Which of a listener's readers are told of.
pub struct Visits {
    left: u32,
    counted: Instant,
    untold: u64,
    /// Whether it was told that not all are.
    is_fast: bool,
}

impl Visits {
    /// Of one that nobody has come to.
    pub fn new(now: Instant) -> Self {
        Self { left: TOLD, counted: now, untold: 0, is_fast: false }
    }

    /// At which level the reader is told of that comes now.
    pub fn next(&mut self, name: &str, now: Instant) -> Level {
        let more = now.duration_since(self.counted).as_secs() / TOLD_EVERY.as_secs();
        self.counted += TOLD_EVERY.saturating_mul(u32::try_from(more).unwrap_or(u32::MAX));
        self.left = self.left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)).min(TOLD);
        self.is_fast &= self.left < TOLD / 2;
        if self.left == 0 {
            self.untold += 1;
            if !std::mem::replace(&mut self.is_fast, true) {
                info!("{name}: many readers come and go: from now on only some are told of");
            }
            return Level::Debug;
        }
        self.left -= 1;
        let untold = std::mem::take(&mut self.untold);
        if untold > 0 {
            info!("{name}: {untold} more readers have come");
        }
        Level::Info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_readers_without_end_only_some_are_told_of() {
        let start = Instant::now();
        let mut visits = Visits::new(start);
        let mut told = |seconds: u64, count: u32| {
            let now = start + Duration::from_secs(seconds);
            (0..count).filter(|_| visits.next("x", now) == Level::Info).count()
        };
        assert_eq!(told(0, 1000), TOLD as usize);
        assert_eq!(told(4, 10), 0);
        assert_eq!(told(5, 10), 1);
        assert_eq!((6..1006).map(|second| told(second, 50)).sum::<usize>(), 200);
        assert_eq!(told(1_000_000, 1000), TOLD as usize, "after a calm");
    }
}
