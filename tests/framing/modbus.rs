//! Real Modbus RTU lines, cut into reads in many ways, and what Wireshark makes of them.

use crate::common;
use crate::common::{Program, Pty, run, tshark};
use serialshark::encode::{Direction, Encoder, Format, Interface, StreamCounts};
use serialshark::framing::{Setup, protocol};
use serialshark::line::{Line, LineFormat};
use serialshark::packet::Batch;
use serialshark::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const START: Timestamp = Timestamp::from_ns(1_700_000_000_000_000_000);

/// Lines whose frames are requests and answers in turn, and how many there are.
const TALKS: [(&str, &str, usize); 5] = [
    ("brainchild", include_str!("../data/modbus-brainchild/input.txt"), 30),
    ("flowmeter, graph", include_str!("../data/modbus-flowmeter-graph/input.txt"), 18),
    ("flowmeter, flowing", include_str!("../data/modbus-flowmeter-flowing/input.txt"), 132),
    ("flowmeter, still", include_str!("../data/modbus-flowmeter-still/input.txt"), 74),
    ("wizmodbus", include_str!("../data/modbus-wizmodbus/input.txt"), 88),
];
const NO_BIAS: &str = include_str!("../data/modbus-no-bias/input.txt");

/// The chunks of a golden capture: when the last octet came, in microseconds, and the octets.
fn chunks(input: &str) -> Vec<(u64, Vec<u8>)> {
    let line = |line: &str| {
        let (time, hex) = line.split_once(": ")?;
        let octets =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
        Some((time.parse().ok()?, octets.collect::<Option<Vec<u8>>>()?))
    };
    let mut chunks: Vec<(u64, Vec<u8>)> = Vec::new();
    for text in input.lines().filter(|line| !line.starts_with('#')) {
        if let Some(more) = text.strip_prefix(' ') {
            chunks.last_mut().unwrap().1.extend(line(&format!("0: {}", more.trim())).unwrap().1);
        } else if !text.starts_with("baud") {
            chunks.extend(line(text));
        }
    }
    chunks
}

fn octets(input: &str) -> Vec<u8> {
    chunks(input).into_iter().flat_map(|(_, octets)| octets).collect()
}

/// Each intact frame behind its header, and which way it goes.
fn shown(batch: &Batch) -> Vec<(Vec<u8>, Direction)> {
    const HEADER: usize = 56;
    assert!(batch.packets().all(|packet| packet.damage.is_none()));
    batch.packets().map(|packet| (packet.data[HEADER..].to_vec(), packet.direction)).collect()
}

fn in_turn(input: &str) -> Vec<(Vec<u8>, Direction)> {
    let directions = [Direction::Outbound, Direction::Inbound].into_iter().cycle();
    chunks(input).into_iter().map(|(_, octets)| octets).zip(directions).collect()
}

/// All that comes of octets in chunks of so many, each after such a pause.
fn frames(octets: &[u8], len: usize, pause_ns: u64) -> Batch {
    let setup = Setup::new(9600);
    let mut framer = (protocol("modbus").unwrap().framer)(&setup);
    let mut batch = Batch::new(0);
    let mut now = START;
    for chunk in octets.chunks(len) {
        now = now.plus_ns(pause_ns);
        if framer.deadline().is_some_and(|deadline| deadline <= now) {
            framer.expire(now, &mut batch);
        }
        now = now.plus_ns(chunk.len() as u64 * setup.line.octet_ns());
        framer.push(chunk, now, &mut batch);
    }
    framer.finish(&mut batch);
    batch
}

#[test]
fn all_real_frames_are_found_however_they_are_cut() {
    assert_eq!(TALKS.iter().map(|(.., count)| count).sum::<usize>(), 342);
    for (name, input, count) in TALKS {
        let expected = in_turn(input);
        assert_eq!(expected.len(), count, "{name}");
        let line = octets(input);
        for len in [1, 2, 3, 5, 7, 8, 9, 16, 31, 62, 64, 255, 4096] {
            // An adapter's latency, its double, and what a server or a busy host may add.
            for pause_ms in [0, 1, 7, 16, 40, 500] {
                let batch = frames(&line, len, pause_ms * 1_000_000);
                assert_eq!(shown(&batch), expected, "{name}, {len} octets each {pause_ms} ms");
            }
        }
    }
}

#[test]
fn a_line_that_nothing_biases_has_the_same_frames_and_no_other() {
    let expected = in_turn(TALKS[4].1);
    let line = octets(NO_BIAS);
    for len in [1, 3, 8, 9, 10, 16, 62, 255, 4096] {
        for pause_ms in [0, 1, 7, 16, 40] {
            let batch = frames(&line, len, pause_ms * 1_000_000);
            assert_eq!(shown(&batch), expected, "{len} octets each {pause_ms} ms");
        }
    }
}

#[test]
fn random_noise_around_frames_costs_none_and_makes_none() {
    let mut random = common::Random(5);
    let mut line = Vec::new();
    let expected = in_turn(TALKS[4].1);
    for (frame, _) in &expected {
        let len = 20 + random.below(20) as usize;
        line.extend((0..len).map(|_| [0xff, 0xfb, 0xef, 0xbf, 0xfe][random.below(5) as usize]));
        line.extend(frame);
    }
    for len in [1, 8, 64, 4096] {
        for pause_ms in [0, 7] {
            let batch = frames(&line, len, pause_ms * 1_000_000);
            assert_eq!(shown(&batch), expected, "{len} octets each {pause_ms} ms");
        }
    }
}

