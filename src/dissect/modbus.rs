//! Words for frames of Modbus RTU, behind the header that names Wireshark's dissector.
//!
//! Addresses of coils and registers are shown as people write them, counted from 1 and with their
//! kind in front: holding register 0 is 40001, holding register 9999 is 410000. Values are what
//! octets are: registers as unsigned numbers, coils as 0 and 1.

use super::Words;
use super::octets::Octets;
use crate::exported_pdu;
use crate::hex::unhex;
use crate::packet::Direction;
use std::fmt::Write as _;

/// Of a frame.
const CRC_LEN: usize = 2;
/// What marks the function of an exception.
const EXCEPTION: u8 = 0x80;
/// Values that are shown of one frame.
const MAX_VALUES: usize = 8;
/// What the one that asks is called; it has no address.
const MASTER: &str = "master";

/// Words for a frame, such as `readHoldingRegisters 40001 +10` from master to 1.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let (direction, frame) = exported_pdu::split(packet).unwrap_or_default();
    let &[unit, function, ref rest @ ..] = frame else {
        return Words::new("cut off in its header");
    };
    let data = rest.split_last_chunk::<CRC_LEN>().map(|(data, _)| data);
    unit_words(unit, function, data.filter(|_| intact), direction)
}

/// The same for a line of Modbus ASCII.
pub fn ascii_words(packet: &[u8], intact: bool) -> Words {
    let (direction, line) = exported_pdu::split(packet).unwrap_or_default();
    let digits = line.trim_ascii_end().get(1..).unwrap_or_default();
    // A line that was cut may end with half an octet.
    let octets = unhex(&digits[..digits.len() & !1]);
    let Some(&[unit, function, ref rest @ ..]) = octets.as_deref() else {
        return Words::new("cut off in its header");
    };
    let data = rest.split_last().map(|(_lrc, data)| data);
    unit_words(unit, function, data.filter(|_| intact), direction)
}

/// Words for a function of a unit, with its data if that can be trusted.
fn unit_words(unit: u8, function: u8, data: Option<&[u8]>, direction: Direction) -> Words {
    let name = name(function & !EXCEPTION);
    let said = data.and_then(|data| said(function, data, direction));
    let info = match said {
        Some(said) if !said.is_empty() => format!("{name} {said}"),
        None if function & EXCEPTION != 0 => format!("{name} exception"),
        _ => name,
    };
    let (unit, master) = (Some(unit.to_string()), Some(MASTER.to_owned()));
    let (source, destination) = match direction {
        Direction::Outbound => (master, unit),
        Direction::Inbound => (unit, master),
        Direction::Unknown => (None, unit),
    };
    Words { source, destination, info, is_routine: false }
}

/// What the specification calls a function.
fn name(function: u8) -> String {
    let name = match function {
        0x01 => "readCoils",
        0x02 => "readDiscreteInputs",
        0x03 => "readHoldingRegisters",
        0x04 => "readInputRegisters",
        0x05 => "writeSingleCoil",
        0x06 => "writeSingleRegister",
        0x07 => "readExceptionStatus",
        0x08 => "diagnostics",
        0x0b => "getCommEventCounter",
        0x0c => "getCommEventLog",
        0x0f => "writeMultipleCoils",
        0x10 => "writeMultipleRegisters",
        0x11 => "reportServerId",
        0x14 => "readFileRecord",
        0x15 => "writeFileRecord",
        0x16 => "maskWriteRegister",
        0x17 => "readWriteMultipleRegisters",
        0x18 => "readFifoQueue",
        0x2b => "encapsulatedInterface",
        65..=72 | 100..=110 => return format!("user function {function}"),
        _ => return format!("function {function}"),
    };
    name.to_owned()
}

/// What an exception code means.
fn exception(code: u8) -> String {
    let name = match code {
        1 => "illegal function",
        2 => "illegal data address",
        3 => "illegal data value",
        4 => "server device failure",
        5 => "acknowledge",
        6 => "server device busy",
        7 => "negative acknowledge",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "gateway target device failed to respond",
        _ => return format!("exception {code}"),
    };
    format!("exception: {name}")
}

