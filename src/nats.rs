//! NATS with JetStream: the store of many lines. What both ends need: an address, a connection, and
//! how a stream of packets is cut into messages.
//!
//! A trunk has a subject, `serialshark.SITE.TRUNK.packets`, and each message on it is a pcapng capture by
//! itself: section header, interface, and the packets of a tenth of a second. So any of them can be
//! read without the others, and a store that has deleted old ones can be read from where it begins.
//! `output::nats` publishes, `source::nats` reads, `fleet` reads them all.

pub mod address;
#[cfg(all(target_os = "linux", feature = "nats"))]
pub mod batch;
#[cfg(all(target_os = "linux", feature = "nats"))]
pub mod connection;
pub mod query;
