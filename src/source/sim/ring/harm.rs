//! What faults do to frames on their way: bits change, octets get lost or are added.

use super::{BROADCAST, DATA, POLL, Ring, TOKEN};
use crate::source::sim::Burst;
use crate::source::sim::faults::{Fault, slower};
use crate::source::sim::trunk::frame;

impl Ring {
    /// What a fault does to the frame that was said last.
    pub(super) fn harm(&mut self, from: u8, kind: u8, len: usize) {
        let is_sick = self.culprit == Some(from);
        match self.plan.fault {
            Some(Fault::BadTransmitter) if is_sick && self.dice.one_in(15) => {
                self.damage_and_repeat(kind)
            }
            Some(Fault::Noise) if self.dice.one_in(120) => self.garble(),
            Some(Fault::Noise) if self.dice.one_in(120) => {
                let noise = (0..=self.dice.below(12)).map(|_| self.dice.below(256) as u8).collect();
                self.stray(1_200, noise);
            }
            Some(Fault::MissingBias) if self.dice.one_in(5) => {
                let value = [0x00, 0xff, 0xfe, 0x80][self.dice.below(4) as usize];
                self.stray(300, vec![value; 1 + usize::from(value == 0xff)]);
            }
            Some(Fault::MissingTerminator) if len > 8 && self.dice.below(1000) < 4 * len as u32 => {
                self.garble()
            }
            Some(Fault::Collisions) if !is_sick && kind == DATA && self.dice.one_in(30) => {
                self.cut_in();
            }
            Some(Fault::EarlyTurnaround) if is_sick && self.dice.one_in(10) => {
                let missing = 1 + self.dice.below(2) as usize;
                let lost_ns = self.octets_ns(missing);
                if let Some(burst) = self.queue.back_mut() {
                    burst.octets.drain(..missing);
                    burst.pause_ns =
                        burst.pause_ns.saturating_sub(2_000_000).max(100_000) + lost_ns;
                }
            }
            Some(Fault::WrongBaud) if self.dice.one_in(150) => {
                let said = slower(&frame(POLL, 1, 9, &[]), 2);
                self.stray(1_500, said);
            }
            Some(Fault::CaptureLoss) => self.lose_capture(),
            _ => {}
        }
    }

    /// One bit of the last frame is wrong, behind its preamble.
    pub(super) fn garble(&mut self) {
        let Some(burst) = self.queue.back_mut() else { return };
        let at = 2 + self.dice.below(burst.octets.len() as u32 - 2) as usize;
        burst.octets[at] ^= 1 << self.dice.below(8);
    }

    /// The sick node begins in the middle of the last frame.
    fn cut_in(&mut self) {
        let (Some(burst), Some(mac)) = (self.queue.back_mut(), self.culprit) else { return };
        burst.octets.truncate(burst.octets.len() - 6);
        self.stray(0, frame(DATA, BROADCAST, mac, &[1, 0, 0x10, 4, 9, 1]));
    }

    /// A damaged frame; a token or a poll is not heard, and comes again.
    fn damage_and_repeat(&mut self, kind: u8) {
        let Some(whole) = self.queue.back().cloned() else { return };
        self.garble();
        if kind == TOKEN {
            let wait = u64::from(self.nodes[self.holder].usage_timeout_us) * 1000;
            self.now_ns += wait + self.octets_ns(8);
            self.queue.push_back(Burst { pause_ns: wait, octets: whole.octets });
        }
    }

    fn stray(&mut self, pause_us: u32, octets: Vec<u8>) {
        let pause_ns = u64::from(pause_us) * 1000;
        self.now_ns += pause_ns + self.octets_ns(octets.len());
        self.queue.push_back(Burst { pause_ns, octets });
    }

    /// The adapter loses some frames in a row, and part of the one before.
    fn lose_capture(&mut self) {
        if self.losing == 0 {
            if self.turns > 100 && self.dice.one_in(150) {
                self.losing = 1 + self.dice.below(5);
                if let Some(burst) = self.queue.back_mut() {
                    let keep = 3 + self.dice.below(burst.octets.len() as u32 - 4) as usize;
                    let lost = burst.octets.len() - keep;
                    burst.octets.truncate(keep);
                    self.extra_ns += self.octets_ns(lost);
                }
            }
            return;
        }
        self.losing -= 1;
        if let Some(burst) = self.queue.pop_back() {
            let gone_ns = burst.pause_ns + self.octets_ns(burst.octets.len());
            self.now_ns = self.now_ns.saturating_sub(gone_ns);
            self.extra_ns += gone_ns;
        }
    }
}
