//! What damage says about cables, transceivers and the adapter that listens. All damage is judged
//! together: the most special rule that explains most of it wins.

use super::Confidence::{Certain, Possible, Probable};
use super::Severity::{Fault, Warning};
use super::token::signs_of_two;
use super::{Case, Finding, macs, percent};
use crate::analysis::trunk::frame::HEADER_LEN;
use crate::analysis::trunk::node::Node;
use crate::analysis::{Seen, limits};

const DAMAGE: &str = "mstp.checksum.status == 0";

pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(capture_loss(case));
    let collisions = collisions(case);
    // Long frames are hit more often, as they are without a terminator.
    let terminator = missing_terminator(case).filter(|_| collisions.is_none());
    let special = [wrong_baud(case), terminator, collisions];
    let bad: Vec<_> =
        case.heard().filter_map(|(mac, node)| bad_transmitter(case, mac, node)).collect();
    let early: Vec<_> =
        case.trunk.by_mac().filter_map(|(mac, node)| early_turnaround(mac, node)).collect();
    let bias = missing_bias(case);
    found.extend(special.into_iter().flatten());
    found.extend(early);
    found.extend(bad);
    found.extend(bias);
    if found.is_empty() {
        found.extend(noise(case));
    }
    found
}

/// The adapter or the host has lost octets: the trunk is fine.
pub(super) fn capture_loss(case: &Case<'_>) -> Option<Finding> {
    let trunk = case.trunk;
    let strangers = trunk.strangers;
    let share = f64::from(strangers.like_loss) / f64::from(strangers.n.max(1));
    let talkers: u32 = strangers.talkers.iter().map(|bits| bits.count_ones()).sum();
    let shows = strangers.like_loss >= limits::LOSSES
        && share >= limits::LOSS_SHARE
        && talkers >= limits::LOSS_TALKERS.min(trunk.masters().count() as u32);
    if !shows && trunk.dropped == 0 {
        return None;
    }
    let mut seen = trunk.wire.damaged;
    seen.n = strangers.like_loss.max(seen.n).max(1);
    let proof = match trunk.dropped {
        0 => String::new(),
        n => format!("the capture itself says that {n} packets were lost; "),
    };
    let confidence = if trunk.dropped > 0 { Certain } else { Probable };
    Some(
        Finding::new("capture-loss", Warning, confidence, seen)
            .text(format!(
                "{proof}{} frames of {talkers} nodes are in turn only if others before them are \
                 missing in the capture; {} frames are cut off",
                strangers.like_loss, trunk.wire.cut
            ))
            .means("the adapter or the computer lost bytes while it listened; the trunk itself may be fine")
            .action("capture again with another adapter, or on a computer with less to do")
            .filter(DAMAGE),
    )
}

fn errors(case: &Case<'_>) -> u32 {
    case.trunk.wire.damaged.n
}

fn bad_transmitter(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let (n, all) = (node.damaged.n, errors(case));
    let own = node.frames as f64 / case.trunk.frames.max(1) as f64;
    if n < limits::DAMAGE
        || f64::from(n) < limits::DAMAGE_SHARE * f64::from(all)
        || own >= limits::FRAME_SHARE
    {
        return None;
    }
    let is_early = f64::from(node.headless.n) >= limits::HEADLESS_SHARE * f64::from(n);
    if is_early
        || signs_of_two(case, node).n >= limits::DUPLICATES
        || chance(n, all, own) >= limits::CHANCE
    {
        return None;
    }
    let name = case.trunk.masters().count();
    Some(
        Finding::new("bad-transmitter", Fault, if n >= 20 { Certain } else { Probable }, node.damaged)
            .of([mac])
            .text(format!(
                "{n} of {all} damaged frames are in the turns of MAC {mac}, which sends {} of all frames \
                 of {name} nodes",
                percent(own)
            ))
            .means("its transceiver, its stub, its terminals or its power supply; as heard at the place of the adapter")
            .action(format!("change the connector of MAC {mac}, then the controller itself"))
            .filter(format!("({DAMAGE}) || mstp.src == {mac}")),
    )
}

