//! Words for packets of RDM (ANSI E1.20), behind the header that names Wireshark's dissector and
//! without their first octet.

use super::Words;
use super::octets::Octets;
use crate::exported_pdu;
use crate::hex::hex;

/// Words for a packet, such as `get 0060` from 0001:02030405 to 0006:0708090A.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (_, rdm) = exported_pdu::split(packet).unwrap_or_default();
    said(&mut Octets(rdm), intact).unwrap_or_else(|| Words::new("cut off in its header"))
}

fn said(octets: &mut Octets<'_>, intact: bool) -> Option<Words> {
    octets.take(2)?; // sub-start code, length
    let (to, from) = (uid(octets)?, uid(octets)?);
    let (transaction, rest) = (octets.octet()?, octets.take(4)?);
    let (command, parameter, len) = (octets.octet()?, octets.u16()?, octets.octet()?);
    let name = match command {
        0x10 => "discovery",
        0x11 => "discovery response",
        0x20 => "get",
        0x21 => "get response",
        0x30 => "set",
        0x31 => "set response",
        _ => "command",
    };
    let sub_device = u16::from_be_bytes([rest[2], rest[3]]);
    let mut info = format!("{name} {parameter:04X}");
    if intact && len > 0 {
        info.push_str(&format!(", {len} bytes"));
    }
    if sub_device != 0 {
        info.push_str(&format!(", sub-device {sub_device}"));
    }
    info.push_str(&format!(", transaction {transaction}"));
    Some(Words { source: Some(from), destination: Some(to), info, is_routine: false })
}

/// A maker and a device.
fn uid(octets: &mut Octets<'_>) -> Option<String> {
    let uid = octets.take(6)?;
    Some(format!("{}:{}", hex(&uid[..2], ""), hex(&uid[2..], "")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn a_packet_says_who_asks_for_what() {
        let rdm =
            [1, 24, 0, 1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 10, 9, 1, 0, 0, 0, 0x20, 0, 0x60, 0, 0, 0];
        let packet = [&Header::of("rdm").end(), &rdm[..]].concat();
        let words = words(&packet, true);
        assert_eq!(words.addresses(), "0006:0708090A > 0001:02030405");
        assert_eq!(words.info, "get 0060, transaction 9");
        assert_eq!(super::words(&packet[..20], true).info, "cut off in its header");
    }
}
