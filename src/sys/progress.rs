//! How far a thread has come with what was put into its queue, for those who have to wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Octets put in and octets done.
#[derive(Debug, Default)]
pub struct Progress {
    put: AtomicU64,
    done: Mutex<u64>,
    more: Condvar,
}

/// All that was put in at one moment.
#[derive(Debug)]
pub struct Mark {
    progress: Arc<Progress>,
    put: u64,
}

/// Tells of the end of the thread, however it comes: nothing is waited for any more.
pub(super) struct Worker(pub Arc<Progress>);

impl Progress {
    /// So many octets are put in.
    pub(super) fn put(&self, octets: usize) {
        self.put.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// What is in now.
    pub(super) fn mark(self: &Arc<Self>) -> Mark {
        Mark { progress: Arc::clone(self), put: self.put.load(Ordering::Relaxed) }
    }

    fn set(&self, advance: impl FnOnce(u64) -> u64) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done = advance(*done);
        self.more.notify_all();
    }
}

impl Worker {
    /// So many octets are done.
    pub(super) fn done(&self, octets: usize) {
        self.0.set(|done| done.saturating_add(octets as u64));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.set(|_| u64::MAX);
    }
}

impl Mark {
    /// Waits until all that is done, or the thread has ended, `moment` at most; tells whether it is.
    pub fn wait(&self, moment: Duration) -> bool {
        let done = self.progress.done.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.progress.more.wait_timeout_while(done, moment, |done| *done < self.put);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}
