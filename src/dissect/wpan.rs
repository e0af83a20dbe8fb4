//! Words for IEEE 802.15.4 frames: a look at the MAC header (clause 7 of the standard).
//!
//! ```text
//! PSDU: frame control (2, low first) | sequence number | PAN ids and addresses, low first
//!       ... | FCS (2, low first)
//! TAP:  version 0 | 0 | length of header and TLVs (2, low first)
//!       ( type (2, low first) | length (2, low first) | value, padded to 4 with 0 )*  PSDU
//! ```

use super::Words;
use super::octets::Octets;

/// Bit of the frame control field.
pub(crate) const ACK_REQUEST: u16 = 1 << 5;

/// Frame types.
pub(crate) const BEACON: u16 = 0;
pub(crate) const DATA: u16 = 1;
pub(crate) const ACK: u16 = 2;
pub(crate) const COMMAND: u16 = 3;

/// Addressing modes.
pub(crate) const ABSENT: u16 = 0;
const RESERVED: u16 = 1;
const EXTENDED: u16 = 3;

/// The frame control field of the frame types 0 to 3.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control(pub(crate) u16);

impl Control {
    pub(crate) fn frame_type(self) -> u16 {
        self.0 & 7
    }

    /// 0 and 1 up to the edition of 2011, 2 since 2015.
    pub(crate) fn version(self) -> u16 {
        self.0 >> 12 & 3
    }

    pub(crate) fn destination_mode(self) -> u16 {
        self.0 >> 10 & 3
    }

    pub(crate) fn source_mode(self) -> u16 {
        self.0 >> 14
    }

    fn has_sequence_number(self) -> bool {
        self.version() < 2 || self.0 & 1 << 8 == 0
    }

    /// Whether there is a destination and a source PAN id (table 7-2 of the edition of 2015).
    fn pan_ids(self) -> (bool, bool) {
        let compressed = self.0 & 1 << 6 != 0;
        match (self.destination_mode(), self.source_mode()) {
            (destination, source) if self.version() < 2 => {
                (destination != ABSENT, source != ABSENT && !compressed)
            }
            (ABSENT, ABSENT) => (compressed, false),
            (ABSENT, _) => (false, !compressed),
            (_, ABSENT) | (EXTENDED, EXTENDED) => (!compressed, false),
            _ => (true, !compressed),
        }
    }

    pub(crate) fn is_reserved(self) -> bool {
        self.version() == 3 || self.destination_mode() == RESERVED || self.source_mode() == RESERVED
    }

    /// Octets up to the end of the addresses.
    pub(crate) fn header_len(self) -> usize {
        let (destination_pan, source_pan) = self.pan_ids();
        2 + usize::from(self.has_sequence_number())
            + 2 * (usize::from(destination_pan) + usize::from(source_pan))
            + address_len(self.destination_mode())
            + address_len(self.source_mode())
    }
}

fn address_len(mode: u16) -> usize {
    match mode {
        ABSENT | RESERVED => 0,
        EXTENDED => 8,
        _ => 2,
    }
}

const CUT_OFF: &str = "cut off in its header";

/// Words for a PSDU, with or without its FCS.
pub fn words(psdu: &[u8], _intact: bool) -> Words {
    let mut rest = Octets(psdu);
    let Some(octets) = rest.take(2) else { return Words::new(CUT_OFF) };
    let control = Control(u16::from_le_bytes([octets[0], octets[1]]));
    let name = match control.frame_type() {
        BEACON => "Beacon",
        DATA => "Data",
        ACK => "Ack",
        COMMAND => "Command",
        5 => return Words::new("Multipurpose"),
        6 => return Words::new("Fragment"),
        7 => return Words::new("Extended"),
        _ => return Words::new("reserved type"),
    };
    if control.is_reserved() {
        return Words::new(format!("{name} with a reserved header"));
    }
    addressed(name, control, rest).unwrap_or_else(|| Words::new(format!("{name} {CUT_OFF}")))
}

