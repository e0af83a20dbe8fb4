//! What became of the packets of each port in one stream. Of each packet that was found while the
//! stream was open, just one of these is true: it is on its way, or it was delivered, dropped, or
//! abandoned.
//!
//! [`Account`] holds the counts. Port threads and the writer add to it without a lock. [`Draft`] is
//! the writer's own page of it: what is in its records that are not written yet, and what they say
//! of packets that are missing, so that each of them is told of just once, also when such records
//! have to be dropped.

use super::merge::FrameRange;
use crate::encode::StreamCounts;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a stream has missed of a port, which its next packet tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Packets.
    pub packets: u64,
    /// How long the port was gone before one of them.
    pub gap_ns: u64,
}

impl AddAssign for Missed {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.gap_ns += other.gap_ns;
    }
}

/// What became of the packets of one port; written by that port's thread, but for `delivered` and
/// `abandoned`, which are the writer's.
#[derive(Debug, Default)]
struct Counters {
    framed: AtomicU64,
    dropped: AtomicU64,
    delivered: AtomicU64,
    abandoned: AtomicU64,
    /// Dropped since frames were passed on.
    unreported: AtomicU64,
    /// How long the port was gone before one of these.
    unreported_gap_ns: AtomicU64,
}

/// The counts of one stream.
#[derive(Debug)]
pub struct Account {
    ports: Box<[Counters]>,
}

impl Account {
    /// Of a stream of packets from this many ports.
    pub fn new(ports: usize) -> Self {
        Self { ports: (0..ports).map(|_| Counters::default()).collect() }
    }

    /// Counts frames that are on their way from now on, and returns what was refused before them.
    pub fn pass(&self, range: &FrameRange) -> Missed {
        let counters = &self.ports[range.port()];
        counters.framed.fetch_add(range.len() as u64, Ordering::Relaxed);
        // Mostly nothing was refused. What is refused meanwhile is told of by the next frames.
        if counters.unreported.load(Ordering::Relaxed) == 0 {
            return Missed::default();
        }
        Missed {
            packets: counters.unreported.swap(0, Ordering::Relaxed),
            gap_ns: counters.unreported_gap_ns.swap(0, Ordering::Relaxed),
        }
    }

    /// Counts a packet of port number `port` that is on its way without having been passed.
    pub fn copied(&self, port: usize) {
        self.ports[port].framed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts frames that the stream does not get; returns whether they are the first.
    pub fn refuse(&self, range: &FrameRange) -> bool {
        let counters = &self.ports[range.port()];
        let frames = range.len() as u64;
        counters.framed.fetch_add(frames, Ordering::Relaxed);
        counters.unreported.fetch_add(frames, Ordering::Relaxed);
        counters.unreported_gap_ns.fetch_add(range.gap_ns(), Ordering::Relaxed);
        counters.dropped.fetch_add(frames, Ordering::Relaxed) == 0
    }

    /// Counts packets of port number `port` that were written.
    pub fn delivered(&self, port: usize, packets: u64) {
        self.ports[port].delivered.fetch_add(packets, Ordering::Relaxed);
    }

    /// Counts packets of port number `port` that were on their way, and dropped for want of room.
    pub fn dropped(&self, port: usize, packets: u64) {
        self.ports[port].dropped.fetch_add(packets, Ordering::Relaxed);
    }

    /// Counts packets of port number `port` that were on their way and could not be written.
    pub fn abandoned(&self, port: usize, packets: u64) {
        self.ports[port].abandoned.fetch_add(packets, Ordering::Relaxed);
    }

    /// What became of the packets of each port so far.
    pub fn counts(&self) -> Vec<StreamCounts> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.ports
            .iter()
            .map(|counters| StreamCounts {
                framed: load(&counters.framed),
                delivered: load(&counters.delivered),
                dropped: load(&counters.dropped),
                abandoned: load(&counters.abandoned),
            })
            .collect()
    }
}

/// What the records of a stream say that are not written yet, and what they will say.
#[derive(Debug)]
pub struct Draft {
    ports: Box<[Page]>,
}

/// The part of one port.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    /// Packets whose records are not written yet.
    unsent: u64,
    /// What these records tell of that was missed before them, and of gaps of their own.
    told: Missed,
    /// What was missed since the last record.
    missed: Missed,
    /// How many dropped packets the records tell of, those that are not written yet counted in.
    reported: u64,
    /// What the trailers of earlier streams of the same output told.
    settled: StreamCounts,
}

impl Draft {
    /// Of a stream of packets from this many ports.
    pub fn new(ports: usize) -> Self {
        Self { ports: vec![Page::default(); ports].into() }
    }

