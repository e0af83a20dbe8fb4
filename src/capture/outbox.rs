//! The bounded queue between the reader threads and one stream's writer thread.
//!
//! A reader never blocks here: what does not fit is dropped for this stream alone, and
//! counted. The bound is in octets of memory, not in messages, since a batch may hold one
//! frame or hundreds; so the channel itself needs no bound of its own. A reader whose octets
//! can wait, those of a file, waits for [`Outbox::has_room`] before it offers.
//!
//! The writer waits for two things, a parcel and its reader's going, and so in `epoll` and
//! not on the channel. It says that it sleeps, and only then is its bell rung: on a busy line
//! that saves a system call a batch.

use super::merge::Run;
use super::room::Room;
use crate::bell::Bell;
use crate::encode::StreamCounts;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::io;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// More than the frames of any one read take: 64 KiB of the shortest.
const LARGEST_BATCH: usize = 2 << 20;

/// Frames on their way to a stream.
pub struct Parcel {
    /// The frames, shared between all streams.
    pub run: Run,
    /// What of the same port was refused directly before it.
    pub missed: Missed,
}

/// What a stream has missed of a port, which its next packet tells of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Missed {
    /// Packets.
    pub packets: u64,
    /// How long the port was gone before one of them.
    pub gap_ns: u64,
}

impl AddAssign for Missed {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.gap_ns += other.gap_ns;
    }
}

/// What became of the packets of one port; written by that port's reader thread, but for
/// `delivered` and `abandoned`, which are the writer's.
#[derive(Debug, Default)]
struct Counters {
    framed: AtomicU64,
    dropped: AtomicU64,
    delivered: AtomicU64,
    abandoned: AtomicU64,
    /// Dropped since the last parcel that was taken.
    unreported: AtomicU64,
    /// How long the port was gone before one of these.
    unreported_gap_ns: AtomicU64,
}

/// One stream's queue, and the account of what went through it.
pub struct Outbox {
    name: String,
    sender: Sender<Parcel>,
    receiver: Receiver<Parcel>,
    memory: AtomicUsize,
    memory_limit: usize,
    bell: Bell,
    writer_sleeps: AtomicBool,
    /// Whether the writer has something to write that is no parcel.
    has_rest: AtomicBool,
    /// Whether somebody asks for the next stream of this output.
    next_stream: AtomicBool,
    /// Set once no more parcels come.
    closing: AtomicBool,
    /// Until when the writer may take to finish, if that is limited.
    deadline: OnceLock<Instant>,
    /// Told when a parcel was taken.
    room: Arc<Room>,
    ports: Box<[Counters]>,
}

impl Outbox {
    /// An empty queue for a stream of packets from `ports` ports. They may take `memory`
    /// octets there.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(name: &str, ports: usize, memory: usize, room: Arc<Room>) -> io::Result<Self> {
        let (sender, receiver) = unbounded();
        Ok(Self {
            name: name.to_owned(),
            sender,
            receiver,
            memory: AtomicUsize::new(0),
            memory_limit: memory,
            bell: Bell::new()?,
            writer_sleeps: AtomicBool::new(false),
            has_rest: AtomicBool::new(false),
            next_stream: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            deadline: OnceLock::new(),
            room,
            ports: (0..ports).map(|_| Counters::default()).collect(),
        })
    }

    /// Offers frames; never blocks.
    pub fn offer(&self, run: &Run) {
        let (memory, waiting) = (run.memory(), self.memory.load(Ordering::Relaxed));
        // An empty queue takes whatever one read brings, however small it is.
        if waiting > 0 && waiting + memory > self.memory_limit {
            let counters = &self.ports[run.port()];
            let frames = run.len() as u64;
            counters.framed.fetch_add(frames, Ordering::Relaxed);
            if counters.dropped.fetch_add(frames, Ordering::Relaxed) == 0 {
                log::warn!("{}: reader too slow: dropping packets", self.name);
            }
            counters.unreported.fetch_add(frames, Ordering::Relaxed);
            counters.unreported_gap_ns.fetch_add(run.gap_ns(), Ordering::Relaxed);
            return;
        }
        self.memory.fetch_add(memory, Ordering::Relaxed);
        // Cannot fail: we hold a receiver.
        let _ = self.sender.send(self.pass(run));
        // The parcel must be visible before the flag is read; see `go_to_sleep`.
        fence(Ordering::SeqCst);
        if self.writer_sleeps.swap(false, Ordering::SeqCst) {
            self.bell.ring();
        }
    }

    /// Counts frames that do not need the queue, and makes a parcel of them.
    pub fn pass(&self, run: &Run) -> Parcel {
        let counters = &self.ports[run.port()];
        counters.framed.fetch_add(run.len() as u64, Ordering::Relaxed);
        let missed = Missed {
            packets: counters.unreported.swap(0, Ordering::Relaxed),
            gap_ns: counters.unreported_gap_ns.swap(0, Ordering::Relaxed),
        };
        Parcel { run: run.clone(), missed }
    }

    /// There is something to write that is no parcel.
    pub fn leave_rest(&self) {
        self.has_rest.store(true, Ordering::SeqCst);
        self.bell.ring();
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

    /// No more parcels will come.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    /// From now on the writer may take until `deadline` for a reader that is slow.
    pub fn limit(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
        self.bell.ring();
    }

    /// Whether no more parcels come.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Until when the writer may take, if that is limited.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// The next parcel, if one waits.
    pub fn take(&self) -> Option<Parcel> {
        let parcel = self.receiver.try_recv().ok()?;
        self.memory.fetch_sub(parcel.run.memory(), Ordering::Relaxed);
        self.room.changed();
        Some(parcel)
    }

    /// Whether a parcel waits.
    pub fn has_parcel(&self) -> bool {
        !self.receiver.is_empty()
    }

    /// The writer's bell: rung for a parcel while it sleeps, and at `close`.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Says that the writer sleeps until its bell rings; `false` when there is work after all.
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

    /// Counts packets of port number `port` that were written.
    pub fn delivered(&self, port: usize, packets: u64) {
        self.ports[port].delivered.fetch_add(packets, Ordering::Relaxed);
    }

    /// Counts packets of port number `port` that were taken, and dropped for want of room.
    pub fn dropped(&self, port: usize, packets: u64) {
        self.ports[port].dropped.fetch_add(packets, Ordering::Relaxed);
    }

    /// Counts packets of port number `port` that were taken and could not be written.
    pub fn abandoned(&self, port: usize, packets: u64) {
        self.ports[port].abandoned.fetch_add(packets, Ordering::Relaxed);
    }

    /// Empties the queue of a stream that has ended. No parcel may come after that.
    pub fn abandon_all(&self) {
        while let Some(parcel) = self.take() {
            self.abandoned(parcel.run.port(), parcel.run.len() as u64);
        }
    }

    /// What became of the packets of each port so far.
    pub fn counts(&self) -> Vec<StreamCounts> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.ports
            .iter()
            .map(|counters| StreamCounts {
                framed: load(&counters.framed),
                delivered: load(&counters.delivered),
                dropped: load(&counters.dropped),
                abandoned: load(&counters.abandoned),
            })
            .collect()
    }
}
