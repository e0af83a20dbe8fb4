//! Sources: where octets come from. With `output` one of the two ends that do I/O.

pub mod connection;
pub mod file;
#[cfg(all(target_os = "linux", feature = "nats"))]
pub mod nats;
pub mod record;
pub mod resolver;
pub mod serial;
pub mod sim;
pub mod telnet;

use crate::error::Error;
use crate::line::{Line, ModemLine, Settings};
use crate::line_errors::LineError;
use crate::packet::Batch;
use crate::sys::wait::{self, Waitable, Woken};
use crate::sys::{Waker, os_string};
use crate::time::{MonoClock, Timestamp, WallOffset};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What came of waiting for octets.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets, the last of which arrived at this time.
    Octets(&'a [u8], Timestamp),
    /// What the receiver found wrong with the octets that come next, in their order; they come at
    /// this time.
    Errors(&'a [LineError], Timestamp),
    /// Packets that were framed elsewhere.
    Packets(Batch),
    /// None until the deadline, which is this time or before it.
    Silence(Timestamp),
    /// The port has vanished, for this reason, at this time; [`Source::reopen`] waits for its
    /// return.
    Gone(String, Timestamp),
    /// So many octets came before what follows, and are not in the recording.
    Missing(u64, Timestamp),
    /// There are no more.
    Ended,
    /// The waker given at the opening was woken.
    Stopped,
}

/// A port with octets to read.
pub trait Source: Send {
    /// Waits for octets, for `deadline` (for ever if `None`), or for the stop waker.
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_>;

    /// Waits until a port that is gone is back, and returns since when; `None` when the stop waker
    /// was woken instead.
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

    /// Whether it tells of what was told when it happened.
    fn is_retold(&self) -> bool {
        false
    }

    /// Sends octets to the sniffer; only ever called with what a dialogue says.
    ///
    /// # Errors
    /// When the port does not take them all at once.
    fn write(&mut self, octets: &[u8]) -> io::Result<()>;

    /// Sets the line to another rate and format, from the next octet on.
    ///
    /// # Errors
    /// When the driver refuses it, or the port is no serial port.
    fn set_line(&mut self, _line: Line) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether the port was there at the start; if not, [`reopen`](Self::reopen) waits for it.
    fn is_open(&self) -> bool {
        true
    }

    /// How the wall clock stood at the last read, if the source has an account of that.
    fn wall(&self) -> Option<WallOffset> {
        None
    }

    /// What the times of its octets are, as of the last read.
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
    pub settings: Settings,
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
    address: &OsStr,
    opening: Opening,
    clock: MonoClock,
    stop: Arc<Waker>,
) -> Result<Box<dyn Source>, Error> {
    let Opening { settings, paced, wait } = opening;
    let name = &*address.display().to_string();
    if let Some(("sim", sim_name)) = scheme(address) {
        let sim_name = sim_name.to_str().unwrap_or_default();
        let simulator = sim::Simulator::named(sim_name, settings.line)
            .ok_or_else(|| Error::new(name, "no such simulated port"))?;
        return Ok(Box::new(Simulated::new(simulator, settings.line, clock, stop)));
    }
    if let Some(target) = target(address, settings) {
        let connection = connection::Connection::open(name, target, wait, clock, stop)?;
        return Ok(Box::new(connection));
    }
    match file::kind(address) {
        file::FileKind::Stored => {
            let file = file::open(address)?;
            if let Some((_, len)) = record::inspect(name, &file)? {
                return Ok(Box::new(record::Replay::new(name, file, len, paced, clock, stop)?));
            }
            Ok(Box::new(file::Stored::new(name, file, settings.line, paced, clock, stop)))
        }
        file::FileKind::Piped => {
            Ok(Box::new(file::Piped::open(name, file::open(address)?, clock, stop)?))
        }
        file::FileKind::Terminal => Err(Error::new("standard input", "is a terminal")
            .hint("pipe bytes into it, or name the port: serialshark /dev/ttyUSB0")),
        // A socket is a target, above.
        file::FileKind::Other | file::FileKind::Socket => {
            Ok(Box::new(serial::Serial::open(Path::new(address), settings, wait, clock, stop)?))
        }
    }
}

/// Where to connect to, if this name says so: `tcp:`, `telnet:`, `rfc2217:HOST:PORT`, `unix:PATH`, or
/// a path that is a socket.
fn target(address: &OsStr, settings: Settings) -> Option<connection::Target> {
    use connection::{Speech, Target};
    let state = |line: ModemLine| line.state();
    let port =
        telnet::ComPort { line: settings.line, dtr: state(settings.dtr), rts: state(settings.rts) };
    let tcp = |host: &OsStr, speech| Some(Target::Tcp(host.to_str()?.to_owned(), speech));
    match scheme(address) {
        Some(("tcp", host)) => tcp(&host, Speech::Raw),
        Some(("telnet", host)) => tcp(&host, Speech::Telnet),
        Some(("rfc2217", host)) => tcp(&host, Speech::ComPort(port)),
        Some(("unix", path)) => Some(Target::Unix(path.into())),
        _ => (file::kind(address) == file::FileKind::Socket).then(|| Target::Unix(address.into())),
    }
}

/// What a name that is no path begins with, and what is behind the colon.
pub fn scheme(address: &OsStr) -> Option<(&'static str, OsString)> {
    let octets = address.as_encoded_bytes();
    let at = octets.iter().position(|octet| *octet == b':')?;
    let known = ["sim", "tcp", "telnet", "rfc2217", "unix", "nats", "tls"];
    let scheme = known.into_iter().find(|known| known.as_bytes() == &octets[..at])?;
    Some((scheme, os_string(&octets[at + 1..])))
}

/// Waits until this is ready (`Ready`), for the deadline (`Timeout`), or for the stop waker.
fn wait(
    what: Option<&dyn Waitable>,
    deadline: Option<Timestamp>,
    clock: &MonoClock,
    stop: &Waker,
) -> Woken {
    loop {
        let woken = wait_once(what, deadline, clock, stop);
        if woken != Woken::Interrupted {
            return woken;
        }
    }
}

/// As [`wait()`], and ended by a signal.
fn wait_once(
    what: Option<&dyn Waitable>,
    deadline: Option<Timestamp>,
    clock: &MonoClock,
    stop: &Waker,
) -> Woken {
    let timeout_ns = deadline.map(|deadline| deadline.ns_since(clock.now()));
    wait::wait(what, timeout_ns, stop)
}

/// A simulated port: octets of a real protocol, in real time.
struct Simulated {
    simulator: sim::Simulator,
    octet_ns: u64,
    clock: MonoClock,
    stop: Arc<Waker>,
    burst: Vec<u8>,
    /// When the last octet of `burst` is off the wire.
    due: Timestamp,
    delivered: bool,
}

impl Simulated {
    fn new(simulator: sim::Simulator, line: Line, clock: MonoClock, stop: Arc<Waker>) -> Self {
        let octet_ns = line.octet_ns();
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
