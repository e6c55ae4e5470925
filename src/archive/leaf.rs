//! The leaves the archive writes: EPOCH, KEY, SEAL, ANCHOR. A version octet, then strict CBOR; never anything personal.

use super::cursor::Malformed;
use super::keys::Generation;
use super::keys::Origin;
use super::layout::ArchiveId;
use super::layout::SegmentId;
use super::strict;
use super::tile::TreeHead;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::sha256;
use crate::journal::LEAF_VERSION;
use crate::journal::Leaf;
use crate::journal::LeafKind;
use crate::mail::retention::is_class_name;
use minicbor::{Decode, Encode};

/// Months a SEAL leaf can count: three centuries.
pub const MONTHS_MAX: usize = 4096;
/// Segments of one seal pass.
pub const PARTS_MAX: u32 = 256;

/// Leaf 0: a log begins.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Epoch {
    /// The archive.
    #[n(0)]
    pub archive: ArchiveId,
    /// When it was made.
    #[n(1)]
    pub created: Timestamp,
    /// UID of a message = this + its ACCEPT index + 1.
    #[n(2)]
    pub uid_base: u32,
    /// The Ed25519 key that signs checkpoints.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub log_public: [u8; 32],
}

/// A generation of the archive key begins.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Key {
    /// Its number.
    #[n(0)]
    pub generation: u32,
    /// SHA-256 of its file.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub file: Digest,
    /// Where the secret was made.
    #[n(2)]
    pub origin: Origin,
    /// Officers needed to open.
    #[n(3)]
    pub threshold: u8,
    /// Officers.
    #[n(4)]
    pub officers: u8,
}

/// A segment is durable and counts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Seal {
    /// The segment.
    #[n(0)]
    pub segment: SegmentId,
    /// Every ACCEPT and RESULT below this is in segments.
    #[n(1)]
    pub through: u64,
    /// Message units.
    #[n(2)]
    pub messages: u32,
    /// Event units.
    #[n(3)]
    pub events: u32,
    /// Octets of the data object.
    #[n(4)]
    pub data_bytes: u64,
    /// The data object's root.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub data_root: Digest,
    /// Octets of the key object.
    #[n(6)]
    pub keys_bytes: u64,
    /// SHA-256 of the key object in its first generation.
    #[n(7)]
    #[cbor(with = "minicbor::bytes")]
    pub keys_hash: Digest,
    /// Root over the slots, for ever the same.
    #[n(8)]
    #[cbor(with = "minicbor::bytes")]
    pub slot_root: Digest,
    /// SHA-256 of the cover file.
    #[n(9)]
    #[cbor(with = "minicbor::bytes")]
    pub cover_hash: Digest,
    /// Octets of the messages as received.
    #[n(10)]
    pub raw_bytes: u64,
    /// Index of the last SEAL leaf of the pass before.
    #[n(11)]
    pub previous: Option<u64>,
    /// The last signed checkpoint before this leaf.
    #[n(12)]
    pub tree: TreeHead,
    /// Sums over this and all earlier segments.
    #[n(13)]
    pub totals: Totals,
    /// Per month (year * 12 + month - 1), ascending, the messages in this and all earlier segments.
    #[n(14)]
    pub months: Vec<(u32, u64)>,
    /// Which segment of its pass this is, from 0. The leaves of a pass follow each other.
    #[n(15)]
    pub part: u32,
    /// Segments of its pass.
    #[n(16)]
    pub parts: u32,
    /// The retention class of every unit in it.
    #[n(17)]
    pub class: String,
    /// The month (year * 12 + month - 1) at whose first instant the keep of every unit has run out; `None`: kept for ever.
    #[n(18)]
    pub expires: Option<u32>,
    /// The month before which no order may erase; `None`: at any time.
    #[n(19)]
    pub protected: Option<u32>,
    /// Index of the newest act leaf before this leaf.
    #[n(20)]
    pub acts: Option<u64>,
}

