//! What systemd hears of a service that it has started: sd_notify(3), and the priorities of log
//! lines, sd-daemon(3). Without systemd nothing of it happens.
//!
//! The protocol is a line of text in a datagram. The crate for it waits when systemd does not
//! read, and knows no abstract addresses, which containers use.

use log::Level;
use rustix::fs::fstat;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Who has started us, and wants to hear.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Manager {
    /// As `$NOTIFY_SOCKET` says.
    pub fn from_env() -> Option<Self> {
        let name = std::env::var_os("NOTIFY_SOCKET")?;
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name).ok()?,
            None => SocketAddr::from_pathname(&name).ok()?,
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, address })
    }

    /// Tells it something such as `READY=1`; never waits.
    pub fn tell(&self, state: &str) {
        // It may be busy, or gone: nothing that we could do about.
        let _ = self.socket.send_to_addr(state.as_bytes(), &self.address);
    }
}

/// Whether systemd has started us and wants to hear. Then there is no terminal to be closed.
pub fn is_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How long it waits for a sign of life before it ends us, if it wants one:
/// sd_watchdog_enabled(3).
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|us| *us > 0).map(Duration::from_micros)
}

/// A message as it goes to stderr. The journal is told its priority in front of each line, and
/// adds the name of the program itself.
pub fn message(level: Level, text: &str) -> String {
    if !stderr_is_the_journal() {
        return format!("serialshark: {text}\n");
    }
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    text.lines().map(|line| format!("<{priority}>{line}\n")).collect()
}

fn stderr_is_the_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    fstat(rustix::stdio::stderr())
        .is_ok_and(|stat| stream.to_str() == Some(&format!("{}:{}", stat.st_dev, stat.st_ino)))
}