/// The sequence number of a PSDU and the network that it is for or else from, as far as it has them.
pub(crate) fn number_and_pan(psdu: &[u8]) -> (Option<u8>, Option<u16>) {
    let mut rest = Octets(psdu);
    let Some(octets) = rest.take(2) else { return (None, None) };
    let control = Control(u16::from_le_bytes([octets[0], octets[1]]));
    if control.frame_type() > COMMAND || control.is_reserved() {
        return (None, None);
    }
    let number = if control.has_sequence_number() { rest.octet() } else { None };
    let (destination_pan, source_pan) = control.pan_ids();
    if !destination_pan {
        rest.take(address_len(control.destination_mode()));
    }
    let pan = if destination_pan || source_pan { rest.take(2) } else { None };
    (number, pan.map(|octets| u16::from_le_bytes([octets[0], octets[1]])))
}

/// Words for a PSDU behind a TAP header.
pub fn tap_words(packet: &[u8], intact: bool) -> Words {
    let len = packet
        .get(2..4)
        .map_or(usize::MAX, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
    words(packet.get(len..).unwrap_or_default(), intact)
}

/// What a TAP header says, and the PSDU behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tap<'a> {
    pub(crate) channel: Option<u8>,
    pub(crate) rssi_dbm: Option<f32>,
    pub(crate) psdu: &'a [u8],
}

impl<'a> Tap<'a> {
    /// As far as it is there.
    pub(crate) fn read(packet: &'a [u8]) -> Self {
        const RSS: u16 = 1;
        const CHANNEL: u16 = 3;
        let word = |octets: &[u8]| u16::from_le_bytes([octets[0], octets[1]]);
        let mut tap = Self::default();
        let Some(len) = packet.get(2..4).map(word) else { return tap };
        let Some((header, psdu)) = packet.split_at_checked(len.into()) else { return tap };
        tap.psdu = psdu;
        let mut rest = Octets(header.get(4..).unwrap_or_default());
        while let Some(head) = rest.take(4) {
            let len = usize::from(word(&head[2..]));
            let Some(value) = rest.take(len.next_multiple_of(4)) else { return tap };
            match word(head) {
                RSS => tap.rssi_dbm = value.first_chunk().map(|dbm| f32::from_le_bytes(*dbm)),
                CHANNEL => tap.channel = value.first().copied(),
                _ => {}
            }
        }
        tap
    }
}

/// The PAN ids that a frame names: of its destination and of its source.
pub(crate) fn pan_ids(psdu: &[u8]) -> [Option<u16>; 2] {
    let mut rest = Octets(psdu);
    let word = |octets: &[u8]| u16::from_le_bytes([octets[0], octets[1]]);
    let Some(control) = rest.take(2).map(|octets| Control(word(octets))) else { return [None; 2] };
    if control.frame_type() > COMMAND || control.is_reserved() {
        return [None; 2];
    }
    if rest.take(control.has_sequence_number().into()).is_none() {
        return [None; 2];
    }
    let (has_destination, has_source) = control.pan_ids();
    let destination = if has_destination { rest.take(2).map(word) } else { None };
    let is_whole = rest.take(address_len(control.destination_mode())).is_some();
    let source = if has_source && is_whole { rest.take(2).map(word) } else { None };
    [destination, source]
}

/// With what stands between frame control and payload; `None` if `rest` ends before.
fn addressed(name: &str, control: Control, mut rest: Octets<'_>) -> Option<Words> {
    let sequence_number = match control.has_sequence_number() {
        true => Some(rest.octet()?),
        false => None,
    };
    let (destination_pan, source_pan) = control.pan_ids();
    rest.take(if destination_pan { 2 } else { 0 })?;
    let destination = rest.take(address_len(control.destination_mode()))?;
    rest.take(if source_pan { 2 } else { 0 })?;
    let source = rest.take(address_len(control.source_mode()))?;
    let number = sequence_number.map(|number| format!(" seq {number}")).unwrap_or_default();
    let info = format!("{name}{number}");
    Some(Words {
        source: address(source),
        destination: address(destination),
        info,
        is_routine: false,
    })
}

