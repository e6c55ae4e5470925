//! The readers' side: locked or unlocked by officers, at the start with a key that the configuration names, later with keys or
//! shares brought to the running gateway. Cannot write mail.

mod open;
mod revocable;
#[cfg(test)]
mod tests;

use super::config::Config;
use super::post::{Places, Post};
use super::secret_file;
use crate::access::{Account, Reads};
use crate::archive::{Archive, ArchiveSecrets, Gathering, Share, Unlocked};
use crate::catalog::{Catalog, OpenedArchive, Reader, View, Viewer};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::durable::{Disk, RealDisk};
use crate::journal::Journal;
use open::{Open, Traces};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long shares wait in memory for the others of their subset.
const SHARES_WAIT: Duration = Duration::from_secs(600);

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

/// What came of officers' shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Others are needed.
    Waiting,
    /// The view is unlocked.
    Unlocked,
}

/// The readers' side of a running gateway.
pub struct Reading {
    archive: Archive,
    journal: Journal,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    catalog: PathBuf,
    /// Held while it is unlocked or locked; `state` is not, so that readers and commands need not wait for the catalog.
    changing: Mutex<()>,
    state: Mutex<State>,
}

struct State {
    current: Result<Arc<Open>, String>,
    /// When it is locked of itself.
    until: Option<Deadline>,
    waiting: Option<Waiting>,
}

/// Shares of some officers.
struct Waiting {
    gathering: Gathering,
    generation: u32,
    until: Deadline,
}

/// A moment for us, and the same for people.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Instant,
    shown: Timestamp,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({})", if self.state().current.is_ok() { "unlocked" } else { "locked" })
    }
}

impl Reading {
    /// Unlocks if the configuration says with what. A view that stays locked is no fault of the gateway: mail goes on. Readers
    /// wait until `index` was called once.
    pub fn open(post: &Post) -> Reading {
        let reading = Reading {
            archive: post.archive().clone(),
            journal: post.journal().clone(),
            disk: post.disk().clone(),
            clock: post.clock().clone(),
            catalog: Places::of(&post.config()).catalog,
            changing: Mutex::new(()),
            state: Mutex::new(State { current: Err(String::new()), until: None, waiting: None }),
        };
        reading.open_configured(&post.config());
        reading
    }

    /// Unlocks with the key that the configuration names, or says why not.
    fn open_configured(&self, config: &Config) {
        let opened = unlock(config, &self.archive).and_then(|unlocked| self.opened(unlocked));
        if let Err(reason) = &opened {
            tracing::warn!("the view is locked: {reason}");
        }
        self.state().current = opened;
    }

