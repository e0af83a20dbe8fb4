//! Packets to figures and findings: reports, the page, the screen, a report each hour.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/other_trunk.rs"]
mod other_trunk;
#[path = "../common/trunk.rs"]
mod trunk;

mod doctor;
mod doctor_by_hand;
mod page;
mod report;
mod rounds;
mod top;
