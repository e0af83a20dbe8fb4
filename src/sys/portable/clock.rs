//! The clock that goes on while the machine sleeps: on Windows that of the standard library does.

use std::sync::OnceLock;
use std::time::Instant;

/// When it was asked first. Earlier than any time, so that none before it is asked for.
static START: OnceLock<Instant> = OnceLock::new();

/// Nanoseconds since the program asked first.
pub fn now_ns() -> u64 {
    let ns = START.get_or_init(Instant::now).elapsed().as_nanos();
    // 584 years.
    u64::try_from(ns).unwrap_or(u64::MAX)
}
