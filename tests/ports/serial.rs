//! A serial port as a source, with a PTY in its place.

use crate::common::*;
use rustix::termios::{ControlModes, InputModes, LocalModes, tcgetattr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A line with every kind of damage, and the frames on it that are intact.
struct NoisyLine {
    octets: Vec<u8>,
    intact: Vec<Vec<u8>>,
}

impl NoisyLine {
    /// `count` frames, of which about one in `one_in` is damaged.
    fn new(seed: u64, count: u32, one_in: u64) -> Self {
        let mut random = Random(seed);
        let (mut octets, mut intact) = (Vec::new(), Vec::new());
        for n in 0..count {
            let mut frame = numbered_frame(n);
            if n % 16 == 8 {
                let len = random.below(500) as usize + 1;
                frame = mstp(6, 255, 3, &[&n.to_be_bytes()[..], &random.octets(len)].concat());
            }
            if random.below(one_in) > 0 {
                octets.extend_from_slice(&frame);
                intact.push(frame);
            } else {
                let at = random.below(frame.len() as u64) as usize;
                match random.below(4) {
                    0 => frame[at] ^= 1 << random.below(8),
                    1 => frame.truncate(at),
                    2 => drop(frame.drain(at..(at + 3).min(frame.len()))),
                    _ => frame.insert(at, random.next() as u8),
                }
                octets.extend_from_slice(&frame);
            }
            match random.below(20) {
                0 => octets.push(0xff),
                1 if one_in < 1000 => {
                    let len = random.below(6) as usize + 1;
                    octets.extend(random.octets(len));
                }
                _ => {}
            }
        }
        Self { octets, intact }
    }
}

/// Sends a line in chunks up to `largest`, and returns the records and the program's summary.
fn capture(line: &NoisyLine, largest: u64) -> (Vec<Record>, String) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("capture.pcap");
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-w", file.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let mut random = Random(largest + 1);
    let mut rest = &line.octets[..];
    while !rest.is_empty() {
        let len = (random.below(largest) as usize + 1).min(rest.len());
        pty.send(&rest[..len]);
        rest = &rest[len..];
    }
    // The last frame is a good one, so that what is before it is decided when it is there.
    let last = mstp(0, 77, 78, &[]);
    pty.send(&last);
    let records = eventually("the last frame in the file", || {
        let records = pcap_records_so_far(&std::fs::read(&file).unwrap());
        (records.last()?.data == last).then_some(records)
    });
    program.terminate();
    let summary = program.wait_for("octets =");
    (records, summary)
}

#[test]
fn every_intact_frame_of_a_noisy_line_is_found_at_any_pacing() {
    for (seed, largest) in [(9, 1), (10, 40), (11, 5000)] {
        let line = NoisyLine::new(seed, 5000, 20);
        let (records, summary) = capture(&line, largest);
        // Each intact frame, in order; what is between them was on the line too.
        let mut found = records.iter();
        for (n, frame) in line.intact.iter().enumerate() {
            assert!(found.any(|record| record.data == *frame), "intact frame {n} is missing");
        }
        let good =
            records.iter().filter(|r| r.data.len() as u32 == r.original_len && is_good(&r.data));
        let phantoms = good.count() - 1 - line.intact.len();
        assert!(phantoms <= 10, "{phantoms} frames from inside damaged ones");
        // Nothing is invented: the records are parts of the line, in order.
        let mut rest = &line.octets[..];
        for record in &records[..records.len() - 1] {
            let at = rest
                .windows(record.data.len())
                .position(|octets| octets == record.data)
                .expect("a record that was not on the line");
            rest = &rest[at + record.data.len()..];
        }
        check_summary(&summary, line.octets.len() + 8, &records);
    }
}

/// Whether an MS/TP frame has good CRCs; frames are compared with ones of the test's own making.
fn is_good(data: &[u8]) -> bool {
    data.len() >= 8
        && (data == mstp(data[2], data[3], data[4], &[])
            || (data.len() > 10
                && data == mstp(data[2], data[3], data[4], &data[8..data.len() - 2])))
}

