//! COBS as MS/TP has it (ASHRAE 135, Annex T; RFC 8163): each octet of the output is XORed with
//! 55, so that the preamble's 55 never occurs in it.

/// What the encoded octets are XORed with.
pub const MASK: u8 = 0x55;
/// Four octets of CRC-32K are always five when encoded.
pub const ENCODED_CRC_LEN: usize = 5;

/// Whether each code octet leads to the next one or to the end.
pub fn is_whole(encoded: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&code) = encoded.get(at) {
        if code == MASK {
            return false; // code 0
        }
        at += usize::from(code ^ MASK);
    }
    at == encoded.len() && !encoded.is_empty()
}

/// The octets that were encoded; `None` if these are not whole.
pub fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    if !is_whole(encoded) {
        return None;
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while at < encoded.len() {
        let code = usize::from(encoded[at] ^ MASK);
        decoded.extend(encoded[at + 1..at + code].iter().map(|octet| octet ^ MASK));
        at += code;
        if code < 0xff && at < encoded.len() {
            decoded.push(0);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_structure_is_refused() {
        let masked = |octets: &[u8]| octets.iter().map(|o| o ^ MASK).collect::<Vec<_>>();
        assert_eq!(decode(&masked(&[2, 9, 2, 8])), Some(vec![9, 0, 8]));
        assert_eq!(decode(&masked(&[1, 1])), Some(vec![0]));
        assert_eq!(decode(&masked(&[0, 9])), None); // code 0
        assert_eq!(decode(&masked(&[5, 9])), None); // past the end
        assert_eq!(decode(&[]), None);
    }

    #[test]
    fn a_full_block_has_no_zero_behind_it() {
        let mut encoded = vec![0xff ^ MASK];
        encoded.extend([7 ^ MASK; 254]);
        encoded.extend([2 ^ MASK, 8 ^ MASK]);
        assert_eq!(decode(&encoded), Some([&[7; 254][..], &[8]].concat()));
    }
}
