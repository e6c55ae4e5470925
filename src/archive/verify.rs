//! Verifying an archive: everything a file could be wrong in, one finding per fault. Reads only, trusts nothing but the
//! signature on the checkpoint and, where one is brought, a checkpoint from outside.

use super::checkpoint::NOTE_BYTES_MAX;
use super::checkpoint::Verifier;
use super::files;
use super::keys;
use super::keys::GENERATION_BYTES_MAX;
use super::layout::Layout;
use super::leaf::Epoch;
use super::leaf::Key;
use super::log;
use super::open::SegmentInfo;
use super::tile::TreeHead;
use super::unlocked::Unlocked;
use super::verify_deep;
use super::verify_log;
use super::verify_segments;
use crate::crypto::sha256;
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
    /// The level that found it: 0 or 2.
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
    /// Tombs of erased messages.
    pub erased: u64,
    /// Tombs of expired messages.
    pub expired: u64,
    /// Leaves inside declared gaps.
    pub gaps: u64,
    /// ACCEPT leaves that should be in a segment and are in none.
    pub missing: u64,
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
    /// With it, level 2: every unit is opened.
    pub unlocked: Option<&'a Unlocked>,
    /// A checkpoint kept elsewhere: the log must be a continuation of it.
    pub checkpoint: Option<&'a [u8]>,
    /// The journal's leaves from the end of the log on, in order.
    pub journal: &'a [LeafEntry],
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
                let seal = super::leaf::Seal::from_body(&leaf.body).ok()?;
                self.seals.push(SegmentInfo { seal_index: index, seal });
            }
            LeafKind::Gap => self.gaps.push(leaf.gap_range()?),
            kind if kind.is_act() => return Some(Seen::Act),
            _ => {}
        }
        Some(Seen::Other)
    }
}

/// Times that a verification starts over because a seal pass changed the log under it.
const ATTEMPTS_MAX: u32 = 5;

/// Verifies the archive in `dir`: level 0, and level 2 where it is unlocked. A gateway may be sealing meanwhile.
pub fn verify(disk: &dyn Disk, dir: &Path, options: &VerifyOptions<'_>) -> Report {
    let layout = Layout::new(dir);
    let checkpoint = || files::read(disk, &layout.checkpoint(), NOTE_BYTES_MAX).ok();
    let mut report = Report::default();
    for _ in 0..ATTEMPTS_MAX {
        let before = checkpoint();
        report = verify_once(disk, &layout, options);
        if report.is_ok() || before == checkpoint() {
            break;
        }
    }
    report
}

fn verify_once(disk: &dyn Disk, layout: &Layout, options: &VerifyOptions<'_>) -> Report {
    let mut report = Report::default();
    let Some(Anchors { epoch, verifier, head }) = anchors(disk, layout, &mut report) else { return report };
    let mut facts = Facts::default();
    let whole = verify_log::verify(disk, layout, &head, &mut facts, &mut report);
    for entry in options.journal.iter().filter(|entry| entry.index >= head.size) {
        facts.take(entry.index, &entry.octets, &mut report);
    }
    facts.seals.sort_by_key(|info| info.seal_index);
    let epoch = check_epoch(epoch, &facts, &mut report);
    check_keys(disk, layout, &facts, &mut report);
    // With damaged tiles earlier roots cannot be computed; the tiles have their findings.
    let history = if whole { History::Known } else { History::Damaged };
    if history == History::Known {
        check_history(disk, layout, &head, &facts, &mut report);
    }
    if let Some(note) = options.checkpoint {
        check_outside(disk, layout, (&verifier, &head), note, history, &mut report);
    }
    let Some(epoch) = epoch else { return report };
    verify_segments::verify(disk, layout, &epoch, &facts, &mut report);
    if let Some(unlocked) = options.unlocked {
        verify_deep::verify(unlocked, &facts, options.journal, &mut report);
    }
    report
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

fn check_keys(disk: &dyn Disk, layout: &Layout, facts: &Facts, report: &mut Report) {
    for (index, key) in &facts.keys {
        let path = layout.generation(key.generation);
        match files::read(disk, &path, GENERATION_BYTES_MAX) {
            Err(e) => report.unread(0, layout.name(&path), &e),
            Ok(octets) if sha256(&octets) == key.file => {}
            Ok(_) => {
                report.add(0, layout.name(&path), FaultKind::Changed, format!("leaf {index} has another hash"));
            }
        }
    }
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
