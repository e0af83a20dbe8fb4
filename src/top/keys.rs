//! Octets from a terminal to keys: ECMA-48's sequences for those that have no character.

/// A key, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Arrow up, or `k`.
    Up,
    /// Arrow down, or `j`.
    Down,
    /// Page up.
    PageUp,
    /// Page down, or space.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Enter, or arrow right.
    Enter,
    /// Escape, backspace, or arrow left.
    Back,
    /// The tabulator.
    Tab,
    /// `q`, or Ctrl-C.
    Leave,
    /// Any other character.
    Char(char),
}

/// The keys that were pressed. What comes in one read is whole: a terminal sends a sequence at
/// once, and an escape at the end is the key of that name.
pub fn keys(mut octets: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = octets {
        octets = rest;
        keys.extend(match first {
            b'\x1b' => {
                let (key, len) = sequence(rest);
                octets = rest.get(len..).unwrap_or_default();
                key
            }
            b'q' | b'Q' | 0x03 => Some(Key::Leave),
            b'\r' | b'\n' => Some(Key::Enter),
            b'\t' => Some(Key::Tab),
            0x7f | 0x08 => Some(Key::Back),
            b'k' => Some(Key::Up),
            b'j' => Some(Key::Down),
            b' ' => Some(Key::PageDown),
            0x20..=0x7e => Some(Key::Char(char::from(*first))),
            _ => None,
        });
    }
    keys
}

/// The key behind an escape, if it is known, and how many octets it takes.
fn sequence(octets: &[u8]) -> (Option<Key>, usize) {
    let [b'[' | b'O', rest @ ..] = octets else { return (Some(Key::Back), 0) };
    let Some(len) = rest.iter().position(|octet| (0x40..=0x7e).contains(octet)) else {
        return (None, octets.len());
    };
    let key = match &rest[..=len] {
        b"A" => Some(Key::Up),
        b"B" => Some(Key::Down),
        b"C" => Some(Key::Enter),
        b"D" => Some(Key::Back),
        b"H" | b"1~" | b"7~" => Some(Key::Home),
        b"F" | b"4~" | b"8~" => Some(Key::End),
        b"5~" => Some(Key::PageUp),
        b"6~" => Some(Key::PageDown),
        _ => None,
    };
    (key, len + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_are_told_from_an_escape() {
        assert_eq!(
            keys(b"\x1b[A\x1bOB\x1b[5~x\x1b"),
            [Key::Up, Key::Down, Key::PageUp, Key::Char('x'), Key::Back]
        );
        assert_eq!(keys(b"\r\tq\x03"), [Key::Enter, Key::Tab, Key::Leave, Key::Leave]);
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        assert_eq!(keys(b"\x1b[<0;3;4M\xc3\xa4s"), [Key::Char('s')]);
        assert_eq!(keys(b"\x1b["), []);
        assert_eq!(keys(b"\x1b[200"), []);
    }
}
