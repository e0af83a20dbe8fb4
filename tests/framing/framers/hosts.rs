//! Good frames of the protocols between a host and a module, as they are on the wire.

use crc::{CRC_16_IBM_SDLC, CRC_16_MODBUS, Crc};
use proptest::collection::vec;
use proptest::prelude::*;

/// Frames of the protocol `name`, if it is one of these.
pub fn good(name: &str) -> Option<BoxedStrategy<Vec<u8>>> {
    Some(match name {
        "ppp" => ppp(),
        "slip" => slip(),
        "kiss" => kiss(),
        "raw" => raw(),
        "slcan" => slcan(),
        "zwave" => zwave(),
        _ => return None,
    })
}

/// `octets` between flags, some of them behind an escape as what `escaped` says.
fn stuffed(octets: &[u8], flag: u8, escape: u8, escaped: impl Fn(u8) -> Option<u8>) -> Vec<u8> {
    let mut frame = vec![flag];
    for &octet in octets {
        match escaped(octet) {
            Some(stand_in) => frame.extend([escape, stand_in]),
            None => frame.push(octet),
        }
    }
    frame.push(flag);
    frame
}

fn ppp() -> BoxedStrategy<Vec<u8>> {
    (vec(any::<u8>(), 2..90), any::<bool>())
        .prop_map(|(data, is_early)| {
            let packet = [&[0xff, 0x03, 0xc0, 0x21][..], &data].concat();
            let fcs = Crc::<u16>::new(&CRC_16_IBM_SDLC).checksum(&packet).to_le_bytes();
            // Until both sides have agreed on less, all control characters are escaped.
            let is_escaped = |octet| matches!(octet, 0x7d | 0x7e) || is_early && octet < 0x20;
            let escaped = |octet| is_escaped(octet).then_some(octet ^ 0x20);
            stuffed(&[&packet[..], &fcs].concat(), 0x7e, 0x7d, escaped)
        })
        .boxed()
}

/// The escapes of RFC 1055.
fn slipped(octets: &[u8]) -> Vec<u8> {
    stuffed(octets, 0xc0, 0xdb, |octet| match octet {
        0xc0 => Some(0xdc),
        0xdb => Some(0xdd),
        _ => None,
    })
}

fn slip() -> BoxedStrategy<Vec<u8>> {
    let ipv4 = (any::<[u8; 8]>(), vec(any::<u8>(), 0..90)).prop_map(|(addresses, data)| {
        let len = (20 + data.len()) as u16;
        let mut header = [&[0x45, 0][..], &len.to_be_bytes(), &[0, 1, 0, 0, 64, 17, 0, 0]].concat();
        header.extend(addresses);
        let sum: u32 = header
            .chunks(2)
            .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
            .fold(0, |sum, word| (sum + word) % 0xffff);
        let check = !(sum as u16);
        header[10..12].copy_from_slice(&check.to_be_bytes());
        slipped(&[header, data].concat())
    });
    let ipv6 = (any::<[u8; 32]>(), vec(any::<u8>(), 0..90)).prop_map(|(addresses, data)| {
        let head = [0x60, 0x0a, 0, 0, 0, data.len() as u8, 17, 64];
        slipped(&[&head[..], &addresses, &data].concat())
    });
    prop_oneof![ipv4, ipv6].boxed()
}

fn kiss() -> BoxedStrategy<Vec<u8>> {
    (0..16_u8, any::<bool>(), vec(any::<u8>(), 15..90))
        .prop_map(|(port, is_addressed, mut data)| {
            data[0] |= 0x80; // no text
            let addresses = b"\x9c\x60\x86\x82\x98\x98\xee\x9c\x60\x86\x82\x98\x98\x65\x03\xf0";
            let addresses = if is_addressed { &addresses[..] } else { &[] };
            slipped(&[&[port << 4][..], addresses, &data].concat())
        })
        .boxed()
}

/// With the settings of `contracts::framer`.
fn raw() -> BoxedStrategy<Vec<u8>> {
    vec(any::<u8>(), 0..90)
        .prop_map(|data| {
            let frame = [&[0xaa, 0x55, data.len() as u8][..], &data].concat();
            let crc = Crc::<u16>::new(&CRC_16_MODBUS).checksum(&frame).to_le_bytes();
            [&frame[..], &crc].concat()
        })
        .boxed()
}

fn slcan() -> BoxedStrategy<Vec<u8>> {
    let hex = |data: Vec<u8>| data.iter().map(|octet| format!("{octet:02X}")).collect::<String>();
    let classic = (0..0x800_u32, vec(any::<u8>(), 0..=8))
        .prop_map(move |(id, data)| format!("t{id:03X}{}{}\r", data.len(), hex(data)));
    let extended = (0..0x2000_0000_u32, vec(any::<u8>(), 0..=8), any::<u16>())
        .prop_map(move |(id, data, ms)| format!("T{id:08x}{}{}{ms:04X}\r", data.len(), hex(data)));
    let remote = (0..0x800_u32, 0..=8).prop_map(|(id, len)| format!("r{id:03X}{len}\r"));
    let fd = (0..0x800_u32, vec(any::<u8>(), 64))
        .prop_map(move |(id, data)| format!("b{id:03X}F{}\r", hex(data)));
    prop_oneof![classic, extended, remote, fd].prop_map(String::into_bytes).boxed()
}

fn zwave() -> BoxedStrategy<Vec<u8>> {
    (0..2_u8, vec(any::<u8>(), 1..60))
        .prop_map(|(kind, data)| {
            let mut frame = vec![0x01, data.len() as u8 + 2, kind];
            frame.extend(data);
            frame.push(frame[1..].iter().fold(0xff, |sum, octet| sum ^ octet));
            frame
        })
        .boxed()
}
