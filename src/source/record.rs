//! Recordings: what a port delivered, and when, so that it can be delivered once more.
//!
//! A recording is two lines of text and then binary records, only ever appended. The first line
//! is `serialshark recording 1`, where 1 is the version; the second one tells what a replay
//! needs to know, in words of the form `name=value` with a space between them: `protocol`,
//! `baud`, `channel` if there is one, and last, up to the end of the line, `port`. A record is
//! one octet for its kind, a time in nanoseconds since 1970 (64 bits), the number of octets that
//! follow (32 bits, at most 65536; both little-endian), and these octets. The kinds: `O`, octets
//! that one read returned, the last of which arrived at this time; `S`, silence up to this time
//! was reported to the framer; `G`, the port went, the octets say why; `B`, it was back; `W`, the
//! wall clock was set, and is now ahead of the times in the file by so many nanoseconds (64
//! bits, signed). A record that is cut off at the end of the file is ignored.
//!
//! Silence is recorded since it ends frames: only so a replay gives the same packets. A record
//! is one write to the file, so a recording is complete up to the moment of a crash.

use super::{Input, Pace, Source, Woken, file, wait};
use crate::bell::Bell;
use crate::error::Error;
use crate::packet::{Clock, Timestamp, Wall};
use crate::wall::WallClock;
use log::{Level, warn};
use rustix::fs::{SeekFrom, seek, tell};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::fd::AsFd;
use std::sync::Arc;

/// What every version starts with.
const MAGIC: &str = "serialshark recording ";
const VERSION: &str = "1";
/// The two lines are not longer than this.
const LONGEST_HEADER: usize = 4096;
/// Octets in one record; no source returns more from one read.
const LARGEST: usize = 64 * 1024;
/// Kind, time, length.
const RECORD_HEADER: usize = 1 + 8 + 4;

const OCTETS: u8 = b'O';
const SILENCE: u8 = b'S';
const GONE: u8 = b'G';
const BACK: u8 = b'B';
const WALL: u8 = b'W';

/// What is known about the line of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The protocol's name.
    pub protocol: String,
    /// Bits per second.
    pub baud: u32,
    /// IEEE 802.15.4 channel.
    pub channel: Option<u8>,
    /// The port's name, for those who look into the file.
    pub port: String,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let Self { protocol, baud, channel, port } = self;
        let channel = channel.map(|channel| format!(" channel={channel}")).unwrap_or_default();
        let port: String = port.chars().filter(|c| !c.is_control()).take(1000).collect();
        format!("{MAGIC}{VERSION}\nprotocol={protocol} baud={baud}{channel} port={port}\n").into()
    }

    /// The header that starts these octets, and its length.
    fn decode(octets: &[u8]) -> Result<(Self, usize), &'static str> {
        const DAMAGED: &str = "is a recording whose first lines are damaged";
        let mut lines = octets.splitn(3, |&octet| octet == b'\n');
        let (Some(first), Some(second), Some(_)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err("is a recording that ends in its first lines");
        };
        if first.strip_prefix(MAGIC.as_bytes()) != Some(VERSION.as_bytes()) {
            return Err("is a recording of another version of serialshark");
        }
        let line = std::str::from_utf8(second).map_err(|_| DAMAGED)?;
        let (words, port) = line.split_once(" port=").ok_or(DAMAGED)?;
        let value = |name: &str| {
            words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let channel = value("channel").map(str::parse).transpose().map_err(|_| DAMAGED)?;
        let header = Self {
            protocol: value("protocol").ok_or(DAMAGED)?.to_owned(),
            baud: value("baud")
                .and_then(|baud| baud.parse().ok())
                .filter(|baud| *baud > 0)
                .ok_or(DAMAGED)?,
            channel,
            port: port.to_owned(),
        };
        Ok((header, first.len() + second.len() + 2))
    }
}

/// The header of the recording of this name; `None` if it is anything else.
///
/// # Errors
/// When it cannot be read, or holds something that is neither a recording nor plain octets.
pub fn header(name: &str) -> Result<Option<Header>, Error> {
    if file::kind(name) != file::Kind::Stored {
        return Ok(None);
    }
    let file = File::from(file::descriptor(name)?);
    Ok(inspect(name, &file)?.map(|(header, _)| header))
}

/// The header of a recording and its length; `None` for plain octets. Does not move the file's
/// position.
pub(super) fn inspect(name: &str, file: &File) -> Result<Option<(Header, usize)>, Error> {
    let cannot = |errno| Error::new(name, "cannot read").because(errno);
    let mut octets = vec![0; LONGEST_HEADER];
    let from = tell(file).map_err(cannot)?;
    let len = rustix::io::pread(file, &mut octets[..], from).map_err(cannot)?;
    octets.truncate(len);
    if octets.starts_with(MAGIC.as_bytes()) {
        return match Header::decode(&octets) {
            Ok(header) => Ok(Some(header)),
            Err(what) => Err(Error::new(name, what)
                .hint("replay it with the program that made it, or record anew")),
        };
    }
    let capture_file = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    if capture_file.iter().any(|magic| octets.starts_with(magic)) {
        return Err(Error::new(name, "is a capture file, not the octets of a line")
            .hint(format!("its packets are found already: wireshark -r {name}")));
    }
    Ok(None)
}

