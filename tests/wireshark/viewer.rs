//! `--wireshark`: a program is started on a FIFO of its own, ends with us, and we with it.

use crate::common::*;
use crate::desk;
use rustix::process::Signal;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A program in place of Wireshark, in a directory for all of a test.
struct Rig {
    dir: TempDir,
}

impl Rig {
    /// One that tells its arguments and its process, and then does this with "$fifo".
    fn new(script: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let program = dir.path().join("wireshark");
        let told = dir.path().join("told");
        let script = format!(
            "#!/bin/sh\nfor fifo; do :; done\necho \"$$ $*\" >{told}.new\nmv {told}.new {told}\n{script}\n",
            told = told.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("run")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Program::command();
        let path = format!("{}:{}", self.dir.path().display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("DISPLAY", ":nowhere").current_dir(&self.dir);
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("TMPDIR", self.path("run"));
        command
    }

    fn start(&self, args: &[&str]) -> Program {
        let mut command = self.command();
        command.args(args);
        Program::spawn(command)
    }

    /// Its process and its arguments.
    fn told(&self) -> (i32, String) {
        let told = eventually("the program", || fs::read_to_string(self.path("told")).ok());
        let (process, args) = told.trim().split_once(' ').unwrap();
        (process.parse().unwrap(), args.to_owned())
    }

    /// That nothing is left.
    fn is_clean(&self) {
        assert_eq!(fs::read_dir(self.path("run")).unwrap().count(), 0, "something is left");
        let process = self.told().0;
        assert!(!Path::new(&format!("/proc/{process}")).exists(), "{process} is still there");
    }
}

/// How many packets there are, and whether it has a trailer.
fn packets_and_trailers(octets: &[u8]) -> (usize, usize) {
    let word = |at: usize| u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap());
    let (mut at, mut found) = (0, (0, 0));
    // The last one may be on its way.
    while at + 8 <= octets.len() && at + word(at + 4) as usize <= octets.len() {
        match word(at) {
            6 => found.0 += 1,
            5 => found.1 += 1,
            _ => {}
        }
        at += word(at + 4) as usize;
    }
    found
}

#[test]
fn it_is_started_on_a_private_fifo_and_ends_cleanly_when_we_end() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let rig = Rig::new("exec cat \"$fifo\" >out");
        let mut program = rig.start(&["sim:mstp", "--wireshark"]);
        program.wait_for("a reader has come");
        let (_, args) = rig.told();
        let fifo = args.strip_prefix("-k -i ").unwrap();
        assert!(fifo.starts_with(rig.path("run").to_str().unwrap()) && fifo.ends_with("/sim-mstp"));
        let private = Path::new(fifo).parent().unwrap().metadata().unwrap();
        assert_eq!(private.permissions().mode() & 0o777, 0o700);
        eventually("packets", || (fs::read(rig.path("out")).unwrap().len() > 1000).then_some(()));
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(0), "{:?}", program.stderr());
        let (packets, trailers) = packets_and_trailers(&fs::read(rig.path("out")).unwrap());
        assert!(packets > 5 && trailers == 1, "{packets} packets, {trailers} trailers");
        rig.is_clean();
    }
}

#[test]
fn its_end_is_the_end() {
    let rig = Rig::new("head -c 3000 \"$fifo\" >out");
    let pty = Pty::new();
    let mut program = rig.start(&[pty.path(), "--wireshark", "-w", "also.pcapng"]);
    program.wait_for("a reader has come");
    pty.send(&(0..200).flat_map(numbered_frame).collect::<Vec<_>>());
    assert_eq!(program.wait().code(), Some(0), "{:?}", program.stderr());
    assert_eq!(packets_and_trailers(&fs::read(rig.path("also.pcapng")).unwrap()).1, 1);
    rig.is_clean();
}

#[test]
fn a_program_that_fails_is_told_of() {
    let rig = Rig::new("echo no display >&2; exit 3");
    let mut program = rig.start(&["sim:mstp", "--wireshark"]);
    assert_eq!(program.wait().code(), Some(1));
    let said = program.stderr();
    assert!(said.iter().any(|line| line == "no display"), "{said:?}");
    let last = said.iter().position(|line| line.contains("wireshark: ended with exit status: 3"));
    assert!(said[last.unwrap() + 1].starts_with("  hint: "), "{said:?}");
    rig.is_clean();
}

