//! Verifying an archive: everything a file could be wrong in, one finding per fault. Reads only, trusts nothing but the
//! signature on the checkpoint and, where one is brought, a checkpoint from outside.

use super::acts::Act;
use super::acts::Registry;
use super::acts::is_dead;
use super::checkpoint::NOTE_BYTES_MAX;
use super::checkpoint::Verifier;
use super::files;
use super::keys;
use super::layout::Layout;
use super::leaf::Anchor;
use super::leaf::Epoch;
use super::leaf::Key;
use super::leaf::Seal;
use super::log;
use super::open::SegmentInfo;
use super::tile::TreeHead;
use super::timestamp::Authorities;
use super::unlocked::Unlocked;
use super::verify_acts;
use super::verify_anchors;
use super::verify_deep;
use super::verify_deep::Depth;
use super::verify_keys;
use super::verify_log;
use super::verify_objects;
use super::verify_objects::Reading;
use super::verify_segments;
use crate::crypto::Digest;
use crate::durable::Disk;
use crate::journal::Leaf;
use crate::journal::LeafEntry;
use crate::journal::LeafKind;
use serde::Serialize;
use std::io;
use std::path::Path;

/// What is wrong with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// It is not there, or a message is in no segment.
    Missing,
    /// Its octets are not those that were written.
    Changed,
    /// It cannot be read.
    Unreadable,
    /// It contradicts another object.
    Inconsistent,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The level that found it: 0, 1 or 2.
    pub level: u8,
    /// A file relative to the archive, or `leaf N`.
    pub object: String,
    /// What is wrong.
    pub kind: FaultKind,
    /// For people.
    pub detail: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Faults; none means the archive is whole.
    pub findings: Vec<Finding>,
    /// ACCEPT leaves.
    pub accepted: u64,
    /// Of these, in a segment.
    pub covered: u64,
    /// Of these, above the last seal pass.
    pub pending: u64,
    /// Messages erased by order.
    pub erased: u64,
    /// Messages expired.
    pub expired: u64,
    /// Leaves inside declared gaps.
    pub gaps: u64,
    /// ACCEPT leaves that should be in a segment and are in none.
    pub missing: u64,
    /// Heads of the read audit that the log states, in its order: index of the leaf, records, chain.
    pub audit_heads: Vec<(u64, u64, Digest)>,
    /// Time stamps.
    pub anchors: u64,
    /// Octets of data objects that were read.
    pub bytes: u64,
    /// Units that were opened.
    pub opened: u64,
    /// It was ended before all was read.
    pub stopped: bool,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
    pub(super) fn add(&mut self, level: u8, object: impl Into<String>, kind: FaultKind, detail: impl Into<String>) {
        self.findings.push(Finding { level, object: object.into(), kind, detail: detail.into() });
    }
    /// A file that could not be read.
    pub(super) fn unread(&mut self, level: u8, object: impl Into<String>, error: &io::Error) {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => FaultKind::Missing,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => FaultKind::Changed,
            _ => FaultKind::Unreadable,
        };
        self.add(level, object, kind, error.to_string());
    }
    /// An error of the archive's own readers.
    pub(super) fn error(&mut self, level: u8, object: &str, error: &super::Error) {
        match error {
            super::Error::Io { object, source } => self.unread(level, object, source),
            super::Error::Damaged { object, what } => self.add(level, object, FaultKind::Changed, what.to_string()),
            other => self.add(level, object, FaultKind::Unreadable, other.to_string()),
        }
    }
}

/// What to verify besides the files.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// With it, level 1 or 2: units are opened.
    pub unlocked: Option<&'a Unlocked>,
    /// Which of them.
    pub depth: Depth,
    /// A checkpoint kept elsewhere: the log must be a continuation of it.
    pub checkpoint: Option<&'a [u8]>,
    /// The journal's leaves from the end of the log on, in order.
    pub journal: &'a [LeafEntry],
    /// Whose time stamps are believed; without, the signature of each holds or not, whoever made it.
    pub authorities: Option<&'a Authorities>,
    /// How data objects are read.
    pub reading: Reading<'a>,
}

