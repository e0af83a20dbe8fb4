//! Words for frames of BACnet MS/TP (ASHRAE 135, clause 9.3), from the preamble on.

use super::{Words, bacnet};
use crate::cobs;

/// Token, Poll For Master, Reply To Poll For Master.
const ROUTINE: std::ops::RangeInclusive<u8> = 0..=2;
/// Preamble, type, destination, source, length, header CRC.
const HEADER_LEN: usize = 8;
/// Of data that is not COBS encoded.
const CRC_LEN: usize = 2;

/// Words for a frame, such as `Token` from 5 to 16.
pub fn words(frame: &[u8], intact: bool) -> Words {
    let &[0x55, 0xff, frame_type, destination, source, ..] = frame else {
        return Words::new("cut off in its header");
    };
    let npdu = if intact { npdu(frame_type, frame) } else { None };
    let said = npdu.and_then(|npdu| bacnet::words(&npdu));
    Words {
        source: Some(source.to_string()),
        destination: Some(destination.to_string()),
        info: said.unwrap_or_else(|| name(frame_type)),
        is_routine: intact && ROUTINE.contains(&frame_type),
    }
}

/// What clause 9.3 and Annex T call a frame of this type.
fn name(frame_type: u8) -> String {
    let name = match frame_type {
        0 => "Token",
        1 => "Poll For Master",
        2 => "Reply To Poll For Master",
        3 => "Test_Request",
        4 => "Test_Response",
        5 => "BACnet Data Expecting Reply",
        6 => "BACnet Data Not Expecting Reply",
        7 => "Reply Postponed",
        32 => "BACnet Extended Data Expecting Reply",
        33 => "BACnet Extended Data Not Expecting Reply",
        34 => "IPv6 over MS/TP",
        128.. => return format!("proprietary {frame_type}"),
        _ => return format!("reserved {frame_type}"),
    };
    name.to_owned()
}

/// The network message in a frame that carries one.
fn npdu(frame_type: u8, frame: &[u8]) -> Option<Vec<u8>> {
    let data = frame.get(HEADER_LEN..)?;
    match frame_type {
        5 | 6 => Some(data.split_last_chunk::<CRC_LEN>()?.0.to_vec()),
        32 | 33 => cobs::decode(data.split_last_chunk::<{ cobs::ENCODED_CRC_LEN }>()?.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frame: &[u8], intact: bool) -> String {
        let words = words(frame, intact);
        format!("{} {}", words.addresses(), words.info)
    }

    #[test]
    fn each_frame_type_has_its_name() {
        let names = [
            (0, "Token"),
            (1, "Poll For Master"),
            (2, "Reply To Poll For Master"),
            (3, "Test_Request"),
            (4, "Test_Response"),
            (5, "BACnet Data Expecting Reply"),
            (6, "BACnet Data Not Expecting Reply"),
            (7, "Reply Postponed"),
            (8, "reserved 8"),
            (31, "reserved 31"),
            (32, "BACnet Extended Data Expecting Reply"),
            (33, "BACnet Extended Data Not Expecting Reply"),
            (34, "IPv6 over MS/TP"),
            (127, "reserved 127"),
            (128, "proprietary 128"),
        ];
        for (frame_type, name) in names {
            let header = [0x55, 0xff, frame_type, 0x10, 5];
            assert_eq!(text(&header, true), format!("5 > 16 {name}"));
            assert_eq!(words(&header, true).is_routine, frame_type < 3);
            assert!(!words(&header, false).is_routine, "damage is worth a look");
        }
        assert_eq!(text(&[0x55, 0xff, 0, 1], true), " cut off in its header");
    }

    #[test]
    fn a_damaged_frame_says_what_its_header_says() {
        let who_is = [&[0x55, 0xff, 6, 0xff, 2, 0, 8, 0][..], &WHO_IS, &[0, 0]].concat();
        assert_eq!(text(&who_is, true), "2 > 255 who-Is");
        assert_eq!(text(&who_is, false), "2 > 255 BACnet Data Not Expecting Reply");
    }

    const WHO_IS: [u8; 8] = [1, 0x20, 0xff, 0xff, 0, 0xff, 0x10, 8];
}
