//! The command line: help, bad input, exit codes, what goes where.

use crate::common::*;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use tempfile::TempDir;

/// One line `serialshark: ...`, and perhaps a hint; nothing on stdout.
fn fails(args: &[&str], says: &str) {
    let (code, stdout, stderr) = run(args);
    assert_eq!(code, 1, "{args:?}: {stderr}");
    assert!(stdout.is_empty());
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines[0].starts_with("serialshark: "), "{stderr}");
    assert!(lines.len() == 1 || lines.len() == 2 && lines[1].starts_with("  hint: "), "{stderr}");
    assert!(stderr.contains(says), "{stderr}");
}

#[test]
fn what_is_for_windows_says_what_is_here_instead() {
    let (code, _, stderr) = run(&["sim:mstp", "--pipe", "sharkfin"]);
    assert!(code == 2 && stderr.contains("here it is --fifo PATH"), "{stderr}");
    let (code, _, stderr) = run(&["service", "install", "--config", "trunk.toml"]);
    assert!(code == 2 && stderr.contains("hint: here it is a unit of systemd"), "{stderr}");
}

#[test]
fn a_port_that_is_none_gets_one_line_and_a_hint() {
    fails(&["/dev/ttyUSB99"], "/dev/ttyUSB99: cannot open: No such file or directory");
    fails(&["/dev/ttyUSB99"], "  hint: ");
    fails(&["/dev/null"], "/dev/null: is not a serial port");
    fails(&["/tmp"], "/tmp: is not a serial port");
}

#[test]
fn a_port_without_permission_names_the_group() {
    if !rustix::process::geteuid().is_root() {
        skip("only root can become somebody else");
        return;
    }
    let pty = Pty::new();
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args([env!("CARGO_BIN_EXE_serialshark"), pty.path()]);
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr
            .contains("cannot open: Permission denied\n  hint: add yourself to the group dialout"),
        "{stderr}"
    );
}

#[test]
fn wrong_usage_says_what_is_allowed() {
    for (args, says) in [
        (&["x", "-p", "can"][..], "mstp, modbus, modbus-ascii"),
        (&["x", "-b", "0"], "such as 38400, or auto"),
        (&["x", "-b", "fast"], "such as 38400, or auto"),
        (&["x", "-p", "riot", "--channel", "27"], "not in 0..=26"),
        (&["x", "-p", "riot"], "riot needs --channel, 11 to 26"),
        (&["sim:can"], "sim:mstp, sim:modbus, sim:riot"),
        (&["x", "--format", "csv", "-w", "a"], "pcap, pcapng"),
        (&["x", "-w"], "--write <FILE>"),
        (&[], "<PORT>"),
    ] {
        let (code, stdout, stderr) = run(args);
        assert_eq!(code, 2, "{args:?}");
        assert!(stdout.is_empty() && stderr.contains(says), "{args:?}: {stderr}");
    }
}

#[test]
fn two_outputs_in_one_place_are_refused_under_whatever_names() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("there")).unwrap();
    std::os::unix::fs::symlink(path("there"), path("link")).unwrap();
    std::os::unix::fs::symlink(path("a.pcap"), path("b.pcap")).unwrap();
    std::fs::write(path("a.pcap"), "").unwrap();
    let (there, link) = (path("there/x"), path("link/x"));
    for outputs in [
        ["-w", &there, "-w", &link],
        ["--fifo", &there, "-w", &link],
        ["--unix", &there, "--fifo", &link],
        ["-w", &path("a.pcap"), "-w", &path("b.pcap")],
        ["-w", &there, "--log-file", &link],
        ["--record", &there, "--log-file", &link],
        ["-w", "-", "--log-file", "/dev/stdout"],
        ["--tcp", "19001", "--http", "127.0.0.1:19001"],
        ["--tcp", "19001", "--tcp", "127.0.0.1:19001"],
    ] {
        let (code, _, stderr) = run(&[&["sim:mstp"], &outputs[..]].concat());
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("the same output is named twice"), "{stderr}");
    }
    for outputs in [["-w", "x.html"], ["--log-file", "x.html"], ["--log-file", "x.json"]] {
        let report = ["sim:mstp", "--report-every", "1h", "--report", "x.json"];
        let (code, _, stderr) = run(&[&report, &outputs[..]].concat());
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("the same output is named twice"), "{stderr}");
    }
    assert!(!dir.path().join("there/x").exists());
}

/// It would be said that another program has it.
#[test]
fn one_port_by_two_names_is_named_twice() {
    let dir = TempDir::new().unwrap();
    let (pty, link) = (Pty::new(), dir.path().join("link"));
    pty.name(&link);
    let link = link.to_str().unwrap();
    let (code, _, stderr) = run(&[pty.path(), link]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains(&format!("{} and {link} are the same port", pty.path())), "{stderr}");
}

