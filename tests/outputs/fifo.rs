//! The FIFO as a listener: readers that come, go, hang and come back.

use crate::common::*;
use rustix::fs::{FileType, Mode, mkfifoat};
use rustix::process::Signal;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn mkfifo(path: &Path, mode: u32) {
    mkfifoat(rustix::fs::CWD, path, Mode::from_raw_mode(mode)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn is_fifo(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// serialshark on a PTY with a FIFO in a directory of its own.
struct Rig {
    pty: Pty,
    program: Program,
    fifo: PathBuf,
    dir: TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self::with_fifo(dir.path().join("sharkfin"), dir)
    }

    fn with_fifo(fifo: PathBuf, dir: TempDir) -> Self {
        let pty = Pty::new();
        let program = Program::start([pty.path(), "--fifo", fifo.to_str().unwrap()]);
        program.wait_for("reading mstp");
        Self { pty, program, fifo, dir }
    }

    fn reader(&self) -> FifoReader {
        let mut reader = FifoReader::open(&self.fifo);
        reader.header();
        reader
    }

    /// Names in the FIFO's directory.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn each_of_200_readers_under_traffic_gets_a_header_and_whole_records() {
    let rig = Rig::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let mut n = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                rig.pty.send(&numbered_frame(n));
                n += 1;
            }
        });
        let mut last = 0;
        for round in 0..200 {
            let mut reader = rig.reader();
            assert_eq!(reader.link_type, Some(165));
            let records = reader.records(1 + round % 7);
            for record in &records {
                assert_eq!(record.data[..2], [0x55, 0xff]);
                assert!(record.time_us >= last, "time ran backwards between readers");
                last = record.time_us;
            }
            // Dropped in the middle of the stream, and opened again at once.
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        feeder.join().unwrap();
    });
    let mut rig = rig;
    assert!(rig.program.child.try_wait().unwrap().is_none());
    rig.program.terminate();
    for line in rig.program.stderr().iter().filter(|line| line.contains("packets framed")) {
        check_account(line);
    }
}

#[test]
fn the_header_comes_at_once_and_so_does_the_news_that_the_reader_left() {
    let rig = Rig::new();
    let mut headers = Vec::new();
    let mut closes = Vec::new();
    for round in 1..=21 {
        let mut reader = FifoReader::open(&rig.fifo);
        headers.push(reader.header());
        drop(reader);
        let closed = Instant::now();
        rig.program.wait_for_nth(round, "its reader left");
        closes.push(closed.elapsed());
    }
    // Medians, since a loaded machine may take its time once in a while.
    headers.sort();
    closes.sort();
    assert!(headers[10] < Duration::from_millis(10), "{headers:?}");
    assert!(closes[10] < Duration::from_millis(10), "{closes:?}");
}

#[test]
fn two_readers_at_once_get_the_same_packets() {
    let rig = Rig::new();
    let mut first = rig.reader();
    let mut second = rig.reader();
    let frames: Vec<_> = (0..50).map(numbered_frame).collect();
    rig.pty.send(&frames.concat());
    let records = first.records(50);
    assert_eq!(records.iter().map(|r| r.data.clone()).collect::<Vec<_>>(), frames);
    assert_eq!(second.records(50), records);
}

#[test]
fn two_readers_that_came_in_the_same_instant_are_told_of() {
    let rig = Rig::new();
    let mut other = rig.reader();
    rig.program.signal(Signal::STOP);
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", rig.program.child.id()));
        stat.unwrap().rsplit_once(") ").unwrap().1.starts_with('T').then_some(())
    };
    eventually("stopped", stopped);
    let (first, second) = (FifoReader::open(&rig.fifo), FifoReader::open(&rig.fifo));
    rig.program.signal(Signal::CONT);
    rig.program.wait_for_nth(2, "a reader has come");
    drop(first);
    rig.program.wait_for("two readers opened it in the same instant");
    drop(second);
    rig.program.wait_for("its reader left");
    // Of those that come one after the other nothing is told, and they share nothing.
    let mut third = rig.reader();
    drop(rig.reader());
    rig.program.wait_for_nth(2, "its reader left");
    rig.pty.send(&numbered_frame(1));
    assert_eq!(other.records(1), third.records(1));
    let told = rig.program.stderr().iter().filter(|line| line.contains("same instant")).count();
    assert_eq!(told, 1);
}

