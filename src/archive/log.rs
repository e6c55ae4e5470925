//! The evidence log on disk: tiles, bundles and the signed checkpoint (C2SP tlog-tiles). Append-only: a tile once full never
//! changes, and a checkpoint is signed only over tiles that are durable.

use super::Error;
use super::checkpoint::NOTE_BYTES_MAX;
use super::checkpoint::Signer;
use super::checkpoint::Verifier;
use super::cursor::Malformed;
use super::files;
use super::layout::Layout;
use super::tile;
use super::tile::BUNDLE_BYTES_MAX;
use super::tile::Edge;
use super::tile::TreeHead;
use super::tile::WIDTH;
use crate::crypto::Digest;
use crate::durable;
use crate::durable::Disk;
use std::path::{Path, PathBuf};

/// The log as of its newest checkpoint: what is needed to append to it.
#[derive(Clone, Debug)]
pub struct Log {
    edge: Edge,
    /// Leaves of the bundle that is not full.
    bundle: Vec<Vec<u8>>,
}

impl Log {
    /// A log without leaves, on disk only after the first `extend`.
    pub fn empty() -> Log {
        Log { edge: Edge::default(), bundle: Vec::new() }
    }

    /// Reads the checkpoint and the right edge, and checks the one against the other.
    pub fn load(disk: &dyn Disk, layout: &Layout, verifier: &Verifier) -> Result<Log, Error> {
        let path = layout.checkpoint();
        let damaged = |what: Malformed| Error::damaged(layout.name(&path), what);
        let note = read(disk, layout, &path, NOTE_BYTES_MAX)?;
        let head = verifier.open(&note).map_err(damaged)?;
        let widths = tile::widths(head.size);
        let mut levels = Vec::with_capacity(widths.len());
        for (level, width) in (0u8..).zip(&widths) {
            let number = head.size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
            levels.push(read_tile(disk, layout, level, number, *width)?);
        }
        let edge = Edge::from_tiles(head.size, levels).map_err(damaged)?;
        if edge.head() != head {
            return Err(damaged(Malformed("the tiles have another root")));
        }
        let width = widths.first().copied().unwrap_or(0);
        let bundle = read_bundle(disk, layout, head.size / WIDTH as u64, width)?;
        Ok(Log { edge, bundle })
    }

    /// Size and root, as signed.
    pub fn head(&self) -> TreeHead {
        self.edge.head()
    }
    /// Leaves in it.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Appends leaves: tiles first, then the checkpoint that covers them. On an error the log is as before, in memory and, after
    /// the next `load`, on disk.
    pub fn extend(
        &mut self,
        disk: &dyn Disk,
        layout: &Layout,
        signer: &Signer,
        leaves: Vec<Vec<u8>>,
    ) -> Result<(), Error> {
        let before = self.size();
        let (next, new) = self.grown(layout, leaves);
        files::write_new(disk, &new).map_err(|e| Error::io("log/tile", e))?;
        let path = layout.checkpoint();
        let note = signer.sign(&next.head());
        // crash point log-5: written; crash point log-6: synced; crash point log-7: named; crash point log-8: its directory synced.
        durable::replace(disk, &path, note.as_bytes()).map_err(|e| Error::io(layout.name(&path), e))?;
        // The log has them from here. The former edge serves no tree any more; what a crash leaves of it is harmless.
        *self = next;
        for path in self.outlived(layout, before) {
            // crash point log-9
            files::remove_if_there(disk, &path).map_err(|e| Error::io(layout.name(&path), e))?;
        }
        Ok(())
    }

