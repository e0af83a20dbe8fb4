//! The return of a port, where nothing tells of it: it is looked for now and then.

use crate::sys::Waker;
use crate::sys::holder::Holder;
use std::path::Path;
use std::time::Duration;

/// Tells when it is time to look for a port.
pub struct Watch;

impl Watch {
    /// Begins, with nothing yet.
    pub fn start() -> Self {
        Self
    }

    /// Watches for this port. Returns whether its coming will be told: no.
    pub fn follow(&self, _path: &Path) -> bool {
        false
    }

    /// Waits for so long; `false` when the stop waker was woken.
    pub fn wait(&self, _holder: Option<&Holder>, at_most_ns: u64, stop: &Waker) -> bool {
        !stop.wait(Duration::from_nanos(at_most_ns))
    }

    /// Forgets what was told.
    pub fn clear(&self) {}
}
