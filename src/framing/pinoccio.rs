//! At256rfr2Sniffer and the Pinoccio Scout: IEEE 802.15.4 frames, each behind its length.
//!
//! ```text
//! text ... "SNIF" ( length N | PSDU (N, the last two are the FCS, low first) )*
//! ```
//!
//! Nothing else marks where a frame starts, so that one lost octet would shift all that
//! follows; and a bad FCS tells little, since the radio does not check it and damaged frames
//! are sent like good ones. Hence two states:
//!
//! - **in step**, from `SNIF` or a good frame on, the next octet is a length, and a frame with a
//!   bad FCS is recorded as a damaged one, as many as there are. If octets were lost in it, the
//!   next good frame or `SNIF` starts inside it, and the [`Hunter`] looks for that.
//! - **out of step**, at the start, and when there is no length where one is due, or text: only
//!   good frames count; all else is skipped, be it text or noise. `SNIF` leads back, or a good
//!   frame, but at the start, when text is to be expected, it takes [`FIRST_GOOD`].
//!
//! Text is told by its first [`TEXT_LEN`] octets, all of them printable or line ends, where a
//! frame has its length and the frame control field, whose upper octet is neither; and a good
//! FCS makes a frame of it all the same. Half of all octets are lengths, so that after a loss in a
//! run of nothing but damaged frames a few more come out in wrong pieces.
//!
//! In step a good frame is one whose FCS fits. Out of step and inside a damaged frame it must
//! also look like a frame ([`wpan::may_begin`]): an FCS alone fits at one position of 130,000 of
//! random octets, and in any run of zeros. So a frame of a rarer type than beacon, data,
//! acknowledgment and command is not found directly after lost octets, and while in step it is.
//!
//! Recorded is the PSDU with its FCS.

use super::hunt::{Format, Found, Hunter, Judgement};
use super::phrase::Phrases;
use super::{Channel, Dialogue, Protocol, Setup, Sniffer, wpan};
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;
use crate::time::Timestamp;
use std::ops::RangeInclusive;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "pinoccio",
    help: "IEEE 802.15.4 from At256rfr2Sniffer or a Pinoccio Scout",
    line: Line::at(115_200),
    link_type: LinkType::IEEE802_15_4_WITHFCS,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: false,
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(Start::new(setup))),
        channel: Channel::Optional,
        channels: 11..=26,
        takes_init: true,
        takes_interface: false,
    }),
    when_silent: "check that the sniffer runs, and the channel: there may be no traffic on it",
    when_senseless: "check the rate (-b), and that this is At256rfr2Sniffer",
    dissector: dissect::wpan::words,
    comment: false,
    proof: |_| 16,
    ..Protocol::PLAIN
};

/// What the sniffer says directly before the first frame.
const SNIF: &[u8] = b"SNIF";
/// Lengths: an octet and the FCS is the least.
const LENGTHS: RangeInclusive<u8> = 3..=wpan::MAX_PSDU as u8;
/// Octets that tell text from a frame with a bad FCS.
const TEXT_LEN: usize = 8;
/// Good frames that take the place of `SNIF`: this program came later than the sniffer.
const FIRST_GOOD: u8 = 3;

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Pinoccio> {
    Hunter::new(Pinoccio { step: Step::START }, setup)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// In step.
    In,
    /// Out of step; `needed` good frames lead in.
    Out { needed: u8 },
}

impl Step {
    const START: Self = Self::Out { needed: FIRST_GOOD };
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct Pinoccio {
    step: Step,
}

impl Format for Pinoccio {
    fn find(&self, octets: &[u8]) -> usize {
        // Where a length is due, nothing is looked for. Every eighth octet of noise may start a frame,
        // and a jump at each condition would cost more than the conditions.
        let may_start = |(first, second): (&u8, &u8)| {
            (LENGTHS.contains(first) & wpan::may_be_first(*second))
                | ((*first == SNIF[0]) & (*second == SNIF[1]))
        };
        let may_start_last = octets.last().is_some_and(|last| LENGTHS.contains(last));
        let at_end = octets.len() - usize::from(may_start_last);
        octets.iter().zip(octets.iter().skip(1)).position(may_start).unwrap_or(at_end)
    }

