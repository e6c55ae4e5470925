//! The leaves of acts: HOLD, RELEASE, ERASE, EXPIRE (docs/archive-format.md section 4). Each names the act leaf before it.

use super::slots::Slots;
use crate::archive::cursor::Malformed;
use crate::archive::layout::HoldId;
use crate::archive::strict;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::journal::LEAF_VERSION;
use crate::journal::Leaf;
use crate::journal::LeafKind;
use minicbor::{Decode, Encode};

/// Octets of a reason at most.
pub const REASON_BYTES_MAX: usize = 1_000;

/// Slots come under a hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hold {
    /// Index of the newest act leaf before this act.
    #[n(0)]
    pub previous: Option<u64>,
    /// Leaves of the same act right before this one.
    #[n(1)]
    pub part: u32,
    /// The hold.
    #[n(2)]
    pub hold: HoldId,
    /// SHA-256 of its file.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub file: Digest,
    /// What is added to it.
    #[n(4)]
    pub slots: Slots,
    /// For a standing hold, the SEAL leaf through which it was compared with the archive.
    #[n(5)]
    pub seen: Option<u64>,
}

/// A hold ends.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Release {
    /// Index of the newest act leaf before this act.
    #[n(0)]
    pub previous: Option<u64>,
    /// Leaves of the same act right before this one.
    #[n(1)]
    pub part: u32,
    /// The hold.
    #[n(2)]
    pub hold: HoldId,
    /// When.
    #[n(3)]
    pub at: Timestamp,
    /// Why.
    #[n(4)]
    pub reason: String,
}

/// Slots are erased by order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Erase {
    /// Index of the newest act leaf before this act.
    #[n(0)]
    pub previous: Option<u64>,
    /// Leaves of the same act right before this one.
    #[n(1)]
    pub part: u32,
    /// SHA-256 of the order's file.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub order: Digest,
    /// When.
    #[n(3)]
    pub at: Timestamp,
    /// What.
    #[n(4)]
    pub slots: Slots,
}

/// Slots are expired: their bucket has begun.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Expire {
    /// Index of the newest act leaf before this act.
    #[n(0)]
    pub previous: Option<u64>,
    /// Leaves of the same act right before this one.
    #[n(1)]
    pub part: u32,
    /// When.
    #[n(2)]
    pub at: Timestamp,
    /// What; slots of the same segments that are not listed were spared.
    #[n(3)]
    pub slots: Slots,
}

/// One act leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Slots come under a hold.
    Hold(Hold),
    /// A hold ends.
    Release(Release),
    /// Slots are erased.
    Erase(Erase),
    /// Slots are expired.
    Expire(Expire),
}

impl Act {
    /// The act of a leaf; `None` for a leaf of another kind.
    pub fn of_leaf(octets: &[u8]) -> Option<Result<Act, Malformed>> {
        let (kind, body) = octets.split_first()?;
        let act = match LeafKind::from_octet(*kind)? {
            LeafKind::Hold => decode::<Hold>(body).map(Act::Hold),
            LeafKind::Release => decode::<Release>(body).map(Act::Release),
            LeafKind::Erase => decode::<Erase>(body).map(Act::Erase),
            LeafKind::Expire => decode::<Expire>(body).map(Act::Expire),
            _ => return None,
        };
        Some(act.and_then(|act| act.check().map(|()| act)))
    }
    /// Its leaf; `None` when it is too long, which `Slots::parts` prevents.
    pub fn to_leaf(&self) -> Option<Leaf> {
        let (kind, cbor) = match self {
            Act::Hold(hold) => (LeafKind::Hold, strict::encode(hold)),
            Act::Release(release) => (LeafKind::Release, strict::encode(release)),
            Act::Erase(erase) => (LeafKind::Erase, strict::encode(erase)),
            Act::Expire(expire) => (LeafKind::Expire, strict::encode(expire)),
        };
        let leaf = Leaf::new(kind, [vec![LEAF_VERSION], cbor].concat())?;
        (leaf.body.len() < super::slots::ACT_LEAF_BYTES_MAX).then_some(leaf)
    }
    /// Index of the act leaf before this one, which stands at `index`.
    pub fn leaf_before(&self, index: u64) -> Option<u64> {
        let (Act::Hold(Hold { previous, part, .. })
        | Act::Release(Release { previous, part, .. })
        | Act::Erase(Erase { previous, part, .. })
        | Act::Expire(Expire { previous, part, .. })) = self;
        if *part > 0 { index.checked_sub(1) } else { *previous }
    }
    /// Leaves of the same act right before it.
    pub fn part(&self) -> u32 {
        match self {
            Act::Hold(Hold { part, .. })
            | Act::Release(Release { part, .. })
            | Act::Erase(Erase { part, .. })
            | Act::Expire(Expire { part, .. }) => *part,
        }
    }
    /// The slots it names.
    pub fn slots(&self) -> Option<&Slots> {
        match self {
            Act::Hold(Hold { slots, .. }) | Act::Erase(Erase { slots, .. }) | Act::Expire(Expire { slots, .. }) => {
                Some(slots)
            }
            Act::Release(_) => None,
        }
    }
    /// The slots that are gone from it on.
    pub fn gone(&self) -> Option<&Slots> {
        match self {
            Act::Erase(Erase { slots, .. }) | Act::Expire(Expire { slots, .. }) => Some(slots),
            Act::Hold(_) | Act::Release(_) => None,
        }
    }
    fn check(&self) -> Result<(), Malformed> {
        let empty = || self.gone().is_some_and(Slots::is_empty);
        self.slots().map_or(Ok(()), Slots::check)?;
        match self {
            Act::Release(release) if !is_line(&release.reason, REASON_BYTES_MAX) => Err(Malformed("no reason")),
            _ if empty() => Err(Malformed("an act on nothing")),
            _ => Ok(()),
        }
    }
}

