//! A framing of one's own: what ends a packet is what the user says.
//!
//! - A pause ([`Cut`]), a delimiter, or both: packets follow one another, all that is on the line is
//!   in one, unless they have to start with certain octets.
//! - A length in the packet ([`Lengths`]): hunted for by content, as a framing of its own would do.
//!
//! A pause is one between octets as they began on the wire, reckoned from when a chunk came and how
//! many octets it has. So it is told from the time that octets took, but an adapter that keeps
//! octets to itself hides it.
//!
//! Work per octet: a delimiter or a start is looked for once or twice; a check sequence is reckoned
//! once a packet, with a length field once for each position that may start one. Memory: the longest
//! packet twice, and a chunk.

mod rules;

use super::hunt::{Format, Hunter, Judgement};
use super::{ADAPTER_LATENCY_NS, Protocol, Setup, Window, Windowed};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Batch, Damage, LinkType, Notes};
use crate::time::Timestamp;
use memchr::memmem;
use rules::{LengthField, Rules};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "raw",
    help: "a framing of your own: packets by pause, delimiter or length",
    line: Line::at(115_200),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    link_type_of: Some(rules::link_type_of),
    settings: &rules::SETTINGS,
    check: rules::check,
    framer: |setup| {
        let rules = Rules::of(setup);
        match rules.length {
            Some(length) => Box::new(Hunter::new(Lengths { length, rules }, setup)),
            None => Box::new(Cut::new(rules, setup)),
        }
    },
    drop_lines: true,
    when_silent: "check rate and wiring",
    when_senseless: "check --start, --length-field and --check, and the rate",
    dissector: dissect::raw::words,
    provable: false,
    ..Protocol::PLAIN
};

/// Packets with their length in them.
#[derive(Debug)]
struct Lengths {
    length: LengthField,
    rules: Rules,
}

impl Format for Lengths {
    fn find(&self, octets: &[u8]) -> usize {
        match self.rules.start.first() {
            Some(first) => memchr::memchr(*first, octets).unwrap_or(octets.len()),
            None => 0,
        }
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        let start = &self.rules.start;
        let known = octets.len().min(start.len());
        if octets[..known] != start[..known] {
            return Judgement::Nothing;
        }
        if known < start.len() {
            return Judgement::More(None);
        }
        let Some(len) = self.length.read(octets) else { return Judgement::More(None) };
        let check = self.rules.check.as_ref();
        let least =
            self.length.end().max(start.len()).max(check.map_or(1, |check| check.min_len()));
        let Some(len) = usize::try_from(len).ok().filter(|len| *len >= least) else {
            return Judgement::Nothing;
        };
        match octets.get(..len) {
            _ if len > self.rules.max_len => Judgement::Nothing,
            None => Judgement::More(Some(len)),
            Some(packet) if check.is_none_or(|check| check.fits(packet)) => Judgement::Good(len),
            // Without a start any octets have some length.
            Some(_) if start.is_empty() => Judgement::Nothing,
            Some(_) => Judgement::Bad(len),
        }
    }

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        let original_len = notes.original_len + self.rules.head.len() as u32;
        out.push(&[&self.rules.head, frame], Notes { original_len, ..notes });
    }
}

/// Packets that follow one another, and end where the line pauses or with a delimiter.
#[derive(Debug)]
struct Cut {
    rules: Rules,
    window: Window,
    /// Up to here there is no delimiter in the held octets.
    searched: usize,
}

impl Cut {
    fn new(rules: Rules, setup: &Setup) -> Self {
        let window = Window::noting(setup, rules.gap_ns.unwrap_or(u64::MAX));
        Self { rules, window, searched: 0 }
    }

    /// Cuts off what can be; all of it if nothing follows (`closed`).
    fn take(&mut self, closed: bool, out: &mut Batch) {
        while !self.window.octets().is_empty() {
            let gap = self.window.pauses().next().map(|(ahead, _)| ahead);
            let burst = gap.unwrap_or(self.window.octets().len());
            let is_over = closed || gap.is_some();
            let ahead = self.to_start(burst, is_over);
            if ahead > 0 {
                self.window.skip(ahead);
                self.searched = 0;
            } else if let Some((len, damage)) = self.end(burst, is_over) {
                self.record(len, damage, out);
                self.searched = 0;
            } else {
                return;
            }
        }
    }

