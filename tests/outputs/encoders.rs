//! Both encoders, given any packets: another reader, which shares no code with the one that wrote
//! them, finds the same again, and so does tshark in a sample.

use crate::common::{full, tshark};
use pcap_parser::pcapng::{Block, EnhancedPacketBlock, InterfaceStatisticsBlock};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{LegacyPcapSlice, PcapBlockOwned, PcapNGOption, PcapNGSlice};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use serialshark::encode::{Direction, Encoder, Format, Interface, StreamCounts};
use serialshark::framing::PROTOCOLS;
use serialshark::line::Line;
use serialshark::packet::{Batch, Damage, Notes};
use serialshark::time::Timestamp;
use std::sync::Arc;

const START: Timestamp = Timestamp::from_ns(1_700_000_000_000_000_001);
const END: Timestamp = Timestamp::from_ns(1_700_000_009_999_999_999);
/// What pcap can tell, in seconds; pcapng's nanoseconds go on to 2554.
const PCAP_END: u64 = u32::MAX as u64;

/// A capture to be written.
#[derive(Clone, Debug)]
struct Capture {
    interfaces: Arc<[Interface]>,
    packets: Vec<Packet>,
    counts: Vec<StreamCounts>,
}

#[derive(Clone, Debug)]
struct Packet {
    port: u16,
    data: Vec<u8>,
    notes: Notes,
    dropped: u64,
    /// How long the port was gone before it.
    gap_ms: u64,
}

/// What a reader finds of a packet.
#[derive(Debug, PartialEq)]
struct Found {
    interface: u32,
    time_ns: u64,
    data: Vec<u8>,
    original_len: u32,
    flags: u32,
    dropped: u64,
    comment: String,
}

impl Capture {
    fn file(&self, format: Format) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder =
            Encoder::start(format, Arc::clone(&self.interfaces), START, &mut file).unwrap();
        for packet in &self.packets {
            let mut batch = Batch::new(packet.port);
            // In parts, as a framer may give it.
            let (head, tail) = packet.data.split_at(packet.data.len() / 2);
            batch.push(&[head, tail], packet.notes);
            batch.set_gap_ns(packet.gap_ms * 1_000_000);
            let packet_of_batch = batch.packets().next().unwrap();
            encoder.packet(&packet_of_batch, packet.dropped, &mut file).unwrap();
        }
        encoder.finish(&self.counts, END, &mut file).unwrap();
        file
    }

    /// What a reader must find, in the words of pcapng's draft: the bits of `epb_flags` are
    /// 0 and 1 for the direction, 24 for a CRC error, 26 for too short.
    fn expected(&self, format: Format) -> Vec<Found> {
        let mut latest = 0;
        self.packets
            .iter()
            .map(|packet| {
                latest = latest.max(packet.notes.time.as_ns());
                let len = packet.data.len() as u32;
                let mut found = Found {
                    interface: 0,
                    time_ns: latest / 1000 * 1000,
                    data: packet.data.clone(),
                    original_len: packet.notes.original_len.max(len),
                    flags: 0,
                    dropped: 0,
                    comment: String::new(),
                };
                if format == Format::Pcapng {
                    let direction = self.interfaces[usize::from(packet.port)].direction;
                    let damage = packet.notes.damage;
                    found.interface = packet.port.into();
                    found.time_ns = latest;
                    // What the port is known for comes before what a packet tells.
                    let direction = match direction {
                        Direction::Unknown => packet.notes.direction,
                        known => known,
                    };
                    found.flags = match direction {
                        Direction::Unknown => 0,
                        Direction::Inbound => 1,
                        Direction::Outbound => 2,
                    } | u32::from(damage.has(Damage::CRC_ERROR)) << 24
                        | u32::from(damage.has(Damage::TOO_LONG)) << 25
                        | u32::from(damage.has(Damage::TOO_SHORT)) << 26;
                    found.dropped = packet.dropped;
                    found.comment = comment(packet, latest - packet.notes.time.as_ns());
                }
                found
            })
            .collect()
    }
}

/// Of a packet that began so much earlier than its time in the capture says.
fn comment(packet: &Packet, late_ns: u64) -> String {
    let Packet { data, notes, dropped, gap_ms, .. } = packet;
    let mut parts = Vec::new();
    let lack = notes.original_len as usize > data.len();
    if lack || !notes.damage.is_none() {
        let of = format!(", {} of {} bytes", data.len(), notes.original_len);
        parts.push(format!("damaged: {}{}", notes.damage, if lack { &of } else { "" }));
    }
    if notes.skipped_before > 0 {
        parts.push(format!("{} bytes outside frames before this packet", notes.skipped_before));
    }
    if *dropped > 0 {
        parts.push(format!(
            "{dropped} packets dropped before this packet: reader too slow or disk full"
        ));
    }
    if *gap_ms > 0 {
        let (seconds, ms) = (gap_ms / 1000, gap_ms % 1000);
        parts.push(format!("port gone for {seconds}.{ms:03} s before this packet"));
    }
    if late_ns >= 1_000_000 {
        let ms = (late_ns + 500_000) / 1_000_000;
        let (seconds, ms) = (ms / 1000, ms % 1000);
        parts.push(format!("out of order: began {seconds}.{ms:03} s before the time shown"));
    }
    parts.join("; ")
}

