//! Outputs other than the FIFO that accept readers, and what all of them have in common.

use crate::common::*;
use rustix::process::{Signal, kill_process};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Reads a header and `count` records.
fn records(stream: &mut impl Read, count: usize) -> Vec<Record> {
    let mut octets = vec![0; 24];
    stream.read_exact(&mut octets).unwrap();
    assert_eq!(octets[..4], 0xa1b2_c3d4u32.to_ne_bytes());
    for _ in 0..count {
        let mut head = [0; 16];
        stream.read_exact(&mut head).unwrap();
        let len = u32::from_ne_bytes(head[8..12].try_into().unwrap()) as usize;
        octets.extend(head);
        let start = octets.len();
        octets.resize(start + len, 0);
        stream.read_exact(&mut octets[start..]).unwrap();
    }
    pcap_records(&octets)
}

/// One record more.
fn record(stream: &mut impl Read) -> Record {
    let mut octets = vec![0; 16];
    stream.read_exact(&mut octets).unwrap();
    octets.resize(16 + u32::from_ne_bytes(octets[8..12].try_into().unwrap()) as usize, 0);
    stream.read_exact(&mut octets[16..]).unwrap();
    parse_record(&octets).unwrap().0
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

#[test]
fn tcp_serves_three_tsharks_at_once_one_stopped_and_one_killed() {
    if tool("tshark").is_none() {
        return;
    }
    let port = free_port();
    let mut program = Program::start(["sim:mstp", "--tcp", &port.to_string()]);
    program.wait_for("reading mstp");
    let start = |count: &str| {
        Command::new("tshark")
            .args(["-i", &format!("TCP@127.0.0.1:{port}"), "-c", count])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (mut stopped, mut killed, kept) = (start("1000000"), start("1000000"), start("100"));
    program.wait_for_nth(3, "a reader has come");
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&stopped),
        rustix::process::Signal::STOP,
    )
    .unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let output = kept.wait_with_output().unwrap();
    let says = text(&output.stdout);
    assert_eq!(says.lines().count(), 100, "{}", text(&output.stderr));
    assert!(!says.contains("Malformed"), "{says}");
    stopped.kill().unwrap();
    stopped.wait().unwrap();
    program.terminate();
}

#[test]
fn tcp_clients_may_talk_nonsense_reset_or_leave_and_are_noticed() {
    let (port, pty) = (free_port(), Pty::new());
    let program = Program::start([pty.path(), "--tcp", &port.to_string()]);
    program.wait_for("reading mstp");
    let mut talker = connect(port);
    program.wait_for("a reader has come");
    talker.write_all(&Random(1).octets(100_000)).unwrap();
    pty.send(&numbered_frame(1));
    assert_eq!(records(&mut talker, 1)[0].data, numbered_frame(1));
    drop(talker);
    // It could be one that only says no more: what it does not take tells.
    pty.send(&numbered_frame(2));
    program.wait_for("its reader left");
    // Unread octets at the close make it a reset.
    let resetter = connect(port);
    assert!(readable(&resetter, Instant::now() + LONG));
    drop(resetter);
    program.wait_for_nth(2, "its reader left");
}

#[test]
fn tcp_listens_on_loopback_alone_unless_told_otherwise() {
    for (address, listens) in [("", "127.0.0.1"), ("[::1]:", "[::1]"), ("0.0.0.0:", "0.0.0.0")] {
        let port = free_port();
        let mut program = Program::start(["sim:mstp", "--tcp", &format!("{address}{port}")]);
        program.wait_for("reading mstp");
        let line = program.wait_for("waiting for a reader");
        assert!(line.contains(&format!("TCP@{listens}:{port}")), "{line}");
        let warned = program.stderr().iter().any(|line| line.contains("can read the bus"));
        assert_eq!(warned, listens == "0.0.0.0", "{:#?}", program.stderr());
        program.terminate();
    }
}

#[test]
fn a_signal_that_comes_while_it_waits_for_clients_does_not_keep_it_from_ending() {
    let (port, pty) = (free_port(), Pty::new());
    let mut program = Program::start([pty.path(), "--tcp", &port.to_string()]);
    program.wait_for("reading mstp");
    let (tid, status) = eventually("the accept thread", || program.thread("accept"));
    let before = Program::sleeps(&status);
    // To a thread's own id it is delivered there first. This one means nothing to the program.
    kill_process(tid, Signal::XFSZ).unwrap();
    eventually("woken", || (Program::sleeps(&status) != before).then_some(()));
    program.terminate();
}

