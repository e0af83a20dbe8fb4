//! Every way in beside the serial port: TCP, files, pipes, recordings.

use crate::common::*;
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn line(frames: u32) -> Vec<u8> {
    (0..frames).flat_map(numbered_frame).collect()
}

fn write(dir: &TempDir, name: &str, octets: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, octets).unwrap();
    path
}

fn str(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn frames(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.data.clone()).collect()
}

/// Runs it, and checks for one line on stderr and perhaps a hint.
fn fails(args: &[&str], says: &str) {
    let (code, stdout, stderr) = run(args);
    assert_eq!((code, stdout.len()), (1, 0), "{args:?}: {stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines.len() <= 2 && lines[0].starts_with("serialshark: "), "{stderr}");
    assert!(lines.len() == 1 || lines[1].starts_with("  hint: "), "{stderr}");
    assert!(stderr.contains(says), "{args:?}: {stderr}");
}

fn refused(args: &[&str], says: &str) {
    let (code, stdout, stderr) = run(args);
    assert_eq!((code, stdout.len()), (2, 0), "{args:?}: {stderr}");
    assert!(stderr.contains(says), "{args:?}: {stderr}");
}

// --- files and pipes

/// Far more than the smallest queue and all pipes hold, so that only waiting keeps it from loss.
const MANY: u32 = 75_000;
const SMALLEST: &str = "--buffer-size=1";

#[test]
fn a_file_is_replayed_without_loss_to_a_slow_reader() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "trunk.bin", &line(MANY));
    let mut program = Program::start([str(&file), "-w", "-", SMALLEST]);
    program.wait_for("reading mstp");
    // The queue is filled, and then the reader thread waits.
    let mut at_rest = program.wakeups();
    eventually("rest", || {
        std::thread::park_timeout(Duration::from_millis(300));
        let now = program.wakeups();
        (std::mem::replace(&mut at_rest, now) == now).then_some(())
    });
    let mut capture = Vec::new();
    program.child.stdout.take().unwrap().read_to_end(&mut capture).unwrap();
    assert_eq!(program.wait().code(), Some(0));
    let records = pcap_records(&capture);
    assert_eq!(records.len(), MANY as usize);
    assert!(records.iter().zip(0..).all(|(record, n)| record.data == numbered_frame(n)));
    program.wait_for(" 0 dropped + 0 abandoned");
    // Dated as if the line had been busy all the time, at 38400 baud.
    let octets: u64 = records[..1000].iter().map(|record| record.data.len() as u64).sum();
    let on_the_wire_us = octets * 10_000_000 / 38_400;
    let spacing = records[1000].time_us - records[0].time_us;
    assert!(spacing.abs_diff(on_the_wire_us) < 50, "{spacing} {on_the_wire_us}");
    assert!(records.windows(2).all(|two| two[0].time_us <= two[1].time_us));
    if let Some(lines) = tshark(&["-r", "-", "-Y", "mstp", "-c", "1000"], &capture) {
        assert_eq!(lines.lines().count(), 1000);
    }
}

#[test]
fn a_replay_waits_for_its_first_reader_and_one_that_leaves_does_not_hold_it_up() {
    let dir = TempDir::new().unwrap();
    let (file, fifo) = (write(&dir, "trunk.bin", &line(MANY)), dir.path().join("sharkfin"));
    let other = dir.path().join("other");
    let outputs = ["--fifo", str(&fifo), "--fifo", str(&other), SMALLEST];
    let mut program = Program::start([&[str(&file)][..], &outputs].concat());
    program.wait_for_nth(2, "waiting for a reader");
    let mut stalled = FifoReader::open(&other);
    stalled.header();
    stalled.records(1);
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    // The stalled one holds the other up, until it leaves.
    drop(stalled);
    let rest = reader.rest();
    assert!(!rest.is_empty());
    assert_eq!(rest.last().unwrap().data, numbered_frame(MANY - 1));
    assert_eq!(program.wait().code(), Some(0));

    let mut program = Program::start([str(&file), "--fifo", str(&fifo), SMALLEST]);
    program.wait_for("waiting for a reader");
    let mut reader = FifoReader::open(&fifo);
    assert_eq!(reader.rest().len(), MANY as usize);
    assert_eq!(program.wait().code(), Some(0));
    program.wait_for(" 0 dropped + 0 abandoned");
}

