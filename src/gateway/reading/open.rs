//! The readers' side while it is unlocked: the catalog follows the archive, and views are opened on it until it is closed.

use super::Locked;
use super::revocable::{Ending, Revocable};
use crate::archive::Unlocked;
use crate::archive::acts::Tools;
use crate::catalog::{self, Catalog, OpenedArchive, Reader, View, Viewer};
use crate::clock::Clock;
use crate::crypto::hash;
use crate::durable::Disk;
use crate::gateway::acts::standing;
use crate::journal::Journal;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How much of the archive the catalog knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coverage {
    /// Perhaps only a part: a client that looked now would take the rest for deleted.
    Partial,
    /// All that was sealed when it was unlocked, and what was sealed since.
    Whole,
}

/// Whether the catalog's files may still hold what it has forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// They may.
    Perhaps,
    /// They do not.
    None,
}

/// How long a reader waits for the catalog to be brought up to date.
const COVERAGE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a new unlock waits until what was locked before lets go of the catalog.
const CATALOG_PATIENCE: Duration = Duration::from_secs(20);

/// An unlocked archive with its catalog.
pub struct Open {
    pub(super) sealed: Arc<Revocable>,
    catalog: Mutex<Catalog>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    reader: Reader,
    coverage: Mutex<Coverage>,
    covered: Condvar,
    locked: watch::Sender<bool>,
    /// The newest generation of the archive key that it opens.
    pub generation: u32,
}

impl Open {
    /// Over an unlocked archive. Readers wait until `index` was called once.
    pub fn new(
        unlocked: Unlocked,
        disk: &Arc<dyn Disk>,
        (journal, clock): (&Journal, &Arc<dyn Clock>),
        catalog: &Path,
    ) -> Result<Open, String> {
        let absent = unlocked.absent();
        if !absent.is_empty() {
            tracing::warn!("mail sealed to generations {absent:?} of the archive key cannot be read with this unlock");
        }
        let generation = unlocked.archive().generation().number;
        let sealed = Arc::new(Revocable::new(OpenedArchive::new(unlocked)));
        let end = Instant::now() + CATALOG_PATIENCE;
        let catalog = loop {
            match Catalog::open(disk.clone(), clock.clone(), catalog, sealed.clone()) {
                Err(catalog::Error::Busy) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
                opened => break opened.map_err(|e| format!("catalog: {e}"))?,
            }
        };
        let reader = catalog.reader();
        Ok(Open {
            sealed,
            catalog: Mutex::new(catalog),
            journal: journal.clone(),
            clock: clock.clone(),
            reader,
            coverage: Mutex::new(Coverage::Partial),
            covered: Condvar::new(),
            locked: watch::channel(false).0,
            generation,
        })
    }

    /// Nobody reads any more: calls under way end with an error, sessions are told.
    pub fn close(&self) {
        self.locked.send_replace(true);
        self.sealed.revoke();
    }

    /// A view, and what tells that it has ended.
    pub fn view(&self, viewer: &Viewer) -> Result<(Box<dyn View>, watch::Receiver<bool>), Locked> {
        if self.wait() == Coverage::Partial {
            return Err(Locked::Unavailable("the catalog is being brought up to date; try again later".to_owned()));
        }
        let view = self.reader.view(viewer).map_err(|e| Locked::Unavailable(e.to_string()))?;
        let locked = self.locked.subscribe();
        Ok((Box::new(Ending { view, locked: locked.clone() }), locked))
    }

    /// Takes newly sealed segments into the catalog, and compares them with standing holds.
    pub fn index(&self) -> Result<Traces, String> {
        // Readers see what there is, also when a segment cannot be taken in, even by a panic.
        let _covered = Covered(self);
        match self.follow() {
            // The error is that it was locked meanwhile.
            Err(_) if *self.locked.borrow() => Ok(Traces::Perhaps),
            followed => followed,
        }
    }

    fn follow(&self) -> Result<Traces, String> {
        let before = self.take_in()?;
        let opened = self.sealed.opened().map_err(|e| e.to_string())?;
        let tools = Tools { journal: &self.journal, clock: &*self.clock };
        match standing::compare(&tools, &opened, &self.reader)? {
            0 => Ok(before),
            _ => self.take_in(),
        }
    }

    fn take_in(&self) -> Result<Traces, String> {
        // After a panic the transaction was rolled back, and the catalog is as before.
        let indexed = self.catalog.lock().unwrap_or_else(PoisonError::into_inner).index().map_err(|e| e.to_string())?;
        for id in &indexed.unread {
            tracing::error!("bug: {id}: its header cannot be read; it is shown without, and says so");
        }
        for damage in &indexed.damage {
            let place = damage.slot.map_or_else(|| "directory".to_owned(), |slot| format!("slot {slot}"));
            let (segment, detail) = (hash::hex(&damage.segment.id), &damage.detail);
            tracing::error!("not in the catalog: segment {segment}, {place}: {detail}; run `sealpost archive verify`");
        }
        Ok(if indexed.clean { Traces::None } else { Traces::Perhaps })
    }

    fn wait(&self) -> Coverage {
        let coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        let is_partial = |coverage: &mut Coverage| *coverage == Coverage::Partial;
        let waited = self.covered.wait_timeout_while(coverage, COVERAGE_PATIENCE, is_partial);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Lets readers in when it is dropped.
struct Covered<'a>(&'a Open);

impl Drop for Covered<'_> {
    fn drop(&mut self) {
        *self.0.coverage.lock().unwrap_or_else(PoisonError::into_inner) = Coverage::Whole;
        self.0.covered.notify_all();
    }
}
