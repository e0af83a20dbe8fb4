//! Everything goes wrong at once: the fault harness.
//!
//! The real program reads a noisy line that is unplugged and replugged, and feeds two FIFOs, a
//! Unix socket, stdout and a file set on a disk that is always full and sometimes stalls,
//! while readers come, stall, are slow and leave in the middle, a crowd of them comes where
//! descriptors are few, FIFOs are removed or replaced, stderr is a terminal that is stopped or a
//! pipe that nobody reads, and the clock is set by an hour, forward or back. SIGTERM comes at any
//! moment, or up to four signals at once.
//! That is one life, a few seconds long; there are as many as fit into
//! `SERIALSHARK_FAULT_SECONDS`. `SERIALSHARK_FAULT_SEED` chooses another sequence of faults.
//!
//! The program records its octets too, and that is the judge of all streams:
//!
//! - what it received is what was sent, from each opening of the port on, without a gap;
//! - octets in = octets in frames + padding + skipped, and each figure of the log is exact;
//! - each stream is a header and whole records, and these are packets of that line, in order,
//!   with their times by the wall clock, which never run backwards, none twice, as many as the
//!   log says were delivered;
//! - framed = delivered + dropped + abandoned, for each stream;
//! - the log is whole, and stderr has of it what it took, and is told how much it did not;
//! - it ends within a moment, with trailers, and its FIFOs and sockets are gone;
//! - who comes after the crowd has left is served, and the file set goes on;
//! - when all readers have left, threads and open files are what they were, and of the memory
//!   no more is left than queues took, which the allocator keeps: it does not grow from storm to storm.

mod company;
mod disk;
mod run;
mod sniffer;
mod stall;

use crate::clock::FakeClock;
use crate::common::*;
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{PcapBlockOwned, PcapNGSlice};
use run::Run;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::Signal;
use rustix::termios::tcgetattr;
use serialshark::framing::{Setup, protocol};
use serialshark::packet::{Batch, Tally};
use serialshark::time::Timestamp;
use stall::Stall;
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Not the rate that a pseudo-terminal has by itself.
const BAUD: u32 = 76_800;
/// How long it goes on, unless the environment says otherwise.
const SECONDS: u64 = 3;
const SECONDS_IN_FULL: u64 = 12;
const SEED: u64 = 1;
const MOST_LIVES: u64 = 1 << 16;
/// Storms in the first life, with a calm after each but the last, in which SIGTERM comes. Each
/// life has one more than the one before, up to ten times as many: so a leak grows.
const STORMS: u64 = 3;
/// Steps of a storm, at most; a step is a few milliseconds.
const STEPS: u64 = 1000;
/// Octets in a step, if the program takes them: far more than a reader may have in its queue,
/// in a few seconds.
const FLOOD: u64 = 1 << 16;
/// How much more memory than in the first calm may be in use in a later one: what three queues took.
const MEMORY_KB: u64 = 3 * 4096;
/// Files that may be open at one look and not at another: the current one of the set, if the disk has
/// room for one. A leak is more with each storm.
const SPARE_FILES: usize = 2;
/// Nanoseconds in a second.
const NS: i64 = 1_000_000_000;
/// Octets that a reader reads in a step.
const APPETITES: [usize; 4] = [0, 0, 300, 1 << 20];
/// How far off the clock may be set, in seconds.
const CLOCKS: [i64; 3] = [-3600, 0, 3600];
/// How long two signals are one. It is half a second, but this test may be interrupted too.
const MOMENT: Duration = Duration::from_millis(300);
/// Where the file set is: room for six of its files, and nothing is left of it after a second.
const DISK: &str = "size=200k";
const FILE_SET: [&str; 4] = ["-C", "30k", "-W", "100"];

