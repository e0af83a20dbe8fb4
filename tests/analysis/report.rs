//! `serialshark report` as it is called: figures against an independent computation, files of all
//! kinds, exit codes.

use crate::common;
use crate::common::{mstp, run};
use crate::trunk::{BEGIN_NS, FIVE_MINUTES, Listening, Stamped, findings, pcap, stamped};
use serde_json::{Value, json};
use serialshark::source::sim::{Fault, Plan, Simulator};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SHORT: Listening = Listening { seconds: 70, ..FIVE_MINUTES };

/// A directory with files in it, and the program's answer to one of them.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, octets: &[u8]) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, octets).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn ask(args: &[&str]) -> (i32, String, String) {
    let (code, stdout, stderr) = run(&[&["report"], args].concat());
    (code, String::from_utf8(stdout).unwrap(), stderr)
}

fn document(args: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = ask(&[args, &["--json"]].concat());
    let document = serde_json::from_str(&stdout);
    (code, document.unwrap_or_else(|error| panic!("{error}: {stdout} {stderr}")))
}

/// A frame as the oracle sees it. CRCs are those of the tests, bit by bit.
struct Frame {
    us: i64,
    kind: u8,
    to: u8,
    from: u8,
    data: Vec<u8>,
}

/// Records that are whole frames with a CRC-16, and how many are not.
fn frames(records: &[Stamped]) -> (Vec<Frame>, usize) {
    let frame = |(ns, octets): &Stamped| {
        let &[_, _, kind, to, from, ..] = &octets[..] else { return None };
        let data = octets.get(8..octets.len().max(10) - 2).unwrap_or_default().to_vec();
        let us = (ns / 1000) as i64;
        (mstp(kind, to, from, &data) == *octets).then_some(Frame { us, kind, to, from, data })
    };
    let frames: Vec<_> = records.iter().filter_map(frame).collect();
    let invalid = records.len() - frames.len();
    (frames, invalid)
}

/// Milliseconds between two frames, seconds and fractions each by themselves.
fn tool_ms(before: &Frame, now: &Frame) -> i64 {
    const SECOND: i64 = 1_000_000;
    1000 * (now.us / SECOND - before.us / SECOND) + (now.us % SECOND - before.us % SECOND) / 1000
}

/// mstpcap's tables by their definitions, a column at a time.
fn mstpcap(records: &[Stamped]) -> Value {
    let (all, invalid) = frames(records);
    let pairs: Vec<(&Frame, &Frame)> = all.iter().zip(&all[1.min(all.len())..]).collect();
    let longest = |of: &dyn Fn(&Frame, &Frame) -> bool| {
        pairs.iter().filter(|(a, b)| of(a, b)).map(|(a, b)| tool_ms(a, b)).max().unwrap_or(0).max(0)
    };
    let mut nodes = serde_json::Map::new();
    for mac in 0..=255u8 {
        let sent = |kind: u8| all.iter().filter(|f| f.kind == kind && f.from == mac).count();
        let is_retry =
            |a: &Frame, b: &Frame| a.kind == 0 && b.kind == 0 && (a.to, a.from) == (b.to, b.from);
        let answers = |a: &Frame, b: &Frame| a.kind == 5 && a.to == b.from && b.from == mac;
        let tder = longest(&|a, b| answers(a, b) && b.kind == 6);
        if sent(0) == 0 && sent(1) == 0 && tder == 0 {
            continue;
        }
        let tokens: Vec<&Frame> = all.iter().filter(|f| f.kind == 0).collect();
        let is_mine = |f: &&&Frame| f.from == mac;
        let to_self = tokens.iter().filter(is_mine).filter(|f| f.to == mac).count();
        let before = |at: usize| at.checked_sub(1).map_or(255, |at| tokens[at].to);
        let wrong =
            tokens.iter().enumerate().filter(|(at, f)| f.from == mac && before(*at) != mac).count();
        let (mut received, mut since, mut npoll) = (0, None, 0);
        for frame in &all {
            received += usize::from(frame.kind == 0 && frame.to == mac);
            if frame.kind == 1 && frame.from == mac {
                npoll = since.map_or(npoll, |since: usize| npoll.max(received - since));
                since = Some(received).filter(|received| *received > 0);
            }
        }
        let i_am = all.iter().rev().find(|f| f.kind == 6 && f.from == mac && is_i_am(&f.data));
        let device = i_am.map(|f| {
            let at = f.data.windows(3).position(|w| w == [0x10, 0, 0xc4]).unwrap() + 3;
            u32::from_be_bytes(f.data[at..at + 4].try_into().unwrap()) & 0x3f_ffff
        });
        let row = json!({
            "Device": device,
            "Tokens": sent(0), "PFM": sent(1), "RPFM": sent(2), "DER": sent(5), "Postpd": sent(7),
            "DNER": sent(6), "TestReq": sent(3), "TestRsp": sent(4),
            "MaxMstr": all.iter().filter(|f| f.kind == 1 && f.from == mac).map(|f| f.to).max().unwrap_or(0),
            "Retries": pairs.iter().filter(|(a, b)| is_retry(a, b) && b.to == mac).count(),
            "Npoll": npoll,
            "Self/TT": to_self + wrong,
            "Treply": longest(&|a, b| a.kind == 0 && b.kind == 0 && a.to == b.from && b.from == mac && !is_retry(a, b)),
            "Tusage": longest(&|a, b| b.from == mac
                && (is_retry(a, b) || (a.kind == 1 && a.from == mac && b.kind <= 1))),
            "Trpfm": longest(&|a, b| a.kind == 1 && b.kind == 2 && b.from == mac),
            "Tder": tder,
            "Tpostpd": longest(&|a, b| answers(a, b) && b.kind == 7),
        });
        nodes.insert(mac.to_string(), row);
    }
    json!({ "node_count": nodes.len(), "invalid_frames": invalid, "nodes": nodes })
}

