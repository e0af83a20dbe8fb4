//! Which protocol is on a line, and at which rate. Pure.
//!
//! Framings validate what they find by its content, so a line is recognised by running them: all at
//! once over the same octets ([`Detector`]), at one line setting after the other ([`Search`]). Each
//! good packet speaks for its protocol with as many bits as its row's `proof` says. What random
//! octets would bring by chance is taken off: a packet that is found among `n` octets counts
//! log2(n) bits less.
//!
//! A protocol is recognised by several independent packets that together hold [`ENOUGH_BITS`], if
//! they explain at least half of what is on the line since the first of them (or less, where the row
//! says so), and if no other protocol has half as much to say for itself. Until then listening goes on:
//! the answer is right, or there is none.

mod pulses;
mod search;

use crate::exported_pdu;
use crate::framing::{Framer, IDLE_NS, PROTOCOLS, Part, Protocol, SILENCE_NS, Setup};
use crate::line::Line;
use crate::line_errors::{LineError, LineErrorKind};
use crate::packet::{Batch, LinkType, Packet, Tally};
use crate::time::Timestamp;
pub use pulses::Pulses;
pub use search::{LIKELY, PROMISING, Search, lines, lines_of};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Bits that decide: what random octets bring once in 2^64 packets is no accident.
pub const ENOUGH_BITS: f64 = 64.0;
/// So many packets at least, or fewer if they have more: two with [`PLENTY_BITS`], or one that is a
/// whole text of things that must fit, such as a meter's telegram.
const ENOUGH_PACKETS: u64 = 3;
const PLENTY_BITS: f64 = 80.0;
const WHOLE_BITS: f64 = 96.0;
/// Bits that are worth waiting for more.
const LIKELY_BITS: f64 = 14.0;
/// How much less the second best has to say.
const LEAD: f64 = 2.0;
/// How many packets have to differ, and what these have to say at least, if the protocol's check is
/// [weak](Protocol::weak).
const VARIED_PACKETS: usize = 2;
const VARIED_BITS: f64 = 20.0;
/// What has less is not against a protocol, but does not speak for it either.
const LEAST_BITS: f64 = 8.0;
/// So many octets are judged together at most.
const GATHERED: usize = 4096;
/// What one packet counts at most.
const MOST_BITS: f64 = 120.0;
/// Octets between a question and the end of its answer: more than a long text message or a page has.
const MOST_ANSWER: u64 = 4096;

/// What speaks for a protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// The protocol.
    pub protocol: &'static Protocol,
    /// The line that it was heard at.
    pub line: Line,
    /// Packets that prove something.
    pub packets: u64,
    /// What they prove, in bits; what chance would bring is taken off.
    pub bits: f64,
    /// Their part of all octets since the first of them, 0 to 1.
    pub share: f64,
}

impl Evidence {
    /// What it weighs beside others: bits, as far as they explain what is on the line.
    pub fn weight(&self) -> f64 {
        self.bits * self.share
    }

    /// Whether it may well be this, and time will tell.
    pub fn is_likely(&self) -> bool {
        self.bits >= LIKELY_BITS && self.share >= self.protocol.least_share
    }

    /// Options that name it, such as `-p mstp -b 38400`.
    pub fn command(&self) -> String {
        format!("-p {} {}", self.protocol.name, self.line.options())
    }

    /// Whether it is enough, if nothing else is likely.
    fn is_enough(&self) -> bool {
        let is_certain = self.packets >= ENOUGH_PACKETS && self.bits >= ENOUGH_BITS
            || self.packets == 2 && self.bits >= PLENTY_BITS
            || self.packets == 1 && self.bits >= WHOLE_BITS;
        is_certain && self.share >= self.protocol.least_share
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, packets, bits, share, .. } = self;
        write!(
            f,
            "{}: {packets} packets whose checks hold ({bits:.0} bits), {:.0} % of the bytes",
            protocol.name,
            100.0 * share
        )
    }
}

/// What was heard, whatever it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Octets.
    pub octets: u64,
    /// Of these, letters, digits, punctuation, spaces and ends of lines.
    pub printable: u64,
    /// Of these, 00 and FF: what a wrong rate or a line without bias brings.
    pub blank: u64,
    /// Of these, such as had a wrong stop bit or parity, or were breaks; where that is told.
    pub errors: u64,
    /// When the first chunk and the last one came.
    pub first: Timestamp,
    /// The same of the last one.
    pub last: Timestamp,
}

