//! A simulated serial port, so that packets can be seen without hardware.
//!
//! Pure, without I/O and without a clock: [`Simulator::next_burst`] says what the line says
//! next and how long it is silent before. There is no end to it, and it is the same each time.
//!
//! - `mstp`: a trunk with six masters. They pass the token, poll for others and speak BACnet:
//!   they read temperatures and object lists, write setpoints, look for each other.
//! - `modbus`: a master polls three units of Modbus RTU, one of which refuses a register.
//! - `riot`: RIOT's sniffer application hears three nodes that speak 6LoWPAN: ping, CoAP, RPL.
//!
//! - `mstp,fault=NAME`: a trunk by the standard, with a fault that `serialshark report` finds.
//!
//! What they say is written below as templates in hex. After the first 200 bursts a few are
//! damaged, as on a real line; the nodes go on regardless, as if the noise were at our end.

mod faults;
mod master;
mod radio;
mod ring;
mod trunk;

pub use faults::Fault;
pub use ring::{Plan, Ring};

use crate::line::Line;
use master::Master;
use radio::Radio;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use trunk::Trunk;

/// Bursts at the start that are never damaged.
const INTACT: u32 = 200;
/// The first burst of a trunk that is damaged; the others are rare.
const FIRST_DAMAGE: u32 = 240;
/// Shows each type of frame within 50 bursts, and damage within 300.
const SEED: u64 = 0x5e71_a15a_a2c0_ed1c;

/// What the line says between two silences: a frame, a record or a line of RIOT's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Silence before its first octet.
    pub pause_ns: u64,
    /// What is said.
    pub octets: Vec<u8>,
}

/// A line with someone speaking on it.
#[derive(Debug)]
pub struct Simulator {
    scene: Scene,
    stage: Stage,
    bursts: u32,
}

#[derive(Debug)]
enum Scene {
    MsTp(Trunk),
    Modbus(Master),
    Riot(Radio),
    Sick(Box<Ring>),
}

/// What all scenes play on.
#[derive(Debug)]
struct Stage {
    line: Line,
    dice: Dice,
    queue: VecDeque<Burst>,
}

impl Simulator {
    /// What can be simulated.
    pub const NAMES: [&str; 3] = ["mstp", "modbus", "riot"];

    /// The simulator of that name on such a line; `None` if there is none.
    pub fn named(name: &str, line: Line) -> Option<Self> {
        let scene = match name {
            "mstp" => Scene::MsTp(Trunk::new()),
            "modbus" => Scene::Modbus(Master::new()),
            "riot" => Scene::Riot(Radio::new()),
            _ => {
                let fault = Fault::named(name.strip_prefix("mstp,fault=")?)?;
                let plan = Plan::sick(fault);
                Scene::Sick(Box::new(Ring::new(Plan { baud: line.baud, ..plan })))
            }
        };
        let stage = Stage { line, dice: Dice(SEED), queue: VecDeque::new() };
        Some(Self { scene, stage, bursts: 0 })
    }

    /// What the line says next.
    pub fn next_burst(&mut self) -> Burst {
        if let Scene::Sick(ring) = &mut self.scene {
            return ring.next_burst();
        }
        let mut burst = loop {
            if let Some(burst) = self.stage.queue.pop_front() {
                break burst;
            }
            match &mut self.scene {
                Scene::MsTp(trunk) => trunk.hold_token(&mut self.stage),
                Scene::Modbus(master) => master.poll(&mut self.stage),
                Scene::Riot(radio) => radio.exchange(&mut self.stage),
                Scene::Sick(_) => {}
            }
        };
        self.bursts = self.bursts.saturating_add(1);
        if self.bursts <= INTACT {
            return burst;
        }
        let dice = &mut self.stage.dice;
        match self.scene {
            // About one error a minute: a healthy trunk has up to two.
            Scene::MsTp(_) if dice.one_in(12_000) => {
                let noise = (0..=dice.below(3)).map(|_| dice.below(256) as u8).collect();
                let noise = Burst { pause_ns: burst.pause_ns / 2, octets: noise };
                burst.pause_ns /= 2;
                self.stage.queue.push_front(burst);
                return noise;
            }
            Scene::Modbus(_) if dice.one_in(20) => {
                // The line falls when nobody drives it.
                burst.octets.push(0);
            }
            Scene::Modbus(_) if dice.one_in(100) => {
                let at = dice.below(burst.octets.len() as u32) as usize;
                burst.octets[at] ^= 1 << dice.below(8);
            }
            Scene::MsTp(_) if self.bursts == FIRST_DAMAGE || dice.one_in(12_000) => {
                let at = 2 + dice.below(burst.octets.len() as u32 - 2) as usize;
                if dice.one_in(2) {
                    burst.octets[at] ^= 1 << dice.below(8);
                } else {
                    burst.octets.truncate(at);
                }
            }
            Scene::Riot(_) if dice.one_in(300) => {
                burst.octets.remove(dice.below(burst.octets.len() as u32) as usize);
                burst.pause_ns += self.stage.octets_ns(1);
            }
            _ => {}
        }
        burst
    }
}