fn direction() -> impl Strategy<Value = Direction> {
    select(vec![Direction::Unknown, Direction::Inbound, Direction::Outbound])
}

fn packet(ports: usize) -> impl Strategy<Value = Packet> {
    let time = prop_oneof![0..PCAP_END * 1_000_000_000, Just(0), START.as_ns()..END.as_ns()];
    let damage = select(vec![
        Damage::NONE,
        Damage::NONE,
        Damage::CRC_ERROR,
        Damage::TOO_SHORT,
        Damage::TOO_LONG,
    ]);
    let rarely = |value: std::ops::Range<u32>| prop_oneof![3 => Just(0), 1 => value];
    (
        0..ports,
        // 2052 is the longest MS/TP frame.
        prop_oneof![vec(any::<u8>(), 1..60), vec(any::<u8>(), 1..2053)],
        time,
        damage,
        direction(),
        (rarely(0..4000), rarely(0..u32::MAX), rarely(0..9), rarely(0..100_000)),
    )
        .prop_map(
            |(
                port,
                data,
                time,
                damage,
                direction,
                (original_len, skipped_before, dropped, gap_ms),
            )| {
                let time = Timestamp::from_ns(time);
                let notes = Notes {
                    time,
                    original_len,
                    skipped_before,
                    damage,
                    direction,
                    ..Notes::default()
                };
                let (port, dropped, gap_ms) = (port as u16, dropped.into(), gap_ms.into());
                Packet { port, data, notes, dropped, gap_ms }
            },
        )
}

/// Captures of one port, or of several that share a link type if pcap is to hold them.
fn capture(format: Format) -> impl Strategy<Value = Capture> {
    // The comments of protocols that Wireshark does not dissect begin with words of their own.
    let plain: Vec<_> = (0..PROTOCOLS.len()).filter(|n| !PROTOCOLS[*n].comment).collect();
    let port = (select(plain), "\\PC{1,40}", "\\PC{0,40}", 1..u32::MAX, direction());
    let counts = any::<[u32; 4]>().prop_map(|n| StreamCounts {
        framed: n[0].into(),
        delivered: n[1].into(),
        dropped: n[2].into(),
        abandoned: n[3].into(),
    });
    vec((port, counts), 1..4).prop_flat_map(move |ports| {
        let first = ports[0].0.0;
        let interfaces: Arc<[Interface]> = ports
            .iter()
            .map(|((row, name, description, baud, direction), _)| {
                let protocol = PROTOCOLS[if format == Format::Pcap { first } else { *row }];
                Interface {
                    name: name.clone(),
                    description: description.clone(),
                    line: Line::at(*baud),
                    protocol,
                    link_type: protocol.link_type,
                    direction: *direction,
                    recorded: false,
                }
            })
            .collect();
        let counts: Vec<_> = ports.iter().map(|(_, counts)| *counts).collect();
        vec(packet(ports.len()), 0..20).prop_map(move |packets| Capture {
            interfaces: Arc::clone(&interfaces),
            packets,
            counts: counts.clone(),
        })
    })
}

/// The same captures each time.
fn runner(cases: u32) -> TestRunner {
    let cases = if full() { cases } else { cases / 5 };
    let config = ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), ..Default::default() };
    TestRunner::new(ProptestConfig { failure_persistence: None, ..config })
}

#[test]
fn any_packets_are_read_back_from_pcap() {
    let check = |capture: Capture| {
        let file = capture.file(Format::Pcap);
        let reader = LegacyPcapSlice::from_slice(&file).unwrap();
        let link_type = capture.interfaces[0].protocol.link_type.0;
        assert_eq!(reader.header.network.0, i32::from(link_type));
        let found: Vec<Found> = reader
            .map(|block| match block.unwrap() {
                PcapBlockOwned::Legacy(packet) => Found {
                    interface: 0,
                    time_ns: u64::from(packet.ts_sec) * 1_000_000_000
                        + u64::from(packet.ts_usec) * 1000,
                    data: packet.data.to_vec(),
                    original_len: packet.origlen,
                    flags: 0,
                    dropped: 0,
                    comment: String::new(),
                },
                _ => panic!("no packet"),
            })
            .collect();
        assert_eq!(found, capture.expected(Format::Pcap));
        Ok(())
    };
    runner(500).run(&capture(Format::Pcap), check).unwrap();
}

