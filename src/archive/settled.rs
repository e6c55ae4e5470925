//! How far the log needs no sealing: the leaf below which every ACCEPT and RESULT is in a segment. Behind the last seal pass there may be
//! leaves that no segment takes, SEAL leaves above all. A pass that found only such lets the journal forget them, and a start must not
//! ask for them again.

use super::layout::Layout;
use super::log::Leaves;
use super::open::SegmentInfo;
use crate::durable::Disk;
use crate::journal::LeafKind;

/// EPOCH and KEY, which `create` writes.
const FIRST_LEAVES: u64 = 2;

/// The first ACCEPT or RESULT leaf that is in no segment of a log of `size` leaves whose last segment is `last`, or the end of the log.
/// `known` is what this was for a smaller log. A leaf that cannot be read counts as one: it has its own finding.
pub fn settled(disk: &dyn Disk, layout: &Layout, size: u64, last: Option<&SegmentInfo>, known: u64) -> u64 {
    let sealed = last.map_or(FIRST_LEAVES, |info| info.seal.through);
    let mut leaves = Leaves::new(disk, layout, size);
    let mut needs_none = |index| match leaves.get(index) {
        Ok(Some(octets)) => !is_sealed_kind(octets),
        _ => false,
    };
    let from = known.max(sealed);
    (from..size).find(|index| !needs_none(*index)).unwrap_or(size.max(from))
}

fn is_sealed_kind(octets: &[u8]) -> bool {
    [LeafKind::Accept as u8, LeafKind::Result as u8].iter().any(|kind| octets.first() == Some(kind))
}
