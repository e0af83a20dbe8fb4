//! What is known of one address of a trunk: a few kB, however long it is listened to.

use super::super::distribution::Distribution;
use super::super::limits;
use super::super::npdu::Refusal;
use super::super::{Moment, Seen};
use std::collections::VecDeque;

/// Counts, delays in microseconds, and what was strange about a node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Intact frames from it, and the last one's time.
    pub frames: u64,
    /// When it was heard last.
    pub last_heard: Moment,
    /// Intact frames to it alone.
    pub frames_to: u64,

    /// Tokens from it.
    pub tokens_sent: u32,
    /// Tokens to it, retries counted in.
    pub tokens_received: u32,
    /// When the last token to it began, retries left out.
    pub last_token_ns: Option<u64>,
    /// Who it passed the token to last.
    pub successor: Option<u8>,
    /// Second tokens to it; their value is the wait in microseconds.
    pub retries_to: Seen,
    /// Tokens that it sent twice within 15 ms.
    pub double_tokens: Seen,
    /// Times that it did not take the token at all, with nothing damaged about it.
    pub in_vain: Seen,
    /// Since when it has not taken the token.
    pub gone_since: Option<Moment>,
    /// Times that it came back after that.
    pub rejoins: Seen,
    /// Times that the token was lost in its turn.
    pub lost_tokens: Seen,
    /// Times that it was lost in the turn of another, after this node had sent something in it.
    pub lost_by_it: Seen,

    /// Polls from it.
    pub polls: u32,
    /// Polls to it.
    pub polled: Seen,
    /// Who polled it last.
    pub polled_by: Option<u8>,
    /// Those to which it has not reacted since it was heard last.
    pub polled_in_vain: u32,
    /// Replies to polls from it.
    pub poll_replies: u32,
    /// Which addresses it has polled.
    pub has_polled: [u64; 4],
    /// Time that its polls took to which nobody replied.
    pub poll_waste_ns: u64,
    /// Tokens that it had received at its last maintenance poll, and damage in its turns.
    pub tokens_at_poll: Option<(u32, u32)>,
    /// Maintenance polls that came 1, or 45 and more, tokens after the one before.
    pub polls_in_time: u32,
    /// Those that came 2 to 44 tokens after it.
    pub polls_early: Seen,
    /// The address that it polled last, and the one before.
    pub last_polled: [u8; 2],
    /// Tokens that it had received when it began to poll its gap.
    pub tokens_at_round: Option<u32>,
    /// Times that it began again less than 45 tokens later.
    pub rounds_early: Seen,
    /// Times that it did so later.
    pub rounds_in_time: u32,

    /// From a token or poll to its first octet.
    pub usage: Distribution,
    /// Usage delays of more than 15 ms; their value is the delay in microseconds.
    pub slow_usage: Seen,
    /// From a request to its reply.
    pub reply: Distribution,
    /// Replies after more than 250 ms.
    pub slow_replies: Seen,
    /// Those after more than 150 ms.
    pub long_replies: Seen,
    /// From a token to it to the next one.
    pub loop_time: Distribution,
    /// From the token to it to its own.
    pub hold: Distribution,
    /// The longest silence in each turn, waits for replies left out.
    pub silence: Distribution,
    /// Turns with more than 50 ms of that.
    pub long_silence: Seen,
    /// Its frames in a turn, token and polls left out.
    pub frames_per_token: Distribution,
    /// Turns with more than 20 of them.
    pub long_turns: Seen,
    /// From its own token or poll to its next frame, when nobody answered.
    pub wait: Distribution,
    /// Waits of less than 20 ms; their value is by how many microseconds.
    pub short_waits: Seen,

    /// Requests to it of types that all nodes know.
    pub requests_to: u32,
    /// Those to which nothing came.
    pub unanswered: Seen,
    /// Requests to it in extended frames, and those to which nothing came.
    pub long_requests_to: u32,
    /// Those to which nothing came.
    pub long_unanswered: Seen,
    /// Who asked last in vain, when that ended, in nanoseconds.
    pub owes: Option<(u8, u64)>,
    /// Answers of it that came after the asker had given up.
    pub late_replies: Seen,
    /// Answers of it to what another was asked.
    pub wrong_answers: Seen,
    /// Second answers of it to one request.
    pub second_replies: Seen,
    /// The last requests to it.
    pub asked: Requests,
    /// Answers and refusals.
    pub answers: u32,
    /// Refusals: Error, Reject, Abort.
    pub refusals: Seen,
    /// The last of them.
    pub last_refusal: Option<Refusal>,
    /// The segments that it sent last.
    pub segments: Option<Segments>,
    /// Aborts after a segment was sent three times.
    pub segment_timeouts: Seen,

    /// Tokens and polls from it while another has the token.
    pub tokens_out_of_turn: Seen,
    /// Other frames from it while another has the token.
    pub out_of_turn: Seen,
    /// Times that it began to send in the middle of another's frame.
    pub cut_in: Seen,
    /// Damage in its turns.
    pub damaged: Seen,
    /// Runs of stray octets in its turns, tails left out.
    pub strays: u32,
    /// Its frames without their first octets.
    pub headless: Seen,
    /// Stray octets right behind its frames.
    pub tails: Seen,

    /// The device instance of its last I-Am, or with its name.
    pub instance: Option<u32>,
    /// The name of the device, if it was told: at most 64 characters of any kind.
    pub name: Option<String>,
    /// Times that this changed.
    pub instance_changes: Seen,
    /// Messages of it by what they are.
    pub said: Said,
    /// How often it is asked by I-Am for unasked things; see [`Said`].
    pub last_i_am: Moment,
}

