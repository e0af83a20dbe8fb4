//! Octets in which no packet was found, as long as it may be asked what they are. Pure.

use crate::config::Port;
use crate::detect::{Detector, Pulses};
use crate::time::Timestamp;
use std::collections::VecDeque;

/// As many octets are kept: some seconds of a slow line, and enough to recognise a protocol.
const MAX_OCTETS: usize = 16 << 10;

/// The last octets without a packet.
#[derive(Debug, Default)]
pub struct Doubtful {
    chunks: VecDeque<(Vec<u8>, Timestamp)>,
    octets: usize,
}

impl Doubtful {
    /// Keeps octets, the last of which arrived at `arrival`.
    pub fn add(&mut self, octets: &[u8], arrival: Timestamp) {
        self.octets += octets.len();
        self.chunks.push_back((octets.to_vec(), arrival));
        while self.octets > MAX_OCTETS
            && let Some((first, _)) = self.chunks.pop_front()
        {
            self.octets -= first.len();
        }
    }

    /// There are packets after all.
    pub fn clear(&mut self) {
        if self.octets > 0 {
            *self = Self::default();
        }
    }

    /// What else they are, or of which rate, in words, if that is certain. Forgets them.
    pub fn meant(&mut self, port: &Port) -> Option<String> {
        let line = port.setup.line;
        let mut detector = Detector::new(line, port.setup.timed);
        let mut pulses = Pulses::default();
        for (octets, arrival) in std::mem::take(self).chunks {
            detector.push(&octets, arrival);
            octets.iter().for_each(|octet| pulses.add(*octet));
        }
        detector.finish();
        if let Some(found) = detector.verdict().map(|verdict| verdict.protocol) {
            let is_other = found != port.protocol;
            return is_other.then(|| format!("{} fits: -p {}", found.help, found.name));
        }
        let slower = pulses.slower(line.baud)?;
        Some(format!("its pulses are longer, as at {slower} baud: -b {slower}"))
    }
}
