//! Recognition: every protocol's octets are recognised as what they are or not at all, and other
//! octets as nothing.

use crate::common::*;
use serialshark::detect::Detector;
use serialshark::line::Line;
use serialshark::time::Timestamp;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

/// What is recognised in these chunks, with pauses of 20 ms between them.
fn recognised(chunks: &[Vec<u8>]) -> Option<&'static str> {
    recognised_with(chunks, 20_000_000)
}

/// The same in chunks of another size that follow each other without a pause.
fn recognised_in_chunks_of(len: usize, chunks: &[Vec<u8>]) -> Option<&'static str> {
    recognised_with(&rechunked(chunks, len), 0)
}

fn recognised_with(chunks: &[Vec<u8>], pause_ns: u64) -> Option<&'static str> {
    let mut detector = Detector::new(Line::at(9600), true);
    let mut now = Timestamp::from_ns(1_700_000_000_000_000_000);
    for chunk in chunks {
        now = now.plus_ns(pause_ns + chunk.len() as u64 * 1_041_667);
        detector.push(chunk, now);
        // The first verdict is the one that is acted on.
        if let Some(verdict) = detector.verdict() {
            return Some(verdict.protocol.name);
        }
    }
    detector.finish();
    detector.verdict().map(|verdict| verdict.protocol.name)
}

/// The same octets in chunks of another size.
fn rechunked(chunks: &[Vec<u8>], len: usize) -> Vec<Vec<u8>> {
    chunks.concat().chunks(len).map(<[u8]>::to_vec).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Octets in hex, or as text in quotes, as in `tests/data`.
fn octets(text: &str) -> Vec<u8> {
    let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        let digits: Vec<u8> = text.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
        return digits
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect();
    };
    let mut octets = Vec::new();
    let mut rest = quoted.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match (octet, if octet == b'\\' { rest.next() } else { None }) {
            (_, None) => octet,
            (_, Some(b'n')) => b'\n',
            (_, Some(b'r')) => b'\r',
            (_, Some(b't')) => b'\t',
            (_, Some(b'x')) => {
                let two = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&two).unwrap(), 16).unwrap()
            }
            (_, Some(other)) => other,
        });
    }
    octets
}

/// Name, protocol and chunks of each case of `tests/data`.
fn cases() -> Vec<(String, String, Vec<Vec<u8>>)> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/data")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(input) = std::fs::read_to_string(path.join("input.txt")) else { continue };
        let (mut protocol, mut chunks) = (String::new(), Vec::<Vec<u8>>::new());
        for line in input.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with(' ') {
                chunks.last_mut().unwrap().extend(octets(line.trim()));
            } else if let Some((key, value)) = line.split_once(": ") {
                if key == "protocol" {
                    value.clone_into(&mut protocol);
                } else if key.bytes().all(|c| c.is_ascii_digit()) {
                    chunks.push(octets(value));
                }
            }
        }
        cases.push((path.file_name().unwrap().to_string_lossy().into_owned(), protocol, chunks));
    }
    assert!(cases.len() >= 20, "a walk through nothing shows nothing");
    cases
}

/// The chunks of a file of hexadecimal lines with notes behind `;`.
fn hex_lines(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| octets(line.split(" ; ").next().unwrap().trim())).collect()
}

#[test]
fn each_protocol_is_recognised_as_itself_or_not_at_all() {
    let mut right = std::collections::BTreeMap::<String, usize>::new();
    for (name, protocol, chunks) in cases() {
        let found = recognised(&chunks);
        if found.is_some() {
            *right.entry(protocol.clone()).or_default() += 1;
        }
        let mut others = [1, 7, 64].map(|len| recognised_in_chunks_of(len, &chunks)).to_vec();
        // As a line set to seven bits gives them.
        let seven_bits: Vec<u8> = chunks.concat().iter().map(|octet| octet & 0x7f).collect();
        others.push(recognised_in_chunks_of(64, &[seven_bits]));
        // Whatever is framed by one's own rules may be something else as well.
        for found in others.into_iter().chain([found]).flatten().filter(|_| protocol != "raw") {
            assert_eq!(found, protocol, "{name}");
        }
    }
    println!("{right:?}");
    for protocol in ["mstp", "modbus"] {
        assert!(right.contains_key(protocol), "{protocol} is not recognised: {right:?}");
    }
}

#[test]
fn other_lines_are_recognised_as_nothing_or_as_what_they_are() {
    let dir = root().join("tests/negatives");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "hex"));
    assert!(files.len() >= 20, "{files:?}");
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let chunks = hex_lines(&path);
        let others = [3, 100].map(|len| recognised_in_chunks_of(len, &chunks));
        for found in others.into_iter().chain([recognised(&chunks)]) {
            let may_be: &[&str] = match name.split('-').next().unwrap() {
                "nmea" | "gpsd" => &["nmea"],
                "at" => &["at"],
                _ => &[],
            };
            assert!(found.is_none_or(|found| may_be.contains(&found)), "{name}: {found:?}");
        }
    }
}

/// The same chunks so often.
fn again(chunks: &[Vec<u8>], times: usize) -> Vec<Vec<u8>> {
    std::iter::repeat_n(chunks, times).flatten().cloned().collect()
}

