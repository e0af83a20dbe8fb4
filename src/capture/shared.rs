//! What all threads share, and what they say through it.

use super::event::Event;
use super::gate::Gate;
use super::report::total;
use super::streams::Streams;
use super::writer::StreamWriter;
use crate::encode::Interface;
use crate::error::Error;
use crate::output::trail::Trail;
use crate::packet::{Batch, Tally};
use crate::source::Pace;
use crate::sys::Waker;
use crate::time::wall_clock::WallClock;
use crate::time::{MonoClock, Timestamp};
use crossbeam_channel::Sender;
use log::warn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What all threads share.
pub struct Shared {
    /// Tells the time to all.
    pub clock: MonoClock,
    /// Tells how the wall clock stands beside it.
    pub wall: Arc<WallClock>,
    /// What headers say about each port.
    pub interfaces: Arc<[Interface]>,
    /// Where frames meet streams.
    pub streams: Mutex<Streams>,
    /// By what the packets of the past can be read, if there is somebody to read them.
    pub trail: Option<Arc<Trail>>,
    /// What the main thread is told.
    pub events: Sender<Event>,
    /// Told that readers came or went; what it holds need not be told twice.
    pub readers_changed: Sender<()>,
    /// Told of what somebody may wait for.
    pub gate: Arc<Gate>,
    /// Whether a stream was ever open.
    pub read_by_some: AtomicBool,
    /// Programs that we have started and that have not opened their FIFO yet: nothing ends without
    /// them, and what is read from files waits for them.
    pub awaited: AtomicUsize,
    /// Writer threads that run.
    pub writers: AtomicUsize,
    /// Whether readers that wait for room are to give up.
    pub stopping: AtomicBool,
    /// Woken after that.
    pub stop: Arc<Waker>,
    /// Set by a signal: until when writers may take.
    pub limit: OnceLock<Instant>,
    /// Octets of memory that the queue of a stream may take.
    pub queue_memory: usize,
    /// Whether a port is live: its packets cannot be had again.
    pub is_live: bool,
}

impl Shared {
    /// With nothing open, and nothing told yet.
    pub fn new(
        wall: Arc<WallClock>,
        interfaces: Arc<[Interface]>,
        streams: Streams,
        queue_memory: usize,
        events: Sender<Event>,
        readers_changed: Sender<()>,
        stop: Arc<Waker>,
    ) -> Self {
        Self {
            clock: wall.clock(),
            is_live: streams.merger.is_live(),
            wall,
            interfaces,
            streams: Mutex::new(streams),
            queue_memory,
            trail: None,
            events,
            readers_changed,
            gate: Arc::default(),
            read_by_some: AtomicBool::new(false),
            awaited: AtomicUsize::new(0),
            writers: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            stop,
            limit: OnceLock::new(),
        }
    }

    /// Tells the main thread.
    pub fn send(&self, event: Event) {
        // Fails when the end has begun already.
        let _ = self.events.send(event);
    }

    /// Without this thread there is nothing to go on with.
    pub fn or_end<T>(&self, spawned: Result<T, Error>) -> Option<T> {
        spawned.map_err(|error| self.send(Event::NoThread(error))).ok()
    }

    /// Where frames meet streams.
    pub fn streams(&self) -> MutexGuard<'_, Streams> {
        // A panic elsewhere ends the program; the list is whole at every point.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frames of one read, and hands on what may leave; those of a port that is not
    /// live wait for room first. Returns when to call again although nothing has come; `None` if
    /// no more packets are wanted.
    pub fn publish(&self, batch: Batch, standing: &Standing, live: bool) -> Option<Again> {
        let mut streams = if live || batch.is_empty() {
            self.streams()
        } else {
            self.streams_with_room(batch.port())
        };
        streams.tallies[batch.port()] = standing.tally;
        streams.merger.set_pace(batch.port(), standing.pace);
        let now = self.clock.now();
        streams.merger.push(batch, standing.open_since, now);
        let streams = self.release(streams, now, live);
        let (wanted, deadline) = (streams.remaining > 0, streams.merger.deadline());
        drop(streams);
        self.gate.notify();
        if !wanted {
            self.send(Event::CountReached);
            return None;
        }
        Some(Again(deadline))
    }

