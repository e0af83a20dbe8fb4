//! What the terminal that the program was started in can do to it: be stopped, not read, closed;
//! and what must not reach it.

use crate::common::*;
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use rustix::termios::{Action, tcflow};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A terminal: what a program has of it, and what its user sees.
fn terminal() -> (File, Pty) {
    let pty = Pty::new();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    (rustix::fs::open(&pty.path, flags, Mode::empty()).unwrap().into(), pty)
}

/// A running serialshark whose stderr is not read by us.
struct Deaf(Child);

impl Deaf {
    fn start(port: &Pty, fifo: &Path, more: &[&str], stderr: impl Into<Stdio>) -> Self {
        let mut command = Program::command();
        command.args([port.path(), "--fifo", fifo.to_str().unwrap()]).args(more);
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let started = Self(child);
        eventually("the FIFO", || fifo.exists().then_some(()));
        started
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for its end, and returns its exit status and how long that took.
    fn wait(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        let status = eventually("the end", || self.0.try_wait().unwrap());
        (status.code(), start.elapsed())
    }

    fn end(&mut self) {
        self.signal(Signal::TERM);
        let (code, took) = self.wait();
        assert_eq!(code, Some(0));
        assert!(took < SOON, "{took:?}");
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets it log more than a terminal or a pipe holds, while frames go through; all must come.
fn log_much(program: &Deaf, port: &Pty, fifo: &Path) {
    let mut reader = FifoReader::open(fifo);
    reader.header();
    for number in 0..3000 {
        // Two lines or more.
        program.signal(Signal::USR1);
        port.send(&numbered_frame(number));
        assert_eq!(reader.record().unwrap().data, numbered_frame(number));
    }
}

#[test]
fn a_stopped_terminal_holds_up_neither_packets_nor_the_end() {
    let dir = TempDir::new().unwrap();
    let (port, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    let (stderr, _screen) = terminal();
    tcflow(&stderr, Action::OOff).unwrap(); // Ctrl-S
    let mut program = Deaf::start(&port, &fifo, &["-vv"], stderr);
    log_much(&program, &port, &fifo);
    program.end();
    assert!(!fifo.exists());
}

#[test]
fn a_pager_that_is_not_scrolled_holds_up_neither_packets_nor_the_end() {
    let dir = TempDir::new().unwrap();
    let (port, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    let (_unread, stderr) = std::io::pipe().unwrap();
    let mut program = Deaf::start(&port, &fifo, &["-vv"], stderr);
    log_much(&program, &port, &fifo);
    program.end();
}

#[test]
fn lines_that_found_no_room_are_told_of() {
    let dir = TempDir::new().unwrap();
    let (port, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    let log = dir.path().join("log");
    let (mut unread, stderr) = std::io::pipe().unwrap();
    let options = ["-vv", "--log-file", log.to_str().unwrap()];
    let mut program = Deaf::start(&port, &fifo, &options, stderr);
    // Two pipes of 64 KiB are full by then.
    eventually("a log", || {
        log_much(&program, &port, &fifo);
        (log.metadata().ok()?.len() > 300_000).then_some(())
    });
    // More than the second one holds, so that there is room in the first one.
    let mut said = vec![0; 100_000];
    unread.read_exact(&mut said).unwrap();
    let reader = std::thread::spawn(move || {
        unread.read_to_end(&mut said).unwrap();
        text(&said)
    });
    program.end();
    let said = reader.join().unwrap();
    let missing: Vec<usize> = said
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once("warning: ")?;
            rest.split_once(" log lines are missing here")?.0.parse().ok()
        })
        .collect();
    assert!(said.lines().all(|line| line.starts_with("serialshark: ") || line.starts_with("  ")));
    // The file took all of them, and has their times.
    let logged = std::fs::read_to_string(&log).unwrap();
    let there = said.lines().count() - missing.len();
    assert_eq!(logged.lines().count(), there + missing.iter().sum::<usize>());
    assert!(!missing.is_empty());
    assert!(logged.lines().all(|line| line.starts_with("20") && line.as_bytes()[10] == b' '));
    assert!(logged.lines().last().unwrap().contains("octets ="), "{logged}");
}

/// Such as a file on a disk that stalls.
#[test]
fn a_log_file_that_does_not_take_lines_in_time_is_named() {
    let dir = TempDir::new().unwrap();
    let (port, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    let log = dir.path().join("log");
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let unread = rustix::fs::open(&log, flags, Mode::empty()).unwrap();
    rustix::io::ioctl_fionbio(&unread, false).unwrap();
    let options = ["-vv", "--log-file", log.to_str().unwrap()];
    let mut program = Deaf::start(&port, &fifo, &options, Stdio::null());
    log_much(&program, &port, &fifo);
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        File::from(unread).read_to_string(&mut said).unwrap();
        said
    });
    program.end();
    let said = reader.join().unwrap();
    let told = format!("log lines are missing here: {} did not take them in time", log.display());
    assert!(said.contains(&told), "{said}");
}

#[test]
fn the_last_lines_come_out_before_the_end() {
    for _ in 0..20 {
        let dir = TempDir::new().unwrap();
        let (port, fifo) = (Pty::new(), dir.path().join("sharkfin"));
        let (mut said, stderr) = std::io::pipe().unwrap();
        Deaf::start(&port, &fifo, &[], stderr).end();
        let mut all = String::new();
        said.read_to_string(&mut all).unwrap();
        assert!(all.trim_end().ends_with("0 padding + 0 skipped"), "{all}");
    }
}

/// `timeout`, logind and shells that close their terminal send two signals in a moment.
#[test]
fn signals_that_come_together_are_one() {
    for signals in [
        &[Signal::TERM, Signal::TERM][..],
        &[Signal::INT, Signal::TERM, Signal::INT],
        &[Signal::HUP, Signal::TERM, Signal::HUP],
        &[Signal::HUP, Signal::CONT, Signal::HUP],
    ] {
        let dir = TempDir::new().unwrap();
        let (port, fifo) = (Pty::new(), dir.path().join("sharkfin"));
        let file = dir.path().join("a.pcapng");
        let options = ["-w", file.to_str().unwrap()];
        let mut program = Deaf::start(&port, &fifo, &options, Stdio::null());
        // So much waits for a reader that does not read that the end takes its time.
        let _stalled = FifoReader::open(&fifo);
        let frame = mstp(5, 1, 2, &[0x22; 480]);
        for _ in 0..1000 {
            port.send(&frame);
        }
        for signal in signals {
            program.signal(*signal);
        }
        let (code, took) = program.wait();
        assert_eq!(code, Some(0), "{signals:?}");
        assert!(took < SOON, "{took:?}");
        assert!(!fifo.exists());
        let written = std::fs::read(&file).unwrap();
        // The trailer: interface statistics of 5 options behind the last packet.
        let len = u32::from_ne_bytes(*written.last_chunk().unwrap()) as usize;
        let kind = written[written.len() - len..].first_chunk().unwrap();
        assert_eq!(u32::from_ne_bytes(*kind), 5, "{signals:?}");
    }
}

/// A shell ignores SIGINT for what a script starts in the background; nohup ignores SIGHUP.
#[test]
fn of_ignored_signals_only_sighup_stays_ignored() {
    let dir = TempDir::new().unwrap();
    let (port, fifo) = (Pty::new(), dir.path().join("sharkfin"));
    let start = |ignored: &str| {
        let script = format!("trap '' {ignored}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_serialshark"), port.path(), "--fifo"]);
        command.arg(&fifo).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Deaf(command.spawn().unwrap());
        eventually("the FIFO", || fifo.exists().then_some(()));
        started
    };
    for (ignored, signal) in [("INT", Signal::INT), ("TERM", Signal::TERM)] {
        let mut program = start(ignored);
        program.signal(signal);
        assert_eq!(program.wait().0, Some(0));
    }
    let mut program = start("HUP");
    program.signal(Signal::HUP);
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    program.end();
}

/// With files that take turns SIGHUP begins the next one, if somebody sends it; a terminal that
/// is closed sends it too, and is the end.
#[test]
fn a_closed_terminal_is_the_end_where_a_sighup_is_not() {
    let dir = TempDir::new().unwrap();
    let (port, file) = (Pty::new(), dir.path().join("a.pcap"));
    let (slave, screen) = terminal();
    let stdio = || slave.try_clone().unwrap();
    let mut command = Command::new("setsid");
    command.args(["--ctty", env!("CARGO_BIN_EXE_serialshark"), port.path(), "-G", "86400", "-w"]);
    command.arg(&file).stdin(stdio()).stdout(stdio()).stderr(stdio()).process_group(0);
    // A leader of a process group: setsid forks, and waits with --wait.
    command.env_remove("RUST_LOG");
    let mut child = Deaf(command.spawn().unwrap());
    drop((slave, command));
    assert_eq!(child.wait().0, Some(0), "setsid has started it");
    let mut said = String::new();
    let mut see = |what: &str| {
        let mut chunk = [0; 4096];
        while !said.contains(what) {
            assert!(readable(&screen.master, Instant::now() + LONG), "{said}");
            let len = read_some(&mut &screen.master, &mut chunk);
            said.push_str(&String::from_utf8_lossy(&chunk[..len]));
        }
    };
    see("reading mstp");
    let pid = eventually("the program", || {
        let tasks = std::fs::read_dir("/proc").unwrap().flatten();
        tasks.filter_map(|task| task.file_name().to_str()?.parse::<i32>().ok()).find(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                line.starts_with(env!("CARGO_BIN_EXE_serialshark").as_bytes())
                    && text(&line).contains(file.to_str().unwrap())
            })
        })
    });
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    port.send(&numbered_frame(1));
    eventually("a packet", || {
        let first = std::fs::read_dir(dir.path()).unwrap().flatten().next()?;
        (first.metadata().ok()?.len() > 24).then_some(())
    });
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    eventually("the next file", || (files() == 2).then_some(()));
    drop(screen);
    eventually("the end", || rustix::process::test_kill_process(pid).is_err().then_some(()));
}

