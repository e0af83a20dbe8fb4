//! Whose turn it is on a trunk.

use super::super::limits;
use super::frame::{Frame, kind};
use super::wire::Dirt;

/// Who has the token, and what it waits for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    /// Who has the token: whom the last one was for, or who polls after one was lost.
    pub holder: Option<u8>,
    /// Who passed it on, until something is heard of the holder.
    pub passer: Option<u8>,
    /// Whether the token was sent twice.
    pub retried: bool,
    /// What the holder waits for.
    pub asked: Option<Asked>,
    /// What was answered last in this turn: who asked, who answered.
    pub answered: Option<(u8, u8)>,
    /// Who else has a token, since somebody sent one out of turn.
    pub alternate: Option<Alternate>,
    /// Who may have the token if the capture has lost frames.
    pub maybe: Option<u8>,
    /// Who sent something in it without having the token, until the holder is heard again.
    pub disturbed_by: Option<u8>,
    /// When the token to the holder ended, if all of the turn was heard.
    pub since_ns: Option<u64>,
    /// Frames of the holder, token and polls left out.
    pub frames: u32,
    /// Polls of the holder.
    pub polls: u32,
    /// Its longest silence so far.
    pub silence_ns: u64,
    /// Whether the silence before what comes next was a wait for a reply.
    pub has_waited: bool,
}

/// The holder of a second token.
#[derive(Clone, Copy, Debug)]
pub struct Alternate {
    /// Who has it.
    pub holder: u8,
    /// Who sent a token out of turn, so that there are two.
    pub starter: u8,
    /// Frames since anything was heard of it.
    pub age: u8,
}

/// A request or a poll that is not answered yet.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Who asks.
    pub by: u8,
    /// Who is asked.
    pub to: u8,
    /// The type of frame.
    pub kind: u8,
    /// When it began.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
}

/// What a frame is in the course of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The holder speaks. If it was asked for something, nobody answered.
    Own,
    /// It speaks for the first time after it got the token.
    First,
    /// The one that was asked answers.
    Reply,
    /// The one that was polled answers.
    PollReply,
    /// Somebody answers a question that was damaged.
    ReplyToDamaged,
    /// Another answers than was asked.
    WrongReply,
    /// The token is sent once more to the same node.
    Retry,
    /// Who passed the token on in vain looks for somebody else.
    InVain,
    /// After damage: somebody who may well have the token now.
    Resumed,
    /// Nobody knows yet who has the token.
    Beginning,
    /// Somebody whose turn it is not.
    Stranger,
}

impl Turn {
    /// Forgets a second token of which nothing is heard any more: collisions kill one of two.
    pub fn age(&mut self) {
        const OLDEST: u8 = 16;
        self.alternate = self
            .alternate
            .filter(|alternate| alternate.age < OLDEST)
            .map(|alternate| Alternate { age: alternate.age + 1, ..alternate });
    }

    /// Who is to speak at this time: to whom damage belongs that is heard then. Who asked does so
    /// again when the time for an answer is over.
    pub fn speaker(&self, at_ns: u64) -> Option<u8> {
        let speaker = |asked: Asked| {
            let waited_us = at_ns.saturating_sub(asked.end_ns) / 1000;
            let is_poll = asked.kind == kind::POLL;
            let patience_us = if is_poll { limits::POLL_WAIT_US } else { limits::REPLY_WAIT_US };
            if waited_us > patience_us { asked.by } else { asked.to }
        };
        self.asked.map(speaker).or(self.holder)
    }

    /// What a frame is, if `dirt` is between the last good frame and it. `next`: to whom the holder
    /// passes the token usually.
    pub fn role(&self, frame: &Frame<'_>, dirt: &Dirt, next: Option<u8>) -> Role {
        let Some(holder) = self.holder else { return Role::Beginning };
        if let Some(asked) = self.asked {
            let is_for_asker = frame.to == asked.by;
            if asked.kind == kind::POLL {
                if frame.from == asked.to && frame.kind == kind::POLL_REPLY && is_for_asker {
                    return Role::PollReply;
                }
            } else if frame.may_reply() && is_for_asker && frame.from != asked.by {
                return if frame.from == asked.to { Role::Reply } else { Role::WrongReply };
            }
        }
        if frame.from == holder {
            return if self.passer.is_some() { Role::First } else { Role::Own };
        }
        if self.passer == Some(frame.from) {
            match frame.kind {
                kind::TOKEN if frame.to == holder => return Role::Retry,
                kind::TOKEN | kind::POLL => return Role::InVain,
                _ => {}
            }
        }
        if dirt.has_data && frame.may_reply() && frame.to == holder {
            return Role::ReplyToDamaged;
        }
        if !dirt.is_clean()
            && (next == Some(frame.from) || self.asked.is_some_and(|a| a.to == frame.from))
        {
            return Role::Resumed;
        }
        Role::Stranger
    }
}
