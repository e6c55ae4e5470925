//! What the act leaves of a log say together: what is held, erased and expired. Read from the log alone; needs no key.

use super::leaves::Act;
use super::leaves::Hold;
use super::leaves::Release;
use super::slots::Ranges;
use super::slots::Slots;
use crate::archive::Error;
use crate::archive::cursor::Malformed;
use crate::archive::layout::HoldId;
use crate::archive::layout::SegmentId;
use crate::archive::log::Leaves;
use crate::archive::open::Archive;
use crate::archive::open::lock;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A hold as the leaves know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldState {
    /// SHA-256 of its file.
    pub file: Digest,
    /// Index of the leaf that made it.
    pub since: u64,
    /// What it holds.
    pub slots: BTreeMap<SegmentId, Ranges>,
    /// For a standing hold, the SEAL leaf through which it was compared with the archive, as far as leaves say.
    pub seen: Option<u64>,
    /// When it ended, and by which leaf.
    pub released: Option<(u64, Timestamp)>,
}

impl HoldState {
    /// Whether it holds a slot.
    pub fn has(&self, segment: &SegmentId, slot: u32) -> bool {
        self.released.is_none() && self.slots.get(segment).is_some_and(|ranges| ranges.contains(slot))
    }
    /// Slots it holds.
    pub fn count(&self) -> u64 {
        self.slots.values().map(Ranges::count).sum()
    }
}

/// Why slots are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By order.
    Erased,
    /// Their bucket has begun.
    Expired,
}

/// Slots of one segment that are gone, and by which leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The ERASE or EXPIRE leaf.
    pub leaf: u64,
    /// Why.
    pub reason: Reason,
    /// Which.
    pub ranges: Ranges,
}

/// All acts of a log, as of one of them.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    acts: Vec<(u64, Act)>,
    holds: BTreeMap<HoldId, HoldState>,
    gone: BTreeMap<SegmentId, Vec<Gone>>,
}

impl Registry {
    /// Index of the newest act leaf it knows.
    pub fn newest(&self) -> Option<u64> {
        self.acts.last().map(|(index, _)| *index)
    }
    /// All act leaves, in order.
    pub fn acts(&self) -> &[(u64, Act)] {
        &self.acts
    }
    /// Those behind a leaf.
    pub fn acts_after(&self, index: Option<u64>) -> &[(u64, Act)] {
        let from = self.acts.partition_point(|(known, _)| index.is_some_and(|index| *known <= index));
        &self.acts[from..]
    }
    /// All holds, also those released.
    pub fn holds(&self) -> &BTreeMap<HoldId, HoldState> {
        &self.holds
    }
    /// What is gone of each segment.
    pub fn gone(&self) -> &BTreeMap<SegmentId, Vec<Gone>> {
        &self.gone
    }
    /// The leaf that took a slot.
    pub fn gone_by(&self, segment: &SegmentId, slot: u32) -> Option<&Gone> {
        self.gone.get(segment)?.iter().find(|gone| gone.ranges.contains(slot))
    }
    /// Slots of a segment that are gone.
    pub fn gone_count(&self, segment: &SegmentId) -> u64 {
        self.gone.get(segment).map_or(0, |gone| gone.iter().map(|gone| gone.ranges.count()).sum())
    }
    /// Holds on a slot.
    pub fn holds_on(&self, segment: &SegmentId, slot: u32) -> impl Iterator<Item = HoldId> + '_ {
        let segment = *segment;
        self.holds.iter().filter(move |(_, hold)| hold.has(&segment, slot)).map(|(id, _)| *id)
    }

    /// Takes in the next act leaf.
    pub fn take(&mut self, index: u64, act: Act) {
        match &act {
            Act::Hold(hold) => self.hold(index, hold),
            Act::Release(Release { hold, at, .. }) => {
                if let Some(known) = self.holds.get_mut(hold) {
                    known.released.get_or_insert((index, *at));
                }
            }
            Act::Erase(erase) => self.bury(index, Reason::Erased, &erase.slots),
            Act::Expire(expire) => self.bury(index, Reason::Expired, &expire.slots),
        }
        self.acts.push((index, act));
    }

    fn hold(&mut self, index: u64, hold: &Hold) {
        let new = || HoldState { file: hold.file, since: index, slots: BTreeMap::new(), seen: None, released: None };
        let known = self.holds.entry(hold.hold).or_insert_with(new);
        known.seen = known.seen.max(hold.seen);
        for (segment, ranges) in hold.slots.segments() {
            let slots = known.slots.entry(segment).or_default();
            *slots = slots.merged(ranges);
        }
    }

    fn bury(&mut self, leaf: u64, reason: Reason, slots: &Slots) {
        for (segment, ranges) in slots.segments() {
            let before = self.gone.entry(segment).or_default();
            let is_new = |slot: &u32| !before.iter().any(|gone| gone.ranges.contains(*slot));
            // The first leaf counts: its index stands in the tomb.
            let ranges = Ranges::of(ranges.slots().filter(is_new));
            if !ranges.is_empty() {
                before.push(Gone { leaf, reason, ranges });
            }
        }
    }
}

