//! Reports of a capture that nobody looks at: one after each period, in two files that are replaced, a
//! document and a page; and
//! a log line, and a word to systemd, when a finding appears or is over. One that appears is a comment on
//! the next packet, too.
//!
//! Each report is on its own period, so that what happened weeks ago does not hide what happens now.
//! What begins in a period is told as soon as there is enough to judge by; that it is over is told
//! when a whole period has passed without it.

use super::intake::Intake;
use super::shared::Shared;
use crate::analysis::doctor::Known;
use crate::analysis::findings::{Finding, Severity, macs};
use crate::analysis::limits::LEAST_SECONDS;
use crate::analysis::live::Live;
use crate::config::Reporting;
use crate::error::Error;
use crate::framing::Protocol;
use crate::output::permissions::Permissions;
use crate::output::report_file;
use crate::report::html::{self, Beside};
use crate::sys::claim::Claim;
use log::{Level, info, log};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often it is looked for new findings, where packets come.
const LOOK: Duration = Duration::from_secs(10);
/// How long to let packets gather: a thread that is woken for each costs more than what it does.
const GATHER: Duration = Duration::from_millis(200);
/// How long packets are looked at before the time is.
const A_WHILE: Duration = Duration::from_millis(500);
/// As many findings are named to systemd.
const NAMED: usize = 3;

/// Something that was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    id: &'static str,
    nodes: Vec<u8>,
}

/// What was told of, and what is known in this period.
struct Rounds<'a> {
    shared: &'a Shared,
    reporting: &'a Reporting,
    permissions: Permissions,
    protocol: &'static Protocol,
    known: Known,
    live: Live,
    told: Vec<Told>,
    /// That the files are ours, once nobody else has them.
    claim: Option<Claim>,
    /// Whether the last report could not be written, which was told.
    has_failed: bool,
}

/// Listens until no more packets come.
pub fn run(
    shared: &Shared,
    mut intake: Intake<'_>,
    reporting: &Reporting,
    permissions: Permissions,
    known: Known,
) {
    let Some(protocol) = shared.interfaces.first().map(|interface| interface.protocol) else {
        return;
    };
    let live = Live::new(protocol, known);
    let told = Vec::new();
    let mut rounds = Rounds {
        shared,
        reporting,
        permissions,
        protocol,
        known,
        live,
        told,
        claim: None,
        has_failed: false,
    };
    if let Err(error) = rounds.claim() {
        rounds.say_failed(&error);
    }
    let (mut begin, mut is_first) = (Instant::now(), true);
    let (mut look, mut is_news) = (begin + LOOK, false);
    loop {
        let live = &mut rounds.live;
        let any = intake.take(A_WHILE, |record, is_damaged| live.push(record, is_damaged));
        is_news |= any;
        let now = Instant::now();
        if intake.is_over() {
            // A last report on a moment would take the place of one on a whole period.
            if is_first || begin.elapsed() >= reporting.every / 2 {
                rounds.end_period();
            }
            return;
        }
        if now >= begin + reporting.every {
            rounds.end_period();
            (begin, is_first, is_news) = (begin + reporting.every, false, false);
            begin = if begin + reporting.every < now { now } else { begin };
        } else if is_news && now >= look {
            rounds.look();
            (look, is_news) = (now + LOOK, false);
        }
        let due = begin + reporting.every;
        if any {
            shared.pause(GATHER.min(due.saturating_duration_since(now)));
        } else {
            intake.wait(if is_news { due.min(look) } else { due });
        }
    }
}

