//! Bringing the archive up to the journal: leaves into the log, and away with what an unfinished pass left. What a start does
//! after a crash, and every pass before and after its segment.

use super::Error;
use super::files;
use super::layout::Layout;
use super::layout::SegmentId;
use super::leaf::Seal;
use super::open::Archive;
use super::open::SegmentInfo;
use super::open::as_seal;
use super::open::lock;
use crate::durable::Disk;
use crate::journal::Journal;
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
        self.check_sealed(journal)?;
        self.extend_log(journal)?;
        journal.sealed(self.sealed_through())?;
        if lock(&self.inner.state).swept {
            return Ok(());
        }
        self.sweep()?;
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
            let (mut log, mut last) = {
                let state = lock(&self.inner.state);
                (state.log.clone(), state.last.clone())
            };
            let entries = journal.leaves(log.size(), LEAVES_STEP);
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
                if let Some(seal) = as_seal(&entry.octets) {
                    let seal = seal.map_err(|what| Error::damaged(format!("leaf {index}"), what))?;
                    last = Some(SegmentInfo { seal_index: index, seal });
                }
                leaves.push(entry.octets.to_vec());
            }
            log.extend(self.inner.disk.as_ref(), &self.inner.layout, signer, leaves)?;
            let mut state = lock(&self.inner.state);
            state.log = log;
            state.last = last;
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

/// Whether the objects of a segment are there, as long as they should be. One key object is enough.
fn present(disk: &dyn Disk, layout: &Layout, seal: &Seal) -> Result<(), Error> {
    let whole = disk.open_read(&layout.data(&seal.segment)).and_then(|file| file.len());
    let keys = layout.keys(&seal.segment).iter().any(|path| disk.exists(path));
    if whole.is_ok_and(|bytes| bytes == seal.data_bytes) && keys && disk.exists(&layout.cover(&seal.segment)) {
        return Ok(());
    }
    Err(Error::RolledBack(format!("the journal knows segment {} as sealed, and it is not here", seal.segment)))
}
