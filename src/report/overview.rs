//! Many lines beside each other, those with trouble first.

use super::html::overview as html;
use super::now::Port;
use crate::analysis::document::VERSION;
use crate::analysis::findings::Finding;
pub use html::page;
use serde_json::{Value, json};
use std::time::Duration;

/// A trunk on which nobody says anything for so long has none who could.
const SILENT: Duration = Duration::from_secs(60);

/// A line among many.
#[derive(Debug)]
pub struct Line {
    /// What it is called in paths: `/lines/SLUG/`.
    pub slug: String,
    /// What it is called.
    pub name: String,
    /// What is spoken on it.
    pub protocol: &'static str,
    /// How long ago its last packet came; `None` if none came yet.
    pub quiet: Option<Duration>,
    /// What to do first, or what was found, if anything was.
    pub first: Option<String>,
    /// Findings.
    pub findings: usize,
    /// Its report, as `serialshark report --json` prints it.
    pub report: Value,
}

impl Line {
    /// Of what is known of a port and its line.
    pub fn new(
        slug: &str,
        port: &Port,
        quiet: Option<Duration>,
        report: &Value,
        findings: &[Finding],
    ) -> Self {
        Self {
            slug: slug.to_owned(),
            name: port.name.clone(),
            protocol: port.protocol,
            quiet,
            first: port.trouble.clone().or(findings.first().map(|finding| finding.action.clone())),
            findings: findings.len(),
            report: report.clone(),
        }
    }

    /// In one word how it is: its grade, `silent`, or nothing of a line that has no grade.
    pub fn state(&self) -> &str {
        let grade = self.report["grade"].as_str().unwrap_or_default();
        // A trunk that works is never quiet; of other lines nobody knows.
        let is_trunk = self.protocol == "mstp";
        if is_trunk && self.quiet.is_none_or(|quiet| quiet >= SILENT) { "silent" } else { grade }
    }

    /// The more trouble, the less.
    fn rank(&self) -> usize {
        let order = ["silent", "failing", "poor", "fair", "unknown"];
        order.iter().position(|state| *state == self.state()).unwrap_or(order.len())
    }
}

/// Those with the most trouble first, then by name.
pub fn sorted(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|one, other| {
        (one.rank(), std::cmp::Reverse(one.findings), &one.name).cmp(&(
            other.rank(),
            std::cmp::Reverse(other.findings),
            &other.name,
        ))
    });
    lines
}

/// All lines as one document.
pub fn json(lines: &[Line]) -> Value {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "name": line.name,
                "path": format!("/lines/{}/", line.slug),
                "protocol": line.protocol,
                "state": line.state(),
                "quiet_s": line.quiet.map(|quiet| quiet.as_secs()),
                "first": line.first,
                "findings": line.findings,
                "report": line.report,
            })
        })
        .collect();
    json!({ "version": VERSION, "lines": lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, grade: &str, quiet_s: u64, findings: usize) -> Line {
        Line {
            slug: name.to_owned(),
            name: name.to_owned(),
            protocol: "mstp",
            quiet: Some(Duration::from_secs(quiet_s)),
            first: None,
            findings,
            report: json!({ "grade": grade }),
        }
    }

    #[test]
    fn those_with_trouble_come_first() {
        let lines = sorted(vec![
            line("fine", "good", 0, 0),
            line("two", "poor", 0, 2),
            line("dead", "good", 600, 0),
            line("three", "poor", 0, 3),
            line("worst", "failing", 0, 1),
            line("also-fine", "good", 1, 0),
        ]);
        let names: Vec<_> = lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["dead", "worst", "three", "two", "also-fine", "fine"]);
        assert_eq!(lines[0].state(), "silent");
        assert_eq!(json(&lines)["lines"][1]["state"], "failing");
    }

    #[test]
    fn a_meter_may_be_quiet() {
        let quiet = Line { protocol: "modbus", ..line("meter", "", 600, 0) };
        assert_eq!(quiet.state(), "");
    }

    #[test]
    fn what_a_line_is_called_is_text_in_the_page() {
        let now =
            super::super::now::Now { ports: Vec::new(), readers: Vec::new(), dropped_before: 0 };
        let page = page(&[line("<b>&\"x", "good", 0, 0)], &now, true);
        assert!(page.contains("&lt;b&gt;&amp;&quot;x") && !page.contains("<b>&"));
    }
}
