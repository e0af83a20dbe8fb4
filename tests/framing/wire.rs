//! Protocols of plants, meters and buildings: real lines, cut into reads in many ways, what
//! Wireshark makes of them, and noise.

use crate::common::{Random, full, tshark};
use serialshark::encode::{Direction, Encoder, Format, Interface, StreamCounts};
use serialshark::framing::{Protocol, Setup, protocol};
use serialshark::packet::Batch;
use serialshark::time::Timestamp;
use std::path::Path;
use std::sync::Arc;

const START: Timestamp = Timestamp::from_ns(1_700_000_000_000_000_000);

/// Golden captures of them: the name of the directory and the protocol.
const CAPTURES: [(&str, &str); 31] = [
    ("modbus-ascii-made", "modbus-ascii"),
    ("dnp3-link-vectors", "dnp3"),
    ("mbus-meters", "mbus"),
    ("mbus-unusual", "mbus"),
    ("mbus-session", "mbus"),
    ("iec101-link-setup", "iec101"),
    ("profibus-telegrams", "profibus"),
    ("nmea-mtk3339", "nmea"),
    ("nmea-ais", "nmea"),
    ("dlms-session", "dlms"),
    ("dlms-segments", "dlms"),
    ("dlms-polled", "dlms"),
    ("dlms-flags", "dlms"),
    ("p1-fluvius-v171", "p1"),
    ("p1-iskra-ie", "p1"),
    ("p1-sagemcom-t210-d-r", "p1"),
    ("p1-unpadded-crc", "p1"),
    ("p1-v2-2", "p1"),
    ("p1-v4-2", "p1"),
    ("p1-v5", "p1"),
    ("p1-v5-eon-hu", "p1"),
    ("p1-damaged", "p1"),
    ("at-pan1321-error", "at"),
    ("at-pan1321-init", "at"),
    ("at-modem", "at"),
    ("ebus-vaillant", "ebus"),
    ("knx-telegrams", "knx"),
    ("lin-burst", "lin"),
    ("lin-malformed", "lin"),
    ("lin-malformed-2", "lin"),
    ("rdm-made", "rdm"),
];

/// What tshark calls each: its Protocol column, and the dissector that it calls.
const SHOWN: [(&str, &str, &str); 13] = [
    ("modbus-ascii", "Modbus ASCII", "data-text-lines"),
    ("dnp3", "DNP 3.0", "dnp3"),
    ("mbus", "M-Bus", "data"),
    ("iec101", "IEC 101", "data"),
    ("profibus", "PROFIBUS", "data"),
    ("nmea", "NMEA", "data-text-lines"),
    ("dlms", "DLMS", "data"),
    ("p1", "P1", "data-text-lines"),
    ("at", "AT/AT", "at"),
    ("ebus", "eBUS", "data"),
    ("knx", "KNX", "cemi"),
    ("lin", "LIN", "lin"),
    ("rdm", "RDM", "rdm"),
];

fn octets(capture: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(capture);
    let input = std::fs::read_to_string(path.join("input.txt")).unwrap();
    let hex = |text: &str| -> Option<Vec<u8>> {
        let pairs = (0..text.len()).step_by(2).map(|at| text.get(at..at + 2));
        pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
    };
    let mut line = Vec::new();
    for text in input.lines().filter(|text| !text.starts_with('#')) {
        let chunk = match text.split_once(": ") {
            Some((time, chunk)) if time.bytes().all(|octet| octet.is_ascii_digit()) => chunk,
            None if text.starts_with(' ') => text.trim_start(),
            _ => continue,
        };
        line.extend(hex(chunk).unwrap());
    }
    line
}

/// All that comes of octets in chunks of so many, with such a pause before each.
fn frames(row: &Protocol, octets: &[u8], len: usize, pause_ns: u64) -> Batch {
    let setup = Setup { line: row.line, ..Setup::new(row.line.baud) };
    let mut framer = (row.framer)(&setup);
    let mut batch = Batch::new(0);
    let mut now = START;
    for chunk in octets.chunks(len) {
        now = now.plus_ns(pause_ns + chunk.len() as u64 * row.line.octet_ns());
        framer.push(chunk, now, &mut batch);
    }
    framer.finish(&mut batch);
    batch
}

fn intact(batch: &Batch) -> Vec<Vec<u8>> {
    let intact = batch.packets().filter(|packet| packet.damage.is_none());
    intact.map(|packet| packet.data.to_vec()).collect()
}