impl Rounds<'_> {
    /// Tells of what is new, once enough was heard to judge by.
    fn look(&mut self) {
        let (document, findings) = self.live.report();
        if document["seconds"].as_f64().unwrap_or(0.0) >= LEAST_SECONDS {
            self.tell_new(&document, &findings);
        }
    }

    /// Writes the report on this period, tells of what is over, and begins the next period.
    fn end_period(&mut self) {
        let (mut document, findings) = self.live.report();
        self.tell_new(&document, &findings);
        self.tell_over(&mut document, &findings);
        let names = [self.port().to_owned()];
        let page = html::of_live(&mut self.live, &names, Beside::Nothing);
        self.write(&document, &page);
        self.live = Live::new(self.protocol, self.known);
    }

    fn tell_new(&mut self, document: &Value, findings: &[Finding]) {
        for finding in findings {
            let is_it = |told: &Told| told.id == finding.id && told.nodes == finding.nodes;
            if self.told.iter().any(is_it) {
                continue;
            }
            let level =
                if finding.severity == Severity::Advice { Level::Info } else { Level::Warn };
            self.shared.streams().remark(0, finding.in_comment());
            log!(level, "{}: {}; to do: {}", self.port(), finding.in_words(), finding.action);
            self.told.push(Told { id: finding.id, nodes: finding.nodes.clone() });
        }
        self.tell_systemd(document);
    }

    /// A node that is gone is not heard in the next period either; that is over when it is heard.
    fn tell_over(&mut self, document: &mut Value, findings: &[Finding]) {
        let told = std::mem::take(&mut self.told);
        for told in told {
            let is_now = |finding: &&Finding| finding.id == told.id;
            let mut now = findings.iter().filter(is_now);
            if now.any(|finding| finding.nodes == told.nodes) {
                self.told.push(told);
            } else if now.any(|finding| told.nodes.iter().all(|it| finding.nodes.contains(it))) {
                // It has become more of the same, which was told.
            } else if told.id == "node-gone"
                && !told.nodes.iter().all(|it| self.live.has_heard(*it))
            {
                let still = format!(
                    "{}: gone in an earlier period, not heard in this one",
                    macs(&told.nodes)
                );
                if let Some(not_judged) = document["not_judged"].as_array_mut() {
                    not_judged.push(still.into());
                }
                self.told.push(told);
            } else {
                let title = told.id.replace('-', " ");
                info!("{}: over: {title}{}", self.port(), of_nodes(&told.nodes));
            }
        }
        self.tell_systemd(document);
    }

    fn tell_systemd(&self, document: &Value) {
        let named = self.told.iter().take(NAMED);
        let mut named: Vec<_> = named
            .map(|told| format!("{}{}", told.id.replace('-', " "), of_nodes(&told.nodes)))
            .collect();
        if self.told.len() > NAMED {
            named.push(format!("{} more", self.told.len() - NAMED));
        }
        let grade = document["grade"].as_str().unwrap_or_default();
        let said = if named.is_empty() {
            format!("grade {grade}")
        } else {
            format!("grade {grade}: {}", named.join(", "))
        };
        let diagnosis = &mut self.shared.streams().diagnosis;
        if diagnosis.as_ref() != Some(&said) {
            *diagnosis = Some(said);
            let _ = self.shared.readers_changed.try_send(()); // if full, it will be looked at anyway
        }
    }

    /// The document, and the page beside it.
    fn write(&mut self, document: &Value, page: &str) {
        let (file, permissions) = (&self.reporting.file, self.permissions);
        let replace =
            |file: &Path, octets: &str| report_file::replace(file, octets.as_bytes(), permissions);
        let written = self
            .claim()
            .and_then(|()| replace(file, &format!("{document:#}\n")))
            .and_then(|()| replace(&file.with_extension("html"), page));
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.has_failed) {
                    info!("{}: can be written again", file.display());
                }
            }
            Err(error) => self.say_failed(&error),
        }
    }

    /// Sees that nobody else writes the same files.
    fn claim(&mut self) -> Result<(), Error> {
        if self.claim.is_none() {
            self.claim = Some(report_file::claim(&self.reporting.file)?);
        }
        Ok(())
    }

    /// Told once: the disk may be full for long.
    fn say_failed(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            error.log(Level::Warn);
        }
    }

    fn port(&self) -> &str {
        self.shared.interfaces.first().map_or("", |interface| &interface.name)
    }
}

fn of_nodes(nodes: &[u8]) -> String {
    if nodes.is_empty() { String::new() } else { format!(" ({})", macs(nodes)) }
}
