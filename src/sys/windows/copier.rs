//! A handle that may block, behind a queue that does not.
//!
//! A console in which text is being selected, a parent that does not read: a write to them may
//! take for ever. So whoever has something for them puts it into a bounded queue, and a thread
//! copies from there. While it is in such a write nobody can end it: [`Copier::finish`] waits for
//! it for a moment, and then leaves it to the end of the process.

use super::console::Writer;
use crate::sys::progress::{Mark, Progress, Worker};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The most octets of a write that goes out entirely or not at all.
pub const WHOLE_WRITE: usize = 4096;
/// How many writes may wait.
const WAITING: usize = 64;

/// A thread that copies from a queue to a handle, in order.
#[derive(Debug)]
pub struct Copier {
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

/// Where octets for a [`Copier`] go in. Closed when dropped.
#[derive(Debug)]
pub struct Inlet {
    queue: SyncSender<Vec<u8>>,
    progress: Arc<Progress>,
}

impl Inlet {
    /// Takes up to [`WHOLE_WRITE`] octets, all or none; never waits.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room for them, others when they can no longer be copied.
    pub fn write(&self, octets: &[u8]) -> io::Result<()> {
        let sent = self.queue.try_send(octets.to_vec()).map_err(|error| match error {
            TrySendError::Full(_) => io::ErrorKind::WouldBlock.into(),
            TrySendError::Disconnected(_) => io::ErrorKind::BrokenPipe.into(),
        });
        sent.map(|()| self.progress.put(octets.len()))
    }

    /// All that has gone in, to wait until it is copied.
    pub fn mark(&self) -> Mark {
        self.progress.mark()
    }
}

impl Copier {
    /// Starts it. What is put into the inlet that it returns goes to `to`, until that takes nothing
    /// more: then the inlet takes nothing either.
    ///
    /// # Errors
    /// When there is no room for another thread.
    pub fn start(name: &str, to: File) -> io::Result<(Inlet, Self)> {
        let mut to = Writer::new(to);
        let (queue, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let progress = Arc::<Progress>::default();
        let worker = Worker(Arc::clone(&progress));
        let copier = Self::run(name, move || {
            for octets in waiting {
                if to.write_all(&octets).is_err() {
                    return;
                }
                worker.done(octets.len());
            }
        })?;
        Ok((Inlet { queue, progress }, copier))
    }

    /// Starts a thread that does this, which somebody else ends.
    pub(super) fn run(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        // Nothing is ever sent: that the sender is gone tells of the end.
        let (running, ended) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _running = running;
            body();
        })?;
        Ok(Self { ended, thread })
    }

    /// Waits until all is copied, `moment` at most; tells whether it is. The inlet must be closed.
    pub fn finish(self, moment: Duration) -> bool {
        let has_ended = self.ended.recv_timeout(moment) == Err(RecvTimeoutError::Disconnected);
        if has_ended {
            // So that the process does not end in the middle of that.
            let _ = self.thread.join();
        }
        has_ended
    }
}
