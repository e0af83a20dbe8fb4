//! The header of `LINKTYPE_WIRESHARK_UPPER_PDU`: tags that name the dissector of what follows, and
//! tell what its octets do not. So a protocol without a link type of its own dissects without any
//! setting.
//!
//! ```text
//! ( tag (2, high first) | length (2, high first) | value, padded to 4 with 0 )*  0 0 0 0  octets
//! ```
//!
//! The length counts the padding. Wireshark's `epan/exported_pdu.h` has the tags; those here are
//! known to version 4.0 and later.

use crate::packet::Direction;

/// Tags.
const END: u16 = 0;
const DISSECTOR: u16 = 12;
const SOURCE: u16 = 20;
const DESTINATION: u16 = 21;
const PROTOCOL_COLUMN: u16 = 33;
const DIRECTION: u16 = 35;

/// Values of [`DIRECTION`].
const SENT: u32 = 0;
const RECEIVED: u32 = 1;

/// A header in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header(Vec<u8>);

impl Header {
    /// The header of what the registered dissector of that name takes, such as `mbrtu`.
    pub(crate) fn of(dissector: &str) -> Self {
        Self(Vec::with_capacity(64)).with(DISSECTOR, dissector.as_bytes())
    }

    /// What comes behind tags that are made elsewhere.
    pub(crate) fn empty() -> Self {
        Self(Vec::new())
    }

    /// Fills the Protocol column, unless the dissector does it.
    pub(crate) fn protocol(self, name: &str) -> Self {
        self.with(PROTOCOL_COLUMN, name.as_bytes())
    }

    /// Fills the columns Source and Destination.
    pub(crate) fn addresses(mut self, source: [u8; 4], destination: [u8; 4]) -> Self {
        self.0.extend(addresses(source, destination));
        self
    }

    /// Says which way it goes, if that is known: sent if outbound.
    pub(crate) fn direction(self, direction: Direction) -> Self {
        match direction {
            Direction::Unknown => self,
            Direction::Outbound => self.with(DIRECTION, &SENT.to_be_bytes()),
            Direction::Inbound => self.with(DIRECTION, &RECEIVED.to_be_bytes()),
        }
    }

    /// The octets that come before those of the packet.
    pub(crate) fn end(self) -> Vec<u8> {
        self.with(END, &[]).0
    }

    /// The tags without an end, for others to follow.
    pub(crate) fn so_far(self) -> Vec<u8> {
        self.0
    }

    fn with(mut self, tag: u16, value: &[u8]) -> Self {
        let len = value.len().next_multiple_of(4);
        self.0.extend(tag.to_be_bytes());
        self.0.extend((len as u16).to_be_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len() + len - value.len(), 0);
        self
    }
}

/// Tags that fill the columns Source and Destination; they can only be IPv4 or IPv6 addresses.
pub(crate) fn addresses(source: [u8; 4], destination: [u8; 4]) -> [u8; 16] {
    let mut tags = [0; 16];
    for (tag, (kind, address)) in
        tags.chunks_exact_mut(8).zip([(SOURCE, source), (DESTINATION, destination)])
    {
        tag[..2].copy_from_slice(&kind.to_be_bytes());
        tag[2..4].copy_from_slice(&4u16.to_be_bytes());
        tag[4..].copy_from_slice(&address);
    }
    tags
}

/// Whether the header of a packet names this dissector.
pub(crate) fn is_for(packet: &[u8], dissector: &str) -> bool {
    let mut rest = packet;
    while let Some(head) = rest.split_off(..4)
        && let [a, b, high, low] = *head
        && let Some(value) = rest.split_off(..usize::from(u16::from_be_bytes([high, low])))
    {
        match u16::from_be_bytes([a, b]) {
            END => return false,
            DISSECTOR => {
                return value.trim_ascii_end().split(|octet| *octet == 0).next()
                    == Some(dissector.as_bytes());
            }
            _ => {}
        }
    }
    false
}

/// Which way a packet goes, as its header says, and its octets behind the header; `None` if there
/// is no whole header.
pub(crate) fn split(packet: &[u8]) -> Option<(Direction, &[u8])> {
    let mut direction = Direction::Unknown;
    let mut rest = packet;
    loop {
        let head = rest.split_off(..4)?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.split_off(..len)?;
        match u16::from_be_bytes([head[0], head[1]]) {
            END => return Some((direction, rest)),
            DIRECTION if value == SENT.to_be_bytes() => direction = Direction::Outbound,
            DIRECTION if value == RECEIVED.to_be_bytes() => direction = Direction::Inbound,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_octet_by_octet() {
        assert_eq!(Header::of("mbrtu").end(), b"\0\x0c\0\x08mbrtu\0\0\0\0\0\0\0");
        assert_eq!(Header::of("data").end(), b"\0\x0c\0\x04data\0\0\0\0");
        let all = [
            Header::of("mbrtu").so_far(),
            addresses([0, 0, 0, 1], [0, 0, 0, 4]).to_vec(),
            Header::empty().direction(Direction::Inbound).protocol("M-Bus").end(),
        ];
        let expected = [
            &b"\0\x0c\0\x08mbrtu\0\0\0"[..],
            &[0, 20, 0, 4, 0, 0, 0, 1],
            &[0, 21, 0, 4, 0, 0, 0, 4],
            &[0, 35, 0, 4, 0, 0, 0, 1],
            b"\0\x21\0\x08M-Bus\0\0\0",
            &[0, 0, 0, 0],
        ];
        assert_eq!(all.concat(), expected.concat());
    }

    #[test]
    fn a_header_is_split_off() {
        for direction in [Direction::Unknown, Direction::Inbound, Direction::Outbound] {
            let header = Header::of("data").protocol("KNX").direction(direction).end();
            let packet = [&header[..], b"octets"].concat();
            assert_eq!(split(&packet), Some((direction, &b"octets"[..])));
            assert_eq!(split(&header), Some((direction, &b""[..])));
            for len in 0..header.len() {
                assert_eq!(split(&header[..len]), None);
            }
        }
    }
}