/// Whether octets that come through a pipe look like a recording.
pub(super) fn looks_like_one(octets: &[u8]) -> bool {
    octets.starts_with(MAGIC.as_bytes())
}

/// Appends octets to the recording, all of them or none.
pub type Append = Box<dyn FnMut(&[u8]) -> io::Result<()> + Send>;

/// A source that records what another one delivers.
pub struct Recorder {
    inner: Box<dyn Source>,
    name: String,
    /// `None` once it failed: the capture goes on without.
    append: Option<Append>,
    clock: Clock,
    wall_clock: Arc<WallClock>,
    wall: Wall,
    record: Vec<u8>,
}

impl Recorder {
    /// Starts a recording, called `name` in messages.
    pub fn new(
        inner: Box<dyn Source>,
        name: String,
        append: Append,
        header: &Header,
        wall_clock: Arc<WallClock>,
    ) -> Self {
        let clock = wall_clock.clock();
        let (append, wall, record) = (Some(append), Wall::default(), header.encode());
        let mut recorder = Self { inner, name, append, clock, wall_clock, wall, record };
        recorder.append_record();
        recorder
    }

    fn append_record(&mut self) {
        if let Some(append) = &mut self.append
            && let Err(error) = append(&self.record)
        {
            let error =
                Error::new(&self.name, "cannot write; the recording ends here").because(error);
            error.log(Level::Error);
            self.append = None;
        }
    }

    fn event(&mut self, kind: u8, time: Timestamp, octets: &[u8]) {
        encode(&mut self.record, kind, time, octets);
        self.append_record();
    }

    /// Appends the record, and before it that the wall clock was set, if it was.
    fn append_after_wall(&mut self) {
        let wall = self.inner.wall().unwrap_or_else(|| self.wall_clock.now());
        if wall != self.wall {
            self.wall = wall;
            let record = std::mem::take(&mut self.record);
            self.event(WALL, self.clock.now(), &wall.lead_ns.to_le_bytes());
            self.record = record;
        }
        self.append_record();
    }
}

fn encode(record: &mut Vec<u8>, kind: u8, time: Timestamp, octets: &[u8]) {
    record.clear();
    record.push(kind);
    record.extend_from_slice(&time.as_ns().to_le_bytes());
    record.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    record.extend_from_slice(octets);
}

impl Source for Recorder {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        match self.inner.read(deadline) {
            Input::Octets(octets, arrival) => {
                debug_assert!(octets.len() <= LARGEST);
                encode(&mut self.record, OCTETS, arrival, octets);
                self.append_after_wall();
                Input::Octets(&self.record[RECORD_HEADER..], arrival)
            }
            Input::Silence(now) => {
                encode(&mut self.record, SILENCE, now, b"");
                self.append_after_wall();
                Input::Silence(now)
            }
            Input::Gone(why, when) => {
                self.event(GONE, when, why.as_bytes());
                Input::Gone(why, when)
            }
            Input::Ended => Input::Ended,
            Input::Stopped => Input::Stopped,
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        let back = self.inner.reopen()?;
        self.event(BACK, back, b"");
        Some(back)
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }

    fn wall(&self) -> Option<Wall> {
        Some(self.wall)
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.inner.write(octets)
    }

    fn pace(&self) -> Pace {
        self.inner.pace()
    }

    fn is_live(&self) -> bool {
        self.inner.is_live()
    }
}

/// A recording as a source: the same chunks, times and events once more.
pub struct Replay {
    name: String,
    input: BufReader<File>,
    /// Whether the port was there when the recording began.
    is_open: bool,
    /// Octets of the file that were read as whole records.
    position: u64,
    /// In real time: the first record's time, and when it was replayed.
    pace: Option<Option<(Timestamp, Timestamp)>>,
    clock: Clock,
    stop: Arc<Bell>,
    chunk: Vec<u8>,
    /// Read ahead while we looked for the port's return.
    pending: Option<(u8, Timestamp)>,
    /// When the port went last.
    gone: Timestamp,
    wall: Wall,
}

