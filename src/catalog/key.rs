//! The catalog's key: random, kept beside the catalog sealed to the archive key, so that only an unlocked archive opens it.
//! Lost or unreadable, the catalog is made anew under another key.
//!
//! ```text
//! key file = version(1) sealed key
//! ```

use super::index::Error;
use super::sealed::Sealed;
use crate::crypto::{Secret, hash, kdf, random};
use crate::durable::{self, Disk};
use std::io;
use std::path::{Path, PathBuf};

const VERSION: u8 = 1;
const FILE_NAME: &str = "key";
/// Octets of a key file; a sealed key has little over a thousand.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// The key in `dir`; `None` when there is none or it cannot be opened.
pub(super) fn read(disk: &dyn Disk, dir: &Path, sealed: &dyn Sealed) -> Result<Option<Secret<32>>, Error> {
    let path = dir.join(FILE_NAME);
    let octets = match disk.open_read(&path).and_then(|file| file.len()) {
        Ok(octets) if octets > FILE_BYTES_MAX => return Ok(None),
        Ok(_) => disk.read(&path)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let Some((&VERSION, content)) = octets.split_first() else { return Ok(None) };
    let opened = sealed.open_key(content).ok();
    Ok(opened.and_then(|octets| Secret::from_slice(&zeroize::Zeroizing::new(octets))))
}

/// Draws a key and writes it sealed.
pub(super) fn create(disk: &dyn Disk, dir: &Path, sealed: &dyn Sealed) -> Result<Secret<32>, Error> {
    let key = random::hedged("catalog key", &[&sealed.archive_id()]).map_err(|_| Error::NoRandomness)?;
    let mut octets = vec![VERSION];
    octets.extend(sealed.seal_key(key.expose())?);
    durable::replace(disk, &dir.join(FILE_NAME), &octets)?;
    Ok(key)
}

/// The database of a key. Another key has another name: a catalog made anew never meets the write-ahead log of a former one.
pub(super) fn database(dir: &Path, key: &Secret<32>) -> PathBuf {
    let name = kdf::derive::<8>(key.expose(), "catalog file name", &[]);
    dir.join(format!("catalog-{}.db", hash::hex(name.expose())))
}

/// Removes every database.
pub(super) fn remove_databases(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for name in disk.list(dir)? {
        if name.starts_with("catalog-") {
            disk.remove(&dir.join(name))?;
        }
    }
    disk.sync_dir(dir)
}
