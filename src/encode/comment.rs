//! What there is to say about a packet beside its octets, in words.

use super::Record;
use crate::framing::Protocol;
use crate::packet::Packet;
use crate::time::seconds;

/// What is less late than this is not told of.
const LATE_NS: u64 = 1_000_000;

/// What a packet says, where Wireshark does not.
fn said(packet: &Packet<'_>, protocol: &Protocol) -> String {
    let words = (protocol.dissector)(packet.data, packet.damage.is_none());
    match words.addresses() {
        addresses if addresses.is_empty() => words.info,
        addresses => format!("{addresses} {}", words.info),
    }
}

/// What the packet says, where Wireshark does not, and what is wrong with it.
fn flaws(packet: &Packet<'_>, protocol: &Protocol) -> Vec<String> {
    let mut parts = Vec::from_iter(protocol.comment.then(|| said(packet, protocol)));
    if packet.original_len as usize > packet.data.len() {
        parts.push(format!(
            "damaged: {}, {} of {} bytes",
            packet.damage,
            packet.data.len(),
            packet.original_len
        ));
    } else if !packet.damage.is_none() {
        parts.push(format!("damaged: {}", packet.damage));
    }
    if !packet.errors.is_none() {
        parts.push(packet.errors.to_string());
    }
    if packet.pause_ms > 0 {
        parts.push(format!("pause of {} ms between its bytes", packet.pause_ms));
    }
    if packet.skipped_before > 0 {
        parts.push(format!("{} bytes outside frames before this packet", packet.skipped_before));
    }
    parts
}

/// What there is to say about a packet beside its octets; first of all what it says, where
/// Wireshark does not.
pub(super) fn comment(record: &Record<'_>) -> Option<String> {
    let Record { packet, dated, dropped, interface, .. } = *record;
    let protocol = interface.protocol;
    let mut parts = match packet.captured {
        Some(captured) => Vec::from_iter(captured.comment.clone()),
        None => flaws(packet, protocol),
    };
    if dropped > 0 {
        parts.push(format!(
            "{dropped} packets dropped before this packet: reader too slow or disk full"
        ));
    }
    if packet.gap_ns > 0 {
        parts.push(format!("port gone for {} before this packet", seconds(packet.gap_ns)));
    }
    if !packet.remark.is_empty() {
        parts.push(packet.remark.to_owned());
    }
    if packet.stranger {
        parts.push("from a different adapter than the packets before it".to_owned());
    }
    if packet.missing > 0 {
        let missing = packet.missing;
        parts.push(format!("{missing} bytes before this packet are missing in the recording"));
    }
    if dated.late_ns >= LATE_NS {
        let late = seconds(dated.late_ns);
        parts.push(format!("out of order: began {late} before the time shown"));
    }
    let step_ns = dated.step_ns;
    if step_ns != 0 {
        let step = packet.wall.step_in_words(step_ns);
        let still = if step_ns < 0 { ", which this stream does not follow" } else { "" };
        parts.push(format!("{step} before this packet{still}"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TOKEN, interfaces, packet, record};
    use super::super::{Dated, Interface};
    use super::*;
    use crate::line_errors::LineErrors;
    use crate::packet::Damage;

    #[test]
    fn a_flawed_packet_says_all() {
        let flawed = Packet {
            original_len: 30,
            skipped_before: 7,
            damage: Damage::TOO_SHORT,
            gap_ns: 12_345_678_901,
            remark: "a word on the line",
            errors: LineErrors { symbols: 1, breaks: 0, overruns: 2 },
            ..packet(&TOKEN)
        };
        let dated = Dated { step_ns: -1_500_000_000, late_ns: 512_000_000, ..Dated::default() };
        let interface = &interfaces()[0];
        let record = Record { dated, dropped: 3, ..record(&flawed, interface) };
        assert_eq!(
            comment(&record).unwrap(),
            "damaged: too short, 8 of 30 bytes; \
             1 byte with a wrong stop bit or parity, bytes lost by the adapter at 2 places; \
             7 bytes outside frames before this packet; \
             3 packets dropped before this packet: reader too slow or disk full; \
             port gone for 12.346 s before this packet; \
             a word on the line; \
             out of order: began 0.512 s before the time shown; \
             the clock was set back by 1.500 s before this packet, which this \
             stream does not follow"
        );
        assert_eq!(comment(&super::super::tests::record(&packet(&TOKEN), interface)), None);
    }

    #[test]
    fn a_protocol_without_dissector_says_in_a_comment_what_is_in_a_packet() {
        let protocol = crate::framing::protocol("mstp").unwrap();
        assert_eq!(said(&packet(&TOKEN), protocol), "5 > 16 Token");
        let with_words = crate::framing::PROTOCOLS.into_iter().find(|row| row.comment).unwrap();
        let interface = Interface { protocol: with_words, ..interfaces()[0].clone() };
        let flawed = Packet { skipped_before: 1, ..packet(&TOKEN) };
        assert_eq!(
            comment(&record(&flawed, &interface)).unwrap(),
            format!("{}; 1 bytes outside frames before this packet", said(&flawed, with_words))
        );
    }
}
