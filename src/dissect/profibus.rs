//! Words for telegrams of PROFIBUS (IEC 61158-4-3), behind the header that names Wireshark's
//! dissector.

use super::Words;
use crate::exported_pdu;
use crate::ft12::{self, ACK};

/// An address: it is followed by one of a service access point.
const EXTENDED: u8 = 0x80;
/// Starts a token.
const TOKEN: u8 = 0xdc;
/// FC: this is a request.
const REQUEST: u8 = 0x40;

/// Words for a telegram, such as `FDL status request` from 2 to 8.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (_, telegram) = exported_pdu::split(packet).unwrap_or_default();
    let address = |octet: u8| Some((octet & !EXTENDED).to_string());
    match *telegram {
        [ACK] => Words::new("short acknowledgement"),
        [TOKEN, to, from] => Words {
            source: address(from),
            destination: address(to),
            info: "Token".to_owned(),
            is_routine: intact,
        },
        _ => match ft12::body(telegram) {
            Some(&[to, from, control, ref data @ ..]) => Words {
                source: address(from),
                destination: address(to),
                info: said(control, to, from, data, intact),
                is_routine: false,
            },
            _ => Words::new("cut off in its header"),
        },
    }
}

/// Function, service access points and data.
fn said(control: u8, to: u8, from: u8, data: &[u8], intact: bool) -> String {
    let mut said = function(control).to_owned();
    if !intact {
        return said;
    }
    let mut data = data;
    for (name, address) in [("DSAP", to), ("SSAP", from)] {
        if address & EXTENDED != 0
            && let Some(point) = data.split_off_first()
        {
            said.push_str(&format!(" {name} {}", point & 0x3f));
        }
    }
    if !data.is_empty() {
        said.push_str(&format!(", {} bytes", data.len()));
    }
    said
}

/// What the frame control octet says.
fn function(control: u8) -> &'static str {
    match (control & REQUEST != 0, control & 0x0f) {
        (true, 0) => "time event",
        (true, 3) => "SDA low",
        (true, 4) => "SDN low",
        (true, 5) => "SDA high",
        (true, 6) => "SDN high",
        (true, 7) => "MSRD",
        (true, 9) => "FDL status request",
        (true, 12) => "SRD low",
        (true, 13) => "SRD high",
        (true, 14) => "ident request",
        (true, 15) => "LSAP status request",
        (false, 0) => "OK",
        (false, 1) => "user error",
        (false, 2) => "no resource",
        (false, 3) => "service not activated",
        (false, 8) => "data low",
        (false, 9) => "no data",
        (false, 10) => "data high",
        (false, 12) => "data low, no resource",
        (false, 13) => "data high, no resource",
        _ => "unknown function",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn telegrams_are_named() {
        let text = |telegram: &[u8]| {
            let packet = [&Header::of("data").end(), telegram].concat();
            let words = words(&packet, true);
            format!("{} {}", words.addresses(), words.info)
        };
        assert_eq!(text(&[0x10, 8, 2, 0x49, 0x53, 0x16]), "2 > 8 FDL status request");
        assert_eq!(text(&[0xdc, 3, 2]), "2 > 3 Token");
        assert_eq!(text(&[0xe5]), " short acknowledgement");
        let slave_diagnostics = [0x68, 5, 5, 0x68, 0x88, 0x82, 0x6d, 60, 62, 0, 0x16];
        assert_eq!(text(&slave_diagnostics), "2 > 8 SRD high DSAP 60 SSAP 62");
        assert_eq!(
            text(&[0x68, 7, 7, 0x68, 8, 2, 0x7d, 1, 2, 3, 4, 0, 0x16]),
            "2 > 8 SRD high, 4 bytes"
        );
        assert_eq!(text(&[0x10]), " cut off in its header");
    }
}
