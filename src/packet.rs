//! The vocabulary: link types, frames and the batches they travel in.
//!
//! Nothing here does I/O. Everything else in the crate speaks in these words.

use crate::line_errors::LineErrors;
use crate::time::{Timestamp, WallOffset};
use std::fmt;
use std::ops::Range;

/// What a capture file calls the kind of its packets: `LINKTYPE_*` of
/// <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkType(pub u16);

impl LinkType {
    /// `LINKTYPE_PPP_HDLC`: PPP without flags, escapes and FCS.
    pub const PPP_HDLC: Self = Self(50);
    /// `LINKTYPE_RAW`: an IPv4 or IPv6 packet.
    pub const RAW_IP: Self = Self(101);
    /// `LINKTYPE_BACNET_MS_TP`: a frame from its preamble to its last CRC octet.
    pub const BACNET_MS_TP: Self = Self(165);
    /// `LINKTYPE_IEEE802_15_4_WITHFCS`: a PSDU with its FCS.
    pub const IEEE802_15_4_WITHFCS: Self = Self(195);
    /// `LINKTYPE_PPP_WITH_DIR`: 0 if it was received, else 1, then PPP as in [`PPP_HDLC`](Self::PPP_HDLC).
    pub const PPP_WITH_DIR: Self = Self(204);
    /// `LINKTYPE_CAN_SOCKETCAN`: a CAN frame as Linux has it, its identifier high octet first.
    pub const CAN_SOCKETCAN: Self = Self(227);
    /// `LINKTYPE_BLUETOOTH_HCI_H4`: a packet of HCI with its indicator.
    pub const BLUETOOTH_HCI_H4: Self = Self(187);
    /// `LINKTYPE_BLUETOOTH_HCI_H4_WITH_PHDR`: which way it goes, 32 bits, and then the same.
    pub const BLUETOOTH_HCI_H4_WITH_PHDR: Self = Self(201);
    /// `LINKTYPE_MUX27010`: 00, which way it goes, and a frame without its last flag.
    pub const MUX27010: Self = Self(236);
    /// `LINKTYPE_AX25_KISS`: an octet with port and command, then AX.25.
    pub const AX25_KISS: Self = Self(202);
    /// `LINKTYPE_LIN`: length, PID, checksum and errors, then the data of a frame.
    pub const LIN: Self = Self(212);
    /// `LINKTYPE_WIRESHARK_UPPER_PDU`: tags that name a dissector, then what that takes.
    pub const WIRESHARK_UPPER_PDU: Self = Self(252);
    /// `LINKTYPE_IEEE802_15_4_TAP`: a header of TLVs (LQI, channel ...), then a PSDU.
    pub const IEEE802_15_4_TAP: Self = Self(283);
}

/// What is wrong with a frame; more than one thing may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage(u8);

impl Damage {
    /// Nothing is wrong.
    pub const NONE: Self = Self(0);
    /// A check sequence does not fit the octets (`epb_flags` bit 24).
    pub const CRC_ERROR: Self = Self(1);
    /// It ends before its announced length (`epb_flags` bit 26).
    pub const TOO_SHORT: Self = Self(2);
    /// It announces more than its format allows (`epb_flags` bit 25).
    pub const TOO_LONG: Self = Self(4);

    /// What these flags of pcapng say; the other way round than [`epb_flags`](Self::epb_flags).
    pub const fn of_epb_flags(flags: u32) -> Self {
        let mut damage = 0;
        if flags & 1 << 24 != 0 {
            damage |= Self::CRC_ERROR.0;
        }
        if flags & 1 << 25 != 0 {
            damage |= Self::TOO_LONG.0;
        }
        if flags & 1 << 26 != 0 {
            damage |= Self::TOO_SHORT.0;
        }
        Self(damage)
    }