#[test]
fn any_packets_are_read_back_from_pcapng() {
    let check = |capture: Capture| {
        let file = capture.file(Format::Pcapng);
        let mut blocks =
            PcapNGSlice::from_slice(&file).unwrap().map(|block| match block.unwrap() {
                PcapBlockOwned::NG(block) => block,
                _ => panic!("no pcapng"),
            });
        assert!(matches!(blocks.next(), Some(Block::SectionHeader(_))));
        for interface in capture.interfaces.iter() {
            let Some(Block::InterfaceDescription(block)) = blocks.next() else {
                panic!("no interface")
            };
            assert_eq!(block.linktype.0, i32::from(interface.protocol.link_type.0));
            assert_eq!(block.if_tsresol, 9);
            assert_eq!(block.if_name(), Some(Ok(&interface.name[..])));
            assert_eq!(block.if_description(), Some(Ok(&interface.description[..])));
            assert_eq!(block.if_speed(), Some(Ok(interface.line.baud.into())));
        }
        let mut start_ns = START.as_ns();
        for (index, expected) in capture.expected(Format::Pcapng).into_iter().enumerate() {
            // Of history, say.
            start_ns = if index == 0 { start_ns.min(expected.time_ns) } else { start_ns };
            let Some(Block::EnhancedPacket(block)) = blocks.next() else { panic!("no packet") };
            assert_eq!(found(&block), expected);
        }
        for (id, counts) in capture.counts.iter().enumerate() {
            let Some(Block::InterfaceStatistics(block)) = blocks.next() else {
                panic!("no statistics")
            };
            check_statistics(&block, id as u32, counts, start_ns);
        }
        assert!(blocks.next().is_none(), "a block too many");
        Ok(())
    };
    runner(500).run(&capture(Format::Pcapng), check).unwrap();
}

fn found(block: &EnhancedPacketBlock<'_>) -> Found {
    let of = |code| block.options.iter().find(|option| option.code.0 == code);
    // Flags, drop count, comment; each at most once, and nothing else.
    let known = [1, 2, 4].iter().filter(|code| of(**code).is_some()).count();
    let all = block.options.iter().filter(|option| option.code.0 != 0).count();
    assert_eq!(known, all, "{:?}", block.options);
    Found {
        interface: block.if_id,
        time_ns: time(block.ts_high, block.ts_low),
        data: block.packet_data().to_vec(),
        original_len: block.origlen,
        flags: of(2).map_or(0, |option| u32::from_ne_bytes(value(option).try_into().unwrap())),
        dropped: of(4).map_or(0, |option| u64::from_ne_bytes(value(option).try_into().unwrap())),
        comment: of(1)
            .map_or(String::new(), |option| String::from_utf8(value(option).to_vec()).unwrap()),
    }
}

fn value<'a>(option: &'a PcapNGOption<'_>) -> &'a [u8] {
    option.as_bytes().unwrap()
}

fn time(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn check_statistics(
    block: &InterfaceStatisticsBlock<'_>,
    id: u32,
    counts: &StreamCounts,
    start_ns: u64,
) {
    let at = |time_of: (u32, u32)| time(time_of.0, time_of.1);
    assert_eq!(block.if_id, id);
    assert_eq!(time(block.ts_high, block.ts_low), END.as_ns());
    assert_eq!(block.isb_starttime().unwrap().map(at), Ok(start_ns));
    assert_eq!(block.isb_endtime().unwrap().map(at), Ok(END.as_ns()));
    assert_eq!(block.isb_ifrecv(), Some(Ok(counts.framed)));
    assert_eq!(block.isb_ifdrop(), Some(Ok(counts.dropped)));
    assert_eq!(block.isb_usrdeliv(), Some(Ok(counts.delivered)));
}

#[test]
fn tshark_reads_a_sample_as_it_was_written() {
    const FIELDS: [&str; 7] = [
        "frame.interface_id",
        "frame.time_epoch",
        "frame.cap_len",
        "frame.len",
        "frame.packet_flags",
        "frame.drop_count",
        "frame.comment",
    ];
    let mut args = vec!["-r", "-", "-T", "fields", "-E", "occurrence=f"];
    args.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
    let mut runner = runner(0);
    for format in [Format::Pcap, Format::Pcapng].repeat(3) {
        let capture = capture(format).new_tree(&mut runner).unwrap().current();
        let Some(says) = tshark(&args, &capture.file(format)) else { return };
        let expected = capture.expected(format);
        assert_eq!(says.lines().count(), expected.len(), "{says}");
        for (line, expected) in says.lines().zip(expected) {
            let columns: Vec<&str> = line.split('\t').collect();
            let [interface, time, len, original_len, flags, dropped, comment] = columns[..] else {
                panic!("{line}")
            };
            let number = |text: &str| text.parse::<u64>().unwrap_or(0);
            let flags = flags.trim_start_matches("0x");
            assert_eq!(number(interface), u64::from(expected.interface), "{line}");
            assert_eq!(number(&time.replace('.', "")), expected.time_ns, "{line}");
            assert_eq!(number(len), expected.data.len() as u64, "{line}");
            assert_eq!(number(original_len), u64::from(expected.original_len), "{line}");
            assert_eq!(u32::from_str_radix(flags, 16).unwrap_or(0), expected.flags, "{line}");
            assert_eq!(number(dropped), expected.dropped, "{line}");
            assert_eq!(comment, expected.comment, "{line}");
        }
    }
}
