//! RIOT's sniffer application: IEEE 802.15.4 frames as lines of text, among other text.
//!
//! ```text
//! rftest-rx --- len 0000001F lqi FF rx_time 0000000000123456     header; µs since boot
//! 41 88 0C CD AB FF FF 34 12 ...                                 data, `len` octets, no FCS
//!                                                                blank
//! rftest-rx --- len 0x1f lqi 0xff rx_time 0x0000000000123456     the same of older firmware
//!
//! 0x41 0x88 0x0c 0xcd 0xab 0xff 0xff 0x34 0x12 ...
//!
//! ```
//!
//! Lines end in LF or CRLF. Prompts (`> `) may stand before both lines, and anything may stand
//! before a header on its line: echo, log text, noise of the boot loader.
//!
//! Three characters make an octet, so that a busy channel is more than the UART can carry, and
//! characters get lost. There is no check sequence, and a record whose text is damaged must not
//! become a packet. What speaks for a record instead: its exact form, the number of its
//! octets, that data follows its header directly, and that its numbers are written in as
//! many digits as those before. (If two headers in a row deviate in the same way, it is the
//! firmware that differs.) What nothing speaks against: a digit changed into another, and a
//! digit missing from `lqi` or `rx_time` in the first header of all.
//!
//! A record without its packet counts as a damaged frame, but its octets count as skipped, as
//! all text does. A header so damaged that its first 18 characters are not there is just text.
//! Of a good record all octets from its header to its data's LF are good ones.
//!
//! Work per octet: text is compared with the 18 characters of [`MARK`], and an octet of a
//! header line or a data line is read three more times. Only input crafted for it has marks
//! inside a header line; those are at least 18 octets apart, which makes 7 readings of it.
//! Memory: [`MAX_HEADER`] and two [`MAX_DATA`] and a chunk.

use super::{Dialogue, Framer, Setup, Window, wpan};
use crate::packet::{Batch, Damage, Notes, Tally, Timestamp};
use std::mem;

/// What a header begins with.
const MARK: &[u8] = b"rftest-rx --- len ";
/// Octets of a header line before its LF; 61 at most have been seen.
const MAX_HEADER: usize = 128;
/// Octets of a data line before its LF; 127 of `0x41 ` and a few prompts are far less.
const MAX_DATA: usize = 1024;
/// Digits of the longest number.
const MAX_DIGITS: usize = 16;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    len: usize,
    lqi: u8,
    rx_us: u64,
    widths: Widths,
}

/// How the numbers of a header are written: whether with `0x`, and in how many digits.
type Widths = [(bool, usize); 3];

/// What the held octets begin with.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// Text. At most a part of a [`MARK`] is held.
    Text,
    /// A [`MARK`] and more of its line, which has not ended.
    HeaderLine,
    /// A header; its data is due in the line that begins at `line`.
    Record { header: Header, line: usize, blank: bool },
}

/// How far a line goes.
enum Line {
    /// Up to its LF, which is here.
    To(usize),
    /// Not known yet.
    Open,
    /// Further than a line may go.
    Endless,
}

/// The framer.
#[derive(Debug)]
pub(super) struct Riot {
    window: Window,
    channel: Option<u8>,
    held: Held,
    /// Up to here the held octets were searched for the end of their last line.
    searched: usize,
    /// How the last good record wrote its numbers.
    widths: Option<Widths>,
    /// How the last header wrote them, if it was refused for that.
    refused: Option<Widths>,
    clock: SnifferClock,
}

