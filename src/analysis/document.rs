//! A report as one JSON document, version 1. Its names are a promise: `docs/report.md`.

use super::distribution::Distribution;
use super::doctor::Report;
use super::findings::Finding;
use super::general::General;
use super::modbus::Modbus;
use super::timing::BaudFrom;
use super::trunk::node::Node;
use super::wpan::Wpan;
use crate::time::Timestamp;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// The version of the document; it changes when a name or a meaning does.
pub const VERSION: u32 = 1;

/// The report on an MS/TP trunk.
pub fn of_trunk(report: &Report<'_>) -> Value {
    let trunk = report.trunk;
    let stamps = trunk.stamps();
    let nodes = trunk.by_mac().filter(|(_, node)| is_known(node));
    let nodes: Vec<_> = nodes.map(|(mac, node)| of_node(report, mac, node)).collect();
    json!({
        "version": VERSION,
        "protocol": "mstp",
        "baud": (stamps.baud_from != BaudFrom::Unknown).then_some(stamps.baud),
        "baud_from": stamps.baud_from.name(),
        "begin": trunk.first.map(|first| utc(first.time)),
        "end": trunk.first.map(|_| utc(trunk.end.time)),
        "seconds": rounded(report.figures.seconds),
        "frames": trunk.frames,
        "damaged": trunk.wire.damaged.n,
        "skipped_octets": trunk.wire.skipped_octets,
        "dropped": trunk.dropped,
        "timing_uncertainty_ms": report.latency_ms,
        "grade": report.grade.name(),
        "grade_reason": report.reason,
        "trunk": figures(report),
        "nodes": nodes,
        "findings": report.findings.iter().map(of_finding).collect::<Vec<_>>(),
        "mstpcap": report.mstpcap,
        "not_judged": report.not_judged,
    })
}

/// Whether there is anything to say about a node.
pub fn is_known(node: &Node) -> bool {
    node.frames > 0 || node.tokens_received > 0 || node.requests_to + node.long_requests_to > 0
}

fn figures(report: &Report<'_>) -> Value {
    let figures = &report.figures;
    let wire = &report.trunk.wire;
    let [above, below] = figures.poll_waste;
    json!({
        "masters": figures.masters,
        "loop_ms": in_ms(&figures.loop_time),
        "tokens_per_s": rounded(figures.tokens_per_s),
        "utilisation": figures.utilisation.map(rounded),
        "lost_tokens": figures.lost_tokens,
        "second_tokens": figures.second_tokens,
        "requests": figures.requests,
        "unanswered": figures.unanswered,
        "poll_waste": rounded(above + below),
        "poll_waste_above_top": rounded(above),
        "poll_waste_gaps": rounded(below),
        "errors_per_min": rounded(figures.errors_per_min),
        "broadcasts_per_min": rounded(figures.broadcasts_per_min),
        "cov_per_min": rounded(figures.cov_per_min),
        "damaged_short": wire.short_damaged,
        "damaged_long": wire.long_damaged,
        "stray_runs": wire.strays.n,
        "stray_tails": wire.tails.n,
        "out_of_turn": report.trunk.strangers.n,
    })
}

fn of_node(report: &Report<'_>, mac: u8, node: &Node) -> Value {
    json!({
        "mac": mac,
        "instance": node.instance,
        "name": node.name,
        "frames": node.frames,
        "tokens_sent": node.tokens_sent,
        "tokens_received": node.tokens_received,
        "retries_to": node.retries_to.n,
        "successor": node.successor,
        "usage_ms": in_ms(&node.usage),
        "wait_ms": in_ms(&node.wait),
        "reply_ms": in_ms(&node.reply),
        "loop_ms": in_ms(&node.loop_time),
        "hold_ms": in_ms(&node.hold),
        "hold_share": rounded(report.figures.hold_share[usize::from(mac)]),
        "frames_per_token": scaled(&node.frames_per_token, 1.0),
        "requests_to": node.requests_to + node.long_requests_to,
        "unanswered": node.unanswered.n + node.long_unanswered.n,
        "late_replies": node.late_replies.n,
        "damaged_in_turn": node.damaged.n,
        "lost_tokens": node.lost_tokens.n.saturating_add(node.lost_by_it.n),
        "out_of_turn": node.out_of_turn.n + node.tokens_out_of_turn.n,
        "polls": node.polls,
        "polled": node.polled.n,
        "poll_replies": node.poll_replies,
        "max_master": node.polled_addresses().last(),
        "rejoins": node.rejoins.n,
        "broadcasts": node.said.broadcasts.n,
        "notifications": node.said.notifications.n,
        "refusals": node.refusals.n,
    })
}

