//! IEEE 802.15.4 traffic as one receiver heard it: networks, links and how strong they are, frames
//! that were sent again, and damage by channel. Pure, in bounded memory.

use super::distribution::Distribution;
use super::{Moment, Record, Seen};
use crate::dissect::wpan;
use crate::framing;
use crate::packet::LinkType;
use std::collections::BTreeMap;

/// Networks, and links, that are kept.
const MOST_PANS: usize = 64;
/// Links.
const MOST_LINKS: usize = 1024;
/// A frame that comes again within this time was sent again: a few retries of a few milliseconds,
/// and retries of the layer above.
const AGAIN_NS: u64 = 1_000_000_000;
/// The TAP header's types of values (LINKTYPE_IEEE802_15_4_TAP).
mod tlv {
    pub const FCS_TYPE: u16 = 0;
    pub const RSS: u16 = 1;
    pub const CHANNEL: u16 = 3;
    pub const LQI: u16 = 10;
}

/// Who sends to whom, in the dissector's words.
pub type Ends = (String, String);

/// Frames from one node to another.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Intact frames.
    pub frames: u32,
    /// Those that were sent again: same source, sequence number and octets.
    pub again: Seen,
    /// Link quality, 0 to 255, as the receiver has it.
    pub lqi: Distribution,
    /// Sum of the received signal strengths in dBm, and how many there are.
    rss_sum: f64,
    rss_n: u32,
    /// The weakest and the strongest, in dBm.
    pub rss_range: Option<(f32, f32)>,
}

impl Link {
    /// The mean received signal strength in dBm, if the receiver tells it.
    pub fn rss_mean(&self) -> Option<f64> {
        (self.rss_n > 0).then(|| self.rss_sum / f64::from(self.rss_n))
    }
}

/// Frames on a channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Channel {
    /// All.
    pub frames: u32,
    /// Those whose FCS is bad.
    pub damaged: Seen,
}

/// The last frame of a source.
#[derive(Clone, Copy, Debug)]
struct Last {
    number: u8,
    digest: u64,
    at_ns: u64,
}

/// What a receiver says about a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reception {
    /// What the frame ends in; 1 is an FCS of 16 bits.
    fcs_type: Option<u8>,
    rss_dbm: Option<f32>,
    channel: Option<u16>,
    lqi: Option<u8>,
}

/// All that is known.
#[derive(Clone, Debug)]
pub struct Wpan {
    is_tap: bool,
    /// Intact frames of each network, by its identifier.
    pub pans: BTreeMap<u16, u32>,
    /// By source and destination.
    pub links: BTreeMap<Ends, Link>,
    /// By number; `None` where the receiver does not tell.
    pub channels: BTreeMap<Option<u16>, Channel>,
    last: BTreeMap<String, Last>,
}

impl Wpan {
    /// Nothing yet; `None` of another link type.
    pub fn new(link_type: LinkType) -> Option<Self> {
        let is_tap = link_type == LinkType::IEEE802_15_4_TAP;
        let is_ours = is_tap || link_type == LinkType::IEEE802_15_4_WITHFCS;
        is_ours.then(|| Self {
            is_tap,
            pans: BTreeMap::new(),
            links: BTreeMap::new(),
            channels: BTreeMap::new(),
            last: BTreeMap::new(),
        })
    }

    /// Whether the FCS of a frame fits; so does what has none of 16 bits.
    pub fn fcs_fits(&self, packet: &[u8]) -> bool {
        let (has_fcs, psdu) = if self.is_tap {
            let (reception, psdu) = split(packet);
            (reception.fcs_type == Some(1), psdu)
        } else {
            (true, packet)
        };
        !has_fcs || framing::wpan::fcs_fits(psdu)
    }

    /// Takes the next packet.
    pub fn push(&mut self, record: &Record<'_>, is_damaged: bool) {
        let at = Moment { time: record.time, number: record.number };
        let (reception, psdu) =
            if self.is_tap { split(record.octets) } else { (Reception::default(), record.octets) };
        let channel = self.channels.entry(reception.channel).or_default();
        channel.frames += 1;
        if is_damaged {
            channel.damaged.add(at, psdu.len() as u64);
            return; // its addresses may be damaged as well
        }
        let (number, pan) = wpan::number_and_pan(psdu);
        if let Some(pan) = pan
            && (self.pans.len() < MOST_PANS || self.pans.contains_key(&pan))
        {
            *self.pans.entry(pan).or_default() += 1;
        }
        let words = wpan::words(psdu, true);
        let (Some(from), Some(to)) = (words.source, words.destination) else { return };
        let is_again = self.is_again(&from, number, psdu, at);
        let ends = (from, to);
        if self.links.len() >= MOST_LINKS && !self.links.contains_key(&ends) {
            return;
        }
        let link = self.links.entry(ends).or_default();
        link.frames += 1;
        if is_again {
            link.again.add(at, 0);
        }
        link.lqi_and_rss(reception);
    }

