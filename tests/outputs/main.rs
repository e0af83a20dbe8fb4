//! Where packets go: FIFOs, sockets, files, the page, and how streams end.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod encoders;
mod fifo;
mod http;
mod listeners;
mod rotate;
mod shutdown;
