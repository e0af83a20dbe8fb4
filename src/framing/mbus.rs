//! Wired M-Bus (EN 13757-2, EN 13757-3): meters for heat, water, gas and electricity.
//!
//! ```text
//! E5                                      acknowledged
//! 10 | C | A | sum | 16                   a request
//! 68 | L | L | 68 | C | A | CI | data | sum | 16
//! ```
//!
//! [`ft12`] has the frames. A single E5 is taken for one only where it directly follows a good
//! frame, and a request only if its control field is one of a master's. Control information 00 to 1F is
//! a segment of DLMS, which electricity meters send. Wireshark has no dissector
//! for it, so packets are data with the name M-Bus, and what they say is in a comment.

use super::hunt::{Format, Found, Hunter, Judgement};
use super::upper::Upper;
use super::{Protocol, Setup, ft12};
use crate::dissect;
use crate::exported_pdu;
use crate::ft12::{Fit, fits_mbus};
use crate::line::{Line, LineFormat};
use crate::packet::{Batch, Direction, LinkType, Notes};
use std::ops::RangeInclusive;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "mbus",
    help: "Wired M-Bus of meters",
    line: Line { baud: 2400, format: LineFormat::EIGHT_E_1 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
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
/// Control field: it comes from the master.
const FROM_MASTER: u8 = 0x40;

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<MBus> {
    Hunter::new(MBus { upper: Upper::new("data", "M-Bus"), after_good: false }, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct MBus {
    upper: Upper,
    /// Whether the last octet was that of a good frame.
    after_good: bool,
}

impl Format for MBus {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr3(ft12::LONG, ft12::SHORT, ft12::ACK, octets).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.after_good
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        if self.after_good && octets.first() == Some(&ft12::ACK) {
            return Judgement::Good(1);
        }
        self.judge_inside(octets)
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
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

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        let direction = match ft12::body(frame).and_then(<[u8]>::first) {
            _ if !notes.damage.is_none() => Direction::Unknown,
            Some(control) if control & FROM_MASTER != 0 => Direction::Outbound,
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
