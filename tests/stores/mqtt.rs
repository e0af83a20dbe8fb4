//! `--mqtt`: what a broker hears of a line, judged by mosquitto and its own subscriber.
#![cfg(all(unix, feature = "mqtt"))]

use crate::certificates::Certificates;
use crate::common::*;
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything takes on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

/// mosquitto on a port of the loopback, ended with this.
struct Mosquitto {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl Mosquitto {
    /// `None`, and that is said, where it is not installed. With `password` only `me` may in.
    fn start(password: Option<&str>) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let Some(password) = password else { return Self::with("allow_anonymous true\n", dir) };
        tool_without_version("mosquitto_passwd")?;
        let file = dir.path().join("passwords");
        let status = Command::new("mosquitto_passwd")
            .args(["-c", "-b", file.to_str().unwrap(), "me", password])
            .status();
        assert!(status.unwrap().success());
        Self::with(&format!("password_file {}\n", file.display()), dir)
    }

    /// With these lines of configuration on its listener.
    fn with(lines: &str, dir: TempDir) -> Option<Self> {
        let (mut mosquitto, _) =
            (tool_without_version("mosquitto")?, tool_without_version("mosquitto_sub")?);
        let port = free_port();
        let config = format!("user root\nlistener {port} 127.0.0.1\n{lines}");
        std::fs::write(dir.path().join("config"), config).unwrap();
        let child = Self::spawn(&mut mosquitto, dir.path(), port);
        Some(Self { child, dir, port })
    }

    fn spawn(mosquitto: &mut Command, dir: &Path, port: u16) -> Child {
        let child = mosquitto
            .arg("-c")
            .arg(dir.join("config"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the broker", || TcpStream::connect(("127.0.0.1", port)).ok());
        child
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        let mut mosquitto = tool_without_version("mosquitto").unwrap();
        self.child = Self::spawn(&mut mosquitto, self.dir.path(), self.port);
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}/site/trunk1", self.port)
    }

    /// Listens to all topics.
    fn subscribe(&self, login: &[&str]) -> Subscriber {
        let port = self.port.to_string();
        let mut child = tool_without_version("mosquitto_sub")
            .unwrap()
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "#", "-F", "%r %t %p"])
            .args(login)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, heard) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
        });
        Subscriber { child, heard, past: Vec::new() }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each message is a line: whether it was retained from before, topic, text.
struct Subscriber {
    child: Child,
    heard: Receiver<String>,
    past: Vec<String>,
}

