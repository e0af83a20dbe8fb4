//! A report as one page for a browser: nothing of it comes from elsewhere, no script is in it, and
//! whatever comes from a capture is text.

pub(super) mod markup;
mod over_time;
pub mod overview;
mod ring;
mod strips;

use super::now::{Now, section};
use super::text::{
    LINKS, baud, changes_in_words, channel_rows, first_things, link_rows, local, modbus_rows,
    modbus_title, ms, mstpcap_tables, pan_rows, three,
};
use crate::analysis::doctor::{Grade, Report};
use crate::analysis::document::is_known;
use crate::analysis::findings::{Confidence, Finding, Severity, macs, ranges};
use crate::analysis::general::General;
use crate::analysis::live::Live;
use crate::analysis::{Moment, limits};
use markup::{Column, escaped, table};
use serde_json::Value;
use std::fmt::Write as _;
use strips::Delays;

/// As many findings are on a page, the worst ones.
const MOST_FINDINGS: usize = 30;
/// How each page begins.
pub const BEGIN: &str = "<!DOCTYPE html>";
const STYLE: &str = include_str!("html/page.css");
/// Parts of a page on a trunk: their ids and headings.
const PARTS: [(&str, &str); 7] = [
    ("findings", "Findings"),
    ("figures", "Figures"),
    ("ring", "Ring"),
    ("time", "Over time"),
    ("delays", "Delays"),
    ("nodes", "Nodes"),
    ("mstpcap", "mstpcap"),
];

