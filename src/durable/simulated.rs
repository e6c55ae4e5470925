//! A disk that keeps what was synced and, of the rest, whatever a seed says: sectors dropped, reordered, torn; names too. Tests
//! only: journal and archive are simulated on it.

use super::{Disk, DiskFile, Filesystem};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// splitmix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// What the disk will do wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The power goes during this operation: it fails, whatever it was writing may be written, and later ones do nothing.
    pub power_off_at: Option<u64>,
    /// This operation fails, once.
    pub fail_at: Option<u64>,
    /// Octets all files together may have.
    pub capacity: Option<u64>,
    pub syncs: Syncs,
    /// Syncs in these directories, of files and of names, are acknowledged and ignored: for controls that must fail.
    pub deaf_dirs: Vec<PathBuf>,
    pub access: Access,
    /// Nothing can be changed in this directory.
    pub dead_dir: Option<PathBuf>,
}

/// What a sync is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syncs {
    #[default]
    Kept,
    /// Acknowledged and ignored: the negative control.
    Ignored,
    /// Kept only for writes that reach a file's first octets: what is wiped is wiped, what is carried is not there.
    HeadersOnly,
}

/// What changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Create,
    Write,
    SetLen,
    Sync,
    Rename,
    Remove,
    SyncDir,
}

/// Whether anything can be created, written or synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    #[default]
    ReadWrite,
    ReadOnly,
}

/// An inode: what is durable, what programs see, and the sectors in which they may differ.
#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    seen: Vec<u8>,
    dirty: Dirty,
    /// Writes after a failed operation on it.
    failed: bool,
    /// The name it was made under.
    path: PathBuf,
    writes_after_failure: u64,
}

/// A set of sectors, a bit for each.
#[derive(Clone, Default)]
struct Dirty(Vec<u64>);

impl Dirty {
    fn extend(&mut self, sectors: std::ops::Range<usize>) {
        if self.0.len() * 64 < sectors.end {
            self.0.resize(sectors.end.div_ceil(64), 0);
        }
        let mut at = sectors.start;
        while at < sectors.end {
            let until = sectors.end.min((at / 64 + 1) * 64);
            self.0[at / 64] |= (u64::MAX >> (64 - (until - at))) << (at % 64);
            at = until;
        }
    }
    fn contains(&self, sector: usize) -> bool {
        self.0.get(sector / 64).is_some_and(|word| word >> (sector % 64) & 1 == 1)
    }
    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
    /// The sectors in runs, ascending; none are left.
    fn take(&mut self) -> Vec<std::ops::Range<usize>> {
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        for (at, word) in std::mem::take(&mut self.0).into_iter().enumerate().filter(|(_, word)| *word != 0) {
            let mut from = 0;
            while from < 64 && word >> from != 0 {
                let start = from + (word >> from).trailing_zeros() as usize;
                let end = start + (word >> start).trailing_ones() as usize;
                match runs.last_mut() {
                    Some(last) if last.end == at * 64 + start => last.end = at * 64 + end,
                    _ => runs.push(at * 64 + start..at * 64 + end),
                }
                from = end;
            }
        }
        runs
    }
}

