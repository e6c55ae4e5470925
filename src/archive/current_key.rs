//! The generation that seals: the newest that has a KEY leaf. A file without one is what a crash left, and counts for nothing.

use super::Error;
use super::cursor::Malformed;
use super::files;
use super::keys::GENERATION_BYTES_MAX;
use super::keys::GENERATIONS_MAX;
use super::keys::Generation;
use super::layout::ArchiveId;
use super::layout::Layout;
use super::layout::SegmentId;
use super::leaf::Key;
use super::log;
use super::log::Leaves;
use super::open::SegmentInfo;
use super::tile::WIDTH;
use crate::crypto::hpke;
use crate::crypto::sha256;
use crate::durable;
use crate::durable::Disk;
use crate::journal::Leaf;
use crate::journal::LeafKind;
use std::path::PathBuf;
use std::sync::Arc;

/// The first generation's KEY leaf.
const FIRST_KEY_LEAF: u64 = 1;
/// Where a key object's first wrap, and with it the number of its generation, stands.
const FIRST_WRAP_AT: usize = 58;
/// Octets of a hint: the digits of a u64, and LF.
const HINT_BYTES_MAX: u64 = 21;

/// A generation that counts.
#[derive(Clone, Debug)]
pub struct CurrentKey {
    /// Its file.
    pub generation: Arc<Generation>,
    /// Its public half: seals segment keys.
    pub public: hpke::PublicKey,
    /// Index of its KEY leaf.
    pub leaf: u64,
}

impl CurrentKey {
    /// Reads the file that a KEY leaf names, and refuses any other.
    pub fn load(
        disk: &dyn Disk,
        layout: &Layout,
        archive: &ArchiveId,
        (leaf, key): (u64, &Key),
    ) -> Result<CurrentKey, Error> {
        let path = layout.generation(key.generation);
        let damaged = |what| Error::damaged(layout.name(&path), what);
        let octets = files::read(disk, &path, GENERATION_BYTES_MAX).map_err(|e| Error::io(layout.name(&path), e))?;
        if sha256(&octets) != key.file {
            return Err(damaged(Malformed("not the generation that its KEY leaf names")));
        }
        let generation = Generation::parse(&octets).map_err(damaged)?;
        if (generation.archive, generation.number) != (*archive, key.generation) {
            return Err(damaged(Malformed("another generation than its name says")));
        }
        let public = generation.public_key().map_err(damaged)?;
        Ok(CurrentKey { generation: Arc::new(generation), public, leaf })
    }

    /// The newest generation of a log of `size` leaves.
    pub fn find(disk: &dyn Disk, layout: &Layout, archive: &ArchiveId, size: u64) -> Result<CurrentKey, Error> {
        let mut leaves = Leaves::new(disk, layout, size);
        for number in numbers(disk, layout)?.into_iter().rev().filter(|number| *number > 1) {
            let hinted = read_hint(disk, layout, number).and_then(|leaf| Some((leaf, key_at(&mut leaves, leaf)?)));
            let found = match hinted.filter(|(_, key)| key.generation == number) {
                Some(found) => Some(found),
                None => search(disk, layout, size, number)?,
            };
            if let Some((leaf, key)) = found {
                return CurrentKey::load(disk, layout, archive, (leaf, &key));
            }
        }
        let first = key_at(&mut leaves, FIRST_KEY_LEAF).filter(|key| key.generation == 1);
        let first = first.ok_or_else(|| Error::damaged("leaf 1", Malformed("not the KEY leaf of generation 1")))?;
        CurrentKey::load(disk, layout, archive, (FIRST_KEY_LEAF, &first))
    }

    /// Refuses an archive that was sealed to a newer generation than there is a file of: sealing on would be to officers who may
    /// have been removed.
    pub fn check_sealed(&self, disk: &dyn Disk, layout: &Layout, last: Option<&SegmentInfo>) -> Result<(), Error> {
        let Some(info) = last else { return Ok(()) };
        let wrapped = wrapped_to(disk, layout, &info.seal.segment);
        match wrapped {
            Some(wrapped) if wrapped > self.generation.number => Err(Error::GenerationMissing { generation: wrapped }),
            _ => Ok(()),
        }
    }

    /// Writes the hint that spares the next start a search.
    pub fn write_hint(&self, disk: &dyn Disk, layout: &Layout) -> Result<(), Error> {
        let path = layout.key_leaf(self.generation.number);
        if self.generation.number == 1 || read_hint(disk, layout, self.generation.number) == Some(self.leaf) {
            return Ok(());
        }
        durable::replace(disk, &path, encode_hint(self.leaf).as_bytes()).map_err(|e| Error::io(layout.name(&path), e))
    }
}

