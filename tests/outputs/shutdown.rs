//! A clean end, soon, whatever the program is doing, with trailers written.

use crate::common::*;
use rustix::process::Signal;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;

fn start(pty: &Pty, fifo: &Path, more: &[&str]) -> Program {
    let mut args = vec![pty.path(), "--fifo", fifo.to_str().unwrap()];
    args.extend(more);
    let program = Program::start(args);
    program.wait_for("reading mstp");
    program
}

#[test]
fn waiting_for_a_reader() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let dir = TempDir::new().unwrap();
        let (pty, fifo) = (Pty::new(), dir.path().join("sharkfin"));
        let mut program = start(&pty, &fifo, &[]);
        let start = Instant::now();
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(0));
        assert!(start.elapsed() < SOON);
        assert!(!fifo.exists());
    }
}

#[test]
fn with_a_reader_that_keeps_up_and_a_file_all_is_written_with_its_trailer() {
    let dir = TempDir::new().unwrap();
    let (pty, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    let file = dir.path().join("a.pcapng");
    let mut program = start(&pty, &fifo, &["--format", "pcapng", "-w", file.to_str().unwrap()]);
    let reader = FifoReader::open(&fifo);
    program.wait_for("a reader has come");
    pty.send(&(0..100).flat_map(numbered_frame).collect::<Vec<_>>());
    // Half a frame: it is recorded as far as it came.
    pty.send(&numbered_frame(4)[..20]);
    eventually("all frames in the file", || {
        (blocks_so_far(&std::fs::read(&file).unwrap(), 6).0 == 100).then_some(())
    });
    eventually("the half to be read", || {
        program.signal(rustix::process::Signal::USR1);
        let octets: usize = (0..100).map(|n| numbered_frame(n).len()).sum();
        let octets = format!("; {} octets = ", octets + 20);
        program.stderr().iter().any(|line| line.contains(&octets)).then_some(())
    });
    assert!(program.terminate() < SOON);
    let mut piped = Vec::new();
    loop {
        let mut chunk = [0; 65536];
        match rustix::io::read(&reader.fd, &mut chunk).unwrap() {
            0 => break,
            len => piped.extend_from_slice(&chunk[..len]),
        }
    }
    let written = std::fs::read(&file).unwrap();
    for stream in [&piped, &written] {
        assert_eq!(count_blocks(stream, 6), 101);
        assert_eq!(count_blocks(stream, 5), 1, "interface statistics");
    }
    if let Some(says) = tshark(&["-r", "-", "-T", "fields", "-e", "frame.comment"], &written) {
        assert_eq!(says.lines().last().unwrap(), "damaged: too short, 20 of 44 bytes");
    }
}

/// How many pcapng blocks of a kind there are; there must be whole blocks only.
fn count_blocks(octets: &[u8], kind: u32) -> usize {
    let (count, rest) = blocks_so_far(octets, kind);
    assert!(rest.is_empty(), "half a block");
    count
}

/// How many whole pcapng blocks of a kind there are, and what is behind them: who reads a file that
/// is being written may see a part of a write.
fn blocks_so_far(mut octets: &[u8], kind: u32) -> (usize, &[u8]) {
    let word = |octets: &[u8], at: usize| {
        octets.get(at..at + 4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()))
    };
    let mut count = 0;
    while let Some(len) = word(octets, 4).map(|len| len as usize)
        && octets.len() >= len
    {
        assert_eq!(word(octets, len - 4), Some(len as u32), "no block");
        count += usize::from(word(octets, 0) == Some(kind));
        octets = &octets[len..];
    }
    (count, octets)
}

#[test]
fn writing_to_a_full_pipe() {
    let dir = TempDir::new().unwrap();
    let (pty, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    let mut program = start(&pty, &fifo, &[]);
    let mut reader = FifoReader::open(&fifo);
    program.wait_for("a reader has come");
    let frame = mstp(5, 1, 2, &[0x22; 480]);
    while !program.stderr().iter().any(|line| line.contains("reader too slow")) {
        pty.send(&frame);
    }
    assert!(program.terminate() < SOON);
    // What is in the pipe is a header and whole records.
    let records = reader.rest();
    assert!(!records.is_empty() && records.iter().all(|record| record.data == frame));
    let line = program.wait_for("ended before its reader took all");
    assert!(line.contains(&format!("= {} delivered", records.len())), "{line}");
}

#[test]
fn blocked_on_a_pipe_behind_stdout() {
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-w", "-"]);
    program.wait_for("reading mstp");
    let frame = mstp(5, 1, 2, &[0x22; 480]);
    while !program.stderr().iter().any(|line| line.contains("reader too slow")) {
        pty.send(&frame);
    }
    assert!(program.terminate() < SOON);
    let mut stdout = Vec::new();
    let mut pipe = program.child.stdout.take().unwrap();
    std::io::Read::read_to_end(&mut pipe, &mut stdout).unwrap();
    assert!(pcap_records(&stdout).iter().all(|record| record.data == frame));
}

#[test]
fn under_traffic_at_any_moment() {
    let mut random = Random(42);
    for _ in 0..30 {
        let dir = TempDir::new().unwrap();
        let (pty, fifo) = (Pty::new(), dir.path().join("sharkfin"));
        let mut program = start(&pty, &fifo, &[]);
        let mut reader = FifoReader::open(&fifo);
        program.wait_for("a reader has come");
        let frames = random.below(2000) as u32;
        std::thread::scope(|scope| {
            let records = scope.spawn(|| reader.rest());
            for n in 0..frames {
                pty.send(&numbered_frame(n));
            }
            assert!(program.terminate() < SOON);
            for record in records.join().unwrap() {
                assert_eq!(record.data[..2], [0x55, 0xff]);
            }
        });
        assert!(!fifo.exists());
    }
}
