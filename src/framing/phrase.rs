//! Words to listen for in text that comes in pieces of any size.

/// Listens for some phrases.
#[derive(Debug)]
pub(super) struct Phrases {
    phrases: &'static [&'static [u8]],
    /// The last octets heard, fewer than the longest phrase has.
    tail: Vec<u8>,
}

impl Phrases {
    pub(super) const fn new(phrases: &'static [&'static [u8]]) -> Self {
        Self { phrases, tail: Vec::new() }
    }

    /// Hears more; returns which phrase ended last in it, if one did.
    pub(super) fn heard(&mut self, octets: &[u8]) -> Option<usize> {
        self.tail.extend_from_slice(octets);
        let end_of = |phrase: &&[u8]| {
            let at = self.tail.windows(phrase.len()).rposition(|octets| octets == *phrase)?;
            Some(at + phrase.len())
        };
        let ends = self.phrases.iter().map(end_of).enumerate();
        let last = ends.filter_map(|(which, end)| Some((end?, which))).max();
        let longest = self.phrases.iter().map(|phrase| phrase.len()).max().unwrap_or(1);
        // What was heard is not heard again.
        let heard = last.map_or(0, |(end, _)| end);
        self.tail.drain(..heard.max((self.tail.len() + 1).saturating_sub(longest)));
        last.map(|(_, which)| which)
    }

    /// What follows has nothing to do with what was heard.
    pub(super) fn reset(&mut self) {
        self.tail.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_heard_once_in_pieces_of_any_size() {
        for size in 1..20 {
            let mut phrases = Phrases::new(&[b"SNIF", b"Hello"]);
            let heard: Vec<_> = b"SNI Hello,SNIF SSNIF Hell"
                .chunks(size)
                .filter_map(|octets| phrases.heard(octets))
                .collect();
            if size < 4 {
                assert_eq!(heard, [1, 0, 0]);
            }
            assert_eq!(heard.last(), Some(&0));
            assert!(phrases.tail.len() < 5);
            assert_eq!(phrases.heard(b"o"), Some(1));
            assert_eq!(phrases.heard(b"SNI"), None);
            phrases.reset();
            assert_eq!(phrases.heard(b"F"), None);
        }
    }
}