/// What a leaf is to the check of completeness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Neither an acceptance nor unreadable.
    Other,
    /// A message was accepted.
    Accept,
    /// Something was done to sealed mail.
    Act,
    /// Its octets are damaged, which has its own finding.
    Unknown,
}

/// What the leaves say.
#[derive(Default)]
pub(super) struct Facts {
    pub seen: Vec<Seen>,
    pub epoch: Option<Epoch>,
    pub keys: Vec<(u64, Key)>,
    pub seals: Vec<SegmentInfo>,
    pub gaps: Vec<(u64, u64)>,
    pub acts: Vec<(u64, Act)>,
    pub anchors: Vec<(u64, Anchor)>,
}

impl Facts {
    /// Takes in the leaf at `index`; leaves may come in any order.
    pub fn take(&mut self, index: u64, octets: &[u8], report: &mut Report) {
        let seen = Leaf::parse(octets).map(|leaf| self.parsed(index, &leaf)).unwrap_or(None);
        self.mark(index, seen.unwrap_or(Seen::Other));
        if seen.is_none() {
            report.add(0, format!("leaf {index}"), FaultKind::Inconsistent, "a leaf that cannot be read");
        }
    }
    fn audit_heads(&self) -> Vec<(u64, u64, Digest)> {
        let head = |(index, anchor): &(u64, Anchor)| match anchor {
            Anchor::AuditHead { records, chain } => Some((*index, *records, *chain)),
            Anchor::TimeStamp { .. } => None,
        };
        let mut heads: Vec<_> = self.anchors.iter().filter_map(head).collect();
        heads.sort_unstable();
        heads
    }
    /// Whether a GAP leaf declares that what the leaf at `index` meant is lost.
    pub fn in_gap(&self, index: u64) -> bool {
        self.gaps.iter().any(|(from, until)| (*from..*until).contains(&index))
    }
    /// The leaf at `index` is lost to damage that has its own finding.
    pub fn mark(&mut self, index: u64, seen: Seen) {
        let at = index as usize;
        if self.seen.len() <= at {
            self.seen.resize(at + 1, Seen::Unknown);
        }
        self.seen[at] = seen;
    }
    fn parsed(&mut self, index: u64, leaf: &Leaf) -> Option<Seen> {
        match leaf.kind {
            LeafKind::Accept => return Some(Seen::Accept),
            LeafKind::Epoch if index == 0 => self.epoch = Some(Epoch::from_body(&leaf.body).ok()?),
            LeafKind::Key => self.keys.push((index, Key::from_body(&leaf.body).ok()?)),
            LeafKind::Seal => {
                let mut seal = super::leaf::Seal::from_body(&leaf.body).ok()?;
                let counted = seal.months.iter().fold(0u64, |sum, (_, messages)| sum.saturating_add(*messages));
                if counted != seal.totals.messages {
                    return None;
                }
                // Each leaf has all months so far, and a long archive has many leaves: here only their sum counts.
                seal.months = Vec::new();
                self.seals.push(SegmentInfo { seal_index: index, seal });
            }
            LeafKind::Anchor => self.anchors.push((index, Anchor::from_body(&leaf.body).ok()?)),
            LeafKind::Gap => self.gaps.push(leaf.gap_range()?),
            kind if kind.is_act() => {
                self.acts.push((index, Act::of_leaf(&leaf.octets())?.ok()?));
                return Some(Seen::Act);
            }
            _ => {}
        }
        Some(Seen::Other)
    }
}

/// Times that a verification starts over because a seal pass changed the log under it.
const ATTEMPTS_MAX: u32 = 5;

