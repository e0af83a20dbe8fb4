//! An MS/TP trunk as it was heard: who has the token, what each node does with it, and what is
//! damaged. Counts and delays; what they mean is in [`findings`](super::findings).
//!
//! It follows the master node state machine (ASHRAE 135, clause 9.5.6) from outside. A good frame is
//! in turn if the holder of the token sends it, or who was asked. Where damage lies between two
//! good frames, somebody who may have been given the token meanwhile is believed. Times in
//! nanoseconds, delays in microseconds.

pub mod frame;
mod messages;
pub mod node;
mod strangers;
pub mod turn;
pub mod wire;

use super::limits;
use super::timeline::Timeline;
use super::timing::{BaudFrom, Latency, Stamps};
use super::{Moment, Record, Seen};
use crate::framing::mstp;
use crate::time::Timestamp;
use frame::{BROADCAST, Frame, HEADER_LEN, kind};
use messages::Instances;
use node::Node;
use std::collections::VecDeque;
pub use strangers::Strangers;
use turn::{Asked, Role, Turn};
use wire::{Dirt, Run, Stray, Wire};

/// Events that are kept of each kind for a time line.
const EVENTS: usize = 256;
/// Octets of a frame that take so long that its end is a guess where the rate is one.
const LONG: usize = 64;
/// The same where a few milliseconds matter, and where twenty do.
const SHORT: usize = HEADER_LEN;
const MIDDLING: usize = 24;
/// Silence in which a delay means nothing any more: a clock that was set, a capture that paused.
const BREAK_NS: u64 = 10_000_000_000;
/// Times of a capture may be anything; later ones (year 2116) are taken for this.
const LATEST: Timestamp = Timestamp::from_ns(1 << 62);
/// The last good frame.
#[derive(Clone, Copy, Debug)]
struct Last {
    from: u8,
    len: usize,
    start_ns: u64,
    end_ns: u64,
}

/// A good frame with its times.
#[derive(Clone, Copy, Debug)]
struct Heard<'a> {
    frame: Frame<'a>,
    at: Moment,
    start_ns: u64,
    end_ns: u64,
    /// From the end of the last good frame; `None` where there is none, or damage lies in between.
    gap_us: Option<u64>,
    role: Role,
    /// Whether it began in the middle of another node's frame.
    cuts_in: bool,
}

/// All that is known of a trunk.
#[derive(Debug)]
pub struct Trunk {
    stamps: Stamps,
    /// By address.
    pub nodes: Vec<Node>,
    /// Damage.
    pub wire: Wire,
    /// What times of the adapter show.
    pub latency: Latency,
    /// Tokens that were lost.
    pub lost_tokens: Seen,
    /// The times of the last of them.
    pub losses: VecDeque<Moment>,
    /// Who spoke although it did not have the token.
    pub strangers: Strangers,
    /// Time that polls took to which nobody replied, by the address that was polled.
    pub poll_waste_ns: Vec<u64>,
    /// Device instances and who has them.
    pub instances: Instances,
    /// Good frames.
    pub frames: u64,
    /// All records.
    pub records: u64,
    /// Records that the capture has lost, as it says itself.
    pub dropped: u64,
    /// Records that a snap length has cut.
    pub cut_by_snap: u64,
    /// Times that the clock went back, or nothing was heard for ten seconds.
    pub breaks: u32,
    /// Octets on the line.
    pub octets: u64,
    /// Time that was heard, breaks left out.
    pub heard_ns: u64,
    /// The first and the last record.
    pub first: Option<Moment>,
    /// The last record.
    pub end: Moment,
    /// The last token.
    pub last_token: Option<Moment>,
    /// Tokens.
    pub tokens: u64,
    /// Time spent in requests and waits for their replies.
    pub request_ns: u64,
    /// Rounds and errors over time.
    pub timeline: Timeline,
    turn: Turn,
    last: Option<Last>,
    last_end_ns: Option<u64>,
    dirt: Dirt,
}

