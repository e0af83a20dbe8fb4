//! Modbus RTU ("MODBUS over serial line" V1.02): frames on RS-485 and RS-232.
//!
//! ```text
//! unit | function | data | CRC (2, low first)
//! unit | function + 80 | exception code | CRC
//! ```
//!
//! Nothing marks the start of a frame, and the silence that ends one (3.5 characters) seldom
//! survives a USB adapter: one read may hold several frames or a part of one. So the function code
//! and the counts in a frame tell where it ends ([`layout`]), and the CRC whether that is so. What
//! begins like the answer to the request before it is tried as that first. Requests and answers
//! are told apart by the same: a frame that repeats a write is its answer, if it comes within
//! [`ANSWER_NS`].
//!
//! A frame whose function has no known layout ends where the line pauses, where it is
//! answered, or where a known one begins. Its CRC is tried there alone, with an octet of noise on either side: a search for
//! any run of octets with a CRC that fits finds frames in noise, and inside of others.
//!
//! Octets in which no frame begins are passed over only when something good shows behind them,
//! or a pause, or the longest frame would be over: a frame of unknown layout may hold a known one.
//! Then they count as a damaged frame if their length is right, or if their unit was heard before
//! and their function is known; else as noise. A pause does not end a frame of known layout,
//! unless a good one begins right behind it.
//!
//! Deviations from the specification: t1.5 is never applied, and units 248 to 255 are like
//! others. Direction is as the master sees it: requests are sent (outbound), answers received.
//! In the columns of Wireshark unit 17 is 0.0.0.17, the master 0.0.0.0, and all units together
//! 255.255.255.255.
//!
//! Work per octet: a position is judged by three layouts, each of which reads at most
//! [`MAX_LEN`] octets; one of eight positions in noise has any. After a pause that leaves a frame
//! open, each read judges the held positions once more. Memory: [`MAX_RUN`], [`MAX_LEN`] and a
//! chunk.

mod heads;
mod layout;
mod run;

use super::{ADAPTER_LATENCY_NS, Protocol, Setup, Window, Windowed};
use crate::dissect;
use crate::exported_pdu;
use crate::line::{Line, LineFormat};
use crate::packet::{Batch, Damage, Direction, LinkType, Notes};
use crate::time::Timestamp;
use heads::Heads;
pub(crate) use layout::CRC;
pub(crate) use layout::crc_fits;
use layout::{Asked, EXCEPTION, Extent, MAX_LEN, MIN_LEN, Role, is_known};
use run::{answered, whole};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "modbus",
    help: "Modbus RTU on RS-485 or RS-232",
    line: Line { baud: 19_200, format: LineFormat::EIGHT_E_1 },
    link_type: LinkType::WIRESHARK_UPPER_PDU,
    framer: |setup| Box::new(Modbus::new(setup)),
    drop_lines: true,
    sniffer: None,
    when_silent: "check that the adapter is wired to a line where a master polls",
    when_senseless: "check rate and format (often -b 9600 --line 8N1), and that A and B are not \
                     swapped",
    dissector: dissect::modbus::words,
    comment: false,
    proof,
    ..Protocol::PLAIN
};

/// The protocols of many meters have the same CRC, and units and functions at the same place. So
/// what counts is an answer, and a request that asks for as much as one may or says twice how
/// much it writes, since a master whose devices are silent has no other; other requests are only not
/// against it. What has no layout of its function is. An answer has 16 bits of CRC, and half of its kind
/// need no request before them.
fn proof(packet: &[u8]) -> u8 {
    let (direction, adu) = exported_pdu::split(packet).unwrap_or_default();
    if adu.len() < MIN_LEN {
        return 0;
    }
    let whole = Extent::Of(adu.len());
    match direction {
        Direction::Inbound if layout::response(adu) == whole => 20,
        Direction::Outbound if layout::is_certain_request(adu) => 8,
        _ if layout::request(adu) == whole || layout::response(adu) == whole => 1,
        _ => 0,
    }
}

/// The silence of 3.5 characters that ends a frame where they are short (2.5.1.1).
const MIN_PAUSE_NS: u64 = 1_750_000;
/// After such a pause, what comes answers nothing that was asked before.
const ANSWER_NS: u64 = 1_000_000_000;
/// Octets in which no frame begins that are kept together.
const MAX_RUN: usize = MAX_LEN;
/// Octets of noise that may stand behind what is damaged, and before it.
const MAX_NOISE: usize = 2;
/// Pauses that are looked at together.
const MAX_PAUSES: usize = 8;

