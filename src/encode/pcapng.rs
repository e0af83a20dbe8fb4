//! pcapng: a section with an interface for each port, a block for each packet, and statistics.

use super::comment::comment;
use super::{Encode, Interface, Record, SNAPLEN, Trailer};
use crate::packet::Direction;
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

/// Nanoseconds, native byte order, with flags, comments and drop counts.
pub(super) struct Pcapng {
    /// Knows the interfaces once the header is written.
    writer: Option<PcapNgWriter<Vec<u8>>>,
}

impl Pcapng {
    pub(super) fn new() -> Self {
        Self { writer: None }
    }

    /// Writes a block straight into `out`, which takes the place of the writer's own buffer.
    fn write<'a>(&mut self, block: impl PcapNgBlock<'a>, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Err(io::ErrorKind::InvalidInput.into()) };
        let before = out.len();
        std::mem::swap(writer.get_mut(), out);
        let result = writer.write_pcapng_block(block);
        std::mem::swap(writer.get_mut(), out);
        result.map(|_| ()).map_err(|error| {
            out.truncate(before);
            io::Error::other(error)
        })
    }
}

impl Encode for Pcapng {
    fn header(&mut self, ports: &[Interface], out: &mut Vec<u8>) -> io::Result<()> {
        let mut writer =
            PcapNgWriter::with_section_header(Vec::new(), section()).map_err(io::Error::other)?;
        for port in ports {
            writer.write_pcapng_block(description(port)).map_err(io::Error::other)?;
        }
        out.append(writer.get_mut());
        self.writer = Some(writer);
        Ok(())
    }

    fn packet(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        self.write(block(record), out)
    }

    fn trailer(&mut self, trailer: &Trailer<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        for (id, counts) in trailer.counts.iter().enumerate() {
            let block = InterfaceStatisticsBlock {
                interface_id: id as u32,
                timestamp: trailer.end.since_epoch(),
                options: vec![
                    InterfaceStatisticsOption::IsbStartTime(trailer.start.since_epoch()),
                    InterfaceStatisticsOption::IsbEndTime(trailer.end.since_epoch()),
                    InterfaceStatisticsOption::IsbIfRecv(counts.framed),
                    InterfaceStatisticsOption::IsbIfDrop(counts.dropped),
                    InterfaceStatisticsOption::IsbUsrDeliv(counts.delivered),
                ],
            };
            self.write(block, out)?;
        }
        Ok(())
    }
}

/// A section without interfaces, as each stream begins.
pub(super) fn section_alone() -> io::Result<Vec<u8>> {
    let mut writer =
        PcapNgWriter::with_section_header(Vec::new(), section()).map_err(io::Error::other)?;
    Ok(std::mem::take(writer.get_mut()))
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
        linktype: DataLink::from(u32::from(interface.link_type.0)),
        snaplen: SNAPLEN,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(&interface.name)),
            InterfaceDescriptionOption::IfDescription(Cow::Borrowed(&interface.description)),
            InterfaceDescriptionOption::IfSpeed(interface.line.baud.into()),
            InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
        ],
    }
}

/// The block of a packet. A flawless one has no options.
fn block<'a>(record: &Record<'a>) -> EnhancedPacketBlock<'a> {
    let Record { packet, dated, interface, dropped, .. } = *record;
    let direction = match interface.direction {
        Direction::Unknown => packet.direction,
        known => known,
    };
    let mut options = Vec::new();
    let captured = packet.captured.map_or(0, |captured| captured.flags);
    let flags =
        packet.damage.epb_flags() | direction.epb_flags() | packet.errors.epb_flags() | captured;
    let dropped = dropped + packet.captured.map_or(0, |captured| captured.dropped);
    if flags != 0 {
        options.push(EnhancedPacketOption::Flags(flags));
    }
    if dropped > 0 {
        options.push(EnhancedPacketOption::DropCount(dropped));
    }
    if let Some(comment) = comment(record) {
        options.push(EnhancedPacketOption::Common(CommonOption::Comment(Cow::Owned(comment))));
    }
    EnhancedPacketBlock {
        interface_id: packet.port.into(),
        timestamp: dated.time.since_epoch(),
        original_len: packet.original_len,
        data: Cow::Borrowed(packet.data),
        options,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TOKEN, interfaces, packet, record};
    use super::*;
    use crate::line_errors::LineErrors;
    use crate::packet::{Damage, Packet};

    #[test]
    fn a_flawless_packet_has_no_options_and_a_flawed_one_has_flags_count_and_comment() {
        let interface = &interfaces()[0];
        assert_eq!(block(&record(&packet(&TOKEN), interface)).options, []);
        let flawed = Packet {
            damage: Damage::TOO_SHORT,
            errors: LineErrors { symbols: 1, breaks: 0, overruns: 2 },
            ..packet(&TOKEN)
        };
        let outbound = Interface { direction: Direction::Outbound, ..interface.clone() };
        let record = Record { dropped: 3, ..record(&flawed, &outbound) };
        let said = comment(&record).expect("is flawed");
        assert_eq!(
            block(&record).options,
            [
                EnhancedPacketOption::Flags(1 << 31 | 1 << 26 | 0b10),
                EnhancedPacketOption::DropCount(3),
                EnhancedPacketOption::Common(CommonOption::Comment(Cow::Owned(said))),
            ]
        );
    }

    #[test]
    fn the_section_header_is_one_that_dumpcap_survives() {
        let writer = PcapNgWriter::with_section_header(Vec::new(), section()).unwrap();
        assert!(writer.get_ref().len() <= 2048);
    }
}
