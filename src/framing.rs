//! Framers: from octets and their arrival times to frames. Pure, without I/O.
//!
//! Each framing is one file in `framing/` and one row in [`PROTOCOLS`]. The row feeds the
//! command line, the documentation and the property tests of `tests/framers.rs`, which hold
//! every framer to these contracts:
//!
//! - any split of the input into chunks gives the same frames;
//! - memory is bounded by the longest frame, and so is the work per octet;
//! - after noise the next good frame is found, and a damaged frame ends where the next good
//!   one begins;
//! - every octet is accounted for exactly once in the [`Tally`];
//! - timestamps never run backwards.
//!
//! A framer is infallible: a serial line has no syntax errors, only damaged frames and octets
//! that belong to no frame.

mod device_clock;
mod hunt;
pub(crate) mod mstp;
mod phrase;
mod pinoccio;
mod riot;
mod wpan;

use crate::dissect::{self, Dissector};
use crate::packet::{Batch, LinkType, Notes, Tally, Timestamp};
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Longest time that a USB serial adapter keeps received octets to itself: the default
/// latency timer of FTDI's chips.
const ADAPTER_LATENCY_NS: u64 = 16_000_000;

/// A pause between two octets that no adapter explains. Far above what a standard asks for
/// (MS/TP: 60 bit times), and still it says little: a serial server, a lost segment or a host that
/// stalls makes such pauses inside intact frames. So it ends nothing by itself. But a good frame
/// that begins right behind one shows that what was open before it was cut off.
pub const IDLE_GAP_NS: u64 = ADAPTER_LATENCY_NS + 100_000_000;

/// An idle line between two octets: no sender pauses for so long inside a frame, but adapters
/// and schedulers make such pauses. A good frame that begins right behind one is a hint that what
/// was open before it was cut off, and two such frames are as good as one behind an
/// [`IDLE_GAP_NS`].
const IDLE_NS: u64 = 1_000_000;

/// Silence of a line that ends what is still open.
pub const SILENCE_NS: u64 = 3_000_000_000;
/// The same where octets come from a network or a pipe, which may stall for longer.
pub const REMOTE_SILENCE_NS: u64 = 15_000_000_000;

/// Finds frames in the octets of one line.
pub trait Framer: Send {
    /// Takes new octets, the last of which arrived at `arrival`, and adds the frames that end
    /// with them to `out`.
    fn push(&mut self, octets: &[u8], arrival: Timestamp, out: &mut Batch);

    /// When silence would end what is still open, if anything is.
    fn deadline(&self) -> Option<Timestamp>;

    /// When the first octet began of what is still open, if anything is: no frame to come is
    /// earlier.
    fn open_since(&self) -> Option<Timestamp>;

    /// Says that nothing has arrived up to `now`: ends what is open if its deadline has passed.
    fn expire(&mut self, now: Timestamp, out: &mut Batch);

    /// Ends what is open: nothing follows, or what follows has nothing to do with it.
    fn finish(&mut self, out: &mut Batch);

    /// Where all octets so far went; those still held are in `octets` alone.
    fn tally(&self) -> Tally;

    /// Whether the octets say that the sniffer has begun anew since this was last asked.
    fn restarted(&mut self) -> bool {
        false
    }
}

/// The far end of a sniffer's command line: says what to send, hears what comes back.
///
/// Pure like a framer. Only a protocol whose sniffer needs commands has one, and it is used
/// only when the user named that protocol.
pub trait Dialogue: Send {
    /// The port was opened at `now`; forgets all that was said before.
    fn start(&mut self, now: Timestamp);

    /// The sniffer has begun anew: so does this, if it had come to its end. Returns whether it
    /// does.
    fn restart(&mut self, now: Timestamp) -> bool;

    /// Hears what the sniffer said. Returns whether that was a reason to begin anew.
    fn hear(&mut self, octets: &[u8], now: Timestamp) -> bool;

    /// When it wants to be asked again although nothing was heard.
    fn deadline(&self) -> Option<Timestamp>;

