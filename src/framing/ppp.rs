//! PPP in HDLC-like framing (RFC 1662), as modems and mobile network modules speak it.
//!
//! ```text
//! 7E | FF 03 | protocol (1 or 2) | data | FCS (2, low first) | 7E      7D xx stands for xx ^ 20
//! ```
//!
//! Recorded without flags, escapes and FCS, which is how Wireshark takes it unless told otherwise.
//! Where the port is one direction of a line, that is recorded before it. What is said before, such
//! as AT commands, is text and no frame.

use super::stuffing::{Run, Stuffing, Unstuffer, Verdict};
use super::{Protocol, Setup, slip};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Damage, Direction, LinkType};
use crc::{CRC_16_IBM_SDLC, Crc, Table};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "ppp",
    help: "PPP in HDLC-like framing, as modems speak it",
    line: Line::at(115_200),
    link_type: LinkType::PPP_HDLC,
    link_type_of: Some(|setup| match setup.direction {
        Direction::Unknown => LinkType::PPP_HDLC,
        Direction::Inbound | Direction::Outbound => LinkType::PPP_WITH_DIR,
    }),
    framer: |setup| Box::new(Unstuffer::new(Ppp::new(setup), setup)),
    drop_lines: false,
    sniffer: None,
    when_silent: "check that the adapter is wired to the line between host and modem",
    when_senseless: "check the rate; before a connection is made there are AT commands only",
    comment: false,
    dissector: dissect::ppp::words,
    proof,
    ..Protocol::PLAIN
};

/// Other protocols have the same flags and FCS, and those of inverters address and control too. So a
/// protocol that PPP has must be behind them, or a packet of IP where they are left out. What is
/// compressed is not against it.
fn proof(packet: &[u8]) -> u8 {
    match *dissect::ppp::without_direction(packet) {
        [0xff, 0x03, ref data @ ..] if is_known(data) => 32,
        [0x00, 0x21 | 0x57, ref ip @ ..] | [0x21 | 0x57, ref ip @ ..] if slip::is_packet(ip) => 32,
        [0x00, 0x2d | 0x2f | 0xfd, ..] | [0x2d | 0x2f | 0xfd, ..] => 1,
        _ => 0,
    }
}

/// Whether data begin with the number of a protocol that links have (RFC 1661, and IANA's list): of IP
/// and its kin in one octet or two, of their control, or of the link's.
fn is_known(data: &[u8]) -> bool {
    let is_network = |octet: u8| {
        matches!(octet, 0x21 | 0x29 | 0x2b | 0x2d | 0x2f | 0x31 | 0x3d | 0x3f | 0x53 | 0x55 | 0x57)
            || matches!(octet, 0xfb | 0xfd)
    };
    match *data {
        [0x00 | 0x80, low, ..] => is_network(low),
        [0x02 | 0x82, low, ..] => matches!(low, 0x81 | 0x83),
        [0xc0, low, ..] => matches!(low, 0x21 | 0x23 | 0x25 | 0x29 | 0x2b),
        [0xc2, low, ..] => matches!(low, 0x23 | 0x27),
        [octet, ..] => is_network(octet),
        [] => false,
    }
}

/// The FCS-16 of RFC 1662, C.2, by a table for each of its octets.
const FCS: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_IBM_SDLC);
/// Octets of an FCS.
const FCS_LEN: usize = 2;
/// A protocol in one octet and an FCS.
const MIN_LEN: usize = 1 + FCS_LEN;

struct Ppp {
    /// The octet that says which way all frames go, if that is known.
    direction: &'static [u8],
}

impl Ppp {
    fn new(setup: &Setup) -> Self {
        let direction: &[u8] = match setup.direction {
            Direction::Unknown => &[],
            Direction::Inbound => &[0],
            Direction::Outbound => &[1],
        };
        Self { direction }
    }
}

impl Stuffing for Ppp {
    const FLAG: u8 = 0x7e;
    const ESCAPE: u8 = 0x7d;

    fn unescaped(octet: u8) -> Option<u8> {
        Some(octet ^ 0x20)
    }

    fn judge(&self, run: Run<'_>) -> Verdict {
        let Some(data_len) = run.octets.len().checked_sub(FCS_LEN) else { return Verdict::Nothing };
        let (data, fcs) = run.octets.split_at(data_len);
        let is_short = run.octets.len() < MIN_LEN;
        match () {
            () if !is_short && run.is_sound && FCS.checksum(data).to_le_bytes() == *fcs => {
                Verdict::Good
            }
            () if is_short || !run.is_opened || run.is_text() => Verdict::Nothing,
            // An escape before a flag gives a frame up (4.3).
            () if !run.is_closed || !run.is_sound => Verdict::Damaged(Damage::TOO_SHORT),
            () => Verdict::Damaged(Damage::CRC_ERROR),
        }
    }

    fn head(&self) -> &[u8] {
        self.direction
    }

    fn recorded<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[..frame.len().saturating_sub(FCS_LEN)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Batch;
    use crate::time::Timestamp;

    #[test]
    fn a_frame_is_recorded_without_escapes_and_fcs() {
        // LCP Configure-Request with magic number 0.
        let line = b"\x7e\xff\x7d\x23\xc0\x21\x7d\x21\x7d\x20\x7d\x20\x7d\x2a\x7d\x25\x7d\x26\
                     \x7d\x20\x7d\x20\x7d\x20\x7d\x20\x74\x2a\x7e";
        let mut framer = (ROW.framer)(&Setup::new(115_200));
        let mut batch = Batch::new(0);
        framer.push(b"ATD*99#\r\r\nCONNECT\r\n", Timestamp::default(), &mut batch);
        framer.push(line, Timestamp::default(), &mut batch);
        framer.push(b"\r\nNO CARRIER\r\n\x7e", Timestamp::default(), &mut batch);
        let mut bad = *line;
        bad[6] ^= 1;
        framer.push(&bad, Timestamp::default(), &mut batch);
        framer.push(b"\xff\x03\xc0\x21\x7d\x7e", Timestamp::default(), &mut batch);
        let found: Vec<_> = batch.packets().map(|packet| (packet.data, packet.damage)).collect();
        let lcp = b"\xff\x03\xc0\x21\x01\x00\x00\x0a\x05\x06\0\0\0\0";
        assert_eq!(found[0], (&lcp[..], Damage::NONE));
        assert_eq!(
            (found.len(), found[1].1, found[2].1),
            (3, Damage::CRC_ERROR, Damage::TOO_SHORT)
        );
    }

    #[test]
    fn one_direction_of_a_line_is_recorded_before_the_packet() {
        let line = b"\x7e\xff\x03\xc0\x21\x09\x01\0\x04\x09\x50\x7e";
        for (direction, octet) in [(Direction::Inbound, 0), (Direction::Outbound, 1)] {
            let setup = Setup { direction, ..Setup::new(115_200) };
            let mut framer = (ROW.framer)(&setup);
            let mut batch = Batch::new(0);
            framer.push(line, Timestamp::default(), &mut batch);
            let found: Vec<_> = batch.packets().map(|packet| packet.data.to_vec()).collect();
            assert_eq!(found, [[&[octet], &line[1..9]].concat()]);
            assert_eq!(ROW.link_type(&setup), LinkType::PPP_WITH_DIR);
        }
    }
}
