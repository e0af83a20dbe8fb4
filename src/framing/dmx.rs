//! DMX512 (ANSI E1.11): the levels of lamps, and RDM between them.
//!
//! ```text
//! break (read as 00) | start code | slots (up to 512)
//! ```
//!
//! Nothing but the break tells where a frame begins, and nothing where it ends but the next one. Where
//! breaks are told (in a recording), a frame goes from one to the next. Where none was told yet (ports of
//! today's systems, a network, a file of bytes), a frame is what begins with 00,
//! the break, and a start code that is in use, at first or behind a pause, and ends at a pause or
//! behind 512 slots. No check sequence protects a frame, so that none of this is proven by content:
//! a frame with a wrong stop bit inside is flagged.
//!
//! Work per octet: constant. Memory: two longest frames and a chunk.

use super::upper::Upper;
use super::{IDLE_NS, Protocol, Setup, Window, Windowed};
use crate::dissect;
use crate::line::{Line, LineFormat};
use crate::packet::{Batch, Direction, LinkType, Notes};
use crate::time::Timestamp;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "dmx",
    help: "DMX512, and RDM on the same line",
    line: Line { baud: 250_000, format: LineFormat::EIGHT_N_2 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(Dmx::new(setup)),
    drop_lines: true,
    when_silent: "check that the adapter is wired to a line with a console",
    when_senseless: "check that A and B are not swapped",
    dissector: dissect::dmx::words,
    provable: false,
    ..Protocol::PLAIN
};

/// Break, start code and slots.
const MAX_LEN: usize = 1 + 1 + 512;
/// Start codes: levels, a test, text, the same for all, RDM, a system's information.
const START_CODES: [u8; 6] = [0x00, 0x55, 0x17, 0x91, RDM, 0xcf];
const RDM: u8 = 0xcc;
/// A pause that no console of today makes inside a frame, though the standard allows 1 s.
const GAP_NS: u64 = 20 * IDLE_NS;

#[derive(Debug)]
struct Dmx {
    window: Window,
    levels: Upper,
    rdm: Upper,
    /// Whether the receiver tells of breaks.
    has_breaks: bool,
    /// Whether the first octet held follows a frame, a pause or nothing, so that one may begin there.
    may_begin: bool,
    /// Whether what is held begins with a break.
    is_open: bool,
}

impl Dmx {
    fn new(setup: &Setup) -> Self {
        Self {
            window: Window::noting(setup, GAP_NS),
            levels: Upper::new("dmx", "DMX512"),
            rdm: Upper::new("rdm", "RDM"),
            has_breaks: false,
            may_begin: true,
            is_open: false,
        }
    }

    /// Takes what can be told; all of it if nothing follows (`closed`).
    fn take(&mut self, closed: bool, out: &mut Batch) {
        while !self.window.octets().is_empty() {
            let held = self.window.octets().len();
            let first_break = self.window.breaks().next();
            if first_break == Some(0) {
                (self.has_breaks, self.is_open) = (true, true);
            }
            if !self.is_open && !self.begins_without_break(closed) {
                return;
            }
            let end = if self.has_breaks || first_break.is_some() {
                self.window.breaks().find(|at| *at > 0)
            } else {
                self.window.pauses().map(|(at, _)| at).next()
            };
            if !self.is_open {
                self.window.skip(end.unwrap_or(held));
                self.may_begin = end.is_some();
                continue;
            }
            if held < MAX_LEN && end.is_none() && !closed {
                return;
            }
            let len = end.unwrap_or(held).min(MAX_LEN);
            self.emit(len, out);
            (self.is_open, self.may_begin) = (false, true);
        }
    }

    /// Sees whether a frame begins at the first octet though no break is told of; returns whether
    /// that can be told.
    fn begins_without_break(&mut self, closed: bool) -> bool {
        if self.has_breaks || !self.may_begin {
            self.may_begin = false;
            return true;
        }
        match *self.window.octets() {
            [0] if !closed => return false,
            [0, code, ..] if START_CODES.contains(&code) => self.is_open = true,
            _ => self.may_begin = false,
        }
        true
    }

