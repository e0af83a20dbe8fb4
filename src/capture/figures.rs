//! The newest figures of a capture, for those who look at them: a page, JSON, metrics.
//!
//! They are on the last one to two hours of the first port's line ([`Recent`]). They are made only when they are wanted, and at most once in [`LEAST`].

use super::intake::Intake;
use super::report::total;
use super::shared::Shared;
use crate::analysis::doctor::Known;
use crate::analysis::live::Live;
use crate::analysis::recent::Recent;
use crate::encode::StreamCounts;
use crate::output::board::{Board, Figures};
use crate::report::html::{self, Beside};
use crate::report::metrics;
use crate::report::now::{self, Now};
use std::time::{Duration, Instant};

/// How long figures are new enough.
const LEAST: Duration = Duration::from_secs(1);
/// How long packets are looked at before somebody who waits is.
const A_WHILE: Duration = Duration::from_millis(500);
/// How long to let packets gather: a thread that is woken for each costs more than what it does.
const GATHER: Duration = Duration::from_millis(200);

/// Listens until no more packets come.
pub fn run(shared: &Shared, mut intake: Intake<'_>, board: &Board, known: Known) {
    let Some(protocol) = shared.interfaces.first().map(|interface| interface.protocol) else {
        return;
    };
    board.set_maker(intake.waker());
    let mut recent = Recent::new(protocol, known, Instant::now());
    let mut made: Option<Instant> = None;
    loop {
        let any = intake.take(A_WHILE, |record, is_damaged| recent.push(record, is_damaged));
        if intake.is_over() {
            return;
        }
        recent.turn(Instant::now());
        let is_due = made.is_none_or(|made| made.elapsed() >= LEAST);
        if board.is_wanted() && is_due {
            board.show(figures(recent.analysis(), shared));
            made = Some(Instant::now());
        }
        if any {
            shared.pause(GATHER);
        } else {
            let due = if board.is_wanted() { made.map(|made| made + LEAST) } else { None };
            intake.wait(due.unwrap_or(recent.due()));
        }
    }
}

fn figures(live: &mut Live, shared: &Shared) -> Figures {
    let now = stand(shared);
    let names = [now.ports.first().map_or(String::new(), |port| port.name.clone())];
    let (report, _) = live.report();
    let page = html::of_live(live, &names, Beside::Now(&now));
    let saved_page = html::of_live(live, &names, Beside::Nothing);
    let grade = report["grade"].as_str().unwrap_or_default().to_owned();
    Figures {
        metrics: metrics::text(&report, &now),
        report: format!("{report:#}\n"),
        page,
        saved_page,
        grade,
        troubles: now
            .ports
            .iter()
            .filter_map(|port| Some(format!("{}: {}", port.name, port.trouble.as_ref()?)))
            .collect(),
    }
}

/// How ports and readers stand.
fn stand(shared: &Shared) -> Now {
    let streams = shared.streams();
    let states = streams.tallies.iter().zip(&streams.troubles);
    let ports = shared.interfaces.iter().zip(states).map(|(port, (tally, trouble))| now::Port {
        name: port.name.clone(),
        protocol: port.protocol.name,
        line: port.line.to_string(),
        tally: *tally,
        trouble: trouble.clone(),
    });
    let readers = streams.open.iter().filter(|stream| !stream.is_unwritten()).map(|stream| {
        let StreamCounts { delivered, dropped, .. } = total(&stream.queue.account.counts());
        now::Reader { name: stream.queue.name().to_owned(), delivered, dropped }
    });
    Now { ports: ports.collect(), readers: readers.collect(), dropped_before: streams.dropped }
}