    /// How far it is to where a packet starts, or may do so, in the first `burst` octets.
    fn to_start(&self, burst: usize, is_over: bool) -> usize {
        let octets = &self.window.octets()[..burst];
        let start = &self.rules.start;
        if octets.starts_with(start) {
            return 0;
        }
        memmem::find(octets, start).unwrap_or_else(|| {
            let kept = if is_over { 0 } else { octets.len().min(start.len() - 1) };
            // The first octets of a start may be at the end.
            let tails = (octets.len() - kept)..octets.len();
            tails.into_iter().find(|at| start.starts_with(&octets[*at..])).unwrap_or(octets.len())
        })
    }

    /// How long the packet is that begins here, and what is wrong with it, if its end has come.
    fn end(&mut self, burst: usize, is_over: bool) -> Option<(usize, Damage)> {
        let octets = &self.window.octets()[..burst.min(self.rules.max_len)];
        let is_long = burst > self.rules.max_len;
        let is_cut = self.rules.start.len() > octets.len();
        if let Some(delimiter) = &self.rules.delimiter {
            let from = self.searched.max(self.rules.start.len()).min(octets.len());
            if let Some(at) = memmem::find(&octets[from..], delimiter) {
                return Some((from + at + delimiter.len(), Damage::NONE));
            }
            self.searched = octets.len().saturating_sub(delimiter.len() - 1);
        }
        let ends_by_itself = self.rules.delimiter.is_none() || self.rules.gap_ns.is_some();
        let damage = match () {
            () if is_long && self.rules.delimiter.is_some() => Damage::TOO_LONG,
            () if is_cut || !is_long && !ends_by_itself => Damage::TOO_SHORT,
            () => Damage::NONE,
        };
        (is_long || is_over).then_some((octets.len(), damage))
    }

    fn record(&mut self, len: usize, damage: Damage, out: &mut Batch) {
        let check = self.rules.check.as_ref();
        let packet = &self.window.octets()[..len];
        let damage = match check {
            Some(check) if damage.is_none() && packet.len() < check.min_len() => Damage::TOO_SHORT,
            Some(check) if damage.is_none() && !check.fits(packet) => Damage::CRC_ERROR,
            _ => damage,
        };
        let notes = if damage.is_none() { self.window.good(len) } else { self.window.damaged(len) };
        let taken = self.window.taken;
        let packet = &self.window.octets[taken - len..taken];
        out.push(&[&self.rules.head, packet], Notes { damage, ..notes });
    }
}

impl Windowed for Cut {
    fn window(&self) -> &Window {
        &self.window
    }

    fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    fn cut(&mut self, closed: bool, out: &mut Batch) {
        self.take(closed, out);
    }

