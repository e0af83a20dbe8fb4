//! What a stream that asks for the last minutes gets from files, where the history does not go back so
//! far. Its own thread reads them, as fast as its reader takes what is in them.

use super::End;
use super::records::Writer;
use super::waiter::Waiter;
use crate::decode::{Problem, Reader, Recorded};
use crate::encode::Interface;
use crate::output::trail::{Part, Trail};
use crate::packet::{Captured, Packet};
use crate::sys::files;
use crate::time::{Timestamp, WallOffset};
use log::{debug, warn};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Seek as _, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

/// How long files may take for what had come when they were asked for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many packets are read until it is looked whether they are still wanted.
const LOOK: usize = 1024;

/// Packets in files.
pub struct Past {
    /// Where they are.
    pub trail: Arc<Trail>,
    /// What the files say of their ports.
    pub interfaces: Arc<[Interface]>,
    /// What each file begins with.
    pub header: Vec<u8>,
    /// From when on, by our clock.
    pub since: Timestamp,
    /// By how much the wall clock, which files have their times from, is ahead of it.
    pub offset_ns: i64,
    /// Up to which packet: that number has left.
    pub wanted: u64,
}

impl Past {
    /// Puts the packets into the stream, and returns up to which one there were.
    pub fn copy(&self, writer: &mut Writer, waiter: &Waiter<'_>) -> Result<u64, End> {
        self.trail.wait_for(self.wanted, PATIENCE);
        let (parts, packets) = self.trail.since(self.since);
        for part in parts {
            match self.open(&part) {
                Ok(reader) => self.copy_part(&part, reader, writer, waiter)?,
                // It was deleted, being one too many, or nothing is in it yet.
                Err(Problem::NoCapture) => {}
                Err(Problem::Unreadable(error)) if error.kind() == ErrorKind::NotFound => {}
                Err(problem) => warn!("{}: {problem}", part.path.display()),
            }
        }
        Ok(packets)
    }

    fn copy_part(
        &self,
        part: &Part,
        mut reader: Reader,
        writer: &mut Writer,
        waiter: &Waiter<'_>,
    ) -> Result<(), End> {
        let since = self.since.shifted_ns(self.offset_ns);
        for number in 1_usize.. {
            if number.is_multiple_of(LOOK) {
                waiter.check()?;
            }
            match reader.next_packet() {
                Ok(Some(packet)) if packet.time.is_none_or(|time| time < since) => {}
                Ok(Some(packet)) => self.copy_packet(&packet, writer, waiter)?,
                Ok(None) => break,
                Err(problem) => {
                    debug!("{}: {problem}", part.path.display());
                    break;
                }
            }
        }
        Ok(())
    }

    fn copy_packet(
        &self,
        packet: &Recorded<'_>,
        writer: &mut Writer,
        waiter: &Waiter<'_>,
    ) -> Result<(), End> {
        let interface = self.interfaces.get(packet.interface as usize);
        // Somebody has put another capture there.
        if packet.section > 0 || interface.is_none_or(|it| it.link_type.0 != packet.link_type) {
            return Ok(());
        }
        let captured = Captured {
            flags: packet.flags,
            dropped: packet.dropped,
            comment: packet.comment.map(str::to_owned),
        };
        let packet = Packet {
            port: packet.interface as u16,
            data: packet.octets,
            original_len: packet.original_len,
            time: packet.time.unwrap_or_default(),
            // The file's times are wall time.
            wall: WallOffset { recorded: true, ..WallOffset::default() },
            captured: Some(&captured),
            ..Packet::default()
        };
        writer.copy(&packet, waiter)
    }

    fn open(&self, part: &Part) -> Result<Reader, Problem> {
        let is_missing = |error: &io::Error| error.kind() == ErrorKind::NotFound;
        match open(&part.path) {
            Ok(mut file) => {
                let end = part.end.unwrap_or(u64::MAX);
                if part.offset == 0 {
                    return Reader::new(file.take(end));
                }
                file.seek(SeekFrom::Start(part.offset))?;
                let rest = file.take(end.saturating_sub(part.offset));
                Reader::new(Cursor::new(self.header.clone()).chain(rest))
            }
            Err(error) if is_missing(&error) && part.end.is_none() => {
                let mut packed = OsString::from(part.path.as_os_str());
                packed.push(".gz");
                Reader::new(open(packed.as_ref())?)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A file of records, and nothing whose reading might wait for somebody.
fn open(path: &std::path::Path) -> io::Result<File> {
    let file = files::reading(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::NotFound.into()) }
}
