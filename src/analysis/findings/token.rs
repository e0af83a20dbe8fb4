//! Whether the token goes round, and whose fault it is if not.

use super::Confidence::{Certain, Possible, Probable};
use super::Severity::{Critical, Fault, Warning};
use super::{Case, Finding, macs, ms, of_node, percent};
use crate::analysis::trunk::frame::MASTERS;
use crate::analysis::trunk::node::Node;
use crate::analysis::{Seen, limits};

pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(sole_master(case));
    found.extend(lost_token(case));
    found.extend(two_tokens(case));
    found.extend(out_of_turn(case));
    for (mac, node) in case.trunk.by_mac() {
        found.extend(duplicate_mac(case, mac, node));
        found.extend(node_gone(case, mac, node));
        found.extend(node_flapping(mac, node));
        found.extend(token_retries(case, mac, node));
    }
    found
}

/// Tokens that were lost in its turn, or in that of another since it talked.
pub(super) fn lost_by(node: &Node) -> u32 {
    node.lost_tokens.n.saturating_add(node.lost_by_it.n)
}

fn lost_token(case: &Case<'_>) -> Option<Finding> {
    let seen = case.trunk.lost_tokens;
    if seen.n == 0 {
        return None;
    }
    let per_min = case.per_min(seen.n);
    let severity = if per_min >= limits::LOST_CRITICAL_PER_MIN { Critical } else { Fault };
    let blamed = case.trunk.by_mac().max_by_key(|(_, node)| lost_by(node));
    let blamed = blamed.filter(|(_, node)| lost_by(node).saturating_mul(2) >= seen.n);
    let confidence =
        if blamed.is_some_and(|(_, node)| lost_by(node) >= 2) { Certain } else { Probable };
    let (mac, n) = blamed.map(|(mac, node)| (mac, lost_by(node))).unzip();
    let talks = blamed.is_some_and(|(_, node)| node.lost_by_it.n > node.lost_tokens.n);
    let whose = match (mac, n) {
        (Some(mac), Some(n)) if talks => {
            format!("{n} of them after MAC {mac} had sent something without having it")
        }
        (Some(mac), Some(n)) => format!("{n} of them in the turn of MAC {mac}"),
        _ => "in the turns of different nodes".to_owned(),
    };
    let action = match mac {
        Some(mac) if talks => {
            format!("see why MAC {mac} sends without the token: its firmware, its settings")
        }
        Some(mac) => format!("look at MAC {mac}: its power supply, its firmware, its connector"),
        None => "look at the cable: connectors, stubs, shield".to_owned(),
    };
    Some(
        Finding::new("lost-token", severity, confidence, seen)
            .of(mac)
            .text(format!(
                "the token was lost {} times ({per_min:.1} a minute, should be 0), {whose}; \
                 each time all were silent for up to {} ms",
                seen.n, seen.largest
            ))
            .means(
                "the node that had the token fell silent: it restarted, hung, or sent a token that \
                 nobody could read. Nobody may send until another makes a new one",
            )
            .action(action)
            .filter(around(&seen)),
    )
}

fn around(seen: &Seen) -> String {
    let number = seen.worst.number;
    format!("frame.number >= {} && frame.number <= {}", number.saturating_sub(5), number + 5)
}

fn sole_master(case: &Case<'_>) -> Option<Finding> {
    let trunk = case.trunk;
    let long_ago = |moment| case.seconds_since(moment) > limits::SOLE_SECONDS;
    if case.seconds < limits::SOLE_SECONDS || !trunk.last_token.is_none_or(long_ago) {
        return None;
    }
    let mut pollers =
        trunk.by_mac().filter(|(_, node)| node.polls > 0 && !long_ago(node.last_heard));
    let (Some((mac, node)), None) = (pollers.next(), pollers.next()) else { return None };
    if node.polls < limits::SOLE_POLLS {
        return None;
    }
    // Slaves that answer it are all that it needs, and show that the wires are whole.
    if trunk.answered_of_late(mac, limits::SOLE_SECONDS) {
        return None;
    }
    let seen = Seen {
        n: node.polls,
        first: trunk.first?,
        last: trunk.end,
        worst: node.last_heard,
        largest: 0,
    };
    let since = trunk.last_token.map_or("in all of the capture".to_owned(), |moment| {
        format!("for the last {:.0} s", case.seconds_since(moment))
    });
    Some(
        Finding::new("sole-master", Critical, Certain, seen)
            .of([mac])
            .text(format!("no token {since}: MAC {mac} polls all addresses, and nobody replies"))
            .means(
                "this node hears nobody: the wires are cut, shorted or swapped between it and all \
                 others, the others are off or at another rate, or its own receiver is dead",
            )
            .action(format!("check both wires at MAC {mac}, then its neighbours' power and rate"))
            .filter(format!("mstp.frame_type == 1 && mstp.src == {mac}")),
    )
}

