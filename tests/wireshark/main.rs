//! Wireshark itself: tshark, its window, its list of interfaces.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/desk.rs"]
mod desk;
#[path = "../common/wireshark.rs"]
mod wireshark;

mod extcap;
mod extcap_window;
mod tshark;
mod viewer;
mod wireshark_window;
