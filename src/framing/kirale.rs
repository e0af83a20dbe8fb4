//! Kirale's KTDG dongle as a sniffer: IEEE 802.15.4 frames behind a magic number.
//!
//! ```text
//! C1 1F FE 72 | length (2) | time (4, symbols)              | PSDU      all high octet first
//! "SNIF"      | length (2) | time (8, symbols)              | PSDU
//! B8 97 8C 97 | length (2) | RSSI (i8, dBm) | LQI | time (6, symbols) | PSDU
//! C0 97 8C 97 | length (2) | RSSI (i8, dBm) | LQI | time (6, us)      | PSDU
//! ```
//!
//! The length is that of the PSDU, which ends in its FCS. If that is wrong, and a record begins
//! inside, the first one's end was lost; otherwise the frame is recorded as a damaged one. A symbol is
//! 16 microseconds. Between records there may be text of the dongle's shell.

use super::records::{Format, Heard, Judgement, Records, Ticks, find_mark};
use super::script::{PAUSE_NS, Script, Step, Words, shell_refusal};
use super::wpan::{self, Fcs, MAX_PSDU, Tap};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "kirale",
    help: "IEEE 802.15.4 from Kirale's KTDG dongle",
    line: Line::at(115_200),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Kirale, setup)),
    drop_lines: false,
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(dialogue(setup))),
        channel: Channel::Required,
        channels: 11..=26,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check that the sniffer runs, and the channel: there may be no traffic on it",
    when_senseless: "check that the dongle has the sniffer's firmware (show swver)",
    dissector: dissect::wpan::tap_words,
    proof: |_| 48,
    ..Protocol::PLAIN
};

const SHORT: [u8; 4] = [0xc1, 0x1f, 0xfe, 0x72];
const LONG: [u8; 4] = *b"SNIF";
const STRENGTH: [u8; 4] = [0xb8, 0x97, 0x8c, 0x97];
const STRENGTH_US: [u8; 4] = [0xc0, 0x97, 0x8c, 0x97];
const MARKS: [&[u8]; 4] = [&SHORT, &LONG, &STRENGTH, &STRENGTH_US];
/// Microseconds of a symbol.
const SYMBOL_US: u64 = 16;

/// The format.
#[derive(Debug)]
struct Kirale;

impl Format for Kirale {
    /// Of the shortest counter: 32 bits of 16 microseconds.
    const TICKS: Ticks = Ticks { bits: 36, hz: 1_000_000 };

    fn find(&self, octets: &[u8]) -> usize {
        find_mark(octets, &MARKS)
    }

    fn judge(&self, octets: &[u8], closed: bool) -> Judgement {
        if !MARKS.iter().any(|mark| octets.starts_with(mark)) {
            let may_be = MARKS.iter().any(|mark| mark.starts_with(octets));
            return if may_be { Judgement::Perhaps } else { Judgement::Nothing };
        }
        let Some((magic, [high, low, rest @ ..])) = octets.split_first_chunk::<4>() else {
            return Judgement::Open;
        };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if !(3..=MAX_PSDU).contains(&len) {
            return Judgement::Lost(magic.len());
        }
        let stamp_len = if *magic == SHORT { 4 } else { 8 };
        let Some((stamp, rest)) = rest.split_at_checked(stamp_len) else { return Judgement::Open };
        let Some(psdu) = rest.get(..len) else { return Judgement::Open };
        let at = octets.len() - rest.len();
        let has_fcs = wpan::fcs_fits(psdu);
        if !has_fcs && let Some(judgement) = cut(octets, at + len, closed) {
            return judgement;
        }
        let (tap, count) = stamped(magic, stamp);
        let heard = Heard { tap, psdu: psdu.to_vec(), count: Some(count), is_damaged: !has_fcs };
        Judgement::Record(at + len, heard)
    }
}

/// Whether another record begins before the `end` of this one, or perhaps does.
fn cut(octets: &[u8], end: usize, closed: bool) -> Option<Judgement> {
    let again = SHORT.len() + find_mark(&octets[SHORT.len()..end], &MARKS);
    let rest = &octets[again..];
    if again == end {
        None
    } else if MARKS.iter().any(|mark| rest.starts_with(mark)) {
        Some(Judgement::Lost(again))
    } else {
        let may_be = MARKS.iter().any(|mark| mark.starts_with(rest));
        (may_be && !closed).then_some(Judgement::Open)
    }
}

/// Strength, quality, and time in microseconds.
fn stamped(magic: &[u8; 4], stamp: &[u8]) -> (Tap, u64) {
    let number = |octets: &[u8]| octets.iter().fold(0, |n: u64, octet| n << 8 | u64::from(*octet));
    let tap = Tap { fcs: Fcs::Crc16, ..Tap::default() };
    match (*magic, stamp) {
        (STRENGTH | STRENGTH_US, &[rssi, lqi, ref time @ ..]) => {
            let unit_us = if *magic == STRENGTH { SYMBOL_US } else { 1 };
            let rssi_dbm = Some(f32::from(rssi.cast_signed()));
            (Tap { rssi_dbm, lqi: Some(lqi), ..tap }, number(time) * unit_us)
        }
        _ => (tap, number(stamp).wrapping_mul(SYMBOL_US)),
    }
}

fn dialogue(setup: &Setup) -> Script {
    let start = |channel| {
        vec![
            Step::unanswered("ifdown\r\n", PAUSE_NS),
            Step::unanswered(format!("config channel {channel}\r\n"), PAUSE_NS),
            Step::unanswered("ifup\r\n", PAUSE_NS),
        ]
    };
    Script::new(Words {
        name: "Kirale's sniffer",
        boot_ns: 500_000_000,
        steps: setup.channel.map(start).unwrap_or_default(),
        refusal: shell_refusal,
        stop: b"ifdown\r\n".to_vec(),
    })
}
