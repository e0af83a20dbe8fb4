//! `--report-every`: what an unattended capture says of its line.

use crate::common::*;
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

fn document(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A trunk in which node 9 gets each token twice.
fn sick_trunk() -> Vec<u8> {
    let round = [mstp(0, 4, 1, b""), mstp(0, 9, 4, b""), mstp(0, 9, 4, b""), mstp(0, 1, 9, b"")];
    round.concat().repeat(3000)
}

#[test]
fn the_report_at_the_end_is_that_of_the_capture_itself() {
    let dir = TempDir::new().unwrap();
    let (octets, capture) = (dir.path().join("octets"), dir.path().join("trunk.pcapng"));
    std::fs::write(&octets, sick_trunk()).unwrap();
    let args = [path(&octets), "-b", "38400", "-w", path(&capture), "--report-every", "1h"];
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 0, "{stderr}");
    let made = document(&dir.path().join("serialshark-report.json"));
    let (_, printed, _) = run(&["report", "--json", path(&capture)]);
    let mut printed: Value = serde_json::from_slice(&printed).unwrap();
    printed["baud_from"] = "user".into();
    assert_eq!(made, printed);
    assert_eq!(made["frames"], 12_000);

    // Each finding is a log line, with what to do.
    let findings = made["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    for finding in findings {
        let title = finding["id"].as_str().unwrap().replace('-', " ").replace("mac", "MAC");
        let line = format!("{}: {title}", finding["severity"].as_str().unwrap());
        let line = stderr.lines().find(|it| it.contains(&line)).expect(&line);
        assert!(line.contains(finding["do"].as_str().unwrap()), "{line}");
    }
    assert!(!stderr.contains("over:"), "{stderr}");
}

/// Each would replace what the other one writes. The capture itself is none the worse.
#[test]
fn of_two_that_report_in_one_place_the_second_one_says_so() {
    let dir = TempDir::new().unwrap();
    let report = dir.path().join("line.json");
    let args = ["sim:mstp", "--report-every", "1s", "--report", path(&report)];
    let mut first = Program::start(args);
    eventually("a report", || report.exists().then_some(()));
    let mut second = Program::start(args);
    second.wait_for("line.json: another serialshark reports there");
    first.terminate();
    second.wait_for("line.json: can be written again");
    second.terminate();
    assert!(!first.stderr().iter().any(|line| line.contains("line.json")));
}