#[test]
fn commands_to_copy_are_quoted() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("it's my fifo");
    let mut program = Program::start(["sim:mstp", "--fifo", fifo.to_str().unwrap()]);
    let quoted = fifo.to_str().unwrap().replace('\'', r"'\''");
    program.wait_for(&format!("wireshark -k -i '{quoted}'"));
    program.terminate();
}

#[test]
fn the_log_is_never_written_onto_a_bus() {
    if !std::path::Path::new("/dev/ttyS0").exists() {
        return skip("there is no serial port here");
    }
    let mut program = Program::start(["sim:mstp", "-c", "1", "--log-file", "/dev/ttyS0"]);
    assert_eq!(program.wait().code(), Some(1));
    program.wait_for("/dev/ttyS0: is a serial port");
}

#[test]
fn what_is_read_is_not_written_as_well() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("file"), "").unwrap();
    let socket = format!("unix:{}", path("socket"));
    for (port, output) in [
        (&path("file"), ["--fifo", &path("file")]),
        (&path("file"), ["--log-file", &path("file")]),
        (&socket, ["--unix", &path("socket")]),
    ] {
        let (code, _, stderr) = run(&[&[&**port, "--wait"], &output[..]].concat());
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains(&format!("{port}: is the port itself")), "{stderr}");
    }
}

#[test]
fn packets_are_never_written_onto_the_bus() {
    let pty = Pty::new();
    let (code, _, stderr) = run(&[pty.path(), "-w", pty.path()]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("is the port itself"), "{stderr}");
    let other = Pty::new();
    fails(&[pty.path(), "-w", other.path()], "is a terminal or a serial port");
    assert_eq!(other.received_now(), b"");
}

