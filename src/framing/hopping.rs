//! A sniffer that listens on several channels in turn.
//!
//! Each channel has the whole dialogue of the protocol to itself, as if it were the only one: that works
//! with every sniffer, those too that are tuned only while they are stopped. When all is said, the
//! sniffer listens there for the dwell time. While it is being tuned, and shortly after, nobody knows
//! which channel a frame was heard on, and so none is noted unless the sniffer says it.

use super::script::PAUSE_NS;
use super::{Dialogue, MakeDialogue, Setup};
use crate::time::Timestamp;

/// Which channels a sniffer is to listen on, and for how long on each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hops {
    /// In this order, over and over; at least one.
    pub channels: Vec<u8>,
    /// In nanoseconds.
    pub dwell_ns: u64,
}

/// How long after its opening a sniffer needs no time to boot any more.
const BOOTED_NS: u64 = 60_000_000_000;

/// The dialogue that the protocol has, on each of its channels in turn if there are several.
pub fn dialogue(make: MakeDialogue, setup: &Setup) -> Box<dyn Dialogue> {
    match &setup.hops {
        Some(hops) => Box::new(Hopping::new(make, setup, hops.clone())),
        None => make(setup),
    }
}

struct Hopping {
    make: MakeDialogue,
    setup: Setup,
    hops: Hops,
    at: usize,
    inner: Box<dyn Dialogue>,
    /// Since when it listens on its channel, once all is said.
    since: Option<Timestamp>,
}

impl Hopping {
    fn new(make: MakeDialogue, setup: &Setup, hops: Hops) -> Self {
        let mut hopping =
            Self { make, setup: setup.clone(), hops, at: 0, inner: make(setup), since: None };
        hopping.tune();
        hopping
    }

    fn channel_here(&self) -> Option<u8> {
        self.hops.channels.get(self.at).copied()
    }

    /// Makes the dialogue of the channel that it is at.
    fn tune(&mut self) {
        self.setup.channel = self.channel_here();
        self.inner = (self.make)(&self.setup);
        self.since = None;
    }

    fn leave(&self) -> Option<Timestamp> {
        self.since.map(|since| since.plus_ns(self.hops.dwell_ns))
    }
}

impl Dialogue for Hopping {
    fn start(&mut self, now: Timestamp) {
        self.tune();
        self.inner.start(now);
    }

    fn restart(&mut self, now: Timestamp) -> bool {
        let restarts = self.inner.restart(now);
        if restarts {
            self.since = None;
        }
        restarts
    }

    fn hear(&mut self, octets: &[u8], now: Timestamp) -> bool {
        let restarts = self.inner.hear(octets, now);
        if restarts {
            self.since = None;
        }
        restarts
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.inner.deadline().into_iter().chain(self.leave()).min()
    }

    fn say(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        if self.leave().is_some_and(|leave| leave <= now) {
            self.at = (self.at + 1) % self.hops.channels.len().max(1);
            self.tune();
            self.inner.start(now.minus_ns(BOOTED_NS));
        }
        let said = self.inner.say(now);
        if self.since.is_none() && self.inner.deadline().is_none() {
            self.since = Some(now.plus_ns(PAUSE_NS));
        }
        said
    }

    fn stop(&mut self) -> Option<Vec<u8>> {
        self.inner.stop()
    }

    fn channel(&self, now: Timestamp) -> Option<Option<u8>> {
        let is_tuned = self.since.is_some_and(|since| since <= now);
        Some(if is_tuned { self.channel_here() } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::protocol;

    const S: u64 = 1_000_000_000;

    fn hopping(name: &str) -> Box<dyn Dialogue> {
        let hops = Some(Hops { channels: vec![11, 26], dwell_ns: 5 * S });
        let make = protocol(name).and_then(crate::framing::Protocol::dialogue).expect("has one");
        dialogue(make, &Setup { hops, ..Setup::new(115_200) })
    }

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_ns(1_000_000 * S + ns)
    }

    /// What it says up to `until` if nobody answers, and when it says it, in words.
    fn said(dialogue: &mut dyn Dialogue, until: Timestamp) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(now) = dialogue.deadline().filter(|now| *now <= until) {
            let words = dialogue.say(now);
            said.extend(words.map(|words| String::from_utf8_lossy(&words).trim().to_owned()));
        }
        said
    }

    #[test]
    fn each_channel_has_its_time_and_its_start() {
        let mut sniffer = hopping("nrf");
        sniffer.start(at(0));
        let start = |channel: u8| {
            let channel = format!("channel {channel}");
            ["sleep", "shell echo off", &channel, "receive"].map(str::to_owned).to_vec()
        };
        assert_eq!(sniffer.channel(at(0)), Some(None));
        assert_eq!(said(sniffer.as_mut(), at(4 * S)), start(11));
        assert_eq!(sniffer.channel(at(4 * S)), Some(Some(11)));
        assert_eq!(said(sniffer.as_mut(), at(9 * S)), start(26));
        assert_eq!(sniffer.channel(at(9 * S)), Some(Some(26)));
        let leaves = sniffer.deadline().expect("leaves");
        assert_eq!(sniffer.channel(leaves), Some(Some(26)));
        sniffer.say(leaves);
        assert_eq!(sniffer.channel(leaves), Some(None), "on its way to 11");
        assert_eq!(said(sniffer.as_mut(), leaves.plus_ns(4 * S)), start(11)[1..]);
        assert_eq!(sniffer.stop().as_deref(), Some(&b"\r\nsleep\r\n"[..]));
    }

    #[test]
    fn a_sniffer_that_has_restarted_is_told_its_channel_again() {
        let mut sniffer = hopping("nrf");
        sniffer.start(at(0));
        said(sniffer.as_mut(), at(4 * S));
        assert!(sniffer.restart(at(4 * S)));
        assert_eq!(sniffer.channel(at(4 * S)), Some(None));
        assert!(said(sniffer.as_mut(), at(7 * S)).contains(&"channel 11".to_owned()));
    }

    #[test]
    fn all_that_take_a_channel_go_on_to_the_next_though_nobody_answers() {
        for row in crate::framing::PROTOCOLS.iter().filter(|row| row.hops()) {
            let mut sniffer = hopping(row.name);
            sniffer.start(at(0));
            let spoken = said(sniffer.as_mut(), at(60 * S));
            // RIOT's sniffer is not told a channel before it has listed its interfaces.
            assert!(spoken.len() > 2, "{}: {spoken:?}", row.name);
        }
    }
}