impl Stage {
    /// How long `octets` take on the line: start bit, eight, stop bit.
    fn octets_ns(&self, octets: usize) -> u64 {
        octets as u64 * self.line.octet_ns()
    }
}

/// A xorshift* generator: good enough to look natural.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// A number less than `limit`.
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((roll * u64::from(limit)) >> 32) as u32
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn within(&mut self, range: RangeInclusive<u32>) -> u32 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// One of `all`: each in turn at first, so that even a short capture is varied.
    fn choose<T: Copy>(&mut self, all: &[T], turn: usize) -> T {
        all.get(turn).copied().unwrap_or_else(|| all[self.below(all.len() as u32) as usize])
    }

    /// Moves a room's temperature a little.
    fn drift(&mut self, celsius: &mut f32) {
        *celsius = (*celsius + self.below(21) as f32 / 100.0 - 0.1).clamp(17.0, 27.0);
    }
}

/// The octets of a template in hex: a `'text'` stands for itself, and a sign that is among
/// `fields` for what is there. Other signs only structure it.
fn fill(template: &str, fields: &[(char, &[u8])]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(template.len());
    let (mut high, mut in_text) = (None, false);
    for sign in template.chars() {
        if sign == '\'' {
            in_text = !in_text;
        } else if in_text {
            octets.push(sign as u8);
        } else if let Some((_, field)) = fields.iter().find(|field| field.0 == sign) {
            octets.extend_from_slice(field);
        } else if let Some(digit) = sign.to_digit(16) {
            match high.take() {
                None => high = Some(digit),
                Some(high) => octets.push(((high << 4) | digit) as u8),
            }
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::trunk::{EXPECTING_REPLY, NOT_EXPECTING_REPLY, POLL_FOR_MASTER, TOKEN};
    use super::*;

    fn bursts(name: &str, count: usize) -> Vec<Burst> {
        let mut simulator = Simulator::named(name, Line::at(38_400)).unwrap();
        (0..count).map(|_| simulator.next_burst()).collect()
    }

    #[test]
    fn it_is_the_same_each_time() {
        for name in Simulator::NAMES {
            assert_eq!(bursts(name, 2_000), bursts(name, 2_000));
        }
        assert!(Simulator::named("can", Line::at(38_400)).is_none());
    }

    #[test]
    fn the_first_frames_show_all_that_a_newcomer_looks_for() {
        let first = bursts("mstp", 20);
        for kind in [TOKEN, POLL_FOR_MASTER, EXPECTING_REPLY, NOT_EXPECTING_REPLY] {
            assert!(first.iter().any(|burst| burst.octets[2] == kind), "{kind}");
        }
    }

    #[test]
    fn frames_have_the_announced_length() {
        let bursts = bursts("mstp", 5_000);
        let is_whole = |octets: &[u8]| {
            let &[0x55, 0xff, _, _, from, high, low, ..] = octets else { return false };
            let data = usize::from(u16::from_be_bytes([high, low]));
            let tail = if data == 0 { 0 } else { data + 2 + usize::from(from % 2) };
            octets.len() == 8 + tail
        };
        assert!(bursts[..INTACT as usize].iter().all(|burst| is_whole(&burst.octets)));
        assert!(bursts.iter().any(|burst| !is_whole(&burst.octets)));
        assert!(bursts.iter().any(|burst| burst.octets.starts_with(&[0x55, 0xff, 33])));
    }

    #[test]
    fn three_units_are_polled_and_one_refuses() {
        let first = bursts("modbus", INTACT as usize);
        for unit in [1, 2, 17] {
            assert!(first.iter().filter(|burst| burst.octets[0] == unit).count() > 20, "{unit}");
        }
        assert!(first.iter().any(|burst| burst.octets.starts_with(&[17, 0x83, 2])));
        let fits = |burst: &Burst| crate::framing::modbus::CRC.checksum(&burst.octets) == 0;
        assert!(first.iter().all(fits));
        assert!(!bursts("modbus", 1_000).iter().all(fits));
    }

    #[test]
    fn records_have_the_announced_length_and_come_after_their_reception() {
        let mut now_ns = 0;
        for burst in bursts("riot", INTACT as usize) {
            now_ns += burst.pause_ns;
            let text = String::from_utf8(burst.octets).unwrap();
            if let Some(record) = text.strip_prefix("rftest-rx --- ") {
                let lines: Vec<_> = record.split('\n').collect();
                let [header, data, "", ""] = lines[..] else { panic!("{text}") };
                let words: Vec<_> = header.split(' ').collect();
                let ["len", len, "lqi", _, "rx_time", time] = words[..] else { panic!("{text}") };
                assert_eq!(data.len(), 3 * usize::from_str_radix(len, 16).unwrap());
                assert!(u64::from_str_radix(time, 16).unwrap() <= now_ns / 1000);
            }
            now_ns += text.len() as u64 * 10_000_000_000 / 38_400;
        }
    }
}
