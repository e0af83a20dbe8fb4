//! Another healthy trunk than `sim::Ring`: written anew, with habits of other vendors. Nodes poll one
//! address in 50 tokens and not all in a row, addresses have gaps, some nodes are as slow as they may
//! be, a router sends many frames with one token, a gateway postpones half of its answers, answers
//! are long and late, and there are test frames and a vendor's own.
#![allow(dead_code, missing_docs)]

use super::common::{Random, mstp};
use serialshark::source::sim::Burst;
use std::collections::VecDeque;

const MS: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Vendor {
    /// Uses the token at once.
    Swift,
    /// Takes nearly all the time it has.
    Slow,
    /// Anything in between.
    Moody,
    /// Many frames a token.
    Router,
    /// Says that answers come later.
    Gateway,
}

struct Node {
    mac: u8,
    vendor: Vendor,
    tokens: u64,
    polled: u8,
    owed: Vec<(u8, Vec<u8>)>,
    told: u64,
}

pub struct OtherTrunk {
    pub baud: u32,
    nodes: Vec<Node>,
    at: usize,
    max_master: u8,
    random: Random,
    now: u64,
    queue: VecDeque<Burst>,
}

impl OtherTrunk {
    /// Of this many nodes.
    pub fn new(seed: u64, size: u64, baud: u32) -> Self {
        let mut random = Random(seed | 1);
        let mut mac = random.below(4) as u8;
        let vendors = [Vendor::Swift, Vendor::Slow, Vendor::Moody, Vendor::Gateway, Vendor::Swift];
        let mut nodes = Vec::new();
        for i in 0..size {
            let vendor = if i == 0 { Vendor::Router } else { vendors[random.below(5) as usize] };
            let tokens = random.below(50);
            nodes.push(Node { mac, vendor, tokens, polled: mac, owed: Vec::new(), told: i });
            mac += 1 + u8::from(random.below(4) == 0) * random.below(3) as u8;
        }
        let max_master = if random.below(3) == 0 { 127 } else { mac };
        let at = random.below(size) as usize;
        Self { baud, nodes, at, max_master, random, now: 0, queue: VecDeque::new() }
    }

    pub fn next_burst(&mut self) -> Burst {
        loop {
            if let Some(burst) = self.queue.pop_front() {
                return burst;
            }
            self.turn();
        }
    }

    /// Between these, in microseconds, but not before the line has turned round.
    fn delay(&mut self, low: u64, high: u64) -> u64 {
        let turnaround = 40_000_000_000 / u64::from(self.baud);
        turnaround + 1000 * (low + self.random.below(high - low))
    }

    fn say(&mut self, pause_ns: u64, octets: Vec<u8>) {
        self.now += pause_ns + octets.len() as u64 * 10_000_000_000 / u64::from(self.baud);
        self.queue.push_back(Burst { pause_ns, octets });
    }

    fn first(&mut self) -> u64 {
        match self.nodes[self.at].vendor {
            Vendor::Swift | Vendor::Router => self.delay(50, 900),
            Vendor::Slow => self.delay(6_000, 9_500),
            Vendor::Moody | Vendor::Gateway => self.delay(300, 9_000),
        }
    }

    fn turn(&mut self) {
        let mac = self.nodes[self.at].mac;
        let mut pause = self.first();
        for (to, data) in std::mem::take(&mut self.nodes[self.at].owed) {
            self.say(pause, mstp(6, to, mac, &data));
            pause = self.delay(100, 3_000);
        }
        let busy = self.random.below(100);
        let frames = match self.nodes[self.at].vendor {
            Vendor::Router if busy < 10 => 2 + self.random.below(12),
            _ if busy < 12 => 1,
            _ => 0,
        };
        for _ in 0..frames {
            self.ask(pause);
            pause = self.delay(100, 4_000);
        }
        // Now and then something to all: I-Am, time, a vendor's own.
        let minute = self.now / (60_000 * MS);
        if self.nodes[self.at].told <= minute {
            self.nodes[self.at].told = minute + 2 + self.random.below(3);
            let [a, b, c, d] = ((8 << 22) | (70_000 + u32::from(mac))).to_be_bytes();
            let i_am = [1, 0, 0x10, 0, 0xc4, a, b, c, d, 0x22, 1, 0xe0, 0x91, 0, 0x21, 99];
            self.say(pause, mstp(6, 255, mac, &i_am));
            pause = self.delay(100, 2_000);
            self.say(pause, mstp(150, 255, mac, &[0, 99, 1, 2, 3]));
            pause = self.delay(100, 2_000);
        }
        self.pass(mac, pause);
    }

    fn ask(&mut self, pause: u64) {
        let mac = self.nodes[self.at].mac;
        let to = self.random.below(self.nodes.len() as u64) as usize;
        if to == self.at {
            return;
        }
        let (peer, vendor) = (self.nodes[to].mac, self.nodes[to].vendor);
        if self.random.below(30) == 0 {
            self.say(pause, mstp(3, peer, mac, &[0xaa, 0x55]));
            let wait = self.delay(500, 12_000);
            return self.say(wait, mstp(4, mac, peer, &[0xaa, 0x55]));
        }
        let id = self.random.below(256) as u8;
        self.say(pause, mstp(5, peer, mac, &[1, 4, 2, 0x75, id, 12, 12, 0, 0, 0, 1, 25, 85]));
        let len = if self.random.below(4) == 0 { 200 + self.random.below(270) } else { 9 };
        let mut answer = vec![1, 0, 0x30, id, 12];
        answer.extend((0..len).map(|i| i as u8));
        if vendor == Vendor::Gateway && self.random.below(2) == 0 {
            let wait = self.delay(1_000, 9_000);
            self.say(wait, mstp(7, mac, peer, &[]));
            return self.nodes[to].owed.push((mac, answer));
        }
        let slowest = if vendor == Vendor::Slow { 200_000 } else { 40_000 };
        let wait = self.delay(1_500, slowest);
        self.say(wait, mstp(6, mac, peer, &answer));
    }

    fn pass(&mut self, mac: u8, mut pause: u64) {
        let next = (self.at + 1) % self.nodes.len();
        let to = self.nodes[next].mac;
        let after = |mac: u8, max: u8| if mac >= max { 0 } else { mac + 1 };
        self.nodes[self.at].tokens += 1;
        if self.nodes[self.at].tokens.is_multiple_of(50) {
            let polled = after(self.nodes[self.at].polled, self.max_master);
            // The next one behind us is where it begins again.
            let polled = if polled == to { after(mac, self.max_master) } else { polled };
            self.nodes[self.at].polled = polled;
            if polled != to {
                self.say(pause, mstp(1, polled, mac, &[]));
                pause = (20_500 + self.random.below(14_000)) * 1000;
            }
        }
        self.say(pause, mstp(0, to, mac, &[]));
        self.at = next;
    }
}
