//! Hunting for frames by content: what formats with a length and a check sequence share.
//!
//! A [`Format`] says what octets at one position are; the [`Hunter`] walks them along the
//! line. A damaged frame does not cost the good ones in it or after it: the search for the
//! next good frame goes on from the octet after the damaged one's first, and the damaged
//! frame ends where that one begins. Inside a good frame nothing is searched for.
//!
//! A pause ends nothing: the octets behind it may complete the frame before it, and then it is
//! good. If instead a good frame begins right behind it, the one before was cut off; behind shorter
//! pauses, as a busy bus has them between any two frames, it takes two good frames to show that.
//! (So an intact frame that holds octets of a good frame, and pauses just before these, is taken
//! for two.) What nothing decides, silence ends in the end.
//!
//! Work per octet: a position is judged at most twice by itself, and an octet is read by the
//! judgement of each position that is at most one frame before it and may start a frame.
//! With `n` octets in the longest frame and starts at least `s` octets apart that is `2n/s`
//! steps; only input crafted for it comes near. Memory: two longest frames and a chunk.

use super::{Setup, Window, Windowed};
use crate::packet::{Batch, Damage, Notes};

/// What the octets at a position are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// No frame starts here.
    Nothing,
    /// More octets are needed to tell. If there are none, this is a frame cut off, which
    /// should have had this many octets; without the number, no frame starts here.
    More(Option<usize>),
    /// A good frame of this many octets.
    Good(usize),
    /// A frame of this many octets, all present, with a check sequence that does not fit.
    Bad(usize),
    /// The header of a frame, of this many octets, that announces more than the format allows.
    TooLong(usize),
    /// A frame that was broken off after this many octets: what follows cannot be of it.
    Cut(usize),
    /// No frame, but a mark of this many octets that says how to go on. A damaged frame ends
    /// before it.
    Mark(usize),
    /// The same where a mark is no noise: it stands between frames and means nothing by itself.
    Pad(usize),
}

/// What a hunt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A good frame.
    Good,
    /// A damaged frame.
    Damaged,
    /// A [`Judgement::Mark`] or [`Judgement::Pad`].
    Mark,
    /// Nothing where it was looked for: an octet is skipped.
    Nothing,
}

/// Which octets may start a frame. A look-up takes the same time however many there are.
#[derive(Debug)]
pub(super) struct Starts([bool; 256]);

impl Starts {
    /// These.
    pub(super) const fn of(octets: &[u8]) -> Self {
        let mut starts = [false; 256];
        let mut at = 0;
        while at < octets.len() {
            starts[octets[at] as usize] = true;
            at += 1;
        }
        Self(starts)
    }

    /// How far it is to the first of them; `octets.len()` if there is none.
    pub(super) fn find(&self, octets: &[u8]) -> usize {
        octets.iter().position(|octet| self.0[usize::from(*octet)]).unwrap_or(octets.len())
    }
}

/// A frame format that can be told from noise.
pub(super) trait Format: Send {
    /// Whether an octet directly after a good frame is padding.
    fn is_padding(_octet: u8) -> bool {
        false
    }

    /// How far it is to the first position that may start a frame; `octets.len()` if none is
    /// here.
    fn find(&self, octets: &[u8]) -> usize;

    /// Whether the next octet has to start a frame, so that it is judged whatever it is.
    fn is_due(&self) -> bool {
        false
    }

    /// What starts at the first octet; there is at least one. Pure: a position is asked about
    /// as often as it is needed.
    fn judge(&self, octets: &[u8]) -> Judgement;

    /// The same inside a damaged frame, where only a good frame or a mark is of interest and more must
    /// speak for it if a check sequence alone is weak. What is good here is good in `judge`.
    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        self.judge(octets)
    }

    /// What [`judge`](Self::judge) says once nothing follows, where that ends frames. A good frame
    /// must be one that `judge` would wait for.
    fn judge_last(&self, octets: &[u8]) -> Judgement {
        self.judge(octets)
    }

    /// The part of a frame that is recorded.
    fn recorded<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame
    }

    /// Adds the packet of that part, with what stands before it in a capture.
    fn record(&self, recorded: &[u8], notes: Notes, out: &mut Batch) {
        out.push(&[recorded], notes);
    }

    /// Hears what the hunt came to, and of which octets, before the next judgement.
    fn found(&mut self, _found: Found, _octets: &[u8]) {}

    /// The octets that follow have nothing to do with those before.
    fn reset(&mut self) {}
}

/// A damaged frame at the start of the window whose end is not known yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    len: usize,
    original_len: usize,
    damage: Damage,
    /// Up to here no good frame begins in it.
    searched: usize,
}

impl Pending {
    /// All of it is there.
    fn whole(len: usize, damage: Damage) -> Self {
        Self { len, original_len: len, damage, searched: 1 }
    }
}

/// A framer for any [`Format`].
#[derive(Debug)]
pub(super) struct Hunter<F> {
    format: F,
    window: Window,
    pending: Option<Pending>,
    after_good: bool,
}

impl<F: Format> Hunter<F> {
    pub(super) fn new(format: F, setup: &Setup) -> Self {
        Self { format, window: Window::new(setup), pending: None, after_good: false }
    }

