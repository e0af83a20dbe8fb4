//! `serialshark top` in a real terminal: tmux, with keys as a user presses them.
#![cfg(all(feature = "top", unix))]

use crate::common::*;
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use serialshark::sys::terminal::Terminal;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A terminal of 80 columns and 24 rows, with a shell in it.
struct Tmux {
    dir: TempDir,
}

impl Tmux {
    fn start() -> Option<Self> {
        if left_to_full_runs() {
            return None;
        }
        tool_without_version("tmux")?;
        let tmux = Self { dir: TempDir::new().unwrap() };
        tmux.run(&["new-session", "-d", "-x", "80", "-y", "24", "env PS1='$ ' sh"]);
        tmux.wait_for("$");
        Some(tmux)
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = tool_without_version("tmux").unwrap();
        command.arg("-S").arg(self.dir.path().join("tmux")).args(["-f", "/dev/null"]);
        let output = command.args(args).env_remove("TMUX").env("TERM", "xterm").output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Types a command.
    fn types(&self, line: &str) {
        self.run(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    fn press(&self, key: &str) {
        self.run(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    fn wait_for(&self, wanted: &str) -> String {
        eventually(wanted, || Some(self.screen()).filter(|screen| screen.contains(wanted)))
    }

    /// Starts serialshark, behind a line that must be there again at the end.
    fn top(&self, args: &str) {
        self.types("clear; echo be''fore");
        self.wait_for("before");
        let program = env!("CARGO_BIN_EXE_serialshark");
        self.types(&format!("{program} top {args}; echo left with $?"));
    }

    /// Sends a signal to what runs in it.
    fn kill(&self, signal: &str) {
        let pid = self.run(&["display-message", "-p", "#{pane_pid}"]);
        let kill = format!("kill -{signal} $(cat /proc/{0}/task/{0}/children)", pid.trim());
        assert!(Command::new("sh").arg("-c").arg(kill).status().unwrap().success());
    }

    /// It is as it was before, and usable.
    fn has_it_back(&self, with: &str) -> String {
        let screen = self.wait_for(&format!("left with {with}"));
        assert!(screen.contains("before"), "{screen}");
        assert!(!screen.contains("Ring:"), "{screen}");
        self.types("clear; stty -a");
        let modes = self.wait_for("echok");
        assert!(modes.contains(" icanon") && modes.contains(" echo "), "{modes}");
        screen
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn keys_lead_through_its_pages_while_a_fifo_is_served() {
    let Some(tmux) = Tmux::start() else { return };
    let fifo = tmux.path("sharkfin");
    tmux.top(&format!("sim:mstp --fifo {}", path(&fifo)));
    let screen = tmux.wait_for("Ring: ");
    assert!(screen.starts_with("serialshark top: sim:mstp, mstp 38400"), "{screen}");
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    assert_eq!(reader.records(20).len(), 20);
    tmux.press("s");
    tmux.wait_for("MAC*");
    tmux.press("Down");
    tmux.press("Enter");
    tmux.wait_for("tokens sent, received");
    tmux.press("Escape");
    tmux.wait_for("Ring: ");
    tmux.press("l");
    // Its log line about the reader is there, and nowhere else.
    tmux.wait_for("a reader has come");
    tmux.press("Escape");
    tmux.wait_for("Ring: ");
    tmux.run(&["resize-window", "-x", "120", "-y", "40"]);
    eventually("the keys in the last row", || {
        let screen = tmux.screen();
        screen.lines().nth(39).filter(|row| row.starts_with("q leave")).map(drop)
    });
    tmux.run(&["resize-window", "-x", "80", "-y", "24"]);
    eventually("the keys in the last row", || {
        let screen = tmux.screen();
        screen.lines().nth(23).filter(|row| row.starts_with("q leave")).map(drop)
    });
    tmux.press("q");
    tmux.has_it_back("0");
    assert!(!fifo.exists());
}

#[test]
fn signals_end_it_and_the_terminal_is_as_it_was() {
    let Some(tmux) = Tmux::start() else { return };
    for signal in ["TERM", "INT"] {
        tmux.top("sim:mstp");
        tmux.wait_for("Ring: ");
        tmux.kill(signal);
        tmux.has_it_back("0");
    }
}

#[test]
fn a_file_is_read_to_its_end_and_browsed() {
    let Some(tmux) = Tmux::start() else { return };
    let octets = tmux.path("octets");
    let round = [mstp(0, 4, 1, b""), mstp(0, 9, 4, b""), mstp(0, 1, 9, b"")].concat();
    std::fs::write(&octets, round.repeat(1000)).unwrap();
    tmux.top(&format!("{} -b 38400", path(&octets)));
    tmux.wait_for("3000 frames in ");
    eventually("the end in the first row", || {
        let screen = tmux.screen();
        screen.lines().next().filter(|row| row.ends_with(" end of input")).map(drop)
    });
    tmux.press("Enter");
    tmux.wait_for("Node ");
    tmux.press("C-c");
    tmux.has_it_back("0");
}

#[test]
fn a_capture_file_is_browsed_and_a_signal_ends_that() {
    let Some(tmux) = Tmux::start() else { return };
    let capture = tmux.path("trunk.pcapng");
    let (code, ..) = run(&["sim:mstp", "-q", "-c", "50", "-w", path(&capture)]);
    assert_eq!(code, 0);
    tmux.top(path(&capture));
    let screen = tmux.wait_for("50 frames in ");
    assert!(screen.lines().next().unwrap().ends_with(" end of input"), "{screen}");
    tmux.kill("TERM");
    tmux.has_it_back("0");
}

/// What is said while the screen is there is not lost with it.
#[test]
fn an_error_is_read_on_the_terminal_as_it_was() {
    let Some(tmux) = Tmux::start() else { return };
    tmux.top("sim:mstp -w /dev/full");
    tmux.wait_for("Ring: ");
    tmux.press("l");
    tmux.wait_for("/dev/full: cannot write");
    tmux.press("q");
    let screen = tmux.has_it_back("1");
    assert!(screen.contains("serialshark: error: /dev/full: cannot write"), "{screen}");
}

/// Not a test but a program for the one below, which has a terminal.
#[test]
fn dies_in_a_terminal() {
    if std::env::var_os("SERIALSHARK_DIE").is_none() {
        return;
    }
    let terminal = Terminal::open().unwrap();
    terminal.enter().unwrap();
    // In another thread, as most would be.
    let _ = std::thread::spawn(|| panic!("on purpose")).join();
    assert!(!terminal.is_entered());
}

#[test]
fn a_panic_is_read_on_the_terminal_as_it_was() {
    let Some(tmux) = Tmux::start() else { return };
    tmux.types("clear; echo be''fore");
    tmux.wait_for("before");
    let this = std::env::current_exe().unwrap();
    let args = "--exact top::dies_in_a_terminal --nocapture";
    tmux.types(&format!(
        "RUST_BACKTRACE=0 SERIALSHARK_DIE=1 {} {args}; echo left with $?",
        path(&this)
    ));
    let screen = tmux.has_it_back("0");
    assert!(screen.contains("on purpose"), "{screen}");
}

/// A terminal that nobody reads is soon full.
#[test]
fn a_terminal_that_takes_nothing_holds_up_neither_packets_nor_the_end() {
    if left_to_full_runs() || tool_without_version("setsid").is_none() {
        return;
    }
    let dir = TempDir::new().unwrap();
    let (screen, port, fifo) = (Pty::new(), Pty::new(), dir.path().join("sharkfin"));
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let tty: File = rustix::fs::open(screen.path(), flags, Mode::empty()).unwrap().into();
    let mut command = tool_without_version("setsid").unwrap();
    command.args(["--ctty", env!("CARGO_BIN_EXE_serialshark"), "top"]);
    command.args([port.path(), "-b", "115200", "--fifo", path(&fifo)]);
    command.env("TERM", "xterm").stdin(tty).stdout(Stdio::null());
    let mut program = Program::spawn(command);
    eventually("the FIFO", || fifo.exists().then_some(()));
    let mut reader = FifoReader::open(&fifo);
    reader.header();
    for number in 0..2000 {
        port.send(&numbered_frame(number));
        assert_eq!(reader.record().unwrap().data, numbered_frame(number));
    }
    program.signal(Signal::TERM);
    assert!(program.terminate() < SOON);
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    if tool_without_version("setsid").is_none() {
        return;
    }
    let said = |term: &str| {
        let mut command = tool_without_version("setsid").unwrap();
        command.args(["--wait", env!("CARGO_BIN_EXE_serialshark"), "top", "sim:mstp"]);
        let output = command.env("TERM", term).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let none = said("xterm");
    assert!(
        none.contains("top: needs a terminal") && none.contains("hint: start it in one"),
        "{none}"
    );
    let dumb = said("dumb");
    assert!(dumb.contains("can only show lines (TERM=dumb)") && dumb.contains("hint: "), "{dumb}");
}
