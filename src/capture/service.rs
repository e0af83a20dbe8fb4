//! What systemd is told while a capture runs, if it has started us: that we are ready, how things
//! stand when readers come and go, and signs of life.
//!
//! A sign of life means something: the main thread gives it, which a thread that has died would
//! have ended, after it had the lock that every frame goes through.

use super::report::total;
use super::shared::Shared;
use crate::error::Error;
use crate::framing::Protocol;
use crate::packet::Tally;
use crate::systemd::{Manager, watchdog};
use crossbeam_channel::{Receiver, never, tick};
use std::fmt::Write as _;
use std::time::Instant;

/// The capture as a service.
pub struct Service<'a> {
    shared: &'a Shared,
    manager: Option<Manager>,
    /// Readers came or went.
    pub readers_changed: Receiver<()>,
    /// A sign of life is due. Never, unless systemd waits for one.
    pub sign_of_life: Receiver<Instant>,
}

impl<'a> Service<'a> {
    /// A service if systemd has started us, else nothing is told to anybody.
    pub fn new(shared: &'a Shared, readers_changed: Receiver<()>) -> Self {
        let manager = Manager::from_env();
        let interval = watchdog().filter(|_| manager.is_some());
        Self {
            shared,
            readers_changed: if manager.is_some() { readers_changed } else { never() },
            // Twice as often as it has to be.
            sign_of_life: interval.map_or_else(never, |interval| tick(interval / 2)),
            manager,
        }
    }

    /// All threads run.
    pub fn ready(&self, failed: &[Error]) {
        self.tell("READY=1\n", failed);
    }

    /// Readers have come or gone, or an output has failed.
    pub fn status(&self, failed: &[Error]) {
        self.tell("", failed);
    }

    /// The program is alive.
    pub fn live(&self, failed: &[Error]) {
        self.tell("WATCHDOG=1\n", failed);
    }

    /// The end has begun.
    pub fn stopping(&self, failed: &[Error]) {
        self.tell("STOPPING=1\n", failed);
    }

    /// Tells of a state, and how things stand.
    fn tell(&self, state: &str, failed: &[Error]) {
        let Some(manager) = &self.manager else { return };
        let streams = self.shared.streams();
        let frames = |tally: &Tally| tally.good_frames + tally.damaged_frames;
        let packets: u64 = streams.tallies.iter().map(frames).sum();
        let open = streams.open.iter().map(|stream| total(&stream.outbox.counts()).dropped);
        let dropped = streams.dropped + open.sum::<u64>();
        let readers = streams.readers;
        let senseless = streams.senseless.clone();
        drop(streams);
        let mut status = format!("STATUS={packets} packets, {dropped} dropped, {readers} readers");
        for (port, _) in self.shared.interfaces.iter().zip(senseless).filter(|(_, is)| *is) {
            let Protocol { name, when_senseless, .. } = port.protocol;
            let _ = write!(status, "; {}: no {name} frames: {when_senseless}", port.name);
        }
        for error in failed {
            let _ = write!(status, "; failed: {error:#}");
        }
        manager.tell(&format!("{state}{status}"));
    }
}
