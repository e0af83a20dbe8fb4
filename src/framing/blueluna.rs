//! The ieee802154-sniffer of blueluna, for ESP32-C6 and micro:bit: IEEE 802.15.4 frames in COBS.
//!
//! ```text
//! COBS of ( 07 | channel | 0, or 1 and RSSI | 0, or 1 and LQI | length | PSDU ) | 00
//! ```
//!
//! This is postcard: numbers of more than an octet go in groups of 7 bits, low first, the upper bit
//! saying that more follow, and RSSI, in thousandths of dBm, has its sign in the lowest bit. Other first
//! octets are other messages: 0 nothing, 1 reset, 2 probe, 3 channel, 4 power, 5 start, 6 stop.
//!
//! There is no check sequence; what speaks for a message is that COBS and lengths come out even. If
//! they do not, a message that was cut off may stand before a whole one, which is looked for.
//! Work per octet: [`MAX_RUN`] octets are looked at for a 0, and of what is no message there are as
//! many decodings as it has octets that may begin one.

use super::records::{Format, Heard, Judgement, Records};
use super::script::{PAUSE_NS, Script, Step, Words, no_refusal};
use super::wpan::{self, Fcs, MAX_PSDU, Tap};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::cobs;
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;
use std::ops::RangeInclusive;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "blueluna",
    help: "IEEE 802.15.4 from blueluna's ieee802154-sniffer",
    line: Line::at(250_000),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Blueluna, setup)),
    drop_lines: false,
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(dialogue(setup))),
        channel: Channel::Required,
        channels: CHANNELS,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check that the sniffer runs, and the channel: there may be no traffic on it",
    when_senseless: "check the rate (-b), and that this is blueluna's sniffer",
    dissector: dissect::wpan::tap_words,
    proof: |_| 20,
    ..Protocol::PLAIN
};

const CHANNELS: RangeInclusive<u8> = 11..=26;
/// Octets of the longest message as COBS has it: a PSDU and a head, and a few more.
const MAX_RUN: usize = 160;

/// First octets of messages.
const PROBE: u8 = 2;
const CHANNEL: u8 = 3;
const START: u8 = 5;
const STOP: u8 = 6;
const FRAME: u8 = 7;

/// The format.
#[derive(Debug)]
struct Blueluna;

impl Format for Blueluna {
    fn find(&self, _octets: &[u8]) -> usize {
        0
    }

    fn judge(&self, octets: &[u8], closed: bool) -> Judgement {
        let seen = &octets[..octets.len().min(MAX_RUN + 1)];
        let Some(len) = memchr::memchr(0, seen) else {
            return match seen.len() {
                len if len > MAX_RUN => Judgement::Noise(1), // a message may be behind it
                len if closed => Judgement::Noise(len),
                _ => Judgement::Perhaps,
            };
        };
        let run = &octets[..len];
        let end = len + 1;
        // Of a message, which no other first octet begins.
        let may_be_message = !matches!(*run, [code, first, ..] if code > 1 && first > FRAME);
        let message = if may_be_message { decoded(run) } else { None };
        let Some(message) = message else { return behind(run) };
        match *message {
            [FRAME, ref rest @ ..] => {
                frame(rest).map_or_else(|| behind(run), |heard| Judgement::Record(end, heard))
            }
            [] | [..FRAME, ..] => Judgement::Message(end),
            _ => behind(run),
        }
    }
}

/// What comes of a run that is no message: one may be behind something that was cut off.
fn behind(run: &[u8]) -> Judgement {
    let is_frame = |at: &usize| {
        let message = decoded(&run[*at..]);
        message.is_some_and(|message| {
            message.first() == Some(&FRAME) && frame(&message[1..]).is_some()
        })
    };
    // The octet behind the first code is the first one of the message.
    let starts = memchr::memchr_iter(FRAME, run).filter_map(|at| at.checked_sub(1));
    match starts.filter(|at| *at > 0).find(is_frame) {
        Some(at) => Judgement::Lost(at),
        None => Judgement::Noise(run.len() + 1),
    }
}

