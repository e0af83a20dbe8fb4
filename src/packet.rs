//! The vocabulary: time, link types, frames and the batches they travel in.
//!
//! Nothing here does I/O. Everything else in the crate speaks in these words.

use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in nanoseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The timestamp `ns` nanoseconds after 1970-01-01 00:00:00 UTC.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since 1970-01-01 00:00:00 UTC.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// The end of time (year 2554).
    pub const MAX: Self = Self(u64::MAX);

    /// `ns` nanoseconds later; stays at the end of time (year 2554).
    #[must_use]
    pub const fn plus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// `ns` nanoseconds earlier; stays at 1970.
    #[must_use]
    pub const fn minus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_sub(ns))
    }

    /// Nanoseconds from `earlier` to `self`; 0 if it is not earlier.
    pub const fn ns_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `ns` nanoseconds later, or earlier; stays within time.
    #[must_use]
    pub const fn shifted_ns(self, ns: i64) -> Self {
        Self(self.0.saturating_add_signed(ns))
    }

    /// The same as a duration since 1970, which is what pcap-file takes.
    pub const fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// The monotonic clock that goes on while the machine sleeps, anchored once to wall time, so that
/// it never runs backwards.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot: Timestamp,
}

impl Clock {
    /// Anchors a new clock to the wall time of this moment.
    pub fn start() -> Self {
        let unanchored = Self { boot: Timestamp::default() };
        let lead = unanchored.best_wall_lead_ns();
        // Negative on a machine whose wall clock has just begun, in 1970.
        Self { boot: Timestamp(lead.start().midpoint(*lead.end()).max(0).cast_unsigned()) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.boot.plus_ns(ns_since_boot())
    }

    /// How far the wall clock is ahead of this one: at least and at most, since we may be
    /// stopped between two readings.
    pub fn wall_lead_ns(&self) -> RangeInclusive<i64> {
        let before = self.now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let after = self.now();
        let wall = i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX);
        let lead = |clock: Timestamp| wall.saturating_sub(clock.0.cast_signed());
        lead(after)..=lead(before)
    }

    /// The same as exactly as a few tries give it.
    pub fn best_wall_lead_ns(&self) -> RangeInclusive<i64> {
        let mut best = self.wall_lead_ns();
        for _ in 0..7 {
            let lead = self.wall_lead_ns();
            if lead.end() - lead.start() < best.end() - best.start() {
                best = lead;
            }
        }
        best
    }
}

/// How the wall clock stands beside the clock that packets are dated by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall {
    /// Nanoseconds that it is ahead.
    pub lead_ns: i64,
    /// How often it was set so far.
    pub steps: u32,
    /// Whether a recording says so, of the machine and the time that it was made at.
    pub recorded: bool,
}

impl Wall {
    /// What to say when it is set, by so much.
    pub fn step_in_words(&self, step_ns: i64) -> String {
        let way = if step_ns < 0 { "back" } else { "forward" };
        format!("the clock was set {way} by {}", seconds(step_ns.unsigned_abs()))
    }
}

/// A time for people, such as `12.346 s`.
pub fn seconds(ns: u64) -> String {
    let ms = ns.saturating_add(500_000) / 1_000_000;
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

fn ns_since_boot() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// What a capture file calls the kind of its packets: `LINKTYPE_*` of
/// <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkType(pub u16);

impl LinkType {
    /// `LINKTYPE_BACNET_MS_TP`: a frame from its preamble to its last CRC octet.
    pub const BACNET_MS_TP: Self = Self(165);
    /// `LINKTYPE_IEEE802_15_4_WITHFCS`: a PSDU with its FCS.
    pub const IEEE802_15_4_WITHFCS: Self = Self(195);
    /// `LINKTYPE_IEEE802_15_4_TAP`: a header of TLVs (LQI, channel ...), then a PSDU.
    pub const IEEE802_15_4_TAP: Self = Self(283);
}

/// What is wrong with a frame; more than one thing may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage(u8);

impl Damage {
    /// Nothing is wrong.
    pub const NONE: Self = Self(0);
    /// A check sequence does not fit the octets (`epb_flags` bit 24).
    pub const CRC_ERROR: Self = Self(1);
    /// It ends before its announced length (`epb_flags` bit 26).
    pub const TOO_SHORT: Self = Self(2);
    /// It announces more than its format allows (`epb_flags` bit 25).
    pub const TOO_LONG: Self = Self(4);

    /// Whether anything is wrong.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether `other` is among what is wrong.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The link-layer error bits of pcapng's `epb_flags`
    /// (draft-ietf-opsawg-pcapng, section 4.3.1).
    pub const fn epb_flags(self) -> u32 {
        let mut flags = 0;
        if self.has(Self::CRC_ERROR) {
            flags |= 1 << 24;
        }
        if self.has(Self::TOO_LONG) {
            flags |= 1 << 25;
        }
        if self.has(Self::TOO_SHORT) {
            flags |= 1 << 26;
        }
        flags
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::CRC_ERROR, "CRC error"),
            (Self::TOO_SHORT, "too short"),
            (Self::TOO_LONG, "too long"),
        ];
        let names = names.into_iter().filter(|(damage, _)| self.has(*damage));
        let names: Vec<_> = names.map(|(_, name)| name).collect();
        if names.is_empty() { f.write_str("intact") } else { f.write_str(&names.join(", ")) }
    }
}

