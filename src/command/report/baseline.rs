//! What has changed since an earlier report.

use crate::error::Error;
use serde_json::{Value, json};
use std::path::Path;

const HINT: &str = "make one with serialshark report --json FILE";

/// Reads the JSON of an earlier report.
pub(super) fn read(path: &Path) -> Result<Value, Error> {
    let wrong = |what: &str| Error::new(path.display(), what).hint(HINT);
    let octets = std::fs::read(path)
        .map_err(|error| Error::new(path.display(), "cannot read").because(error).hint(HINT))?;
    let old: Value = serde_json::from_slice(&octets).map_err(|_| wrong("is no JSON report"))?;
    match old["version"].as_u64() {
        Some(1) if old["findings"].is_array() => Ok(old),
        Some(_) => Err(wrong("is a report of another version")),
        None => Err(wrong("is not a report by serialshark")),
    }
}

/// Sees that the earlier report is on a line of the same protocol.
pub(super) fn check(old: &Value, protocol: &str) -> Result<(), Error> {
    match old["protocol"].as_str() {
        Some(other) if other != protocol => {
            let what = format!("is on a line of {other}, and this one is {protocol}");
            Err(Error::new("--baseline", what).hint("name an earlier report on the same line"))
        }
        _ => Ok(()),
    }
}

/// Whether it is on a trunk of which no master is on this one.
pub(super) fn is_of_others(old: &Value, new: &Value) -> bool {
    let masters =
        |report: &Value| report["trunk"]["masters"].as_array().cloned().unwrap_or_default();
    let [was, is] = [masters(old), masters(new)];
    !was.is_empty() && !is.is_empty() && !was.iter().any(|mac| is.contains(mac))
}

const SEVERITIES: [&str; 4] = ["advice", "warning", "fault", "critical"];

/// How bad a finding is, and how often it was seen.
fn weight(finding: &Value) -> (Option<usize>, u64) {
    let severity = SEVERITIES.iter().position(|name| finding["severity"] == *name);
    (severity, finding["n"].as_u64().unwrap_or(0))
}

/// What is new, gone, worse or better. A finding is the same if its name and nodes are; it is worse
/// if it is graver, or seen more than twice as often in the same time.
pub(super) fn compare(old: &Value, new: &Value) -> Value {
    let empty = Vec::new();
    let findings = |report: &Value| report["findings"].as_array().unwrap_or(&empty).clone();
    let is_same = |a: &Value, b: &Value| a["id"] == b["id"] && a["nodes"] == b["nodes"];
    let short = |finding: &Value| json!({ "id": finding["id"], "nodes": finding["nodes"], "severity": finding["severity"] });
    let [was, is] = [findings(old), findings(new)];
    let rate =
        |report: &Value, n: u64| n as f64 / report["seconds"].as_f64().unwrap_or(1.0).max(1.0);
    let (mut appeared, mut worse, mut better) = (Vec::new(), Vec::new(), Vec::new());
    for finding in &is {
        let Some(before) = was.iter().find(|before| is_same(before, finding)) else {
            appeared.push(short(finding));
            continue;
        };
        let ((severity_was, n_was), (severity_is, n_is)) = (weight(before), weight(finding));
        let (rate_was, rate_is) = (rate(old, n_was), rate(new, n_is));
        if severity_is > severity_was || (severity_is == severity_was && rate_is > 2.0 * rate_was) {
            worse.push(short(finding));
        } else if severity_is < severity_was || rate_is * 2.0 < rate_was {
            better.push(short(finding));
        }
    }
    let gone = was.iter().filter(|before| !is.iter().any(|finding| is_same(before, finding)));
    let gone: Vec<_> = gone.map(short).collect();
    json!({
        "grade": { "was": old["grade"], "is": new["grade"] },
        "new": appeared,
        "gone": gone,
        "worse": worse,
        "better": better,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed() {
        let finding = |id: &str, node: u8, severity: &str, n: u32| json!({ "id": id, "nodes": [node], "severity": severity, "n": n });
        let old = json!({ "grade": "poor", "seconds": 300.0, "findings": [
            finding("noise", 1, "warning", 10), finding("node-gone", 2, "fault", 1),
            finding("no-answer", 3, "warning", 10), finding("lost-token", 4, "fault", 100),
            finding("token-held", 5, "warning", 10),
        ]});
        let new = json!({ "grade": "failing", "seconds": 300.0, "findings": [
            finding("noise", 1, "fault", 10), finding("no-answer", 3, "warning", 30),
            finding("lost-token", 4, "fault", 20), finding("node-gone", 9, "fault", 1),
            finding("token-held", 5, "warning", 12),
        ]});
        let changes = compare(&old, &new);
        let nodes = |kind: &str| -> Vec<_> {
            changes[kind]
                .as_array()
                .unwrap()
                .iter()
                .map(|f| f["nodes"][0].as_u64().unwrap())
                .collect()
        };
        assert_eq!(changes["grade"], json!({ "was": "poor", "is": "failing" }));
        assert_eq!(
            ["new", "gone", "worse", "better"].map(nodes),
            [vec![9], vec![2], vec![1, 3], vec![4]]
        );
    }
}
