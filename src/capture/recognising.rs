//! Ports whose protocol or line is not set are listened to before the capture begins. Outputs are
//! open by then, and readers may come ([`Reception`]). They get the section of pcapng at once; all else
//! waits for a header that names the packets' link type.

use super::reception::{Reception, begin};
use crate::config::{Auto, Port};
use crate::detect;
use crate::encode::Format;
use crate::error::Error;
use crate::framing::PROTOCOLS;
use crate::output::Stream;
use crate::recognition::{Kept, Listening, Outcome, Recalled};
use crate::source::{Pace, Source};
use crate::sys::service::{Manager, watchdog};
use crate::time::{MonoClock, ns_of};
use crossbeam_channel::bounded;
use log::{info, warn};
use std::time::Duration;

/// How often it is looked whether anybody waits for the packets still.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is told that a line is not recognised.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Finds out what is to be found out of each port, and changes the port accordingly. `None` if the end
/// has come first: a signal, or the readers of `streams` have left, and there is nothing more.
///
/// # Errors
/// When a port has ended unrecognised.
pub fn recognise(
    ports: &mut [Port],
    sources: Vec<Box<dyn Source>>,
    streams: &mut [(Stream, Format)],
    has_more: bool,
    reception: &mut Reception<'_>,
    clock: MonoClock,
) -> Result<Option<Vec<Box<dyn Source>>>, Error> {
    let is_awaited = |port: &Port| !matches!(port.auto, Auto::Nothing | Auto::LineLater);
    if !ports.iter().any(is_awaited) {
        return Ok(Some(sources));
    }
    streams.iter_mut().for_each(|(stream, format)| begin(stream, *format));
    let readers: Vec<_> = streams.iter().filter_map(|(stream, _)| stream.sink()).collect();
    // With another output, or with a listener, there is somebody to go on for.
    let are_all = !readers.is_empty() && readers.len() == streams.len() && !has_more;
    let is_left = &|| are_all && readers.iter().all(|reader| reader.is_left());
    if let Some(manager) = Manager::from_env() {
        // As ready as it gets: a line may be quiet for days.
        manager.tell("READY=1\nSTATUS=listening to find out what is spoken");
    }
    let (ends, done) = bounded::<()>(0);
    // At once: one port must not overflow while another one is quiet.
    std::thread::scope(|scope| {
        let threads: Vec<_> = ports
            .iter_mut()
            .zip(sources)
            .map(|(port, source)| {
                let ends = ends.clone();
                std::thread::Builder::new().name("listen".to_owned()).spawn_scoped(
                    scope,
                    move || {
                        // Dropped at its end.
                        let _ends = ends;
                        if !is_awaited(port) {
                            return Ok(Some(source));
                        }
                        listen(port, source, clock, is_left)
                    },
                )
            })
            .collect();
        drop(ends);
        reception.receive_until(&done);
        let sources = threads.into_iter().map(|thread| {
            let thread = thread
                .map_err(|error| Error::new("the listen thread", "cannot start").because(error))?;
            thread.join().unwrap_or_else(|_| Err(Error::new("the listen thread", "has died")))
        });
        // All of them: none may be left behind.
        sources.collect::<Vec<_>>().into_iter().collect()
    })
}

/// Listens to one port.
fn listen(
    port: &mut Port,
    mut source: Box<dyn Source>,
    clock: MonoClock,
    is_left: &dyn Fn() -> bool,
) -> Result<Option<Box<dyn Source>>, Error> {
    let (protocols, lines) = match port.auto {
        Auto::Protocol { line: true } => (PROTOCOLS.to_vec(), detect::lines()),
        Auto::Protocol { line: false } => (PROTOCOLS.to_vec(), vec![port.setup.line]),
        _ => (vec![port.protocol], detect::lines_of(port.protocol)),
    };
    info!("{}: listening to find out what is spoken", port.name);
    let manager = Manager::from_env();
    let wake_up = watchdog().map_or(LOOK_EVERY, |interval| (interval / 2).min(LOOK_EVERY));
    let mut told = clock.now();
    let is_stored = source.pace() == Pace::Stored;
    let mut listening = Listening::new(source.as_mut(), protocols, lines);
    let kept: Kept = loop {
        let until = clock.now().plus_ns(ns_of(wake_up));
        match listening.run(if is_stored { None } else { Some(until) }) {
            Outcome::Recognised(verdict) => {
                (port.protocol, port.setup.line) = (verdict.protocol, verdict.line);
                info!("{}: recognised {verdict}; to name it: {}", port.name, verdict.command());
                break listening.kept();
            }
            Outcome::Stopped => return Ok(None),
            Outcome::Unknown(unknown) if is_stored => {
                return Err(Error::new(
                    &port.name,
                    format!("was not recognised: {}", unknown.advice()),
                )
                .hint("choose a protocol with -p; serialshark protocols lists them"));
            }
            Outcome::Unknown(_) if is_left() => return Ok(None),
            Outcome::Unknown(unknown) => {
                if let Some(manager) = &manager {
                    manager.tell("WATCHDOG=1");
                }
                if clock.now().ns_since(told) >= TOLD_EVERY.as_nanos() as u64 {
                    warn!("{}: not recognised yet: {}", port.name, unknown.advice());
                    told = clock.now();
                }
            }
        }
    };
    Ok(Some(Box::new(Recalled::new(kept, source))))
}
