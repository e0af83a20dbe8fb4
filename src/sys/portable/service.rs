//! Who starts services and wants to hear of them: nobody, where there is no systemd.

use log::Level;
use std::time::Duration;

/// Who has started us, and wants to hear: there is none.
#[derive(Debug)]
pub enum Manager {}

impl Manager {
    /// None.
    pub fn from_env() -> Option<Self> {
        None
    }

    /// Tells it something.
    pub fn tell(&self, _state: &str) {
        match *self {}
    }
}

/// Whether somebody has started us and wants to hear.
pub fn is_manager() -> bool {
    false
}

/// How long it waits for a sign of life before it ends us, if it wants one.
pub fn watchdog() -> Option<Duration> {
    None
}

/// A message as it goes to stderr.
pub fn message(_level: Level, text: &str) -> String {
    format!("serialshark: {text}\n")
}
