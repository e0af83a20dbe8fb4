//! Servers that keep packets or figures of many machines: NATS, MQTT, the page of a fleet.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/certificates.rs"]
mod certificates;
#[path = "../common/clock.rs"]
mod clock;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/nats_server.rs"]
mod nats_server;
#[path = "../common/wireshark.rs"]
mod wireshark;

mod extcap_nats;
mod fleet;
mod leaf;
mod mqtt;
mod nats;
