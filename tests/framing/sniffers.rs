//! The 802.15.4 sniffers: RIOT's and Pinoccio's, with a PTY in place of their serial port.

use crate::common::*;
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{PcapBlockOwned, PcapNGSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Real PSDUs with their FCS: those of a golden capture, 64 of them.
fn psdus() -> Vec<Vec<u8>> {
    let input = include_str!("../data/pinoccio-touchlink/input.txt");
    let hex: String = input
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains('"'))
        .filter_map(|line| match line.split_once(": ") {
            Some((time, hex)) => time.parse::<u64>().is_ok().then_some(hex),
            None => Some(line.trim()),
        })
        .collect();
    let octets: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    let mut psdus = Vec::new();
    let mut rest = &octets[..];
    while let Some((&len, after)) = rest.split_first() {
        let (psdu, after) = after.split_at(len.into());
        assert!(fcs_fits(psdu));
        psdus.push(psdu.to_vec());
        rest = after;
    }
    assert_eq!(psdus.len(), 64);
    psdus
}

/// The FCS of IEEE 802.15.4 bit by bit: not the program's table.
fn fcs(octets: &[u8]) -> [u8; 2] {
    let mut crc = 0u16;
    for octet in octets {
        crc ^= u16::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0x8408 } else { crc >> 1 };
        }
    }
    crc.to_le_bytes()
}

fn fcs_fits(psdu: &[u8]) -> bool {
    psdu.split_last_chunk().is_some_and(|(frame, last)| fcs(frame) == *last)
}

/// A frame with FCS of which there is no other: a request for data.
fn marker(number: u8) -> Vec<u8> {
    let frame = [0x63, 0x88, number, 0xcd, 0xab, 0xff, 0xff, 0x34, 0x12, 0x04];
    [&frame[..], &fcs(&frame)].concat()
}

/// What a sniffer says, and the records or frames in it that are intact.
#[derive(Default)]
struct Line {
    octets: Vec<u8>,
    intact: Vec<Intact>,
}

struct Intact {
    range: Range<usize>,
    /// What a capture has of it.
    recorded: Vec<u8>,
    lqi: u8,
    rx_us: u64,
}

/// Flags in a pcapng packet.
const CRC_ERROR: u32 = 1 << 24;
const TOO_SHORT: u32 = 1 << 26;

#[derive(Debug)]
struct Captured {
    time_ns: u64,
    original_len: u32,
    flags: u32,
    data: Vec<u8>,
}

/// The packets of a whole pcapng file with one interface, which has this link type.
fn pcapng_packets(file: &[u8], link_type: i32) -> Vec<Captured> {
    const EPB_FLAGS: u16 = 2;
    let mut packets = Vec::new();
    for block in PcapNGSlice::from_slice(file).unwrap() {
        match block.unwrap() {
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                assert_eq!((interface.linktype.0, interface.if_tsresol), (link_type, 9));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let flags = block.options.iter().find(|option| option.code.0 == EPB_FLAGS);
                packets.push(Captured {
                    time_ns: u64::from(block.ts_high) << 32 | u64::from(block.ts_low),
                    original_len: block.origlen,
                    flags: flags.map_or(0, |flags| {
                        u32::from_ne_bytes(flags.as_bytes().unwrap().try_into().unwrap())
                    }),
                    data: block.packet_data().to_vec(),
                });
            }
            _ => {}
        }
    }
    packets
}

/// A capture of `line`, sent in chunks of random lengths.
struct Capture {
    file: Vec<u8>,
    summary: String,
    /// Where in the line this test may have paused for longer than a frame may: the frame or
    /// record there may be over, and rightly so.
    stalls: Vec<usize>,
}

impl Capture {
    fn of(line: &Line, largest: u64, args: &[&str]) -> Self {
        const MAX_PAUSE: Duration = Duration::from_millis(100);
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("capture.pcapng");
        let pty = Pty::new();
        let mut program =
            Program::start([&[pty.path(), "-w", file.to_str().unwrap()], args].concat());
        program.wait_for("reading");
        let mut random = Random(largest + 1);
        let (mut at, mut stalls, mut last) = (0, Vec::new(), Instant::now());
        while at < line.octets.len() {
            let len = (random.below(largest) as usize + 1).min(line.octets.len() - at);
            let start = Instant::now();
            pty.send(&line.octets[at..at + len]);
            if last.elapsed() > MAX_PAUSE {
                stalls.push(at);
            }
            last = start;
            at += len;
        }
        wait_for_octets(&file, &line.intact.last().unwrap().recorded);
        program.terminate();
        let summary = program.wait_for("octets =");
        Self { file: std::fs::read(&file).unwrap(), summary, stalls }
    }

    /// Checks that these are the intact ones of the line, all of them, in order, and returns
    /// those, one for each.
    fn check<'a, 'l>(
        &self,
        line: &'l Line,
        found: impl IntoIterator<Item = &'a Captured>,
    ) -> Vec<&'l Intact> {
        let mut found = found.into_iter().peekable();
        let mut matched = Vec::new();
        for (n, intact) in line.intact.iter().enumerate() {
            if found.next_if(|found| found.data == intact.recorded).is_some() {
                matched.push(intact);
            } else {
                let Range { start, end } = intact.range;
                assert!(
                    self.stalls.iter().any(|&at| start < at && at < end),
                    "not no. {n}, {:02x?} at {start}, but {:02x?}",
                    intact.recorded,
                    found.peek()
                );
            }
        }
        assert!(found.next().is_none(), "more than were intact");
        matched
    }

    /// The numbers of the summary: frames, damaged, octets, good, in damaged, padding, skipped.
    fn numbers(&self) -> [usize; 7] {
        let numbers = self.summary.split(": ").last().unwrap();
        let numbers = numbers.split(|c: char| !c.is_ascii_digit());
        let numbers: Vec<_> = numbers.filter_map(|number| number.parse().ok()).collect();
        numbers.try_into().unwrap_or_else(|_| panic!("{}", self.summary))
    }
}

