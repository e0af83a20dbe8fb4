//! What is told of a capture while it runs: to a terminal in a live line; and to systemd, if it has
//! started us: that we are ready, how things
//! stand when readers come and go, and signs of life.
//!
//! A sign of life means something: the main thread gives it, which a thread that has died would
//! have ended, after it had the lock that every frame goes through.

use super::report::total;
use super::shared::Shared;
use crate::error::Error;
use crate::logger::LIVE;
use crate::sys::service::{Manager, watchdog};
use crate::time::Timestamp;
use crossbeam_channel::{Receiver, never, tick};
use log::{Level, info, log_enabled};
use std::cell::Cell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How often a terminal's live line is brought up to date.
const LIVE_LINE: Duration = Duration::from_secs(1);

/// The capture as a service.
pub struct Service<'a> {
    shared: &'a Shared,
    manager: Option<Manager>,
    /// Readers came or went.
    pub readers_changed: Receiver<()>,
    /// A sign of life is due. Never, unless systemd waits for one.
    pub sign_of_life: Receiver<Instant>,
    /// The live line is due. Never, unless a terminal shows one.
    pub live_line: Receiver<Instant>,
    /// Packets when the last live line was shown, and when that was.
    shown: Cell<(u64, Timestamp)>,
}

/// How things stand.
struct Standing {
    packets: u64,
    damaged: u64,
    dropped: u64,
    readers: usize,
    /// What is wrong with each port.
    troubles: Vec<Option<String>>,
    /// What is wrong with the line, if that is looked at.
    diagnosis: Option<String>,
}

impl<'a> Service<'a> {
    /// A service if systemd has started us, else nothing is told to anybody.
    /// With `may_show` there is a live line, if stderr is a terminal.
    pub fn new(shared: &'a Shared, readers_changed: Receiver<()>, may_show: bool) -> Self {
        let is_shown = may_show && log_enabled!(target: LIVE, Level::Info);
        let manager = Manager::from_env();
        let interval = watchdog().filter(|_| manager.is_some());
        Self {
            shared,
            readers_changed: if manager.is_some() { readers_changed } else { never() },
            // Twice as often as it has to be.
            sign_of_life: interval.map_or_else(never, |interval| tick(interval / 2)),
            manager,
            live_line: if is_shown { tick(LIVE_LINE) } else { never() },
            shown: Cell::new((0, shared.clock.now())),
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
        info!(target: LIVE, "");
    }

    /// Shows the live line.
    pub fn show(&self) {
        let Standing { packets, damaged, dropped, readers, .. } = self.standing();
        let now = self.shared.clock.now();
        let (before, since) = self.shown.replace((packets, now));
        let ms = (now.ns_since(since) / 1_000_000).max(1);
        let rate = (packets.saturating_sub(before) * 1000 + ms / 2) / ms;
        let plural = if readers == 1 { "" } else { "s" };
        info!(
            target: LIVE,
            "{packets} packets, {rate}/s, {damaged} damaged, {dropped} dropped, {readers} reader{plural}"
        );
    }

    fn standing(&self) -> Standing {
        let streams = self.shared.streams();
        let damaged = streams.tallies.iter().map(|tally| tally.damaged_frames).sum::<u64>();
        let good = streams.tallies.iter().map(|tally| tally.good_frames).sum::<u64>();
        let open = streams.open.iter().map(|stream| total(&stream.queue.account.counts()).dropped);
        Standing {
            packets: good + damaged,
            damaged,
            dropped: streams.dropped + open.sum::<u64>(),
            readers: streams.readers,
            troubles: streams.troubles.clone(),
            diagnosis: streams.diagnosis.clone(),
        }
    }

    /// Tells of a state, and how things stand.
    fn tell(&self, state: &str, failed: &[Error]) {
        let Some(manager) = &self.manager else { return };
        let Standing { packets, dropped, readers, troubles, diagnosis, .. } = self.standing();
        let mut status = format!("STATUS={packets} packets, {dropped} dropped, {readers} readers");
        for (port, trouble) in self.shared.interfaces.iter().zip(troubles) {
            if let Some(trouble) = trouble {
                let _ = write!(status, "; {}: {trouble}", port.name);
            }
        }
        if let Some(diagnosis) = diagnosis {
            let _ = write!(status, "; {diagnosis}");
        }
        for error in failed {
            let _ = write!(status, "; failed: {error:#}");
        }
        manager.tell(&format!("{state}{status}"));
    }
}
