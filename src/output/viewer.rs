//! Wireshark as a program that we start, on a FIFO in a directory of its own (`--wireshark`).
//!
//! It ends with us and we end with it, so that nothing stays behind on either side. It gets the
//! arguments that it needs to begin at once: `-k -i FIFO`; those of its family that have no window
//! (tshark and such) know no `-k`.
//!
//! Ctrl-C in our terminal is for us alone: a program with a window has a process group of its own.
//! At the end first its stream is closed, so that its dumpcap ends, and then it is asked to go.

use crate::error::Error;
use crate::sys::Waker;
use crate::sys::process::{
    Program, bare_name, detach, has_screen, is_program, registered, was_told_to_end,
};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What starts where no program is named.
pub const WIRESHARK: &str = "wireshark";

/// Programs that show packets in a terminal: they take `-i` but no `-k`.
const IN_TERMINAL: [&str; 3] = ["tshark", "dumpcap", "termshark"];

/// What programs that end with their input may take for it.
const AT_THE_END_OF_ITS_STREAM: Duration = Duration::from_millis(300);

/// Why a program cannot be started here, and text is printed instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no such program.
    Program,
    /// It has a window, and there is no screen.
    Screen,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Program if cfg!(windows) => {
                "is not installed, or elsewhere (--wireshark=PATH names it)"
            }
            Self::Program => "is not installed (on Debian: sudo apt install wireshark)",
            Self::Screen => "needs a screen, but neither DISPLAY nor WAYLAND_DISPLAY is set",
        })
    }
}

/// Whether this program can be started: found, and with a screen if it needs one.
///
/// # Errors
/// What is missing.
pub fn check(program: &OsStr) -> Result<(), Missing> {
    if find(program).is_none() {
        return Err(Missing::Program);
    }
    if !is_in_terminal(program) && !has_screen() {
        return Err(Missing::Screen);
    }
    Ok(())
}

/// Whether there is such a program.
pub fn is_installed(program: &OsStr) -> bool {
    find(program).is_some()
}

/// What to start for this program: itself, or where the system knows it to be.
fn find(program: &OsStr) -> Option<PathBuf> {
    if is_found(program, &std::env::var_os("PATH").unwrap_or_default()) {
        return Some(program.into());
    }
    registered(program)
}

fn is_found(program: &OsStr, path: &OsStr) -> bool {
    if Path::new(program).components().count() > 1 {
        return is_program(Path::new(program));
    }
    std::env::split_paths(path).any(|directory| is_program(&directory.join(program)))
}

fn is_in_terminal(program: &OsStr) -> bool {
    let name = bare_name(program);
    IN_TERMINAL.iter().any(|known| name == *known)
}

/// A directory that only we can enter, removed at the end. On Windows, where pipes are not in
/// directories, what their names begin with.
#[derive(Debug)]
pub struct Directory(PathBuf);

#[cfg(windows)]
impl Directory {
    /// One of this process.
    ///
    /// # Errors
    /// None.
    pub fn make() -> Result<Self, Error> {
        Ok(Self(format!(r"\\.\pipe\serialshark-{}-", std::process::id()).into()))
    }

    /// The name of a pipe in it.
    pub fn join(&self, name: &str) -> PathBuf {
        let mut path = self.0.clone().into_os_string();
        path.push(name);
        path.into()
    }
}

#[cfg(unix)]
impl Directory {
    /// Makes one where such things belong.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn make() -> Result<Self, Error> {
        let parent = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let parent = parent.filter(|parent| parent.is_dir()).unwrap_or_else(std::env::temp_dir);
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let mut number = 0;
        loop {
            let path = parent.join(format!("serialshark-{}-{number}", std::process::id()));
            match builder.create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left by another one, or put there by somebody.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    return Err(Error::new(path.display(), "cannot make the directory")
                        .because(error)
                        .hint("set TMPDIR to a directory that you may write to"));
                }
            }
        }
    }

    /// The path of a file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