impl Subscriber {
    /// Waits for the next message that begins like this, and returns the rest of it.
    fn wait_for(&mut self, begin: &str) -> String {
        loop {
            let line = self.heard.recv_timeout(LONG);
            let line = line.unwrap_or_else(|_| panic!("no {begin} after {:#?}", self.past));
            self.past.push(line.clone());
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.to_owned();
            }
        }
    }

    fn texts(&self, topic: &str) -> Vec<Value> {
        let begin = format!("0 {topic} ");
        let texts = self.past.iter().filter_map(|line| line.strip_prefix(&begin));
        texts.map(|text| serde_json::from_str(text).unwrap()).collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A trunk in which node 9 gets each token twice.
fn sick_trunk() -> Vec<u8> {
    let round = [mstp(0, 4, 1, b""), mstp(0, 9, 4, b""), mstp(0, 9, 4, b""), mstp(0, 1, 9, b"")];
    round.concat().repeat(500)
}

#[test]
fn a_broker_has_the_report_the_figures_and_each_finding() {
    let Some(mosquitto) = Mosquitto::start(None) else { return };
    let mut subscriber = mosquitto.subscribe(&[]);
    let (dir, pty) = (TempDir::new().unwrap(), Pty::new());
    let capture = dir.path().join("trunk.pcapng");
    let mut program = Program::start([
        pty.path(),
        "-b",
        "38400",
        "-w",
        capture.to_str().unwrap(),
        "-c",
        "2000",
        "--mqtt",
        &mosquitto.url(),
        "--mqtt-discovery",
    ]);
    subscriber.wait_for("0 site/trunk1/status online");
    pty.send(&sick_trunk());
    assert!(program.wait().success());
    subscriber.wait_for("0 site/trunk1/status offline");

    // Who comes later has the same as who was there.
    let mut later = mosquitto.subscribe(&[]);
    let report = later.wait_for("1 site/trunk1/report ");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(subscriber.texts("site/trunk1/report").last(), Some(&report));
    let (_, printed, _) = run(&["report", "--json", capture.to_str().unwrap()]);
    let mut printed: Value = serde_json::from_slice(&printed).unwrap();
    printed["baud_from"] = "user".into();
    assert_eq!(report, printed);
    assert_eq!(report["frames"], 2000);

    let findings = report["findings"].as_array().unwrap();
    let told = subscriber.texts("site/trunk1/findings");
    assert!(!findings.is_empty());
    assert_eq!(
        told.iter().map(|it| &it["finding"]).collect::<Vec<_>>(),
        findings.iter().collect::<Vec<_>>()
    );
    assert!(told.iter().all(|it| it["event"] == "begin"));
    assert_eq!(subscriber.texts("site/trunk1/frames").last(), Some(&2000.into()));
    let sensors: Vec<_> =
        subscriber.past.iter().filter(|line| line.contains(" homeassistant/sensor/")).collect();
    assert_eq!(sensors.len(), 3, "{sensors:?}");
}

/// Each of two lines is told of below a prefix of its own, whichever is sick.
#[test]
fn each_of_two_ports_has_a_prefix_of_its_own() {
    let Some(mosquitto) = Mosquitto::start(None) else { return };
    let (dir, healthy, sick) = (TempDir::new().unwrap(), Pty::new(), Pty::new());
    let link = |name: &str, pty: &Pty| {
        let path = dir.path().join(name);
        pty.name(&path);
        path.to_str().unwrap().to_owned()
    };
    let (west, east) = (link("west", &healthy), link("east", &sick));
    let url = mosquitto.url().replace("trunk1", "{port}");
    let mut subscriber = mosquitto.subscribe(&[]);
    let capture = dir.path().join("both.pcapng");
    let capture = capture.to_str().unwrap();
    let args = [&*west, &*east, "-b", "38400", "-c", "2003", "-w", capture, "--mqtt", &url];
    let mut program = Program::start(args);
    subscriber.wait_for("0 site/east/status online");
    healthy.send(&[mstp(0, 1, 2, b""), mstp(0, 2, 1, b""), mstp(0, 1, 2, b"")].concat());
    sick.send(&sick_trunk());
    assert!(program.wait().success());
    let report = |port: &str| -> Value {
        let report = mosquitto.subscribe(&[]).wait_for(&format!("1 site/{port}/report "));
        serde_json::from_str(&report).unwrap()
    };
    let (east, west) = (report("east"), report("west"));
    assert_eq!((&east["frames"], &west["frames"]), (&2000.into(), &3.into()));
    subscriber.wait_for("0 site/east/status offline");
    let of = |port: &str| subscriber.texts(&format!("site/{port}/findings")).len();
    assert!(!east["findings"].as_array().unwrap().is_empty());
    assert_eq!(of("east"), east["findings"].as_array().unwrap().len());
    assert_eq!(of("west"), 0, "{:#?}", subscriber.past);
}

#[test]
fn a_death_is_told_by_the_last_will_and_a_broker_that_was_away_is_told_all_again() {
    let Some(mut mosquitto) = Mosquitto::start(None) else { return };
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-b", "38400", "--mqtt", &mosquitto.url()]);
    program.wait_for("trunk1: connected");
    mosquitto.kill();
    program.wait_for("no connection to the broker");
    mosquitto.start_again();
    program.wait_for("trunk1: connected again");
    let mut subscriber = mosquitto.subscribe(&[]);
    let report = eventually("a report", || {
        let line = subscriber.heard.recv_timeout(LONG).unwrap();
        line.split_once("site/trunk1/report ").map(|(_, report)| report.to_owned())
    });
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["frames"], 0);
    program.signal(Signal::KILL);
    program.wait();
    subscriber.wait_for("0 site/trunk1/status offline");
    let lines = program.stderr();
    assert_eq!(lines.iter().filter(|line| line.contains("no connection")).count(), 1, "{lines:#?}");
}

