//! `--http`: the page, its figures, and captures that are fetched; from clients that behave, and from
//! those that do not.
#![cfg(feature = "http")]

use crate::common::*;
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{PcapBlockOwned, PcapNGSlice};
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// serialshark on a PTY, with a file beside the page.
struct Server {
    dir: TempDir,
    pty: Pty,
    program: Program,
    port: u16,
    sent: u32,
}

impl Server {
    fn start(options: &[&str]) -> Self {
        let (dir, pty, port) = (TempDir::new().unwrap(), Pty::new(), free_port());
        let (http, file) = (port.to_string(), dir.path().join("a.pcapng"));
        let fixed = [pty.path(), "--http", &http, "-w", file.to_str().unwrap()];
        let program = Program::start([&fixed, options].concat());
        program.wait_for("reading mstp");
        Self { dir, pty, program, port, sent: 0 }
    }

    fn send(&mut self, count: u32) {
        for number in self.sent..self.sent + count {
            self.pty.send(&numbered_frame(number));
        }
        self.sent += count;
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client
    }

    /// Says these words, and returns all that is answered.
    fn say(&self, words: &str) -> Answer {
        let mut client = self.connect();
        client.write_all(words.as_bytes()).unwrap();
        let mut octets = Vec::new();
        client.read_to_end(&mut octets).unwrap();
        Answer::parse(&octets)
    }

    fn ask(&self, method: &str, path: &str, host: &str) -> Answer {
        self.say(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &format!("127.0.0.1:{}", self.port))
    }

    /// A client that reads packets, and what it has by then.
    fn reader(&self) -> TcpStream {
        let mut client = self.connect();
        client.write_all(b"GET /live.pcapng HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        self.program.wait_for("a reader has come");
        client
    }

    /// What is in the file so far, which ends anywhere while it is written.
    fn file(&self) -> Vec<Vec<u8>> {
        let octets = std::fs::read(self.dir.path().join("a.pcapng")).unwrap();
        let Ok(blocks) = PcapNGSlice::from_slice(&octets) else { return Vec::new() };
        blocks.map_while(Result::ok).filter_map(|block| packet(&block)).collect()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// In small letters.
    head: String,
    body: Vec<u8>,
    /// Whether it says where it ends, and has come so far.
    is_whole: bool,
}

impl Answer {
    fn parse(octets: &[u8]) -> Self {
        let end = octets.windows(4).position(|it| it == b"\r\n\r\n").expect("an answer");
        let head = text(&octets[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let rest = &octets[end + 4..];
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let (body, is_whole) = match length {
            Some(length) => (rest.to_vec(), rest.len() == length.parse::<usize>().unwrap()),
            None => dechunked(rest),
        };
        Self { status, head, body, is_whole }
    }

    fn text(&self) -> String {
        text(&self.body)
    }
}

/// RFC 9112, 7.1, and whether the last chunk has come.
fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|it| it == b"\r\n") {
        let len = usize::from_str_radix(&text(&rest[..at]), 16).unwrap();
        if len == 0 {
            return (body, true);
        }
        if rest.len() < at + 2 + len + 2 {
            break;
        }
        body.extend_from_slice(&rest[at + 2..at + 2 + len]);
        rest = &rest[at + 2 + len + 2..];
    }
    (body, false)
}

/// The packets of a pcapng stream of whole blocks, and whether it has its trailer.
fn packets(octets: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut packets, mut has_trailer) = (Vec::new(), false);
    for block in PcapNGSlice::from_slice(octets).unwrap() {
        let block = block.expect("whole blocks");
        has_trailer = matches!(block, PcapBlockOwned::NG(Block::InterfaceStatistics(_)));
        packets.extend(packet(&block));
    }
    (packets, has_trailer)
}

/// The octets of a packet, if it is one.
fn packet(block: &PcapBlockOwned<'_>) -> Option<Vec<u8>> {
    match block {
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => Some(block.packet_data().to_vec()),
        _ => None,
    }
}

fn numbered(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(numbered_frame).collect()
}

#[test]
fn the_page_and_its_figures() {
    let mut server = Server::start(&[]);
    server.send(20);
    let page = eventually("a page with the frames", || {
        let page = server.get("/");
        page.text().contains("<td>20</td>").then_some(page)
    });
    assert_eq!(page.status, 200, "{page:?}");
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(page.head.contains(header), "{header} in {}", page.head);
    }
    assert!(page.text().contains("<script src=\"live.js\" defer></script>"));
    assert_eq!(server.get("/live.js").status, 200);
    let report: serde_json::Value =
        serde_json::from_slice(&server.get("/report.json").body).unwrap();
    assert_eq!((&report["version"], &report["protocol"]), (&1.into(), &"mstp".into()));
    assert_eq!(report["frames"], 20);
    let saved = server.get("/report.html");
    assert!(!saved.text().contains("<script"), "it is to be kept");
    let metrics = server.get("/metrics").text();
    let name = server.pty.path();
    for line in [
        format!("serialshark_port_up{{port=\"{name}\"}} 1"),
        format!("serialshark_frames_total{{port=\"{name}\"}} 20"),
        "serialshark_dropped_packets_total 0".to_owned(),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} in {metrics}");
    }
    assert!(page.is_whole && saved.is_whole);
    let health = server.get("/healthz");
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    server.program.terminate();
}

