//! Frames between flags, with octets in them that would be flags escaped: what PPP, SLIP, KISS and
//! the like share.
//!
//! A [`Stuffing`] says what its flag and its escapes are, and judges what stood between two flags.
//! The [`Unstuffer`] walks along the line:
//!
//! ```text
//! flag | a b c | flag | d e f | flag | flag | flag | g h
//! └── a frame ──────┘ └─ another ──┘   padding    └ open
//! ```
//!
//! A frame is taken with the flag before it, unless that ended the frame before, and the flag behind
//! it. A flag behind what is no good frame may begin the next one, and so it is left to that.
//!
//! Work per octet: it is looked at once for a flag, once as its escape is undone, and as often as
//! [`Stuffing::judge`] does. Memory: [`MAX_RUN`] octets, once as received and once without their
//! escapes, and a chunk.

use super::{Setup, Window, Windowed};
use crate::packet::{Batch, Damage, Notes};
use crate::time::Timestamp;

/// Octets between two flags, escapes included: 1500 and a header, should all of them be escaped,
/// and some more. A longer run is no frame.
pub(super) const MAX_RUN: usize = 4_000;

/// What stood between two flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    /// The octets without their escapes.
    pub(super) octets: &'a [u8],
    /// Whether a flag is before it, its own or the one that ended the frame before.
    pub(super) is_opened: bool,
    /// Whether a flag is behind it. If not, silence or the end of input ended it.
    pub(super) is_closed: bool,
    /// Whether each escape in it stands for an octet.
    pub(super) is_sound: bool,
}

impl Run<'_> {
    /// Whether it is text, which some firmware mixes into its line.
    pub(super) fn is_text(&self) -> bool {
        self.octets.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\r' | b'\n' | b'\t'))
    }
}

/// What a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A good frame.
    Good,
    /// A frame with something wrong.
    Damaged(Damage),
    /// A frame cut off, which should have had this many octets.
    Short(usize),
    /// No frame, but no noise either: an answer that means nothing by itself.
    Padding,
    /// No frame.
    Nothing,
}

/// A format with flags and escapes.
pub(super) trait Stuffing: Send {
    /// What stands between frames, and never inside of one.
    const FLAG: u8;
    /// What says that the octet behind it stands for another one.
    const ESCAPE: u8;

    /// What `octet` stands for behind an escape, if for anything.
    fn unescaped(octet: u8) -> Option<u8>;

    /// What `run` is; it has at least one octet.
    fn judge(&self, run: Run<'_>) -> Verdict;

    /// The octets that are recorded before those of a frame, such as its direction.
    fn head(&self) -> &[u8] {
        &[]
    }

    /// The part of a frame, without its escapes, that is recorded.
    fn recorded<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame
    }
}

/// A framer for any [`Stuffing`].
#[derive(Debug)]
pub(super) struct Unstuffer<S> {
    stuffing: S,
    window: Window,
    /// Whether the last octet that was judged is a flag.
    is_after_flag: bool,
    /// Up to here there is no flag but the first octet, in the held octets.
    searched: usize,
    /// A run without its escapes.
    plain: Vec<u8>,
}

impl<S: Stuffing> Unstuffer<S> {
    pub(super) fn new(stuffing: S, setup: &Setup) -> Self {
        let window = Window::new(setup);
        Self { stuffing, window, is_after_flag: false, searched: 0, plain: Vec::new() }
    }

    /// Judges what can be judged; all of it if nothing follows (`closed`).
    fn hunt(&mut self, closed: bool, out: &mut Batch) {
        while let Some(&first) = self.window.octets().first() {
            let start = usize::from(first == S::FLAG);
            let octets = self.window.octets();
            let from = self.searched.max(start);
            let end = memchr::memchr(S::FLAG, &octets[from..]).map(|at| from + at);
            let longest = start + MAX_RUN;
            match end.filter(|end| *end <= longest) {
                Some(end) if end == start => {
                    self.window.pad(1); // a flag before another one
                    self.is_after_flag = true;
                }
                Some(end) => self.run(start, end, true, out),
                None if octets.len() > longest => self.skip(longest),
                None if !closed => {
                    self.searched = octets.len();
                    return;
                }
                None if octets.len() == start => self.window.pad(1),
                None => self.run(start, octets.len(), false, out),
            }
            self.searched = 0;
        }
    }

