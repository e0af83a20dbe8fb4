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

use super::hunt::{Format, Hunter, Judgement};
use super::{Protocol, Setup};
use crate::cobs;
use crate::dissect;
use crate::line::Line;
use crate::packet::LinkType;
use crc::{Algorithm, Crc, Table};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "mstp",
    help: "BACnet MS/TP on RS-485",
    line: Line::at(38_400),
    link_type: LinkType::BACNET_MS_TP,
    framer: |setup| Box::new(framer(setup)),
    drop_lines: true,
    sniffer: None,
    when_silent: "check that the adapter is wired to a trunk that has power",
    when_senseless: "check the rate (-b), and that A and B are not swapped",
    dissector: dissect::mstp::words,
    comment: false,
    proof: |packet| if packet.len() > HEADER_LEN { 40 } else { 24 },
    ..Protocol::PLAIN
};

/// Preamble, type, destination, source, length, header CRC.
const HEADER_LEN: usize = 8;
/// Largest length field: a COBS frame of 2053 octets. A header with a larger one is damaged.
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
        if HEADER_CRC.checksum(&header[2..7]) != header_crc {
            return Judgement::Bad(HEADER_LEN);
        }
        if length > MAX_LENGTH {
            return Judgement::TooLong(HEADER_LEN);
        }
        let len = frame_len(length);
        match octets.get(HEADER_LEN..len) {
            None => Judgement::More(Some(len)),
            Some(data) if data.is_empty() || data_fits(frame_type, data) => Judgement::Good(len),
            Some(_) => Judgement::Bad(len),
        }
    }
}

/// Octets of the intact frame that these begin with, if they do.
pub(crate) fn intact_len(octets: &[u8]) -> Option<usize> {
    match MsTp.judge(octets) {
        Judgement::Good(len) => Some(len),
        _ => None,
    }
}

