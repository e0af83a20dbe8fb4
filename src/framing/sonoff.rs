//! The sniffer for the SONOFF Dongle Plus-E: IEEE 802.15.4 frames as lines of JSON.
//!
//! ```text
//! {"L":12,"Q":255,"R":-82,"C":11,"S":"6388..."}     length, LQI, RSSI in dBm, channel, PSDU
//! ```
//!
//! Some firmware leaves out the channel. The PSDU ends in its FCS; where that does not fit, the
//! frame is recorded as a damaged one. Lines that are cut off, as older firmware leaves them, are
//! lost.

use super::records::{Format, Heard, Judgement, Records, find_mark, hex_psdu, number, text_of};
use super::script::{PAUSE_NS, Script, Step, Words, no_refusal};
use super::wpan::{self, Fcs};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "sonoff",
    help: "IEEE 802.15.4 from the sniffer for the SONOFF Dongle Plus-E",
    line: Line::at(1_000_000),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Json, setup)),
    drop_lines: false,
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(dialogue(setup))),
        channel: Channel::Optional,
        channels: 11..=26,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check that the sniffer runs, and the channel: there may be no traffic on it",
    when_senseless: "check the rate (-b), and that this is the sniffer's firmware",
    dissector: dissect::wpan::tap_words,
    proof: |_| 64,
    ..Protocol::PLAIN
};

const MARKS: [&[u8]; 1] = [b"{\"L\":"];
/// Octets of a line; 127 of a PSDU in hex and four numbers are less.
const MAX_LINE: usize = 512;

/// The format.
#[derive(Debug)]
struct Json;

impl Format for Json {
    fn find(&self, octets: &[u8]) -> usize {
        find_mark(octets, &MARKS)
    }

    fn judge(&self, octets: &[u8], _closed: bool) -> Judgement {
        match text_of(octets, &MARKS, b'}', MAX_LINE) {
            Err(judgement) => judgement,
            Ok((_, text, len)) => match parse(text) {
                Some(heard) => Judgement::Record(len, heard),
                None => Judgement::Lost(len),
            },
        }
    }

    fn is_trivial(&self, octet: u8) -> bool {
        matches!(octet, b'\r' | b'\n')
    }
}

/// What stands between `"L":` and the closing brace.
fn parse(text: &[u8]) -> Option<Heard> {
    let mut fields = text.split(|octet| *octet == b',');
    let len: usize = number(fields.next()?)?;
    let (mut heard, mut rssi): (Heard, Option<i8>) = Default::default();
    for field in fields {
        let colon = field.iter().position(|octet| *octet == b':')?;
        let value = &field[colon + 1..];
        match &field[..colon] {
            b"\"Q\"" => heard.tap.lqi = Some(number(value)?),
            b"\"R\"" => rssi = Some(number(value)?),
            b"\"C\"" => heard.tap.channel = Some(number(value)?),
            b"\"S\"" => heard.psdu = hex_psdu(value.strip_prefix(b"\"")?.strip_suffix(b"\"")?)?,
            _ => return None,
        }
    }
    heard.tap.rssi_dbm = rssi.map(f32::from);
    heard.tap.fcs = Fcs::Crc16;
    heard.is_damaged = !wpan::fcs_fits(&heard.psdu);
    (heard.psdu.len() == len).then_some(heard)
}

/// It sniffs as soon as it has booted; only its channel is told, if the user names one.
fn dialogue(setup: &Setup) -> Script {
    let tuned = |channel| Step::unanswered(format!("{{\"C\":{channel}}}\r"), PAUSE_NS);
    Script::new(Words {
        name: "SONOFF's sniffer",
        boot_ns: 1_000_000_000,
        steps: setup.channel.map(tuned).into_iter().collect(),
        refusal: no_refusal,
        stop: Vec::new(),
    })
}
