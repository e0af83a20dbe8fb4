//! Which line settings are tried, in which order, and when the next one is due.

use super::pulses::Pulses;
use crate::framing::{PROTOCOLS, Protocol};
use crate::line::{Line, LineFormat};
use crate::time::Timestamp;

/// What lines in the field have, the likeliest first.
const USUAL: [(u32, LineFormat); 14] = [
    (9600, LineFormat::EIGHT_N_1),
    (38_400, LineFormat::EIGHT_N_1),
    (115_200, LineFormat::EIGHT_N_1),
    (19_200, LineFormat::EIGHT_E_1),
    (76_800, LineFormat::EIGHT_N_1),
    (19_200, LineFormat::EIGHT_N_1),
    (9600, LineFormat::EIGHT_E_1),
    (57_600, LineFormat::EIGHT_N_1),
    (9600, LineFormat::SEVEN_E_1),
    (2400, LineFormat::EIGHT_E_1),
    (4800, LineFormat::EIGHT_N_1),
    (38_400, LineFormat::EIGHT_E_1),
    (2400, LineFormat::EIGHT_N_1),
    (230_400, LineFormat::EIGHT_N_1),
];

/// After so many octets without a packet a line is given up at once,
const BUSY_OCTETS: u64 = 400;
/// if they came for so long.
const BUSY_NS: u64 = 600_000_000;
/// After so few,
const QUIET_OCTETS: u64 = 16;
/// when this time is over.
const QUIET_NS: u64 = 2_500_000_000;
/// How much longer a line is listened to where something was found;
pub const PROMISING: u64 = 3;
/// and where little but packets of one protocol was found: a bus may be quiet.
pub const LIKELY: u64 = 24;

/// Nothing is known of it.
const ANY_RATE: (f64, f64) = (0.0, f64::INFINITY);

/// Line settings for any protocol, the likeliest first.
pub fn lines() -> Vec<Line> {
    let usual = USUAL.map(|(baud, format)| Line { baud, format });
    let others = PROTOCOLS.iter().map(|row| row.line);
    distinct(usual.into_iter().chain(others))
}

/// Line settings for one protocol: its own first.
pub fn lines_of(protocol: &Protocol) -> Vec<Line> {
    // A sniffer's rate is its firmware's: the usual ones, with its format.
    let format = protocol.line.format;
    let is_wire = protocol.sniffer.is_none();
    let usual = USUAL.into_iter().filter(|(_, other)| is_wire || *other == format);
    let usual = usual.map(|(baud, format)| Line { baud, format });
    distinct(std::iter::once(protocol.line).chain(usual))
}

fn distinct(lines: impl Iterator<Item = Line>) -> Vec<Line> {
    let mut kept = Vec::new();
    for line in lines {
        if !kept.contains(&line) {
            kept.push(line);
        }
    }
    kept
}

/// Goes from one line setting to the next until something makes sense: those first that can be the
/// line's, as far as its [`Pulses`] tell, in the order of their likelihood.
///
/// A busy line is given up soon, a quiet one after [`QUIET_NS`], and one on which nothing comes
/// never: silence says nothing about a rate.
#[derive(Debug)]
pub struct Search {
    lines: Vec<Line>,
    at: usize,
    /// Which of them had their turn in this round.
    tried: Vec<bool>,
    /// Rates that the line may have, in baud, from and up to: what was heard in this round says so.
    rates: (f64, f64),
    pulses: Pulses,
    /// When the first octet came at this setting, and how many did.
    since: Option<Timestamp>,
    octets: u64,
    /// How often all settings were tried.
    rounds: u32,
}

impl Search {
    /// Through these settings, of which there is at least one, again and again.
    pub fn new(lines: Vec<Line>) -> Self {
        Self {
            tried: vec![false; lines.len()],
            lines,
            at: 0,
            rates: ANY_RATE,
            pulses: Pulses::default(),
            since: None,
            octets: 0,
            rounds: 0,
        }
    }

    /// The setting that is to be listened at now; 8N1 at 9600 baud if there is none.
    pub fn line(&self) -> Line {
        self.lines.get(self.at).copied().unwrap_or(Line::at(9600))
    }

