//! What can be wrong with a simulated trunk: a fault has the name of the finding that it is to be
//! found as.

/// A fault of a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is explained where it is found: docs/report.md")]
pub enum Fault {
    LostToken,
    LostTokenAnywhere,
    TokenRetries,
    NodeGone,
    NodeFlapping,
    SoleMaster,
    TwoTokens,
    OutOfTurn,
    DuplicateMac,
    SlowTokenUse,
    ImpatientNode,
    TokenHeld,
    MaxInfoFrames,
    SlowLoop,
    PollStorm,
    MaxMasterHigh,
    AddressGaps,
    MaxMasterLow,
    NotInRing,
    DuplicateInstance,
    NoAnswer,
    AbsentPeer,
    SlowReplies,
    WrongAnswerer,
    ExtendedUnsupported,
    ErrorReplies,
    SegmentationTimeouts,
    Collisions,
    BadTransmitter,
    Noise,
    MissingBias,
    MissingTerminator,
    EarlyTurnaround,
    WrongBaud,
    CaptureLoss,
    WhoIsStorm,
    IAmStorm,
    CovFlood,
    RouterStorm,
    ProprietaryFlood,
    BroadcastShare,
    BusyTrunk,
    LowBaud,
}

impl Fault {
    /// All that have a name of their own.
    pub const ALL: [(&'static str, Self); 42] = [
        ("lost-token", Self::LostToken),
        ("token-retries", Self::TokenRetries),
        ("node-gone", Self::NodeGone),
        ("node-flapping", Self::NodeFlapping),
        ("sole-master", Self::SoleMaster),
        ("two-tokens", Self::TwoTokens),
        ("out-of-turn", Self::OutOfTurn),
        ("duplicate-mac", Self::DuplicateMac),
        ("slow-token-use", Self::SlowTokenUse),
        ("impatient-node", Self::ImpatientNode),
        ("token-held", Self::TokenHeld),
        ("max-info-frames", Self::MaxInfoFrames),
        ("slow-loop", Self::SlowLoop),
        ("poll-storm", Self::PollStorm),
        ("max-master-high", Self::MaxMasterHigh),
        ("address-gaps", Self::AddressGaps),
        ("max-master-low", Self::MaxMasterLow),
        ("not-in-ring", Self::NotInRing),
        ("duplicate-instance", Self::DuplicateInstance),
        ("no-answer", Self::NoAnswer),
        ("absent-peer", Self::AbsentPeer),
        ("slow-replies", Self::SlowReplies),
        ("wrong-answerer", Self::WrongAnswerer),
        ("extended-unsupported", Self::ExtendedUnsupported),
        ("error-replies", Self::ErrorReplies),
        ("segmentation-timeouts", Self::SegmentationTimeouts),
        ("collisions", Self::Collisions),
        ("bad-transmitter", Self::BadTransmitter),
        ("noise", Self::Noise),
        ("missing-bias", Self::MissingBias),
        ("missing-terminator", Self::MissingTerminator),
        ("early-turnaround", Self::EarlyTurnaround),
        ("wrong-baud", Self::WrongBaud),
        ("capture-loss", Self::CaptureLoss),
        ("who-is-storm", Self::WhoIsStorm),
        ("i-am-storm", Self::IAmStorm),
        ("cov-flood", Self::CovFlood),
        ("router-storm", Self::RouterStorm),
        ("proprietary-flood", Self::ProprietaryFlood),
        ("broadcast-share", Self::BroadcastShare),
        ("busy-trunk", Self::BusyTrunk),
        ("low-baud", Self::LowBaud),
    ];

    /// The fault of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, fault)| fault)
    }

    /// Whether one node is to blame, which a plan chooses.
    pub(super) fn is_one_nodes(self) -> bool {
        !matches!(
            self,
            Self::LostTokenAnywhere
                | Self::TwoTokens
                | Self::SlowLoop
                | Self::AddressGaps
                | Self::Noise
                | Self::MissingBias
                | Self::MissingTerminator
                | Self::WrongBaud
                | Self::CaptureLoss
                | Self::BusyTrunk
                | Self::LowBaud
        )
    }
}

/// What octets of a device sound like at a rate that is `factor` times its own: each of its bits is
/// that many bits here, and a start bit is looked for at every falling edge.
pub(super) fn slower(octets: &[u8], factor: usize) -> Vec<u8> {
    let mut bits = Vec::new();
    for octet in octets {
        let of_octet = (0..10).map(|i| match i {
            0 => false,
            9 => true,
            i => octet >> (i - 1) & 1 != 0,
        });
        bits.extend(of_octet.flat_map(|bit| std::iter::repeat_n(bit, factor)));
    }
    let mut heard = Vec::new();
    let mut at = 0;
    while at < bits.len() {
        if bits[at] {
            at += 1;
            continue;
        }
        let octet = (0..8).map(|i| u8::from(bits.get(at + 1 + i).copied().unwrap_or(true)) << i);
        heard.push(octet.sum());
        at += 9;
        // Without a stop bit there is no new start before the line has risen.
        while at < bits.len() && !bits[at] {
            at += 1;
        }
    }
    heard
}
