//! How long a frame of Modbus RTU is, which its function code and a count in it tell, and which
//! frame answers which.

use crc::{Crc, Table};

/// "MODBUS over serial line", 6.2.2: low octet first on the wire.
pub(crate) static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&crc::CRC_16_MODBUS);

/// Unit, function, CRC.
pub(super) const MIN_LEN: usize = 4;
/// "MODBUS over serial line", 2.5.1: 1 + 253 + 2.
pub(super) const MAX_LEN: usize = 256;
/// Unit, function | 80, exception code, CRC.
const EXCEPTION_LEN: usize = 5;
/// What marks the function of an exception.
pub(super) const EXCEPTION: u8 = 0x80;
/// Exception codes; the specification has 1 to 8, 10 and 11.
const EXCEPTIONS: std::ops::RangeInclusive<u8> = 1..=11;

const READ_COILS: u8 = 1;
const READ_DISCRETE_INPUTS: u8 = 2;
const READ_HOLDING_REGISTERS: u8 = 3;
const READ_INPUT_REGISTERS: u8 = 4;
const WRITE_COIL: u8 = 5;
const WRITE_REGISTER: u8 = 6;
const READ_EXCEPTION_STATUS: u8 = 7;
const DIAGNOSTICS: u8 = 8;
const EVENT_COUNTER: u8 = 0x0b;
const EVENT_LOG: u8 = 0x0c;
const WRITE_COILS: u8 = 0x0f;
const WRITE_REGISTERS: u8 = 0x10;
const REPORT_ID: u8 = 0x11;
const READ_FILE: u8 = 0x14;
const WRITE_FILE: u8 = 0x15;
const MASK_WRITE: u8 = 0x16;
const READ_WRITE: u8 = 0x17;
const READ_FIFO: u8 = 0x18;
const ENCAPSULATED: u8 = 0x2b;
/// Type of [`ENCAPSULATED`]: read device identification.
const DEVICE_ID: u8 = 0x0e;

/// Which of the two that talk sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The master asks, or tells.
    Request,
    /// The unit answers.
    Response,
}

/// How long a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many octets.
    Of(usize),
    /// Not less than so many: those that tell are not all here.
    AtLeast(usize),
    /// No such frame begins so.
    None,
}

/// Whether a frame with its CRC fits it.
pub(crate) fn crc_fits(frame: &[u8]) -> bool {
    frame.split_last_chunk().is_some_and(|(frame, crc)| CRC.checksum(frame).to_le_bytes() == *crc)
}

/// The function, without the mark of an exception.
pub(super) const fn plain_function(function: u8) -> u8 {
    function & !EXCEPTION
}

/// Whether the layout of this function, or of its exceptions, is known.
pub(super) fn is_known(function: u8) -> bool {
    KNOWN[usize::from(function)]
}

/// Functions that are known: each octet of a line is looked up here.
static KNOWN: [bool; 256] = {
    let mut known = [false; 256];
    let mut function = 0;
    while function < known.len() {
        known[function] = matches!(
            plain_function(function as u8),
            1..=8 | 0x0b | 0x0c | 0x0f..=0x11 | 0x14..=0x18 | 0x2b
        );
        function += 1;
    }
    known
};

fn number(octets: &[u8], at: usize) -> Option<usize> {
    octets.get(at..at + 2).map(|octets| usize::from(u16::from_be_bytes([octets[0], octets[1]])))
}

/// A frame of `fixed` octets and so many more as the count at `at` says, if that `is_right`.
fn counted(octets: &[u8], at: usize, fixed: usize, is_right: impl FnOnce(usize) -> bool) -> Extent {
    match octets.get(at) {
        None => Extent::AtLeast(fixed),
        Some(&count) => {
            let count = usize::from(count);
            let len = fixed + count;
            if len <= MAX_LEN && is_right(count) { Extent::Of(len) } else { Extent::None }
        }
    }
}

