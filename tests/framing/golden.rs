//! Golden captures: what was on a line, and what comes of it.
//!
//! Each directory of `tests/data` is a case: `input.txt` is the line, `expected.txt` what the
//! framer makes of it, to the nanosecond. `BLESS=1 cargo test --test framing golden` writes the latter
//! anew; `git diff` then shows what has changed.
//!
//! ```text
//! # comment; the first ones say what the case Shows, its Provenance and its Licence
//! protocol: mstp
//! baud: 38400
//! channel: 11             if there is one
//! line: 8E1               if it is not 8N1
//! gap: 10ms               any setting that the protocol has, after its name
//! direction: in           or out, if it is one direction of a line
//! dissects: yes           whether tshark must find no intact packet malformed
//! 1002083: 55ff0010       a chunk: when it arrived, in us after EPOCH, and its octets
//!          0500008c       more of it
//! 1004000: "text\r\n"     the same as text; escapes: \n \r \t \\ \" \xHH
//! errors: 0 break, 3 symbol  what was wrong with octets of the next chunk
//! silence: 1200000        nothing came up to this time
//! ```

mod hosts;

use crate::common::{full, tool, tshark};
use pcap_parser::pcapng::{Block, InterfaceDescriptionBlock};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{LegacyPcapSlice, PcapBlockOwned, PcapNGOption, PcapNGSlice};
use serialshark::encode::{Direction, Encoder, Format, Interface, StreamCounts};
use serialshark::framing::{Protocol, Setup, protocol};
use serialshark::line::{Line, LineFormat};
use serialshark::line_errors::{LineError, LineErrorKind};
use serialshark::packet::{Batch, Damage, LinkType, Packet, Tally};
use serialshark::setting::{Setting, Values};
use serialshark::time::Timestamp;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// 2023-11-14 22:13:20 UTC.
const EPOCH: Timestamp = Timestamp::from_ns(1_700_000_000_000_000_000);
/// As many cases there are at least: a walk through nothing shows nothing.
const CASES: usize = 20;
const VECTORS: usize = 23;

struct Case {
    dir: PathBuf,
    protocol: &'static Protocol,
    setup: Setup,
    dissects: bool,
    events: Vec<Event>,
}

enum Event {
    Chunk(Timestamp, Vec<u8>),
    Silence(Timestamp),
    Errors(Vec<LineError>),
}

impl Case {
    fn read(dir: &Path) -> Self {
        let path = dir.join("input.txt");
        let input =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for word in ["# Shows: ", "# Provenance: ", "# Licence: "] {
            assert!(input.contains(word), "{}: no line {word:?}", path.display());
        }
        let (mut named, mut baud, mut channel, mut dissects) = (None, None, None, None);
        let mut format = LineFormat::EIGHT_N_1;
        let mut values = Values::none();
        let mut direction = Direction::Unknown;
        let mut events: Vec<Event> = Vec::new();
        let mut last = EPOCH;
        for (number, line) in input.lines().enumerate() {
            let wrong = || -> ! { panic!("{}:{}: {line}", path.display(), number + 1) };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(' ') {
                match (events.last_mut(), octets(line.trim_start())) {
                    (Some(Event::Chunk(_, chunk)), Some(more)) => chunk.extend(more),
                    _ => wrong(),
                }
                continue;
            }
            let Some((key, value)) = line.split_once(": ") else { wrong() };
            let mut time = |text: &str| match text.parse::<u64>() {
                Ok(us) if EPOCH.plus_ns(us * 1000) >= last => {
                    last = EPOCH.plus_ns(us * 1000);
                    last
                }
                _ => wrong(),
            };
            match key {
                "protocol" => named = protocol(value),
                "baud" => baud = value.parse().ok(),
                "channel" => channel = value.parse().ok(),
                "line" => format = value.parse().unwrap_or_else(|_| wrong()),
                "direction" if value == "in" => direction = Direction::Inbound,
                "direction" if value == "out" => direction = Direction::Outbound,
                "dissects" => dissects = Some(value == "yes"),
                "errors" => events.push(Event::Errors(errors(value).unwrap_or_else(|| wrong()))),
                "silence" => events.push(Event::Silence(time(value))),
                _ => {
                    if let Some(setting) = setting(named, key) {
                        (setting.check)(value).unwrap_or_else(|_| wrong());
                        values.set(setting.name, value.to_owned());
                        continue;
                    }
                    let Some(octets) = octets(value) else { wrong() };
                    events.push(Event::Chunk(time(key), octets));
                }
            }
        }
        let (Some(protocol), Some(baud), Some(dissects)) = (named, baud, dissects) else {
            panic!("{}: protocol, baud or dissects is missing or wrong", path.display())
        };
        let line = Line { baud, format };
        let setup = Setup { channel, line, values, direction, ..Setup::new(baud) };
        Self { dir: dir.to_owned(), protocol, setup, dissects, events }
    }

