//! What all threads share, and what they say through it.

use super::ending::News;
use super::report::total;
use super::room::Room;
use super::streams::Streams;
use super::writer::Delivery;
use crate::bell::Bell;
use crate::encode::Interface;
use crate::error::Error;
use crate::framing::Framer;
use crate::packet::{Batch, Clock, Timestamp};
use crate::wall::WallClock;
use crossbeam_channel::Sender;
use log::warn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What all threads share.
pub struct Shared {
    /// Tells the time to all.
    pub clock: Clock,
    /// Tells how the wall clock stands beside it.
    pub wall: Arc<WallClock>,
    /// What headers say about each port.
    pub interfaces: Arc<[Interface]>,
    /// Where frames meet streams.
    pub streams: Mutex<Streams>,
    /// What the main thread is told.
    pub news: Sender<News>,
    /// Told that readers came or went; what it holds need not be told twice.
    pub readers_changed: Sender<()>,
    /// Told of what somebody may wait for.
    pub room: Arc<Room>,
    /// Whether a stream was ever open.
    pub read_by_some: AtomicBool,
    /// Writer threads that run.
    pub writers: AtomicUsize,
    /// Whether readers that wait for room are to give up.
    pub stopping: AtomicBool,
    /// Rung after that.
    pub stop: Arc<Bell>,
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
        news: Sender<News>,
        readers_changed: Sender<()>,
        stop: Arc<Bell>,
    ) -> Self {
        Self {
            clock: wall.clock(),
            is_live: streams.merger.is_live(),
            wall,
            interfaces,
            streams: Mutex::new(streams),
            queue_memory,
            news,
            readers_changed,
            room: Arc::default(),
            read_by_some: AtomicBool::new(false),
            writers: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            stop,
            limit: OnceLock::new(),
        }
    }

    /// Tells the main thread.
    pub fn tell(&self, news: News) {
        // Fails when the end has begun already.
        let _ = self.news.send(news);
    }

    /// Without this thread there is nothing to go on with.
    pub fn or_end<T>(&self, spawned: Result<T, Error>) -> Option<T> {
        spawned.map_err(|error| self.tell(News::NoThread(error))).ok()
    }

    /// Where frames meet streams.
    pub fn streams(&self) -> MutexGuard<'_, Streams> {
        // A panic elsewhere ends the program; the list is whole at every point.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frames of one read, and hands on what may leave; those of a port that is not
    /// live wait for room first. Returns when to call again although nothing has come; `None` if
    /// no more packets are wanted.
    pub fn publish(&self, batch: Batch, framer: &dyn Framer, live: bool) -> Option<Again> {
        let mut streams = if live || batch.is_empty() {
            self.streams()
        } else {
            self.streams_with_room(batch.port())
        };
        streams.tallies[batch.port()] = framer.tally();
        streams.merger.push(batch, framer.open_since(), self.clock.now());
        let streams = self.release(streams, live);
        let (wanted, deadline) = (streams.remaining > 0, streams.merger.deadline());
        drop(streams);
        self.room.changed();
        if !wanted {
            self.tell(News::CountReached);
            return None;
        }
        Some(Again(deadline))
    }

    /// Hands on all frames that may leave; a port that is not live waits for room for its own.
    fn release<'a>(
        &'a self,
        mut streams: MutexGuard<'a, Streams>,
        live: bool,
    ) -> MutexGuard<'a, Streams> {
        let stopping = || self.stopping.load(Ordering::SeqCst);
        loop {
            let waits = streams.release(self.clock.now(), stopping());
            for port in std::mem::take(&mut streams.late) {
                let name = &self.interfaces[port].name;
                warn!("{name}: packets came late: they follow some that began after them");
            }
            if live || !waits {
                return streams;
            }
            drop(streams);
            self.room.wait_until(|| stopping() || self.streams().all_have_room());
            streams = self.streams();
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
            let streams = self.release(self.streams(), live);
            let deadline = streams.merger.deadline().filter(|_| streams.merger.holds(port));
            drop(streams);
            self.room.changed();
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
                || (self.read_by_some.load(Ordering::SeqCst) && streams.has_room(port))
        };
        loop {
            let streams = self.streams();
            // Looked at under the lock, or several ports would all see the same room.
            if has_room(&streams) {
                return streams;
            }
            drop(streams);
            self.room.wait_until(|| has_room(&self.streams()));
        }
    }

    /// Waits for so long, or until the end begins.
    pub fn pause(&self, pause: Duration) {
        if !pause.is_zero() && !self.stopping.load(Ordering::SeqCst) {
            self.stop.wait(pause);
        }
    }

    /// A stream has ended: nothing more is for it.
    pub fn close(&self, delivery: &Arc<Delivery>) {
        let mut streams = self.streams();
        streams.open.retain(|other| !Arc::ptr_eq(other, delivery));
        streams.history.end(delivery);
        streams.dropped += total(&delivery.outbox.counts()).dropped;
        drop(streams);
        delivery.outbox.abandon_all();
        self.room.changed();
    }

    /// Asks for the next file, where files take turns.
    pub fn start_next_streams(&self) {
        for delivery in &self.streams().open {
            delivery.outbox.ask_for_next_stream();
        }
    }

    /// No more packets come, for any stream.
    pub fn close_streams(&self) {
        for delivery in &self.streams().open {
            delivery.outbox.close();
        }
    }

    /// From now on writers may take until `deadline` only.
    pub fn hurry(&self, deadline: Instant) {
        // First for those to come, then for those that are there.
        let deadline = *self.limit.get_or_init(|| deadline);
        for delivery in &self.streams().open {
            delivery.outbox.limit(deadline);
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
        self.shared.room.changed();
    }
}

/// When frames that wait for other ports may leave.
pub struct Again(pub Option<Timestamp>);
