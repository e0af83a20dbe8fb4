//! A tty as a serial port, as far as all systems of the Unix family have it; Linux has its own.
//! Its lines DTR and RTS stay as the system has them, which raises them.

use super::termios::make_raw;
use super::wait::timespec;
use crate::error::{Error, words};
use crate::line::{Line, Settings};
use crate::line_errors::LineError;
use crate::sys::Waker;
use crate::sys::refused::{Refused, known_ports};
use crate::sys::tty::Identity;
use crate::sys::wait::Woken;
use log::warn;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, QueueSelector, isatty, tcflush, tcgetattr, tcsetattr};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

/// An open port.
#[derive(Debug)]
pub struct Port {
    fd: OwnedFd,
    stop: OwnedFd,
}

/// What a port is, without opening it.
///
/// # Errors
/// When it is missing.
pub fn examine(path: &Path) -> Result<Identity, Refused> {
    match rustix::fs::stat(path) {
        Ok(_) => Ok(Identity::of(path)),
        Err(Errno::NOENT) => Err(Refused::Missing(Errno::NOENT.into())),
        Err(errno) => Err(Refused::Wrong(Error::new(path.display(), "cannot open").because(errno))),
    }
}

impl Port {
    /// Opens it by its path, locks it, and sets it up.
    ///
    /// # Errors
    /// When it is missing, no tty, not ours to open, or used by another program.
    pub fn open(path: &Path, settings: &Settings, stop: &Waker) -> Result<Self, Refused> {
        let name = path.display();
        let wrong = |what: &str, errno: Errno| {
            Refused::Wrong(Error::new(path.display(), what).because(errno))
        };
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(errno @ (Errno::NOENT | Errno::NXIO | Errno::NODEV)) => {
                return Err(Refused::Missing(errno.into()));
            }
            Err(Errno::BUSY) => return Err(Refused::Busy(None)),
            Err(errno) => return Err(wrong("cannot open", errno)),
        };
        if !isatty(&fd) {
            let error = Error::new(name, "is not a serial port").hint(known_ports());
            return Err(Refused::Wrong(error));
        }
        if flock(&fd, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(Refused::Busy(None));
        }
        set_raw(&fd, settings.line)
            .and_then(|()| tcflush(&fd, QueueSelector::IFlush))
            .map_err(|errno| wrong("cannot be set up", errno))?;
        if settings.dtr.state().or(settings.rts.state()).is_some() {
            warn!("{name}: DTR and RTS cannot be set on this system, and are raised");
        }
        let stop = stop.as_fd().try_clone_to_owned().map_err(|error| {
            Refused::Wrong(Error::new(path.display(), "cannot be waited for").because(error))
        })?;
        Ok(Self { fd, stop })
    }

    /// Waits for octets of the port, for so many nanoseconds (for ever if `None`), or for the waker
    /// given at the opening.
    pub fn wait(&self, timeout_ns: Option<u64>) -> Woken {
        let mut fds =
            [PollFd::new(&self.stop, PollFlags::IN), PollFd::new(&self.fd, PollFlags::IN)];
        match poll(&mut fds, timeout_ns.map(timespec).as_ref()) {
            Ok(0) => Woken::Timeout,
            Ok(_) if !fds[0].revents().is_empty() => Woken::Stop,
            Ok(_) => Woken::Ready,
            Err(_) => Woken::Interrupted,
        }
    }

    /// Reads what there is; 0 octets if there is nothing.
    ///
    /// # Errors
    /// Why there will be no more.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        match rustix::io::read(&self.fd, buffer) {
            Ok(0) => Err("hung up".to_owned()),
            Ok(len) => Ok(len),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(words(error)),
        }
    }

    /// What the receiver found wrong with the octets of the last read. Where is not told here.
    pub fn errors(&self) -> &[LineError] {
        &[]
    }

    /// Sets it to another rate and format.
    ///
    /// # Errors
    /// When the driver refuses it.
    pub fn set_line(&mut self, line: Line) -> io::Result<()> {
        Ok(set_raw(&self.fd, line)?)
    }

    /// Writes what fits now.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.fd, octets)?)
    }
}

/// Raw, at its rate and format.
fn set_raw(fd: &OwnedFd, line: Line) -> rustix::io::Result<()> {
    let mut termios = tcgetattr(fd)?;
    make_raw(&mut termios, line.format);
    termios.set_speed(line.baud)?;
    tcsetattr(fd, OptionalActions::Now, &termios)
}