    /// Whether anything is wrong.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether `other` is among what is wrong.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The link-layer error bits of pcapng's `epb_flags`
    /// (draft-ietf-opsawg-pcapng, section 4.3.1).
    pub const fn epb_flags(self) -> u32 {
        let mut flags = 0;
        if self.has(Self::CRC_ERROR) {
            flags |= 1 << 24;
        }
        if self.has(Self::TOO_LONG) {
            flags |= 1 << 25;
        }
        if self.has(Self::TOO_SHORT) {
            flags |= 1 << 26;
        }
        flags
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::CRC_ERROR, "CRC error"),
            (Self::TOO_SHORT, "too short"),
            (Self::TOO_LONG, "too long"),
        ];
        let names = names.into_iter().filter(|(damage, _)| self.has(*damage));
        let names: Vec<_> = names.map(|(_, name)| name).collect();
        if names.is_empty() { f.write_str("intact") } else { f.write_str(&names.join(", ")) }
    }
}

/// Which way a packet goes, or all of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways, or unknown.
    #[default]
    Unknown,
    /// Towards the device that the tap belongs to, or the one that asks.
    Inbound,
    /// Away from it.
    Outbound,
}

impl Direction {
    /// Bits 0 and 1 of `epb_flags`.
    pub const fn epb_flags(self) -> u32 {
        match self {
            Self::Unknown => 0b00,
            Self::Inbound => 0b01,
            Self::Outbound => 0b10,
        }
    }
}

/// What the capture that a packet comes from said of it, to be said again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// `epb_flags`: damage and direction.
    pub flags: u32,
    /// Packets that it lost directly before.
    pub dropped: u64,
    /// In words, if there is something.
    pub comment: Option<String>,
}

/// Where a frame lies in its batch, and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    start: u32,
    len: u32,
    original_len: u32,
    skipped_before: u32,
    pause_ms: u32,
    time: Timestamp,
    damage: Damage,
    direction: Direction,
    errors: LineErrors,
}

/// What a framer says about a frame beside its octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes {
    /// When its first octet began on the wire.
    pub time: Timestamp,
    /// Octets it should have had; not less than it has.
    pub original_len: u32,
    /// Octets outside frames directly before it.
    pub skipped_before: u32,
    /// What is wrong with it.
    pub damage: Damage,
    /// How long the line was silent inside it, in milliseconds; 0 if no longer than adapters
    /// explain.
    pub pause_ms: u32,
    /// Which way it goes, where its content tells.
    pub direction: Direction,
    /// What the receiver found wrong with its octets.
    pub errors: LineErrors,
}

/// A frame with its octets, as the encoders see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Which port it came from, counted from 0.
    pub port: u16,
    /// The octets, as they are recorded.
    pub data: &'a [u8],
    /// Octets it should have had; not less than `data.len()`.
    pub original_len: u32,
    /// Octets outside frames directly before it.
    pub skipped_before: u32,
    /// How long the line was silent inside it, in milliseconds.
    pub pause_ms: u32,
    /// When its first octet began on the wire.
    pub time: Timestamp,
    /// What is wrong with it.
    pub damage: Damage,
    /// Which way it goes, where its content tells.
    pub direction: Direction,
    /// What the receiver found wrong with its octets.
    pub errors: LineErrors,
    /// How the wall clock stood when it had come.
    pub wall: WallOffset,
    /// How long its port was gone directly before it, if it was.
    pub gap_ns: u64,
    /// Whether its port was another adapter before that.
    pub stranger: bool,
    /// Octets directly before it that a recording lacks.
    pub missing: u64,
    /// What the capture that it comes from said of it, if it comes from one.
    pub captured: Option<&'a Captured>,
    /// What is to be told of the line where this packet is; empty if nothing is.
    pub remark: &'a str,
}

/// The frames of one read, their octets in one shared buffer.
///
/// This is what crosses a channel. One frame on a slow line, hundreds at full speed.
#[derive(Debug, Default)]
pub struct Batch {
    port: u16,
    wall: WallOffset,
    gap_ns: u64,
    missing: u64,
    stranger: bool,
    octets: Vec<u8>,
    frames: Vec<Frame>,
    /// Of each frame, if they come from a capture; else none.
    captured: Vec<Captured>,
}

