//! Words to listen for in text that comes in pieces of any size.

use memchr::memmem::FinderRev;

/// Listens for some phrases.
#[derive(Debug)]
pub(super) struct Phrases<const N: usize> {
    phrases: [FinderRev<'static>; N],
    /// The last octets heard, fewer than the longest phrase has.
    tail: Vec<u8>,
}

impl<const N: usize> Phrases<N> {
    pub(super) fn new(phrases: [&'static str; N]) -> Self {
        Self { phrases: phrases.map(FinderRev::new), tail: Vec::new() }
    }

    /// Hears more; returns which phrase ended last in it, if one did.
    pub(super) fn heard(&mut self, octets: &[u8]) -> Option<usize> {
        let lengths = self.phrases.iter().map(|phrase| phrase.needle().len());
        let kept = lengths.max().unwrap_or(0).saturating_sub(1);
        // Across the edge, or in it.
        let before = self.tail.len();
        self.tail.extend_from_slice(&octets[..octets.len().min(kept)]);
        let across =
            last(&self.phrases, &self.tail).map(|(end, which)| (end.saturating_sub(before), which));
        let inside = if octets.len() > kept { last(&self.phrases, octets) } else { None };
        let found = inside.or(across);
        // What was heard is not heard again.
        let end = found.map_or(0, |(end, _)| end);
        if octets.len() > kept {
            self.tail.clear();
            self.tail.extend_from_slice(&octets[end.max(octets.len() - kept)..]);
        } else {
            let heard = found.map_or(0, |(end, _)| before + end);
            self.tail.drain(..heard.max(self.tail.len().saturating_sub(kept)));
        }
        found.map(|(_, which)| which)
    }

    /// What follows has nothing to do with what was heard.
    pub(super) fn reset(&mut self) {
        self.tail.clear();
    }
}

/// Where the phrase ends that ends last, and which that is.
fn last(phrases: &[FinderRev<'static>], octets: &[u8]) -> Option<(usize, usize)> {
    let end = |phrase: &FinderRev<'_>| Some(phrase.rfind(octets)? + phrase.needle().len());
    let ends = phrases.iter().enumerate().filter_map(|(which, phrase)| Some((end(phrase)?, which)));
    ends.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_heard_once_in_pieces_of_any_size() {
        for size in 1..20 {
            let mut phrases = Phrases::new(["SNIF", "Hello"]);
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
