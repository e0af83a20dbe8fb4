//! TI's SmartRF Packet Sniffer 2, on LaunchPads and the CatSniffer: IEEE 802.15.4 frames in messages.
//!
//! ```text
//! 40 53 | info | length (2) | payload | check | 40 45           numbers low octet first
//! info 40-47 command | 80 answer, its first octet 0 if all is well | C1 error | C0 a frame:
//!      time (6, us) | separator | PSDU with FCS | RSSI (i8, dBm) | 80 FCS right, 00 wrong
//! ```
//!
//! The check octet is the sum of info, length and payload. Firmware leaves it out of frames, although
//! the documentation does not say so: both are read. Marks are not escaped, so the length and
//! the end mark tell a message, and of a frame its FCS. If that is wrong, and a frame begins inside,
//! the first one's end was lost.

use super::records::{Format, Heard, Judgement, Records, Ticks, find_mark};
use super::script::{Script, Step, Words};
use super::wpan::{self, Fcs, MAX_PSDU, Tap};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;
use memchr::memmem;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "ti",
    help: "IEEE 802.15.4 from TI's SmartRF Packet Sniffer 2, as of LaunchPads and CatSniffer",
    line: Line::at(921_600),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Ti, setup)),
    drop_lines: false,
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(dialogue(setup))),
        channel: Channel::Required,
        channels: 11..=26,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check the rate (LaunchPads: -b 3000000), and the channel: there may be no traffic on it",
    when_senseless: "check the rate (LaunchPads: -b 3000000), and that this is Packet Sniffer 2",
    dissector: dissect::wpan::tap_words,
    proof: |_| 40,
    ..Protocol::PLAIN
};

const START: &[u8] = b"\x40\x53";
const END: &[u8] = b"\x40\x45";
const FRAME: u8 = 0xc0;
const ANSWER: u8 = 0x80;
/// Octets before the payload.
const HEAD: usize = 5;
/// Octets of a frame's payload beside the PSDU, before it and behind it.
const BEFORE: usize = 7;
const BEHIND: usize = 2;
/// Octets of the longest payload.
const MAX_PAYLOAD: usize = BEFORE + MAX_PSDU + BEHIND;

/// The format.
#[derive(Debug)]
struct Ti;

impl Format for Ti {
    const TICKS: Ticks = Ticks { bits: 48, hz: 1_000_000 };

    fn find(&self, octets: &[u8]) -> usize {
        find_mark(octets, &[START])
    }

    fn judge(&self, octets: &[u8], _closed: bool) -> Judgement {
        if !octets.starts_with(START) {
            let may_be = START.starts_with(octets);
            return if may_be { Judgement::Perhaps } else { Judgement::Nothing };
        }
        let &[_, _, info, low, high, ref rest @ ..] = octets else { return Judgement::Perhaps };
        let len = usize::from(u16::from_le_bytes([low, high]));
        if len > MAX_PAYLOAD || !matches!(info, FRAME | 0xc1 | 0x40..=0x4f | ANSWER..=0x8f) {
            return Judgement::Nothing;
        }
        let Some((payload, behind)) = rest.split_at_checked(len) else { return Judgement::Open };
        let end = match behind {
            [] | [0x40] => return Judgement::Open,
            [0x40, 0x45, ..] => len + END.len(),
            [_] | [_, 0x40] => return Judgement::Open,
            [_, 0x40, 0x45, ..] => len + 1 + END.len(),
            _ => return Judgement::Lost(START.len()),
        };
        if info != FRAME {
            return Judgement::Message(HEAD + end);
        }
        frame(payload, HEAD + end)
    }
}

/// The frame in this payload, in a message of `len` octets.
fn frame(payload: &[u8], len: usize) -> Judgement {
    let &[a, b, c, d, e, f, _separator, ref psdu @ .., rssi, status] = payload else {
        return Judgement::Lost(len);
    };
    let has_fcs = wpan::fcs_fits(psdu);
    if !has_fcs {
        let mark = [START, &[FRAME]].concat();
        if let Some(at) = memmem::find(payload, &mark) {
            return Judgement::Lost(HEAD + at);
        }
    }
    let tap =
        Tap { fcs: Fcs::Crc16, rssi_dbm: Some(f32::from(rssi.cast_signed())), ..Tap::default() };
    let is_damaged = !has_fcs || status & 0x80 == 0;
    let count = Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]));
    Judgement::Record(len, Heard { tap, psdu: psdu.to_vec(), count, is_damaged })
}

/// Commands, and the physical layer of 2.4 GHz, which the documentation has one lower.
const PING: u8 = 0x40;
const BEGIN: u8 = 0x41;
const STOP: u8 = 0x42;
const FREQUENCY: u8 = 0x45;
const PHY: u8 = 0x47;
const O_QPSK: u8 = 0x12;

fn command(info: u8, payload: &[u8]) -> Vec<u8> {
    let summed = [&[info, payload.len() as u8, 0], payload].concat();
    let sum = summed.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
    [START, &summed, &[sum], END].concat()
}

fn dialogue(setup: &Setup) -> Script {
    // An answer of any length that begins with 0.
    let well = || (1..=16).map(|len| [START, &[ANSWER, len, 0, 0]].concat());
    let step = |info, payload: &[u8]| Step::answered(command(info, payload), well());
    let start = |channel: u8| {
        let mhz = 2405 + 5 * (u16::from(channel) - 11);
        let frequency = [mhz.to_le_bytes(), [0, 0]].concat();
        vec![
            step(STOP, &[]),
            step(PING, &[]),
            step(PHY, &[O_QPSK]),
            step(FREQUENCY, &frequency),
            step(BEGIN, &[]),
        ]
    };
    Script::new(Words {
        name: "TI's Packet Sniffer 2",
        boot_ns: 500_000_000,
        steps: setup.channel.filter(|channel| *channel >= 11).map(start).unwrap_or_default(),
        refusal: |heard| {
            let at = memmem::find(heard, &[START[0], START[1], ANSWER])?;
            match heard.get(at + 3..at + 6)? {
                [1..=16, 0, status @ 1..=255] => Some(format!("status {status}")),
                _ => None,
            }
        },
        stop: command(STOP, &[]),
    })
}