/// The generation that a segment's first wrap names, from either copy of the key object; `None` where none can be read.
pub fn wrapped_to(disk: &dyn Disk, layout: &Layout, segment: &SegmentId) -> Option<u32> {
    let generation = layout.keys(segment).into_iter().find_map(|path| {
        let mut head = [0; FIRST_WRAP_AT + 4];
        disk.open_read(&path).and_then(|file| file.read_exact_at(0, &mut head)).ok()?;
        head.last_chunk::<4>().map(|octets| u32::from_be_bytes(*octets))
    });
    // A number beyond these is damage, which `verify` names.
    generation.filter(|generation| (1..=GENERATIONS_MAX).contains(generation))
}

/// A hint's text.
fn encode_hint(leaf: u64) -> String {
    format!("{leaf}\n")
}

/// What a hint says.
pub fn parse_hint(octets: &[u8]) -> Option<u64> {
    let leaf = std::str::from_utf8(octets).ok()?.strip_suffix('\n')?.parse().ok()?;
    (encode_hint(leaf).as_bytes() == octets).then_some(leaf)
}

fn read_hint(disk: &dyn Disk, layout: &Layout, number: u32) -> Option<u64> {
    parse_hint(&files::read(disk, &layout.key_leaf(number), HINT_BYTES_MAX).ok()?)
}

/// The hint of a generation as it stands there: `None` when there is none, else where it leads, if anywhere.
pub fn hint(disk: &dyn Disk, layout: &Layout, number: u32) -> Option<Option<u64>> {
    disk.exists(&layout.key_leaf(number)).then(|| read_hint(disk, layout, number))
}

/// Numbers of the generations that have a file, ascending.
pub fn numbers(disk: &dyn Disk, layout: &Layout) -> Result<Vec<u32>, Error> {
    let dir = layout.key_files();
    let names = disk.list(&dir).map_err(|e| Error::io(layout.name(&dir), e))?;
    let number =
        |name: &String| name.strip_prefix("generation-")?.parse::<u32>().ok().filter(|n| *n <= GENERATIONS_MAX);
    let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Files of generations and hints above the newest one, and temporary ones: what a crash left.
pub fn leftovers(disk: &dyn Disk, layout: &Layout, newest: u32) -> Result<Vec<PathBuf>, Error> {
    let dir = layout.key_files();
    let names = disk.list(&dir).map_err(|e| Error::io(layout.name(&dir), e))?;
    let number = |name: &String| {
        let digits = name.strip_prefix("generation-").or_else(|| name.strip_prefix("leaf-"))?;
        digits.parse::<u32>().ok()
    };
    let is_left = |name: &String| name.ends_with(".tmp") || number(name).is_some_and(|number| number > newest);
    Ok(names.into_iter().filter(is_left).map(|name| dir.join(name)).collect())
}

fn key_at(leaves: &mut Leaves<'_>, index: u64) -> Option<Key> {
    as_key(leaves.get(index).ok()??)?.ok()
}

/// The KEY leaf of a leaf's octets; `None` for another kind.
pub fn as_key(octets: &[u8]) -> Option<Result<Key, Malformed>> {
    let leaf = Leaf::parse(octets)?;
    (leaf.kind == LeafKind::Key).then(|| Key::from_body(&leaf.body))
}

/// The KEY leaf of a generation, looked for from the end of the log.
fn search(disk: &dyn Disk, layout: &Layout, size: u64, number: u32) -> Result<Option<(u64, Key)>, Error> {
    for bundle in (0..size.div_ceil(WIDTH as u64)).rev() {
        let leaves = log::read_bundle(disk, layout, bundle, log::bundle_width(size, bundle))?;
        for (at, leaf) in leaves.iter().enumerate().rev() {
            if let Some(Ok(key)) = as_key(leaf)
                && key.generation == number
            {
                return Ok(Some((bundle * WIDTH as u64 + at as u64, key)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_have_one_form() {
        for (octets, leaf) in
            [("7\n", Some(7)), ("07\n", None), ("7", None), ("-1\n", None), ("+7\n", None), ("", None), ("7\n\n", None)]
        {
            assert_eq!(parse_hint(octets.as_bytes()), leaf, "{octets:?}");
        }
    }
}
