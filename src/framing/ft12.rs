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
//! or not.

use super::hunt::Judgement;
pub(super) use crate::ft12::{ACK, LONG, SHORT, body};
use crate::ft12::{HEAD_LEN, STOP};
use std::ops::RangeInclusive;

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
