//! Text from outside, made safe to show: on a terminal, in a log, in a line of its own.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with everything escaped that a terminal would take for a command, that would begin
/// another line, or that changes the order of what is read: control characters (C0, DEL, C1),
/// line and paragraph separators, and the marks of bidirectional text.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_dangerous(character) {
            let _ = write!(safe, "{}", character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmless_stays_as_it_is() {
        for text in ["", "/dev/ttyUSB0: cannot open", "Kältezähler 3 °C", "日本語", "a\u{a0}b"]
        {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn commands_lines_and_marks_are_escaped() {
        for (text, safe) in [
            ("\x1b[2J", "\\u{1b}[2J"),
            ("a\nserialshark: b", "a\\nserialshark: b"),
            ("a\r\tb\x7f", "a\\r\\tb\\u{7f}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            ("\u{2066}\u{2028}", "\\u{2066}\\u{2028}"),
            ("\0", "\\u{0}"),
        ] {
            assert_eq!(printable(text), safe);
        }
    }
}
