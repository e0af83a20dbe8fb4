//! Words for BACnet network messages (ASHRAE 135): the NPDU of clause 6, and in it the APDU of
//! clauses 20 and 21. Names are the standard's; the common objects have the short ones that are
//! in use (`AI 1`).
//!
//! A line has room for the first object, its first property and that one's value; of further
//! properties it tells how many they are.

mod name;
mod tag;

use super::octets::Octets;
use name::Names;
use std::fmt::Write as _;
use tag::{Item, Items};

/// Words for a network message; `None` if it is none, or ends before it says what it is.
pub fn words(npdu: &[u8]) -> Option<String> {
    const VERSION: u8 = 1;
    let mut rest = Octets(npdu);
    if rest.octet()? != VERSION {
        return None;
    }
    let control = rest.octet()?;
    let has = |bit: u8| control & 1 << bit != 0;
    let to = if has(5) { Some(far_address(&mut rest)?) } else { None };
    let from = if has(3) { Some(far_address(&mut rest)?) } else { None };
    if to.is_some() {
        rest.octet()?; // hop count
    }
    let mut text = if has(7) { network_message(&mut rest)? } else { apdu(rest)? };
    let everywhere = |address: &(u16, &[u8])| address.0 == 0xffff;
    for (word, address) in [("from", from), ("to", to.filter(|to| !everywhere(to)))] {
        if let Some((network, address)) = address {
            let _ = write!(text, ", {word} network {network}");
            if !address.is_empty() {
                let _ = write!(text, " address {}", hex(address));
            }
        }
    }
    Some(text)
}

/// Network and address of somebody behind a router.
fn far_address<'a>(rest: &mut Octets<'a>) -> Option<(u16, &'a [u8])> {
    let network = rest.u16()?;
    let len = rest.octet()?;
    Some((network, rest.take(len.into())?))
}

/// Clause 6.4.
fn network_message(rest: &mut Octets<'_>) -> Option<String> {
    let message = rest.octet()?;
    let name = match message {
        0 => "Who-Is-Router-To-Network",
        1 => "I-Am-Router-To-Network",
        2 => "I-Could-Be-Router-To-Network",
        3 => "Reject-Message-To-Network",
        4 => "Router-Busy-To-Network",
        5 => "Router-Available-To-Network",
        6 => "Initialize-Routing-Table",
        7 => "Initialize-Routing-Table-Ack",
        8 => "Establish-Connection-To-Network",
        9 => "Disconnect-Connection-To-Network",
        18 => "What-Is-Network-Number",
        19 => "Network-Number-Is",
        _ => return Some(format!("network message {message}")),
    };
    let mut text = name.to_owned();
    if message <= 5 || message == 19 {
        if message == 3 {
            let reason = rest.octet()?;
            let _ = write!(text, " reason {reason}");
        }
        while let Some(network) = rest.u16() {
            let _ = write!(text, " {network}");
            if message == 19 {
                break;
            }
        }
    }
    Some(text)
}

/// Clause 20.1.
fn apdu(mut rest: Octets<'_>) -> Option<String> {
    const SEGMENTED: u8 = 8;
    let first = rest.octet()?;
    let confirmed = |service: u8| Names::CONFIRMED.get(service.into());
    Some(match first >> 4 {
        0 => {
            rest.take(2)?; // greatest answer, invoke ID
            let segment = segment(&mut rest, first & SEGMENTED != 0)?;
            let service = rest.octet()?;
            said(&confirmed(service), segment, || confirmed_request(service, rest))
        }
        1 => {
            let service = rest.octet()?;
            let name = Names::UNCONFIRMED.get(service.into());
            said(&name, None, || unconfirmed_request(service, rest))
        }
        2 => {
            rest.octet()?; // invoke ID
            format!("{} ack", confirmed(rest.octet()?))
        }
        3 => {
            rest.octet()?;
            let segment = segment(&mut rest, first & SEGMENTED != 0)?;
            let service = rest.octet()?;
            let name = format!("{} ack", confirmed(service));
            said(&name, segment, || answer(service, rest))
        }
        4 => {
            rest.octet()?;
            let negative = if first & 2 != 0 { "negative " } else { "" };
            format!("{negative}segment ack {}", rest.octet()?)
        }
        5 => {
            rest.octet()?;
            let name = confirmed(rest.octet()?);
            match errors(rest) {
                Some(error) => format!("{name} error {error}"),
                None => format!("{name} error"),
            }
        }
        6 => {
            rest.octet()?;
            format!("reject {}", Names::REJECTS.get(rest.octet()?.into()))
        }
        7 => {
            rest.octet()?;
            format!("abort {}", Names::ABORTS.get(rest.octet()?.into()))
        }
        other => format!("APDU of type {other}"),
    })
}

