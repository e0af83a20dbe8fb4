//! Trunks of a NATS server in Wireshark's interface list: `extcap --install --nats`.
#![cfg(all(target_os = "linux", feature = "nats"))]

use crate::common::*;
use crate::nats_server::*;
use crate::wireshark::*;
use rustix::process::Signal;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ONE: &str = "serialshark-nats-campus.one";
/// How long a list may take while the server is away, and on a loaded machine.
const LIST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(4));

/// Programs that store a trunk each.
struct Trunks {
    trunks: Vec<(Program, Pty)>,
    dir: TempDir,
    sent: u32,
}

impl Trunks {
    fn start(nats: &Nats, names: &[&str], more: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let start = |name: &&str| {
            let (pty, url) = (Pty::new(), nats.url(name).replace("//", "//me@"));
            let file = dir.path().join(format!("{name}.pcapng"));
            let to = ["-b", "38400", "--nats", &url, "-w", file.to_str().unwrap()];
            let program = Program::start([&[pty.path()], &to[..], more].concat());
            program.wait_for("connected");
            (program, pty)
        };
        let trunks = names.iter().map(start).collect();
        Self { trunks, dir, sent: 0 }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.pcapng"))
    }

    /// One frame more on each.
    fn say(&mut self) {
        self.trunks.iter().for_each(|(_, pty)| pty.send(&numbered_frame(self.sent)));
        self.sent += 1;
    }
}

/// A server that wants a password, and the file that it is in.
fn guarded() -> Option<(Nats, TempDir, String)> {
    let nats = Nats::with(
        "jetstream { store_dir: \"DIR/store\" }\nauthorization { user: me, password: s3cret }",
    )?;
    let dir = TempDir::new().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, "s3cret\n").unwrap();
    let password = password.to_str().unwrap().to_owned();
    Some((nats, dir, password))
}

/// What Wireshark is told of interfaces, and what is said beside that.
fn list(home: &Home) -> (String, String) {
    let mut command = home.dress(Program::command());
    let output = command.arg("--extcap-interfaces").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    (text(&output.stdout), text(&output.stderr))
}

fn settings(home: &Home) -> PathBuf {
    home.path().join("config/serialshark/extcap.toml")
}

#[test]
fn the_trunks_of_a_server_are_interfaces_that_packets_come_from_live() {
    let Some((nats, _dir, password)) = guarded() else { return };
    let key = ["--nats-password-file", &password];
    let mut trunks = Trunks::start(&nats, &["campus.one", "campus.two", "other.three"], &key);
    trunks.say();
    for name in ["campus.one", "campus.two", "other.three"] {
        wait_until_stored(&nats.url(name).replace("//", "//me@"), 1, &key);
    }
    let home = Home::new();
    let url = nats.url("campus.*").replace("//", "//me@");
    let (code, said) = home.manage(&[&["--install", "--nats", &url], &key[..]].concat());
    assert!(code == 0 && said.contains("has campus.one, campus.two\n"), "{said}");

    let (listed, said) = list(&home);
    assert_eq!(said, "");
    let place = nats.url("");
    let of = |name: &str| {
        let display = format!("Trunk campus.{name} on {}", place.trim_end_matches('/'));
        format!("interface {{value=serialshark-nats-campus.{name}}}{{display={display}}}\n")
    };
    assert!(listed.ends_with(&format!("{}{}", of("one"), of("two"))), "{listed}");
    for question in ["--extcap-dlts", "--extcap-config"] {
        let mut command = home.dress(Program::command());
        let output = command.args([question, "--extcap-interface", ONE]).output().unwrap();
        let said = text(&output.stdout);
        let expected = if question == "--extcap-dlts" { "name=mstp" } else { "call=--history" };
        assert!(said.contains(expected) && output.stderr.is_empty(), "{output:?}");
    }

    let mut live = Capture::start_by(home.dress(Program::command()), ONE, &[]);
    let mut past = Capture::start_by(home.dress(Program::command()), ONE, &["--history", "600"]);
    // The header comes when the trunk is read.
    let mut got = live.read_until(|octets| octets.len() > 100);
    let args = fs::read(format!("/proc/{}/cmdline", live.program.child.id())).unwrap();
    assert!(!text(&args).contains("nats:"), "{}", text(&args));
    let had = packets(&fs::read(trunks.file("campus.one")).unwrap()).len();
    (0..40).for_each(|_| trunks.say());
    let all = had + 40;
    got.extend(live.read_until(|octets| octets_hold(octets, trunks.sent - 1)));
    let all_got = past.read_until(|octets| packets(octets).len() >= all);
    live.is_left();
    past.is_left();
    let local = packets(&fs::read(trunks.file("campus.one")).unwrap());
    assert_same(&packets(&got), &local[had..]);
    assert_same(&packets(&all_got), &local);
}

fn octets_hold(octets: &[u8], number: u32) -> bool {
    let frame = numbered_frame(number);
    octets.windows(frame.len()).any(|window| window == frame)
}

