//! A simulated serial port, so that packets can be seen without hardware.
//!
//! Pure, without I/O and without a clock: [`Simulator::next_burst`] says what the line says
//! next and how long it is silent before. There is no end to it, and it is the same each time.
//!
//! - `mstp`: a trunk with six masters. They pass the token, poll for others and speak BACnet:
//!   they read temperatures and object lists, write setpoints, look for each other.
//! - `riot`: RIOT's sniffer application hears three nodes that speak 6LoWPAN: ping, CoAP, RPL.
//!
//! What they say is written below as templates in hex. After the first 200 bursts a few are
//! damaged, as on a real line; the nodes go on regardless, as if the noise were at our end.

use crc::{Algorithm, Crc};
use std::collections::VecDeque;
use std::fmt::Write;
use std::ops::RangeInclusive;

/// Bursts at the start that are never damaged.
const INTACT: u32 = 200;
/// Shows each type of frame within 50 bursts, and damage within 300.
const SEED: u64 = 0x5e71_a15a_a2c0_ed1c;

/// What the line says between two silences: an MS/TP frame, a record or a line of RIOT's text.
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
    Riot(Radio),
}

/// What both scenes play on.
#[derive(Debug)]
struct Stage {
    baud: u64,
    dice: Dice,
    queue: VecDeque<Burst>,
}

impl Simulator {
    /// What can be simulated.
    pub const NAMES: [&str; 2] = ["mstp", "riot"];

    /// The simulator of that name for a line of `baud` bits per second; `None` if there is none.
    pub fn named(name: &str, baud: u32) -> Option<Self> {
        let scene = match name {
            "mstp" => Scene::MsTp(Trunk::new()),
            "riot" => Scene::Riot(Radio { celsius: 21.0, ..Radio::default() }),
            _ => return None,
        };
        let baud = u64::from(baud.max(1));
        let stage = Stage { baud, dice: Dice(SEED), queue: VecDeque::new() };
        Some(Self { scene, stage, bursts: 0 })
    }