    fn all() -> Vec<Self> {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let mut dirs: Vec<PathBuf> =
            fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
        dirs.retain(|path| path.is_dir());
        dirs.sort();
        assert!(dirs.len() >= CASES, "only {dirs:?}");
        dirs.iter().map(|dir| Self::read(dir)).collect()
    }

    fn name(&self) -> String {
        self.dir.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// What the framer makes of it, if chunks come as they are, or an octet at a time.
    fn frames(&self, octet_by_octet: bool) -> (Batch, Tally) {
        let octet_ns = self.setup.line.octet_ns();
        let mut framer = (self.protocol.framer)(&self.setup);
        let mut batch = Batch::new(0);
        let mut next: &[LineError] = &[];
        for event in &self.events {
            match event {
                Event::Errors(errors) if octet_by_octet => next = errors,
                Event::Errors(errors) => framer.mark(errors),
                Event::Chunk(at, octets) if octet_by_octet => {
                    let errors = std::mem::take(&mut next);
                    for (left, octet) in (0..octets.len() as u64).rev().zip(octets) {
                        let place = octets.len() as u64 - 1 - left;
                        let here = errors.iter().filter(|error| u64::from(error.at) == place);
                        let here: Vec<_> = here.map(|e| LineError { at: 0, ..*e }).collect();
                        framer.mark(&here);
                        framer.push(&[*octet], at.minus_ns(left * octet_ns), &mut batch);
                    }
                }
                Event::Chunk(at, octets) => framer.push(octets, *at, &mut batch),
                Event::Silence(until) => framer.expire(*until, &mut batch),
            }
        }
        framer.finish(&mut batch);
        (batch, framer.tally())
    }

    /// A capture of it.
    fn encoded(&self, format: Format, batch: &Batch) -> Vec<u8> {
        let interfaces = Arc::new([Interface {
            direction: Direction::Unknown,
            recorded: false,
            name: self.name(),
            description: self.protocol.help.to_owned(),
            line: self.setup.line,
            protocol: self.protocol,
            link_type: self.protocol.link_type(&self.setup),
        }]);
        let mut file = Vec::new();
        let mut encoder = Encoder::start(format, interfaces, EPOCH, &mut file).unwrap();
        for packet in batch.packets() {
            encoder.packet(&packet, 0, &mut file).unwrap();
        }
        let framed = batch.len() as u64;
        let counts = StreamCounts { framed, delivered: framed, ..StreamCounts::default() };
        encoder.finish(&[counts], EPOCH, &mut file).unwrap();
        file
    }
}

/// The setting `name` of a protocol.
fn setting(protocol: Option<&'static Protocol>, name: &str) -> Option<&'static Setting> {
    protocol?.settings.iter().find(|setting| setting.name == name)
}

/// Octets as hex or as quoted text.
fn octets(text: &str) -> Option<Vec<u8>> {
    let hex = |digits: &str| u8::from_str_radix(digits, 16).ok();
    if !text.starts_with('"') {
        let pairs = (0..text.len()).step_by(2).map(|at| hex(text.get(at..at + 2)?));
        return pairs.collect();
    }
    let quoted = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut octets = Vec::new();
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        octets.push(match c {
            '\\' => match rest.next()? {
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'x' => {
                    let digits = rest.as_str().get(..2)?;
                    rest = rest.as_str()[2..].chars();
                    hex(digits)?
                }
                c @ ('\\' | '"') => c as u8,
                _ => return None,
            },
            ' '..='~' if c != '"' => c as u8,
            _ => return None,
        });
    }
    Some(octets)
}

/// What `expected.txt` says.
fn in_words(batch: &Batch, tally: Tally) -> String {
    let mut text = String::new();
    for packet in batch.packets() {
        assert!(packet.time >= EPOCH, "{packet:?}");
        let Packet { data, original_len, skipped_before, damage, .. } = packet;
        let ns = packet.time.ns_since(EPOCH);
        let _ = write!(text, "{ns} ns, {} of {original_len} octets, {damage}, ", data.len());
        let _ = write!(text, "{skipped_before} skipped before: ");
        data.iter().for_each(|octet| write!(text, "{octet:02x}").unwrap());
        text.push('\n');
    }
    let Tally { octets, good_octets, damaged_octets, padding_octets, skipped_octets, .. } = tally;
    let _ = writeln!(
        text,
        "{octets} octets = {good_octets} in frames + {damaged_octets} in damaged ones + \
         {padding_octets} padding + {skipped_octets} skipped; {} frames, {} damaged",
        tally.good_frames + tally.damaged_frames,
        tally.damaged_frames
    );
    text
}

/// Lines that are in one text and not in the other.
fn difference(expected: &str, found: &str) -> String {
    const MOST: usize = 10;
    let only = |sign: char, these: &str, others: &str| -> Vec<String> {
        let others: Vec<_> = others.lines().collect();
        let mut lines: Vec<_> = these
            .lines()
            .filter(|line| !others.contains(line))
            .map(|line| format!("  {sign} {line}"))
            .collect();
        if lines.len() > MOST {
            let more = lines.split_off(MOST).len();
            lines.push(format!("  {sign} and {more} more"));
        }
        lines
    };
    let lines = [only('-', expected, found), only('+', found, expected)].concat();
    if lines.is_empty() {
        "  another order or number of lines".to_owned()
    } else {
        lines.join("\n")
    }
}

#[test]
fn every_line_gives_what_is_expected_and_nothing_else() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut failures = String::new();
    for case in Case::all() {
        let name = case.name();
        let path = case.dir.join("expected.txt");
        let (batch, tally) = case.frames(false);
        let found = in_words(&batch, tally);
        if bless {
            fs::write(&path, &found).unwrap();
            eprintln!("{name}: blessed, so this run shows nothing");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            let _ = writeln!(failures, "{name}:\n{}", difference(&expected, &found));
        }
        let (batch, tally) = case.frames(true);
        let found = in_words(&batch, tally);
        if found != expected {
            let _ =
                writeln!(failures, "{name}, octet by octet:\n{}", difference(&expected, &found));
        }
    }
    assert!(failures.is_empty(), "- expected, + found; BLESS=1 if that is right\n{failures}");
}

