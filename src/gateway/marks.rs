//! Marks: a file of keys that only grows, by which long work that was interrupted knows what it has done. A key says nothing of what it
//! stands for.
//!
//! ```text
//! file = "sealpost marks 1" *key          key = 16 octets
//! ```
//! A last key that is cut off counts as not there.

use crate::durable::{self, Disk, DiskFile};
use std::collections::HashSet;
use std::io;
use std::path::Path;

const MAGIC: &[u8; KEY_BYTES] = b"sealpost marks 1";
const KEY_BYTES: usize = 16;
/// Keys of a file: a GiB of them.
const KEYS_MAX: usize = 1 << 26;
/// Keys that are looked up by hash until they are sorted in among the others.
const FRESH_MAX: usize = 1 << 16;

/// What stands for one thing that is done.
pub type Key = [u8; KEY_BYTES];

/// The marks of one kind of work. One process at a time.
pub struct Marks {
    file: Box<dyn DiskFile>,
    end: u64,
    /// Sorted.
    known: Vec<Key>,
    fresh: HashSet<Key>,
}

impl std::fmt::Debug for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Marks({})", self.known.len() + self.fresh.len())
    }
}

impl Marks {
    /// Opens a file of marks, or makes one. Memory is 16 octets for each.
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Marks> {
        if !disk.exists(path) {
            disk.create_dir(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            durable::replace(disk, path, MAGIC)?;
        }
        let octets = disk.read(path)?;
        let (magic, keys) = octets.split_first_chunk().ok_or_else(|| strange("is cut off"))?;
        if magic != MAGIC {
            return Err(strange("is no file of marks"));
        }
        let (keys, _torn) = keys.as_chunks::<KEY_BYTES>();
        if keys.len() > KEYS_MAX {
            return Err(strange("has more marks than fit into memory; move it away to begin anew"));
        }
        let mut known = keys.to_vec();
        known.sort_unstable();
        let end = (KEY_BYTES * (1 + keys.len())) as u64;
        Ok(Marks { file: disk.open(path)?, end, known, fresh: HashSet::new() })
    }

    /// Whether it is done.
    pub fn contains(&self, key: &Key) -> bool {
        self.fresh.contains(key) || self.known.binary_search(key).is_ok()
    }

    /// Notes that these are done. A kill loses nothing of it from here on; a power cut only what was added since the last
    /// [`Marks::sync`].
    pub fn add(&mut self, keys: &[Key]) -> io::Result<()> {
        self.file.write_all_at(self.end, keys.as_flattened())?;
        self.end += keys.as_flattened().len() as u64;
        self.fresh.extend(keys);
        if self.fresh.len() >= FRESH_MAX {
            self.known.extend(self.fresh.drain());
            // Nearly sorted already: this takes what is, as it is.
            self.known.sort();
        }
        Ok(())
    }

    /// Makes durable what was added.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::RealDisk;

    fn key(n: u32) -> Key {
        let mut key = [7; KEY_BYTES];
        key[..4].copy_from_slice(&n.to_le_bytes());
        key
    }

    #[test]
    fn marks_are_found_again_but_for_one_that_was_cut_off() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("import/done");
        let many: Vec<Key> = (0..u32::try_from(FRESH_MAX).expect("few") + 10).map(key).collect();
        let mut marks = Marks::open(&RealDisk, &path).expect("made");
        for some in many.chunks(1000) {
            marks.add(some).expect("added");
        }
        marks.sync().expect("synced");
        assert!(many.iter().all(|key| marks.contains(key)) && !marks.contains(&key(1 << 30)));
        drop(marks);
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() - 1]).expect("cut off");
        let mut marks = Marks::open(&RealDisk, &path).expect("opened");
        let (last, others) = many.split_last().expect("many");
        assert!(others.iter().all(|key| marks.contains(key)) && !marks.contains(last));
        marks.add(&[*last]).expect("added");
        assert_eq!(std::fs::read(&path).expect("read"), whole, "in its place");
    }

    #[test]
    fn another_file_is_not_written_to() {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, octets) in [("short", &b"sealpost"[..]), ("other", b"sealpost marks 2")] {
            let path = dir.path().join(name);
            std::fs::write(&path, octets).expect("written");
            assert!(Marks::open(&RealDisk, &path).is_err(), "{name}");
        }
    }
}
