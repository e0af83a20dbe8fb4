//! Who has a port: another program that has it open, or that has locked it.

use rustix::fs::{major, minor, stat};
use std::path::Path;

/// The id and the program of another process that has this file, as far as we may see: what other
/// users' processes have open is hidden from us, what they have locked is not.
pub fn holder(path: &Path) -> Option<(u32, String)> {
    let target = path.canonicalize().ok()?;
    let ours = std::process::id();
    let pid = openers(&target)
        .find(|pid| *pid != ours)
        .or_else(|| lockers(&target).into_iter().find(|pid| *pid != ours))?;
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, program.trim_end().to_owned()))
}

fn openers(target: &Path) -> impl Iterator<Item = u32> {
    let id = |file: &Path| stat(file).ok().map(|file| (file.st_dev, file.st_ino));
    let ours = id(target);
    // A name alone is not enough: in a container /dev/pts/0 is another one.
    let is_it = move |fd: &Path| {
        fd.read_link().is_ok_and(|file| file == target) && ours.is_some() && id(fd) == ours
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(move |process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let descriptors = std::fs::read_dir(process.path().join("fd")).ok()?;
        descriptors.flatten().any(|fd| is_it(&fd.path())).then_some(pid)
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FlockOperation, flock};

    #[test]
    fn finds_who_has_it_open_and_who_has_locked_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().canonicalize().expect("its path");
        let ours = std::process::id();
        assert!(openers(&path).any(|pid| pid == ours));
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
}
