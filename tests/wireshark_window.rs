//! Start, Stop and Restart in the window of the real Wireshark, on a FIFO.
//!
//! Wireshark's wiki says that these do not work with a pipe. Here someone presses their keys, on
//! a display of their own, and three witnesses tell what comes of it: serialshark (who read what
//! from the FIFO), Wireshark (a tap in Lua sees what the window shows) and capinfos and tshark
//! (what is in the capture file).

#![cfg(target_os = "linux")]

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// For anything to happen, on a machine that has much else to do.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often to look for what nobody tells us.
const LOOK: Duration = Duration::from_millis(50);
/// How often Restart is pressed.
const RESTARTS: usize = 12;

const TOOLS: [&str; 5] = ["Xvfb", "xdotool", "wireshark", "capinfos", "tshark"];

/// Tells when Wireshark has dissected the first packet of a capture.
const TAP: &str = r#"
local tap = Listener.new("frame", "mstp")
function tap.packet(packet)
    if packet.number == 1 then
        io.stderr:write(string.format("first packet, of %.6f\n", packet.abs_ts))
    end
end
"#;

/// Without the field for a filter the packet list has the keyboard: in the field, Ctrl+E
/// would mean "to the end of the line".
const RECENT: &str = "gui.filter_toolbar_show: FALSE\n";
/// No dialogue that asks whether one really wants to be root.
const RECENT_COMMON: &str = "privs.warn_if_elevated: FALSE\n";

#[test]
fn wireshark_can_restart_stop_and_start_a_capture_from_a_fifo() {
    let missing: Vec<_> = TOOLS.into_iter().filter(|tool| !is_installed(tool)).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        assert!(std::env::var_os("CI").is_none(), "not installed: {missing}");
        say(&format!("SKIPPED: Wireshark's window was not tested, not installed: {missing}"));
        return;
    }
    let mut desk = Desk::new();
    let mut times = Vec::new();

    desk.wait_for_packets();
    for _ in 0..RESTARTS {
        let pressed = Instant::now();
        desk.press("ctrl+r");
        desk.wait_for_packets();
        times.push(pressed.elapsed());
    }
    desk.press("ctrl+e");
    desk.check_stopped();

    let pressed = Instant::now();
    desk.press("ctrl+e");
    desk.wait_for_packets();
    let start = pressed.elapsed();
    desk.press("ctrl+e");
    desk.check_stopped();

    assert_eq!(desk.readers, RESTARTS + 2);
    assert_eq!(desk.windows().len(), 1, "an error message? {:?}", desk.windows());
    times.sort();
    say(&format!(
        "Wireshark's window: {RESTARTS} x Restart, packets {} to {} ms after the key (median {}); \
         Stop; Start, packets after {} ms; Stop",
        times[0].as_millis(),
        times[RESTARTS - 1].as_millis(),
        times[RESTARTS / 2].as_millis(),
        start.as_millis(),
    ));
}