    /// The next record of the port has to tell of this.
    pub fn miss(&mut self, port: usize, missed: Missed) {
        self.ports[port].missed += missed;
    }

    /// What the port's next record has to tell of.
    pub fn take_missed(&mut self, port: usize) -> Missed {
        std::mem::take(&mut self.ports[port].missed)
    }

    /// There is a record more that tells of this.
    pub fn add_record(&mut self, port: usize, told: Missed) {
        let page = &mut self.ports[port];
        page.unsent += 1;
        page.told += told;
        page.reported += told.packets;
    }

    /// There are packets that will have no record.
    pub fn add_unwritable(&mut self, port: usize, packets: u64) {
        self.ports[port].unsent += packets;
    }

    /// Whether there are records that are not written yet.
    pub fn has_unsent(&self) -> bool {
        self.ports.iter().any(|page| page.unsent > 0)
    }

    /// All records are written.
    pub fn deliver(&mut self, account: &Account) {
        for (port, page) in self.ports.iter_mut().enumerate() {
            if page.unsent > 0 {
                account.delivered(port, std::mem::take(&mut page.unsent));
            }
            page.told = Missed::default();
        }
    }

    /// No record that is not written yet will be. What they told of the next ones tell of.
    pub fn drop_unsent(&mut self, account: &Account) {
        for (port, page) in self.ports.iter_mut().enumerate() {
            let (packets, told) =
                (std::mem::take(&mut page.unsent), std::mem::take(&mut page.told));
            account.dropped(port, packets);
            page.reported -= told.packets;
            page.missed += told;
            page.missed.packets += packets;
        }
    }

    /// The same at the end of the output.
    pub fn abandon_unsent(&mut self, account: &Account) {
        for (port, page) in self.ports.iter_mut().enumerate() {
            account.abandoned(port, std::mem::take(&mut page.unsent));
        }
    }

    /// What the trailer says of a stream that another one follows: what is still queued, and drops
    /// that no record told of, belong to that one.
    pub fn counts_so_far(&self, account: &Account) -> Vec<StreamCounts> {
        let mut counts = account.counts();
        for (counts, page) in counts.iter_mut().zip(&self.ports) {
            counts.dropped = page.reported;
            counts.framed = counts.delivered + counts.dropped;
        }
        counts
    }

    /// What of these counts, which are those of the whole output, no earlier trailer told.
    pub fn unsettled(&self, counts: &[StreamCounts]) -> Vec<StreamCounts> {
        counts.iter().zip(&self.ports).map(|(all, page)| all.minus(&page.settled)).collect()
    }

    /// A trailer has told these counts.
    pub fn settle(&mut self, counts: &[StreamCounts]) {
        for (page, counts) in self.ports.iter_mut().zip(counts) {
            page.settled = *counts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dropped_records_told_of_the_next_record_tells_of() {
        let account = Account::new(1);
        let mut draft = Draft::new(1);
        let told = Missed { packets: 2, gap_ns: 5 };
        draft.miss(0, told);
        assert_eq!(draft.take_missed(0), told);
        draft.add_record(0, told);
        draft.add_record(0, Missed::default());
        assert_eq!(draft.counts_so_far(&account)[0].dropped, 2);
        draft.drop_unsent(&account);
        assert!(!draft.has_unsent());
        assert_eq!(draft.counts_so_far(&account)[0].dropped, 0);
        assert_eq!(draft.take_missed(0), Missed { packets: 4, gap_ns: 5 });
        assert_eq!(account.counts()[0].dropped, 2);
    }

    #[test]
    fn what_was_written_is_told_of_once() {
        let account = Account::new(1);
        let mut draft = Draft::new(1);
        draft.add_record(0, Missed { packets: 3, gap_ns: 0 });
        draft.deliver(&account);
        draft.add_record(0, Missed::default());
        draft.drop_unsent(&account);
        assert_eq!(draft.take_missed(0), Missed { packets: 1, gap_ns: 0 });
        assert_eq!(account.counts()[0].delivered, 1);
    }

    #[test]
    fn each_trailer_tells_of_its_own_stream() {
        let account = Account::new(1);
        let mut draft = Draft::new(1);
        draft.add_record(0, Missed { packets: 3, gap_ns: 0 });
        draft.deliver(&account);
        let first = draft.counts_so_far(&account);
        assert_eq!((first[0].framed, first[0].delivered, first[0].dropped), (4, 1, 3));
        draft.settle(&first);
        draft.add_record(0, Missed { packets: 1, gap_ns: 0 });
        draft.deliver(&account);
        let second = draft.unsettled(&draft.counts_so_far(&account));
        assert_eq!((second[0].framed, second[0].delivered, second[0].dropped), (2, 1, 1));
    }
}
