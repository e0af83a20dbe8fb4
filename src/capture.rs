//! Threads, queues, counters, shutdown. The only module that spawns.
//!
//! | thread | one per | blocks in |
//! |---|---|---|
//! | reader | port | `poll` on [port, stop bell] |
//! | accept | listener | its `accept` |
//! | tend | listener | its `tend` |
//! | writer | open stream | `epoll` on [stream, bell] |
//! | signals | program | a read of signal-hook's |
//! | main | program | the channel of [`News`] |
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
mod merge;
mod outbox;
mod reader;
mod room;
mod streams;
mod writer;

use crate::bell::Bell;
use crate::encode::{Direction, Encoder, Format, Interface, StreamCounts};
use crate::error::Error;
use crate::framing::{Framer, Protocol, Setup};
use crate::output::{Listener, Stream, fifo::Fifo, file, pipe, ring, socket::Socket};
use crate::packet::{Batch, Clock, Tally, Timestamp};
use crate::source::record::{Header, Recorder};
use crate::source::{self, Source, serial};
use crossbeam_channel::{Receiver, Sender, bounded};
use ending::{Ending, News, Pace};
use log::info;
use outbox::Outbox;
use room::Room;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};
use streams::Streams;
use writer::{Delivery, End};

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
    /// Which direction of a full-duplex line it is.
    pub direction: Direction,
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
    /// When files are complete and the next one begins, if ever.
    pub rotation: Option<ring::Limits>,
    /// Ends after this many packets.
    pub count: Option<u64>,
}

/// What all threads share.
struct Shared {
    clock: Clock,
    interfaces: Arc<[Interface]>,
    streams: Mutex<Streams>,
    news: Sender<News>,
    room: Arc<Room>,
    /// Whether a stream was ever open.
    read_by_some: AtomicBool,
    /// Writer threads that run.
    writers: AtomicUsize,
    /// Whether readers that wait for room are to give up.
    stopping: AtomicBool,
    /// Set by a signal: until when writers may take.
    limit: OnceLock<Instant>,
}

/// Captures until it is told to end, until `count` packets were framed, until all ports have
/// ended, or until no output is left.
///
/// # Errors
/// When a port or an output cannot be opened (then nothing has been started), or no output is
/// left because of errors.
pub fn run(config: &Config) -> Result<(), Error> {
    // Waits for the reader, and until it is there a signal may end the program at once: nothing
    // has been opened that wants to be closed.
    let mut streams = Vec::new();
    for (output, format) in &config.outputs {
        if let Output::Pipe(path) = output {
            streams.push((pipe::open(path)?, *format));
        }
    }
    // The handlers come next: from here on SIGTERM means a clean end.
    let signals =
        handle_signals().map_err(|e| Error::new("signals", "cannot be handled").because(e))?;
    let stop =
        Bell::new().map_err(|error| Error::new("stop bell", "cannot make").because(error))?;
    let stop = Arc::new(stop);
    let clock = Clock::start();

    for (output, _) in &config.outputs {
        if let (Output::File(path), None) = (output, config.rotation) {
            file::check(path, config.force)?;
        }
    }
    let mut sources = Vec::new();
    for port in &config.ports {
        let settings =
            serial::Settings { baud: port.setup.baud, drop_lines: port.protocol.drop_lines };
        let stop = Arc::clone(&stop);
        let source = source::open(&port.name, settings, port.paced, clock, stop)?;
        sources.push(match &port.record {
            Some(path) => record(port, source, path, config.force, clock)?,
            None => source,
        });
    }
    let mut listeners: Vec<(Box<dyn Listener>, Format)> = Vec::new();
    for (output, format) in &config.outputs {
        match output {
            Output::Pipe(_) => {} // is open
            Output::Fifo(path) => listeners.push((Box::new(Fifo::listen(path)?), *format)),
            Output::Tcp(address) => listeners.push((Box::new(Socket::tcp(address)?), *format)),
            Output::Unix(path) => listeners.push((Box::new(Socket::unix(path)?), *format)),
            Output::Stdout => streams.push((file::stdout(*format != Format::Text)?, *format)),
            Output::File(_) => {} // comes last: it may empty a file
        }
    }
    let mut last_error = None;
    for (output, format) in &config.outputs {
        let Output::File(path) = output else { continue };
        let stream = match config.rotation {
            Some(limits) => file::rotating(path, limits, clock.now()),
            None => file::create(path, config.force),
        };
        match stream {
            Ok(stream) => streams.push((stream, *format)),
            // Where files take turns, a capture is to go on for long: better told at once.
            Err(error) if config.rotation.is_some() => return Err(error),
            Err(error) => {
                if let Some(earlier) = last_error.replace(error) {
                    log::error!("{earlier}");
                }
            }
        }
    }
    if let Some(error) = last_error {
        // The other outputs go on, if there are any.
        if streams.is_empty() && listeners.is_empty() {
            return Err(error);
        }
        log::error!("{error}");
    }

    // Room for all that may be told before anybody hears it; signals are told only if they fit.
    let (news, inbox) = bounded(64 + 4 * (config.ports.len() + config.outputs.len()));
    let shared = Shared {
        clock,
        interfaces: config.ports.iter().map(interface).collect(),
        streams: Mutex::new(Streams::new(
            sources.iter().map(|source| source.is_live()),
            config.count,
            config.history_s,
        )),
        news,
        room: Arc::default(),
        read_by_some: AtomicBool::new(false),
        writers: AtomicUsize::new(0),
        stopping: AtomicBool::new(false),
        limit: OnceLock::new(),
    };
    let opened = Opened { sources, listeners: &listeners, streams, signals, stop: &stop };
    supervise(config, &shared, inbox, opened)
}