/// What a page has beside the report itself.
#[derive(Clone, Copy, Debug)]
pub enum Beside<'a> {
    /// Nothing.
    Nothing,
    /// What has changed since an earlier report.
    Changes(&'a Value),
    /// How the capture stands that goes on; the page is kept up to date by `live.js`.
    Now(&'a Now),
}

/// The report on a line that is listened to.
pub fn of_live(live: &mut Live, names: &[String], beside: Beside<'_>) -> String {
    match live {
        Live::Trunk(doctor) => of_trunk(&doctor.report(), names, beside),
        Live::Other(protocol, general) => of_general(protocol, general, names, &[], beside),
    }
}

/// The report on an MS/TP trunk.
pub fn of_trunk(report: &Report<'_>, names: &[String], beside: Beside<'_>) -> String {
    let mut page = String::new();
    begin(&mut page, "MS/TP trunk report", names, matches!(beside, Beside::Now(_)));
    head(&mut page, report, names);
    page.push_str("<nav aria-label=\"Parts of this report\"><ul>\n");
    for (id, heading) in PARTS {
        let _ = writeln!(page, "<li><a href=\"#{id}\">{heading}</a></li>");
    }
    page.push_str("</ul></nav>\n<main id=\"report\">\n");
    to_do(&mut page, &report.findings);
    match beside {
        Beside::Nothing => {}
        Beside::Changes(changes) => since(&mut page, changes, "MAC"),
        Beside::Now(now) => section(&mut page, now),
    }
    for (id, heading) in PARTS {
        let _ = writeln!(
            page,
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{heading}</h2>"
        );
        match id {
            "findings" => findings(&mut page, &report.findings),
            "figures" => figures(&mut page, report),
            "ring" => ring::ring(&mut page, report),
            "time" => over_time::plots(&mut page, &report.trunk.timeline, shown(&report.findings)),
            "delays" => delays(&mut page, report),
            "nodes" => nodes(&mut page, report),
            _ => mstpcap(&mut page, report),
        }
        page.push_str("</section>\n");
    }
    not_judged(&mut page, &report.not_judged);
    end(&mut page);
    page
}

/// The report on another protocol.
pub fn of_general(
    protocol: &str,
    general: &General,
    names: &[String],
    remarks: &[String],
    beside: Beside<'_>,
) -> String {
    let mut page = String::new();
    let is_live = matches!(beside, Beside::Now(_));
    begin(&mut page, &format!("{protocol} report"), names, is_live);
    let _ = writeln!(page, "<header>\n<h1>{} report</h1>", escaped(protocol));
    files(&mut page, names);
    if let Some(first) = general.first {
        span(&mut page, first, general.end, general.seconds());
    }
    page.push_str("</header>\n<main id=\"report\">\n");
    match beside {
        Beside::Nothing => {}
        Beside::Changes(changes) => since(&mut page, changes, "unit"),
        Beside::Now(now) => section(&mut page, now),
    }
    let found = general.findings();
    if general.is_judged() {
        to_do(&mut page, &found);
        page.push_str("<section id=\"findings\" aria-label=\"Findings\"><h2>Findings</h2>\n");
        findings(&mut page, &found);
        page.push_str("</section>\n");
    }
    page.push_str("<section aria-label=\"Figures\">\n");
    figures_of_general(&mut page, general);
    page.push_str("</section>\n");
    not_judged(&mut page, remarks);
    end(&mut page);
    page
}

/// The tables of another protocol.
fn figures_of_general(page: &mut String, general: &General) {
    let seconds = general.seconds();
    let rate = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = [
        row("packets", general.frames.to_string()),
        row("packets a second", format!("{:.1}", rate(general.frames))),
        row("bytes a second", format!("{:.0}", rate(general.octets))),
        row("damaged packets", general.damaged.n.to_string()),
        row("bytes outside packets", general.skipped_octets.to_string()),
        row("from packet to packet, ms", three(&general.gaps)),
    ];
    table(page, "Figures", &[("figure", ""), ("value", "")], &rows);
    let talkers = general.talkers.iter().map(|(address, talker)| {
        vec![
            address.clone(),
            talker.sent.to_string(),
            talker.received.to_string(),
            talker.damaged.to_string(),
        ]
    });
    let columns = [("address", ""), ("sent", ""), ("received", ""), ("damaged", "")];
    table(page, "Addresses", &columns, &talkers.collect::<Vec<_>>());
    if let Some(modbus) = &general.modbus {
        headed(page, modbus_title(modbus), &modbus_rows(modbus));
    }
    if let Some(wpan) = &general.wpan {
        headed(page, "Networks", &pan_rows(wpan));
        headed(page, LINKS, &link_rows(wpan));
        headed(page, "Channels", &channel_rows(wpan));
    }
}

/// What has changed since an earlier report.
fn since(page: &mut String, changes: &Value, nodes_are: &str) {
    page.push_str(
        "<section id=\"since\" aria-labelledby=\"since-h\"><h2 id=\"since-h\">Since the earlier report</h2>\n<ul>\n",
    );
    for line in changes_in_words(changes, nodes_are) {
        let _ = writeln!(page, "<li>{}</li>", escaped(&line));
    }
    page.push_str("</ul>\n</section>\n");
}

/// A table of which the first row has the names of the columns.
fn headed<const N: usize>(page: &mut String, caption: &str, rows: &[[String; N]]) {
    let Some((heads, rows)) = rows.split_first() else { return };
    let columns: Vec<Column<'_>> = heads.iter().map(|head| (head.as_str(), "")).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.to_vec()).collect();
    table(page, caption, &columns, &rows);
}

/// Nothing may be loaded, whatever gets into the page; but for our own script where it is live.
fn begin(page: &mut String, title: &str, names: &[String], is_live: bool) {
    let (policy, script) = if is_live {
        ("script-src 'self'; connect-src 'self'; ", "<script src=\"live.js\" defer></script>\n")
    } else {
        ("", "")
    };
    let _ = write!(
        page,
        "{BEGIN}\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; {policy}style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         {script}<title>{}: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#report\">Skip to the report</a>\n",
        escaped(title),
        escaped(&names.join(", "))
    );
}

fn end(page: &mut String) {
    let _ = write!(
        page,
        "</main>\n<footer><p>Made by serialshark {} from what was heard at one place of the line; at \
         another it may look different.</p></footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
}

fn files(page: &mut String, names: &[String]) {
    let _ = writeln!(page, "<p class=\"files\">{}</p>", escaped(&names.join(", ")));
}

fn span(page: &mut String, first: Moment, end: Moment, seconds: f64) {
    let _ = writeln!(
        page,
        "<p>{} to {}; {}</p>",
        local(first.time),
        local(end.time),
        duration(seconds)
    );
}

/// A length of time as people say it.
fn duration(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    match seconds {
        ..120.0 => format!("{seconds:.1} seconds"),
        ..7200.0 => format!("{minutes:.1} minutes"),
        _ => format!("{:.1} hours", minutes / 60.0),
    }
}

fn head(page: &mut String, report: &Report<'_>, names: &[String]) {
    let (grade, mark) = match report.grade {
        Grade::Good => ("Good", "✓"),
        Grade::Fair => ("Fair", "◆"),
        Grade::Poor => ("Poor", "▲"),
        Grade::Failing => ("Failing", "■"),
        Grade::Unknown => ("No grade", "?"),
    };
    let _ = writeln!(
        page,
        "<header>\n<h1>MS/TP trunk report</h1>\n\
         <p class=\"grade {}\"><strong><span aria-hidden=\"true\">{mark}</span> {grade}</strong> <span>{}</span></p>",
        report.grade.name(),
        escaped(&sentence(&report.reason))
    );
    files(page, names);
    if let Some((first, end)) = report.span() {
        span(page, first, end, report.figures.seconds);
    }
    let _ = writeln!(
        page,
        "<p>{} frames; {}; each time may be late by up to {} ms</p>\n</header>",
        grouped(report.trunk.frames),
        escaped(&baud(report.trunk.stamps())),
        report.latency_ms
    );
}

/// With a space at each thousand.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut said = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            said.push('\u{202f}');
        }
        said.push(digit);
    }
    said
}

