//! Opening a tty and setting it up: looked at first, then opened, locked, made raw.
//!
//! A port that another program has is not opened, since that alone raises DTR and RTS, and on an
//! RS-485 adapter RTS may drive the bus; [`examine`] finds out beforehand. Then the order of
//! the calls matters. A tty comes up with echo on, so that octets which arrive before raw mode is
//! set are sent back onto the bus: raw mode is the first thing that changes the port, directly
//! after the lock that tells whether it is ours to change. What came before that is thrown away,
//! since the kernel took it for typing: a CR has become an LF by then, a ^D a NUL, and a ^U has
//! wiped out what was before it. Then DTR and RTS are set, and only then the rest follows.

use super::holder::{locker, opener};
use super::ioctl::{self, Counters};
use super::tty::{self, Identity};
use crate::error::{Error, words};
use crate::line::{Line, LineFormat, Settings};
use crate::line_errors::{LineError, LineErrorKind};
use crate::sys::Waker;
use crate::sys::refused::{Refused, known_ports};
use crate::sys::unix::termios::make_raw;
use crate::sys::unix::wait::timespec;
use crate::sys::wait::Woken;
use log::{debug, warn};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, stat};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex,
    Termios, isatty, tcflush, tcgetattr, tcsetattr,
};
use serialport::{SerialPort, TTYPort};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// An open port: its descriptor, and serialport's hold on it, which keeps it exclusive.
///
/// We wait for the descriptor and read it ourselves: serialport's `read` may hang after `poll`, loses
/// the error number, and lets signals through that the program has blocked.
#[derive(Debug)]
pub struct Port {
    fd: OwnedFd,
    waiter: Waiter,
    tty: TTYPort,
    /// What the driver has counted so far, if it counts.
    counters: Option<Counters>,
    /// What was wrong with the octets of the last read.
    errors: Vec<LineError>,
}

impl Port {
    /// Opens it by its path, which may lead to another port each time; locks it, and sets it up.
    ///
    /// # Errors
    /// When it is missing, no tty, not ours to open, or used by another program.
    pub fn open(path: &Path, settings: &Settings, stop: &Waker) -> Result<Self, Refused> {
        let fd = open(path)?;
        let stat = fstat(&fd).ok().filter(|stat| !tty::is_pty(stat));
        let tty = set_up(&fd, path, settings).map_err(|error| {
            // Whatever fails then, it was not what failed.
            let has_gone = has_hung_up(&fd);
            if has_gone {
                Refused::Missing(io::Error::other("hung up"))
            } else {
                Refused::Wrong(error)
            }
        })?;
        let waiter = Waiter::new(&fd, stop).map_err(|error| {
            let error = Error::new(path.display(), "cannot be waited for").because(error);
            Refused::Wrong(error)
        })?;
        let counters = stat.and_then(|_| ioctl::counters(fd.as_fd()).ok());
        Ok(Self { fd, waiter, tty, counters, errors: Vec::new() })
    }

    /// Waits for octets of the port, for so many nanoseconds (for ever if `None`), or for the waker
    /// given at the opening.
    pub fn wait(&self, timeout_ns: Option<u64>) -> Woken {
        self.waiter.wait(timeout_ns)
    }

    /// Reads what there is; 0 octets if there is nothing. Once, since the kernel fetches what comes
    /// next while frames are looked for in this.
    ///
    /// # Errors
    /// Why there will be no more.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, String> {
        let len = match rustix::io::read(&self.fd, &mut *buffer) {
            Ok(0) => return Err("hung up".to_owned()),
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(words(error)),
        };
        if len == buffer.len() {
            self.waiter.look_again(&self.fd);
        }
        self.errors.clear();
        if len > 0 {
            self.count();
        }
        Ok(len)
    }

    /// Sees what the driver has counted since the last read. Which octet was hit counters do not say, so
    /// that the first one is named, nor where a break was. Marks among the octets (`PARMRK`) would; but
    /// they double each FF, and whoever sets the port meanwhile, such as a rule of udev with stty, ends
    /// that unseen: octets would be lost. Counters leave the octets alone.
    fn count(&mut self) {
        /// No more of them are told of a read.
        const MAX_TOLD: u32 = 64;
        let Some(before) = self.counters else { return };
        let Ok(now) = ioctl::counters(self.fd.as_fd()) else { return };
        self.counters = Some(now);
        let at_first = |kind| LineError { at: 0, kind };
        if now.overruns != before.overruns {
            self.errors.push(at_first(LineErrorKind::Overrun));
        }
        let count = now.symbols.wrapping_sub(before.symbols).min(MAX_TOLD);
        self.errors.extend((0..count).map(|_| at_first(LineErrorKind::Symbol)));
    }

    /// What the receiver found wrong with the octets of the last read.
    pub fn errors(&self) -> &[LineError] {
        &self.errors
    }

    /// Sets it to another rate and format. What it holds already was heard before, and is read all the
    /// same.
    ///
    /// # Errors
    /// When the driver refuses it.
    pub fn set_line(&mut self, line: Line) -> io::Result<()> {
        set_raw(&self.fd, line.format)?;
        self.tty.set_baud_rate(line.baud)?;
        Ok(())
    }

    /// Writes what fits now.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits.
    pub fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(&self.fd, octets)?)
    }
}

/// Waits for octets of an open port, or for the stop waker.
///
/// Edge-triggered: told once of all that arrives until it is read. To be told of the state at each
/// wait costs more than the wait itself, since a tty takes long to say that it has nothing.
#[derive(Debug)]
struct Waiter(OwnedFd);