/// Asks for the signals that mean the end, but for those that whoever started us ignores, as
/// nohup does with SIGHUP. A second one ends the program at once, whatever it waits for.
fn handle_signals() -> std::io::Result<Signals> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let heeded: Vec<i32> = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|signal| ignored >> (signal - 1) & 1 == 0)
        .collect();
    let ending = Arc::new(AtomicBool::new(false));
    for &signal in &heeded {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&ending))?;
        flag::register(signal, Arc::clone(&ending))?;
    }
    // A file that grows beyond a limit is an error to report, and not a reason to die.
    flag::register(SIGXFSZ, Arc::default())?;
    Signals::new(heeded)
}

/// A source that records what this one delivers.
fn record(
    port: &Port,
    source: Box<dyn Source>,
    path: &Path,
    force: bool,
    clock: Clock,
) -> Result<Box<dyn Source>, Error> {
    let header = Header {
        protocol: port.protocol.name.to_owned(),
        baud: port.setup.baud,
        channel: port.setup.channel,
        port: port.name.clone(),
    };
    let mut file = file::create(path, force)?;
    let name = file.name().to_owned();
    // A file takes all or nothing.
    let append = Box::new(move |octets: &[u8]| file.write(octets).map(drop));
    Ok(Box::new(Recorder::new(source, name, append, &header, clock)))
}

fn interface(port: &Port) -> Interface {
    Interface {
        name: port.name.clone(),
        description: format!("{}, {} baud", port.protocol.help, port.setup.baud),
        baud: port.setup.baud,
        protocol: port.protocol,
        direction: port.direction,
    }
}

/// What `run` has opened before the first thread starts.
struct Opened<'a> {
    sources: Vec<Box<dyn Source>>,
    listeners: &'a [(Box<dyn Listener>, Format)],
    streams: Vec<(Stream, Format)>,
    signals: Signals,
    stop: &'a Bell,
}