/// Whether it is an I-Am that no router has passed on.
fn is_i_am(data: &[u8]) -> bool {
    data.len() > 8 && data[1] & 0x88 == 0 && data.windows(3).any(|w| w == [0x10, 0, 0xc4])
}

/// The trunk that a newcomer sees, with its damage.
fn simulated(bursts: usize) -> Vec<Stamped> {
    let line = serialshark::line::Line::at(38_400);
    let mut simulator = Simulator::named("mstp", line).unwrap();
    let mut now = BEGIN_NS;
    let mut all = Vec::new();
    for _ in 0..bursts {
        let burst = simulator.next_burst();
        now += burst.pause_ns;
        let octets = burst.octets.strip_suffix(&[0xff]).filter(|rest| rest.len() > 8);
        all.push((now, octets.unwrap_or(&burst.octets).to_vec()));
        now += burst.octets.len() as u64 * line.octet_ns();
    }
    // Frames alone: what the tool makes of anything else is its own.
    all.retain(|(_, octets)| octets.len() >= 8 && octets.starts_with(&[0x55, 0xff]));
    all
}

#[test]
fn the_tables_are_those_of_mstpcap() {
    let desk = Desk::new();
    let mut captures = vec![("sim".to_owned(), simulated(12_000))];
    for fault in [
        "token-retries",
        "node-flapping",
        "lost-token",
        "duplicate-mac",
        "two-tokens",
        "max-master-high",
    ] {
        let plan = Plan::sick(Fault::named(fault).unwrap());
        captures.push((fault.to_owned(), stamped(&plan, SHORT)));
    }
    let plan = Plan { postponed_percent: 30, slaves: vec![130], cold: true, ..Plan::healthy() };
    captures.push(("healthy".to_owned(), stamped(&plan, Listening { latency_ms: 16, ..SHORT })));
    for (name, records) in captures {
        let path = desk.file(&format!("{name}.pcap"), &pcap(165, 65_535, &records));
        let (code, document) = document(&[&path]);
        assert_eq!(code, 0, "{name}");
        let expected = mstpcap(&records);
        assert!(expected["node_count"].as_u64().unwrap() >= 6, "{name}");
        for (mac, row) in expected["nodes"].as_object().unwrap() {
            assert_eq!(&document["mstpcap"]["nodes"][mac], row, "{name}: MAC {mac}");
        }
        assert_eq!(document["mstpcap"], expected, "{name}");
    }
}

#[test]
fn figures_are_those_of_the_definitions() {
    let desk = Desk::new();
    let records = stamped(&Plan::healthy(), SHORT);
    let path = desk.file("trunk.pcap", &pcap(165, 65_535, &records));
    let (_, document) = document(&[&path, "-b", "38400"]);
    let (all, invalid) = frames(&records);
    assert_eq!(
        (invalid, &document["damaged"], &document["baud_from"]),
        (0, &json!(0), &json!("user"))
    );
    let octet_us = 10_000_000.0 / 38_400.0;
    let end = |f: &Frame| {
        f.us as f64 + octet_us * if f.data.is_empty() { 8.0 } else { 10.0 + f.data.len() as f64 }
    };
    for node in document["nodes"].as_array().unwrap() {
        let mac = node["mac"].as_u64().unwrap() as u8;
        let mut delays: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut last_token = None;
        for token in all.iter().filter(|f| f.kind == 0 && f.to == mac) {
            let us = token.us as f64;
            let since = last_token.replace(us).map(|last| us - last);
            delays.entry("loop_ms").or_default().extend(since);
        }
        for (a, b) in all.iter().zip(&all[1..]) {
            if a.kind == 0 && a.to == mac && b.from == mac {
                delays.entry("usage_ms").or_default().push(b.us as f64 - end(a));
            }
            if a.kind == 5 && a.to == mac && b.from == mac {
                delays.entry("reply_ms").or_default().push(b.us as f64 - end(a));
            }
        }
        for (name, mut delays) in delays {
            delays.sort_by(f64::total_cmp);
            let said = &node[name];
            let rank = |percent: usize| delays[(delays.len() * percent).div_ceil(100) - 1] / 1000.0;
            let near = |name: &str, ms: f64| (said[name].as_f64().unwrap() - ms).abs() < 0.02;
            assert_eq!(said["n"], delays.len(), "{name} of {mac}");
            assert!(
                near("p50", rank(50)) && near("p99", rank(99)) && near("max", rank(100)),
                "{name} of {mac}: {said}"
            );
        }
        let tokens =
            |of: &dyn Fn(&Frame) -> bool| all.iter().filter(|f| f.kind == 0 && of(f)).count();
        assert_eq!(node["tokens_sent"], tokens(&|f| f.from == mac));
        assert_eq!(node["tokens_received"], tokens(&|f| f.to == mac));
    }
    let span_s = (end(all.last().unwrap()) - all[0].us as f64) / 1e6;
    let busy_s: f64 = all.iter().map(|f| (end(f) - f.us as f64) / 1e6).sum();
    let trunk = &document["trunk"];
    assert!((trunk["utilisation"].as_f64().unwrap() - busy_s / span_s).abs() < 0.002);
    assert!((document["seconds"].as_f64().unwrap() - span_s).abs() < 0.01);
    assert_eq!(trunk["masters"], json!((0..12).collect::<Vec<_>>()));
}