/// Verifies the archive in `dir`: level 0, and above that where it is unlocked. A gateway may be sealing meanwhile.
pub fn verify(disk: &dyn Disk, dir: &Path, options: &VerifyOptions<'_>) -> Report {
    let layout = Layout::new(dir);
    let checkpoint = || files::read(disk, &layout.checkpoint(), NOTE_BYTES_MAX).ok();
    let mut report = Report::default();
    let mut known = None;
    for _ in 0..ATTEMPTS_MAX {
        let before = checkpoint();
        report = Report::default();
        known = verify_small(disk, &layout, options, &mut report);
        if report.is_ok() || before == checkpoint() {
            break;
        }
    }
    let Some((epoch, facts, registry)) = known else { return report };
    // A data object that nothing opens any more may be removed, and is, by expiry.
    let is_due = |seal: &Seal| !is_dead(&registry, seal) || disk.exists(&layout.data(&seal.segment));
    let seals: Vec<SegmentInfo> = facts.seals.iter().filter(|info| is_due(&info.seal)).cloned().collect();
    verify_objects::verify(disk, &layout, &epoch, &seals, options.reading, &mut report);
    if let Some(unlocked) = options.unlocked.filter(|_| !report.stopped) {
        verify_deep::verify(unlocked, (&facts, options.journal), options.depth, &mut report);
    }
    report
}

/// The log alone, for the heads of the read audit that it states.
pub fn verify_heads(disk: &dyn Disk, dir: &Path, journal: &[LeafEntry]) -> Report {
    let layout = Layout::new(dir);
    let mut report = Report::default();
    let Some(Anchors { head, .. }) = anchors(disk, &layout, &mut report) else { return report };
    let mut facts = Facts::default();
    verify_log::verify(disk, &layout, &head, &mut facts, &mut report);
    for entry in journal.iter().filter(|entry| entry.index >= head.size) {
        facts.take(entry.index, &entry.octets, &mut report);
    }
    report.audit_heads = facts.audit_heads();
    report
}

/// Everything but the data objects. The epoch and what the leaves say, and what acts took, where that can be known.
fn verify_small(
    disk: &dyn Disk,
    layout: &Layout,
    options: &VerifyOptions<'_>,
    report: &mut Report,
) -> Option<(Epoch, Facts, Registry)> {
    let Anchors { epoch, verifier, head } = anchors(disk, layout, report)?;
    let mut facts = Facts::default();
    let whole = verify_log::verify(disk, layout, &head, &mut facts, report);
    for entry in options.journal.iter().filter(|entry| entry.index >= head.size) {
        facts.take(entry.index, &entry.octets, report);
    }
    facts.seals.sort_by_key(|info| info.seal_index);
    report.audit_heads = facts.audit_heads();
    facts.anchors.sort_by_key(|(index, _)| *index);
    let epoch = check_epoch(epoch, &facts, report);
    verify_keys::verify(disk, layout, epoch.as_ref(), &facts, report);
    // With damaged tiles earlier roots cannot be computed; the tiles have their findings.
    let history = if whole { History::Known } else { History::Damaged };
    if history == History::Known {
        check_history(disk, layout, &head, &facts, report);
    }
    if let Some(note) = options.checkpoint {
        check_outside(disk, layout, (&verifier, &head), note, history, report);
    }
    let anchored = verify_anchors::Log { disk, layout, verifier: &verifier, head: &head, is_whole: whole };
    anchored.verify(&facts.anchors, options.authorities, report);
    let epoch = epoch?;
    let registry = verify_acts::verify(disk, layout, &epoch, &facts, report);
    verify_segments::verify(disk, layout, &facts, &registry, report);
    Some((epoch, facts, registry))
}

/// Whether earlier roots can be computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum History {
    Known,
    Damaged,
}

