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
//! have [`GRACE`] to write what is left and their trailers.

mod outbox;
mod writer;

use crate::bell::Bell;
use crate::encode::{Encoder, Format, Interface, StreamCounts};
use crate::error::Error;
use crate::framing::{Protocol, Setup};
use crate::output::{Listener, Stream, fifo::Fifo, file, ring, socket::Socket};
use crate::packet::{Batch, Clock, Tally, Timestamp};
use crate::source::{self, Input, Source, serial};
use crossbeam_channel::{Receiver, Sender, bounded};
use log::{debug, info, warn};
use outbox::Outbox;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};
use writer::End;

/// How long writers may take at the end for a reader that is slow to take the rest.
const GRACE: Duration = Duration::from_millis(500);

/// A port to read and what is spoken on it.
#[derive(Clone, Debug)]
pub struct Port {
    /// The path of a tty, or `sim:NAME`.
    pub name: String,
    /// What is spoken.
    pub protocol: &'static Protocol,
    /// Rate, channel and so on.
    pub setup: Setup,
    /// Whether the sniffer may be sent commands.
    pub transmit: bool,
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
    /// When files are complete and the next one begins, if ever.
    pub rotation: Option<ring::Limits>,
    /// Ends after this many packets.
    pub count: Option<u64>,
}

/// What threads tell the main thread.
enum News {
    /// A signal asks for the end.
    Signal(i32),
    /// As many packets as asked for have been framed.
    CountReached,
    /// An output will take nothing more: with an error, or since its reader left.
    OutputEnded(Option<Error>),
    /// A thread died.
    Panicked(&'static str),
}

/// What all threads share.
struct Shared {
    clock: Clock,
    interfaces: Arc<[Interface]>,
    streams: Mutex<Vec<Arc<Outbox>>>,
    /// Packets still to be framed; `u64::MAX` without `--count`.
    remaining: AtomicU64,
    news: Sender<News>,
}

/// Captures until it is told to end, until `count` packets were framed, or until no output is
/// left.
///
/// # Errors
/// When a port or an output cannot be opened (then nothing has been started), or no output is
/// left because of errors.
pub fn run(config: &Config) -> Result<(), Error> {
    // The handlers come first: from here on SIGTERM means a clean end.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Error::new("signals", "cannot be handled").because(error))?;
    let stop =
        Bell::new().map_err(|error| Error::new("stop bell", "cannot make").because(error))?;
    let stop = Arc::new(stop);
    let clock = Clock::start();

    let mut sources = Vec::new();
    for port in &config.ports {
        let settings =
            serial::Settings { baud: port.setup.baud, drop_lines: port.protocol.drop_lines };
        sources.push(source::open(&port.name, settings, clock, Arc::clone(&stop))?);
    }
    let mut listeners: Vec<(Box<dyn Listener>, Format)> = Vec::new();
    let mut streams = Vec::new();
    for (output, format) in &config.outputs {
        match output {
            Output::Fifo(path) => listeners.push((Box::new(Fifo::listen(path)?), *format)),
            Output::Tcp(address) => listeners.push((Box::new(Socket::tcp(address)?), *format)),
            Output::Unix(path) => listeners.push((Box::new(Socket::unix(path)?), *format)),
            Output::File(path) => {
                let stream = match config.rotation {
                    Some(limits) => file::rotating(path, limits, clock.now())?,
                    None => file::create(path, config.force)?,
                };
                streams.push((stream, *format));
            }
            Output::Stdout => streams.push((file::stdout(*format != Format::Text)?, *format)),
        }
    }

    let (news, inbox) = bounded(64);
    let shared = Shared {
        clock,
        interfaces: config.ports.iter().map(interface).collect(),
        streams: Mutex::new(Vec::new()),
        remaining: AtomicU64::new(config.count.unwrap_or(u64::MAX)),
        news,
    };
    let opened = Opened { sources, listeners: &listeners, streams, signals, stop: &stop };
    supervise(config, &shared, inbox, opened)
}

fn interface(port: &Port) -> Interface {
    Interface {
        name: port.name.clone(),
        description: format!("{}, {} baud", port.protocol.help, port.setup.baud),
        baud: port.setup.baud,
        protocol: port.protocol,
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
            listening.push(spawn(scope, shared, "accept", accept));
            listening.push(spawn(scope, shared, "tend", || listener.tend()));
        }
        spawn(scope, shared, "signals", move || {
            for signal in signals.forever() {
                shared.tell(News::Signal(signal));
            }
        });
        let mut readers = Vec::new();
        for (index, (port, source)) in config.ports.iter().zip(sources).enumerate() {
            info!("{}: reading {} at {} baud", port.name, port.protocol.name, port.setup.baud);
            let read = move || read(shared, port, index, source);
            readers.push(spawn(scope, shared, "reader", read));
        }

        let result = wait_for_the_end(&inbox, outputs);
        // From here on nobody waits for news, and nobody waits to tell some.
        drop(inbox);
        stop.ring();
        let tallies: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        for (listener, _) in listeners {
            listener.stop();
        }
        for thread in listening {
            // What went wrong in it has been told.
            let _ = thread.join();
        }
        signal_handle.close();
        shared.close_streams(Instant::now() + GRACE);
        for (port, tally) in config.ports.iter().zip(tallies) {
            if let Ok(Some(tally)) = tally {
                report(&port.name, &tally);
            }
        }
        result
    })
}