impl Riot {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            window: Window::new(setup.baud),
            channel: setup.channel,
            held: Held::Text,
            searched: 0,
            widths: None,
            refused: None,
            clock: SnifferClock::default(),
        }
    }

    /// Reads what can be read; if nothing follows (`closed`), a line without an end is none.
    fn read(&mut self, closed: bool, out: &mut Batch) {
        loop {
            match self.held {
                Held::Text => {
                    if !self.find_mark() {
                        return;
                    }
                }
                Held::HeaderLine => match self.line(0, MAX_HEADER, closed) {
                    Line::To(end) => self.read_header(end),
                    Line::Endless => self.lose(MARK.len()),
                    Line::Open => return,
                },
                Held::Record { header, line, blank } => match self.line(line, MAX_DATA, closed) {
                    Line::To(end) => self.read_data(header, line, blank, end, out),
                    Line::Endless => self.lose(line),
                    Line::Open => return,
                },
            }
        }
    }

    /// Skips text up to the next [`MARK`], or up to what may become one.
    fn find_mark(&mut self) -> bool {
        let octets = self.window.octets();
        if let Some(ahead) = octets.windows(MARK.len()).position(|octets| octets == MARK) {
            self.window.skip(ahead);
            self.held = Held::HeaderLine;
            return true;
        }
        let part = (1..MARK.len()).rev().find(|&len| octets.ends_with(&MARK[..len]));
        self.window.skip(octets.len() - part.unwrap_or(0));
        false
    }

    /// How far the line goes that begins at `start`.
    fn line(&mut self, start: usize, max_len: usize, closed: bool) -> Line {
        let octets = self.window.octets();
        let from = self.searched.max(start);
        let to = octets.len().min(start + max_len + 1);
        match octets[from..to].iter().position(|&octet| octet == b'\n') {
            Some(ahead) => Line::To(from + ahead),
            None if closed || to > start + max_len => Line::Endless,
            None => {
                self.searched = to;
                Line::Open
            }
        }
    }

    /// The record that is held will be no packet. What follows its first `len` octets may
    /// have another.
    fn lose(&mut self, len: usize) {
        self.window.skip(len);
        self.window.tally.damaged_frames += 1;
        self.held = Held::Text;
        self.searched = 0;
    }

    fn read_header(&mut self, end: usize) {
        let fields = without_cr(&self.window.octets()[MARK.len()..end]);
        let Some(header) = parse_header(fields) else {
            self.refused = None;
            self.lose(MARK.len());
            return;
        };
        let widths = Some(header.widths);
        if self.widths.is_none() || self.widths == widths {
            self.refused = None;
        } else if self.refused != widths {
            self.refused = widths;
            self.lose(MARK.len());
            return;
        }
        self.held = Held::Record { header, line: end + 1, blank: false };
    }

    fn read_data(
        &mut self,
        header: Header,
        line: usize,
        blank: bool,
        end: usize,
        out: &mut Batch,
    ) {
        let text = without_prompts(without_cr(&self.window.octets()[line..end]));
        if text.is_empty() && !blank {
            self.held = Held::Record { header, line: end + 1, blank: true };
            return;
        }
        let mut psdu = [0; wpan::MAX_PSDU];
        let psdu = &mut psdu[..header.len];
        if parse_data(text, psdu).is_none() {
            self.lose(line);
            return;
        }
        let time = self.clock.time_of(header.rx_us, self.window.time_of(0));
        let notes = Notes {
            time: self.window.in_order(time),
            original_len: 0,
            skipped_before: 0, // text between records is as it should be
            damage: Damage::NONE,
        };
        out.push(&[&wpan::tap_header(self.channel, header.lqi), psdu], notes);
        self.take_record(end + 1);
        self.widths = Some(header.widths);
        self.refused = None;
    }

    /// The first `len` octets are a good record. Not [`Window::good`], for which the time of
    /// arrival is the time of the frame.
    fn take_record(&mut self, len: usize) {
        self.window.taken += len;
        self.window.tally.good_octets += len as u64;
        self.window.tally.good_frames += 1;
        self.held = Held::Text;
        self.searched = 0;
    }
}

impl Framer for Riot {
    fn push(&mut self, octets: &[u8], arrival: Timestamp, out: &mut Batch) {
        self.window.push(octets, arrival);
        self.read(false, out);
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self.held {
            Held::Text => None,
            Held::HeaderLine | Held::Record { .. } => self.window.deadline(),
        }
    }

