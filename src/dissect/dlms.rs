//! Words for HDLC frames of DLMS/COSEM (IEC 62056-46 and -53), behind the header that names
//! Wireshark's dissector.

use super::Words;
use super::octets::Octets;
use crate::exported_pdu;

const FLAG: u8 = 0x7e;
/// Frame format: more segments follow.
const SEGMENTED: u8 = 0x08;
const CHECK_LEN: usize = 2;

/// Words for a frame, such as `SNRM` from 32 to 1/20.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (_, frame) = exported_pdu::split(packet).unwrap_or_default();
    let mut octets = Octets(frame.strip_prefix(&[FLAG]).unwrap_or(frame));
    header(&mut octets, intact).unwrap_or_else(|| Words::new("cut off in its header"))
}

/// Words for what begins with the frame format.
fn header(octets: &mut Octets<'_>, intact: bool) -> Option<Words> {
    let (format, _) = (octets.octet()?, octets.octet()?);
    let (to, from) = (address(octets)?, address(octets)?);
    let control = octets.octet()?;
    let mut info = name(control);
    if format & SEGMENTED != 0 {
        info.push_str(", segment");
    }
    // Behind the header's check sequence, before the frame's and the flag.
    let information = octets.take(CHECK_LEN).map(|_| octets.0);
    let apdu = information.and_then(|information| Octets(information).take(4));
    if let Some(apdu) = apdu.filter(|_| intact).and_then(apdu_name) {
        info.push_str(", ");
        info.push_str(&apdu);
    }
    Some(Words { source: Some(from), destination: Some(to), info, is_routine: false })
}

/// An address: of a client, or of a logical device, with a slash before the physical one.
fn address(octets: &mut Octets<'_>) -> Option<String> {
    let len = octets.0.iter().take(4).position(|octet| octet & 1 != 0)? + 1;
    let bits =
        |octets: &[u8]| octets.iter().fold(0_u32, |sum, octet| sum << 7 | u32::from(octet >> 1));
    let address = octets.take(len)?;
    if len == 1 {
        return Some(bits(address).to_string());
    }
    let (upper, lower) = address.split_at(len / 2);
    Some(format!("{}/{}", bits(upper), bits(lower)))
}

/// What HDLC calls a control field.
fn name(control: u8) -> String {
    let (sent, received) = (control >> 1 & 7, control >> 5);
    let name = match control & !0x10 {
        information if information & 1 == 0 => return format!("I {sent} {received}"),
        ready if ready & 0x0f == 0x01 => return format!("RR {received}"),
        busy if busy & 0x0f == 0x05 => return format!("RNR {received}"),
        0x83 => "SNRM",
        0x63 => "UA",
        0x43 => "DISC",
        0x0f => "DM",
        0x87 => "FRMR",
        0x03 => "UI",
        other => return format!("control {other:02x}"),
    };
    name.to_owned()
}

/// What comes first in an LLC frame.
fn apdu_name(llc: &[u8]) -> Option<String> {
    let &[0xe6, 0xe6 | 0xe7, 0x00, tag] = llc else { return None };
    Some(tag_name(tag))
}

/// What an APDU with this tag is called.
pub(super) fn tag_name(tag: u8) -> String {
    let name = match tag {
        0x0f => "data-notification",
        0x60 => "AARQ",
        0x61 => "AARE",
        0x62 => "RLRQ",
        0x63 => "RLRE",
        0xc0 => "get-request",
        0xc1 => "set-request",
        0xc2 => "event-notification",
        0xc3 => "action-request",
        0xc4 => "get-response",
        0xc5 => "set-response",
        0xc7 => "action-response",
        0xc8..=0xcf => "ciphered",
        0xd8 => "exception-response",
        0xdb => "general-glo-ciphering",
        0xdc => "general-ded-ciphering",
        0xdd => "general-ciphering",
        0xdf => "general-signing",
        0xe0 => "general-block-transfer",
        _ => return format!("APDU {tag:02x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn frames_are_named() {
        let text = |frame: &[u8], intact| {
            let packet = [&Header::of("data").end(), frame].concat();
            let words = words(&packet, intact);
            format!("{} {}", words.addresses(), words.info)
        };
        let snrm = [0x7e, 0xa0, 0x08, 2, 0x29, 0x41, 0x93, 0x92, 0x72, 0x7e];
        assert_eq!(text(&snrm, true), "32 > 1/20 SNRM");
        let get = [0x7e, 0xa0, 0x1a, 2, 0x29, 0x41, 0x32, 0xd9, 0x64, 0xe6, 0xe6, 0, 0xc0, 1];
        assert_eq!(text(&get, true), "32 > 1/20 I 1 1, get-request");
        assert_eq!(text(&get[1..], true), "32 > 1/20 I 1 1, get-request");
        assert_eq!(text(&get, false), "32 > 1/20 I 1 1");
        assert_eq!(text(&[0x7e, 0xa8, 0xa4, 0xcf, 2, 0x23, 3], true), "1/17 > 103 UI, segment");
        assert_eq!(text(&snrm[..5], true), " cut off in its header");
    }
}
