//! Plots over the time of the capture: how long the token takes to go round, and errors by kind.
//!
//! A plot is as wide as its place. What it shows is stretched, its words are not: they stand at
//! shares of the width, and are as readable on a phone as elsewhere.

use super::markup::{columns, escaped, picture};
use crate::analysis::findings::Finding;
use crate::analysis::limits;
use crate::analysis::timeline::{Bin, Timeline};
use chrono::{DateTime, Local};
use std::fmt::Write as _;

/// Columns of a plot at most.
const COLUMNS: usize = 300;
/// The top and the height of what a plot shows, in pixels; its flags are above, its times below.
const TOP: u32 = 22;
const HEIGHT: u32 = 150;
/// The height of the small plots.
const LOW: u32 = 34;
/// Marks on the axis of time at most.
const TICKS: i64 = 6;
/// From one mark to the next, in seconds.
const STEPS: [i64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    604_800, 2_592_000,
];

/// A kind of error: its name, and how many of it are in a bin.
type Kind = (&'static str, fn(&Bin) -> u32);

/// The time of a plot.
struct Axis {
    bins: Vec<Bin>,
    begin_ns: u64,
    width_ns: u64,
}

/// Both plots.
pub fn plots(page: &mut String, timeline: &Timeline, findings: &[Finding]) {
    let Some(begin_ns) = timeline.begin_ns() else { return };
    let (bins, width_ns) = timeline.at_most(COLUMNS);
    let axis = Axis { bins, begin_ns, width_ns };
    let day = at(begin_ns).format("%A, %-d %B %Y, times at UTC%:z");
    let _ = writeln!(page, "<p>{day}. One step is {}.</p>", span(width_ns));
    rounds(page, &axis, findings);
    errors(page, &axis);
}

/// Round times: the mean as a line, the longest as an area.
fn rounds(page: &mut String, axis: &Axis, findings: &[Finding]) {
    let ms = |us: u64| us as f64 / 1000.0;
    let longest = axis.bins.iter().max_by_key(|bin| bin.longest_us);
    let longest_ms = ms(longest.map_or(0, |bin| bin.longest_us.into()));
    page.push_str("<figure>\n<h3>Round of the token</h3>\n");
    if longest_ms == 0.0 {
        page.push_str("<p>The token did not go round.</p>\n</figure>\n");
        return;
    }
    let (top, step) = scale(longest_ms);
    let means: Vec<f64> = axis.bins.iter().filter_map(Bin::mean_us).map(ms).collect();
    let most = means.iter().copied().fold(0.0, f64::max);
    let least = means.iter().copied().fold(f64::MAX, f64::min);
    let shows = format!(
        "The mean round takes from {least:.0} to {most:.0} ms; the longest one, {longest_ms:.0} ms, \
         ends in the step from {}.",
        axis.moment_of(|bin| ms(bin.longest_us.into()) == longest_ms)
    );
    let size = format!("class=\"plot\" width=\"100%\" height=\"{}\"", TOP + HEIGHT + 20);
    picture(page, "rounds", "Round time of the token over time", &shows, &size);
    let _ = write!(page, "{}", axis.shown(TOP, HEIGHT));
    let high = |ms: f64| 100.0 - 100.0 * ms / top;
    let tops =
        axis.bins.iter().map(|bin| (bin.rounds > 0).then(|| high(ms(bin.longest_us.into()))));
    let _ = write!(page, "<path class=\"area\" d=\"{}\"/>", columns(tops, 100));
    let line = axis.bins.iter().map(|bin| bin.mean_us().map(|us| high(ms(us))));
    let _ = write!(page, "<path class=\"line\" d=\"{}\"/></svg>", steps(line));
    // Upon the area, since they are to be read.
    let mut value = 0.0;
    while value <= top {
        level(page, value, top, &format!("{value} ms"), "grid");
        value += step;
    }
    for limit in [limits::LOOP_MS[0], limits::LOOP_MS[1]] {
        if limit <= top {
            level(page, limit, top, &format!("limit {limit} ms"), "limit");
        }
    }
    flags(page, axis, findings);
    axis.times(page, TOP + HEIGHT);
    page.push_str(
        "</svg>\n<figcaption>Line: mean of the rounds in a step. Area: the longest of them.",
    );
    if !findings.is_empty() {
        page.push_str(" Numbered lines: when a finding was at its worst.");
    }
    let _ = writeln!(page, " {}</figcaption>\n</figure>", escaped(&shows));
}

/// Where each finding was at its worst.
fn flags(page: &mut String, axis: &Axis, findings: &[Finding]) {
    let mut last = -1.0;
    for (n, finding) in findings.iter().enumerate().filter(|(_, finding)| finding.seen.n > 0) {
        let share = axis.share(finding.seen.worst.time.as_ns());
        // Numbers that would lie upon each other move on by a place.
        let place = if (share - last).abs() < 2.5 { last + 2.5 } else { share };
        last = place;
        let _ = write!(
            page,
            "<line class=\"flag\" x1=\"{share:.2}%\" x2=\"{share:.2}%\" y1=\"16\" y2=\"{}\"/>\
             <text x=\"{place:.2}%\" y=\"13\" text-anchor=\"{}\" class=\"number\">{}</text>",
            TOP + HEIGHT,
            anchor(place),
            n + 1
        );
    }
}

/// One low plot for each kind of error.
fn errors(page: &mut String, axis: &Axis) {
    let kinds: [Kind; 5] = [
        ("damaged frames", |bin| bin.damaged),
        ("stray bytes, in runs", |bin| bin.strays),
        ("lost tokens", |bin| bin.lost_tokens),
        ("second tokens", |bin| bin.second_tokens),
        ("requests without answer", |bin| bin.unanswered),
    ];
    page.push_str("<figure>\n<h3>Errors</h3>\n");
    for (n, (name, of)) in kinds.into_iter().enumerate() {
        let sum: u64 = axis.bins.iter().map(|bin| u64::from(of(bin))).sum();
        let most = axis.bins.iter().map(of).max().unwrap_or(0);
        let shows = match sum {
            0 => "none".to_owned(),
            _ => format!("{sum}, at most {most} in {}", span(axis.width_ns)),
        };
        let _ = writeln!(page, "<p class=\"kind\"><b>{name}</b>: {shows}</p>");
        if sum == 0 {
            continue;
        }
        let from = axis.moment_of(|bin| of(bin) == most);
        let size = format!("class=\"plot\" width=\"100%\" height=\"{LOW}\"");
        let shows = format!("{shows}, the most from {from}");
        picture(page, &format!("errors-{n}"), &format!("{name} over time"), &shows, &size);
        page.push_str(&axis.shown(0, LOW));
        // What is there at all is to be seen.
        let high = |n: u32| 100.0 - (100.0 * f64::from(n) / f64::from(most)).max(12.0);
        let tops = axis.bins.iter().map(|bin| Some(of(bin)).filter(|n| *n > 0).map(high));
        let _ = writeln!(page, "<path class=\"bars\" d=\"{}\"/></svg></svg>", columns(tops, 100));
    }
    page.push_str("<svg class=\"plot\" width=\"100%\" height=\"20\" aria-hidden=\"true\">");
    axis.times(page, 0);
    page.push_str("</svg>\n</figure>\n");
}

impl Axis {
    /// The part of a picture that is stretched: a column is 1 wide, and the whole is 100 high.
    fn shown(&self, top: u32, height: u32) -> String {
        format!(
            "<svg y=\"{top}\" width=\"100%\" height=\"{height}\" viewBox=\"0 0 {} 100\" \
             preserveAspectRatio=\"none\">",
            self.bins.len()
        )
    }

    fn length_ns(&self) -> u64 {
        (self.bins.len() as u64).saturating_mul(self.width_ns)
    }

    /// Where a time is, in hundredths of the width.
    fn share(&self, time_ns: u64) -> f64 {
        let since_ns = time_ns.saturating_sub(self.begin_ns) as f64;
        (100.0 * since_ns / self.length_ns().max(1) as f64).min(100.0)
    }

    /// When the first such column begins.
    fn moment_of(&self, is_it: impl Fn(&Bin) -> bool) -> String {
        let n = self.bins.iter().position(is_it).unwrap_or(0) as u64;
        at(self.begin_ns.saturating_add(n * self.width_ns)).format("%H:%M:%S").to_string()
    }

    /// Times of day below a plot.
    fn times(&self, page: &mut String, bottom: u32) {
        let length = (self.length_ns() / 1_000_000_000).cast_signed().max(1);
        let fits = |step: &i64| length / step <= TICKS;
        let step = STEPS.into_iter().find(fits).unwrap_or(length.max(1));
        let format = match step {
            ..60 => "%H:%M:%S",
            60..86_400 => "%H:%M",
            _ => "%-d %b",
        };
        let begin = at(self.begin_ns);
        let zone = i64::from(begin.offset().local_minus_utc());
        let first = (begin.timestamp() + zone).div_euclid(step) + 1;
        for tick in (first..).take(TICKS as usize + 1) {
            let second = tick * step - zone;
            let time_ns = second.max(0).cast_unsigned().saturating_mul(1_000_000_000);
            let share = self.share(time_ns);
            if time_ns >= self.begin_ns.saturating_add(self.length_ns()) {
                break;
            }
            let _ = write!(
                page,
                "<line class=\"tick\" x1=\"{share:.2}%\" x2=\"{share:.2}%\" y1=\"{bottom}\" y2=\"{}\"/>\
                 <text x=\"{share:.2}%\" y=\"{}\" text-anchor=\"{}\"{}>{}</text>",
                bottom + 4,
                bottom + 16,
                anchor(share),
                if tick % 2 == 0 { "" } else { " class=\"spare\"" },
                at(time_ns).format(format)
            );
        }
    }
}

/// A level across a plot, with its value.
fn level(page: &mut String, value: f64, top: f64, words: &str, class: &str) {
    let y = f64::from(TOP) + f64::from(HEIGHT) * (1.0 - value / top);
    let (x, anchor) = if class == "limit" { ("100%", "end") } else { ("0", "start") };
    let _ =
        write!(page, "<line class=\"{class}\" x1=\"0\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
    if value > 0.0 {
        let y = y + 12.0;
        let _ =
            write!(page, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
    }
}

/// The top of an axis for values up to `most`, and from one of its marks to the next.
fn scale(most: f64) -> (f64, f64) {
    let decade = 10f64.powf(most.log10().floor());
    let steps = [0.2, 0.5, 1.0, 2.0].map(|step| step * decade);
    let step = steps.into_iter().find(|step| most / step <= 5.0).unwrap_or(2.0 * decade);
    ((most / step).ceil().max(1.0) * step, step)
}

/// A line in steps, which ends where there is nothing.
fn steps(heights: impl Iterator<Item = Option<f64>>) -> String {
    let mut path = String::new();
    let mut goes_on = false;
    for (x, height) in heights.enumerate() {
        if let Some(y) = height {
            let _ = match goes_on {
                true => write!(path, "V{y:.1}h1"),
                false => write!(path, "M{x} {y:.1}h1"),
            };
        }
        goes_on = height.is_some();
    }
    path
}

/// Words at the edges stay inside.
fn anchor(share: f64) -> &'static str {
    match share {
        ..6.0 => "start",
        94.0.. => "end",
        _ => "middle",
    }
}

fn at(time_ns: u64) -> DateTime<Local> {
    let time_ns = time_ns.min(i64::MAX as u64).cast_signed();
    DateTime::from_timestamp_nanos(time_ns).with_timezone(&Local)
}

/// How long, in words.
fn span(ns: u64) -> String {
    match ns / 1_000_000_000 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{:.1} minutes", seconds as f64 / 60.0),
        seconds => format!("{:.1} hours", seconds as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_above_its_values_on_a_round_number() {
        let all = [(431.9, 500.0, 100.0), (68.0, 80.0, 20.0), (1.0, 1.0, 0.2), (9.9, 10.0, 2.0)];
        for (most, top, step) in all {
            let found = scale(most);
            assert!((found.0 - top).abs() < 1e-9 && (found.1 - step).abs() < 1e-9, "{most}");
        }
    }

    #[test]
    fn lines_end_where_there_is_nothing() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        assert_eq!(steps(values.into_iter()), "M0 1.0h1V2.0h1M3 3.0h1");
    }
}
