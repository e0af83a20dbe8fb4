//! The two tables that bacnet-stack's mstpcap prints of a capture (`mstpcap --scan`), so that they
//! can be compared with a colleague's. Their columns are the tool's own, and some mean less than
//! they seem to: delays run from the end of one record to that of the next in whole milliseconds,
//! and `Self/TT` counts each retry as well.
//!
//! The tool judges data by CRC-16 alone, so that extended frames (COBS) are invalid to it. What it
//! would make of damaged headers, and of records that a snap length has cut, is not copied: these
//! are invalid here.

use super::npdu::{Npdu, Says};
use super::trunk::frame::{Frame, kind};
use crate::framing::mstp;
use crate::time::Timestamp;
use serde_json::{Map, Value, json};

/// What it knows of a node.
#[derive(Clone, Debug, Default)]
struct Node {
    tokens: u32,
    received: u32,
    polls: u32,
    poll_replies: u32,
    requests: u32,
    postponed: u32,
    data: u32,
    test_requests: u32,
    test_responses: u32,
    max_master: u8,
    retries: u32,
    npoll: u32,
    received_at_poll: u32,
    self_or_out_of_order: u32,
    treply: u32,
    tusage: u32,
    trpfm: u32,
    tder: u32,
    tpostpd: u32,
    device: Option<u32>,
}

impl Node {
    /// A node that only answers, within a millisecond or never with data, has no row.
    fn has_row(&self) -> bool {
        self.tokens > 0 || self.polls > 0 || self.tder > 0
    }
}

/// The valid record before.
#[derive(Clone, Copy, Debug)]
struct Last {
    time: Timestamp,
    kind: u8,
    to: u8,
    from: u8,
}

/// Counts as mstpcap does.
#[derive(Clone, Debug)]
pub struct Tables {
    nodes: Vec<Node>,
    last: Option<Last>,
    token_to: u8,
    invalid: u64,
}

impl Default for Tables {
    fn default() -> Self {
        Self { nodes: vec![Node::default(); 256], last: None, token_to: 255, invalid: 0 }
    }
}

impl Tables {
    /// Takes a record that is no intact frame.
    pub fn add_invalid(&mut self) {
        self.invalid += 1;
    }

    /// Takes an intact frame, stamped `time`.
    pub fn add(&mut self, frame: &Frame<'_>, time: Timestamp) {
        if !frame.data.is_empty() && !has_plain_crc(frame) {
            return self.add_invalid();
        }
        let last =
            self.last.replace(Last { time, kind: frame.kind, to: frame.to, from: frame.from });
        let delta = last.map_or(0, |last| milliseconds(last.time, time));
        let last = last.unwrap_or(Last { time, kind: 255, to: 255, from: 255 });
        match frame.kind {
            kind::TOKEN => self.token(frame, last, delta),
            kind::POLL => self.poll(frame, last, delta),
            kind::POLL_REPLY => {
                let node = self.node(frame.from);
                node.poll_replies += 1;
                if last.kind == kind::POLL {
                    node.trpfm = node.trpfm.max(delta);
                }
            }
            kind::TEST_REQUEST => self.node(frame.from).test_requests += 1,
            kind::TEST_RESPONSE => self.node(frame.from).test_responses += 1,
            kind::REQUEST => self.node(frame.from).requests += 1,
            kind::DATA | kind::POSTPONED => self.answer(frame, last, delta),
            _ => {}
        }
    }

    fn node(&mut self, mac: u8) -> &mut Node {
        &mut self.nodes[usize::from(mac)]
    }