impl Trunk {
    /// A trunk of which nothing was heard yet.
    pub fn new(stamps: Stamps) -> Self {
        Self {
            stamps,
            nodes: vec![Node::default(); 256],
            wire: Wire::default(),
            latency: Latency::default(),
            lost_tokens: Seen::default(),
            losses: VecDeque::new(),
            strangers: Strangers::default(),
            poll_waste_ns: vec![0; 256],
            instances: Instances::default(),
            frames: 0,
            records: 0,
            dropped: 0,
            cut_by_snap: 0,
            breaks: 0,
            octets: 0,
            heard_ns: 0,
            first: None,
            end: Moment::default(),
            last_token: None,
            tokens: 0,
            request_ns: 0,
            timeline: Timeline::default(),
            turn: Turn::default(),
            last: None,
            last_end_ns: None,
            dirt: Dirt::default(),
        }
    }

    /// How times are read.
    pub fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// The node with this address.
    pub fn node(&self, mac: u8) -> &Node {
        &self.nodes[usize::from(mac)]
    }

    fn node_mut(&mut self, mac: u8) -> &mut Node {
        &mut self.nodes[usize::from(mac)]
    }

    /// Nodes with their addresses.
    pub fn by_mac(&self) -> impl DoubleEndedIterator<Item = (u8, &Node)> {
        (0..=u8::MAX).zip(&self.nodes)
    }

    /// Addresses that have passed the token.
    pub fn masters(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        self.by_mac().filter(|(_, node)| node.tokens_sent > 0).map(|(mac, _)| mac)
    }

    /// Who has the token, as far as that is known.
    pub fn holder(&self) -> Option<u8> {
        self.turn.holder
    }

    /// Takes the next record.
    pub fn push(&mut self, record: &Record<'_>) {
        let len = record.octets.len().max(record.original_len as usize);
        let octets_ns = self.stamps.octets_ns(len);
        let mut time = record.time.min(LATEST);
        if self.stamps.at_end {
            time = time.minus_ns(octets_ns);
        }
        let at = Moment { time, number: record.number };
        let start_ns = time.as_ns();
        self.note_time(record, at, start_ns, start_ns + octets_ns);
        self.records += 1;
        self.latency.add_time(record.time.as_ns());
        self.octets += (len + record.skipped_before as usize) as u64;
        self.skip(record.skipped_before as usize, at);
        let is_cut = record.original_len as usize > record.octets.len();
        match Frame::parse(record.octets).or_else(|| cut_frame(record).filter(|_| is_cut)) {
            Some(frame) => {
                self.cut_by_snap += u64::from(is_cut);
                self.good(frame, at, start_ns + self.stamps.octets_ns(frame.len));
            }
            None => self.bad(record.octets, at, start_ns + octets_ns),
        }
    }

    /// The capture's end, or that of what can be said about it: what is open is counted.
    pub fn finish(&mut self) {
        self.end_run();
    }

    /// Keeps the time, and forgets whose turn it is where time or records are missing.
    fn note_time(&mut self, record: &Record<'_>, at: Moment, start_ns: u64, end_ns: u64) {
        self.first.get_or_insert(at);
        self.timeline.at(start_ns);
        self.end = Moment { time: Timestamp::from_ns(end_ns), number: at.number };
        let octet_ns = self.stamps.octets_ns(1);
        if let Some(last_end) = self.last_end_ns.replace(end_ns) {
            // Adapters and rounding let frames overlap a little; more is a clock that was set.
            let overlap = last_end.saturating_sub(start_ns);
            if overlap > 40_000_000 + 2048 * octet_ns
                || start_ns.saturating_sub(last_end) > BREAK_NS
            {
                self.breaks += 1;
                self.interrupt();
            } else {
                self.heard_ns += end_ns.saturating_sub(last_end.min(end_ns));
            }
        } else {
            self.heard_ns += end_ns - start_ns;
        }
        if record.dropped > 0 {
            self.dropped += record.dropped;
            self.interrupt();
        }
    }

