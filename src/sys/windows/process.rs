//! Programs that we start.

use super::ffi::registry::{Hive, text};
use super::ffi::wait_any;
use crate::sys::Waker;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::io::{AsHandle as _, OwnedHandle};
use std::os::windows::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use windows_sys::Win32::System::Threading::{
    CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, IDLE_PRIORITY_CLASS,
};

/// What a program exits with that Ctrl-C has ended.
const CONTROL_C_EXIT: i32 = 0xc000_013a_u32.cast_signed();

/// A program that was started, beside its [`Child`].
#[derive(Debug)]
pub struct Program {
    handle: OwnedHandle,
    id: u32,
}

impl Program {
    /// That of this child.
    ///
    /// # Errors
    /// When there is no memory left for it.
    pub fn of(child: &Child) -> io::Result<Self> {
        Ok(Self { handle: child.as_handle().try_clone_to_owned()?, id: child.id() })
    }

    /// Waits until it has ended; `false` when the waker is woken first.
    pub fn ends_before(&self, stop: &Waker) -> bool {
        let woken = wait_any(&[self.handle.as_handle(), stop.as_handle()], None);
        woken.is_ok_and(|woken| woken == Some(0))
    }

    /// Waits until it has ended; `false` when `time` has passed first.
    pub fn ends_within(&self, time: Duration) -> bool {
        wait_any(&[self.handle.as_handle()], Some(time)).is_ok_and(|woken| woken.is_some())
    }

    /// Asks it to end, as if its window were closed: it may ask its user what to do with what is
    /// in it.
    pub fn ask_to_end(&self) {
        let mut ask = Command::new("taskkill");
        ask.arg("/PID").arg(self.id.to_string());
        ask.creation_flags(CREATE_NO_WINDOW);
        ask.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = ask.status();
    }
}

/// The command will have the lowest priority.
pub fn lower_priority(command: &mut Command) {
    command.creation_flags(IDLE_PRIORITY_CLASS);
}

/// Ctrl-C in the console that we share will not reach it.
pub fn detach(command: &mut Command) {
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

/// Whether it has ended as it was told to.
pub fn was_told_to_end(status: ExitStatus) -> bool {
    status.code() == Some(CONTROL_C_EXIT)
}

/// Whether this file can be run, or would be with `.exe` behind its name.
pub fn is_program(file: &Path) -> bool {
    file.is_file() || file.extension().is_none() && file.with_extension("exe").is_file()
}

/// Where a program is that is in no directory of `PATH`, such as Wireshark: as its installer has
/// registered it, or in a folder of its name where programs are.
pub fn registered(program: &OsStr) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.components().count() != 1 {
        return None;
    }
    let file = path.with_extension("exe");
    let key = format!(r"SOFTWARE\Microsoft\Windows\CurrentVersion\App Paths\{}", file.display());
    let known = [Hive::User, Hive::Machine].into_iter().filter_map(|hive| text(hive, &key));
    let folders = ["ProgramFiles", "ProgramW6432"].into_iter().filter_map(std::env::var_os);
    let usual = folders.map(|folder| Path::new(&folder).join(path.with_extension("")).join(&file));
    known.map(PathBuf::from).chain(usual).find(|file| file.is_file())
}

/// What this machine is called.
pub fn hostname() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

/// What a program is called, wherever it is.
pub fn bare_name(program: &OsStr) -> OsString {
    Path::new(program).file_stem().unwrap_or(program).to_ascii_lowercase()
}

/// Whether there is a screen for a window: always.
pub fn has_screen() -> bool {
    true
}