fn two_tokens(case: &Case<'_>) -> Option<Finding> {
    let mut seen = Seen::default();
    let mut starters = Vec::new();
    for (mac, node) in case.trunk.by_mac().filter(|(_, node)| node.tokens_out_of_turn.n > 0) {
        seen = seen.and(node.tokens_out_of_turn);
        starters.push((node.tokens_out_of_turn.n, mac));
    }
    if seen.n < limits::OUT_OF_TURN {
        return None;
    }
    starters.sort_unstable_by(|a, b| b.cmp(a));
    let nodes = starters.iter().filter(|(n, _)| n * 4 >= starters[0].0).map(|(_, mac)| *mac);
    let nodes: Vec<u8> = nodes.take(8).collect();
    let confidence = if nodes.len() <= 2 { Certain } else { Probable };
    Some(
        Finding::new("two-tokens", Critical, confidence, seen)
            .text(format!(
                "{} tokens or polls from nodes that did not have the token, most of them from {}",
                seen.n,
                macs(&nodes)
            ))
            .means(
                "two tokens are on the trunk at once: two trunks were joined, or a node makes a new \
                 token while another still has it, since it waits for too short a time or does \
                 not hear the others",
            )
            .action(format!("unplug {} and see whether it stops", macs(&nodes[..1])))
            .filter(format!("mstp.frame_type <= 1 && mstp.src == {}", nodes[0]))
            .of(nodes),
    )
}

fn out_of_turn(case: &Case<'_>) -> Option<Finding> {
    let mut seen = Seen::default();
    let mut nodes = Vec::new();
    for (mac, node) in case.heard() {
        let all = node.out_of_turn.and(node.late_replies);
        if all.n > 0 {
            seen = seen.and(all);
            nodes.push((all.n, mac));
        }
    }
    if seen.n < limits::OUT_OF_TURN {
        return None;
    }
    nodes.sort_unstable_by(|a, b| b.cmp(a));
    let nodes: Vec<u8> =
        nodes.iter().filter(|(n, _)| n * 4 >= nodes[0].0).map(|(_, mac)| *mac).collect();
    Some(
        Finding::new("out-of-turn", Warning, Probable, seen)
            .text(format!("{} frames from nodes that did not have the token", seen.n))
            .means("a node talks unasked, or answers when the asker has given up already")
            .action(format!("look at the firmware of {}", macs(&nodes[..1])))
            .filter(format!("mstp.frame_type >= 3 && mstp.src == {}", nodes[0]))
            .of(nodes),
    )
}

/// What shows that two nodes have this address, and how often.
pub(super) fn signs_of_two(case: &Case<'_>, node: &Node) -> Seen {
    let doubles = if case.tells_usage() && !is_impatient(node) {
        node.double_tokens
    } else {
        Seen::default()
    };
    let mut signs = doubles.and(node.second_replies);
    // Talking out of turn alone is done by others too; with most damage in its turns, or its
    // successor's, it is one of two.
    let talks = node.out_of_turn.and(node.tokens_out_of_turn);
    let successor = node.successor.map_or(0, |next| case.trunk.node(next).damaged.n);
    let damage = node.damaged.n + successor;
    let is_early = f64::from(node.headless.n) >= limits::HEADLESS_SHARE * f64::from(node.damaged.n);
    let is_damaged =
        !is_early && damage >= limits::DAMAGE && damage * 2 > case.trunk.wire.damaged.n;
    if is_damaged || signs.n > 0 {
        signs = signs.and(talks);
    }
    if signs.n > 0 || node.instance_changes.n >= limits::DUPLICATES {
        signs = signs.and(node.instance_changes);
    }
    signs
}

/// Whether it always sends its tokens again too soon, which is no sign of two.
pub(super) fn is_impatient(node: &Node) -> bool {
    let [low, high] = node.wait.percentiles([10, 90]).map(|us| f64::from(us.unwrap_or(0)) / 1000.0);
    node.wait.n() >= limits::SHORT_WAITS && low < limits::USAGE_TIMEOUT_MS - 1.0 && high - low < 3.0
}