#[derive(Clone, Default)]
struct Inner {
    inodes: Vec<Inode>,
    /// Names as programs see them, and as they are on the disk.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    faults: Faults,
    operations: u64,
    syncs: u64,
    /// Every operation since the last crash, with its path; of a rename the new one.
    trace: Vec<(Operation, PathBuf)>,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct FakeDisk(Arc<Mutex<Inner>>);

struct FakeFile {
    disk: FakeDisk,
    inode: usize,
}

impl FakeDisk {
    pub fn set(&self, faults: Faults) {
        self.lock().faults = faults;
    }
    /// Another disk with the same content.
    pub fn fork(&self) -> FakeDisk {
        FakeDisk(Arc::new(Mutex::new(self.lock().clone())))
    }
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }
    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.lock().is_off()
    }
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }
    /// Writes and syncs attempted on files on which one had failed (J5).
    pub fn writes_after_failure(&self) -> u64 {
        self.lock().inodes.iter().map(|i| i.writes_after_failure).sum()
    }

    /// The operation in which the power went, and those before it since the last crash, oldest first; `None` while it is on.
    pub fn cut(&self) -> Option<Vec<(Operation, PathBuf)>> {
        let inner = self.lock();
        let beyond = inner.operations.checked_sub(inner.faults.power_off_at?)?;
        let until = inner.trace.len().checked_sub(usize::try_from(beyond).ok()?)?;
        Some(inner.trace[..until].to_vec())
    }
    /// The last operations since the last crash, oldest first.
    pub fn last_operations(&self, count: usize) -> Vec<(Operation, PathBuf)> {
        let inner = self.lock();
        inner.trace[inner.trace.len().saturating_sub(count)..].to_vec()
    }
    /// Every sector that is not zero, as programs see it and as it is on the disk, of files without a name too: a thief sees all.
    pub fn image(&self) -> Vec<u8> {
        let inner = self.lock();
        let mut image = Vec::new();
        for inode in &inner.inodes {
            let differs = !inode.dirty.is_empty() || inode.seen.len() != inode.durable.len();
            for octets in std::iter::once(&inode.seen).chain(differs.then_some(&inode.durable)) {
                // Long stretches of zeros at once: most of a journal file.
                for stretch in octets.chunks(ZEROS.len()).filter(|stretch| !is_zero(stretch)) {
                    let sectors = stretch.chunks(SECTOR_BYTES).filter(|sector| !is_zero(sector));
                    sectors.for_each(|sector| image.extend_from_slice(sector));
                }
            }
        }
        image
    }
    /// Octets of all files.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }
    /// The files of which that is so.
    pub fn written_after_failure(&self) -> Vec<PathBuf> {
        let inner = self.lock();
        inner.inodes.iter().filter(|i| i.writes_after_failure > 0).map(|i| i.path.clone()).collect()
    }
    /// Another process, which knows nothing of failures before it.
    pub fn forget_failures(&self) {
        self.lock().inodes.iter_mut().for_each(|inode| inode.failed = false);
    }
    /// All names below a directory.
    pub fn files(&self, dir: &Path) -> Vec<PathBuf> {
        self.lock().names.keys().filter(|path| path.starts_with(dir)).cloned().collect()
    }

    /// The power comes back: of what was not synced each sector and each name survives or not.
    pub fn crash(&self, random: &mut Random) {
        let mut inner = self.lock();
        for inode in &mut inner.inodes {
            let Inode { durable, seen, dirty, failed, .. } = inode;
            if seen.len() != durable.len() && random.below(2) == 0 {
                resize(durable, seen.len());
            }
            let dirty = dirty.take();
            let is_changed = !dirty.is_empty() || seen.len() != durable.len();
            for sector in dirty.into_iter().flatten() {
                if random.below(2) == 0 {
                    copy_sectors(seen, durable, &(sector..sector + 1));
                }
            }
            if is_changed {
                seen.clone_from(durable);
            }
            *failed = false;
        }
        let (names, mut durable) = (inner.names.clone(), inner.durable_names.clone());
        let paths: BTreeSet<&PathBuf> = names.keys().chain(inner.durable_names.keys()).collect();
        for path in paths {
            if names.get(path) != inner.durable_names.get(path) && random.below(2) == 0 {
                match names.get(path) {
                    Some(inode) => durable.insert(path.clone(), *inode),
                    None => durable.remove(path),
                };
            }
        }
        inner.names.clone_from(&durable);
        inner.durable_names = durable;
        inner.faults = Faults::default();
        inner.trace.clear();
    }

    /// All octets of a file, to look at or to bend; both views.
    pub fn bend(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.lock();
        let at = *inner.names.get(path).expect("a file");
        let inode = &mut inner.inodes[at];
        change(&mut inode.seen);
        inode.durable.clone_from(&inode.seen);
        inode.dirty = Dirty::default();
    }
    pub fn forget(&self, path: &Path) {
        let mut inner = self.lock();
        inner.names.remove(path);
        inner.durable_names.remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while held")
    }
}

/// Block by block: octet by octet is slow without optimisation.
fn resize(octets: &mut Vec<u8>, bytes: usize) {
    octets.truncate(bytes);
    while octets.len() < bytes {
        let more = (bytes - octets.len()).min(ZEROS.len());
        octets.extend_from_slice(&ZEROS[..more]);
    }
}

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

fn is_zero(octets: &[u8]) -> bool {
    *octets == ZEROS[..octets.len()]
}

