//! Opening a tty and setting it up: looked at first, then opened, locked, made raw.
//!
//! A port that another program has is not opened, since that alone raises DTR and RTS, and on an
//! RS-485 adapter RTS may drive the bus; [`examine`] finds out beforehand. Then the order of
//! the calls matters. A tty comes up with echo on, so that octets which arrive before raw mode is
//! set are sent back onto the bus: raw mode is the first thing that changes the port, directly
//! after the lock that tells whether it is ours to change. What came before that is thrown away,
//! since the kernel took it for typing: a CR has become an LF by then, a ^D a NUL, and a ^U has
//! wiped out what was before it. Then DTR and RTS are set, and only then the rest follows.

use super::super::holder::{Holder, locker, opener};
use super::super::ioctl;
use super::super::tty::{self, Identity};
use super::{ModemLine, Settings, known_ports};
use crate::error::Error;
use log::{debug, warn};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, stat};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex,
    Termios, isatty, tcflush, tcgetattr, tcsetattr,
};
use serialport::{SerialPort, TTYPort};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Why a port is not to be had now.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is not there.
    Missing(Errno),
    /// Another program has it.
    Busy(Option<Holder>),
    /// Something that waiting may mend or not.
    Wrong(Error),
}

impl Refused {
    /// As an error of this port.
    pub(super) fn into_error(self, path: &Path) -> Error {
        let name = path.display();
        match self {
            Self::Missing(errno) => {
                Error::new(name, "cannot open").because(errno).hint(known_ports())
            }
            Self::Busy(holder) => {
                let error = Error::new(name, "cannot open: another program uses it");
                error.hint(match holder {
                    Some(holder) => format!("{holder} has it open"),
                    None => format!("find the program with: sudo fuser -v {}", path.display()),
                })
            }
            Self::Wrong(error) => error,
        }
    }
}

/// What a port is, and that nobody has it; without opening it.
pub(super) fn examine(path: &Path) -> Result<Identity, Refused> {
    let name = path.display();
    let wrong = |what: &str| Error::new(path.display(), what);
    let stat = match stat(path) {
        Ok(stat) => stat,
        Err(errno @ (Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::NOTDIR)) => {
            return Err(Refused::Missing(errno));
        }
        Err(errno) => return Err(Refused::Wrong(cannot_open(path, errno))),
    };
    if !tty::is_tty(&stat) {
        return Err(Refused::Wrong(wrong("is not a serial port").hint(known_ports())));
    }
    if tty::is_own_terminal(&stat) {
        let error = wrong("is the terminal that this program was started in");
        return Err(Refused::Wrong(error.hint(known_ports())));
    }
    if let Some(holder) = locker(path) {
        return Err(Refused::Busy(Some(holder)));
    }
    if let Some(holder) = opener(path) {
        // Its maker often keeps the port's end of a pseudo-terminal open.
        if !tty::is_pty(&stat) {
            return Err(Refused::Busy(Some(holder)));
        }
        warn!("{name}: {holder} has it open as well: each gets a part of what comes");
    }
    Ok(Identity::of(&stat))
}

/// Opens it by its path, which may lead to another port each time, and locks it.
pub(super) fn open(path: &Path) -> Result<OwnedFd, Refused> {
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(path, OFlags::RDWR | flags, Mode::empty()) {
        // To listen is enough, where nothing is to be sent.
        Err(Errno::ACCESS | Errno::ROFS) => {
            rustix::fs::open(path, OFlags::RDONLY | flags, Mode::empty())
        }
        opened => opened,
    };
    let fd = match opened {
        Ok(fd) => fd,
        Err(errno @ (Errno::NOENT | Errno::NXIO | Errno::NODEV)) => {
            return Err(Refused::Missing(errno));
        }
        Err(Errno::BUSY) => return Err(Refused::Busy(opener(path))),
        Err(errno) => return Err(Refused::Wrong(cannot_open(path, errno))),
    };
    match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(Refused::Busy(locker(path).or_else(|| opener(path)))),
        Err(errno) => {
            let error = Error::new(path.display(), "cannot lock").because(errno);
            return Err(Refused::Wrong(
                error.hint("its file system has no locks: name the device"),
            ));
        }
    }
    // Who opened it in between, or cannot be seen, may have asked to be alone.
    if ioctl::is_exclusive(fd.as_fd()) {
        return Err(Refused::Busy(opener(path)));
    }
    Ok(fd)
}

