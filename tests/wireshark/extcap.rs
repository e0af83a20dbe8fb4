//! Wireshark's extcap dialogue: the calls as Wireshark makes them, and tshark with the program
//! linked into an extcap folder of its own.

#![cfg(target_os = "linux")]

use crate::common;
use crate::common::{LONG, Program, Pty, eventually, readable, text};
use crate::wireshark::{Capture, Home, STOP, judge};
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{PcapBlockOwned, PcapNGSlice};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::Signal;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SIM: &str = "serialshark-sim-mstp";
/// What the issue asks for, and what a loaded machine may take instead.
const ANSWER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

fn answer(args: &[&str]) -> String {
    // No server of the user's is asked.
    let mut command = Program::command();
    let output = command.env("XDG_CONFIG_HOME", "/none").args(args).output().unwrap();
    assert_eq!(text(&output.stderr), "", "{args:?}");
    assert_eq!(output.status.code(), Some(0), "{args:?}");
    text(&output.stdout)
}

#[test]
fn questions_are_answered_at_once_and_silently() {
    let calls: [&[&str]; 6] = [
        &["--extcap-interfaces"],
        &["--extcap-interfaces", "--extcap-version=4.0"],
        &["--extcap-config", "--extcap-interface", "serialshark-ttyUSB0"],
        &["--extcap-interface", "serialshark-ttyUSB0", "--extcap-dlts"],
        &["--extcap-config", "--extcap-interface", SIM, "--extcap-reload-option", "baud"],
        &["--extcap-cleanup-postkill"],
    ];
    for args in calls {
        let mut times: Vec<_> = (0..9)
            .map(|_| {
                let start = Instant::now();
                answer(args);
                start.elapsed()
            })
            .collect();
        times.sort();
        judge(&args.join(" "), times[times.len() / 2], ANSWER);
    }
    let interfaces = answer(&["--extcap-interfaces"]);
    assert!(interfaces.starts_with("extcap {version="), "{interfaces}");
    assert!(interfaces.contains("interface {value=serialshark-sim-mstp}"), "{interfaces}");
    assert_eq!(answer(&["--extcap-cleanup-postkill"]), "");
    let later =
        answer(&["--extcap-dlts", "--extcap-interface", SIM, "--extcap-new=1", "--new", "2"]);
    assert_eq!(later, answer(&["--extcap-dlts", "--extcap-interface", SIM]));
}

#[test]
fn a_port_with_options_captures_pcapng() {
    let pty = Pty::new();
    let interface = format!("serialshark-{}", pty.path().strip_prefix("/dev/").unwrap());
    let options = ["--extcap-capture-filter", "", "--later", "9", "--raw", "--baud", "19200"];
    let mut capture = Capture::start(&interface, &[&options[..], &["--protocol", "mstp"]].concat());
    let header = capture.read_until(|octets| octets.len() > 100);
    assert_eq!(header[..4], 0x0a0d_0d0a_u32.to_ne_bytes());
    assert!(text(&header).contains("19200 baud"), "{}", text(&header));
    pty.send(&common::mstp(0, 5, 16, &[]));
    let token = common::mstp(0, 5, 16, &[]);
    let found = |octets: &[u8]| octets.windows(token.len()).any(|window| window == token);
    capture.read_until(found);
    assert_eq!(pty.received_now(), b"", "a listener does not transmit");
    capture.program.terminate();
    assert!(capture.program.stderr().is_empty(), "{:?}", capture.program.stderr());
}

/// Wireshark asks whether a filter is right, and takes whatever is said for what is wrong with it.
#[test]
fn any_capture_filter_is_called_wrong_and_none_is_ignored() {
    let asked = ["--extcap-interface", SIM, "--extcap-capture-filter"];
    for filter in ["tok", "mstp.src == 5", "host 1.2.3.4"] {
        let said = answer(&[&asked[..], &[filter]].concat());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("has no capture filters"), "{said}");
        let mut capture = Capture::start(SIM, &["--extcap-capture-filter", filter]);
        assert_eq!(capture.read_until(|_| false), b"");
        assert_eq!(capture.program.wait().code(), Some(1));
        capture.program.wait_for("has no capture filters");
    }
    assert_eq!(answer(&[&asked[..], &[""]].concat()), "");
}

