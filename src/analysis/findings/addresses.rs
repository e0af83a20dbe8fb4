//! Addresses and Max_Master: how they are set, and what they cost.

use super::Confidence::{Certain, Possible, Probable};
use super::Severity::{Advice, Fault};
use super::{Case, Finding, macs, of_node, percent, ranges};
use crate::analysis::trunk::Trunk;
use crate::analysis::trunk::frame::MASTERS;
use crate::analysis::trunk::node::Node;
use crate::analysis::{Seen, limits};

pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if case.trunk.last_token.is_some() {
        found.extend(max_master_high(case));
        found.extend(address_gaps(case));
    }
    for (mac, node) in case.heard().filter(|(mac, _)| *mac < MASTERS) {
        found.extend(max_master_low(case, mac, node));
        found.extend(not_in_ring(mac, node));
    }
    found.extend(duplicate_instances(case));
    found
}

/// The highest address of a master.
fn top(trunk: &Trunk) -> Option<u8> {
    trunk.masters().rfind(|mac| *mac < MASTERS)
}

/// The share of time that polls waste, for addresses above the top master and below it.
pub(super) fn poll_waste(trunk: &Trunk, seconds: f64) -> [f64; 2] {
    let Some(top) = top(trunk) else { return [0.0; 2] };
    let (below, above) = trunk.poll_waste_ns.split_at(usize::from(top) + 1);
    [above, below].map(|waste| waste.iter().sum::<u64>() as f64 / (seconds * 1e9).max(1.0))
}

/// Who polls these addresses, the most first, and those polls.
fn pollers(case: &Case<'_>, addresses: &[u8]) -> (Vec<u8>, Seen) {
    let polled = addresses.iter().map(|mac| case.trunk.node(*mac));
    let mut seen = Seen::default();
    let mut nodes: Vec<(u32, u8)> = Vec::new();
    for node in polled {
        seen = seen.and(node.polled);
        let Some(by) = node.polled_by else { continue };
        match nodes.iter_mut().find(|(_, mac)| *mac == by) {
            Some((n, _)) => *n = n.saturating_add(node.polled.n),
            None => nodes.push((node.polled.n, by)),
        }
    }
    nodes.sort_unstable_by(|a, b| b.cmp(a));
    (nodes.iter().map(|(_, mac)| *mac).take(4).collect(), seen)
}

fn max_master_high(case: &Case<'_>) -> Option<Finding> {
    let [share, _] = poll_waste(case.trunk, case.seconds);
    if share <= limits::POLL_WASTE {
        return None;
    }
    let top = top(case.trunk)?;
    let above: Vec<u8> =
        (top + 1..MASTERS).filter(|mac| case.trunk.node(*mac).polled.n > 0).collect();
    let (nodes, seen) = pollers(case, &above);
    let highest = above.last()?;
    Some(
        Finding::new("max-master-high", Advice, Certain, seen)
            .text(format!(
                "{} of the time goes to polls for addresses above {top}, the highest that is there; \
                 {} polls up to {highest}",
                percent(share),
                macs(&nodes)
            ))
            .means("Max_Master is left at a high value, so that nodes look for masters that cannot be there")
            .action(format!(
                "set Max_Master of all nodes to {top} (or one or two more, for growth), above all of {}",
                macs(&nodes[..nodes.len().min(1)])
            ))
            .filter(format!("mstp.frame_type == 1 && mstp.dst > {top}"))
            .of(nodes),
    )
}

fn address_gaps(case: &Case<'_>) -> Option<Finding> {
    let top = top(case.trunk)?;
    let waste = |mac: u8| case.trunk.poll_waste_ns[usize::from(mac)];
    // Who is away for a while leaves no gap.
    let empty = (0..top).filter(|mac| waste(*mac) > 0 && case.trunk.node(*mac).frames == 0);
    let empty: Vec<u8> = empty.collect();
    let wasted: u64 = empty.iter().map(|mac| waste(*mac)).sum();
    let share = wasted as f64 / (case.seconds * 1e9).max(1.0);
    if share <= limits::POLL_WASTE {
        return None;
    }
    let (nodes, seen) = pollers(case, &empty);
    let gaps = ranges(empty);
    Some(
        Finding::new("address-gaps", Advice, Certain, seen)
            .text(format!(
                "{} of the time goes to polls for addresses that nobody has: {gaps}",
                percent(share)
            ))
            .means("addresses are not consecutive; each gap is polled again and again")
            .action("give the nodes consecutive addresses, at the next occasion")
            .filter(format!("mstp.frame_type == 1 && mstp.dst < {top}"))
            .of(nodes),
    )
}