#[cfg(unix)]
impl Drop for Directory {
    fn drop(&mut self) {
        // What is in it belongs to somebody else, or is gone.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The program that shows the packets, while it runs.
#[derive(Debug)]
pub struct Viewer {
    name: String,
    child: Mutex<Child>,
    program: Program,
}

impl Viewer {
    /// Starts it on this FIFO. It may read the keyboard only if it has no window.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &OsStr, fifo: &Path) -> Result<Self, Error> {
        let name = Path::new(program).display().to_string();
        let cannot = |error| Error::new(&name, "cannot start").because(error);
        let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
        command.args(arguments(program, fifo)).stdin(Stdio::null());
        if !is_in_terminal(program) {
            detach(&mut command);
        }
        let mut child = command.spawn().map_err(cannot)?;
        let running = Program::of(&child).map_err(|error| {
            let _ = child.kill();
            let _ = child.wait();
            cannot(error)
        })?;
        Ok(Self { name, child: Mutex::new(child), program: running })
    }

    /// What to call it in a message.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until it ends; `None` when the waker is woken first.
    pub fn wait(&self, stop: &Waker) -> Option<Result<(), Error>> {
        self.program.ends_before(stop).then(|| self.judge())
    }

    /// Its stream has ended: waits a little for it to see that, then asks it to end, and gives it a
    /// moment for that. One that takes longer is left alone: it may ask its user what to do with
    /// the packets.
    pub fn end(&self, moment: Duration) {
        if !self.program.ends_within(AT_THE_END_OF_ITS_STREAM) {
            self.program.ask_to_end();
            self.program.ends_within(moment);
        }
        let _ = self.child().try_wait();
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has ended: well, or as it was told to, or not.
    fn judge(&self) -> Result<(), Error> {
        let status = self.child().wait();
        match status {
            Ok(status) if status.success() || was_told_to_end(status) => Ok(()),
            Ok(status) => Err(Error::new(&self.name, format!("ended with {status}"))
                .hint("its messages are above; without --wireshark packets are printed")),
            Err(error) => Err(Error::new(&self.name, "cannot be waited for").because(error)),
        }
    }
}

fn arguments(program: &OsStr, fifo: &Path) -> Vec<OsString> {
    let begin = if is_in_terminal(program) { None } else { Some("-k".into()) };
    begin.into_iter().chain(["-i".into(), fifo.into()]).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_window_begins_at_once_and_a_terminal_knows_no_k() {
        let fifo = Path::new("/run/f");
        assert_eq!(arguments(OsStr::new("wireshark"), fifo), ["-k", "-i", "/run/f"]);
        assert_eq!(arguments(OsStr::new("/opt/ws/bin/wireshark"), fifo), ["-k", "-i", "/run/f"]);
        assert_eq!(arguments(OsStr::new("/usr/bin/tshark"), fifo), ["-i", "/run/f"]);
    }

    #[test]
    fn a_program_is_found_by_name_or_by_path() {
        let path = OsStr::new("/nowhere:/bin:/usr/bin");
        assert!(is_found(OsStr::new("sh"), path));
        assert!(is_found(OsStr::new("/bin/sh"), OsStr::new("")));
        assert!(!is_found(OsStr::new("sh"), OsStr::new("/nowhere")));
        assert!(!is_found(OsStr::new("/bin"), path), "a directory");
        assert!(!is_found(OsStr::new("/etc/passwd"), path), "not to be run");
    }

    #[test]
    fn a_directory_is_ours_alone_and_goes_at_the_end() {
        let directory = Directory::make().unwrap();
        let path = directory.join("x").parent().unwrap().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let other = Directory::make().unwrap();
        assert_ne!(other.join("x"), directory.join("x"));
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn its_end_is_seen_and_so_is_ours() {
        let waker = Waker::new().unwrap();
        let start = |program: &Path, fifo: &Path| Viewer::start(program.as_os_str(), fifo).unwrap();
        let nowhere = Path::new("/nowhere");
        assert_eq!(start(Path::new("true"), nowhere).wait(&waker), Some(Ok(())));
        let error = start(Path::new("false"), nowhere).wait(&waker).unwrap().unwrap_err();
        assert!(error.to_string().contains("ended with exit status: 1"), "{error}");
        // `sort -i FIFO` waits for a writer.
        let directory = Directory::make().unwrap();
        let [program, fifo] = ["tshark", "fifo"].map(|name| directory.join(name));
        std::os::unix::fs::symlink("/usr/bin/sort", &program).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        let for_ever = start(&program, &fifo);
        waker.wake();
        assert_eq!(for_ever.wait(&waker), None);
        for_ever.end(Duration::from_secs(10));
        assert!(was_told_to_end(for_ever.child().wait().unwrap()));
        std::fs::remove_file(program).unwrap();
        std::fs::remove_file(fifo).unwrap();
    }
}
