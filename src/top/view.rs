//! How the screen is drawn. 80 columns and 24 rows are enough; more show more. Nothing is told by
//! colour alone.

use super::shown::{Member, Row};
use super::{Around, Focus, Page, Screen};
use crate::analysis::doctor::Grade;
use crate::analysis::findings::{Finding, Severity, macs};
use chrono::{DateTime, Local};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);
/// Rows of the ring, at most.
const RING_ROWS: usize = 4;
/// Columns of one node of the ring.
const MEMBER: usize = 6;

const KEYS: &[(&str, &str)] = &[
    ("arrows, j, k", "choose a node or a finding; page up, page down, home, end too"),
    ("Enter", "its page"),
    ("Esc", "back"),
    ("Tab", "to the findings, or to the nodes"),
    ("s, S", "sort by the next column, or the one before"),
    ("r", "sort the other way round"),
    ("c", "forget what was heard, and begin anew"),
    ("l", "log lines"),
    ("?", "this page"),
    ("q, Ctrl-C", "leave, and end the capture"),
    ("", ""),
    ("[4]", "in the ring: node 4 has the token"),
    ("4! 4? 4.", "a finding names node 4: fault or critical, warning, advice"),
];

impl Screen {
    /// Draws it.
    pub fn draw(&self, frame: &mut Frame<'_>, around: &Around) {
        let Rect { width, height, .. } = frame.area();
        let (width, height) = (usize::from(width), usize::from(height));
        let mut lines = vec![self.title(around, width)];
        let room = height.saturating_sub(2);
        match &self.page {
            Page::Line => self.line(&mut lines, around, width, room),
            page => {
                let text = self.text(page, around, width);
                let first = self.scrolled.min(text.len().saturating_sub(room.saturating_sub(1)));
                lines.extend(text.into_iter().skip(first));
            }
        }
        lines.truncate(room + 1);
        lines.resize(room + 1, Line::default());
        let keys = match self.page {
            Page::Line => "q leave  arrows choose  Enter page  Tab findings  s sort  l log  ? help",
            _ => "q leave  Esc back  arrows scroll  ? help",
        };
        lines.push(Line::styled(format!("{keys:width$}"), REVERSED));
        frame.render_widget(Paragraph::new(lines), frame.area());
    }

