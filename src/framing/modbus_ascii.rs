//! Modbus ASCII ("MODBUS over serial line" V1.02, clause 2.5.2): frames as lines of text.
//!
//! ```text
//! : | unit | function | data | LRC | CR LF        each octet as two hexadecimal digits
//! ```
//!
//! The LRC makes the sum of all octets 0. Wireshark has no dissector for it, so packets are lines of
//! text with the name Modbus ASCII, and what they say is in a comment.
//!
//! Deviations from the specification: digits may be small, LF alone ends a line, and the pause of
//! one second that ends a line is not applied. A colon starts a line anew, as it should.

use super::hunt::Hunter;
use super::lines::{Sentence, Sentences};
use super::upper::Upper;
use super::{Protocol, Setup};
use crate::dissect;
use crate::exported_pdu;
use crate::hex::unhex;
use crate::line::{Line, LineFormat};
use crate::packet::{Batch, Direction, LinkType, Notes};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "modbus-ascii",
    help: "Modbus ASCII on RS-485 or RS-232",
    line: Line { baud: 19_200, format: LineFormat::SEVEN_E_1 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: true,
    sniffer: None,
    when_silent: "check that the adapter is wired to a line where a master polls",
    when_senseless: "check rate and format (often -b 9600 --line 7E1 or 8N1), and that A and B are \
                     not swapped",
    dissector: dissect::modbus::ascii_words,
    comment: true,
    proof,
    ..Protocol::PLAIN
};

/// Colon, six digits, LRC, the end of a line: other lines with a colon have no six digits, but for
/// records of Intel HEX, whose sum is the same. Their first octet says how many data they have, and the
/// fourth is one of few types.
fn proof(packet: &[u8]) -> u8 {
    let line = exported_pdu::split(packet).map_or(packet, |(_, line)| line);
    let octets = line.trim_ascii_end().strip_prefix(b":").and_then(unhex);
    match octets.as_deref() {
        Some([len, _, _, 0..=14, data @ .., _sum]) if usize::from(*len) == data.len() => 1,
        _ => 40,
    }
}

/// Digits of unit, function and LRC.
const LEAST_DIGITS: usize = 6;
/// Digits that make a line with a colon a frame.
const HEAD_DIGITS: usize = 4;

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Sentences<ModbusAscii>> {
    Hunter::new(Sentences(ModbusAscii(Upper::new("data-text-lines", "Modbus ASCII"))), setup)
}

/// The format of a line.
#[derive(Debug)]
pub(super) struct ModbusAscii(Upper);

impl Sentence for ModbusAscii {
    const MOST: usize = 2 * 255;
    const LEAST: usize = 1 + LEAST_DIGITS + 2;

    fn may_follow(octet: u8) -> bool {
        octet.is_ascii_hexdigit()
    }

    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr(b':', octets).unwrap_or(octets.len())
    }

    fn is_head(&self, text: &[u8]) -> Option<bool> {
        (text.len() >= HEAD_DIGITS).then_some(true)
    }

    fn is_good(&self, text: &[u8]) -> bool {
        text.len() >= LEAST_DIGITS
            && unhex(text).is_some_and(|octets| {
                octets.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet)) == 0
            })
    }

    fn record(&self, line: &[u8], notes: Notes, out: &mut Batch) {
        let digits = line.trim_ascii_end().strip_prefix(b":");
        let direction = match digits.and_then(unhex).as_deref() {
            Some([_, function, data @ .., _lrc]) if notes.damage.is_none() => {
                direction(*function, data)
            }
            _ => Direction::Unknown,
        };
        self.0.record(direction, [line, &[]], notes, out);
    }
}

/// Whether that is a request or an answer, where the layout tells.
fn direction(function: u8, data: &[u8]) -> Direction {
    let is_counted = data.split_first().is_some_and(|(len, rest)| usize::from(*len) == rest.len());
    match (function, data.len()) {
        (0x80.., _) => Direction::Inbound,
        (1..=4, 4) if !is_counted => Direction::Outbound,
        (1..=4, _) if is_counted => Direction::Inbound,
        (0x0f | 0x10, 4) => Direction::Inbound,
        (0x0f | 0x10, 5..) => Direction::Outbound,
        _ => Direction::Unknown,
    }
}
