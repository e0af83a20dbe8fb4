//! A writer thread for each reader that comes, and the account of each stream at its end.

use super::event::Event;
use super::opening::Listening;
use super::queue::Queue;
use super::reception::Arrival;
use super::report;
use super::shared::{Running, Shared};
use super::threads::spawn;
use super::visits::Visits;
use super::writer::past::Past;
use super::writer::{End, StreamWriter};
use crate::encode::{Encoder, Format};
use crate::error::Error;
use crate::output::Stream;
use crate::time::{Timestamp, ns_of};
use log::{Level, log};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Scope;
use std::time::Instant;

/// Who serves the readers that come to the listeners.
pub struct Serving<'env> {
    listeners: &'env [Listening],
    /// Listeners of programs that we have started, and that have not come yet.
    awaited: Vec<bool>,
    visits: Vec<Visits>,
    history_s: u64,
}

impl<'env> Serving<'env> {
    /// For these listeners. The first reader of a program that we have started gets all so far,
    /// others the last `history_s` seconds.
    pub fn new(listeners: &'env [Listening], history_s: u64) -> Self {
        let awaited = listeners.iter().map(|it| it.is_viewers).collect();
        let visits = listeners.iter().map(|_| Visits::new(Instant::now())).collect();
        Self { listeners, awaited, visits, history_s }
    }

    /// Starts a stream for a reader that has come.
    pub fn serve<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        shared: &'scope Shared,
        arrival: Arrival,
    ) {
        let (index, stream) = match arrival {
            Arrival::Reader(index, stream) => (index, stream),
            Arrival::Closed(error) => return shared.send(Event::OutputEnded(Some(error))),
            Arrival::Died => return shared.send(Event::Panicked("accept")),
        };
        let level = self.visits[index].next(stream.name(), Instant::now());
        open_stream(scope, shared, stream, self.listeners[index].format, Some(level));
        if std::mem::take(&mut self.awaited[index])
            && shared.awaited.fetch_sub(1, Ordering::SeqCst) == 1
        {
            shared.streams().history.set_reach(self.history_s);
            shared.gate.notify();
            shared.send(Event::ViewersRead);
        }
    }
}

/// Starts the writer thread of a new stream. A `reader` is one of many that a listener yields, told of
/// at this level; any other stream is the only one of its output, which ends with it.
pub fn open_stream<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared,
    stream: Stream,
    format: Format,
    reader: Option<Level>,
) {
    let only = reader.is_none();
    let name = stream.name().to_owned();
    let opened = shared.clock.now();
    let last = stream.last();
    let ended_with = move |error: Option<Error>| {
        if only {
            shared.send(Event::OutputEnded(error));
        } else if let Some(error) = error {
            // The others are served, and so is who comes next: descriptors that were few, a
            // client whose network is gone.
            error.log(Level::Warn);
        }
    };
    let stream = match writer(shared, stream, format, opened) {
        Ok(stream) => Arc::new(stream),
        Err(error) => {
            let error = Error::new(&name, "cannot serve a reader").because(error);
            return ended_with(Some(error));
        }
    };
    let most_ns = last.map_or(u64::MAX, ns_of);
    let past = open_or_find(shared, &stream, opened, most_ns);
    if let Some(deadline) = shared.limit.get() {
        stream.queue.limit(*deadline);
    }
    shared.read_by_some.store(true, Ordering::SeqCst);
    shared.gate.notify();
    let running = Running::new(shared, !only);
    if let Some(level) = reader {
        log!(level, "{name}: a reader has come");
    }
    let written = Arc::clone(&stream);
    let spawned = spawn(scope, shared, "writer", move || {
        let _running = running;
        let end = write(shared, &written, past, last.is_some());
        shared.close(&written);
        let level = reader.unwrap_or(Level::Info);
        ended_with(report::ended(&written, &end, shared.clock.now(), level));
    });
    if let Err(error) = spawned {
        shared.close(&stream);
        ended_with(Some(error));
    }
}

/// Writes a stream to its end: the past first. That is all, if it `is_past`.
fn write(shared: &Shared, stream: &Arc<StreamWriter>, past: Option<Past>, is_past: bool) -> End {
    let wanted = past.as_ref().map_or(0, |past| past.wanted);
    let copied = |number| {
        // What the files did not get in time.
        if number < wanted {
            shared.streams().history.begin_at(stream, number);
        }
    };
    stream.run(past, copied, || {
        let more = shared.streams().history.feed(stream);
        if !more && is_past {
            stream.queue.close();
        }
        more
    })
}

/// Opens a stream. One that wants more of the past than the history has is to read files first, if there
/// are some: returns what it finds there.
fn open_or_find(
    shared: &Shared,
    stream: &Arc<StreamWriter>,
    opened: Timestamp,
    most_ns: u64,
) -> Option<Past> {
    let mut streams = shared.streams();
    let trail = shared.trail.as_ref().filter(|_| stream.is_past());
    let trail = trail.filter(|_| !streams.history.covers(opened, most_ns));
    let Some(trail) = trail else {
        streams.open(stream, opened, most_ns);
        return None;
    };
    streams.open.push(Arc::clone(stream));
    let wanted = streams.left;
    drop(streams);
    let (interfaces, mut header) = (Arc::clone(&shared.interfaces), Vec::new());
    Encoder::start(Format::Pcapng, Arc::clone(&interfaces), opened, &mut header).ok()?;
    let offset_ns = shared.wall.now().offset_ns;
    let since = opened.minus_ns(most_ns);
    Some(Past { trail: Arc::clone(trail), interfaces, header, since, offset_ns, wanted })
}

/// What writes a stream, with its header ready to be written.
fn writer(
    shared: &Shared,
    stream: Stream,
    format: Format,
    opened: Timestamp,
) -> io::Result<StreamWriter> {
    let mut buffer = Vec::new();
    let interfaces = match stream.port().and_then(|port| shared.interfaces.get(port)) {
        Some(only) => Arc::new([only.clone()]),
        None => Arc::clone(&shared.interfaces),
    };
    let mut encoder = Encoder::start(format, interfaces, opened, &mut buffer)?;
    // Its section, if that was written while its ports were listened to.
    let written = usize::try_from(stream.written()).unwrap_or(usize::MAX);
    buffer.drain(..written.min(buffer.len()));
    let ports = shared.interfaces.len();
    let queue = Queue::new(stream.name(), ports, shared.queue_memory, Arc::clone(&shared.gate))?;
    encoder.set_wall_offset(shared.wall.now());
    let wall = Arc::clone(&shared.wall);
    Ok(StreamWriter::new(queue, stream, encoder, buffer, wall, shared.is_live))
}