impl Heard {
    fn add(&mut self, octets: &[u8], arrival: Timestamp) {
        if self.octets == 0 {
            self.first = arrival;
        }
        self.last = arrival;
        self.octets += octets.len() as u64;
        self.printable +=
            count(octets, |octet| matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n'));
        self.blank += count(octets, |octet| matches!(octet, 0x00 | 0xff));
    }
}

/// How many of these octets are such. Generic, so that the compiler counts many at once.
fn count(octets: &[u8], is_such: impl Fn(u8) -> bool) -> u64 {
    octets.iter().filter(|octet| is_such(**octet)).count() as u64
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: u64| part * 100 / self.octets.max(1);
        write!(
            f,
            "{} bytes, {} % printable, {} % 00 or FF",
            self.octets,
            percent(self.printable),
            percent(self.blank)
        )?;
        if self.errors > 0 {
            write!(f, ", {} % with wrong stop bit or parity", percent(self.errors))?;
        }
        Ok(())
    }
}

/// One protocol, as it listens.
struct Contender {
    protocol: &'static Protocol,
    framer: Box<dyn Framer>,
    packets: u64,
    /// Octets of good packets, and those of packets that are not against it.
    good: u64,
    fitting: u64,
    bits: f64,
    /// Octets that were judged before its first packet.
    before: u64,
    /// Bits of packets that are not the same, up to what is enough, and which these were.
    varied: f64,
    seen: Vec<u64>,
    talk: Talk,
}

/// What was said since a question, if packets are lines of a talk: it is of the protocol, whatever it
/// says, once a result ends it.
#[derive(Default)]
struct Talk {
    /// Octets of those lines that do not speak for the protocol themselves.
    waiting: Option<u64>,
}

impl Talk {
    /// Hears a line; says how many octets before it turn out to be of the protocol.
    fn hear(&mut self, part: Part, unproven: u64) -> u64 {
        match part {
            Part::None => {}
            Part::Question => self.waiting = Some(0),
            Part::Line => {
                let more = self.waiting.map(|waiting| waiting + unproven);
                self.waiting = more.filter(|waiting| *waiting <= MOST_ANSWER);
            }
            Part::Result => return self.waiting.take().unwrap_or_default(),
        }
        0
    }
}

impl Contender {
    fn new(protocol: &'static Protocol, setup: &Setup) -> Self {
        let framer = (protocol.framer)(setup);
        Self {
            protocol,
            framer,
            packets: 0,
            good: 0,
            fitting: 0,
            bits: 0.0,
            before: 0,
            varied: 0.0,
            seen: Vec::new(),
            talk: Talk::default(),
        }
    }

    /// Takes what its framer has found.
    fn weigh(&mut self, found: &Batch) {
        for packet in found.packets() {
            let octets = octets_of(self.protocol, packet.data);
            let proves = self.proof_of(&packet, octets);
            if self.packets == 0 {
                self.before += u64::from(packet.skipped_before);
            }
            let Some(bits) = proves.filter(|bits| *bits >= LEAST_BITS) else {
                if self.packets == 0 {
                    self.before += octets.len() as u64;
                }
                continue;
            };
            self.packets += 1;
            self.note_varied(octets, bits);
            let chances = f64::from(packet.skipped_before) + 1.0;
            // In noise this goes up and down, and leads nowhere.
            self.bits = (self.bits + bits.min(MOST_BITS) - chances.log2()).max(0.0);
        }
    }

    /// Whether enough of its packets are not the same, or need not be.
    fn is_varied(&self) -> bool {
        let is_enough = self.seen.len() >= VARIED_PACKETS && self.varied >= VARIED_BITS;
        is_enough || !self.protocol.weak
    }

    /// Notes what a packet proves that is not the same as one before.
    fn note_varied(&mut self, octets: &[u8], bits: f64) {
        // With this the few that are kept are enough.
        if self.is_varied() {
            return;
        }
        let mut hasher = DefaultHasher::new();
        octets.hash(&mut hasher);
        let hash = hasher.finish();
        if !self.seen.contains(&hash) {
            self.seen.push(hash);
            self.varied += bits;
        }
    }

