//! Bringing the archive up to the journal: leaves into the log, and away with what an unfinished pass left. What a start does
//! after a crash, and every pass before and after its segment.

use super::Error;
use super::current_key;
use super::current_key::CurrentKey;
use super::current_key::as_key;
use super::cursor::Malformed;
use super::files;
use super::layout::Layout;
use super::layout::SegmentId;
use super::leaf::Key;
use super::leaf::Seal;
use super::open::Archive;
use super::open::as_seal;
use super::open::lock;
use super::recovery;
use super::settled::settled;
use crate::durable::Disk;
use crate::journal::Journal;
use crate::journal::LeafEntry;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Leaves appended to the log in one step.
const LEAVES_STEP: usize = 16_384;

impl Archive {
    /// Brings the log up to the journal, as a crash between a SEAL leaf and the log's tiles makes necessary, and removes what an
    /// unfinished pass left. `seal` does this first; a start that does not seal at once should call it.
    pub fn reconcile(&self, journal: &Journal) -> Result<(), Error> {
        let _pass = lock(&self.inner.pass);
        self.catch_up(journal)
    }

    pub(super) fn catch_up(&self, journal: &Journal) -> Result<(), Error> {
        self.check_sealed(journal)?;
        self.extend_log(journal)?;
        journal.sealed(self.sealed_through())?;
        if lock(&self.inner.state).swept {
            return Ok(());
        }
        self.sweep()?;
        recovery::refresh(self.inner.disk.as_ref(), &self.inner.layout);
        // What acts decided before a crash, or before a backup was restored. Mail does not wait for it.
        if let Err(error) = self.bury(None) {
            tracing::error!(%error, "key objects of erased or expired mail are not replaced yet");
        }
        lock(&self.inner.state).swept = true;
        Ok(())
    }

    /// What is sealed is let go: never of what an older copy of the archive, beside a newer journal, does not have.
    fn check_sealed(&self, journal: &Journal) -> Result<(), Error> {
        let mut next = self.log_size();
        loop {
            let entries = journal.leaves(next, LEAVES_STEP);
            let Some(last) = entries.last() else { return Ok(()) };
            next = last.index + 1;
            for seal in entries.iter().filter_map(|entry| as_seal(&entry.octets)?.ok()) {
                present(self.inner.disk.as_ref(), &self.inner.layout, &seal)?;
            }
        }
    }

    /// Steps 6 to 8: every durable leaf into the log, then a checkpoint over it.
    pub(super) fn extend_log(&self, journal: &Journal) -> Result<(), Error> {
        let signer = self.inner.signer.as_ref().ok_or(Error::ReadOnly)?;
        loop {
            // A copy, so that readers are not held up by the disk.
            let (mut log, mut newest, mut current, known) = {
                let state = lock(&self.inner.state);
                (state.log.clone(), state.newest.clone(), state.current_key.clone(), state.settled)
            };
            let entries = whole_passes(journal, log.size(), LEAVES_STEP)?;
            if entries.is_empty() {
                return Ok(());
            }
            let mut leaves = Vec::with_capacity(entries.len());
            for (index, entry) in (log.size()..).zip(entries) {
                if entry.index != index {
                    return Err(Error::RolledBack(format!(
                        "its log ends at leaf {index}, and the journal has let go of what lies before leaf {}",
                        entry.index
                    )));
                }
                let taken = newest.take(index, &entry.octets);
                taken.map_err(|what| Error::damaged(format!("leaf {index}"), what))?;
                if let Some(key) = as_key(&entry.octets) {
                    let key = key.map_err(|what| Error::damaged(format!("leaf {index}"), what))?;
                    // Nothing is sealed to the former generation any more, even if this one's file should be gone.
                    current = Arc::new(self.follow(&current, (index, &key))?);
                }
                leaves.push(entry.octets.to_vec());
            }
            log.extend(self.inner.disk.as_ref(), &self.inner.layout, signer, leaves)?;
            let (disk, last) = (self.inner.disk.as_ref(), newest.seal.as_ref());
            let settled = settled(disk, &self.inner.layout, log.size(), last, known);
            let mut state = lock(&self.inner.state);
            state.log = log;
            state.current_key = current;
            state.newest = newest;
            state.settled = settled;
        }
    }

