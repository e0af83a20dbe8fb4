//! Listens to a port until it is clear what is spoken on it. Receives only: nothing is sent.
//!
//! Blocks in reads of the port, until there is a verdict, until a time that the caller sets, or
//! until the stop waker is woken. What was heard meanwhile is kept, up to [`MAX_KEPT`] octets, and
//! read again by whoever takes the port over ([`Recalled`]).

use crate::detect::{Detector, Evidence, Heard, LIKELY, PROMISING, Search};
use crate::framing::Protocol;
use crate::line::Line;
use crate::line_errors::LineError;
use crate::source::{Input, Pace, Source};
use crate::time::{Timestamp, WallOffset};
use log::debug;
use std::collections::VecDeque;
use std::io;

/// Octets that are kept while a port is listened to.
const MAX_KEPT: usize = 4 << 20;
/// Reads that are kept: of single octets they take more memory than the octets.
const MAX_EVENTS: usize = 1 << 18;
/// Of what is stored so much is looked at: what has not shown itself by then does not.
const MAX_STORED: u64 = 16 << 20;

/// What came of listening.
#[derive(Debug)]
pub enum Outcome {
    /// This is spoken.
    Recognised(Evidence),
    /// Nothing is certain, by the time that was set or at the end of the input.
    Unknown(Unknown),
    /// The port has gone, for this reason, at this time; the next [`Listening::run`] waits for its
    /// return.
    Gone(String, Timestamp),
    /// The stop waker was woken.
    Stopped,
}

/// What is known of a line that was not recognised.
#[derive(Debug)]
pub struct Unknown {
    /// What was heard, at the setting where most was.
    pub heard: Heard,
    /// What speaks for protocols all the same, the strongest first.
    pub evidence: Vec<Evidence>,
    /// How many settings were listened at.
    pub settings: usize,
}

impl Unknown {
    /// What to look at, in a line.
    pub fn advice(&self) -> String {
        let Heard { octets, first, last, .. } = self.heard;
        if octets == 0 {
            return self.to_do().to_owned();
        }
        let ms = last.ns_since(first) / 1_000_000;
        let rate = (octets * 1000).checked_div(ms);
        let rate = rate.map(|rate| format!(", {rate}/s")).unwrap_or_default();
        format!("{}{rate}: {}", self.heard, self.to_do())
    }

    /// The same without what was heard.
    pub fn to_do(&self) -> &'static str {
        let Heard { octets, printable, blank, errors, .. } = self.heard;
        if octets == 0 {
            "nothing was received: check the wiring, and that a device sends"
        } else if errors * 10 >= octets {
            "stop bits or parity are wrong: another rate or format, -b RATE --line FORMAT"
        } else if printable * 10 >= octets * 9 {
            "this is text: look at it with -p raw, or with a terminal program"
        } else if blank * 2 >= octets {
            "mostly 00 and FF: a wrong rate, A and B swapped, or a bus without bias"
        } else {
            "a protocol that is not known here, or a rate that was not tried: -b RATE --line FORMAT"
        }
    }
}

/// A port that is listened to.
pub struct Listening<'a> {
    source: &'a mut dyn Source,
    protocols: Vec<&'static Protocol>,
    search: Search,
    /// Whether the line can be set to something else.
    is_settable: bool,
    /// Whether what comes next is there already.
    is_stored: bool,
    detector: Detector,
    best: Option<Unknown>,
    settings: usize,
    kept: Kept,
    /// The port has gone, and was not opened again yet.
    is_gone: bool,
    has_ended: bool,
}

/// What came of a read, or of waiting for a port's return.
#[derive(Debug)]
enum Event {
    Octets(Vec<u8>, Timestamp),
    Errors(Vec<LineError>, Timestamp),
    Silence(Timestamp),
    Missing(u64, Timestamp),
    Gone(String, Timestamp),
    Back(Timestamp),
}

/// What was heard, for whoever comes next: all of it in its order, since pauses and gaps tell where
/// frames end.
#[derive(Debug, Default)]
pub struct Kept {
    events: VecDeque<Event>,
    octets: usize,
    /// Octets before these that were not kept, and when the last of them came.
    missing: Option<(u64, Timestamp)>,
}