#[test]
fn of_200_connections_64_are_served_and_the_rest_turned_away() {
    let (port, pty) = (free_port(), Pty::new());
    let mut program = Program::start([pty.path(), "--tcp", &port.to_string()]);
    program.wait_for("reading mstp");
    let clients: Vec<_> = (0..200).map(|_| connect(port)).collect();
    let warning = program.wait_for("more than 64 clients");
    assert_eq!(program.stderr().iter().filter(|line| **line == warning).count(), 1);
    // Those turned away see the end at once, the others a header.
    let served = clients
        .into_iter()
        .filter_map(|mut client| client.read_exact(&mut [0; 24]).is_ok().then_some(client))
        .collect::<Vec<_>>();
    assert_eq!(served.len(), 64);
    drop(served);
    pty.send(&numbered_frame(2));
    program.wait_for_nth(64, "its reader left");
    let mut client = connect(port);
    program.wait_for_nth(65, "a reader has come");
    pty.send(&numbered_frame(3));
    assert_eq!(records(&mut client, 1)[0].data, numbered_frame(3));
    program.terminate();
}

#[test]
fn an_address_that_cannot_be_had_is_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, stderr) = run(&["sim:mstp", "-q", "--tcp", &port]);
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot listen: Address already in use\n  hint: "), "{stderr}");
    let (code, _, stderr) = run(&["sim:mstp", "-q", "--tcp", "no.such.host.invalid:19000"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no.such.host.invalid:19000: is not a TCP address"), "{stderr}");
    let (code, _, stderr) = run(&["sim:mstp", "-q", "--tcp", "somewhere"]);
    assert_eq!(code, 2, "{stderr}");
}

#[test]
fn a_unix_socket_is_served_and_removed_a_stale_one_replaced_a_live_one_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("sharkfin.sock");
    let path_arg = path.to_str().unwrap();
    // Left behind by a program that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "--unix", path_arg]);
    program.wait_for("reading mstp");
    let metadata = path.metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    let mut client = UnixStream::connect(&path).unwrap();
    program.wait_for("a reader has come");
    pty.send(&numbered_frame(2));
    assert_eq!(records(&mut client, 1)[0].data, numbered_frame(2));
    let (code, _, stderr) = run(&["sim:mstp", "-q", "--unix", path_arg]);
    assert_eq!(code, 1);
    assert!(stderr.contains("another program listens there"), "{stderr}");
    drop(client);
    program.wait_for("its reader left");
    program.terminate();
    assert!(!path.exists());

    std::fs::write(&path, "mine").unwrap();
    let (code, _, stderr) = run(&["sim:mstp", "-q", "--unix", path_arg]);
    assert_eq!(code, 1);
    assert!(stderr.contains("is not a socket"), "{stderr}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn tshark_reads_a_unix_socket() {
    if tool("tshark").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("sharkfin.sock");
    let program = Program::start(["sim:mstp", "--unix", path.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let output =
        Command::new("tshark").args(["-i", path.to_str().unwrap(), "-c", "20"]).output().unwrap();
    let says = text(&output.stdout);
    assert_eq!(says.lines().count(), 20, "{}", text(&output.stderr));
}

#[test]
fn history_gives_a_late_reader_the_last_frames_in_order_and_once() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let pty = Pty::new();
    let mut program =
        Program::start([pty.path(), "--fifo", fifo.to_str().unwrap(), "--history", "3600"]);
    program.wait_for("reading mstp");
    let mut early = FifoReader::open(&fifo);
    early.header();
    pty.send(&(0..500).flat_map(numbered_frame).collect::<Vec<_>>());
    early.records(500);
    let mut late = FifoReader::open(&fifo);
    let history = late.records(500);
    pty.send(&(500..600).flat_map(numbered_frame).collect::<Vec<_>>());
    let all = [history, late.records(100)].concat();
    let frames: Vec<_> = all.iter().map(|record| record.data.clone()).collect();
    assert_eq!(frames, (0..600).map(numbered_frame).collect::<Vec<_>>());
    assert!(all.windows(2).all(|two| two[0].time_us <= two[1].time_us));
    program.terminate();
    assert_eq!(late.rest(), []);
}

#[test]
fn history_takes_no_more_memory_than_it_may() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let pty = Pty::new();
    let mut program = Program::start([
        pty.path(),
        "--fifo",
        fifo.to_str().unwrap(),
        "--history=3600",
        "--history-size=1",
    ]);
    program.wait_for("reading mstp");
    let mut early = FifoReader::open(&fifo);
    early.header();
    let total = 20_000;
    for numbers in (0..total).collect::<Vec<_>>().chunks(500) {
        pty.send(&numbers.iter().copied().flat_map(numbered_frame).collect::<Vec<_>>());
        early.records(numbers.len());
    }
    let mut late = FifoReader::open(&fifo);
    program.wait_for_nth(2, "a reader has come");
    program.terminate();
    let records = late.rest();
    // The last ones, without a gap; and of a mebibyte not much is left unused.
    let frames: Vec<_> = records.iter().map(|record| record.data.clone()).collect();
    let first = total - frames.len() as u32;
    assert_eq!(frames, (first..total).map(numbered_frame).collect::<Vec<_>>());
    assert!((4_000..12_000).contains(&frames.len()), "{}", frames.len());
}

/// A frame of nearly 500 octets with a number.
fn large_frame(number: u32) -> Vec<u8> {
    mstp(5, 1, 2, &[&number.to_be_bytes()[..], &[0x22; 476]].concat())
}

/// A program with a FIFO, and with a reader that takes all that it is sent.
struct WithHistory {
    pty: Pty,
    program: Program,
    fifo: std::path::PathBuf,
    swift: FifoReader,
    sent: u32,
    _dir: TempDir,
}

impl WithHistory {
    fn new(more: &[&str]) -> Self {
        let (pty, dir) = (Pty::new(), TempDir::new().unwrap());
        let fifo = dir.path().join("sharkfin");
        let args = [pty.path(), "--history=3600", "--fifo", fifo.to_str().unwrap()];
        let program = Program::start([&args[..], more].concat());
        program.wait_for("reading mstp");
        let mut swift = FifoReader::open(&fifo);
        swift.header();
        Self { pty, program, fifo, swift, sent: 0, _dir: dir }
    }

    fn send(&mut self, count: u32) {
        for _ in 0..count / 20 {
            let numbers = self.sent..self.sent + 20;
            self.pty.send(&numbers.flat_map(large_frame).collect::<Vec<_>>());
            self.swift.records(20);
            self.sent += 20;
        }
    }

    fn memory_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.program.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn stalled_readers_share_one_history() {
    let mut rig = WithHistory::new(&["--history-size=8", "--buffer-size=1"]);
    // Far more than it holds.
    rig.send(12_000);
    let before = rig.memory_kb();
    let mut stalled = Vec::new();
    let readers = if full() { 6 } else { 3 };
    for number in 1..=readers {
        stalled.push(FifoReader::open(&rig.fifo));
        rig.program.wait_for_nth(1 + number, "a reader has come");
        rig.send(12_000);
    }
    let more = rig.memory_kb() - before;
    // What six queues may take, and what the allocator makes of it; no history for each.
    assert!(more < readers as u64 * 1024 * 2, "{more} kB more");
    rig.program.terminate();
    drop((stalled, rig.swift));
    for line in rig.program.stderr().iter().filter(|line| line.contains("packets framed")) {
        check_account(line);
    }
}

#[test]
fn a_slow_reader_gets_history_and_what_came_meanwhile_in_order_and_once() {
    let mut rig = WithHistory::new(&["--history-size=6", "--buffer-size=16"]);
    rig.send(10_000);
    let mut slow = FifoReader::open(&rig.fifo);
    rig.program.wait_for_nth(2, "a reader has come");
    // While it does not read all that it is to get leaves the history.
    rig.send(8_000);
    let numbers = |reader: &mut FifoReader, count| {
        let records = reader.records(count);
        let number = |record: Record| record.data[8..12].try_into().map(u32::from_be_bytes);
        records.into_iter().map(|record| number(record).unwrap()).collect::<Vec<_>>()
    };
    let first = numbers(&mut slow, 1)[0];
    assert!((1..9_000).contains(&first), "{first}");
    let rest = numbers(&mut slow, (rig.sent - first - 1) as usize);
    assert_eq!(rest, (first + 1..rig.sent).collect::<Vec<_>>());
    rig.send(20);
    assert_eq!(numbers(&mut slow, 20), (rig.sent - 20..rig.sent).collect::<Vec<_>>());
    rig.program.terminate();
    assert_eq!(slow.rest(), []);
    let line = rig.program.wait_for(&format!("{} packets framed", rig.sent - first));
    assert_eq!(check_account(&line)[2..], [0, 0]);
}

#[test]
fn statistics_begin_with_the_first_packet_of_the_history() {
    let (pty, dir) = (Pty::new(), TempDir::new().unwrap());
    let socket = dir.path().join("socket");
    let socket_arg = socket.to_str().unwrap();
    let args = [pty.path(), "--history=3600", "--format=pcapng", "--unix", socket_arg];
    let mut program = Program::start(args);
    program.wait_for("reading mstp");
    let mut early = UnixStream::connect(&socket).unwrap();
    program.wait_for("a reader has come");
    pty.send(&numbered_frame(1));
    early.set_read_timeout(Some(LONG)).unwrap();
    let (frame, mut octets) = (numbered_frame(1), Vec::new());
    while !octets.windows(frame.len()).any(|window| window == frame) {
        let mut chunk = [0; 4096];
        let len = read_some(&mut early, &mut chunk);
        octets.extend_from_slice(&chunk[..len]);
    }
    let mut late = UnixStream::connect(&socket).unwrap();
    program.wait_for_nth(2, "a reader has come");
    program.terminate();
    let mut octets = Vec::new();
    late.read_to_end(&mut octets).unwrap();
    let word = |at: usize| u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap());
    let time = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
    let (mut at, mut packet, mut start) = (0, None, None);
    while at < octets.len() {
        match word(at) {
            6 => packet = Some(time(at + 12)),
            // The first option, isb_starttime.
            5 => start = Some(time(at + 24)),
            _ => {}
        }
        at += word(at + 4) as usize;
    }
    assert!(packet.is_some());
    assert_eq!(start, packet);
}

#[test]
fn history_ends_at_its_seconds() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let pty = Pty::new();
    let program = Program::start([pty.path(), "--fifo", fifo.to_str().unwrap(), "--history", "1"]);
    program.wait_for("reading mstp");
    let mut early = FifoReader::open(Path::new(&fifo));
    early.header();
    pty.send(&numbered_frame(1));
    early.records(1);
    std::thread::park_timeout(Duration::from_millis(1100));
    let mut late = FifoReader::open(&fifo);
    late.header();
    pty.send(&numbered_frame(2));
    assert_eq!(late.records(1)[0].data, numbered_frame(2), "older than a second");
}