#[test]
fn sigterm_and_a_closed_fifo_end_a_capture_in_time() {
    for _ in 0..5 {
        let mut capture = Capture::start(SIM, &[]);
        capture.read_until(|octets| octets.len() > 400);
        judge("SIGTERM", capture.program.terminate(), STOP);
        let rest = capture.read_until(|_| false);
        // Total length of the last block: the trailer, an interface statistics block.
        let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
        let length = word(rest.len() - 4) as usize;
        assert_eq!(word(rest.len() - length), 5);
        assert!(capture.program.stderr().is_empty());
    }
    // A line on which nothing happens, so that no packet tells that the reader has gone.
    for _ in 0..5 {
        let pty = Pty::new();
        let interface = format!("serialshark-{}", pty.path().strip_prefix("/dev/").unwrap());
        let mut capture = Capture::start(&interface, &["--protocol", "mstp"]);
        capture.read_until(|octets| octets.len() > 100);
        capture.is_left();
    }
    // Nor is there one while it is not known yet what is spoken.
    let pty = Pty::new();
    let interface = format!("serialshark-{}", pty.path().strip_prefix("/dev/").unwrap());
    let mut capture = Capture::start(&interface, &[]);
    common::eventually("it listens", || capture.program.thread("listen"));
    capture.is_left();
}

/// A serialshark that has two ports and shares their packets where an extcap looks for them.
struct Service {
    program: Program,
    ptys: [Pty; 2],
    runtime_dir: tempfile::TempDir,
}

impl Service {
    fn start() -> Self {
        let (ptys, runtime_dir) = ([Pty::new(), Pty::new()], tempfile::tempdir().unwrap());
        let socket = Self::folder(&runtime_dir).join("both.sock");
        let mut command = Program::command();
        command.args(ptys.each_ref().map(Pty::path)).args(["--history=3600", "--format=pcapng"]);
        let program = Program::spawn({
            command.arg("--unix").arg(socket);
            command
        });
        program.wait_for("both.sock");
        Self { program, ptys, runtime_dir }
    }

    fn folder(runtime_dir: &tempfile::TempDir) -> PathBuf {
        let folder = runtime_dir.path().join("serialshark");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Sends a frame to a port, and waits until a reader has it.
    fn hear(&self, port: usize, number: u32) {
        let path = Self::folder(&self.runtime_dir).join("both.sock");
        let mut reader = UnixStream::connect(path).unwrap();
        reader.set_read_timeout(Some(LONG)).unwrap();
        self.ptys[port].send(&common::numbered_frame(number));
        let mut octets = Vec::new();
        while !has(&octets, number) {
            let mut chunk = [0; 4096];
            let len = common::read_some(&mut reader, &mut chunk);
            octets.extend_from_slice(&chunk[..len]);
        }
    }

    fn capture(&self, more: &[&str]) -> Capture {
        let mut command = Program::command();
        command.env("XDG_RUNTIME_DIR", self.runtime_dir.path());
        let interface = format!("serialshark-{}", &self.ptys[1].path()["/dev/".len()..]);
        Capture::start_by(command, &interface, more)
    }
}

fn has(octets: &[u8], number: u32) -> bool {
    let frame = common::numbered_frame(number);
    octets.windows(frame.len()).any(|window| window == frame)
}

/// The packets of a stream that is complete, and whether it has a trailer.
fn packets(octets: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut packets, mut has_trailer) = (Vec::new(), false);
    for block in PcapNGSlice::from_slice(octets).unwrap() {
        match block.unwrap() {
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                packets.push(packet.packet_data().to_vec());
            }
            PcapBlockOwned::NG(Block::InterfaceStatistics(_)) => has_trailer = true,
            _ => {}
        }
    }
    (packets, has_trailer)
}