fn wait_for_octets(file: &Path, octets: &[u8]) {
    eventually("the last frame in the file", || {
        let file = std::fs::read(file).ok()?;
        file.windows(octets.len()).any(|window| window == octets).then_some(())
    });
}

const RIOT: [&str; 4] = ["-p", "riot", "--channel", "26"];

/// How RIOT writes records: today, or as older firmware did; and how its lines end.
#[derive(Clone, Copy)]
struct Layout {
    old: bool,
    eol: &'static str,
}

impl Layout {
    /// Header and data with the ends of their lines.
    fn record(self, psdu: &[u8], lqi: u8, rx_us: u64) -> (String, String) {
        let (len, eol) = (psdu.len(), self.eol);
        if self.old {
            let data: String = psdu.iter().map(|octet| format!("0x{octet:02x} ")).collect();
            let header = format!("rftest-rx --- len 0x{len:02x} lqi 0x{lqi:02x} rx_time");
            (format!("{header} 0x{rx_us:016x}{eol}{eol}"), format!("{data}{eol}{eol}"))
        } else {
            let data: String = psdu.iter().map(|octet| format!("{octet:02X} ")).collect();
            let header = format!("rftest-rx --- len {len:08X} lqi {lqi:02X} rx_time");
            (format!("{header} {rx_us:016X}{eol}"), format!("{data}{eol}{eol}"))
        }
    }
}

/// What a capture on channel 26 has of a record: the TAP header and the PSDU.
fn tap(psdu: &[u8], lqi: u8) -> Vec<u8> {
    let fcs_type = [0, 0, 1, 0, 0, 0, 0, 0];
    let channel = [3, 0, 3, 0, 26, 0, 0, 0];
    let lqi = [10, 0, 1, 0, lqi, 0, 0, 0];
    [&[0, 0, 28, 0], &fcs_type[..], &channel, &lqi, psdu].concat()
}

impl Line {
    /// Adds an intact record; `prompt` stands before its data.
    fn record(&mut self, layout: Layout, psdu: &[u8], lqi: u8, rx_us: u64, prompt: &str) {
        let start = self.octets.len();
        let (header, data) = layout.record(psdu, lqi, rx_us);
        self.octets.extend([&header, prompt, &data].concat().bytes());
        let end = self.octets.len() - layout.eol.len();
        self.intact.push(Intact { range: start..end, recorded: tap(psdu, lqi), lqi, rx_us });
    }

    /// A log of RIOT's sniffer with `count` records of which a third is damaged.
    fn riot(layout: Layout, seed: u64, count: usize) -> Self {
        let psdus = psdus();
        let eol = layout.eol;
        let mut random = Random(seed);
        let mut line = Self::default();
        line.octets.extend(b"\x00\xff\xfe\x80\xc3(\xed\xa0\x80");
        line.octets.extend(random.octets(50));
        line.octets.extend(format!("main(): This is RIOT!{eol}> ").bytes());
        let mut rx_us = random.below(1 << 40);
        let mut after_intact = true;
        for n in 0..count {
            match random.below(8) {
                0 => line.octets.extend(b"> "),
                1 => line.octets.extend(format!("> ifconfig 6 raw{eol}success{eol}> ").bytes()),
                2 => line.octets.extend(format!("ab cd{eol}").bytes()), // like data
                3 => line.octets.extend(b"\xff\xfe irq "),              // on the header's line
                _ => {}
            }
            let psdu = psdus[n % psdus.len()].split_last_chunk::<2>().unwrap().0;
            let lqi = random.next() as u8;
            rx_us += random.below(30_000) + 1;
            // The first shows how records are written.
            let intact = n == 0 || random.below(3) > 0;
            if intact {
                let prompt = if random.below(8) == 0 { "> > " } else { "" };
                line.record(layout, psdu, lqi, rx_us, prompt);
            } else {
                let damaged = damaged(layout, psdu, lqi, rx_us, after_intact, &mut random);
                line.octets.extend(damaged);
            }
            after_intact = intact;
        }
        line.record(layout, &marker(1), 77, rx_us + 1, "");
        line
    }
}

