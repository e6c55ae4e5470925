//! What follows an erasure or expiry, until its receipt can be written: tombs in all key objects, a journal that has let its files
//! go, a catalog that has forgotten. Each step may be repeated; a start begins anew with what has no receipt.

use super::Office;
use crate::archive::acts::Followup;
use crate::journal::{Evicted, Eviction};
use std::sync::{Mutex, PoisonError};

/// Where this process is with it.
#[derive(Debug, Default)]
pub struct Settling(Mutex<Stand>);

#[derive(Debug, Default)]
struct Stand {
    /// The newest act when nothing was left to do.
    settled: Option<Option<u64>>,
    /// The eviction under way, and the newest act it serves.
    eviction: Option<(u64, Eviction)>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Every act has its receipt; those that were written now, by their first leaf.
    All(Vec<u64>),
    /// Something is still to be done, in words.
    Waiting(String),
}

impl Settling {
    /// Goes on with what is left. `forget` brings the catalog up to date and says what it still waits for.
    pub fn settle(
        &self,
        office: &Office<'_>,
        key_backup_days: u32,
        forget: impl FnOnce() -> Result<(), String>,
    ) -> Result<Settled, String> {
        let mut stand = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = office.archive.last_act();
        if stand.settled == Some(newest) {
            return Ok(Settled::All(Vec::new()));
        }
        let text = |error: crate::archive::Error| error.to_string();
        let pending = office.archive.unreceipted().map_err(text)?;
        let Some(last) = pending.last().map(|one| one.act) else {
            stand.settled = Some(newest);
            stand.eviction = None;
            return Ok(Settled::All(Vec::new()));
        };
        let eviction = match stand.eviction {
            Some((through, eviction)) if through >= last => eviction,
            _ => {
                office.archive.bring_up().map_err(text)?;
                let eviction = office.journal.evict().map_err(|e| e.to_string())?;
                stand.eviction = Some((last, eviction));
                // What is in those files and not sealed keeps them.
                office.archive.seal(office.journal, office.clock).map_err(text)?;
                eviction
            }
        };
        if let Err(why) = forget() {
            return Ok(Settled::Waiting(why));
        }
        if let Evicted::Not(why) = office.journal.evicted(&eviction).map_err(|e| e.to_string())? {
            return Ok(Settled::Waiting(why));
        }
        let followup = Followup { completed: office.clock.now(), journal_files: eviction.files, key_backup_days };
        let mut written = Vec::new();
        for one in pending {
            office.archive.write_receipt(&one, &followup).map_err(text)?;
            office.tell("receipt", "sealpost", &format!("log/receipts/{}.json", one.act));
            written.push(one.act);
        }
        // Acts that came meanwhile are seen to by the next call.
        stand.eviction = None;
        Ok(Settled::All(written))
    }
}
