//! What is damaged on a trunk, and the octets that belong to no frame.

use super::super::{Moment, Seen};
use super::frame::{Frame, HEADER_LEN};
use crate::framing::mstp;

/// Octets of a run that are looked at.
const LOOKED_AT: usize = 128;
/// A run of as many octets or more may be a frame at another rate.
const LONG_RUN: usize = 6;
/// Stray octets as few as these, so soon after a frame, are its tail.
const TAIL: usize = 3;
const TAIL_NS: u64 = 3_000_000;

/// Octets outside good frames with nothing in between, as far as they were heard.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// When it began.
    pub at: Moment,
    /// When it ended, in nanoseconds.
    pub end_ns: u64,
    /// How many there are.
    pub len: usize,
    /// The first of them; fewer than `len` where they were not recorded.
    pub octets: Vec<u8>,
}

/// What lies between two good frames.
#[derive(Clone, Debug, Default)]
pub struct Dirt {
    /// Damaged frames.
    pub damaged: u32,
    /// Those that end before they should, with nothing else wrong.
    pub cut: u32,
    /// Whether one of them was to carry data.
    pub has_data: bool,
    /// When the last one ended that was cut.
    pub cut_end_ns: Option<u64>,
    /// Octets of all.
    pub octets: usize,
    /// When the last damaged frame ended, and whether strays behind it belong to it.
    pub damaged_end_ns: Option<u64>,
    /// The run that has not ended yet.
    pub run: Option<Run>,
}

impl Dirt {
    /// Whether a node takes it for silence: fewer octets than Nmin_octets (clause 9.5.3).
    pub fn is_clean(&self) -> bool {
        self.damaged == 0 && self.octets < 4
    }

    /// Whether the adapter may have made it, by losing octets.
    pub fn is_cut_only(&self) -> bool {
        self.damaged > 0 && self.damaged == self.cut
    }
}

/// Damage of all nodes together.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Damaged frames, and frames without their beginning.
    pub damaged: Seen,
    /// Those of eight octets, and those with data.
    pub short_damaged: u32,
    /// Those with data.
    pub long_damaged: u32,
    /// Those with data whose header is damaged.
    pub long_headers_damaged: u32,
    /// Those that end before they should, with nothing else wrong.
    pub cut: u32,
    /// Octets in frames of eight octets, and in frames with data, damaged ones counted in.
    pub short_octets: u64,
    /// Octets in frames with data.
    pub long_octets: u64,
    /// Frames with data, damaged ones counted in.
    pub long_frames: u64,
    /// Runs of stray octets anywhere, tails left out.
    pub strays: Seen,
    /// Runs of up to three octets right behind a frame.
    pub tails: Seen,
    /// Which octets they are.
    pub tail_values: [u32; 256],
    /// Tails whose octets were not recorded.
    pub unseen_tails: u32,
    /// Frames without their first octets.
    pub headless: Seen,
    /// Which octets are in long runs outside good frames.
    pub run_values: [u32; 256],
    /// Octets that are in no frame, good or damaged.
    pub skipped_octets: u64,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            damaged: Seen::default(),
            short_damaged: 0,
            long_damaged: 0,
            long_headers_damaged: 0,
            cut: 0,
            short_octets: 0,
            long_octets: 0,
            long_frames: 0,
            strays: Seen::default(),
            tails: Seen::default(),
            tail_values: [0; 256],
            unseen_tails: 0,
            headless: Seen::default(),
            run_values: [0; 256],
            skipped_octets: 0,
        }
    }
}

/// What a run of stray octets is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// A few octets right behind a frame.
    Tail,
    /// A frame of this node, or of whoever was to speak, without its first octets.
    Headless(Option<u8>),
    /// Anything else.
    Noise,
}

impl Run {
    /// A run that begins with these octets.
    pub fn new(at: Moment, octets: &[u8], len: usize, end_ns: u64) -> Self {
        Self { at, end_ns, len, octets: octets[..octets.len().min(LOOKED_AT)].to_vec() }
    }

    /// Goes on with these.
    pub fn extend(&mut self, octets: &[u8], end_ns: u64) {
        let room = LOOKED_AT.saturating_sub(self.octets.len());
        self.octets.extend_from_slice(&octets[..octets.len().min(room)]);
        self.len += octets.len();
        self.end_ns = end_ns;
    }

    /// What it is, if the last good frame ended at `frame_end_ns` with nothing damaged since.
    pub fn judge(&self, frame_end_ns: Option<u64>) -> Stray {
        if self.octets.is_empty() {
            // Only how many there were is known.
            return match self.len {
                ..=TAIL if frame_end_ns.is_some() => Stray::Tail,
                6 | 7 => Stray::Headless(None),
                _ => Stray::Noise,
            };
        }
        for missing in [&[0x55][..], &[0x55, 0xff]] {
            let whole = [missing, &self.octets].concat();
            if let Some(frame) = Frame::parse(&whole) {
                return Stray::Headless(Some(frame.from));
            }
            if self.len > HEADER_LEN && mstp::announced_len(&whole).is_some() {
                return Stray::Headless(whole.get(4).copied());
            }
        }
        let delay = frame_end_ns.map(|end| self.at.time.as_ns().saturating_sub(end));
        if self.len <= TAIL && delay.is_some_and(|delay| delay <= TAIL_NS) {
            return Stray::Tail;
        }
        Stray::Noise
    }
}

impl Wire {
    /// Counts octets of a frame, good or damaged, by whether it has data.
    pub fn count_octets(&mut self, len: usize, has_data: bool) {
        self.long_frames += u64::from(has_data);
        let octets = if has_data { &mut self.long_octets } else { &mut self.short_octets };
        *octets += len as u64;
    }

    /// Counts a damaged frame. Returns whether it ends before it should, and whether it was to carry
    /// data.
    pub fn add_damaged(&mut self, at: Moment, octets: &[u8]) -> (bool, bool) {
        let announced = mstp::announced_len(octets);
        let is_cut = match announced {
            Some(len) => octets.len() < len,
            None => octets.len() < HEADER_LEN,
        };
        // Where the header is damaged its type says whether data follow.
        let carries = octets.get(2).is_some_and(|kind| !matches!(kind, 0..=2 | 7));
        let is_long = announced.map_or(carries, |len| len > HEADER_LEN);
        *(if is_long { &mut self.long_damaged } else { &mut self.short_damaged }) += 1;
        self.long_headers_damaged += u32::from(is_long && announced.is_none());
        self.count_octets(octets.len(), is_long);
        self.cut += u32::from(is_cut);
        self.damaged.add(at, octets.len() as u64);
        self.note_values(octets);
        (is_cut, is_long)
    }

    /// Counts a run of stray octets.
    pub fn add_run(&mut self, run: &Run, stray: Stray) {
        match stray {
            Stray::Tail => {
                self.tails.add(run.at, run.len as u64);
                self.unseen_tails += u32::from(run.octets.is_empty());
                for octet in &run.octets {
                    self.tail_values[usize::from(*octet)] += 1;
                }
            }
            Stray::Headless(_) => {
                self.headless.add(run.at, run.len as u64);
                self.damaged.add(run.at, run.len as u64);
                self.short_damaged += 1;
            }
            Stray::Noise => self.strays.add(run.at, run.len as u64),
        }
        self.skipped_octets += run.len as u64;
        if stray == Stray::Noise {
            self.note_values(&run.octets);
        }
    }

    fn note_values(&mut self, octets: &[u8]) {
        if octets.len() >= LONG_RUN {
            for octet in octets {
                self.run_values[usize::from(*octet)] += 1;
            }
        }
    }
}
