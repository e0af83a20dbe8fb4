//! pcapng (draft-ietf-opsawg-pcapng): sections, interfaces, packets, statistics. Other blocks are
//! passed over.

use super::{Input, Interface, LONGEST, MOST_INTERFACES, Order, Problem, Recorded};
use crate::time::Timestamp;

/// The type of a section header, the same in either byte order.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
pub(super) const SECTION: u32 = u32::from_le_bytes(MAGIC);
const INTERFACE: u32 = 1;
const PACKET: u32 = 2; // obsolete
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Options of all blocks, of an interface, of a packet and of statistics.
const COMMENT: u16 = 1;
const NAME: u16 = 2;
const DESCRIPTION: u16 = 3;
const SPEED: u16 = 8;
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;
const FLAGS: u16 = 2;
const DROP_COUNT: u16 = 4;
const INTERFACE_DROPS: u16 = 5;

/// Whether a block of this type is a packet.
pub(super) const fn is_packet(kind: u32) -> bool {
    matches!(kind, ENHANCED_PACKET | PACKET | SIMPLE_PACKET)
}

/// How times of an interface are to be read.
#[derive(Clone, Copy, Debug)]
struct Clock {
    units_a_second: u64,
    offset_seconds: i64,
}

impl Clock {
    fn time(self, high: u32, low: u32) -> Timestamp {
        let units = u64::from(high) << 32 | u64::from(low);
        let ns = u128::from(units) * 1_000_000_000 / u128::from(self.units_a_second);
        let offset = self.offset_seconds.saturating_mul(1_000_000_000);
        Timestamp::from_ns(u64::try_from(ns).unwrap_or(u64::MAX)).shifted_ns(offset)
    }

    fn set_resolution(&mut self, octet: u8) {
        let exponent = u32::from(octet & 0x7f);
        let units = if octet & 0x80 != 0 {
            2u64.checked_pow(exponent)
        } else {
            10u64.checked_pow(exponent)
        };
        self.units_a_second = units.unwrap_or(u64::MAX);
    }
}

/// What is known while blocks are read.
#[derive(Default)]
pub(super) struct Section {
    order: Order,
    /// Whether its own header was read; the file's first type was.
    is_open: bool,
    /// Which section it is, counted from 0.
    number: u32,
    /// The first interface of this section among all.
    first: usize,
    clocks: Vec<Clock>,
}