/// The probability that of `all` errors `n` or more hit a node with this share of frames.
pub(super) fn chance(n: u32, all: u32, share: f64) -> f64 {
    let share = share.clamp(1e-9, 1.0 - 1e-9);
    let Some(others) = all.checked_sub(n) else { return 0.0 };
    let (n, others, all) = (f64::from(n), f64::from(others), f64::from(all));
    let mut log_term = log_factorial(all) - log_factorial(n) - log_factorial(others)
        + n * share.ln()
        + others * (1.0 - share).ln();
    let log_odds = (share / (1.0 - share)).ln();
    // Terms fall quickly; beyond a few hundred they count for nothing.
    let mut sum = log_term.exp();
    for more in (0..300).map(f64::from).take_while(|more| *more < others) {
        log_term += ((others - more) / (n + more + 1.0)).ln() + log_odds;
        sum += log_term.exp();
    }
    sum
}

/// The logarithm of a factorial: findings are told anew every second, and counts of years are large.
fn log_factorial(n: f64) -> f64 {
    const SMALL: f64 = 32.0;
    if n < SMALL {
        return (1..=n as u32).map(|i| f64::from(i).ln()).sum();
    }
    // Stirling's series; what is left out is below a millionth.
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n)
}

fn missing_bias(case: &Case<'_>) -> Option<Finding> {
    let wire = &case.trunk.wire;
    let share = f64::from(wire.tails.n) / case.trunk.frames.max(1) as f64;
    if share < limits::TAIL_SHARE || f64::from(errors(case)) > 0.5 * f64::from(wire.tails.n) {
        return None;
    }
    let total: u32 = wire.tail_values.iter().sum();
    let mut values: Vec<(u32, u8)> = wire.tail_values.iter().copied().zip(0..=u8::MAX).collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    let common: u32 = values.iter().take(limits::TAIL_VALUES).map(|(n, _)| n).sum();
    let senders: Vec<u8> = case
        .heard()
        .filter(|(_, node)| f64::from(node.tails.n) > 0.02 * node.frames as f64)
        .map(|(mac, _)| mac)
        .collect();
    let most = case.heard().max_by_key(|(_, node)| node.tails.n)?;
    if senders.len() < 2 || f64::from(most.1.tails.n) > 0.9 * f64::from(wire.tails.n) {
        return None; // one driver that switches off late or early
    }
    if total > 0 && common * 10 < total * 7 {
        return None;
    }
    let which: Vec<_> = values
        .iter()
        .take(3)
        .filter(|(n, _)| *n > 0)
        .map(|(_, value)| format!("{value:02X}"))
        .collect();
    let confidence = if total > 0 { Certain } else { Possible };
    let which = if which.is_empty() { String::new() } else { format!(" ({})", which.join(", ")) };
    Some(
        Finding::new("missing-bias", Warning, confidence, wire.tails)
            .text(format!(
                "stray bytes{which} right behind {} of all frames, of {} nodes",
                percent(share),
                senders.len()
            ))
            .means("nothing holds the line while nobody sends, so that it swings when a driver lets go of it")
            .action("see that the trunk has bias resistors (510 ohms up and down) at one place; idle, it should have more than 0.2 V")
            .filter("frame.len < 8 || frame.comment contains \"bytes outside frames\""),
    )
}

