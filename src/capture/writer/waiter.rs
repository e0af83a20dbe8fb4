//! What a writer thread waits for: its queue's waker, room in the stream, and its reader's going.

use super::End;
use crate::capture::queue::Queue;
use crate::output::Stream;
use crate::sys::SinkWaiter;
use std::io;
use std::time::{Duration, Instant};

/// Waits for the waker, for room in the stream, or for its reader's going, without ticking.
pub struct Waiter<'a> {
    /// The queue before the stream.
    pub queue: &'a Queue,
    waiter: SinkWaiter,
}

/// How long to wait where memory is short.
const A_MOMENT: Duration = Duration::from_millis(100);

impl<'a> Waiter<'a> {
    /// Waits for this stream.
    pub fn new(queue: &'a Queue, stream: &Stream) -> io::Result<Self> {
        Ok(Self { queue, waiter: SinkWaiter::new(queue.waker(), stream.sink())? })
    }

    /// Waits until a queued is there, or none will come; or until there is other work to do.
    pub fn for_parcel(&self, other_work: Option<Instant>) -> Result<(), End> {
        while self.queue.go_to_sleep() {
            let woken = self.wait(other_work);
            self.queue.wake_up();
            match woken {
                Err(End::OutOfTime) => return Ok(()),
                woken => woken?,
            };
        }
        Ok(())
    }

    /// Waits until the stream takes octets.
    pub fn for_room(&self) -> Result<(), End> {
        if !self.waiter.may_be_full() {
            return Err(End::Failed(io::ErrorKind::WouldBlock.into()));
        }
        self.waiter.want_room(true)?;
        let room = loop {
            match self.wait(self.queue.deadline()) {
                Ok(false) => {} // the waker: the time may be limited now
                Ok(true) => break Ok(()),
                Err(end) => break Err(end),
            }
        };
        self.waiter.want_room(false)?;
        room
    }

    /// Waits a little while something is short that no event tells of.
    pub fn for_a_moment(&self) -> Result<(), End> {
        let over = Instant::now() + A_MOMENT;
        let until = self.queue.deadline().map_or(over, |deadline| deadline.min(over));
        match self.wait(Some(until)) {
            Err(End::OutOfTime) if until == over => Ok(()),
            waited => waited.map(drop),
        }
    }

    /// Whether it makes sense to go on: does not wait.
    pub fn check(&self) -> Result<(), End> {
        if self.queue.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(End::OutOfTime);
        }
        let readiness = self.waiter.wait(Some(Duration::ZERO))?;
        if readiness.is_gone { Err(End::ReaderGone) } else { Ok(()) }
    }

    /// Waits for anything; tells whether the stream has room.
    fn wait(&self, deadline: Option<Instant>) -> Result<bool, End> {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(End::OutOfTime);
        }
        let readiness = self.waiter.wait(timeout)?;
        if readiness.is_gone { Err(End::ReaderGone) } else { Ok(readiness.has_room) }
    }
}