#[test]
fn the_rate_is_told_from_the_times_or_not_at_all() {
    let desk = Desk::new();
    for baud in [9_600, 38_400, 76_800, 115_200] {
        // Enough long frames to tell it.
        let plan = Plan { baud, extended_percent: 30, talk_percent: 60, ..Plan::healthy() };
        let records = stamped(&plan, SHORT);
        let path = desk.file("start.pcap", &pcap(165, 65_535, &records));
        let (_, start) = document(&[&path]);
        assert_eq!(
            (&start["baud"], &start["baud_from"]),
            (&json!(baud), &json!("timing")),
            "{baud}"
        );
        // As a tool stamps them that takes the time at the last octet.
        let octet_ns = 10_000_000_000 / u64::from(baud);
        let at_end = records
            .iter()
            .map(|(ns, octets)| (ns + octets.len() as u64 * octet_ns, octets.clone()));
        let path = desk.file("end.pcap", &pcap(165, 65_535, &at_end.collect::<Vec<_>>()));
        let (_, end) = document(&[&path]);
        assert_eq!(end["baud"], baud, "stamped at the end");
        assert!(end["not_judged"].to_string().contains("last bytes"), "{}", end["not_judged"]);
        let p50 = |document: &Value| document["nodes"][3]["usage_ms"]["p50"].as_f64().unwrap();
        assert!((p50(&start) - p50(&end)).abs() < 0.1, "{} {}", p50(&start), p50(&end));
    }
    // Tokens alone say little.
    let mut records = stamped(&Plan { talk_percent: 0, ..Plan::healthy() }, SHORT);
    records.retain(|(_, octets)| octets.len() == 8);
    let path = desk.file("idle.pcap", &pcap(165, 65_535, &records));
    let (code, idle) = document(&[&path]);
    assert_eq!((code, &idle["baud"], &idle["baud_from"]), (0, &Value::Null, &json!("unknown")));
    assert_eq!(idle["trunk"]["utilisation"], Value::Null);
    assert_eq!(idle["grade"], "good");
}

#[test]
fn files_of_all_kinds_give_one_report() {
    let desk = Desk::new();
    let records = stamped(&Plan::healthy(), SHORT);
    let whole = pcap(165, 65_535, &records);
    let path = desk.file("whole.pcap", &whole);
    let (_, expected) = document(&[&path, "-b", "38400"]);
    let half = records.len() / 2;
    let first = desk.file("b.pcap", &pcap(165, 65_535, &records[..half]));
    let second = desk.file("a.pcap", &pcap(165, 65_535, &records[half..]));
    assert_eq!(document(&[&second, &first, "-b", "38400"]), (0, expected.clone()));
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    std::io::Write::write_all(&mut packer, &whole).unwrap();
    let packed = desk.file("whole.pcap.gz", &packer.finish().unwrap());
    assert_eq!(document(&[&packed, "-b", "38400"]), (0, expected.clone()));
    let mut program = common::Program::command();
    program
        .args(["report", "-", "--json", "-b", "38400"])
        .stdin(std::fs::File::open(&path).unwrap());
    let piped: Value = serde_json::from_slice(&program.output().unwrap().stdout).unwrap();
    assert_eq!(piped, expected);
    // Bytes without times still say who is there and what is damaged.
    let octets: Vec<u8> = records.iter().flat_map(|(_, octets)| octets.clone()).collect();
    let (code, plain) = document(&[&desk.file("plain", &octets)]);
    assert_eq!((code, &plain["frames"]), (0, &expected["frames"]));
    assert_eq!(plain["trunk"]["masters"], expected["trunk"]["masters"]);
}

/// A short trunk, and files of it.
fn tokens(n: u64) -> Vec<Stamped> {
    let macs = [1, 4, 9];
    let mac = |at: u64| macs[at as usize % 3];
    let token = |at| (BEGIN_NS + at * 7_500_000, mstp(0, mac(at + 1), mac(at), b""));
    (0..n).map(token).collect()
}

/// A pcapng file of one section; packets without times are simple packet blocks.
fn pcapng(link_type: u16, records: &[Stamped], is_timed: bool) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &len, &body, &len].concat()
    };
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let section = words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]);
    let mut file =
        [block(0x0a0d_0d0a, &section), block(1, &words(&[link_type.into(), 0]))].concat();
    for (ns, octets) in records {
        let (us, len) = (ns / 1000, octets.len() as u32);
        let head = words(&[0, (us >> 32) as u32, us as u32, len, len]);
        let (kind, head) = if is_timed { (6, head) } else { (3, words(&[len])) };
        file.extend(block(kind, &[head, octets.clone()].concat()));
    }
    file
}

/// A request to unit 1 behind the header that names Wireshark's dissector.
const MODBUS: &[u8] =
    b"\x00\x0c\x00\x08mbrtu\x00\x00\x00\x00\x00\x00\x00\x01\x03\x00\x00\x00\x01\x84\x0a";

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    std::io::Write::write_all(&mut packer, octets).unwrap();
    packer.finish().unwrap()
}

