//! Where threads wait for writers: a reader thread until queues have room, when what it reads
//! can wait; the main thread until the last writer has finished.
//!
//! A writer that nobody waits for pays one load of an atomic for it.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, PoisonError};

/// Says that something about a queue or a writer has changed.
#[derive(Debug, Default)]
pub struct Gate {
    lock: Mutex<()>,
    changed: Condvar,
    waiting: AtomicUsize,
}

impl Gate {
    /// Waits until `condition` holds; looks again after each [`notify`](Self::notify).
    pub fn wait_until(&self, condition: impl Fn() -> bool) {
        // Nothing is in the lock that a panic could have left half done.
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // That we wait must be visible before the condition is looked at; see `notify`.
        fence(Ordering::SeqCst);
        while !condition() {
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// To be called after each change that a condition may depend on.
    pub fn notify(&self) {
        // The change must be visible before we look whether somebody waits; see `wait_until`.
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_change_is_missed() {
        let (gate, ball) = (Gate::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for parity in 0..2 {
                let (gate, ball) = (&gate, &ball);
                scope.spawn(move || {
                    for _ in 0..5000 {
                        gate.wait_until(|| ball.load(Ordering::Relaxed) % 2 == parity);
                        ball.fetch_add(1, Ordering::Relaxed);
                        gate.notify();
                    }
                });
            }
        });
        assert_eq!(ball.into_inner(), 10_000);
    }
}