/// The broker holds a connection for open that is lost at our end, as a network does it whose path has
/// changed; its last will must not be the last word.
#[test]
fn a_connection_that_the_broker_has_not_missed_yet_makes_nobody_offline() {
    let Some(mosquitto) = Mosquitto::start(None) else { return };
    let between = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = mosquitto
        .url()
        .replace(&mosquitto.port.to_string(), &between.local_addr().unwrap().port().to_string());
    let broker = mosquitto.port;
    let (sender, connections) = channel();
    std::thread::spawn(move || {
        for client in between.incoming().map_while(Result::ok) {
            let broker = TcpStream::connect(("127.0.0.1", broker)).unwrap();
            let pump = |mut from: TcpStream, mut to: TcpStream| {
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            };
            pump(client.try_clone().unwrap(), broker.try_clone().unwrap());
            pump(broker.try_clone().unwrap(), client.try_clone().unwrap());
            if sender.send((client, broker)).is_err() {
                return;
            }
        }
    });
    let mut subscriber = mosquitto.subscribe(&[]);
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-b", "38400", "--mqtt", &url]);
    subscriber.wait_for("0 site/trunk1/status online");
    // The broker's end stays open.
    let (client, _broker) = connections.recv().unwrap();
    client.shutdown(Shutdown::Both).unwrap();
    program.wait_for("trunk1: connected again");
    subscriber.wait_for("0 site/trunk1/status offline");
    subscriber.wait_for("0 site/trunk1/status online");
    program.terminate();
}

#[test]
fn a_password_comes_from_a_file_and_a_wrong_one_is_told_once() {
    let Some(mosquitto) = Mosquitto::start(Some("s3cret")) else { return };
    let (dir, pty) = (TempDir::new().unwrap(), Pty::new());
    let file = dir.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let url = mosquitto.url().replace("//", "//me@");
    let args = [pty.path(), "-b", "38400", "--mqtt", &url, "--mqtt-password-file"];
    let mut program = Program::start(args.into_iter().chain([file.to_str().unwrap()]));
    program.wait_for("trunk1: connected");
    mosquitto.subscribe(&["-u", "me", "-P", "s3cret"]).wait_for("1 site/trunk1/status online");
    program.terminate();
    assert!(!program.stderr().concat().contains("s3cret"));

    let url = mosquitto.url().replace("//", "//me:wr0ng@");
    let mut program = Program::start([pty.path(), "-b", "38400", "-vv", "--mqtt", &url]);
    program.wait_for("everybody on this machine sees a password that is typed");
    program.wait_for("it refuses this user or password");
    assert!(program.terminate() < SOON);
    assert!(!program.stderr().concat().contains("wr0ng"), "{:#?}", program.stderr());
}

#[test]
fn a_broker_that_is_away_or_stopped_does_not_keep_the_program() {
    let pty = Pty::new();
    let strange = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = strange.local_addr().unwrap().port();
    let url = format!("mqtt://127.0.0.1:{port}/a");
    let mut program = Program::start([pty.path(), "-b", "38400", "--mqtt", &url]);
    // Held open: what is thrown away unread would be a reset.
    let (mut client, _) = strange.accept().unwrap();
    client.write_all("HTTP/1.1 400 Bad Request\r\n".repeat(10).as_bytes()).unwrap();
    program.wait_for("it does not speak MQTT at this port: it may want TLS, mqtts://; it is tried");
    program.terminate();

    let nobody = format!("mqtt://127.0.0.1:{}/a", free_port());
    let mut program = Program::start([pty.path(), "-b", "38400", "--mqtt", &nobody]);
    program.wait_for("no connection to the broker: Connection refused; it is tried again");
    assert!(program.terminate() < SOON);

    let Some(mosquitto) = Mosquitto::start(None) else { return };
    let mut program = Program::start([pty.path(), "-b", "38400", "--mqtt", &mosquitto.url()]);
    program.wait_for("trunk1: connected");
    mosquitto.signal(Signal::STOP);
    assert!(program.terminate() < SOON);
    mosquitto.signal(Signal::CONT);
    mosquitto.subscribe(&[]).wait_for("1 site/trunk1/status offline");
}

