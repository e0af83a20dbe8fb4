//! From which value on a figure is a finding: all thresholds in one place.
//!
//! "135" is ASHRAE 135, clause 9. JCI, Optigo, Distech, Contemporary Controls, Carrier: the guides
//! of these vendors for MS/TP trunks. The others are our own, chosen so that no finding came on
//! simulated trunks without a fault; real trunks may need others.

/// Silence in which a token is lost, in milliseconds: 500 (135), less what the slowest adapter may
/// be late.
pub const NO_TOKEN_MS: i64 = 480;
/// From token to first octet, in microseconds (135).
pub const USAGE_DELAY_US: u64 = 15_000;
/// A token that is sent again sooner than this is no retry, in microseconds.
pub const DOUBLE_TOKEN_US: u64 = 15_000;
/// The least that a node waits before it sends a token again, in milliseconds (135).
pub const USAGE_TIMEOUT_MS: f64 = 20.0;
/// After this time who is polled does not answer any more, in microseconds: between the 15 ms that it
/// has and the 20 that are waited for it (135).
pub const POLL_WAIT_US: u64 = 18_000;
/// The same for requests: the least that an asker waits (135).
pub const REPLY_WAIT_US: u64 = 255_000;
/// From request to reply, in microseconds (135).
pub const REPLY_DELAY_US: u64 = 250_000;
/// A mean of replies from which on they slow down everybody, in milliseconds.
pub const REPLY_MEAN_MS: f64 = 150.0;
/// Silence in a turn, in microseconds; (135) allows 15 ms.
pub const HOLD_SILENCE_US: u64 = 50_000;
/// How much of a frame may look like silence if the rate is a guess, in microseconds.
pub const GUESSED_US: u64 = 20_000;

/// A capture is judged from here on: seconds, and rounds of the token.
pub const LEAST_SECONDS: f64 = 60.0;
/// Rounds of the token.
pub const LEAST_LOOPS: u64 = 10;

/// Of the tokens to a node, second ones that are a finding: this many, and this share.
pub const RETRIES: u32 = 3;
/// This share.
pub const RETRY_SHARE: f64 = 0.005;
/// A share from which on they are a fault.
pub const RETRY_FAULT_SHARE: f64 = 0.05;
/// Lost tokens a minute that are critical.
pub const LOST_CRITICAL_PER_MIN: f64 = 1.0;
/// A node that takes no token for so long is gone: seconds, and rounds.
pub const GONE_SECONDS: f64 = 5.0;
/// Tokens that a node must have had before it can be gone.
pub const GONE_TOKENS: u32 = 5;
/// Times that it comes back.
pub const REJOINS: u32 = 2;
/// No token for so long, and polls: nobody else is there.
pub const SOLE_SECONDS: f64 = 10.0;
/// It has polled as often.
pub const SOLE_POLLS: u32 = 20;
/// Frames out of turn.
pub const OUT_OF_TURN: u32 = 5;
/// Signs of two nodes with one address.
pub const DUPLICATES: u32 = 3;
/// Usage delays above the limit: this many, and this share.
pub const SLOW_USAGE: u64 = 3;
/// This share.
pub const SLOW_USAGE_SHARE: f64 = 0.02;
/// Waits that are too short.
pub const SHORT_WAITS: u64 = 3;
/// Turns with long silence.
pub const LONG_HOLDS: u64 = 5;
/// Frames in a turn [Distech, Contemporary Controls: 20 to 40 at most].
pub const FRAMES_PER_TOKEN: u32 = 40;
/// The same for a node that holds the token half of all time while rounds are slow.
pub const FRAMES_PER_SLOW_TOKEN: u32 = 20;
/// Round times in milliseconds: warning, fault [JCI, Carrier], critical.
pub const LOOP_MS: [f64; 3] = [1000.0, 2000.0, 5000.0];
/// Rounds from which on their median says something.
pub const LOOPS: u64 = 5;
/// Maintenance polls that come too early.
pub const EARLY_POLLS: u32 = 10;

/// The share of time that polls waste.
pub const POLL_WASTE: f64 = 0.03;
/// Polls to which an address does not react though it answers requests.
pub const IGNORED_POLLS: u32 = 3;

/// Requests without an answer: this many, of at least so many, and this share (Optigo).
pub const UNANSWERED: u32 = 3;
/// Of at least so many.
pub const UNANSWERED_OF: u32 = 5;
/// This share.
pub const UNANSWERED_SHARE: f64 = 0.01;
/// Replies above the limit.
pub const SLOW_REPLIES: u64 = 2;
/// Answers of somebody else than was asked.
pub const WRONG_ANSWERS: u32 = 3;
/// Extended requests without an answer: this share.
pub const LONG_UNANSWERED_SHARE: f64 = 0.8;
/// Refusals: of so many answers, this share.
pub const REFUSALS_OF: u32 = 10;
/// This share.
pub const REFUSAL_SHARE: f64 = 0.2;

