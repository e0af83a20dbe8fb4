//! Rotating capture files: nothing lost or doubled between them, each complete by itself, and
//! nothing touched that is not ours.

use crate::common::*;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A capture file of the file set `trunk.pcapng`, taken apart.
#[derive(Debug)]
struct Captured {
    number: u64,
    octets: Vec<u8>,
    frames: Vec<Vec<u8>>,
    /// Where the last packet ends.
    end_of_packets: usize,
    /// Octets of the first packet's block.
    first_block: usize,
    statistics: Vec<Statistics>,
    /// Whether it ends inside a block.
    is_cut: bool,
}

#[derive(Debug, Default)]
struct Statistics {
    start_ns: u64,
    received: u64,
    dropped: u64,
    delivered: u64,
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

fn take_apart(number: u64, octets: Vec<u8>) -> Captured {
    let mut captured = Captured {
        number,
        octets: Vec::new(),
        frames: Vec::new(),
        end_of_packets: 0,
        first_block: 0,
        statistics: Vec::new(),
        is_cut: false,
    };
    let mut at = 0;
    while at < octets.len() {
        let len = word(&octets, at + 4).unwrap_or(u32::MAX) as usize;
        let Some(block) = octets.get(at..at.saturating_add(len)) else {
            captured.is_cut = true;
            break;
        };
        let kind = word(block, 0).unwrap();
        assert_eq!(word(block, len - 4), Some(len as u32), "no block at {at}");
        assert_eq!(at == 0, kind == 0x0a0d_0d0a, "one section header, first of all");
        at += len;
        match kind {
            6 => {
                let captured_len = word(block, 20).unwrap() as usize;
                captured.frames.push(block[28..28 + captured_len].to_vec());
                captured.end_of_packets = at;
                if captured.first_block == 0 {
                    captured.first_block = len;
                }
            }
            5 => captured.statistics.push(statistics(&block[20..len - 4])),
            _ => {}
        }
    }
    captured.octets = octets;
    captured
}

fn statistics(mut options: &[u8]) -> Statistics {
    let mut found = Statistics::default();
    while options.len() >= 4 {
        let half = |at: usize| u16::from_ne_bytes(options[at..at + 2].try_into().unwrap());
        let (code, len) = (half(0), usize::from(half(2)));
        let value = &options[4..4 + len];
        let number = || u64::from_ne_bytes(value.try_into().unwrap());
        match code {
            2 => {
                let high_low = |at| u64::from(word(value, at).unwrap());
                found.start_ns = high_low(0) << 32 | high_low(4);
            }
            4 => found.received = number(),
            5 => found.dropped = number(),
            8 => found.delivered = number(),
            _ => {}
        }
        options = &options[4 + len.next_multiple_of(4)..];
    }
    found
}

/// The number in `trunk_00001_20261123190000.pcapng`.
fn number(name: &str) -> Option<u64> {
    let middle = name.strip_prefix("trunk_")?.strip_suffix(".pcapng")?;
    let (number, time) = middle.split_once('_')?;
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    let plausible = time.len() == 14 && digits(time) && &time[4..6] <= "12";
    (number.len() == 5 && plausible).then(|| number.parse().ok()).flatten()
}

/// The regular files of the file set, by number.
fn files(dir: &Path) -> Vec<(u64, PathBuf)> {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_type().unwrap().is_file())
        .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    found.sort();
    found
}

fn captured(dir: &Path) -> Vec<Captured> {
    let read = |path: &Path| std::fs::read(path).unwrap_or_default(); // just deleted, perhaps
    files(dir).iter().map(|(number, path)| take_apart(*number, read(path))).collect()
}

fn frames(files: &[Captured]) -> Vec<Vec<u8>> {
    files.iter().flat_map(|file| file.frames.clone()).collect()
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    numbers.map(numbered_frame).collect()
}

fn judged_by_capinfos(dir: &Path) {
    for (_, path) in files(dir) {
        let Some(mut capinfos) = tool("capinfos") else { return };
        let output = capinfos.arg("-Mcr").arg(&path).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        let packets = take_apart(0, std::fs::read(&path).unwrap()).frames.len();
        let says = text(&output.stdout);
        assert!(
            says.lines().any(|line| {
                line.starts_with("Number of packets") && line.ends_with(&format!(" {packets}"))
            }),
            "{packets}: {says}"
        );
    }
}

fn start(pty: &Pty, dir: &Path, more: &[&str]) -> Program {
    let file = dir.join("trunk.pcapng");
    let mut args = vec![pty.path(), "-w", file.to_str().unwrap()];
    args.extend(more);
    let program = Program::start(args);
    program.wait_for("reading mstp");
    program
}

fn send(pty: &Pty, numbers: std::ops::Range<u32>) {
    pty.send(&numbered(numbers).concat());
}

