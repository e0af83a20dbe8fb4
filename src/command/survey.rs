//! `serialshark survey PORT`: what a sniffer hears on each of its channels, one after the other.

use crate::analysis::survey::{Heard, Survey};
use crate::config::Port;
use crate::error::Error;
use crate::framing::{Dialogue, hopping};
use crate::line::Settings;
use crate::packet::Batch;
use crate::source::{self, Input, Source};
use crate::sys::Waker;
use crate::time::{MonoClock, Timestamp};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;

/// Listens on each channel once, says what was heard there, and returns the exit code.
pub(super) fn run(port: &Port, json: bool) -> u8 {
    match listen(port) {
        Ok(survey) => {
            let said =
                if json { format!("{:#}\n", as_json(port, &survey)) } else { as_text(&survey) };
            // Fails when nobody wants to know any more.
            let _ = io::stdout().write_all(said.as_bytes());
            0
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "serialshark: {error:#}");
            1
        }
    }
}

fn listen(port: &Port) -> Result<Survey, Error> {
    let wrong = |what: &str| Error::new(&port.name, what);
    let (Some(make), Some(hops)) = (port.protocol.dialogue(), &port.setup.hops) else {
        return Err(wrong("has no channels to listen on"));
    };
    let stop = Waker::new().map_err(|error| Error::new("waker", "cannot make").because(error))?;
    let clock = MonoClock::start();
    let settings =
        Settings { line: port.setup.line, dtr: port.dtr, rts: port.rts, same_adapter: false };
    let opening = source::Opening { settings, paced: false, wait: false };
    let mut source = source::open(&port.address, opening, clock, Arc::new(stop))?;
    let mut dialogue = hopping::dialogue(make, &port.setup);
    dialogue.start(clock.now());
    let round = Round { left: hops.channels.len(), here: None };
    let survey = round.run(port, &clock, source.as_mut(), dialogue.as_mut());
    if let Some(command) = dialogue.stop() {
        let _ = source.write(&command); // it goes on sniffing, which does no harm
    }
    survey
}

/// Where a round over all channels is.
struct Round {
    /// Channels to come, with the one it is on.
    left: usize,
    here: Option<u8>,
}

impl Round {
    fn run(
        mut self,
        port: &Port,
        clock: &MonoClock,
        source: &mut dyn Source,
        dialogue: &mut dyn Dialogue,
    ) -> Result<Survey, Error> {
        let mut survey =
            Survey::new(port.setup.hops.as_ref().map_or(&[], |hops| hops.channels.as_slice()));
        let mut framer = (port.protocol.framer)(&port.setup);
        let mut batch = Batch::new(0);
        loop {
            let now = clock.now();
            if let Some(command) = dialogue.say(now) {
                source.write(&command).map_err(|error| {
                    Error::new(&port.name, "cannot send to the sniffer").because(error)
                })?;
            }
            if self.is_over(dialogue, now) {
                return Ok(survey);
            }
            let deadlines = [framer.deadline(), dialogue.deadline(), self.tuned(dialogue, now)];
            match source.read(deadlines.into_iter().flatten().min()) {
                Input::Octets(octets, arrival) => {
                    framer.tune(dialogue.channel(arrival).flatten());
                    framer.push(octets, arrival, &mut batch);
                    let heard = dialogue.hear(octets, arrival);
                    if !heard && framer.restarted() {
                        dialogue.restart(arrival);
                    }
                }
                Input::Errors(errors, _) => framer.mark(errors),
                Input::Silence(now) => framer.expire(now, &mut batch),
                // Of a store, which no sniffer is.
                Input::Packets(_) => {}
                Input::Missing(..) => framer.finish(&mut batch),
                Input::Gone(why, _) => return Err(Error::new(&port.name, why)),
                Input::Ended | Input::Stopped => return Ok(survey),
            }
            batch.packets().for_each(|packet| survey.add(&packet));
            batch.clear();
        }
    }

    /// When to look whether the sniffer is tuned, if it is about to be.
    fn tuned(&self, dialogue: &dyn Dialogue, now: Timestamp) -> Option<Timestamp> {
        const SOON_NS: u64 = 100_000_000;
        let is_on_its_way = dialogue.channel(now).flatten().is_none();
        is_on_its_way.then(|| now.plus_ns(SOON_NS))
    }

    /// Whether the last channel has been left.
    fn is_over(&mut self, dialogue: &dyn Dialogue, now: Timestamp) -> bool {
        let here = dialogue.channel(now).flatten();
        if self.here.is_some() && here.is_none() {
            self.left = self.left.saturating_sub(1);
        }
        self.here = here;
        self.left == 0
    }
}

fn as_text(survey: &Survey) -> String {
    let mut said = format!(
        "{:>7}  {:>7}  {:>7}  {:>20}  PAN IDS\n",
        "CHANNEL", "FRAMES", "DAMAGED", "RSSI MIN/MEAN/MAX"
    );
    for (channel, heard) in survey.channels() {
        let Heard { frames, damaged, rssi, pans } = heard;
        let rssi = rssi.map(|rssi| format!("{}/{:.0}/{} dBm", rssi.min, rssi.mean(), rssi.max));
        let rssi = rssi.unwrap_or_else(|| "-".to_owned());
        let pans: Vec<_> = pans.iter().map(|pan| format!("0x{pan:04x}")).collect();
        let pans = if pans.is_empty() { "-".to_owned() } else { pans.join(" ") };
        let _ = writeln!(said, "{channel:>7}  {frames:>7}  {damaged:>7}  {rssi:>20}  {pans}");
    }
    if survey.elsewhere > 0 {
        let _ = writeln!(said, "{} frames came while the sniffer was tuned", survey.elsewhere);
    }
    said
}

fn as_json(port: &Port, survey: &Survey) -> Value {
    let channel = |(channel, heard): (u8, &Heard)| {
        let round = |dbm: f64| (dbm * 10.0).round() / 10.0;
        json!({
            "channel": channel,
            "frames": heard.frames,
            "damaged": heard.damaged,
            "rssi_dbm": heard.rssi.map(|rssi| json!({
                "min": round(rssi.min.into()),
                "mean": round(rssi.mean()),
                "max": round(rssi.max.into()),
            })),
            "pan_ids": heard.pans.iter().map(|pan| format!("0x{pan:04x}")).collect::<Vec<_>>(),
        })
    };
    json!({
        "port": port.name,
        "protocol": port.protocol.name,
        "channels": survey.channels().map(channel).collect::<Vec<_>>(),
        "frames_while_tuning": survey.elsewhere,
    })
}
