//! The one kind of error: a line that names the object, what failed and why, and a hint. Whatever
//! is in it, it is one line and one of hint: see [`printable`].

use crate::printable::printable;
use log::Level;
use std::fmt;

/// The target of log records that are made of an error, and so printable.
pub const TARGET: &str = "serialshark::error";

/// Why something the user asked for cannot be done.
///
/// Displays as `object: what failed: the system's words`, and on a second line the hint; with
/// `{:#}` all in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    line: String,
    hint: Option<String>,
}

impl Error {
    /// `what` failed with `object`.
    pub fn new(object: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self { line: printable(&format!("{object}: {what}")).into_owned(), hint: None }
    }

    /// Adds the system's words.
    #[must_use]
    pub fn because(mut self, cause: impl Into<std::io::Error>) -> Self {
        self.line = format!("{}: {}", self.line, printable(&words(cause)));
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(printable(&hint.into()).into_owned());
        self
    }

    /// Puts it into the log.
    pub fn log(&self, level: Level) {
        log::log!(target: TARGET, level, "{self}");
    }
}

/// The system's words for an error, without the number that std appends.
pub fn words(cause: impl Into<std::io::Error>) -> String {
    words_of(&cause.into())
}

/// The same for one that is kept.
pub fn words_of(cause: &std::io::Error) -> String {
    let text = cause.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    // Windows ends them as sentences.
    words.trim_end().trim_end_matches('.').to_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)?;
        match &self.hint {
            Some(hint) if f.alternate() => write!(f, "; {hint}"),
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_line_and_a_hint() {
        let denied = std::io::Error::from_raw_os_error(13);
        let error = Error::new("/dev/ttyUSB0", "cannot open").because(denied).hint("ask root");
        let text = "/dev/ttyUSB0: cannot open: Permission denied\n  hint: ask root";
        assert_eq!(error.to_string(), text);
        assert_eq!(format!("{error:#}"), text.replace("\n  hint:", ";"));
    }

    #[test]
    fn nothing_in_it_begins_another_line() {
        let error = Error::new("a\nb", "\x1b[2J").hint("c\n  hint: d");
        assert_eq!(error.to_string(), "a\\nb: \\u{1b}[2J\n  hint: c\\n  hint: d");
    }
}
