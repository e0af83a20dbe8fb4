//! What a port delivers, stored beside the flow: a tee in the port's thread, a bounded queue, and a
//! thread that writes.
//!
//! A disk may stall for seconds, and a line does not wait for it. So the port's thread only adds
//! records to a buffer. What finds no room there is missing in the recording, which says how much
//! that is where it is missing; a port that is not live waits for room instead. What
//! waits is written in one go, and is on the disk a second later, as capture files are.

use crate::error::{Error, words};
use crate::output::Stream;
use crate::source::record::{RecordKind, encode, first_time, split};
use crate::time::{Timestamp, WallOffset};
use log::{Level, info, warn};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Octets of records that may wait for the disk: seconds at 12 Mbit/s, minutes of a slow line.
const LIMIT: usize = 4 << 20;
/// Room beyond that for records that bring no octets: few, and without them a gap has no end.
const RESERVE: usize = 64 << 10;

/// A recording that is being made.
pub struct Recording {
    name: String,
    /// What the file begins with, whenever it can be written.
    header: Vec<u8>,
    state: Mutex<State>,
    /// Told of whatever is new in `state`.
    changed: Condvar,
    /// Whether the port can be kept waiting.
    may_wait: bool,
}

#[derive(Default)]
struct State {
    /// Whole records that wait to be written.
    records: Vec<u8>,
    /// How many octets of the port are in them, or told by them to be missing.
    octets: u64,
    /// Octets of the port that are missing behind them, and not told of yet.
    missing: u64,
    /// The same before them: the disk did not take them.
    lost: u64,
    /// Records that it did not take either, and without which what follows would be misread.
    events: Vec<u8>,
    /// No more records come.
    closing: bool,
    /// Nothing can be written any more.
    failed: bool,
}

impl Recording {
    /// Called `name` in messages; begins with its header. `may_wait`: whether the port can be kept
    /// waiting.
    pub fn new(name: &str, header: Vec<u8>, may_wait: bool) -> Self {
        Self {
            name: name.to_owned(),
            header,
            state: Mutex::default(),
            changed: Condvar::new(),
            may_wait,
        }
    }

