//! `--http`: the page, its figures, and captures that are fetched; from clients that behave, and from
//! those that do not.
#![cfg(feature = "http")]
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::*;
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{PcapBlockOwned, PcapNGSlice};
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
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
    std::os::unix::fs::symlink(pty.path(), &link).unwrap();
    let http = port.to_string();
    let program = Program::start([link.to_str().unwrap(), "--http", &http]);
    program.wait_for("reading mstp");
    std::fs::remove_file(&link).unwrap();
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
    assert!(server.program.terminate() < Duration::from_secs(2));
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

#[test]
fn a_page_that_is_open_hears_of_new_figures() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    client.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = Vec::new();
    eventually("an event", || {
        let mut octets = [0; 1024];
        let len = client.read(&mut octets).unwrap();
        said.extend_from_slice(&octets[..len]);
        text(&said).contains("data: unknown\n\n").then_some(())
    });
    assert!(text(&said).contains("content-type: text/event-stream"));
    assert!(server.program.terminate() < Duration::from_secs(2), "an open page holds nobody up");
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

/// Half of them stall, at each place where a client can, the others talk nonsense.
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
