//! All threads of a capture: how they are started, and the order in which they are ended.

#[cfg(feature = "mqtt")]
use super::bulletin;
use super::event::Event;
#[cfg(feature = "http")]
use super::figures;
use super::intake::Intake;
use super::opening::{Opened, Places};
use super::reception::Reception;
use super::recording::Recording;
use super::rounds;
#[cfg(feature = "top")]
use super::screen;
use super::serving::{Serving, open_stream};
use super::shared::Shared;
use super::shutdown::{Drain, Shutdown};
use super::signals::{Heeded, Request};
use super::{GRACE, VIEWER_GRACE, port, report};
use crate::analysis::doctor::Known;
use crate::analysis::timing::BaudFrom;
#[cfg(feature = "http")]
use crate::config::Output;
use crate::config::{Auto, Config, Port};
use crate::encode::Format;
use crate::error::Error;
use crate::output::board::Board;
#[cfg(feature = "mqtt")]
use crate::output::mqtt;
#[cfg(all(target_os = "linux", feature = "nats"))]
use crate::output::nats::Publisher;
use crate::output::viewer::Viewer;
use crate::output::{Listener, Stream};
use crate::source::Source;
use crate::sys::signals::Closer;
#[cfg(feature = "top")]
use crate::sys::terminal::Terminal;
use crate::sys::{Signal, Waker};
use crossbeam_channel::Receiver;
use log::info;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Instant;

/// What the threads borrow; it outlives all of them.
pub struct Capture<'a> {
    config: &'a Config,
    shared: &'a Shared,
    ports: Vec<Port>,
    /// Of each port, if it is recorded.
    recordings: Vec<Option<Recording>>,
    places: &'a Places,
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "for --http"))]
    board: Option<Arc<Board>>,
    /// Woken when programs that show packets are not waited for any more.
    viewers_stop: Waker,
    /// Woken when the screen is to go.
    screen_stop: Waker,
    /// Those that put streams into a store.
    #[cfg(all(target_os = "linux", feature = "nats"))]
    publishers: Vec<Publisher>,
    /// What brokers are to be told, for each port that they are told of.
    #[cfg(feature = "mqtt")]
    desks: Vec<mqtt::Desk>,
}

/// What the threads take with them.
pub struct Ends {
    /// Of each port, in their order.
    sources: Vec<Box<dyn Source>>,
    /// Files of the recordings, in the order of the ports.
    files: Vec<Option<Stream>>,
    /// Streams that are there from the start.
    streams: Vec<(Stream, Format)>,
    /// Where the line is shown.
    #[cfg(feature = "top")]
    terminal: Option<Terminal>,
}

#[cfg(feature = "top")]
impl Ends {
    /// With a terminal to show the line on.
    pub fn with_terminal(self, terminal: Option<Terminal>) -> Self {
        Self { terminal, ..self }
    }
}

impl<'a> Capture<'a> {
    /// Of all that is open; also what it takes to end it.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn new(
        config: &'a Config,
        shared: &'a Shared,
        places: &'a Places,
        opened: Opened,
    ) -> Result<(Self, Ends, Shutdown), Error> {
        let Opened { ports, sources, recordings, streams, board, .. } = opened;
        let failed = opened.failed;
        let waker =
            || Waker::new().map_err(|error| Error::new("waker", "cannot make").because(error));
        let (viewers_stop, screen_stop) = (waker()?, waker()?);
        let (recordings, files) = recordings.into_iter().map(Option::unzip).unzip();
        let shutdown = Shutdown {
            outputs_left: streams.len()
                + places.listeners.len()
                + usize::from(config.screen.is_some()),
            ports_left: ports.len(),
            follows: config.follows,
            failed,
        };
        let capture = Self {
            config,
            shared,
            ports,
            recordings,
            places,
            board,
            viewers_stop,
            screen_stop,
            #[cfg(all(target_os = "linux", feature = "nats"))]
            publishers: opened.publishers,
            #[cfg(feature = "mqtt")]
            desks: config.mqtt.iter().cloned().map(mqtt::Desk::new).collect(),
        };
        let ends = Ends {
            sources,
            files,
            streams,
            #[cfg(feature = "top")]
            terminal: None,
        };
        Ok((capture, ends, shutdown))
    }
}

/// A thread that was started; `None` if it died.
type Thread<'scope> = ScopedJoinHandle<'scope, Option<()>>;

