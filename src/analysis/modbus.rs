//! A Modbus line as it was heard (Modbus over serial line 1.02): what each unit is asked, how it
//! answers, and when it does not. Pairs each request with the next frame; pure, in bounded memory.

use super::distribution::Distribution;
use super::{Moment, Record, Seen};
use crate::exported_pdu;
use crate::framing;
use crate::packet::Direction;
use std::collections::BTreeMap;

/// What marks the function of an exception.
const EXCEPTION: u8 = 0x80;
/// Requests to this unit are for all, and nobody answers.
const BROADCAST: u8 = 0;
/// Of a request as many octets are kept, to know it again.
const KEPT: usize = 256;
/// Different exceptions of a unit that are kept.
const MOST_EXCEPTIONS: usize = 64;
/// What comes so much later answers nothing: a clock that was set, a capture that paused.
const BREAK_NS: u64 = 10_000_000_000;

/// Whether a packet ends in the CRC of its frame; so does what has no frame in it.
pub fn crc_fits(packet: &[u8]) -> bool {
    exported_pdu::split(packet).is_none_or(|(_, frame)| framing::modbus::crc_fits(frame))
}

/// What is known of a unit.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// Requests to it, retries counted in.
    pub requests: u32,
    /// Answers of it, exceptions counted in.
    pub responses: u32,
    /// Requests by function.
    pub functions: BTreeMap<u8, u32>,
    /// Exceptions by function and code.
    pub exceptions: BTreeMap<(u8, u8), u32>,
    /// All exceptions.
    pub refused: Seen,
    /// From its request to its answer, in microseconds.
    pub response: Distribution,
    /// The slowest answers: their value is the time in microseconds.
    pub slow: Seen,
    /// Requests to which nothing came, and nothing damaged either.
    pub timeouts: Seen,
    /// Requests that were the same as the one before, which had no good answer.
    pub retries: u32,
    /// Damaged frames where its answer was to come.
    pub damaged: Seen,
    /// Requests without a good answer, one after the other, up to now.
    pub in_vain: u32,
    /// When the first of these was.
    pub in_vain_since: Moment,
    /// The last request, if it has had no good answer.
    unheard: Option<Vec<u8>>,
}

/// A request that is not answered yet.
#[derive(Clone, Debug)]
struct Asked {
    unit: u8,
    function: u8,
    at: Moment,
    end_ns: u64,
    is_damaged: bool,
}

/// All that is known of a line.
#[derive(Clone, Debug)]
pub struct Modbus {
    /// By address.
    pub units: BTreeMap<u8, Unit>,
    /// Damaged frames that were no unit's answer.
    pub damaged_elsewhere: Seen,
    /// Answers that nobody asked for.
    pub unasked: Seen,
    /// How long an octet takes; 0 if the rate is not known, and times are from first octet to first.
    octet_ns: u64,
    asked: Option<Asked>,
}

impl Modbus {
    /// Nothing yet, of a line on which an octet takes this long, or 0 if that is not known.
    pub fn new(octet_ns: u64) -> Self {
        Self {
            units: BTreeMap::new(),
            damaged_elsewhere: Seen::default(),
            unasked: Seen::default(),
            octet_ns,
            asked: None,
        }
    }

    /// Whether times are from the end of the request, and not from its beginning.
    pub fn knows_rate(&self) -> bool {
        self.octet_ns > 0
    }

    /// Takes the next packet.
    pub fn push(&mut self, record: &Record<'_>, is_damaged: bool) {
        let Some((direction, frame)) = exported_pdu::split(record.octets) else { return };
        let at = Moment { time: record.time, number: record.number };
        if record.dropped > 0 {
            self.asked = None; // the answer may be what was lost
        }
        if is_damaged {
            return self.damaged(at, frame.len());
        }
        let &[unit, function, ..] = frame else { return };
        let answers = |asked: &Asked| asked.unit == unit && asked.function == function & !EXCEPTION;
        let is_answer = match direction {
            Direction::Outbound => false,
            Direction::Inbound => true,
            // Both look the same in some functions: what comes behind a request answers it.
            Direction::Unknown => {
                let is_next = |asked| answers(asked) && !self.is_repeated(asked, frame);
                function & EXCEPTION != 0 || self.asked.as_ref().is_some_and(is_next)
            }
        };
        if !is_answer {
            return self.request(unit, function, frame, at);
        }
        match self.asked.take_if(|asked| answers(asked)) {
            Some(asked) => self.answer(&asked, function, frame, at),
            None => self.unasked.add(at, unit.into()),
        }
    }

    /// Whether a frame that may be an answer is the request once more. Some writes are answered by
    /// their own octets.
    fn is_repeated(&self, asked: &Asked, frame: &[u8]) -> bool {
        let echoes = matches!(asked.function, 0x05 | 0x06 | 0x08 | 0x16);
        let unheard = self.units.get(&asked.unit).and_then(|unit| unit.unheard.as_deref());
        unheard == Some(frame) && (asked.is_damaged || !echoes)
    }

