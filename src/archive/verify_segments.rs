//! Level 0 of the segments: key objects and covers of every SEAL leaf, and that each accepted message is in exactly one segment.
//! Data objects are `verify_objects`'.

use super::cover::COVER_BYTES_MAX;
use super::cover::Cover;
use super::files;
use super::key_object::KEY_OBJECT_BYTES_MAX;
use super::key_object::Slot;
use super::layout::Layout;
use super::leaf::Seal;
use super::leaf::Totals;
use super::open::SegmentInfo;
use super::segment_reader::parse_keys;
use super::verify::Facts;
use super::verify::FaultKind;
use super::verify::Report;
use super::verify::Seen;
use crate::crypto::sha256;
use crate::durable::Disk;
use std::path::Path;

/// Checks all segments and the coverage.
pub fn verify(disk: &dyn Disk, layout: &Layout, facts: &Facts, report: &mut Report) {
    let mut covered = Coverage::new(facts);
    let mut before: Option<&SegmentInfo> = None;
    for info in &facts.seals {
        let chain = check_chain(before, info, facts, report);
        check_keys(disk, layout, &info.seal, report);
        let range = before.map_or(0, |b| b.seal.through)..info.seal.through;
        if let Some(cover) = load_cover(disk, layout, &info.seal, report) {
            let sealed_before = if chain == Chain::Broken { range.end } else { range.start };
            covered.add(layout, &cover, range.clone(), sealed_before, report);
            if chain == Chain::Whole {
                before = Some(info);
                continue;
            }
        }
        covered.undecided.push(range);
        before = Some(info);
    }
    covered.conclude(before.map_or(0, |info| info.seal.through), report);
}

/// Whether the SEAL leaf before one is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chain {
    Whole,
    /// Damage, which has its own finding, took at least one SEAL leaf before this one.
    Broken,
}

/// Each SEAL leaf names the one before it and counts on.
fn check_chain(before: Option<&SegmentInfo>, info: &SegmentInfo, facts: &Facts, report: &mut Report) -> Chain {
    let known = before.map(|b| b.seal_index);
    let damaged = |index: u64| facts.seen.get(index as usize) == Some(&Seen::Unknown);
    if known != info.seal.previous && info.seal.previous.is_some_and(damaged) {
        return Chain::Broken;
    }
    let (through, totals) = before.map_or((0, Totals::default()), |b| (b.seal.through, b.seal.totals));
    let seal = &info.seal;
    let counted = Totals {
        segments: totals.segments + 1,
        messages: totals.messages + u64::from(seal.messages),
        stored_bytes: totals.stored_bytes + seal.data_bytes + seal.keys_bytes,
        raw_bytes: totals.raw_bytes + seal.raw_bytes,
    };
    let follows = seal.previous == before.map(|b| b.seal_index)
        && seal.through > through
        && seal.through <= info.seal_index
        && seal.totals == counted;
    if !follows {
        let object = format!("leaf {}", info.seal_index);
        report.add(0, object, FaultKind::Inconsistent, "does not continue the SEAL leaf before it");
    }
    Chain::Whole
}

/// Both copies. In the first generation every octet is fixed by the SEAL leaf.
fn check_keys(disk: &dyn Disk, layout: &Layout, seal: &Seal, report: &mut Report) {
    for (copy, path) in layout.keys(&seal.segment).iter().enumerate() {
        let name = layout.name(path);
        let octets = match files::read(disk, path, KEY_OBJECT_BYTES_MAX) {
            Ok(octets) => octets,
            Err(e) => {
                report.unread(0, name, &e);
                continue;
            }
        };
        match parse_keys(&octets, seal) {
            Err(what) => report.add(0, name, FaultKind::Changed, what.to_string()),
            Ok(keys) if keys.object_generation == 1 && sha256(&octets) != seal.keys_hash => {
                report.add(0, name, FaultKind::Changed, "another hash than in the SEAL leaf");
            }
            Ok(keys) => {
                let tombs = keys.slots.iter().filter(|slot| matches!(slot, Slot::Tomb { .. })).count();
                report.erased += if copy == 0 { tombs as u64 } else { 0 };
            }
        }
    }
}

fn load_cover(disk: &dyn Disk, layout: &Layout, seal: &Seal, report: &mut Report) -> Option<Cover> {
    let path: &Path = &layout.cover(&seal.segment);
    let octets =
        files::read(disk, path, COVER_BYTES_MAX).inspect_err(|e| report.unread(0, layout.name(path), e)).ok()?;
    if sha256(&octets) != seal.cover_hash {
        report.add(0, layout.name(path), FaultKind::Changed, "another hash than in the SEAL leaf");
        return None;
    }
    let cover = Cover::parse(&octets);
    let cover =
        cover.inspect_err(|what| report.add(0, layout.name(path), FaultKind::Changed, what.to_string())).ok()?;
    let counts = (cover.segment, cover.messages.len() as u64, cover.events.len() as u64);
    if counts != (seal.segment, u64::from(seal.messages), u64::from(seal.events)) {
        report.add(0, layout.name(path), FaultKind::Inconsistent, "counts other units than the SEAL leaf");
    }
    Some(cover)
}

/// Which acceptances are in a segment.
struct Coverage<'a> {
    facts: &'a Facts,
    covered: Vec<bool>,
    /// Ranges of leaves whose cover file is damaged, which has its own finding.
    undecided: Vec<std::ops::Range<u64>>,
}

impl<'a> Coverage<'a> {
    fn new(facts: &'a Facts) -> Coverage<'a> {
        Coverage { facts, covered: vec![false; facts.seen.len()], undecided: Vec::new() }
    }

    fn add(
        &mut self,
        layout: &Layout,
        cover: &Cover,
        range: std::ops::Range<u64>,
        sealed_before: u64,
        report: &mut Report,
    ) {
        let mut fault = |index: &u64, detail: &str| {
            let name = layout.name(&layout.cover(&cover.segment));
            report.add(0, name, FaultKind::Inconsistent, format!("leaf {index} {detail}"));
        };
        for index in &cover.messages {
            let at = *index as usize;
            match self.facts.seen.get(at) {
                Some(Seen::Accept | Seen::Unknown) if range.contains(index) => {}
                _ => {
                    fault(index, "is no acceptance that this segment can cover");
                    continue;
                }
            }
            if std::mem::replace(&mut self.covered[at], true) {
                fault(index, "is covered twice");
            }
        }
        for index in &cover.events {
            let earlier = matches!(self.facts.seen.get(*index as usize), Some(Seen::Accept | Seen::Unknown));
            if !earlier || *index >= sealed_before {
                fault(index, "is no message sealed before");
            }
        }
    }

    fn conclude(&self, sealed_through: u64, report: &mut Report) {
        report.gaps = self.facts.gaps.iter().map(|(from, until)| until.saturating_sub(*from)).sum();
        for (index, seen) in (0u64..).zip(&self.facts.seen) {
            if *seen != Seen::Accept {
                continue;
            }
            report.accepted += 1;
            if self.covered[index as usize] {
                report.covered += 1;
            } else if self.facts.in_gap(index) {
                // Counted above: declared lost, and by whom stands in the log.
            } else if index >= sealed_through {
                report.pending += 1;
            } else if !self.undecided.iter().any(|range| range.contains(&index)) {
                report.missing += 1;
                report.add(0, format!("leaf {index}"), FaultKind::Missing, "an accepted message is in no segment");
            }
        }
    }
}
