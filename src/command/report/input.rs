//! The files of a report: captures, recordings or plain octets, in order of time.

use crate::analysis::Record;
use crate::cli::ReportArgs;
use crate::decode::line::Line;
use crate::decode::{self, Problem, Reader};
use crate::error::Error;
use crate::framing::{self, PROTOCOLS, Protocol, Setup};
use crate::line::Line as Rate;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::query::Query;
use crate::nats::query::{Place, Range};
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::source;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::source::nats::Past;
use crate::source::record::{self, RecordKind};
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::time::MonoClock;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

/// Octets of a file that are read at once.
const CHUNK: usize = 64 * 1024;
/// Plain octets are dated from here on, since they have no times: 2000-01-01.
const BEGINNING: Timestamp = Timestamp::from_ns(946_684_800_000_000_000);
/// Link-layer errors among pcapng's flags of a packet.
const ERROR_FLAGS: u32 = 0xffff_0000;

/// A packet, and whether its file says that it is damaged.
pub(super) struct Heard<'a> {
    pub(super) record: Record<'a>,
    pub(super) is_damaged: bool,
}

/// A file that was looked at.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) protocol: &'static Protocol,
    /// The rate, where the file says it.
    pub(super) baud: Option<u32>,
    pub(super) kind: Kind,
    /// Whether it was read, and nothing of it is a frame.
    pub(super) is_senseless: bool,
    /// Of which times its packets are wanted, if it has more.
    range: Option<Range>,
    begins: Timestamp,
    remarks: Vec<String>,
}

pub(super) enum Kind {
    Capture { reader: Reader, interface: Option<u32>, packets: u64 },
    Recording { input: Box<dyn Read>, line: Line },
    Octets { input: Box<dyn Read>, line: Line, octet_ns: u64 },
}

/// Opens all files, and puts them into order of time.
pub(super) fn open(args: &ReportArgs) -> Result<Vec<Opened>, Error> {
    let mut files = Vec::new();
    for path in &args.files {
        let file = open_one(path, args)?;
        files.push(file);
    }
    #[cfg(all(target_os = "linux", feature = "nats"))]
    for query in &args.queries {
        files.push(open_stored(query, args)?);
    }
    files.sort_by_key(|file| file.begins);
    if let [first, others @ ..] = &files[..]
        && let Some(other) = others.iter().find(|other| other.protocol.name != first.protocol.name)
    {
        let what =
            format!("is {}, and {} is {}", other.protocol.name, first.name, first.protocol.name);
        return Err(Error::new(&other.name, what).hint("report on one line at a time"));
    }
    Ok(files)
}

/// What a NATS server keeps of a trunk.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn open_stored(query: &Query, args: &ReportArgs) -> Result<Opened, Error> {
    let Past { name, interface, input } = source::nats::read(query, MonoClock::start())?;
    let typed = args.protocol.as_deref().and_then(framing::protocol);
    let protocol = source::nats::protocol_of(&interface, typed).ok_or_else(|| {
        let what =
            format!("has packets of link type {}, not of a serial line", interface.link_type);
        Error::new(&name, what)
    })?;
    let baud = interface.speed.and_then(|baud| u32::try_from(baud).ok());
    let reader = Reader::new(input).map_err(|problem| match problem {
        Problem::NoCapture => Error::new(&name, "has no packets of this time")
            .hint("--since 7d takes those of the last week"),
        problem => Error::new(&name, problem),
    })?;
    let kind = Kind::Capture { reader, interface: None, packets: 0 };
    let begins = query.range.from.unwrap_or_default();
    let remarks = Vec::new();
    Ok(Opened {
        name,
        protocol,
        baud,
        kind,
        is_senseless: false,
        range: Some(query.range),
        begins,
        remarks,
    })
}

fn file(path: &Path) -> Result<Box<dyn Read>, Error> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let cannot = |error: io::Error| Error::new(path.display(), "cannot open").because(error);
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err(
            Error::new(path.display(), "is a directory").hint("name the capture files in it")
        );
    }
    Ok(Box::new(file))
}

fn open_one(path: &Path, args: &ReportArgs) -> Result<Opened, Error> {
    let name = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let mut input = file(path)?;
    let mut head = Vec::new();
    let cannot = |error: io::Error| Error::new(&name, "cannot read").because(error);
    input.by_ref().take(record::HEADER_MAX as u64).read_to_end(&mut head).map_err(cannot)?;
    if head.is_empty() {
        return Err(Error::new(&name, "is empty").hint("name a capture, such as trunk.pcapng"));
    }
    if decode::looks_like_one(&head) {
        let whole = Cursor::new(head).chain(input);
        let again = (path != Path::new("-")).then(|| file(path)).transpose()?;
        let typed = args.protocol.as_deref().and_then(framing::protocol);
        return open_capture(name, Box::new(whole), again, typed);
    }
    let recorded = record::decode_header(&head).map_err(|what| {
        Error::new(&name, what).hint("record again with this version of serialshark")
    })?;
    match recorded {
        Some((header, len)) => {
            open_recording(name, &header, Cursor::new(head.split_off(len)).chain(input))
        }
        None => open_octets(name, args, Cursor::new(head).chain(input)),
    }
}

