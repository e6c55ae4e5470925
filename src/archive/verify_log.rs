//! Level 0 of the log: every tile and every bundle against the signed root. Two trees are computed, one from the bundles
//! and one from the tiles; the one that has the root tells which file of a disagreeing pair changed.

use super::Error;
use super::layout::Layout;
use super::log;
use super::tile;
use super::tile::Edge;
use super::tile::TreeHead;
use super::tile::WIDTH;
use super::verify::Facts;
use super::verify::FaultKind;
use super::verify::Report;
use super::verify::Seen;
use crate::crypto::Digest;
use crate::durable::Disk;

/// A tree as it grows, and its tiles above the lowest level.
#[derive(Default)]
struct Tree {
    edge: Edge,
    tiles: Vec<(u8, u64, Vec<Digest>)>,
}

impl Tree {
    fn push(&mut self, leaf: Digest) {
        let tiles = &mut self.tiles;
        self.edge.push(leaf, |level, number, hashes| {
            if level > 0 {
                tiles.push((level, number, hashes.to_vec()));
            }
        });
    }
    /// All tiles above the lowest level, the partial ones last.
    fn upper(mut self) -> Vec<(u8, u64, Vec<Digest>)> {
        let partial = self.edge.partial().filter(|(level, ..)| *level > 0);
        let partial: Vec<_> = partial.map(|(level, number, hashes)| (level, number, hashes.to_vec())).collect();
        self.tiles.extend(partial);
        self.tiles
    }
}

/// A leaf whose hash is not the tile's.
struct Disputed {
    index: u64,
    leaf: Vec<u8>,
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    head: TreeHead,
    by_bundles: Tree,
    by_tiles: Tree,
    disputed: Vec<Disputed>,
    /// Some leaf's hash is known from neither file.
    broken: bool,
}

/// Checks the log against its head and takes in its leaves. Whether tiles and bundles are whole.
pub fn verify(disk: &dyn Disk, layout: &Layout, head: &TreeHead, facts: &mut Facts, report: &mut Report) -> bool {
    let before = report.findings.len();
    let (by_bundles, by_tiles) = (Tree::default(), Tree::default());
    let mut walk = Walk { disk, layout, head: *head, by_bundles, by_tiles, disputed: Vec::new(), broken: false };
    for number in 0..head.size.div_ceil(WIDTH as u64) {
        walk.bundle(number, facts, report);
    }
    walk.conclude(facts, report);
    report.findings.len() == before
}

impl Walk<'_> {
    fn bundle(&mut self, number: u64, facts: &mut Facts, report: &mut Report) {
        let width = log::bundle_width(self.head.size, number);
        let first = number * WIDTH as u64;
        let tile = self.read(log::read_tile(self.disk, self.layout, 0, number, width), report);
        let bundle = self.read(log::read_bundle(self.disk, self.layout, number, width), report);
        self.broken |= tile.is_none() && bundle.is_none();
        for (at, index) in (0..width).zip(first..) {
            let leaf = bundle.as_ref().map(|leaves| leaves[at].as_slice());
            let of_leaf = leaf.map(tile::leaf_hash);
            let of_tile = tile.as_ref().map(|hashes| hashes[at]);
            let known = of_leaf.or(of_tile).unwrap_or_default();
            self.by_bundles.push(known);
            self.by_tiles.push(of_tile.unwrap_or(known));
            match leaf {
                Some(leaf) if of_tile.is_none_or(|hash| hash == known) => facts.take(index, leaf, report),
                Some(leaf) => self.disputed.push(Disputed { index, leaf: leaf.to_vec() }),
                None => facts.mark(index, Seen::Unknown),
            }
        }
    }

    fn read<T>(&self, read: Result<T, Error>, report: &mut Report) -> Option<T> {
        read.inspect_err(|e| report.error(0, "log", e)).ok()
    }

    fn conclude(self, facts: &mut Facts, report: &mut Report) {
        let bundles_hold = self.by_bundles.edge.head() == self.head;
        let tiles_hold = self.by_tiles.edge.head() == self.head;
        self.name_disputed(bundles_hold, tiles_hold, facts, report);
        if self.broken {
            return;
        }
        if !bundles_hold && !tiles_hold && self.disputed.is_empty() {
            let detail = "neither tiles nor bundles have the root of the checkpoint";
            report.add(0, "log/tile", FaultKind::Inconsistent, detail);
            return;
        }
        let (disk, layout, size) = (self.disk, self.layout, self.head.size);
        let tree = if bundles_hold || !tiles_hold { self.by_bundles } else { self.by_tiles };
        for (level, number, hashes) in tree.upper() {
            check_tile(disk, layout, size, (level, number), &hashes, report);
        }
    }

    fn name_disputed(&self, bundles_hold: bool, tiles_hold: bool, facts: &mut Facts, report: &mut Report) {
        let mut named = None;
        for Disputed { index, leaf } in &self.disputed {
            let number = index / WIDTH as u64;
            let width = log::bundle_width(self.head.size, number);
            if named != Some(number) {
                let (tile, bundle) = (self.layout.tile(0, number, width), self.layout.bundle(number, width));
                // With the root on neither side, either file may be the one.
                if !tiles_hold || bundles_hold {
                    report.add(0, self.layout.name(&tile), FaultKind::Changed, format!("hash of leaf {index}"));
                }
                if !bundles_hold {
                    report.add(0, self.layout.name(&bundle), FaultKind::Changed, format!("leaf {index}"));
                }
                named = Some(number);
            }
            if bundles_hold {
                facts.take(*index, leaf, report);
            } else {
                facts.mark(*index, Seen::Unknown);
            }
        }
    }
}

fn check_tile(
    disk: &dyn Disk,
    layout: &Layout,
    size: u64,
    (level, number): (u8, u64),
    hashes: &[Digest],
    report: &mut Report,
) {
    debug_assert!(hashes.len() == WIDTH || size >> (8 * (u32::from(level) + 1)) == number);
    match log::read_tile(disk, layout, level, number, hashes.len()) {
        Err(e) => report.error(0, "log/tile", &e),
        Ok(read) if read == hashes => {}
        Ok(_) => {
            let name = layout.name(&layout.tile(level, number, hashes.len()));
            report.add(0, name, FaultKind::Changed, "not the hashes of the tiles below");
        }
    }
}
