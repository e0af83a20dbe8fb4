//! One cause, many effects: the cause stays, the rest is listed beneath it.

use super::token::lost_by;
use super::wire::chance;
use super::{Case, Confidence, Finding};
use crate::analysis::limits;
use crate::analysis::trunk::node::Node;

/// Whose effects a cause explains. Effects that name no node are those of any.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Of all nodes.
    All,
    /// Of all nodes, but not of one that has far more of them than the others.
    Spread,
    /// Of the node and of two in the ring on each side of it.
    Near,
    /// Of the node and of the two behind it in the ring, to which it sends.
    Onward,
    /// Of the node itself.
    Own,
    /// Of the node itself, unless it is hit far more often by them.
    Alike,
}

/// What a finding explains.
struct Rule {
    cause: &'static str,
    reach: Reach,
    effects: &'static [&'static str],
    /// As many times more often must the cause be there than the effect.
    times: u32,
}

const fn rule(cause: &'static str, reach: Reach, effects: &'static [&'static str]) -> Rule {
    Rule { cause, reach, effects, times: 0 }
}

/// In this order: what is explained by one does not explain anything itself any more.
const RULES: [Rule; 33] = [
    rule(
        "sole-master",
        Reach::All,
        &[
            "node-gone",
            "no-answer",
            "absent-peer",
            "token-retries",
            "lost-token",
            "node-flapping",
            "slow-replies",
        ],
    ),
    rule(
        "duplicate-mac",
        Reach::Near,
        &[
            "token-retries",
            "lost-token",
            "bad-transmitter",
            "node-flapping",
            "impatient-node",
            "two-tokens",
            "out-of-turn",
            "no-answer",
            "noise",
            "early-turnaround",
            "missing-terminator",
            "wrong-answerer",
            "duplicate-mac",
            "not-in-ring",
            "slow-token-use",
            "collisions",
        ],
    ),
    rule("impatient-node", Reach::Near, &["token-retries", "duplicate-mac", "two-tokens"]),
    rule(
        "two-tokens",
        Reach::All,
        &[
            "out-of-turn",
            "no-answer",
            "noise",
            "token-retries",
            "lost-token",
            "missing-terminator",
            "node-flapping",
            "duplicate-mac",
            "bad-transmitter",
            "slow-replies",
            "wrong-answerer",
            "collisions",
        ],
    ),
    rule("slow-token-use", Reach::Own, &["token-retries", "node-flapping"]),
    rule("slow-token-use", Reach::Near, &["two-tokens", "noise"]),
    // Who is not heard is asked or passed the token once more, and so is who does not hear it.
    rule("early-turnaround", Reach::Onward, &["token-retries", "node-flapping"]),
    rule("early-turnaround", Reach::Own, &["bad-transmitter", "lost-token", "no-answer"]),
    rule("bad-transmitter", Reach::Onward, &["token-retries", "node-flapping"]),
    rule("bad-transmitter", Reach::Own, &["no-answer", "lost-token", "slow-replies"]),
    rule("wrong-baud", Reach::All, &["noise", "bad-transmitter", "missing-terminator"]),
    rule(
        "wrong-baud",
        Reach::Spread,
        &["token-retries", "no-answer", "lost-token", "node-flapping"],
    ),
    rule("missing-terminator", Reach::All, &["noise"]),
    rule("missing-terminator", Reach::Spread, &["no-answer", "slow-replies", "token-retries"]),
    rule("noise", Reach::Spread, &["token-retries", "no-answer", "lost-token", "node-flapping"]),
    // It may have had the token when it fell silent.
    Rule { cause: "node-gone", reach: Reach::Own, effects: &["lost-token"], times: 1 },
    rule("lost-token", Reach::Own, &["token-held", "no-answer"]),
    Rule { cause: "lost-token", reach: Reach::Own, effects: &["node-flapping"], times: 1 },
    Rule { cause: "node-flapping", reach: Reach::Own, effects: &["lost-token"], times: 1 },
    rule("node-gone", Reach::Own, &["no-answer", "token-retries", "absent-peer", "node-flapping"]),
    // Who does not hear a token twice in a row leaves the ring, and is found again.
    Rule { cause: "token-retries", reach: Reach::Own, effects: &["node-flapping"], times: 3 },
    // Who does not hear each token does not hear each request.
    rule("token-retries", Reach::Alike, &["no-answer"]),
    rule("node-flapping", Reach::Own, &["token-retries", "no-answer"]),
    rule("slow-replies", Reach::Own, &["out-of-turn", "no-answer"]),
    rule("slow-replies", Reach::All, &["slow-loop", "collisions"]),
    rule("collisions", Reach::All, &["out-of-turn", "bad-transmitter"]),
    rule("collisions", Reach::Spread, &["no-answer", "token-retries"]),
    rule("max-info-frames", Reach::All, &["slow-loop", "busy-trunk"]),
    rule("token-held", Reach::All, &["slow-loop"]),
    rule("token-held", Reach::Own, &["slow-token-use"]),
    rule("segmentation-timeouts", Reach::Own, &["error-replies"]),
    rule("i-am-storm", Reach::All, &["broadcast-share"]),
    rule("who-is-storm", Reach::All, &["broadcast-share", "i-am-storm", "slow-loop"]),
];

/// Of these nothing is said when the capture itself has lost octets.
const WITHHELD: [&str; 19] = [
    "collisions",
    "lost-token",
    "token-retries",
    "node-flapping",
    "two-tokens",
    "out-of-turn",
    "duplicate-mac",
    "slow-token-use",
    "bad-transmitter",
    "noise",
    "missing-bias",
    "missing-terminator",
    "early-turnaround",
    "wrong-baud",
    "no-answer",
    "wrong-answerer",
    "poll-storm",
    "token-held",
    "impatient-node",
];

/// Findings without those that others explain, the worst first; and what was withheld.
pub fn arrange(case: &Case<'_>, mut findings: Vec<Finding>) -> (Vec<Finding>, Vec<&'static str>) {
    let mut withheld = Vec::new();
    if findings.iter().any(|finding| finding.id == "capture-loss") {
        findings.retain(|finding| {
            let is_withheld = WITHHELD.contains(&finding.id);
            withheld.extend(is_withheld.then_some(finding.id));
            !is_withheld
        });
        withheld.sort_unstable();
        withheld.dedup();
    }
    for rule in &RULES {
        explain(case, rule, &mut findings);
    }
    findings.sort_by_key(|f| std::cmp::Reverse((f.severity, f.confidence, f.seen.n)));
    (findings, withheld)
}

/// Takes what `rule` explains out of `findings`, and names it beneath the cause.
fn explain(case: &Case<'_>, rule: &Rule, findings: &mut Vec<Finding>) {
    let mut causes: Vec<usize> =
        (0..findings.len()).filter(|at| findings[*at].id == rule.cause).collect();
    causes.sort_by_key(|at| std::cmp::Reverse((findings[*at].confidence, findings[*at].seen.n)));
    let mut explained = vec![false; findings.len()];
    for cause in causes {
        if explained[cause] {
            continue;
        }
        let reached = reached(case, rule.reach, &findings[cause].nodes);
        for at in 0..findings.len() {
            let effect = &findings[at];
            let is_reached = match rule.reach {
                Reach::All => true,
                Reach::Spread => !stands_out(case, effect),
                Reach::Alike => is_alike(case, &findings[cause], effect),
                Reach::Near if effect.id == "noise" => is_there(case, &reached),
                _ => effect.nodes.iter().all(|mac| reached.contains(mac)),
            };
            let is_weaker = effect.id != rule.cause || effect.confidence < Confidence::Certain;
            if at != cause
                && !explained[at]
                && is_weaker
                && effect.seen.n.saturating_mul(rule.times) <= findings[cause].seen.n
                && rule.effects.contains(&effect.id)
                && is_reached
            {
                explained[at] = true;
                let id = effect.id;
                let effects = std::mem::take(&mut findings[at].effects);
                let cause = &mut findings[cause].effects;
                cause.push(id);
                cause.extend(effects);
                cause.sort_unstable();
                cause.dedup();
            }
        }
    }
    let mut explained = explained.into_iter();
    findings.retain(|_| !explained.next().unwrap_or(false));
}

/// Nodes to which a cause at these nodes reaches.
fn reached(case: &Case<'_>, reach: Reach, nodes: &[u8]) -> Vec<u8> {
    let mut reached = nodes.to_vec();
    if !matches!(reach, Reach::Near | Reach::Onward) {
        return reached;
    }
    for _ in 0..2 {
        let after: Vec<u8> =
            reached.iter().filter_map(|mac| case.trunk.node(*mac).successor).collect();
        let before = case.trunk.by_mac().filter(|(_, node)| {
            reach == Reach::Near && node.successor.is_some_and(|mac| reached.contains(&mac))
        });
        let before: Vec<u8> = before.map(|(mac, _)| mac).collect();
        reached.extend(after);
        reached.extend(before);
    }
    reached
}

/// Whether most damage, and what is heard between frames, is in the turns of these nodes.
fn is_there(case: &Case<'_>, nodes: &[u8]) -> bool {
    let wire = &case.trunk.wire;
    let of_nodes = case.heard().filter(|(mac, _)| nodes.contains(mac));
    let of_nodes: u32 = of_nodes.map(|(_, node)| node.damaged.n.saturating_add(node.strays)).sum();
    let all = wire.damaged.n.saturating_add(wire.strays.n);
    f64::from(of_nodes) >= limits::DAMAGE_SHARE * f64::from(all)
}

/// How often what a finding is about happened to a node, and how often it could have.
fn frequency(id: &str, node: &Node) -> (u32, u32) {
    match id {
        "token-retries" => (node.retries_to.n, node.tokens_received),
        "lost-token" => (lost_by(node), node.tokens_received),
        "no-answer" => {
            (node.unanswered.n + node.long_unanswered.n, node.requests_to + node.long_requests_to)
        }
        "node-flapping" => (node.rejoins.n, u32::from(node.tokens_sent > 0)),
        _ => (0, 0),
    }
}

/// Whether both are of one node, and the effect is not far more frequent there than the cause.
fn is_alike(case: &Case<'_>, cause: &Finding, effect: &Finding) -> bool {
    let [mac] = effect.nodes[..] else { return false };
    let share = |finding: &Finding| {
        let (n, of) = frequency(finding.id, case.trunk.node(mac));
        f64::from(n) / f64::from(of.max(1))
    };
    cause.nodes == effect.nodes && share(effect) <= limits::OUTSTANDING * share(cause)
}

/// Whether the node that an effect names has far more of it than what hits all alike would give it.
fn stands_out(case: &Case<'_>, effect: &Finding) -> bool {
    let [mac] = effect.nodes[..] else { return false };
    let of = |node: &Node| frequency(effect.id, node);
    // Who was never heard is another finding.
    let all = case.heard().map(|(_, node)| of(node)).fold((0, 0), |sum: (u32, u32), it| {
        (sum.0.saturating_add(it.0), sum.1.saturating_add(it.1))
    });
    let own = of(case.trunk.node(mac));
    let share = f64::from(own.1) / f64::from(all.1.max(1));
    let expected = share * f64::from(all.0);
    f64::from(own.0) > limits::OUTSTANDING * expected
        && chance(own.0, all.0, share) < limits::CHANCE
}
