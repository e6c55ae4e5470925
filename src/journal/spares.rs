//! Spare files: preallocated in the background by writing zeros, recycled after retirement. Never touches a live file.

use super::header::HEADER_BYTES;
use crate::durable::Disk;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Zeros are written in pieces of this size.
const PIECE_BYTES: usize = 1024 * 1024;
/// Free files kept, where there is room: a busy journal would else write every file twice, once as zeros.
const RECYCLED_MAX: usize = 8;
/// Suffix of a file that counts.
pub const SUFFIX: &str = ".journal";
/// Suffix of a file still being preallocated.
pub const NEW_SUFFIX: &str = ".new";

/// The free files of one journal directory.
pub struct Spares {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file_bytes: u64,
    wanted: usize,
    low_space_bytes: u64,
    state: Mutex<Free>,
    changed: Condvar,
}

struct Free {
    files: Vec<PathBuf>,
    next_number: u64,
    /// Preallocation is tried again only after something changed, so that a full disk is not hammered.
    attempt: Attempt,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Due,
    Failed,
    Closed,
}

impl Spares {
    /// Takes over the free files found at start; those of another length are given up.
    pub fn new(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        file_bytes: u64,
        wanted: usize,
        low_space_bytes: u64,
        next_number: u64,
    ) -> Spares {
        let state = Mutex::new(Free { files: Vec::new(), next_number, attempt: Attempt::Due });
        let disk = Arc::clone(disk);
        Spares { disk, dir: dir.to_owned(), file_bytes, wanted, low_space_bytes, state, changed: Condvar::new() }
    }

    /// A free file: a spare, or one made now.
    pub fn take(&self) -> io::Result<PathBuf> {
        let spare = {
            let mut free = self.lock();
            if free.attempt == Attempt::Failed {
                free.attempt = Attempt::Due;
            }
            free.files.pop()
        };
        self.changed.notify_all();
        spare.map_or_else(|| self.make(), Ok)
    }

    /// Takes a file whose header is wiped. Beyond what is kept, or of another length, it is removed instead.
    pub fn give_back(&self, path: &Path) -> io::Result<()> {
        let fits = self.disk.open_read(path)?.len()? == self.file_bytes;
        let is_roomy = self.is_roomy()?;
        let mut free = self.lock();
        let kept = if is_roomy && self.wanted > 0 { self.wanted.max(RECYCLED_MAX) } else { self.wanted };
        if fits && free.files.len() < kept {
            free.files.push(path.to_owned());
            return Ok(());
        }
        drop(free);
        // crash point journal-7
        self.disk.remove(path)?;
        self.disk.sync_dir(&self.dir)
    }

    /// Space is low: removes free files beyond the wanted number.
    pub fn trim(&self) -> io::Result<()> {
        let surplus = {
            let mut free = self.lock();
            let at = free.files.len().min(self.wanted);
            free.files.split_off(at)
        };
        for path in &surplus {
            self.disk.remove(path)?;
        }
        if surplus.is_empty() { Ok(()) } else { self.disk.sync_dir(&self.dir) }
    }

    /// Keeps the wanted number of spares until closed: the body of the background thread.
    pub fn run(&self) {
        loop {
            let mut free = self.lock();
            while free.attempt != Attempt::Closed
                && (free.attempt == Attempt::Failed || free.files.len() >= self.wanted)
            {
                free = self.changed.wait(free).unwrap_or_else(PoisonError::into_inner);
            }
            if free.attempt == Attempt::Closed {
                return;
            }
            drop(free);
            let made = self.make_if_roomy();
            let mut free = self.lock();
            match made {
                Ok(path) => free.files.push(path),
                Err(error) if free.attempt == Attempt::Due => {
                    tracing::warn!(%error, "no spare journal file");
                    free.attempt = Attempt::Failed;
                }
                Err(_) => {}
            }
        }
    }

    /// Ends `run`.
    pub fn close(&self) {
        self.lock().attempt = Attempt::Closed;
        self.changed.notify_all();
    }

    fn make_if_roomy(&self) -> io::Result<PathBuf> {
        if !self.is_roomy()? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.make()
    }

