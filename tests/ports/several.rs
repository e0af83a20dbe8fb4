//! Several ports in one capture.

use crate::common::*;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[test]
fn two_directions_of_a_line_are_one_capture_in_order_of_time() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcapng");
    let (tap_in, tap_out) = (Pty::new(), Pty::new());
    let mut program = Program::start([
        &format!("mstp:{}=in", tap_in.path()),
        &format!("{}=out", tap_out.path()),
        "-w",
        file.to_str().unwrap(),
    ]);
    program.wait_for_nth(2, "reading mstp");
    // One side answers the other; each waits for the other's octets to be on their way.
    for n in 0..50 {
        tap_in.send(&mstp(0, 1, n, &[]));
        tap_out.send(&mstp(0, 2, n, &[]));
    }
    eventually("all packets", || {
        let octets = std::fs::read(&file).unwrap();
        (octets.windows(2).filter(|two| *two == [0x55, 0xff]).count() == 100).then_some(())
    });
    program.terminate();
    let fields =
        ["frame.time_delta", "frame.interface_name", "frame.packet_flags_direction", "mstp.src"];
    let mut args = vec!["-r", "-", "-T", "fields"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    let Some(says) = tshark(&args, &std::fs::read(&file).unwrap()) else { return };
    let mut next = [0, 0];
    for line in says.lines() {
        let columns: Vec<_> = line.split('\t').collect();
        let [delta, name, direction, source] = columns[..] else { panic!("{line}") };
        assert!(!delta.starts_with('-'), "time runs backwards: {line}");
        let port = usize::from(name == tap_out.path());
        assert_eq!(direction, ["0x00000001", "0x00000002"][port], "{line}");
        assert_eq!(source.parse::<usize>().unwrap(), next[port], "{line}");
        next[port] += 1;
    }
    assert_eq!(next, [50, 50]);
}

/// Frames of one batch leave in many pieces when another port's come between them.
#[test]
fn two_busy_ports_drop_nothing_that_one_would_not() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcap");
    let (one, two) = (Pty::new(), Pty::new());
    let mut program = Program::start([one.path(), two.path(), "-w", file.to_str().unwrap()]);
    program.wait_for_nth(2, "reading mstp");
    std::thread::scope(|scope| {
        for pty in [&one, &two] {
            scope.spawn(|| {
                for n in 0..400u32 {
                    pty.send(&(0..50).flat_map(|i| numbered_frame(n * 50 + i)).collect::<Vec<_>>());
                }
            });
        }
    });
    eventually("all packets", || {
        let records = std::fs::read(&file).ok().map(|file| pcap_records(&file).len());
        (records == Some(40_000)).then_some(())
    });
    program.terminate();
    assert!(program.wait_for("packets framed").contains(" 0 dropped"));
}

#[test]
fn a_silent_port_holds_nothing_up_for_long_and_a_vanished_one_neither() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    let (busy, silent) = (Pty::new(), Pty::new());
    let mut program = Program::start([
        busy.path(),
        silent.path(),
        "--format",
        "pcap",
        "--fifo",
        fifo.to_str().unwrap(),
    ]);
    program.wait_for_nth(2, "reading mstp");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    busy.send(&numbered_frame(1));
    assert_eq!(reader.record().unwrap().data, numbered_frame(1));
    drop(silent);
    program.wait_for("hung up");
    busy.send(&numbered_frame(2));
    assert_eq!(reader.record().unwrap().data, numbered_frame(2));
    program.terminate();
}

#[test]
fn ports_of_different_kinds_are_two_interfaces_of_one_pcapng() {
    let (code, file, stderr) = run(&["sim:mstp", "sim:riot", "-w", "-", "-c", "60"]);
    assert_eq!(code, 0, "{stderr}");
    let args = ["-r", "-", "-T", "fields", "-e", "frame.interface_name", "-e", "frame.protocols"];
    let Some(says) = tshark(&args, &file) else { return };
    assert_eq!(says.lines().count(), 60);
    for (name, protocol) in [("sim:mstp", "\tmstp"), ("sim:riot", "\twpan")] {
        let of_it: Vec<_> = says.lines().filter(|line| line.starts_with(name)).collect();
        assert!(of_it.len() > 5, "{says}");
        assert!(of_it.iter().all(|line| line.contains(protocol)), "{says}");
    }
}

/// Two ports, of which the second may do what it likes, and a reader of both.
fn pair(first: &str, second: &str, fifo: &std::path::Path) -> (Program, FifoReader) {
    let args = [first, second, "--format", "pcap", "--fifo", fifo.to_str().unwrap()];
    let program = Program::start(args);
    program.wait_for_nth(2, "reading mstp");
    let mut reader = FifoReader::open(fifo);
    reader.header();
    (program, reader)
}

