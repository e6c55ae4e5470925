//! The key object of a segment: wraps of the segment key, and a 64-byte slot per unit. The only object that ever changes;
//! its root never does.

use super::cursor::{Cursor, Malformed};
use super::layout::ArchiveId;
use super::layout::SegmentId;
use super::unit::SLOT_CIPHERTEXT_BYTES;
use super::unit::UNITS_MAX;
use crate::crypto::Digest;
use crate::crypto::Sha256;
use crate::crypto::sha256;

/// Octets of a slot.
pub const SLOT_BYTES: usize = 64;
/// Wraps in one object at most.
pub const WRAPS_MAX: usize = 16;
const WRAP_BYTES_MAX: usize = 4096;
/// Octets of the longest key object.
pub const KEY_OBJECT_BYTES_MAX: u64 =
    (HEAD_BYTES + WRAPS_MAX * (6 + WRAP_BYTES_MAX) + UNITS_MAX * SLOT_BYTES + 64) as u64;
const HEAD_BYTES: usize = 58;
const MAGIC: &[u8; 8] = b"SPSEGKEY";
const VERSION: u16 = 1;
const LIVE: u8 = 1;
const TOMB: u8 = 2;
const SLOT_VERSION: u8 = 1;

/// The segment key, sealed to one generation of the archive key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrap {
    /// The generation.
    pub generation: u32,
    /// HPKE.
    pub sealed: Vec<u8>,
}

/// A unit's key, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The message key's ciphertext.
    Live([u8; SLOT_CIPHERTEXT_BYTES]),
    /// Erased or expired.
    Tomb {
        /// The ERASE or EXPIRE leaf.
        leaf: u64,
        /// SHA-256 of the live slot.
        hash: Digest,
    },
}

impl Slot {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut out = [0; SLOT_BYTES];
        match self {
            Slot::Live(ciphertext) => {
                out[..2].copy_from_slice(&[LIVE, SLOT_VERSION]);
                out[16..].copy_from_slice(ciphertext);
            }
            Slot::Tomb { leaf, hash } => {
                out[..2].copy_from_slice(&[TOMB, SLOT_VERSION]);
                out[8..16].copy_from_slice(&leaf.to_be_bytes());
                out[16..48].copy_from_slice(hash);
            }
        }
        out
    }
    fn parse(cursor: &mut Cursor<'_>) -> Result<Slot, Malformed> {
        let state = cursor.u8()?;
        cursor.expect(&[SLOT_VERSION], "slot of an unknown version")?;
        match state {
            LIVE => {
                cursor.zeros(14)?;
                Ok(Slot::Live(cursor.array()?))
            }
            TOMB => {
                cursor.zeros(6)?;
                let slot = Slot::Tomb { leaf: cursor.u64()?, hash: cursor.array()? };
                cursor.zeros(16)?;
                Ok(slot)
            }
            _ => Err(Malformed("slot neither live nor tomb")),
        }
    }
    /// SHA-256 of the live slot, also after it is gone.
    pub fn hash(&self) -> Digest {
        match self {
            Slot::Live(_) => sha256(&self.encode()),
            Slot::Tomb { hash, .. } => *hash,
        }
    }
}

/// One version of a segment's key object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyObject {
    /// The archive.
    pub archive: ArchiveId,
    /// The segment.
    pub segment: SegmentId,
    /// Message units; their slots come first.
    pub messages: u32,
    /// Event units.
    pub events: u32,
    /// 1 when sealed; each replacement adds 1.
    pub object_generation: u32,
    /// The segment key, for each generation of the archive key that can open it.
    pub wraps: Vec<Wrap>,
    /// One per unit.
    pub slots: Vec<Slot>,
}

