//! Where frames meet streams: the order in which they leave, how many, and what a new stream
//! gets first.

use super::history::History;
use super::merge::Merger;
use super::writer::StreamWriter;
use crate::packet::Tally;
use crate::source::Pace;
use crate::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

/// More remarks than this do not wait for packets: a line that has nothing to say brings none.
const MOST_REMARKS: usize = 64;

/// Where frames meet streams.
pub struct Streams {
    /// Puts the frames of all ports into one order.
    pub merger: Merger,
    /// Where the octets of each port went.
    pub tallies: Vec<Tally>,
    /// What is wrong with each port, if anything: it is not there, or nothing makes sense.
    pub troubles: Vec<Option<String>>,
    /// What is wrong with the line, if reports on it are asked for.
    pub diagnosis: Option<String>,
    /// What the next packets of each port have to tell, one each.
    remarks: Vec<VecDeque<String>>,
    /// Ports whose frames have left late for the first time, to be told of.
    pub late: Vec<usize>,
    told_late: Vec<bool>,
    /// Packets still wanted; `u64::MAX` without `--count`.
    pub remaining: u64,
    /// Packets that have left.
    pub left: u64,
    /// The open streams.
    pub open: Vec<Arc<StreamWriter>>,
    /// How many of them are readers', and not outputs of their own.
    pub readers: usize,
    /// Packets dropped by streams that have ended.
    pub dropped: u64,
    /// What a new stream gets first.
    pub history: History,
}

impl Streams {
    /// None yet, for ports with their paces, which are live or not.
    pub fn new(
        ports: impl IntoIterator<Item = (Pace, bool)>,
        count: Option<u64>,
        mut history: History,
    ) -> Self {
        let merger = Merger::new(ports);
        history.set_may_wait(!merger.is_live());
        Self {
            tallies: vec![Tally::default(); merger.ports()],
            troubles: vec![None; merger.ports()],
            diagnosis: None,
            remarks: vec![VecDeque::new(); merger.ports()],
            late: Vec::new(),
            told_late: vec![false; merger.ports()],
            merger,
            remaining: count.unwrap_or(u64::MAX),
            left: 0,
            open: Vec::new(),
            readers: 0,
            dropped: 0,
            history,
        }
    }

    /// Hands all frames that may leave to every open stream, and keeps them for those to come. Those
    /// of a port that can be kept waiting wait until there is room for them, unless `forced`;
    /// returns whether any do.
    pub fn release(&mut self, now: Timestamp, forced: bool) -> bool {
        while self.remaining > 0
            && let Some(next) = self.merger.next(now)
        {
            let port = next.port;
            if !forced && !self.merger.is_live_port(port) && !self.all_have_room() {
                return true;
            }
            let Some(mut range) = self.merger.take(&next) else { return false };
            if range.is_late() && !std::mem::replace(&mut self.told_late[port], true) {
                self.late.push(port);
            }
            if self.remaining < u64::MAX {
                range.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
                self.remaining -= range.len() as u64;
            }
            if let Some(remark) = self.remarks[port].pop_front() {
                range.set_remark(remark);
            }
            range.set_number(self.left);
            self.left += range.len() as u64;
            for stream in &self.open {
                // What is behind gets it from the history, and who wants the past alone gets none.
                let wants_it = stream.takes(port) && !stream.is_past();
                if wants_it && !self.history.is_behind(stream) {
                    stream.offer(&range);
                }
            }
            self.history.remember(range);
        }
        false
    }

    /// A packet of this port that has still to come tells this, in every stream.
    pub fn remark(&mut self, port: usize, remark: String) {
        let remarks = &mut self.remarks[port];
        if remarks.len() < MOST_REMARKS {
            remarks.push_back(remark);
        }
    }

    /// Whether frames of a port that is not live can be taken: by all open streams, and by those
    /// that wait for other ports.
    pub fn has_room(&self, port: usize) -> bool {
        self.all_have_room() && self.merger.has_room(port)
    }

    /// Whether all open streams, and those that read the history, can take the frames of a read.
    pub fn all_have_room(&self) -> bool {
        self.open.iter().all(|stream| stream.queue.has_room()) && self.history.has_room()
    }

    /// Opens a stream: first the history goes into it, `most_ns` of it at most, then all that leaves
    /// from now on, if it wants that.
    pub fn open(&mut self, stream: &Arc<StreamWriter>, now: Timestamp, most_ns: u64) {
        self.history.begin(stream, now, most_ns);
        self.open.push(Arc::clone(stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::gate::Gate;
    use crate::capture::queue::Queue;
    use crate::packet::{Batch, Notes};

    /// What is found out about one line is told by a packet of that line, once.
    #[test]
    fn a_remark_is_told_by_the_next_packet_of_its_port() {
        let at = Timestamp::from_ns;
        let queue = Queue::new("test", 2, 1 << 20, Arc::new(Gate::default())).unwrap();
        let stream = Arc::new(StreamWriter::unwritten(queue, at(0)));
        let mut streams =
            Streams::new([(Pace::Stored, false); 2], None, History::new(0, usize::MAX));
        streams.open(&stream, at(0), u64::MAX);
        streams.remark(1, "of the second".into());
        for (ns, port) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
            let mut batch = Batch::new(port);
            batch.push(&[&[0]], Notes { time: at(ns), ..Notes::default() });
            streams.merger.push(batch, None, at(10));
        }
        streams.merger.end(0);
        streams.merger.end(1);
        streams.release(at(10), true);
        let mut told = Vec::new();
        while let Some(queued) = stream.queue.take() {
            let port = queued.range.port();
            told.extend(queued.range.packets().map(|packet| (port, packet.remark.to_owned())));
        }
        let said = |port, remark: &str| (port, remark.to_owned());
        assert_eq!(told, [said(0, ""), said(1, "of the second"), said(0, ""), said(1, "")]);
    }
}