#[test]
fn a_port_that_is_gone_is_not_healthy() {
    let dir = TempDir::new().unwrap();
    let (link, port) = (dir.path().join("ttyUSB0"), free_port());
    let pty = Pty::new();
    pty.name(&link);
    let http = port.to_string();
    let program = Program::start([link.to_str().unwrap(), "--http", &http]);
    program.wait_for("reading mstp");
    drop(pty);
    program.wait_for("waiting for its return");
    let mut server = Server { dir, pty: Pty::new(), program, port, sent: 0 };
    let health = eventually("the port's state", || {
        let health = server.get("/healthz");
        (health.status == 503).then_some(health)
    });
    assert!(health.text().contains("ttyUSB0: "), "{}", health.text());
    assert!(server.get("/metrics").text().contains("ttyUSB0\"} 0\n"));
    server.program.terminate();
}

#[test]
fn packets_without_end_end_cleanly_with_the_program() {
    let mut server = Server::start(&[]);
    let mut client = server.reader();
    server.send(50);
    eventually("the frames in the file", || (server.file().len() == 50).then_some(()));
    assert!(server.program.terminate() < SOON);
    let mut octets = Vec::new();
    client.read_to_end(&mut octets).unwrap();
    let answer = Answer::parse(&octets);
    assert!(answer.is_whole, "it ends with its last chunk");
    assert_eq!(packets(&answer.body), (numbered(50), true));
    if let Some(shown) = tshark(&["-r", "-"], &answer.body) {
        assert_eq!(shown.lines().count(), 50, "{shown}");
    }
}

#[test]
fn the_last_minutes_are_a_file() {
    let mut server = Server::start(&["--history", "600"]);
    server.send(30);
    eventually("the frames in the file", || (server.file().len() == 30).then_some(()));
    for query in ["", "?last=10m", "?last=1h"] {
        let answer = server.get(&format!("/capture.pcapng{query}"));
        assert!(answer.is_whole && answer.head.contains("application/x-pcapng"), "{answer:?}");
        assert_eq!(packets(&answer.body), (numbered(30), true), "{query}");
    }
    assert_eq!(server.get("/capture.pcapng?last=soon").status, 400);
    server.program.terminate();
}

/// The records of packets in a pcapng file, which may end anywhere; octet by octet.
fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(len) = file.get(4..8) {
        let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
        let Some((block, rest)) = file.split_at_checked(len) else { break };
        if block[..4] == [6, 0, 0, 0] {
            records.push(block.to_vec());
        }
        file = rest;
    }
    records
}

