//! A line that is listened to while it is captured: its doctor if it is a trunk, else what can be
//! said of any protocol.

use super::Record;
use super::doctor::{Doctor, Known};
use super::document;
use super::findings::Finding;
use super::general::General;
use crate::framing::Protocol;
use serde_json::{Value, json};

/// What is known of a line so far.
pub enum Live {
    /// An MS/TP trunk.
    Trunk(Box<Doctor>),
    /// A line of another protocol, with its name.
    Other(&'static str, Box<General>),
}

impl Live {
    /// Nothing yet, of a line on which this is spoken.
    pub fn new(protocol: &'static Protocol, known: Known) -> Self {
        if protocol.name == "mstp" {
            Self::Trunk(Box::new(Doctor::new(known)))
        } else {
            Self::Other(
                protocol.name,
                Box::new(General::new(protocol, known.baud.map(|(baud, _)| baud))),
            )
        }
    }

    /// Takes the next packet.
    pub fn push(&mut self, record: &Record<'_>, is_damaged: bool) {
        match self {
            Self::Trunk(doctor) => doctor.push(record),
            Self::Other(_, general) => general.push(record, is_damaged),
        }
    }

    /// The report so far, as `serialshark report --json` has it, and its findings.
    pub fn report(&mut self) -> (Value, Vec<Finding>) {
        match self {
            Self::Trunk(doctor) => {
                let report = doctor.report();
                let document = document::of_trunk(&report);
                (document, report.findings)
            }
            Self::Other(protocol, general) => {
                let mut document = document::of_general(protocol, general);
                document["not_judged"] = json!([]);
                (document, general.findings())
            }
        }
    }

    /// Whether this address was heard. Of a line that is no trunk nobody is known.
    pub fn has_heard(&mut self, mac: u8) -> bool {
        match self {
            Self::Trunk(doctor) => doctor.report().trunk.node(mac).tokens_sent > 0,
            Self::Other(..) => false,
        }
    }
}
