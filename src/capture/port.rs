//! The thread of one port: octets in, frames out, until the port or the program ends.
//!
//! One round of the loop is: read, frame what came, hand it on, and if the port has gone wait for its
//! return. What the sniffer is to be told, what is heard or not, and the recording hang on it.

use super::doubtful::Doubtful;
use super::event::Event;
use super::hearing::{self, Hearing, Told};
use super::line_search::{Found, LineSearch};
use super::patience::{Going, Patience};
use super::recording::{Recording, Tee};
use super::shared::{Again, Shared, Standing};
use crate::config::{Auto, Port};
use crate::error::Error;
use crate::framing::{Dialogue, Framer, Setup, hopping};
use crate::line_errors;
use crate::packet::{Batch, Tally};
use crate::source::record::RecordKind;
use crate::source::{Input, Pace, Source};
use crate::time::{Timestamp, seconds};
use log::{Level, debug, info, warn};

/// Reads a port to its end, which is the end of the program as well with `once`.
pub fn run(
    shared: &Shared,
    port: &Port,
    index: usize,
    source: Box<dyn Source>,
    recording: Option<&Recording>,
    once: bool,
) {
    PortThread::new(shared, port, index, source, recording, once).run();
}

/// What the thread of a port holds.
struct PortThread<'a> {
    shared: &'a Shared,
    port: &'a Port,
    index: usize,
    source: Box<dyn Source>,
    tee: Option<Tee<'a>>,
    framer: Box<dyn Framer>,
    /// What earlier framers made of the octets before, at other settings of the line.
    past: Tally,
    search: Option<LineSearch>,
    dialogue: Option<Box<dyn Dialogue>>,
    hearing: Option<Hearing>,
    doubtful: Doubtful,
    patience: Patience,
    /// Whether its going is the end.
    once: bool,
    is_live: bool,
    /// Whether it was ever open.
    was_there: bool,
    /// Since when it is open, and good frames before.
    opened: Timestamp,
    good_frames: u64,
    /// What the next frame tells: how long the port was away, bytes that a recording lacks, and that
    /// another adapter has come.
    gap_ns: u64,
    missing: u64,
    is_stranger: bool,
    /// When frames that wait for other ports may leave.
    again: Again,
}

/// What a read has led to.
#[derive(Default)]
struct Round {
    /// The port has gone: when, and why.
    gone: Option<(Timestamp, String)>,
    /// So many octets are missing behind what came.
    missing: u64,
    /// All was read that there is.
    all_read: bool,
    /// There is no further round.
    ended: bool,
}

/// Records what was read, if there is a recording.
fn stage(tee: &mut Option<Tee<'_>>, kind: RecordKind, when: Timestamp, data: &[u8]) {
    if let Some(tee) = tee {
        tee.stage(kind, when, data);
    }
}

impl<'a> PortThread<'a> {
    fn new(
        shared: &'a Shared,
        port: &'a Port,
        index: usize,
        source: Box<dyn Source>,
        recording: Option<&'a Recording>,
        once: bool,
    ) -> Self {
        let now = shared.clock.now();
        let mut dialogue = port
            .protocol
            .dialogue()
            .filter(|_| port.transmit)
            .map(|make| hopping::dialogue(make, &port.setup));
        if let Some(dialogue) = &mut dialogue {
            dialogue.start(now);
        }
        let searches = port.auto == Auto::LineLater;
        Self {
            shared,
            port,
            index,
            tee: recording.map(Tee::new),
            framer: (port.protocol.framer)(&port.setup),
            past: Tally::default(),
            search: searches.then(|| LineSearch::new(port.protocol, port.setup.line)),
            dialogue,
            // What is stored makes sense or not at once, and nobody can do anything about it.
            hearing: (source.pace() == Pace::Arrival)
                .then(|| Hearing::new(port.protocol, port.setup.line, searches, now)),
            doubtful: Doubtful::default(),
            patience: Patience::default(),
            once,
            is_live: source.is_live(),
            was_there: source.is_open(),
            opened: now,
            good_frames: 0,
            gap_ns: 0,
            missing: 0,
            is_stranger: false,
            again: Again(None),
            source,
        }
    }

