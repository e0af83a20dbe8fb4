//! eBUS of heating systems: telegrams of masters with the answers of slaves.
//!
//! ```text
//! AA | QQ | ZZ | PB | SB | NN | data (NN) | CRC            to all (ZZ = FE)
//!                                | ACK                     to a master
//!                                | ACK | NN | data | CRC | ACK    to a slave
//! AA
//! ```
//!
//! AA stands between telegrams, and alone while nobody speaks; it counts as padding. Inside of a
//! telegram A9 01 stands for AA and A9 00 for A9, and the CRCs are over what is on the wire. They are
//! of 8 bits; the source must be one of 25 masters, and NN at most 16. An ACK of FF asks for a
//! repetition, which follows without AA. A telegram that nobody acknowledges ends with AA, and is
//! good. Wireshark has no dissector for it, so packets are data with the name eBUS, and what they say
//! is in a comment.

use super::hunt::{Format, Found, Hunter, Judgement};
use super::upper::Upper;
use super::{Protocol, Setup};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Batch, Direction, LinkType, Notes};
use crc::{Algorithm, Crc};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "ebus",
    help: "eBUS of heating systems",
    line: Line::at(2400),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: true,
    when_silent: "check that the adapter is wired to the bus: AA comes all the time",
    when_senseless: "check the adapter's threshold: AA must not come as D5, BA, AB or F5",
    dissector: dissect::ebus::words,
    comment: true,
    // AA, a master, NN, CRC, and FE, an ACK or AA behind it.
    proof: |_| 28,
    ..Protocol::PLAIN
};

/// Between telegrams.
const SYN: u8 = 0xaa;
/// Starts two octets that stand for one.
const ESCAPE: u8 = 0xa9;
/// A telegram to all.
const BROADCAST: u8 = 0xfe;
const ACK: u8 = 0x00;
const NACK: u8 = 0xff;
/// Octets of data of a master or of a slave.
const MOST_DATA: u8 = 16;
/// Octets of the longest telegram: all of them escaped.
const MOST: usize = 2 * (6 + 16 + 1 + 2 + 16 + 1);
/// Octets that are a telegram cut off and not a master that lost the bus.
const LEAST: usize = 5;

static CRC: Crc<u8> = Crc::<u8>::new(&Algorithm {
    width: 8,
    poly: 0x9b,
    init: 0,
    refin: false,
    refout: false,
    xorout: 0,
    check: 0xea,
    residue: 0,
});

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<EBus> {
    Hunter::new(EBus { upper: Upper::new("data", "eBUS"), is_due: false }, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct EBus {
    upper: Upper,
    /// Whether the last octet was AA, or that of a good telegram.
    is_due: bool,
}

impl Format for EBus {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr(SYN, octets).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.is_due
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        match octets.first() {
            Some(&SYN) => Judgement::Pad(1),
            Some(_) if self.is_due => telegram(octets),
            _ => Judgement::Nothing,
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        if octets.first() == Some(&SYN) { Judgement::Pad(1) } else { Judgement::Nothing }
    }

    fn record(&self, telegram: &[u8], notes: Notes, out: &mut Batch) {
        self.upper.record(Direction::Unknown, [telegram, &[]], notes, out);
    }

    fn found(&mut self, found: Found) {
        self.is_due = matches!(found, Found::Good | Found::Mark);
    }

    fn reset(&mut self) {
        self.is_due = false;
    }
}

/// Why a telegram cannot be read on.
enum Stop {
    /// More octets are needed.
    More,
    /// It is followed by AA, or a check does not fit.
    Wrong,
    /// No telegram can be so.
    Noise,
}

/// Octets of a telegram, read one by one.
struct Symbols<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Symbols<'_> {
    fn next(&mut self) -> Result<u8, Stop> {
        let (symbol, len) = match self.octets[self.at..] {
            [] | [ESCAPE] => return Err(Stop::More),
            [SYN, ..] => return Err(Stop::Wrong),
            [ESCAPE, 0, ..] => (ESCAPE, 2),
            [ESCAPE, 1, ..] => (SYN, 2),
            [ESCAPE, SYN, ..] => return Err(Stop::Wrong),
            [ESCAPE, ..] => return Err(Stop::Noise),
            [symbol, ..] => (symbol, 1),
        };
        self.at += len;
        Ok(symbol)
    }

    /// NN, data and the CRC of all since `start`.
    fn data(&mut self, start: usize) -> Result<(), Stop> {
        let len = self.next()?;
        if len > MOST_DATA {
            return Err(Stop::Noise);
        }
        for _ in 0..len {
            self.next()?;
        }
        let crc = crc(&self.octets[start..self.at]);
        if self.next()? == crc { Ok(()) } else { Err(Stop::Wrong) }
    }

    /// Whether that is acknowledged; false if it is not, or AA follows.
    fn is_acknowledged(&mut self) -> Result<bool, Stop> {
        match self.octets.get(self.at) {
            Some(&SYN) => Ok(false),
            Some(&octet @ (ACK | NACK)) => {
                self.at += 1;
                Ok(octet == ACK)
            }
            Some(_) => Err(Stop::Wrong),
            None => Err(Stop::More),
        }
    }

    /// All of a telegram.
    fn telegram(&mut self) -> Result<(), Stop> {
        let (from, to, _, _) = (self.next()?, self.next()?, self.next()?, self.next()?);
        // Nobody speaks to itself; zeros would be such telegrams, check and all.
        if !is_master(from) || from == to {
            return Err(Stop::Noise);
        }
        self.data(0)?;
        if to == BROADCAST || !self.is_acknowledged()? || is_master(to) {
            return Ok(());
        }
        self.data(self.at)?;
        self.is_acknowledged().map(|_| ())
    }
}

/// The check octet of these: each is added behind the division, so that the last one is not divided.
fn crc(octets: &[u8]) -> u8 {
    octets.split_last().map_or(0, |(last, octets)| CRC.checksum(octets) ^ last)
}

/// What the telegram is that starts at the first octet, behind AA.
fn telegram(octets: &[u8]) -> Judgement {
    let mut symbols = Symbols { octets, at: 0 };
    let read = symbols.telegram();
    let len = symbols.at;
    let end = octets.iter().take(MOST + 1).position(|octet| *octet == SYN);
    match (read, end) {
        (Ok(()), _) => Judgement::Good(len),
        (Err(Stop::Noise), _) => Judgement::Nothing,
        (Err(_), Some(end)) if end < LEAST => Judgement::Nothing,
        (Err(_), Some(end)) if len == end => Judgement::Cut(end),
        (Err(_), Some(end)) => Judgement::Bad(end),
        (Err(_), None) if octets.len() > MOST => Judgement::Nothing,
        (Err(_), None) if octets.len() < LEAST => Judgement::More(None),
        (Err(_), None) => Judgement::More(Some(LEAST)),
    }
}

/// Whether both halves of an address are one of five: then it is that of a master.
fn is_master(address: u8) -> bool {
    let is_one = |half: u8| matches!(half, 0 | 1 | 3 | 7 | 15);
    is_one(address >> 4) && is_one(address & 0x0f)
}
