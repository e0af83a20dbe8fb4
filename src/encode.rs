//! Encoders: packets to records of a capture format. Pure; the octets go into a buffer.
//!
//! One encoder belongs to one stream: header, whole records, trailer, in this order.

pub mod text;
mod times;

use crate::framing::Protocol;
use crate::packet::{LinkType, Packet, Timestamp, Wall, seconds};
use byteorder_slice::NativeEndian;
use pcap_file::pcap::{PcapHeader, RawPcapPacket};
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::interface_statistics::{
    InterfaceStatisticsBlock, InterfaceStatisticsOption,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use pcap_file::{DataLink, Endianness};
use std::borrow::Cow;
use std::io;
use text::Lines;
use times::{Dated, Times};

/// What the header says about the longest packet; ours are far shorter.
const SNAPLEN: u32 = 65_535;

/// The last time that a classic pcap record can have, in February 2106.
const LAST_OF_PCAP_US: u64 = u32::MAX as u64 * 1_000_000 + 999_999;

/// What is less late than this is not told of.
const LATE_NS: u64 = 1_000_000;

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
    pub baud: u32,
    /// What is spoken on it.
    pub protocol: &'static Protocol,
    /// Which direction of a full-duplex line it is.
    pub direction: Direction,
    /// Whether its packets are those of a recording, with their times.
    pub recorded: bool,
}

/// Which way the packets of a port go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways, or unknown.
    #[default]
    Unknown,
    /// Towards the device that the tap belongs to.
    Inbound,
    /// Away from it.
    Outbound,
}

impl Direction {
    /// Bits 0 and 1 of `epb_flags`.
    const fn epb_flags(self) -> u32 {
        match self {
            Self::Unknown => 0b00,
            Self::Inbound => 0b01,
            Self::Outbound => 0b10,
        }
    }
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

/// Turns packets into the records of one stream.
pub struct Encoder {
    interfaces: std::sync::Arc<[Interface]>,
    kind: Kind,
    times: Times,
}

enum Kind {
    Pcap,
    Pcapng(Box<PcapNgWriter<Vec<u8>>>),
    Text(Lines),
}

impl Encoder {
    /// An encoder for a new stream with its header, which is added to `out`.
    ///
    /// # Errors
    /// None that input can cause: writing to memory does not fail.
    pub fn start(
        format: Format,
        interfaces: std::sync::Arc<[Interface]>,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> io::Result<Self> {
        let kind = match format {
            Format::Pcap => {
                let link_type =
                    interfaces.first().map_or(LinkType(0), |port| port.protocol.link_type);
                PcapHeader {
                    snaplen: SNAPLEN,
                    datalink: DataLink::from(u32::from(link_type.0)),
                    endianness: Endianness::native(),
                    ..PcapHeader::default()
                }
                .write_to(out)
                .map_err(io::Error::other)?;
                Kind::Pcap
            }
            Format::Pcapng => {
                let mut writer = PcapNgWriter::with_section_header(Vec::new(), section())
                    .map_err(io::Error::other)?;
                for interface in interfaces.iter() {
                    writer.write_pcapng_block(description(interface)).map_err(io::Error::other)?;
                }
                out.append(writer.get_mut());
                Kind::Pcapng(Box::new(writer))
            }
            Format::Text(style) => Kind::Text(Lines::new(style)),
        };
        let times = Times::new(
            now,
            interfaces.len(),
            !interfaces.is_empty() && interfaces.iter().all(|port| port.recorded),
        );
        Ok(Self { interfaces, kind, times })
    }

    /// Says how the wall clock stands, while there are no packets yet.
    pub fn set_wall(&mut self, wall: Wall) {
        self.times.set_wall(wall);
    }

    /// An encoder for the next stream of the same output, with its header as in
    /// [`start`](Self::start).
    ///
    /// # Errors
    /// As there.
    pub fn restart(&self, now: Timestamp, wall: Wall, out: &mut Vec<u8>) -> io::Result<Self> {
        let format = match self.kind {
            Kind::Pcap => Format::Pcap,
            Kind::Pcapng(..) => Format::Pcapng,
            Kind::Text(ref lines) => Format::Text(lines.style()),
        };
        let mut next = Self::start(format, std::sync::Arc::clone(&self.interfaces), now, out)?;
        next.times.follow(&self.times);
        next.times.set_wall(wall);
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
        let dated = self.times.date(packet);
        let packet = &Packet { time: dated.time, ..*packet };
        match &mut self.kind {
            Kind::Pcap => pcap_record(packet, out),
            Kind::Pcapng(writer) => {
                let direction = self.interfaces[usize::from(packet.port)].direction;
                let block = enhanced_packet(packet, direction, dropped, &dated);
                write_block(writer, block, out)
            }
            Kind::Text(lines) => {
                let several = self.interfaces.len() > 1;
                lines.packet(packet, &self.interfaces[usize::from(packet.port)], several, out);
                Ok(())
            }
        }
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
        let Kind::Pcapng(writer) = &mut self.kind else { return Ok(()) };
        let (start, now) = (self.times.start(), self.times.now(now));
        for (id, counts) in counts.iter().enumerate() {
            let block = InterfaceStatisticsBlock {
                interface_id: id as u32,
                timestamp: now.since_epoch(),
                options: vec![
                    InterfaceStatisticsOption::IsbStartTime(start.since_epoch()),
                    InterfaceStatisticsOption::IsbEndTime(now.since_epoch()),
                    InterfaceStatisticsOption::IsbIfRecv(counts.framed),
                    InterfaceStatisticsOption::IsbIfDrop(counts.dropped),
                    InterfaceStatisticsOption::IsbUsrDeliv(counts.delivered),
                ],
            };
            write_block(writer, block, out)?;
        }
        Ok(())
    }
}

/// The section header; dumpcap 4.0 crashes on one of more than 2048 octets.
fn section() -> SectionHeaderBlock<'static> {
    SectionHeaderBlock {
        endianness: Endianness::native(),
        options: vec![
            SectionHeaderOption::OS(Cow::Borrowed(std::env::consts::OS)),
            SectionHeaderOption::UserApplication(Cow::Borrowed(concat!(
                "serialshark ",
                env!("CARGO_PKG_VERSION")
            ))),
        ],
        ..SectionHeaderBlock::default()
    }
}

fn description(interface: &Interface) -> InterfaceDescriptionBlock<'_> {
    InterfaceDescriptionBlock {
        linktype: DataLink::from(u32::from(interface.protocol.link_type.0)),
        snaplen: SNAPLEN,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(&interface.name)),
            InterfaceDescriptionOption::IfDescription(Cow::Borrowed(&interface.description)),
            InterfaceDescriptionOption::IfSpeed(interface.baud.into()),
            InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
        ],
    }
}