#[test]
fn a_signal_ends_a_replay_that_waits() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "trunk.bin", &line(MANY));
    let fifo = dir.path().join("sharkfin");
    // For room, for its first reader, for a reader to take the last of it.
    let mut stalled = Program::start([str(&file), "-w", "-", SMALLEST]);
    stalled.wait_for("reading mstp");
    assert!(stalled.terminate() < SOON);
    let mut alone = Program::start([str(&file), "--fifo", str(&fifo)]);
    alone.wait_for("reading mstp");
    assert!(alone.terminate() < SOON);
    let short = write(&dir, "short.bin", &line(20_000));
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut ended = Program::start([str(&short), "-w", "-"]);
        ended.wait_for("end of input");
        let start = Instant::now();
        ended.signal(signal);
        assert_eq!(ended.wait().code(), Some(0));
        assert!(start.elapsed() < SOON);
        ended.wait_for("ended before its reader took all");
    }
}

#[test]
fn octets_on_standard_input_are_taken_as_they_come_and_their_end_is_the_end() {
    let mut command = Program::command();
    command.args(["-", "-w", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Program::spawn(command);
    let mut stdin = program.child.stdin.take().unwrap();
    let mut stdout = program.child.stdout.take().unwrap();
    let mut capture = vec![0; 24];
    stdout.read_exact(&mut capture).unwrap();
    for n in 0..10 {
        // Each frame is there before the next one is sent.
        let frame = numbered_frame(n);
        stdin.write_all(&frame).unwrap();
        let mut record = vec![0; 16 + frame.len()];
        stdout.read_exact(&mut record).unwrap();
        assert_eq!(record[16..], frame);
        capture.extend(record);
    }
    drop(stdin);
    assert_eq!(program.wait().code(), Some(0));
    stdout.read_to_end(&mut capture).unwrap();
    assert_eq!(pcap_records(&capture).len(), 10);
}

#[test]
fn a_pipe_is_held_up_in_place_of_losing_anything() {
    let mut command = Program::command();
    command.args(["-", "-w", "-", SMALLEST]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = Program::spawn(command);
    let mut stdin = program.child.stdin.take().unwrap();
    let octets = line(MANY);
    let writer = std::thread::spawn(move || stdin.write_all(&octets).unwrap());
    program.wait_for("reading mstp");
    std::thread::park_timeout(Duration::from_millis(500));
    assert!(!writer.is_finished(), "nothing holds the pipe up");
    let mut capture = Vec::new();
    program.child.stdout.take().unwrap().read_to_end(&mut capture).unwrap();
    writer.join().unwrap();
    assert_eq!(program.wait().code(), Some(0));
    assert_eq!(pcap_records(&capture).len(), MANY as usize);
}

#[test]
fn a_file_on_standard_input_and_a_fifo_as_port() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "trunk.bin", &line(100));
    let mut command = Program::command();
    command.args(["-", "-w", "-"]).stdin(std::fs::File::open(&file).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success());
    assert_eq!(pcap_records(&output.stdout).len(), 100);

    let fifo = dir.path().join("octets");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut program = Program::start([str(&fifo), "-w", "-"]);
    program.wait_for("reading mstp");
    std::fs::write(&fifo, line(100)).unwrap();
    let mut capture = Vec::new();
    program.child.stdout.take().unwrap().read_to_end(&mut capture).unwrap();
    assert_eq!(program.wait().code(), Some(0));
    assert_eq!(pcap_records(&capture).len(), 100);
}

#[test]
fn a_file_that_ends_inside_a_frame_gives_what_is_there() {
    let dir = TempDir::new().unwrap();
    let octets = [line(4), numbered_frame(4)[..20].to_vec()].concat();
    let file = write(&dir, "cut.bin", &octets);
    let (code, capture, stderr) = run(&[str(&file), "-w", "-"]);
    let records = pcap_records(&capture);
    assert_eq!((code, records.len()), (0, 5), "{stderr}");
    assert_eq!((&records[4].data[..], records[4].original_len), (&octets[octets.len() - 20..], 44));
    let (code, capture, _) = run(&[str(&write(&dir, "empty.bin", b"")), "-w", "-"]);
    assert_eq!((code, capture.len()), (0, 24));
}

#[test]
fn what_goes_wrong_at_the_end_of_the_input_is_told() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "trunk.bin", &line(10));
    let (code, _, stderr) = run(&[str(&file), "-w", "/dev/full"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("/dev/full: cannot write: No space left on device"), "{stderr}");
}

#[test]
fn plain_octets_are_paced_by_the_baud_rate() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "trunk.bin", &mstp(0, 1, 2, &[]).repeat(120)); // 1 s at 9600 baud
    let start = Instant::now();
    let (code, capture, _) = run(&[str(&file), "-b", "9600", "--replay-paced", "-w", "-"]);
    assert!(start.elapsed() >= Duration::from_millis(980), "{:?}", start.elapsed());
    assert_eq!((code, pcap_records(&capture).len()), (0, 120));
}

// --- TCP

fn client(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream
}

