//! What is known of a line, as the screen needs it: words and figures, nothing that is still counted.

use crate::analysis::distribution::Distribution;
use crate::analysis::doctor::{Grade, Report};
use crate::analysis::document::is_known;
use crate::analysis::findings::{Finding, Severity};
use crate::analysis::general::General;
use crate::analysis::live::Live;
use crate::analysis::trunk::node::Node;
use crate::printable::printable;
use crate::time::Timestamp;
use std::cmp::Ordering;

/// A line, at one moment.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The grade.
    pub grade: Grade,
    /// What decided it.
    pub reason: String,
    /// Figures of the whole line, a row each.
    pub figures: [String; 2],
    /// The nodes that pass the token, in their order; none where there is no token.
    pub ring: Vec<Member>,
    /// Of the columns of `rows`.
    pub headings: &'static [(&'static str, usize)],
    /// Nodes, by address.
    pub rows: Vec<Row>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// The time of the last packet.
    pub end: Timestamp,
}

/// A node of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its address.
    pub mac: u8,
    /// Whether it has the token.
    pub holds: bool,
    /// The gravest finding that names it.
    pub trouble: Option<Severity>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its address.
    pub name: String,
    /// What is shown of it, beside its address.
    pub cells: Vec<String>,
    /// What is sorted by, one for each column: the largest first, but for the address.
    pub keys: Vec<f64>,
    /// The gravest finding that names it.
    pub trouble: Option<Severity>,
}

const OF_NODES: &[(&str, usize)] = &[
    ("MAC", 4),
    ("Device", 8),
    ("Tokens", 8),
    ("Loop ms", 8),
    ("Usage", 6),
    ("Reply", 6),
    ("Retries", 8),
    ("Unansw.", 8),
    ("Damage", 7),
    ("Trouble", 0),
];
const OF_ADDRESSES: &[(&str, usize)] =
    &[("Address", 28), ("Sent", 12), ("Received", 12), ("Damaged", 0)];

impl Shown {
    /// The line as it is now.
    pub fn of(live: &mut Live) -> Self {
        match live {
            Live::Trunk(doctor) => Self::of_trunk(&doctor.report()),
            Live::Other(protocol, general) => Self::of_general(protocol, general),
        }
    }

    fn of_trunk(report: &Report<'_>) -> Self {
        let Report { trunk, figures, findings, .. } = report;
        let nodes = trunk.by_mac().filter(|(_, node)| is_known(node));
        let member = |mac| {
            let holds = trunk.holder() == Some(mac);
            Member { mac, holds, trouble: trouble(findings, mac) }
        };
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let in_use = figures.utilisation.map_or("?".to_owned(), percent);
        let [loop_p50, loop_p99] = figures.loop_time.percentiles([50, 99]).map(in_ms);
        Self {
            grade: report.grade,
            reason: report.reason.clone(),
            figures: [
                format!(
                    "{} frames in {:.0} s, {} damaged; line in use {in_use}, times +- {} ms",
                    trunk.frames, figures.seconds, trunk.wire.damaged.n, report.latency_ms
                ),
                format!(
                    "{:.1} tokens/s, round {loop_p50} ms (p99 {loop_p99}), {:.1} errors/min, \
                     {} of {} unanswered",
                    figures.tokens_per_s,
                    figures.errors_per_min,
                    figures.unanswered,
                    figures.requests
                ),
            ],
            ring: figures.masters.iter().copied().map(member).collect(),
            headings: OF_NODES,
            rows: nodes.map(|(mac, node)| row(findings, mac, node)).collect(),
            findings: findings.clone(),
            end: trunk.end.time,
        }
    }

    fn of_general(protocol: &str, general: &General) -> Self {
        let seconds = general.seconds();
        let rate = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        let [p50, p99] = general.gaps.percentiles([50, 99]).map(in_ms);
        let row = |(name, talker): (&String, &crate::analysis::general::Talker)| Row {
            name: printable(name).into_owned(),
            cells: [talker.sent, talker.received, talker.damaged].map(|n| n.to_string()).into(),
            keys: vec![0.0, talker.sent as f64, talker.received as f64, talker.damaged as f64],
            trouble: None,
        };
        Self {
            grade: Grade::Unknown,
            reason: format!("only MS/TP trunks are graded, this is {protocol}"),
            figures: [
                format!(
                    "{} packets in {seconds:.0} s, {} damaged, {} bytes outside packets",
                    general.frames, general.damaged.n, general.skipped_octets
                ),
                format!(
                    "{:.1} packets/s, {:.0} bytes/s, {p50} ms from one to the next (p99 {p99})",
                    rate(general.frames),
                    rate(general.octets)
                ),
            ],
            ring: Vec::new(),
            headings: OF_ADDRESSES,
            rows: general.talkers.iter().map(row).collect(),
            findings: general.findings(),
            end: general.end.time,
        }
    }