/// The capture files of a set, in order, unpacked.
fn set(dir: &TempDir) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
    paths.sort();
    let unpacked = |path: std::path::PathBuf| {
        // Since it was listed it may have been deleted or packed, or it is being packed just now.
        let mut octets = std::fs::read(&path).ok()?;
        if path.extension().unwrap() == "gz" {
            let packed = std::mem::take(&mut octets);
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut octets).ok()?;
        }
        Some((path, octets))
    };
    paths.into_iter().filter_map(unpacked).collect()
}

impl Server {
    /// The same as `send`, on a line that is not flawless.
    fn send_flawed(&mut self, count: u32) {
        for number in self.sent..self.sent + count {
            let mut frame = numbered_frame(number);
            if number.is_multiple_of(7) {
                *frame.last_mut().unwrap() ^= 0xff;
            }
            self.pty.send(&frame);
        }
        self.sent += count;
    }

    /// What `/capture.pcapng` has: one section, whole.
    fn capture(&self, query: &str) -> Vec<Vec<u8>> {
        let answer = self.get(&format!("/capture.pcapng{query}"));
        assert!(answer.is_whole && answer.status == 200, "{answer:?}");
        let (packets, has_trailer) = packets(&answer.body);
        let sections = answer.body.windows(4).filter(|it| *it == b"\x0a\x0d\x0d\x0a").count();
        let records = records(&answer.body);
        assert!(has_trailer && sections == 1 && records.len() == packets.len());
        records
    }
}

/// What is asked for while it is written is what the file then has: no packet less, none twice, each with
/// its port, time, damage and comment.
#[test]
fn without_a_history_the_last_minutes_come_from_the_file() {
    let other = Pty::new();
    let mut server = Server::start(&[other.path()]);
    server.program.wait_for_nth(2, "reading mstp");
    let path = server.dir.path().join("a.pcapng");
    let written = || records(&std::fs::read(&path).unwrap());
    let mut captures = Vec::new();
    for _ in 0..20 {
        server.send_flawed(25);
        other.send(&mstp(0, 5, 4, &[]));
        let before = written().len();
        let capture = server.capture("");
        assert!(capture.len() >= before, "{} of {before}", capture.len());
        captures.push(capture);
    }
    eventually("all in the file", || (written().len() == 520).then_some(()));
    captures.push(server.capture("?last=1h"));
    server.program.terminate();
    let all = written();
    for capture in &captures {
        assert!(all.starts_with(capture), "{} of {}", capture.len(), all.len());
    }
    assert_eq!(captures.last().unwrap().len(), all.len());
}

/// The memory for the history holds the newest packets of many.
#[test]
fn what_is_older_than_the_history_comes_from_the_files_of_a_set_also_compressed_ones() {
    let options = ["-C", "40k", "--compress", "--history", "600", "--history-size", "1"];
    let mut server = Server::start(&options);
    let mut captures = Vec::new();
    for _ in 0..12 {
        server.send_flawed(1000);
        captures.push(server.capture("?last=1h"));
    }
    let all = || -> Vec<_> { set(&server.dir).iter().flat_map(|(_, it)| records(it)).collect() };
    eventually("all files but the last packed, and all packets in them", || {
        let paths = std::fs::read_dir(server.dir.path()).unwrap();
        let plain = paths.filter(|it| it.as_ref().unwrap().path().extension().unwrap() != "gz");
        (plain.count() == 1 && all().len() == 12_000).then_some(())
    });
    let all = all();
    captures.push(server.capture("?last=1h"));
    assert_eq!(captures.last().unwrap().len(), all.len());
    for capture in captures {
        assert!(all.starts_with(&capture), "{} of {}", capture.len(), all.len());
    }
    server.program.terminate();
}