    fn run(&mut self) {
        if self.was_there {
            info!("{}: {}", self.port.name, self.what_is_read());
        }
        loop {
            let mut batch = Batch::new(self.index as u16);
            let mut round = self.read(&mut batch);
            self.hand_on(batch, &mut round);
            self.missing += round.missing;
            if let (Some((gone, why)), false) = (round.gone.take(), round.ended) {
                round.ended = !self.wait_for_return(gone, &why);
            }
            if round.ended {
                self.say_goodbye();
                self.shared.end_port(self.index, self.is_live);
                if round.all_read {
                    info!("{}: end of input", self.port.name);
                    self.shared.send(Event::PortEnded);
                }
                return;
            }
            self.say();
        }
    }

    /// Reads once, and frames what came.
    fn read(&mut self, batch: &mut Batch) -> Round {
        let deadline = self.deadline();
        let mut round = Round::default();
        // Long, since octets are lent by the source: no method of all of `self` can take them.
        match self.source.read(deadline) {
            Input::Octets(octets, arrival) => {
                stage(&mut self.tee, RecordKind::Octets, arrival, octets);
                if let Some(channel) = self.dialogue.as_ref().and_then(|it| it.channel(arrival)) {
                    self.framer.tune(channel);
                }
                if let Some(search) = &mut self.search {
                    search.hear(octets);
                }
                self.framer.push(octets, arrival, batch);
                let tally = self.past + self.framer.tally();
                let frames = tally.good_frames > self.good_frames;
                let lived_ns = arrival.ns_since(self.opened);
                if let Some(failures) = self.patience.hear(octets, frames, lived_ns) {
                    info!("{}: works again, after {failures} failures", self.port.name);
                }
                if let Some(dialogue) = &mut self.dialogue
                    && (dialogue.hear(octets, arrival)
                        || self.framer.restarted() && dialogue.restart(arrival))
                {
                    info!("{}: the sniffer has restarted; setting it up again", self.port.name);
                }
                let told = self.hearing.as_mut().and_then(|it| it.octets(&tally, arrival));
                if told.is_some() || self.hearing.as_ref().is_some_and(|it| it.is_doubtful(arrival))
                {
                    self.doubtful.add(octets, arrival);
                } else {
                    self.doubtful.clear();
                }
                self.tell(told);
                self.look_for_line(batch, arrival);
            }
            Input::Packets(packets) => {
                self.past = self.past + Tally::of(&packets);
                *batch = packets.of_port(self.index as u16);
            }
            Input::Silence(now) => {
                stage(&mut self.tee, RecordKind::Silence, now, &[]);
                self.framer.expire(now, batch);
                let told = self.hearing.as_mut().and_then(|it| it.silence(now));
                self.tell(told);
            }
            Input::Gone(why, when) => {
                self.framer.finish(batch);
                self.gone(when, why, &mut round);
            }
            Input::Missing(octets, when) => {
                warn!("{}: {octets} bytes are missing in the recording here", self.port.name);
                stage(&mut self.tee, RecordKind::Missing, when, &octets.to_le_bytes());
                self.framer.finish(batch);
                // What was open came before it, and says nothing of it.
                round.missing = octets;
            }
            Input::Errors(errors, arrival) => {
                stage(&mut self.tee, RecordKind::Errors, arrival, &line_errors::encode(errors));
                self.framer.mark(errors);
            }
            end @ (Input::Ended | Input::Stopped) => {
                (round.all_read, round.ended) = (matches!(end, Input::Ended), true);
                self.framer.finish(batch);
            }
        }
        round
    }

    /// When something is to be done even if nothing comes.
    fn deadline(&self) -> Option<Timestamp> {
        let dialogue = self.dialogue.as_ref().and_then(|dialogue| dialogue.deadline());
        let hearing = self.hearing.as_ref().and_then(Hearing::deadline);
        [self.framer.deadline(), dialogue, hearing, self.again.0].into_iter().flatten().min()
    }

