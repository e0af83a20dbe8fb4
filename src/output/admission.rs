//! Where readers come in: how many, how fast, and what is kept for others.
//!
//! One rule for all listeners. At most [`MAX_READERS`] are served at once by each. The highest
//! [`RESERVE`] descriptors that the process may have are for files and ports: a reader whose
//! descriptor is one of them is turned away. (The kernel gives out the lowest that is free, so its
//! number tells how many are in use; but a blocking `open` has taken its own when it began.) After a burst of [`BURST`] readers, [`PER_SECOND`] are let in
//! each second: whoever opens and closes without pause gets little of our time.

use super::Stream;
use crate::error::{Error, words};
use crate::sys::descriptors::{Descriptor, none_left};
use crate::sys::{Shortage, Sink, Waker};
use log::{info, warn};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Readers that one listener serves at once.
pub const MAX_READERS: usize = 64;
/// Descriptors that no reader gets, where the process may have many; else a quarter of all.
pub const RESERVE: u64 = 64;
/// Readers that are let in without a pause.
const BURST: u32 = 100;
/// Readers that are let in each second after that.
const PER_SECOND: u32 = 50;
/// Who was turned away is told of again when nobody was for so long.
const CALM: Duration = Duration::from_secs(10);
/// How long to wait when something is short.
pub const RETRY: Duration = Duration::from_secs(1);

/// The admission of one listener.
pub struct Admission {
    name: String,
    /// What to call those who come.
    who: &'static str,
    stop: Waker,
    readers: Arc<AtomicUsize>,
    /// When the last one was turned away.
    refused: Mutex<Option<Instant>>,
    is_short: AtomicBool,
    rate: Mutex<RateLimit>,
}

impl Admission {
    /// Of the listener of this name, with none of those `who` come in.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(name: &str, who: &'static str) -> io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            who,
            stop: Waker::new()?,
            readers: Arc::default(),
            refused: Mutex::new(None),
            is_short: AtomicBool::new(false),
            rate: Mutex::new(RateLimit::new(Instant::now())),
        })
    }

    /// Readable once the listener is to stop.
    pub fn stop_waker(&self) -> &Waker {
        &self.stop
    }

    /// Waits for the next reader that may come in; `None` when the listener is to stop. Who comes is
    /// `accept`ed, and becomes a stream by `sink`; one that has gone again by then is forgotten.
    ///
    /// # Errors
    /// When nobody can be accepted any more.
    pub fn next<C: Descriptor>(
        &self,
        accept: impl Fn(&Waker) -> io::Result<Option<C>>,
        sink: impl Fn(C) -> io::Result<Sink>,
    ) -> Result<Option<Stream>, Error> {
        loop {
            let client = match accept(&self.stop) {
                Ok(None) => return Ok(None),
                Ok(Some(client)) => client,
                Err(error) => {
                    self.wait_out_shortage(error)
                        .map_err(|error| Error::new(&self.name, "cannot accept").because(error))?;
                    continue;
                }
            };
            let Some((client, place)) = self.admit(client) else { continue };
            self.keep_pace();
            if let Ok(sink) = sink(client) {
                return Ok(Some(Stream::new(&self.name, sink, Some(Box::new(place)))));
            }
        }
    }

    /// Lets in the reader with this descriptor, or turns it away where there are too many.
    pub fn admit<D: Descriptor>(&self, client: D) -> Option<(D, Place)> {
        if self.is_short.swap(false, Ordering::Relaxed) {
            info!("{}: readers are served again", self.name);
        }
        let place = Place(Arc::clone(&self.readers));
        let before = place.0.fetch_add(1, Ordering::AcqRel);
        let reason = if before >= MAX_READERS {
            format!("more than {MAX_READERS} {}: turning them away", self.who)
        } else if let Some(client) = client.lowest(RESERVE) {
            return Some((client, place));
        } else {
            let words = words(none_left());
            format!("{words} for more than {before} {}: turning them away", self.who)
        };
        let now = Instant::now();
        let last = self.refused.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if last.is_none_or(|last| now.duration_since(last) >= CALM) {
            warn!("{}: {reason}", self.name);
        }
        None
    }

    /// How long a reader that comes has to wait, where they come too fast. To be called for each.
    pub fn pause(&self) -> Duration {
        // The limit is whole at every point.
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }

    /// Waits where readers come too fast, or until the end. To be called for each.
    pub fn keep_pace(&self) {
        let pause = self.pause();
        if !pause.is_zero() {
            self.stop.wait(pause);
        }
    }

    /// Waits until there may be again what is short, or until the end. Told once.
    pub fn wait_out(&self, error: io::Error) {
        if !self.is_short.swap(true, Ordering::Relaxed) {
            warn!("{}: cannot serve another reader at the moment: {}", self.name, words(error));
        }
        self.stop.wait(RETRY);
    }

    /// The same if this error is a shortage; else it is given back.
    ///
    /// # Errors
    /// When it is none.
    pub fn wait_out_shortage(&self, error: io::Error) -> io::Result<()> {
        if Shortage::of(&error).is_none() {
            return Err(error);
        }
        self.wait_out(error);
        Ok(())
    }
}

/// A reader's place among [`MAX_READERS`]; free again when dropped.
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// How many may come now: [`BURST`], and [`PER_SECOND`] more with each second.
struct RateLimit {
    left: f64,
    counted: Instant,
}

impl RateLimit {
    fn new(now: Instant) -> Self {
        Self { left: BURST.into(), counted: now }
    }

    /// One comes; returns how long it has to wait.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.left = (self.left + passed * f64::from(PER_SECOND)).min(BURST.into()) - 1.0;
        Duration::from_secs_f64((-self.left).max(0.0) / f64::from(PER_SECOND))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_readers_come_one_after_the_other() {
        let start = Instant::now();
        let mut limit = RateLimit::new(start);
        assert!((0..BURST).all(|_| limit.take(start).is_zero()));
        let one = Duration::from_secs(1) / PER_SECOND;
        let mut now = start;
        for _ in 0..10 {
            let wait = limit.take(now);
            assert!(wait.abs_diff(one) < Duration::from_micros(10), "{wait:?}");
            now += wait;
        }
        now += Duration::from_secs(3600);
        assert!((0..BURST).all(|_| limit.take(now).is_zero()));
        assert!(!limit.take(now).is_zero());
    }

    #[test]
    fn only_so_many_are_let_in_until_one_leaves() {
        let admission = Admission::new("x", "readers").expect("a waker");
        let fd = || std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").expect("a file"));
        let mut places: Vec<_> = (0..MAX_READERS).map(|_| admission.admit(fd())).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(admission.admit(fd()).is_none());
        places.pop();
        assert!(admission.admit(fd()).is_some());
    }
}