/// Whether a text is one line of at most so many octets, and not empty.
pub fn is_line(text: &str, bytes_max: usize) -> bool {
    !text.trim().is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

fn decode<'a, T: Decode<'a, ()> + Encode<()>>(body: &'a [u8]) -> Result<T, Malformed> {
    let (version, cbor) = body.split_first().ok_or(Malformed("empty leaf"))?;
    if *version != LEAF_VERSION {
        return Err(Malformed("leaf of an unknown version"));
    }
    strict::decode(cbor)
}

#[cfg(test)]
mod tests {
    use super::super::slots::Ranges;
    use super::*;
    use crate::archive::layout::SegmentId;
    use std::collections::BTreeMap;

    fn slots() -> Slots {
        Slots::of(BTreeMap::from([(SegmentId::from_octets([1; 16]), Ranges::of([0, 1, 5]))]))
    }

    #[test]
    fn acts_read_back_and_only_in_one_form() {
        let hold = HoldId::from_octets([7; 16]);
        let at = Timestamp::from_s(9);
        for act in [
            Act::Hold(Hold { previous: None, part: 0, hold, file: [1; 32], slots: slots(), seen: None }),
            Act::Hold(Hold { previous: Some(3), part: 0, hold, file: [1; 32], slots: Slots::default(), seen: Some(9) }),
            Act::Release(Release { previous: Some(3), part: 0, hold, at, reason: "over".into() }),
            Act::Erase(Erase { previous: Some(4), part: 0, order: [2; 32], at, slots: slots() }),
            Act::Expire(Expire { previous: None, part: 0, at, slots: slots() }),
        ] {
            let octets = act.to_leaf().expect("a leaf").octets();
            assert_eq!(Act::of_leaf(&octets), Some(Ok(act.clone())));
            for cut in 1..octets.len() {
                assert!(Act::of_leaf(&octets[..cut]).is_some_and(|read| read.is_err()), "cut at {cut}");
            }
            assert!(Act::of_leaf(&[&octets[..], &[0]].concat()).is_some_and(|read| read.is_err()));
        }
        let part = |part| Act::Expire(Expire { previous: Some(3), part, at, slots: slots() });
        assert_eq!([part(0).leaf_before(9), part(2).leaf_before(9)], [Some(3), Some(8)]);
        assert_eq!(Act::of_leaf(&[4, 1, 2]), None, "a SEAL leaf is no act");
        assert_eq!(Act::of_leaf(&[]), None);
    }

    #[test]
    fn acts_on_nothing_and_without_a_reason_are_refused() {
        let at = Timestamp::from_s(9);
        let hold = HoldId::from_octets([7; 16]);
        for bad in [
            Act::Erase(Erase { previous: None, part: 0, order: [2; 32], at, slots: Slots::default() }),
            Act::Expire(Expire { previous: None, part: 0, at, slots: Slots::default() }),
            Act::Release(Release { previous: None, part: 0, hold, at, reason: String::new() }),
            Act::Release(Release { previous: None, part: 0, hold, at, reason: "two\nlines".into() }),
        ] {
            let octets = bad.to_leaf().expect("short").octets();
            assert!(Act::of_leaf(&octets).is_some_and(|read| read.is_err()), "{bad:?}");
        }
    }
}