/// What the octets at a position are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    /// A good frame of this many octets.
    Good(usize, Role),
    /// More are needed to tell.
    More,
    /// No frame of known layout.
    Nothing,
}

/// What is to be done with the held octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A good frame, behind so many octets that are none.
    Good { behind: usize, len: usize, role: Role },
    /// So many octets are no good frame.
    Junk(usize),
    /// Nothing until more comes.
    Wait,
}

/// The framer.
#[derive(Debug)]
pub(super) struct Modbus {
    heads: Heads,
    window: Window,
    /// No frame of known layout begins before this, in the held octets.
    searched: usize,
    /// The request that waits for its answer.
    asked: Option<Asked>,
    /// Units that a good frame was from or to.
    heard: [bool; 256],
    /// A pause between two octets that ends a frame of unknown layout.
    pause_ns: u64,
    /// One that no adapter makes of less; `None` where arrivals are made up.
    gap_ns: Option<u64>,
    /// Whether nothing has come for so long since the last octet.
    is_quiet: bool,
}

impl Modbus {
    fn new(setup: &Setup) -> Self {
        let pause_ns = (setup.line.octet_ns() * 7 / 2).max(MIN_PAUSE_NS);
        let gap_ns = pause_ns.saturating_add(ADAPTER_LATENCY_NS);
        Self {
            heads: Heads::new(),
            window: Window::new(setup),
            searched: 0,
            asked: None,
            heard: [false; 256],
            pause_ns,
            gap_ns: (setup.timed && gap_ns < setup.silence_ns).then_some(gap_ns),
            is_quiet: false,
        }
    }

    /// Judges what can be judged; all of it if nothing follows (`closed`).
    fn hunt(&mut self, closed: bool, out: &mut Batch) {
        while !self.window.octets().is_empty() {
            match self.step(closed) {
                Step::Good { behind, len, role } => {
                    let junk = self.emit_between(behind, out);
                    self.drop_junk(junk, out);
                    self.emit_good(len, role, out);
                }
                Step::Junk(len) => self.drop_junk(len, out),
                Step::Wait => return,
            }
        }
    }

    fn step(&mut self, closed: bool) -> Step {
        let octets = self.window.octets();
        let is_ended = closed || self.is_quiet;
        // On a clean line a frame begins where the last one ended. This finds no other than the rest.
        if self.searched == 0
            && !is_ended
            && octets.len() >= MIN_LEN
            && self.window.pauses().next().is_none()
            && self.may_begin(octets)
            && let Judgement::Good(len, role) = self.judge(octets, false)
        {
            return Step::Good { behind: 0, len, role };
        }
        let passed = || self.gaps().take_while(|gap| *gap < self.searched);
        let old = passed().count().saturating_sub(MAX_PAUSES);
        let starts = (self.searched > 0).then_some(0).into_iter().chain(passed().skip(old));
        for start in starts {
            if let Some(found) = self.unknown_at(start, is_ended) {
                return found;
            }
        }
        let (step, searched) = self.search(closed, is_ended);
        self.searched = searched;
        step
    }

    /// What begins behind that which was searched, and up to where it is searched then.
    fn search(&self, closed: bool, is_ended: bool) -> (Step, usize) {
        let octets = self.window.octets();
        let (last_gap, last_pause) = (self.gaps().last(), self.pauses().last());
        let mut at = self.searched;
        let step = loop {
            if at == MAX_RUN {
                break Step::Junk(at);
            }
            if at >= octets.len() {
                break if closed { Step::Junk(at) } else { Step::Wait };
            }
            let is_over = is_ended || last_gap.is_some_and(|gap| gap > at);
            let is_start = at == 0
                || last_gap.is_some_and(|gap| gap >= at) && self.gaps().any(|gap| gap == at);
            // In noise this passes over nine of ten octets.
            if !is_start && octets.len() - at >= 2 && !self.may_begin(&octets[at..]) {
                at += 1;
                continue;
            }
            // What is whole before a gap does not go on behind it.
            if is_start
                && is_over
                && let Some(found) = self.within_burst(at, is_ended)
            {
                break found;
            }
            match self.judge(&octets[at..], is_over) {
                Judgement::Good(len, role) => break Step::Good { behind: at, len, role },
                Judgement::More if !is_over => break Step::Wait,
                Judgement::More if !closed => {
                    break self.behind_open(at, is_ended).unwrap_or(Step::Wait);
                }
                Judgement::More | Judgement::Nothing => {}
            }
            if is_start {
                if let Some(found) = self.unknown_at(at, is_ended) {
                    break found;
                }
                let is_long = octets.len() - at > MAX_RUN;
                if !is_ended && !is_long && last_pause.is_none_or(|pause| pause <= at) {
                    break Step::Wait;
                }
            }
            at += 1;
        };
        (step, at)
    }