/// Waits until frame number `last` is in a file.
fn arrived(dir: &Path, last: u32) {
    let last = numbered_frame(last);
    eventually("the last frame in a file", || {
        frames(&captured(dir)).last().is_some_and(|frame| *frame == last).then_some(())
    });
}

#[test]
fn by_size_every_frame_is_there_once_and_in_order() {
    const LIMIT: usize = 3000;
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let mut program = start(&pty, dir.path(), &["-C", "3k"]);
    send(&pty, 0..1000);
    arrived(dir.path(), 999);
    program.terminate();
    let files = captured(dir.path());
    assert_eq!(frames(&files), numbered(0..1000));
    assert!(files.len() > 10);
    for (i, file) in files.iter().enumerate() {
        assert_eq!(file.number, i as u64 + 1);
        assert!(!file.is_cut && file.end_of_packets <= LIMIT, "{file:?}");
        assert!(file.octets.len() <= LIMIT + 100, "the trailer is short");
        if let Some(next) = files.get(i + 1) {
            assert!(file.end_of_packets + next.first_block > LIMIT, "switched too early");
        }
        let [statistics] = &file.statistics[..] else { panic!("no trailer: {file:?}") };
        let own = file.frames.len() as u64;
        assert_eq!((statistics.received, statistics.delivered), (own, own));
        assert_eq!(statistics.dropped, 0);
    }
    program.wait_for("1000 packets framed = 1000 delivered + 0 dropped + 0 abandoned");
    judged_by_capinfos(dir.path());
}

#[test]
fn the_trailers_together_account_for_every_packet_of_an_overrun_too() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    // The least queue, and a file for each few packets, so that the writer falls behind.
    let mut program = start(&pty, dir.path(), &["-C", "1k", "--buffer-size", "1"]);
    let flood = numbered_frame(1).repeat(500);
    eventually("an overrun", || {
        pty.send(&flood);
        program.stderr().iter().any(|line| line.contains("dropping packets")).then_some(())
    });
    // One more packet after it, which may tell of the drops.
    send(&pty, 0..1);
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(0));
    let files = captured(dir.path());
    let sum = |count: fn(&Statistics) -> u64| -> u64 {
        files.iter().map(|file| count(&file.statistics[0])).sum()
    };
    let (received, delivered, dropped) =
        (sum(|all| all.received), sum(|all| all.delivered), sum(|all| all.dropped));
    assert!(dropped > 0 && received == delivered + dropped);
    assert!(files.iter().all(|file| file.statistics[0].delivered == file.frames.len() as u64));
    program.wait_for(&format!(
        "{received} packets framed = {delivered} delivered + {dropped} dropped + 0 abandoned"
    ));
}

#[test]
fn a_file_takes_one_frame_at_least() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let mut program = start(&pty, dir.path(), &["--rotate-size", "1k", "-c", "5"]);
    let large = mstp(5, 1, 2, &[0x22; 490]);
    let larger: Vec<_> = (0..5).map(|_| large.clone()).collect();
    // Header and one such frame are below the limit, with two they are above it.
    pty.send(&larger.concat());
    assert_eq!(program.wait().code(), Some(0));
    let files = captured(dir.path());
    assert_eq!(frames(&files), larger);
    assert!(files.iter().all(|file| file.frames.len() == 1));
}

#[test]
fn classic_pcap_rotates_as_well() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let path = dir.path().join("trunk.pcap");
    let args = [pty.path(), "-w", path.to_str().unwrap(), "-C", "2k", "-c", "500"];
    let mut program = Program::start(args);
    program.wait_for("reading mstp");
    send(&pty, 0..500);
    assert_eq!(program.wait().code(), Some(0));
    let mut paths: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let contents: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(contents.len() > 5 && contents.iter().all(|file| file.len() <= 2000));
    let data: Vec<_> =
        contents.iter().flat_map(|file| pcap_records(file)).map(|record| record.data).collect();
    assert_eq!(data, numbered(0..500));
}

#[test]
fn by_time_a_file_begins_with_the_first_frame_after_the_period() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let mut program = start(&pty, dir.path(), &["-G", "1"]);
    let mut sent = 0;
    eventually("four files", || {
        send(&pty, sent..sent + 1);
        sent += 1;
        (files(dir.path()).len() == 4).then_some(())
    });
    arrived(dir.path(), sent - 1);
    // The period ends without a frame: no further file.
    std::thread::park_timeout(Duration::from_millis(1500));
    program.terminate();
    let files = captured(dir.path());
    assert_eq!(files.len(), 4);
    assert_eq!(frames(&files), numbered(0..sent));
    assert!(files.iter().all(|file| !file.frames.is_empty()));
    // The first file is opened before its capture starts, and its period with it. The others begin at
    // even seconds after that, or later within their second if no frame came sooner: between the first
    // and the last of three there is one whole second.
    let began = |file: &Captured| file.statistics[0].start_ns;
    assert!(began(&files[3]) - began(&files[1]) >= 900_000_000);
    judged_by_capinfos(dir.path());
}

