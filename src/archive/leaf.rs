//! The leaves the archive writes: EPOCH, KEY, SEAL, ANCHOR. A version octet, then strict CBOR; never anything personal.

use super::cursor::Malformed;
use super::keys::Origin;
use super::layout::ArchiveId;
use super::layout::SegmentId;
use super::strict;
use super::tile::TreeHead;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::journal::LEAF_VERSION;
use crate::journal::Leaf;
use crate::journal::LeafKind;
use minicbor::{Decode, Encode};

/// Months a SEAL leaf can count: three centuries.
pub const MONTHS_MAX: usize = 4096;

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
    /// Index of the SEAL leaf before this one.
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
}

/// Something was witnessed, by its variant.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Anchor {
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
    /// Its leaf; `None` when there are too many months.
    pub fn to_leaf(&self) -> Option<Leaf> {
        if self.months.len() > MONTHS_MAX {
            return None;
        }
        to_leaf(LeafKind::Seal, self)
    }
    /// From a leaf's body.
    pub fn from_body(body: &[u8]) -> Result<Seal, Malformed> {
        let seal: Seal = from_body(body)?;
        let ascending = seal.months.is_sorted_by(|a, b| a.0 < b.0) && seal.months.len() <= MONTHS_MAX;
        if ascending { Ok(seal) } else { Err(Malformed("months out of order")) }
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
        }
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
    fn months_are_ascending_and_bounded() {
        let unsorted = seal(vec![(2, 1), (1, 1)]).to_leaf().expect("a leaf");
        assert!(Seal::from_body(&unsorted.body).is_err());
        let many = |n| seal((0..n).map(|m| (m, 1)).collect()).to_leaf();
        assert!(many(MONTHS_MAX as u32).is_some());
        assert!(many(MONTHS_MAX as u32 + 1).is_none());
    }
}
