//! What the kernel may answer who opens or reads a port, one kind at a time: strace puts the error
//! in the place of its answer.
//!
//! strace counts calls for each thread: the first opening is the main thread's, all others are the
//! port thread's.

use crate::common::*;
use rustix::process::{Pid, Signal, kill_process};
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;

/// It has another name on some architectures.
const OPEN: &str = "/^open(at)?$";
const PORTS: &[&str] = &["hint: ports found: ", "hint: no serial port found"];

/// A port that has errors: a link to a pseudo-terminal, so that it may come back.
struct Faulty {
    dir: TempDir,
    pty: Pty,
}

impl Faulty {
    fn new() -> Option<Self> {
        let traces = tool("strace")?.args(["-qq", "-o", "/dev/null", "true"]).status();
        if !traces.is_ok_and(|status| status.success()) {
            skip("strace may trace nothing here, so the port had no errors");
            return None;
        }
        Some(Self { dir: TempDir::new().unwrap(), pty: Pty::new() })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn plug(&self) {
        self.pty.name(self.at("ttyUSB0"));
    }

    /// The program, with an error such as `read:error=EIO:when=1` of its port.
    fn start(&self, error: &str, more: &[&str]) -> Program {
        let mut command = tool("strace").unwrap();
        // It may be ended by a signal (-I 1).
        command.args(["-D", "-f", "-qq", "-I", "1", "-o", "/dev/null", "-e", "signal=none"]);
        command.arg("-P").arg(self.at("ttyUSB0")).args(["-P", self.pty.path()]);
        command.args(["-e", &format!("inject={error}"), "--", env!("CARGO_BIN_EXE_serialshark")]);
        command.arg(self.at("ttyUSB0")).args(more).arg("-w").arg(self.at("a.pcap"));
        command.stdin(Stdio::null());
        Program::spawn(command)
    }

    /// It fails at the start, and says why and what to do: one of these.
    fn is_fatal(&self, error: &str, says: &str, hints: &[&str]) {
        self.plug();
        let mut program = self.start(error, &[]);
        assert_eq!(program.wait().code(), Some(1), "{:#?}", program.stderr());
        let said = program.stderr().join("\n");
        assert!(said.contains(&format!("ttyUSB0: {says}\n")), "{said}");
        assert!(hints.iter().any(|hint| said.contains(hint)), "{said}");
    }

    /// With `--wait` it says that, and goes on once the error is over.
    fn is_waited_out(&self, error: &str, says: &str) {
        self.plug();
        let mut program = self.start(error, &["--wait"]);
        program.wait_for(says);
        program.wait_for("appeared after");
        self.works(&mut program);
    }

    /// At a port that comes later it says that, with this hint, and goes on once the error is over.
    fn is_told_and_waited_out(&self, error: &str, says: &str, hint: &str) {
        let mut program = self.start(error, &["--wait"]);
        program.wait_for("waiting for it to appear");
        self.plug();
        program.wait_for(says);
        program.wait_for(hint);
        // Without strace there is no error any more.
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", program.child.id())).unwrap();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap();
        let tracer = Pid::from_raw(tracer.trim().parse().unwrap()).expect("a tracer");
        kill_process(tracer, Signal::TERM).unwrap();
        program.wait_for("appeared after");
        self.works(&mut program);
    }

    /// A frame comes through.
    fn works(&self, program: &mut Program) {
        self.pty.send(&numbered_frame(7));
        eventually("a frame", || {
            let records = pcap_records_so_far(&std::fs::read(self.at("a.pcap")).ok()?);
            (records.last()?.data == numbered_frame(7)).then_some(())
        });
        program.terminate();
    }
}

const POLICY: &str = "DeviceAllow= of the service, or --device of the container";

#[test]
fn eperm_is_a_device_policy() {
    let Some(port) = Faulty::new() else { return };
    let says = "cannot open: Operation not permitted";
    port.is_fatal(&format!("{OPEN}:error=EPERM"), says, &[POLICY]);
    let Some(port) = Faulty::new() else { return };
    port.is_told_and_waited_out(&format!("{OPEN}:error=EPERM"), says, POLICY);
}

#[test]
fn eacces_is_a_group_or_udev_that_has_not_come_to_it_yet() {
    let Some(port) = Faulty::new() else { return };
    // It is opened to be read alone after that.
    let says = "cannot open: Permission denied";
    port.is_fatal(&format!("{OPEN}:error=EACCES"), says, &["usermod -aG dialout $USER"]);
    let Some(port) = Faulty::new() else { return };
    let error = format!("{OPEN}:error=EACCES");
    port.is_told_and_waited_out(&error, says, "usermod -aG dialout $USER");
}

#[test]
fn a_port_that_may_only_be_read_is_read() {
    for error in ["EACCES", "EROFS"] {
        let Some(port) = Faulty::new() else { return };
        port.plug();
        let mut program = port.start(&format!("{OPEN}:error={error}:when=1"), &[]);
        program.wait_for("reading mstp");
        port.works(&mut program);
    }
}

/// A pseudo-terminal has neither line.
#[test]
fn a_port_without_rts_is_asked_for_dtr_all_the_same() {
    let Some(port) = Faulty::new() else { return };
    port.plug();
    let log = port.at("strace");
    let mut command = tool("strace").unwrap();
    command.args(["-D", "-f", "-qq", "-I", "1", "-e", "trace=ioctl", "-o"]).arg(&log);
    command.arg(env!("CARGO_BIN_EXE_serialshark")).arg(port.at("ttyUSB0"));
    command.arg("-w").arg(port.at("a.pcap")).stdin(Stdio::null());
    let mut program = Program::spawn(command);
    program.wait_for("reading mstp");
    port.works(&mut program);
    let log = std::fs::read_to_string(log).unwrap();
    let asked: Vec<_> = log.lines().filter(|line| line.contains("TIOCMBIC")).collect();
    assert!(asked[0].contains("RTS") && asked[0].contains(" = -1 "), "{asked:?}");
    assert!(asked[1].contains("DTR"), "{asked:?}");
}

#[test]
fn eio_at_the_opening_is_a_port_without_a_uart() {
    let Some(port) = Faulty::new() else { return };
    let says = "cannot open: Input/output error";
    port.is_fatal(&format!("{OPEN}:error=EIO"), says, &["there is no working UART behind it"]);
}

#[test]
fn eio_at_the_settings_is_a_port_without_a_uart() {
    let Some(port) = Faulty::new() else { return };
    // Whether it is exclusive, whether it is a terminal, how it is set.
    let says = "cannot set raw mode: Input/output error";
    port.is_fatal("ioctl:error=EIO:when=3", says, &["there is no working UART behind it"]);
}

#[test]
fn a_node_without_a_device_is_a_port_that_is_not_there() {
    for (error, says) in [("ENXIO", "No such device or address"), ("ENODEV", "No such device")] {
        let Some(port) = Faulty::new() else { return };
        port.is_fatal(&format!("{OPEN}:error={error}"), &format!("cannot open: {says}"), PORTS);
        let Some(port) = Faulty::new() else { return };
        // No directory tells that its device is there again.
        let error = format!("{OPEN}:error={error}:when=1");
        port.is_waited_out(&error, "not there; waiting for it to appear");
    }
}

#[test]
fn ebusy_and_a_lock_are_another_program() {
    let says = "cannot open: another program uses it";
    let busy = [format!("{OPEN}:error=EBUSY"), "flock:error=EAGAIN".to_owned()];
    for error in busy {
        let Some(port) = Faulty::new() else { return };
        port.is_fatal(&error, says, &["find the program with: sudo fuser -v "]);
        let Some(port) = Faulty::new() else { return };
        let says = "used by another program; waiting for it to appear";
        port.is_waited_out(&format!("{error}:when=1"), says);
    }
}

#[test]
fn no_locks_are_said() {
    let Some(port) = Faulty::new() else { return };
    let says = "cannot lock: No locks available";
    port.is_fatal("flock:error=ENOLCK", says, &["name the device instead"]);
}

#[test]
fn an_error_of_a_read_is_a_port_that_went() {
    for (error, says) in [("EIO", "Input/output error"), ("ENODEV", "No such device")] {
        let Some(port) = Faulty::new() else { return };
        port.plug();
        let mut program = port.start(&format!("read:error={error}:when=1"), &[]);
        program.wait_for("reading mstp");
        port.pty.send(&numbered_frame(1));
        program.wait_for(&format!("{says}; waiting for its return"));
        program.wait_for("is back after");
        port.works(&mut program);
    }
}
