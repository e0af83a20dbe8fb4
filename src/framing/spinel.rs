//! OpenThread's radio co-processor: IEEE 802.15.4 frames in spinel, the protocol of its host, over
//! HDLC-lite.
//!
//! ```text
//! HDLC-lite: 7E | ( octet, or 7D and octet ^ 20 )* | FCS-16 of X.25 (2, low first) | 7E
//! spinel:    header 10 II TTTT | command | property | value
//! a frame:   8x to Bx, TTTT 0 | 06 is | 71 raw stream | length (2) | PSDU | RSSI (i8, dBm) |
//!            noise floor (i8) | flags (2) | length (2), channel, LQI, time (8, us) |
//!            length (2), error of reception | length (2), ...      all low octet first
//! ```
//!
//! Older firmware leaves out what is behind the flags, or all that is behind the PSDU, or has a time
//! of 4 octets in milliseconds and 2 in microseconds. Frames may share a flag. It is the FCS-16 that
//! tells messages from text and noise; what begins with a flag and has a wrong one is lost.
//!
//! What the PSDU ends in is its FCS if that fits. If not, and the radio reports an error, the frame is
//! recorded as a damaged one. And if it reports none, it has written something else in place of the
//! FCS, as some radios do, and these two octets are left out. A frame that the radio could not
//! receive has no octets: it counts as lost.

use super::records::{Format, Heard, Judgement, Records, Ticks};
use super::script::{Script, Step, Words};
use super::wpan::{self, Fcs, MAX_PSDU, Tap};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;
use crc::{CRC_16_IBM_SDLC, Crc, Table};
use memchr::memmem;
use std::ops::RangeInclusive;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "spinel",
    help: "IEEE 802.15.4 from OpenThread's radio co-processor",
    line: Line::at(115_200),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Spinel, setup)),
    drop_lines: false,
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(dialogue(setup))),
        channel: Channel::Required,
        channels: 11..=26,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check the rate (-b 460800 is common), and the channel: there may be no traffic on it",
    when_senseless: "check the rate (-b 460800 is common), and that this is OpenThread's ot-rcp",
    dissector: dissect::wpan::tap_words,
    proof: |_| 32,
    ..Protocol::PLAIN
};

/// RFC 1662, appendix C: the FCS of HDLC, low octet first.
static HDLC_FCS: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_IBM_SDLC);

const FLAG: u8 = 0x7e;
const ESCAPE: u8 = 0x7d;
/// Octets between two flags: a PSDU and some 40 others, should all of them be escaped.
const MAX_RUN: usize = 512;

/// Commands and properties.
const SET: u8 = 0x03;
const IS: u8 = 0x06;
const LAST_STATUS: u8 = 0x00;
const PHY_ENABLED: u8 = 0x20;
const PHY_CHANNEL: u8 = 0x21;
const RAW_STREAM_ENABLED: u8 = 0x37;
const FILTER_MODE: u8 = 0x38;
const RAW_STREAM: u8 = 0x71;
/// Reasons of a reset, among the statuses.
const RESETS: RangeInclusive<u8> = 0x70..=0x7f;
/// The filter that lets all frames through, and the one that a node has.
const MONITOR: u8 = 2;
const NORMAL: u8 = 0;
/// The header of all that we say.
const ASKED: u8 = 0x81;

/// The format.
#[derive(Debug)]
struct Spinel;

impl Format for Spinel {
    const TICKS: Ticks = Ticks { bits: 64, hz: 1_000_000 };

    fn find(&self, _octets: &[u8]) -> usize {
        0
    }

    fn judge(&self, octets: &[u8], closed: bool) -> Judgement {
        let start = usize::from(octets.first() == Some(&FLAG));
        let seen = &octets[start..octets.len().min(start + MAX_RUN + 1)];
        let run = memchr::memchr(FLAG, seen).map(|len| &seen[..len]);
        let broken = |len: usize| {
            if start > 0 { Judgement::Lost(len) } else { Judgement::Noise(len) }
        };
        match run {
            Some([]) => Judgement::Message(1), // a flag behind a flag
            None if seen.len() > MAX_RUN => Judgement::Noise(start + MAX_RUN),
            None if !closed => Judgement::Perhaps,
            None if seen.is_empty() => Judgement::Message(start),
            None => broken(octets.len()),
            // A flag behind what is no message may begin the next one.
            Some(run) => match unstuffed(run) {
                Some(message) => told(&message, start + run.len() + 1),
                None => broken(start + run.len()),
            },
        }
    }
}

/// The octets of a run without escapes and FCS-16, if that fits.
fn unstuffed(run: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(run.len());
    let mut rest = run.iter();
    while let Some(&octet) = rest.next() {
        octets.push(if octet == ESCAPE { rest.next()? ^ 0x20 } else { octet });
    }
    let (message, fcs) = octets.split_last_chunk()?;
    (HDLC_FCS.checksum(message).to_le_bytes() == *fcs).then(|| message.to_vec())
}

/// What a message of `len` octets on the line says.
fn told(message: &[u8], len: usize) -> Judgement {
    match message {
        [0x80 | 0x90 | 0xa0 | 0xb0, IS, RAW_STREAM, value @ ..] => match frame(value) {
            Some(heard) => Judgement::Record(len, heard),
            None => Judgement::Lost(len),
        },
        [_, IS, LAST_STATUS, status, ..] if RESETS.contains(status) => Judgement::Boot(len),
        _ => Judgement::Message(len),
    }
}

