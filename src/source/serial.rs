//! A tty as a source: a serial port, a PTY, a symbolic link to one.
//!
//! The order of the calls after `open` matters. A tty comes up with echo on, so that octets
//! which arrive before raw mode is set are sent back onto the bus: raw mode is the first thing
//! that changes the port, directly after the lock that tells whether it is ours to change.
//! What came before that is thrown away, since the kernel took it for typing: a CR has become
//! an LF by then, a ^D a NUL, and a ^U has wiped out what was before it. Then DTR and RTS are
//! dropped, where the protocol wants it, and only then the rest follows.
//!
//! We wait for the descriptor and read it ourselves: serialport's `read` may hang after `poll`, loses
//! the error number, and lets signals through that the program has blocked.
//!
//! Octets with framing errors are delivered as received: neither IGNPAR nor INPCK nor PARMRK
//! is set, so that no octet is dropped, and none is doubled or replaced. What they do to a
//! frame its check sequence tells.

mod watch;

use super::holder::holder;
use super::{Input, Source, Woken, ioctl, read_once, timeout, wait};
use crate::bell::Bell;
use crate::error::Error;
use crate::packet::{Clock, Timestamp};
use log::{debug, warn};
use rustix::event::epoll;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex,
    Termios, isatty, tcflush, tcgetattr, tcsetattr,
};
use serialport::{SerialPort, SerialPortInfo, TTYPort};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watch::Watch;

/// Where the kernel lists its ttys.
const SYSFS: &str = "/sys/class/tty";

/// How a port is set up: 8N1, raw, no flow control, and this.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bits per second.
    pub baud: u32,
    /// Whether DTR and RTS are dropped at open.
    pub drop_lines: bool,
}

/// One octet more than Linux lets a tty hold ready, so that a read that fills it is rare.
const BUFFER: usize = 4096;
/// How long a port that vanished is left alone if nothing tells of its return.
const RETRY_NS: u64 = 1_000_000_000;

/// A serial port, open or waiting to be back.
pub struct Serial {
    path: PathBuf,
    settings: Settings,
    clock: Clock,
    stop: Arc<Bell>,
    port: Option<Port>,
    /// Why there was none at the start.
    absence: &'static str,
    /// Whether octets came since it was opened.
    heard: bool,
    buffer: Box<[u8]>,
}

/// An open port: its descriptor, and serialport's hold on it, which keeps it exclusive.
struct Port {
    fd: OwnedFd,
    waiter: Waiter,
    _tty: TTYPort,
}

/// Waits for octets of an open port, or for the stop bell.
///
/// Edge-triggered: told once of all that arrives until it is read. To be told of the state at each
/// wait costs more than the wait itself, since a tty takes long to say that it has nothing.
struct Waiter(OwnedFd);

impl Waiter {
    const PORT: u64 = 0;
    const STOP: u64 = 1;
    const EDGE: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ET);

    fn new(port: &OwnedFd, stop: &Bell) -> io::Result<Self> {
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

    fn wait(&self, deadline: Option<Timestamp>, clock: &Clock) -> Woken {
        let mut room = [MaybeUninit::<epoll::Event>::uninit(); 2];
        loop {
            let timeout = deadline.map(|deadline| timeout(deadline, clock));
            match epoll::wait(&self.0, &mut room, timeout.as_ref()) {
                Ok(([], _)) => return Woken::Deadline,
                Ok((events, _)) if events.iter().any(|event| event.data.u64() == Self::STOP) => {
                    return Woken::Stop;
                }
                Ok(_) => return Woken::Ready,
                Err(_) => {}
            }
        }
    }
}