    /// The port has gone: that is the end, or it is waited for.
    fn gone(&mut self, when: Timestamp, why: String, round: &mut Round) {
        if let Some(tee) = &mut self.tee {
            tee.event(RecordKind::Gone, when, &why);
        }
        if self.once && self.was_there {
            let error = Error::new(&self.port.name, format!("is gone: {why}"));
            self.shared.send(Event::PortGone(error));
            round.ended = true;
        } else {
            round.gone = Some((when, why));
        }
    }

    /// Records what was read, and hands its frames on with what they are to tell.
    fn hand_on(&mut self, mut batch: Batch, round: &mut Round) {
        if !batch.is_empty() || self.tee.as_ref().is_some_and(Tee::is_staged) {
            let wall = self.source.wall().unwrap_or_else(|| self.shared.wall.now());
            batch.set_wall_offset(wall);
            if let Some(tee) = &mut self.tee {
                tee.record(wall, self.shared.clock.now());
            }
        }
        if !batch.is_empty() {
            batch.set_gap_ns(std::mem::take(&mut self.gap_ns));
            batch.set_missing(std::mem::take(&mut self.missing));
            batch.set_stranger(std::mem::take(&mut self.is_stranger));
        }
        let standing = Standing {
            tally: self.tally(),
            open_since: self.framer.open_since(),
            pace: self.source.pace(),
        };
        match self.shared.publish(batch, &standing, self.is_live) {
            Some(again) => self.again = again,
            None => round.ended = true,
        }
    }

    fn what_is_read(&self) -> String {
        format!("reading {} at {}", self.port.protocol.name, self.port.setup.line)
    }

    /// Where all octets of the port went.
    fn tally(&self) -> Tally {
        self.past + self.framer.tally()
    }

    /// Tries the next setting of the line, if the right one is looked for and this one is not.
    fn look_for_line(&mut self, batch: &mut Batch, now: Timestamp) {
        let Some(search) = &mut self.search else { return };
        let tally = self.past + self.framer.tally();
        let (name, protocol) = (&self.port.name, self.port.protocol);
        match search.heard(&tally, batch, now) {
            Found::Nothing => {}
            Found::Settled(line) => {
                let options = line.options();
                info!("{name}: receiving {} at {line}; to name it: {options}", protocol.name);
            }
            Found::Next(line) => {
                debug!("{name}: no {} packets; listening at {line}", protocol.name);
                if let Err(error) = self.source.set_line(line) {
                    // An adapter may lack one rate: the next one has its turn all the same.
                    debug!("{name}: cannot be set to {line}: {error}");
                }
                self.framer.finish(batch);
                self.past = self.tally();
                self.framer = (protocol.framer)(&Setup { line, ..self.port.setup.clone() });
            }
        }
    }

