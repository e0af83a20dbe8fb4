//! A pcapng stream that comes in pieces, as from a network: its packets as soon as each is whole. Pure.

use super::pcapng::{MAGIC, SECTION, Section, is_packet};
use super::{Interface, LONGEST, Order, Problem, Recorded};

/// Finds where blocks end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blocks {
    order: Order,
}

impl Blocks {
    /// Type and length of the block that these octets begin with; `None` while it is not whole.
    ///
    /// # Errors
    /// When it is no block.
    pub fn first(&mut self, octets: &[u8]) -> Result<Option<(u32, usize)>, Problem> {
        if octets.starts_with(&MAGIC) {
            let Some(magic) = octets.get(8..12) else { return Ok(None) };
            self.order = match magic {
                [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
                _ => return Err(Problem::Damaged("a section of no byte order")),
            };
        }
        if octets.len() < 8 {
            return Ok(None);
        }
        let (kind, len) = (self.order.u32(octets, 0), self.order.u32(octets, 4));
        if len < 12 || !len.is_multiple_of(4) || len > LONGEST {
            return Err(Problem::Damaged("a block of a length that cannot be"));
        }
        let len = len as usize;
        Ok((octets.len() >= len).then_some((kind, len)))
    }
}

/// The packets of a stream, of which each section has the interfaces of all.
#[derive(Default)]
pub struct Pieces {
    blocks: Blocks,
    section: Section,
    interfaces: Vec<Interface>,
    /// What has come and is no whole block yet.
    rest: Vec<u8>,
}

impl Pieces {
    /// Takes what comes next, and hands on the packets that are whole.
    ///
    /// # Errors
    /// When this is no pcapng; nothing more comes then.
    pub fn push(
        &mut self,
        octets: &[u8],
        mut sink: impl FnMut(&Recorded<'_>),
    ) -> Result<(), Problem> {
        self.rest.extend_from_slice(octets);
        let mut at = 0;
        while let Some((kind, len)) = self.blocks.first(&self.rest[at..])? {
            // Behind type and length.
            let body = &self.rest[at..][8..len];
            if kind == SECTION {
                self.section = Section::begun(self.blocks.order);
                self.interfaces.clear();
            } else if is_packet(kind) {
                sink(&self.section.packet(kind, body, &self.interfaces)?);
            } else {
                self.section.note(kind, body, &mut self.interfaces);
            }
            at += len;
        }
        self.rest.drain(..at);
        Ok(())
    }

    /// Whether what has come ends with a block.
    pub fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }

    /// The interfaces of the section, as far as it was read.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Encoder, Format, Interface as Port};
    use crate::framing::PROTOCOLS;
    use crate::line::Line;
    use crate::packet::{Direction, Packet};
    use crate::time::Timestamp;

    fn capture() -> Vec<u8> {
        let ports = std::sync::Arc::new([Port {
            name: "/dev/ttyUSB0".into(),
            description: "words".into(),
            line: Line::at(38_400),
            protocol: PROTOCOLS[0],
            link_type: PROTOCOLS[0].link_type,
            direction: Direction::Unknown,
            recorded: false,
        }]);
        let mut octets = Vec::new();
        let now = Timestamp::from_ns(1);
        let mut encoder = Encoder::start(Format::Pcapng, ports, now, &mut octets).unwrap();
        for (n, time) in [(1, 10), (2, 20), (3, 30)] {
            let packet = Packet {
                data: &vec![n; usize::from(n)],
                time: Timestamp::from_ns(time),
                original_len: u32::from(n),
                ..Packet::default()
            };
            encoder.packet(&packet, 0, &mut octets).unwrap();
        }
        encoder.finish(&[Default::default()], now, &mut octets).unwrap();
        octets
    }

    #[test]
    fn packets_are_the_same_however_the_stream_is_cut() {
        let whole = [capture(), capture()].concat();
        let read = |len: usize| {
            let (mut pieces, mut found) = (Pieces::default(), Vec::new());
            for piece in whole.chunks(len) {
                pieces
                    .push(piece, |packet| {
                        found.push((packet.interface, packet.time, packet.octets.to_vec()));
                    })
                    .unwrap();
            }
            let [interface] = pieces.interfaces() else { panic!("one interface") };
            assert_eq!(interface.name.as_deref(), Some("/dev/ttyUSB0"));
            assert_eq!(
                (interface.description.as_deref(), interface.speed),
                (Some("words"), Some(38_400))
            );
            found
        };
        let all = read(whole.len());
        assert_eq!(all.len(), 6);
        assert_eq!(all[2], (0, Some(Timestamp::from_ns(30)), vec![3; 3]));
        for len in 1..100 {
            assert_eq!(read(len), all, "pieces of {len}");
        }
    }

    #[test]
    fn what_is_no_pcapng_is_refused_and_no_length_takes_memory() {
        let capture = capture();
        for at in 0..16 {
            let mut damaged = capture.clone();
            damaged[at] ^= 0x5a;
            let mut pieces = Pieces::default();
            let _ = pieces.push(&damaged, |_| {});
            assert!(pieces.rest.len() <= damaged.len());
        }
        assert!(Pieces::default().push(&[0xff; 64], |_| {}).is_err());
    }
}
