//! One cause, many effects: the cause stays, the rest is listed beneath it.

use super::{Case, Confidence, Finding};

/// What a finding explains, and whether only of nodes that have to do with it.
struct Rule {
    cause: &'static str,
    effects: &'static [&'static str],
    /// Whether effects name the node of the cause or its neighbours in the ring, if they name any.
    is_local: bool,
    /// As many times more often must the cause be there than the effect.
    times: u32,
}

const fn everywhere(cause: &'static str, effects: &'static [&'static str]) -> Rule {
    Rule { cause, effects, is_local: false, times: 0 }
}

const fn nearby(cause: &'static str, effects: &'static [&'static str]) -> Rule {
    Rule { cause, effects, is_local: true, times: 0 }
}

/// In this order: what is explained by one does not explain anything itself any more.
const RULES: [Rule; 20] = [
    everywhere(
        "sole-master",
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
    nearby(
        "duplicate-mac",
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
    nearby("impatient-node", &["token-retries", "duplicate-mac", "two-tokens"]),
    everywhere(
        "two-tokens",
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
    nearby("slow-token-use", &["token-retries", "node-flapping", "two-tokens", "noise"]),
    nearby(
        "early-turnaround",
        &["token-retries", "bad-transmitter", "lost-token", "no-answer", "node-flapping"],
    ),
    nearby(
        "bad-transmitter",
        &["token-retries", "no-answer", "lost-token", "node-flapping", "slow-replies"],
    ),
    everywhere(
        "wrong-baud",
        &[
            "noise",
            "bad-transmitter",
            "token-retries",
            "missing-terminator",
            "no-answer",
            "lost-token",
            "node-flapping",
        ],
    ),
    everywhere("missing-terminator", &["no-answer", "noise", "slow-replies", "token-retries"]),
    everywhere("noise", &["token-retries", "no-answer", "lost-token", "node-flapping"]),
    nearby("lost-token", &["node-flapping", "token-held", "no-answer"]),
    nearby("node-gone", &["no-answer", "token-retries", "absent-peer", "node-flapping"]),
    // Who does not hear a token twice in a row leaves the ring, and is found again.
    Rule { cause: "token-retries", effects: &["node-flapping"], is_local: true, times: 3 },
    nearby("node-flapping", &["token-retries", "no-answer"]),
    everywhere("slow-replies", &["out-of-turn", "slow-loop", "no-answer", "collisions"]),
    everywhere("collisions", &["out-of-turn", "no-answer", "token-retries", "bad-transmitter"]),
    everywhere("max-info-frames", &["slow-loop", "busy-trunk"]),
    nearby("token-held", &["slow-loop", "slow-token-use"]),
    everywhere("i-am-storm", &["broadcast-share"]),
    everywhere("who-is-storm", &["broadcast-share", "i-am-storm", "slow-loop"]),
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
        let near = neighbours(case, &findings[cause].nodes);
        for at in 0..findings.len() {
            let effect = &findings[at];
            let is_near =
                effect.nodes.is_empty() || effect.nodes.iter().all(|mac| near.contains(mac));
            let is_weaker = effect.id != rule.cause || effect.confidence < Confidence::Certain;
            if at != cause
                && !explained[at]
                && is_weaker
                && effect.seen.n.saturating_mul(rule.times) <= findings[cause].seen.n
                && rule.effects.contains(&effect.id)
                && (is_near || !rule.is_local)
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

/// Nodes, who passes the token to them and to whom they pass it, two steps each way.
fn neighbours(case: &Case<'_>, nodes: &[u8]) -> Vec<u8> {
    let mut near = nodes.to_vec();
    for _ in 0..2 {
        let after: Vec<u8> =
            near.iter().filter_map(|mac| case.trunk.node(*mac).successor).collect();
        let before = case
            .trunk
            .by_mac()
            .filter(|(_, node)| node.successor.is_some_and(|mac| near.contains(&mac)));
        let before: Vec<u8> = before.map(|(mac, _)| mac).collect();
        near.extend(after);
        near.extend(before);
    }
    near
}
