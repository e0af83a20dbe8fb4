//! Many trunks of a real NATS server: on one page, and in one report each.
#![cfg(all(target_os = "linux", feature = "nats", feature = "http"))]

use crate::common::{
    Program, Pty, eventually, free_port, left_to_full_runs, mstp, numbered_frame, run,
};
use crate::nats_server::Nats;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

fn get(port: u16, path: &str) -> (u16, String) {
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(!answer.is_empty(), "{path} is not answered");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn lines(port: u16) -> Vec<Value> {
    let report: Value = serde_json::from_str(&get(port, "/report.json").1).unwrap();
    report["lines"].as_array().unwrap().clone()
}

/// Stores so many frames of a trunk, and ends.
fn store(nats: &Nats, trunk: &str, frames: u32) {
    let pty = Pty::new();
    let url = format!("nats://127.0.0.1:{}/{trunk}", nats.port);
    let mut program = Program::start([pty.path(), "--nats", &url, "-c", &frames.to_string()]);
    program.wait_for("reading mstp");
    for number in 0..frames {
        pty.send(&numbered_frame(number));
    }
    program.wait();
}

/// Those that were stored before as well as what comes: each with its own figures and page.
#[test]
fn all_trunks_are_on_one_page_and_each_has_its_own() {
    let Some(nats) = Nats::start() else { return };
    store(&nats, "north.one", 20);
    store(&nats, "south.two", 30);
    let pty = Pty::new();
    let url = format!("nats://127.0.0.1:{}", nats.port);
    let live = Program::start([pty.path(), "--nats", &format!("{url}/north.live")]);
    live.wait_for("reading mstp");
    pty.send(&mstp(0, 5, 4, &[]));
    live.wait_for("connected");
    let port = free_port();
    let has_live = || run(&["report", &format!("{url}/north.live")]).0 == 0;
    eventually("the first packet in the store", || has_live().then_some(()));
    let mut fleet = Program::start(["fleet", &url, "--http", &port.to_string()]);
    fleet.wait_for("waiting for a reader");
    let frames = |name: &str| {
        let all = lines(port);
        let line = all.iter().find(|line| line["name"] == name)?;
        line["report"]["frames"].as_u64()
    };
    for (name, wanted) in [("north.one", 20), ("south.two", 30), ("north.live", 1)] {
        eventually(name, || (frames(name) == Some(wanted)).then_some(()));
    }
    for _ in 0..4 {
        pty.send(&mstp(0, 5, 4, &[]));
    }
    eventually("what comes", || (frames("north.live") == Some(5)).then_some(()));
    let (status, page) = get(port, "/lines/south.two/");
    assert!(status == 200 && page.contains("south.two") && page.contains("30 frames"), "{page}");
    assert!(get(port, "/").1.contains("href=\"lines/south.two/\""));
    let metrics = get(port, "/metrics").1;
    assert!(
        metrics.contains("serialshark_grade{port=\"south.two\",grade=\"unknown\"} 1"),
        "{metrics}"
    );
    fleet.terminate();
    let mut site =
        Program::start(["fleet", &format!("{url}/north.*"), "--http", &port.to_string()]);
    site.wait_for("waiting for a reader");
    let names: Vec<_> = lines(port).iter().map(|line| line["name"].clone()).collect();
    assert!(names.len() == 2 && names.iter().all(|it| it.as_str().unwrap().starts_with("north.")));
    site.terminate();
}

/// The names of all lines, or none while the page is begun anew.
fn names(port: u16) -> Option<Vec<String>> {
    let mut client = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = b"GET /report.json HTTP/1.0\r\nHost: localhost\r\n\r\n";
    client.write_all(request).ok()?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).ok()?;
    let report: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    let name = |line: &Value| line["name"].as_str().map(str::to_owned);
    let mut names: Vec<_> = report["lines"].as_array()?.iter().filter_map(name).collect();
    names.sort();
    Some(names)
}

#[test]
fn trunks_that_come_later_are_found_and_those_that_are_deleted_leave() {
    // It waits for three looks at the server, a quarter of a minute each.
    if left_to_full_runs() {
        return;
    }
    let Some(nats) = Nats::start() else { return };
    store(&nats, "north.one", 20);
    store(&nats, "south.two", 30);
    let port = free_port();
    let url = format!("nats://127.0.0.1:{}", nats.port);
    let mut fleet = Program::start(["fleet", &url, "--http", &port.to_string()]);
    fleet.wait_for("waiting for a reader");
    eventually("both", || (names(port)? == ["north.one", "south.two"]).then_some(()));
    // A stream that nothing is in yet is no news.
    let config = r#"{"name":"serialshark+east+none","subjects":["serialshark.east.none.packets"]}"#;
    nats.request("$JS.API.STREAM.CREATE.serialshark+east+none", config);
    store(&nats, "west.three", 10);
    let all = ["north.one", "south.two", "west.three"];
    eventually("the new one", || (names(port)? == all).then_some(()));
    for (name, frames) in [("west.three", 10), ("south.two", 30)] {
        let path = format!("/lines/{name}/report.json");
        let frames_of = || serde_json::from_str::<Value>(&get(port, &path).1).ok();
        eventually(name, || (frames_of()?["frames"] == frames).then_some(()));
        assert_eq!(get(port, &format!("/lines/{name}/")).0, 200);
    }
    assert!(!fleet.stderr().join("\n").contains("east.none"));
    nats.request("$JS.API.STREAM.DELETE.serialshark+north+one", "");
    eventually("it to leave", || (names(port)? == all[1..]).then_some(()));
    fleet.wait_for("north.one: is gone from the server");
    // As long as there is none the last ones are shown; whatever comes then is found.
    for gone in ["south+two", "west+three"] {
        nats.request(&format!("$JS.API.STREAM.DELETE.serialshark+{gone}"), "");
    }
    store(&nats, "far.four", 1);
    store(&nats, "far.five", 1);
    eventually("new ones", || (names(port)? == ["far.five", "far.four"]).then_some(()));
    fleet.terminate();
}

