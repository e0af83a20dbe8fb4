//! Encoders: packets to records of a capture format. Pure; the octets go into a buffer.
//!
//! One encoder belongs to one stream: header, whole records, trailer, in this order. A format is a
//! file with an [`Encode`], a variant of [`Format`] and a line in [`Format::records`].

mod comment;
mod pcap;
mod pcapng;
pub mod text;
mod times;

use crate::framing::Protocol;
use crate::line::Line;
pub use crate::packet::Direction;
use crate::packet::{LinkType, Packet};
use crate::time::{Timestamp, WallOffset};
use std::io;
use std::sync::Arc;
use times::Dated;
pub use times::Times;

/// What a header says about the longest packet; ours are far shorter.
const SNAPLEN: u32 = 65_535;

/// A capture format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap 2.4, microseconds, native byte order: what every reader takes.
    Pcap,
    /// pcapng, nanoseconds, with flags, comments and drop counts.
    Pcapng,
    /// A line of text for each packet.
    Text(text::Style),
}

/// What a header says about a port.
#[derive(Clone, Debug)]
pub struct Interface {
    /// The port as the user named it.
    pub name: String,
    /// Its protocol and rate, in words.
    pub description: String,
    /// Bits per second.
    pub line: Line,
    /// What is spoken on it.
    pub protocol: &'static Protocol,
    /// What its packets are.
    pub link_type: LinkType,
    /// Which direction of a full-duplex line it is. Where it is none, packets may know their own.
    pub direction: Direction,
    /// Whether its packets are those of a recording, with their times.
    pub recorded: bool,
}

/// What became of the packets of one port in one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Found on the line while the stream was open.
    pub framed: u64,
    /// Written to the stream.
    pub delivered: u64,
    /// Refused by its full queue.
    pub dropped: u64,
    /// Still queued when its reader left.
    pub abandoned: u64,
}

impl Format {
    /// What a stream begins with whatever its packets will be: the section of pcapng. A reader that has
    /// it knows that somebody is there.
    ///
    /// # Errors
    /// None that input can cause.
    pub fn section(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Pcapng => pcapng::section_alone(),
            Self::Pcap | Self::Text(_) => Ok(Vec::new()),
        }
    }

    /// What makes the records of a stream in this format.
    fn records(self) -> Box<dyn Encode> {
        match self {
            Self::Pcap => Box::new(pcap::Pcap),
            Self::Pcapng => Box::new(pcapng::Pcapng::new()),
            Self::Text(style) => Box::new(text::Lines::new(style)),
        }
    }
}

impl StreamCounts {
    /// What was added since the counts were `earlier`.
    #[must_use]
    pub const fn minus(&self, earlier: &Self) -> Self {
        Self {
            framed: self.framed - earlier.framed,
            delivered: self.delivered - earlier.delivered,
            dropped: self.dropped - earlier.dropped,
            abandoned: self.abandoned - earlier.abandoned,
        }
    }
}

/// Makes the records of one stream in one format: header, packets, trailer, in this order. Each adds
/// to `out` what is whole, or fails and leaves it as it is. None fails by any input: writing to memory
/// does not.
trait Encode: Send {
    /// What a stream of packets from these ports begins with.
    fn header(&mut self, ports: &[Interface], out: &mut Vec<u8>) -> io::Result<()>;

    /// The record of a packet.
    fn packet(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> io::Result<()>;

    /// What a stream ends with.
    fn trailer(&mut self, _trailer: &Trailer<'_>, _out: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }
}

/// A packet, and what there is to say about it in this stream.
struct Record<'a> {
    /// The packet, but for its time.
    packet: &'a Packet<'a>,
    /// Its time in this stream.
    dated: Dated,
    /// Its port.
    interface: &'a Interface,
    /// Whether the stream has packets of other ports as well.
    several_ports: bool,
    /// How many packets of its port were dropped directly before it.
    dropped: u64,
}

/// What became of the packets of a stream, and when it was written.
struct Trailer<'a> {
    /// A port each.
    counts: &'a [StreamCounts],
    start: Timestamp,
    end: Timestamp,
}

/// Turns packets into the records of one stream.
pub struct Encoder {
    format: Format,
    interfaces: Arc<[Interface]>,
    records: Box<dyn Encode>,
    times: Times,
}

impl Encoder {
    /// An encoder for a new stream with its header, which is added to `out`.
    ///
    /// # Errors
    /// None that input can cause: writing to memory does not fail.
    pub fn start(
        format: Format,
        interfaces: Arc<[Interface]>,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> io::Result<Self> {
        let mut records = format.records();
        records.header(&interfaces, out)?;
        let is_recorded = !interfaces.is_empty() && interfaces.iter().all(|port| port.recorded);
        let times = Times::new(now, interfaces.len(), is_recorded);
        Ok(Self { format, interfaces, records, times })
    }

    /// Says how the wall clock stands, while there are no packets yet.
    pub fn set_wall_offset(&mut self, wall: WallOffset) {
        self.times.set_wall_offset(wall);
    }

    /// An encoder for the next stream of the same output, with its header as in
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// As there.
    pub fn restart(&self, now: Timestamp, wall: WallOffset, out: &mut Vec<u8>) -> io::Result<Self> {
        let mut next = Self::start(self.format, Arc::clone(&self.interfaces), now, out)?;
        next.times.follow(&self.times);
        next.times.set_wall_offset(wall);
        Ok(next)
    }

    /// Adds the record of `packet` to `out`; `dropped` packets of the same port were refused
    /// directly before it. Should it be earlier than the one before it, which can only have come
    /// from another port, it gets that one's time.
    ///
    /// # Errors
    /// None that input can cause; `out` is as it was then.
    pub fn packet(
        &mut self,
        packet: &Packet<'_>,
        dropped: u64,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let record = Record {
            packet,
            dated: self.times.date(packet),
            interface: &self.interfaces[usize::from(packet.port)],
            several_ports: self.interfaces.len() > 1,
            dropped,
        };
        self.records.packet(&record, out)
    }

    /// Adds the trailer to `out`: what became of the packets of each port.
    ///
    /// # Errors
    /// None that input can cause.
    pub fn finish(
        &mut self,
        counts: &[StreamCounts],
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let (start, end) = (self.times.start(), self.times.now(now));
        self.records.trailer(&Trailer { counts, start, end }, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::PROTOCOLS;

    pub(super) const TOKEN: [u8; 8] = [0x55, 0xff, 0, 0x10, 5, 0, 0, 0x8c];

    pub(super) fn interfaces() -> std::sync::Arc<[Interface]> {
        std::sync::Arc::new([Interface {
            name: "/dev/ttyUSB0".into(),
            description: "mstp".into(),
            line: Line::at(38_400),
            protocol: PROTOCOLS[0],
            link_type: PROTOCOLS[0].link_type,
            direction: Direction::Unknown,
            recorded: false,
        }])
    }

    pub(super) fn packet(data: &[u8]) -> Packet<'_> {
        Packet {
            data,
            original_len: data.len() as u32,
            time: Timestamp::from_ns(1_700_000_000_123_456_789),
            ..Packet::default()
        }
    }

    /// The record of a packet of MS/TP with nothing to say about it.
    pub(super) fn record<'a>(packet: &'a Packet<'a>, interface: &'a Interface) -> Record<'a> {
        let dated = Dated { time: packet.time, ..Dated::default() };
        Record { packet, dated, interface, several_ports: false, dropped: 0 }
    }
}
