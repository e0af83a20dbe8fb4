//! A program that nobody looks after: ports that come and go, a clock that is set, signals,
//! systemd, a full disk.

use crate::clock::FakeClock;
use crate::common::*;
use rustix::process::Signal;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a port's return may take: far below a second, after which it is looked for anyway.
const AT_ONCE: Duration = Duration::from_millis(900);
const HOUR_NS: u64 = 3_600_000_000_000;

/// A packet of a pcapng stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Noted {
    time_ns: u64,
    data: Vec<u8>,
    comment: Option<String>,
}

/// The packets of a pcapng stream as far as it has come, and how many trailers follow them.
fn pcapng(octets: &[u8]) -> (Vec<Noted>, usize) {
    let (mut packets, mut trailers) = (Vec::new(), 0);
    let mut rest = octets;
    while rest.len() >= 12 {
        let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
        let len = word(4) as usize;
        if rest.len() < len {
            break;
        }
        match word(0) {
            6 => {
                let captured = word(20) as usize;
                packets.push(Noted {
                    time_ns: u64::from(word(12)) << 32 | u64::from(word(16)),
                    data: rest[28..28 + captured].to_vec(),
                    comment: comment(&rest[28 + captured.next_multiple_of(4)..len - 4]),
                });
            }
            5 => trailers += 1,
            _ => {}
        }
        rest = &rest[len..];
    }
    (packets, trailers)
}

fn comment(mut options: &[u8]) -> Option<String> {
    while options.len() >= 4 {
        let half = |at: usize| u16::from_ne_bytes(options[at..at + 2].try_into().unwrap());
        let (code, len) = (half(0), usize::from(half(2)));
        if code == 1 {
            return Some(text(&options[4..4 + len]));
        }
        options = &options[4 + len.next_multiple_of(4)..];
    }
    None
}

/// The packets of a capture file once there are as many.
fn packets(file: &Path, count: usize) -> Vec<Noted> {
    eventually("as many packets in the file", || {
        let packets = pcapng(&std::fs::read(file).ok()?).0;
        (packets.len() >= count).then_some(packets)
    })
}

fn comments(packets: &[Noted]) -> Vec<Option<&str>> {
    packets.iter().map(|packet| packet.comment.as_deref()).collect()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_port_that_is_missing_at_the_start_is_waited_for_if_asked() {
    let dir = TempDir::new().unwrap();
    let (by_id, file) = (dir.path().join("serial/by-id"), dir.path().join("a.pcapng"));
    let link = by_id.join("usb-adapter");
    let (code, _, stderr) = run(&[path(&link), "-w", path(&file)]);
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot open: No such file or directory"), "{stderr}");

    let recording = dir.path().join("a.rec");
    let args = [path(&link), "--wait", "-w", path(&file), "--record", path(&recording)];
    let mut program = Program::start(args);
    program.wait_for("usb-adapter: not there; waiting for it to appear");
    // It sleeps meanwhile, but for a look each second.
    let before = program.wakeups();
    std::thread::park_timeout(Duration::from_secs(3));
    let woken = program.wakeups() - before;
    // On a busy machine threads wait for each other too.
    assert!(woken < 60, "{woken} times in 3 s");
    std::fs::create_dir_all(&by_id).unwrap();
    let pty = Pty::new();
    let plugged = Instant::now();
    pty.name(&link);
    program.wait_for("appeared after");
    assert!(plugged.elapsed() < AT_ONCE, "not by the retry timer");
    pty.send(&numbered_frame(0));
    let first = packets(&file, 1);
    assert_eq!((&first[0].data, &first[0].comment), (&numbered_frame(0), &None));
    assert!(program.terminate() < SOON);
    let again = dir.path().join("again.pcapng");
    let (code, _, stderr) = run(&[path(&recording), "-w", path(&again)]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(packets(&again, 1), first);
}

/// As another program does at the start of a machine, to see what is there.
#[test]
fn a_port_that_another_program_has_is_waited_for_too() {
    let dir = TempDir::new().unwrap();
    let (pty, file) = (Pty::new(), dir.path().join("a.pcapng"));
    let mut other = Program::start([pty.path(), "-w", "/dev/null"]);
    other.wait_for("reading mstp");
    let mut program = Program::start([pty.path(), "--wait", "-w", path(&file)]);
    let who =
        format!("used by serialshark (process {}); waiting for it to appear", other.child.id());
    program.wait_for(&who);
    rest(&program);
    other.terminate();
    program.wait_for("appeared after");
    pty.send(&numbered_frame(0));
    assert_eq!(packets(&file, 1)[0].data, numbered_frame(0));
    assert!(program.terminate() < SOON);
}

#[test]
fn a_port_that_may_not_be_opened_is_no_port_that_is_missing() {
    let dir = TempDir::new().unwrap();
    let mut program = Program::start([path(dir.path()), "--wait"]);
    assert_eq!(program.wait().code(), Some(1));
    program.wait_for("is not a serial port");
}

#[test]
fn a_host_that_does_not_answer_yet_is_waited_for_too() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcapng");
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut program = Program::start([&format!("tcp:{address}"), "--wait", "-w", path(&file)]);
    program.wait_for("no connection; waiting for it to appear");
    let listener = std::net::TcpListener::bind(address).unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    connection.write_all(&numbered_frame(0)).unwrap();
    assert_eq!(packets(&file, 1)[0].data, numbered_frame(0));
    program.terminate();
}

#[test]
fn what_cannot_be_opened_for_long_is_said_once() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("port");
    let program = Program::start([path(&link), "--wait"]);
    program.wait_for("not there");
    std::fs::write(&link, "").unwrap();
    program.wait_for("port: is not a serial port");
    let pty = Pty::new();
    std::fs::remove_file(&link).unwrap();
    pty.name(&link);
    program.wait_for("appeared after");
    let said = program.stderr().iter().filter(|line| line.contains("is not a serial")).count();
    assert_eq!(said, 1);
}

