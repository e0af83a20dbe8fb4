//! What RIOT's shell is told, so that its network interface becomes a sniffer.
//!
//! ```text
//! Iface  4  HWaddr: 02:DA:E1:A1:B2:C3  Link: up                     wired
//!           L2-PDU:1500 Source address length: 6
//!           Link type: wired
//!
//! Iface  6  HWaddr: 76:EA  Channel: 11  Page: 0  NID: 0x23          a radio
//!           Long HWaddr: 22:48:45:4E:85:76:76:EA
//!           Link type: wireless
//! ```
//!
//! An IEEE 802.15.4 radio has a channel and the id of a network; it is taken as soon as its
//! first line is there. If none has both, what has a channel is taken when the time for an
//! answer is over, or else what is not said to be wired; of several the first. With
//! `--interface` that one is taken and no other.

use super::without_prompts;
use crate::framing::{Dialogue, Setup};
use crate::time::Timestamp;
use std::mem;

/// How long RIOT's shell is given to wake up, and to answer.
const ANSWER_NS: u64 = 1_000_000_000;
/// How often it is asked.
const MAX_ASKED: u8 = 5;
/// No more of a line is of interest: `Iface`, a number, an address, a channel, a network.
const MAX_HEARD: usize = 128;
/// No more interfaces are of interest.
const MAX_LISTED: usize = 8;

/// Asks RIOT's shell for its network interface and makes that a sniffer.
#[derive(Debug)]
pub struct Ifconfig {
    channel: Option<u8>,
    /// The interface to take, if it was named.
    interface: Option<u16>,
    step: Step,
    /// The line that is being heard.
    line: Vec<u8>,
    /// The interfaces of the last answer.
    listed: Vec<Iface>,
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

/// An interface as `ifconfig` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Iface {
    number: u16,
    kind: InterfaceKind,
}

/// What speaks for an interface, the more the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum InterfaceKind {
    /// It is wired.
    Wired,
    /// Nothing is known.
    Unknown,
    /// It has a channel.
    Channel,
    /// It has a channel and is in a network: IEEE 802.15.4.
    Radio,
}

impl Iface {
    /// From the first line that tells of it.
    fn parse(line: &[u8]) -> Option<Self> {
        let after = without_prompts(line).strip_prefix(b"Iface ")?.trim_ascii_start();
        let digits = after.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let number = str::from_utf8(&after[..digits]).ok()?.parse().ok()?;
        let has = |word: &[u8]| after.windows(word.len()).any(|octets| octets == word);
        let kind = match (has(b"Channel:"), has(b"NID:")) {
            (true, true) => InterfaceKind::Radio,
            (true, false) => InterfaceKind::Channel,
            (false, _) => InterfaceKind::Unknown,
        };
        Some(Self { number, kind })
    }
}

impl Ifconfig {
    pub fn new(setup: &Setup) -> Self {
        Self {
            channel: setup.channel,
            interface: setup.interface,
            step: Step::Silent,
            line: Vec::new(),
            listed: Vec::new(),
        }
    }

    /// Takes the line heard; the interface to take, if that is clear now.
    fn read_line(&mut self) -> Option<u16> {
        if let Some(iface) = Iface::parse(&self.line) {
            if self.listed.len() < MAX_LISTED {
                self.listed.push(iface);
            }
            let is_it = match self.interface {
                Some(number) => iface.number == number,
                None => iface.kind == InterfaceKind::Radio,
            };
            return is_it.then_some(iface.number);
        }
        if self.line.windows(WIRED.len()).any(|octets| octets == WIRED)
            && let Some(iface) = self.listed.last_mut()
        {
            iface.kind = InterfaceKind::Wired;
        }
        None
    }

    /// The interface to take when no more is heard.
    fn best(&self) -> Option<u16> {
        let may_be = |iface: &&Iface| self.interface.is_none() && iface.kind > InterfaceKind::Wired;
        let best = self.listed.iter().filter(may_be).rev().max_by_key(|iface| iface.kind)?;
        Some(best.number)
    }

    /// Why it has come to nothing.
    fn refusal(&self) -> String {
        let listed: Vec<_> = self.listed.iter().map(|iface| iface.number.to_string()).collect();
        let listed = listed.join(", ");
        match self.interface {
            _ if listed.is_empty() => {
                "no answer to ifconfig: is it RIOT's sniffer? still listening".to_owned()
            }
            Some(number) => format!(
                "RIOT has no interface {number}, but {listed}; try another --interface. Still listening"
            ),
            None => format!(
                "RIOT has no radio, only wired: {listed}; --interface takes one. Still listening"
            ),
        }
    }
}

const WIRED: &[u8] = b"Link type: wired";

/// What makes an interface a sniffer.
fn commands(interface: u16, channel: u8) -> String {
    format!(
        "ifconfig {interface} set chan {channel}\n\
         ifconfig {interface} raw\n\
         ifconfig {interface} promisc\n"
    )
}

impl Dialogue for Ifconfig {
    fn start(&mut self, now: Timestamp) {
        self.line.clear();
        self.listed.clear();
        self.step = match self.channel {
            Some(_) => Step::Asking { asked: 0, next: now.plus_ns(ANSWER_NS) },
            None => Step::Silent,
        };
    }

    fn restart(&mut self, now: Timestamp) -> bool {
        let was_silent = matches!(self.step, Step::Silent) && self.channel.is_some();
        if was_silent {
            self.start(now);
        }
        was_silent
    }

