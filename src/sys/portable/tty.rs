//! What the machine tells of its serial ports, none of which is opened for it.

use serialport::{SerialPortInfo, SerialPortType, UsbPortInfo};
use std::fmt;
use std::path::{Path, PathBuf};

/// A serial port of this machine.
#[derive(Clone, Debug)]
pub struct Tty {
    /// Its name, such as `COM5` or `/dev/cu.usbserial-1`.
    pub path: PathBuf,
    /// What is behind it, if that is a USB device.
    pub usb: Option<UsbPortInfo>,
    /// Whether the kernel writes its own messages there: not that we knew.
    pub is_console: bool,
}

impl Tty {
    /// Whether a name that is made of its serial number can lead to no other adapter.
    pub fn has_own_number(&self) -> bool {
        self.usb.as_ref().is_none_or(|usb| usb.serial_number.is_some())
    }
}

/// The serial ports of this machine, in the order of their names.
pub fn list() -> Vec<Tty> {
    let tty = |port: SerialPortInfo| {
        let usb = match port.port_type {
            SerialPortType::UsbPort(usb) => Some(usb),
            _ => None,
        };
        Tty { path: port.port_name.into(), usb, is_console: false }
    };
    let mut found: Vec<_> =
        serialport::available_ports().unwrap_or_default().into_iter().map(tty).collect();
    found.sort_by_key(|tty| natural(&tty.path));
    found
}

/// `COM10` behind `COM9`.
fn natural(path: &Path) -> (String, u64) {
    let name = path.to_string_lossy().into_owned();
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    (stem.to_owned(), number.parse().unwrap_or(0))
}

/// A port's name without what may stand before it: `COM5` for `\\.\COM5`.
fn bare(path: &Path) -> String {
    let name = path.to_string_lossy();
    name.strip_prefix(r"\\.\").unwrap_or(&name).to_ascii_uppercase()
}

/// The port of this name among those that are there.
fn find(path: &Path) -> Option<Tty> {
    list().into_iter().find(|tty| bare(&tty.path) == bare(path))
}

/// What a port is, whatever it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A USB adapter.
    Usb {
        /// Vendor and product number.
        ids: (u16, u16),
        /// Its product string.
        product: String,
        /// Its serial number, if it has one.
        serial: Option<String>,
    },
    /// Another port: its name.
    Named(String),
}

impl Identity {
    /// That of the port of this name.
    pub fn of(path: &Path) -> Self {
        match find(path).and_then(|tty| tty.usb) {
            Some(usb) => Self::Usb {
                ids: (usb.vid, usb.pid),
                product: usb.product.unwrap_or_default(),
                serial: usb.serial_number,
            },
            None => Self::Named(bare(path)),
        }
    }

    /// Whether a port that has come is the one that went.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Usb { ids, serial, .. }, Self::Usb { ids: others, serial: another, .. }) => {
                ids == others && serial == another
            }
            (one, other) => one == other,
        }
    }

    /// Whether it is a pseudo-terminal: not that we knew.
    pub fn is_pty(&self) -> bool {
        false
    }

    /// Whether the adapter itself is still plugged in although its port has gone: nothing tells.
    pub fn is_plugged_in(&self) -> bool {
        false
    }

    /// The USB numbers, if it has them.
    pub fn usb_ids(&self) -> Option<(u16, u16)> {
        match self {
            Self::Usb { ids, .. } => Some(*ids),
            Self::Named(_) => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usb { ids: (vendor, product_id), product, serial } => {
                let product = if product.is_empty() { "USB adapter" } else { product };
                write!(f, "{product} ({vendor:04x}:{product_id:04x}")?;
                match serial {
                    Some(serial) => write!(f, ", serial number {serial})"),
                    None => f.write_str(")"),
                }
            }
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// Whether we may open it, as far as can be told.
pub fn may_open(_path: &Path) -> bool {
    true
}

/// The path that this name stands for, wherever we may be later. Ports of Windows are in no directory.
pub fn absolute(name: &Path) -> PathBuf {
    if cfg!(windows) {
        return name.to_owned();
    }
    std::path::absolute(name).unwrap_or_else(|_| name.to_owned())
}

/// Whether a port of this name is there.
pub fn exists(path: &Path) -> bool {
    find(path).is_some()
}

/// The path of the port that is called so, without the directory that all ports are in.
pub fn path_of(name: &str) -> String {
    if cfg!(windows) { name.to_owned() } else { format!("/dev/{name}") }
}

/// The name of the port with this path, if [`path_of`] leads back to it.
pub fn name_of(path: &str) -> Option<&str> {
    if cfg!(windows) { Some(path) } else { path.strip_prefix("/dev/") }
}

/// Whether there is a pseudo-terminal at this path: none whose number matters.
pub fn is_pty_at(_path: &Path) -> bool {
    false
}

/// The links that this name goes through: none that matter.
pub fn links(_path: &Path) -> Vec<Link> {
    Vec::new()
}

/// What a link is known by.
pub type Link = ();
