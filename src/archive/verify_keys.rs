//! Level 0 of the archive key: every generation's file, and the hint beside it, against the KEY leaf that began it.

use super::current_key;
use super::files;
use super::keys::GENERATION_BYTES_MAX;
use super::keys::Generation;
use super::layout::Layout;
use super::leaf::Epoch;
use super::leaf::Key;
use super::verify::Facts;
use super::verify::FaultKind;
use super::verify::Report;
use super::verify::Seen;
use crate::crypto::sha256;
use crate::durable::Disk;

/// Checks them all. A file without KEY leaf is what a crash left, and no fault.
pub fn verify(disk: &dyn Disk, layout: &Layout, epoch: Option<&Epoch>, facts: &Facts, report: &mut Report) {
    let mut keys: Vec<&(u64, Key)> = facts.keys.iter().collect();
    keys.sort_by_key(|(index, _)| *index);
    for (expected, (index, key)) in (1u32..).zip(&keys) {
        // A leaf that is lost to damage may have begun one of those before.
        let all_known = !facts.seen.iter().take(*index as usize).any(|seen| *seen == Seen::Unknown);
        if key.generation != expected && all_known {
            let detail = format!("generation {} where {expected} is due", key.generation);
            report.add(0, format!("leaf {index}"), FaultKind::Inconsistent, detail);
        }
        file(disk, layout, epoch, (*index, key), report);
        hint(disk, layout, (*index, key), report);
    }
}

fn file(disk: &dyn Disk, layout: &Layout, epoch: Option<&Epoch>, (index, key): (u64, &Key), report: &mut Report) {
    let path = layout.generation(key.generation);
    let name = layout.name(&path);
    let octets = match files::read(disk, &path, GENERATION_BYTES_MAX) {
        Err(e) => return report.unread(0, name, &e),
        Ok(octets) => octets,
    };
    if sha256(&octets) != key.file {
        return report.add(0, name, FaultKind::Changed, format!("leaf {index} has another hash"));
    }
    match Generation::parse(&octets) {
        Err(what) => report.add(0, name, FaultKind::Inconsistent, what.to_string()),
        Ok(generation) if Key::of(&generation) != *key => {
            report.add(0, name, FaultKind::Inconsistent, format!("leaf {index} says otherwise"));
        }
        Ok(generation) if epoch.is_some_and(|epoch| epoch.archive != generation.archive) => {
            report.add(0, name, FaultKind::Inconsistent, "a generation of another archive");
        }
        Ok(_) => {}
    }
}

/// A hint that leads elsewhere costs time and deceives nobody; it is no less a change.
fn hint(disk: &dyn Disk, layout: &Layout, (index, key): (u64, &Key), report: &mut Report) {
    match current_key::hint(disk, layout, key.generation) {
        Some(hinted) if hinted != Some(index) => {
            let name = layout.name(&layout.key_leaf(key.generation));
            report.add(0, name, FaultKind::Changed, format!("the KEY leaf is leaf {index}"));
        }
        _ => {}
    }
}
