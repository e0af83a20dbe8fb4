//! Octets as hexadecimal digits, as framings and dissectors of text share them.

/// The octets that pairs of hexadecimal digits stand for.
pub(crate) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(pair).collect()
}

/// The digits of octets, with this between any two of them.
pub(crate) fn hex(octets: &[u8], between: &str) -> String {
    let digits: Vec<String> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    digits.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_in_pairs() {
        assert_eq!(unhex(b"0aFf"), Some(vec![10, 255]));
        assert_eq!(unhex(b"0aF"), None);
        assert_eq!(unhex(b"0g"), None);
        assert_eq!(hex(&[10, 255], " "), "0A FF");
    }
}
