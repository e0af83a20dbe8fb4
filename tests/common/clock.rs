//! A wall clock that a test can set, for the program alone.
#![allow(dead_code)] // each test file uses a part
#![allow(missing_docs)]

use crate::common::{Program, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A wall clock of its own for one program; the machine's is not touched.
pub struct FakeClock {
    file: PathBuf,
    library: PathBuf,
}

impl FakeClock {
    pub fn new(dir: &Path) -> Option<Self> {
        let libraries = std::fs::read_dir("/usr/lib").unwrap().flatten();
        let mut found = libraries
            .map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"))
            .filter(|p| p.exists());
        let Some(library) = found.next() else {
            skip("libfaketime is not installed, so no clock was set");
            return None;
        };
        let clock = Self { file: dir.join("clock"), library };
        clock.set("+0");
        Some(clock)
    }

    /// Sets it so far off the machine's, as in `+3600`.
    pub fn set(&self, offset: &str) {
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{offset}\n")).unwrap();
        std::fs::rename(next, &self.file).unwrap();
    }

    /// What this command starts has this clock.
    pub fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
    }

    pub fn start(&self, args: &[&str]) -> Program {
        let mut command = Program::command();
        command.args(args).stdout(std::process::Stdio::piped());
        self.give_to(&mut command);
        let program = Program::spawn(command);
        program.wait_for("reading mstp");
        program
    }
}
