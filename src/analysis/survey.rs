//! What is heard on which radio channel: frames, how strong they are, and whose networks they belong to.

use crate::dissect::wpan;
use crate::packet::Packet;
use std::collections::{BTreeMap, BTreeSet};

/// More networks on one channel than that are counted, not named.
const MAX_PANS: usize = 64;

/// What was heard on a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Frames, damaged ones among them.
    pub frames: u64,
    /// Frames that came damaged over the air.
    pub damaged: u64,
    /// How strong frames were in dBm, if the sniffer says it.
    pub rssi: Option<Rssi>,
    /// PAN ids of intact frames, but for the one that means all.
    pub pans: BTreeSet<u16>,
}

/// Strength in dBm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rssi {
    /// The weakest frame.
    pub min: f32,
    /// The strongest.
    pub max: f32,
    sum: f64,
    count: u64,
}

impl Rssi {
    fn of(dbm: f32) -> Self {
        Self { min: dbm, max: dbm, sum: dbm.into(), count: 1 }
    }

    fn add(&mut self, dbm: f32) {
        (self.min, self.max) = (self.min.min(dbm), self.max.max(dbm));
        self.sum += f64::from(dbm);
        self.count += 1;
    }

    /// The mean of all.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }
}

/// Channels with what was heard on them.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    channels: BTreeMap<u8, Heard>,
    /// Frames of which nobody knows on which channel they were.
    pub elsewhere: u64,
}

impl Survey {
    /// Of these channels, on none of which anything was heard yet.
    pub fn new(channels: &[u8]) -> Self {
        let channels = channels.iter().map(|channel| (*channel, Heard::default())).collect();
        Self { channels, elsewhere: 0 }
    }

    /// Takes a packet of `LINKTYPE_IEEE802_15_4_TAP`.
    pub fn add(&mut self, packet: &Packet<'_>) {
        let tap = wpan::Tap::read(packet.data);
        let Some(heard) = tap.channel.and_then(|channel| self.channels.get_mut(&channel)) else {
            self.elsewhere += 1;
            return;
        };
        heard.frames += 1;
        if let Some(dbm) = tap.rssi_dbm.filter(|dbm| dbm.is_finite()) {
            match &mut heard.rssi {
                Some(rssi) => rssi.add(dbm),
                none => *none = Some(Rssi::of(dbm)),
            }
        }
        if !packet.damage.is_none() {
            heard.damaged += 1;
            return;
        }
        let pans = wpan::pan_ids(tap.psdu).into_iter().flatten().filter(|pan| *pan != 0xffff);
        for pan in pans {
            if heard.pans.len() < MAX_PANS {
                heard.pans.insert(pan);
            }
        }
    }

    /// The channels in their order.
    pub fn channels(&self) -> impl Iterator<Item = (u8, &Heard)> {
        self.channels.iter().map(|(channel, heard)| (*channel, heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Damage;

    fn packet(channel: u8, dbm: f32, psdu: &[u8]) -> Vec<u8> {
        let head = [0, 0, 20, 0, 1, 0, 4, 0];
        [&head[..], &dbm.to_le_bytes(), &[3, 0, 3, 0, channel, 0, 0, 0], psdu].concat()
    }

    #[test]
    fn frames_are_counted_by_channel() {
        let mut survey = Survey::new(&[11, 15]);
        let data = [0x41, 0x88, 12, 0xcd, 0xab, 0xff, 0xff, 0x34, 0x12, 1, 2];
        let beacon = [0x00, 0x80, 1, 0x22, 0x11, 0, 0, 1, 2];
        for (channel, dbm, psdu) in
            [(15, -40.0, &data[..]), (15, -60.0, &beacon), (15, -50.0, &data), (20, -1.0, &data)]
        {
            let data = packet(channel, dbm, psdu);
            survey.add(&Packet { data: &data, ..Packet::default() });
        }
        let bad = packet(15, -90.0, &[0x41, 0x88, 1, 0x99, 0x99, 0, 0, 1, 0]);
        survey.add(&Packet { data: &bad, damage: Damage::CRC_ERROR, ..Packet::default() });
        let found: Vec<_> = survey.channels().collect();
        assert_eq!(found[0], (11, &Heard::default()));
        let (15, heard) = found[1] else { panic!("{found:?}") };
        assert_eq!((heard.frames, heard.damaged), (4, 1));
        let rssi = heard.rssi.expect("is known");
        assert_eq!((rssi.min, rssi.max, rssi.mean()), (-90.0, -40.0, -60.0));
        assert_eq!(heard.pans, BTreeSet::from([0xabcd, 0x1122]));
        assert_eq!(survey.elsewhere, 1);
    }
}