/// Where a frame lies in its batch, and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    start: u32,
    len: u32,
    original_len: u32,
    skipped_before: u32,
    pause_ms: u32,
    time: Timestamp,
    damage: Damage,
}

/// What a framer says about a frame beside its octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes {
    /// When its first octet began on the wire.
    pub time: Timestamp,
    /// Octets it should have had; not less than it has.
    pub original_len: u32,
    /// Octets outside frames directly before it.
    pub skipped_before: u32,
    /// What is wrong with it.
    pub damage: Damage,
    /// How long the line was silent inside it, in milliseconds; 0 if no longer than adapters
    /// explain.
    pub pause_ms: u32,
}

/// A frame with its octets, as the encoders see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Which port it came from, counted from 0.
    pub port: u16,
    /// The octets, as they are recorded.
    pub data: &'a [u8],
    /// Octets it should have had; not less than `data.len()`.
    pub original_len: u32,
    /// Octets outside frames directly before it.
    pub skipped_before: u32,
    /// How long the line was silent inside it, in milliseconds.
    pub pause_ms: u32,
    /// When its first octet began on the wire.
    pub time: Timestamp,
    /// What is wrong with it.
    pub damage: Damage,
    /// How the wall clock stood when it had come.
    pub wall: Wall,
    /// How long its port was gone directly before it, if it was.
    pub gap_ns: u64,
    /// Whether its port was another adapter before that.
    pub stranger: bool,
    /// Octets directly before it that a recording lacks.
    pub missing: u64,
}

/// The frames of one read, their octets in one shared buffer.
///
/// This is what crosses a channel. One frame on a slow line, hundreds at full speed.
#[derive(Debug, Default)]
pub struct Batch {
    port: u16,
    wall: Wall,
    gap_ns: u64,
    missing: u64,
    stranger: bool,
    octets: Vec<u8>,
    frames: Vec<Frame>,
}

impl Batch {
    /// An empty batch of frames from port number `port`.
    pub fn new(port: u16) -> Self {
        Self { port, ..Self::default() }
    }

    /// Adds a frame made of `parts`, in this order.
    pub fn push(&mut self, parts: &[&[u8]], notes: Notes) {
        let start = self.octets.len();
        for part in parts {
            self.octets.extend_from_slice(part);
        }
        let len = (self.octets.len() - start) as u32;
        self.frames.push(Frame {
            start: start as u32,
            len,
            original_len: notes.original_len.max(len),
            skipped_before: notes.skipped_before,
            pause_ms: notes.pause_ms,
            time: notes.time,
            damage: notes.damage,
        });
    }

    /// Says how the wall clock stood when its frames had come.
    pub fn set_wall(&mut self, wall: Wall) {
        self.wall = wall;
    }

    /// Says how long the port was gone before its first frame.
    pub fn set_gap_ns(&mut self, gap_ns: u64) {
        self.gap_ns = gap_ns;
    }

    /// Says how many octets before its first frame a recording lacks.
    pub fn set_missing(&mut self, octets: u64) {
        self.missing = octets;
    }

    /// Says that the port was another adapter before its first frame.
    pub fn set_stranger(&mut self, is_one: bool) {
        self.stranger = is_one;
    }