#[test]
fn a_port_is_found_again_when_its_directory_went_with_it_and_behind_links() {
    let dir = TempDir::new().unwrap();
    let (by_id, file) = (dir.path().join("serial/by-id"), dir.path().join("a.pcapng"));
    // The user's own link, to udev's, to the port.
    let (own, link) = (dir.path().join("trunk"), by_id.join("usb-adapter"));
    symlink("serial/by-id/usb-adapter", &own).unwrap();
    std::fs::create_dir_all(&by_id).unwrap();
    let mut pty = Pty::new();
    pty.name(&link);
    let mut program = Program::start([path(&own), "-w", path(&file)]);
    program.wait_for("reading mstp");
    for round in 1..=5 {
        drop(pty);
        program.wait_for_nth(round, "waiting for its return");
        std::fs::remove_dir_all(dir.path().join("serial")).unwrap();
        std::fs::create_dir_all(&by_id).unwrap();
        pty = Pty::new();
        let plugged = Instant::now();
        pty.name(&link);
        program.wait_for_nth(round, "is back");
        assert!(plugged.elapsed() < AT_ONCE, "not by the retry timer");
        pty.send(&numbered_frame(round as u32));
        packets(&file, round);
    }
    program.terminate();
}

#[test]
fn with_once_a_port_that_vanishes_is_the_end_and_every_stream_is_complete() {
    let dir = TempDir::new().unwrap();
    let (link, file, fifo) =
        (dir.path().join("port"), dir.path().join("a.pcapng"), dir.path().join("sharkfin"));
    let args = [path(&link), "--once", "--wait", "-w", path(&file), "--fifo", path(&fifo)];
    let mut program = Program::start(args);
    // That it is not there yet is not its end.
    program.wait_for("not there; waiting");
    let pty = Pty::new();
    pty.name(&link);
    program.wait_for("appeared after");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    pty.send(&[&numbered_frame(0)[..], &numbered_frame(4)[..20]].concat());
    packets(&file, 1);
    drop(pty);
    assert_eq!(program.wait().code(), Some(1));
    let says = program.wait_for("is gone: ");
    assert!(says.starts_with("serialshark: ") && says.contains("port: is gone"), "{says}");
    let (packets, trailers) = pcapng(&std::fs::read(&file).unwrap());
    assert_eq!((packets.len(), trailers), (2, 1));
    assert_eq!(packets[1].data, numbered_frame(4)[..20]);
    assert_eq!(reader.rest().len(), 2);
    program.wait_for("finished after");
}