#[test]
fn over_a_pty_they_come_as_they_are() {
    let dir = tempfile::TempDir::new().unwrap();
    let line = octets(TALKS[0].1);
    for len in [1, 5, 64, 1000] {
        let pty = Pty::new();
        let file = dir.path().join(format!("{len}.pcapng"));
        let file = file.to_str().unwrap();
        let mut program = Program::start([pty.path(), "-p", "modbus", "-c", "30", "-w", file]);
        program.wait_for("reading modbus at 19200 baud 8E1");
        for chunk in line.chunks(len) {
            pty.send(chunk);
            std::thread::park_timeout(Duration::from_millis(2));
        }
        assert!(program.wait().success());
        assert_eq!(pty.received_now(), b"", "nothing is sent");
        let fields = ["frame.packet_flags_direction", "modbus.func_code", "frame.len"];
        let mut args = vec!["-r", "-", "-T", "fields"];
        args.extend(fields.iter().flat_map(|field| ["-e", field]));
        let Some(says) = tshark(&args, &std::fs::read(file).unwrap()) else { return };
        let said: Vec<Vec<&str>> = says.lines().map(|line| line.split('\t').collect()).collect();
        let expected: Vec<Vec<String>> = in_turn(TALKS[0].1)
            .iter()
            .map(|(frame, direction)| {
                let direction = if *direction == Direction::Inbound { 1 } else { 2 };
                let number = format!("0x{direction:08x}");
                vec![number, frame[1].to_string(), (56 + frame.len()).to_string()]
            })
            .collect();
        assert_eq!(said, expected, "{len}");
    }
}

#[test]
fn lines_of_text_say_who_asks_what() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("octets");
    std::fs::write(&file, octets(TALKS[0].1)).unwrap();
    let (code, stdout, stderr) = run(&[file.to_str().unwrap(), "-p", "modbus", "-t"]);
    assert_eq!(code, 0, "{stderr}");
    let text = common::text(&stdout);
    let first: Vec<&str> = text.lines().take(4).collect();
    assert_eq!(
        first,
        [
            "master > 1   readCoils 00004 +1, length 64",
            "     1 > master readCoils 10000000, length 62",
            "master > 1      readDiscreteInputs 10001 +1, length 64",
            "     1 > master readDiscreteInputs 00000000, length 62",
        ]
    );
}

/// What tshark shows, with no preference set: its columns, and whether anything is malformed.
fn dissected(batch: &Batch) -> Option<Vec<Vec<String>>> {
    let interfaces = Arc::new([Interface {
        name: "line".into(),
        description: "Modbus RTU".into(),
        line: Line { baud: 9600, format: LineFormat::EIGHT_E_1 },
        protocol: protocol("modbus").unwrap(),
        link_type: protocol("modbus").unwrap().link_type,
        direction: Direction::Unknown,
        recorded: false,
    }]);
    let mut file = Vec::new();
    let mut encoder = Encoder::start(Format::Pcap, interfaces, START, &mut file).unwrap();
    for packet in batch.packets() {
        encoder.packet(&packet, 0, &mut file).unwrap();
    }
    encoder.finish(&[StreamCounts::default()], START, &mut file).unwrap();
    let fields = ["_ws.col.Protocol", "_ws.col.Info", "_ws.malformed", "mbrtu.unit_id"];
    let mut args = vec!["-r", "-", "-T", "fields"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    args.extend(["-e", "exported_pdu.ipv4_src", "-e", "exported_pdu.ipv4_dst"]);
    let says = tshark(&args, &file)?;
    Some(says.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

#[test]
fn tshark_shows_each_unit_and_the_name_of_a_broadcast() {
    let frame = common::modbus_rtu;
    let line = [
        frame(&[17, 3, 0, 0, 0, 1]),
        frame(&[17, 3, 2, 0, 9]),
        frame(&[17, 1, 0, 0, 0, 1]),
        frame(&[17, 0x81, 2]),
        frame(&[0, 6, 0, 1, 0, 3]),
        frame(&[0, 6, 0, 1, 0, 3]),
        frame(&[254, 4, 0, 0, 0, 1]),
        frame(&[254, 4, 2, 0, 9]),
    ];
    let batch = frames(&line.concat(), 100, 0);
    let Some(rows) = dissected(&batch) else { return };
    let shown: Vec<Vec<&str>> =
        rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    let addresses: Vec<_> = shown.iter().map(|row| (row[3], row[4], row[5])).collect();
    let master = "0.0.0.0";
    assert_eq!(
        addresses,
        [
            ("17", master, "0.0.0.17"),
            ("17", "0.0.0.17", master),
            ("17", master, "0.0.0.17"),
            ("17", "0.0.0.17", master),
            ("", master, "255.255.255.255"),
            ("", master, "255.255.255.255"),
            ("254", master, "0.0.0.254"),
            ("254", "0.0.0.254", master),
        ]
    );
    assert!(shown.iter().all(|row| row[0] == "Modbus RTU" && row[2].is_empty()), "{shown:?}");
    assert!(shown[3][1].contains("Exception"), "{shown:?}");
}
