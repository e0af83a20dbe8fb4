//! Where octets come from: ttys, their errors, sockets, files, several at once, adapters.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod hardware;
mod port_errors;
mod serial;
mod several;
mod sources;
