//! The trunk doctor: records of an MS/TP trunk in, a report out.

use super::distribution::Distribution;
use super::findings::{self, Case, Finding, Severity, addresses_waste, causes};
use super::limits;
use super::mstpcap::Tables;
use super::timing::{BaudFrom, Latency, Stamps, Survey};
use super::trunk::Trunk;
use super::trunk::frame::Frame;
use super::{Moment, Record};
use crate::printable::printable;
use serde_json::Value;

/// What is known before the first record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The rate of the line, and who says so.
    pub baud: Option<(u32, BaudFrom)>,
    /// How late a time may be, in milliseconds: the adapter's latency timer.
    pub latency_ms: Option<f64>,
}

/// Listens to an MS/TP trunk.
#[derive(Debug)]
pub struct Doctor {
    known: Known,
    survey: Survey,
    trunk: Option<Trunk>,
    tables: Tables,
}

/// How a trunk is, all in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Nothing is wrong.
    Good,
    /// Something costs time, or may become worse.
    Fair,
    /// A node or a function does not work.
    Poor,
    /// The trunk does not work, or may stop.
    Failing,
    /// Too little was heard.
    Unknown,
}

impl Grade {
    /// As it is in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
        }
    }
}

/// Figures of the whole trunk.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Seconds that were heard.
    pub seconds: f64,
    /// Addresses that have passed the token.
    pub masters: Vec<u8>,
    /// Round times of the token, in microseconds, as the lowest master has them.
    pub loop_time: Distribution,
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// The share of time in which somebody sends, if the rate is known.
    pub utilisation: Option<f64>,
    /// Tokens that were lost.
    pub lost_tokens: u32,
    /// Tokens that were sent again.
    pub second_tokens: u32,
    /// Requests that want an answer, and those to which nothing came.
    pub requests: u32,
    /// Those to which nothing came.
    pub unanswered: u32,
    /// The share of time that polls wasted, for addresses above the top master and below it.
    pub poll_waste: [f64; 2],
    /// Damaged frames, lost tokens and second tokens a minute.
    pub errors_per_min: f64,
    /// Broadcasts a minute.
    pub broadcasts_per_min: f64,
    /// Notifications of changed values a minute.
    pub cov_per_min: f64,
    /// The share of time that each address holds the token.
    pub hold_share: Vec<f64>,
}

/// What there is to say about a trunk.
#[derive(Debug)]
pub struct Report<'a> {
    /// All that was heard.
    pub trunk: &'a Trunk,
    /// Figures of the whole trunk.
    pub figures: Figures,
    /// How late a time may be, in milliseconds.
    pub latency_ms: f64,
    /// The grade.
    pub grade: Grade,
    /// What decided it.
    pub reason: String,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// The tables of mstpcap.
    pub mstpcap: Value,
    /// What could not be judged, and why.
    pub not_judged: Vec<String>,
}

impl Doctor {
    /// One that has heard nothing yet.
    pub fn new(known: Known) -> Self {
        Self { known, survey: Survey::default(), trunk: None, tables: Tables::default() }
    }

    /// Takes the next record.
    pub fn push(&mut self, record: &Record<'_>) {
        match &mut self.trunk {
            Some(trunk) => trunk.push(record),
            None => {
                if self.survey.keep(*record) {
                    self.begin();
                }
            }
        }
        match Frame::parse(record.octets) {
            Some(frame) => self.tables.add(&frame, record.time),
            None => self.tables.add_invalid(),
        }
    }

    /// Decides how to read times, and reads the records so far.
    fn begin(&mut self) -> &mut Trunk {
        let (known, survey) = (self.known.baud, &mut self.survey);
        self.trunk.get_or_insert_with(|| {
            let mut trunk = Trunk::new(survey.stamps(known));
            for (record, octets) in survey.take() {
                trunk.push(&Record { octets: &octets, ..record });
            }
            trunk
        })
    }

    /// What there is to say so far.
    pub fn report(&mut self) -> Report<'_> {
        let mstpcap = self.tables.document();
        let known_ms = self.known.latency_ms;
        let trunk = self.begin();
        trunk.finish();
        let trunk = &*trunk;
        let latency_ms =
            known_ms.map_or_else(|| trunk.latency.ms(), |ms| trunk.latency.or_step_ms(ms));
        let figures = Figures::of(trunk);
        let is_enough = figures.loop_time.n() >= limits::LOOPS;
        let p50 = figures.loop_time.percentile(50).filter(|_| is_enough);
        let case = Case {
            trunk,
            seconds: figures.seconds,
            latency_ms,
            loop_p50_ms: p50.map(|us| f64::from(us) / 1000.0),
            hold_share: &figures.hold_share,
            utilisation: figures.utilisation,
        };
        let (mut findings, withheld) = causes::arrange(&case, findings::all(&case));
        for finding in &mut findings {
            introduce(trunk, finding);
        }
        let (grade, reason) = grade(&figures, &findings, trunk);
        let mut not_judged: Vec<String> =
            blurred(&trunk.latency, latency_ms, known_ms.is_some()).into_iter().collect();
        not_judged.extend(not_told(trunk, &figures, &withheld));
        Report { trunk, figures, latency_ms, grade, reason, findings, mstpcap, not_judged }
    }
}