    fn emit(&mut self, len: usize, out: &mut Batch) {
        // A break alone: the line was low for long, or this is the end of what was heard.
        if len < 2 {
            return self.window.skip(len);
        }
        let notes = self.window.good(len);
        let taken = self.window.taken;
        let frame = &self.window.octets[taken - len + 1..taken];
        let notes = Notes { original_len: frame.len() as u32, ..notes };
        match *frame {
            // Wireshark takes it without its start code.
            [RDM, ref rdm @ ..] if !rdm.is_empty() => {
                let notes = Notes { original_len: rdm.len() as u32, ..notes };
                self.rdm.record(Direction::Unknown, [rdm, &[]], notes, out);
            }
            _ => self.levels.record(Direction::Unknown, [frame, &[]], notes, out),
        }
    }
}

impl Windowed for Dmx {
    fn window(&self) -> &Window {
        &self.window
    }

    fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    fn cut(&mut self, closed: bool, out: &mut Batch) {
        self.take(closed, out);
    }

    fn before(&mut self, len: usize, arrival: Timestamp) {
        if self.window.octets().is_empty() && self.window.pause_before(len, arrival) > GAP_NS {
            self.may_begin = true;
        }
    }

    fn end(&mut self, _now: Timestamp, out: &mut Batch) {
        self.take(true, out);
        self.may_begin = true;
    }

    fn forget(&mut self) {
        self.may_begin = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Framer;
    use super::*;
    use crate::exported_pdu;
    use crate::line_errors::{LineError, LineErrorKind};

    const BREAK: Option<LineErrorKind> = Some(LineErrorKind::Break);

    /// Frames of a line whose octets have these errors, read so many at a time.
    fn frames(line: &[(u8, Option<LineErrorKind>)], size: usize) -> Vec<(Vec<u8>, u16)> {
        let mut framer = Dmx::new(&Setup::new(250_000));
        let mut batch = Batch::new(0);
        for chunk in line.chunks(size) {
            let error = |(at, (_, kind)): (usize, &(u8, Option<LineErrorKind>))| {
                kind.map(|kind| LineError { at: at as u16, kind })
            };
            framer.mark(&chunk.iter().enumerate().filter_map(error).collect::<Vec<_>>());
            let octets: Vec<u8> = chunk.iter().map(|(octet, _)| *octet).collect();
            framer.push(&octets, Timestamp::default(), &mut batch);
        }
        framer.finish(&mut batch);
        let shown = |data| exported_pdu::split(data).unwrap().1.to_vec();
        batch.packets().map(|p| (shown(p.data), p.errors.symbols)).collect()
    }

    #[test]
    fn breaks_tell_where_frames_begin_and_end() {
        let good = |octet: u8| (octet, None);
        let mut line = vec![good(0), good(0), good(7)]; // heard from its middle on
        for slots in [&[0, 9, 0, 0, 8][..], &[0xcc, 1, 2], &[0x17, 1], &[], &[0, 1]] {
            line.push((0, BREAK));
            line.extend(slots.iter().copied().map(good));
        }
        line[5] = (9, Some(LineErrorKind::Symbol));
        let expected = [
            (vec![0, 7], 0),
            (vec![0, 9, 0, 0, 8], 1),
            (vec![1, 2], 0),
            (vec![0x17, 1], 0),
            (vec![0, 1], 0),
        ];
        for size in 1..line.len() {
            assert_eq!(frames(&line, size), expected, "{size}");
        }
    }

    #[test]
    fn without_breaks_512_slots_or_a_pause_end_a_frame() {
        let mut framer = Dmx::new(&Setup::new(250_000));
        let mut batch = Batch::new(0);
        let full = [&[0, 0][..], &[7; 512]].concat();
        let short = [0, 0, 1, 2, 3];
        let ms = |ms: u64| Timestamp::from_ns((1000 + ms) * 1_000_000);
        framer.push(&[&full[..], &full].concat(), ms(50), &mut batch);
        framer.push(&short, ms(80), &mut batch);
        framer.push(b"not this", ms(120), &mut batch);
        framer.push(&short, ms(160), &mut batch);
        framer.finish(&mut batch);
        let lens: Vec<_> = batch
            .packets()
            .map(|packet| exported_pdu::split(packet.data).unwrap().1.len())
            .collect();
        assert_eq!(lens, [513, 513, 4, 4]);
        assert_eq!(framer.tally().skipped_octets, 8);
    }
}
