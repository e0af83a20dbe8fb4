//! `serialshark ports`: every serial port of this machine, and what to type next.
//!
//! Opens no port. A line that begins with a slash is a port, in columns for people and of words
//! for awk, with the product at its end, since that alone may have spaces; `-` is for what is
//! not known. The lines below it, indented, are for people: its stable names, which stay when it
//! is plugged in elsewhere, and a command.

use crate::error::Error;
use crate::framing::Channel;
use crate::hardware::{self, Kind, Profile};
use crate::source::{holder::holder, serial};
use rustix::fs::{Access, access};
use serialport::{SerialPortInfo, SerialPortType, UsbPortInfo};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const HELP: &str = "\
Lists the serial ports of this machine, and opens none of them

Usage: serialshark ports

A line for each port: its name, its profile (see hardware/README.md), its serial number, the
program that has it open as far as you may see, and its product; below it the names that stay when
it is plugged in elsewhere, and what to type next. The ports alone: serialshark ports | grep ^/
A port that is called ports is ./ports.
";

/// Where udev puts stable names; ours first.
const STABLE: [&str; 2] = ["/dev/serialshark", "/dev/serial/by-id"];

/// Answers if the user asked for the ports: the exit code. `None` if not.
pub fn run(args: &[OsString]) -> Option<u8> {
    let words: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let said = match words.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        ["ports"] => {
            let found: Vec<_> = serial::ports().into_iter().map(Found::about).collect();
            if found.is_empty() {
                let _ = writeln!(
                    io::stderr(),
                    "serialshark: no serial port found: plug an adapter in, or try the \
                     simulated one: serialshark sim:mstp"
                );
            }
            list(&found)
        }
        ["ports", "-h" | "--help"] => HELP.to_owned(),
        ["ports", ..] => {
            let what = format!("takes no {}", words[1..].join(" "));
            let error = Error::new("ports", what).hint("a port of this name is ./ports");
            let _ = writeln!(io::stderr(), "serialshark: {error}");
            return Some(2);
        }
        _ => return None,
    };
    // Fails when nobody wants to know any more.
    let _ = io::stdout().write_all(said.as_bytes());
    Some(0)
}

/// A port, and what the machine tells of it.
struct Found {
    name: String,
    usb: Option<UsbPortInfo>,
    profile: Option<Profile>,
    /// Names that stay, the best one first.
    stable: Vec<String>,
    holder: Option<(u32, String)>,
    /// Whether we may open it.
    ours: bool,
}

impl Found {
    fn about(port: SerialPortInfo) -> Self {
        let path = Path::new(&port.port_name);
        let (stable, holder) = (stable_names(path), holder(path));
        let ours = access(path, Access::READ_OK | Access::WRITE_OK).is_ok();
        let usb = match port.port_type {
            SerialPortType::UsbPort(usb) => Some(usb),
            _ => None,
        };
        let profile = usb.as_ref().and_then(hardware::profile);
        Self { name: port.port_name, usb, profile, stable, holder, ours }
    }

    /// All but the product is one word.
    fn columns(&self) -> [String; 5] {
        let usb = self.usb.as_ref();
        let serial_number = usb.and_then(|usb| usb.serial_number.as_deref());
        let holder = self.holder.as_ref().map(|(pid, program)| format!("{program}[{pid}]"));
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
        if let Some((pid, program)) = &self.holder {
            return format!("in use: {} (process {pid}) has it open", clean(program));
        }
        if !self.ours {
            return "not yours to open: sudo usermod -aG dialout $USER, and log in again"
                .to_owned();
        }
        let mut command = format!("try: serialshark {}", self.stable.first().unwrap_or(&self.name));
        if let Some(profile) = &self.profile {
            match profile.protocol() {
                Some(protocol) => {
                    let _ = write!(command, " -p {}", protocol.name);
                    if protocol.channel == Channel::Required {
                        command.push_str(" --channel 26");
                    }
                }
                None if profile.kind == Kind::Sniffer => {
                    return format!("not read by serialshark yet: {}", profile.name);
                }
                None => {}
            }
            if let Some(baud) = profile.baud {
                let _ = write!(command, " -b {baud}");
            }
            if let Some(init) = &profile.init {
                let _ = write!(command, " --init '{init}'");
            }
        }
        command.push_str(" --fifo /tmp/sharkfin");
        command
    }
}

/// The links to a port in the directories of stable names.
fn stable_names(port: &Path) -> Vec<String> {
    let Ok(target) = port.canonicalize() else { return Vec::new() };
    let mut names = Vec::new();
    for dir in STABLE {
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
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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