fn copy_sectors(from: &[u8], to: &mut Vec<u8>, sectors: &std::ops::Range<usize>) {
    let (start, end) = (sectors.start * SECTOR_BYTES, (sectors.end * SECTOR_BYTES).min(from.len()));
    if start < end {
        if to.len() < end {
            resize(to, end);
        }
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

impl Inner {
    fn is_off(&self) -> bool {
        self.faults.power_off_at.is_some_and(|at| self.operations >= at)
    }
    /// Counts an operation that changes something, and fails it if its time has come.
    fn change(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        self.operations += 1;
        self.trace.push((operation, path.to_owned()));
        if self.is_off() || self.faults.fail_at == Some(self.operations) {
            return Err(io::Error::other("the disk failed"));
        }
        if self.faults.access == Access::ReadOnly { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }
    fn change_at(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        let is_dead = self.faults.dead_dir.as_deref().is_some_and(|dead| path == dead || path.parent() == Some(dead));
        self.change(operation, path).and(if is_dead { Err(io::Error::other("this side failed")) } else { Ok(()) })
    }
    fn is_deaf(&self, dir: Option<&Path>) -> bool {
        dir.is_some_and(|dir| self.faults.deaf_dirs.iter().any(|deaf| dir.starts_with(deaf)))
    }
    fn used(&self) -> u64 {
        self.names.values().map(|i| self.inodes[*i].seen.len() as u64).sum()
    }
    fn change_inode(&mut self, operation: Operation, inode: usize) -> io::Result<()> {
        self.inodes[inode].writes_after_failure += u64::from(self.inodes[inode].failed);
        let path = self.inodes[inode].path.clone();
        let changed = self.change_at(operation, &path);
        self.inodes[inode].failed |= changed.is_err();
        changed
    }
}

impl DiskFile for FakeFile {
    fn write_all_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.lock();
        let start = usize::try_from(offset).expect("small");
        let end = start + octets.len();
        let grows = end.saturating_sub(inner.inodes[self.inode].seen.len()) as u64;
        if grows > 0 && inner.faults.capacity.is_some_and(|most| inner.used() + grows > most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let was_off = inner.is_off();
        let changed = inner.change_inode(Operation::Write, self.inode);
        if was_off {
            return changed;
        }
        let inode = &mut inner.inodes[self.inode];
        if inode.seen.len() < end {
            resize(&mut inode.seen, end);
        }
        // A failed write may have written anything.
        inode.seen[start..end].copy_from_slice(octets);
        inode.dirty.extend(start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
        changed
    }
    fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let inner = self.disk.lock();
        let start = usize::try_from(offset).expect("small");
        let octets = inner.inodes[self.inode].seen.get(start..start + into.len());
        into.copy_from_slice(octets.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().inodes[self.inode].seen.len() as u64)
    }
    fn set_len(&self, octets: u64) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.change_inode(Operation::SetLen, self.inode)?;
        resize(&mut inner.inodes[self.inode].seen, usize::try_from(octets).expect("small"));
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.syncs += 1;
        inner.change_inode(Operation::Sync, self.inode)?;
        let has_header = inner.inodes[self.inode].dirty.contains(0);
        let is_deaf = inner.is_deaf(inner.inodes[self.inode].path.parent());
        let is_ignored = is_deaf
            || match inner.faults.syncs {
                Syncs::Kept => false,
                Syncs::Ignored => true,
                Syncs::HeadersOnly => !has_header,
            };
        if is_ignored {
            return Ok(());
        }
        let Inode { durable, seen, dirty, .. } = &mut inner.inodes[self.inode];
        resize(durable, seen.len());
        for sectors in dirty.take() {
            copy_sectors(seen, durable, &sectors);
        }
        Ok(())
    }
}

impl Disk for FakeDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut inner = self.lock();
        inner.change_at(Operation::Create, path)?;
        if inner.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.inodes.push(Inode { path: path.to_owned(), ..Inode::default() });
        let inode = inner.inodes.len() - 1;
        inner.names.insert(path.to_owned(), inode);
        Ok(Box::new(FakeFile { disk: self.clone(), inode }))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_read(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = *self.lock().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(FakeFile { disk: self.clone(), inode }))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let inner = self.lock();
        let inode = *inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(inner.inodes[inode].seen.clone())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock();
        let here = inner.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }
    fn exists(&self, path: &Path) -> bool {
        self.lock().names.contains_key(path)
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change_at(Operation::Rename, to)?;
        let inode = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        inner.names.insert(to.to_owned(), inode);
        inner.inodes[inode].path = to.to_owned();
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change_at(Operation::Remove, path)?;
        inner.names.remove(path).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change_at(Operation::SyncDir, dir)?;
        if inner.is_deaf(Some(dir)) {
            return Ok(());
        }
        let is_here = |path: &PathBuf| path.parent() == Some(dir);
        let here: Vec<_> = inner.names.iter().filter(|(p, _)| is_here(p)).map(|(p, i)| (p.clone(), *i)).collect();
        inner.durable_names.retain(|path, _| !is_here(path));
        inner.durable_names.extend(here);
        Ok(())
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let inner = self.lock();
        Ok(inner.faults.capacity.map_or(u64::MAX / 2, |most| most.saturating_sub(inner.used())))
    }
    fn filesystem(&self, _: &Path) -> io::Result<Filesystem> {
        Ok(Filesystem::Durable)
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send>> {
        Ok(Box::new(()))
    }
}