/// The octets that COBS stands for; MS/TP has it with a mask.
fn decoded(run: &[u8]) -> Option<Vec<u8>> {
    let masked: Vec<u8> = run.iter().map(|octet| octet ^ cobs::MASK).collect();
    cobs::decode(&masked)
}

/// What a frame says behind its first octet.
fn frame(mut rest: &[u8]) -> Option<Heard> {
    let channel = octet(&mut rest).filter(|channel| CHANNELS.contains(channel))?;
    let rssi_dbm = match octet(&mut rest)? {
        0 => None,
        1 => {
            let number = number(&mut rest)?;
            let milli = (number >> 1).cast_signed() ^ -((number & 1).cast_signed());
            Some(milli as f32 / 1000.0)
        }
        _ => return None,
    };
    let lqi = match octet(&mut rest)? {
        0 => None,
        1 => Some(octet(&mut rest)?),
        _ => return None,
    };
    let len = usize::try_from(number(&mut rest)?).ok()?;
    let is_psdu = (1..=MAX_PSDU).contains(&len) && len == rest.len();
    let fcs = if wpan::fcs_fits(rest) { Fcs::Crc16 } else { Fcs::None };
    let tap = Tap { fcs, rssi_dbm, channel: Some(channel), lqi };
    is_psdu.then(|| Heard { tap, psdu: rest.to_vec(), ..Heard::default() })
}

fn octet(rest: &mut &[u8]) -> Option<u8> {
    rest.split_off_first().copied()
}

/// A number of 32 bits in groups of 7.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let octet = octet(rest)?;
        number |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}

/// A message on the line; it has no 0 in it.
fn encoded(message: &[u8]) -> Vec<u8> {
    [&[message.len() as u8 + 1], message, &[0]].concat()
}

/// What we probe with, 0xfedcba98, and what the sniffer answers, 0x01234567.
const ASKED: [u8; 6] = [PROBE, 0x98, 0xf5, 0xf2, 0xf6, 0x0f];
const ANSWERED: [u8; 5] = [PROBE, 0xe7, 0x8a, 0x8d, 0x09];

fn dialogue(setup: &Setup) -> Script {
    let start = |channel| {
        vec![
            Step::answered(encoded(&ASKED), [encoded(&ANSWERED)]),
            Step::unanswered(encoded(&[CHANNEL, channel]), PAUSE_NS),
            Step::unanswered(encoded(&[START]), PAUSE_NS),
        ]
    };
    Script::new(Words {
        name: "blueluna's sniffer",
        boot_ns: 1_000_000_000,
        steps: setup.channel.map(start).unwrap_or_default(),
        refusal: no_refusal,
        stop: encoded(&[STOP]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_sniffers_own_tests() {
        let line = [3, 7, 0x0b, 1, 3, 3, 2, 2, 4, 0];
        let tap = Tap { channel: Some(11), ..Tap::default() };
        let heard = Heard { tap, psdu: vec![2, 0, 4], ..Heard::default() };
        assert_eq!(Blueluna.judge(&line, false), Judgement::Record(10, heard));
        assert_eq!(Blueluna.judge(&[2, 1, 0], false), Judgement::Message(3));
        assert_eq!(Blueluna.judge(&[2, 4, 1, 0], false), Judgement::Message(4));
        assert_eq!(encoded(&[STOP]), [2, 6, 0]);
    }

    #[test]
    fn strength_is_in_thousandths() {
        let heard = frame(&[11, 1, 0xbf, 0xb8, 0x02, 1, 200, 3, 2, 0, 7]).expect("a frame");
        assert_eq!((heard.tap.rssi_dbm, heard.tap.lqi), (Some(-20.0), Some(200)));
        assert_eq!(frame(&[27, 0, 0, 3, 2, 0, 7]), None);
        assert_eq!(frame(&[11, 0, 0, 4, 2, 0, 7]), None);
    }

    #[test]
    fn probes_are_the_numbers_that_they_should_be() {
        assert_eq!(number(&mut &ASKED[1..]), Some(0xfedc_ba98));
        assert_eq!(number(&mut &ANSWERED[1..]), Some(0x0123_4567));
        assert_eq!(number(&mut &[0xff; 9][..]), None);
    }
}
