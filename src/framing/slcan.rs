//! slcan: CAN frames as lines of text, from adapters that speak as Lawicel's do.
//!
//! ```text
//! t 123 2 AABB CR     identifier of 11 bits, length, data       r the same as a remote request
//! T 12ABCDEF 2 AABB   identifier of 29 bits                      R
//! d D                 CAN FD                                    b B with bit-rate switch
//! ```
//!
//! The adapter's time may follow, in four digits or eight, of which no use is made; and behind a frame
//! of CAN FD whether its sender is error passive: a digit of 1 (0 if not), or the letter S. A `z` or
//! `Z` in front says that the adapter has sent the frame. Commands, answers and whatever else is a line
//! are no packets. A frame is recorded as Linux has it (SocketCAN). slcan has
//! no check sequence: what is a frame has exactly the digits that its length asks for, up to the end
//! of its line.

use super::{Protocol, Setup, Window, Windowed};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Batch, LinkType};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "slcan",
    help: "CAN frames as text from an slcan adapter",
    line: Line::at(115_200),
    link_type: LinkType::CAN_SOCKETCAN,
    framer: |setup| Box::new(Slcan::new(setup)),
    when_silent: "check that the adapter's channel is open (O), and that something talks on the bus",
    when_senseless: "check the rate, and that the adapter speaks slcan",
    dissector: dissect::can::words,
    proof,
    ..Protocol::PLAIN
};

/// Each digit is one of 22 characters out of 256, and their number is right. The letters of CAN FD are
/// digits too, so that a dump in hex has lines that are such frames.
fn proof(packet: &[u8]) -> u8 {
    let is_fd = packet.get(5).is_some_and(|flags| flags & FD != 0);
    if is_fd { 6 } else { (16 + 3 * packet.len().min(10)) as u8 }
}

/// Characters of the longest line: CAN FD with an identifier of 29 bits, all that may be in front of it
/// and behind it.
const MAX_LINE: usize = 1 + 1 + 8 + 1 + 2 * 64 + 8 + 1;
/// Octets before the data of a recorded frame.
const HEADER_LEN: usize = 8;
/// Flags of an identifier in SocketCAN.
const EXTENDED: u32 = 0x8000_0000;
const REMOTE: u32 = 0x4000_0000;
/// Flags of CAN FD: bit-rate switch, a sender that is error passive, and that it is CAN FD.
const BIT_RATE_SWITCH: u8 = 0x01;
const ERROR_PASSIVE: u8 = 0x02;
const FD: u8 = 0x04;
/// Octets of data that a length of CAN FD stands for.
const FD_LENGTHS: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64];

#[derive(Debug)]
struct Slcan {
    window: Window,
    /// Up to here no line ends in the held octets.
    searched: usize,
}

impl Slcan {
    fn new(setup: &Setup) -> Self {
        Self { window: Window::new(setup), searched: 0 }
    }

    /// Judges the lines that are there; with `closed` what is open is none.
    fn read(&mut self, closed: bool, out: &mut Batch) {
        while !self.window.octets().is_empty() {
            let octets = self.window.octets();
            let end = memchr::memchr3(b'\r', b'\n', 0x07, &octets[self.searched..]);
            let end = end.map(|at| self.searched + at);
            self.searched = 0;
            // What is before the last characters of a line that is too long is no frame.
            let before = end.unwrap_or(octets.len()).saturating_sub(MAX_LINE);
            if before > 0 {
                self.window.skip(before);
                continue;
            }
            match end {
                Some(0) => self.window.pad(1), // answers, and ends of lines in two characters
                Some(end) => self.line(end, out),
                None if closed => self.window.skip(octets.len()),
                None => {
                    self.searched = octets.len();
                    return;
                }
            }
        }
    }

    /// The first `len` octets are a line, without its end.
    fn line(&mut self, len: usize, out: &mut Batch) {
        let line = &self.window.octets()[..len];
        // A line that was cut off has no end of its own. Behind a frame's first character are digits.
        let digits = line.strip_suffix(b"S").unwrap_or(line).iter().rev();
        let digits = digits.take_while(|octet| octet.is_ascii_hexdigit()).count();
        let first = len.saturating_sub(digits + 1 + usize::from(line.ends_with(b"S")));
        // A frame in the middle of digits has the plainest form only: it may be digits of another's.
        let found = (first..len).find_map(|at| Some((at, frame(&line[at..], at > first + 1)?)));
        let is_report = matches!(line, [b'z' | b'Z', ..]);
        match found {
            Some((1, frame)) if is_report => {
                let notes = self.window.good(len + 1);
                out.push(&[&frame], notes);
            }
            Some((at, frame)) => {
                if at > 0 {
                    self.window.skip(at);
                }
                let notes = self.window.good(len + 1 - at);
                out.push(&[&frame], notes);
            }
            None => self.window.skip(len + 1),
        }
    }
}

