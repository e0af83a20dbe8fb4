//! The signals that the program heeds, and what each asks for.
//!
//! - SIGINT, SIGTERM: the end. It has [`GRACE`], however many of them come meanwhile: a shell that
//!   closes its terminal, `timeout` and logind send two in a moment. One that comes later kills,
//!   whatever the program waits for.
//! - SIGHUP: the terminal was closed, and that is the end too; or somebody asks for the next files,
//!   where there are several, or a service is reloaded. What it was the kernel tells: a process
//!   whose terminal was hung up has none any more.
//! - SIGUSR1: the counters in the log.
//!
//! Of those that whoever started us ignores, only SIGHUP stays ignored, as nohup wants it. A
//! shell that starts a command in the background ignores SIGINT for it as well; but a capture
//! without its trailers helps nobody.

use super::GRACE;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::{SigId, flag, low_level};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

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

/// The signals that were asked for.
pub struct Heeded {
    signals: Signals,
    /// Lets a second signal kill, as long as nobody hears the first.
    unheard: Vec<SigId>,
    /// Whether SIGHUP asks for the next files, if the terminal is still there.
    hangup_reloads: bool,
    /// Whether there was a terminal to be closed.
    had_terminal: bool,
}

/// Asks for the signals that mean something. Until somebody [listens](Heeded::listen) a second
/// one ends the program at once. With `hangup_reloads` there is something that SIGHUP begins anew.
///
/// # Errors
/// When the system does not let us.
pub fn handle(hangup_reloads: bool) -> std::io::Result<Heeded> {
    let mut heeded = vec![SIGINT, SIGTERM, SIGUSR1];
    if !is_ignored(SIGHUP) {
        heeded.push(SIGHUP);
    }
    let second = Arc::new(AtomicBool::new(false));
    let mut unheard = Vec::new();
    for signal in [SIGINT, SIGTERM] {
        unheard.push(flag::register_conditional_shutdown(signal, 1, Arc::clone(&second))?);
        unheard.push(flag::register(signal, Arc::clone(&second))?);
    }
    // A file that grows beyond a limit is an error to report, and not a reason to die.
    flag::register(SIGXFSZ, Arc::default())?;
    let signals = Signals::new(heeded)?;
    Ok(Heeded { signals, unheard, hangup_reloads, had_terminal: has_terminal() })
}

impl Heeded {
    /// Ends [`listen`](Self::listen).
    pub fn handle(&self) -> Handle {
        self.signals.handle()
    }

    /// Hears the signals, until the handle is closed. Blocks.
    pub fn listen(mut self, mut hear: impl FnMut(i32, Meaning)) {
        for id in self.unheard.drain(..) {
            low_level::unregister(id);
        }
        let mut end: Option<Instant> = None;
        for signal in self.signals.forever() {
            let closed = || self.had_terminal && !has_terminal();
            let meaning = meaning(signal, self.hangup_reloads && !closed());
            if meaning == Meaning::End {
                let first = *end.get_or_insert_with(Instant::now);
                if signal != SIGHUP && first.elapsed() > GRACE {
                    // Returns only if it cannot be.
                    let _ = low_level::emulate_default_handler(signal);
                }
            }
            hear(signal, meaning);
        }
    }
}

fn meaning(signal: i32, hangup_reloads: bool) -> Meaning {
    match signal {
        SIGUSR1 => Meaning::Counters,
        SIGHUP if hangup_reloads => Meaning::NextFiles,
        _ => Meaning::End,
    }
}

fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (signal - 1) & 1 == 1
}

/// Whether a terminal controls this process: field 7 of proc_pid_stat(5), a device number, or 0.
fn has_terminal() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    terminal(&stat).is_some_and(|number| number != 0)
}

fn terminal(stat: &str) -> Option<i64> {
    // Behind the name of the program, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_is_found_behind_any_name() {
        assert_eq!(terminal("7 (a b) c) S 1 7 7 34816 7 0"), Some(34816));
        assert_eq!(terminal("7 (x) S 1 7 7 0 -1 0"), Some(0));
        assert_eq!(terminal(""), None);
    }

    #[test]
    fn signals_have_their_meanings() {
        assert_eq!(meaning(SIGHUP, false), Meaning::End);
        assert_eq!(meaning(SIGHUP, true), Meaning::NextFiles);
        assert_eq!(meaning(SIGTERM, true), Meaning::End);
        assert_eq!(meaning(SIGUSR1, true), Meaning::Counters);
    }
}
