//! Records: what sniffers wrap a frame of the air in, with its strength, quality and time.
//!
//! A [`Format`] says what a record is; [`Records`] walks it along the line, dates packets by the
//! sniffer's clock ([`super::device_clock`]) and accounts for the octets.
//!
//! A record that came whole becomes a packet: a TAP header ([`super::wpan::Tap`]) and the PSDU as
//! the sniffer gave it. One that is cut off or garbled becomes none, since there is no telling
//! which of its octets are right: it counts as a damaged frame, and its octets as skipped. A frame
//! that the sniffer itself calls damaged is recorded, and flagged.
//!
//! Work per octet: a push judges what is held from its first octet on, so that a record is read
//! once a push until it is whole. Memory: the longest record of the format and a chunk.

use super::device_clock::DeviceClock;
use super::wpan::{MAX_PSDU, Tap};
use super::{Setup, Window, Windowed};
use crate::packet::{Batch, Damage, Notes};
use std::mem;

/// What the octets at a position are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Judgement {
    /// No record starts here.
    Nothing,
    /// A record may start here: the octets are too few to tell.
    Perhaps,
    /// A record starts here that has not ended.
    Open,
    /// So many octets are neither a record nor what is left of one.
    Noise(usize),
    /// So many octets are what is left of a record.
    Lost(usize),
    /// So many octets are something else that the sniffer has to say.
    Message(usize),
    /// So many octets are how the sniffer tells that it has booted.
    Boot(usize),
    /// So many octets are a record.
    Record(usize, Heard),
}

/// What a record says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Heard {
    /// What is known about the frame.
    pub(super) tap: Tap,
    /// Its octets; with none of them there is no packet.
    pub(super) psdu: Vec<u8>,
    /// When it was heard, in ticks of the sniffer's clock.
    pub(super) count: Option<u64>,
    /// Whether it came damaged over the air.
    pub(super) is_damaged: bool,
}

/// How a sniffer counts time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    /// Bits of the counter.
    pub(super) bits: u32,
    /// How often a second it counts.
    pub(super) hz: u64,
}

/// A record format.
pub(super) trait Format: Send {
    /// How the sniffer counts time. What has no clock has any.
    const TICKS: Ticks = Ticks { bits: 32, hz: 1_000_000 };

    /// How far it is to the first position that may start a record; `octets.len()` if none is here.
    fn find(&self, octets: &[u8]) -> usize;

    /// What starts at the first octet; there is at least one. Unless it waits for more, more octets
    /// change nothing. If nothing follows (`closed`), what needs no more is not to be waited for.
    fn judge(&self, octets: &[u8], closed: bool) -> Judgement;

    /// Whether an octet between records means nothing.
    fn is_trivial(&self, _octet: u8) -> bool {
        false
    }
}

/// A framer for any [`Format`].
pub(super) struct Records<F> {
    format: F,
    window: Window,
    clock: DeviceClock,
    /// The channel that the sniffer was told, for records that do not say theirs.
    channel: Option<u8>,
    restarted: bool,
    /// Whether what was skipped since the last record means something.
    strange: bool,
}

impl<F: Format> Records<F> {
    pub(super) fn new(format: F, setup: &Setup) -> Self {
        Self {
            format,
            window: Window::new(setup),
            clock: DeviceClock::new(F::TICKS.bits, F::TICKS.hz, setup.timed),
            channel: setup.channel,
            restarted: false,
            strange: false,
        }
    }

    /// Reads what can be read; all of it if nothing follows (`closed`).
    fn read(&mut self, closed: bool, out: &mut Batch) {
        while !self.window.octets().is_empty() {
            let ahead = self.format.find(self.window.octets());
            if ahead > 0 {
                self.skip(ahead);
                continue;
            }
            match self.format.judge(self.window.octets(), closed) {
                Judgement::Perhaps | Judgement::Open if !closed => return,
                Judgement::Nothing | Judgement::Perhaps => self.skip(1),
                Judgement::Open => self.lose(1),
                Judgement::Noise(len) => self.skip(len),
                Judgement::Lost(len) => self.lose(len),
                Judgement::Record(len, heard) if heard.psdu.is_empty() => self.lose(len),
                Judgement::Record(len, heard) => self.emit(len, &heard, out),
                Judgement::Message(len) => self.take_message(len),
                Judgement::Boot(len) => {
                    self.take_message(len);
                    self.clock.reset();
                    self.restarted = true;
                }
            }
        }
    }

    fn skip(&mut self, len: usize) {
        let octets = &self.window.octets()[..len];
        self.strange = self.strange || !octets.iter().all(|&octet| self.format.is_trivial(octet));
        self.window.skip(len);
    }

