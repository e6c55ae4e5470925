//! One process per directory: an advisory lock that the kernel releases when the process ends, however it ends.

use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Holds a directory for this process until dropped.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock file `lock` in `dir`; `WouldBlock` when another process holds it.
    pub fn acquire(dir: &Path) -> io::Result<DirLock> {
        let path = dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(DirLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = DirLock::acquire(dir.path()).expect("first");
        let second = DirLock::acquire(dir.path()).expect_err("second");
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        drop(first);
        DirLock::acquire(dir.path()).expect("after the first ended");
    }
}