/// Octets that a frame should have whose header is intact, which these begin with.
pub(crate) fn announced_len(octets: &[u8]) -> Option<usize> {
    let &[0x55, 0xff, .., length_high, length_low, header_crc] =
        octets.first_chunk::<HEADER_LEN>()?
    else {
        return None;
    };
    let fits = HEADER_CRC.checksum(&octets[2..7]) == header_crc;
    fits.then(|| frame_len(usize::from(u16::from_be_bytes([length_high, length_low]))))
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
    use super::super::{Framer, SILENCE_NS};
    use super::*;
    use crate::packet::{Batch, Damage, Tally};
    use crate::time::Timestamp;

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
        assert_eq!(frames(&[&TOKEN[..4], &TOKEN].concat()).0, [cut(4), token]);
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
        let (found, tally) = frames(&longer);
        assert_eq!(found, [(longer[..8].to_vec(), Damage::TOO_LONG, 8)]);
        assert_eq!(tally.skipped_octets, 2046);
    }

    /// What each chunk brings, when it comes so many milliseconds after the one before.
    fn paced(chunks: &[(u64, &[u8])]) -> (Vec<(Vec<u8>, Damage, u32)>, Tally) {
        let mut framer = framer(&Setup::new(38_400));
        let mut batch = Batch::new(0);
        let mut now = Timestamp::from_ns(5_000_000_000);
        for (pause_ms, chunk) in chunks {
            now = now.plus_ns(pause_ms * 1_000_000);
            framer.expire(now, &mut batch);
            framer.push(chunk, now, &mut batch);
        }
        let found = batch.packets().map(|p| (p.data.to_vec(), p.damage, p.pause_ms)).collect();
        (found, framer.tally())
    }

    #[test]
    fn an_intact_frame_may_pause_for_as_long_as_silence_ends_none() {
        let data = frame(5, &[9; 60]);
        let chunk_ms = 11; // what the rest of the frame takes on the wire
        for pause_ms in [1, 116, 212, 400, 1000, 2900] {
            let (found, _) = paced(&[(0, &data[..30]), (pause_ms, &data[30..])]);
            assert_eq!(found.len(), 1, "{pause_ms}");
            assert_eq!((&found[0].0, found[0].1), (&data, Damage::NONE));
            let told = u64::from(found[0].2);
            match pause_ms {
                0..=116 => assert_eq!(told, 0),
                _ => assert!((pause_ms - chunk_ms..=pause_ms).contains(&told), "{told}"),
            }
        }
        let (found, _) = paced(&[(0, &data[..30]), (SILENCE_NS / 1_000_000, &data[30..])]);
        assert_eq!(found, [(data[..30].to_vec(), Damage::TOO_SHORT, 0)]);
    }

    #[test]
    fn a_frame_that_is_cut_off_shows_as_soon_as_the_next_one_is_whole() {
        let long = frame(5, &[9; 400]);
        let cut = (long[..30].to_vec(), Damage::TOO_SHORT, 0);
        let token = (TOKEN.to_vec(), Damage::NONE, 0);
        let both = [cut.clone(), token.clone()];
        assert_eq!(paced(&[(0, &long[..30]), (200, &TOKEN)]).0, both);
        // However it is chunked.
        assert_eq!(paced(&[(0, &long[..30]), (200, &TOKEN[..1]), (2, &TOKEN[1..])]).0, both);
        assert_eq!(paced(&[(0, &long[..30]), (200, &TOKEN[..7]), (200, &TOKEN[7..])]).0[0], cut);
        // Two that are cut off, each by a pause.
        let twice = paced(&[(0, &long[..30]), (200, &long[..30]), (200, &TOKEN)]).0;
        assert_eq!(twice.len(), 3, "{twice:?}");
        assert_eq!((&twice[0], &twice[2]), (&cut, &token));
    }

    #[test]
    fn on_a_busy_bus_two_more_frames_show_that_one_was_cut_off() {
        let long = frame(5, &[9; 2000]);
        let mut line: Vec<(u64, &[u8])> = vec![(0, &long[..30])];
        line.extend([(20, &TOKEN[..]); 2]);
        let token = (TOKEN.to_vec(), Damage::NONE, 0);
        let expected = [(long[..30].to_vec(), Damage::TOO_SHORT, 0), token.clone(), token];
        assert_eq!(paced(&line).0, expected);
        assert_eq!(paced(&line[..2]).0, [], "one may be part of it");
    }

    #[test]
    fn what_looks_like_a_frame_inside_an_intact_one_is_none_whatever_pauses() {
        let data = frame(5, &[&[7; 20][..], &TOKEN, &[7; 20]].concat());
        for at in 1..data.len() {
            let (found, tally) = paced(&[(0, &data[..at]), (500, &data[at..])]);
            assert_eq!(found.len(), 1, "{at}");
            assert_eq!((&found[0].0, found[0].1), (&data, Damage::NONE), "{at}");
            assert_eq!(tally.good_frames, 1);
        }
        // Where it comes by itself behind a pause, nothing tells one case from the other.
        let chunks = [(0, &data[..28]), (500, &data[28..36]), (500, &data[36..])];
        let (found, _) = paced(&chunks);
        assert_eq!((found[0].1, &found[1].0[..]), (Damage::TOO_SHORT, &TOKEN[..]));
        // But short pauses do not do it.
        assert_eq!(paced(&chunks.map(|(ms, chunk)| (ms / 5, chunk))).0.len(), 1);
    }

    #[test]
    fn a_header_that_announces_too_much_is_a_damaged_one_and_hides_nothing() {
        for (length, crc_is_right) in [(2044u16, true), (0xffff, true), (0xffff, false)] {
            let [high, low] = length.to_be_bytes();
            let header = [6, 1, 2, high, low];
            let crc = HEADER_CRC.checksum(&header) ^ u8::from(!crc_is_right);
            let line = [&[0x55, 0xff][..], &header, &[crc], &TOKEN].concat();
            let (found, tally) = frames(&line);
            let damage = if crc_is_right { Damage::TOO_LONG } else { Damage::CRC_ERROR };
            let expected = [(line[..8].to_vec(), damage, 8), (TOKEN.to_vec(), Damage::NONE, 8)];
            assert_eq!(found, expected);
            assert_eq!(tally.skipped_octets, 0);
        }
        // A good frame may begin in it.
        let line = [&[0x55, 0xff, 0x7f][..], &TOKEN].concat();
        assert_eq!(frames(&line).0.last(), Some(&(TOKEN.to_vec(), Damage::NONE, 8)));
    }
}
