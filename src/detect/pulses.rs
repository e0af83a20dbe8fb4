//! How long the pulses of a line are, told from octets that were heard at a rate that may be wrong.
//!
//! A receiver that is set to a rate above that of the line sees each bit as several: at 38400 baud a
//! line of 9600 has no pulse that is shorter than four bits. So the shortest pulse says how much slower
//! the line is. A receiver that is too slow sees nothing of the kind; then it is only known that the
//! line is not slower.

use super::search::lines;

/// From so many pulses on they tell something.
const ENOUGH: u32 = 48;
/// One in so many may be shorter than the shortest: what noise has made of them.
const EXCEPTIONS: u32 = 20;
/// The longest that is seen whole: a start bit and eight bits of data, of which one is another level.
const LONGEST: usize = 8;

/// Pulses that were seen whole in octets, by their length.
#[derive(Clone, Debug, Default)]
pub struct Pulses {
    /// Of 1, 2, ... bits.
    counts: [u32; LONGEST],
    octets: u32,
}

impl Pulses {
    /// Adds those of an octet: the start bit begins one, and what ends with the octet is not whole.
    pub fn add(&mut self, octet: u8) {
        self.octets = self.octets.saturating_add(1);
        let (mut level, mut len) = (0, 1);
        for bit in (0..8).map(|bit| octet >> bit & 1) {
            if bit == level {
                len += 1;
                continue;
            }
            if let Some(count) = self.counts.get_mut(len - 1) {
                *count = count.saturating_add(1);
            }
            (level, len) = (bit, 1);
        }
    }

    /// How many bits the shortest pulse has, if that can be told; one more than can be seen whole if
    /// none was.
    pub fn shortest(&self) -> Option<usize> {
        let total = self.counts.iter().fold(0, |sum: u32, count| sum.saturating_add(*count));
        if self.octets >= ENOUGH && total < self.octets / EXCEPTIONS {
            return Some(LONGEST + 1);
        }
        if total < ENOUGH {
            return None;
        }
        let mut shorter = 0;
        let shortest = self.counts.iter().position(|count| {
            shorter += count;
            shorter > total / EXCEPTIONS
        });
        shortest.map(|index| index + 1)
    }

    /// Rates that the line may have, in baud, from and up to, if it was heard at this one.
    pub fn rates(&self, heard_baud: u32) -> Option<(f64, f64)> {
        let heard = f64::from(heard_baud);
        // Where a bit's edges fall makes a pulse a bit longer or shorter than it is.
        Some(match self.shortest()? {
            1 => (heard / 1.8, f64::INFINITY),
            bits if bits > LONGEST => (0.0, heard / LONGEST as f64),
            bits => (heard / (bits as f64 + 0.8), heard / (bits as f64 - 0.8)),
        })
    }

    /// The rate in baud of a line that was heard at too high a one, if it is one of the usual.
    pub fn slower(&self, heard_baud: u32) -> Option<u32> {
        let bits = self.shortest().filter(|bits| (2..=LONGEST).contains(bits))?;
        let baud = heard_baud / bits as u32;
        lines().iter().map(|line| line.baud).find(|usual| usual.abs_diff(baud) <= baud / 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a receiver makes of a line that is `times` slower, from the middles of its bits.
    fn heard(octets: &[u8], times: f64) -> Pulses {
        let mut bits = Vec::new();
        for octet in octets {
            bits.push(0);
            bits.extend((0..8).map(|bit| octet >> bit & 1));
            bits.push(1);
        }
        let level = |at: f64| bits.get((at / times) as usize).copied().unwrap_or(1);
        let (mut pulses, mut at) = (Pulses::default(), 0.0);
        while at < bits.len() as f64 * times {
            if level(at) == 1 {
                at += 1.0 / 16.0;
                continue;
            }
            pulses.add((0..8).map(|bit| level(at + f64::from(bit) + 1.5) << bit).sum());
            at += 9.5;
            while level(at) == 0 {
                at += 1.0 / 16.0;
            }
        }
        pulses
    }

    #[test]
    fn the_shortest_pulse_tells_the_rate() {
        let octets: Vec<u8> = (0..=255).map(|n: u32| (n * 167 % 256) as u8).collect();
        for (line, heard_baud) in [
            (9600, 38_400),
            (4800, 9600),
            (2400, 9600),
            (19_200, 38_400),
            (57_600, 115_200),
            (9600, 115_200),
        ] {
            let times = f64::from(heard_baud) / f64::from(line);
            let (least, most) = heard(&octets, times).rates(heard_baud).unwrap();
            let line = f64::from(line);
            assert!(
                least <= line && line <= most && most < f64::from(heard_baud),
                "{line} {least} {most}"
            );
        }
        for (line, heard_baud) in
            [(9600, 9600), (76_800, 115_200), (57_600, 38_400), (115_200, 9600)]
        {
            let times = f64::from(heard_baud) / f64::from(line);
            let (least, most) = heard(&octets, times).rates(heard_baud).unwrap();
            assert!(
                least <= f64::from(line) && most.is_infinite(),
                "{line} at {heard_baud}: {least}"
            );
        }
    }

    #[test]
    fn a_usual_rate_is_named_where_the_line_is_slower() {
        let octets: Vec<u8> = (0..=255).map(|n: u32| (n * 167 % 256) as u8).collect();
        assert_eq!(heard(&octets, 4.0).slower(38_400), Some(9600));
        assert_eq!(heard(&octets, 2.0).slower(115_200), Some(57_600));
        assert_eq!(heard(&octets, 1.0).slower(38_400), None);
        assert_eq!(heard(&octets, 0.5).slower(38_400), None);
        assert_eq!(heard(&octets, 3.0).slower(100_000), None, "33333 is nobody's");
    }

    #[test]
    fn few_octets_tell_nothing() {
        assert_eq!(heard(b"\x55\xff", 4.0).rates(38_400), None);
        assert_eq!(Pulses::default().rates(38_400), None);
    }
}
