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
//! repetition, which follows without AA: of all, or of the slave's part alone, which is kept with the
//! telegram that it belongs to. A telegram that nobody acknowledges ends with AA, and is
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
    weak: true,
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
const MOST: usize = 2 * (6 + 16 + 1 + 2 * (2 + 16 + 1));
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
    Hunter::new(
        EBus { upper: Upper::new("data", "eBUS"), is_due: false, is_behind_damage: false },
        setup,
    )
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct EBus {
    upper: Upper,
    /// Whether the last octet was AA, or that of a good telegram.
    is_due: bool,
    /// Whether it was that of a damaged telegram, which may be said again at once.
    is_behind_damage: bool,
}

impl Format for EBus {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr(SYN, octets).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.is_due || self.is_behind_damage
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        match octets.first() {
            Some(&SYN) => Judgement::Pad(1),
            Some(_) if self.is_due => telegram(octets, false),
            Some(_) if self.is_behind_damage => match telegram(octets, false) {
                Judgement::Good(len) => Judgement::Good(len),
                _ => Judgement::Nothing,
            },
            _ => Judgement::Nothing,
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        if octets.first() == Some(&SYN) { Judgement::Pad(1) } else { Judgement::Nothing }
    }

    fn judge_last(&self, octets: &[u8]) -> Judgement {
        match self.judge(octets) {
            Judgement::More(_) if self.is_due => telegram(octets, true),
            judgement => judgement,
        }
    }

    fn record(&self, telegram: &[u8], notes: Notes, out: &mut Batch) {
        self.upper.record(Direction::Unknown, [telegram, &[]], notes, out);
    }

    fn found(&mut self, found: Found, _: &[u8]) {
        self.is_due = matches!(found, Found::Good | Found::Mark);
        self.is_behind_damage = found == Found::Damaged;
    }

    fn reset(&mut self) {
        self.is_due = false;
        self.is_behind_damage = false;
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
    /// Whether no more of them will come.
    is_last: bool,
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
        let answered = self.at;
        if self.is_acknowledged()? || self.at == answered {
            return Ok(());
        }
        // The slave says its part again, or nothing.
        let refused = self.at;
        match self.data(refused).and_then(|()| self.is_acknowledged()) {
            Err(Stop::More) if !self.is_last => return Err(Stop::More),
            Err(_) => self.at = refused,
            Ok(_) => {}
        }
        Ok(())
    }
}

/// The check octet of these: each is added behind the division, so that the last one is not divided.
fn crc(octets: &[u8]) -> u8 {
    octets.split_last().map_or(0, |(last, octets)| CRC.checksum(octets) ^ last)
}

/// What the telegram is that starts at the first octet, behind AA; with `is_last` nothing follows.
fn telegram(octets: &[u8], is_last: bool) -> Judgement {
    let mut symbols = Symbols { octets, at: 0, is_last };
    let read = symbols.telegram();
    let len = symbols.at;
    let end = octets.iter().take(MOST + 1).position(|octet| *octet == SYN);
    match (read, end) {
        (Ok(()), _) => Judgement::Good(len),
        (Err(Stop::Noise), _) => Judgement::Nothing,
        (Err(_), Some(end)) if end < LEAST => Judgement::Nothing,
        (Err(_), Some(end)) if len == end => Judgement::Cut(end),
        // Its receiver found it damaged as well, and it is said again.
        (Err(_), Some(_)) if is_refused(&octets[len..]) => Judgement::Bad(len + 1),
        (Err(_), Some(end)) => Judgement::Bad(end),
        (Err(_), None) if octets.len() > MOST => Judgement::Nothing,
        (Err(_), None) if octets.len() < LEAST => Judgement::More(None),
        (Err(_), None) => Judgement::More(Some(LEAST)),
    }
}

/// Whether a damaged telegram is followed by these: not acknowledged, and a good one.
fn is_refused(behind: &[u8]) -> bool {
    matches!(*behind, [NACK, ref again @ ..] if matches!(telegram(again, false), Judgement::Good(_)))
}

/// Whether both halves of an address are one of five: then it is that of a master.
fn is_master(address: u8) -> bool {
    let is_one = |half: u8| matches!(half, 0 | 1 | 3 | 7 | 15);
    is_one(address >> 4) && is_one(address & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu;
    use crate::framing::Framer as _;
    use crate::packet::Damage;
    use crate::time::Timestamp;

    fn telegrams(line: &[u8]) -> Vec<(Vec<u8>, Damage)> {
        let setup = Setup::new(2_400);
        let mut framer = framer(&setup);
        let mut batch = Batch::new(0);
        for octet in line {
            framer.push(&[*octet], Timestamp::default(), &mut batch);
        }
        framer.finish(&mut batch);
        let found = batch
            .packets()
            .map(|packet| (exported_pdu::split(packet.data).unwrap().1.to_vec(), packet.damage));
        found.collect()
    }

    const ASKED: &[u8] = b"\x10\x08\xb5\x11\x01\x01\x89";
    const ANSWER: &[u8] = b"\x09\x4a\x38\x00\x80\x1c\x17\x11\x00\xff\xa5";

    #[test]
    fn an_answer_that_is_said_again_is_of_its_telegram() {
        let good = |parts: &[&[u8]]| (parts.concat(), Damage::NONE);
        let again = [ASKED, b"\0", ANSWER, b"\xff", ANSWER, b"\0"];
        let refused = [ASKED, b"\0", ANSWER, b"\xff"];
        let line = [b"\xaa", &again.concat()[..], b"\xaa", &refused.concat(), b"\xaa"].concat();
        assert_eq!(telegrams(&line), [good(&again), good(&refused)]);
        let line = [b"\xaa", &refused.concat()[..], b"\x09\x4a\x38\xaa"].concat();
        assert_eq!(telegrams(&line), [good(&refused)]);
        let line = [b"\xaa", &refused.concat()[..]].concat();
        assert_eq!(telegrams(&line), [good(&refused)]);
    }

    #[test]
    fn a_telegram_that_is_said_again_behind_a_damaged_one_is_kept() {
        let whole = [ASKED, b"\0", ANSWER, b"\0"].concat();
        let mut damaged = [ASKED, b"\xff"].concat();
        damaged[5] ^= 0x40;
        let line = [b"\xaa", &damaged[..], &whole, b"\xaa"].concat();
        let expected = [(damaged, Damage::CRC_ERROR), (whole, Damage::NONE)];
        assert_eq!(telegrams(&line), expected);
    }
}
