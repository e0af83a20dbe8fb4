//! Sources: where octets come from. With `output` one of the two ends that do I/O.

pub mod connection;
pub mod file;
pub mod holder;
mod ioctl;
pub mod record;
pub mod resolver;
pub mod serial;
pub mod sim;
pub mod telnet;
pub mod tty;

use crate::bell::Bell;
use crate::error::{Error, words};
use crate::packet::{Clock, Timestamp, Wall};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

/// What came of waiting for octets.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets, the last of which arrived at this time.
    Octets(&'a [u8], Timestamp),
    /// None until the deadline, which is this time or before it.
    Silence(Timestamp),
    /// The port has vanished, for this reason, at this time; [`Source::reopen`] waits for its
    /// return.
    Gone(String, Timestamp),
    /// So many octets came before what follows, and are not in the recording.
    Missing(u64, Timestamp),
    /// There are no more.
    Ended,
    /// The bell given at the opening was rung.
    Stopped,
}

/// A port with octets to read.
pub trait Source: Send {
    /// Waits for octets, for `deadline` (for ever if `None`), or for the stop bell.
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_>;

    /// Waits until a port that is gone is back, and returns since when; `None` when the stop bell
    /// was rung instead.
    fn reopen(&mut self) -> Option<Timestamp>;

    /// Whether a port that has just gone could be opened again at once, as far as can be seen. One
    /// that was unplugged is not there; what comes in its place is somebody's doing.
    fn is_still_there(&self) -> bool {
        true
    }

    /// What is there since the last [`reopen`](Self::reopen), if it is something else than what went.
    fn stranger(&mut self) -> Option<String> {
        None
    }

    /// Sends octets to the sniffer; only ever called with what a dialogue says.
    ///
    /// # Errors
    /// When the port does not take them all at once.
    fn write(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Whether the port was there at the start; if not, [`reopen`](Self::reopen) waits for it.
    fn is_open(&self) -> bool {
        true
    }

    /// How the wall clock stood at the last read, if the source has an account of that.
    fn wall(&self) -> Option<Wall> {
        None
    }

    /// What the times of its octets are.
    fn pace(&self) -> Pace {
        Pace::Arrival
    }

    /// Whether octets come by themselves, and are lost if nobody takes them in time. One that
    /// is not live is read no faster than the open streams take its packets.
    fn is_live(&self) -> bool {
        true
    }
}

/// What the times of a source's octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Those of their arrival: what does not come now will not be dated back.
    Arrival,
    /// Stored ones, delivered in real time: what comes next may be due in an hour.
    Paced,
    /// Stored ones: what comes next is there already.
    Stored,
}

/// How a port is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// How a serial port is set up.
    pub settings: serial::Settings,
    /// Whether a file is replayed in real time, and not as fast as possible.
    pub paced: bool,
    /// Whether one that is missing is waited for.
    pub wait: bool,
}

/// Opens a port by the name that the user gave: `sim:NAME`, `tcp:HOST:PORT`, `-`, or a path,
/// where the type of the file tells what to do with it.
///
/// # Errors
/// When it is missing, no tty, not ours to open, or used by another program; when nobody
/// answers; when a file holds something else.
pub fn open(
    name: &str,
    opening: Opening,
    clock: Clock,
    stop: Arc<Bell>,
) -> Result<Box<dyn Source>, Error> {
    let Opening { settings, paced, wait } = opening;
    if let Some(sim_name) = name.strip_prefix("sim:") {
        let simulator = sim::Simulator::named(sim_name, settings.baud)
            .ok_or_else(|| Error::new(name, "no such simulated port"))?;
        return Ok(Box::new(Simulated::new(simulator, settings.baud, clock, stop)));
    }
    if let Some(target) = target(name, settings) {
        let connection = connection::Connection::open(name, target, wait, clock, stop)?;
        return Ok(Box::new(connection));
    }
    match file::kind(name) {
        file::Kind::Stored => {
            let file = std::fs::File::from(file::descriptor(name)?);
            if let Some((_, len)) = record::inspect(name, &file)? {
                return Ok(Box::new(record::Replay::new(name, file, len, paced, clock, stop)?));
            }
            Ok(Box::new(file::Stored::new(name, file, settings.baud, paced, clock, stop)))
        }
        file::Kind::Piped => {
            Ok(Box::new(file::Piped::new(name, file::descriptor(name)?, clock, stop)))
        }
        file::Kind::Terminal => Err(Error::new("standard input", "is a terminal")
            .hint("pipe octets into it, or name the port: serialshark /dev/ttyUSB0")),
        // A socket is a target, above.
        file::Kind::Other | file::Kind::Socket => {
            Ok(Box::new(serial::Serial::open(Path::new(name), settings, wait, clock, stop)?))
        }
    }
}