/// What cannot be reported on is one line and a hint, and an exit status; nothing is printed then.
#[test]
fn bad_files_and_names_are_a_line_a_hint_and_an_exit_status() {
    let desk = Desk::new();
    let file = |name: &str, octets: &[u8]| desk.file(name, octets);
    let trunk = tokens(12_000);
    let good = file("good.pcap", &pcap(165, 65_535, &trunk));
    let ethernet = [(BEGIN_NS, vec![0; 60])];
    let modbus = file("modbus.pcap", &pcap(252, 65_535, &[(BEGIN_NS, MODBUS.to_vec())]));
    let directory = desk.path().to_str().unwrap().to_owned();
    let packed = gzip(&pcap(165, 65_535, &trunk));
    let socket = desk.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let pty = common::Pty::new();
    let other = file("other.json", br#"{"version":1,"protocol":"modbus","findings":[]}"#);
    let version = file("version.json", br#"{"version":7,"findings":[]}"#);
    let long = {
        let mut octets = pcap(165, 65_535, &trunk);
        octets[32..36].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        file("long.pcap", &octets)
    };
    let one = |file: String| vec![file];
    let with = |option: &str, value: &str| vec![good.clone(), option.to_owned(), value.to_owned()];
    let table: Vec<(Vec<String>, i32, &str)> = vec![
        (one(file("empty", b"")), 2, "is empty"),
        (one("/dev/null".into()), 2, "is empty"),
        (one(file("text", b"Dear reader\n")), 2, "neither a capture nor a recording"),
        (one(file("ethernet.pcap", &pcap(1, 65_535, &ethernet))), 2, "link type 1,"),
        (one(file("ethernet.pcapng", &pcapng(1, &ethernet, true))), 2, "link type 1,"),
        (one(file("junk.gz", b"\x1f\x8bjunk, and more of it")), 2, "cannot read"),
        (one(file("head.gz", &packed[..7])), 2, "is not a capture"),
        (one(file("cut.gz", &packed[..packed.len() / 2])), 1, "ends in the middle"),
        (one(long), 1, "is damaged"),
        (one(directory.clone()), 2, "is a directory"),
        (one("/nowhere/at/all.pcap".into()), 2, "cannot open: No such file"),
        (one(socket.to_str().unwrap().into()), 2, "cannot open"),
        (one(pty.path().into()), 2, "is a port, and not a file"),
        (vec![good.clone(), good.clone()], 2, "is named twice"),
        (vec!["-".into(), "-".into()], 2, "named twice"),
        (vec![good.clone(), modbus.clone()], 2, "is modbus, and"),
        (with("--protocol", "mtsp"), 2, "no such protocol"),
        (with("--html", "/nowhere/page.html"), 2, "there is no such directory"),
        (with("--html", &directory), 2, "is a directory"),
        (with("--html", &modbus), 2, "is not an HTML page"),
        (with("--html", "/dev/full"), 1, "cannot write: No space"),
        (with("--baseline", "/nowhere.json"), 2, "cannot read: No such file"),
        (with("--baseline", &directory), 2, "cannot read: Is a directory"),
        (with("--baseline", &good), 2, "is no JSON report"),
        (with("--baseline", &file("broken.json", b"{\"version\":1,")), 2, "is no JSON report"),
        (with("--baseline", &file("list.json", b"[1, 2]")), 2, "is not a report by serialshark"),
        (with("--baseline", &version), 2, "of another version"),
        (with("--baseline", &other), 2, "is on a line of modbus, and this one is mstp"),
    ];
    for (args, status, said) in table {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let (code, stdout, stderr) = ask(&args);
        let lines: Vec<_> = stderr.lines().collect();
        assert!(code == status && stderr.contains(said), "{args:?}: {code} {stderr}");
        assert!(lines.len() == 2 && lines[0].starts_with("serialshark: "), "{args:?}: {stderr}");
        assert!(lines[1].starts_with("  hint: "), "{args:?}: {stderr}");
        // What could be read is reported on.
        assert_eq!(stdout.is_empty(), status == 2, "{args:?}");
    }
}

/// Root may read everything, and so becomes somebody else.
#[test]
fn a_file_that_may_not_be_read_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    let path = desk.file("secret.pcap", &pcap(165, 65_535, &tokens(3)));
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(desk.path(), 0o755);
    mode(Path::new(&path), 0);
    let program = env!("CARGO_BIN_EXE_serialshark");
    let mut command = if rustix::process::geteuid().is_root() {
        let mut other = std::process::Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
        other
    } else {
        std::process::Command::new(program)
    };
    let output = command.args(["report", &path]).output().unwrap();
    let stderr = common::text(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 2), "{stderr}");
    assert!(stderr.contains("Permission denied") && stderr.contains("  hint: "), "{stderr}");
}

