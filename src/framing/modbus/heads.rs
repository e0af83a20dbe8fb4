//! What stands before a frame in a packet: what names its dissector, and tells who speaks to whom.

use super::layout::Role;
use crate::exported_pdu::{Header, addresses};
use crate::packet::{Batch, Direction, Notes};

/// In the columns of Wireshark.
const MASTER: [u8; 4] = [0, 0, 0, 0];
const ALL_UNITS: [u8; 4] = [255; 4];

/// The parts of headers that are the same for all frames of a kind, made once.
#[derive(Debug)]
pub(super) struct Heads {
    dissector: Vec<u8>,
    request: Vec<u8>,
    response: Vec<u8>,
    /// All of it where nobody can tell.
    unknown: Vec<u8>,
}

impl Heads {
    pub(super) fn new() -> Self {
        let dissector = || Header::of("mbrtu");
        // For frames to unit 0, which the dissector of Wireshark does not take.
        let end =
            |header: Header, direction| header.direction(direction).protocol("Modbus RTU").end();
        Self {
            dissector: dissector().so_far(),
            request: end(Header::empty(), Direction::Outbound),
            response: end(Header::empty(), Direction::Inbound),
            unknown: end(dissector(), Direction::Unknown),
        }
    }

    /// Adds the packet of a frame.
    pub(super) fn record(&self, frame: &[u8], role: Option<Role>, notes: Notes, out: &mut Batch) {
        let unit = match (frame[0], role) {
            (0, Some(Role::Request)) => ALL_UNITS,
            (unit, _) => [0, 0, 0, unit],
        };
        let (direction, addresses, end) = match role {
            Some(Role::Request) => (Direction::Outbound, addresses(MASTER, unit), &self.request),
            Some(Role::Response) => (Direction::Inbound, addresses(unit, MASTER), &self.response),
            None => {
                let original_len = self.unknown.len() as u32 + notes.original_len;
                return out.push(&[&self.unknown, frame], Notes { original_len, ..notes });
            }
        };
        let len = self.dissector.len() + addresses.len() + end.len();
        let original_len = len as u32 + notes.original_len;
        let notes = Notes { direction, original_len, ..notes };
        out.push(&[&self.dissector, &addresses, end, frame], notes);
    }
}
