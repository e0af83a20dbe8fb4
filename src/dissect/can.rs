//! Words for CAN frames as SocketCAN has them.
//!
//! ```text
//! flags and identifier (4) | length | flags of CAN FD | 0 0 | data
//! ```

use super::Words;
use std::fmt::Write as _;

/// Flags of an identifier.
const EXTENDED: u32 = 0x8000_0000;
const REMOTE: u32 = 0x4000_0000;
/// The flag of CAN FD.
const FD: u8 = 0x04;

/// Words for a frame, such as `123 [2] aa 55`.
pub fn words(packet: &[u8], _intact: bool) -> Words {
    let Some((&[a, b, c, d, len, flags, _, _], data)) = packet.split_first_chunk::<8>() else {
        return Words::new("cut off in its header");
    };
    let id = u32::from_be_bytes([a, b, c, d]);
    let number = id & 0x1fff_ffff;
    let id_text =
        if id & EXTENDED == 0 { format!("{number:03x}") } else { format!("{number:08x}") };
    let mut info = format!("{id_text}{} [{len}]", if flags & FD == 0 { "" } else { " FD" });
    if id & REMOTE != 0 {
        info.push_str(" remote request");
    }
    for octet in data.iter().take(usize::from(len)) {
        let _ = write!(info, " {octet:02x}");
    }
    Words::new(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        let info = |frame: &[u8]| words(frame, true).info;
        assert_eq!(info(b"\0\0\x01\x23\x02\0\0\0\xaa\x55"), "123 [2] aa 55");
        assert_eq!(info(b"\x92\xab\xcd\xef\x01\x04\0\0\xaa"), "12abcdef FD [1] aa");
        assert_eq!(info(b"\x40\0\x01\x23\x08\0\0\0"), "123 [8] remote request");
        assert_eq!(info(b"\0\0"), "cut off in its header");
    }
}