/// Runs all threads to their end.
fn supervise(
    config: &Config,
    shared: &Shared,
    inbox: Receiver<News>,
    opened: Opened<'_>,
) -> Result<(), Error> {
    let Opened { sources, listeners, streams, mut signals, stop } = opened;
    let signal_handle = signals.handle();
    std::thread::scope(|scope| {
        let outputs = streams.len() + listeners.len();
        for (stream, format) in streams {
            open_stream(scope, shared, stream, format, true);
        }
        let mut listening = Vec::new();
        for (listener, format) in listeners {
            info!("{}: waiting for a reader: {}", listener.name(), listener.how_to_read());
            let accept = move || accept(scope, shared, listener.as_ref(), *format);
            listening.extend(shared.or_end(spawn(scope, shared, "accept", accept)));
            listening.extend(shared.or_end(spawn(scope, shared, "tend", || listener.tend())));
        }
        shared.or_end(spawn(scope, shared, "signals", move || {
            for signal in signals.forever() {
                shared.hurry(Instant::now() + GRACE);
                let _ = shared.news.try_send(News::Signal(signal));
            }
        }));
        let mut readers = Vec::new();
        for (index, (port, source)) in config.ports.iter().zip(sources).enumerate() {
            info!("{}: reading {} at {} baud", port.name, port.protocol.name, port.setup.baud);
            let read = move || reader::read(shared, port, index, source);
            readers.extend(shared.or_end(spawn(scope, shared, "reader", read)));
        }

        let mut ending = Ending { outputs_left: outputs, ports_left: config.ports.len() };
        let mut result = ending.wait(&inbox);
        let at_leisure = matches!(result, Ok(Pace::Leisure));
        stop.ring();
        shared.stopping.store(true, Ordering::SeqCst);
        shared.room.changed();
        let tallies: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        for (listener, _) in listeners {
            listener.stop();
        }
        for thread in listening {
            // What went wrong in it has been told.
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
        for (port, tally) in config.ports.iter().zip(tallies) {
            if let Ok(Some(tally)) = tally {
                report(&port.name, &tally);
            }
        }
        result.map(|_| ())
    })
}

impl Shared {
    fn tell(&self, news: News) {
        // Fails when the end has begun already.
        let _ = self.news.send(news);
    }

    /// Without this thread there is nothing to go on with.
    fn or_end<T>(&self, spawned: Result<T, Error>) -> Option<T> {
        spawned.map_err(|error| self.tell(News::NoThread(error))).ok()
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        // A panic elsewhere ends the program; the list is whole at every point.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frames of one read, and hands on what may leave; those of a port that is not
    /// live wait for room first. Returns when to call again although nothing has come; `None` if
    /// no more packets are wanted.
    fn publish(&self, batch: Batch, framer: &dyn Framer, live: bool) -> Option<Again> {
        if !live && !batch.is_empty() {
            self.wait_for_room(batch.port());
        }
        let mut streams = self.streams();
        streams.merger.push(batch, framer.open_since());
        streams.release(self.clock.now());
        let (wanted, deadline) = (streams.remaining > 0, streams.merger.deadline());
        drop(streams);
        self.room.changed();
        if !wanted {
            self.tell(News::CountReached);
            return None;
        }
        Some(Again(deadline))
    }

    /// No more frames come from this port.
    fn end_port(&self, port: usize) {
        let mut streams = self.streams();
        streams.merger.end(port);
        streams.release(self.clock.now());
        drop(streams);
        self.room.changed();
    }

    /// Waits until what was read can be taken by all open streams, the first of which may
    /// still be to come. For ports that are not live.
    fn wait_for_room(&self, port: usize) {
        let has_room = || {
            self.stopping.load(Ordering::SeqCst)
                || (self.read_by_some.load(Ordering::SeqCst) && self.streams().has_room(port))
        };
        if !has_room() {
            self.room.wait_until(has_room);
        }
    }

    /// A stream has ended: nothing more is for it.
    fn close(&self, delivery: &Arc<Delivery>) {
        self.streams().open.retain(|other| !Arc::ptr_eq(other, delivery));
        delivery.outbox.abandon_all();
        self.room.changed();
    }

    fn close_streams(&self) {
        for delivery in &self.streams().open {
            delivery.outbox.close();
        }
    }

    /// From now on writers may take until `deadline` only.
    fn hurry(&self, deadline: Instant) {
        // First for those to come, then for those that are there.
        let deadline = *self.limit.get_or_init(|| deadline);
        for delivery in &self.streams().open {
            delivery.outbox.limit(deadline);
        }
    }
}

/// A writer thread that runs; dropped when it ends, however it does.
struct Running<'a>(&'a Shared);

impl<'a> Running<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.writers.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::SeqCst);
        self.0.room.changed();
    }
}

