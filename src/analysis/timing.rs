//! How far the times of records can be trusted: at which rate frames were sent, whether their times
//! are those of the first octet or the last one, and for how long the adapter kept octets back.
//!
//! A capture file does not say any of it, so it is told from the frames themselves. Frames on a line
//! do not overlap, and a node waits for 40 bit times before it answers another; at too low a rate
//! they would overlap. An adapter hands octets over when its timer ends, and what it hands over
//! at once was dated back octet by octet, so that frames stand end to end that cannot.

use super::Record;
use super::trunk::frame::Frame;
use std::collections::VecDeque;

/// Rates of MS/TP.
pub const RATES: [u32; 6] = [9_600, 19_200, 38_400, 57_600, 76_800, 115_200];
/// What a node waits for before it answers another, in octets: 40 bit times, a little less for
/// clocks that differ.
const TURNAROUND_OCTETS: i64 = 3;
/// Answers that come sooner than this, in octets, were handed over together with what they answer.
const TOUCHING_OCTETS: i64 = 2;
/// Of a hundred pairs of frames as many may be closer than that, for faults.
const CLOSE_PERCENT: usize = 2;
/// Of a hundred pairs of frames as many stand end to end at least, if an adapter does that at any rate.
const TOUCHING_PERCENT: usize = 5;
/// If so many do, nothing else tells the rate better.
const SURELY_PERCENT: usize = 20;
/// Fewer pairs tell nothing.
const FEWEST_PAIRS: usize = 20;
/// A rate is told from frames only if one of them fills so much of the time to the next.
const FILLED_PERCENT: u64 = 80;
/// And if it would take so much less at the next rate: not all nodes wait that much longer.
const CLEAR_NS: u64 = 2_000_000;
/// Frames from which on the time that they take tells more than the wait behind them.
const LONG_OCTETS: usize = 64;
/// As many of them are no chance.
const FEWEST_LONG: usize = 3;
/// Frames that the slowest adapter would hand over together, from which on it says something if they
/// are not.
const FEWEST_EXPECTED: u64 = 12;
/// Times that are multiples of this, or of more, are rounded.
const COARSE_NS: u64 = 2_000_000;
/// In steps of more than this a wait for a reply may look like a token that is lost: 300 ms at most,
/// and 480.
const LONGEST_STEP_MS: f64 = 100.0;
/// How late times of the slowest adapter are.
const SLOWEST_NS: i64 = 16_000_000;

/// How the rate of a line is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaudFrom {
    /// The recording or the capture file says so.
    Recording,
    /// The user says so.
    User,
    /// It was told from the frames.
    Timing,
    /// It is not known; the rate is a guess.
    Unknown,
}

impl BaudFrom {
    /// As it is in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::User => "user",
            Self::Timing => "timing",
            Self::Unknown => "unknown",
        }
    }
}

/// What the times of records stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// Bits a second.
    pub baud: u32,
    /// How that is known.
    pub baud_from: BaudFrom,
    /// Whether times are those of the last octet.
    pub at_end: bool,
}

impl Stamps {
    /// Nanoseconds that `octets` take on the line.
    pub fn octets_ns(&self, octets: usize) -> u64 {
        octets as u64 * 10_000_000_000 / u64::from(self.baud.max(1))
    }
}

/// A frame as the survey sees it.
#[derive(Clone, Copy, Debug)]
struct Point {
    time_ns: u64,
    len: usize,
    from: u8,
}

/// The first records of a capture, kept until it is known how to read their times.
#[derive(Debug, Default)]
pub struct Survey {
    kept: VecDeque<Kept>,
    octets: usize,
}

#[derive(Debug)]
struct Kept {
    record: Record<'static>,
    octets: Box<[u8]>,
}

impl Survey {
    /// As many records, or octets of them, are looked at.
    const RECORDS: usize = 20_000;
    const OCTETS: usize = 2 << 20;

    /// Keeps a record. Returns whether these are enough.
    pub fn keep(&mut self, record: Record<'_>) -> bool {
        self.octets += record.octets.len();
        let octets = record.octets.into();
        self.kept.push_back(Kept { record: Record { octets: &[], ..record }, octets });
        self.kept.len() >= Self::RECORDS || self.octets >= Self::OCTETS
    }

    /// The records in order; none are left.
    pub fn take(&mut self) -> impl Iterator<Item = (Record<'static>, Box<[u8]>)> + use<> {
        self.octets = 0;
        std::mem::take(&mut self.kept).into_iter().map(|kept| (kept.record, kept.octets))
    }