    /// It is skipped, but no reason to wonder.
    fn take_message(&mut self, len: usize) {
        self.window.taken += len;
        self.window.tally.skipped_octets += len as u64;
    }

    fn lose(&mut self, len: usize) {
        self.window.skip(len);
        self.window.tally.damaged_frames += 1;
        self.strange = true;
    }

    fn emit(&mut self, len: usize, heard: &Heard, out: &mut Batch) {
        let arrival = self.window.time_of(0);
        let time = heard.count.map_or(arrival, |count| self.clock.time_of(count, arrival));
        self.restarted |= self.clock.restarted();
        let notes = if heard.is_damaged {
            self.window.damaged_at(len, time)
        } else {
            self.window.good_at(len, time)
        };
        let skipped_before = if mem::take(&mut self.strange) { notes.skipped_before } else { 0 };
        let damage = if heard.is_damaged { Damage::CRC_ERROR } else { Damage::NONE };
        let tap = Tap { channel: heard.tap.channel.or(self.channel), ..heard.tap };
        out.push(&[&tap.header(), &heard.psdu], Notes { skipped_before, damage, ..notes });
    }
}

impl<F: Format> Windowed for Records<F> {
    fn window(&self) -> &Window {
        &self.window
    }

    fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    fn cut(&mut self, closed: bool, out: &mut Batch) {
        self.read(closed, out);
    }

    fn forget(&mut self) {
        self.clock.reset();
    }

    fn set_channel(&mut self, channel: Option<u8>) {
        self.channel = channel;
    }

    fn has_restarted(&mut self) -> bool {
        mem::take(&mut self.restarted)
    }
}

/// How far it is to the first of these marks, or to what may become one.
pub(super) fn find_mark(octets: &[u8], marks: &[&[u8]]) -> usize {
    let mut found = octets.len();
    for mark in marks {
        // One octet at a time: marks begin with rare ones, and most reads are short.
        let starts = memchr::memchr_iter(mark[0], &octets[..found]);
        let is_mark = |at: &usize| {
            let rest = &octets[*at..];
            rest.starts_with(mark) || mark.starts_with(rest)
        };
        found = starts.into_iter().find(is_mark).unwrap_or(found);
    }
    found
}

/// Which line starts with a mark, and what it is without its mark and its end; or why there is none.
pub(super) fn line_of<'a>(
    octets: &'a [u8],
    marks: &[&[u8]],
    max_len: usize,
) -> Result<(usize, &'a [u8], usize), Judgement> {
    let (which, text, len) = text_of(octets, marks, b'\n', max_len)?;
    Ok((which, text.strip_suffix(b"\r").unwrap_or(text), len))
}

/// The same of a text that goes up to `end`.
pub(super) fn text_of<'a>(
    octets: &'a [u8],
    marks: &[&[u8]],
    end: u8,
    max_len: usize,
) -> Result<(usize, &'a [u8], usize), Judgement> {
    let Some(which) = marks.iter().position(|mark| octets.starts_with(mark)) else {
        let may_be = marks.iter().any(|mark| mark.starts_with(octets));
        return Err(if may_be { Judgement::Perhaps } else { Judgement::Nothing });
    };
    let mark = marks[which].len();
    let seen = &octets[..octets.len().min(max_len + 1)];
    let Some(end) = memchr::memchr(end, &seen[mark..]).map(|at| mark + at) else {
        return Err(if seen.len() > max_len { Judgement::Lost(mark) } else { Judgement::Open });
    };
    let text = &octets[mark..end];
    // Another mark in it: its end was lost, or something else was said in between.
    let is_mark = |at: &usize| marks.iter().any(|mark| text[*at..].starts_with(mark));
    match (0..text.len()).find(is_mark) {
        Some(again) => Err(Judgement::Lost(mark + again)),
        None => Ok((which, text, end + 1)),
    }
}

/// The octets that are written in hex, two digits each, if they are a PSDU.
pub(super) fn hex_psdu(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || !(1..=MAX_PSDU).contains(&pairs.len()) {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

/// A decimal number.
pub(super) fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_whole_or_in_part() {
        let marks: [&[u8]; 2] = [b"psdu: ", b"power"];
        assert_eq!(find_mark(b"xx psdu: ab", &marks), 3);
        assert_eq!(find_mark(b"power psdu: ab", &marks), 0);
        assert_eq!(find_mark(b"xx psd", &marks), 3);
        assert_eq!(find_mark(b"psdx", &marks), 4);
    }

    #[test]
    fn digits_come_in_pairs() {
        assert_eq!(hex_psdu(b"0aFf"), Some(vec![0x0a, 0xff]));
        for wrong in [&b""[..], b"0", b"0g", b"0x", &[b'0'; 256]] {
            assert_eq!(hex_psdu(wrong), None);
        }
    }
}
