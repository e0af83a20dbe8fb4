//! What is said of ports and streams: at their end, and when SIGUSR1 asks.

use super::shared::Shared;
use super::writer::{End, StreamWriter};
use crate::encode::StreamCounts;
use crate::error::Error;
use crate::packet::Tally;
use crate::time::Timestamp;
use log::{Level, info, log, warn};

/// Logs all counters.
pub fn all(shared: &Shared) {
    ports(shared);
    let now = shared.clock.now();
    let open = shared.streams().open.clone();
    for stream in open {
        one(&stream, now);
    }
}

/// Logs where the octets of each port went.
pub fn ports(shared: &Shared) {
    let streams = shared.streams();
    let (tallies, troubles) = (streams.tallies.clone(), streams.troubles.clone());
    drop(streams);
    for (port, (tally, trouble)) in shared.interfaces.iter().zip(tallies.iter().zip(troubles)) {
        self::port(&port.name, tally);
        if let Some(trouble) = trouble {
            warn!("{}: {trouble}", port.name);
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
    let Tally { symbol_errors, breaks, overruns, .. } = tally;
    if symbol_errors + breaks + overruns > 0 {
        info!(
            "{name}: {symbol_errors} octets with a wrong stop bit or parity; {breaks} breaks; the \
             adapter lost octets {overruns} times"
        );
    }
}

/// Logs what became of the packets of a stream that is open.
fn one(stream: &StreamWriter, now: Timestamp) {
    let queue = &stream.queue;
    let StreamCounts { framed, delivered, dropped, abandoned } = total(&queue.account.counts());
    info!(
        "{}: open for {} s: {framed} packets framed = {delivered} delivered + {dropped} dropped + \
         {} queued; {} octets of memory for its queue",
        queue.name(),
        now.ns_since(stream.opened) / 1_000_000_000,
        framed.saturating_sub(delivered + dropped + abandoned),
        queue.memory(),
    );
}

/// Logs how a stream ended, at this level; returns the error if it is one.
pub fn ended(stream: &StreamWriter, end: &End, now: Timestamp, level: Level) -> Option<Error> {
    let name = stream.queue.name();
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
    let StreamCounts { framed, delivered, dropped, abandoned } =
        total(&stream.queue.account.counts());
    log!(
        level,
        "{name}: {how} after {} s: {framed} packets framed = {delivered} delivered + \
         {dropped} dropped + {abandoned} abandoned",
        now.ns_since(stream.opened) / 1_000_000_000
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
