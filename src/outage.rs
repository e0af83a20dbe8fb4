//! A server that cannot be reached, or that sends everybody away: told once, and tried less and less
//! often.

use log::{info, warn};
use std::time::{Duration, Instant};

/// The first and the longest time between two attempts to reach it.
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// So many times in a row it is told that it came and went again at once.
const MOST: u32 = 5;

/// Since when, and how patiently, a server is waited for.
#[derive(Debug)]
pub struct Outage {
    is_told: bool,
    patience: Duration,
    /// Since when it is there.
    since: Option<Instant>,
    /// How often in a row it was there for no longer than the longest patience.
    visits: u32,
}

impl Outage {
    /// Of one that was not asked yet.
    pub fn new() -> Self {
        Self { is_told: false, patience: PATIENCE[0], since: None, visits: 0 }
    }

    /// Tells of it once, as `NAME: WHY; it is tried again`, and how long to wait before that.
    pub fn begin(&mut self, name: &str, why: &str) -> Duration {
        // One that sends everybody away is asked as seldom as one that is not there.
        match self.since.take().map(|since| since.elapsed() > PATIENCE[1]) {
            Some(true) => (self.patience, self.visits) = (PATIENCE[0], 0),
            Some(false) => self.visits = self.visits.saturating_add(1),
            None => self.visits = 0,
        }
        if !std::mem::replace(&mut self.is_told, true) {
            if self.visits == MOST {
                warn!("{name}: {why}, again and again; it is tried on, which is not told any more");
            } else {
                warn!("{name}: {why}; it is tried again");
            }
        }
        let patience = self.patience;
        self.patience = (patience * 2).min(PATIENCE[1]);
        patience
    }

    /// It is there.
    pub fn end(&mut self, name: &str) {
        self.since = Some(Instant::now());
        if self.visits < MOST {
            let again = if std::mem::take(&mut self.is_told) { " again" } else { "" };
            info!("{name}: connected{again}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_grows_and_one_that_sends_everybody_away_is_not_asked_more_often() {
        let mut outage = Outage::new();
        let waits: Vec<_> = (0..7)
            .map(|_| {
                outage.end("x");
                outage.begin("x", "does not answer").as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert!(outage.is_told, "from the fifth time on it is told no more");
        outage.end("x");
        assert!(outage.is_told);
        outage.since = Instant::now().checked_sub(PATIENCE[1] * 2);
        assert_eq!(outage.begin("x", "does not answer"), PATIENCE[0]);
        outage.end("x");
        assert!(!outage.is_told);
    }
}