impl Batch {
    /// An empty batch of frames from port number `port`.
    pub fn new(port: u16) -> Self {
        Self { port, ..Self::default() }
    }

    /// Adds a frame made of `parts`, in this order.
    pub fn push(&mut self, parts: &[&[u8]], notes: Notes) {
        let start = self.octets.len();
        for part in parts {
            self.octets.extend_from_slice(part);
        }
        let len = (self.octets.len() - start) as u32;
        self.frames.push(Frame {
            start: start as u32,
            len,
            original_len: notes.original_len.max(len),
            skipped_before: notes.skipped_before,
            pause_ms: notes.pause_ms,
            time: notes.time,
            damage: notes.damage,
            direction: notes.direction,
            errors: notes.errors,
        });
    }

    /// Adds a packet of a capture. All of a batch are, or none.
    pub fn push_captured(&mut self, octets: &[u8], notes: Notes, captured: Captured) {
        self.push(&[octets], notes);
        self.captured.push(captured);
    }

    /// The same frames, from port number `port`.
    #[must_use]
    pub fn of_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Says how the wall clock stood when its frames had come.
    pub fn set_wall_offset(&mut self, wall: WallOffset) {
        self.wall = wall;
    }

    /// Says how long the port was gone before its first frame.
    pub fn set_gap_ns(&mut self, gap_ns: u64) {
        self.gap_ns = gap_ns;
    }

    /// Says how many octets before its first frame a recording lacks.
    pub fn set_missing(&mut self, octets: u64) {
        self.missing = octets;
    }

    /// Says that the port was another adapter before its first frame.
    pub fn set_stranger(&mut self, is_one: bool) {
        self.stranger = is_one;
    }

    /// Forgets its frames; keeps their memory for others.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.frames.clear();
        self.captured.clear();
    }

    /// Which port the frames came from, counted from 0.
    pub fn port(&self) -> usize {
        self.port.into()
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is no frame in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// When frame number `frame` began; 1970 if there is none of that number.
    pub fn time(&self, frame: usize) -> Timestamp {
        self.frames.get(frame).map_or_else(Timestamp::default, |frame| frame.time)
    }

    /// Octets of all frames together.
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    /// Octets of some of its frames together.
    pub fn octets_of(&self, frames: Range<usize>) -> usize {
        let frames = self.frames.get(frames).unwrap_or_default();
        frames.iter().map(|frame| frame.len as usize).sum()
    }

    /// The frames in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.packets_in(0..self.len())
    }

    /// Some of the frames in order; none where there are not as many.
    pub fn packets_in(&self, frames: Range<usize>) -> impl Iterator<Item = Packet<'_>> {
        let first = (self.gap_ns, self.missing, self.stranger);
        let first = if frames.start == 0 { first } else { Default::default() };
        let (mut gap_ns, mut missing, mut stranger) = first;
        let captured = self.captured.get(frames.clone()).unwrap_or_default();
        let mut captured = captured.iter();
        self.frames.get(frames).unwrap_or_default().iter().map(move |frame| Packet {
            port: self.port,
            data: &self.octets[frame.start as usize..][..frame.len as usize],
            original_len: frame.original_len,
            skipped_before: frame.skipped_before,
            pause_ms: frame.pause_ms,
            time: frame.time,
            damage: frame.damage,
            direction: frame.direction,
            errors: frame.errors,
            wall: self.wall,
            gap_ns: std::mem::take(&mut gap_ns),
            missing: std::mem::take(&mut missing),
            stranger: std::mem::take(&mut stranger),
            captured: captured.next(),
            remark: "",
        })
    }

    /// Octets of memory that some of its frames take, with what the allocator and a queue add.
    pub fn memory_of(&self, frames: Range<usize>) -> usize {
        const ALLOCATIONS: usize = 3 * 16; // this, its octets, its frames
        const QUEUE_SLOT: usize = 64;
        // Buffers grow by doubling, so that at most half of them is not used.
        const SPARE: usize = 2;
        let octets = self.octets_of(frames.clone());
        let captured = self.captured.get(frames.clone()).unwrap_or_default();
        let said =
            |it: &Captured| size_of::<Captured>() + it.comment.as_ref().map_or(0, String::len);
        let captured: usize = captured.iter().map(said).sum();
        size_of::<Self>()
            + ALLOCATIONS
            + QUEUE_SLOT
            + SPARE * (octets + captured + frames.len() * size_of::<Frame>())
    }
}