/// A record that must not become a packet.
///
/// Characters are lost only `after_intact`: if two headers in a row deviate in the same way,
/// the framer takes that for the firmware's way, as `framing/riot.rs` says.
fn damaged(
    layout: Layout,
    psdu: &[u8],
    lqi: u8,
    rx_us: u64,
    after_intact: bool,
    random: &mut Random,
) -> Vec<u8> {
    const NO_DIGITS: [u8; 5] = [b'G', b'?', b'.', 0xff, 0];
    const MARK: usize = "rftest-rx --- len ".len();
    let (header, data) = layout.record(psdu, lqi, rx_us);
    let mut text = [&header[..], &data].concat().into_bytes();
    // Behind the last space.
    let end = text.len() - 2 * layout.eol.len();
    let mut place = |range: Range<usize>| range.start + random.below(range.len() as u64) as usize;
    let is_eol = |octet: u8| matches!(octet, b'\r' | b'\n');
    match place(0..8) {
        0 if after_intact => {
            let mut at = place(0..end);
            while is_eol(text[at]) {
                at -= 1;
            }
            text.remove(at);
        }
        1 if after_intact => {
            let at = place(0..end - 3);
            let to = (at + 2 + place(0..60)).min(end);
            // A blank line means nothing.
            if text.drain(at..to).all(is_eol) {
                text.remove(at);
            }
        }
        0..=2 => {
            text.truncate(place(1..end));
            if place(0..2) == 0 {
                text.extend(layout.eol.bytes());
            }
        }
        3 => {
            let more = layout.record(&[psdu, &[0x5a]].concat(), lqi, rx_us);
            let less = layout.record(&psdu[1..], lqi, rx_us);
            let (header, data) = match place(0..4) {
                0 => (header, more.1),
                1 => (header, less.1),
                2 => (more.0, data),
                _ => (less.0, data),
            };
            text = [header, data].concat().into_bytes();
        }
        4 => {
            let mut at = place(MARK..end);
            while !text[at].is_ascii_hexdigit() {
                at -= 1;
            }
            text[at] = NO_DIGITS[place(0..NO_DIGITS.len())];
        }
        5 => {
            let at = place(1..end);
            text.splice(at..at, format!("[at86rf2xx] irq{}", layout.eol).bytes());
        }
        6 => text = [header.trim_end(), &data].concat().into_bytes(),
        _ => text = [&header, data.trim_end_matches(['\r', '\n'])].concat().into_bytes(),
    }
    text
}

const LAYOUTS: [Layout; 4] = [
    Layout { old: false, eol: "\n" },
    Layout { old: false, eol: "\r\n" },
    Layout { old: true, eol: "\n" },
    Layout { old: true, eol: "\r\n" },
];

#[test]
fn a_damaged_riot_log_gives_every_intact_record_and_no_other() {
    for (n, layout) in LAYOUTS.into_iter().enumerate() {
        for largest in [3, 64, 3000] {
            let line = Line::riot(layout, 100 * n as u64 + largest, 400);
            let capture = Capture::of(&line, largest, &RIOT);
            let packets = pcapng_packets(&capture.file, 283);
            capture.check(&line, &packets);
            for packet in &packets {
                assert_eq!((packet.flags, packet.original_len as usize), (0, packet.data.len()));
            }
            assert!(packets.windows(2).all(|two| two[0].time_ns <= two[1].time_ns));
            let [frames, damaged, octets, good, in_damaged, padding, skipped] = capture.numbers();
            assert_eq!(octets, line.octets.len());
            assert_eq!(octets, good + in_damaged + padding + skipped);
            assert_eq!(frames - damaged, packets.len());
            assert!(damaged > 80, "{}", capture.summary);
        }
    }
}

#[test]
fn tshark_dissects_riot_records_with_lqi_and_channel() {
    let line = Line::riot(LAYOUTS[0], 1, 100);
    let capture = Capture::of(&line, 200, &RIOT);
    let packets = pcapng_packets(&capture.file, 283);
    let records = capture.check(&line, &packets);
    let fields = [
        "_ws.malformed",
        "frame.protocols",
        "wpan-tap.fcs_type",
        "wpan-tap.ch_num",
        "wpan-tap.lqi",
        "wpan.seq_no",
    ];
    let fields: Vec<_> = fields.iter().flat_map(|field| ["-e", field]).collect();
    let args = [&["-r", "-", "-T", "fields", "-E", "occurrence=f"], &fields[..]].concat();
    let Some(says) = tshark(&args, &capture.file) else { return };
    assert_eq!(says.lines().count(), packets.len(), "{says}");
    for (record, line) in records.iter().zip(says.lines()) {
        let (lqi, sequence) = (record.lqi.to_string(), record.recorded[28 + 2].to_string());
        let columns: Vec<&str> = line.split('\t').collect();
        assert!(columns[1].contains("wpan"), "{line}");
        assert_eq!((columns[0], &columns[2..]), ("", &["0", "26", &lqi, &sequence][..]), "{line}");
    }
}

/// Bursts of which one has to reach the program at once. On a machine that is busy it may read
/// while a burst is being written: then the later part arrived later, which is another case.
const BURSTS: usize = 10;

/// Records at these times of the sniffer's, written in one burst, live or in a file; returns the
/// distances in the capture and those by the sniffer, which must be the same.
fn check_distances(
    times_us: impl IntoIterator<Item = u64> + Clone,
    is_live: bool,
) -> Vec<(u64, u64)> {
    let agree = |distances: &Vec<(u64, u64)>| distances.iter().all(|(found, said)| found == said);
    let mut bursts = (0..if is_live { BURSTS } else { 1 })
        .map(|_| distances(times_us.clone(), is_live))
        .skip_while(|distances| !agree(distances));
    bursts.next().unwrap_or_else(|| panic!("{:?}", distances(times_us.clone(), is_live)))
}