    /// What stands in the held octets from `start` to `end`, where a flag is if it `is_closed`.
    fn run(&mut self, start: usize, end: usize, is_closed: bool, out: &mut Batch) {
        let mut plain = std::mem::take(&mut self.plain);
        let is_sound = unstuff::<S>(&self.window.octets()[start..end], &mut plain);
        let is_opened = start > 0 || self.is_after_flag;
        let run = Run { octets: &plain, is_opened, is_closed, is_sound };
        let verdict = if plain.is_empty() { Verdict::Nothing } else { self.stuffing.judge(run) };
        let none = Notes::default();
        match verdict {
            Verdict::Good => {
                let notes = self.window.good(end + usize::from(is_closed));
                self.record(&plain, notes, out);
                self.is_after_flag = is_closed;
            }
            Verdict::Damaged(damage) => self.damaged(&plain, end, Notes { damage, ..none }, out),
            Verdict::Short(len) => {
                let original_len = (self.stuffing.head().len() + len) as u32;
                let short = Notes { damage: Damage::TOO_SHORT, original_len, ..none };
                self.damaged(&plain, end, short, out);
            }
            Verdict::Padding => {
                self.window.pad(end + usize::from(is_closed));
                self.is_after_flag = is_closed;
            }
            Verdict::Nothing => self.skip(end),
        }
        self.plain = plain;
    }

    /// The first `len` octets are a frame with this wrong.
    fn damaged(&mut self, plain: &[u8], len: usize, wrong: Notes, out: &mut Batch) {
        let Notes { damage, original_len, .. } = wrong;
        let notes = Notes { damage, original_len, ..self.window.damaged(len) };
        self.record(plain, notes, out);
        self.is_after_flag = false;
    }

    fn record(&self, plain: &[u8], notes: Notes, out: &mut Batch) {
        let recorded = self.stuffing.recorded(plain);
        // A capture must not hold empty packets: dumpcap counts them as dropped.
        if !recorded.is_empty() {
            out.push(&[self.stuffing.head(), recorded], notes);
        }
    }

    fn skip(&mut self, len: usize) {
        self.window.skip(len);
        self.is_after_flag = false;
    }
}

/// Undoes the escapes of `octets` into `plain`. Returns whether each stands for an octet; those that
/// do not stay as they are.
fn unstuff<S: Stuffing>(octets: &[u8], plain: &mut Vec<u8>) -> bool {
    plain.clear();
    let mut is_sound = true;
    let mut rest = octets;
    while let Some(at) = memchr::memchr(S::ESCAPE, rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let escaped = rest.split_off_first().copied();
        match escaped.and_then(S::unescaped) {
            Some(meant) => plain.push(meant),
            None => {
                is_sound = false;
                plain.push(S::ESCAPE);
                plain.extend(escaped);
            }
        }
    }
    plain.extend_from_slice(rest);
    is_sound
}

impl<S: Stuffing> Windowed for Unstuffer<S> {
    fn window(&self) -> &Window {
        &self.window
    }

    fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    fn cut(&mut self, closed: bool, out: &mut Batch) {
        self.hunt(closed, out);
    }

    fn end(&mut self, _now: Timestamp, out: &mut Batch) {
        self.hunt(true, out);
        self.is_after_flag = false;
    }

