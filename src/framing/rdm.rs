//! RDM (ANSI E1.20): talk with the lamps on a line of DMX512.
//!
//! ```text
//! break (read as 00) | CC | 01 | length | destination (6) | source (6) | transaction | port
//!       | messages | sub-device (2) | command | parameter (2) | data length | data | sum (2)
//! ```
//!
//! The length counts all but the sum, with CC; the sum is that of all octets, high one first. DMX frames
//! between have neither length nor check, so that nothing but the break tells where they
//! begin; they are skipped, and so are answers to a discovery, which have another form.

use super::hunt::{Format, Hunter, Judgement};
use super::upper::Upper;
use super::{Protocol, Setup};
use crate::dissect;
use crate::line::{Line, LineFormat};
use crate::packet::{Batch, Direction, LinkType, Notes};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "rdm",
    help: "RDM on lines of DMX512",
    line: Line { baud: 250_000, format: LineFormat::EIGHT_N_2 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: true,
    when_silent: "check that the adapter is wired to a line with a console",
    when_senseless: "RDM comes only when a console asks for it; check that A and B are not swapped",
    dissector: dissect::rdm::words,
    // CC 01, the data's length, the sum.
    proof: |_| 40,
    // All lamps have their levels between any two of its frames.
    least_share: 0.02,
    ..Protocol::PLAIN
};

/// Up to the data's length, with it.
const HEADER_LEN: usize = 24;
const START: [u8; 2] = [0xcc, 0x01];

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Rdm> {
    Hunter::new(Rdm(Upper::new("rdm", "RDM")), setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct Rdm(Upper);

impl Format for Rdm {
    fn is_padding(octet: u8) -> bool {
        octet == 0 // the break before the next
    }

    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr_iter(START[0], octets)
            .find(|at| octets.get(at + 1).is_none_or(|second| *second == START[1]))
            .unwrap_or(octets.len())
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        let Some(header) = octets.first_chunk::<HEADER_LEN>() else {
            return Judgement::More(octets.starts_with(&START).then_some(HEADER_LEN + 2));
        };
        let (length, data_len) = (usize::from(header[2]), usize::from(header[HEADER_LEN - 1]));
        if !header.starts_with(&START) || length != HEADER_LEN + data_len {
            return Judgement::Nothing;
        }
        match octets.get(..length + 2) {
            None => Judgement::More(Some(length + 2)),
            Some(frame) if sum_fits(frame) => Judgement::Good(length + 2),
            Some(_) => Judgement::Bad(length + 2),
        }
    }

    fn recorded<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        // Wireshark takes it without CC.
        frame.get(1..).unwrap_or_default()
    }

    fn record(&self, recorded: &[u8], notes: Notes, out: &mut Batch) {
        self.0.record(Direction::Unknown, [recorded, &[]], notes, out);
    }
}

/// Whether the last two octets are the sum of those before.
fn sum_fits(frame: &[u8]) -> bool {
    frame.split_last_chunk::<2>().is_some_and(|(octets, said)| {
        let sum = octets.iter().fold(0_u16, |sum, octet| sum.wrapping_add((*octet).into()));
        sum.to_be_bytes() == *said
    })
}