/// Strange, but files all the same.
#[test]
fn strange_files_give_a_report_that_says_what_is_strange() {
    let desk = Desk::new();
    let trunk = tokens(12_000);
    let backwards: Vec<_> = trunk.iter().map(|(ns, it)| (2 * BEGIN_NS - ns, it.clone())).collect();
    let sections = [pcapng(165, &trunk[..5000], true), pcapng(165, &trunk[5000..], true)].concat();
    for (name, octets, frames, grade, said) in [
        ("none.pcap", pcap(165, 65_535, &[]), 0, "unknown", ""),
        ("none.pcapng", pcapng(165, &[], true), 0, "unknown", ""),
        ("backwards.pcap", pcap(165, 65_535, &backwards), 12_000, "unknown", "run backwards"),
        ("untimed.pcapng", pcapng(165, &trunk, false), 12_000, "unknown", "have no times"),
        ("huge.pcap", pcap(165, u32::MAX, &trunk), 12_000, "good", ""),
        ("huge.gz", gzip(&pcap(165, u32::MAX, &trunk)), 12_000, "good", ""),
        ("sections.pcapng", sections, 12_000, "good", ""),
    ] {
        let (code, document) = document(&[&desk.file(name, &octets), "-b", "38400"]);
        assert_eq!((code, &document["frames"]), (0, &json!(frames)), "{name}");
        assert_eq!(document["grade"], grade, "{name}: {}", document["grade_reason"]);
        let not_judged = document["not_judged"].to_string();
        assert!(not_judged.contains(said), "{name}: {not_judged}");
        assert!(!said.is_empty() || !not_judged.contains("another interface"), "{not_judged}");
    }
    // What two files have in common counts twice, and that is told.
    let first = desk.file("first.pcap", &pcap(165, 65_535, &trunk[..8000]));
    let second = desk.file("second.pcap", &pcap(165, 65_535, &trunk[6000..]));
    let (code, both) = document(&[&second, &first, "-b", "38400"]);
    assert_eq!((code, &both["frames"]), (0, &json!(14_000)));
    let told = format!("second.pcap begins 14.993 s before {first} ends");
    assert!(both["not_judged"].to_string().contains(&told), "{}", both["not_judged"]);
}

/// Cut off anywhere, there is a report on what was read, or none: each octet counts.
#[test]
fn captures_that_end_anywhere_are_reported_on_as_far_as_they_go() {
    let desk = Desk::new();
    let trunk = tokens(3);
    for (name, whole, header) in
        [("cut.pcap", pcap(165, 65_535, &trunk), 24), ("cut.pcapng", pcapng(165, &trunk, true), 28)]
    {
        let step = if common::full() { 1 } else { 5 };
        for len in (0..whole.len()).step_by(step) {
            let (code, stdout, stderr) = ask(&[&desk.file(name, &whole[..len]), "--json"]);
            let is_told = stderr.lines().count() == 2 && stderr.contains("\n  hint: ");
            match code {
                // Between two packets nobody can tell.
                0 => assert!(stderr.is_empty() && len >= header, "{name} {len}: {stderr}"),
                1 => assert!(is_told && len >= 4, "{name} {len}: {stderr}"),
                _ => assert!(code == 2 && is_told && len < header, "{name} {len}: {code} {stderr}"),
            }
            if code < 2 {
                let document: Value = serde_json::from_str(&stdout).unwrap();
                let read = document["frames"].as_u64().unwrap();
                assert!(read <= 3 && document["grade"] == "unknown", "{name} {len}");
            }
        }
    }
}