    fn is_due(&self) -> bool {
        self.step == Step::In
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        if let Step::Out { .. } = self.step {
            return self.judge_inside(octets);
        }
        if octets.starts_with(SNIF) {
            return Judgement::Mark(SNIF.len());
        }
        let Some(len) = frame_len(octets) else { return Judgement::Nothing };
        let is_text = octets.iter().take(TEXT_LEN).all(is_text);
        match octets.get(1..len) {
            None if is_text => Judgement::More(None),
            None => Judgement::More(Some(len)),
            Some(psdu) if wpan::fcs_fits(psdu) => Judgement::Good(len),
            Some(_) if is_text => Judgement::Nothing,
            Some(_) => Judgement::Bad(len),
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        if octets.starts_with(SNIF) {
            return Judgement::Mark(SNIF.len());
        }
        if SNIF.starts_with(octets) {
            return Judgement::More(None);
        }
        let Some(len) = frame_len(octets) else { return Judgement::Nothing };
        if !wpan::may_begin(&octets[1..], len - 1) {
            return Judgement::Nothing;
        }
        match octets.get(1..len) {
            None => Judgement::More(None),
            Some(psdu) if wpan::fcs_fits(psdu) => Judgement::Good(len),
            Some(_) => Judgement::Nothing,
        }
    }

    fn recorded<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[1..]
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.step = match (found, self.step) {
            (Found::Good, Step::Out { needed: needed @ 2.. }) => Step::Out { needed: needed - 1 },
            (Found::Good | Found::Mark, _) => Step::In,
            (Found::Nothing, Step::In) => Step::Out { needed: 1 },
            (Found::Damaged | Found::Nothing, step) => step,
        };
    }

    fn reset(&mut self) {
        self.step = Step::START;
    }
}

fn is_text(octet: &u8) -> bool {
    matches!(octet, b' '..=b'~' | b'\r' | b'\n' | b'\t')
}

/// Octets of a frame that starts here, its length octet included; `None` if that is none.
fn frame_len(octets: &[u8]) -> Option<usize> {
    octets.first().filter(|length| LENGTHS.contains(length)).map(|&length| 1 + usize::from(length))
}

/// How long the boot loader of an Arduino takes, which opening the port may start.
const BOOT_NS: u64 = 2_000_000_000;
/// The channel of At256rfr2Sniffer unless told otherwise.
const DEFAULT_CHANNEL: u8 = 20;

/// [`SNIF`], and what the sniffers say when they have booted: At256rfr2Sniffer, older and newer, and the
/// Scout.
const PHRASES: [&str; 4] =
    ["SNIF", "At256rfr2Sniffer", "packet sniffer starting", "Hello from Pinoccio"];

/// Makes the sniffer start, unless it runs already, and each time that it has booted.
#[derive(Debug)]
pub(super) struct Start {
    init: Vec<u8>,
    /// When to say it, if it is to be said.
    due: Option<Timestamp>,
    phrases: Phrases<{ PHRASES.len() }>,
}

impl Start {
    pub(super) fn new(setup: &Setup) -> Self {
        let init = match &setup.init {
            Some(init) => unescaped(init),
            None => format!("B250C{}!", setup.channel.unwrap_or(DEFAULT_CHANNEL)).into_bytes(),
        };
        Self { init, due: None, phrases: Phrases::new(PHRASES) }
    }
}

impl Dialogue for Start {
    fn start(&mut self, now: Timestamp) {
        self.phrases.reset();
        // An empty text is how the user says that nothing is to be said.
        self.due = (!self.init.is_empty()).then(|| now.plus_ns(BOOT_NS));
    }

    fn restart(&mut self, now: Timestamp) -> bool {
        let was_over = self.due.is_none() && !self.init.is_empty();
        if was_over {
            self.start(now);
        }
        was_over
    }

