//! What all IEEE 802.15.4 sniffers share: the FCS, the header of `LINKTYPE_IEEE802_15_4_TAP`, and
//! what a frame may begin with.
//!
//! ```text
//! PSDU: frame control (2, low first) | sequence number | PAN ids and addresses, low first
//!       ... | FCS (2, low first)
//! TAP:  version 0 | 0 | length of header and TLVs (2, low first)
//!       ( type (2, low first) | length (2, low first) | value, padded to 4 with 0 )*  PSDU
//! ```

use crate::dissect::wpan::{ABSENT, ACK, ACK_REQUEST, BEACON, COMMAND, Control, DATA};
use crc::{Crc, Table};

/// Clause 7.2.11 of IEEE 802.15.4-2020: the CRC of V.41, low octet first on the wire.
pub(super) static FCS: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&crc::CRC_16_KERMIT);
/// Octets of the FCS.
const FCS_LEN: usize = 2;

/// Octets of the longest PSDU.
pub(super) const MAX_PSDU: usize = 127;

/// Whether a PSDU ends in an FCS that fits the rest.
pub(crate) fn fcs_fits(psdu: &[u8]) -> bool {
    psdu.split_last_chunk::<FCS_LEN>()
        .is_some_and(|(frame, fcs)| FCS.checksum(frame).to_le_bytes() == *fcs)
}

/// What a PSDU ends in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fcs {
    /// No FCS: the sniffer has left it out.
    #[default]
    None = 0,
    /// The two octets of [`FCS`], right or wrong.
    Crc16 = 1,
}

/// What a sniffer says about a frame beside its octets, for the header of
/// `LINKTYPE_IEEE802_15_4_TAP`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tap {
    /// What the PSDU ends in; always told, or Wireshark takes an FCS for payload.
    pub(super) fcs: Fcs,
    /// Received signal strength in dBm.
    pub(super) rssi_dbm: Option<f32>,
    /// The channel it was heard on.
    pub(super) channel: Option<u8>,
    /// Link quality as the sniffer counts it.
    pub(super) lqi: Option<u8>,
}

impl Tap {
    /// The header that goes before the PSDU.
    pub(super) fn header(&self) -> Vec<u8> {
        const FCS_TYPE: u8 = 0;
        const RSS: u8 = 1;
        const CHANNEL: u8 = 3;
        const LQI: u8 = 10;
        let mut header = vec![0, 0, 0, 0];
        header.extend([FCS_TYPE, 0, 1, 0, self.fcs as u8, 0, 0, 0]);
        if let Some(rssi_dbm) = self.rssi_dbm {
            header.extend([RSS, 0, 4, 0]);
            header.extend(rssi_dbm.to_le_bytes());
        }
        if let Some(channel) = self.channel {
            // Page 0: no sniffer says which it is on. Channels have the same numbers on most pages.
            header.extend([CHANNEL, 0, 3, 0, channel, 0, 0, 0]);
        }
        if let Some(lqi) = self.lqi {
            header.extend([LQI, 0, 1, 0, lqi, 0, 0, 0]);
        }
        header[2] = header.len() as u8;
        header
    }
}

/// Whether a frame that [`may_begin`] may have this as its first octet: a quarter of all may.
pub(super) fn may_be_first(octet: u8) -> bool {
    const RESERVED: u8 = 0x80;
    const RARE_TYPES: u8 = 0x04;
    octet & (RESERVED | RARE_TYPES) == 0
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
            Tap { channel: Some(26), lqi: Some(0xfe), ..Tap::default() }.header(),
            [
                0, 0, 28, 0, // version, reserved, length
                0, 0, 1, 0, 0, 0, 0, 0, // FCS: none
                3, 0, 3, 0, 26, 0, 0, 0, // channel 26, page 0
                10, 0, 1, 0, 0xfe, 0, 0, 0, // LQI
            ]
        );
        assert_eq!(
            Tap { fcs: Fcs::Crc16, rssi_dbm: Some(-82.5), channel: None, lqi: None }.header(),
            [0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 0, 0, 0, 0xa5, 0xc2]
        );
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
