//! The bounded queue between the reader threads and one stream's writer thread.
//!
//! A reader never blocks here: what does not fit is dropped for this stream alone, and
//! counted. The bound is in octets of memory, not in messages, since a batch may hold one
//! frame or hundreds; so the channel itself needs no bound of its own. A reader whose octets
//! can wait, those of a file, waits for [`Queue::has_room`] before it offers.
//!
//! The writer waits for two things, a queued and its reader's going, and so in `epoll` and
//! not on the channel. It says that it sleeps, and only then is it woken: on a busy line
//! that saves a system call a batch.

use super::account::{Account, Missed};
use super::gate::Gate;
use super::merge::FrameRange;
use crate::sys::Waker;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// More than the frames of any one read take: 64 KiB of the shortest.
const LARGEST_BATCH: usize = 2 << 20;

/// Frames on their way to a stream.
pub struct Queued {
    /// The frames, shared between all streams.
    pub range: FrameRange,
    /// What of the same port was refused directly before it.
    pub missed: Missed,
}

/// One stream's queue, and the account of what went through it.
pub struct Queue {
    name: String,
    sender: Sender<Queued>,
    receiver: Receiver<Queued>,
    memory: AtomicUsize,
    memory_limit: usize,
    waker: Arc<Waker>,
    writer_sleeps: AtomicBool,
    /// Whether the writer has something to write that is no queued.
    has_rest: AtomicBool,
    /// Whether somebody asks for the next stream of this output.
    next_stream: AtomicBool,
    /// Set once no more queued packets come.
    closing: AtomicBool,
    /// Until when the writer may take to finish, if that is limited.
    deadline: OnceLock<Instant>,
    /// Told when a queued was taken.
    gate: Arc<Gate>,
    /// Of what went through it.
    pub account: Account,
}

impl Queue {
    /// An empty queue for a stream of packets from `ports` ports. They may take `memory`
    /// octets there.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(name: &str, ports: usize, memory: usize, gate: Arc<Gate>) -> io::Result<Self> {
        let (sender, receiver) = unbounded();
        Ok(Self {
            name: name.to_owned(),
            sender,
            receiver,
            memory: AtomicUsize::new(0),
            memory_limit: memory,
            waker: Arc::new(Waker::new()?),
            writer_sleeps: AtomicBool::new(false),
            has_rest: AtomicBool::new(false),
            next_stream: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            deadline: OnceLock::new(),
            gate,
            account: Account::new(ports),
        })
    }

    /// Offers frames; never blocks.
    pub fn offer(&self, range: &FrameRange) {
        let (memory, waiting) = (range.memory(), self.memory.load(Ordering::Relaxed));
        // An empty queue takes whatever one read brings, however small it is.
        if waiting > 0 && waiting + memory > self.memory_limit {
            if self.account.refuse(range) {
                log::warn!("{}: reader too slow: dropping packets", self.name);
            }
            return;
        }
        self.memory.fetch_add(memory, Ordering::Relaxed);
        // Cannot fail: we hold a receiver.
        let _ = self.sender.send(Queued { range: range.clone(), missed: self.account.pass(range) });
        // The queued must be visible before the flag is read; see `go_to_sleep`.
        fence(Ordering::SeqCst);
        if self.writer_sleeps.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// There is something to write that is no queued.
    pub fn leave_rest(&self) {
        self.has_rest.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// What to call its stream in a message.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Octets of memory that the queue takes.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Asks the writer to start the next stream of this output, where there are several.
    pub fn ask_for_next_stream(&self) {
        self.next_stream.store(true, Ordering::SeqCst);
        self.leave_rest();
    }

    /// Whether it was asked for since the last call.
    pub fn is_next_stream_wanted(&self) -> bool {
        self.next_stream.swap(false, Ordering::SeqCst)
    }

    /// Whether a reader that can wait may offer now.
    pub fn has_room(&self) -> bool {
        let waiting = self.memory.load(Ordering::Relaxed);
        waiting == 0 || waiting + LARGEST_BATCH <= self.memory_limit
    }

    /// No more queued packets will come.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// From now on the writer may take until `deadline` for a reader that is slow.
    pub fn limit(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
        self.waker.wake();
    }

    /// Whether no more queued packets come.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Until when the writer may take, if that is limited.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// The next queued, if one waits.
    pub fn take(&self) -> Option<Queued> {
        let queued = self.receiver.try_recv().ok()?;
        self.memory.fetch_sub(queued.range.memory(), Ordering::Relaxed);
        self.gate.notify();
        Some(queued)
    }

    /// Whether a queued waits.
    pub fn has_parcel(&self) -> bool {
        !self.receiver.is_empty()
    }

    /// The writer's waker: woken for packets while it sleeps, and at `close`.
    pub fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Says that the writer sleeps until its waker is woken; `false` when there is work after all.
    pub fn go_to_sleep(&self) -> bool {
        self.writer_sleeps.store(true, Ordering::SeqCst);
        // The flag must be visible before the queue is looked at; see `offer`.
        fence(Ordering::SeqCst);
        let idle = !self.has_parcel()
            && !self.is_closing()
            && !self.has_rest.swap(false, Ordering::SeqCst);
        if !idle {
            self.wake_up();
        }
        idle
    }

    /// Takes back what `go_to_sleep` said.
    pub fn wake_up(&self) {
        self.writer_sleeps.store(false, Ordering::SeqCst);
    }

    /// Empties the queue of a stream that has ended. No queued may come after that.
    pub fn abandon_all(&self) {
        while let Some(queued) = self.take() {
            self.account.abandoned(queued.range.port(), queued.range.len() as u64);
        }
    }
}
