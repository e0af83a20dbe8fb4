//! Start, Stop and Restart in the window of the real Wireshark, on a FIFO.
//!
//! Wireshark's wiki says that these do not work with a pipe. Here someone presses their keys, on
//! a display of their own, and three witnesses tell what comes of it: serialshark (who read what
//! from the FIFO), Wireshark (a tap in Lua sees what the window shows), and capinfos and tshark
//! (what is in the capture file).

#![cfg(target_os = "linux")]

use crate::common::{left_to_full_runs, skip};
use crate::desk::{
    self, Log, Process, home, in_desk, is_installed, output, say, start_xvfb, windows,
};
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often Restart is pressed.
const RESTARTS: usize = 12;
/// How often Stop is pressed, and Start after it.
const STARTS: usize = 3;

const TOOLS: [&str; 5] = ["Xvfb", "xdotool", "wireshark", "capinfos", "tshark"];

#[test]
fn wireshark_can_restart_stop_and_start_a_capture_from_a_fifo() {
    if left_to_full_runs() {
        return;
    }
    let missing: Vec<_> = TOOLS.into_iter().filter(|tool| !is_installed(tool)).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        skip(&format!("Wireshark's window was not tested, not installed: {missing}"));
        return;
    }
    let _alone = desk::alone();
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
        let log = Arc::new(Log::default());
        let (dir, tap) = home();
        let fifo = dir.path().join("sharkfin");

        let (xvfb, display) = start_xvfb(&log);

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
        windows(self.dir.path(), &self.display)
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
