//! Who says too much.

use super::Confidence::{Certain, Probable};
use super::Severity::{Advice, Warning};
use super::{Case, Finding, macs, percent};
use crate::analysis::trunk::node::Node;
use crate::analysis::{Seen, limits};

pub(super) fn find(case: &Case<'_>) -> Vec<Finding> {
    let found = [
        who_is_storm(case),
        i_am_storm(case),
        cov_flood(case),
        broadcast_share(case),
        busy_trunk(case),
        low_baud(case),
    ];
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    for (mac, node) in case.heard() {
        found.extend(router_storm(case, mac, node));
        found.extend(proprietary_flood(case, mac, node));
    }
    found
}

/// Messages of one kind: all together, and by node, the most first.
fn talkers(case: &Case<'_>, of: impl Fn(&Node) -> Seen) -> (Seen, Vec<(u32, u8)>) {
    let mut nodes: Vec<(u32, u8)> =
        case.heard().map(|(mac, node)| (of(node).n, mac)).filter(|(n, _)| *n > 0).collect();
    nodes.sort_unstable_by(|a, b| b.cmp(a));
    let all = case.heard().fold(Seen::default(), |seen, (_, node)| seen.and(of(node)));
    (all, nodes)
}

fn who_is_storm(case: &Case<'_>) -> Option<Finding> {
    let (wide, nodes) = talkers(case, |node| node.said.wide_who_is);
    let (all, _) = talkers(case, |node| node.said.who_is);
    let loud: Vec<u8> = nodes
        .iter()
        .filter(|(n, _)| case.per_min(*n) > limits::WIDE_WHO_IS_PER_MIN)
        .map(|(_, mac)| *mac)
        .collect();
    let is_many = case.per_min(all.n) > limits::WHO_IS_PER_MIN;
    if loud.is_empty() && !is_many {
        return None;
    }
    let (_, askers) = talkers(case, |node| node.said.who_is);
    let nodes =
        if loud.is_empty() { askers.iter().take(1).map(|(_, mac)| *mac).collect() } else { loud };
    let who = macs(&nodes);
    Some(
        Finding::new("who-is-storm", Warning, Certain, all)
            .text(format!(
                "{:.0} Who-Is a minute, {:.0} of them for all devices at once; most from {who}",
                case.per_min(all.n),
                case.per_min(wide.n)
            ))
            .means("a client looks for devices again and again, and all others have to answer")
            .action(format!(
                "find the client behind {who}, and give it limits, or the device that it looks for"
            ))
            .filter("bacapp.unconfirmed_service == 8")
            .of(nodes),
    )
}

fn i_am_storm(case: &Case<'_>) -> Option<Finding> {
    let (all, nodes) = talkers(case, |node| node.said.i_am);
    let rate = case.per_min(all.n);
    if rate <= limits::I_AM_PER_MIN || rate <= limits::I_AM_PER_NODE * nodes.len() as f64 {
        return None;
    }
    // Who is asked answers once: most of them must be answers for somebody to be the one who asks.
    let (asked, askers) = talkers(case, |node| node.said.who_is);
    let is_asked = asked.n.saturating_mul(2 * nodes.len() as u32) >= all.n;
    let asker = askers.first().filter(|_| is_asked).map(|(_, mac)| *mac);
    let most = nodes.first().map_or(0, |(n, _)| *n);
    let loud = nodes.iter().take_while(|(n, _)| n * 4 >= most).map(|(_, mac)| *mac);
    let nodes: Vec<u8> = asker.map_or_else(|| loud.take(4).collect(), |mac| vec![mac]);
    Some(
        Finding::new("i-am-storm", Warning, Probable, all)
            .text(format!(
                "{rate:.0} I-Am a minute; {}",
                match asker {
                    Some(mac) => format!("MAC {mac} asks for them"),
                    None => format!("most from {}, and hardly anybody asks for them", macs(&nodes)),
                }
            ))
            .means("a client looks for all devices again and again, or devices restart")
            .action(format!("look at {}: what it looks for, or whether it restarts", macs(&nodes)))
            .filter("bacapp.unconfirmed_service == 0")
            .of(nodes),
    )
}

const COV: &str = "bacapp.unconfirmed_service == 2 || bacapp.confirmed_service == 1";

