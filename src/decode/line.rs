//! Octets of a serial line as records: frames, and what lies between them.
//!
//! A framer tells how many octets are outside frames, not which ones. What they are says much about
//! a sick line, so they are kept here until the frame behind them shows where they end.

use crate::analysis::Record;
use crate::framing::Framer;
use crate::packet::{Batch, Packet};
use crate::time::Timestamp;
use std::collections::VecDeque;

/// Octets that are kept at most: more than any framer holds.
const KEPT: usize = 1 << 20;

/// Puts octets through a framer.
pub struct Line {
    framer: Box<dyn Framer>,
    octet_ns: u64,
    batch: Batch,
    /// Octets that are not in a record yet. Empty where frames are not what was on the line.
    raw: Vec<u8>,
    /// Whether `raw` is kept.
    keeps: bool,
    /// Where chunks end in all octets, and when they arrived.
    chunks: VecDeque<(u64, Timestamp)>,
    /// How many octets were before those in `raw`.
    passed: u64,
    number: u64,
}

impl Line {
    /// Octets of a line where one takes `octet_ns`. `keeps`: whether frames are the octets of the
    /// line as they are.
    pub fn new(framer: Box<dyn Framer>, octet_ns: u64, keeps: bool) -> Self {
        Self {
            framer,
            octet_ns,
            batch: Batch::new(0),
            raw: Vec::new(),
            keeps,
            chunks: VecDeque::new(),
            passed: 0,
            number: 0,
        }
    }

    /// Takes octets, the last of which arrived at `arrival`.
    pub fn push(
        &mut self,
        octets: &[u8],
        arrival: Timestamp,
        sink: &mut impl FnMut(&Record<'_>, bool),
    ) {
        if self.keeps {
            if self.raw.len() + octets.len() > KEPT {
                self.pass(self.raw.len());
            }
            self.raw.extend_from_slice(octets);
            self.chunks.push_back((self.passed + self.raw.len() as u64, arrival));
        }
        self.framer.push(octets, arrival, &mut self.batch);
        self.hand_on(sink);
    }

    /// Nothing has arrived up to `now`.
    pub fn expire(&mut self, now: Timestamp, sink: &mut impl FnMut(&Record<'_>, bool)) {
        self.framer.expire(now, &mut self.batch);
        self.hand_on(sink);
    }

    /// Nothing follows, or what follows has nothing to do with what was before.
    pub fn finish(&mut self, sink: &mut impl FnMut(&Record<'_>, bool)) {
        self.framer.finish(&mut self.batch);
        self.hand_on(sink);
        let rest = std::mem::take(&mut self.raw);
        if !rest.is_empty() {
            let time = self.time(0);
            let record =
                Record { number: self.number + 1, time, octets: &rest, ..Record::default() };
            sink(&record, true);
        }
        self.passed += rest.len() as u64;
        self.chunks.clear();
    }

    /// Good frames and damaged ones so far, as the framer counts them.
    pub fn good_frames(&self) -> u64 {
        self.framer.tally().good_frames
    }

    fn hand_on(&mut self, sink: &mut impl FnMut(&Record<'_>, bool)) {
        let batch = std::mem::replace(&mut self.batch, Batch::new(0));
        for packet in batch.packets() {
            self.number += 1;
            let start = self.find(&packet).filter(|_| self.keeps);
            let mut record = Record {
                number: self.number,
                time: packet.time,
                octets: packet.data,
                original_len: 0,
                skipped_before: packet.skipped_before,
                dropped: packet.missing,
            };
            if let Some(start) = start {
                let skipped = packet.skipped_before as usize;
                if skipped > 0 {
                    let time = self.time(start - skipped).min(packet.time);
                    let octets = &self.raw[start - skipped..start];
                    sink(&Record { time, octets, skipped_before: 0, dropped: 0, ..record }, true);
                    record.skipped_before = 0;
                }
                self.pass(start + packet.data.len());
            }
            sink(&record, !packet.damage.is_none());
        }
    }

    /// Where a frame begins among the octets that are kept: behind those that were skipped, and
    /// behind a pad octet if there is one.
    fn find(&self, packet: &Packet<'_>) -> Option<usize> {
        let skipped = packet.skipped_before as usize;
        let pads = [usize::from(self.raw.first() == Some(&0xff)), 0, 1];
        let mut starts = pads.into_iter().map(|pad| skipped + pad);
        starts.find(|start| self.raw.get(*start..).is_some_and(|raw| raw.starts_with(packet.data)))
    }

    /// When an octet of those that are kept began.
    fn time(&self, at: usize) -> Timestamp {
        let position = self.passed + at as u64;
        let chunk = self.chunks.iter().find(|(end, _)| *end > position).or(self.chunks.back());
        chunk.map_or_else(Timestamp::default, |(end, arrival)| {
            arrival.minus_ns(end.saturating_sub(position) * self.octet_ns)
        })
    }

    /// Lets go of the first `len` octets.
    fn pass(&mut self, len: usize) {
        self.raw.drain(..len);
        self.passed += len as u64;
        while self.chunks.front().is_some_and(|(end, _)| *end <= self.passed) {
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::{self, Setup};

    const TOKEN: [u8; 8] = [0x55, 0xff, 0, 0x10, 5, 0, 0, 0x8c];

    #[test]
    fn stray_octets_are_records_with_their_own_times() {
        let ms = |ms: u64| Timestamp::from_ns(ms * 1_000_000);
        for keeps in [true, false] {
            let setup = Setup::new(10_000);
            let framer = (framing::protocol("mstp").unwrap().framer)(&setup);
            let mut line = Line::new(framer, 1_000_000, keeps);
            let mut heard = Vec::new();
            let mut sink = |record: &Record<'_>, bad| {
                heard.push((record.time, record.octets.to_vec(), record.skipped_before, bad));
            };
            line.push(&TOKEN, ms(1008), &mut sink);
            line.push(&[0xff, 7, 8], ms(1011), &mut sink);
            line.push(&TOKEN, ms(1030), &mut sink);
            line.push(&[9], ms(1031), &mut sink);
            line.finish(&mut sink);
            let token = |at, skipped| (ms(at), TOKEN.to_vec(), skipped, false);
            if keeps {
                let stray = (ms(1009), vec![7, 8], 0, true);
                assert_eq!(heard[..3], [token(1000, 0), stray, token(1022, 0)]);
                assert_eq!(heard[3..], [(ms(1030), vec![9], 0, true)]);
            } else {
                assert_eq!(heard, [token(1000, 0), token(1022, 2)]);
            }
        }
    }
}