fn distances(times_us: impl IntoIterator<Item = u64>, is_live: bool) -> Vec<(u64, u64)> {
    let psdus = psdus();
    let mut line = Line::default();
    for (rx_us, psdu) in times_us.into_iter().zip(psdus.iter().cycle()) {
        line.record(LAYOUTS[0], &psdu[..psdu.len() - 2], 99, rx_us, "");
    }
    let last = line.intact.last().unwrap().rx_us;
    line.record(LAYOUTS[0], &marker(2), 99, last, "");
    let file = if is_live {
        Capture::of(&line, u64::MAX >> 1, &RIOT).file
    } else {
        let dir = TempDir::new().unwrap();
        let [log, capture] = ["log.txt", "capture.pcapng"].map(|name| dir.path().join(name));
        std::fs::write(&log, &line.octets).unwrap();
        let paths = [log.to_str().unwrap(), "-w", capture.to_str().unwrap()];
        assert!(Program::start([&paths, &RIOT[..]].concat()).wait().success());
        std::fs::read(&capture).unwrap()
    };
    let packets = pcapng_packets(&file, 283);
    // The records were written at once, so that there is no stall.
    assert_eq!(packets.len(), line.intact.len());
    let found = packets.windows(2).map(|two| two[1].time_ns - two[0].time_ns);
    let said = line.intact.windows(2).map(|two| {
        let (from, to) = (two[0].rx_us, two[1].rx_us);
        let turned = if to < from { 1 << 32 } else { 0 };
        (turned + to - from) * 1000
    });
    found.zip(said).collect()
}

/// Times from `start` on with these distances.
fn times(start: u64, steps: &[u64]) -> Vec<u64> {
    let mut times = vec![start];
    times.extend(steps.iter().scan(start, |time, step| {
        *time += step;
        Some(*time)
    }));
    times
}

#[test]
fn records_of_one_burst_are_spaced_as_rx_time_says() {
    let second = 1_000_000;
    let mut random = Random(8);
    // Each sooner than its text takes, so that it was held back on the line.
    let swift: Vec<u64> = (0..12).map(|_| random.below(5_000)).collect();
    // In a file arrivals say nothing.
    let real: Vec<u64> = (0..100).map(|_| 200 + random.below(40_000)).collect();
    let cases: [(&[u64], bool); 6] = [
        (&[1; 30], true),
        (&[0, 1, 7, 0, 999, 1000, 1001, 2], true),
        (&swift, true),
        (&[60 * second, 1, 100_000, 3600 * second, 250_000, 33], false),
        (&[70 * 60 * second; 20], false), // more than 71 minutes at once is no step of a clock
        (&real, false),                   // about as long as the text of a record takes
    ];
    for (steps, is_live) in cases {
        for start in [0, 123_456_789, 1 << 32, 0x0123_4567_89ab_cdef] {
            check_distances(times(start, steps), is_live);
        }
    }
}

#[test]
fn rx_time_of_32_bits_turns_over() {
    let turn = 1 << 32;
    for (times, is_live) in [
        ([turn - 3000, turn - 256, turn - 1, 0, 255, 256, 4000], true),
        ([turn - 70_000, turn - 256, turn - 1, 0, 255, 256, 90_000], false),
    ] {
        let distances = check_distances(times, is_live);
        assert_eq!(distances[2], (1000, 1000));
    }
}

fn now_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_nanos() as u64
}

/// What may be between the time of a packet and ours: this test may have been stopped.
const NEAR_NS: u64 = 500_000_000;

#[test]
fn no_riot_record_is_dated_after_it_arrived_and_one_wrong_digit_changes_only_itself() {
    let dir = TempDir::new().unwrap();
    let [file, recording, again] = ["c.pcapng", "c.rec", "again.pcapng"].map(|name| {
        let path = dir.path().join(name);
        path.to_str().unwrap().to_owned()
    });
    let pty = Pty::new();
    let args = [&[pty.path(), "-w", &file, "--record", &recording], &RIOT[..]].concat();
    let mut program = Program::start(args);
    program.wait_for("reading riot");
    // An hour's backlog; live records, of which one has a wrong digit and one a time in the past;
    // what had to wait for two seconds.
    let mut times_us = vec![100_000_000, 700_000_000, 3_700_000_000];
    let start = Instant::now();
    let live = |at: Duration| 4_000_000_000 + at.as_micros() as u64;
    let mut sent = Vec::new();
    let mut send = |number: usize, rx_us: u64| {
        let (header, data) = LAYOUTS[0].record(&marker(number as u8), 200, rx_us);
        let before = now_ns();
        let octets = [header, data].concat();
        let recorded = tap(&marker(number as u8), 200);
        frame_through(&pty, octets.as_bytes(), Path::new(&file), &recorded);
        sent.push(before..now_ns());
    };
    for n in 0..16 {
        let at = live(start.elapsed());
        times_us.push(match n {
            6 => at ^ 0x1000_0000,
            10 => at & 0xffff,
            _ => at,
        });
        let from = if n == 0 { 0 } else { times_us.len() - 1 };
        for (number, rx_us) in times_us.iter().enumerate().skip(from) {
            send(number, *rx_us);
        }
    }
    program.terminate();
    let packets = pcapng_packets(&std::fs::read(&file).unwrap(), 283);
    assert_eq!(packets.len(), sent.len());
    for (number, (packet, sent)) in packets.iter().zip(&sent).enumerate() {
        assert!(packet.time_ns <= sent.end, "no. {number} comes from the future");
        assert!(packet.time_ns + NEAR_NS >= sent.start, "no. {number} from the past");
    }
    // A recording gives the same times again.
    assert!(Program::start(vec![&recording, "-w", &again]).wait().success());
    let replayed = pcapng_packets(&std::fs::read(&again).unwrap(), 283);
    let times = |packets: &[Captured]| packets.iter().map(|p| p.time_ns).collect::<Vec<_>>();
    assert_eq!(times(&replayed), times(&packets));
}