/// A request, and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Who sent it on this trunk.
    pub by: u8,
    /// Whom a router sent it for: clients behind it number their requests independently.
    pub client: Option<(u16, u64)>,
    /// Its number.
    pub invoke_id: u8,
    /// Answers that are still to come: one for each time that it was sent.
    pub open: u32,
}

/// The last requests to a node, and what is known of earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    last: VecDeque<Request>,
    /// Numbers of earlier ones that were not answered by then: slow nodes answer them later.
    owed: [u64; 4],
}

impl Requests {
    const MOST: usize = 16;

    /// A request, for the first time or once more.
    pub fn add(&mut self, by: u8, client: Option<(u16, u64)>, invoke_id: u8) {
        if let Some(known) = self.last.iter_mut().find(|it| it.is(by, client, invoke_id)) {
            known.open = known.open.saturating_add(1);
            return;
        }
        if self.last.len() >= Self::MOST
            && let Some(earlier) = self.last.pop_front().filter(|it| it.open > 0)
        {
            self.owed[usize::from(earlier.invoke_id / 64)] |= 1 << (earlier.invoke_id % 64);
        }
        let open = 1 + u32::from(self.take_owed(invoke_id));
        self.last.push_back(Request { by, client, invoke_id, open });
    }

    /// An answer. Returns whether it is one more than there were requests. It is so once: what was
    /// not heard of a client that counts to a few only would be missing in all that follows.
    pub fn answer(&mut self, to: u8, client: Option<(u16, u64)>, invoke_id: u8) -> bool {
        let Some(request) = self.last.iter_mut().find(|it| it.is(to, client, invoke_id)) else {
            self.take_owed(invoke_id);
            return false;
        };
        let is_second = request.open == 0;
        request.open = request.open.saturating_sub(1);
        is_second
    }

    fn take_owed(&mut self, invoke_id: u8) -> bool {
        let (owed, bit) = (&mut self.owed[usize::from(invoke_id / 64)], 1 << (invoke_id % 64));
        let is_owed = *owed & bit != 0;
        *owed &= !bit;
        is_owed
    }

    /// Octets of memory behind it.
    pub fn memory(&self) -> usize {
        self.last.capacity() * size_of::<Request>()
    }
}

impl Request {
    /// Whether it is this one of this client.
    pub fn is(&self, by: u8, client: Option<(u16, u64)>, invoke_id: u8) -> bool {
        (self.by, self.client, self.invoke_id) == (by, client, invoke_id)
    }
}

/// Segments of a message, each of which is sent again until it is acknowledged: of a window all of
/// them are, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Segments {
    /// The number of the request that they are of.
    pub invoke_id: u8,
    /// Numbers of the last ones, and how often each was sent.
    sent: [(u8, u8); 16],
    next: usize,
}

impl Segments {
    /// None yet of this message.
    pub fn new(invoke_id: u8) -> Self {
        Self { invoke_id, sent: [(0, 0); 16], next: 0 }
    }

    /// One was sent.
    pub fn add(&mut self, number: u8) {
        let known = self.sent.iter_mut().find(|(known, times)| *known == number && *times > 0);
        if let Some((_, times)) = known {
            *times = times.saturating_add(1);
            return;
        }
        self.sent[self.next] = (number, 1);
        self.next = (self.next + 1) % self.sent.len();
    }

    /// How often the one was sent that was sent most.
    pub fn most(&self) -> u8 {
        self.sent.iter().map(|(_, times)| *times).max().unwrap_or(0)
    }
}

/// Messages of a node by what they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// Frames with data, extended and proprietary ones counted in.
    pub data: u32,
    /// Those to everybody.
    pub broadcasts: Seen,
    /// Who-Is.
    pub who_is: Seen,
    /// Who-Is without limits.
    pub wide_who_is: Seen,
    /// I-Am.
    pub i_am: Seen,
    /// Notifications of changed values.
    pub notifications: Seen,
    /// Messages between routers.
    pub network: Seen,
    /// Frames of types that belong to vendors.
    pub proprietary: Seen,
    /// The vendor of the last of them.
    pub vendor: Option<u16>,
}

impl Node {
    /// It waited for an answer that did not come.
    pub fn add_wait(&mut self, at: Moment, gap_us: u64) {
        self.wait.add(gap_us);
        let limit_us = (limits::USAGE_TIMEOUT_MS * 1000.0) as u64;
        if gap_us < limit_us {
            self.short_waits.add(at, limit_us - gap_us);
        }
    }

    /// It begins to poll its gap once more.
    pub fn note_polling_round(&mut self, at: Moment) {
        let received = self.tokens_received;
        let Some(before) = self.tokens_at_round.replace(received) else { return };
        match received - before {
            tokens @ ..45 => self.rounds_early.add(at, tokens.into()),
            _ => self.rounds_in_time += 1,
        }
    }

    /// Whether it has polled this address.
    pub fn polls_address(&self, mac: u8) -> bool {
        self.has_polled[usize::from(mac / 64)] >> (mac % 64) & 1 != 0
    }

    /// The addresses that it has polled.
    pub fn polled_addresses(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|mac| self.polls_address(*mac))
    }

    /// Octets of memory behind it.
    pub fn memory(&self) -> usize {
        let all = [
            &self.usage,
            &self.reply,
            &self.loop_time,
            &self.hold,
            &self.silence,
            &self.frames_per_token,
            &self.wait,
        ];
        let distributions: usize = all.iter().map(|distribution| distribution.memory()).sum();
        distributions + self.asked.memory()
    }
}
