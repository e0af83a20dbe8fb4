//! What a receiver found wrong with octets, from a recording to what Wireshark shows. (A port's are
//! counted by its driver: src/sys/linux/port.rs.)

use crate::common::{mstp, run, tshark};
use std::path::Path;

const SYMBOL: u8 = 1;
const BREAK: u8 = 2;
const OVERRUN: u8 = 3;

fn record(kind: u8, time_ms: u64, content: &[u8]) -> Vec<u8> {
    let time_ns = (1_700_000_000_000 + time_ms) * 1_000_000;
    let mut record = vec![kind];
    record.extend(time_ns.to_le_bytes());
    record.extend((content.len() as u32).to_le_bytes());
    record.extend(content);
    record
}

fn errors(errors: &[(u16, u8)]) -> Vec<u8> {
    errors.iter().flat_map(|(at, kind)| [at.to_le_bytes()[0], at.to_le_bytes()[1], *kind]).collect()
}

fn recording(protocol: &str, records: &[Vec<u8>]) -> Vec<u8> {
    let head = format!("serialshark recording 1\nprotocol={protocol} baud=38400 port=/dev/x\n");
    [head.as_bytes(), &records.concat()].concat()
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The packets of a recording as tshark shows them: symbol error, comment.
fn shown(records: &[u8]) -> Vec<(bool, String)> {
    let dir = tempfile::tempdir().unwrap();
    let (from, capture) = (dir.path().join("a.rec"), dir.path().join("a.pcapng"));
    let copy = dir.path().join("copy.rec");
    std::fs::write(&from, records).unwrap();
    let (code, _, stderr) = run(&[str(&from), "-w", str(&capture), "--record", str(&copy)]);
    assert_eq!(code, 0, "{stderr}");
    let copied = std::fs::read(&copy).unwrap();
    assert!(copied.ends_with(&records[records.len() - 40..]), "errors are recorded as well");
    let args = ["-r", str(&capture), "-T", "fields", "-e", "frame.packet_flags_symbol_error"];
    let args = [&args[..], &["-e", "frame.comment"]].concat();
    let Some(text) = tshark(&args, b"") else { return Vec::new() };
    let line = |line: &str| {
        let (symbol, comment) = line.split_once('\t').unwrap();
        (symbol == "1", comment.to_owned())
    };
    text.lines().map(line).collect()
}

#[test]
fn errors_reach_the_packets_that_they_hit() {
    let frame = mstp(5, 1, 2, b"\x01\x00data");
    let line = recording(
        "mstp",
        &[
            record(b'O', 0, &frame),
            // In the second of two frames, whose rest comes later.
            record(b'E', 20, &errors(&[(frame.len() as u16 + 3, SYMBOL)])),
            record(b'O', 20, &[&frame[..], &frame[..5]].concat()),
            record(b'E', 30, &errors(&[(0, OVERRUN), (2, SYMBOL)])),
            record(b'O', 30, &[&frame[5..], &frame[..]].concat()),
        ],
    );
    let found = shown(&line);
    if found.is_empty() {
        return; // no tshark
    }
    let hit = "2 bytes with a wrong stop bit or parity, bytes lost by the adapter at 1 place";
    let clean = (false, String::new());
    assert_eq!(found, [clean.clone(), clean.clone(), (true, hit.to_owned()), clean]);
}

#[test]
fn a_break_that_a_frame_begins_with_is_no_error() {
    // A header that nobody answers, a frame with a break inside, octets that a recording lacks.
    let frame = [0, 0x55, 0xc1, 1, 2, 3, 4, 0x34];
    let line = recording(
        "lin",
        &[
            record(b'E', 0, &errors(&[(0, BREAK)])),
            record(b'O', 0, &frame),
            record(b'E', 20, &errors(&[(0, BREAK), (4, BREAK)])),
            record(b'O', 20, &frame),
            record(b'E', 40, &errors(&[(3, SYMBOL)])),
            record(b'L', 40, &7_u64.to_le_bytes()),
            record(b'O', 40, &frame),
        ],
    );
    let found = shown(&line);
    if found.is_empty() {
        return; // no tshark
    }
    let flags: Vec<_> = found.iter().map(|(symbol, _)| *symbol).collect();
    assert_eq!(flags, [false, true, false], "{found:?}");
    assert_eq!(found[1].1, "1 break inside");
    assert_eq!(found[2].1, "7 bytes before this packet are missing in the recording");
}
