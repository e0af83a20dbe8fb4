//! What happened when: counts and round times over the time of a capture, in bounded memory.

/// As many bins there are at most; then two become one.
const BINS: usize = 1000;
/// How wide a bin is at first: one second.
const WIDTH_NS: u64 = 1_000_000_000;

/// What happened within one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Rounds of the token that ended.
    pub rounds: u32,
    /// Their sum, in microseconds.
    pub rounds_us: u64,
    /// The longest of them, in microseconds.
    pub longest_us: u32,
    /// Damaged frames.
    pub damaged: u32,
    /// Runs of octets outside frames.
    pub strays: u32,
    /// Lost tokens.
    pub lost_tokens: u32,
    /// Tokens that were sent twice.
    pub second_tokens: u32,
    /// Requests without an answer.
    pub unanswered: u32,
}

impl Bin {
    /// One more round of the token.
    pub fn add_round(&mut self, us: u64) {
        self.rounds = self.rounds.saturating_add(1);
        self.rounds_us = self.rounds_us.saturating_add(us);
        self.longest_us = self.longest_us.max(u32::try_from(us).unwrap_or(u32::MAX));
    }

    /// The mean round in microseconds, if there was one.
    pub fn mean_us(&self) -> Option<u64> {
        self.rounds_us.checked_div(self.rounds.into())
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            rounds: self.rounds.saturating_add(other.rounds),
            rounds_us: self.rounds_us.saturating_add(other.rounds_us),
            longest_us: self.longest_us.max(other.longest_us),
            damaged: self.damaged.saturating_add(other.damaged),
            strays: self.strays.saturating_add(other.strays),
            lost_tokens: self.lost_tokens.saturating_add(other.lost_tokens),
            second_tokens: self.second_tokens.saturating_add(other.second_tokens),
            unanswered: self.unanswered.saturating_add(other.unanswered),
        }
    }
}

/// Bins of equal width from the first time on.
///
/// There are at most 1000 of them, at first of one second; when they do not suffice each is made
/// twice as wide. What is before the first time, of a clock that was set back, is in the first bin.
#[derive(Clone, Debug)]
pub struct Timeline {
    begin_ns: Option<u64>,
    width_ns: u64,
    bins: Vec<Bin>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { begin_ns: None, width_ns: WIDTH_NS, bins: vec![Bin::default()] }
    }
}

impl Timeline {
    /// The bin of a time.
    pub fn at(&mut self, time_ns: u64) -> &mut Bin {
        let since_ns = time_ns.saturating_sub(*self.begin_ns.get_or_insert(time_ns));
        while since_ns / self.width_ns >= BINS as u64 {
            self.bins = halved(&self.bins);
            self.width_ns *= 2;
        }
        let at = (since_ns / self.width_ns) as usize;
        if at >= self.bins.len() {
            self.bins.resize(at + 1, Bin::default());
        }
        &mut self.bins[at]
    }

    /// When the first bin begins, in nanoseconds since 1970; `None` of nothing.
    pub fn begin_ns(&self) -> Option<u64> {
        self.begin_ns
    }

    /// At most so many bins, and how wide each of them is, in nanoseconds.
    pub fn at_most(&self, columns: usize) -> (Vec<Bin>, u64) {
        let (mut bins, mut width_ns) = (self.bins.clone(), self.width_ns);
        while bins.len() > columns.max(1) {
            (bins, width_ns) = (halved(&bins), width_ns * 2);
        }
        (bins, width_ns)
    }

    /// Octets of memory behind it.
    pub fn memory(&self) -> usize {
        self.bins.capacity() * size_of::<Bin>()
    }
}

/// Two become one.
fn halved(bins: &[Bin]) -> Vec<Bin> {
    bins.chunks(2).map(|pair| pair.iter().fold(Bin::default(), |sum, bin| sum.and(*bin))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_is_in_the_bin_of_its_time() {
        let mut timeline = Timeline::default();
        for second in [100, 100, 103, 99] {
            timeline.at(second * WIDTH_NS + 5).damaged += 1;
        }
        timeline.at(102 * WIDTH_NS).add_round(30);
        timeline.at(102 * WIDTH_NS + 6).add_round(50);
        let (bins, width_ns) = timeline.at_most(10);
        assert_eq!((timeline.begin_ns(), width_ns), (Some(100 * WIDTH_NS + 5), WIDTH_NS));
        // The first of both rounds is nearer to the bin before.
        assert_eq!(bins.iter().map(|bin| bin.damaged).collect::<Vec<_>>(), [3, 0, 0, 1]);
        assert_eq!(bins.iter().map(|bin| bin.rounds).collect::<Vec<_>>(), [0, 1, 1, 0]);
        assert_eq!((bins[2].mean_us(), bins[3].mean_us()), (Some(50), None));
    }

    #[test]
    fn any_length_has_its_place_and_nothing_is_lost() {
        let mut timeline = Timeline::default();
        for n in 0..3000u64 {
            timeline.at(n * 7 * WIDTH_NS).lost_tokens += 1;
        }
        timeline.at(u64::MAX).strays += 1;
        let (bins, width_ns) = timeline.at_most(300);
        assert!(bins.len() <= 300 && bins.len() as u128 * u128::from(width_ns) >= 1 << 63);
        assert_eq!(bins.iter().map(|bin| bin.lost_tokens).sum::<u32>(), 3000);
        assert_eq!(bins.last().map(|bin| bin.strays), Some(1));
        assert!(timeline.memory() < 64 * 1024);
    }
}
