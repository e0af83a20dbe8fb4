//! A named pipe that clients come to. There is always an instance that waits for the next one, made as
//! soon as a client has come: whoever opens the name is connected at once, or is told that it is
//! busy for a moment, and never that there is no such pipe.

use super::ffi::{Transfer, create_pipe, wait_any};
use crate::sys::Waker;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::io::{AsHandle as _, OwnedHandle};
use std::sync::{Arc, Mutex, PoisonError};
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_NO_DATA, ERROR_PIPE_BUSY};

/// A client that has come.
pub type Client = Arc<OwnedHandle>;

/// Whether a pipe cannot be made because another program has one of this name: with all the instances
/// that it allows, or fewer.
pub fn is_taken(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(i32::cast_unsigned);
    matches!(code, Some(ERROR_ACCESS_DENIED | ERROR_PIPE_BUSY))
}

/// Takes in clients.
pub struct PipeAcceptor {
    name: OsString,
    /// The instance for the next one. Locked by `accept` alone, for as long as that takes.
    next: Mutex<Client>,
}

impl PipeAcceptor {
    /// Those of the pipe of this name.
    ///
    /// # Errors
    /// When another program has the name, which [`is_taken`] tells, or it is none.
    pub fn new(name: &OsStr) -> io::Result<Self> {
        let next = Mutex::new(Arc::new(create_pipe(name, true)?));
        Ok(Self { name: name.to_owned(), next })
    }

    /// Waits for the next one; `None` when the waker is woken first.
    ///
    /// # Errors
    /// When there is no memory left for another one.
    pub fn accept(&self, stop: &Waker) -> io::Result<Option<Client>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut connection = Transfer::new(Arc::clone(&next))?;
            let connected = match connection.connect() {
                Ok(()) => {
                    let handles = [stop.as_handle(), connection.done()];
                    if wait_any(&handles, None)? == Some(0) {
                        return Ok(None);
                    }
                    connection.finish().map(drop)
                }
                Err(error) => Err(error),
            };
            drop(connection);
            let client = std::mem::replace(&mut *next, Arc::new(create_pipe(&self.name, false)?));
            match connected {
                Ok(()) => return Ok(Some(client)),
                // It has gone already.
                Err(error) if error.raw_os_error() == Some(ERROR_NO_DATA.cast_signed()) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
