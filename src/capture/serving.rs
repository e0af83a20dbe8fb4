//! A writer thread for each reader that comes, and the account of each stream at its end.

use super::ending::News;
use super::outbox::Outbox;
use super::report;
use super::shared::{Running, Shared};
use super::spawn;
use super::writer::Delivery;
use crate::encode::{Encoder, Format};
use crate::error::Error;
use crate::output::{Listener, Stream};
use log::{Level, info};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Scope;

/// The accept thread: a stream for each reader that comes.
pub fn accept<'scope>(
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
pub fn open_stream<'scope>(
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
    let ports = shared.interfaces.len();
    let outbox = Outbox::new(&name, ports, shared.queue_memory, Arc::clone(&shared.room));
    let ended_with = move |error: Option<Error>| {
        if only {
            shared.tell(News::OutputEnded(error));
        } else if let Some(error) = error {
            error.log(Level::Error);
        }
    };
    let (mut encoder, outbox) = match encoder.and_then(|encoder| Ok((encoder, outbox?))) {
        Ok(both) => both,
        Err(error) => {
            let error = Error::new(&name, "cannot serve a reader").because(error);
            return ended_with(Some(error));
        }
    };
    encoder.set_wall(shared.wall.now());
    let wall = Arc::clone(&shared.wall);
    let delivery = Arc::new(Delivery::new(outbox, stream, encoder, buffer, wall, shared.is_live));
    shared.streams().open(&delivery, opened);
    if let Some(deadline) = shared.limit.get() {
        delivery.outbox.limit(*deadline);
    }
    shared.read_by_some.store(true, Ordering::SeqCst);
    shared.room.changed();
    let running = Running::new(shared, !only);
    if !only {
        info!("{name}: a reader has come");
    }
    let written = Arc::clone(&delivery);
    let spawned = spawn(scope, shared, "writer", move || {
        let _running = running;
        let end = written.run(|| shared.streams().history.feed(&written));
        shared.close(&written);
        ended_with(report::ended(&written, &end, shared.clock.now()));
    });
    if let Err(error) = spawned {
        shared.close(&delivery);
        ended_with(Some(error));
    }
}
