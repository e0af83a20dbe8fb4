//! The recipes of README.md and docs/recipes.md, each run as it is written there.
//!
//! Only names are replaced: ports by ports of the test, /tmp by a directory of its own, TCP
//! ports by free ones. `wireshark` is tshark that ends after a few packets, and the other machine
//! is this one, by way of a real sshd with keys of its own.

use crate::common::*;
use serialshark::source::sim::Simulator;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// Packets after which a reader ends.
const ENOUGH: usize = 5;

struct Recipe {
    what: String,
    run: String,
    read: Option<String>,
}

/// How each table of recipes begins.
const HEAD: &str = "| for | run | and read it with |";

/// All recipes in the order of the pages; one that is on both pages once.
fn recipes() -> Vec<Recipe> {
    let mut recipes: Vec<Recipe> = Vec::new();
    for page in ["README.md", "docs/recipes.md"] {
        let text = std::fs::read_to_string(page).unwrap();
        let tables = text.split(HEAD).skip(1);
        let rows: Vec<_> = tables
            .flat_map(|table| table.lines().skip(2).take_while(|row| row.starts_with('|')))
            .collect();
        assert!(rows.len() > 5, "{page}: {rows:?}");
        for recipe in rows.into_iter().map(recipe) {
            if !recipes.iter().any(|known| known.run == recipe.run && known.read == recipe.read) {
                recipes.push(recipe);
            }
        }
    }
    recipes
}

fn recipe(row: &str) -> Recipe {
    let code = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let row = row.replace("\\|", "\u{1}");
    let cells: Vec<String> = row.split('|').map(|cell| cell.replace('\u{1}', "|")).collect();
    // Behind them the README has what to type on Windows: tests/windows/recipes.py tries that.
    let [_, what, run, read, _, ..] = &cells[..] else { panic!("{row}") };
    let read = Some(code(read)).filter(|read| !read.is_empty());
    Recipe { what: what.trim().to_owned(), run: code(run), read }
}

/// A shell command in a process group of its own, which is ended with it.
struct Shell(Child);

