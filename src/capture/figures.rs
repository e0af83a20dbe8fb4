//! The newest figures of a capture, for those who look at them: a page, JSON, metrics.
//!
//! They are on the last one to two hours of each port's line ([`Recent`]), and on all lines together where
//! there are several. They are made only when they are wanted, and take a quarter of this thread's time
//! at most.

use super::intake::Intake;
use super::report::total;
use super::shared::Shared;
use crate::analysis::doctor::Known;
use crate::analysis::live::Live;
use crate::analysis::recent::Recent;
use crate::encode::StreamCounts;
use crate::output::board::{Board, Figures, Subject};
use crate::report::html::{self, Beside};
use crate::report::metrics;
use crate::report::now::{self, Now};
use crate::report::overview::{self, Line};
use crate::time::Timestamp;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long figures are new enough.
const LEAST: Duration = Duration::from_secs(1);
/// How long packets are looked at before somebody who waits is.
const A_WHILE: Duration = Duration::from_millis(500);
/// How long to let packets gather: a thread that is woken for each costs more than what it does.
const GATHER: Duration = Duration::from_millis(200);
/// How many times as long as they took to make figures are not made again.
const PAUSE: u32 = 3;

/// The line of a port.
struct Heard {
    recent: Recent,
    /// The time of its last packet.
    last: Option<Timestamp>,
}

/// Listens until no more packets come.
pub fn run(shared: &Shared, mut intake: Intake<'_>, board: &Board, known: &[Known]) {
    let now = Instant::now();
    let mut lines: Vec<_> = shared
        .interfaces
        .iter()
        .zip(known)
        .map(|(interface, known)| Heard {
            recent: Recent::new(interface.protocol, *known, now),
            last: None,
        })
        .collect();
    let slugs = slugs(shared.interfaces.iter().map(|interface| interface.name.as_str()));
    board.set_maker(intake.waker());
    let mut due = now;
    loop {
        let any = intake.take_all(A_WHILE, |port, record, is_damaged| {
            if let Some(line) = lines.get_mut(port) {
                line.recent.push(record, is_damaged);
                line.last = Some(record.time);
            }
        });
        if intake.is_over() {
            return;
        }
        let now = Instant::now();
        lines.iter_mut().for_each(|line| line.recent.turn(now));
        let wanted = board.wanted();
        if !wanted.is_empty() && due <= now {
            for subject in wanted {
                board.show(subject, figures(subject, &mut lines, &slugs, shared));
            }
            due = now + LEAST.max(now.elapsed() * PAUSE);
        }
        if any {
            shared.pause(GATHER);
        } else {
            let is_wanted = !board.wanted().is_empty();
            let turn = lines.iter().map(|line| line.recent.due()).min().unwrap_or(now + LEAST);
            intake.wait(if is_wanted { due } else { turn });
        }
    }
}

/// What lines are called in paths: their names without what a path cannot have, each once. A board is
/// told before anybody can ask for them.
pub fn slugs<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
    names
        .map(|name| {
            let slug: String = name.chars().map(plain).collect();
            let slug = slug.trim_matches(['-', '.']);
            let slug = if slug.is_empty() { "line" } else { slug };
            once(slug, &mut taken, |number| format!("{slug}-{number}"))
        })
        .collect()
}

/// Names of ports, each once: two series of figures of one name would be none.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    names.map(|name| once(name, &mut taken, |number| format!("{name} ({number})"))).collect()
}

/// A name that is not taken yet: this one, or the first that is with a number.
fn once(name: &str, taken: &mut BTreeSet<String>, with: impl Fn(usize) -> String) -> String {
    let mut unique = name.to_owned();
    let mut number = 1;
    while !taken.insert(unique.clone()) {
        number += 1;
        unique = with(number);
    }
    unique
}

fn figures(subject: Subject, lines: &mut [Heard], slugs: &[String], shared: &Shared) -> Figures {
    let now = stand(shared);
    match subject {
        Subject::All => of_all(lines, slugs, &now, shared.clock.now()),
        Subject::Line(at) => match lines.get_mut(at) {
            Some(line) => of_line(line.recent.analysis(), at, &now),
            None => of_all(lines, slugs, &now, shared.clock.now()),
        },
    }
}

fn of_line(live: &mut Live, at: usize, now: &Now) -> Figures {
    let names = [now.ports.get(at).map_or(String::new(), |port| port.name.clone())];
    let (report, _) = live.report();
    let page = html::of_live(live, &names, Beside::Now(now));
    let saved_page = html::of_live(live, &names, Beside::Nothing);
    let grade = report["grade"].as_str().unwrap_or_default().to_owned();
    Figures {
        metrics: metrics::text(&report, now),
        report: format!("{report:#}\n"),
        page,
        saved_page,
        grade,
        troubles: troubles(now),
    }
}

fn of_all(lines: &mut [Heard], slugs: &[String], now: &Now, time: Timestamp) -> Figures {
    let lines = lines.iter_mut().zip(slugs).zip(&now.ports).map(|((line, slug), port)| {
        let (report, findings) = line.recent.analysis().report();
        // What is stored was heard at its own time, not when it came here.
        let quiet = line.last.map(|last| Duration::from_nanos(time.ns_since(last)));
        Line::new(slug, port, quiet, &report, &findings)
    });
    let lines = overview::sorted(lines.collect());
    Figures {
        report: format!("{:#}\n", overview::json(&lines)),
        page: overview::page(&lines, now, true),
        saved_page: overview::page(&lines, now, false),
        metrics: metrics::of_lines(&lines, now),
        grade: lines.first().map_or_else(String::new, |line| line.state().to_owned()),
        troubles: troubles(now),
    }
}

fn troubles(now: &Now) -> Vec<String> {
    let said = |port: &now::Port| Some(format!("{}: {}", port.name, port.trouble.as_ref()?));
    now.ports.iter().filter_map(said).collect()
}

/// How ports and readers stand.
fn stand(shared: &Shared) -> Now {
    let streams = shared.streams();
    let states = streams.tallies.iter().zip(&streams.troubles);
    let names = distinct(shared.interfaces.iter().map(|port| port.name.as_str()));
    let ports = shared.interfaces.iter().zip(names).zip(states);
    let ports = ports.map(|((port, name), (tally, trouble))| now::Port {
        name,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_path_of_its_own() {
        let names = ["/dev/ttyUSB0", "campus.trunk1", "sim:mstp", "sim:mstp", "//", "../../etc"];
        let slugs = slugs(names.into_iter());
        let wanted = ["dev-ttyUSB0", "campus.trunk1", "sim-mstp", "sim-mstp-2", "line", "etc"];
        assert_eq!(slugs, wanted);
        let names = distinct(["sim:mstp", "a", "sim:mstp", "sim:mstp"].into_iter());
        assert_eq!(names, ["sim:mstp", "a", "sim:mstp (2)", "sim:mstp (3)"]);
    }
}
