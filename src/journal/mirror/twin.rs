//! One journal file on both sides. Never writes to a side that failed once.

use super::Lost;
use crate::durable::DiskFile;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A file on one side.
pub struct Side {
    pub path: PathBuf,
    pub file: Box<dyn DiskFile>,
}

/// A file and its twin.
pub struct Twin {
    pub sides: Vec<Side>,
    pub lost: Arc<Lost>,
}

impl Twin {
    /// Sides that may be written to.
    fn good(&self) -> Vec<&Side> {
        self.sides.iter().filter(|side| !self.lost.has(&side.path)).collect()
    }

    /// One side that did it is enough; one that did not is lost.
    fn settle(&self, done: Vec<(&Side, io::Result<()>)>) -> io::Result<()> {
        let any = done.iter().any(|(_, done)| done.is_ok());
        let mut last = io::Error::other("both sides of a journal file failed before");
        for (side, done) in done {
            if let Err(error) = done {
                self.lost.add(&side.path, &error);
                last = error;
            }
        }
        if any { Ok(()) } else { Err(last) }
    }

    fn read<T>(&self, read: impl Fn(&dyn DiskFile) -> io::Result<T>) -> io::Result<T> {
        // A lost side only when nothing else is left.
        let (lost, good): (Vec<&Side>, Vec<&Side>) = self.sides.iter().partition(|side| self.lost.has(&side.path));
        let mut last = Err(io::ErrorKind::NotFound.into());
        for mut side in good.into_iter().chain(lost).map(|side| read(&*side.file)) {
            std::mem::swap(&mut last, &mut side);
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

impl DiskFile for Twin {
    fn write_all_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.settle(self.good().into_iter().map(|side| (side, side.file.write_all_at(offset, octets))).collect())
    }
    fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let bytes = into.len();
        let octets = self.read(|file| {
            let mut octets = vec![0; bytes];
            file.read_exact_at(offset, &mut octets).map(|()| octets)
        })?;
        into.copy_from_slice(&octets);
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        self.read(|file| file.len())
    }
    fn set_len(&self, octets: u64) -> io::Result<()> {
        self.settle(self.good().into_iter().map(|side| (side, side.file.set_len(octets))).collect())
    }
    /// Both at once: the slower one decides how long a commit takes.
    fn sync(&self) -> io::Result<()> {
        let good = self.good();
        let [one, other] = good[..] else {
            return self.settle(good.into_iter().map(|side| (side, side.file.sync())).collect());
        };
        let synced = std::thread::scope(|scope| {
            let synced = scope.spawn(|| other.file.sync());
            let own = one.file.sync();
            let other = synced.join().unwrap_or_else(|_| Err(io::Error::other("a sync panicked")));
            [own, other]
        });
        self.settle(good.iter().copied().zip(synced).collect())
    }
}
