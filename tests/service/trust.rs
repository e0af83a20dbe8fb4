//! What SECURITY.md says of other users of the host, and of input that is wrong.

use crate::common::*;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Nobody in particular.
const US: u32 = 64_321;
/// And another one.
const THEM: u32 = 64_322;

/// The program as a user without any rights. Skipped loudly where the test is not root.
fn unprivileged() -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        skip("only root can become somebody else");
        return None;
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={US}")).arg(format!("--regid={US}"));
    command.args(["--clear-groups", "--no-new-privs", "--bounding-set=-all"]);
    command.arg(env!("CARGO_BIN_EXE_serialshark"));
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    Some(command)
}

/// A directory as /tmp is one, below one that all may pass.
fn shared(dir: &TempDir) -> PathBuf {
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let shared = dir.path().join("tmp");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    shared
}

/// A directory of the unprivileged user.
fn private(dir: &TempDir) -> PathBuf {
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let private = dir.path().join("home");
    std::fs::create_dir(&private).unwrap();
    chown(&private, Some(US), Some(US)).unwrap();
    private
}

/// Its one line and its hint.
fn refused(mut command: Command, says: &str) {
    command.stdout(Stdio::null());
    let mut program = Program::spawn(command);
    program.wait_for("  hint: ");
    assert_eq!(program.wait().code(), Some(1));
    let lines = program.stderr();
    assert!(lines.len() == 2 && lines[0].contains(says), "{lines:?}");
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

#[test]
fn all_works_without_any_rights_and_makes_nothing_for_everybody() {
    let Some(mut command) = unprivileged() else { return };
    let dir = TempDir::new().unwrap();
    let home = private(&dir);
    let pty = Pty::new();
    chown(&pty.path, Some(US), None).unwrap();
    command.current_dir(&home).args([pty.path(), "--fifo", "fifo", "--unix", "socket"]);
    command.args(["-w", "a.pcap", "--record", "a.rec", "--tcp", "0"]);
    let mut program = Program::spawn(command);
    program.wait_for_nth(3, "waiting for a reader");
    let mut reader = FifoReader::open(&home.join("fifo"));
    reader.header();
    pty.send(&mstp(0, 1, 2, &[]));
    reader.record().unwrap();
    for name in ["fifo", "socket", "a.pcap", "a.rec"] {
        let mode = home.join(name).metadata().unwrap().mode();
        assert_eq!(mode & 0o007, 0, "{name}: {mode:o}");
    }
    assert!(pty.received_now().is_empty());
    program.terminate();
}

/// Neither as one that may do all nor as one that may do nothing.
#[test]
fn a_link_that_somebody_planted_in_a_shared_directory_is_not_followed() {
    let Some(weak) = unprivileged() else { return };
    let dir = TempDir::new().unwrap();
    let tmp = shared(&dir);
    let home = private(&dir);
    let (precious, pipe) = (home.join("precious"), home.join("pipe"));
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    chown(&pipe, Some(US), None).unwrap();
    let planted = |name: &str, target: &Path| {
        let link = tmp.join(name);
        symlink(target, &link).unwrap();
        lchown(&link, Some(THEM), None).unwrap();
        link.to_str().unwrap().to_owned()
    };
    let file = planted("file", &precious);
    let fifo = planted("fifo", &pipe);
    let says = "is another user's symlink in a world-writable directory";
    for args in [
        ["sim:mstp", "-q", "-w", &file],
        ["sim:mstp", "-q", "--record", &file],
        ["sim:mstp", "-q", "--fifo", &fifo],
    ] {
        refused(with(Program::command(), &args), says);
    }
    refused(with(weak, &["sim:mstp", "-q", "-w", &file]), says);
    assert!(!precious.exists());

    let socket = planted("socket", &home.join("socket"));
    let args = ["sim:mstp", "--unix", &socket];
    refused(with(Program::command(), &args), "exists and is not a socket");
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 1);
}

#[test]
fn ones_own_link_in_a_shared_directory_is_followed() {
    let Some(mut command) = unprivileged() else { return };
    let dir = TempDir::new().unwrap();
    let (tmp, home) = (shared(&dir), private(&dir));
    let link = tmp.join("link");
    symlink(home.join("capture"), &link).unwrap();
    lchown(&link, Some(US), None).unwrap();
    let output = command.args(["sim:mstp", "-c", "2", "-w"]).arg(&link).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(pcap_records(&std::fs::read(home.join("capture")).unwrap()).len(), 2);
}

