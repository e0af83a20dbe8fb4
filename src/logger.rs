//! Where log records go: to stderr, a line each, and to a file if one is named.
//!
//! Logging never waits, whoever logs and whatever it holds meanwhile: lines go through a
//! [`Copier`], and one that finds no room there is counted and told of later. Text from outside
//! may be in any message, so all are made [`printable`] here; an [`Error`] has done that by
//! itself, since its hint is a second line.

use crate::copier::{Copier, WHOLE_WRITE};
use crate::error::{self, Error};
use crate::printable::printable;
use crate::systemd;
use env_filter::Filter;
use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::io::Errno;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the end waits for stderr to take the last lines.
const MOMENT: Duration = Duration::from_millis(300);

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
    pipe: OwnedFd,
    copier: Copier,
    lost: u64,
    /// A file's lines have their times; stderr's get them from whoever keeps them, if at all.
    is_file: bool,
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
        let stderr = rustix::stdio::stderr().try_clone_to_owned();
        // Without stderr there is nobody to tell.
        sinks.extend(stderr.and_then(|stderr| Sink::new(stderr, false)).ok());
        if let Some(path) = file {
            let cannot = |error| Error::new(path.display(), "cannot write the log").because(error);
            let file = OpenOptions::new().append(true).create(true).open(path).map_err(cannot)?;
            sinks.push(Sink::new(file.into(), true).map_err(cannot)?);
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
        self.0.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.0.filter.matches(record) {
            return;
        }
        let text = record.args().to_string();
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

    fn flush(&self) {}
}

impl Sink {
    fn new(to: OwnedFd, is_file: bool) -> std::io::Result<Self> {
        let (pipe, copier) = Copier::start("log", to)?;
        Ok(Self { pipe, copier, lost: 0, is_file })
    }

    fn say(&mut self, level: Level, text: &str) {
        if self.lost > 0 && self.write(Level::Warn, &lost(self.lost)) {
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
            systemd::message(level, text)
        };
        // A longer write could be half of a line.
        if line.len() > WHOLE_WRITE {
            line.truncate(line.floor_char_boundary(WHOLE_WRITE - 4));
            line.push_str("...\n");
        }
        loop {
            match rustix::io::write(&self.pipe, line.as_bytes()) {
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                _ => return true,
            }
        }
    }

    fn end(self) {
        if self.lost > 0 {
            self.write(Level::Warn, &lost(self.lost));
        }
        let Self { pipe, copier, .. } = self;
        drop(pipe);
        copier.finish(MOMENT);
    }
}

fn lost(lines: u64) -> String {
    format!("warning: {lines} log lines are missing here: stderr did not take them in time")
}
