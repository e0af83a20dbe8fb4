//! Threads, queues, counters, shutdown. The only module that spawns.
//!
//! | thread | one per | blocks in |
//! |---|---|---|
//! | reader | port | `poll` on [port, stop bell] |
//! | accept | listener | its `accept` |
//! | tend | listener | its `tend` |
//! | writer | open stream | `epoll` on [stream, bell] |
//! | signals | program | a read of signal-hook's |
//! | main | program | the channel of [`News`]; [`Service`]'s, if systemd listens |
//!
//! All of them are scoped to [`run`]: none outlives it, and none can be left unjoined.
//!
//! The end comes in the order of the flow: readers first, so that what they hold becomes
//! frames; then listeners, so that nobody new comes; then the queues are closed, and writers
//! write what is left and their trailers. After a signal they have [`GRACE`] for that; at the
//! end of the input they have all the time they need, unless a signal comes then.
//!
//! What is not live is not dropped: its reader thread waits until a first stream is open, and
//! then until all open ones have room. So one stalled reader stalls a replay, for all readers.

mod ending;
pub(crate) mod hearing;
mod history;
mod merge;
mod opening;
mod outbox;
mod patience;
mod reader;
mod recording;
mod report;
mod room;
mod service;
mod serving;
mod shared;
mod signals;
mod streams;
mod writer;

use crate::bell::Bell;
use crate::encode::{Direction, Format};
use crate::error::Error;
use crate::framing::{Protocol, Setup};
use crate::output::ring;
use crate::packet::Clock;
use crate::source::serial::ModemLine;
use crate::systemd;
use crate::wall::WallClock;
use crossbeam_channel::{Receiver, bounded};
use ending::{Ending, News, Pace};
use history::History;
use log::info;
use opening::Opened;
use recording::Recording;
use service::Service;
use serving::{accept, open_stream};
use shared::Shared;
use signals::{Heeded, Meaning};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Scope;
use std::time::{Duration, Instant};
use streams::Streams;

/// How long writers may take at the end for a reader that is slow to take the rest.
const GRACE: Duration = Duration::from_millis(500);

/// A port to read and what is spoken on it.
#[derive(Clone, Debug)]
pub struct Port {
    /// The path of a tty or a file, `-`, `sim:NAME`, or `tcp:HOST:PORT`.
    pub name: String,
    /// What is spoken.
    pub protocol: &'static Protocol,
    /// Rate, channel and so on.
    pub setup: Setup,
    /// Whether the sniffer may be sent commands.
    pub transmit: bool,
    /// What is done with DTR.
    pub dtr: ModemLine,
    /// What is done with RTS.
    pub rts: ModemLine,
    /// Which direction of a full-duplex line it is.
    pub direction: Direction,
    /// Whether it is a recording.
    pub recorded: bool,
    /// Whether a file is replayed in real time, and not as fast as possible.
    pub paced: bool,
    /// Where its octets are recorded.
    pub record: Option<PathBuf>,
}

/// Where packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To each reader of this FIFO.
    Fifo(PathBuf),
    /// To each client of this TCP address, `[ADDR:]PORT`.
    Tcp(String),
    /// To each client of this Unix socket.
    Unix(PathBuf),
    /// Into this FIFO, which its one reader made and holds.
    Pipe(PathBuf),
    /// Into this file, or a row of files with such names.
    File(PathBuf),
    /// To standard output.
    Stdout,
}

/// All that a capture needs to know, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ports; at least one.
    pub ports: Vec<Port>,
    /// The outputs, each with its format; at least one.
    pub outputs: Vec<(Output, Format)>,
    /// Whether capture files that exist may be overwritten.
    pub force: bool,
    /// How many of the last seconds a new reader gets first.
    pub history_s: u64,
    /// Octets of memory that these may take.
    pub history_memory: usize,
    /// Octets of memory that packets may take while they wait for a slow reader, for each.
    pub queue_memory: usize,
    /// When files are complete and the next one begins, if ever.
    pub rotation: Option<ring::Limits>,
    /// Ends after this many packets.
    pub count: Option<u64>,
    /// Whether ports that are missing or in use at the start are waited for.
    pub wait: bool,
    /// Whether a port that vanishes is the end.
    pub once: bool,
    /// Whether only the adapter that went may come back.
    pub same_adapter: bool,
}

/// Captures until it is told to end, until `count` packets were framed, until all ports have
/// ended, or until no output is left.
///
/// # Errors
/// When a port or an output cannot be opened (then nothing has been started), or no output is
/// left because of errors; and at the end, when an output has failed although others went on.
pub fn run(config: &Config) -> Result<(), Error> {
    let streams = opening::pipes(config)?;
    // The handlers come next: from here on SIGTERM means a clean end.
    let signals = signals::handle(hangup_reloads(config))
        .map_err(|e| Error::new("signals", "cannot be handled").because(e))?;
    let stop =
        Bell::new().map_err(|error| Error::new("stop bell", "cannot make").because(error))?;
    let stop = Arc::new(stop);
    let wall = Arc::new(WallClock::new(Clock::start()));
    let opened = opening::open(config, streams, &wall, &stop)?;

    let ports = opened.sources.iter().map(|source| (source.pace(), source.is_live()));
    let history = History::new(config.history_s, config.history_memory);
    let streams = Streams::new(ports, config.count, history);
    let interfaces = config.ports.iter().map(opening::interface).collect();
    // Room for all that may be told before anybody hears it; signals are told only if they fit.
    let (news, inbox) = bounded(64 + 4 * (config.ports.len() + config.outputs.len()));
    let (readers_changed, changes) = bounded(1);
    let shared = Shared::new(
        wall,
        interfaces,
        streams,
        config.queue_memory,
        news,
        readers_changed,
        Arc::clone(&stop),
    );
    let service = Service::new(&shared, changes);
    supervise(config, &shared, inbox, opened, signals, &stop, &service)
}

