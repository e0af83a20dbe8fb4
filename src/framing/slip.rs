//! SLIP (RFC 1055): IP packets between `C0`.
//!
//! ```text
//! C0 | IPv4 or IPv6 | C0      DB DC stands for C0, DB DD for DB
//! ```
//!
//! SLIP has no check sequence, and its hosts print text into the line. So what stands between two
//! `C0` is a packet if it is IP by what IP says of itself: version, length, and the check sum of an
//! IPv4 header. A line of text ends nothing: `60 0A` may begin an IPv6 packet. Headers compressed
//! after Van Jacobson (RFC 1144) are not read.

use super::Protocol;
use super::stuffing::{Run, Stuffing, Unstuffer, Verdict};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Damage, LinkType};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "slip",
    help: "IP over a serial line (SLIP)",
    line: Line::at(115_200),
    link_type: LinkType::RAW_IP,
    framer: |setup| Box::new(Unstuffer::new(Slip, setup)),
    drop_lines: false,
    sniffer: None,
    when_silent: "check that the adapter is wired to the line between both hosts",
    when_senseless: "check the rate; compressed TCP headers (CSLIP) are not read",
    comment: false,
    dissector: dissect::ip::words,
    proof,
    ..Protocol::PLAIN
};

/// Version, length, and for IPv4 a check sum.
fn proof(packet: &[u8]) -> u8 {
    if packet.first().is_some_and(|first| first >> 4 == 4) { 36 } else { 20 }
}

/// Octets of the shortest header.
const IPV4_MIN: usize = 20;
/// Octets of the header, before what follows it.
const IPV6_LEN: usize = 40;

struct Slip;

impl Stuffing for Slip {
    const FLAG: u8 = 0xc0;
    const ESCAPE: u8 = 0xdb;

    fn unescaped(octet: u8) -> Option<u8> {
        match octet {
            0xdc => Some(0xc0),
            0xdd => Some(0xdb),
            _ => None,
        }
    }

    fn judge(&self, run: Run<'_>) -> Verdict {
        match judge(run.octets) {
            Verdict::Good if !run.is_sound => Verdict::Damaged(Damage::CRC_ERROR),
            Verdict::Damaged(_) | Verdict::Short(_) if run.is_text() || !run.is_opened => {
                Verdict::Nothing
            }
            verdict => verdict,
        }
    }
}

/// Whether this is a packet of IP, whole and without more.
pub(super) fn is_packet(octets: &[u8]) -> bool {
    judge(octets) == Verdict::Good
}

/// What IP says of itself.
fn judge(octets: &[u8]) -> Verdict {
    let (Some(first), Some(tenth)) = (octets.first(), octets.get(..10)) else {
        return Verdict::Nothing;
    };
    let number = |at: usize| usize::from(u16::from_be_bytes([tenth[at], tenth[at + 1]]));
    let (announced, is_whole) = match first >> 4 {
        4 => {
            let header = octets.get(..usize::from(first & 0x0f) * 4);
            let header = header.filter(|header| header.len() >= IPV4_MIN);
            let Some(header) = header else { return Verdict::Nothing };
            (number(2), sum(header) == 0xffff)
        }
        6 if octets.len() >= IPV6_LEN => (IPV6_LEN + number(4), true),
        _ => return Verdict::Nothing,
    };
    match (announced.cmp(&octets.len()), is_whole) {
        (std::cmp::Ordering::Equal, true) => Verdict::Good,
        (std::cmp::Ordering::Equal, false) => Verdict::Damaged(Damage::CRC_ERROR),
        (std::cmp::Ordering::Greater, true) => Verdict::Short(announced),
        // More than it announces: an octet was added, or the end of a frame was lost.
        (std::cmp::Ordering::Less, true) => Verdict::Damaged(Damage::CRC_ERROR),
        (_, false) => Verdict::Nothing,
    }
}

/// The sum that is FFFF if a header is right (RFC 791, 3.1).
fn sum(header: &[u8]) -> u32 {
    let words =
        header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::{Framer as _, Setup};
    use crate::packet::Batch;
    use crate::time::Timestamp;

    /// UDP over IPv4.
    const UDP: &[u8] = b"\x45\0\0\x29\0\x01\0\0\x40\x11\x66\xc1\x0a\0\0\x01\x0a\0\0\x02\
                         \x27\x0e\x27\x0f\0\x15\x5c\x58Hello, world!";

    fn frames(line: &[u8]) -> (Vec<(Vec<u8>, Damage)>, u64) {
        let mut framer = Unstuffer::new(Slip, &Setup::new(115_200));
        let mut batch = Batch::new(0);
        framer.push(line, Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        let found = batch.packets().map(|packet| (packet.data.to_vec(), packet.damage));
        (found.collect(), framer.tally().skipped_octets)
    }

    #[test]
    fn packets_are_found_among_text() {
        let text = b"*** ADDRESS fd00::1\n";
        let line = [b"booting\r\n\xc0", UDP, b"\xc0", text, b"\xc0", UDP, b"\xc0"].concat();
        let good = (UDP.to_vec(), Damage::NONE);
        assert_eq!(frames(&line), (vec![good.clone(), good], 9 + text.len() as u64));
    }

    #[test]
    fn a_newline_is_no_end() {
        // IPv6 whose flow label makes it begin as a line of text might.
        let mut packet = vec![0x60, 0x0a, 0, 0, 0, 2, 59, 64];
        packet.resize(IPV6_LEN, 0x20);
        packet.extend([0xc0, 0xdb]);
        let line = [&[0xc0][..], &packet[..IPV6_LEN], &[0xdb, 0xdc, 0xdb, 0xdd, 0xc0]].concat();
        assert_eq!(frames(&line), (vec![(packet, Damage::NONE)], 0));
    }

    #[test]
    fn damage_is_told_from_what_is_no_packet() {
        let mut bad = UDP.to_vec();
        bad[12] ^= 1;
        let more = [UDP, b"!"].concat();
        let line =
            [b"\xc0", &bad[..], b"\xc0", &UDP[..30], b"\xc0", &more, b"\xc0@@@@\xc0"].concat();
        let expected = vec![
            (bad, Damage::CRC_ERROR),
            (UDP[..30].to_vec(), Damage::TOO_SHORT),
            (more, Damage::CRC_ERROR),
        ];
        assert_eq!(frames(&line), (expected, 5));
    }
}
