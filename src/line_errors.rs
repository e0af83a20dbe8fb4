//! What a receiver found wrong with octets: errors that the line's hardware sees, and a framing's
//! own check may not.

use std::fmt;

/// What is wrong at an octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LineErrorKind {
    /// Its stop bit was low, or its parity was wrong: some of its bits may be wrong as well.
    Symbol = 1,
    /// It is no octet, but a line that was low for longer than one: delivered as 00.
    Break = 2,
    /// Octets before it were lost in the adapter or its driver, which nobody emptied in time.
    Overrun = 3,
}

impl LineErrorKind {
    const ALL: [Self; 3] = [Self::Symbol, Self::Break, Self::Overrun];
}

/// An error at an octet of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineError {
    /// Which octet, counted from 0; chunks are not longer than that.
    pub at: u16,
    /// What is wrong.
    pub kind: LineErrorKind,
}

/// Octets of an error as recordings have it.
const ENCODED: usize = 3;

/// Errors as recordings have them: for each, which octet (16 bits, little-endian), and its kind.
pub fn encode(errors: &[LineError]) -> Vec<u8> {
    let octets = |error: &LineError| {
        let [low, high] = error.at.to_le_bytes();
        [low, high, error.kind as u8]
    };
    errors.iter().flat_map(octets).collect()
}

/// Errors as they were encoded; what is none is left out.
pub fn decode(octets: &[u8]) -> Vec<LineError> {
    let error = |&[low, high, kind]: &[u8; ENCODED]| {
        let kind = LineErrorKind::ALL.into_iter().find(|known| *known as u8 == kind)?;
        Some(LineError { at: u16::from_le_bytes([low, high]), kind })
    };
    octets.as_chunks().0.iter().filter_map(error).collect()
}

/// How many errors of each kind there are, as far as 16 bits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineErrors {
    /// Octets with a wrong stop bit or parity.
    pub symbols: u16,
    /// Breaks.
    pub breaks: u16,
    /// Places where octets were lost.
    pub overruns: u16,
}

impl LineErrors {
    /// Counts one more.
    pub fn add(&mut self, kind: LineErrorKind) {
        let count = match kind {
            LineErrorKind::Symbol => &mut self.symbols,
            LineErrorKind::Break => &mut self.breaks,
            LineErrorKind::Overrun => &mut self.overruns,
        };
        *count = count.saturating_add(1);
    }

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// `epb_flags` of pcapng: bit 31, symbol error, if bits were wrong. (Octets that were lost have no
    /// bit; a comment tells of them.)
    pub const fn epb_flags(self) -> u32 {
        if self.symbols > 0 || self.breaks > 0 { 1 << 31 } else { 0 }
    }
}

impl fmt::Display for LineErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbols, breaks, overruns } = self;
        let plural = |count: &u16| if *count == 1 { "" } else { "s" };
        let mut parts = Vec::new();
        if *symbols > 0 {
            let s = plural(symbols);
            parts.push(format!("{symbols} byte{s} with a wrong stop bit or parity"));
        }
        if *breaks > 0 {
            parts.push(format!("{breaks} break{} inside", plural(breaks)));
        }
        if *overruns > 0 {
            let s = plural(overruns);
            parts.push(format!("bytes lost by the adapter at {overruns} place{s}"));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_as_they_were_written() {
        let errors: Vec<_> = LineErrorKind::ALL
            .into_iter()
            .zip([0, 255, 65_535])
            .map(|(kind, at)| LineError { at, kind })
            .collect();
        let mut octets = encode(&errors);
        assert_eq!(octets, [0, 0, 1, 255, 0, 2, 255, 255, 3]);
        octets.extend([1, 0, 9, 1, 0]);
        assert_eq!(decode(&octets), errors);
    }

    #[test]
    fn errors_are_told_in_words_and_in_the_bit_of_pcapng() {
        let mut errors = LineErrors::default();
        assert!(errors.is_none());
        errors.add(LineErrorKind::Overrun);
        assert_eq!((errors.epb_flags(), errors.is_none()), (0, false));
        errors.add(LineErrorKind::Symbol);
        errors.add(LineErrorKind::Symbol);
        errors.add(LineErrorKind::Break);
        assert_eq!(errors.epb_flags(), 0x8000_0000);
        assert_eq!(
            errors.to_string(),
            "2 bytes with a wrong stop bit or parity, 1 break inside, bytes lost by the adapter at 1 place"
        );
    }
}
