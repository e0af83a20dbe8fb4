//! Words for telegrams of KNX TP1, as they are recorded: intact ones as cEMI, others as received.

use super::Words;
use crate::exported_pdu;
use crate::hex::hex;

/// L_Data.ind, without additional information.
const CEMI: [u8; 2] = [0x29, 0x00];
/// In the octet with the hop count: the destination is a group.
const GROUP: u8 = 0x80;

/// Words for a telegram, such as `GroupValueWrite 0C1C` from 1.1.110 to 5/0/110.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (_, telegram) = exported_pdu::split(packet).unwrap_or_default();
    match *telegram {
        [octet] if intact => Words::new(match octet {
            0xcc => "acknowledged",
            0x0c => "not acknowledged",
            _ => "busy",
        }),
        [a, b, _, control, s1, s2, d1, d2, _, ref said @ ..] if intact && [a, b] == CEMI => {
            let is_group = control & GROUP != 0;
            addressed([s1, s2], [d1, d2], is_group, said_in(said))
        }
        [control, s1, s2, d1, d2, address, ..] if control & 0x80 != 0 => {
            addressed([s1, s2], [d1, d2], address & GROUP != 0, "telegram".to_owned())
        }
        [_, address, s1, s2, d1, d2, ..] => {
            addressed([s1, s2], [d1, d2], address & GROUP != 0, "extended telegram".to_owned())
        }
        _ => Words::new("cut off in its header"),
    }
}

fn addressed(source: [u8; 2], destination: [u8; 2], is_group: bool, info: String) -> Words {
    let device = |[high, low]: [u8; 2]| format!("{}.{}.{low}", high >> 4, high & 0x0f);
    let group = |[high, low]: [u8; 2]| format!("{}/{}/{low}", high >> 3, high & 0x07);
    Words {
        source: Some(device(source)),
        destination: Some(if is_group { group(destination) } else { device(destination) }),
        info,
        is_routine: false,
    }
}

/// What TPCI, APCI and data say.
fn said_in(octets: &[u8]) -> String {
    let &[tpci, ref rest @ ..] = octets else { return "telegram".to_owned() };
    let name = match (tpci, rest.first()) {
        (0x80, _) => "connect",
        (0x81, _) => "disconnect",
        (0xc0.., _) if tpci & 1 == 0 => "T_ACK",
        (0xc0.., _) => "T_NAK",
        (_, None) => "telegram",
        (_, Some(apci)) => match u16::from(tpci & 3) << 2 | u16::from(apci >> 6) {
            0 => "GroupValueRead",
            1 => "GroupValueResponse",
            2 => "GroupValueWrite",
            3 => "IndividualAddressWrite",
            4 => "IndividualAddressRead",
            5 => "IndividualAddressResponse",
            6 => "ADCRead",
            7 => "ADCResponse",
            8 => "MemoryRead",
            9 => "MemoryResponse",
            10 => "MemoryWrite",
            12 => "DeviceDescriptorRead",
            13 => "DeviceDescriptorResponse",
            14 => "Restart",
            _ => "other service",
        },
    };
    let mut said = name.to_owned();
    // A value of up to six bits is in the same octet as its service.
    match *rest {
        [apci] if matches!(name, "GroupValueResponse" | "GroupValueWrite") => {
            said.push_str(&format!(" {:X}", apci & 0x3f));
        }
        [_, ref data @ ..] if !data.is_empty() => {
            said.push(' ');
            said.push_str(&hex(data, ""));
        }
        _ => {}
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn telegrams_are_shown_as_their_tools_do() {
        let text = |telegram: &[u8], intact| {
            let packet = [&Header::of("cemi").end(), telegram].concat();
            let words = words(&packet, intact);
            format!("{} {}", words.addresses(), words.info)
        };
        let write = [0x29, 0, 0xbc, 0xe0, 0x11, 0x6e, 0x28, 0x6e, 3, 0, 0x80, 0x0c, 0x1c];
        assert_eq!(text(&write, true), "1.1.110 > 5/0/110 GroupValueWrite 0C1C");
        let on = [0x29, 0, 0xbc, 0xe0, 0x11, 0x6e, 0x28, 0x6e, 1, 0, 0x81];
        assert_eq!(text(&on, true), "1.1.110 > 5/0/110 GroupValueWrite 1");
        let connect = [0x29, 0, 0xb0, 0x60, 0x11, 1, 0x12, 2, 0, 0x80];
        assert_eq!(text(&connect, true), "1.1.1 > 1.2.2 connect");
        assert_eq!(text(&[0xcc], true), " acknowledged");
        let raw = [0xbc, 0x11, 0x6e, 0x28, 0x6e, 0xe3, 0, 0x80];
        assert_eq!(text(&raw, false), "1.1.110 > 5/0/110 telegram");
        assert_eq!(text(&raw[..3], false), " cut off in its header");
    }
}
