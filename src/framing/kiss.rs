//! KISS: AX.25 between a computer and a modem of packet radio ("The KISS TNC").
//!
//! ```text
//! C0 | port (4 bits), command (4 bits) | AX.25, or a parameter | C0     DB DC is C0, DB DD is DB
//! ```
//!
//! Command C is data as well: two octets stand before the AX.25 frame, and the modem gives them back
//! alone once it has sent that. The latter is no packet: Wireshark looks for AX.25 in it.
//!
//! Recorded from the octet with port and command on. KISS has no check sequence: what stands
//! between two `C0` is a frame if its command is known and its length is right for that. Some
//! firmware ends its frames as lines are ended: `0D 0A` behind a `C0`, and text in general, is no
//! frame.

use super::Protocol;
use super::stuffing::{Run, Stuffing, Unstuffer, Verdict};
use crate::dissect;
use crate::line::Line;
use crate::packet::{Damage, LinkType};

/// What the rest of the program knows about it.
pub(super) static ROW: Protocol = Protocol {
    name: "kiss",
    help: "AX.25 packet radio from a KISS TNC",
    line: Line::at(9_600),
    link_type: LinkType::AX25_KISS,
    framer: |setup| Box::new(Unstuffer::new(Kiss, setup)),
    drop_lines: false,
    sniffer: None,
    when_silent: "check that the adapter is wired to the line between TNC and computer, and that \
                  the TNC is in KISS mode",
    when_senseless: "check the rate (1200 to 115200), and that the TNC is in KISS mode",
    comment: false,
    dissector: dissect::ax25::words,
    proof,
    ..Protocol::PLAIN
};

/// Call signs in the address fields; else nothing speaks for it but two flags.
fn proof(packet: &[u8]) -> u8 {
    let frame = match *packet {
        [kind, _, _, ref frame @ ..] if kind & 0x0f == NUMBERED => frame,
        [_, ref frame @ ..] => frame,
        [] => return 0,
    };
    if dissect::ax25::is_addressed(frame) { 40 } else { 0 }
}

/// Commands, in the low bits of the first octet.
const DATA: u8 = 0;
const SET_HARDWARE: u8 = 6;
const NUMBERED: u8 = 0x0c;
/// The whole first octet.
const RETURN: u8 = 0xff;

struct Kiss;

impl Stuffing for Kiss {
    const FLAG: u8 = 0xc0;
    const ESCAPE: u8 = 0xdb;

    fn unescaped(octet: u8) -> Option<u8> {
        match octet {
            0xdc => Some(0xc0),
            0xdd => Some(0xdb),
            _ => None,
        }
    }

    fn judge(&self, run: Run<'_>) -> Verdict {
        let Some((&kind, rest)) = run.octets.split_first() else { return Verdict::Nothing };
        let ends_a_line = run.octets.ends_with(b"\n") || run.octets.ends_with(b"\r");
        let is_frame = match kind & 0x0f {
            _ if kind == RETURN => rest.is_empty(),
            DATA => !(rest.is_empty() || run.is_text() && ends_a_line),
            SET_HARDWARE => !rest.is_empty() && !run.is_text(),
            1..SET_HARDWARE => rest.len() == 1,
            NUMBERED if rest.len() == 2 && run.is_opened && run.is_closed && run.is_sound => {
                return Verdict::Padding;
            }
            NUMBERED => rest.get(2..).is_some_and(dissect::ax25::is_addressed),
            _ => false,
        };
        match () {
            () if !is_frame || !run.is_opened => Verdict::Nothing,
            () if !run.is_closed => Verdict::Damaged(Damage::TOO_SHORT),
            () if !run.is_sound => Verdict::Damaged(Damage::CRC_ERROR),
            () => Verdict::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::{Framer as _, Setup};
    use crate::packet::Batch;
    use crate::time::Timestamp;

    fn frames(line: &[u8]) -> (Vec<(Vec<u8>, Damage)>, u64) {
        let mut framer = Unstuffer::new(Kiss, &Setup::new(9_600));
        let mut batch = Batch::new(0);
        framer.push(line, Timestamp::default(), &mut batch);
        framer.finish(&mut batch);
        let found = batch.packets().map(|packet| (packet.data.to_vec(), packet.damage));
        (found.collect(), framer.tally().skipped_octets)
    }

    #[test]
    fn the_ends_of_lines_between_frames_are_nothing() {
        let line =
            b"boot\r\n\xc0\0ab\xdb\xdc\xc0\r\n\xc0\0cd\xdb\xdd\xc0\r\npower\r\n\xc0\x01\x32\xc0";
        let found = [&b"\0ab\xc0"[..], b"\0cd\xdb", b"\x01\x32"];
        let found: Vec<_> = found.map(|data| (data.to_vec(), Damage::NONE)).to_vec();
        assert_eq!(frames(line), (found, 6 + 2 + 9));
    }

    #[test]
    fn a_command_has_its_length() {
        let line = b"\xc0\x01\xc0\x01\x02\x03\xc0\x0d\x0a\xc0\xff\xc0\x0f\x01\xc0";
        assert_eq!(frames(line).0, [(vec![0xff], Damage::NONE)]);
    }

    #[test]
    fn data_with_a_number_is_data() {
        let call = b"\x9c\x60\x86\x82\x98\x98\xee\x9c\x60\x86\x82\x98\x98\x65\x03\xf0hi";
        let numbered = [b"\x1c\x01\x02", &call[..]].concat();
        let line =
            [b"\xc0\x1c\x01\x02\xc0\xc0", &numbered[..], b"\xc0\x1c\x01\x02\xc0\xc0\x0cCQ CQ\xc0"]
                .concat();
        let good = |data: &[u8]| (data.to_vec(), Damage::NONE);
        assert_eq!(frames(&line), (vec![good(&numbered)], 7));
        assert_eq!(proof(&numbered), 40);
    }

    #[test]
    fn what_is_wrong_with_a_frame() {
        let line = b"\xc0\0a\xdbb\xc0\0cut";
        let expected =
            vec![(b"\0a\xdbb".to_vec(), Damage::CRC_ERROR), (b"\0cut".to_vec(), Damage::TOO_SHORT)];
        assert_eq!(frames(line), (expected, 0));
    }
}
