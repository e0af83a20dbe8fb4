//! Octets to packets: each framing, recognition, and what Wireshark makes of both.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/contracts.rs"]
mod contracts;

mod detect;
mod framers;
mod golden;
mod line_errors;
mod modbus;
mod radio;
mod sniffers;
mod survey;
mod wire;
