//! Wakes threads that wait.

use super::ffi::{Event, wait_any};
use std::io;
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::time::Duration;

/// An event. Woken once, it stays set until it is cleared.
#[derive(Debug)]
pub struct Waker(Event);

impl Waker {
    /// One that has not been woken.
    ///
    /// # Errors
    /// When there is no memory left for it.
    pub fn new() -> io::Result<Self> {
        Event::new().map(Self)
    }

    /// Waits until it is woken, or `timeout` has passed; tells whether it is woken.
    pub fn wait(&self, timeout: Duration) -> bool {
        wait_any(&[self.as_handle()], Some(timeout)).is_ok_and(|woken| woken.is_some())
    }

    /// Wakes whoever waits. Never blocks.
    pub fn wake(&self) {
        self.0.set();
    }

    /// The same event once more.
    pub(super) fn event(&self) -> io::Result<Event> {
        self.0.try_clone()
    }

    /// Forgets that it was woken.
    pub fn clear(&self) {
        self.0.reset();
    }
}

impl AsHandle for Waker {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.0.as_handle()
    }
}