    /// How many bits a packet proves, if it is not against the protocol; counts it.
    fn proof_of(&mut self, packet: &Packet<'_>, octets: &[u8]) -> Option<f64> {
        if !packet.damage.is_none() {
            return None;
        }
        let len = octets.len() as u64;
        self.good += len;
        let bits = f64::from((self.protocol.proof)(packet.data));
        // Many check sequences take 0 for a check of zeros.
        let is_blank = octets.windows(2).all(|pair| pair[0] == pair[1]);
        let part = (self.protocol.part)(packet.data);
        // Lines begin where lines end: those inside of the frames of something else are none.
        let is_astray = part != Part::None && packet.skipped_before > 0;
        if is_astray {
            self.talk = Talk::default();
        }
        let fits = bits > 0.0 && !is_blank;
        self.fitting += if fits { len } else { 0 };
        self.fitting += self.talk.hear(part, if fits { 0 } else { len });
        (fits && (!is_astray || self.packets == 0)).then_some(bits)
    }

    fn evidence(&self, line: Line) -> Evidence {
        let tally = self.framer.tally();
        let fitting = self.fitting as f64 / self.good.max(1) as f64;
        let since = judged(&tally).saturating_sub(self.before);
        let good = (tally.good_octets + tally.padding_octets) as f64;
        let share = if since == 0 { 0.0 } else { (good * fitting / since as f64).min(1.0) };
        let bits = if self.is_varied() { self.bits } else { self.bits.min(self.varied) };
        Evidence { protocol: self.protocol, line, packets: self.packets, bits, share }
    }
}

/// The octets of a packet, without the tags before them.
fn octets_of<'a>(protocol: &Protocol, packet: &'a [u8]) -> &'a [u8] {
    let tagged = protocol.link_type == LinkType::WIRESHARK_UPPER_PDU;
    let split = if tagged { exported_pdu::split(packet) } else { None };
    split.map_or(packet, |(_, octets)| octets)
}

fn judged(tally: &Tally) -> u64 {
    tally.good_octets + tally.damaged_octets + tally.padding_octets + tally.skipped_octets
}

/// Listens to a line with several framers at once.
pub struct Detector {
    line: Line,
    contenders: Vec<Contender>,
    heard: Heard,
    found: Batch,
    /// Octets that are to be judged with those behind them, and when the last of them arrived.
    gathered: Vec<u8>,
    gathered_at: Timestamp,
}

impl Detector {
    /// Of all protocols, on a line that is set like this. `timed` as in [`Setup`].
    pub fn new(line: Line, timed: bool) -> Self {
        Self::among(PROTOCOLS.iter().copied(), line, timed)
    }

    /// Of some protocols.
    pub fn among(
        protocols: impl IntoIterator<Item = &'static Protocol>,
        line: Line,
        timed: bool,
    ) -> Self {
        let setup = Setup { line, timed, silence_ns: SILENCE_NS, ..Setup::new(line.baud) };
        let contenders = protocols.into_iter().map(|row| Contender::new(row, &setup)).collect();
        Self {
            line,
            contenders,
            heard: Heard::default(),
            found: Batch::new(0),
            gathered: Vec::new(),
            gathered_at: Timestamp::default(),
        }
    }

    /// Takes octets, the last of which arrived at `arrival`.
    pub fn push(&mut self, octets: &[u8], arrival: Timestamp) {
        self.judge_gathered();
        self.judge(octets, arrival);
    }

    /// The same, but judges them together with those that follow without a pause. This is for what is
    /// stored: many short reads cost most of the time, and nobody waits for the first packet.
    pub fn gather(&mut self, octets: &[u8], arrival: Timestamp) {
        let octet_ns = self.line.octet_ns();
        let pause = arrival.minus_ns(octets.len() as u64 * octet_ns).ns_since(self.gathered_at);
        if pause > IDLE_NS || self.gathered.len() + octets.len() > GATHERED {
            self.judge_gathered();
        }
        self.gathered.extend_from_slice(octets);
        self.gathered_at = arrival;
    }

