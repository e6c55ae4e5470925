//! The Merkle tree of RFC 6962 in C2SP tlog-tiles form: tiles of 256 hashes, and bundles of entries. Computes; never touches
//! the disk.

use super::cursor::{Cursor, Malformed};
use crate::crypto::Digest;
use tlog_tiles::{EMPTY_HASH, Hash, Tile, node_hash, record_hash};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: usize = 256;
const HEIGHT: u32 = 8;
/// Octets of a leaf, because its length stands in 16 bits.
pub const LEAF_BYTES_MAX: usize = 65_535;
/// Octets of the longest bundle.
pub const BUNDLE_BYTES_MAX: u64 = (WIDTH * (LEAF_BYTES_MAX + 2)) as u64;

/// A tree of some size as checkpoints state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub struct TreeHead {
    /// Leaves in it.
    #[n(0)]
    pub size: u64,
    /// Its root.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub root: Digest,
}

/// RFC 6962 hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    record_hash(leaf).0
}

/// The right edge of a growing tree: per level the hashes of the tile that is not full yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Digest>>,
}

impl Edge {
    /// From the partial tiles of a tree of `size`, as `widths` says; lower levels first.
    pub fn from_tiles(size: u64, levels: Vec<Vec<Digest>>) -> Result<Edge, Malformed> {
        let fits = widths(size).iter().eq(levels.iter().map(Vec::len).collect::<Vec<_>>().iter());
        if fits { Ok(Edge { size, levels }) } else { Err(Malformed("tiles of another tree size")) }
    }
    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }
    /// Adds a leaf's hash; `full` gets level, number and hashes of each tile that this fills.
    pub fn push(&mut self, leaf: Digest, mut full: impl FnMut(u8, u64, &[Digest])) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.push(Vec::new());
            }
            let tile = &mut self.levels[level];
            tile.push(hash);
            if tile.len() < WIDTH {
                return;
            }
            let number = (self.size >> (HEIGHT * (level as u32 + 1))) - 1;
            full(level as u8, number, tile);
            hash = subtree(tile);
            tile.clear();
        }
    }
    /// The tiles that are not full: level, number, hashes; empty ones left out.
    pub fn partial(&self) -> impl Iterator<Item = (u8, u64, &[Digest])> {
        let number = |level: usize| self.size.checked_shr(HEIGHT * (level as u32 + 1)).unwrap_or(0);
        let levels = self.levels.iter().enumerate().filter(|(_, tile)| !tile.is_empty());
        levels.map(move |(level, tile)| (level as u8, number(level), tile.as_slice()))
    }
    /// Size and root.
    pub fn head(&self) -> TreeHead {
        let mut root: Option<Hash> = None;
        for tile in &self.levels {
            let mut end = tile.len();
            for bit in 0..HEIGHT {
                if end & (1 << bit) == 0 {
                    continue;
                }
                let start = end - (1 << bit);
                let left = Hash(subtree(&tile[start..end]));
                root = Some(root.map_or(left, |right| node_hash(left, right)));
                end = start;
            }
        }
        TreeHead { size: self.size, root: root.unwrap_or(EMPTY_HASH).0 }
    }
}

/// Hash over a power of two of hashes.
fn subtree(hashes: &[Digest]) -> Digest {
    Tile::subtree_hash(&hashes.concat()).0
}

/// Hashes in the partial tile of each level for a tree of `size`, lowest level first; the number of levels is that of an `Edge`.
pub fn widths(size: u64) -> Vec<usize> {
    let mut widths = Vec::new();
    let mut rest = size;
    while rest > 0 {
        widths.push((rest % WIDTH as u64) as usize);
        rest /= WIDTH as u64;
    }
    widths
}

/// A tile's octets as hashes.
pub fn parse_tile(octets: &[u8], width: usize) -> Result<Vec<Digest>, Malformed> {
    let (hashes, rest) = octets.as_chunks::<32>();
    if rest.is_empty() && hashes.len() == width {
        Ok(hashes.to_vec())
    } else {
        Err(Malformed("tile of another length"))
    }
}

/// A bundle's octets.
pub fn encode_bundle(leaves: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(leaves.iter().map(|l| l.len() + 2).sum());
    for leaf in leaves {
        // The journal refuses longer leaves; a longer one here would be caught by the root.
        out.extend_from_slice(&u16::try_from(leaf.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(leaf);
    }
    out
}

/// The `width` leaves of a bundle.
pub fn parse_bundle(octets: &[u8], width: usize) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut cursor = Cursor::new(octets);
    let mut leaves = Vec::with_capacity(width.min(WIDTH));
    for _ in 0..width.min(WIDTH) {
        let length = usize::from(cursor.u16()?);
        leaves.push(cursor.take(length)?.to_vec());
    }
    cursor.end()?;
    Ok(leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog_tiles::{Error, HashReader, stored_hashes, tree_hash};

    struct Stored(Vec<Hash>);
    impl HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
            Ok(indexes.iter().map(|&i| self.0[i as usize]).collect())
        }
    }

    #[test]
    fn every_size_has_the_root_that_tlog_tiles_computes() {
        let (mut edge, mut oracle) = (Edge::default(), Stored(Vec::new()));
        let mut filled = Vec::new();
        for n in 0..70_000u64 {
            let leaf = n.to_be_bytes();
            edge.push(leaf_hash(&leaf), |level, number, hashes| filled.push((level, number, hashes.len())));
            let new = stored_hashes(n, &leaf, &oracle).expect("hashes");
            oracle.0.extend(new);
            if n < 600 || n % 997 == 0 || n > 65_500 && n < 65_600 {
                assert_eq!(edge.head().root, tree_hash(n + 1, &oracle).expect("root").0, "size {}", n + 1);
                assert_eq!(widths(n + 1), edge.levels.iter().map(Vec::len).collect::<Vec<_>>());
                let again = Edge::from_tiles(n + 1, edge.levels.clone()).expect("an edge");
                assert_eq!(again, edge);
            }
        }
        assert_eq!(filled[0], (0, 0, 256));
        assert!(filled.contains(&(1, 0, 256)), "65,536 leaves fill a tile of level 1");
        assert_eq!(Edge::default().head().root, EMPTY_HASH.0);
    }

    #[test]
    fn bundles_are_read_whole_or_not_at_all() {
        let leaves = vec![vec![1, 2, 3], vec![], vec![9; 300]];
        let octets = encode_bundle(&leaves);
        assert_eq!(parse_bundle(&octets, 3), Ok(leaves));
        assert!(parse_bundle(&octets, 2).is_err());
        assert!(parse_bundle(&octets, 4).is_err());
        assert!(parse_bundle(&octets[..octets.len() - 1], 3).is_err());
        assert!(
            parse_tile(&[0; 64], 2).is_ok() && parse_tile(&[0; 65], 2).is_err() && parse_tile(&[0; 32], 2).is_err()
        );
    }
}
