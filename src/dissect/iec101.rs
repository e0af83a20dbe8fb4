//! Words for frames of IEC 60870-5-101 to -103, behind the header that names Wireshark's
//! dissector.
//!
//! How many octets an address takes is a setting of the plant that no frame tells: in frames without
//! ASDU their length does, in others the size behind which data are as long as they say. If none is,
//! the smaller one is taken if a known type follows.

use super::Words;
use crate::exported_pdu;
use crate::ft12::{self, ACK, Companion, PRIMARY};

/// Words for a frame, such as `request status of link` to 1.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (_, frame) = exported_pdu::split(packet).unwrap_or_default();
    if frame == [ACK] {
        return Words::new("acknowledged");
    }
    let Some(&[control, ref rest @ ..]) = ft12::body(frame) else {
        return Words::new("cut off in its header");
    };
    let function = function(control);
    let told = ft12::asdu(frame);
    let is_long = frame.first() == Some(&ft12::LONG);
    let is_short_address = match told {
        Some((size, _)) => size == 1,
        None => is_long && rest.get(1..).is_some_and(|asdu| type_name(asdu).is_some()),
    };
    let (address, asdu) = match *rest {
        [address, ref asdu @ ..] if is_short_address => (address.into(), asdu),
        [low, high, ref asdu @ ..] => (u16::from_le_bytes([low, high]), asdu),
        [address] => (address.into(), &[][..]),
        [] => return Words::new(function),
    };
    let name = match told {
        Some((_, Companion::Protection)) => protection_name(asdu),
        Some((_, Companion::Metering)) => None,
        Some((_, Companion::Telecontrol)) | None => type_name(asdu),
    };
    let info = match name.filter(|_| intact) {
        Some(name) => format!("{function}, {name}"),
        None => function.to_owned(),
    };
    let address = Some(address.to_string());
    if control & PRIMARY != 0 {
        Words { destination: address, info, ..Words::default() }
    } else {
        Words { source: address, info, ..Words::default() }
    }
}

/// What IEC 60870-5-2 calls the function in a control field.
fn function(control: u8) -> &'static str {
    match (control & PRIMARY != 0, control & 0x0f) {
        (true, 0) => "reset of remote link",
        (true, 1) => "reset of user process",
        (true, 2) => "test link",
        (true, 3) => "user data, confirm",
        (true, 4) => "user data",
        (true, 7) => "reset of frame count bit",
        (true, 8) => "request access demand",
        (true, 9) => "request status of link",
        (true, 10) => "request user data class 1",
        (true, 11) => "request user data class 2",
        (false, 0) => "ACK",
        (false, 1) => "NACK, link busy",
        (false, 8) => "user data",
        (false, 9) => "no data",
        (false, 11) => "status of link",
        (false, 14) => "link not functioning",
        (false, 15) => "link not implemented",
        _ => "unknown function",
    }
}

/// What IEC 60870-5-101, clause 7.2.1.1, calls the type of an ASDU.
fn type_name(asdu: &[u8]) -> Option<&'static str> {
    let name = match *asdu.first()? {
        1 => "single points",
        2 => "single points with time",
        3 => "double points",
        4 => "double points with time",
        5 => "step positions",
        7 => "bit strings",
        9 => "measured values, normalized",
        11 => "measured values, scaled",
        13 => "measured values, floating point",
        15 => "integrated totals",
        30 => "single points with time (CP56)",
        31 => "double points with time (CP56)",
        34 => "measured values, normalized, with time (CP56)",
        35 => "measured values, scaled, with time (CP56)",
        36 => "measured values, floating point, with time (CP56)",
        37 => "integrated totals with time (CP56)",
        45 => "single command",
        46 => "double command",
        47 => "regulating step command",
        48 => "set point, normalized",
        49 => "set point, scaled",
        50 => "set point, floating point",
        70 => "end of initialization",
        100 => "interrogation",
        101 => "counter interrogation",
        102 => "read",
        103 => "clock synchronization",
        104 => "test",
        105 => "reset process",
        120..=126 => "file transfer",
        _ => return None,
    };
    Some(name)
}

/// The same of IEC 60870-5-103, clause 7.2.1.
fn protection_name(asdu: &[u8]) -> Option<&'static str> {
    let name = match *asdu.first()? {
        1 => "message with time",
        2 => "message with relative time",
        3 | 9 => "measurands",
        4 => "measurands with relative time",
        5 => "identification",
        6 => "time synchronization",
        7 => "general interrogation",
        8 => "end of general interrogation",
        20 => "general command",
        24 | 25 => "disturbance data",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn functions_and_types_are_named() {
        let text = |frame: &[u8]| {
            let packet = [&Header::of("data").end(), frame].concat();
            let words = words(&packet, true);
            format!("{} {}", words.addresses(), words.info)
        };
        assert_eq!(text(&[0x10, 0x49, 1, 0x4a, 0x16]), "> 1 request status of link");
        assert_eq!(text(&[0x10, 0x0b, 1, 2, 0x0e, 0x16]), "513 status of link");
        assert_eq!(text(&[0xe5]), " acknowledged");
        let all = [0x68, 9, 9, 0x68, 0x53, 7, 100, 1, 6, 7, 0, 0, 20, 0, 0x16];
        assert_eq!(text(&all), "> 7 user data, confirm, interrogation");
        let wide = [0x68, 9, 9, 0x68, 0x08, 7, 0, 100, 1, 6, 7, 0, 20, 0, 0x16];
        assert_eq!(text(&wide), "7 user data, interrogation");
        // Of a protection device: IEC 60870-5-103.
        let end = [0x68, 9, 9, 0x68, 0x08, 7, 8, 0x81, 10, 7, 255, 0, 5, 0, 0x16];
        assert_eq!(text(&end), "7 user data, end of general interrogation");
        let time = [0x68, 9, 9, 0x68, 0x73, 0xd2, 0xb7, 103, 0, 5, 1, 0, 0, 0, 0x16];
        assert_eq!(text(&time), "> 47058 user data, confirm", "a meter: IEC 60870-5-102");
        assert_eq!(text(&[0x68, 1]), " cut off in its header");
    }
}
