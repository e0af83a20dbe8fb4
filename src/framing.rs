//! Framers: from octets and their arrival times to frames. Pure, without I/O.
//!
//! Each framing is one file in `framing/`, with its row at the top, and one word in [`PROTOCOLS`]. The row feeds the
//! command line, the documentation and the property tests of `tests/framing/framers.rs`, which hold
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

mod at;
mod blueluna;
mod cmux;
mod device_clock;
mod dlms;
mod dmx;
mod dnp3;
mod ebus;
mod esp;
mod ft12;
mod h4;
pub mod hopping;
mod hunt;
mod iec101;
mod kirale;
mod kiss;
mod knx;
mod lin;
mod lines;
mod mbus;
pub(crate) mod modbus;
mod modbus_ascii;
pub(crate) mod mstp;
mod nmea;
mod nrf;
mod p1;
mod phrase;
mod pinoccio;
mod ppp;
mod profibus;
mod raw;
mod rdm;
mod records;
mod riot;
mod script;
mod sensniff;
mod slcan;
mod slip;
mod sonoff;
mod spinel;
mod stuffing;
mod ti;
mod upper;
mod window;
mod windowed;
pub(crate) mod wpan;
mod zniffer;
mod zwave;

use crate::dissect::Dissector;
use crate::line::Line;
use crate::line_errors::LineError;
use crate::packet::{Batch, Direction, LinkType, Tally};
use crate::setting::{Setting, Values};
use crate::time::Timestamp;
use hopping::Hops;
use std::ops::RangeInclusive;
use window::Window;
use windowed::Windowed;

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
pub(crate) const IDLE_NS: u64 = 1_000_000;

/// Silence of a line that ends what is still open.
pub const SILENCE_NS: u64 = 3_000_000_000;
/// The same where octets come from a network or a pipe, which may stall for longer.
pub const REMOTE_SILENCE_NS: u64 = 15_000_000_000;

/// Finds frames in the octets of one line.
pub trait Framer: Send {
    /// Takes new octets, the last of which arrived at `arrival`, and adds the frames that end
    /// with them to `out`.
    fn push(&mut self, octets: &[u8], arrival: Timestamp, out: &mut Batch);

    /// Hears what the receiver found wrong with the octets of the next push, in their order: notes
    /// it for the packets that they become part of.
    fn mark(&mut self, errors: &[LineError]);

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

    /// Hears which channel the sniffer listens on from now on, if that is known.
    fn tune(&mut self, _channel: Option<u8>) {}

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

    /// Which channel the sniffer listens on at `now`, if it is sent from one to the next; `Some(None)`
    /// while it is on its way.
    fn channel(&self, _now: Timestamp) -> Option<Option<u8>> {
        None
    }

    /// What to send at a clean end, so that the sniffer stops; nothing if it was told nothing.
    /// Nobody waits for an answer.
    fn stop(&mut self) -> Option<Vec<u8>> {
        None
    }
}

/// What a protocol is told about its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// How fast octets come, and what they are made of.
    pub line: Line,
    /// IEEE 802.15.4 channel, as the protocol's row allows.
    pub channel: Option<u8>,
    /// The channels to listen on in turn, in place of one.
    pub hops: Option<Hops>,
    /// What to send to the sniffer in place of the protocol's own first command.
    pub init: Option<String>,
    /// Which network interface of the sniffer is its radio.
    pub interface: Option<u16>,
    /// Which direction of a full-duplex line it is.
    pub direction: Direction,
    /// What the settings in the protocol's row say.
    pub values: Values,
    /// Silence that ends what is still open, in nanoseconds.
    pub silence_ns: u64,
    /// Whether arrivals are those of the line; those of a file of plain octets are made up.
    pub timed: bool,
}

impl Setup {
    /// A line at `baud` with 8N1, and no more.
    pub const fn new(baud: u32) -> Self {
        Self {
            line: Line::at(baud),
            channel: None,
            hops: None,
            init: None,
            interface: None,
            direction: Direction::Unknown,
            values: Values::none(),
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
    /// Its line unless told otherwise.
    pub line: Line,
    /// What capture files call its packets.
    pub link_type: LinkType,
    /// The same where it depends on the port.
    pub link_type_of: Option<fn(&Setup) -> LinkType>,
    /// What only this protocol, or few others, can be told.
    pub settings: &'static [Setting],
    /// Whether settings go together; each is right by itself.
    pub check: fn(&Values) -> Result<(), String>,
    /// Makes its framer.
    pub framer: fn(&Setup) -> Box<dyn Framer>,
    /// Whether DTR and RTS are dropped at open: on RS-485 adapters RTS may drive the bus,
    /// while a sniffer with native USB sends nothing until DTR is raised.
    pub drop_lines: bool,
    /// The sniffer that brings its frames; `None` where they are on the line itself.
    pub sniffer: Option<Sniffer>,
    /// What to look at when nothing is heard.
    pub when_silent: &'static str,
    /// What to look at when octets come and no frame is among them.
    pub when_senseless: &'static str,
    /// Words for a recorded packet, such as `Token` from 5 to 16.
    pub dissector: Dissector,
    /// Whether those words go into captures too, as a comment: Wireshark has no dissector for it.
    pub comment: bool,
    /// How many bits of a good packet speak for this protocol: its check sequence, octets that are
    /// always the same, a layout that other octets seldom have. Random octets are taken for such
    /// a packet once in 2 to the power of that. 0 if it says nothing.
    pub proof: fn(packet: &[u8]) -> u8,
    /// Whether octets of other protocols that come again and again often have its check by accident: long
    /// packets with a check of one octet, or none. Then the same packet again proves nothing.
    pub weak: bool,
    /// Whether `proof` says anything of any packet: whether a line can be recognised by it.
    pub provable: bool,
    /// Octets of its packets among all since the first one, at least, for a line to be recognised: half of
    /// them, unless others are on the same line that prove nothing.
    pub least_share: f64,
    /// Which part a packet has in a talk, of a protocol whose packets are lines of text and no more.
    pub part: fn(packet: &[u8]) -> Part,
}

/// Which part a packet has in a talk of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Packets do not depend on those around them.
    None,
    /// It asks.
    Question,
    /// It may be of an answer, or of anything else.
    Line,
    /// It ends an answer.
    Result,
}

/// A device between the air, or another bus, and the serial line.
pub struct Sniffer {
    /// Makes our side of the talk with it; without it nothing is ever transmitted.
    pub dialogue: Option<MakeDialogue>,
    /// Whether it takes a channel.
    pub channel: Channel,
    /// Which channels there are, if it takes one.
    pub channels: RangeInclusive<u8>,
    /// Whether `--init` replaces its first command.
    pub takes_init: bool,
    /// Whether it has several network interfaces, of which `--interface` chooses one.
    pub takes_interface: bool,
}

impl Protocol {
    /// What a row says that says nothing: `..Protocol::PLAIN` is its last line.
    pub const PLAIN: Self = Self {
        name: "",
        help: "",
        line: Line::at(115_200),
        link_type: LinkType::WIRESHARK_UPPER_PDU,
        link_type_of: None,
        settings: &[],
        check: |_| Ok(()),
        framer: |setup| Box::new(mstp::framer(setup)),
        drop_lines: false,
        sniffer: None,
        when_silent: "check that the adapter is wired to the line",
        when_senseless: "check rate and format of the line",
        dissector: crate::dissect::mstp::words,
        proof: |_| 0,
        weak: false,
        provable: true,
        least_share: 0.5,
        part: |_| Part::None,
        comment: false,
    };