    /// Sorts the rows by this column: by address from the smallest, by all else from the largest.
    pub fn sort(&mut self, column: usize, reversed: bool) {
        let key = |row: &Row| row.keys.get(column).copied().unwrap_or_default();
        // The rows come by address, and this sort keeps the order of equal ones.
        if column > 0 {
            self.rows.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap_or(Ordering::Equal));
        }
        if reversed {
            self.rows.reverse();
        }
    }
}

/// The gravest finding that names this node.
fn trouble(findings: &[Finding], mac: u8) -> Option<Severity> {
    findings.iter().filter(|it| it.nodes.contains(&mac)).map(|it| it.severity).max()
}

fn row(findings: &[Finding], mac: u8, node: &Node) -> Row {
    let own = findings.iter().filter(|finding| finding.nodes.contains(&mac));
    let worst = own.max_by_key(|finding| finding.severity);
    let unanswered = node.unanswered.n + node.long_unanswered.n;
    let events = node.retries_to.n + unanswered + node.damaged.n + node.lost_tokens.n;
    let gravity = worst.map_or(0.0, |finding| finding.severity as u8 as f64 + 1.0);
    let p50 = |delays: &Distribution| delays.percentile(50);
    let key = |value: Option<u32>| value.map_or(-1.0, f64::from);
    Row {
        name: mac.to_string(),
        cells: vec![
            node.instance.map_or("-".to_owned(), |instance| instance.to_string()),
            node.tokens_sent.to_string(),
            in_ms(p50(&node.loop_time)),
            in_ms(p50(&node.usage)),
            in_ms(p50(&node.reply)),
            node.retries_to.n.to_string(),
            unanswered.to_string(),
            node.damaged.n.to_string(),
            worst.map_or("-".to_owned(), |it| format!("{}: {}", it.severity.name(), it.title())),
        ],
        keys: vec![
            f64::from(mac),
            node.instance.map_or(-1.0, f64::from),
            f64::from(node.tokens_sent),
            key(p50(&node.loop_time)),
            key(p50(&node.usage)),
            key(p50(&node.reply)),
            f64::from(node.retries_to.n),
            f64::from(unanswered),
            f64::from(node.damaged.n),
            gravity * 1e10 + f64::from(events),
        ],
        trouble: worst.map(|finding| finding.severity),
    }
}

/// All that is known of one address, a row each.
pub fn page(live: &mut Live, name: &str) -> Vec<String> {
    match live {
        Live::Trunk(doctor) => {
            let report = doctor.report();
            let Ok(mac) = name.parse() else { return Vec::new() };
            page_of_node(report.trunk.node(mac), report.figures.hold_share.get(usize::from(mac)))
        }
        Live::Other(_, general) => {
            let talker = general.talkers.get(name).copied().unwrap_or_default();
            vec![
                labelled("packets from it", talker.sent),
                labelled("of them damaged", talker.damaged),
                labelled("packets to it", talker.received),
            ]
        }
    }
}

fn page_of_node(node: &Node, hold_share: Option<&f64>) -> Vec<String> {
    let device = node.instance.map_or("not heard yet".to_owned(), |it| it.to_string());
    let successor = node.successor.map_or("-".to_owned(), |mac| mac.to_string());
    let top = node.polled_addresses().last().map_or("-".to_owned(), |mac| mac.to_string());
    vec![
        labelled("device instance", device),
        labelled("frames from it", node.frames),
        labelled(
            "tokens sent, received",
            format!("{}, {}", node.tokens_sent, node.tokens_received),
        ),
        labelled("passes the token to", successor),
        labelled("share of the time", format!("{:.1} %", hold_share.unwrap_or(&0.0) * 100.0)),
        labelled("round, ms", three(&node.loop_time)),
        labelled("token to first byte, ms", three(&node.usage)),
        labelled("request to reply, ms", three(&node.reply)),
        labelled("has the token for, ms", three(&node.hold)),
        labelled("tokens repeated to it", node.retries_to.n),
        labelled("tokens lost in its turns", node.lost_tokens.n),
        labelled("damage in its turns", node.damaged.n),
        labelled(
            "requests to it",
            format!(
                "{}, unanswered {}, refused {}",
                node.requests_to + node.long_requests_to,
                node.unanswered.n + node.long_unanswered.n,
                node.refusals.n
            ),
        ),
        labelled("polls from it", format!("{}, highest address {top}", node.polls)),
        labelled("broadcasts from it", node.said.broadcasts.n),
    ]
}

fn labelled(label: &str, value: impl std::fmt::Display) -> String {
    format!("{label:26} {value}")
}

/// Median, 99th percentile and maximum.
fn three(delays: &Distribution) -> String {
    let [p50, p99] = delays.percentiles([50, 99]);
    match p50 {
        Some(_) => {
            format!("{} (p99 {}, most {})", in_ms(p50), in_ms(p99), in_ms(Some(delays.max())))
        }
        None => "-".to_owned(),
    }
}

/// Microseconds as milliseconds.
fn in_ms(us: Option<u32>) -> String {
    us.map_or("-".to_owned(), |us| format!("{:.1}", f64::from(us) / 1000.0))
}