/// A pipe cannot be read twice, whatever it is called.
#[test]
fn captures_come_through_pipes_of_all_kinds() {
    let desk = Desk::new();
    let modbus = [(BEGIN_NS, MODBUS.to_vec())];
    for (name, octets, protocol, frames) in [
        ("trunk.pcap", pcap(165, 65_535, &tokens(9000)), "mstp", 9000),
        ("trunk.pcapng", pcapng(165, &tokens(9000), true), "mstp", 9000),
        ("modbus.pcapng", pcapng(252, &modbus, true), "modbus", 1),
    ] {
        let file = desk.file(name, &octets);
        let fifo = desk.path().join(format!("{name}.fifo"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        for way in ["cat $0 | $1 report - --json", "cat $0 | $1 report /dev/stdin --json"] {
            let program = env!("CARGO_BIN_EXE_serialshark");
            let output = std::process::Command::new("sh")
                .args(["-c", way, &file, program])
                .output()
                .unwrap();
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                (&document["protocol"], &document["frames"]),
                (&json!(protocol), &json!(frames)),
                "{way}"
            );
        }
        // Nobody writes yet, which is told; then somebody does.
        let mut program = common::Program::start(["report", fifo.to_str().unwrap()]);
        program.wait_for("waiting for a program that writes to it");
        std::fs::write(&fifo, &octets).unwrap();
        assert!(program.wait().success(), "{:?}", program.stderr());
        assert_eq!(program.stderr().len(), 2, "{:?}", program.stderr());
    }
}

/// What reads the report may leave; a disk that is full is another thing.
#[test]
fn a_report_that_cannot_be_printed_is_told_unless_nobody_wants_it() {
    let desk = Desk::new();
    let path = desk.file("trunk.pcap", &pcap(165, 65_535, &tokens(9000)));
    let report = |stdout: std::process::Stdio| {
        let mut program = common::Program::command();
        program.args(["report", &path, "--json"]).stdout(stdout);
        let output = program.stderr(std::process::Stdio::piped()).output().unwrap();
        (output.status.code(), common::text(&output.stderr))
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(report(writer.into()), (Some(0), String::new()));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, stderr) = report(full.into());
    assert!(
        code == Some(1) && stderr.contains("standard output: cannot write: No space"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 2);
}

#[test]
fn a_capture_that_is_cut_off_gives_the_report_of_what_was_read() {
    let desk = Desk::new();
    let records = stamped(&Plan::healthy(), SHORT);
    let whole = pcap(165, 65_535, &records);
    let path = desk.file("cut.pcap", &whole[..whole.len() - 5]);
    let (code, document) = document(&[&path]);
    assert_eq!((code, &document["frames"]), (1, &json!(records.len() - 1)));
    let (code, document) = self::document(&[&desk.file("none.pcap", &pcap(165, 65_535, &[]))]);
    assert_eq!((code, &document["grade"]), (0, &json!("unknown")));
    assert_eq!(document["grade_reason"], "the capture has no packets");
}

#[test]
fn times_and_lengths_that_cannot_be_are_told_and_accuse_nobody() {
    let desk = Desk::new();
    let records = stamped(&Plan::healthy(), SHORT);
    let half = records.len() / 2;
    let shifted = |by: i64| -> Vec<Stamped> {
        let shift = |(at, (ns, octets)): (usize, &Stamped)| {
            (if at < half { *ns } else { ns.saturating_add_signed(by) }, octets.clone())
        };
        records.iter().enumerate().map(shift).collect()
    };
    let equal: Vec<Stamped> =
        records.iter().map(|(_, octets)| (BEGIN_NS, octets.clone())).collect();
    let short: Vec<Stamped> = records
        .iter()
        .enumerate()
        .map(|(at, (ns, octets))| (*ns, octets[..if at == 7 { 3 } else { octets.len() }].to_vec()))
        .collect();
    let ten_s = 10_000_000_000;
    let ten: Vec<Stamped> =
        records.iter().take_while(|(ns, _)| *ns < BEGIN_NS + ten_s).cloned().collect();
    for (name, records, snap_len, said) in [
        ("forward", shifted(3_600_000_000_000), 65_535, "steps of the clock"),
        ("back", shifted(-3_600_000_000_000), 65_535, "steps of the clock"),
        ("equal", equal, 65_535, "are equal"),
        ("short", short, 65_535, ""),
        ("snapped", records.clone(), 16, "snap length"),
        ("ten", ten, 65_535, "10.0 s were heard"),
    ] {
        let path = desk.file(&format!("{name}.pcap"), &pcap(165, snap_len, &records));
        let (code, document) = document(&[&path, "-b", "38400"]);
        let above: Vec<_> = findings(&document)
            .into_iter()
            .filter(|(_, severity, _)| severity != "advice")
            .collect();
        assert!(code == 0 && above.is_empty(), "{name}: {above:?}");
        assert!(
            document["not_judged"].to_string().contains(said),
            "{name}: {}",
            document["not_judged"]
        );
        assert_eq!(document["trunk"]["masters"].as_array().unwrap().len(), 12, "{name}");
    }
}

#[test]
fn scripts_learn_what_was_found_and_what_has_changed() {
    let desk = Desk::new();
    let sick = Plan::sick(Fault::named("node-gone").unwrap());
    let sick = desk.file("sick.pcap", &pcap(165, 65_535, &stamped(&sick, SHORT)));
    let well = desk.file("well.pcap", &pcap(165, 65_535, &stamped(&Plan::healthy(), SHORT)));
    for (path, limit, code) in
        [(&sick, "fault", 3), (&sick, "critical", 0), (&sick, "warning", 3), (&well, "advice", 0)]
    {
        assert_eq!(ask(&[path, "-b", "38400", "--fail-on", limit]).0, code, "{limit}");
    }
    let old = desk.file("old.json", document(&[&well, "-b", "38400"]).1.to_string().as_bytes());
    let (code, document) = document(&[&sick, "-b", "38400", "--baseline", &old]);
    let changes = &document["baseline"];
    assert_eq!((code, &changes["grade"]), (0, &json!({ "was": "good", "is": "poor" })));
    assert_eq!(changes["new"], json!([{ "id": "node-gone", "nodes": [4], "severity": "fault" }]));
    let (_, text, _) = ask(&[&sick, "-b", "38400", "--baseline", &old]);
    assert!(
        text.contains("grade: poor, was good") && text.contains("new: node-gone, MAC 4"),
        "{text}"
    );
    // A report on another trunk says little of this one.
    let elsewhere = json!({ "version": 1, "protocol": "mstp", "grade": "good", "findings": [],
        "trunk": { "masters": [100, 101] } });
    let elsewhere = desk.file("elsewhere.json", elsewhere.to_string().as_bytes());
    for (old, is_other) in [(&old, false), (&elsewhere, true)] {
        let (code, document) = self::document(&[&sick, "-b", "38400", "--baseline", old]);
        let told = document["not_judged"].to_string().contains("is on other nodes");
        assert_eq!((code, told), (0, is_other));
    }
}

#[test]
fn the_first_lines_say_what_to_do() {
    let desk = Desk::new();
    let plan = Plan::sick(Fault::named("duplicate-mac").unwrap());
    let path = desk.file("sick.pcap", &pcap(165, 65_535, &stamped(&plan, SHORT)));
    let (_, text, _) = ask(&[&path, "-b", "38400"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("FAILING: duplicate MAC: two nodes seem to have the address 4"),
        "{text}"
    );
    let todo = lines.iter().position(|line| *line == "What to do").unwrap();
    assert!(lines[todo + 1].starts_with("1. find both nodes with MAC 4"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 140), "{text}");
    let steps = lines
        .iter()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(". "))
        .count();
    assert!((1..=3).contains(&steps));
}

#[test]
fn other_protocols_have_their_general_part() {
    let desk = Desk::new();
    let capture = desk.path().join("modbus.pcapng");
    let capture = capture.to_str().unwrap();
    assert_eq!(run(&["sim:modbus", "-c", "30", "-w", capture]).0, 0);
    let (code, document) = document(&[capture]);
    assert_eq!(
        (code, &document["protocol"], &document["frames"]),
        (0, &json!("modbus"), &json!(30))
    );
    let addresses = document["addresses"].as_array().unwrap();
    assert!(addresses.len() >= 3, "{addresses:?}");
    assert!(ask(&[capture]).1.starts_with("modbus: 30 packets in "));
    // What has changed is told of them, too.
    let finding = json!({ "id": "unit-gone", "nodes": [7], "severity": "fault", "n": 3 });
    let mut old = document;
    old["findings"] = json!([finding]);
    let old = desk.file("old.json", old.to_string().as_bytes());
    let page = desk.path().join("page.html");
    let html = ["--html", page.to_str().unwrap()];
    let (code, text, _) = ask(&[&[capture, "--baseline", &old], &html[..]].concat());
    assert!(code == 0 && text.contains("gone: unit-gone, unit 7"), "{text}");
    assert!(!text.contains("grade:"), "{text}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("gone: unit-gone, unit 7"));
    let (_, document) = self::document(&[capture, "--baseline", &old]);
    assert_eq!(document["baseline"]["gone"][0]["id"], "unit-gone");
}

/// All octets of a golden input, whatever reads they came in.
fn octets_of(input: &str) -> Vec<u8> {
    let hex = |line: &str| -> Option<Vec<u8>> {
        let hex = match line.split_once(": ") {
            Some((time, hex)) => time.parse::<u64>().ok().map(|_| hex)?,
            None => line.strip_prefix(' ')?.trim(),
        };
        let pairs = (0..hex.len()).step_by(2);
        pairs.map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
    };
    input.lines().filter_map(hex).flatten().collect()
}

/// What tshark prints of these fields, and how often.
fn counted(path: &str, fields: &[&str]) -> Option<BTreeMap<Vec<String>, u64>> {
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let args = ["-o", "mbrtu.crc_verification:TRUE", "-r", path, "-T", "fields"];
    let said = common::tshark(&args.into_iter().chain(fields).collect::<Vec<_>>(), b"")?;
    let mut counts = BTreeMap::new();
    for line in said.lines() {
        *counts.entry(line.split('\t').map(str::to_owned).collect()).or_default() += 1;
    }
    Some(counts)
}

/// A capture of real octets in classic pcap, which has no place for damage, with every 13th packet
/// damaged in its last octet but two.
fn damaged_capture(
    desk: &Desk,
    protocol: &str,
    input: &str,
    (link_type, header): (u32, &[u8]),
) -> (String, u64) {
    let octets = desk.file("octets", &octets_of(input));
    let whole = desk.path().join("whole.pcap");
    let whole = whole.to_str().unwrap();
    let (code, _, stderr) = run(&[&octets, "-p", protocol, "-w", whole, "--force"]);
    assert_eq!(code, 0, "{stderr}");
    let records = common::pcap_records(&std::fs::read(whole).unwrap());
    let mut n = 0;
    let damage = |(at, record): (usize, common::Record)| {
        let mut data = record.data;
        if at % 13 == 5 {
            n += 1;
            let last = data.len() - 3;
            data[last] ^= 0x10;
        }
        (record.time_us * 1000, [header, &data].concat())
    };
    let records: Vec<Stamped> = records.into_iter().enumerate().map(damage).collect();
    assert!(n >= 5, "{n} of {}", records.len());
    (desk.file("damaged.pcap", &pcap(link_type, 65_535, &records)), n)
}

#[test]
fn figures_of_radio_are_those_of_tshark() {
    let desk = Desk::new();
    let input = include_str!("../data/pinoccio-touchlink/input.txt");
    // Behind a header that tells of an FCS, and the channel.
    let tap = [0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 3, 0, 3, 0, 11, 0, 0, 0];
    for (link_type, header) in [(195, &[][..]), (283, &tap)] {
        let (path, damaged) = damaged_capture(&desk, "pinoccio", input, (link_type, header));
        let (code, report) = document(&[&path]);
        assert_eq!((code, &report["protocol"]), (0, &json!("ieee802154")));
        assert_eq!(report["damaged"], damaged, "{link_type}");
        let channels = report["wpan"]["channels"].as_array().unwrap();
        let bad: u64 = channels.iter().map(|channel| channel["damaged"].as_u64().unwrap()).sum();
        assert_eq!(bad, damaged);
        let Some(fcs) = counted(&path, &["wpan.fcs_ok"]) else { return };
        assert_eq!(fcs[&vec!["0".to_owned()]], damaged, "{link_type}");
        // Networks: of a frame with two that it goes to, or the one it has.
        let mut pans = BTreeMap::new();
        let fields = ["wpan.fcs_ok", "wpan.dst_pan", "wpan.src_pan"];
        for (said, n) in counted(&path, &fields).unwrap() {
            let [ok, to, from] = &said[..] else { panic!("{said:?}") };
            let pan = if to.is_empty() { from } else { to };
            if ok == "1" && !pan.is_empty() {
                *pans.entry(pan.clone()).or_insert(0) += n;
            }
        }
        let told = report["wpan"]["pans"].as_array().unwrap().iter();
        let told: BTreeMap<_, _> = told
            .map(|pan| (pan["pan"].as_str().unwrap().to_owned(), pan["frames"].as_u64().unwrap()))
            .collect();
        assert_eq!(told, pans, "{link_type}");
        // Links of short addresses; what has long ones beside them in upper layers is left out.
        let fields = ["wpan.fcs_ok", "wpan.src16", "wpan.dst16", "wpan.src64", "wpan.dst64"];
        for (said, n) in counted(&path, &fields).unwrap() {
            if let [ok, from, to, long, other] = &said[..]
                && ok == "1"
                && [from, to].iter().all(|end| !end.is_empty())
                && [long, other].iter().all(|end| end.is_empty())
            {
                let links = report["wpan"]["links"].as_array().unwrap();
                let link = links.iter().find(|link| link["from"] == **from && link["to"] == **to);
                assert_eq!(link.unwrap()["frames"], n, "{link_type}: {said:?}");
            }
        }
    }
}

#[test]
fn figures_of_modbus_are_those_of_tshark() {
    let desk = Desk::new();
    for input in [
        include_str!("../data/modbus-wizmodbus/input.txt"),
        include_str!("../data/modbus-flowmeter-flowing/input.txt"),
    ] {
        let (path, damaged) = damaged_capture(&desk, "modbus", input, (252, &[]));
        let (code, report) = document(&[&path, "-b", "9600"]);
        assert_eq!((code, &report["damaged"]), (0, &json!(damaged)));
        let fields = ["mbrtu.crc16.status", "mbrtu.unit_id", "modbus.func_code"];
        let Some(counts) = counted(&path, &fields) else { return };
        let (mut frames, mut bad) = (BTreeMap::new(), 0);
        for (said, n) in counts {
            let [status, unit, _] = &said[..] else { panic!("{said:?}") };
            if status == "1" {
                *frames.entry(unit.parse::<u64>().unwrap()).or_insert(0) += n;
            } else {
                bad += n;
            }
        }
        assert_eq!(bad, damaged);
        // Requests and answers, but for answers of which the request was damaged.
        let modbus = &report["modbus"];
        let mut told = BTreeMap::new();
        for unit in modbus["units"].as_array().unwrap() {
            let n = unit["requests"].as_u64().unwrap() + unit["responses"].as_u64().unwrap();
            told.insert(unit["unit"].as_u64().unwrap(), n);
        }
        let unasked = modbus["unasked"].as_u64().unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told.values().sum::<u64>() + unasked, frames.values().sum::<u64>(), "{modbus}");
    }
}

/// Many protocols share a link type: the file says which it is, or its packets, or the user.
#[test]
fn which_protocol_a_capture_is_of_is_told_by_the_file_or_its_packets() {
    let desk = Desk::new();
    let octets = desk.file("octets", &octets_of(include_str!("../data/knx-telegrams/input.txt")));
    let [rich, plain] = ["knx.pcapng", "knx.pcap"].map(|name| desk.path().join(name));
    let [rich, plain] = [&rich, &plain].map(|path| path.to_str().unwrap());
    for path in [rich, plain] {
        assert_eq!(run(&[&octets, "-p", "knx", "-w", path]).0, 0);
    }
    assert_eq!(document(&[rich]).1["protocol"], "knx");
    assert_eq!(document(&[plain, "-p", "knx"]).1["protocol"], "knx");
    let (code, _, stderr) = ask(&[plain]);
    assert!(code == 2 && stderr.contains("hint: ") && stderr.contains("-p"), "{stderr}");
    let modbus = desk.path().join("modbus.pcap");
    let modbus = modbus.to_str().unwrap();
    assert_eq!(run(&["sim:modbus", "-c", "5", "-w", modbus]).0, 0);
    assert_eq!(document(&[modbus]).1["protocol"], "modbus");
}

/// A classic pcap through a pipe. `SERIALSHARK_FRAMES` says how many frames; 12 million are a day.
#[test]
fn a_long_capture_takes_little_memory() {
    if common::left_to_full_runs() {
        return;
    }
    let frames: usize =
        std::env::var("SERIALSHARK_FRAMES").map_or(300_000, |frames| frames.parse().unwrap());
    let records = stamped(&Plan::healthy(), Listening { seconds: 300, ..SHORT });
    let mut program = common::Program::command();
    program.args(["report", "-", "--json"]).stdin(std::process::Stdio::piped());
    program.stdout(std::process::Stdio::piped());
    let start = std::time::Instant::now();
    let mut child = program.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut written = 0;
    while written < frames {
        // The same five minutes over and over, each behind the one before.
        let later_ns = written as u64 / records.len() as u64 * 300_000_000_000;
        let shifted: Vec<Stamped> = records
            .iter()
            .take(frames - written)
            .map(|(ns, octets)| (ns + later_ns, octets.clone()))
            .collect();
        let file = pcap(165, 65_535, &shifted);
        let header = if written == 0 { 0 } else { 24 };
        std::io::Write::write_all(&mut input, &file[header..]).unwrap();
        written += shifted.len();
    }
    let peak_kb = common::memory_kb(child.id(), "VmHWM");
    drop(input);
    let document: Value =
        serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    eprintln!("{frames} frames: {:.1} s, {peak_kb} kB", start.elapsed().as_secs_f64());
    assert_eq!((&document["frames"], &document["grade"]), (&json!(frames), &json!("good")));
    assert!(peak_kb < 60_000, "{peak_kb} kB");
}