impl Kept {
    fn add(&mut self, event: Event) {
        if let Event::Octets(octets, _) = &event {
            self.octets += octets.len();
        }
        // Of silences in a row the last one says it all: a quiet line is asked again and again.
        if matches!((self.events.back(), &event), (Some(Event::Silence(_)), Event::Silence(_))) {
            self.events.pop_back();
        }
        self.events.push_back(event);
        while self.octets > MAX_KEPT || self.events.len() > MAX_EVENTS {
            let (lost, time) = match self.events.pop_front() {
                Some(Event::Octets(octets, time)) => {
                    self.octets -= octets.len();
                    (octets.len() as u64, time)
                }
                Some(Event::Missing(lost, time)) => (lost, time),
                _ => continue,
            };
            let (before, _) = self.missing.unwrap_or_default();
            self.missing = Some((before + lost, time));
        }
    }
}

impl<'a> Listening<'a> {
    /// For one of `protocols`, at these settings in turn; with one alone it stays as it is.
    pub fn new(
        source: &'a mut dyn Source,
        protocols: Vec<&'static Protocol>,
        lines: Vec<Line>,
    ) -> Self {
        let is_settable = lines.len() > 1;
        let search = Search::new(lines);
        let pace = source.pace();
        let (is_timed, is_stored) = (pace == Pace::Arrival, pace == Pace::Stored);
        let detector = Detector::among(protocols.iter().copied(), search.line(), is_timed);
        let (best, kept) = (None, Kept::default());
        Self {
            source,
            protocols,
            search,
            is_settable,
            is_stored,
            detector,
            best,
            settings: 1,
            kept,
            is_gone: false,
            has_ended: false,
        }
    }

    /// Whether nothing more will come.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether a port that has just gone could be opened again at once.
    pub fn may_return_at_once(&self) -> bool {
        self.source.pace() == Pace::Arrival && self.source.is_still_there()
    }

    /// Waits until a port that has gone is back, and returns since when; `None` when the stop waker was
    /// woken instead.
    pub fn reopen(&mut self) -> Option<Timestamp> {
        let back = self.source.reopen()?;
        self.is_gone = false;
        self.kept.add(Event::Back(back));
        let _ = self.source.set_line(self.search.line());
        Some(back)
    }

    /// There is no more to come: what it is, as far as that is clear.
    pub fn end(&mut self) -> Outcome {
        self.detector.finish();
        self.detector.verdict().map_or_else(|| self.give_up(), Outcome::Recognised)
    }

    /// What is kept of what was heard.
    pub fn kept(self) -> Kept {
        self.kept
    }

    /// Listens until it is clear, until `until`, or until the port has gone.
    pub fn run(&mut self, until: Option<Timestamp>) -> Outcome {
        if self.is_gone && self.reopen().is_none() {
            return Outcome::Stopped;
        }
        if self.is_settable && self.source.set_line(self.search.line()).is_err() {
            self.is_settable = false;
        }
        loop {
            // Of what is stored, silence is stored as well.
            let deadline = if self.is_stored { None } else { self.detector.deadline() };
            let deadline = deadline.into_iter().chain(until).min();
            match self.source.read(deadline) {
                Input::Octets(octets, arrival) => {
                    let octets = octets.to_vec();
                    if let Some(outcome) = self.octets(octets, arrival, until) {
                        return outcome;
                    }
                }
                // They are of a protocol that is known.
                Input::Packets(_) => {}
                Input::Silence(now) => {
                    self.detector.expire(now);
                    self.kept.add(Event::Silence(now));
                    if let Some(verdict) = self.detector.verdict() {
                        return Outcome::Recognised(verdict);
                    }
                    if until.is_some_and(|until| until <= now) {
                        return self.give_up();
                    }
                }
                Input::Gone(why, when) => {
                    self.is_gone = true;
                    self.kept.add(Event::Gone(why.clone(), when));
                    return Outcome::Gone(why, when);
                }
                Input::Missing(octets, when) => self.kept.add(Event::Missing(octets, when)),
                Input::Errors(errors, when) => {
                    self.detector.mark(errors);
                    self.kept.add(Event::Errors(errors.to_vec(), when));
                }
                Input::Ended => {
                    self.has_ended = true;
                    return self.end();
                }
                Input::Stopped => return Outcome::Stopped,
            }
        }
    }

