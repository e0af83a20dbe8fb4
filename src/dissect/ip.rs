//! Words for IP packets: who, and which ports or message (RFC 791, RFC 8200).

use super::Words;
use super::octets::Octets;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What is inside, by the numbers that IPv4 and IPv6 share.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Words for a packet, such as `UDP 9998 > 9999` from 10.0.0.1 to 10.0.0.2.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let said = match packet.first().map(|first| first >> 4) {
        Some(4) => ipv4(packet),
        Some(6) => ipv6(packet),
        _ => None,
    };
    let Some((source, destination, protocol, inside)) = said else {
        return Words::new("cut off in its header");
    };
    let info = if intact { in_words(protocol, inside) } else { name(protocol) };
    Words { source: Some(source), destination: Some(destination), info, is_routine: false }
}

/// Source, destination, what is inside, and its octets.
type Header<'a> = (String, String, u8, &'a [u8]);

fn ipv4(packet: &[u8]) -> Option<Header<'_>> {
    let len = usize::from(packet.first()? & 0x0f) * 4;
    let mut header = Octets(packet.get(..len)?);
    header.take(9)?;
    let protocol = header.octet()?;
    header.take(2)?;
    let mut address = || <[u8; 4]>::try_from(header.take(4)?).ok().map(Ipv4Addr::from);
    let (source, destination) = (address()?, address()?);
    // The ports are in the first fragment alone.
    let is_first = packet.get(6..8).is_some_and(|word| word[0] & 0x1f == 0 && word[1] == 0);
    let inside = if is_first { packet.get(len..).unwrap_or_default() } else { &[] };
    Some((source.to_string(), destination.to_string(), protocol, inside))
}

fn ipv6(packet: &[u8]) -> Option<Header<'_>> {
    let mut rest = Octets(packet);
    rest.take(6)?;
    let protocol = rest.octet()?;
    rest.octet()?;
    let mut address = || <[u8; 16]>::try_from(rest.take(16)?).ok().map(Ipv6Addr::from);
    let (source, destination) = (address()?, address()?);
    Some((source.to_string(), destination.to_string(), protocol, rest.0))
}

fn name(protocol: u8) -> String {
    match protocol {
        ICMP => "ICMP".to_owned(),
        TCP => "TCP".to_owned(),
        UDP => "UDP".to_owned(),
        ICMPV6 => "ICMPv6".to_owned(),
        other => format!("IP protocol {other}"),
    }
}

fn in_words(protocol: u8, inside: &[u8]) -> String {
    let name = name(protocol);
    let mut inside = Octets(inside);
    let said = match protocol {
        TCP | UDP => inside.u16().zip(inside.u16()).map(|(from, to)| format!("{from} > {to}")),
        ICMP | ICMPV6 => inside.octet().map(|kind| match (protocol, kind) {
            (ICMP, 8) | (ICMPV6, 128) => "echo request".to_owned(),
            (ICMP, 0) | (ICMPV6, 129) => "echo reply".to_owned(),
            (ICMPV6, 133) => "router solicitation".to_owned(),
            (ICMPV6, 134) => "router advertisement".to_owned(),
            (ICMPV6, 135) => "neighbor solicitation".to_owned(),
            (ICMPV6, 136) => "neighbor advertisement".to_owned(),
            (ICMPV6, 155) => "RPL".to_owned(),
            (_, kind) => format!("type {kind}"),
        }),
        _ => None,
    };
    said.map_or_else(|| name.clone(), |said| format!("{name} {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(packet: &[u8]) -> String {
        let words = words(packet, true);
        format!("{}: {}", words.addresses(), words.info)
    }

    #[test]
    fn who_and_what() {
        let udp = b"\x45\0\0\x20\0\x01\0\0\x40\x11\x66\xc1\x0a\0\0\x01\x0a\0\0\x02\
                    \x27\x0e\x27\x0f\0\x0c\0\0Hell";
        assert_eq!(said(udp), "10.0.0.1 > 10.0.0.2: UDP 9998 > 9999");
        let mut later = *udp;
        later[7] = 1;
        assert_eq!(said(&later), "10.0.0.1 > 10.0.0.2: UDP");
        assert_eq!(words(udp, false).info, "UDP");
        let mut echo = vec![0x60, 0, 0, 0, 0, 8, 58, 64];
        echo.extend(Ipv6Addr::LOCALHOST.octets());
        echo.extend("fe80::2".parse::<Ipv6Addr>().unwrap().octets());
        echo.push(128);
        assert_eq!(said(&echo), "::1 > fe80::2: ICMPv6 echo request");
        for len in 0..20 {
            assert_eq!(words(&udp[..len], true), Words::new("cut off in its header"));
        }
    }
}