/// Writes a block straight into `out`, which takes the place of the writer's own buffer.
fn write_block<'a>(
    writer: &mut PcapNgWriter<Vec<u8>>,
    block: impl PcapNgBlock<'a>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let before = out.len();
    std::mem::swap(writer.get_mut(), out);
    let result = writer.write_pcapng_block(block);
    std::mem::swap(writer.get_mut(), out);
    result.map(|_| ()).map_err(|error| {
        out.truncate(before);
        io::Error::other(error)
    })
}

fn enhanced_packet<'a>(
    packet: &Packet<'a>,
    direction: Direction,
    dropped: u64,
    dated: &Dated,
) -> EnhancedPacketBlock<'a> {
    let mut options = Vec::new();
    let flags = packet.damage.epb_flags() | direction.epb_flags();
    if flags != 0 {
        options.push(EnhancedPacketOption::Flags(flags));
    }
    if dropped > 0 {
        options.push(EnhancedPacketOption::DropCount(dropped));
    }
    if let Some(comment) = comment(packet, dropped, dated) {
        options.push(EnhancedPacketOption::Common(CommonOption::Comment(Cow::Owned(comment))));
    }
    EnhancedPacketBlock {
        interface_id: packet.port.into(),
        timestamp: packet.time.since_epoch(),
        original_len: packet.original_len,
        data: Cow::Borrowed(packet.data),
        options,
    }
}

