//! Writes to what may be a console. A console takes text in UTF-16, and what is written to it as octets
//! it reads in a code page of its own; all else takes octets as they are.

use super::ffi::console;
use std::fs::File;
use std::io::{self, Write as _};
use windows_sys::Win32::System::Console::{
    ENABLE_PROCESSED_OUTPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING,
};

/// A handle that may be a console.
#[derive(Debug)]
pub struct Writer {
    file: File,
    is_console: bool,
    /// A character that has not come entirely.
    cut: Vec<u8>,
}

impl Writer {
    /// Writes to this.
    pub fn new(file: File) -> Self {
        Self { is_console: console::mode(&file).is_some(), file, cut: Vec::new() }
    }

    /// Writes all.
    ///
    /// # Errors
    /// When it takes no more.
    pub fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        if !self.is_console {
            return self.file.write_all(octets);
        }
        self.cut.extend_from_slice(octets);
        let text: Vec<u16> = take_text(&mut self.cut).encode_utf16().collect();
        let mut left = text.as_slice();
        while !left.is_empty() {
            match console::write(&self.file, left)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                len => left = left.get(len..).unwrap_or_default(),
            }
        }
        Ok(())
    }
}

/// Takes the text out of octets, and leaves a character at their end that is not whole.
fn take_text(octets: &mut Vec<u8>) -> String {
    let whole = match std::str::from_utf8(octets) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => octets.len(),
    };
    let text = String::from_utf8_lossy(octets.get(..whole).unwrap_or_default()).into_owned();
    octets.drain(..whole);
    text
}

/// Has a console heed ECMA-48's sequences, colours among them; whether it does.
pub fn heed_sequences(file: &File) -> bool {
    let wanted = ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING;
    console::mode(file).is_some_and(|mode| console::set_mode(file, mode | wanted).is_ok())
}
