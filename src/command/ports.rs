//! `serialshark ports`: every serial port of this machine, and what to type next.
//!
//! Opens no port. A line that begins with a slash is a port, in columns for people and of words
//! for awk, with the product at its end, since that alone may have spaces; `-` is for what is
//! not known. The lines below it, indented, are for people: its stable names, which stay when it
//! is plugged in elsewhere, and a command.

use crate::framing::Channel;
use crate::hardware::{self, Profile, ProfileKind};
use crate::printable::printable;
use crate::sys::holder::{Holder, holder};
use crate::sys::tty::{self, Tty};
use serde_json::json;
use serialport::UsbPortInfo;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Where udev puts stable names; ours first.
const STABLE: [&str; 2] = ["/dev/serialshark", "/dev/serial/by-id"];

/// Lists them, and returns the exit code.
pub(super) fn run(json: bool) -> u8 {
    let found: Vec<_> = tty::list().into_iter().map(Found::about).collect();
    if found.is_empty() && !json {
        let _ = writeln!(io::stderr(), "serialshark: {NO_PORT}");
    }
    let said = if json { as_json(&found) } else { list(&found) };
    // Fails when nobody wants to know any more.
    let _ = io::stdout().write_all(said.as_bytes());
    0
}

const NO_PORT: &str = "no serial port found: plug in an adapter, or try the simulated port: \
                       serialshark sim:mstp";

/// Nothing was typed: shows the ports and what to type next, and returns the exit code of wrong
/// usage.
pub(super) fn invite() -> u8 {
    let found: Vec<_> = tty::list().into_iter().map(Found::about).collect();
    let ports = if found.is_empty() { format!("{NO_PORT}\n") } else { list(&found) };
    let said = format!(
        "serialshark captures a serial line, live in Wireshark.\n\n\
         Usage: serialshark [OPTIONS] <PORT>...\n\n{ports}\n\
         To see how it looks: serialshark sim:mstp --wireshark\nAll options: serialshark --help\n"
    );
    let _ = io::stderr().write_all(said.as_bytes());
    2
}

fn as_json(ports: &[Found]) -> String {
    let ports: Vec<_> = ports
        .iter()
        .map(|port| {
            let usb = port.usb.as_ref();
            let holder = port.holder.as_ref();
            json!({
                "name": port.name,
                "stable_names": port.stable,
                "profile": port.profile.as_ref().map(|profile| &profile.id),
                "vendor_id": usb.map(|usb| format!("{:04x}", usb.vid)),
                "product_id": usb.map(|usb| format!("{:04x}", usb.pid)),
                "manufacturer": usb.and_then(|usb| usb.manufacturer.as_ref()),
                "product": usb.and_then(|usb| usb.product.as_ref()),
                "serial_number": usb.and_then(|usb| usb.serial_number.as_ref()),
                "held_by": holder.map(|holder| json!({
                    "program": holder.program,
                    "pid": holder.pid,
                })),
                "is_console": port.is_console,
                "may_open": port.ours,
                "advice": port.advice(),
            })
        })
        .collect();
    format!("{:#}\n", json!(ports))
}

/// A port, and what the machine tells of it.
struct Found {
    name: String,
    usb: Option<UsbPortInfo>,
    profile: Option<Profile>,
    /// Names that stay, the best one first.
    stable: Vec<String>,
    holder: Option<Holder>,
    is_console: bool,
    /// Whether we may open it.
    ours: bool,
}

impl Found {
    fn about(port: Tty) -> Self {
        let (stable, holder) = (stable_names(&port), holder(&port.path));
        let ours = tty::may_open(&port.path);
        let profile = port.usb.as_ref().and_then(hardware::profile);
        let name = port.path.display().to_string();
        let is_console = port.is_console;
        Self { name, usb: port.usb, profile, stable, holder, is_console, ours }
    }

