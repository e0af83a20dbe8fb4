//! A disk that stalls: one thread's writes to it take as long as this lives.
#![allow(missing_docs)]

use crate::common::*;
use std::process::{Child, Stdio};

/// A thread that is held where it enters the kernel to write. Goes on when this is dropped.
pub struct Stall(Child);

impl Stall {
    /// `None` where strace is missing, or may not do that.
    pub fn of(thread: u32) -> Option<Self> {
        let mut command = tool("strace")?;
        const CALLS: &str = "write,fdatasync";
        command.args(["-q", "-o", "/dev/null", "-e", &format!("trace={CALLS}")]);
        command.args(["-e", &format!("inject={CALLS}:delay_enter=100000000")]);
        command.args(["-p", &thread.to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut stall = Self(command.spawn().unwrap());
        let status = format!("/proc/{thread}/status");
        let is_held = eventually("strace to begin", || {
            if stall.0.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let status = std::fs::read_to_string(&status).ok()?;
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:\t"))?;
            (tracer != "0").then_some(true)
        });
        if !is_held {
            skip("strace is not allowed here, so no disk stalled");
        }
        is_held.then_some(stall)
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        // The kernel lets go of the thread.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
