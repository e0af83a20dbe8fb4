//! Signals as values on a thread instead of code in a handler.

use crate::sys::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::{flag, low_level};
use std::io;
use std::sync::Arc;

fn number(signal: Signal) -> i32 {
    match signal {
        Signal::Interrupt => SIGINT,
        Signal::Terminate => SIGTERM,
        Signal::Hangup => SIGHUP,
        Signal::User => SIGUSR1,
    }
}

fn signal(number: i32) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| self::number(*signal) == number)
}

/// Signals that were asked for.
pub struct Inbox(Signals);

/// Ends the listening to an [`Inbox`].
pub struct Closer(Handle);

impl Inbox {
    /// Asks for these signals. SIGHUP stays ignored if whoever started us ignores it, as nohup wants it.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn new(wanted: &[Signal]) -> io::Result<Self> {
        let wanted = wanted.iter().map(|signal| number(*signal));
        Signals::new(wanted.filter(|number| *number != SIGHUP || !is_ignored(SIGHUP))).map(Self)
    }

    /// What ends [`listen`](Self::listen).
    pub fn closer(&self) -> Closer {
        Closer(self.0.handle())
    }

    /// Hears the signals until it is closed. Blocks.
    pub fn listen(mut self, mut hear: impl FnMut(Signal)) {
        self.0.forever().filter_map(signal).for_each(&mut hear);
    }
}

impl Closer {
    /// Ends the listening.
    pub fn close(&self) {
        self.0.close();
    }
}

/// From now on a file that grows beyond a limit is an error to report, and not a reason to die.
///
/// # Errors
/// When the system does not let us.
pub fn survive_file_limits() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// Ends the program as if it had never heard of this signal.
pub fn die_by(signal: Signal) {
    // Returns only if it cannot be.
    let _ = low_level::emulate_default_handler(number(signal));
}

#[cfg(target_os = "linux")]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (signal - 1) & 1 == 1
}

/// No safe call tells.
#[cfg(not(target_os = "linux"))]
fn is_ignored(_signal: i32) -> bool {
    false
}

/// Whether a terminal controls this process: field 7 of proc_pid_stat(5), a device number, or 0.
#[cfg(target_os = "linux")]
pub fn has_terminal() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    terminal(&stat).is_some_and(|number| number != 0)
}

/// Whether a terminal controls this process.
#[cfg(not(target_os = "linux"))]
pub fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

#[cfg(target_os = "linux")]
fn terminal(stat: &str) -> Option<i64> {
    // Behind the name of the program, which may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(4)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_is_found_behind_any_name() {
        assert_eq!(terminal("7 (a b) c) S 1 7 7 34816 7 0"), Some(34816));
        assert_eq!(terminal("7 (x) S 1 7 7 0 -1 0"), Some(0));
        assert_eq!(terminal(""), None);
    }
}