/// How long the request is that begins with `octets`, of which there are at least two.
pub(super) fn request(octets: &[u8]) -> Extent {
    match octets[1] {
        READ_COILS..=WRITE_REGISTER | DIAGNOSTICS => Extent::Of(8),
        READ_EXCEPTION_STATUS | EVENT_COUNTER | EVENT_LOG | REPORT_ID => Extent::Of(4),
        WRITE_COILS => counted(octets, 6, 9, |count| {
            count > 0 && number(octets, 4).is_some_and(|coils| coils.div_ceil(8) == count)
        }),
        WRITE_REGISTERS => counted(octets, 6, 9, |count| {
            count > 0 && number(octets, 4).is_some_and(|registers| registers * 2 == count)
        }),
        READ_FILE => counted(octets, 2, 5, |count| count > 0 && count % 7 == 0),
        WRITE_FILE => counted(octets, 2, 5, |count| count >= 9),
        MASK_WRITE => Extent::Of(10),
        READ_WRITE => counted(octets, 10, 13, |count| {
            count > 0 && number(octets, 8).is_some_and(|registers| registers * 2 == count)
        }),
        READ_FIFO => Extent::Of(6),
        ENCAPSULATED => match octets.get(2..4) {
            None => Extent::AtLeast(7),
            Some(&[DEVICE_ID, 1..=4]) => Extent::Of(7),
            Some(_) => Extent::None,
        },
        _ => Extent::None,
    }
}

/// Whether this is a request that other octets with the CRC seldom are: for registers or coils, as many as
/// an answer holds, or one that writes what it says twice, a coil that is on or off, or as many as it counts.
pub(super) fn is_certain_request(octets: &[u8]) -> bool {
    match *octets {
        [_, READ_HOLDING_REGISTERS | READ_INPUT_REGISTERS, _, _, 0, 1..=125, _, _] => true,
        [_, READ_COILS | READ_DISCRETE_INPUTS, _, _, 0..=7, _, _, _] => {
            matches!(number(octets, 4), Some(1..=2000))
        }
        [_, WRITE_COIL, _, _, 0 | 0xff, 0, _, _] => true,
        [_, WRITE_COILS | WRITE_REGISTERS, ..] => request(octets) == Extent::Of(octets.len()),
        _ => false,
    }
}

/// The same of an answer.
pub(super) fn response(octets: &[u8]) -> Extent {
    let is_even = |count: usize| count > 0 && count.is_multiple_of(2);
    match octets[1] {
        READ_COILS | READ_DISCRETE_INPUTS | EVENT_LOG | REPORT_ID => {
            counted(octets, 2, 5, |count| count > 0)
        }
        READ_HOLDING_REGISTERS | READ_INPUT_REGISTERS | READ_WRITE => {
            counted(octets, 2, 5, is_even)
        }
        WRITE_COIL | WRITE_REGISTER | DIAGNOSTICS | EVENT_COUNTER | WRITE_COILS
        | WRITE_REGISTERS => Extent::Of(8),
        READ_EXCEPTION_STATUS => Extent::Of(5),
        READ_FILE => counted(octets, 2, 5, |count| count >= 2),
        WRITE_FILE => counted(octets, 2, 5, |count| count >= 9),
        MASK_WRITE => Extent::Of(10),
        READ_FIFO => match number(octets, 2) {
            None => Extent::AtLeast(8),
            Some(count) if count <= 64 && is_even(count) => Extent::Of(6 + count),
            Some(_) => Extent::None,
        },
        ENCAPSULATED => device_id(octets),
        function if function & EXCEPTION != 0 && is_known(function) => match octets.get(2) {
            Some(code) if !EXCEPTIONS.contains(code) => Extent::None,
            _ => Extent::Of(EXCEPTION_LEN),
        },
        _ => Extent::None,
    }
}

