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
//! all text does. A header so damaged that its first 18 characters are not there is just
//! text. The next packet is told how many octets were skipped, if among them was anything but
//! line ends and prompts. Of a good record all octets from its header to its data's LF are
//! good ones.
//!
//! A packet is dated by `rx_time`, as [`super::device_clock`] says. The sniffer has restarted
//! when it says so ([`BANNER`]), or its clock has fallen back.
//!
//! Work per octet: text is compared with the 18 characters of [`MARK`], and an octet of a
//! header line or a data line is read three more times. Only input crafted for it has marks
//! inside a header line; those are at least 18 octets apart, which makes 7 readings of it.
//! Memory: [`MAX_HEADER`] and two [`MAX_DATA`] and a chunk.

mod header;
mod ifconfig;

pub(super) use ifconfig::Ifconfig;

use super::device_clock::DeviceClock;
use super::phrase::Phrases;
use super::{Channel, Protocol, Setup, Sniffer, Window, Windowed, wpan};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Batch, Damage, LinkType, Notes};
use crate::time::Timestamp;
use header::{Header, KNOWN, Widths, parse_data, parse_header};
use memchr::memmem;
use std::mem;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "riot",
    help: "IEEE 802.15.4 from RIOT's sniffer application",
    line: Line::at(115_200),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Riot::new(setup)),
    drop_lines: false,
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(Ifconfig::new(setup))),
        channel: Channel::Required,
        channels: 0..=26, // 0 to 10 are below 1 GHz
        takes_init: false,
        takes_interface: true,
    }),
    when_silent: "check that the sniffer runs, and the channel: there may be no traffic on it",
    when_senseless: "check the rate (-b), and that this is RIOT's sniffer application",
    dissector: dissect::wpan::tap_words,
    comment: false,
    proof: |_| 64,
    ..Protocol::PLAIN
};

/// What RIOT says when it has booted. Other text of its may tell of networks, but not this.
const BANNER: &str = "This is RIOT!";
/// `rx_time` counts microseconds. Of its 64 bits some boards count 32, so the lower ones
/// are what all have.
const CLOCK_BITS: u32 = 32;
const CLOCK_HZ: u64 = 1_000_000;

/// What a header begins with.
const MARK: &[u8] = b"rftest-rx --- len ";
/// Octets of a header line before its LF; 58 in both layouts.
const MAX_HEADER: usize = 128;
/// Octets of a data line before its LF; 127 of `0x41 ` and a few prompts are far less.
const MAX_DATA: usize = 1024;
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
enum TextLine {
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
    clock: DeviceClock,
    banner: Phrases<1>,
    restarted: bool,
    /// Whether what was skipped since the last record is more than line ends and prompts.
    strange: bool,
}

