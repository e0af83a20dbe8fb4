//! An intact MS/TP frame, taken apart.

use crate::cobs;
use crate::framing::mstp;

/// Frame types (ASHRAE 135, clause 9.3).
pub mod kind {
    /// Token.
    pub const TOKEN: u8 = 0;
    /// Poll For Master.
    pub const POLL: u8 = 1;
    /// Reply To Poll For Master.
    pub const POLL_REPLY: u8 = 2;
    /// Test_Request.
    pub const TEST_REQUEST: u8 = 3;
    /// Test_Response.
    pub const TEST_RESPONSE: u8 = 4;
    /// BACnet Data Expecting Reply.
    pub const REQUEST: u8 = 5;
    /// BACnet Data Not Expecting Reply.
    pub const DATA: u8 = 6;
    /// Reply Postponed.
    pub const POSTPONED: u8 = 7;
    /// BACnet Extended Data Expecting Reply.
    pub const LONG_REQUEST: u8 = 32;
    /// BACnet Extended Data Not Expecting Reply.
    pub const LONG_DATA: u8 = 33;
    /// From here on types belong to vendors.
    pub const PROPRIETARY: u8 = 128;
}

/// To everybody.
pub const BROADCAST: u8 = 255;
/// Masters have the addresses below this.
pub const MASTERS: u8 = 128;
/// Preamble, type, destination, source, length, header CRC.
pub const HEADER_LEN: usize = 8;

/// A frame whose check sequences fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: u8,
    /// Who it is for.
    pub to: u8,
    /// Who says that it sent it.
    pub from: u8,
    /// What it carries, as it was on the wire.
    pub data: &'a [u8],
    /// The CRC behind that; nothing behind no data.
    pub trailer: &'a [u8],
    /// Octets on the wire, without the pad octet that may follow.
    pub len: usize,
}

impl<'a> Frame<'a> {
    /// The frame in a record that holds one and at most a pad octet behind it.
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        let len = mstp::intact_len(octets)?;
        let (frame, rest) = octets.split_at_checked(len)?;
        let &[_, _, kind, to, from, ..] = frame else { return None };
        let body = frame.get(HEADER_LEN..)?;
        let (data, trailer) = body.split_at(body.len().saturating_sub(2));
        matches!(rest, [] | [0xff]).then_some(Self { kind, to, from, data, trailer, len })
    }

    /// Whether it asks one node for an answer within the same turn.
    pub fn wants_reply(&self) -> bool {
        let asks = matches!(self.kind, kind::REQUEST | kind::LONG_REQUEST | kind::TEST_REQUEST);
        asks && self.to != BROADCAST
    }

    /// Whether it may be an answer to that.
    pub fn may_reply(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::LONG_DATA | kind::TEST_RESPONSE | kind::POSTPONED)
    }

    /// Whether it may be an answer, to a poll too, and so of a node that need not have the token.
    pub fn is_answer(&self) -> bool {
        (self.may_reply() || self.kind == kind::POLL_REPLY) && self.to != BROADCAST
    }

    /// Whether it carries something, for a node or all.
    pub fn has_data(&self) -> bool {
        !self.data.is_empty()
    }

    /// The BACnet message in it, decoded, if it is to have one.
    pub fn npdu(&self) -> Option<std::borrow::Cow<'a, [u8]>> {
        match self.kind {
            kind::REQUEST | kind::DATA => Some(self.data.into()),
            kind::LONG_REQUEST | kind::LONG_DATA => {
                // Its CRC is five octets, of which the last two were taken for a trailer.
                let data =
                    self.data.get(..(self.data.len() + 2).checked_sub(cobs::ENCODED_CRC_LEN)?)?;
                cobs::decode(data).map(Into::into)
            }
            _ => None,
        }
    }
}