/// When frames that wait for other ports may leave.
struct Again(Option<Timestamp>);

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

/// The accept thread: a stream for each reader that comes.
fn accept<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    listener: &dyn Listener,
    format: Format,
) {
    loop {
        match listener.accept() {
            Ok(Some(stream)) => open_stream(scope, shared, stream, format, false),
            Ok(None) => return,
            Err(error) => return shared.tell(News::OutputEnded(Some(error))),
        }
    }
}

/// Starts the writer thread of a new stream. When an `only` stream ends, so does its output;
/// others are one of many that their listener yields.
fn open_stream<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    stream: Stream,
    format: Format,
    only: bool,
) {
    let name = stream.name().to_owned();
    let opened = shared.clock.now();
    let mut buffer = Vec::new();
    let encoder = Encoder::start(format, Arc::clone(&shared.interfaces), opened, &mut buffer);
    // Room for the history on top, or a new reader would start with drops.
    let memory = outbox::QUEUE_MEMORY + shared.streams().history_memory;
    let outbox = Outbox::new(&name, shared.interfaces.len(), memory, Arc::clone(&shared.room));
    let ended_with = move |error: Option<Error>| {
        if only {
            shared.tell(News::OutputEnded(error));
        } else if let Some(error) = error {
            log::error!("{error}");
        }
    };
    let (encoder, outbox) = match encoder.and_then(|encoder| Ok((encoder, outbox?))) {
        Ok(both) => both,
        Err(error) => {
            let error = Error::new(&name, "cannot serve a reader").because(error);
            return ended_with(Some(error));
        }
    };
    let delivery = Arc::new(Delivery::new(outbox, stream, encoder, buffer, shared.clock));
    shared.streams().open(&delivery, opened);
    if let Some(deadline) = shared.limit.get() {
        delivery.outbox.limit(*deadline);
    }
    shared.read_by_some.store(true, Ordering::SeqCst);
    shared.room.changed();
    let running = Running::new(shared);
    if !only {
        info!("{name}: a reader has come");
    }
    let written = Arc::clone(&delivery);
    let spawned = spawn(scope, shared, "writer", move || {
        let _running = running;
        let end = written.run();
        shared.close(&written);
        let counts = total(&written.outbox.counts());
        ended_with(ended(&name, &end, &counts, opened, shared.clock.now()));
    });
    if let Err(error) = spawned {
        shared.close(&delivery);
        ended_with(Some(error));
    }
}

fn total(counts: &[StreamCounts]) -> StreamCounts {
    counts.iter().fold(StreamCounts::default(), |sum, port| StreamCounts {
        framed: sum.framed + port.framed,
        delivered: sum.delivered + port.delivered,
        dropped: sum.dropped + port.dropped,
        abandoned: sum.abandoned + port.abandoned,
    })
}

/// Logs how a stream ended; returns the error if it is one.
fn ended(
    name: &str,
    end: &End,
    counts: &StreamCounts,
    opened: Timestamp,
    now: Timestamp,
) -> Option<Error> {
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
    let StreamCounts { framed, delivered, dropped, abandoned } = counts;
    info!(
        "{name}: {how} after {} s: {framed} packets framed = {delivered} delivered + \
         {dropped} dropped + {abandoned} abandoned",
        now.ns_since(opened) / 1_000_000_000
    );
    debug_assert_eq!(*framed, delivered + dropped + abandoned);
    error
}

/// Logs where the octets of a port went.
fn report(name: &str, tally: &Tally) {
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