    /// How often all settings were tried in vain.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Hears what comes, for what is to be tried next.
    pub fn hear(&mut self, octets: &[u8]) {
        octets.iter().for_each(|octet| self.pulses.add(*octet));
    }

    /// Octets came; a setting that deserves `patience` is listened to for so much longer. Whether the
    /// next setting is due.
    pub fn octets(&mut self, len: usize, patience: u64, now: Timestamp) -> bool {
        let since = *self.since.get_or_insert(now);
        self.octets += len as u64;
        let waited = now.ns_since(since);
        waited >= BUSY_NS * patience && self.octets >= BUSY_OCTETS * patience
            || waited >= QUIET_NS * patience && self.octets >= QUIET_OCTETS
    }

    /// Goes to the next setting.
    pub fn advance(&mut self) -> Line {
        if let Some((least, most)) = self.pulses.rates(self.line().baud) {
            self.rates = (self.rates.0.max(least), self.rates.1.min(most));
        }
        if let Some(tried) = self.tried.get_mut(self.at) {
            *tried = true;
        }
        let (least, most) = self.rates;
        let can_be = |line: &Line| (least..=most).contains(&f64::from(line.baud));
        let untried = || (0..self.lines.len()).filter(|at| !self.tried[*at]);
        let next = untried().find(|at| can_be(&self.lines[*at])).or_else(|| untried().next());
        self.at = next.unwrap_or_else(|| {
            self.rounds += 1;
            self.tried.fill(false);
            self.rates = ANY_RATE;
            0
        });
        (self.since, self.octets, self.pulses) = (None, 0, Pulses::default());
        self.line()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::protocol;

    const MS: u64 = 1_000_000;

    #[test]
    fn lines_are_tried_once_each_and_ones_own_first() {
        let modbus = protocol("modbus").expect("modbus");
        let lines = lines_of(modbus);
        assert_eq!((lines[0].baud, lines[0].format), (19_200, LineFormat::EIGHT_E_1));
        assert!(lines.contains(&Line::at(9600)));
        for (n, line) in lines.iter().enumerate() {
            assert!(!lines[..n].contains(line));
        }
        assert!(super::lines().len() >= USUAL.len());
    }

    #[test]
    fn a_line_that_is_slower_than_it_was_heard_has_its_own_rate_next() {
        let bauds = [38_400, 115_200, 9600, 19_200, 57_600];
        let mut search = Search::new(bauds.map(Line::at).to_vec());
        // Pulses of two bits, as a line of 19200 baud has them at 38400.
        search.hear(&[0b0110_0110; 40]);
        let order = [(); 5].map(|()| search.advance().baud);
        assert_eq!(order, [19_200, 115_200, 9600, 57_600, 38_400]);
        // Of one bit: it is not slower.
        search.hear(&[0b1010_1010; 40]);
        assert_eq!([(); 4].map(|()| search.advance().baud), [115_200, 57_600, 9600, 19_200]);
    }

    #[test]
    fn a_busy_line_is_given_up_soon_a_quiet_one_later_and_a_silent_one_never() {
        let at = |ms: u64| Timestamp::from_ns((1_000_000 + ms) * MS);
        let mut search = Search::new(vec![Line::at(9600), Line::at(38_400)]);
        assert!(!search.octets(300, 1, at(0)));
        assert!(!search.octets(300, 1, at(500)));
        assert!(search.octets(300, 1, at(600)));
        assert_eq!(search.advance(), Line::at(38_400));
        assert!(!search.octets(10, 1, at(700)));
        assert!(!search.octets(4, 1, at(5000)), "14 octets");
        assert!(search.octets(2, 1, at(5001)));
        assert_eq!((search.advance(), search.rounds()), (Line::at(9600), 1));
        assert!(!search.octets(1000, PROMISING, at(6000)));
        assert!(!search.octets(1000, PROMISING, at(7000)), "something is found here");
        assert!(search.octets(1000, PROMISING, at(8000)));
    }
}
