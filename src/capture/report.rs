//! What is said of ports and streams: at their end, and when SIGUSR1 asks.

use super::shared::Shared;
use super::writer::{Delivery, End};
use crate::encode::StreamCounts;
use crate::error::Error;
use crate::framing::Protocol;
use crate::packet::{Tally, Timestamp};
use log::{info, warn};

/// Logs all counters.
pub fn all(shared: &Shared) {
    ports(shared);
    let now = shared.clock.now();
    let open = shared.streams().open.clone();
    for delivery in open {
        stream(&delivery, now);
    }
}

/// Logs where the octets of each port went.
pub fn ports(shared: &Shared) {
    let streams = shared.streams();
    let (tallies, senseless) = (streams.tallies.clone(), streams.senseless.clone());
    drop(streams);
    for (port, (tally, senseless)) in shared.interfaces.iter().zip(tallies.iter().zip(senseless)) {
        self::port(&port.name, tally);
        if senseless {
            let Protocol { name, when_senseless, .. } = port.protocol;
            warn!("{}: no {name} frames: {when_senseless}", port.name);
        }
    }
}

fn port(name: &str, tally: &Tally) {
    info!(
        "{name}: {} frames, {} damaged; {} octets = {} in frames + {} in damaged ones + \
         {} padding + {} skipped",
        tally.good_frames + tally.damaged_frames,
        tally.damaged_frames,
        tally.octets,
        tally.good_octets,
        tally.damaged_octets,
        tally.padding_octets,
        tally.skipped_octets,
    );
}

/// Logs what became of the packets of a stream that is open.
fn stream(delivery: &Delivery, now: Timestamp) {
    let outbox = &delivery.outbox;
    let StreamCounts { framed, delivered, dropped, abandoned } = total(&outbox.counts());
    info!(
        "{}: open for {} s: {framed} packets framed = {delivered} delivered + {dropped} dropped + \
         {} queued; {} octets of memory for its queue",
        outbox.name(),
        now.ns_since(delivery.opened) / 1_000_000_000,
        framed.saturating_sub(delivered + dropped + abandoned),
        outbox.memory(),
    );
}

/// Logs how a stream ended; returns the error if it is one.
pub fn ended(delivery: &Delivery, end: &End, now: Timestamp) -> Option<Error> {
    let name = delivery.outbox.name();
    let (how, error) = match end {
        End::Finished => ("finished", None),
        End::ReaderGone => ("its reader left", None),
        End::OutOfTime => ("ended before its reader took all", None),
        End::Failed(error) => {
            let kind = std::io::Error::from(error.kind());
            let cause = error.raw_os_error().map_or(kind, std::io::Error::from_raw_os_error);
            ("failed", Some(Error::new(name, "cannot write").because(cause)))
        }
    };
    let StreamCounts { framed, delivered, dropped, abandoned } = total(&delivery.outbox.counts());
    info!(
        "{name}: {how} after {} s: {framed} packets framed = {delivered} delivered + \
         {dropped} dropped + {abandoned} abandoned",
        now.ns_since(delivery.opened) / 1_000_000_000
    );
    debug_assert_eq!(framed, delivered + dropped + abandoned);
    error
}

/// What became of the packets of all ports.
pub fn total(counts: &[StreamCounts]) -> StreamCounts {
    counts.iter().fold(StreamCounts::default(), |sum, port| StreamCounts {
        framed: sum.framed + port.framed,
        delivered: sum.delivered + port.delivered,
        dropped: sum.dropped + port.dropped,
        abandoned: sum.abandoned + port.abandoned,
    })
}
