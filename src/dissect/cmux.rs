//! Words for frames of the multiplexer of 3GPP TS 27.010, as `LINKTYPE_MUX27010` has them.

use super::{Words, text};

/// Kinds of frames by their control octet without the P/F bit: clause 5.2.1.3.
const KINDS: [(u8, &str); 6] =
    [(0x2f, "SABM"), (0x63, "UA"), (0x0f, "DM"), (0x43, "DISC"), (0xef, "UIH"), (0x03, "UI")];

/// What a control octet says, if it is one.
pub(crate) fn kind(control: u8) -> Option<&'static str> {
    KINDS.into_iter().find(|(kind, _)| *kind == control & !0x10).map(|(_, name)| name)
}

/// Whether a frame with this control octet has information.
pub(crate) fn has_information(control: u8) -> bool {
    matches!(control & !0x10, 0xef | 0x03)
}

/// Whether the FCS covers the information.
pub(crate) fn is_covered(control: u8) -> bool {
    control & !0x10 == 0x03
}

/// Whether it is a command, and not an answer.
pub(crate) fn is_command(control: u8) -> bool {
    !matches!(control & !0x10, 0x63 | 0x0f)
}

/// Words for a frame, such as `channel 1 UIH, 5 bytes: AT`.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let damaged = || Words::new("cut off or damaged");
    let &[_, direction, 0xf9, address, control, low, ref rest @ ..] = packet else {
        return damaged();
    };
    let Some(kind) = kind(control).filter(|_| intact) else { return damaged() };
    let information = if low & 1 == 1 { rest } else { rest.get(1..).unwrap_or_default() };
    let information = information.split_last().map_or(&[][..], |(_, information)| information);
    let mut info = format!("channel {} {kind}", address >> 2);
    if !information.is_empty() {
        info.push_str(&format!(", {} bytes", information.len()));
        let said = information.trim_ascii();
        if !said.is_empty() && said.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\r' | b'\n'))
        {
            info.push_str(&format!(": {}", text(said)));
        }
    }
    let (host, module) = ("host".to_owned(), "module".to_owned());
    let (from, to) = if direction == 0 { (host, module) } else { (module, host) };
    Words { source: Some(from), destination: Some(to), info, is_routine: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_in_words() {
        let said = |packet: &[u8]| {
            let words = words(packet, true);
            format!("{} {}", words.addresses(), words.info)
        };
        assert_eq!(said(b"\0\0\xf9\x03\x3f\x01\x1c"), "host > module channel 0 SABM");
        let command = said(b"\0\0\xf9\x07\xef\x07AT\r\x5e");
        assert_eq!(command, "host > module channel 1 UIH, 3 bytes: AT");
        let long = [&b"\0\x01\xf9\x05\xef\x00\x02"[..], &[0; 256], b"\x5e"].concat();
        assert_eq!(said(&long), "module > host channel 1 UIH, 256 bytes");
        assert_eq!(words(b"\0\0\xf9", false).info, "cut off or damaged");
    }
}