fn missing_terminator(case: &Case<'_>) -> Option<Finding> {
    let wire = &case.trunk.wire;
    if wire.damaged.n < limits::REFLECTIONS
        || wire.long_damaged < limits::REFLECTIONS / 2
        || wire.strays.n * 3 >= wire.damaged.n
        || wire.long_octets < 1000
    {
        return None;
    }
    let long = f64::from(wire.long_damaged) / wire.long_octets as f64;
    let short = f64::from(wire.short_damaged.max(1)) / wire.short_octets.max(1) as f64;
    let nodes = case.heard().filter(|(_, node)| node.damaged.n > 0).count();
    let most = case.heard().map(|(_, node)| node.damaged.n).max().unwrap_or(0);
    let is_one = f64::from(most) >= limits::DAMAGE_SHARE * f64::from(wire.damaged.n);
    let is_cut = wire.cut * 2 > wire.damaged.n;
    // Reflections hit any octet of a long frame; another that begins with it hits its header.
    let headers = HEADER_LEN as f64 * wire.long_frames as f64 / wire.long_octets as f64;
    let is_at_begin = f64::from(wire.long_headers_damaged)
        > limits::HEADER_RATIO * headers * f64::from(wire.long_damaged);
    if long <= limits::REFLECTION_RATIO * short || nodes < 3 || is_one || is_cut || is_at_begin {
        return None;
    }
    Some(
        Finding::new("missing-terminator", Fault, Probable, wire.damaged)
            .text(format!(
                "{} damaged frames, {} of them long ones: for each byte they are damaged {:.0} times as \
                 often as short ones, of all nodes; hardly any stray bytes",
                wire.damaged.n,
                wire.long_damaged,
                long / short
            ))
            .means("reflections at the ends of the cable or in stubs")
            .action("see that there are 120 ohms at both ends of the cable and nowhere else, and no star or long stubs")
            .filter(DAMAGE),
    )
}

fn early_turnaround(mac: u8, node: &Node) -> Option<Finding> {
    let share = f64::from(node.headless.n) / f64::from(node.damaged.n.max(node.headless.n).max(1));
    if node.headless.n < limits::HEADLESS || share < limits::HEADLESS_SHARE {
        return None;
    }
    Some(
        Finding::new("early-turnaround", Fault, Probable, node.headless)
            .of([mac])
            .text(format!("{} frames of MAC {mac} lack their first bytes", node.headless.n))
            .means(
                "it begins to send while the node before it still holds the line: it waits for less than \
                 40 bit times, or the other one is slow to let go",
            )
            .action(format!("raise Tturnaround of MAC {mac} (at least 40 bit times), or update its firmware"))
            .filter(format!("mstp.dst == {mac} || mstp.src == {mac}")),
    )
}

/// Frames that end where another node's frame begins.
fn collisions(case: &Case<'_>) -> Option<Finding> {
    let mut nodes: Vec<(u32, u8)> =
        case.heard().map(|(mac, node)| (node.cut_in.n, mac)).filter(|(n, _)| *n > 0).collect();
    nodes.sort_unstable_by(|a, b| b.cmp(a));
    let seen = case.heard().fold(Seen::default(), |seen, (_, node)| seen.and(node.cut_in));
    let is_most = seen.n * 5 >= case.trunk.wire.damaged.n;
    if seen.n < limits::COLLISIONS || !is_most || !case.tells_usage() {
        return None;
    }
    // One that is named does it by far more often than any other.
    let of_one = nodes.first().filter(|(n, _)| n * 5 >= seen.n * 3).map(|(_, mac)| *mac);
    let whose = of_one.map_or("several nodes".to_owned(), |mac| macs(&[mac]));
    Some(
        Finding::new("collisions", Warning, Probable, seen)
            .text(format!(
                "{} frames end in the middle, where a frame of {whose} begins",
                seen.n
            ))
            .means(
                "a node sends while another does: it answers too late, talks without being asked, or \
                 hears the others badly and takes the line for free",
            )
            .action(match of_one {
                Some(mac) => format!(
                    "look at MAC {mac}: its receiver, its wiring, and whether it sends without the token"
                ),
                None => "look for two tokens, late replies, and nodes that hear the others badly".to_owned(),
            })
            .filter(of_one.map_or(DAMAGE.to_owned(), |mac| format!("{DAMAGE} || mstp.src == {mac}")))
            .of(of_one),
    )
}

/// What a device at a rate lower by this factor sounds like.
fn grid(octet: u8, factor: u32) -> bool {
    match factor {
        8 => matches!(octet, 0x00 | 0x80),
        4 => matches!(octet, 0x00 | 0x78 | 0x80 | 0xf8),
        3 => matches!(octet, 0x00 | 0x1c | 0xe0 | 0xfc),
        _ => matches!(
            octet,
            0x00 | 0x06
                | 0x18
                | 0x1e
                | 0x60
                | 0x66
                | 0x78
                | 0x7e
                | 0x80
                | 0x86
                | 0x98
                | 0x9e
                | 0xe0
                | 0xe6
                | 0xf8
                | 0xfe
        ),
    }
}