fn max_master_low(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    if node.tokens_sent > 0 || node.tokens_received > 0 || node.polled.n > 0 || node.polls > 0 {
        return None;
    }
    let polled: Vec<u8> =
        case.heard().filter_map(|(_, node)| node.polled_addresses().last()).collect();
    let highest = polled.into_iter().max().filter(|highest| mac > *highest)?;
    let at = node.last_heard;
    let seen = Seen { n: node.frames as u32, first: at, last: at, worst: at, largest: 0 };
    let below = case.trunk.masters().rfind(|master| *master < mac);
    Some(
        Finding::new("max-master-low", Advice, Possible, seen)
            .of([mac])
            .text(format!(
                "MAC {mac} answers but never gets the token, and nobody polls for it: polls go up \
                 to {highest} only"
            ))
            .means(
                "if it is a master, Max_Master of the nodes below it is lower than its address, so \
                 that it can never join the ring; a slave has none, and then all is well",
            )
            .action(match below {
                Some(below) => {
                    format!("set Max_Master of MAC {below} (and of all others) to {mac} or more")
                }
                None => format!("set Max_Master of all nodes to {mac} or more"),
            })
            .filter(of_node(mac)),
    )
}

fn not_in_ring(mac: u8, node: &Node) -> Option<Finding> {
    let answers = node.reply.n() > 0 || node.frames > 0;
    let was_master =
        node.tokens_sent > 0 && node.gone_since.is_some_and(|since| node.last_heard > since);
    let ignores = node.polled.n >= limits::IGNORED_POLLS && node.poll_replies == 0;
    if !(answers && ignores && (node.tokens_sent == 0 || was_master)) {
        return None;
    }
    let seen = node.polled;
    Some(
        Finding::new("not-in-ring", if was_master { Fault } else { Advice }, Probable, seen)
            .of([mac])
            .text(format!(
                "MAC {mac} answers requests, but did not reply to any of {} polls: it is not in the ring",
                node.polled.n
            ))
            .means("it is set as a slave, or the part of it that handles the token hangs")
            .action(format!("if MAC {mac} is to send by itself, set it as a master, or restart it"))
            .filter(format!("mstp.frame_type == 1 && mstp.dst == {mac}")),
    )
}

fn duplicate_instances(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (instance, [one, other], changes, second) in case.trunk.instances.claimed_twice() {
        // A device that was moved to another address is silent at the old one.
        let old_is_there = case.trunk.node(one.mac).last_heard.time > second.time
            && (one.from.is_none() || changes.n >= 2);
        if one.mac == other.mac && one.from.is_some() != other.from.is_some() && changes.n < 2 {
            continue;
        }
        if !old_is_there {
            continue;
        }
        let nodes = if one.mac == other.mac { vec![one.mac] } else { vec![one.mac, other.mac] };
        let behind = |from: Option<(u16, u64)>| {
            from.map_or(String::new(), |(net, _)| format!(" (network {net})"))
        };
        found.push(
            Finding::new("duplicate-instance", Fault, Certain, changes)
                .text(format!(
                    "device instance {instance} is used twice: by MAC {}{} and by MAC {}{}",
                    one.mac,
                    behind(one.from),
                    other.mac,
                    behind(other.from)
                ))
                .means("a client that looks for this device finds one of both, by chance")
                .action(format!(
                    "give one of {} another device instance than {instance}",
                    macs(&nodes)
                ))
                .filter(format!(
                    "bacapp.unconfirmed_service == 0 && bacapp.instance_number == {instance}"
                ))
                .of(nodes),
        );
    }
    found.sort_by_key(|finding| finding.nodes.clone());
    found
}