/// Hears the news until there is a reason to end.
fn wait_for_the_end(inbox: &Receiver<News>, mut outputs_left: usize) -> Result<(), Error> {
    while let Ok(news) = inbox.recv() {
        match news {
            News::Signal(signal) => {
                debug!("signal {signal}: ending");
                break;
            }
            News::CountReached => break,
            News::Panicked(thread) => {
                return Err(Error::new(format!("the {thread} thread"), "has died")
                    .hint("this is a defect of serialshark; what it said above tells where"));
            }
            News::OutputEnded(error) => {
                outputs_left -= 1;
                match error {
                    Some(error) if outputs_left == 0 => return Err(error),
                    None if outputs_left == 0 => break,
                    Some(error) => log::error!("{error}"),
                    None => {}
                }
            }
        }
    }
    Ok(())
}

impl Shared {
    fn tell(&self, news: News) {
        // Fails when the end has begun already.
        let _ = self.news.send(news);
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Arc<Outbox>>> {
        // A panic elsewhere ends the program; the list is whole at every point.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the frames of one read to every open stream; `false` once no more are wanted.
    fn publish(&self, mut batch: Batch) -> bool {
        if batch.is_empty() {
            return true;
        }
        let wanted = self
            .remaining
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |remaining| {
                (remaining < u64::MAX).then(|| remaining.saturating_sub(batch.len() as u64))
            })
            .unwrap_or(u64::MAX);
        batch.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        let more = batch.len() as u64 != wanted;
        if !batch.is_empty() {
            let port = batch.port();
            let batch = Arc::new(batch);
            for outbox in self.streams().iter() {
                outbox.offer(port, &batch);
            }
        }
        if !more {
            self.tell(News::CountReached);
        }
        more
    }

    fn close_streams(&self, deadline: Instant) {
        for outbox in self.streams().iter() {
            outbox.close(deadline);
        }
    }
}

/// Spawns a thread whose death is told to the main thread.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    name: &'static str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> std::thread::ScopedJoinHandle<'scope, Option<T>> {
    let guarded = move || match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(_) => {
            shared.tell(News::Panicked(name));
            None
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, guarded).unwrap_or_else(
        // No thread, no program: there is nothing to go on with.
        |error| panic!("cannot start the {name} thread: {error}"),
    )
}

/// The reader thread: octets to frames, until the port ends or the stop bell rings.
fn read(shared: &Shared, port: &Port, index: usize, mut source: Box<dyn Source>) -> Tally {
    let mut framer = (port.protocol.framer)(&port.setup);
    let mut dialogue =
        port.protocol.dialogue.filter(|_| port.transmit).map(|dialogue| dialogue(&port.setup));
    if let Some(dialogue) = &mut dialogue {
        dialogue.start(shared.clock.now());
    }
    loop {
        let dialogue_deadline = dialogue.as_ref().and_then(|dialogue| dialogue.deadline());
        let deadline = [framer.deadline(), dialogue_deadline].into_iter().flatten().min();
        let mut batch = Batch::new(index as u16);
        let mut back = true;
        match source.read(deadline) {
            Input::Octets(octets, arrival) => {
                framer.push(octets, arrival, &mut batch);
                if let Some(dialogue) = &mut dialogue {
                    dialogue.hear(octets, arrival);
                }
            }
            Input::Silence(now) => framer.expire(now, &mut batch),
            Input::Gone(why) => {
                framer.finish(&mut batch);
                let more = shared.publish(std::mem::replace(&mut batch, Batch::new(index as u16)));
                warn!("{}: {why}; waiting for its return", port.name);
                back = more && source.reopen();
                if back {
                    info!("{}: is back", port.name);
                    if let Some(dialogue) = &mut dialogue {
                        dialogue.start(shared.clock.now());
                    }
                }
            }
            Input::Ended | Input::Stopped => {
                framer.finish(&mut batch);
                back = false;
            }
        }
        if let Some(dialogue) = &mut dialogue
            && let Some(command) = dialogue.say(shared.clock.now())
        {
            debug!("{}: sending {:?}", port.name, String::from_utf8_lossy(&command));
            if let Err(error) = source.write(&command) {
                warn!("{}: cannot send to the sniffer: {error}", port.name);
            }
        }
        if !shared.publish(batch) || !back {
            return framer.tally();
        }
    }
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
    let outbox = Outbox::new(&name, shared.interfaces.len()).map(Arc::new);
    let (encoder, outbox) = match encoder.and_then(|encoder| Ok((encoder, outbox?))) {
        Ok(both) => both,
        Err(error) => {
            let error = Error::new(&name, "cannot serve a reader").because(error);
            if only {
                shared.tell(News::OutputEnded(Some(error)));
            } else {
                log::error!("{error}");
            }
            return;
        }
    };
    shared.streams().push(Arc::clone(&outbox));
    if !only {
        info!("{name}: a reader has come");
    }
    spawn(scope, shared, "writer", move || {
        let end = writer::run(&outbox, stream, encoder, buffer, &shared.clock);
        shared.streams().retain(|other| !Arc::ptr_eq(other, &outbox));
        outbox.abandon_all();
        let counts = total(&outbox.counts());
        let error = ended(&name, &end, &counts, opened, shared.clock.now());
        if only {
            shared.tell(News::OutputEnded(error));
        } else if let Some(error) = error {
            log::error!("{error}");
        }
    });
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