/// Frames of the form `68 L L 68 ... sum 16`, or `10 ... sum 16` where they are short.
fn ft12(bodies: &[&[u8]]) -> Vec<Vec<u8>> {
    let frame = |body: &&[u8]| {
        let sum = body.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
        let len = body.len() as u8;
        let head = if body.len() > 3 { vec![0x68, len, len, 0x68] } else { vec![0x10] };
        [&head[..], body, &[sum, 0x16]].concat()
    };
    bodies.iter().map(frame).collect()
}

#[test]
fn what_has_the_form_of_its_kin_is_recognised_as_itself() {
    let all = cases();
    for (name, protocol) in
        [("iec101-two-octets", "iec101"), ("mbus-dlms", "mbus"), ("nmea-tag-blocks", "nmea")]
    {
        let (_, _, chunks) = all.iter().find(|(case, _, _)| case == name).unwrap();
        assert_eq!(recognised(chunks), Some(protocol), "{name}");
        assert_eq!(recognised(&again(chunks, 20)), Some(protocol), "{name}, again and again");
    }
    // Any station, as long as its address is in the lower half.
    for station in [1_u16, 17, 88, 1234, 9000] {
        let [low, high] = station.to_le_bytes();
        let line = ft12(&[
            &[0x49, low, high],
            &[0x0b, low, high],
            &[0x40, low, high],
            &[0x00, low, high],
            &[0x73, low, high, 100, 1, 6, low, high, 0, 0, 20],
            &[0x20, low, high],
            &[0x5a, low, high],
            &[0x28, low, high, 1, 2, 20, low, high, 1, 0, 1, 2, 0, 0],
            &[0x7b, low, high],
            &[0x09, low, high],
        ]);
        assert_eq!(recognised(&again(&line, 5)), Some("iec101"), "station {station}");
    }
    // PROFIBUS is none of these.
    let telegrams = ft12(&[
        &[5, 2, 0x49],
        &[3, 2, 0x5d, 1, 2],
        &[2, 3, 0x08, 0x11, 0x22, 0x33],
        &[6, 2, 0x49],
        &[3, 2, 0x7d, 1, 3],
        &[2, 3, 0x08, 0x11, 0x22, 0x34],
        &[0x83, 0x82, 0x6d, 0x3c, 0x3e],
        &[0x82, 0x83, 0x08, 0x3e, 0x3c, 0x00, 0x0c, 0x00, 0x02, 0x80, 0xd1],
    ]);
    let line: Vec<_> = telegrams.into_iter().flat_map(|it| [vec![0xdc, 2, 2], it]).collect();
    assert_eq!(recognised(&again(&line, 3)), Some("profibus"));
}

#[test]
fn other_lines_with_frames_of_ft12_are_nothing() {
    // An interface of KNX with FT 1.2: resets and acknowledgements between its frames.
    let interface = ft12(&[
        &[0x73, 0xa9, 0x00, 0x18, 0x12, 0x34, 0x56, 0x78, 0x0a],
        &[0xf3, 0xa7, 0x00, 0x01],
        &[0x53, 0x11, 0x00, 0x0c, 0xbc, 0xe0, 0x00, 0x00, 0x1a, 0x01, 0x01, 0x00, 0x81],
    ]);
    let reset = vec![0x10, 0x40, 0x40, 0x16];
    let interface: Vec<_> =
        interface.into_iter().chain([reset]).flat_map(|frame| [frame, vec![0xe5]]).collect();
    // Meters of IEC 60870-5-102 at 53B1 and 73D2 have the form of telegrams of PROFIBUS.
    let meters = ft12(&[
        &[0x73, 0xd2, 0xb7, 103, 0, 5, 1, 0, 0],
        &[0x53, 0xb1, 0x7f, 103, 0, 5, 0xb1, 0x7f, 0],
    ]);
    for (name, line) in [("interface", interface), ("meters", meters)] {
        for times in [1, 10, 100] {
            let found = recognised(&again(&line, times));
            assert!(found.is_none_or(|it| it == "iec101"), "{name}, {times}: {found:?}");
        }
    }
}

#[test]
fn the_same_packet_again_and_again_is_no_new_proof_of_a_weak_check() {
    // A gateway asks a controller with a function of its maker's, and what 01 5A brings has by accident
    // the check of a frame of Z-Wave.
    let ask = modbus_rtu(&[1, 0x5a, 0, 2]);
    let mut answer = [&[1, 0x5a, 0, 0xfe][..], &[0x0d, 0x30].repeat(50)].concat();
    // The check of Z-Wave, of what is behind the first octet.
    let sum = ask[1..].iter().chain(&answer[..85]).fold(0xff, |sum, octet| sum ^ octet);
    answer[85] = sum;
    let answer = modbus_rtu(&answer);
    let line = [ask, answer];
    for times in [1, 10, 200] {
        assert_eq!(recognised(&again(&line, times)), None, "{times}");
    }
}

#[test]
fn a_master_that_asks_for_coils_and_hears_nothing_is_recognised() {
    let line: Vec<_> =
        [modbus_rtu(&[5, 1, 0, 0, 0, 16]), modbus_rtu(&[6, 2, 0, 0, 7, 0xd0])].into();
    assert_eq!(recognised(&again(&line, 10)), Some("modbus"));
    let too_many = modbus_rtu(&[5, 1, 0, 0, 7, 0xd1]);
    assert_eq!(recognised(&again(&[too_many], 20)), None);
}