    /// What these records say, if the rate is or is not `known`.
    pub fn stamps(&self, known: Option<(u32, BaudFrom)>) -> Stamps {
        let pairs = self.pairs();
        if let Some((baud, baud_from)) = known {
            let ways = [false, true].map(|at_end| Stamps { baud, baud_from, at_end });
            return ways[usize::from(is_at_end(&pairs, &ways))];
        }
        let mut ways = RATES.into_iter().flat_map(|baud| {
            [false, true].map(|at_end| Stamps { baud, baud_from: BaudFrom::Timing, at_end })
        });
        let found = ways.find(|way| fits(&pairs, way)).filter(|_| pairs.len() >= FEWEST_PAIRS);
        let touching = end_to_end(&pairs);
        match found {
            _ if let Some((n, way)) = touching
                && n * 100 >= pairs.len() * SURELY_PERCENT =>
            {
                way
            }
            Some(way) if is_filled(&pairs, &way) => way,
            _ if let Some((_, way)) = touching => way,
            // Good enough to tell a second from a millisecond.
            Some(way) => Stamps { baud_from: BaudFrom::Unknown, ..way },
            None => Stamps { baud: 38_400, baud_from: BaudFrom::Unknown, at_end: false },
        }
    }

    /// Intact frames with nothing in between.
    fn pairs(&self) -> Vec<(Point, Point)> {
        let mut last = None;
        let mut pairs = Vec::new();
        for Kept { record, octets } in &self.kept {
            let frame = Frame::parse(octets).filter(|_| record.skipped_before == 0);
            let point = frame.map(|frame| Point {
                time_ns: record.time.as_ns(),
                len: octets.len(),
                from: frame.from,
            });
            pairs.extend(last.zip(point).filter(|(a, b): &(Point, Point)| b.time_ns >= a.time_ns));
            last = point;
        }
        pairs
    }
}

/// From the end of one to the beginning of the other.
fn gap_ns(pair: &(Point, Point), stamps: &Stamps) -> i64 {
    let (a, b) = pair;
    let between = (b.time_ns - a.time_ns).cast_signed();
    between.saturating_sub(stamps.octets_ns(between_len(pair, stamps)).cast_signed())
}

/// The length of the frame that lies between the times of both.
fn between_len((a, b): &(Point, Point), stamps: &Stamps) -> usize {
    if stamps.at_end { b.len } else { a.len }
}

/// How many pairs are closer than frames of a line can be.
fn too_close<'a>(pairs: impl IntoIterator<Item = &'a (Point, Point)>, stamps: &Stamps) -> usize {
    let octet = stamps.octets_ns(1).cast_signed();
    let is_too_close = |pair: &&(Point, Point)| {
        let least = if pair.0.from == pair.1.from { -1 } else { TURNAROUND_OCTETS };
        gap_ns(pair, stamps) < least * octet
    };
    pairs.into_iter().filter(is_too_close).count()
}

/// Whether frames of a line can have come like this. Those that take long tell most, and are few.
fn fits(pairs: &[(Point, Point)], stamps: &Stamps) -> bool {
    let (long, short): (Vec<_>, Vec<_>) =
        pairs.iter().partition(|pair| between_len(pair, stamps) >= LONG_OCTETS);
    [long, short].iter().all(|pairs| {
        let close = too_close(pairs.iter().copied(), stamps);
        close < FEWEST_LONG || close * 100 <= pairs.len() * CLOSE_PERCENT
    })
}

/// Whether times of last octets, the second way, fit better than those of first ones: the same limit is
/// broken far less often. What an adapter hands over at once touches both ways, but overlaps one
/// way only, and what was not dated back overlaps by no more than the adapter waits.
fn is_at_end(pairs: &[(Point, Point)], ways: &[Stamps; 2]) -> bool {
    let overlap =
        |way: &Stamps, by_ns: i64| pairs.iter().filter(|pair| gap_ns(pair, way) < -by_ns).count();
    let octet = ways[0].octets_ns(1).cast_signed();
    // What stands exactly there was dated back to its first octet; only frames of one length do so
    // both ways.
    let [first, last] = ways.map(|way| touching(pairs, &way));
    if first >= FEWEST_PAIRS && last * 2 < first {
        return false;
    }
    let counts = [
        ways.map(|way| too_close(pairs, &way)),
        ways.map(|way| overlap(&way, octet)),
        ways.map(|way| overlap(&way, SLOWEST_NS + octet)),
    ];
    counts.iter().any(|[first, last]| last * 4 < *first && *first > FEWEST_PAIRS / 2)
}

/// How many stand end to end. What was dated back octet by octet stands exactly there; what only happens
/// to be near does not.
fn touching(pairs: &[(Point, Point)], way: &Stamps) -> usize {
    let near = (way.octets_ns(1).cast_signed() / 64).max(2_000);
    pairs.iter().filter(|pair| (-near..=near).contains(&gap_ns(pair, way))).count()
}

