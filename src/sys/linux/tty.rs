//! What the machine tells of its ttys, none of which is opened for it: opening alone raises DTR
//! and RTS, and on somebody's RS-485 line that may drive the bus.

use rustix::fs::{FileType, Stat, lstat, major, minor, stat};
use serialport::UsbPortInfo;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the kernel lists its ttys.
const SYSFS: &str = "/sys/class/tty";
/// Majors of Unix 98 pseudo-terminals, of which sysfs says nothing.
pub const PTS: std::ops::RangeInclusive<u32> = 136..=143;

/// A serial port of this machine.
#[derive(Clone, Debug)]
pub struct Tty {
    /// Its node, such as `/dev/ttyUSB0`.
    pub path: PathBuf,
    /// What is behind it, if that is a USB device.
    pub usb: Option<UsbPortInfo>,
    /// Where that is plugged in, with the number of its interface: `1-1.2:1.0`.
    place: Option<String>,
    /// Whether the kernel writes its own messages there.
    pub is_console: bool,
}

impl Tty {
    /// Whether its link in `/dev/serial/by-id` can lead to no other adapter: it has a serial number,
    /// which no other one here has too, or it is the only one of its kind.
    pub fn has_own_number(&self) -> bool {
        match Identity::of_usb(self, &list()) {
            Some(Identity::Usb { serial, .. }) => serial.is_some() || self.is_only_one(),
            _ => true,
        }
    }

    fn is_only_one(&self) -> bool {
        let ids = |tty: &Tty| tty.usb.as_ref().map(|usb| (usb.vid, usb.pid));
        list().iter().all(|other| other.place == self.place || ids(other) != ids(self))
    }
}

/// The serial ports of this machine, in the order of their names.
pub fn list() -> Vec<Tty> {
    list_in(Path::new(SYSFS))
}

/// The same, as far as this directory knows.
fn list_in(sysfs: &Path) -> Vec<Tty> {
    let text = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let consoles = text(sysfs.join("console/active"));
    let entries = std::fs::read_dir(sysfs).into_iter().flatten().flatten();
    let mut found: Vec<Tty> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let numbers = text(entry.path().join("dev"));
            let (major, minor) = numbers.split_once(':')?;
            // The kernel has a ttyS for each UART that a PC could have; 0 means that it has not.
            let is_absent = text(entry.path().join("type")) == "0";
            if is_absent || has_no_line(major.parse().ok()?, minor.parse().ok()?) {
                return None;
            }
            let (usb, place) = usb(&entry.path()).unzip();
            let is_console = consoles.split_whitespace().any(|console| console == name);
            // sysfs has an exclamation mark for a slash.
            let path = Path::new("/dev").join(name.replace('!', "/"));
            Some(Tty { path, usb, place, is_console })
        })
        .collect();
    found.sort_by_key(|tty| natural(&tty.path));
    found
}

/// `ttyUSB10` behind `ttyUSB9`.
fn natural(path: &Path) -> (String, u64) {
    let name = path.to_string_lossy().into_owned();
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    (stem.to_owned(), number.parse().unwrap_or(0))
}

/// Whether a tty with these device numbers (devices.txt of the kernel) has no line: a virtual
/// console, the name of another tty, or half of a pseudo-terminal.
pub fn has_no_line(major: u32, minor: u32) -> bool {
    match major {
        2 | 3 => true,
        4 => minor < 64,
        5 => minor < 64,
        major => PTS.contains(&major),
    }
}

/// The USB device behind a tty of sysfs, and where it is plugged in.
fn usb(entry: &Path) -> Option<(UsbPortInfo, String)> {
    let device = entry.join("device").canonicalize().ok()?;
    let mut place = None;
    for dir in device.ancestors() {
        let name = dir.file_name()?.to_string_lossy();
        if place.is_none() && name.contains(':') && name.contains('-') {
            place = Some(name.into_owned());
        }
        let text =
            |file: &str| Some(std::fs::read_to_string(dir.join(file)).ok()?.trim().to_owned());
        if let (Some(vendor), Some(product)) = (text("idVendor"), text("idProduct")) {
            let number = |hex: &str| u16::from_str_radix(hex, 16).ok();
            let usb = UsbPortInfo {
                vid: number(&vendor)?,
                pid: number(&product)?,
                serial_number: text("serial").filter(|text| !text.is_empty()),
                manufacturer: text("manufacturer"),
                product: text("product"),
            };
            return Some((usb, place.unwrap_or_default()));
        }
    }
    None
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
        /// Its serial number, if no other adapter here has the same.
        serial: Option<String>,
        /// Where it is plugged in.
        place: String,
    },
    /// Another port: its device number.
    Device(u64),
    /// A pseudo-terminal, which is nothing beyond its number.
    Pty,
}

