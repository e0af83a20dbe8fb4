//! The files of a report: captures, recordings or plain octets, in order of time. Each is read once, from
//! its beginning to its end, so that it may be a pipe.

use crate::analysis::Record;
use crate::cli::ReportArgs;
use crate::decode::line::Line;
use crate::decode::{self, Interface, Problem, Reader, Recorded};
use crate::error::Error;
use crate::exported_pdu;
use crate::framing::{self, PROTOCOLS, Protocol, Setup};
use crate::line::Line as Rate;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::nats::query::Query;
use crate::nats::query::{Place, Range};
use crate::packet::LinkType;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::source;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::source::nats::Past;
use crate::source::record::{self, RecordKind};
use crate::sys::files;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::time::MonoClock;
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

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
    /// Whether that is known, and not only that its packets look the same.
    is_told: bool,
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
    Capture { reader: Reader, begin: Begin },
    Recording { input: Box<dyn Read>, line: Line },
    Octets { input: Box<dyn Read>, line: Line, octet_ns: u64 },
}

/// What was read of a capture to see what it is.
#[derive(Default)]
pub(super) struct Begin {
    /// The first packet of a line.
    first: Option<Kept>,
    /// Packets up to it.
    packets: u64,
    /// Packets before it, by their link types.
    others: BTreeMap<u16, u64>,
    /// What is wrong before there was one.
    problem: Option<Problem>,
}

/// A packet that is kept while its file is not read on.
struct Kept {
    packet: Recorded<'static>,
    octets: Vec<u8>,
    comment: Option<String>,
}

impl Kept {
    fn new(packet: &Recorded<'_>) -> Self {
        Self {
            octets: packet.octets.to_vec(),
            comment: packet.comment.map(str::to_owned),
            packet: Recorded { octets: &[], comment: None, ..*packet },
        }
    }

    fn packet(&self) -> Recorded<'_> {
        Recorded { octets: &self.octets, comment: self.comment.as_deref(), ..self.packet }
    }
}

/// Opens all files, and puts them into order of time.
pub(super) fn open(args: &ReportArgs) -> Result<Vec<Opened>, Error> {
    // What is there twice would count twice.
    let mut names: Vec<PathBuf> = Vec::new();
    for path in &args.files {
        let name = path.canonicalize().unwrap_or_else(|_| path.clone());
        if names.contains(&name) {
            return Err(Error::new(named(path), "is named twice").hint("name each file once"));
        }
        names.push(name);
    }
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
        && let Some(other) = others.iter().find(|other| !other.may_be_as(first))
    {
        let what = format!("is {}, and {} is {}", other.title(), first.name, first.title());
        return Err(Error::new(&other.name, what).hint("report on one line at a time"));
    }
    Ok(files)
}

fn no_packets(name: &str) -> Error {
    Error::new(name, "has no packets of this time").hint("--since 7d takes those of the last week")
}

/// What a NATS server keeps of a trunk.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn open_stored(query: &Query, args: &ReportArgs) -> Result<Opened, Error> {
    let Past { name, interface, input } = source::nats::read(query, MonoClock::start())?;
    let protocol = source::nats::protocol_of(&interface, typed(args)?).ok_or_else(|| {
        let what =
            format!("has packets of link type {}, not of a serial line", interface.link_type);
        Error::new(&name, what)
    })?;
    let baud = interface.speed.and_then(|baud| u32::try_from(baud).ok());
    let reader = Reader::new(input).map_err(|problem| match problem {
        Problem::NoCapture => no_packets(&name),
        problem => Error::new(&name, problem),
    })?;
    let kind = Kind::Capture { reader, begin: Begin::default() };
    let begins = query.range.from.unwrap_or_default();
    let remarks = Vec::new();
    Ok(Opened {
        name,
        protocol,
        baud,
        is_told: true,
        kind,
        is_senseless: false,
        range: Some(query.range),
        begins,
        remarks,
    })
}

