//! How soon a port that went is opened again. Pure.
//!
//! One that worked, so that it brought a good frame or lived for [`SECONDS_NS`], is looked for at
//! once. One that goes as soon as it is opened, such as a serial server that says "in use" and
//! hangs up, is left alone for a second, then for two, and so on up to half a minute. Of such a
//! series its start is told, and its end.

use std::time::Duration;

/// A port that lived for so long did work.
const SECONDS_NS: u64 = 3_000_000_000;
/// How long it is left alone after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST: Duration = Duration::from_secs(30);
/// Of what a port says before it goes, so much is shown.
const SHOWN: usize = 80;

/// What is known of a port's last lives.
#[derive(Debug, Default)]
pub struct Patience {
    /// How often in a row it went as soon as it was opened.
    failures: u32,
    /// What it said in this life, as long as that is no frame.
    said: Vec<u8>,
    /// Whether it brought a good frame in this life.
    is_good: bool,
}

/// What to do about a port that went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Going {
    /// How long to leave it alone.
    pub pause: Duration,
    /// The how manieth failure in a row this is; 0 if it did work.
    pub failures: u32,
}

impl Patience {
    /// It said something; with `frames` there was a good frame among it. Returns how many failures
    /// were before, if it is the first good one after them.
    pub fn hear(&mut self, octets: &[u8], frames: bool) -> Option<u32> {
        if !frames {
            let room = SHOWN.saturating_sub(self.said.len());
            self.said.extend_from_slice(&octets[..octets.len().min(room)]);
            return None;
        }
        self.is_good = true;
        let failures = std::mem::take(&mut self.failures);
        (failures > 0).then_some(failures)
    }

    /// It went, `lived_ns` after it was opened.
    pub fn gone(&mut self, lived_ns: u64) -> Going {
        if std::mem::take(&mut self.is_good) || lived_ns >= SECONDS_NS {
            self.failures = 0;
            return Going { pause: Duration::ZERO, failures: 0 };
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(5)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        Going { pause, failures: self.failures }
    }

    /// What it said in the life that is over, if that was text.
    pub fn last_words(&mut self) -> Option<String> {
        let said = std::mem::take(&mut self.said);
        let text = std::str::from_utf8(&said).ok()?.trim();
        let is_text =
            text.len() >= 3 && !text.contains(|c: char| c.is_control() && c != '\n' && c != '\r');
        is_text.then(|| text.split(['\r', '\n']).next().unwrap_or_default().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_worked_is_looked_for_at_once() {
        let mut patience = Patience::default();
        assert_eq!(patience.gone(SECONDS_NS).pause, Duration::ZERO);
        assert_eq!(patience.hear(b"frame", true), None);
        assert_eq!(patience.gone(5).pause, Duration::ZERO);
    }

    #[test]
    fn one_that_goes_at_once_is_left_alone_for_longer_and_longer() {
        let mut patience = Patience::default();
        let pauses: Vec<_> = (0..8).map(|_| patience.gone(1_000).pause.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(patience.hear(b"frame", true), Some(8), "the series has ended");
        assert_eq!(patience.hear(b"frame", true), None);
        assert_eq!(patience.gone(10).failures, 0);
        assert_eq!(patience.gone(10), Going { pause: FIRST, failures: 1 });
    }

    #[test]
    fn its_last_words_are_shown_if_they_are_words() {
        let mut patience = Patience::default();
        patience.hear(b"Port already ", false);
        patience.hear(b"in use\r\nbye", false);
        assert_eq!(patience.last_words().as_deref(), Some("Port already in use"));
        assert_eq!(patience.last_words(), None, "they are of one life");
        patience.hear(&[0x55, 0xff, 0, 0x10], false);
        assert_eq!(patience.last_words(), None);
        patience.hear(&[b'x'; 1000], false);
        assert_eq!(patience.last_words().map(|text| text.len()), Some(SHOWN));
    }
}