/// The rate at which frames stand end to end that an adapter handed over at once: at a lower one they
/// would overlap, at a higher one there would be time between them. How many do, and the rate.
fn end_to_end(pairs: &[(Point, Point)]) -> Option<(usize, Stamps)> {
    let ways = RATES.into_iter().flat_map(|baud| {
        [false, true].map(|at_end| Stamps { baud, baud_from: BaudFrom::Timing, at_end })
    });
    let touching = |way: &Stamps| {
        let octet = way.octets_ns(1).cast_signed();
        let overlapping = pairs.iter().filter(|pair| gap_ns(pair, way) < -octet).count();
        let touching = touching(pairs, way);
        let is_so = touching >= FEWEST_PAIRS
            && touching * 100 >= pairs.len() * touching_percent(octet)
            && overlapping * 100 <= pairs.len() * CLOSE_PERCENT;
        is_so.then_some(touching)
    };
    let found = ways.filter_map(|way| touching(&way).map(|n| (n, way)));
    // Of equals the first: frames of one length touch both ways.
    found.rev().max_by_key(|(n, _)| *n)
}

/// Whether some frames fill the time to the next one so far that no other rate is likely: at the next
/// one, or at the one before the highest, they would take a clearly different time.
fn is_filled(pairs: &[(Point, Point)], stamps: &Stamps) -> bool {
    let next = RATES.into_iter().find(|rate| *rate > stamps.baud);
    let baud = next.unwrap_or(RATES[RATES.len() - 2]);
    let other = Stamps { baud, ..*stamps };
    let filled = |pair: &&(Point, Point)| {
        let len = between_len(pair, stamps);
        let taken_ns = stamps.octets_ns(len);
        let between = pair.1.time_ns - pair.0.time_ns;
        taken_ns * 100 >= between * FILLED_PERCENT
            && taken_ns.abs_diff(other.octets_ns(len)) >= CLEAR_NS
    };
    pairs.iter().filter(filled).count() >= FEWEST_LONG
}

/// Of a hundred pairs of frames as many stand end to end at least, if an adapter does that. On a slow line
/// one of 1 ms cannot do it at all, since what that takes away is less than the turnaround.
fn touching_percent(octet_ns: i64) -> usize {
    let is_slow = (TURNAROUND_OCTETS - TOUCHING_OCTETS) * octet_ns >= 1_000_000;
    if is_slow { CLOSE_PERCENT } else { TOUCHING_PERCENT }
}

/// For how long the adapter keeps octets back, told from gaps that cannot be.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// Answers of another node, and how many of them stood end to end with what they answer.
    turns: u64,
    touching: u64,
    /// How many would do so if the adapter were the slowest one, times its period in nanoseconds.
    expected_ns: u64,
    octet_ns: i64,
    /// What all times are multiples of.
    step_ns: u64,
}

impl Latency {
    /// A record has this time.
    pub fn add_time(&mut self, time_ns: u64) {
        let (mut step, mut rest) = (time_ns, self.step_ns);
        while rest > 0 {
            (step, rest) = (rest, step % rest);
        }
        self.step_ns = step;
    }

    /// An intact frame of another node followed after `gap_ns`, and began `between_ns` later.
    pub fn add(&mut self, gap_ns: i64, between_ns: u64, octet_ns: u64) {
        self.octet_ns = octet_ns.cast_signed();
        self.turns += 1;
        self.touching += u64::from(gap_ns < TOUCHING_OCTETS * self.octet_ns);
        // Its period ends between both with a probability that grows with the time between them.
        let left_ns = SLOWEST_NS.unsigned_abs().saturating_sub(between_ns);
        self.expected_ns = self.expected_ns.saturating_add(left_ns);
    }

    /// How late a time may be, in milliseconds: the 16 that adapters have unless they are told
    /// otherwise, or 1 if that shows. Where all nodes answer too late for frames to be handed over
    /// together nothing shows, and it may be 16.
    pub fn ms(&self) -> f64 {
        let is_told = self.turns >= FEWEST_PAIRS as u64;
        let expected = self.expected_ns / SLOWEST_NS.unsigned_abs();
        let is_refuted = expected >= FEWEST_EXPECTED && self.touching * 3 < expected;
        let is_slow = self.shows() || is_told && !is_refuted;
        self.or_step_ms(if is_slow { SLOWEST_NS as f64 / 1e6 } else { 1.0 })
    }

    /// Whether frames stand end to end that no node can send so.
    pub fn shows(&self) -> bool {
        let percent = touching_percent(self.octet_ns) as u64;
        self.turns >= FEWEST_PAIRS as u64 && self.touching * 100 > self.turns * percent
    }

    /// This, but no less than the steps of times that are coarse.
    pub fn or_step_ms(&self, ms: f64) -> f64 {
        self.step_ms().map_or(ms, |step| step.max(ms))
    }

    /// Whether times are in steps so long that they do not tell whether the token is lost.
    pub fn hides_silence(&self) -> bool {
        self.step_ms().is_some_and(|step| step > LONGEST_STEP_MS)
    }

    /// The steps of times, in milliseconds, if they are longer than what is to be told.
    pub fn step_ms(&self) -> Option<f64> {
        let is_coarse = self.turns >= FEWEST_PAIRS as u64 && self.step_ns >= COARSE_NS;
        is_coarse.then_some(self.step_ns as f64 / 1e6)
    }
}