impl Figures {
    fn of(trunk: &Trunk) -> Self {
        let heard_ns = trunk.heard_ns.max(1) as f64;
        let seconds = trunk.heard_ns as f64 / 1e9;
        let per_min = |n: u32| if seconds > 0.0 { f64::from(n) * 60.0 / seconds } else { 0.0 };
        let sum =
            |of: fn(&super::trunk::node::Node) -> u32| trunk.nodes.iter().map(of).sum::<u32>();
        let lowest =
            trunk.by_mac().find(|(_, node)| node.tokens_sent > 0 && node.loop_time.n() > 0);
        let loop_time = lowest.map(|(_, node)| node.loop_time.clone()).unwrap_or_default();
        let second_tokens = sum(|node| node.retries_to.n + node.double_tokens.n);
        let is_known = trunk.stamps().baud_from != BaudFrom::Unknown;
        let busy_ns = trunk.octets as f64 * trunk.stamps().octets_ns(1) as f64;
        let hold = |node: &super::trunk::node::Node| node.hold.sum() as f64 * 1000.0 / heard_ns;
        let mut figures = Self {
            seconds,
            masters: trunk.masters().collect(),
            loop_time,
            tokens_per_s: if seconds > 0.0 { trunk.tokens as f64 / seconds } else { 0.0 },
            utilisation: is_known.then(|| (busy_ns / heard_ns).min(1.0)).filter(|_| seconds > 0.0),
            lost_tokens: trunk.lost_tokens.n,
            second_tokens,
            requests: sum(|node| node.requests_to + node.long_requests_to),
            unanswered: sum(|node| node.unanswered.n + node.long_unanswered.n),
            poll_waste: [0.0; 2],
            errors_per_min: per_min(trunk.wire.damaged.n + trunk.lost_tokens.n + second_tokens),
            broadcasts_per_min: per_min(sum(|node| node.said.broadcasts.n)),
            cov_per_min: per_min(sum(|node| node.said.notifications.n)),
            hold_share: trunk.nodes.iter().map(hold).collect(),
        };
        figures.poll_waste = addresses_waste(trunk, seconds);
        figures
    }
}

/// Says of nodes in an action which devices they are: `MAC 17 (VAV-17, instance 3017)`.
fn introduce(trunk: &Trunk, finding: &mut Finding) {
    for mac in &finding.nodes {
        let node = trunk.node(*mac);
        let who = match (&node.name, node.instance) {
            (Some(name), Some(instance)) => format!("{}, instance {instance}", printable(name)),
            (None, Some(instance)) => format!("instance {instance}"),
            _ => continue,
        };
        let said = format!("MAC {mac}");
        let mut ends = finding.action.match_indices(&said).map(|(at, _)| at + said.len());
        let is_end = |at: &usize| !finding.action[*at..].starts_with(|c: char| c.is_ascii_digit());
        if let Some(place) = ends.find(is_end) {
            finding.action.insert_str(place, &format!(" ({who})"));
        }
    }
}

/// Grade, and what decided it.
fn grade(figures: &Figures, findings: &[Finding], trunk: &Trunk) -> (Grade, String) {
    let Figures { seconds, errors_per_min, lost_tokens, unanswered, requests, .. } = *figures;
    let loops = figures.loop_time.n();
    if trunk.records == 0 {
        return (Grade::Unknown, "the capture has no packets".to_owned());
    }
    if trunk.frames == 0 {
        let reason = "no intact frame: the capture is of another rate, or of something else";
        return (Grade::Unknown, reason.to_owned());
    }
    if seconds < limits::LEAST_SECONDS {
        let reason =
            format!("only {seconds:.1} s were heard; a grade needs {:.0} s", limits::LEAST_SECONDS);
        return (Grade::Unknown, reason);
    }
    if let Some(worst) = findings.iter().find(|finding| finding.severity >= Severity::Fault) {
        let grade = if worst.severity == Severity::Critical { Grade::Failing } else { Grade::Poor };
        return (grade, format!("{}: {}", worst.title(), worst.text));
    }
    let only_master = trunk.only_master();
    if trunk.last_token.is_none() && only_master.is_none() {
        return (Grade::Failing, "there is no token on this trunk".to_owned());
    }
    if loops < limits::LEAST_LOOPS && only_master.is_none() {
        let reason = format!(
            "the token went round only {loops} times; a grade needs {}",
            limits::LEAST_LOOPS
        );
        return (Grade::Unknown, reason);
    }
    let p50_s = f64::from(figures.loop_time.percentile(50).unwrap_or(0)) / 1e6;
    let unanswered_share = f64::from(unanswered) / f64::from(requests.max(1));
    if let Some(worst) = findings.iter().find(|finding| finding.severity == Severity::Warning) {
        (Grade::Fair, format!("{}: {}", worst.title(), worst.text))
    } else if errors_per_min > limits::ERRORS_PER_MIN {
        let limit = limits::ERRORS_PER_MIN;
        (Grade::Fair, format!("{errors_per_min:.1} errors a minute, good is up to {limit:.0}"))
    } else if p50_s >= limits::LOOP_MS[0] / 1000.0 {
        (Grade::Fair, format!("the token takes {p50_s:.1} s to go round, good is below 1 s"))
    } else if unanswered >= limits::UNANSWERED && unanswered_share >= limits::UNANSWERED_SHARE {
        (
            Grade::Fair,
            format!("{unanswered} of {requests} requests were not answered, good is below 1 %"),
        )
    } else if lost_tokens > 0 {
        (Grade::Fair, format!("the token was lost {lost_tokens} times, good is never"))
    } else if let Some(mac) = only_master {
        let reason = format!(
            "MAC {mac} is the only master, and slaves answer it; {errors_per_min:.1} errors a minute"
        );
        (Grade::Good, reason)
    } else {
        let nodes = figures.masters.len();
        let reason = format!(
            "the token goes round {nodes} nodes in {:.0} ms, {errors_per_min:.1} errors a minute",
            p50_s * 1000.0
        );
        (Grade::Good, reason)
    }
}