#[test]
fn a_master_that_only_writes_is_recognised_by_what_it_writes() {
    // To all units, which nobody answers, and to one that is silent.
    let registers = |n: u8| modbus_rtu(&[0, 0x10, 0, 0x20, 0, 2, 4, 0x0f, n, 1, n]);
    let coils = |n: u8| modbus_rtu(&[0, 0x0f, 0, 0, 0, 10, 2, n, 1]);
    let coil = |n: u8| modbus_rtu(&[3, 5, 0, n, if n.is_multiple_of(2) { 0xff } else { 0 }, 0]);
    let lines: [(&str, Vec<_>); 3] = [
        ("registers", (0..20).map(registers).collect()),
        ("coils", (0..20).map(coils).collect()),
        ("coil", (0..20).map(coil).collect()),
    ];
    for (name, line) in lines {
        assert_eq!(recognised(&line), Some("modbus"), "{name}");
    }
}

#[test]
fn what_stands_between_a_command_and_its_result_is_of_the_talk() {
    let module = "ATI\r\r\nMaker\r\nModel 25\r\nRevision: 25EFAR06A03M4G and more\r\n\r\nOK\r\n\
                  AT+GSN\r\r\n860000000000000\r\n\r\nOK\r\n\
                  AT+CIMI\r\r\n001010000000000\r\n\r\nOK\r\n\
                  AT+CMGR=3\r\r\n+CMGR: \"REC READ\",\"+4400000\"\r\n\
                  People write long messages, and these lines say nothing that modules say.\r\n\
                  And on they go, for a second line.\r\n\r\nOK\r\n\
                  AT+CSQ\r\r\n+CSQ: 20,99\r\n\r\nOK\r\n";
    let lines = |text: &str| text.split_inclusive('\n').map(|it| it.into()).collect::<Vec<_>>();
    assert_eq!(recognised(&lines(module)), Some("at"));
    // Modules of LoRa have names of their own for what V.250 has.
    let radio = "AT+SEND=0,5,HELLO\r\n+OK\r\n+RCV=50,5,HELLO,-99,40\r\n+RCV=50,5,AGAIN,-98,41\r\n";
    assert_eq!(recognised(&lines(&radio.repeat(4))), Some("at"));
    // Without a card each command fails.
    let fails = "AT+CPIN?\r\r\n+CME ERROR: SIM not inserted\r\n";
    assert_eq!(recognised(&lines(&fails.repeat(20))), Some("at"));
    // A result that never comes: a console with a command here and there.
    let console = "AT\r\nThe line is idle at night, and on it goes.\r\nNothing answers.\r\n";
    assert_eq!(recognised(&lines(&console.repeat(20))), None);
    let log = "The line is idle at night, and on it goes.\r\n".repeat(100);
    assert_eq!(recognised(&lines(&format!("AT\r\n{log}OK\r\n").repeat(10))), None);
}

#[test]
fn commands_inside_of_frames_are_no_talk() {
    // The multiplexer's advanced option, which is not read.
    let check = crc::Crc::<u8>::new(&crc::CRC_8_ROHC);
    let frame = |address: u8, text: &str| {
        let fcs = 0xff - check.checksum(&[address, 0xef]);
        [&[0x7e, address, 0xef][..], text.as_bytes(), &[fcs, 0x7e]].concat()
    };
    let asks = frame(0x07, "AT+QICFG=\"transport/size\",1024,\"more than its frame\"\r");
    let line = [asks, frame(0x05, "\r\nOK\r\n")];
    for times in [2, 20] {
        assert_eq!(recognised(&again(&line, times)), None, "{times}");
    }
}

#[test]
fn a_line_that_says_the_same_again_and_again_is_not_known_by_accident() {
    // Controllers of solar heating (VBus), while no temperature changes: what such a frame says has the
    // checks of telegrams of KNX, of eBUS, and of packets of HCI, one in some thousand each.
    for frame in [
        "aa10002173100001074350000000012e23000000005c00006c03001000005a00002500000000007f58013822044838225700014d",
        "aa1000114210000104075c003822044500000000007f57002e00007a000038220421",
        "aa10002273100001064338223822054600003822042100000000007f382200000124382200000124382238220546",
        "aa10002142100001077438227b03012678011600007038220000012400000000007f35007d01044831003822047000000000007f",
        "aa10002142100001077400000000007f1000240200490e000e00006300004000003f0e003822041307024001043100000000007f",
    ] {
        for times in [12, 200] {
            assert_eq!(recognised(&again(&[octets(frame)], times)), None, "{frame}, {times}");
        }
    }
}

/// A frame in HDLC-like framing, as PPP has it.
fn hdlc(data: &[u8]) -> Vec<u8> {
    let fcs = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC).checksum(data);
    let mut line = vec![0x7e];
    for octet in data.iter().copied().chain(fcs.to_le_bytes()) {
        match octet {
            0x7d | 0x7e | 0..=0x1f => line.extend([0x7d, octet ^ 0x20]),
            _ => line.push(octet),
        }
    }
    line.push(0x7e);
    line
}