#[test]
fn a_stalled_client_has_whole_records_when_the_program_ends() {
    for len in [480, 123, 77] {
        let dir = TempDir::new().unwrap();
        let (path, port) = (dir.path().join("socket"), free_port());
        let pty = Pty::new();
        let unix = path.to_str().unwrap();
        let mut program = Program::start([pty.path(), "--unix", unix, "--tcp", &port.to_string()]);
        program.wait_for("reading mstp");
        let mut clients: [(String, Box<dyn Read>); 2] = [
            (format!("{unix}: "), Box::new(UnixStream::connect(&path).unwrap())),
            (format!(":{port}: "), Box::new(connect(port))),
        ];
        program.wait_for_nth(2, "a reader has come");
        let frame = mstp(5, 1, 2, &vec![0x22; len]);
        for (name, _) in &clients {
            let is_slow = |line: &String| line.contains(name) && line.contains("reader too slow");
            while !program.stderr().iter().any(is_slow) {
                pty.send(&frame);
            }
        }
        program.terminate();
        for (name, client) in &mut clients {
            let mut octets = Vec::new();
            client.read_to_end(&mut octets).unwrap();
            let records = pcap_records(&octets);
            let lines = program.stderr();
            let line = lines.iter().find(|l| l.contains(&*name) && l.contains("framed")).unwrap();
            assert!(line.contains("ended before its reader took all"), "{line}");
            assert_eq!(records.len() as u64, check_account(line)[1], "{line}");
        }
    }
}