/// The value of the raw stream, if it is a frame.
fn frame(value: &[u8]) -> Option<Heard> {
    let (psdu, told) = counted(value)?;
    if !(3..=MAX_PSDU).contains(&psdu.len()) {
        return None;
    }
    let has_fcs = wpan::fcs_fits(psdu);
    let mut heard = Heard::default();
    if let [rssi, _noise, _, _, structs @ ..] = told {
        heard.tap.rssi_dbm = Some(f32::from(rssi.cast_signed()));
        if let Some((radio, rest)) = counted(structs) {
            if let [channel, lqi, time @ ..] = radio {
                (heard.tap.channel, heard.tap.lqi) = (Some(*channel), Some(*lqi));
                heard.count = time_us(time);
            }
            let error = counted(rest).and_then(|(error, _)| error.first());
            heard.is_damaged = !has_fcs && error.is_some_and(|error| *error != 0);
        }
    }
    let keeps = has_fcs || heard.is_damaged;
    let fcs = if keeps { Fcs::Crc16 } else { Fcs::None };
    heard.tap = Tap { fcs, ..heard.tap };
    heard.psdu = psdu[..if keeps { psdu.len() } else { psdu.len() - 2 }].to_vec();
    Some(heard)
}

/// Octets behind their number, and what follows.
fn counted(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = octets.split_first_chunk()?;
    rest.split_at_checked(u16::from_le_bytes(*len).into())
}

/// Microseconds; 0 is what firmware without a clock says.
fn time_us(time: &[u8]) -> Option<u64> {
    let us = match *time {
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        [a, b, c, d, e, f] => {
            u64::from(u32::from_le_bytes([a, b, c, d])) * 1000
                + u64::from(u16::from_le_bytes([e, f]))
        }
        _ => 0,
    };
    (us > 0).then_some(us)
}

/// A message of ours on the line.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let fcs = HDLC_FCS.checksum(message).to_le_bytes();
    let mut line = vec![FLAG];
    for &octet in message.iter().chain(&fcs) {
        match octet {
            FLAG | ESCAPE | 0x11 | 0x13 | 0xf8 => line.extend([ESCAPE, octet ^ 0x20]),
            _ => line.push(octet),
        }
    }
    line.push(FLAG);
    line
}

fn dialogue(setup: &Setup) -> Script {
    let set = |property, value| stuffed(&[ASKED, SET, property, value]);
    let step = |property, value| Step::answered(set(property, value), [[ASKED, IS, property]]);
    let start = |channel| {
        vec![
            step(PHY_ENABLED, 1),
            step(FILTER_MODE, MONITOR),
            step(PHY_CHANNEL, channel),
            step(RAW_STREAM_ENABLED, 1),
        ]
    };
    Script::new(Words {
        name: "OpenThread's radio co-processor",
        boot_ns: 500_000_000,
        steps: setup.channel.map(start).unwrap_or_default(),
        refusal: |heard| {
            let at = memmem::find(heard, &[ASKED, IS, LAST_STATUS])?;
            heard.get(at + 3).map(|status| format!("status {status}"))
        },
        stop: [set(RAW_STREAM_ENABLED, 0), set(FILTER_MODE, NORMAL)].concat(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_hdlc() {
        let line = [0x7e, 0x81, 0x03, 0x36, 0x7d, 0x5e, 0x7d, 0x5d, 0x6a, 0xf9, 0x7e];
        assert_eq!(stuffed(&[0x81, 0x03, 0x36, 0x7e, 0x7d]), line);
        assert_eq!(unstuffed(&line[1..10]), Some(vec![0x81, 0x03, 0x36, 0x7e, 0x7d]));
        assert_eq!(unstuffed(&line[1..9]), None);
        assert_eq!(unstuffed(&[ESCAPE]), None);
    }

    #[test]
    fn what_radios_tell_of_a_frame() {
        let heard = |told: &[u8]| frame(&[&[5, 0, 2, 0, 7, 0xff, 0xff], told].concat());
        let all = heard(&[
            0xb0, 0x80, 0, 0, 10, 0, 15, 200, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 5, 0, 0, 0, 0, 0, 0,
        ]);
        let all = all.expect("a frame");
        let tap = Tap { fcs: Fcs::None, rssi_dbm: Some(-80.0), channel: Some(15), lqi: Some(200) };
        assert_eq!(all, Heard { tap, psdu: vec![2, 0, 7], count: Some(1), is_damaged: false });
        let old = heard(&[0xb0, 0x80, 0, 0, 8, 0, 15, 200, 2, 0, 0, 0, 1, 0]).expect("a frame");
        assert_eq!((old.count, old.tap), (Some(2001), tap));
        // The error is a number of one octet or two.
        let bad = heard(&[0xb0, 0x80, 0, 0, 10, 0, 15, 200, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x80, 1]);
        let bad = bad.expect("a frame");
        assert!(bad.is_damaged && bad.psdu.len() == 5 && bad.count.is_none());
        assert_eq!(heard(&[0xb0, 0x80, 0, 0]).expect("a frame").tap.channel, None);
        assert_eq!(heard(&[]).expect("a frame").tap, Tap::default());
        assert_eq!(frame(&[0, 0, 0xb0, 0x80, 0, 0]), None);
    }
}