/// It starts slowly, and there is another output that takes all at once.
#[test]
fn it_misses_nothing_of_a_file_and_keeps_what_it_shows() {
    let rig = Rig::new(
        "until [ -e go ] || [ ! -d run ]; do sleep 0.05; done; cat \"$fifo\" >out; cat <wait; exit 0",
    );
    // More than what is kept for a program that is only starting.
    const FRAMES: u32 = 60_000;
    let frames: Vec<u8> = (0..FRAMES).flat_map(numbered_frame).collect();
    fs::write(rig.path("octets"), frames).unwrap();
    assert!(Command::new("mkfifo").arg(rig.path("wait")).status().unwrap().success());
    let mut program = rig.start(&[
        "octets",
        "--wireshark",
        "-w",
        "also.pcapng",
        "-B",
        "1",
        "--history-size",
        "1",
    ]);
    program.wait_for("starting wireshark");
    // Nothing is read for the other output alone.
    std::thread::park_timeout(Duration::from_millis(500));
    assert_eq!(packets_and_trailers(&fs::read(rig.path("also.pcapng")).unwrap()), (0, 0));
    fs::write(rig.path("go"), "").unwrap();
    program.wait_for("end of input: press ");
    let (packets, trailers) = packets_and_trailers(&fs::read(rig.path("out")).unwrap());
    assert_eq!((packets, trailers), (FRAMES as usize, 1));
    assert_eq!(
        packets_and_trailers(&fs::read(rig.path("also.pcapng")).unwrap()),
        (FRAMES as usize, 1)
    );
    assert_eq!(program.child.try_wait().unwrap(), None, "it still shows them");
    drop(fs::OpenOptions::new().write(true).open(rig.path("wait")).unwrap());
    assert_eq!(program.wait().code(), Some(0), "{:?}", program.stderr());
    rig.is_clean();
}

/// What was asked for is there before it is; the time until then costs nothing.
#[test]
fn a_count_that_is_reached_before_it_reads_is_delivered_all_the_same() {
    let rig = Rig::new("until [ -e go ] || [ ! -d run ]; do sleep 0.05; done; cat \"$fifo\" >out");
    let pty = Pty::new();
    let mut program = rig.start(&[pty.path(), "--wireshark", "-c", "50"]);
    program.wait_for("starting wireshark");
    pty.send(&(0..60).flat_map(numbered_frame).collect::<Vec<_>>());
    eventually("all frames", || {
        program.signal(Signal::USR1);
        let frames = |line: &String| -> Option<u32> {
            line.split_once(" frames, ")?.0.rsplit_once(' ')?.1.parse().ok()
        };
        program.stderr().iter().filter_map(frames).any(|frames| frames >= 50).then_some(())
    });
    fs::write(rig.path("go"), "").unwrap();
    assert_eq!(program.wait().code(), Some(0), "{:?}", program.stderr());
    assert_eq!(packets_and_trailers(&fs::read(rig.path("out")).unwrap()), (50, 1));
    rig.is_clean();
}

#[test]
fn one_that_comes_again_gets_what_comes_from_then_on() {
    let rig = Rig::new(
        "cat \"$fifo\" >one & first=$!; until [ -e stop ] || [ ! -d run ]; do sleep 0.05; done; \
                        kill $first; exec cat \"$fifo\" >two",
    );
    let pty = Pty::new();
    let mut program = rig.start(&[pty.path(), "--wireshark"]);
    program.wait_for("a reader has come");
    pty.send(&numbered_frame(1));
    eventually("a packet", || {
        (packets_and_trailers(&fs::read(rig.path("one")).unwrap()).0 == 1).then_some(())
    });
    fs::write(rig.path("stop"), "").unwrap();
    program.wait_for_nth(2, "a reader has come");
    pty.send(&numbered_frame(2));
    eventually("the next packet", || {
        (packets_and_trailers(&fs::read(rig.path("two")).unwrap()).0 > 0).then_some(())
    });
    program.terminate();
    assert_eq!(packets_and_trailers(&fs::read(rig.path("two")).unwrap()), (1, 1));
}