#[test]
fn no_reader_gets_octets_from_before_it_came() {
    let rig = Rig::new();
    let mut other = rig.reader();
    rig.pty.send(&numbered_frame(1));
    other.records(1);
    let mut reader = rig.reader();
    rig.pty.send(&numbered_frame(2));
    assert_eq!(reader.records(1)[0].data, numbered_frame(2));
}

#[test]
fn on_a_slow_line_no_thread_is_woken_only_to_write() {
    let rig = Rig::new();
    let mut reader = rig.reader();
    let (_, status) = eventually("the writer", || rig.program.thread("writer"));
    let mut one = |number| {
        rig.pty.send(&numbered_frame(number));
        assert_eq!(reader.records(1)[0].data, numbered_frame(number));
    };
    one(0);
    let before = Program::sleeps(&status);
    (1..=100).for_each(&mut one);
    let woken = Program::sleeps(&status) - before;
    assert!(woken < 20, "{woken} times for 100 packets");
}

#[test]
fn a_stalled_reader_hurts_nobody_and_learns_what_it_missed() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let pty = Pty::new();
    let mut program =
        Program::start([pty.path(), "--fifo", fifo.to_str().unwrap(), "--format", "pcapng"]);
    program.wait_for("reading mstp");
    let open = || {
        let reader = FifoReader::open(&fifo);
        assert!(readable(&reader.fd, Instant::now() + LONG));
        reader.fd
    };
    let stalled = open();
    let swift = open();
    program.wait_for_nth(2, "a reader has come");
    // More than the stalled reader's pipe and queue can hold.
    let frame = mstp(5, 1, 2, &[0x22; 480]);
    let total = 40_000;
    let seen = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut octets = Vec::new();
            while seen.load(Ordering::Relaxed) < total {
                assert!(readable(&swift, Instant::now() + LONG), "only {seen:?} packets");
                octets.extend(drain(&swift));
                let whole = whole_blocks(&octets);
                let packets = blocks(&octets[..whole]).filter(|(kind, _)| *kind == 6).count();
                seen.fetch_add(packets, Ordering::Relaxed);
                octets.drain(..whole);
            }
        });
        for sent in 0..total {
            pty.send(&frame);
            // As fast as the swift reader is on a loaded machine, and not faster.
            eventually("swift reader", || {
                (sent < seen.load(Ordering::Relaxed) + 1500).then_some(())
            });
        }
    });
    program.wait_for("reader too slow");
    // It reads again: the rest of its queue, what it missed, and at last what was just sent. Only
    // then nothing more can have been dropped.
    let mut octets = Vec::new();
    for number in 0.. {
        let last = numbered_frame(number);
        let is_there = |octets: &[u8]| octets.windows(last.len()).any(|window| window == last);
        pty.send(&last);
        eventually("swift reader", || is_there(&drain(&swift)).then_some(()));
        let new = octets.len();
        octets.extend(drain(&stalled));
        if is_there(&octets[new..]) {
            break;
        }
    }
    let whole = whole_blocks(&octets);
    let reported: u64 = blocks(&octets[..whole]).filter_map(|(_, block)| drop_count(block)).sum();
    assert!(reported > 0);
    drop((stalled, swift));
    program.wait_for_nth(2, "its reader left");
    program.terminate();
    for line in program.stderr().iter().filter(|line| line.contains("packets framed")) {
        check_account(line);
    }
    let dropped =
        program.stderr().iter().any(|line| line.contains(&format!(" {reported} dropped")));
    assert!(dropped, "epb_dropcount says {reported}, the log {:#?}", program.stderr());
}

