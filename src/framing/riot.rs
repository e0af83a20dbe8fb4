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
//! octets, that data follows its header directly, and that both are written like those before:
//! as many digits in each number, a space at the end of the data. (If two headers in a row
//! deviate in the same way, it is the firmware that differs.) What nothing speaks against: a
//! digit changed into another, a digit missing from `lqi` or `rx_time` in the first header of
//! all, and a loss from within one record to just the same place in a later one.
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
/// Octets of a header line before its LF; 58 in both layouts.
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
/// Ways that no lost or doubled character leads to.
const KNOWN: [Widths; 2] =
    [[(false, 8), (false, 2), (false, 16)], [(true, 2), (true, 2), (true, 16)]];

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
    /// Whether data lines end in a space before their LF.
    spaced: bool,
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
            spaced: false,
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
        let as_before = self.widths.is_none() || self.widths == widths;
        if as_before || KNOWN.contains(&header.widths) {
            self.refused = None;
        } else if self.refused != widths {
            self.refused = widths;
            self.lose(MARK.len());
            return;
        }
        self.held = Held::Record { header, line: end + 1, blank: false };
    }

    fn read_data(&mut self, header: Header, line: usize, blank: bool, end: usize, out: &mut Batch) {
        let text = without_prompts(without_cr(&self.window.octets()[line..end]));
        if text.is_empty() && !blank {
            self.held = Held::Record { header, line: end + 1, blank: true };
            return;
        }
        let mut psdu = [0; wpan::MAX_PSDU];
        let psdu = &mut psdu[..header.len];
        let spaced = text.ends_with(b" ");
        if parse_data(text, psdu).is_none() || self.spaced && !spaced {
            self.lose(line);
            return;
        }
        self.spaced = spaced;
        if self.widths != Some(header.widths) {
            // One of the two wrote a digit too few in `rx_time`, or it is another sniffer.
            self.clock = SnifferClock::default();
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

    fn open_since(&self) -> Option<Timestamp> {
        self.deadline().map(|_| self.window.time_of(0))
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
        self.spaced = false;
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
/// Its first record is dated by its arrival. After that its clock is followed to the
/// microsecond, but for a correction of at most 100 ppm, since two crystals never agree: once a
/// second, while it is more than 20 ms off, and only if both clocks agree about that second,
/// which they do not in a burst. It is given up, and the record dated by its arrival, when it
/// - stands back by more than 10 s (it was asleep), or steps back (it was restarted), unless
///   that is a counter of 32 bits that turned over: then the step fits our clock to within 10 s;
/// - steps further ahead of our clock than 32 bits of it go (71 minutes): it did not.
///
/// If it runs ahead of our clock otherwise it is believed: records that come in a burst, from a
/// file for instance, keep their distances.
#[derive(Debug, Default)]
struct SnifferClock {
    last: Option<Reading>,
    /// The record since which a correction is due.
    base: Option<Reading>,
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
        let followed = self.last.and_then(|last| last.followed(rx_us, arrival));
        let mut reading = Reading { rx_us, time: followed.unwrap_or(arrival), arrival };
        match self.base {
            Some(base) if followed.is_some() => {
                if arrival.ns_since(base.arrival) >= CORRECTION_NS {
                    reading.time = base.corrected(reading);
                    self.base = Some(reading);
                }
            }
            _ => self.base = Some(reading),
        }
        self.last = Some(reading);
        reading.time
    }
}

/// How often a correction may be made.
const CORRECTION_NS: u64 = 1_000_000_000;
/// How far the clocks may be apart without one: what a serial line may hold a record back.
const FREE_NS: u64 = 20_000_000;

impl Reading {
    /// The time of the record after this one, if it is by the same clock.
    fn followed(self, rx_us: u64, arrival: Timestamp) -> Option<Timestamp> {
        const TURN_US: u64 = 1 << 32;
        const MAX_LEAD_NS: u64 = TURN_US * 1000;
        const MAX_LAG_NS: u64 = 10_000_000_000;

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
        let lost = arrival.ns_since(time) > MAX_LAG_NS;
        let leapt = step.saturating_sub(elapsed) > MAX_LEAD_NS;
        (!lost && !leapt).then_some(time)
    }

    /// The time of a later record, moved towards its arrival as far as is plausible.
    fn corrected(self, later: Self) -> Timestamp {
        const CORRECTED: u64 = 10_000; // 1 in so many: 100 ppm
        let elapsed = later.arrival.ns_since(self.arrival);
        let step = later.time.ns_since(self.time);
        if step.abs_diff(elapsed) > FREE_NS + elapsed / 1000 {
            return later.time;
        }
        let (lag, lead) = (later.arrival.ns_since(later.time), later.time.ns_since(later.arrival));
        let faster = (elapsed / CORRECTED).min(lag.saturating_sub(FREE_NS));
        let slower = (elapsed / CORRECTED).min(lead.saturating_sub(FREE_NS));
        later.time.plus_ns(faster).minus_ns(slower)
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

#[cfg(test)]
mod tests {
    use super::super::IDLE_GAP_NS;
    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000_000_000;
    const SETUP: Setup = Setup { baud: 115_200, channel: Some(26), init: None };

    const NEW: &str = "rftest-rx --- len 00000003 lqi FE rx_time 0000000000123456\n02 00 07 \n\n";
    const OLD: &str =
        "rftest-rx --- len 0x03 lqi 0xfe rx_time 0x0000000000123456\n\n0x02 0x00 0x07 \n\n";
    /// What both say.
    const PACKET: [u8; 31] = [
        0, 0, 28, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 3, 0, 26, 0, 0, 0, 10, 0, 1, 0, 0xfe, 0, 0, 0,
        0x02, 0x00, 0x07,
    ];

    /// Record `number`, its PSDU being that number three times.
    fn record(number: u8) -> String {
        format!(
            "rftest-rx --- len 00000003 lqi FF rx_time {number:016X}\n\
             {number:02X} {number:02X} {number:02X} \n\n"
        )
    }

    /// Pushes `text` octet by octet and all at once, checks that it makes no difference, and
    /// returns the packets.
    fn packets(text: impl AsRef<[u8]>) -> (Vec<Vec<u8>>, Tally) {
        let text = text.as_ref();
        let run = |chunk: usize| {
            let mut framer = Riot::new(&SETUP);
            let mut batch = Batch::new(0);
            for octets in text.chunks(chunk) {
                framer.push(octets, Timestamp::from_ns(SECOND), &mut batch);
            }
            framer.finish(&mut batch);
            let packets: Vec<_> = batch.packets().map(|packet| packet.data.to_vec()).collect();
            (packets, framer.tally())
        };
        let whole = run(text.len());
        assert_eq!(run(1), whole);
        let tally = whole.1;
        assert_eq!(tally.octets, text.len() as u64);
        assert_eq!(tally.octets, tally.good_octets + tally.skipped_octets);
        assert_eq!(tally.good_frames, whole.0.len() as u64);
        whole
    }

    /// The first octet of each PSDU, which is the number of its [`record`].
    fn numbers(text: impl AsRef<[u8]>) -> Vec<u8> {
        packets(text).0.iter().map(|packet| packet[28]).collect()
    }

    #[test]
    fn a_record_becomes_a_packet() {
        let (packets, tally) = packets(NEW);
        assert_eq!(packets, [PACKET]);
        assert_eq!((tally.good_octets, tally.skipped_octets), (NEW.len() as u64 - 1, 1));
    }

    #[test]
    fn the_old_layout_means_the_same() {
        assert_eq!(packets(OLD).0, [PACKET]);
        assert_eq!(packets(OLD.replace("0x0000000000123456", "0x00123456")).0, [PACKET]);
        assert_eq!(packets(OLD.replace("\n\n0x", "\n0x")).0, [PACKET]);
        assert_eq!(packets(NEW.to_lowercase()).0, [PACKET]);
    }

    #[test]
    fn lines_may_end_in_crlf() {
        assert_eq!(packets(NEW.replace('\n', "\r\n")).0, [PACKET]);
        assert_eq!(packets(OLD.replace('\n', "\r\n")).0, [PACKET]);
    }

    #[test]
    fn the_longest_psdu_is_127_octets_and_the_shortest_1() {
        let record = |len: usize| {
            format!(
                "rftest-rx --- len {len:08X} lqi FF rx_time {:016X}\n{}\n",
                0,
                "AB ".repeat(len)
            )
        };
        assert_eq!(
            packets(record(127)).0,
            [[&PACKET[..24], &[0xff, 0, 0, 0], &[0xab; 127]].concat()]
        );
        assert_eq!(packets(record(1)).0[0][28..], [0xab]);
        assert_eq!(packets(record(0)).0.len(), 0);
        assert_eq!(packets(record(128)).0.len(), 0);
    }

    #[test]
    fn other_text_is_skipped() {
        let (packets, tally) = packets(
            [
                b"\xff\xfe\x00boot\n> ifconfig 5 raw\nsuccess\n> ".as_slice(),
                NEW.as_bytes(),
                b"main(): log\nab cd ef\n> > ifconfig",
                NEW.replace("\n02", "\n> > 02").as_bytes(),
                b"\r\n> ",
            ]
            .concat(),
        );
        assert_eq!(packets, [PACKET, PACKET]);
        assert_eq!(tally.damaged_frames, 0);
    }

    #[test]
    fn text_of_any_length_may_stand_before_a_header() {
        assert_eq!(packets(["x".repeat(5000), NEW.to_owned()].concat()).0, [PACKET]);
        assert_eq!(packets(["rftest-rx --- len".repeat(99), NEW.to_owned()].concat()).0, [PACKET]);
    }

    #[test]
    fn a_lost_or_doubled_character_costs_one_record_and_no_more() {
        let [a, b, c] = [1, 2, 3].map(record);
        // The last two are the LFs, of which one may be lost.
        for at in 0..b.len() - 2 {
            let (mut lost, mut doubled) = (b.clone(), b.clone());
            lost.remove(at);
            doubled.insert(at, char::from(b.as_bytes()[at]));
            assert_eq!(
                numbers([&a, &lost, &c].map(String::as_str).concat()),
                [1, 3],
                "without {at}"
            );
            let expected: &[u8] = match &b[at..=at] {
                "r" if at == 0 => &[1, 2, 3], // text before the header
                "\n" => &[1, 2, 3],           // the blank line of the old layout
                _ => &[1, 3],
            };
            assert_eq!(
                numbers([&a, &doubled, &c].map(String::as_str).concat()),
                expected,
                "{at} twice"
            );
        }
    }

    #[test]
    fn a_lost_run_of_characters_costs_the_records_that_it_touches() {
        let all: Vec<String> = (1..=4).map(record).collect();
        let (text, len) = (all.concat(), all[0].len());
        for start in len..2 * len {
            for end in start + 1..3 * len {
                if [0, len - 1].contains(&((end - start) % len)) {
                    continue; // the start of one record and the end of another make one
                }
                let left = [&text[..start], &text[end..]].concat();
                let whole = |number: &u8| left.contains(&all[usize::from(number - 1)][..len - 1]);
                let expected: Vec<u8> = (1..=4).filter(whole).collect();
                assert_eq!(numbers(&left), expected, "without {start}..{end}: {left}");
            }
        }
    }

    #[test]
    fn damaged_records_are_counted_and_are_no_packets() {
        let header = "rftest-rx --- len 00000003 lqi FE rx_time 0000000000123456";
        for damaged in [
            "rftest-rx --- len 00000003 lqi FE rx_time 0000000000123456 \n02 00 07 \n",
            "rftest-rx --- len 00000003 lqi FE rx_time 0000000000123456 ok\n02 00 07 \n",
            "rftest-rx --- len 00000003 lqi 1FE rx_time 0000000000123456\n02 00 07 \n",
            "rftest-rx --- len 00000003 lqi +E rx_time 0000000000123456\n02 00 07 \n",
            "rftest-rx --- len 00000003 lqi FE rx_time 00000000000123456\n02 00 07 \n",
            "rftest-rx --- len 00000003 lqi FE rx_time 0x\n02 00 07 \n",
            "rftest-rx --- len 00000003 lqi FE rx_time \n02 00 07 \n",
            "rftest-rx --- len 00000003 lqi FE\n02 00 07 \n",
            "rftest-rx --- len 00000003 lqi  FE rx_time 0000000000123456\n02 00 07 \n",
            "rftest-rx --- len  00000003 lqi FE rx_time 0000000000123456\n02 00 07 \n",
            &format!("{header}\n\n\n02 00 07 \n"),
            &format!("{header}\nlog\n02 00 07 \n"),
            &format!("{header}\n02 00\n"),
            &format!("{header}\n02 00 07 08\n"),
            &format!("{header}\n02 00 07  \n"),
            &format!("{header}\n 02 00 07\n"),
            &format!("{header}\n02  00 07\n"),
            &format!("{header}\n020 0 07\n"),
            &format!("{header}\n0x02 00 07\n"),
            &format!("{header}\n02 0x00 07\n"),
            &format!("{header}\n02 00 0g\n"),
            &format!("{header}\n02 00 +7\n"),
            &format!("{header}\n02 00 07 >\n"),
            &format!("{header}\n02 00 07\r\r\n"),
            &format!("{header}\n02 00 07 "),
            &format!("{header}\n"),
            header,
            "rftest-rx --- len ",
        ] {
            let (packets, tally) = packets(damaged);
            assert_eq!((packets.len(), tally.damaged_frames), (0, 1), "{damaged}");
        }
    }

    #[test]
    fn a_header_ends_the_record_before_it() {
        let [a, b] = [1, 2].map(record);
        let header = &a[..a.len() - 11];
        assert!(header.ends_with("01\n"));
        for before in [header, &header[..30], &a[..a.len() - 5], &a[..a.len() - 2]] {
            let text = [before, &b].concat();
            assert_eq!(numbers(&text), [2]);
            assert_eq!(packets(&text).1.damaged_frames, 1);
        }
    }

    #[test]
    fn lines_without_an_end_are_given_up() {
        let header = &NEW[..NEW.len() - 11];
        for endless in [&header[..header.len() - 1], header] {
            let text = [endless, &"41 ".repeat(900), NEW].concat();
            let (packets, tally) = packets(&text);
            assert_eq!((packets, tally.damaged_frames), (vec![PACKET.to_vec()], 1));
        }
        let mut framer = Riot::new(&SETUP);
        for _ in 0..100 {
            framer.push(header.as_bytes(), Timestamp::default(), &mut Batch::new(0));
            for _ in 0..5000 {
                framer.push(b"> ", Timestamp::default(), &mut Batch::new(0));
                assert!(framer.window.octets.len() <= 1200);
            }
        }
    }

    #[test]
    fn another_way_to_write_numbers_is_damage_unless_it_is_repeated() {
        let [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6].map(record);
        let short = |record: &str| record.replace("rx_time 00", "rx_time ");
        let bare = |record: &str| record.replace("len 00", "len ");
        assert_eq!(numbers([&a, &short(&b), &c].map(|s| s.clone()).concat()), [1, 3]);
        assert_eq!(numbers([&a, &short(&b), &bare(&c), &d].map(|s| s.clone()).concat()), [1, 4]);
        assert_eq!(
            numbers([a, short(&b), short(&c), short(&d), bare(&e), f].concat()),
            [1, 3, 4, 6] // and a known way is always taken
        );
    }

    #[test]
    fn the_first_way_to_write_numbers_is_that_of_a_good_record() {
        let [a, b, c] = [1, 2, 3].map(record);
        let damaged = a.replace("len 0", "len ").replace("01 01 01", "01 01");
        assert_eq!(numbers([damaged, b, c].concat()), [2, 3]);
    }

    #[test]
    fn a_closed_line_forgets_how_numbers_were_written() {
        let mut framer = Riot::new(&SETUP);
        let mut batch = Batch::new(0);
        for text in [NEW, OLD, "rftest-rx --- len 0", NEW] {
            framer.push(text.as_bytes(), Timestamp::default(), &mut batch);
            framer.finish(&mut batch);
        }
        assert_eq!(batch.packets().map(|packet| packet.data).collect::<Vec<_>>(), [PACKET; 3]);
    }

    #[test]
    fn silence_ends_a_record_and_text_waits_for_nothing() {
        let mut framer = Riot::new(&SETUP);
        let mut batch = Batch::new(0);
        let now = Timestamp::from_ns(SECOND);
        let deadline = now.plus_ns(IDLE_GAP_NS);
        for text in ["> ", "> rftest-rx ---", " nothing", NEW] {
            framer.push(text.as_bytes(), now, &mut batch);
            assert_eq!(framer.deadline(), None);
        }
        for cut in [MARK.len(), 40, NEW.len() - 11, NEW.len() - 10, NEW.len() - 2] {
            let lost = framer.tally().damaged_frames;
            framer.push(&NEW.as_bytes()[..cut], now, &mut batch);
            assert_eq!(framer.deadline(), Some(deadline));
            framer.expire(deadline.minus_ns(1), &mut batch);
            assert_eq!(framer.deadline(), Some(deadline));
            framer.expire(deadline, &mut batch);
            assert_eq!(framer.deadline(), None);
            assert_eq!(framer.tally().damaged_frames, lost + 1);
            framer.push(&NEW.as_bytes()[cut..], now, &mut batch);
            assert_eq!(framer.deadline(), None);
        }
        assert_eq!(batch.len(), 1);
        framer.push(NEW.as_bytes(), now, &mut batch);
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn times_are_spaced_by_the_sniffer_and_anchored_to_the_first_header() {
        let mut framer = Riot::new(&Setup { baud: 10_000_000, ..SETUP }); // 1 us an octet
        let mut batch = Batch::new(0);
        let text = ["> ", &record(10), &record(13), &record(250)].concat();
        framer.push(text.as_bytes(), Timestamp::from_ns(SECOND), &mut batch);
        let anchor = SECOND - (text.len() as u64 - 2) * 1000;
        let times: Vec<u64> = batch.packets().map(|p| p.time.as_ns() - anchor).collect();
        assert_eq!(times, [0, 3_000, 240_000]);
    }

    #[test]
    fn times_never_run_backwards() {
        let mut framer = Riot::new(&SETUP);
        let mut batch = Batch::new(0);
        // A burst, which takes the time far ahead, and a restart.
        let text = [record(1), record(2).replace("time 000000000", "time 000000001"), record(3)];
        framer.push(text.concat().as_bytes(), Timestamp::from_ns(SECOND), &mut batch);
        let times: Vec<u64> = batch.packets().map(|packet| packet.time.as_ns()).collect();
        assert_eq!(times[1] - times[0], 0x1000_0001 * 1000);
        assert_eq!(times[2], times[1]);
    }

    #[test]
    fn a_deviating_header_starts_a_clock_of_its_own() {
        let mut framer = Riot::new(&SETUP);
        let mut batch = Batch::new(0);
        let first = record(1).replace("time 0000000000", "time 000000000"); // a digit lost
        let later = record(2).replace("time 000000000", "time 000000001"); // 4 minutes
        let text = [first, later].concat();
        framer.push(text.as_bytes(), Timestamp::from_ns(SECOND), &mut batch);
        assert_eq!(batch.len(), 2);
        assert!(batch.packets().all(|packet| packet.time.as_ns() < SECOND));
    }

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_ns(1000 * SECOND + ns)
    }

    #[test]
    fn a_burst_keeps_its_spacing() {
        let mut clock = SnifferClock::default();
        assert_eq!(clock.time_of(5_000_000, at(0)), at(0));
        assert_eq!(clock.time_of(5_000_001, at(0)), at(1000));
        assert_eq!(clock.time_of(65_000_000, at(0)), at(60 * SECOND));
        assert_eq!(clock.time_of(65_000_007, at(0)), at(60 * SECOND + 7000));
    }

    #[test]
    fn a_record_that_waited_in_the_sniffer_is_not_late() {
        let mut clock = SnifferClock::default();
        clock.time_of(1000, at(0));
        assert_eq!(clock.time_of(3000, at(20 * MS)), at(2 * MS));
    }

    #[test]
    fn a_counter_of_32_bits_turns_over() {
        let mut clock = SnifferClock::default();
        clock.time_of(0xffff_ff00, at(0));
        assert_eq!(clock.time_of(0x0000_0100, at(MS)), at(512_000));
        // An hour later, with 600 ms on the way.

        let time = clock.time_of(0x0000_0100, at(4294 * SECOND + 967 * MS));
        assert!(time.ns_since(at(4294 * SECOND + 967 * MS)) < MS);
    }

    #[test]
    fn a_restarted_sniffer_is_anchored_anew() {
        let mut clock = SnifferClock::default();
        clock.time_of(600_000_000, at(0));
        assert_eq!(clock.time_of(100, at(3 * SECOND)), at(3 * SECOND));
        assert_eq!(clock.time_of(1_000_100, at(4 * SECOND + 5 * MS)), at(4 * SECOND));
        clock.time_of(1 << 40, at(5 * SECOND));
        assert_eq!(clock.time_of(100, at(6 * SECOND)), at(6 * SECOND));
    }

    #[test]
    fn a_sniffer_that_slept_is_anchored_anew() {
        let mut clock = SnifferClock::default();
        clock.time_of(0, at(0));
        assert_eq!(clock.time_of(1_000_000, at(11 * SECOND)), at(SECOND));
        assert_eq!(clock.time_of(2_000_000, at(13 * SECOND)), at(13 * SECOND));
    }

    #[test]
    fn a_step_that_no_clock_makes_is_not_followed() {
        let mut clock = SnifferClock::default();
        clock.time_of(7, at(0));
        assert_eq!(clock.time_of(u64::MAX, at(SECOND)), at(SECOND));
        assert_eq!(clock.time_of(8, at(2 * SECOND)), at(2 * SECOND));
    }

    #[test]
    fn drift_is_corrected_by_100_ppm_when_it_is_more_than_20_ms() {
        let mut clock = SnifferClock::default();
        // 50 ppm slow: after 400 s it is 20 ms late, and stays there.
        for second in 0..2000 {
            let time = clock.time_of(second * 999_950, at(second * SECOND));
            let late = at(second * SECOND).ns_since(time);
            assert_eq!(late, (second * 50_000).min(20 * MS));
        }
        // 200 ppm fast is more than is corrected.
        let mut clock = SnifferClock::default();
        for second in 0..=1000 {
            let time = clock.time_of(second * 1_000_200, at(second * SECOND));
            let early = time.ns_since(at(second * SECOND));
            assert_eq!(early, second * 200_000 - second.saturating_sub(100) * 100_000);
        }
    }

    /// A dialogue that was started at [`at`]`(0)`.
    fn started(channel: Option<u8>) -> Ifconfig {
        let mut dialogue = Ifconfig::new(&Setup { channel, ..SETUP });
        assert_eq!(dialogue.deadline(), None);
        dialogue.start(at(0));
        dialogue
    }

    const IFCONFIG: &[u8] = b"ifconfig\n";

    #[test]
    fn the_interface_is_asked_for_and_told() {
        let mut dialogue = started(Some(26));
        dialogue.hear(b"main(): This is RIOT!\nIface  9\n> ", at(0));
        assert_eq!(dialogue.say(at(0)), None);
        assert_eq!(dialogue.deadline(), Some(at(SECOND)));
        assert_eq!(dialogue.say(at(SECOND)).as_deref(), Some(IFCONFIG));
        for octet in b"> ifconfig\r\nno Iface 3\r\nIface x\n> Iface  15  HWaddr: 23:2E" {
            dialogue.hear(&[*octet], at(SECOND));
            assert_eq!(dialogue.say(at(SECOND)), None);
        }
        dialogue.hear(b"  Channel: 11\r\n", at(SECOND));
        assert_eq!(dialogue.deadline(), None);
        assert_eq!(
            dialogue.say(at(SECOND)).as_deref(),
            Some(&b"ifconfig 15 set chan 26\nifconfig 15 raw\nifconfig 15 promisc\n"[..])
        );
        dialogue.hear(b"Iface 15\n", at(SECOND));
        assert_eq!(dialogue.say(at(9 * SECOND)), None);
        assert_eq!(dialogue.deadline(), None);
        dialogue.start(at(9 * SECOND));
        assert_eq!(dialogue.deadline(), Some(at(10 * SECOND)));
    }

    #[test]
    fn it_is_asked_for_five_times() {
        let mut dialogue = started(Some(11));
        for second in 1..=5 {
            assert_eq!(dialogue.deadline(), Some(at(second * SECOND)));
            assert_eq!(dialogue.say(at(second * SECOND)).as_deref(), Some(IFCONFIG));
        }
        assert_eq!(dialogue.deadline(), Some(at(6 * SECOND)));
        assert_eq!(dialogue.say(at(6 * SECOND)), None);
        assert_eq!(dialogue.deadline(), None);
        dialogue.hear(b"Iface 5\n", at(7 * SECOND));
        assert_eq!(dialogue.say(at(7 * SECOND)), None);
    }

    #[test]
    fn without_a_channel_nothing_is_said() {
        let mut dialogue = started(None);
        dialogue.hear(b"Iface 5\n", at(0));
        assert_eq!(dialogue.deadline(), None);
        assert_eq!(dialogue.say(at(9 * SECOND)), None);
    }

    #[test]
    fn a_line_of_any_length_is_heard_in_bounded_memory() {
        let mut dialogue = started(Some(11));
        dialogue.say(at(SECOND));
        for _ in 0..1000 {
            dialogue.hear(&[b'x'; 1000], at(SECOND));
        }
        assert!(dialogue.line.len() <= MAX_HEARD);
        dialogue.hear(b"\nIface  7  HWaddr: 12:34 ", at(SECOND));
        dialogue.hear(&[b'x'; 1000], at(SECOND));
        dialogue.hear(b"\n", at(SECOND));
        assert!(dialogue.say(at(SECOND)).is_some_and(|said| said.starts_with(b"ifconfig 7 ")));
    }
}