#[test]
fn what_cannot_be_is_said_before_anything_begins() {
    let refused = |args: &[&str], why: &str| {
        let (code, _, stderr) = run(&[&["sim:mstp", "-c", "1", "--mqtt"], args].concat());
        assert!(code == 2 && stderr.contains(why), "{args:?}: {stderr}");
        assert!(!stderr.contains("s3cret"), "{stderr}");
    };
    refused(&["broker"], "expected mqtt://");
    refused(&["mqtts://me:s3cret@h"], "a prefix for the topics is missing");
    refused(&["mqtt://h/a", "--mqtt-ca", "Cargo.toml"], "--mqtt-ca is for TLS: mqtts://");
    refused(&["mqtts://h/a", "--mqtt-ca", "/none"], "cannot read");
    refused(&["mqtts://h/a", "--mqtt-ca", "Cargo.toml"], "no certificate in it");
    refused(&["mqtt://me:s3cret@h"], "a prefix for the topics is missing");
    refused(&["mqtt://h/a/#"], "no wildcards");
    refused(&["mqtt://h/a", "sim:mstp"], "mqtt://HOST/SITE/{port}");
    refused(&["mqtt://h/{port}", "sim:mstp"], "would both be sim-mstp");
    refused(&["mqtt://h/a", "--mqtt-password-file", "/none"], "needs a user");
    refused(&["mqtt://me@h/a", "--mqtt-password-file", "/none"], "cannot read");
    refused(&["mqtt://me@h/a", "--mqtt-password-file", "/dev/zero"], "it is too long");
}

/// The broker's certificate must be of the authority that was named, and valid today.
#[cfg(target_os = "linux")]
#[test]
fn through_tls_with_a_certificate_that_is_checked() {
    let Some(certificates) = Certificates::new() else { return };
    let broker = |certificate: &str| {
        Mosquitto::with(
            &format!(
                "allow_anonymous true\ncertfile {}\nkeyfile {}\n",
                certificates.path(certificate),
                certificates.path("server.key")
            ),
            TempDir::new().unwrap(),
        )
    };
    let Some(good) = broker("good.pem") else { return };
    let ours = certificates.path("ours.pem");
    let pty = Pty::new();
    let start = |url: &str, authority: Option<&str>| {
        let authority = authority.into_iter().flat_map(|path| ["--mqtt-ca", path]);
        let args = [pty.path(), "-b", "38400", "--mqtt", url];
        Program::start(args.into_iter().chain(authority))
    };
    let tls = |mosquitto: &Mosquitto| mosquitto.url().replacen("mqtt", "mqtts", 1);
    let mut program = start(&tls(&good), Some(&ours));
    program.wait_for("trunk1: connected");
    good.subscribe(&["--cafile", &ours]).wait_for("1 site/trunk1/status online");
    program.terminate();

    let (Some(expired), Some(plain)) = (broker("expired.pem"), Mosquitto::start(None)) else {
        return;
    };
    let strange = certificates.path("strange.pem");
    for (url, authority, why) in [
        (tls(&good), Some(&strange), "name who has with --mqtt-ca"),
        (tls(&good), None, "name who has with --mqtt-ca"),
        (tls(&good).replace("127.0.0.1", "localhost"), Some(&ours), "for another name"),
        (tls(&expired), Some(&ours), "it has expired, or the clock"),
        (tls(&plain), Some(&ours), "no connection to the broker"),
        (good.url(), None, "it may want TLS"),
    ] {
        let mut program = start(&url, authority.map(String::as_str));
        let told = program.wait_for("no connection to the broker");
        assert!(told.contains(why), "{told}");
        println!("{told}");
        program.terminate();
    }
}