#[test]
fn nothing_from_outside_is_a_command_for_the_terminal_or_a_line_of_the_log() {
    let dir = TempDir::new().unwrap();
    let evil = "evil\x1b[2J\nserialshark: all is well";
    let fifo = dir.path().join(evil);
    let (code, _, stderr) = run(&["sim:mstp", "-c", "3", "-w", fifo.to_str().unwrap(), "-v"]);
    assert_eq!(code, 0);
    assert!(!stderr.contains('\x1b') && !stderr.contains("\nserialshark: all is well"), "{stderr}");
    let missing = dir.path().join("missing").join(evil);
    let (code, _, stderr) = run(&["sim:mstp", "-c", "3", "-w", missing.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(!stderr.contains('\x1b') && !stderr.contains("\nserialshark: all is well"), "{stderr}");
    assert!(stderr.contains("evil\\u{1b}[2J\\nserialshark"), "{stderr}");
}

/// What a terminal has shown until the program ended, started with these arguments.
fn shown(args: &[&str], term: &str, until: &str) -> String {
    let (theirs, screen) = terminal();
    let mut command = Program::command();
    command.args(args).env("TERM", term).stdout(Stdio::null()).stderr(theirs);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut shown = screen.receive_until(|octets| text(octets).contains(until));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    eventually("the end", || child.try_wait().unwrap());
    shown.extend(screen.received_now());
    text(&shown)
}

#[test]
fn on_a_terminal_a_live_line_says_how_it_goes_and_goes_at_the_end() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a.pcap");
    let args = ["sim:mstp", "--force", "-w", file.to_str().unwrap()];
    let said = shown(&args, "xterm", "/s, 0 damaged, 0 dropped, 0 readers");
    // The screen as it is then: what follows the last erasure of each line.
    let screen: Vec<_> = said.lines().map(|line| line.rsplit("\r\x1b[K").next().unwrap()).collect();
    assert!(screen.iter().all(|line| !line.contains("/s, ")), "{said:?}");
    assert!(screen.iter().any(|line| line.contains("finished after")), "{said:?}");
    assert!(said.ends_with("\n"), "{said:?}");
    for (more, term) in [("-v", "dumb"), ("-v", "")] {
        let args = [&args[..], &[more]].concat();
        let said = shown(&args, term, "reading mstp");
        assert!(!said.contains("/s, ") && !said.contains('\x1b'), "{said:?}");
    }
    // It is no line of the log: of no file, and of nothing that is no terminal.
    let log = dir.path().join("log");
    let args = [&args[..], &["--log-file", log.to_str().unwrap()]].concat();
    shown(&args, "xterm", "/s, 0 damaged");
    assert!(!std::fs::read_to_string(&log).unwrap().contains("/s, "));
    let mut program = Program::start(args);
    program.wait_for("reading mstp");
    program.terminate();
    assert!(program.stderr().iter().all(|line| !line.contains("/s, ")));
}