/// The key that signed the checkpoint, and what it signed. Without them nothing else can be said.
///
/// The key stands in two files. If only one of them opens the checkpoint, the other changed.
fn anchors(disk: &dyn Disk, layout: &Layout, report: &mut Report) -> Option<Anchors> {
    let epoch = keys::load_descriptor(disk, layout).inspect_err(|e| report.error(0, "archive", e)).ok();
    let vkey_name = layout.name(&layout.vkey());
    let vkey = files::read(disk, &layout.vkey(), NOTE_BYTES_MAX);
    let vkey = vkey.inspect_err(|e| report.unread(0, &vkey_name, e)).ok();
    let name = layout.name(&layout.checkpoint());
    let note = files::read(disk, &layout.checkpoint(), NOTE_BYTES_MAX);
    let note = note.inspect_err(|e| report.unread(0, &name, e)).ok()?;
    let by_descriptor = epoch.as_ref().map(|e| Verifier::new(&e.archive, e.log_public));
    let by_vkey = vkey.as_deref().and_then(|octets| Verifier::parse_vkey(octets).ok());
    let opened = [&by_descriptor, &by_vkey].map(|v| v.as_ref().and_then(|v| Some((v.clone(), v.open(&note).ok()?))));
    let [first, second] = opened;
    if epoch.is_some() && first.is_none() && second.is_some() {
        report.add(0, "archive", FaultKind::Changed, "not the key of the log");
    }
    if vkey.is_some() && second.is_none() && first.is_some() {
        report.add(0, vkey_name, FaultKind::Changed, "not the key of the log");
    }
    let Some((verifier, head)) = first.or(second) else {
        let known = [by_descriptor, by_vkey].into_iter().flatten().next()?;
        let what = known.open(&note).err().map_or_else(String::new, |what| what.to_string());
        report.add(0, name, FaultKind::Changed, what);
        return None;
    };
    Some(Anchors { epoch, verifier, head })
}

/// What the rest is held against.
struct Anchors {
    epoch: Option<Epoch>,
    verifier: Verifier,
    head: TreeHead,
}

/// The epoch as the log states it, which the descriptor must repeat.
fn check_epoch(epoch: Option<Epoch>, facts: &Facts, report: &mut Report) -> Option<Epoch> {
    let unread = facts.seen.first().is_none_or(|seen| *seen == Seen::Unknown);
    if unread {
        return epoch;
    }
    let reported = report.findings.iter().any(|finding| finding.object == "archive");
    if facts.epoch.is_none() || (facts.epoch != epoch && !reported) {
        report.add(0, "archive", FaultKind::Inconsistent, "the log's first leaf says otherwise");
    }
    facts.epoch.clone().or(epoch)
}

/// Every checkpoint that a SEAL leaf names was a head of this very log.
fn check_history(disk: &dyn Disk, layout: &Layout, head: &TreeHead, facts: &Facts, report: &mut Report) {
    for info in &facts.seals {
        let claimed = info.seal.tree;
        let object = format!("leaf {}", info.seal_index);
        if claimed.size > info.seal_index || claimed.size > head.size {
            report.add(0, object, FaultKind::Inconsistent, "names a checkpoint that was not yet signed");
            continue;
        }
        match log::head_at(disk, layout, head.size, claimed.size) {
            Ok(was) if was == claimed => {}
            Ok(_) => report.add(0, object, FaultKind::Inconsistent, "names a checkpoint of another log"),
            Err(e) => report.error(0, &object, &e),
        }
    }
}

fn check_outside(
    disk: &dyn Disk,
    layout: &Layout,
    (verifier, head): (&Verifier, &TreeHead),
    note: &[u8],
    history: History,
    report: &mut Report,
) {
    let object = "checkpoint from outside";
    let outside = match verifier.open(note) {
        Ok(outside) => outside,
        Err(what) => return report.add(0, object, FaultKind::Inconsistent, what.to_string()),
    };
    if outside.size > head.size {
        let detail = format!("covers {} leaves, the log has {}", outside.size, head.size);
        return report.add(0, object, FaultKind::Missing, detail);
    }
    if history == History::Damaged {
        return;
    }
    match log::head_at(disk, layout, head.size, outside.size) {
        Ok(was) if was == outside => {}
        Ok(_) => report.add(0, object, FaultKind::Inconsistent, "the log is no continuation of it"),
        Err(e) => report.error(0, object, &e),
    }
}