/// What to call this file in a message.
fn named(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

fn file(path: &Path) -> Result<Box<dyn Read>, Error> {
    let is = |what: &str| Error::new(named(path), what);
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(is("is a terminal").hint("name a capture, or pipe one into this program"));
        }
        return Ok(Box::new(io::stdin()));
    }
    let cannot = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => "ask its owner to let you read it, or use sudo",
            _ => "name a capture, such as trunk.pcapng",
        };
        is("cannot open").because(error).hint(hint)
    };
    let metadata = fs::metadata(path).map_err(cannot)?;
    if metadata.is_dir() {
        return Err(is("is a directory").hint("name the capture files in it"));
    }
    if files::is_tty(&metadata) {
        return Err(is("is a port, and not a file")
            .hint(format!("serialshark top {} shows how its line is", path.display())));
    }
    // One that a shell has made is a link, and has its writer.
    if fs::symlink_metadata(path).is_ok_and(|metadata| files::is_fifo(&metadata)) {
        super::tell(&is("is a FIFO: waiting for a program that writes to it").hint("Ctrl-C ends"));
    }
    Ok(Box::new(File::open(path).map_err(cannot)?))
}

fn open_one(path: &Path, args: &ReportArgs) -> Result<Opened, Error> {
    let name = named(path);
    let mut input = file(path)?;
    let mut head = Vec::new();
    let cannot = |error: io::Error| {
        Error::new(&name, "cannot read").because(error).hint("name a capture, such as trunk.pcapng")
    };
    input.by_ref().take(record::HEADER_MAX as u64).read_to_end(&mut head).map_err(cannot)?;
    if head.is_empty() {
        return Err(Error::new(&name, "is empty").hint("name a capture, such as trunk.pcapng"));
    }
    if decode::looks_like_one(&head) {
        return open_capture(name, Cursor::new(head).chain(input), typed(args)?);
    }
    let recorded = record::decode_header(&head).map_err(|what| {
        Error::new(&name, what).hint("record again with this version of serialshark")
    })?;
    match recorded {
        Some((header, len)) => {
            let rest = head.split_off(len);
            let begins = record::first_time(&rest).unwrap_or_default();
            open_recording(name, &header, begins, Cursor::new(rest).chain(input))
        }
        None => open_octets(name, args, Cursor::new(head).chain(input)),
    }
}

/// The protocol that was typed, if one was.
fn typed(args: &ReportArgs) -> Result<Option<&'static Protocol>, Error> {
    let Some(typed) = &args.protocol else { return Ok(None) };
    let unknown = || Error::new(typed, "no such protocol").hint("serialshark protocols lists them");
    framing::protocol(typed).ok_or_else(unknown).map(Some)
}

/// Reads a capture up to the first packet of a line.
fn open_capture(
    name: String,
    input: impl Read + 'static,
    typed: Option<&'static Protocol>,
) -> Result<Opened, Error> {
    let refused = |problem: Problem| {
        Error::new(&name, problem)
            .hint("name a capture (pcap, pcapng), a recording, or bytes of a line")
    };
    let mut reader = Reader::new(input).map_err(refused)?;
    let mut begin = Begin::default();
    let protocol = find_first(&mut reader, &mut begin, typed);
    let link_types: Vec<_> = reader.interfaces().iter().map(|one| one.link_type).collect();
    // Without packets it is what the file says, or nothing.
    let mut interfaces = reader.interfaces().iter().filter(|_| begin.packets == 0);
    let of_interface = interfaces.find_map(|of| protocol_of(of, typed, None));
    let nothing = link_types.is_empty().then_some((PROTOCOLS[0], false));
    let Some((protocol, is_told)) = protocol.or(of_interface).or(nothing) else {
        let types: Vec<_> = link_types.iter().map(ToString::to_string).collect();
        return Err(Error::new(
            &name,
            format!("is a capture of link type {}, not of a line that is known", types.join(", ")),
        )
        .hint(
            "serialshark reads MS/TP (165), Modbus (252) and IEEE 802.15.4 (195, 283); of others name \
             the protocol: -p",
        ));
    };
    let first = begin.first.as_ref().map(|kept| kept.packet);
    let begins = first.map_or(Timestamp::MAX, |packet| packet.time.unwrap_or_default());
    let described = first.and_then(|packet| reader.interfaces().get(packet.interface as usize));
    let speed = described.or(reader.interfaces().first()).and_then(|one| one.speed);
    let baud = speed.and_then(|baud| u32::try_from(baud).ok()).filter(|baud| *baud > 0);
    let kind = Kind::Capture { reader, begin };
    Ok(Opened {
        name,
        protocol,
        is_told,
        baud,
        kind,
        is_senseless: false,
        range: None,
        begins,
        remarks: Vec::new(),
    })
}