/// All that can be read now.
fn drain(fd: &OwnedFd) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match rustix::io::read(fd, &mut chunk) {
            Ok(len) if len > 0 => octets.extend_from_slice(&chunk[..len]),
            Ok(_) | Err(rustix::io::Errno::AGAIN) => return octets,
            Err(errno) => panic!("{errno}"),
        }
    }
}

/// Length of the whole pcapng blocks at the start.
fn whole_blocks(octets: &[u8]) -> usize {
    blocks(octets).map(|(_, block)| block.len()).sum()
}

fn blocks(mut octets: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let word = |at: usize| Some(u32::from_ne_bytes(octets.get(at..at + 4)?.try_into().ok()?));
        let (kind, len) = (word(0)?, word(4)? as usize);
        let block = octets.get(..len)?;
        octets = &octets[len..];
        Some((kind, block))
    })
}

/// `epb_dropcount` of an enhanced packet block.
fn drop_count(block: &[u8]) -> Option<u64> {
    let word = |at: usize| u32::from_ne_bytes(block[at..at + 4].try_into().unwrap());
    if word(0) != 6 {
        return None;
    }
    let mut at = 28 + (word(20) as usize).next_multiple_of(4);
    while at + 4 < block.len() - 4 {
        let code = u16::from_ne_bytes(block[at..at + 2].try_into().unwrap());
        let len = usize::from(u16::from_ne_bytes(block[at + 2..at + 4].try_into().unwrap()));
        if code == 4 {
            return Some(u64::from_ne_bytes(block[at + 4..at + 12].try_into().unwrap()));
        }
        at += 4 + len.next_multiple_of(4);
    }
    None
}