#[test]
fn real_lines_give_the_same_however_they_are_cut() {
    let cuts = [1, 7, 64, 2, 3, 16, 62, 255, 4096];
    let cuts = if full() { &cuts[..] } else { &cuts[..3] };
    for (capture, name) in CAPTURES {
        let row = protocol(name).unwrap();
        let line = octets(capture);
        let expected = intact(&frames(row, &line, line.len(), 0));
        let least = if name == "p1" { 1 } else { 3 };
        assert!(expected.len() >= least, "{capture}");
        for len in cuts {
            for pause_ms in [0, 16] {
                let found = frames(row, &line, *len, pause_ms * 1_000_000);
                assert_eq!(intact(&found), expected, "{capture}: {len} each {pause_ms} ms");
            }
        }
    }
}

fn encoded(row: &'static Protocol, batch: &Batch) -> Vec<u8> {
    let interfaces = Arc::new([Interface {
        name: "line".into(),
        description: row.help.into(),
        line: row.line,
        protocol: row,
        link_type: row.link_type,
        direction: Direction::Unknown,
        recorded: false,
    }]);
    let mut file = Vec::new();
    let mut encoder = Encoder::start(Format::Pcapng, interfaces, START, &mut file).unwrap();
    for packet in batch.packets() {
        encoder.packet(&packet, 0, &mut file).unwrap();
    }
    encoder.finish(&[StreamCounts::default()], START, &mut file).unwrap();
    file
}

#[test]
fn tshark_calls_the_right_dissector_for_every_packet() {
    let fields = ["_ws.col.Protocol", "frame.protocols", "_ws.malformed", "frame.comment"];
    let mut args = vec!["-r", "-", "-T", "fields"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    for len in [4096, 64, 1].into_iter().take(if full() { 3 } else { 1 }) {
        // tshark takes longer to start than to read: each line is a section of one capture.
        let (mut sections, mut batches) = (Vec::new(), Vec::new());
        for (name, ..) in SHOWN {
            let row = protocol(name).unwrap();
            let captures = CAPTURES.iter().filter(|(_, protocol)| *protocol == name);
            let line: Vec<u8> = captures.flat_map(|(capture, _)| octets(capture)).collect();
            let batch = frames(row, &line, len, 0);
            sections.extend(encoded(row, &batch));
            batches.push(batch);
        }
        let Some(says) = tshark(&args, &sections) else { return };
        let mut says = says.lines();
        for ((name, column, dissector), batch) in SHOWN.into_iter().zip(&batches) {
            let row = protocol(name).unwrap();
            for packet in batch.packets() {
                let says = says.next().unwrap();
                let &[protocol, protocols, malformed, comment] =
                    &says.split('\t').collect::<Vec<_>>()[..]
                else {
                    panic!("{says}")
                };
                let words = (row.dissector)(packet.data, packet.damage.is_none());
                // tshark has backslashes twice.
                let comment = comment.replace("\\\\", "\\");
                assert!(!row.comment || comment.contains(&words.info), "{name}: {says}");
                if packet.damage.is_none() {
                    assert_eq!((protocol, malformed), (column, ""), "{name}: {says}");
                    // Acknowledgements of KNX have no place in cEMI.
                    let is_short = name == "knx" && protocols.ends_with("data");
                    let is_right = protocols.split(':').any(|part| part == dissector);
                    assert!(is_right || is_short, "{name}: {says}");
                }
            }
        }
        assert_eq!(says.next(), None);
    }
}

#[test]
fn noise_is_taken_for_a_frame_no_more_often_than_the_proof_says() {
    let mut random = Random(7);
    let noise: Vec<u8> =
        (0..1_usize << if full() { 23 } else { 20 }).map(|_| random.below(256) as u8).collect();
    for (name, ..) in SHOWN {
        let row = protocol(name).unwrap();
        let batch = frames(row, &noise, 4096, 0);
        let mut found = [0_u32; 256];
        for packet in batch.packets().filter(|packet| packet.damage.is_none()) {
            found[usize::from((row.proof)(packet.data))] += 1;
        }
        for (proof, found) in found.into_iter().enumerate() {
            let expected = noise.len() as f64 / 2_f64.powi(proof as i32);
            // Four standard deviations more than that.
            let most = expected + 4.0 * expected.sqrt();
            assert!(f64::from(found) <= most, "{name}: {found} of {proof} bits in noise");
        }
        let damaged = batch.packets().filter(|packet| !packet.damage.is_none()).count();
        assert!(damaged * 1000 < noise.len(), "{name}: {damaged} damaged ones in noise");
    }
}