#[test]
fn periods_have_reports_of_their_own_and_what_is_over_is_told() {
    let dir = TempDir::new().unwrap();
    let systemd = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (pty, report) = (Pty::new(), dir.path().join("line.json"));
    let mut command = Program::command();
    command.args([pty.path(), "-b", "115200", "-w", path(&dir.path().join("a.pcap"))]);
    command.args(["--report-every", "1s", "--report", path(&report)]);
    command.env("NOTIFY_SOCKET", dir.path().join("notify"));
    let mut program = Program::spawn(command);
    program.wait_for("reading mstp");
    pty.send(&sick_trunk()[..20_000]);
    // Some report, and only one, is on these frames.
    let heard = |tell: &str| {
        let mut message = [0; 4096];
        loop {
            let len = systemd.recv(&mut message).expect("a notification");
            let said = text(&message[..len]);
            if said.contains(tell) {
                return said;
            }
        }
    };
    let said = heard("MAC");
    assert!(said.contains("STATUS=") && said.contains("; grade unknown: "), "{said}");
    program.wait_for(": over: ");
    eventually("a report on nothing", || (document(&report)["frames"] == 0).then_some(()));
    assert!(program.terminate() < SOON);
    assert_eq!(document(&report)["version"], 1);
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let page = std::fs::read_to_string(report.with_extension("html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
}

/// Number, length, time in microseconds and comment of each packet, as tshark sees them.
fn seen_by_tshark(capture: &Path) -> Option<Vec<(u64, usize, String, String)>> {
    let fields = ["frame.number", "frame.len", "frame.time_epoch", "frame.comment"];
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let args: Vec<_> = ["-r", path(capture), "-T", "fields"].into_iter().chain(fields).collect();
    let packets = tshark(&args, b"")?;
    let packet = |line: &str| {
        let [number, len, time, comment] = &line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let micros = time[..time.find('.').unwrap() + 7].to_owned();
        (number.parse().unwrap(), len.parse().unwrap(), micros, (*comment).to_owned())
    };
    Some(packets.lines().map(packet).collect())
}

#[test]
fn a_finding_is_a_comment_on_the_next_packet_and_nothing_else_changes() {
    const TELLS: &str = "found in the packets before this one: ";
    let dir = TempDir::new().unwrap();
    let report = dir.path().join("line.json");
    let [plain, rich] = ["trunk.pcap", "trunk.pcapng"].map(|name| dir.path().join(name));
    for asks in [&["--report-every", "1s", "--report", path(&report)][..], &[]] {
        let pty = Pty::new();
        let outputs = ["-w", path(&plain), "-w", path(&rich), "--force"];
        let args = [&[pty.path(), "-b", "115200"], &outputs[..], asks].concat();
        let mut program = Program::start(args);
        program.wait_for("reading mstp");
        let octets = sick_trunk();
        pty.send(&octets[..20_000]);
        if !asks.is_empty() {
            program.wait_for("; to do: ");
        }
        pty.send(&octets[20_000..24_000]);
        let all = || {
            let so_far = pcap_records_so_far(&std::fs::read(&plain).unwrap());
            (so_far.len() == 3000).then_some(so_far)
        };
        let recorded = eventually("all packets", all);
        program.terminate();
        let heard: Vec<_> = recorded.iter().flat_map(|record| record.data.clone()).collect();
        assert_eq!(heard, octets[..24_000]);
        let Some(seen) = seen_by_tshark(&rich) else { return };
        for (record, (number, len, time, _)) in recorded.iter().zip(&seen) {
            assert_eq!(record.data.len(), *len, "{number}");
            let (s, us) = (record.time_us / 1_000_000, record.time_us % 1_000_000);
            assert_eq!(format!("{s}.{us:06}"), *time);
        }
        let told: Vec<_> = seen
            .iter()
            .filter_map(|(number, _, _, comment)| Some((number, comment.split_once(TELLS)?.1)))
            .collect();
        // Off unless something listens for findings.
        assert_eq!(told.is_empty(), asks.is_empty(), "{told:?}");
        for (number, said) in &told {
            assert!(**number > 1 && !said.contains(TELLS), "one to a packet: {said}");
            assert_eq!(told.iter().filter(|other| other.1 == *said).count(), 1, "{said}");
            let line = program.stderr().into_iter().find(|line| line.contains(said));
            assert!(line.is_some(), "the log has it as well: {said}");
        }
    }
}

#[test]
fn a_line_that_says_nothing_wakes_nobody() {
    let dir = TempDir::new().unwrap();
    let (pty, report) = (Pty::new(), dir.path().join("line.json"));
    let fifo = dir.path().join("sharkfin");
    let args =
        [pty.path(), "-b", "38400", "--fifo", path(&fifo), "--report-every", "1h", "--report"];
    let mut program = Program::start(args.into_iter().chain([path(&report)]));
    program.wait_for("reading mstp");
    let (_, status) = eventually("the thread", || program.thread("rounds"));
    let before = Program::sleeps(&status);
    std::thread::sleep(Duration::from_millis(700));
    assert!(Program::sleeps(&status) <= before + 1);
    program.terminate();
    // One on all that was, since there was none before.
    assert_eq!(document(&report)["frames"], 0);
}

#[test]
fn wrong_names_are_refused_before_anything_begins() {
    let dir = TempDir::new().unwrap();
    let nowhere = dir.path().join("none/a.json");
    let refused = |args: &[&str], why: &str| {
        let (code, _, stderr) = run(&[&["sim:mstp", "-c", "1", "--report-every"], args].concat());
        assert!(code > 0 && stderr.contains(why), "{args:?}: {stderr}");
    };
    refused(&["1y"], "expected such as 30s, 15m, 1h or 1d");
    refused(&["0s"], "expected such as 30s, 15m, 1h or 1d");
    refused(&["1h", "--report", "trunk.pcapng"], "a name in .json");
    refused(&["1h", "--report", path(&nowhere)], "there is no such directory");
    refused(&["1h", "sim:mstp"], "takes one port");
}