/// Has one life or more, each with a seed of its own, until the time is over and a life says that all
/// was tried: on a loaded machine there may be few.
fn live(what: &str, mut life: impl FnMut(u64, Random) -> bool) {
    if what != "all at once" && left_to_full_runs() {
        return;
    }
    let _shared = crate::shared();
    let number =
        |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seconds = number("SERIALSHARK_FAULT_SECONDS").unwrap_or(if full() {
        SECONDS_IN_FULL
    } else {
        SECONDS
    });
    let seed = number("SERIALSHARK_FAULT_SEED").unwrap_or(SEED);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut was_all_tried = false;
    for number in 0..MOST_LIVES {
        if was_all_tried && Instant::now() >= end {
            eprintln!("{what}: {number} lives");
            return;
        }
        // Told of, for it is the first life of that seed.
        let seed = seed.wrapping_add(number);
        eprintln!("{what}: life {number}, SERIALSHARK_FAULT_SEED={seed}");
        was_all_tried = life(seed, Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
    }
    assert!(was_all_tried, "{what}: not everything was tried in {MOST_LIVES} lives");
}

#[test]
fn everything_goes_wrong_at_once() {
    let mut total = Outcome::default();
    live("all at once", |seed, random| {
        let storms = STORMS + seed.wrapping_sub(SEED) % (9 * STORMS);
        total.add(&Life::begin(random).live(storms));
        let Outcome { damaged, skipped, unplugged, readers, .. } = total;
        let Outcome { delivered, dropped, guests, .. } = total;
        ![damaged, skipped, unplugged, readers, delivered, dropped, guests].contains(&0)
    });
    eprintln!("{total:?}");
}

#[test]
fn a_disk_stalls_and_is_full() {
    let mut total = disk::Outcome::default();
    live("disk", |_, random| {
        disk::Life::begin(random).live(&mut total);
        true
    });
    eprintln!("{total:?}");
}

#[test]
fn a_second_port_is_silent_or_dribbles() {
    let mut total = company::Outcome::default();
    live("company", |_, random| {
        company::Life::begin(random).live(&mut total);
        true
    });
    eprintln!("{total:?}");
}

#[test]
fn a_sniffers_clock_leaps() {
    let mut total = sniffer::Outcome::default();
    live("sniffer", |_, random| {
        sniffer::Life::begin(random).live(&mut total);
        true
    });
    eprintln!("{total:?}");
}

/// What came of it, to see that the faults were faults.
#[derive(Debug, Default)]
struct Outcome {
    octets: u64,
    frames: u64,
    damaged: u64,
    skipped: u64,
    unplugged: u64,
    readers: u64,
    delivered: u64,
    dropped: u64,
    abandoned: u64,
    guests: u64,
    /// Of the guests those that got a stream.
    served: u64,
    stalls: u64,
    unheard: u64,
    slowest_end_ms: u64,
    peak_memory_kb: u64,
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.octets += other.octets;
        self.frames += other.frames;
        self.damaged += other.damaged;
        self.skipped += other.skipped;
        self.unplugged += other.unplugged;
        self.readers += other.readers;
        self.delivered += other.delivered;
        self.dropped += other.dropped;
        self.abandoned += other.abandoned;
        self.guests += other.guests;
        self.served += other.served;
        self.stalls += other.stalls;
        self.unheard += other.unheard;
        self.slowest_end_ms = self.slowest_end_ms.max(other.slowest_end_ms);
        self.peak_memory_kb = self.peak_memory_kb.max(other.peak_memory_kb);
    }
}

/// Whoever speaks on the line: numbered frames, of which some are damaged, and noise.
struct Traffic {
    frames: u32,
    /// Frames of a hundred that have a flaw.
    noise: u64,
    unsent: VecDeque<u8>,
}

impl Traffic {
    fn fill(&mut self, random: &mut Random) {
        while (self.unsent.len() as u64) < FLOOD {
            let mut frame = numbered_frame(self.frames);
            self.frames += 1;
            if random.below(100) < self.noise {
                let at = random.below(frame.len() as u64) as usize;
                match random.below(4) {
                    0 => frame[at] ^= 1 << random.below(8),
                    1 => frame.truncate(at),
                    2 => frame.insert(at, random.next() as u8),
                    _ => {
                        let len = random.below(40) as usize;
                        frame.extend(random.octets(len));
                    }
                }
            }
            self.unsent.extend(frame);
        }
    }
}

/// A listener of the program, and who has come to it.
struct Output {
    path: PathBuf,
    is_fifo: bool,
    /// Where no other reader can come.
    is_stdout: bool,
    /// One at a time, so that the log's lines about them are in the same order.
    readers: Vec<Reader>,
}

struct Reader {
    fd: OwnedFd,
    octets: Vec<u8>,
    /// Octets it reads in a step.
    appetite: usize,
    has_left: bool,
}

impl Reader {
    /// Of this FIFO, with an appetite for all; it has the header already.
    fn of_pcap(fifo: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(fifo, flags, Mode::empty()).unwrap();
        let mut reader = Self { fd, octets: Vec::new(), appetite: usize::MAX, has_left: false };
        eventually("a header", || {
            reader.read(24 - reader.octets.len());
            (reader.octets.len() == 24).then_some(())
        });
        reader
    }

    /// Reads what is there, up to `limit` octets; `false` at the end of the stream.
    fn read(&mut self, limit: usize) -> bool {
        let mut chunk = vec![0; limit];
        let mut left = limit;
        while left > 0 {
            match rustix::io::read(&self.fd, &mut chunk[..left]) {
                Ok(0) => return false,
                Ok(len) => {
                    self.octets.extend_from_slice(&chunk[..len]);
                    left -= len;
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::CONNRESET) => return false, // turned away
                Err(errno) => panic!("{errno}"),
            }
        }
        true
    }

