//! The interface list of the real Wireshark: our port chosen in it, Start, Stop and Restart,
//! and what a failure looks like.
//!
//! As in `wireshark_window.rs` someone presses the keys. The witnesses are a tap in Lua (what the
//! window shows), /proc (which captures of ours run), and capinfos (what is in the file).

#![cfg(target_os = "linux")]

use crate::common::{left_to_full_runs, skip};
use crate::desk::{
    self, Log, Process, home, in_desk, is_installed, output, say, start_xvfb, windows,
};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOOLS: [&str; 4] = ["Xvfb", "xdotool", "wireshark", "capinfos"];
/// What is typed into the interface list.
const TEXT: &str = "Simulated BACnet";
const RESTARTS: usize = 6;
const STARTS: usize = 3;
/// How often the list is tried with a new Wireshark, should it not have been ready for keys.
const ATTEMPTS: usize = 3;
/// Keys that have done nothing for so long have not reached the list; they are pressed once more.
const LOST: Duration = Duration::from_secs(8);

#[test]
fn the_interface_list_has_our_port_and_start_stop_restart_work() {
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
    let log = Arc::new(Log::default());
    let (dir, tap) = home();
    let (_xvfb, display) = start_xvfb(&log);
    let script = format!("lua_script:{}", tap.display());
    let mut desk = Desk { log, dir, display, first: 0.0 };
    let mut install = in_desk(env!("CARGO_BIN_EXE_serialshark"), desk.home(), &desk.display);
    output(install.args(["extcap", "--install"]));

    let wireshark = (0..ATTEMPTS).find_map(|_| {
        let wireshark = desk.wireshark(&["-X", &script]);
        desk.choose_in_the_list().then_some(wireshark)
    });
    let wireshark = wireshark.expect("a capture from the interface list");
    desk.wait_for_packets();
    for _ in 0..RESTARTS {
        desk.press("ctrl+r");
        desk.wait_for_packets();
    }
    let mut stops = vec![desk.press_stop()];
    for _ in 0..STARTS {
        desk.press("ctrl+e");
        desk.wait_for_packets();
        stops.push(desk.press_stop());
    }
    assert_eq!(desk.windows().len(), 1, "an error message? {:?}", desk.windows());
    stops.sort();
    say(&format!("extcap in Wireshark's window: {RESTARTS} restarts, ended after Stop: {stops:?}"));
    drop(wireshark);

    let preference = "extcap.serialshark_sim_mstp.baud:fast";
    let _wireshark = desk.wireshark(&["-o", preference, "-k", "-i", "serialshark-sim-mstp"]);
    desk.log.wait("a window with the error", |_| {
        desk.windows().iter().any(|(_, title)| title == "Wireshark").then_some(())
    });
    assert_eq!(desk.captures(), 0);
}

struct Desk {
    log: Arc<Log>,
    dir: tempfile::TempDir,
    display: String,
    /// The time of the first packet of the last capture.
    first: f64,
}

impl Desk {
    fn home(&self) -> &Path {
        self.dir.path()
    }

    fn wireshark(&self, args: &[&str]) -> Process {
        let mut command = in_desk("wireshark", self.home(), &self.display);
        command.args(["-o", "gui.ask_unsaved:FALSE"]).args(args);
        Process::start("wireshark", &mut command, &self.log)
    }

    /// Clicks into the interface list, types our port's name, and presses the key for Start.
    fn choose_in_the_list(&self) -> bool {
        let window = self.log.wait("the window with the list", |_| {
            let first = |(_, title): &(_, String)| title.contains("Network Analyzer");
            self.windows().into_iter().find(first).map(|(id, _)| id)
        });
        let press = || {
            // Nobody else does it without a window manager.
            self.xdotool(&["windowfocus", "--sync", &window]);
            self.xdotool(&["mousemove", "--window", &window, "130", "276", "click", "1"]);
            self.xdotool(&["type", TEXT]);
            self.press("ctrl+e");
            Instant::now()
        };
        let pressed = std::cell::Cell::new(press());
        let title = self.log.wait("a capture, or a message instead of it", |_| {
            let windows = self.windows();
            let titles: Vec<_> = windows.into_iter().map(|(_, title)| title).collect();
            let captures = titles.iter().find(|title| title.starts_with("Capturing from "));
            let what = captures.cloned().or_else(|| (titles.len() > 1).then(|| titles.join(", ")));
            if what.is_none() && pressed.get().elapsed() > LOST {
                say("the list was not ready for keys");
                pressed.set(press());
            }
            what
        });
        let ours = title.contains(TEXT);
        if !ours {
            say(&format!("the list was not ready for keys: {title}"));
        }
        ours
    }

    fn press(&self, key: &str) {
        self.xdotool(&["key", key]);
    }

    /// Waits until Wireshark shows packets of a new capture, of which there is one only.
    fn wait_for_packets(&mut self) {
        let last = self.first;
        self.first = self.log.wait("packets of a new capture", |lines| {
            let first = lines.iter().filter_map(|line| line.split_once(": first packet, of "));
            first.filter_map(|(_, time)| time.parse().ok()).find(|time| *time > last)
        });
        assert_eq!(self.captures(), 1);
    }

    /// Presses the key that stops, asks the witnesses, and tells when our process had gone.
    fn press_stop(&self) -> Duration {
        let start = Instant::now();
        self.press("ctrl+e");
        self.log.wait("our process to end", |_| (self.captures() == 0).then_some(()));
        let took = start.elapsed();
        self.log.wait("a title that says so", |_| {
            self.windows().iter().any(|(_, title)| title.starts_with('*')).then_some(())
        });
        let files = fs::read_dir(self.home().join("captures")).expect("captures");
        let files: Vec<_> = files
            .map(|entry| entry.expect("a capture").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "pcapng"))
            .collect();
        let [file] = &files[..] else { panic!("Wireshark keeps the last capture, not {files:?}") };
        let infos = output(Command::new("capinfos").args(["-M", "-E", "-c"]).arg(file));
        assert!(infos.contains("bacnet-ms-tp"), "{infos}");
        took
    }

    /// How many captures of ours run for this Wireshark.
    fn captures(&self) -> usize {
        let home = self.home().display().to_string();
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        processes
            .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
            .map(|arguments| String::from_utf8_lossy(&arguments).into_owned())
            .filter(|arguments| arguments.contains("\0--capture\0") && arguments.contains(&home))
            .count()
    }

    fn windows(&self) -> Vec<(String, String)> {
        windows(self.home(), &self.display)
    }

    fn xdotool(&self, args: &[&str]) {
        output(in_desk("xdotool", self.home(), &self.display).args(args));
    }
}