fn cov_flood(case: &Case<'_>) -> Option<Finding> {
    let (all, nodes) = talkers(case, |node| node.said.notifications);
    let (n, mac) = *nodes.first()?;
    let (rate, of_one) = (case.per_min(all.n), case.per_min(n));
    if rate <= limits::COV_PER_MIN && of_one <= limits::COV_PER_MIN_OF_ONE {
        return None;
    }
    // Where all say as much as the others none of them is to blame alone.
    let is_one = of_one > limits::COV_PER_MIN_OF_ONE || n * 2 > all.n;
    let whose = if is_one { macs(&[mac]) } else { "the nodes that tell most".to_owned() };
    Some(
        Finding::new("cov-flood", Warning, Certain, all)
            .of(is_one.then_some(mac))
            .text(format!(
                "{rate:.0} notifications of changed values a minute (limit 500), {of_one:.0} of them \
                 from MAC {mac} (limit 200)"
            ))
            .means("a value that is never still, or a COV increment that is too small")
            .action(format!("raise the COV increment of the values of {whose}, or the minimum send time"))
            .filter(if is_one { format!("mstp.src == {mac} && ({COV})") } else { COV.to_owned() }),
    )
}

fn router_storm(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let rate = case.per_min(node.said.network.n);
    (rate > limits::OTHERS_PER_MIN).then(|| {
        Finding::new("router-storm", Warning, Certain, node.said.network)
            .of([mac])
            .text(format!("MAC {mac} sends {rate:.0} messages between routers a minute"))
            .means("a network number is used twice, networks form a loop, or a router restarts")
            .action(format!(
                "compare the network numbers of MAC {mac} with those of all other routers"
            ))
            .filter(format!("mstp.src == {mac} && bacnet.mesgtyp"))
    })
}

fn proprietary_flood(case: &Case<'_>, mac: u8, node: &Node) -> Option<Finding> {
    let rate = case.per_min(node.said.proprietary.n);
    let vendor = node.said.vendor.map_or(String::new(), |vendor| format!(" of vendor {vendor}"));
    (rate > limits::OTHERS_PER_MIN).then(|| {
        Finding::new("proprietary-flood", Warning, Certain, node.said.proprietary)
            .of([mac])
            .text(format!("MAC {mac} sends {rate:.0} frames{vendor} a minute that are no BACnet"))
            .means("a vendor's own service runs on the trunk")
            .action(format!("ask the vendor of MAC {mac} what it sends, and how to stop it"))
            .filter(format!("mstp.src == {mac} && mstp.frame_type >= 128"))
    })
}

fn broadcast_share(case: &Case<'_>) -> Option<Finding> {
    let (all, nodes) = talkers(case, |node| node.said.broadcasts);
    let data: u32 = case.heard().map(|(_, node)| node.said.data).sum();
    let share = f64::from(all.n) / f64::from(data.max(1));
    let rate = case.per_min(all.n);
    if share <= limits::BROADCAST_SHARE || rate <= limits::BROADCASTS_PER_MIN {
        return None;
    }
    let nodes: Vec<u8> = nodes.iter().take(2).map(|(_, mac)| *mac).collect();
    Some(
        Finding::new("broadcast-share", Warning, Certain, all)
            .text(format!(
                "{} of all data goes to everybody, {rate:.0} frames a minute; most from {}",
                percent(share),
                macs(&nodes)
            ))
            .means("each broadcast interrupts every node")
            .action(format!("find out why {} tells everybody", macs(&nodes[..1])))
            .filter("mstp.dst == 255")
            .of(nodes),
    )
}

fn whole(case: &Case<'_>) -> Option<Seen> {
    let (first, end) = (case.trunk.first?, case.trunk.end);
    Some(Seen { n: 1, first, last: end, worst: end, largest: 0 })
}

fn busy_trunk(case: &Case<'_>) -> Option<Finding> {
    let share = case.utilisation.filter(|share| *share > limits::UTILISATION)?;
    if case.seconds < limits::BUSY_SECONDS {
        return None;
    }
    Some(
        Finding::new("busy-trunk", Advice, Certain, whole(case)?)
            .text(format!("the line is in use {} of the time", percent(share)))
            .means("the trunk has no room left")
            .action("raise the rate of all nodes, or split the trunk (25 to 30 devices each)")
            .filter("mstp"),
    )
}

fn low_baud(case: &Case<'_>) -> Option<Finding> {
    let baud = case.trunk.stamps().baud;
    let nodes = case.trunk.masters().count();
    if case.utilisation.is_none() || baud > limits::LOW_BAUD || nodes <= limits::NODES_AT_LOW_BAUD {
        return None;
    }
    Some(
        Finding::new("low-baud", Advice, Certain, whole(case)?)
            .text(format!("{nodes} nodes at {baud} baud"))
            .means("with this many nodes, each waits long for its turn at this rate")
            .action("raise the rate of all nodes to 38400 or 76800")
            .filter("mstp"),
    )
}