/// The comments of a capture's packets, one a line, empty where there is none.
fn comments(file: &[u8]) -> Option<Vec<String>> {
    let says = tshark(&["-r", "-", "-T", "fields", "-e", "frame.comment"], file)?;
    Some(says.lines().map(str::to_owned).collect())
}

#[test]
fn a_lost_riot_record_is_told_with_the_next_packet() {
    let sized = |len: usize| {
        let (header, data) = LAYOUTS[0].record(&vec![7; len], 1, 5);
        [header, data].concat()
    };
    let whole = sized(20);
    let lost = [
        whole[..40].to_owned(),
        whole[3..].to_owned(),
        whole.replace("len", "ln"),
        whole[59..].to_owned(),
        sized(0),
        sized(128),
        sized(255),
    ];
    let mut line = Line::default();
    for (n, lost) in lost.iter().enumerate() {
        line.record(LAYOUTS[0], &marker(n as u8), 1, n as u64 * 10, "");
        line.record(LAYOUTS[0], &marker(100 + n as u8), 1, n as u64 * 10 + 1, "");
        line.octets.extend(lost.bytes());
    }
    line.record(LAYOUTS[0], &marker(200), 1, 1000, "");
    let capture = Capture::of(&line, u64::MAX >> 1, &RIOT);
    let packets = pcapng_packets(&capture.file, 283);
    capture.check(&line, &packets);
    let [_, damaged, octets, good, .., skipped] = capture.numbers();
    assert_eq!((damaged, octets), (4, good + skipped), "three have no beginning");
    let Some(comments) = comments(&capture.file) else { return };
    assert_eq!(comments.len(), packets.len());
    for (n, comment) in comments.iter().enumerate() {
        let lost = if n > 0 && n % 2 == 0 { Some(1 + lost[n / 2 - 1].len()) } else { None };
        let expected =
            lost.map(|octets| format!("{octets} bytes outside frames before this packet"));
        assert_eq!(*comment, expected.unwrap_or_default(), "no. {n}");
    }
}

/// What RIOT's shell answers to `ifconfig`, its echo included.
const ANSWER: &[u8] = b"ifconfig\r\n\
    Iface  6  HWaddr: 76:EA  Channel: 11  Page: 0  NID: 0x23\r\n          \
    Long HWaddr: 22:48:45:4E:85:76:76:EA\r\n          \
    TX-Power: 0dBm  State: IDLE  max. Retrans.: 3  CSMA Retries: 4\r\n          \
    Source address length: 8\r\n          Link type: wireless\r\n          \r\n> ";
const COMMANDS: &[u8] = b"ifconfig 6 set chan 26\nifconfig 6 raw\nifconfig 6 promisc\n";

/// A port that can be unplugged: a link to a PTY.
struct Plug {
    dir: TempDir,
    link: PathBuf,
}

impl Plug {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let link = dir.path().join("ttyUSB0");
        Self { dir, link }
    }

    fn plug(&self) -> Pty {
        let pty = Pty::new();
        pty.name(&self.link);
        pty
    }

    fn unplug(&self, pty: Pty) {
        std::fs::remove_file(&self.link).unwrap();
        drop(pty);
    }
}

/// Sends octets that become a frame, and waits until it is in the file: what the program had to
/// say up to then has been said.
fn frame_through(pty: &Pty, octets: &[u8], file: &Path, recorded: &[u8]) {
    pty.send(octets);
    wait_for_octets(file, recorded);
}

fn riot_record_through(pty: &Pty, number: u8, file: &Path) {
    let (header, data) = LAYOUTS[1].record(&marker(number), 200, 1000 * u64::from(number));
    frame_through(pty, [header, data].concat().as_bytes(), file, &tap(&marker(number), 200));
}

#[test]
fn riot_is_asked_for_its_interface_and_told_to_sniff_each_time_it_is_plugged_in() {
    let plug = Plug::new();
    let file = plug.dir.path().join("capture.pcap");
    let mut pty = plug.plug();
    let args = [&[plug.link.to_str().unwrap(), "-w", file.to_str().unwrap()], &RIOT[..]].concat();
    let mut program = Program::start(args);
    program.wait_for("reading riot");
    for round in 1..=3 {
        // Like RIOT's shell it sends back what it hears, and takes a line for a command.
        let asked = pty.receive_until(|received| received.contains(&b'\n'));
        assert_eq!(text(&asked), "ifconfig\n");
        pty.send(ANSWER);
        let told = pty.receive_until(|received| received.len() >= COMMANDS.len());
        assert_eq!(text(&told), text(COMMANDS));
        pty.send(b"ifconfig 6 set chan 26\r\nsuccess: set channel on interface 6 to 26\r\n> ");
        pty.send(b"ifconfig 6 raw\r\nsuccess: set option\r\n> ifconfig 6 promisc\r\n");
        pty.send(b"success: set option\r\n> ");
        riot_record_through(&pty, round, &file);
        assert_eq!(text(&pty.received_now()), "");
        plug.unplug(pty);
        program.wait_for_nth(round.into(), "waiting for its return");
        pty = plug.plug();
        program.wait_for_nth(round.into(), "is back");
    }
    program.terminate();
    assert!(!program.stderr().iter().any(|line| line.contains("no answer")));
    // Each time the sniffer's clock is a new one: a millisecond of it lies between the records,
    // and more than a second of ours, since that is how long RIOT is given to boot.
    let records = pcap_records(&std::fs::read(&file).unwrap());
    let times: Vec<u64> = records.iter().map(|record| record.time_us).collect();
    assert!(times.is_sorted_by(|earlier, later| earlier + 1_000_000 <= *later), "{times:?}");
}

