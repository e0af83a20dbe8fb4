//! What was given as standard input, read by a thread of its own: nothing tells beforehand whether
//! a read would wait.

use super::ffi::Event;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::windows::io::{AsHandle as _, BorrowedHandle};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// As much as is read at once.
const LARGEST: usize = 64 * 1024;

struct Slot {
    /// What was read last, until it is taken; no octets are the end, which stays.
    read: Mutex<Option<io::Result<Vec<u8>>>>,
    taken: Condvar,
    /// Set as long as there is something to take.
    event: Event,
}

/// Readable when octets have come, or the end.
pub struct PipeReader(Arc<Slot>);

impl PipeReader {
    /// This one. The thread is left to the end of the process.
    ///
    /// # Errors
    /// When there is no room for another thread.
    pub fn new(file: File) -> io::Result<Self> {
        let slot =
            Arc::new(Slot { read: Mutex::new(None), taken: Condvar::new(), event: Event::new()? });
        let own = Arc::clone(&slot);
        let body = move || read_all(file, &own);
        std::thread::Builder::new().name("stdin".to_owned()).spawn(body)?;
        Ok(Self(slot))
    }

    /// Takes what was read; 0 at the end. `buffer` has to have room for 64 KiB.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing now.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        let octets = read.take().ok_or(io::ErrorKind::WouldBlock)??;
        if octets.is_empty() {
            *read = Some(Ok(octets));
            return Ok(0);
        }
        self.0.event.reset();
        self.0.taken.notify_one();
        let len = octets.len().min(buffer.len());
        buffer[..len].copy_from_slice(&octets[..len]);
        Ok(len)
    }

    pub(super) fn event(&self) -> BorrowedHandle<'_> {
        self.0.event.as_handle()
    }
}

fn read_all(mut file: File, slot: &Slot) {
    let mut buffer = vec![0; LARGEST];
    loop {
        let octets = match file.read(&mut buffer) {
            Ok(len) => Ok(buffer[..len].to_vec()),
            // The end of a pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let is_end = octets.as_ref().is_ok_and(Vec::is_empty) || octets.is_err();
        let mut read = slot.read.lock().unwrap_or_else(PoisonError::into_inner);
        while read.is_some() {
            read = slot.taken.wait(read).unwrap_or_else(PoisonError::into_inner);
        }
        *read = Some(octets);
        slot.event.set();
        if is_end {
            return;
        }
    }
}
