//! Z-Wave Serial API: between a host and a controller on a stick.
//!
//! ```text
//! 01 | length (from type to check) | type (0 request, 1 response) | function | data | check
//! 06 ACK      15 NAK      18 CAN
//! ```
//!
//! The check octet makes the exclusive or of FF and all octets behind the 01 zero. The single octets
//! that answer a frame are packets where a frame ends, and noise anywhere else. No dissector of
//! Wireshark 4.0 reads them, and link type 287 shows nothing at all there: so they are data with the
//! name Z-Wave.

use super::hunt::{Format, Found, Hunter, Judgement};
use super::{Protocol, Setup};
use crate::dissect;
use crate::exported_pdu::{self, Header};
use crate::line::Line;
use crate::packet::{Batch, LinkType, Notes};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "zwave",
    help: "Z-Wave Serial API, between a host and its controller",
    line: Line::at(115_200),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(Hunter::new(ZWave::new(setup), setup)),
    when_silent: "check that the adapter is wired to the line between host and controller",
    when_senseless: "check the rate: controllers of Z-Wave have 115200 baud",
    dissector: dissect::zwave::words,
    comment: true,
    proof,
    weak: true,
    ..Protocol::PLAIN
};

/// The check octet of a frame, and six bits for start and type, which words of 16 bits with a high octet
/// of 01 have as well; an answer of one octet proves nothing.
fn proof(packet: &[u8]) -> u8 {
    let frame = exported_pdu::split(packet).map_or(packet, |(_, frame)| frame);
    if frame.len() > 1 { 14 } else { 0 }
}

/// What a frame starts with.
const SOF: u8 = 0x01;
/// What answers one: ACK, NAK and CAN.
const ANSWERS: [u8; 3] = [0x06, 0x15, 0x18];
/// Type, function and check: the least that a length may count.
const MIN_LENGTH: u8 = 3;

struct ZWave {
    head: Vec<u8>,
    /// Whether a frame ended directly before.
    is_in_step: bool,
}

impl ZWave {
    fn new(setup: &Setup) -> Self {
        let head = Header::of("data").direction(setup.direction).protocol("Z-Wave").end();
        Self { head, is_in_step: false }
    }
}

impl Format for ZWave {
    fn find(&self, octets: &[u8]) -> usize {
        let may_start = |octet: &u8| *octet == SOF || self.is_in_step && ANSWERS.contains(octet);
        octets.iter().position(may_start).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.is_in_step
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        match octets.first() {
            Some(octet) if self.is_in_step && ANSWERS.contains(octet) => Judgement::Good(1),
            _ => self.judge_inside(octets),
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        match *octets {
            [SOF, length, kind, ..] if length >= MIN_LENGTH && kind <= 1 => {
                let len = 2 + usize::from(length);
                match octets.get(1..len) {
                    None => Judgement::More(Some(len)),
                    Some(rest) if rest.iter().fold(0xff, |sum, octet| sum ^ octet) == 0 => {
                        Judgement::Good(len)
                    }
                    Some(_) => Judgement::Bad(len),
                }
            }
            [SOF] => Judgement::More(None),
            [SOF, length] if length >= MIN_LENGTH => Judgement::More(None),
            _ => Judgement::Nothing,
        }
    }

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        let original_len = notes.original_len + self.head.len() as u32;
        out.push(&[&self.head, frame], Notes { original_len, ..notes });
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.is_in_step = matches!(found, Found::Good | Found::Damaged);
    }

    fn reset(&mut self) {
        self.is_in_step = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framer as _;
    use crate::packet::Damage;
    use crate::time::Timestamp;

    #[test]
    fn answers_are_packets_where_a_frame_ends() {
        let frame = b"\x01\x04\x01\x13\x01\xe8";
        let mut bad = *frame;
        bad[4] = 0x81;
        let line = [b"\x06\x15", &frame[..], b"\x06", &bad, b"\x15", frame, b"\x18x\x06"].concat();
        let mut framer = Hunter::new(ZWave::new(&Setup::new(115_200)), &Setup::new(115_200));
        let mut batch = Batch::new(0);
        framer.push(&line, Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        let found: Vec<_> = batch
            .packets()
            .map(|packet| (exported_pdu::split(packet.data).unwrap().1, packet.damage))
            .collect();
        let good = |octets| (octets, Damage::NONE);
        let expected = [
            good(&frame[..]),
            good(b"\x06"),
            (&bad[..], Damage::CRC_ERROR),
            good(b"\x15"),
            good(frame),
            good(b"\x18"),
        ];
        assert_eq!((found, framer.tally().skipped_octets), (expected.to_vec(), 4));
    }
}
