//! Words for PPP packets without flags and FCS (RFC 1661, RFC 1662).

use super::octets::Octets;
use super::{Words, ip};

/// Address and control field, which may be left out.
const ADDRESS_AND_CONTROL: [u8; 2] = [0xff, 0x03];

/// Words for a packet, such as `LCP Configure-Request 1`.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let packet = without_direction(packet);
    let mut rest = Octets(packet.strip_prefix(&ADDRESS_AND_CONTROL).unwrap_or(packet));
    let Some(protocol) = protocol(&mut rest) else { return Words::new("cut off in its header") };
    match protocol {
        0x0021 | 0x0057 => ip::words(rest.0, intact),
        _ => {
            let name = name(protocol);
            let code = rest.octet().zip(rest.octet());
            match code.filter(|_| intact) {
                Some((code, id)) => match message(protocol, code) {
                    Some(message) => Words::new(format!("{name} {message} {id}")),
                    None => Words::new(name),
                },
                None => Words::new(name),
            }
        }
    }
}

/// The protocol field: one octet if that is odd (RFC 1661, 6.5).
fn protocol(rest: &mut Octets<'_>) -> Option<u16> {
    let high = rest.octet()?;
    if high & 1 == 1 {
        return Some(high.into());
    }
    Some(u16::from_be_bytes([high, rest.octet()?]))
}

fn name(protocol: u16) -> String {
    let name = match protocol {
        0x002d => "compressed TCP/IP",
        0x002f => "uncompressed TCP/IP",
        0x00fd => "compressed",
        0x8021 => "IPCP",
        0x8057 => "IPV6CP",
        0x80fd => "CCP",
        0xc021 => "LCP",
        0xc023 => "PAP",
        0xc223 => "CHAP",
        other => return format!("PPP protocol {other:04x}"),
    };
    name.to_owned()
}

/// What a code means, in the protocols whose packets have one and an identifier.
fn message(protocol: u16, code: u8) -> Option<&'static str> {
    let names: &[&str] = match protocol {
        0xc023 => &["Authenticate-Request", "Authenticate-Ack", "Authenticate-Nak"],
        0xc223 => &["Challenge", "Response", "Success", "Failure"],
        0x8000..=0xbfff | 0xc021 => &[
            "Configure-Request",
            "Configure-Ack",
            "Configure-Nak",
            "Configure-Reject",
            "Terminate-Request",
            "Terminate-Ack",
            "Code-Reject",
            "Protocol-Reject",
            "Echo-Request",
            "Echo-Reply",
            "Discard-Request",
        ],
        _ => &[],
    };
    names.get(usize::from(code).checked_sub(1)?).copied()
}

/// A packet without the octet that says which way it goes, if it has one: told by what is behind it.
pub(crate) fn without_direction(packet: &[u8]) -> &[u8] {
    match packet {
        [0 | 1, rest @ ..] if rest.starts_with(&ADDRESS_AND_CONTROL) => rest,
        _ => packet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        let info = |packet: &[u8]| words(packet, true).info;
        assert_eq!(info(b"\xff\x03\xc0\x21\x01\x07\0\x04"), "LCP Configure-Request 7");
        assert_eq!(info(b"\x01\xff\x03\xc0\x21\x01\x07\0\x04"), "LCP Configure-Request 7");
        assert_eq!(info(b"\xff\x03\xc2\x23\x03\x02\0\x04"), "CHAP Success 2");
        assert_eq!(info(b"\x80\x21\x63\x02\0\x04"), "IPCP");
        assert_eq!(info(b"\xff\x03\x42\x43"), "PPP protocol 4243");
        assert_eq!(info(b"\xff"), "PPP protocol 00ff");
        assert_eq!(info(b"\xff\x03"), "cut off in its header");
        assert_eq!(words(b"\xff\x03\xc0\x21\x01\x07", false).info, "LCP");
        let ip = b"\x21\x45\0\0\x14\0\x01\0\0\x40\x06\0\0\x0a\0\0\x01\x0a\0\0\x02";
        assert_eq!(
            (words(ip, true).addresses(), info(ip)),
            ("10.0.0.1 > 10.0.0.2".into(), "TCP".into())
        );
    }
}