#[test]
fn tshark_lists_trunks_and_captures_from_one() {
    let Some((nats, _dir, password)) = guarded() else { return };
    let key = ["--nats-password-file", &password];
    let mut trunks = Trunks::start(&nats, &["campus.one"], &key);
    let home = Home::new();
    let url = nats.url("").trim_end_matches('/').replace("//", "//me@");
    let (code, said) = home.manage(&[&["--install", "--nats", &url], &key[..]].concat());
    assert_eq!(code, 0, "{said}");
    let Some(output) = home.tshark(&["-D"]) else { return };
    assert!(text(&output.stdout).contains(&format!("{ONE} (Trunk campus.one on nats://")));
    // There is something to be seen at any time.
    let is_over = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                trunks.say();
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        let output = home.tshark(&["-i", ONE, "-c", "10"]);
        is_over.store(true, Ordering::Relaxed);
        output.unwrap()
    });
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout).lines().count(), 10, "{output:?}");
    assert!(text(&output.stdout).contains("MS/TP"), "{output:?}");
    assert!(!text(&output.stderr).contains("Error by extcap"), "{output:?}");
}

#[test]
fn a_server_that_is_away_costs_the_list_its_trunks_alone() {
    // One takes connections and says nothing; the name of another has no address.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("127.0.0.1:{}", silent.local_addr().unwrap().port());
    let refused = format!("127.0.0.1:{}", free_port());
    let home = Home::new();
    let mut servers = vec![silent, refused, "nowhere.invalid".to_owned()];
    let nats = Nats::start();
    if let Some(nats) = &nats {
        nats.signal(Signal::STOP);
        servers.push(format!("127.0.0.1:{}", nats.port));
    }
    for place in servers {
        let (code, said) = home.manage(&["--install", "--nats", &format!("nats://{place}")]);
        assert!(code == 0 && said.contains("its trunks are not listed: "), "{said}");
        let start = Instant::now();
        let (listed, said) = list(&home);
        judge(&place, start.elapsed(), LIST);
        assert!(listed.contains("{value=serialshark-sim-mstp}"), "{listed}");
        assert!(!listed.contains("serialshark-nats-"), "{listed}");
        assert!(said.starts_with(&format!("serialshark: nats://{place}")), "{said}");
        assert!(said.lines().count() == 1 && said.contains("are not listed: "), "{said}");
    }
    if let Some(nats) = nats {
        nats.signal(Signal::CONT);
        let (listed, said) = list(&home);
        assert!(!listed.contains("serialshark-nats-") && said.is_empty(), "{listed}{said}");
    }
}

#[test]
fn a_capture_from_a_trunk_that_is_not_there_is_one_line() {
    let home = Home::new();
    let fails = |home: &Home, why: &str| {
        let mut capture = Capture::start_by(home.dress(Program::command()), ONE, &[]);
        let said = capture.program.wait_for(why);
        assert!(said.starts_with("serialshark: ") && !said.contains("s3cret"), "{said}");
        assert_eq!(capture.program.wait().code(), Some(1));
        assert_eq!(capture.program.stderr().len(), 1);
        assert!(readable(capture.reader.as_ref().unwrap(), Instant::now()), "{why}");
    };
    fails(&home, "serialshark extcap --install --nats");
    let url = format!("nats://me:s3cret@127.0.0.1:{}", free_port());
    assert_eq!(home.manage(&["--install", "--nats", &url]).0, 0);
    fails(&home, "Connection refused");
    fs::write(settings(&home), "nats = \"nats://me:s3cret@\"\n").unwrap();
    fails(&home, "expected HOST");
    fs::write(settings(&home), "nats = nats://me:s3cret@h\n").unwrap();
    fails(&home, "install again");
    let (listed, said) = list(&home);
    assert!(listed.contains("serialshark-sim-mstp") && said.contains("install again"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn the_address_is_kept_where_nobody_else_reads_it_and_goes_with_the_links() {
    let home = Home::new();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let install = |url: &str| home.manage(&["--install", "--nats", url]);
    let port = free_port();
    assert_eq!(install(&format!("nats://me:s3cret@127.0.0.1:{port}")).0, 0);
    let path = settings(&home);
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    // One that others could read is replaced by one that they cannot.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = install(&format!("nats://me:s3cret2@127.0.0.1:{port}/campus.*"));
    assert!(code == 0 && !said.contains("s3cret"), "{said}");
    assert_eq!(mode(&path), 0o600);
    assert!(fs::read_to_string(&path).unwrap().contains("s3cret2"));
    // Links alone leave it as it is.
    assert_eq!(home.manage(&["--install"]).0, 0);
    assert!(path.exists());
    assert_eq!(home.manage(&["--uninstall"]).0, 0);
    assert!(!path.parent().unwrap().exists());
    assert_eq!(list(&home).1, "");

    for (args, why) in [
        (&["--install", "--nats", "nats://u:s3cret@"][..], "expected HOST"),
        (&["--install", "--nats", "nats://h/campus"], "a site and a trunk"),
        (&["--install", "--nats-creds", "x"], "need nats://"),
        (&["--install", "--nats", "nats://h", "--nats-creds", "/none"], "cannot read"),
        (&["--install", "--nats", "nats://h", "--nats-password-file", "x"], "needs a user"),
        (&["--uninstall", "--nats", "nats://h"], "cannot be used with"),
        (&["--nats", "nats://h"], "--install"),
        (&["--install", "--uninstall"], "cannot be used with"),
    ] {
        let (code, said) = home.manage(args);
        assert!(code == 2 && said.contains(why) && !said.contains("s3cret"), "{said}");
    }
    assert!(!path.exists() && home.links().iter().all(|link| !link.is_symlink()));
}
