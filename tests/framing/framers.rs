//! The contracts of `framing`, checked for every row of [`PROTOCOLS`] on lines made of good
//! frames, frames that are cut off or changed, and noise.

mod hosts;
mod modules;
mod radio;
mod wire;

use crate::common::full;
use crate::contracts;
use crate::contracts::{Shown, chunked, frames};
use crc::{Algorithm, CRC_16_IBM_SDLC, CRC_16_KERMIT, CRC_16_MODBUS, Crc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestRunner};
use serialshark::framing::{PROTOCOLS, Protocol};
use std::cell::Cell;
use std::fmt;

/// A piece of a line.
#[derive(Clone)]
enum Piece {
    Good(Vec<u8>),
    /// Part of a good frame.
    Cut(Vec<u8>),
    /// A good frame with an octet changed, lost or doubled.
    Changed(Vec<u8>),
    Noise(Vec<u8>),
}

impl Piece {
    fn octets(&self) -> &[u8] {
        match self {
            Self::Good(octets)
            | Self::Cut(octets)
            | Self::Changed(octets)
            | Self::Noise(octets) => octets,
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Good(_) => "good",
            Self::Cut(_) => "cut",
            Self::Changed(_) => "changed",
            Self::Noise(_) => "noise",
        };
        write!(f, "{kind} {}", self.octets().escape_ascii())
    }
}

/// Good frames as they are on the wire.
fn good(protocol: &Protocol) -> BoxedStrategy<Vec<u8>> {
    match protocol.name {
        "mstp" => (prop_oneof![0..=31_u8, 128..=255_u8], any::<[u8; 2]>(), vec(any::<u8>(), 0..90))
            .prop_map(|(frame_type, [destination, source], data)| {
                const HEADER_CRC: Crc<u8> = Crc::<u8>::new(&Algorithm {
                    width: 8,
                    poly: 0x81,
                    init: 0xff,
                    refin: true,
                    refout: true,
                    xorout: 0xff,
                    check: 0x89,
                    residue: 0x55,
                });
                let header = [frame_type, destination, source, 0, data.len() as u8];
                let mut frame = vec![0x55, 0xff];
                frame.extend(header);
                frame.push(HEADER_CRC.checksum(&header));
                if !data.is_empty() {
                    let crc = Crc::<u16>::new(&CRC_16_IBM_SDLC).checksum(&data);
                    frame.extend(data);
                    frame.extend(crc.to_le_bytes());
                }
                frame
            })
            .boxed(),
        "modbus" => modbus(),
        "riot" => (vec(any::<u8>(), 1..=127), any::<u8>(), 0..1_u64 << 40)
            .prop_map(|(psdu, lqi, rx_us)| {
                let data: String = psdu.iter().map(|octet| format!("{octet:02X} ")).collect();
                let len = psdu.len();
                format!("rftest-rx --- len {len:08X} lqi {lqi:02X} rx_time {rx_us:016X}\n{data}\n")
                    .into_bytes()
            })
            .boxed(),
        "pinoccio" => {
            let headers = [
                &[0x02, 0x00, 7][..],
                &[0x41, 0x88, 1, 0xcd, 0xab, 0xff, 0xff, 0x34, 0x12],
                &[0x00, 0x80, 2, 0xcd, 0xab, 0x34, 0x12],
                &[0x23, 0xc8, 3, 0xcd, 0xab, 0, 0, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8],
            ];
            (select(headers.to_vec()), vec(any::<u8>(), 0..=108))
                .prop_map(|(header, payload)| {
                    let payload = if header[0] == 0x02 { &[][..] } else { &payload };
                    let psdu = [header, payload].concat();
                    let crc = Crc::<u16>::new(&CRC_16_KERMIT).checksum(&psdu);
                    [&[psdu.len() as u8 + 2][..], &psdu, &crc.to_le_bytes()].concat()
                })
                .boxed()
        }
        name => wire::good(name)
            .or_else(|| hosts::good(name))
            .or_else(|| radio::good(name))
            .or_else(|| modules::good(name))
            .unwrap_or_else(|| panic!("no good frames for {name}: add some")),
    }
}

