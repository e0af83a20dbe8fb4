//! Words for records of LIN frames (`LINKTYPE_LIN`).

use super::Words;
use crate::hex::hex;

/// Before the data.
const HEADER_LEN: usize = 8;

/// Words for a frame, such as `id 35 11 22`.
pub fn words(record: &[u8], _intact: bool) -> Words {
    let Some((&[_, _, _, _, kind, pid, _, _], data)) = record.split_first_chunk::<HEADER_LEN>()
    else {
        return Words::new("cut off in its header");
    };
    let mut info = format!("id {}", pid & 0x3f);
    if !data.is_empty() {
        info.push(' ');
        info.push_str(&hex(data, " "));
    }
    info.push_str(match (kind & 3, data) {
        (_, []) => ", no response",
        (1, _) => ", classic",
        (2, _) => ", enhanced",
        _ => "",
    });
    Words::new(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_its_id_and_its_data() {
        let frame = [1, 0, 0, 0, 0x22, 0xa3, 0x29, 0, 0x11, 0x22];
        assert_eq!(words(&frame, true).info, "id 35 11 22, enhanced");
        assert_eq!(words(&[1, 0, 0, 0, 0, 0xa3, 0, 1], true).info, "id 35, no response");
        assert_eq!(words(&frame[..7], true).info, "cut off in its header");
    }
}
