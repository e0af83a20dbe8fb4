//! Who does not answer, answers late, or says no.

use super::Confidence::{Certain, Possible, Probable};
use super::Severity::{Fault, Warning};
use super::{Case, Finding, ms, percent};
use crate::analysis::limits;
use crate::analysis::npdu::Refusal;
use crate::analysis::trunk::node::Node;

pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (mac, node) in case.trunk.by_mac() {
        if node.frames == 0 {
            found.extend(absent_peer(case, mac, node));
            continue;
        }
        found.extend(no_answer(mac, node));
        found.extend(slow_replies(case, mac, node));
        found.extend(wrong_answerer(mac, node));
        found.extend(extended_unsupported(mac, node));
        found.extend(segmentation_timeouts(mac, node));
        found.extend(error_replies(mac, node));
    }
    found
}

fn asked(mac: u8) -> String {
    format!("(mstp.dst == {mac} || mstp.src == {mac}) && mstp.frame_type >= 3")
}

fn no_answer(mac: u8, node: &Node) -> Option<Finding> {
    let extended = if is_extended_unsupported(node) {
        (0, 0)
    } else {
        (node.long_unanswered.n, node.long_requests_to)
    };
    let (n, of) = (node.unanswered.n + extended.0, node.requests_to + extended.1);
    let share = f64::from(n) / f64::from(of.max(1));
    if n < limits::UNANSWERED || of < limits::UNANSWERED_OF || share <= limits::UNANSWERED_SHARE {
        return None;
    }
    let seen = node.unanswered.and(node.long_unanswered);
    let takes_token = node.tokens_sent > 0 && node.retries_to.n < limits::RETRIES;
    let wire = if takes_token { "; it takes the token, so its wires are good" } else { "" };
    Some(
        Finding::new("no-answer", Fault, Certain, seen)
            .of([mac])
            .text(format!(
                "MAC {mac} did not answer {n} of {of} requests ({}; limit {}){wire}",
                percent(share),
                percent(limits::UNANSWERED_SHARE)
            ))
            .means("its application hangs or is overloaded, or it does not receive well; each request costs all others a quarter of a second")
            .action(format!("restart MAC {mac}, and ask it less often"))
            .filter(asked(mac)),
    )
}

fn absent_peer(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let seen = node.unanswered.and(node.long_unanswered);
    if seen.n < limits::UNANSWERED {
        return None;
    }
    let client = node.owes.map(|(by, _)| by);
    let asks = client.map_or(String::new(), |by| format!("MAC {by} "));
    let seconds = f64::from(seen.n) * 0.26;
    Some(
        Finding::new("absent-peer", Warning, Possible, seen)
            .of([mac])
            .text(format!(
                "{asks}asked MAC {mac} {} times, which was not heard in this capture: {seconds:.1} s of \
                 waiting, {} of the time",
                seen.n,
                percent(seconds / case.seconds.max(1.0))
            ))
            .means("a device that was removed, renumbered or is off is still in a client's list")
            .action(match client {
                Some(by) => format!("take MAC {mac} out of the list of MAC {by}, or bring it back"),
                None => format!("find who asks for MAC {mac}, or bring it back"),
            })
            .filter(format!("mstp.dst == {mac} && mstp.frame_type >= 3")),
    )
}

