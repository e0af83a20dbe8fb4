//! Any octets as a capture file, and as a pcapng stream that comes in pieces: it comes to an end, and
//! where the stream is cut changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serialshark::decode::pieces::Pieces;
use serialshark::decode::{Reader, Recorded};
use serialshark::time::Timestamp;
use std::io::Cursor;

/// What there is of a packet.
type Found = (u32, u32, Option<Timestamp>, Vec<u8>, Option<String>);

fuzz_target!(|octets: &[u8]| {
    if let Ok(mut reader) = Reader::new(Cursor::new(octets.to_vec())) {
        while let Ok(Some(packet)) = reader.next_packet() {
            assert!(packet.octets.len() <= packet.original_len as usize);
        }
    }
    let whole = in_pieces(&[octets]);
    let (first, second) = octets.split_at(octets.len() / 2);
    assert_eq!(in_pieces(&[first, second]), whole);
    assert_eq!(in_pieces(&octets.chunks(1).collect::<Vec<_>>()), whole);
});

/// The packets up to the end, or to damage.
fn in_pieces(pieces: &[&[u8]]) -> Vec<Found> {
    let (mut stream, mut found) = (Pieces::default(), Vec::new());
    let mut keep = |packet: &Recorded<'_>| {
        let comment = packet.comment.map(str::to_owned);
        found.push((
            packet.section,
            packet.interface,
            packet.time,
            packet.octets.to_vec(),
            comment,
        ));
    };
    for piece in pieces {
        if stream.push(piece, &mut keep).is_err() {
            break;
        }
    }
    found
}
