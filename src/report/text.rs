//! A report for a terminal: grade and reason, what to do, findings, tables.

use crate::analysis::Moment;
use crate::analysis::distribution::Distribution;
use crate::analysis::doctor::Report;
use crate::analysis::document::is_known;
use crate::analysis::findings::{Finding, Severity, ranges};
use crate::analysis::general::General;
use crate::analysis::modbus::Modbus;
use crate::analysis::timing::{BaudFrom, Stamps};
use crate::analysis::wpan::Wpan;
use crate::printable::printable;
use crate::time::Timestamp;
use chrono::{DateTime, Local};
use serde_json::Value;
use std::fmt::Write as _;

/// As many things to do are named.
const TO_DO: usize = 3;
/// Lines are not longer, where words can be broken.
const WIDTH: usize = 96;

/// The report on an MS/TP trunk.
pub fn of_trunk(report: &Report<'_>, names: &[String], changes: Option<&Value>) -> String {
    let mut said = String::new();
    let _ = writeln!(
        said,
        "{}",
        wrapped(&format!("{}: {}", report.grade.name().to_uppercase(), report.reason), "")
    );
    to_do(&mut said, &report.findings);
    head(&mut said, report, names);
    if let Some(changes) = changes {
        baseline(&mut said, changes, "MAC");
    }
    findings(&mut said, &report.findings);
    figures(&mut said, report);
    nodes(&mut said, report);
    mstpcap(&mut said, &report.mstpcap);
    list(&mut said, "Not judged", &report.not_judged);
    said
}

fn to_do(said: &mut String, findings: &[Finding]) {
    let wanted = first_things(findings);
    if wanted.is_empty() {
        return;
    }
    let _ = writeln!(said, "\nWhat to do");
    for (n, finding) in wanted.iter().enumerate() {
        let _ = writeln!(said, "{}", wrapped(&format!("{}. {}", n + 1, finding.action), "   "));
    }
}

/// What to see to first; advice comes after all else.
pub fn first_things(findings: &[Finding]) -> Vec<&Finding> {
    let is_advice = |finding: &&Finding| finding.severity == Severity::Advice;
    let grave = findings.iter().filter(|finding| !is_advice(finding));
    grave.chain(findings.iter().filter(is_advice)).take(TO_DO).collect()
}

fn head(said: &mut String, report: &Report<'_>, names: &[String]) {
    let trunk = report.trunk;
    let stamps = trunk.stamps();
    let baud = baud(stamps);
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    let _ = writeln!(said, "\n{}", names.join(", "));
    if let Some((first, end)) = report.span() {
        let _ = writeln!(
            said,
            "{} to {}, {:.1} s; {} frames; {baud}; times +- {} ms",
            local(first.time),
            local(end.time),
            report.figures.seconds,
            trunk.frames,
            report.latency_ms
        );
    }
}

/// The rate, and how it is known.
pub fn baud(stamps: &Stamps) -> String {
    match stamps.baud_from {
        BaudFrom::Recording => format!("{} baud, as the capture says", stamps.baud),
        BaudFrom::User => format!("{} baud, as you say", stamps.baud),
        BaudFrom::Timing => format!("{} baud, told from the times", stamps.baud),
        BaudFrom::Unknown => "rate unknown".to_owned(),
    }
}

fn baseline(said: &mut String, changes: &Value, nodes_are: &str) {
    let _ = writeln!(said, "\nSince the earlier report");
    for line in changes_in_words(changes, nodes_are) {
        let _ = writeln!(said, "  {line}");
    }
}

/// The grade then and now, if there was or is one, and each finding that is new, worse, better or gone.
pub(super) fn changes_in_words(changes: &Value, nodes_are: &str) -> Vec<String> {
    let word = |value: &Value| printable(value.as_str().unwrap_or("?")).into_owned();
    let grade = &changes["grade"];
    let mut lines = Vec::new();
    if grade["is"] != "unknown" || grade["was"] != "unknown" {
        lines.push(format!("grade: {}, was {}", word(&grade["is"]), word(&grade["was"])));
    }
    for kind in ["new", "worse", "better", "gone"] {
        for finding in changes[kind].as_array().into_iter().flatten() {
            let nodes = finding["nodes"].as_array().into_iter().flatten();
            let nodes: Vec<_> =
                nodes.filter_map(Value::as_u64).map(|mac| mac.to_string()).collect();
            let of = if nodes.is_empty() {
                String::new()
            } else {
                format!(", {nodes_are} {}", nodes.join(", "))
            };
            lines.push(format!("{kind}: {}{of}", word(&finding["id"])));
        }
    }
    if lines.is_empty() {
        lines.push("no finding is new, worse, better or gone".to_owned());
    }
    lines
}