    /// Hears these octets; says what came of it, if that is clear or it is time.
    fn octets(
        &mut self,
        octets: Vec<u8>,
        arrival: Timestamp,
        until: Option<Timestamp>,
    ) -> Option<Outcome> {
        if self.is_stored {
            self.detector.gather(&octets, arrival);
        } else {
            self.detector.push(&octets, arrival);
        }
        if self.is_settable {
            self.search.hear(&octets);
        }
        let len = octets.len();
        self.kept.add(Event::Octets(octets, arrival));
        if let Some(verdict) = self.detector.verdict() {
            return Some(Outcome::Recognised(verdict));
        }
        if self.is_stored && self.detector.heard().octets > MAX_STORED
            || until.is_some_and(|until| until <= arrival)
        {
            return Some(self.give_up());
        }
        if self.is_settable && self.search.octets(len, self.patience(), arrival) {
            self.next_setting();
        }
        None
    }

    /// How much longer than usual this setting deserves to be listened to.
    fn patience(&self) -> u64 {
        let evidence = self.detector.evidence();
        if evidence.iter().any(Evidence::is_likely) {
            LIKELY
        } else if evidence.iter().any(|evidence| evidence.packets > 0) {
            PROMISING
        } else {
            1
        }
    }

    fn give_up(&mut self) -> Outcome {
        self.note_best();
        let settings = self.settings;
        let best = self.best.take();
        Outcome::Unknown(best.map_or_else(
            || Unknown { heard: Heard::default(), evidence: Vec::new(), settings },
            |best| Unknown { settings, ..best },
        ))
    }

    /// Keeps what is known of this setting, if it is more than of the others.
    fn note_best(&mut self) {
        let (heard, evidence) = (self.detector.heard(), self.detector.evidence());
        let weight = |evidence: &[Evidence]| evidence.first().map_or(0.0, Evidence::weight);
        let value = (weight(&evidence), heard.octets as f64);
        if self
            .best
            .as_ref()
            .is_none_or(|best| value > (weight(&best.evidence), best.heard.octets as f64))
        {
            self.best = Some(Unknown { heard, evidence, settings: self.settings });
        }
    }

    fn next_setting(&mut self) {
        self.note_best();
        let line = self.search.advance();
        if self.source.set_line(line).is_err() {
            debug!("the port does not take {line}");
        }
        self.settings += 1;
        self.detector = Detector::among(self.protocols.iter().copied(), line, true);
    }
}

/// A port of which something was read already: that comes first.
pub struct Recalled {
    kept: Kept,
    /// What was handed out last.
    current: Vec<u8>,
    errors: Vec<LineError>,
    source: Box<dyn Source>,
}

impl Recalled {
    /// This port, with what was kept.
    pub fn new(kept: Kept, source: Box<dyn Source>) -> Self {
        Self { kept, current: Vec::new(), errors: Vec::new(), source }
    }
}

impl Source for Recalled {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        if let Some((octets, time)) = self.kept.missing.take() {
            return Input::Missing(octets, time);
        }
        loop {
            return match self.kept.events.pop_front() {
                Some(Event::Octets(octets, arrival)) => {
                    self.current = octets;
                    Input::Octets(&self.current, arrival)
                }
                Some(Event::Silence(now)) => Input::Silence(now),
                Some(Event::Missing(octets, when)) => Input::Missing(octets, when),
                Some(Event::Errors(errors, when)) => {
                    self.errors = errors;
                    Input::Errors(&self.errors, when)
                }
                Some(Event::Gone(why, when)) => Input::Gone(why, when),
                // What went before it was not kept.
                Some(Event::Back(_)) => continue,
                None => self.source.read(deadline),
            };
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        if let Some(Event::Back(_)) = self.kept.events.front()
            && let Some(Event::Back(back)) = self.kept.events.pop_front()
        {
            return Some(back);
        }
        self.source.reopen()
    }

