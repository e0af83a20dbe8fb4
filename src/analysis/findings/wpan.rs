//! What is wrong with radio links, as heard at one place, and what to do.

use super::Confidence::{Certain, Possible};
use super::Severity::{Advice, Warning};
use super::{Finding, percent};
use crate::analysis::limits;
use crate::analysis::wpan::{Ends, Link, Wpan};

/// All that the rules find, the worst first.
pub fn of_wpan(wpan: &Wpan) -> Vec<Finding> {
    let mut found: Vec<_> =
        wpan.links.iter().filter_map(|(ends, link)| retransmissions(ends, link)).collect();
    found.extend(bad_fcs(wpan));
    found.sort_by_key(|f| std::cmp::Reverse((f.severity, f.confidence, f.seen.n)));
    found.truncate(limits::MOST_RADIO_FINDINGS);
    found
}

fn retransmissions((from, to): &Ends, link: &Link) -> Option<Finding> {
    let share = f64::from(link.again.n) / f64::from(link.frames.max(1));
    if link.again.n < limits::SENT_AGAIN || share < limits::SENT_AGAIN_SHARE {
        return None;
    }
    Some(
        Finding::new("radio-retransmissions", Warning, Certain, link.again)
            .text(format!(
                "{from} sent {} of {} frames to {to} again ({})",
                link.again.n,
                link.frames,
                percent(share)
            ))
            .means("the other end does not hear it, or its acknowledgement is not heard")
            .action(format!(
                "move {from} or {to}, turn the antenna, or put a router between them; look for other \
                 radios on this channel"
            ))
            .filter("wpan.frame_type == 1"),
    )
}

fn bad_fcs(wpan: &Wpan) -> impl Iterator<Item = Finding> {
    wpan.channels.iter().filter_map(|(number, channel)| {
        let share = f64::from(channel.damaged.n) / f64::from(channel.frames.max(1));
        if channel.damaged.n < limits::BAD_FCS || share < limits::BAD_FCS_SHARE {
            return None;
        }
        let name = number.map_or("the channel".to_owned(), |number| format!("channel {number}"));
        Some(
            Finding::new("radio-damage", Advice, Possible, channel.damaged)
                .text(format!(
                    "{} of {} frames on {name} came damaged ({})",
                    channel.damaged.n,
                    channel.frames,
                    percent(share)
                ))
                .means(
                    "they are too weak at this receiver, or others send at the same time, such as \
                     WLAN; nodes that are nearer may hear them well",
                )
                .action(format!(
                    "put the receiver nearer to the nodes; if damage stays, take another channel than {name}"
                ))
                .filter("wpan.fcs_ok == 0"),
        )
    })
}