/// The frame that a line is, as SocketCAN has it; with `is_plain` nothing but four digits may follow it.
fn frame(line: &[u8], is_plain: bool) -> Option<Vec<u8>> {
    let (line, has_s) = line.strip_suffix(b"S").map_or((line, false), |line| (line, true));
    let (&kind, digits) = line.split_first()?;
    let (is_extended, is_remote, flags) = match kind {
        b't' => (false, false, 0),
        b'T' => (true, false, 0),
        b'r' => (false, true, 0),
        b'R' => (true, true, 0),
        b'd' => (false, false, FD),
        b'D' => (true, false, FD),
        b'b' => (false, false, FD | BIT_RATE_SWITCH),
        b'B' => (true, false, FD | BIT_RATE_SWITCH),
        _ => return None,
    };
    let (id, digits) = digits.split_at_checked(if is_extended { 8 } else { 3 })?;
    let id = number(id)?;
    let most = if is_extended { 0x1fff_ffff } else { 0x7ff };
    let (code, digits) = digits.split_at_checked(1)?;
    let code = number(code)? as u8;
    let len = if flags == 0 { code } else { FD_LENGTHS[usize::from(code)] };
    if id > most || flags == 0 && len > 8 {
        return None;
    }
    let sent = if is_remote { 0 } else { 2 * usize::from(len) };
    let (data, behind) = digits.split_at_checked(sent)?;
    let (time_len, is_passive) = match *behind {
        [.., digit] if flags != 0 && !has_s && behind.len() % 4 == 1 => {
            (behind.len() - 1, b"01".contains(&digit).then_some(digit == b'1')?)
        }
        _ => (behind.len(), has_s),
    };
    if has_s && flags == 0 || !matches!(time_len, 0 | 4 | 8) || number(behind).is_none() {
        return None;
    }
    if is_plain && (has_s || !matches!(behind.len(), 0 | 4)) {
        return None;
    }
    let flags = if is_passive { flags | ERROR_PASSIVE } else { flags };
    let mark = if is_extended { EXTENDED } else { 0 } | if is_remote { REMOTE } else { 0 };
    let mut frame = Vec::with_capacity(HEADER_LEN + data.len() / 2);
    frame.extend((id | mark).to_be_bytes());
    frame.extend([len, flags, 0, 0]);
    for pair in data.chunks_exact(2) {
        frame.push(number(pair)? as u8);
    }
    Some(frame)
}

/// Digits as a number; of more than eight the last ones count.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | digit)
    })
}

impl Windowed for Slcan {
    fn window(&self) -> &Window {
        &self.window
    }

    fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    fn cut(&mut self, closed: bool, out: &mut Batch) {
        self.read(closed, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Framer;
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn lines_become_frames() {
        let said = |line: &str| frame(line.as_bytes(), false);
        assert_eq!(said("t4563112233"), Some(b"\0\0\x04\x56\x03\0\0\0\x11\x22\x33".to_vec()));
        assert_eq!(said("t4563112233ABCD"), said("t4563112233"));
        assert_eq!(said("T12ABCDEF2AA55"), Some(b"\x92\xab\xcd\xef\x02\0\0\0\xaa\x55".to_vec()));
        assert_eq!(said("r1238"), Some(b"\x40\0\x01\x23\x08\0\0\0".to_vec()));
        assert_eq!(said("R12ABCDEF6"), Some(b"\xd2\xab\xcd\xef\x06\0\0\0".to_vec()));
        assert_eq!(
            said("b12391122334455667788aabbccdd").map(|frame| frame[4..6].to_vec()),
            Some(vec![12, 5])
        );
        for none in
            ["", "t", "t8001AA", "t1239", "t1232AA", "t1232AAB", "t1231AAxyzw", "S6", "O", "V1013"]
        {
            assert_eq!(said(none), None, "{none}");
        }
    }

    #[test]
    fn what_adapters_add_to_a_frame() {
        let line = "t4563112233000003E8\rT12ABCDEF2AA551234ABCD\rr123812345678\rzt1231AA\r\
                    zd03F01\rb1231AAFFFF0\rZB123456781BB123456781\rb7E02CCDDS\rd7E01EE2\r\
                    t1231AAS\rt1238D0000000011223344\r";
        let mut framer = Slcan::new(&Setup::new(115_200));
        let mut batch = Batch::new(0);
        framer.push(line.as_bytes(), Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        let found: Vec<_> = batch.packets().map(|packet| packet.data.to_vec()).collect();
        let expected = [
            &b"\0\0\x04\x56\x03\0\0\0\x11\x22\x33"[..],
            b"\x92\xab\xcd\xef\x02\0\0\0\xaa\x55",
            b"\x40\0\x01\x23\x08\0\0\0",
            b"\0\0\x01\x23\x01\0\0\0\xaa",
            b"\0\0\0\x3f\0\x06\0\0",
            b"\0\0\x01\x23\x01\x05\0\0\xaa",
            b"\x92\x34\x56\x78\x01\x07\0\0\xbb",
            b"\0\0\x07\xe0\x02\x07\0\0\xcc\xdd",
        ];
        assert_eq!(
            (found, framer.tally().skipped_octets),
            (expected.map(<[u8]>::to_vec).to_vec(), 41)
        );
    }

    #[test]
    fn what_may_be_a_line_of_hex_digits_does_not_speak_for_it() {
        let proved = |line: &str| frame(line.as_bytes(), false).map(|packet| proof(&packet));
        assert_eq!((proved("t4563112233"), proved("d4563112233")), (Some(46), Some(6)));
        assert_eq!(proved("b12391122334455667788aabbccdd"), Some(6));
    }

    #[test]
    fn answers_and_cut_lines_are_no_packets() {
        let mut framer = Slcan::new(&Setup::new(115_200));
        let mut batch = Batch::new(0);
        let long = "x".repeat(200);
        let line = format!("V1013\r\x07\rz\rt1231AA\r\nt12t1231BB\r{long}t1231CC\rt1231DD\rt12");
        for octet in line.bytes() {
            framer.push(&[octet], Timestamp::default(), &mut batch);
        }
        framer.finish(&mut batch);
        let found: Vec<_> = batch.packets().map(|packet| packet.data[8]).collect();
        assert_eq!(found, [0xaa, 0xbb, 0xcc, 0xdd]);
    }
}
