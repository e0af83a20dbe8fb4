//! Threads, queues, counters, shutdown. The only module that spawns.
//!
//! | thread | one per | blocks in |
//! |---|---|---|
//! | port | port | `poll` on [port, stop waker] |
//! | accept | listener | its `accept` |
//! | serve | program | the channel of [`reception::Arrival`] |
//! | watch_path | listener | its `watch_path` |
//! | writer | open stream | `epoll` on [stream, waker] |
//! | top | `serialshark top` | `poll` on [terminal, waker] |
//! | rounds | reports on a line | `epoll` on [waker of its queue] |
//! | figures | `--http` | `epoll` on [waker of its queue] |
//! | signals | program | a read of signal-hook's |
//! | viewer | program started by `--wireshark` | `poll` on [process, waker] |
//! | main | program | the channel of [`event::Event`]; [`Service`]'s, if systemd listens |
//!
//! All of them are scoped to [`run`]: none outlives it, and none can be left unjoined.
//!
//! Shutdown follows the flow: port threads first, so that the octets they hold become frames; then
//! listeners, so that no new reader comes; then the queues are closed, and the writers write what is
//! left, and their trailers. After a signal they have [`GRACE`] for that; at the end of the input
//! they have all the time they need, unless a signal comes then.
//!
//! Files are never dropped: their port thread waits until a first stream is open, and then until
//! every queue has room. So one stalled reader stalls a replay for all readers.

mod account;
#[cfg(feature = "mqtt")]
mod bulletin;
mod doubtful;
mod event;
#[cfg(feature = "http")]
mod figures;
mod gate;
pub(crate) mod hearing;
mod history;
mod intake;
mod line_search;
mod merge;
mod opening;
mod patience;
mod port;
mod queue;
mod reception;
mod recognising;
mod recording;
mod report;
mod rounds;
#[cfg(feature = "top")]
mod screen;
mod service;
mod serving;
mod shared;
mod shutdown;
mod signals;
mod streams;
mod threads;
mod visits;
mod writer;

#[cfg(feature = "top")]
use crate::analysis::live::Live;
use crate::config::{Config, Output};
use crate::encode::Format;
use crate::error::Error;
use crate::sys;
use crate::sys::Waker;
#[cfg(feature = "top")]
use crate::sys::terminal::Terminal;
use crate::time::MonoClock;
use crate::time::wall_clock::WallClock;
use crossbeam_channel::bounded;
use history::History;
use opening::{Opened, Places};
use reception::Reception;
use service::Service;
use shared::Shared;
use shutdown::Drain;
use signals::{Heeded, WhileOpening};
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use streams::Streams;
use threads::{Capture, Threads};

/// How long writers may take at the end for a reader that is slow to take the rest.
const GRACE: Duration = Duration::from_millis(500);
/// How long a program that we have started may take until it reads, without missing anything, in
/// seconds; of what is read from files it misses nothing in any case.
const VIEWER_START_S: u64 = 60;
/// What is read again where a capture begins anew: figures are on as much, or more.
const RECENT_NS: u64 = 3_600_000_000_000;
/// What begins anew after less than this waits as long before.
const SHORT: Duration = Duration::from_secs(5);
/// How long it may take for its end.
const VIEWER_GRACE: Duration = Duration::from_secs(2);

/// Captures until it is told to end, until `count` packets were framed, until all ports have
/// ended, or until no output is left.
///
/// # Errors
/// When a port or an output cannot be opened (then nothing has been started), or no output is
/// left because of errors; and at the end, when an output has failed although others went on.
pub fn run(config: &Config) -> Result<(), Error> {
    if !config.follows {
        return run_once(config, None).map(drop);
    }
    // Hears a signal that comes between two captures.
    let stop =
        Arc::new(Waker::new().map_err(|error| Error::new("waker", "cannot make").because(error))?);
    let signals = WhileOpening::new(Arc::clone(&stop))
        .map_err(|error| Error::new("signals", "cannot be handled").because(error))?;
    let mut config = config.clone();
    loop {
        let begun = Instant::now();
        let result = run_once(&config, Some(&stop));
        // What has hardly begun would end as soon again.
        let pause = if begun.elapsed() < SHORT { SHORT } else { Duration::ZERO };
        if !matches!(result, Ok(After::Anew)) || stop.wait(pause) {
            signals.finish();
            return result.map(drop);
        }
        go_on(&mut config);
    }
}

/// What is after a capture.
enum After {
    Nothing,
    /// Another one, of other ports.
    Anew,
}

/// What follows a capture whose ports are not the same any more: it is of what was stored lately.
fn go_on(config: &mut Config) {
    let recent = MonoClock::start().now().minus_ns(RECENT_NS);
    config.wait = true;
    for query in config.ports.iter_mut().filter_map(|port| port.query.as_mut()) {
        query.range.from = query.range.from.map(|from| from.max(recent));
    }
}