#[test]
fn across_restarts_numbers_go_on_and_only_our_own_files_go() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let foreign = [
        "trunk.pcapng",
        "trunk_00001_20200101000000.pcap",
        "trunk_00001_20200101000000.pcapng.gz",
        "trunk_0001_20200101000000.pcapng",
        "trunk_000001_20200101000000.pcapng",
        "trunk_00001_20201301000000.pcapng",
        "trunk_00001_20200101000000_copy.pcapng",
        "trunk2_00001_20200101000000.pcapng",
        "precious",
    ];
    for name in foreign {
        std::fs::write(at(name), name).unwrap();
    }
    for number in 1..=7 {
        std::fs::write(at(&format!("trunk_0000{number}_20200101000000.pcapng")), "old").unwrap();
    }
    let link = at("trunk_00008_20200101000000.pcapng");
    std::os::unix::fs::symlink(at("precious"), &link).unwrap();
    let directory = at("trunk_00009_20200101000000.pcapng");
    std::fs::create_dir(&directory).unwrap();

    let numbers = || files(dir.path()).iter().map(|(number, _)| *number).collect::<Vec<_>>();
    let ours = || -> Vec<Captured> {
        captured(dir.path()).into_iter().filter(|file| file.number > 9).collect()
    };
    for more in [&["-C", "1k", "-W", "5"][..], &["-G", "3600", "-W", "5"]] {
        let before = numbers();
        let pty = Pty::new();
        let mut program = start(&pty, dir.path(), more);
        let first = eventually("the next file, and the oldest gone", || {
            let numbers = numbers();
            (numbers.len() <= 5 && numbers.last() > before.last())
                .then(|| numbers[numbers.len() - 1])
        });
        assert_eq!(first, 1 + before.last().unwrap().max(&9));
        send(&pty, 0..1);
        eventually("the frame", || (!ours().last()?.frames.is_empty()).then_some(()));
        program.terminate();
    }
    // Two files of ours, three old ones; then one run that replaces them all.
    assert_eq!(numbers(), [5, 6, 7, 10, 11]);
    let pty = Pty::new();
    let mut program = start(&pty, dir.path(), &["-C", "1k", "-W", "5", "-c", "300"]);
    send(&pty, 0..300);
    assert_eq!(program.wait().code(), Some(0));
    let last = ours();
    assert_eq!(last.len(), 5);
    assert_eq!(numbers(), (last[0].number..=last[4].number).collect::<Vec<_>>());
    let kept = frames(&last);
    assert_eq!(kept, numbered(300 - kept.len() as u32..300), "the newest, without a gap");
    judged_by_capinfos(dir.path());

    for name in foreign {
        assert_eq!(std::fs::read_to_string(at(name)).unwrap(), name);
    }
    assert!(link.is_symlink() && directory.is_dir());
}

#[test]
fn a_start_that_fails_leaves_all_as_it_was() {
    let dir = TempDir::new().unwrap();
    let old = dir.path().join("trunk_00001_20200101000000.pcapng");
    std::fs::write(&old, "old").unwrap();
    let file = dir.path().join("trunk.pcapng");
    let missing = dir.path().join("missing/other.pcapng");
    let (file, missing) = (file.to_str().unwrap(), missing.to_str().unwrap());
    let (code, _, stderr) = run(&["sim:mstp", "-w", file, "-w", missing, "-C", "1", "-W", "1"]);
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        format!(
            "serialshark: {missing}: cannot write: No such file or directory\n  hint: mkdir -p {}\n",
            dir.path().join("missing").display()
        )
    );
    assert_eq!(files(dir.path()), [(1, old)]);

    for (path, says) in [
        (dir.path().to_str().unwrap().to_owned(), "is not a name for capture files"),
        (format!("{}/", dir.path().display()), "is not a name for capture files"),
        ("/dev/null".to_owned(), "is not a name for capture files"),
        ("/proc/trunk.pcapng".to_owned(), "cannot write"),
    ] {
        let (code, _, stderr) = run(&["sim:mstp", "-w", &path, "-C", "1"]);
        assert_eq!(code, 1, "{path}: {stderr}");
        assert!(stderr.contains(says) && stderr.starts_with("serialshark: "), "{stderr}");
    }
}

#[test]
fn a_second_program_at_the_same_files_is_refused() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let mut program = start(&pty, dir.path(), &["-C", "1", "-W", "1"]);
    send(&pty, 0..1);
    arrived(dir.path(), 0);
    let file = dir.path().join("trunk.pcapng");
    let (code, _, stderr) = run(&["sim:mstp", "-w", file.to_str().unwrap(), "-C", "1", "-W", "1"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("are being written by another program\n  hint: "), "{stderr}");
    program.terminate();
    assert_eq!(frames(&captured(dir.path())), numbered(0..1));
}

