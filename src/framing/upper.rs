//! Packets behind the header that names Wireshark's dissector ([`crate::exported_pdu`]), for
//! protocols whose headers are the same but for the direction.

use crate::exported_pdu::Header;
use crate::packet::{Batch, Direction, Notes};

/// The headers of a protocol, made once.
#[derive(Clone, Debug)]
pub(super) struct Upper {
    /// By direction: unknown, inbound, outbound.
    headers: [Vec<u8>; 3],
}

impl Upper {
    /// For what the registered dissector of that name takes, with a name for the Protocol column.
    pub(super) fn new(dissector: &str, column: &str) -> Self {
        let directions = [Direction::Unknown, Direction::Inbound, Direction::Outbound];
        Self {
            headers: directions
                .map(|way| Header::of(dissector).direction(way).protocol(column).end()),
        }
    }

    /// Adds the packet of a frame that goes this way.
    pub(super) fn record(
        &self,
        direction: Direction,
        parts: [&[u8]; 2],
        notes: Notes,
        out: &mut Batch,
    ) {
        let [unknown, inbound, outbound] = &self.headers;
        let header = match direction {
            Direction::Unknown => unknown,
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        };
        let original_len = header.len() as u32 + notes.original_len;
        out.push(&[header, parts[0], parts[1]], Notes { direction, original_len, ..notes });
    }
}