    /// Whether any layout has such a function; there are at least two octets.
    fn may_begin(&self, octets: &[u8]) -> bool {
        is_known(octets[1]) || self.asked.as_ref().is_some_and(|asked| asked.is_of(octets))
    }

    /// What starts at the first octet, as far as layouts tell; with `is_over` a layout whose end is
    /// not here makes none of less wait.
    fn judge(&self, octets: &[u8], is_over: bool) -> Judgement {
        if octets.len() < 2 {
            return Judgement::More;
        }
        let mut is_open = false;
        for role in [None, Some(Role::Request), Some(Role::Response)] {
            let extent = match (role, &self.asked) {
                (None, None) => continue,
                // Told by what was asked before it.
                (None, Some(asked)) => asked.answer(octets),
                (Some(Role::Request), _) => layout::request(octets),
                (Some(Role::Response), _) => layout::response(octets),
            };
            let role = role.unwrap_or(Role::Response);
            match extent {
                Extent::Of(len) if len <= octets.len() => {
                    if crc_fits(&octets[..len]) {
                        return Judgement::Good(len, role);
                    }
                }
                Extent::None => {}
                Extent::Of(_) | Extent::AtLeast(_) if is_over => is_open = true,
                Extent::Of(_) | Extent::AtLeast(_) => return Judgement::More,
            }
        }
        if is_open { Judgement::More } else { Judgement::Nothing }
    }

    /// Where the line paused as between two frames.
    fn pauses(&self) -> impl Iterator<Item = usize> {
        let is_timed = self.gap_ns.is_some();
        let ends = self.window.pauses().filter(move |(_, ns)| is_timed && *ns >= self.pause_ns);
        ends.map(|(at, _)| at)
    }

    /// The same, where no adapter has made that of less.
    fn gaps(&self) -> impl Iterator<Item = usize> {
        let gap_ns = self.gap_ns.unwrap_or(u64::MAX);
        let ends = self.window.pauses().filter(move |(_, ns)| *ns >= gap_ns);
        ends.map(|(at, _)| at)
    }

    /// A good frame that begins at `start`, and ends where the next gap begins or before.
    fn within_burst(&self, start: usize, is_ended: bool) -> Option<Step> {
        let octets = self.window.octets();
        let end = self.gaps().find(|gap| *gap > start).unwrap_or(octets.len());
        match self.judge(&octets[start..end], true) {
            Judgement::Good(len, role) => Some(Step::Good { behind: start, len, role }),
            _ => self.unknown_at(start, is_ended),
        }
    }

    /// A good frame of any layout that begins at `start` and ends at a pause.
    fn unknown_at(&self, start: usize, is_ended: bool) -> Option<Step> {
        let octets = self.window.octets();
        let last = is_ended.then_some(octets.len());
        let ends = self.pauses().filter(|end| *end > start).take(MAX_PAUSES).chain(last);
        let found = ends.filter_map(|end| whole(&octets[start..end])).next();
        let (noise, len) = found
            .or_else(|| last.and_then(|end| answered(&octets[start..end])).map(|len| (0, len)))?;
        let behind = start + noise;
        let frame = &octets[behind..behind + len];
        let is_answer = self.asked.is_some_and(|asked| asked.is_of(frame));
        let role = match self.judge(frame, true) {
            Judgement::Good(known, role) if known == len => role,
            _ if is_answer || frame[1] & EXCEPTION != 0 => Role::Response,
            _ => Role::Request,
        };
        Some(Step::Good { behind, len, role })
    }