/// A message that is no capture behind its header ends its trunk; the page comes back, but not without a
/// pause.
/// What somebody else stored under the name of a trunk is left out, before and while it is read; the
/// packets around it are not, nor are the other trunks.
#[test]
fn a_message_of_somebody_else_costs_no_trunk_its_page() {
    let Some(nats) = Nats::start() else { return };
    store(&nats, "north.one", 20);
    store(&nats, "north.two", 15);
    let strange = |trunk: &str, octets: &str| {
        let answer = nats.request(&format!("serialshark.{trunk}.packets"), octets);
        assert!(answer.contains("seq"), "{answer}");
    };
    // A section, an interface of MS/TP, and a packet that is too short for what it says.
    let nonsense = "\n\r\r\n\x1c\0\0\0M<+\x1a\x01\0\0\0\0\0\0\0\0\0\0\0\x1c\0\0\0\
                    \x01\0\0\0\x14\0\0\0\x25\0\0\0\0\0\0\0\x14\0\0\0\
                    \x06\0\0\0\x14\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0";
    strange("north.two", nonsense);
    store(&nats, "north.two", 15);
    // One that begins as a block does and never ends, and a trunk that has nothing else.
    strange("north.one", "\u{6}\0\0\0\u{0}\u{1}\0\0 and no more");
    let stream = r#"{"name":"others","subjects":["serialshark.north.no.packets"]}"#;
    nats.request("$JS.API.STREAM.CREATE.others", stream);
    strange("north.no", "hello");
    let url = format!("nats://127.0.0.1:{}", nats.port);
    let port = free_port();
    let mut fleet = Program::start(["fleet", &url, "--http", &port.to_string()]);
    fleet.wait_for("north.no: has messages that are not of serialshark");
    fleet.wait_for("north.one: has messages that are not of serialshark: they are left out");
    let frames = |name: &str| {
        let all = lines(port);
        all.iter().find(|line| line["name"] == name)?["report"]["frames"].as_u64()
    };
    for (name, wanted) in [("north.one", 20), ("north.two", 30)] {
        eventually(name, || (frames(name) == Some(wanted)).then_some(()));
    }
    strange("north.two", "hello");
    store(&nats, "north.two", 15);
    eventually("what comes", || (frames("north.two") == Some(45)).then_some(()));
    assert_eq!(lines(port).len(), 2);
    fleet.terminate();
    let (code, _, stderr) = run(&["report", &format!("{url}/north.no")]);
    assert!(code != 0 && stderr.contains("not of serialshark"), "{stderr}");
}

#[test]
fn a_report_is_on_what_is_stored_of_one_trunk() {
    let Some(nats) = Nats::start() else { return };
    store(&nats, "north.one", 20);
    store(&nats, "north.two", 3);
    let url = format!("nats://127.0.0.1:{}", nats.port);
    let (code, stdout, stderr) = run(&["report", "--json", &format!("{url}/north.one")]);
    let report: Value = serde_json::from_slice(&stdout).expect(&stderr);
    assert_eq!((code, &report["frames"], &report["baud"]), (0, &20.into(), &38_400.into()));
    for (what, says) in [
        (&["north.*"][..], "is more than one trunk\n  hint: "),
        (&["north.none"], "has no packets of north.none\n  hint: it has north.one, north.two"),
        (&["north.one", "--from", "2001-01-01", "--to", "2001-01-02"], "no packets of this time"),
    ] {
        let trunk = format!("{url}/{}", what[0]);
        let (code, _, stderr) = run(&[&["report", &trunk], &what[1..]].concat());
        assert!((1..=2).contains(&code) && stderr.contains(says), "{code} {stderr}");
    }
}

#[test]
fn what_is_no_server_is_said_before_anything_begins() {
    for (args, code, says) in [
        (&["fleet", "/dev/ttyUSB0"][..], 2, "/dev/ttyUSB0 is not nats://HOST"),
        (&["fleet"], 2, "PORT"),
        (&["fleet", "nats://"], 2, "HOST"),
        (&["fleet", "nats://h/a"], 2, "a site and a trunk are missing"),
        (&["fleet", "nats://127.0.0.1:1"], 1, "cannot connect: Connection refused"),
        (&["report", "nats://127.0.0.1:1/a.b"], 2, "cannot connect: Connection refused"),
        (&["sim:mstp", "--from", "10:00"], 2, "are for nats://"),
    ] {
        let (found, _, stderr) = run(args);
        assert!(found == code && stderr.contains(says), "{args:?}: {found} {stderr}");
    }
}