    /// All but the product is one word.
    fn columns(&self) -> [String; 5] {
        let usb = self.usb.as_ref();
        let serial_number = usb.and_then(|usb| usb.serial_number.as_deref());
        let holder = self.holder.as_ref();
        let holder = holder.map(|holder| format!("{}[{}]", holder.program, holder.pid));
        let product = usb.and_then(|usb| usb.product.as_deref());
        let product = product.filter(|product| !product.trim().is_empty());
        [
            self.name.clone(),
            word(self.profile.as_ref().map(|profile| profile.id)),
            word(serial_number),
            word(holder.as_deref()),
            product.map_or_else(|| "-".to_owned(), clean),
        ]
    }

    /// What to do with it.
    fn advice(&self) -> String {
        if self.is_console {
            return "the console of this machine: the kernel writes its messages there".to_owned();
        }
        if let Some(holder) = &self.holder {
            let login = ["agetty", "getty", "mgetty", "login"].contains(&holder.program.as_str());
            let what = if login { "a login" } else { "in use" };
            return format!("{what}: {} has it open", clean(&holder.to_string()));
        }
        if !self.ours {
            return "no permission to open it: sudo usermod -aG dialout $USER, and log in again"
                .to_owned();
        }
        let mut command = format!("try: serialshark {}", self.stable.first().unwrap_or(&self.name));
        if let Some(profile) = &self.profile {
            match profile.protocol() {
                Some(protocol) => {
                    let _ = write!(command, " -p {}", protocol.name);
                    if protocol.channel() == Channel::Required {
                        command.push_str(" --channel 26");
                    }
                }
                None if profile.kind == ProfileKind::Sniffer => {
                    return format!("not supported by serialshark yet: {}", profile.name);
                }
                None => {}
            }
            if let Some(baud) = profile.baud {
                let _ = write!(command, " -b {baud}");
            }
            for (option, state) in [("--dtr", &profile.dtr), ("--rts", &profile.rts)] {
                if let Some(state) = state {
                    let _ = write!(command, " {option} {state}");
                }
            }
            if let Some(init) = &profile.init {
                let _ = write!(command, " --init '{init}'");
            }
        }
        let output = if cfg!(windows) { " --pipe sharkfin" } else { " --fifo /tmp/sharkfin" };
        command.push_str(output);
        command
    }
}

/// The links to a port in the directories of stable names, the best one first. Where another
/// adapter of the same kind has no serial number either, both would be called the same by it, and
/// the link leads to the one that came last: there the place is the better name.
fn stable_names(port: &Tty) -> Vec<String> {
    let Ok(target) = port.path.canonicalize() else { return Vec::new() };
    let mut names = Vec::new();
    let by_place = ["/dev/serial/by-path"];
    let dirs = if port.has_own_number() { &STABLE[..] } else { &by_place };
    for dir in dirs {
        let links = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|link| link.path());
        let mut ours: Vec<PathBuf> =
            links.filter(|link| link.canonicalize().is_ok_and(|file| file == target)).collect();
        ours.sort();
        names.extend(ours.iter().map(|link| link.display().to_string()));
    }
    names
}

/// What a device says of itself is not for the terminal to obey.
fn clean(text: &str) -> String {
    printable(text).into_owned()
}

/// The same as one word.
fn word(text: Option<&str>) -> String {
    let words: Vec<_> = text.map(clean).unwrap_or_default().split(' ').map(str::to_owned).collect();
    let word = words.join("_");
    if word.is_empty() { "-".to_owned() } else { word }
}

fn list(ports: &[Found]) -> String {
    if ports.is_empty() {
        return String::new();
    }
    let heads = ["PORT", "PROFILE", "SERIAL", "HELD-BY", "PRODUCT"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(heads).chain(ports.iter().map(Found::columns)).collect();
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut said = String::new();
    for (n, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(said, "{cell:width$}  ");
        }
        let _ = writeln!(said, "{}", row[4]);
        let Some(port) = n.checked_sub(1).map(|n| &ports[n]) else { continue };
        for name in &port.stable {
            let _ = writeln!(said, "  {name}");
        }
        let _ = writeln!(said, "  {}", port.advice());
    }
    said
}