    /// What follows has nothing to do with what was before.
    fn interrupt(&mut self) {
        self.end_run();
        (self.turn, self.last, self.dirt) = (Turn::default(), None, Dirt::default());
        for node in &mut self.nodes {
            node.last_token_ns = None;
            node.owes = None;
        }
    }

    /// Octets that were not recorded.
    fn skip(&mut self, len: usize, before: Moment) {
        if len == 0 {
            return;
        }
        if self.dirt.damaged > 0 {
            // The rest of a frame whose header was damaged.
            self.wire.skipped_octets += len as u64;
        } else {
            self.end_run();
            let run = Run::new(before, &[], len, before.time.as_ns());
            self.count_run(&run);
        }
        self.dirt.octets += len;
    }

    /// A damaged frame, or octets of none.
    fn bad(&mut self, octets: &[u8], at: Moment, end_ns: u64) {
        if octets.starts_with(&[0x55, 0xff]) {
            self.end_run();
            let (is_cut, has_data) = self.wire.add_damaged(at, octets);
            self.timeline.at(at.time.as_ns()).damaged += 1;
            if let Some(speaker) = self.turn.speaker(at.time.as_ns()) {
                self.node_mut(speaker).damaged.add(at, octets.len() as u64);
            }
            self.dirt.damaged += 1;
            self.dirt.cut += u32::from(is_cut);
            self.dirt.has_data |= has_data;
            self.dirt.damaged_end_ns = (!is_cut || octets.len() <= HEADER_LEN).then_some(end_ns);
            self.dirt.cut_end_ns = is_cut.then_some(end_ns);
            self.dirt.octets += octets.len();
            return;
        }
        if octets == [0xff] && self.dirt.octets == 0 && self.last.is_some() {
            return; // the pad octet that may follow a frame
        }
        self.dirt.octets += octets.len();
        let near_ns = 4 * self.stamps.octets_ns(1) + 100_000;
        let is_near = |end: u64| at.time.as_ns().saturating_sub(end) <= near_ns;
        if self.dirt.run.is_none() && self.dirt.damaged_end_ns.is_some_and(is_near) {
            // What a damaged header leaves of its frame.
            self.dirt.damaged_end_ns = Some(end_ns);
            self.wire.skipped_octets += octets.len() as u64;
            return;
        }
        match &mut self.dirt.run {
            Some(run) if is_near(run.end_ns) => run.extend(octets, end_ns),
            _ => {
                self.end_run();
                self.dirt.run = Some(Run::new(at, octets, octets.len(), end_ns));
            }
        }
    }

    /// Counts the run that is open.
    fn end_run(&mut self) {
        if let Some(run) = self.dirt.run.take() {
            self.count_run(&run);
        }
    }

    fn count_run(&mut self, run: &Run) {
        let frame_end_ns = self.last.filter(|_| self.dirt.damaged == 0).map(|last| last.end_ns);
        let mut stray = run.judge(frame_end_ns);
        if let Stray::Headless(None) = stray {
            stray = Stray::Headless(self.turn.speaker(run.at.time.as_ns()));
        }
        self.wire.add_run(run, stray);
        let bin = self.timeline.at(run.at.time.as_ns());
        match stray {
            Stray::Headless(_) => bin.damaged += 1,
            Stray::Noise => bin.strays += 1,
            Stray::Tail => {}
        }
        match (stray, self.last) {
            (Stray::Headless(Some(mac)), _) => {
                self.dirt.has_data |= run.len > HEADER_LEN;
                self.node_mut(mac).headless.add(run.at, run.len as u64);
                let speaker = self.turn.speaker(run.at.time.as_ns()).unwrap_or(mac);
                self.node_mut(speaker).damaged.add(run.at, run.len as u64);
            }
            (Stray::Tail, Some(last)) => {
                self.node_mut(last.from).tails.add(run.at, run.len as u64);
            }
            (Stray::Noise, _) => {
                if let Some(speaker) = self.turn.speaker(run.at.time.as_ns()) {
                    self.node_mut(speaker).strays += 1;
                }
            }
            _ => {}
        }
    }

