//! The handles that the program was started with. Octets go through them as they are: a line's end
//! is not changed.

use super::console::heed_sequences;
use super::ffi::console;
use std::fs::File;
use std::io;
use std::os::windows::io::AsHandle;

fn duplicate(handle: &impl AsHandle) -> io::Result<File> {
    Ok(handle.as_handle().try_clone_to_owned()?.into())
}

/// Standard input once more, to be read without a buffer.
///
/// # Errors
/// When there is none.
pub fn stdin() -> io::Result<File> {
    duplicate(&io::stdin())
}

/// The same of standard output.
///
/// # Errors
/// When there is none.
pub fn stdout() -> io::Result<File> {
    duplicate(&io::stdout())
}

/// The same of standard error.
///
/// # Errors
/// When there is none.
pub fn stderr() -> io::Result<File> {
    duplicate(&io::stderr())
}

/// The width of the console that standard error is, if it tells.
pub fn columns() -> Option<usize> {
    console::size(&io::stderr()).map(|(columns, _)| columns.into())
}

/// Whether this is a console that heeds sequences of ECMA-48, colours among them: those since Windows
/// 10, once they are told to.
pub fn heeds_sequences(console: &impl AsHandle) -> bool {
    !std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        && duplicate(console).is_ok_and(|console| heed_sequences(&console))
}
