//! Sources: where octets come from. With `output` one of the two ends that do I/O.

mod ioctl;
pub mod serial;
pub mod sim;

use crate::bell::Bell;
use crate::error::Error;
use crate::packet::{Clock, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// What came of waiting for octets.
#[derive(Debug)]
pub enum Input<'a> {
    /// Octets, the last of which arrived at this time.
    Octets(&'a [u8], Timestamp),
    /// None until the deadline, which is this time or before it.
    Silence(Timestamp),
    /// The port has vanished, for this reason; [`Source::reopen`] waits for its return.
    Gone(String),
    /// There are no more.
    Ended,
    /// The bell given at the opening was rung.
    Stopped,
}

/// A port with octets to read.
pub trait Source: Send {
    /// Waits for octets, for `deadline` (for ever if `None`), or for the stop bell.
    fn read(&mut self, deadline: Option<Timestamp>) -> Input<'_>;

    /// Waits until a port that vanished is back; `false` when the stop bell was rung instead.
    fn reopen(&mut self) -> bool;

    /// Sends octets to the sniffer; only ever called with what a dialogue says.
    ///
    /// # Errors
    /// When the port does not take them all at once.
    fn write(&mut self, octets: &[u8]) -> io::Result<()>;
}

/// Opens a port by the name that the user gave: `sim:NAME` or the path of a tty.
///
/// # Errors
/// When it is missing, no tty, not ours to open, or used by another program.
pub fn open(
    name: &str,
    settings: serial::Settings,
    clock: Clock,
    stop: Arc<Bell>,
) -> Result<Box<dyn Source>, Error> {
    match name.strip_prefix("sim:") {
        Some(sim_name) => {
            let simulator = sim::Simulator::named(sim_name, settings.baud)
                .ok_or_else(|| Error::new(name, "no such simulated port"))?;
            Ok(Box::new(Simulated::new(simulator, settings.baud, clock, stop)))
        }
        None => Ok(Box::new(serial::Serial::open(name, settings, clock, stop)?)),
    }
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
        let timeout = deadline.map(|deadline| {
            let ns = deadline.ns_since(clock.now());
            Timespec {
                tv_sec: (ns / 1_000_000_000).cast_signed(),
                tv_nsec: (ns % 1_000_000_000).cast_signed(),
            }
        });
        let mut both;
        let mut only;
        let fds: &mut [PollFd<'_>] = match &fd {
            Some(fd) => {
                both = [PollFd::new(stop, PollFlags::IN), PollFd::new(fd, PollFlags::IN)];
                &mut both
            }
            None => {
                only = [PollFd::new(stop, PollFlags::IN)];
                &mut only
            }
        };
        match poll(fds, timeout.as_ref()) {
            Ok(0) => return Woken::Deadline,
            Ok(_) if !fds[0].revents().is_empty() => return Woken::Stop,
            Ok(_) => return Woken::Ready,
            Err(Errno::INTR) => {}
            // Not enough memory for the call: what waits is still there afterwards.
            Err(_) => return Woken::Ready,
        }
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

    fn reopen(&mut self) -> bool {
        true
    }

    fn write(&mut self, _octets: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