#[test]
fn every_vector_is_a_good_frame_by_itself_and_with_any_octet_changed_it_is_not() {
    let case = Case::all().into_iter().find(|case| case.name() == "mstp-vectors").unwrap();
    let mut vectors = 0;
    for event in &case.events {
        let Event::Chunk(_, vector) = event else { panic!("silence among the vectors") };
        let good = |octets: &[u8]| -> Vec<Vec<u8>> {
            let mut framer = (case.protocol.framer)(&case.setup);
            let mut batch = Batch::new(0);
            framer.push(octets, EPOCH, &mut batch);
            framer.finish(&mut batch);
            let good = batch.packets().filter(|packet| packet.damage.is_none());
            good.map(|packet| packet.data.to_vec()).collect()
        };
        assert_eq!(good(vector), [&vector[..]]);
        for at in 0..vector.len() {
            let mut changed = vector.clone();
            changed[at] ^= 1 << (at % 8);
            // One vector has a whole frame in its data; none that begins where it does is good.
            let found = good(&changed);
            assert!(found.iter().all(|frame| frame.len() < vector.len()), "{at} of {vector:02x?}");
        }
        vectors += 1;
    }
    assert_eq!(vectors, VECTORS);
}

/// Such as `0 break, 3 symbol`.
fn errors(text: &str) -> Option<Vec<LineError>> {
    let error = |text: &str| {
        let (at, kind) = text.split_once(' ')?;
        let kind = match kind {
            "symbol" => LineErrorKind::Symbol,
            "break" => LineErrorKind::Break,
            "overrun" => LineErrorKind::Overrun,
            _ => return None,
        };
        Some(LineError { at: at.parse().ok()?, kind })
    };
    text.split(", ").map(error).collect()
}

