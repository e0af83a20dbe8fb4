//! The two lines of a packet: a header of numbers, and data in hex.

use crate::framing::wpan;

/// Digits of the longest number.
const MAX_DIGITS: usize = 16;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) lqi: u8,
    pub(super) rx_us: u64,
    pub(super) widths: Widths,
}

/// How the numbers of a header are written: whether with `0x`, and in how many digits.
pub(super) type Widths = [(bool, usize); 3];
/// Ways that no lost or doubled character leads to.
pub(super) const KNOWN: [Widths; 2] =
    [[(false, 8), (false, 2), (false, 16)], [(true, 2), (true, 2), (true, 16)]];

/// A header from the end of its [`MARK`](super::MARK) to the end of its line.
pub(super) fn parse_header(fields: &[u8]) -> Option<Header> {
    let mut words = fields.split(|&octet| octet == b' ');
    let (len, len_width) = parse_number(words.next()?)?;
    words.next().filter(|word| word == b"lqi")?;
    let (lqi, lqi_width) = parse_number(words.next()?)?;
    words.next().filter(|word| word == b"rx_time")?;
    let (rx_us, rx_width) = parse_number(words.next()?)?;
    let len = usize::try_from(len).ok().filter(|len| (1..=wpan::MAX_PSDU).contains(len))?;
    let lqi = u8::try_from(lqi).ok()?;
    let widths = [len_width, lqi_width, rx_width];
    words.next().is_none().then_some(Header { len, lqi, rx_us, widths })
}

/// A hexadecimal number and how it is written.
fn parse_number(word: &[u8]) -> Option<(u64, (bool, usize))> {
    let digits = word.strip_prefix(b"0x");
    let width = (digits.is_some(), digits.unwrap_or(word).len());
    if !(1..=MAX_DIGITS).contains(&width.1) {
        return None;
    }
    let number = digits
        .unwrap_or(word)
        .iter()
        .try_fold(0, |number, &digit| Some(number << 4 | u64::from(digit_value(digit)?)))?;
    Some((number, width))
}

/// Fills `psdu` from a data line that has exactly as many octets.
pub(super) fn parse_data(line: &[u8], psdu: &mut [u8]) -> Option<()> {
    let line = line.strip_suffix(b" ").unwrap_or(line);
    let prefix: &[u8] = if line.starts_with(b"0x") { b"0x" } else { b"" };
    let mut words = line.split(|&octet| octet == b' ');
    for octet in psdu {
        let &[high, low] = words.next()?.strip_prefix(prefix)? else { return None };
        *octet = digit_value(high)? << 4 | digit_value(low)?;
    }
    words.next().is_none().then_some(())
}

fn digit_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
