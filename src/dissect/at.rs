//! Words for lines of an AT dialogue, behind the header that names Wireshark's dissector.

use super::{Words, text};
use crate::exported_pdu;

/// Words for a line: itself.
pub fn words(packet: &[u8], _intact: bool) -> Words {
    let (_, line) = exported_pdu::split(packet).unwrap_or_default();
    match text(line.trim_ascii_end()) {
        line if line.is_empty() => Words::new("cut off in its header"),
        line => Words::new(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn a_line_says_itself() {
        let packet = [&Header::of("at").end(), &b"AT+CSQ\r"[..]].concat();
        assert_eq!(words(&packet, true).info, "AT+CSQ");
        assert_eq!(words(&[], true).info, "cut off in its header");
    }
}