#[test]
fn a_tcp_connection_is_a_port_and_comes_back() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let port = format!("tcp:localhost:{}", address.port());
    let mut program = Program::start([&port, "--fifo", str(&fifo)]);
    let mut peer = client(&listener);
    program.wait_for("reading mstp");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    for round in 1..=5 {
        // Half a frame is cut off by the end of the connection.
        let octets = [&numbered_frame(round)[..], &numbered_frame(4)[..20]].concat();
        peer.write_all(&octets).unwrap();
        assert_eq!(reader.record().unwrap().data, numbered_frame(round));
        drop(peer);
        program.wait_for_nth(round as usize, "hung up; waiting for its return");
        let cut = reader.record().unwrap();
        assert_eq!((&cut.data[..], cut.original_len), (&numbered_frame(4)[..20], 44));
        peer = client(&listener);
        program.wait_for_nth(round as usize, "is back");
    }
    // Nobody listens for a while; then again.
    drop(listener);
    drop(peer);
    program.wait_for_nth(6, "waiting for its return");
    let listener = TcpListener::bind(address).unwrap();
    let mut peer = client(&listener);
    peer.write_all(&numbered_frame(9)).unwrap();
    assert_eq!(reader.record().unwrap().data, numbered_frame(9));
    drop((listener, peer));
    program.wait_for_nth(7, "waiting for its return");
    assert!(program.terminate() < SOON);
}

#[test]
fn a_peer_that_hangs_up_at_once_is_not_called_in_a_loop() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("tcp:{}", listener.local_addr().unwrap());
    let program = Program::start([&port]);
    let start = Instant::now();
    for _ in 0..3 {
        drop(client(&listener));
    }
    assert!(start.elapsed() > Duration::from_millis(1900));
    drop(program);
}

#[test]
fn a_dialogue_goes_through_tcp_only_when_the_sniffer_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("tcp:{}", listener.local_addr().unwrap());
    let program = Program::start([&port, "-p", "riot", "--channel", "26"]);
    let mut peer = client(&listener);
    peer.set_read_timeout(Some(LONG)).unwrap();
    let mut said = [0; 8];
    peer.read_exact(&mut said).unwrap();
    assert!(text(&said).starts_with("ifconfig"), "{said:?}");
    drop(program);
    let mut program = Program::start([&port, "-c", "1"]);
    let mut peer = client(&listener);
    peer.write_all(&numbered_frame(1)).unwrap();
    let mut said = Vec::new();
    peer.read_to_end(&mut said).unwrap();
    assert_eq!((said.len(), program.wait().code()), (0, Some(0)));
}

#[test]
fn while_a_host_does_not_answer_a_signal_still_ends_the_program() {
    // A listener whose queue is full drops what comes: connecting hangs.
    let listener = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    rustix::net::bind(&listener, &any).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let _fills_the_queue = TcpStream::connect(address).unwrap();
    let mut program = Program::start([format!("tcp:{address}")]);
    eventually("the program connects", || {
        let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let to = format!(":{:04X} 02", address.port()); // SYN_SENT
        tcp.contains(&to).then_some(())
    });
    assert!(program.terminate() < SOON);
}

#[test]
fn a_host_that_is_not_there_gets_one_line_and_a_hint() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fails(&[&format!("tcp:{free}")], "cannot connect: Connection refused\n  hint: ");
    fails(&["tcp:host.invalid:2000"], "tcp:host.invalid:2000: cannot find the host: ");
    for wrong in ["tcp:", "tcp:host", "tcp:host:", "tcp::2000", "tcp:host:ser", "tcp:host:70000"] {
        refused(&[wrong], "the form is tcp:HOST:PORT");
    }
}

// --- recordings

/// The enhanced packet blocks of a pcapng file, whole: interface, time, octets, flags, comments.
fn packet_blocks(file: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
        let (kind, len) = (word(0), word(4) as usize);
        if kind == 6 {
            blocks.push(rest[..len].to_vec());
        }
        rest = &rest[len..];
    }
    blocks
}

/// Kind, time and length of each whole record; there may be a part of one more.
fn recorded(file: &[u8]) -> Vec<(u8, u64, usize)> {
    let mut rest = file.splitn(3, |&octet| octet == b'\n').nth(2).unwrap();
    let mut records = Vec::new();
    while let Some(header) = rest.get(..13) {
        let time = u64::from_le_bytes(header[1..9].try_into().unwrap());
        let len = u32::from_le_bytes(header[9..].try_into().unwrap()) as usize;
        let Some(next) = rest.get(13 + len..) else { break };
        records.push((header[0], time, len));
        rest = next;
    }
    records
}

struct Session {
    dir: TempDir,
    recording: PathBuf,
    capture: PathBuf,
}