/// The next packet tells of the gap, the log too, and a replay tells the same.
#[test]
fn a_gap_is_told_with_its_length() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (link, file, record) = (at("port"), at("a.pcapng"), at("trunk.rec"));
    let mut pty = Pty::new();
    pty.name(&link);
    let args = [path(&link), "-w", path(&file), "--record", path(&record)];
    let mut program = Program::start(args);
    program.wait_for("reading mstp");
    pty.send(&[&numbered_frame(0)[..], &numbered_frame(4)[..20]].concat());
    packets(&file, 1);
    drop(pty);
    program.wait_for("waiting for its return");
    let gone = Instant::now();
    std::thread::park_timeout(Duration::from_millis(1200));
    pty = Pty::new();
    pty.name(&link);
    let line = program.wait_for("is back after ");
    let at_most = gone.elapsed().as_secs_f64() + 1.0;
    pty.send(&[numbered_frame(1), numbered_frame(2)].concat());
    let live = packets(&file, 4);
    let said = live[2].comment.clone().unwrap();
    let length = said.strip_prefix("port gone for ").unwrap();
    let length = length.strip_suffix(" before this packet").unwrap();
    assert!(line.ends_with(&format!("is back after {length}")), "{line}: {said}");
    let seconds: f64 = length.strip_suffix(" s").unwrap().parse().unwrap();
    assert!((1.2..at_most).contains(&seconds), "{seconds}");
    let cut = Some("damaged: too short, 20 of 44 bytes");
    assert_eq!(comments(&live), [None, cut, Some(&said), None]);
    program.terminate();

    let (code, _, stderr) = run(&[path(&record), "-w", path(&at("again.pcapng"))]);
    assert_eq!(code, 0);
    assert_eq!(packets(&at("again.pcapng"), 4), live);
    assert!(stderr.contains(&format!("is back after {length}")), "{stderr}");
}

/// What it was told of before a packet that it missed, a reader is told of before the next one.
/// Octets that a pipe holds, and how many it may lack when nothing can be written any more.
const PIPE_LEN: u64 = 65_536;
const PAGE_LEN: u64 = 4096;

#[test]
fn a_gap_is_told_to_a_reader_who_missed_what_came_after_it() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (link, file, fifo) = (at("port"), at("a.pcapng"), at("sharkfin"));
    let mut pty = Pty::new();
    pty.name(&link);
    let outputs = ["-w", path(&file), "--fifo", path(&fifo), "--format=pcapng", "-B", "1"];
    let mut program = Program::start([&[path(&link)], &outputs[..]].concat());
    program.wait_for("reading mstp");
    let reader = FifoReader::open(&fifo).fd;
    program.wait_for("a reader has come");
    let mut sent = 0;
    while !program.stderr().iter().any(|line| line.contains("reader too slow")) {
        pty.send(&numbered_frame(sent));
        sent += 1;
    }
    let in_file = |number: u32| {
        eventually("the frame in the file", || {
            let frame = numbered_frame(number);
            let packets = pcapng(&std::fs::read(&file).ok()?).0;
            packets.into_iter().find(|packet| packet.data == frame)
        })
    };
    // What went from the queue into the pipe just now left room in the queue.
    eventually("the pipe is full", || {
        let queued = rustix::io::ioctl_fionread(&reader).unwrap();
        (queued > PIPE_LEN - PAGE_LEN).then_some(())
    });
    // One by one, until there is no room for one any more: it may be that many came at once.
    let name = format!("{}: open for ", path(&fifo));
    let dropped = |number: u32| -> u64 {
        in_file(number);
        let before = program.stderr().iter().filter(|line| line.contains(&name)).count();
        program.signal(Signal::USR1);
        let line = program.wait_for_nth(before + 1, &name);
        let (counts, _) = line.split_once(" dropped").unwrap();
        counts.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (mut before, mut in_a_row) = (dropped(sent - 1), 0);
    while in_a_row < 3 {
        pty.send(&numbered_frame(sent));
        let now = dropped(sent);
        in_a_row = if now > before { in_a_row + 1 } else { 0 };
        (before, sent) = (now, sent + 1);
    }
    drop(pty);
    program.wait_for("waiting for its return");
    pty = Pty::new();
    pty.name(&link);
    program.wait_for("is back after ");
    pty.send(&numbered_frame(sent));
    let said = in_file(sent).comment.unwrap();
    assert!(said.starts_with("port gone for "), "{said}");

    // It reads what is queued, and then what is sent.
    let (missed, mut octets) = (numbered_frame(sent), Vec::new());
    let told = eventually("a packet that tells of the gap", || {
        sent += 1;
        pty.send(&numbered_frame(sent));
        let mut chunk = [0; 65536];
        while let Ok(len @ 1..) = rustix::io::read(&reader, &mut chunk) {
            octets.extend_from_slice(&chunk[..len]);
        }
        let packets = pcapng(&octets).0;
        assert!(packets.iter().all(|packet| packet.data != missed));
        packets.into_iter().find_map(|packet| packet.comment.filter(|told| told.ends_with(&said)))
    });
    assert!(told.contains("packets dropped before this packet"), "{told}");
    program.terminate();
}

