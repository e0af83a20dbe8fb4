//! A real nats-server, and who asks it without the program's client.
#![allow(dead_code)] // each test file uses a part
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

use crate::common::{eventually, run, text, tool_without_version};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// nats-server on a port of the loopback that it chose itself, ended with this.
pub struct Nats {
    child: Child,
    pub dir: TempDir,
    pub port: u16,
}

impl Nats {
    /// With JetStream. `None`, and that is said, where it is not installed.
    pub fn start() -> Option<Self> {
        Self::with("jetstream { store_dir: \"DIR/store\" }")
    }

    /// With this configuration, in which `DIR` is a directory of its own.
    pub fn with(config: &str) -> Option<Self> {
        let server = tool_without_version("nats-server")?;
        let dir = TempDir::new().unwrap();
        let config = config.replace("DIR", dir.path().to_str().unwrap());
        std::fs::write(dir.path().join("config"), config).unwrap();
        let child = Self::spawn(server, dir.path(), "-1");
        let port = eventually("the server's port", || {
            let file = format!("nats-server_{}.ports", child.id());
            let ports = std::fs::read_to_string(dir.path().join(file)).ok()?;
            let at = ports.find("127.0.0.1:")? + "127.0.0.1:".len();
            ports[at..].split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        });
        let server = Self { child, dir, port };
        server.wait_until_ready();
        Some(server)
    }

    fn spawn(mut server: Command, dir: &Path, port: &str) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
        server
            .args(["-a", "127.0.0.1", "-p", port, "--ports_file_dir"])
            .arg(dir)
            .arg("-c")
            .arg(dir.join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn wait_until_ready(&self) {
        eventually("the server", || {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            BufReader::new(stream).read_line(&mut String::new()).ok().filter(|len| *len > 0)
        });
    }

    /// What it said up to now.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// As a power cut does it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port, with what it has stored.
    pub fn start_again(&mut self) {
        let server = tool_without_version("nats-server").unwrap();
        self.child = Self::spawn(server, self.dir.path(), &self.port.to_string());
        self.wait_until_ready();
    }

    pub fn url(&self, trunk: &str) -> String {
        format!("nats://127.0.0.1:{}/{trunk}", self.port)
    }

    /// What it answers, word for word.
    pub fn request(&self, subject: &str, body: &str) -> String {
        request(self.port, "{\"verbose\":false}", subject, body)
    }

    /// A figure of the state of a trunk's stream, such as `messages`.
    pub fn state(&self, trunk: &str, figure: &str) -> Option<u64> {
        let stream = format!("serialshark+{}", trunk.replace('.', "+"));
        let info = self.request(&format!("$JS.API.STREAM.INFO.{stream}"), "");
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        info["state"][figure].as_u64()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("nats-server said:\n{}", self.log());
        }
    }
}

/// One request, by the text protocol itself.
pub fn request(port: u16, connect: &str, subject: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let len = body.len();
    let asked = format!(
        "CONNECT {connect}\r\nSUB _INBOX.me 1\r\nPUB {subject} _INBOX.me {len}\r\n{body}\r\n"
    );
    stream.write_all(asked.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "hung up on {subject}");
        if let Some(message) = line.strip_prefix("MSG ") {
            let len = message.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
            let mut answer = vec![0; len];
            stream.read_exact(&mut answer).unwrap();
            return text(&answer);
        }
        assert!(!line.starts_with("-ERR"), "{line}");
    }
}

/// A pcapng file's blocks, whole, without the part of one at its end.
pub fn blocks(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    while let Some(len) = file.get(4..8) {
        let len = u32::from_ne_bytes(len.try_into().unwrap()) as usize;
        let Some(block) = file.get(..len) else { break };
        blocks.push(block.to_vec());
        file = &file[len..];
    }
    blocks
}

/// The packets among them.
pub fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let is_packet = |block: &Vec<u8>| block[..4] == 6u32.to_ne_bytes();
    blocks(file).into_iter().filter(is_packet).collect()
}

/// Their octets alone. What comes faster than a line can carry it is dated back, so packets of two
/// programs, or of two runs, may overlap in time; a reader then moves times, and says so.
pub fn octets(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let octets = |packet: &Vec<u8>| {
        let len = u32::from_ne_bytes(packet[20..24].try_into().unwrap()) as usize;
        packet[28..28 + len].to_vec()
    };
    packets.iter().map(octets).collect()
}

/// A time as options take it.
pub fn written(ns: u64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(ns as i64);
    time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}

pub fn now() -> String {
    written(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64)
}

/// All that is stored of a trunk, as pcapng.
pub fn stored(url: &str, more: &[&str]) -> Vec<u8> {
    try_stored(url, more).unwrap_or_else(|stderr| panic!("{stderr}"))
}

/// The same, or what was said where there is nothing.
pub fn try_stored(url: &str, more: &[&str]) -> Result<Vec<u8>, String> {
    let args = [url, "--since", "1d", "--to", &now(), "-w", "-", "--format", "pcapng"];
    let (code, octets, stderr) = run(&[&args, more].concat());
    if code == 0 { Ok(octets) } else { Err(stderr) }
}

/// Waits until so many packets of a trunk are stored, or more, and returns them.
pub fn wait_until_stored(url: &str, count: usize, more: &[&str]) -> Vec<Vec<u8>> {
    eventually("the last packet in the store", || {
        let stored = packets(&try_stored(url, more).ok()?);
        (stored.len() >= count).then_some(stored)
    })
}

/// Waits until a trunk has as many packets as this file, and compares both.
pub fn check_stored(url: &str, local: &Path, more: &[&str]) {
    let local = packets(&std::fs::read(local).unwrap());
    assert_same(&wait_until_stored(url, local.len(), more), &local);
}

/// Both are the same packets.
pub fn assert_same(stored: &[Vec<u8>], local: &[Vec<u8>]) {
    if let Some(at) = stored.iter().zip(local).position(|(stored, local)| stored != local) {
        panic!("no. {at} is {:02x?}\nand not {:02x?}", stored[at], local[at]);
    }
    assert_eq!(stored.len(), local.len());
}