/// octets in = octets in frames + padding + skipped, as the log has it and as the file has it.
fn check_summary(summary: &str, sent: usize, records: &[Record]) {
    let numbers: Vec<usize> = summary
        .split(": ")
        .last()
        .unwrap()
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let [frames, _, octets, good, damaged, padding, skipped] = numbers[..] else {
        panic!("{summary}")
    };
    assert_eq!(octets, sent, "{summary}");
    assert_eq!(octets, good + damaged + padding + skipped, "{summary}");
    assert_eq!(frames, records.len(), "{summary}");
    let recorded: usize = records.iter().map(|record| record.data.len()).sum();
    assert_eq!(good + damaged, recorded, "{summary}");
}

#[test]
fn a_clean_line_has_no_damage_and_nothing_skipped() {
    let line = NoisyLine::new(3, 3000, 1 << 40);
    let (records, summary) = capture(&line, 700);
    assert_eq!(records.len(), line.intact.len() + 1);
    assert!(summary.contains("3001 frames, 0 damaged"), "{summary}");
    assert!(summary.ends_with("padding + 0 skipped"), "{summary}");
    assert!(records.windows(2).all(|two| two[0].time_us <= two[1].time_us));
}

/// Nonsense that no frame is in, and after it one good frame.
#[test]
fn nonsense_costs_nothing_and_the_next_frame_is_found() {
    let mut random = Random(5);
    let header = &mstp(5, 1, 2, &[0; 2043])[..8];
    let nonsense = [
        random.octets(300_000),
        vec![0x55; 300_000],
        [0x55, 0xff].repeat(150_000),
        header.repeat(30_000),
        vec![0; 1_000_000],
    ];
    let dir = TempDir::new().unwrap();
    for (n, nonsense) in nonsense.iter().enumerate() {
        let file = dir.path().join(format!("{n}.pcap"));
        let pty = Pty::new();
        let mut program = Program::start([pty.path(), "-w", file.to_str().unwrap()]);
        program.wait_for("reading mstp");
        let marker = mstp(0, 77, 78, &[]);
        pty.send(nonsense);
        pty.send(&marker);
        eventually("the good frame", || {
            let records = pcap_records_so_far(&std::fs::read(&file).unwrap());
            (records.last()?.data == marker).then_some(())
        });
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id()));
        let peak =
            status.unwrap().lines().find(|line| line.starts_with("VmHWM")).unwrap().to_owned();
        let peak_kb: u32 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(peak_kb < 32_000, "nonsense {n}: {peak}");
        program.terminate();
        let records = pcap_records(&std::fs::read(&file).unwrap());
        check_summary(&program.wait_for("octets ="), nonsense.len() + 8, &records);
    }
}

#[test]
fn the_port_is_raw_at_the_rate_asked_for_and_nothing_is_sent_back() {
    for rate in [9600, 38_400, 76_800, 250_000, 12_345] {
        let pty = Pty::new();
        let rate_arg = rate.to_string();
        let mut program = Program::start([pty.path(), "-b", &rate_arg, "-c", "1", "-x"]);
        program.wait_for("reading mstp");
        let termios = tcgetattr(&pty.master).unwrap();
        assert_eq!((termios.input_speed(), termios.output_speed()), (rate, rate));
        let echo = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        assert!(!termios.local_modes.intersects(echo));
        // An octet with a framing error must not be dropped, nor be marked by extra octets.
        assert!(!termios.input_modes.intersects(
            InputModes::IGNPAR
                | InputModes::PARMRK
                | InputModes::INPCK
                | InputModes::ICRNL
                | InputModes::IXON
                | InputModes::IXOFF
                | InputModes::ISTRIP
        ));
        assert!(termios.control_modes.contains(ControlModes::CS8 | ControlModes::CREAD));
        assert!(!termios.control_modes.intersects(ControlModes::PARENB | ControlModes::CSTOPB));
        // Each octet as it is, those that mean something to a terminal too.
        let frame = mstp(6, 1, 2, &(0..=255).collect::<Vec<_>>());
        pty.send(&frame);
        assert_eq!(program.wait().code(), Some(0));
        let mut line = String::new();
        std::io::Read::read_to_string(&mut program.child.stdout.take().unwrap(), &mut line)
            .unwrap();
        let rows = line.lines().skip(1).map(|row| row.split_once(":  ").unwrap().1);
        let printed: String = rows.collect::<String>().replace(' ', "");
        let hex: String = frame.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(printed, hex);
        assert_eq!(pty.received_now(), b"", "sent onto the bus");
    }
}