#[test]
fn of_files_that_are_deleted_the_packets_are_missing_and_no_others() {
    let mut server = Server::start(&["-C", "4k", "-W", "5"]);
    // Only every fourth frame has its number in it.
    server.send(1001);
    let is_last = |record: &Vec<u8>| record.windows(4).any(|it| it == 1000_u32.to_be_bytes());
    let files = eventually("all packets in files", || {
        let files = set(&server.dir);
        records(&files.last()?.1).last().is_some_and(is_last).then_some(files)
    });
    assert_eq!(files.len(), 5);
    let of = |files: &[(_, Vec<u8>)]| -> Vec<_> {
        files.iter().flat_map(|(_, octets)| records(octets)).collect()
    };
    assert_eq!(server.capture(""), of(&files));
    std::fs::remove_file(&files[2].0).unwrap();
    assert_eq!(server.capture(""), [of(&files[..2]), of(&files[3..])].concat());
    // What somebody else has put there is not ours to show.
    std::fs::write(&files[1].0, b"something else").unwrap();
    assert_eq!(server.capture(""), [of(&files[..1]), of(&files[3..])].concat());
    server.program.terminate();
}

#[test]
fn only_what_is_young_enough_comes_from_a_file() {
    let mut server = Server::start(&[]);
    server.send(30);
    eventually("the frames in the file", || (server.file().len() == 30).then_some(()));
    eventually("the time to pass", || server.capture("?last=1s").is_empty().then_some(()));
    server.send(1);
    eventually("the frames in the file", || (server.file().len() == 31).then_some(()));
    let octets = std::fs::read(server.dir.path().join("a.pcapng")).unwrap();
    assert_eq!(server.capture("?last=1h"), records(&octets));
    // On a slow machine it may be too old by then.
    let newest = server.capture("?last=10s");
    assert!(newest.is_empty() || records(&octets).ends_with(&newest));
    server.program.terminate();
}

/// Files are read for each client at its own pace.
#[test]
fn a_client_that_takes_a_file_slowly_costs_nobody_anything() {
    let mut server = Server::start(&[]);
    server.send(20_000);
    let path = server.dir.path().join("a.pcapng");
    let written = || records(&std::fs::read(&path).unwrap());
    eventually("the frames in the file", || (written().len() == 20_000).then_some(()));
    let mut slow = server.connect();
    let request = b"GET /capture.pcapng HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    slow.write_all(request).unwrap();
    server.program.wait_for("a reader has come");
    server.send(5000);
    eventually("what comes meanwhile", || (written().len() == 25_000).then_some(()));
    assert_eq!(server.capture("").len(), 25_000);
    let mut octets = Vec::new();
    slow.read_to_end(&mut octets).unwrap();
    let answer = Answer::parse(&octets);
    let had = records(&answer.body);
    assert!(answer.is_whole && had.len() >= 20_000 && written().starts_with(&had));
    assert!(!server.program.stderr().join("\n").contains("too slow"));
    // One that takes nothing does not hold up the end.
    let mut stalled = server.connect();
    stalled.write_all(request).unwrap();
    server.program.wait_for_nth(3, "a reader has come");
    assert!(server.program.terminate() < SOON);
}

/// The history goes on where the file had to end.
#[test]
fn what_the_file_has_no_room_for_comes_from_the_history() {
    let mut server = Server::start(&["--history", "600", "--history-size", "1"]);
    server.send(20_000);
    eventually("the frames in the file", || (server.file().len() == 20_000).then_some(()));
    let path = server.dir.path().join("a.pcapng");
    server.program.limit_file_size(path.metadata().unwrap().len());
    server.send(300);
    server.program.wait_for("a.pcapng: cannot write: ");
    let octets = |records: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let len = |record: &[u8]| u32::from_le_bytes(record[20..24].try_into().unwrap()) as usize;
        records.iter().map(|it| it[28..28 + len(it)].to_vec()).collect()
    };
    let capture = eventually("all of them", || {
        let capture = octets(&server.capture(""));
        (capture.len() >= 20_300).then_some(capture)
    });
    assert!(capture == numbered(20_300), "{} packets", capture.len());
    assert_eq!(server.file().len(), 20_000);
    server.program.signal(Signal::TERM);
    server.program.wait();
}