/// The threads that run, and what ends them.
pub struct Threads<'scope> {
    /// It serves the readers that come.
    service: Option<Thread<'scope>>,
    /// They look after the places of listeners, until all is sent.
    keepers: Vec<Thread<'scope>>,
    recordings: Vec<Thread<'scope>>,
    /// Those that listen to the line and write no packets: of reports, and of a broker.
    analyses: Vec<Thread<'scope>>,
    screen: Option<Thread<'scope>>,
    ports: Vec<Thread<'scope>>,
    viewers: Vec<Arc<Viewer>>,
    watchers: Vec<Thread<'scope>>,
    signals: Closer,
}

impl<'scope> Threads<'scope> {
    /// Starts all of them, but for the writers of streams to come. Where one cannot be started the
    /// main thread is told.
    pub fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        capture: &'env Capture<'env>,
        ends: Ends,
        signals: Heeded,
        mut reception: Reception<'env>,
    ) -> Self {
        let Capture { config, shared, .. } = *capture;
        for (stream, format) in ends.streams {
            open_stream(scope, shared, stream, format, None);
        }
        let listeners = capture.places.listeners.iter();
        let keepers =
            listeners.filter_map(|it| keep(scope, shared, it.listener.as_ref())).collect();
        let mut serving = Serving::new(&capture.places.listeners, config.history_s);
        for arrival in reception.take_waiting() {
            serving.serve(scope, shared, arrival);
        }
        let service = spawn_or_end(scope, shared, "serve", move || {
            reception.serve(|arrival| serving.serve(scope, shared, arrival));
        });
        let closer = signals.closer();
        spawn_or_end(scope, shared, "signals", move || {
            signals.listen(|signal, meaning| heed(shared, signal, meaning));
        });
        let recordings = capture.recordings.iter().zip(ends.files);
        let recordings = recordings
            .filter_map(|(recording, file)| recording.as_ref().zip(file))
            .filter_map(|(it, file)| spawn_or_end(scope, shared, "recording", || it.run(file)))
            .collect();
        let analyses = analyse(scope, capture);
        #[cfg(feature = "top")]
        let screen = ends.terminal.and_then(|terminal| show(scope, capture, terminal));
        #[cfg(not(feature = "top"))]
        let screen = None;
        let ports = capture.ports.iter().zip(ends.sources).zip(&capture.recordings).enumerate();
        let ports = ports
            .filter_map(|(index, ((port, source), recording))| {
                let recording = recording.as_ref();
                let read = move || port::run(shared, port, index, source, recording, config.once);
                spawn_or_end(scope, shared, "port", read)
            })
            .collect();
        let viewings = capture.places.viewings.iter();
        let viewers: Vec<_> =
            viewings.filter_map(|viewing| shared.or_end(viewing.start()).map(Arc::new)).collect();
        let watchers = viewers.iter().filter_map(|viewer| watch(scope, capture, viewer)).collect();
        Self {
            service,
            keepers,
            recordings,
            analyses,
            screen,
            ports,
            viewers,
            watchers,
            signals: closer,
        }
    }

    /// Ends all threads in the order of the flow, for this reason, and joins them.
    ///
    /// # Errors
    /// What the reason was, if that is an error, or what failed meanwhile.
    pub fn stop(
        self,
        capture: &Capture<'_>,
        shutdown: &mut Shutdown,
        inbox: &Receiver<Event>,
        reason: Result<Drain, Error>,
    ) -> Result<(), Error> {
        let shared = capture.shared;
        let mut result = reason;
        if matches!(result, Ok(Drain::Complete)) {
            let all_read = || shared.awaited.load(Ordering::SeqCst) == 0;
            result = shutdown.wait_for_viewers(inbox, all_read);
        }
        let is_complete = matches!(result, Ok(Drain::Complete));
        let mut screen = self.screen;
        if !is_complete {
            // First of all: what comes may take long, and be worth a log line.
            capture.screen_stop.wake();
            join(screen.take().into_iter().collect());
        }
        shared.stopping.store(true, Ordering::SeqCst);
        shared.stop.wake();
        shared.gate.notify();
        join(self.ports);
        capture.recordings.iter().flatten().for_each(Recording::close);
        capture.places.listeners.iter().for_each(|it| it.listener.stop());
        join(self.service.into_iter().collect());
        if !is_complete {
            shared.set_deadline(Instant::now() + GRACE);
        }
        shared.close_streams();
        shared.gate.wait_until(|| shared.writers.load(Ordering::SeqCst) == 0);
        join(self.keepers);
        if is_complete && !self.viewers.is_empty() {
            info!("end of input: press Ctrl-C, or close the program that shows the packets");
            result = shutdown.wait_for_viewers(inbox, || false);
        }
        if screen.is_some() {
            result = shutdown.wait_for_viewers(inbox, || false);
            capture.screen_stop.wake();
            join(screen.into_iter().collect());
        }
        capture.viewers_stop.wake();
        join(self.watchers);
        self.viewers.iter().for_each(|viewer| viewer.end(VIEWER_GRACE));
        join(self.recordings);
        #[cfg(all(target_os = "linux", feature = "nats"))]
        capture.publishers.iter().for_each(Publisher::close);
        join(self.analyses);
        // As long as a disk may stall, a second signal must be heard.
        self.signals.close();
        // An output that failed only now has failed all the same.
        for event in inbox.try_iter() {
            if let (Ok(_), Some(Err(error))) = (&result, shutdown.handle(event)) {
                result = Err(error);
            }
        }
        result.and_then(|_| shutdown.failure().map_or(Ok(()), Err))
    }
}