/// A port that is noisy, silent, unplugged and plugged again, captured and recorded.
fn session() -> Session {
    let dir = TempDir::new().unwrap();
    let (recording, capture) = (dir.path().join("a.rec"), dir.path().join("a.pcapng"));
    let link = dir.path().join("ttyUSB0");
    let mut pty = Pty::new();
    pty.name(&link);
    let args = [str(&link), "-b", "76800", "-w", str(&capture), "--record", str(&recording)];
    let mut program = Program::start(args);
    program.wait_for("reading mstp");
    let mut random = Random(77);
    let silences = |file: &Path| {
        let octets = std::fs::read(file).unwrap();
        recorded(&octets).iter().filter(|record| record.0 == b'S').count()
    };
    let arrived = |octets: &[u8]| {
        eventually("the octets in the recording", || {
            std::fs::read(&recording).unwrap().ends_with(octets).then_some(())
        });
    };
    for round in 1..=3 {
        for n in 0..200 {
            let mut octets = numbered_frame(n);
            match random.below(6) {
                0 => octets.insert(0, random.next() as u8),
                1 => octets.truncate(random.below(40) as usize + 1),
                _ => {}
            }
            while !octets.is_empty() {
                let len = (random.below(60) as usize + 1).min(octets.len());
                pty.send(&octets[..len]);
                if random.below(8) == 0 {
                    arrived(&octets[..len]);
                }
                octets.drain(..len);
            }
        }
        // Silence ends this frame.
        let before = silences(&recording);
        pty.send(&numbered_frame(4)[..20]);
        eventually("silence", || (silences(&recording) > before).then_some(()));
        // The port's going ends this one.
        pty.send(&numbered_frame(8)[..15]);
        arrived(&numbered_frame(8)[..15]);
        drop(pty);
        program.wait_for_nth(round, "waiting for its return");
        pty = Pty::new();
        pty.name(&link);
        program.wait_for_nth(round, "is back");
    }
    // The end of the program ends this one.
    pty.send(&numbered_frame(12)[..25]);
    arrived(&numbered_frame(12)[..25]);
    program.terminate();
    Session { dir, recording, capture }
}

#[test]
fn a_replayed_recording_gives_the_same_packets() {
    let Session { dir, recording, capture } = session();
    let original = packet_blocks(&std::fs::read(&capture).unwrap());
    assert!(original.len() > 400);
    let records = recorded(&std::fs::read(&recording).unwrap());
    let count = |kind| records.iter().filter(|record| record.0 == kind).count();
    assert_eq!((count(b'G'), count(b'B')), (3, 3));
    assert!(count(b'S') >= 3 && count(b'O') > 100);

    // Protocol and rate are in the recording.
    let again = dir.path().join("again.pcapng");
    let copy = dir.path().join("copy.rec");
    let args = [str(&recording), "-w", str(&again), "--record", str(&copy)];
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("reading mstp at 76800 baud"), "{stderr}");
    let replayed = packet_blocks(&std::fs::read(&again).unwrap());
    assert!(original == replayed, "{} packets, {} replayed", original.len(), replayed.len());
    // A replay recorded has the same chunks at the same times.
    let chunks = |records: &[(u8, u64, usize)]| -> Vec<_> {
        records.iter().filter(|r| r.0 == b'O' || r.0 == b'S').copied().collect()
    };
    assert_eq!(chunks(&recorded(&std::fs::read(&copy).unwrap())), chunks(&records));
    if let Some(theirs) = tshark(&["-r", str(&capture), "-V"], b"") {
        let ours = tshark(&["-r", str(&again), "-V"], b"").unwrap();
        let packets = |text: &str| {
            text.lines().filter(|line| !line.contains("nterface")).map(str::to_owned).collect()
        };
        let (theirs, ours): (Vec<String>, Vec<String>) = (packets(&theirs), packets(&ours));
        assert!(theirs == ours, "tshark sees a difference");
    }
}

#[test]
fn a_paced_replay_takes_as_long_as_the_recording_and_has_its_times() {
    let dir = TempDir::new().unwrap();
    let (recording, capture) = (dir.path().join("a.rec"), dir.path().join("a.pcapng"));
    let args = ["sim:mstp", "-c", "60", "-w", str(&capture), "--record", str(&recording)];
    assert_eq!(run(&args).0, 0);
    let records = recorded(&std::fs::read(&recording).unwrap());
    let took = Duration::from_nanos(records[records.len() - 1].1 - records[0].1);
    assert!(took > Duration::from_millis(300), "{took:?}");
    let start = Instant::now();
    let again = dir.path().join("again.pcapng");
    let (code, ..) = run(&[str(&recording), "--replay-paced", "-c", "60", "-w", str(&again)]);
    let elapsed = start.elapsed();
    assert_eq!(code, 0);
    assert!(
        elapsed >= took.mul_f64(0.95) && elapsed < took + Duration::from_secs(5),
        "{elapsed:?}"
    );
    let blocks = |file: &Path| packet_blocks(&std::fs::read(file).unwrap());
    assert!(blocks(&capture) == blocks(&again));
    // As fast as possible is faster.
    let start = Instant::now();
    assert_eq!(run(&[str(&recording), "-w", str(&again), "--force"]).0, 0);
    assert!(start.elapsed() < took, "{:?}", start.elapsed());
    // And a signal ends a paced one that waits.
    let mut program = Program::start([str(&recording), "--replay-paced"]);
    program.wait_for("reading mstp");
    assert!(program.terminate() < SOON);
}