    /// What to send now, if anything; asked after each `hear` and at each deadline.
    fn say(&mut self, now: Timestamp) -> Option<Vec<u8>>;
}

/// What a protocol is told about its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Bits per second.
    pub baud: u32,
    /// IEEE 802.15.4 channel, as the protocol's row allows.
    pub channel: Option<u8>,
    /// What to send to the sniffer in place of the protocol's own first command.
    pub init: Option<String>,
    /// Which network interface of the sniffer is its radio.
    pub interface: Option<u16>,
    /// Silence that ends what is still open, in nanoseconds.
    pub silence_ns: u64,
    /// Whether arrivals are those of the line; those of a file of plain octets are made up.
    pub timed: bool,
}

impl Setup {
    /// A line at `baud` and no more.
    pub const fn new(baud: u32) -> Self {
        Self {
            baud,
            channel: None,
            init: None,
            interface: None,
            silence_ns: SILENCE_NS,
            timed: true,
        }
    }
}

/// Whether a protocol takes `--channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// It has none.
    None,
    /// Its sniffer has one of its own.
    Optional,
    /// Its sniffer must be told.
    Required,
}

/// Makes our side of the talk with a sniffer.
pub type MakeDialogue = fn(&Setup) -> Box<dyn Dialogue>;

/// A row of the table: all that the rest of the program knows about a protocol.
pub struct Protocol {
    /// What the user calls it.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Bits per second unless told otherwise.
    pub baud: u32,
    /// What capture files call its packets.
    pub link_type: LinkType,
    /// Makes its framer.
    pub framer: fn(&Setup) -> Box<dyn Framer>,
    /// Makes its side of the talk with the sniffer; without it nothing is ever transmitted.
    pub dialogue: Option<MakeDialogue>,
    /// Whether DTR and RTS are dropped at open: on RS-485 adapters RTS may drive the bus,
    /// while a sniffer with native USB sends nothing until DTR is raised.
    pub drop_lines: bool,
    /// Whether it takes a channel.
    pub channel: Channel,
    /// Which channels there are, if it takes one.
    pub channels: RangeInclusive<u8>,
    /// Whether `--init` replaces its first command.
    pub takes_init: bool,
    /// Whether its sniffer has several network interfaces, of which `--interface` chooses one.
    pub takes_interface: bool,
    /// What to look at when nothing is heard.
    pub when_silent: &'static str,
    /// What to look at when octets come and no frame is among them.
    pub when_senseless: &'static str,
    /// Words for a recorded packet, such as `Token` from 5 to 16.
    pub dissector: Dissector,
}

impl std::fmt::Debug for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All protocols; the first is the default.
pub static PROTOCOLS: [Protocol; 3] = [
    Protocol {
        name: "mstp",
        help: "BACnet MS/TP on RS-485",
        baud: 38_400,
        link_type: LinkType::BACNET_MS_TP,
        framer: |setup| Box::new(mstp::framer(setup)),
        dialogue: None,
        drop_lines: true,
        channel: Channel::None,
        channels: 0..=0,
        takes_init: false,
        takes_interface: false,
        when_silent: "check that the adapter is wired to a trunk that has power",
        when_senseless: "check the rate (-b), and that A and B are not swapped",
        dissector: dissect::mstp::words,
    },
    Protocol {
        name: "riot",
        help: "IEEE 802.15.4 from RIOT's sniffer application",
        baud: 115_200,
        link_type: LinkType::IEEE802_15_4_TAP,
        framer: |setup| Box::new(riot::Riot::new(setup)),
        dialogue: Some(|setup| Box::new(riot::Ifconfig::new(setup))),
        drop_lines: false,
        channel: Channel::Required,
        channels: 0..=26, // 0 to 10 are below 1 GHz
        takes_init: false,
        takes_interface: true,
        when_silent: "check that the sniffer runs, and the channel: perhaps nobody sends there",
        when_senseless: "check the rate (-b), and that this is RIOT's sniffer application",
        dissector: dissect::wpan::tap_words,
    },
    Protocol {
        name: "pinoccio",
        help: "IEEE 802.15.4 from At256rfr2Sniffer or a Pinoccio Scout",
        baud: 115_200,
        link_type: LinkType::IEEE802_15_4_WITHFCS,
        framer: |setup| Box::new(pinoccio::framer(setup)),
        dialogue: Some(|setup| Box::new(pinoccio::Start::new(setup))),
        drop_lines: false,
        channel: Channel::Optional,
        channels: 11..=26,
        takes_init: true,
        takes_interface: false,
        when_silent: "check that the sniffer runs, and the channel: perhaps nobody sends there",
        when_senseless: "check the rate (-b), and that this is At256rfr2Sniffer",
        dissector: dissect::wpan::words,
    },
];