/// A display with Wireshark's window, and serialshark behind it. Fields are dropped in this
/// order, and end their processes.
struct Desk {
    wireshark: Process,
    serialshark: Process,
    xvfb: Process,
    log: Arc<Log>,
    dir: tempfile::TempDir,
    display: String,
    window: String,
    /// How many readers had come when packets were last waited for.
    readers: usize,
    /// The time of their first packet.
    first: f64,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = Arc::new(Log::default());
        let file = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(&path, text).expect("a file in the temporary directory");
            path
        };
        let tap = file("tap.lua", TAP);
        file(".config/wireshark/recent", RECENT);
        file(".config/wireshark/recent_common", RECENT_COMMON);
        fs::create_dir(dir.path().join("captures")).expect("a directory");
        let fifo = dir.path().join("sharkfin");

        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]);
        let xvfb = Process::start("Xvfb", &mut command, &log);
        let display = log.wait("Xvfb to tell its display", |lines| {
            lines.iter().find_map(|line| Some(format!(":{}", line.strip_prefix("Xvfb: ")?)))
        });

        let mut command = Command::new(env!("CARGO_BIN_EXE_serialshark"));
        command.arg("sim:mstp").arg("--fifo").arg(&fifo).env_remove("RUST_LOG");
        let serialshark = Process::start("serialshark", &mut command, &log);
        log.wait("the FIFO", |lines| {
            lines.iter().any(|line| line.contains(": waiting for a reader")).then_some(())
        });

        let mut command = in_desk("wireshark", dir.path(), &display);
        command.args(["-o", "gui.ask_unsaved:FALSE", "-k", "-i"]).arg(&fifo);
        command.arg("-X").arg(format!("lua_script:{}", tap.display()));
        let wireshark = Process::start("wireshark", &mut command, &log);

        let mut desk = Self {
            wireshark,
            serialshark,
            xvfb,
            log,
            dir,
            display,
            window: String::new(),
            readers: 0,
            first: 0.0,
        };
        desk.window = desk.log.wait("a window that captures", |_| {
            let (id, title) = desk.windows().pop()?;
            title.starts_with("Capturing from ").then_some(id)
        });
        // Nobody else does it without a window manager.
        desk.xdotool(&["windowfocus", "--sync", &desk.window]);
        desk
    }

    /// Presses a key in Wireshark's window.
    fn press(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    /// Waits until the next reader has come to the FIFO, and Wireshark shows packets from it.
    fn wait_for_packets(&mut self) {
        self.readers += 1;
        let what = format!("packets for reader {}", self.readers);
        let (readers, last) = (self.readers, self.first);
        self.first = self.log.wait(&what, |lines| {
            let first = lines.iter().filter_map(|line| line.split_once(": first packet, of "));
            let first = first.filter_map(|(_, time)| time.parse().ok()).find(|time| *time > last);
            first.filter(|_| count(lines, ": a reader has come") == readers)
        });
        self.wait_for_title("Capturing from ");
    }

    /// Waits until Wireshark has stopped, then asks the witnesses.
    fn check_stopped(&self) {
        self.wait_for_title("*");
        let left = self.log.wait("the last reader to leave", |lines| {
            let left: Vec<_> =
                lines.iter().filter(|line| line.contains(": its reader left after ")).collect();
            (left.len() == self.readers).then(|| left.into_iter().cloned().collect::<Vec<_>>())
        });
        let delivered = left.iter().map(|line| {
            let (_, counts) = line.split_once(" packets framed = ").expect(line);
            let (delivered, lost) = counts.split_once(" delivered + ").expect(line);
            assert!(lost.starts_with("0 dropped "), "{line}");
            delivered.parse().expect(line)
        });
        let delivered: Vec<u64> = delivered.collect();
        assert!(delivered.iter().all(|delivered| *delivered > 0), "{left:#?}");

        let captures = fs::read_dir(self.dir.path().join("captures")).expect("captures");
        let mut captures: Vec<PathBuf> =
            captures.map(|entry| entry.expect("a capture").path()).collect();
        let capture = captures.pop().expect("the last capture");
        assert_eq!(captures, [PathBuf::new(); 0], "Wireshark removes those before the last");
        let infos = output(Command::new("capinfos").args(["-M", "-E", "-c"]).arg(&capture));
        let info = |name| {
            let value = infos.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap_or_else(|| panic!("no {name} in {infos}")).trim()
        };
        assert_eq!(info("File encapsulation:"), "bacnet-ms-tp");
        let packets: u64 = info("Number of packets:").parse().expect("a number");
        // What Wireshark leaves unread in the pipe has been delivered all the same.
        assert!(0 < packets && packets <= delivered[self.readers - 1], "{infos}{left:#?}");
        let mut tshark = in_desk("tshark", self.dir.path(), &self.display);
        let mstp = output(tshark.args(["-Y", "mstp", "-r"]).arg(&capture));
        assert_eq!(mstp.lines().count() as u64, packets);
    }

    fn wait_for_title(&self, start: &str) {
        self.log.wait(&format!("a title that starts with {start:?}"), |_| {
            self.windows().iter().any(|(_, title)| title.starts_with(start)).then_some(())
        });
    }

    /// Wireshark's windows, with their titles.
    fn windows(&self) -> Vec<(String, String)> {
        let search = ["search", "--onlyvisible", "--class", "wireshark"];
        let found = in_desk("xdotool", self.dir.path(), &self.display).args(search).output();
        let found = String::from_utf8(found.expect("xdotool").stdout).expect("numbers");
        let title = |id: &str| {
            in_desk("xdotool", self.dir.path(), &self.display)
                .args(["getwindowname", id])
                .output()
                .map(|title| String::from_utf8_lossy(&title.stdout).trim().to_owned())
                .expect("xdotool")
        };
        found.lines().map(|id| (id.to_owned(), title(id))).collect()
    }

    fn xdotool(&self, args: &[&str]) {
        output(in_desk("xdotool", self.dir.path(), &self.display).args(args));
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if thread::panicking() {
            let windows = self.windows();
            say(&format!("Windows: {windows:?}\n{}", self.log.lines().join("\n")));
        }
        // Wireshark last opened a FIFO that serialshark removes, on a display that Xvfb shows.
        self.wireshark.end();
        self.serialshark.end();
        self.xvfb.end();
    }
}

/// A command that sees nothing of the user's: neither settings nor display.
fn in_desk(program: &str, home: &Path, display: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command.env("LANG", "C.UTF-8").env("DISPLAY", display).env("QT_QPA_PLATFORM", "xcb");
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("TMPDIR", home.join("captures"));
    command.stdin(Stdio::null());
    command
}

/// What a command prints; it has to succeed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

fn count(lines: &[String], part: &str) -> usize {
    lines.iter().filter(|line| line.contains(part)).count()
}

/// To the terminal, past the test harness, which keeps what a test that passes prints.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A process that ends with this value.
struct Process {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    fn start(name: &'static str, command: &mut Command, log: &Arc<Log>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let readers = vec![log.read(name, stdout), log.read(name, stderr)];
        Self { child, readers }
    }
}
