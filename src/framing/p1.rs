//! P1 telegrams of smart meters (DSMR, e-MUCS, IEC 62056-21 mode D): lines of text.
//!
//! ```text
//! / | maker (3 letters) | rest of the identification | CR LF | CR LF
//!   [ object (value ...) | CR LF ]*
//! ! [ | CRC (up to 4 hexadecimal digits) ] | CR LF
//! ```
//!
//! The CRC is CRC-16/ARC of all octets from `/` to `!`. DSMR 2.2 and 3 have none (and 9600 baud with
//! 7E1); some meters leave out its leading zeros. Some send a control character STX in the
//! identification. Wireshark has no dissector for it, so packets are lines of text with the
//! name P1.
//!
//! Work per octet: a telegram is read once for each read that brings more of it.

use super::hunt::{Format, Hunter, Judgement};
use super::lines::{Line, is_text, line};
use super::upper::Upper;
use super::{Protocol, Setup};
use crate::dissect;
use crate::exported_pdu;
use crate::packet::{Batch, Direction, LinkType, Notes};
use crc::{CRC_16_ARC, Crc, Table};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "p1",
    help: "P1 telegrams of smart meters (DSMR)",
    line: crate::line::Line::at(115_200),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: false,
    when_silent: "check that the cable pulls the meter's request line up: it sends nothing without",
    when_senseless: "check rate and format (older meters: -b 9600 --line 7E1), and whether the cable \
                     inverts the data",
    dissector: dissect::p1::words,
    comment: true,
    proof,
    ..Protocol::PLAIN
};

/// Slash, three letters, an empty line, the exclamation mark on a line of its own; and the CRC.
fn proof(packet: &[u8]) -> u8 {
    const CRC_BITS: usize = 16;
    const LINE_BITS: usize = 12;
    let telegram = exported_pdu::split(packet).map_or(packet, |(_, telegram)| telegram);
    let is_object = |line: &&[u8]| {
        line.first().is_some_and(u8::is_ascii_digit)
            && [b'-', b':', b'.', b'('].iter().all(|mark| line.contains(mark))
    };
    // Each line names an object as OBIS does: 1-0:1.8.1(...)
    let objects = telegram.split(|octet| *octet == b'\n').filter(is_object).count();
    let crc = if telegram.trim_ascii_end().ends_with(b"!") { 0 } else { CRC_BITS };
    u8::try_from(crc + LINE_BITS * objects).unwrap_or(u8::MAX)
}

/// Octets of the longest telegram; one with a message of 1024 characters has some 3500.
const MOST: usize = 4096;
/// Letters of the maker.
const MAKER: usize = 3;
const STX: u8 = 0x02;
static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_ARC);

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<P1> {
    Hunter::new(P1(Upper::new("data-text-lines", "P1")), setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct P1(Upper);

impl Format for P1 {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr(b'/', octets).unwrap_or(octets.len())
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        let maker = octets[1..].iter().take(MAKER);
        if !octets.starts_with(b"/") || !maker.clone().all(u8::is_ascii_alphabetic) {
            return Judgement::Nothing;
        }
        let mut lines = 0;
        let mut at = 1;
        let mut may_be: fn(u8) -> bool = may_name;
        while let Line::Ended { text, len } = line(&octets[at..], MOST - at, may_be) {
            may_be = is_text;
            let text = &octets[at..at + text];
            match (lines, text) {
                (1, []) => {}
                // No telegram, or one whose second line is damaged.
                (1, _) => return Judgement::Nothing,
                (_, [b'!', crc @ ..]) => {
                    let is_good = crc.is_empty() || says(crc, CRC.checksum(&octets[..=at]));
                    let len = at + len;
                    return if is_good { Judgement::Good(len) } else { Judgement::Bad(len) };
                }
                // Only one line is empty, and a slash begins the next telegram.
                (2.., [] | [b'/', ..]) => return Judgement::Cut(at),
                _ => {}
            }
            lines += 1;
            at += len;
            if at >= MOST {
                return Judgement::TooLong(MOST);
            }
        }
        match line(&octets[at..], MOST - at, may_be) {
            Line::Broken(_) if lines < 2 => Judgement::Nothing,
            Line::Broken(text) => Judgement::Cut(at + text),
            _ if lines < 2 => Judgement::More(None),
            _ => Judgement::More(Some(at)),
        }
    }

    fn record(&self, telegram: &[u8], notes: Notes, out: &mut Batch) {
        self.0.record(Direction::Unknown, [telegram, &[]], notes, out);
    }
}

/// Whether an octet may be in the identification.
fn may_name(octet: u8) -> bool {
    is_text(octet) && !matches!(octet, b'/' | b'!') || octet == STX
}

/// Whether these digits, of which leading zeros may be missing, say that CRC.
fn says(digits: &[u8], crc: u16) -> bool {
    digits.len() <= 4
        && std::str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok())
            == Some(crc)
}