/// Frames of each layout.
fn modbus() -> BoxedStrategy<Vec<u8>> {
    let some = |len| vec(any::<u8>(), len);
    let head = |function: u8| move |data: Vec<u8>| [&[function][..], &data].concat();
    let counted =
        |head: Vec<u8>| move |data: Vec<u8>| [&head[..], &[data.len() as u8], &data].concat();
    let registers = (any::<u16>(), vec(any::<[u8; 2]>(), 1..=123)).prop_map(|(at, values)| {
        let [high, low] = at.to_be_bytes();
        let count = values.len() as u8;
        [&[0x10, high, low, 0, count, 2 * count][..], &values.concat()].concat()
    });
    let coils = (any::<u16>(), 1..=1968_u16, some(246)).prop_map(|(at, count, values)| {
        let len = usize::from(count.div_ceil(8));
        let numbers = [at.to_be_bytes(), count.to_be_bytes()].concat();
        [&[0x0f][..], &numbers, &[len as u8], &values[..len]].concat()
    });
    let pdu = prop_oneof![
        4 => (select(vec![1_u8, 2, 3, 4, 5, 6]), some(4))
            .prop_map(|(function, data)| [&[function][..], &data].concat()),
        2 => vec(any::<u8>(), 1..=250).prop_map(counted(vec![1])),
        4 => vec(any::<[u8; 2]>(), 1..=125).prop_map(move |data| counted(vec![3])(data.concat())),
        1 => select(vec![0x81_u8, 0x83, 0x90, 0xab]).prop_map(|function| vec![function, 2]),
        1 => some(4).prop_map(head(0x10)),
        1 => registers,
        1 => coils,
        1 => some(6).prop_map(head(0x16)),
    ];
    (any::<u8>(), pdu)
        .prop_map(|(unit, pdu)| {
            let frame = [&[unit][..], &pdu].concat();
            let crc = Crc::<u16>::new(&CRC_16_MODBUS).checksum(&frame);
            [frame, crc.to_le_bytes().to_vec()].concat()
        })
        .boxed()
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    let marks = [
        &b"\x55\xff"[..],
        b"\xff",
        b"\x55",
        b"SNIF",
        b"> ",
        b"\r\n",
        b"\n",
        b"rftest-rx --- len ",
        b"\xc1\x1f\xfe\x72\x02",
        b"Snif",
        b"received: ",
        b"psdu: ",
        b"\x7e",
        b"\x40\x53\xc0",
        b"{\"L\":",
        b"@RAW [",
        b"\xc0\x97\x8c\x97",
        b"\x05",
        b"\x7f",
        b"\x01\x03",
        b"\x00",
        b"\xfe",
        b"\x68\x05\x05\x68",
        b"\x10",
        b"\xe5",
        b"\xdc\x02\x03",
        b"\x05\x64",
        b"$GPGGA,",
        b":0103",
        b"\x7e\xa0\x08",
        b"/ISk5",
        b"\xaa",
        b"\xbc\x11",
        b"\xcc\x01\x18",
        b"\x00\x55\x80",
    ];
    let octets =
        prop_oneof![vec(any::<u8>(), 1..9), select(marks.to_vec()).prop_map(<[u8]>::to_vec)];
    vec(octets, 1..30).prop_map(|octets| octets.concat())
}

fn line(protocol: &Protocol) -> BoxedStrategy<Vec<Piece>> {
    let good = good(protocol);
    let piece = prop_oneof![
        3 => good.clone().prop_map(Piece::Good),
        1 => (good.clone(), any::<Index>()).prop_map(|(mut frame, at)| {
            frame.truncate(at.index(frame.len() - 1)); // the last octet may be the next's first
            Piece::Cut(frame)
        }),
        1 => (good, any::<Index>(), any::<u8>(), 0..3).prop_map(|(mut frame, at, octet, how)| {
            let at = at.index(frame.len());
            match how {
                0 => frame[at] = octet,
                1 if at < frame.len() - 1 => drop(frame.remove(at)),
                _ => frame.insert(at, frame[at]),
            }
            Piece::Changed(frame)
        }),
        1 => noise().prop_map(Piece::Noise),
    ];
    vec(piece, 1..12).boxed()
}

fn octets(line: &[Piece]) -> Vec<u8> {
    line.iter().flat_map(Piece::octets).copied().collect()
}

/// Lengths of chunks, over and over.
fn chunks() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..4_usize, 1..200_usize], 1..20)
}

/// Runs `check` on each protocol and `cases` values made for it, the same ones each time: an
/// FCS of 16 bits fits noise now and then.
fn for_every_row<S: Strategy>(
    cases: u32,
    values: impl Fn(&Protocol) -> S,
    check: impl Fn(&Protocol, S::Value),
) {
    let cases = if full() { cases / 2 } else { cases / 10 };
    for protocol in PROTOCOLS {
        let config = ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), ..Default::default() };
        let config = ProptestConfig { failure_persistence: None, ..config };
        let result = TestRunner::new(config).run(&values(protocol), |value| {
            check(protocol, value);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{}: {error}", protocol.name);
        }
    }
}