/// Function, type, code, conformity, whether more follows, next object, number of objects; then
/// each with id and length.
fn device_id(octets: &[u8]) -> Extent {
    const HEAD: usize = 8;
    match octets.get(2..HEAD) {
        None if octets.get(2).is_none_or(|kind| *kind == DEVICE_ID) => Extent::AtLeast(HEAD + 2),
        Some(&[DEVICE_ID, 1..=4, _, 0 | 0xff, _, objects]) => {
            let mut end = HEAD;
            for _ in 0..objects {
                match octets.get(end + 1) {
                    None => return Extent::AtLeast(end + 4),
                    Some(&len) => end += 2 + usize::from(len),
                }
                if end + 2 > MAX_LEN {
                    return Extent::None;
                }
            }
            Extent::Of(end + 2)
        }
        _ => Extent::None,
    }
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    octets: [u8; Self::KEPT],
    len: usize,
}

impl Asked {
    /// Octets of a request that say what the answer looks like.
    const KEPT: usize = 8;

    /// After this request; `None` if no unit answers it.
    pub(super) fn by(frame: &[u8]) -> Option<Self> {
        let mut octets = [0; Self::KEPT];
        let kept = frame.len().min(Self::KEPT);
        octets[..kept].copy_from_slice(&frame[..kept]);
        let is_told = matches!(
            octets[1],
            WRITE_COIL | WRITE_REGISTER | WRITE_COILS | WRITE_REGISTERS | WRITE_FILE | MASK_WRITE
        );
        (octets[0] != 0 || !is_told).then_some(Self { octets, len: frame.len() })
    }

    /// Whether a frame that begins with these two octets is from the unit that was asked, and of
    /// the same function.
    pub(super) fn is_of(&self, octets: &[u8]) -> bool {
        octets[0] == self.octets[0] && plain_function(octets[1]) == self.octets[1]
    }

