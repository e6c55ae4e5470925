//! What is remembered of checkpoints: the last one, beside the archive, and what was sent where. And at a start the comparison with
//! all that is remembered outside the archive, before anything is signed.

use super::directory;
use crate::archive::{self, Archive, Compared};
use crate::clock::Timestamp;
use crate::durable::{self, Disk};
use crate::gateway::config::{CheckpointTo, Config};
use crate::gateway::error::Error;
use crate::gateway::post::Places;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The last checkpoint, as `log/checkpoint` was.
const LAST: &str = "checkpoint";
/// What was sent.
const SENT: &str = "checkpoints.json";

/// A checkpoint that went somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// Of how many leaves.
    pub size: u64,
}

/// By destination, as the configuration spells it.
pub type Destinations = BTreeMap<String, Sent>;

/// What was sent so far. What cannot be read is sent again.
pub fn load(disk: &dyn Disk, places: &Places) -> Destinations {
    let read = disk.read(&places.state.join(SENT));
    let parsed = read.and_then(|octets| serde_json::from_slice(&octets).map_err(io::Error::other));
    parsed.unwrap_or_else(|e| {
        if e.kind() != io::ErrorKind::NotFound {
            tracing::warn!("what checkpoints were sent is forgotten: {e}");
        }
        Destinations::new()
    })
}

/// Keeps what was sent.
pub fn save(disk: &dyn Disk, places: &Places, sent: &Destinations) -> io::Result<()> {
    put(disk, &places.state, SENT, &serde_json::to_vec(sent)?)
}

/// Replaces a file in the state directory, which is made when it is not there. One at a time: sealer and sender may both have news.
pub fn put(disk: &dyn Disk, state: &Path, name: &str, octets: &[u8]) -> io::Result<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    disk.create_dir(state)?;
    durable::replace(disk, &state.join(name), octets)
}

/// Keeps the newest checkpoint beside the archive, so that an archive restored alone is noticed.
pub fn remember(disk: &dyn Disk, config: &Config, archive: &Archive) {
    let state = Places::of(config).state;
    let kept = archive.checkpoint().map_err(|e| e.to_string()).and_then(|checkpoint| {
        let same = directory::bounded(disk, &state.join(LAST)).is_ok_and(|last| last == checkpoint.note);
        if same { Ok(()) } else { put(disk, &state, LAST, &checkpoint.note).map_err(|e| e.to_string()) }
    });
    kept.unwrap_or_else(|e| tracing::warn!("the last checkpoint is not kept beside the archive: {e}"));
}

/// Compares the archive with every checkpoint that is remembered outside its log. An older copy of it, or another branch, is an
/// error: what it would sign next would contradict what was signed.
pub fn compare(disk: &dyn Disk, config: &Config, archive: &Archive) -> Result<(), Error> {
    let places = Places::of(config);
    for (path, note) in remembered(disk, config, &places, archive) {
        let fault = match archive.compare(&note).map_err(|e| Error::archive(&places.archive, &e))? {
            Compared::Continues(_) => continue,
            Compared::Foreign(what) => {
                tracing::warn!("{}: {what}; it is not compared", path.display());
                continue;
            }
            Compared::Behind(outside) => {
                let here = archive.log_size();
                format!("{} covers {} entries, its log ends at {here}", path.display(), outside.size)
            }
            Compared::Forked(outside) => {
                format!("{} has another root at {} entries than its log", path.display(), outside.size)
            }
        };
        return Err(Error::archive(&places.archive, &archive::Error::RolledBack(fault)));
    }
    Ok(())
}

fn remembered(disk: &dyn Disk, config: &Config, places: &Places, archive: &Archive) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let last = places.state.join(LAST);
    match directory::bounded(disk, &last) {
        Ok(note) => found.push((last, note)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => tracing::warn!("{}: {e}; it is not compared", last.display()),
    }
    let anchors = (places.archive.join("log/anchors"), String::new());
    let own = format!("{}-", archive.id());
    let outside = config.archive.checkpoint_to.iter().filter_map(CheckpointTo::path);
    for (dir, prefix) in outside.map(|dir| (dir.to_owned(), own.clone())).chain([anchors]) {
        match directory::newest(disk, &dir, &prefix) {
            Ok(notes) => found.extend(notes.into_iter().map(|(name, note)| (dir.join(name), note))),
            Err(e) if e.kind() == io::ErrorKind::NotFound && prefix.is_empty() => {}
            // Its volume may come back; mail does not wait for it.
            Err(e) => tracing::warn!("{}: {e}; checkpoints there are not compared", dir.display()),
        }
    }
    found
}
