//! The octets that mark frames of the format class FT 1.2 (IEC 60870-5-1), which framings and
//! dissectors share: M-Bus, IEC 60870-5-101 to 103, PROFIBUS.

/// Starts a frame of the length that it gives.
pub(crate) const LONG: u8 = 0x68;
/// Starts a frame of a fixed length.
pub(crate) const SHORT: u8 = 0x10;
/// A frame by itself: acknowledged.
pub(crate) const ACK: u8 = 0xe5;
/// Ends all frames of more than one octet, but for a token of PROFIBUS.
pub(crate) const STOP: u8 = 0x16;
/// Of a long frame: start, lengths, start again.
pub(crate) const HEAD_LEN: usize = 4;

/// What is in a frame, as far as it tells its protocol from its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// No frame of this protocol has it.
    Not,
    /// Others have it as well.
    Shared,
    /// It is usual in this protocol, and not in its kin.
    Own,
}

/// Whether a frame that is right as a frame is one of M-Bus: control field and control information
/// as meters and their masters have them (EN 13757-2 5.5, EN 13757-3 table 2).
pub(crate) fn fits_mbus(frame: &[u8]) -> Fit {
    match (frame.first(), body(frame)) {
        (Some(&SHORT), Some([0x40 | 0x5a | 0x5b | 0x7a | 0x7b, _])) => Fit::Shared,
        (Some(&LONG), Some([0x08 | 0x18 | 0x28 | 0x38, _, 0x70..=0x8f, ..])) => Fit::Own,
        (
            Some(&LONG),
            Some([0x53 | 0x73 | 0x43, _, 0x50..=0x5f, ..] | [0x53 | 0x73 | 0x43, _, 0xb8..=0xbf]),
        ) => Fit::Own,
        // Of makers.
        (Some(&LONG), Some([0x53 | 0x73 | 0x43, _, 0xa0..=0xb7, ..])) => Fit::Shared,
        // A segment of DLMS, to all or to one: from the management of a meter to its consumer.
        (Some(&LONG), Some([0x53 | 0x73, 0xfe | 0xff, 0x00..=0x1f, _, _, ..]))
        | (Some(&LONG), Some([0x53 | 0x73, _, 0x00..=0x1f, 0x01, 0x66 | 0x67, ..])) => Fit::Own,
        _ => Fit::Not,
    }
}

/// Whether such a frame is one of IEC 60870-5-101, -102 or -103: function (IEC 60870-5-2 tables 1
/// and 2), and data that are as long as their type and their number of objects say.
pub(crate) fn fits_iec101(frame: &[u8]) -> Fit {
    let is_function = |control: u8| match (control & PRIMARY != 0, control & 0x0f) {
        (true, function) => matches!(function, 0 | 3 | 4 | 8..=11),
        (false, function) => matches!(function, 0 | 1 | 8 | 9 | 11),
    };
    match (frame.first(), body(frame)) {
        (Some(&SHORT), Some([0x40 | 0x5a | 0x5b | 0x7a | 0x7b, _])) => Fit::Shared,
        // Requests of PROFIBUS look like this.
        (Some(&SHORT), Some([control, _, 0x40..=0x7f])) if is_function(*control) => Fit::Shared,
        (Some(&SHORT), Some([control, _] | [control, _, _])) if is_function(*control) => Fit::Own,
        // Nobody confirms what is for all.
        (Some(&LONG), Some([control, 0xff, ..])) if control & 0x4f == PRIMARY | 3 => Fit::Not,
        (Some(&LONG), Some([control, rest @ ..])) if is_function(*control) => match asdu(frame) {
            Some(_) => Fit::Own,
            None if fits_mbus(frame) == Fit::Own => Fit::Not,
            // Of makers, or as long as their content.
            None if (1..=2).any(|size| rest.get(size..).is_some_and(is_usual)) => Fit::Shared,
            None => Fit::Not,
        },
        _ => Fit::Not,
    }
}

/// Control field: the frame comes from the station that asks.
pub(crate) const PRIMARY: u8 = 0x40;

/// Whether data begin with a type and a cause of transmission that are assigned (IEC 60870-5-101
/// 7.2.1 and 7.2.3).
fn is_usual(asdu: &[u8]) -> bool {
    let &[kind, _, cause, ..] = asdu else { return false };
    let is_kind =
        matches!(kind, 1..=40 | 45..=51 | 58..=64 | 70 | 100..=107 | 110..=113 | 120..=127);
    is_kind && is_cause(cause)
}

fn is_cause(cause: u8) -> bool {
    matches!(cause & 0x3f, 1..=13 | 20..=41 | 44..=47)
}