fn wrong_baud(case: &Case<'_>) -> Option<Finding> {
    let wire = &case.trunk.wire;
    let total: u32 = wire.run_values.iter().sum();
    if total < limits::GRID_OCTETS {
        return None;
    }
    let fitting = |factor: u32| -> u32 {
        wire.run_values
            .iter()
            .zip(0..=u8::MAX)
            .filter(|(_, octet)| grid(*octet, factor))
            .map(|(n, _)| n)
            .sum()
    };
    let factor =
        [8, 4, 3, 2].into_iter().find(|f| fitting(*f) * 100 >= total * limits::GRID_PERCENT)?;
    let baud = case.trunk.stamps().baud;
    let mut seen = wire.strays.and(wire.damaged);
    seen.n = seen.n.max(1);
    Some(
        Finding::new("wrong-baud", Fault, Probable, seen)
            .text(format!(
                "{} of {total} bytes outside good frames look like bytes of a device at a lower rate: \
                 {} baud, if this trunk has {baud}",
                percent(f64::from(fitting(factor)) / f64::from(total)),
                baud / factor
            ))
            .means("a device on this trunk is set to another rate; whatever it sends disturbs all others")
            .action(format!("find the device that is set to {} baud, and set it to {baud}", baud / factor))
            .filter("frame.len < 8"),
    )
}

fn noise(case: &Case<'_>) -> Option<Finding> {
    let wire = &case.trunk.wire;
    let seen = wire.damaged.and(wire.strays);
    let per_min = case.per_min(seen.n);
    if seen.n < limits::NOISE || per_min <= limits::ERRORS_PER_MIN {
        return None;
    }
    // What lies in the turns of one node with two of its address is no noise.
    let two = case.heard().any(|(_, node)| signs_of_two(case, node).n >= limits::DUPLICATES);
    if two && wire.strays.n * 4 < wire.damaged.n {
        return None;
    }
    let severity = if per_min > limits::NOISE_FAULT_PER_MIN { Fault } else { Warning };
    let nodes: Vec<u8> =
        case.heard().filter(|(_, node)| node.damaged.n > 0).map(|(mac, _)| mac).collect();
    let whose = if nodes.len() > 6 || nodes.is_empty() {
        "of all nodes".to_owned()
    } else {
        format!("of {}", macs(&nodes))
    };
    Some(
        Finding::new("noise", severity, Probable, seen)
            .text(format!(
                "{per_min:.1} errors a minute (limit {:.0}): {} damaged frames {whose}, stray bytes {} times",
                limits::ERRORS_PER_MIN, wire.damaged.n, wire.strays.n
            ))
            .means(
                "something disturbs the line at any time: drives, contactors, a shield that is open or \
                 grounded twice, a ground loop; as heard at the place of the adapter",
            )
            .action("check shield and ground along the cable; compare the times with what is switched then; listen at the other end as well")
            .filter(DAMAGE),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_that_of_the_binomial_distribution() {
        assert!((chance(1, 1, 0.25) - 0.25).abs() < 1e-9);
        assert!((chance(2, 3, 0.5) - 0.5).abs() < 1e-9);
        assert!(chance(10, 10, 0.1) < 1e-9);
        assert!((chance(0, 5, 0.3) - 1.0).abs() < 1e-9);
    }

    /// Against sums of terms that were worked out one by one.
    #[test]
    fn chance_is_exact_for_any_count() {
        for (n, all, share, expected) in [
            (0, 10, 0.1, 1.0),
            (3, 10, 0.1, 0.070_190_826_4),
            (5, 8, 0.3, 0.057_967_65),
            (40, 100, 0.2, 3.608_420_114_6e-6),
            (7, 7, 0.5, 0.007_812_5),
        ] {
            let is = chance(n, all, share);
            assert!((is / expected - 1.0).abs() < 1e-6, "{n} of {all}: {is}");
        }
        assert!(chance(8, 7, 0.5) < 1e-9);
        assert!(chance(u32::MAX, u32::MAX, 0.5) < 1e-9);
    }
}