impl Waiter {
    const PORT: u64 = 0;
    const STOP: u64 = 1;
    const EDGE: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ET);

    fn new(port: &OwnedFd, stop: &Waker) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, port, epoll::EventData::new_u64(Self::PORT), Self::EDGE)?;
        let stop_data = epoll::EventData::new_u64(Self::STOP);
        epoll::add(&epoll, stop, stop_data, epoll::EventFlags::IN)?;
        Ok(Self(epoll))
    }

    /// Tells of what is there now, once more.
    fn look_again(&self, port: &OwnedFd) {
        let data = epoll::EventData::new_u64(Self::PORT);
        // Cannot fail: it was added like this.
        let _ = epoll::modify(&self.0, port, data, Self::EDGE);
    }

    fn wait(&self, timeout_ns: Option<u64>) -> Woken {
        let mut room = [MaybeUninit::<epoll::Event>::uninit(); 2];
        match epoll::wait(&self.0, &mut room, timeout_ns.map(timespec).as_ref()) {
            Ok(([], _)) => Woken::Timeout,
            Ok((events, _)) if events.iter().any(|event| event.data.u64() == Self::STOP) => {
                Woken::Stop
            }
            Ok(_) => Woken::Ready,
            Err(_) => Woken::Interrupted,
        }
    }
}

/// What a port is, and that nobody has it; without opening it.
///
/// # Errors
/// When it is none, or somebody has it.
pub fn examine(path: &Path) -> Result<Identity, Refused> {
    let name = path.display();
    let wrong = |what: &str| Error::new(path.display(), what);
    let stat = match stat(path) {
        Ok(stat) => stat,
        Err(errno @ (Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::NOTDIR)) => {
            return Err(Refused::Missing(errno.into()));
        }
        Err(errno) => return Err(Refused::Wrong(cannot_open(path, errno))),
    };
    if tty::is_own_terminal(&stat) {
        let error = wrong("is the terminal that this program was started in");
        return Err(Refused::Wrong(error.hint(known_ports())));
    }
    if !tty::is_tty(&stat) || tty::is_virtual(&stat) {
        return Err(Refused::Wrong(wrong("is not a serial port").hint(known_ports())));
    }
    if let Some(holder) = locker(path) {
        return Err(Refused::Busy(Some(holder)));
    }
    if let Some(holder) = opener(path) {
        // Its maker often keeps the port's end of a pseudo-terminal open.
        if !tty::is_pty(&stat) {
            return Err(Refused::Busy(Some(holder)));
        }
        warn!("{name}: {holder} has it open as well: each gets only part of the data");
    }
    Ok(Identity::of(&stat))
}

/// Opens it by its path, which may lead to another port each time, and locks it.
fn open(path: &Path) -> Result<OwnedFd, Refused> {
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
            return Err(Refused::Missing(errno.into()));
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
                error.hint("its file system has no locks: name the device instead"),
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

/// Whether its adapter was pulled out, or its maker has ended.
fn has_hung_up(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    polled.is_ok() && fds[0].revents().contains(PollFlags::HUP)
}

const NO_UART: &str = "there is no working UART behind it; serialshark ports lists those that are";

/// Makes an open port raw, at its rate and format; gives it to serialport, which keeps it exclusive.
fn set_up(fd: &OwnedFd, path: &Path, settings: &Settings) -> Result<TTYPort, Error> {
    let name = path.display();
    if !isatty(fd) {
        return Err(Error::new(name, "is not a serial port").hint(known_ports()));
    }
    let raw_mode = |errno| {
        let error = Error::new(&name, "cannot set raw mode").because(errno);
        if errno == Errno::IO { error.hint(NO_UART) } else { error }
    };
    let was_edited = tcgetattr(fd).map(|termios| edits_input(&termios)).map_err(raw_mode)?;
    set_raw(fd, settings.line.format).map_err(raw_mode)?;
    if was_edited {
        tcflush(fd, QueueSelector::IOFlush).map_err(raw_mode)?;
    }
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
    tty.set_baud_rate(settings.line.baud).map_err(|error| {
        Error::new(&name, format!("cannot set {} baud: {error}", settings.line.baud))
            .hint("the adapter or its driver does not support this rate; try another with --baud")
    })?;
    match tty.baud_rate() {
        Ok(actual) if actual.abs_diff(settings.line.baud) > settings.line.baud / 50 => {
            warn!("{name}: asked for {} baud, the driver took {actual}", settings.line.baud);
        }
        _ => {}
    }
    if let Err(error) = ioctl::set_low_latency(fd.as_fd()) {
        debug!("{name}: no low latency mode: {error}");
    }
    Ok(tty)
}

/// Raw, and a read returns what there is.
fn set_raw(fd: &OwnedFd, format: LineFormat) -> rustix::io::Result<()> {
    let mut termios = tcgetattr(fd)?;
    make_raw(&mut termios, format);
    termios.control_modes &= !ControlModes::CMSPAR;
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(fd, OptionalActions::Now, &termios)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_one_read_has_left_is_told_of_again() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (port, stop) = (OwnedFd::from(reader), Waker::new().unwrap());
        let waiter = Waiter::new(&port, &stop).unwrap();
        let mut one = [0];
        writer.write_all(&[1, 2]).unwrap();
        assert_eq!(waiter.wait(None), Woken::Ready);
        assert_eq!(rustix::io::read(&port, &mut one), Ok(1));
        assert_eq!(waiter.wait(Some(0)), Woken::Timeout, "told of once");
        waiter.look_again(&port);
        assert_eq!(waiter.wait(None), Woken::Ready);
        assert_eq!(rustix::io::read(&port, &mut one), Ok(1));
        waiter.look_again(&port);
        assert_eq!(waiter.wait(Some(0)), Woken::Timeout, "nothing is left");
        stop.wake();
        assert_eq!(waiter.wait(None), Woken::Stop);
    }
}
