//! DLMS/COSEM of smart meters in HDLC frames (IEC 62056-46).
//!
//! ```text
//! 7E | A, segmented bit, length (11 bits) | destination (1, 2, 4) | source (1, 2, 4) | control
//!    [ | HCS (2) | information ] | FCS (2) | 7E                  check sequences low first
//! ```
//!
//! Nothing is stuffed: 7E may be anywhere, and only the length tells where a frame ends. The last
//! octet of an address has its lowest bit set. HCS and FCS are those of X.25. Frames that follow each
//! other may share a flag; then the second is recorded without its first one, since that is in the
//! first frame. Wireshark has no dissector for it, so packets are data with the name DLMS, and what
//! they say is in a comment.

use super::hunt::{Format, Found, Hunter, Judgement};
use super::upper::Upper;
use super::{Protocol, Setup};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Batch, Direction, LinkType, Notes};
use crc::{CRC_16_IBM_SDLC, Crc, Table};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "dlms",
    help: "DLMS/COSEM in HDLC of smart meters",
    line: Line::at(9600),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: false,
    when_silent: "check that the reading head sits on the meter, and that it may push or is polled",
    when_senseless: "check rate and format (often -b 2400 or -b 115200, --line 8E1)",
    dissector: dissect::dlms::words,
    comment: true,
    // Flags, the frame's type, FCS.
    proof: |_| 36,
    ..Protocol::PLAIN
};

const FLAG: u8 = 0x7e;
/// Octets of the frame format.
const FORMAT_LEN: usize = 2;
const CHECK_LEN: usize = 2;
static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_IBM_SDLC);

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Dlms> {
    Hunter::new(Dlms { upper: Upper::new("data", "DLMS"), after_good: false }, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct Dlms {
    upper: Upper,
    /// Whether the last octet was the flag of a good frame.
    after_good: bool,
}

impl Format for Dlms {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr(FLAG, octets).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.after_good
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        match *octets {
            // The flag before it was that of the frame before as well.
            [format, ..] if self.after_good && is_format(format) => frame(octets, 0),
            [FLAG, FLAG, ..] => Judgement::Pad(1),
            _ => self.judge_inside(octets),
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        match *octets {
            [FLAG] => Judgement::More(None),
            [FLAG, format, ..] if is_format(format) => frame(octets, 1),
            _ => Judgement::Nothing,
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

/// Frame format type 3.
fn is_format(octet: u8) -> bool {
    octet & 0xf0 == 0xa0
}

/// What the frame is whose format is `start` octets ahead.
fn frame(octets: &[u8], start: usize) -> Judgement {
    let body = &octets[start..];
    let Some(&[high, low]) = body.first_chunk::<FORMAT_LEN>() else {
        return Judgement::More(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]) & 0x07ff);
    let addresses = address_len(&body[FORMAT_LEN..])
        .and_then(|to| Some(to + address_len(&body[FORMAT_LEN + to..])?));
    let Some(addresses) = addresses else {
        // Two addresses of four octets are the longest.
        let is_open = body.len() < FORMAT_LEN + 2 * 4;
        return if is_open { Judgement::More(None) } else { Judgement::Nothing };
    };
    let header = FORMAT_LEN + addresses + 1;
    let is_possible = length == header + CHECK_LEN || length > header + 2 * CHECK_LEN;
    if addresses == 0 || !is_possible {
        return Judgement::Nothing;
    }
    let len = start + length + 1;
    match body.get(..header + CHECK_LEN) {
        None => return Judgement::More(Some(len)),
        Some(header) if !crc_fits(header) => return Judgement::Bad(start + header.len()),
        Some(_) => {}
    }
    match body.get(..length + 1) {
        None => Judgement::More(Some(len)),
        Some([frame @ .., FLAG]) if crc_fits(frame) => Judgement::Good(len),
        Some(_) => Judgement::Bad(len - 1),
    }
}

/// Octets of the address at the start of these, if it ends within them or four; 0 if it is none.
fn address_len(octets: &[u8]) -> Option<usize> {
    let end = octets.iter().take(4).position(|octet| octet & 1 != 0)?;
    Some(if end == 2 { 0 } else { end + 1 })
}

/// Whether the last two octets are the check sequence of those before.
fn crc_fits(octets: &[u8]) -> bool {
    octets
        .split_last_chunk::<CHECK_LEN>()
        .is_some_and(|(data, crc)| CRC.checksum(data).to_le_bytes() == *crc)
}
