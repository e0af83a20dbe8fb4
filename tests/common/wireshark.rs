//! Wireshark's part of its dialogue with the program: a home with its folders, and a FIFO that is read.
#![allow(dead_code)] // each test file uses a part
#![allow(missing_docs, clippy::unwrap_used)]

use crate::common::{LONG, Program, readable, text, tool};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// How soon a capture ends, and what a loaded machine may take instead.
pub const STOP: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// A home where nothing is installed.
pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn with_link() -> Self {
        let home = Self::new();
        let (code, said) = home.manage(&["--install"]);
        assert_eq!(code, 0, "{said}");
        home
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn dress(&self, mut command: Command) -> Command {
        command.env("HOME", self.path()).env("XDG_CONFIG_HOME", self.path().join("config"));
        command.env("TMPDIR", self.path());
        command
    }

    /// The links, for 4.2 and later, and for earlier Wiresharks.
    pub fn links(&self) -> [PathBuf; 2] {
        [".local/lib", "config"]
            .map(|dir| self.path().join(dir).join("wireshark/extcap/serialshark"))
    }

    pub fn manage(&self, args: &[&str]) -> (i32, String) {
        let mut command = self.dress(Program::command());
        let output = command.arg("extcap").args(args).output().unwrap();
        (output.status.code().unwrap(), text(&output.stderr))
    }

    /// tshark's run to its end; killed, and so a failure, if that does not come.
    pub fn tshark(&self, args: &[&str]) -> Option<Output> {
        tool("tshark")?;
        let mut command = self.dress(Command::new("timeout"));
        command.args(["--signal=KILL", "30", "tshark"]).args(args);
        Some(command.output().unwrap())
    }
}

/// Reports a time that is asked to be below `limits.0`, and fails above `limits.1`.
pub fn judge(what: &str, took: Duration, limits: (Duration, Duration)) {
    let over = if took > limits.0 { ", TOO LONG on an idle machine" } else { "" };
    eprintln!("{what}: {:.1} ms{over}", took.as_secs_f64() * 1e3);
    assert!(took < limits.1, "{what}: {took:?}");
}

/// A FIFO that its reader has opened as dumpcap does, and a capture that feeds it.
pub struct Capture {
    pub program: Program,
    pub reader: Option<OwnedFd>,
    _dir: tempfile::TempDir,
}

impl Capture {
    pub fn start(interface: &str, more: &[&str]) -> Self {
        Self::start_by(Program::command(), interface, more)
    }

    pub fn start_by(mut command: Command, interface: &str, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let reader = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        let path = path.to_str().unwrap();
        let args = ["--capture", "--extcap-interface", interface, "--fifo", path];
        command.args(args).args(more);
        let program = Program::spawn(command);
        Self { program, reader: Some(reader), _dir: dir }
    }

    /// Closes the FIFO; the program has to end in time, well and silently.
    pub fn is_left(&mut self) {
        let start = Instant::now();
        self.reader = None;
        assert_eq!(self.program.wait().code(), Some(0));
        judge("closed FIFO", start.elapsed(), STOP);
        assert!(self.program.stderr().is_empty());
    }

    /// Reads until `enough` says so, or to the end of the stream.
    pub fn read_until(&self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + LONG;
        let mut octets = Vec::new();
        let mut chunk = [0; 65536];
        while !enough(&octets) {
            assert!(readable(self.reader.as_ref().unwrap(), deadline), "have {}", octets.len());
            match rustix::io::read(self.reader.as_ref().unwrap(), &mut chunk) {
                Ok(0) => break,
                Ok(len) => octets.extend_from_slice(&chunk[..len]),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => panic!("{errno}"),
            }
        }
        octets
    }
}