    /// The log with `leaves` behind, and the files that makes.
    fn grown(&self, layout: &Layout, leaves: Vec<Vec<u8>>) -> (Log, Vec<(PathBuf, Vec<u8>)>) {
        let (mut next, mut new) = (self.clone(), Vec::new());
        for leaf in leaves {
            let number = next.size() / WIDTH as u64;
            next.edge.push(tile::leaf_hash(&leaf), |level, number, hashes| {
                new.push((layout.tile(level, number, WIDTH), hashes.concat()));
            });
            next.bundle.push(leaf);
            if next.bundle.len() == WIDTH {
                new.push((layout.bundle(number, WIDTH), tile::encode_bundle(&next.bundle)));
                next.bundle.clear();
            }
        }
        for (level, number, hashes) in next.edge.partial() {
            new.push((layout.tile(level, number, hashes.len()), hashes.concat()));
        }
        if !next.bundle.is_empty() {
            let path = layout.bundle(next.size() / WIDTH as u64, next.bundle.len());
            new.push((path, tile::encode_bundle(&next.bundle)));
        }
        (next, new)
    }

    /// Partial tiles of the tree of size `before` that this tree does not use.
    fn outlived(&self, layout: &Layout, before: u64) -> Vec<PathBuf> {
        let (old, new) = (partial_files(layout, before), partial_files(layout, self.size()));
        old.into_iter().filter(|path| !new.contains(path)).collect()
    }
}

/// The partial tiles and the partial bundle of a tree of `size`.
fn partial_files(layout: &Layout, size: u64) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for (level, width) in (0u8..).zip(tile::widths(size)) {
        let number = size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
        if width > 0 {
            paths.push(layout.tile(level, number, width));
        }
        if width > 0 && level == 0 {
            paths.push(layout.bundle(number, width));
        }
    }
    paths
}

/// The `width` hashes of a tile.
pub fn read_tile(disk: &dyn Disk, layout: &Layout, level: u8, number: u64, width: usize) -> Result<Vec<Digest>, Error> {
    let path = |width| layout.tile(level, number, width);
    read_grown(disk, layout, width, path, (WIDTH * 32) as u64, tile::parse_tile)
}

/// The `width` leaves of a bundle.
pub fn read_bundle(disk: &dyn Disk, layout: &Layout, number: u64, width: usize) -> Result<Vec<Vec<u8>>, Error> {
    let path = |width| layout.bundle(number, width);
    read_grown(disk, layout, width, path, BUNDLE_BYTES_MAX, tile::parse_bundle)
}

/// Times that the edge of the log is looked for while it moves on.
const LOOKS_MAX: usize = 8;

/// A file of `width` items, or as many of the wider one that has taken its place: who reads an earlier tree beside a gateway that
/// seals finds its edge pruned, and the log only grows (C2SP tlog-tiles, partial tiles).
fn read_grown<T>(
    disk: &dyn Disk,
    layout: &Layout,
    width: usize,
    path: impl Fn(usize) -> PathBuf,
    most: u64,
    parse: impl Fn(&[u8], usize) -> Result<Vec<T>, Malformed>,
) -> Result<Vec<T>, Error> {
    if width == 0 {
        return Ok(Vec::new());
    }
    let mut missing = None;
    for _ in 0..LOOKS_MAX {
        for wide in [width].into_iter().chain(wider(disk, &path(width), width)) {
            let path = path(wide);
            let octets = match read(disk, layout, &path, most) {
                Ok(octets) => octets,
                Err(e) if is_absent(&e) => {
                    // The first is the one that the tree names.
                    missing.get_or_insert(e);
                    continue;
                }
                Err(e) => return Err(e),
            };
            let mut items = parse(&octets, wide).map_err(|what| Error::damaged(layout.name(&path), what))?;
            items.truncate(width);
            return Ok(items);
        }
        if wider(disk, &path(width), width).len() <= 1 {
            break;
        }
    }
    Err(missing.unwrap_or(Error::Bug("a tile that is neither there nor absent")))
}

/// Widths above `width` that may stand where `path` stood: those of partial files there, and the full one.
fn wider(disk: &dyn Disk, path: &Path, width: usize) -> Vec<usize> {
    let names = path.parent().and_then(|dir| disk.list(dir).ok()).unwrap_or_default();
    let mut widths: Vec<usize> = names.iter().filter_map(|name| name.parse().ok()).collect();
    widths.push(WIDTH);
    widths.retain(|wide| *wide > width && *wide <= WIDTH);
    widths
}

fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

/// Reads single leaves of a log of some size, keeping the last bundle.
pub struct Leaves<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    size: u64,
    bundle: Option<(u64, Vec<Vec<u8>>)>,
}