    /// A frame may have these words in it: a sniffer that runs does not mind being told again.
    fn hear(&mut self, octets: &[u8], now: Timestamp) -> bool {
        match self.phrases.heard(octets) {
            None => false,
            Some(0) => {
                self.due = None;
                false
            }
            Some(_) => self.restart(now),
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.due
    }

    fn say(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        self.due.take_if(|due| *due <= now).map(|_| self.init.clone())
    }
}

/// `text` with `\r`, `\n`, `\t` and `\\` replaced by what they stand for.
fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let meant = match rest {
            [b'\\', b'r', ..] => Some(b'\r'),
            [b'\\', b'n', ..] => Some(b'\n'),
            [b'\\', b't', ..] => Some(b'\t'),
            [b'\\', b'\\', ..] => Some(b'\\'),
            _ => None,
        };
        out.push(meant.unwrap_or(first));
        rest = if meant.is_some() { &after[1..] } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Framer, SILENCE_NS};
    use super::*;
    use crate::packet::{Batch, Damage, Tally};

    const SETUP: Setup = Setup::new(115_200);

    /// `octets` behind their length.
    fn prefixed(octets: &[u8]) -> Vec<u8> {
        [&[octets.len() as u8][..], octets].concat()
    }

    /// A PSDU with its FCS.
    fn psdu(octets: &[u8]) -> Vec<u8> {
        [octets, &wpan::FCS.checksum(octets).to_le_bytes()].concat()
    }

    /// Data number `number` with this payload.
    fn data(number: u8, payload: &[u8]) -> Vec<u8> {
        psdu(&[&[0x41, 0x88, number, 0xcd, 0xab, 0xff, 0xff, 0x34, 0x12][..], payload].concat())
    }

    /// The same with a wrong FCS.
    fn bad(number: u8, payload: &[u8]) -> Vec<u8> {
        let mut psdu = data(number, payload);
        let last = psdu.len() - 1;
        psdu[last] ^= 0x40;
        psdu
    }

    fn line(psdus: &[&[u8]]) -> Vec<u8> {
        psdus.iter().flat_map(|psdu| prefixed(psdu)).collect()
    }

    type Recorded = (Vec<u8>, Damage, u32);

    fn good(psdu: &[u8]) -> Recorded {
        (psdu.to_vec(), Damage::NONE, psdu.len() as u32)
    }

    fn crc_error(psdu: &[u8]) -> Recorded {
        (psdu.to_vec(), Damage::CRC_ERROR, psdu.len() as u32)
    }

    /// Pushes `octets` one by one and all at once, checks that it makes no difference, and
    /// returns what is recorded.
    fn frames(octets: &[u8]) -> (Vec<Recorded>, Tally) {
        let run = |chunk: usize| {
            let mut framer = framer(&SETUP);
            let mut batch = Batch::new(0);
            for octets in octets.chunks(chunk) {
                framer.push(octets, Timestamp::from_ns(1_000_000_000), &mut batch);
            }
            framer.finish(&mut batch);
            let frames: Vec<Recorded> =
                batch.packets().map(|p| (p.data.to_vec(), p.damage, p.original_len)).collect();
            (frames, framer.tally())
        };
        let whole = run(octets.len());
        assert_eq!(run(1), whole);
        whole
    }

    #[test]
    fn frames_after_snif_are_recorded_without_their_length() {
        let ack = [0x02, 0x00, 0x07, 0x07, 0xc1];
        assert_eq!(ack[..], psdu(&ack[..3]));
        let text = b"Setting channel: 20\r\nStarting capture with binary output\r\nSNIF";
        let (frames, tally) = frames(
            &[&text[..], &[5, 0x02, 0x00, 0x07, 0x07, 0xc1], &line(&[&data(1, b"x")])].concat(),
        );
        assert_eq!(frames, [good(&ack), good(&data(1, b"x"))]);
        assert_eq!(tally.skipped_octets, text.len() as u64);
        assert_eq!(tally.good_octets, 6 + 13);
    }

    #[test]
    fn the_first_frame_after_snif_may_be_a_damaged_one() {
        let line = [SNIF, &line(&[&bad(1, b"abc"), &data(2, b"")])].concat();
        assert_eq!(frames(&line).0, [crc_error(&bad(1, b"abc")), good(&data(2, b""))]);
    }