#[test]
fn without_program_or_screen_packets_are_printed() {
    let rig = Rig::new("exit 9");
    let printed = |command: &mut Command, says: &str| {
        let output = command.args(["sim:mstp", "-c", "2"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout).lines().count(), 2);
        let said = text(&output.stderr);
        assert!(said.contains(says) && said.contains(": printing packets instead"), "{said}");
    };
    let hint = "sudo apt install wireshark";
    printed(rig.command().env("PATH", "/nowhere").arg("--wireshark"), hint);
    printed(rig.command().arg("--wireshark=no-such-program"), "no-such-program: is not installed");
    let screen = "needs a screen";
    printed(
        rig.command().env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").arg("--wireshark"),
        screen,
    );
    assert!(!rig.path("told").exists());
    // Another output goes on without it.
    let mut command = rig.command();
    command.args(["sim:mstp", "-c", "2", "--wireshark=none", "-w", "a.pcapng"]);
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(!text(&output.stderr).contains("instead"));
}

#[test]
fn tshark_takes_its_place() {
    if tool("tshark").is_none() {
        return;
    }
    let rig = Rig::new("");
    let mut command = rig.command();
    let output = command.args(["sim:mstp", "-c", "5", "--wireshark=tshark"]).output().unwrap();
    let (said, shown) = (text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(shown.lines().filter(|line| line.contains("BACnet")).count(), 5, "{shown}{said}");
    assert_eq!(fs::read_dir(rig.path("run")).unwrap().count(), 0);
}

/// The real one, in a window; its dumpcap too leaves nothing behind.
#[test]
fn the_real_wireshark_ends_with_us_and_we_with_it() {
    if left_to_full_runs() {
        return;
    }
    let tools = ["Xvfb", "xdotool", "wireshark"];
    let missing: Vec<_> = tools.into_iter().filter(|tool| !desk::is_installed(tool)).collect();
    if !missing.is_empty() {
        return skip(&format!("no window of Wireshark, not installed: {missing:?}"));
    }
    let _alone = desk::alone();
    let log = Arc::new(desk::Log::default());
    let (home, _) = desk::home();
    let (_xvfb, display) = desk::start_xvfb(&log);
    let settings = home.path().join(".config/wireshark/preferences");
    fs::write(settings, "gui.ask_unsaved: FALSE\n").unwrap();
    for (round, we_end) in [(1, true), (2, false)] {
        let mut command = desk::in_desk(env!("CARGO_BIN_EXE_serialshark"), home.path(), &display);
        command.args(["sim:mstp", "--wireshark"]);
        let mut serialshark = desk::Process::start("serialshark", &mut command, &log);
        log.wait("Wireshark to read", |lines| {
            let come = lines.iter().filter(|line| line.contains(": a reader has come"));
            (come.count() == round).then_some(())
        });
        let window = log.wait("a window that captures", |_| {
            let captures = |(_, title): &(String, String)| title.starts_with("Capturing from ");
            desk::windows(home.path(), &display).into_iter().find(captures)
        });
        if we_end {
            let pid = rustix::process::Pid::from_child(&serialshark.0);
            rustix::process::kill_process(pid, Signal::INT).unwrap();
        } else {
            let mut quit = desk::in_desk("xdotool", home.path(), &display);
            desk::output(quit.args(["windowfocus", "--sync", &window.0, "key", "ctrl+q"]));
        }
        let start = Instant::now();
        log.wait("the end", |_| serialshark.has_ended().then_some(()));
        let status = serialshark.0.wait().unwrap();
        assert!(status.success(), "{status}: {:#?}", log.lines());
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        let home_text = home.path().to_str().unwrap();
        log.wait("nobody to be left", |_| {
            let lives = fs::read_dir("/proc").unwrap().flatten().any(|process| {
                let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
                let line = text(&line);
                line.contains("dumpcap") && line.contains(home_text)
            });
            (!lives).then_some(())
        });
        let left = fs::read_dir(home.path()).unwrap().flatten();
        let ours = left
            .filter(|entry| text(entry.file_name().as_encoded_bytes()).starts_with("serialshark-"));
        assert_eq!(ours.count(), 0, "a directory is left");
    }
}