    fn title(&self, around: &Around, width: usize) -> Line<'static> {
        let left = format!("serialshark top: {}", around.port);
        let room = width.saturating_sub(around.state.chars().count() + 1);
        let left: String = left.chars().take(room).collect();
        Line::styled(format!("{left:room$} {}", around.state), REVERSED)
    }

    /// Grade, figures, ring, nodes, findings and the last log line.
    fn line(&self, lines: &mut Vec<Line<'static>>, around: &Around, width: usize, room: usize) {
        lines.extend(self.grade(width));
        lines.extend(self.shown.figures.iter().cloned().map(Line::raw));
        lines.extend(self.ring(width));
        let left = room.saturating_sub(lines.len());
        let findings = self.shown.findings.len().clamp(1, (left / 3).max(3));
        let nodes = left.saturating_sub(findings + 2);
        self.nodes(lines, width, nodes);
        self.findings(lines, findings);
        lines.resize(room, Line::default());
        lines.push(around.log.last().cloned().map(Line::raw).unwrap_or_default());
    }

    /// The grade and its reason, in two rows.
    fn grade(&self, width: usize) -> [Line<'static>; 2] {
        let grade = self.shown.grade;
        let colour = match grade {
            Grade::Good => Style::new().fg(Color::Green),
            Grade::Fair => Style::new().fg(Color::Yellow),
            Grade::Poor | Grade::Failing => Style::new().fg(Color::Red),
            Grade::Unknown => Style::new(),
        };
        let name = grade.name().to_uppercase();
        let mut rows =
            wrapped(&self.shown.reason, width.saturating_sub(name.len() + 2)).into_iter();
        let first = rows.next().unwrap_or_default();
        let second = rows.next().unwrap_or_default();
        let indent = " ".repeat(name.len() + 2);
        [
            Line::from(vec![Span::styled(format!("{name}: "), colour.patch(BOLD)), first.into()]),
            Line::raw(format!("{indent}{second}")),
        ]
    }

    fn ring(&self, width: usize) -> Vec<Line<'static>> {
        let ring = &self.shown.ring;
        if ring.is_empty() {
            return Vec::new();
        }
        let a_row = (width / MEMBER).saturating_sub(1).max(1);
        let mut rows: Vec<_> = ring
            .chunks(a_row)
            .enumerate()
            .map(|(i, members)| {
                let head = if i == 0 { "Ring: " } else { "      " };
                let mut spans = vec![Span::styled(head, BOLD)];
                spans.extend(members.iter().map(|member| of_ring(*member)));
                Line::from(spans)
            })
            .collect();
        if rows.len() > RING_ROWS {
            rows.truncate(RING_ROWS - 1);
            let more = ring.len() - a_row * rows.len();
            rows.push(Line::raw(format!("      and {more} more")));
        }
        rows
    }

    fn nodes(&self, lines: &mut Vec<Line<'static>>, width: usize, room: usize) {
        let headings = self.shown.headings;
        let mut spans = Vec::new();
        for (i, (heading, columns)) in headings.iter().enumerate() {
            let style = if i == self.column { BOLD.patch(REVERSED) } else { BOLD };
            let arrow = match (i == self.column, self.reversed) {
                (true, false) => "*",
                (true, true) => "^",
                (false, _) => "",
            };
            let text = format!("{heading}{arrow}");
            spans.push(if i + 1 == headings.len() {
                Span::styled(text, style)
            } else {
                Span::styled(format!("{text:<columns$}"), style)
            });
        }
        lines.push(Line::from(spans));
        let chosen = self.chosen();
        for (i, row) in window(&self.shown.rows, chosen, room) {
            let is_chosen = i == chosen && self.focus == Focus::Nodes;
            lines.push(self.node(row, is_chosen, width));
        }
    }

    fn node(&self, row: &Row, is_chosen: bool, width: usize) -> Line<'static> {
        let mut text = String::new();
        let cells = [&row.name].into_iter().chain(&row.cells);
        for ((_, columns), cell) in self.shown.headings.iter().zip(cells) {
            if *columns == 0 {
                text.push_str(cell);
            } else {
                // Always with a space behind it.
                let cell: String = cell.chars().take(columns - 1).collect();
                text.push_str(&format!("{cell:<columns$}"));
            }
        }
        let style = of_severity(row.trouble);
        if is_chosen {
            Line::styled(format!("{text:<width$}"), style.patch(REVERSED))
        } else {
            Line::styled(text, style)
        }
    }

    fn findings(&self, lines: &mut Vec<Line<'static>>, room: usize) {
        let findings = &self.shown.findings;
        let heading = match findings.len() {
            0 => "Findings: none".to_owned(),
            n => format!("Findings: {n}"),
        };
        lines.push(Line::styled(heading, BOLD));
        for (i, finding) in window(findings, self.finding, room) {
            let is_chosen = i == self.finding && self.focus == Focus::Findings;
            let new = if self.is_new(finding) { "NEW " } else { "" };
            let text = format!(
                "{new}{}: {}{}: {}",
                finding.severity.name(),
                finding.title(),
                of_nodes(finding),
                finding.text
            );
            let style = of_severity(Some(finding.severity));
            lines.push(Line::styled(text, if is_chosen { style.patch(REVERSED) } else { style }));
        }
    }

    /// A page of text.
    fn text(&self, page: &Page, around: &Around, width: usize) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        match page {
            Page::Line => {}
            Page::Node(name) => {
                lines.push(Line::styled(format!("Node {name}"), BOLD));
                lines.extend(self.details.iter().cloned().map(Line::raw));
                let mac = name.parse::<u8>().ok();
                let own = |finding: &&Finding| mac.is_some_and(|mac| finding.nodes.contains(&mac));
                for finding in self.shown.findings.iter().filter(own) {
                    lines.push(Line::default());
                    lines.extend(of_finding(finding, width));
                }
            }
            Page::Finding(id, nodes) => {
                let is_it = |it: &&Finding| it.id == *id && it.nodes == *nodes;
                match self.shown.findings.iter().find(is_it) {
                    Some(finding) => lines.extend(of_finding(finding, width)),
                    None => lines.push(Line::raw(format!("{} is over", id.replace('-', " ")))),
                }
            }
            Page::Log => {
                lines.push(Line::styled("Log", BOLD));
                for line in &around.log {
                    lines.extend(wrapped(line, width).into_iter().map(Line::raw));
                }
            }
            Page::Help => {
                lines.push(Line::styled("Keys", BOLD));
                lines.extend(KEYS.iter().map(|(key, what)| Line::raw(format!("{key:14} {what}"))));
            }
        }
        lines
    }
}