#[test]
fn what_the_kernel_took_for_typing_is_not_passed_on() {
    let pty = Pty::new();
    // A fresh tty makes an LF of the CR, ends a line at the ^D, and keeps what has no end yet.
    pty.send(b"\x55\xff\r\x04\x11");
    let mut program = Program::start([pty.path(), "-c", "1", "-w", "-"]);
    program.wait_for("reading mstp");
    let frame = numbered_frame(1);
    pty.send(&frame);
    assert_eq!(program.wait().code(), Some(0));
    let mut file = Vec::new();
    std::io::Read::read_to_end(&mut program.child.stdout.take().unwrap(), &mut file).unwrap();
    check_summary(&program.wait_for("octets ="), frame.len(), &pcap_records(&file));
}

#[test]
fn a_port_in_use_is_refused_and_left_as_it_is() {
    let pty = Pty::new();
    let program = Program::start([pty.path(), "-b", "76800"]);
    program.wait_for("reading mstp");
    let (code, _, stderr) = run(&[pty.path(), "-b", "9600"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("another program uses it"), "{stderr}");
    assert!(
        stderr.contains(&format!("hint: serialshark (process {})", program.child.id())),
        "{stderr}"
    );
    assert_eq!(tcgetattr(&pty.master).unwrap().input_speed(), 76_800);
}

#[test]
fn a_frame_is_dated_by_its_first_octet_on_the_wire() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let pty = Pty::new();
    let program = Program::start([pty.path(), "-b", "9600", "--fifo", fifo.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    let frame = mstp(6, 1, 2, &[0; 469]); // 479 octets: 498.958 ms at 9600 baud
    let now_us = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_micros() as u64
    };
    let before = now_us();
    pty.send(&frame);
    let record = reader.record().unwrap();
    let after = now_us();
    let on_the_wire = 479 * 10_000_000 / 9600;
    // The clocks are the same but for rounding and slewing.
    assert!(record.time_us + on_the_wire + 2000 >= before, "{record:?} {before}");
    assert!(record.time_us + on_the_wire <= after + 2000, "{record:?} {after}");
}

/// A stalled host, a lost TCP segment, a serial server that packs: no frame is less intact for it.
#[test]
fn a_pause_ends_no_intact_frame_and_a_good_frame_behind_it_ends_a_cut_one() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let file = dir.path().join("a.pcapng");
    let pty = Pty::new();
    let outputs = ["--fifo", fifo.to_str().unwrap(), "-w", file.to_str().unwrap()];
    let mut program = Program::start([&[pty.path()][..], &outputs].concat());
    program.wait_for("reading mstp");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    let frame = mstp(5, 1, 2, &[7; 100]);
    let pause = || std::thread::park_timeout(Duration::from_millis(400));
    pty.send(&frame[..50]);
    pause();
    pty.send(&frame[50..]);
    assert_eq!(reader.record().unwrap().data, frame);
    // A cut one shows at once when the next one is whole.
    pty.send(&frame[..50]);
    pause();
    let token = numbered_frame(1);
    let next = Instant::now();
    pty.send(&token);
    let cut = reader.record().unwrap();
    assert_eq!((cut.data, cut.original_len), (frame[..50].to_vec(), 110));
    assert_eq!(reader.record().unwrap().data, token);
    assert!(next.elapsed() < SOON, "{:?}", next.elapsed());
    // Or when nothing comes any more.
    pty.send(&frame[..50]);
    let cut = reader.record().unwrap();
    assert_eq!((cut.data, cut.original_len), (frame[..50].to_vec(), 110));
    assert!(next.elapsed() >= Duration::from_secs(3));
    program.terminate();
    let capture = std::fs::read(file).unwrap();
    if let Some(says) = tshark(&["-r", "-", "-T", "fields", "-e", "frame.comment"], &capture) {
        let first = says.lines().next().unwrap();
        let ms = first.strip_prefix("pause of ").unwrap();
        let ms: u64 = ms.strip_suffix(" ms between its bytes").unwrap().parse().unwrap();
        // Less by what it takes to read the first part, on a loaded machine.
        assert!((200..30_000).contains(&ms), "{first}");
    }
}

