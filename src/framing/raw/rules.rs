//! What a framing of one's own is told: how settings are written, and what they say.

use crate::exported_pdu::Header;
use crate::framing::Setup;
use crate::packet::LinkType;
use crate::setting::{Setting, Values};
use crc::{
    Algorithm, CRC_8_MAXIM_DOW, CRC_8_SMBUS, CRC_16_ARC, CRC_16_DNP, CRC_16_IBM_3740,
    CRC_16_IBM_SDLC, CRC_16_KERMIT, CRC_16_MODBUS, CRC_16_XMODEM, CRC_32_ISCSI, CRC_32_ISO_HDLC,
    CRC_32_MPEG_2, Crc, NoTable, Width,
};

/// Octets of the longest packet unless told otherwise.
const MAX_LEN: usize = 2_048;
/// The most that may be asked for.
const MOST_LEN: usize = 65_535;
/// A pause that ends a packet if nothing else does: longer than what a host stalls inside a burst,
/// and shorter than what most devices pause between two.
const PAUSE_NS: u64 = 10_000_000;

/// Names of the settings.
const GAP: &str = "gap";
const DELIMITER: &str = "delimiter";
const LENGTH_FIELD: &str = "length-field";
const START: &str = "start";
const CHECK: &str = "check";
const MAX_LENGTH: &str = "max-length";
const DISSECTOR: &str = "dissector";
const LINK_TYPE: &str = "link-type";

/// The settings, as the row lists them.
pub(super) static SETTINGS: [Setting; 8] = [
    Setting {
        name: GAP,
        value: "BITS|TIME",
        help: "A pause that is longer ends a packet: 35bit (bit times), 10ms, 500us. Over USB, two \
               packets less than some 20 ms apart may come as one [default without another rule: \
               10ms]",
        check: |text| gap(text).map(|_| ()),
    },
    Setting {
        name: DELIMITER,
        value: "HEX",
        help: "These bytes end a packet, such as 0d0a; with --gap a pause does so as well",
        check: |text| hex(text).map(|_| ()),
    },
    Setting {
        name: LENGTH_FIELD,
        value: "OFFSET,SIZE,ENDIAN,ADJUST",
        help: "Where a packet says its length: offset from 0, size in bytes (1 to 4), be or le, and \
               what to add to get the length of the whole packet: 2,2,be,4",
        check: |text| LengthField::parse(text).map(|_| ()),
    },
    Setting {
        name: START,
        value: "HEX",
        help: "A packet starts with these bytes, such as aa55",
        check: |text| hex(text).map(|_| ()),
    },
    Setting {
        name: CHECK,
        value: "NAME@[FROM..]-END[,ENDIAN]",
        help: "Check sequence that begins END bytes before the packet's end and covers what is \
               before it, from byte FROM on: crc16-modbus@-2, crc16-ccitt-false@1..-3,le, xor8@-1. \
               Names: crc8, crc8-maxim, crc16-arc, crc16-ccitt-false, crc16-dnp, crc16-kermit, \
               crc16-modbus, crc16-x25, crc16-xmodem, crc32, crc32c, crc32-mpeg2, lrc8, sum8, xor8",
        check: |text| Check::parse(text).map(|_| ()),
    },
    Setting {
        name: MAX_LENGTH,
        value: "N",
        help: "Length of the longest packet in bytes; longer ones are cut [default: 2048]",
        check: |text| max_length(text).map(|_| ()),
    },
    Setting {
        name: DISSECTOR,
        value: "NAME",
        help: "Wireshark's dissector for the packets, by its filter name, such as mbrtu [default: \
               data]",
        check: |text| dissector(text).map(|_| ()),
    },
    Setting {
        name: LINK_TYPE,
        value: "N",
        help: "Link type of the packets, a number such as 147 (USER0), in place of --dissector",
        check: |text| link_type(text).map(|_| ()),
    },
];

