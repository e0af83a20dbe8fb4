//! The platform: what each operating system has, under the same names. Primitives alone; what is
//! made of them, sources, listeners and streams, is elsewhere and the same everywhere.
//!
//! | name | what | Linux | other Unix | Windows |
//! |---|---|---|---|---|
//! | [`clock`] | time since the machine was started, its sleep included | `CLOCK_BOOTTIME` | `CLOCK_MONOTONIC` | performance counter |
//! | [`Waker`] | wakes a thread that waits | eventfd | pipe | event |
//! | [`signals`] | what asks the program to end or to do something | signals | signals | Ctrl-C and its like |
//! | [`process`] | programs that we start: their end | pidfd | `waitid` | handles |
//! | [`shell`] | words of commands that are shown to be copied | sh | sh | cmd |
//! | [`stdio`] | standard input, output and error | descriptors | descriptors | handles |
//! | [`copier`] | writes that never wait, to what may block | pipe and thread | pipe and thread | queue and thread |
//! | `terminal` | the terminal of the program, to draw on | `/dev/tty` | `/dev/tty` | `CONIN$`, `CONOUT$` |
//! | [`service`] | who has started us as a service, and wants to hear | systemd | nobody | service control manager |

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;
pub mod progress;
pub mod refused;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub use linux::{claim, holder, port, service, sink_waiter::SinkWaiter, tty, waker::Waker, watch};
#[cfg(windows)]
pub use portable::clock;
#[cfg(all(unix, not(target_os = "linux")))]
pub use portable::service;
#[cfg(not(target_os = "linux"))]
pub use portable::{claim, holder, tty, watch};
#[cfg(all(feature = "top", unix))]
pub use unix::terminal;
#[cfg(unix)]
pub use unix::{
    clock, copier, descriptors, directory, files, net, os_string, owners, pipe_reader, process,
    shell, signals, sink::Sink, stdio, wait,
};
#[cfg(all(unix, not(target_os = "linux")))]
pub use unix::{port, sink_waiter::SinkWaiter, waker::Waker};
#[cfg(all(feature = "top", windows))]
pub use windows::terminal;
#[cfg(windows)]
pub use windows::{
    copier, descriptors, directory, files, named_pipe, net, os_string, owners, pipe_reader, port,
    process, service, shell, signals, sink::Sink, sink_waiter::SinkWaiter, stdio, wait,
    waker::Waker,
};

use std::io;

/// What asks the program to end, or to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C: SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// The terminal was closed, or whatever else SIGHUP is sent for.
    Hangup,
    /// SIGUSR1.
    User,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Interrupt, Self::Terminate, Self::Hangup, Self::User];
}

/// What a sink has to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// It takes octets, for which was waited.
    pub has_room: bool,
    /// Its reader has gone.
    pub is_gone: bool,
}

/// What the system refuses now and may grant later: the one rule for all outputs and listeners.
///
/// Descriptors, memory and room on a disk come back when others let go of them; an unattended
/// capture outlives that. So a shortage never ends an output: listeners wait and try again,
/// files drop packets, count them and try again with the next one. All other errors stay errors.
///
/// Trouble with a disk itself is among them for files alone: a network file system whose server is
/// away says so, and a disk that was plugged in again. A terminal says `EIO` when it is gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Descriptors or memory: anything may meet that.
    System,
    /// Room on a disk, inodes, a quota; or the disk itself.
    Disk,
}

/// Whether a disk, or a quota on it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether a file has as many octets as its file system or a limit of this process allows.
pub fn is_too_large(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}
