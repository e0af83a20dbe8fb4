//! Words for packets of Bluetooth's HCI, and what their headers may say (Bluetooth Core, volume 4,
//! part E).

use super::Words;

/// What a packet is.
pub(crate) const COMMAND: u8 = 1;
pub(crate) const ACL: u8 = 2;
pub(crate) const SCO: u8 = 3;
pub(crate) const EVENT: u8 = 4;
pub(crate) const ISO: u8 = 5;

/// The packet behind its direction, if that comes first.
pub(crate) fn without_direction(packet: &[u8]) -> &[u8] {
    match packet {
        [0, 0, 0, 0 | 1, rest @ ..] => rest,
        _ => packet,
    }
}

/// Whether a command may have this opcode: six bits of group, ten of command.
pub(crate) fn is_opcode(opcode: u16) -> bool {
    match opcode >> 10 {
        1..=6 => opcode & 0x3ff < 0xa0,
        8 => opcode & 0x3ff < 0xd0,
        0x3f => true, // a vendor's
        _ => false,
    }
}

/// Whether an event may have so many octets of parameters.
pub(crate) fn may_have(code: u8, len: usize) -> bool {
    let Some((_, least, most, _)) = EVENTS.iter().find(|(known, ..)| *known == code) else {
        return false;
    };
    (usize::from(*least)..=usize::from(*most)).contains(&len)
}

/// Events: code, parameters at least and at most, name.
const EVENTS: [(u8, u8, u8, &str); 60] = [
    (0x01, 1, 1, "Inquiry Complete"),
    (0x02, 15, 255, "Inquiry Result"),
    (0x03, 11, 11, "Connection Complete"),
    (0x04, 10, 10, "Connection Request"),
    (0x05, 4, 4, "Disconnection Complete"),
    (0x06, 3, 3, "Authentication Complete"),
    (0x07, 255, 255, "Remote Name Request Complete"),
    (0x08, 4, 4, "Encryption Change"),
    (0x09, 3, 3, "Change Connection Link Key Complete"),
    (0x0a, 4, 4, "Link Key Type Changed"),
    (0x0b, 11, 11, "Read Remote Supported Features Complete"),
    (0x0c, 8, 8, "Read Remote Version Information Complete"),
    (0x0d, 21, 21, "QoS Setup Complete"),
    (0x0e, 3, 255, "Command Complete"),
    (0x0f, 4, 4, "Command Status"),
    (0x10, 1, 1, "Hardware Error"),
    (0x11, 2, 2, "Flush Occurred"),
    (0x12, 8, 8, "Role Change"),
    (0x13, 5, 253, "Number Of Completed Packets"),
    (0x14, 6, 6, "Mode Change"),
    (0x15, 1, 243, "Return Link Keys"),
    (0x16, 6, 6, "PIN Code Request"),
    (0x17, 6, 6, "Link Key Request"),
    (0x18, 23, 23, "Link Key Notification"),
    (0x19, 3, 255, "Loopback Command"),
    (0x1a, 1, 1, "Data Buffer Overflow"),
    (0x1b, 3, 3, "Max Slots Change"),
    (0x1c, 5, 5, "Read Clock Offset Complete"),
    (0x1d, 5, 5, "Connection Packet Type Changed"),
    (0x1e, 2, 2, "QoS Violation"),
    (0x20, 7, 7, "Page Scan Repetition Mode Change"),
    (0x21, 22, 22, "Flow Specification Complete"),
    (0x22, 15, 255, "Inquiry Result with RSSI"),
    (0x23, 13, 13, "Read Remote Extended Features Complete"),
    (0x2c, 17, 17, "Synchronous Connection Complete"),
    (0x2d, 9, 9, "Synchronous Connection Changed"),
    (0x2e, 11, 11, "Sniff Subrating"),
    (0x2f, 255, 255, "Extended Inquiry Result"),
    (0x30, 3, 3, "Encryption Key Refresh Complete"),
    (0x31, 6, 6, "IO Capability Request"),
    (0x32, 9, 9, "IO Capability Response"),
    (0x33, 10, 10, "User Confirmation Request"),
    (0x34, 6, 6, "User Passkey Request"),
    (0x35, 6, 6, "Remote OOB Data Request"),
    (0x36, 7, 7, "Simple Pairing Complete"),
    (0x38, 4, 4, "Link Supervision Timeout Changed"),
    (0x39, 2, 2, "Enhanced Flush Complete"),
    (0x3b, 10, 10, "User Passkey Notification"),
    (0x3c, 7, 7, "Keypress Notification"),
    (0x3d, 14, 14, "Remote Host Supported Features Notification"),
    (0x3e, 2, 255, "LE Meta"),
    (0x48, 5, 255, "Number Of Completed Data Blocks"),
    (0x4e, 3, 3, "Triggered Clock Capture"),
    (0x4f, 1, 1, "Synchronization Train Complete"),
    (0x50, 29, 29, "Synchronization Train Received"),
    (0x53, 1, 1, "Connectionless Peripheral Broadcast Timeout"),
    (0x54, 7, 7, "Truncated Page Complete"),
    (0x57, 2, 2, "Authenticated Payload Timeout Expired"),
    (0x59, 5, 5, "Encryption Change"),
    (0xff, 1, 255, "of the vendor"),
];

