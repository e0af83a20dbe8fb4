//! The contracts of `framing` as checks of one line, whatever is on it: the property tests make
//! lines for them, and the fuzz targets take any octets.
#![allow(dead_code)] // each user takes a part
#![allow(missing_docs)]

use serialshark::framing::{Framer, Protocol, Setup};
use serialshark::packet::{Batch, Damage, LinkType, Tally};
use serialshark::time::Timestamp;

/// No framer holds more octets than this after a push of a few hundred.
const MAX_HELD: u64 = 2 * 4096;

/// What a capture shows of a packet, but for its time.
pub type Shown = (Vec<u8>, u32, u32, Damage);

pub fn framer(protocol: &Protocol) -> Box<dyn Framer> {
    let mut setup = Setup { channel: Some(26), ..Setup::new(protocol.line.baud) };
    if protocol.name == "raw" {
        // Frames with a length: pauses would depend on when chunks come.
        for (name, value) in
            [("start", "aa55"), ("length-field", "2,1,be,5"), ("check", "crc16-modbus@-2")]
        {
            setup.values.set(name, value.to_owned());
        }
    }
    (protocol.framer)(&setup)
}

/// The line in chunks of these lengths, over and over.
pub fn chunked<'a>(
    mut rest: &'a [u8],
    lengths: &'a [usize],
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    lengths.iter().cycle().map_while(move |&len| {
        let chunk = rest.split_off(..len.min(rest.len()))?;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn shown(batch: &Batch) -> Vec<Shown> {
    batch.packets().map(|p| (p.data.to_vec(), p.original_len, p.skipped_before, p.damage)).collect()
}

/// All that comes of a line, to its end.
pub fn frames<'a>(
    protocol: &Protocol,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Shown>, Tally) {
    let mut framer = framer(protocol);
    let mut batch = Batch::new(0);
    for chunk in chunks {
        framer.push(chunk, Timestamp::from_ns(1_000_000_000_000), &mut batch);
    }
    framer.finish(&mut batch);
    (shown(&batch), framer.tally())
}

/// Octets that are no longer held.
pub fn judged(tally: Tally) -> u64 {
    tally.good_octets + tally.damaged_octets + tally.padding_octets + tally.skipped_octets
}

pub fn any_split_gives_the_same_frames(protocol: &Protocol, line: &[u8], lengths: &[usize]) {
    let whole = frames(protocol, [line]);
    assert_eq!(frames(protocol, chunked(line, lengths)), whole);
    assert_eq!(frames(protocol, line.chunks(1)), whole);
}

pub fn every_octet_is_accounted_for_and_few_are_held(
    protocol: &Protocol,
    line: &[u8],
    lengths: &[usize],
) {
    let mut framer = framer(protocol);
    let mut batch = Batch::new(0);
    let mut pushed = 0;
    for chunk in chunked(line, lengths) {
        framer.push(chunk, Timestamp::default(), &mut batch);
        pushed += chunk.len() as u64;
        let tally = framer.tally();
        assert_eq!(tally.octets, pushed);
        assert!(judged(tally) <= pushed && pushed - judged(tally) <= MAX_HELD);
    }
    framer.finish(&mut batch);
    let tally = framer.tally();
    assert_eq!(tally.octets, line.len() as u64);
    assert_eq!(judged(tally), tally.octets);
    let good = batch.packets().filter(|packet| packet.damage.is_none()).count() as u64;
    assert_eq!(tally.good_frames, good);
    assert!(tally.damaged_frames >= batch.len() as u64 - good);
    assert!(batch.packets().all(|packet| !packet.data.is_empty()));
    assert_eq!(framer.deadline(), None);
}

pub fn times_do_not_run_backwards_and_silence_is_asked_for_once(
    protocol: &Protocol,
    line: &[u8],
    lengths: &[usize],
    gaps: &[u64],
) {
    let mut framer = framer(protocol);
    let mut batch = Batch::new(0);
    let mut now = Timestamp::from_ns(1_000_000_000_000);
    let mut arrivals = Vec::new();
    let mut pushed = 0;
    for (chunk, gap) in chunked(line, lengths).zip(gaps.iter().cycle()) {
        framer.push(chunk, now, &mut batch);
        assert!(batch.packets().all(|packet| packet.time <= now), "from the future");
        pushed += chunk.len() as u64;
        arrivals.push((pushed, now));
        check_open_since(framer.as_ref(), &arrivals, protocol.line.baud);
        let deadline = framer.deadline();
        assert!(deadline.is_none_or(|deadline| deadline > now));
        now = now.plus_ns(*gap);
        let frames = batch.len();
        framer.expire(now, &mut batch);
        if deadline.is_some_and(|deadline| deadline <= now) {
            // None, or a later one that silence has not come to.
            assert!(framer.deadline().is_none_or(|next| next > now), "asked for twice");
        } else {
            assert_eq!((framer.deadline(), batch.len()), (deadline, frames));
        }
        check_open_since(framer.as_ref(), &arrivals, protocol.line.baud);
    }
    framer.finish(&mut batch);
    assert_eq!(judged(framer.tally()), line.len() as u64);
    assert!(batch.packets().map(|packet| packet.time).is_sorted());
}

/// What is open is open since its first octet began on the wire, as the arrivals tell: where
/// each chunk ends in the line, and when it was there.
fn check_open_since(framer: &dyn Framer, arrivals: &[(u64, Timestamp)], baud: u32) {
    let first = judged(framer.tally());
    let chunk = arrivals.iter().find(|(end, _)| first < *end);
    let began =
        chunk.map(|(end, at)| at.minus_ns((end - first) * (10_000_000_000 / u64::from(baud))));
    assert_eq!(framer.open_since(), framer.deadline().and(began));
}

/// What is recorded was on the line, in this order and without overlap: as it is, or in hex
/// where the sniffer's words are text.
pub fn nothing_is_invented(protocol: &Protocol, line: &[u8]) {
    let (found, _) = frames(protocol, [line]);
    let is_tap = protocol.link_type == LinkType::IEEE802_15_4_TAP;
    let is_can = protocol.link_type == LinkType::CAN_SOCKETCAN;
    let is_text = is_can || matches!(protocol.name, "riot" | "nrf" | "zephyr" | "sonoff" | "esp");
    let words = String::from_utf8_lossy(line).replace("0x", "").to_ascii_uppercase();
    let digits: Vec<u8> = words.bytes().filter(u8::is_ascii_hexdigit).collect();
    let plain = without_escapes(protocol, line);
    let mut rest = if is_text { &digits[..] } else { &plain };
    for (data, ..) in found {
        let data = if protocol.link_type == LinkType::WIRESHARK_UPPER_PDU {
            let data = behind_tags(&data);
            if protocol.name == "knx" { telegram(data) } else { data.to_vec() }
        } else if protocol.link_type == LinkType::LIN {
            lin_frame(&data)
        } else if protocol.link_type == LinkType::MUX27010 {
            data[2..].to_vec() // behind 00 and the direction
        } else if is_tap || is_can {
            let tap_len = usize::from(u16::from_le_bytes([data[2], data[3]]));
            let octets = &data[if is_can { 8 } else { tap_len }..];
            if is_text {
                octets.iter().flat_map(|octet| format!("{octet:02X}").into_bytes()).collect()
            } else {
                octets.to_vec()
            }
        } else {
            data
        };
        if data.is_empty() {
            continue; // a CAN frame without data
        }
        // In place of each 0 COBS has how far it is to the next.
        let is_cobs = protocol.name == "blueluna";
        let same = |(on_line, octet): (&u8, &u8)| on_line == octet || is_cobs && *octet == 0;
        let was_there = |octets: &[u8]| octets.iter().zip(&data).all(same);
        let at = rest.windows(data.len().max(1)).position(was_there);
        let at = at.unwrap_or_else(|| panic!("was not on the line: {}", data.escape_ascii()));
        rest = &rest[at + data.len()..];
    }
}

/// The line as it is, or without its escapes where a protocol has some.
fn without_escapes(protocol: &Protocol, line: &[u8]) -> Vec<u8> {
    let (escape, meant): (u8, fn(u8) -> Option<u8>) = match protocol.name {
        "ppp" => (0x7d, |octet| (octet != 0x7e).then_some(octet ^ 0x20)),
        "slip" | "kiss" => (0xdb, |octet| match octet {
            0xdc => Some(0xc0),
            0xdd => Some(0xdb),
            _ => None,
        }),
        "spinel" => (0x7d, |octet| Some(octet ^ 0x20)),
        _ => return line.to_vec(),
    };
    let mut plain = Vec::new();
    let mut rest = line;
    while let Some((&octet, after)) = rest.split_first() {
        let meant = after.first().filter(|_| octet == escape).and_then(|octet| meant(*octet));
        plain.push(meant.unwrap_or(octet));
        // What follows an escape that is none stands for itself, another escape as well.
        if octet == escape && meant.is_none() {
            plain.extend(after.first());
        }
        rest = if octet == escape { after.get(1..).unwrap_or_default() } else { after };
    }
    plain
}

/// A KNX telegram as it was on the line, without its check, of what may be cEMI.
fn telegram(data: &[u8]) -> Vec<u8> {
    match *data {
        [0x29, 0, control, kind, s1, s2, d1, d2, len, ref said @ ..] if control & 0x80 != 0 => {
            [&[control, s1, s2, d1, d2, kind | len][..], said].concat()
        }
        [0x29, 0, ref extended @ ..] => extended.to_vec(),
        _ => data.to_vec(),
    }
}

/// A LIN frame as it was on the line.
fn lin_frame(record: &[u8]) -> Vec<u8> {
    const NO_RESPONSE: u8 = 1;
    let (header, data) = record.split_at(8);
    let checksum = (header[7] & NO_RESPONSE == 0).then_some(header[6]);
    [&[0x55, header[5]][..], data, checksum.as_slice()].concat()
}

/// What follows the tags of `LINKTYPE_WIRESHARK_UPPER_PDU`, the last of which is 0.
fn behind_tags(data: &[u8]) -> &[u8] {
    let number = |at: usize| usize::from(u16::from_be_bytes([data[at], data[at + 1]]));
    let mut at = 0;
    while number(at) != 0 {
        at += 4 + number(at + 2);
    }
    &data[at + 4..]
}

/// And nothing in them that a terminal would take for a command.
pub fn every_recorded_packet_has_words(protocol: &Protocol, line: &[u8]) {
    let packets = frames(protocol, [line]).0.into_iter().map(|(data, ..)| data);
    for data in packets.chain([line.to_vec()]) {
        for intact in [true, false] {
            let words = (protocol.dissector)(&data, intact);
            assert!(!words.info.is_empty());
            let said = format!("{} {}", words.addresses(), words.info);
            assert!(!said.chars().any(char::is_control), "{said:?}");
        }
    }
}

/// All of them, where how the line is cut into chunks, and the gaps between them, come of its
/// own octets.
pub fn all(protocol: &Protocol, line: &[u8]) {
    let lengths: Vec<usize> = line.iter().map(|octet| usize::from(octet % 64) + 1).collect();
    let gaps: Vec<u64> = line.iter().rev().map(|octet| u64::from(*octet) * 1_000_000).collect();
    any_split_gives_the_same_frames(protocol, line, &lengths);
    every_octet_is_accounted_for_and_few_are_held(protocol, line, &lengths);
    times_do_not_run_backwards_and_silence_is_asked_for_once(protocol, line, &lengths, &gaps);
    nothing_is_invented(protocol, line);
    every_recorded_packet_has_words(protocol, line);
}