#[test]
fn a_port_that_a_serialshark_has_is_shown_with_what_was_before_start() {
    let mut service = Service::start();
    let folder = Service::folder(&service.runtime_dir);
    // What is beside it must not be in the way: nobody there, and somebody else.
    drop(UnixListener::bind(folder.join("a.sock")).unwrap());
    let other = UnixListener::bind(folder.join("b.sock")).unwrap();
    let talk = std::thread::spawn(move || {
        for _ in 0..2 {
            let _ =
                other.accept().unwrap().0.write_all(b"220 mail ready, not a capture at all\r\n");
        }
    });
    service.hear(0, 1);
    service.hear(1, 2);
    service.hear(1, 3);

    let all = service.capture(&[]);
    let mut got_all = all.read_until(|octets| has(octets, 3));
    let new = service.capture(&["--history", "0"]);
    let mut got_new = new.read_until(|octets| octets.len() > 100);
    service.hear(0, 4);
    service.hear(1, 5);
    got_all.extend(all.read_until(|octets| has(octets, 5)));
    got_new.extend(new.read_until(|octets| has(octets, 5)));
    service.program.terminate();
    for (mut capture, mut got, numbers) in [(all, got_all, &[2, 3, 5][..]), (new, got_new, &[5])] {
        got.extend(capture.read_until(|_| false));
        let expected: Vec<_> = numbers.iter().map(|n| common::numbered_frame(*n)).collect();
        assert_eq!(packets(&got), (expected, true));
        assert_eq!(capture.program.wait().code(), Some(0));
        assert!(capture.program.stderr().is_empty(), "{:?}", capture.program.stderr());
    }
    talk.join().unwrap();
}

#[test]
fn what_another_serialshark_shows_ends_in_time_too() {
    let service = Service::start();
    for _ in 0..3 {
        let mut capture = service.capture(&[]);
        capture.read_until(|octets| octets.len() > 100);
        judge("SIGTERM", capture.program.terminate(), STOP);
        assert!(capture.program.stderr().is_empty());
        let mut capture = service.capture(&[]);
        capture.read_until(|octets| octets.len() > 100);
        capture.is_left();
    }
}

#[test]
fn a_service_that_is_stopped_is_not_waited_for() {
    let service = Service::start();
    service.hear(1, 1);
    service.program.signal(Signal::STOP);
    // As many as may wait to be taken in: whoever comes now would wait too.
    let path = Service::folder(&service.runtime_dir).join("both.sock");
    let flags = SocketFlags::NONBLOCK;
    let waiting: Vec<_> = std::iter::from_fn(|| {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(&path).unwrap()).ok()?;
        Some(socket)
    })
    .collect();
    let started = Instant::now();
    let capture = service.capture(&[]);
    // With a header, or the end if the port cannot be had.
    assert!(readable(capture.reader.as_ref().unwrap(), started + Duration::from_secs(5)));
    // One that is taken in, and told nothing, is not waited for either.
    drop(waiting);
    let started = Instant::now();
    let capture = service.capture(&[]);
    assert!(readable(capture.reader.as_ref().unwrap(), started + Duration::from_secs(5)));
    service.program.signal(Signal::CONT);
}

#[test]
fn a_header_that_comes_octet_by_octet_is_not_waited_for() {
    let runtime_dir = tempfile::tempdir().unwrap();
    let path = Service::folder(&runtime_dir).join("a.sock");
    let other = UnixListener::bind(&path).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = other.accept().unwrap().0;
            // The beginning of a section header of 64 KiB.
            let words = [0x0a0d_0d0au32, 0x10000, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX];
            let begin = words.into_iter().flat_map(u32::to_ne_bytes);
            for octet in begin.chain(std::iter::repeat(0)) {
                if stop.load(std::sync::atomic::Ordering::Relaxed)
                    || client.write_all(&[octet]).is_err()
                {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        let mut command = Program::command();
        command.env("XDG_RUNTIME_DIR", runtime_dir.path());
        let started = Instant::now();
        let capture = Capture::start_by(command, "serialshark-ttyNONE", &[]);
        let came = readable(capture.reader.as_ref().unwrap(), started + Duration::from_secs(5));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // Should it not have come there.
        UnixStream::connect(&path).unwrap();
        assert!(came);
    });
}

