//! Octets of a line, recorded with their times or plain, which are framed here.

use super::{CHUNK, Heard, Kind, Opened, typed};
use crate::analysis::Record;
use crate::cli::ReportArgs;
use crate::decode::Problem;
use crate::decode::line::Line;
use crate::error::Error;
use crate::framing::{self, PROTOCOLS, Setup};
use crate::line::Line as Rate;
use crate::source::record::{self, RecordKind};
use crate::time::Timestamp;
use std::io::{self, BufReader, Read};

/// Plain octets are dated from here on, since they have no times: 2000-01-01.
const BEGINNING: Timestamp = Timestamp::from_ns(946_684_800_000_000_000);

pub(super) fn open_recording(
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

pub(super) fn open_octets(
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

pub(super) fn read_recording(
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

pub(super) fn read_octets(
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