/// Words for a packet, such as `command 0C03` or `Command Complete for 0C03, status 00`.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let packet = without_direction(packet);
    let info = said(packet, intact).unwrap_or_else(|| "cut off or damaged".to_owned());
    let (host, controller) = ("host".to_owned(), "controller".to_owned());
    let (source, destination) = match packet.first() {
        Some(&COMMAND) => (Some(host), Some(controller)),
        Some(&EVENT) => (Some(controller), Some(host)),
        _ => (None, None),
    };
    Words { source, destination, info, is_routine: false }
}

fn said(packet: &[u8], intact: bool) -> Option<String> {
    let word = |low: u8, high: u8| u16::from_le_bytes([low, high]);
    Some(match *packet {
        [COMMAND, low, high, len, ..] => {
            format!("command {:04X}, {len} bytes", word(low, high))
        }
        [EVENT, 0x0e, len, _, low, high, ref status @ ..] if intact => {
            let opcode = word(low, high);
            match status.first().filter(|_| len > 3) {
                Some(status) => format!("Command Complete for {opcode:04X}, status {status:02X}"),
                None => format!("Command Complete for {opcode:04X}"),
            }
        }
        [EVENT, 0x0f, _, status, _, low, high] if intact => {
            format!("Command Status for {:04X}, status {status:02X}", word(low, high))
        }
        [EVENT, 0x3e, _, kind, ..] if intact => format!("event LE Meta {kind:02X}"),
        [EVENT, code, len, ..] => {
            let name = EVENTS.iter().find(|(known, ..)| *known == code)?.3;
            format!("event {name}, {len} bytes")
        }
        [kind @ (ACL | ISO), low, high, len_low, len_high, ..] => {
            let kind = if kind == ACL { "ACL" } else { "ISO" };
            let handle = word(low, high) & 0x0fff;
            format!("{kind} data of {handle:03X}, {} bytes", word(len_low, len_high) & 0x3fff)
        }
        [SCO, low, high, len, ..] => {
            format!("SCO data of {:03X}, {len} bytes", word(low, high) & 0x0fff)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_in_words() {
        let said = |packet: &[u8]| {
            let words = words(packet, true);
            format!("{} {}", words.addresses(), words.info)
        };
        assert_eq!(said(b"\x01\x03\x0c\0"), "host > controller command 0C03, 0 bytes");
        let complete = said(b"\0\0\0\x01\x04\x0e\x04\x01\x03\x0c\0");
        assert_eq!(complete, "controller > host Command Complete for 0C03, status 00");
        let status = said(b"\x04\x0f\x04\x02\x01\x05\x04");
        assert_eq!(status, "controller > host Command Status for 0405, status 02");
        let acl = words(b"\x02\x40\x20\x01\0\x07", true);
        assert_eq!((acl.addresses(), acl.info), (String::new(), "ACL data of 040, 1 bytes".into()));
        assert_eq!(words(b"\x04\x99\x01", true).info, "cut off or damaged");
    }

    #[test]
    fn events_are_listed_once() {
        assert!(EVENTS.is_sorted_by(|one, next| one.0 < next.0));
    }
}
