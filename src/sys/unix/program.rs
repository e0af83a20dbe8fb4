//! The end of a program that we have started, where there is no descriptor for it.

use crate::sys::Waker;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::io;
use std::process::Child;
use std::time::{Duration, Instant};

/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// A program that was started, beside its [`Child`], which must not have been waited for.
#[derive(Debug)]
pub struct Program(Pid);

impl Program {
    /// That of this child.
    ///
    /// # Errors
    /// None here.
    pub fn of(child: &Child) -> io::Result<Self> {
        Ok(Self(Pid::from_child(child)))
    }

    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.0), options), Ok(None))
    }

    /// Waits until it has ended; `false` when the waker is woken first.
    pub fn ends_before(&self, stop: &Waker) -> bool {
        loop {
            if self.has_ended() {
                return true;
            }
            if stop.wait(LOOK) {
                return false;
            }
        }
    }

    /// Waits until it has ended; `false` when `time` has passed first.
    pub fn ends_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            if self.has_ended() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        if !self.has_ended() {
            let _ = kill_process(self.0, Signal::TERM);
        }
    }
}
