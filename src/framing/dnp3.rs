//! DNP3 on a serial line (IEEE 1815, clause 9): frames of the data link layer.
//!
//! ```text
//! 05 64 | length | control | destination (2) | source (2) | CRC (2)
//!       [ data (16, the last block less) | CRC (2) ]*             numbers and CRCs low first
//! ```
//!
//! The length counts control, addresses and data, without CRCs. Where a start is doubled
//! (`05 64 05 64`), the header CRC tells which one counts. Direction is as the master sees it: what
//! it sends is outbound. In the columns of Wireshark address 1024 is 0.0.4.0.

use super::hunt::{Format, Hunter, Judgement};
use super::{Protocol, Setup};
use crate::dissect;
use crate::exported_pdu::{self, Header};
use crate::line::Line;
use crate::packet::{Batch, Direction, LinkType, Notes};
use crc::{CRC_16_DNP, Crc, Table};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "dnp3",
    help: "DNP3 of power and water plants",
    line: Line::at(9600),
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: true,
    sniffer: None,
    when_silent: "check that the adapter is wired to a line where a master polls",
    when_senseless: "check rate and format (-b, --line), and the polarity of the wires",
    dissector: dissect::dnp3::words,
    comment: false,
    proof,
    ..Protocol::PLAIN
};

/// Start, header CRC; a CRC for each block more.
fn proof(packet: &[u8]) -> u8 {
    let frame = exported_pdu::split(packet).map_or(packet, |(_, frame)| frame);
    if frame.len() > HEADER_LEN { 48 } else { 32 }
}

/// Up to the header's CRC, with it.
const HEADER_LEN: usize = 10;
/// What the length counts of a header.
const COUNTED: usize = 5;
/// Data before each CRC.
const BLOCK: usize = 16;
/// Control: it comes from the master.
const FROM_MASTER: u8 = 0x80;

static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_DNP);

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Dnp3> {
    Hunter::new(Dnp3, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct Dnp3;

impl Format for Dnp3 {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr_iter(0x05, octets)
            .find(|at| octets.get(at + 1).is_none_or(|second| *second == 0x64))
            .unwrap_or(octets.len())
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        let Some(header) = octets.first_chunk::<HEADER_LEN>() else {
            return Judgement::More(octets.starts_with(&[0x05, 0x64]).then_some(HEADER_LEN));
        };
        if !header.starts_with(&[0x05, 0x64]) {
            return Judgement::Nothing;
        }
        let length = usize::from(header[2]);
        if length < COUNTED || !crc_fits(header) {
            return Judgement::Bad(HEADER_LEN);
        }
        let data_len = length - COUNTED;
        let len = HEADER_LEN + data_len + 2 * data_len.div_ceil(BLOCK);
        match octets.get(HEADER_LEN..len) {
            None => Judgement::More(Some(len)),
            Some(data) if data.chunks(BLOCK + 2).all(is_block) => Judgement::Good(len),
            Some(_) => Judgement::Bad(len),
        }
    }

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        let header = Header::of("dnp3.udp").protocol("DNP 3.0");
        let whole = frame.first_chunk::<HEADER_LEN>().filter(|header| crc_fits(&header[..]));
        let (direction, header) = match whole {
            Some(&[_, _, _, control, to_low, to_high, from_low, from_high, ..]) => {
                let is_master = control & FROM_MASTER != 0;
                let way = if is_master { Direction::Outbound } else { Direction::Inbound };
                (way, header.addresses([0, 0, from_high, from_low], [0, 0, to_high, to_low]))
            }
            None => (Direction::Unknown, header),
        };
        let header = header.direction(direction).end();
        let original_len = header.len() as u32 + notes.original_len;
        out.push(&[&header, frame], Notes { direction, original_len, ..notes });
    }
}

/// Whether these are data with their CRC. A whole header in their place is the next frame, behind one
/// that was cut off: the CRC of a header without data fits as well.
fn is_block(block: &[u8]) -> bool {
    let is_header = block.starts_with(&[0x05, 0x64])
        && block.first_chunk::<HEADER_LEN>().is_some_and(|header| crc_fits(header));
    crc_fits(block) && !is_header
}

/// Whether the last two octets are the CRC of those before.
fn crc_fits(block: &[u8]) -> bool {
    block
        .split_last_chunk::<2>()
        .is_some_and(|(data, crc)| CRC.checksum(data).to_le_bytes() == *crc)
}
