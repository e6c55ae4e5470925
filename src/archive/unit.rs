//! Units: one message's octets and meta, each its own zstd frame and its own committed AEAD stream under keys derived from
//! the message key. Never shares compression state or keys between messages.

use super::Error;
use super::cursor::Malformed;
use super::layout::ArchiveId;
use super::layout::SegmentId;
use crate::crypto;
use crate::crypto::Digest;
use crate::crypto::Secret;
use crate::crypto::aead;
use crate::crypto::kdf;
use crate::crypto::random;
use crate::crypto::stream;
use std::cell::RefCell;
use std::io;

/// Units of a segment at most.
pub const UNITS_MAX: usize = 65_536;
/// Octets of a message at most.
pub const BODY_BYTES_MAX: u64 = 1 << 30;
/// Octets of a meta at most, before compression.
pub const META_BYTES_MAX: u64 = 32 << 20;
/// Octets of a slot's ciphertext: the message key and the tag.
pub const SLOT_CIPHERTEXT_BYTES: usize = 32 + aead::TAG_BYTES;
const SLOT_VERSION: u8 = 1;
const LEVEL: i32 = 3;

/// The key of one segment, from which its directory, its slots and its commitment have theirs. Never used directly.
#[derive(Clone, Debug)]
pub struct SegmentKey {
    key: Secret<32>,
    segment: SegmentId,
}

impl SegmentKey {
    /// A new key for a new segment.
    pub fn generate(segment: SegmentId) -> Result<SegmentKey, crypto::Error> {
        Ok(SegmentKey { key: random::hedged("segment key", &[segment.octets()])?, segment })
    }
    /// The key a wrap held.
    pub fn new(key: Secret<32>, segment: SegmentId) -> SegmentKey {
        SegmentKey { key, segment }
    }
    /// Its octets, for the call that wraps them.
    pub fn expose(&self) -> &[u8; 32] {
        self.key.expose()
    }
    /// Stands in the data object, so that no second key opens it.
    pub fn commitment(&self, archive: &ArchiveId) -> Digest {
        *kdf::derive::<32>(self.expose(), "segment commitment", &[archive.octets(), self.segment.octets()]).expose()
    }
    /// Encrypts the segment's directory, once.
    pub fn directory(&self) -> Secret<32> {
        kdf::derive(self.expose(), "directory", &[self.segment.octets()])
    }
    /// Encrypts the message keys, slot `i` under nonce `i`, each once.
    pub fn slots(&self) -> SlotKey {
        SlotKey { key: kdf::derive(self.expose(), "slots", &[self.segment.octets()]), segment: self.segment }
    }
}

/// Encrypts message keys into slots.
pub struct SlotKey {
    key: Secret<32>,
    segment: SegmentId,
}

impl SlotKey {
    fn aad(&self, slot: u32) -> Vec<u8> {
        [&self.segment.octets()[..], &slot.to_be_bytes(), &[SLOT_VERSION]].concat()
    }
    /// Ciphertext and tag of a message key.
    pub fn seal(&self, slot: u32, mek: &Secret<32>) -> Vec<u8> {
        aead::seal(&self.key, &aead::counter_nonce(u64::from(slot)), &self.aad(slot), mek.expose())
    }
    /// The message key in a slot.
    pub fn open(&self, slot: u32, sealed: &[u8]) -> Result<Secret<32>, crypto::Error> {
        let mek = aead::open(&self.key, &aead::counter_nonce(u64::from(slot)), &self.aad(slot), sealed)?;
        Secret::from_slice(&mek).ok_or(crypto::Error::Malformed("message key"))
    }
}

/// The parts of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The octets received.
    Body,
    /// What is known about them.
    Meta,
}

/// A unit's place: its keys are bound to it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The segment.
    pub segment: SegmentId,
    /// The slot.
    pub slot: u32,
}

impl Place {
    /// The key of one part: encrypts one stream, because segment ids never repeat.
    fn key(&self, mek: &Secret<32>, part: Part) -> Secret<32> {
        let label = match part {
            Part::Body => "body",
            Part::Meta => "meta",
        };
        kdf::derive(mek.expose(), label, &[self.segment.octets(), &self.slot.to_be_bytes()])
    }
    fn aad(&self) -> Vec<u8> {
        [&self.segment.octets()[..], &self.slot.to_be_bytes()].concat()
    }
    /// Decrypts and decompresses a part of at most `most` octets.
    pub fn open(&self, mek: &Secret<32>, part: Part, sealed: &[u8], most: u64) -> Result<Vec<u8>, Error> {
        let frame = stream::open(&self.key(mek, part), &self.aad(), sealed)?;
        decompress(&frame, most).map_err(|what| Error::damaged(format!("unit {} of {}", self.slot, self.segment), what))
    }
}

