//! What is asked of a store: which trunks, from when to when.

use super::address::Address;
use crate::time::Timestamp;

/// A part of what a trunk's packets tell, by their own times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// From here on; `None` is from now on.
    pub from: Option<Timestamp>,
    /// Not from here on.
    pub to: Option<Timestamp>,
    /// Whether what is still to come belongs to it, until `to` if that is to come.
    pub goes_on: bool,
}

/// Where a packet stands to a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before its beginning.
    Before,
    /// In it.
    Inside,
    /// At its end, or behind it.
    Behind,
}

/// What is asked of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The server, and the trunk or trunks there.
    pub address: Address,
    /// Which of their packets.
    pub range: Range,
}

impl Range {
    /// Where a packet of this time belongs. One whose clock was not set is inside: it is taken by the
    /// time at which it was stored, which is not known here.
    pub fn place(&self, time: Timestamp) -> Place {
        if time.is_of_unset_clock() {
            Place::Inside
        } else if self.from.is_some_and(|from| time < from) {
            Place::Before
        } else if self.to.is_some_and(|to| time >= to) {
            Place::Behind
        } else {
            Place::Inside
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_clock_that_was_not_set_are_not_lost() {
        let at = |s: u64| Timestamp::from_ns(1_700_000_000_000_000_000 + s * 1_000_000_000);
        let range = Range { from: Some(at(10)), to: Some(at(20)), goes_on: false };
        let places = [9, 10, 19, 20].map(|s| range.place(at(s)));
        assert_eq!(places, [Place::Before, Place::Inside, Place::Inside, Place::Behind]);
        assert_eq!(range.place(Timestamp::from_ns(5)), Place::Inside);
    }
}
