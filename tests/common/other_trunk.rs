//! Another healthy trunk than `sim::Ring`: written anew, with habits of other vendors. Nodes poll one
//! address in 50 tokens and not all in a row, addresses have gaps, some nodes are as slow as they may
//! be, a router sends many frames with one token, a gateway postpones half of its answers, answers
//! are long and late, and there are test frames and a vendor's own. With [`Habits`] there are slaves and
//! extended frames, all nodes begin at once, or one master is alone with slaves.
#![allow(dead_code, missing_docs)]

use crate::common::{Random, header_crc, mstp};
use serialshark::source::sim::Burst;
use std::collections::{HashMap, VecDeque};

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

/// What else is legal, and not on every trunk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// Nodes that answer and never have the token.
    pub slaves: u8,
    /// Some answers and requests are in frames of types 32 and 33.
    pub extended: bool,
    /// Programs elsewhere that ask through the router.
    pub clients: u8,
    /// The capture begins before anybody has the token.
    pub cold: bool,
}

struct Node {
    mac: u8,
    vendor: Vendor,
    tokens: u64,
    polled: u8,
    owed: Vec<(u8, Vec<u8>)>,
    told: u64,
    /// Whether it knows to whom it passes the token.
    is_joined: bool,
    /// The last number of a request, of the node itself and of each client behind it.
    ids: HashMap<Option<u8>, u8>,
}

