//! Where log records go: to stderr, a line each, and to a file if one is named.
//!
//! Logging never waits, whoever logs and whatever it holds meanwhile: lines go through a
//! [`Copier`], and one that finds no room there is counted and told of later. Text from outside
//! may be in any message, so all are made [`printable`] here; an [`Error`] has done that by
//! itself, since its hint is a second line.
//!
//! On a terminal there is a live line below the log ([`LIVE`]): each new one takes the place of the
//! one before, log lines go above it, and at the end it goes.

use crate::error::{self, Error};
use crate::printable::printable;
use crate::sys::copier::{Copier, Inlet, WHOLE_WRITE};
use crate::sys::{files, service, stdio};
use env_filter::Filter;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the end waits for stderr to take the last lines.
const MOMENT: Duration = Duration::from_millis(300);

/// The target of records that are no lines of the log but the live line. Enabled where stderr is a
/// terminal that can show one.
pub const LIVE: &str = "serialshark::live";

/// What a terminal does to forget the line it shows: ECMA-48, carriage return and erase in line.
const FORGET: &str = "\r\x1b[K";

/// As many lines a screen may show.
const SHOWN: usize = 200;

/// Where log lines go while a screen covers the terminal: it shows them, and those that matter are
/// written when it has gone.
#[derive(Clone, Debug, Default)]
pub struct Pane(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    is_open: bool,
    /// The last ones.
    shown: VecDeque<String>,
    /// Warnings and errors that are still to be written, the last ones of them.
    kept: VecDeque<(Level, String)>,
}

impl Pane {
    fn inner(&self) -> MutexGuard<'_, Lines> {
        // Whole at every point.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The screen is there.
    pub fn open(&self) {
        self.inner().is_open = true;
    }

    /// The screen has gone.
    pub fn close(&self) {
        self.inner().is_open = false;
    }

    /// The last lines, the newest last.
    pub fn lines(&self) -> Vec<String> {
        self.inner().shown.iter().cloned().collect()
    }

    /// Takes a line; `false` if the screen is not there, so that it has to be written now.
    fn take(&self, level: Level, text: &str) -> bool {
        let mut lines = self.inner();
        lines.shown.extend(text.lines().map(str::to_owned));
        let old = lines.shown.len().saturating_sub(SHOWN);
        lines.shown.drain(..old);
        if lines.is_open && level <= Level::Warn {
            if lines.kept.len() == SHOWN {
                lines.kept.pop_front();
            }
            lines.kept.push_back((level, text.to_owned()));
        }
        lines.is_open
    }

    /// What is still to be written.
    fn kept(&self) -> VecDeque<(Level, String)> {
        let mut lines = self.inner();
        if lines.is_open { VecDeque::new() } else { std::mem::take(&mut lines.kept) }
    }
}

/// Takes log records until it is told that the program ends.
pub struct Logging(Arc<Inner>);

struct Inner {
    filter: Filter,
    sinks: Mutex<Vec<Sink>>,
}

/// What the `log` crate knows of it.
struct Logger(Arc<Inner>);

/// Where lines go, and how many it did not take.
struct Sink {
    inlet: Inlet,
    copier: Copier,
    lost: u64,
    /// What it is called where it is told how many it did not take.
    name: String,
    /// A file's lines have their times; stderr's get them from whoever keeps them, if at all.
    is_file: bool,
    /// Whether it is a terminal.
    is_terminal: bool,
    /// The live line of a terminal that can show one; empty if there is none now.
    live: Option<String>,
    /// What may cover the terminal.
    pane: Option<Pane>,
}

impl Logging {
    /// Takes all log records from now on: those of `level` and above, and all warnings of one
    /// target, unless `RUST_LOG` says otherwise; to stderr and to the end of `file`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn start(
        level: LevelFilter,
        warnings_of: Option<&str>,
        file: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut filter = env_filter::Builder::new();
        filter.filter_level(level);
        if let Some(target) = warnings_of {
            filter.filter_module(target, level.max(LevelFilter::Warn));
        }
        let wish = std::env::var("RUST_LOG").unwrap_or_default();
        let understood = filter.try_parse(&wish).map(drop).map_err(|error| error.to_string());
        let filter = filter.build();
        let mut sinks = Vec::new();
        let stderr = stdio::stderr();
        // Without stderr there is nobody to tell.
        sinks.extend(stderr.and_then(|stderr| Sink::new(stderr, "stderr".into(), false)).ok());
        if let Some(path) = file {
            files::check_name(path)?;
            let cannot = |error| Error::new(path.display(), "cannot write the log").because(error);
            if path.metadata().is_ok_and(|metadata| files::is_serial_port(&metadata)) {
                return Err(Error::new(path.display(), "is a serial port")
                    .hint("log lines are never written to a bus; name a file"));
            }
            let name = printable(&path.to_string_lossy()).into_owned();
            let file = OpenOptions::new().append(true).create(true).open(path).map_err(cannot)?;
            sinks.push(Sink::new(file, name, true).map_err(cannot)?);
        }
        log::set_max_level(filter.filter());
        let inner = Arc::new(Inner { filter, sinks: Mutex::new(sinks) });
        // Fails if there is one already: that one goes on.
        let _ = log::set_boxed_logger(Box::new(Logger(Arc::clone(&inner))));
        if let Err(error) = understood {
            log::warn!("RUST_LOG: {error}");
        }
        Ok(Self(inner))
    }

    /// Gives lines that would go to a terminal to this pane, while it is open.
    pub fn show_in(&self, pane: &Pane) {
        for sink in self.0.sinks().iter_mut().filter(|sink| sink.is_terminal) {
            sink.pane = Some(pane.clone());
        }
    }

    /// Says why the program ends, and ends with it: waits a moment until all lines are out.
    pub fn fail(self, error: &Error) {
        self.0.write(Level::Error, &error.to_string());
        self.end();
    }

    /// The last line was logged; waits a moment until all are out.
    pub fn end(self) {
        for sink in self.0.sinks().drain(..) {
            sink.end();
        }
    }
}