/// A classic pcap file has neither ports nor comments: there the history is all.
#[test]
fn classic_pcap_files_are_not_read() {
    let (dir, pty, port) = (TempDir::new().unwrap(), Pty::new(), free_port());
    let (http, file) = (port.to_string(), dir.path().join("a.pcap"));
    let program = Program::start([pty.path(), "--http", &http, "-w", file.to_str().unwrap()]);
    program.wait_for("reading mstp");
    let mut server = Server { dir, pty, program, port, sent: 0 };
    server.send(30);
    eventually("the frames in the file", || {
        (pcap_records_so_far(&std::fs::read(&file).ok()?).len() == 30).then_some(())
    });
    assert!(server.capture("").is_empty());
    server.program.terminate();
}

#[test]
fn a_page_that_is_open_hears_of_new_figures() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    client.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = Vec::new();
    eventually("an event", || {
        let mut octets = [0; 1024];
        let len = read_some(&mut client, &mut octets);
        said.extend_from_slice(&octets[..len]);
        text(&said).contains("data: unknown\n\n").then_some(())
    });
    assert!(text(&said).contains("content-type: text/event-stream"));
    assert!(server.program.terminate() < SOON, "an open page holds nobody up");
}

/// Pages that many have left open leave room for a program that asks how it stands.
#[test]
fn many_open_pages_leave_room_for_others() {
    let mut server = Server::start(&[]);
    let open = || {
        let mut client = server.connect();
        client.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).unwrap();
        (text(&head), client)
    };
    let pages: Vec<_> = (0..129).map(|_| open()).collect();
    let (last, pages) = pages.split_last().unwrap();
    assert!(pages.iter().all(|(head, _)| head == "HTTP/1.1 200"));
    assert_eq!(last.0, "HTTP/1.1 503");
    assert_eq!(server.get("/healthz").status, 200);
    server.program.terminate();
}