#[test]
fn a_directory_that_is_missing_or_closed_gets_one_line_and_what_to_do() {
    let Some(mut command) = unprivileged() else { return };
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("none");
    let below = |name: &str| missing.join(name).to_str().unwrap().to_owned();
    let hint = format!("  hint: mkdir -p {}", missing.display());
    for args in [&["--fifo", &below("fifo")][..], &["-w", &below("a.pcap"), "-C", "1"]] {
        let (code, stdout, stderr) = run(&[&["sim:mstp", "-q"], args].concat());
        assert_eq!((code, stdout.len()), (1, 0), "{stderr}");
        let lines: Vec<&str> = stderr.lines().collect();
        assert!(lines[0].contains("No such file or directory"), "{stderr}");
        assert_eq!(lines[1..], [hint.as_str()]);
    }

    // One may go in and write, but not see what is there.
    let blind = private(&dir);
    std::fs::set_permissions(&blind, Permissions::from_mode(0o300)).unwrap();
    command.args(["sim:mstp", "-q", "-C", "1", "-w"]).arg(blind.join("a.pcap"));
    refused(command, "a.pcap: cannot write: Permission denied");
    assert_eq!(std::fs::read_dir(&blind).unwrap().count(), 0);
}

#[test]
fn two_services_with_one_port_the_second_one_says_who_has_it() {
    let dir = TempDir::new().unwrap();
    let pty = Pty::new();
    let config = |name: &str| {
        let path = dir.path().join(format!("{name}.toml"));
        let fifo = dir.path().join(name);
        let text = format!("port = '{}'\nfifo = '{}'\n", pty.path(), fifo.display());
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut first = Program::start(["--config", &config("first")]);
    first.wait_for("waiting for a reader");
    let (code, _, stderr) = run(&["--config", &config("second")]);
    let says = format!(
        "serialshark: {}: cannot open: another program uses it\n  hint: serialshark (process {}) \
         has it open\n",
        pty.path(),
        first.child.id()
    );
    assert_eq!((code, stderr), (1, says));
    // The first one has not noticed.
    let mut reader = FifoReader::open(&dir.path().join("first"));
    reader.header();
    pty.send(&mstp(0, 1, 2, &[]));
    reader.record().unwrap();
    first.terminate();
}

#[test]
fn an_address_for_others_is_warned_of() {
    for (address, warned) in [("0", false), ("[::1]:0", false), ("0.0.0.0:0", true)] {
        let mut program = Program::start(["sim:mstp", "--tcp", address]);
        program.wait_for("waiting for a reader");
        let warning = "warn: TCP 0.0.0.0:0: anyone who can reach this address can read the bus";
        assert_eq!(program.stderr().iter().any(|line| line.contains(warning)), warned);
        program.terminate();
    }
}

/// What is made is for a group, and its permissions are those that were asked for.
#[test]
fn group_and_mode_are_those_that_were_asked_for() {
    if !rustix::process::geteuid().is_root() {
        skip("only root can give files to any group");
        return;
    }
    let looks_like = |args: &[&str], sudo: Option<u32>| {
        let dir = TempDir::new().unwrap();
        let pty = Pty::new();
        let mut command = Program::command();
        command.current_dir(dir.path()).args([pty.path(), "--fifo", "fifo", "--unix", "socket"]);
        command.args(["-w", "a.pcap", "--record", "a.rec"]).args(args);
        command.env_remove("SUDO_GID");
        sudo.map(|gid| command.env("SUDO_GID", gid.to_string()));
        let mut program = Program::spawn(command);
        program.wait_for("reading mstp");
        // What takes the place of the first FIFO looks like it.
        FifoReader::open(&dir.path().join("fifo")).header();
        let looks = ["fifo", "socket", "a.pcap", "a.rec"].map(|name| {
            let metadata = dir.path().join(name).metadata().unwrap();
            (metadata.gid(), metadata.mode() & 0o777)
        });
        program.terminate();
        (looks, program.stderr())
    };
    let (looks, _) = looks_like(&["--group", &US.to_string(), "--mode", "0666"], None);
    assert_eq!(looks, [(US, 0o666); 4]);
    let (looks, said) = looks_like(&[], Some(THEM));
    assert!(looks.iter().all(|(gid, mode)| *gid == THEM && mode & 0o40 != 0), "{looks:?}");
    let line =
        format!("started by sudo: FIFOs, sockets and files get the group {THEM}; see --group");
    assert_eq!(said.iter().filter(|said| said.contains(&line)).count(), 1, "{said:?}");
    let (looks, _) = looks_like(&["--group", "root", "--mode", "600"], Some(THEM));
    assert_eq!(looks, [(0, 0o600); 4]);
    let (looks, said) = looks_like(&[], None);
    assert!(looks.iter().all(|(gid, _)| *gid == 0), "{looks:?}");
    assert!(
        said.iter().any(|line| line.contains("only root can open it; --group GROUP")),
        "{said:?}"
    );
}

#[test]
fn a_group_that_is_not_ours_is_refused_in_one_line_and_nothing_is_left() {
    let theirs = THEM.to_string();
    for output in ["--fifo", "--unix", "-w", "-C=1k -w"] {
        let Some(command) = unprivileged() else { return };
        let dir = TempDir::new().unwrap();
        let home = private(&dir);
        let file = home.join("out.pcap");
        let mut args: Vec<_> = output.split(' ').collect();
        args.extend([file.to_str().unwrap(), "sim:mstp", "--group", &theirs]);
        refused(with(command, &args), "cannot set group and mode: Operation not permitted");
        assert_eq!(home.read_dir().unwrap().count(), 0, "{output}");
    }
}