fn now_ns() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Whether a time is that of the machine, set forward by so many hours.
fn is_now(time_ns: u64, hours: u64) -> bool {
    (time_ns - hours * HOUR_NS).abs_diff(now_ns()) < LONG.as_nanos() as u64
}

#[test]
fn a_clock_set_forward_is_followed_and_one_set_back_with_the_next_stream() {
    let dir = TempDir::new().unwrap();
    let Some(clock) = FakeClock::new(dir.path()) else { return };
    let at = |name: &str| dir.path().join(name);
    let (file, fifo, record) = (at("a.pcapng"), at("sharkfin"), at("trunk.rec"));
    let pty = Pty::new();
    let mut program = clock.start(&[
        pty.path(),
        "-w",
        path(&file),
        "--fifo",
        path(&fifo),
        "--record",
        path(&record),
    ]);
    let mut sent = 0;
    let mut send = || {
        pty.send(&numbered_frame(sent));
        sent += 1;
        packets(&file, sent as usize)
    };
    assert!(is_now(send()[0].time_ns, 0));
    clock.set("+7200");
    send();
    program.wait_for("the clock was set forward by 7200.000 s");
    assert!(is_now(send()[2].time_ns, 2));
    let mut earlier = FifoReader::open(&fifo);
    earlier.header();
    send();
    assert!(is_now(earlier.record().unwrap().time_us * 1000, 2));

    clock.set("+3600");
    send();
    program.wait_for("the clock was set back by 3600.000 s");
    // Who was there keeps the time, who comes gets the new one.
    let mut later = FifoReader::open(&fifo);
    later.header();
    let live = send();
    assert!(is_now(later.record().unwrap().time_us * 1000, 1));
    let kept = earlier.records(2);
    assert!(kept.iter().all(|record| is_now(record.time_us * 1000, 2)), "{kept:?}");
    assert!(live.windows(2).all(|two| two[0].time_ns <= two[1].time_ns));
    assert!(live[3].time_ns < live[5].time_ns, "they go on");
    assert!(live[1..].iter().all(|packet| is_now(packet.time_ns, 2)));
    let [forward, back] = [
        "the clock was set forward by 7200.000 s before this packet",
        "the clock was set back by 3600.000 s before this packet, which this stream does not follow",
    ];
    assert_eq!(comments(&live), [None, Some(forward), None, None, Some(back), None]);
    program.terminate();

    let (code, _, stderr) = run(&[path(&record), "-w", path(&at("again.pcapng"))]);
    assert_eq!(code, 0);
    assert_eq!(packets(&at("again.pcapng"), 6), live);
    assert!(stderr.contains("trunk.rec: the clock was set back by 3600.000 s"), "{stderr}");
}

