//! How soon a port that went is opened again. Pure.
//!
//! One that lived for [`SECONDS_NS`] is looked for at once. One that goes as soon as it is opened,
//! such as a serial server that says "in use" and hangs up, is left alone for a second, then for
//! two, and so on up to half a minute. One that brought a good frame before it went is looked for
//! at once, too, but if it does that again and again ([`BRIEF`]), once a second. One that said nothing
//! at all and went within a minute, such as a serial server that hangs up on quiet lines, is one more
//! of a series.
//!
//! Of such a series its start is told, and its end.

use std::time::Duration;

/// A port that lived for so long did work.
const SECONDS_NS: u64 = 3_000_000_000;
/// One that said nothing for so long was there all the same.
const QUIET_NS: u64 = 60_000_000_000;
/// How long it is left alone after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST: Duration = Duration::from_secs(30);
/// So often it may bring a good frame and go, before that counts as a failure.
const BRIEF: u32 = 10;
/// Of what a port says before it goes, so much is shown.
const SHOWN: usize = 80;

/// What is known of a port's last lives.
#[derive(Debug, Default)]
pub struct Patience {
    /// How often in a row it went as soon as it was opened.
    failures: u32,
    /// How often it went as soon, but after a good frame, since it stayed.
    brief: u32,
    /// How often of these failures, and how often in a row, it did not bring a good frame.
    fruitless: u32,
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

impl Going {
    /// Whether it is tried again soon, each time.
    pub fn is_short(&self) -> bool {
        self.pause <= FIRST
    }
}

impl Patience {
    /// It said something, `lived_ns` after it was opened; with `frames` there was a good frame among
    /// it. Returns how many failures were before, if they are over.
    pub fn hear(&mut self, octets: &[u8], frames: bool, lived_ns: u64) -> Option<u32> {
        if !frames {
            let room = SHOWN.saturating_sub(self.said.len());
            self.said.extend_from_slice(&octets[..octets.len().min(room)]);
            return None;
        }
        self.is_good = true;
        // One that brought frames and went all the same may do so again.
        let may_stay = self.failures == self.fruitless && self.brief <= BRIEF;
        let is_over = may_stay || lived_ns >= SECONDS_NS;
        if !is_over {
            return None;
        }
        let failures = std::mem::take(&mut self.failures);
        self.fruitless = 0;
        // That a single one is over was told when it was opened again.
        (failures > 1).then_some(failures)
    }

    /// It went, `lived_ns` after it was opened.
    pub fn gone(&mut self, lived_ns: u64) -> Going {
        let is_good = std::mem::take(&mut self.is_good);
        let is_quiet = !is_good && self.said.is_empty();
        let has_lived = lived_ns >= SECONDS_NS;
        self.brief = if has_lived { 0 } else { self.brief.saturating_add(u32::from(is_good)) };
        if has_lived && !(is_quiet && lived_ns < QUIET_NS) {
            (self.failures, self.fruitless) = (0, 0);
            return Going::default();
        }
        if is_good && self.brief <= BRIEF && self.failures == 0 {
            return Going::default();
        }
        let works = is_good || has_lived;
        let pause = match (has_lived, is_good) {
            (true, _) => Duration::ZERO,
            (_, true) => FIRST,
            _ => FIRST.saturating_mul(1 << self.fruitless.min(5)).min(LONGEST),
        };
        self.fruitless = if works { 0 } else { self.fruitless.saturating_add(1) };
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
        patience.hear(b"noise", false, 0);
        assert_eq!(patience.gone(SECONDS_NS), Going::default());
        assert_eq!(patience.gone(QUIET_NS), Going::default());
        assert_eq!(patience.hear(b"frame", true, 0), None);
        assert_eq!(patience.gone(5).pause, Duration::ZERO);
    }

    #[test]
    fn one_that_goes_at_once_is_left_alone_for_longer_and_longer() {
        let mut patience = Patience::default();
        let pauses: Vec<_> = (0..8).map(|_| patience.gone(1_000).pause.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(patience.hear(b"frame", true, 0), Some(8), "the series has ended");
        assert_eq!(patience.hear(b"frame", true, 0), None);
        assert_eq!(patience.gone(QUIET_NS).failures, 0);
        assert_eq!(patience.gone(10), Going { pause: FIRST, failures: 1 });
    }

    #[test]
    fn one_that_goes_after_a_frame_again_and_again_is_called_once_a_second() {
        let mut patience = Patience::default();
        let mut life = |lived_ns| {
            let told = patience.hear(b"frame", true, lived_ns);
            let going = patience.gone(lived_ns);
            (told, going.pause.as_secs(), going.failures)
        };
        for _ in 0..BRIEF {
            assert_eq!(life(5), (None, 0, 0), "may happen");
        }
        assert_eq!(life(5), (None, 1, 1));
        assert_eq!(life(5), (None, 1, 2));
        assert_eq!(life(5), (None, 1, 3), "nothing is told in between");
        assert_eq!(life(SECONDS_NS), (Some(3), 0, 0));
        assert_eq!(life(5), (None, 0, 0));
        assert_eq!(patience.gone(5), Going { pause: FIRST, failures: 1 });
        assert_eq!(patience.gone(5).pause, 2 * FIRST, "with nothing it is worse");
    }

    #[test]
    fn one_that_says_nothing_and_goes_each_time_is_called_at_once_and_told_twice() {
        let mut patience = Patience::default();
        for failures in 1..5 {
            let going = patience.gone(10 * SECONDS_NS);
            assert_eq!(going, Going { pause: Duration::ZERO, failures });
            assert!(going.is_short());
            assert_eq!(patience.last_words(), None);
        }
        assert_eq!(patience.hear(b"frame", true, SECONDS_NS), Some(4));
    }

    #[test]
    fn its_last_words_are_shown_if_they_are_words() {
        let mut patience = Patience::default();
        patience.hear(b"Port already ", false, 0);
        patience.hear(b"in use\r\nbye", false, 0);
        assert_eq!(patience.last_words().as_deref(), Some("Port already in use"));
        assert_eq!(patience.last_words(), None, "they are of one life");
        patience.hear(&[0x55, 0xff, 0, 0x10], false, 0);
        assert_eq!(patience.last_words(), None);
        patience.hear(&[b'x'; 1000], false, 0);
        assert_eq!(patience.last_words().map(|text| text.len()), Some(SHOWN));
    }
}