/// What there is to say about a packet beside its octets.
fn comment(packet: &Packet<'_>, dropped: u64, dated: &Dated) -> Option<String> {
    let mut parts = Vec::new();
    if packet.original_len as usize > packet.data.len() {
        parts.push(format!(
            "damaged: {}, {} of {} octets",
            packet.damage,
            packet.data.len(),
            packet.original_len
        ));
    } else if !packet.damage.is_none() {
        parts.push(format!("damaged: {}", packet.damage));
    }
    if packet.pause_ms > 0 {
        parts.push(format!("its bytes came with a pause of {} ms", packet.pause_ms));
    }
    if packet.skipped_before > 0 {
        parts.push(format!("{} octets outside frames before this one", packet.skipped_before));
    }
    if dropped > 0 {
        parts.push(format!(
            "{dropped} packets dropped before this one: reader too slow or disk full"
        ));
    }
    if packet.gap_ns > 0 {
        parts.push(format!("port gone for {} before this one", seconds(packet.gap_ns)));
    }
    if packet.stranger {
        parts.push("from another adapter than the packets before".to_owned());
    }
    if packet.missing > 0 {
        let missing = packet.missing;
        parts.push(format!("{missing} bytes before this one are missing in the recording"));
    }
    if dated.late_ns >= LATE_NS {
        let late = seconds(dated.late_ns);
        parts.push(format!("began {late} earlier, and came after others that began later"));
    }
    let step_ns = dated.step_ns;
    if step_ns != 0 {
        let step = packet.wall.step_in_words(step_ns);
        let still = if step_ns < 0 { ", which this stream does not follow" } else { "" };
        parts.push(format!("{step} before this one{still}"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn pcap_record(packet: &Packet<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    // Where seconds stand still (2106), fractions of them must not go round.
    let us = (packet.time.as_ns() / 1000).min(LAST_OF_PCAP_US);
    let record = RawPcapPacket {
        ts_sec: (us / 1_000_000) as u32,
        ts_frac: (us % 1_000_000) as u32,
        incl_len: packet.data.len() as u32,
        orig_len: packet.original_len,
        data: Cow::Borrowed(packet.data),
    };
    record.write_to::<_, NativeEndian>(out).map(|_| ()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::PROTOCOLS;
    use crate::packet::Damage;

    pub(super) const TOKEN: [u8; 8] = [0x55, 0xff, 0, 0x10, 5, 0, 0, 0x8c];

    pub(super) fn interfaces() -> std::sync::Arc<[Interface]> {
        std::sync::Arc::new([Interface {
            name: "/dev/ttyUSB0".into(),
            description: "mstp".into(),
            baud: 38_400,
            protocol: &PROTOCOLS[0],
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

    #[test]
    fn a_pcap_stream_octet_by_octet() {
        let mut out = Vec::new();
        let mut encoder =
            Encoder::start(Format::Pcap, interfaces(), Timestamp::default(), &mut out).unwrap();
        encoder.packet(&packet(&TOKEN), 0, &mut out).unwrap();
        encoder.finish(&[StreamCounts::default()], Timestamp::default(), &mut out).unwrap();
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<_>>();
        let mut expected = words(&[0xa1b2_c3d4]);
        expected.extend([2u16, 4].iter().flat_map(|w| w.to_ne_bytes()));
        expected.extend(words(&[0, 0, 65_535, 165, 1_700_000_000, 123_456, 8, 8]));
        expected.extend(TOKEN);
        assert_eq!(out, expected);
    }

    #[test]
    fn times_that_pcap_cannot_have_do_not_run_backwards() {
        let second_ns = 1_000_000_000;
        let end_ns = (u64::from(u32::MAX) + 1) * second_ns;
        let times =
            [0, 1, 999, end_ns - 1001, end_ns - 1, end_ns, end_ns + 1, end_ns + second_ns / 2];
        let mut out = Vec::new();
        for ns in times.into_iter().chain([end_ns + 7 * second_ns, u64::MAX]) {
            pcap_record(&Packet { time: Timestamp::from_ns(ns), ..packet(&[]) }, &mut out).unwrap();
        }
        let word = |at: &[u8]| u32::from_ne_bytes(at.try_into().unwrap());
        let dated: Vec<_> =
            out.chunks(16).map(|head| (word(&head[..4]), word(&head[4..8]))).collect();
        assert!(dated.is_sorted(), "{dated:?}");
        assert_eq!((dated[0], dated[9]), ((0, 0), (u32::MAX, 999_999)));
        assert_eq!(dated[3], (u32::MAX, 999_998));
    }

    #[test]
    fn a_flawless_packet_has_no_options_and_a_flawed_one_says_all() {
        assert_eq!(
            enhanced_packet(&packet(&TOKEN), Direction::Unknown, 0, &Dated::default()).options,
            []
        );
        let flawed = Packet {
            original_len: 30,
            skipped_before: 7,
            damage: Damage::TOO_SHORT,
            gap_ns: 12_345_678_901,
            ..packet(&TOKEN)
        };
        let dated = Dated { step_ns: -1_500_000_000, late_ns: 512_000_000, ..Dated::default() };
        assert_eq!(
            enhanced_packet(&flawed, Direction::Outbound, 3, &dated).options,
            [
                EnhancedPacketOption::Flags(1 << 26 | 0b10),
                EnhancedPacketOption::DropCount(3),
                EnhancedPacketOption::Common(CommonOption::Comment(Cow::Borrowed(
                    "damaged: too short, 8 of 30 octets; \
                     7 octets outside frames before this one; \
                     3 packets dropped before this one: reader too slow or disk full; \
                     port gone for 12.346 s before this one; \
                     began 0.512 s earlier, and came after others that began later; \
                     the clock was set back by 1.500 s before this one, which this stream \
                     does not follow"
                ))),
            ]
        );
    }

    #[test]
    fn the_section_header_is_one_that_dumpcap_survives() {
        let writer = PcapNgWriter::with_section_header(Vec::new(), section()).unwrap();
        assert!(writer.get_ref().len() <= 2048);
    }
}