fn of_finding(finding: &Finding) -> Value {
    let time = |time: Timestamp| (finding.seen.n > 0).then(|| utc(time));
    json!({
        "id": finding.id,
        "severity": finding.severity.name(),
        "nodes": finding.nodes,
        "confidence": finding.confidence.name(),
        "n": finding.seen.n,
        "first": time(finding.seen.first.time),
        "worst": time(finding.seen.worst.time),
        "last": time(finding.seen.last.time),
        "packets": finding.packets(),
        "text": finding.text,
        "means": finding.means,
        "do": finding.action,
        "filter": finding.filter,
        "effects": finding.effects,
    })
}

/// The report on another protocol.
pub fn of_general(protocol: &str, general: &General) -> Value {
    let seconds = general.seconds();
    let rate = |n: u64| if seconds > 0.0 { rounded(n as f64 / seconds) } else { 0.0 };
    let talkers = general.talkers.iter().map(|(address, talker)| {
        json!({ "address": address, "sent": talker.sent, "received": talker.received,
                "damaged": talker.damaged })
    });
    json!({
        "version": VERSION,
        "protocol": protocol,
        "begin": general.first.map(|first| utc(first.time)),
        "end": general.first.map(|_| utc(general.end.time)),
        "seconds": rounded(seconds),
        "frames": general.frames,
        "octets": general.octets,
        "damaged": general.damaged.n,
        "skipped_octets": general.skipped_octets,
        "dropped": general.dropped,
        "frames_per_s": rate(general.frames),
        "octets_per_s": rate(general.octets),
        "gap_ms": in_ms(&general.gaps),
        "addresses": talkers.collect::<Vec<_>>(),
        "grade": "unknown",
        "grade_reason": "only MS/TP trunks are graded",
        "findings": general.findings().iter().map(of_finding).collect::<Vec<_>>(),
        "not_judged": [],
        "modbus": general.modbus.as_ref().map(of_modbus),
        "wpan": general.wpan.as_ref().map(of_wpan),
    })
}

fn of_wpan(wpan: &Wpan) -> Value {
    let pans = wpan.pans.iter();
    let pans = pans.map(|(pan, n)| json!({ "pan": format!("{pan:#06x}"), "frames": n }));
    let links = wpan.links.iter().map(|((from, to), link)| {
        json!({
            "from": from,
            "to": to,
            "frames": link.frames,
            "sent_again": link.again.n,
            "lqi": scaled(&link.lqi, 1.0),
            "rssi_dbm": link.rss_mean().zip(link.rss_range).map(|(mean, (min, max))| {
                json!({ "mean": rounded(mean), "min": rounded(min.into()), "max": rounded(max.into()) })
            }),
        })
    });
    let channels = wpan.channels.iter().map(|(number, channel)| {
        json!({ "channel": number, "frames": channel.frames, "damaged": channel.damaged.n })
    });
    json!({
        "pans": pans.collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        "channels": channels.collect::<Vec<_>>(),
    })
}

fn of_modbus(modbus: &Modbus) -> Value {
    let units = modbus.units.iter().map(|(address, unit)| {
        let functions = unit.functions.iter();
        let exceptions = unit.exceptions.iter();
        json!({
            "unit": address,
            "requests": unit.requests,
            "responses": unit.responses,
            "timeouts": unit.timeouts.n,
            "retries": unit.retries,
            "damaged": unit.damaged.n,
            "response_ms": in_ms(&unit.response),
            "functions": functions
                .map(|(function, n)| json!({ "function": function, "n": n }))
                .collect::<Vec<_>>(),
            "exceptions": exceptions
                .map(|((function, code), n)| json!({ "function": function, "code": code, "n": n }))
                .collect::<Vec<_>>(),
        })
    });
    json!({
        "response_from": if modbus.knows_rate() { "end" } else { "begin" },
        "units": units.collect::<Vec<_>>(),
        "unasked": modbus.unasked.n,
        "damaged_elsewhere": modbus.damaged_elsewhere.n,
    })
}

/// Delays in milliseconds, from values in microseconds; `null` of none.
fn in_ms(distribution: &Distribution) -> Value {
    scaled(distribution, 1000.0)
}

fn scaled(distribution: &Distribution, unit: f64) -> Value {
    let [p50, p99] = distribution.percentiles([50, 99]);
    let (Some(p50), Some(p99), Some(mean)) = (p50, p99, distribution.mean()) else {
        return json!({ "n": 0, "mean": null, "p50": null, "p99": null, "max": null });
    };
    let value = |value: u32| rounded(f64::from(value) / unit);
    json!({
        "n": distribution.n(),
        "mean": rounded(mean / unit),
        "p50": value(p50),
        "p99": value(p99),
        "max": value(distribution.max()),
    })
}

/// Three figures behind the point.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Date and time in UTC.
pub fn utc(time: Timestamp) -> String {
    let time =
        DateTime::<Utc>::from_timestamp_nanos(time.as_ns().min(i64::MAX as u64).cast_signed());
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