#[test]
fn sigterm_ends_it_while_no_reader_has_come() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    let path = path.to_str().unwrap();
    let args = ["--capture", "--extcap-interface", SIM, "--fifo", path];
    let mut program = Program::start(args);
    eventually("it waits in open", || {
        let place = fs::read_to_string(format!("/proc/{}/wchan", program.child.id())).ok()?;
        // Where the kernel does not tell, any place will do.
        (place.contains("fifo") || place.contains("wait_for_partner") || place == "0").then_some(())
    });
    let start = Instant::now();
    program.signal(rustix::process::Signal::TERM);
    program.wait();
    judge("SIGTERM before a reader", start.elapsed(), STOP);
}

#[test]
fn a_failure_is_one_line_and_opens_the_fifo() {
    let failures: [(&str, &[&str], &str); 6] = [
        ("serialshark-ttyNONE", &[], "/dev/ttyNONE: cannot open: No such file"),
        ("serialshark-null", &[], "/dev/null: is not a serial port"),
        ("serialshark-ttyNONE", &["--protocol", "riot"], "riot needs --channel"),
        ("serialshark-ttyNONE", &["--history", "-1"], "history: is not a number of seconds: -1"),
        (SIM, &["--baud", "fast"], "invalid value 'fast'"),
        ("eth0", &[], "eth0: is not an interface of serialshark"),
    ];
    for (interface, more, message) in failures {
        let mut capture = Capture::start(interface, more);
        assert_eq!(capture.program.wait().code(), Some(1));
        let said = eventually("a line on stderr", || {
            let said = capture.program.stderr();
            (!said.is_empty()).then_some(said)
        });
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("serialshark: ") && said[0].contains(message), "{said:?}");
        // It has been opened: the reader sees an end, and not that nobody has come yet.
        assert!(readable(capture.reader.as_ref().unwrap(), Instant::now()), "{message}");
        assert_eq!(capture.read_until(|_| false), b"");
    }
    let (code, _, said) = common::run(&["--capture", "--extcap-interface", SIM]);
    assert!(code == 1 && said.contains("needs --fifo"), "{said}");
    let (code, _, said) =
        common::run(&["--capture", "--extcap-interface", SIM, "--fifo", "/dev/null"]);
    assert!(code == 1 && said.contains("is not a FIFO"), "{said}");
}

#[test]
fn installing_is_undone_by_uninstalling() {
    let home = Home::new();
    let program = Path::new(env!("CARGO_BIN_EXE_serialshark")).canonicalize().unwrap();
    for _ in 0..2 {
        assert_eq!(home.manage(&["--install"]).0, 0);
        for link in home.links() {
            assert_eq!(link.read_link().unwrap(), program);
        }
    }
    // Another serialshark's link is replaced, which is what an update wants.
    let [link, other] = home.links();
    fs::remove_file(&link).unwrap();
    symlink("/opt/old/serialshark", &link).unwrap();
    assert_eq!(home.manage(&["--install"]).0, 0);
    assert_eq!(link.read_link().unwrap(), program);

    assert_eq!(home.manage(&["--uninstall"]).0, 0);
    assert!(home.links().iter().all(|link| link.symlink_metadata().is_err()));
    assert_eq!(home.manage(&["--uninstall"]).0, 0);

    fs::write(&link, "mine").unwrap();
    let (code, said) = home.manage(&["--install"]);
    assert!(code == 1 && said.contains("is not a link to serialshark"), "{said}");
    assert!(other.symlink_metadata().is_err(), "half installed");
    assert_eq!(home.manage(&["--uninstall"]).0, 0);
    assert_eq!(fs::read(&link).unwrap(), b"mine");
    fs::remove_file(&link).unwrap();
    symlink("/usr/bin/ciscodump", &link).unwrap();
    assert_eq!(home.manage(&["--install"]).0, 1);
    assert_eq!(home.manage(&["--uninstall"]).0, 0);
    assert_eq!(link.read_link().unwrap(), Path::new("/usr/bin/ciscodump"));
}

