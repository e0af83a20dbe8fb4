//! Words for P1 telegrams of smart meters, behind the header that names Wireshark's dissector.

use super::{Words, text};
use crate::exported_pdu;

/// Imported power, in most telegrams.
const POWER: &str = "1-0:1.7.0(";

/// Words for a telegram: the meter's identification, how many objects it has, and the power.
pub fn words(packet: &[u8], _intact: bool) -> Words {
    let (_, telegram) = exported_pdu::split(packet).unwrap_or_default();
    let telegram = String::from_utf8_lossy(telegram);
    let mut lines = telegram.lines();
    let meter = lines.next().and_then(|line| line.strip_prefix('/')).unwrap_or_default();
    if meter.is_empty() {
        return Words::new("cut off in its header");
    }
    let meter = text(meter.replace('\u{2}', "\\2").as_bytes());
    // Values of one object may go on in the next line.
    let is_object = |line: &&str| line.contains('(') && !line.starts_with('(');
    let objects: Vec<&str> = lines.filter(is_object).collect();
    let power = objects.iter().find_map(|line| line.strip_prefix(POWER)?.strip_suffix(')'));
    let power =
        power.map(|power| format!(", power {}", text(power.as_bytes()))).unwrap_or_default();
    Words::new(format!("{meter}, {} objects{power}", objects.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exported_pdu::Header;

    #[test]
    fn a_telegram_says_which_meter_it_is_from() {
        let telegram = b"/ISk5\\2MT\r\n\r\n0-0:96.1.1(00)\r\n1-0:1.7.0(01.19*kW)\r\n!\r\n";
        let packet = [&Header::of("data-text-lines").end(), &telegram[..]].concat();
        assert_eq!(words(&packet, true).info, "ISk5\\2MT, 2 objects, power 01.19*kW");
        assert_eq!(words(&[], true).info, "cut off in its header");
        let telegram = b"/ISk5\\2MT\r\n\r\n0-2:24.3.0(211123200000)(00)(0-2:24.2.1)(m3)\r\n(13376.292)\r\n!\r\n";
        let packet = [&Header::of("data-text-lines").end(), &telegram[..]].concat();
        assert_eq!(words(&packet, true).info, "ISk5\\2MT, 1 objects");
    }
}
