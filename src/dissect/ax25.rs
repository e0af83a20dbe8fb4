//! Words for what KISS brings: AX.25 frames (AX.25 V2.2), and parameters of a modem.
//!
//! ```text
//! port and command | destination (7) | source (7) | repeaters (7 each) | control | protocol | data
//! ```
//!
//! An address is six characters shifted left by one bit, and an octet with a number of 0 to 15; its
//! last bit ends the addresses.

use super::Words;
use crate::printable::printable;

/// Octets of an address, and of those the characters.
const ADDRESS_LEN: usize = 7;
const CALL_LEN: usize = 6;
/// Addresses in one frame: two, and eight repeaters.
const MAX_ADDRESSES: usize = 10;
/// Octets of data that are shown.
const MAX_SHOWN: usize = 60;
/// The protocol "no layer 3", whose data is text.
const NO_LAYER_3: u8 = 0xf0;
/// An unnumbered information frame, its poll bit taken out.
const UI: u8 = 0x03;
/// The command for data behind a number, which the modem gives back.
const NUMBERED: u8 = 0x0c;
/// The poll bit.
const POLL: u8 = 0x10;

/// Words for a packet, such as `UI !4903.50N/07201.75W-` from N0CALL-1 to APRS.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let Some((&kind, rest)) = packet.split_first() else {
        return Words::new("cut off in its header");
    };
    let rest = match (kind & 0x0f, rest) {
        (0, _) => rest,
        (NUMBERED, [_, _, rest @ ..]) => rest,
        _ => return Words::new(parameter(kind, rest)),
    };
    let Some((addresses, rest)) = addresses(rest) else { return Words::new("data") };
    let mut addresses = addresses.into_iter();
    let (destination, source) = (addresses.next(), addresses.next());
    let info = if intact { in_words(rest) } else { "damaged".to_owned() };
    Words { source, destination, info, is_routine: false }
}

/// Whether a frame begins with the addresses of sender and receiver.
pub(crate) fn is_addressed(frame: &[u8]) -> bool {
    addresses(frame).is_some()
}

/// The addresses, and what follows them.
fn addresses(frame: &[u8]) -> Option<(Vec<String>, &[u8])> {
    let mut rest = frame;
    let mut found = Vec::new();
    while found.len() < MAX_ADDRESSES {
        let (call, last) = rest.split_off(..ADDRESS_LEN)?.split_at(CALL_LEN);
        let (&last, is_last) = (last.first()?, last.first()? & 1 == 1);
        found.push(address(call, last)?);
        if is_last {
            return (found.len() > 1).then_some((found, rest));
        }
    }
    None
}

fn address(call: &[u8], last: u8) -> Option<String> {
    let is_shifted = call.iter().all(|octet| octet & 1 == 0);
    let call: String = call.iter().map(|octet| char::from(octet >> 1)).collect();
    let call = call.trim_end_matches(' ');
    let is_call = call.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let number = last >> 1 & 0x0f;
    let shown = if number == 0 { call.to_owned() } else { format!("{call}-{number}") };
    (is_shifted && is_call && !call.is_empty()).then_some(shown)
}

/// Control field and data of a frame.
fn in_words(rest: &[u8]) -> String {
    let Some((&control, rest)) = rest.split_first() else { return "no control field".to_owned() };
    let name = match (control & 0x03, control & !POLL) {
        (0 | 2, _) => format!("I {}", control >> 1 & 7),
        (1, _) => ["RR", "RNR", "REJ", "SREJ"][usize::from(control >> 2 & 3)].to_owned(),
        (_, UI) => "UI".to_owned(),
        (_, 0x2f) => "SABM".to_owned(),
        (_, 0x6f) => "SABME".to_owned(),
        (_, 0x43) => "DISC".to_owned(),
        (_, 0x0f) => "DM".to_owned(),
        (_, 0x63) => "UA".to_owned(),
        (_, 0x87) => "FRMR".to_owned(),
        (_, other) => format!("control {other:02x}"),
    };
    match rest.split_first() {
        Some((&NO_LAYER_3, text)) if !text.is_empty() => {
            format!(
                "{name} {}",
                printable(&String::from_utf8_lossy(&text[..text.len().min(MAX_SHOWN)]))
            )
        }
        _ => name,
    }
}

/// A command to the modem.
fn parameter(kind: u8, rest: &[u8]) -> String {
    let name = match kind & 0x0f {
        _ if kind == 0xff => return "leave KISS".to_owned(),
        1 => "transmit delay",
        2 => "persistence",
        3 => "slot time",
        4 => "transmit tail",
        5 => "full duplex",
        6 => "set hardware",
        other => return format!("command {other}"),
    };
    match rest {
        [value] => format!("{name} {value}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_what() {
        let frame = b"\0\x9c\x60\x86\x82\x98\x98\xee\x9c\x60\x86\x82\x98\x98\x65\x03\xf0hi\x07";
        let said = words(frame, true);
        assert_eq!((said.addresses(), &said.info[..5]), ("N0CALL-2 > N0CALL-7".into(), "UI hi"));
        assert_eq!(words(&[&frame[..15], &[0x3f]].concat(), true).info, "SABM");
        assert_eq!(words(b"\x01\x32", true).info, "transmit delay 50");
        assert_eq!(words(b"\xff", true).info, "leave KISS");
        let numbered = [b"\x1c\x01\x02", &frame[1..]].concat();
        assert_eq!(words(&numbered, true).info[..5], *"UI hi");
        assert_eq!(words(b"\0whatever it may be", true).info, "data");
    }
}