    /// Its records; what is behind the last whole one must be nothing, unless it left.
    fn records(&self) -> Vec<Record> {
        if self.has_left && self.octets.len() < 24 {
            return Vec::new();
        }
        assert_eq!(self.octets[..4], 0xa1b2_c3d4_u32.to_ne_bytes(), "no header");
        let (mut rest, mut records) = (&self.octets[24..], Vec::new());
        while let Some((record, len)) = parse_record(rest) {
            records.push(record);
            rest = &rest[len..];
        }
        assert!(self.has_left || rest.is_empty(), "the stream ends inside a record");
        records
    }
}

struct Life {
    random: Random,
    dir: TempDir,
    /// The disk of the file set, if it stalls. Before the program: its threads must go on to end.
    stall: Option<Stall>,
    program: Run,
    outputs: Vec<Output>,
    /// Where the crowd comes: a FIFO, a Unix socket, a TCP port.
    fifo: PathBuf,
    socket: PathBuf,
    port: u16,
    /// Who has come with the crowd, and its streams were whole.
    guests: Vec<Reader>,
    /// FIFOs that are not the program's.
    own: Vec<u64>,
    /// The thread that waits for the disk of the file set.
    writer: u32,
    traffic: Traffic,
    pty: Option<Pty>,
    /// What was sent to each port that was plugged in.
    sent: Vec<Vec<u8>>,
    /// Octets sent in a step, at most.
    pace: u64,
    /// Steps until the line speaks again.
    silence: u64,
    clock: Option<FakeClock>,
    /// The directory of the file set, which is there as long as this is open.
    disk: OwnedFd,
    outcome: Outcome,
}

impl Life {
    fn begin(mut random: Random) -> Self {
        let dir = TempDir::new().unwrap();
        let disk_path = dir.path().join("disk");
        std::fs::create_dir(&disk_path).unwrap();
        let path = |name: &str| dir.path().join(name);
        let pty = Pty::new();
        pty.name(path("ttyUSB0"));
        let mut command = small_disk(&disk_path, DISK, false);
        command.arg(path("ttyUSB0")).arg("-b").arg(BAUD.to_string());
        command.arg("--fifo").arg(path("a")).arg("--fifo").arg(path("b"));
        command.arg("--unix").arg(path("c")).arg("--record").arg(path("line.rec"));
        command.arg("-w").arg(disk_path.join("ring.pcapng")).args(FILE_SET).args(["-w", "-"]);
        let (fifo, socket, port) = (path("d"), path("e"), free_port());
        command.arg("--fifo").arg(&fifo).arg("--unix").arg(&socket);
        command.arg("--tcp").arg(port.to_string()).stdout(Stdio::piped());
        let clock = FakeClock::new(dir.path());
        if let Some(clock) = &clock {
            clock.give_to(&mut command);
        }
        let mut program = Run::start(command, dir.path(), &mut random);
        let stdout: OwnedFd = program.child.stdout.take().unwrap().into();
        rustix::io::ioctl_fionbio(&stdout, true).unwrap();
        let disk = open_disk(&program, &disk_path);
        let outputs = [("a", true), ("b", true), ("c", false)].map(|(name, is_fifo)| Output {
            path: path(name),
            is_fifo,
            is_stdout: false,
            readers: Vec::new(),
        });
        let mut outputs = Vec::from(outputs);
        let appetite = APPETITES[random.below(4) as usize];
        let reader = Reader { fd: stdout, octets: Vec::new(), appetite, has_left: false };
        outputs.push(Output {
            path: "standard output".into(),
            is_fifo: false,
            is_stdout: true,
            readers: vec![reader],
        });
        // Files are opened last.
        let writer = program.thread("writer", 2);
        let noise = 1 + random.below(30);
        Self {
            random,
            program,
            outputs,
            fifo,
            socket,
            port,
            guests: Vec::new(),
            own: Vec::new(),
            stall: None,
            writer,
            traffic: Traffic { frames: 0, noise, unsent: VecDeque::new() },
            pty: Some(pty),
            sent: vec![Vec::new()],
            pace: FLOOD,
            silence: 0,
            clock,
            disk,
            outcome: Outcome::default(),
            dir,
        }
    }