fn slow_replies(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let limit_us = limits::REPLY_DELAY_US + (case.latency_ms * 1000.0) as u64;
    let above = node.reply.above(limit_us);
    let mean_ms = node.reply.mean()? / 1000.0;
    let is_slow = node.reply.n() >= 5 && mean_ms - case.latency_ms / 6.0 > limits::REPLY_MEAN_MS;
    if above < limits::SLOW_REPLIES && !is_slow {
        return None;
    }
    let severity = if above >= limits::SLOW_REPLIES { Fault } else { Warning };
    let seen = if above > 0 { node.slow_replies } else { node.long_replies };
    let share = node.reply.sum() as f64 / (case.seconds * 1e6).max(1.0);
    Some(
        Finding::new("slow-replies", severity, Certain, seen)
            .of([mac])
            .text(format!(
                "MAC {mac} replies after {mean_ms:.0} ms on average, at most {}; allowed are 250 ms, \
                 and {} of {} replies took longer. All wait for it {} of the time",
                ms(node.reply.max().into()),
                node.slow_replies.n,
                node.reply.n(),
                percent(share)
            ))
            .means("requests that are heavy for a slow device; it should postpone its replies, and does not")
            .action(format!("ask MAC {mac} for less at once, less often, or update its firmware"))
            .filter(asked(mac)),
    )
}

fn wrong_answerer(mac: u8, node: &Node) -> Option<Finding> {
    let seen = node.wrong_answers;
    (seen.n >= limits::WRONG_ANSWERS).then(|| {
        Finding::new("wrong-answerer", Warning, Certain, seen)
            .of([mac])
            .text(format!("MAC {mac} answered {} requests that were for others", seen.n))
            .means("a gateway or proxy that answers under its own address, or crossed addresses")
            .action(format!("look at which addresses MAC {mac} stands in for, and at its own"))
            .filter(format!("mstp.src == {mac} && mstp.frame_type >= 3"))
    })
}

fn is_extended_unsupported(node: &Node) -> bool {
    let n = node.long_unanswered.n;
    let share = f64::from(n) / f64::from(node.long_requests_to.max(1));
    let others = node.requests_to > 0 && node.unanswered.n * 2 < node.requests_to;
    n >= limits::UNANSWERED && share >= limits::LONG_UNANSWERED_SHARE && others
}

fn extended_unsupported(mac: u8, node: &Node) -> Option<Finding> {
    is_extended_unsupported(node).then(|| {
        Finding::new("extended-unsupported", Warning, Probable, node.long_unanswered)
            .of([mac])
            .text(format!(
                "MAC {mac} did not answer {} of {} requests in extended frames, but others",
                node.long_unanswered.n, node.long_requests_to
            ))
            .means("it does not know extended frames (more than 501 bytes)")
            .action(format!(
                "limit the APDU length for MAC {mac} to 480 in the client that asks it"
            ))
            .filter(format!("mstp.frame_type == 32 && mstp.dst == {mac}"))
    })
}

fn segmentation_timeouts(mac: u8, node: &Node) -> Option<Finding> {
    let seen = node.segment_timeouts;
    (seen.n > 0).then(|| {
        Finding::new("segmentation-timeouts", Warning, Probable, seen)
            .of([mac])
            .text(format!(
                "MAC {mac} sent a segment three times and more, and then gave up: {} times",
                seen.n
            ))
            .means("the other side does not acknowledge segments in time")
            .action(
                "lower the window or the APDU length, or raise the segment timeout, in the client",
            )
            .filter(asked(mac))
    })
}

fn error_replies(mac: u8, node: &Node) -> Option<Finding> {
    let (seen, of) = (node.refusals, node.answers);
    let share = f64::from(seen.n) / f64::from(of.max(1));
    if of < limits::REFUSALS_OF || share < limits::REFUSAL_SHARE {
        return None;
    }
    let last =
        node.last_refusal.map_or(String::new(), |Refusal { kind, service, code, .. }| match kind {
            5 => format!(", such as Error of service {service} with code {code}"),
            6 => format!(", such as Reject with reason {code}"),
            _ => format!(", such as Abort with reason {code}"),
        });
    Some(
        Finding::new("error-replies", Warning, Certain, seen)
            .of([mac])
            .text(format!(
                "MAC {mac} refused {} of {of} requests ({}){last}",
                seen.n,
                percent(share)
            ))
            .means("a client asks for objects or properties that are not there")
            .action(format!("correct the list of objects that is read from MAC {mac}"))
            .filter(format!("mstp.src == {mac} && bacapp.type >= 5")),
    )
}
