//! A directory of checkpoints that only grows, best on a volume that this machine cannot take back.

use crate::archive::{Archive, Checkpoint};
use crate::durable::Disk;
use std::io;
use std::path::Path;

/// Checkpoints that are compared at a start: the newest.
const COMPARED_MAX: usize = 64;
/// Octets of a checkpoint at most.
const NOTE_BYTES_MAX: u64 = 64 * 1024;
const SUFFIX: &str = ".checkpoint";

/// Adds a checkpoint under a name of its own; one that is there is not touched. The directory must exist: where it has vanished, a
/// volume is not mounted.
pub fn put(disk: &dyn Disk, dir: &Path, archive: &Archive, checkpoint: &Checkpoint) -> Result<String, String> {
    let said = |e: io::Error| format!("{}: {e}", dir.display());
    if !disk.exists(dir) {
        return Err(format!(
            "{}: not there; is its volume mounted? for a new one: mkdir -m 700 makes it",
            dir.display()
        ));
    }
    let name = format!("{}-{:016}{SUFFIX}", archive.id(), checkpoint.head.size);
    let path = dir.join(&name);
    if disk.exists(&path) {
        return match disk.read(&path).map_err(said)? == checkpoint.note {
            true => Ok(format!("{name} is there already")),
            false => Err(format!("{}: another checkpoint has this name", path.display())),
        };
    }
    crate::durable::replace(disk, &path, &checkpoint.note).map_err(said)?;
    Ok(name)
}

/// The newest checkpoints of a directory with their names. `prefix` is what goes before the tree size.
pub fn newest(disk: &dyn Disk, dir: &Path, prefix: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let size = |name: &String| name.strip_prefix(prefix)?.strip_suffix(SUFFIX)?.parse::<u64>().ok();
    let mut sized: Vec<(u64, String)> =
        disk.list(dir)?.into_iter().filter_map(|name| Some((size(&name)?, name))).collect();
    sized.sort_unstable();
    let newest = sized.into_iter().rev().take(COMPARED_MAX);
    newest.map(|(_, name)| Ok((name.clone(), bounded(disk, &dir.join(name))?))).collect()
}

/// The octets of a file that holds one checkpoint.
pub fn bounded(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open_read(path)?;
    let length = file.len()?;
    let length = usize::try_from(length).ok().filter(|_| length <= NOTE_BYTES_MAX).ok_or(io::ErrorKind::InvalidData)?;
    let mut octets = vec![0; length];
    file.read_exact_at(0, &mut octets)?;
    Ok(octets)
}