/// What does not go together.
pub(super) fn check(values: &Values) -> Result<(), String> {
    let both = |one, other, why: &str| match (values.get(one), values.get(other)) {
        (Some(_), Some(_)) => Err(format!("--{one} and --{other}: {why}; leave one out")),
        _ => Ok(()),
    };
    both(LENGTH_FIELD, DELIMITER, "both say where a packet ends")?;
    both(LENGTH_FIELD, GAP, "both say where a packet ends")?;
    both(DISSECTOR, LINK_TYPE, "both say what the packets are")
}

/// What capture files call the packets.
pub(super) fn link_type_of(setup: &Setup) -> LinkType {
    let chosen = setup.values.get(LINK_TYPE).and_then(|text| link_type(text).ok());
    chosen.unwrap_or(LinkType::WIRESHARK_UPPER_PDU)
}

/// What the settings say.
#[derive(Debug)]
pub(super) struct Rules {
    /// A longer pause ends a packet.
    pub(super) gap_ns: Option<u64>,
    /// These end one; not empty.
    pub(super) delimiter: Option<Vec<u8>>,
    /// This says where it ends.
    pub(super) length: Option<LengthField>,
    /// It begins with these; may be empty.
    pub(super) start: Vec<u8>,
    pub(super) check: Option<Check>,
    pub(super) max_len: usize,
    /// What is recorded before each packet.
    pub(super) head: Vec<u8>,
}

impl Rules {
    /// What is wrong has been refused when it was typed, and says nothing here.
    pub(super) fn of(setup: &Setup) -> Self {
        let text = |name| setup.values.get(name);
        let bit_ns = |bits: u64| bits.saturating_mul(1_000_000_000) / u64::from(setup.line.baud);
        let given = text(GAP).and_then(|text| gap(text).ok()).map(|gap| match gap {
            Gap::Bits(bits) => bit_ns(bits),
            Gap::Ns(ns) => ns,
        });
        let delimiter = text(DELIMITER).and_then(|text| hex(text).ok());
        let length = text(LENGTH_FIELD).and_then(|text| LengthField::parse(text).ok());
        let is_else = delimiter.is_some() || length.is_some();
        let gap_ns = given.or((!is_else).then_some(PAUSE_NS));
        let head = if text(LINK_TYPE).is_some() {
            Vec::new()
        } else {
            let name = text(DISSECTOR).unwrap_or("data");
            let header = Header::of(name).direction(setup.direction);
            if name == "data" { header.protocol("Serial").end() } else { header.end() }
        };
        Self {
            // Arrivals that are made up show no pauses.
            gap_ns: gap_ns.filter(|_| setup.timed),
            delimiter,
            length,
            start: text(START).and_then(|text| hex(text).ok()).unwrap_or_default(),
            check: text(CHECK).and_then(|text| Check::parse(text).ok()),
            max_len: text(MAX_LENGTH).and_then(|text| max_length(text).ok()).unwrap_or(MAX_LEN),
            head,
        }
    }
}

/// A pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Bits(u64),
    Ns(u64),
}

fn gap(text: &str) -> Result<Gap, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number.parse::<u64>().ok().filter(|number| (1..=1_000_000).contains(number));
    match (number, unit) {
        (Some(bits), "bit" | "bits") => Ok(Gap::Bits(bits)),
        (Some(us), "us") => Ok(Gap::Ns(us * 1_000)),
        (Some(ms), "ms") => Ok(Gap::Ns(ms * 1_000_000)),
        (Some(s), "s") => Ok(Gap::Ns(s * 1_000_000_000)),
        _ => Err("expected a pause, such as 35bit, 10ms or 500us".to_owned()),
    }
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let octets: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| {
            let digits = text.get(at..at + 2)?;
            u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
        })
        .collect();
    octets
        .filter(|octets| (1..=16).contains(&octets.len()))
        .ok_or_else(|| "expected 1 to 16 bytes in hex, such as 0d0a".to_owned())
}

fn max_length(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_LEN).contains(number));
    number.ok_or_else(|| format!("expected a number of bytes, 1 to {MOST_LEN}"))
}

