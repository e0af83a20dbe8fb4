//! What nodes say to each other in BACnet: who is asked, who answers, who floods.

use super::super::npdu::{self, Npdu, Says};
use super::super::{Moment, Seen};
use super::frame::{BROADCAST, Frame, kind};
use super::node::Segments;
use super::turn::Role;
use super::{Heard, Trunk};
use std::collections::HashMap;

/// Device instances that are kept.
const MOST_INSTANCES: usize = 4096;

/// Who has said I-Am for an instance: the address on this trunk, and that behind a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The address on this trunk.
    pub mac: u8,
    /// The network and a digest of the address there, if a router passed it on.
    pub from: Option<(u16, u64)>,
}

/// An instance, and the two that claim it.
#[derive(Clone, Copy, Debug)]
struct Claim {
    holders: [Option<Holder>; 2],
    last: Holder,
    /// Times that the other one said it again.
    changes: Seen,
    /// When the second one said it first.
    second: Moment,
}

/// Device instances and who has them.
#[derive(Clone, Debug, Default)]
pub struct Instances(HashMap<u32, Claim>);

impl Instances {
    fn add(&mut self, instance: u32, holder: Holder, at: Moment) {
        if !self.0.contains_key(&instance) && self.0.len() >= MOST_INSTANCES {
            return;
        }
        let claim = self.0.entry(instance).or_insert(Claim {
            holders: [Some(holder), None],
            last: holder,
            changes: Seen::default(),
            second: Moment::default(),
        });
        if !claim.holders.contains(&Some(holder)) {
            if claim.holders[1].is_some() {
                return;
            }
            claim.holders[1] = Some(holder);
            claim.second = at;
        }
        if claim.last != holder {
            claim.last = holder;
            claim.changes.add(at, 0);
        }
    }

    /// Instances that two have said, each with both, how often the other one said it, and when the
    /// second one did it first.
    pub fn claimed_twice(&self) -> impl Iterator<Item = (u32, [Holder; 2], Seen, Moment)> {
        self.0.iter().filter_map(|(instance, claim)| {
            let [Some(one), Some(other)] = claim.holders else { return None };
            Some((*instance, [one, other], claim.changes, claim.second))
        })
    }

    /// Octets of memory behind it, about.
    pub fn memory(&self) -> usize {
        self.0.capacity() * (size_of::<Claim>() + 8)
    }
}

impl Trunk {
    /// What a frame carries.
    pub(super) fn note_message(&mut self, heard: &Heard<'_>) {
        let Heard { frame, at, .. } = *heard;
        if !frame.has_data() {
            return;
        }
        let said = &mut self.nodes[usize::from(frame.from)].said;
        said.data += 1;
        if frame.to == BROADCAST {
            said.broadcasts.add(at, 0);
        }
        if frame.kind >= kind::PROPRIETARY {
            said.proprietary.add(at, 0);
            said.vendor = frame.data.first_chunk().map(|vendor| u16::from_be_bytes(*vendor));
        }
        let Some(octets) = frame.npdu() else { return };
        if let Some((instance, name)) = npdu::device_name(&octets) {
            let node = &mut self.nodes[usize::from(frame.from)];
            node.instance.get_or_insert(instance);
            node.name = Some(name);
        }
        if let Some(npdu) = Npdu::parse(&octets) {
            self.note_npdu(heard, &npdu);
        }
    }

    fn note_npdu(&mut self, heard: &Heard<'_>, npdu: &Npdu) {
        let Heard { ref frame, at, role, .. } = *heard;
        let node = &mut self.nodes[usize::from(frame.from)];
        if npdu.is_notification() {
            node.said.notifications.add(at, 0);
        }
        match npdu.says {
            Says::Network(_) => node.said.network.add(at, 0),
            Says::WhoIs(limits) => {
                node.said.who_is.add(at, 0);
                if limits.is_none() {
                    node.said.wide_who_is.add(at, 0);
                }
            }
            Says::IAm(instance) => {
                node.said.i_am.add(at, 0);
                if npdu.from.is_none()
                    && node.instance.replace(instance).is_some_and(|before| before != instance)
                {
                    node.instance_changes.add(at, instance.into());
                }
                self.instances.add(instance, Holder { mac: frame.from, from: npdu.from }, at);
            }
            Says::Request { invoke_id, segment, .. } => {
                self.note_segment(frame.from, invoke_id, segment);
                let node = &mut self.nodes[usize::from(frame.to)];
                // Segments that it sent before under this number are of another message.
                node.segments.take_if(|it| it.invoke_id == invoke_id && segment.is_none());
                if segment.is_none() {
                    node.asked.add(frame.from, npdu.from, invoke_id);
                }
            }
            Says::Answer { invoke_id, segment } => {
                node.answers += 1;
                self.note_segment(frame.from, invoke_id, segment);
                // Its request was heard, with all of its segments.
                let asker = &mut self.nodes[usize::from(frame.to)];
                asker.segments.take_if(|it| it.invoke_id == invoke_id);
                // The question before it was not heard if that was damaged, or before the begin.
                if segment.is_none() && !matches!(role, Role::ReplyToDamaged | Role::Beginning) {
                    self.note_answer(frame, npdu.to, invoke_id, at);
                }
            }
            Says::Refusal(refusal) => {
                node.answers += 1;
                node.refusals.add(at, u64::from(refusal.code));
                node.last_refusal = Some(refusal);
                for mac in [frame.from, frame.to] {
                    self.note_abort(mac, refusal.invoke_id, at);
                }
            }
            Says::Notification | Says::Unconfirmed(_) | Says::SegmentAck => {}
        }
    }

    /// More answers than requests are answers of more than one node.
    fn note_answer(
        &mut self,
        frame: &Frame<'_>,
        client: Option<(u16, u64)>,
        invoke_id: u8,
        at: Moment,
    ) {
        let node = &mut self.nodes[usize::from(frame.from)];
        if node.asked.answer(frame.to, client, invoke_id) {
            node.second_replies.add(at, 0);
        }
    }

    fn note_segment(&mut self, from: u8, invoke_id: u8, segment: Option<u8>) {
        let node = &mut self.nodes[usize::from(from)];
        let Some(number) = segment else { return };
        if node.segments.is_none_or(|segments| segments.invoke_id != invoke_id) {
            node.segments = Some(Segments::new(invoke_id));
        }
        if let Some(segments) = &mut node.segments {
            segments.add(number);
        }
    }

    fn note_abort(&mut self, mac: u8, invoke_id: u8, at: Moment) {
        let node = &mut self.nodes[usize::from(mac)];
        let sent = node.segments.take_if(|it| it.invoke_id == invoke_id).map(|it| it.most());
        if let Some(times) = sent.filter(|times| *times >= 3) {
            node.segment_timeouts.add(at, times.into());
        }
    }
}
