//! LIN (ISO 17987): frames on the single wire of a car's door or seat.
//!
//! ```text
//! break (read as 00) | 55 | PID | data (1 to 8) | checksum
//! ```
//!
//! The PID is six bits of id and two of parity. No length is on the wire: a frame ends where the next
//! break with a header begins, or after nine octets. The checksum is over data alone (classic) or with the
//! PID (enhanced). A header that nobody answers is a good frame. If the octets up to the next header
//! do not fit, those up to a break without header are tried, and those that the id had in LIN 1.3. A header whose parity is wrong is none.
//!
//! The record (`LINKTYPE_LIN`) has length, kind of checksum, PID, checksum and errors in front of
//! the data.

use super::hunt::{Format, Hunter, Judgement};
use super::{Protocol, Setup};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Batch, LinkType, Notes};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "lin",
    help: "LIN bus of vehicles",
    line: Line::at(19_200),
    link_type: LinkType::LIN,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: true,
    when_silent: "check that the transceiver is wired to the bus, and that a master is awake",
    when_senseless: "check the rate: -b 9600, 10400 or 19200",
    dissector: dissect::lin::words,
    // Break, 55, parity; and a checksum of two, or the next header.
    proof: |_| 24,
    ..Protocol::PLAIN
};

/// Break, 55 and PID.
const HEADER_LEN: usize = 3;
/// Data and checksum.
const MOST: usize = 9;
/// Errors in a record.
const NO_RESPONSE: u8 = 0x01;
const WRONG_CHECKSUM: u8 = 0x08;
/// Kinds of checksum in a record.
const NO_CHECKSUM: u8 = 0;
const CLASSIC: u8 = 1;
const ENHANCED: u8 = 2;

/// Makes a framer.
pub(super) fn framer(setup: &Setup) -> Hunter<Lin> {
    Hunter::new(Lin, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct Lin;

impl Format for Lin {
    fn find(&self, octets: &[u8]) -> usize {
        memchr::memchr_iter(0, octets)
            .find(|at| octets.get(at + 1).is_none_or(|sync| *sync == 0x55))
            .unwrap_or(octets.len())
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        judge(octets, false)
    }

    fn judge_last(&self, octets: &[u8]) -> Judgement {
        judge(octets, true)
    }

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        let &[_, _, pid, ref response @ ..] = frame else { return out.push(&[frame], notes) };
        let (checksum, data) = response.split_last().unwrap_or((&0, &[]));
        let (kind, errors) = match checksum_kind(pid, response) {
            _ if response.is_empty() => (NO_CHECKSUM, NO_RESPONSE),
            Some(kind) => (kind, 0),
            None => (NO_CHECKSUM, WRONG_CHECKSUM),
        };
        let header = [1, 0, 0, 0, (data.len() as u8) << 4 | kind, pid, *checksum, errors];
        out.push(&[&header, data], Notes { original_len: 0, ..notes });
    }
}

/// What starts at the first octet; with `is_last` nothing follows.
fn judge(octets: &[u8], is_last: bool) -> Judgement {
    let &[0, 0x55, pid, ref rest @ ..] = octets else {
        let is_open = octets.len() < HEADER_LEN && [0, 0x55].starts_with(octets);
        return if is_open { Judgement::More(None) } else { Judgement::Nothing };
    };
    if !is_pid(pid) {
        return Judgement::Nothing;
    }
    let ahead = &rest[..rest.len().min(MOST + HEADER_LEN - 1)];
    let next = (0..=ahead.len().min(MOST)).find(|at| starts_header(&ahead[*at..]) != Some(false));
    let (end, is_followed) = match next {
        Some(at) if starts_header(&ahead[at..]) == Some(true) => (at, true),
        _ if is_last => (ahead.len().min(MOST), false),
        // Whether a header begins there takes more octets.
        Some(_) => return Judgement::More(Some(HEADER_LEN)),
        None => (MOST, false),
    };
    // A break and 55 without a PID may end it too, and so may the octets that its id usually has.
    let breaks = (0..end).filter(|at| rest[*at..].starts_with(&[0, 0x55]));
    let usual = Some(usual_len(pid) + 1).filter(|usual| *usual < end);
    let fits = |end: &usize| *end == 0 || checksum_kind(pid, &rest[..*end]).is_some();
    // Without a header behind it, what lies there may be anything.
    let (first, then) = if is_followed { (None, usual) } else { (usual, None) };
    let ends = first.into_iter().chain([end]).chain(breaks).chain(then);
    let Some(end) = ends.into_iter().find(fits) else {
        return Judgement::Bad(HEADER_LEN + end);
    };
    // Behind a checksum that fits, 00 fits as another one, and so does a frame whose 55 was lost; if
    // the length says so it is a break.
    let is_broken = |usual: &usize| match rest[..end].get(*usual..) {
        Some([0, pid, ..]) if is_pid(*pid) => true,
        Some(rest) => rest.iter().all(|octet| *octet == 0),
        None => false,
    };
    let end = usual.filter(is_broken).filter(fits).unwrap_or(end);
    Judgement::Good(HEADER_LEN + end)
}

/// Whether a header begins here; `None` if that takes more octets.
fn starts_header(octets: &[u8]) -> Option<bool> {
    match *octets {
        [0, 0x55, pid, ..] => Some(is_pid(pid)),
        [] | [0] | [0, 0x55] => None,
        _ => Some(false),
    }
}

/// Whether the parity of a PID fits its id.
fn is_pid(pid: u8) -> bool {
    let bit = |at: u8| pid >> at & 1;
    let even = bit(0) ^ bit(1) ^ bit(2) ^ bit(4);
    let odd = 1 ^ bit(1) ^ bit(3) ^ bit(4) ^ bit(5);
    pid >> 6 == odd << 1 | even
}

/// Octets of data that a frame of that id has in LIN 1.3.
fn usual_len(pid: u8) -> usize {
    match pid & 0x3f {
        0..=31 => 2,
        32..=47 => 4,
        _ => 8,
    }
}

/// Which checksum ends a response.
fn checksum_kind(pid: u8, response: &[u8]) -> Option<u8> {
    let (checksum, data) = response.split_last()?;
    let sum = |first: u16| {
        data.iter().fold(first, |sum, octet| {
            let sum = sum + u16::from(*octet);
            if sum > 0xff { sum - 0xff } else { sum }
        })
    };
    let fits = |first: u8| !data.is_empty() && sum(first.into()) == u16::from(!checksum);
    // Diagnostic frames have the classic one always.
    let is_diagnostic = matches!(pid & 0x3f, 0x3c | 0x3d);
    if fits(pid) && !is_diagnostic { Some(ENHANCED) } else { fits(0).then_some(CLASSIC) }
}