    fn due(&self) -> Option<Timestamp> {
        let silence = self.window.deadline()?;
        // Octets that an adapter still has may have come without a pause.
        let pause = self.rules.gap_ns.map(|gap_ns| gap_ns.saturating_add(ADAPTER_LATENCY_NS));
        let pause = pause.map(|pause_ns| self.window.last_arrival.plus_ns(pause_ns));
        Some(pause.map_or(silence, |pause| pause.min(silence)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn setup(settings: &[(&'static str, &str)]) -> Setup {
        let mut setup = Setup::new(10_000); // 1 ms an octet
        setup.values.set("link-type", "147".into());
        settings.iter().for_each(|(name, value)| setup.values.set(name, (*value).to_owned()));
        setup
    }

    /// Chunks and how long after the one before each came; packets with their damage.
    fn packets(
        settings: &[(&'static str, &str)],
        chunks: &[(u64, &[u8])],
    ) -> Vec<(String, Damage)> {
        let run = |by_octet: bool| {
            let mut framer = (ROW.framer)(&setup(settings));
            let mut batch = Batch::new(0);
            let mut now = Timestamp::from_ns(1_000_000_000);
            for (ms, octets) in chunks {
                now = now.plus_ns(ms * MS);
                if by_octet {
                    for (left, octet) in (0..octets.len() as u64).rev().zip(*octets) {
                        framer.push(&[*octet], now.minus_ns(left * MS), &mut batch);
                    }
                } else {
                    framer.push(octets, now, &mut batch);
                }
            }
            framer.finish(&mut batch);
            let packets = batch.packets().map(|p| (p.data.escape_ascii().to_string(), p.damage));
            (packets.collect::<Vec<_>>(), framer.tally())
        };
        let whole = run(false);
        assert_eq!(run(true), whole);
        whole.0
    }

    fn good(text: &str) -> (String, Damage) {
        (text.to_owned(), Damage::NONE)
    }

    #[test]
    fn a_pause_ends_a_packet() {
        let chunks: [(u64, &[u8]); 4] = [(0, b"one"), (30, b"two"), (10, b"more"), (15, b"four")];
        assert_eq!(packets(&[], &chunks), [good("one"), good("twomore"), good("four")]);
        let all = [good("one"), good("two"), good("more"), good("four")];
        assert_eq!(packets(&[("gap", "35bit")], &chunks), all);
        assert_eq!(packets(&[("gap", "100ms")], &chunks), [good("onetwomorefour")]);
    }

    #[test]
    fn silence_is_a_pause_and_an_adapter_may_be_late() {
        let mut framer = (ROW.framer)(&setup(&[("gap", "5ms")]));
        let mut batch = Batch::new(0);
        let now = Timestamp::from_ns(1_000_000_000);
        framer.push(b"abc", now, &mut batch);
        assert_eq!(framer.deadline(), Some(now.plus_ns(21 * MS)));
        framer.expire(now.plus_ns(21 * MS), &mut batch);
        assert_eq!((batch.len(), framer.deadline()), (1, None));
    }

    #[test]
    fn a_delimiter_ends_a_packet_and_a_pause_does_if_asked() {
        let chunks: [(u64, &[u8]); 3] = [(0, b"one\r\ntw"), (50, b"o\r"), (9, b"\nthree")];
        let cut = ("three".to_owned(), Damage::TOO_SHORT);
        let lines = [("delimiter", "0d0a")];
        assert_eq!(packets(&lines, &chunks), [good(r"one\r\n"), good(r"two\r\n"), cut]);
        let both = [("delimiter", "0d0a"), ("gap", "20ms")];
        let expected = [good(r"one\r\n"), good("tw"), good(r"o\r\n"), good("three")];
        assert_eq!(packets(&both, &chunks), expected);
    }

    #[test]
    fn a_start_is_waited_for_and_the_rest_is_skipped() {
        let chunks: [(u64, &[u8]); 3] = [(0, b"xx<<one>yy<"), (1, b"<two>"), (1, b"z<")];
        let rules = [("start", "3c3c"), ("delimiter", "3e")];
        let found = packets(&rules, &chunks);
        assert_eq!(found, [good("<<one>"), good("<<two>")]);
    }

    #[test]
    fn what_is_longer_is_cut() {
        let chunks: [(u64, &[u8]); 1] = [(0, b"abcdefghij")];
        let found = packets(&[("max-length", "4")], &chunks);
        assert_eq!(found, [good("abcd"), good("efgh"), good("ij")]);
        let long = |text: &str| (text.to_owned(), Damage::TOO_LONG);
        let found = packets(&[("max-length", "4"), ("delimiter", "6a")], &chunks);
        assert_eq!(found, [long("abcd"), long("efgh"), good("ij")]);
    }

    #[test]
    fn a_length_says_where_it_ends() {
        let rules = [("start", "aa"), ("length-field", "1,1,be,3"), ("check", "xor8@-1")];
        let line: [(u64, &[u8]); 1] =
            [(0, b"no\xaa\x02hi\xa9\xaa\x01A\xea\xaa\x01B\xea\xaa\x01A\xea\xaa")];
        let bad = (r"\xaa\x01B\xea".to_owned(), Damage::CRC_ERROR);
        let one = good(r"\xaa\x01A\xea");
        assert_eq!(packets(&rules, &line), [good(r"\xaa\x02hi\xa9"), one.clone(), bad, one]);
    }

    #[test]
    fn a_check_is_judged_where_pauses_end_packets() {
        let chunks: [(u64, &[u8]); 4] = [(0, b"ab\x03"), (30, b"ab\x02"), (30, b""), (1, b"\0")];
        let found = packets(&[("check", "xor8@1..-1"), ("gap", "5ms")], &chunks);
        let wrong = |text: &str, damage| (text.to_owned(), damage);
        let expected = [
            wrong(r"ab\x03", Damage::CRC_ERROR),
            wrong(r"ab\x02", Damage::CRC_ERROR),
            wrong(r"\x00", Damage::TOO_SHORT),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_dissector_is_named_before_the_octets() {
        let mut setup = Setup { direction: crate::packet::Direction::Inbound, ..Setup::new(9_600) };
        setup.values.set("dissector", "mbrtu".into());
        let mut batch = Batch::new(0);
        let mut framer = (ROW.framer)(&setup);
        framer.push(b"x", Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        let expected = b"\0\x0c\0\x08mbrtu\0\0\0\0\x23\0\x04\0\0\0\x01\0\0\0\0x";
        assert_eq!(
            batch.packets().next().map(|packet| packet.data.to_vec()),
            Some(expected.to_vec())
        );
        assert_eq!(ROW.link_type(&setup), LinkType::WIRESHARK_UPPER_PDU);
        setup.values.set("link-type", "147".into());
        assert_eq!(ROW.link_type(&setup), LinkType(147));
    }
}
