//! BACnet MS/TP (ASHRAE 135, clause 9): frames on an RS-485 trunk.
//!
//! ```text
//! 55 FF | type | destination | source | length (2, high first) | header CRC
//!       [ data (length) | data CRC (2, low first) ]   [ FF ]
//! ```
//!
//! Types 32 to 127 carry COBS-encoded data and CRC (Annex T, RFC 8163): there the length is
//! two less than the octets that follow the header, so that the extent of a frame is the same
//! rule for all types.
//!
//! Deviations from the receive machine of clause 9.5, all of them since we read through a USB
//! adapter and not at the UART: Tframe_abort is never applied (gaps between reads say nothing);
//! a failed header or data CRC makes the search go on from the octet after the failed
//! preamble instead of from where the machine happens to stand; any length up to
//! [`MAX_LENGTH`] is accepted for any type. The optional pad octet FF after a frame is
//! counted but not recorded, since Wireshark would read it as data.

use super::Setup;
use super::hunt::{Format, Hunter, Judgement};
use crate::cobs;
use crc::{Algorithm, Crc, Table};

/// Preamble, type, destination, source, length, header CRC.
const HEADER_LEN: usize = 8;
/// Largest length field: a COBS frame of 2053 octets. A larger one is no header.
const MAX_LENGTH: usize = 2043;
/// Types whose data and CRC are COBS encoded.
const COBS_TYPES: std::ops::RangeInclusive<u8> = 32..=127;

/// Clause 9.4.1 (Annex G.1): x^8 + x^7 + 1.
pub(crate) static HEADER_CRC: Crc<u8> = Crc::<u8>::new(&Algorithm {
    width: 8,
    poly: 0x81,
    init: 0xff,
    refin: true,
    refout: true,
    xorout: 0xff,
    check: 0x89,
    residue: 0x55,
});
/// Clause 9.4.2 (Annex G.2): the CRC of HDLC.
pub(crate) static DATA_CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&crc::CRC_16_IBM_SDLC);
/// Annex G.3: Koopman's CRC-32K.
pub(crate) static EXTENDED_CRC: Crc<u32> =
    Crc::<u32>::new(&Algorithm { xorout: 0xffff_ffff, ..crc::CRC_32_MEF });

/// Makes a framer for MS/TP.
pub(super) fn framer(setup: &Setup) -> Hunter<MsTp> {
    Hunter::new(MsTp, setup)
}

/// The format for the [`Hunter`].
#[derive(Debug)]
pub(super) struct MsTp;

impl Format for MsTp {
    fn is_padding(octet: u8) -> bool {
        octet == 0xff
    }

    fn find(&self, octets: &[u8]) -> usize {
        let mut from = 0;
        while let Some(ahead) = octets[from..].iter().position(|&octet| octet == 0x55) {
            match octets.get(from + ahead + 1) {
                Some(0xff) | None => return from + ahead,
                Some(_) => from += ahead + 1,
            }
        }
        octets.len()
    }

    fn judge(&self, octets: &[u8]) -> Judgement {
        let Some(header) = octets.first_chunk::<HEADER_LEN>() else {
            let has_preamble = octets.starts_with(&[0x55, 0xff]);
            return Judgement::More(has_preamble.then_some(HEADER_LEN));
        };
        let &[0x55, 0xff, frame_type, _, _, length_high, length_low, header_crc] = header else {
            return Judgement::Nothing;
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if length > MAX_LENGTH {
            return Judgement::Nothing;
        }
        if HEADER_CRC.checksum(&header[2..7]) != header_crc {
            return Judgement::Bad(HEADER_LEN);
        }
        let len = frame_len(length);
        match octets.get(HEADER_LEN..len) {
            None => Judgement::More(Some(len)),
            Some(data) if data.is_empty() || data_fits(frame_type, data) => Judgement::Good(len),
            Some(_) => Judgement::Bad(len),
        }
    }
}

/// Octets of a whole frame with this length field.
fn frame_len(length: usize) -> usize {
    if length == 0 { HEADER_LEN } else { HEADER_LEN + length + 2 }
}

/// Whether the CRC behind the data fits it; `data` has both, and at least three octets.
fn data_fits(frame_type: u8, data: &[u8]) -> bool {
    if COBS_TYPES.contains(&frame_type) {
        let Some((data, encoded_crc)) = data.split_last_chunk::<{ cobs::ENCODED_CRC_LEN }>() else {
            return false;
        };
        let crc = EXTENDED_CRC.checksum(data).to_le_bytes();
        cobs::decode(encoded_crc).is_some_and(|decoded| decoded == crc) && cobs::is_whole(data)
    } else {
        let (data, crc) = data.split_at(data.len() - 2);
        DATA_CRC.checksum(data).to_le_bytes() == *crc
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Framer, IDLE_GAP_NS};
    use super::*;
    use crate::packet::{Batch, Damage, Timestamp};

    const TOKEN: [u8; 8] = [0x55, 0xff, 0, 0x10, 5, 0, 0, 0x8c];

    /// A good frame that is no COBS frame.
    fn frame(frame_type: u8, data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u16).to_be_bytes();
        let header = [frame_type, 1, 2, length[0], length[1]];
        let mut frame = vec![0x55, 0xff];
        frame.extend(header);
        frame.push(HEADER_CRC.checksum(&header));
        if !data.is_empty() {
            frame.extend(data);
            frame.extend(DATA_CRC.checksum(data).to_le_bytes());
        }
        frame
    }