/// Waits until nothing has woken the program for longer than any of its timers.
fn rest(program: &Program) {
    eventually("rest", || {
        let before = program.wakeups();
        std::thread::park_timeout(Duration::from_millis(1500));
        (program.wakeups() == before).then_some(())
    });
}

#[test]
fn a_new_stream_dates_the_history_by_the_clock_as_it_is_now() {
    let dir = TempDir::new().unwrap();
    let Some(clock) = FakeClock::new(dir.path()) else { return };
    let (file, fifo) = (dir.path().join("a.pcapng"), dir.path().join("sharkfin"));
    let pty = Pty::new();
    let args = [pty.path(), "-w", path(&file), "--fifo", path(&fifo), "--history", "3600"];
    let program = clock.start(&args);
    pty.send(&numbered_frame(0));
    packets(&file, 1);
    clock.set("-3600");
    pty.send(&numbered_frame(1));
    packets(&file, 2);
    program.wait_for("the clock was set back");
    let records = FifoReader::open(&fifo).records(2);
    assert!(records.iter().all(|record| is_now(record.time_us * 1000 + HOUR_NS, 0)), "{records:?}");
}

/// The files of the row `trunk_*.pcapng`, oldest first.
fn row(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcapng"))
        .collect();
    files.sort();
    files
}

#[test]
fn sighup_starts_the_next_file_on_a_quiet_line_too() {
    let dir = TempDir::new().unwrap();
    let clock = FakeClock::new(dir.path());
    let files = || row(dir.path());
    let file = dir.path().join("trunk.pcapng");
    let pty = Pty::new();
    let args = [pty.path(), "-w", path(&file), "-G", "86400"];
    let mut program = match &clock {
        Some(clock) => clock.start(&args),
        None => Program::start(args),
    };
    program.wait_for("reading mstp");
    // A file without packets stays as it is.
    program.signal(Signal::HUP);
    rest(&program);
    assert_eq!(files().len(), 1);
    pty.send(&numbered_frame(0));
    packets(&eventually("a file", || files().pop()), 1);
    for round in 1..=3 {
        // What was set back meanwhile is right from the next file on.
        if let Some(clock) = &clock {
            clock.set(&format!("-{}", round * 3600));
        }
        // The last time long after anything else that would wake the file's thread.
        if round == 3 {
            rest(&program);
        }
        program.signal(Signal::HUP);
        eventually("the next file", || (files().len() == round + 1).then_some(()));
        let complete = &files()[round - 1];
        eventually("its trailer", || (pcapng(&std::fs::read(complete).ok()?).1 == 1).then_some(()));
        pty.send(&numbered_frame(round as u32));
        let packet = packets(&files()[round], 1).remove(0);
        assert_eq!((packet.data, packet.comment), (numbered_frame(round as u32), None));
        if clock.is_some() {
            assert!(is_now(packet.time_ns + round as u64 * HOUR_NS, 0), "{}", packet.time_ns);
        }
    }
    program.terminate();
    program.wait_for("4 packets framed = 4 delivered + 0 dropped + 0 abandoned");
}

#[test]
fn sigusr1_logs_the_counters_of_ports_and_streams() {
    let dir = TempDir::new().unwrap();
    let (fifo, file) = (dir.path().join("sharkfin"), dir.path().join("a.pcapng"));
    let pty = Pty::new();
    let args = [pty.path(), "-w", path(&file), "--fifo", path(&fifo)];
    let mut program = Program::start(args);
    program.wait_for("reading mstp");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    let mut damaged = numbered_frame(4);
    damaged[20] ^= 1;
    pty.send(&[&[0, 1, 2], &numbered_frame(1)[..], &damaged].concat());
    reader.records(2);
    packets(&file, 2);
    program.signal(Signal::USR1);
    let port = program.wait_for("octets =");
    assert!(
        port.ends_with(
            "2 frames, 1 damaged; 55 octets = 8 in frames + 44 in damaged ones + \
             0 padding + 3 skipped"
        ),
        "{port}"
    );
    for name in ["a.pcapng", "sharkfin"] {
        let stream = program.wait_for(&format!("{name}: open for "));
        let counts = "s: 2 packets framed = 2 delivered + 0 dropped + 0 queued; \
                      0 octets of memory for its queue";
        assert!(stream.ends_with(counts), "{stream}");
    }
    program.terminate();
    program.wait_for_nth(2, "octets = 8 in frames + 44 in damaged ones");
}