#[test]
fn the_last_frames_of_a_port_that_vanished_wait_for_nobody_to_speak() {
    let dir = TempDir::new().unwrap();
    let (vanishing, silent) = (Pty::new(), Pty::new());
    // One that is named by a link may come back.
    let link = dir.path().join("ttyUSB0");
    let first = dir.path().join("ttyUSB1");
    silent.name(&link);
    vanishing.name(&first);
    let (mut program, mut reader) =
        pair(first.to_str().unwrap(), link.to_str().unwrap(), &dir.path().join("sharkfin"));
    // Something that began before it holds it back.
    silent.send(&mstp(5, 1, 2, &[7; 400])[..20]);
    vanishing.send(&numbered_frame(1));
    eventually("it is read", || {
        program.signal(rustix::process::Signal::USR1);
        let is_it = |line: &String| line.contains("ttyUSB1: 1 frames");
        program.stderr().iter().any(is_it).then_some(())
    });
    drop(vanishing);
    program.wait_for("waiting for its return");
    let start = Instant::now();
    assert_eq!(reader.record().unwrap().data, numbered_frame(1));
    assert!(start.elapsed() < Duration::from_secs(2));
    program.terminate();
}

#[test]
fn a_port_that_dribbles_delays_the_other_by_a_second_at_most() {
    let dir = TempDir::new().unwrap();
    let (busy, dribbling) = (Pty::new(), Pty::new());
    let (mut program, mut reader) =
        pair(busy.path(), dribbling.path(), &dir.path().join("sharkfin"));
    let long = mstp(5, 1, 2, &[7; 400]);
    dribbling.send(&long[..20]);
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let (dribbling, long) = (&dribbling, &long);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut octets = long[20..].iter();
            let pause = Duration::from_millis(100);
            while is_done.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                dribbling.send(&[*octets.next().unwrap()]);
            }
        });
        let start = Instant::now();
        busy.send(&numbered_frame(1));
        assert_eq!(reader.record().unwrap().data, numbered_frame(1));
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        drop(done);
    });
    program.terminate();
}

#[test]
fn a_pipe_that_says_nothing_holds_up_nothing_and_costs_no_memory() {
    let dir = TempDir::new().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let _silent = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let busy = Pty::new();
    let fifo = dir.path().join("sharkfin");
    let (mut program, mut reader) = pair(busy.path(), pipe.to_str().unwrap(), &fifo);
    let before = memory_kb(program.child.id(), "VmRSS");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..60_000).step_by(100) {
                busy.send(&(n..n + 100).flat_map(numbered_frame).collect::<Vec<_>>());
            }
        });
        for n in 0..60_000 {
            assert_eq!(reader.record().unwrap().data, numbered_frame(n));
        }
    });
    let more = memory_kb(program.child.id(), "VmRSS").saturating_sub(before);
    assert!(more < 8192, "{more} kB");
    program.terminate();
}

/// A recording as its format is documented: `frames` in reads of 100, a millisecond each.
fn recording(frames: impl Iterator<Item = u32>, offset_us: u64) -> Vec<u8> {
    let mut file = b"serialshark recording 1\nprotocol=mstp baud=1000000 port=made\n".to_vec();
    let frames: Vec<u32> = frames.collect();
    for (number, read) in frames.chunks(100).enumerate() {
        let octets: Vec<u8> = read.iter().copied().flat_map(numbered_frame).collect();
        let time_ns = 1_700_000_000_000_000_000 + (number as u64 * 100_000 + offset_us) * 1000;
        file.push(b'O');
        file.extend(time_ns.to_le_bytes());
        file.extend((octets.len() as u32).to_le_bytes());
        file.extend(octets);
    }
    file
}