impl Serial {
    /// Opens a port and sets it up. With `wait` it may be missing, or used by another program.
    ///
    /// # Errors
    /// When it is missing, no tty, not ours to open, or used by another program.
    pub fn open(
        name: &str,
        settings: Settings,
        wait: bool,
        clock: Clock,
        stop: Arc<Bell>,
    ) -> Result<Self, Error> {
        let path = std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name));
        let (port, absence) = match open_descriptor(&path) {
            Ok(fd) => (Some(Port::set_up(fd, &path, settings, &stop)?), ""),
            Err(errno) if wait && is_missing(errno) => (None, "not there"),
            Err(Errno::BUSY) if wait => (None, "used by another program"),
            Err(errno) => return Err(cannot_open(&path, errno)),
        };
        let buffer = vec![0; BUFFER].into_boxed_slice();
        // One that comes while it is waited for is opened at once.
        let heard = port.is_none();
        Ok(Self { path, settings, clock, stop, port, absence, heard, buffer })
    }
}

impl Source for Serial {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        let Some(port) = &self.port else {
            return Input::Gone(self.absence.to_owned(), self.clock.now());
        };
        loop {
            match port.waiter.wait(deadline, &self.clock) {
                Woken::Stop => return Input::Stopped,
                Woken::Deadline => return Input::Silence(self.clock.now()),
                Woken::Ready => {}
            }
            match read_once(&port.fd, &mut self.buffer) {
                Ok(0) => {}
                Ok(len) => {
                    self.heard = true;
                    if len == self.buffer.len() {
                        port.waiter.look_again(&port.fd);
                    }
                    return Input::Octets(&self.buffer[..len], self.clock.now());
                }
                Err(why) => {
                    // Closed at once, or the kernel gives the returning port another name.
                    self.port = None;
                    return Input::Gone(why, self.clock.now());
                }
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        let watch = Watch::new();
        // A port that hangs up as soon as it is opened must not be opened in a loop.
        let mut at_once = self.heard;
        let mut refusal = Refusal::default();
        loop {
            // Before the port is looked for, so that nothing can happen in between.
            if let Some(watch) = &watch {
                watch.follow(&self.path);
            }
            if at_once {
                let refused = match open_descriptor(&self.path) {
                    Ok(fd) => match Port::set_up(fd, &self.path, self.settings, &self.stop) {
                        Ok(port) => {
                            self.port = Some(port);
                            self.heard = false;
                            return Some(self.clock.now());
                        }
                        Err(error) => Some(error),
                    },
                    Err(errno) if is_missing(errno) => None,
                    Err(errno) => Some(cannot_open(&self.path, errno)),
                };
                refusal.hear(refused, self.clock.now());
            }
            at_once = true;
            let retry = self.clock.now().plus_ns(RETRY_NS);
            let changed = watch.as_ref().map(AsFd::as_fd);
            if wait(changed, Some(retry), &self.clock, &self.stop) == Woken::Stop {
                return None;
            }
            if let Some(watch) = &watch {
                watch.clear();
            }
        }
    }

    fn is_open(&self) -> bool {
        self.port.is_some()
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let port = self.port.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let written = rustix::io::write(&port.fd, octets)?;
        if written < octets.len() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}

/// Why a port that is there cannot be opened. Right after the plug it may be udev that has not
/// come to it yet; what lasts is said, once.
#[derive(Default)]
struct Refusal {
    why: Option<(Error, Timestamp)>,
    said: bool,
}

impl Refusal {
    fn hear(&mut self, error: Option<Error>, now: Timestamp) {
        match (error, &self.why) {
            (Some(error), Some((before, since))) if error == *before => {
                if now.ns_since(*since) >= RETRY_NS && !std::mem::replace(&mut self.said, true) {
                    warn!("{error:#}");
                }
            }
            (Some(error), _) => *self = Self { why: Some((error, now)), said: false },
            (None, _) => *self = Self::default(),
        }
    }
}

/// By its path, which may lead to another port each time. `BUSY` if another program has locked it.
fn open_descriptor(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    flock(&fd, FlockOperation::NonBlockingLockExclusive).map_err(|_| Errno::BUSY)?;
    Ok(fd)
}

fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NXIO | Errno::NODEV)
}

