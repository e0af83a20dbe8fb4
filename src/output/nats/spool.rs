//! Where messages come from with `--nats-spool`: the files of a set, which the stream's writer fills as
//! it fills any. A file whose packets are all stored is deleted.
//!
//! Nothing else is remembered on the disk: a message's id names its file and how far it goes, so the
//! server's last one tells where to go on, after a crash too.

use super::{LARGEST, pipe::GATHER};
use crate::decode::Problem;
use crate::error::Error;
use crate::nats::address::Trunk;
use crate::nats::batch::{Cutter, Message};
use crate::output::file_set::{self, Limits};
use crate::output::permissions::Permissions;
use crate::output::{Stream, file};
use crate::time::Timestamp;
use log::{debug, warn};
use std::ffi::OsString;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Octets of a file: some minutes of a line at 38,400 bit/s.
const FILE_SIZE: u64 = 4_000_000;
/// How long it waits at most until it looks again whether a quiet line has said something.
const QUIET: Duration = Duration::from_secs(1);
/// Octets that are read at once.
const READ: usize = 64 << 10;

/// The files of a set, from the oldest on.
pub struct Spool {
    /// What names of files are made from.
    path: PathBuf,
    current: Option<Reading>,
    pause: Duration,
    /// Whether it was told that a file cannot be deleted.
    is_warned: bool,
}

/// A file that is read.
struct Reading {
    name: OsString,
    file: File,
    cutter: Cutter,
}

impl Spool {
    /// The files of a trunk in this directory, which is made if it is missing, and the stream that
    /// fills them; also what ids of messages begin with.
    ///
    /// # Errors
    /// When there cannot be files, or another serialshark has them.
    pub fn open(
        directory: &Path,
        trunk: &Trunk,
        permissions: Permissions,
        now: Timestamp,
    ) -> Result<(Self, Stream, String), Error> {
        let cannot = |error| Error::new(directory.display(), "cannot write").because(error);
        if let Err(error) = std::fs::create_dir(directory)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(cannot(error));
        }
        let path = directory.join(format!("{trunk}.pcapng"));
        let limits = Limits { size: Some(FILE_SIZE), seconds: None, files: None };
        let options = file_set::Options { limits, force: false, permissions, post_rotate: None };
        let stream = file::rotating(&path, options, now)?;
        let id = identity(&directory.join(format!("{trunk}.id"))).map_err(cannot)?;
        Ok((Self { path, current: None, pause: GATHER, is_warned: false }, stream, id))
    }

    /// Goes on behind the message of this tag, the last one that is stored.
    ///
    /// # Errors
    /// When files cannot be read or deleted.
    pub fn resume(&mut self, tag: &str) -> Result<(), Problem> {
        let Some((name, end)) = tag.rsplit_once('@') else { return Ok(()) };
        let Ok(end) = end.parse::<u64>() else { return Ok(()) };
        let files = file_set::listed(&self.path)?;
        // One that is not there any more is stored whole, and so were all before it.
        let Some(at) = files.iter().position(|file| file.as_os_str() == name) else {
            return Ok(());
        };
        for stored in &files[..at] {
            self.delete(stored);
        }
        let mut reading = self.open_file(files[at].clone())?;
        while reading.cutter.position() < end && reading.read()? {
            reading.cutter.skip_to(end)?;
        }
        self.current = Some(reading);
        Ok(())
    }

    /// The next message; `None` at the end, which comes once nothing more `is_written`. All messages
    /// before it are stored. May be given up at any time, and loses nothing then.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn next(
        &mut self,
        longest: usize,
        is_written: &AtomicBool,
    ) -> Result<Option<Message>, Problem> {
        loop {
            // Looked at before the file is read: what it has then is all.
            let was_written = is_written.load(Ordering::Acquire);
            let is_complete = self.is_complete(was_written)?;
            if self.current.is_none() {
                let mut files = file_set::listed(&self.path)?;
                if !files.is_empty() {
                    self.current = Some(self.open_file(files.swap_remove(0))?);
                }
            }
            if let Some(reading) = &mut self.current {
                reading.rewind()?;
                while reading.cutter.waiting() < longest.max(LARGEST) && reading.read()? {}
                if let Some(message) = reading.cutter.message(longest)? {
                    self.pause = GATHER;
                    return Ok(Some(message));
                }
            }
            if is_complete {
                if let Some(stored) = self.current.take() {
                    if stored.cutter.waiting() > 0 {
                        debug!("{}: ends in the middle of a packet", stored.name.display());
                    }
                    self.delete(&stored.name);
                }
                if !was_written || !file_set::listed(&self.path)?.is_empty() {
                    continue;
                }
                return Ok(None);
            }
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(QUIET);
        }
    }

    /// Whether nothing is added to the current file any more.
    fn is_complete(&self, was_written: bool) -> Result<bool, Problem> {
        let Some(current) = &self.current else { return Ok(was_written) };
        let files = file_set::listed(&self.path)?;
        Ok(files.last() != Some(&current.name) || was_written)
    }

    /// What the id of a message tells of it.
    pub fn tag(&self, message: &Message) -> String {
        let name = self
            .current
            .as_ref()
            .map_or(Path::new("").display(), |reading| Path::new(&reading.name).display());
        format!("{name}@{}", message.end)
    }

    /// Whether there is something that is not stored.
    pub fn has_some(&self) -> bool {
        file_set::listed(&self.path).is_ok_and(|files| !files.is_empty())
    }

    fn open_file(&self, name: OsString) -> io::Result<Reading> {
        let file = File::open(self.path.with_file_name(&name))?;
        Ok(Reading { name, file, cutter: Cutter::default() })
    }

    fn delete(&mut self, name: &OsString) {
        let path = self.path.with_file_name(name);
        if let Err(error) = std::fs::remove_file(&path)
            && !std::mem::replace(&mut self.is_warned, true)
        {
            let why = crate::error::words(error);
            warn!("{}: is stored, and cannot be deleted: {why}", path.display());
        }
    }
}

