//! The program with a stderr that may be stopped: what it says is in its log file too.
#![allow(missing_docs)]

use crate::common::*;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use rustix::termios::{Action, tcflow};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// How long a line's time is in the log file, with the blank behind it.
const TIME: usize = "2026-01-01 00:00:00.000 ".len();

/// Where stderr leads.
enum Stderr {
    /// A pipe, whose reader reads or not.
    Pipe(OwnedFd),
    /// A terminal: what the program has of it, and what its user sees.
    Terminal(OwnedFd, Pty),
}

/// A running program, ended at the latest when dropped.
pub struct Run {
    pub child: Child,
    log: PathBuf,
    read: u64,
    lines: Vec<String>,
    /// What of the log is no whole line yet.
    part: Vec<u8>,
    stderr: Stderr,
    is_stopped: bool,
    /// What stderr took.
    said: Vec<u8>,
    /// What the process may have at most by itself.
    descriptors: Rlimit,
}

impl Run {
    /// Starts it, with `--log-file` in this directory. Its stderr is a pipe, a pipe that is full
    /// and not read, or a terminal.
    pub fn start(mut command: Command, dir: &Path, random: &mut Random) -> Self {
        let log = dir.join("log");
        command.arg("--log-file").arg(&log).stdin(Stdio::null()).env_remove("RUST_LOG");
        let draw = random.below(4);
        let (stderr, is_stopped) = if draw == 0 {
            let pty = Pty::new();
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let slave = rustix::fs::open(&pty.path, flags, Mode::empty()).unwrap();
            command.stderr(slave.try_clone().unwrap());
            (Stderr::Terminal(slave, pty), false)
        } else {
            let (ours, its) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
            rustix::io::ioctl_fionbio(&ours, true).unwrap();
            if draw == 1 {
                // The same pipe opened once more: the program's end must stay as it is.
                let path = format!("/proc/self/fd/{}", its.as_raw_fd());
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let filler = rustix::fs::open(path, flags, Mode::empty()).unwrap();
                while rustix::io::write(&filler, &[b'\n'; 4096]).is_ok() {}
            }
            command.stderr(its);
            (Stderr::Pipe(ours), draw == 1)
        };
        let child = command.spawn().unwrap();
        drop(command);
        let pid = Pid::from_child(&child);
        let nothing = Rlimit { current: None, maximum: None };
        let mut run = Self {
            child,
            log,
            read: 0,
            lines: Vec::new(),
            part: Vec::new(),
            stderr,
            is_stopped,
            said: Vec::new(),
            descriptors: nothing,
        };
        eventually("the start", || {
            let ended = run.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {:#?}", run.lines());
            run.lines().iter().any(|line| line.contains(": reading ")).then_some(())
        });
        // As many as it has now: getrlimit of another process is prlimit without a new limit.
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero()));
        let limits = limits.unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let mut numbers = line.split_whitespace().skip(3).map(|number| number.parse().ok());
        run.descriptors =
            Rlimit { current: numbers.next().unwrap(), maximum: numbers.next().unwrap() };
        run
    }

    /// From now on it may have this many descriptors, or as many as at first.
    pub fn limit_descriptors(&self, limit: Option<u64>) {
        let Rlimit { current, maximum } = self.descriptors;
        let limit = Rlimit { current: limit.or(current), maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    /// Ctrl-S, or the pipe's reader does something else.
    pub fn stop_stderr(&mut self) {
        if let Stderr::Terminal(slave, _) = &self.stderr
            && !self.is_stopped
        {
            tcflow(slave, Action::OOff).unwrap();
        }
        self.is_stopped = true;
    }

    pub fn resume_stderr(&mut self) {
        if let Stderr::Terminal(slave, _) = &self.stderr
            && self.is_stopped
        {
            tcflow(slave, Action::OOn).unwrap();
        }
        self.is_stopped = false;
    }

    pub fn stderr_is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Reads what stderr took, unless that is stopped. `false` at its end.
    pub fn hear(&mut self) -> bool {
        let mut chunk = [0; 4096];
        while !self.is_stopped {
            let len = match &self.stderr {
                Stderr::Pipe(pipe) => rustix::io::read(pipe, &mut chunk),
                Stderr::Terminal(_, pty) => rustix::io::read(&pty.master, &mut chunk),
            };
            match len {
                Ok(0) => return false,
                Ok(len) => self.said.extend_from_slice(&chunk[..len]),
                Err(Errno::AGAIN) => return true,
                Err(errno) => panic!("{errno}"),
            }
        }
        true
    }

    /// What the log has up to now, without its times.
    pub fn lines(&mut self) -> &[String] {
        if let Ok(mut file) = File::open(&self.log) {
            file.seek(SeekFrom::Start(self.read)).unwrap();
            self.read += file.read_to_end(&mut self.part).unwrap() as u64;
            while let Some(len) = self.part.iter().position(|octet| *octet == b'\n') {
                let line = text(&self.part[..len]);
                self.part.drain(..=len);
                // Of an error's hint, which is a second line, only the first has a time.
                self.lines.push(line.get(TIME..).unwrap_or(&line).to_owned());
            }
        }
        &self.lines
    }

    /// Waits for the `n`th line (from 1) of the log that contains `pattern`.
    pub fn wait_for_nth(&mut self, n: usize, pattern: &str) -> String {
        eventually(&format!("{pattern:?} no. {n} in the log"), || {
            self.hear();
            self.lines().iter().filter(|line| line.contains(pattern)).nth(n - 1).cloned()
        })
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The last of so many threads of this name. A thread has its name only when it runs.
    pub fn thread(&self, name: &str, count: usize) -> u32 {
        let tasks = format!("/proc/{}/task", self.child.id());
        let is_named = |path: PathBuf| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        eventually(&format!("{count} {name} threads"), || {
            let ids = std::fs::read_dir(&tasks)
                .unwrap()
                .flatten()
                .filter(|task| is_named(task.path()))
                .map(|task| task.file_name().to_str().unwrap().parse().unwrap());
            let ids: Vec<u32> = ids.collect();
            (ids.len() == count).then(|| ids.into_iter().max())?
        })
    }

    /// After the end: good lines only, none invented on stderr, and those that it did not take are
    /// told of.
    pub fn check_said(&mut self, status: ExitStatus) {
        self.check_said_but(status, None);
    }

    /// The same, but an output may have failed in the end, with this error.
    pub fn check_said_but(&mut self, status: ExitStatus, failure: Option<&str>) {
        let may_fail = |line: &String| failure.is_some_and(|failure| line.contains(failure));
        let code = i32::from(self.lines().iter().any(may_fail));
        assert_eq!(status.code(), Some(code), "it said {:#?}", self.lines());
        while matches!(self.stderr, Stderr::Pipe(_)) && !self.is_stopped && self.hear() {}
        self.hear();
        let said = text(&self.said);
        let lines = self.lines();
        for line in lines {
            let is_bad = ["panicked", "error:", "log lines are missing"];
            let is_bad = is_bad.iter().any(|bad| line.contains(bad));
            assert!(!is_bad || may_fail(line), "{line}");
        }
        let (mut logged, mut missing, mut there) = (lines.iter(), 0, 0);
        // A terminal has forgotten the live line, which is no line of the log.
        let shown = |line: &'_ str| -> String {
            let line = line.rsplit("\r\x1b[K").next().unwrap_or_default();
            line.trim_end_matches('\r').to_owned()
        };
        let mut heard: Vec<_> = said.split('\n').map(shown).collect();
        let part = heard.pop().unwrap_or_default();
        let heard = heard.into_iter().filter(|line| !line.is_empty());
        for line in heard {
            let line = line.strip_prefix("serialshark: ").unwrap_or(&line);
            if let Some(count) = line.split_once(" log lines are missing here").map(|(count, _)| {
                let (_, count) = count.rsplit_once(' ').unwrap();
                count.parse::<usize>().unwrap()
            }) {
                missing += count;
                assert!(logged.len() >= count, "{line}");
            } else {
                assert!(logged.any(|logged| logged == line), "never logged, or before: {line}");
                there += 1;
            }
        }
        let all = lines.len();
        assert!(there + missing <= all, "{there} lines on stderr, {missing} missing, {all} logged");
        if !self.is_stopped && matches!(self.stderr, Stderr::Pipe(_)) {
            assert_eq!(there + missing, all, "{missing} are said to be missing");
            assert_eq!(part, "", "half a line");
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