fn dissector(text: &str) -> Result<&str, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_one = (1..=64).contains(&text.len()) && text.chars().all(is_name);
    is_one
        .then_some(text)
        .ok_or_else(|| "expected the name of a dissector, such as mbrtu".to_owned())
}

fn link_type(text: &str) -> Result<LinkType, String> {
    text.parse().map(LinkType).map_err(|_| {
        "expected a number of tcpdump.org/linktypes.html, such as 147 for USER0".to_owned()
    })
}

/// Where a packet's length is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LengthField {
    offset: usize,
    size: usize,
    is_big_endian: bool,
    adjust: i64,
}

impl LengthField {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected OFFSET,SIZE,be|le,ADJUST, such as 2,2,be,4".to_owned();
        let mut words = text.split(',');
        let mut word = || words.next().ok_or_else(wrong);
        let offset: usize = word()?.parse().map_err(|_| wrong())?;
        let size: usize = word()?.parse().map_err(|_| wrong())?;
        let is_big_endian = is_big_endian(word()?).ok_or_else(wrong)?;
        let adjust: i64 = word()?.parse().map_err(|_| wrong())?;
        let is_right = offset <= 256 && (1..=4).contains(&size) && adjust.abs() <= 65_536;
        let field = Self { offset, size, is_big_endian, adjust };
        (is_right && words.next().is_none()).then_some(field).ok_or_else(wrong)
    }

    /// Octets before its end.
    pub(super) fn end(&self) -> usize {
        self.offset + self.size
    }

    /// The length of the packet that begins with these octets; `None` if it is not there yet. May
    /// be less than 0.
    pub(super) fn read(&self, octets: &[u8]) -> Option<i64> {
        let field = octets.get(self.offset..self.end())?;
        let add = |value: i64, octet: &u8| value << 8 | i64::from(*octet);
        let value = if self.is_big_endian {
            field.iter().fold(0, add)
        } else {
            field.iter().rev().fold(0, add)
        };
        Some(value + self.adjust)
    }
}

fn is_big_endian(word: &str) -> Option<bool> {
    match word {
        "be" => Some(true),
        "le" => Some(false),
        _ => None,
    }
}

/// A check sequence, and where it is.
pub(super) struct Check {
    sum: Sum,
    /// The first octet that it covers.
    from: usize,
    /// How far before the packet's end it begins.
    before_end: usize,
    is_big_endian: bool,
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} octets at -{}", self.sum.size(), self.before_end)
    }
}

impl Check {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected NAME@-END, such as crc16-modbus@-2 or xor8@-1".to_owned();
        let (name, place) = text.split_once('@').ok_or_else(wrong)?;
        let (sum, usual) = Sum::named(name).ok_or_else(|| format!("no check {name}; {NAMES}"))?;
        let (place, endian) = match place.split_once(',') {
            Some((place, word)) => (place, is_big_endian(word).ok_or_else(wrong)?),
            None => (place, usual),
        };
        let (from, before_end) = place.split_once("..").unwrap_or(("0", place));
        let from: usize = from.parse().map_err(|_| wrong())?;
        let before_end = before_end.strip_prefix('-').ok_or_else(wrong)?;
        let before_end: usize = before_end.parse().map_err(|_| wrong())?;
        if before_end < sum.size() || before_end > 256 || from > 256 {
            return Err(format!("{name} has {0} bytes: {name}@-{0} or further", sum.size()));
        }
        Ok(Self { sum, from, before_end, is_big_endian: endian })
    }

    /// Octets of the shortest packet that has one.
    pub(super) fn min_len(&self) -> usize {
        self.from + self.before_end
    }

    /// Whether it fits; a packet that is too short has none.
    pub(super) fn fits(&self, packet: &[u8]) -> bool {
        let at = packet.len().checked_sub(self.before_end);
        let Some((covered, tail)) = at.and_then(|at| packet.split_at_checked(at)) else {
            return false;
        };
        let (Some(covered), Some(found)) = (covered.get(self.from..), tail.get(..self.sum.size()))
        else {
            return false;
        };
        let sum = self.sum.of(covered).to_be_bytes();
        let sum = &sum[sum.len() - self.sum.size()..];
        if self.is_big_endian { sum == found } else { sum.iter().rev().eq(found) }
    }
}

