//! Sets of slots, as act leaves name them: ranges per segment. Numbers only; never looks at a segment.

use crate::archive::cursor::Malformed;
use crate::archive::layout::SegmentId;
use crate::archive::unit::UNITS_MAX;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// Octets of an act leaf at most; what is longer is several leaves.
pub const ACT_LEAF_BYTES_MAX: usize = 60_000;
/// Octets of a leaf that are not slots: kind, version, hashes, ids, times, a reason.
const FRAME_BYTES: usize = 2_000;
/// Octets a segment takes besides its ranges: two array heads and the id.
const SEGMENT_BYTES: usize = 1 + 17 + 5;
/// Octets of a range at most: two numbers up to 65,536.
const RANGE_BYTES: usize = 10;

/// Ascending, not touching ranges of slots: `[first, count, first, count, ...]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Ranges(#[n(0)] Vec<u32>);

impl Ranges {
    /// Of slots in any order; doubles count once.
    pub fn of(slots: impl IntoIterator<Item = u32>) -> Ranges {
        let mut slots: Vec<u32> = slots.into_iter().collect();
        slots.sort_unstable();
        slots.dedup();
        let mut flat: Vec<u32> = Vec::new();
        for slot in slots {
            match flat.as_mut_slice() {
                [.., first, count] if *first + *count == slot => *count += 1,
                _ => flat.extend([slot, 1]),
            }
        }
        Ranges(flat)
    }
    /// Whether no slot is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// `(first, count)` of each range.
    pub fn ranges(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }
    /// All slots, ascending.
    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges().flat_map(|(first, count)| first..first + count)
    }
    /// Slots in it.
    pub fn count(&self) -> u64 {
        self.ranges().map(|(_, count)| u64::from(count)).sum()
    }
    /// Whether it has this slot.
    pub fn contains(&self, slot: u32) -> bool {
        let (mut from, mut until) = (0, self.0.len() / 2);
        while from < until {
            let at = from.midpoint(until);
            let (first, count) = (self.0[2 * at], self.0[2 * at + 1]);
            match slot.checked_sub(first) {
                None => until = at,
                Some(inside) if inside < count => return true,
                Some(_) => from = at + 1,
            }
        }
        false
    }
    /// With the slots of both.
    pub fn merged(&self, other: &Ranges) -> Ranges {
        Ranges::of(self.slots().chain(other.slots()))
    }
    fn check(&self) -> Result<(), Malformed> {
        let mut next = 0u64;
        if !self.0.len().is_multiple_of(2) || self.0.is_empty() {
            return Err(Malformed("ranges are pairs of first and count"));
        }
        for (at, pair) in self.0.chunks_exact(2).enumerate() {
            let (first, count) = (u64::from(pair[0]), u64::from(pair[1]));
            let apart = at == 0 || first > next;
            next = first + count;
            if !apart || count == 0 || next > UNITS_MAX as u64 {
                return Err(Malformed("ranges out of order or out of bounds"));
            }
        }
        Ok(())
    }
}

/// The slots of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Item {
    #[n(0)]
    segment: SegmentId,
    #[n(1)]
    ranges: Ranges,
}

/// Slots of several segments, ascending, each segment once and none without a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Slots(#[n(0)] Vec<Item>);