impl Riot {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            window: Window::new(setup),
            channel: setup.channel,
            held: Held::Text,
            searched: 0,
            widths: None,
            refused: None,
            spaced: false,
            clock: DeviceClock::new(CLOCK_BITS, CLOCK_HZ, setup.timed),
            banner: Phrases::new([BANNER]),
            restarted: false,
            strange: false,
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
                    TextLine::To(end) => self.read_header(end),
                    TextLine::Endless => self.lose(MARK.len()),
                    TextLine::Open => return,
                },
                Held::Record { header, line, blank } => match self.line(line, MAX_DATA, closed) {
                    TextLine::To(end) => self.read_data(header, line, blank, end, out),
                    TextLine::Endless => self.lose(line),
                    TextLine::Open => return,
                },
            }
        }
    }

    /// Skips text up to the next [`MARK`], or up to what may become one.
    fn find_mark(&mut self) -> bool {
        let octets = self.window.octets();
        if let Some(ahead) = memmem::find(octets, MARK) {
            self.skip_text(ahead);
            self.held = Held::HeaderLine;
            return true;
        }
        let part = (1..MARK.len()).rev().find(|&len| octets.ends_with(&MARK[..len]));
        self.skip_text(octets.len() - part.unwrap_or(0));
        false
    }

    /// The first `len` octets are no record, nor part of one.
    fn skip_text(&mut self, len: usize) {
        let text = &self.window.octets()[..len];
        self.strange = self.strange || !text.iter().all(|octet| b"\r\n> ".contains(octet));
        if self.strange && self.banner.heard(text).is_some() {
            self.restarted = true;
            self.clock.reset();
        }
        self.window.skip(len);
    }

    /// How far the line goes that begins at `start`.
    fn line(&mut self, start: usize, max_len: usize, closed: bool) -> TextLine {
        let octets = self.window.octets();
        let from = self.searched.max(start);
        let to = octets.len().min(start + max_len + 1);
        match octets[from..to].iter().position(|&octet| octet == b'\n') {
            Some(ahead) => TextLine::To(from + ahead),
            None if closed || to > start + max_len => TextLine::Endless,
            None => {
                self.searched = to;
                TextLine::Open
            }
        }
    }

    /// The record that is held will be no packet. What follows its first `len` octets may
    /// have another.
    fn lose(&mut self, len: usize) {
        self.window.skip(len);
        self.banner.reset();
        self.strange = true;
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
            self.clock.reset();
        }
        let time = self.clock.time_of(header.rx_us, self.window.time_of(0));
        self.restarted |= self.clock.restarted();
        let skipped = mem::take(&mut self.window.skipped_run);
        let notes = Notes {
            time: self.window.in_order(time),
            original_len: 0,
            skipped_before: if mem::take(&mut self.strange) { skipped } else { 0 },
            damage: Damage::NONE,
            pause_ms: self.window.pause_ms(end + 1),
            errors: self.window.errors(end + 1),
            ..Notes::default()
        };
        let tap =
            wpan::Tap { channel: self.channel, lqi: Some(header.lqi), ..wpan::Tap::default() };
        out.push(&[&tap.header(), psdu], notes);
        self.banner.reset();
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

impl Windowed for Riot {
    fn window(&self) -> &Window {
        &self.window
    }

    fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    fn cut(&mut self, closed: bool, out: &mut Batch) {
        self.read(closed, out);
    }

    fn due(&self) -> Option<Timestamp> {
        match self.held {
            Held::Text => None,
            Held::HeaderLine | Held::Record { .. } => self.window.deadline(),
        }
    }

    fn forget(&mut self) {
        self.window.skip(self.window.octets().len());
        self.widths = None;
        self.refused = None;
        self.spaced = false;
        self.clock.reset();
        self.banner.reset();
    }

    fn set_channel(&mut self, channel: Option<u8>) {
        self.channel = channel;
    }

