//! Whether a line delivers anything, and whether there are frames in it: what to tell the user if
//! not. Pure.
//!
//! - [`NOTHING_NS`] after the start nothing has come: said once, by a timer that fires once. While
//!   the port is not there, nothing can come.
//! - [`ENOUGH_OCTETS`] octets came in [`ENOUGH_NS`] and more, and no good frame among or before
//!   them since then: said once, until frames come.
//!
//! That frames come is said after either.
//!
//! Octets that make no sense for a moment are noise; for seconds they are a wrong rate, or a line
//! with its wires swapped.

use crate::framing::Protocol;
use crate::line::Line;
use crate::packet::Tally;
use crate::time::{Timestamp, seconds};

/// The target of log records that tell of it: where little is logged, these still are.
pub const TARGET: &str = "serialshark::hearing";

/// After so much silence it is told of.
pub const NOTHING_NS: u64 = 10_000_000_000;
/// So many octets without a frame are no accident.
const ENOUGH_OCTETS: u64 = 300;
/// And they have to come for so long.
const ENOUGH_NS: u64 = 3_000_000_000;
/// On all but the slowest lines a frame is whole before that.
const DOUBTFUL_NS: u64 = 250_000_000;

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Something is wrong: a line for the log, and what to do.
    Wrong(String),
    /// It is right again.
    Right(String),
}

/// Listens to one port.
#[derive(Debug)]
pub struct Hearing {
    protocol: &'static Protocol,
    line: Line,
    /// Whether other settings of the line are tried meanwhile.
    is_searching: bool,
    /// When it is to be told that nothing was heard; gone with the first octet.
    nothing_due: Option<Timestamp>,
    started: Timestamp,
    /// Good frames at the last look.
    good_frames: u64,
    /// Since when there are octets without a good frame, and how many there were before.
    senseless: Option<(Timestamp, u64)>,
    /// What was told and still holds.
    told: Option<Wrong>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// Nothing comes.
    Silent,
    /// What comes makes no sense.
    Senseless,
}

impl Hearing {
    /// From now on, on a line of this protocol and rate.
    pub fn new(
        protocol: &'static Protocol,
        line: Line,
        is_searching: bool,
        now: Timestamp,
    ) -> Self {
        Self {
            protocol,
            line,
            is_searching,
            nothing_due: Some(now.plus_ns(NOTHING_NS)),
            started: now,
            good_frames: 0,
            senseless: None,
            told: None,
        }
    }

