//! Who has a port: another program that has it open, that has locked it, or that has left a lock
//! file for it.
//!
//! All of it is looked up without opening the port. What other users' processes have open is
//! hidden from us, unless we are root; what they have locked is not.

use super::tty::is_pty;
use rustix::fs::{Stat, major, minor, stat};
use rustix::process::{Pid, test_kill_process};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where programs that dial out leave their lock files (FHS 5.9): `LCK..ttyUSB0`.
const LOCKS: [&str; 2] = ["/run/lock", "/var/lock"];

/// Another process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its program; empty where that is hidden from us.
    pub program: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.program.is_empty() {
            return write!(f, "process {}", self.pid);
        }
        write!(f, "{} (process {})", self.program, self.pid)
    }
}

impl Holder {
    fn new(pid: u32) -> Self {
        let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self { pid, program: program.trim_end().to_owned() }
    }
}

/// Who has the file at this path, in whatever way, as far as we may see.
pub fn holder(path: &Path) -> Option<Holder> {
    opener(path).or_else(|| locker(path))
}

/// Who has it open.
pub fn opener(path: &Path) -> Option<Holder> {
    let target = stat(path).ok()?;
    let ours = std::process::id();
    openers(&target).find(|pid| *pid != ours).map(Holder::new)
}

/// Who has locked it, with `flock` or by a lock file.
pub fn locker(path: &Path) -> Option<Holder> {
    let ours = std::process::id();
    let pid = lockers(path).into_iter().find(|pid| *pid != ours);
    let pid = pid.or_else(|| LOCKS.iter().find_map(|dir| lock_file(Path::new(dir), path)));
    pid.map(Holder::new)
}

/// Where lock files come and go.
pub fn lock_folders() -> impl Iterator<Item = &'static Path> {
    LOCKS.iter().map(Path::new)
}

fn openers(target: &Stat) -> impl Iterator<Item = u32> {
    let target = *target;
    // A device is known by its number, whatever node leads to it. In a container a pseudo-terminal
    // of the same number is another one.
    let is_it = move |file: Stat| {
        let same_file = (file.st_dev, file.st_ino) == (target.st_dev, target.st_ino);
        let same_device =
            file.st_rdev == target.st_rdev && file.st_mode == target.st_mode && target.st_rdev != 0;
        same_file || same_device && !is_pty(&target)
    };
    let has_it = move |fd: PathBuf| {
        // Sockets, pipes and such have no path.
        let may_be = fd.read_link().is_ok_and(|file| file.is_absolute());
        may_be && stat(&fd).is_ok_and(is_it)
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(move |process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let descriptors = std::fs::read_dir(process.path().join("fd")).ok()?;
        descriptors.flatten().any(|fd| has_it(fd.path())).then_some(pid)
    })
}

fn lockers(target: &Path) -> Vec<u32> {
    let Ok(file) = stat(target) else { return Vec::new() };
    let id = format!("{:02x}:{:02x}:{}", major(file.st_dev), minor(file.st_dev), file.st_ino);
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    locked_by(&locks, &id).collect()
}

/// In lines such as `1: FLOCK  ADVISORY  WRITE 1234 00:06:87 0 EOF` the processes before `id`.
fn locked_by(locks: &str, id: &str) -> impl Iterator<Item = u32> {
    locks.lines().filter_map(move |line| {
        let mut words = line.split_whitespace().peekable();
        while let Some(word) = words.next() {
            if words.peek() == Some(&id) {
                // -1 for a lock that is no process's, 0 for one whose process we cannot see.
                return word.parse().ok().filter(|pid| *pid > 0);
            }
        }
        None
    })
}

/// The process that a lock file for this port names, if it lives: ten digits, or four octets of
/// older programs.
fn lock_file(dir: &Path, port: &Path) -> Option<u32> {
    let target = port.canonicalize().ok()?;
    let file = dir.join(format!("LCK..{}", target.file_name()?.to_str()?));
    let octets = std::fs::read(file).ok()?;
    let text = std::str::from_utf8(&octets).ok().map(str::trim);
    let pid = match text.and_then(|text| text.split_whitespace().next()?.parse().ok()) {
        Some(pid) => pid,
        None => u32::from_ne_bytes(*octets.first_chunk()?),
    };
    let process = Pid::from_raw(pid.try_into().ok()?)?;
    let lives = !matches!(test_kill_process(process), Err(rustix::io::Errno::SRCH));
    (lives && pid != std::process::id()).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FlockOperation, flock};

    #[test]
    fn finds_who_has_it_open_and_who_has_locked_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().canonicalize().expect("its path");
        let ours = std::process::id();
        assert!(openers(&stat(&path).unwrap()).any(|pid| pid == ours));
        assert!(lockers(&path).is_empty());
        flock(file.as_file(), FlockOperation::LockExclusive).expect("a lock");
        assert_eq!(lockers(&path), [ours]);
        assert_eq!(holder(&path), None, "we are no other process");
    }

    #[test]
    fn waiting_and_foreign_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 17 00:06:87 0 EOF\n\
                     1: -> POSIX  ADVISORY  WRITE 18 00:06:87 0 EOF\n\
                     2: OFDLCK ADVISORY  WRITE -1 00:06:87 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 00:06:87 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 19 00:06:871 0 EOF\n";
        assert_eq!(locked_by(locks, "00:06:87").collect::<Vec<_>>(), [17, 18]);
    }

    #[test]
    fn a_lock_file_counts_as_long_as_its_process_lives() {
        let dir = tempfile::TempDir::new().unwrap();
        let port = tempfile::NamedTempFile::new().unwrap();
        let name = port.path().file_name().unwrap().to_str().unwrap();
        let lock = dir.path().join(format!("LCK..{name}"));
        assert_eq!(lock_file(dir.path(), port.path()), None);
        std::fs::write(&lock, format!("{:10}\n", 1)).unwrap();
        assert_eq!(lock_file(dir.path(), port.path()), Some(1));
        std::fs::write(&lock, format!("{:10} minicom root\n", 1)).unwrap();
        assert_eq!(lock_file(dir.path(), port.path()), Some(1));
        std::fs::write(&lock, 1u32.to_ne_bytes()).unwrap();
        assert_eq!(lock_file(dir.path(), port.path()), Some(1));
        // The highest id that there may be, and so one of nobody's here.
        std::fs::write(&lock, "4194304").unwrap();
        assert_eq!(lock_file(dir.path(), port.path()), None);
        std::fs::write(&lock, std::process::id().to_string()).unwrap();
        assert_eq!(lock_file(dir.path(), port.path()), None, "our own");
        std::fs::write(&lock, "x").unwrap();
        assert_eq!(lock_file(dir.path(), port.path()), None);
    }
}
