//! A machine that nobody visits: the service, its configuration and package, and other users.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/clock.rs"]
mod clock;
#[path = "../common/mod.rs"]
mod common;

mod config;
mod packaging;
mod trust;
mod unattended;