#[test]
fn any_split_gives_the_same_frames() {
    for_every_row(
        500,
        |protocol| (line(protocol), chunks()),
        |protocol, (line, lengths)| {
            contracts::any_split_gives_the_same_frames(protocol, &octets(&line), &lengths);
        },
    );
}

#[test]
fn every_octet_is_accounted_for_and_few_are_held() {
    for_every_row(
        500,
        |protocol| (line(protocol), chunks()),
        |protocol, (line, lengths)| {
            let octets = octets(&line);
            contracts::every_octet_is_accounted_for_and_few_are_held(protocol, &octets, &lengths);
        },
    );
}

/// Rows whose check is a sum or CRC of 8 bits, or none but the layout: what was cut off, with what
/// follows, fits it now and then.
const WEAK: [&str; 13] = [
    "blueluna", "cmux", "iec101", "knx", "lin", "mbus", "nmea", "pinoccio", "profibus", "slcan",
    "slip", "zniffer", "zwave",
];

#[test]
fn the_next_good_frame_is_found() {
    let weak = WEAK.map(|_| Cell::new((0_u32, 0_u32)));
    for_every_row(500, line, |protocol, line| {
        // Text that nothing protects goes on where a line was cut off; what nothing but its place or a
        // break tells of is not found behind noise.
        if ["at", "h4", "dmx"].contains(&protocol.name) {
            return;
        }
        let weak = WEAK.iter().position(|name| *name == protocol.name).map(|at| &weak[at]);
        let (found, _) = frames(protocol, [&octets(&line)[..]]);
        let mut found = found.iter().filter(|frame| frame.3.is_none());
        for piece in &line {
            let Piece::Good(frame) = piece else { continue };
            let (alone, _) = frames(protocol, [&frame[..]]);
            assert_eq!(alone.len(), 1);
            let before = found.clone();
            let is_found = found.any(|found| found.0 == alone[0].0);
            match weak {
                None => assert!(is_found, "not found: {frame:02x?}"),
                Some(weak) => {
                    let (all, missing) = weak.get();
                    weak.set((all + 1, missing + u32::from(!is_found)));
                    found = if is_found { found } else { before };
                }
            }
        }
    });
    for (name, weak) in WEAK.iter().zip(&weak) {
        let (all, missing) = weak.get();
        assert!(missing * 256 <= all, "{name}: {missing} of {all} not found");
    }
}

#[test]
fn good_frames_alone_are_recorded_and_nothing_else() {
    for_every_row(
        300,
        |protocol| (vec(good(protocol), 1..20), chunks()),
        |protocol, (line, lengths)| {
            let octets = line.concat();
            let (found, tally) = frames(protocol, chunked(&octets, &lengths));
            let alone: Vec<Shown> =
                line.iter().flat_map(|frame| frames(protocol, [&frame[..]]).0).collect();
            assert_eq!(found, alone);
            assert_eq!(tally.good_octets + tally.padding_octets, octets.len() as u64);
        },
    );
}

#[test]
fn a_protocol_that_can_be_recognised_is_so_by_some_good_frame() {
    for protocol in PROTOCOLS {
        let proven = std::cell::Cell::new(false);
        let config =
            ProptestConfig { cases: 50, rng_seed: RngSeed::Fixed(1), ..Default::default() };
        let config = ProptestConfig { failure_persistence: None, ..config };
        let result = TestRunner::new(config).run(&good(protocol), |frame| {
            let found = frames(protocol, [&frame[..]]).0;
            proven.set(proven.get() || found.iter().any(|(data, ..)| (protocol.proof)(data) > 0));
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{}: {error}", protocol.name));
        assert_eq!(proven.get(), protocol.provable, "{}", protocol.name);
    }
}

#[test]
fn nothing_is_invented() {
    for_every_row(500, line, |protocol, line| {
        contracts::nothing_is_invented(protocol, &octets(&line));
    });
}

#[test]
fn times_do_not_run_backwards_and_silence_is_asked_for_once() {
    let gaps = || vec(prop_oneof![0..20_000_000_u64, 0..400_000_000_u64], 1..20);
    for_every_row(
        300,
        |protocol| (line(protocol), chunks(), gaps()),
        |protocol, (line, lengths, gaps)| {
            contracts::times_do_not_run_backwards_and_silence_is_asked_for_once(
                protocol,
                &octets(&line),
                &lengths,
                &gaps,
            );
        },
    );
}

#[test]
fn every_recorded_packet_has_words() {
    for_every_row(
        300,
        |protocol| {
            prop_oneof![line(protocol).prop_map(|line| octets(&line)), vec(any::<u8>(), 0..40)]
        },
        |protocol, octets| contracts::every_recorded_packet_has_words(protocol, &octets),
    );
}
