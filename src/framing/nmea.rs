//! NMEA 0183 (IEC 61162-1): sentences of receivers, compasses and other instruments.
//!
//! ```text
//! $ or ! | address | , fields | * | check (2 hexadecimal digits) | CR LF
//! ```
//!
//! A tag block, `\s:source,c:time*check\`, may stand before it (NMEA 0183 version 4), and becomes part of
//! the packet if its check is right. The check is the exclusive or of all octets between the first and the `*`. Old instruments send
//! sentences without it.
//!
//! Deviations from the standard, all of them for what instruments send: a sentence may have 256
//! characters instead of 82, and LF or CR alone ends one.

use super::hunt::Hunter;
use super::lines::{Sentence, Sentences, is_text};
use super::upper::Upper;
use super::{Protocol, Setup};
use crate::dissect;
use crate::hex::unhex;
use crate::line::Line;
use crate::packet::{Batch, Direction, LinkType, Notes};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "nmea",
    help: "NMEA 0183 sentences of navigation instruments",
    line: Line::at(4800),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: false,
    sniffer: None,
    when_silent: "check that the instrument has power",
    when_senseless: "check the rate: often -b 9600 or -b 38400",
    dissector: dissect::nmea::words,
    comment: true,
    proof,
    ..Protocol::PLAIN
};

/// Characters of an address that say that a line is a sentence.
const HEAD: usize = 3;
/// Behind the text: `*` and two digits.
const CHECK_LEN: usize = 3;

/// Start, three capitals or digits of the address, a comma or the rest of it, the end of a line:
/// 20; and the check if there is one. A sentence of the shortest kind counts as all.
fn proof(packet: &[u8]) -> u8 {
    let end = packet.trim_ascii_end();
    if end.len() > CHECK_LEN && end[end.len() - CHECK_LEN] == b'*' { 36 } else { 20 }
}

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Sentences<Nmea>> {
    Hunter::new(Sentences(Nmea(Upper::new("data-text-lines", "NMEA"))), setup)
}

/// Starts and ends a tag block.
const TAG: u8 = b'\\';
/// Characters between them; the standard has 80 with both.
const MAX_BLOCK: usize = 100;

/// Whether text ends with an asterisk and the sum of what is before it.
fn has_check(text: &[u8]) -> bool {
    let Some((said, [b'*', check @ ..])) = text.split_last_chunk::<CHECK_LEN>() else {
        return false;
    };
    let sum = said.iter().fold(0, |sum, octet| sum ^ octet);
    unhex(check).is_some_and(|check| check == [sum])
}

/// The format of a sentence.
#[derive(Debug)]
pub(super) struct Nmea(Upper);

impl Sentence for Nmea {
    const MOST: usize = 255;
    const LEAST: usize = 1 + HEAD + 2;

    fn may_follow(octet: u8) -> bool {
        is_text(octet) && !matches!(octet, b'$' | b'!')
    }

    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr3(b'$', b'!', TAG, octets).unwrap_or(octets.len())
    }

    fn before(&self, octets: &[u8]) -> Option<usize> {
        let [TAG, rest @ ..] = octets else { return Some(0) };
        let block = &rest[..rest.len().min(MAX_BLOCK + 1)];
        match block.iter().position(|octet| *octet == TAG || !is_text(*octet)) {
            Some(len) if block[len] == TAG && has_check(&block[..len]) => Some(1 + len + 1),
            None if block.len() <= MAX_BLOCK => None,
            _ => Some(0),
        }
    }

    fn starts(&self, octet: u8) -> bool {
        matches!(octet, b'$' | b'!')
    }

    fn is_head(&self, text: &[u8]) -> Option<bool> {
        let head = &text[..text.len().min(HEAD)];
        if !head.iter().all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit()) {
            return Some(false);
        }
        (head.len() == HEAD).then_some(true)
    }

    fn is_good(&self, text: &[u8]) -> bool {
        match text.split_last_chunk::<CHECK_LEN>() {
            Some((_, [b'*', ..])) => has_check(text),
            _ => !text.contains(&b'*') && text.contains(&b','),
        }
    }

    fn record(&self, line: &[u8], notes: Notes, out: &mut Batch) {
        self.0.record(Direction::Unknown, [line, &[]], notes, out);
    }
}
