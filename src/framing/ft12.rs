//! Frames of the format class FT 1.2 (IEC 60870-5-1, clause 6.2.4.2) and their kin: M-Bus,
//! IEC 60870-5-101 to 103, PROFIBUS.
//!
//! ```text
//! start | body | sum | 16                 of a fixed length
//! 68 | L | L | 68 | body (L) | sum | 16
//! ```
//!
//! The sum is one of octets, without carry: 8 bits. So the octets that are always the same and the
//! length, which comes twice, must all be right before a run of octets is called a frame, damaged
//! or not. A single E5 is taken for a frame only where it directly follows a good one.

use super::Setup;
use super::hunt::{Format, Found, Hunter, Judgement};
use super::upper::Upper;
pub(super) use crate::ft12::{ACK, LONG, PRIMARY, SHORT};
use crate::ft12::{HEAD_LEN, STOP, body};
use crate::packet::{Batch, Direction, Notes};
use std::ops::RangeInclusive;

/// What one protocol of links between a station that asks and those that answer has of its own.
pub(super) trait Link: Send {
    /// For the Protocol column.
    const NAME: &str;

    /// What starts at the first octet, if it is no E5.
    fn judge(&self, octets: &[u8]) -> Judgement;

    /// The same once nothing follows.
    fn judge_last(&self, octets: &[u8]) -> Judgement {
        self.judge(octets)
    }
}

/// Makes a framer for such a protocol.
pub(super) fn framer<L: Link>(link: L, setup: &Setup) -> Hunter<LinkFormat<L>> {
    let upper = Upper::new("data", L::NAME);
    Hunter::new(LinkFormat { link, upper, after_good: false }, setup)
}

/// Its format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct LinkFormat<L> {
    link: L,
    upper: Upper,
    /// Whether the last octet was that of a good frame.
    after_good: bool,
}

impl<L: Link> LinkFormat<L> {
    fn is_ack(&self, octets: &[u8]) -> bool {
        self.after_good && octets.first() == Some(&ACK)
    }
}

impl<L: Link> Format for LinkFormat<L> {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr3(LONG, SHORT, ACK, octets).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.after_good
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        if self.is_ack(octets) { Judgement::Good(1) } else { self.link.judge(octets) }
    }

    fn judge_last(&self, octets: &[u8]) -> Judgement {
        if self.is_ack(octets) { Judgement::Good(1) } else { self.link.judge_last(octets) }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        self.link.judge(octets)
    }

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        let direction = match body(frame).and_then(<[u8]>::first) {
            _ if !notes.damage.is_none() => Direction::Unknown,
            Some(control) if control & PRIMARY != 0 => Direction::Outbound,
            _ => Direction::Inbound,
        };
        self.upper.record(direction, [frame, &[]], notes, out);
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.after_good = found == Found::Good;
    }

    fn reset(&mut self) {
        self.after_good = false;
    }
}

/// What a frame that starts with [`LONG`] is, if its length is one of these. Of lengths above 255
/// the low octet is on the line.
pub(super) fn long(octets: &[u8], lengths: RangeInclusive<usize>) -> Judgement {
    let counted = |length: u8| {
        let length = usize::from(length);
        [length, length + 256].into_iter().find(|length| lengths.contains(length))
    };
    let head = &octets[..octets.len().min(HEAD_LEN)];
    let length = match *head {
        [LONG] => Some(0),
        [LONG, length] => counted(length),
        [LONG, length, again] | [LONG, length, again, LONG] if length == again => counted(length),
        _ => None,
    };
    let Some(length) = length else { return Judgement::Nothing };
    if head.len() < HEAD_LEN {
        return Judgement::More(None);
    }
    let len = HEAD_LEN + length + 2;
    match octets.get(HEAD_LEN..len) {
        None => Judgement::More(Some(len)),
        Some([body @ .., check, STOP]) if sum(body) == *check => Judgement::Good(len),
        Some(_) => Judgement::Bad(len),
    }
}

/// What a frame of `len` octets is that starts with `start`; where it does not stop, nothing.
pub(super) fn fixed(octets: &[u8], start: u8, len: usize) -> Judgement {
    match octets.get(..len) {
        None if octets.first() == Some(&start) => Judgement::More(None),
        Some([first, body @ .., check, STOP]) if *first == start => {
            if sum(body) == *check {
                Judgement::Good(len)
            } else {
                Judgement::Bad(len)
            }
        }
        _ => Judgement::Nothing,
    }
}

/// The check sum of these octets.
fn sum(octets: &[u8]) -> u8 {
    octets.iter().fold(0, |sum, octet| sum.wrapping_add(*octet))
}