    /// A good frame.
    fn good(&mut self, frame: Frame<'_>, at: Moment, end_ns: u64) {
        self.end_run();
        let start_ns = at.time.as_ns();
        let gap_ns = self.last.map(|last| start_ns.cast_signed() - last.end_ns.cast_signed());
        self.frames += 1;
        self.wire.count_octets(frame.len, frame.has_data());
        let is_clean = self.dirt.is_clean();
        if let (Some(gap_ns), Some(last), true) = (gap_ns, self.last, is_clean)
            && last.from != frame.from
        {
            let between_ns = start_ns.saturating_sub(last.start_ns);
            self.latency.add(gap_ns, between_ns, self.stamps.octets_ns(1));
        }
        let next = self.turn.holder.and_then(|holder| self.node(holder).successor);
        let is_lost = self.note_lost_token(&frame, at, gap_ns.unwrap_or(0));
        let role = if is_lost { Role::Own } else { self.turn.role(&frame, &self.dirt, next) };
        let gap_us =
            gap_ns.filter(|_| is_clean).map(|gap| (gap.max(0).unsigned_abs() + 500) / 1000);
        // Who waits its turn begins after 40 bit times at least (clause 9.5.5.1).
        let turnaround_ns = 4 * self.stamps.octets_ns(1);
        let cuts_in = self.dirt.cut_end_ns.is_some_and(|end| start_ns < end + turnaround_ns)
            && self.turn.speaker(start_ns).is_some_and(|speaker| speaker != frame.from);
        let heard = Heard { frame, at, start_ns, end_ns, gap_us, role, cuts_in };
        self.note_role(&heard);
        self.note_frame(&heard);
        self.note_message(&heard);
        self.last = Some(Last { from: frame.from, len: frame.len, start_ns, end_ns });
        self.dirt = Dirt::default();
    }

    /// A long silence and then a poll: nobody had the token any more. Returns whether it is so, and
    /// gives the token to who polls.
    fn note_lost_token(&mut self, frame: &Frame<'_>, at: Moment, gap_ns: i64) -> bool {
        let gap_ms = gap_ns / 1_000_000;
        if frame.kind != kind::POLL || gap_ms < limits::NO_TOKEN_MS || self.latency.hides_silence()
        {
            return false;
        }
        let Some(holder) = self.turn.holder.filter(|_| self.last_token.is_some()) else {
            return false;
        };
        // Who only held it for too long polls at any time; who generates one waits for its slot.
        let slot_ms = 500 + 10 * i64::from(frame.from);
        if frame.from == holder && (gap_ms - slot_ms).abs() > 20 {
            return false;
        }
        self.lost_tokens.add(at, gap_ms.unsigned_abs());
        self.timeline.at(at.time.as_ns()).lost_tokens += 1;
        self.losses.push_back(at);
        if self.losses.len() > EVENTS {
            self.losses.pop_front();
        }
        // Who waits for an answer and hears anything else drops the token (clause 9.5.6.4).
        match self.turn.disturbed_by {
            Some(mac) => self.node_mut(mac).lost_by_it.add(at, gap_ms.unsigned_abs()),
            None => self.node_mut(holder).lost_tokens.add(at, gap_ms.unsigned_abs()),
        }
        self.turn = Turn { holder: Some(frame.from), ..Turn::default() };
        true
    }