/// The protocol that the user calls `name`.
pub fn protocol(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.iter().find(|protocol| protocol.name == name)
}

/// Octets that were received and not yet judged, with their arrival times, and the account of
/// those that were. What all framers have in common.
#[derive(Debug)]
struct Window {
    octets: Vec<u8>,
    /// How many of `octets` are gone; they are moved out together, once a push.
    taken: usize,
    /// Position in the line of the first octet in `octets`.
    base: u64,
    /// Ends of the chunks that have octets left here, and when they arrived.
    arrivals: VecDeque<(u64, Timestamp)>,
    last_arrival: Timestamp,
    last_time: Timestamp,
    octet_ns: u64,
    silence_ns: u64,
    /// Positions in the line with a pause before them, and how long that was.
    pauses: VecDeque<(u64, u64)>,
    skipped_run: u32,
    tally: Tally,
}

impl Window {
    fn new(setup: &Setup) -> Self {
        const BITS_PER_OCTET: u64 = 10; // 8N1: start bit, eight data bits, stop bit
        Self {
            octets: Vec::new(),
            taken: 0,
            base: 0,
            arrivals: VecDeque::new(),
            last_arrival: Timestamp::default(),
            last_time: Timestamp::default(),
            octet_ns: BITS_PER_OCTET * 1_000_000_000 / u64::from(setup.baud.max(1)),
            silence_ns: setup.silence_ns,
            pauses: VecDeque::new(),
            skipped_run: 0,
            tally: Tally::default(),
        }
    }

