//! Radio channels as they are typed: `15`, `11,15,20` or `11-26`.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// All there are (IEEE 802.15.4, the O-QPSK and BPSK PHYs).
const ALL: RangeInclusive<u8> = 0..=26;

/// One channel or several, each once, in the order in which they were typed; never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Channels(Vec<u8>);

impl Channels {
    /// The channels.
    pub(super) fn all(&self) -> &[u8] {
        &self.0
    }

    /// The channel, if it is one alone.
    pub(super) fn one(&self) -> Option<u8> {
        if let [channel] = *self.0 { Some(channel) } else { None }
    }

    /// Whether they are more than one.
    pub(super) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// All that a protocol has.
    pub(super) fn of(channels: RangeInclusive<u8>) -> Self {
        Self(channels.collect())
    }
}

impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let channel = text.parse::<u8>().ok().filter(|channel| ALL.contains(channel));
            channel.ok_or_else(|| match text.parse::<u64>() {
                Ok(_) => format!("{text} is not in 0..=26"),
                Err(_) => "expected such as 15, 11,15,20 or 11-26".to_owned(),
            })
        };
        let mut channels = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("{first}-{last} counts down"));
            }
            for channel in first..=last {
                if !channels.contains(&channel) {
                    channels.push(channel);
                }
            }
        }
        Ok(Self(channels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_listed_or_ranges() {
        let channels = |text: &str| text.parse::<Channels>().map(|channels| channels.0);
        assert_eq!(channels("15"), Ok(vec![15]));
        assert_eq!(channels("25,11-13,12"), Ok(vec![25, 11, 12, 13]));
        for (text, why) in [
            ("27", "27 is not in 0..=26"),
            ("11-300", "300 is not in 0..=26"),
            ("15-11", "15-11 counts down"),
            ("11,", "expected such as 15, 11,15,20 or 11-26"),
            ("", "expected such as 15, 11,15,20 or 11-26"),
        ] {
            assert_eq!(channels(text), Err(why.to_owned()), "{text}");
        }
    }
}