impl Section {
    pub(super) fn next<'a>(
        &mut self,
        input: &'a mut Input,
        interfaces: &mut Vec<Interface>,
    ) -> Result<Option<Recorded<'a>>, Problem> {
        loop {
            let Some((kind, len)) = self.block(input, interfaces.len())? else { return Ok(None) };
            let body = input.take(len)?;
            if is_packet(kind) {
                // Borrowed anew, since the loop goes on where this is no packet.
                let body = &input.block[..len as usize];
                return self.packet(kind, body, interfaces).map(Some);
            }
            self.note(kind, body, interfaces);
        }
    }

    /// One whose header was read, in this byte order.
    pub(super) fn begun(order: Order) -> Self {
        Self { order, is_open: true, ..Self::default() }
    }

    /// Takes in what a block says that is no packet; its second length is counted in.
    pub(super) fn note(&mut self, kind: u32, body: &[u8], interfaces: &mut Vec<Interface>) {
        match kind {
            INTERFACE => self.add_interface(body, interfaces),
            STATISTICS => self.add_statistics(body, interfaces),
            _ => {}
        }
    }

    /// The type of the next block, and how many octets follow, its second length counted in;
    /// `None` at the end.
    fn block(
        &mut self,
        input: &mut Input,
        interfaces: usize,
    ) -> Result<Option<(u32, u32)>, Problem> {
        let kind = if self.is_open { input.array()? } else { Some(MAGIC) };
        let Some(kind) = kind else { return Ok(None) };
        let len: [u8; 4] = input.array()?.ok_or(Problem::CutOff)?;
        let mut read = 8;
        if kind == MAGIC {
            let magic: [u8; 4] = input.array()?.ok_or(Problem::CutOff)?;
            self.order = match u32::from_le_bytes(magic) {
                0x1a2b_3c4d => Order::Little,
                0x4d3c_2b1a => Order::Big,
                _ => return Err(Problem::Damaged("a section of no byte order")),
            };
            self.number += u32::from(self.is_open);
            (self.is_open, self.first) = (true, interfaces);
            self.clocks.clear();
            read = 12;
        }
        let len = self.order.u32(&len, 0);
        if len < read + 4 || !len.is_multiple_of(4) || len > LONGEST {
            return Err(Problem::Damaged("a block of a length that cannot be"));
        }
        Ok(Some((self.order.u32(&kind, 0), len - read)))
    }

    fn add_interface(&mut self, body: &[u8], interfaces: &mut Vec<Interface>) {
        let mut clock = Clock { units_a_second: 1_000_000, offset_seconds: 0 };
        let (mut speed, mut name, mut description) = (None, None, None);
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).ok();
        for (code, value) in options(self.order, body, 8) {
            match (code, value) {
                (NAME, value) => name = text(value),
                (DESCRIPTION, value) => description = text(value),
                (SPEED, [_, _, _, _, _, _, _, _]) => speed = Some(self.order.u64(value, 0)),
                (RESOLUTION, [octet]) => clock.set_resolution(*octet),
                (OFFSET, [_, _, _, _, _, _, _, _]) => {
                    clock.offset_seconds = self.order.u64(value, 0).cast_signed();
                }
                _ => {}
            }
        }
        if interfaces.len() < MOST_INTERFACES {
            let link_type = self.order.u16(body, 0);
            interfaces.push(Interface {
                link_type,
                snap_len: self.order.u32(body, 4),
                name,
                description,
                speed,
                dropped: 0,
            });
            self.clocks.push(clock);
        }
    }

    fn add_statistics(&self, body: &[u8], interfaces: &mut [Interface]) {
        let interface = self.first.saturating_add(self.order.u32(body, 0) as usize);
        let Some(interface) = interfaces.get_mut(interface) else { return };
        for (code, value) in options(self.order, body, 12) {
            if code == INTERFACE_DROPS && value.len() == 8 {
                interface.dropped = self.order.u64(value, 0);
            }
        }
    }

    /// The packet that a block of this type holds.
    pub(super) fn packet<'a>(
        &self,
        kind: u32,
        body: &'a [u8],
        interfaces: &[Interface],
    ) -> Result<Recorded<'a>, Problem> {
        let number = |at| self.order.u32(body, at);
        let (interface, header_len) = match kind {
            ENHANCED_PACKET => (number(0), 20),
            PACKET => (self.order.u16(body, 0).into(), 20),
            _ => (0, 4),
        };
        const NO_INTERFACE: Problem =
            Problem::Damaged("a packet of an interface that is not there");
        let clock = self.clocks.get(interface as usize).ok_or(NO_INTERFACE)?;
        let described = interfaces.get(self.first + interface as usize).ok_or(NO_INTERFACE)?;
        let (len, original_len) = if kind == SIMPLE_PACKET {
            let original = number(0);
            let snap = if described.snap_len == 0 { u32::MAX } else { described.snap_len };
            (original.min(snap), original)
        } else {
            (number(12), number(16))
        };
        // The block's second length is behind the data.
        let data = body.get(header_len..body.len().saturating_sub(4));
        let octets = data
            .and_then(|data| data.get(..len as usize))
            .ok_or(Problem::Damaged("a packet is longer than its block"))?;
        let mut packet = Recorded {
            section: self.number,
            interface: (self.first + interface as usize) as u32,
            link_type: described.link_type,
            time: (kind != SIMPLE_PACKET).then(|| clock.time(number(4), number(8))),
            octets,
            original_len: original_len.max(len),
            dropped: 0,
            flags: 0,
            comment: None,
        };
        if kind == ENHANCED_PACKET {
            let behind = header_len + (len as usize).next_multiple_of(4);
            for (code, value) in options(self.order, body, behind) {
                match code {
                    FLAGS if value.len() == 4 => packet.flags = self.order.u32(value, 0),
                    COMMENT => packet.comment = std::str::from_utf8(value).ok(),
                    DROP_COUNT if value.len() == 8 => packet.dropped = self.order.u64(value, 0),
                    _ => {}
                }
            }
        }
        Ok(packet)
    }
}