    /// When [`silence`](Self::silence) is to be called, if ever.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.nothing_due
    }

    /// Nothing has come up to `now`.
    pub fn silence(&mut self, now: Timestamp) -> Option<Told> {
        self.nothing_due.take_if(|due| *due <= now)?;
        self.told = Some(Wrong::Silent);
        let waited = seconds(now.ns_since(self.started));
        Some(Told::Wrong(format!("nothing received for {waited}: {}", self.protocol.when_silent)))
    }

    /// Octets came, and this is where all went so far.
    pub fn octets(&mut self, tally: &Tally, now: Timestamp) -> Option<Told> {
        self.nothing_due = None;
        if tally.good_frames > self.good_frames {
            self.good_frames = tally.good_frames;
            self.senseless = None;
            let name = self.protocol.name;
            return self.told.take().map(|_| Told::Right(format!("now receiving {name} frames")));
        }
        let (since, before) = *self.senseless.get_or_insert((now, tally.octets));
        let octets = tally.octets - before;
        if self.is_senseless() || octets < ENOUGH_OCTETS || now.ns_since(since) < ENOUGH_NS {
            return None;
        }
        self.told = Some(Wrong::Senseless);
        let (waited, name) = (seconds(now.ns_since(since)), self.protocol.name);
        Some(Told::Wrong(if self.is_searching {
            format!(
                "{octets} bytes in {waited} and no {name} frame: trying other rates and formats"
            )
        } else {
            let (line, advice) = (self.line, self.protocol.when_senseless);
            format!("{octets} bytes in {waited} and no {name} frame at {line}: {advice}")
        }))
    }

    /// The port is open again, after it was away for so long.
    pub fn reopened(&mut self, absence_ns: u64) {
        self.started = self.started.plus_ns(absence_ns);
        self.nothing_due = self.nothing_due.map(|due| due.plus_ns(absence_ns));
        self.senseless = None;
    }

    /// Whether octets come without a frame for so long that what they are may be asked soon.
    pub fn is_doubtful(&self, now: Timestamp) -> bool {
        let is_long = |(since, _)| now.ns_since(since) >= DOUBTFUL_NS;
        self.senseless.is_some_and(is_long) && !self.is_senseless()
    }

    /// Whether it was told that nothing makes sense, and nothing does so still.
    pub fn is_senseless(&self) -> bool {
        self.told == Some(Wrong::Senseless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::PROTOCOLS;

    const S: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_ns((100 + seconds) * S)
    }

    fn tally(octets: u64, good_frames: u64) -> Tally {
        Tally { octets, good_frames, ..Tally::default() }
    }

    fn hearing() -> Hearing {
        Hearing::new(PROTOCOLS[0], Line::at(38_400), false, at(0))
    }

    fn wrong(told: Option<Told>) -> String {
        let Some(Told::Wrong(text)) = told else { panic!("{told:?}") };
        text
    }

    #[test]
    fn silence_is_told_once_and_only_if_nothing_ever_came() {
        let mut quiet = hearing();
        assert_eq!(quiet.deadline(), Some(at(10)));
        assert_eq!(quiet.silence(at(9)), None);
        assert!(wrong(quiet.silence(at(10))).starts_with("nothing received for 10.000 s: "));
        assert_eq!((quiet.deadline(), quiet.silence(at(100))), (None, None));
        let right = quiet.octets(&tally(8, 1), at(200));
        assert_eq!(right, Some(Told::Right("now receiving mstp frames".into())));
        let mut heard = hearing();
        assert_eq!(heard.octets(&tally(1, 0), at(1)), None);
        assert_eq!((heard.deadline(), heard.silence(at(10))), (None, None));
    }

    #[test]
    fn a_port_that_appears_late_has_its_time_to_say_something() {
        let mut late = hearing();
        late.reopened(60 * S);
        assert_eq!((late.deadline(), late.silence(at(69))), (Some(at(70)), None));
        assert!(wrong(late.silence(at(70))).starts_with("nothing received for 10.000 s: "));
        late.reopened(10 * S);
        assert_eq!(late.deadline(), None, "told once");
    }

    #[test]
    fn octets_without_frames_are_told_once_and_so_are_frames_then() {
        let mut hearing = hearing();
        assert_eq!(hearing.octets(&tally(100, 0), at(0)), None);
        assert_eq!(hearing.octets(&tally(5000, 0), at(2)), None, "not long enough");
        let text = wrong(hearing.octets(&tally(6000, 0), at(3)));
        assert!(
            text.starts_with("5900 bytes in 3.000 s and no mstp frame at 38400 baud: "),
            "{text}"
        );
        assert!(hearing.is_senseless());
        assert_eq!(hearing.octets(&tally(9000, 0), at(50)), None);
        let right = hearing.octets(&tally(9008, 1), at(51));
        assert_eq!(right, Some(Told::Right("now receiving mstp frames".into())));
        assert_eq!(hearing.octets(&tally(9016, 2), at(52)), None);
        assert!(!hearing.is_senseless());
    }

    #[test]
    fn a_part_of_a_frame_is_no_reason_for_doubt() {
        let part = |ms: u64| at(1).plus_ns(ms * 1_000_000);
        let mut hearing = hearing();
        assert_eq!(hearing.octets(&tally(11, 0), part(0)), None);
        assert_eq!(hearing.octets(&tally(22, 0), part(100)), None);
        assert!(!hearing.is_doubtful(part(100)));
        assert_eq!(hearing.octets(&tally(33, 1), part(120)), None);
        assert_eq!(hearing.octets(&tally(44, 1), part(800)), None);
        assert!(!hearing.is_doubtful(part(800)), "nothing came for long, and then a part");
        assert_eq!(hearing.octets(&tally(55, 1), part(1050)), None);
        assert!(hearing.is_doubtful(part(1050)));
    }

    #[test]
    fn a_rate_that_changes_later_is_told_too_and_a_few_octets_are_not() {
        let mut hearing = hearing();
        assert_eq!(hearing.octets(&tally(8, 1), at(0)), None);
        assert_eq!(hearing.octets(&tally(10, 1), at(1)), None);
        assert_eq!(hearing.octets(&tally(200, 1), at(500)), None, "few in a long time");
        assert_eq!(hearing.octets(&tally(208, 2), at(501)), None);
        assert_eq!(hearing.octets(&tally(300, 2), at(502)), None);
        assert!(wrong(hearing.octets(&tally(700, 2), at(506))).starts_with("400 bytes in 4.000 s"));
    }
}