#[test]
fn ip_in_ppp_is_recognised_without_address_and_control() {
    let frame = |id: u8| {
        let mut packet =
            vec![0x45, 0, 0, 28, 0, id, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let words = packet.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
        let sum = words.sum::<u32>();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend([0x12, 0x34, 0x00, 0x35, 0, 8, 0, 0]);
        hdlc(&[&[0x21][..], &packet].concat())
    };
    let line: Vec<_> = (1..9).map(frame).collect();
    assert_eq!(recognised(&line), Some("ppp"));
}

#[test]
fn buses_of_inverters_in_the_framing_of_ppp_are_nothing() {
    // One with a protocol number that no PPP has, one with addresses in its place.
    let by_number =
        |n: u8| hdlc(&[0xff, 0x03, 0x40, 0x41, 0, 0, n, 0xff, 0x80, 0, n, 0x0b, 0x0f, 9, 0]);
    let asks = |n: u8| hdlc(&[0xff, 0x03, 0x00, 0x02, 0xc1, 0x24, 0x0a, 0x01, 0xc8, 0x0d, n, 0]);
    let answers = |n: u8| hdlc(&[0xff, 0x03, 0xc1, 0x24, 0x00, 0x02, 0x0a, 0x81, 0xc8, n, 7, 0]);
    let by_number: Vec<_> = (0..40).map(by_number).collect();
    let by_address: Vec<_> = (0..40).flat_map(|n| [asks(n), answers(n)]).collect();
    assert_eq!([recognised(&by_number), recognised(&by_address)], [None, None]);
    let link: Vec<_> = (0..40).map(|n| hdlc(&[0xff, 0x03, 0xc0, 0x21, 9, n, 0, 4])).collect();
    assert_eq!(recognised(&link), Some("ppp"));
}

#[test]
fn lin_is_recognised_where_breaks_are_not_read() {
    let frame = |pid: u8, data: [u8; 2]| {
        let sum = [pid, data[0], data[1]].iter().fold(0_u16, |sum, octet| {
            let sum = sum + u16::from(*octet);
            if sum > 0xff { sum - 0xff } else { sum }
        });
        vec![0x55, pid, data[0], data[1], !(sum as u8)]
    };
    let line: Vec<_> = (0..8).flat_map(|n| [frame(0xa3, [n, 34]), frame(0x50, [1, n])]).collect();
    assert_eq!(recognised(&line), Some("lin"));
    // What always says the same may have a checksum that fits by accident.
    assert_eq!(recognised(&again(&[frame(0xa3, [17, 34])], 50)), None);
    // And so it may where a 00 before its 55 looks like a break.
    let other = octets("55116faa22da00000000555555000000aaaaaa00aa00");
    assert_eq!(recognised(&again(&[other], 50)), None);
}

/// A frame of RDM behind its break.
fn rdm(destination: [u8; 6], source: [u8; 6], rest: &[u8]) -> Vec<u8> {
    let mut frame = [&[0xcc, 1, 15 + rest.len() as u8][..], &destination, &source, rest].concat();
    let sum = frame.iter().fold(0_u16, |sum, octet| sum.wrapping_add(u16::from(*octet)));
    frame.extend(sum.to_be_bytes());
    [&[0][..], &frame].concat()
}

#[test]
fn rdm_is_recognised_between_frames_of_dmx_and_they_alone_are_nothing() {
    let (console, lamp) = ([1, 4, 0x12, 0x34, 0x56, 0x78], [1, 4, 0x98, 0x76, 0x54, 0x32]);
    let mut random = Random(3);
    let mut levels = |n: usize| {
        let mut frame = vec![0; 514];
        frame[2 + n % 500..][..12].copy_from_slice(&random.octets(12));
        frame
    };
    let asks = |n: usize| rdm(lamp, console, &[n as u8, 1, 0, 0, 0, 0x20, 0, 0x60, 0]);
    let dmx: Vec<_> = (0..60).map(&mut levels).collect();
    let both: Vec<_> = (0..60).flat_map(|n| [levels(n), asks(n)]).collect();
    assert_eq!([recognised(&dmx), recognised(&both)], [None, Some("rdm")]);
}

/// A line of hexadecimal digits behind a colon, whose octets have the sum 0.
fn digits(octets: &[u8]) -> Vec<u8> {
    let sum = octets.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
    let all = octets.iter().copied().chain([sum.wrapping_neg()]);
    let digits: String = all.map(|octet| format!("{octet:02X}")).collect();
    format!(":{digits}\r\n").into_bytes()
}

#[test]
fn a_program_on_its_way_to_a_boot_loader_is_no_modbus() {
    // Records of Intel HEX: number of data, address, type, data.
    let mut random = Random(5);
    let record = |n: usize, data: &[u8]| {
        let [high, low] = (n as u16 * 16 + 0x0300).to_be_bytes();
        digits(&[&[data.len() as u8, high, low, 0], data].concat())
    };
    let mut program = vec![digits(&[2, 0, 0, 4, 0x08, 0x00])];
    program.extend((0..80).map(|n| record(n, &random.octets(16))));
    program.push(digits(&[0, 0, 0, 1]));
    assert_eq!(recognised(&program), None);
    // A request to unit 2 has this form too, but for its answer.
    let asks = digits(&[2, 3, 0, 1, 0, 1]);
    let answers = digits(&[2, 3, 2, 0x12, 0x34]);
    let line = [asks, answers];
    assert_eq!(recognised(&again(&line, 5)), Some("modbus-ascii"));
    let others = [digits(&[17, 3, 0, 1, 0, 1]), digits(&[17, 3, 2, 0x12, 0x34])];
    assert_eq!(recognised(&again(&others, 5)), Some("modbus-ascii"));
}

#[test]
fn noise_is_recognised_as_nothing() {
    let len = if full() { 1 << 17 } else { 1 << 12 };
    for octet in [0x00, 0xff, 0x55, 0x7e, 0xc0] {
        assert_eq!(recognised_in_chunks_of(100, &[vec![octet; len]]), None, "{octet:02x}");
    }
    let any = Random(0x9e37_79b9_7f4a_7c15).octets(len);
    assert_eq!(recognised_in_chunks_of(64, &[any]), None, "random octets");
    let text = Random(7).octets(len).into_iter().map(|octet| b' ' + octet % 95).collect();
    assert_eq!(recognised_in_chunks_of(64, &[text]), None, "random text");
}

/// Octets that are no protocol but have an order: what storage, consoles and instruments bring.
fn others(seed: u64, len: usize) -> Vec<(&'static str, Vec<u8>)> {
    const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let any = random.octets(len);
    let lines =
        |width: usize, text: Vec<u8>| text.chunks(width).collect::<Vec<_>>().join(&b"\r\n"[..]);
    let digits = |form: fn(&u8) -> String| any.iter().map(form).collect::<String>().into_bytes();
    let jpeg: Vec<u8> = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00H\x00H\x00\x00".to_vec();
    let stuffed =
        any.iter().flat_map(|octet| if *octet == 0xff { vec![0xff, 0] } else { vec![*octet] });
    let mut level = 0x800_u16;
    let levels = any.iter().flat_map(|octet| {
        level = level.wrapping_add(u16::from(octet % 33)).wrapping_sub(16) & 0x0fff;
        level.to_le_bytes()
    });
    vec![
        ("seven bits", any.iter().map(|octet| octet & 0x7f).collect()),
        ("small numbers", any.iter().map(|octet| octet % 16).collect()),
        ("three numbers", any.iter().map(|octet| octet % 3).collect()),
        ("mostly 00", any.iter().map(|octet| octet.saturating_sub(200)).collect()),
        ("mostly ff", any.iter().map(|octet| !octet.saturating_sub(200)).collect()),
        ("base64", lines(76, any.iter().map(|octet| BASE64[usize::from(octet % 64)]).collect())),
        ("hex", lines(48, digits(|octet| format!("{octet:02X} ")))),
        ("hex without spaces", lines(32, digits(|octet| format!("{octet:02x}")))),
        ("a picture", jpeg.into_iter().chain(stuffed).collect()),
        ("a counter", (0..len).map(|at| at as u8).collect()),
        ("levels", levels.collect()),
        ("English", phrases(&mut random, len, &ENGLISH)),
        ("a boot log", phrases(&mut random, len, &BOOT)),
    ]
}

const ENGLISH: [&str; 8] = [
    "The line is idle at night. ",
    "At last it was OK\r\n",
    "There is an error in it; ",
    "attach the other end first.\r\n",
    "RING the bell and wait, ",
    "for that is what ",
    "it says on the tin.\r\n\r\n",
    "at the end of the day\r\n",
];
const BOOT: [&str; 10] = [
    "[    0.000000] Linux version 6.1.0 (gcc 12.2.0)\r\n",
    "[    1.204821] usb 1-1: new high-speed USB device number 4 using xhci_hcd\r\n",
    "AT Translated Set 2 keyboard\r\n",
    "atkbd serio0: no such device\r\n",
    "[  OK  ] Started Network Manager.\r\n",
    "OK\r\n",
    "ERROR\r\n",
    "CONNECT\r\n",
    "Starting kernel ...\r\n\r\n",
    "/dev/mmcblk0p2: clean, 4242/65536 files, 12345/262144 blocks\r\n",
];

fn phrases(random: &mut Random, len: usize, phrases: &[&str]) -> Vec<u8> {
    let which = random.octets(len / 16);
    which.iter().flat_map(|at| phrases[usize::from(*at) % phrases.len()].bytes()).collect()
}

#[test]
fn what_has_an_order_of_its_own_is_recognised_as_nothing_at_any_seed() {
    for seed in 1..=if full() { 60 } else { 6 } {
        for len in [300, 6000] {
            for (name, octets) in others(seed, len) {
                for read in [16, 100] {
                    let found = recognised_in_chunks_of(read, std::slice::from_ref(&octets));
                    assert_eq!(found, None, "{name}, seed {seed}, {len} in reads of {read}");
                }
            }
        }
    }
}

#[test]
fn with_wrong_bits_a_protocol_is_itself_or_nothing() {
    let mut random = Random(11);
    for (name, protocol, chunks) in cases().into_iter().filter(|(_, name, _)| name != "raw") {
        for every in [20, 50, 200] {
            let mut octets = chunks.concat();
            for at in (every / 2..octets.len()).step_by(every) {
                octets[at] ^= 1 << (random.octets(1)[0] % 8);
            }
            let found = recognised_in_chunks_of(64, &[octets]);
            assert!(found.is_none_or(|found| found == protocol), "{name}, {every}: {found:?}");
        }
    }
}

/// Requests and answers of unit 17, as many as asked for.
fn modbus(count: usize) -> Vec<u8> {
    let request = [0x11, 0x03, 0x00, 0x6b, 0x00, 0x03, 0x76, 0x87];
    let answer = [0x11, 0x03, 0x06, 0x02, 0x2b, 0x00, 0x00, 0x00, 0x64, 0xc8, 0xba];
    [&request[..], &answer].concat().repeat(count)
}

#[test]
fn the_command_says_what_is_spoken_and_what_to_type() {
    let pty = Pty::new();
    let mut program = Program::start(["detect", pty.path()]);
    // Again and again: the program may begin to listen at any time.
    let status = eventually("the verdict", || {
        pty.offer(&modbus(2));
        program.child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
    let mut said = String::new();
    program.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains(": modbus, Modbus RTU on RS-485 or RS-232 at "), "{said}");
    assert!(
        said.contains(&format!("to see it: serialshark {} -p modbus -b ", pty.path())),
        "{said}"
    );
}

#[test]
fn a_file_is_recognised_and_text_is_not() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("octets");
    let name = file.to_str().unwrap();
    std::fs::write(&file, modbus(20)).unwrap();
    let (code, said, _) = run(&["detect", "--json", name]);
    let json: serde_json::Value = serde_json::from_slice(&said).unwrap();
    assert_eq!((code, json[0]["recognised"]["protocol"].as_str()), (0, Some("modbus")));
    assert_eq!(json[0]["command"], format!("serialshark {name} -p modbus"));
    std::fs::write(&file, b"U-Boot 2021.04\r\nHit any key\r\n".repeat(20)).unwrap();
    let (code, said, _) = run(&["detect", name]);
    let said = text(&said);
    assert!(code == 1 && said.contains("not recognised: "), "{said}");
    assert!(said.contains("100 % printable"), "{said}");
}

#[test]
fn with_p_auto_a_port_that_is_missing_or_goes_is_told_of_as_it_happens() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("port");
    let args = [link.to_str().unwrap(), "-p", "auto", "--wait", "-c", "100"];
    let mut program = Program::start(args);
    program.wait_for("port: not there; waiting for it to appear");
    let pty = Pty::new();
    pty.name(&link);
    program.wait_for("port: appeared after");
    drop(pty);
    program.wait_for("waiting for its return");
    let pty = Pty::new();
    pty.name(&link);
    program.wait_for("port: is back after");
    for _ in 0..50 {
        pty.send(&modbus(1));
    }
    assert_eq!(program.wait().code(), Some(0));
    let lines = program.stderr();
    let told = lines.iter().filter(|line| line.contains("appeared") || line.contains("is back"));
    assert_eq!(told.count(), 2, "{lines:#?}");
    // With --once its going is the end.
    let pty = Pty::new();
    pty.name(&link);
    let mut program = Program::start([link.to_str().unwrap(), "-p", "auto", "--once"]);
    program.wait_for("listening to find out what is spoken");
    drop(pty);
    assert_eq!(program.wait().code(), Some(1));
    program.wait_for("is gone: hung up");
}

