//! Words for packets of which nothing is known: their octets, or their text.

use super::Words;
use crate::exported_pdu;
use std::fmt::Write as _;

/// Octets that are shown.
const MAX_SHOWN: usize = 24;
/// Characters that are shown.
const MAX_TEXT: usize = 60;

/// Words for a packet that may have a header which names a dissector.
pub fn words(packet: &[u8], _intact: bool) -> Words {
    plain_words(exported_pdu::split(packet).map_or(packet, |(_, octets)| octets))
}

/// Text where it is text, else hex.
fn plain_words(octets: &[u8]) -> Words {
    let text = octets.trim_ascii();
    let is_text = text.iter().all(|octet| matches!(octet, b' '..=b'~'));
    let mut info = String::new();
    if is_text && !text.is_empty() {
        info.extend(text.iter().take(MAX_TEXT).map(|octet| char::from(*octet)));
        info.push_str(if text.len() > MAX_TEXT { "..." } else { "" });
    } else {
        for octet in octets.iter().take(MAX_SHOWN) {
            let _ = write!(info, "{octet:02x}");
        }
        info.push_str(if octets.len() > MAX_SHOWN { "..." } else { "" });
    }
    Words::new(if info.is_empty() { "empty" } else { &info })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_and_the_rest_is_hex() {
        let info = |octets: &[u8]| words(octets, true).info;
        assert_eq!(info(b"$GPGGA,1\r\n"), "$GPGGA,1");
        assert_eq!(info(b"\x01\x1b[m"), "011b5b6d");
        assert_eq!(info(&[7; 25]), format!("{}...", "07".repeat(24)));
        assert_eq!((info(b""), info(b"\r\n")), ("empty".to_owned(), "0d0a".to_owned()));
        let header = exported_pdu::Header::of("data").end();
        assert_eq!(info(&[&header[..], b"hi"].concat()), "hi");
    }
}
