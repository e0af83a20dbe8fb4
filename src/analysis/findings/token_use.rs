//! What nodes do with the token: too slow, too long, too much.

use super::Confidence::{Certain, Probable};
use super::Severity::{Critical, Fault, Warning};
use super::token::is_impatient;
use super::{Case, Finding, ms, percent};
use crate::analysis::timing::{RATES, Stamps};
use crate::analysis::trunk::frame::HEADER_LEN;
use crate::analysis::trunk::node::Node;
use crate::analysis::{Seen, limits};

pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(slow_loop(case));
    for (mac, node) in case.heard() {
        found.extend(slow_token_use(case, mac, node));
        found.extend(impatient_node(case, mac, node));
        found.extend(token_held(case, mac, node));
        found.extend(max_info_frames(case, mac, node));
        found.extend(poll_storm(mac, node));
    }
    found
}

fn slow_token_use(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    // With neither rate nor times nothing is left of some milliseconds.
    if !case.knows_rate() && !case.tells_usage() {
        return None;
    }
    let limit_us = limits::USAGE_DELAY_US + (case.latency_ms * 1000.0) as u64;
    let above = node.usage.above(limit_us);
    let share = above as f64 / node.usage.n().max(1) as f64;
    let mean_ms = node.usage.mean()? / 1000.0;
    let is_broken = above >= limits::SLOW_USAGE && share >= limits::SLOW_USAGE_SHARE;
    let is_slow = node.usage.n() >= 10
        && mean_ms - case.latency_ms / 6.0 > limits::USAGE_DELAY_US as f64 / 1000.0;
    if !is_broken && !is_slow {
        return None;
    }
    let severity = if node.retries_to.n >= limits::RETRIES { Fault } else { Warning };
    let p99 = node.usage.percentile(99).unwrap_or(0);
    Some(
        Finding::new(
            "slow-token-use",
            severity,
            if is_broken { Certain } else { Probable },
            node.slow_usage,
        )
        .of([mac])
        .text(format!(
            "MAC {mac} takes {mean_ms:.1} ms on average and up to {} (99 of 100: {}) to use the \
                 token; allowed are 15 ms; {} of its turns are above {}",
            ms(node.usage.max().into()),
            ms(p99.into()),
            percent(share),
            ms(limit_us)
        ))
        .means(
            "a busy or old processor, a gateway, or a PC with a USB adapter as a node; a little \
                 slower, and others send the token again and drop it from the ring",
        )
        .action(format!("give MAC {mac} less to do, or newer firmware"))
        .filter(format!("mstp.frame_type == 0 && (mstp.dst == {mac} || mstp.src == {mac})")),
    )
}

/// How much longer waits are than they seem, if the rate is a guess and tokens may be shorter.
fn guessed_ms(case: &Case<'_>) -> f64 {
    if case.knows_rate() {
        return 0.0;
    }
    let fastest = Stamps { baud: RATES[RATES.len() - 1], ..*case.trunk.stamps() };
    let [seem, least] = [case.trunk.stamps(), &fastest].map(|stamps| stamps.octets_ns(HEADER_LEN));
    seem.saturating_sub(least) as f64 / 1e6
}

fn impatient_node(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let limit_ms = limits::USAGE_TIMEOUT_MS - case.latency_ms - guessed_ms(case);
    if !case.tells_usage() {
        return None;
    }
    let p50_ms = f64::from(node.wait.percentile(50)?) / 1000.0;
    let doubles = u64::from(node.double_tokens.n);
    let short = node.wait.n() - node.wait.above((limit_ms * 1000.0) as u64);
    let is_short = short >= limits::SHORT_WAITS && p50_ms < limit_ms;
    if !is_short || !(is_impatient(node) || doubles == 0) {
        return None;
    }
    let seen = Seen { n: short.min(u32::MAX.into()) as u32, ..node.short_waits };
    Some(
        Finding::new("impatient-node", Warning, Certain, seen)
            .of([mac])
            .text(format!(
                "MAC {mac} waits only {p50_ms:.1} ms before it sends a token or poll again; it must \
                 wait for at least 20 ms"
            ))
            .means("its Tusage_timeout is set or built too short, so that it talks into answers of slower nodes")
            .action(format!("set Tusage_timeout of MAC {mac} to 25 to 35 ms, or update its firmware"))
            .filter(format!("mstp.frame_type <= 1 && mstp.src == {mac}")),
    )
}

