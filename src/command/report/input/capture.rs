//! A capture: packets of one line in a pcap or pcapng, from a file or from a store.

use super::{Heard, Kind, Opened};
#[cfg(all(target_os = "linux", feature = "nats"))]
use super::{no_packets, typed};
use crate::analysis::Record;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::cli::ReportArgs;
use crate::decode::{Interface, Problem, Reader, Recorded};
use crate::error::Error;
use crate::exported_pdu;
use crate::framing::{PROTOCOLS, Protocol};
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::query::Query;
use crate::nats::query::{Place, Range};
use crate::packet::LinkType;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::source;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::source::nats::Past;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::time::MonoClock;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::io::Read;

/// Link-layer errors among pcapng's flags of a packet.
const ERROR_FLAGS: u32 = 0xffff_0000;

/// What was read of a capture to see what it is.
#[derive(Default)]
pub(in super::super) struct Begin {
    /// The first packet of a line.
    first: Option<Kept>,
    /// Packets up to it.
    packets: u64,
    /// Packets before it, by their link types.
    pub(super) others: BTreeMap<u16, u64>,
    /// What is wrong before there was one.
    problem: Option<Problem>,
}

/// A packet that is kept while its file is not read on.
struct Kept {
    packet: Recorded<'static>,
    octets: Vec<u8>,
    comment: Option<String>,
}

impl Kept {
    fn new(packet: &Recorded<'_>) -> Self {
        Self {
            octets: packet.octets.to_vec(),
            comment: packet.comment.map(str::to_owned),
            packet: Recorded { octets: &[], comment: None, ..*packet },
        }
    }

    fn packet(&self) -> Recorded<'_> {
        Recorded { octets: &self.octets, comment: self.comment.as_deref(), ..self.packet }
    }
}

/// What a NATS server keeps of a trunk.
#[cfg(all(target_os = "linux", feature = "nats"))]
pub(super) fn open_stored(query: &Query, args: &ReportArgs) -> Result<Opened, Error> {
    let Past { name, interface, input } = source::nats::read(query, MonoClock::start())?;
    let protocol = source::nats::protocol_of(&interface, typed(args)?).ok_or_else(|| {
        let what =
            format!("has packets of link type {}, not of a serial line", interface.link_type);
        Error::new(&name, what)
    })?;
    let baud = interface.speed.and_then(|baud| u32::try_from(baud).ok());
    let reader = Reader::new(input).map_err(|problem| match problem {
        Problem::NoCapture => no_packets(&name),
        problem => Error::new(&name, problem),
    })?;
    let kind = Kind::Capture { reader, begin: Begin::default() };
    let begins = query.range.from.unwrap_or_default();
    let remarks = Vec::new();
    Ok(Opened {
        name,
        protocol,
        baud,
        is_told: true,
        kind,
        is_senseless: false,
        range: Some(query.range),
        begins,
        remarks,
    })
}

/// Reads a capture up to the first packet of a line.
pub(super) fn open(
    name: String,
    input: impl Read + 'static,
    typed: Option<&'static Protocol>,
) -> Result<Opened, Error> {
    let refused = |problem: Problem| {
        Error::new(&name, problem)
            .hint("name a capture (pcap, pcapng), a recording, or bytes of a line")
    };
    let mut reader = Reader::new(input).map_err(refused)?;
    let mut begin = Begin::default();
    let protocol = find_first(&mut reader, &mut begin, typed);
    let link_types: Vec<_> = reader.interfaces().iter().map(|one| one.link_type).collect();
    // Without packets it is what the file says, or nothing.
    let mut interfaces = reader.interfaces().iter().filter(|_| begin.packets == 0);
    let of_interface = interfaces.find_map(|of| protocol_of(of, typed, None));
    let nothing = link_types.is_empty().then_some((PROTOCOLS[0], false));
    let Some((protocol, is_told)) = protocol.or(of_interface).or(nothing) else {
        let types: Vec<_> = link_types.iter().map(ToString::to_string).collect();
        return Err(Error::new(
            &name,
            format!("is a capture of link type {}, not of a line that is known", types.join(", ")),
        )
        .hint(
            "serialshark reads MS/TP (165), Modbus (252) and IEEE 802.15.4 (195, 283); of others name \
             the protocol: -p",
        ));
    };
    let first = begin.first.as_ref().map(|kept| kept.packet);
    let begins = first.map_or(Timestamp::MAX, |packet| packet.time.unwrap_or_default());
    let described = first.and_then(|packet| reader.interfaces().get(packet.interface as usize));
    let speed = described.or(reader.interfaces().first()).and_then(|one| one.speed);
    let baud = speed.and_then(|baud| u32::try_from(baud).ok()).filter(|baud| *baud > 0);
    let kind = Kind::Capture { reader, begin };
    Ok(Opened {
        name,
        protocol,
        is_told,
        baud,
        kind,
        is_senseless: false,
        range: None,
        begins,
        remarks: Vec::new(),
    })
}

