//! `serialshark top` of a capture file: what a report would say of it, on the screen.

use super::input::{self, Heard};
use super::{Listener, listener, tell};
use crate::analysis::Record;
use crate::analysis::live::Live;
use crate::capture;
use crate::cli::ReportArgs;
use crate::error::Error;

/// Reads the file and shows it, until the user leaves. Returns the exit code.
pub(in crate::command) fn run(args: &ReportArgs) -> u8 {
    match browse(args) {
        Ok(None) => 0,
        Ok(Some(problem)) => {
            tell(&problem);
            1
        }
        Err(error) => {
            tell(&error);
            2
        }
    }
}

/// Returns what was wrong with the file, if it was read all the same.
fn browse(args: &ReportArgs) -> Result<Option<Error>, Error> {
    let mut files = input::open(args)?;
    let mut listener = listener(args, &files);
    let mut problem = None;
    for file in &mut files {
        let read = file.read(&mut |heard: &Heard<'_>| {
            let record = Record { ..heard.record };
            match &mut listener {
                Listener::Trunk(doctor) => doctor.push(&record),
                Listener::Other(_, general) => general.push(&record, heard.is_damaged),
            }
        });
        problem = problem.or(read.err());
    }
    let title = files.first().map(|file| format!("{}, {}", file.name, file.protocol.name));
    let live = match listener {
        Listener::Trunk(doctor) => Live::Trunk(doctor),
        Listener::Other(name, general) => Live::Other(name, general),
    };
    capture::browse(live, &title.unwrap_or_default())?;
    Ok(problem)
}
