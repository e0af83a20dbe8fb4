//! Ports whose protocol or line is not set are listened to before the capture begins. Outputs are
//! open by then, and readers may come ([`Reception`]). They get the section of pcapng at once; all else
//! waits for a header that names the packets' link type.

use super::patience::{Going, Patience};
use super::port::{say_back, say_gone};
use super::reception::{Reception, begin};
use crate::config::{Auto, Port};
use crate::detect;
use crate::encode::Format;
use crate::error::Error;
use crate::framing::PROTOCOLS;
use crate::output::Stream;
use crate::recognition::{Kept, Listening, Outcome, Recalled};
use crate::source::{Pace, Source};
use crate::sys::Waker;
use crate::sys::service::{Manager, watchdog};
use crate::time::{MonoClock, ns_of, seconds};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use log::{info, warn};
use std::thread::Scope;
use std::time::Duration;

/// How often it is looked whether anybody waits for the packets still.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// After so long it is told that a line is not recognised, and again when something else is to be done.
const TOLD_AFTER: Duration = Duration::from_secs(30);

/// What listening needs besides.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// Our time.
    pub clock: MonoClock,
    /// Woken at the end.
    pub stop: &'a Waker,
    /// Whether a port that goes is the end.
    pub once: bool,
}

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
    means: Means<'_>,
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
                        listen(port, source, means, is_left)
                    },
                )
            })
            .collect();
        drop(ends);
        give_signs_of_life(scope, done.clone());
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

/// Tells systemd that we live, if it waits for that, until the ports are done: one that is away for
/// long says nothing.
fn give_signs_of_life<'scope>(scope: &'scope Scope<'scope, '_>, done: Receiver<()>) {
    let (Some(manager), Some(interval)) = (Manager::from_env(), watchdog()) else { return };
    let live = move || {
        while done.recv_timeout(interval / 2) == Err(RecvTimeoutError::Timeout) {
            manager.tell("WATCHDOG=1");
        }
    };
    if let Err(error) =
        std::thread::Builder::new().name("alive".to_owned()).spawn_scoped(scope, live)
    {
        warn!("no thread for the signs of life that systemd waits for: {error}");
    }
}

/// Tells that a port is there: again, after it has gone like this, or at last.
fn say_return(port: &Port, absence_ns: u64, going: Option<Going>) {
    match going {
        Some(going) => say_back(port, absence_ns, going),
        None => info!("{}: appeared after {}", port.name, seconds(absence_ns)),
    }
}

/// Listens to one port.
fn listen(
    port: &mut Port,
    mut source: Box<dyn Source>,
    means: Means<'_>,
    is_left: &dyn Fn() -> bool,
) -> Result<Option<Box<dyn Source>>, Error> {
    let (protocols, lines) = match port.auto {
        Auto::Protocol { line: true } => (PROTOCOLS.to_vec(), detect::lines()),
        Auto::Protocol { line: false } => (PROTOCOLS.to_vec(), vec![port.setup.line]),
        _ => (vec![port.protocol], detect::lines_of(port.protocol)),
    };
    info!("{}: listening to find out what is spoken", port.name);
    let clock = means.clock;
    let (begun, mut told) = (clock.now(), "");
    let (mut opened, mut was_there) = (begun, source.is_open());
    let mut patience = Patience::default();
    let is_stored = source.pace() == Pace::Stored;
    let mut listening = Listening::new(source.as_mut(), protocols, lines);
    let kept: Kept = loop {
        let until = clock.now().plus_ns(ns_of(LOOK_EVERY));
        match listening.run(if is_stored { None } else { Some(until) }) {
            Outcome::Recognised(verdict) => {
                (port.protocol, port.setup.line) = (verdict.protocol, verdict.line);
                info!("{}: recognised {verdict}; to name it: {}", port.name, verdict.command());
                break listening.kept();
            }
            Outcome::Stopped => return Ok(None),
            Outcome::Unknown(unknown) if is_stored || listening.has_ended() => {
                return Err(Error::new(
                    &port.name,
                    format!("was not recognised: {}", unknown.advice()),
                )
                .hint("choose a protocol with -p; serialshark protocols lists them"));
            }
            Outcome::Unknown(_) if is_left() => return Ok(None),
            Outcome::Unknown(unknown) => {
                let is_long = clock.now().ns_since(begun) >= TOLD_AFTER.as_nanos() as u64;
                if is_long && told != unknown.to_do() {
                    warn!("{}: not recognised yet: {}", port.name, unknown.advice());
                    told = unknown.to_do();
                }
            }
            Outcome::Gone(why, _) if means.once && was_there => {
                return Err(Error::new(&port.name, format!("is gone: {why}")));
            }
            Outcome::Gone(why, gone) => {
                let may_loop = was_there && listening.may_return_at_once();
                let going =
                    if may_loop { patience.gone(gone.ns_since(opened)) } else { Going::default() };
                say_gone(port, &why, was_there, going, None);
                means.stop.wait(going.pause);
                let Some(back) = listening.reopen() else { return Ok(None) };
                opened = back;
                say_return(port, back.ns_since(gone), was_there.then_some(going));
                was_there = true;
            }
        }
    };
    Ok(Some(Box::new(Recalled::new(kept, source))))
}