/// Reads up to the first packet of a line, and says of which protocol that is, and whether somebody said so.
fn find_first(
    reader: &mut Reader,
    begin: &mut Begin,
    typed: Option<&'static Protocol>,
) -> Option<(&'static Protocol, bool)> {
    loop {
        let packet = match reader.next_packet() {
            Ok(packet) => packet?,
            Err(problem) => {
                begin.problem = Some(problem);
                return None;
            }
        };
        begin.packets += 1;
        let kept = Kept::new(&packet);
        let of = reader.interfaces().get(kept.packet.interface as usize);
        let protocol = of.and_then(|of| protocol_of(of, typed, Some(&kept.octets)));
        if protocol.is_some() {
            begin.first = Some(kept);
            return protocol;
        }
        *begin.others.entry(kept.packet.link_type).or_default() += 1;
    }
}

/// The protocol of the packets of an interface, and whether the user or the file names it: else it is the
/// first one with their link type. A link type that many share needs a packet that says which it is.
fn protocol_of(
    of: &Interface,
    typed: Option<&'static Protocol>,
    packet: Option<&[u8]>,
) -> Option<(&'static Protocol, bool)> {
    let fits = |protocol: &&Protocol| protocol.link_type.0 == of.link_type;
    let described = of.description.as_deref().and_then(|said| {
        let is_it = |protocol: &&Protocol| said.starts_with(&format!("{}, ", protocol.help));
        PROTOCOLS.into_iter().filter(fits).find(is_it)
    });
    if let Some(named) = typed.filter(fits).or(described) {
        return Some((named, true));
    }
    let is_shared = of.link_type == LinkType::WIRESHARK_UPPER_PDU.0;
    if is_shared && packet.is_some_and(|packet| !exported_pdu::is_for(packet, "mbrtu")) {
        return None;
    }
    PROTOCOLS.into_iter().find(fits).map(|protocol| (protocol, false))
}

/// Packets of the first interface that has the protocol, in each section; of others how many there are.
pub(super) fn read(
    reader: &mut Reader,
    begin: &mut Begin,
    protocol: &'static Protocol,
    range: Option<Range>,
    others: &mut BTreeMap<u16, u64>,
    sink: &mut impl FnMut(&Heard<'_>, bool),
) -> Result<(), Problem> {
    let mut snaps = Vec::new();
    let mut line = None;
    let mut number = begin.packets.saturating_sub(1);
    if let Some(problem) = begin.problem.take() {
        return Err(problem);
    }
    let kept = begin.first.take();
    let mut first = kept.as_ref().map(Kept::packet);
    loop {
        if reader.interfaces().len() != snaps.len() {
            snaps = reader.interfaces().iter().map(|one| one.snap_len).collect();
        }
        let next = match first.take() {
            Some(packet) => Some(packet),
            None => reader.next_packet()?,
        };
        let Some(packet) = next else { return Ok(()) };
        let place = range.map(|range| range.place(packet.time.unwrap_or_default()));
        if place == Some(Place::Behind) {
            return Ok(());
        }
        number += 1;
        let (section, interface) = (packet.section, packet.interface);
        let is_ours = packet.link_type == protocol.link_type.0
            && line.filter(|(other, _)| *other == section).is_none_or(|(_, it)| it == interface);
        if !is_ours {
            *others.entry(packet.link_type).or_default() += 1;
            continue;
        }
        line = Some((section, interface));
        let snap_len = snaps.get(interface as usize).copied().unwrap_or(0);
        let is_snapped = snap_len > 0 && packet.octets.len() >= snap_len as usize;
        let record = Record {
            number,
            time: packet.time.unwrap_or_default(),
            octets: packet.octets,
            original_len: if is_snapped { packet.original_len } else { 0 },
            skipped_before: skipped(packet.comment),
            dropped: packet.dropped,
        };
        let is_damaged = packet.flags & ERROR_FLAGS != 0;
        sink(&Heard { record, is_damaged }, packet.time.is_some());
    }
}

/// How many octets a comment of serialshark says were outside frames before a packet.
fn skipped(comment: Option<&str>) -> u32 {
    const SAID: &str = " bytes outside frames before this packet";
    let before = comment.and_then(|comment| comment.split_once(SAID)).map(|(before, _)| before);
    let number = before.and_then(|before| before.rsplit(|c: char| !c.is_ascii_digit()).next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_say_what_was_skipped() {
        assert_eq!(
            skipped(Some("damaged: CRC error; 17 bytes outside frames before this packet")),
            17
        );
        assert_eq!(skipped(Some("damaged: CRC error")), 0);
        assert_eq!(skipped(None), 0);
    }
}