impl<'a> Leaves<'a> {
    /// Of the log at `layout`, which has `size` leaves.
    pub fn new(disk: &'a dyn Disk, layout: &'a Layout, size: u64) -> Leaves<'a> {
        Leaves { disk, layout, size, bundle: None }
    }
    /// The leaf at `index`; `None` behind the end.
    pub fn get(&mut self, index: u64) -> Result<Option<&[u8]>, Error> {
        if index >= self.size {
            return Ok(None);
        }
        let number = index / WIDTH as u64;
        if self.bundle.as_ref().is_none_or(|(have, _)| *have != number) {
            let width = bundle_width(self.size, number);
            self.bundle = Some((number, read_bundle(self.disk, self.layout, number, width)?));
        }
        let at = (index % WIDTH as u64) as usize;
        Ok(self.bundle.as_ref().and_then(|(_, leaves)| leaves.get(at)).map(Vec::as_slice))
    }
}

/// The head that a log of `size` leaves had when it had `earlier`.
pub fn head_at(disk: &dyn Disk, layout: &Layout, size: u64, earlier: u64) -> Result<TreeHead, Error> {
    let mut levels = Vec::new();
    for (level, width) in (0u8..).zip(tile::widths(earlier)) {
        let number = earlier.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
        let now = bundle_width(size.checked_shr(8 * u32::from(level)).unwrap_or(0), number);
        let mut hashes = if width == 0 { Vec::new() } else { read_tile(disk, layout, level, number, now)? };
        hashes.truncate(width);
        levels.push(hashes);
    }
    let edge = Edge::from_tiles(earlier, levels).map_err(|what| Error::damaged("log/tile", what))?;
    Ok(edge.head())
}

/// Leaves in bundle `number` of a log of `size`.
pub fn bundle_width(size: u64, number: u64) -> usize {
    size.saturating_sub(number.saturating_mul(WIDTH as u64)).min(WIDTH as u64) as usize
}

fn read(disk: &dyn Disk, layout: &Layout, path: &Path, most: u64) -> Result<Vec<u8>, Error> {
    files::read(disk, path, most).map_err(|e| Error::io(layout.name(path), e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::layout::ArchiveId;
    use crate::crypto::Secret;
    use crate::durable::RealDisk;

    #[test]
    fn a_log_read_back_is_the_log_that_was_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        let signer = Signer::new(&ArchiveId::from_octets([7; 16]), &Secret::new([1; 32])).expect("a signer");
        let leaf = |n: u64| n.to_string().into_bytes();
        let mut log = Log::empty();
        let mut heads = vec![log.head()];
        for step in [1, 1, 253, 1, 1, 256, 511, 3] {
            let leaves = (log.size()..log.size() + step).map(leaf).collect();
            log.extend(&RealDisk, &layout, &signer, leaves).expect("extended");
            let back = Log::load(&RealDisk, &layout, signer.verifier()).expect("loaded");
            assert_eq!((back.head(), &back.bundle), (log.head(), &log.bundle));
            heads.push(log.head());
        }
        let mut leaves = Leaves::new(&RealDisk, &layout, log.size());
        for index in [0, 255, 256, 1000, 1026] {
            assert_eq!(leaves.get(index).expect("read"), Some(&leaf(index)[..]));
        }
        assert_eq!(leaves.get(1027).expect("read"), None);
        for head in heads {
            assert_eq!(head_at(&RealDisk, &layout, log.size(), head.size).expect("read"), head);
        }
        let early = read_tile(&RealDisk, &layout, 0, 4, 1).expect("in the wider tile");
        assert_eq!(early, [tile::leaf_hash(&leaf(1024))], "who reads an earlier tree finds its edge");
        assert!(read_tile(&RealDisk, &layout, 0, 4, 4).is_err() && read_bundle(&RealDisk, &layout, 5, 1).is_err());
        let partial = RealDisk.list(&dir.path().join("log/tile/0/004.p")).expect("list");
        assert_eq!(partial, ["3"], "outlived partial tiles are gone");
    }
}