/// It begins with a capital letter and ends with a full stop.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.is_empty() || text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", rest.as_str())
}

fn to_do(page: &mut String, all: &[Finding]) {
    page.push_str(
        "<section class=\"todo\" aria-labelledby=\"todo-h\"><h2 id=\"todo-h\">What to do</h2>\n",
    );
    let wanted = first_things(shown(all));
    if wanted.is_empty() {
        page.push_str("<p>Nothing: no finding.</p>\n");
    } else {
        page.push_str("<ol>\n");
    }
    for finding in &wanted {
        let n = all.iter().position(|other| std::ptr::eq(other, *finding)).unwrap_or(0) + 1;
        let _ = writeln!(
            page,
            "<li>{} <a href=\"#finding-{n}\">Finding {n}</a></li>",
            escaped(&sentence(&finding.action))
        );
    }
    if !wanted.is_empty() {
        page.push_str("</ol>\n");
    }
    page.push_str("</section>\n");
}

/// Those that are on the page.
fn shown(findings: &[Finding]) -> &[Finding] {
    &findings[..findings.len().min(MOST_FINDINGS)]
}

fn findings(page: &mut String, findings: &[Finding]) {
    if findings.is_empty() {
        page.push_str("<p>None.</p>\n");
    }
    for (n, finding) in findings.iter().enumerate().take(MOST_FINDINGS) {
        one_finding(page, n + 1, finding);
    }
    let left_out = findings.len().saturating_sub(MOST_FINDINGS);
    if left_out > 0 {
        let _ = writeln!(
            page,
            "<p>{left_out} more are left out here; they are in the report as text and as JSON.</p>"
        );
    }
}

fn one_finding(page: &mut String, n: usize, finding: &Finding) {
    let mark = match finding.severity {
        Severity::Critical => "■",
        Severity::Fault => "▲",
        Severity::Warning => "◆",
        Severity::Advice => "●",
    };
    let sure = match finding.confidence {
        Confidence::Certain => "certain: the frames themselves show it",
        Confidence::Probable => "probable: hardly anything else looks like this",
        Confidence::Possible => "possible: something else may look the same",
    };
    let severity = finding.severity.name();
    let of = match &finding.nodes[..] {
        [] => String::new(),
        nodes => format!(": {}", macs(nodes)),
    };
    let _ = write!(
        page,
        "<article id=\"finding-{n}\" class=\"{severity}\" aria-labelledby=\"finding-{n}-h\">\n\
         <h3 id=\"finding-{n}-h\">{n}. {}</h3>\n\
         <p class=\"badges\"><span class=\"badge {severity}\"><span aria-hidden=\"true\">{mark}</span> {severity}</span> {sure}</p>\n\
         <p><strong>{}</strong></p>\n<dl>\n",
        escaped(sentence(&(finding.title() + &of)).trim_end_matches('.')),
        escaped(&sentence(&finding.text))
    );
    let mut line = |name: &str, words: &str| {
        let _ = writeln!(page, "<dt>{name}</dt><dd>{words}</dd>");
    };
    line("Do", &escaped(&sentence(&finding.action)));
    line("Means", &escaped(&sentence(finding.means)));
    if !finding.effects.is_empty() {
        line("Explains", &escaped(&finding.effects.join(", ").replace('-', " ")));
    }
    let seen = &finding.seen;
    if seen.n > 0 && seen.first.number > 0 {
        let at = |moment: Moment| format!("{}, packet {}", local(moment.time), moment.number);
        line("First", &at(seen.first));
        line("Worst", &at(seen.worst));
    }
    line("Filter", &format!("<code>{}</code>", escaped(&finding.filter)));
    page.push_str("</dl>\n</article>\n");
}