/// Sums over segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Totals {
    /// Segments.
    #[n(0)]
    pub segments: u64,
    /// Messages.
    #[n(1)]
    pub messages: u64,
    /// Octets of data and key objects, one copy of each.
    #[n(2)]
    pub stored_bytes: u64,
    /// Octets of the messages as received.
    #[n(3)]
    pub raw_bytes: u64,
}

/// What is kept outside the log and cannot be changed unnoticed from here on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Anchor {
    /// The head of the read audit (`docs/audit-format.md`).
    #[n(1)]
    AuditHead {
        /// Records so far.
        #[n(0)]
        records: u64,
        /// The chain's value behind the last of them.
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        chain: Digest,
    },
    /// A checkpoint, by a time stamping authority.
    #[n(2)]
    TimeStamp {
        /// The tree of the checkpoint.
        #[n(0)]
        tree: TreeHead,
        /// SHA-256 of the response's file.
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        token: Digest,
    },
}

fn to_leaf<T: Encode<()>>(kind: LeafKind, value: &T) -> Option<Leaf> {
    let body = [vec![LEAF_VERSION], strict::encode(value)].concat();
    Leaf::new(kind, body)
}

fn from_body<'a, T: Decode<'a, ()> + Encode<()>>(body: &'a [u8]) -> Result<T, Malformed> {
    let (version, cbor) = body.split_first().ok_or(Malformed("empty leaf"))?;
    if *version != LEAF_VERSION {
        return Err(Malformed("leaf of an unknown version"));
    }
    strict::decode(cbor)
}

impl Epoch {
    /// Its leaf.
    pub fn to_leaf(&self) -> Option<Leaf> {
        to_leaf(LeafKind::Epoch, self)
    }
    /// From a leaf's body.
    pub fn from_body(body: &[u8]) -> Result<Epoch, Malformed> {
        from_body(body)
    }
}

impl Key {
    /// Of a generation as its file will be.
    pub fn of(generation: &Generation) -> Key {
        Key {
            generation: generation.number,
            file: sha256(&generation.encode()),
            origin: generation.origin,
            threshold: generation.threshold,
            // At most seven: more have no subsets.
            officers: generation.officers.len() as u8,
        }
    }
    /// Its leaf.
    pub fn to_leaf(&self) -> Option<Leaf> {
        to_leaf(LeafKind::Key, self)
    }
    /// From a leaf's body.
    pub fn from_body(body: &[u8]) -> Result<Key, Malformed> {
        from_body(body)
    }
}

impl Anchor {
    /// Its leaf.
    pub fn to_leaf(&self) -> Option<Leaf> {
        to_leaf(LeafKind::Anchor, self)
    }
    /// From a leaf's body.
    pub fn from_body(body: &[u8]) -> Result<Anchor, Malformed> {
        from_body(body)
    }
}

