//! Several ports in one capture.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use tempfile::TempDir;

#[test]
fn two_directions_of_a_line_are_one_capture_in_order_of_time() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcapng");
    let (tap_in, tap_out) = (Pty::new(), Pty::new());
    let mut program = Program::start([
        &format!("mstp:{}=in", tap_in.path()),
        &format!("{}=out", tap_out.path()),
        "-w",
        file.to_str().unwrap(),
    ]);
    program.wait_for_nth(2, "reading mstp");
    // One side answers the other; each waits for the other's octets to be on their way.
    for n in 0..50 {
        tap_in.send(&mstp(0, 1, n, &[]));
        tap_out.send(&mstp(0, 2, n, &[]));
    }
    eventually("all packets", || {
        let octets = std::fs::read(&file).unwrap();
        (octets.windows(2).filter(|two| *two == [0x55, 0xff]).count() == 100).then_some(())
    });
    program.terminate();
    let fields =
        ["frame.time_delta", "frame.interface_name", "frame.packet_flags_direction", "mstp.src"];
    let mut args = vec!["-r", "-", "-T", "fields"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    let Some(says) = tshark(&args, &std::fs::read(&file).unwrap()) else { return };
    let mut next = [0, 0];
    for line in says.lines() {
        let columns: Vec<_> = line.split('\t').collect();
        let [delta, name, direction, source] = columns[..] else { panic!("{line}") };
        assert!(!delta.starts_with('-'), "time runs backwards: {line}");
        let port = usize::from(name == tap_out.path());
        assert_eq!(direction, ["0x00000001", "0x00000002"][port], "{line}");
        assert_eq!(source.parse::<usize>().unwrap(), next[port], "{line}");
        next[port] += 1;
    }
    assert_eq!(next, [50, 50]);
}

/// Frames of one batch leave in many pieces when another port's come between them.
#[test]
fn two_busy_ports_drop_nothing_that_one_would_not() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcap");
    let (one, two) = (Pty::new(), Pty::new());
    let mut program = Program::start([one.path(), two.path(), "-w", file.to_str().unwrap()]);
    program.wait_for_nth(2, "reading mstp");
    std::thread::scope(|scope| {
        for pty in [&one, &two] {
            scope.spawn(|| {
                for n in 0..400u32 {
                    pty.send(&(0..50).flat_map(|i| numbered_frame(n * 50 + i)).collect::<Vec<_>>());
                }
            });
        }
    });
    eventually("all packets", || {
        let records = std::fs::read(&file).ok().map(|file| pcap_records(&file).len());
        (records == Some(40_000)).then_some(())
    });
    program.terminate();
    assert!(program.wait_for("packets framed").contains(" 0 dropped"));
}

#[test]
fn a_silent_port_holds_nothing_up_for_long_and_a_vanished_one_neither() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let (busy, silent) = (Pty::new(), Pty::new());
    let mut program = Program::start([
        busy.path(),
        silent.path(),
        "--format",
        "pcap",
        "--fifo",
        fifo.to_str().unwrap(),
    ]);
    program.wait_for_nth(2, "reading mstp");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    busy.send(&numbered_frame(1));
    assert_eq!(reader.record().unwrap().data, numbered_frame(1));
    drop(silent);
    program.wait_for("waiting for its return");
    busy.send(&numbered_frame(2));
    assert_eq!(reader.record().unwrap().data, numbered_frame(2));
    program.terminate();
}

#[test]
fn ports_of_different_kinds_are_two_interfaces_of_one_pcapng() {
    let (code, file, stderr) = run(&["sim:mstp", "sim:riot", "-w", "-", "-c", "60"]);
    assert_eq!(code, 0, "{stderr}");
    let args = ["-r", "-", "-T", "fields", "-e", "frame.interface_name", "-e", "frame.protocols"];
    let Some(says) = tshark(&args, &file) else { return };
    assert_eq!(says.lines().count(), 60);
    for (name, protocol) in [("sim:mstp", "\tmstp"), ("sim:riot", "\twpan")] {
        let of_it: Vec<_> = says.lines().filter(|line| line.starts_with(name)).collect();
        assert!(of_it.len() > 5, "{says}");
        assert!(of_it.iter().all(|line| line.contains(protocol)), "{says}");
    }
}