impl KeyObject {
    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(self.archive.octets());
        out.extend_from_slice(self.segment.octets());
        for number in [self.messages, self.events, self.object_generation] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&(self.wraps.len() as u16).to_be_bytes());
        for wrap in &self.wraps {
            out.extend_from_slice(&wrap.generation.to_be_bytes());
            out.extend_from_slice(&(wrap.sealed.len() as u16).to_be_bytes());
            out.extend_from_slice(&wrap.sealed);
        }
        out.extend(self.slots.iter().flat_map(Slot::encode));
        out.extend_from_slice(&self.root());
        let check = sha256(&out);
        out.extend_from_slice(&check);
        out
    }

    /// Reads one; every octet is checked by the last hash.
    pub fn parse(octets: &[u8]) -> Result<KeyObject, Malformed> {
        let (content, check) = octets.split_last_chunk::<32>().ok_or(Malformed("cut short"))?;
        if sha256(content) != *check {
            return Err(Malformed("its own hash does not hold"));
        }
        let mut cursor = Cursor::new(content);
        let mut object = KeyObject::parse_head(&mut cursor)?;
        for _ in 0..object.messages + object.events {
            object.slots.push(Slot::parse(&mut cursor)?);
        }
        cursor.expect(&object.root(), "slot root does not hold")?;
        cursor.end()?;
        Ok(object)
    }

    fn parse_head(cursor: &mut Cursor<'_>) -> Result<KeyObject, Malformed> {
        cursor.expect(MAGIC, "no key object")?;
        cursor.expect(&VERSION.to_be_bytes(), "key object of an unknown version")?;
        cursor.zeros(2)?;
        let archive = ArchiveId::from_octets(cursor.array()?);
        let segment = SegmentId::from_octets(cursor.array()?);
        let (messages, events, object_generation) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let units = u64::from(messages) + u64::from(events);
        if units > UNITS_MAX as u64 {
            return Err(Malformed("too many units"));
        }
        let wraps = parse_wraps(cursor)?;
        let slots = Vec::with_capacity(units as usize);
        Ok(KeyObject { archive, segment, messages, events, object_generation, wraps, slots })
    }

    /// Over the hashes of all live slots, in order.
    pub fn root(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(b"sealpost slot root 1");
        hasher.update(self.segment.octets());
        for slot in &self.slots {
            hasher.update(&slot.hash());
        }
        hasher.finish()
    }
}

fn parse_wraps(cursor: &mut Cursor<'_>) -> Result<Vec<Wrap>, Malformed> {
    let count = usize::from(cursor.u16()?);
    if count > WRAPS_MAX {
        return Err(Malformed("too many wraps"));
    }
    let mut wraps = Vec::with_capacity(count);
    for _ in 0..count {
        let generation = cursor.u32()?;
        let length = usize::from(cursor.u16()?);
        if length > WRAP_BYTES_MAX {
            return Err(Malformed("wrap is too long"));
        }
        wraps.push(Wrap { generation, sealed: cursor.take(length)?.to_vec() });
    }
    Ok(wraps)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An object with a live slot and a tomb.
    pub fn sample() -> KeyObject {
        KeyObject {
            archive: ArchiveId::from_octets([1; 16]),
            segment: SegmentId::from_octets([2; 16]),
            messages: 1,
            events: 1,
            object_generation: 1,
            wraps: vec![Wrap { generation: 1, sealed: vec![7; 100] }],
            slots: vec![Slot::Live([3; 48]), Slot::Tomb { leaf: 9, hash: [4; 32] }],
        }
    }

    #[test]
    fn an_object_reads_back_and_no_bit_of_it_can_change() {
        let octets = sample().encode();
        assert_eq!(KeyObject::parse(&octets), Ok(sample()));
        for at in 0..octets.len() {
            let mut bent = octets.clone();
            bent[at] ^= 0x10;
            assert!(KeyObject::parse(&bent).is_err(), "octet {at}");
            assert!(KeyObject::parse(&octets[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_tomb_keeps_the_root() {
        let mut object = sample();
        let root = object.root();
        object.slots[0] = Slot::Tomb { leaf: 12, hash: object.slots[0].hash() };
        assert_eq!(object.root(), root);
        assert_eq!(KeyObject::parse(&object.encode()), Ok(object));
    }

    #[test]
    fn counts_are_bounded() {
        let mut object = sample();
        object.messages = UNITS_MAX as u32;
        assert_eq!(KeyObject::parse(&object.encode()), Err(Malformed("too many units")));
        object = sample();
        object.wraps = vec![object.wraps[0].clone(); WRAPS_MAX + 1];
        assert_eq!(KeyObject::parse(&object.encode()), Err(Malformed("too many wraps")));
    }
}
