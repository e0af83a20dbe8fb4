//! Tagged values (ASHRAE 135, clause 20.2).
//!
//! ```text
//! number (4 bits, 15: in the next octet) | class (1) | length (3 bits, 5: in the next octets,
//! 6: opening, 7: closing)   content
//! ```

use super::super::octets::Octets;
use super::{hex, name};

pub(super) const TEXT: u8 = 7;
pub(super) const ENUMERATED: u8 = 9;
pub(super) const OBJECT: u8 = 12;
const BOOLEAN: u8 = 1;

/// Characters of a text, octets of a string, that a line shows.
const SHOWN: usize = 40;

/// What a tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A value of this type (clause 20.2.1.4). That of a boolean is in its tag, and here its
    /// content.
    Application(u8, &'a [u8]),
    /// A value whose type its service knows.
    Context(u8, &'a [u8]),
    /// What follows belongs to this tag.
    Open(u8),
    /// And here it ends.
    Close(u8),
}

/// The tags of a message, as far as they are whole.
#[derive(Clone, Copy)]
pub(super) struct Items<'a>(Octets<'a>);

impl<'a> Items<'a> {
    pub(super) fn of(octets: Octets<'a>) -> Self {
        Self(octets)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let rest = &mut self.0;
        let first = rest.octet()?;
        let number = match first >> 4 {
            15 => rest.octet()?,
            number => number,
        };
        let is_context = first & 8 != 0;
        let length = match first & 7 {
            6 if is_context => return Some(Item::Open(number)),
            7 if is_context => return Some(Item::Close(number)),
            0 if !is_context && number == BOOLEAN => {
                return Some(Item::Application(number, &[0]));
            }
            1 if !is_context && number == BOOLEAN => {
                return Some(Item::Application(number, &[1]));
            }
            5 => match rest.octet()? {
                254 => rest.u16()?.into(),
                255 => unsigned(rest.take(4)?) as usize,
                length => length.into(),
            },
            length => length.into(),
        };
        let octets = rest.take(length)?;
        Some(if is_context {
            Item::Context(number, octets)
        } else {
            Item::Application(number, octets)
        })
    }
}

/// An unsigned number of up to four octets; of a longer one the lowest.
pub(super) fn unsigned(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet))
}

/// A text in quotes, without what a terminal would take for a command.
pub(super) fn text(octets: &[u8]) -> String {
    const UTF_8: u8 = 0;
    match octets.split_first() {
        Some((&UTF_8, text)) => {
            let text = String::from_utf8_lossy(text);
            let shown: String = text.chars().take(SHOWN).collect();
            format!("{shown:?}")
        }
        Some((_, text)) => hex(&text[..text.len().min(SHOWN)]),
        None => "\"\"".to_owned(),
    }
}

/// A value of an application type.
pub(super) fn value(kind: u8, octets: &[u8]) -> String {
    match (kind, octets.len()) {
        (0, _) => "null".to_owned(),
        (BOOLEAN, _) => (unsigned(octets) != 0).to_string(),
        (2 | ENUMERATED, 1..=4) => unsigned(octets).to_string(),
        (3, 1..=4) => {
            let unused = 32 - 8 * octets.len() as u32;
            ((unsigned(octets) << unused).cast_signed() >> unused).to_string()
        }
        (4, 4) => f32::from_bits(unsigned(octets)).to_string(),
        (5, 8) => {
            let bits = u64::from(unsigned(&octets[..4])) << 32 | u64::from(unsigned(&octets[4..]));
            f64::from_bits(bits).to_string()
        }
        (TEXT, _) => text(octets),
        (8, 2..) => bits(octets),
        (10, 4) => date(octets),
        (11, 4) => {
            let [hour, minute, second, hundredth] = [0, 1, 2, 3].map(|at| any(octets[at]));
            format!("{hour}:{minute}:{second}.{hundredth}")
        }
        (OBJECT, 4) => name::object(octets),
        _ => hex(&octets[..octets.len().min(SHOWN)]),
    }
}

/// A bit string: the number of unused bits, then the bits, the first one highest.
fn bits(octets: &[u8]) -> String {
    let (unused, octets) = (usize::from(octets[0] & 7), &octets[1..]);
    let bits: String = octets.iter().take(8).map(|octet| format!("{octet:08b}")).collect();
    bits[..bits.len() - unused].to_owned()
}

/// Year since 1900, month, day, day of the week.
fn date(octets: &[u8]) -> String {
    let year = match octets[0] {
        255 => "*".to_owned(),
        year => (1900 + u16::from(year)).to_string(),
    };
    format!("{year}-{}-{}", any(octets[1]), any(octets[2]))
}

/// Two digits, or any.
fn any(number: u8) -> String {
    if number == 255 { "*".to_owned() } else { format!("{number:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_all_lengths() {
        let long = [&[0x75, 254, 1, 0][..], &[b'a'; 256]].concat();
        let octets = [&[0x21, 7, 0x1e, 0xf9, 20, 3, 0x1f, 0x11][..], &long].concat();
        let items: Vec<_> = Items::of(Octets(&octets)).collect();
        let expected = [
            Item::Application(2, &[7]),
            Item::Open(1),
            Item::Context(20, &[3]),
            Item::Close(1),
            Item::Application(BOOLEAN, &[1]),
            Item::Application(TEXT, &[b'a'; 256]),
        ];
        assert_eq!(items, expected);
        assert_eq!(Items::of(Octets(&[0x25, 9, 1])).count(), 0, "cut off");
    }

    #[test]
    fn values_of_all_types() {
        for (kind, octets, text) in [
            (0, &[][..], "null"),
            (1, &[1], "true"),
            (2, &[1, 0], "256"),
            (3, &[0xff], "-1"),
            (3, &[0xff, 0x7f], "-129"),
            (4, &[0x41, 0xac, 0, 0], "21.5"),
            (5, &[0x40, 0x35, 0x80, 0, 0, 0, 0, 0], "21.5"),
            (6, &[1, 0xab], "01ab"),
            (7, b"\0Zone \x1b[2J", "\"Zone \\u{1b}[2J\""),
            (7, &[4, 0, 0x5a], "005a"),
            (7, &[], "\"\""),
            (8, &[4, 0b0100_0000], "0100"),
            (9, &[3], "3"),
            (10, &[126, 11, 27, 5], "2026-11-27"),
            (10, &[255, 255, 1, 255], "*-*-01"),
            (11, &[19, 5, 0, 255], "19:05:00.*"),
            (12, &[0x02, 0, 0, 9], "device 9"),
            (12, &[1], "01"),
            (4, &[1], "01"),
        ] {
            assert_eq!(value(kind, octets), text, "{kind} {octets:?}");
        }
    }
}