/// It would be waited for, for however long.
#[test]
fn a_port_that_goes_while_it_is_listened_to_is_the_end() {
    let (dir, pty) = (TempDir::new().unwrap(), Pty::new());
    let link = dir.path().join("port");
    pty.name(&link);
    let mut program = Program::start(["detect", link.to_str().unwrap()]);
    let raw = || {
        let modes = rustix::termios::tcgetattr(&pty.master).unwrap().local_modes;
        (!modes.contains(rustix::termios::LocalModes::ECHO)).then_some(())
    };
    eventually("the port to be open", raw);
    drop(pty);
    assert_eq!(program.wait().code(), Some(1));
    // Or cannot be opened, if it was not open yet.
    program.wait_for(": hung up");
}

/// What ends, ends: a pipe, and a pseudo-terminal whose number is soon another one's.
#[test]
fn with_p_auto_an_end_that_comes_before_anything_is_clear_is_the_end() {
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-p", "auto"]);
    program.wait_for("listening to find out what is spoken");
    drop(pty);
    assert_eq!(program.wait().code(), Some(1));
    program.wait_for("was not recognised: nothing was received");
    let mut command = Program::command();
    command.args(["-", "-p", "auto"]).stdin(std::process::Stdio::piped());
    let mut program = Program::spawn(command);
    program.wait_for("listening to find out what is spoken");
    drop(program.child.stdin.take());
    assert_eq!(program.wait().code(), Some(1));
}