impl Identity {
    /// That of the port with this node.
    pub fn of(stat: &Stat) -> Self {
        if is_pty(stat) {
            return Self::Pty;
        }
        let ttys = list();
        let numbers = format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev));
        let is_it = |tty: &&Tty| {
            let name = tty.path.file_name().unwrap_or_default();
            let dev = std::fs::read_to_string(Path::new(SYSFS).join(name).join("dev"));
            dev.is_ok_and(|dev| dev.trim() == numbers)
        };
        let usb = ttys.iter().find(is_it);
        usb.and_then(|tty| Self::of_usb(tty, &ttys)).unwrap_or(Self::Device(stat.st_rdev))
    }

    fn of_usb(tty: &Tty, all: &[Tty]) -> Option<Self> {
        let (usb, place) = (tty.usb.as_ref()?, tty.place.clone()?);
        let device = |place: &str| place.split(':').next().unwrap_or_default().to_owned();
        let is_twin = |other: &Tty| {
            let twin = other.usb.as_ref().is_some_and(|twin| {
                (twin.vid, twin.pid) == (usb.vid, usb.pid)
                    && twin.serial_number == usb.serial_number
            });
            twin && other.place.as_deref().map(device) != Some(device(&place))
        };
        let is_unique = !all.iter().any(is_twin);
        Some(Self::Usb {
            ids: (usb.vid, usb.pid),
            product: usb.product.clone().unwrap_or_default(),
            serial: usb.serial_number.clone().filter(|_| is_unique),
            place,
        })
    }

    /// Whether a port that has come is the one that went. An adapter with a serial number may be
    /// plugged in elsewhere; one without is known by its place alone.
    pub fn is_same(&self, other: &Self) -> bool {
        let interface = |place: &str| place.split(':').next_back().unwrap_or_default().to_owned();
        match (self, other) {
            (
                Self::Usb { ids, serial: Some(serial), place, .. },
                Self::Usb {
                    ids: other_ids, serial: Some(other_serial), place: other_place, ..
                },
            ) => {
                ids == other_ids
                    && serial == other_serial
                    && interface(place) == interface(other_place)
            }
            (
                Self::Usb { ids, place, .. },
                Self::Usb { ids: other_ids, place: other_place, .. },
            ) => ids == other_ids && place == other_place,
            (one, other) => one == other,
        }
    }

    /// Whether it is a pseudo-terminal, whose number is soon another one's.
    pub fn is_pty(&self) -> bool {
        matches!(self, Self::Pty)
    }

    /// Whether the adapter itself is still plugged in, as far as sysfs tells: then a port that has
    /// gone was taken away by a program.
    pub fn is_plugged_in(&self) -> bool {
        let Self::Usb { place, .. } = self else { return false };
        let device = place.split(':').next().unwrap_or_default();
        !device.is_empty() && Path::new("/sys/bus/usb/devices").join(device).exists()
    }

    /// The USB numbers, if it has them.
    pub fn usb_ids(&self) -> Option<(u16, u16)> {
        match self {
            Self::Usb { ids, .. } => Some(*ids),
            _ => None,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usb { ids: (vendor, product_id), product, serial, place } => {
                let product = if product.is_empty() { "USB adapter" } else { product };
                write!(f, "{product} ({vendor:04x}:{product_id:04x}, ")?;
                match serial {
                    Some(serial) => write!(f, "serial number {serial})"),
                    None => write!(f, "at {place})"),
                }
            }
            Self::Device(number) => write!(f, "device {}:{}", major(*number), minor(*number)),
            Self::Pty => f.write_str("a pseudo-terminal"),
        }
    }
}

/// Whether a file is a tty: a character device of that class, as far as the kernel tells.
pub fn is_tty(stat: &Stat) -> bool {
    let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
    let class = Path::new("/sys/dev/char").join(format!("{major}:{minor}/subsystem"));
    is_device(stat)
        && (PTS.contains(&major) || class.read_link().map_or(true, |class| class.ends_with("tty")))
}

fn is_device(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
}

/// Whether a file is a pseudo-terminal.
pub fn is_pty(stat: &Stat) -> bool {
    is_device(stat) && PTS.contains(&major(stat.st_rdev))
}

/// Whether a file is a virtual console, another name for a terminal, or the maker of
/// pseudo-terminals: to open one takes a keyboard away, or makes a terminal that nobody has.
pub fn is_virtual(stat: &Stat) -> bool {
    const MAKER_SIDE: u32 = 2;
    let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
    is_device(stat) && [MAKER_SIDE, 4, 5].contains(&major) && has_no_line(major, minor)
}

