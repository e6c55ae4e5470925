//! The readers' side: unlocks the archive with the officer's key, keeps the catalog up to date, opens views. Cannot write mail.

use super::acts::standing;
use super::config::Config;
use super::post::{Places, Post};
use crate::access::{Account, Reads};
use crate::archive::acts::Tools;
use crate::archive::{Archive, Unlocked};
use crate::catalog::{Catalog, OpenedArchive, Reader, View, Viewer};
use crate::clock::{Clock, SystemClock};
use crate::crypto::{SecretBytes, hash};
use crate::durable::{Disk, RealDisk};
use crate::journal::Journal;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Why an account gets no view.
#[derive(Debug, thiserror::Error)]
pub enum Locked {
    /// The account may not read mail.
    #[error("this role reads no mail")]
    NotForThisRole,
    /// No officer has unlocked the archive, or it cannot be read.
    #[error("{0}")]
    Unavailable(String),
}

/// Whether mail can be read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can.
    Unlocked,
    /// It cannot.
    Locked,
}

impl State {
    /// For people and JSON.
    pub fn word(self) -> &'static str {
        match self {
            State::Unlocked => "unlocked",
            State::Locked => "locked",
        }
    }
}

/// The readers' side of a running gateway.
pub struct Reading(Result<Open, String>);

struct Open {
    catalog: Mutex<Catalog>,
    opened: Arc<OpenedArchive>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    reader: Reader,
    coverage: Mutex<Coverage>,
    covered: Condvar,
}

/// Whether the catalog's files may still hold what it has forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traces {
    Perhaps,
    None,
}

/// How much of the archive the catalog knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coverage {
    /// Perhaps only a part: a client that looked now would take the rest for deleted.
    Partial,
    /// All that was sealed when the gateway started, and what was sealed since.
    Whole,
}

/// How long a reader waits for the catalog to be brought up to date.
const COVERAGE_PATIENCE: Duration = Duration::from_secs(10);

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({})", self.state().word())
    }
}

impl Reading {
    /// Unlocks if the configuration says with what. A view that stays locked is no fault of the gateway: mail goes on. Readers
    /// wait until `index` was called once.
    pub fn open(post: &Post) -> Reading {
        let opened = open(post);
        if let Err(reason) = &opened {
            tracing::warn!("the view is locked: {reason}");
        }
        Reading(opened)
    }

    /// Whether mail can be read.
    pub fn state(&self) -> State {
        if self.0.is_ok() { State::Unlocked } else { State::Locked }
    }

    /// Takes newly sealed segments into the catalog.
    pub fn index(&self) -> Result<(), String> {
        let Ok(open) = &self.0 else { return Ok(()) };
        // Readers see what there is, also when a segment cannot be taken in, even by a panic.
        let _covered = Covered(open);
        open.index().map(drop)
    }

    /// Has the catalog forget what is erased or expired. Where it cannot be opened it is removed, to be made anew.
    pub fn forget(&self, post: &Post) -> Result<(), String> {
        let Ok(open) = &self.0 else {
            let discarded = Catalog::discard(&**post.disk(), &Places::of(&post.config()).catalog);
            return discarded.map_err(|e| e.to_string());
        };
        match open.index()? {
            Traces::None => Ok(()),
            Traces::Perhaps => Err("a reader holds the catalog's write-ahead log open".to_owned()),
        }
    }

