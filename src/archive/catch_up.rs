//! Bringing the archive up to the journal: leaves into the log, and away with what an unfinished pass left. What a start does
//! after a crash, and every pass before and after its segment.

use super::Error;
use super::cursor::Malformed;
use super::files;
use super::layout::SegmentId;
use super::open::Archive;
use super::open::as_seal;
use super::open::lock;
use super::recovery;
use super::settled::settled;
use crate::journal::Journal;
use crate::journal::LeafEntry;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

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
        self.extend_log(journal)?;
        journal.sealed(self.sealed_through())?;
        if lock(&self.inner.state).swept {
            return Ok(());
        }
        self.sweep()?;
        recovery::refresh(self.inner.disk.as_ref(), &self.inner.layout);
        lock(&self.inner.state).swept = true;
        Ok(())
    }

    /// Steps 6 to 8: every durable leaf into the log, then a checkpoint over it.
    pub(super) fn extend_log(&self, journal: &Journal) -> Result<(), Error> {
        let signer = self.inner.signer.as_ref().ok_or(Error::ReadOnly)?;
        loop {
            // A copy, so that readers are not held up by the disk.
            let (mut log, mut newest, known) = {
                let state = lock(&self.inner.state);
                (state.log.clone(), state.newest.clone(), state.settled)
            };
            let entries = whole_passes(journal, log.size(), LEAVES_STEP)?;
            if entries.is_empty() {
                return Ok(());
            }
            let mut leaves = Vec::with_capacity(entries.len());
            for (index, entry) in (log.size()..).zip(entries) {
                if entry.index != index {
                    return Err(Error::damaged("log", Malformed("the journal's leaves do not follow the log")));
                }
                let taken = newest.take(index, &entry.octets);
                taken.map_err(|what| Error::damaged(format!("leaf {index}"), what))?;
                leaves.push(entry.octets.to_vec());
            }
            log.extend(self.inner.disk.as_ref(), &self.inner.layout, signer, leaves)?;
            let (disk, last) = (self.inner.disk.as_ref(), newest.seal.as_ref());
            let settled = settled(disk, &self.inner.layout, log.size(), last, known);
            let mut state = lock(&self.inner.state);
            state.log = log;
            state.newest = newest;
            state.settled = settled;
        }
    }

    /// Removes temporary files and segments without a SEAL leaf. Nobody seals meanwhile.
    fn sweep(&self) -> Result<(), Error> {
        let layout = &self.inner.layout;
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