/// Which delays could not be judged, and what to do about it.
fn blurred(latency: &Latency, latency_ms: f64, is_known: bool) -> Option<String> {
    let delays = format!("delays below {:.0} ms", 2.0 * latency_ms);
    if let Some(step_ms) = latency.step_ms() {
        let tokens = if latency.hides_silence() { ", and lost tokens" } else { "" };
        return Some(format!(
            "{delays}{tokens}: the times of the capture are in steps of {step_ms:.0} ms"
        ));
    }
    if latency_ms < 5.0 {
        return None;
    }
    Some(if is_known || latency.shows() {
        format!(
            "{delays}: the adapter hands bytes over every {latency_ms:.0} ms, so each time may be late by as \
             much. Set its latency_timer to 1 and capture again to see usage delays, impatient nodes and \
             tokens sent twice"
        )
    } else {
        format!(
            "{delays}: nothing in the capture tells whether the adapter hands bytes over at once, so each time \
             may be late by {latency_ms:.0} ms. If its latency_timer was 1, say so with --latency 1 to see usage \
             delays, impatient nodes and tokens sent twice"
        )
    })
}

/// What else could not be judged, and why.
fn not_told(trunk: &Trunk, figures: &Figures, withheld: &[&str]) -> Vec<String> {
    let mut said = Vec::new();
    let Stamps { baud, baud_from, at_end } = *trunk.stamps();
    if baud_from == BaudFrom::Unknown && trunk.frames > 0 {
        said.push(format!(
            "utilisation: the rate of the line is not known ({baud} baud was taken for delays); name it with -b"
        ));
    }
    if at_end {
        said.push(
            "the capture has the times of last bytes; they were moved to the first ones".to_owned(),
        );
    }
    let span_ns = trunk.first.map_or(0, |first| trunk.end.time.ns_since(first.time));
    if trunk.frames > 20 && span_ns < trunk.octets * trunk.stamps().octets_ns(1) / 4 {
        let runs_backwards = trunk.first.is_some_and(|first| trunk.end.time < first.time);
        let how = if runs_backwards { "run backwards" } else { "are equal, or nearly" };
        said.push(format!("all delays and rates: the times of the capture {how}"));
    } else if figures.seconds < limits::LEAST_SECONDS && trunk.frames > 0 {
        said.push(format!(
            "the grade, and whatever is seldom: {:.1} s were heard; capture 5 minutes",
            figures.seconds
        ));
    }
    if trunk.breaks > 0 {
        said.push(format!(
            "delays across {} steps of the clock or pauses of more than 10 s",
            trunk.breaks
        ));
    }
    if trunk.cut_by_snap > 0 {
        said.push(format!(
            "the content of {} frames, which a snap length has cut",
            trunk.cut_by_snap
        ));
    }
    if !withheld.is_empty() {
        said.push(format!(
            "{}: the capture has lost bytes, so that nothing can be said about the wire",
            withheld.join(", ")
        ));
    }
    let invalid = trunk.wire.damaged.n + trunk.wire.strays.n;
    if invalid > 0 && trunk.frames > 0 {
        said.push(
            "mstpcap's tables: the tool itself may count damaged records in another way".to_owned(),
        );
    }
    said
}

impl Report<'_> {
    /// When the first record began, and the last one ended.
    pub fn span(&self) -> Option<(Moment, Moment)> {
        self.trunk.first.map(|first| (first, self.trunk.end))
    }
}