impl Replay {
    /// Replays what follows the header, which is this long.
    pub(super) fn new(
        name: &str,
        file: File,
        header_len: usize,
        paced: bool,
        clock: Clock,
        stop: Arc<Bell>,
    ) -> Result<Self, Error> {
        let position = seek(file.as_fd(), SeekFrom::Current(header_len as i64))
            .map_err(|errno| Error::new(name, "cannot read").because(errno))?;
        let mut input = BufReader::with_capacity(LARGEST, file);
        // What cannot be read is said at the first read.
        let is_open = input.fill_buf().is_ok_and(|octets| octets.first() != Some(&GONE));
        Ok(Self {
            name: name.to_owned(),
            input,
            is_open,
            position,
            pace: paced.then_some(None),
            clock,
            stop,
            chunk: Vec::new(),
            pending: None,
            gone: Timestamp::default(),
            wall: Wall { recorded: true, ..Wall::default() },
        })
    }

    /// The next record, its octets in `chunk`; `None` at the end, or where nothing can follow.
    fn next(&mut self) -> Option<(u8, Timestamp)> {
        if let Some(record) = self.pending.take() {
            return Some(record);
        }
        let mut header = [0; RECORD_HEADER];
        match self.fill(&mut header) {
            Some(0) | None => return None,
            Some(RECORD_HEADER) => {}
            Some(_) => return self.cut_off(),
        }
        let (kind, rest) = header.split_first()?;
        let (time, len) = rest.split_first_chunk()?;
        let time = Timestamp::from_ns(u64::from_le_bytes(*time));
        let len = u32::from_le_bytes(*len.first_chunk()?) as usize;
        if ![OCTETS, SILENCE, GONE, BACK, WALL].contains(kind) || len > LARGEST {
            log::error!(
                "{}: damaged at octet {}: what follows is not replayed",
                self.name,
                self.position
            );
            return None;
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(len, 0);
        let filled = self.fill(&mut chunk);
        self.chunk = chunk;
        if filled? < len {
            return self.cut_off();
        }
        self.position += (RECORD_HEADER + len) as u64;
        Some((*kind, time))
    }

    fn cut_off(&self) -> Option<(u8, Timestamp)> {
        warn!("{}: ends inside a record, which is ignored", self.name);
        None
    }

    /// Fills `buffer` as far as the file goes.
    fn fill(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let mut len = 0;
        while len < buffer.len() {
            match self.input.read(&mut buffer[len..]) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    Error::new(&self.name, "cannot read").because(error).log(Level::Error);
                    return None;
                }
            }
        }
        Some(len)
    }

    fn set_wall(&mut self) {
        let Some(lead_ns) = self.chunk.first_chunk() else { return };
        let lead_ns = i64::from_le_bytes(*lead_ns);
        let step = self.wall.step_in_words(lead_ns.saturating_sub(self.wall.lead_ns));
        warn!("{}: {step}", self.name);
        self.wall = Wall { lead_ns, steps: self.wall.steps.saturating_add(1), ..self.wall };
    }

    /// Waits until a record of this time is due; `false` when the stop bell was rung.
    fn wait_for(&mut self, time: Timestamp) -> bool {
        let now = self.clock.now();
        let due = match &mut self.pace {
            Some(start) => {
                let (first, began) = *start.get_or_insert((time, now));
                began.plus_ns(time.ns_since(first))
            }
            None => now,
        };
        wait(None, Some(due), &self.clock, &self.stop) != Woken::Stop
    }
}

impl Source for Replay {
    fn read(&mut self, _deadline: Option<Timestamp>) -> Input<'_> {
        loop {
            let Some((kind, time)) = self.next() else { return Input::Ended };
            if !self.wait_for(time) {
                return Input::Stopped;
            }
            match kind {
                OCTETS => return Input::Octets(&self.chunk, time),
                SILENCE => return Input::Silence(time),
                GONE => {
                    self.gone = time;
                    return Input::Gone(String::from_utf8_lossy(&self.chunk).into_owned(), time);
                }
                WALL => self.set_wall(),
                _ => {}
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        match self.next() {
            Some((BACK, time)) => self.wait_for(time).then_some(time),
            // It was not back when the recording ended; the next read says so.
            other => {
                self.pending = other;
                Some(self.gone)
            }
        }
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    fn wall(&self) -> Option<Wall> {
        Some(self.wall)
    }

    fn write(&mut self, _octets: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn pace(&self) -> Pace {
        if self.pace.is_some() { Pace::Paced } else { Pace::Stored }
    }

    fn is_live(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for channel in [None, Some(26)] {
            let header = Header {
                protocol: "riot".to_owned(),
                baud: 115_200,
                channel,
                port: "/dev/a port=b".to_owned(),
            };
            let octets = header.encode();
            assert_eq!(Header::decode(&octets), Ok((header, octets.len())));
        }
        assert!(Header::decode(b"serialshark recording 2\nbaud=1\n").is_err());
        assert!(Header::decode(b"serialshark recording 1\nprotocol=mstp baud=0 port=x\n").is_err());
        assert!(Header::decode(b"serialshark recording 1\nprotocol=").is_err());
    }
}