#[test]
fn help_and_version_go_to_stdout() {
    let (code, stdout, stderr) = run(&["--help"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let help = text(&stdout);
    for option in [
        "--protocol <NAME>",
        "--baud <RATE>",
        "--fifo <PATH>",
        "--write <FILE>",
        "--format <FORMAT>",
        "--channel <CHANNEL>",
        "--init <STRING>",
        "--count <N>",
        "--verbose",
        "--quiet",
    ] {
        assert!(help.contains(option), "{option} is not in {help}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    assert_eq!(
        text(&run(&["--version"]).1),
        concat!("serialshark ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn without_an_output_there_is_a_line_per_packet() {
    let (code, stdout, stderr) = run(&["sim:mstp", "-c", "20"]);
    assert_eq!(code, 0, "{stderr}");
    let lines = text(&stdout);
    assert_eq!(lines.lines().count(), 20);
    let token = lines.lines().find(|line| line.contains("Token")).expect("a token");
    let (time, rest) = token.split_once(' ').unwrap();
    assert_eq!((time.len(), time.as_bytes()[2], time.as_bytes()[8]), (15, b':', b'.'), "{token}");
    assert!(rest.contains(" > ") && rest.ends_with(" Token, length 8"), "{token}");
}

/// As tcpdump has them; colours are for terminals.
#[test]
fn lines_have_the_times_and_the_hex_that_were_asked_for() {
    let lines = |options: &[&str]| {
        let (code, stdout, stderr) = run(&[&["sim:mstp"], options].concat());
        assert_eq!(code, 0, "{stderr}");
        assert!(!stdout.contains(&0x1b));
        text(&stdout)
    };
    let first = |text: &str| text.lines().next().unwrap().to_owned();
    assert!(first(&lines(&["-c3", "-t"])).starts_with("  0 >"));
    let epoch = first(&lines(&["-c3", "-tt"]));
    assert!(epoch.find('.').is_some_and(|point| point >= 10), "{epoch}");
    assert!(first(&lines(&["-c3", "-ttt"])).starts_with(" 00:00:00.000000 "));
    assert_eq!(first(&lines(&["-c3", "-tttt"])).find(' '), Some("2026-11-27".len()));
    assert!(first(&lines(&["-c3", "-ttttt"])).starts_with(" 00:00:00.000000 "));
    let hex = lines(&["-c3", "-x"]);
    assert!(hex.contains("\n\t0x0000:  55ff "), "{hex}");
    let quiet = lines(&["--no-tokens", "-c60"]);
    assert!(!quiet.contains("Token") && !quiet.contains("Poll"), "{quiet}");
    assert!(quiet.contains("readProperty AI 1 present-value"), "{quiet}");
    let (code, _, stderr) = run(&["sim:mstp", "-x", "-w", "-"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("are for printed packets"), "{stderr}");
}

#[test]
fn when_stdout_is_closed_it_ends_quietly() {
    for args in [&["sim:mstp", "-q"][..], &["sim:mstp", "-q", "-w", "-"]] {
        let mut command = Program::command();
        command.args(args).stdout(Stdio::piped());
        let mut program = Program::spawn(command);
        let mut stdout = BufReader::new(program.child.stdout.take().unwrap());
        stdout.read_until(b'\n', &mut Vec::new()).unwrap();
        drop(stdout);
        assert_eq!(program.wait().code(), Some(0));
        assert_eq!(program.stderr(), [""; 0]);
    }
}

#[test]
fn stdout_carries_records_and_nothing_else() {
    let (code, stdout, stderr) = run(&["sim:mstp", "-c", "5", "-w", "-", "-vv"]);
    assert_eq!(code, 0);
    assert_eq!(pcap_records(&stdout).len(), 5);
    assert!(stderr.contains("reading mstp"));
}

#[test]
fn quiet_is_quiet_and_rust_log_is_heard() {
    assert_eq!(run(&["sim:mstp", "-c", "1", "-q"]).2, "");
    let mut command = Program::command();
    command.args(["sim:mstp", "-c", "1"]).env("RUST_LOG", "error");
    assert_eq!(text(&command.output().unwrap().stderr), "");
}

#[test]
fn a_terminal_gets_no_records() {
    let pty = Pty::new();
    let terminal = std::fs::OpenOptions::new().write(true).open(&pty.path).unwrap();
    let output =
        Program::command().args(["sim:mstp", "-w", "-"]).stdout(terminal).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("tshark -r -"), "{}", text(&output.stderr));
}

#[test]
fn a_file_is_written_in_the_format_of_its_name() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (code, _, stderr) =
        run(&["sim:mstp", "-c", "30", "-w", &at("a.pcap"), "-w", &at("b.pcapng"), "-w", "-"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(pcap_records(&std::fs::read(at("a.pcap")).unwrap()).len(), 30);
    assert_eq!(std::fs::read(at("b.pcapng")).unwrap()[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    if let Some(mut capinfos) = tool("capinfos") {
        for file in ["a.pcap", "b.pcapng"] {
            let output = capinfos.args(["-c", "-E", &at(file)]).output().unwrap();
            let says = text(&output.stdout);
            assert!(says.contains("BACnet MS/TP") && says.contains("30"), "{says}");
        }
    }
}

#[test]
fn a_capture_file_is_not_overwritten_unless_told_to() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("precious.pcap");
    std::fs::write(&file, "mine").unwrap();
    let path = file.to_str().unwrap();
    fails(&["sim:mstp", "-q", "-w", path], "exists and is not empty\n  hint: ");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let (code, _, stderr) = run(&["sim:mstp", "-c", "2", "-w", path, "--force"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(pcap_records(&std::fs::read(&file).unwrap()).len(), 2);
}

#[test]
fn a_file_that_cannot_be_made_or_written_ends_its_output_alone_and_is_a_failure_in_the_end() {
    fails(&["sim:mstp", "-q", "-w", "/nowhere/a.pcap"], "/nowhere/a.pcap: cannot write: No such");
    fails(
        &["sim:mstp", "-q", "-w", "/tmp"],
        "/tmp: cannot write: Is a directory\n  hint: name a file in it",
    );
    let (code, stdout, stderr) = run(&["sim:mstp", "-c", "3", "-w", "/nowhere/a", "-w", "-"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("error: /nowhere/a: cannot write: No such"), "{stderr}");
    // Again at the end, when what was said at the start is far away.
    assert!(stderr.ends_with("serialshark: /nowhere/a: cannot write: No such file or directory\n  hint: mkdir -p /nowhere\n"));
    assert_eq!(pcap_records(&stdout).len(), 3);
    fails(
        &["sim:mstp", "-q", "-w", "/dev/full"],
        "/dev/full: cannot write: No space left on device",
    );
    let (code, stdout, stderr) = run(&["sim:mstp", "-c", "9", "-w", "/dev/full", "-w", "-"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("error: /dev/full: cannot write: No space left on device"), "{stderr}");
    assert_eq!(pcap_records(&stdout).len(), 9);
}

/// What stood in a log before us stays, whatever the disk does.
#[test]
fn appending_to_a_file_on_a_full_disk_spares_what_was_there() {
    let dir = TempDir::new().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", dir.path().to_str().unwrap()])
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        skip("no small file system can be mounted here");
        return;
    }
    let file = dir.path().join("log");
    std::fs::write(&file, vec![b'x'; 60_000]).unwrap();
    let log = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    let mut command = Program::command();
    let mut program = Program::spawn({
        command.args(["sim:mstp"]).stdout(log);
        command
    });
    program.wait_for("standard output: disk full: dropping packets until there is room");
    program.terminate();
    let written = std::fs::read(&file).unwrap();
    let unmounted = std::process::Command::new("umount").arg(dir.path()).status().unwrap();
    assert!(unmounted.success());
    assert!(written.starts_with(&[b'x'; 60_000]));
    assert!(text(&written[60_000..]).lines().all(|line| line.contains(" length ")));
}

#[test]
fn a_full_disk_leaves_whole_records() {
    let dir = TempDir::new().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", dir.path().to_str().unwrap()])
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        skip("no small file system can be mounted here");
        return;
    }
    let file = dir.path().join("a.pcap");
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-w", file.to_str().unwrap()]);
    program.wait_for("reading mstp");
    while !program.stderr().iter().any(|line| line.contains("disk full: dropping packets")) {
        pty.send(&mstp(5, 1, 2, &[9; 400]));
    }
    program.terminate();
    let records = pcap_records(&std::fs::read(&file).unwrap());
    let unmounted = std::process::Command::new("umount").arg(dir.path()).status().unwrap();
    assert!(unmounted.success());
    assert!(records.len() > 50);
}

#[test]
fn an_unknown_output_changes_nothing_on_disk() {
    let dir = TempDir::new().unwrap();
    let fifo = dir.path().join("sharkfin");
    // The second output cannot be had, so the first must not stay behind.
    let (file, fifo) = (dir.path().join("precious"), fifo.to_str().unwrap());
    std::fs::write(&file, "mine").unwrap();
    let path = file.to_str().unwrap();
    fails(&["sim:mstp", "-q", "--fifo", fifo, "-w", path], "exists and is not empty");
    fails(&["sim:mstp", "-q", "--fifo", "/nowhere/f", "-w", path, "--force"], "/nowhere/f");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_simulator_of_a_radio_needs_no_channel() {
    let mut command = Program::command();
    let mut program = Program::spawn({
        command.args(["sim:riot", "-w", "-", "-c", "10"]).stdout(Stdio::piped());
        command
    });
    let mut stdout = Vec::new();
    program.child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    assert_eq!(program.wait().code(), Some(0));
    assert_eq!(stdout[20..24], 283u32.to_ne_bytes());
    assert_eq!(pcap_records(&stdout).len(), 10);
}

#[test]
fn the_same_output_twice_is_named_with_both_options() {
    let (code, _, stderr) = run(&["sim:mstp", "--fifo", "/tmp/x", "-w", "/tmp/../tmp/x"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("named twice: --fifo /tmp/x and -w /tmp/../tmp/x"), "{stderr}");
}

#[test]
fn an_extension_counts_in_any_case() {
    let dir = tempfile::TempDir::new().unwrap();
    for (name, magic) in
        [("a.PCAPNG", 0x0a0d_0d0a_u32), ("b.PcapNg", 0x0a0d_0d0a), ("c.PCAP", 0xa1b2_c3d4)]
    {
        let file = dir.path().join(name);
        let (code, _, stderr) = run(&["sim:mstp", "-c", "2", "-w", file.to_str().unwrap()]);
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(std::fs::read(&file).unwrap()[..4], magic.to_ne_bytes(), "{name}");
    }
}

/// By the names that a shell gives them.
#[test]
fn standard_output_and_pipes_of_a_shell_are_written_by_their_names() {
    let program = env!("CARGO_BIN_EXE_serialshark");
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("piped");
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let (code, stdout, stderr) = run(&["sim:mstp", "-q", "-c", "3", "-w", name]);
        assert_eq!((code, pcap_records(&stdout).len()), (0, 3), "{name}: {stderr}");
    }
    let script =
        format!("{program} sim:mstp -q -c 3 -w >(cat > {0}.part; mv {0}.part {0})", file.display());
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let piped = eventually("what the pipe was given", || std::fs::read(&file).ok());
    assert_eq!(pcap_records(&piped).len(), 3);
}

/// Not even with `--force`: it would be emptied under another program's hands.
#[test]
fn a_file_that_another_program_writes_is_left_alone() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("a.pcap");
    let file = file.to_str().unwrap();
    let pty = Pty::new();
    let mut first = Program::start([pty.path(), "-w", file]);
    first.wait_for("reading mstp");
    pty.send(&numbered_frame(1));
    eventually("a packet", || {
        (pcap_records_so_far(&std::fs::read(file).ok()?).len() == 1).then_some(())
    });
    for option in ["-w", "--record"] {
        let (code, _, stderr) = run(&["sim:mstp", "-c", "2", "--force", option, file]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("is being written by another program"), "{stderr}");
    }
    assert_eq!(pcap_records(&std::fs::read(file).unwrap()).len(), 1);
    first.terminate();
}