/// The companion standards of IEC 60870-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Companion {
    /// IEC 60870-5-101.
    Telecontrol,
    /// IEC 60870-5-102.
    Metering,
    /// IEC 60870-5-103.
    Protection,
}

/// How many octets the link address of a long frame takes, and of which standard the data behind it
/// are, if they are as long as they say.
pub(crate) fn asdu(frame: &[u8]) -> Option<(usize, Companion)> {
    if frame.first() != Some(&LONG) {
        return None;
    }
    let [_control, rest @ ..] = body(frame)? else { return None };
    let of = |size: usize| Some((size, companion(rest.get(size..)?)?));
    // What a meter of M-Bus says of itself may be anything.
    of(1).or_else(|| if fits_mbus(frame) == Fit::Own { None } else { of(2) })
}

fn companion(asdu: &[u8]) -> Option<Companion> {
    let &[kind, qualifier, cause, ..] = asdu else { return None };
    if !is_cause(cause) {
        return None;
    }
    let (in_sequence, count) = (qualifier & 0x80 != 0, usize::from(qualifier & 0x7f));
    let len = asdu.len();
    if in_sequence && protection_lens(asdu, count) == Some(len) {
        return Some(Companion::Protection);
    }
    // A request for times, or for totals: it has no objects, and a record address of three octets.
    if qualifier == 0 && matches!(kind, 100..=127) && len == 6 {
        return Some(Companion::Metering);
    }
    let size = element_len(kind)?;
    let is_command = kind >= 45;
    if count == 0 || is_command && qualifier != 1 {
        return None;
    }
    // Cause and common address take two to four octets, addresses of objects one to three.
    let fits = (1..=3).any(|address| {
        let objects = if in_sequence { address + count * size } else { count * (address + size) };
        (2..=4).any(|head| 2 + head + objects == len)
    });
    fits.then_some(Companion::Telecontrol)
}

/// How long data of IEC 60870-5-103 are (7.3), header and all.
fn protection_lens(asdu: &[u8], count: usize) -> Option<usize> {
    const MEASURANDS: std::ops::RangeInclusive<u8> = 144..=151;
    Some(match (*asdu.first()?, count) {
        (1, 1) => 12,
        (2, 1) => 16,
        (3 | 9, 1..=16) if asdu.get(5).is_some_and(|info| MEASURANDS.contains(info)) => {
            6 + 2 * count
        }
        (4, 1) => 18,
        (5, 1) => 19,
        (6, 1) => 13,
        (7 | 8, 1) => 7,
        (20, 1) => 8,
        (24 | 25, 1) => 11,
        _ => return None,
    })
}

/// How many octets one object of this type has (IEC 60870-5-101, 7.3), without its address.
fn element_len(kind: u8) -> Option<usize> {
    Some(match kind {
        102 => 0,
        1 | 3 | 45..=47 | 70 | 100 | 101 | 105 | 113 => 1,
        5 | 21 | 104 | 106 => 2,
        9 | 11 | 48 | 49 | 110 | 111 => 3,
        2 | 4 | 51 => 4,
        6 | 7 | 13 | 15 | 20 | 50 | 112 => 5,
        10 | 12 | 17 => 6,
        18 | 19 | 103 => 7,
        8 | 14 | 16 | 30 | 31 | 58..=60 => 8,
        32 | 107 => 9,
        34 | 35 | 38 | 61 | 62 => 10,
        39 | 40 | 64 => 11,
        33 | 36 | 37 | 63 => 12,
        _ => return None,
    })
}

/// Whether such a frame is a telegram of PROFIBUS: addresses and frame control (IEC 61158-4-3, 7.2).
/// Answers without data say as little as those of IEC 60870-5.
pub(crate) fn fits_profibus(telegram: &[u8]) -> Fit {
    const REQUEST: u8 = 0x40;
    const EXTENDED: u8 = 0x80;
    let Some([destination, source, control, data @ ..]) = body(telegram) else {
        return Fit::Shared;
    };
    let is_address = source & 0x7f != 0x7f && destination & 0x7f != source & 0x7f;
    let is_request = control & REQUEST != 0;
    let is_control = match (control & 0x80, is_request, control & 0x0f) {
        (0, true, function) => matches!(function, 0 | 3..=7 | 9 | 12..=15),
        (0, false, function) => matches!(function, 0..=3 | 8..=10 | 12 | 13),
        _ => false,
    };
    if !is_address || !is_control {
        return Fit::Not;
    }
    if data.is_empty() {
        return if is_request { Fit::Own } else { Fit::Shared };
    }
    let has_data = match (is_request, control & 0x0f) {
        (true, function) => matches!(function, 3..=7 | 12 | 13),
        (false, function) => matches!(function, 8 | 10 | 12 | 13),
    };
    // An access point at the source alone does not occur.
    let is_sent = source & EXTENDED == 0 || destination & EXTENDED != 0;
    match has_data && is_sent {
        true if fits_mbus(telegram) == Fit::Own || asdu(telegram).is_some() => Fit::Shared,
        true => Fit::Own,
        false => Fit::Not,
    }
}