#[test]
fn a_stopped_and_killed_tshark_is_noticed_and_the_next_one_works() {
    let Some(mut tshark) = tool("dumpcap") else { return };
    let rig = Rig::new();
    let capture = rig.dir.path().join("capture.pcapng");
    let mut reader = tshark
        .args(["-q", "-i", rig.fifo.to_str().unwrap(), "-w", capture.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    rig.program.wait_for("a reader has come");
    let pid = rustix::process::Pid::from_child(&reader);
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    // Until its pipe and queue are full.
    let frame = mstp(5, 1, 2, &[0x22; 480]);
    while !rig.program.stderr().iter().any(|line| line.contains("reader too slow")) {
        rig.pty.send(&frame);
    }
    reader.kill().unwrap();
    reader.wait().unwrap();
    let line = rig.program.wait_for("its reader left");
    let [_, _, dropped, abandoned] = check_account(&line);
    assert!(dropped > 0 && abandoned > 0, "{line}");
    let mut reader = rig.reader();
    rig.pty.send(&numbered_frame(4));
    // First what was still on the line.
    let data = std::iter::from_fn(|| Some(reader.records(1).remove(0).data));
    let last = data.into_iter().find(|data| *data != frame);
    assert_eq!(last, Some(numbered_frame(4)));
}

#[test]
fn a_removed_path_is_made_again_and_a_replaced_one_is_used() {
    let rig = Rig::new();
    std::fs::remove_file(&rig.fifo).unwrap();
    rig.program.wait_for("was removed; made again");
    let mut reader = rig.reader();
    rig.pty.send(&numbered_frame(2));
    assert_eq!(reader.records(1)[0].data, numbered_frame(2));

    let other = rig.dir.path().join("other");
    mkfifo(&other, 0o600);
    std::fs::rename(&other, &rig.fifo).unwrap();
    rig.program.wait_for("was replaced by another FIFO");
    let mut second = rig.reader();
    rig.pty.send(&numbered_frame(3));
    assert_eq!(second.records(1)[0].data, numbered_frame(3));
    assert_eq!(reader.records(1)[0].data, numbered_frame(3), "the first reader goes on");
    assert_eq!(rig.fifo.metadata().unwrap().mode() & 0o777, 0o600, "its mode is kept");
}

#[test]
fn what_the_user_changes_about_it_outlives_a_reader() {
    let rig = Rig::new();
    std::fs::set_permissions(&rig.fifo, std::fs::Permissions::from_mode(0o606)).unwrap();
    for _ in 0..3 {
        rig.reader();
        eventually("the next FIFO", || {
            (rig.fifo.metadata().ok()?.mode() & 0o777 == 0o606).then_some(())
        });
    }
}

/// Whether its stream ends before a header.
fn is_turned_away(reader: &FifoReader) -> bool {
    assert!(readable(&reader.fd, Instant::now() + LONG), "neither served nor turned away");
    match rustix::io::read(&reader.fd, &mut [0; 24]) {
        Ok(len) => len == 0,
        Err(errno) => panic!("{errno}"),
    }
}

#[test]
fn a_reader_too_many_is_no_end_of_the_others() {
    let dir = TempDir::new().unwrap();
    let (pty, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    let files = || {
        let names = std::fs::read_dir(dir.path()).unwrap();
        let paths = names.map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths.filter(|path| path.extension().is_some()).collect();
        files.sort();
        files
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 80; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_serialshark")]);
    shell.args([pty.path(), "--fifo", fifo.to_str().unwrap(), "-C", "1"]);
    shell.arg("-w").arg(dir.path().join("trunk.pcap"));
    let mut program = Program::spawn(shell);
    program.wait_for("reading mstp");
    let mut first = FifoReader::open(&fifo);
    first.header();
    let mut others = Vec::new();
    while !program.stderr().iter().any(|line| line.contains("turning them away")) {
        let reader = FifoReader::open(&fifo);
        if !is_turned_away(&reader) {
            others.push(reader);
        }
    }
    assert!(others.len() > 5 && others.len() < 20, "{} others", others.len());
    // No more of them than there is room for, however many come.
    assert!((0..50).all(|_| is_turned_away(&FifoReader::open(&fifo))));
    pty.send(&numbered_frame(5));
    assert_eq!(first.records(1)[0].data, numbered_frame(5));
    for number in 6..10 {
        // A file without packets stays as it is.
        eventually("the packet in its file", || {
            (files().last()?.metadata().ok()?.len() > 24).then_some(())
        });
        program.signal(Signal::HUP);
        eventually("the next file", || (files().len() == number - 4).then_some(()));
        pty.send(&numbered_frame(number as u32));
        assert_eq!(first.records(1)[0].data, numbered_frame(number as u32));
    }
    drop(others);
    program.wait_for_nth(6, "its reader left");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    pty.send(&numbered_frame(10));
    assert_eq!(reader.records(1)[0].data, numbered_frame(10));
    assert!(program.terminate() < SOON);
    let octets = files().into_iter().flat_map(|file| pcap_records(&std::fs::read(file).unwrap()));
    let frames: Vec<_> = octets.map(|record| record.data).collect();
    assert_eq!(frames, (5..11).map(numbered_frame).collect::<Vec<_>>());
    let told = program.stderr().iter().filter(|line| line.contains("turning them away")).count();
    assert_eq!(told, 1, "{:#?}", program.stderr());
}

/// Seconds of processor time that the program has had.
fn processor_seconds(program: &Program) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

#[test]
fn who_opens_and_closes_without_pause_takes_little_time_from_the_line() {
    let mut rig = Rig::new();
    let mut reader = rig.reader();
    let start = Instant::now();
    let before = processor_seconds(&rig.program);
    let mut opens = 0;
    while start.elapsed() < Duration::from_secs(2) || opens < 1000 {
        drop(FifoReader::open(&rig.fifo));
        opens += 1;
    }
    let (took, share) = (start.elapsed(), processor_seconds(&rig.program) - before);
    let share = share / took.as_secs_f64();
    assert!(share < 0.25, "{share} of a processor for {opens} readers");
    // Others are served as ever.
    let mut second = rig.reader();
    rig.pty.send(&numbered_frame(1));
    assert_eq!(reader.records(1)[0].data, numbered_frame(1));
    assert_eq!(second.records(1)[0].data, numbered_frame(1));
    rig.program.terminate();
    let lines = rig.program.stderr().len() as f64;
    assert!(lines < 2.0 * (100.0 + 50.0 * took.as_secs_f64()) + 20.0, "{lines} lines");
}

#[test]
fn of_100_readers_64_are_served_and_the_rest_turned_away() {
    let rig = Rig::new();
    let mut readers: Vec<_> = (0..64).map(|_| rig.reader()).collect();
    assert!((64..100).all(|_| is_turned_away(&FifoReader::open(&rig.fifo))));
    rig.program.wait_for("more than 64 readers: turning them away");
    rig.pty.send(&numbered_frame(3));
    for reader in &mut readers {
        assert_eq!(reader.records(1)[0].data, numbered_frame(3));
    }
    drop(readers);
    rig.program.wait_for_nth(64, "its reader left");
    rig.reader();
}

#[test]
fn while_descriptors_are_used_up_readers_and_a_removed_path_wait_and_nothing_is_lost_for_good() {
    let rig = Rig::new();
    let mut first = rig.reader();
    // Nothing can be opened or made.
    rig.program.limit_descriptors(5);
    let mut waiting = FifoReader::open(&rig.fifo);
    rig.program.wait_for("cannot serve another reader at the moment: Too many open files");
    assert!(!readable(&waiting.fd, Instant::now()), "served or turned away");
    rig.pty.send(&numbered_frame(1));
    assert_eq!(first.records(1)[0].data, numbered_frame(1));
    rig.program.limit_descriptors(1000);
    waiting.header();
    let mut readers = [first, waiting, rig.reader()];
    rig.pty.send(&numbered_frame(2));
    for reader in &mut readers {
        assert_eq!(reader.records(1)[0].data, numbered_frame(2));
    }
    // Several at once: it is no weaker than before.
    let told = |pattern: &str| rig.program.stderr().iter().filter(|l| l.contains(pattern)).count();
    assert_eq!((told("at the moment"), told("only one reader")), (1, 0));
    // It must wake up for that, and cannot.
    rig.program.limit_descriptors(5);
    std::fs::remove_file(&rig.fifo).unwrap();
    rig.program.wait_for("cannot be woken: Too many open files");
    rig.program.limit_descriptors(1000);
    rig.program.wait_for("was removed; made again");
    rig.reader();
}

#[test]
fn without_inodes_a_reader_waits_and_the_fifo_is_as_good_as_before() {
    let dir = TempDir::new().unwrap();
    let options = ["-t", "tmpfs", "-o", "nr_inodes=4", "none", dir.path().to_str().unwrap()];
    let mounted = Command::new("mount").args(options).status();
    if !mounted.is_ok_and(|status| status.success()) {
        skip("no small file system can be mounted here");
        return;
    }
    let (pty, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    // The directory, the FIFO, and nothing to put beside it.
    mkfifo(&fifo, 0o600);
    let fillers = ["a", "b"].map(|name| dir.path().join(name));
    fillers.iter().for_each(|filler| std::fs::write(filler, "").unwrap());
    let program = Program::start([pty.path(), "--fifo", fifo.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let mut first = FifoReader::open(&fifo);
    program.wait_for("cannot serve another reader at the moment: No space left on device");
    fillers.iter().for_each(|filler| std::fs::remove_file(filler).unwrap());
    first.header();
    let mut second = FifoReader::open(&fifo);
    second.header();
    pty.send(&numbered_frame(1));
    assert_eq!(first.records(1)[0].data, second.records(1)[0].data);
    assert!(!program.stderr().iter().any(|line| line.contains("only one reader")));
    drop((first, second, program));
    assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
}

/// Version 2, then tag, permissions and id of each entry: `user::rw,user:65534:r,group::-,mask::r,
/// other::-`.
fn access_list() -> Vec<u8> {
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in [
        (1u16, 6u16, u32::MAX),
        (2, 4, 65_534),
        (4, 0, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        list.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    list
}

fn access_list_of(path: &Path) -> Option<Vec<u8>> {
    let mut list = [0; 256];
    let len = rustix::fs::getxattr(path, "system.posix_acl_access", &mut list[..]).ok()?;
    Some(list[..len].to_vec())
}

#[test]
fn its_access_list_outlives_readers_and_removal() {
    let rig = Rig::new();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&rig.fifo, "system.posix_acl_access", &access_list(), flags).unwrap();
    let inode = || rig.fifo.metadata().unwrap().ino();
    for _ in 0..3 {
        let before = inode();
        rig.reader();
        eventually("the next FIFO", || (inode() != before).then_some(()));
        assert_eq!(access_list_of(&rig.fifo), Some(access_list()));
    }
    std::fs::remove_file(&rig.fifo).unwrap();
    rig.program.wait_for("was removed; made again");
    assert_eq!(access_list_of(&rig.fifo), Some(access_list()));
    // And no list where there was none, although the directory has one for all that is new.
    rustix::fs::removexattr(&rig.fifo, "system.posix_acl_access").unwrap();
    let default = "system.posix_acl_default";
    rustix::fs::setxattr(rig.dir.path(), default, &access_list(), flags).unwrap();
    let mode = rig.fifo.metadata().unwrap().mode();
    let before = inode();
    rig.reader();
    eventually("the next FIFO", || (inode() != before).then_some(()));
    assert_eq!((access_list_of(&rig.fifo), rig.fifo.metadata().unwrap().mode()), (None, mode));
}

#[test]
fn moved_away_it_is_made_again() {
    let rig = Rig::new();
    std::fs::rename(&rig.fifo, rig.dir.path().join("elsewhere")).unwrap();
    rig.program.wait_for("was removed; made again");
    rig.reader();
}

#[test]
fn a_file_in_its_place_is_left_alone_and_ends_the_output() {
    let mut rig = Rig::new();
    let file = rig.dir.path().join("precious");
    std::fs::write(&file, "mine").unwrap();
    std::fs::rename(&file, &rig.fifo).unwrap();
    assert_eq!(rig.program.wait().code(), Some(1));
    rig.program.wait_for("not a FIFO");
    assert_eq!(std::fs::read(&rig.fifo).unwrap(), b"mine");
}

#[test]
fn a_second_program_on_the_same_path_is_refused() {
    let rig = Rig::new();
    let link = rig.dir.path().join("link");
    symlink(&rig.fifo, &link).unwrap();
    for path in [&rig.fifo, &link] {
        let (code, _, stderr) = run(&["sim:mstp", "--fifo", path.to_str().unwrap()]);
        assert_eq!(code, 1);
        assert!(stderr.contains("another serialshark feeds this FIFO already"), "{stderr}");
    }
    rig.reader();
}

#[test]
fn ours_is_made_with_the_umask_and_removed_at_the_end() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    for (umask, mode) in [("022", 0o640), ("007", 0o660), ("077", 0o600)] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
        shell.arg(env!("CARGO_BIN_EXE_serialshark"));
        shell.args(["sim:mstp", "--fifo", fifo.to_str().unwrap()]);
        let mut program = Program::spawn(shell);
        program.wait_for("reading mstp");
        assert_eq!(fifo.metadata().unwrap().mode() & 0o777, mode);
        // After a rotation as well.
        FifoReader::open(&fifo).header();
        assert_eq!(fifo.metadata().unwrap().mode() & 0o777, mode);
        program.terminate();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_users_own_is_used_through_a_link_too_and_kept() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, 0o622);
    let link = dir.path().join("link");
    symlink("fifo", &link).unwrap();
    let mut rig = Rig::with_fifo(link.clone(), dir);
    let mut reader = rig.reader();
    rig.pty.send(&numbered_frame(7));
    assert_eq!(reader.records(1)[0].data, numbered_frame(7));
    // Through the real name as well.
    FifoReader::open(&fifo).header();
    rig.program.terminate();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(is_fifo(&fifo));
    assert_eq!(fifo.metadata().unwrap().mode() & 0o777, 0o622);
    assert_eq!(rig.names(), ["fifo", "link"]);
}

#[test]
fn a_crash_leaves_nothing_but_the_fifo_and_the_next_start_uses_it() {
    let mut rig = Rig::new();
    rig.reader();
    rig.program.child.kill().unwrap();
    rig.program.child.wait().unwrap();
    assert_eq!(rig.names(), ["sharkfin"]);
    let rig = Rig::with_fifo(rig.fifo.clone(), rig.dir);
    rig.reader();
}

#[test]
fn what_is_no_fifo_is_refused_and_nothing_changes() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::create_dir(at("directory")).unwrap();
    std::fs::write(at("file"), "mine").unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let before = listing(dir.path());
    for (name, says) in [
        ("directory", "is not a FIFO"),
        ("file", "is not a FIFO"),
        ("dangling", "dangling symlink"),
        ("missing/fifo", "mkdir -p"),
    ] {
        let (code, stdout, stderr) = run(&["sim:mstp", "--fifo", at(name).to_str().unwrap()]);
        assert_eq!(code, 1, "{name}");
        assert!(stdout.is_empty());
        assert!(stderr.contains(says), "{name}: {stderr}");
        assert!(stderr.starts_with(&format!("serialshark: {}: ", at(name).display())), "{stderr}");
        assert_eq!(listing(dir.path()), before, "{name}");
    }
}

fn listing(dir: &Path) -> Vec<(PathBuf, FileType, u64)> {
    let mut all: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            (path, FileType::from_raw_mode(metadata.mode()), metadata.len())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// serialshark as user nobody, who may not do everything. Needs root, as CI has it.
fn as_nobody(pty: &Pty, fifo: &Path) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        skip("only root can become somebody else");
        return None;
    }
    std::fs::set_permissions(&pty.path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(env!("CARGO_BIN_EXE_serialshark"));
    command.args([pty.path(), "--fifo", fifo.to_str().unwrap()]);
    Some(command)
}

#[test]
fn where_the_directory_cannot_be_written_one_reader_at_a_time_is_served() {
    for sticky in [false, true] {
        let dir = TempDir::new().unwrap();
        let fifo = dir.path().join("sharkfin");
        mkfifo(&fifo, 0o666);
        let inode = fifo.metadata().unwrap().ino();
        let mode = if sticky { 0o1777 } else { 0o555 };
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let pty = Pty::new();
        let Some(command) = as_nobody(&pty, &fifo) else { return };
        let mut program = Program::spawn(command);
        program.wait_for("only one reader at a time");
        program.wait_for("reading mstp");
        for round in 1..=50 {
            let mut reader = FifoReader::open(&fifo);
            reader.header();
            program.wait_for_nth(round, "a reader has come");
            pty.send(&numbered_frame(round as u32));
            assert_eq!(reader.records(1)[0].data, numbered_frame(round as u32));
            // Octets that this reader leaves behind must not reach the next one.
            pty.send(&numbered_frame(99));
            assert!(readable(&reader.fd, Instant::now() + LONG));
            drop(reader);
            program.wait_for_nth(round, "its reader left");
        }
        assert_eq!(fifo.metadata().unwrap().ino(), inode, "it is not ours to replace");
        program.terminate();
        assert!(is_fifo(&fifo));
    }
}

#[test]
fn in_a_read_only_directory_none_can_be_made() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let fifo = dir.path().join("sharkfin");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let Some(command) = as_nobody(&pty, &fifo) else { return };
    let mut program = Program::spawn(command);
    assert_eq!(program.wait().code(), Some(1));
    program.wait_for("cannot make the FIFO: Permission denied");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
