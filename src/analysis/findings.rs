//! What is wrong with a trunk: a rule for each finding, one file for each family. Each rule looks at
//! figures alone; which finding is the cause of which others is decided in [`causes`].
//!
//! The names of findings are stable. All rules and their sources are in `docs/report.md`.

mod addresses;
pub mod causes;
pub mod modbus;
mod requests;
mod token;
mod token_use;
mod traffic;
mod wire;
pub mod wpan;

use super::timing::BaudFrom;
use super::trunk::Trunk;
use super::trunk::node::Node;
use super::{Moment, Seen};
use std::fmt::Write as _;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Could be set better.
    Advice,
    /// Costs something.
    Warning,
    /// A node or a function does not work.
    Fault,
    /// Stops or endangers the trunk.
    Critical,
}

impl Severity {
    /// All, the mildest first.
    pub const ALL: [Self; 4] = [Self::Advice, Self::Warning, Self::Fault, Self::Critical];

    /// As it is in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::Critical => "critical",
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Something else may look the same.
    Possible,
    /// Hardly anything else looks the same.
    Probable,
    /// The frames themselves say so.
    Certain,
}

impl Confidence {
    /// As it is in the JSON document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Probable => "probable",
            Self::Certain => "certain",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Its stable name, such as `node-gone`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Whose fault it is, as far as that is known.
    pub nodes: Vec<u8>,
    /// How sure it is.
    pub confidence: Confidence,
    /// What was seen, and when.
    pub seen: Seen,
    /// What was seen, in figures against their limits.
    pub text: String,
    /// What that means, and what it comes from.
    pub means: &'static str,
    /// What to do.
    pub action: String,
    /// A display filter that shows it.
    pub filter: String,
    /// Other findings that come of this one.
    pub effects: Vec<&'static str>,
}

impl Finding {
    fn new(id: &'static str, severity: Severity, confidence: Confidence, seen: Seen) -> Self {
        Self {
            id,
            severity,
            nodes: Vec::new(),
            confidence,
            seen,
            text: String::new(),
            means: "",
            action: String::new(),
            filter: String::new(),
            effects: Vec::new(),
        }
    }

    fn of(mut self, nodes: impl IntoIterator<Item = u8>) -> Self {
        self.nodes = nodes.into_iter().collect();
        self
    }

    fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    fn means(mut self, means: &'static str) -> Self {
        self.means = means;
        self
    }

    fn action(mut self, action: impl Into<String>) -> Self {
        self.action = action.into();
        self
    }

    fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Its name in words.
    pub fn title(&self) -> String {
        self.id.replace('-', " ").replace("mac", "MAC")
    }

    /// How bad, what, whose and why, in a line.
    pub fn in_words(&self) -> String {
        let nodes =
            if self.nodes.is_empty() { String::new() } else { format!(" ({})", macs(&self.nodes)) };
        format!("{}: {}{nodes}: {}", self.severity.name(), self.title(), self.text)
    }

    /// What a comment on a packet says of it. It stands behind the packets that show it, which have
    /// left when it is found.
    pub fn in_comment(&self) -> String {
        format!("found in the packets before this one: {}", self.in_words())
    }

    /// Packets to look at: the first one, the worst and the last.
    pub fn packets(&self) -> Vec<u64> {
        let Seen { n, first, worst, last, .. } = self.seen;
        let mut packets: Vec<u64> =
            [first, worst, last].iter().filter(|_| n > 0).map(|moment| moment.number).collect();
        packets.sort_unstable();
        packets.dedup();
        packets
    }
}

/// What the rules look at.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// All that was heard.
    pub trunk: &'a Trunk,
    /// Seconds that were heard.
    pub seconds: f64,
    /// How late a time may be, in milliseconds.
    pub latency_ms: f64,
    /// Median round time of the token, in milliseconds, if it goes round.
    pub loop_p50_ms: Option<f64>,
    /// The share of time that each address holds the token.
    pub hold_share: &'a [f64],
    /// The share of time in which somebody sends, if the rate is known.
    pub utilisation: Option<f64>,
}

impl Case<'_> {
    /// How many a minute. What was heard in less than a minute is taken for all of it, so that a
    /// few in the first seconds are no storm.
    fn per_min(&self, n: impl Into<f64>) -> f64 {
        n.into() * 60.0 / self.seconds.max(60.0)
    }

    /// Whether a time of 15 or 20 ms can be told from none.
    fn tells_usage(&self) -> bool {
        self.latency_ms < 5.0
    }

    /// Whether it is known when a frame ended.
    fn knows_rate(&self) -> bool {
        self.trunk.stamps().baud_from != BaudFrom::Unknown
    }

    /// How long ago something was at the end of the capture, in seconds.
    fn seconds_since(&self, moment: Moment) -> f64 {
        self.trunk.end.time.ns_since(moment.time) as f64 / 1e9
    }

    /// Nodes that were heard, with their addresses.
    fn heard(&self) -> impl Iterator<Item = (u8, &Node)> {
        self.trunk.by_mac().filter(|(_, node)| node.frames > 0)
    }
}

/// The share of time that polls waste, for addresses above the top master and below it.
pub fn addresses_waste(trunk: &Trunk, seconds: f64) -> [f64; 2] {
    addresses::poll_waste(trunk, seconds)
}

/// All that the rules find, each by itself.
pub fn all(case: &Case<'_>) -> Vec<Finding> {
    let families =
        [token::find, token_use::find, addresses::find, requests::find, wire::find, traffic::find];
    families.iter().flat_map(|find| find(case)).collect()
}

/// `MAC 4`, `MAC 4 and 5`, `MAC 4, 5 and 9`.
pub fn macs(nodes: &[u8]) -> String {
    let mut said = String::from("MAC ");
    for (i, mac) in nodes.iter().enumerate() {
        let between = match i {
            0 => "",
            _ if i + 1 == nodes.len() => " and ",
            _ => ", ",
        };
        let _ = write!(said, "{between}{mac}");
    }
    said
}

/// Addresses in runs: `3, 5-9`.
pub fn ranges(macs: impl IntoIterator<Item = u8>) -> String {
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for mac in macs {
        match runs.last_mut() {
            Some((_, end)) if end.checked_add(1) == Some(mac) => *end = mac,
            _ => runs.push((mac, mac)),
        }
    }
    let run = |(a, b): &(u8, u8)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

/// A share as people say it.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn ms(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1000.0)
}

fn of_node(mac: u8) -> String {
    format!("mstp.dst == {mac} || mstp.src == {mac}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_for_people() {
        assert_eq!(macs(&[4]), "MAC 4");
        assert_eq!(macs(&[4, 5, 9]), "MAC 4, 5 and 9");
        assert_eq!(ranges([3, 5, 6, 7, 255]), "3, 5-7, 255");
        assert_eq!((percent(0.034), percent(0.5)), ("3.4 %".into(), "50 %".into()));
    }
}
