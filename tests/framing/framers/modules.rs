//! Good frames between a host and a module, of a Zniffer, and of DMX512, as they are on the wire.

use crc::{Algorithm, CRC_8_ROHC, CRC_16_SPI_FUJITSU, Crc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Frames of the protocol `name`, if it is one of these.
pub fn good(name: &str) -> Option<BoxedStrategy<Vec<u8>>> {
    Some(match name {
        "h4" => h4(),
        "cmux" => cmux(),
        "zniffer" => zniffer(),
        "dmx" => dmx(),
        _ => return None,
    })
}

fn h4() -> BoxedStrategy<Vec<u8>> {
    let command = (1..=6_u16, 0..0x80_u16, vec(any::<u8>(), 0..90)).prop_map(|(ogf, ocf, data)| {
        let opcode = (ogf << 10 | ocf).to_le_bytes();
        [&[1][..], &opcode, &[data.len() as u8], &data].concat()
    });
    let acl =
        (0..0xf00_u16, 0..16_u16, vec(any::<u8>(), 0..200)).prop_map(|(handle, flags, data)| {
            let handle = (handle | flags << 12).to_le_bytes();
            [&[2][..], &handle, &(data.len() as u16).to_le_bytes(), &data].concat()
        });
    let complete =
        (1..=6_u16, 0..0x80_u16, vec(any::<u8>(), 1..20)).prop_map(|(ogf, ocf, data)| {
            let opcode = (ogf << 10 | ocf).to_le_bytes();
            [&[4, 0x0e, data.len() as u8 + 3, 1][..], &opcode, &data].concat()
        });
    let meta =
        vec(any::<u8>(), 2..60).prop_map(|data| [&[4, 0x3e, data.len() as u8][..], &data].concat());
    prop_oneof![command, acl, complete, meta].boxed()
}

fn cmux() -> BoxedStrategy<Vec<u8>> {
    let kinds = select(vec![0xef_u8, 0xff, 0x03, 0x3f, 0x73]);
    (0..62_u8, any::<bool>(), kinds, vec(any::<u8>(), 0..200))
        .prop_map(|(channel, is_set, control, information)| {
            let has_information = matches!(control & 0xef, 0xef | 0x03);
            let information = if has_information { information } else { Vec::new() };
            let mut head = vec![channel << 2 | u8::from(is_set) << 1 | 1, control];
            match u8::try_from(information.len() << 1) {
                Ok(doubled) => head.push(doubled | 1),
                Err(_) => head.extend([
                    (information.len() << 1) as u8 & 0xfe,
                    (information.len() >> 7) as u8,
                ]),
            }
            let covered = if control == 0x03 { &information[..] } else { &[] };
            let fcs = Crc::<u8>::new(&Algorithm { xorout: 0xff, ..CRC_8_ROHC });
            let fcs = fcs.checksum(&[&head[..], covered].concat());
            [&[0xf9][..], &head, &information, &[fcs, 0xf9]].concat()
        })
        .boxed()
}

fn zniffer() -> BoxedStrategy<Vec<u8>> {
    let frame = (0..4_u8, 0..3_u8, any::<[u8; 4]>(), vec(any::<u8>(), 8..60)).prop_map(
        |(rate, channel, [time, _, region, strength], mut mpdu)| {
            if rate < 2 {
                mpdu.push(mpdu.iter().fold(0xff, |sum, octet| sum ^ octet));
            } else {
                let crc = Crc::<u16>::new(&CRC_16_SPI_FUJITSU).checksum(&mpdu);
                mpdu.extend(crc.to_be_bytes());
            }
            let heard = [channel << 5 | rate, region, strength, 0x21, 3, mpdu.len() as u8];
            [&[0x21, 1, time, 0][..], &heard, &mpdu].concat()
        },
    );
    let beam = (0..4_u8, any::<[u8; 3]>())
        .prop_map(|(rate, beam)| [&[0x21, 4, 0, 0, rate, 0, 9, 0x55][..], &beam].concat());
    prop_oneof![4 => frame, 1 => beam].boxed()
}

/// Without its break marked: as long as it can be.
fn dmx() -> BoxedStrategy<Vec<u8>> {
    (select(vec![0x00_u8, 0x17, 0x55]), vec(any::<u8>(), 512))
        .prop_map(|(code, slots)| [&[0, code][..], &slots].concat())
        .boxed()
}
