//! A line of text for each packet, as tcpdump and tshark have it:
//!
//! ```text
//! 14:02:07.123456   5 > 16  readProperty AI 1 present-value, length 21
//! ```

use super::{Encode, Interface, Record};
use crate::dissect::Words;
use crate::packet::{Damage, Packet};
use crate::time::Timestamp;
use chrono::{Local, TimeZone as _};
use std::fmt::Write as _;
use std::io;

/// How times are shown; tcpdump's choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeStyle {
    /// Local time of day.
    #[default]
    TimeOfDay,
    /// Not at all (`-t`).
    None,
    /// Seconds since 1970 (`-tt`).
    Epoch,
    /// Since the line before (`-ttt`).
    SincePrevious,
    /// Local date and time of day (`-tttt`).
    Date,
    /// Since the first line (`-ttttt`).
    SinceFirst,
}

/// What lines of text look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// How times are shown.
    pub time: TimeStyle,
    /// Whether the octets follow in hex.
    pub hex: bool,
    /// Whether the terminal is told colours.
    pub colour: bool,
    /// Whether packets that only keep the network going are left out.
    pub hide_routine: bool,
}

/// Makes the lines of one stream.
#[derive(Debug)]
pub(super) struct Lines {
    style: Style,
    first: Option<Timestamp>,
    previous: Option<Timestamp>,
    /// Columns that sources and destinations take: as many as the widest so far.
    widths: [usize; 2],
}

const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
/// Columns of the widest address of MS/TP.
const WIDTH: usize = 3;
/// Octets in a line of hex.
const HEX_LINE: usize = 16;

impl Encode for Lines {
    /// None.
    fn header(&mut self, _: &[Interface], _: &mut Vec<u8>) -> io::Result<()> {
        Ok(())
    }

    /// The lines of a packet; of several ports they name its own.
    fn packet(&mut self, record: &Record<'_>, out: &mut Vec<u8>) -> io::Result<()> {
        let Record { packet, dated, interface, several_ports, .. } = *record;
        let words = (interface.protocol.dissector)(packet.data, packet.damage.is_none());
        if self.style.hide_routine && words.is_routine {
            return Ok(());
        }
        let mut line = self.time(dated.time);
        if several_ports {
            let _ = write!(line, "{} ", interface.name);
        }
        line.push_str(&self.addresses(&words));
        let _ = write!(line, " {}", words.info);
        let _ = write!(line, ", length {}", packet.data.len());
        if !packet.damage.is_none() {
            let _ = write!(line, " [{}{}]", packet.damage, cut(packet));
        }
        let colour = match (packet.damage, words.is_routine) {
            _ if !self.style.colour => "",
            (Damage::NONE, false) => "",
            (Damage::NONE, true) => DIM,
            _ => RED,
        };
        let plain = if colour.is_empty() { "" } else { PLAIN };
        out.extend_from_slice(format!("{colour}{line}{plain}\n").as_bytes());
        if self.style.hex {
            hex(packet.data, out);
        }
        Ok(())
    }
}

impl Lines {
    pub(super) fn new(style: Style) -> Self {
        Self { style, first: None, previous: None, widths: [WIDTH; 2] }
    }

    /// The addresses of a packet, below those of the line before.
    fn addresses(&mut self, words: &Words) -> String {
        let part = |address: &Option<String>| address.clone().unwrap_or_default();
        let (source, destination) = (part(&words.source), part(&words.destination));
        let mark = if destination.is_empty() { ' ' } else { '>' };
        let [left, right] = &mut self.widths;
        *left = source.len().max(*left);
        *right = destination.len().max(*right);
        format!("{source:>0$} {mark} {destination:<1$}", *left, *right)
    }

    /// The time in front of a line, with a space behind it.
    fn time(&mut self, time: Timestamp) -> String {
        let first = *self.first.get_or_insert(time);
        let previous = self.previous.replace(time).unwrap_or(time);
        let local = || Local.timestamp_nanos(time.as_ns().cast_signed());
        let since = |earlier: Timestamp| {
            let us = time.ns_since(earlier) / 1000;
            let seconds = us / 1_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            format!(" {hours:02}:{minutes:02}:{:02}.{:06} ", seconds % 60, us % 1_000_000)
        };
        match self.style.time {
            TimeStyle::TimeOfDay => local().format("%H:%M:%S%.6f ").to_string(),
            TimeStyle::None => String::new(),
            TimeStyle::Epoch => {
                let us = time.as_ns() / 1000;
                format!("{}.{:06} ", us / 1_000_000, us % 1_000_000)
            }
            TimeStyle::SincePrevious => since(previous),
            TimeStyle::Date => local().format("%Y-%m-%d %H:%M:%S%.6f ").to_string(),
            TimeStyle::SinceFirst => since(first),
        }
    }
}

/// How much of a packet is there, if not all.
fn cut(packet: &Packet<'_>) -> String {
    if packet.original_len as usize > packet.data.len() {
        format!(", {} of {} bytes", packet.data.len(), packet.original_len)
    } else {
        String::new()
    }
}

