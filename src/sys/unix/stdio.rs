//! The descriptors that the program was started with.

use std::fs::File;
use std::io::{self, IsTerminal};

/// Standard input once more, to be read without a buffer.
///
/// # Errors
/// When there is none, or no descriptors are left.
pub fn stdin() -> io::Result<File> {
    Ok(rustix::stdio::stdin().try_clone_to_owned()?.into())
}

/// The same of standard output.
///
/// # Errors
/// When there is none, or no descriptors are left.
pub fn stdout() -> io::Result<File> {
    Ok(rustix::stdio::stdout().try_clone_to_owned()?.into())
}

/// The same of standard error.
///
/// # Errors
/// When there is none, or no descriptors are left.
pub fn stderr() -> io::Result<File> {
    Ok(rustix::stdio::stderr().try_clone_to_owned()?.into())
}

/// The width of the terminal that standard error is, if it tells.
pub fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).ok()?;
    // 0 is for a terminal that does not know.
    (size.ws_col > 0).then(|| usize::from(size.ws_col))
}

/// Whether this is a terminal that heeds sequences of ECMA-48, colours among them: unless it says that
/// it does not.
pub fn heeds_sequences(terminal: &impl IsTerminal) -> bool {
    let is_dumb = |term: std::ffi::OsString| term.is_empty() || term == "dumb";
    terminal.is_terminal() && !std::env::var_os("TERM").is_none_or(is_dumb)
}
