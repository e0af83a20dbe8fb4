//! What both IEEE 802.15.4 sniffers share: the FCS, the header of `LINKTYPE_IEEE802_15_4_TAP`,
//! and a look at the MAC header.
//!
//! ```text
//! PSDU: frame control (2, low first) | sequence number | PAN ids and addresses, low first
//!       ... | FCS (2, low first)
//! TAP:  version 0 | 0 | length of header and TLVs (2, low first)
//!       ( type (2, low first) | length (2, low first) | value, padded to 4 with 0 )*  PSDU
//! ```

use crc::{Crc, Table};

/// Clause 7.2.11 of IEEE 802.15.4-2020: the CRC of V.41, low octet first on the wire.
pub(super) static FCS: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&crc::CRC_16_KERMIT);
/// Octets of the FCS.
const FCS_LEN: usize = 2;

/// Octets of the longest PSDU.
pub(super) const MAX_PSDU: usize = 127;

/// Whether a PSDU ends in an FCS that fits the rest.
pub(super) fn fcs_fits(psdu: &[u8]) -> bool {
    psdu.split_last_chunk::<FCS_LEN>()
        .is_some_and(|(frame, fcs)| FCS.checksum(frame).to_le_bytes() == *fcs)
}

/// The header that says that a PSDU without FCS follows, where and how well it was heard.
pub(super) fn tap_header(channel: Option<u8>, lqi: u8) -> Vec<u8> {
    const FCS_TYPE: u8 = 0;
    const CHANNEL: u8 = 3;
    const LQI: u8 = 10;
    let mut header = vec![0, 0, 0, 0];
    header.extend([FCS_TYPE, 0, 1, 0, 0, 0, 0, 0]);
    if let Some(channel) = channel {
        header.extend([CHANNEL, 0, 3, 0, channel, 0, 0, 0]); // page 0
    }
    header.extend([LQI, 0, 1, 0, lqi, 0, 0, 0]);
    header[2] = header.len() as u8;
    header
}

/// Bit of the frame control field.
const ACK_REQUEST: u16 = 1 << 5;

/// Frame types.
const BEACON: u16 = 0;
const DATA: u16 = 1;
const ACK: u16 = 2;
const COMMAND: u16 = 3;

/// Addressing modes.
const ABSENT: u16 = 0;
const RESERVED: u16 = 1;
const EXTENDED: u16 = 3;

/// The frame control field of the frame types 0 to 3.
#[derive(Clone, Copy, Debug)]
struct Control(u16);

impl Control {
    fn frame_type(self) -> u16 {
        self.0 & 7
    }

    /// 0 and 1 up to the edition of 2011, 2 since 2015.
    fn version(self) -> u16 {
        self.0 >> 12 & 3
    }

    fn destination_mode(self) -> u16 {
        self.0 >> 10 & 3
    }