#[test]
fn options_override_what_the_recording_says() {
    let dir = TempDir::new().unwrap();
    let octets = numbered_frame(1);
    let header = "serialshark recording 1\nprotocol=riot baud=115200 channel=26 port=x\n";
    let mut file = header.as_bytes().to_vec();
    file.push(b'O');
    file.extend(1_700_000_000_000_000_000u64.to_le_bytes());
    file.extend((octets.len() as u32).to_le_bytes());
    file.extend(&octets);
    let file = write(&dir, "a.rec", &file);
    let (code, capture, stderr) = run(&[str(&file), "-p", "mstp", "-b", "9600", "-w", "-"]);
    assert!(code == 0 && stderr.contains("reading mstp at 9600 baud"), "{stderr}");
    let records = pcap_records(&capture);
    assert_eq!(frames(&records), [octets]);
    // 8 octets at 9600 baud before they arrived.
    assert_eq!(records[0].time_us, 1_700_000_000_000_000 - 8334);
    let (code, _, stderr) = run(&[str(&file)]);
    assert!(code == 0 && stderr.contains("reading riot at 115200 baud"), "{stderr}");
}

#[test]
fn a_recording_cut_off_anywhere_is_replayed_as_far_as_it_goes() {
    let dir = TempDir::new().unwrap();
    let recording = dir.path().join("a.rec");
    assert_eq!(run(&["sim:mstp", "-c", "5", "--record", str(&recording)]).0, 0);
    let whole = std::fs::read(&recording).unwrap();
    let (_, all, _) = run(&[str(&recording)]);
    let records = recorded(&whole);
    let last = 13 + records[records.len() - 1].2;
    for cut in [1, 5, last - 1] {
        let file = write(&dir, "cut.rec", &whole[..whole.len() - cut]);
        let (code, stdout, stderr) = run(&[str(&file)]);
        assert_eq!(code, 0);
        assert!(stderr.contains("warn: ") && stderr.contains("ends inside a record"), "{stderr}");
        assert!(all.starts_with(&stdout[..stdout.len().min(100)]));
    }
    let (code, _, stderr) = run(&[str(&write(&dir, "whole.rec", &whole[..whole.len() - last]))]);
    assert!(code == 0 && !stderr.contains("warn: "), "{stderr}");
    let damaged = [&whole[..whole.len() - last], b"what is this?"].concat();
    let (code, _, stderr) = run(&[str(&write(&dir, "damaged.rec", &damaged))]);
    assert!(code == 0 && stderr.contains("error: "), "{stderr}");
    assert!(stderr.contains(&format!("damaged at byte {}", whole.len() - last)), "{stderr}");
}

#[test]
fn what_another_program_made_is_not_taken_for_octets() {
    let dir = TempDir::new().unwrap();
    for capture in ["a.pcap", "a.pcapng"] {
        let capture = dir.path().join(capture);
        assert_eq!(run(&["sim:mstp", "-c", "1", "-w", str(&capture)]).0, 0);
        fails(&[str(&capture)], "is a capture file, not bytes from a serial line\n  hint: ");
    }
    let newer = write(&dir, "b.rec", b"serialshark recording 2\nsomething\nelse");
    fails(&[str(&newer)], "is a recording of another version");
    let damaged = write(&dir, "c.rec", b"serialshark recording 1\nprotocol=mstp\n");
    fails(&[str(&damaged)], "first lines are damaged");
    let cut = write(&dir, "d.rec", b"serialshark recording 1\nprotocol=ms");
    fails(&[str(&cut)], "ends in its first lines");
    let unknown =
        write(&dir, "e.rec", b"serialshark recording 1\nprotocol=telepathy baud=9600 port=x\n");
    refused(&[str(&unknown)], "recorded as telepathy; choose one with -p");
    assert_eq!(run(&[str(&unknown), "-p", "mstp"]).0, 0);
}