#[test]
fn wrong_usage() {
    for (args, says) in [
        (&["-C", "1"][..], "-w FILE"),
        (&["-G", "1", "-w", "-"], "-w FILE"),
        (&["-W", "1", "--fifo", "/tmp/unused"], "-w FILE"),
        (&["-w", "unused.pcapng", "-W", "1"], "-C SIZE"),
        (&["-w", "unused.pcapng", "-C", "0"], "500k"),
        (&["-w", "unused.pcapng", "-C", "1T"], "500k"),
        (&["-w", "unused.pcapng", "-G", "0"], "0"),
        (&["-w", "unused.pcapng", "-C", "1", "-W", "0"], "0"),
    ] {
        let (code, stdout, stderr) = run(&[&["sim:mstp"], args].concat());
        assert_eq!((code, stdout.len()), (2, 0), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    }
}

/// With and without rotation: what came a second before SIGKILL is there.
#[test]
fn killed_under_traffic_all_but_the_last_second_is_readable() {
    let mut random = Random(7);
    // So few that a debug build keeps up on a busy machine too.
    let per_second = if full() { 5_000.0 } else { 1_000.0 };
    for more in [&["-C", "40k"][..], &["-C", "2k"], &["-G", "1"]] {
        let dir = TempDir::new().unwrap();
        let pty = Pty::new();
        let mut program = start(&pty, dir.path(), more);
        let start = Instant::now();
        let stop = start + Duration::from_millis(1500 + random.below(700));
        let mut sent = 0;
        let mut a_second_ago = 0;
        while Instant::now() < stop {
            let due = (start.elapsed().as_secs_f64() * per_second) as u32;
            send(&pty, sent..due);
            sent = due;
            if Instant::now() + Duration::from_secs(1) < stop {
                a_second_ago = sent;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        program.signal(Signal::KILL);
        program.wait();
        let files = captured(dir.path());
        let there = frames(&files);
        assert!(
            a_second_ago > 0 && there.len() as u32 >= a_second_ago,
            "{} of {sent}",
            there.len()
        );
        assert!(there == numbered(0..there.len() as u32), "lost or doubled");
        let (last, complete) = files.split_last().unwrap();
        assert!(complete.iter().all(|file| !file.is_cut && file.statistics.len() == 1));
        assert_eq!(last.statistics.len(), 0);
        for (_, path) in self::files(dir.path()).iter().rev().take(if full() { 5 } else { 1 }) {
            let Some(mut tshark) = tool("tshark") else { break };
            let output = tshark.arg("-r").arg(path).args(["-T", "fields", "-e", "frame.number"]);
            let lines = text(&output.output().unwrap().stdout).lines().count();
            assert_eq!(lines, take_apart(0, std::fs::read(path).unwrap()).frames.len());
        }
    }
}

#[test]
fn octets_are_on_the_disk_a_second_later_and_then_nothing_wakes() {
    std::thread::scope(|scope| {
        for more in [&[][..], &["-C", "100"]] {
            scope.spawn(|| on_the_disk_a_second_later(more));
        }
    });
}

fn on_the_disk_a_second_later(more: &[&str]) {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let mut program = start(&pty, dir.path(), more);
    let traced = Command::new("strace").arg("-V").output().is_ok();
    let log = dir.path().join("strace");
    let strace = traced.then(|| -> Option<Program> {
        let mut strace = Command::new("strace");
        let trace = ["-f", "-e", "trace=fdatasync", "-p", &program.child.id().to_string()]
            .map(str::to_owned);
        strace.args(trace).arg("-o").arg(&log);
        let strace = Program::spawn(strace);
        strace.wait_for_either("attached", "Operation not permitted").then_some(strace)
    });
    if let Some(strace) = strace.flatten() {
        let syncs = || std::fs::read_to_string(&log).unwrap().matches("= 0").count();
        // The header's.
        eventually("fdatasync", || (syncs() > 0).then_some(()));
        let before = syncs();
        let start = Instant::now();
        send(&pty, 0..1);
        eventually("fdatasync", || (syncs() > before).then_some(()));
        assert!(start.elapsed() < SOON);
        // Steady traffic, and the queue never empty for long: once a second, not more.
        let (before, start) = (syncs(), Instant::now());
        eventually("three more", || {
            send(&pty, 0..20);
            (syncs() >= before + 3).then_some(())
        });
        assert!(start.elapsed() > Duration::from_millis(1700), "{:?}", start.elapsed());
        drop(strace);
    } else {
        skip("strace is not installed or not allowed, so nobody saw fdatasync");
    }
    let mut last = u64::MAX;
    let mut since = Instant::now();
    eventually("two seconds without a wake-up", || {
        let now = program.wakeups();
        if std::mem::replace(&mut last, now) != now {
            since = Instant::now();
        }
        (since.elapsed() > Duration::from_secs(2)).then_some(())
    });
    program.terminate();
}

/// Runs serialshark with its files in a file system of 200 kB, which are copied out at its end.
/// Half of that is taken, until its standard input is closed.
fn on_a_small_disk(pty: &Pty, out: &Path, file: &str, more: &str) -> Option<Program> {
    let program = on_a_small_disk_with(pty.path(), out, file, more)?;
    program.wait_for("reading mstp");
    Some(program)
}

fn on_a_small_disk_with(port: &str, out: &Path, file: &str, more: &str) -> Option<Program> {
    let allowed = Command::new("unshare").args(["-rm", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        skip("unshare is not allowed here, so no disk was full");
        return None;
    }
    let script = "mkdir $0/disk; mount -t tmpfs -o size=200k none $0/disk || exit 77
        head -c 100000 /dev/zero > $0/disk/filler
        exec 3<&0; (cat <&3; rm $0/disk/filler; echo half of it is free >&2) &
        $1 $2 -w $0/disk/FILE MORE < /dev/null; code=$?
        cp $0/disk/* $0/; exit $code"
        .replace("FILE", file)
        .replace("MORE", more);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &script]).arg(out).stdin(Stdio::piped());
    command.args([env!("CARGO_BIN_EXE_serialshark"), port]);
    Some(Program::spawn(command))
}

/// What the comments of a file say.
fn dropped_in_comments(octets: &[u8]) -> u32 {
    let said = text(octets);
    let numbers = said.split(" packets dropped before this packet").map(|before| {
        let digits = before.len() - before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        &before[before.len() - digits..]
    });
    let mut numbers: Vec<_> = numbers.collect();
    numbers.pop(); // after the last one
    numbers.into_iter().map(|number| number.parse::<u32>().unwrap()).sum()
}

fn free_half(program: &mut Program) {
    drop(program.child.stdin.take());
    program.wait_for("half of it is free");
}

#[test]
fn a_full_disk_costs_a_ring_its_oldest_files() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let Some(mut program) =
        on_a_small_disk(&pty, dir.path(), "trunk.pcapng", "-C 30k -W 100 -c 9000")
    else {
        return;
    };
    free_half(&mut program);
    send(&pty, 0..9000);
    assert_eq!(program.wait().code(), Some(0), "{:#?}", program.stderr());
    let files = captured(dir.path());
    assert!(files.len() >= 4 && files[0].number > 1, "{} files", files.len());
    assert!(files.iter().all(|file| !file.is_cut && file.statistics.len() == 1));
    let kept = frames(&files);
    assert!(kept == numbered(9000 - kept.len() as u32..9000), "the newest, without a gap");
    program.wait_for("9000 packets framed = 9000 delivered + 0 dropped + 0 abandoned");
    let warnings = program.stderr().iter().filter(|line| line.contains("disk full")).count();
    assert_eq!(warnings, 1, "{:#?}", program.stderr());
    judged_by_capinfos(dir.path());
}

#[test]
fn a_log_file_on_a_full_disk_gets_its_lines_when_there_is_room() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let more = "-C 30k -q --log-file $0/disk/log";
    let Some(mut program) = on_a_small_disk_with(pty.path(), dir.path(), "trunk.pcapng", more)
    else {
        return;
    };
    eventually("a full disk", || {
        send(&pty, 0..20);
        program.stderr().iter().any(|line| line.contains("disk full")).then_some(())
    });
    free_half(&mut program);
    let there = dir.path().join("disk/log");
    let log = format!("/proc/{}/root{}", program.child.id(), there.display());
    eventually("its lines", || {
        std::fs::read_to_string(&log).ok()?.contains("disk full").then_some(())
    });
    drop(pty);
    assert_eq!(program.wait().code(), Some(0), "{:#?}", program.stderr());
}

/// Sends frames from this number on until one of them finds room; returns the next one's number.
fn send_until_there_is_room(program: &Program, pty: &Pty, mut next: u32) -> u32 {
    eventually("room", || {
        send(pty, next..next + 1);
        next += 1;
        std::thread::park_timeout(Duration::from_millis(100));
        program.stderr().iter().any(|line| line.contains("can be written again")).then_some(())
    });
    next
}

/// With all files to be kept, and with one that is larger than the disk.
#[test]
fn on_a_full_disk_packets_are_dropped_and_counted_until_there_is_room() {
    for more in ["-C 30k -c 3200", "-C 1 -W 3 -c 3200"] {
        let dir = TempDir::new().unwrap();
        let pty = Pty::new();
        let Some(mut program) = on_a_small_disk(&pty, dir.path(), "trunk.pcapng", more) else {
            return;
        };
        // All of them fit on the disk when it is free again, and not before.
        send(&pty, 0..2500);
        program.wait_for("trunk.pcapng: disk full: dropping packets until there is room");
        free_half(&mut program);
        let sent = send_until_there_is_room(&program, &pty, 2500);
        send(&pty, sent..3200);
        assert_eq!(program.wait().code(), Some(0), "{:#?}", program.stderr());
        let files = captured(dir.path());
        assert!(files.iter().all(|file| !file.is_cut && file.statistics.len() == 1), "{more}");
        // In order, each once, the first and all of the last; where a large write found no room,
        // a small one may have found some.
        let there = frames(&files);
        let dropped = 3200 - there.len() as u32;
        let mut all = (0..3200).map(numbered_frame);
        assert!(there.iter().all(|frame| all.any(|other| other == *frame)), "{more}");
        assert!(
            dropped > 0 && there[0] == numbered_frame(0) && there.ends_with(&numbered(2500..3200)),
            "{more}"
        );
        let sum = |count: fn(&Statistics) -> u64| -> u64 {
            files.iter().map(|file| count(&file.statistics[0])).sum()
        };
        let delivered = there.len() as u64;
        assert_eq!((sum(|all| all.received), sum(|all| all.delivered)), (3200, delivered));
        program.wait_for(&format!(
            "3200 packets framed = {delivered} delivered + {dropped} dropped + 0 abandoned"
        ));
        // The packets after them tell of them.
        let told: u32 = files.iter().map(|file| dropped_in_comments(&file.octets)).sum();
        assert_eq!(told, dropped);
        let warnings = program.stderr().iter().filter(|line| line.contains("disk full")).count();
        assert_eq!(warnings, 1, "{:#?}", program.stderr());
        judged_by_capinfos(dir.path());
    }
}

#[test]
fn a_full_disk_is_not_the_end_of_a_single_file_which_has_what_there_is_room_for() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let name = "trunk_00001_20200101000000.pcapng";
    let Some(mut program) = on_a_small_disk(&pty, dir.path(), name, "-c 3000") else { return };
    send(&pty, 0..2500);
    program.wait_for("disk full: dropping packets until there is room");
    free_half(&mut program);
    let sent = send_until_there_is_room(&program, &pty, 2500);
    send(&pty, sent..3000);
    assert_eq!(program.wait().code(), Some(0), "{:#?}", program.stderr());
    let files = captured(dir.path());
    assert!(files.len() == 1 && !files[0].is_cut, "whole records");
    let there = frames(&files);
    assert!(there[0] == numbered_frame(0) && there.ends_with(&numbered(2500..3000)));
    let statistics = &files[0].statistics[0];
    assert_eq!((statistics.received, statistics.delivered), (3000, there.len() as u64));
    assert_eq!(u64::from(dropped_in_comments(&files[0].octets)), 3000 - there.len() as u64);
    judged_by_capinfos(dir.path());
}

#[test]
fn a_single_file_whose_disk_is_full_at_the_end_holds_whole_records_and_has_failed_if_it_is_cut() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let name = "trunk_00001_20200101000000.pcapng";
    let Some(mut program) = on_a_small_disk(&pty, dir.path(), name, "-c 9000") else { return };
    send(&pty, 0..9000);
    let code = program.wait().code();
    program.wait_for("disk full: dropping packets");
    let files = captured(dir.path());
    assert!(files.len() == 1 && !files[0].is_cut, "cut back to whole records");
    // There may be room for a trailer where there is none for a record.
    assert_eq!(code, Some(i32::from(files[0].statistics.is_empty())), "{:#?}", program.stderr());
    judged_by_capinfos(dir.path());
}

/// What is read from a file can be had again: better no capture than one with holes.
#[test]
fn a_full_disk_is_the_end_of_a_replay() {
    let dir = TempDir::new().unwrap();
    let octets = dir.path().join("octets");
    std::fs::write(&octets, numbered(0..9000).concat()).unwrap();
    let outs = ["", "-C 1"].map(|more| (TempDir::new().unwrap(), more));
    let start = |(out, more): &(TempDir, &str)| {
        on_a_small_disk_with(octets.to_str().unwrap(), out.path(), "trunk.pcapng", more)
    };
    for program in outs.each_ref().map(start) {
        let Some(mut program) = program else { return };
        assert_eq!(program.wait().code(), Some(1), "{:#?}", program.stderr());
        program.wait_for("trunk.pcapng: cannot write: No space left on device");
    }
}

#[test]
fn without_descriptors_for_the_next_file_packets_are_dropped_and_counted_until_there_are() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let file = dir.path().join("trunk.pcapng");
    let mut program = Program::start([pty.path(), "-C", "1k", "-w", file.to_str().unwrap()]);
    program.wait_for("reading mstp");
    send(&pty, 0..100);
    eventually("some files", || (captured(dir.path()).len() > 1).then_some(()));
    program.limit_descriptors(5);
    let mut sent = 100;
    eventually("a shortage", || {
        send(&pty, sent..sent + 10);
        sent += 10;
        let said = program.stderr();
        said.iter().any(|l| l.contains("Too many open files: dropping packets")).then_some(())
    });
    send(&pty, sent..sent + 100);
    program.limit_descriptors(1000);
    sent += 100;
    eventually("the end of it", || {
        send(&pty, sent..sent + 1);
        sent += 1;
        std::thread::park_timeout(Duration::from_millis(50));
        program.stderr().iter().any(|line| line.contains("can be written again")).then_some(())
    });
    program.terminate();
    let files = captured(dir.path());
    assert!(files.iter().all(|file| !file.is_cut && file.statistics.len() == 1));
    let there = frames(&files);
    let mut all = (0..sent).map(numbered_frame);
    assert!(there.iter().all(|frame| all.any(|other| other == *frame)), "in order, each once");
    let told: u32 = files.iter().map(|file| dropped_in_comments(&file.octets)).sum();
    assert!(told > 0);
    assert_eq!(there.len() as u32 + told, sent);
}

/// However seldom packets come: the next file begins at an even time after the first one.
#[test]
fn files_of_a_second_do_not_drift_with_the_packets() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcap");
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-w", file.to_str().unwrap(), "-G", "1"]);
    program.wait_for("reading mstp");
    let start = Instant::now();
    let mut seconds = std::collections::BTreeSet::new();
    for n in 0..28 {
        pty.send(&numbered_frame(n));
        seconds.insert(start.elapsed().as_secs());
        std::thread::park_timeout(Duration::from_millis(400));
    }
    program.terminate();
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    // One for each second that had a packet, but for one at the edge of a second: with a file each
    // 1.2 s there would be two fewer.
    assert!(files + 1 >= seconds.len(), "{files} files with packets in {seconds:?}");
}

/// FAT ends a file at 4 GiB, and a limit of the process where it likes.
#[test]
fn a_file_that_cannot_grow_further_is_followed_by_the_next() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let file = dir.path().join("trunk.pcapng");
    let mut program = Program::start([pty.path(), "-C", "1G", "-w", file.to_str().unwrap()]);
    program.wait_for("reading mstp");
    send(&pty, 0..20);
    arrived(dir.path(), 19);
    program.limit_file_size(3000);
    for n in (20..300).step_by(20) {
        send(&pty, n..n + 20);
        arrived(dir.path(), n + 19);
    }
    program.terminate();
    let said = program.stderr();
    assert_eq!(
        said.iter().filter(|l| l.contains("cannot grow any further")).count(),
        1,
        "{said:?}"
    );
    let files = captured(dir.path());
    assert!(files.len() > 3 && files.iter().all(|file| file.octets.len() <= 3000 && !file.is_cut));
    assert_eq!(frames(&files), numbered(0..300));
    let delivered: u64 = files.iter().flat_map(|file| &file.statistics).map(|s| s.delivered).sum();
    assert_eq!(delivered, 300);
}

/// As with tcpdump, `%` in the name is the time with -G; nothing that is there is lost for it.
#[test]
fn words_of_strftime_name_the_files_of_dash_g() {
    let dir = TempDir::new().unwrap();
    let names = || {
        let entries = std::fs::read_dir(dir.path()).unwrap().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // The same name for each file, as %a would give on a Monday.
    let template = dir.path().join("t_%C%%.pcapng");
    let run_once = |more: &[&str]| {
        let pty = Pty::new();
        let mut args = vec![
            pty.path(),
            "-w",
            template.to_str().unwrap(),
            "-G",
            "3600",
            "-C",
            "1k",
            "-c",
            "20",
        ];
        args.extend(more);
        let mut program = Program::start(args);
        program.wait_for("reading mstp");
        send(&pty, 0..20);
        assert_eq!(program.wait().code(), Some(0));
    };
    run_once(&[]);
    let first = names();
    assert_eq!(first[0], "t_20%.pcapng");
    assert_eq!(first[1], "t_20%_00002.pcapng");
    let old = std::fs::read(dir.path().join(&first[0])).unwrap();
    run_once(&[]);
    assert_eq!(names().len(), 2 * first.len(), "{:?}", names());
    assert_eq!(std::fs::read(dir.path().join(&first[0])).unwrap(), old, "overwritten");
    let both = names();
    run_once(&["--force"]);
    assert_eq!(names(), both);
    assert_ne!(std::fs::read(dir.path().join(&first[0])).unwrap(), old);
    // Without -G it is a letter like all others.
    let literal = dir.path().join("%a.pcap");
    let (code, _, stderr) = run(&["sim:mstp", "-c", "1", "-w", literal.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(literal.exists());
}

#[test]
fn files_named_by_date_are_kept_as_many_as_asked_for_across_restarts() {
    let dir = TempDir::new().unwrap();
    for foreign in ["t_20200101-000000.pcap", "t_20201301-000000.pcapng", "t_.pcapng"] {
        std::fs::write(dir.path().join(foreign), "not ours").unwrap();
    }
    for day in 1..=5 {
        std::fs::write(dir.path().join(format!("t_2020010{day}-000000.pcapng")), "old").unwrap();
    }
    let template = dir.path().join("t_%Y%m%d-%H%M%S.pcapng");
    let (code, _, stderr) =
        run(&["sim:mstp", "-c", "5", "-w", template.to_str().unwrap(), "-G", "3600", "-W", "3"]);
    assert_eq!(code, 0, "{stderr}");
    let mut names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    names.sort();
    let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    for kept in ["t_20200104-000000.pcapng", "t_20200105-000000.pcapng", "t_.pcapng"] {
        assert!(names.contains(&kept), "{names:?}");
    }
}

#[test]
fn of_two_programs_that_start_together_at_the_same_files_one_is_refused() {
    for _ in 0..20 {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("trunk.pcapng");
        let (one, other) = (Pty::new(), Pty::new());
        let start = |pty: &Pty| {
            Program::start([pty.path(), "-w", file.to_str().unwrap(), "-C", "1", "-W", "1"])
        };
        let mut programs = [start(&one), start(&other)];
        let refused = eventually("one to be refused", || {
            programs.iter().position(|program| {
                program.stderr().iter().any(|line| line.contains("by another program"))
            })
        });
        assert_eq!(programs[refused].wait().code(), Some(1));
        programs[1 - refused].wait_for("reading mstp");
        programs[1 - refused].terminate();
    }
}

/// As tcpdump's -z; and what is compressed counts among the files to keep, across restarts too.
#[test]
fn complete_files_are_compressed_and_counted_as_before() {
    if tool("gzip").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let names = || {
        let entries = std::fs::read_dir(dir.path()).unwrap().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    for round in 1..=2 {
        let pty = Pty::new();
        let mut program =
            start(&pty, dir.path(), &["-C", "2k", "-W", "4", "--compress", "--force"]);
        send(&pty, 0..400);
        eventually("compressed files", || {
            // A file that was compressed when it had to go goes at the next turn.
            send(&pty, 0..5);
            let (gz, plain): (Vec<_>, Vec<_>) =
                names().into_iter().partition(|name| name.ends_with(".gz"));
            let last = plain.last().and_then(|name| number(name));
            (gz.len() == 3 && plain.len() == 1 && last >= Some(round * 5)).then_some(())
        });
        program.terminate();
    }
    let gz = names().into_iter().find(|name| name.ends_with(".gz")).unwrap();
    let gz = dir.path().join(gz);
    if let Some(mut capinfos) = tool("capinfos") {
        let output = capinfos.arg("-Mc").arg(&gz).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

/// A line for each would fill the log.
#[test]
fn a_command_that_fails_for_each_file_is_told_of_once() {
    let dir = TempDir::new().unwrap();
    let script = dir.path().join("script");
    let text = "#!/bin/sh\necho x >>\"$(dirname \"$0\")/runs\"\nexit 1\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let pty = Pty::new();
    let mut program = start(&pty, dir.path(), &["-C", "2k", "-z", script.to_str().unwrap()]);
    send(&pty, 0..200);
    eventually("three failures", || {
        let runs = std::fs::read_to_string(dir.path().join("runs")).unwrap_or_default();
        (runs.lines().count() > 3).then_some(())
    });
    program.terminate();
    let lines = program.stderr();
    let told = lines.iter().filter(|line| line.contains("exit status: 1")).count();
    assert_eq!(told, 1, "{lines:#?}");
}

#[test]
fn a_command_gets_each_complete_file_and_holds_up_nothing() {
    let dir = TempDir::new().unwrap();
    let script = dir.path().join("script");
    // It prints, which is not for standard output, and the second time it fails.
    let text_of = format!(
        "#!/bin/sh\necho noise\necho \"$1\" >>{0}/told\n[ $(wc -l <{0}/told) != 2 ]\n",
        dir.path().display()
    );
    std::fs::write(&script, text_of).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let pty = Pty::new();
    let mut program = start(&pty, dir.path(), &["-C", "2k", "-z", script.to_str().unwrap()]);
    send(&pty, 0..200);
    arrived(dir.path(), 199);
    let complete: Vec<_> = files(dir.path()).into_iter().map(|(_, path)| path).collect();
    let (_, complete) = complete.split_last().unwrap();
    eventually("all commands", || {
        let told = std::fs::read_to_string(dir.path().join("told")).unwrap_or_default();
        (told.lines().count() == complete.len()).then_some(())
    });
    program.terminate();
    let told = std::fs::read_to_string(dir.path().join("told")).unwrap();
    let told: Vec<_> = told.lines().map(PathBuf::from).collect();
    assert_eq!(told, complete);
    assert!(
        program
            .stderr()
            .iter()
            .any(|line| line.contains("script") && line.contains("exit status: 1"))
    );
    let mut stdout = String::new();
    std::io::Read::read_to_string(&mut program.child.stdout.take().unwrap(), &mut stdout).unwrap();
    assert_eq!(stdout, "");
    for wrong in [&["-z", "x"][..], &["--compress"], &["-C", "1", "-z", "x", "--compress"]] {
        let args = [&["sim:mstp", "-w", "/nowhere/a.pcap"][..], wrong].concat();
        assert_eq!(run(&args).0, 2, "{wrong:?}");
    }
}