    #[test]
    fn any_octets_with_an_fcs_are_a_frame_in_step() {
        let odd = psdu(&[0xff; 125]);
        let zeros = [0; 10];
        let least = psdu(&[9]);
        let line = [SNIF, &line(&[&odd, &zeros, &least])].concat();
        assert_eq!(frames(&line).0, [good(&odd), good(&zeros), good(&least)]);
    }

    #[test]
    fn without_snif_damaged_frames_count_from_the_third_good_one_on() {
        let [a, b, c, d] = [1, 2, 3, 4].map(|number| data(number, b"hello"));
        let damaged = bad(9, b"there");
        let line = line(&[&damaged, &a, &damaged, &b, &damaged, &c, &damaged, &d]);
        assert_eq!(frames(&line).0, [good(&a), good(&b), good(&c), crc_error(&damaged), good(&d)]);
    }

    #[test]
    fn text_is_no_frame() {
        let text = b"At256rfr2Sniffer\r\nB<rate>: 250, 500, 1000, 2000 kbps (default 250)\r\n\
                     C<channel>: 11 - 26 (default 20)\r\n!: binary, #: text\r\n";
        let (frames, tally) = frames(text);
        assert_eq!(frames, []);
        assert_eq!(tally.skipped_octets, text.len() as u64);
    }

    #[test]
    fn most_text_does_not_wait_for_more() {
        let mut framer = framer(&SETUP);
        let mut batch = Batch::new(0);
        let text = b"Starting capture with binary output\r\nSNIF";
        framer.push(text, Timestamp::default(), &mut batch);
        assert_eq!(framer.deadline(), None);
        assert_eq!(framer.tally().skipped_octets, text.len() as u64);
    }

    #[test]
    fn a_lost_octet_costs_one_frame() {
        let [a, b, c] = [1, 2, 3].map(|number| data(number, b"some payload"));
        let whole = line(&[&a, &b, &c]);
        for lost in 0..prefixed(&a).len() {
            let mut line = [SNIF, &whole].concat();
            line.remove(SNIF.len() + lost);
            let (frames, tally) = frames(&line);
            assert_eq!(frames[frames.len() - 2..], [good(&b), good(&c)], "without octet {lost}");
            assert_eq!(tally.good_frames, 2);
            assert!(tally.damaged_frames <= 2);
        }
    }

    #[test]
    fn a_frame_inside_a_damaged_one_must_look_like_one() {
        // The FCS of zeros is zero.
        let damaged = bad(1, &[&[5; 20][..], &[0; 20]].concat());
        let line = [SNIF, &line(&[&damaged, &data(2, b"")])].concat();
        assert_eq!(frames(&line).0, [crc_error(&damaged), good(&data(2, b""))]);
    }

    #[test]
    fn nothing_is_found_inside_a_good_frame() {
        let outer = data(1, &line(&[&data(2, b"inner"), &data(3, b"inner")]));
        assert_eq!(frames(&[SNIF, &line(&[&outer])].concat()).0, [good(&outer)]);
    }

    #[test]
    fn any_number_of_damaged_frames_is_recorded_while_lengths_chain() {
        for damaged in [bad(1, b"abc"), bad(2, b"a text of a few more words"), vec![0xff; 127]] {
            let all = line(&vec![&damaged[..]; 200]);
            let (recorded, tally) = frames(&[SNIF, &all].concat());
            assert_eq!(recorded, vec![crc_error(&damaged); 200]);
            assert_eq!((tally.skipped_octets, tally.damaged_octets), (4, all.len() as u64));
            assert_eq!(tally.damaged_frames, 200);
        }
    }