impl Slots {
    /// Of segments in any order.
    pub fn of(slots: BTreeMap<SegmentId, Ranges>) -> Slots {
        let items = slots.into_iter().filter(|(_, ranges)| !ranges.is_empty());
        Slots(items.map(|(segment, ranges)| Item { segment, ranges }).collect())
    }
    /// Whether no slot is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Each segment with its ranges.
    pub fn segments(&self) -> impl Iterator<Item = (SegmentId, &Ranges)> + '_ {
        self.0.iter().map(|item| (item.segment, &item.ranges))
    }
    /// Slots in it.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|item| item.ranges.count()).sum()
    }
    /// What a reader must refuse.
    pub(super) fn check(&self) -> Result<(), Malformed> {
        if !self.0.is_sorted_by(|a, b| a.segment < b.segment) {
            return Err(Malformed("segments out of order"));
        }
        self.0.iter().try_for_each(|item| item.ranges.check())
    }
    /// In parts of which each fits into a leaf.
    pub fn parts(&self) -> Vec<Slots> {
        let mut parts = Vec::new();
        let (mut part, mut room) = (Vec::new(), ACT_LEAF_BYTES_MAX - FRAME_BYTES);
        for Item { segment, ranges } in &self.0 {
            let mut rest = ranges.0.as_slice();
            while !rest.is_empty() {
                let fit = (room.saturating_sub(SEGMENT_BYTES) / RANGE_BYTES).min(rest.len() / 2);
                if fit == 0 {
                    parts.push(Slots(std::mem::take(&mut part)));
                    room = ACT_LEAF_BYTES_MAX - FRAME_BYTES;
                    continue;
                }
                let (now, later) = rest.split_at(2 * fit);
                part.push(Item { segment: *segment, ranges: Ranges(now.to_vec()) });
                room -= SEGMENT_BYTES + RANGE_BYTES * fit;
                rest = later;
            }
        }
        if !part.is_empty() {
            parts.push(Slots(part));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::strict;

    fn id(n: u8) -> SegmentId {
        SegmentId::from_octets([n; 16])
    }

    #[test]
    fn ranges_are_ascending_and_do_not_touch() {
        let ranges = Ranges::of([7, 1, 2, 0, 2, 9]);
        assert_eq!(ranges.0, [0, 3, 7, 1, 9, 1]);
        assert_eq!(ranges.slots().collect::<Vec<_>>(), [0, 1, 2, 7, 9]);
        assert_eq!((ranges.count(), ranges.check()), (5, Ok(())));
        for slot in 0..12 {
            assert_eq!(ranges.contains(slot), [0, 1, 2, 7, 9].contains(&slot), "{slot}");
        }
        assert!(!Ranges::default().contains(0));
        for bad in [
            vec![0],
            vec![],
            vec![0, 0],
            vec![0, 2, 2, 1],
            vec![5, 1, 3, 1],
            vec![0, UNITS_MAX as u32 + 1],
            vec![u32::MAX, 9],
        ] {
            assert!(Ranges(bad.clone()).check().is_err(), "{bad:?}");
        }
        assert!(Ranges(vec![0, UNITS_MAX as u32]).check().is_ok());
    }

    #[test]
    fn slots_have_each_segment_once() {
        let item = |n| Item { segment: id(n), ranges: Ranges::of([1]) };
        assert!(Slots(vec![item(1), item(2)]).check().is_ok());
        assert!(Slots(vec![item(2), item(1)]).check().is_err());
        assert!(Slots(vec![item(1), item(1)]).check().is_err());
        assert!(Slots::of(BTreeMap::from([(id(1), Ranges::default())])).is_empty());
    }

    #[test]
    fn what_is_longer_than_a_leaf_is_several_and_nothing_is_lost() {
        // Every other slot: the longest ranges there are.
        let every_other = || Ranges::of((0..UNITS_MAX as u32).step_by(2));
        let slots = Slots::of((1..=3).map(|n| (id(n), every_other())).collect());
        let parts = slots.parts();
        assert!(parts.len() > 3);
        let mut together: BTreeMap<SegmentId, Ranges> = BTreeMap::new();
        for part in &parts {
            assert_eq!(part.check(), Ok(()));
            assert!(strict::encode(part).len() <= ACT_LEAF_BYTES_MAX - FRAME_BYTES);
            for (segment, ranges) in part.segments() {
                let merged = together.entry(segment).or_default().merged(ranges);
                together.insert(segment, merged);
            }
        }
        assert_eq!(Slots::of(together), slots);
        assert!(Slots::default().parts().is_empty());
    }
}