    /// Hands on all frames that may leave; a port that is not live waits for room for its own.
    fn release<'a>(
        &'a self,
        mut streams: MutexGuard<'a, Streams>,
        mut now: Timestamp,
        live: bool,
    ) -> MutexGuard<'a, Streams> {
        let stopping = || self.stopping.load(Ordering::SeqCst);
        loop {
            let waits = streams.release(now, stopping());
            for port in std::mem::take(&mut streams.late) {
                let name = &self.interfaces[port].name;
                warn!(
                    "{name}: packets out of order: some were written after packets that began later"
                );
            }
            if live || !waits {
                return streams;
            }
            drop(streams);
            self.gate.wait_until(|| stopping() || self.streams().all_have_room());
            streams = self.streams();
            now = self.clock.now();
        }
    }

    /// No more frames come from this port.
    pub fn end_port(&self, port: usize, live: bool) {
        let mut streams = self.streams();
        streams.merger.end(port);
        drop(streams);
        self.settle(port, live);
    }

    /// Nothing comes from this port for now: waits until its frames have left, which is a second
    /// at most, since nobody may come by who would let them.
    pub fn settle(&self, port: usize, live: bool) {
        loop {
            let streams = self.release(self.streams(), self.clock.now(), live);
            let deadline = streams.merger.deadline().filter(|_| streams.merger.holds(port));
            drop(streams);
            self.gate.notify();
            match deadline {
                Some(deadline) if !self.stopping.load(Ordering::SeqCst) => {
                    let left = deadline.ns_since(self.clock.now());
                    self.stop.wait(Duration::from_nanos(left));
                }
                _ => return,
            }
        }
    }

    /// Waits until what was read can be taken by all open streams, the first of which may
    /// still be to come. For ports that are not live.
    fn streams_with_room(&self, port: usize) -> MutexGuard<'_, Streams> {
        let has_room = |streams: &Streams| {
            self.stopping.load(Ordering::SeqCst)
                || (self.read_by_some.load(Ordering::SeqCst)
                    && self.awaited.load(Ordering::SeqCst) == 0
                    && streams.has_room(port))
        };
        loop {
            let streams = self.streams();
            // Looked at under the lock, or several ports would all see the same room.
            if has_room(&streams) {
                return streams;
            }
            drop(streams);
            self.gate.wait_until(|| has_room(&self.streams()));
        }
    }

    /// Waits for so long, or until the end begins.
    pub fn pause(&self, pause: Duration) {
        if !pause.is_zero() && !self.stopping.load(Ordering::SeqCst) {
            self.stop.wait(pause);
        }
    }

    /// A stream has ended: nothing more is for it.
    pub fn close(&self, stream: &Arc<StreamWriter>) {
        let mut streams = self.streams();
        streams.open.retain(|other| !Arc::ptr_eq(other, stream));
        streams.history.end(stream);
        streams.dropped += total(&stream.queue.account.counts()).dropped;
        drop(streams);
        stream.queue.abandon_all();
        self.gate.notify();
    }

    /// Asks for the next file, where files take turns.
    pub fn start_next_streams(&self) {
        for stream in &self.streams().open {
            stream.queue.ask_for_next_stream();
        }
    }

    /// No more packets come, for any stream.
    pub fn close_streams(&self) {
        for stream in &self.streams().open {
            stream.queue.close();
        }
    }

    /// From now on writers may take until `deadline` only.
    pub fn set_deadline(&self, deadline: Instant) {
        // First for those to come, then for those that are there.
        let deadline = *self.limit.get_or_init(|| deadline);
        for stream in &self.streams().open {
            stream.queue.limit(deadline);
        }
    }
}

/// A writer thread that runs; dropped when it ends, however it does.
pub struct Running<'a> {
    shared: &'a Shared,
    for_reader: bool,
}

impl<'a> Running<'a> {
    /// Counts this thread in, and the reader that it is for, if there is one.
    pub fn new(shared: &'a Shared, for_reader: bool) -> Self {
        shared.writers.fetch_add(1, Ordering::SeqCst);
        if for_reader {
            shared.streams().readers += 1;
            let _ = shared.readers_changed.try_send(()); // if full, it will be looked at anyway
        }
        Self { shared, for_reader }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.for_reader {
            self.shared.streams().readers -= 1;
            let _ = self.shared.readers_changed.try_send(());
        }
        self.shared.writers.fetch_sub(1, Ordering::SeqCst);
        self.shared.gate.notify();
    }
}

/// How a port stands after a read.
pub struct Standing {
    /// Where its octets went.
    pub tally: Tally,
    /// Since when a frame is open, if one is: none to come is earlier.
    pub open_since: Option<Timestamp>,
    /// What the times of its octets are.
    pub pace: Pace,
}

/// When frames that wait for other ports may leave.
pub struct Again(pub Option<Timestamp>);