impl Inner {
    fn sinks(&self) -> MutexGuard<'_, Vec<Sink>> {
        // Whole at every point.
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, level: Level, text: &str) {
        for sink in self.sinks().iter_mut() {
            sink.say(level, text);
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_live = metadata.target() == LIVE;
        self.0.filter.enabled(metadata)
            && (!is_live || self.0.sinks().iter().any(|sink| sink.live.is_some()))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.0.filter.matches(record) {
            return;
        }
        let text = record.args().to_string();
        if record.target() == LIVE {
            self.0.sinks().iter_mut().for_each(|sink| sink.show(&printable(&text)));
            return;
        }
        let text = match record.target() {
            error::TARGET => text,
            _ => printable(&text).into_owned(),
        };
        let text = match record.level() {
            Level::Info => text,
            level => format!("{}: {text}", level.as_str().to_lowercase()),
        };
        self.0.write(record.level(), &text);
    }

    /// Waits until what was logged is written, a moment at most. Meanwhile others log.
    fn flush(&self) {
        let marks: Vec<_> = self.0.sinks().iter().map(|sink| sink.inlet.mark()).collect();
        for mark in marks {
            mark.wait(MOMENT);
        }
    }
}

impl Sink {
    fn new(to: File, name: String, is_file: bool) -> io::Result<Self> {
        let is_terminal = !is_file && to.is_terminal();
        let live = (is_terminal && stdio::heeds_sequences(&to)).then(String::new);
        let (inlet, copier) = Copier::start("log", to)?;
        Ok(Self { inlet, copier, lost: 0, name, is_file, is_terminal, live, pane: None })
    }

    /// Shows a live line in place of the one before.
    fn show(&mut self, text: &str) {
        let Some(live) = &mut self.live else { return };
        // One that is longer than the terminal could not be taken back.
        let columns = stdio::columns().unwrap_or(80);
        let text: String = text.chars().take(columns - 1).collect();
        if *live == text {
            return;
        }
        *live = text;
        let shown = format!("{FORGET}{live}");
        // If there is no room now, there will be a next one.
        let _ = self.inlet.write(shown.as_bytes());
    }

    fn say(&mut self, level: Level, text: &str) {
        if self.pane.as_ref().is_some_and(|pane| pane.take(level, text)) {
            return;
        }
        self.say_kept();
        self.say_now(level, text);
    }

    /// Writes what a screen has kept from the terminal.
    fn say_kept(&mut self) {
        let kept = self.pane.as_ref().map(Pane::kept).unwrap_or_default();
        for (level, text) in kept {
            self.say_now(level, &text);
        }
    }

    fn say_now(&mut self, level: Level, text: &str) {
        if self.lost > 0 && self.write(Level::Warn, &self.lost_lines()) {
            self.lost = 0;
        }
        if !self.write(level, text) {
            self.lost += 1;
        }
    }

    /// Whether there was room for it. Nobody there counts as room.
    fn write(&self, level: Level, text: &str) -> bool {
        let mut line = if self.is_file {
            let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S%.3f");
            format!("{now} {text}\n")
        } else {
            service::message(level, text)
        };
        let live = self.live.as_deref().unwrap_or_default();
        let around = if live.is_empty() { 0 } else { FORGET.len() + live.len() };
        // A longer write could be half of a line.
        if line.len() + around > WHOLE_WRITE {
            line.truncate(line.floor_char_boundary(WHOLE_WRITE - around - 4));
            line.push_str("...\n");
        }
        if around > 0 {
            line = format!("{FORGET}{line}{live}");
        }
        let written = self.inlet.write(line.as_bytes());
        !written.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    fn lost_lines(&self) -> String {
        let Self { lost, name, .. } = self;
        format!("warning: {lost} log lines are missing here: {name} did not take them in time")
    }

    fn end(mut self) {
        self.say_kept();
        if self.lost > 0 {
            self.write(Level::Warn, &self.lost_lines());
        }
        let Self { inlet, copier, live, .. } = self;
        if live.is_some_and(|live| !live.is_empty()) {
            let _ = inlet.write(FORGET.as_bytes());
        }
        drop(inlet);
        copier.finish(MOMENT);
    }
}
