//! Words for frames of DNP3 (IEEE 1815), behind the header that names Wireshark's dissector.

use super::Words;
use super::octets::Octets;
use crate::exported_pdu;

/// Control field: it comes from the master.
const FROM_MASTER: u8 = 0x80;
/// Control field: it comes from the station that began.
const PRIMARY: u8 = 0x40;
/// The header with its CRC.
const HEADER_LEN: usize = 10;
/// A transport octet: this is the first segment of what is said.
const FIRST: u8 = 0x40;

/// Words for a frame, such as `master read` from 1 to 1024.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (_, frame) = exported_pdu::split(packet).unwrap_or_default();
    let &[0x05, 0x64, _, control, to_low, to_high, from_low, from_high, ..] = frame else {
        return Words::new("cut off in its header");
    };
    let said = if intact { frame.get(HEADER_LEN..).and_then(application) } else { None };
    let side = if control & FROM_MASTER != 0 { "master" } else { "outstation" };
    Words {
        source: Some(u16::from_le_bytes([from_low, from_high]).to_string()),
        destination: Some(u16::from_le_bytes([to_low, to_high]).to_string()),
        info: format!("{side} {}", said.unwrap_or_else(|| link(control).to_owned())),
        is_routine: false,
    }
}

/// What the control field says.
fn link(control: u8) -> &'static str {
    match (control & PRIMARY != 0, control & 0x0f) {
        (true, 0) => "reset link",
        (true, 2) => "test link",
        (true, 3) => "confirmed user data",
        (true, 4) => "unconfirmed user data",
        (true, 9) => "request link status",
        (false, 0) => "ACK",
        (false, 1) => "NACK",
        (false, 11) => "link status",
        (false, 15) => "not supported",
        _ => "unknown function",
    }
}

/// What the application layer says, in the first segment.
fn application(data: &[u8]) -> Option<String> {
    let mut octets = Octets(data);
    let (transport, _control, function) = (octets.octet()?, octets.octet()?, octets.octet()?);
    if transport & FIRST == 0 {
        return Some("next segment".to_owned());
    }
    let name = match function {
        0 => "confirm",
        1 => "read",
        2 => "write",
        3 => "select",
        4 => "operate",
        5 => "direct operate",
        6 => "direct operate, no answer",
        7 => "freeze",
        8 => "freeze, no answer",
        9 => "freeze and clear",
        13 => "cold restart",
        14 => "warm restart",
        20 => "enable unsolicited",
        21 => "disable unsolicited",
        22 => "assign class",
        23 => "delay measurement",
        24 => "record current time",
        129 => "response",
        130 => "unsolicited response",
        _ => return Some(format!("function {function}")),
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn a_frame_says_who_asks_what() {
        let text = |frame: &[u8], intact| {
            let packet = [&Header::of("dnp3.udp").end(), frame].concat();
            let words = words(&packet, intact);
            format!("{} {}", words.addresses(), words.info)
        };
        let reset = [5, 0x64, 5, 0xc0, 1, 0, 0, 4, 0xe9, 0x21];
        assert_eq!(text(&reset, true), "1024 > 1 master reset link");
        assert_eq!(
            text(&[5, 0x64, 5, 0x0b, 0, 4, 1, 0, 0, 0], true),
            "1 > 1024 outstation link status"
        );
        let read = [5, 0x64, 8, 0xc4, 1, 0, 0, 4, 0, 0, 0xc0, 0xc1, 1, 0, 0];
        assert_eq!(text(&read, true), "1024 > 1 master read");
        assert_eq!(text(&read, false), "1024 > 1 master unconfirmed user data");
        assert_eq!(text(&read[..7], false), " cut off in its header");
    }
}