/// Whether SIGHUP may ask for new files, and not only tell that a terminal was closed.
fn hangup_reloads(config: &Config) -> bool {
    config.rotation.is_some() || systemd::is_manager()
}

/// Runs all threads to their end.
fn supervise(
    config: &Config,
    shared: &Shared,
    inbox: Receiver<News>,
    opened: Opened,
    signals: Heeded,
    stop: &Bell,
    service: &Service<'_>,
) -> Result<(), Error> {
    let Opened { sources, recordings, listeners, streams, failed } = opened;
    let (recordings, files): (Vec<_>, Vec<_>) = recordings
        .into_iter()
        .map(|recorded| recorded.map_or((None, None), |(made, file)| (Some(made), Some(file))))
        .unzip();
    let signal_handle = signals.handle();
    std::thread::scope(|scope| {
        let outputs = streams.len() + listeners.len();
        for (stream, format) in streams {
            open_stream(scope, shared, stream, format, true);
        }
        let mut listening = Vec::new();
        for (listener, format) in &listeners {
            info!("{}: waiting for a reader: {}", listener.name(), listener.how_to_read());
            let accept = move || accept(scope, shared, listener.as_ref(), *format);
            listening.extend(shared.or_end(spawn(scope, shared, "accept", accept)));
            listening.extend(shared.or_end(spawn(scope, shared, "tend", || listener.tend())));
        }
        shared.or_end(spawn(scope, shared, "signals", move || {
            signals.listen(|signal, meaning| match meaning {
                Meaning::Counters => report::all(shared),
                Meaning::NextFiles => shared.start_next_streams(),
                Meaning::End => {
                    shared.hurry(Instant::now() + GRACE);
                    let _ = shared.news.try_send(News::Signal(signal));
                }
            });
        }));
        let mut readers = Vec::new();
        for (recording, file) in recordings.iter().zip(files) {
            if let (Some(recording), Some(file)) = (recording, file) {
                let write = move || recording.run(file);
                shared.or_end(spawn(scope, shared, "recording", write));
            }
        }
        for (index, (port, source)) in config.ports.iter().zip(sources).enumerate() {
            let recording = recordings[index].as_ref();
            info!("{}: reading {} at {} baud", port.name, port.protocol.name, port.setup.baud);
            let read = move || reader::read(shared, port, index, source, recording, config.once);
            readers.extend(shared.or_end(spawn(scope, shared, "reader", read)));
        }

        let ports_left = config.ports.len();
        let mut ending = Ending { outputs_left: outputs, ports_left, failed };
        service.ready(&ending.failed);
        let mut result = ending.wait(&inbox, service);
        service.stopping(&ending.failed);
        let at_leisure = matches!(result, Ok(Pace::Leisure));
        shared.stopping.store(true, Ordering::SeqCst);
        stop.ring();
        shared.room.changed();
        for reader in readers {
            let _ = reader.join(); // what went wrong in it has been told
        }
        recordings.iter().flatten().for_each(Recording::close);
        for (listener, _) in &listeners {
            listener.stop();
        }
        for thread in listening {
            let _ = thread.join();
        }
        if !at_leisure {
            shared.hurry(Instant::now() + GRACE);
        }
        shared.close_streams();
        shared.room.wait_until(|| shared.writers.load(Ordering::SeqCst) == 0);
        signal_handle.close();
        // An output that failed only now has failed all the same.
        for news in inbox.try_iter() {
            if let (Ok(_), Some(Err(error))) = (&result, ending.hear(news)) {
                result = Err(error);
            }
        }
        drop(inbox);
        report::ports(shared);
        result.and_then(|_| ending.failure().map_or(Ok(()), Err))
    })
}

/// Spawns a thread whose death is told to the main thread.
///
/// # Errors
/// When there is no room for another one.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    name: &'static str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<std::thread::ScopedJoinHandle<'scope, Option<T>>, Error> {
    let guarded = move || match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(_) => {
            shared.tell(News::Panicked(name));
            None
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, guarded)
        .map_err(|error| Error::new(format!("the {name} thread"), "cannot start").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Pace;

    #[test]
    fn a_thread_that_dies_is_the_end_with_an_error() {
        for name in ["reader", "writer", "accept", "tend", "signals"] {
            let wall = Arc::new(WallClock::new(Clock::start()));
            let (news, inbox) = bounded(1);
            let (readers_changed, changes) = bounded(1);
            let streams = Streams::new([(Pace::Arrival, true)], None, History::new(0, 0));
            let shared = Shared::new(
                wall,
                Arc::new([]),
                streams,
                0,
                news,
                readers_changed,
                Arc::new(Bell::new().unwrap()),
            );
            let end = std::thread::scope(|scope| {
                let dies = || -> () { panic!("on purpose") };
                spawn(scope, &shared, name, dies).unwrap();
                let mut ending = Ending { outputs_left: 1, ports_left: 1, failed: Vec::new() };
                ending.wait(&inbox, &Service::new(&shared, changes))
            });
            let error = end.expect_err("a dead thread");
            assert!(error.to_string().starts_with(&format!("the {name} thread: has died")));
        }
    }
}