    /// Waits until the port is back; `false` when the end came first.
    fn wait_for_return(&mut self, gone: Timestamp, why: &str) -> bool {
        let is_retold = self.source.is_retold();
        let may_loop = self.source.pace() == Pace::Arrival && self.source.is_still_there();
        let going = if self.was_there && may_loop && !is_retold {
            self.patience.gone(gone.ns_since(self.opened))
        } else {
            Going::default()
        };
        let words = self.patience.last_words();
        if !is_retold {
            say_gone(self.port, why, self.was_there, going, words);
        }
        self.set_trouble(Some(why.to_owned()));
        self.shared.settle(self.index, self.is_live);
        self.shared.pause(going.pause);
        let back = self.source.reopen();
        self.set_trouble(self.senseless());
        let Some(back) = back else { return false };
        if let Some(tee) = &mut self.tee {
            tee.event(RecordKind::Back, back, "");
        }
        let absence_ns = back.ns_since(gone);
        (self.opened, self.good_frames) = (back, self.tally().good_frames);
        let name = &self.port.name;
        if std::mem::replace(&mut self.was_there, true) {
            self.gap_ns += absence_ns;
            if !is_retold {
                say_back(self.port, absence_ns, going);
            }
            if let Some(stranger) = self.source.stranger() {
                warn!("{name}: is a different adapter now: {stranger}");
                self.is_stranger = true;
            }
        } else if is_retold {
            info!("{name}: {}", self.what_is_read());
        } else {
            info!("{name}: appeared after {}; {}", seconds(absence_ns), self.what_is_read());
        }
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.start(self.shared.clock.now());
        }
        if let Some(hearing) = &mut self.hearing {
            hearing.reopened(absence_ns);
        }
        true
    }

    /// Sends the sniffer what it is to be told now.
    fn say(&mut self) {
        let Some(dialogue) = &mut self.dialogue else { return };
        let Some(command) = dialogue.say(self.shared.clock.now()) else { return };
        let name = &self.port.name;
        debug!("{name}: sending {:?}", String::from_utf8_lossy(&command));
        if let Err(error) = self.source.write(&command) {
            warn!("{name}: cannot send to the sniffer: {error}");
        }
    }

    /// Lets the sniffer stop: one write, which does not wait, and no answer is waited for.
    fn say_goodbye(&mut self) {
        let Some(command) = self.dialogue.as_mut().and_then(|dialogue| dialogue.stop()) else {
            return;
        };
        let name = &self.port.name;
        debug!("{name}: sending {:?}", String::from_utf8_lossy(&command));
        if let Err(error) = self.source.write(&command) {
            debug!("{name}: cannot stop the sniffer: {error}");
        }
    }

    /// Tells the user, and whoever asks how things stand, what is heard.
    fn tell(&mut self, told: Option<Told>) {
        let Some(told) = told else { return };
        self.set_trouble(self.senseless());
        let name = &self.port.name;
        match told {
            Told::Wrong(text) => {
                let meant =
                    if self.search.is_some() { None } else { self.doubtful.meant(self.port) };
                let meant = meant.map(|meant| format!("; {meant}")).unwrap_or_default();
                warn!(target: hearing::TARGET, "{name}: {text}{meant}");
                if let Some(search) = self.search.as_mut().filter(|search| search.is_over()) {
                    search.resume();
                }
            }
            Told::Right(text) => info!(target: hearing::TARGET, "{name}: {text}"),
        }
    }

    /// That nothing makes sense, if so.
    fn senseless(&self) -> Option<String> {
        let protocol = self.port.protocol;
        self.hearing
            .as_ref()
            .filter(|hearing| hearing.is_senseless())
            .map(|_| format!("no {} frames: {}", protocol.name, protocol.when_senseless))
    }

    /// Keeps what is wrong with the port, for all who ask how things stand.
    fn set_trouble(&self, trouble: Option<String>) {
        self.shared.streams().troubles[self.index] = trouble;
        let _ = self.shared.readers_changed.try_send(()); // if full, it will be looked at anyway
    }
}

/// Tells that a port has gone; of several failures in a row the first two.
pub(super) fn say_gone(
    port: &Port,
    why: &str,
    was_there: bool,
    going: Going,
    words: Option<String>,
) {
    let name = &port.name;
    let words = words.filter(|_| going.failures > 0);
    let words = words.map(|words| format!(" (it said: {words})")).unwrap_or_default();
    match going.failures {
        _ if !was_there => warn!("{name}: {why}; waiting for it to appear"),
        0 | 1 => warn!("{name}: {why}{words}; waiting for its return"),
        2 if going.is_short() => {
            warn!("{name}: {why} again; from now on it is told when it stays");
        }
        2 => {
            warn!("{name}: {why} as soon as it is opened{words}; trying again, less and less often")
        }
        failures => debug!("{name}: {why}, for the {failures}th time"),
    }
}

/// Tells that a port is back; of a series only start and end are told.
pub(super) fn say_back(port: &Port, absence_ns: u64, going: Going) {
    let level = if going.failures > 1 { Level::Debug } else { Level::Info };
    log::log!(level, "{}: is back after {}", port.name, seconds(absence_ns));
}
