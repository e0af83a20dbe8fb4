//! The files of a report: captures, recordings or plain octets, in order of time. Each is read once, from
//! its beginning to its end, so that it may be a pipe.

mod capture;
mod octets;

use crate::analysis::Record;
use crate::cli::ReportArgs;
use crate::decode::line::Line;
use crate::decode::{self, Reader};
use crate::error::Error;
use crate::framing::{self, Protocol};
use crate::nats::query::{Place, Range};
use crate::packet::LinkType;
use crate::source::record;
use crate::sys::files;
use crate::time::Timestamp;
use capture::Begin;
use std::fs::{self, File};
use std::io::{self, Cursor, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

/// Octets of a file that are read at once.
const CHUNK: usize = 64 * 1024;

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
        files.push(capture::open_stored(query, args)?);
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
        return capture::open(name, Cursor::new(head).chain(input), typed(args)?);
    }
    let recorded = record::decode_header(&head).map_err(|what| {
        Error::new(&name, what).hint("record again with this version of serialshark")
    })?;
    match recorded {
        Some((header, len)) => {
            let rest = head.split_off(len);
            let begins = record::first_time(&rest).unwrap_or_default();
            octets::open_recording(name, &header, begins, Cursor::new(rest).chain(input))
        }
        None => octets::open_octets(name, args, Cursor::new(head).chain(input)),
    }
}

/// The protocol that was typed, if one was.
fn typed(args: &ReportArgs) -> Result<Option<&'static Protocol>, Error> {
    let Some(typed) = &args.protocol else { return Ok(None) };
    let unknown = || Error::new(typed, "no such protocol").hint("serialshark protocols lists them");
    framing::protocol(typed).ok_or_else(unknown).map(Some)
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
                    capture::read(reader, begin, self.protocol, range, &mut others, &mut hand_on);
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
            Kind::Recording { input, line } => octets::read_recording(input, line, sink),
            Kind::Octets { input, line, octet_ns } => {
                let result = octets::read_octets(input, line, *octet_ns, sink);
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