impl Port {
    fn set_up(fd: OwnedFd, path: &Path, settings: Settings, stop: &Bell) -> Result<Self, Error> {
        let name = path.display();
        if !isatty(&fd) {
            return Err(Error::new(name, "is not a serial port").hint(known_ports()));
        }
        set_raw(&fd).map_err(|errno| Error::new(&name, "cannot set raw mode").because(errno))?;

        let copy = fd.try_clone().map_err(|e| Error::new(&name, "cannot open").because(e))?;
        let mut tty = ioctl::adopt(copy);
        if settings.drop_lines {
            let dropped = tty
                .write_request_to_send(false)
                .and_then(|()| tty.write_data_terminal_ready(false));
            if let Err(error) = dropped {
                debug!("{name}: has no DTR and RTS to drop: {error}");
            }
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
        let waiter = Waiter::new(&fd, stop)
            .map_err(|error| Error::new(&name, "cannot be waited for").because(error))?;
        Ok(Self { fd, waiter, _tty: tty })
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

fn cannot_open(path: &Path, errno: Errno) -> Error {
    let error = Error::new(path.display(), "cannot open").because(errno);
    match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV | Errno::ISDIR => error.hint(known_ports()),
        Errno::ACCESS | Errno::PERM => error.hint(
            "add yourself to the group dialout (sudo usermod -aG dialout $USER), and log in again",
        ),
        Errno::BUSY => busy(path),
        _ => error,
    }
}

fn busy(path: &Path) -> Error {
    let error = Error::new(path.display(), "cannot open: another program uses it");
    match holder(path) {
        Some((pid, program)) => error.hint(format!("{program} (process {pid}) has it open")),
        None => error.hint(format!("find the program with: sudo fuser -v {}", path.display())),
    }
}

/// The ports of this machine, none of them opened.
pub fn ports() -> Vec<SerialPortInfo> {
    // serialport panics where there is no /sys.
    if !Path::new(SYSFS).exists() {
        return Vec::new();
    }
    let mut ports = serialport::available_ports().unwrap_or_default();
    ports.retain(|port| {
        // The kernel has a ttyS for each UART that a PC could have; 0 means that it has not.
        let name = port.port_name.strip_prefix("/dev/").unwrap_or(&port.port_name);
        let uart = std::fs::read_to_string(format!("{SYSFS}/{name}/type"));
        uart.map_or(true, |uart| uart.trim() != "0")
    });
    ports.sort_by(|one, other| one.port_name.cmp(&other.port_name));
    ports
}

/// The ports of this machine, as a hint.
fn known_ports() -> String {
    let ports = ports();
    if ports.is_empty() {
        return "no serial port found; try the simulated one: sim:mstp".to_owned();
    }
    let names: Vec<_> = ports.into_iter().map(|port| port.port_name).collect();
    format!("ports found: {}; serialshark ports says more", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_one_read_has_left_is_told_of_again() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (port, stop, clock) = (OwnedFd::from(reader), Bell::new().unwrap(), Clock::start());
        let waiter = Waiter::new(&port, &stop).unwrap();
        let mut one = [0];
        writer.write_all(&[1, 2]).unwrap();
        assert_eq!(waiter.wait(None, &clock), Woken::Ready);
        assert_eq!(read_once(&port, &mut one), Ok(1));
        assert_eq!(waiter.wait(Some(clock.now()), &clock), Woken::Deadline, "told of once");
        waiter.look_again(&port);
        assert_eq!(waiter.wait(None, &clock), Woken::Ready);
        assert_eq!(read_once(&port, &mut one), Ok(1));
        waiter.look_again(&port);
        assert_eq!(waiter.wait(Some(clock.now()), &clock), Woken::Deadline, "nothing is left");
        stop.ring();
        assert_eq!(waiter.wait(None, &clock), Woken::Stop);
    }
}