/// The octets of a frame behind its start: control field and what follows, without sum and stop.
pub(crate) fn body(frame: &[u8]) -> Option<&[u8]> {
    let (rest, _) = frame.split_last_chunk::<2>()?;
    let start = if rest.first() == Some(&LONG) { HEAD_LEN } else { 1 };
    rest.get(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame around this body; its sum does not matter here.
    fn frame(body: &[u8]) -> Vec<u8> {
        let len = body.len() as u8;
        let head = if body.len() > 3 { vec![LONG, len, len, LONG] } else { vec![SHORT] };
        [&head[..], body, &[0, STOP]].concat()
    }

    fn fits(body: &[u8]) -> [Fit; 3] {
        let frame = frame(body);
        [fits_mbus(&frame), fits_iec101(&frame), fits_profibus(&frame)]
    }

    #[test]
    fn kin_is_told_apart() {
        use Fit::{Not, Own, Shared};
        // A meter, and a segment of DLMS whose octets could be an ASDU.
        assert_eq!(fits(&[8, 1, 0x72, 1, 1, 20, 1, 1, 1, 1]), [Own, Not, Not]);
        assert_eq!(fits(&[8, 1, 0x76, 0, 1, 2, 3]), [Own, Not, Shared]);
        let segment = [0x53, 0xff, 0x11, 1, 0x67, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(fits(&segment), [Own, Not, Not]);
        assert_eq!(fits(&[0x53, 1, 0, 1, 0x67, 0xdb, 8]), [Own, Not, Not]);
        // An interrogation, with addresses of one and two octets.
        assert_eq!(fits(&[0x73, 1, 100, 1, 6, 1, 0, 0, 20])[1..], [Own, Shared]);
        assert_eq!(fits(&[0x73, 1, 0, 100, 1, 6, 1, 0, 0, 0, 20]), [Not, Own, Not]);
        assert_eq!(fits(&[0x73, 1, 100, 1, 6, 1, 0, 0, 20, 0, 0, 0, 0])[1], Shared, "too long");
        assert_eq!(fits(&[0x28, 1, 13, 1, 3, 1, 1, 0, 0, 0, 128, 63, 0]), [Not, Own, Shared]);
        // Short frames.
        assert_eq!(fits(&[0x49, 1]), [Not, Own, Shared]);
        assert_eq!(fits(&[0x5b, 1]), [Shared, Shared, Shared]);
        assert_eq!(fits(&[0x5b, 1, 0]), [Not, Own, Shared]);
        assert_eq!(fits(&[5, 2, 0x49]), [Not, Not, Own]);
        assert_eq!(fits(&[0x49, 2, 0x49]), [Not, Shared, Own]);
        // Telegrams of PROFIBUS.
        assert_eq!(fits(&[3, 2, 0x5d, 1, 2]), [Not, Not, Own]);
        assert_eq!(fits(&[2, 3, 8, 1, 2]), [Not, Not, Own]);
        assert_eq!(fits(&[2, 3, 0, 1, 2]), [Not, Not, Not], "an answer with data it has not");
        assert_eq!(fits(&[2, 0x83, 8, 1, 2]), [Not, Not, Not], "an access point at one end");
    }

    #[test]
    fn data_tell_their_standard_and_how_long_the_address_is() {
        use Companion::{Metering, Protection, Telecontrol};
        let of = |body: &[u8]| asdu(&frame(body));
        assert_eq!(of(&[8, 7, 1, 2, 20, 7, 1, 0, 1, 2, 0, 0]), Some((1, Telecontrol)));
        assert_eq!(of(&[8, 7, 0, 1, 0x83, 20, 7, 1, 0, 1, 0, 0]), Some((2, Telecontrol)));
        assert_eq!(of(&[8, 7, 1, 2, 20, 7, 1, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(of(&[8, 1, 8, 0x81, 10, 1, 255, 0, 5]), Some((1, Protection)));
        let measurands = [8, 1, 9, 0x82, 2, 1, 160, 148, 1, 2, 3, 4];
        assert_eq!(of(&measurands), Some((1, Protection)));
        assert_eq!(of(&[0x73, 0xd2, 0xb7, 103, 0, 5, 1, 0, 0]), Some((2, Metering)));
        assert_eq!(of(&[0x49, 1]), None);
    }
}
