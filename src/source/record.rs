//! Recordings: what a port delivered, and when, so that it can be replayed. The format, as in
//! docs/recording.md:
//!
//! A recording is two lines of text and then binary records, only ever appended. The first line
//! is `serialshark recording 1`, where 1 is the version; the second one tells what a replay
//! needs to know, in words of the form `name=value` with a space between them: `protocol`,
//! `baud`, `line` if it is not 8N1, `channel` if there is one, the protocol's own settings, `silence`, the milliseconds that end what is open, if they
//! are not those of a serial line, and last, up to the end of the line, `port`. A record is
//! one octet for its kind, a time in nanoseconds since 1970 (64 bits), the number of octets that
//! follow (32 bits, at most 65536; both little-endian), and these octets. The kinds: `O`, octets
//! that one read returned, the last of which arrived at this time; `S`, silence up to this time
//! was reported to the framer; `G`, the port went, the octets say why; `B`, it was back; `W`, the
//! wall clock was set, and is now ahead of the times in the file by so many nanoseconds (64
//! bits, signed); `L`, so many octets that came before this one are not in the recording (64
//! bits); `E`, what the receiver found wrong with the octets of the next record: for each error
//! which octet of them it is, counted from 0 (16 bits), and one octet for its kind (1, stop bit or
//! parity; 2, a break; 3, octets before it were lost). A record that is cut off at the end of the file is ignored.
//!
//! Silence is recorded since it ends frames: only so a replay gives the same packets.

use super::{Input, Pace, Source, Woken, file, wait};
use crate::error::Error;
use crate::framing::SILENCE_NS;
use crate::line::{Line, LineFormat};
use crate::line_errors::{self, LineError};
use crate::sys::{Waker, files};
use crate::time::{MonoClock, Timestamp, WallOffset};
use log::{Level, warn};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::sync::Arc;

/// What every version starts with.
const MAGIC: &str = "serialshark recording ";
const VERSION: &str = "1";
/// The two lines are not longer than this.
const LONGEST_HEADER: usize = 4096;
/// Octets in one record; no source returns more from one read.
const LARGEST: usize = 64 * 1024;
/// Words of the second line; others are a protocol's settings.
const WORDS: [&str; 5] = ["protocol", "baud", "line", "channel", "silence"];
/// RecordKind, time, length.
const RECORD_HEADER: usize = 1 + 8 + 4;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// Octets that one read returned; the time is the last one's arrival.
    Octets = b'O',
    /// Nothing came up to this time, and the framer was told so.
    Silence = b'S',
    /// The port went; the octets say why.
    Gone = b'G',
    /// It was back.
    Back = b'B',
    /// The wall clock was set, and is now so many nanoseconds ahead (64 bits, signed).
    WallOffset = b'W',
    /// So many octets before this record are missing (64 bits).
    Missing = b'L',
    /// What the receiver found wrong with the octets of the next record.
    Errors = b'E',
}

impl RecordKind {
    const ALL: [Self; 7] = [
        Self::Octets,
        Self::Silence,
        Self::Gone,
        Self::Back,
        Self::WallOffset,
        Self::Missing,
        Self::Errors,
    ];

    fn of(octet: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == octet)
    }
}

/// Adds a record to `out`.
pub fn encode(out: &mut Vec<u8>, kind: RecordKind, time: Timestamp, octets: &[u8]) {
    debug_assert!(octets.len() <= LARGEST);
    out.push(kind as u8);
    out.extend_from_slice(&time.as_ns().to_le_bytes());
    out.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    out.extend_from_slice(octets);
}

/// Each of these records, which are whole, with its kind.
pub fn split(mut records: &[u8]) -> impl Iterator<Item = (RecordKind, &[u8])> {
    std::iter::from_fn(move || {
        let len = records.get(RECORD_HEADER - 4..)?.first_chunk()?;
        let len = RECORD_HEADER + u32::from_le_bytes(*len) as usize;
        let (record, rest) = records.split_at_checked(len)?;
        records = rest;
        Some((RecordKind::of(record[0])?, record))
    })
}

/// The time of the first of these records, if there is one.
pub fn first_time(records: &[u8]) -> Option<Timestamp> {
    let (time, _) = records.get(1..)?.split_first_chunk()?;
    Some(Timestamp::from_ns(u64::from_le_bytes(*time)))
}

/// What is known about the line of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The protocol's name.
    pub protocol: String,
    /// Rate and format.
    pub line: Line,
    /// IEEE 802.15.4 channel.
    pub channel: Option<u8>,
    /// Names and values of the protocol's own settings, without spaces.
    pub settings: Vec<(String, String)>,
    /// Silence that ends what is open, in nanoseconds.
    pub silence_ns: u64,
    /// The port's name, for those who look into the file.
    pub port: String,
}

