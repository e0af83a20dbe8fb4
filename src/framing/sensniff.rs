//! Contiki-NG's sensniff, and what came before it: IEEE 802.15.4 frames behind a magic number.
//!
//! ```text
//! C1 1F FE 72 | 02 | command | length (2, high first) | payload        Contiki-NG
//!                    00 frame: PSDU without FCS, RSSI (i8, dBm), 80 | LQI (7 bits)
//!                    01 channel, 02 lowest, 03 highest channel; 7F not supported
//! C1 1F FE 72 | 01 | command | length (1) | payload                    Freaklabs chibi_ex10
//!                    00 frame: PSDU, and its FCS behind the octets counted; 01 channel
//! C1 1F FE 72 or "Snif" | length (1, not 1 or 2) | frame               older ones
//! ```
//!
//! Text may stand between records. There is no check sequence: in what is taken for a record that
//! was not shown by its FCS, the magic number tells that the record's end was lost. (So a frame
//! sent over the air that has the magic number in it is not recorded.) A record that ends like the
//! beginning of a magic number waits for the next octet.
//!
//! The FCS is there where it fits; otherwise its place has RSSI and the octet that says by its upper
//! bit whether the FCS was right, as the radios of TI's CC24xx and CC25xx do.

use super::records::{Format, Heard, Judgement, Records, find_mark};
use super::script::{Script, Step, Words};
use super::wpan::{self, Fcs, MAX_PSDU, Tap};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;
use memchr::memmem;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "sensniff",
    help: "IEEE 802.15.4 from Contiki-NG's sensniff, or an older one",
    line: Line::at(460_800),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Sensniff, setup)),
    drop_lines: false,
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(dialogue(setup))),
        channel: Channel::Optional,
        channels: 11..=26,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check that the sniffer runs, and the channel: there may be no traffic on it",
    when_senseless: "check the rate (-b; Freaklabs: 57600), and that this is sensniff",
    dissector: dissect::wpan::tap_words,
    proof: |_| 32,
    ..Protocol::PLAIN
};

const MAGIC: &[u8] = &[0xc1, 0x1f, 0xfe, 0x72];
const OLD_MAGIC: &[u8] = b"Snif";
const MARKS: [&[u8]; 2] = [MAGIC, OLD_MAGIC];

const FRAME: u8 = 0x00;
const CHANNEL: u8 = 0x01;
const HIGHEST: u8 = 0x03;
const NOT_SUPPORTED: u8 = 0x7f;
const SET_CHANNEL: u8 = 0x84;

/// Octets of FCS, or of what stands in its place.
const TRAILER: usize = 2;

/// The format.
#[derive(Debug)]
struct Sensniff;

impl Format for Sensniff {
    fn find(&self, octets: &[u8]) -> usize {
        find_mark(octets, &MARKS)
    }

    fn judge(&self, octets: &[u8], closed: bool) -> Judgement {
        if !MARKS.iter().any(|mark| octets.starts_with(mark)) {
            let may_be = MARKS.iter().any(|mark| mark.starts_with(octets));
            return if may_be { Judgement::Perhaps } else { Judgement::Nothing };
        }
        let lost = Judgement::Lost(MAGIC.len());
        match (&octets[MAGIC.len()..], octets.starts_with(MAGIC)) {
            ([], _) | ([1], true) => Judgement::Open,
            ([2, rest @ ..], true) => match *rest {
                [FRAME, high, low, ..] => {
                    frame(octets, 8, usize::from(high) << 8 | usize::from(low), 0, closed)
                }
                [CHANNEL..=HIGHEST, 0, 1, _, ..] => Judgement::Message(9),
                [NOT_SUPPORTED, 0, 0, ..] => Judgement::Message(8),
                [_, _, _, _, ..] => lost,
                _ => Judgement::Open,
            },
            ([1, rest @ ..], true) => match *rest {
                [FRAME, len, ..] => frame(octets, 7, len.into(), TRAILER, closed),
                [CHANNEL, 1, _, ..] => Judgement::Message(8),
                [_, _, _, ..] => lost,
                _ => Judgement::Open,
            },
            ([len, ..], _) => frame(octets, 5, (*len).into(), 0, closed),
        }
    }
}

/// A frame of `len` octets that begins `at`, and `uncounted` ones.
fn frame(octets: &[u8], at: usize, len: usize, uncounted: usize, closed: bool) -> Judgement {
    if !(1 + TRAILER..=MAX_PSDU).contains(&(len + uncounted)) {
        return Judgement::Lost(MAGIC.len());
    }
    let end = at + len + uncounted;
    let Some(psdu) = octets.get(at..end) else { return Judgement::Open };
    let has_fcs = wpan::fcs_fits(psdu);
    if !has_fcs {
        // Its end was lost where another record begins.
        let again = find_mark(psdu, &MARKS[..1]);
        match &octets[at + again..] {
            [] => {}
            rest if again < psdu.len() && rest.starts_with(MAGIC) => {
                return Judgement::Lost(at + again);
            }
            rest if again < psdu.len() && MAGIC.starts_with(rest) && !closed => {
                return Judgement::Open;
            }
            _ => {}
        }
    }
    let (frame, trailer) = psdu.split_at(psdu.len() - TRAILER);
    if has_fcs || uncounted > 0 {
        let tap = Tap { fcs: Fcs::Crc16, ..Tap::default() };
        let heard = Heard { tap, psdu: psdu.to_vec(), is_damaged: !has_fcs, ..Heard::default() };
        return Judgement::Record(end, heard);
    }
    let tap = Tap {
        rssi_dbm: Some(f32::from(trailer[0].cast_signed())),
        lqi: Some(trailer[1] & 0x7f),
        ..Tap::default()
    };
    let is_damaged = trailer[1] & 0x80 == 0;
    Judgement::Record(end, Heard { tap, psdu: frame.to_vec(), is_damaged, count: None })
}

/// It sniffs as soon as it has booted; only its channel is told, if the user names one.
fn dialogue(setup: &Setup) -> Script {
    let message = |command: u8, channel: u8| [MAGIC, &[2, command, 0, 1, channel]].concat();
    let tuned =
        |channel| Step::answered(message(SET_CHANNEL, channel), [message(CHANNEL, channel)]);
    Script::new(Words {
        name: "Contiki-NG's sensniff",
        boot_ns: 1_000_000_000,
        steps: setup.channel.map(tuned).into_iter().collect(),
        refusal: |heard| {
            let refusal = [MAGIC, &[2, NOT_SUPPORTED, 0, 0]].concat();
            memmem::find(heard, &refusal).map(|_| "not supported".to_owned())
        },
        stop: Vec::new(),
    })
}