#[test]
fn riot_that_reboots_is_told_to_sniff_again() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("capture.pcap");
    let pty = Pty::new();
    let args = [&[pty.path(), "-w", file.to_str().unwrap()], &RIOT[..]].concat();
    let mut program = Program::start(args);
    program.wait_for("reading riot");
    let record = |number: u8, rx_us: u64| {
        let (header, data) = LAYOUTS[1].record(&marker(number), 200, rx_us);
        frame_through(&pty, [header, data].concat().as_bytes(), &file, &tap(&marker(number), 200));
    };
    let tell = || {
        assert_eq!(text(&pty.receive_until(|received| received.contains(&b'\n'))), "ifconfig\n");
        pty.send(ANSWER);
        let told = pty.receive_until(|received| received.len() >= COMMANDS.len());
        assert_eq!(text(&told), text(COMMANDS));
    };
    tell();
    let hour = 3_600_000_000;
    record(1, hour);
    record(2, hour + 1000);
    // Its banner comes in two reads.
    for (n, octets) in [&b"\xff\r\nmain(): This is RI"[..], b"OT! (Version: 2026.01)\r\n> "]
        .into_iter()
        .enumerate()
    {
        pty.send(octets);
        if n == 0 {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
    program.wait_for_nth(1, "the sniffer has restarted");
    tell();
    record(3, 2_500_000);
    record(4, 2_501_000);
    // And this time its clock alone tells.
    record(5, 100_000);
    record(6, 101_000);
    program.wait_for_nth(2, "the sniffer has restarted");
    tell();
    record(7, 3_000_000);
    record(8, 3_001_000);
    program.terminate();
    assert_eq!(text(&pty.received_now()), "", "told once each time");
    let said = program.stderr();
    assert_eq!(said.iter().filter(|line| line.contains("restarted")).count(), 2, "{said:?}");
}

#[test]
fn of_several_interfaces_riots_radio_becomes_the_sniffer_or_the_one_that_is_named() {
    const LISTED: &[u8] = b"> ifconfig\r\n\
        Iface  4  HWaddr: 02:DA:E1:A1:B2:C3  Link: up \r\n          \
        L2-PDU:1500  MTU:1500  HL:64  RTR  Source address length: 6\r\n          \
        Link type: wired\r\n          \r\n\
        Iface  7  HWaddr: 76:EA  Channel: 5  Page: 2  NID: 0x23\r\n          \
        Link type: wireless\r\n          \r\n\
        Iface  8  HWaddr: 76:EB  Channel: 26  Page: 0  NID: 0x23\r\n\r\n> ";
    let cases: [(&[&str], &str); 4] = [
        (&["--channel", "0"], "ifconfig 7 set chan 0\n"),
        (&["--channel", "10"], "ifconfig 7 set chan 10\n"),
        (&["--channel", "26", "--interface", "8"], "ifconfig 8 set chan 26\n"),
        (&["--channel", "11", "--interface", "4"], "ifconfig 4 set chan 11\n"),
    ];
    let dir = TempDir::new().unwrap();
    let running: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(n, (args, _))| {
            let pty = Pty::new();
            let file = dir.path().join(format!("{n}.pcap"));
            let paths = [pty.path(), "-p", "riot", "-w", file.to_str().unwrap()];
            let program = Program::start([&paths, *args].concat());
            (pty, program)
        })
        .collect();
    for ((pty, _program), (_, told)) in running.iter().zip(cases) {
        pty.receive_until(|received| received.contains(&b'\n'));
        pty.send(LISTED);
        let said = pty.receive_until(|received| received.contains(&b'\n'));
        assert!(text(&said).starts_with(told), "{}", text(&said));
    }
}

#[test]
fn riot_that_does_not_answer_is_asked_five_times_and_listened_to() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("capture.pcap");
    let pty = Pty::new();
    let start = Instant::now();
    let args = [&[pty.path(), "-w", file.to_str().unwrap()], &RIOT[..]].concat();
    let mut program = Program::start(args);
    program.wait_for("reading riot");
    let asked = pty.receive_until(|received| received.len() >= 5 * "ifconfig\n".len());
    assert_eq!(text(&asked), "ifconfig\n".repeat(5));
    // Records that come meanwhile are no answer.
    riot_record_through(&pty, 1, &file);
    program.wait_for("warn: no answer to ifconfig");
    assert!(start.elapsed() >= Duration::from_secs(5), "asked in haste");
    pty.send(ANSWER);
    riot_record_through(&pty, 2, &file);
    assert_eq!(text(&pty.received_now()), "");
    program.terminate();
}

const PINOCCIO: [&str; 2] = ["-p", "pinoccio"];

/// PSDUs behind their lengths.
fn prefixed(psdu: &[u8]) -> Vec<u8> {
    [&[psdu.len() as u8][..], psdu].concat()
}

