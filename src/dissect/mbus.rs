//! Words for frames of wired M-Bus (EN 13757-2 and -3), behind the header that names Wireshark's
//! dissector.

use super::Words;
use super::octets::Octets;
use crate::exported_pdu;
use crate::ft12::{self, ACK};

/// Control field: it comes from the master.
const FROM_MASTER: u8 = 0x40;
/// What the one that asks is called; it has no address.
const MASTER: &str = "master";
/// A number that the meter chose: its other fields are the other way round.
const BINARY_CODED: std::ops::RangeInclusive<u8> = 0..=9;

/// Words for a frame, such as `RSP_UD 11490378 ACW water` from 1 to the master.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (_, frame) = exported_pdu::split(packet).unwrap_or_default();
    if frame == [ACK] {
        return Words::new("acknowledged");
    }
    let Some(&[control, address, ref rest @ ..]) = ft12::body(frame) else {
        return Words::new("cut off in its header");
    };
    let said = if intact { said(rest) } else { None };
    let info = match said {
        Some(said) => format!("{} {said}", name(control)),
        None => name(control).to_owned(),
    };
    let (master, meter) = (Some(MASTER.to_owned()), Some(address.to_string()));
    let (source, destination) =
        if control & FROM_MASTER != 0 { (master, meter) } else { (meter, master) };
    Words { source, destination, info, is_routine: false }
}

/// What EN 13757-2 calls a control field.
fn name(control: u8) -> &'static str {
    match control & 0x4f {
        0x40 => "SND_NKE",
        0x43 => "SND_UD",
        0x49 => "REQ_SKE",
        0x4a => "REQ_UD1",
        0x4b => "REQ_UD2",
        0x08 => "RSP_UD",
        0x00 => "ACK",
        0x01 => "NACK",
        0x0b => "RSP_SKE",
        _ => "unknown control field",
    }
}

/// What comes behind the address: a meter with its number, maker and medium, or a command.
fn said(rest: &[u8]) -> Option<String> {
    let mut octets = Octets(rest);
    let name = match octets.octet()? {
        segment @ 0x00..=0x1f => return Some(dlms(segment, &mut octets)),
        0x72 => return meter(&mut octets),
        0x51 => "data",
        0x52 => return Some(format!("select {}", number(octets.take(4)?)?)),
        0x50 => "application reset",
        0x54 => "synchronize",
        0x5a => "alarm status",
        0x6c => "time",
        0x70 => return Some(format!("error {}", octets.octet()?)),
        0x71 => "alarm",
        0x73 => "fixed data",
        0x78 => "data without header",
        0x7a => "data with short header",
        0xb8..=0xbf => "set baud rate",
        other => return Some(format!("CI {other:02x}")),
    };
    Some(name.to_owned())
}

/// A segment of DLMS (EN 13757-3, 5.2): its number, whether it is the last one, and what the first
/// one begins behind the two access points.
fn dlms(segment: u8, octets: &mut Octets<'_>) -> String {
    const LAST: u8 = 0x10;
    let mut said = format!("DLMS segment {}", segment & !LAST);
    if segment & LAST != 0 {
        said.push_str(", last");
    }
    if segment & !LAST == 0
        && let Some(&[_, _, tag]) = octets.take(3)
    {
        said.push_str(", ");
        said.push_str(&super::dlms::tag_name(tag));
    }
    said
}

/// The long header of a meter's data.
fn meter(octets: &mut Octets<'_>) -> Option<String> {
    let number = number(octets.take(4)?)?;
    let maker = octets.take(2)?;
    let maker = u16::from_le_bytes([maker[0], maker[1]]);
    let letter = |bits: u16| char::from(b'@' + (maker >> bits & 0x1f) as u8);
    let maker: String = [10, 5, 0].map(letter).iter().collect();
    let (_version, medium) = (octets.octet()?, octets.octet()?);
    let medium = match medium {
        0x00 => "other",
        0x01 => "oil",
        0x02 => "electricity",
        0x03 => "gas",
        0x04 | 0x0c => "heat",
        0x05 => "steam",
        0x06 | 0x15 => "hot water",
        0x07 => "water",
        0x08 => "heat cost allocator",
        0x0a | 0x0b => "cooling",
        0x0d => "heat and cooling",
        0x16 => "cold water",
        _ => return Some(format!("{number} {maker} medium {medium:02x}")),
    };
    Some(format!("{number} {maker} {medium}"))
}

/// A number of eight digits, low ones first; wildcards are F.
fn number(octets: &[u8]) -> Option<String> {
    let digit = |digit: u8| BINARY_CODED.contains(&digit) || digit == 0x0f;
    let digits: String = octets.iter().rev().map(|octet| format!("{octet:02X}")).collect();
    octets.iter().all(|octet| digit(octet & 0x0f) && digit(octet >> 4)).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    fn text(frame: &[u8], intact: bool) -> String {
        let packet = [&Header::of("data").end(), frame].concat();
        let words = words(&packet, intact);
        format!("{} {}", words.addresses(), words.info)
    }

    #[test]
    fn requests_and_meters_are_named() {
        assert_eq!(text(&[0x10, 0x40, 0xfd, 0x3d, 0x16], true), "master > 253 SND_NKE");
        assert_eq!(text(&[0x10, 0x7b, 1, 0x7c, 0x16], true), "master > 1 REQ_UD2");
        assert_eq!(text(&[0xe5], true), " acknowledged");
        let meter = [
            &[0x68, 11, 11, 0x68, 8, 8, 0x72][..],
            &[0x78, 3, 0x49, 0x11, 0x77, 4, 0x0e, 0x16, 0, 0x16],
        ]
        .concat();
        assert_eq!(text(&meter, true), "8 > master RSP_UD 11490378 ACW cold water");
        assert_eq!(text(&meter, false), "8 > master RSP_UD");
        let select = [0x68, 11, 11, 0x68, 0x73, 0xfd, 0x52, 1, 2, 3, 0xf4, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(
            text(&[&select[..], &[0, 0x16]].concat(), true),
            "master > 253 SND_UD select F4030201"
        );
        let dlms = [0x68, 9, 9, 0x68, 0x53, 0xff, 0, 1, 0x67, 0xdb, 8, 1, 2, 0, 0x16];
        assert_eq!(text(&dlms, true), "master > 255 SND_UD DLMS segment 0, general-glo-ciphering");
        let last = [0x68, 6, 6, 0x68, 0x53, 0xff, 0x11, 1, 0x67, 5, 0, 0x16];
        assert_eq!(text(&last, true), "master > 255 SND_UD DLMS segment 1, last");
        assert_eq!(text(&[0x68, 3], false), " cut off in its header");
    }
}