impl Archive {
    /// What the act leaves of the log say, as far as it is signed.
    pub fn acts(&self) -> Result<Arc<Registry>, Error> {
        let (size, newest, known) = {
            let state = lock(&self.inner.state);
            (state.log.size(), state.newest.act, Arc::clone(&state.acts))
        };
        if known.newest() == newest {
            return Ok(known);
        }
        let mut registry = Registry::clone(&known);
        let mut leaves = Leaves::new(self.inner.disk.as_ref(), &self.inner.layout, size);
        let mut behind = Vec::new();
        let mut next = newest;
        while let Some(index) = next.filter(|index| known.newest().is_none_or(|known| *index > known)) {
            let act = act_at(&mut leaves, index)?;
            next = act.leaf_before(index);
            if next.is_some_and(|previous| previous >= index) {
                return Err(Error::damaged(format!("leaf {index}"), Malformed("an act leaf names a later one")));
            }
            behind.push((index, act));
        }
        for (index, act) in behind.into_iter().rev() {
            registry.take(index, act);
        }
        let registry = Arc::new(registry);
        let mut state = lock(&self.inner.state);
        if state.acts.newest() < registry.newest() {
            state.acts = Arc::clone(&registry);
        }
        Ok(registry)
    }

    /// Whether a unit is erased or expired, whatever its key object says.
    pub fn is_gone(&self, segment: &SegmentId, slot: u32) -> Result<bool, Error> {
        Ok(self.acts()?.gone_by(segment, slot).is_some())
    }
}

fn act_at(leaves: &mut Leaves<'_>, index: u64) -> Result<Act, Error> {
    match leaves.get(index)?.and_then(Act::of_leaf) {
        Some(act) => act.map_err(|what| Error::damaged(format!("leaf {index}"), what)),
        None => Err(Error::damaged(format!("leaf {index}"), Malformed("no act leaf"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::leaves::{Erase, Expire};
    use super::*;

    fn id(n: u8) -> SegmentId {
        SegmentId::from_octets([n; 16])
    }
    fn slots(segment: u8, slots: &[u32]) -> Slots {
        Slots::of(BTreeMap::from([(id(segment), Ranges::of(slots.iter().copied()))]))
    }
    fn hold(n: u8, slots: Slots, seen: Option<u64>) -> Act {
        Act::Hold(Hold { previous: None, part: 0, hold: HoldId::from_octets([n; 16]), file: [n; 32], slots, seen })
    }

    #[test]
    fn many_holds_hold_a_slot_until_each_is_released() {
        let mut registry = Registry::default();
        registry.take(5, hold(1, slots(1, &[0, 1]), None));
        registry.take(6, hold(2, slots(1, &[1]), Some(3)));
        registry.take(7, hold(1, slots(1, &[4]), None));
        registry.take(8, hold(2, Slots::default(), Some(9)));
        let on = |registry: &Registry, slot| registry.holds_on(&id(1), slot).count();
        assert_eq!([0, 1, 2, 4].map(|slot| on(&registry, slot)), [1, 2, 0, 1]);
        let first = HoldId::from_octets([1; 16]);
        assert_eq!((registry.holds()[&first].since, registry.holds()[&first].count()), (5, 3));
        assert_eq!(registry.holds()[&HoldId::from_octets([2; 16])].seen, Some(9));
        let at = Timestamp::from_s(1);
        registry.take(9, Act::Release(Release { previous: Some(8), part: 0, hold: first, at, reason: "over".into() }));
        assert_eq!([0, 1, 4].map(|slot| on(&registry, slot)), [0, 1, 0]);
        assert_eq!(registry.acts_after(Some(7)).len(), 2);
        assert_eq!(registry.acts_after(None).len(), 5);
    }

    #[test]
    fn the_first_leaf_that_takes_a_slot_counts() {
        let at = Timestamp::from_s(1);
        let mut registry = Registry::default();
        registry.take(5, Act::Erase(Erase { previous: None, part: 0, order: [1; 32], at, slots: slots(1, &[2]) }));
        registry.take(6, Act::Expire(Expire { previous: Some(5), part: 0, at, slots: slots(1, &[1, 2, 3]) }));
        let by = |slot| registry.gone_by(&id(1), slot).map(|gone| (gone.leaf, gone.reason));
        assert_eq!(by(2), Some((5, Reason::Erased)));
        assert_eq!(by(3), Some((6, Reason::Expired)));
        assert_eq!((by(4), registry.gone_count(&id(1)), registry.gone_count(&id(2))), (None, 3, 0));
    }
}