    /// That RIOT has restarted is seen by its framer, which knows its clock too.
    fn hear(&mut self, octets: &[u8], _now: Timestamp) -> bool {
        for &octet in octets {
            let (Step::Asking { asked: 1.., .. }, Some(channel)) = (&self.step, self.channel)
            else {
                break;
            };
            if matches!(octet, b'\r' | b'\n') {
                if let Some(interface) = self.read_line() {
                    self.step = Step::Telling(commands(interface, channel));
                }
                self.line.clear();
            } else if self.line.len() < MAX_HEARD {
                self.line.push(octet);
            }
        }
        false
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
            Step::Asking { asked, .. } => {
                if let (Some(interface), Some(channel)) = (self.best(), self.channel) {
                    return Some(commands(interface, channel).into_bytes());
                }
                if asked == MAX_ASKED {
                    log::warn!("{}", self.refusal());
                    return None;
                }
                self.listed.clear();
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
    const SETUP: Setup = {
        let mut setup = Setup::new(115_200);
        setup.channel = Some(26);
        setup
    };

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
        for octet in b"> ifconfig\r\nno Iface 3\r\nIface x\n> Iface  15  HWaddr: 23:2E  NID: 0x23" {
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
        dialogue.hear(b"\nIface  7  HWaddr: 12:34  Channel: 0  NID: 0x23", at(SECOND));
        dialogue.hear(&[b'x'; 1000], at(SECOND));
        dialogue.hear(b"\n", at(SECOND));
        assert!(dialogue.say(at(SECOND)).is_some_and(|said| said.starts_with(b"ifconfig 7 ")));
    }

    /// What is said within a second after this answer to the first `ifconfig`.
    fn told(interface: Option<u16>, answer: &str) -> Option<String> {
        let mut dialogue = Ifconfig::new(&Setup { interface, ..SETUP });
        dialogue.start(at(0));
        dialogue.say(at(SECOND));
        dialogue.hear(answer.as_bytes(), at(SECOND));
        let said = dialogue.say(at(SECOND)).or_else(|| dialogue.say(at(2 * SECOND)));
        said.and_then(|said| String::from_utf8(said).ok()).filter(|said| said != "ifconfig\n")
    }

    const WIRED_4: &str = "Iface  4  HWaddr: 02:DA:E1:A1:B2:C3  Link: up \r\n          \
        L2-PDU:1500  MTU:1500  HL:64  Source address length: 6\r\n          Link type: wired\r\n\r\n";
    const BARE_5: &str = "Iface  5  HWaddr: 12:34 \n\n";
    const WIFI_6: &str = "Iface  6  HWaddr: A0:B1  Channel: 6  Link: up\n  Link type: wireless\n";
    const RADIO_7: &str = "Iface  7  HWaddr: 76:EA  Channel: 0  Page: 2  NID: 0x23\n\n";
    const RADIO_8: &str = "Iface  8  HWaddr: 76:EB  Channel: 11  NID: 0x23\n\n";

    #[test]
    fn of_several_interfaces_the_radio_is_told() {
        let number = |listed: &[&str]| {
            let told = told(None, &listed.concat())?;
            Some(told.strip_prefix("ifconfig ")?.split(' ').next()?.to_owned())
        };
        let cases: [(&[&str], Option<&str>); 9] = [
            (&[WIRED_4, RADIO_7], Some("7")),
            (&[RADIO_7, WIRED_4], Some("7")),
            (&[WIRED_4, BARE_5, WIFI_6, RADIO_8, RADIO_7], Some("8")),
            (&[BARE_5, WIFI_6], Some("6")),
            (&[WIRED_4, BARE_5], Some("5")),
            (&[BARE_5, BARE_5, WIRED_4], Some("5")),
            (&[WIRED_4], None),
            (&["> ", WIRED_4, "> "], None),
            (&[], None),
        ];
        for (listed, expected) in cases {
            assert_eq!(number(listed).as_deref(), expected, "{listed:?}");
        }
    }

    #[test]
    fn the_interface_that_is_named_decides() {
        let all = [WIRED_4, BARE_5, WIFI_6, RADIO_7, RADIO_8].concat();
        for number in 4..=8 {
            assert_eq!(told(Some(number), &all), Some(commands(number, 26)));
        }
        assert_eq!(told(Some(9), &all), None);
        assert_eq!(told(Some(7), ""), None);
    }

    #[test]
    fn why_it_came_to_nothing() {
        let why = |interface, answer: &str| {
            let mut dialogue = Ifconfig::new(&Setup { interface, ..SETUP });
            dialogue.start(at(0));
            dialogue.say(at(SECOND));
            dialogue.hear(answer.as_bytes(), at(SECOND));
            dialogue.refusal()
        };
        assert!(why(None, "").starts_with("no answer to ifconfig"));
        assert!(why(None, WIRED_4).starts_with("RIOT has no radio, only wired: 4;"));
        assert!(why(Some(9), &[WIRED_4, RADIO_7].concat()).contains("no interface 9, but 4, 7;"));
        assert!(
            !why(None, &RADIO_7.repeat(1000).replace("Channel", "")).contains(&"7, ".repeat(8))
        );
    }

    #[test]
    fn a_restart_begins_anew_unless_it_is_still_at_it() {
        let mut dialogue = started(Some(11));
        assert!(!dialogue.restart(at(0)), "asking");
        dialogue.say(at(SECOND));
        assert!(!dialogue.restart(at(SECOND)), "waits for the answer");
        dialogue.hear(RADIO_7.as_bytes(), at(SECOND));
        assert!(!dialogue.restart(at(SECOND)), "telling");
        assert!(dialogue.say(at(SECOND)).is_some());
        assert!(dialogue.restart(at(5 * SECOND)));
        assert_eq!(dialogue.deadline(), Some(at(6 * SECOND)));
        assert!(!started(None).restart(at(0)), "nothing is to be said");
    }
}
