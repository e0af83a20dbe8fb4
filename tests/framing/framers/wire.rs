//! Good frames of plants, meters and buildings, as they are on the wire.

use crc::{CRC_16_ARC, CRC_16_DNP, CRC_16_IBM_SDLC, Crc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Of the protocol of this name, if it is one of these.
pub fn good(name: &str) -> Option<BoxedStrategy<Vec<u8>>> {
    Some(match name {
        "modbus-ascii" => vec(any::<u8>(), 2..40).prop_map(|octets| modbus_ascii(&octets)).boxed(),
        "nmea" => ("[!$](GP|II|AI|P)[A-Z]{3}(,[A-Za-z0-9.@;-]{0,6}){1,12}", any::<bool>())
            .prop_map(|(text, has_check)| nmea(&text, has_check))
            .boxed(),
        "dnp3" => (any::<[u8; 5]>(), vec(any::<u8>(), 0..=60))
            .prop_map(|(header, data)| dnp3(header, &data))
            .boxed(),
        "mbus" => prop_oneof![
            (select(vec![0x40_u8, 0x49, 0x5a, 0x7a, 0x5b, 0x7b]), any::<u8>())
                .prop_map(|(control, address)| short(0x10, &[control, address])),
            vec(any::<u8>(), 3..=255).prop_map(|body| long(&body)),
        ]
        .boxed(),
        "iec101" => prop_oneof![
            (select(vec![0x40_u8, 0x49, 0x7a, 0x5b, 0x00, 0x0b, 0x29]), vec(any::<u8>(), 1..=2))
                .prop_map(|(control, address)| short(0x10, &[&[control][..], &address].concat()))
                .prop_filter("five octets alone", |frame| {
                    // The first five of six may be a frame by accident, which no reader can tell.
                    frame.len() == 5 || frame[4] != 0x16
                }),
            vec(any::<u8>(), 3..=255).prop_map(|body| long(&body)),
        ]
        .boxed(),
        "profibus" => {
            let head =
                || (any::<[u8; 2]>(), 0..0x80_u8).prop_map(|([to, from], fc)| [to, from, fc]);
            prop_oneof![
                head().prop_map(|head| short(0x10, &head)),
                (head(), any::<[u8; 8]>())
                    .prop_map(|(head, data)| short(0xa2, &[&head[..], &data].concat())),
                (head(), vec(any::<u8>(), 1..=246))
                    .prop_map(|(head, data)| long(&[&head[..], &data].concat())),
            ]
            .boxed()
        }
        "dlms" => (
            select(vec![vec![0x21_u8], vec![0x02, 0x23], vec![0x00, 0x02, 0x04, 0x07]]),
            any::<u8>(),
            vec(any::<u8>(), 0..200),
        )
            .prop_map(|(address, control, information)| dlms(&address, control, &information))
            .boxed(),
        "p1" => (
            "[A-Z][A-Za-z]{2}5[\\\\A-Za-z0-9]{0,16}",
            vec("[01]-0:[0-9.]{5}\\([0-9.*kW]{0,12}\\)", 0..20),
            any::<bool>(),
        )
            .prop_map(|(meter, objects, has_crc)| p1(&meter, &objects, has_crc))
            .boxed(),
        // A command leads in; what follows needs none.
        "at" => "AT[A-Z+=0-9,]{0,20}\r".prop_map(String::into_bytes).boxed(),
        "ebus" => (
            select(vec![0x10_u8, 0x31, 0xff, 0x00]),
            select(vec![0xfe_u8, 0x08, 0x15, 0x37, 0x03, 0x26]),
            vec(any::<u8>(), 2),
            vec(any::<u8>(), 0..=16),
            vec(any::<u8>(), 0..=10),
        )
            .prop_map(|(from, to, command, data, answer)| ebus(from, to, &command, &data, &answer))
            .boxed(),
        "knx" => (any::<[u8; 4]>(), any::<bool>(), 0..8_u8, vec(any::<u8>(), 1..=15))
            .prop_map(|(addresses, is_group, hops, data)| knx(addresses, is_group, hops, &data))
            .boxed(),
        "rdm" => (vec(any::<u8>(), 20), vec(any::<u8>(), 0..=60))
            .prop_map(|(header, data)| rdm(&header, &data))
            .boxed(),
        // With the lengths of LIN 1.3: others can be told from what follows only where that is a
        // frame as well.
        "lin" => (0..0x3c_u8, vec(1_u8..=0x50, 8), any::<bool>())
            .prop_map(|(id, data, is_enhanced)| {
                let len = if id < 32 { 2 } else { 4 + 4 * usize::from(id >= 48) };
                lin(id, &data[..len], is_enhanced)
            })
            .boxed(),
        _ => return None,
    })
}

fn modbus_ascii(octets: &[u8]) -> Vec<u8> {
    let sum = octets.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
    let digits: String = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    format!(":{digits}{:02X}\r\n", sum.wrapping_neg()).into_bytes()
}

fn nmea(text: &str, has_check: bool) -> Vec<u8> {
    let check = text.bytes().skip(1).fold(0, |sum, octet| sum ^ octet);
    let check = if has_check { format!("*{check:02X}") } else { String::new() };
    format!("{text}{check}\r\n").into_bytes()
}

fn dnp3(header: [u8; 5], data: &[u8]) -> Vec<u8> {
    let crc = Crc::<u16>::new(&CRC_16_DNP);
    let with_crc = |block: &[u8]| [block, &crc.checksum(block).to_le_bytes()].concat();
    let head = [&[0x05, 0x64, data.len() as u8 + 5][..], &header].concat();
    let blocks: Vec<Vec<u8>> = data.chunks(16).map(with_crc).collect();
    [with_crc(&head), blocks.concat()].concat()
}

fn sum(octets: &[u8]) -> u8 {
    octets.iter().fold(0, |sum, octet| sum.wrapping_add(*octet))
}

/// A frame of a fixed length, as FT 1.2 has it.
fn short(start: u8, body: &[u8]) -> Vec<u8> {
    [&[start][..], body, &[sum(body), 0x16]].concat()
}

/// A frame that gives its length.
fn long(body: &[u8]) -> Vec<u8> {
    let len = body.len() as u8;
    [&[0x68, len, len, 0x68][..], body, &[sum(body), 0x16]].concat()
}

fn dlms(address: &[u8], control: u8, information: &[u8]) -> Vec<u8> {
    let crc = Crc::<u16>::new(&CRC_16_IBM_SDLC);
    let with_crc = |octets: Vec<u8>| {
        let check = crc.checksum(&octets);
        [octets, check.to_le_bytes().to_vec()].concat()
    };
    let header_len = 2 + address.len() + 1 + 1;
    let len = header_len + 2 + if information.is_empty() { 0 } else { information.len() + 2 };
    let header = [&[0xa0, len as u8][..], address, &[0x03, control]].concat();
    let header = with_crc(header);
    let frame =
        if information.is_empty() { header } else { with_crc([&header, information].concat()) };
    [&[0x7e][..], &frame, &[0x7e]].concat()
}

fn p1(meter: &str, objects: &[String], has_crc: bool) -> Vec<u8> {
    let objects: String = objects.iter().map(|object| format!("{object}\r\n")).collect();
    let telegram = format!("/{meter}\r\n\r\n{objects}!");
    let crc = Crc::<u16>::new(&CRC_16_ARC).checksum(telegram.as_bytes());
    let crc = if has_crc { format!("{crc:04X}") } else { String::new() };
    format!("{telegram}{crc}\r\n").into_bytes()
}

fn ebus(from: u8, to: u8, command: &[u8], data: &[u8], answer: &[u8]) -> Vec<u8> {
    let escaped = |octets: &[u8]| -> Vec<u8> {
        let escape = |octet: &u8| match octet {
            0xa9 => vec![0xa9, 0],
            0xaa => vec![0xa9, 1],
            octet => vec![*octet],
        };
        octets.iter().flat_map(escape).collect()
    };
    let with_crc = |octets: Vec<u8>| {
        let divided =
            |crc: u8| (0..8).fold(crc, |crc, _| crc << 1 ^ if crc & 0x80 != 0 { 0x9b } else { 0 });
        let crc = octets.iter().fold(0, |crc, octet| divided(crc) ^ octet);
        [octets, escaped(&[crc])].concat()
    };
    let counted = |octets: &[u8]| [&[octets.len() as u8][..], octets].concat();
    let head = [&[from, to], command, &counted(data)].concat();
    let mut telegram = [vec![0xaa], with_crc(escaped(&head))].concat();
    let is_master = |address: u8| {
        [address >> 4, address & 15].iter().all(|half| [0, 1, 3, 7, 15].contains(half))
    };
    if to != 0xfe {
        telegram.push(0);
        if !is_master(to) {
            telegram.extend(with_crc(escaped(&counted(answer))));
            telegram.push(0);
        }
    }
    telegram
}

fn knx(addresses: [u8; 4], is_group: bool, hops: u8, data: &[u8]) -> Vec<u8> {
    let kind = u8::from(is_group) << 7 | hops << 4 | data.len() as u8;
    let tpci = if is_group { data[0] & 3 } else { 0x40 | data[0] & 0x3f };
    let mut telegram = [&[0xbc][..], &addresses, &[kind, tpci], data].concat();
    telegram.push(telegram.iter().fold(0xff, |sum, octet| sum ^ octet));
    telegram
}

fn rdm(header: &[u8], data: &[u8]) -> Vec<u8> {
    let len = data.len() as u8;
    let frame = [&[0xcc, 1, 24 + len][..], header, &[len], data].concat();
    let sum = frame.iter().fold(0_u16, |sum, octet| sum.wrapping_add((*octet).into()));
    [frame, sum.to_be_bytes().to_vec()].concat()
}

fn lin(id: u8, data: &[u8], is_enhanced: bool) -> Vec<u8> {
    let bit = |at: u8| id >> at & 1;
    let even = bit(0) ^ bit(1) ^ bit(2) ^ bit(4);
    let odd = 1 ^ bit(1) ^ bit(3) ^ bit(4) ^ bit(5);
    let pid = id | even << 6 | odd << 7;
    let first = if is_enhanced { pid.into() } else { 0_u16 };
    let sum = data.iter().fold(first, |sum, octet| {
        let sum = sum + u16::from(*octet);
        sum % 256 + sum / 256
    });
    [&[0, 0x55, pid][..], data, &[!(sum as u8)]].concat()
}
