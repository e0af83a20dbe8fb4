//! Figures in Prometheus' text format, version 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! Names end in their unit, counters in `_total`. What a line's analysis does not know is left out.

use super::now::Now;
use super::overview::Line;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// All metrics of a capture: its report, and how ports and readers stand.
pub fn text(report: &Value, now: &Now) -> String {
    let mut out = String::new();
    ports(&mut out, now);
    readers(&mut out, now);
    lines(&mut out, &[("", report)]);
    out
}

/// The same of several lines.
pub fn of_lines(all: &[Line], now: &Now) -> String {
    let mut out = String::new();
    ports(&mut out, now);
    readers(&mut out, now);
    let reports: Vec<_> = all.iter().map(|line| (line.name.as_str(), &line.report)).collect();
    lines(&mut out, &reports);
    quiet(&mut out, all);
    out
}

fn ports(out: &mut String, now: &Now) {
    let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(usize) -> u64| {
        begin(out, name, kind, help);
        for (index, port) in now.ports.iter().enumerate() {
            let value = value(index);
            let _ = writeln!(out, "{name}{{port=\"{}\"}} {value}", label(&port.name));
        }
    };
    let tally = |index: usize| now.ports[index].tally;
    let counter = "counter";
    family("serialshark_port_up", "gauge", "Whether the port is read and makes sense.", &|at| {
        now.ports[at].trouble.is_none().into()
    });
    family("serialshark_received_bytes_total", counter, "Bytes received.", &|at| tally(at).octets);
    family("serialshark_frames_total", counter, "Good frames.", &|at| tally(at).good_frames);
    family("serialshark_damaged_frames_total", counter, "Damaged frames.", &|at| {
        tally(at).damaged_frames
    });
    family("serialshark_skipped_bytes_total", counter, "Bytes outside frames.", &|at| {
        tally(at).skipped_octets
    });
    family(
        "serialshark_symbol_errors_total",
        counter,
        "Bytes with a wrong stop bit or parity.",
        &|at| tally(at).symbol_errors,
    );
    family("serialshark_overruns_total", counter, "Times that the adapter lost bytes.", &|at| {
        tally(at).overruns
    });
}

/// Readers of one name are one: they come and go.
fn readers(out: &mut String, now: &Now) {
    let mut names: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for reader in &now.readers {
        let (count, delivered, dropped) = names.entry(&reader.name).or_default();
        *count += 1;
        *delivered += reader.delivered;
        *dropped += reader.dropped;
    }
    begin(out, "serialshark_readers", "gauge", "Open outputs and readers.");
    for (name, (count, ..)) in &names {
        let _ = writeln!(out, "serialshark_readers{{output=\"{}\"}} {count}", label(name));
    }
    begin(out, "serialshark_open_dropped_packets", "gauge", "Packets that open outputs dropped.");
    for (name, (.., dropped)) in &names {
        let _ = writeln!(
            out,
            "serialshark_open_dropped_packets{{output=\"{}\"}} {dropped}",
            label(name)
        );
    }
    let dropped = now.dropped_before + names.values().map(|(.., dropped)| dropped).sum::<u64>();
    begin(out, "serialshark_dropped_packets_total", "counter", "Packets dropped by all outputs.");
    let _ = writeln!(out, "serialshark_dropped_packets_total {dropped}");
}

/// What the analysis of the lines says. Of several each has its name as a label.
fn lines(out: &mut String, reports: &[(&str, &Value)]) {
    let labels = |name: &str, more: &str| match (name, more) {
        ("", "") => String::new(),
        ("", more) => format!("{{{more}}}"),
        (name, "") => format!("{{port=\"{}\"}}", label(name)),
        (name, more) => format!("{{port=\"{}\",{more}}}", label(name)),
    };
    for (family, help, pointer, unit) in [
        ("serialshark_loop_seconds", "Round time of the token, median.", "/loop_ms/p50", 1e-3),
        ("serialshark_loop_p99_seconds", "Round time, 99 of 100.", "/loop_ms/p99", 1e-3),
        ("serialshark_tokens_per_second", "Tokens passed.", "/tokens_per_s", 1.0),
        (
            "serialshark_utilisation_ratio",
            "Share of time that the line is in use.",
            "/utilisation",
            1.0,
        ),
        (
            "serialshark_errors_per_minute",
            "Damaged frames, lost tokens and second tokens a minute.",
            "/errors_per_min",
            1.0,
        ),
    ] {
        let value = |report: &Value| report["trunk"].pointer(pointer).and_then(Value::as_f64);
        let known = reports.iter().filter_map(|(name, report)| Some((name, value(report)?)));
        for (n, (name, value)) in known.enumerate() {
            if n == 0 {
                begin(out, family, "gauge", help);
            }
            let _ = writeln!(out, "{family}{} {}", labels(name, ""), value * unit);
        }
    }
    let graded = reports.iter().filter_map(|(name, it)| Some((name, it["grade"].as_str()?)));
    for (n, (name, grade)) in graded.enumerate() {
        if n == 0 {
            begin(out, "serialshark_grade", "gauge", "1 for the grade that the line has.");
        }
        for one in ["good", "fair", "poor", "failing", "unknown"] {
            let labels = labels(name, &format!("grade=\"{one}\""));
            let _ = writeln!(out, "serialshark_grade{labels} {}", u8::from(one == grade));
        }
    }
    let judged = reports.iter().filter_map(|(name, it)| Some((name, it["findings"].as_array()?)));
    for (n, (name, findings)) in judged.enumerate() {
        if n == 0 {
            begin(out, "serialshark_findings", "gauge", "Findings of each severity.");
        }
        for severity in ["critical", "fault", "warning", "advice"] {
            let count = findings.iter().filter(|finding| finding["severity"] == severity).count();
            let labels = labels(name, &format!("severity=\"{severity}\""));
            let _ = writeln!(out, "serialshark_findings{labels} {count}");
        }
    }
}

/// How long ago the last packet of each line came.
fn quiet(out: &mut String, all: &[Line]) {
    const NAME: &str = "serialshark_last_packet_age_seconds";
    begin(out, NAME, "gauge", "How long ago the last packet came.");
    for line in all {
        if let Some(quiet) = line.quiet {
            let _ = writeln!(out, "{NAME}{{port=\"{}\"}} {}", label(&line.name), quiet.as_secs());
        }
    }
}

fn begin(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// The value of a label, as it stands between quotes.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_kind_is_one_label() {
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let now = Now { ports: Vec::new(), readers: Vec::new(), dropped_before: 3 };
        let text =
            text(&serde_json::json!({"trunk": {"loop_ms": null, "tokens_per_s": 2.5}}), &now);
        assert!(text.contains("serialshark_tokens_per_second 2.5\n"));
        assert!(!text.contains("loop") && !text.contains("grade"));
        assert!(text.contains("serialshark_dropped_packets_total 3\n"));
    }
}