    /// What capture files call the packets of a port.
    pub fn link_type(&self, setup: &Setup) -> LinkType {
        self.link_type_of.map_or(self.link_type, |of| of(setup))
    }

    /// Makes our side of the talk with the sniffer, if it needs one.
    pub fn dialogue(&self) -> Option<MakeDialogue> {
        self.sniffer.as_ref()?.dialogue
    }

    /// Whether it takes a channel.
    pub fn channel(&self) -> Channel {
        self.sniffer.as_ref().map_or(Channel::None, |sniffer| sniffer.channel)
    }

    /// Which channels there are; none if it takes none.
    #[expect(clippy::reversed_empty_ranges, reason = "there are none")]
    pub fn channels(&self) -> RangeInclusive<u8> {
        let channels = self.sniffer.as_ref().filter(|sniffer| sniffer.channel != Channel::None);
        channels.map_or(1..=0, |sniffer| sniffer.channels.clone())
    }

    /// Whether its sniffer can be sent from one channel to the next, and packets have a place for the
    /// channel.
    pub fn hops(&self) -> bool {
        self.channel() != Channel::None && self.link_type == LinkType::IEEE802_15_4_TAP
    }

    /// Whether `--init` replaces the sniffer's first command.
    pub fn takes_init(&self) -> bool {
        self.sniffer.as_ref().is_some_and(|sniffer| sniffer.takes_init)
    }

    /// Whether `--interface` chooses one of the sniffer's network interfaces.
    pub fn takes_interface(&self) -> bool {
        self.sniffer.as_ref().is_some_and(|sniffer| sniffer.takes_interface)
    }
}

/// Two rows are the same if they have the same name.
impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All protocols; the first is the default. Each has its row at the top of its file.
pub static PROTOCOLS: [&Protocol; 36] = [
    // Buildings, plants and meters.
    &mstp::ROW,
    &modbus::ROW,
    &modbus_ascii::ROW,
    &dnp3::ROW,
    &iec101::ROW,
    &profibus::ROW,
    &mbus::ROW,
    &dlms::ROW,
    &p1::ROW,
    &ebus::ROW,
    &knx::ROW,
    &lin::ROW,
    &dmx::ROW,
    &rdm::ROW,
    // Hosts and modules.
    &ppp::ROW,
    &slip::ROW,
    &kiss::ROW,
    &h4::ROW,
    &cmux::ROW,
    &slcan::ROW,
    &zwave::ROW,
    &at::ROW,
    &nmea::ROW,
    // Sniffers.
    &riot::ROW,
    &pinoccio::ROW,
    &sensniff::ROW,
    &nrf::NRF,
    &nrf::ZEPHYR,
    &spinel::ROW,
    &ti::ROW,
    &sonoff::ROW,
    &esp::ROW,
    &blueluna::ROW,
    &kirale::ROW,
    &zniffer::ROW,
    // One's own.
    &raw::ROW,
];

/// The protocol that the user calls `name`.
pub fn protocol(name: &str) -> Option<&'static Protocol> {
    PROTOCOLS.into_iter().find(|protocol| protocol.name == name)
}

/// Each setting that any protocol has, with the names of those that have it.
pub fn settings() -> Vec<(&'static Setting, Vec<&'static str>)> {
    let mut found: Vec<(&Setting, Vec<_>)> = Vec::new();
    for row in PROTOCOLS {
        for setting in row.settings {
            match found.iter_mut().find(|(known, _)| known.name == setting.name) {
                Some((_, having)) => having.push(row.name),
                None => found.push((setting, vec![row.name])),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_rates_sensible() {
        for (i, row) in PROTOCOLS.iter().enumerate() {
            assert!(PROTOCOLS[..i].iter().all(|other| other.name != row.name));
            assert!(row.line.baud > 0 && !row.help.is_empty());
            assert!(row.channel() != Channel::Required || row.dialogue().is_some());
        }
    }
}
