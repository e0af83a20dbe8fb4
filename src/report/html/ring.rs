//! The ring: who passes the token, in order of address, and how long each of them holds it.

use super::markup::picture;
use crate::analysis::doctor::Report;
use crate::analysis::findings::{Severity, ranges};
use std::f64::consts::TAU;
use std::fmt::Write as _;

/// The middle of the picture, and the edges of the ring.
const MIDDLE: f64 = 180.0;
const INNER: f64 = 98.0;
const OUTER: f64 = 138.0;
/// Where addresses stand, and the room that one of them needs, in turns.
const WORDS: f64 = 154.0;
const ROOM: f64 = 0.024;

/// A node's piece of the ring, in turns from the top.
struct Piece {
    mac: u8,
    from: f64,
    to: f64,
    worst: Option<Severity>,
}

/// The picture, and what it shows.
pub fn ring(page: &mut String, report: &Report<'_>) {
    let masters = &report.figures.masters;
    if masters.is_empty() {
        page.push_str("<p>Nobody passes a token.</p>\n");
        return;
    }
    let pieces = pieces(report);
    let sick: Vec<u8> =
        pieces.iter().filter(|piece| piece.worst.is_some()).map(|piece| piece.mac).collect();
    let mut shows =
        format!("{} nodes pass the token: {}.", masters.len(), ranges(masters.iter().copied()));
    let most = masters.iter().max_by(|a, b| hold(report, **a).total_cmp(&hold(report, **b)));
    if let Some(&mac) = most {
        let _ = write!(
            shows,
            " MAC {mac} holds it longest, {:.0} % of the time.",
            100.0 * hold(report, mac)
        );
    }
    if !sick.is_empty() {
        let _ = write!(shows, " Findings name MAC {}.", ranges(sick));
    }
    page.push_str("<figure class=\"ring\">\n");
    picture(page, "ring", "The ring of nodes", &shows, "viewBox=\"0 0 360 360\"");
    for piece in &pieces {
        draw(page, piece);
    }
    words(page, &pieces);
    let round = report.figures.loop_time.percentile(50);
    let round = round
        .map_or("no round".to_owned(), |us| format!("{:.0} ms a round", f64::from(us) / 1000.0));
    let _ = writeln!(
        page,
        "<text class=\"large\" x=\"{MIDDLE}\" y=\"176\" text-anchor=\"middle\">{} nodes</text>\
         <text x=\"{MIDDLE}\" y=\"198\" text-anchor=\"middle\">{round}</text></svg>",
        masters.len()
    );
    let _ = writeln!(
        page,
        "<figcaption>The token goes clockwise. The longer a piece, the longer the node holds the \
         token; a wide gap is where addresses are free. An exclamation mark: a finding names \
         the node. {shows}</figcaption>\n</figure>"
    );
}

fn hold(report: &Report<'_>, mac: u8) -> f64 {
    report.figures.hold_share.get(usize::from(mac)).copied().unwrap_or(0.0)
}

/// Each node gets a little, and a share of the rest as it holds the token.
fn pieces(report: &Report<'_>) -> Vec<Piece> {
    let masters = &report.figures.masters;
    let n = masters.len() as f64;
    let sum: f64 = masters.iter().map(|mac| hold(report, *mac)).sum();
    let is_break = |at: usize| {
        let next = masters.get(at + 1).or(masters.first());
        masters.get(at).is_some_and(|mac| mac.checked_add(1) != next.copied())
    };
    let breaks = (0..masters.len()).filter(|at| is_break(*at)).count() as f64;
    // All gaps together are a quarter of the ring at most.
    let gap = (0.25 / (n + 3.0 * breaks)).min(0.005);
    let least = (0.25 / n).min(0.01);
    let rest = 1.0 - gap * (n + 3.0 * breaks) - least * n;
    let mut from = 0.0;
    let mut pieces = Vec::new();
    for (at, &mac) in masters.iter().enumerate() {
        let share = if sum > 0.0 { hold(report, mac) / sum } else { 1.0 / n };
        let to = from + least + rest * share;
        let names = report.findings.iter().filter(|finding| finding.nodes.contains(&mac));
        let worst = names.map(|finding| finding.severity).max();
        pieces.push(Piece {
            mac,
            from,
            to,
            worst: worst.filter(|worst| *worst > Severity::Advice),
        });
        from = to + if is_break(at) { 4.0 * gap } else { gap };
    }
    pieces
}

fn point(turns: f64, radius: f64) -> (f64, f64) {
    let (sin, cos) = (turns * TAU).sin_cos();
    (MIDDLE + radius * sin, MIDDLE - radius * cos)
}

fn draw(page: &mut String, piece: &Piece) {
    let Piece { from, to, worst, .. } = *piece;
    let large = u8::from(to - from > 0.5);
    let [(x1, y1), (x2, y2)] = [point(from, OUTER), point(to, OUTER)];
    let [(x3, y3), (x4, y4)] = [point(to, INNER), point(from, INNER)];
    let class = worst.map_or("well", Severity::name);
    let _ = write!(
        page,
        "<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}A{OUTER} {OUTER} 0 {large} 1 {x2:.1} {y2:.1}\
         L{x3:.1} {y3:.1}A{INNER} {INNER} 0 {large} 0 {x4:.1} {y4:.1}Z\"/>"
    );
}

/// Addresses around the ring as there is room, those with findings first.
fn words(page: &mut String, pieces: &[Piece]) {
    let mut taken: Vec<f64> = Vec::new();
    let (sick, well): (Vec<_>, Vec<_>) = pieces.iter().partition(|piece| piece.worst.is_some());
    for piece in sick.into_iter().chain(well) {
        let middle = f64::midpoint(piece.from, piece.to);
        let near = |other: &f64| {
            let apart = (middle - other).abs();
            apart.min(1.0 - apart) < ROOM
        };
        if taken.iter().any(near) {
            continue;
        }
        taken.push(middle);
        let (x, y) = point(middle, WORDS);
        let mark = if piece.worst.is_some() { "!" } else { "" };
        let _ = write!(
            page,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\"{}>{mark}{}</text>",
            y + 4.0,
            if piece.worst.is_some() { " class=\"sick\"" } else { "" },
            piece.mac
        );
    }
}