fn duplicate_mac(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let seen = signs_of_two(case, node);
    let is_named = node.instance_changes.n > 0 && seen.n > node.instance_changes.n;
    if seen.n < limits::DUPLICATES && !is_named {
        return None;
    }
    let mut signs = Vec::new();
    for (n, what) in [
        (node.double_tokens.n, "tokens sent twice within 15 ms"),
        (node.second_replies.n, "second answers to one request"),
        (node.out_of_turn.n + node.tokens_out_of_turn.n, "frames while another had the token"),
        (node.instance_changes.n, "changes of its device instance"),
        (node.damaged.n, "damaged frames in its turns"),
    ] {
        signs.extend((n > 0).then(|| format!("{n} {what}")));
    }
    let confidence = if signs.len() > 1 { Certain } else { Probable };
    Some(
        Finding::new("duplicate-mac", Critical, confidence, seen)
            .of([mac])
            .text(format!("two nodes seem to have the address {mac}: {}", signs.join(", ")))
            .means(
                "two controllers are set to one address, such as after one was replaced or a switch \
                 was copied; both take the token, and their frames collide",
            )
            .action(format!(
                "find both nodes with MAC {mac} (unplug one: the traffic of MAC {mac} must stop) and \
                 give one of them another address"
            ))
            .filter(of_node(mac)),
    )
}

fn node_gone(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    // Of several that go together only the first gets tokens in vain; the others are polled.
    let is_polled = node.polled_in_vain >= 1 && node.tokens_sent >= limits::GONE_TOKENS;
    let since = node.gone_since.or(Some(node.last_heard).filter(|_| is_polled));
    let since = since.filter(|_| mac < MASTERS && node.tokens_received >= limits::GONE_TOKENS)?;
    // One that comes and goes is away at times.
    let is_flapping = node.rejoins.n >= limits::REJOINS;
    if node.tokens_sent == 0 || node.last_heard > since || is_flapping {
        return None;
    }
    let seconds = case.seconds_since(since);
    let loops = case.loop_p50_ms.map_or(0.0, |ms| 10.0 * ms / 1000.0);
    if seconds < limits::GONE_SECONDS.max(loops) {
        return None;
    }
    let seen = Seen { n: 1, first: since, last: since, worst: since, largest: 0 };
    Some(
        Finding::new("node-gone", Fault, Certain, seen)
            .of([mac])
            .text(format!(
                "MAC {mac} was in the ring, then took no token any more, and was silent for the last \
                 {seconds:.0} s"
            ))
            .means("it has no power, its wires are off, or it hangs")
            .action(format!("check power and bus connector of MAC {mac}, then restart it"))
            .filter(of_node(mac)),
    )
}

fn node_flapping(mac: u8, node: &Node) -> Option<Finding> {
    let seen = node.rejoins;
    if seen.n < limits::REJOINS {
        return None;
    }
    let is_gone = node.gone_since.is_some_and(|since| since > node.last_heard);
    let now = if is_gone { ", and is away at the end" } else { "" };
    Some(
        Finding::new("node-flapping", Fault, Certain, seen)
            .of([mac])
            .text(format!("MAC {mac} left the ring and came back {} times{now}", seen.n))
            .means("a loose power or bus wire, resets by its watchdog, or a signal that is just too weak")
            .action(format!("check power and terminals of MAC {mac}; read its log for restarts"))
            .filter(format!("mstp.frame_type == 2 && mstp.src == {mac}")),
    )
}

fn token_retries(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let mut seen = node.retries_to;
    if !case.tells_usage() {
        // Their waits cannot be told from those of double tokens.
        let doubles = case.trunk.by_mac().filter(|(_, from)| from.successor == Some(mac));
        seen = doubles.fold(seen, |seen, (_, from)| seen.and(from.double_tokens));
    }
    let share = f64::from(seen.n) / f64::from(node.tokens_received.max(1));
    if seen.n < limits::RETRIES || share <= limits::RETRY_SHARE {
        return None;
    }
    let is_fault = share > limits::RETRY_FAULT_SHARE && case.tells_usage();
    let severity = if is_fault { Fault } else { Warning };
    // With a slow adapter the wait does not show: the node before it may be impatient.
    let is_sure = node.tokens_sent > 0 && case.tells_usage();
    let confidence = if is_sure { Probable } else { Possible };
    Some(
        Finding::new("token-retries", severity, confidence, seen)
            .of([mac])
            .text(format!(
                "the token had to be sent to MAC {mac} a second time {} times, {} of its tokens \
                 (limit {}); waits up to {}",
                seen.n,
                percent(share),
                percent(limits::RETRY_SHARE),
                ms(seen.largest)
            ))
            .means(
                "it did not hear the token, or was too slow to use it: a loose wire, swapped wires, \
                 a long stub, a weak signal at its place, a busy processor",
            )
            .action(format!("check the terminals and the stub of MAC {mac}"))
            .filter(format!("mstp.frame_type == 0 && mstp.dst == {mac}")),
    )
}
