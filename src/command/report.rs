//! `serialshark report`: what is wrong with a line, and what to do.

mod baseline;
#[cfg(feature = "top")]
pub(super) mod browse;
mod input;
mod page_file;

use crate::analysis::doctor::{Doctor, Known};
use crate::analysis::document;
use crate::analysis::findings::Severity;
use crate::analysis::general::General;
use crate::analysis::timing::BaudFrom;
use crate::cli::ReportArgs;
use crate::error::Error;
use crate::report::html::{self, Beside};
use crate::report::text;
use input::{Heard, Opened};
use serde_json::{Value, json};
use std::io::{self, Write as _};

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
    let mut listener = listener(args, &files);
    let mut problems = Vec::new();
    let mut remarks = Vec::new();
    let mut number = 0;
    for file in &mut files {
        let first = number;
        let read = file.read(&mut |heard: &Heard<'_>| {
            number = first + heard.record.number;
            let record = crate::analysis::Record { number, ..heard.record };
            match &mut listener {
                Listener::Trunk(doctor) => doctor.push(&record),
                Listener::Other(_, general) => general.push(&record, heard.is_damaged),
            }
        });
        problems.extend(read.err());
        remarks.extend(file.remarks());
    }
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
    for problem in &problems {
        tell(problem);
    }
    let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
    let (said, worst) = said(args, listener, &names, remarks, baseline.as_ref())?;
    // Fails when nobody wants to know any more.
    let _ = io::stdout().write_all(said.as_bytes());
    let is_bad =
        args.fail_on.zip(worst).is_some_and(|(limit, worst)| worst >= Severity::from(limit));
    Ok(match (problems.is_empty(), is_bad) {
        (false, _) => 1,
        (true, true) => 3,
        (true, false) => 0,
    })
}

fn listener(args: &ReportArgs, files: &[Opened]) -> Listener {
    let typed = args.baud.map(|baud| (baud, BaudFrom::User));
    let recorded = files.iter().find_map(|file| file.baud).map(|baud| (baud, BaudFrom::Recording));
    match files.first().map(|file| file.protocol) {
        Some(protocol) if protocol.name != "mstp" => {
            let baud = typed.or(recorded).map(|(baud, _)| baud);
            Listener::Other(protocol.name, Box::new(General::new(protocol, baud)))
        }
        _ => {
            let known = Known { baud: typed.or(recorded), latency_ms: args.latency };
            Listener::Trunk(Box::new(Doctor::new(known)))
        }
    }
}

/// What is printed, and how bad the worst finding is.
fn said(
    args: &ReportArgs,
    listener: Listener,
    names: &[String],
    remarks: Vec<String>,
    baseline: Option<&Value>,
) -> Result<(String, Option<Severity>), Error> {
    match listener {
        Listener::Trunk(mut doctor) => {
            let mut report = doctor.report();
            report.not_judged.extend(remarks);
            let worst = report.findings.iter().map(|finding| finding.severity).max();
            let mut document = document::of_trunk(&report);
            let changes = baseline.map(|old| baseline::compare(old, &document));
            if let Some(path) = &args.html {
                let beside = changes.as_ref().map_or(Beside::Nothing, Beside::Changes);
                page_file::write(path, &html::of_trunk(&report, names, beside))?;
            }
            if args.json {
                if let Some(changes) = changes {
                    document["baseline"] = changes;
                }
                return Ok((format!("{document:#}\n"), worst));
            }
            Ok((text::of_trunk(&report, names, changes.as_ref()), worst))
        }
        Listener::Other(protocol, general) => {
            let worst = general.findings().iter().map(|finding| finding.severity).max();
            if let Some(path) = &args.html {
                page_file::write(
                    path,
                    &html::of_general(protocol, &general, names, &remarks, None),
                )?;
            }
            let mut document = document::of_general(protocol, &general);
            document["not_judged"] = json!(remarks);
            let said = if args.json {
                format!("{document:#}\n")
            } else {
                text::of_general(protocol, &general, names, &remarks)
            };
            Ok((said, worst))
        }
    }
}
