//! Whole files: bounded reads, and several new files made durable together. Knows nothing of what they hold.

use crate::durable::Disk;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// The whole of a file of at most `most` octets; a longer one is `InvalidData`, before anything is allocated.
pub fn read(disk: &dyn Disk, path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = disk.open_read(path)?;
    let length = file.len()?;
    let length = usize::try_from(length).ok().filter(|_| length <= most).ok_or(io::ErrorKind::InvalidData)?;
    let mut octets = vec![0; length];
    file.read_exact_at(0, &mut octets)?;
    Ok(octets)
}

/// The name a file has until it is complete.
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// Writes a file under its temporary name and syncs it.
pub fn stage(disk: &dyn Disk, path: &Path, octets: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    // crash point stale-1: what an earlier attempt left under this name goes.
    remove_if_there(disk, &temporary)?;
    // crash point seal-3 for key objects and covers, crash point log-1 for tiles and bundles, crash point create-1 for the first keys.
    let file = disk.create(&temporary)?;
    file.write_all_at(0, octets)?;
    // crash point seal-4; crash point log-2; crash point create-2.
    file.sync()
}

/// Gives staged files their names, then syncs each directory once.
pub fn publish(disk: &dyn Disk, paths: &[&Path]) -> io::Result<()> {
    for path in paths {
        // crash point seal-5; crash point log-3; crash point create-3.
        disk.rename(&temporary(path), path)?;
    }
    let dirs: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    // crash point seal-6; crash point log-4; crash point create-4.
    dirs.into_iter().try_for_each(|dir| disk.sync_dir(dir))
    // Durable from here, all of them.
}

/// Makes new files, whose directories need not exist yet, durable together.
pub fn write_new(disk: &dyn Disk, files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
    for (path, octets) in files {
        disk.create_dir(path.parent().unwrap_or(Path::new("/")))?;
        stage(disk, path, octets)?;
    }
    publish(disk, &files.iter().map(|(path, _)| path.as_path()).collect::<Vec<_>>())
}

/// Removes a name that may not be there.
pub fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::RealDisk;

    #[test]
    fn files_appear_whole_and_reads_are_bounded() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = [(dir.path().join("a/x"), vec![1; 10]), (dir.path().join("b/y"), vec![2; 11])];
        stage(&RealDisk, &dir.path().join("stale"), b"").expect("stage");
        write_new(&RealDisk, &files).expect("written");
        assert_eq!(RealDisk.list(&dir.path().join("a")).expect("list"), ["x"]);
        assert_eq!(read(&RealDisk, &files[0].0, 10).expect("read"), vec![1; 10]);
        let long = read(&RealDisk, &files[1].0, 10).expect_err("too long");
        assert_eq!(long.kind(), io::ErrorKind::InvalidData);
    }
}
