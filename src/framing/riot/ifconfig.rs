//! What RIOT's shell is told, so that its network interface becomes a sniffer.

use super::without_prompts;
use crate::framing::{Dialogue, Setup};
use crate::packet::Timestamp;
use std::mem;

/// How long RIOT's shell is given to wake up, and to answer.
const ANSWER_NS: u64 = 1_000_000_000;
/// How often it is asked.
const MAX_ASKED: u8 = 5;
/// No more of a line is of interest: `Iface`, spaces, a number.
const MAX_HEARD: usize = 64;

/// Asks RIOT's shell for its network interface and makes that a sniffer.
#[derive(Debug)]
pub struct Ifconfig {
    channel: Option<u8>,
    step: Step,
    /// The line that is being heard.
    line: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Nothing to say any more.
    Silent,
    /// `ifconfig` was said so many times, and will be again at `next`.
    Asking { asked: u8, next: Timestamp },
    /// Answered; this is next.
    Telling(String),
}

impl Ifconfig {
    pub fn new(setup: &Setup) -> Self {
        Self { channel: setup.channel, step: Step::Silent, line: Vec::new() }
    }

    /// What to say to the interface that is named in the line heard, if one is.
    fn commands(&self) -> Option<String> {
        let after = without_prompts(&self.line).strip_prefix(b"Iface ")?.trim_ascii_start();
        let digits = after.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let number = str::from_utf8(&after[..digits]).ok().filter(|number| !number.is_empty())?;
        let channel = self.channel?;
        Some(format!(
            "ifconfig {number} set chan {channel}\n\
             ifconfig {number} raw\n\
             ifconfig {number} promisc\n"
        ))
    }
}

impl Dialogue for Ifconfig {
    fn start(&mut self, now: Timestamp) {
        self.line.clear();
        self.step = match self.channel {
            Some(_) => Step::Asking { asked: 0, next: now.plus_ns(ANSWER_NS) },
            None => Step::Silent,
        };
    }

    fn hear(&mut self, octets: &[u8], _now: Timestamp) {
        for &octet in octets {
            let Step::Asking { asked: 1.., .. } = self.step else { return };
            if matches!(octet, b'\r' | b'\n') {
                if let Some(commands) = self.commands() {
                    self.step = Step::Telling(commands);
                }
                self.line.clear();
            } else if self.line.len() < MAX_HEARD {
                self.line.push(octet);
            }
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self.step {
            Step::Asking { next, .. } => Some(next),
            Step::Silent | Step::Telling(_) => None,
        }
    }

    fn say(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        match mem::replace(&mut self.step, Step::Silent) {
            Step::Silent => None,
            Step::Telling(commands) => Some(commands.into_bytes()),
            Step::Asking { asked, next } if now < next => {
                self.step = Step::Asking { asked, next };
                None
            }
            Step::Asking { asked: MAX_ASKED.., .. } => {
                log::warn!("no answer to ifconfig: is it RIOT's sniffer? still listening");
                None
            }
            Step::Asking { asked, .. } => {
                self.step = Step::Asking { asked: asked + 1, next: now.plus_ns(ANSWER_NS) };
                Some(b"ifconfig\n".to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const SETUP: Setup = Setup { baud: 115_200, channel: Some(26), init: None };

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_ns(1000 * SECOND + ns)
    }

    /// A dialogue that was started at [`at`]`(0)`.
    fn started(channel: Option<u8>) -> Ifconfig {
        let mut dialogue = Ifconfig::new(&Setup { channel, ..SETUP });
        assert_eq!(dialogue.deadline(), None);
        dialogue.start(at(0));
        dialogue
    }

    const IFCONFIG: &[u8] = b"ifconfig\n";

    #[test]
    fn the_interface_is_asked_for_and_told() {
        let mut dialogue = started(Some(26));
        dialogue.hear(b"main(): This is RIOT!\nIface  9\n> ", at(0));
        assert_eq!(dialogue.say(at(0)), None);
        assert_eq!(dialogue.deadline(), Some(at(SECOND)));
        assert_eq!(dialogue.say(at(SECOND)).as_deref(), Some(IFCONFIG));
        for octet in b"> ifconfig\r\nno Iface 3\r\nIface x\n> Iface  15  HWaddr: 23:2E" {
            dialogue.hear(&[*octet], at(SECOND));
            assert_eq!(dialogue.say(at(SECOND)), None);
        }
        dialogue.hear(b"  Channel: 11\r\n", at(SECOND));
        assert_eq!(dialogue.deadline(), None);
        assert_eq!(
            dialogue.say(at(SECOND)).as_deref(),
            Some(&b"ifconfig 15 set chan 26\nifconfig 15 raw\nifconfig 15 promisc\n"[..])
        );
        dialogue.hear(b"Iface 15\n", at(SECOND));
        assert_eq!(dialogue.say(at(9 * SECOND)), None);
        assert_eq!(dialogue.deadline(), None);
        dialogue.start(at(9 * SECOND));
        assert_eq!(dialogue.deadline(), Some(at(10 * SECOND)));
    }

    #[test]
    fn it_is_asked_for_five_times() {
        let mut dialogue = started(Some(11));
        for second in 1..=5 {
            assert_eq!(dialogue.deadline(), Some(at(second * SECOND)));
            assert_eq!(dialogue.say(at(second * SECOND)).as_deref(), Some(IFCONFIG));
        }
        assert_eq!(dialogue.deadline(), Some(at(6 * SECOND)));
        assert_eq!(dialogue.say(at(6 * SECOND)), None);
        assert_eq!(dialogue.deadline(), None);
        dialogue.hear(b"Iface 5\n", at(7 * SECOND));
        assert_eq!(dialogue.say(at(7 * SECOND)), None);
    }

    #[test]
    fn without_a_channel_nothing_is_said() {
        let mut dialogue = started(None);
        dialogue.hear(b"Iface 5\n", at(0));
        assert_eq!(dialogue.deadline(), None);
        assert_eq!(dialogue.say(at(9 * SECOND)), None);
    }

    #[test]
    fn a_line_of_any_length_is_heard_in_bounded_memory() {
        let mut dialogue = started(Some(11));
        dialogue.say(at(SECOND));
        for _ in 0..1000 {
            dialogue.hear(&[b'x'; 1000], at(SECOND));
        }
        assert!(dialogue.line.len() <= MAX_HEARD);
        dialogue.hear(b"\nIface  7  HWaddr: 12:34 ", at(SECOND));
        dialogue.hear(&[b'x'; 1000], at(SECOND));
        dialogue.hear(b"\n", at(SECOND));
        assert!(dialogue.say(at(SECOND)).is_some_and(|said| said.starts_with(b"ifconfig 7 ")));
    }
}
