//! A tty as a source: a serial port, a PTY, a symbolic link to one.
//!
//! A port that vanishes is waited for, under the path that the user named. What comes there is
//! looked at before it is opened: it may belong to another program by then, or be another
//! adapter, which is told, or with `--same-adapter` waited out. A pseudo-terminal that was
//! named by its number does not come back: the number is soon somebody else's.
//!
//! We wait for the descriptor and read it ourselves: serialport's `read` may hang after `poll`, loses
//! the error number, and lets signals through that the program has blocked.
//!
//! Octets with framing errors are delivered as received: neither IGNPAR nor INPCK nor PARMRK
//! is set, so that no octet is dropped, and none is doubled or replaced. What they do to a
//! frame its check sequence tells.

mod port;
mod watch;

use super::holder::{Holder, lock_folders};
use super::tty::{self, Identity};
use super::{Input, Source, Woken, read_once, timeout, wait};
use crate::bell::Bell;
use crate::error::Error;
use crate::packet::{Clock, Timestamp, seconds};
use log::{info, warn};
use port::Refused;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serialport::{SerialPortInfo, SerialPortType, TTYPort};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watch::Watch;

/// A line from us to the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModemLine {
    /// Raised.
    On,
    /// Dropped.
    Off,
    /// As the kernel leaves it: raised at the opening.
    Keep,
}

/// How a port is set up: 8N1, raw, no flow control, and this.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bits per second.
    pub baud: u32,
    /// What is done with DTR.
    pub dtr: ModemLine,
    /// What is done with RTS.
    pub rts: ModemLine,
    /// Whether only the same adapter may come back.
    pub same_adapter: bool,
}

/// One octet more than Linux lets a tty hold ready, so that a read that fills it is rare.
const BUFFER: usize = 4096;
/// How long a port that vanished is left alone if nothing tells of its return.
const RETRY_NS: u64 = 1_000_000_000;

/// A port that went so soon after it came may have been taken away by another program.
const SOON_NS: u64 = 10_000_000_000;
/// Adapters that brltty takes for a Braille display: CH340, CP210x, FT232.
const BRLTTY: [(u16, u16); 4] =
    [(0x1a86, 0x7523), (0x10c4, 0xea60), (0x0403, 0x6001), (0x1a86, 0x5523)];

