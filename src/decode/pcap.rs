//! Classic pcap, version 2.4 (draft-ietf-opsawg-pcap).

use super::{Input, Interface, LONGEST, Order, Problem, Recorded};
use crate::time::Timestamp;

/// What a file begins with, in the byte order of the machine that wrote it.
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// Whether a file that begins so is one.
pub(super) fn is_magic(magic: [u8; 4]) -> bool {
    order(magic).is_some()
}

/// Byte order, and nanoseconds in a unit of its times.
fn order(magic: [u8; 4]) -> Option<(Order, u64)> {
    [Order::Little, Order::Big].into_iter().find_map(|order| match order.u32(&magic, 0) {
        MICROSECONDS => Some((order, 1000)),
        NANOSECONDS => Some((order, 1)),
        _ => None,
    })
}

/// What a file says at its beginning.
pub(super) struct Header {
    order: Order,
    unit_ns: u64,
    snap_len: u32,
    link_type: u16,
}

impl Header {
    pub(super) fn read(magic: [u8; 4], input: &mut Input) -> Result<Self, Problem> {
        let (order, unit_ns) = order(magic).ok_or(Problem::NoCapture)?;
        let rest: [u8; 20] = input.array()?.ok_or(Problem::CutOff)?;
        Ok(Self {
            order,
            unit_ns,
            snap_len: order.u32(&rest, 12),
            // The upper half says whether packets have an FCS, which ours do not have apart.
            link_type: order.u32(&rest, 16) as u16,
        })
    }

    pub(super) fn interface(&self) -> Interface {
        Interface { link_type: self.link_type, snap_len: self.snap_len, ..Interface::default() }
    }

    pub(super) fn next<'a>(
        &mut self,
        input: &'a mut Input,
    ) -> Result<Option<Recorded<'a>>, Problem> {
        let Some(header) = input.array::<16>()? else { return Ok(None) };
        let [seconds, fraction, len, original_len] =
            [0, 4, 8, 12].map(|at| self.order.u32(&header, at));
        if len > LONGEST {
            return Err(Problem::Damaged("a packet is longer than any can be"));
        }
        let ns = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit_ns;
        Ok(Some(Recorded {
            section: 0,
            interface: 0,
            link_type: self.link_type,
            time: Some(Timestamp::from_ns(ns)),
            octets: input.take(len)?,
            original_len: original_len.max(len),
            dropped: 0,
            flags: 0,
            comment: None,
        }))
    }
}
