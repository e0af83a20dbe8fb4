//! Words for telegrams of eBUS, behind the header that names Wireshark's dissector.

use super::Words;
use crate::exported_pdu;
use crate::hex::hex;

/// Starts two octets that stand for one: 00 for itself, 01 for the one after it.
const ESCAPE: u8 = 0xa9;
/// Source, destination, command, length.
const HEADER_LEN: usize = 5;

/// Words for a telegram, such as `B510 00 01 answer 2A` from 10 to 08, all in hexadecimal.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (_, telegram) = exported_pdu::split(packet).unwrap_or_default();
    let symbols = unescaped(telegram);
    let Some((&[from, to, primary, secondary, len], rest)) =
        symbols.split_first_chunk::<HEADER_LEN>()
    else {
        return Words::new("cut off in its header");
    };
    let mut info = format!("{primary:02X}{secondary:02X}");
    if intact && let Some((data, rest)) = rest.split_at_checked(len.into()) {
        if !data.is_empty() {
            info.push(' ');
            info.push_str(&hex(data, " "));
        }
        match rest {
            // CRC, acknowledgement, the answer.
            [_, 0, len, rest @ ..] if rest.len() >= usize::from(*len) => {
                let (answer, rest) = rest.split_at(usize::from(*len));
                info.push_str(" answer ");
                info.push_str(&hex(answer, " "));
                match rest {
                    [_, 0xff] => info.push_str(", not acknowledged"),
                    [_, 0xff, ..] => info.push_str(", said again"),
                    _ => {}
                }
            }
            [_, 0xff] => info.push_str(" not acknowledged"),
            [_] if to != 0xfe => info.push_str(" without answer"),
            _ => {}
        }
    }
    let address = |octet: u8| Some(format!("{octet:02X}"));
    Words { source: address(from), destination: address(to), info, is_routine: false }
}

fn unescaped(telegram: &[u8]) -> Vec<u8> {
    let mut octets = telegram.iter().copied();
    let mut symbols = Vec::with_capacity(telegram.len());
    while let Some(octet) = octets.next() {
        symbols.push(if octet == ESCAPE {
            ESCAPE + (octets.next().unwrap_or(0) & 1)
        } else {
            octet
        });
    }
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn a_telegram_is_shown_with_its_answer() {
        let text = |telegram: &[u8], intact| {
            let packet = [&Header::of("data").end(), telegram].concat();
            let words = words(&packet, intact);
            format!("{} {}", words.addresses(), words.info)
        };
        let telegram = [0x10, 8, 0xb5, 0x10, 2, 0, 0xa9, 1, 0x7c, 0, 1, 1, 0x9a, 0];
        assert_eq!(text(&telegram, true), "10 > 08 B510 00 AA answer 01");
        let refused = [&telegram[..13], &[0xff]].concat();
        assert_eq!(text(&refused, true), "10 > 08 B510 00 AA answer 01, not acknowledged");
        let again = [&refused, &telegram[10..]].concat();
        assert_eq!(text(&again, true), "10 > 08 B510 00 AA answer 01, said again");
        assert_eq!(text(&telegram[..9], true), "10 > 08 B510 00 AA without answer");
        assert_eq!(text(&telegram, false), "10 > 08 B510");
        assert_eq!(text(&[0x10, 0xff, 7, 4, 0, 1, 0xff], true), "10 > FF 0704 not acknowledged");
        assert_eq!(text(&telegram[..4], true), " cut off in its header");
    }
}
