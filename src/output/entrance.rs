//! Where readers come in: how many, how fast, and what is kept for others.
//!
//! One rule for all listeners. At most [`MAX_READERS`] are served at once by each. The highest
//! [`RESERVE`] descriptors that the process may have are for files and ports: a reader whose
//! descriptor is one of them is turned away. (The kernel gives out the lowest that is free, so its
//! number tells how many are in use; but a blocking `open` has taken its own when it began.) After a burst of [`BURST`] readers, [`PER_SECOND`] are let in
//! each second: whoever opens and closes without pause gets little of our time.

use super::Shortage;
use crate::bell::Bell;
use crate::error::words;
use log::{info, warn};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Readers that one listener serves at once.
pub const MAX_READERS: usize = 64;
/// Descriptors that no reader gets, where the process may have many; else a quarter of all.
const RESERVE: u64 = 64;
/// Readers that are let in without a pause.
const BURST: u32 = 100;
/// Readers that are let in each second after that.
const PER_SECOND: u32 = 50;
/// How long to wait when something is short.
pub const RETRY: Duration = Duration::from_secs(1);

/// The entrance of one listener.
pub struct Entrance {
    name: String,
    /// What to call those who come.
    who: &'static str,
    stop: Bell,
    readers: Arc<AtomicUsize>,
    is_refusing: AtomicBool,
    is_short: AtomicBool,
    pace: Mutex<Pace>,
}

impl Entrance {
    /// Of the listener of this name, with none of those `who` come in.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(name: &str, who: &'static str) -> std::io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            who,
            stop: Bell::new()?,
            readers: Arc::default(),
            is_refusing: AtomicBool::new(false),
            is_short: AtomicBool::new(false),
            pace: Mutex::new(Pace::new(Instant::now())),
        })
    }

    /// Readable once the listener is to stop.
    pub fn stop_bell(&self) -> &Bell {
        &self.stop
    }

    /// Lets in the reader with this descriptor, or turns it away where there are too many.
    pub fn admit(&self, fd: OwnedFd) -> Option<(OwnedFd, Place)> {
        if self.is_short.swap(false, Ordering::Relaxed) {
            info!("{}: readers are served again", self.name);
        }
        let place = Place(Arc::clone(&self.readers));
        let before = place.0.fetch_add(1, Ordering::AcqRel);
        let lowest = fd.try_clone();
        let too_many = if before >= MAX_READERS {
            Some(format!("more than {MAX_READERS} {}: turning them away", self.who))
        } else if !lowest.as_ref().is_ok_and(is_for_readers) {
            let words = words(Errno::MFILE);
            Some(format!("{words} for more than {before} {}: turning them away", self.who))
        } else {
            None
        };
        let Some(reason) = too_many else {
            self.is_refusing.store(false, Ordering::Relaxed);
            let fd = lowest.into_iter().chain([fd]).min_by_key(AsRawFd::as_raw_fd)?;
            return Some((fd, place));
        };
        if !self.is_refusing.swap(true, Ordering::Relaxed) {
            warn!("{}: {reason}", self.name);
        }
        None
    }

    /// Waits where readers come too fast, or until the end. To be called for each.
    pub fn keep_pace(&self) {
        // The pace is whole at every point.
        let wait = self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        if !wait.is_zero() {
            self.stop.wait(wait);
        }
    }

    /// Waits until there may be again what is short, or until the end. Told once.
    pub fn wait_out(&self, errno: Errno) {
        if !self.is_short.swap(true, Ordering::Relaxed) {
            warn!("{}: no reader can be served just now: {}", self.name, words(errno));
        }
        self.stop.wait(RETRY);
    }

    /// The same if this error is a shortage; else it is given back.
    ///
    /// # Errors
    /// When it is none.
    pub fn wait_out_shortage(&self, errno: Errno) -> Result<(), Errno> {
        Shortage::of(errno).map(|_| self.wait_out(errno)).ok_or(errno)
    }
}

/// A reader's place among [`MAX_READERS`]; free again when dropped.
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether it is none of the highest descriptors that there may be.
fn is_for_readers(fd: &OwnedFd) -> bool {
    let number = u64::try_from(fd.as_raw_fd()).unwrap_or_default();
    let limit = getrlimit(Resource::Nofile).current;
    limit.is_none_or(|limit| number < limit - RESERVE.min(limit / 4))
}

/// How many may come now: [`BURST`], and [`PER_SECOND`] more with each second.
struct Pace {
    left: f64,
    counted: Instant,
}

impl Pace {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_readers_come_one_after_the_other() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert!((0..BURST).all(|_| pace.take(start).is_zero()));
        let one = Duration::from_secs(1) / PER_SECOND;
        let mut now = start;
        for _ in 0..10 {
            let wait = pace.take(now);
            assert!(wait.abs_diff(one) < Duration::from_micros(10), "{wait:?}");
            now += wait;
        }
        now += Duration::from_secs(3600);
        assert!((0..BURST).all(|_| pace.take(now).is_zero()));
        assert!(!pace.take(now).is_zero());
    }

    #[test]
    fn only_so_many_are_let_in_until_one_leaves() {
        let entrance = Entrance::new("x", "readers").expect("a bell");
        let fd = || OwnedFd::from(std::fs::File::open("/dev/null").expect("a file"));
        let mut places: Vec<_> = (0..MAX_READERS).map(|_| entrance.admit(fd())).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(entrance.admit(fd()).is_none());
        places.pop();
        assert!(entrance.admit(fd()).is_some());
    }
}
