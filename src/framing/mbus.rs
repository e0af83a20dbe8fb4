//! Wired M-Bus (EN 13757-2, EN 13757-3): meters for heat, water, gas and electricity.
//!
//! ```text
//! E5                                      acknowledged
//! 10 | C | A | sum | 16                   a request
//! 68 | L | L | 68 | C | A | CI | data | sum | 16
//! ```
//!
//! [`ft12`] has the frames. A request is taken for one only if its control field is one of a master's.
//! Control information 00 to 1F is a segment of DLMS, which electricity meters send. Wireshark has no
//! dissector for it, so packets are data with the name M-Bus, and what they say is in a comment.

use super::hunt::Judgement;
use super::{Protocol, ft12};
use crate::dissect;
use crate::exported_pdu;
use crate::ft12::{Fit, fits_mbus};
use crate::line::{Line, LineFormat};
use crate::packet::LinkType;
use std::ops::RangeInclusive;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "mbus",
    help: "Wired M-Bus of meters",
    line: Line { baud: 2400, format: LineFormat::EIGHT_E_1 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(ft12::framer(MBus, setup)),
    drop_lines: true,
    sniffer: None,
    when_silent: "check that the level converter is wired to the bus, and that a master polls",
    when_senseless: "check rate and format (often -b 300 or -b 9600 --line 8E1)",
    dissector: dissect::mbus::words,
    comment: true,
    proof,
    ..Protocol::PLAIN
};

/// Start, stop and sum, and for long frames the second length and start; for short ones a control
/// field of six.
fn proof(packet: &[u8]) -> u8 {
    let frame = exported_pdu::split(packet).map_or(packet, |(_, frame)| frame);
    match (fits_mbus(frame), frame.first()) {
        (Fit::Not, Some(&ft12::ACK)) | (Fit::Shared, _) => 1,
        (Fit::Not, _) => 0,
        (Fit::Own, Some(&ft12::LONG)) => 40,
        (Fit::Own, _) => 29,
    }
}

/// What L counts. Meters that send DLMS are known to go beyond 255; then L begins at 0 again, where it
/// says nothing else.
const LENGTHS: RangeInclusive<usize> = 3..=258;
/// Octets of a request.
const SHORT_LEN: usize = 5;
/// Control fields of requests: SND_NKE, REQ_SKE, REQ_UD1 and REQ_UD2 with both frame count bits.
const REQUESTS: [u8; 6] = [0x40, 0x49, 0x5a, 0x7a, 0x5b, 0x7b];

/// What it has of its own.
#[derive(Debug)]
struct MBus;

impl ft12::Link for MBus {
    const NAME: &str = "M-Bus";

    fn judge(&self, octets: &[u8]) -> Judgement {
        match *octets {
            [ft12::SHORT, control, ..] if !REQUESTS.contains(&control) => Judgement::Nothing,
            [ft12::SHORT, ..] => ft12::fixed(octets, ft12::SHORT, SHORT_LEN),
            // Only segments of DLMS go beyond 255.
            [ft12::LONG, 0..=2, _, _, control, ..] if !matches!(control, 0x53 | 0x73) => {
                Judgement::Nothing
            }
            [ft12::LONG, 0..=2, _, _, _, _, 0x20..=0xff, ..] => Judgement::Nothing,
            _ => ft12::long(octets, LENGTHS),
        }
    }
}
