//! The last seconds, kept once for all readers that are to come.
//!
//! A new stream gets no copy of them. It is *behind*: whenever its queue has run empty, its writer
//! has the next [`PIECE`] put into it, until there is no more; from then on what is new goes into
//! the queue directly. What has to leave meanwhile, because the memory for history is used up, goes
//! into the queues of those that have not had it yet. So all that any number of slow readers take is
//! one history, and one queue each.
//!
//! Where no port is live nothing is dropped for want of room: what is needed stays, and reading waits
//! ([`History::has_room`]).

use super::merge::FrameRange;
use super::writer::StreamWriter;
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

/// Octets of memory that are put into a queue at once: little of what the smallest may have.
const PIECE: usize = 128 << 10;

/// The last seconds, oldest first.
pub struct History {
    ranges: VecDeque<FrameRange>,
    /// The number of the first of `runs`, counted from the first ever.
    first: u64,
    memory: usize,
    memory_limit: usize,
    reach_ns: u64,
    /// Whether what is read can wait until there is room.
    may_wait: bool,
    /// Streams that are behind, each with the number of the range that it needs next.
    behind: Vec<(Arc<StreamWriter>, u64)>,
}

impl History {
    /// Of `seconds`, as far as they fit `memory_limit` octets. None of 0 seconds.
    pub fn new(seconds: u64, memory_limit: usize) -> Self {
        let reach_ns = seconds.saturating_mul(1_000_000_000);
        Self {
            ranges: VecDeque::new(),
            first: 0,
            memory: 0,
            memory_limit,
            reach_ns,
            may_wait: false,
            behind: Vec::new(),
        }
    }

    /// From now on it is of `seconds`; what streams still need stays until they have it.
    pub fn set_reach(&mut self, seconds: u64) {
        self.reach_ns = seconds.saturating_mul(1_000_000_000);
        self.forget();
    }

    /// Lets go of everything where nothing is to be kept and no stream needs it any more.
    fn forget(&mut self) {
        if self.reach_ns == 0 && self.behind.is_empty() {
            self.first += self.ranges.len() as u64;
            self.ranges.clear();
            self.memory = 0;
        }
    }

    /// Says whether what is read can wait until there is room.
    pub fn set_may_wait(&mut self, may_wait: bool) {
        self.may_wait = may_wait;
    }

    /// Whether there is room for what one read brings, which some may still have to get.
    pub fn has_room(&self) -> bool {
        self.behind.is_empty() || self.memory <= self.memory_limit
    }

    /// Keeps what leaves now, and lets go of what is too old or too much.
    pub fn remember(&mut self, range: FrameRange) {
        if self.reach_ns == 0 && self.behind.is_empty() {
            return;
        }
        let newest = range.last_time();
        self.memory += range.memory();
        self.ranges.push_back(range);
        while let Some(oldest) = self.ranges.front() {
            let is_needed = self.behind.iter().any(|(_, next)| *next == self.first);
            let is_much = self.memory > self.memory_limit && !(is_needed && self.may_wait);
            let is_old = newest.ns_since(oldest.last_time()) > self.reach_ns && !is_needed;
            if !is_much && !is_old {
                return;
            }
            for (stream, next) in &mut self.behind {
                if *next == self.first {
                    stream.offer(oldest);
                    *next += 1;
                }
            }
            self.memory -= oldest.memory();
            self.first += 1;
            self.ranges.pop_front();
        }
    }

    /// A new stream gets what is young enough by now, of this much time at most.
    pub fn begin(&mut self, stream: &Arc<StreamWriter>, now: Timestamp, most_ns: u64) {
        let reach_ns = self.reach_ns.min(most_ns);
        let is_old = |range: &&FrameRange| now.ns_since(range.last_time()) > reach_ns;
        let old = self.ranges.iter().take_while(is_old).count();
        if old < self.ranges.len() {
            self.behind.push((Arc::clone(stream), self.first + old as u64));
        }
    }

    /// Whether all packets of so much time, up to now, are here.
    pub fn covers(&self, now: Timestamp, most_ns: u64) -> bool {
        let is_first = |range: &FrameRange| range.number() == 0;
        let is_older = |range: &FrameRange| now.ns_since(range.last_time()) > most_ns;
        self.ranges.front().is_some_and(|oldest| is_first(oldest) || is_older(oldest))
    }

