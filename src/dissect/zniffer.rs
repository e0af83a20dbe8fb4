//! Words for records of a Zniffer, behind the header that names Wireshark's dissector.

use super::Words;
use super::octets::Octets;
use crate::exported_pdu;
use crate::hex::hex;

/// Names of the rates.
const RATES: [&str; 4] = ["9.6 kbit/s", "40 kbit/s", "100 kbit/s", "100 kbit/s Long Range"];

/// Words for a record, such as `home C4DAE607, 12 bytes, channel 0, 100 kbit/s, region 0B, strength 44`.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let record = exported_pdu::split(packet).map_or(packet, |(_, record)| record);
    said(&mut Octets(record), intact).unwrap_or_else(|| Words::new("cut off or damaged"))
}

fn said(octets: &mut Octets<'_>, intact: bool) -> Option<Words> {
    let _start = octets.octet()?;
    let kind = octets.octet()?;
    let _time = octets.take(2)?;
    if kind == 5 {
        let strength = octets.octet()?;
        return Some(Words::new(format!("beam stops, strength {strength}")));
    }
    let (rate, region, strength) = (octets.octet()?, octets.octet()?, octets.octet()?);
    let name = RATES.get(usize::from(rate & 0x1f))?;
    let heard = format!("channel {}, {name}, region {region:02X}, strength {strength}", rate >> 5);
    if kind == 4 {
        return Some(Words::new(format!("beam starts, {heard}")));
    }
    let len = octets.take(3)?[2];
    let is_long_range = rate & 0x1f == 3;
    let (Some(home), true) = (octets.take(4), intact) else {
        return Some(Words::new(format!("cut off or damaged, {len} bytes, {heard}")));
    };
    let mut words = Words::new(format!("home {}, {len} bytes, {heard}", hex(home, "")));
    if !is_long_range
        && let (Some(source), Some(_control), Some(to)) =
            (octets.octet(), octets.take(3), octets.octet())
    {
        words.source = Some(source.to_string());
        words.destination = Some(to.to_string());
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_in_words() {
        let frame =
            b"\x21\x01\0\0\x02\x0b\x2c\x21\x03\x0c\xc4\xda\xe6\x07\x01\x41\x0a\x0c\x02\0\x8f\x68";
        let words = words(frame, true);
        assert_eq!(words.addresses(), "1 > 2");
        assert_eq!(
            words.info,
            "home C4DAE607, 12 bytes, channel 0, 100 kbit/s, region 0B, strength 44"
        );
        let beam = super::words(b"\x21\x04\0\0\x21\0\x33\x55\x03\x01\x14", true);
        assert_eq!(beam.info, "beam starts, channel 1, 40 kbit/s, region 00, strength 51");
        assert_eq!(super::words(b"\x21\x05\0\0\x33\0\x01", true).info, "beam stops, strength 51");
        assert_eq!(super::words(b"\x21\x01", true).info, "cut off or damaged");
    }
}