    fn source_mode(self) -> u16 {
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

    fn is_reserved(self) -> bool {
        self.version() == 3 || self.destination_mode() == RESERVED || self.source_mode() == RESERVED
    }

    /// Octets up to the end of the addresses.
    fn header_len(self) -> usize {
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

/// Whether a PSDU of `len` octets with its FCS may begin with `start`, as far as that goes: a
/// beacon, data, acknowledgment or command frame without reserved bits and long enough.
///
/// 3.5 % of random octets may. What comes as a PSDU is one whether it looks like one or not;
/// this is for telling where one starts, when 16 bits of FCS are all there is besides.
pub(super) fn may_begin(start: &[u8], len: usize) -> bool {
    let Some(control) = start.first_chunk().map(|octets| Control(u16::from_le_bytes(*octets)))
    else {
        return true;
    };
    let addressed = (control.destination_mode(), control.source_mode());
    let old = control.version() < 2;
    let reserved_bits = if old { 0x0380 } else { 0x0080 };
    control.0 & reserved_bits == 0
        && !control.is_reserved()
        && control.header_len() + FCS_LEN <= len
        && match control.frame_type() {
            BEACON if old => addressed.0 == ABSENT && addressed.1 != ABSENT,
            BEACON => addressed.1 != ABSENT,
            ACK if control.0 & ACK_REQUEST != 0 => false,
            ACK => !old || control.header_len() + FCS_LEN == len,
            DATA | COMMAND => addressed != (ABSENT, ABSENT),
            _ => false,
        }
}

/// A few words for a PSDU, with or without its FCS.
pub(super) fn summary(psdu: &[u8]) -> String {
    const CUT_OFF: &str = "cut off in its header";
    let mut rest = psdu;
    let Some(octets) = take(&mut rest, 2) else { return CUT_OFF.to_owned() };
    let control = Control(u16::from_le_bytes([octets[0], octets[1]]));
    let name = match control.frame_type() {
        BEACON => "Beacon",
        DATA => "Data",
        ACK => "Ack",
        COMMAND => "Command",
        5 => return "Multipurpose".to_owned(),
        6 => return "Fragment".to_owned(),
        7 => return "Extended".to_owned(),
        _ => return "reserved type".to_owned(),
    };
    if control.is_reserved() {
        return format!("{name} with a reserved header");
    }
    match addresses(control, &mut rest) {
        Some(addresses) => format!("{name}{addresses}"),
        None => format!("{name} {CUT_OFF}"),
    }
}

/// A few words for a PSDU behind a TAP header.
pub(super) fn tap_summary(packet: &[u8]) -> String {
    let len = packet
        .get(2..4)
        .map_or(usize::MAX, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
    summary(packet.get(len..).unwrap_or_default())
}

/// What stands between frame control and payload, each with a space before it; `None` if
/// `rest` ends before.
fn addresses(control: Control, rest: &mut &[u8]) -> Option<String> {
    let sequence_number = take(rest, usize::from(control.has_sequence_number()))?.first();
    let (destination_pan, source_pan) = control.pan_ids();
    take(rest, if destination_pan { 2 } else { 0 })?;
    let destination = take(rest, address_len(control.destination_mode()))?;
    take(rest, if source_pan { 2 } else { 0 })?;
    let source = take(rest, address_len(control.source_mode()))?;

    let mut text = String::new();
    for (mark, address) in [(" ", source), (" > ", destination)] {
        if !address.is_empty() {
            text += mark;
            text += "0x";
            text.extend(address.iter().rev().map(|octet| format!("{octet:02x}")));
        }
    }
    if let Some(number) = sequence_number {
        text += &format!(" seq {number}");
    }
    Some(text)
}

/// The first `len` octets of `rest`, which then begins behind them.
fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    rest.split_off(..len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fcs_is_the_one_of_the_catalogue() {
        assert_eq!(FCS.checksum(b"123456789"), 0x2189);
        assert!(fcs_fits(&[b"123456789".as_slice(), &[0x89, 0x21]].concat()));
        assert!(!fcs_fits(&[b"123456789".as_slice(), &[0x21, 0x89]].concat()));
        assert!(!fcs_fits(&[0x89]));
        assert!(!fcs_fits(&[]));
    }

    #[test]
    fn tap_headers() {
        assert_eq!(
            tap_header(Some(26), 0xfe),
            [
                0, 0, 28, 0, // version, reserved, length
                0, 0, 1, 0, 0, 0, 0, 0, // FCS: none
                3, 0, 3, 0, 26, 0, 0, 0, // channel 26, page 0
                10, 0, 1, 0, 0xfe, 0, 0, 0, // LQI
            ]
        );
        assert_eq!(
            tap_header(None, 1),
            [0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 10, 0, 1, 0, 1, 0, 0, 0]
        );
    }

    #[test]
    fn summaries() {
        let data = [0x41, 0x88, 12, 0xcd, 0xab, 0xff, 0xff, 0x34, 0x12, 1, 2, 3];
        assert_eq!(summary(&data), "Data 0x1234 > 0xffff seq 12");
        assert_eq!(summary(&data[..9]), "Data 0x1234 > 0xffff seq 12");
        assert_eq!(summary(&data[..8]), "Data cut off in its header");
        assert_eq!(summary(&data[..1]), "cut off in its header");
        assert_eq!(summary(&[0x02, 0x00, 7, 0xaa, 0xbb]), "Ack seq 7");
        // The bit that leaves out the sequence number since 2015.
        assert_eq!(summary(&[0x02, 0x01, 7, 0xaa, 0xbb]), "Ack seq 7");
        // Two PAN ids, whatever the addresses.
        let (a, b) = ([1; 8], [2; 8]);
        assert_eq!(
            summary(&[&[0x01, 0xcc, 5, 0xcd, 0xab][..], &a, &[0xee, 0xff], &b].concat()),
            "Data 0x0202020202020202 > 0x0101010101010101 seq 5"
        );
        assert_eq!(
            summary(&[0x00, 0xc0, 9, 0xcd, 0xab, 8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0xcf]),
            "Beacon 0x0102030405060708 seq 9"
        );
        assert_eq!(summary(&[0x03, 0x08, 1, 0xff, 0xff, 0xff, 0xff, 7]), "Command > 0xffff seq 1");
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
        let both = "Data 0x0202020202020202 > 0x0101010101010101";
        let plain = [&[0x01, 0xec, 5, 0xcd, 0xab][..], &a, &b].concat();
        assert_eq!(summary(&plain), format!("{both} seq 5"));
        let compressed = [&[0x41, 0xed][..], &a, &b].concat(); // and no sequence number
        assert_eq!(summary(&compressed), both);
        assert_eq!(summary(&[0x02, 0x20, 5]), "Ack seq 5");
        assert_eq!(summary(&[0x42, 0x20, 5, 0xcd, 0xab]), "Ack seq 5");
        assert_eq!(summary(&[0x41, 0x28, 5, 0x34, 0x12]), "Data > 0x1234 seq 5");
        assert_eq!(summary(&[0x41, 0xa0, 5, 0x34, 0x12]), "Data 0x1234 seq 5");
        assert_eq!(summary(&[0x41, 0xa8, 5, 0, 0, 1, 0, 2, 0]), "Data 0x0002 > 0x0001 seq 5");
    }

    #[test]
    fn a_tap_summary_skips_the_header() {
        let packet = [&tap_header(Some(11), 9)[..], &[0x02, 0x00, 7]].concat();
        assert_eq!(tap_summary(&packet), "Ack seq 7");
        assert_eq!(tap_summary(&packet[..28]), "cut off in its header");
        assert_eq!(tap_summary(&packet[..3]), "cut off in its header");
        assert_eq!(tap_summary(&[0, 0, 0xff, 0xff, 1]), "cut off in its header");
    }

    #[test]
    fn any_octets_have_a_summary() {
        for control in 0..=u16::MAX {
            let [low, high] = control.to_le_bytes();
            let psdu = [low, high, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
            for len in 0..psdu.len() {
                assert!(!summary(&psdu[..len]).is_empty());
                assert!(!tap_summary(&psdu[..len]).is_empty());
            }
        }
    }

    #[test]
    fn few_octets_may_begin_a_frame() {
        assert!(may_begin(&[], 5));
        assert!(may_begin(&[0x41], 5));
        assert!(may_begin(&[0x41, 0x88], 11));
        assert!(!may_begin(&[0x41, 0x88], 10));
        assert!(may_begin(&[0x41, 0x8c], 17));
        assert!(!may_begin(&[0x41, 0x8c], 16));
        assert!(may_begin(&[0x02, 0x00], 5));
        assert!(!may_begin(&[0x02, 0x00], 6));
        assert!(!may_begin(&[0x00, 0x00], 60));
        assert!(!may_begin(b"SNIF", 60));
        assert!(!may_begin(&[0xff, 0xff], 60));
        let likely = (0..=u16::MAX).filter(|control| may_begin(&control.to_le_bytes(), 60));
        assert_eq!(likely.count(), 2272); // 3.5 %
    }
}