pub struct OtherTrunk {
    pub baud: u32,
    nodes: Vec<Node>,
    at: usize,
    max_master: u8,
    habits: Habits,
    slaves: Vec<u8>,
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
            nodes.push(Node {
                mac,
                vendor,
                tokens,
                polled: mac,
                owed: Vec::new(),
                told: i,
                is_joined: true,
                ids: HashMap::new(),
            });
            mac += 1 + u8::from(random.below(4) == 0) * random.below(3) as u8;
        }
        let max_master = if random.below(3) == 0 { 127 } else { mac };
        let at = random.below(size) as usize;
        Self {
            baud,
            nodes,
            at,
            max_master,
            habits: Habits::default(),
            slaves: Vec::new(),
            random,
            now: 0,
            queue: VecDeque::new(),
        }
    }

    /// The same with these habits.
    pub fn with(mut self, habits: Habits) -> Self {
        self.habits = habits;
        self.slaves = (0..habits.slaves).map(|i| 128 + 7 * i).collect();
        if habits.cold && self.nodes.len() > 1 {
            self.at = 0;
            self.nodes.iter_mut().for_each(|node| node.is_joined = false);
            // The lowest waits for its slot, and makes a token of nothing (135: 500 ms and 10 each).
            let silence = 500 + 10 * u64::from(self.nodes[0].mac);
            self.find_successor(silence * MS);
        }
        self
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
        if self.nodes.len() == 1 {
            return self.alone(mac, pause);
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
        if !self.slaves.is_empty() && self.random.below(3) == 0 {
            let at = self.random.below(self.slaves.len() as u64) as usize;
            return self.ask_slave(mac, self.slaves[at], pause);
        }
        let to = self.random.below(self.nodes.len() as u64) as usize;
        if to == self.at || !self.nodes[to].is_joined {
            return;
        }
        let (peer, vendor) = (self.nodes[to].mac, self.nodes[to].vendor);
        if self.random.below(30) == 0 {
            self.say(pause, mstp(3, peer, mac, &[0xaa, 0x55]));
            let wait = self.delay(500, 12_000);
            return self.say(wait, mstp(4, mac, peer, &[0xaa, 0x55]));
        }
        // A router has clients that number their requests each by itself, and alike.
        let client = if self.nodes[self.at].vendor == Vendor::Router && self.habits.clients > 0 {
            Some(self.random.below(self.habits.clients.into()) as u8)
        } else {
            None
        };
        let id = self.invoke_id(client);
        let source = client.map(|client| vec![0, 77, 1, client]).unwrap_or_default();
        let request = [2, 0x75, id, 12, 12, 0, 0, 0, 1, 25, 85];
        let control = if client.is_some() { 0x0c } else { 4 };
        self.say(pause, mstp(5, peer, mac, &[&[1, control], &source[..], &request].concat()));
        let len = if self.random.below(4) == 0 { 200 + self.random.below(270) } else { 9 };
        let mut answer = vec![1, 0];
        if client.is_some() {
            answer = [&[1, 0x20], &source[..], &[255]].concat();
        }
        answer.extend([0x30, id, 12]);
        answer.extend((0..len).map(|i| i as u8));
        if vendor == Vendor::Gateway && self.random.below(2) == 0 {
            let wait = self.delay(1_000, 9_000);
            self.say(wait, mstp(7, mac, peer, &[]));
            return self.nodes[to].owed.push((mac, answer));
        }
        let slowest = if vendor == Vendor::Slow { 200_000 } else { 40_000 };
        let wait = self.delay(1_500, slowest);
        if self.habits.extended && self.random.below(3) == 0 {
            answer.extend((0..300 + self.random.below(600)).map(|i| (i % 251) as u8));
            return self.say(wait, extended(33, mac, peer, &answer));
        }
        self.say(wait, mstp(6, mac, peer, &answer));
    }

    fn invoke_id(&mut self, client: Option<u8>) -> u8 {
        let ids = &mut self.nodes[self.at].ids;
        let id = ids.entry(client).or_default();
        *id = id.wrapping_add(1);
        *id
    }

    fn ask_slave(&mut self, mac: u8, slave: u8, pause: u64) {
        let id = self.invoke_id(None);
        let is_long = self.habits.extended && self.random.below(4) == 0;
        let mut request = vec![1, 4, 2, 0x75, id, 15, 12, 0, 0, 0, 1, 25, 85];
        if is_long {
            request.extend([0; 600]);
        }
        let request = if is_long {
            extended(32, slave, mac, &request)
        } else {
            mstp(5, slave, mac, &request)
        };
        self.say(pause, request);
        let wait = self.delay(1_000, 60_000);
        self.say(wait, mstp(6, mac, slave, &[1, 0, 0x20, id, 15]));
    }

    /// A master that never found another: it asks its slaves, and looks for masters now and then.
    fn alone(&mut self, mac: u8, pause: u64) {
        for _ in 0..self.random.below(3) {
            if self.slaves.is_empty() {
                break;
            }
            let at = self.random.below(self.slaves.len() as u64) as usize;
            self.ask_slave(mac, self.slaves[at], pause + MS);
        }
        let next = self.after(self.nodes[0].polled);
        let polled = if next == mac { self.after(mac) } else { next };
        self.nodes[0].polled = polled;
        self.say(pause, mstp(1, polled, mac, &[]));
        // Nobody replies, which takes its time.
        let silence = (20_500 + self.random.below(14_000)) * 1000;
        let idle = self.delay(10_000, 50_000);
        self.now += silence + idle;
        self.queue.push_back(Burst { pause_ns: silence + idle, octets: Vec::new() });
    }

    fn after(&self, mac: u8) -> u8 {
        if mac >= self.max_master { 0 } else { mac + 1 }
    }

    /// Polls one address after the other until somebody replies, who gets the token.
    fn find_successor(&mut self, mut pause: u64) {
        let mac = self.nodes[self.at].mac;
        let mut polled = self.after(mac);
        let next = loop {
            self.say(pause, mstp(1, polled, mac, &[]));
            if let Some(next) = self.nodes.iter().position(|node| node.mac == polled) {
                break next;
            }
            pause = (20_500 + self.random.below(14_000)) * 1000;
            polled = self.after(polled);
        };
        let wait = self.delay(300, 9_000);
        self.say(wait, mstp(2, mac, polled, &[]));
        self.nodes[self.at].is_joined = true;
        let pause = self.delay(100, 3_000);
        self.say(pause, mstp(0, polled, mac, &[]));
        self.at = next;
    }

    fn pass(&mut self, mac: u8, mut pause: u64) {
        if !self.nodes[self.at].is_joined {
            return self.find_successor(pause);
        }
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

/// A frame whose data is in COBS, with CRC-32K (135, annexes T and G), written by the text of RFC 8163.
pub fn extended(kind: u8, to: u8, from: u8, data: &[u8]) -> Vec<u8> {
    let coded = cobs(data);
    let crc = cobs(&crc_32k(&coded).to_le_bytes());
    let [high, low] = ((coded.len() + crc.len() - 2) as u16).to_be_bytes();
    // The header of a frame without data has the same form.
    let header = [kind, to, from, high, low];
    let mut frame = vec![0x55, 0xff];
    frame.extend(header);
    frame.push(header_crc(&header));
    [frame, coded, crc].concat()
}

/// Runs without a 0, each behind how far it is to the next one; all of it XORed with 55.
fn cobs(data: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    let with_end: Vec<u8> = data.iter().copied().chain([0]).collect();
    let runs: Vec<&[u8]> = with_end.split_inclusive(|octet| *octet == 0).collect();
    for (n, run) in runs.iter().enumerate() {
        let run = &run[..run.len() - 1];
        let mut pieces = run.chunks(254).peekable();
        if run.is_empty() {
            coded.push(1);
        }
        while let Some(piece) = pieces.next() {
            coded.push(piece.len() as u8 + 1);
            coded.extend(piece);
            let is_full_end = piece.len() == 254 && pieces.peek().is_none();
            // A full piece stands for no 0, so one that ends with it needs a code of its own.
            if is_full_end && n + 1 < runs.len() {
                coded.push(1);
            }
        }
    }
    coded.iter().map(|octet| octet ^ 0x55).collect()
}

fn crc_32k(octets: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for octet in octets {
        crc ^= u32::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xeb31_d82e };
        }
    }
    !crc
}