    /// Takes a chunk, the last octet of which arrived at `arrival`.
    fn push(&mut self, octets: &[u8], arrival: Timestamp) {
        if octets.is_empty() {
            return;
        }
        self.octets.drain(..self.taken);
        self.base += self.taken as u64;
        self.taken = 0;
        self.note_pause(octets.len(), arrival);
        self.octets.extend_from_slice(octets);
        let end = self.base + self.octets.len() as u64;
        while self.arrivals.front().is_some_and(|(end, _)| *end <= self.base) {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back((end, arrival));
        self.last_arrival = arrival;
        self.tally.octets += octets.len() as u64;
    }

    /// Notes a pause before a chunk of this length, if something was open meanwhile.
    fn note_pause(&mut self, len: usize, arrival: Timestamp) {
        while self.pauses.front().is_some_and(|(position, _)| *position <= self.base) {
            self.pauses.pop_front();
        }
        if !self.octets.is_empty() {
            let began = arrival.minus_ns(len as u64 * self.octet_ns);
            let pause = began.ns_since(self.last_arrival);
            if pause > IDLE_NS {
                self.pauses.push_back((self.base + self.octets.len() as u64, pause));
            }
        }
    }

    /// How far it is to each octet that came after a pause, but for the first one held, and whether
    /// no adapter explains that pause.
    fn behind_pauses(&self) -> impl Iterator<Item = (usize, bool)> {
        let start = self.base + self.taken as u64;
        self.pauses
            .iter()
            .filter(move |(position, _)| *position > start)
            .map(move |(position, pause)| ((position - start) as usize, *pause > IDLE_GAP_NS))
    }

    /// How long the line was silent inside the first `len` octets, in milliseconds.
    fn pause_ms(&self, len: usize) -> u32 {
        let start = self.base + self.taken as u64;
        let inside = start + 1..start + len as u64;
        let pauses = self
            .pauses
            .iter()
            .filter(|(position, pause)| *pause > IDLE_GAP_NS && inside.contains(position));
        let ns: u64 = pauses.map(|(_, pause)| pause).sum();
        u32::try_from(ns / 1_000_000).unwrap_or(u32::MAX)
    }

    /// The octets not yet judged.
    fn octets(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    /// When the octet `ahead` of the first began on the wire.
    fn time_of(&self, ahead: usize) -> Timestamp {
        let position = self.base + (self.taken + ahead) as u64;
        self.arrivals
            .iter()
            .find(|(end, _)| position < *end)
            .map_or(self.last_arrival, |(end, arrival)| {
                arrival.minus_ns((end - position) * self.octet_ns)
            })
    }

    /// When silence would end what is held here.
    fn deadline(&self) -> Option<Timestamp> {
        (!self.octets().is_empty()).then(|| self.last_arrival.plus_ns(self.silence_ns))
    }

    /// The first `len` octets belong to no frame.
    fn skip(&mut self, len: usize) {
        self.taken += len;
        self.tally.skipped_octets += len as u64;
        self.skipped_run = self.skipped_run.saturating_add(len as u32);
    }

    /// The first `len` octets may follow a frame, and mean nothing.
    fn pad(&mut self, len: usize) {
        self.taken += len;
        self.tally.padding_octets += len as u64;
    }

    /// The first `len` octets are a good frame; returns what is known of it.
    fn good(&mut self, len: usize) -> Notes {
        self.tally.good_octets += len as u64;
        self.tally.good_frames += 1;
        self.take_frame(len)
    }

    /// The first `len` octets are a damaged frame; returns what `good` does.
    fn damaged(&mut self, len: usize) -> Notes {
        self.tally.damaged_octets += len as u64;
        self.tally.damaged_frames += 1;
        self.take_frame(len)
    }

    fn take_frame(&mut self, len: usize) -> Notes {
        let time = self.in_order(self.time_of(0));
        let pause_ms = self.pause_ms(len);
        self.taken += len;
        let skipped_before = std::mem::take(&mut self.skipped_run);
        Notes { time, skipped_before, pause_ms, ..Notes::default() }
    }

    /// `time`, or the last frame's if that is later.
    fn in_order(&mut self, time: Timestamp) -> Timestamp {
        self.last_time = self.last_time.max(time);
        self.last_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_dated_back_from_the_end_of_their_chunk() {
        let mut window = Window::new(&Setup::new(10_000)); // 1 ms an octet
        window.push(b"abc", Timestamp::from_ns(10_000_000));
        window.push(b"de", Timestamp::from_ns(20_000_000));
        let times: Vec<u64> = (0..5).map(|i| window.time_of(i).as_ns() / 1_000_000).collect();
        assert_eq!(times, [7, 8, 9, 18, 19]);
        window.skip(3);
        window.push(b"f", Timestamp::from_ns(30_000_000));
        assert_eq!(window.time_of(0).as_ns(), 18_000_000);
        assert_eq!(window.time_of(2).as_ns(), 29_000_000);
        assert_eq!(window.deadline(), Some(Timestamp::from_ns(30_000_000 + SILENCE_NS)));
        window.skip(3);
        assert_eq!(window.deadline(), None);
    }

    #[test]
    fn a_frame_is_never_earlier_than_the_one_before() {
        let mut window = Window::new(&Setup::new(10_000));
        window.push(b"a", Timestamp::from_ns(50_000_000));
        window.push(&[0; 40], Timestamp::from_ns(51_000_000));
        assert_eq!(window.good(1).time.as_ns(), 49_000_000);
        assert_eq!(window.good(40).time.as_ns(), 49_000_000);
    }

    #[test]
    fn names_are_unique_and_rates_sensible() {
        for (i, row) in PROTOCOLS.iter().enumerate() {
            assert!(PROTOCOLS[..i].iter().all(|other| other.name != row.name));
            assert!(row.baud > 0 && !row.help.is_empty());
            assert!(row.channel != Channel::Required || row.dialogue.is_some());
        }
    }
}