/// Reads up to the first packet of a line, and says of which protocol that is, and whether somebody said so.
fn find_first(
    reader: &mut Reader,
    begin: &mut Begin,
    typed: Option<&'static Protocol>,
) -> Option<(&'static Protocol, bool)> {
    loop {
        let packet = match reader.next_packet() {
            Ok(packet) => packet?,
            Err(problem) => {
                begin.problem = Some(problem);
                return None;
            }
        };
        begin.packets += 1;
        let kept = Kept::new(&packet);
        let of = reader.interfaces().get(kept.packet.interface as usize);
        let protocol = of.and_then(|of| protocol_of(of, typed, Some(&kept.octets)));
        if protocol.is_some() {
            begin.first = Some(kept);
            return protocol;
        }
        *begin.others.entry(kept.packet.link_type).or_default() += 1;
    }
}

/// The protocol of the packets of an interface, and whether the user or the file names it: else it is the
/// first one with their link type. A link type that many share needs a packet that says which it is.
fn protocol_of(
    of: &Interface,
    typed: Option<&'static Protocol>,
    packet: Option<&[u8]>,
) -> Option<(&'static Protocol, bool)> {
    let fits = |protocol: &&Protocol| protocol.link_type.0 == of.link_type;
    let described = of.description.as_deref().and_then(|said| {
        let is_it = |protocol: &&Protocol| said.starts_with(&format!("{}, ", protocol.help));
        PROTOCOLS.into_iter().filter(fits).find(is_it)
    });
    if let Some(named) = typed.filter(fits).or(described) {
        return Some((named, true));
    }
    let is_shared = of.link_type == LinkType::WIRESHARK_UPPER_PDU.0;
    if is_shared && packet.is_some_and(|packet| !exported_pdu::is_for(packet, "mbrtu")) {
        return None;
    }
    PROTOCOLS.into_iter().find(fits).map(|protocol| (protocol, false))
}

fn open_recording(
    name: String,
    header: &record::Header,
    begins: Timestamp,
    input: impl Read + 'static,
) -> Result<Opened, Error> {
    let protocol = framing::protocol(&header.protocol).ok_or_else(|| {
        Error::new(&name, format!("is a recording of {}, which is not known", header.protocol))
            .hint("serialshark protocols lists what is known")
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
        is_told: true,
        baud,
        kind,
        is_senseless: false,
        range: None,
        begins,
        remarks: Vec::new(),
    })
}