    #[test]
    fn where_no_length_is_due_to_come_only_good_frames_count() {
        let damaged = bad(1, b"abc");
        for no_length in [0, 1, 2, 128, 255] {
            let all = [SNIF, &line(&[&damaged]), &[no_length], &line(&[&damaged[..]; 3])].concat();
            let (recorded, tally) = frames(&all);
            assert_eq!(recorded, [crc_error(&damaged)]);
            assert_eq!(tally.skipped_octets, 4 + 1 + 3 * prefixed(&damaged).len() as u64);
            let back = line(&[&data(2, b""), &damaged]);
            let (recorded, _) = frames(&[&all[..], &back].concat());
            assert_eq!(recorded[1..], [good(&data(2, b"")), crc_error(&damaged)]);
        }
    }

    #[test]
    fn text_between_frames_is_skipped_after_a_reset_too() {
        let banner = b"\r\n802.15.4 packet sniffer starting...\r\n - To configure bitrate, send \
            e.g.: B250\r\n   Supported bitrates: 250, 500, 1000, 2000 (default 250 kb/s)\r\n";
        let (a, b, damaged) = (data(1, b"x"), data(2, b"y"), bad(3, b"z"));
        let all = [SNIF, &line(&[&a]), banner, SNIF, &line(&[&damaged, &b])].concat();
        let (recorded, tally) = frames(&all);
        assert_eq!(recorded, [good(&a), crc_error(&damaged), good(&b)]);
        assert_eq!(tally.skipped_octets as usize, banner.len() + 2 * SNIF.len());
        // What was cut off by the reset goes as far as its length says.
        let cut = &prefixed(&bad(4, &[9; 40]))[..30];
        let all = [SNIF, cut, banner, SNIF, &line(&[&damaged, &b])].concat();
        let (recorded, tally) = frames(&all);
        assert_eq!(recorded[1..], [crc_error(&damaged), good(&b)]);
        assert_eq!(tally.damaged_frames, 2);
        // Nor is it a frame if nothing follows for long.
        let mut framer = framer(&SETUP);
        let mut batch = Batch::new(0);
        for octets in [&[SNIF, &line(&[&a])].concat()[..], b"a word\r\n"] {
            framer.push(octets, Timestamp::default(), &mut batch);
        }
        framer.finish(&mut batch);
        assert_eq!((batch.len(), framer.tally().damaged_frames), (1, 0));
    }

    #[test]
    fn snif_ends_a_damaged_frame() {
        let damaged = bad(3, b"z");
        let cut = &prefixed(&bad(4, &[9; 40]))[..30];
        let (recorded, _) = frames(&[SNIF, cut, SNIF, &line(&[&damaged, &damaged])].concat());
        let shown: Vec<_> = recorded.iter().map(|(data, damage, _)| (&data[..], *damage)).collect();
        let whole = (&damaged[..], Damage::CRC_ERROR);
        assert_eq!(shown, [(&cut[1..], Damage::TOO_SHORT), whole, whole]);
    }

    #[test]
    fn snif_leads_back_after_a_reset_of_the_board() {
        let help = [b"help ".as_slice(); 100].concat();
        let line = [SNIF, &help, SNIF, &line(&[&bad(1, b"abc"), &data(1, b"")])].concat();
        let (frames, _) = frames(&line);
        assert_eq!(frames[frames.len() - 2..], [crc_error(&bad(1, b"abc")), good(&data(1, b""))]);
    }

    #[test]
    fn lengths_that_cannot_be_are_skipped() {
        let frame = line(&[&data(1, b"")]);
        let (frames, tally) = frames(&[SNIF, &[0, 2, 128, 255], &frame].concat());
        assert_eq!(frames, [good(&data(1, b""))]);
        assert_eq!(tally.skipped_octets, 4 + 4);
    }

    #[test]
    fn silence_ends_a_frame_and_the_next_octet_is_a_length() {
        let mut framer = framer(&SETUP);
        let mut batch = Batch::new(0);
        let now = Timestamp::from_ns(1_000_000_000);
        framer.push(SNIF, now, &mut batch);
        assert_eq!(framer.deadline(), None);
        framer.push(&prefixed(&data(1, b"abc"))[..6], now, &mut batch);
        assert_eq!(framer.deadline(), Some(now.plus_ns(SILENCE_NS)));
        framer.expire(now.plus_ns(SILENCE_NS), &mut batch);
        assert_eq!(framer.deadline(), None);
        framer.push(&prefixed(&bad(2, b"")), now.plus_ns(2 * SILENCE_NS), &mut batch);
        framer.finish(&mut batch);
        let frames: Vec<_> = batch.packets().map(|p| (p.data, p.damage, p.original_len)).collect();
        assert_eq!(
            frames,
            [
                (&data(1, b"")[..5], Damage::TOO_SHORT, 14),
                (&bad(2, b"")[..], Damage::CRC_ERROR, 11),
            ]
        );
    }