    /// The generation that a KEY leaf of the journal begins.
    fn follow(&self, current: &CurrentKey, (index, key): (u64, &Key)) -> Result<CurrentKey, Error> {
        if key.generation != current.generation.number + 1 {
            return Err(Error::damaged(format!("leaf {index}"), Malformed("a generation out of order")));
        }
        CurrentKey::load(self.inner.disk.as_ref(), &self.inner.layout, &self.id(), (index, key))
    }

    /// Removes temporary files and segments without a SEAL leaf. Nobody seals meanwhile.
    fn sweep(&self) -> Result<(), Error> {
        let layout = &self.inner.layout;
        let disk = self.inner.disk.as_ref();
        let current = self.current_key();
        current.write_hint(disk, layout)?;
        for path in current_key::leftovers(disk, layout, current.generation.number)? {
            files::remove_if_there(disk, &path).map_err(|e| Error::io(layout.name(&path), e))?;
        }
        let mut known = None;
        for (dir, suffix) in [
            (layout.segments(), ".data"),
            (layout.segments(), ".keys"),
            (layout.key_copies(), ".keys"),
            (layout.covers(), ""),
        ] {
            for path in self.leftovers(&dir, suffix, &mut known)? {
                // crash point sweep-1: a temporary file goes; crash point sweep-2: a file without a SEAL leaf.
                files::remove_if_there(self.inner.disk.as_ref(), &path)
                    .map_err(|e| Error::io(layout.name(&path), e))?;
            }
        }
        Ok(())
    }

    /// What a crash left in a directory of files named after segments. `known` is read from the log when first needed.
    fn leftovers(
        &self,
        dir: &Path,
        suffix: &str,
        known: &mut Option<HashSet<SegmentId>>,
    ) -> Result<Vec<PathBuf>, Error> {
        let names = self.inner.disk.list(dir).map_err(|e| Error::io(self.inner.layout.name(dir), e))?;
        let (temporary, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.ends_with(".tmp"));
        let named = |name: &String| Some((name.clone(), SegmentId::parse(name.strip_suffix(suffix)?).ok()?));
        let named: Vec<_> = names.iter().filter_map(named).collect();
        let mut doomed = temporary;
        let sealed = self.last_segment().map_or(0, |info| info.seal.totals.segments);
        let sealed = if suffix == ".data" { sealed.saturating_sub(self.dead_segments()) } else { sealed };
        // More files than SEAL leaves: some have none. Only then is the whole chain worth reading.
        if named.len() as u64 > sealed {
            let known = match known {
                Some(known) => known,
                none => none.insert(self.segments()?.into_iter().map(|info| info.seal.segment).collect()),
            };
            doomed.extend(named.into_iter().filter(|(_, id)| !known.contains(id)).map(|(name, _)| name));
        }
        Ok(doomed.into_iter().map(|name| dir.join(name)).collect())
    }
}

/// The journal's leaves from `from` on, `step` of them, or as many more as it takes to end behind a seal pass: no checkpoint ends
/// between its segments, so that who reads the log sees all of them or none.
pub(super) fn whole_passes(journal: &Journal, from: u64, step: usize) -> Result<Vec<LeafEntry>, Error> {
    let mut entries = journal.leaves(from, step);
    let last = entries.last().and_then(|entry| Some((entry.index, as_seal(&entry.octets)?)));
    if let Some((index, seal)) = last {
        let seal = seal.map_err(|what| Error::damaged(format!("leaf {index}"), what))?;
        let missing = usize::try_from(seal.parts - seal.part - 1).unwrap_or_default();
        entries.extend(journal.leaves(index + 1, missing));
    }
    Ok(entries)
}

/// Whether the objects of a segment are there, as long as they should be. One key object is enough.
fn present(disk: &dyn Disk, layout: &Layout, seal: &Seal) -> Result<(), Error> {
    let whole = disk.open_read(&layout.data(&seal.segment)).and_then(|file| file.len());
    let keys = layout.keys(&seal.segment).iter().any(|path| disk.exists(path));
    if whole.is_ok_and(|bytes| bytes == seal.data_bytes) && keys && disk.exists(&layout.cover(&seal.segment)) {
        return Ok(());
    }
    Err(Error::RolledBack(format!("the journal knows segment {} as sealed, and it is not here", seal.segment)))
}