    /// What a frame is in the course of the turn, and what that says about nodes.
    fn note_role(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, role, gap_us, .. } = *heard;
        if heard.cuts_in {
            self.node_mut(frame.from).cut_in.add(at, 0);
            // Nobody passed it the token: the frame that it cuts off was not over.
            if matches!(role, Role::Stranger | Role::Resumed) {
                return;
            }
        }
        self.note_asked(heard);
        self.turn.age();
        if matches!(role, Role::First | Role::Own) {
            // It has the token still.
            self.turn.disturbed_by = None;
        }
        match role {
            Role::First | Role::PollReply => {
                let is_sure = role == Role::PollReply || !self.turn.retried;
                if let Some(gap_us) = gap_us.filter(|_| is_sure && self.tells_gap(heard, SHORT)) {
                    self.note_usage(frame.from, at, gap_us);
                }
                if role == Role::First {
                    self.turn.passer = None;
                    self.turn.since_ns = self.turn.since_ns.filter(|_| gap_us.is_some());
                }
            }
            Role::Own => self.note_silence(heard),
            Role::Retry => self.note_retry(heard),
            Role::InVain => self.note_in_vain(heard),
            Role::Reply => self.note_reply(heard),
            Role::WrongReply => {
                if gap_us.is_some() {
                    self.node_mut(frame.from).wrong_answers.add(at, 0);
                }
            }
            // Who answers does so in the turn of another, whoever that is.
            Role::Beginning if frame.is_answer() => {}
            Role::Resumed | Role::Beginning => {
                self.turn = Turn { holder: Some(frame.from), ..Turn::default() };
            }
            Role::ReplyToDamaged => {}
            Role::Stranger => self.note_stranger(heard),
        }
    }

    /// What the holder waits for has come, or will not come any more.
    fn note_asked(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, start_ns, gap_us, role, .. } = *heard;
        // Who only cuts in does not end the wait.
        let Some(asked) = self.turn.asked.take_if(|_| role != Role::Stranger) else {
            self.turn.has_waited = false;
            return;
        };
        let took_ns = start_ns.saturating_sub(asked.start_ns).min(1_000_000_000);
        self.turn.has_waited = true;
        if asked.kind == kind::POLL {
            if role != Role::PollReply {
                self.poll_waste_ns[usize::from(asked.to)] += took_ns;
                let node = self.node_mut(asked.by);
                node.poll_waste_ns += took_ns;
                if let Some(gap_us) = gap_us.filter(|_| frame.from == asked.by) {
                    node.add_wait(at, gap_us);
                    // It left together with the one before it, and only that one got a token in vain.
                    let polled = self.node_mut(asked.to);
                    if polled.tokens_sent > 0 {
                        polled.gone_since.get_or_insert(at);
                    }
                }
            }
            return;
        }
        self.request_ns += took_ns;
        // Who is disturbed answers no more.
        if frame.from == asked.by && gap_us.is_some() && self.turn.disturbed_by.is_none() {
            let node = self.node_mut(asked.to);
            let is_long = asked.kind == kind::LONG_REQUEST;
            let unanswered = if is_long { &mut node.long_unanswered } else { &mut node.unanswered };
            unanswered.add(at, took_ns / 1000);
            node.owes = Some((asked.by, asked.end_ns));
            self.timeline.at(start_ns).unanswered += 1;
        }
    }

    /// Whether the gap before a frame is known: the end of the frame before, or the beginning of this
    /// one where times are those of last octets, is not without the rate, if it has more octets.
    fn tells_gap(&self, heard: &Heard<'_>, octets: usize) -> bool {
        let before = self.last.map_or(0, |last| last.len);
        let len = if self.stamps.at_end { heard.frame.len } else { before };
        len <= octets || self.stamps.baud_from != BaudFrom::Unknown
    }

    fn note_usage(&mut self, mac: u8, at: Moment, gap_us: u64) {
        let node = self.node_mut(mac);
        node.usage.add(gap_us);
        if gap_us > limits::USAGE_DELAY_US {
            node.slow_usage.add(at, gap_us);
        }
    }

    /// Silence of the holder between its own frames, or after a reply.
    fn note_silence(&mut self, heard: &Heard<'_>) {
        let is_told = !self.turn.has_waited && self.tells_gap(heard, MIDDLING);
        if let Some(gap_us) = heard.gap_us.filter(|_| is_told) {
            self.turn.silence_ns = self.turn.silence_ns.max(gap_us * 1000);
        }
        if heard.gap_us.is_none() {
            self.turn.since_ns = None;
        }
    }

    fn note_retry(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, gap_us, .. } = *heard;
        self.turn.retried = true;
        let Some(gap_us) = gap_us else { return };
        self.timeline.at(at.time.as_ns()).second_tokens += 1;
        self.node_mut(frame.from).add_wait(at, gap_us);
        if gap_us < limits::DOUBLE_TOKEN_US {
            self.node_mut(frame.from).double_tokens.add(at, gap_us);
        } else {
            self.node_mut(frame.to).retries_to.add(at, gap_us);
        }
    }

    fn note_in_vain(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, gap_us, .. } = *heard;
        if let (Some(gap_us), Some(holder)) = (gap_us, self.turn.holder) {
            self.node_mut(frame.from).add_wait(at, gap_us);
            let node = self.node_mut(holder);
            node.in_vain.add(at, gap_us);
            node.gone_since.get_or_insert(at);
        }
        self.turn = Turn { holder: Some(frame.from), ..Turn::default() };
    }

    fn note_reply(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, gap_us, .. } = *heard;
        let Some(gap_us) = gap_us else { return };
        self.turn.answered = Some((frame.to, frame.from));
        // What comes next is silence of the holder, not a wait.
        self.turn.has_waited = false;
        if self.tells_gap(heard, LONG) {
            self.add_reply(frame.from, at, gap_us);
        }
    }

    fn add_reply(&mut self, mac: u8, at: Moment, gap_us: u64) {
        let node = self.node_mut(mac);
        node.reply.add(gap_us);
        if gap_us > limits::REPLY_DELAY_US {
            node.slow_replies.add(at, gap_us);
        }
        if gap_us as f64 > limits::REPLY_MEAN_MS * 1000.0 {
            node.long_replies.add(at, gap_us);
        }
    }

    /// What the frame itself does to the turn.
    fn note_frame(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, start_ns, end_ns, role, .. } = *heard;
        let node = self.node_mut(frame.from);
        node.frames += 1;
        node.last_heard = at;
        node.polled_in_vain = 0;
        if frame.to != BROADCAST {
            self.node_mut(frame.to).frames_to += 1;
        }
        match frame.kind {
            kind::TOKEN => return self.note_token(heard),
            kind::POLL => {
                let node = self.node_mut(frame.from);
                node.polls += 1;
                node.has_polled[usize::from(frame.to / 64)] |= 1 << (frame.to % 64);
                node.last_polled = [frame.to, node.last_polled[0]];
                let node = self.node_mut(frame.to);
                node.polled.add(at, 0);
                node.polled_by = Some(frame.from);
                node.polled_in_vain += 1;
                self.turn.holder = Some(frame.from);
                self.turn.polls += 1;
            }
            kind::POLL_REPLY => {
                let node = self.node_mut(frame.from);
                node.poll_replies += 1;
                let was_there = node.tokens_sent > 0;
                if node.gone_since.take().is_some() && was_there {
                    node.rejoins.add(at, 0);
                }
            }
            _ if frame.wants_reply() => {
                let node = self.node_mut(frame.to);
                let is_long = frame.kind == kind::LONG_REQUEST;
                *(if is_long { &mut node.long_requests_to } else { &mut node.requests_to }) += 1;
            }
            _ => {}
        }
        if matches!(role, Role::First | Role::Own) && frame.kind != kind::POLL {
            self.turn.frames += 1;
            self.turn.answered = self.turn.answered.filter(|_| role == Role::Own);
        }
        if (frame.kind == kind::POLL || frame.wants_reply()) && self.turn.holder == Some(frame.from)
        {
            let (by, to, kind) = (frame.from, frame.to, frame.kind);
            self.turn.asked = Some(Asked { by, to, kind, start_ns, end_ns });
            self.turn.disturbed_by = None;
        }
    }

    fn note_token(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, start_ns, end_ns, role, .. } = *heard;
        self.tokens += 1;
        self.last_token = Some(at);
        if matches!(role, Role::First | Role::Own) {
            self.end_turn(frame.from, end_ns, heard.at);
        }
        let node = self.node_mut(frame.from);
        node.tokens_sent += 1;
        node.gone_since = None;
        if role != Role::Retry {
            node.successor = Some(frame.to);
        }
        let node = self.node_mut(frame.to);
        node.tokens_received += 1;
        if role != Role::Retry
            && let Some(last_ns) = node.last_token_ns.replace(start_ns)
        {
            let round_us = (start_ns.saturating_sub(last_ns) + 500) / 1000;
            node.loop_time.add(round_us);
            // A round ends where addresses begin again.
            if frame.to < frame.from {
                self.timeline.at(start_ns).add_round(round_us);
            }
        }
        let (retried, alternate) = (role == Role::Retry, self.turn.alternate);
        self.turn = Turn {
            holder: Some(frame.to),
            passer: Some(frame.from),
            retried,
            alternate,
            since_ns: Some(end_ns),
            ..Turn::default()
        };
    }

    /// The holder passes the token on.
    fn end_turn(&mut self, mac: u8, end_ns: u64, at: Moment) {
        let Turn { since_ns, frames, polls, silence_ns, .. } = self.turn;
        let node = self.node_mut(mac);
        let received = node.tokens_received;
        if polls == 1
            && since_ns.is_some()
            && let Some((before, damaged)) =
                node.tokens_at_poll.replace((received, node.damaged.n))
            // A poll that was damaged is missing in between.
            && damaged == node.damaged.n
        {
            let tokens = received - before;
            match tokens {
                2..45 => node.polls_early.add(at, tokens.into()),
                _ => node.polls_in_time += 1,
            }
            let [polled, polled_before] = node.last_polled;
            if tokens > 1 && polled != polled_before.wrapping_add(1) {
                node.note_polling_round(at);
            }
        }
        let Some(since_ns) = since_ns else { return };
        node.hold.add(end_ns.saturating_sub(since_ns) / 1000);
        node.frames_per_token.add(frames.into());
        if frames > limits::FRAMES_PER_SLOW_TOKEN {
            node.long_turns.add(at, frames.into());
        }
        node.silence.add(silence_ns / 1000);
        if silence_ns / 1000 > limits::HOLD_SILENCE_US {
            node.long_silence.add(at, silence_ns / 1000);
        }
    }

    /// Whether anybody but this node was heard in so many seconds before the end.
    pub fn answered_of_late(&self, mac: u8, seconds: f64) -> bool {
        let age_s = |node: &Node| self.end.time.ns_since(node.last_heard.time) as f64 / 1e9;
        self.by_mac().any(|(other, node)| other != mac && node.frames > 0 && age_s(node) < seconds)
    }

    /// The one master of a trunk on which there is no token, since all others are slaves.
    pub fn only_master(&self) -> Option<u8> {
        let mut pollers = self.by_mac().filter(|(_, node)| node.polls > 0).map(|(mac, _)| mac);
        let only =
            pollers.next().filter(|_| self.last_token.is_none() && pollers.next().is_none())?;
        self.answered_of_late(only, limits::SOLE_SECONDS).then_some(only)
    }

    /// Octets of memory behind it, about.
    pub fn memory(&self) -> usize {
        let nodes: usize = self.nodes.iter().map(Node::memory).sum();
        nodes
            + self.nodes.len() * size_of::<Node>()
            + size_of::<Self>()
            + self.instances.memory()
            + self.timeline.memory()
    }
}

/// A frame of which a snap length has left the header: whose turn it is can still be told.
fn cut_frame<'a>(record: &Record<'a>) -> Option<Frame<'a>> {
    let len = mstp::announced_len(record.octets)?;
    let &[_, _, kind, to, from, ..] = record.octets else { return None };
    Some(Frame { kind, to, from, data: &[], trailer: &[], len })
}