fn token_held(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    // At a rate that is only guessed, part of a frame looks like silence.
    let guessed_us = if case.knows_rate() { 0 } else { limits::GUESSED_US };
    let limit_us = limits::HOLD_SILENCE_US + (case.latency_ms * 1000.0) as u64 + guessed_us;
    let above = node.silence.above(limit_us);
    if above < limits::LONG_HOLDS {
        return None;
    }
    Some(
        Finding::new("token-held", Warning, Certain, node.long_silence)
            .of([mac])
            .text(format!(
                "MAC {mac} was silent for more than 50 ms with the token in hand {} times, for up to {}",
                node.long_silence.n,
                ms(node.long_silence.largest)
            ))
            .means("its application waits for something while nobody else may send")
            .action(format!("update the firmware of MAC {mac}, or give it less to do"))
            .filter(format!("mstp.src == {mac}")),
    )
}

fn max_info_frames(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let p99 = node.frames_per_token.percentile(99)?;
    let share = case.hold_share[usize::from(mac)];
    let is_slow = case.loop_p50_ms.is_some_and(|ms| ms > limits::LOOP_MS[0]);
    let is_greedy = p99 > limits::FRAMES_PER_SLOW_TOKEN && share > 0.5 && is_slow;
    if p99 <= limits::FRAMES_PER_TOKEN && !is_greedy {
        return None;
    }
    Some(
        Finding::new("max-info-frames", Warning, Certain, node.long_turns)
            .of([mac])
            .text(format!(
                "MAC {mac} sends up to {p99} frames in a turn (99 of 100 turns; at most 20 to 40 \
                 are usual) and holds the token for {} of the time",
                percent(share)
            ))
            .means("its Max_Info_Frames is too high for what it has to say: all others wait meanwhile")
            .action(format!("set Max_Info_Frames of MAC {mac} to 20 if it is the router, else to 1 to 5; let it ask less often"))
            .filter(format!("mstp.src == {mac} && mstp.frame_type >= 3")),
    )
}

fn slow_loop(case: &Case<'_>) -> Option<Finding> {
    let p50_ms = case.loop_p50_ms.filter(|ms| *ms > limits::LOOP_MS[0])?;
    let severity = match p50_ms {
        p50 if p50 > limits::LOOP_MS[2] => Critical,
        p50 if p50 > limits::LOOP_MS[1] => Fault,
        _ => Warning,
    };
    let trunk = case.trunk;
    let share = |ns: u64| percent(ns as f64 / (case.seconds * 1e9).max(1.0));
    let polls: u64 = trunk.poll_waste_ns.iter().sum();
    let tokens = trunk.tokens * trunk.stamps().octets_ns(8);
    // At a rate that is not known nobody knows how long frames were.
    let parts = case.utilisation.map(|_| {
        format!(
            ": {} of the time are tokens, {} polls that nobody answers, {} requests and waits for replies",
            share(tokens),
            share(polls),
            share(trunk.request_ns)
        )
    });
    let (mac, most) = (0..=u8::MAX).zip(case.hold_share).max_by(|a, b| a.1.total_cmp(b.1))?;
    let seen = Seen {
        n: 1,
        first: trunk.first?,
        last: trunk.end,
        worst: trunk.end,
        largest: p50_ms as u64,
    };
    Some(
        Finding::new("slow-loop", severity, Certain, seen)
            .text(format!(
                "the token takes {:.1} s to go round (median; below 1 s is good, above 2 s devices go \
                 offline){}; MAC {mac} holds it longest, {} of the time",
                p50_ms / 1000.0,
                parts.unwrap_or_default(),
                percent(*most)
            ))
            .means("too many nodes for the rate, a node that talks much, slow replies, or polls for addresses that are not there")
            .action(if *most > 0.3 {
                format!("let MAC {mac} send less: lower its Max_Info_Frames and what it asks for")
            } else {
                "raise the rate of all nodes, or split the trunk".to_owned()
            })
            .filter(format!("mstp.frame_type == 0 && mstp.src == {mac}")),
    )
}

fn poll_storm(mac: u8, node: &Node) -> Option<Finding> {
    // One poll at a time, or a gap as a whole and soon again.
    let rests = [(node.polls_early, node.polls_in_time), (node.rounds_early, node.rounds_in_time)];
    let is_storm =
        |(early, in_time): &(Seen, u32)| early.n >= limits::EARLY_POLLS && early.n > *in_time;
    let (early, in_time) = rests.into_iter().find(is_storm)?;
    Some(
        Finding::new("poll-storm", Warning, Certain, early)
            .of([mac])
            .text(format!(
                "MAC {mac} polls for other masters every few tokens: {} of {} times it began after 2 to \
                 44 tokens; 50 are usual",
                early.n,
                early.n + in_time
            ))
            .means("its Npoll is not 50: a broken protocol stack; each poll costs everybody some 25 ms")
            .action(format!("update the firmware of MAC {mac}"))
            .filter(format!("mstp.frame_type == 1 && mstp.src == {mac}")),
    )
}
