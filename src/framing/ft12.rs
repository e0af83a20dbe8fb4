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

/// What a frame that starts with [`LONG`] is, if its length is one of these.
pub(super) fn long(octets: &[u8], lengths: RangeInclusive<u8>) -> Judgement {
    let head = &octets[..octets.len().min(HEAD_LEN)];
    let is_head = match *head {
        [LONG] => true,
        [LONG, length] => lengths.contains(&length),
        [LONG, length, again] => lengths.contains(&length) && length == again,
        [LONG, length, again, LONG] => lengths.contains(&length) && length == again,
        _ => false,
    };
    if !is_head {
        return Judgement::Nothing;
    }
    if head.len() < HEAD_LEN {
        return Judgement::More(None);
    }
    let len = HEAD_LEN + usize::from(head[1]) + 2;
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
