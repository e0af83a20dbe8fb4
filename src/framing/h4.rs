//! HCI over a UART (Bluetooth Core, volume 4, part A: H4), between a host and its controller.
//!
//! ```text
//! 01 command:     opcode (2, low first) | length | parameters
//! 02 ACL data:    handle and flags (2)  | length (2) | data
//! 03 SCO data:    handle and flags (2)  | length | data
//! 04 event:       code | length | parameters
//! 05 ISO data:    handle and flags (2)  | length (2, 14 bits) | data
//! ```
//!
//! No octet marks a packet, and no check sequence protects it: packets follow one another, and one
//! lost octet shifts all that comes after it. So each header has to make sense (events whose length is
//! fixed have it, opcodes are of a group that there is, handles are below 0F00), and where one does
//! not, packets begin again where two in a row make sense.
//!
//! The record is the packet (`LINKTYPE_BLUETOOTH_HCI_H4`). Where the port is one direction of the line,
//! that comes before it (`.._WITH_PHDR`; 32 bits, high octet first): 0 from the host, 1 to it.

use super::hunt::{Format, Found, Hunter, Judgement};
use super::{Protocol, Setup};
use crate::dissect;
use crate::dissect::h4::{ACL, COMMAND, EVENT, ISO, SCO};
use crate::line::Line;
use crate::packet::{Batch, Direction, LinkType, Notes};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "h4",
    help: "Bluetooth HCI over a UART (H4), between host and controller",
    line: Line::at(115_200),
    link_type: LinkType::BLUETOOTH_HCI_H4,
    link_type_of: Some(|setup| match setup.direction {
        Direction::Unknown => LinkType::BLUETOOTH_HCI_H4,
        Direction::Inbound | Direction::Outbound => LinkType::BLUETOOTH_HCI_H4_WITH_PHDR,
    }),
    framer: |setup| Box::new(Hunter::new(H4::new(setup), setup)),
    when_silent: "check that the adapter is wired to the line between host and controller",
    when_senseless: "check the rate: many hosts begin at 115200 and go on at 921600 or more; H5 and \
                     BCSP are not read",
    dissector: dissect::h4::words,
    proof,
    weak: true,
    ..Protocol::PLAIN
};

/// Octets of a header with its length, by indicator.
const fn header_len(indicator: u8) -> Option<usize> {
    match indicator {
        COMMAND | SCO => Some(4),
        ACL | ISO => Some(5),
        EVENT => Some(3),
        _ => None,
    }
}

/// More data than controllers take in one packet: 1021 octets is the largest of BR/EDR.
const MAX_DATA: usize = 2048;
/// Above are no handles.
const MAX_HANDLE: u16 = 0x0eff;

/// Header fields that other octets seldom have, with room for lines of few different octets, where one
/// header follows another by chance. Commands and data are not against it, but prove nothing: octets of
/// Modbus whose highest bit was lost have been taken for commands.
fn proof(packet: &[u8]) -> u8 {
    let packet = dissect::h4::without_direction(packet);
    match *packet {
        // Its opcode as well.
        [EVENT, 0x0e | 0x0f, ..] => 16,
        [EVENT, code, ..] if !matches!(code, 0x3e | 0xff) => 10,
        [EVENT, 0x3e, ..] => 8,
        _ => 4,
    }
}

struct H4 {
    /// What says which way all packets go, if that is known.
    head: &'static [u8],
    direction: Direction,
    /// Whether a packet ended directly before, or nothing was heard yet.
    is_in_step: bool,
}

impl H4 {
    fn new(setup: &Setup) -> Self {
        let head: &[u8] = match setup.direction {
            Direction::Unknown => &[],
            Direction::Outbound => &[0, 0, 0, 0],
            Direction::Inbound => &[0, 0, 0, 1],
        };
        Self { head, direction: setup.direction, is_in_step: true }
    }
}

/// Which way a packet goes, if its kind tells: from the host, which asks, or to it.
fn direction(packet: &[u8]) -> Direction {
    match packet.first() {
        Some(&COMMAND) => Direction::Outbound,
        Some(&EVENT) => Direction::Inbound,
        _ => Direction::Unknown,
    }
}

/// What a header says.
enum Header {
    /// It is none.
    No,
    /// It may be one.
    Open,
    /// It is one of a packet of so many octets.
    Len(usize),
}

