//! A tty as a source: a serial port, a PTY, a symbolic link to one.
//!
//! A port that vanishes is waited for, under the path that the user named. What comes there is
//! looked at before it is opened: it may belong to another program by then, or be another
//! adapter, which is told, or with `--same-adapter` waited out. The number of a pseudo-terminal is
//! soon somebody else's: one that was named by it does not come back, and one behind a link is
//! back when that was made anew. A link that its maker has left behind leads to a stranger.
//!
//! Octets with framing errors are delivered as received: none is dropped, doubled or replaced. What
//! the receiver found wrong with them is told before them, where the system tells it.

use super::{Input, Source, Woken};
use crate::error::Error;
use crate::line::{Line, Settings};
use crate::sys::Waker;
use crate::sys::port::{self, Port};
use crate::sys::refused::Refused;
use crate::sys::tty::{self, Identity};
use crate::sys::watch::Watch;
use crate::time::{MonoClock, Timestamp, seconds};
use log::{info, warn};
use serialport::{SerialPortInfo, SerialPortType};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// One octet more than Linux lets a tty hold ready, so that a read that fills it is rare.
const BUFFER: usize = 4096;
/// How long a port that vanished is left alone if nothing tells of its return.
const RETRY_NS: u64 = 1_000_000_000;
/// The same if its directory tells. What that cannot tell is rare: that one further up was renamed, or
/// that something was mounted there.
const LOOK_NS: u64 = 60_000_000_000;

/// A port that went so soon after it came may have been taken away by another program.
const SOON_NS: u64 = 10_000_000_000;
/// How often, and how long after one another, it is looked whether the adapter is plugged in still.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Adapters that brltty takes for a Braille display: CH340, CP210x, FT232.
const BRLTTY: [(u16, u16); 4] =
    [(0x1a86, 0x7523), (0x10c4, 0xea60), (0x0403, 0x6001), (0x1a86, 0x5523)];

/// A serial port, open or waiting to be back.
pub struct Serial {
    path: PathBuf,
    settings: Settings,
    clock: MonoClock,
    stop: Arc<Waker>,
    port: Option<Port>,
    /// Why there was none at the start.
    absence: String,
    /// What it was when it was opened last.
    identity: Option<Identity>,
    /// What is there in its place, if that is to be told.
    stranger: Option<String>,
    opened: Timestamp,
    /// The links of its name, as they were when it was opened last.
    links: Vec<tty::Link>,
    /// Links that lead to no pseudo-terminal of ours: what they led to has gone.
    stale: Option<Vec<tty::Link>>,
    buffer: Box<[u8]>,
    /// Octets that were read, behind errors that were told of.
    pending: Option<(usize, Timestamp)>,
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
        clock: MonoClock,
        stop: Arc<Waker>,
    ) -> Result<Self, Error> {
        let path = tty::absolute(name);
        let mut serial = Self {
            links: Vec::new(),
            stale: None,
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
            pending: None,
        };
        match serial.try_open() {
            Ok(()) => {}
            Err(Refused::Missing(_)) if wait => {
                serial.absence = "not there".to_owned();
                // A name that is not there at all may come to be anything.
                let links = tty::links(&serial.path);
                serial.stale = (!links.is_empty() && !tty::exists(&serial.path)).then_some(links);
            }
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
        let links = tty::links(&self.path);
        if self.stale.as_ref() == Some(&links) && tty::is_pty_at(&self.path) {
            return Err(Refused::Missing(io::ErrorKind::NotFound.into()));
        }
        let identity = port::examine(&self.path)?;
        let stranger = self.identity.as_ref().filter(|known| !known.is_same(&identity));
        if let Some(known) = stranger {
            if self.settings.same_adapter {
                let what = format!("found {identity}, waiting for {known}");
                return Err(Refused::Wrong(Error::new(self.path.display(), what)));
            }
            self.stranger = Some(format!("{identity} in place of {known}"));
        }
        self.port = Some(Port::open(&self.path, &self.settings, &self.stop)?);
        self.identity = Some(identity);
        (self.links, self.stale) = (links, None);
        self.opened = self.clock.now();
        Ok(())
    }

    /// Why it went, and what may have taken it.
    fn why_gone(&self, why: String) -> String {
        let lived = self.clock.now().ns_since(self.opened);
        // Of one that was pulled out sysfs forgets the port before the adapter.
        for _ in 0..LOOKS {
            if lived >= SOON_NS || !self.identity.as_ref().is_some_and(Identity::is_plugged_in) {
                return why;
            }
            self.stop.wait(BETWEEN_LOOKS);
        }
        let taken = self.identity.as_ref();
        let ids = taken.and_then(Identity::usb_ids);
        if lived < SOON_NS
            && !tty::exists(&self.path)
            && ids.is_some_and(|ids| BRLTTY.contains(&ids))
        {
            return format!(
                "{why} {} after it was opened; brltty takes such adapters away, see \
                 hardware/README.md",
                seconds(lived)
            );
        }
        why
    }
}

