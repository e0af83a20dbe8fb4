//! Capture files in: their packets, one by one, in bounded memory.
//!
//! Both formats in either byte order: pcap 2.4 (micro- and nanoseconds) and pcapng; what gzip has
//! packed is unpacked on the way. The other direction is [`crate::encode`].

pub mod line;
mod pcap;
mod pcapng;
pub mod pieces;

use crate::time::Timestamp;
use flate2::bufread::MultiGzDecoder;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// Octets that are fetched from a file at once.
const BUFFER: usize = 256 * 1024;
/// No packet or block is longer: wiretap's own bound, and far above any frame of a serial line.
const LONGEST: u32 = 16 * 1024 * 1024;
/// More interfaces than this in a file are not kept.
const MOST_INTERFACES: usize = 4096;

/// A packet as a file holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded<'a> {
    /// Which section of its file, counted from 0: captures that were put one behind the other.
    pub section: u32,
    /// Which interface of its file, counted from 0.
    pub interface: u32,
    /// What kind of packet it is: `LINKTYPE_*`.
    pub link_type: u16,
    /// Its time; `None` where the file has none for it.
    pub time: Option<Timestamp>,
    /// The octets that are there.
    pub octets: &'a [u8],
    /// Octets it had on the wire; more than `octets` where a snap length has cut it.
    pub original_len: u32,
    /// Packets that the capture lost between the one before and this one (`epb_dropcount`).
    pub dropped: u64,
    /// Flags of pcapng (`epb_flags`): direction and damage.
    pub flags: u32,
    /// Its comment, if it has one that is text.
    pub comment: Option<&'a str>,
}

/// What a file says about where packets come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// `LINKTYPE_*` of its packets.
    pub link_type: u16,
    /// Octets of a packet that are kept at most; 0 if all are.
    pub snap_len: u32,
    /// What it is called (`if_name`), where the file says it.
    pub name: Option<String>,
    /// What it is (`if_description`), where the file says it.
    pub description: Option<String>,
    /// Bits a second (`if_speed`), where the file names them.
    pub speed: Option<u64>,
    /// Packets that the capture lost (`isb_ifdrop`), as the file's end has it.
    pub dropped: u64,
}

/// Why a file gives no more packets.
#[derive(Debug)]
pub enum Problem {
    /// It is not a capture file at all.
    NoCapture,
    /// It ends in the middle of a packet or block.
    CutOff,
    /// Something in it cannot be: what.
    Damaged(&'static str),
    /// The system, or gzip, cannot read it.
    Unreadable(io::Error),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapture => f.write_str("is not a capture file"),
            Self::CutOff => f.write_str("ends in the middle of a packet"),
            Self::Damaged(what) => write!(f, "is damaged: {what}"),
            Self::Unreadable(error) => write!(f, "cannot read: {}", crate::error::words_of(error)),
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // What gzip says of a file that is cut off.
            io::ErrorKind::UnexpectedEof => Self::CutOff,
            _ => Self::Unreadable(error),
        }
    }
}

/// The packets of a capture file.
pub struct Reader {
    input: Input,
    format: Format,
    interfaces: Vec<Interface>,
}

enum Format {
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

impl Reader {
    /// Reads the beginning of a capture file, or of one that gzip has packed.
    ///
    /// # Errors
    /// [`Problem::NoCapture`] if it begins as none; else why it cannot be read.
    pub fn new(input: impl Read + 'static) -> Result<Self, Problem> {
        let mut input = Input::unpacked(Box::new(input))?;
        let magic = input.magic()?;
        let mut interfaces = Vec::new();
        let format = match magic {
            pcapng::MAGIC => Format::Pcapng(pcapng::Section::default()),
            _ => {
                let header = pcap::Header::read(magic, &mut input)?;
                interfaces.push(header.interface());
                Format::Pcap(header)
            }
        };
        Ok(Self { input, format, interfaces })
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// Why there is no next one although this is not the end.
    pub fn next_packet(&mut self) -> Result<Option<Recorded<'_>>, Problem> {
        match &mut self.format {
            Format::Pcap(header) => header.next(&mut self.input),
            Format::Pcapng(section) => section.next(&mut self.input, &mut self.interfaces),
        }
    }

    /// The interfaces of the file, as far as it was read.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }
}

/// Whether a file that begins so may be a capture file, or one that gzip has packed.
pub fn looks_like_one(octets: &[u8]) -> bool {
    octets.starts_with(&GZIP) || octets.first_chunk().is_some_and(|magic| is_magic(*magic))
}

fn is_magic(magic: [u8; 4]) -> bool {
    magic == pcapng::MAGIC || pcap::is_magic(magic)
}

/// What a file that gzip has packed begins with (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Octets of a file, and room for one packet or block of it.
struct Input {
    file: Box<dyn BufRead>,
    block: Vec<u8>,
}

impl Input {
    fn unpacked(file: Box<dyn Read>) -> Result<Self, Problem> {
        let mut file = BufReader::with_capacity(BUFFER, file);
        let is_packed = file.fill_buf()?.starts_with(&GZIP);
        let file: Box<dyn BufRead> = if is_packed {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
        } else {
            Box::new(file)
        };
        Ok(Self { file, block: Vec::new() })
    }

