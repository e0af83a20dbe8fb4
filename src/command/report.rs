//! `serialshark report`: what is wrong with a line, and what to do.

mod baseline;
#[cfg(feature = "top")]
pub(super) mod browse;
mod input;
mod page_file;

use crate::analysis::Record;
use crate::analysis::doctor::{Doctor, Known};
use crate::analysis::document;
use crate::analysis::findings::Severity;
use crate::analysis::general::General;
use crate::analysis::timing::BaudFrom;
use crate::cli::ReportArgs;
use crate::error::Error;
use crate::report::html::{self, Beside};
use crate::report::text;
use crate::time::{Timestamp, seconds};
use input::{Heard, Opened};
use serde_json::{Value, json};
use std::io::{self, Write as _};
use std::path::Path;

/// What the report is made by.
enum Listener {
    Trunk(Box<Doctor>),
    Other(&'static str, Box<General>),
}

/// Reads the files and prints the report. Returns the exit code.
pub(super) fn run(args: &ReportArgs) -> u8 {
    match report(args) {
        Ok(exit_code) => exit_code,
        Err(error) => {
            tell(&error);
            2
        }
    }
}

/// An error on stderr; the exit code tells it as well, should nobody read that.
fn tell(error: &Error) {
    let _ = writeln!(io::stderr(), "serialshark: {error}");
}

fn report(args: &ReportArgs) -> Result<u8, Error> {
    let baseline = args.baseline.as_deref().map(baseline::read).transpose()?;
    args.html.as_deref().map(page_file::check).transpose()?;
    let mut files = input::open(args)?;
    if let (Some(old), [first, ..]) = (&baseline, &files[..]) {
        baseline::check(old, first.title())?;
    }
    let mut listener = listener(args, &files);
    let Read { mut problems, mut remarks } = read(&mut files, &mut listener);
    if let [file] = &files[..]
        && file.is_senseless
        && problems.is_empty()
    {
        let what = format!(
            "is neither a capture nor a recording, and no {} frame is in it",
            file.protocol.name
        );
        return Err(Error::new(&file.name, what)
            .hint("name a capture, or the rate and protocol of these bytes: -b, -p"));
    }
    let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
    if let Listener::Other(_, general) = &listener
        && general.runs_backwards()
    {
        remarks.push("all delays and rates: the times of the capture run backwards".to_owned());
    }
    let Said { text, page, worst } = said(args, listener, &names, remarks, baseline.as_ref());
    problems.extend(page.and_then(|(path, page)| page_file::write(path, &page).err()));
    if let Err(error) = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush())
        // Nobody wants to know any more.
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        problems.push(
            Error::new("standard output", "cannot write")
                .because(error)
                .hint("the report is not complete there; make room and try again"),
        );
    }
    for problem in &problems {
        tell(problem);
    }
    let is_bad =
        args.fail_on.zip(worst).is_some_and(|(limit, worst)| worst >= Severity::from(limit));
    Ok(match (problems.is_empty(), is_bad) {
        (false, _) => 1,
        (true, true) => 3,
        (true, false) => 0,
    })
}

/// What there is to say about the files themselves.
struct Read {
    /// Why some could not be read to their end.
    problems: Vec<Error>,
    /// What was left out, and what counts twice.
    remarks: Vec<String>,
}

/// Hands all packets of all files on, numbered from the first one on.
fn read(files: &mut [Opened], listener: &mut Listener) -> Read {
    let mut said = Read { problems: Vec::new(), remarks: Vec::new() };
    let mut number = 0;
    let mut last: Option<(Timestamp, String)> = None;
    for file in files {
        let first = number;
        let mut span: Option<(Timestamp, Timestamp)> = None;
        let result = file.read(&mut |heard: &Heard<'_>| {
            number = first + heard.record.number;
            let record = Record { number, ..heard.record };
            let (begin, end) = span.unwrap_or((record.time, record.time));
            span = Some((begin, end.max(record.time)));
            match listener {
                Listener::Trunk(doctor) => doctor.push(&record),
                Listener::Other(_, general) => general.push(&record, heard.is_damaged),
            }
        });
        said.problems.extend(result.err());
        said.remarks.extend(file.remarks());
        let Some((begin, end)) = span.filter(|_| file.has_times()) else { continue };
        if let Some((before, name)) = &last
            && begin < *before
        {
            said.remarks.push(format!(
                "{} begins {} before {name} ends: what is in both counts twice",
                file.name,
                seconds(before.ns_since(begin))
            ));
        }
        if last.as_ref().is_none_or(|(before, _)| end > *before) {
            last = Some((end, file.name.clone()));
        }
    }
    said
}

fn listener(args: &ReportArgs, files: &[Opened]) -> Listener {
    let typed = args.baud.map(|baud| (baud, BaudFrom::User));
    let recorded = files.iter().find_map(|file| file.baud).map(|baud| (baud, BaudFrom::Recording));
    match files.first() {
        Some(file) if file.protocol.name != "mstp" => {
            let baud = typed.or(recorded).map(|(baud, _)| baud);
            Listener::Other(file.title(), Box::new(General::new(file.protocol, baud)))
        }
        _ => {
            let known = Known { baud: typed.or(recorded), latency_ms: args.latency };
            Listener::Trunk(Box::new(Doctor::new(known)))
        }
    }
}

/// What there is to say.
struct Said<'a> {
    /// What is printed.
    text: String,
    /// The page, and where it is to be written.
    page: Option<(&'a Path, String)>,
    /// How bad the worst finding is.
    worst: Option<Severity>,
}

fn said<'a>(
    args: &'a ReportArgs,
    listener: Listener,
    names: &[String],
    remarks: Vec<String>,
    baseline: Option<&Value>,
) -> Said<'a> {
    let path = args.html.as_deref();
    match listener {
        Listener::Trunk(mut doctor) => {
            let mut report = doctor.report();
            report.not_judged.extend(remarks);
            let worst = report.findings.iter().map(|finding| finding.severity).max();
            let mut document = document::of_trunk(&report);
            let changes = baseline.map(|old| baseline::compare(old, &document));
            if baseline.is_some_and(|old| baseline::is_of_others(old, &document)) {
                let remark = "what has changed: the earlier report is on other nodes";
                report.not_judged.push(remark.to_owned());
                document["not_judged"] = json!(report.not_judged);
            }
            let beside = changes.as_ref().map_or(Beside::Nothing, Beside::Changes);
            let page = path.map(|path| (path, html::of_trunk(&report, names, beside)));
            let text = if args.json {
                json_text(document, changes)
            } else {
                text::of_trunk(&report, names, changes.as_ref())
            };
            Said { text, page, worst }
        }
        Listener::Other(protocol, general) => {
            let worst = general.findings().iter().map(|finding| finding.severity).max();
            let mut document = document::of_general(protocol, &general);
            document["not_judged"] = json!(remarks);
            let changes = baseline.map(|old| baseline::compare(old, &document));
            let page = |path| {
                let beside = changes.as_ref().map_or(Beside::Nothing, Beside::Changes);
                (path, html::of_general(protocol, &general, names, &remarks, beside))
            };
            let page = path.map(page);
            let text = if args.json {
                json_text(document, changes)
            } else {
                text::of_general(protocol, &general, names, &remarks, changes.as_ref())
            };
            Said { text, page, worst }
        }
    }
}

fn json_text(mut document: Value, changes: Option<Value>) -> String {
    if let Some(changes) = changes {
        document["baseline"] = changes;
    }
    format!("{document:#}\n")
}