/// The journal's end of the line, and systemd's.
struct FakeSystemd {
    socket: std::os::unix::net::UnixDatagram,
    path: PathBuf,
}

impl FakeSystemd {
    fn new(dir: &Path) -> Self {
        let path = dir.join("notify");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self { socket, path }
    }

    fn start(&self, args: &[&str], watchdog: Option<&str>) -> Program {
        let mut command = Program::command();
        command.args(args).stdout(std::process::Stdio::null());
        command.env("NOTIFY_SOCKET", &self.path);
        if let Some(us) = watchdog {
            command.env("WATCHDOG_USEC", us);
        }
        Program::spawn(command)
    }

    /// The next notification.
    fn heard(&self) -> String {
        let mut message = [0; 4096];
        let len = self.socket.recv(&mut message).expect("a notification");
        text(&message[..len])
    }

    fn hear_until(&self, wanted: &str) {
        while self.heard() != wanted {}
    }
}

#[test]
fn systemd_hears_which_outputs_have_failed_and_so_does_who_asks_for_the_exit_status() {
    let dir = TempDir::new().unwrap();
    let (systemd, fifo) = (FakeSystemd::new(dir.path()), dir.path().join("sharkfin"));
    let pty = Pty::new();
    let args = [pty.path(), "--fifo", path(&fifo), "-w", "/nowhere/a.pcap", "-w", "/dev/full"];
    let mut program = systemd.start(&args, None);
    let stands = "STATUS=0 packets, 0 dropped, 0 readers";
    let nowhere =
        "failed: /nowhere/a.pcap: cannot write: No such file or directory; mkdir -p /nowhere";
    assert_eq!(systemd.heard(), format!("READY=1\n{stands}; {nowhere}"));
    let full = "failed: /dev/full: cannot write: No space left on device";
    systemd.hear_until(&format!("{stands}; {nowhere}; {full}"));
    // The rest goes on.
    FifoReader::open(&fifo).header();
    program.signal(rustix::process::Signal::TERM);
    assert_eq!(program.wait().code(), Some(1));
}

#[test]
fn systemd_hears_that_it_is_ready_how_things_stand_and_that_it_stops() {
    let dir = TempDir::new().unwrap();
    let (systemd, fifo) = (FakeSystemd::new(dir.path()), dir.path().join("sharkfin"));
    let pty = Pty::new();
    let mut program = systemd.start(&[pty.path(), "--fifo", path(&fifo)], None);
    assert_eq!(systemd.heard(), "READY=1\nSTATUS=0 packets, 0 dropped, 0 readers");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    assert_eq!(systemd.heard(), "STATUS=0 packets, 0 dropped, 1 readers");
    pty.send(&numbered_frame(1));
    reader.records(1);
    drop(reader);
    assert_eq!(systemd.heard(), "STATUS=1 packets, 0 dropped, 0 readers");
    // Not by ticking.
    program.wait_for("its reader left");
    rest(&program);
    program.terminate();
    assert_eq!(systemd.heard(), "STOPPING=1\nSTATUS=1 packets, 0 dropped, 0 readers");
}

#[test]
fn a_service_goes_on_when_it_is_told_to_reload_and_has_no_files_to_begin() {
    let dir = TempDir::new().unwrap();
    let (systemd, fifo) = (FakeSystemd::new(dir.path()), dir.path().join("sharkfin"));
    let pty = Pty::new();
    let mut program = systemd.start(&[pty.path(), "--fifo", path(&fifo)], None);
    systemd.heard();
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    program.signal(Signal::HUP);
    // Heard after SIGHUP, if that is not the end.
    program.signal(Signal::USR1);
    program.wait_for("queued");
    pty.send(&numbered_frame(1));
    assert_eq!(reader.records(1)[0].data, numbered_frame(1));
    program.terminate();
}