#[test]
fn pinoccio_is_started_each_time_it_is_plugged_in() {
    let scout = r#"module.enable("sniffer"); sniffer.start(1);\r\n"#;
    let scout_hears = "module.enable(\"sniffer\"); sniffer.start(1);\r\n";
    let cases: [(&[&str], &str); 4] = [
        (&[], "B250C20!"),
        (&["--channel", "15"], "B250C15!"),
        (&["--init", scout], scout_hears),
        (&["--init", "#", "--channel", "11"], "#"),
    ];
    // Each is given two seconds to boot: all at the same time.
    let start = Instant::now();
    let mut running: Vec<_> = cases
        .iter()
        .map(|(args, hears)| {
            let plug = Plug::new();
            let pty = plug.plug();
            let file = plug.dir.path().join("capture.pcap");
            let paths = [plug.link.to_str().unwrap(), "-w", file.to_str().unwrap()];
            let program = Program::start([&paths, &PINOCCIO[..], args].concat());
            (plug, Some(pty), file, program, hears)
        })
        .collect();
    for round in 1..=2 {
        for (plug, pty, file, program, hears) in &mut running {
            let heard = pty.as_ref().unwrap().receive_until(|heard| heard.len() >= hears.len());
            assert_eq!(text(&heard), **hears);
            assert!(
                start.elapsed() >= u32::from(round) * Duration::from_secs(2),
                "no time to boot"
            );
            let begun = [b"\r\nStarting capture\r\nSNIF", &prefixed(&marker(round))[..]].concat();
            frame_through(pty.as_ref().unwrap(), &begun, file, &marker(round));
            assert_eq!(text(&pty.as_ref().unwrap().received_now()), "");
            plug.unplug(pty.take().unwrap());
            program.wait_for_nth(round.into(), "waiting for its return");
            *pty = Some(plug.plug());
            program.wait_for_nth(round.into(), "is back");
        }
    }
}

#[test]
fn pinoccio_that_reboots_is_started_again() {
    let banners: [&[u8]; 3] = [
        b"At256rfr2Sniffer\r\n",
        b"\r\n802.15.4 packet sniffer starting...\r\n - To configure bitrate, send e.g.: B250\r\n",
        b"\xffHello from Pinoccio!\r\n (Shell based on Bitlash v2.0 (c) 2014 Bill Roy)\r\n> ",
    ];
    let dir = TempDir::new().unwrap();
    let mut running: Vec<_> = banners
        .iter()
        .enumerate()
        .map(|(n, banner)| {
            let pty = Pty::new();
            let file = dir.path().join(format!("{n}.pcap"));
            let paths = [pty.path(), "-w", file.to_str().unwrap()];
            let program = Program::start([&paths, &PINOCCIO[..]].concat());
            program.wait_for("reading pinoccio");
            pty.send(b"SNIF");
            let frame = marker(1);
            frame_through(&pty, &prefixed(&frame), &file, &frame);
            // In the middle of a frame.
            pty.send(&prefixed(&frame)[..5]);
            pty.send(banner);
            (pty, file, program)
        })
        .collect();
    for (pty, file, program) in &mut running {
        program.wait_for("the sniffer has restarted");
        let heard = pty.receive_until(|heard| heard.len() >= "B250C20!".len());
        assert_eq!(text(&heard), "B250C20!");
        pty.send(b"Setting channel: 20\r\nStarting capture with binary output\r\nSNIF");
        frame_through(pty, &prefixed(&marker(2)), file, &marker(2));
        assert_eq!(text(&pty.received_now()), "");
    }
}

#[test]
fn frames_with_a_bad_fcs_are_all_recorded_while_lengths_chain() {
    let psdus = psdus();
    let mut line = Line::default();
    line.octets.extend(b"Starting capture with binary output\r\nSNIF");
    for n in 0..200 {
        let mut psdu = psdus[n % psdus.len()].clone();
        let at = n % psdu.len();
        psdu[at] ^= 0x40;
        line.octets.extend(prefixed(&psdu));
    }
    line.frame(&marker(9));
    let capture = Capture::of(&line, 300, &PINOCCIO);
    let packets = pcapng_packets(&capture.file, 195);
    let flagged = packets.iter().filter(|packet| packet.flags == CRC_ERROR).count();
    if capture.stalls.is_empty() {
        assert_eq!((packets.len(), flagged), (201, 200));
    }
    judge_fcs(&capture.file, &packets);
}

#[test]
fn nothing_is_sent_unless_a_sniffer_that_needs_it_was_named() {
    // Longer than each dialogue waits before its first words.
    const EXPOSURE: Duration = Duration::from_millis(2500);
    let frame = marker(1);
    let capture = [b"SNIF", &prefixed(&frame)[..]].concat();
    let (header, data) = LAYOUTS[0].record(&frame, 1, 1);
    let bus = mstp(0, 77, 78, &[]);
    let said = [ANSWER, b"At256rfr2Sniffer\r\n", header.as_bytes(), data.as_bytes(), &bus].concat();
    type Case<'a> = (&'a [&'a str], &'a [u8], &'a [u8], &'a [u8]);
    // Arguments; what the port says at first; a frame at the end and what is recorded of it.
    let cases: [Case<'_>; 3] = [
        (&[], &said, &bus, &bus),
        // It runs already.
        (&["-p", "pinoccio", "--channel", "15"], b"Starting\r\nSNIF", &prefixed(&frame), &frame),
        (&["-p", "pinoccio", "--init", ""], b"At256rfr2Sniffer\r\n", &capture, &frame),
    ];
    let dir = TempDir::new().unwrap();
    let running: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(n, (args, first, ..))| {
            let file = dir.path().join(format!("{n}.pcap"));
            let pty = Pty::new();
            let paths = [pty.path(), "-w", file.to_str().unwrap()];
            let program = Program::start([&paths, *args].concat());
            program.wait_for("reading");
            pty.send(first);
            (file, pty, program)
        })
        .collect();
    let exposed = Instant::now();
    while let Some(left) = EXPOSURE.checked_sub(exposed.elapsed()) {
        std::thread::park_timeout(left);
    }
    for ((args, _, frame, recorded), (file, pty, mut program)) in cases.into_iter().zip(running) {
        frame_through(&pty, frame, &file, recorded);
        program.terminate();
        assert_eq!(text(&pty.received_now()), "", "{args:?}");
    }
}