    /// What this account may see. Waits a moment while the catalog is not up to date.
    pub fn view(&self, account: &Account) -> Result<Box<dyn View>, Locked> {
        let viewer = match account.role.reads() {
            Reads::Nothing => return Err(Locked::NotForThisRole),
            Reads::Own => Viewer::Addresses(account.addresses.clone()),
            Reads::All => Viewer::Everything,
        };
        let open = self.0.as_ref().map_err(|reason| Locked::Unavailable(reason.clone()))?;
        if open.wait() == Coverage::Partial {
            return Err(Locked::Unavailable("the catalog is being brought up to date; try again later".to_owned()));
        }
        open.reader.view(&viewer).map_err(|e| Locked::Unavailable(e.to_string()))
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

impl Open {
    fn wait(&self) -> Coverage {
        let coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        let is_partial = |coverage: &mut Coverage| *coverage == Coverage::Partial;
        let waited = self.covered.wait_timeout_while(coverage, COVERAGE_PATIENCE, is_partial);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn index(&self) -> Result<Traces, String> {
        let before = self.take_in()?;
        let tools = Tools { journal: &self.journal, clock: &*self.clock };
        match standing::compare(&tools, &self.opened, &self.reader)? {
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
}

fn open(post: &Post) -> Result<Open, String> {
    let config = post.config();
    let unlocked = unlock(&config, post.archive())?;
    let places = Places::of(&config);
    let opened = Arc::new(OpenedArchive::new(unlocked));
    let catalog = Catalog::open(post.disk().clone(), post.clock().clone(), &places.catalog, opened.clone())
        .map_err(|e| format!("catalog: {e}"))?;
    let reader = catalog.reader();
    let coverage = Mutex::new(Coverage::Partial);
    let (journal, clock) = (post.journal().clone(), post.clock().clone());
    Ok(Open { catalog: Mutex::new(catalog), opened, journal, clock, reader, coverage, covered: Condvar::new() })
}

/// Opens the archive with the officer's key that the configuration names.
pub fn unlock(config: &Config, archive: &Archive) -> Result<Unlocked, String> {
    let Some(key) = &config.view.officer_key else { return Err("no [view] officer_key is configured".to_owned()) };
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let key = SecretBytes::new(read(key)?);
    let passphrase = first_line(config.view.passphrase_file.as_deref())?;
    archive.unlock(key.expose(), &passphrase).map_err(|e| e.to_string())
}

/// The passphrase in a file's first line; empty without a file.
pub fn first_line(path: Option<&Path>) -> Result<SecretBytes, String> {
    let Some(path) = path else { return Ok(SecretBytes::new(Vec::new())) };
    let octets = SecretBytes::new(std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?);
    let line = octets.expose().split(|&b| b == b'\n').next().unwrap_or_default();
    Ok(SecretBytes::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
}

/// Has the catalog forget what is erased or expired when no server runs. Where no key opens it here it is removed.
pub fn forget_for_command(config: &Config) -> Result<(), String> {
    let places = Places::of(config);
    let (disk, clock): (Arc<dyn Disk>, Arc<dyn Clock>) = (Arc::new(RealDisk), Arc::new(SystemClock));
    let archive = Archive::open_read_only(disk.clone(), &places.archive).map_err(|e| e.to_string())?;
    let failed = |e: crate::catalog::Error| format!("catalog: {e}");
    let Ok(unlocked) = unlock(config, &archive) else {
        return Catalog::discard(&*disk, &places.catalog).map_err(failed);
    };
    let opened = Arc::new(OpenedArchive::new(unlocked));
    let mut catalog = Catalog::open(disk, clock, &places.catalog, opened).map_err(failed)?;
    match catalog.index().map_err(failed)?.clean {
        true => Ok(()),
        false => Err("a reader holds the catalog's write-ahead log open".to_owned()),
    }
}

/// A reader for a command: of the running server's catalog, or of one brought up to date here.
pub fn reader_for_command(
    config: &Config,
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    opened: &Arc<OpenedArchive>,
) -> Result<Reader, String> {
    use crate::catalog::Error;
    let places = Places::of(config);
    match Catalog::open(disk.clone(), clock.clone(), &places.catalog, opened.clone()) {
        Ok(mut catalog) => {
            catalog.index().map_err(|e| format!("catalog: {e}"))?;
            Ok(catalog.reader())
        }
        Err(Error::Busy) => {
            Reader::open(&**disk, clock.clone(), &places.catalog, opened.clone()).map_err(|e| format!("catalog: {e}"))
        }
        Err(e) => Err(format!("catalog: {e}")),
    }
}