#[test]
fn systemd_gets_the_signs_of_life_that_it_waits_for() {
    let dir = TempDir::new().unwrap();
    let systemd = FakeSystemd::new(dir.path());
    let pty = Pty::new();
    let mut program = systemd.start(&[pty.path()], Some("1000000"));
    systemd.hear_until("READY=1\nSTATUS=0 packets, 0 dropped, 0 readers");
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(systemd.heard(), "WATCHDOG=1\nSTATUS=0 packets, 0 dropped, 0 readers");
    }
    let took = start.elapsed();
    assert!(took > Duration::from_secs(2) && took < Duration::from_secs(5), "{took:?}");
    pty.send(&numbered_frame(1));
    systemd.hear_until("WATCHDOG=1\nSTATUS=1 packets, 0 dropped, 0 readers");
    program.terminate();
    systemd.hear_until("STOPPING=1\nSTATUS=1 packets, 0 dropped, 0 readers");
    // While it is found out what is spoken, on a port that is not there.
    let none = dir.path().join("none");
    let args = [path(&none), "--wait", "-p", "auto"];
    let mut program = systemd.start(&args, Some("500000"));
    systemd.hear_until("READY=1\nSTATUS=listening to find out what is spoken");
    for _ in 0..3 {
        assert_eq!(systemd.heard(), "WATCHDOG=1");
    }
    program.terminate();
}

#[test]
fn the_journal_gets_priorities_and_nobody_else() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new().unwrap();
    let (log, missing) = (dir.path().join("log"), dir.path().join("missing"));
    let said = |is_journal: bool, args: &[&str]| {
        let file = std::fs::File::create(&log).unwrap();
        let inode = file.metadata().unwrap().ino() + u64::from(!is_journal);
        let mut command = Program::command();
        command.args(args).stdout(std::process::Stdio::null()).stderr(file.try_clone().unwrap());
        command.env("JOURNAL_STREAM", format!("{}:{inode}", file.metadata().unwrap().dev()));
        command.status().unwrap();
        std::fs::read_to_string(&log).unwrap()
    };
    let trunk = ["sim:mstp", "-c", "1"];
    let journal = said(true, &trunk);
    assert!(journal.starts_with("<6>sim:mstp: reading mstp at 38400 baud\n"), "{journal}");
    assert!(said(false, &trunk).starts_with("serialshark: sim:mstp: reading"));
    let error = said(true, &[path(&missing)]);
    let mut lines = error.lines();
    assert!(lines.next().unwrap().starts_with("<3>/"), "{error}");
    assert!(lines.next().unwrap().starts_with("<3>  hint: "), "{error}");
    let unread = dir.path().join("octets");
    std::fs::write(&unread, "serialshark recording 1\nprotocol=mstp baud=9600 port=x\nO").unwrap();
    assert!(said(true, &[path(&unread)]).contains("\n<4>warn: "));
}

/// A wrong rate, or A and B swapped: octets come, and nothing among them is a frame.
#[test]
fn octets_that_make_no_sense_are_told_of_and_so_is_that_they_do_again() {
    let dir = TempDir::new().unwrap();
    let systemd = FakeSystemd::new(dir.path());
    let pty = Pty::new();
    let mut program = systemd.start(&[pty.path(), "-b", "38400"], None);
    program.wait_for("reading mstp");
    let noise = Random(7).octets(400);
    let start = Instant::now();
    let wrong = eventually("a line about it", || {
        pty.send(&noise);
        std::thread::park_timeout(Duration::from_millis(100));
        program.stderr().into_iter().find(|line| line.contains("no mstp frame"))
    });
    assert!(start.elapsed() >= Duration::from_secs(3), "{wrong}");
    assert!(wrong.contains("at 38400 baud: check the rate (-b), and that A and B"), "{wrong}");
    let status = loop {
        let status = systemd.heard();
        if status.contains("no mstp frames") {
            break status;
        }
    };
    assert!(status.contains("check the rate"), "{status}");
    program.signal(Signal::USR1);
    program.wait_for("no mstp frames: check the rate");
    pty.send(&noise);
    pty.send(&numbered_frame(1));
    program.wait_for("now receiving mstp frames");
    program.terminate();
    let lines = program.stderr();
    let told = lines.iter().filter(|line| line.contains("no mstp frame at")).count();
    assert_eq!(told, 1, "{lines:#?}");
}

