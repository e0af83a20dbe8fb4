//! KNX TP1 (EN 50090-5-2, ISO/IEC 14543-3-5): telegrams on the twisted pair of a building.
//!
//! ```text
//! 10R1PP00 | source (2) | destination (2) | group, hops, length | TPCI, APCI, data | check
//! 00R1PP00 | group, hops, 0000 | source (2) | destination (2) | length | TPCI ... | check
//! CC, 0C, C0                              acknowledged, not acknowledged, busy
//! ```
//!
//! The check is the exclusive or of all octets, inverted: 8 bits. So TPCI and length must go
//! together with the kind of address before a run of octets is called a telegram; one to a device with a wrong
//! check is kept as damaged only directly behind a good telegram, and so is an acknowledgement at all.
//!
//! An intact telegram is recorded as Wireshark reads it: as cEMI (L_Data.ind), with the same fields in
//! another order, without the check. What is damaged is data, as it was received.

use super::hunt::{Format, Found, Hunter, Judgement};
use super::upper::Upper;
use super::{Protocol, Setup};
use crate::dissect;
use crate::exported_pdu;
use crate::line::{Line, LineFormat};
use crate::packet::{Batch, Direction, LinkType, Notes};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "knx",
    help: "KNX TP1 telegrams of buildings",
    line: Line { baud: 19_200, format: LineFormat::EIGHT_E_1 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: true,
    when_silent: "check that the bus has power, and press a push button",
    when_senseless: "check rate and format: a TP-UART has 19200 or 9600 baud, 8E1",
    dissector: dissect::knx::words,
    proof,
    weak: true,
    ..Protocol::PLAIN
};

/// Five bits of the control field, seven or two of address and TPCI, the check.
fn proof(packet: &[u8]) -> u8 {
    let cemi = exported_pdu::split(packet).map_or(packet, |(_, cemi)| cemi);
    match cemi.get(3) {
        Some(control) if control & GROUP != 0 => 19,
        Some(_) => 15,
        None => 6,
    }
}

/// Up to TPCI, without it: of a standard frame and of an extended one.
const STANDARD: usize = 6;
const EXTENDED: usize = 7;
/// In the octet with the hop count: the destination is a group.
const GROUP: u8 = 0x80;
/// L_Data.ind without additional information.
const CEMI: [u8; 2] = [0x29, 0x00];

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Knx> {
    let format =
        Knx { cemi: Upper::new("cemi", "KNX"), raw: Upper::new("data", "KNX"), after_good: false };
    Hunter::new(format, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct Knx {
    cemi: Upper,
    raw: Upper,
    /// Whether the last octet was that of a good telegram.
    after_good: bool,
}

impl Format for Knx {
    fn find(&self, octets: &[u8]) -> usize {
        octets.iter().position(|octet| is_control(*octet)).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.after_good
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        if self.after_good && matches!(octets[0], 0xcc | 0x0c | 0xc0) {
            return Judgement::Good(1);
        }
        self.judge_inside(octets)
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        if !is_control(octets[0]) {
            return Judgement::Nothing;
        }
        let header = if is_extended(octets[0]) { EXTENDED } else { STANDARD };
        let Some(&tpci) = octets.get(header) else { return Judgement::More(None) };
        let (address, length) = match octets[..header] {
            [_, address, .., length] if header == EXTENDED => (address, length),
            [.., address] => (address, address & 0x0f),
            [] => return Judgement::Nothing,
        };
        let is_form = header == STANDARD || address & 0x0f == 0 && length != u8::MAX;
        if !is_form || !goes_together(address & GROUP != 0, length, tpci) {
            return Judgement::Nothing;
        }
        let len = header + usize::from(length) + 2;
        match octets.get(..len) {
            None => Judgement::More(Some(len)),
            Some(telegram) if telegram.iter().fold(0, |sum, octet| sum ^ octet) == 0xff => {
                Judgement::Good(len)
            }
            Some(_) if self.after_good || address & GROUP != 0 => Judgement::Bad(len),
            Some(_) => Judgement::Nothing,
        }
    }

    fn record(&self, telegram: &[u8], notes: Notes, out: &mut Batch) {
        let direction = Direction::Unknown;
        match telegram.split_last() {
            Some((_check, &[control, ref rest @ ..]))
                if notes.damage.is_none() && !rest.is_empty() =>
            {
                let mut cemi = Vec::with_capacity(telegram.len() + 2);
                cemi.extend(CEMI);
                cemi.push(control);
                match *rest {
                    [s1, s2, d1, d2, address, ref data @ ..] if !is_extended(control) => {
                        cemi.extend([address & 0xf0, s1, s2, d1, d2, address & 0x0f]);
                        cemi.extend(data);
                    }
                    _ => cemi.extend(rest),
                }
                self.cemi.record(direction, [&cemi, &[]], notes, out);
            }
            _ => self.raw.record(direction, [telegram, &[]], notes, out),
        }
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.after_good = found == Found::Good;
    }

    fn reset(&mut self) {
        self.after_good = false;
    }
}

/// A control field of a data frame, standard or extended.
fn is_control(octet: u8) -> bool {
    octet & 0x53 == 0x10
}

fn is_extended(control: u8) -> bool {
    control & 0x80 == 0
}

/// Whether a telegram to a group, or to a device, of this length may have that TPCI.
fn goes_together(is_group: bool, length: u8, tpci: u8) -> bool {
    match tpci {
        0x00..=0x03 => length > 0,
        0x40..=0x7f => !is_group && length > 0,
        0x80 | 0x81 => !is_group && length == 0,
        0xc0.. => !is_group && length == 0 && tpci & 0x02 != 0,
        _ => false,
    }
}