    /// What the line says next.
    pub fn next_burst(&mut self) -> Burst {
        let mut burst = loop {
            if let Some(burst) = self.stage.queue.pop_front() {
                break burst;
            }
            match &mut self.scene {
                Scene::MsTp(trunk) => trunk.hold_token(&mut self.stage),
                Scene::Riot(radio) => radio.exchange(&mut self.stage),
            }
        };
        self.bursts = self.bursts.saturating_add(1);
        if self.bursts <= INTACT {
            return burst;
        }
        let dice = &mut self.stage.dice;
        match self.scene {
            Scene::MsTp(_) if dice.one_in(800) => {
                let noise = (0..=dice.below(3)).map(|_| dice.below(256) as u8).collect();
                let noise = Burst { pause_ns: burst.pause_ns / 2, octets: noise };
                burst.pause_ns /= 2;
                self.stage.queue.push_front(burst);
                return noise;
            }
            Scene::MsTp(_) if dice.one_in(400) => {
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
        octets as u64 * 10_000_000_000 / self.baud
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

// ---- MS/TP ----

const TOKEN: u8 = 0;
const POLL_FOR_MASTER: u8 = 1;
const REPLY_TO_POLL: u8 = 2;
const EXPECTING_REPLY: u8 = 5;
const NOT_EXPECTING_REPLY: u8 = 6;
const REPLY_POSTPONED: u8 = 7;
/// From a data type to the COBS-encoded one for the same with more than [`PLAIN_MAX`] octets.
const EXTENDED: u8 = 27;
const PLAIN_MAX: usize = 501;
const BROADCAST: u8 = 255;
/// Masters have the addresses below this.
const MASTER_ADDRESSES: u8 = 128;
/// The masters that are always there, and how many objects each has: the list of the first is
/// too long for a plain frame.
const MASTERS: [(u8, u32); 6] = [(0, 140), (1, 30), (2, 24), (5, 24), (8, 85), (16, 12)];

// Silences in microseconds. Clause 9 allows 15 ms to use the token and 250 ms to reply, and
// takes a token or a poll for unheard after 20 to 35 ms.
const OWN_GAP: RangeInclusive<u32> = 300..=1_500;
const TURNAROUND: RangeInclusive<u32> = 1_000..=9_000;
const REPLY_DELAY: RangeInclusive<u32> = 3_000..=25_000;
const USAGE_TIMEOUT: RangeInclusive<u32> = 22_000..=34_000;
/// What a node waits at least before it drives the line: 40 bit times.
const TURNAROUND_OCTETS: usize = 4;

// Clause 9.4 and Annex G: x^8 + x^7 + 1, the CRC of HDLC, CRC-32K.
static HEADER_CRC: Crc<u8> = Crc::<u8>::new(&Algorithm {
    width: 8,
    poly: 0x81,
    init: 0xff,
    refin: true,
    refout: true,
    xorout: 0xff,
    check: 0x89,
    residue: 0x55,
});
static DATA_CRC: Crc<u16> = Crc::<u16>::new(&crc::CRC_16_IBM_SDLC);
static EXTENDED_CRC: Crc<u32> =
    Crc::<u32>::new(&Algorithm { xorout: 0xffff_ffff, ..crc::CRC_32_MEF });

/// An NPDU with its APDU, and the one that answers it. `#`: invoke ID; of the device that is
/// asked, or that tells unasked: `@` its object identifier, `$` its temperature, `=` a setpoint
/// for it, `*` the list of its objects.
type Talk = (&'static str, &'static str);

const NOTHING: Talk = ("", "");
/// ReadProperty: analog input 1, present value.
const READ: Talk =
    ("0104 0005 # 0c | 0c 00000001, 19 55", "0100 30 # 0c | 0c 00000001, 19 55, 3e 44 $ 3f");
/// ReadPropertyMultiple: of the same also units (degrees Celsius), name and status flags.
const READ_MANY: Talk = (
    "0104 0005 # 0e | 0c 00000001, 1e 09 55, 09 75, 09 4d, 09 6f 1f",
    "0100 30 # 0e | 0c 00000001, 1e 29 55 4e 44 $ 4f, 29 75 4e 91 3e 4f, \
     29 4d 4e 75 0a 00 'Zone temp' 4f, 29 6f 4e 82 04 00 4f 1f",
);
/// ReadProperty: object list.
const READ_LIST: Talk =
    ("0104 0005 # 0c | 0c @, 19 4c", "0100 30 # 0c | 0c @, 19 4c, 3e c4 @ * 3f");
/// WriteProperty: analog value 1, present value, priority 8.
const WRITE: Talk = ("0104 0005 # 0f | 0c 00800001, 19 55, 3e 44 = 3f, 49 08", "0100 20 # 0f");
/// UnconfirmedCOVNotification: subscription 7, analog input 1, for ever.
const NOTIFY: Talk = (
    "0100 1002 | 09 07, 1c @, 2c 00000001, 39 00, 4e 09 55 2e 44 $ 2f, 09 6f 2e 82 04 00 2f 4f",
    "",
);
/// Who-Is everyone; I-Am with APDUs up to 1476 octets, no segments, vendor 555 (for examples).
const WHO_IS: Talk = ("0120 ffff 00 ff | 1008", "0100 1000 | c4 @, 22 05c4, 91 03, 22 022b");

/// What a master says with the token before it passes it on.
const TALKS: [Talk; 28] = [
    READ, NOTHING, WHO_IS, NOTHING, READ, NOTIFY, NOTHING, READ_MANY, NOTHING, WRITE, NOTHING,
    READ, NOTHING, NOTHING, READ_LIST, NOTHING, READ, NOTHING, NOTIFY, NOTHING, NOTHING, READ,
    NOTHING, NOTHING, READ_MANY, NOTHING, NOTHING, READ,
];

#[derive(Debug)]
struct Master {
    mac: u8,
    objects: Vec<u8>,
    celsius: f32,
    /// What it will say to whom when it gets the token.
    owed: Vec<(u8, Vec<u8>)>,
}

impl Master {
    fn new((mac, objects): (u8, u32)) -> Self {
        // Inputs, outputs and values, analog and binary, in turn.
        let objects = (0..objects).flat_map(|i| {
            let [a, b, c, d] = (((i % 6) << 22) | (1 + i / 6)).to_be_bytes();
            [0xc4, a, b, c, d]
        });
        let celsius = 20.0 + f32::from(mac % 7) / 2.0;
        Self { mac, objects: objects.collect(), celsius, owed: Vec::new() }
    }

    fn fill(&self, template: &str, invoke_id: u8) -> Vec<u8> {
        let device = ((8 << 22) | (260_000 + u32::from(self.mac))).to_be_bytes();
        let celsius = self.celsius.to_be_bytes();
        let setpoint = self.celsius.round().to_be_bytes();
        let fields: [(char, &[u8]); 5] = [
            ('#', &[invoke_id]),
            ('@', &device),
            ('$', &celsius),
            ('=', &setpoint),
            ('*', &self.objects),
        ];
        fill(template, &fields)
    }
}

#[derive(Debug)]
struct Trunk {
    ring: Vec<Master>,
    /// Whose turn it is in the ring.
    holder: usize,
    laps: usize,
    holds: usize,
    invoke_id: u8,
    /// Type and source of the last frame.
    last: (u8, u8),
}

impl Trunk {
    fn new() -> Self {
        let ring = MASTERS.into_iter().map(Master::new).collect();
        Self { ring, holder: 0, laps: 0, holds: 0, invoke_id: 0, last: (TOKEN, BROADCAST) }
    }

    /// All that is said from getting the token to passing it on.
    fn hold_token(&mut self, stage: &mut Stage) {
        let holder = &mut self.ring[self.holder];
        let mac = holder.mac;
        stage.dice.drift(&mut holder.celsius);
        for (to, npdu) in std::mem::take(&mut holder.owed) {
            self.send(stage, NOT_EXPECTING_REPLY, to, mac, &npdu);
        }
        let talk = stage.dice.choose(&TALKS, self.holds);
        if talk.0.starts_with("0104") {
            self.ask(stage, mac, talk);
        } else if talk != NOTHING {
            let npdu = self.ring[self.holder].fill(talk.0, 0);
            self.send(stage, NOT_EXPECTING_REPLY, BROADCAST, mac, &npdu);
            for other in self.ring.iter_mut().filter(|other| other.mac != mac) {
                let answer = other.fill(talk.1, 0);
                other.owed.extend((!answer.is_empty()).then_some((BROADCAST, answer)));
            }
        }
        self.holds = self.holds.saturating_add(1);
        self.pass_token(stage, mac);
    }

    /// A question to another master and its answer, now or when it has the token.
    fn ask(&mut self, stage: &mut Stage, mac: u8, talk: Talk) {
        let others = self.ring.len() as u32 - 1;
        let peer = self.holder + 1 + stage.dice.below(others) as usize;
        let peer = peer % self.ring.len();
        let asked = &self.ring[peer];
        self.invoke_id = self.invoke_id.wrapping_add(1);
        let [question, answer] = [talk.0, talk.1].map(|npdu| asked.fill(npdu, self.invoke_id));
        let peer_mac = asked.mac;
        self.send(stage, EXPECTING_REPLY, peer_mac, mac, &question);
        if stage.dice.one_in(15) {
            self.send(stage, REPLY_POSTPONED, mac, peer_mac, &[]);
            self.ring[peer].owed.push((mac, answer));
        } else {
            self.send(stage, NOT_EXPECTING_REPLY, mac, peer_mac, &answer);
        }
    }

    /// Polls for masters now and then, and passes the token. A guest that answers a poll gets
    /// it next; one that has left does not take it, and the master behind it must be found.
    fn pass_token(&mut self, stage: &mut Stage, mac: u8) {
        let mut next = (self.holder + 1) % self.ring.len();
        let next_mac = self.ring[next].mac;
        let gap = (next_mac + MASTER_ADDRESSES - mac - 1) % MASTER_ADDRESSES;
        // Each fourth time instead of each fiftieth, so that a short capture shows a poll.
        if gap > 0 && (self.laps + self.holder) % 4 == 2 {
            let polled = mac + 1 + (self.laps / 4 % usize::from(gap)) as u8;
            self.send(stage, POLL_FOR_MASTER, polled, mac, &[]);
            if next != 0 && self.ring.len() == MASTERS.len() && stage.dice.one_in(25) {
                self.send(stage, REPLY_TO_POLL, mac, polled, &[]);
                self.ring.insert(next, Master::new((polled, 6)));
            }
        } else if MASTERS.iter().all(|master| master.0 != next_mac) && stage.dice.one_in(25) {
            self.ring.remove(next);
            next %= self.ring.len();
            let found = self.ring[next].mac;
            self.send(stage, TOKEN, next_mac, mac, &[]);
            self.send(stage, TOKEN, next_mac, mac, &[]);
            for polled in next_mac + 1..=found {
                self.send(stage, POLL_FOR_MASTER, polled, mac, &[]);
            }
            self.send(stage, REPLY_TO_POLL, mac, found, &[]);
        }
        self.send(stage, TOKEN, self.ring[next].mac, mac, &[]);
        self.laps = self.laps.wrapping_add(usize::from(next == 0));
        self.holder = next;
    }

    /// Puts a frame on the line. The one before it says how long the silence between them is.
    fn send(&mut self, stage: &mut Stage, kind: u8, to: u8, from: u8, data: &[u8]) {
        let (pause_us, at_least_ns) = match self.last {
            (TOKEN | POLL_FOR_MASTER, last) if last == from => (USAGE_TIMEOUT, 0),
            (_, last) if last == from => (OWN_GAP, 0),
            (EXPECTING_REPLY, _) => (REPLY_DELAY, stage.octets_ns(TURNAROUND_OCTETS)),
            _ => (TURNAROUND, stage.octets_ns(TURNAROUND_OCTETS)),
        };
        let pause_ns = at_least_ns.max(u64::from(stage.dice.within(pause_us)) * 1000);
        let mut octets = frame(kind, to, from, data);
        if !data.is_empty() && from % 2 == 1 {
            octets.push(0xff); // optional; as if the odd ones were of a vendor that sends it
        }
        stage.queue.push_back(Burst { pause_ns, octets });
        self.last = (kind, from);
    }
}

/// A frame with its CRCs; COBS encoded if `data` is too long for a plain one.
fn frame(kind: u8, to: u8, from: u8, data: &[u8]) -> Vec<u8> {
    let (kind, coded) = if data.len() > PLAIN_MAX {
        let coded = cobs(data);
        let crc = cobs(&EXTENDED_CRC.checksum(&coded).to_le_bytes());
        (kind + EXTENDED, [coded, crc].concat())
    } else if data.is_empty() {
        (kind, Vec::new())
    } else {
        (kind, [data, &DATA_CRC.checksum(data).to_le_bytes()].concat())
    };
    // Two octets less than follow the header, in a COBS frame too.
    let [high, low] = (coded.len().saturating_sub(2) as u16).to_be_bytes();
    let header = [kind, to, from, high, low];
    [&[0x55, 0xff], &header[..], &[HEADER_CRC.checksum(&header)], &coded].concat()
}

/// Consistent Overhead Byte Stuffing, masked so that the preamble's 55 never occurs.
fn cobs(data: &[u8]) -> Vec<u8> {
    let (mut out, mut code_at) = (vec![1], 0);
    for (i, &octet) in data.iter().enumerate() {
        if octet != 0 {
            out.push(octet);
            out[code_at] += 1;
        }
        if octet == 0 || (out[code_at] == 0xff && i + 1 < data.len()) {
            code_at = out.len();
            out.push(1);
        }
    }
    out.iter().map(|octet| octet ^ 0x55).collect()
}

// ---- RIOT ----

const BANNER: &str = "main(): This is RIOT! (Version: 2026.01)\n\
                      RIOT sniffer application, simulated: no radio is listening\n> ";
const NODES: u32 = 3;
/// From a request to its answer, and from a frame to its acknowledgement.
const ANSWER_US: u64 = 4_000;
const ACK_US: u64 = 192;
/// In the first octet of a frame.
const ACK_REQUEST: u8 = 0x20;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What is in front of a packet, MAC header and compressed IPv6 header (RFC 6282), and the
/// packet's protocol. `%`: sequence number; `>` and `<`: addresses to and from.
type Carrier = (&'static str, u8);

const UNICAST: Carrier = ("61cc % 2300 > < | 7a33 3a", ICMPV6);
const DATAGRAM: Carrier = ("61cc % 2300 > < | 7e33 f0", UDP);
/// To all RPL nodes.
const MULTICAST: Carrier = ("41c8 % 2300 ffff < | 7b3b 3a 1a", ICMPV6);
/// Nothing of IPv6.
const BARE: Carrier = ("", 0);

/// A carrier, what one node sends with it and what another answers. `#`: a number for both;
/// `$`: the temperature; `^`: the sender's rank. Lengths and checksums are still 0.
type Exchange = (Carrier, &'static str, &'static str);

const ECHO: Exchange =
    (UNICAST, "8000 0000 | 5a01 # 'serialshark'", "8100 0000 | 5a01 # 'serialshark'");
/// CoAP: GET /temperature; 2.05 Content.
const COAP: Exchange = (
    DATAGRAM,
    "1633 1633 0000 0000 | 4201 # # bb 'temperature'",
    "1633 1633 0000 0000 | 6245 # # c0 ff $",
);
/// RPL: DODAG Information Object with rank, root and configuration.
const ADVERTISE: Exchange = (MULTICAST, DIO, "");
const DIO: &str = "9b01 0000 | 00 01 ^00 90 00 00 00, 20010db8 00000000 00534852 4b000001, \
                   04 0e 00 14 03 0a 0700 0100 0000 00 3c 003c";
/// RPL: DODAG Information Solicitation.
const SOLICIT: Exchange = (MULTICAST, "9b00 0000 | 0000", DIO);
/// Beacon Request; the beacon of a router that permits association.
const BEACON: Exchange = (BARE, "0308 % ffff ffff 07", "00c0 % 2300 < ff8f 00 00");

const EXCHANGES: [Exchange; 11] =
    [BEACON, SOLICIT, ECHO, COAP, ECHO, COAP, ADVERTISE, ECHO, COAP, ECHO, COAP];
/// There is a line of log after one of so many.
const LOG_EVERY: usize = 16;

/// Low octet first: a locally administered EUI-64.
fn mac_address(node: u8) -> [u8; 8] {
    [node, 0x00, 0x00, 0x4b, 0x52, 0x48, 0x53, 0x02]
}

/// The link-local address of the same node (RFC 4291, appendix A).
fn ip_address(node: u8) -> [u8; 16] {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x00, 0x53, 0x48, 0x52, 0x4b, 0x00, 0x00, node]
}

const ALL_RPL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a];

/// The air, as the sniffer hears it, and the line that it writes to.
#[derive(Debug, Default)]
struct Radio {
    /// When the last frame on the air ended, in microseconds since boot.
    air_us: u64,
    /// When the line has said all.
    line_ns: u64,
    exchanges: usize,
    frames: u32,
    sequence: u8,
    celsius: f32,
}

impl Radio {
    fn exchange(&mut self, stage: &mut Stage) {
        if self.frames == 0 {
            self.print(stage, BANNER.into());
        }
        self.air_us = self.air_us.max(self.line_ns / 1000);
        stage.dice.drift(&mut self.celsius);
        self.air_us += u64::from(stage.dice.within(30_000..=250_000));
        let node = 1 + stage.dice.below(NODES) as u8;
        let other = 1 + ((u32::from(node) + stage.dice.below(NODES - 1)) % NODES) as u8;
        let (carrier, question, answer) = stage.dice.choose(&EXCHANGES, self.exchanges);
        self.send(stage, carrier, node, other, question);
        if !answer.is_empty() {
            self.air_us += ANSWER_US;
            self.send(stage, carrier, other, node, answer);
        }
        self.exchanges = self.exchanges.wrapping_add(1);
        if self.exchanges % LOG_EVERY == LOG_EVERY / 4 {
            self.print(stage, format!("sniffer: {} frames, none dropped\n", self.frames));
        }
    }

    /// A packet on the air, and its acknowledgement if it asks for one.
    fn send(&mut self, stage: &mut Stage, carrier: Carrier, from: u8, to: u8, packet: &str) {
        self.sequence = self.sequence.wrapping_add(1);
        let number = (self.exchanges as u16).to_be_bytes();
        let celsius = format!("{:.2}", self.celsius);
        let fields: [(char, &[u8]); 6] = [
            ('%', &[self.sequence]),
            ('>', &mac_address(to)),
            ('<', &mac_address(from)),
            ('#', &number),
            ('$', celsius.as_bytes()),
            ('^', &[if from == 1 { 1 } else { 2 }]),
        ];
        let mut packet = fill(packet, &fields);
        let destination = if carrier == MULTICAST { ALL_RPL_NODES } else { ip_address(to) };
        let (header, next_header) = carrier;
        if next_header == UDP {
            packet[5] = packet.len() as u8;
        }
        let sum = checksum(&ip_address(from), &destination, next_header, &packet);
        match next_header {
            UDP => {
                packet[6..8].copy_from_slice(&sum);
                packet.drain(4..6); // the length is compressed away
            }
            ICMPV6 => packet[2..4].copy_from_slice(&sum),
            _ => {}
        }
        let psdu = [fill(header, &fields), packet].concat();
        self.hear(stage, &psdu);
        if psdu[0] & ACK_REQUEST != 0 {
            self.air_us += ACK_US;
            self.hear(stage, &[0x02, 0x00, self.sequence]);
        }
    }

    /// A frame on the air. Its record waits until it has ended and the line is free.
    fn hear(&mut self, stage: &mut Stage, psdu: &[u8]) {
        let (len, time) = (psdu.len(), self.air_us);
        let lqi = stage.dice.within(0x98..=0xe8);
        let mut text = format!("rftest-rx --- len {len:08X} lqi {lqi:02X} rx_time {time:016X}\n");
        for octet in psdu {
            let _ = write!(text, "{octet:02X} "); // cannot fail
        }
        text.push_str("\n\n");
        // Preamble, delimiter and length are before the frame, the FCS behind it.
        self.air_us += (len as u64 + 6 + 2) * 32;
        self.frames = self.frames.wrapping_add(1);
        self.print(stage, text);
    }

    fn print(&mut self, stage: &mut Stage, text: String) {
        let pause_ns = (self.air_us * 1000).saturating_sub(self.line_ns);
        self.line_ns += pause_ns + stage.octets_ns(text.len());
        stage.queue.push_back(Burst { pause_ns, octets: text.into() });
    }
}

/// RFC 8200, section 8.1, of a packet whose checksum is still 0; never 0.
fn checksum(source: &[u8], destination: &[u8], next_header: u8, packet: &[u8]) -> [u8; 2] {
    let pseudo = [0, packet.len() as u8, 0, next_header];
    let pairs = [source, destination, &pseudo, packet].concat();
    let sum = pairs.chunks(2).fold(0, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        (sum + (u32::from(pair[0]) << 8) + u32::from(low)) % 0xffff
    });
    (!(sum as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bursts(name: &str, count: usize) -> Vec<Burst> {
        let mut simulator = Simulator::named(name, 38_400).unwrap();
        (0..count).map(|_| simulator.next_burst()).collect()
    }

    #[test]
    fn it_is_the_same_each_time() {
        for name in Simulator::NAMES {
            assert_eq!(bursts(name, 2_000), bursts(name, 2_000));
        }
        assert!(Simulator::named("can", 38_400).is_none());
    }

    #[test]
    fn frames_are_those_of_the_standard() {
        assert_eq!(frame(TOKEN, 16, 5, &[]), fill("55ff 00 10 05 0000 8c", &[]));
        assert_eq!(
            frame(3, 7, 0, &[1, 0x22, 0x30]),
            fill("55ff 03 07 00 0003 c8 012230 10bd", &[])
        );
        let two_full_blocks = frame(NOT_EXPECTING_REPLY, 1, 2, &[0xaa; 508]);
        assert!(two_full_blocks.starts_with(&fill("55ff 21 01 02 0201 9d aaff", &[])));
        assert_eq!(two_full_blocks[8 + 510..], fill("5014422bd2", &[]));
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