/// A packet as a reader of capture files has it.
#[derive(Debug, PartialEq, Eq)]
struct Recorded {
    time_ns: u64,
    original_len: u32,
    flags: u32,
    data: Vec<u8>,
}

impl Recorded {
    fn of(packet: &Packet<'_>, format: Format) -> Self {
        // Bits 0, 1 and 24 to 26 of epb_flags: the draft's, not the program's word for it.
        let direction = match packet.direction {
            Direction::Unknown => 0,
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        let flag = |damage, bit: u32| u32::from(packet.damage.has(damage)) << bit;
        let flags =
            flag(Damage::CRC_ERROR, 24) | flag(Damage::TOO_LONG, 25) | flag(Damage::TOO_SHORT, 26);
        let ns = packet.time.as_ns();
        let pcapng = format == Format::Pcapng;
        Self {
            time_ns: if pcapng { ns } else { ns / 1000 * 1000 },
            original_len: packet.original_len,
            flags: if pcapng { flags | direction } else { 0 },
            data: packet.data.to_vec(),
        }
    }
}

#[test]
fn another_reader_finds_the_same_in_pcap() {
    for case in Case::all() {
        let (batch, _) = case.frames(false);
        let file = case.encoded(Format::Pcap, &batch);
        let reader = LegacyPcapSlice::from_slice(&file).unwrap();
        assert_eq!(reader.header.network.0, i32::from(case.protocol.link_type(&case.setup).0));
        let found: Vec<Recorded> = reader
            .map(|block| match block.unwrap() {
                PcapBlockOwned::Legacy(packet) => Recorded {
                    time_ns: u64::from(packet.ts_sec) * 1_000_000_000
                        + u64::from(packet.ts_usec) * 1000,
                    original_len: packet.origlen,
                    flags: 0,
                    data: packet.data.to_vec(),
                },
                _ => panic!("no packet"),
            })
            .collect();
        let expected: Vec<_> =
            batch.packets().map(|packet| Recorded::of(&packet, Format::Pcap)).collect();
        assert_eq!(found, expected, "{}", case.name());
    }
}

#[test]
fn another_reader_finds_the_same_in_pcapng() {
    const EPB_FLAGS: u16 = 2;
    for case in Case::all() {
        let name = case.name();
        let (batch, _) = case.frames(false);
        let file = case.encoded(Format::Pcapng, &batch);
        let mut blocks =
            PcapNGSlice::from_slice(&file).unwrap().map(|block| match block.unwrap() {
                PcapBlockOwned::NG(block) => block,
                _ => panic!("{name}: no pcapng"),
            });
        assert!(matches!(blocks.next(), Some(Block::SectionHeader(_))), "{name}");
        let Some(Block::InterfaceDescription(interface)) = blocks.next() else {
            panic!("{name}: no interface")
        };
        check_interface(&interface, &case);
        for packet in batch.packets() {
            let Some(Block::EnhancedPacket(block)) = blocks.next() else {
                panic!("{name}: a packet is missing")
            };
            let option = |code| block.options.iter().find(|option| option.code.0 == code);
            let found = Recorded {
                time_ns: u64::from(block.ts_high) << 32 | u64::from(block.ts_low),
                original_len: block.origlen,
                flags: option(EPB_FLAGS).map_or(0, word),
                data: block.packet_data().to_vec(),
            };
            assert_eq!(found, Recorded::of(&packet, Format::Pcapng), "{name}");
            let flawed =
                !packet.damage.is_none() || packet.skipped_before > 0 || packet.pause_ms > 0;
            let is_said = case.protocol.comment;
            assert_eq!(option(1).is_some(), flawed || is_said, "{name}: a comment for {packet:?}");
        }
        let Some(Block::InterfaceStatistics(statistics)) = blocks.next() else {
            panic!("{name}: a packet too many, or no statistics")
        };
        assert_eq!(statistics.isb_usrdeliv(), Some(Ok(batch.len() as u64)));
        assert!(blocks.next().is_none(), "{name}: a block too many");
    }
}

fn check_interface(interface: &InterfaceDescriptionBlock<'_>, case: &Case) {
    assert_eq!(interface.linktype.0, i32::from(case.protocol.link_type(&case.setup).0));
    assert_eq!(interface.if_tsresol, 9);
    assert_eq!(interface.if_name(), Some(Ok(&case.name()[..])));
    assert_eq!(interface.if_speed(), Some(Ok(case.setup.line.baud.into())));
}

fn word(option: &PcapNGOption<'_>) -> u32 {
    u32::from_ne_bytes(option.as_bytes().unwrap().try_into().unwrap())
}

#[test]
fn tshark_finds_the_same_and_judges_it_as_we_do() {
    const FIELDS: [&str; 18] = [
        "frame.time_epoch",
        "frame.cap_len",
        "frame.len",
        "frame.packet_flags",
        "frame.protocols",
        "_ws.malformed",
        "mstp.frame_type",
        "mstp.checksum.status",
        "wpan.fcs_ok",
        "wpan-tap.fcs_type",
        "wpan-tap.ch_num",
        "wpan-tap.lqi",
        "wpan-tap.rss",
        "_ws.col.Protocol",
        "exported_pdu.p2p_dir",
        "exported_pdu.ipv4_src",
        "exported_pdu.ipv4_dst",
        "mbrtu.unit_id",
    ];
    let mut args = vec!["-r", "-", "-T", "fields"];
    args.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
    if tool("tshark").is_none() {
        return;
    }
    let cases = Case::all();
    let batches: Vec<_> = cases.iter().map(|case| case.frames(false).0).collect();
    // tshark takes longer to start than to read: each case is a section of one capture.
    let sections = cases.iter().zip(&batches);
    let sections = sections.flat_map(|(case, batch)| case.encoded(Format::Pcapng, batch));
    let Some(says) = tshark(&args, &sections.collect::<Vec<_>>()) else { return };
    let mut says = says.lines();
    for (case, batch) in cases.iter().zip(&batches) {
        tshark_agrees(case, batch, Format::Pcapng, &mut says, FIELDS.len());
    }
    assert_eq!(says.next(), None);
    // pcapng says all that pcap says, and of pcap a capture has one link type.
    let pairs: Vec<_> = cases.iter().zip(&batches).filter(|_| full()).collect();
    let agrees = |(case, batch): &(&Case, &Batch)| {
        let says = tshark(&args, &case.encoded(Format::Pcap, batch)).unwrap();
        let mut says = says.lines();
        tshark_agrees(case, batch, Format::Pcap, &mut says, FIELDS.len());
        assert_eq!(says.next(), None);
    };
    std::thread::scope(|scope| {
        for some in pairs.chunks(pairs.len().div_ceil(4).max(1)) {
            scope.spawn(move || some.iter().for_each(agrees));
        }
    });
}

fn tshark_agrees(
    case: &Case,
    batch: &Batch,
    format: Format,
    says: &mut std::str::Lines<'_>,
    fields: usize,
) {
    for packet in batch.packets() {
        let line = says.next().unwrap_or_else(|| panic!("{}: fewer packets", case.name()));
        let columns: Vec<&str> = line.split('\t').collect();
        let expected = Recorded::of(&packet, format);
        let what = format!("{} {format:?}: {line}: {packet:02x?}", case.name());
        assert_eq!(columns.len(), fields, "{what}");
        let ns: u64 = columns[0].replace('.', "").parse().unwrap();
        assert_eq!(ns, expected.time_ns, "{what}");
        // What says which way PPP or HCI goes is no part of the packet to it.
        let apart = match case.protocol.link_type(&case.setup) {
            LinkType::PPP_WITH_DIR => 1,
            LinkType::BLUETOOTH_HCI_H4_WITH_PHDR => 4,
            _ => 0,
        };
        let len = expected.data.len() as u32 - apart;
        assert_eq!(columns[1], len.to_string(), "{what}");
        assert_eq!(columns[2], (expected.original_len - apart).to_string(), "{what}");
        let flags = columns[3].trim_start_matches("0x");
        assert_eq!(u32::from_str_radix(flags, 16).unwrap_or(0), expected.flags, "{what}");
        judge(case, &packet, &columns[4..], &what);
    }
}

/// Checks what tshark makes of the octets of a packet.
fn judge(case: &Case, packet: &Packet<'_>, columns: &[&str], what: &str) {
    let &[
        protocols,
        malformed,
        frame_type,
        checksums,
        fcs_ok,
        fcs_type,
        channel,
        lqi,
        rss,
        ref modbus @ ..,
    ] = columns
    else {
        panic!("{what}")
    };
    let intact = packet.damage.is_none();
    if intact && case.dissects {
        assert_eq!(malformed, "", "{what}");
    }
    let has_crc_error = packet.damage.has(Damage::CRC_ERROR);
    match case.protocol.name {
        "mstp" => {
            assert!(protocols.starts_with("mstp"), "{what}");
            // tshark knows COBS for these two types only (4.0.17), and of a frame with data
            // that it finds malformed it judges the header alone.
            let is_known = !matches!(frame_type.parse(), Ok(34..=127));
            if is_known && malformed.is_empty() {
                let all_good = checksums.split(',').all(|status| status == "1");
                assert!(!intact || all_good, "{what}");
                assert!(!has_crc_error || !all_good, "{what}");
            }
            assert!(!intact || checksums.starts_with('1'), "{what}");
        }
        "pinoccio" => {
            assert!(protocols.starts_with("wpan"), "{what}");
            assert!(!intact || fcs_ok == "1", "{what}");
            assert!(!has_crc_error || fcs_ok != "1", "{what}");
        }
        "riot" => {
            assert!(protocols.contains("wpan"), "{what}");
            let expected = case.setup.channel.unwrap().to_string();
            assert_eq!((fcs_type, channel), ("0", &expected[..]), "{what}");
            assert_eq!(lqi, packet.data[24].to_string(), "{what}");
        }
        "modbus" => judge_modbus(packet, modbus, what),
        _ if case.protocol.link_type == LinkType::IEEE802_15_4_TAP => {
            assert!(protocols.contains("wpan"), "{what}");
            let [told_fcs, told_rss, told_channel, told_lqi] = tlvs(packet.data);
            assert_eq!(
                (fcs_type, channel, lqi),
                (&told_fcs[..], &told_channel[..], &told_lqi[..]),
                "{what}"
            );
            assert_eq!(rss, told_rss, "{what}");
            if fcs_type == "1" {
                assert_eq!(fcs_ok == "1", !has_crc_error, "{what}");
            }
        }
        "lin" => assert!(protocols.starts_with("lin"), "{what}"),
        name if hosts::judge(name, protocols, intact, what) => {}
        // wire.rs has more.
        name => assert!(protocols.starts_with("exported_pdu"), "{name}: {what}"),
    }
}

/// What a TAP header says of FCS type, signal strength, channel and LQI; empty where it says nothing.
fn tlvs(packet: &[u8]) -> [String; 4] {
    let mut told = [const { String::new() }; 4];
    let len = usize::from(u16::from_le_bytes([packet[2], packet[3]]));
    let mut rest = &packet[4..len];
    while let [kind, 0, value_len, 0, value @ ..] = rest {
        let (which, text) = match kind {
            0 => (0, value[0].to_string()),
            1 => (1, f32::from_le_bytes(value[..4].try_into().unwrap()).to_string()),
            3 => (2, value[0].to_string()),
            10 => (3, value[0].to_string()),
            _ => panic!("{packet:02x?}"),
        };
        told[which] = text;
        rest = &value[usize::from(*value_len).next_multiple_of(4)..];
    }
    assert!(rest.is_empty(), "{packet:02x?}");
    told
}

/// Request and answer are told apart in all intact packets, and the dissector takes all but
/// broadcasts.
fn judge_modbus(packet: &Packet<'_>, columns: &[&str], what: &str) {
    let &[protocol, direction, source, destination, unit] = columns else { panic!("{what}") };
    assert_eq!(protocol, "Modbus RTU", "{what}");
    assert_ne!(unit, "0", "{what}");
    let (slave, number) = match packet.direction {
        Direction::Outbound => (destination, "0"),
        Direction::Inbound => (source, "1"),
        Direction::Unknown => ("", ""),
    };
    assert_eq!(direction, number, "{what}");
    assert_eq!(packet.direction == Direction::Unknown, destination.is_empty(), "{what}");
    if !unit.is_empty() && !slave.is_empty() {
        assert_eq!(slave, format!("0.0.0.{unit}"), "{what}");
    }
    if packet.damage.is_none() {
        assert_ne!(packet.direction, Direction::Unknown, "{what}");
        assert!(!unit.is_empty() || slave == "255.255.255.255" || slave == "0.0.0.0", "{what}");
    }
}
