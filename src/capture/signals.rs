//! The signals that the program heeds.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The end.
    End,
    /// The next file of each row of files, if there is one.
    NextFiles,
    /// The counters in the log.
    Counters,
}

/// What this one asks for.
pub fn meaning(signal: i32, hangup_ends: bool) -> Meaning {
    match signal {
        SIGUSR1 => Meaning::Counters,
        SIGHUP if !hangup_ends => Meaning::NextFiles,
        _ => Meaning::End,
    }
}

/// Asks for the signals that mean something, but for those that whoever started us ignores, as
/// nohup does with SIGHUP. A second one that means the end ends the program at once, whatever it
/// waits for.
///
/// # Errors
/// When the system does not let us.
pub fn handle(hangup_ends: bool) -> std::io::Result<Signals> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let heeded: Vec<i32> = [SIGINT, SIGTERM, SIGHUP, SIGUSR1]
        .into_iter()
        .filter(|signal| ignored >> (signal - 1) & 1 == 0)
        .collect();
    let ending = Arc::new(AtomicBool::new(false));
    for &signal in heeded.iter().filter(|signal| meaning(**signal, hangup_ends) == Meaning::End) {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&ending))?;
        flag::register(signal, Arc::clone(&ending))?;
    }
    // A file that grows beyond a limit is an error to report, and not a reason to die.
    flag::register(SIGXFSZ, Arc::default())?;
    Signals::new(heeded)
}