#[test]
fn a_recording_does_not_overwrite_and_its_failure_does_not_end_the_capture() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "precious", b"octets");
    let next = dir.path().join("precious_00002");
    std::fs::write(&next, "").unwrap(); // empty, and so there is nothing to lose
    let (code, _, stderr) = run(&["sim:mstp", "-c", "1", "--record", str(&file)]);
    assert!(code == 0 && stderr.contains("writing "), "{stderr}");
    assert_eq!(std::fs::read(&file).unwrap(), b"octets");
    assert!(std::fs::read(&next).unwrap().starts_with(b"serialshark recording 1\n"));
    assert_eq!(run(&["sim:mstp", "-c", "1", "--record", str(&file), "--force"]).0, 0);
    assert!(std::fs::read(&file).unwrap().starts_with(b"serialshark recording 1\n"));
    // A port that cannot be opened leaves no file behind.
    let none = dir.path().join("none");
    fails(&["/dev/ttyUSB99", "--record", str(&none)], "cannot open");
    assert!(!none.exists());

    let (code, stdout, stderr) = run(&["sim:mstp", "-c", "3", "--record", "/dev/full"]);
    assert_eq!((code, text(&stdout).lines().count()), (0, 3), "{stderr}");
    let says = "error: /dev/full: cannot write; the recording ends here: No space left on device";
    assert_eq!(stderr.matches(says).count(), 1, "{stderr}");
}

#[test]
fn recordings_that_start_together_get_a_name_each() {
    let dir = TempDir::new().unwrap();
    for round in 0..4 {
        let file = dir.path().join(format!("r{round}"));
        let start = || Program::start(["sim:mstp", "-c", "3", "--record", str(&file)]);
        let mut programs = [start(), start(), start(), start()];
        for program in &mut programs {
            assert_eq!(program.wait().code(), Some(0), "{:#?}", program.stderr());
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 16);
}

#[test]
fn wrong_usage_of_recordings_says_what_is_allowed() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "trunk.bin", &line(1));
    let link = dir.path().join("link");
    symlink(&file, &link).unwrap();
    for port in ["sim:mstp", "/dev/ttyUSB99", "-", "tcp:localhost:2000"] {
        refused(&[port, "--replay-paced"], "--replay-paced needs a file");
    }
    refused(&[str(&file), "--record", str(&link), "--force"], "is the port itself");
    refused(&["sim:mstp", "--record", "x", "-w", "x"], "named twice: -w x and --record x");
    refused(&["sim:mstp", "--record", "-"], "--record takes a file");
    refused(&["sim:mstp", "sim:riot", "--record", "x"], "--record takes one port");
    assert_eq!(std::fs::read(&file).unwrap(), line(1));
}

#[test]
fn recording_costs_no_wakeups_and_loses_nothing_when_killed() {
    let dir = TempDir::new().unwrap();
    let recording = dir.path().join("a.rec");
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "--record", str(&recording)]);
    program.wait_for("reading mstp");
    pty.send(&line(10));
    eventually("the last octets in the recording", || {
        std::fs::read(&recording).unwrap().ends_with(&numbered_frame(9)).then_some(())
    });
    let mut before = program.wakeups();
    eventually("rest", || {
        std::thread::park_timeout(Duration::from_millis(1200));
        let now = program.wakeups();
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    let (code, capture, _) = run(&[str(&recording), "-w", "-"]);
    assert_eq!((code, pcap_records(&capture).len()), (0, 10));
}

/// A disk that stalls holds up no line: what it does not take in time is missing in the recording,
/// which says so; packets of readers are all there.
#[test]
fn a_disk_that_stalls_costs_a_recording_what_it_says_and_nobody_else_anything() {
    let dir = TempDir::new().unwrap();
    let (image, disk) = (dir.path().join("image"), dir.path().join("disk"));
    std::fs::create_dir(&disk).unwrap();
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let does = |program: &str, args: &[&str]| {
        let status = std::process::Command::new(program).args(args).status();
        status.is_ok_and(|status| status.success())
    };
    if !does("mkfs.ext4", &["-q", str(&image)])
        || !does("mount", &["-o", "loop", str(&image), str(&disk)])
    {
        skip("no file system can be mounted here, so none was stalled");
        return;
    }
    /// Whatever happens, it is not left behind.
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("fsfreeze").arg("-u").arg(self.0).output();
            let _ = std::process::Command::new("umount").arg("-l").arg(self.0).output();
        }
    }
    let _mounted = Mounted(&disk);
    let (fifo, recording) = (dir.path().join("sharkfin"), disk.join("trunk.rec"));
    let pty = Pty::new();
    let args = [pty.path(), "--fifo", str(&fifo), "--record", str(&recording), "-b", "1000000"];
    let mut program = Program::start(args);
    program.wait_for("reading mstp");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    pty.send(&numbered_frame(0));
    reader.record().unwrap();
    assert!(does("fsfreeze", &["-f", str(&disk)]));
    // 6 MB, of which 4 may wait; most of it between the frames, which takes less time.
    let mut told = false;
    for number in 1..6_000 {
        pty.send(&[&[0; 1000][..], &numbered_frame(number)].concat());
        assert_eq!(reader.record().unwrap().data, numbered_frame(number));
        told |= program.stderr().iter().any(|line| line.contains("disk too slow"));
    }
    assert!(does("fsfreeze", &["-u", str(&disk)]));
    assert!(told, "nothing was missing");
    // In the recording again, as soon as there is room.
    let again = eventually("a record behind those that are missing", || {
        pty.send(&numbered_frame(0));
        reader.record().unwrap();
        let octets = std::fs::read(&recording).unwrap();
        let missing = recorded(&octets).iter().position(|record| record.0 == b'L')?;
        (recorded(&octets).len() > missing + 1).then_some(octets)
    });
    drop(again);
    program.terminate();
    let octets = std::fs::read(&recording).unwrap();
    let copy = dir.path().join("copy.rec");
    std::fs::copy(&recording, &copy).unwrap();
    let heard: usize = recorded(&octets).iter().filter(|r| r.0 == b'O').map(|r| r.2).sum();
    let (code, capture, stderr) = run(&[str(&copy), "-w", "-", "--format", "pcapng"]);
    assert_eq!(code, 0);
    let says = program.wait_for("octets =");
    let all: usize = says.split("; ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let told = stderr.lines().find_map(|line| line.split_once(" bytes are missing")).unwrap().0;
    let missing: usize = told.rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(heard + missing, all);
    if let Some(says) = tshark(&["-r", "-", "-T", "fields", "-e", "frame.comment"], &capture) {
        let comment = format!("{missing} bytes before this packet are missing in the recording");
        assert!(says.contains(&comment), "{comment}");
    }
}

