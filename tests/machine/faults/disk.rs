//! A disk that stalls or is full, for a recording and a file, while a reader keeps up.
//!
//! - The reader misses nothing, whatever the disk does;
//! - recorded octets and those that are told to be missing, in their places, are those that came;
//! - with a disk that does not come back a second signal ends it, and what is written is whole;
//! - the file has what the log says was delivered, in order, and ends with its trailer.
#![allow(missing_docs)]

use super::*;
use rustix::fs::{AtFlags, FallocateFlags, fallocate, fstatvfs};
use std::os::unix::process::ExitStatusExt as _;

/// Steps, at most.
const STEPS: u64 = 1500;
/// When a second signal is one of its own: half a second, and some for it to be heard.
const GRACE: Duration = Duration::from_millis(700);
const DISK: &str = "size=64m";

#[derive(Debug, Default)]
pub struct Outcome {
    octets: u64,
    frames: u64,
    stalls: u64,
    fills: u64,
    missing_in_recording: u64,
    dropped_by_file: u64,
    killed: u64,
    slowest_end_ms: u64,
}

pub struct Life {
    random: Random,
    dir: TempDir,
    /// Before the program: its threads must go on to end.
    stalls: [Option<Stall>; 2],
    program: Run,
    pty: Pty,
    traffic: Traffic,
    sent: Vec<u8>,
    reader: Reader,
    /// Of the recording and of the file.
    threads: [u32; 2],
    disk: OwnedFd,
    /// Another program has taken all room on it, or all but some.
    has_ballast: bool,
}

impl Life {
    pub fn begin(mut random: Random) -> Self {
        let dir = TempDir::new().unwrap();
        let disk_path = dir.path().join("disk");
        std::fs::create_dir(&disk_path).unwrap();
        let pty = Pty::new();
        let fifo = dir.path().join("a");
        let is_full = random.below(3) == 0;
        let mut command = small_disk(&disk_path, DISK, is_full);
        command.arg(pty.path()).arg("-b").arg(BAUD.to_string()).arg("--fifo").arg(&fifo);
        command.arg("--record").arg(disk_path.join("line.rec"));
        command.arg("-w").arg(disk_path.join("file.pcapng"));
        let program = Run::start(command, dir.path(), &mut random);
        let disk = open_disk(&program, &disk_path);
        let flags = AtFlags::empty();
        let has_ballast = rustix::fs::statat(&disk, "ballast", flags).is_ok();
        let threads = ["recording", "writer"].map(|name| program.thread(name, 1));
        let reader = Reader::of_pcap(&fifo);
        Self {
            random,
            dir,
            program,
            pty,
            traffic: Traffic { frames: 0, noise: 0, unsent: VecDeque::new() },
            sent: Vec::new(),
            reader,
            threads,
            stalls: [None, None],
            disk,
            has_ballast,
        }
    }

    pub fn live(mut self, outcome: &mut Outcome) {
        eventually("the port is open", || self.is_open().then_some(()));
        for _ in 0..STEPS / 2 + self.random.below(STEPS / 2) {
            self.step();
            if self.random.below(40) == 0 {
                self.fault(outcome);
            }
        }
        if self.random.below(4) > 0 {
            self.stalls = [None, None];
        }
        let is_stalled = self.stalls.iter().any(Option::is_some);
        if self.random.below(2) == 0 {
            self.free_disk();
        }
        let is_full = self.has_ballast;
        self.program.signal(Signal::TERM);
        let told = Instant::now();
        let status = loop {
            if let Some(status) = self.program.child.try_wait().unwrap() {
                break status;
            }
            assert!(told.elapsed() < LONG, "does not end: {:#?}", self.program.lines());
            self.step();
            if is_stalled && told.elapsed() > GRACE {
                return self.kill(outcome);
            }
        };
        let took = told.elapsed();
        assert!(took < SOON, "the end took {took:?}: {:#?}", self.program.lines());
        outcome.slowest_end_ms = outcome.slowest_end_ms.max(took.as_millis() as u64);
        // Without room for its trailer, or its header, a file has failed.
        let failure = "file.pcapng: cannot write: No space left on device";
        self.program.check_said_but(status, is_full.then_some(failure));
        while self.reader.read(1 << 16) {}
        self.judge(is_full, outcome);
    }