    /// The first four octets of a capture file.
    fn magic(&mut self) -> Result<[u8; 4], Problem> {
        match self.array() {
            Ok(Some(magic)) if is_magic(magic) => Ok(magic),
            // It has fewer than four octets, or gzip has packed something else.
            Ok(_) | Err(Problem::CutOff) => Err(Problem::NoCapture),
            Err(other) => Err(other),
        }
    }

    /// The next `N` octets; `None` at the end.
    fn array<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Problem> {
        let mut octets = [0; N];
        match self.fill(&mut octets)? {
            0 => Ok(None),
            len if len == N => Ok(Some(octets)),
            _ => Err(Problem::CutOff),
        }
    }

    /// The next `len` octets, which must be there.
    fn take(&mut self, len: u32) -> Result<&[u8], Problem> {
        let len = len as usize;
        let mut block = std::mem::take(&mut self.block);
        if block.len() < len {
            block.resize(len, 0);
        }
        let filled = self.fill(&mut block[..len]);
        self.block = block;
        if filled? < len { Err(Problem::CutOff) } else { Ok(&self.block[..len]) }
    }

    /// Fills `octets` as far as the file goes.
    fn fill(&mut self, octets: &mut [u8]) -> Result<usize, Problem> {
        let mut len = 0;
        while len < octets.len() {
            match self.file.read(&mut octets[len..]) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(len)
    }
}

/// Numbers of a file in its byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Little,
    Big,
}

impl Order {
    fn u16(self, octets: &[u8], at: usize) -> u16 {
        let octets = array(octets, at);
        if self == Self::Little { u16::from_le_bytes(octets) } else { u16::from_be_bytes(octets) }
    }

    fn u32(self, octets: &[u8], at: usize) -> u32 {
        let octets = array(octets, at);
        if self == Self::Little { u32::from_le_bytes(octets) } else { u32::from_be_bytes(octets) }
    }

    fn u64(self, octets: &[u8], at: usize) -> u64 {
        let octets = array(octets, at);
        if self == Self::Little { u64::from_le_bytes(octets) } else { u64::from_be_bytes(octets) }
    }
}

/// `N` octets from `at` on; zeros where there are not as many.
fn array<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    octets.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Link type, time and octets.
    type Found = (u16, Option<u64>, Vec<u8>);

    fn packets(file: Vec<u8>) -> (Vec<Found>, Option<String>) {
        let mut reader = match Reader::new(io::Cursor::new(file)) {
            Ok(reader) => reader,
            Err(problem) => return (Vec::new(), Some(problem.to_string())),
        };
        let mut found = Vec::new();
        loop {
            match reader.next_packet() {
                Ok(None) => return (found, None),
                Ok(Some(packet)) => {
                    let time = packet.time.map(Timestamp::as_ns);
                    found.push((packet.link_type, time, packet.octets.to_vec()));
                }
                Err(problem) => return (found, Some(problem.to_string())),
            }
        }
    }

    fn pcap(big: bool) -> Vec<u8> {
        let u32s = |numbers: &[u32]| -> Vec<u8> {
            let order = |n: &u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
            numbers.iter().flat_map(order).collect()
        };
        let version = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
        let header = u32s(&[0, 0, 65535, 165]);
        let first = [u32s(&[5, 7, 3, 3]), vec![1, 2, 3]].concat();
        let second = [u32s(&[6, 999_999, 1, 1]), vec![9]].concat();
        [u32s(&[0xa1b2_c3d4]), version.to_vec(), header, first, second].concat()
    }

    #[test]
    fn classic_files_of_either_byte_order_packed_or_not() {
        let expected =
            vec![(165, Some(5_000_007_000), vec![1, 2, 3]), (165, Some(6_999_999_000), vec![9])];
        for big in [false, true] {
            assert_eq!(packets(pcap(big)), (expected.clone(), None));
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            packer.write_all(&pcap(big)).unwrap();
            let packed = packer.finish().unwrap();
            assert_eq!(packets(packed.clone()), (expected.clone(), None));
            let (_, problem) = packets(packed[..packed.len() - 12].to_vec());
            assert!(problem.is_some());
        }
    }

    #[test]
    fn what_was_read_before_a_file_is_cut_off_counts() {
        let whole = pcap(false);
        let (found, problem) = packets(whole[..whole.len() - 1].to_vec());
        assert_eq!((found.len(), problem.as_deref()), (1, Some("ends in the middle of a packet")));
        for len in 0..24 {
            let (found, problem) = packets(whole[..len].to_vec());
            assert!(found.is_empty() && problem.is_some(), "{len}");
        }
        assert_eq!(
            packets(b"no capture at all".to_vec()).1.as_deref(),
            Some("is not a capture file")
        );
    }

    #[test]
    fn a_length_that_cannot_be_takes_no_memory() {
        let mut file = pcap(false);
        file[32..36].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
        let (found, problem) = packets(file);
        assert_eq!((found.len(), problem.is_some()), (0, true));
    }
}