/// A program that sends a file to whoever connects.
#[test]
fn a_peer_that_hangs_up_after_each_frame_is_called_once_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("tcp:{}", listener.local_addr().unwrap());
    let mut program = Program::start([&port]);
    let start = Instant::now();
    // The first times it may have been an accident.
    for _ in 0..14 {
        client(&listener).write_all(&numbered_frame(1)).unwrap();
    }
    assert!(start.elapsed() > Duration::from_millis(1900));
    drop(listener);
    program.terminate();
    let count = |what: &str| program.stderr().iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("hung up"), count("is back")), (12, 11), "{:#?}", program.stderr());
}

/// A serial server that is in use says so and hangs up, however often it is called.
#[test]
fn a_peer_that_hangs_up_at_once_is_called_ever_more_seldom() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let serves = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let does_serve = std::sync::Arc::clone(&serves);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if does_serve.load(std::sync::atomic::Ordering::SeqCst) {
                client.write_all(&numbered_frame(1)).unwrap();
                std::mem::forget(client);
            } else {
                client.write_all(b"Port already in use\r\n").unwrap();
            }
        }
    });
    let name = format!("tcp:127.0.0.1:{port}");
    let mut program = Program::start([&name]);
    let said = program.wait_for("as soon as it is opened");
    assert!(said.contains("(it said: Port already in use)"), "{said}");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let called = calls.load(std::sync::atomic::Ordering::SeqCst);
    assert!((2..=4).contains(&called), "{called} calls in 4 s");
    assert!(program.stderr().len() <= 5, "{:#?}", program.stderr());
    serves.store(true, std::sync::atomic::Ordering::SeqCst);
    program.wait_for("works again, after");
    program.terminate();
}

#[test]
fn a_unix_socket_is_a_port_by_its_scheme_or_by_its_path() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("line=in");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    for name in [format!("unix:{}", str(&path)), str(&path).to_owned()] {
        let mut program = Program::start([&name, "-c", "2", "-w", "-"]);
        program.wait_for("reading mstp");
        let (mut line, _) = listener.accept().unwrap();
        line.write_all(&[numbered_frame(1), numbered_frame(2)].concat()).unwrap();
        assert_eq!(program.wait().code(), Some(0));
        let mut capture = Vec::new();
        program.child.stdout.take().unwrap().read_to_end(&mut capture).unwrap();
        assert_eq!(frames(&pcap_records(&capture)), [numbered_frame(1), numbered_frame(2)]);
    }
}

#[test]
fn a_file_in_place_of_a_port_is_no_capture_of_its_octets() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("ttyUSB0");
    let pty = Pty::new();
    pty.name(&link);
    let mut program = Program::start([str(&link)]);
    program.wait_for("reading mstp");
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, numbered_frame(1)).unwrap();
    drop(pty);
    program.wait_for("is not a serial port");
    program.terminate();
    program.wait_for(": 0 frames");
}

/// ser2net, which answers a telnet negotiation and sets its port as RFC 2217 says.
struct Ser2net {
    child: std::process::Child,
    port: u16,
    line: Pty,
    _dir: TempDir,
}

