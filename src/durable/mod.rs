//! Durable: the only module that renames, syncs, locks or replaces files. Knows nothing of what the files hold.
//!
//! Everything above reaches the disk through [`Disk`], so that a simulated one can drop, reorder and tear what was not synced.

mod lock;
mod real;
#[cfg(test)]
pub(crate) mod simulated;
mod volatile;

pub use lock::DirLock;
pub use real::RealDisk;
pub use volatile::{Filesystem, filesystem};

use std::any::Any;
use std::io;
use std::path::Path;

/// A file opened for reading and writing at given offsets.
pub trait DiskFile: Send + Sync {
    /// Writes all of `octets` at `offset`; durable only after `sync`.
    fn write_all_at(&self, offset: u64, octets: &[u8]) -> io::Result<()>;
    /// Fills `into` from `offset`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Octets in the file.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends the file.
    fn set_len(&self, octets: u64) -> io::Result<()>;
    /// Makes content and size durable. After an error nothing about the file may be assumed, and no later sync proves anything.
    fn sync(&self) -> io::Result<()>;
    /// Whether the file holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A place with directories and files. Paths are whole paths.
pub trait Disk: Send + Sync {
    /// Makes a new file, mode 0600; fails when it exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading only.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// All octets of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Names in a directory, in byte order; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Whether anything has this name.
    fn exists(&self, path: &Path) -> bool;
    /// Makes a directory and its parents, mode 0700; an existing one is no error. Each new name is synced.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Renames within one directory tree; durable only after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name; durable only after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Lets the file's group read it, for files that others than the gateway may read.
    fn let_group_read(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640))
    }
    /// Octets that can still be written where `path` lies.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Whether the file system under `path` keeps what it syncs.
    fn filesystem(&self, path: &Path) -> io::Result<Filesystem> {
        filesystem(path)
    }
    /// Takes a directory for this process until the value is dropped; `WouldBlock` when another holds it.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Any + Send>> {
        Ok(Box::new(DirLock::acquire(dir)?))
    }
}

/// Replaces `path` by `octets` so that a crash leaves the old file or the new one, whole: temporary file, sync, rename,
/// directory sync.
pub fn replace(disk: &dyn Disk, path: &Path, octets: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.to_owned();
    name.push(".tmp");
    let temporary = dir.join(name);
    if disk.exists(&temporary) {
        // Left by a crash in a former replace; it was never the file.
        disk.remove(&temporary)?;
    }
    let file = disk.create(&temporary)?;
    file.write_all_at(0, octets)?;
    file.sync()?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_dir(dir)
    // Durable from here.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replace_leaves_only_the_new_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("f");
        std::fs::write(dir.path().join("f.tmp"), b"stale").expect("write");
        replace(&RealDisk, &path, b"one").expect("first");
        replace(&RealDisk, &path, b"two").expect("second");
        assert_eq!(RealDisk.read(&path).expect("read"), b"two");
        assert_eq!(RealDisk.list(dir.path()).expect("list"), ["f"]);
    }

    #[test]
    fn files_are_private_and_new() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/b/c");
        RealDisk.create_dir(path.parent().expect("parent")).expect("directories");
        let file = RealDisk.create(&path).expect("file");
        file.write_all_at(3, b"xyz").expect("write");
        file.sync().expect("sync");
        let mut back = [1; 6];
        file.read_exact_at(0, &mut back).expect("read");
        assert_eq!(&back, b"\0\0\0xyz");
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(RealDisk.create(&path).is_err(), "create is exclusive");
        assert!(RealDisk.free_bytes(&path).expect("space") > 0);
    }
}
