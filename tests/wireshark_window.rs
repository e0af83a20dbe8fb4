//! Start, Stop and Restart in the window of the real Wireshark, on a FIFO.
//!
//! Wireshark's wiki says that these do not work with a pipe. Here someone presses their keys, on
//! a display of their own, and three witnesses tell what comes of it: serialshark (who read what
//! from the FIFO), Wireshark (a tap in Lua sees what the window shows), and capinfos and tshark
//! (what is in the capture file).

#![cfg(target_os = "linux")]

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// For anything to happen, on a machine that has much else to do.
const DEADLINE: Duration = Duration::from_secs(60);
/// For a process to end when asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How often to look for what nobody tells us.
const LOOK: Duration = Duration::from_millis(50);
/// How often Restart is pressed.
const RESTARTS: usize = 12;
/// How often Stop is pressed, and Start after it.
const STARTS: usize = 3;

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
    desk.wait_for_packets(Instant::now());
    let restarts = (0..RESTARTS).map(|_| desk.press_start("ctrl+r")).collect();
    desk.press_stop();
    let starts = (0..STARTS).map(|_| {
        let delays = desk.press_start("ctrl+e");
        desk.press_stop();
        delays
    });
    let starts = starts.collect();
    assert_eq!(desk.readers, 1 + RESTARTS + STARTS);
    assert_eq!(desk.windows().len(), 1, "an error message? {:?}", desk.windows());
    report("Restart", restarts);
    report("Start", starts);
}

/// How long after the key a new reader came to the FIFO, and the window showed packets from it
/// (Wireshark 4.0 looks for packets twice a second).
type Delays = (Duration, Duration);

fn report(key: &str, delays: Vec<Delays>) {
    let range = |mut delays: Vec<Duration>| {
        delays.sort();
        format!("{} to {} ms", delays[0].as_millis(), delays[delays.len() - 1].as_millis())
    };
    let times = delays.len();
    let (readers, packets) = delays.into_iter().unzip();
    say(&format!(
        "Wireshark's window: {times} x {key}: next reader after {}, its packets shown after {}",
        range(readers),
        range(packets),
    ));
}

/// A display with Wireshark's window, and serialshark behind it. Fields are dropped in this
/// order, and end their processes.
struct Desk {
    _wireshark: Process,
    _serialshark: Process,
    _xvfb: Process,
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
        // As private as Qt wants the directory for what belongs to a session.
        let private = fs::Permissions::from_mode(0o700);
        let dir = tempfile::Builder::new().permissions(private).tempdir().expect("a directory");
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
            let number = |line: &String| line.strip_prefix("Xvfb: ")?.parse().ok();
            lines.iter().find_map(number).map(|number: u32| format!(":{number}"))
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
            _wireshark: wireshark,
            _serialshark: serialshark,
            _xvfb: xvfb,
            log,
            dir,
            display,
            window: String::new(),
            readers: 0,
            first: 0.0,
        };
        desk.window = desk.log.wait("a window that captures", |_| {
            let captures = |(_, title): &(_, String)| title.starts_with("Capturing from ");
            desk.windows().into_iter().find(captures).map(|(id, _)| id)
        });
        // Nobody else does it without a window manager.
        desk.xdotool(&["windowfocus", "--sync", &desk.window]);
        desk
    }

    /// Presses a key in Wireshark's window.
    fn press(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    /// Presses a key that starts a capture, and waits for its packets.
    fn press_start(&mut self, key: &str) -> Delays {
        let pressed = Instant::now();
        self.press(key);
        self.wait_for_packets(pressed)
    }

    /// Waits until the next reader has come to the FIFO, and Wireshark shows packets from it.
    fn wait_for_packets(&mut self, start: Instant) -> Delays {
        self.readers += 1;
        let (readers, last) = (self.readers, self.first);
        self.log.wait(&format!("reader {readers}"), |lines| {
            let come = lines.iter().filter(|line| line.contains(": a reader has come"));
            (come.count() == readers).then_some(())
        });
        let come = start.elapsed();
        self.first = self.log.wait(&format!("packets for reader {readers}"), |lines| {
            let first = lines.iter().filter_map(|line| line.split_once(": first packet, of "));
            first.filter_map(|(_, time)| time.parse().ok()).find(|time| *time > last)
        });
        (come, start.elapsed())
    }

    /// Presses the key that stops, waits for it, and asks the witnesses.
    fn press_stop(&self) {
        self.press("ctrl+e");
        self.log.wait("a title that says so", |_| {
            self.windows().iter().any(|(_, title)| title.starts_with('*')).then_some(())
        });
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
        let captures: Vec<_> = captures.map(|entry| entry.expect("a capture").path()).collect();
        let [capture] = &captures[..] else {
            panic!("Wireshark keeps the last capture alone, not {captures:?}");
        };
        let infos = output(Command::new("capinfos").args(["-M", "-E", "-c"]).arg(capture));
        let info = |name| {
            let value = infos.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap_or_else(|| panic!("no {name} in {infos}")).trim()
        };
        assert_eq!(info("File encapsulation:"), "bacnet-ms-tp");
        let packets: u64 = info("Number of packets:").parse().expect("a number");
        // What Wireshark leaves unread in the pipe has been delivered all the same.
        assert!(0 < packets && packets <= delivered[self.readers - 1], "{infos}{left:#?}");
        let mut tshark = in_desk("tshark", self.dir.path(), &self.display);
        let mstp = output(tshark.args(["-Y", "mstp", "-r"]).arg(capture));
        assert_eq!(mstp.lines().count() as u64, packets);
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
            say(&format!("Wireshark's windows: {:?}", self.windows()));
        }
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

/// To the terminal, past the test harness, which keeps what a test that passes prints.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A process, and what it starts, that end with this value.
struct Process(Child);

impl Process {
    fn start(name: &'static str, command: &mut Command, log: &Arc<Log>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        log.read(name, child.stdout.take());
        log.read(name, child.stderr.take());
        Self(child)
    }

    /// Whether the process has ended; leaves its id taken, and that of its group.
    fn has_ended(&self) -> bool {
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
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Log {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what comes out of a pipe, on a thread that ends with it.
    fn read(self: &Arc<Self>, name: &'static str, pipe: Option<impl Read + Send + 'static>) {
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
    fn wait<T>(&self, what: &str, look: impl Fn(&[String]) -> Option<T>) -> T {
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
