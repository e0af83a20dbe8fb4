//! Words for sentences of NMEA 0183, behind the header that names Wireshark's dissector.

use super::Words;
use crate::exported_pdu;

/// Words for a sentence: who says what kind of sentence, then its fields as they are.
pub fn words(packet: &[u8], _intact: bool) -> Words {
    let (_, line) = exported_pdu::split(packet).unwrap_or_default();
    let line = without_tag_block(line.trim_ascii_end());
    let text = line.get(1..).unwrap_or_default();
    let text = super::text(text);
    let text = text.rsplit_once('*').map_or(&*text, |(said, _)| said);
    if text.is_empty() {
        return Words::new("cut off in its header");
    }
    let (address, fields) = text.split_once(',').unwrap_or((text, ""));
    // A talker is two characters, but for those of makers, which begin with P.
    let (source, kind) = match address.split_at_checked(2) {
        Some((talker, kind)) if !address.starts_with('P') && kind.len() == 3 => {
            (Some(talker.to_owned()), kind)
        }
        _ => (None, address),
    };
    let info = match format!("{kind} {fields}").trim() {
        "" => "an empty sentence".to_owned(),
        said => said.to_owned(),
    };
    Words { source, info, ..Words::default() }
}

/// A sentence without the tag block before it, which says where it is from, and when.
fn without_tag_block(line: &[u8]) -> &[u8] {
    let [b'\\', rest @ ..] = line else { return line };
    let end = rest.iter().position(|octet| *octet == b'\\');
    end.map_or(line, |end| &rest[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn a_talker_is_told_from_what_is_said() {
        let text = |line: &str| {
            let packet = [Header::of("data-text-lines").end(), line.as_bytes().to_vec()].concat();
            let words = words(&packet, true);
            (words.source.unwrap_or_default(), words.info)
        };
        let said = |source: &str, info: &str| (source.to_owned(), info.to_owned());
        assert_eq!(text("$GPGSA,A,3*33\r\n"), said("GP", "GSA A,3"));
        assert_eq!(text("!AIVDM,1,1,,B,x,0*4C\r\n"), said("AI", "VDM 1,1,,B,x,0"));
        assert_eq!(text("$PMTK010,001*2E\r\n"), said("", "PMTK010 001"));
        assert_eq!(text("\\s:a*28\\$GPGSA,A,3*33\r\n"), said("GP", "GSA A,3"));
        assert_eq!(text("$GP"), said("", "GP"));
        assert_eq!(text(""), said("", "cut off in its header"));
    }
}