#[test]
fn clients_that_say_no_more_are_served_until_they_close() {
    let (dir, port, pty) = (TempDir::new().unwrap(), free_port(), Pty::new());
    let unix = dir.path().join("socket");
    let mut program =
        Program::start([pty.path(), "--tcp", &port.to_string(), "--unix", unix.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let (tcp, unix) = (connect(port), UnixStream::connect(&unix).unwrap());
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    unix.shutdown(std::net::Shutdown::Write).unwrap();
    program.wait_for_nth(2, "a reader has come");
    let mut clients: [Box<dyn Read>; 2] = [Box::new(tcp), Box::new(unix)];
    pty.send(&numbered_frame(0));
    for client in &mut clients {
        assert_eq!(records(client, 1)[0].data, numbered_frame(0));
    }
    for number in 1..100 {
        pty.send(&numbered_frame(number));
        for client in &mut clients {
            assert_eq!(record(client).data, numbered_frame(number));
        }
    }
    // Nor does it cost anything to know.
    let quiet = Duration::from_millis(300);
    eventually("rest", || {
        let before = program.wakeups();
        std::thread::park_timeout(quiet);
        (program.wakeups() == before).then_some(())
    });
    let [tcp, unix] = clients;
    drop(unix);
    program.wait_for("its reader left");
    drop(tcp);
    pty.send(&numbered_frame(100));
    program.wait_for_nth(2, "its reader left");
    program.terminate();
}

#[test]
fn programs_whose_input_is_empty_get_all_packets() {
    let (dir, port, pty) = (TempDir::new().unwrap(), free_port(), Pty::new());
    let unix = dir.path().join("socket");
    let unix = unix.to_str().unwrap();
    let port = port.to_string();
    let args = [pty.path(), "--tcp", &port, "--unix", unix, "-c", "50"];
    let mut program = Program::start(args);
    program.wait_for("reading mstp");
    let socat = format!("UNIX:{unix}");
    let commands = [
        vec!["ncat", "127.0.0.1", &port],
        vec!["ncat", "-U", unix],
        vec!["socat", "-t60", "-", &socat],
    ];
    let mut children = Vec::new();
    for command in &commands {
        let Some(mut tool) = tool(command[0]) else { continue };
        let tool = tool.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        children.push(tool.spawn().unwrap());
        program.wait_for_nth(children.len(), "a reader has come");
    }
    for number in 0..50 {
        pty.send(&numbered_frame(number));
        std::thread::park_timeout(Duration::from_millis(2));
    }
    // It ends behind the last one, which closes their connections.
    program.wait();
    for (child, command) in children.into_iter().zip(&commands) {
        let output = child.wait_with_output().unwrap();
        assert_eq!(pcap_records(&output.stdout).len(), 50, "{command:?}");
    }
}

#[test]
fn a_unix_socket_that_is_removed_or_moved_is_made_again_as_it_was() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("sharkfin.sock");
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "--unix", path.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let mut first = UnixStream::connect(&path).unwrap();
    program.wait_for("a reader has come");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o606)).unwrap();
    std::fs::remove_file(&path).unwrap();
    program.wait_for("was removed; made again");
    let mut second = UnixStream::connect(&path).unwrap();
    program.wait_for_nth(2, "a reader has come");
    std::fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    program.wait_for_nth(2, "was removed; made again");
    let mut third = UnixStream::connect(&path).unwrap();
    program.wait_for_nth(3, "a reader has come");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o606, "its mode is kept");
    pty.send(&numbered_frame(1));
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(records(client, 1)[0].data, numbered_frame(1));
    }
    // While nothing can be made it waits.
    program.limit_descriptors(5);
    std::fs::remove_file(&path).unwrap();
    program.wait_for("Too many open files");
    program.limit_descriptors(1000);
    program.wait_for_nth(3, "was removed; made again");
    program.terminate();
    assert!(!path.exists());
}

#[test]
fn what_somebody_puts_in_the_place_of_a_unix_socket_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let (path, file) = (dir.path().join("sharkfin.sock"), dir.path().join("precious"));
    let mut program = Program::start(["sim:mstp", "--unix", path.to_str().unwrap()]);
    program.wait_for("reading mstp");
    std::fs::write(&file, "mine").unwrap();
    std::fs::rename(&file, &path).unwrap();
    assert_eq!(program.wait().code(), Some(1));
    program.wait_for("was removed, and cannot be made again: Address already in use");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}
