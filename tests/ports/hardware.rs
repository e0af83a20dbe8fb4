//! The profiles in `hardware/`, what is written from them, and the ports of a machine.
//!
//! The udev rules and the table are written by these tests: `BLESS=1 cargo test --test ports hardware`.

use crate::common::*;
use serialport::UsbPortInfo;
use serialshark::hardware::{Profile, ProfileKind, profile, profiles};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares what stands between the lines that hold `begin` and `end` with what should; with
/// BLESS set, writes it there.
fn in_step(path: &str, begin: &str, end: &str, should: &str) {
    let text = std::fs::read_to_string(in_project(path)).unwrap();
    let (head, rest) = text.split_once(begin).expect(begin);
    let (line_end, rest) = rest.split_once('\n').unwrap();
    let at = rest.find(end).expect(end);
    let at = rest[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let (is, tail) = rest.split_at(at);
    if std::env::var_os("BLESS").is_some() {
        let text = format!("{head}{begin}{line_end}\n{should}{tail}");
        std::fs::write(in_project(path), text).unwrap();
    } else {
        assert_eq!(is, should, "{path} is behind hardware/*.toml: BLESS=1 cargo test");
    }
}

/// Each USB id with its profile, in the order in which they have to be tried.
fn in_order(profiles: &[Profile]) -> Vec<(&Profile, &serialshark::hardware::UsbId)> {
    let mut ids: Vec<_> =
        profiles.iter().flat_map(|row| row.usb.iter().map(move |id| (row, id))).collect();
    ids.sort_by_key(|(_, id)| id.names.is_empty());
    ids
}

#[test]
fn udev_rules_are_in_step() {
    let mut rules = String::new();
    for (row, id) in in_order(&profiles().collect::<Vec<_>>()) {
        let _ = write!(rules, "ENV{{ID_VENDOR_ID}}==\"{:04x}\", ", id.vendor);
        let _ = write!(rules, "ENV{{ID_MODEL_ID}}==\"{:04x}\", ", id.product);
        if !id.names.is_empty() {
            let _ = write!(rules, "ATTRS{{product}}==\"{}\", ", id.names.join("|"));
        }
        let _ = write!(rules, "ENV{{.SERIALSHARK_PROFILE}}=\"{}\", ", row.id);
        if row.ports > 1 {
            rules.push_str("ENV{.SERIALSHARK_PORT}=\"-$env{ID_USB_INTERFACE_NUM}\", ");
        }
        rules.push_str("GOTO=\"serialshark_ours\"\n");
    }
    let (begin, end) = ("# begin of profiles", "# end of profiles");
    in_step("udev/60-serialshark.rules", begin, end, &rules);
}

#[test]
fn the_table_is_in_step() {
    let mut table =
        "| profile | what | USB id | protocol | notes |\n|---|---|---|---|---|\n".to_owned();
    for row in profiles() {
        let name = match &row.drawing {
            Some(drawing) => format!("[{}]({drawing})", row.name),
            None => row.name,
        };
        let ids: Vec<_> = row
            .usb
            .iter()
            .map(|id| {
                let names: Vec<_> = id.names.iter().map(|name| format!("\"{name}\"")).collect();
                let number = format!("{:04x}:{:04x}", id.vendor, id.product);
                format!("{number} {}", names.join(" or ")).trim_end().to_owned()
            })
            .collect();
        let protocol = match (&row.protocol, row.kind, row.baud) {
            (Some(protocol), _, Some(baud)) => format!("`{protocol}`, {baud} baud"),
            (Some(protocol), _, None) => format!("`{protocol}`"),
            (None, ProfileKind::Adapter, _) => "any".to_owned(),
            (None, ProfileKind::Sniffer, _) => "none yet".to_owned(),
        };
        let ids = ids.join(", ");
        let _ = writeln!(table, "| `{}` | {name} | {ids} | {protocol} | {} |", row.id, row.notes);
    }
    in_step("hardware/README.md", "<!-- begin of profiles", "<!-- end of profiles", &table);
}

#[test]
fn every_file_is_compiled_in_and_says_what_can_be_true() {
    let files: BTreeSet<_> = std::fs::read_dir(in_project("hardware"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let profiles: Vec<_> = profiles().collect();
    let listed: BTreeSet<_> = profiles.iter().map(|row| row.id.to_owned()).collect();
    assert_eq!((&listed, listed.len()), (&files, profiles.len()));

    let mut seen = BTreeSet::new();
    for row in &profiles {
        // Part of the name of a link, of a unit and of a file.
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(row.id.chars().all(fits), "{}", row.id);
        assert_eq!(row.protocol.is_some(), row.protocol().is_some(), "{}: protocol", row.id);
        assert!(row.init.is_none() || row.protocol().unwrap().takes_init(), "{}: init", row.id);
        assert!(row.baud.is_none() || row.protocol.is_some(), "{}: baud", row.id);
        assert!(row.kind == ProfileKind::Sniffer || row.protocol.is_none(), "{}: any line", row.id);
        assert!(!row.notes.is_empty() && !row.notes.contains('|') && !row.usb.is_empty());
        if let Some(drawing) = &row.drawing {
            assert!(in_project("hardware").join(drawing).is_file(), "{}: {drawing}", row.id);
        }
        for id in &row.usb {
            assert!(id.source.len() > 10, "{}: where is the id from?", row.id);
            let names = if id.names.is_empty() { vec![String::new()] } else { id.names.clone() };
            for name in names {
                assert!(seen.insert((id.vendor, id.product, name)), "{}: id used twice", row.id);
            }
        }
    }
}

#[test]
fn every_drawing_is_used_and_shown() {
    let guide = std::fs::read_to_string(in_project("hardware/README.md")).unwrap();
    for file in std::fs::read_dir(in_project("hardware")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".svg") {
            assert!(guide.contains(&format!("]({name})")), "{name} is not in the guide");
        }
    }
}

#[test]
fn a_name_tells_chips_with_the_same_id_apart() {
    let of = |product: &str| {
        let usb = UsbPortInfo {
            vid: 0x0403,
            pid: 0x6010,
            serial_number: None,
            manufacturer: None,
            product: Some(product.to_owned()),
        };
        profile(&usb).unwrap().id
    };
    assert_eq!(of("M3"), "iotlab-m3");
    assert_eq!(of("Dual RS232-HS"), "ft2232");
}

/// A machine with ports of our choice: /sys/class/tty and /dev as the program sees them, in a
/// mount namespace of its own.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(TempDir::new().unwrap());
        for dir in ["class", "bus/usb", "bus/usb-serial", "dev/pts", "dev/serialshark"] {
            std::fs::create_dir_all(machine.path(dir)).unwrap();
        }
        std::fs::create_dir_all(machine.path("dev/serial/by-id")).unwrap();
        std::fs::write(machine.path("dev/null"), "").unwrap();
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Plugs in a device; what is sent to its port comes out of `pty`.
    fn plug(&self, name: &str, id: &str, serial: Option<&str>, product: &str, pty: &Pty) {
        let device = self.path(&format!("devices/{name}"));
        let interface = device.join("if00");
        let (port, bus) = match name.starts_with("ttyUSB") {
            true => (interface.join(name), "bus/usb-serial"),
            false => (interface, "bus/usb"),
        };
        std::fs::create_dir_all(&port).unwrap();
        symlink(self.path(bus), port.join("subsystem")).unwrap();
        let (vendor, number) = id.split_once(':').unwrap();
        std::fs::write(device.join("idVendor"), format!("{vendor}\n")).unwrap();
        std::fs::write(device.join("idProduct"), format!("{number}\n")).unwrap();
        std::fs::write(device.join("product"), format!("{product}\n")).unwrap();
        if let Some(serial) = serial {
            std::fs::write(device.join("serial"), format!("{serial}\n")).unwrap();
        }
        std::fs::create_dir(self.path("class").join(name)).unwrap();
        let number = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        let major = if name.starts_with("ttyUSB") { 188 } else { 166 };
        let numbers = format!("{major}:{number}\n");
        std::fs::write(self.path("class").join(name).join("dev"), numbers).unwrap();
        symlink(&port, self.path("class").join(name).join("device")).unwrap();
        symlink(pty.path(), self.path("dev").join(name)).unwrap();
    }

    fn link(&self, path: &str, port: &str) {
        symlink(Path::new("/dev").join(port), self.path("dev").join(path)).unwrap();
    }

    /// Runs serialshark there. `None`, loudly, where nothing may be mounted.
    fn run(&self, before: &[&str], args: &[&str]) -> Option<Output> {
        const MOUNT: &str = "mount --bind \"$0/class\" /sys/class/tty \
            && mount --bind /dev/null \"$0/dev/null\" \
            && mount --rbind /dev/pts \"$0/dev/pts\" \
            && mount --rbind \"$0/dev\" /dev && exec \"$@\"";
        let there = || {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", MOUNT]).arg(self.0.path()).stdin(Stdio::null());
            command
        };
        let able = there().arg("true").stderr(Stdio::null()).status();
        if !able.is_ok_and(|status| status.success()) {
            skip("no machine of our own: unshare and mount need root");
            return None;
        }
        let program = env!("CARGO_BIN_EXE_serialshark");
        Some(there().args(before).arg(program).args(args).output().unwrap())
    }
}

#[test]
fn ports_are_listed_with_all_that_is_known_and_what_to_type() {
    let machine = Machine::new();
    let ptys = [Pty::new(), Pty::new(), Pty::new(), Pty::new(), Pty::new()];
    machine.plug("ttyUSB0", "0403:6001", Some("A5 0285"), "FT232R USB UART", &ptys[0]);
    machine.link("serial/by-id/usb-FTDI_A5_0285-if00-port0", "ttyUSB0");
    machine.link("serialshark/ft232r-A5_0285", "ttyUSB0");
    machine.link("serialshark/somebody-elses", "pts");
    machine.plug("ttyUSB1", "0403:6010", Some("17"), "M3", &ptys[1]);
    machine.plug("ttyACM0", "1915:154b", Some("F9"), "nRF\x1b[2J", &ptys[2]);
    machine.plug("ttyACM1", "1d50:6051", None, "Scout", &ptys[3]);
    machine.plug("ttyACM2", "1234:5678", None, "", &ptys[4]);
    let mut program = Program::start([ptys[4].path(), "-q", "-w", "-"]);
    let pid = program.child.id();
    eventually("it has the port open", || {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let mut open = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        open.any(|file| file == ptys[4].path).then_some(())
    });

    let Some(output) = machine.run(&[], &["ports"]) else { return };
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let said = text(&output.stdout);
    let held = format!("serialshark[{pid}]");
    let wide = held.len();
    let should = format!(
        "\
PORT          PROFILE         SERIAL   {:wide$}  PRODUCT
/dev/ttyACM0  nrf52840        F9       {:wide$}  nRF\\u{{1b}}[2J
  try: serialshark /dev/ttyACM0 -p nrf --channel 26 --fifo /tmp/sharkfin
/dev/ttyACM1  pinoccio-scout  -        {:wide$}  Scout
  try: serialshark /dev/ttyACM1 -p pinoccio --init 'module.enable(\"sniffer\"); \
            sniffer.start(1);\\r\\n' --fifo /tmp/sharkfin
/dev/ttyACM2  -               -        {held}  -
  in use: serialshark (process {pid}) has it open
/dev/ttyUSB0  ft232r          A5_0285  {:wide$}  FT232R USB UART
  /dev/serialshark/ft232r-A5_0285
  /dev/serial/by-id/usb-FTDI_A5_0285-if00-port0
  try: serialshark /dev/serialshark/ft232r-A5_0285 --fifo /tmp/sharkfin
/dev/ttyUSB1  iotlab-m3       17       {:wide$}  M3
  try: serialshark /dev/ttyUSB1 -p riot --channel 26 -b 500000 --fifo /tmp/sharkfin
",
        "HELD-BY", "-", "-", "-", "-"
    );
    assert_eq!(said, should);
    program.terminate();
    // It has opened none: nothing was sent, and raw mode, which opening sets, is not set.
    for pty in &ptys[..4] {
        pty.send(b"x");
        assert_eq!(pty.receive_until(|octets| !octets.is_empty()), b"x", "echo is off");
    }
}

/// What `ports` says to somebody who is not root, with one port.
fn ports_for_nobody(pty: &Pty) -> Option<String> {
    let machine = Machine::new();
    machine.plug("ttyUSB0", "1a86:7523", None, "USB Serial", pty);
    for dir in ["", "class", "devices", "bus", "dev"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(machine.path(dir), mode).unwrap();
    }
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    machine.run(&nobody, &["ports"]).map(|output| text(&output.stdout))
}

#[test]
fn a_port_that_others_own_is_told_with_what_helps() {
    let Some(said) = ports_for_nobody(&Pty::new()) else { return };
    assert!(said.contains("\n  no permission to open it: sudo usermod -aG dialout"), "{said}");
}

/// The service's files are hidden from those who ask why they cannot have the port.
#[test]
fn who_has_a_port_is_told_to_other_users_too() {
    let pty = Pty::new();
    let mut program = Program::start([pty.path(), "-w", "-"]);
    program.wait_for("reading mstp");
    let Some(said) = ports_for_nobody(&pty) else { return };
    let named = format!("\n  in use: serialshark (process {}) has it open", program.child.id());
    assert!(said.contains(&named), "{said}");
    program.terminate();
}

#[test]
fn a_machine_without_ports_is_told_what_to_try() {
    let Some(output) = Machine::new().run(&[], &["ports"]) else { return };
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""));
    let said = text(&output.stderr);
    assert!(said.starts_with("serialshark: no serial port found") && said.contains("sim:mstp"));
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn ports_is_a_first_word_and_takes_no_other() {
    let (code, help, said) = run(&["ports", "--help"]);
    assert!(code == 0 && said.is_empty() && text(&help).contains("Usage: serialshark ports"));
    let (code, listed, said) = run(&["ports", "-v"]);
    assert!(code == 2 && listed.is_empty() && said.contains("'-v'"), "{said}");
    // On whatever machine this is: as many lines as ports, each a file of /dev.
    let (code, listed, _) = run(&["ports"]);
    assert_eq!(code, 0);
    for line in text(&listed).lines().filter(|line| line.starts_with('/')) {
        assert!(Path::new(line.split(' ').next().unwrap()).exists(), "{line}");
        assert!(line.split_whitespace().count() >= 5, "{line}");
    }
}

#[test]
fn wireshark_hears_of_the_profile_and_its_dialogue_begins_with_it() {
    let machine = Machine::new();
    let ptys = [Pty::new(), Pty::new(), Pty::new()];
    machine.plug("ttyUSB0", "0403:6001", Some("A1"), "FT232R USB UART", &ptys[0]);
    machine.plug("ttyUSB1", "0403:6010", Some("17"), "M3", &ptys[1]);
    machine.plug("ttyACM0", "1d50:6051", None, "Scout", &ptys[2]);
    let Some(output) = machine.run(&[], &["--extcap-interfaces"]) else { return };
    let said = text(&output.stdout);
    for port in [
        "{display=Serial port ttyUSB0: FT232R USB UART, A1 (FTDI FT232R)}",
        "{display=Serial port ttyUSB1: M3, 17 (IoT-LAB M3)}",
        "{display=Serial port ttyACM0: Scout (Pinoccio Scout)}",
    ] {
        assert!(said.contains(port), "{said}");
    }
    let ask = |port: &str, more: &[&str]| {
        let interface = format!("serialshark-{port}");
        machine.run(&[], &[&["--extcap-interface", &interface], more].concat()).unwrap()
    };
    for (port, protocol) in [("ttyUSB0", "auto"), ("ttyUSB1", "riot"), ("ttyACM0", "pinoccio")] {
        let said = text(&ask(port, &["--extcap-config"]).stdout);
        let default = said.lines().find(|line| line.ends_with("{default=true}")).unwrap();
        assert!(default.contains(&format!("{{value={protocol}}}")), "{port}: {said}");
        assert_eq!(said.contains("IoT-LAB M3: 500000"), port == "ttyUSB1", "{said}");
    }

    // Wireshark keeps what was chosen for the adapter that had this name before.
    let chosen = ["--protocol", "riot", "--channel", "26", "--adapter", "1209:7d00 7"];
    let output = ask("ttyUSB0", &[&["--capture", "--fifo", "/dev/null"], &chosen[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("ttyUSB0: is no longer 1209:7d00 7"), "{said}");
    assert_eq!(ptys[0].received_now(), b"");

    // Its USB ids alone do not make us send anything.
    for port in ["ttyUSB1", "ttyACM0"] {
        let output = ask(port, &["--capture", "--fifo", "/dev/null"]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(
            said.contains("sends commands to the sniffer") && said.lines().count() == 1,
            "{said}"
        );
    }
    assert_eq!(ptys[1].received_now(), b"");
    assert_eq!(ptys[2].received_now(), b"");
}