/// As tcpdump's `-x`.
fn hex(octets: &[u8], out: &mut Vec<u8>) {
    for (number, row) in octets.chunks(HEX_LINE).enumerate() {
        let mut line = format!("\t0x{:04x}: ", number * HEX_LINE);
        for pair in row.chunks(2) {
            line.push(' ');
            for octet in pair {
                let _ = write!(line, "{octet:02x}");
            }
        }
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TOKEN, interfaces, packet, record};
    use super::*;

    const READ: [u8; 21] =
        [0x55, 0xff, 5, 0x10, 5, 0, 11, 0, 1, 4, 0, 5, 1, 0x0c, 0x0c, 0, 0, 0, 1, 0x19, 0x55];

    fn lines(style: Style, packets: &[Packet<'_>]) -> String {
        let mut lines = Lines::new(style);
        let mut out = Vec::new();
        for packet in packets {
            lines.packet(&record(packet, &interfaces()[0]), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    const NO_TIME: Style =
        Style { time: TimeStyle::None, hex: false, colour: false, hide_routine: false };

    #[test]
    fn a_line_says_who_speaks_what_is_said_how_long_it_is_and_what_is_wrong() {
        let read = [&READ[..], &[0, 0]].concat();
        let bad = Packet { damage: Damage::CRC_ERROR, ..packet(&read) };
        let cut = Packet { damage: Damage::TOO_SHORT, original_len: 8, ..packet(&TOKEN[..6]) };
        assert_eq!(
            lines(NO_TIME, &[packet(&TOKEN), packet(&read), bad, cut]),
            "  5 > 16  Token, length 8\n  \
               5 > 16  readProperty AI 1 present-value, length 23\n  \
               5 > 16  BACnet Data Expecting Reply, length 23 [CRC error]\n  \
               5 > 16  Token, length 6 [too short, 6 of 8 bytes]\n"
        );
    }

    #[test]
    fn hex_is_that_of_tcpdump() {
        let style = Style { hex: true, ..NO_TIME };
        let text = lines(style, &[packet(&READ)]);
        let (_, hex) = text.split_once('\n').unwrap();
        assert_eq!(
            hex,
            "\t0x0000:  55ff 0510 0500 0b00 0104 0005 010c 0c00\n\t0x0010:  0000 0119 55\n"
        );
    }

    #[test]
    fn times_have_the_styles_of_tcpdump() {
        let at = |ns| Packet { time: Timestamp::from_ns(ns), ..packet(&TOKEN) };
        let packets = [at(1_700_000_000_000_001_000), at(1_700_003_661_500_001_999)];
        let times = |time| {
            let text = lines(Style { time, ..NO_TIME }, &packets);
            text.lines().map(|line| line.split("   5 >").next().unwrap().to_owned()).collect()
        };
        let expected: [(_, Vec<&str>); 3] = [
            (TimeStyle::Epoch, vec!["1700000000.000001", "1700003661.500001"]),
            (TimeStyle::SincePrevious, vec![" 00:00:00.000000", " 01:01:01.500000"]),
            (TimeStyle::SinceFirst, vec![" 00:00:00.000000", " 01:01:01.500000"]),
        ];
        for (style, expected) in expected {
            let times: Vec<String> = times(style);
            assert_eq!(times, expected);
        }
        let date: Vec<String> = times(TimeStyle::Date);
        assert_eq!(date[0].len(), "2023-11-14 22:13:20.000001".len());
        let time: Vec<String> = times(TimeStyle::TimeOfDay);
        assert!(date[0].ends_with(&time[0]) && time[0].ends_with(".000001"));
    }

    #[test]
    fn tokens_can_be_left_out_but_no_damaged_one() {
        let style = Style { hide_routine: true, ..NO_TIME };
        let bad = Packet { damage: Damage::CRC_ERROR, ..packet(&TOKEN) };
        assert_eq!(lines(style, &[packet(&TOKEN), bad]), "  5 > 16  Token, length 8 [CRC error]\n");
    }

    #[test]
    fn colours_mark_damage_and_routine() {
        let style = Style { colour: true, ..NO_TIME };
        let bad = Packet { damage: Damage::CRC_ERROR, ..packet(&TOKEN) };
        let text = lines(style, &[packet(&TOKEN), packet(&READ), bad]);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with(DIM) && lines[0].ends_with(PLAIN), "{text}");
        assert!(!lines[1].contains('\x1b'), "{text}");
        assert!(lines[2].starts_with(RED) && lines[2].ends_with(PLAIN), "{text}");
    }

    #[test]
    fn of_several_ports_a_line_names_its_own() {
        let mut out = Vec::new();
        let interface = Interface { name: "/dev/ttyUSB1".into(), ..interfaces()[0].clone() };
        let token = packet(&TOKEN);
        let record = Record { several_ports: true, ..record(&token, &interface) };
        Lines::new(NO_TIME).packet(&record, &mut out).unwrap();
        assert_eq!(out, b"/dev/ttyUSB1   5 > 16  Token, length 8\n");
    }
}
