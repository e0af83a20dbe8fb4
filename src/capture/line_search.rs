//! The rate and format of a port, found while it is captured. Pure.
//!
//! The capture begins with what is usual. When octets come and no packet is among them, the other
//! settings are tried in turn, until packets prove one. Should they fail to come later, as long as
//! [`super::hearing`] takes for a reason to tell, it looks again, beginning with what was right.

use crate::detect::{PROMISING, Search, lines_of};
use crate::framing::Protocol;
use crate::line::Line;
use crate::packet::{Batch, Tally};
use crate::time::Timestamp;

/// Bits that prove a setting, beside the protocol, which was named.
const ENOUGH_BITS: u32 = 40;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// This setting is right; it is another one than before.
    Settled(Line),
    /// The next setting is to be tried.
    Next(Line),
}

/// Looks for the setting of one port.
#[derive(Debug)]
pub struct LineSearch {
    protocol: &'static Protocol,
    search: Search,
    bits: u32,
    /// Where all octets went before this setting, and up to now.
    before: Tally,
    last: Tally,
    /// The setting that was proved last.
    settled: Option<Line>,
    is_over: bool,
}

impl LineSearch {
    /// Of a port that speaks this, and is set to `line` now.
    pub fn new(protocol: &'static Protocol, line: Line) -> Self {
        let search = Search::new(first(line, lines_of(protocol)));
        Self {
            protocol,
            search,
            bits: 0,
            before: Tally::default(),
            last: Tally::default(),
            settled: Some(line),
            is_over: false,
        }
    }

    /// Whether it has found what it looks for.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Hears what comes, for what is to be tried next.
    pub fn hear(&mut self, octets: &[u8]) {
        if !self.is_over {
            self.search.hear(octets);
        }
    }

    /// Octets came, these packets were in them, and this is where all octets of the port went.
    pub fn heard(&mut self, tally: &Tally, packets: &Batch, now: Timestamp) -> Found {
        let len = (tally.octets - self.last.octets) as usize;
        self.last = *tally;
        if self.is_over {
            return Found::Nothing;
        }
        let good = packets.packets().filter(|packet| packet.damage.is_none());
        self.bits += good.map(|packet| u32::from((self.protocol.proof)(packet.data))).sum::<u32>();
        let line = self.search.line();
        if self.bits >= ENOUGH_BITS {
            self.is_over = true;
            let is_other = self.settled.replace(line) != Some(line);
            return if is_other { Found::Settled(line) } else { Found::Nothing };
        }
        let patience = if self.bits > 0 { PROMISING } else { 1 };
        // Packets that prove little are packets all the same, where there is not much else.
        if self.search.octets(len, patience, now) && !self.is_mostly_packets() {
            (self.bits, self.before) = (0, *tally);
            return Found::Next(self.search.advance());
        }
        Found::Nothing
    }

    /// Whether at least half of what was heard at this setting is in good packets.
    fn is_mostly_packets(&self) -> bool {
        let octets = self.last.octets - self.before.octets;
        2 * (self.last.good_octets - self.before.good_octets) >= octets
    }

    /// Nothing makes sense any more: looks again. What was right is tried first.
    pub fn resume(&mut self) {
        let line = self.settled.unwrap_or(self.search.line());
        self.search = Search::new(first(line, lines_of(self.protocol)));
        (self.bits, self.before, self.is_over) = (0, self.last, false);
    }
}

/// These lines, with this one first.
fn first(line: Line, mut lines: Vec<Line>) -> Vec<Line> {
    lines.retain(|other| *other != line);
    lines.insert(0, line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::PROTOCOLS;
    use crate::packet::Notes;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns((1_000_000 + ms) * 1_000_000)
    }

    fn tokens(count: usize) -> Batch {
        let mut batch = Batch::new(0);
        for _ in 0..count {
            batch.push(&[b"\x55\xff\x00\x10\x05\x00\x00\x8c"], Notes::default());
        }
        batch
    }

    /// So many octets more, so many tokens in them.
    fn hear(search: &mut LineSearch, octets: u64, count: usize, now: Timestamp) -> Found {
        let mut tally = search.last;
        tally.octets += octets;
        tally.good_octets += 8 * count as u64;
        search.heard(&tally, &tokens(count), now)
    }

    #[test]
    fn what_is_right_from_the_start_is_not_spoken_of() {
        let mut search = LineSearch::new(PROTOCOLS[0], Line::at(38_400));
        assert_eq!(hear(&mut search, 8, 1, at(0)), Found::Nothing);
        assert_eq!(hear(&mut search, 8, 1, at(10)), Found::Nothing);
        assert!(search.is_over());
    }

    #[test]
    fn other_settings_are_tried_until_packets_come() {
        let mut search = LineSearch::new(PROTOCOLS[0], Line::at(38_400));
        let (mut now, mut tried) = (0, Vec::new());
        let settled = loop {
            now += 100;
            let right = tried.last() == Some(&Line::at(76_800));
            match hear(&mut search, 100, usize::from(right), at(now)) {
                Found::Settled(line) => break line,
                Found::Next(line) => tried.push(line),
                Found::Nothing => {}
            }
        };
        assert_eq!(settled, Line::at(76_800));
        assert!(now < 10_000, "{now} ms");
        assert!(search.is_over() && hear(&mut search, 9000, 0, at(now + 9000)) == Found::Nothing);
        search.resume();
        assert_eq!(hear(&mut search, 16, 2, at(now + 20_000)), Found::Nothing, "right still");
        assert!(search.is_over());
    }

    /// A master whose slaves are out of earshot, a bus on which little happens: packets that prove
    /// little, but nothing else.
    #[test]
    fn a_setting_at_which_most_is_packets_is_never_left() {
        let modbus = crate::framing::protocol("modbus").expect("modbus");
        let line = Line::at(9600);
        let mut search = LineSearch::new(modbus, line);
        let request = [0x11, 0x03, 0x00, 0x6b, 0x00, 0x03, 0x76, 0x87];
        let mut batch = Batch::new(0);
        batch.push(&[&request], Notes::default());
        for n in 1..30 {
            let tally = Tally { octets: 8 * n, good_octets: 8 * n, ..Tally::default() };
            assert_eq!(search.heard(&tally, &batch, at(5000 * n)), Found::Nothing, "{n}");
        }
    }

    #[test]
    fn rounds_are_counted() {
        let mut search = LineSearch::new(PROTOCOLS[0], Line::at(38_400));
        let mut now = 0;
        while search.search.rounds() == 0 {
            now += 300;
            hear(&mut search, 300, 0, at(now));
        }
        assert!((3000..20_000).contains(&now), "{now} ms");
    }
}