/// Looks for the first packet of a line, and reads the file once more from its beginning if it can
/// be; else it is known as soon as packets come.
fn open_capture(
    name: String,
    input: Box<dyn Read>,
    again: Option<Box<dyn Read>>,
    typed: Option<&'static Protocol>,
) -> Result<Opened, Error> {
    let refused = |problem: Problem| {
        Error::new(&name, problem)
            .hint("name a capture (pcap, pcapng), a recording, or bytes of a line")
    };
    let (mut reader, again) = match again {
        Some(again) => (Reader::new(input).map_err(refused)?, Some(again)),
        None => (Reader::new(input).map_err(refused)?, None),
    };
    let mut begins = Timestamp::MAX;
    let mut protocol = None;
    let mut interface = None;
    if again.is_some() {
        // What is wrong behind the first packet is said when it is read.
        while let Ok(Some(packet)) = reader.next_packet() {
            if let Some(known) = protocol_of(packet.link_type, typed) {
                begins = packet.time.unwrap_or_default();
                (protocol, interface) = (Some(known), Some(packet.interface));
                break;
            }
        }
    }
    let link_types: Vec<_> = reader.interfaces().iter().map(|one| one.link_type).collect();
    let of_interface = reader.interfaces().iter().find_map(|one| protocol_of(one.link_type, typed));
    let Some(protocol) =
        protocol.or(of_interface).or(link_types.is_empty().then_some(PROTOCOLS[0]))
    else {
        let types: Vec<_> = link_types.iter().map(ToString::to_string).collect();
        return Err(Error::new(
            &name,
            format!("is a capture of link type {}, not of a serial line", types.join(", ")),
        )
        .hint("serialshark reads MS/TP (165), Modbus (252) and IEEE 802.15.4 (195, 283)"));
    };
    let described = interface.and_then(|at: u32| reader.interfaces().get(at as usize));
    let speed = described.or(reader.interfaces().first()).and_then(|one| one.speed);
    let baud = speed.and_then(|baud| u32::try_from(baud).ok()).filter(|baud| *baud > 0);
    let reader = match again {
        Some(again) => Reader::new(again).map_err(refused)?,
        None => reader,
    };
    let kind = Kind::Capture { reader, interface, packets: 0 };
    Ok(Opened {
        name,
        protocol,
        baud,
        kind,
        is_senseless: false,
        range: None,
        begins,
        remarks: Vec::new(),
    })
}