#[test]
fn a_replay_of_many_recordings_drops_nothing_and_is_in_the_order_of_time() {
    const RECORDINGS: u32 = 21;
    const FRAMES: u32 = 6000;
    let dir = TempDir::new().unwrap();
    let mut args = vec!["-w".to_owned(), "-".into(), "-B".into(), "1".into(), "--format".into()];
    args.push("pcap".into());
    for n in 0..RECORDINGS {
        let path = dir.path().join(format!("{n}.rec"));
        std::fs::write(&path, recording(0..FRAMES, u64::from(n))).unwrap();
        args.push(path.to_str().unwrap().to_owned());
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (code, stdout, stderr) = run(&args);
    assert_eq!(code, 0, "{stderr}");
    let records = pcap_records(&stdout);
    assert_eq!(records.len() as u32, RECORDINGS * FRAMES);
    assert!(records.is_sorted_by_key(|record| record.time_us));
    assert!(stderr.contains(" 0 dropped"), "{stderr}");
}

#[test]
fn a_replay_is_the_same_file_each_time_octet_for_octet() {
    let dir = TempDir::new().unwrap();
    let recordings: Vec<_> = (0..2).map(|n| dir.path().join(format!("{n}.rec"))).collect();
    for (n, path) in recordings.iter().enumerate() {
        std::fs::write(path, recording(0..3000, n as u64)).unwrap();
    }
    let recordings: Vec<_> = recordings.iter().map(|path| path.to_str().unwrap()).collect();
    for ports in [&recordings[..1], &recordings[..]] {
        for format in ["pcap", "pcapng"] {
            let replay = || {
                let args = [ports, &["-w", "-", "--format", format]].concat();
                let (code, stdout, stderr) = run(&args);
                assert_eq!(code, 0, "{stderr}");
                assert!(stdout.len() > 80_000);
                stdout
            };
            let first = replay();
            for _ in 0..3 {
                assert!(replay() == first, "{format} of {} recordings", ports.len());
            }
        }
    }
}

/// Two lines at two rates in one capture: what stands behind a port is for it alone.
#[test]
fn each_port_has_settings_of_its_own() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcapng");
    let (one, two) = (Pty::new(), Pty::new());
    let mut program = Program::start([
        &format!("{},baud=9600,line=7E2", one.path()),
        two.path(),
        "-b",
        "76800",
        "-w",
        file.to_str().unwrap(),
    ]);
    program.wait_for(&format!("{}: reading mstp at 9600 baud 7E2", one.path()));
    program.wait_for(&format!("{}: reading mstp at 76800 baud", two.path()));
    let speed = |pty: &Pty| rustix::termios::tcgetattr(&pty.master).unwrap().input_speed();
    assert_eq!((speed(&one), speed(&two)), (9600, 76_800));
    for pty in [&one, &two] {
        pty.send(&mstp(0, 1, 2, &[]));
    }
    eventually("both packets", || {
        let octets = std::fs::read(&file).unwrap();
        (octets.windows(2).filter(|two| *two == [0x55, 0xff]).count() == 2).then_some(())
    });
    program.terminate();
    let Some(mut capinfos) = tool("capinfos") else { return };
    let said = text(&capinfos.arg(&file).output().unwrap().stdout);
    assert_eq!(said.matches("Encapsulation = BACnet MS/TP").count(), 2, "{said}");
    let speeds: Vec<_> = said.lines().filter(|line| line.contains("Speed = ")).collect();
    assert!(
        speeds.len() == 2 && speeds[0].contains("9600") && speeds[1].contains("76800"),
        "{said}"
    );
}

/// On a real line it sets them; a pseudo-terminal has no bits.
#[test]
fn a_line_format_is_set_and_recorded_and_replayed() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.rec");
    let pty = Pty::new();
    let mut program = Program::start([
        &format!("{},baud=300,line=8E1", pty.path()),
        "--record",
        file.to_str().unwrap(),
    ]);
    program.wait_for("reading mstp at 300 baud 8E1");
    pty.send(&mstp(0, 1, 2, &[]));
    eventually("the octets", || {
        let octets = std::fs::read(&file).unwrap();
        octets.windows(8).any(|octets| *octets == mstp(0, 1, 2, &[])[..8]).then_some(())
    });
    program.terminate();
    let (code, stdout, stderr) = run(&[file.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("a.rec: reading mstp at 300 baud 8E1"), "{stderr}");
    assert!(text(&stdout).contains("Token"), "{}", text(&stdout));
}

#[test]
fn a_port_may_be_called_anything() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = TempDir::new().unwrap();
    for name in [&b"p\xff\xfe"[..], b"a,baud=1", b"x=in", b"mstp:y", b"-z"] {
        let pty = Pty::new();
        pty.name(dir.path().join(std::ffi::OsStr::from_bytes(name)));
        let mut command = Program::command();
        command.current_dir(&dir).args(["-c", "1", "-w", "out.pcap", "--force", "--"]);
        command.arg(std::ffi::OsStr::from_bytes(name));
        let mut program = Program::spawn(command);
        program.wait_for("reading mstp at 38400 baud");
        pty.send(&mstp(0, 1, 2, &[]));
        assert_eq!(program.wait().code(), Some(0), "{name:?}: {:?}", program.stderr());
        assert_eq!(pcap_records(&std::fs::read(dir.path().join("out.pcap")).unwrap()).len(), 1);
    }
}
