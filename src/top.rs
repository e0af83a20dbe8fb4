//! The screen of `serialshark top`: how a line is, live. Drawing and keys are pure; the terminal is
//! in `sys::terminal`, and who reads packets and keys is in `capture`.

pub mod canvas;
pub mod keys;
pub mod shown;
mod view;

use crate::analysis::findings::Finding;
use crate::analysis::live::Live;
use crate::time::Timestamp;
use keys::Key;
use shown::Shown;

/// A finding is new for so long, by the times of packets.
const NEW_NS: u64 = 30_000_000_000;

/// What is on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    /// Grade, ring, nodes and findings.
    Line,
    /// All about the node of this address.
    Node(String),
    /// All about a finding.
    Finding(&'static str, Vec<u8>),
    /// The last log lines.
    Log,
    /// The keys.
    Help,
}

/// Which of both lists the arrows move in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Focus {
    #[default]
    Nodes,
    Findings,
}

/// What a key asks of whoever runs the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To draw once more.
    Draw,
    /// To forget what was heard, and begin anew.
    Anew,
    /// To end.
    Leave,
}

/// The screen: what is shown, and what was chosen.
pub struct Screen {
    shown: Shown,
    page: Page,
    /// What is known of the node whose page it is.
    details: Vec<String>,
    focus: Focus,
    /// The address of the node that was chosen; rows move, this stays.
    node: Option<String>,
    /// The finding that was chosen.
    finding: usize,
    /// The first line of a page that is longer than the screen.
    scrolled: usize,
    column: usize,
    reversed: bool,
    /// Findings, and when each was found.
    found: Vec<(&'static str, Vec<u8>, Timestamp)>,
}

/// What is around what is known of the line.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The port, and what is spoken on it.
    pub port: String,
    /// What goes on, such as `live`.
    pub state: String,
    /// The last log lines, the newest last.
    pub log: Vec<String>,
}

impl Screen {
    /// Shows this.
    pub fn new(shown: Shown) -> Self {
        let mut screen = Self {
            page: Page::Line,
            details: Vec::new(),
            focus: Focus::default(),
            node: None,
            finding: 0,
            scrolled: 0,
            // Trouble first.
            column: shown.headings.len() - 1,
            reversed: false,
            found: Vec::new(),
            shown,
        };
        screen.show(screen.shown.clone());
        screen
    }

    /// Takes the line as it is now.
    pub fn update(&mut self, live: &mut Live) {
        self.show(Shown::of(live));
        if let Page::Node(name) = &self.page {
            self.details = shown::page(live, name);
        }
    }

    fn show(&mut self, mut shown: Shown) {
        shown.sort(self.column, self.reversed);
        let is_it = |finding: &Finding, (id, nodes, _): &(&str, Vec<u8>, Timestamp)| {
            finding.id == *id && finding.nodes == *nodes
        };
        self.found.retain(|found| shown.findings.iter().any(|finding| is_it(finding, found)));
        for finding in &shown.findings {
            if !self.found.iter().any(|found| is_it(finding, found)) {
                self.found.push((finding.id, finding.nodes.clone(), shown.end));
            }
        }
        self.finding = self.finding.min(shown.findings.len().saturating_sub(1));
        self.shown = shown;
    }

    /// Whether this finding has just appeared.
    fn is_new(&self, finding: &Finding) -> bool {
        self.found.iter().any(|(id, nodes, since)| {
            *id == finding.id && *nodes == finding.nodes && self.shown.end.ns_since(*since) < NEW_NS
        })
    }

    /// Does what a key asks for.
    pub fn press(&mut self, key: Key) -> Wish {
        match key {
            Key::Leave => return Wish::Leave,
            Key::Back => self.turn_to(Page::Line),
            Key::Char('c') => {
                self.found.clear();
                self.turn_to(Page::Line);
                return Wish::Anew;
            }
            Key::Char('l') => self.turn_to(Page::Log),
            Key::Char('?' | 'h') => self.turn_to(Page::Help),
            _ if self.page != Page::Line => self.scroll(key),
            Key::Char('s') => self.sort((self.column + 1) % self.shown.headings.len(), false),
            Key::Char('S') => {
                let columns = self.shown.headings.len();
                self.sort((self.column + columns - 1) % columns, false);
            }
            Key::Char('r') => self.sort(self.column, !self.reversed),
            Key::Tab => {
                self.focus = match self.focus {
                    Focus::Nodes => Focus::Findings,
                    Focus::Findings => Focus::Nodes,
                };
            }
            Key::Enter => self.open(),
            Key::Up => self.choose(-1),
            Key::Down => self.choose(1),
            Key::PageUp => self.choose(-10),
            Key::PageDown => self.choose(10),
            Key::Home => self.choose(isize::MIN),
            Key::End => self.choose(isize::MAX),
            Key::Char(_) => {}
        }
        Wish::Draw
    }

    fn turn_to(&mut self, page: Page) {
        self.page = page;
        self.scrolled = 0;
        self.details.clear();
    }

    fn sort(&mut self, column: usize, reversed: bool) {
        (self.column, self.reversed) = (column, reversed);
        // By address again, which is the order that this sort begins with.
        self.shown.rows.sort_by(|a, b| {
            let key = |row: &shown::Row| row.keys.first().copied().unwrap_or_default();
            key(a).total_cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        self.shown.sort(column, reversed);
    }

    /// Opens the page of what was chosen.
    fn open(&mut self) {
        let page = match self.focus {
            Focus::Nodes => {
                self.shown.rows.get(self.chosen()).map(|row| Page::Node(row.name.clone()))
            }
            Focus::Findings => self
                .shown
                .findings
                .get(self.finding)
                .map(|finding| Page::Finding(finding.id, finding.nodes.clone())),
        };
        if let Some(page) = page {
            self.turn_to(page);
        }
    }

    /// The row of the node that was chosen; the first one, if it is none of them.
    fn chosen(&self) -> usize {
        let name = self.node.as_ref();
        self.shown.rows.iter().position(|row| Some(&row.name) == name).unwrap_or(0)
    }

    fn choose(&mut self, by: isize) {
        match self.focus {
            Focus::Nodes => {
                let chosen = moved(self.chosen(), by, self.shown.rows.len());
                self.node = self.shown.rows.get(chosen).map(|row| row.name.clone());
            }
            Focus::Findings => {
                self.finding = moved(self.finding, by, self.shown.findings.len());
            }
        }
    }

    /// Moves in a page that is longer than the screen; drawing sees that it does not end before.
    fn scroll(&mut self, key: Key) {
        self.scrolled = match key {
            Key::Up => self.scrolled.saturating_sub(1),
            Key::Down => self.scrolled.saturating_add(1),
            Key::PageUp => self.scrolled.saturating_sub(10),
            Key::PageDown => self.scrolled.saturating_add(10),
            Key::Home => 0,
            Key::End => usize::MAX,
            _ => self.scrolled,
        };
    }
}

/// A place in a list of so many, moved within it.
fn moved(place: usize, by: isize, len: usize) -> usize {
    place.saturating_add_signed(by).min(len.saturating_sub(1))
}

#[cfg(test)]
mod tests;
