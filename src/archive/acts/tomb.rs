//! Step 5 of an act: tombs in place of the slots that are gone, in both key objects. Needs no key, and may be repeated: what a
//! crash or a restored backup leaves behind is brought up to the leaves.

use super::registry::Gone;
use super::registry::Registry;
use crate::archive::Error;
use crate::archive::cursor::Malformed;
use crate::archive::files;
use crate::archive::key_object::KEY_OBJECT_BYTES_MAX;
use crate::archive::key_object::KeyObject;
use crate::archive::key_object::Slot;
use crate::archive::layout::SegmentId;
use crate::archive::leaf::Seal;
use crate::archive::open::Archive;
use crate::archive::segment_reader::parse_keys;
use crate::durable;
use std::collections::BTreeSet;
use std::path::Path;

/// What burying did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buried {
    /// Key objects replaced, both copies counted.
    pub key_objects: u64,
    /// Data objects removed, of which every unit is gone.
    pub data_objects: u64,
}

impl Archive {
    /// Brings the key objects of these segments up to the leaves, of all segments for `None`. Nobody seals meanwhile.
    pub(in crate::archive) fn bury(&self, segments: Option<&BTreeSet<SegmentId>>) -> Result<Buried, Error> {
        let registry = self.acts()?;
        let mut buried = Buried::default();
        if registry.gone().is_empty() {
            return Ok(buried);
        }
        let wanted = |id: &SegmentId| registry.gone().contains_key(id) && segments.is_none_or(|set| set.contains(id));
        for info in self.segments()?.iter().filter(|info| wanted(&info.seal.segment)) {
            let gone = registry.gone().get(&info.seal.segment).map(Vec::as_slice).unwrap_or_default();
            buried.key_objects += self.bury_one(&info.seal, gone)?;
            if is_dead(&registry, &info.seal) {
                buried.data_objects += self.remove_data(&info.seal)?;
            }
        }
        Ok(buried)
    }

    /// Segments of which nothing is left, whose data objects are or will be removed.
    /// Where that cannot be known, none: leftovers may then stay until it can.
    pub(in crate::archive) fn dead_segments(&self) -> u64 {
        let Ok(registry) = self.acts() else { return 0 };
        let segments = if registry.gone().is_empty() { Vec::new() } else { self.segments().unwrap_or_default() };
        segments.iter().filter(|info| is_dead(&registry, &info.seal)).count() as u64
    }

    /// One segment; how many of its two key objects were replaced.
    fn bury_one(&self, seal: &Seal, gone: &[Gone]) -> Result<u64, Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let paths = layout.keys(&seal.segment);
        let copies = paths.each_ref().map(|path| self.read_keys(path, seal));
        if copies.iter().all(|copy| copy.as_ref().is_ok_and(|keys| lagging(keys, gone).is_empty())) {
            return Ok(0);
        }
        let mut newest: Option<&KeyObject> = None;
        for keys in copies.iter().flatten() {
            if newest.is_none_or(|known| known.object_generation < keys.object_generation) {
                newest = Some(keys);
            }
        }
        let Some(mut next) = newest.cloned() else {
            let [first, _] = copies;
            return first.map(|_| 0);
        };
        let highest = copies.iter().flatten().map(|keys| keys.object_generation).max().unwrap_or(1);
        next.object_generation = highest.checked_add(1).ok_or(Error::Bug("object generations are used up"))?;
        for (slot, leaf) in lagging(&next, gone) {
            let slot = &mut next.slots[slot as usize];
            *slot = Slot::Tomb { leaf, hash: slot.hash() };
        }
        let octets = next.encode();
        for path in &paths {
            let name = layout.name(path);
            durable::replace(disk, path, &octets).map_err(|e| Error::io(&name, e))?;
            // This copy opens nothing of what is gone from here; after a crash the other one is found lagging.
            let back = files::read(disk, path, octets.len() as u64).map_err(|e| Error::io(&name, e))?;
            if back != octets {
                return Err(Error::damaged(name, Malformed("not what was written a moment ago")));
            }
        }
        Ok(paths.len() as u64)
    }

    fn read_keys(&self, path: &Path, seal: &Seal) -> Result<KeyObject, Error> {
        let name = self.inner.layout.name(path);
        let octets = files::read(self.inner.disk.as_ref(), path, KEY_OBJECT_BYTES_MAX);
        parse_keys(&octets.map_err(|e| Error::io(&name, e))?, seal).map_err(|what| Error::damaged(name, what))
    }

    /// The data object of a segment without a key left is noise: its octets come back to the disk.
    fn remove_data(&self, seal: &Seal) -> Result<u64, Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let path = layout.data(&seal.segment);
        if !disk.exists(&path) {
            return Ok(0);
        }
        let removed = disk.remove(&path).and_then(|()| disk.sync_dir(&layout.segments()));
        removed.map(|()| 1).map_err(|e| Error::io(layout.name(&path), e))
    }
}

/// Whether every unit of a segment is gone.
pub fn is_dead(registry: &Registry, seal: &Seal) -> bool {
    registry.gone_count(&seal.segment) == seal.units()
}

/// Slots that should be tombs and are not, with the leaf that took them.
fn lagging(keys: &KeyObject, gone: &[Gone]) -> Vec<(u32, u64)> {
    let listed = gone.iter().flat_map(|gone| gone.ranges.slots().map(|slot| (slot, gone.leaf)));
    listed.filter(|(slot, _)| matches!(keys.slots.get(*slot as usize), Some(Slot::Live(_)))).collect()
}
