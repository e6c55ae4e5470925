//! The host key: 32 octets that seal private keys and journal keys at rest on this machine. A systemd credential named
//! `sealpost-host-key` wins over the file. Never in a backup together with the data it seals.

use super::error::Error;
use crate::crypto::{Secret, hash, random};
use crate::durable::{self, Disk};
use std::io;
use std::path::{Path, PathBuf};

/// What a lost key means.
const LOST: &str = "restore it from where it is kept: without it neither stored keys nor the journal can be opened";

fn unread(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::of(path.display(), error).with_help(LOST),
        _ => Error::io(path, error),
    }
}

/// Reads it.
pub fn read(disk: &dyn Disk, file: &Path) -> Result<Secret<32>, Error> {
    let path = credential().unwrap_or_else(|| file.to_owned());
    let octets = disk.read(&path).map_err(|e| unread(&path, &e))?;
    let text = std::str::from_utf8(&octets).unwrap_or_default().trim();
    hash::unhex(text)
        .and_then(|key| Secret::from_slice(&key))
        .ok_or_else(|| Error::of(path.display(), "not a host key (64 hex digits)").with_help(LOST))
}

/// Makes one; the file must not exist.
pub fn make(disk: &dyn Disk, file: &Path) -> Result<Secret<32>, Error> {
    let key = random::hedged("host key", &[]).map_err(|e| Error::of("host key", e))?;
    durable::replace(disk, file, format!("{}\n", hash::hex(key.expose())).as_bytes())
        .map_err(|e| Error::io(file, &e))?;
    Ok(key)
}

fn credential() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("sealpost-host-key");
    path.is_file().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::RealDisk;

    #[test]
    fn what_was_made_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("host.key");
        let made = make(&RealDisk, &file).expect("made");
        assert_eq!(read(&RealDisk, &file).expect("read"), made);
        std::fs::write(&file, "short").expect("write");
        assert!(read(&RealDisk, &file).expect_err("refused").to_string().contains("host.key"));
    }
}