/// The number of a segment, counted from 0, and whether it is one: outer `None` if cut off.
fn segment(rest: &mut Octets<'_>, is_segmented: bool) -> Option<Option<u8>> {
    if !is_segmented {
        return Some(None);
    }
    let number = rest.octet()?;
    rest.octet()?; // window
    Some(Some(number))
}

/// A service's name and what is asked or answered; of a message in several segments only the
/// first begins with that.
fn said(name: &str, segment: Option<u8>, arguments: impl FnOnce() -> String) -> String {
    let arguments = if segment.is_none_or(|number| number == 0) { arguments() } else { "".into() };
    let part = segment.map(|number| format!("segment {number}"));
    let parts = [Some(name.to_owned()), part, Some(arguments)];
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Which context tags of a service carry what.
#[derive(Clone, Copy)]
struct Layout {
    object: u8,
    /// The tag around a list of properties; without it there is one, beside the object.
    list: Option<u8>,
    property: u8,
    index: u8,
    value: u8,
}

/// A tag that nothing has.
const NONE: u8 = u8::MAX;
const ONE: Layout = Layout { object: 0, list: None, property: 1, index: 2, value: 3 };
const MANY: Layout = Layout { object: 0, list: Some(1), property: 0, index: 1, value: 2 };
const MANY_ANSWERED: Layout = Layout { object: 0, list: Some(1), property: 2, index: 3, value: 4 };
const CHANGED: Layout = Layout { object: 2, list: Some(4), property: 0, index: 1, value: 2 };
const EVENT: Layout = Layout { object: 2, list: None, property: NONE, index: NONE, value: NONE };
const SUBSCRIBED: Layout = Layout { object: 1, list: Some(4), property: 0, index: 1, value: NONE };

/// Clauses 13 to 18.
fn confirmed_request(service: u8, arguments: Octets<'_>) -> String {
    match service {
        1 => properties(CHANGED, arguments),
        2 => properties(EVENT, arguments),
        5 | 28 => properties(SUBSCRIBED, arguments),
        8 | 9 | 12 | 15 | 26 => properties(ONE, arguments),
        14 | 16 => properties(MANY, arguments),
        6 | 7 | 11 => first_objects(arguments),
        _ => String::new(),
    }
}

fn answer(service: u8, arguments: Octets<'_>) -> String {
    match service {
        12 | 26 => properties(ONE, arguments),
        14 => properties(MANY_ANSWERED, arguments),
        10 => first_objects(arguments),
        _ => String::new(),
    }
}

fn unconfirmed_request(service: u8, arguments: Octets<'_>) -> String {
    match service {
        0 | 1 => first_objects(arguments),
        2 => properties(CHANGED, arguments),
        3 => properties(EVENT, arguments),
        7 => who_has(arguments),
        8 => range(arguments),
        _ => String::new(),
    }
}

/// What a service says of objects, as far as a line has room for it.
#[derive(Default)]
struct Said {
    object: String,
    property: String,
    value: String,
    has_more_values: bool,
    properties: u32,
}

/// Object, property and value, such as `AI 1 present-value 21.5`.
fn properties(layout: Layout, arguments: Octets<'_>) -> String {
    let mut said = Said::default();
    let mut open: Vec<u8> = Vec::new();
    let list = layout.list.as_slice();
    for item in Items::of(arguments) {
        match item {
            Item::Open(tag) => open.push(tag),
            Item::Close(_) => drop(open.pop()),
            Item::Context(tag, octets)
                if open.is_empty() && tag == layout.object && said.object.is_empty() =>
            {
                said.object = name::object(octets);
            }
            Item::Context(tag, octets) if open == list && tag == layout.property => {
                said.properties += 1;
                if said.properties == 1 {
                    said.property = Names::PROPERTIES.get(tag::unsigned(octets));
                }
            }
            // Of further properties there is only their number.
            _ if said.properties != 1 => {}
            Item::Context(tag, octets) if open == list && tag == layout.index => {
                let _ = write!(said.property, "[{}]", tag::unsigned(octets));
            }
            Item::Application(kind, octets) if open.split_last() == Some((&layout.value, list)) => {
                said.has_more_values = !said.value.is_empty();
                if said.value.is_empty() {
                    said.value = tag::value(kind, octets);
                }
            }
            _ => {}
        }
    }
    let mut text = [said.object, said.property, said.value].join(" ").trim_end().to_owned();
    if said.has_more_values {
        text += " ...";
    }
    if said.properties > 1 {
        let _ = write!(text, " +{}", said.properties - 1);
    }
    text
}

/// The objects, and the name, that a service without tags of its own begins with.
fn first_objects(arguments: Octets<'_>) -> String {
    let known = |item: Item<'_>| match item {
        Item::Application(kind @ (tag::OBJECT | tag::TEXT), octets) => {
            Some(tag::value(kind, octets))
        }
        _ => None,
    };
    Items::of(arguments).filter_map(known).take(3).collect::<Vec<_>>().join(" ")
}