    fn is_again(&mut self, from: &str, number: Option<u8>, psdu: &[u8], at: Moment) -> bool {
        let Some(number) = number else { return false };
        let digest = psdu.iter().fold(0xcbf2_9ce4_8422_2325_u64, |digest, octet| {
            (digest ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
        });
        let now = Last { number, digest, at_ns: at.time.as_ns() };
        if self.last.len() >= MOST_LINKS && !self.last.contains_key(from) {
            return false;
        }
        self.last.insert(from.to_owned(), now).is_some_and(|last| {
            (last.number, last.digest) == (number, digest)
                && now.at_ns.saturating_sub(last.at_ns) < AGAIN_NS
        })
    }
}

impl Link {
    fn lqi_and_rss(&mut self, reception: Reception) {
        if let Some(lqi) = reception.lqi {
            self.lqi.add(lqi.into());
        }
        if let Some(dbm) = reception.rss_dbm.filter(|dbm| dbm.is_finite()) {
            self.rss_sum += f64::from(dbm);
            self.rss_n += 1;
            let (low, high) = self.rss_range.unwrap_or((dbm, dbm));
            self.rss_range = Some((low.min(dbm), high.max(dbm)));
        }
    }
}

/// A TAP header's values and the PSDU behind it; of a header that is cut nothing.
fn split(packet: &[u8]) -> (Reception, &[u8]) {
    let mut reception = Reception::default();
    let Some(&[_, _, low, high]) = packet.first_chunk() else { return (reception, &[]) };
    let len = usize::from(u16::from_le_bytes([low, high]));
    let Some((header, psdu)) = packet.split_at_checked(len) else { return (reception, &[]) };
    let mut rest = header.get(4..).unwrap_or_default();
    while let Some(&[a, b, c, d]) = rest.first_chunk() {
        let len = usize::from(u16::from_le_bytes([c, d]));
        let Some(value) = rest.get(4..4 + len) else { break };
        match (u16::from_le_bytes([a, b]), value) {
            (tlv::FCS_TYPE, &[fcs_type, ..]) => reception.fcs_type = Some(fcs_type),
            (tlv::RSS, &[a, b, c, d]) => reception.rss_dbm = Some(f32::from_le_bytes([a, b, c, d])),
            (tlv::CHANNEL, &[a, b, ..]) => reception.channel = Some(u16::from_le_bytes([a, b])),
            (tlv::LQI, &[lqi, ..]) => reception.lqi = Some(lqi),
            _ => {}
        }
        rest = rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
    }
    (reception, psdu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    /// A TAP header with -70.5 dBm, channel 15 and LQI 200, and a PSDU.
    fn tap(psdu: &[u8]) -> Vec<u8> {
        let mut packet = vec![0, 0, 28, 0];
        packet.extend([1, 0, 4, 0]);
        packet.extend((-70.5_f32).to_le_bytes());
        packet.extend([3, 0, 3, 0, 15, 0, 0, 0]);
        packet.extend([10, 0, 1, 0, 200, 0, 0, 0]);
        packet.extend(psdu);
        packet
    }

    /// Data with an acknowledgement asked for, from 0002 to 0001 in PAN 1234.
    fn data(number: u8, last: u8) -> Vec<u8> {
        vec![0x61, 0x88, number, 0x34, 0x12, 1, 0, 2, 0, last]
    }

    fn heard(frames: &[(u64, Vec<u8>, bool)]) -> Wpan {
        let mut wpan = Wpan::new(LinkType::IEEE802_15_4_TAP).unwrap();
        for (number, (ms, octets, is_damaged)) in frames.iter().enumerate() {
            let time = Timestamp::from_ns(ms * 1_000_000);
            let record = Record { number: number as u64, time, octets, ..Record::default() };
            wpan.push(&record, *is_damaged);
        }
        wpan
    }

    #[test]
    fn links_channels_and_what_was_sent_again() {
        let wpan = heard(&[
            (0, tap(&data(7, 1)), false),
            (4, tap(&data(7, 1)), false),     // again
            (9, tap(&data(7, 2)), false),     // another frame that has the same number
            (15, tap(&data(8, 2)), false),    // the next one
            (5_000, tap(&data(8, 2)), false), // much later: numbers begin again
            (5_010, tap(&data(9, 2)), true),
        ]);
        assert_eq!(wpan.pans, BTreeMap::from([(0x1234, 5)]));
        let (_, link) = wpan.links.first_key_value().unwrap();
        assert_eq!((wpan.links.len(), link.frames, link.again.n), (1, 5, 1));
        assert_eq!((link.lqi.percentile(50), link.rss_mean()), (Some(200), Some(-70.5)));
        assert_eq!(link.rss_range, Some((-70.5, -70.5)));
        let channel = wpan.channels[&Some(15)];
        assert_eq!((channel.frames, channel.damaged.n), (6, 1));
    }

    #[test]
    fn a_header_that_is_cut_or_lies_is_survived() {
        let whole = tap(&data(7, 1));
        for len in 0..whole.len() {
            heard(&[(0, whole[..len].to_vec(), false)]);
        }
        for at in 0..28 {
            let mut odd = whole.clone();
            odd[at] = 0xff;
            heard(&[(0, odd, false)]);
        }
        assert!(Wpan::new(LinkType::BACNET_MS_TP).is_none());
    }
}
