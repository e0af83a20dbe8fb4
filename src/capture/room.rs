//! Where threads wait for writers: a reader thread until queues have room, when what it reads
//! can wait; the main thread until the last writer has finished.
//!
//! A writer that nobody waits for pays one load of an atomic for it.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, PoisonError};

/// Says that something about a queue or a writer has changed.
#[derive(Debug, Default)]
pub struct Room {
    lock: Mutex<()>,
    changed: Condvar,
    waiting: AtomicUsize,
}

impl Room {
    /// Waits until `condition` holds; looks again after each [`changed`](Self::changed).
    pub fn wait_until(&self, condition: impl Fn() -> bool) {
        // Nothing is in the lock that a panic could have left half done.
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // That we wait must be visible before the condition is looked at; see `changed`.
        fence(Ordering::SeqCst);
        while !condition() {
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// To be called after each change that a condition may depend on.
    pub fn changed(&self) {
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
        let (room, ball) = (Room::default(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for parity in 0..2 {
                let (room, ball) = (&room, &ball);
                scope.spawn(move || {
                    for _ in 0..5000 {
                        room.wait_until(|| ball.load(Ordering::Relaxed) % 2 == parity);
                        ball.fetch_add(1, Ordering::Relaxed);
                        room.changed();
                    }
                });
            }
        });
        assert_eq!(ball.into_inner(), 10_000);
    }
}
