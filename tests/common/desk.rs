//! A display of their own for programs with windows, and what all of them say.
#![allow(dead_code)] // each test file uses a part
#![allow(missing_docs)]

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// For anything to happen, on a machine that has much else to do.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// For a process to end when asked to.
pub const GRACE: Duration = Duration::from_secs(5);
/// How often to look for what nobody tells us.
pub const LOOK: Duration = Duration::from_millis(50);
/// Tells when Wireshark has dissected the first packet of a capture.
pub const TAP: &str = r#"
local tap = Listener.new("frame", "mstp")
function tap.packet(packet)
    if packet.number == 1 then
        io.stderr:write(string.format("first packet, of %.6f\n", packet.abs_ts))
    end
end
"#;

/// Without the field for a filter the packet list has the keyboard: in the field, Ctrl+E
/// would mean "to the end of the line".
pub const RECENT: &str = "gui.filter_toolbar_show: FALSE\n";
/// No dialogue that asks whether one really wants to be root.
pub const RECENT_COMMON: &str = "privs.warn_if_elevated: FALSE\n";

/// A home for Wireshark, and the tap in it. Captures go to `captures`.
pub fn home() -> (tempfile::TempDir, PathBuf) {
    // As private as Qt wants the directory for what belongs to a session.
    let private = fs::Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().permissions(private).tempdir().expect("a directory");
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
    (dir, tap)
}

/// One window at a time: two that start at once on a small machine take minutes.
pub fn alone() -> MutexGuard<'static, ()> {
    static DESK: Mutex<()> = Mutex::new(());
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A display, and its name.
pub fn start_xvfb(log: &Arc<Log>) -> (Process, String) {
    let mut command = Command::new("Xvfb");
    command.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]);
    let xvfb = Process::start("Xvfb", &mut command, log);
    let display = log.wait("Xvfb to tell its display", |lines| {
        let number = |line: &String| line.strip_prefix("Xvfb: ")?.parse().ok();
        lines.iter().find_map(number).map(|number: u32| format!(":{number}"))
    });
    (xvfb, display)
}

/// Wireshark's windows, with their titles.
pub fn windows(home: &Path, display: &str) -> Vec<(String, String)> {
    let search = ["search", "--onlyvisible", "--class", "wireshark"];
    let found = in_desk("xdotool", home, display).args(search).output();
    let found = String::from_utf8(found.expect("xdotool").stdout).expect("numbers");
    let title = |id: &str| {
        in_desk("xdotool", home, display)
            .args(["getwindowname", id])
            .output()
            .map(|title| String::from_utf8_lossy(&title.stdout).trim().to_owned())
            .expect("xdotool")
    };
    found.lines().map(|id| (id.to_owned(), title(id))).collect()
}

/// A command that sees nothing of the user's: neither settings nor display.
pub fn in_desk(program: &str, home: &Path, display: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command.env("LANG", "C.UTF-8").env("DISPLAY", display).env("QT_QPA_PLATFORM", "xcb");
    command.env("HOME", home).env("XDG_RUNTIME_DIR", home).env("TMPDIR", home.join("captures"));
    command.stdin(Stdio::null());
    command
}

/// What a command prints; it has to succeed.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
}

/// To the terminal, past the test harness, which keeps what a test that passes prints.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A process, and what it starts, that end with this value.
pub struct Process(pub Child);

impl Process {
    pub fn start(name: &'static str, command: &mut Command, log: &Arc<Log>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        log.read(name, child.stdout.take());
        log.read(name, child.stderr.take());
        Self(child)
    }

    /// Whether the process has ended; leaves its id taken, and that of its group.
    pub fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.0)), options), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.0);
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

/// What all processes have said, by lines that begin with the name of the process.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Log {
    pub fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what comes out of a pipe, on a thread that ends with it.
    pub fn read(self: &Arc<Self>, name: &'static str, pipe: Option<impl Read + Send + 'static>) {
        let log = Arc::clone(self);
        let pipe = BufReader::new(pipe.expect("a pipe"));
        thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                log.lines().push(format!("{name}: {line}"));
                log.grown.notify_all();
            }
        });
    }

    /// Waits until `look` sees something, in the lines or elsewhere.
    pub fn wait<T>(&self, what: &str, look: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let lines = self.lines().clone();
            if let Some(seen) = look(&lines) {
                return seen;
            }
            let lines = self.lines();
            let (lines, _) =
                self.grown.wait_timeout(lines, LOOK).unwrap_or_else(PoisonError::into_inner);
            assert!(
                Instant::now() < deadline,
                "waited {} s for {what}; this is what happened:\n{}",
                DEADLINE.as_secs(),
                lines.join("\n"),
            );
        }
    }
}