    /// It waits for the disk; a second signal kills it. What was written by then is whole.
    fn kill(mut self, outcome: &mut Outcome) {
        self.program.signal(Signal::TERM);
        let told = Instant::now();
        let path = format!("/proc/{}/status", self.program.child.id());
        eventually("the end", || {
            self.program.hear();
            std::fs::read_to_string(&path).unwrap().contains("State:\tZ").then_some(())
        });
        let took = told.elapsed();
        assert!(took < SOON, "the end took {took:?}");
        // strace would have its thread waited for.
        self.stalls = [None, None];
        let status = self.program.child.wait().unwrap();
        // Perhaps the disk was not waited for, and it was at its end just now.
        assert!([Some(Signal::TERM.as_raw()), None].contains(&status.signal()), "{status}");
        while self.reader.read(1 << 16) {}
        let records = self.reader.records();
        for (number, record) in records.iter().enumerate() {
            let frame = numbered_frame(number as u32);
            let is_cut = number + 1 == records.len() && frame.starts_with(&record.data);
            assert!(record.data == frame || is_cut, "no. {number} is {:02x?}", record.data);
        }
        recorded(&self.file("line.rec"), &self.sent);
        let file = self.file("file.pcapng");
        let packets = if file.is_empty() { Vec::new() } else { pcapng_packets(&file).0 };
        let mut all = (0..self.traffic.frames).map(numbered_frame);
        for (_, data) in &packets {
            let is_last = |frame: &Vec<u8>| frame.starts_with(data);
            assert!(all.any(|frame| is_last(&frame)), "invented, or out of order: {data:02x?}");
        }
        outcome.killed += 1;
    }

    fn file(&self, name: &str) -> Vec<u8> {
        let path = Path::new("/proc/self/fd").join(self.disk.as_raw_fd().to_string());
        std::fs::read(path.join(name)).unwrap()
    }

    fn is_open(&self) -> bool {
        tcgetattr(&self.pty.master).unwrap().input_speed() == BAUD
    }