#[test]
fn with_p_auto_a_peer_that_hangs_up_at_once_is_not_called_in_a_loop() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("tcp:{}", listener.local_addr().unwrap());
    let program = Program::start([&port, "-p", "auto"]);
    let start = std::time::Instant::now();
    for _ in 0..3 {
        drop(listener.accept().unwrap());
    }
    assert!(start.elapsed() > std::time::Duration::from_millis(1900));
    drop(program);
}

#[test]
fn with_p_auto_what_was_heard_before_becomes_packets_too() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcapng");
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-p", "auto", "-w", file.to_str().unwrap()]);
    program.wait_for("listening to find out what is spoken");
    for _ in 0..50 {
        pty.send(&modbus(1));
    }
    program.wait_for("recognised modbus");
    eventually("all packets", || {
        let octets = std::fs::read(&file).unwrap_or_default();
        (octets.windows(5).filter(|five| *five == b"mbrtu").count() == 100).then_some(())
    });
    program.terminate();
}

#[test]
fn with_p_auto_pcapng_has_its_section_at_once_and_pcap_its_header_when_the_protocol_is_known() {
    for (format, at_once) in [("pcapng", &[0x0a, 0x0d, 0x0d, 0x0a][..]), ("pcap", &[])] {
        let pty = Pty::new();
        let mut program =
            Program::start([pty.path(), "-p", "auto", "--format", format, "-w", "-", "-c", "40"]);
        program.wait_for("listening to find out what is spoken");
        let mut stdout = program.child.stdout.take().unwrap();
        let mut said = vec![0; at_once.len()];
        stdout.read_exact(&mut said).unwrap();
        assert_eq!(said, at_once, "{format}, and nothing was sent yet");
        assert!(!program.stderr().iter().any(|line| line.contains("recognised")));
        let reader = std::thread::spawn(move || {
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest).unwrap();
            rest
        });
        for _ in 0..20 {
            pty.send(&modbus(1));
        }
        program.wait_for("recognised modbus");
        // It ends by itself, with the last packet.
        assert_eq!(program.wait().code(), Some(0));
        said.extend(reader.join().unwrap());
        let sections = said.windows(4).filter(|four| *four == b"\x0a\x0d\x0d\x0a").count();
        assert_eq!(sections, usize::from(format == "pcapng"), "{format}");
        let Some(shown) = tshark(&["-r", "-", "-Y", "mbrtu"], &said) else { return };
        assert_eq!(shown.lines().count(), 40, "{format}: {shown}");
    }
}

