//! A simulated MS/TP trunk: six masters pass the token, poll for others and speak BACnet.

use super::{Burst, Stage, fill};
use crate::framing::mstp::{DATA_CRC, EXTENDED_CRC, HEADER_CRC};
use std::ops::RangeInclusive;

pub(super) const TOKEN: u8 = 0;
pub(super) const POLL_FOR_MASTER: u8 = 1;
const REPLY_TO_POLL: u8 = 2;
pub(super) const EXPECTING_REPLY: u8 = 5;
pub(super) const NOT_EXPECTING_REPLY: u8 = 6;
const REPLY_POSTPONED: u8 = 7;
/// From a data type to the COBS-encoded one for the same with more than [`PLAIN_MAX`] octets.
const EXTENDED: u8 = 27;
const PLAIN_MAX: usize = 501;
const BROADCAST: u8 = 255;
/// Up to which address nodes look for others: room for growth, and little time lost.
const MAX_MASTER: u8 = 20;
/// Tokens after which a node looks for others (clause 9.5.3, Npoll).
const NPOLL: u32 = 50;
/// Rounds of the token before a guest may join.
const QUIET_LAPS: usize = 12;
/// Turns between two searches for all devices, after the first ones.
const SEARCH: usize = 4_000;
/// The masters that are always there, and how many objects each has: the list of the first is
/// too long for a plain frame.
const MASTERS: [(u8, u32); 6] = [(0, 140), (1, 30), (2, 24), (5, 24), (8, 85), (16, 12)];

// Silences in microseconds. Clause 9 allows 15 ms to use the token and 250 ms to reply, and
// takes a token or a poll for unheard after 20 to 35 ms.
const OWN_GAP: RangeInclusive<u32> = 300..=1_500;
const TURNAROUND: RangeInclusive<u32> = 1_000..=9_000;
const REPLY_DELAY: RangeInclusive<u32> = 3_000..=25_000;
const USAGE_TIMEOUT: RangeInclusive<u32> = 21_000..=25_000;
/// What a node waits at least before it drives the line: 40 bit times.
const TURNAROUND_OCTETS: usize = 4;

/// An NPDU with its APDU, and the one that answers it. `#`: invoke ID; of the device that is
/// asked, or that tells unasked: `@` its object identifier, `$` its temperature, `=` a setpoint
/// for it, `*` the list of its objects, `%` its number.
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
/// ReadProperty: name of the device.
const READ_NAME: Talk =
    ("0104 0005 # 0c | 0c @, 19 4d", "0100 30 # 0c | 0c @, 19 4d, 3e 75 07 00 'VAV-' % 3f");
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
const TALKS: [Talk; 29] = [
    READ, NOTHING, WHO_IS, NOTHING, READ, NOTIFY, NOTHING, READ_MANY, NOTHING, WRITE, NOTHING,
    READ, NOTHING, NOTHING, READ_LIST, NOTHING, READ, NOTHING, NOTIFY, NOTHING, NOTHING, READ,
    NOTHING, NOTHING, READ_MANY, NOTHING, NOTHING, READ, READ_NAME,
];

#[derive(Debug)]
struct Master {
    mac: u8,
    objects: Vec<u8>,
    celsius: f32,
    /// What it will say to whom when it gets the token.
    owed: Vec<(u8, Vec<u8>)>,
    /// Tokens that it got since it looked for others.
    tokens: u32,
    /// Which address it polls next, while it looks for others.
    poll: Option<u8>,
}

impl Master {
    fn new((mac, objects): (u8, u32)) -> Self {
        // Inputs, outputs and values, analog and binary, in turn.
        let objects = (0..objects).flat_map(|i| {
            let [a, b, c, d] = (((i % 6) << 22) | (1 + i / 6)).to_be_bytes();
            [0xc4, a, b, c, d]
        });
        let celsius = 20.0 + f32::from(mac % 7) / 2.0;
        // They begin at different times, so that a short capture shows a poll.
        let tokens = NPOLL.saturating_sub(u32::from(mac.saturating_sub(2)) * 4);
        Self { mac, objects: objects.collect(), celsius, owed: Vec::new(), tokens, poll: None }
    }

    fn fill(&self, template: &str, invoke_id: u8) -> Vec<u8> {
        let device = ((8 << 22) | (260_000 + u32::from(self.mac))).to_be_bytes();
        let celsius = self.celsius.to_be_bytes();
        let setpoint = self.celsius.round().to_be_bytes();
        let number = [b'0' + self.mac / 10 % 10, b'0' + self.mac % 10];
        let fields: [(char, &[u8]); 6] = [
            ('%', &number),
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
pub(super) struct Trunk {
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
    pub(super) fn new() -> Self {
        let ring = MASTERS.into_iter().map(Master::new).collect();
        Self { ring, holder: 0, laps: 0, holds: 0, invoke_id: 0, last: (TOKEN, BROADCAST) }
    }

    /// All that is said from getting the token to passing it on.
    pub(super) fn hold_token(&mut self, stage: &mut Stage) {
        let holder = &mut self.ring[self.holder];
        let mac = holder.mac;
        stage.dice.drift(&mut holder.celsius);
        for (to, npdu) in std::mem::take(&mut holder.owed) {
            self.send(stage, NOT_EXPECTING_REPLY, to, mac, &npdu);
        }
        let mut talk = stage.dice.choose(&TALKS, self.holds);
        if talk == WHO_IS && self.holds >= TALKS.len() {
            // A client that looks for all devices every few seconds would be a fault.
            talk = NOTHING;
        } else if self.holds % SEARCH == SEARCH - 1 {
            talk = WHO_IS;
        }
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

    /// Looks for others if it is time, and passes the token. Who answers a poll gets it next: one
    /// guest comes, and stays.
    fn pass_token(&mut self, stage: &mut Stage, mac: u8) {
        let mut next = (self.holder + 1) % self.ring.len();
        if let Some(polled) = self.poll(self.ring[next].mac) {
            self.send(stage, POLL_FOR_MASTER, polled, mac, &[]);
            let has_room = next != 0 && self.ring.len() == MASTERS.len();
            if has_room && self.laps > QUIET_LAPS && stage.dice.one_in(4) {
                self.send(stage, REPLY_TO_POLL, mac, polled, &[]);
                self.ring.insert(next, Master::new((polled, 6)));
                self.ring[self.holder].poll = None;
            }
        }
        next %= self.ring.len();
        self.send(stage, TOKEN, self.ring[next].mac, mac, &[]);
        self.laps = self.laps.wrapping_add(usize::from(next == 0));
        self.holder = next;
    }

    /// The address that the holder polls in this turn: after 49 turns without, one in each turn
    /// until all before the next master have been asked (clause 9.5.6).
    fn poll(&mut self, next: u8) -> Option<u8> {
        let holder = &mut self.ring[self.holder];
        let after = |mac: u8| if mac >= MAX_MASTER { 0 } else { mac + 1 };
        holder.tokens += 1;
        if holder.tokens >= NPOLL {
            holder.poll = Some(after(holder.mac));
        }
        if holder.poll.is_some() {
            holder.tokens = 0;
        }
        let polled = holder.poll.take().filter(|polled| *polled != next)?;
        holder.poll = Some(after(polled));
        Some(polled)
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
pub(super) fn frame(kind: u8, to: u8, from: u8, data: &[u8]) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
