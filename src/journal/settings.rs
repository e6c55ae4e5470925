//! What the journal is told when it is opened. Never changes afterwards.

use super::Error;
use crate::crypto::Secret;
use crate::crypto::hpke;
use std::path::PathBuf;

/// The smallest journal file: room for one longest batch and both header areas.
pub const FILE_BYTES_MIN: u64 = 1024 * 1024;
/// The largest journal file.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The most spare files.
pub const SPARES_MAX: usize = 64;

/// Files the bound on kept octets must allow for at least.
pub const KEPT_FILES_MIN: u64 = 4;

/// Where the journal lies and how large its files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The journal directory; made when missing.
    pub dir: PathBuf,
    /// A second directory, best on another volume, in which every file has a twin that is written and synced with it.
    pub mirror: Option<PathBuf>,
    /// Octets of one file, `FILE_BYTES_MIN..=FILE_BYTES_MAX`; rounded down to a multiple of 4096.
    pub file_bytes: u64,
    /// Free files kept ready.
    pub spares: usize,
    /// With fewer free octets on the volume new mail is refused.
    pub low_space_bytes: u64,
    /// Octets of files that sealing and delivery still need; with more new mail is refused. At least `KEPT_FILES_MIN` files.
    pub kept_bytes: u64,
    /// Opens a journal on tmpfs, ramfs, NFS or FUSE all the same.
    pub danger_volatile_filesystem: bool,
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), Error> {
        if !(FILE_BYTES_MIN..=FILE_BYTES_MAX).contains(&self.file_bytes) {
            return Err(Error::OutOfBounds("file_bytes must lie between 1 MiB and 1 GiB"));
        }
        if self.mirror.as_ref() == Some(&self.dir) {
            return Err(Error::OutOfBounds("the mirror must be another directory than the journal"));
        }
        if self.kept_bytes < self.file_bytes * KEPT_FILES_MIN {
            return Err(Error::OutOfBounds("kept_bytes must be at least four times file_bytes"));
        }
        if self.spares > SPARES_MAX {
            return Err(Error::OutOfBounds("at most 64 spares"));
        }
        Ok(())
    }
}

/// The keys the journal wraps its file keys to.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Wraps journal keys so that a restart can replay.
    pub host: Secret<32>,
    /// Second wrap: officers can recover a journal whose host key is lost.
    pub archive: hpke::PublicKey,
}

/// Keys for this room's tests.
#[cfg(test)]
pub fn test_keys() -> Keys {
    use std::sync::OnceLock;
    static ARCHIVE: OnceLock<hpke::PublicKey> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| hpke::generate().expect("a pair").1).clone();
    Keys { host: Secret::new([0x11; 32]), archive }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_on_both_sides() {
        let with = |file_bytes, spares, kept_bytes| {
            let (dir, low_space_bytes, danger_volatile_filesystem) = (PathBuf::from("j"), 0, false);
            let settings = Settings {
                dir,
                mirror: None,
                file_bytes,
                spares,
                low_space_bytes,
                kept_bytes,
                danger_volatile_filesystem,
            };
            settings.check().is_ok()
        };
        let kept = KEPT_FILES_MIN * FILE_BYTES_MAX;
        for (file_bytes, spares, kept_bytes, fine) in [
            (FILE_BYTES_MIN, 0, kept, true),
            (FILE_BYTES_MIN - 1, 0, kept, false),
            (FILE_BYTES_MAX, SPARES_MAX, kept, true),
            (FILE_BYTES_MAX, SPARES_MAX, kept - 1, false),
            (FILE_BYTES_MAX + 1, 0, 2 * kept, false),
            (FILE_BYTES_MIN, SPARES_MAX + 1, kept, false),
        ] {
            assert_eq!(with(file_bytes, spares, kept_bytes), fine, "{file_bytes} {spares} {kept_bytes}");
        }
    }
}
