//! What the tests share: the real binary, a PTY as its port, frames, capture streams, tshark.
//!
//! Everything waits for a condition with a deadline; nothing sleeps to be right.
#![allow(dead_code)] // each test file uses a part
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

mod tier;

#[allow(unused_imports)] // each test file uses a part
pub use tier::{beyond_ci, full, left_to_full_runs, skip};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Far longer than anything takes, even on a loaded machine.
pub const LONG: Duration = Duration::from_secs(90);

/// How long the end may take: half a second for readers that are slow, a third of one for stderr,
/// and what the machine does meanwhile.
pub const SOON: Duration = Duration::from_secs(3);

/// The master side of a PTY whose slave is the program's port. Its names go before it does: its number
/// is soon somebody else's.
pub struct Pty {
    pub master: std::fs::File,
    pub path: PathBuf,
    names: Mutex<Vec<PathBuf>>,
}

impl Drop for Pty {
    fn drop(&mut self) {
        for name in std::mem::take(&mut *self.names.lock().unwrap()) {
            if std::fs::read_link(&name).is_ok_and(|path| path == self.path) {
                let _ = std::fs::remove_file(name);
            }
        }
    }
}

impl Pty {
    pub fn new() -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        rustix::io::ioctl_fionbio(&master, true).unwrap();
        let path = name.to_str().unwrap().into();
        Self { master: master.into(), path, names: Mutex::default() }
    }

    /// Gives it a name, as udev does, which may have been that of another.
    pub fn name(&self, name: impl AsRef<Path>) {
        let name = name.as_ref();
        let next = name.with_file_name("next");
        std::os::unix::fs::symlink(&self.path, &next).unwrap();
        std::fs::rename(&next, name).unwrap();
        self.names.lock().unwrap().push(name.to_owned());
    }

    /// Waits while the program does not read.
    pub fn send(&self, mut octets: &[u8]) {
        let deadline = Instant::now() + LONG;
        while !octets.is_empty() {
            octets = &octets[self.offer(octets)..];
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(&self.master, PollFlags::OUT)];
            match poll(&mut fds, Some(&Timespec::try_from(left).unwrap())) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => panic!("{errno}"),
            }
            assert!(!left.is_zero(), "the program does not read");
        }
    }

    /// Sends what goes out without waiting, and returns how much that is.
    pub fn offer(&self, octets: &[u8]) -> usize {
        match (&self.master).write(octets) {
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// What the program sent to its port until `enough` says so.
    pub fn receive_until(&self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + LONG;
        let mut received = Vec::new();
        while !enough(&received) {
            assert!(readable(&self.master, deadline), "sent only {:?}", text(&received));
            let mut chunk = [0; 4096];
            let len = read_some(&mut &self.master, &mut chunk);
            received.extend_from_slice(&chunk[..len]);
        }
        received
    }

    /// What the program has sent to its port up to now.
    pub fn received_now(&self) -> Vec<u8> {
        let mut received = Vec::new();
        while readable(&self.master, Instant::now()) {
            let mut chunk = [0; 4096];
            match (&self.master).read(&mut chunk) {
                Ok(len) if len > 0 => received.extend_from_slice(&chunk[..len]),
                _ => break,
            }
        }
        received
    }

    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Reads what is there, once something is: a socket that has a time limit may be interrupted by
/// a signal that stops and continues us.
pub fn read_some(reader: &mut impl Read, chunk: &mut [u8]) -> usize {
    loop {
        match reader.read(chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            read => return read.unwrap(),
        }
    }
}

pub fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Waits until `fd` is readable or hung up.
pub fn readable(fd: impl AsFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap();
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(Errno::INTR) => {}
            Err(errno) => panic!("{errno}"),
        }
    }
}

/// Waits until `condition` gives something. Looks every few milliseconds.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {LONG:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A running serialshark, ended at the latest when dropped.
pub struct Program {
    pub child: Child,
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    heard: std::thread::JoinHandle<()>,
}

impl Program {
    pub fn start<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(args: I) -> Self {
        let mut command = Self::command();
        command.args(args).stdout(Stdio::piped());
        Self::spawn(command)
    }