#[test]
fn who_is_not_meant_is_not_answered() {
    let mut server = Server::start(&[]);
    let own = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    for host in ["localhost", "127.0.0.1:99", "[::1]", &own] {
        assert_eq!(server.ask("GET", "/healthz", host).status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example"] {
        assert_eq!(server.ask("GET", "/report.json", host).status, 421, "{host}");
    }
    let none = server.say("GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(none.status, 400);
    let two =
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(server.say(two).status, 400);
    for method in ["GET", "HEAD"] {
        assert_eq!(
            server.ask(method, "/capture.pcapng?last=x", "localhost").status,
            400,
            "{method}"
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(server.ask(method, "/", "localhost").status, 405, "{method}");
    }
    assert_eq!(server.get("/etc/passwd").status, 404);
    assert_eq!(server.get("/../Cargo.toml").status, 404);
    server.program.terminate();
}

#[test]
fn with_a_token_only_who_knows_it() {
    let dir = TempDir::new().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    let mut server = Server::start(&["--http-token", token.to_str().unwrap()]);
    for path in ["/", "/live.pcapng", "/metrics", "/?token=0123456789abcdef"] {
        let refused = server.get(path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
    }
    let page = server.get("/?token=0123456789abcdef0123456789abcdef");
    assert_eq!(page.status, 200);
    let bearer = "GET /metrics HTTP/1.1\r\nHost: pi.example\r\nConnection: close\r\n\
                  Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n";
    assert_eq!(server.say(bearer).status, 200);
    assert_eq!(server.get("/healthz").status, 200, "it is for machines that look after it");
    assert!(!server.program.stderr().join("\n").contains("0123456789abcdef"));
    server.program.terminate();

    std::fs::write(&token, "short").unwrap();
    let port = free_port().to_string();
    let args = ["sim:mstp", "--http", &port, "--http-token", token.to_str().unwrap()];
    let (code, _, stderr) = run(&args);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("holds no token"), "{stderr}");
}

/// Two trunks in one analysis would be one with two tokens: each has a page of its own, and one is on
/// both.
#[test]
fn of_two_ports_each_has_its_report_and_the_first_page_is_on_both() {
    let other = Pty::new();
    let mut server = Server::start(&[other.path()]);
    server.program.wait_for_nth(2, "reading mstp");
    for _ in 0..10 {
        other.send(&mstp(0, 5, 4, &[]));
    }
    server.send(20);
    eventually("all frames in the file", || (server.file().len() == 30).then_some(()));
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains(&format!("frames_total{{port=\"{}\"}} 10\n", other.path())),
        "{metrics}"
    );
    let json = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&server.get(path).body).unwrap_or_else(|_| panic!("{path}"))
    };
    let all = json("/report.json");
    let lines = all["lines"].as_array().unwrap();
    let frames: Vec<_> = [server.pty.path(), other.path()]
        .iter()
        .map(|port| {
            let line = lines.iter().find(|line| line["name"] == *port).unwrap();
            let path = line["path"].as_str().unwrap();
            let page = server.get(path).text();
            assert!(page.contains(port) && page.contains("MS/TP trunk report"), "{path}");
            assert!(server.get("/").text().contains(&format!("href=\"{}\"", &path[1..])));
            json(&format!("{path}report.json"))["frames"].clone()
        })
        .collect();
    assert_eq!(frames, [20, 10]);
    for path in ["/lines/", "/lines/x/", "/lines/x", "/lines//", "/lines/../"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    server.program.terminate();
}

/// A client that asks again and again is not cut off in an answer, one that takes none does not stay,
/// and readers are let in one after the other however fast they come.
#[test]
fn a_client_has_its_time_for_each_answer_and_no_longer() {
    if left_to_full_runs() {
        return;
    }
    let server = Server::start(&[]);
    let ask = "GET /capture.pcapng?last=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let end = |client: &mut TcpStream| {
        let mut octets = Vec::new();
        while !octets.ends_with(b"0\r\n\r\n") {
            let mut octet = [0];
            client.read_exact(&mut octet).expect("an answer");
            octets.extend(octet);
        }
    };
    let mut greedy = server.connect();
    greedy.write_all(ask.as_bytes()).unwrap();
    end(&mut greedy);
    // As much as fits: nothing is taken of what is answered.
    greedy.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let _ = greedy.write_all("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000).as_bytes());

    let begun = Instant::now();
    let poll = || {
        let (mut client, mut readers) = (server.connect(), 0);
        while begun.elapsed() < Duration::from_secs(40) {
            client.write_all(ask.as_bytes()).unwrap();
            end(&mut client);
            readers += 1;
        }
        readers
    };
    let readers: u64 = std::thread::scope(|scope| {
        let polls: Vec<_> = (0..8).map(|_| scope.spawn(poll)).collect();
        polls.into_iter().map(|poll| poll.join().unwrap()).sum()
    });
    let most = 108 + 50 * begun.elapsed().as_secs();
    assert!(readers <= most, "{readers} readers");
    let mut octets = Vec::new();
    let _ = greedy.read_to_end(&mut octets);
    let answers = octets.windows(9).filter(|it| it.eq_ignore_ascii_case(b"HTTP/1.1 ")).count();
    assert!(answers < 2000, "{answers} answers");
}

/// Half of them stall, at each place where a client can, the others talk nonsense.
/// As `nc -N` and programs do whose input is at its end.
#[test]
fn clients_that_say_no_more_are_answered() {
    let mut server = Server::start(&[]);
    server.send(30);
    eventually("the frames in the file", || (server.file().len() == 30).then_some(()));
    let ask = |path: &str| {
        let mut client = server.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut octets = Vec::new();
        client.read_to_end(&mut octets).unwrap();
        Answer::parse(&octets)
    };
    assert_eq!(ask("/metrics").status, 200);
    assert_eq!(records(&ask("/capture.pcapng").body).len(), 30);
    server.program.terminate();
}

/// A line that says nothing has nothing to write, which would tell.
#[test]
fn that_a_client_leaves_is_seen_on_a_quiet_line() {
    let mut server = Server::start(&[]);
    for round in 1..=3 {
        drop(server.reader());
        server.program.wait_for_nth(round, "its reader left");
    }
    server.program.terminate();
}

/// The last ones are for files and ports. It is told once, however many come.
#[test]
fn clients_leave_descriptors_to_others() {
    let mut server = Server::start(&[]);
    let pid = server.program.child.id();
    server.program.limit_descriptors(80);
    let crowd: Vec<_> = (0..100).map(|_| server.connect()).collect();
    server.program.wait_for("cannot serve another client: Too many open files");
    // Those that were turned away have been.
    let mut last = server.connect();
    assert!(!last.read(&mut [0]).is_ok_and(|len| len > 0));
    let used = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert!(used < 70, "{used} of 80");
    drop(crowd);
    eventually("an answer", || {
        let mut client = server.connect();
        client.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        client.read(&mut [0]).is_ok_and(|len| len > 0).then_some(())
    });
    server.program.terminate();
    let lines = server.program.stderr();
    let told = lines.iter().filter(|line| line.contains("another client")).count();
    assert_eq!(told, 1, "{lines:#?}");
}

#[test]
fn a_crowd_that_misbehaves_costs_the_capture_nothing() {
    let mut server = Server::start(&[]);
    let crowd = if full() { 200 } else { 60 };
    let mut random = Random(3);
    let mut clients = Vec::new();
    for number in 0..crowd {
        let mut client = server.connect();
        // A client that is hung up on may see that as it talks.
        let _ = match number % 6 {
            0 => client.write_all(b""),
            1 => client.write_all(b"GET /live.pcapng HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            2 => client.write_all(b"GET / HTTP/1.1\r\nHost: loc"),
            3 => client.write_all(&random.octets(5000)),
            4 => client.write_all(&vec![b'A'; 100_000]),
            _ => client.write_all("GET / HTTP/1.1\r\nX: \u{1f988}\r\n\r\n".repeat(50).as_bytes()),
        };
        clients.push(client);
        server.send(20);
    }
    eventually("all frames in the file", || {
        (server.file().len() as u32 == server.sent).then_some(())
    });
    assert_eq!(server.file(), numbered(server.sent));
    // Whoever comes now is answered, once those that say nothing were hung up on.
    let page = eventually("an answer", || {
        let mut client = server.connect();
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        client.write_all(request).ok()?;
        let mut octets = Vec::new();
        client.read_to_end(&mut octets).ok()?;
        (!octets.is_empty()).then(|| Answer::parse(&octets))
    });
    assert_eq!(page.status, 200);
    server.program.signal(Signal::TERM);
    assert!(server.program.wait().success());
}

#[test]
fn an_address_that_cannot_be_had_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, stderr) = run(&["sim:mstp", "--http", &port]);
    assert_eq!(code, 1);
    assert!(stderr.contains("cannot listen") && stderr.contains("choose another port"), "{stderr}");
    let (code, _, stderr) = run(&["sim:mstp", "--http", "http://localhost"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("takes a port such as 19000, or ADDR:PORT"), "{stderr}");
    let (code, _, stderr) = run(&["sim:mstp", "--http-token", "x"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--http"), "{stderr}");
}

#[test]
fn everybody_may_read_is_said() {
    let port = free_port();
    let mut program = Program::start(["sim:mstp", "--http", &format!("0.0.0.0:{port}")]);
    program.wait_for("anyone who can reach this address can read the bus");
    program.terminate();
}