/// A serial port, open or waiting to be back.
pub struct Serial {
    path: PathBuf,
    settings: Settings,
    clock: Clock,
    stop: Arc<Bell>,
    port: Option<Port>,
    /// Why there was none at the start.
    absence: String,
    /// What it was when it was opened last.
    identity: Option<Identity>,
    /// What is there in its place, if that is to be told.
    stranger: Option<String>,
    opened: Timestamp,
    /// A pseudo-terminal named by its number.
    is_numbered: bool,
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
        name: &Path,
        settings: Settings,
        wait: bool,
        clock: Clock,
        stop: Arc<Bell>,
    ) -> Result<Self, Error> {
        let path = std::path::absolute(name).unwrap_or_else(|_| name.to_owned());
        let mut serial = Self {
            is_numbered: path.starts_with("/dev/pts") && !path.is_symlink(),
            path,
            settings,
            clock,
            stop,
            port: None,
            absence: String::new(),
            identity: None,
            stranger: None,
            opened: clock.now(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
        };
        match serial.try_open() {
            Ok(()) => {}
            Err(Refused::Missing(_)) if wait => serial.absence = "not there".to_owned(),
            Err(Refused::Busy(holder)) if wait => {
                let by = holder.map_or("another program".to_owned(), |holder| holder.to_string());
                serial.absence = format!("used by {by}");
            }
            Err(refused) => return Err(refused.into_error(&serial.path)),
        }
        Ok(serial)
    }

    /// Looks at what is there now, and opens it if nothing speaks against that.
    fn try_open(&mut self) -> Result<(), Refused> {
        let identity = port::examine(&self.path)?;
        let stranger = self.identity.as_ref().filter(|known| !known.is_same(&identity));
        if let Some(known) = stranger {
            if self.settings.same_adapter {
                let what = format!("{identity} is there, which is not {known}; waiting for that");
                return Err(Refused::Wrong(Error::new(self.path.display(), what)));
            }
            self.stranger = Some(format!("{identity} in place of {known}"));
        }
        let fd = port::open(&self.path)?;
        let tty = port::set_up(&fd, &self.path, self.settings).map_err(Refused::Wrong)?;
        let waiter = Waiter::new(&fd, &self.stop).map_err(|error| {
            let error = Error::new(self.path.display(), "cannot be waited for").because(error);
            Refused::Wrong(error)
        })?;
        self.port = Some(Port { fd, waiter, _tty: tty });
        self.identity = Some(identity);
        self.opened = self.clock.now();
        Ok(())
    }

    /// Why it went, and what may have taken it.
    fn why_gone(&self, why: String) -> String {
        let lived = self.clock.now().ns_since(self.opened);
        let ids = self.identity.as_ref().and_then(Identity::usb_ids);
        if lived < SOON_NS && !self.path.exists() && ids.is_some_and(|ids| BRLTTY.contains(&ids)) {
            return format!(
                "{why} {} after it was opened; brltty takes such adapters away, see \
                 hardware/README.md",
                seconds(lived)
            );
        }
        why
    }

    /// Waits until something changes on the way to the port, until its holder ends or closes it,
    /// or, where that cannot be told, for a second; `false` when the stop bell was rung.
    fn wait_for_change(&self, watch: Option<&Watch>, holder: Option<&Holder>) -> bool {
        let pid = holder.and_then(|holder| Pid::from_raw(holder.pid.try_into().ok()?));
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        match (watch, &pidfd) {
            (Some(watch), Some(pidfd)) => {
                let stop: &Bell = &self.stop;
                loop {
                    let mut fds = [
                        PollFd::new(stop, PollFlags::IN),
                        PollFd::new(watch, PollFlags::IN),
                        PollFd::new(pidfd, PollFlags::IN),
                    ];
                    if poll(&mut fds, None).is_ok() {
                        return fds[0].revents().is_empty();
                    }
                }
            }
            _ => {
                let retry = self.clock.now().plus_ns(RETRY_NS);
                let changed = watch.map(AsFd::as_fd);
                wait(changed, Some(retry), &self.clock, &self.stop) != Woken::Stop
            }
        }
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
                    if len == self.buffer.len() {
                        port.waiter.look_again(&port.fd);
                    }
                    return Input::Octets(&self.buffer[..len], self.clock.now());
                }
                Err(why) => {
                    // Closed at once, or the kernel gives the returning port another name.
                    self.port = None;
                    if self.is_numbered {
                        let name = self.path.display();
                        info!("{name}: {why}: its number may be another terminal's soon");
                        return Input::Ended;
                    }
                    return Input::Gone(self.why_gone(why), self.clock.now());
                }
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        let watch = Watch::new();
        let mut refusal = Refusal::default();
        // Who has it at the start was told already.
        let mut told = !std::mem::take(&mut self.absence).is_empty();
        loop {
            // Before the port is looked for, so that nothing can happen in between.
            if let Some(watch) = &watch {
                watch.follow(&self.path);
                lock_folders().for_each(|folder| watch.folder(folder));
            }
            let (refused, holder) = match self.try_open() {
                Ok(()) => return Some(self.clock.now()),
                Err(Refused::Missing(_)) => (None, None),
                Err(Refused::Busy(holder)) => {
                    (Some(Refused::Busy(holder.clone()).into_error(&self.path)), holder)
                }
                Err(refused) => (Some(refused.into_error(&self.path)), None),
            };
            if !(told && holder.is_some()) {
                refusal.hear(refused, holder.is_some(), self.clock.now());
                told = false;
            }
            if !self.wait_for_change(watch.as_ref(), holder.as_ref()) {
                return None;
            }
            if let Some(watch) = &watch {
                watch.clear();
            }
        }
    }

    fn is_still_there(&self) -> bool {
        self.path.exists()
    }

    fn stranger(&mut self) -> Option<String> {
        self.stranger.take()
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
    /// It cannot be opened for this reason, if for one; `lasts` if nothing but its holder ends that.
    fn hear(&mut self, error: Option<Error>, lasts: bool, now: Timestamp) {
        let Some(error) = error else {
            *self = Self::default();
            return;
        };
        let since = match &self.why {
            Some((before, since)) if error == *before => *since,
            _ => {
                *self = Self { why: Some((error.clone(), now)), said: false };
                now
            }
        };
        if (lasts || now.ns_since(since) >= RETRY_NS) && !std::mem::replace(&mut self.said, true) {
            warn!("{error:#}");
        }
    }
}

/// The ports of this machine, none of them opened.
pub fn ports() -> Vec<SerialPortInfo> {
    let port = |tty: tty::Tty| SerialPortInfo {
        port_name: tty.path.display().to_string(),
        port_type: tty.usb.map_or(SerialPortType::Unknown, SerialPortType::UsbPort),
    };
    tty::list().into_iter().map(port).collect()
}

/// The ports of this machine, as a hint.
fn known_ports() -> String {
    let ports = tty::list();
    if ports.is_empty() {
        return "no serial port found; try the simulated one: sim:mstp".to_owned();
    }
    let names: Vec<_> = ports.iter().map(|port| port.path.display().to_string()).collect();
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