    fn expire(&mut self, now: Timestamp, out: &mut Batch) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.read(true, out);
        }
    }

    fn finish(&mut self, out: &mut Batch) {
        self.read(true, out);
        self.window.skip(self.window.octets().len());
        self.widths = None;
        self.refused = None;
        self.clock = SnifferClock::default();
    }

    fn tally(&self) -> Tally {
        self.window.tally
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn without_prompts(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(b"> ") {
        line = rest;
    }
    line
}

/// A header from the end of its [`MARK`] to the end of its line.
fn parse_header(fields: &[u8]) -> Option<Header> {
    let mut words = fields.split(|&octet| octet == b' ');
    let (len, len_width) = parse_number(words.next()?)?;
    words.next().filter(|word| word == b"lqi")?;
    let (lqi, lqi_width) = parse_number(words.next()?)?;
    words.next().filter(|word| word == b"rx_time")?;
    let (rx_us, rx_width) = parse_number(words.next()?)?;
    let len = usize::try_from(len).ok().filter(|len| (1..=wpan::MAX_PSDU).contains(len))?;
    let lqi = u8::try_from(lqi).ok()?;
    let widths = [len_width, lqi_width, rx_width];
    words.next().is_none().then_some(Header { len, lqi, rx_us, widths })
}

/// A hexadecimal number and how it is written.
fn parse_number(word: &[u8]) -> Option<(u64, (bool, usize))> {
    let digits = word.strip_prefix(b"0x");
    let width = (digits.is_some(), digits.unwrap_or(word).len());
    if !(1..=MAX_DIGITS).contains(&width.1) {
        return None;
    }
    let number = digits
        .unwrap_or(word)
        .iter()
        .try_fold(0, |number, &digit| Some(number << 4 | u64::from(digit_value(digit)?)))?;
    Some((number, width))
}

/// Fills `psdu` from a data line that has exactly as many octets.
fn parse_data(line: &[u8], psdu: &mut [u8]) -> Option<()> {
    let line = line.strip_suffix(b" ").unwrap_or(line);
    let prefix: &[u8] = if line.starts_with(b"0x") { b"0x" } else { b"" };
    let mut words = line.split(|&octet| octet == b' ');
    for octet in psdu {
        let &[high, low] = words.next()?.strip_prefix(prefix)? else { return None };
        *octet = digit_value(high)? << 4 | digit_value(low)?;
    }
    words.next().is_none().then_some(())
}

fn digit_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The sniffer's clock in terms of ours: what lies between two records is told by its clock,
/// since the text of a record may leave the sniffer long after the frame came.
///
/// Its first record is dated by its arrival. After that its clock is followed, with a
/// correction of at most 100 ppm while it is more than 20 ms off, since two crystals never
/// agree. It is given up, and the record dated by its arrival, when it
/// - stands back by more than 10 s (it was asleep), or steps back (it was restarted), unless
///   that is a counter of 32 bits that turned over: then the step fits our clock to within 10 s;
/// - steps further ahead of our clock than 32 bits of it go (71 minutes): it did not.
///
/// If it runs ahead of our clock otherwise it is believed: records that come in a burst, from a
/// file for instance, keep their distances.
#[derive(Debug, Default)]
struct SnifferClock {
    last: Option<Reading>,
}

/// One record's time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// On the sniffer's clock.
    rx_us: u64,
    /// What we make of it.
    time: Timestamp,
    /// When the record arrived.
    arrival: Timestamp,
}

impl SnifferClock {
    /// When the frame came that is dated `rx_us` by the sniffer and arrived at `arrival`.
    fn time_of(&mut self, rx_us: u64, arrival: Timestamp) -> Timestamp {
        let time = self.last.and_then(|last| last.next(rx_us, arrival)).unwrap_or(arrival);
        self.last = Some(Reading { rx_us, time, arrival });
        time
    }
}

