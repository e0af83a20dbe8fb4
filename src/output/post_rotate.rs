//! What is done with a capture file when the next one has begun: `-z COMMAND`, `--compress`.
//!
//! As tcpdump does it the command gets the file's name, and runs beside the capture at the lowest
//! priority. Here one runs after the other: a machine that falls behind has no more of them than
//! processors. The thread that starts them waits for nothing else but the next file; at the end it
//! starts what is due, and leaves that alone.

use crate::error::Error;
use crate::sys::Waker;
use crate::sys::process::{Program, lower_priority};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use log::{Level, debug, info, warn};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Files that may wait for the command.
const WAITING: usize = 64;

/// A command and its arguments before the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostRotate(Vec<OsString>);

impl PostRotate {
    /// This command.
    pub fn command(program: OsString) -> Self {
        Self(vec![program])
    }

    /// gzip(1), which puts `FILE.gz` in the place of `FILE`; with `force` also of one that is
    /// there.
    pub fn gzip(force: bool) -> Self {
        let options = if force { "-f" } else { "-q" };
        Self(vec!["gzip".into(), options.into(), "--".into()])
    }

    /// Starts it for a file.
    fn start(&self, file: &Path) -> io::Result<Child> {
        let mut command = Command::new(&self.0[0]);
        // Standard output is for packets.
        command.args(&self.0[1..]).arg(file).stdin(Stdio::null()).stdout(Stdio::null());
        lower_priority(&mut command);
        command.spawn()
    }

    /// Whether it leaves `FILE.gz` where `FILE` was.
    pub fn is_gzip(&self) -> bool {
        Path::new(&self.0[0]).file_name().is_some_and(|name| name == "gzip")
    }

    fn name(&self) -> String {
        self.0[0].display().to_string()
    }
}

/// The thread that runs it for the files of one output.
#[derive(Debug)]
pub struct PostRotator {
    files: Option<Sender<PathBuf>>,
    stop: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
    name: String,
    /// Files that it was not run on, as long as it does not keep up.
    skipped: AtomicU64,
}

impl PostRotator {
    /// Waits for files.
    ///
    /// # Errors
    /// When there is no room for another thread.
    pub fn start(what: PostRotate) -> Result<Self, Error> {
        let cannot = |error| Error::new("-z", "cannot be prepared").because(error);
        let stop = Arc::new(Waker::new().map_err(cannot)?);
        let (files, due) = bounded(WAITING);
        let (name, waker) = (what.name(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("post-rotate".to_owned())
            .spawn(move || run(&what, &due, &waker))
            .map_err(cannot)?;
        Ok(Self {
            files: Some(files),
            stop,
            thread: Some(thread),
            name,
            skipped: AtomicU64::new(0),
        })
    }

    /// A file is complete. Never blocks.
    pub fn file(&self, file: PathBuf) {
        let Some(files) = &self.files else { return };
        let has_caught_up = files.len() <= WAITING / 2;
        if let Err(TrySendError::Full(file)) = files.try_send(file) {
            // Told once: whoever is too slow is so for many.
            if self.skipped.fetch_add(1, Ordering::Relaxed) == 0 {
                warn!("{}: too slow, not run on {}", self.name, file.display());
            }
        } else if has_caught_up {
            let skipped = self.skipped.swap(0, Ordering::Relaxed);
            if skipped > 0 {
                info!("{}: keeps up again; it was not run on {skipped} files", self.name);
            }
        }
    }
}

impl Drop for PostRotator {
    fn drop(&mut self) {
        self.files = None;
        self.stop.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has been told
        }
    }
}

fn run(what: &PostRotate, due: &Receiver<PathBuf>, stop: &Waker) {
    let mut failures = 0_u64;
    for file in due {
        debug!("{} {}", what.name(), file.display());
        let failure = match what.start(&file) {
            Ok(mut child) => {
                // Where its end cannot be waited for beside the waker, the wait below does that.
                if Program::of(&child).is_ok_and(|program| !program.ends_before(stop)) {
                    // The end: it goes on without us.
                    continue;
                }
                let failed = child.wait().ok().filter(|status| !status.success());
                failed
                    .map(|status| Error::new(what.name(), format!("{}: {status}", file.display())))
            }
            Err(error) => Some(Error::new(what.name(), "cannot start").because(error)),
        };
        match failure {
            Some(failure) => {
                // One that fails for each file would fill the log.
                failure.log(if failures == 0 { Level::Warn } else { Level::Debug });
                failures += 1;
            }
            None if std::mem::take(&mut failures) > 1 => {
                info!("{}: works again, with {}", what.name(), file.display());
            }
            None => {}
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn files_are_handled_one_after_the_other_and_the_end_waits_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        let text = "#!/bin/sh\necho \"$1 $(nice)\" >>\"$(dirname \"$0\")/done\"\n\
                    case $1 in */slow) exec sleep 60;; esac\n";
        std::fs::write(&script, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let rotator = PostRotator::start(PostRotate::command(script.into())).unwrap();
        for name in ["a", "b", "slow", "c"] {
            rotator.file(dir.path().join(name));
        }
        let lines = || {
            let done = std::fs::read_to_string(dir.path().join("done")).unwrap_or_default();
            done.lines().count()
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while lines() < 3 {
            assert!(Instant::now() < deadline);
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let start = Instant::now();
        drop(rotator);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        while lines() < 4 {
            assert!(Instant::now() < deadline);
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let done = std::fs::read_to_string(dir.path().join("done")).unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let wanted = ["a", "b", "slow", "c"].map(|name| format!("{} 19\n", path(name)));
        assert_eq!(done, wanted.concat());
    }
}
