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
        (Some(&LONG), Some([0x53 | 0x73 | 0x43, _, 0x50..=0x5f | 0xa0..=0xbf, ..])) => Fit::Own,
        _ => Fit::Not,
    }
}

/// Whether such a frame is one of IEC 60870-5-101 or -103: function (IEC 60870-5-2 tables 1 and 2),
/// type of the data and cause of transmission (IEC 60870-5-101 7.2.1 and 7.2.3).
pub(crate) fn fits_iec101(frame: &[u8]) -> Fit {
    const PRIMARY: u8 = 0x40;
    let is_function = |control: u8| match (control & PRIMARY != 0, control & 0x0f) {
        (true, function) => matches!(function, 0 | 3 | 4 | 8..=11),
        (false, function) => matches!(function, 0 | 1 | 8 | 9 | 11),
    };
    match (frame.first(), body(frame)) {
        (Some(&SHORT), Some([0x40 | 0x5a | 0x5b | 0x7a | 0x7b, ..])) => Fit::Shared,
        (Some(&SHORT), Some([control, ..])) if is_function(*control) => Fit::Own,
        (Some(&LONG), Some([control, _, kind, _, cause, ..])) if is_function(*control) => {
            let is_kind = matches!(kind, 1..=40 | 45..=51 | 58..=64 | 70 | 100..=107 | 110..=113);
            let is_file = matches!(kind, 120..=127) && matches!(cause & 0x3f, 5 | 13);
            if (is_kind || is_file) && cause & 0x3f != 0 { Fit::Own } else { Fit::Not }
        }
        _ => Fit::Not,
    }
}

/// Whether such a frame is a telegram of PROFIBUS: addresses and frame control (IEC 61158-4-3, 7.2).
pub(crate) fn fits_profibus(telegram: &[u8]) -> Fit {
    const REQUEST: u8 = 0x40;
    match body(telegram) {
        Some([destination, source, control, ..]) => {
            let is_address = source & 0x7f != 0x7f && destination & 0x7f != source & 0x7f;
            let is_control = match (control & 0x80, control & REQUEST, control & 0x0f) {
                (0, REQUEST, function) => matches!(function, 0 | 3..=7 | 9 | 12..=15),
                (0, _, function) => matches!(function, 0..=3 | 8..=10 | 12 | 13),
                _ => false,
            };
            if is_address && is_control { Fit::Own } else { Fit::Not }
        }
        _ => Fit::Shared,
    }
}

/// The octets of a frame behind its start: control field and what follows, without sum and stop.
pub(crate) fn body(frame: &[u8]) -> Option<&[u8]> {
    let (rest, _) = frame.split_last_chunk::<2>()?;
    let start = if rest.first() == Some(&LONG) { HEAD_LEN } else { 1 };
    rest.get(start..)
}