impl Reading {
    /// The time of the record after this one, if it is by the same clock.
    fn next(self, rx_us: u64, arrival: Timestamp) -> Option<Timestamp> {
        const TURN_US: u64 = 1 << 32;
        const MAX_LEAD_NS: u64 = TURN_US * 1000;
        const MAX_LAG_NS: u64 = 10_000_000_000;
        const FREE_NS: u64 = 20_000_000;
        const CORRECTED: u64 = 10_000; // 1 in so many: 100 ppm

        let elapsed = arrival.ns_since(self.arrival);
        let step = match rx_us.checked_sub(self.rx_us) {
            Some(step_us) => step_us.saturating_mul(1000),
            None if self.rx_us < TURN_US => {
                let step = (TURN_US - self.rx_us + rx_us) * 1000;
                (step.abs_diff(elapsed) <= MAX_LAG_NS).then_some(step)?
            }
            None => return None,
        };
        let time = self.time.plus_ns(step);
        let (lag, lead) = (arrival.ns_since(time), time.ns_since(arrival));
        if lag > MAX_LAG_NS || step.saturating_sub(elapsed) > MAX_LEAD_NS {
            return None;
        }
        let most = elapsed / CORRECTED;
        let faster = most.min(lag.saturating_sub(FREE_NS));
        let slower = most.min(lead.saturating_sub(FREE_NS));
        Some(time.plus_ns(faster).minus_ns(slower))
    }
}

/// How long RIOT's shell is given to wake up, and to answer.
const ANSWER_NS: u64 = 1_000_000_000;
/// How often it is asked.
const MAX_ASKED: u8 = 5;
/// No more of a line is of interest: `Iface`, spaces, a number.
const MAX_HEARD: usize = 64;

/// Asks RIOT's shell for its network interface and makes that a sniffer.
#[derive(Debug)]
pub(super) struct Ifconfig {
    channel: Option<u8>,
    step: Step,
    /// The line that is being heard.
    line: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Nothing to say any more.
    Silent,
    /// `ifconfig` was said so many times, and will be again at `next`.
    Asking { asked: u8, next: Timestamp },
    /// Answered; this is next.
    Telling(String),
}

impl Ifconfig {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { channel: setup.channel, step: Step::Silent, line: Vec::new() }
    }

    /// What to say to the interface that is named in the line heard, if one is.
    fn commands(&self) -> Option<String> {
        let after = without_prompts(&self.line).strip_prefix(b"Iface ")?.trim_ascii_start();
        let digits = after.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let number = str::from_utf8(&after[..digits]).ok().filter(|number| !number.is_empty())?;
        let channel = self.channel?;
        Some(format!(
            "ifconfig {number} set chan {channel}\n\
             ifconfig {number} raw\n\
             ifconfig {number} promisc\n"
        ))
    }
}

impl Dialogue for Ifconfig {
    fn start(&mut self, now: Timestamp) {
        self.line.clear();
        self.step = match self.channel {
            Some(_) => Step::Asking { asked: 0, next: now.plus_ns(ANSWER_NS) },
            None => Step::Silent,
        };
    }

    fn hear(&mut self, octets: &[u8], _now: Timestamp) {
        for &octet in octets {
            let Step::Asking { asked: 1.., .. } = self.step else { return };
            if matches!(octet, b'\r' | b'\n') {
                if let Some(commands) = self.commands() {
                    self.step = Step::Telling(commands);
                }
                self.line.clear();
            } else if self.line.len() < MAX_HEARD {
                self.line.push(octet);
            }
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self.step {
            Step::Asking { next, .. } => Some(next),
            Step::Silent | Step::Telling(_) => None,
        }
    }

    fn say(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        match mem::replace(&mut self.step, Step::Silent) {
            Step::Silent => None,
            Step::Telling(commands) => Some(commands.into_bytes()),
            Step::Asking { asked, next } if now < next => {
                self.step = Step::Asking { asked, next };
                None
            }
            Step::Asking { asked: MAX_ASKED.., .. } => {
                log::warn!("no answer to ifconfig: is it RIOT's sniffer? still listening");
                None
            }
            Step::Asking { asked, .. } => {
                self.step = Step::Asking { asked: asked + 1, next: now.plus_ns(ANSWER_NS) };
                Some(b"ifconfig\n".to_vec())
            }
        }
    }
}