impl Source for Serial {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        if let Some((len, arrival)) = self.pending.take() {
            return Input::Octets(&self.buffer[..len], arrival);
        }
        let Some(port) = &mut self.port else {
            return Input::Gone(self.absence.to_owned(), self.clock.now());
        };
        loop {
            let timeout_ns = deadline.map(|deadline| deadline.ns_since(self.clock.now()));
            match port.wait(timeout_ns) {
                Woken::Stop => return Input::Stopped,
                Woken::Timeout => return Input::Silence(self.clock.now()),
                Woken::Interrupted => continue,
                Woken::Ready => {}
            }
            match port.read(&mut self.buffer) {
                Ok(0) => {}
                Ok(len) => {
                    let arrival = self.clock.now();
                    if port.errors().is_empty() {
                        return Input::Octets(&self.buffer[..len], arrival);
                    }
                    self.pending = Some((len, arrival));
                    // Looked up anew: the compiler does not see that the loop ends here.
                    let errors = self.port.as_ref().map_or(&[][..], Port::errors);
                    return Input::Errors(errors, arrival);
                }
                Err(why) => {
                    // As long as we have it open nobody else can get its number.
                    let is_pty = self.identity.as_ref().is_some_and(Identity::is_pty);
                    let has_gone = is_pty && !tty::exists(&self.path);
                    // Closed at once, or the kernel gives the returning port another name.
                    self.port = None;
                    if is_pty && self.links.is_empty() {
                        let name = self.path.display();
                        info!("{name}: {why}: its number may soon belong to another terminal");
                        return Input::Ended;
                    }
                    self.stale = has_gone.then(|| self.links.clone());
                    return Input::Gone(self.why_gone(why), self.clock.now());
                }
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        let watch = Watch::start();
        let mut refusal = Refusal::default();
        // Who has it at the start was told already.
        let mut told = !std::mem::take(&mut self.absence).is_empty();
        loop {
            // Before the port is looked for, so that nothing can happen in between.
            let is_watched = watch.follow(&self.path);
            let mut at_most_ns = RETRY_NS;
            let (refused, holder) = match self.try_open() {
                Ok(()) => return Some(self.clock.now()),
                Err(Refused::Missing(error)) => {
                    use io::ErrorKind::{NotADirectory, NotFound};
                    // A node without a device behind it has no other events either.
                    if is_watched && [NotFound, NotADirectory].contains(&error.kind()) {
                        at_most_ns = LOOK_NS;
                    }
                    (None, None)
                }
                Err(Refused::Busy(holder)) => {
                    // It may have been opened to find that out: our own closing is no change.
                    if holder.is_none() {
                        watch.clear();
                    }
                    (Some(Refused::Busy(holder.clone()).into_error(&self.path)), holder)
                }
                Err(refused) => (Some(refused.into_error(&self.path)), None),
            };
            if !(told && holder.is_some()) {
                refusal.hear(refused, holder.is_some(), self.clock.now());
                told = false;
            }
            if !watch.wait(holder.as_ref(), at_most_ns, &self.stop) {
                return None;
            }
            watch.clear();
        }
    }

    fn set_line(&mut self, line: Line) -> io::Result<()> {
        if let Some(port) = &mut self.port {
            port.set_line(line)?;
        }
        self.settings.line = line;
        Ok(())
    }

    fn is_still_there(&self) -> bool {
        tty::exists(&self.path) && self.stale.as_ref() != Some(&tty::links(&self.path))
    }

    fn stranger(&mut self) -> Option<String> {
        self.stranger.take()
    }

    fn is_open(&self) -> bool {
        self.port.is_some()
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let port = self.port.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let written = port.write(octets)?;
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