fn cannot_open(path: &Path, errno: Errno) -> Error {
    let error = Error::new(path.display(), "cannot open").because(errno);
    match errno {
        Errno::ISDIR => error.hint(known_ports()),
        Errno::ACCESS => error.hint(
            "add yourself to the group dialout (sudo usermod -aG dialout $USER), and log in again",
        ),
        Errno::PERM => error.hint(
            "a device policy forbids it: DeviceAllow= of the service, or --device of the container",
        ),
        Errno::IO => error.hint(NO_UART),
        _ => error,
    }
}

const NO_UART: &str = "there is no working UART behind it; serialshark ports lists those that are";

/// Makes an open port raw, 8N1, at its rate; gives it to serialport, which keeps it exclusive.
pub(super) fn set_up(fd: &OwnedFd, path: &Path, settings: Settings) -> Result<TTYPort, Error> {
    let name = path.display();
    if !isatty(fd) {
        return Err(Error::new(name, "is not a serial port").hint(known_ports()));
    }
    set_raw(fd).map_err(|errno| {
        let error = Error::new(&name, "cannot set raw mode").because(errno);
        if errno == Errno::IO { error.hint(NO_UART) } else { error }
    })?;
    let copy = fd.try_clone().map_err(|e| Error::new(&name, "cannot open").because(e))?;
    let mut tty = ioctl::adopt(copy);
    // Each by itself: an adapter may have one of them alone. RTS first, since it may drive a bus.
    if let Some(on) = settings.rts.state()
        && let Err(error) = tty.write_request_to_send(on)
    {
        debug!("{name}: has no RTS to set: {error}");
    }
    if let Some(on) = settings.dtr.state()
        && let Err(error) = tty.write_data_terminal_ready(on)
    {
        debug!("{name}: has no DTR to set: {error}");
    }
    tty.set_baud_rate(settings.baud).map_err(|error| {
        Error::new(&name, format!("cannot set {} baud: {error}", settings.baud))
            .hint("the adapter or its driver does not know this rate; try another with --baud")
    })?;
    match tty.baud_rate() {
        Ok(actual) if actual.abs_diff(settings.baud) > settings.baud / 50 => {
            warn!("{name}: asked for {} baud, the driver took {actual}", settings.baud);
        }
        _ => {}
    }
    if let Err(error) = ioctl::set_low_latency(fd.as_fd()) {
        debug!("{name}: no low latency mode: {error}");
    }
    Ok(tty)
}

impl ModemLine {
    /// What to set it to, if at all.
    pub fn state(self) -> Option<bool> {
        match self {
            Self::On => Some(true),
            Self::Off => Some(false),
            Self::Keep => None,
        }
    }
}

/// Raw, 8N1, no flow control, modem lines ignored, a read returns what there is: all of it as it
/// was on the line.
fn set_raw(fd: &OwnedFd) -> rustix::io::Result<()> {
    let mut termios = tcgetattr(fd)?;
    let was_edited = edits_input(&termios);
    termios.make_raw();
    termios.input_modes &=
        !(InputModes::IGNPAR | InputModes::INPCK | InputModes::IXOFF | InputModes::IXANY);
    termios.control_modes &= !(ControlModes::CSTOPB | ControlModes::CRTSCTS);
    termios.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL;
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(fd, OptionalActions::Now, &termios)?;
    if was_edited { tcflush(fd, QueueSelector::IOFlush) } else { Ok(()) }
}

/// Whether the kernel changes or drops octets on their way to us, or sends them back.
fn edits_input(termios: &Termios) -> bool {
    let edits = InputModes::ISTRIP
        | InputModes::INLCR
        | InputModes::IGNCR
        | InputModes::ICRNL
        | InputModes::IUCLC
        | InputModes::IXON
        | InputModes::PARMRK;
    termios.local_modes.intersects(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO)
        || termios.input_modes.intersects(edits)
}