fn findings(said: &mut String, findings: &[Finding]) {
    let _ = writeln!(said, "\nFindings");
    if findings.is_empty() {
        let _ = writeln!(said, "  none");
    }
    for finding in findings {
        let Finding { id, severity, confidence, seen, .. } = finding;
        let _ = writeln!(
            said,
            "  {} ({id}): {}, {}",
            finding.title(),
            severity.name(),
            confidence.name()
        );
        let mut line = |text: &str| {
            let _ = writeln!(said, "{}", wrapped(&format!("    {text}"), "    "));
        };
        line(&finding.text);
        line(&format!("means: {}", finding.means));
        line(&format!("do: {}", finding.action));
        if !finding.effects.is_empty() {
            line(&format!("explains: {}", finding.effects.join(", ")));
        }
        if seen.n > 0 && seen.first.number > 0 {
            let moment = |at: Moment| format!("{} (packet {})", local(at.time), at.number);
            line(&format!("first {}, worst {}", moment(seen.first), moment(seen.worst)));
        }
        line(&format!("filter: {}", finding.filter));
    }
}

fn figures(said: &mut String, report: &Report<'_>) {
    let figures = &report.figures;
    let trunk = report.trunk;
    let [above, below] = figures.poll_waste;
    let utilisation =
        figures.utilisation.map_or("unknown".to_owned(), |share| format!("{:.0} %", share * 100.0));
    let _ = writeln!(said, "\nFigures");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(said, "  {name:22} {value}");
    };
    line(
        "masters",
        format!("{}: {}", figures.masters.len(), ranges(figures.masters.iter().copied())),
    );
    line("round of the token, ms", three(&figures.loop_time));
    line("tokens a second", format!("{:.1}", figures.tokens_per_s));
    line("line in use", utilisation);
    line(
        "errors a minute",
        format!(
            "{:.1} (damaged frames {}, lost tokens {}, second tokens {})",
            figures.errors_per_min,
            trunk.wire.damaged.n,
            figures.lost_tokens,
            figures.second_tokens
        ),
    );
    line("stray bytes", format!("{}", trunk.wire.skipped_octets));
    line("unanswered", format!("{} of {} requests", figures.unanswered, figures.requests));
    line(
        "time lost to polls",
        format!("{:.1} % above the highest master, {:.1} % in gaps", above * 100.0, below * 100.0),
    );
    line("broadcasts a minute", format!("{:.1}", figures.broadcasts_per_min));
    line("COV a minute", format!("{:.1}", figures.cov_per_min));
}