    /// Judges what can be judged; all of it if nothing follows (`closed`).
    fn hunt(&mut self, closed: bool, out: &mut Batch) {
        loop {
            if let Some(pending) = self.pending {
                match self.end_of(pending, closed) {
                    Some(ended) => self.emit_damaged(ended, out),
                    None => return,
                }
                continue;
            }
            let Some(&first) = self.window.octets().first() else { return };
            if std::mem::take(&mut self.after_good) && F::is_padding(first) {
                self.window.pad(1);
                continue;
            }
            let ahead =
                if self.format.is_due() { 0 } else { self.format.find(self.window.octets()) };
            if ahead > 0 {
                self.window.skip(ahead);
                continue;
            }
            let octets = self.window.octets();
            let judgement =
                if closed { self.format.judge_last(octets) } else { self.format.judge(octets) };
            if !self.act_on(judgement, closed, out) {
                return;
            }
        }
    }

    /// Does what a judgement leads to; `false` if it has to wait for more octets.
    fn act_on(&mut self, judgement: Judgement, closed: bool, out: &mut Batch) -> bool {
        match judgement {
            Judgement::Good(len) => self.emit_good(len, out),
            Judgement::Bad(len) => self.pending = Some(Pending::whole(len, Damage::CRC_ERROR)),
            Judgement::TooLong(len) => self.pending = Some(Pending::whole(len, Damage::TOO_LONG)),
            Judgement::Cut(len) => self.pending = Some(Pending::whole(len, Damage::TOO_SHORT)),
            Judgement::More(Some(original_len)) if !closed => {
                // Cut off, if a good frame begins behind a pause.
                let Some(len) = self.cut_behind(0) else { return false };
                let damage = Damage::TOO_SHORT;
                self.pending = Some(Pending { len, original_len, damage, searched: len });
            }
            Judgement::More(None) if !closed => return false,
            Judgement::More(Some(original_len)) => {
                self.pending = Some(Pending {
                    len: self.window.octets().len(),
                    original_len,
                    damage: Damage::TOO_SHORT,
                    searched: 1,
                });
            }
            Judgement::More(None) | Judgement::Nothing => {
                self.window.skip(1);
                self.tell(Found::Nothing, 1);
            }
            Judgement::Mark(len) => {
                self.window.skip(len);
                self.tell(Found::Mark, len);
            }
            Judgement::Pad(len) => {
                self.window.pad(len);
                self.tell(Found::Mark, len);
            }
        }
        true
    }

    /// Tells the format what the hunt came to, with the last `len` octets that were taken.
    fn tell(&mut self, found: Found, len: usize) {
        let taken = self.window.taken;
        self.format.found(found, &self.window.octets[taken - len..taken]);
    }

    /// The damaged frame with its end, if that can be told: where a good frame begins in it,
    /// or where it ends by itself.
    fn end_of(&mut self, mut pending: Pending, closed: bool) -> Option<Pending> {
        let octets = self.window.octets();
        let mut at = pending.searched;
        loop {
            at += self.format.find(&octets[at..]);
            if at >= pending.len {
                return Some(pending);
            }
            match self.format.judge_inside(&octets[at..]) {
                Judgement::Good(_) | Judgement::Mark(_) | Judgement::Pad(_) => {
                    return Some(Pending { len: at, damage: Damage::TOO_SHORT, ..pending });
                }
                // What a good frame behind a pause cuts off is none.
                Judgement::More(_) if !closed && self.cut_behind(at).is_none() => {
                    pending.searched = at;
                    self.pending = Some(pending);
                    return None;
                }
                _ => at += 1,
            }
        }
    }

    /// Where what begins `from` octets ahead was cut off, if good frames behind later pauses show
    /// that (one behind a pause that no adapter explains, or two): where a frame of any kind
    /// begins behind one.
    fn cut_behind(&self, from: usize) -> Option<usize> {
        let octets = self.window.octets();
        let (mut cut, mut hints) = (None, 0);
        let pauses = self.window.behind_pauses();
        for (at, is_long) in pauses.filter(|(at, _)| *at > from && *at < octets.len()) {
            if self.format.find(&octets[at..]) > 0 {
                continue;
            }
            match self.format.judge_inside(&octets[at..]) {
                Judgement::Good(_) => {
                    cut = cut.or(Some(at));
                    hints += if is_long { 2 } else { 1 };
                    if hints >= 2 {
                        return cut;
                    }
                }
                Judgement::More(Some(_)) | Judgement::Bad(_) if is_long => cut = cut.or(Some(at)),
                _ => {}
            }
        }
        None
    }

    fn emit_good(&mut self, len: usize, out: &mut Batch) {
        let notes = self.window.good(len);
        let taken = self.window.taken;
        let frame = &self.window.octets[taken - len..taken];
        let recorded = self.format.recorded(frame);
        self.format.record(recorded, notes, out);
        self.after_good = true;
        self.format.found(Found::Good, frame);
    }

    fn emit_damaged(&mut self, ended: Pending, out: &mut Batch) {
        self.pending = None;
        let notes = self.window.damaged(ended.len);
        let taken = self.window.taken;
        let frame = &self.window.octets[taken - ended.len..taken];
        let recorded = self.format.recorded(frame);
        let unrecorded = frame.len() - recorded.len();
        let original_len = ended.original_len.max(ended.len).saturating_sub(unrecorded) as u32;
        let notes = Notes { damage: ended.damage, original_len, ..notes };
        // A capture must not hold empty packets: dumpcap counts them as dropped.
        if !recorded.is_empty() {
            self.format.record(recorded, notes, out);
        }
        self.format.found(Found::Damaged, frame);
    }
}

impl<F: Format> Windowed for Hunter<F> {
    fn window(&self) -> &Window {
        &self.window
    }

    fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    fn cut(&mut self, closed: bool, out: &mut Batch) {
        self.hunt(closed, out);
    }

    fn forget(&mut self) {
        self.after_good = false;
        self.format.reset();
    }
}