    fn forget(&mut self) {
        self.is_after_flag = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Framer;
    use super::*;
    use crate::packet::Tally;

    /// Flag `|`, escape `^`, behind which `a` and `b` stand for these two; a frame ends with `.`.
    struct Marks;

    impl Stuffing for Marks {
        const FLAG: u8 = b'|';
        const ESCAPE: u8 = b'^';

        fn unescaped(octet: u8) -> Option<u8> {
            match octet {
                b'a' => Some(b'|'),
                b'b' => Some(b'^'),
                _ => None,
            }
        }

        fn judge(&self, run: Run<'_>) -> Verdict {
            match (run.is_sound && run.is_closed, run.octets.last()) {
                (true, Some(b'.')) => Verdict::Good,
                _ if run.is_opened => Verdict::Damaged(Damage::CRC_ERROR),
                _ => Verdict::Nothing,
            }
        }
    }

    /// Frames with a `!` behind damaged ones, and where all octets went: good, damaged, padding and
    /// skipped.
    fn framed(line: &str) -> (Vec<String>, [u64; 4]) {
        let run = |chunk: usize| {
            let mut framer = Unstuffer::new(Marks, &Setup::new(9600));
            let mut batch = Batch::new(0);
            for octets in line.as_bytes().chunks(chunk) {
                framer.push(octets, Timestamp::default(), &mut batch);
            }
            framer.finish(&mut batch);
            let frames = batch.packets().map(|packet| {
                let mark = if packet.damage.is_none() { "" } else { "!" };
                format!("{}{mark}", packet.data.escape_ascii())
            });
            let tally = framer.tally();
            let Tally { good_octets, damaged_octets, padding_octets, skipped_octets, .. } = tally;
            assert_eq!(tally.octets, line.len() as u64);
            let counts = [good_octets, damaged_octets, padding_octets, skipped_octets];
            (frames.collect::<Vec<_>>(), counts)
        };
        let whole = run(line.len());
        assert_eq!(run(1), whole);
        whole
    }

    fn frames(line: &str) -> Vec<String> {
        framed(line).0
    }

    #[test]
    fn frames_share_flags_or_have_their_own() {
        assert_eq!(framed("|one.||two.|"), (vec!["one.".into(), "two.".into()], [12, 0, 0, 0]));
        assert_eq!(framed("|one.|two.|"), (vec!["one.".into(), "two.".into()], [11, 0, 0, 0]));
        assert_eq!(framed("||||one.|||"), (vec!["one.".into()], [6, 0, 5, 0]));
    }

    #[test]
    fn escapes_are_undone_and_wrong_ones_stay() {
        assert_eq!(frames("|x^ay^bz.|"), ["x|y^z."]);
        assert_eq!(frames("|x^ay^cz.|"), ["x|y^cz.!"]);
        assert_eq!(frames("|x.^|y.|"), ["x.^!", "y."]);
    }

    #[test]
    fn what_is_damaged_costs_nothing_else() {
        assert_eq!(framed("|on|two.|"), (vec!["on!".into(), "two.".into()], [6, 3, 0, 0]));
        assert_eq!(framed("noise|two.|"), (vec!["two.".into()], [6, 0, 0, 5]));
        assert_eq!(framed("|one.|cut"), (vec!["one.".into(), "cut!".into()], [6, 3, 0, 0]));
    }

    #[test]
    fn a_run_that_is_too_long_is_no_frame() {
        let most = ".".repeat(MAX_RUN);
        assert_eq!(framed(&format!("|{most}|x.|")).1, [MAX_RUN as u64 + 2 + 3, 0, 0, 0]);
        let (frames, counts) = framed(&format!("|{most}.|x.|"));
        // What is left of it is taken for a run by itself that no flag opened.
        assert_eq!((frames.len(), counts[3]), (2, MAX_RUN as u64 + 1));
    }

    #[test]
    fn a_frame_has_the_time_of_its_first_octet() {
        let mut framer = Unstuffer::new(Marks, &Setup::new(10_000)); // 1 ms an octet
        let mut batch = Batch::new(0);
        framer.push(b"|a^a", Timestamp::from_ns(10_000_000), &mut batch);
        framer.push(b".|b.|", Timestamp::from_ns(50_000_000), &mut batch);
        let times: Vec<u64> = batch.packets().map(|p| p.time.as_ns() / 1_000_000).collect();
        assert_eq!(times, [6, 47]);
        assert_eq!(framer.deadline(), None);
    }
}