/// The thread that looks after the place where readers come in.
fn keep<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared,
    listener: &'env dyn Listener,
) -> Option<Thread<'scope>> {
    spawn_or_end(scope, shared, "watch_path", || listener.watch_path())
}

/// The threads that listen to the line and write no packets.
fn analyse<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    capture: &'env Capture<'env>,
) -> Vec<Thread<'scope>> {
    #[allow(unused_mut, reason = "without the features that add to them")]
    let mut analyses: Vec<_> = make_rounds(scope, capture).into_iter().collect();
    #[cfg(feature = "mqtt")]
    analyses.extend(tell_broker(scope, capture));
    #[cfg(all(target_os = "linux", feature = "nats"))]
    analyses.extend(capture.publishers.iter().filter_map(|it| publish(scope, capture.shared, it)));
    #[cfg(feature = "http")]
    analyses.extend(make_figures(scope, capture));
    analyses
}

/// The thread that puts a stream into a store.
#[cfg(all(target_os = "linux", feature = "nats"))]
fn publish<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared,
    publisher: &'env Publisher,
) -> Option<Thread<'scope>> {
    let cannot = |error| Error::new("nats", "cannot begin").because(error);
    spawn_or_end(scope, shared, "nats", move || {
        shared.or_end(publisher.run().map_err(cannot));
    })
}

/// The thread that waits for the end of a program that we have started.
fn watch<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    capture: &'env Capture<'env>,
    viewer: &Arc<Viewer>,
) -> Option<Thread<'scope>> {
    let viewer = Arc::clone(viewer);
    spawn_or_end(scope, capture.shared, "viewer", move || {
        if let Some(end) = viewer.wait(&capture.viewers_stop) {
            capture.shared.send(Event::ViewerEnded(end));
        }
    })
}

/// What is known of the line of a port beforehand.
fn known(port: &Port) -> Known {
    let from = if port.recorded { BaudFrom::Recording } else { BaudFrom::User };
    // A rate that is searched for is told from the times of frames.
    let baud = (port.auto != Auto::LineLater).then_some((port.setup.line.baud, from));
    Known { baud, latency_ms: None }
}

/// The thread that makes reports, if they are asked for.
fn make_rounds<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    capture: &'env Capture<'env>,
) -> Option<Thread<'scope>> {
    let Capture { config, shared, .. } = *capture;
    let (reporting, port) = config.reporting.as_ref().zip(capture.ports.first())?;
    let intake = Intake::open(shared, "report", false)
        .map_err(|error| Error::new("report", "cannot begin").because(error));
    let intake = shared.or_end(intake)?;
    let make = move || rounds::run(shared, intake, reporting, config.permissions, known(port));
    spawn_or_end(scope, shared, "rounds", make)
}

/// The thread that makes the figures for those who look at them.
#[cfg(feature = "http")]
fn make_figures<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    capture: &'env Capture<'env>,
) -> Option<Thread<'scope>> {
    let Capture { config, shared, .. } = *capture;
    let board = capture.board.as_deref()?;
    // What is stored waits for its readers. Where there is no other output this is one.
    let is_alone = config.outputs.iter().all(|(output, _)| matches!(output, Output::Http { .. }));
    let intake = Intake::open(shared, "figures", is_alone && !shared.is_live)
        .map_err(|error| Error::new("figures", "cannot be made").because(error));
    let intake = shared.or_end(intake)?;
    let known: Vec<_> = capture.ports.iter().map(known).collect();
    let make = move || figures::run(shared, intake, board, &known);
    spawn_or_end(scope, capture.shared, "figures", make)
}