    pub fn command() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serialshark"));
        command.stdin(Stdio::null()).env_remove("RUST_LOG");
        command
    }

    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let shared = Arc::clone(&lines);
        let heard = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                shared.0.lock().unwrap().push(line);
                shared.1.notify_all();
            }
        });
        Self { child, lines, heard }
    }

    /// Waits for the `n`th line (from 1) on stderr that contains `pattern`.
    pub fn wait_for_nth(&self, n: usize, pattern: &str) -> String {
        let deadline = Instant::now() + LONG;
        let mut lines = self.lines.0.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().filter(|line| line.contains(pattern)).nth(n - 1) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {pattern:?} no. {n} in {lines:#?}");
            lines = self.lines.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits for a line with one of these, and returns whether it is the first one's.
    pub fn wait_for_either(&self, one: &str, other: &str) -> bool {
        eventually(one, || {
            let lines = self.stderr();
            let has = |pattern: &str| lines.iter().any(|line| line.contains(pattern));
            if has(one) { Some(true) } else { has(other).then_some(false) }
        })
    }

    pub fn wait_for(&self, pattern: &str) -> String {
        self.wait_for_nth(1, pattern)
    }

    pub fn stderr(&self) -> Vec<String> {
        self.lines.0.lock().unwrap().clone()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// From now on it may have this many descriptors.
    pub fn limit_descriptors(&self, limit: u64) {
        let limit = Rlimit { current: Some(limit), maximum: Some(20_000) };
        prlimit(Some(self.pid()), Resource::Nofile, limit).unwrap();
    }

    /// From now on its files may have this many octets.
    pub fn limit_file_size(&self, limit: u64) {
        let limit = Rlimit { current: Some(limit), maximum: None };
        prlimit(Some(self.pid()), Resource::Fsize, limit).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The first thread of this name: its id, and the file with what the kernel tells of it.
    pub fn thread(&self, name: &str) -> Option<(Pid, PathBuf)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let task = tasks.flatten().find(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        })?;
        let id = task.file_name().to_str()?.parse().ok()?;
        Some((Pid::from_raw(id)?, task.path().join("status")))
    }

    /// How often a thread, of which the kernel tells in this file, has gone to sleep.
    pub fn sleeps(status: &Path) -> u64 {
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
        line.and_then(|line| line.rsplit('\t').next()?.parse().ok()).unwrap()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // All that it said is to be heard, unless somebody else has its stderr.
                let a_while = Instant::now() + Duration::from_secs(5);
                while !self.heard.is_finished() && Instant::now() < a_while {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                return status;
            }
            assert!(Instant::now() < deadline, "still running; it said {:#?}", self.stderr());
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// SIGTERM; checks exit 0, and returns how long the end took.
    pub fn terminate(&mut self) -> Duration {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "it said {:#?}", self.stderr());
        start.elapsed()
    }

    /// Voluntary and involuntary switches of all threads: how often any of them woke.
    pub fn wakeups(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok())
            .flat_map(|status| {
                status
                    .lines()
                    .filter(|line| line.starts_with("voluntary_ctxt_switches"))
                    .filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok())
                    .collect::<Vec<_>>()
            })
            .sum()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs serialshark to its end and returns exit code, stdout and stderr.
pub fn run(args: &[&str]) -> (i32, Vec<u8>, String) {
    let output = Program::command().args(args).output().unwrap();
    (output.status.code().unwrap(), output.stdout, text(&output.stderr))
}

/// Header CRC of MS/TP bit by bit, as clause 9 has it: not the program's table.
pub fn header_crc(octets: &[u8]) -> u8 {
    let mut crc = 0xffu8;
    for octet in octets {
        crc ^= octet;
        for _ in 0..8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0x81 } else { crc >> 1 };
        }
    }
    !crc
}

fn data_crc(octets: &[u8]) -> u16 {
    let mut crc = 0xffffu16;
    for octet in octets {
        crc ^= u16::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0x8408 } else { crc >> 1 };
        }
    }
    !crc
}

/// A good MS/TP frame of a type that is not COBS encoded.
pub fn mstp(frame_type: u8, destination: u8, source: u8, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16).to_be_bytes();
    let header = [frame_type, destination, source, length[0], length[1]];
    let mut frame = [&[0x55, 0xff][..], &header, &[header_crc(&header)]].concat();
    if !data.is_empty() {
        frame.extend_from_slice(data);
        frame.extend_from_slice(&data_crc(data).to_le_bytes());
    }
    frame
}

/// A frame of Modbus RTU: a unit and its PDU, with their CRC.
pub fn modbus_rtu(octets: &[u8]) -> Vec<u8> {
    let crc = crc::Crc::<u16>::new(&crc::CRC_16_MODBUS).checksum(octets);
    [octets, &crc.to_le_bytes()].concat()
}

/// Frame number `n` of a trunk where no two are alike: tokens, mostly.
pub fn numbered_frame(n: u32) -> Vec<u8> {
    let number = n.to_be_bytes();
    match n % 4 {
        0 => mstp(5, number[3], number[2], &[&number[..], &[0x11; 30]].concat()),
        _ => mstp(0, number[3], number[2] & 0x7f, &[]),
    }
}

/// A TCP port that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// framed = delivered + dropped + abandoned, as the log has it.
pub fn check_account(line: &str) -> [u64; 4] {
    let numbers: Vec<u64> = line
        .split("after ")
        .nth(1)
        .unwrap()
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let [_, framed, delivered, dropped, abandoned] = numbers[..] else { panic!("{line}") };
    assert_eq!(framed, delivered + dropped + abandoned, "{line}");
    [framed, delivered, dropped, abandoned]
}

/// A small deterministic generator, so that a failure can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// A record of a classic pcap stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub time_us: u64,
    pub original_len: u32,
    pub data: Vec<u8>,
}

