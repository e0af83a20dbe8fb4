//! The reader thread of one port: octets to frames, and commands to a sniffer that needs them.

use super::Port;
use super::ending::News;
use super::hearing::{self, Hearing, Told};
use super::patience::{Going, Patience};
use super::recording::{Recording, Tee};
use super::shared::{Again, Shared};
use crate::error::Error;
use crate::packet::{Batch, seconds};
use crate::source::record::Kind;
use crate::source::{Input, Pace, Source};
use log::{Level, debug, info, warn};

/// Reads until the port ends or the stop bell rings; with `once`, until it vanishes.
pub fn read(
    shared: &Shared,
    port: &Port,
    index: usize,
    mut source: Box<dyn Source>,
    recording: Option<&Recording>,
    once: bool,
) {
    let mut tee = recording.map(Tee::new);
    let mut framer = (port.protocol.framer)(&port.setup);
    let mut dialogue =
        port.protocol.dialogue.filter(|_| port.transmit).map(|dialogue| dialogue(&port.setup));
    if let Some(dialogue) = &mut dialogue {
        dialogue.start(shared.clock.now());
    }
    let live = source.is_live();
    // What is stored makes sense or not at once, and nobody can do anything about it.
    let mut hearing = (source.pace() == Pace::Arrival)
        .then(|| Hearing::new(port.protocol, port.setup.baud, shared.clock.now()));
    let mut again = Again(None);
    let mut was_there = source.is_open();
    let (mut opened, mut good_frames) = (shared.clock.now(), 0);
    let mut patience = Patience::default();
    let (mut gap_ns, mut missing, mut is_stranger) = (0, 0, false);
    loop {
        let dialogue_deadline = dialogue.as_ref().and_then(|dialogue| dialogue.deadline());
        let hearing_deadline = hearing.as_ref().and_then(Hearing::deadline);
        let deadlines = [framer.deadline(), dialogue_deadline, hearing_deadline, again.0];
        let mut batch = Batch::new(index as u16);
        let (mut gone, mut ended, mut all_read) = (None, false, false);
        match source.read(deadlines.into_iter().flatten().min()) {
            Input::Octets(octets, arrival) => {
                if let Some(tee) = &mut tee {
                    tee.stage(Kind::Octets, arrival, octets);
                }
                framer.push(octets, arrival, &mut batch);
                let frames = framer.tally().good_frames > good_frames;
                if let Some(failures) = patience.hear(octets, frames) {
                    info!("{}: works again, after {failures} failures", port.name);
                }
                if let Some(hearing) = &mut hearing {
                    let told = hearing.octets(&framer.tally(), arrival);
                    tell(shared, port, index, hearing, told);
                }
                if let Some(dialogue) = &mut dialogue {
                    let heard = dialogue.hear(octets, arrival);
                    if heard || framer.restarted() && dialogue.restart(arrival) {
                        info!("{}: the sniffer has restarted; it is set up again", port.name);
                    }
                }
            }
            Input::Silence(now) => {
                if let Some(tee) = &mut tee {
                    tee.stage(Kind::Silence, now, &[]);
                }
                framer.expire(now, &mut batch);
                if let Some(hearing) = &mut hearing {
                    let told = hearing.silence(now);
                    tell(shared, port, index, hearing, told);
                }
            }
            Input::Gone(why, when) => {
                if let Some(tee) = &mut tee {
                    tee.event(Kind::Gone, when, &why);
                }
                framer.finish(&mut batch);
                if once && was_there {
                    shared.tell(News::PortGone(Error::new(&port.name, format!("is gone: {why}"))));
                    ended = true;
                } else {
                    gone = Some((when, why));
                }
            }
            Input::Missing(octets, when) => {
                warn!("{}: {octets} bytes are missing in the recording here", port.name);
                if let Some(tee) = &mut tee {
                    tee.stage(Kind::Missing, when, &octets.to_le_bytes());
                }
                framer.finish(&mut batch);
                missing += octets;
            }
            Input::Ended => {
                framer.finish(&mut batch);
                all_read = true;
                ended = true;
            }
            Input::Stopped => {
                framer.finish(&mut batch);
                ended = true;
            }
        }
        if !batch.is_empty() || tee.as_ref().is_some_and(Tee::is_staged) {
            let wall = source.wall().unwrap_or_else(|| shared.wall.now());
            batch.set_wall(wall);
            if let Some(tee) = &mut tee {
                tee.record(wall, shared.clock.now());
            }
        }
        if !batch.is_empty() {
            batch.set_gap_ns(std::mem::take(&mut gap_ns));
            batch.set_missing(std::mem::take(&mut missing));
            batch.set_stranger(std::mem::take(&mut is_stranger));
        }
        match shared.publish(batch, framer.as_ref(), live) {
            Some(next) => again = next,
            None => ended = true,
        }
        if let (Some((gone, why)), false) = (gone, ended) {
            let may_loop = source.pace() == Pace::Arrival && source.is_still_there();
            let going = if was_there && may_loop {
                patience.gone(gone.ns_since(opened))
            } else {
                Going::default()
            };
            say_gone(port, &why, was_there, going, patience.last_words());
            shared.settle(index, live);
            shared.pause(going.pause);
            match source.reopen() {
                Some(back) => {
                    if let Some(tee) = &mut tee {
                        tee.event(Kind::Back, back, "");
                    }
                    let absence_ns = back.ns_since(gone);
                    (opened, good_frames) = (back, framer.tally().good_frames);
                    if std::mem::replace(&mut was_there, true) {
                        gap_ns += absence_ns;
                        // Of a series only start and end are told.
                        let level = if going.failures > 1 { Level::Debug } else { Level::Info };
                        log::log!(level, "{}: is back after {}", port.name, seconds(absence_ns));
                        if let Some(stranger) = source.stranger() {
                            warn!("{}: is another adapter now: {stranger}", port.name);
                            is_stranger = true;
                        }
                    } else {
                        info!("{}: is there after {}", port.name, seconds(absence_ns));
                    }
                    if let Some(dialogue) = &mut dialogue {
                        dialogue.start(shared.clock.now());
                    }
                    if let Some(hearing) = &mut hearing {
                        hearing.reopened(back);
                    }
                }
                None => ended = true,
            }
        }
        if ended {
            shared.end_port(index, live);
            if all_read {
                info!("{}: no more octets", port.name);
                shared.tell(News::PortEnded);
            }
            return;
        }
        if let Some(dialogue) = &mut dialogue
            && let Some(command) = dialogue.say(shared.clock.now())
        {
            debug!("{}: sending {:?}", port.name, String::from_utf8_lossy(&command));
            if let Err(error) = source.write(&command) {
                warn!("{}: cannot send to the sniffer: {error}", port.name);
            }
        }
    }
}

/// Tells the user, and whoever asks for the state, what is heard.
fn tell(shared: &Shared, port: &Port, index: usize, hearing: &Hearing, told: Option<Told>) {
    let Some(told) = told else { return };
    shared.streams().senseless[index] = hearing.is_senseless();
    let _ = shared.readers_changed.try_send(()); // if full, it will be looked at anyway
    match told {
        Told::Wrong(text) => warn!(target: hearing::TARGET, "{}: {text}", port.name),
        Told::Right(text) => info!(target: hearing::TARGET, "{}: {text}", port.name),
    }
}

/// Tells that a port has gone; of several failures in a row the first two.
fn say_gone(port: &Port, why: &str, was_there: bool, going: Going, words: Option<String>) {
    let name = &port.name;
    let words = words.filter(|_| going.failures > 0);
    let words = words.map(|words| format!(" (it said: {words})")).unwrap_or_default();
    match going.failures {
        _ if !was_there => warn!("{name}: {why}; waiting for it to come"),
        0 | 1 => warn!("{name}: {why}{words}; waiting for its return"),
        2 => warn!("{name}: {why} as soon as it is opened{words}; trying again, ever more seldom"),
        failures => debug!("{name}: {why}, for the {failures}th time"),
    }
}