    fn is_still_there(&self) -> bool {
        self.source.is_still_there()
    }

    fn stranger(&mut self) -> Option<String> {
        self.source.stranger()
    }

    fn is_retold(&self) -> bool {
        !self.kept.events.is_empty()
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.source.write(octets)
    }

    fn set_line(&mut self, line: Line) -> io::Result<()> {
        self.source.set_line(line)
    }

    fn is_open(&self) -> bool {
        // It was not, if the first thing that is kept is that it was not there.
        let first = self.kept.events.front();
        first.map_or_else(|| self.source.is_open(), |first| !matches!(first, Event::Gone(..)))
    }

    fn wall(&self) -> Option<WallOffset> {
        self.source.wall()
    }

    fn pace(&self) -> Pace {
        self.source.pace()
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::PROTOCOLS;
    use crate::line_errors::LineErrorKind;

    const TOKEN: &[u8] = b"\x55\xff\x00\x10\x05\x00\x00\x8c";

    /// A port that plays what it is given, and then has ended.
    struct Played(VecDeque<Event>, Vec<u8>, Vec<LineError>);

    impl Source for Played {
        fn read(&mut self, _: Option<Timestamp>) -> Input<'_> {
            match self.0.pop_front() {
                Some(Event::Octets(octets, time)) => {
                    self.1 = octets;
                    Input::Octets(&self.1, time)
                }
                Some(Event::Silence(time)) => Input::Silence(time),
                Some(Event::Missing(octets, time)) => Input::Missing(octets, time),
                Some(Event::Errors(errors, time)) => {
                    self.2 = errors;
                    Input::Errors(&self.2, time)
                }
                Some(Event::Gone(why, time)) => Input::Gone(why, time),
                Some(Event::Back(_)) | None => Input::Ended,
            }
        }

        fn reopen(&mut self) -> Option<Timestamp> {
            match self.0.pop_front() {
                Some(Event::Back(time)) => Some(time),
                _ => None,
            }
        }

        fn write(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns((1_000_000 + ms) * 1_000_000)
    }

    /// All that a port brings, in words.
    fn all(source: &mut dyn Source) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            let input = format!("{:?}", source.read(None));
            let (is_gone, is_end) = (input.starts_with("Gone"), input.starts_with("Ended"));
            found.push(input);
            if is_end {
                return found;
            }
            if is_gone {
                found.push(format!("{:?}", source.reopen()));
            }
        }
    }

    fn events() -> VecDeque<Event> {
        VecDeque::from([
            Event::Octets(b"\x55\xff\x00".to_vec(), at(1)),
            Event::Silence(at(4000)),
            Event::Missing(7, at(4001)),
            Event::Gone("unplugged".to_owned(), at(4002)),
            Event::Back(at(5000)),
            Event::Errors(vec![LineError { at: 1, kind: LineErrorKind::Symbol }], at(5100)),
            Event::Octets(TOKEN.repeat(9), at(5100)),
            Event::Octets(TOKEN.to_vec(), at(5200)),
        ])
    }

    #[test]
    fn whoever_takes_the_port_over_reads_all_that_came_in_its_order() {
        let mut source = Played(events(), Vec::new(), Vec::new());
        let lines = vec![Line::at(38_400)];
        let mut listening = Listening::new(&mut source, PROTOCOLS.to_vec(), lines);
        assert!(matches!(listening.run(None), Outcome::Gone(why, _) if why == "unplugged"));
        assert!(matches!(listening.run(None), Outcome::Recognised(_)));
        let kept = listening.kept();
        let mut recalled = Recalled::new(kept, Box::new(source));
        assert_eq!(all(&mut recalled), all(&mut Played(events(), Vec::new(), Vec::new())));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_not_is_counted() {
        let mut kept = Kept::default();
        for n in 0..=9 {
            kept.add(Event::Octets(vec![0; MAX_KEPT / 8], at(n)));
            kept.add(Event::Silence(at(n)));
            kept.add(Event::Silence(at(n)));
        }
        assert_eq!((kept.octets, kept.missing), (MAX_KEPT, Some((MAX_KEPT as u64 / 4, at(1)))));
        assert!(kept.events.len() <= 17);
    }
}
