//! How cmd takes what is shown to be copied.

use std::borrow::Cow;

/// The text as one word of a command. No name of a file has a quotation mark in it.
pub fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || r"\/._-+:@=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("\"{text}\""))
}