    fn token(&mut self, frame: &Frame<'_>, last: Last, delta: u32) {
        let is_out_of_order = self.token_to != frame.from;
        self.token_to = frame.to;
        self.node(frame.to).received += 1;
        let is_retry = last.kind == kind::TOKEN && (last.to, last.from) == (frame.to, frame.from);
        if is_retry {
            self.node(frame.to).retries += 1;
        }
        let node = self.node(frame.from);
        node.tokens += 1;
        node.self_or_out_of_order += u32::from(frame.to == frame.from) + u32::from(is_out_of_order);
        if is_retry || (last.kind == kind::POLL && last.from == frame.from) {
            node.tusage = node.tusage.max(delta);
        } else if last.kind == kind::TOKEN && last.to == frame.from {
            node.treply = node.treply.max(delta);
        }
    }

    fn poll(&mut self, frame: &Frame<'_>, last: Last, delta: u32) {
        let node = self.node(frame.from);
        if node.received_at_poll > 0 {
            node.npoll = node.npoll.max(node.received - node.received_at_poll);
        }
        node.received_at_poll = node.received;
        node.polls += 1;
        node.max_master = node.max_master.max(frame.to);
        if last.kind == kind::POLL && last.from == frame.from {
            node.tusage = node.tusage.max(delta);
        }
    }

    fn answer(&mut self, frame: &Frame<'_>, last: Last, delta: u32) {
        let is_answer = last.kind == kind::REQUEST && last.to == frame.from;
        let node = self.node(frame.from);
        if frame.kind == kind::POSTPONED {
            node.postponed += 1;
            node.tpostpd = if is_answer { node.tpostpd.max(delta) } else { node.tpostpd };
            return;
        }
        node.data += 1;
        node.tder = if is_answer { node.tder.max(delta) } else { node.tder };
        if let Some(Npdu { from: None, says: Says::IAm(instance), .. }) = Npdu::parse(frame.data) {
            node.device = Some(instance);
        }
    }

    /// Both tables in one object, as `docs/report.md` has it.
    pub fn document(&self) -> Value {
        let rows = self.nodes.iter().enumerate().filter(|(_, node)| node.has_row());
        let nodes: Map<_, _> = rows
            .map(|(mac, node)| {
                let row = json!({
                    "Device": node.device,
                    "Tokens": node.tokens,
                    "PFM": node.polls,
                    "RPFM": node.poll_replies,
                    "DER": node.requests,
                    "Postpd": node.postponed,
                    "DNER": node.data,
                    "TestReq": node.test_requests,
                    "TestRsp": node.test_responses,
                    "MaxMstr": node.max_master,
                    "Retries": node.retries,
                    "Npoll": node.npoll,
                    "Self/TT": node.self_or_out_of_order,
                    "Treply": node.treply,
                    "Tusage": node.tusage,
                    "Trpfm": node.trpfm,
                    "Tder": node.tder,
                    "Tpostpd": node.tpostpd,
                });
                (mac.to_string(), row)
            })
            .collect();
        json!({ "node_count": nodes.len(), "invalid_frames": self.invalid, "nodes": nodes })
    }
}

/// Whether the data fit a CRC-16: of extended frames they do not.
fn has_plain_crc(frame: &Frame<'_>) -> bool {
    mstp::DATA_CRC.checksum(frame.data).to_le_bytes() == *frame.trailer
}

/// Milliseconds as the tool counts them: those of the seconds, and those of the microseconds
/// rounded towards zero. A clock that was set back gives a huge number.
fn milliseconds(from: Timestamp, to: Timestamp) -> u32 {
    let seconds = |time: Timestamp| (time.as_ns() / 1_000_000_000).cast_signed();
    let micros = |time: Timestamp| (time.as_ns() % 1_000_000_000 / 1000).cast_signed();
    let ms = (seconds(to) - seconds(from)) * 1000 + (micros(to) - micros(from)) / 1000;
    ms as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_round_up_across_a_second() {
        let us = |us: u64| Timestamp::from_ns(us * 1000);
        assert_eq!(milliseconds(us(999_100), us(999_900)), 0);
        assert_eq!(milliseconds(us(999_900), us(1_000_400)), 1);
        assert_eq!(milliseconds(us(2_000_000), us(1_000_000)), u32::MAX - 999);
    }
}
