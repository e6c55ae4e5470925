//! Level 0 of the segments: key objects and covers of every SEAL leaf, and that each accepted message is in exactly one segment.
//! Data objects are `verify_objects`'.

use super::acts::Registry;
use super::cover::COVER_BYTES_MAX;
use super::cover::Cover;
use super::files;
use super::key_object::KEY_OBJECT_BYTES_MAX;
use super::layout::Layout;
use super::leaf::Seal;
use super::leaf::Totals;
use super::open::SegmentInfo;
use super::segment_reader::parse_keys;
use super::verify::Facts;
use super::verify::FaultKind;
use super::verify::Report;
use super::verify::Seen;
use super::verify_acts;
use crate::crypto::sha256;
use crate::durable::Disk;
use std::path::Path;

/// Checks all segments and the coverage.
pub fn verify(disk: &dyn Disk, layout: &Layout, facts: &Facts, registry: &Registry, report: &mut Report) {
    let mut covered = Coverage::new(facts);
    let mut before: Option<&SegmentInfo> = None;
    let mut start = 0;
    let mut acts = Acts::new(facts);
    for info in &facts.seals {
        let chain = check_chain(before, info, facts, report);
        acts.check(info, report);
        check_keys(disk, layout, &info.seal, (registry, facts), report);
        // All segments of a pass may cover what lies behind the pass before.
        if let Some(before) = before.filter(|b| b.seal.through != info.seal.through) {
            start = before.seal.through;
        }
        let range = start..info.seal.through;
        if is_cut_off(info, facts) {
            // What the rest of its pass covers stands in leaves that are damaged.
            covered.undecided.push(range.clone());
        }
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
    if let Some(last) = before {
        check_complete(last, facts, report);
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
    let seal = &info.seal;
    let known = before.map(|b| b.seal_index);
    let named = seal.leaf_before(info.seal_index);
    let damaged = |index: u64| facts.seen.get(index as usize) == Some(&Seen::Unknown);
    if known != named && named.is_some_and(damaged) {
        return Chain::Broken;
    }
    let totals = before.map_or(Totals::default(), |b| b.seal.totals);
    let counted = Totals {
        segments: totals.segments + 1,
        messages: totals.messages + u64::from(seal.messages),
        stored_bytes: totals.stored_bytes + seal.data_bytes + seal.keys_bytes,
        raw_bytes: totals.raw_bytes + seal.raw_bytes,
    };
    let begins = seal.part == 0;
    if let Some(before) = before.filter(|_| begins) {
        check_complete(before, facts, report);
    }
    let continues = if begins { begins_pass(before, info) } else { before.is_some_and(|b| continues_pass(b, info)) };
    if named != known || !continues || seal.through > info.seal_index || seal.totals != counted {
        let object = format!("leaf {}", info.seal_index);
        report.add(0, object, FaultKind::Inconsistent, "does not continue the SEAL leaf before it");
    }
    Chain::Whole
}

fn begins_pass(before: Option<&SegmentInfo>, info: &SegmentInfo) -> bool {
    info.seal.through > before.map_or(0, |b| b.seal.through)
}

fn continues_pass(before: &SegmentInfo, info: &SegmentInfo) -> bool {
    let of_pass = |seal: &Seal| (seal.through, seal.parts, seal.previous, seal.tree, seal.acts);
    of_pass(&before.seal) == of_pass(&info.seal) && before.seal.part + 1 == info.seal.part
}

/// A pass counts whole or not at all, so that its last segment is in the log when its first is.
fn check_complete(last: &SegmentInfo, facts: &Facts, report: &mut Report) {
    let seal = &last.seal;
    if !seal.is_last_part() && !is_cut_off(last, facts) {
        let detail = format!("its seal pass has {} segments, those after {} are missing", seal.parts, seal.part + 1);
        report.add(0, format!("leaf {}", last.seal_index), FaultKind::Missing, detail);
    }
}

/// Whether damage, which has its own finding, took the next SEAL leaf of its pass.
fn is_cut_off(info: &SegmentInfo, facts: &Facts) -> bool {
    let next = facts.seen.get(info.seal_index as usize + 1);
    !info.seal.is_last_part() && next == Some(&Seen::Unknown)
}

/// The newest act leaf, on a walk through the log.
struct Acts<'a> {
    facts: &'a Facts,
    at: usize,
    newest: Option<u64>,
    /// Whether damage, which has its own finding, may hide a newer one.
    doubtful: bool,
}

impl<'a> Acts<'a> {
    fn new(facts: &'a Facts) -> Acts<'a> {
        Acts { facts, at: 0, newest: None, doubtful: false }
    }

    /// Holds the next SEAL leaf against the act leaves before it.
    fn check(&mut self, info: &SegmentInfo, report: &mut Report) {
        let until = (info.seal_index as usize).min(self.facts.seen.len());
        for at in self.at..until {
            match self.facts.seen[at] {
                Seen::Act => (self.newest, self.doubtful) = (Some(at as u64), false),
                Seen::Unknown => self.doubtful = true,
                Seen::Other | Seen::Accept => {}
            }
        }
        self.at = until;
        if !self.doubtful && info.seal.acts != self.newest {
            let object = format!("leaf {}", info.seal_index);
            report.add(0, object, FaultKind::Inconsistent, "names another act leaf than the newest");
        }
    }
}

/// Both copies. In the first generation every octet is fixed by the SEAL leaf.
fn check_keys(
    disk: &dyn Disk,
    layout: &Layout,
    seal: &Seal,
    (registry, facts): (&Registry, &Facts),
    report: &mut Report,
) {
    let mut generations = Vec::new();
    for path in &layout.keys(&seal.segment) {
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
                verify_acts::check_tombs(&keys, registry, facts, &name, report);
                generations.push((keys.object_generation, name));
            }
        }
    }
    let newest = generations.iter().map(|(generation, _)| *generation).max();
    for (generation, name) in generations.into_iter().filter(|(generation, _)| Some(*generation) != newest) {
        let detail = format!("object generation {generation}, its copy has a newer one");
        report.add(0, name, FaultKind::Inconsistent, detail);
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