    /// A good frame that shows that what begins at `at`, and might go on, was cut off or noise: one
    /// that begins behind a gap, or reaches to one.
    fn behind_open(&self, at: usize, is_ended: bool) -> Option<Step> {
        let octets = self.window.octets();
        let end = self.gaps().find(|end| *end > at);
        let burst = &octets[..end.or(is_ended.then_some(octets.len()))?];
        for behind in at + 1..burst.len() {
            let Judgement::Good(len, role) = self.judge(&burst[behind..], true) else { continue };
            let mut next = behind + len;
            while next + MAX_NOISE < burst.len()
                && let Judgement::Good(len, _) = self.judge(&burst[next..], true)
            {
                next += len;
            }
            if next + MAX_NOISE >= burst.len() {
                return Some(Step::Good { behind, len, role });
            }
        }
        self.gaps().filter(|gap| *gap > at).find_map(|behind| self.within_burst(behind, is_ended))
    }

    fn emit_good(&mut self, len: usize, role: Role, out: &mut Batch) {
        let notes = self.window.good(len);
        let taken = self.window.taken;
        let frame = &self.window.octets[taken - len..taken];
        self.heard[usize::from(frame[0])] = true;
        self.asked = if role == Role::Request { Asked::by(frame) } else { None };
        self.searched = 0;
        self.heads.record(frame, Some(role), Notes { original_len: len as u32, ..notes }, out);
    }

    /// Takes what the `behind` octets before a good frame are, if they are frames of any layout from a
    /// unit that was heard: pauses are lost where an adapter gathers octets. Returns how many are left.
    fn emit_between(&mut self, mut behind: usize, out: &mut Batch) -> usize {
        while behind > 0 && self.gaps().all(|gap| gap > behind) {
            let run = &self.window.octets()[..behind];
            let found = whole(run).or_else(|| answered(run).map(|len| (0, len)));
            let found = found.filter(|(noise, _)| self.heard[usize::from(run[*noise])]);
            let Some((noise, len)) = found else { break };
            let frame = &run[noise..noise + len];
            let is_answer = self.asked.is_some_and(|asked| asked.is_of(frame));
            let is_response = is_answer || frame[1] & EXCEPTION != 0;
            let role = if is_response { Role::Response } else { Role::Request };
            self.window.skip(noise);
            self.emit_good(len, role, out);
            behind -= noise + len;
        }
        behind
    }

    /// The first `len` octets are no good frame: between two gaps at most one damaged one, and
    /// noise.
    fn drop_junk(&mut self, mut len: usize, out: &mut Batch) {
        self.searched = self.searched.saturating_sub(len);
        while len > 0 {
            let burst = self.gaps().next().map_or(len, |gap| gap.min(len));
            len -= burst;
            let Some(damaged) = self.damaged(&self.window.octets()[..burst]) else {
                self.window.skip(burst);
                continue;
            };
            let Damaged { noise, len: whole, original_len, damage, role } = damaged;
            self.window.skip(noise);
            let notes = self.window.damaged(whole);
            let taken = self.window.taken;
            let frame = &self.window.octets[taken - whole..taken];
            let original_len = original_len as u32;
            self.heads.record(frame, role, Notes { original_len, damage, ..notes }, out);
            self.window.skip(burst - noise - whole);
            self.asked = None;
        }
    }

    /// What of `octets` is a damaged frame, if any.
    fn damaged(&self, octets: &[u8]) -> Option<Damaged> {
        (0..=MAX_NOISE).find_map(|noise| {
            let octets = octets.get(noise..).filter(|octets| octets.len() >= MIN_LEN - 1)?;
            let is_asked = self.asked.is_some_and(|asked| asked.is_of(octets));
            if !is_asked && !is_known(octets[1]) {
                return None;
            }
            let answer = self.asked.map_or(Extent::None, |asked| asked.answer(octets));
            let layouts = [
                (answer, Role::Response),
                (layout::request(octets), Role::Request),
                (layout::response(octets), Role::Response),
            ];
            let is_exact = |len: usize| octets.len() == len;
            let of = |fits: &dyn Fn(usize) -> bool| {
                layouts.iter().find_map(|(extent, role)| match extent {
                    Extent::Of(len) if fits(*len) => Some((*len, *role)),
                    _ => None,
                })
            };
            let is_heard = is_asked || self.heard[usize::from(octets[0])];
            let is_near = |len: usize| (len..=len + MAX_NOISE).contains(&octets.len());
            let whole = match of(&is_exact) {
                Some(whole) if noise == 0 || is_heard => Some(whole),
                _ if is_heard => of(&is_near).or_else(|| of(&|len| len <= octets.len())),
                _ => return None,
            };
            if let Some((len, role)) = whole {
                let damage = Damage::CRC_ERROR;
                let role = Some(role);
                return Some(Damaged { noise, len, original_len: len, damage, role });
            }
            // Which of the layouts it was nothing tells; the first is the likeliest.
            let longer = layouts.iter().find_map(|(extent, _)| match extent {
                Extent::Of(len) | Extent::AtLeast(len) => Some(*len),
                Extent::None => None,
            });
            let len = octets.len().min(MAX_LEN);
            let (damage, original_len) = match longer {
                Some(original_len) if original_len > len => (Damage::TOO_SHORT, original_len),
                _ if len < MIN_LEN => (Damage::TOO_SHORT, MIN_LEN),
                _ => (Damage::CRC_ERROR, len),
            };
            Some(Damaged { noise, len, original_len, damage, role: None })
        })
    }
}

