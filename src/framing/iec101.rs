//! IEC 60870-5-101, -102 and -103: telecontrol and protection equipment on a serial line.
//!
//! ```text
//! E5                                      acknowledged
//! 10 | C | address (1 or 2, low first) | sum | 16
//! 68 | L | L | 68 | C | address | ASDU | sum | 16
//! ```
//!
//! [`ft12`] has the frames. A control field is taken for one only if its function is assigned.
//! Wireshark's dissectors for them cannot be called by name, so packets are data with the name IEC 101,
//! and what they say is in a comment. Links without addresses are not read: three octets and a stop
//! prove nothing.

use super::hunt::Judgement;
use super::{Protocol, ft12};
use crate::dissect;
use crate::exported_pdu;
use crate::ft12::{Fit, fits_iec101};
use crate::line::{Line, LineFormat};
use crate::packet::LinkType;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "iec101",
    help: "IEC 60870-5-101, -102, -103 of power plants",
    line: Line { baud: 9600, format: LineFormat::EIGHT_E_1 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(ft12::framer(Iec101, setup)),
    drop_lines: true,
    sniffer: None,
    when_silent: "check that the adapter is wired to a line where a station polls",
    when_senseless: "check rate and format (often -b 1200 or -b 19200 --line 8E1)",
    dissector: dissect::iec101::words,
    comment: true,
    proof,
    ..Protocol::PLAIN
};

/// Start, stop and sum, and for long frames the second length and start; for short ones half of
/// the control field, of two lengths.
fn proof(packet: &[u8]) -> u8 {
    let frame = exported_pdu::split(packet).map_or(packet, |(_, frame)| frame);
    match (fits_iec101(frame), frame.first()) {
        (Fit::Not, Some(&ft12::ACK)) | (Fit::Shared, _) => 1,
        (Fit::Not, _) => 0,
        (Fit::Own, Some(&ft12::LONG)) => 40,
        (Fit::Own, _) => 23,
    }
}

/// Octets of a frame without ASDU, by the size of its address.
const SHORT_LENS: [usize; 2] = [5, 6];

/// What it has of its own.
#[derive(Debug)]
struct Iec101;

impl ft12::Link for Iec101 {
    const NAME: &str = "IEC 101";

    fn judge(&self, octets: &[u8]) -> Judgement {
        match *octets {
            [ft12::SHORT, control, ..] if !is_assigned(control) => Judgement::Nothing,
            [ft12::SHORT, ..] => {
                let [one, two] = SHORT_LENS.map(|len| ft12::fixed(octets, ft12::SHORT, len));
                match (one, two) {
                    (Judgement::Good(_) | Judgement::More(_), _) => one,
                    (_, Judgement::Good(_) | Judgement::More(_)) => two,
                    (Judgement::Bad(_), _) => one,
                    _ => two,
                }
            }
            _ => ft12::long(octets, 3..=255),
        }
    }

    fn judge_last(&self, octets: &[u8]) -> Judgement {
        // Of five octets, no more follow.
        match self.judge(octets) {
            Judgement::More(None) => ft12::fixed(octets, ft12::SHORT, SHORT_LENS[0]),
            judgement => judgement,
        }
    }
}

/// Whether IEC 60870-5-2 gives a meaning to the function in this control field, in a frame without
/// data.
fn is_assigned(control: u8) -> bool {
    let function = control & 0x0f;
    if control & ft12::PRIMARY != 0 {
        matches!(function, 0..=4 | 8..=11)
    } else {
        matches!(function, 0 | 1 | 9 | 11 | 14 | 15)
    }
}