/// What a frame says beside its function, if its data is as the specification has it.
fn said(function: u8, data: &[u8], direction: Direction) -> Option<String> {
    let mut octets = Octets(data);
    let is_request = direction != Direction::Inbound;
    let said = match function {
        EXCEPTION.. => exception(octets.octet()?),
        0x01..=0x04 if is_request => range(function, &mut octets)?,
        0x01 | 0x02 => bits(counted(&mut octets)?),
        0x03 | 0x04 | 0x17 if !is_request => registers(counted(&mut octets)?)?,
        0x05 => {
            let at = address(function, octets.u16()?);
            let value = match octets.u16()? {
                0xff00 => "on".to_owned(),
                0 => "off".to_owned(),
                value => value.to_string(),
            };
            format!("{at} = {value}")
        }
        0x06 => format!("{} = {}", address(function, octets.u16()?), octets.u16()?),
        0x0f | 0x10 if !is_request => range(function, &mut octets)?,
        0x0f => {
            let coils = data.get(2..4).map(|coils| u16::from_be_bytes([coils[0], coils[1]]))?;
            let range = range(function, &mut octets)?;
            let mut values = bits(counted(&mut octets)?);
            if usize::from(coils) <= MAX_VALUES * 8 {
                values.truncate(coils.into());
            }
            format!("{range} = {values}")
        }
        0x10 => {
            format!("{} = {}", range(function, &mut octets)?, registers(counted(&mut octets)?)?)
        }
        0x07 if !is_request => format!("{:#04x}", octets.octet()?),
        0x08 => format!("{} = {}", octets.u16()?, octets.u16()?),
        0x16 => {
            let at = address(function, octets.u16()?);
            format!("{at} and {:#06x} or {:#06x}", octets.u16()?, octets.u16()?)
        }
        0x17 => {
            let read = range(function, &mut octets)?;
            let write = range(function, &mut octets)?;
            format!("{read}, {write} = {}", registers(counted(&mut octets)?)?)
        }
        0x18 if is_request => address(0x03, octets.u16()?),
        _ => {
            octets.0 = &[];
            String::new()
        }
    };
    octets.0.is_empty().then_some(said)
}

/// Octets behind their number.
fn counted<'a>(octets: &mut Octets<'a>) -> Option<&'a [u8]> {
    let count = octets.octet()?;
    octets.take(count.into())
}

/// An address and a quantity, such as `40001 +10`.
fn range(function: u8, octets: &mut Octets<'_>) -> Option<String> {
    let at = address(function, octets.u16()?);
    Some(format!("{at} +{}", octets.u16()?))
}

/// A coil, input or register, as people write it.
fn address(function: u8, at: u16) -> String {
    let kind = match function {
        0x01 | 0x05 | 0x0f => 0,
        0x02 => 1,
        0x04 => 3,
        _ => 4,
    };
    format!("{kind}{:04}", u32::from(at) + 1)
}

/// The first of many values.
fn registers(octets: &[u8]) -> Option<String> {
    let (registers, []) = octets.as_chunks::<2>() else { return None };
    let mut text = String::new();
    for (number, register) in registers.iter().take(MAX_VALUES).enumerate() {
        let space = if number == 0 { "" } else { " " };
        let _ = write!(text, "{space}{}", u16::from_be_bytes(*register));
    }
    if registers.len() > MAX_VALUES {
        let _ = write!(text, " ... of {}", registers.len());
    }
    Some(text)
}