#[test]
fn a_line_that_says_nothing_is_told_of_once() {
    let pty = Pty::new();
    let mut program = Program::start([pty.path()]);
    let silent = program.wait_for("nothing received for 10.0");
    assert!(silent.contains("check that the adapter is wired"), "{silent}");
    rest(&program);
    let before = program.wakeups();
    std::thread::park_timeout(Duration::from_millis(500));
    assert_eq!(program.wakeups(), before, "a timer that fires once");
    program.terminate();
}

/// A service that waits says for what.
#[test]
fn systemd_hears_why_there_is_no_port() {
    let dir = TempDir::new().unwrap();
    let systemd = FakeSystemd::new(dir.path());
    let link = dir.path().join("ttyUSB0");
    let fifo = dir.path().join("sharkfin");
    let mut program = systemd.start(&[path(&link), "--wait", "--fifo", path(&fifo)], None);
    let stands = "0 packets, 0 dropped, 0 readers";
    let hear = |wanted: &str| loop {
        let status = systemd.heard();
        if status.contains(wanted) {
            break status;
        }
    };
    let status = hear("ttyUSB0: not there");
    assert!(status.contains(&format!("{stands}; {}: ", link.display())), "{status}");
    let pty = Pty::new();
    pty.name(&link);
    systemd.hear_until(&format!("STATUS={stands}"));
    drop(pty);
    hear("hung up");
    program.terminate();
}

/// As the unit starts it, killed and started anew.
#[test]
fn a_service_that_records_is_started_again_and_keeps_what_it_had() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("ttyUSB0");
    let at = |name: &str| dir.path().join(name);
    let config = format!("port = '{}'\nrecord = 'trunk.rec'\nwrite = 'trunk.pcap'\n", path(&link));
    std::fs::write(at("trunk.toml"), config).unwrap();
    let systemd = FakeSystemd::new(dir.path());
    let unit = std::fs::read_to_string("packaging/serialshark@.service").unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let line = line.replace("/etc/serialshark/%i.toml", path(&at("trunk.toml")));
    let line = line.replace("/run/serialshark/%i.fifo", path(&at("trunk.fifo")));
    for (number, name) in (1..).zip(["trunk.rec", "trunk_00002.rec", "trunk_00003.rec"]) {
        // A new one each time: of a pseudo-terminal the kernel does not forget who was killed.
        let pty = Pty::new();
        pty.name(&link);
        let mut command = Program::command();
        command.args(line.split(' ').skip(1)).current_dir(dir.path());
        command.env("NOTIFY_SOCKET", &systemd.path);
        let mut program = Program::spawn(command);
        program.wait_for("reading mstp");
        pty.send(&numbered_frame(number));
        for name in [name, &name.replace(".rec", ".pcap")] {
            eventually("a frame in the file", || {
                std::fs::read(at(name)).unwrap().ends_with(&numbered_frame(number)).then_some(())
            });
        }
        program.signal(Signal::KILL);
        program.wait();
    }
    for (number, name) in (1..).zip(["trunk.rec", "trunk_00002.rec", "trunk_00003.rec"]) {
        let again = at("again.pcap");
        let mut replay = Program::start([path(&at(name)), "--force", "-w", path(&again)]);
        assert_eq!(replay.wait().code(), Some(0), "{:?}", replay.stderr());
        for file in [again, at(&name.replace(".rec", ".pcap"))] {
            let records = pcap_records(&std::fs::read(&file).unwrap());
            assert_eq!(records.len(), 1, "{}", file.display());
            assert_eq!(records[0].data, numbered_frame(number));
        }
    }
}