    fn judge_gathered(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let mut octets = std::mem::take(&mut self.gathered);
        self.judge(&octets, self.gathered_at);
        octets.clear();
        self.gathered = octets;
    }

    fn judge(&mut self, octets: &[u8], arrival: Timestamp) {
        self.heard.add(octets, arrival);
        self.each(|framer, found| framer.push(octets, arrival, found));
    }

    /// Hears what was wrong with the octets of the next push.
    pub fn mark(&mut self, errors: &[LineError]) {
        self.judge_gathered();
        let wrong = errors.iter().filter(|error| error.kind != LineErrorKind::Overrun);
        self.heard.errors += wrong.count() as u64;
        self.each(|framer, _| framer.mark(errors));
    }

    /// Nothing has come up to `now`.
    pub fn expire(&mut self, now: Timestamp) {
        self.judge_gathered();
        self.each(|framer, found| framer.expire(now, found));
    }

    /// When [`expire`](Self::expire) is to be called, if ever.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.contenders.iter().filter_map(|contender| contender.framer.deadline()).min()
    }

    /// Nothing more comes.
    pub fn finish(&mut self) {
        self.judge_gathered();
        self.each(|framer, found| framer.finish(found));
    }

    fn each(&mut self, judge: impl Fn(&mut dyn Framer, &mut Batch)) {
        for contender in &mut self.contenders {
            judge(contender.framer.as_mut(), &mut self.found);
            if !self.found.is_empty() {
                contender.weigh(&self.found);
                self.found.clear();
            }
        }
    }

    /// What was heard, whatever it was.
    pub fn heard(&self) -> Heard {
        self.heard
    }

    /// All that speaks for a protocol, the strongest first.
    pub fn evidence(&self) -> Vec<Evidence> {
        let all = self.contenders.iter().map(|contender| contender.evidence(self.line));
        let mut all: Vec<_> = all.filter(|evidence| evidence.bits > 0.0).collect();
        all.sort_by(|a, b| b.weight().total_cmp(&a.weight()));
        all
    }

    /// What it is, if that is certain.
    pub fn verdict(&self) -> Option<Evidence> {
        // Asked after each read, and most of the time there is nothing to compare.
        let has_enough = |contender: &Contender| {
            contender.bits >= ENOUGH_BITS && contender.evidence(self.line).is_enough()
        };
        if !self.contenders.iter().any(has_enough) {
            return None;
        }
        let evidence = self.evidence();
        let best = evidence.first().filter(|best| best.is_enough())?;
        let is_ahead = |other: &Evidence| other.weight() * LEAD <= best.weight();
        evidence.get(1).is_none_or(is_ahead).then_some(*best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::protocol;

    const TOKEN: &[u8] = b"\x55\xff\x00\x10\x05\x00\x00\x8c";

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns((1_000_000 + ms) * 1_000_000)
    }

    fn detector() -> Detector {
        Detector::new(Line::at(38_400), true)
    }

    #[test]
    fn tokens_are_recognised_and_one_is_not_enough() {
        let mut detector = detector();
        detector.push(TOKEN, at(0));
        assert!(detector.verdict().is_none());
        for n in 1..10 {
            detector.push(TOKEN, at(10 * n));
        }
        let verdict = detector.verdict().expect("tokens");
        assert_eq!((verdict.protocol.name, verdict.line.baud), ("mstp", 38_400));
        assert!(verdict.packets > 8 && verdict.share > 0.9, "{verdict}");
    }

    #[test]
    fn tokens_in_a_stream_of_something_else_are_no_verdict() {
        let mut detector = detector();
        for n in 0..20 {
            detector.push(&[b'x'; 40], at(20 * n));
            detector.push(TOKEN, at(20 * n + 10));
        }
        assert!(detector.evidence()[0].packets > 10);
        assert!(detector.verdict().is_none(), "a sixth of the bytes");
    }

    #[test]
    fn packets_count_as_long_as_they_are_on_the_line() {
        // Short requests, each acknowledged by an octet that proves nothing.
        let mut detector = Detector::new(Line::at(115_200), true);
        for n in 0..10 {
            let request = [0x01, 0x04, 0x00, 0x41, n, 0xff ^ 0x45 ^ n, 0x06];
            detector.push(&request, at(100 * u64::from(n)));
        }
        let evidence = detector.evidence();
        assert_eq!(evidence[0].protocol.name, "zwave");
        assert!((0.8..0.9).contains(&evidence[0].share), "{}", evidence[0]);
    }

    #[test]
    fn what_is_between_packets_counts_however_it_was_read() {
        let junk = [b'x'; 40];
        let line = [TOKEN, &junk].concat().repeat(20);
        let (mut once, mut by_octet) = (detector(), detector());
        once.push(&line, at(0));
        for octet in &line {
            by_octet.push(&[*octet], at(0));
        }
        once.finish();
        by_octet.finish();
        let shares = [&once, &by_octet].map(|it| it.evidence()[0].share);
        assert_eq!(shares[0], shares[1]);
        assert!((0.15..0.18).contains(&shares[0]), "{shares:?}");
        assert!(once.verdict().is_none(), "a sixth of the bytes");
    }

    #[test]
    fn what_came_before_the_first_packet_does_not_matter() {
        let mut detector = detector();
        detector.push(&[0xf8; 5000], at(0));
        for n in 0..30 {
            detector.push(TOKEN, at(100 + 10 * n));
        }
        assert_eq!(detector.verdict().expect("tokens").protocol.name, "mstp");
    }

    #[test]
    fn a_master_whose_devices_are_silent_is_recognised_by_what_it_asks() {
        let mut detector = Detector::new(Line::at(9600), true);
        let polls = [
            [0x01, 0x04, 0x00, 0x00, 0x00, 0x14, 0xf0, 0x05],
            [0x11, 0x03, 0x00, 0x6b, 0x00, 0x03, 0x76, 0x87],
        ];
        for n in 0..20 {
            assert!(n > 7 || detector.verdict().is_none(), "after {n}");
            detector.push(&polls[n as usize % 2], at(1000 * n));
            detector.expire(at(1000 * n + 500));
        }
        assert_eq!(detector.verdict().expect("polls").protocol.name, "modbus");
    }

    #[test]
    fn chance_is_taken_off() {
        let modbus = protocol("modbus").expect("modbus");
        let mut near = Detector::among([modbus], Line::at(9600), true);
        let request = [0x11, 0x03, 0x00, 0x6b, 0x00, 0x03, 0x76, 0x87];
        let answer = [0x11, 0x03, 0x06, 0x02, 0x2b, 0x00, 0x00, 0x00, 0x64, 0xc8, 0xba];
        near.push(&request, at(0));
        near.push(&answer, at(100));
        let mut far = Detector::among([modbus], Line::at(9600), true);
        far.push(&request, at(0));
        far.push(&[0xfe; 80], at(90));
        far.push(&answer, at(110));
        near.finish();
        far.finish();
        assert!(near.evidence()[0].bits > far.evidence()[0].bits + 5.0);
    }

    #[test]
    fn what_is_gathered_is_judged_at_a_pause_and_at_the_end() {
        let mut detector = detector();
        let octet_ns = Line::at(38_400).octet_ns();
        let mut now = at(0);
        for octet in TOKEN.repeat(4) {
            now = now.plus_ns(octet_ns);
            detector.gather(&[octet], now);
        }
        assert_eq!(detector.heard().octets, 0, "more may follow");
        detector.gather(TOKEN, now.plus_ns(20_000_000));
        assert_eq!((detector.heard().octets, detector.evidence()[0].packets), (32, 4));
        detector.finish();
        assert_eq!((detector.heard().octets, detector.evidence()[0].packets), (40, 5));
        detector.gather(&[0; GATHERED], now);
        detector.gather(TOKEN, now);
        assert_eq!(detector.heard().octets, 40 + GATHERED as u64, "not without end");
    }

    #[test]
    fn what_was_heard_is_told() {
        let mut detector = detector();
        detector.push(b"U-Boot 2021.04\r\n\x00\xff\xff\x00", at(5));
        assert_eq!(detector.heard().to_string(), "20 bytes, 80 % printable, 20 % 00 or FF");
        assert_eq!((detector.heard().first, detector.heard().last), (at(5), at(5)));
    }
}