/// Codes and values of the options from `at` on, without the block's second length.
fn options(order: Order, body: &[u8], at: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let end = body.len().saturating_sub(4);
    let mut rest = body.get(at..end).unwrap_or_default();
    std::iter::from_fn(move || {
        let (code, len) = (order.u16(rest, 0), usize::from(order.u16(rest, 2)));
        let value = rest.get(4..4 + len).filter(|_| code != 0)?;
        rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        Some((code, value))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use crate::time::Timestamp;

    /// A block in big byte order, which our own files do not have.
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let body = [body, &[0; 3][..body.len().next_multiple_of(4) - body.len()]].concat();
        let len = (body.len() as u32 + 12).to_be_bytes();
        [&kind.to_be_bytes()[..], &len, &body, &len].concat()
    }

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        let mut option =
            [&code.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    #[test]
    fn packets_too_short_for_what_they_say_are_damaged() {
        for kind in [2, 3, 6] {
            for len in (0..24).step_by(4) {
                let section = block(
                    0x0a0d_0d0a,
                    &[&[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0][..], &[0xff; 8]].concat(),
                );
                let interface = block(1, &[0, 165, 0, 0, 0, 0, 0, 0]);
                let packet = block(kind, &vec![0; len]);
                let file = [section, interface, packet].concat();
                let mut reader = Reader::new(std::io::Cursor::new(file)).unwrap();
                let is_whole = len >= if kind == 3 { 4 } else { 20 };
                assert_eq!(reader.next_packet().is_ok(), is_whole, "{len} octets of type {kind}");
            }
        }
    }

    #[test]
    fn packets_with_their_options_and_sections_one_after_another() {
        let section =
            block(0x0a0d_0d0a, &[&[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0][..], &[0xff; 8]].concat());
        let speed = option(8, &38_400u64.to_be_bytes());
        let interface =
            block(1, &[&[0, 165, 0, 0, 0, 0, 0, 0][..], &option(9, &[3]), &speed].concat());
        let numbers: Vec<u8> = [0u32, 0, 1500, 3, 9].iter().flat_map(|n| n.to_be_bytes()).collect();
        let told = [option(1, b"said"), option(4, &7u64.to_be_bytes()), option(0, &[])].concat();
        let packet = block(6, &[&numbers[..], &[1, 2, 3, 0], &told].concat());
        let unknown = block(0x0bad, &[1, 2, 3, 4]);
        let once = [section, interface, unknown, packet].concat();
        let mut reader = Reader::new(std::io::Cursor::new([&once[..], &once].concat())).unwrap();
        for interface in 0..2 {
            let packet = reader.next_packet().unwrap().unwrap();
            assert_eq!((packet.section, packet.interface), (interface, interface));
            assert_eq!(packet.link_type, 165);
            assert_eq!(packet.time, Some(Timestamp::from_ns(1_500_000_000)));
            assert_eq!((packet.octets, packet.original_len), (&[1, 2, 3][..], 9));
            assert_eq!((packet.dropped, packet.comment), (7, Some("said")));
        }
        assert!(reader.next_packet().unwrap().is_none());
        assert_eq!(reader.interfaces()[1].speed, Some(38_400));
    }
}
