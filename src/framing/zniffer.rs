//! Z-Wave from a Zniffer: Silicon Labs' sniffer firmware on a stick.
//!
//! ```text
//! 21 | 01 | time (2) | channel and rate | region | strength | 21 03 | length | MPDU      a frame
//! 21 | 04 | time (2) | channel and rate | region | strength | 55 | 3 octets               a beam starts
//! 21 | 05 | time (2) | strength | counter (2)                                             a beam stops
//! 23 | id | length | ...                                                                answers
//! ```
//!
//! Channel and rate share an octet: three bits and five; the rates are 9.6, 40 and 100 kbit/s, and
//! 100 kbit/s of Long Range. The length counts the MPDU with its check: one octet, the exclusive or
//! of all with FF, at the two slow rates, and a CRC-16 (1021, from 1D0F, high octet first) at the
//! others. The strength is a number of the chip's, not dBm, and the time is 0 in most firmware.
//!
//! A packet is the whole record, so that nothing of it is lost. There is a link type for Z-Wave with
//! such things in front of it (297), which tshark 4.0 refuses to read, file and all, and which
//! wants the strength in dBm. So packets are data with the name Z-Wave and a comment.
//!
//! Answers are no packets. They are read only where a record ends, or at first.

use super::hunt::{Format, Found, Hunter, Judgement};
use super::script::{PAUSE_NS, Script, Step, Words};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::dissect;
use crate::exported_pdu::{self, Header};
use crate::line::Line;
use crate::packet::{Batch, LinkType, Notes};
use crc::{CRC_16_SPI_FUJITSU, Crc, Table};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "zniffer",
    help: "Z-Wave from a Zniffer (Silicon Labs' sniffer firmware)",
    line: Line::at(230_400),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(Hunter::new(Zniffer::new(setup), setup)),
    sniffer: Some(Sniffer {
        dialogue: Some(|_| Box::new(Script::new(talk()))),
        channel: Channel::None,
        channels: 0..=0,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check that the sniffer runs, and the region that it was set to",
    when_senseless: "check the rate: -b 115200 for sticks of the 700 and 800 series",
    dissector: dissect::zniffer::words,
    comment: true,
    proof,
    ..Protocol::PLAIN
};

/// Two starts with their types, and the MPDU's check; the end of a beam has too little.
fn proof(packet: &[u8]) -> u8 {
    let record = exported_pdu::split(packet).map_or(packet, |(_, record)| record);
    match record.get(1) {
        Some(&FRAME) => 40,
        Some(&BEAM_START) => 24,
        _ => 0,
    }
}

/// What it is told: to be quiet, and to start, in the region that it is set to.
fn talk() -> Words {
    Words {
        name: "the Zniffer",
        boot_ns: PAUSE_NS,
        steps: vec![
            Step::answered(*b"\x23\x05\x00", [*b"\x23\x05\x00"]),
            Step::unanswered(*b"\x23\x04\x00", PAUSE_NS),
        ],
        refusal: |_| None,
        stop: b"\x23\x05\x00".to_vec(),
    }
}

/// What records and answers start with.
const RECORD: u8 = 0x21;
const ANSWER: u8 = 0x23;
/// Commands that are answered.
const ANSWERED: [u8; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 0x0e, 0x13, 0x14];
/// Types of records.
const FRAME: u8 = 1;
const BEAM_START: u8 = 4;
const BEAM_STOP: u8 = 5;
/// Of a frame, up to its length; and what stands before that.
const HEADER_LEN: usize = 10;
const START_OF_DATA: [u8; 2] = [0x21, 0x03];
const BEAM_START_LEN: usize = 11;
const BEAM_STOP_LEN: usize = 7;
/// Where channel and rate are, and the region.
const RATE_AT: usize = 4;
/// Where a beam begins, and with what.
const BEAM_AT: usize = 7;
const BEAM_TAG: u8 = 0x55;
/// Home, node, frame control, length, check: the least of an MPDU.
const MIN_MPDU: usize = 9;
/// Octets of an MPDU, and of an answer, at most.
const MAX_MPDU: usize = 200;
const MAX_ANSWER: usize = 64;
/// The rates from here on have a CRC.
const FIRST_WITH_CRC: u8 = 2;
const LAST_RATE: u8 = 3;

const CRC: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_SPI_FUJITSU);

struct Zniffer {
    head: Vec<u8>,
    /// Whether a record or an answer ended directly before, or nothing was heard yet.
    is_in_step: bool,
}

impl Zniffer {
    fn new(setup: &Setup) -> Self {
        let head = Header::of("data").direction(setup.direction).protocol("Z-Wave").end();
        Self { head, is_in_step: true }
    }
}