#[test]
fn a_port_that_vanishes_is_opened_again_and_streams_stay_open() {
    let dir = TempDir::new().unwrap();
    let (fifo, link) = (dir.path().join("sharkfin"), dir.path().join("ttyUSB0"));
    let mut pty = Pty::new();
    pty.name(&link);
    let mut program = Program::start([link.to_str().unwrap(), "--fifo", fifo.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    let mut back_at_once = 0;
    for round in 1..=10 {
        // Half a frame is on the wire when it goes; it came with the one before it.
        pty.send(&[&numbered_frame(round)[..], &numbered_frame(4)[..20]].concat());
        assert_eq!(reader.record().unwrap().data, numbered_frame(round));
        drop(pty);
        program.wait_for_nth(round as usize, "waiting for its return");
        let cut = reader.record().unwrap();
        assert_eq!((&cut.data[..], cut.original_len), (&numbered_frame(4)[..20], 44));
        pty = Pty::new();
        let plugged = Instant::now();
        pty.name(&link);
        program.wait_for_nth(round as usize, "is back");
        back_at_once += u32::from(plugged.elapsed() < Duration::from_millis(900));
    }
    // The retry timer would be there after a second each time; so is a loaded machine, now and then.
    assert!(back_at_once > 5, "by the retry timer, but for {back_at_once} times");
    assert!(program.terminate() < SOON);
}

#[test]
fn while_the_port_is_gone_the_program_ends_within_a_second() {
    let (dir, pty) = (TempDir::new().unwrap(), Pty::new());
    let mut program = Program::start([named(&dir, &pty)]);
    program.wait_for("reading mstp");
    drop(pty);
    program.wait_for("waiting for its return");
    assert!(program.terminate() < SOON);
}

#[test]
fn after_as_many_packets_as_asked_for_it_ends() {
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-c", "3", "-w", "-"]);
    program.wait_for("reading mstp");
    pty.send(&(0..10).flat_map(numbered_frame).collect::<Vec<_>>());
    assert_eq!(program.wait().code(), Some(0));
    let mut file = Vec::new();
    std::io::Read::read_to_end(&mut program.child.stdout.take().unwrap(), &mut file).unwrap();
    let frames: Vec<_> = pcap_records(&file).into_iter().map(|record| record.data).collect();
    assert_eq!(frames, (0..3).map(numbered_frame).collect::<Vec<_>>());
}

/// Once whatever the start or a reader has set going has come to rest.
fn wakeups_in_3_s(program: &Program) -> u64 {
    let mut before = program.wakeups();
    eventually("rest", || {
        std::thread::park_timeout(Duration::from_millis(200));
        let now = program.wakeups();
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    std::thread::park_timeout(Duration::from_secs(3));
    program.wakeups() - before
}

#[test]
fn an_idle_program_sleeps() {
    let dir = TempDir::new().unwrap();
    let fifo: PathBuf = dir.path().join("sharkfin");
    let pty = Pty::new();
    let program = Program::start([pty.path(), "--fifo", fifo.to_str().unwrap()]);
    program.wait_for("reading mstp");
    assert_eq!(wakeups_in_3_s(&program), 0);
    let mut reader = FifoReader::open(Path::new(&fifo));
    reader.header();
    assert_eq!(wakeups_in_3_s(&program), 0);
}

#[test]
fn who_waits_for_a_port_sleeps_until_it_is_there() {
    let dir = TempDir::new().unwrap();
    let (folder, pty) = (dir.path().join("by-id"), Pty::new());
    let link = folder.join("adapter");
    let mut program = Program::start([link.to_str().unwrap(), "--wait"]);
    program.wait_for("waiting for it to appear");
    assert_eq!(wakeups_in_3_s(&program), 0, "its folder is missing too");
    let plug = |pty: &Pty| {
        std::fs::create_dir(&folder).unwrap();
        pty.name(&link);
    };
    plug(&pty);
    program.wait_for("appeared after");
    std::fs::remove_dir_all(&folder).unwrap();
    drop(pty);
    program.wait_for("waiting for its return");
    assert_eq!(wakeups_in_3_s(&program), 0);
    // It has to be there still when it is looked for.
    let other = Pty::new();
    plug(&other);
    program.wait_for("is back after");
    program.terminate();
}

/// A name for a port, so that it is no numbered pseudo-terminal.
fn named(dir: &TempDir, pty: &Pty) -> std::path::PathBuf {
    let link = dir.path().join("ttyUSB0");
    pty.name(&link);
    link
}

/// A pseudo-terminal of this path, whose number is free.
fn pty_at(path: &Path) -> Pty {
    eventually("the number", || {
        let mut others = Vec::new();
        while others.len() < 200 {
            let pty = Pty::new();
            if pty.path == path {
                return Some(pty);
            }
            others.push(pty);
        }
        None
    })
}

/// Its maker was killed, and has left its link behind; a shell gets the number.
#[test]
fn a_link_that_was_left_behind_leads_to_a_stranger() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcap");
    let pty = Pty::new();
    let (path, link) = (pty.path.clone(), dir.path().join("ttyUSB0"));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut program = Program::start([link.to_str().unwrap(), "-w", file.to_str().unwrap()]);
    program.wait_for("reading mstp");
    drop(pty);
    program.wait_for("waiting for its return");
    let stranger = pty_at(&path);
    let before = program.wakeups();
    std::fs::write(dir.path().join("news"), "").unwrap();
    eventually("a look", || (program.wakeups() > before).then_some(()));
    let pty = Pty::new();
    named(&dir, &pty);
    program.wait_for("is back after");
    pty.send(&numbered_frame(1));
    eventually("a packet", || {
        (pcap_records_so_far(&std::fs::read(&file).ok()?).len() == 1).then_some(())
    });
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let shell = rustix::fs::open(&stranger.path, flags, rustix::fs::Mode::empty()).unwrap();
    assert!(tcgetattr(shell).unwrap().local_modes.contains(LocalModes::ICANON), "was taken");
    program.terminate();
    assert_eq!(program.stderr().iter().filter(|line| line.contains("is back")).count(), 1);
}

/// Keyboards and screens, and what makes a new terminal of each opening.
#[test]
fn a_virtual_console_is_no_port() {
    let paths = ["/dev/ptmx", "/dev/pts/ptmx", "/dev/tty0", "/dev/tty1"];
    let there = paths.iter().filter(|path| Path::new(path).exists());
    for port in there {
        let (code, _, stderr) = run(&[port, "-c", "1"]);
        assert_eq!(code, 1, "{port}: {stderr}");
        assert!(stderr.contains(&format!("{port}: is not a serial port\n  hint: ")), "{stderr}");
    }
}

/// Its number is soon another terminal's, a shell's for one.
#[test]
fn a_numbered_pseudo_terminal_does_not_come_back() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcap");
    let pty = Pty::new();
    let path = pty.path().to_owned();
    let mut program = Program::start([&path, "-w", file.to_str().unwrap()]);
    program.wait_for("reading mstp");
    pty.send(&numbered_frame(1));
    eventually("a packet", || {
        (pcap_records_so_far(&std::fs::read(&file).ok()?).len() == 1).then_some(())
    });
    drop(pty);
    assert_eq!(program.wait().code(), Some(0));
    program.wait_for("its number may soon belong to another terminal");
    assert_eq!(pcap_records(&std::fs::read(&file).unwrap()).len(), 1);
    // By another name of the directory too.
    let pty = Pty::new();
    std::os::unix::fs::symlink("/dev/pts", dir.path().join("pts")).unwrap();
    let path = dir.path().join("pts").join(pty.path.file_name().unwrap());
    let mut program = Program::start([path.to_str().unwrap()]);
    program.wait_for("reading mstp");
    drop(pty);
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn ones_own_terminal_is_no_port_by_any_name() {
    let dir = TempDir::new().unwrap();
    let screen = Pty::new();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let slave = || -> std::fs::File {
        rustix::fs::open(&screen.path, flags, rustix::fs::Mode::empty()).unwrap().into()
    };
    let link = named(&dir, &screen);
    for port in ["/dev/tty", "/dev/stdin", "/dev/fd/0", screen.path(), link.to_str().unwrap()] {
        let before = tcgetattr(slave()).unwrap();
        let mut command = std::process::Command::new("setsid");
        command.args(["--wait", "--ctty", env!("CARGO_BIN_EXE_serialshark"), port]);
        let output = command.stdin(slave()).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{port}: {stderr}");
        let says = "is the terminal that this program was started in\n  hint: ";
        assert!(stderr.contains(says), "{port}: {stderr}");
        assert_eq!(stderr.lines().count(), 2, "{stderr}");
        assert_eq!(tcgetattr(slave()).unwrap().local_modes, before.local_modes, "{port}");
    }
}

/// The end of a pseudo-terminal that is its user's is often open in the program that made it.
#[test]
fn a_pseudo_terminal_that_another_program_has_open_is_warned_of() {
    let pty = Pty::new();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let kept: std::fs::File =
        rustix::fs::open(&pty.path, flags, rustix::fs::Mode::empty()).unwrap().into();
    let mut holder = std::process::Command::new("sleep").arg("1000").stdin(kept).spawn().unwrap();
    let mut program = Program::start([pty.path()]);
    let warned = program.wait_for("has it open as well");
    assert!(warned.contains(&format!("sleep (process {})", holder.id())), "{warned}");
    program.wait_for("reading mstp");
    program.terminate();
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// Octets of somebody else's session are not split, nor its rate changed, nor its lines raised:
/// the port is not opened at all while another program has it.
#[test]
fn while_another_program_has_a_port_it_is_not_opened() {
    // A real tty, which no driver answers for here, and its holder.
    let Some(machine) = Holder::new() else { return };
    let (code, said, opened) = machine.run(&[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("cannot open: another program uses it"), "{said}");
    assert!(said.contains(&format!("(process {}) has it open", machine.pid())), "{said}");
    assert_eq!(opened, 0, "it was opened");
    let (code, said, opened) = machine.run(&["--wait"]);
    assert_eq!((code, opened), (None, 0), "{said}");
    assert!(said.contains("used by"), "{said}");
}

/// A process that has the port /dev/ttyS0 of this machine open, without a lock.
struct Holder(std::process::Child);

impl Holder {
    const PORT: &str = "/dev/ttyS0";

    fn new() -> Option<Self> {
        let port = std::fs::OpenOptions::new().write(true).open(Self::PORT);
        let Ok(port) = port else {
            skip(&format!("{} cannot be opened, so nobody has it", Self::PORT));
            return None;
        };
        let mut command = std::process::Command::new("sleep");
        Some(Self(command.arg("1000").stdout(port).spawn().unwrap()))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Exit status if it ends by itself, what it says, and how often it opens the port.
    fn run(&self, more: &[&str]) -> (Option<i32>, String, usize) {
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("strace");
        let mut command = std::process::Command::new("timeout");
        command.args(["--preserve-status", "-s", "INT", "3", "strace", "-f", "-e", "openat", "-o"]);
        command.arg(&log).args([env!("CARGO_BIN_EXE_serialshark"), Self::PORT]).args(more);
        let output = command.output().unwrap();
        let traced = std::fs::read_to_string(&log).unwrap_or_default();
        let opened = traced.lines().filter(|line| line.contains(&format!("\"{}\"", Self::PORT)));
        let ended = !text(&output.stderr).contains("octets =");
        let code = output.status.code().filter(|_| ended);
        (code, text(&output.stderr), opened.count())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