/// One capture. With `ended` it does not begin any more once that was woken.
fn run_once(config: &Config, ended: Option<&Waker>) -> Result<After, Error> {
    #[cfg(feature = "top")]
    let terminal = config.screen.as_ref().map(|_| Terminal::open()).transpose()?;
    let streams = opening::pipes(config)?;
    // The handlers come next: from here on SIGTERM means a clean end.
    let signals = signals::handle(hangup_reloads(config))
        .map_err(|e| Error::new("signals", "cannot be handled").because(e))?;
    if ended.is_some_and(|ended| ended.wait(Duration::ZERO)) {
        return Ok(After::Nothing);
    }
    let stop =
        Waker::new().map_err(|error| Error::new("stop waker", "cannot make").because(error))?;
    let stop = Arc::new(stop);
    let wall = Arc::new(WallClock::new(MonoClock::start()));
    let opening = WhileOpening::new(Arc::clone(&stop))
        .map_err(|error| Error::new("signals", "cannot be handled").because(error))?;
    let mut opened = opening::open(config, streams, &wall, &stop);
    let mut places = Places::default();
    if let Ok(Some(opened)) = &mut opened {
        places = std::mem::take(&mut opened.places);
    }
    std::thread::scope(|scope| {
        let opened = opened.and_then(|opened| {
            let Some(mut opened) = opened else { return Ok(None) };
            let mut reception = Reception::start(scope, &places.listeners)?;
            let has_listeners = !places.listeners.is_empty();
            let means = recognising::Means { clock: wall.clock(), stop: &stop, once: config.once };
            let go_on = opened.complete(config, &mut reception, has_listeners, means)?;
            Ok(go_on.then_some((opened, reception)))
        });
        // Whoever listens next hears the same signal: what is open is ended in its order.
        let (opened, reception) = match (opening.finish(), opened) {
            (true, Err(_)) | (_, Ok(None)) => return Ok(After::Nothing),
            (_, Err(error)) => return Err(error),
            (_, Ok(Some(both))) => both,
        };
        let means = Means {
            wall,
            stop,
            signals,
            #[cfg(feature = "top")]
            terminal,
        };
        capture(config, means, opened, &places, reception)
    })
}

/// What a capture has from the start.
struct Means {
    wall: Arc<WallClock>,
    stop: Arc<Waker>,
    signals: Heeded,
    #[cfg(feature = "top")]
    terminal: Option<Terminal>,
}

/// Captures from what is open to the end.
fn capture(
    config: &Config,
    means: Means,
    mut opened: Opened,
    places: &Places,
    reception: Reception<'_>,
) -> Result<After, Error> {
    let is_awaited = !places.viewings.is_empty();
    let awaited_s = if is_awaited { VIEWER_START_S } else { 0 };
    let ports = opened.sources.iter().map(|source| (source.pace(), source.is_live()));
    // A program that is only starting misses nothing.
    let history = History::new(config.history_s.max(awaited_s), config.history_memory);
    let streams = Streams::new(ports, config.count, history);
    let interfaces = opened.ports.iter().map(opening::interface).collect();
    // Room for all that may be told before anybody hears it; signals are told only if they fit.
    let (events, inbox) = bounded(64 + 4 * (opened.ports.len() + config.outputs.len()));
    let (readers_changed, changes) = bounded(1);
    let Means { wall, stop, signals, .. } = means;
    let shared =
        Shared::new(wall, interfaces, streams, config.queue_memory, events, readers_changed, stop);
    let shared = Shared { trail: opened.trail.take(), ..shared };
    shared.awaited.store(places.viewings.len(), Ordering::SeqCst);
    let may_show = config.screen.is_none() && !prints_on_a_terminal(config);
    let service = Service::new(&shared, changes, may_show);

    let (capture, ends, mut shutdown) = Capture::new(config, &shared, places, opened)?;
    #[cfg(feature = "top")]
    let ends = ends.with_terminal(means.terminal);
    let result = std::thread::scope(|scope| {
        let threads = Threads::start(scope, &capture, ends, signals, reception);
        service.ready(&shutdown.failed);
        let reason = shutdown.wait(&inbox, &service);
        let is_anew = matches!(reason, Ok(Drain::Anew));
        let after = if is_anew { After::Anew } else { After::Nothing };
        if !is_anew {
            service.stopping(&shutdown.failed);
        }
        threads.stop(&capture, &mut shutdown, &inbox, reason).map(|()| after)
    });
    report::ports(&shared);
    result
}

/// Shows what is known of a line, to which nothing is added any more, until the user leaves or a
/// signal comes.
///
/// # Errors
/// When there is no terminal for it.
#[cfg(feature = "top")]
pub fn browse(live: Live, title: &str) -> Result<(), Error> {
    let terminal = Terminal::open()?;
    let cannot = |error| Error::new("signals", "cannot be handled").because(error);
    let stop = Arc::new(Waker::new().map_err(cannot)?);
    let signals = WhileOpening::new(Arc::clone(&stop)).map_err(cannot)?;
    screen::browse(live, title, terminal, &stop);
    signals.finish();
    Ok(())
}

/// Whether the packets themselves are lines on a terminal.
fn prints_on_a_terminal(config: &Config) -> bool {
    let prints = |(output, format): &(Output, Format)| {
        *output == Output::Stdout && matches!(format, Format::Text(_))
    };
    config.outputs.iter().any(prints) && std::io::stdout().is_terminal()
}

/// Whether SIGHUP may ask for new files, and not only tell that a terminal was closed.
fn hangup_reloads(config: &Config) -> bool {
    config.rotation.is_some() || sys::service::is_manager()
}