    /// Adds a record. Blocks only if the port can be kept waiting.
    fn add(&self, kind: RecordKind, time: Timestamp, octets: &[u8]) {
        let mut state = self.lock();
        let has_octets = kind == RecordKind::Octets;
        let limit = if has_octets { LIMIT } else { LIMIT + RESERVE };
        while self.may_wait && !state.failed && state.records.len() >= LIMIT {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.failed {
            return;
        }
        if state.records.len() >= limit {
            if has_octets {
                if state.missing == 0 {
                    warn!("{}: disk too slow: bytes are missing in the recording", self.name);
                }
                state.missing += octets.len() as u64;
            }
            return;
        }
        let missing = std::mem::take(&mut state.missing);
        if missing > 0 {
            encode(&mut state.records, RecordKind::Missing, time, &missing.to_le_bytes());
            state.octets += missing;
        }
        encode(&mut state.records, kind, time, octets);
        if has_octets {
            state.octets += octets.len() as u64;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// No more records come.
    pub fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    /// The thread: writes until it is closed and all is written, or nothing can be written any
    /// more.
    pub fn run(&self, mut file: Stream) {
        let mut buffer = self.header.clone();
        let (mut short, mut has_header) = (false, false);
        // The header alone first.
        let (mut octets, mut closing) = (0, false);
        loop {
            let written = if buffer.is_empty() { Ok(0) } else { file.write(&buffer) };
            match written {
                Ok(0) => {}
                Ok(_) => {
                    has_header = true;
                    if std::mem::take(&mut short) {
                        info!("{}: the recording goes on", self.name);
                    }
                }
                Err(error) if file.is_short(&error) => {
                    let header = if has_header { 0 } else { self.header.len() };
                    self.lose(&buffer[header..], octets);
                    if !std::mem::replace(&mut short, true) {
                        warn!("{}: cannot write for now: {}", self.name, words(error));
                    }
                }
                Err(error) => return self.fail(error),
            }
            buffer.clear();
            if closing || file.sync_due().is_some_and(|due| due <= Instant::now()) {
                match file.sync() {
                    Err(error) if !file.is_short(&error) => return self.fail(error),
                    _ => {}
                }
            }
            if closing {
                break;
            }
            if !has_header {
                buffer.extend_from_slice(&self.header);
            }
            (octets, closing) = self.take(&mut buffer, file.sync_due());
        }
        let lost = self.lock().lost;
        if lost > 0 {
            warn!("{}: the last {lost} bytes are missing in the recording", self.name);
        }
    }

    /// Waits for records, or until a sync is due, and adds all to `buffer`, which is empty or has the
    /// header; returns how many of the port's octets are among them, or told to be missing, and
    /// whether these are the last.
    fn take(&self, buffer: &mut Vec<u8>, sync_due: Option<Instant>) -> (u64, bool) {
        let mut state = self.lock();
        while state.records.is_empty() && !state.closing {
            state = match sync_due.map(|due| due.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        let missing = if state.closing { std::mem::take(&mut state.missing) } else { 0 };
        if missing > 0 {
            encode(&mut state.records, RecordKind::Missing, Timestamp::MAX, &missing.to_le_bytes());
            state.octets += missing;
        }
        // Without records it can wait, and a disk that is full is not tried without end.
        let is_told = state.closing || !state.records.is_empty();
        let lost = if is_told { std::mem::take(&mut state.lost) } else { 0 };
        if is_told && !state.events.is_empty() {
            let mut records = std::mem::take(&mut state.events);
            records.append(&mut state.records);
            state.records = records;
        }
        if lost > 0 {
            let next = first_time(&state.records).unwrap_or(Timestamp::MAX);
            encode(buffer, RecordKind::Missing, next, &lost.to_le_bytes());
            state.octets += lost;
        }
        if buffer.is_empty() {
            std::mem::swap(&mut state.records, buffer);
        } else {
            buffer.append(&mut state.records);
        }
        let taken = (std::mem::take(&mut state.octets), state.closing);
        drop(state);
        self.changed.notify_all();
        taken
    }

    /// The disk did not take these records, which have or tell of so many of the port's octets.
    fn lose(&self, records: &[u8], octets: u64) {
        let mut state = self.lock();
        state.lost += octets;
        for (kind, record) in split(records) {
            let is_event = match kind {
                RecordKind::Gone | RecordKind::Back | RecordKind::WallOffset => true,
                // It has ended a frame, as octets that are missing do in a replay; where none are,
                // it is needed.
                RecordKind::Silence => state.lost == 0,
                RecordKind::Octets | RecordKind::Missing | RecordKind::Errors => false,
            };
            if is_event && state.events.len() < RESERVE {
                state.events.extend_from_slice(record);
            }
        }
    }

    fn fail(&self, error: std::io::Error) {
        let error = Error::new(&self.name, "cannot write; the recording ends here").because(error);
        error.log(Level::Error);
        let mut state = self.lock();
        state.failed = true;
        state.records = Vec::new();
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whole at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The port thread's end of a recording. It is told of what a read brought, and after that how the
/// wall clock stood.
pub struct Tee<'a> {
    recording: &'a Recording,
    wall: WallOffset,
    staged: Option<(RecordKind, Timestamp)>,
    octets: Vec<u8>,
}

impl<'a> Tee<'a> {
    /// Into this recording.
    pub fn new(recording: &'a Recording) -> Self {
        Self { recording, wall: WallOffset::default(), staged: None, octets: Vec::new() }
    }

    /// A read brought this.
    pub fn stage(&mut self, kind: RecordKind, time: Timestamp, octets: &[u8]) {
        self.staged = Some((kind, time));
        self.octets.clear();
        self.octets.extend_from_slice(octets);
    }

    /// Whether something is staged.
    pub fn is_staged(&self) -> bool {
        self.staged.is_some()
    }

    /// Records it, and before it that the wall clock was set, if it was.
    pub fn record(&mut self, wall: WallOffset, now: Timestamp) {
        let Some((kind, time)) = self.staged.take() else { return };
        if wall != self.wall {
            self.wall = wall;
            self.recording.add(RecordKind::WallOffset, now, &wall.offset_ns.to_le_bytes());
        }
        self.recording.add(kind, time, &self.octets);
    }

    /// Records at once what brings no octets.
    pub fn event(&mut self, kind: RecordKind, time: Timestamp, text: &str) {
        self.recording.add(kind, time, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_told_where_it_is_missing() {
        let recording = Recording::new("a", Vec::new(), false);
        let at = Timestamp::from_ns;
        let chunk = vec![7; 64 << 10];
        for n in 0..100 {
            recording.add(RecordKind::Octets, at(n), &chunk);
        }
        // There is room for what brings no octets.
        recording.add(RecordKind::Gone, at(100), b"unplugged");
        let mut buffer = Vec::new();
        let (octets, closing) = recording.take(&mut buffer, None);
        assert!(!closing && buffer.len() < LIMIT + RESERVE + (64 << 10));
        assert_eq!(octets, 100 * chunk.len() as u64, "recorded or told of");
        let missing = octets - (buffer.len() / chunk.len() * chunk.len()) as u64;
        assert!(missing > 0);
        let told = [&missing.to_le_bytes()[..], &[]].concat();
        assert!(buffer.windows(8).any(|octets| octets == told), "before what comes next");
        recording.add(RecordKind::Octets, at(101), b"x");
        buffer.clear();
        assert_eq!(recording.take(&mut buffer, None), (1, false));
        assert_eq!(buffer[0], RecordKind::Octets as u8);
    }

    #[test]
    fn what_the_disk_did_not_take_is_told_before_what_came_meanwhile() {
        let recording = Recording::new("a", Vec::new(), false);
        let at = Timestamp::from_ns;
        let told = |time: u64, lost: u64| {
            let mut octets = Vec::new();
            encode(&mut octets, RecordKind::Missing, at(4), &lost.to_le_bytes());
            encode(&mut octets, RecordKind::WallOffset, at(4), &[1; 8]);
            encode(&mut octets, RecordKind::Octets, at(time), b"x");
            octets
        };
        // Twice nothing could be written; the second time that would have told of the first.
        recording.add(RecordKind::Octets, at(3), b"12345");
        recording.add(RecordKind::WallOffset, at(4), &[1; 8]);
        recording.add(RecordKind::Silence, at(5), b"");
        for (time, lost) in [(7, 5), (8, 6), (9, 7)] {
            let mut buffer = Vec::new();
            let (octets, _) = recording.take(&mut buffer, None);
            recording.lose(&buffer, octets);
            recording.add(RecordKind::Octets, at(time), b"x");
            buffer.clear();
            assert_eq!(recording.take(&mut buffer, None), (lost + 1, false));
            assert_eq!(buffer, told(time, lost));
            recording.lose(&buffer, lost + 1);
            recording.add(RecordKind::Silence, at(time), b"");
        }
    }

    /// Or what came before it and after it would be one frame in a replay.
    #[test]
    fn silence_that_the_disk_did_not_take_is_recorded_later() {
        let recording = Recording::new("a", Vec::new(), false);
        let mut expected = Vec::new();
        for time in 1..=2 {
            recording.add(RecordKind::Silence, Timestamp::from_ns(time), b"");
            encode(&mut expected, RecordKind::Silence, Timestamp::from_ns(time), b"");
            let mut buffer = Vec::new();
            assert_eq!(recording.take(&mut buffer, None), (0, false));
            assert_eq!(buffer, expected);
            recording.lose(&buffer, 0);
        }
        recording.add(RecordKind::Octets, Timestamp::from_ns(3), b"x");
        encode(&mut expected, RecordKind::Octets, Timestamp::from_ns(3), b"x");
        let mut buffer = Vec::new();
        assert_eq!(recording.take(&mut buffer, None), (1, false));
        assert_eq!(buffer, expected);
    }

    #[test]
    fn a_port_that_can_wait_does_so_and_nothing_is_missing() {
        let recording = Recording::new("a", Vec::new(), true);
        let total = std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..200 {
                    recording.add(RecordKind::Octets, Timestamp::from_ns(n), &[7; 64 << 10]);
                }
                recording.close();
            });
            let (mut total, mut buffer) = (0, Vec::new());
            loop {
                buffer.clear();
                let (octets, closing) = recording.take(&mut buffer, None);
                total += octets;
                if closing && buffer.is_empty() {
                    return total;
                }
            }
        });
        assert_eq!(total, 200 * (64 << 10));
    }
}
