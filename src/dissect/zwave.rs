//! Words for frames of the Z-Wave Serial API.

use super::Words;
use crate::exported_pdu;

/// Words for a frame, such as `request sendData`.
pub fn words(packet: &[u8], intact: bool) -> Words {
    let frame = exported_pdu::split(packet).map_or(packet, |(_, frame)| frame);
    let info = match *frame {
        [0x06] => "ACK".to_owned(),
        [0x15] => "NAK".to_owned(),
        [0x18] => "CAN".to_owned(),
        [0x01, _, kind, function, ..] if intact && kind <= 1 => {
            let kind = if kind == 0 { "request" } else { "response" };
            match name(function) {
                Some(name) => format!("{kind} {name}"),
                None => format!("{kind} of function {function:02x}"),
            }
        }
        _ => "cut off or damaged".to_owned(),
    };
    Words::new(info)
}

/// What the Serial API calls a function.
fn name(function: u8) -> Option<&'static str> {
    Some(match function {
        0x02 => "getInitData",
        0x03 => "setApplicationNodeInformation",
        0x04 => "applicationCommandHandler",
        0x05 => "getControllerCapabilities",
        0x07 => "getSerialApiCapabilities",
        0x08 => "softReset",
        0x0a => "serialApiStarted",
        0x0b => "serialApiSetup",
        0x13 => "sendData",
        0x15 => "getVersion",
        0x20 => "getHomeId",
        0x41 => "getNodeProtocolInfo",
        0x49 => "applicationUpdate",
        0x4a => "addNodeToNetwork",
        0x4b => "removeNodeFromNetwork",
        0x60 => "requestNodeInfo",
        0xa8 => "bridgeApplicationCommandHandler",
        0xa9 => "bridgeSendData",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said() {
        let info = |frame: &[u8], intact| words(frame, intact).info;
        assert_eq!(info(b"\x01\x04\x01\x13\x01\xe8", true), "response sendData");
        assert_eq!(info(b"\x01\x04\x00\xee\x01\xe8", true), "request of function ee");
        assert_eq!(
            (info(b"\x06", true), info(b"\x01\x04\x01", false)),
            ("ACK".into(), "cut off or damaged".into())
        );
    }
}
