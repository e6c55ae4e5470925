//! The mirror: every journal file has a twin of the same name in a second directory, written and synced with it. A disk over the
//! real one, so that nothing else in the journal knows of it. Rules: docs/journal-format.md section 5b.

mod repair;
mod twin;

use super::spares::{NEW_SUFFIX, SUFFIX};
use crate::durable::{Disk, DiskFile, Filesystem};
use std::any::Any;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use twin::{Side, Twin};

/// Files of which nothing may be assumed any more: a write, sync or name of theirs failed.
#[derive(Default)]
struct Lost(Mutex<HashSet<PathBuf>>);

impl Lost {
    /// Nothing is written to this file from now on; the alarm is raised once.
    fn add(&self, path: &Path, error: &io::Error) {
        if self.lock().insert(path.to_owned()) {
            tracing::error!(%error, file = %path.display(), "one side of the journal failed; its twin goes on alone");
        }
    }
    fn forget(&self, path: &Path) {
        self.lock().remove(path);
    }
    fn has(&self, path: &Path) -> bool {
        self.lock().contains(path)
    }
    fn lock(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two directories as one. Paths are those of the first.
pub struct Mirror {
    disk: Arc<dyn Disk>,
    dirs: [PathBuf; 2],
    lost: Arc<Lost>,
}

impl Mirror {
    /// Over `disk`: what is written in `dir` is written in `twin` too.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, twin: &Path) -> Mirror {
        Mirror { disk, dirs: [dir.to_owned(), twin.to_owned()], lost: Arc::default() }
    }

    /// Whether a file has but one good side.
    pub fn is_halved(&self, path: &Path) -> bool {
        self.sides(path).iter().any(|side| self.lost.has(side))
    }

    /// Makes equal what can be made equal, before a replay; what had to be recovered, in words.
    pub fn repair(&self) -> io::Result<Vec<String>> {
        repair::repair(self)
    }

    /// The paths a path stands for: journal files have twins, locks and quarantined copies have none.
    fn sides(&self, path: &Path) -> Vec<PathBuf> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let has_twin = path.parent() == Some(&self.dirs[0]) && (name.ends_with(SUFFIX) || name.ends_with(NEW_SUFFIX));
        let twin = has_twin.then(|| self.dirs[1].join(name));
        [path.to_owned()].into_iter().chain(twin).collect()
    }

    /// Does something with every side that is not lost; a side that fails is lost, and the last error counts if all are.
    fn each<T>(&self, path: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<Vec<(PathBuf, T)>> {
        let (mut done, mut failed) = (Vec::new(), None);
        for side in self.sides(path) {
            if self.lost.has(&side) {
                continue;
            }
            match act(&side) {
                Ok(value) => done.push((side, value)),
                Err(error) => failed = Some((side, error)),
            }
        }
        match failed {
            Some((_, error)) if done.is_empty() => Err(error),
            Some((side, error)) => {
                self.lost.add(&side, &error);
                Ok(done)
            }
            None if done.is_empty() => Err(io::Error::other("both sides of a journal file failed before")),
            None => Ok(done),
        }
    }

    fn twin(&self, opened: Vec<(PathBuf, Box<dyn DiskFile>)>) -> Box<dyn DiskFile> {
        let sides = opened.into_iter().map(|(path, file)| Side { path, file }).collect();
        Box::new(Twin { sides, lost: Arc::clone(&self.lost) })
    }

    /// The first side that can be read; a lost one only when nothing else is left.
    fn first<T>(&self, path: &Path, read: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let mut sides = self.sides(path);
        sides.sort_by_key(|side| self.lost.has(side));
        let mut last = Err(io::ErrorKind::NotFound.into());
        for side in sides {
            last = read(&side);
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

impl Disk for Mirror {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.twin(self.each(path, |side| self.disk.create(side))?))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.twin(self.each(path, |side| self.disk.open(side))?))
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.first(path, |side| self.disk.open_read(side))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.first(path, |side| self.disk.read(side))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.disk.list(dir)?.into_iter().collect();
        if dir == self.dirs[0] {
            let twins = self.disk.list(&self.dirs[1])?;
            names.extend(twins.into_iter().filter(|name| name.ends_with(SUFFIX) || name.ends_with(NEW_SUFFIX)));
        }
        Ok(names.into_iter().collect())
    }
    fn exists(&self, path: &Path) -> bool {
        self.sides(path).iter().any(|side| self.disk.exists(side))
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir == self.dirs[0] {
            self.disk.create_dir(&self.dirs[1])?;
        }
        self.disk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (froms, tos) = (self.sides(from), self.sides(to));
        let (mut renamed, mut failed) = (0, None);
        // To quarantine goes one side: the other name is removed.
        for (at, from) in froms.iter().enumerate() {
            let done = match tos.get(at) {
                Some(to) if !self.lost.has(from) => self.disk.rename(from, to).map_err(|error| (to, error)),
                Some(to) => Err((to, io::Error::other("its file failed before"))),
                None => self.disk.remove(from).map_err(|error| (from, error)),
            };
            match done {
                Ok(()) => renamed += 1,
                Err((side, error)) => failed = Some((side, error)),
            }
        }
        froms.iter().for_each(|from| self.lost.forget(from));
        match failed {
            Some((_, error)) if renamed == 0 => Err(error),
            Some((side, error)) => {
                self.lost.add(side, &error);
                Ok(())
            }
            None => Ok(()),
        }
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut removed = Ok(());
        for side in self.sides(path) {
            match self.disk.remove(&side) {
                Ok(()) => self.lost.forget(&side),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.lost.forget(&side),
                // A side that failed may well not let its name go; at the next start it is old and goes then.
                Err(error) if self.lost.has(&side) => tracing::warn!(%error, file = %side.display(), "left behind"),
                Err(error) => removed = Err(error),
            }
        }
        removed
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if dir != self.dirs[0] {
            return self.disk.sync_dir(dir);
        }
        let synced = self.dirs.each_ref().map(|dir| self.disk.sync_dir(dir));
        for (dir, error) in
            self.dirs.iter().zip(&synced).filter_map(|(dir, synced)| Some((dir, synced.as_ref().err()?)))
        {
            // A name that is lost with the power is recovered from the other side.
            tracing::error!(%error, dir = %dir.display(), "one side of the journal failed to sync its names");
        }
        let [one, other] = synced;
        one.or(other)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let free = self.dirs.each_ref().map(|dir| self.disk.free_bytes(dir));
        if path != self.dirs[0] {
            return self.disk.free_bytes(path);
        }
        match free {
            [Ok(one), Ok(other)] => Ok(one.min(other)),
            [one, other] => one.or(other),
        }
    }
    fn filesystem(&self, path: &Path) -> io::Result<Filesystem> {
        match self.disk.filesystem(path)? {
            Filesystem::Durable if path == self.dirs[0] => self.disk.filesystem(&self.dirs[1]),
            found => Ok(found),
        }
    }
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Any + Send>> {
        if dir != self.dirs[0] {
            return self.disk.lock(dir);
        }
        Ok(Box::new((self.disk.lock(&self.dirs[0])?, self.disk.lock(&self.dirs[1])?)))
    }
}