    fn request(&mut self, unit: u8, function: u8, frame: &[u8], at: Moment) {
        self.give_up(at);
        if unit == BROADCAST {
            return;
        }
        let known = self.units.entry(unit).or_default();
        known.requests += 1;
        *known.functions.entry(function).or_default() += 1;
        let kept = &frame[..frame.len().min(KEPT)];
        if known.unheard.as_deref() == Some(kept) {
            known.retries += 1;
        } else {
            known.unheard = Some(kept.to_vec());
        }
        let end_ns = at.time.as_ns().saturating_add(self.octet_ns * frame.len() as u64);
        self.asked = Some(Asked { unit, function, at, end_ns, is_damaged: false });
    }

    /// The master has gone on: what it asked for has not come.
    fn give_up(&mut self, now: Moment) {
        let Some(asked) = self.asked.take() else { return };
        let waited_ns = now.time.as_ns().checked_sub(asked.end_ns);
        let (Some(unit), Some(waited_ns)) = (self.units.get_mut(&asked.unit), waited_ns) else {
            return;
        };
        if waited_ns > BREAK_NS {
            return;
        }
        if unit.in_vain == 0 {
            unit.in_vain_since = asked.at;
        }
        unit.in_vain += 1;
        if !asked.is_damaged {
            unit.timeouts.add(asked.at, waited_ns / 1000);
        }
    }

    fn answer(&mut self, asked: &Asked, function: u8, frame: &[u8], at: Moment) {
        let unit = self.units.entry(asked.unit).or_default();
        unit.responses += 1;
        unit.in_vain = 0;
        unit.unheard = None;
        if let Some(took_ns) = at.time.as_ns().checked_sub(asked.end_ns)
            && took_ns < BREAK_NS
            && !asked.is_damaged
        {
            unit.response.add(took_ns / 1000);
            unit.slow.add(at, took_ns / 1000);
        }
        if function & EXCEPTION != 0 {
            let code = frame.get(2).copied().unwrap_or(0);
            unit.refused.add(at, code.into());
            let key = (function & !EXCEPTION, code);
            if unit.exceptions.len() < MOST_EXCEPTIONS || unit.exceptions.contains_key(&key) {
                *unit.exceptions.entry(key).or_default() += 1;
            }
        }
    }

    /// The address in a damaged frame may be damaged as well; who was asked is known.
    fn damaged(&mut self, at: Moment, len: usize) {
        match &mut self.asked {
            Some(asked) if !asked.is_damaged => {
                asked.is_damaged = true;
                let unit = self.units.entry(asked.unit).or_default();
                unit.damaged.add(at, len as u64);
            }
            _ => self.damaged_elsewhere.add(at, len as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;
    use crate::time::Timestamp;

    /// Frames with their times in milliseconds, damaged ones marked with `!`.
    fn heard(frames: &[(u64, Direction, &[u8], bool)]) -> Modbus {
        let mut modbus = Modbus::new(1_000_000);
        for (number, (ms, direction, frame, is_damaged)) in frames.iter().enumerate() {
            let octets = [&Header::of("mbrtu").direction(*direction).end()[..], frame].concat();
            let time = Timestamp::from_ns(ms * 1_000_000);
            let record =
                Record { number: number as u64 + 1, time, octets: &octets, ..Record::default() };
            modbus.push(&record, *is_damaged);
        }
        modbus
    }

    #[test]
    fn requests_are_paired_with_what_comes_next() {
        use Direction::{Inbound, Outbound, Unknown};
        let ask: &[u8] = &[5, 3, 0, 0, 0, 1, 0, 0];
        let modbus = heard(&[
            (0, Outbound, ask, false),
            (28, Inbound, &[5, 3, 2, 0, 7, 0, 0], false),
            (100, Outbound, ask, false), // nothing comes
            (400, Outbound, ask, false),
            (420, Inbound, &[5, 0x83, 2, 0, 0], false),
            (500, Unknown, ask, false),
            (520, Unknown, &[5, 3, 2, 0], true),
            (700, Unknown, ask, false),
            (730, Unknown, &[5, 3, 2, 0, 7, 0, 0], false),
            (800, Outbound, &[0, 6, 0, 0, 0, 1, 0, 0], false), // to all
            (900, Inbound, &[9, 3, 2, 0, 7, 0, 0], false),
            (950, Unknown, &[1], true),
        ]);
        let unit = &modbus.units[&5];
        assert_eq!((unit.requests, unit.responses, unit.retries), (5, 3, 2));
        assert_eq!((unit.timeouts.n, unit.timeouts.largest), (1, 292_000));
        assert_eq!((unit.damaged.n, unit.in_vain), (1, 0));
        assert_eq!(unit.functions, BTreeMap::from([(3, 5)]));
        assert_eq!(unit.exceptions, BTreeMap::from([((3, 2), 1)]));
        // From the end of the request, eight octets of a millisecond.
        assert_eq!(unit.response.percentiles([50, 99]), [Some(20_000), Some(22_000)]);
        assert_eq!((modbus.unasked.n, modbus.damaged_elsewhere.n), (1, 1));
        assert_eq!(modbus.units.len(), 1);
    }

    #[test]
    fn a_clock_that_was_set_is_no_timeout() {
        let ask: &[u8] = &[5, 3, 0, 0, 0, 1, 0, 0];
        let modbus = heard(&[
            (1_000, Direction::Outbound, ask, false),
            (500, Direction::Outbound, ask, false),
            (60_000, Direction::Outbound, ask, false),
        ]);
        assert_eq!(modbus.units[&5].timeouts.n, 0);
    }
}
