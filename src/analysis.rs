//! What a line's packets say about it: figures, findings, a grade. Pure and in bounded memory: it
//! is fed records one by one, from a capture file or live, and can be asked at any time.
//!
//! - [`distribution`]: percentiles of many values
//! - [`npdu`]: of a BACnet message, what the analysis looks at
//! - [`timeline`]: what happened when
//! - [`timing`]: how far the times of records can be trusted, and at which rate they were sent
//! - [`mstpcap`]: the two tables that bacnet-stack's mstpcap prints, number for number
//! - [`trunk`]: who has the token of an MS/TP trunk, and what everybody does with it
//! - [`limits`]: from which value on a figure is a finding
//! - [`findings`]: what is wrong, how sure that is, and what to do
//! - [`doctor`]: all of it for an MS/TP trunk, with a grade
//! - [`modbus`]: units of a Modbus line, and how they answer
//! - [`wpan`]: links and channels of IEEE 802.15.4
//! - [`general`]: what can be said of any other protocol
//! - [`document`]: the report as JSON
//! - [`survey`]: what is heard on which radio channel
//! - [`live`]: one of both while a line is captured

pub mod distribution;
pub mod doctor;
pub mod document;
pub mod findings;
pub mod general;
pub mod limits;
pub mod live;
pub mod modbus;
pub mod mstpcap;
pub mod npdu;
pub mod recent;
pub mod survey;
pub mod timeline;
pub mod timing;
pub mod trunk;
pub mod wpan;

use crate::time::Timestamp;

/// Something that was heard on the line: a frame, good or damaged, or octets outside frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number in the capture, from 1; of octets that have none that of the next packet.
    pub number: u64,
    /// Its time, of the first octet or the last one.
    pub time: Timestamp,
    /// The octets that were recorded.
    pub octets: &'a [u8],
    /// Octets it had on the wire: more than were recorded where a snap length has cut it.
    pub original_len: u32,
    /// Octets outside frames directly before it, which were not recorded.
    pub skipped_before: u32,
    /// Records that the capture lost between the one before and this one.
    pub dropped: u64,
}

/// When something was, and where to find it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The time of the first octet.
    pub time: Timestamp,
    /// The number of the packet.
    pub number: u64,
}

/// How often something was seen, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How often.
    pub n: u32,
    /// The first time.
    pub first: Moment,
    /// The last time.
    pub last: Moment,
    /// The time with the largest value.
    pub worst: Moment,
    /// That value, in the unit of what it is.
    pub largest: u64,
}

impl Seen {
    /// Once more, with a value that tells how bad it was.
    pub fn add(&mut self, moment: Moment, value: u64) {
        if self.n == 0 {
            self.first = moment;
        }
        if self.n == 0 || value > self.largest {
            (self.worst, self.largest) = (moment, value);
        }
        self.last = moment;
        self.n = self.n.saturating_add(1);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.n == 0 || other.n == 0 {
            return if self.n == 0 { other } else { self };
        }
        let worse = if other.largest > self.largest { other } else { self };
        Self {
            n: self.n.saturating_add(other.n),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
            worst: worse.worst,
            largest: worse.largest,
        }
    }
}