/// A damaged frame behind octets of noise.
#[derive(Clone, Copy, Debug)]
struct Damaged {
    noise: usize,
    len: usize,
    original_len: usize,
    damage: Damage,
    role: Option<Role>,
}

impl Windowed for Modbus {
    fn window(&self) -> &Window {
        &self.window
    }

    fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    fn cut(&mut self, closed: bool, out: &mut Batch) {
        self.hunt(closed, out);
    }

    fn before(&mut self, len: usize, arrival: Timestamp) {
        let pause = self.window.pause_before(len, arrival);
        if self.gap_ns.is_some() && pause >= ANSWER_NS && self.window.octets().is_empty() {
            self.asked = None;
        }
        self.is_quiet = false;
    }

    fn due(&self) -> Option<Timestamp> {
        let silence = self.window.deadline()?;
        match self.gap_ns {
            Some(gap_ns) if !self.is_quiet => Some(self.window.last_arrival.plus_ns(gap_ns)),
            _ => Some(silence),
        }
    }

    fn end(&mut self, now: Timestamp, out: &mut Batch) {
        self.is_quiet = true;
        let is_closed = self.window.deadline().is_some_and(|deadline| deadline <= now);
        self.hunt(is_closed, out);
    }

    fn forget(&mut self) {
        self.searched = 0;
        self.asked = None;
        self.is_quiet = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Framer;
    use super::super::SILENCE_NS;
    use super::*;
    use crate::exported_pdu::split;
    use crate::packet::Tally;

    const MS: u64 = 1_000_000;
    const ASK: [u8; 8] = [0x01, 0x03, 0x03, 0xe8, 0x00, 0x02, 0x44, 0x7b];
    const ANSWER: [u8; 9] = [0x01, 0x03, 0x04, 0x52, 0x66, 0x57, 0x07, 0x75, 0x66];
    const INTACT: Damage = Damage::NONE;
    use Direction::{Inbound as Answered, Outbound as Asks, Unknown};

    type Shown = (Vec<u8>, Direction, Damage);

    fn frame(octets: &[u8]) -> Vec<u8> {
        [octets, &CRC.checksum(octets).to_le_bytes()].concat()
    }

    fn setup() -> Setup {
        Setup { line: Line { baud: 9600, ..ROW.line }, ..Setup::new(9600) }
    }

    fn shown(batch: &Batch) -> Vec<Shown> {
        let packets = batch.packets().map(|packet| {
            let (direction, octets) = split(packet.data).unwrap();
            assert_eq!(direction, packet.direction);
            (octets.to_vec(), direction, packet.damage)
        });
        packets.collect()
    }

    /// What chunks bring, each of which begins so many milliseconds after the one before ended.
    fn paced(chunks: &[(u64, &[u8])], ends: bool) -> (Vec<Shown>, Tally) {
        let run = |octet_by_octet: bool| {
            let setup = setup();
            let octet_ns = setup.line.octet_ns();
            let mut framer = Modbus::new(&setup);
            let mut batch = Batch::new(0);
            let mut now = Timestamp::from_ns(1_000_000_000_000);
            for (pause_ms, chunk) in chunks {
                now = now.plus_ns(pause_ms * MS);
                framer.expire(now, &mut batch);
                if octet_by_octet {
                    for octet in *chunk {
                        now = now.plus_ns(octet_ns);
                        framer.push(&[*octet], now, &mut batch);
                    }
                } else {
                    now = now.plus_ns(chunk.len() as u64 * octet_ns);
                    framer.push(chunk, now, &mut batch);
                }
            }
            if ends {
                framer.finish(&mut batch);
            }
            (shown(&batch), framer.tally())
        };
        let whole = run(false);
        assert_eq!(run(true), whole, "octet by octet");
        whole
    }

    /// What comes of octets without any pause.
    fn at_once(octets: &[u8]) -> Vec<Shown> {
        paced(&[(0, octets)], true).0
    }

    fn good(octets: &[u8], direction: Direction) -> Shown {
        (octets.to_vec(), direction, INTACT)
    }

    #[test]
    fn what_has_the_crc_but_no_layout_of_its_function_speaks_against_it() {
        let proofs = |octets: &[&[u8]]| {
            let mut framer = Modbus::new(&setup());
            let (mut batch, mut now) = (Batch::new(0), Timestamp::from_ns(1_000 * MS));
            for chunk in octets {
                now = now.plus_ns(100 * MS);
                framer.expire(now, &mut batch);
                framer.push(chunk, now, &mut batch);
            }
            framer.finish(&mut batch);
            batch.packets().map(|packet| proof(packet.data)).collect::<Vec<_>>()
        };
        assert_eq!(proofs(&[&ASK, &ANSWER]), [8, 20]);
        // A meter of the Milur make.
        let asks = [0xff, 0x01, 0x66, 0xc0, 0x4a];
        let answers = [0xff, 0x01, 0x66, 0x03, 0x6f, 0x94, 0x03, 0x03, 0x4e];
        assert_eq!(proofs(&[&asks, &answers]), [0, 0]);
    }

    #[test]
    fn a_packet_octet_by_octet() {
        let mut framer = Modbus::new(&setup());
        let mut batch = Batch::new(0);
        framer.push(&[ASK.as_slice(), &ANSWER].concat(), Timestamp::from_ns(MS), &mut batch);
        let packets: Vec<_> = batch.packets().map(|packet| packet.data.to_vec()).collect();
        let packet = |source: u8, destination: u8, direction: u8, frame: &[u8]| {
            [
                &b"\0\x0c\0\x08mbrtu\0\0\0"[..],
                &[0, 20, 0, 4, 0, 0, 0, source],
                &[0, 21, 0, 4, 0, 0, 0, destination],
                &[0, 35, 0, 4, 0, 0, 0, direction],
                b"\0\x21\0\x0cModbus RTU\0\0\0\0\0\0",
                frame,
            ]
            .concat()
        };
        assert_eq!(packets, [packet(0, 1, 0, &ASK), packet(1, 0, 1, &ANSWER)]);
        let lens: Vec<_> = batch.packets().map(|packet| packet.original_len).collect();
        assert_eq!(lens, [64, 65]);
    }

    #[test]
    fn frames_come_as_soon_as_they_are_whole() {
        let (found, _) = paced(&[(0, &ASK), (4, &ANSWER), (8, &ASK)], false);
        assert_eq!(found, [good(&ASK, Asks), good(&ANSWER, Answered), good(&ASK, Asks)]);
        let (found, _) = paced(&[(0, &ASK), (4, &ANSWER[..8])], false);
        assert_eq!(found, [good(&ASK, Asks)]);
    }

    #[test]
    fn reads_split_and_join_frames() {
        let line = [&ASK[..], &ANSWER, &ASK, &ANSWER].concat();
        let pair = [good(&ASK, Asks), good(&ANSWER, Answered)];
        let expected = [pair.clone(), pair].concat();
        for at in 1..line.len() {
            for pause_ms in [0, 5, 30, 300, 2500] {
                let found = paced(&[(0, &line[..at]), (pause_ms, &line[at..])], true).0;
                assert_eq!(found, expected, "{at} {pause_ms}");
            }
        }
    }

    #[test]
    fn a_repeated_write_is_its_answer_and_so_is_an_exception() {
        let write = frame(&[1, 6, 0, 1, 0, 0x55]);
        let refused = frame(&[1, 0x86, 2]);
        let line = [&write[..], &write, &write, &refused].concat();
        let expected = [
            good(&write, Asks),
            good(&write, Answered),
            good(&write, Asks),
            good(&refused, Answered),
        ];
        assert_eq!(at_once(&line), expected);
        // What comes much later is asked once more.
        let (found, _) = paced(&[(0, &write), (1200, &write)], true);
        assert_eq!(found, [good(&write, Asks), good(&write, Asks)]);
    }

    #[test]
    fn nobody_answers_a_broadcast() {
        let write = frame(&[0, 6, 0, 1, 0, 0x55]);
        assert_eq!(
            at_once(&[&write[..], &write].concat()),
            [good(&write, Asks), good(&write, Asks)]
        );
        let mut batch = Batch::new(0);
        Modbus::new(&setup()).push(&write, Timestamp::from_ns(0), &mut batch);
        let packet = batch.packets().next().unwrap().data.to_vec();
        assert_eq!(packet[20..28], [0, 21, 0, 4, 255, 255, 255, 255]);
    }

    #[test]
    fn noise_on_both_sides_costs_no_frame() {
        for noise in [&[0x00][..], &[0xfe], &[0xff, 0xfb, 0xef], &[0, 0, 0], &[1], &[1, 3]] {
            let line = [noise, &ASK, noise, &ANSWER, noise, &ASK, noise].concat();
            let expected = [good(&ASK, Asks), good(&ANSWER, Answered), good(&ASK, Asks)];
            assert_eq!(at_once(&line), expected, "{noise:02x?}");
            let bursts = [
                [noise, &ASK, noise].concat(),
                [noise, &ANSWER, noise].concat(),
                [noise, &ASK, noise].concat(),
            ];
            let bursts: Vec<_> = bursts.iter().map(|burst| (25, &burst[..])).collect();
            let (found, tally) = paced(&bursts, true);
            assert_eq!(found, expected, "{noise:02x?}");
            assert_eq!(tally.skipped_octets, 6 * noise.len() as u64);
        }
    }

    #[test]
    fn a_crc_that_fits_by_accident_inside_a_frame_does_not_cut_it() {
        // The first eight octets of the answer, and eight in the midst, are good requests.
        let ask = frame(&[1, 3, 0, 9, 0, 20]);
        let mut data = vec![1, 3, 40];
        data.extend([7, 0, 1]);
        let crc = CRC.checksum(&data).to_le_bytes();
        data.extend(crc);
        data.extend([0; 10]);
        data.extend(ASK);
        data.resize(43, 0x11);
        let answer = frame(&data);
        assert!(crc_fits(&answer[..8]) && crc_fits(&answer[18..26]));
        let line = [&ask[..], &answer, &ask].concat();
        let expected = [good(&ask, Asks), good(&answer, Answered), good(&ask, Asks)];
        assert_eq!(at_once(&line), expected);
        for at in 1..line.len() {
            let found = paced(&[(0, &line[..at]), (3, &line[at..])], true).0;
            assert_eq!(found, expected, "{at}");
        }
        // A write of many registers begins like the answer to one.
        let mut data = vec![1, 0x10, 0, 0, 0, 2, 4];
        let start = (0..=u16::MAX).find(|start| {
            data[2..4].copy_from_slice(&start.to_be_bytes());
            CRC.checksum(&data[..6]).to_le_bytes()[0] == 4
        });
        data[2..4].copy_from_slice(&start.unwrap().to_be_bytes());
        data.push(CRC.checksum(&data[..6]).to_le_bytes()[1]);
        data.extend([3, 4, 5]);
        let write = frame(&data);
        assert!(crc_fits(&write[..8]));
        assert_eq!(at_once(&[&write[..], &ASK].concat()), [good(&write, Asks), good(&ASK, Asks)]);
    }

    #[test]
    fn functions_of_vendors_end_with_a_pause() {
        let ask = frame(&[5, 0x41, 1, 2, 3, 0xaa]);
        let answer = frame(&[5, 0x41, 9, 9, 9, 9, 9, 9, 9, 9, 0xaa]);
        let refused = frame(&[5, 0xc1, 1]);
        let both = [good(&ask, Asks), good(&answer, Answered)];
        assert_eq!(paced(&[(0, &ask), (6, &answer), (40, &[])], false).0, both);
        assert_eq!(paced(&[(0, &ask), (30, &answer), (40, &[])], false).0, both);
        // In one read as well, or beside others.
        assert_eq!(at_once(&[&ask[..], &answer].concat()), both);
        let refusal = [good(&ask, Asks), good(&refused, Answered)];
        assert_eq!(at_once(&[&ask[..], &refused].concat()), refusal);
        let all = [&both[..], &[good(&ASK, Asks), good(&ANSWER, Answered)]].concat();
        let chunks: [(u64, &[u8]); 4] = [(0, &ask), (6, &answer), (6, &ASK), (6, &ANSWER)];
        assert_eq!(paced(&chunks, true).0, all);
        // With noise around it, an octet 00 where the line is let go.
        let noisy = [&[0xfe][..], &ask, &[0]].concat();
        assert_eq!(paced(&[(0, &noisy), (30, &answer)], true).0, both);
        // What is in it is not searched.
        let tunnel = frame(&[&[5, 0x42][..], &ASK, &ANSWER].concat());
        assert_eq!(
            paced(&[(0, &tunnel), (30, &ASK)], true).0,
            [good(&tunnel, Asks), good(&ASK, Asks)]
        );
    }

    #[test]
    fn functions_of_vendors_between_others_need_no_pause() {
        let ask = frame(&[1, 0x42, 1, 1, 0, 100]);
        let answer = frame(&[1, 0x42, 2, 0, 0]);
        let refused = frame(&[1, 0xc2, 1]);
        let pair = [good(&ASK, Asks), good(&ANSWER, Answered)];
        let pairs = |between: &[Shown]| [&pair[..], between, &pair].concat();
        let line =
            |between: &[&[u8]]| [&[&ASK[..], &ANSWER], between, &[&ASK, &ANSWER]].concat().concat();
        let both = [good(&ask, Asks), good(&answer, Answered)];
        assert_eq!(at_once(&line(&[&ask, &answer])), pairs(&both));
        assert_eq!(at_once(&line(&[&ask])), pairs(&both[..1]));
        assert_eq!(
            at_once(&line(&[&ask, &refused])),
            pairs(&[both[0].clone(), good(&refused, Answered)])
        );
        assert_eq!(at_once(&line(&[&[0xfe], &ask])), pairs(&both[..1]), "noise before it");
        // Of a unit that nobody has heard it is noise.
        let other = frame(&[9, 0x42, 7, 7, 7, 7]);
        assert_eq!(at_once(&line(&[&other])), pairs(&[]));
    }

    #[test]
    fn damaged_frames_are_flagged_and_cost_nothing_else() {
        let mut bad = ANSWER;
        bad[4] ^= 1;
        let damaged = (bad.to_vec(), Answered, Damage::CRC_ERROR);
        let chunks: [(u64, &[u8]); 4] = [(0, &ASK), (4, &bad), (30, &ASK), (4, &ANSWER)];
        let expected =
            [good(&ASK, Asks), damaged.clone(), good(&ASK, Asks), good(&ANSWER, Answered)];
        assert_eq!(paced(&chunks, true).0, expected);
        assert_eq!(at_once(&[&ASK[..], &bad, &ASK, &ANSWER].concat()), expected);
        // Cut off.
        let cut = (ANSWER[..6].to_vec(), Unknown, Damage::TOO_SHORT);
        let expected = [good(&ASK, Asks), cut.clone(), good(&ASK, Asks)];
        assert_eq!(paced(&[(0, &ASK), (4, &ANSWER[..6]), (30, &ASK)], true).0, expected);
        assert_eq!(at_once(&[&ASK[..], &ANSWER[..6], &ASK].concat()), expected);
        assert_eq!(paced(&[(0, &ASK), (4, &ANSWER[..6])], true).0, expected[..2]);
        // One that is alone on the line.
        let mut bad = ASK;
        bad[7] ^= 1;
        assert_eq!(at_once(&bad), [(bad.to_vec(), Asks, Damage::CRC_ERROR)]);
    }

    #[test]
    fn silence_ends_what_is_open() {
        let mut framer = Modbus::new(&setup());
        let mut batch = Batch::new(0);
        let start = Timestamp::from_ns(1_000_000_000_000);
        framer.push(&ANSWER[..5], start, &mut batch);
        let gap = framer.deadline().unwrap();
        assert!(gap < start.plus_ns(30 * MS));
        framer.expire(gap, &mut batch);
        assert_eq!((batch.len(), framer.deadline()), (0, Some(start.plus_ns(SILENCE_NS))));
        framer.expire(start.plus_ns(SILENCE_NS), &mut batch);
        assert_eq!((framer.deadline(), framer.tally().skipped_octets), (None, 5));
        // A file of plain octets has no pauses.
        let mut framer = Modbus::new(&Setup { timed: false, ..setup() });
        framer.push(&ANSWER[..5], start, &mut batch);
        assert_eq!(framer.deadline(), Some(start.plus_ns(SILENCE_NS)));
    }

    #[test]
    fn no_frame_is_longer_than_256_octets() {
        let mut data = vec![1, 0x41];
        data.resize(254, 7);
        let longest = frame(&data);
        assert_eq!(at_once(&longest), [good(&longest, Asks)]);
        data.resize(255, 7);
        assert_eq!(at_once(&frame(&data)), []);
    }
}