    fn opened(&self, unlocked: Unlocked) -> Result<Arc<Open>, String> {
        Open::new(unlocked, &self.disk, (&self.journal, &self.clock), &self.catalog).map(Arc::new)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deadline(&self, wait: Duration) -> Deadline {
        let s = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        Deadline { at: Instant::now() + wait, shown: self.clock.now().plus_s(s) }
    }

    /// Takes officers' shares; once those of a subset are together the view is unlocked for `ttl`. Blocking.
    pub fn unlock(&self, shares: &[Share], ttl: Duration) -> Result<Reached, String> {
        let _changing = self.changing();
        let Some(secrets) = self.gather(shares)? else { return Ok(Reached::Waiting) };
        let unlocked = self.archive.unlocked(secrets).map_err(|e| e.to_string())?;
        let generation = unlocked.archive().generation().number;
        let is_open = |open: &Arc<Open>| open.generation == generation;
        if !self.state().current.as_ref().is_ok_and(is_open) {
            self.close("it is being unlocked");
            let opened = self.opened(unlocked);
            self.state().current = opened;
        }
        let until = self.deadline(ttl);
        let mut state = self.state();
        state.until = Some(until);
        state.current.as_ref().map(|_| Reached::Unlocked).map_err(String::clone)
    }

    /// The secrets, if with these shares a subset is complete.
    fn gather(&self, shares: &[Share]) -> Result<Option<ArchiveSecrets>, String> {
        let generation = self.archive.generation();
        let mut state = self.state();
        expire_shares(&mut state, Instant::now());
        let mut waiting = match state.waiting.take().filter(|waiting| waiting.generation == generation.number) {
            Some(waiting) => waiting,
            None => Waiting {
                generation: generation.number,
                gathering: Gathering::new(generation),
                until: self.deadline(SHARES_WAIT),
            },
        };
        let secrets = waiting.gathering.add(shares).and_then(|()| waiting.gathering.secrets());
        // What waited goes on waiting beside a wrong one; what has opened is wiped.
        if !matches!(secrets, Ok(Some(_))) && waiting.gathering.progress().have > 0 {
            state.waiting = Some(waiting);
        }
        secrets.map_err(|e| e.to_string())
    }

    /// Locks at once: the secret is wiped, sessions end, shares that wait are forgotten.
    pub fn lock(&self, reason: &str) {
        let _changing = self.changing();
        self.close(reason);
    }

    fn close(&self, reason: &str) {
        let mut state = self.state();
        state.until = None;
        state.waiting = None;
        let former = std::mem::replace(&mut state.current, Err(reason.to_owned()));
        drop(state);
        if let Ok(open) = former {
            open.close();
            tracing::info!("the view is locked: {reason}");
        }
    }

    /// The archive key has a new generation: who unlocked the former one is asked again.
    pub fn follow(&self, config: &Config) {
        let _changing = self.changing();
        let number = self.archive.generation().number;
        self.close(&format!(
            "generation {number} of the archive key is new: its officers unlock with `sealpost unlock`"
        ));
        if config.view.officer_key.is_some() {
            self.open_configured(config);
        }
    }

    /// Locks what has been unlocked for long enough, and forgets shares that waited in vain.
    pub fn expire(&self, now: Instant) {
        let is_over = {
            let mut state = self.state();
            expire_shares(&mut state, now);
            state.until.is_some_and(|until| until.at <= now)
        };
        if is_over {
            let _changing = self.changing();
            // Somebody may have unlocked it anew meanwhile.
            if self.state().until.is_some_and(|until| until.at <= now) {
                self.close("the time it was unlocked for is over");
            }
        }
    }

    /// Whether mail can be read, until when, and which shares wait: for people and JSON.
    pub fn shown(&self) -> Value {
        let state = self.state();
        let mut shown = json!({"view": if state.current.is_ok() { "unlocked" } else { "locked" }});
        match &state.current {
            Err(reason) => shown["locked_because"] = Value::from(reason.as_str()),
            Ok(_) => shown["unlocked_until"] = state.until.map(|until| until.shown.rfc3339()).into(),
        }
        if let Some(waiting) = &state.waiting {
            let progress = waiting.gathering.progress();
            shown["shares"] = Value::from(format!("{} of {}", progress.have, progress.needed));
            shown["shares_of"] = progress.officers.iter().map(|officer| u32::from(*officer) + 1).collect();
            shown["shares_until"] = Value::from(waiting.until.shown.rfc3339());
        }
        shown
    }

    /// Takes newly sealed segments into the catalog.
    pub fn index(&self) -> Result<(), String> {
        let open = self.state().current.as_ref().ok().cloned();
        open.map_or(Ok(()), |open| open.index().map(drop))
    }

    /// Has the catalog forget what is erased or expired. Where it is locked it is removed, to be made anew.
    pub fn forget(&self) -> Result<(), String> {
        // Nobody opens a catalog that is being removed.
        let _changing = self.changing();
        let open = self.state().current.as_ref().ok().cloned();
        let Some(open) = open else {
            return Catalog::discard(&*self.disk, &self.catalog).map_err(|e| e.to_string());
        };
        match open.index()? {
            Traces::None => Ok(()),
            Traces::Perhaps => Err("a reader holds the catalog's write-ahead log open".to_owned()),
        }
    }

    /// What this account may see, and what tells when it may no more. Waits a moment while the catalog is not up to date.
    pub fn view(&self, account: &Account) -> Result<(Box<dyn View>, watch::Receiver<bool>), Locked> {
        let viewer = match account.role.reads() {
            Reads::Nothing => return Err(Locked::NotForThisRole),
            Reads::Own => Viewer::Addresses(account.addresses.clone()),
            Reads::All => Viewer::Everything,
        };
        let open = self.state().current.clone().map_err(Locked::Unavailable)?;
        open.view(&viewer)
    }
}

fn expire_shares(state: &mut State, now: Instant) {
    if state.waiting.as_ref().is_some_and(|waiting| waiting.until.at <= now) {
        state.waiting = None;
        tracing::warn!("officers' shares waited in vain for the others and are forgotten");
    }
}

/// Opens the archive with the officer's key that the configuration names.
pub fn unlock(config: &Config, archive: &Archive) -> Result<Unlocked, String> {
    let Some(key) = &config.view.officer_key else { return Err("no [view] officer_key is configured".to_owned()) };
    let key = secret_file::read(key)?;
    let passphrase = secret_file::passphrase(config.view.passphrase_file.as_deref())?;
    archive.unlock(key.expose(), &passphrase).map_err(|e| e.to_string())
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
