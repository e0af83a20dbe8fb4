//! Good records of the IEEE 802.15.4 sniffers.

use crc::{CRC_16_IBM_SDLC, CRC_16_KERMIT, Crc};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Write as _;

/// Records of this sniffer, if it is one.
pub fn good(name: &str) -> Option<BoxedStrategy<Vec<u8>>> {
    let record: fn(&Heard) -> Vec<u8> = match name {
        "sensniff" => sensniff,
        "nrf" => |heard| text("received:", &with_fcs(&heard.frame), heard),
        "zephyr" => |heard| text("psdu:", &heard.frame, heard),
        "spinel" => spinel,
        "ti" => ti,
        "sonoff" => sonoff,
        "esp" => esp,
        "blueluna" => blueluna,
        "kirale" => kirale,
        _ => return None,
    };
    Some(heard().prop_map(move |heard| record(&heard)).boxed())
}

/// What was heard over the air.
#[derive(Clone, Debug)]
struct Heard {
    frame: Vec<u8>,
    rssi_dbm: i8,
    lqi: u8,
    time_us: u64,
}

fn heard() -> impl Strategy<Value = Heard> {
    (vec(any::<u8>(), 3..=125), any::<i8>(), any::<u8>(), 0..1_u64 << 40)
        .prop_map(|(frame, rssi_dbm, lqi, time_us)| Heard { frame, rssi_dbm, lqi, time_us })
}

fn with_fcs(frame: &[u8]) -> Vec<u8> {
    let fcs = Crc::<u16>::new(&CRC_16_KERMIT).checksum(frame);
    [frame, &fcs.to_le_bytes()].concat()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn sensniff(heard: &Heard) -> Vec<u8> {
    let trailer = [heard.rssi_dbm.cast_unsigned(), 0x80 | heard.lqi];
    let len = heard.frame.len() as u8 + 2;
    [&[0xc1, 0x1f, 0xfe, 0x72, 2, 0, 0, len], &heard.frame[..], &trailer].concat()
}

fn text(mark: &str, psdu: &[u8], heard: &Heard) -> Vec<u8> {
    let Heard { rssi_dbm, lqi, time_us, .. } = heard;
    format!("{mark} {} power: {rssi_dbm} lqi: {lqi} time: {time_us}\r\n", hex(psdu)).into_bytes()
}

fn spinel(heard: &Heard) -> Vec<u8> {
    let psdu = with_fcs(&heard.frame);
    let mut message = vec![0x80, 6, 0x71, psdu.len() as u8, 0];
    message.extend(psdu);
    message.extend([heard.rssi_dbm.cast_unsigned(), 0x80, 0, 0, 10, 0, 15, heard.lqi]);
    message.extend(heard.time_us.to_le_bytes());
    message.extend([1, 0, 0]);
    let fcs = Crc::<u16>::new(&CRC_16_IBM_SDLC).checksum(&message);
    message.extend(fcs.to_le_bytes());
    let stuffed = message.iter().flat_map(|octet| match octet {
        0x7d | 0x7e => vec![0x7d, octet ^ 0x20],
        _ => vec![*octet],
    });
    [0x7e].into_iter().chain(stuffed).chain([0x7e]).collect()
}

fn ti(heard: &Heard) -> Vec<u8> {
    let psdu = with_fcs(&heard.frame);
    let mut message = vec![0x40, 0x53, 0xc0, psdu.len() as u8 + 9, 0];
    message.extend(&heard.time_us.to_le_bytes()[..6]);
    message.push(0);
    message.extend(psdu);
    message.extend([heard.rssi_dbm.cast_unsigned(), 0x80, 0x40, 0x45]);
    message
}

fn sonoff(heard: &Heard) -> Vec<u8> {
    let psdu = with_fcs(&heard.frame);
    let (len, Heard { rssi_dbm, lqi, .. }) = (psdu.len(), heard);
    let psdu = hex(&psdu);
    format!("{{\"L\":{len},\"Q\":{lqi},\"R\":{rssi_dbm},\"C\":11,\"S\":\"{psdu}\"}}").into_bytes()
}

fn esp(heard: &Heard) -> Vec<u8> {
    let len = heard.frame.len() as u8 + 2;
    let octets = [&[len][..], &heard.frame, &[heard.rssi_dbm.cast_unsigned(), heard.lqi, 9]];
    let words: Vec<String> = octets.concat().iter().map(|octet| format!("{octet:02x}")).collect();
    format!("@RAW [{}]", words.join(", ")).into_bytes()
}

fn blueluna(heard: &Heard) -> Vec<u8> {
    let milli = i32::from(heard.rssi_dbm) * 1000;
    let mut number = (milli << 1 ^ milli >> 31).cast_unsigned();
    let mut message = vec![7, 11, 1];
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.extend([number as u8, 1, heard.lqi, heard.frame.len() as u8]);
    message.extend(&heard.frame);
    // COBS: each run up to a 0 behind its length.
    let runs = message.split(|octet| *octet == 0);
    runs.flat_map(|run| [&[run.len() as u8 + 1], run].concat()).chain([0]).collect()
}

fn kirale(heard: &Heard) -> Vec<u8> {
    let psdu = with_fcs(&heard.frame);
    let stamp = [heard.rssi_dbm.cast_unsigned(), heard.lqi];
    let time = &heard.time_us.to_be_bytes()[2..];
    [&[0xc0, 0x97, 0x8c, 0x97, 0, psdu.len() as u8][..], &stamp, time, &psdu].concat()
}
