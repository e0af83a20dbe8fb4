//! Waiting for what can be read, and for a waker.

use super::ffi::wait_any;
use crate::sys::Waker;
use std::os::windows::io::{AsHandle as _, BorrowedHandle};
use std::time::Duration;

/// What can be waited for.
pub trait Waitable {
    /// Set when it is ready.
    fn awaited(&self) -> BorrowedHandle<'_>;
}

impl Waitable for super::net::Connecting {
    fn awaited(&self) -> BorrowedHandle<'_> {
        self.done()
    }
}

impl Waitable for super::net::Connection {
    fn awaited(&self) -> BorrowedHandle<'_> {
        self.event()
    }
}

impl Waitable for Waker {
    fn awaited(&self) -> BorrowedHandle<'_> {
        self.as_handle()
    }
}

impl Waitable for super::pipe_reader::PipeReader {
    fn awaited(&self) -> BorrowedHandle<'_> {
        self.event()
    }
}

/// Which of the things waited for came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// It is ready, or hung up.
    Ready,
    /// The time is over.
    Timeout,
    /// The waker was woken.
    Stop,
    /// A signal came: not on Windows.
    Interrupted,
}

/// Waits for this, if there is anything, for so many nanoseconds, for ever if `None`; or for the
/// waker.
pub fn wait(what: Option<&dyn Waitable>, timeout_ns: Option<u64>, stop: &Waker) -> Woken {
    let mut handles = vec![stop.as_handle()];
    handles.extend(what.map(Waitable::awaited));
    match wait_any(&handles, timeout_ns.map(Duration::from_nanos)) {
        Ok(Some(0)) => Woken::Stop,
        Ok(None) => Woken::Timeout,
        // Not enough memory for the call: what waits is still there afterwards.
        Ok(Some(_)) | Err(_) => Woken::Ready,
    }
}
