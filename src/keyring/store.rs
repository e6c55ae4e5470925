//! The keyring's directory: one file per item, written whole or not at all. Never interprets an item.
//!
//! One process changes a keyring at a time (the running server, or the command line without one); readers need no lock,
//! because a file is replaced in one step.

use super::error::Error;
use super::item::{self, ITEM_BYTES_MAX, Item};
use crate::crypto::Secret;
use crate::durable;
use crate::durable::Disk;
use std::io;
use std::path::{Path, PathBuf};

/// Items in one keyring.
pub const ITEMS_MAX: usize = 100_000;
/// The keyring below the data directory.
const DIRECTORY: &str = "keyring";
const SUFFIX: &str = ".item";

/// A keyring's place, and the key its private parts are sealed under.
#[derive(Clone, Copy)]
pub struct Store<'a> {
    /// Where the files are.
    pub disk: &'a dyn Disk,
    /// The data directory; the keyring is below it.
    pub dir: &'a Path,
    /// Seals private parts and authenticates all.
    pub host_key: &'a Secret<32>,
}

impl Store<'_> {
    /// The ids of all items. A directory that is not there holds none.
    pub fn ids(&self) -> Result<Vec<String>, Error> {
        let dir = self.dir.join(DIRECTORY);
        let names = match self.disk.list(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(|source| Error::Disk { path: dir, source })?,
        };
        let ids: Vec<String> = names.iter().filter_map(|n| n.strip_suffix(SUFFIX)).map(str::to_owned).collect();
        if ids.len() > ITEMS_MAX { Err(Error::Full) } else { Ok(ids) }
    }
    /// The item with this id, if there is one.
    pub fn find(&self, id: &str) -> Result<Option<Item>, Error> {
        if self.disk.exists(&self.path(id)) { self.read(id).map(Some) } else { Ok(None) }
    }
    /// The item with this id.
    pub fn read(&self, id: &str) -> Result<Item, Error> {
        let path = self.path(id);
        let octets = self.octets(&path).map_err(|source| Error::Disk { path: path.clone(), source })?;
        let item = Item::decode(&octets, self.host_key).map_err(|e| Error::item(path.clone(), e))?;
        // A file under another name would answer for another item.
        if item.id() == id { Ok(item) } else { Err(Error::item(path, item::Error::Malformed)) }
    }
    /// Writes an item, durable on return.
    pub fn write(&self, item: &Item) -> Result<(), Error> {
        let path = self.path(&item.id());
        let octets = item.encode(self.host_key).map_err(|e| Error::item(path.clone(), e))?;
        if u64::try_from(octets.len()).is_ok_and(|octets| octets > ITEM_BYTES_MAX) {
            return Err(Error::Item { path, reason: format!("larger than {ITEM_BYTES_MAX} octets") });
        }
        let written = self.disk.create_dir(&self.dir.join(DIRECTORY));
        let written = written.and_then(|()| durable::replace(self.disk, &path, &octets));
        written.map_err(|source| Error::Disk { path, source })
    }
    /// Removes an item, durable on return.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let path = self.path(id);
        let removed = self.disk.remove(&path).and_then(|()| self.disk.sync_dir(&self.dir.join(DIRECTORY)));
        removed.map_err(|source| Error::Disk { path, source })
    }
    /// The file of an item.
    pub fn path(&self, id: &str) -> PathBuf {
        self.dir.join(DIRECTORY).join(format!("{id}{SUFFIX}"))
    }
    fn octets(&self, path: &Path) -> io::Result<Vec<u8>> {
        if self.disk.open_read(path)?.len()? > ITEM_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too large for an item"));
        }
        self.disk.read(path)
    }
}

/// Characters that a beginning of an id must have, so that a slip of the finger removes nothing.
const ID_PREFIX_MIN: usize = 4;

/// The one id that is `wanted` or begins so.
pub fn resolve<'i>(wanted: &str, ids: impl IntoIterator<Item = &'i String>) -> Result<&'i str, Error> {
    let lower = wanted.to_ascii_lowercase();
    let mut found = None;
    for id in ids {
        if *id == lower {
            return Ok(id);
        }
        if lower.len() >= ID_PREFIX_MIN && id.starts_with(&lower) {
            if found.is_some() {
                return Err(Error::Ambiguous(wanted.to_owned()));
            }
            found = Some(id.as_str());
        }
    }
    found.ok_or_else(|| Error::NotFound(wanted.to_owned()))
}