    fn step(&mut self) {
        self.traffic.fill(&mut self.random);
        let len = 1 + self.random.below(FLOOD) as usize;
        let octets: Vec<u8> = self.traffic.unsent.iter().take(len).copied().collect();
        let mut sent = 0;
        while sent < octets.len() && self.is_open() {
            match self.pty.offer(&octets[sent..]) {
                0 => break,
                len => sent += len,
            }
        }
        self.traffic.unsent.drain(..sent);
        self.sent.extend_from_slice(&octets[..sent]);
        self.reader.read(8 << 20);
        self.program.hear();
        if sent == 0 {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn fault(&mut self, outcome: &mut Outcome) {
        let which = self.random.below(2) as usize;
        match self.random.below(5) {
            0..=1 if self.stalls[which].is_none() => {
                self.stalls[which] = Stall::of(self.threads[which]);
                outcome.stalls += u64::from(self.stalls[which].is_some());
            }
            2 => self.stalls[which] = None,
            3 if !self.has_ballast => {
                outcome.fills += 1;
                self.fill_disk();
            }
            4 => self.free_disk(),
            _ => {}
        }
    }

    /// Another program takes all room on the disk but some.
    fn fill_disk(&mut self) {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let ballast = rustix::fs::openat(&self.disk, "ballast", flags, mode).unwrap();
        let room = fstatvfs(&self.disk).unwrap();
        let spare = self.random.below(200_000);
        let len = (room.f_bavail * room.f_frsize).saturating_sub(spare).max(1);
        // Has less room than that by now, perhaps.
        let _ = fallocate(&ballast, FallocateFlags::empty(), 0, len);
        self.has_ballast = true;
    }

    fn free_disk(&mut self) {
        if std::mem::take(&mut self.has_ballast) {
            rustix::fs::unlinkat(&self.disk, "ballast", AtFlags::empty()).unwrap();
        }
    }

    fn judge(&mut self, is_full: bool, outcome: &mut Outcome) {
        let lines = self.program.lines().to_owned();
        let last = |what: &str| {
            let line = lines.iter().rfind(|line| line.contains(what));
            line.unwrap_or_else(|| panic!("no {what} in {lines:#?}")).clone()
        };
        let account = |name: &str| {
            let is_it = |line: &&String| line.contains(name) && line.contains("packets framed");
            let line = lines.iter().rfind(is_it);
            check_account(line.unwrap_or_else(|| panic!("no account of {name} in {lines:#?}")))
        };
        let summary = last(" octets = ");
        let received: u64 = {
            let (before, _) = summary.split_once(" octets = ").unwrap();
            before.rsplit_once(' ').unwrap().1.parse().unwrap()
        };
        outcome.octets += received;
        assert!(received <= self.sent.len() as u64);

        // The reader has all frames.
        let records = self.reader.records();
        let fifo = format!("{}: ", self.dir.path().join("a").display());
        assert_eq!(
            account(&fifo),
            [records.len() as u64, records.len() as u64, 0, 0],
            "{lines:#?}"
        );
        let mut at = 0;
        for (number, record) in records.iter().enumerate() {
            let frame = numbered_frame(number as u32);
            let is_cut = number + 1 == records.len() && frame.starts_with(&record.data);
            assert!(record.data == frame || is_cut, "no. {number} is {:02x?}", record.data);
            at += record.data.len() as u64;
        }
        assert!(at <= received && received - at < 8, "{at} octets in frames of {received}");
        outcome.frames += records.len() as u64;

        // So has the recording, or it says what it has not.
        let (at, missing) = recorded(&self.file("line.rec"), &self.sent);
        let told = "cannot write for now";
        let may_lack = is_full && lines.iter().any(|line| line.contains(told));
        assert!(at == received || may_lack && at < received, "{at} of {received} in the recording");
        outcome.missing_in_recording += missing;

        // And the file has what was delivered to it.
        let [framed, delivered, dropped, abandoned] = account("file.pcapng: ");
        assert_eq!(framed, records.len() as u64);
        assert_eq!(abandoned, 0);
        let (packets, has_trailer) = pcapng_packets(&self.file("file.pcapng"));
        assert_eq!(packets.len() as u64, delivered);
        assert!(has_trailer || is_full, "no trailer");
        let mut all = records.iter();
        for (time, data) in &packets {
            let found = all.any(|record| record.data == *data && record.time_us == time / 1000);
            assert!(found, "not on the line, or out of order: {data:02x?}");
        }
        outcome.dropped_by_file += dropped;
    }
}

/// How many octets the recording knows of, and how many of them are missing in it. What it has
/// must be what was sent, each at its place.
fn recorded(recording: &[u8], sent: &[u8]) -> (u64, u64) {
    if recording.is_empty() {
        // The disk was full before its first line.
        return (0, 0);
    }
    let mut lines = recording.splitn(3, |octet| *octet == b'\n');
    let mut rest = lines.nth(2).unwrap();
    let (mut at, mut missing) = (0, 0);
    while let Some((header, tail)) = rest.split_first_chunk::<13>() {
        let len = u32::from_le_bytes(header[9..].try_into().unwrap()) as usize;
        let (octets, tail) = tail.split_at(len);
        match header[0] {
            b'O' => {
                assert!(sent[at as usize..].starts_with(octets), "invented at octet {at}");
                at += len as u64;
            }
            b'L' => {
                let count = u64::from_le_bytes(octets.try_into().unwrap());
                at += count;
                missing += count;
            }
            b'S' | b'W' => {}
            kind => panic!("{kind} in the recording"),
        }
        rest = tail;
    }
    assert!(rest.is_empty(), "the recording ends inside a record");
    (at, missing)
}
