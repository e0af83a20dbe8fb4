//! The page on many lines: each a row that leads to its own page.

use super::super::now::Now;
use super::super::overview::Line;
use super::markup::escaped;
use super::{begin, duration, end, section};
use serde_json::Value;
use std::fmt::Write as _;

/// The page. One that `is_live` is kept up to date, and leads to the pages of the lines.
pub fn page(lines: &[Line], now: &Now, is_live: bool) -> String {
    let mut page = String::new();
    let names = [format!("{} lines", lines.len())];
    begin(&mut page, "serialshark", &names, is_live);
    let count = |state: &str| lines.iter().filter(|line| line.state() == state).count();
    let states = ["silent", "failing", "poor", "fair", "unknown", "good"];
    let said: Vec<_> = states
        .iter()
        .map(|state| (*state, count(state)))
        .filter(|(_, n)| *n > 0)
        .map(|(state, n)| format!("{n} {}", words(state).1.to_lowercase()))
        .collect();
    let _ = writeln!(
        page,
        "<header>\n<h1>{} lines</h1>\n<p>{}</p>\n</header>\n<main id=\"report\">",
        lines.len(),
        escaped(&said.join(", "))
    );
    rows(&mut page, lines, is_live);
    if is_live {
        section(&mut page, now);
    }
    end(&mut page);
    page
}

/// A mark and words for a state.
fn words(state: &str) -> (&'static str, &'static str) {
    match state {
        "good" => ("✓", "Good"),
        "fair" => ("◆", "Fair"),
        "poor" => ("▲", "Poor"),
        "failing" => ("■", "Failing"),
        "silent" => ("■", "Silent"),
        "unknown" => ("?", "No grade"),
        _ => ("", "Not graded"),
    }
}

fn rows(page: &mut String, lines: &[Line], is_live: bool) {
    page.push_str(
        "<div class=\"wide\" role=\"region\" aria-label=\"Lines\" tabindex=\"0\">\n\
         <table class=\"lines\"><caption>Lines, those with trouble first</caption>\n<thead><tr>\
         <th scope=\"col\">line</th><th scope=\"col\" class=\"words\">state</th>\
         <th scope=\"col\" class=\"words\" title=\"of all findings the gravest one\">what to do first</th>\
         <th scope=\"col\">findings</th><th scope=\"col\">last packet</th>\
         <th scope=\"col\" title=\"round time of the token, median, in ms\">round, ms</th>\
         <th scope=\"col\" title=\"damaged frames a minute\">errors a minute</th>\
         <th scope=\"col\">protocol</th></tr></thead>\n<tbody>\n",
    );
    for line in lines {
        let (mark, state) = words(line.state());
        let name = escaped(&line.name);
        let name = if is_live {
            format!("<a href=\"lines/{}/\">{name}</a>", escaped(&line.slug))
        } else {
            name
        };
        let trunk = &line.report["trunk"];
        let number = |value: &Value| value.as_f64().map_or("–".to_owned(), |n| format!("{n:.1}"));
        let quiet = line.quiet.map_or("none yet".to_owned(), |quiet| {
            format!("{} ago", duration(quiet.as_secs_f64()))
        });
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{name}</th><td class=\"words\"><span aria-hidden=\"true\">{mark}</span> {state}</td>\
             <td class=\"words\">{}</td><td data-name=\"findings\">{}</td><td data-name=\"last packet\">{}</td>\
             <td data-name=\"round, ms\">{}</td><td data-name=\"errors a minute\">{}</td><td>{}</td></tr>",
            escaped(line.first.as_deref().unwrap_or("nothing")),
            line.findings,
            escaped(&quiet),
            escaped(&number(&trunk["loop_ms"]["p50"])),
            escaped(&number(&trunk["errors_per_min"])),
            escaped(line.protocol)
        );
    }
    page.push_str("</tbody></table>\n</div>\n");
}