    fn live(mut self, storms: u64) -> Outcome {
        eventually("the last thread", || self.has_port_thread().then_some(()));
        let at_first = self.possessions();
        let mut then = None;
        for _ in 1..storms {
            let steps = STEPS / 2 + self.random.below(STEPS / 2);
            for _ in 0..steps {
                self.step();
            }
            self.calm_down();
            eventually("threads and open files as they were", || {
                let now = self.possessions();
                (now.0 <= at_first.0 && now.1 <= at_first.1 + SPARE_FILES).then_some(())
            });
            let now = memory_kb(self.program.child.id(), "VmRSS");
            // Not from the start on: what one storm's queues took, the allocator keeps.
            let then = *then.get_or_insert(now);
            assert!(now <= then + MEMORY_KB, "memory: {then} kB, then {now} kB");
        }
        for _ in 0..self.random.below(STEPS) {
            self.step();
        }
        if self.random.below(2) == 0 {
            self.stall();
        }
        self.outcome.peak_memory_kb = memory_kb(self.program.child.id(), "VmHWM");
        self.stall = None;
        let told = Instant::now();
        self.send_signals();
        let status = loop {
            if let Some(status) = self.program.child.try_wait().unwrap() {
                break status;
            }
            assert!(told.elapsed() < LONG, "does not end: {:#?}", self.program.lines());
            self.feed();
            self.read();
        };
        let took = told.elapsed();
        self.outcome.slowest_end_ms = took.as_millis() as u64;
        self.program.check_said(status);
        assert!(took < SOON, "the end took {took:?}: {:#?}", self.program.lines());
        self.judge();
        self.outcome
    }