/// The same of coils, each a bit, the lowest first.
fn bits(octets: &[u8]) -> String {
    let shown = octets.iter().take(MAX_VALUES);
    let mut text: String = shown
        .flat_map(|octet| (0..8).map(move |bit| if octet >> bit & 1 == 1 { '1' } else { '0' }))
        .collect();
    if octets.len() > MAX_VALUES {
        let _ = write!(text, " ... of {}", octets.len() * 8);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    fn text(direction: Direction, frame: &[u8], intact: bool) -> String {
        let packet = [&Header::of("mbrtu").direction(direction).end()[..], frame].concat();
        let words = words(&packet, intact);
        format!("{} {}", words.addresses(), words.info)
    }

    /// What a request says, and its answer; the CRCs are of no interest here.
    fn both(request: &[u8], response: &[u8]) -> [String; 2] {
        let said = |direction, frame: &[u8], addresses: &str| {
            let text = text(direction, &[&[1], frame, &[0, 0]].concat(), true);
            text.strip_prefix(addresses).unwrap().to_owned()
        };
        [
            said(Direction::Outbound, request, "master > 1 "),
            said(Direction::Inbound, response, "1 > master "),
        ]
    }

    #[test]
    fn requests_and_answers_have_words() {
        let cases: [(&[u8], &[u8], [&str; 2]); 15] = [
            (
                &[1, 0, 2, 0, 10],
                &[1, 2, 0x05, 2],
                ["readCoils 00003 +10", "readCoils 1010000001000000"],
            ),
            (
                &[2, 0, 0, 0, 1],
                &[2, 1, 0],
                ["readDiscreteInputs 10001 +1", "readDiscreteInputs 00000000"],
            ),
            (
                &[3, 0, 0, 0, 10],
                &[3, 4, 0, 7, 1, 0],
                ["readHoldingRegisters 40001 +10", "readHoldingRegisters 7 256"],
            ),
            (
                &[4, 0x27, 0x0f, 0, 9],
                &[&[4, 18][..], &[0, 1].repeat(9)].concat(),
                ["readInputRegisters 310000 +9", "readInputRegisters 1 1 1 1 1 1 1 1 ... of 9"],
            ),
            (
                &[5, 0, 3, 0xff, 0],
                &[5, 0, 3, 0, 0],
                ["writeSingleCoil 00004 = on", "writeSingleCoil 00004 = off"],
            ),
            (
                &[6, 0, 1, 0, 0x55],
                &[6, 0, 1, 0, 0x55],
                ["writeSingleRegister 40002 = 85", "writeSingleRegister 40002 = 85"],
            ),
            (&[7], &[7, 0x6d], ["readExceptionStatus", "readExceptionStatus 0x6d"]),
            (
                &[8, 0, 0, 0xa5, 0x37],
                &[0x88, 1],
                ["diagnostics 0 = 42295", "diagnostics exception: illegal function"],
            ),
            (
                &[0x0f, 0, 2, 0, 3, 1, 5],
                &[0x0f, 0, 2, 0, 3],
                ["writeMultipleCoils 00003 +3 = 101", "writeMultipleCoils 00003 +3"],
            ),
            (
                &[0x10, 0, 1, 0, 1, 2, 0, 0xaa],
                &[0x10, 0, 1, 0, 1],
                ["writeMultipleRegisters 40002 +1 = 170", "writeMultipleRegisters 40002 +1"],
            ),
            (
                &[0x16, 0, 4, 0, 0xf2, 0, 0x25],
                &[0x96, 99],
                ["maskWriteRegister 40005 and 0x00f2 or 0x0025", "maskWriteRegister exception 99"],
            ),
            (
                &[0x17, 0, 3, 0, 6, 0, 14, 0, 1, 2, 0, 0xff],
                &[0x17, 2, 0, 9],
                [
                    "readWriteMultipleRegisters 40004 +6, 40015 +1 = 255",
                    "readWriteMultipleRegisters 9",
                ],
            ),
            (&[0x18, 4, 0xde], &[0x18, 0, 4, 0, 1, 1, 2], ["readFifoQueue 41247", "readFifoQueue"]),
            (
                &[0x2b, 14, 1, 0],
                &[0x2b, 14, 1, 1, 0, 0, 0],
                ["encapsulatedInterface", "encapsulatedInterface"],
            ),
            (
                &[0x41, 1, 2, 3],
                &[0xe3, 4],
                ["user function 65", "function 99 exception: server device failure"],
            ),
        ];
        for (request, response, expected) in cases {
            assert_eq!(both(request, response), expected);
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_damaged_or_of_another_length() {
        let read = [1, 3, 0, 0, 0, 10, 0, 0];
        assert_eq!(text(Direction::Outbound, &read, false), "master > 1 readHoldingRegisters");
        assert_eq!(text(Direction::Outbound, &read[..6], true), "master > 1 readHoldingRegisters");
        assert_eq!(text(Direction::Unknown, &read, true), "> 1 readHoldingRegisters 40001 +10");
        let refused = [1, 0x83, 2, 0, 0];
        let expected = "1 > master readHoldingRegisters exception";
        assert_eq!(text(Direction::Inbound, &refused, false), expected);
        assert_eq!(words(&[1, 3], true).info, "cut off in its header");
        assert_eq!(text(Direction::Inbound, &[1], true), " cut off in its header");
    }
}