    /// Which port the frames came from, counted from 0.
    pub fn port(&self) -> usize {
        self.port.into()
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is no frame in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// When frame number `frame` began; 1970 if there is none of that number.
    pub fn time(&self, frame: usize) -> Timestamp {
        self.frames.get(frame).map_or_else(Timestamp::default, |frame| frame.time)
    }

    /// Octets of all frames together.
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    /// The frames in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.packets_in(0..self.len())
    }

    /// Some of the frames in order; none where there are not as many.
    pub fn packets_in(&self, frames: Range<usize>) -> impl Iterator<Item = Packet<'_>> {
        let first = (self.gap_ns, self.missing, self.stranger);
        let first = if frames.start == 0 { first } else { Default::default() };
        let (mut gap_ns, mut missing, mut stranger) = first;
        self.frames.get(frames).unwrap_or_default().iter().map(move |frame| Packet {
            port: self.port,
            data: &self.octets[frame.start as usize..][..frame.len as usize],
            original_len: frame.original_len,
            skipped_before: frame.skipped_before,
            pause_ms: frame.pause_ms,
            time: frame.time,
            damage: frame.damage,
            wall: self.wall,
            gap_ns: std::mem::take(&mut gap_ns),
            missing: std::mem::take(&mut missing),
            stranger: std::mem::take(&mut stranger),
        })
    }

    /// Octets of memory that some of its frames take, with what the allocator and a queue add.
    pub fn memory_of(&self, frames: Range<usize>) -> usize {
        const ALLOCATIONS: usize = 3 * 16; // this, its octets, its frames
        const QUEUE_SLOT: usize = 64;
        // Buffers grow by doubling, so that at most half of them is not used.
        const SPARE: usize = 2;
        let octets: usize = self.packets_in(frames.clone()).map(|packet| packet.data.len()).sum();
        size_of::<Self>()
            + ALLOCATIONS
            + QUEUE_SLOT
            + SPARE * (octets + frames.len() * size_of::<Frame>())
    }
}

/// Where the octets of a line went. `octets` is the sum of the four kinds below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Octets received.
    pub octets: u64,
    /// Octets in good frames.
    pub good_octets: u64,
    /// Octets in damaged frames.
    pub damaged_octets: u64,
    /// Octets that may follow a frame and mean nothing.
    pub padding_octets: u64,
    /// Octets outside frames.
    pub skipped_octets: u64,
    /// Good frames.
    pub good_frames: u64,
    /// Damaged frames.
    pub damaged_frames: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut batch = Batch::new(3);
        batch.push(&[b"ab", b"c"], Notes::default());
        batch.push(&[b"de"], Notes { original_len: 9, ..Notes::default() });
        assert_eq!((batch.port(), batch.len(), batch.octets()), (3, 2, 5));
        let packets: Vec<_> = batch.packets().map(|p| (p.port, p.data, p.original_len)).collect();
        assert_eq!(packets, [(3, &b"abc"[..], 3), (3, b"de", 9)]);
    }

    #[test]
    fn a_gap_is_before_the_first_frame_alone() {
        let mut batch = Batch::new(0);
        batch.push(&[b"a"], Notes::default());
        batch.push(&[b"b"], Notes::default());
        batch.set_gap_ns(7);
        let gaps = |frames| batch.packets_in(frames).map(|p| p.gap_ns).collect::<Vec<_>>();
        assert_eq!((gaps(0..2), gaps(1..2)), (vec![7, 0], vec![0]));
    }

    #[test]
    fn seconds_are_for_people() {
        assert_eq!(seconds(12_345_678_901), "12.346 s");
        assert_eq!(
            Wall::default().step_in_words(-3_600_000_000_000),
            "the clock was set back by 3600.000 s"
        );
    }

    #[test]
    fn damage_has_the_bits_of_pcapng() {
        assert_eq!(Damage::NONE.epb_flags(), 0);
        assert_eq!(Damage::CRC_ERROR.epb_flags(), 0x0100_0000);
        assert_eq!(Damage::TOO_SHORT.epb_flags(), 0x0400_0000);
        assert_eq!(Damage::TOO_LONG.epb_flags(), 0x0200_0000);
    }

    #[test]
    fn the_clock_does_not_run_backwards() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
