//! What an output has written into files so far: which files there are, how far the newest one goes, and
//! up to which packet. The writer keeps it; whoever wants packets of the past reads the files by it, and
//! never sees half a record.

use crate::time::{MonoClock, Timestamp};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Octets of a file from one mark to the next.
const STEP: u64 = 4 << 20;
/// Marks that are kept: of so many files, or 16 GiB of one.
const MOST: usize = 4096;

/// What is written of one output.
#[derive(Debug, Default)]
pub struct Trail {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Places where a record begins, the oldest first. Each file has one at its beginning.
    marks: VecDeque<Mark>,
    /// Octets of the newest file, all of whole records.
    len: u64,
    /// Packets that have been written, or could not be.
    packets: u64,
}

/// A place where a record begins, or a file.
#[derive(Clone, Debug)]
struct Mark {
    path: Arc<Path>,
    offset: u64,
    /// All packets before it began before this time.
    at: Timestamp,
}

/// Octets of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it was written; once it is complete it may have been compressed, or be gone.
    pub path: Arc<Path>,
    /// Where the first record begins.
    pub offset: u64,
    /// Where the last record ends, if the file goes on.
    pub end: Option<u64>,
}

impl Trail {
    /// A new file is written from now on; those before it are complete.
    pub fn begin(&self, path: PathBuf, now: Timestamp) {
        let mut state = self.state();
        // One that was overwritten.
        state.marks.retain(|mark| *mark.path != *path);
        state.push(Mark { path: path.into(), offset: 0, at: now });
        state.len = 0;
    }

    /// The file has so many octets, and all packets up to this number, counted from the first, are
    /// through.
    pub fn reach(&self, len: u64, packets: u64, clock: &MonoClock) {
        let mut state = self.state();
        (state.len, state.packets) = (len, packets);
        if let Some(last) = state.marks.back()
            && len >= last.offset + STEP
        {
            let path = Arc::clone(&last.path);
            state.push(Mark { path, offset: len, at: clock.now() });
        }
        drop(state);
        self.grown.notify_all();
    }

    /// Waits until so many packets are through, but no longer than that.
    pub fn wait_for(&self, packets: u64, patience: Duration) {
        let too_few = |state: &mut State| state.packets < packets;
        // What is there then is what there is.
        drop(self.grown.wait_timeout_while(self.state(), patience, too_few));
    }

    /// Where the packets are that began at this time or later, the oldest first, and up to which
    /// packet. Some that began earlier are there too.
    pub fn since(&self, time: Timestamp) -> (Vec<Part>, u64) {
        let state = self.state();
        let first = state.marks.iter().rposition(|mark| mark.at <= time).unwrap_or(0);
        let mut parts: Vec<Part> = Vec::new();
        for Mark { path, offset, .. } in state.marks.iter().skip(first) {
            if parts.last().is_none_or(|part| part.path != *path) {
                parts.push(Part { path: Arc::clone(path), offset: *offset, end: None });
            }
        }
        if let Some(newest) = parts.last_mut() {
            newest.end = Some(state.len);
        }
        (parts, state.packets)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole at every point.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, mark: Mark) {
        self.marks.push_back(mark);
        if self.marks.len() > MOST {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_ns(ns)
    }

    fn part(path: &str, offset: u64, end: Option<u64>) -> Part {
        Part { path: Path::new(path).into(), offset, end }
    }

    #[test]
    fn only_what_may_be_new_enough_is_read() {
        let (trail, clock) = (Trail::default(), MonoClock::start());
        assert_eq!(trail.since(at(0)), (vec![], 0));
        trail.begin("a".into(), at(100));
        trail.reach(500, 7, &clock);
        trail.begin("b".into(), at(200));
        trail.begin("c".into(), at(300));
        trail.reach(80, 9, &clock);
        let (a, b, c) = (part("a", 0, None), part("b", 0, None), part("c", 0, Some(80)));
        assert_eq!(trail.since(at(0)), (vec![a.clone(), b.clone(), c.clone()], 9));
        assert_eq!(trail.since(at(199)).0, [a, b.clone(), c.clone()]);
        assert_eq!(trail.since(at(200)).0, [b, c.clone()]);
        assert_eq!(trail.since(at(999)).0, [c]);
        trail.begin("a".into(), at(400));
        assert_eq!(trail.since(at(400)).0, [part("a", 0, Some(0))]);
        assert_eq!(trail.since(at(0)).0[0], part("b", 0, None), "the first one was overwritten");
    }

    #[test]
    fn a_long_file_is_not_read_from_its_beginning_and_marks_are_bounded() {
        let (trail, clock) = (Trail::default(), MonoClock::start());
        trail.begin("a".into(), at(100));
        for step in 1..=3 * MOST as u64 {
            trail.reach(step * STEP / 2, step, &clock);
        }
        let end = 3 * MOST as u64 * STEP / 2;
        assert_eq!(trail.since(clock.now()).0, [part("a", end, Some(end))]);
        let (parts, packets) = trail.since(at(0));
        assert_eq!(packets, 3 * MOST as u64);
        assert_eq!(parts, [part("a", end - (MOST as u64 - 1) * STEP, Some(end))]);
    }

    #[test]
    fn a_writer_is_waited_for_until_it_has_come_so_far() {
        let (trail, clock) = (Arc::new(Trail::default()), MonoClock::start());
        let waiting = Arc::clone(&trail);
        let (tell, told) = crossbeam_channel::bounded(1);
        let waiter = std::thread::spawn(move || {
            waiting.wait_for(2, Duration::from_secs(60));
            tell.send(()).unwrap();
        });
        trail.reach(1, 1, &clock);
        assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "it is too early");
        trail.reach(2, 2, &clock);
        told.recv().unwrap();
        waiter.join().unwrap();
        trail.wait_for(3, Duration::ZERO);
    }
}
