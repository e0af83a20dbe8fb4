//! LIN (ISO 17987): frames on the single wire of a car's door or seat.
//!
//! ```text
//! break (read as 00) | 55 | PID | data (1 to 8) | checksum
//! ```
//!
//! The PID is six bits of id and two of parity. No length is on the wire: a frame ends where the next
//! break with a header begins, or after nine octets. The checksum is over data alone (classic) or with the
//! PID (enhanced). A header that nobody answers is a good frame. Where the octets up to the next header
//! do not fit a checksum, those up to a break without a header are tried, and as many as LIN 1.3 gives
//! that id. A header whose parity is wrong is none.
//!
//! Some drivers and adapters keep the break to themselves. Without it 55 and a PID begin a frame only
//! behind another such, or where two in a row that are not the same have checksums that fit; and the
//! next header has to follow. Id 21, whose PID is 55 too, is not read there.
//!
//! The record (`LINKTYPE_LIN`) has length, kind of checksum, PID, checksum and errors in front of
//! the data.

use super::hunt::{Format, Found, Hunter, Judgement};
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
    weak: true,
    ..Protocol::PLAIN
};

/// Break, 55 and PID.
const HEADER_LEN: usize = 3;
/// The same where the break is not read.
const BARE_LEN: usize = 2;
const SYNC: u8 = 0x55;
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
    Hunter::new(Lin { is_in_step: false }, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct Lin {
    /// Whether a frame without a break ended directly before.
    is_in_step: bool,
}

impl Format for Lin {
    fn find(&self, octets: &[u8]) -> usize {
        let may_start =
            |at: &usize| octets[*at] == SYNC || octets.get(at + 1).is_none_or(|sync| *sync == SYNC);
        memchr::memchr2_iter(0, SYNC, octets).find(may_start).unwrap_or(octets.len())
    }

    fn is_due(&self) -> bool {
        self.is_in_step
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        match octets.first() {
            Some(&SYNC) => judge_bare(octets, self.is_in_step, false),
            _ => judge_with_break(octets, false),
        }
    }

    fn judge_inside(&self, octets: &[u8]) -> Judgement {
        match octets.first() {
            Some(&SYNC) => judge_bare(octets, false, false),
            _ => judge_with_break(octets, false),
        }
    }

    fn judge_last(&self, octets: &[u8]) -> Judgement {
        match octets.first() {
            Some(&SYNC) => judge_bare(octets, self.is_in_step, true),
            _ => judge_with_break(octets, true),
        }
    }

    fn found(&mut self, found: Found, octets: &[u8]) {
        let is_frame = matches!(found, Found::Good | Found::Damaged);
        self.is_in_step = is_frame && octets.first() == Some(&SYNC);
    }

    fn reset(&mut self) {
        self.is_in_step = false;
    }

    fn record(&self, frame: &[u8], notes: Notes, out: &mut Batch) {
        let (&[0, _, pid, ref response @ ..] | &[SYNC, pid, ref response @ ..]) = frame else {
            return out.push(&[frame], notes);
        };
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

/// What starts at the first octet: no frame where one without break is good from its 55 on, or from a 55
/// that would be its PID.
fn judge_with_break(octets: &[u8], is_last: bool) -> Judgement {
    let judgement = judge(octets, is_last);
    if !matches!(judgement, Judgement::Bad(_)) {
        return judgement;
    }
    for at in 1..HEADER_LEN {
        match judge_bare(&octets[at..], false, is_last) {
            Judgement::Nothing => {}
            Judgement::More(_) => return Judgement::More(None),
            _ => return Judgement::Nothing,
        }
    }
    judgement
}

/// The same, if it is a break; with `is_last` nothing follows.
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

/// What starts at a 55 that no break is before.
fn judge_bare(octets: &[u8], is_in_step: bool, is_last: bool) -> Judgement {
    if starts_bare(octets) != Some(true) {
        let is_open = !is_last && octets.len() < BARE_LEN;
        return if is_open { Judgement::More(None) } else { Judgement::Nothing };
    }
    let (pid, rest) = (octets[1], &octets[BARE_LEN..]);
    let fits = |end: usize| checksum_kind(pid, &rest[..end]).is_some();
    let usual = usual_len(pid) + 1;
    // 00 before a header is a break where breaks may be read. In step it is a checksum if it fits, but
    // behind a checksum that fits it always does: there the length decides.
    let is_behind_break = |end: usize| {
        end > 0
            && rest[end - 1] == 0
            && !(is_in_step && fits(end) && (end - 1 != usual || !fits(end - 1)))
    };
    let mut next = None;
    for end in 0..=MOST.min(rest.len()) {
        match starts_bare(&rest[end..]) {
            Some(false) => {}
            None if !is_last => return Judgement::More(None),
            // A 55 that is the last octet is no header.
            None if end < rest.len() => {}
            None if is_in_step && fits(end) => return Judgement::Good(BARE_LEN + end),
            None => return Judgement::Nothing,
            Some(true) if is_behind_break(end) => {
                next = next.or(Some(end - 1));
                break;
            }
            Some(true) if is_in_step && (end == 0 || fits(end)) => {
                return Judgement::Good(BARE_LEN + end);
            }
            Some(true) if !is_in_step && fits(end) => {
                // By itself a checksum of one octet says too little.
                return match judge_bare(&rest[end..], true, is_last) {
                    Judgement::Good(len) if len > BARE_LEN && differ(octets, end, len) => {
                        Judgement::Good(BARE_LEN + end)
                    }
                    Judgement::More(_) => Judgement::More(None),
                    _ => Judgement::Nothing,
                };
            }
            Some(true) => next = next.or(Some(end)),
        }
    }
    if !is_in_step {
        return Judgement::Nothing;
    }
    // Those that may end it, best first: the next header, the usual length, a header with a PID of 55.
    let usual = Some(usual).filter(|usual| next.is_some_and(|next| *usual < next));
    let twice = (0..=next.unwrap_or(MOST)).filter(|end| rest[*end..].starts_with(&[SYNC, SYNC]));
    let end = next.into_iter().chain(usual).chain(twice).find(|end| *end == 0 || fits(*end));
    match (end, next) {
        (Some(end), _) => Judgement::Good(BARE_LEN + end),
        (None, Some(next)) => Judgement::Bad(BARE_LEN + next),
        (None, None) => Judgement::Nothing,
    }
}

/// Whether two frames in a row, of which the first has a response of `end` octets and the second `len`
/// octets in all, are not the same.
fn differ(octets: &[u8], end: usize, len: usize) -> bool {
    let (first, rest) = octets.split_at(BARE_LEN + end);
    *first != rest[..len]
}

/// Whether 55 and a PID begin here; `None` if that takes more octets.
fn starts_bare(octets: &[u8]) -> Option<bool> {
    match *octets {
        [] | [SYNC] => None,
        [SYNC, pid, ..] => Some(pid != SYNC && is_pid(pid)),
        _ => Some(false),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framer as _;
    use crate::packet::Damage;
    use crate::time::Timestamp;

    /// Headers of recorded frames from their PID on, with their data, and how many octets are none.
    fn frames(line: &[u8]) -> (Vec<(u8, Vec<u8>, Damage)>, u64) {
        let found = |size: usize| {
            let mut framer = framer(&Setup::new(19_200));
            let mut batch = Batch::new(0);
            for chunk in line.chunks(size) {
                framer.push(chunk, Timestamp::default(), &mut batch);
            }
            framer.finish(&mut batch);
            let shown = |packet: crate::packet::Packet<'_>| {
                (packet.data[5], packet.data[8..].to_vec(), packet.damage)
            };
            let found: Vec<_> = batch.packets().map(shown).collect();
            (found, framer.tally().skipped_octets)
        };
        assert_eq!(found(1), found(line.len()));
        found(line.len())
    }

    const SPEED: &[u8] = b"\x55\xa3\x11\x22\x29";
    const DOORS: &[u8] = b"\x55\x50\x01\x02\xfc";

    #[test]
    fn frames_are_found_where_breaks_are_not_read() {
        let good = |pid: u8, data: &[u8]| (pid, data.to_vec(), Damage::NONE);
        let (speed, doors) = (good(0xa3, b"\x11\x22"), good(0x50, b"\x01\x02"));
        let unanswered = b"\x55\x11";
        let line = [b"\x07\x55", SPEED, DOORS, unanswered, SPEED, SPEED, DOORS].concat();
        let all = vec![
            speed.clone(),
            doors.clone(),
            good(0x11, b""),
            speed.clone(),
            speed.clone(),
            doors.clone(),
        ];
        assert_eq!(frames(&line), (all, 2));
        // A wrong checksum, and noise, behind which it takes two.
        let mut bad = SPEED.to_vec();
        bad[3] ^= 1;
        let line = [SPEED, DOORS, &bad, DOORS, b"\x99", SPEED, DOORS, SPEED].concat();
        let (found, skipped) = frames(&line);
        let damages: Vec<_> = found.iter().map(|(pid, _, damage)| (*pid, *damage)).collect();
        let (good, bad) = (Damage::NONE, Damage::CRC_ERROR);
        let of = [
            (0xa3, good),
            (0x50, good),
            (0xa3, bad),
            (0x50, good),
            (0xa3, good),
            (0x50, good),
            (0xa3, good),
        ];
        assert_eq!((damages, skipped), (of.to_vec(), 1));
    }

    #[test]
    fn a_break_is_never_taken_for_a_checksum() {
        let pids = |line: &[u8]| {
            let (found, skipped) = frames(line);
            (found.iter().map(|(pid, _, damage)| (*pid, *damage)).collect::<Vec<_>>(), skipped)
        };
        let good = |pids: &[u8]| pids.iter().map(|pid| (*pid, Damage::NONE)).collect::<Vec<_>>();
        let with_break = |frame: &[u8]| [&[0], frame].concat();
        // One break was lost, where the others are read.
        let line = [&with_break(DOORS)[..], SPEED, &with_break(SPEED), &with_break(DOORS)].concat();
        assert_eq!(pids(&line), (good(&[0x50, 0xa3, 0x50]), 5));
        // One is read, where the others are not.
        let line = [SPEED, DOORS, &with_break(SPEED), DOORS, SPEED, DOORS].concat();
        assert_eq!(pids(&line), (good(&[0xa3, 0x50, 0xa3, 0x50, 0xa3, 0x50]), 1));
        let (rest, break_) = ([DOORS, SPEED, DOORS].concat(), with_break(SPEED));
        let line = [SPEED, DOORS, &break_, b"\x55\x11", &rest].concat();
        let (found, skipped) = pids(&line);
        assert_eq!((&found[..2], found[2].1), (&good(&[0xa3, 0x50])[..], Damage::TOO_SHORT));
        assert_eq!((&found[3..], skipped), (&good(&[0x50, 0xa3, 0x50])[..], 0));
        let line = [SPEED, DOORS, b"\x55\x11", &with_break(SPEED)].concat();
        assert_eq!(pids(&line), (good(&[0xa3, 0x50, 0x11, 0xa3]), 0));
    }

    #[test]
    fn a_checksum_of_zero_is_one_where_breaks_are_not_read() {
        let zero = b"\x55\xa3\x22\x3a\x00";
        let line = [SPEED, DOORS, zero, DOORS, SPEED, DOORS].concat();
        let (found, skipped) = frames(&line);
        assert_eq!((found[2].clone(), skipped), ((0xa3, vec![0x22, 0x3a], Damage::NONE), 0));
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn the_last_frame_may_end_with_a_55() {
        let (found, skipped) = frames(&[SPEED, DOORS, SPEED, b"\x55\x50\x01\x59\x55"].concat());
        assert_eq!((found.len(), skipped), (4, 0));
    }

    #[test]
    fn a_frame_before_one_of_id_21_is_not_damaged() {
        // Its PID is 55, so its header is not read without a break.
        let line = [SPEED, DOORS, SPEED, b"\x55\x55\x01\x02\xa7", DOORS, SPEED, DOORS].concat();
        let (found, skipped) = frames(&line);
        assert!(found.iter().all(|(_, _, damage)| *damage == Damage::NONE), "{found:x?}");
        assert_eq!((found.len(), skipped), (6, 5));
    }

    #[test]
    fn a_break_behind_a_damaged_frame_is_not_its_checksum() {
        // FF with the break of the next one as its checksum would be good.
        let bad = b"\x00\x55\xa3\xff";
        let doors = [&[0], DOORS].concat();
        let line = [&doors[..], bad, &doors, &doors, &doors].concat();
        let (found, _) = frames(&line);
        let damages: Vec<_> = found.iter().map(|(pid, _, damage)| (*pid, *damage)).collect();
        let (good, bad) = ((0x50, Damage::NONE), (0xa3, Damage::CRC_ERROR));
        assert_eq!(damages, [good, bad, good, good, good]);
    }

    #[test]
    fn without_breaks_one_checksum_is_no_frame() {
        for line in [SPEED.repeat(20), vec![SYNC; 100], [SPEED, b"\x55\x50\x01\x02\xfd"].concat()] {
            assert_eq!(frames(&line), (vec![], line.len() as u64));
        }
    }
}
