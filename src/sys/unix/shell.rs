//! How a shell takes what is shown to be copied.

use std::borrow::Cow;

/// The text as one word of a command.
pub fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:,@%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_they_must_be() {
        for plain in ["/dev/ttyUSB0", "tcp:host:2001", "a,baud=9600", "Zähler"] {
            assert_eq!(word(plain), plain);
        }
        for (text, quoted) in [
            ("my fifo", "'my fifo'"),
            ("it's;$HOME", r"'it'\''s;$HOME'"),
            ("", "''"),
            ("a*", "'a*'"),
        ] {
            assert_eq!(word(text), quoted);
        }
    }
}
