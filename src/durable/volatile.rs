//! Which file systems keep what they say they synced.

use std::io;
use std::path::Path;

/// What a directory's file system means for durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filesystem {
    /// Local storage that honours fsync.
    Durable,
    /// Works, with doubts worth a warning: overlay.
    Doubtful(&'static str),
    /// Loses data at power loss, or syncs by rules of its own: tmpfs, ramfs, NFS, FUSE.
    Volatile(&'static str),
}

/// The kind of file system `path` lies on, by its magic number (statfs(2)).
pub fn filesystem(path: &Path) -> io::Result<Filesystem> {
    let magic = rustix::fs::statfs(path)?.f_type;
    // statfs(2) gives the number in a type that differs by architecture; 32 bits of it count.
    let kind = match magic as u32 {
        0x0102_1994 => Filesystem::Volatile("tmpfs"),
        0x8584_58f6 => Filesystem::Volatile("ramfs"),
        0x6969 => Filesystem::Volatile("nfs"),
        0x6573_5546 => Filesystem::Volatile("fuse"),
        0x794c_7630 => Filesystem::Doubtful("overlay"),
        _ => Filesystem::Durable,
    };
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_volatile() {
        let shm = Path::new("/dev/shm");
        if shm.is_dir() {
            assert_eq!(filesystem(shm).expect("statfs"), Filesystem::Volatile("tmpfs"));
        }
        assert!(filesystem(Path::new("/nonexistent/x")).is_err());
    }
}