/// Whether a file is a terminal that this program itself is used from: the controlling one, by
/// whatever name, or one that it reads or writes.
pub fn is_own_terminal(stat: &Stat) -> bool {
    const THE_CONTROLLING_ONE: (u32, u32) = (5, 0);
    if !is_device(stat) {
        return false;
    }
    let numbers = (major(stat.st_rdev), minor(stat.st_rdev));
    let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    numbers == THE_CONTROLLING_ONE
        || controlling_terminal() == Some(numbers)
        || stdio.into_iter().any(|fd| {
            rustix::termios::isatty(fd)
                && rustix::fs::fstat(fd).is_ok_and(|own| own.st_rdev == stat.st_rdev)
        })
}

/// The device numbers of the terminal that controls this process: field 7 of proc_pid_stat(5).
pub fn controlling_terminal() -> Option<(u32, u32)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    terminal(&stat)
}

fn terminal(stat: &str) -> Option<(u32, u32)> {
    // Behind the name of the program, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let number: i64 = rest.split_whitespace().nth(4)?.parse().ok()?;
    let number = (number != 0).then_some(number)? as u32;
    Some((number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00))
}

/// The path that this name stands for, wherever we may be later.
pub fn absolute(name: &Path) -> PathBuf {
    std::path::absolute(name).unwrap_or_else(|_| name.to_owned())
}

/// Whether there is a pseudo-terminal at this path.
pub fn is_pty_at(path: &Path) -> bool {
    stat(path).is_ok_and(|stat| is_pty(&stat))
}

/// Whether there is something at this path.
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// Whether we may open it.
pub fn may_open(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok()
}

/// The path of the port that is called so, without the directory that all ports are in.
pub fn path_of(name: &str) -> String {
    format!("/dev/{name}")
}

/// The name of the port with this path, if [`path_of`] leads back to it.
pub fn name_of(path: &str) -> Option<&str> {
    path.strip_prefix("/dev/")
}

/// The links that this name goes through, each known by what changes when it is made anew. A name
/// with none is that of the node itself.
pub fn links(path: &Path) -> Vec<Link> {
    /// As many as the kernel follows.
    const MOST: usize = 40;
    let mut links = Vec::new();
    let mut path = path.to_owned();
    while links.len() < MOST
        && let (Ok(target), Ok(stat)) = (path.read_link(), lstat(&path))
    {
        links.push((stat.st_dev, stat.st_ino, (stat.st_ctime, stat.st_ctime_nsec as i64)));
        path.pop();
        path.push(target);
    }
    links
}

