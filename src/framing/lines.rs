//! Lines of text: what framings of characters have in common.
//!
//! A frame is a line, from an octet that starts it to its end. Work per octet: a line is read once
//! for each read that brings more of it, so at most [`Sentence::MOST`] octets for each octet.

use super::hunt::{Format, Judgement};
use crate::packet::{Batch, Notes};

/// A line at the start of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// No end yet, and nothing that could not be of it.
    Open,
    /// Its text and with its end, in octets.
    Ended { text: usize, len: usize },
    /// Behind so many octets of text is one that cannot be of it.
    Broken(usize),
}

/// A character that is shown.
pub(super) fn is_text(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
}

/// The line at the start of `octets`: text of at most `most` octets; CR LF, LF or CR.
pub(super) fn line(octets: &[u8], most: usize, is_text: fn(u8) -> bool) -> Line {
    let Some(text) = octets.iter().take(most + 1).position(|octet| !is_text(*octet)) else {
        return if octets.len() > most { Line::Broken(most) } else { Line::Open };
    };
    match octets[text..] {
        [b'\r', b'\n', ..] => Line::Ended { text, len: text + 2 },
        [b'\r'] => Line::Open,
        [b'\r' | b'\n', ..] => Line::Ended { text, len: text + 1 },
        _ => Line::Broken(text),
    }
}

/// A format whose frames are single lines.
pub(super) trait Sentence: Send {
    /// Octets of the longest line, without its first and its end.
    const MOST: usize;
    /// Octets of the shortest one, with its end.
    const LEAST: usize;

    /// How far it is to the first octet that may start a line; `octets.len()` if none does.
    fn find(&self, octets: &[u8]) -> usize;

    /// Octets before the first of a line that belong to it; `None` if that takes more of them.
    fn before(&self, _octets: &[u8]) -> Option<usize> {
        Some(0)
    }

    /// Whether a line starts with this octet, behind what is before it.
    fn starts(&self, _octet: u8) -> bool {
        true
    }

    /// Whether an octet may stand behind the first.
    fn may_follow(octet: u8) -> bool;

    /// Whether text behind the first octet begins like a frame; `None` if that takes more of it.
    fn is_head(&self, text: &[u8]) -> Option<bool>;

    /// Whether all the text behind the first octet, which begins like a frame, makes a good one.
    fn is_good(&self, text: &[u8]) -> bool;

    /// Adds the packet of a line.
    fn record(&self, line: &[u8], notes: Notes, out: &mut Batch);
}

/// The format of a [`Sentence`] for the [`Hunter`](super::hunt::Hunter).
#[derive(Debug)]
pub(super) struct Sentences<S>(pub(super) S);

impl<S: Sentence> Format for Sentences<S> {
    fn find(&self, octets: &[u8]) -> usize {
        self.0.find(octets)
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        let Some(before) = self.0.before(octets) else { return Judgement::More(None) };
        let Some((start, octets)) = octets[before..].split_first() else {
            return Judgement::More(None);
        };
        if !self.0.starts(*start) {
            return Judgement::Nothing;
        }
        let line = line(octets, S::MOST, S::may_follow);
        let text = match line {
            Line::Ended { text, .. } | Line::Broken(text) => &octets[..text],
            Line::Open => octets.strip_suffix(b"\r").unwrap_or(octets),
        };
        match (line, self.0.is_head(text)) {
            (Line::Open, None) => Judgement::More(None),
            (Line::Open, Some(true)) => Judgement::More(Some(before + S::LEAST)),
            (Line::Ended { len, .. }, Some(true)) if self.0.is_good(text) => {
                Judgement::Good(before + 1 + len)
            }
            (Line::Ended { len, .. }, Some(true)) => Judgement::Bad(before + 1 + len),
            (Line::Broken(len), Some(true)) => Judgement::Cut(before + 1 + len),
            _ => Judgement::Nothing,
        }
    }

    fn record(&self, recorded: &[u8], notes: Notes, out: &mut Batch) {
        self.0.record(recorded, notes, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_with_cr_lf_or_one_of_them() {
        let line = |octets: &[u8]| line(octets, 4, is_text);
        assert_eq!(line(b"ab"), Line::Open);
        assert_eq!(line(b"ab\r"), Line::Open);
        assert_eq!(line(b"ab\r\nc"), Line::Ended { text: 2, len: 4 });
        assert_eq!(line(b"ab\nc"), Line::Ended { text: 2, len: 3 });
        assert_eq!(line(b"ab\rc"), Line::Ended { text: 2, len: 3 });
        assert_eq!(line(b"ab\xffc"), Line::Broken(2));
        assert_eq!(line(b"abcd"), Line::Open);
        assert_eq!(line(b"abcd\n"), Line::Ended { text: 4, len: 5 });
        assert_eq!(line(b"abcde"), Line::Broken(4));
    }
}