/// The threads that tell brokers of the lines, if there are any: one listens, one talks for each.
#[cfg(feature = "mqtt")]
fn tell_broker<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    capture: &'env Capture<'env>,
) -> Vec<Thread<'scope>> {
    let shared = capture.shared;
    let desks = &capture.desks;
    if desks.is_empty() {
        return Vec::new();
    }
    let cannot = |error| Error::new("mqtt", "cannot begin").because(error);
    let Some(intake) = shared.or_end(Intake::open(shared, "mqtt", false).map_err(cannot)) else {
        return Vec::new();
    };
    let known: Vec<_> = capture.ports.iter().map(known).collect();
    let others_remark = capture.config.reporting.is_some();
    let listen = move || bulletin::run(shared, intake, desks, &known, others_remark);
    let Some(listens) = spawn_or_end(scope, shared, "mqtt", listen) else { return Vec::new() };
    let talk = |desk: &'env mqtt::Desk| {
        let talk = move || {
            shared.or_end(desk.run().map_err(cannot));
        };
        spawn_or_end(scope, shared, "broker", talk)
    };
    [listens].into_iter().chain(desks.iter().filter_map(talk)).collect()
}

/// The thread that shows the line on a terminal.
#[cfg(feature = "top")]
fn show<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    capture: &'env Capture<'env>,
    terminal: Terminal,
) -> Option<Thread<'scope>> {
    let Capture { config, shared, .. } = *capture;
    let (pane, port) = config.screen.as_ref().zip(capture.ports.first())?;
    let intake = Intake::open(shared, "top", true)
        .map_err(|error| Error::new("top", "cannot begin").because(error));
    let intake = shared.or_end(intake)?;
    let leave = &capture.screen_stop;
    let show = move || screen::run(shared, intake, terminal, pane, known(port), leave);
    spawn_or_end(scope, shared, "top", show)
}

/// Does what a signal asks for.
fn heed(shared: &Shared, signal: Signal, meaning: Request) {
    match meaning {
        Request::Counters => report::all(shared),
        Request::NextFiles => shared.start_next_streams(),
        Request::End => {
            shared.set_deadline(Instant::now() + GRACE);
            let _ = shared.events.try_send(Event::Signal(signal));
        }
    }
}

/// Waits until these have ended; what went wrong in them has been told.
fn join(threads: Vec<Thread<'_>>) {
    for thread in threads {
        let _ = thread.join();
    }
}

/// Spawns a thread without which there is nothing to go on with.
fn spawn_or_end<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    name: &'static str,
    body: impl FnOnce() + Send + 'scope,
) -> Option<Thread<'scope>> {
    shared.or_end(spawn(scope, shared, name, body))
}

/// Spawns a thread whose death is told to the main thread.
///
/// # Errors
/// When there is no room for another one.
pub fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    name: &'static str,
    body: impl FnOnce() + Send + 'scope,
) -> Result<Thread<'scope>, Error> {
    let guarded = move || match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => Some(()),
        Err(_) => {
            shared.send(Event::Panicked(name));
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
    use super::super::history::History;
    use super::super::service::Service;
    use super::super::streams::Streams;
    use super::*;
    use crate::source::Pace;
    use crate::time::MonoClock;
    use crate::time::wall_clock::WallClock;
    use crossbeam_channel::bounded;

    #[test]
    fn a_thread_that_dies_is_the_end_with_an_error() {
        for name in ["port", "writer", "accept", "watch_path", "signals"] {
            let wall = Arc::new(WallClock::new(MonoClock::start()));
            let (events, inbox) = bounded(1);
            let (readers_changed, changes) = bounded(1);
            let streams = Streams::new([(Pace::Arrival, true)], None, History::new(0, 0));
            let shared = Shared::new(
                wall,
                Arc::new([]),
                streams,
                0,
                events,
                readers_changed,
                Arc::new(Waker::new().unwrap()),
            );
            let end = std::thread::scope(|scope| {
                let dies = || -> () { panic!("on purpose") };
                spawn(scope, &shared, name, dies).unwrap();
                let mut shutdown =
                    Shutdown { outputs_left: 1, ports_left: 1, follows: false, failed: Vec::new() };
                shutdown.wait(&inbox, &Service::new(&shared, changes, false))
            });
            let error = end.expect_err("a dead thread");
            assert!(error.to_string().starts_with(&format!("the {name} thread: has died")));
        }
    }
}