/// Requests in vain, one after the other, after which a Modbus unit is gone.
pub const GONE_REQUESTS: u32 = 3;
/// Answers of a Modbus unit from which on their median says something.
pub const RESPONSES: u64 = 10;
/// Damage that a unit which is not there may get by chance: this share of the requests to it.
pub const CHANCE_DAMAGE: f64 = 0.1;
/// The median of its answers that is slow, in microseconds.
pub const RESPONSE_US: u64 = 200_000;
/// Exceptions of a unit that are a finding: this many, and this share of its answers.
pub const EXCEPTIONS: u32 = 3;
/// This share.
pub const EXCEPTION_SHARE: f64 = 0.05;
/// Damaged answers of a unit: this many, and this share of its requests.
pub const DAMAGED_ANSWERS: u32 = 3;
/// This share.
pub const DAMAGED_ANSWER_SHARE: f64 = 0.02;

/// Frames of a radio link that were sent again: this many, and this share.
pub const SENT_AGAIN: u32 = 5;
/// This share.
pub const SENT_AGAIN_SHARE: f64 = 0.2;
/// Damaged frames on a radio channel: this many, and this share.
pub const BAD_FCS: u32 = 10;
/// This share.
pub const BAD_FCS_SHARE: f64 = 0.1;
/// As many findings on radio links are kept, the worst ones.
pub const MOST_RADIO_FINDINGS: usize = 30;

/// Errors a minute that are still good (JCI).
pub const ERRORS_PER_MIN: f64 = 2.0;
/// Errors a minute from which on noise is a fault.
pub const NOISE_FAULT_PER_MIN: f64 = 60.0;
/// Damage that says something about who causes it.
pub const DAMAGE: u32 = 4;
/// Damage, and stray octets, that are noise.
pub const NOISE: u32 = 5;
/// The share of damage in one node's turns.
pub const DAMAGE_SHARE: f64 = 0.6;
/// A node with a larger share of all frames has most damage by nature.
pub const FRAME_SHARE: f64 = 0.4;
/// The probability that this is chance.
pub const CHANCE: f64 = 1e-4;
/// As many times more than its share of what hits all nodes is a node's own trouble.
pub const OUTSTANDING: f64 = 3.0;
/// Frames with stray octets right behind them: this share.
pub const TAIL_SHARE: f64 = 0.05;
/// Different octets that make up nearly all of them.
pub const TAIL_VALUES: usize = 6;
/// Damaged frames that tell of a missing terminator, and how much more often those with data are.
pub const REFLECTIONS: u32 = 8;
/// Errors for each octet of long frames, over those of short ones.
pub const REFLECTION_RATIO: f64 = 3.0;
/// Damage in headers of long frames, over their share of octets, that is not by reflections.
pub const HEADER_RATIO: f64 = 2.0;
/// Frames without their first octets: this many, and this share of the damage of the node.
pub const HEADLESS: u32 = 3;
/// This share.
pub const HEADLESS_SHARE: f64 = 0.8;
/// Frames that begin in the middle of another.
pub const COLLISIONS: u32 = 3;
/// Octets at another rate: at least so many, and so many of a hundred on its grid.
pub const GRID_OCTETS: u32 = 50;
/// So many of a hundred.
pub const GRID_PERCENT: u32 = 70;
/// Frames that would be in turn if some before them were missing: this many, this share, of so many
/// nodes.
pub const LOSSES: u32 = 5;
/// This share.
pub const LOSS_SHARE: f64 = 0.6;
/// Of so many nodes.
pub const LOSS_TALKERS: u32 = 4;

/// Who-Is without limits a minute from one node, and Who-Is of any kind.
pub const WIDE_WHO_IS_PER_MIN: f64 = 6.0;
/// Who-Is of any kind from all.
pub const WHO_IS_PER_MIN: f64 = 60.0;
/// I-Am a minute from all, and from each node.
pub const I_AM_PER_MIN: f64 = 120.0;
/// From each node.
pub const I_AM_PER_NODE: f64 = 3.0;
/// Notifications a minute from all, and from one (JCI).
pub const COV_PER_MIN: f64 = 500.0;
/// From one.
pub const COV_PER_MIN_OF_ONE: f64 = 200.0;
/// Messages between routers, and frames of vendors, a minute from one.
pub const OTHERS_PER_MIN: f64 = 60.0;
/// The share of broadcasts among frames with data, and their rate.
pub const BROADCAST_SHARE: f64 = 0.2;
/// The rate a minute.
pub const BROADCASTS_PER_MIN: f64 = 60.0;
/// The share of time in which somebody sends.
pub const UTILISATION: f64 = 0.8;
/// Seconds that are no mere burst of traffic.
pub const BUSY_SECONDS: f64 = 5.0;
/// A slow trunk with more nodes than this could be faster.
pub const NODES_AT_LOW_BAUD: usize = 15;
/// What a slow trunk is.
pub const LOW_BAUD: u32 = 19_200;