impl Seal {
    /// Its leaf; `None` when a bound does not hold.
    pub fn to_leaf(&self) -> Option<Leaf> {
        self.check().ok()?;
        to_leaf(LeafKind::Seal, self)
    }
    /// From a leaf's body.
    pub fn from_body(body: &[u8]) -> Result<Seal, Malformed> {
        let seal: Seal = from_body(body)?;
        seal.check()?;
        Ok(seal)
    }
    fn check(&self) -> Result<(), Malformed> {
        if self.months.len() > MONTHS_MAX || !self.months.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Malformed("months out of order"));
        }
        if self.part >= self.parts || self.parts > PARTS_MAX {
            return Err(Malformed("no such part of a seal pass"));
        }
        if is_class_name(&self.class) { Ok(()) } else { Err(Malformed("no name of a class")) }
    }
    /// Whether its pass has no further segment.
    pub fn is_last_part(&self) -> bool {
        self.part + 1 == self.parts
    }
    /// Index of the SEAL leaf before this one, which stands at `index`.
    pub fn leaf_before(&self, index: u64) -> Option<u64> {
        if self.part > 0 { index.checked_sub(1) } else { self.previous }
    }
    /// Units, and so slots.
    pub fn units(&self) -> u64 {
        u64::from(self.messages) + u64::from(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(months: Vec<(u32, u64)>) -> Seal {
        Seal {
            segment: SegmentId::from_octets([1; 16]),
            through: 9,
            messages: 3,
            events: 1,
            data_bytes: 1000,
            data_root: [2; 32],
            keys_bytes: 500,
            keys_hash: [3; 32],
            slot_root: [4; 32],
            cover_hash: [5; 32],
            raw_bytes: 2000,
            previous: None,
            tree: TreeHead { size: 2, root: [6; 32] },
            totals: Totals::default(),
            months,
            part: 0,
            parts: 1,
            class: "default".into(),
            expires: None,
            protected: None,
            acts: None,
        }
    }

    #[test]
    fn anchors_say_what_they_anchor() {
        let anchor = Anchor::AuditHead { records: 7, chain: [9; 32] };
        let leaf = anchor.to_leaf().expect("short");
        assert_eq!(leaf.kind, LeafKind::Anchor);
        assert_eq!(leaf.body[..8], [1, 0x82, 1, 0x82, 7, 0x58, 32, 9], "as documented");
        assert_eq!(Anchor::from_body(&leaf.body), Ok(anchor));
        assert!(Anchor::from_body(&[1, 0x82, 0x18, 99, 0x80]).is_err(), "of an unknown kind");
    }

    #[test]
    fn leaves_read_back_and_only_in_one_form() {
        let seal = seal(vec![(24_322, 2), (24_323, 1)]);
        let leaf = seal.to_leaf().expect("a leaf");
        assert_eq!(leaf.body[0], LEAF_VERSION);
        assert_eq!(Seal::from_body(&leaf.body), Ok(seal));
        assert!(Seal::from_body(&[&leaf.body[..], &[0]].concat()).is_err());
        assert!(Seal::from_body(&[]).is_err());
        assert!(Seal::from_body(&[2]).is_err());
    }

    #[test]
    fn parts_classes_and_buckets_read_back_within_their_bounds() {
        let with = |part, parts, class: &str| Seal { part, parts, class: class.into(), ..seal(vec![]) };
        for good in [
            with(0, 1, "default"),
            with(PARTS_MAX - 1, PARTS_MAX, "tax-6"),
            Seal { expires: Some(24_400), ..with(1, 3, "a") },
            Seal { protected: Some(24_300), acts: Some(7), ..with(2, 3, "a") },
        ] {
            let leaf = good.to_leaf().expect("a leaf");
            assert_eq!(Seal::from_body(&leaf.body), Ok(good));
        }
        for bad in [with(1, 1, "a"), with(0, 0, "a"), with(0, PARTS_MAX + 1, "a"), with(0, 1, "A"), with(0, 1, "")] {
            assert!(bad.to_leaf().is_none(), "{bad:?}");
            assert!(Seal::from_body(&to_leaf(LeafKind::Seal, &bad).expect("short").body).is_err(), "{bad:?}");
        }
        assert_eq!([0, 2].map(|part| with(part, 3, "a").leaf_before(9)), [None, Some(8)]);
    }

    #[test]
    fn months_are_ascending_and_bounded() {
        let unsorted = seal(vec![(2, 1), (1, 1)]);
        assert!(unsorted.to_leaf().is_none());
        assert!(Seal::from_body(&to_leaf(LeafKind::Seal, &unsorted).expect("short").body).is_err());
        let many = |n| seal((0..n).map(|m| (m, 1)).collect()).to_leaf();
        assert!(many(MONTHS_MAX as u32).is_some());
        assert!(many(MONTHS_MAX as u32 + 1).is_none());
    }
}