/// A figure, what is good, and whether it is.
fn figure(name: &str, value: String, limit: &str, is_good: Option<bool>) -> Vec<String> {
    let verdict = match is_good {
        Some(true) => "✓ good",
        Some(false) => "✗ not good",
        None => "",
    };
    vec![name.to_owned(), value, limit.to_owned(), verdict.to_owned()]
}

fn figures(page: &mut String, report: &Report<'_>) {
    let rows = [token_figures(report), error_figures(report), traffic_figures(report)].concat();
    let columns = [("figure", ""), ("value", ""), ("good is", ""), ("verdict", "")];
    table(page, "Figures of the trunk", &columns, &rows);
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Who has the token, and how long a round of it takes.
fn token_figures(report: &Report<'_>) -> Vec<Vec<String>> {
    let figures = &report.figures;
    let p50 = figures.loop_time.percentile(50);
    let p50_ms = p50.map(|us| f64::from(us) / 1000.0);
    let is_quick = p50_ms.map(|ms| ms < limits::LOOP_MS[0]);
    let longest = p50.map(|_| figures.loop_time.max());
    let utilisation = figures.utilisation;
    vec![
        figure("nodes that pass the token", figures.masters.len().to_string(), "", None),
        figure("their addresses", ranges(figures.masters.iter().copied()), "", None),
        figure("round of the token, median", ms(p50) + " ms", "below 1000 ms", is_quick),
        figure(
            "round of the token, 99 % up to",
            ms(figures.loop_time.percentile(99)) + " ms",
            "",
            None,
        ),
        figure("round of the token, longest", ms(longest) + " ms", "", None),
        figure("tokens a second", format!("{:.1}", figures.tokens_per_s), "", None),
        figure(
            "line in use",
            utilisation.map_or("unknown".to_owned(), percent),
            "up to 80 %",
            utilisation.map(|share| share <= limits::UTILISATION),
        ),
    ]
}

/// What went wrong. Where nothing was sent there is no verdict.
fn error_figures(report: &Report<'_>) -> Vec<Vec<String>> {
    let (figures, trunk) = (&report.figures, report.trunk);
    let share = |part: u32, of: u64| f64::from(part) / (of.max(1) as f64);
    let unanswered = share(figures.unanswered, figures.requests.into());
    let second = share(figures.second_tokens, trunk.tokens);
    vec![
        figure(
            "errors a minute, all kinds",
            format!("{:.1}", figures.errors_per_min),
            "up to 2",
            (trunk.records > 0).then_some(figures.errors_per_min <= limits::ERRORS_PER_MIN),
        ),
        figure("damaged frames", trunk.wire.damaged.n.to_string(), "", None),
        figure("stray bytes", trunk.wire.skipped_octets.to_string(), "", None),
        figure(
            "lost tokens",
            figures.lost_tokens.to_string(),
            "0",
            (trunk.tokens > 0).then_some(figures.lost_tokens == 0),
        ),
        figure(
            "second tokens",
            format!("{} ({} of all)", figures.second_tokens, percent(second)),
            "up to 0.5 %",
            (trunk.tokens > 0).then_some(second <= limits::RETRY_SHARE),
        ),
        figure(
            "requests without an answer",
            format!("{} of {} ({})", figures.unanswered, figures.requests, percent(unanswered)),
            "below 1 %",
            (figures.requests > 0).then_some(unanswered < limits::UNANSWERED_SHARE),
        ),
    ]
}

/// What the line is used for, beside requests and their answers.
fn traffic_figures(report: &Report<'_>) -> Vec<Vec<String>> {
    let figures = &report.figures;
    let [above, gaps] = figures.poll_waste;
    let has_frames = report.trunk.frames > 0;
    vec![
        figure(
            "time lost to polls above the highest node",
            percent(above),
            "up to 3 %",
            has_frames.then_some(above <= limits::POLL_WASTE),
        ),
        figure("time lost to polls in gaps", percent(gaps), "", None),
        figure("broadcasts a minute", format!("{:.1}", figures.broadcasts_per_min), "", None),
        figure(
            "notifications of changed values (COV) a minute",
            format!("{:.1}", figures.cov_per_min),
            "up to 500",
            has_frames.then_some(figures.cov_per_min <= limits::COV_PER_MIN),
        ),
    ]
}

fn delays(page: &mut String, report: &Report<'_>) {
    page.push_str(
        "<p>A column's height is how often the delay was seen, on a scale of decades; \
         rare ones are drawn higher than they are, to be seen. The dashed line is the limit, and the grey \
         band around it what the adapter's lateness leaves open.</p>\n",
    );
    let nodes = || report.trunk.by_mac();
    Delays {
        caption: "Use of the token: from its end to the node's first byte",
        limit_us: limits::USAGE_DELAY_US,
        latency_ms: report.latency_ms,
        nodes: nodes().map(|(mac, node)| (mac, &node.usage)).collect(),
    }
    .strips(page);
    Delays {
        caption: "Replies: from the end of a request to the first byte of its reply",
        limit_us: limits::REPLY_DELAY_US,
        latency_ms: report.latency_ms,
        nodes: nodes().map(|(mac, node)| (mac, &node.reply)).collect(),
    }
    .strips(page);
}

fn nodes(page: &mut String, report: &Report<'_>) {
    const COLUMNS: [Column<'_>; 17] = [
        ("MAC", "address on the trunk"),
        ("device", "device instance, from its last I-Am"),
        ("name", "name of the device, if somebody asked for it"),
        ("findings", "numbers of the findings that name it"),
        ("tokens", "tokens from it"),
        ("hold, %", "share of the time in which it has the token"),
        ("round p50, ms", "from one token to it to the next, median"),
        ("use p50, ms", "from token to first byte, median"),
        ("use p99, ms", "the same, 99 of 100 are not longer"),
        ("reply p50, ms", "from request to reply, median"),
        ("reply p99, ms", "the same, 99 of 100 are not longer"),
        ("reply max, ms", "the longest of them"),
        ("frames a token, p99", "its frames in a turn, 99 of 100 have no more"),
        ("retries to", "tokens to it that were sent twice"),
        ("no answer", "requests to it without an answer"),
        ("damaged", "damaged frames in its turns"),
        ("polls", "polls for masters from it"),
    ];
    let known = report.trunk.by_mac().filter(|(_, node)| is_known(node));
    let rows = known.map(|(mac, node)| {
        let count = |n: u32| if n == 0 { "-".to_owned() } else { n.to_string() };
        let named =
            shown(&report.findings).iter().enumerate().filter(|(_, f)| f.nodes.contains(&mac));
        let named: Vec<_> = named.map(|(n, _)| (n + 1).to_string()).collect();
        let reply_max = (node.reply.n() > 0).then(|| node.reply.max());
        vec![
            mac.to_string(),
            node.instance.map_or("-".to_owned(), |instance| instance.to_string()),
            node.name.clone().unwrap_or("-".to_owned()),
            if named.is_empty() { "-".to_owned() } else { format!("! {}", named.join(", ")) },
            count(node.tokens_sent),
            format!(
                "{:.1}",
                100.0 * report.figures.hold_share.get(usize::from(mac)).unwrap_or(&0.0)
            ),
            ms(node.loop_time.percentile(50)),
            ms(node.usage.percentile(50)),
            ms(node.usage.percentile(99)),
            ms(node.reply.percentile(50)),
            ms(node.reply.percentile(99)),
            ms(reply_max),
            node.frames_per_token.percentile(99).map_or("-".to_owned(), |n| n.to_string()),
            count(node.retries_to.n),
            count(node.unanswered.n + node.long_unanswered.n),
            count(node.damaged.n),
            count(node.polls),
        ]
    });
    table(page, "All nodes that were heard or addressed", &COLUMNS, &rows.collect::<Vec<_>>());
}

fn mstpcap(page: &mut String, report: &Report<'_>) {
    page.push_str(
        "<p>What bacnet-stack's mstpcap prints of the same capture, to compare; times in ms.</p>\n",
    );
    for (title, rows) in mstpcap_tables(&report.mstpcap) {
        let Some((columns, rows)) = rows.split_first() else { continue };
        let columns: Vec<Column<'_>> = columns.iter().map(|name| (&**name, "")).collect();
        let rows: Vec<_> = rows.iter().map(|row| row.to_vec()).collect();
        table(page, title, &columns, &rows);
    }
    let _ = writeln!(
        page,
        "<p>Node Count: {}. Invalid Frame Count: {}.</p>",
        report.mstpcap["node_count"], report.mstpcap["invalid_frames"]
    );
}

fn not_judged(page: &mut String, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    page.push_str("<section aria-labelledby=\"not-h\"><h2 id=\"not-h\">Not judged</h2>\n<ul>\n");
    for line in lines {
        let _ = writeln!(page, "<li>{}</li>", escaped(&sentence(line)));
    }
    page.push_str("</ul>\n</section>\n");
}
