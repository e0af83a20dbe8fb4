//! Nordic's nRF Sniffer for 802.15.4 and the sniffer of Zephyr's samples: a line of text a frame.
//!
//! ```text
//! received: 41880c...3700 power: -47 lqi: 103 time: 123456789     Nordic
//! psdu: 41880c... power: -47 lqi: 103 time: 123456789             Zephyr
//! ```
//!
//! Power is in dBm; Zephyr says -32768 if it does not know. Time is in microseconds since boot: 64
//! bits, or 32 in Zephyr and in older firmware of Nordic's, which prints them as a negative number
//! from half of them on. All are read as 32 bits that turn over.
//!
//! Nordic's PSDU ends in the place of the FCS, into which the radio may have written something else:
//! the two octets are recorded if they are an FCS that fits, and left out if not. Zephyr's has none.
//! Both radios hand on good frames only. What else is on the line is text of their shells, which may
//! come in the middle of a record: that one is lost. Each protocol reads its own word alone.

use super::records::{Format, Heard, Judgement, Records, find_mark, hex_psdu, line_of, number};
use super::script::{PAUSE_NS, Script, Step, Words, shell_refusal};
use super::wpan::{self, Fcs, Tap};
use super::{Channel, Protocol, Setup, Sniffer};
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;

/// What the rest of the program knows about Nordic's.
pub(super) static NRF: Protocol = Protocol {
    name: "nrf",
    help: "IEEE 802.15.4 from Nordic's nRF Sniffer for 802.15.4",
    line: Line::at(115_200),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Lines(NORDIC), setup)),
    drop_lines: false, // it waits for DTR
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(nordic(setup))),
        channel: Channel::Required,
        channels: 11..=26,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check that DTR is on, and the channel: there may be no traffic on it",
    when_senseless: "check that this is the nRF Sniffer for 802.15.4, and not the one for Bluetooth",
    dissector: dissect::wpan::tap_words,
    proof: |_| 64,
    comment: false,
    ..Protocol::PLAIN
};

/// What the rest of the program knows about Zephyr's.
pub(super) static ZEPHYR: Protocol = Protocol {
    name: "zephyr",
    help: "IEEE 802.15.4 from the sniffer of Zephyr's samples",
    line: Line::at(115_200),
    link_type: LinkType::IEEE802_15_4_TAP,
    framer: |setup| Box::new(Records::new(Lines(PSDU), setup)),
    drop_lines: true, // they reset an ESP32
    sniffer: Some(Sniffer {
        dialogue: Some(|setup| Box::new(zephyr(setup))),
        channel: Channel::Required,
        channels: 11..=26,
        takes_init: false,
        takes_interface: false,
    }),
    when_silent: "check that the sniffer runs, and the channel: there may be no traffic on it",
    when_senseless: "check the rate: one that a capture has left at 921600 is read with -b 921600",
    dissector: dissect::wpan::tap_words,
    proof: |_| 64,
    comment: false,
    ..Protocol::PLAIN
};

/// What records begin with: Nordic's and Zephyr's.
const NORDIC: &[u8] = b"received:";
const PSDU: &[u8] = b"psdu:";
/// What Zephyr says when it has booted.
const BANNER: &[u8] = b"*** Booting Zephyr OS";
/// Octets of a line; 127 of a PSDU in hex, and three numbers with their names.
const MAX_LINE: usize = 512;
/// Power that is not known.
const UNKNOWN: i16 = i16::MIN;

/// The format: lines from this word on.
#[derive(Debug)]
struct Lines(&'static [u8]);

impl Format for Lines {
    fn find(&self, octets: &[u8]) -> usize {
        find_mark(octets, &[self.0, BANNER])
    }

    fn judge(&self, octets: &[u8], _closed: bool) -> Judgement {
        match line_of(octets, &[self.0], MAX_LINE) {
            Err(_) if octets.starts_with(BANNER) => Judgement::Boot(BANNER.len()),
            Err(Judgement::Nothing) if BANNER.starts_with(octets) => Judgement::Perhaps,
            Err(judgement) => judgement,
            Ok((_, text, len)) => match parse(text, self.0 == NORDIC) {
                Some(heard) => Judgement::Record(len, heard),
                None => Judgement::Lost(len),
            },
        }
    }

    fn is_trivial(&self, octet: u8) -> bool {
        matches!(octet, b'\r' | b'\n' | b' ')
    }
}

/// What stands behind the word; `has_trailer` says whether two octets are in place of the FCS.
fn parse(text: &[u8], has_trailer: bool) -> Option<Heard> {
    let mut words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut psdu = hex_psdu(words.next()?)?;
    let mut named = |name: &[u8]| words.next().filter(|word| *word == name).and(words.next());
    let power: i16 = number(named(b"power:")?)?;
    let lqi = number(named(b"lqi:")?)?;
    let time: i128 = number(named(b"time:")?)?;
    if words.next().is_some() {
        return None;
    }
    let has_fcs = has_trailer && wpan::fcs_fits(&psdu);
    if has_trailer && !has_fcs {
        psdu.truncate(psdu.len().checked_sub(2)?);
    }
    let fcs = if has_fcs { Fcs::Crc16 } else { Fcs::None };
    let rssi_dbm = (power != UNKNOWN).then(|| f32::from(power));
    let count = match time {
        0.. => u64::try_from(time).ok()?,
        _ => u64::from(i32::try_from(time).ok()?.cast_unsigned()),
    };
    let tap = Tap { fcs, rssi_dbm, channel: None, lqi: Some(lqi) };
    Some(Heard { tap, psdu, count: Some(count), is_damaged: false })
}

/// How long a board is given after the port was opened.
const BOOT_NS: u64 = 500_000_000;

fn nordic(setup: &Setup) -> Script {
    let told = |command: String| Step::unanswered(command, PAUSE_NS);
    let start = |channel: u8| {
        ["sleep\r\n", "shell echo off\r\n", &format!("channel {channel}\r\n"), "receive\r\n"]
            .map(|command| told(command.to_owned()))
            .to_vec()
    };
    Script::new(Words {
        name: "the nRF Sniffer",
        boot_ns: BOOT_NS,
        steps: setup.channel.map(start).unwrap_or_default(),
        refusal: shell_refusal,
        stop: b"\r\nsleep\r\n".to_vec(),
    })
}

fn zephyr(setup: &Setup) -> Script {
    let start = |channel: u8| {
        vec![
            Step::answered("sniffer stop\r\n", ["\nstopped", "\nalready stopped"]),
            Step::answered(
                format!("sniffer channel {channel}\r\n"),
                [format!("\nchannel {channel}\r"), format!("\nchannel {channel}\n")],
            ),
            Step::answered("sniffer start\r\n", ["\nstarted", "\nalready started"]),
        ]
    };
    Script::new(Words {
        name: "the sniffer of Zephyr's samples",
        boot_ns: BOOT_NS,
        steps: setup.channel.map(start).unwrap_or_default(),
        refusal: shell_refusal,
        stop: b"sniffer stop\r\n".to_vec(),
    })
}
