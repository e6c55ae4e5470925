//! The way back without us: a script and a page in every archive's root, as new as the gateway that seals there. Copies for
//! convenience, no evidence: nothing reads them, and what somebody did to them is undone at the next start.

use super::layout::Layout;
use crate::durable;
use crate::durable::Disk;
use std::path::PathBuf;

/// Opens an archive with stock Python packages and gpg.
const SCRIPT: &str = include_str!("../../packaging/recover.py");
/// What to do, step by step.
const GUIDE: &str = include_str!("../../docs/recovery.md");

/// Both files, as they belong into an archive.
pub fn files(layout: &Layout) -> Vec<(PathBuf, Vec<u8>)> {
    let file = |name: &str, text: &str| (layout.root().join(name), text.as_bytes().to_vec());
    vec![file("recover.py", SCRIPT), file("RECOVERY.md", GUIDE)]
}

/// Brings both up to date. The archive does not depend on it.
pub fn refresh(disk: &dyn Disk, layout: &Layout) {
    for (path, octets) in files(layout) {
        if disk.read(&path).is_ok_and(|there| there == octets) {
            continue;
        }
        durable::replace(disk, &path, &octets)
            .unwrap_or_else(|error| tracing::warn!(%error, file = %path.display(), "not brought up to date"));
    }
}