/// What starts at the first octet of a line that goes this way: hosts send no events, and controllers
/// no commands.
fn header(octets: &[u8], direction: Direction) -> Header {
    match (octets.first(), direction) {
        (Some(&COMMAND), Direction::Inbound) | (Some(&EVENT), Direction::Outbound) => {
            return Header::No;
        }
        _ => {}
    }
    let Some(head_len) = octets.first().and_then(|indicator| header_len(*indicator)) else {
        return if octets.is_empty() { Header::Open } else { Header::No };
    };
    let Some(head) = octets.get(..head_len) else { return Header::Open };
    let word = |at: usize| {
        let two = head.get(at..at + 2).and_then(<[u8]>::first_chunk);
        two.map_or(0, |two| u16::from_le_bytes(*two))
    };
    let (handle, len) = (word(1) & 0x0fff, usize::from(head[head_len - 1]));
    let (makes_sense, len) = match head[0] {
        COMMAND => (dissect::h4::is_opcode(word(1)), len),
        EVENT => (dissect::h4::may_have(head[1], len), len),
        SCO => (handle <= MAX_HANDLE && head[2] & 0xc0 == 0 && len > 0, len),
        ACL => (handle <= MAX_HANDLE, usize::from(word(3))),
        _ => (handle <= MAX_HANDLE && head[2] & 0x80 == 0, usize::from(word(3) & 0x3fff)),
    };
    let is_said_twice = match *octets {
        // An opcode is in the answer too.
        [EVENT, 0x0e, _, _, low, high, ..] | [EVENT, 0x0f, _, _, _, low, high, ..] => {
            let opcode = u16::from_le_bytes([low, high]);
            opcode == 0 || dissect::h4::is_opcode(opcode)
        }
        [EVENT, 0x0e | 0x0f, ..] if makes_sense => return Header::Open,
        _ => true,
    };
    if makes_sense && is_said_twice && len <= MAX_DATA {
        Header::Len(head_len + len)
    } else {
        Header::No
    }
}

impl Format for H4 {
    fn find(&self, octets: &[u8]) -> usize {
        octets.iter().position(|octet| (COMMAND..=ISO).contains(octet)).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.is_in_step
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        if !self.is_in_step {
            return self.judge_inside(octets);
        }
        match header(octets, self.direction) {
            Header::No => Judgement::Nothing,
            Header::Open => Judgement::More(None),
            Header::Len(len) if len <= octets.len() => Judgement::Good(len),
            Header::Len(len) => Judgement::More(Some(len)),
        }
    }

    /// What has no packet before it needs one behind it.
    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        let Header::Len(len) = header(octets, self.direction) else {
            let may_be = matches!(header(octets, self.direction), Header::Open);
            return if may_be { Judgement::More(None) } else { Judgement::Nothing };
        };
        let Some(behind) = octets.get(len..) else { return Judgement::More(None) };
        match header(behind, self.direction) {
            Header::No => Judgement::Nothing,
            Header::Open => Judgement::More(None),
            Header::Len(_) => Judgement::Good(len),
        }
    }

    /// Or nothing at all: it is the last one.
    fn judge_last(&self, octets: &[u8]) -> Judgement {
        match header(octets, self.direction) {
            Header::Len(len) if len == octets.len() => Judgement::Good(len),
            _ => self.judge(octets),
        }
    }

    fn record(&self, packet: &[u8], notes: Notes, out: &mut Batch) {
        let direction = match self.direction {
            Direction::Unknown => direction(packet),
            known => known,
        };
        let original_len = notes.original_len + self.head.len() as u32;
        out.push(&[self.head, packet], Notes { direction, original_len, ..notes });
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.is_in_step = found == Found::Good;
    }

    fn reset(&mut self) {
        self.is_in_step = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framer as _;
    use crate::time::Timestamp;

    fn packets(line: &[u8], direction: Direction) -> Vec<Vec<u8>> {
        let setup = Setup { direction, ..Setup::new(115_200) };
        let mut framer = Hunter::new(H4::new(&setup), &setup);
        let mut batch = Batch::new(0);
        framer.push(line, Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        let intact = batch.packets().filter(|packet| packet.damage.is_none());
        intact.map(|packet| dissect::h4::without_direction(packet.data).to_vec()).collect()
    }

    #[test]
    fn after_a_lost_octet_packets_are_found_by_the_next_one() {
        let complete = b"\x04\x0e\x04\x01\x03\x0c\x00";
        let line = [&b"\x04\x04\x0e"[..], complete, complete].concat();
        let found = packets(&line, Direction::Unknown);
        assert_eq!(found, [complete.to_vec(), complete.to_vec()]);
        // In the middle, too. (Of a line that goes both ways 01 03 0C 00 might be a command.)
        let line = [&complete[..], &complete[1..], complete, complete].concat();
        let found = packets(&line, Direction::Inbound);
        assert_eq!(found, [complete.to_vec(), complete.to_vec(), complete.to_vec()]);
    }

    #[test]
    fn a_length_that_an_event_never_has_is_none() {
        assert!(matches!(header(b"\x04\x04\x0a", Direction::Unknown), Header::Len(13)));
        assert!(matches!(header(b"\x04\x04\x0e", Direction::Unknown), Header::No));
        assert!(matches!(header(b"\x04\x0e\x04\x01\x03", Direction::Unknown), Header::Open));
        assert!(matches!(header(b"\x04\x0e\x04\x01\x03\xfb", Direction::Unknown), Header::No));
        assert!(matches!(header(b"\x02\xff\x0f\x01\0", Direction::Unknown), Header::No));
        assert!(matches!(header(b"\x02\xff\x2e\x01\0", Direction::Unknown), Header::Len(6)));
    }
}
