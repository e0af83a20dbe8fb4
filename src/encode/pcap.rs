//! Classic pcap 2.4: a header, and a record for each packet.

use super::{Encode, Interface, Record, SNAPLEN};
use crate::packet::{LinkType, Packet};
use crate::time::Timestamp;
use byteorder_slice::NativeEndian;
use pcap_file::pcap::{PcapHeader, RawPcapPacket};
use pcap_file::{DataLink, Endianness};
use std::borrow::Cow;
use std::io;

/// The last time that a record can have, in February 2106.
const LAST_US: u64 = u32::MAX as u64 * 1_000_000 + 999_999;

/// Microseconds, native byte order.
pub(super) struct Pcap;

impl Encode for Pcap {
    fn header(&mut self, ports: &[Interface], out: &mut Vec<u8>) -> io::Result<()> {
        let link_type = ports.first().map_or(LinkType(0), |port| port.link_type);
        let header = PcapHeader {
            snaplen: SNAPLEN,
            datalink: DataLink::from(u32::from(link_type.0)),
            endianness: Endianness::native(),
            ..PcapHeader::default()
        };
        header.write_to(out).map(|_| ()).map_err(io::Error::other)
    }

    fn packet(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        write(record.packet, record.dated.time, out)
    }
}

fn write(packet: &Packet<'_>, time: Timestamp, out: &mut Vec<u8>) -> io::Result<()> {
    // Where seconds stand still (2106), fractions of them must not go round.
    let us = (time.as_ns() / 1000).min(LAST_US);
    let record = RawPcapPacket {
        ts_sec: (us / 1_000_000) as u32,
        ts_frac: (us % 1_000_000) as u32,
        incl_len: packet.data.len() as u32,
        orig_len: packet.original_len,
        data: Cow::Borrowed(packet.data),
    };
    record.write_to::<_, NativeEndian>(out).map(|_| ()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TOKEN, interfaces, packet};
    use super::super::{Encoder, Format, StreamCounts};
    use super::*;

    #[test]
    fn a_pcap_stream_octet_by_octet() {
        let mut out = Vec::new();
        let mut encoder =
            Encoder::start(Format::Pcap, interfaces(), Timestamp::default(), &mut out).unwrap();
        encoder.packet(&packet(&TOKEN), 0, &mut out).unwrap();
        encoder.finish(&[StreamCounts::default()], Timestamp::default(), &mut out).unwrap();
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<_>>();
        let mut expected = words(&[0xa1b2_c3d4]);
        expected.extend([2u16, 4].iter().flat_map(|w| w.to_ne_bytes()));
        expected.extend(words(&[0, 0, 65_535, 165, 1_700_000_000, 123_456, 8, 8]));
        expected.extend(TOKEN);
        assert_eq!(out, expected);
    }

    #[test]
    fn times_that_pcap_cannot_have_do_not_run_backwards() {
        let second_ns = 1_000_000_000;
        let end_ns = (u64::from(u32::MAX) + 1) * second_ns;
        let times =
            [0, 1, 999, end_ns - 1001, end_ns - 1, end_ns, end_ns + 1, end_ns + second_ns / 2];
        let mut out = Vec::new();
        for ns in times.into_iter().chain([end_ns + 7 * second_ns, u64::MAX]) {
            write(&packet(&[]), Timestamp::from_ns(ns), &mut out).unwrap();
        }
        let word = |at: &[u8]| u32::from_ne_bytes(at.try_into().unwrap());
        let dated: Vec<_> =
            out.chunks(16).map(|head| (word(&head[..4]), word(&head[4..8]))).collect();
        assert!(dated.is_sorted(), "{dated:?}");
        assert_eq!((dated[0], dated[9]), ((0, 0), (u32::MAX, 999_999)));
        assert_eq!(dated[3], (u32::MAX, 999_998));
    }
}