#[test]
fn the_users_old_settings_folder_is_not_hidden_by_a_new_one() {
    let home = Home::new();
    fs::create_dir(home.path().join(".wireshark")).unwrap();
    assert_eq!(home.manage(&["--install"]).0, 0);
    assert!(home.path().join(".wireshark/extcap/serialshark").is_symlink());
    assert!(!home.path().join("config/wireshark").exists());
    assert_eq!(home.manage(&["--uninstall"]).0, 0);
    assert!(!home.path().join(".wireshark/extcap/serialshark").is_symlink());
}

#[test]
fn extcap_alone_is_help_and_anything_else_is_wrong() {
    let (code, help, said) = common::run(&["extcap"]);
    assert!(code == 0 && said.is_empty() && text(&help).contains("--uninstall"));
    let (code, _, said) = common::run(&["extcap", "-w", "-"]);
    assert!(code == 2 && said.contains("'-w'"), "{said}");
}

#[test]
fn tshark_lists_the_interfaces() {
    let home = Home::with_link();
    let Some(output) = home.tshark(&["-D"]) else { return };
    let listed = text(&output.stdout);
    assert!(listed.contains("serialshark-sim-mstp (Simulated BACnet MS/TP"), "{listed}");
    let types = home.tshark(&["-L", "-i", SIM]).unwrap();
    assert!(text(&types.stdout).contains("mstp (BACnet MS/TP on RS-485)"), "{types:?}");
}

#[test]
fn tshark_captures_a_number_of_packets() {
    let home = Home::with_link();
    let Some(output) = home.tshark(&["-i", SIM, "-c", "10"]) else { return };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout).lines().count(), 10, "{output:?}");
    assert!(text(&output.stdout).contains("MS/TP"), "{output:?}");
    assert!(!text(&output.stderr).contains("Error by extcap"), "{output:?}");
}

#[test]
fn tshark_captures_two_interfaces_for_a_time() {
    let home = Home::with_link();
    let file = home.path().join("two.pcapng");
    let file = file.to_str().unwrap();
    let args = ["-i", SIM, "-i", "serialshark-sim-riot", "-a", "duration:2", "-w", file];
    let Some(output) = home.tshark(&args) else { return };
    assert!(output.status.success(), "{output:?}");
    assert!(!text(&output.stderr).contains("Error by extcap"), "{output:?}");
    let args = ["-r", file, "-T", "fields", "-e", "frame.interface_id", "-e", "frame.protocols"];
    let packets = text(&home.tshark(&args).unwrap().stdout);
    let count = |id: &str, protocol: &str| {
        packets.lines().filter(|line| line.starts_with(id) && line.contains(protocol)).count()
    };
    assert!(count("0", "mstp") + count("1", "mstp") > 10, "{packets}");
    assert!(count("0", "wpan") + count("1", "wpan") > 0, "{packets}");
}

#[test]
fn tsharks_preferences_reach_the_port() {
    let home = Home::with_link();
    let file = home.path().join("baud.pcapng");
    let file = file.to_str().unwrap();
    let preference = "extcap.serialshark_sim_mstp.baud:9600";
    let args = ["-o", preference, "-i", SIM, "-c", "3", "-w", file];
    let Some(output) = home.tshark(&args) else { return };
    assert!(output.status.success(), "{output:?}");
    let recorded = fs::read(file).unwrap();
    assert!(text(&recorded).contains("9600 baud"), "{}", text(&recorded));
}

#[test]
fn tshark_shows_a_failure_instead_of_hanging() {
    let home = Home::with_link();
    let preference = "extcap.serialshark_sim_mstp.baud:fast";
    for _ in 0..3 {
        let start = Instant::now();
        let Some(output) = home.tshark(&["-o", preference, "-i", SIM, "-c", "3"]) else { return };
        eprintln!("tshark ended after {:?}", start.elapsed());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains("Error by extcap pipe: serialshark: sim:mstp: invalid"), "{said}");
    }
}