    /// Pushes `octets` one by one and all at once, checks that it makes no difference, and
    /// returns each frame with its damage and original length.
    fn frames(octets: &[u8]) -> (Vec<(Vec<u8>, Damage, u32)>, crate::packet::Tally) {
        let run = |chunk: usize| {
            let mut framer = framer(&Setup::new(38_400));
            let mut batch = Batch::new(0);
            for octets in octets.chunks(chunk) {
                framer.push(octets, Timestamp::from_ns(1_000_000_000), &mut batch);
            }
            framer.finish(&mut batch);
            let frames: Vec<_> =
                batch.packets().map(|p| (p.data.to_vec(), p.damage, p.original_len)).collect();
            (frames, framer.tally())
        };
        let whole = run(octets.len());
        assert_eq!(run(1), whole);
        whole
    }

    #[test]
    fn check_values_of_the_catalogue() {
        assert_eq!(HEADER_CRC.checksum(b"123456789"), 0x89);
        assert_eq!(DATA_CRC.checksum(b"123456789"), 0x906e);
        assert_eq!(EXTENDED_CRC.checksum(b"123456789"), 0x2d3d_d0ae);
    }

    #[test]
    fn a_good_frame_is_recorded_without_its_pad() {
        let line = [&[0xff][..], &TOKEN, &[0xff], &TOKEN, &[0xff, 0xff], &TOKEN].concat();
        let (frames, tally) = frames(&line);
        assert_eq!(frames, vec![(TOKEN.to_vec(), Damage::NONE, 8); 3]);
        assert_eq!((tally.padding_octets, tally.skipped_octets), (2, 2));
    }

    #[test]
    fn a_repeated_first_preamble_octet_is_skipped() {
        let (frames, tally) = frames(&[&[0x55, 0x55][..], &TOKEN].concat());
        assert_eq!(frames, [(TOKEN.to_vec(), Damage::NONE, 8)]);
        assert_eq!(tally.skipped_octets, 2);
    }

    #[test]
    fn a_truncated_frame_ends_where_the_next_good_one_begins() {
        let cut = &frame(5, &[7; 100])[..20];
        let (frames, _) = frames(&[cut, &TOKEN, &TOKEN].concat());
        assert_eq!(
            frames,
            [
                (cut.to_vec(), Damage::TOO_SHORT, 110),
                (TOKEN.to_vec(), Damage::NONE, 8),
                (TOKEN.to_vec(), Damage::NONE, 8),
            ]
        );
    }

    #[test]
    fn a_bad_data_crc_is_flagged_and_costs_nothing_else() {
        let mut bad = frame(6, b"hello");
        bad[9] ^= 1;
        let (frames, _) = frames(&[&bad[..], &TOKEN].concat());
        assert_eq!(frames, [(bad, Damage::CRC_ERROR, 15), (TOKEN.to_vec(), Damage::NONE, 8)]);
    }

    #[test]
    fn a_bad_header_crc_is_flagged() {
        let mut bad = TOKEN;
        bad[7] ^= 0x80;
        let (frames, _) = frames(&[bad, TOKEN].concat());
        assert_eq!(
            frames,
            [(bad.to_vec(), Damage::CRC_ERROR, 8), (TOKEN.to_vec(), Damage::NONE, 8)]
        );
    }

    #[test]
    fn a_header_cut_off_is_as_short_as_a_header() {
        let token = (TOKEN.to_vec(), Damage::NONE, 8);
        let cut = |len: usize| (TOKEN[..len].to_vec(), Damage::TOO_SHORT, 8);
        assert_eq!(frames(&[&TOKEN[..7], &TOKEN].concat()).0, [cut(7), token.clone()]);
        assert_eq!(frames(&[&TOKEN[..], &TOKEN[..3]].concat()).0, [token.clone(), cut(3)]);
        // The octets of both would be a header with a length that no frame has.
        let (frames, tally) = frames(&[&TOKEN[..4], &TOKEN].concat());
        assert_eq!((frames, tally.skipped_octets), (vec![token], 4));
    }

    #[test]
    fn nothing_is_found_inside_a_good_frame() {
        let outer = frame(6, &[TOKEN, TOKEN].concat());
        let (frames, _) = frames(&outer);
        assert_eq!(frames, [(outer, Damage::NONE, 26)]);
    }

    #[test]
    fn the_longest_frame_is_one_and_a_longer_one_is_no_header() {
        let longest = frame(200, &[0x11; MAX_LENGTH]);
        assert_eq!(frames(&longest).0, [(longest.clone(), Damage::NONE, 2053)]);
        let longer = frame(200, &[0x11; MAX_LENGTH + 1]);
        let (none, tally) = frames(&longer);
        assert_eq!(none, []);
        assert_eq!(tally.skipped_octets, 2054);
    }

    #[test]
    fn silence_ends_a_frame_and_gaps_do_not() {
        let mut framer = framer(&Setup::new(38_400));
        let mut batch = Batch::new(0);
        let data = frame(5, &[9; 60]);
        let mut now = Timestamp::from_ns(5_000_000_000);
        for chunk in data.chunks(30) {
            framer.expire(now, &mut batch);
            framer.push(chunk, now, &mut batch);
            now = now.plus_ns(IDLE_GAP_NS - 1);
        }
        assert_eq!(batch.len(), 1);
        framer.push(&data[..30], now, &mut batch);
        assert_eq!(framer.deadline(), Some(now.plus_ns(IDLE_GAP_NS)));
        framer.expire(now.plus_ns(IDLE_GAP_NS - 1), &mut batch);
        assert_eq!(batch.len(), 1);
        framer.expire(now.plus_ns(IDLE_GAP_NS), &mut batch);
        let last = batch.packets().last().unwrap();
        assert_eq!((last.data, last.original_len), (&data[..30], 70));
        assert_eq!(last.damage, Damage::TOO_SHORT);
        assert_eq!(framer.deadline(), None);
    }
}
