//! Where the files of an archive lie. Names only; never touches the disk.

use super::cursor::Malformed;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::hash;
use minicbor::{Decode, Encode};
use std::path::{Path, PathBuf};

/// A segment: 48 bits of the milliseconds it was begun, 80 random bits. A new one for every sealing attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct SegmentId(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    [u8; 16],
);

/// One archive, for ever: 16 random octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct ArchiveId(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    [u8; 16],
);

/// A legal hold: 16 random octets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct HoldId(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    [u8; 16],
);

impl HoldId {
    /// From its octets.
    pub fn from_octets(octets: [u8; 16]) -> HoldId {
        HoldId(octets)
    }
    /// Its octets.
    pub fn octets(&self) -> &[u8; 16] {
        &self.0
    }
    /// Reads 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<HoldId> {
        let id = hash::unhex(text).and_then(|o| o.try_into().ok()).map(HoldId)?;
        (id.to_string() == text).then_some(id)
    }
}

impl SegmentId {
    /// An id for a segment begun now.
    pub fn new(now: Timestamp, random: [u8; 10]) -> SegmentId {
        let mut octets = [0; 16];
        octets[..6].copy_from_slice(&now.ms().to_be_bytes()[2..]);
        octets[6..].copy_from_slice(&random);
        SegmentId(octets)
    }
    /// From its octets.
    pub fn from_octets(octets: [u8; 16]) -> SegmentId {
        SegmentId(octets)
    }
    /// Its octets.
    pub fn octets(&self) -> &[u8; 16] {
        &self.0
    }
    /// Reads 32 lower-case hex digits.
    pub fn parse(text: &str) -> Result<SegmentId, Malformed> {
        let octets = hash::unhex(text).and_then(|o| o.try_into().ok()).map(SegmentId);
        octets.filter(|id| id.to_string() == text).ok_or(Malformed("no segment id"))
    }
}

impl ArchiveId {
    /// From its octets.
    pub fn from_octets(octets: [u8; 16]) -> ArchiveId {
        ArchiveId(octets)
    }
    /// Its octets.
    pub fn octets(&self) -> &[u8; 16] {
        &self.0
    }
    /// The log's origin line and key name.
    pub fn origin(&self) -> String {
        format!("sealpost/{self}")
    }
}

impl std::fmt::Display for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hash::hex(&self.0))
    }
}
impl std::fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentId({self})")
    }
}
impl std::fmt::Display for HoldId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hash::hex(&self.0))
    }
}
impl std::fmt::Debug for HoldId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HoldId({self})")
    }
}
impl std::fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hash::hex(&self.0))
    }
}
impl std::fmt::Debug for ArchiveId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArchiveId({self})")
    }
}

/// The directory of one archive.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Of the archive in `root`.
    pub fn new(root: &Path) -> Layout {
        Layout { root: root.to_owned() }
    }
    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The descriptor.
    pub fn descriptor(&self) -> PathBuf {
        self.root.join("archive")
    }
    /// The sealed log key.
    pub fn log_key(&self) -> PathBuf {
        self.root.join("keys/log")
    }
    /// One generation of the archive key.
    pub fn generation(&self, number: u32) -> PathBuf {
        self.root.join(format!("keys/generation-{number}"))
    }
    /// Where those lie.
    pub fn key_files(&self) -> PathBuf {
        self.root.join("keys")
    }
    /// Where a generation's KEY leaf stands, as a hint.
    pub fn key_leaf(&self, number: u32) -> PathBuf {
        self.root.join(format!("keys/leaf-{number}"))
    }
    /// The log's verifier key.
    pub fn vkey(&self) -> PathBuf {
        self.root.join("log/vkey")
    }
    /// The newest checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.root.join("log/checkpoint")
    }
    /// A hash tile (C2SP tlog-tiles): `width` hashes, 256 when full.
    pub fn tile(&self, level: u8, number: u64, width: usize) -> PathBuf {
        self.root.join(format!("log/tile/{level}/{}", tile_number(number, width)))
    }
    /// An entry bundle.
    pub fn bundle(&self, number: u64, width: usize) -> PathBuf {
        self.root.join(format!("log/tile/entries/{}", tile_number(number, width)))
    }
    /// A segment's cover file.
    pub fn cover(&self, segment: &SegmentId) -> PathBuf {
        self.covers().join(segment.to_string())
    }
    /// Where all cover files lie.
    pub fn covers(&self) -> PathBuf {
        self.root.join("log/cover")
    }
    /// What was witnessed of checkpoints.
    pub fn anchors(&self) -> PathBuf {
        self.root.join("log/anchors")
    }
    /// A checkpoint of this tree size that was witnessed.
    pub fn anchored(&self, size: u64) -> PathBuf {
        self.anchors().join(format!("{size}.checkpoint"))
    }
    /// Its time stamp.
    pub fn stamp(&self, size: u64) -> PathBuf {
        self.anchors().join(format!("{size}.tsr"))
    }
    /// A segment's data object.
    pub fn data(&self, segment: &SegmentId) -> PathBuf {
        self.segments().join(format!("{segment}.data"))
    }
    /// Where data objects and the first key objects lie.
    pub fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }
    /// A segment's key object, both copies.
    pub fn keys(&self, segment: &SegmentId) -> [PathBuf; 2] {
        let name = format!("{segment}.keys");
        [self.segments().join(&name), self.key_copies().join(&name)]
    }
    /// Where the second key objects lie.
    pub fn key_copies(&self) -> PathBuf {
        self.root.join("key-copies")
    }
    /// Where holds lie.
    pub fn holds(&self) -> PathBuf {
        self.root.join("holds")
    }
    /// What a hold is about.
    pub fn hold(&self, hold: &HoldId) -> PathBuf {
        self.holds().join(hold.to_string())
    }
    /// How far a standing hold has been compared with the archive.
    pub fn hold_seen(&self, hold: &HoldId) -> PathBuf {
        self.holds().join(format!("{hold}.seen"))
    }
    /// A signed order, by its SHA-256.
    pub fn order(&self, order: &Digest) -> PathBuf {
        self.root.join("log/orders").join(hash::hex(order))
    }
    /// Where receipts lie.
    pub fn receipts(&self) -> PathBuf {
        self.root.join("log/receipts")
    }
    /// The receipt of the act whose first leaf has this index.
    pub fn receipt(&self, index: u64) -> PathBuf {
        self.receipts().join(format!("{index}.json"))
    }
    /// A file's name as findings and logs give it: relative to the archive.
    pub fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// C2SP tlog-tiles: three digits per directory, all but the last with an `x`; a partial tile is `.p/<width>`.
fn tile_number(number: u64, width: usize) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    if width < super::tile::WIDTH { format!("{text}.p/{width}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_named_as_c2sp_says() {
        assert_eq!(tile_number(1_234_067, 256), "x001/x234/067");
        assert_eq!(tile_number(1_234_067, 8), "x001/x234/067.p/8");
        assert_eq!(tile_number(0, 1), "000.p/1");
        assert_eq!(tile_number(1000, 256), "x001/000");
    }

    #[test]
    fn segment_ids_have_one_spelling() {
        let id = SegmentId::new(Timestamp::from_ms(1000), [0xab; 10]);
        assert_eq!(SegmentId::parse(&id.to_string()), Ok(id));
        assert!(SegmentId::parse(&id.to_string().to_uppercase()).is_err());
        assert!(SegmentId::parse("00").is_err());
    }
}