impl Format for Zniffer {
    fn find(&self, octets: &[u8]) -> usize {
        let may_start = |octet: &u8| *octet == RECORD || self.is_in_step && *octet == ANSWER;
        octets.iter().position(may_start).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.is_in_step
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        match *octets {
            [ANSWER, ref rest @ ..] if self.is_in_step => judge_answer(rest),
            [RECORD, BEAM_STOP, ..] if self.is_in_step => judge_beam(octets, BEAM_STOP_LEN),
            _ => self.judge_inside(octets),
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        match *octets {
            [RECORD] => Judgement::More(None),
            [RECORD, FRAME, ..] => judge_frame(octets),
            [RECORD, BEAM_START, ..] => match octets.get(BEAM_AT) {
                None => Judgement::More(None),
                Some(&BEAM_TAG) if octets[RATE_AT] & 0x1f <= LAST_RATE => {
                    judge_beam(octets, BEAM_START_LEN)
                }
                Some(_) => Judgement::Nothing,
            },
            _ => Judgement::Nothing,
        }
    }

    /// An answer or a beam may be the last thing that is said.
    fn judge_last(&self, octets: &[u8]) -> Judgement {
        match self.judge(octets) {
            Judgement::More(Some(len)) if octets.len() == len => Judgement::Good(len),
            Judgement::More(None) if octets.first() == Some(&ANSWER) => match octets.get(2) {
                Some(len) if octets.len() == 3 + usize::from(*len) => Judgement::Pad(octets.len()),
                _ => Judgement::More(None),
            },
            judgement => judgement,
        }
    }

    fn record(&self, record: &[u8], notes: Notes, out: &mut Batch) {
        let original_len = notes.original_len + self.head.len() as u32;
        out.push(&[&self.head, record], Notes { original_len, ..notes });
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.is_in_step = found != Found::Nothing;
    }

    fn reset(&mut self) {
        self.is_in_step = true;
    }
}

/// A beam of so many octets. It has no check: what looks like the next record in its last three
/// octets is that, and the beam was cut off.
fn judge_beam(octets: &[u8], len: usize) -> Judgement {
    if octets.len() < len {
        return Judgement::More(Some(len));
    }
    for at in len - 3..len {
        match octets.get(at..).unwrap_or_default() {
            [RECORD, FRAME | BEAM_START | BEAM_STOP, ..] => return Judgement::Nothing,
            [RECORD] => return Judgement::More(Some(len)),
            _ => {}
        }
    }
    Judgement::Good(len)
}

/// What is behind the start of an answer. It has no check, so that something has to begin behind it.
fn judge_answer(rest: &[u8]) -> Judgement {
    match *rest {
        [id, ..] if !ANSWERED.contains(&id) => Judgement::Nothing,
        [_, len, ..] if usize::from(len) > MAX_ANSWER => Judgement::Nothing,
        [_, len, ref rest @ ..] => match rest.get(usize::from(len)) {
            Some(&(RECORD | ANSWER)) => Judgement::Pad(3 + usize::from(len)),
            Some(_) => Judgement::Nothing,
            None => Judgement::More(None),
        },
        _ => Judgement::More(None),
    }
}

fn judge_frame(octets: &[u8]) -> Judgement {
    if octets.get(RATE_AT).is_some_and(|rate| rate & 0x1f > LAST_RATE) {
        return Judgement::Nothing;
    }
    let tag = octets.get(7..).unwrap_or_default();
    if !tag.starts_with(&START_OF_DATA) && !START_OF_DATA.starts_with(tag) {
        return Judgement::Nothing;
    }
    let Some(&len) = octets.get(HEADER_LEN - 1) else { return Judgement::More(None) };
    let len = usize::from(len);
    if !(MIN_MPDU..=MAX_MPDU).contains(&len) {
        return Judgement::Nothing;
    }
    let whole = HEADER_LEN + len;
    match octets.get(HEADER_LEN..whole) {
        None => Judgement::More(Some(whole)),
        Some(mpdu) if fits(octets[RATE_AT] & 0x1f, mpdu) => Judgement::Good(whole),
        Some(_) => Judgement::Bad(whole),
    }
}

/// Whether an MPDU of this rate ends in its check.
fn fits(rate: u8, mpdu: &[u8]) -> bool {
    if rate < FIRST_WITH_CRC {
        return mpdu.iter().fold(0xff, |sum, octet| sum ^ octet) == 0;
    }
    let split = mpdu.split_last_chunk::<2>();
    split.is_some_and(|(octets, check)| CRC.checksum(octets).to_be_bytes() == *check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framer as _;
    use crate::packet::Damage;
    use crate::time::Timestamp;

    #[test]
    fn records_and_answers_follow_one_another() {
        let fast =
            b"\x21\x01\0\0\x02\x0b\x2c\x21\x03\x0c\xc4\xda\xe6\x07\x01\x41\x0a\x0c\x02\0\x8f\x68";
        let beam = b"\x21\x04\0\0\x21\0\x33\x55\x03\x01\x14";
        let stop = b"\x21\x05\0\0\x33\0\x01";
        let mut bad = *fast;
        bad[12] ^= 1;
        let line =
            [b"\x23\x05\0", &fast[..], b"\x23\x01\x02\x21\x01", beam, stop, &bad, b"x", fast];
        let setup = Setup::new(230_400);
        let mut framer = Hunter::new(Zniffer::new(&setup), &setup);
        let mut batch = Batch::new(0);
        framer.push(&line.concat(), Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        let found: Vec<_> = batch
            .packets()
            .map(|packet| (exported_pdu::split(packet.data).unwrap().1, packet.damage))
            .collect();
        let good = |octets| (octets, Damage::NONE);
        let expected =
            [good(&fast[..]), good(beam), good(stop), (&bad, Damage::CRC_ERROR), good(fast)];
        assert_eq!(found, expected);
        let tally = framer.tally();
        assert_eq!((tally.padding_octets, tally.skipped_octets), (8, 1));
    }
}
