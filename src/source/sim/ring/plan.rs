//! What a simulated trunk is like: its nodes, how busy it is, and what is wrong with it.

use crate::source::sim::faults::Fault;

/// An address that nobody has, and one that nobody looks for.
pub(super) const ABSENT: u8 = 90;
pub(super) const TOO_HIGH: u8 = 40;
/// What a trunk is like.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bits a second.
    pub baud: u32,
    /// Addresses of masters, in order.
    pub masters: Vec<u8>,
    /// Addresses of slaves, which answer and never have the token.
    pub slaves: Vec<u8>,
    /// Up to which address nodes look for others.
    pub max_master: u8,
    /// Of a hundred turns so many have something to say.
    pub talk_percent: u32,
    /// Of a hundred answers so many come later.
    pub postponed_percent: u32,
    /// Of a hundred answers so many are in extended frames.
    pub extended_percent: u32,
    /// Whether all begin at once with nobody in the ring.
    pub cold: bool,
    /// What is wrong.
    pub fault: Option<Fault>,
    /// Other numbers give other traffic.
    pub seed: u64,
}

impl Plan {
    /// A healthy trunk of twelve masters without gaps.
    pub fn healthy() -> Self {
        Self {
            baud: 38_400,
            masters: (0..12).collect(),
            slaves: Vec::new(),
            max_master: 12,
            talk_percent: 25,
            postponed_percent: 3,
            extended_percent: 0,
            cold: false,
            fault: None,
            seed: 0x5e71_a15a_a2c0_ed1c,
        }
    }

    /// The trunk that shows a fault.
    pub fn sick(fault: Fault) -> Self {
        let mut plan = Self { fault: Some(fault), ..Self::healthy() };
        match fault {
            Fault::MaxMasterHigh => plan.max_master = 127,
            Fault::AddressGaps => {
                plan.masters = vec![0, 1, 10, 20, 30, 40, 50];
                plan.max_master = 50;
            }
            Fault::PollStorm => {
                plan.masters = (0..12).map(|i| 2 * i).collect();
                plan.max_master = 22;
            }
            Fault::BroadcastShare => plan.talk_percent = 4,
            Fault::NotInRing => plan.max_master = 13,
            Fault::SlowLoop => {
                (plan.baud, plan.talk_percent) = (9_600, 90);
                plan.masters = (0..30).collect();
                plan.max_master = 30;
            }
            Fault::LowBaud => {
                (plan.baud, plan.talk_percent) = (19_200, 5);
                plan.masters = (0..18).collect();
                plan.max_master = 18;
            }
            Fault::ExtendedUnsupported => plan.extended_percent = 5,
            Fault::BusyTrunk => {
                plan.talk_percent = 100;
                plan.masters = (0..5).collect();
                plan.max_master = 5;
            }
            _ => {}
        }
        plan
    }

    /// The address that is to be named with the fault, if it is one node's.
    pub fn culprit(&self) -> Option<u8> {
        let fault = self.fault?;
        match fault {
            Fault::AbsentPeer => Some(ABSENT),
            Fault::MaxMasterLow => Some(TOO_HIGH),
            Fault::NotInRing => self.masters.last().map(|mac| mac + 1),
            Fault::SoleMaster => self.masters.first().copied(),
            Fault::MaxMasterHigh => self.masters.last().copied(),
            Fault::IAmStorm => self.masters.first().copied(),
            _ if fault.is_one_nodes() => self.masters.get(self.masters.len() / 3).copied(),
            _ => None,
        }
    }
}
