//! What can be said of any protocol: how much comes, when, what of it is damaged, and from whom.

use super::distribution::Distribution;
use super::findings::Finding;
use super::findings::modbus::of_modbus;
use super::findings::wpan::of_wpan;
use super::modbus::Modbus;
use super::wpan::Wpan;
use super::{Moment, Record, Seen};
use crate::dissect::Dissector;
use crate::framing::Protocol;
use crate::line::Line;
use std::collections::BTreeMap;

/// Addresses that are kept.
const MOST_ADDRESSES: usize = 1024;
/// A pause of the clock or of the capture, which is no gap between frames.
const BREAK_NS: u64 = 10_000_000_000;

/// Packets of one address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Talker {
    /// Packets from it, and to it.
    pub sent: u64,
    /// Packets to it.
    pub received: u64,
    /// Damaged ones that say they are from it.
    pub damaged: u64,
}

/// Counts packets of a protocol of which nothing more is known than its dissector.
pub struct General {
    dissector: Dissector,
    /// By address, in the dissector's words.
    pub talkers: BTreeMap<String, Talker>,
    /// Packets.
    pub frames: u64,
    /// Octets in them.
    pub octets: u64,
    /// Damaged ones.
    pub damaged: Seen,
    /// Octets outside frames.
    pub skipped_octets: u64,
    /// Packets that the capture lost, as it says itself.
    pub dropped: u64,
    /// From the beginning of one packet to that of the next, in microseconds.
    pub gaps: Distribution,
    /// Times that the clock went back, or nothing was heard for ten seconds.
    pub breaks: u32,
    /// The first packet.
    pub first: Option<Moment>,
    /// The last packet.
    pub end: Moment,
    /// Of a Modbus line, its units.
    pub modbus: Option<Modbus>,
    /// Of IEEE 802.15.4, its networks, links and channels.
    pub wpan: Option<Wpan>,
}

impl General {
    /// For packets of this protocol, on a line of this rate if that is known.
    pub fn new(protocol: &Protocol, baud: Option<u32>) -> Self {
        let octet_ns = baud.map_or(0, |baud| Line { baud, ..protocol.line }.octet_ns());
        Self {
            dissector: protocol.dissector,
            wpan: Wpan::new(protocol.link_type),
            modbus: (protocol.name == "modbus").then(|| Modbus::new(octet_ns)),
            talkers: BTreeMap::new(),
            frames: 0,
            octets: 0,
            damaged: Seen::default(),
            skipped_octets: 0,
            dropped: 0,
            gaps: Distribution::default(),
            breaks: 0,
            first: None,
            end: Moment::default(),
        }
    }

    /// Whether a frame is damaged that nobody calls so: in pcap there is no place for it.
    fn is_bad(&self, record: &Record<'_>) -> bool {
        let is_cut = record.original_len as usize > record.octets.len();
        let fits = match (&self.modbus, &self.wpan) {
            (Some(_), _) => super::modbus::crc_fits(record.octets),
            (None, Some(wpan)) => wpan.fcs_fits(record.octets),
            (None, None) => true,
        };
        !is_cut && !fits
    }

    /// Takes the next packet.
    pub fn push(&mut self, record: &Record<'_>, is_damaged: bool) {
        let is_damaged = is_damaged || self.is_bad(record);
        let at = Moment { time: record.time, number: record.number };
        if self.first.replace(self.first.unwrap_or(at)).is_some() {
            let gap_ns = at.time.ns_since(self.end.time);
            if at.time < self.end.time || gap_ns > BREAK_NS {
                self.breaks += 1;
            } else {
                self.gaps.add(gap_ns / 1000);
            }
        }
        self.end = at;
        self.frames += 1;
        self.octets += record.octets.len() as u64;
        self.skipped_octets += u64::from(record.skipped_before);
        self.dropped += record.dropped;
        if is_damaged {
            self.damaged.add(at, record.octets.len() as u64);
        }
        if let Some(modbus) = &mut self.modbus {
            modbus.push(record, is_damaged);
        }
        if let Some(wpan) = &mut self.wpan {
            wpan.push(record, is_damaged);
        }
        let words = (self.dissector)(record.octets, !is_damaged);
        if let Some(source) = words.source {
            let talker = self.talker(source);
            talker.sent += 1;
            talker.damaged += u64::from(is_damaged);
        }
        if let Some(destination) = words.destination {
            self.talker(destination).received += 1;
        }
    }

    fn talker(&mut self, address: String) -> &mut Talker {
        let is_full = self.talkers.len() >= MOST_ADDRESSES && !self.talkers.contains_key(&address);
        let address = if is_full { "others".to_owned() } else { address };
        self.talkers.entry(address).or_default()
    }

    /// What is wrong, the worst first.
    pub fn findings(&self) -> Vec<Finding> {
        match (&self.modbus, &self.wpan) {
            (Some(modbus), _) => of_modbus(modbus),
            (None, Some(wpan)) => of_wpan(wpan),
            (None, None) => Vec::new(),
        }
    }

    /// Whether there are rules for this protocol, so that no finding says something.
    pub fn is_judged(&self) -> bool {
        self.modbus.is_some() || self.wpan.is_some()
    }

    /// Whether the last packet has an earlier time than the first one.
    pub fn runs_backwards(&self) -> bool {
        self.first.is_some_and(|first| self.end.time < first.time)
    }

    /// Seconds from the first packet to the last.
    pub fn seconds(&self) -> f64 {
        self.first.map_or(0.0, |first| self.end.time.ns_since(first.time) as f64 / 1e9)
    }
}
