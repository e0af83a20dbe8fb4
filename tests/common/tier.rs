//! How much is tried, and what is said of tests that did not take place.
//!
//! `SERIALSHARK_TESTS=full` asks for everything at its full length, and whatever this machine lacks
//! for it is a failure: that is what CI runs, as root. Without it tests are quick, and skip what an
//! ordinary user may not do or has not installed. `SERIALSHARK_SKIPPED` names a file in which skipped
//! tests are collected.
#![allow(dead_code)] // each test file uses a part
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Whether everything is to be tried, for as long as it should be.
pub fn full() -> bool {
    let tests = std::env::var("SERIALSHARK_TESTS").unwrap_or_default();
    assert!(["", "quick", "full"].contains(&&*tests), "SERIALSHARK_TESTS is quick or full");
    tests == "full"
}

/// Says that a test, or a part of it, does not take place; in full that is a failure.
pub fn skip(why: &str) {
    assert!(!full(), "SERIALSHARK_TESTS=full, but this cannot be tried here: {why}");
    tell(why);
}

/// Says that a test does not take place for want of something that CI does not install either.
pub fn beyond_ci(why: &str) {
    tell(why);
}

/// Whether this test has to wait for a full run, which is said.
pub fn left_to_full_runs() -> bool {
    if !full() {
        tell("only with SERIALSHARK_TESTS=full");
    }
    !full()
}

/// Past the test harness, which keeps what a test that passes prints.
fn tell(why: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {why}\n", thread.name().unwrap_or("a test"));
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if !told.insert(line.clone()) {
        return;
    }
    // Each in one go, since other tests print too.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("SERIALSHARK_SKIPPED") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("SERIALSHARK_SKIPPED");
    }
}
