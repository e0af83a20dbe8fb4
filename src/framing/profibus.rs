//! PROFIBUS (IEC 61158-4-3): telegrams of the data link layer, FDL.
//!
//! ```text
//! E5                                            SC, acknowledged
//! 10 | DA | SA | FC | sum | 16                  SD1, no data
//! 68 | LE | LE | 68 | DA | SA | FC | data | sum | 16    SD2
//! A2 | DA | SA | FC | data (8) | sum | 16       SD3
//! DC | DA | SA                                  SD4, the token
//! ```
//!
//! [`ft12`] has the frames but for the token, which has no check: it is taken for one only where it
//! directly follows a good telegram, or where the station that gets it speaks next. A single E5 is
//! one only behind a good telegram. Wireshark 4.0 refuses files of the link type for PROFIBUS (257), so
//! packets are data with the name PROFIBUS, and what they say is in a comment.

use super::hunt::{Format, Found, Hunter, Judgement, Starts};
use super::upper::Upper;
use super::{Protocol, Setup, ft12};
use crate::dissect;
use crate::exported_pdu;
use crate::ft12::{Fit, fits_profibus};
use crate::line::{Line, LineFormat};
use crate::packet::{Batch, Direction, LinkType, Notes};
use std::ops::RangeInclusive;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "profibus",
    help: "PROFIBUS DP telegrams on RS-485",
    line: Line { baud: 1_500_000, format: LineFormat::EIGHT_E_1 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: true,
    sniffer: None,
    when_silent: "check that the adapter is wired to a bus with a master",
    when_senseless: "check the rate (-b 19200, 93750, 187500, 500000), and that A and B are not \
                     swapped",
    dissector: dissect::profibus::words,
    comment: true,
    proof,
    ..Protocol::PLAIN
};

/// Start, stop, sum and a bit of FC that is always 0; for SD2 the second length and start. A token
/// has its start and two addresses below 127. Answers without data are those of its kin as well.
fn proof(packet: &[u8]) -> u8 {
    let frame = exported_pdu::split(packet).map_or(packet, |(_, frame)| frame);
    match (fits_profibus(frame), frame.first()) {
        (_, Some(&TOKEN)) => 10,
        (Fit::Not, _) => 0,
        (Fit::Shared, _) => 1,
        // Its addresses may be anything in the long frames of its kin.
        (Fit::Own, Some(&ft12::LONG)) => 19,
        (Fit::Own, _) => 25,
    }
}

/// Starts a telegram with eight octets of data.
const DATA_8: u8 = 0xa2;
/// Starts a token.
const TOKEN: u8 = 0xdc;
const TOKEN_LEN: usize = 3;
/// Of telegrams without data and with eight octets.
const SHORT_LEN: usize = 6;
const DATA_8_LEN: usize = 14;
/// What LE counts: DA, SA, FC and data.
const LENGTHS: RangeInclusive<usize> = 4..=249;
/// Of stations; 127 is all of them together.
const ADDRESSES: RangeInclusive<u8> = 0..=126;
/// FC: always 0.
const RESERVED: u8 = 0x80;

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Profibus> {
    Hunter::new(Profibus { upper: Upper::new("data", "PROFIBUS"), after_good: false }, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct Profibus {
    upper: Upper,
    /// Whether the last octet was that of a good telegram.
    after_good: bool,
}

impl Format for Profibus {
    fn find(&self, octets: &[u8]) -> usize {
        static STARTS: Starts = Starts::of(&[ft12::LONG, ft12::SHORT, ft12::ACK, DATA_8, TOKEN]);
        STARTS.find(octets)
    }

    fn is_due(&self) -> bool {
        self.after_good
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        match *octets {
            [ft12::ACK, ..] if self.after_good => Judgement::Good(1),
            [TOKEN, to, from, ..] if self.after_good && are_stations(to, from) => {
                Judgement::Good(TOKEN_LEN)
            }
            _ => self.judge_inside(octets),
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        match *octets {
            [ft12::SHORT | DATA_8, _, _, fc, ..] if fc & RESERVED != 0 => Judgement::Nothing,
            [ft12::SHORT, ..] => ft12::fixed(octets, ft12::SHORT, SHORT_LEN),
            [DATA_8, ..] => ft12::fixed(octets, DATA_8, DATA_8_LEN),
            [ft12::LONG, length, again, ft12::LONG, _, _, fc, ..]
                if length == again && fc & RESERVED != 0 =>
            {
                Judgement::Nothing
            }
            [TOKEN, to, from, ref next @ ..] if are_stations(to, from) => match speaker(next) {
                Some(Some(speaker)) if speaker == to => Judgement::Good(TOKEN_LEN),
                None => Judgement::More(None),
                _ => Judgement::Nothing,
            },
            [TOKEN] | [TOKEN, _] => Judgement::More(None),
            _ => ft12::long(octets, LENGTHS),
        }
    }

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        self.upper.record(Direction::Unknown, [frame, &[]], notes, out);
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.after_good = found == Found::Good;
    }

    fn reset(&mut self) {
        self.after_good = false;
    }
}

fn are_stations(to: u8, from: u8) -> bool {
    ADDRESSES.contains(&to) && ADDRESSES.contains(&from)
}

/// Who sends what begins here, if that is anything; `None` if that takes more octets.
fn speaker(octets: &[u8]) -> Option<Option<u8>> {
    match *octets {
        [TOKEN | ft12::SHORT | DATA_8, _, from, ..] => Some(Some(from & !RESERVED)),
        [ft12::LONG, length, again, ft12::LONG, _, from, ..] if length == again => {
            Some(Some(from & !RESERVED))
        }
        [TOKEN | ft12::SHORT | DATA_8, ref rest @ ..] if rest.len() < 2 => None,
        [ft12::LONG, ref rest @ ..] if rest.len() < 5 => None,
        [] => None,
        _ => Some(None),
    }
}