/// Which devices are asked: none means all.
fn range(arguments: Octets<'_>) -> String {
    let mut limits = [None, None];
    for item in Items::of(arguments) {
        if let Item::Context(tag, octets) = item
            && let Some(limit) = limits.get_mut(usize::from(tag))
        {
            *limit = Some(tag::unsigned(octets));
        }
    }
    match limits {
        [Some(low), Some(high)] if low == high => low.to_string(),
        [Some(low), Some(high)] => format!("{low}-{high}"),
        _ => String::new(),
    }
}

fn who_has(arguments: Octets<'_>) -> String {
    let asked = Items::of(arguments).find_map(|item| match item {
        Item::Context(2, octets) => Some(name::object(octets)),
        Item::Context(3, octets) => Some(tag::text(octets)),
        _ => None,
    });
    [asked.unwrap_or_default(), range(arguments)].join(" ").trim_end().to_owned()
}

/// Error class and code are the first two enumerated values, in a list of their own or not. The
/// code says it all.
fn errors(arguments: Octets<'_>) -> Option<String> {
    let code = Items::of(arguments)
        .filter_map(|item| match item {
            Item::Application(tag::ENUMERATED, octets) => Some(tag::unsigned(octets)),
            _ => None,
        })
        .nth(1)?;
    Some(Names::ERRORS.get(code))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(hex: &str) -> Option<String> {
        let hex: String = hex.chars().filter(char::is_ascii_hexdigit).collect();
        let octets: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        words(&octets)
    }

    #[test]
    fn services_with_their_objects() {
        for (octets, text) in [
            ("0104 0005010c 0c00000001 1955", "readProperty AI 1 present-value"),
            ("0104 0005010c 0c00000001 1957 2908", "readProperty AI 1 priority-array[8]"),
            (
                "0100 30010c 0c00000001 1955 3e 4441ac0000 3f",
                "readProperty ack AI 1 present-value 21.5",
            ),
            (
                "0100 30010c 0c02000001 194c 3e c400000001 c400000002 3f",
                "readProperty ack device 1 object-list AI 1 ...",
            ),
            (
                "0104 0005010e 0c00000001 1e 0955 0975 094d 1f",
                "readPropertyMultiple AI 1 present-value +2",
            ),
            (
                "0100 30010e 0c00000001 1e 2955 4e 4441ac0000 4f 2975 4e 913e 4f 1f",
                "readPropertyMultiple ack AI 1 present-value 21.5 +1",
            ),
            (
                "0104 0005010f 0c00800001 1955 3e 4441b00000 3f 4908",
                "writeProperty AV 1 present-value 22",
            ),
            (
                "0104 0005010f 0c00c00001 1955 3e 00 3f 4908",
                "writeProperty BI 1 present-value null",
            ),
            ("0100 20010f", "writeProperty ack"),
            (
                "0100 1002 0907 1c02000001 2c00000001 3900 4e 0955 2e 4441ac0000 2f 096f 2e 820400 2f 4f",
                "unconfirmedCOVNotification AI 1 present-value 21.5 +1",
            ),
            ("0104 00050105 0901 1c00000001 2901 3a012c", "subscribeCOV AI 1"),
            ("0120 ffff00 ff 1008", "who-Is"),
            ("0120 ffff00 ff 1008 0b03f9a1 1b03f9a1", "who-Is 260513"),
            ("0120 ffff00 ff 1008 0900 1a01f4", "who-Is 0-500"),
            ("0100 1000 c4020003ec 2205c4 9103 22022b", "i-Am device 1004"),
            ("0100 1007 2c00000001", "who-Has AI 1"),
            ("0100 1007 3b005a54", "who-Has \"ZT\""),
            ("0100 50010c 9101 911f", "readProperty error unknown-object"),
            ("0100 6001 09", "reject unrecognized-service"),
            ("0100 7101 04", "abort segmentation-not-supported"),
            ("0104 0c05010310 10", "writePropertyMultiple segment 3"),
            ("0100 40010304", "segment ack 3"),
            ("0180 00 0005", "Who-Is-Router-To-Network 5"),
            ("0180 03 01 0005", "Reject-Message-To-Network reason 1 5"),
            ("0108 0005 01 0a 1008", "who-Is, from network 5 address 0a"),
            ("0120 0005 02 0a0b ff 1008", "who-Is, to network 5 address 0a0b"),
        ] {
            assert_eq!(said(octets).as_deref(), Some(text), "{octets}");
        }
    }

    #[test]
    fn what_is_no_message_or_ends_too_early_has_no_words() {
        for octets in ["", "01", "0204", "0100", "0104 0005", "0120 ff", "0104 0005010c"] {
            let words = said(octets);
            assert!(words.is_none() || octets == "0104 0005010c", "{octets}: {words:?}");
        }
        assert_eq!(said("0104 0005010c").as_deref(), Some("readProperty"));
    }
}