    /// SIGTERM, or some signals within a moment, of which one at least means the end.
    fn send_signals(&mut self) {
        const SIGNALS: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::HUP];
        let mut signals = vec![SIGNALS[self.random.below(2) as usize]];
        for _ in 0..self.random.below(4) {
            let at = self.random.below(1 + signals.len() as u64) as usize;
            signals.insert(at, SIGNALS[self.random.below(3) as usize]);
        }
        let mut began = None;
        for signal in signals {
            if signal != Signal::HUP {
                began.get_or_insert_with(Instant::now);
            }
            if began.is_some_and(|began| began.elapsed() > MOMENT) {
                break; // it would be meant as one of its own
            }
            self.program.signal(signal);
            for _ in 0..self.random.below(3) {
                self.feed();
                self.read();
            }
        }
    }

    /// Whether the thread runs that is started after all others.
    fn has_port_thread(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.program.child.id())).unwrap();
        let names = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")));
        names.flatten().any(|name| name == "port\n")
    }

    /// Threads and open files.
    fn possessions(&self) -> (usize, usize) {
        let count = |what: &str| {
            let path = format!("/proc/{}/{what}", self.program.child.id());
            std::fs::read_dir(path).unwrap().count()
        };
        (count("task"), count("fd"))
    }

    /// All readers leave, and the port is there.
    fn calm_down(&mut self) {
        for output in 0..self.outputs.len() {
            self.leave(output);
        }
        if self.pty.is_none() {
            self.plug();
        }
        self.stall = None;
        self.program.resume_stderr();
        eventually("the port is open", || {
            self.program.hear();
            self.is_open().then_some(())
        });
    }

    /// Each output has a reader that does not read, and its pipe is full.
    fn stall(&mut self) {
        for output in 0..self.outputs.len() {
            self.come(output);
            if let Some(reader) = self.outputs[output].readers.last_mut() {
                reader.appetite = 0;
            }
        }
        (self.pace, self.silence) = (FLOOD, 0);
        for _ in 0..STEPS / 4 {
            self.feed();
        }
    }

    /// A moment of a storm.
    fn step(&mut self) {
        let sent = self.feed();
        self.read();
        if self.random.below(20) == 0 {
            self.fault();
        }
        // The line has a pace; nothing depends on it.
        if self.pace < FLOOD || sent == 0 {
            std::thread::park_timeout(Duration::from_millis(self.random.below(4)));
        }
    }

    /// Whether the program has opened the port and set it up, the rate last of all: octets from
    /// before are lost or changed by the tty.
    fn is_open(&self) -> bool {
        self.pty.as_ref().is_some_and(|pty| tcgetattr(&pty.master).unwrap().input_speed() == BAUD)
    }

    /// Sends some of the line; returns how many octets the port took.
    fn feed(&mut self) -> usize {
        if self.silence > 0 {
            self.silence -= 1;
            return 0;
        }
        if !self.is_open() {
            return 0;
        }
        self.traffic.fill(&mut self.random);
        let len = 1 + self.random.below(self.pace) as usize;
        let octets: Vec<u8> = self.traffic.unsent.iter().take(len).copied().collect();
        let (pty, mut sent) = (self.pty.as_ref().unwrap(), 0);
        while sent < octets.len() {
            match pty.offer(&octets[sent..]) {
                0 => break,
                len => sent += len,
            }
        }
        self.traffic.unsent.drain(..sent);
        self.sent.last_mut().unwrap().extend_from_slice(&octets[..sent]);
        sent
    }

    fn read(&mut self) {
        for reader in self.outputs.iter_mut().filter_map(|output| output.readers.last_mut()) {
            if !reader.has_left {
                reader.read(reader.appetite);
            }
        }
        self.program.hear();
    }

    fn fault(&mut self) {
        let output = self.random.below(4) as usize;
        match self.random.below(22) {
            0 => self.unplug(),
            1..=2 if self.pty.is_none() => self.plug(),
            3..=5 => self.come(output),
            6 => self.leave(output),
            7 => {
                let appetite = self.appetite();
                if let Some(reader) = self.outputs[output].readers.last_mut() {
                    reader.appetite = appetite;
                }
            }
            9 if self.outputs[output].is_fifo => {
                // It may just be being replaced.
                let _ = std::fs::remove_file(&self.outputs[output].path);
            }
            10 if self.outputs[output].is_fifo => {
                let own = self.dir.path().join("own");
                let mode = Mode::RUSR | Mode::WUSR;
                rustix::fs::mknodat(rustix::fs::CWD, &own, FileType::Fifo, mode, 0).unwrap();
                self.own.push(own.metadata().unwrap().ino());
                std::fs::rename(&own, &self.outputs[output].path).unwrap();
            }
            // Longer than the silence that ends a frame, or not.
            11 => self.silence = self.random.below(150),
            12 => self.pace = [40, 512, FLOOD, FLOOD, FLOOD][self.random.below(5) as usize],
            13 => self.fill_disk(),
            14 => self.free_disk(),
            15 => {
                let offset = CLOCKS[self.random.below(3) as usize];
                if let Some(clock) = &self.clock {
                    clock.set(&format!("{offset:+}"));
                }
            }
            16 => self.program.stop_stderr(),
            17 => self.program.resume_stderr(),
            18 => {
                // Far more lines than stderr takes unread.
                for _ in 0..self.random.below(60) {
                    self.program.signal(Signal::USR1);
                    self.feed();
                    self.read();
                }
                self.outcome.unheard += u64::from(self.program.stderr_is_stopped());
            }
            19 => self.crowd(),
            20 if self.stall.is_none() => {
                self.stall = Stall::of(self.writer);
                self.outcome.stalls += u64::from(self.stall.is_some());
            }
            21 => self.stall = None,
            _ => {}
        }
    }

    /// Many readers come at once where descriptors are few, see what they get, and leave. Then
    /// there are as many as before, and who comes is served.
    fn crowd(&mut self) {
        let used = self.possessions().1 as u64;
        self.program.limit_descriptors(Some(used + self.random.below(80)));
        let count = 1 + self.random.below(40);
        let mut guests: Vec<_> = (0..count).filter_map(|_| self.guest()).collect();
        // They share pipes that come in the same instant; so of these no stream is judged.
        let mut waiting = Vec::new();
        for _ in 0..self.random.below(4) {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            waiting.extend(rustix::fs::open(&self.fifo, flags, Mode::empty()));
        }
        self.outcome.guests += (guests.len() + waiting.len()) as u64;
        for _ in 0..self.random.below(100) {
            self.feed();
            self.read();
            for guest in &mut guests {
                guest.read(guest.appetite);
            }
        }
        for mut guest in guests {
            guest.read(1 << 16);
            self.outcome.served += u64::from(!guest.octets.is_empty());
            guest.has_left = true;
            let nothing = rustix::fs::open("/dev/null", OFlags::CLOEXEC, Mode::empty()).unwrap();
            drop(std::mem::replace(&mut guest.fd, nothing));
            self.guests.push(guest);
        }
        drop(waiting);
        self.program.limit_descriptors(None);
        for at in 0..3 {
            let guest = eventually("a connection", || self.guest_at(at));
            self.serve(guest);
        }
    }

    /// Who comes alone is served.
    fn serve(&mut self, mut guest: Reader) {
        eventually("a header", || {
            self.program.hear();
            guest.read(24 - guest.octets.len());
            (guest.octets.len() == 24).then_some(())
        });
    }

    fn guest(&mut self) -> Option<Reader> {
        let at = 1 + self.random.below(2);
        self.guest_at(at)
    }

    /// One at the FIFO, the Unix socket or the TCP port, who does not wait to be let in.
    fn guest_at(&mut self, at: u64) -> Option<Reader> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = |family| socket_with(family, SocketType::STREAM, flags, None).unwrap();
        let (fd, connected) = match at {
            0 => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                (rustix::fs::open(&self.fifo, flags, Mode::empty()).ok()?, Ok(()))
            }
            1 => {
                let fd = socket(AddressFamily::UNIX);
                let connected = connect(&fd, &SocketAddrUnix::new(&self.socket).unwrap());
                (fd, connected)
            }
            _ => {
                let fd = socket(AddressFamily::INET);
                let connected = connect(&fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
                // That it leaves shows at once.
                set_socket_linger(&fd, Some(Duration::ZERO)).unwrap();
                (fd, connected)
            }
        };
        let appetite = self.appetite();
        let reader = Reader { fd, octets: Vec::new(), appetite, has_left: false };
        match connected {
            Ok(()) | Err(Errno::INPROGRESS) => Some(reader),
            Err(Errno::AGAIN | Errno::CONNREFUSED) => None, // too many wait there already
            Err(errno) => panic!("{errno}"),
        }
    }

    /// A reader is stalled, slow, or keeps up.
    fn appetite(&mut self) -> usize {
        APPETITES[self.random.below(4) as usize]
    }

    fn unplug(&mut self) {
        if self.pty.is_none() {
            return;
        }
        self.outcome.unplugged += 1;
        self.pty = None;
    }

    fn plug(&mut self) {
        let pty = Pty::new();
        pty.name(self.dir.path().join("ttyUSB0"));
        self.pty = Some(pty);
        self.sent.push(Vec::new());
    }

    /// A reader comes, and waits for its header.
    fn come(&mut self, output: usize) {
        let appetite = self.appetite();
        let output = &mut self.outputs[output];
        if output.is_stdout || output.readers.last().is_some_and(|reader| !reader.has_left) {
            return;
        }
        let path = &output.path;
        let fd = if output.is_fifo {
            eventually("the FIFO is there", || {
                let metadata = path.symlink_metadata().ok()?;
                if !metadata.file_type().is_fifo() {
                    return None;
                }
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                rustix::fs::open(path, flags, Mode::empty()).ok()
            })
        } else {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream.into()
        };
        let mut reader = Reader { fd, octets: Vec::new(), appetite, has_left: false };
        eventually("a header", || {
            self.program.hear();
            reader.read(24 - reader.octets.len());
            (reader.octets.len() == 24).then_some(())
        });
        output.readers.push(reader);
        self.outcome.readers += 1;
    }

    /// The reader of this output leaves, if there is one, wherever in the stream it is.
    fn leave(&mut self, output: usize) {
        let output = &mut self.outputs[output];
        let readers = output.readers.len();
        let Some(reader) = output.readers.last_mut() else { return };
        if reader.has_left {
            return;
        }
        reader.has_left = true;
        let nothing = rustix::fs::open("/dev/null", OFlags::CLOEXEC, Mode::empty()).unwrap();
        drop(std::mem::replace(&mut reader.fd, nothing));
        self.program.wait_for_nth(readers, &format!("{}: its reader left", output.path.display()));
    }

    fn ballast(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.disk.as_raw_fd().to_string()).join("ballast")
    }

    /// Another program takes room on the disk; some is left, or the file set would have to end.
    fn fill_disk(&mut self) {
        let octets = vec![0; self.random.below(60_000) as usize];
        // Has less room than that, most likely.
        let _ = std::fs::write(self.ballast(), octets);
    }

    fn free_disk(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }

    /// Compares all that was written with what was received.
    fn judge(&mut self) {
        let recording = std::fs::read(self.dir.path().join("line.rec")).unwrap();
        let line = Line::read(&recording);
        line.check_sent(&self.sent);
        self.check_tally(&line.tally);
        let said = self.program.lines().to_owned();
        for line in said.iter().filter(|line| line.contains("packets framed = ")) {
            if !line.contains(" queued; ") {
                check_account(line);
            }
        }
        self.check_gone();
        for guest in &self.guests {
            let records = guest.records();
            if records.is_empty() {
                continue;
            }
            line.check_stream(records.iter().map(|r| (r.time_us, &r.data[..])), 1000);
        }
        for output in &mut self.outputs {
            let says = format!("{}: ", output.path.display());
            let accounts: Vec<_> = said
                .iter()
                .filter(|line| line.contains(&says) && line.contains("packets framed"))
                .filter(|line| !line.contains(" queued; "))
                .map(|line| check_account(line))
                .collect();
            assert_eq!(accounts.len(), output.readers.len(), "{says}{said:#?}");
            for (reader, [framed, delivered, dropped, abandoned]) in
                output.readers.iter_mut().zip(accounts)
            {
                while !reader.has_left && reader.read(1 << 16) {}
                let records = reader.records();
                line.check_stream(records.iter().map(|r| (r.time_us, &r.data[..])), 1000);
                assert!(framed <= line.packets.len() as u64);
                assert!(records.len() as u64 <= delivered);
                assert!(reader.has_left || records.len() as u64 == delivered, "{delivered}");
                self.outcome.delivered += delivered;
                self.outcome.dropped += dropped;
                self.outcome.abandoned += abandoned;
            }
        }
        self.check_ring(&line);
    }

    /// Nothing is left where readers came in, but the FIFOs of others and what takes their place.
    fn check_gone(&mut self) {
        let said = self.program.lines();
        let paths = self.outputs.iter().filter(|output| !output.is_stdout).map(|o| &o.path);
        for path in paths.chain([&self.fifo, &self.socket]) {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let is_others = self.own.contains(&metadata.ino());
            let says = format!("{}: was re", path.display());
            let last = said.iter().rfind(|line| line.contains(&says));
            let in_its_place = last.is_some_and(|line| line.ends_with("; using that one"));
            assert!(is_others || in_its_place, "{} is left", path.display());
        }
    }

    /// The log has the figures of a framer that is given the same octets here.
    fn check_tally(&mut self, tally: &Tally) {
        let said = self.program.lines();
        let summary = said.iter().rfind(|line| line.contains("octets =")).expect("a summary");
        let expected = format!(
            "ttyUSB0: {} frames, {} damaged; {} octets = {} in frames + {} in damaged ones + \
             {} padding + {} skipped",
            tally.good_frames + tally.damaged_frames,
            tally.damaged_frames,
            tally.octets,
            tally.good_octets,
            tally.damaged_octets,
            tally.padding_octets,
            tally.skipped_octets,
        );
        assert!(summary.ends_with(&expected), "{summary}, but {expected}");
        self.outcome.octets = tally.octets;
        self.outcome.frames = tally.good_frames + tally.damaged_frames;
        self.outcome.damaged = tally.damaged_frames;
        self.outcome.skipped = tally.skipped_octets;
    }

    /// What is left of the file set: whole files, each a stream.
    fn check_ring(&mut self, line: &Line) {
        let dir = Path::new("/proc/self/fd").join(self.disk.as_raw_fd().to_string());
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "pcapng"));
        files.sort();
        assert!(!files.is_empty());
        let end = "ring.pcapng: finished after ";
        assert!(
            self.program.lines().iter().any(|line| line.contains(end)),
            "the file set has ended"
        );
        for path in &files {
            let (packets, has_trailer) = pcapng_packets(&std::fs::read(path).unwrap());
            assert!(has_trailer, "{}", path.display());
            line.check_stream(packets.iter().map(|(time, data)| (*time, &data[..])), 1);
        }
    }
}

