//! Programs that we start.

use rustix::process::{Signal, setpriority_process};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

#[cfg(not(target_os = "linux"))]
pub use super::program::Program;
#[cfg(target_os = "linux")]
pub use crate::sys::linux::process::Program;

/// The lowest priority, as nice(1) counts it.
const NICE: i32 = 19;

/// From here on this thread, and what it starts, has the lowest priority. Best effort: all runs
/// without it.
pub fn lower_priority(_command: &mut Command) {
    // Elsewhere it would be that of the whole process.
    if cfg!(target_os = "linux") {
        let _ = setpriority_process(None, NICE);
    }
}

/// Ctrl-C in the terminal that we share will not reach it.
pub fn detach(command: &mut Command) {
    command.process_group(0);
}

/// Whether it has ended as it was told to, by Ctrl-C in the terminal or by [`Program::ask_to_end`].
pub fn was_told_to_end(status: ExitStatus) -> bool {
    let told = [Signal::INT, Signal::TERM, Signal::HUP].map(Signal::as_raw);
    status.signal().is_some_and(|signal| told.contains(&signal))
}

/// Whether this file can be run.
pub fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Where a program is that is in no directory of `PATH`: nobody keeps a list.
pub fn registered(_program: &OsStr) -> Option<PathBuf> {
    None
}

/// The machine's own name, as uname(2) has it.
pub fn hostname() -> Option<String> {
    rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
}

/// What a program is called, wherever it is.
pub fn bare_name(program: &OsStr) -> OsString {
    Path::new(program).file_name().unwrap_or(program).to_owned()
}

/// Whether there is a screen for a window.
pub fn has_screen() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}