/// Where the octets of a line went. `octets` is the sum of the four kinds below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Octets received.
    pub octets: u64,
    /// Octets in good frames.
    pub good_octets: u64,
    /// Octets in damaged frames.
    pub damaged_octets: u64,
    /// Octets that may follow a frame and mean nothing.
    pub padding_octets: u64,
    /// Octets outside frames.
    pub skipped_octets: u64,
    /// Good frames.
    pub good_frames: u64,
    /// Damaged frames.
    pub damaged_frames: u64,
    /// Octets with a wrong stop bit or parity, wherever they went.
    pub symbol_errors: u64,
    /// Breaks.
    pub breaks: u64,
    /// How often octets were lost before they came to us.
    pub overruns: u64,
}

impl Tally {
    /// Of packets that were framed elsewhere.
    pub fn of(batch: &Batch) -> Self {
        let mut tally = Self::default();
        for packet in batch.packets() {
            let octets = packet.data.len() as u64;
            tally.octets += octets;
            if packet.damage.is_none() {
                tally.good_frames += 1;
                tally.good_octets += octets;
            } else {
                tally.damaged_frames += 1;
                tally.damaged_octets += octets;
            }
        }
        tally
    }
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            octets: self.octets + more.octets,
            good_octets: self.good_octets + more.good_octets,
            damaged_octets: self.damaged_octets + more.damaged_octets,
            padding_octets: self.padding_octets + more.padding_octets,
            skipped_octets: self.skipped_octets + more.skipped_octets,
            good_frames: self.good_frames + more.good_frames,
            damaged_frames: self.damaged_frames + more.damaged_frames,
            symbol_errors: self.symbol_errors + more.symbol_errors,
            breaks: self.breaks + more.breaks,
            overruns: self.overruns + more.overruns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let mut batch = Batch::new(3);
        batch.push(&[b"ab", b"c"], Notes::default());
        batch.push(&[b"de"], Notes { original_len: 9, ..Notes::default() });
        assert_eq!((batch.port(), batch.len(), batch.octets()), (3, 2, 5));
        let packets: Vec<_> = batch.packets().map(|p| (p.port, p.data, p.original_len)).collect();
        assert_eq!(packets, [(3, &b"abc"[..], 3), (3, b"de", 9)]);
    }

    #[test]
    fn a_gap_is_before_the_first_frame_alone() {
        let mut batch = Batch::new(0);
        batch.push(&[b"a"], Notes::default());
        batch.push(&[b"b"], Notes::default());
        batch.set_gap_ns(7);
        let gaps = |frames| batch.packets_in(frames).map(|p| p.gap_ns).collect::<Vec<_>>();
        assert_eq!((gaps(0..2), gaps(1..2)), (vec![7, 0], vec![0]));
    }

    #[test]
    fn damage_has_the_bits_of_pcapng() {
        assert_eq!(Damage::NONE.epb_flags(), 0);
        assert_eq!(Damage::CRC_ERROR.epb_flags(), 0x0100_0000);
        assert_eq!(Damage::TOO_SHORT.epb_flags(), 0x0400_0000);
        assert_eq!(Damage::TOO_LONG.epb_flags(), 0x0200_0000);
    }
}