/// Device, inode, and when that was changed last.
pub type Link = (u64, u64, (i64, i64));

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A made-up sysfs: `class/tty` with links into `devices`.
    fn sysfs() -> tempfile::TempDir {
        let root = tempfile::TempDir::new().unwrap();
        let class = root.path().join("class/tty");
        std::fs::create_dir_all(class.join("console")).unwrap();
        std::fs::write(class.join("console/active"), "tty0 ttyAMA0\n").unwrap();
        std::fs::write(class.join("console/dev"), "5:1\n").unwrap();
        let write = |dir: &Path, file: &str, text: &str| {
            std::fs::create_dir_all(dir).unwrap();
            std::fs::write(dir.join(file), text).unwrap();
        };
        for (name, dev, uart) in [
            ("tty", "5:0", None),
            ("tty0", "4:0", None),
            ("tty63", "4:63", None),
            ("ptmx", "5:2", None),
            ("ptyp0", "2:0", None),
            ("ttyS0", "4:64", Some("4")),
            ("ttyS1", "4:65", Some("0")),
            ("ttyAMA0", "204:64", Some("32")),
            ("ttySC0", "240:0", None),
            ("ttymxc0", "207:16", None),
            ("ttyr00", "30:0", None),
            ("ttyGS0", "241:0", None),
            ("tnt0", "242:0", None),
            ("ttyUSB10", "188:10", None),
            ("ttyUSB9", "188:9", None),
            ("ttyACM0", "166:0", None),
        ] {
            write(&class.join(name), "dev", &format!("{dev}\n"));
            if let Some(uart) = uart {
                write(&class.join(name), "type", uart);
            }
        }
        for (tty, port, serial) in [("ttyUSB9", "1-1", Some("A1")), ("ttyUSB10", "1-2", None)] {
            let device = root.path().join(format!("devices/usb1/{port}"));
            write(&device, "idVendor", "0403\n");
            write(&device, "idProduct", "6001\n");
            write(&device, "product", "FT232R USB UART\n");
            if let Some(serial) = serial {
                write(&device, "serial", serial);
            }
            let node = device.join(format!("{port}:1.0/{tty}"));
            std::fs::create_dir_all(&node).unwrap();
            symlink(node, class.join(tty).join("device")).unwrap();
        }
        root
    }

    #[test]
    fn every_tty_with_a_line_is_listed_and_no_other() {
        let root = sysfs();
        let found = list_in(&root.path().join("class/tty"));
        let names: Vec<_> = found.iter().map(|tty| tty.path.to_str().unwrap()).collect();
        let expected = [
            "/dev/tnt0",
            "/dev/ttyACM0",
            "/dev/ttyAMA0",
            "/dev/ttyGS0",
            "/dev/ttyS0",
            "/dev/ttySC0",
            "/dev/ttyUSB9",
            "/dev/ttyUSB10",
            "/dev/ttymxc0",
            "/dev/ttyr00",
        ];
        assert_eq!(names, expected);
        let consoles: Vec<_> = found.iter().filter(|tty| tty.is_console).collect();
        assert_eq!(consoles.len(), 1);
        assert_eq!(consoles[0].path, Path::new("/dev/ttyAMA0"));
        let usb = found[6].usb.as_ref().unwrap();
        assert_eq!((usb.vid, usb.pid, usb.serial_number.as_deref()), (0x403, 0x6001, Some("A1")));
        assert_eq!(found[6].place.as_deref(), Some("1-1:1.0"));
    }

    #[test]
    fn an_adapter_is_known_by_its_serial_number_or_by_its_place() {
        let root = sysfs();
        let found = list_in(&root.path().join("class/tty"));
        let with = Identity::of_usb(&found[6], &found).unwrap();
        let without = Identity::of_usb(&found[7], &found).unwrap();
        let moved = |tty: &Tty| {
            let elsewhere = Tty { place: Some("2-4.1:1.0".into()), ..tty.clone() };
            Identity::of_usb(&elsewhere, std::slice::from_ref(&elsewhere)).unwrap()
        };
        assert!(with.is_same(&with) && without.is_same(&without));
        assert!(with.is_same(&moved(&found[6])), "its number says so");
        assert!(!without.is_same(&moved(&found[7])), "nothing says so");
        assert!(!with.is_same(&without));
        // A number that two have is none.
        let twin = Tty { place: Some("3-1:1.0".into()), ..found[6].clone() };
        let both = [found[6].clone(), twin.clone()];
        let (one, other) =
            (Identity::of_usb(&both[0], &both).unwrap(), Identity::of_usb(&twin, &both).unwrap());
        assert!(!one.is_same(&other));
        // Another port of the same adapter.
        let second = Tty { place: Some("1-1:1.1".into()), ..found[6].clone() };
        assert!(!with.is_same(&Identity::of_usb(&second, std::slice::from_ref(&second)).unwrap()));
        assert_eq!(with.to_string(), "FT232R USB UART (0403:6001, serial number A1)");
        assert_eq!(without.to_string(), "FT232R USB UART (0403:6001, at 1-2:1.0)");
    }

    #[test]
    fn a_link_is_another_one_when_it_is_made_anew() {
        let dir = tempfile::TempDir::new().unwrap();
        let (node, one, two) = (dir.path().join("7"), dir.path().join("1"), dir.path().join("2"));
        std::fs::write(&node, "").unwrap();
        symlink("7", &one).unwrap();
        symlink(&one, &two).unwrap();
        assert_eq!(links(&node), []);
        let before = links(&two);
        assert_eq!((before.len(), &before[1..]), (2, &links(&one)[..]));
        // Whatever becomes of the node.
        std::fs::remove_file(&node).unwrap();
        assert_eq!(links(&two), before);
        symlink("7", dir.path().join("new")).unwrap();
        std::fs::rename(dir.path().join("new"), &one).unwrap();
        assert_ne!(links(&two), before);
        std::fs::remove_file(&one).unwrap();
        symlink("1", &one).unwrap();
        assert_eq!(links(&one).len(), 40, "it ends");
    }

    #[test]
    fn the_terminal_is_found_behind_any_name() {
        assert_eq!(terminal("7 (a b) c) S 1 7 7 34816 7 0"), Some((136, 0)));
        // Minor 257 is spread over both ends.
        assert_eq!(terminal("7 (x) S 1 7 7 1083393 7 0"), Some((136, 0x101)));
        assert_eq!(terminal("7 (x) S 1 7 7 0 -1 0"), None);
        assert_eq!(terminal(""), None);
    }
}
