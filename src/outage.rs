//! A server that cannot be reached: told once, and tried less and less often.

use log::{info, warn};
use std::time::{Duration, Instant};

/// The first and the longest time between two attempts to reach it.
const PATIENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Since when, and how patiently, a server is waited for.
#[derive(Debug)]
pub struct Outage {
    is_told: bool,
    patience: Duration,
    /// Since when it is there.
    since: Option<Instant>,
}

impl Outage {
    /// Of one that was not asked yet.
    pub fn new() -> Self {
        Self { is_told: false, patience: PATIENCE[0], since: None }
    }

    /// Tells of it once, as `NAME: WHY; it is tried again`, and how long to wait before that.
    pub fn begin(&mut self, name: &str, why: &str) -> Duration {
        // One that sends everybody away is asked as seldom as one that is not there.
        if self.since.take().is_some_and(|since| since.elapsed() > PATIENCE[1]) {
            self.patience = PATIENCE[0];
        }
        if !std::mem::replace(&mut self.is_told, true) {
            warn!("{name}: {why}; it is tried again");
        }
        let patience = self.patience;
        self.patience = (patience * 2).min(PATIENCE[1]);
        patience
    }

    /// It is there.
    pub fn end(&mut self, name: &str) {
        let again = if std::mem::take(&mut self.is_told) { " again" } else { "" };
        info!("{name}: connected{again}");
        self.since = Some(Instant::now());
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
        outage.since = Instant::now().checked_sub(PATIENCE[1] * 2);
        assert_eq!(outage.begin("x", "does not answer"), PATIENCE[0]);
    }
}