fn of_ring(member: Member) -> Span<'static> {
    let mark = match member.trouble {
        Some(Severity::Critical | Severity::Fault) => "!",
        Some(Severity::Warning) => "?",
        Some(Severity::Advice) => ".",
        None => "",
    };
    let mac = member.mac;
    let text = if member.holds { format!("[{mac}]{mark}") } else { format!(" {mac}{mark}") };
    let style = of_severity(member.trouble);
    let style = if member.holds { style.patch(BOLD) } else { style };
    Span::styled(format!("{text:MEMBER$}"), style)
}

fn of_severity(severity: Option<Severity>) -> Style {
    match severity {
        Some(Severity::Critical | Severity::Fault) => Style::new().fg(Color::Red),
        Some(Severity::Warning) => Style::new().fg(Color::Yellow),
        Some(Severity::Advice) | None => Style::new(),
    }
}

/// ` (MAC 4)`, or nothing.
fn of_nodes(finding: &Finding) -> String {
    match finding.nodes.as_slice() {
        [] => String::new(),
        nodes @ ([_] | [_, _] | [_, _, _]) => format!(" ({})", macs(nodes)),
        [first, second, others @ ..] => {
            format!(" (MAC {first}, {second} and {} more)", others.len())
        }
    }
}

/// All about a finding.
fn of_finding(finding: &Finding, width: usize) -> Vec<Line<'static>> {
    let head = format!(
        "{}: {}{}, {}",
        finding.severity.name(),
        finding.title(),
        of_nodes(finding),
        finding.confidence.name()
    );
    let mut lines = vec![Line::styled(head, of_severity(Some(finding.severity)).patch(BOLD))];
    let seen = &finding.seen;
    let time = |ns: u64| {
        let time = DateTime::from_timestamp_nanos(i64::try_from(ns).unwrap_or(i64::MAX));
        time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S%.3f").to_string()
    };
    let mut say = |label: &str, text: &str| {
        let rows = wrapped(text, width.saturating_sub(12));
        for (i, row) in rows.into_iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            lines.push(Line::raw(format!("  {label:9} {row}")));
        }
    };
    say("seen", &finding.text);
    say("means", finding.means);
    say("do", &finding.action);
    if !finding.effects.is_empty() {
        say("explains", &finding.effects.join(", "));
    }
    if seen.n > 0 {
        say("first", &format!("{} (packet {})", time(seen.first.time.as_ns()), seen.first.number));
        say("last", &format!("{} (packet {})", time(seen.last.time.as_ns()), seen.last.number));
    }
    say("filter", &finding.filter);
    lines
}

/// As many of a list as there is room for, with the chosen one among them; each with its place.
fn window<T>(list: &[T], chosen: usize, room: usize) -> impl Iterator<Item = (usize, &T)> {
    let first = (chosen + 1).saturating_sub(room);
    list.iter().enumerate().skip(first).take(room)
}

/// Words in rows of this width; a word that is longer has a row of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split_whitespace() {
        let row = rows.last().map_or(0, |row| row.chars().count());
        if row > 0 && row + 1 + word.chars().count() > width {
            rows.push(String::new());
        }
        if let Some(row) = rows.last_mut() {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
    }
    rows
}