impl Ser2net {
    fn start() -> Option<Self> {
        let mut command = tool_without_version("ser2net")?;
        let (dir, line, port) = (TempDir::new().unwrap(), Pty::new(), free_port());
        let config = dir.path().join("ser2net.yaml");
        let text = format!(
            "%YAML 1.1\n---\nconnection: &line\n  accepter: telnet(rfc2217),tcp,127.0.0.1,{port}\n  \
             connector: serialdev,{},9600n81,local\n",
            line.path()
        );
        std::fs::write(&config, text).unwrap();
        command.args(["-n", "-c", str(&config)]).stdin(std::process::Stdio::null());
        let child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        eventually("ser2net", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Some(Self { child, port, line, _dir: dir })
    }
}

impl Drop for Ser2net {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_far_port_is_set_by_rfc_2217_and_nothing_of_telnet_is_in_the_packets() {
    let Some(server) = Ser2net::start() else { return };
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcap");
    let name = format!("rfc2217:127.0.0.1:{}", server.port);
    let args = [&name, "-b", "76800", "--wait", "-w", str(&file)];
    let mut program = Program::start(args);
    eventually("the rate", || {
        let termios = rustix::termios::tcgetattr(&server.line.master).ok()?;
        (termios.output_speed() == 76_800).then_some(())
    });
    // Octets that mean something to telnet among them.
    let sent: Vec<_> = (0..50u8)
        .map(|n| mstp(5, n, 0xff, &[0xff, 0xf0, 13, 0, 13, 10, 0xff, 0xfa, n, 0xff, 0xff]))
        .collect();
    for frame in &sent {
        server.line.send(frame);
    }
    let records = eventually("all frames", || {
        let records = pcap_records_so_far(&std::fs::read(&file).ok()?);
        (records.len() == sent.len()).then_some(records)
    });
    assert_eq!(frames(&records), sent);
    assert_eq!(server.line.received_now(), b"", "sent onto the bus");
    program.terminate();
    program.wait_for(": 50 frames, 0 damaged");
    program.wait_for("+ 0 skipped");
}

#[test]
fn telnet_on_a_raw_connection_is_recognised_and_named() {
    let Some(server) = Ser2net::start() else { return };
    let host = format!("127.0.0.1:{}", server.port);
    let mut program = Program::start([format!("tcp:{host}"), "--wait".into()]);
    let said = program.wait_for("speaks telnet");
    assert!(said.contains(&format!("rfc2217:{host}")), "{said}");
    program.terminate();
}

/// A name server that does not answer holds up neither the end nor anything else.
/// Each connection begins with it.
#[test]
fn telnet_in_each_connection_is_told_of_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut program = Program::start([format!("tcp:{}", listener.local_addr().unwrap())]);
    let negotiation = [255, 251, 3, 255, 251, 1];
    for round in 1..=3 {
        let octets = [&negotiation[..], &numbered_frame(round)].concat();
        client(&listener).write_all(&octets).unwrap();
        program.wait_for_nth(round as usize, "hung up; waiting for its return");
    }
    program.terminate();
    let lines = program.stderr();
    assert_eq!(lines.iter().filter(|it| it.contains("speaks telnet")).count(), 1, "{lines:#?}");
}

#[test]
fn a_raw_connection_in_place_of_telnet_is_recognised_and_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let mut program = Program::start([format!("rfc2217:{host}")]);
    let mut peer = client(&listener);
    let said = format!("does not answer as telnet does; a raw port is tcp:{host}");
    eventually("a word on that", || {
        peer.write_all(&numbered_frame(1)).unwrap();
        program.stderr().iter().any(|line| line.contains(&said)).then_some(())
    });
    program.terminate();
}

#[test]
fn a_look_up_that_hangs_does_not_hold_up_the_end() {
    let Ok(_silent) = std::net::UdpSocket::bind("127.0.0.77:53") else {
        skip("nobody but root can be a name server");
        return;
    };
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("resolv.conf");
    std::fs::write(&config, "nameserver 127.0.0.77\n").unwrap();
    let mount = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    for wait in [&["--wait"][..], &[]] {
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", mount]).arg(&config);
        command.arg(env!("CARGO_BIN_EXE_serialshark")).arg("tcp:serial-server.test:3333");
        command.args(wait).stdout(std::process::Stdio::null());
        let mut program = Program::spawn(command);
        eventually("a look-up", || program.thread("resolver"));
        let start = Instant::now();
        // Two in a moment are one.
        program.signal(rustix::process::Signal::TERM);
        if !wait.is_empty() {
            program.signal(rustix::process::Signal::INT);
        }
        assert_eq!(program.wait().code(), Some(0), "{:#?}", program.stderr());
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    }
}
