//! Words for frames of DMX512, behind the header that names Wireshark's dissector.

use super::{Words, rdm};
use crate::exported_pdu::{self, Header};

/// Words for a frame, such as `512 slots, 17 of them not 0`. Without a start code it is RDM.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let rdm_head = Header::of("rdm").protocol("RDM").end();
    if packet.starts_with(&rdm_head) {
        return rdm::words(packet, intact);
    }
    let (_, frame) = exported_pdu::split(packet).unwrap_or_default();
    let Some((code, slots)) = frame.split_first() else { return Words::new("cut off") };
    let used = slots.iter().filter(|slot| **slot != 0).count();
    let is_routine = *code == 0;
    let info = match code {
        0x00 => format!("{} slots, {used} of them not 0", slots.len()),
        0x17 => format!("text, {} bytes", slots.len()),
        0x55 => format!("test, {} slots", slots.len()),
        0x91 => format!("by a manufacturer, {} bytes", slots.len()),
        0xcf => format!("system information, {} bytes", slots.len()),
        code => format!("start code {code:02X}, {} slots", slots.len()),
    };
    Words { info, is_routine, ..Words::new("") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_how_many_slots_it_has() {
        let said = |dissector: &str, column: &str, frame: &[u8]| {
            let packet = [&Header::of(dissector).protocol(column).end(), frame].concat();
            words(&packet, true).info
        };
        assert_eq!(said("dmx", "DMX512", &[0, 1, 0, 2]), "3 slots, 2 of them not 0");
        assert_eq!(said("dmx", "DMX512", &[0x17, 1, 0]), "text, 2 bytes");
        assert_eq!(said("rdm", "RDM", &[1]), "cut off in its header");
    }
}
