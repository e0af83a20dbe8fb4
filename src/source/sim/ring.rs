//! A trunk as the standard has it (ASHRAE 135, clause 9.5.6), healthy or with one fault.
//!
//! Where [`trunk`](super::trunk) shows a newcomer all frames in a few seconds, this one keeps to the
//! rules for hours: Npoll, Nretry_token, Tusage_timeout, a lost token. It is what the doctor's
//! tests listen to, and with `sim:mstp,fault=NAME` anybody can hear what a fault sounds like. It is
//! pure: it says what is on the line next and how long the line is silent before.

mod harm;
mod plan;

use super::faults::Fault;
use super::trunk::frame;
use super::{Burst, Dice};
pub use plan::Plan;
use plan::{ABSENT, TOO_HIGH};
use std::collections::VecDeque;
use std::ops::RangeInclusive;

const TOKEN: u8 = 0;
const POLL: u8 = 1;
const POLL_REPLY: u8 = 2;
const REQUEST: u8 = 5;
const DATA: u8 = 6;
const POSTPONED: u8 = 7;
const PROPRIETARY: u8 = 128;
const BROADCAST: u8 = 255;

/// Tokens after which a node looks for others (clause 9.5.3, Npoll).
const NPOLL: u32 = 50;
/// Longest data of a frame that is not extended.
const PLAIN_MAX: usize = 501;

/// Two addresses of another trunk.
const FOREIGN: [u8; 2] = [60, 61];

#[derive(Clone, Debug)]
struct Node {
    mac: u8,
    is_up: bool,
    is_known: bool,
    usage_timeout_us: u32,
    usage_us: RangeInclusive<u32>,
    reply_us: RangeInclusive<u32>,
    tokens: u32,
    /// Which address it polls next, while it polls.
    polls: Option<u8>,
    owed: VecDeque<(u8, Vec<u8>)>,
    instance: u32,
    invoke_id: u8,
}

/// A trunk that goes on for ever.
#[derive(Debug)]
pub struct Ring {
    plan: Plan,
    nodes: Vec<Node>,
    dice: Dice,
    holder: usize,
    /// Who spoke last.
    last_from: Option<u8>,
    queue: VecDeque<Burst>,
    now_ns: u64,
    turns: u64,
    culprit: Option<u8>,
    /// Frames that the adapter loses from here on.
    losing: u32,
    /// Turns of the node that sends segments.
    segments: u32,
    extra_ns: u64,
}

impl Ring {
    /// A trunk of this kind.
    pub fn new(plan: Plan) -> Self {
        let mut dice = Dice(plan.seed | 1);
        let bit_us = 1_000_000 / plan.baud + 1;
        let turnaround = 40 * bit_us;
        let nodes = plan.masters.iter().map(|&mac| {
            let slowest = turnaround + 2_000 + dice.below(5_000);
            Node {
                mac,
                is_up: true,
                is_known: !plan.cold,
                usage_timeout_us: 22_000 + dice.below(10_000),
                usage_us: turnaround + 200..=slowest.min(14_500),
                reply_us: turnaround + 2_000..=turnaround + 20_000 + dice.below(20_000),
                tokens: dice.below(NPOLL),
                polls: None,
                owed: VecDeque::new(),
                instance: 260_000 + u32::from(mac),
                invoke_id: dice.below(256) as u8,
            }
        });
        let nodes = nodes.collect();
        let culprit = plan.culprit();
        let mut ring = Self {
            plan,
            nodes,
            dice,
            holder: 0,
            last_from: None,
            queue: VecDeque::new(),
            now_ns: 0,
            turns: 0,
            culprit,
            losing: 0,
            segments: 0,
            extra_ns: 0,
        };
        ring.prepare();
        ring
    }

    /// What a fault changes from the beginning.
    fn prepare(&mut self) {
        let fault = self.plan.fault;
        if let Some(sick) = self.nodes.iter_mut().find(|node| Some(node.mac) == self.culprit) {
            match fault {
                Some(Fault::SlowTokenUse) => sick.usage_us = 15_500..=21_000,
                Some(Fault::ImpatientNode) => sick.usage_timeout_us = 10_000,
                Some(Fault::SlowReplies) => sick.reply_us = 140_000..=290_000,
                _ => {}
            }
        }
        if fault == Some(Fault::BusyTrunk) {
            self.nodes.iter_mut().for_each(|node| node.reply_us = 1_500..=3_000);
        }
        if fault == Some(Fault::DuplicateInstance) {
            let last = self.nodes.len() - 1;
            self.nodes[last].instance = self.nodes[self.nodes.len() / 3].instance;
        }
        if self.plan.cold {
            self.nodes.iter_mut().for_each(|node| node.is_known = false);
            self.nodes[0].is_known = true;
            self.extra_ns = 600_000_000;
        }
    }

