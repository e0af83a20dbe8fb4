//! What is made of safe crates alone, for systems that have nothing better.

pub mod claim;
#[cfg(windows)]
pub mod clock;
pub mod holder;
#[cfg(not(windows))]
pub mod service;
pub mod tty;
pub mod watch;
