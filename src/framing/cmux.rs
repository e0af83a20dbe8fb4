//! The multiplexer of mobile network modules (3GPP TS 27.010, basic option): several channels on one
//! line.
//!
//! ```text
//! F9 | address | control | length (1 or 2) | information | FCS | F9
//! ```
//!
//! The address has the channel (DLCI); the length counts the information, doubled, and its lowest bit
//! says that there is one octet of it. The FCS covers address, control and length, and with UI the
//! information. One F9 may end a frame and begin the next, so that the one behind a frame is not taken
//! as part of it. The advanced option, with escapes in place of lengths, is not read.
//!
//! The record (`LINKTYPE_MUX27010`, as Wireshark reads it) has in front of the F9 an octet 00, for no
//! further header, and the direction: 0 to the module, 1 from it. Where the port does not say
//! which, the C/R bit does: the host has opened the multiplexer, so that 1 in its commands and 0 in
//! its answers are its own.

use super::Protocol;
use super::hunt::{Format, Found, Hunter, Judgement};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Batch, Direction, LinkType, Notes};
use crc::{Algorithm, CRC_8_ROHC, Crc};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "cmux",
    help: "the multiplexer of mobile network modules (3GPP 27.010, basic option)",
    line: Line::at(115_200),
    link_type: LinkType::MUX27010,
    framer: |setup| Box::new(Hunter::new(Cmux::new(setup.direction), setup)),
    when_silent: "check that the adapter is wired to the line between host and module",
    when_senseless: "check the rate; before AT+CMUX there are AT commands only, and the advanced \
                     option is not read",
    dissector: dissect::cmux::words,
    // Both flags, control, FCS.
    proof: |_| 28,
    ..Protocol::PLAIN
};

const FLAG: u8 = 0xf9;
/// More information than any module takes: the standard's default is 31, and 1500 is usual.
const MAX_LEN: usize = 4000;

/// The FCS of clause 5.2.1.6.
const FCS: Crc<u8> = Crc::<u8>::new(&Algorithm { xorout: 0xff, check: 0, ..CRC_8_ROHC });

/// The format for the [`Hunter`].
#[derive(Debug)]
struct Cmux {
    /// Of the port.
    direction: Direction,
    /// Whether a frame ended directly before, so that a flag which begins none is its last octet.
    is_behind_one: bool,
}

impl Cmux {
    fn new(direction: Direction) -> Self {
        Self { direction, is_behind_one: false }
    }
}

impl Format for Cmux {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr(FLAG, octets).unwrap_or(octets.len())
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        match judge(octets) {
            Judgement::Nothing if self.is_behind_one && octets.first() == Some(&FLAG) => {
                Judgement::Pad(1)
            }
            judgement => judgement,
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        judge(octets)
    }

    fn judge_last(&self, octets: &[u8]) -> Judgement {
        match judge(octets) {
            Judgement::More(None) if self.is_behind_one => Judgement::Pad(1),
            _ => self.judge(octets),
        }
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.is_behind_one = matches!(found, Found::Good | Found::Damaged);
    }

    fn reset(&mut self) {
        self.is_behind_one = false;
    }

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        let direction = match self.direction {
            Direction::Unknown => direction(frame),
            known => known,
        };
        let head = [0, u8::from(direction == Direction::Inbound)];
        let original_len = notes.original_len + head.len() as u32;
        out.push(&[&head, frame], Notes { direction, original_len, ..notes });
    }
}

/// What starts at the first octet.
fn judge(octets: &[u8]) -> Judgement {
    let &[FLAG, ref rest @ ..] = octets else { return Judgement::Nothing };
    match *rest {
        [FLAG, ..] => return Judgement::Pad(1),
        // A channel of 62 or 63 there is not, nor an address of two octets.
        [address, ..] if address & 1 == 0 || address >> 2 > 61 => return Judgement::Nothing,
        [_, control, ..] if dissect::cmux::kind(control).is_none() => return Judgement::Nothing,
        _ => {}
    }
    let (len, head_len) = match *rest {
        [_, _, low, ..] if low & 1 == 1 => (usize::from(low >> 1), 3),
        [_, _, low, high, ..] => (usize::from(low >> 1) | usize::from(high) << 7, 4),
        _ => return Judgement::More(None),
    };
    let control = rest.get(1).copied().unwrap_or_default();
    let has_information = dissect::cmux::has_information(control);
    if len > MAX_LEN || len > 0 && !has_information {
        return Judgement::Nothing;
    }
    let whole = 1 + head_len + len + 1;
    let Some(&closing) = octets.get(whole) else { return Judgement::More(Some(whole)) };
    let covered_len = if dissect::cmux::is_covered(control) { head_len + len } else { head_len };
    let fits = rest.get(..covered_len).map(|covered| FCS.checksum(covered))
        == octets.get(whole - 1).copied();
    match (closing == FLAG, fits) {
        (true, true) => Judgement::Good(whole),
        (true, false) => Judgement::Bad(whole),
        (false, _) => Judgement::Nothing,
    }
}

/// Which way a frame goes, by its C/R bit.
fn direction(frame: &[u8]) -> Direction {
    let &[_, address, control, ..] = frame else { return Direction::Unknown };
    let is_set = address & 2 != 0;
    if is_set == dissect::cmux::is_command(control) {
        Direction::Outbound
    } else {
        Direction::Inbound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fcs_of_the_frames_that_open_a_channel() {
        // SABM and UA of channel 0, as every module has them.
        assert_eq!(judge(b"\xf9\x03\x3f\x01\x1c\xf9"), Judgement::Good(5));
        assert_eq!(judge(b"\xf9\x03\x73\x01\xd7\xf9"), Judgement::Good(5));
        assert_eq!(judge(b"\xf9\x03\x3f\x01\x1d\xf9"), Judgement::Bad(5));
        assert_eq!(judge(b"\xf9\x03\x3f\x01\x1c\x00"), Judgement::Nothing);
        assert_eq!(judge(b"\xf9\x03\x3f\x01\x1c"), Judgement::More(Some(5)));
        assert_eq!(judge(b"\xf9\xf9\x03"), Judgement::Pad(1));
    }

    #[test]
    fn the_c_r_bit_tells_who_has_sent_a_frame() {
        for (frame, expected) in [
            (b"\xf9\x03\x3f", Direction::Outbound), // SABM
            (b"\xf9\x03\x73", Direction::Inbound),  // its UA
            (b"\xf9\x07\xef", Direction::Outbound), // UIH of the host
            (b"\xf9\x05\xef", Direction::Inbound),  // UIH of the module
        ] {
            assert_eq!(direction(frame), expected, "{frame:02x?}");
        }
    }
}