    fn has_restarted(&mut self) -> bool {
        mem::take(&mut self.restarted)
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

#[cfg(test)]
mod tests {
    use super::super::Framer;
    use super::super::SILENCE_NS;
    use super::*;
    use crate::packet::Tally;

    const SECOND: u64 = 1_000_000_000;
    const SETUP: Setup = {
        let mut setup = Setup::new(115_200);
        setup.channel = Some(26);
        setup
    };

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
        let deadline = now.plus_ns(SILENCE_NS);
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
        let mut framer = Riot::new(&Setup { line: Line::at(10_000_000), ..SETUP }); // 1 us an octet
        let mut batch = Batch::new(0);
        let text = ["> ", &record(10), &record(13), &record(250)].concat();
        framer.push(text.as_bytes(), Timestamp::from_ns(SECOND), &mut batch);
        let anchor = SECOND - (text.len() as u64 - 2) * 1000;
        let times: Vec<u64> = batch.packets().map(|p| p.time.as_ns() - anchor).collect();
        // The third cannot have come later than its text.
        assert_eq!(times, [0, 3_000, 140_000]);
    }

    #[test]
    fn times_never_run_backwards() {
        let mut framer = Riot::new(&SETUP);
        let mut batch = Batch::new(0);
        // A burst, which takes the time far ahead, and a restart.
        let text = [record(1), record(2).replace("time 000000000", "time 000000001"), record(3)];
        framer.push(text.concat().as_bytes(), Timestamp::from_ns(SECOND), &mut batch);
        assert!(batch.packets().map(|packet| packet.time).is_sorted());
        assert!(batch.packets().all(|packet| packet.time.as_ns() < SECOND));
    }

    #[test]
    fn without_arrivals_a_burst_keeps_its_spacing() {
        let mut framer = Riot::new(&Setup { timed: false, ..SETUP });
        let mut batch = Batch::new(0);
        let text = [record(1), record(2).replace("time 000000000", "time 000000001"), record(3)];
        framer.push(text.concat().as_bytes(), Timestamp::from_ns(SECOND), &mut batch);
        let times: Vec<u64> = batch.packets().map(|packet| packet.time.as_ns()).collect();
        assert_eq!(times[1] - times[0], 0x1000_0001 * 1000);
        assert_eq!(times[2], times[1]);
    }

    #[test]
    fn a_restart_is_told_once_whether_by_banner_or_clock() {
        let restarts = |text: &str| {
            let mut framer = Riot::new(&SETUP);
            let mut batch = Batch::new(0);
            let mut count = 0;
            for octets in text.as_bytes().chunks(3) {
                framer.push(octets, Timestamp::from_ns(SECOND), &mut batch);
                count += u32::from(framer.restarted());
            }
            count
        };
        let up = |number| record(number).replace("time 000000000", "time 000000001");
        let banner = "\r\nmain(): This is RIOT! (Version: 2026.01)\r\n> ";
        let [a, b, c, d] = [up(1), up(2), record(1), record(2)];
        assert_eq!(restarts(&[&a[..], &b, &a, &b].concat()), 0);
        assert_eq!(restarts(&[&a[..], &b, banner, &c, &d].concat()), 1);
        assert_eq!(restarts(&[&a[..], &b, &c, &d].concat()), 1);
        assert_eq!(restarts(&[&a[..], banner, banner].concat()), 2);
        // Inside of a record that it cuts off.
        assert_eq!(restarts(&[&a[..], &b, &a[..70], banner, &c, &d].concat()), 1);
        assert_eq!(restarts(&[&a[..], &b, &a[..30], banner, &c, &d].concat()), 1);
    }

    #[test]
    fn what_was_lost_is_told_with_the_next_packet() {
        let skipped = |text: &str| {
            let run = |chunk: usize| {
                let mut framer = Riot::new(&SETUP);
                let mut batch = Batch::new(0);
                for octets in text.as_bytes().chunks(chunk) {
                    framer.push(octets, Timestamp::from_ns(SECOND), &mut batch);
                }
                framer.finish(&mut batch);
                batch.packets().map(|packet| packet.skipped_before).collect::<Vec<_>>()
            };
            assert_eq!(run(1), run(text.len()));
            run(1)
        };
        let [a, b, c] = [1, 2, 3].map(record);
        assert_eq!(skipped(&[&a[..], "\r\n> > ", &b, &c].concat()), [0, 0, 0]);
        let blank = 1; // after the record before
        let sized = |len: usize| a.replace("len 00000003", &format!("len {len:08X}"));
        let long = sized(128).replace("01 01 01 ", &"01 ".repeat(128));
        let none = sized(0).replace("01 01 01 ", "");
        for lost in
            [&b[..30], &b[3..], &b[..b.len() - 5], &b[..58], &b[59..], &long, &none, "log\n"]
        {
            let told = (blank + lost.len()) as u32;
            assert_eq!(skipped(&[&a[..], lost, &c].concat()), [0, told], "{lost}");
            assert_eq!(skipped(&[&a[..], lost, &c, &c].concat()), [0, told, 0], "{lost}");
        }
        assert_eq!(skipped(&["boot ", &a].concat()), [5]);
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

    #[test]
    fn a_line_of_just_the_greatest_length_is_read() {
        let with_prompts = |count: usize| {
            let prompts = "> ".repeat(count);
            record(7).replace("\n07 07 07 ", &format!("\n{prompts}07 07 07"))
        };
        assert_eq!(MAX_DATA, 2 * 508 + "07 07 07".len());
        assert_eq!(numbers(with_prompts(508)), [7]);
        assert_eq!(numbers(with_prompts(509)), [0; 0]);
    }
}