impl Reading {
    /// Goes back to the first block that is in no message: a record that did not fit the disk is taken
    /// back by its writer.
    fn rewind(&mut self) -> io::Result<()> {
        self.cutter.forget_waiting();
        self.file.seek(SeekFrom::Start(self.cutter.position())).map(drop)
    }

    /// Reads what has come; whether that is something.
    fn read(&mut self) -> io::Result<bool> {
        let mut octets = Vec::with_capacity(READ);
        self.file.by_ref().take(READ as u64).read_to_end(&mut octets)?;
        self.cutter.push(&octets);
        Ok(!octets.is_empty())
    }
}

/// What this spool is called in ids: the same at each start, and no other one's.
fn identity(path: &Path) -> io::Result<String> {
    let id = match std::fs::read_to_string(path) {
        Ok(id) => id,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
            std::fs::write(path, &id)?;
            id
        }
        Err(error) => return Err(error),
    };
    let id: String = id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    Ok(format!("spool-{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32 + 12).to_ne_bytes();
        [&kind.to_ne_bytes()[..], &len, body, &len].concat()
    }

    /// As a disk that is full, and then is not, leaves it.
    #[test]
    fn a_record_that_was_taken_back_is_not_part_of_the_next_message() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.b.pcapng");
        let file = dir.path().join("a.b_00001_20261123190000.pcapng");
        let section = block(0x0a0d_0d0a, &[&0x1a2b_3c4d_u32.to_ne_bytes()[..], &[0; 12]].concat());
        let (first, second) = (block(6, &[1; 40]), block(6, &[2; 60]));
        let torn = &block(6, &[3; 100])[..50];
        std::fs::write(&file, [&section, &first, torn].concat()).unwrap();
        let mut spool = Spool { path, current: None, pause: GATHER, is_warned: false };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut next = |is_written: bool| {
            let is_written = AtomicBool::new(is_written);
            let next = async {
                tokio::time::timeout(Duration::from_secs(60), spool.next(1000, &is_written)).await
            };
            runtime
                .block_on(next)
                .expect("a message, or the end")
                .unwrap()
                .map(|message| message.octets)
        };
        assert_eq!(next(false), Some([&section[..], &first].concat()));
        std::fs::write(&file, [&section[..], &first, &second].concat()).unwrap();
        assert_eq!(next(false), Some([&section[..], &second].concat()));
        assert_eq!(next(true), None);
        assert!(!file.exists(), "all of it is stored");
    }
}