#[test]
fn readers_that_come_before_the_protocol_is_known_miss_nothing_and_have_the_section_of_pcapng() {
    early_readers("pcapng", &[0x0a, 0x0d, 0x0d, 0x0a]);
    early_readers("pcap", &[]);
}

/// A FIFO and a TCP socket that are read from the start, and get these octets before anything was sent.
fn early_readers(format: &str, at_once: &[u8]) {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    let pty = Pty::new();
    let port = free_port();
    let mut program = Program::start([
        pty.path(),
        "-p",
        "auto",
        "--format",
        format,
        "--fifo",
        fifo.to_str().unwrap(),
        "--tcp",
        &port.to_string(),
        "-c",
        "40",
    ]);
    program.wait_for("waiting for a reader: wireshark -k -i TCP@");
    let open = || std::fs::File::open(&fifo).unwrap();
    let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut readers = vec![open(), std::fs::File::from(OwnedFd::from(client))];
    program.wait_for_nth(2, "a reader has come, and waits for its header");
    // One that leaves again costs nobody anything.
    drop(open());
    for reader in &mut readers {
        let mut start = vec![0; at_once.len()];
        assert!(start.is_empty() || readable(&reader, Instant::now() + LONG), "nothing comes");
        reader.read_exact(&mut start).unwrap();
        assert_eq!(start, at_once, "{format}, and nothing was sent yet");
    }
    assert!(!program.stderr().iter().any(|line| line.contains("recognised")));
    let rest = readers.into_iter().map(|mut reader| {
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).unwrap();
            rest
        })
    });
    let rest: Vec<_> = rest.collect();
    for _ in 0..20 {
        pty.send(&modbus(1));
    }
    program.wait_for("recognised modbus");
    assert_eq!(program.wait().code(), Some(0));
    for rest in rest {
        let capture = [at_once, &rest.join().unwrap()].concat();
        let Some(shown) = tshark(&["-r", "-", "-Y", "mbrtu"], &capture) else { return };
        assert_eq!(shown.lines().count(), 40, "{format}: {shown}");
    }
}

/// The rate that a port is set to.
fn rate(pty: &Pty) -> u32 {
    rustix::termios::tcgetattr(&pty.master).unwrap().input_speed()
}

#[test]
fn a_named_protocol_is_looked_for_at_other_rates_and_found() {
    let pty = Pty::new();
    let program = Program::start([pty.path(), "-p", "modbus"]);
    program.wait_for("reading modbus at 19200 baud 8E1");
    eventually("another rate", || {
        pty.offer(&[0x5a; 16]);
        (rate(&pty) != 19_200).then_some(())
    });
    // A pseudo-terminal has no rate: from now on each is right.
    eventually("the end of the search", || {
        pty.offer(&modbus(1));
        program.stderr().iter().any(|line| line.contains("receiving modbus at ")).then_some(())
    });
    let said = program.wait_for("receiving modbus at ");
    assert!(said.contains(&format!("to name it: -b {}", rate(&pty))), "{said}");
}

#[test]
fn a_rate_that_was_named_stays_and_what_fits_is_said() {
    let pty = Pty::new();
    let program = Program::start([pty.path(), "-b", "9600"]);
    program.wait_for("reading mstp at 9600");
    eventually("the hint", || {
        pty.offer(&modbus(1));
        let hint = "Modbus RTU on RS-485 or RS-232 fits: -p modbus";
        program.stderr().iter().any(|line| line.contains(hint)).then_some(())
    });
    assert_eq!(rate(&pty), 9600);
}

/// What a receiver set to `heard` makes of octets that a line of the rate `sent` brings without pause,
/// both with 8N1: it waits for a start bit, looks at the middle of each bit, and for a stop bit that
/// lacks it gives the octet all the same.
fn heard_at(heard: u32, sent: u32, octets: &[u8]) -> Vec<u8> {
    let mut bits = vec![true; 20];
    for octet in octets {
        bits.push(false);
        bits.extend((0..8).map(|bit| octet >> bit & 1 == 1));
        bits.push(true);
    }
    let ratio = f64::from(sent) / f64::from(heard);
    let level = |time: f64| bits.get(time as usize).copied();
    let (mut found, mut now) = (Vec::new(), 0.0);
    while let Some(is_high) = level(now) {
        now += ratio / 16.0;
        if !(is_high && level(now) == Some(false)) {
            continue;
        }
        let bit = |n: u32| level(now + (f64::from(n) + 1.5) * ratio);
        if bit(8).is_none() {
            break;
        }
        found.push((0..8).map(|n| u8::from(bit(n) == Some(true)) << n).sum());
        now += 9.5 * ratio;
    }
    found
}