/// The program with this directory on a small disk of its own, which is full of one file or empty.
/// It keeps the process's number.
fn small_disk(disk: &Path, size: &str, is_full: bool) -> Command {
    let program = env!("CARGO_BIN_EXE_serialshark");
    let allowed = Command::new("unshare").args(["-rm", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        skip("unshare is not allowed here, so no disk was full");
        return Command::new(program);
    }
    let script = "mount -t tmpfs -o $1 none $2 || exit; \
                  if [ $3 ]; then cat /dev/zero > $2/ballast 2> /dev/null; fi; shift 3; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh", size]).arg(disk);
    command.arg(if is_full { "full" } else { "" }).arg(program);
    command
}

/// Numbered frames tell how far ahead a stream's times are; tokens and parts of frames are often
/// the same.
fn is_numbered(octets: &[u8]) -> bool {
    octets.len() > 40
}

/// That directory, as the program sees it.
fn open_disk(program: &Run, disk: &Path) -> OwnedFd {
    let seen = format!("/proc/{}/root{}", program.child.id(), disk.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(seen, flags, Mode::empty()).unwrap()
}

/// The packets of a pcapng stream, which must have whole blocks, with their times as they are in
/// it; and whether it ends with its trailer.
fn pcapng_packets(stream: &[u8]) -> (Vec<(u64, Vec<u8>)>, bool) {
    let (mut packets, mut has_trailer) = (Vec::new(), false);
    for block in PcapNGSlice::from_slice(stream).unwrap() {
        let PcapBlockOwned::NG(block) = block.expect("whole blocks") else { panic!() };
        has_trailer = matches!(block, Block::InterfaceStatistics(_));
        if let Block::EnhancedPacket(block) = block {
            let time = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
            packets.push((time, block.packet_data().to_vec()));
        }
    }
    (packets, has_trailer)
}

/// What the program received, as it recorded it, and what a framer makes of it.
struct Line {
    /// Octets from each opening of the port to its end.
    received: Vec<Vec<u8>>,
    /// Each with its time in nanoseconds.
    packets: Vec<(u64, Vec<u8>)>,
    /// When the numbered frames among them came.
    times: HashMap<Vec<u8>, u64>,
    tally: Tally,
}

impl Line {
    fn read(recording: &[u8]) -> Self {
        let mut row = 0;
        let is_header = |octet: &u8| {
            row += usize::from(*octet == b'\n');
            row < 2
        };
        let header = recording.iter().take_while({
            let mut is_header = is_header;
            move |octet| is_header(octet)
        });
        let mut rest = &recording[header.count() + 1..];
        let mstp = protocol("mstp").unwrap();
        let mut framer = (mstp.framer)(&Setup::new(BAUD));
        let mut batch = Batch::new(0);
        let mut received = vec![Vec::new()];
        while let Some((header, tail)) = rest.split_first_chunk::<13>() {
            let time = u64::from_le_bytes(header[1..9].try_into().unwrap());
            let time = Timestamp::from_ns(time);
            let len = u32::from_le_bytes(header[9..].try_into().unwrap()) as usize;
            let (octets, tail) = tail.split_at(len);
            match header[0] {
                b'O' => {
                    framer.push(octets, time, &mut batch);
                    received.last_mut().unwrap().extend_from_slice(octets);
                }
                b'S' => framer.expire(time, &mut batch),
                b'G' => framer.finish(&mut batch),
                b'B' => received.push(Vec::new()),
                b'W' => {} // the clock was set; packets are dated by one that was not
                kind => panic!("{kind} in the recording"),
            }
            rest = tail;
        }
        assert!(rest.is_empty(), "the recording ends inside a record");
        framer.finish(&mut batch);
        let packets: Vec<_> =
            batch.packets().map(|packet| (packet.time.as_ns(), packet.data.to_vec())).collect();
        let numbered = packets.iter().filter(|(_, octets)| is_numbered(octets));
        let times = numbered.map(|(at, octets)| (octets.clone(), *at)).collect();
        Self { received, packets, times, tally: framer.tally() }
    }

    /// Each opening received the beginning of what was sent to one port, each port once at most.
    fn check_sent(&self, sent: &[Vec<u8>]) {
        let mut ports = sent.iter();
        for octets in self.received.iter().filter(|octets| !octets.is_empty()) {
            if !ports.any(|sent| sent.starts_with(octets)) {
                let alike =
                    |sent: &Vec<u8>| sent.iter().zip(octets).take_while(|(a, b)| a == b).count();
                let alike: Vec<_> = sent.iter().map(|sent| (alike(sent), sent.len())).collect();
                panic!(
                    "{} octets received; of those sent this many are alike: {alike:?}",
                    octets.len()
                );
            }
        }
    }

    /// A stream has some of the packets, in order, none twice. Its times, in this unit, are ahead
    /// of theirs by what the clock was set, which grows at once, and shrinks not before the next
    /// stream.
    fn check_stream<'a>(&self, stream: impl Iterator<Item = (u64, &'a [u8])>, unit_ns: u64) {
        let stream: Vec<_> = stream.collect();
        let is_set = |ahead: i64| CLOCKS.iter().any(|clock| (ahead - clock * NS).abs() < NS);
        let mut leads = VecDeque::new();
        for (number, (time, data)) in stream.iter().enumerate().filter(|(_, r)| is_numbered(r.1)) {
            let at =
                self.times.get(*data).unwrap_or_else(|| panic!("not on the line: {data:02x?}"));
            let lead = (time * unit_ns).cast_signed() - at.cast_signed();
            assert!(is_set(lead), "{lead} ns ahead at record {number}");
            leads.push_back((number, lead));
        }

        let mut packets = self.packets.iter();
        let (mut last, mut lead) = (0, None);
        for (number, &(time, data)) in stream.iter().enumerate() {
            assert!(time >= last, "time runs backwards at record {number}");
            last = time;
            // As far as the numbered frame before it, or the one that comes next; or the clock was
            // set after that and before this.
            let next = leads.front().map(|(_, lead)| *lead);
            let found = packets.any(|(at, octets)| {
                let ahead = (time * unit_ns).cast_signed() - at.cast_signed();
                let near = |lead: i64| ahead.abs_diff(lead) < unit_ns;
                let fits = lead.is_some_and(near)
                    || next.is_some_and(near)
                    || is_set(ahead)
                        && lead.is_none_or(|lead| ahead > lead + NS)
                        && next.is_none_or(|next| ahead < next - NS);
                octets == data && fits
            });
            assert!(found, "record {number} is none of the line, or out of order: {data:02x?}");
            if leads.front().is_some_and(|(at, _)| *at == number) {
                let (_, now) = leads.pop_front().unwrap();
                assert!(lead.is_none_or(|lead| now + unit_ns.cast_signed() > lead), "set back");
                lead = Some(now);
            }
        }
    }
}