/// The reading end of a FIFO, as Wireshark has it: opened without waiting for a writer.
pub struct FifoReader {
    pub fd: OwnedFd,
    octets: Vec<u8>,
    /// How many of `octets` are gone; they are moved out together, once a read.
    taken: usize,
    pub link_type: Option<u32>,
}

impl FifoReader {
    pub fn open(path: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).unwrap();
        Self { fd, octets: Vec::new(), taken: 0, link_type: None }
    }

    /// Reads once, waiting until `deadline`; `false` at the end of the stream.
    ///
    /// A read of 0 octets before the writer has come is no end, as in dumpcap's select.
    fn fill(&mut self, deadline: Instant) -> bool {
        assert!(readable(&self.fd, deadline), "nothing came; have {} octets", self.octets.len());
        let mut chunk = [0; 65536];
        match rustix::io::read(&self.fd, &mut chunk) {
            Ok(len) => {
                self.octets.drain(..std::mem::take(&mut self.taken));
                self.octets.extend_from_slice(&chunk[..len]);
                len > 0
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(errno) => panic!("{errno}"),
        }
    }

    /// Waits for the header, checks it, and returns how long it took.
    pub fn header(&mut self) -> Duration {
        let start = Instant::now();
        while self.octets.len() < 24 {
            assert!(self.fill(start + LONG), "stream without a header");
        }
        let took = start.elapsed();
        let header: Vec<u8> = self.octets.drain(..24).collect();
        let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
        assert_eq!(word(0), 0xa1b2_c3d4);
        assert_eq!(header[4..8], [2u16.to_ne_bytes(), 4u16.to_ne_bytes()].concat());
        assert_eq!((word(8), word(12), word(16)), (0, 0, 65_535));
        self.link_type = Some(word(20));
        took
    }

    fn parsed(&mut self) -> Option<Record> {
        let (record, len) = parse_record(&self.octets[self.taken..])?;
        self.taken += len;
        Some(record)
    }

    /// The next record; `None` at the end of the stream, which must not be inside a record.
    pub fn record(&mut self) -> Option<Record> {
        if self.link_type.is_none() {
            self.header();
        }
        loop {
            if let Some(record) = self.parsed() {
                return Some(record);
            }
            if !self.fill(Instant::now() + LONG) {
                assert_eq!(self.octets.len(), self.taken, "the stream ends inside a record");
                return None;
            }
        }
    }

    pub fn records(&mut self, count: usize) -> Vec<Record> {
        (0..count).map(|n| self.record().unwrap_or_else(|| panic!("only {n} records"))).collect()
    }

    /// All records up to the end of the stream.
    pub fn rest(&mut self) -> Vec<Record> {
        std::iter::from_fn(|| self.record()).collect()
    }
}

/// The record that these octets begin with, if it is whole, and its length with its header.
pub fn parse_record(octets: &[u8]) -> Option<(Record, usize)> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(octets.get(at..at + 4)?.try_into().ok()?))
    };
    let (seconds, micros, len, original_len) = (word(0)?, word(4)?, word(8)?, word(12)?);
    assert!(micros < 1_000_000 && len > 0 && len <= original_len && len <= 65_535, "no record");
    let data = octets.get(16..16 + len as usize)?.to_vec();
    let time_us = u64::from(seconds) * 1_000_000 + u64::from(micros);
    Some((Record { time_us, original_len, data }, 16 + len as usize))
}

/// All records of a classic pcap file, which must hold whole ones.
pub fn pcap_records(file: &[u8]) -> Vec<Record> {
    let (records, rest) = whole_records(&file[24..]);
    assert!(rest.is_empty(), "ends inside a record");
    records
}

/// The whole records of a classic pcap file that is being written, perhaps just now.
pub fn pcap_records_so_far(file: &[u8]) -> Vec<Record> {
    whole_records(file.get(24..).unwrap_or_default()).0
}

fn whole_records(mut octets: &[u8]) -> (Vec<Record>, &[u8]) {
    let mut records = Vec::new();
    while let Some((record, len)) = parse_record(octets) {
        records.push(record);
        octets = &octets[len..];
    }
    (records, octets)
}

/// A figure of `/proc/PID/status`, in kB.
pub fn memory_kb(pid: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

/// A command of Wireshark's family. Without it a test is skipped, or fails in full.
pub fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if found {
        return Some(Command::new(name));
    }
    skip(&format!("{name} is not installed, so nothing was judged by it"));
    None
}

/// What tshark prints; its own failure is ours.
pub fn tshark(args: &[&str], input: &[u8]) -> Option<String> {
    let mut command = tool("tshark")?;
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || {
        // tshark may have seen enough before all is written.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success(), "tshark: {}", text(&output.stderr));
    Some(text(&output.stdout))
}

/// A program that has no `--version`. Without it a test is skipped, or fails in full.
pub fn tool_without_version(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    if let Some(dir) = dirs.find(|dir| dir.join(name).is_file()) {
        return Some(Command::new(dir.join(name)));
    }
    skip(&format!("{name} is not installed, so nothing was judged by it"));
    None
}