/// Tokens and data of an MS/TP trunk; requests and answers; a log of a console.
fn spoken() -> [(&'static str, Vec<u8>); 3] {
    let trunk = [
        mstp(0, 5, 16, &[]),
        mstp(0, 16, 5, &[]),
        mstp(6, 5, 16, &[1, 4, 0, 5, 1, 12, 12, 0, 128]),
    ];
    let console = b"[    1.204821] usb 1-1: new high-speed USB device number 4\r\n".repeat(2);
    [("mstp", trunk.concat().repeat(4)), ("modbus", modbus(6)), ("", console)]
}

#[test]
fn at_a_wrong_rate_nothing_is_recognised() {
    assert_eq!(heard_at(9600, 9600, &modbus(3)), modbus(3));
    for (name, octets) in spoken() {
        for sent in [9600, 19_200, 38_400, 57_600, 76_800, 115_200] {
            for heard in [9600, 19_200, 38_400, 57_600, 76_800, 115_200] {
                let heard_octets = heard_at(heard, sent, &octets.repeat(20));
                let found = recognised_in_chunks_of(64, &[heard_octets]);
                let is_right = heard == sent && !name.is_empty();
                assert_eq!(found, is_right.then_some(name), "{name} of {sent} at {heard}");
            }
        }
    }
}

/// A line of this rate, as the port's own setting makes it look.
fn bring(pty: &Pty, sent: u32, octets: &[u8]) {
    pty.offer(&heard_at(rate(pty), sent, octets));
}

#[test]
fn with_a_rate_that_is_wrong_the_log_says_what_to_check_and_the_rate_of_a_slower_line() {
    for ((name, octets), (sent, set)) in
        spoken().iter().zip([(38_400, 19_200), (9600, 19_200), (115_200, 57_600)])
    {
        let (protocol, advice) = match *name {
            "modbus" => {
                ("modbus", "check rate and format (often -b 9600 --line 8N1), and that A and B")
            }
            _ => ("mstp", "check the rate (-b), and that A and B are not swapped"),
        };
        let pty = Pty::new();
        let baud = set.to_string();
        let program = Program::start([pty.path(), "-p", protocol, "-b", &baud]);
        program.wait_for(&format!("reading {protocol} at {set}"));
        let said = eventually("the hint", || {
            bring(&pty, sent, octets);
            let lines = program.stderr();
            lines.into_iter().find(|line| line.contains(&format!("no {protocol} frame at {set}")))
        });
        assert!(said.contains(advice) && !said.contains("fits"), "{said}");
        // A receiver that is too fast sees how long the pulses are.
        let slower = format!("its pulses are longer, as at {sent} baud: -b {sent}");
        assert_eq!(said.contains(&slower), sent < set, "{said}");
        assert_eq!(rate(&pty), set, "it stays");
    }
}

#[test]
fn without_a_rate_the_right_one_is_found_by_listening() {
    let [(_, trunk), (_, requests), _] = spoken();
    for (protocol, sent, octets) in [("mstp", 76_800, &trunk), ("modbus", 57_600, &requests)] {
        let pty = Pty::new();
        let program = Program::start([pty.path(), "-p", protocol]);
        program.wait_for(&format!("reading {protocol} at "));
        let said = eventually("the rate", || {
            bring(&pty, sent, octets);
            program.stderr().into_iter().find(|line| line.contains("to name it: -b "))
        });
        assert!(said.contains(&format!("to name it: -b {sent}")), "{said}");

        let pty = Pty::new();
        let mut program = Program::start(["detect", pty.path()]);
        let status = eventually("the verdict", || {
            bring(&pty, sent, octets);
            program.child.try_wait().unwrap()
        });
        let mut said = String::new();
        program.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(status.success() && said.contains(&format!("-p {protocol} -b {sent}\n")), "{said}");
    }
}

#[test]
fn a_line_that_is_slower_than_it_is_heard_tells_its_rate_by_its_pulses() {
    // So few at once that none waits to be read when the rate changes.
    let tokens = [mstp(0, 5, 16, &[]), mstp(0, 16, 5, &[])].concat();
    for (sent, octets, settings) in
        [(4800, modbus(1), [9600, 4800].as_slice()), (19_200, tokens, &[9600, 38_400, 19_200])]
    {
        let pty = Pty::new();
        let mut program = Program::start(["detect", pty.path()]);
        let mut seen = Vec::new();
        let status = eventually("the verdict", || {
            let baud = rate(&pty);
            // What it was before it is the pseudo-terminal's own.
            if seen.last() != Some(&baud) && (!seen.is_empty() || baud == settings[0]) {
                seen.push(baud);
            }
            bring(&pty, sent, &octets);
            program.child.try_wait().unwrap()
        });
        assert!(status.success());
        // Where the machine stalls us, octets of one rate are read at the next, and lead to one more.
        let is_direct = seen.len() <= settings.len() + 1;
        assert!(is_direct && seen.last() == settings.last(), "{seen:?} of {sent}");
    }
}