fn nodes(said: &mut String, report: &Report<'_>) {
    let heads = [
        "MAC",
        "device",
        "name",
        "tokens",
        "hold %",
        "loop p50",
        "usage p50",
        "p99",
        "reply p50",
        "p99",
        "max",
        "fr/tk p99",
        "retries",
        "unansw.",
        "damaged",
        "polls",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    for (mac, node) in report.trunk.by_mac().filter(|(_, node)| is_known(node)) {
        let of = |distribution: &Distribution, percent: u8| ms(distribution.percentile(percent));
        let count = |n: u32| if n == 0 { "-".to_owned() } else { n.to_string() };
        rows.push([
            mac.to_string(),
            node.instance.map_or("-".to_owned(), |instance| instance.to_string()),
            node.name.as_deref().map_or("-".into(), printable).into_owned(),
            count(node.tokens_sent),
            format!("{:.1}", report.figures.hold_share[usize::from(mac)] * 100.0),
            of(&node.loop_time, 50),
            of(&node.usage, 50),
            of(&node.usage, 99),
            of(&node.reply, 50),
            of(&node.reply, 99),
            ms((node.reply.n() > 0).then(|| node.reply.max())),
            node.frames_per_token.percentile(99).map_or("-".to_owned(), |n| n.to_string()),
            count(node.retries_to.n),
            count(node.unanswered.n + node.long_unanswered.n),
            count(node.damaged.n),
            count(node.polls),
        ]);
    }
    table(said, "Nodes (times in ms)", &rows);
}

/// The tool's own tables, with its own names of columns.
fn mstpcap(said: &mut String, tables: &Value) {
    for (title, rows) in mstpcap_tables(tables) {
        table(said, title, &rows);
    }
    let _ = writeln!(
        said,
        "  Node Count: {}  Invalid Frame Count: {}",
        tables["node_count"], tables["invalid_frames"]
    );
}

/// Both tables with their titles; the first row has the names of the columns.
pub fn mstpcap_tables(tables: &Value) -> [(&'static str, Vec<[String; 10]>); 2] {
    const COUNTS: [&str; 10] =
        ["MAC", "Device", "Tokens", "PFM", "RPFM", "DER", "Postpd", "DNER", "TestReq", "TestRsp"];
    const TIMES: [&str; 10] = [
        "MAC", "MaxMstr", "Retries", "Npoll", "Self/TT", "Treply", "Tusage", "Trpfm", "Tder",
        "Tpostpd",
    ];
    let nodes = tables["nodes"].as_object().into_iter().flatten();
    let mut nodes: Vec<(u8, &Value)> =
        nodes.filter_map(|(mac, node)| Some((mac.parse().ok()?, node))).collect();
    nodes.sort_unstable_by_key(|(mac, _)| *mac);
    let rows = |columns: [&str; 10]| {
        let row = |(mac, node): &(u8, &Value)| {
            columns.map(|column| match (column, &node[column]) {
                ("MAC", _) => mac.to_string(),
                (_, Value::Null) => "-".to_owned(),
                (_, value) => value.to_string(),
            })
        };
        std::iter::once(columns.map(str::to_owned)).chain(nodes.iter().map(row)).collect()
    };
    [("mstpcap: frame counts", rows(COUNTS)), ("mstpcap: usage and timing maximums", rows(TIMES))]
}

/// The report on another protocol.
pub fn of_general(
    protocol: &str,
    general: &General,
    names: &[String],
    remarks: &[String],
    changes: Option<&Value>,
) -> String {
    let mut said = String::new();
    let seconds = general.seconds();
    let rate = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
    let _ = writeln!(
        said,
        "{protocol}: {} packets in {seconds:.1} s, {:.1} a second; {} damaged, {} bytes outside packets",
        general.frames,
        rate(general.frames),
        general.damaged.n,
        general.skipped_octets
    );
    let found = general.findings();
    to_do(&mut said, &found);
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    let _ = writeln!(said, "\n{}", names.join(", "));
    if let Some(first) = general.first {
        let _ = writeln!(said, "{} to {}", local(first.time), local(general.end.time));
    }
    if let Some(changes) = changes {
        baseline(&mut said, changes, "unit");
    }
    if general.is_judged() {
        findings(&mut said, &found);
    }
    let _ = writeln!(said, "\nFigures\n  {:22} {:.0}", "bytes a second", rate(general.octets));
    let _ = writeln!(said, "  {:22} {}", "packet to packet, ms", three(&general.gaps));
    let mut rows = vec![["address", "sent", "received", "damaged"].map(str::to_owned)];
    for (address, talker) in &general.talkers {
        rows.push([
            printable(address).into_owned(),
            talker.sent.to_string(),
            talker.received.to_string(),
            talker.damaged.to_string(),
        ]);
    }
    if let Some(modbus) = &general.modbus {
        table(&mut said, modbus_title(modbus), &modbus_rows(modbus));
    } else {
        table(&mut said, "Addresses", &rows);
    }
    if let Some(wpan) = &general.wpan {
        table(&mut said, "Networks", &pan_rows(wpan));
        table(&mut said, LINKS, &link_rows(wpan));
        table(&mut said, "Channels", &channel_rows(wpan));
    }
    list(&mut said, "Not judged", remarks);
    said
}

/// The heading of the table of links.
pub(super) const LINKS: &str = "Links (strength in dBm, as the receiver heard it)";

/// Networks of IEEE 802.15.4; the first row has the names of the columns, here and below.
pub(super) fn pan_rows(wpan: &Wpan) -> Vec<[String; 2]> {
    let pans = wpan.pans.iter().map(|(pan, frames)| [format!("{pan:#06x}"), frames.to_string()]);
    std::iter::once(["PAN", "frames"].map(str::to_owned)).chain(pans).collect()
}

/// Who sends to whom, and how it is heard.
pub(super) fn link_rows(wpan: &Wpan) -> Vec<[String; 9]> {
    let heads = [
        "from",
        "to",
        "frames",
        "sent again",
        "LQI p50",
        "LQI p99",
        "mean",
        "weakest",
        "strongest",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    for ((from, to), link) in &wpan.links {
        let lqi = |percent| link.lqi.percentile(percent).map_or("-".into(), |lqi| lqi.to_string());
        let dbm = |dbm: Option<f64>| dbm.map_or("-".to_owned(), |dbm| format!("{dbm:.0}"));
        rows.push([
            printable(from).into_owned(),
            printable(to).into_owned(),
            link.frames.to_string(),
            link.again.n.to_string(),
            lqi(50),
            lqi(99),
            dbm(link.rss_mean()),
            dbm(link.rss_range.map(|(low, _)| low.into())),
            dbm(link.rss_range.map(|(_, high)| high.into())),
        ]);
    }
    rows
}

/// How much of what is sent on a channel is damaged.
pub(super) fn channel_rows(wpan: &Wpan) -> Vec<[String; 3]> {
    let channels = wpan.channels.iter().map(|(number, channel)| {
        let name = number.map_or("not told".to_owned(), |number| number.to_string());
        [name, channel.frames.to_string(), channel.damaged.n.to_string()]
    });
    let heads = ["channel", "frames", "bad FCS"].map(str::to_owned);
    std::iter::once(heads).chain(channels).collect()
}

/// What times of answers are from.
pub(super) fn modbus_title(modbus: &Modbus) -> &'static str {
    if modbus.knows_rate() {
        "Units (answers in ms, from the end of the request)"
    } else {
        "Units (answers in ms, from the first byte of the request: the rate is not known)"
    }
}

/// Units of a Modbus line; the first row has the names of the columns.
pub(super) fn modbus_rows(modbus: &Modbus) -> Vec<[String; 11]> {
    let heads = [
        "unit",
        "requests",
        "answers",
        "timeouts",
        "retries",
        "damaged",
        "p50",
        "p99",
        "max",
        "functions",
        "exceptions",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    for (address, unit) in &modbus.units {
        let functions = unit.functions.iter().map(|(function, n)| format!("{function}: {n}"));
        let exceptions =
            unit.exceptions.iter().map(|((function, code), n)| format!("{function}/{code}: {n}"));
        let joined = |parts: Vec<String>| {
            if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
        };
        rows.push([
            address.to_string(),
            unit.requests.to_string(),
            unit.responses.to_string(),
            unit.timeouts.n.to_string(),
            unit.retries.to_string(),
            unit.damaged.n.to_string(),
            ms(unit.response.percentile(50)),
            ms(unit.response.percentile(99)),
            ms((unit.response.n() > 0).then(|| unit.response.max())),
            joined(functions.collect()),
            joined(exceptions.collect()),
        ]);
    }
    rows
}

fn list(said: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(said, "\n{title}");
    }
    for line in lines {
        let _ = writeln!(said, "{}", wrapped(&format!("  - {}", printable(line)), "    "));
    }
}

/// Columns as wide as they have to be; the first row has their names.
fn table<const N: usize>(said: &mut String, title: &str, rows: &[[String; N]]) {
    if rows.len() < 2 {
        return;
    }
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let _ = writeln!(said, "\n{title}");
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        let _ = writeln!(said, "  {}", cells.join("  "));
    }
}

/// Median, 99 of 100, and the largest.
pub fn three(distribution: &Distribution) -> String {
    match distribution.percentiles([50, 99]) {
        [Some(p50), Some(p99)] => format!(
            "p50 {}, p99 {}, max {}, of {}",
            ms(Some(p50)),
            ms(Some(p99)),
            ms(Some(distribution.max())),
            distribution.n()
        ),
        _ => "none".to_owned(),
    }
}

/// Milliseconds of a time in microseconds, if there is one.
pub fn ms(us: Option<u32>) -> String {
    us.map_or("-".to_owned(), |us| format!("{:.1}", f64::from(us) / 1000.0))
}

/// Date and time of day here, with the zone.
pub fn local(time: Timestamp) -> String {
    let time = DateTime::from_timestamp_nanos(time.as_ns().min(i64::MAX as u64).cast_signed());
    time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S%.3f %:z").to_string()
}

/// Lines of at most [`WIDTH`] characters, all but the first behind `indent`.
fn wrapped(text: &str, indent: &str) -> String {
    let lead: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut lines = vec![lead];
    for word in text.split_whitespace() {
        let line =
            lines.last_mut().filter(|line| line.chars().count() + word.chars().count() < WIDTH);
        match line {
            Some(line) => {
                if !line.trim().is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words() {
        let text = format!("  do: {}", "word ".repeat(40));
        let lines = wrapped(&text, "    ");
        assert!(lines.lines().count() > 2 && lines.lines().all(|line| line.len() <= WIDTH));
        assert!(
            lines.starts_with("  do: word")
                && lines.lines().nth(1).unwrap().starts_with("    word")
        );
    }
}
