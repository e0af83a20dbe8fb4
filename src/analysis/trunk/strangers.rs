//! Frames of nodes whose turn it was not: late answers, a second token, or frames before them that
//! the capture has lost.

use super::frame::{HEADER_LEN, kind};
use super::turn::{Alternate, Turn};
use super::{Heard, Trunk};

/// A node that answers so much later does not answer that any more.
const LATE_NS: u64 = 5_000_000_000;
/// Frames that are missing at most, if the capture has lost some.
const MISSING: u64 = 24;

/// Frames of nodes that did not have the token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strangers {
    /// All.
    pub n: u32,
    /// Those that are in turn if some frames before them are missing in the capture.
    pub like_loss: u32,
    /// From whom these are.
    pub talkers: [u64; 4],
}

impl Trunk {
    /// Somebody spoke whose turn it was not.
    pub(super) fn note_stranger(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, start_ns, gap_us, .. } = *heard;
        if self.swap_tokens(heard) {
            return;
        }
        let is_like_loss = self.is_like_loss(heard);
        let is_token = matches!(frame.kind, kind::TOKEN | kind::POLL);
        if gap_us.is_some() && !is_like_loss && !is_token {
            self.turn.disturbed_by = Some(frame.from);
        }
        let owes =
            self.node(frame.from).owes.filter(|owed| owed.0 == frame.to && frame.may_reply());
        if let Some((_, end_ns)) = owes {
            let late_ns = start_ns.saturating_sub(end_ns);
            if late_ns < LATE_NS {
                self.node_mut(frame.from).owes = None;
                self.node_mut(frame.from).late_replies.add(at, late_ns / 1000);
                self.add_reply(frame.from, at, late_ns / 1000);
                return;
            }
        }
        if self.turn.answered == Some((frame.to, frame.from)) && frame.may_reply() {
            self.node_mut(frame.from).second_replies.add(at, 0);
        }
        if gap_us.is_some() || self.dirt.is_cut_only() {
            self.strangers.n += 1;
            if is_like_loss {
                self.strangers.like_loss += 1;
                self.strangers.talkers[usize::from(frame.from / 64)] |= 1 << (frame.from % 64);
            }
        }
        let node = self.node_mut(frame.from);
        if gap_us.is_some() {
            let seen = if is_token { &mut node.tokens_out_of_turn } else { &mut node.out_of_turn };
            seen.add(at, 0);
        }
        let holder = self.turn.holder;
        // The asker of an answer whose question is missing has the token still; and who sends
        // anything else but a token may have talked unasked.
        self.turn.maybe = Some(frame.from).filter(|_| is_like_loss && holder != Some(frame.to));
        if is_token || gap_us.is_none() && !frame.may_reply() {
            let starter = frame.from;
            let alternate = holder.filter(|_| is_token && gap_us.is_some());
            let alternate = alternate.map(|holder| Alternate { holder, starter, age: 0 });
            self.turn = Turn { holder: Some(frame.from), alternate, ..Turn::default() };
        }
    }

    /// Goes over to the other one of two tokens, if its holder speaks. Returns whether it does.
    fn swap_tokens(&mut self, heard: &Heard<'_>) -> bool {
        let Heard { frame, at, gap_us, .. } = *heard;
        let alternate = self.turn.alternate.filter(|alternate| alternate.holder == frame.from);
        let (Some(alternate), Some(holder)) = (alternate, self.turn.holder) else { return false };
        if gap_us.is_some() && frame.kind == kind::TOKEN {
            self.node_mut(alternate.starter).tokens_out_of_turn.add(at, 0);
        }
        let other = Alternate { holder, age: 0, ..alternate };
        self.turn = Turn { holder: Some(frame.from), alternate: Some(other), ..Turn::default() };
        true
    }

    /// Whether somebody has the token if some frames before are missing in the capture: it comes
    /// after the holder in the ring, and the silence has room for all of them.
    fn is_like_loss(&self, heard: &Heard<'_>) -> bool {
        let Some(last) = self.last else { return false };
        let room_ns = heard.start_ns.saturating_sub(last.end_ns);
        let frame_ns = self.stamps.octets_ns(HEADER_LEN + 5);
        let mut holder = self.turn.holder;
        if heard.frame.may_reply() && holder == Some(heard.frame.to) {
            return room_ns >= frame_ns;
        }
        for missing in 1..=MISSING {
            holder = holder.and_then(|holder| self.node(holder).successor);
            if holder == Some(heard.frame.from) {
                return room_ns >= missing * frame_ns;
            }
        }
        false
    }
}