    /// A stream gets what is here from the packet of this number on.
    pub fn begin_at(&mut self, stream: &Arc<StreamWriter>, number: u64) {
        let is_before = |range: &&FrameRange| range.number() + range.len() as u64 <= number;
        let mut had = self.ranges.iter().take_while(is_before).count();
        if let Some(range) = self.ranges.get(had)
            && range.number() < number
        {
            let mut rest = range.clone();
            rest.skip_to(number);
            stream.queue.offer(&rest);
            had += 1;
        }
        if had < self.ranges.len() {
            self.behind.push((Arc::clone(stream), self.first + had as u64));
        }
    }

    /// Whether a stream has still to get what is here, and gets all that is new from here.
    pub fn is_behind(&self, stream: &Arc<StreamWriter>) -> bool {
        self.behind.iter().any(|(other, _)| Arc::ptr_eq(other, stream))
    }

    /// Puts more into the queue of a stream that is behind; `false` if it is not.
    pub fn feed(&mut self, stream: &Arc<StreamWriter>) -> bool {
        let is_it = |(other, _): &(Arc<StreamWriter>, u64)| Arc::ptr_eq(other, stream);
        let Some(index) = self.behind.iter().position(is_it) else { return false };
        let (_, next) = &mut self.behind[index];
        while stream.queue.memory() < PIECE
            && let Some(range) = self.ranges.get((*next - self.first) as usize)
        {
            stream.queue.offer(range);
            *next += 1;
        }
        if *next == self.first + self.ranges.len() as u64 {
            self.behind.swap_remove(index);
            self.forget();
        }
        true
    }

    /// A stream has ended: counts what it has not got.
    pub fn end(&mut self, stream: &Arc<StreamWriter>) {
        let is_it = |(other, _): &(Arc<StreamWriter>, u64)| Arc::ptr_eq(other, stream);
        let Some(index) = self.behind.iter().position(is_it) else { return };
        let (_, next) = self.behind.swap_remove(index);
        for range in self.ranges.iter().skip((next - self.first) as usize) {
            stream.queue.account.pass(range);
            stream.queue.account.abandoned(range.port(), range.len() as u64);
        }
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::merge::Merger;
    use crate::capture::queue::Queue;
    use crate::packet::{Batch, Notes};
    use crate::source::Pace;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_ns((100 + seconds) * 1_000_000_000)
    }

    /// Three reads of three frames each, the first of which is the one of this number; one a second.
    fn history(first: u64) -> History {
        let mut merger = Merger::new([(Pace::Arrival, true)]);
        let mut history = History::new(600, 1 << 20);
        for read in 0..3 {
            let mut batch = Batch::new(0);
            for frame in 0..3 {
                batch.push(&[&[0]], Notes { time: at(3 * read + frame), ..Notes::default() });
            }
            merger.push(batch, None, at(10));
            let next = merger.next(at(10)).unwrap();
            let mut range = merger.take(&next).unwrap();
            range.set_number(first + 3 * read);
            history.remember(range);
        }
        history
    }

    #[test]
    fn a_stream_goes_on_behind_any_packet() {
        for (from, wanted) in [(0, 0..9), (3, 3..9), (4, 4..9), (8, 8..9), (9, 9..9), (20, 9..9)] {
            let mut history = history(0);
            let queue = Queue::new("a reader", 1, 1 << 20, Arc::default()).unwrap();
            let stream = Arc::new(StreamWriter::unwritten(queue, at(10)));
            history.begin_at(&stream, from);
            while history.feed(&stream) {}
            let queued = std::iter::from_fn(|| stream.queue.take());
            let times: Vec<_> = queued
                .flat_map(|it| it.range.packets().map(|packet| packet.time).collect::<Vec<_>>())
                .collect();
            assert_eq!(times, wanted.map(at).collect::<Vec<_>>(), "from {from}");
        }
    }

    #[test]
    fn it_covers_a_time_that_begins_behind_its_first_packets_or_all_that_ever_came() {
        let s = |seconds: u64| seconds * 1_000_000_000;
        assert!(history(0).covers(at(10), s(3600)));
        // The first read's last packet is 8 s old.
        assert!(history(1).covers(at(10), s(7)) && !history(1).covers(at(10), s(8)));
        assert!(!History::new(600, 1 << 20).covers(at(10), s(1)));
    }
}