fn open_octets(
    name: String,
    args: &ReportArgs,
    input: impl Read + 'static,
) -> Result<Opened, Error> {
    let protocol = typed(args)?.unwrap_or(PROTOCOLS[0]);
    let rate = Rate { baud: args.baud.unwrap_or(protocol.line.baud), ..protocol.line };
    let setup = Setup { line: rate, timed: false, ..Setup::new(rate.baud) };
    let octet_ns = rate.octet_ns();
    let line = Line::new((protocol.framer)(&setup), octet_ns, protocol.name == "mstp");
    let remarks = vec!["delays, rates and the grade: bytes without times were dated as if they had come without a pause".to_owned()];
    let kind = Kind::Octets { input: Box::new(input), line, octet_ns };
    Ok(Opened {
        name,
        protocol,
        is_told: true,
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
            Kind::Capture { reader, begin } => {
                let mut others = std::mem::take(&mut begin.others);
                let (mut untimed, mut inside) = (0, 0_u64);
                let range = self.range;
                let mut hand_on = |heard: &Heard<'_>, is_timed: bool| {
                    if range.is_none_or(|it| it.place(heard.record.time) == Place::Inside) {
                        inside += 1;
                        untimed += u64::from(!is_timed);
                        sink(heard);
                    }
                };
                let result =
                    read_capture(reader, begin, self.protocol, range, &mut others, &mut hand_on);
                if range.is_some() && inside == 0 && result.is_ok() {
                    return Err(no_packets(name));
                }
                for (link_type, n) in others {
                    self.remarks.push(format!(
                        "{name}: {n} packets of another interface or link type ({link_type})"
                    ));
                }
                if untimed > 0 {
                    self.remarks.push(format!("{name}: {untimed} packets have no times"));
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

    /// What to call its protocol: many sniffers of IEEE 802.15.4 make the same packets.
    pub(super) fn title(&self) -> &'static str {
        let is_wpan = matches!(
            self.protocol.link_type,
            LinkType::IEEE802_15_4_TAP | LinkType::IEEE802_15_4_WITHFCS
        );
        if is_wpan && !self.is_told { "ieee802154" } else { self.protocol.name }
    }

    /// Whether both may be of one line.
    fn may_be_as(&self, other: &Self) -> bool {
        self.protocol.link_type == other.protocol.link_type
            && (self.protocol.name == other.protocol.name || !self.is_told || !other.is_told)
    }

    /// Whether its packets have times of their own.
    pub(super) fn has_times(&self) -> bool {
        !matches!(self.kind, Kind::Octets { .. })
    }

    /// What was left out, for the report.
    pub(super) fn remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }
}

/// Packets of the first interface that has the protocol, in each section; of others how many there are.
fn read_capture(
    reader: &mut Reader,
    begin: &mut Begin,
    protocol: &'static Protocol,
    range: Option<Range>,
    others: &mut BTreeMap<u16, u64>,
    sink: &mut impl FnMut(&Heard<'_>, bool),
) -> Result<(), Problem> {
    let mut snaps = Vec::new();
    let mut line = None;
    let mut number = begin.packets.saturating_sub(1);
    if let Some(problem) = begin.problem.take() {
        return Err(problem);
    }
    let kept = begin.first.take();
    let mut first = kept.as_ref().map(Kept::packet);
    loop {
        if reader.interfaces().len() != snaps.len() {
            snaps = reader.interfaces().iter().map(|one| one.snap_len).collect();
        }
        let next = match first.take() {
            Some(packet) => Some(packet),
            None => reader.next_packet()?,
        };
        let Some(packet) = next else { return Ok(()) };
        let place = range.map(|range| range.place(packet.time.unwrap_or_default()));
        if place == Some(Place::Behind) {
            return Ok(());
        }
        number += 1;
        let (section, interface) = (packet.section, packet.interface);
        let is_ours = packet.link_type == protocol.link_type.0
            && line.filter(|(other, _)| *other == section).is_none_or(|(_, it)| it == interface);
        if !is_ours {
            *others.entry(packet.link_type).or_default() += 1;
            continue;
        }
        line = Some((section, interface));
        let snap_len = snaps.get(interface as usize).copied().unwrap_or(0);
        let is_snapped = snap_len > 0 && packet.octets.len() >= snap_len as usize;
        let record = Record {
            number,
            time: packet.time.unwrap_or_default(),
            octets: packet.octets,
            original_len: if is_snapped { packet.original_len } else { 0 },
            skipped_before: skipped(packet.comment),
            dropped: packet.dropped,
        };
        let is_damaged = packet.flags & ERROR_FLAGS != 0;
        sink(&Heard { record, is_damaged }, packet.time.is_some());
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