/// The octets of one zstd frame that says how many they are, at most `most`.
pub fn decompress(frame: &[u8], most: u64) -> Result<Vec<u8>, Malformed> {
    let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten().ok_or(Malformed("no zstd frame"))?;
    let size = usize::try_from(size).ok().filter(|_| size <= most).ok_or(Malformed("more octets than allowed"))?;
    let octets = decompressed(frame, size).map_err(|_| Malformed("zstd frame does not decompress"))?;
    if octets.len() == size { Ok(octets) } else { Err(Malformed("zstd frame of another length")) }
}

thread_local! {
    /// Its memory is reused, never its state: every frame starts afresh. To make it takes longer than to read a small message with it.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompressed(frame: &[u8], size: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress(frame, size)
    })
}

/// Compresses and encrypts parts. The compressor's memory is reused, never its state: every frame starts afresh.
pub struct Sealer {
    compressor: zstd::bulk::Compressor<'static>,
}

impl Sealer {
    /// A sealer at our compression level.
    pub fn new() -> io::Result<Sealer> {
        Ok(Sealer { compressor: zstd::bulk::Compressor::new(LEVEL)? })
    }
    /// The stored form of a part.
    pub fn seal(&mut self, place: &Place, mek: &Secret<32>, part: Part, octets: &[u8]) -> io::Result<Vec<u8>> {
        let frame = self.compressor.compress(octets)?;
        Ok(stream::seal(&place.key(mek, part), &place.aad(), &frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(slot: u32) -> Place {
        Place { segment: SegmentId::from_octets([1; 16]), slot }
    }

    #[test]
    fn a_part_opens_only_as_itself_in_its_place() {
        let mek = Secret::new([2; 32]);
        let sealed = Sealer::new().expect("zstd").seal(&place(3), &mek, Part::Body, b"octets").expect("sealed");
        assert_eq!(place(3).open(&mek, Part::Body, &sealed, 6).expect("opened"), b"octets");
        assert!(place(4).open(&mek, Part::Body, &sealed, 6).is_err());
        assert!(place(3).open(&mek, Part::Meta, &sealed, 6).is_err());
        assert!(place(3).open(&Secret::new([3; 32]), Part::Body, &sealed, 6).is_err());
        assert!(place(3).open(&mek, Part::Body, &sealed, 5).is_err(), "over the bound");
    }

    #[test]
    fn a_units_size_does_not_depend_on_other_messages() {
        let mek = Secret::new([2; 32]);
        let text: Vec<u8> = (0..4000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let mut sealer = Sealer::new().expect("zstd");
        let alone = sealer.seal(&place(0), &mek, Part::Body, &text).expect("sealed");
        sealer.seal(&place(1), &mek, Part::Body, &text).expect("sealed");
        let after = sealer.seal(&place(0), &mek, Part::Body, &text).expect("sealed");
        assert_eq!(alone, after);
    }

    #[test]
    fn slots_are_bound_to_segment_and_number() {
        let key = SegmentKey::generate(SegmentId::from_octets([1; 16])).expect("a key");
        let sealed = key.slots().seal(5, &Secret::new([9; 32]));
        assert_eq!(sealed.len(), SLOT_CIPHERTEXT_BYTES);
        assert_eq!(key.slots().open(5, &sealed), Ok(Secret::new([9; 32])));
        assert!(key.slots().open(6, &sealed).is_err());
        let moved = SegmentKey::new(Secret::new(*key.expose()), SegmentId::from_octets([2; 16]));
        assert!(moved.slots().open(5, &sealed).is_err());
        assert_ne!(
            moved.commitment(&ArchiveId::from_octets([0; 16])),
            key.commitment(&ArchiveId::from_octets([0; 16]))
        );
    }

    #[test]
    fn frames_without_a_size_or_with_a_lie_are_refused() {
        for bad in [&b""[..], b"nonsense", &[0x28, 0xb5, 0x2f, 0xfd]] {
            assert!(decompress(bad, 100).is_err());
        }
        let frame = zstd::bulk::compress(&[0; 1000], 3).expect("compressed");
        assert!(decompress(&frame, 999).is_err() && decompress(&frame, 1000).is_ok());
        assert!(decompress(&frame[..frame.len() - 1], 1000).is_err());
        assert!(
            decompress(&frame, 1000).is_ok_and(|octets| octets == [0; 1000]),
            "one that failed leaves nothing behind"
        );
    }
}