    /// What the line says next.
    pub fn next_burst(&mut self) -> Burst {
        loop {
            if let Some(burst) = self.queue.pop_front() {
                return burst;
            }
            self.turn();
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.plan.fault == Some(fault)
    }

    /// Whether this is the node with the fault, and it is this one.
    fn has(&self, mac: u8, fault: Fault) -> bool {
        self.is(fault) && self.culprit == Some(mac)
    }

    fn octets_ns(&self, octets: usize) -> u64 {
        octets as u64 * 10_000_000_000 / u64::from(self.plan.baud)
    }

    fn seconds(&self) -> u64 {
        self.now_ns / 1_000_000_000
    }

    /// All that is said from getting the token to passing it on.
    fn turn(&mut self) {
        self.turns += 1;
        self.change();
        let mac = self.nodes[self.holder].mac;
        if self.has(mac, Fault::LostToken) && self.turns > 60 && self.dice.one_in(40) {
            return self.lose_token();
        }
        if self.is(Fault::SoleMaster) && self.seconds() > 20 {
            return self.poll_alone();
        }
        if self.is(Fault::LostTokenAnywhere) && self.turns > 60 && self.dice.one_in(300) {
            return self.lose_token();
        }
        let mut first = true;
        for (to, answer) in std::mem::take(&mut self.nodes[self.holder].owed) {
            self.first_or_own(&mut first, DATA, to, mac, &answer);
        }
        self.talk(mac, &mut first);
        if self.has(mac, Fault::TokenHeld) && self.dice.one_in(8) {
            self.extra_ns = u64::from(self.dice.within(80..=250)) * 1_000_000;
        }
        self.pass(mac, first);
    }

    /// Nodes that go and come.
    fn change(&mut self) {
        let seconds = self.seconds();
        let up = match self.plan.fault {
            Some(Fault::NodeGone) => seconds < 40,
            Some(Fault::NodeFlapping) => seconds % 25 < 18,
            _ => return,
        };
        let Some(at) = self.nodes.iter().position(|node| Some(node.mac) == self.culprit) else {
            return;
        };
        if at != self.holder {
            self.nodes[at].is_up = up;
        }
    }

    /// What a node has to say. `first`: nothing was said in this turn yet.
    fn talk(&mut self, mac: u8, first: &mut bool) {
        let mut frames = u32::from(self.dice.below(100) < self.plan.talk_percent);
        if mac == self.nodes[0].mac {
            frames *= 2;
        }
        if self.has(mac, Fault::MaxInfoFrames) {
            frames = 50;
        }
        for _ in 0..frames {
            self.exchange(mac, first);
        }
        self.flood(mac, first);
    }

    /// Says what nobody asked for.
    fn flood(&mut self, mac: u8, first: &mut bool) {
        let who_is: &[u8] = &[1, 0x20, 0xff, 0xff, 0, 0xff, 0x10, 8];
        let cov =
            [&[1, 0, 0x10, 2][..], &[9, 7, 0x1c, 2, 0, 0, 9, 0x2c, 0, 0, 0, 1, 0x39, 0]].concat();
        let is_sick = self.culprit == Some(mac);
        match self.plan.fault {
            Some(Fault::WhoIsStorm) if is_sick && self.dice.one_in(8) => {
                self.first_or_own(first, DATA, BROADCAST, mac, who_is);
            }
            Some(Fault::IAmStorm) if is_sick && self.dice.one_in(8) => {
                let within = [who_is, &[0x09, 0, 0x1b, 0x3f, 0xff, 0xff]].concat();
                self.first_or_own(first, DATA, BROADCAST, mac, &within);
                for other in 0..self.nodes.len() {
                    let i_am = self.i_am(self.nodes[other].mac);
                    self.nodes[other].owed.push_back((BROADCAST, i_am));
                }
            }
            Some(Fault::SegmentationTimeouts) if is_sick => {
                // The first segment of an answer three times, then Abort (TSM timeout).
                let id = (self.segments / 30) as u8;
                let said = match self.segments % 30 {
                    ..3 => vec![1, 0, 0x3c, id, 0, 4, 0x0c, 0x0c, 2, 0, 0, 1, 0x19, 0x4c, 0x3e],
                    3 => vec![1, 0, 0x71, id, 10],
                    _ => Vec::new(),
                };
                self.segments = self.segments.wrapping_add(1);
                if !said.is_empty() {
                    self.first_or_own(first, DATA, self.nodes[0].mac, mac, &said);
                }
            }
            Some(Fault::CovFlood) if is_sick => {
                self.first_or_own(first, DATA, self.nodes[0].mac, mac, &cov)
            }
            Some(Fault::RouterStorm) if is_sick && self.dice.one_in(3) => {
                self.first_or_own(first, DATA, BROADCAST, mac, &[1, 0x80, 1, 0, 5]);
            }
            Some(Fault::ProprietaryFlood) if is_sick => {
                self.first_or_own(first, PROPRIETARY, self.nodes[0].mac, mac, &[1, 4, 7, 7]);
            }
            Some(Fault::BroadcastShare) if is_sick => {
                self.first_or_own(first, DATA, BROADCAST, mac, &[1, 0, 0x10, 4, 9, 1]);
            }
            _ if self.turns.is_multiple_of(400)
                || (self.dice.one_in(150) && self.is(Fault::DuplicateInstance)) =>
            {
                let i_am = self.i_am(mac);
                self.first_or_own(first, DATA, BROADCAST, mac, &i_am);
            }
            _ => {}
        }
    }

    fn i_am(&mut self, mac: u8) -> Vec<u8> {
        let instance =
            self.nodes.iter().find(|node| node.mac == mac).map_or(0, |node| node.instance);
        let [a, b, c, d] = (8 << 22 | instance).to_be_bytes();
        vec![
            1, 0x20, 0xff, 0xff, 0, 0xff, 0x10, 0, 0xc4, a, b, c, d, 0x22, 5, 0xc4, 0x91, 3, 0x22,
            2, 0x2b,
        ]
    }

    /// A question and its answer.
    fn exchange(&mut self, mac: u8, first: &mut bool) {
        let to = self.peer(mac);
        let id = self.invoke_id();
        let request = vec![1, 4, 0, 5, id, 0x0c, 0x0c, 0, 0, 0, 1, 0x19, 0x55];
        let is_long = self.has(to, Fault::ExtendedUnsupported) && self.dice.one_in(3);
        let request = if is_long { [&request[..], &[0x11; 600]].concat() } else { request };
        self.first_or_own(first, REQUEST, to, mac, &request);
        let node = self.nodes.iter().position(|node| node.mac == to);
        let is_there = node.is_some_and(|at| self.nodes[at].is_up)
            || self.plan.slaves.contains(&to)
            || (self.is(Fault::MaxMasterLow) && to == TOO_HIGH)
            || self.has(to, Fault::NotInRing);
        let hangs = is_long || (self.has(to, Fault::NoAnswer) && self.dice.one_in(3));
        if !is_there || hangs {
            self.extra_ns = u64::from(self.dice.within(256..=290)) * 1_000_000;
            return;
        }
        let long = self.dice.below(100) < self.plan.extended_percent;
        let len = if self.is(Fault::BusyTrunk) {
            450
        } else if long {
            700
        } else {
            4 + self.dice.below(40) as usize * u32::from(self.dice.one_in(3)) as usize
        };
        let mut answer = vec![1, 0, 0x30, id, 0x0c, 0x0c, 0, 0, 0, 1];
        answer.extend((0..len).map(|i| i as u8));
        if self.has(to, Fault::ErrorReplies) && self.dice.one_in(2) {
            answer = vec![1, 0, 0x50, id, 0x0c, 0x91, 1, 0x91, 31];
        }
        if answer.len() <= PLAIN_MAX
            && self.dice.below(100) < self.plan.postponed_percent
            && let Some(at) = node
        {
            self.reply(POSTPONED, mac, to, &[]);
            self.nodes[at].owed.push_back((mac, answer));
            return;
        }
        let by =
            if self.is(Fault::WrongAnswerer) && self.dice.one_in(10) { self.culprit } else { None };
        self.reply(DATA, mac, by.filter(|by| *by != mac).unwrap_or(to), &answer);
        if self.has(to, Fault::DuplicateMac) && self.dice.one_in(2) {
            self.reply(DATA, mac, to, &answer);
        }
    }

    /// Whom a node asks: mostly masters, and whoever the fault is about.
    fn peer(&mut self, mac: u8) -> u8 {
        let is_first = mac == self.nodes[0].mac;
        let special = match self.plan.fault {
            Some(Fault::AbsentPeer) if is_first => Some(ABSENT),
            Some(Fault::MaxMasterLow) if is_first => Some(TOO_HIGH),
            Some(
                Fault::NoAnswer
                | Fault::SlowReplies
                | Fault::NotInRing
                | Fault::ErrorReplies
                | Fault::ExtendedUnsupported
                | Fault::DuplicateMac,
            ) => self.culprit,
            _ => None,
        };
        if let Some(special) = special.filter(|special| *special != mac && self.dice.one_in(3)) {
            return special;
        }
        let masters: Vec<u8> = self
            .nodes
            .iter()
            .filter(|node| node.is_up && node.is_known)
            .map(|node| node.mac)
            .collect();
        let others: Vec<u8> = masters
            .into_iter()
            .chain(self.plan.slaves.iter().copied())
            .filter(|other| *other != mac)
            .collect();
        if others.is_empty() {
            ABSENT
        } else {
            others[self.dice.below(others.len() as u32) as usize]
        }
    }

    fn invoke_id(&mut self) -> u8 {
        let node = &mut self.nodes[self.holder];
        node.invoke_id = node.invoke_id.wrapping_add(1);
        node.invoke_id
    }

    fn reply(&mut self, kind: u8, to: u8, from: u8, data: &[u8]) {
        let range = match self.nodes.iter().find(|node| node.mac == from) {
            Some(node) => node.reply_us.clone(),
            None => 5_000..=25_000,
        };
        let pause = self.dice.within(range);
        self.say(pause, kind, to, from, data);
    }

    /// A frame of the holder: after its usage delay, or right behind what was before.
    fn first_or_own(&mut self, first: &mut bool, kind: u8, to: u8, from: u8, data: &[u8]) {
        let pause =
            if std::mem::take(first) { self.usage(from) } else { self.dice.within(400..=1_500) };
        self.say(pause, kind, to, from, data);
    }

    fn usage(&mut self, mac: u8) -> u32 {
        let range =
            self.nodes.iter().find(|node| node.mac == mac).map(|node| node.usage_us.clone());
        self.dice.within(range.unwrap_or(2_000..=9_000))
    }

    /// Polls if it is time for it, and passes the token on.
    fn pass(&mut self, mac: u8, mut first: bool) {
        let at = self.holder;
        let next = self.next_known(at);
        self.poll(at, next, &mut first);
        let next = self.next_known(at);
        let to = self.nodes[next].mac;
        if to == mac {
            // Sole master: it looks for others all the time.
            return self.find_others(at, &mut first);
        }
        self.first_or_own(&mut first, TOKEN, to, mac, &[]);
        self.repeat_token(mac, to);
        if !self.nodes[next].is_up {
            return self.find_successor(at, next);
        }
        self.holder = next;
        self.nodes[next].tokens += 1;
        self.foreign_tokens();
    }

    /// Second tokens, as some faults have them.
    fn repeat_token(&mut self, mac: u8, to: u8) {
        let wait = self.nodes[self.holder].usage_timeout_us;
        if self.has(to, Fault::TokenRetries) && self.dice.one_in(12) {
            self.say(wait, TOKEN, to, mac, &[]);
        } else if self.has(mac, Fault::DuplicateMac) && self.dice.one_in(4) {
            let pause = self.dice.within(2_000..=9_000);
            self.say(pause, TOKEN, to, mac, &[]);
            if self.dice.one_in(2) {
                self.garble();
            }
        } else if self.has(mac, Fault::ImpatientNode) && self.dice.one_in(10) {
            self.say(wait, TOKEN, to, mac, &[]);
        }
    }

    /// Another trunk's tokens come and go.
    fn foreign_tokens(&mut self) {
        let [one, other] = FOREIGN;
        if self.is(Fault::TwoTokens) && self.seconds() % 20 >= 18 {
            self.say(1_500, TOKEN, other, one, &[]);
            self.say(2_500, TOKEN, one, other, &[]);
        }
        if self.is(Fault::OutOfTurn)
            && self.dice.one_in(40)
            && let Some(mac) = self.culprit
        {
            self.say(1_500, DATA, self.nodes[0].mac, mac, &[1, 0, 0x10, 4, 9, 1]);
        }
    }

    fn next_known(&self, at: usize) -> usize {
        let len = self.nodes.len();
        (1..=len)
            .map(|step| (at + step) % len)
            .find(|next| self.nodes[*next].is_known)
            .unwrap_or(at)
    }

    /// After 49 tokens one address of the gap at each token, until all were polled.
    fn poll(&mut self, at: usize, next: usize, first: &mut bool) {
        let mac = self.nodes[at].mac;
        let is_storm = self.has(mac, Fault::PollStorm) && self.turns.is_multiple_of(5);
        let gap = self.gap(mac, self.nodes[next].mac);
        let node = &mut self.nodes[at];
        if node.polls.is_none() && (node.tokens >= NPOLL - 1 || is_storm) {
            node.tokens = 0;
            node.polls = gap.first().copied();
        }
        let Some(polled) = node.polls else { return };
        if gap.contains(&polled) {
            self.poll_one(at, polled, first);
        }
        let after = gap.iter().copied().position(|mac| mac == polled).and_then(|i| gap.get(i + 1));
        self.nodes[at].polls = after.copied().filter(|_| !is_storm);
    }

    /// Addresses between a node and the next one, in the order in which they are polled.
    fn gap(&self, mac: u8, next: u8) -> Vec<u8> {
        let max_master = self.plan.max_master.max(mac);
        let mut gap = Vec::new();
        let mut polled = mac;
        loop {
            polled = if polled >= max_master { 0 } else { polled + 1 };
            if polled == next || polled == mac || gap.len() > 128 {
                return gap;
            }
            gap.push(polled);
        }
    }

    fn poll_one(&mut self, at: usize, polled: u8, first: &mut bool) {
        let (mac, wait) = (self.nodes[at].mac, self.nodes[at].usage_timeout_us);
        self.first_or_own(first, POLL, polled, mac, &[]);
        let found =
            self.nodes.iter().position(|node| node.mac == polled && node.is_up && !node.is_known);
        if let Some(found) = found {
            let pause = self.usage(polled);
            self.say(pause, POLL_REPLY, mac, polled, &[]);
            self.nodes[found].is_known = true;
        } else {
            self.extra_ns = u64::from(wait) * 1000;
        }
    }

    /// The next node does not take the token: once more, then whoever comes behind it.
    fn find_successor(&mut self, at: usize, lost: usize) {
        let (mac, to, wait) =
            (self.nodes[at].mac, self.nodes[lost].mac, self.nodes[at].usage_timeout_us);
        self.say(wait, TOKEN, to, mac, &[]);
        self.nodes[lost].is_known = false;
        self.extra_ns = u64::from(wait) * 1000;
        let next = self.next_known(at);
        let next_mac = self.nodes[next].mac;
        let mut first = false;
        for polled in self.gap(to, next_mac) {
            self.poll_one(at, polled, &mut first);
        }
        self.nodes[next].is_known = false;
        self.poll_one(at, next_mac, &mut first);
        self.say(1_000, TOKEN, next_mac, mac, &[]);
        self.holder = next;
    }

    /// Alone in the ring: every address is polled.
    fn find_others(&mut self, at: usize, first: &mut bool) {
        let mac = self.nodes[at].mac;
        for polled in self.gap(mac, mac) {
            self.poll_one(at, polled, first);
            if self.nodes.iter().filter(|node| node.is_known).count() > 1 {
                let to = self.nodes[self.next_known(at)].mac;
                self.say(1_000, TOKEN, to, mac, &[]);
                self.holder = self.next_known(at);
                return;
            }
        }
    }

    fn poll_alone(&mut self) {
        let wait = self.nodes[0].usage_timeout_us;
        let mac = self.nodes[0].mac;
        for polled in (mac + 1)..=127 {
            self.say(wait, POLL, polled, mac, &[]);
        }
    }

    /// The holder falls silent; the lowest node makes a new token.
    fn lose_token(&mut self) {
        let lowest = self.nodes[0].mac;
        let wait_us = 500_000 + 10_000 * u32::from(lowest) + self.dice.below(5_000);
        let next = self.next_known(0);
        let to = self.nodes[next].mac;
        let mut first = false;
        self.extra_ns = u64::from(wait_us) * 1000;
        self.say(0, POLL, to, lowest, &[]);
        let pause = self.usage(to);
        self.say(pause, POLL_REPLY, lowest, to, &[]);
        self.first_or_own(&mut first, TOKEN, to, lowest, &[]);
        self.holder = next;
    }

    /// Puts a frame on the line, as far as the fault lets it through.
    fn say(&mut self, pause_us: u32, kind: u8, to: u8, from: u8, data: &[u8]) {
        let octets = frame(kind, to, from, data);
        // Tturnaround: 40 bit times behind another node's frame.
        let least_ns = if self.last_from == Some(from) { 0 } else { self.octets_ns(4) };
        let pause_ns = (u64::from(pause_us) * 1000).max(least_ns);
        let pause_ns = pause_ns + std::mem::take(&mut self.extra_ns);
        self.now_ns += pause_ns + self.octets_ns(octets.len());
        self.queue.push_back(Burst { pause_ns, octets });
        self.last_from = Some(from);
        self.harm(from, kind, data.len());
    }
}