impl Header {
    /// The two lines that a recording begins with.
    pub fn encode(&self) -> Vec<u8> {
        let Self { protocol, line, channel, settings, silence_ns, port } = self;
        let baud = line.baud;
        let format = match line.format {
            LineFormat::EIGHT_N_1 => String::new(),
            format => format!(" line={format}"),
        };
        let silence = match *silence_ns {
            SILENCE_NS => String::new(),
            ns => format!(" silence={}", ns / 1_000_000),
        };
        let channel = channel.map(|channel| format!(" channel={channel}")).unwrap_or_default();
        let settings: String =
            settings.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let port: String = port.chars().filter(|c| !c.is_control()).take(1000).collect();
        format!("{MAGIC}{VERSION}\nprotocol={protocol} baud={baud}{format}{channel}{settings}{silence} port={port}\n")
            .into()
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
        let silence_ms: Option<u64> =
            value("silence").map(str::parse).transpose().map_err(|_| DAMAGED)?;
        let baud = value("baud").and_then(|baud| baud.parse().ok()).filter(|baud| *baud > 0);
        let baud = baud.ok_or(DAMAGED)?;
        let format = value("line").map(str::parse).transpose().map_err(|_| DAMAGED)?;
        let format: LineFormat = format.unwrap_or_default();
        // What they are, the protocol knows.
        let settings = words
            .split(' ')
            .filter_map(|word| word.split_once('='))
            .filter(|(name, _)| !WORDS.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let header = Self {
            silence_ns: silence_ms.map_or(SILENCE_NS, |ms| ms.saturating_mul(1_000_000)),
            protocol: value("protocol").ok_or(DAMAGED)?.to_owned(),
            line: Line { baud, format },
            channel,
            settings,
            port: port.to_owned(),
        };
        Ok((header, first.len() + second.len() + 2))
    }
}

/// The header of the recording of this name; `None` if it is anything else.
///
/// # Errors
/// When it cannot be read, or holds something that is neither a recording nor plain octets.
pub fn header(name: &OsStr) -> Result<Option<Header>, Error> {
    if file::kind(name) != file::FileKind::Stored {
        return Ok(None);
    }
    let file = file::open(name)?;
    Ok(inspect(&name.display().to_string(), &file)?.map(|(header, _)| header))
}

/// The header of a recording and its length; `None` for plain octets. Does not move the file's
/// position.
pub(super) fn inspect(name: &str, file: &File) -> Result<Option<(Header, usize)>, Error> {
    let cannot = |error| Error::new(name, "cannot read").because(error);
    let mut octets = vec![0; LONGEST_HEADER];
    let len = files::peek(file, &mut octets).map_err(cannot)?;
    octets.truncate(len);
    if octets.starts_with(MAGIC.as_bytes()) {
        return match Header::decode(&octets) {
            Ok(header) => Ok(Some(header)),
            Err(what) => Err(Error::new(name, what)
                .hint("replay it with the version that made it, or record again")),
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
        return Err(Error::new(name, "is a capture file, not bytes from a serial line")
            .hint(format!("open it directly: wireshark -r {name}")));
    }
    Ok(None)
}

/// The header that these octets begin with, and its length; `None` if they are no recording.
///
/// # Errors
/// What is wrong with a recording's header.
pub fn decode_header(octets: &[u8]) -> Result<Option<(Header, usize)>, &'static str> {
    if looks_like_one(octets) { Header::decode(octets).map(Some) } else { Ok(None) }
}

/// Octets of a recording that its header has at most.
pub const HEADER_MAX: usize = LONGEST_HEADER;

/// Reads the next record: its kind, its time, and its octets into `chunk`; `None` at the end.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if it is cut off, [`io::ErrorKind::InvalidData`] if it is none,
/// and whatever the system says.
pub fn read_record(
    input: &mut impl Read,
    chunk: &mut Vec<u8>,
) -> io::Result<Option<(RecordKind, Timestamp)>> {
    let mut header = Vec::with_capacity(RECORD_HEADER);
    input.by_ref().take(RECORD_HEADER as u64).read_to_end(&mut header)?;
    let Some((kind, rest)) = header.split_first() else { return Ok(None) };
    let (Some((time, len)), Some(kind)) = (rest.split_first_chunk(), RecordKind::of(*kind)) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let len = len.first_chunk().copied().map_or(0, u32::from_le_bytes) as usize;
    if header.len() < RECORD_HEADER {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if len > LARGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    chunk.resize(len, 0);
    input.read_exact(chunk)?;
    Ok(Some((kind, Timestamp::from_ns(u64::from_le_bytes(*time)))))
}

/// Whether octets that come through a pipe look like a recording.
pub(super) fn looks_like_one(octets: &[u8]) -> bool {
    octets.starts_with(MAGIC.as_bytes())
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
    clock: MonoClock,
    stop: Arc<Waker>,
    chunk: Vec<u8>,
    /// What was wrong with the octets of the next record, and of the one before it.
    errors: Vec<LineError>,
    told: Vec<LineError>,
    /// Read ahead while we looked for the port's return.
    pending: Option<(RecordKind, Timestamp)>,
    /// When the port went last.
    gone: Timestamp,
    wall: WallOffset,
}

impl Replay {
    /// Replays what follows the header, which is this long.
    pub(super) fn new(
        name: &str,
        mut file: File,
        header_len: usize,
        paced: bool,
        clock: MonoClock,
        stop: Arc<Waker>,
    ) -> Result<Self, Error> {
        let position = file
            .seek(SeekFrom::Current(header_len as i64))
            .map_err(|errno| Error::new(name, "cannot read").because(errno))?;
        let mut input = BufReader::with_capacity(LARGEST, file);
        // What cannot be read is said at the first read.
        let is_open =
            input.fill_buf().is_ok_and(|octets| octets.first() != Some(&(RecordKind::Gone as u8)));
        Ok(Self {
            name: name.to_owned(),
            input,
            is_open,
            position,
            pace: paced.then_some(None),
            clock,
            stop,
            chunk: Vec::new(),
            errors: Vec::new(),
            told: Vec::new(),
            pending: None,
            gone: Timestamp::default(),
            wall: WallOffset { recorded: true, ..WallOffset::default() },
        })
    }

    /// The next record, its octets in `chunk`; `None` at the end, or where nothing can follow.
    fn next(&mut self) -> Option<(RecordKind, Timestamp)> {
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
        let kind = RecordKind::of(*kind).filter(|_| len <= LARGEST);
        let Some(kind) = kind else {
            log::error!(
                "{}: damaged at byte {}: the rest is not replayed",
                self.name,
                self.position
            );
            return None;
        };
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(len, 0);
        let filled = self.fill(&mut chunk);
        self.chunk = chunk;
        if filled? < len {
            return self.cut_off();
        }
        self.position += (RECORD_HEADER + len) as u64;
        Some((kind, time))
    }

    fn cut_off(&self) -> Option<(RecordKind, Timestamp)> {
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

    /// How many octets a record says are missing.
    fn missing(&self) -> u64 {
        self.chunk.first_chunk().map_or(0, |octets| u64::from_le_bytes(*octets))
    }

    fn set_wall_offset(&mut self) {
        let Some(offset_ns) = self.chunk.first_chunk() else { return };
        let offset_ns = i64::from_le_bytes(*offset_ns);
        let step = self.wall.step_in_words(offset_ns.saturating_sub(self.wall.offset_ns));
        warn!("{}: {step}", self.name);
        self.wall = WallOffset { offset_ns, steps: self.wall.steps.saturating_add(1), ..self.wall };
    }

    /// Waits until a record of this time is due; `false` when the stop waker was woken.
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
            // Octets that the recording lacks have left theirs behind.
            if !matches!(kind, RecordKind::Octets | RecordKind::Errors) {
                self.errors.clear();
            }
            match kind {
                RecordKind::Octets if !self.errors.is_empty() => {
                    self.pending = Some((kind, time));
                    self.told = std::mem::take(&mut self.errors);
                    return Input::Errors(&self.told, time);
                }
                RecordKind::Octets => return Input::Octets(&self.chunk, time),
                RecordKind::Silence => return Input::Silence(time),
                RecordKind::Gone => {
                    self.gone = time;
                    return Input::Gone(String::from_utf8_lossy(&self.chunk).into_owned(), time);
                }
                RecordKind::WallOffset => self.set_wall_offset(),
                RecordKind::Missing => return Input::Missing(self.missing(), time),
                RecordKind::Errors => self.errors = line_errors::decode(&self.chunk),
                RecordKind::Back => {}
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        match self.next() {
            Some((RecordKind::Back, time)) => self.wait_for(time).then_some(time),
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

    fn wall(&self) -> Option<WallOffset> {
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
        for (channel, silence_ns) in [(None, SILENCE_NS), (Some(26), 15_000_000_000)] {
            let header = Header {
                settings: vec![("gap".into(), "10ms".into())],
                silence_ns,
                protocol: "riot".to_owned(),
                line: Line { baud: 115_200, format: "8E1".parse().unwrap() },
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