    fn is_roomy(&self) -> io::Result<bool> {
        Ok(self.disk.free_bytes(&self.dir)? >= self.file_bytes.saturating_add(self.low_space_bytes))
    }

    fn make(&self) -> io::Result<PathBuf> {
        let number = {
            let mut free = self.lock();
            free.next_number += 1;
            free.next_number - 1
        };
        let path = self.dir.join(format!("{number:08}{SUFFIX}"));
        let new = self.dir.join(format!("{number:08}{NEW_SUFFIX}"));
        // crash point journal-1: zeros are written; crash point journal-2: synced; crash point journal-3: named.
        let made = self.fill(&new).and_then(|()| self.disk.rename(&new, &path));
        if let Err(error) = made {
            // Best effort: what stays is removed at the next start.
            self.disk.remove(&new).unwrap_or_else(|e| tracing::debug!(error = %e, "left a partial journal file"));
            return Err(error);
        }
        // crash point journal-4
        self.disk.sync_dir(&self.dir)?;
        // Durable from here: a free file.
        Ok(path)
    }

    /// Writes the whole length, so that later syncs carry no metadata.
    fn fill(&self, path: &Path) -> io::Result<()> {
        let file = self.disk.create(path)?;
        let zeros = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < self.file_bytes {
            let bytes = usize::try_from(self.file_bytes - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            file.write_all_at(at, &zeros[..bytes])?;
            at += bytes as u64;
        }
        file.sync()
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number in a file's name.
pub fn number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).or_else(|| name.strip_suffix(NEW_SUFFIX))?.parse().ok()
}

/// Both header areas of a file. One that cannot be read is as good as rotten: the other one decides.
pub fn header_areas(disk: &dyn Disk, path: &Path) -> io::Result<[Vec<u8>; 2]> {
    let file = disk.open_read(path)?;
    let last = file.len()?.saturating_sub(HEADER_BYTES as u64);
    let read = |at| {
        let mut area = vec![0; HEADER_BYTES];
        file.read_exact_at(at, &mut area).map_or_else(|_| Vec::new(), |()| area)
    };
    Ok([read(0), read(last)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::RealDisk;

    fn spares(dir: &Path, wanted: usize) -> Spares {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Spares::new(&disk, dir, 3 * 1024 * 1024 / 2, wanted, 0, 4)
    }

    #[test]
    fn files_are_made_whole_and_recycled_up_to_a_number() {
        let dir = tempfile::tempdir().expect("a directory");
        let spares = spares(dir.path(), 1);
        let files: Vec<_> = (0..=RECYCLED_MAX).map(|_| spares.take().expect("made")).collect();
        assert_eq!(std::fs::metadata(&files[0]).expect("there").len(), 3 * 1024 * 1024 / 2);
        assert_eq!(number(files[0].file_name().and_then(|n| n.to_str()).expect("a name")), Some(4));
        files.iter().for_each(|file| spares.give_back(file).expect("kept or removed"));
        let (last, kept) = files.split_last().expect("some");
        assert!(kept.iter().all(|file| file.exists()) && !last.exists());
        assert_eq!(spares.take().expect("recycled"), kept[kept.len() - 1]);
    }

    #[test]
    fn where_space_is_low_only_the_wanted_number_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spares = spares(dir.path(), 1);
        let (one, two) = (spares.take().expect("made"), spares.take().expect("made"));
        spares.low_space_bytes = u64::MAX;
        spares.give_back(&one).expect("kept");
        spares.give_back(&two).expect("removed");
        assert!(one.exists() && !two.exists());
        spares.low_space_bytes = 0;
        let three = spares.make().expect("made");
        spares.give_back(&three).expect("kept");
        assert!(three.exists());
        spares.trim().expect("trimmed");
        assert!(one.exists() && !three.exists());
    }

    #[test]
    fn the_background_keeps_the_number() {
        let dir = tempfile::tempdir().expect("a directory");
        let spares = Arc::new(spares(dir.path(), 2));
        let thread = std::thread::spawn({
            let spares = Arc::clone(&spares);
            move || spares.run()
        });
        while spares.lock().files.len() < 2 {
            std::thread::yield_now();
        }
        spares.close();
        thread.join().expect("ends");
    }
}
