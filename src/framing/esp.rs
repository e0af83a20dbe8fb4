//! The sniffer of esp-rs for ESP32-C6 and ESP32-H2: IEEE 802.15.4 frames as lines of text.
//!
//! ```text
//! @RAW [05, 02, 00, 07, d0, c8, 00]     length, PSDU; what is behind it means nothing
//! ```
//!
//! The radio writes RSSI (i8, dBm) and LQI over the two octets of the FCS: they go into the header, and
//! the PSDU is recorded without them. Should they be an FCS that fits, they are recorded as that.

use super::records::{Format, Heard, Judgement, Records, find_mark, hex_psdu, text_of};
use super::script::{Script, Step, Words, no_refusal};
use super::wpan::{self, Fcs, Tap};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "esp",
    help: "IEEE 802.15.4 from the sniffer of esp-rs for ESP32-C6 and ESP32-H2",
    line: Line::at(115_200),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Raw, setup)),
    drop_lines: true, // they reset an ESP32
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(dialogue(setup))),
        channel: Channel::Required,
        channels: 11..=26,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check that this is the board's UART and not its USB-JTAG, and the channel",
    when_senseless: "check the rate (-b), and that this is the sniffer of esp-rs",
    dissector: dissect::wpan::tap_words,
    proof: |_| 64,
    ..Protocol::PLAIN
};

const MARKS: [&[u8]; 1] = [b"@RAW ["];
/// What the chip says when it has booted.
const BANNER: &[u8] = b"ESP-ROM:";
/// Octets of a line: 129 octets, each with a comma and a space.
const MAX_LINE: usize = 768;

/// The format.
#[derive(Debug)]
struct Raw;

impl Format for Raw {
    fn find(&self, octets: &[u8]) -> usize {
        find_mark(octets, &[MARKS[0], BANNER])
    }

    fn judge(&self, octets: &[u8], _closed: bool) -> Judgement {
        match text_of(octets, &MARKS, b']', MAX_LINE) {
            Err(_) if octets.starts_with(BANNER) => Judgement::Boot(BANNER.len()),
            Err(Judgement::Nothing) if BANNER.starts_with(octets) => Judgement::Perhaps,
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

/// What stands between the brackets.
fn parse(text: &[u8]) -> Option<Heard> {
    let words = text.split(|octet| *octet == b',');
    let octets: Option<Vec<u8>> = words
        .map(|word| match *hex_psdu(word.strip_prefix(b" ").unwrap_or(word))? {
            [octet] => Some(octet),
            _ => None,
        })
        .collect();
    let octets = octets?;
    let (&len, rest) = octets.split_first()?;
    let psdu = rest.get(..usize::from(len)).filter(|psdu| psdu.len() <= wpan::MAX_PSDU)?;
    let &[ref frame @ .., rssi, lqi] = psdu else { return None };
    if wpan::fcs_fits(psdu) {
        let tap = Tap { fcs: Fcs::Crc16, ..Tap::default() };
        return Some(Heard { tap, psdu: psdu.to_vec(), ..Heard::default() });
    }
    let rssi_dbm = Some(f32::from(rssi.cast_signed()));
    let tap = Tap { fcs: Fcs::None, rssi_dbm, channel: None, lqi: Some(lqi) };
    Some(Heard { tap, psdu: frame.to_vec(), ..Heard::default() })
}

/// It is reset, and then waits for two digits.
fn dialogue(setup: &Setup) -> Script {
    let start = |channel: u8| {
        vec![Step::unanswered("r", 1_000_000_000), Step::unanswered(format!("{channel:02}"), 0)]
    };
    Script::new(Words {
        name: "the sniffer of esp-rs",
        boot_ns: 500_000_000,
        steps: setup.channel.map(start).unwrap_or_default(),
        refusal: no_refusal,
        stop: Vec::new(),
    })
}
