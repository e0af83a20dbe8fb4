//! Percentiles of any number of values in bounded memory.

/// As many values are kept as they are.
const EXACT: usize = 4096;
/// Bins between a power of two and the next: a bin is at most 0.8 % from its middle.
const BITS: u32 = 6;

/// Values, such as delays in microseconds.
///
/// The first 4096 are kept as they are, and their percentiles are exact, by nearest rank. Of more
/// than that percentiles are within 1 %; number, mean and maximum stay exact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    n: u64,
    sum: u64,
    min: u32,
    max: u32,
    /// Values as long as they are few; later how many are in each bin.
    kept: Vec<u32>,
    binned: bool,
}

impl Distribution {
    /// One more value.
    pub fn add(&mut self, value: u64) {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        self.min = if self.n == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.n += 1;
        self.sum = self.sum.saturating_add(value.into());
        if !self.binned && self.kept.len() == EXACT {
            self.binned = true;
            for value in std::mem::take(&mut self.kept) {
                self.count(value);
            }
        }
        if self.binned { self.count(value) } else { self.kept.push(value) }
    }

    fn count(&mut self, value: u32) {
        let bin = bin(value);
        if self.kept.len() <= bin {
            self.kept.resize(bin + 1, 0);
        }
        self.kept[bin] = self.kept[bin].saturating_add(1);
    }

    /// How many values there are.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Whether percentiles are within 1 % only.
    pub fn is_binned(&self) -> bool {
        self.binned
    }

    /// The mean; `None` of nothing.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum as f64 / self.n as f64)
    }

    /// The sum of all.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The largest; 0 of nothing.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// The smallest; 0 of nothing.
    pub fn min(&self) -> u32 {
        self.min
    }

    /// The value that `percent` of all do not exceed, by nearest rank; `None` of nothing.
    pub fn percentile(&self, percent: u8) -> Option<u32> {
        self.percentiles([percent])[0]
    }

    /// The same for several at once.
    pub fn percentiles<const N: usize>(&self, percents: [u8; N]) -> [Option<u32>; N] {
        let rank = |percent: u8| (self.n * u64::from(percent)).div_ceil(100).max(1);
        if !self.binned {
            let mut sorted = self.kept.clone();
            sorted.sort_unstable();
            return percents.map(|percent| sorted.get(rank(percent) as usize - 1).copied());
        }
        percents.map(|percent| {
            let mut left = rank(percent);
            for (bin, &count) in self.kept.iter().enumerate() {
                if left <= u64::from(count) {
                    return Some(middle(bin).clamp(self.min, self.max));
                }
                left -= u64::from(count);
            }
            Some(self.max)
        })
    }

    /// How many are above `limit`; near it within 1 % when there are many.
    pub fn above(&self, limit: u64) -> u64 {
        let Ok(limit) = u32::try_from(limit) else { return 0 };
        if !self.binned {
            return self.kept.iter().filter(|value| **value > limit).count() as u64;
        }
        self.kept.iter().skip(bin(limit) + 1).map(|count| u64::from(*count)).sum()
    }

    /// How many values are below the first of these edges, which ascend, between each two of them,
    /// and from the last one on; near an edge within 1 % when there are many.
    pub fn histogram(&self, edges: &[u32]) -> Vec<u64> {
        let mut counts = vec![0; edges.len() + 1];
        let place = |value: u32| edges.partition_point(|edge| *edge <= value);
        if self.binned {
            for (bin, &count) in self.kept.iter().enumerate().filter(|(_, count)| **count > 0) {
                counts[place(middle(bin).clamp(self.min, self.max))] += u64::from(count);
            }
        } else {
            for &value in &self.kept {
                counts[place(value)] += 1;
            }
        }
        counts
    }

    /// Octets of memory behind it.
    pub fn memory(&self) -> usize {
        self.kept.capacity() * size_of::<u32>()
    }
}

/// The bin of a value: its own as long as it is small.
fn bin(value: u32) -> usize {
    let octave = (u32::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    ((octave << BITS) + (value >> octave)) as usize
}

/// The middle of a bin.
fn middle(bin: usize) -> u32 {
    let bin = bin as u64;
    let octave = (bin >> BITS).saturating_sub(1);
    let low = (bin - (octave << BITS)) << octave;
    (low + (1 << octave) / 2).min(u32::MAX.into()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_exact_percentiles_by_nearest_rank() {
        let mut few = Distribution::default();
        assert_eq!((few.percentile(50), few.mean()), (None, None));
        for value in [30, 10, 20, 40] {
            few.add(value);
        }
        assert_eq!(few.percentiles([0, 25, 26, 50, 99, 100]), [10, 10, 20, 20, 40, 40].map(Some));
        assert_eq!((few.n(), few.max(), few.mean(), few.above(20)), (4, 40, Some(25.0), 2));
    }

    #[test]
    fn many_values_have_them_within_a_hundredth() {
        for scale in [1u64, 7, 1000, 200_000] {
            let mut many = Distribution::default();
            let mut all: Vec<u64> =
                (1..=20_000u64).map(|i| (i * 7919 % 20_000 + 1) * scale).collect();
            all.iter().for_each(|value| many.add(*value));
            all.sort_unstable();
            assert!(many.is_binned() && many.memory() < 16_384);
            for percent in [1u8, 50, 90, 99, 100] {
                let exact =
                    all[all.len() * usize::from(percent) / 100 - 1].min(u32::MAX.into()) as f64;
                let found = f64::from(many.percentile(percent).unwrap());
                assert!(
                    (found / exact - 1.0).abs() < 0.01,
                    "{percent} of {scale}: {found} {exact}"
                );
            }
            let limit = 15_000 * scale;
            assert!((many.above(limit) as i64 - 5_000).abs() < 200);
        }
    }

    #[test]
    fn a_histogram_has_every_value_in_its_column() {
        let mut few = Distribution::default();
        for value in [0, 9, 10, 19, 20, 500] {
            few.add(value);
        }
        assert_eq!(few.histogram(&[10, 20, 100]), [2, 2, 1, 1]);
        for _ in 0..10_000 {
            few.add(50);
        }
        assert_eq!(few.histogram(&[10, 20, 100]), [2, 2, 10_001, 1]);
        assert_eq!(few.histogram(&[]), [10_006]);
    }

    #[test]
    fn each_bin_holds_its_middle() {
        for value in [0, 1, 63, 64, 127, 128, 1000, 65_535, 1 << 30, u32::MAX] {
            assert_eq!(bin(middle(bin(value))), bin(value), "{value}");
        }
    }
}