/// Where to connect to, if this name says so: `tcp:`, `telnet:`, `rfc2217:HOST:PORT`, `unix:PATH`, or
/// a path that is a socket.
fn target(name: &str, settings: serial::Settings) -> Option<connection::Target> {
    use connection::{Speech, Target};
    let state = |line: serial::ModemLine| line.state();
    let port =
        telnet::ComPort { baud: settings.baud, dtr: state(settings.dtr), rts: state(settings.rts) };
    let speeches =
        [("tcp:", Speech::Raw), ("telnet:", Speech::Telnet), ("rfc2217:", Speech::ComPort(port))];
    for (scheme, speech) in speeches {
        if let Some(host) = name.strip_prefix(scheme) {
            return Some(Target::Tcp(host.to_owned(), speech));
        }
    }
    if let Some(path) = name.strip_prefix("unix:") {
        return Some(Target::Unix(path.into()));
    }
    (file::kind(name) == file::Kind::Socket).then(|| Target::Unix(name.into()))
}

/// Which of the things waited for came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    Ready,
    Deadline,
    Stop,
}

/// Waits until `fd` is readable or hung up (`Ready`), for the deadline, or for the stop bell.
fn wait(
    fd: Option<BorrowedFd<'_>>,
    deadline: Option<Timestamp>,
    clock: &Clock,
    stop: &Bell,
) -> Woken {
    loop {
        if let Ok(woken) = wait_for(fd.map(|fd| (fd, PollFlags::IN)), deadline, clock, stop) {
            return woken;
        }
    }
}

/// A signal came while we waited.
#[derive(Clone, Copy, Debug)]
struct Interrupted;

/// As [`wait`], for any readiness of `fd`, and ended by a signal.
fn wait_for(
    fd: Option<(BorrowedFd<'_>, PollFlags)>,
    deadline: Option<Timestamp>,
    clock: &Clock,
    stop: &Bell,
) -> Result<Woken, Interrupted> {
    let timeout = deadline.map(|deadline| timeout(deadline, clock));
    let mut both;
    let mut only;
    let fds: &mut [PollFd<'_>] = match &fd {
        Some((fd, readiness)) => {
            both = [PollFd::new(stop, PollFlags::IN), PollFd::new(fd, *readiness)];
            &mut both
        }
        None => {
            only = [PollFd::new(stop, PollFlags::IN)];
            &mut only
        }
    };
    match poll(fds, timeout.as_ref()) {
        Ok(0) => Ok(Woken::Deadline),
        Ok(_) if !fds[0].revents().is_empty() => Ok(Woken::Stop),
        Ok(_) => Ok(Woken::Ready),
        Err(Errno::INTR) => Err(Interrupted),
        // Not enough memory for the call: what waits is still there afterwards.
        Err(_) => Ok(Woken::Ready),
    }
}

/// How long it is until `deadline`; nothing if it is over.
fn timeout(deadline: Timestamp, clock: &Clock) -> Timespec {
    let ns = deadline.ns_since(clock.now());
    Timespec {
        tv_sec: (ns / 1_000_000_000).cast_signed(),
        tv_nsec: (ns % 1_000_000_000).cast_signed(),
    }
}

/// Reads once from a non-blocking descriptor; 0 octets when there are none at the moment. Once,
/// since the kernel fetches what comes next while frames are looked for in this.
///
/// # Errors
/// Why there will be no more.
fn read_once(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize, String> {
    match rustix::io::read(&fd, buffer) {
        Ok(0) => Err("hung up".to_owned()),
        Ok(len) => Ok(len),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(words(error)),
    }
}

/// A simulated port: octets of a real protocol, in real time.
struct Simulated {
    simulator: sim::Simulator,
    octet_ns: u64,
    clock: Clock,
    stop: Arc<Bell>,
    burst: Vec<u8>,
    /// When the last octet of `burst` is off the wire.
    due: Timestamp,
    delivered: bool,
}

impl Simulated {
    fn new(simulator: sim::Simulator, baud: u32, clock: Clock, stop: Arc<Bell>) -> Self {
        let octet_ns = 10_000_000_000 / u64::from(baud.max(1));
        let due = clock.now();
        Self { simulator, octet_ns, clock, stop, burst: Vec::new(), due, delivered: true }
    }

    fn transmit(&mut self) {
        let burst = self.simulator.next_burst();
        self.due = self.due.plus_ns(burst.pause_ns + burst.octets.len() as u64 * self.octet_ns);
        self.burst = burst.octets;
        self.delivered = false;
    }
}

impl Source for Simulated {
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_> {
        if self.delivered {
            self.transmit();
        }
        let until = deadline.map_or(self.due, |deadline| deadline.min(self.due));
        match wait(None, Some(until), &self.clock, &self.stop) {
            Woken::Stop => Input::Stopped,
            _ if until < self.due => Input::Silence(until),
            _ => {
                self.delivered = true;
                Input::Octets(&self.burst, self.due)
            }
        }
    }

    fn reopen(&mut self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn write(&mut self, _octets: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
