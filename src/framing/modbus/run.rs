//! What octets between two pauses are, whatever their layout.

use super::layout::{self, EXCEPTION, MAX_LEN, MIN_LEN, crc_fits};

/// How many octets of noise there are before the one frame of any layout that a run between two
/// pauses is, and how long that is.
pub(super) fn whole(run: &[u8]) -> Option<(usize, usize)> {
    if run.len() > MAX_LEN + 2 {
        return None;
    }
    for (front, back) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let Some(mut frame) = run.get(front..run.len().saturating_sub(back)) else { continue };
        if !is_frame(frame) {
            continue;
        }
        // A CRC that fits goes on to fit with each octet 00 behind it.
        while let Some((0, shorter)) = frame.split_last()
            && is_frame(shorter)
        {
            frame = shorter;
        }
        return Some((front, frame.len()));
    }
    None
}

/// How long the first of two frames of one unit and one function is, that are a run together.
pub(super) fn answered(run: &[u8]) -> Option<usize> {
    (MIN_LEN..run.len().checked_sub(MIN_LEN)? + 1).find(|&len| {
        let (first, second) = run.split_at(len);
        second[0] == first[0]
            && layout::plain_function(second[1]) == first[1]
            && is_frame(first)
            && whole(second).is_some_and(|(noise, _)| noise == 0)
    })
}

/// Whether octets are a frame of any layout.
pub(super) fn is_frame(octets: &[u8]) -> bool {
    (MIN_LEN..=MAX_LEN).contains(&octets.len())
        && match octets[1] {
            0 | EXCEPTION => false,
            function if function & EXCEPTION != 0 => octets.len() == MIN_LEN + 1,
            _ => true,
        }
        && crc_fits(octets)
}