/// An address, its last octet first.
fn address(octets: &[u8]) -> Option<String> {
    let digits: String = octets.iter().rev().map(|octet| format!("{octet:02x}")).collect();
    (!digits.is_empty()).then(|| format!("0x{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &Words) -> String {
        [words.addresses(), words.info.clone()].join(" ").trim_start().to_owned()
    }

    fn summary(psdu: &[u8]) -> String {
        text(&words(psdu, true))
    }

    fn tap_summary(packet: &[u8]) -> String {
        text(&tap_words(packet, true))
    }

    #[test]
    fn summaries() {
        let data = [0x41, 0x88, 12, 0xcd, 0xab, 0xff, 0xff, 0x34, 0x12, 1, 2, 3];
        assert_eq!(summary(&data), "0x1234 > 0xffff Data seq 12");
        assert_eq!(summary(&data[..9]), "0x1234 > 0xffff Data seq 12");
        assert_eq!(summary(&data[..8]), "Data cut off in its header");
        assert_eq!(summary(&data[..1]), "cut off in its header");
        assert_eq!(summary(&[0x02, 0x00, 7, 0xaa, 0xbb]), "Ack seq 7");
        // The bit that leaves out the sequence number since 2015.
        assert_eq!(summary(&[0x02, 0x01, 7, 0xaa, 0xbb]), "Ack seq 7");
        // Two PAN ids, whatever the addresses.
        let (a, b) = ([1; 8], [2; 8]);
        assert_eq!(
            summary(&[&[0x01, 0xcc, 5, 0xcd, 0xab][..], &a, &[0xee, 0xff], &b].concat()),
            "0x0202020202020202 > 0x0101010101010101 Data seq 5"
        );
        assert_eq!(
            summary(&[0x00, 0xc0, 9, 0xcd, 0xab, 8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0xcf]),
            "0x0102030405060708 Beacon seq 9"
        );
        assert_eq!(summary(&[0x03, 0x08, 1, 0xff, 0xff, 0xff, 0xff, 7]), "> 0xffff Command seq 1");
        assert_eq!(summary(&[0x01, 0xb8, 1]), "Data with a reserved header");
        assert_eq!(summary(&[0x05, 0]), "Multipurpose");
        assert_eq!(summary(&[0x04, 0]), "reserved type");
        assert_eq!(summary(&[0x06, 0]), "Fragment");
        assert_eq!(summary(&[0x07, 0]), "Extended");
    }

    #[test]
    fn summaries_of_2015() {
        // Two extended addresses have one PAN id, or none if that is compressed.
        let (a, b) = ([1; 8], [2; 8]);
        let both = "0x0202020202020202 > 0x0101010101010101 Data";
        let plain = [&[0x01, 0xec, 5, 0xcd, 0xab][..], &a, &b].concat();
        assert_eq!(summary(&plain), format!("{both} seq 5"));
        let compressed = [&[0x41, 0xed][..], &a, &b].concat(); // and no sequence number
        assert_eq!(summary(&compressed), both);
        assert_eq!(summary(&[0x02, 0x20, 5]), "Ack seq 5");
        assert_eq!(summary(&[0x42, 0x20, 5, 0xcd, 0xab]), "Ack seq 5");
        assert_eq!(summary(&[0x41, 0x28, 5, 0x34, 0x12]), "> 0x1234 Data seq 5");
        assert_eq!(summary(&[0x41, 0xa0, 5, 0x34, 0x12]), "0x1234 Data seq 5");
        assert_eq!(summary(&[0x41, 0xa8, 5, 0, 0, 1, 0, 2, 0]), "0x0002 > 0x0001 Data seq 5");
    }

    #[test]
    fn a_tap_summary_skips_the_header() {
        let mut packet = vec![0, 0, 28, 0];
        packet.resize(28, 0);
        packet.extend([0x02, 0x00, 7]);
        assert_eq!(tap_summary(&packet), "Ack seq 7");
        assert_eq!(tap_summary(&packet[..28]), "cut off in its header");
        assert_eq!(tap_summary(&packet[..3]), "cut off in its header");
        assert_eq!(tap_summary(&[0, 0, 0xff, 0xff, 1]), "cut off in its header");
    }

    #[test]
    fn any_octets_have_a_summary() {
        // Pending, acknowledge and the reserved bit move nothing.
        const IDLE: u16 = 1 << 4 | 1 << 5 | 1 << 7;
        for control in (0..=u16::MAX).filter(|control| [0, IDLE].contains(&(control & IDLE))) {
            let [low, high] = control.to_le_bytes();
            let psdu = [low, high, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
            for len in 0..psdu.len() {
                assert!(!summary(&psdu[..len]).is_empty());
                assert!(!tap_summary(&psdu[..len]).is_empty());
            }
        }
    }
}
