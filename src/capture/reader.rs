//! The reader thread of one port: octets to frames, and commands to a sniffer that needs them.

use super::Port;
use super::ending::News;
use super::shared::{Again, Shared};
use crate::packet::{Batch, Tally};
use crate::source::{Input, Source};
use log::{debug, info, warn};

/// Reads until the port ends or the stop bell rings; returns where its octets went.
pub fn read(shared: &Shared, port: &Port, index: usize, mut source: Box<dyn Source>) -> Tally {
    let mut framer = (port.protocol.framer)(&port.setup);
    let mut dialogue =
        port.protocol.dialogue.filter(|_| port.transmit).map(|dialogue| dialogue(&port.setup));
    if let Some(dialogue) = &mut dialogue {
        dialogue.start(shared.clock.now());
    }
    let live = source.is_live();
    let mut again = Again(None);
    loop {
        let dialogue_deadline = dialogue.as_ref().and_then(|dialogue| dialogue.deadline());
        let deadlines = [framer.deadline(), dialogue_deadline, again.0];
        let mut batch = Batch::new(index as u16);
        let (mut gone, mut ended, mut all_read) = (false, false, false);
        match source.read(deadlines.into_iter().flatten().min()) {
            Input::Octets(octets, arrival) => {
                framer.push(octets, arrival, &mut batch);
                if let Some(dialogue) = &mut dialogue {
                    dialogue.hear(octets, arrival);
                }
            }
            Input::Silence(now) => framer.expire(now, &mut batch),
            Input::Gone(why) => {
                framer.finish(&mut batch);
                warn!("{}: {why}; waiting for its return", port.name);
                gone = true;
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
        match shared.publish(batch, framer.as_ref(), live) {
            Some(next) => again = next,
            None => ended = true,
        }
        if gone && !ended {
            ended = !source.reopen();
            if !ended {
                info!("{}: is back", port.name);
                if let Some(dialogue) = &mut dialogue {
                    dialogue.start(shared.clock.now());
                }
            }
        }
        if ended {
            shared.end_port(index);
            if all_read {
                info!("{}: no more octets", port.name);
                shared.tell(News::PortEnded);
            }
            return framer.tally();
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