/// How a check sequence is reckoned.
enum Sum {
    Crc8(Crc<u8, NoTable>),
    Crc16(Crc<u16, NoTable>),
    Crc32(Crc<u32, NoTable>),
    /// The exclusive or of all octets.
    Xor8,
    /// Their sum.
    Sum8,
    /// What makes their sum 0.
    Lrc8,
}

const NAMES: &str = "there are crc8, crc8-maxim, crc16-arc, crc16-ccitt-false, crc16-dnp, \
                     crc16-kermit, crc16-modbus, crc16-x25, crc16-xmodem, crc32, crc32c, \
                     crc32-mpeg2, lrc8, sum8, xor8";

impl Sum {
    /// The one of this name, and whether its high octet usually comes first: of a CRC that takes the
    /// low bit of an octet first, the low octet does.
    fn named(name: &str) -> Option<(Self, bool)> {
        fn usual<W: Width>(algorithm: &Algorithm<W>) -> bool {
            !algorithm.refin
        }
        let crc8 = |algorithm: &'static Algorithm<u8>| {
            (Self::Crc8(Crc::<u8, NoTable>::new(algorithm)), usual(algorithm))
        };
        let crc16 = |algorithm: &'static Algorithm<u16>| {
            (Self::Crc16(Crc::<u16, NoTable>::new(algorithm)), usual(algorithm))
        };
        let crc32 = |algorithm: &'static Algorithm<u32>| {
            (Self::Crc32(Crc::<u32, NoTable>::new(algorithm)), usual(algorithm))
        };
        Some(match name {
            "crc8" => crc8(&CRC_8_SMBUS),
            "crc8-maxim" => crc8(&CRC_8_MAXIM_DOW),
            "crc16-arc" => crc16(&CRC_16_ARC),
            "crc16-ccitt-false" => crc16(&CRC_16_IBM_3740),
            "crc16-dnp" => crc16(&CRC_16_DNP),
            "crc16-kermit" => crc16(&CRC_16_KERMIT),
            "crc16-modbus" => crc16(&CRC_16_MODBUS),
            "crc16-x25" => crc16(&CRC_16_IBM_SDLC),
            "crc16-xmodem" => crc16(&CRC_16_XMODEM),
            "crc32" => crc32(&CRC_32_ISO_HDLC),
            "crc32c" => crc32(&CRC_32_ISCSI),
            "crc32-mpeg2" => crc32(&CRC_32_MPEG_2),
            "xor8" => (Self::Xor8, true),
            "sum8" => (Self::Sum8, true),
            "lrc8" => (Self::Lrc8, true),
            _ => return None,
        })
    }

    /// Octets of it.
    fn size(&self) -> usize {
        match self {
            Self::Crc8(_) | Self::Xor8 | Self::Sum8 | Self::Lrc8 => 1,
            Self::Crc16(_) => 2,
            Self::Crc32(_) => 4,
        }
    }

    fn of(&self, octets: &[u8]) -> u32 {
        let sum = || octets.iter().fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
        match self {
            Self::Crc8(crc) => crc.checksum(octets).into(),
            Self::Crc16(crc) => crc.checksum(octets).into(),
            Self::Crc32(crc) => crc.checksum(octets),
            Self::Xor8 => octets.iter().fold(0, |sum, octet| sum ^ octet).into(),
            Self::Sum8 => sum().into(),
            Self::Lrc8 => sum().wrapping_neg().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bits_or_time() {
        assert_eq!(gap("35bit"), Ok(Gap::Bits(35)));
        assert_eq!((gap("500us"), gap("2s")), (Ok(Gap::Ns(500_000)), Ok(Gap::Ns(2_000_000_000))));
        for wrong in ["", "10", "0ms", "ms", "-1ms", "1.5ms", "10min", "9999999999s"] {
            gap(wrong).unwrap_err();
        }
        let mut setup = Setup::new(10_000);
        setup.values.set(GAP, "35bit".into());
        assert_eq!(Rules::of(&setup).gap_ns, Some(3_500_000));
        assert_eq!(Rules::of(&Setup::new(9_600)).gap_ns, Some(10_000_000));
        assert_eq!(Rules::of(&Setup { timed: false, ..Setup::new(9_600) }).gap_ns, None);
    }

    #[test]
    fn lengths_are_read_as_told() {
        let field = |text| LengthField::parse(text).unwrap();
        assert_eq!(field("2,2,be,4").read(&[0, 0, 1, 2]), Some(0x102 + 4));
        assert_eq!(field("1,2,le,-3").read(&[9, 1, 2]), Some(0x201 - 3));
        assert_eq!(field("2,2,be,4").read(&[0, 0, 1]), None);
        assert_eq!(field("0,4,be,0").read(&[255; 4]), Some(0xffff_ffff));
        for wrong in
            ["", "2", "2,2,be", "2,2,xe,4", "2,0,be,4", "2,5,be,4", "2,2,be,4,", "-1,1,be,0"]
        {
            LengthField::parse(wrong).unwrap_err();
        }
    }

    #[test]
    fn checks_fit_what_they_cover() {
        let fits = |text, packet: &[u8]| Check::parse(text).unwrap().fits(packet);
        // The check value of each CRC is that of "123456789".
        for (name, sum) in [
            ("crc8@-1", &b"\xf4"[..]),
            ("crc8-maxim@-1", b"\xa1"),
            ("crc16-arc@-2", b"\x3d\xbb"),
            ("crc16-ccitt-false@-2", b"\x29\xb1"),
            ("crc16-ccitt-false@-2,le", b"\xb1\x29"),
            ("crc16-dnp@-2", b"\x82\xea"),
            ("crc16-kermit@-2", b"\x89\x21"),
            ("crc16-modbus@-2", b"\x37\x4b"),
            ("crc16-x25@-2", b"\x6e\x90"),
            ("crc16-xmodem@-2", b"\x31\xc3"),
            ("crc32@-4", b"\x26\x39\xf4\xcb"),
            ("crc32c@-4", b"\x83\x92\x06\xe3"),
            ("crc32-mpeg2@-4", b"\x03\x76\xe6\xe7"),
            ("xor8@-1", b"\x31"),
            ("sum8@-1", b"\xdd"),
            ("lrc8@-1", b"\x23"),
            ("sum8@-3", b"\xdd\r\n"),
        ] {
            let packet = [b"123456789", sum].concat();
            assert!(fits(name, &packet), "{name}");
            assert!(!fits(name, &[&b"023456789"[..], sum].concat()), "{name}");
            assert!(!fits(name, b""), "{name}");
        }
        assert!(fits("xor8@2..-1", b"\xaa\x55\x01\x02\x03"));
        for wrong in ["", "crc16-modbus", "crc16@-2", "xor8@1", "xor8@-0", "crc32@-2", "xor8@-1,x"]
        {
            Check::parse(wrong).unwrap_err();
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let checked = |given: &[(&'static str, &str)]| {
            let mut values = Values::none();
            given.iter().for_each(|(name, value)| values.set(name, (*value).to_owned()));
            check(&values)
        };
        checked(&[(GAP, "1ms"), (DELIMITER, "0a"), (LINK_TYPE, "147")]).unwrap();
        let said = checked(&[(LENGTH_FIELD, "0,1,be,1"), (GAP, "1ms")]).unwrap_err();
        assert!(said.contains("leave one out"), "{said}");
        checked(&[(DISSECTOR, "mbrtu"), (LINK_TYPE, "147")]).unwrap_err();
        for wrong in ["", "0", "0d0", "+1", "zz", &"00".repeat(17)] {
            hex(wrong).unwrap_err();
        }
    }
}