/// The protocol whose packets have this link type; of several the one that was typed, or the first.
fn protocol_of(link_type: u16, typed: Option<&'static Protocol>) -> Option<&'static Protocol> {
    let mut all = typed.into_iter().chain(PROTOCOLS);
    all.find(|protocol| protocol.link_type.0 == link_type)
}

fn open_recording(
    name: String,
    header: &record::Header,
    input: impl Read + 'static,
) -> Result<Opened, Error> {
    let protocol = framing::protocol(&header.protocol).ok_or_else(|| {
        Error::new(&name, format!("is a recording of {}, which is not known", header.protocol))
    })?;
    let setup = Setup {
        line: header.line,
        channel: header.channel,
        silence_ns: header.silence_ns,
        ..Setup::new(header.line.baud)
    };
    let line =
        Line::new((protocol.framer)(&setup), header.line.octet_ns(), protocol.name == "mstp");
    let input: Box<dyn Read> = Box::new(BufReader::with_capacity(CHUNK, input));
    let kind = Kind::Recording { input, line };
    let baud = Some(header.line.baud);
    Ok(Opened {
        name,
        protocol,
        baud,
        kind,
        is_senseless: false,
        range: None,
        begins: Timestamp::default(),
        remarks: Vec::new(),
    })
}

fn open_octets(
    name: String,
    args: &ReportArgs,
    input: impl Read + 'static,
) -> Result<Opened, Error> {
    let protocol = match &args.protocol {
        Some(typed) => framing::protocol(typed).ok_or_else(|| {
            Error::new(typed, "no such protocol").hint("serialshark protocols lists them")
        })?,
        None => PROTOCOLS[0],
    };
    let rate = Rate { baud: args.baud.unwrap_or(protocol.line.baud), ..protocol.line };
    let setup = Setup { line: rate, timed: false, ..Setup::new(rate.baud) };
    let octet_ns = rate.octet_ns();
    let line = Line::new((protocol.framer)(&setup), octet_ns, protocol.name == "mstp");
    let remarks = vec!["delays, rates and the grade: bytes without times were dated as if they had come without a pause".to_owned()];
    let kind = Kind::Octets { input: Box::new(input), line, octet_ns };
    Ok(Opened {
        name,
        protocol,
        baud: None,
        kind,
        is_senseless: false,
        range: None,
        begins: BEGINNING,
        remarks,
    })
}

impl Opened {
    /// Hands all packets on.
    ///
    /// # Errors
    /// Why the file cannot be read to its end.
    pub(super) fn read(&mut self, sink: &mut impl FnMut(&Heard<'_>)) -> Result<(), Error> {
        let name = &self.name;
        let result = match &mut self.kind {
            Kind::Capture { reader, interface, packets } => {
                let mut others = BTreeMap::new();
                let result = read_capture(
                    reader,
                    interface,
                    packets,
                    self.protocol,
                    &mut others,
                    &mut |heard| {
                        if self.range.is_none_or(|it| it.place(heard.record.time) == Place::Inside)
                        {
                            sink(heard);
                        }
                    },
                );
                for (link_type, n) in others {
                    self.remarks.push(format!(
                        "{name}: {n} packets of another interface or link type ({link_type})"
                    ));
                }
                result
            }
            Kind::Recording { input, line } => read_recording(input, line, sink),
            Kind::Octets { input, line, octet_ns } => {
                let result = read_octets(input, line, *octet_ns, sink);
                self.is_senseless = line.good_frames() == 0;
                result
            }
        };
        result.map_err(|problem| {
            Error::new(name, problem).hint("the report is on what could be read before")
        })
    }

    /// What was left out, for the report.
    pub(super) fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }
}

/// Packets of the first interface that has the protocol; of others how many there are.
fn read_capture(
    reader: &mut Reader,
    interface: &mut Option<u32>,
    packets: &mut u64,
    protocol: &'static Protocol,
    others: &mut BTreeMap<u16, u64>,
    sink: &mut impl FnMut(&Heard<'_>),
) -> Result<(), Problem> {
    let snap_lens = |reader: &Reader| -> Vec<u32> {
        reader.interfaces().iter().map(|one| one.snap_len).collect()
    };
    let mut snaps = snap_lens(reader);
    let mut sections = reader.interfaces().len();
    loop {
        let known = reader.interfaces().len();
        if known != sections {
            snaps = snap_lens(reader);
            sections = known;
        }
        let Some(packet) = reader.next_packet()? else { return Ok(()) };
        *packets += 1;
        let is_ours = packet.link_type == protocol.link_type.0
            && *interface.get_or_insert(packet.interface) == packet.interface;
        if !is_ours {
            *others.entry(packet.link_type).or_default() += 1;
            continue;
        }
        let snap_len = snaps.get(packet.interface as usize).copied().unwrap_or(0);
        let is_snapped = snap_len > 0 && packet.octets.len() >= snap_len as usize;
        sink(&Heard {
            record: Record {
                number: *packets,
                time: packet.time.unwrap_or_default(),
                octets: packet.octets,
                original_len: if is_snapped { packet.original_len } else { 0 },
                skipped_before: skipped(packet.comment),
                dropped: packet.dropped,
            },
            is_damaged: packet.flags & ERROR_FLAGS != 0,
        });
    }
}

/// How many octets a comment of serialshark says were outside frames before a packet.
fn skipped(comment: Option<&str>) -> u32 {
    const SAID: &str = " bytes outside frames before this packet";
    let before = comment.and_then(|comment| comment.split_once(SAID)).map(|(before, _)| before);
    let number = before.and_then(|before| before.rsplit(|c: char| !c.is_ascii_digit()).next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn read_recording(
    input: &mut impl Read,
    line: &mut Line,
    sink: &mut impl FnMut(&Heard<'_>),
) -> Result<(), Problem> {
    let mut hand_on =
        |record: &Record<'_>, is_damaged: bool| sink(&Heard { record: *record, is_damaged });
    let mut chunk = Vec::new();
    loop {
        let read = record::read_record(input, &mut chunk);
        let (kind, time) = match read {
            Ok(Some(read)) => read,
            other => {
                line.finish(&mut hand_on);
                return match other {
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        Err(Problem::Damaged("a record of a kind or length that cannot be"))
                    }
                    Err(error) => Err(error.into()),
                    Ok(_) => Ok(()),
                };
            }
        };
        match kind {
            RecordKind::Octets => line.push(&chunk, time, &mut hand_on),
            RecordKind::Silence => line.expire(time, &mut hand_on),
            RecordKind::Gone | RecordKind::Missing => line.finish(&mut hand_on),
            RecordKind::Back | RecordKind::WallOffset | RecordKind::Errors => {}
        }
    }
}

fn read_octets(
    input: &mut impl Read,
    line: &mut Line,
    octet_ns: u64,
    sink: &mut impl FnMut(&Heard<'_>),
) -> Result<(), Problem> {
    let mut hand_on =
        |record: &Record<'_>, is_damaged: bool| sink(&Heard { record: *record, is_damaged });
    let mut chunk = vec![0; CHUNK];
    let mut time = BEGINNING;
    loop {
        match input.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => {
                time = time.plus_ns(len as u64 * octet_ns);
                line.push(&chunk[..len], time, &mut hand_on);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                line.finish(&mut hand_on);
                return Err(error.into());
            }
        }
    }
    line.finish(&mut hand_on);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_say_what_was_skipped() {
        assert_eq!(
            skipped(Some("damaged: CRC error; 17 bytes outside frames before this packet")),
            17
        );
        assert_eq!(skipped(Some("damaged: CRC error")), 0);
        assert_eq!(skipped(None), 0);
    }
}