impl Shell {
    fn run(command: &str, dir: &Path) -> Self {
        // Without a shell between, so that it has ended when it has been waited for.
        let exec = if command.contains('|') { "" } else { "exec " };
        let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
        let child = Command::new("sh")
            .args(["-c", &format!("{exec}{command}")])
            .current_dir(dir)
            .env("PATH", path)
            .env("HOME", dir)
            // For --wireshark, which would find no screen; what it starts needs none here.
            .env("DISPLAY", ":0")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("RUST_LOG")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(dir.join("stdout")).unwrap())
            .stderr(std::fs::File::create(dir.join("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn wait(&mut self) -> bool {
        eventually("the end of a command", || self.0.try_wait().unwrap()).success()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

fn script(dir: &Path, name: &str, text: &str) {
    let path = dir.join("bin").join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The other machine's sshd, and `ssh` that finds it as `pi`.
struct Sshd(Child);

impl Sshd {
    fn start(dir: &Path) -> Option<Self> {
        // By its full path, or it does not start.
        let mut command = tool("/usr/sbin/sshd")?;
        let at = |name: &str| dir.join(name).display().to_string();
        for key in ["host_key", "user_key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]);
            assert!(keygen.status().unwrap().success());
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let path = format!("{}:{}", at("bin"), std::env::var("PATH").unwrap());
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
             PermitRootLogin yes\nStrictModes no\nPidFile none\nSetEnv PATH={path}\n",
            at("host_key"),
            at("user_key.pub")
        );
        std::fs::write(dir.join("sshd_config"), config).unwrap();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let config = format!(
            "Host pi\nHostName 127.0.0.1\nPort {port}\nUser {}\nIdentityFile {}\n\
             IdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n\
             LogLevel ERROR\n",
            text(&user).trim(),
            at("user_key")
        );
        std::fs::write(dir.join("ssh_config"), config).unwrap();
        // There is no terminal here, so the wish for one has to be stronger.
        let wish = "[ \"$1\" = -t ] && set -- -t \"$@\"";
        script(dir, "ssh", &format!("{wish}; exec /usr/bin/ssh -F {} \"$@\"", at("ssh_config")));
        if rustix::process::geteuid().is_root() {
            // It wants a directory that is there only where its service runs.
            let run = "mount -t tmpfs none /run && mkdir /run/sshd && exec \"$@\"";
            command = Command::new("unshare");
            command.args(["-m", "sh", "-c", run, "-", "/usr/sbin/sshd"]);
        }
        command.args(["-D", "-e", "-f", &at("sshd_config")]);
        let log = std::fs::File::create(dir.join("sshd.log")).unwrap();
        let sshd = Self(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
        eventually("sshd", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let mut ssh = Command::new(dir.join("bin/ssh"));
        if ssh.args(["pi", "true"]).stdin(Stdio::null()).status().unwrap().success() {
            return Some(sshd);
        }
        skip("sshd lets this user in nowhere, so the recipes with ssh were not tried");
        None
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether some process was started with this word.
fn runs_with(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| line.split(|octet| *octet == 0).any(|other| other == word.as_bytes()))
}

/// Something that says one thing after the other until it is told to stop.
fn speak(mut say: impl FnMut(&[u8]), mut next: impl FnMut() -> Vec<u8>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        say(&next());
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
}

/// What is on a port, again and again, where the recipe names a protocol that nobody else speaks here.
fn spoken(run: &str, port: usize) -> Option<Vec<Vec<u8>>> {
    let named = run.split("-p ").nth(1)?.split(' ').next()?;
    Some(match named {
        "modbus" => {
            let mut simulator =
                Simulator::named("modbus", serialshark::line::Line::at(9600)).unwrap();
            (0..50).map(|_| simulator.next_burst().octets).collect()
        }
        "nrf" => golden("nrf-touchlink"),
        "p1" => golden("p1-v5"),
        "slcan" => golden("slcan-vectors"),
        "h4" => {
            let (event, command) = (4, 1);
            let mine = if port == 0 { event } else { command };
            golden("h4-keyboard").into_iter().filter(|packet| packet[0] == mine).collect()
        }
        _ => return None,
    })
}

/// The chunks of a golden capture, in hex or as text.
fn golden(name: &str) -> Vec<Vec<u8>> {
    let input = std::fs::read_to_string(format!("tests/data/{name}/input.txt")).unwrap();
    let mut chunks = Vec::<Vec<u8>>::new();
    for line in input.lines().filter(|line| !line.starts_with('#')) {
        let (is_new, octets) = match line.split_once(": ") {
            Some((time, octets)) if time.bytes().all(|octet| octet.is_ascii_digit()) => {
                (true, octets)
            }
            None if line.starts_with(' ') => (false, line.trim()),
            _ => continue,
        };
        let octets = match octets.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) => text.replace("\\r", "\r").replace("\\n", "\n").into_bytes(),
            None => (0..octets.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&octets[at..at + 2], 16).unwrap())
                .collect(),
        };
        match chunks.last_mut() {
            Some(chunk) if !is_new => chunk.extend(octets),
            _ => chunks.push(octets),
        }
    }
    chunks
}

#[test]
fn every_recipe_works_as_it_is_written() {
    let Some(tshark) = tool("tshark") else { return };
    let tshark = tshark.get_program().to_str().unwrap().to_owned();
    let found = Command::new("sh").args(["-c", &format!("command -v {tshark}")]).output().unwrap();
    let tshark = text(&found.stdout).trim().to_owned();

    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    std::fs::create_dir(dir.join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_serialshark"), dir.join("bin/serialshark")).unwrap();
    script(dir, "tshark", &format!("exec {tshark} -c {ENOUGH} \"$@\""));
    script(dir, "wireshark", "[ \"$1\" = -k ] && shift; exec tshark \"$@\"");
    let sshd = Sshd::start(dir);
    for recipe in recipes() {
        if sshd.is_none() && recipe.run.contains("ssh ") {
            continue;
        }
        let reads = recipe.read.as_deref().unwrap_or_default();
        if reads.starts_with("curl ") && tool("curl").is_none() {
            continue;
        }
        // One needs a terminal, the other a capture: tests/analysis/top.rs and report.rs have them.
        if recipe.run.starts_with("serialshark top ")
            || recipe.run.starts_with("serialshark report ")
        {
            continue;
        }
        try_recipe(&recipe, dir);
        eprintln!("{}: done", recipe.what);
    }
}

fn try_recipe(recipe: &Recipe, dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.path().extension().is_some_and(|ext| ext == "pcapng") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let ports: Vec<Pty> = (0..4).map(|_| Pty::new()).collect();
    let ser2net = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ser2net_port = ser2net.local_addr().unwrap().port();
    let free_port =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let local = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tunnel = recipe.run.contains("-L");
    let concrete = |command: &str| {
        // Both ends of the tunnel are on this machine, and cannot have the same port.
        let near = |command: String| match tunnel {
            true => command
                .replace("-L 19000", &format!("-L {local}"))
                .replace("TCP@127.0.0.1:19000", &format!("TCP@127.0.0.1:{local}")),
            false => command,
        };
        near(command.to_owned())
            .replace("/dev/ttyUSB0", ports[0].path())
            .replace("/dev/ttyUSB1", ports[1].path())
            .replace("/dev/ttyACM0", ports[2].path())
            .replace("/dev/ttyACM1", ports[3].path())
            .replace("/tmp/", &format!("{}/", dir.display()))
            // In this order: a port that is put in may have the digits of the other.
            .replace("3333", &ser2net_port.to_string())
            .replace("19000", &free_port.to_string())
    };
    let shell = Shell::run(&concrete(&recipe.run), dir);
    if !recipe.run.contains("--install") {
        // Before that nobody reads what the ports have to say.
        eventually(&format!("{} is read by {}", recipe.what, concrete(&recipe.run)), || {
            let said = messages(dir);
            assert!(!said.contains("hint: "), "{}: {said}", recipe.run);
            (said.matches(": reading ").count() == recipe.run.matches("/dev/tty").count().max(1))
                .then_some(())
        });
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let line = |port: usize| -> Box<dyn Iterator<Item = Vec<u8>> + Send> {
            match spoken(&recipe.run, port) {
                Some(chunks) => Box::new(chunks.into_iter().cycle()),
                None => Box::new((1u32..).map(numbered_frame)),
            }
        };
        let (mut octets, mut more) = (line(0), line(1));
        let mut remote = (1u32..).map(numbered_frame);
        let mut riot = Simulator::named("riot", serialshark::line::Line::at(115_200)).unwrap();
        let ack = [&[5, 2, 0, 7][..], &fcs(&[2, 0, 7])].concat();
        let mut pinoccio = std::iter::once(b"SNIF".to_vec()).chain(std::iter::repeat(ack));
        let (ports, stop) = (&ports, &stop);
        let say = |port: usize| move |octets: &[u8]| _ = ports[port].offer(octets);
        let (trunk, other, radio, mesh) = (say(0), say(1), say(2), say(3));
        scope.spawn(move || speak(trunk, || octets.next().unwrap(), stop));
        scope.spawn(move || speak(other, || more.next().unwrap(), stop));
        let mut sniffer = spoken(&recipe.run, 2).map(|chunks| chunks.into_iter().cycle());
        let heard = move || match &mut sniffer {
            Some(chunks) => chunks.next().unwrap(),
            None => riot.next_burst().octets,
        };
        scope.spawn(move || speak(radio, heard, stop));
        scope.spawn(move || speak(mesh, || pinoccio.next().unwrap(), stop));
        if recipe.run.contains("tcp:") {
            let mut client = ser2net.accept().unwrap().0;
            let say = move |octets: &[u8]| _ = client.write_all(octets);
            scope.spawn(move || speak(say, || remote.next().unwrap(), stop));
        }
        // Also when it fails, or the scope would wait for its speakers for ever.
        let judged = catch_unwind(AssertUnwindSafe(|| judge(recipe, shell, concrete, dir)));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = judged {
            resume_unwind(panic);
        }
    });
    // Here and there: whoever leaves the office leaves nothing running in the plant room.
    eventually("the end on both machines", || (!runs_with(ports[0].path())).then_some(()));
}

/// What the program says; a terminal makes one stream of its two.
fn messages(dir: &Path) -> String {
    let output = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    output("stderr") + &output("stdout")
}

/// Sees that packets come, where the recipe says that they do.
fn judge(recipe: &Recipe, mut shell: Shell, concrete: impl Fn(&str) -> String, dir: &Path) {
    let (what, run) = (&recipe.what, &recipe.run);
    let output = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    let packets = |said: &str| said.lines().filter(|line| line.contains('→')).count();
    if let Some(read) = &recipe.read {
        if run.contains("--install") {
            assert!(shell.wait(), "{what}: {}", output("stderr"));
        } else {
            eventually(what, || messages(dir).contains("waiting for a reader").then_some(()));
        }
        // A second reader after the first one, which no capture pipe is said to bear.
        for _ in 0..if run.contains("replay") || !full() { 1 } else { 2 } {
            let reader_dir = dir.join("reader");
            let _ = std::fs::create_dir(&reader_dir);
            let _ = symlink(dir.join("bin"), reader_dir.join("bin"));
            let _ = symlink(dir.join(".config"), reader_dir.join(".config"));
            assert!(Shell::run(&concrete(read), &reader_dir).wait(), "{what}");
            let said = std::fs::read_to_string(reader_dir.join("stdout")).unwrap();
            assert_eq!(packets(&said), ENOUGH, "{what}: {said}");
            assert!(!said.contains("Malformed"), "{what}: {said}");
        }
    } else if run.contains("shark -r -") || run.contains("-i -") || run.contains("--wireshark") {
        assert!(shell.wait(), "{what}: {}", output("stderr"));
        assert_eq!(packets(&output("stdout")), ENOUGH, "{what}");
    } else if run.contains("pcapng") {
        eventually(what, || {
            let mut files = std::fs::read_dir(dir).unwrap().flatten();
            files.find(|file| {
                file.path().extension().is_some_and(|ext| ext == "pcapng")
                    && file.metadata().is_ok_and(|metadata| metadata.len() > 300)
            })
        });
    } else {
        eventually(what, || (output("stdout").lines().count() >= ENOUGH).then_some(()));
        // What was recorded is replayed by the next recipes.
        let group = rustix::process::Pid::from_child(&shell.0);
        rustix::process::kill_process_group(group, rustix::process::Signal::INT).unwrap();
        shell.wait();
    }
}

/// CRC-16/KERMIT bit by bit, low octet first.
fn fcs(octets: &[u8]) -> [u8; 2] {
    let mut crc = 0u16;
    for octet in octets {
        crc ^= u16::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0x8408 } else { crc >> 1 };
        }
    }
    crc.to_le_bytes()
}