impl Line {
    /// A capture of Pinoccio's: of `count` frames about one in `one_in` is damaged.
    fn pinoccio(seed: u64, count: usize, one_in: u64) -> Self {
        let psdus = psdus();
        let mut random = Random(seed);
        let mut line = Self::default();
        line.octets.extend(b"At256rfr2Sniffer\r\nC<channel>: 11 - 26 (default 20)\r\n\xff\x00\x05");
        line.octets.extend(b"Setting channel: 20\r\nStarting capture with binary output\r\nSNIF");
        for n in 0..count {
            let psdu = &psdus[n % psdus.len()];
            if random.below(one_in) > 0 {
                line.frame(psdu);
                continue;
            }
            let mut frame = prefixed(psdu);
            // Not the last octet: the next frame's first may be the same.
            let at = random.below(frame.len() as u64 - 1) as usize;
            match random.below(5) {
                0 => drop(frame.remove(0)),
                1 => drop(frame.remove(at)),
                2 => drop(frame.drain(at..(at + 20).min(frame.len() - 1))),
                3 => frame.insert(at + 1, !frame[at + 1]),
                _ => frame[at + 1] ^= 1 << random.below(8),
            }
            line.octets.extend(frame);
        }
        line.frame(&marker(9));
        line
    }

    fn frame(&mut self, psdu: &[u8]) {
        let start = self.octets.len();
        self.octets.extend(prefixed(psdu));
        let range = start..self.octets.len();
        self.intact.push(Intact { range, recorded: psdu.to_vec(), lqi: 0, rx_us: 0 });
    }
}

#[test]
fn octets_lost_by_pinoccio_cost_no_intact_frame_and_what_is_damaged_is_flagged() {
    for (seed, largest, one_in) in [(21, 1, 6), (22, 30, 6), (23, 700, 2), (24, 5000, 20)] {
        let line = Line::pinoccio(seed, 600, one_in);
        let capture = Capture::of(&line, largest, &PINOCCIO);
        let packets = pcapng_packets(&capture.file, 195);
        capture.check(&line, packets.iter().filter(|packet| packet.flags == 0));
        // Nothing is invented: the records are parts of the line, in order, and their flags
        // say what is the matter with them.
        let mut rest = &line.octets[..];
        for packet in &packets {
            let at = rest
                .windows(packet.data.len())
                .position(|octets| octets == packet.data)
                .expect("a record that was not on the line");
            rest = &rest[at + packet.data.len()..];
            let len = packet.data.len() as u32;
            assert_eq!(packet.flags & TOO_SHORT != 0, packet.original_len > len, "{packet:02x?}");
            assert_eq!(packet.flags & !(TOO_SHORT | CRC_ERROR), 0, "{packet:02x?}");
            if packet.original_len == len {
                assert_eq!(packet.flags & CRC_ERROR == 0, fcs_fits(&packet.data), "{packet:02x?}");
            }
        }
        let [frames, damaged, octets, good, in_damaged, padding, skipped] = capture.numbers();
        assert_eq!(octets, line.octets.len());
        assert_eq!(octets, good + in_damaged + padding + skipped);
        let flagged = packets.iter().filter(|packet| packet.flags != 0).count();
        assert_eq!((frames - damaged, padding), (packets.len() - flagged, 0));
        assert!(flagged > 600 / one_in as usize / 3, "{}", capture.summary);
        judge_fcs(&capture.file, &packets);
    }
}

#[test]
fn an_intact_pinoccio_line_has_no_damage_and_nothing_skipped_but_text() {
    let line = Line::pinoccio(31, 300, u64::MAX);
    let capture = Capture::of(&line, 64, &PINOCCIO);
    let packets = pcapng_packets(&capture.file, 195);
    capture.check(&line, packets.iter().filter(|packet| packet.flags == 0));
    if capture.stalls.is_empty() {
        let [frames, damaged, .., skipped] = capture.numbers();
        assert_eq!((frames, damaged, skipped), (301, 0, line.intact[0].range.start));
    }
    judge_fcs(&capture.file, &packets);
}

/// tshark finds the same flags, and the FCS of intact frames good and of others not.
fn judge_fcs(file: &[u8], packets: &[Captured]) {
    let fields = ["_ws.malformed", "frame.packet_flags", "wpan.fcs_ok"];
    let fields: Vec<_> = fields.iter().flat_map(|field| ["-e", field]).collect();
    let args = [&["-r", "-", "-T", "fields", "-E", "occurrence=f"], &fields[..]].concat();
    let Some(says) = tshark(&args, file) else { return };
    assert_eq!(says.lines().count(), packets.len());
    for (packet, line) in packets.iter().zip(says.lines()) {
        let columns: Vec<&str> = line.split('\t').collect();
        let flags = u32::from_str_radix(columns[1].trim_start_matches("0x"), 16).unwrap_or(0);
        assert_eq!(flags, packet.flags, "{line}: {packet:02x?}");
        if packet.flags == 0 {
            assert_eq!((columns[0], columns[2]), ("", "1"), "{line}: {packet:02x?}");
        } else if packet.flags == CRC_ERROR {
            // Of a frame that is cut off tshark takes the FCS for good, since it is not there.
            assert_ne!(columns[2], "1", "{line}: {packet:02x?}");
        }
    }
}