    /// How long the answer is that begins with `octets`, of which there are at least two; none
    /// begins so if they do not answer this.
    pub(super) fn answer(&self, octets: &[u8]) -> Extent {
        if !self.is_of(octets) {
            return Extent::None;
        }
        let asked = &self.octets;
        let quantity = number(asked, 4).unwrap_or_default();
        let is_as_asked = |len: usize| octets.iter().zip(&asked[..len]).all(|(a, b)| a == b);
        let echo = |len: usize, extent| if is_as_asked(len) { extent } else { Extent::None };
        match octets[1] {
            function if function & EXCEPTION != 0 => Extent::Of(EXCEPTION_LEN),
            READ_COILS | READ_DISCRETE_INPUTS => {
                counted(octets, 2, 5, |count| count == quantity.div_ceil(8))
            }
            READ_HOLDING_REGISTERS | READ_INPUT_REGISTERS | READ_WRITE => {
                counted(octets, 2, 5, |count| count == quantity * 2)
            }
            WRITE_COIL | WRITE_REGISTER | WRITE_COILS | WRITE_REGISTERS => echo(6, Extent::Of(8)),
            DIAGNOSTICS => echo(4, Extent::Of(self.len)),
            MASK_WRITE => echo(8, Extent::Of(10)),
            WRITE_FILE => echo(3, Extent::Of(self.len)),
            _ => response(octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_one_of_the_catalogue() {
        assert_eq!(CRC.checksum(b"123456789"), 0x4b37);
        assert!(crc_fits(&[0x01, 0x03, 0x03, 0xe8, 0x00, 0x02, 0x44, 0x7b]));
        assert!(!crc_fits(&[0x01, 0x03, 0x03, 0xe8, 0x00, 0x02, 0x7b, 0x44]));
        assert!(!crc_fits(&[1]));
    }

    #[test]
    fn each_function_has_its_layouts() {
        use Extent::{AtLeast, None, Of};
        let of = |octets: &[u8]| (request(octets), response(octets));
        assert_eq!(of(&[1, 1, 0, 0]), (Of(8), None));
        assert_eq!(of(&[1, 1, 3]), (Of(8), Of(8)));
        assert_eq!(of(&[1, 3]), (Of(8), AtLeast(5)));
        assert_eq!(of(&[1, 3, 3]), (Of(8), None));
        assert_eq!(of(&[1, 4, 250]), (Of(8), Of(255)));
        assert_eq!(of(&[1, 4, 252]), (Of(8), None));
        assert_eq!(of(&[1, 5]), (Of(8), Of(8)));
        assert_eq!(of(&[1, 6]), (Of(8), Of(8)));
        assert_eq!(of(&[1, 7]), (Of(4), Of(5)));
        assert_eq!(of(&[1, 8]), (Of(8), Of(8)));
        assert_eq!(of(&[1, 11]), (Of(4), Of(8)));
        assert_eq!(of(&[1, 12, 8]), (Of(4), Of(13)));
        assert_eq!(of(&[1, 15, 0, 0, 0, 10, 2]), (Of(11), Of(8)));
        assert_eq!(of(&[1, 15, 0, 0, 0, 10, 3]), (None, Of(8)));
        assert_eq!(of(&[1, 16, 0, 0, 0, 2]), (AtLeast(9), Of(8)));
        assert_eq!(of(&[1, 16, 0, 0, 0, 2, 4]), (Of(13), Of(8)));
        assert_eq!(of(&[1, 17, 5]), (Of(4), Of(10)));
        assert_eq!(of(&[1, 20, 14]), (Of(19), Of(19)));
        assert_eq!(of(&[1, 20, 13]), (None, Of(18)));
        assert_eq!(of(&[1, 21, 13]), (Of(18), Of(18)));
        assert_eq!(of(&[1, 22]), (Of(10), Of(10)));
        assert_eq!(of(&[1, 23, 12, 0, 0, 0, 0, 0, 0, 3, 6]), (Of(19), Of(17)));
        assert_eq!(of(&[1, 24, 0, 6, 0, 2]), (Of(6), Of(12)));
        assert_eq!(of(&[1, 24, 0x33]), (Of(6), AtLeast(8)));
        assert_eq!(of(&[1, 0x2b, 14, 1, 0]), (Of(7), AtLeast(10)));
        assert_eq!(of(&[1, 0x2b, 14, 1, 1, 0, 0, 2, 0, 3, 65, 66, 67, 1]).1, AtLeast(17));
        assert_eq!(of(&[1, 0x2b, 14, 1, 1, 0, 0, 2, 0, 3, 65, 66, 67, 1, 1, 65]).1, Of(18));
        assert_eq!(of(&[1, 0x2b, 13, 1, 1]), (None, None));
        assert_eq!(of(&[1, 0x83, 2]), (None, Of(5)));
        assert_eq!(of(&[1, 0x83, 0]), (None, None));
        for vendor in [0, 9, 0x41, 0x64, 0xc1] {
            assert_eq!(of(&[1, vendor, 1]), (None, None));
        }
    }

    #[test]
    fn an_answer_has_what_was_asked_for() {
        let asked = Asked::by(&[7, 3, 0, 1, 0, 2, 0, 0]).unwrap();
        assert_eq!(asked.answer(&[7, 3]), Extent::AtLeast(5));
        assert_eq!(asked.answer(&[7, 3, 4]), Extent::Of(9));
        assert_eq!(asked.answer(&[7, 3, 6]), Extent::None);
        assert_eq!(asked.answer(&[8, 3, 4]), Extent::None);
        assert_eq!(asked.answer(&[7, 4, 4]), Extent::None);
        assert_eq!(asked.answer(&[7, 0x83, 2]), Extent::Of(5));
        let told = Asked::by(&[7, 6, 0, 1, 0, 2, 0, 0]).unwrap();
        assert_eq!(told.answer(&[7, 6, 0, 1, 0, 2]), Extent::Of(8));
        assert_eq!(told.answer(&[7, 6, 0, 1, 0, 3]), Extent::None);
        assert!(Asked::by(&[0, 6, 0, 1, 0, 2, 0, 0]).is_none(), "a broadcast");
        assert!(Asked::by(&[255, 6, 0, 1, 0, 2, 0, 0]).is_some());
    }
}
