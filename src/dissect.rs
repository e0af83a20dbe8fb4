//! Words for packets: who speaks to whom, and what is said, in one short line.
//!
//! Pure, and for people who read text: Wireshark has the fields. A dissector takes a packet as
//! it is recorded and says what it is sure of; of a damaged one no more than what its header
//! says. One file for each protocol.

pub mod at;
pub mod ax25;
pub mod bacnet;
pub mod can;
pub mod cmux;
pub mod dlms;
pub mod dmx;
pub mod dnp3;
pub mod ebus;
pub mod h4;
pub mod iec101;
pub mod ip;
pub mod knx;
pub mod lin;
pub mod mbus;
pub mod modbus;
pub mod mstp;
pub mod nmea;
mod octets;
pub mod p1;
pub mod ppp;
pub mod profibus;
pub mod raw;
pub mod rdm;
pub mod wpan;
pub mod zniffer;
pub mod zwave;

use crate::printable::printable;

/// What a line of text says about a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The sender's address, if the packet names one.
    pub source: Option<String>,
    /// The receiver's address, if the packet names one.
    pub destination: Option<String>,
    /// What is said, such as `readProperty AI 1 present-value`.
    pub info: String,
    /// Whether it only keeps the network going, as a token does: many, and all alike.
    pub is_routine: bool,
}

impl Words {
    /// A packet that names no addresses.
    pub fn new(info: impl Into<String>) -> Self {
        Self { info: info.into(), ..Self::default() }
    }

    /// The addresses, such as `5 > 16`; empty if the packet names none.
    pub fn addresses(&self) -> String {
        match (&self.source, &self.destination) {
            (Some(source), Some(destination)) => format!("{source} > {destination}"),
            (Some(source), None) => source.clone(),
            (None, Some(destination)) => format!("> {destination}"),
            (None, None) => String::new(),
        }
    }
}

/// Text from the line, safe to show in a line of its own.
fn text(octets: &[u8]) -> String {
    printable(&String::from_utf8_lossy(octets)).into_owned()
}

/// Words for a packet as it is recorded; with `intact` false its octets may be wrong or missing.
pub type Dissector = fn(data: &[u8], intact: bool) -> Words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_far_as_they_are_known() {
        let words = |source: Option<&str>, destination: Option<&str>| Words {
            source: source.map(Into::into),
            destination: destination.map(Into::into),
            ..Words::default()
        };
        assert_eq!(words(Some("5"), Some("16")).addresses(), "5 > 16");
        assert_eq!(words(None, Some("16")).addresses(), "> 16");
        assert_eq!(words(Some("5"), None).addresses(), "5");
        assert_eq!(words(None, None).addresses(), "");
    }
}