    #[test]
    fn a_closed_line_forgets_the_step() {
        let mut framer = framer(&SETUP);
        let mut batch = Batch::new(0);
        framer.push(SNIF, Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        framer.push(&prefixed(&bad(1, b"abc")), Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        assert_eq!(batch.len(), 0);
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_sniffer_is_started_once_after_its_boot_loader() {
        let mut start = Start::new(&Setup { channel: Some(11), ..SETUP });
        let now = Timestamp::from_ns(SECOND);
        assert_eq!(start.deadline(), None);
        start.start(now);
        start.hear(b"At256rfr2Sniffer\r\n", now);
        assert_eq!(start.say(now), None);
        assert_eq!(start.deadline(), Some(now.plus_ns(2 * SECOND)));
        assert_eq!(start.say(now.plus_ns(2 * SECOND)), Some(b"B250C11!".to_vec()));
        assert_eq!(start.deadline(), None);
        assert_eq!(start.say(now.plus_ns(9 * SECOND)), None);
        assert!(!start.hear(b"Setting channel: 11\r\nSNIF", now));
        start.start(now);
        assert_eq!(start.say(now.plus_ns(2 * SECOND)), Some(b"B250C11!".to_vec()));
    }

    #[test]
    fn a_running_sniffer_is_told_nothing() {
        let mut start = Start::new(&SETUP);
        start.start(Timestamp::default());
        for octet in b"output\r\nSNIF" {
            start.hear(&[*octet], Timestamp::default());
        }
        assert_eq!(start.deadline(), None);
        assert_eq!(start.say(Timestamp::from_ns(9 * SECOND)), None);
    }

    #[test]
    fn a_sniffer_that_has_booted_again_is_started_again() {
        let now = Timestamp::from_ns(SECOND);
        for banner in PHRASES[1..].iter().map(|banner| banner.as_bytes()) {
            let mut start = Start::new(&SETUP);
            start.start(now);
            assert!(!start.hear(banner, now), "it is waited for");
            assert!(start.say(now.plus_ns(2 * SECOND)).is_some());
            for round in 10..13 {
                let now = Timestamp::from_ns(round * SECOND);
                assert!(!start.hear(b"SNIF\x05", now));
                let heard: Vec<_> = banner.iter().map(|octet| start.hear(&[*octet], now)).collect();
                assert_eq!(heard.iter().filter(|heard| **heard).count(), 1);
                assert_eq!(start.deadline(), Some(now.plus_ns(2 * SECOND)));
                assert!(start.say(now.plus_ns(2 * SECOND)).is_some());
            }
        }
        let mut silent = Start::new(&Setup { init: Some(String::new()), ..SETUP });
        silent.start(now);
        assert!(!silent.hear(PHRASES[1].as_bytes(), now) && !silent.restart(now));
    }

    #[test]
    fn the_user_may_say_something_else_or_nothing() {
        let said = |init: Option<&str>| {
            let mut start = Start::new(&Setup { init: init.map(str::to_owned), ..SETUP });
            start.start(Timestamp::default());
            start.say(Timestamp::from_ns(2 * SECOND))
        };
        assert_eq!(said(None), Some(b"B250C20!".to_vec()));
        assert_eq!(
            said(Some(r#"module.enable("sniffer"); sniffer.start(1);\r\n"#)),
            Some(b"module.enable(\"sniffer\"); sniffer.start(1);\r\n".to_vec())
        );
        assert_eq!(said(Some(r"\t\\n\x\")), Some(b"\t\\n\\x\\".to_vec()));
        assert_eq!(said(Some("")), None);
    }
}
