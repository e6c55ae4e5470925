//! Replay: from the files in a directory to the journal's state. Damage is reported and quarantined, never cut off.
//! Rules: docs/journal-format.md section 6.

use super::Error;
use super::file;
use super::file::JournalFile;
use super::ingest::{Ingest, Needs};
use super::leaf::Leaf;
use super::message::Health;
use super::readers;
use super::readers::ReadFile;
use super::scan::End;
use super::settings::Keys;
use super::state::State;
use super::survey;
use super::survey::{Headless, Survey};
use super::writer::{Condition, LiveFile};
use crate::crypto::hash::hex;
use crate::durable::Disk;
use crate::mail::MailId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Zone of the journal directory where copies of damaged files are kept.
pub const QUARANTINE: &str = "quarantine";

/// What a start found, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Live files.
    pub files: usize,
    /// Messages that are not both sealed and final.
    pub messages: usize,
    /// Messages with a recipient to deliver to.
    pub pending: usize,
    /// A write was torn at the end: nothing acknowledged was in it.
    pub torn_tail: bool,
    /// What acknowledged data cannot be read, in words. Not empty: raise the alarm.
    pub damage: Vec<String>,
    /// What was missing or damaged on one side and came from its twin, in words. Not empty: look after that disk.
    pub recovered: Vec<String>,
    /// Messages with missing pieces: their octets answer `Damaged`, and they are not sealed.
    pub damaged_messages: Vec<MailId>,
    /// Deliveries that a killed predecessor had no time to make durable.
    pub remembered: usize,
    /// Ranges of leaf indices newly declared lost by GAP leaves.
    pub gaps: Vec<(u64, u64)>,
}

/// Where the archive stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub leaves_before: u64,
    pub sealed_through: u64,
}

/// A journal directory brought back to life.
pub struct Replayed {
    pub state: State,
    pub files: BTreeMap<u64, LiveFile>,
    pub next_ordinal: u64,
    pub next_number: u64,
    pub free: Vec<PathBuf>,
    pub report: Replay,
}

/// Reads everything, tidies what crashes left behind, quarantines what is damaged.
pub fn replay(disk: &dyn Disk, dir: &Path, keys: &Keys, standing: Standing) -> Result<Replayed, Error> {
    let mut survey = survey::survey(disk, dir)?;
    let mut replaying = Replaying {
        disk,
        dir,
        ingest: Ingest::new(State::new(0, standing.sealed_through)),
        files: BTreeMap::new(),
        report: Replay::default(),
        fresh_damage: 0,
    };
    let ends = survey.ends();
    let mut files = Vec::with_capacity(ends.len());
    for (ordinal, end) in &ends {
        if let Some((path, header)) = survey.live.get(ordinal) {
            files.push((Arc::new(JournalFile::reopen(disk, path, header, &keys.host)?), *end));
        }
    }
    readers::read(files, |file| replaying.file(file))?;
    let lost = replaying.missing(&ends);
    replaying.quarantine_headless(&mut survey, &lost)?;
    replaying.restore(&survey, standing, &lost);
    let free = replaying.tidy(&survey, &ends);
    Ok(replaying.finish(&survey, free))
}

struct Replaying<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    ingest: Ingest,
    files: BTreeMap<u64, LiveFile>,
    report: Replay,
    /// Damage seen for the first time.
    fresh_damage: usize,
}

impl Replaying<'_> {
    fn file(&mut self, read: ReadFile) -> Result<(), Error> {
        let ReadFile { file, scanned, said } = read;
        let mut needs = Needs::default();
        let faults = self.ingest.faults.len();
        said.into_iter().for_each(|said| self.ingest.hear(&file, &mut needs, said));
        self.report.torn_tail |= scanned.torn_tail;
        self.report.damage.extend(scanned.damage.iter().cloned());
        if !scanned.damage.is_empty() || self.ingest.faults.len() > faults {
            self.quarantine_copy(&file)?;
        }
        let Needs { leaves_end, homes } = needs;
        let (last_sequence, condition) = (scanned.last_sequence, Condition::Sound);
        self.files.insert(file.ordinal, LiveFile { file, leaves_end, homes, last_sequence, condition });
        Ok(())
    }

    /// Files that must be there and are not.
    fn missing(&mut self, ends: &BTreeMap<u64, End>) -> Vec<u64> {
        let gone = |ordinal: &&u64| !self.files.contains_key(*ordinal) && !self.ingest.retired.contains(*ordinal);
        let missing: Vec<u64> = ends.keys().filter(gone).copied().collect();
        for ordinal in &missing {
            self.report.damage.push(format!("{}: journal file with ordinal {ordinal} is lost", self.dir.display()));
            self.fresh_damage += 1;
        }
        missing
    }

    /// Moves files away whose header was lost, not wiped. Without their key nothing in them can be read here.
    fn quarantine_headless(&mut self, survey: &mut Survey, lost: &[u64]) -> Result<(), Error> {
        let newest = survey.newest().map(|h| h.ordinal);
        let is_lost = |h: &Headless| h.first_batch_of.is_some_and(|o| lost.contains(&o) || Some(o) > newest);
        let (damaged, free) = std::mem::take(&mut survey.headless).into_iter().partition(is_lost);
        survey.headless = free;
        for Headless { path, .. } in damaged {
            self.report.damage.push(format!("{}: both header areas are unreadable", path.display()));
            self.fresh_damage += 1;
            let name = path.file_name().unwrap_or_default();
            let moved = self.quarantine_dir().and_then(|dir| {
                self.disk.rename(&path, &dir.join(name))?;
                self.disk.sync_dir(&dir)?;
                self.disk.sync_dir(self.dir)
            });
            moved.map_err(|e| Error::disk("quarantine journal file", &e))?;
        }
        Ok(())
    }

    /// Puts the unsealed end of the log together and says what of it is lost.
    fn restore(&mut self, survey: &Survey, standing: Standing, lost: &[u64]) {
        let Standing { leaves_before, sealed_through } = standing;
        let known_end = self.ingest.leaves.last_key_value().map_or(0, |(index, _)| index.saturating_add(1));
        let announced = survey.newest().map_or(0, |h| h.first_leaf);
        let end = known_end.max(announced).max(leaves_before).max(sealed_through);
        let oldest = survey.ends().keys().filter_map(|o| survey.live.get(o)).map(|(_, h)| h.first_leaf).min();
        let start = match oldest {
            // The archive's first leaves may be older than the journal.
            Some(oldest) if lost.is_empty() => sealed_through.max(oldest),
            Some(_) => sealed_through,
            None => end,
        };
        let declared = self.ingest.declared();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let is_declared = |index: u64| declared.iter().any(|(from, until)| (*from..*until).contains(&index));
        let leaves: Vec<Arc<[u8]>> = (start.min(end)..end)
            .map(|index| {
                self.ingest.leaves.get(&index).map_or_else(
                    || {
                        ranges.push((index, index + 1));
                        Leaf::gap(index, index + 1).octets().into()
                    },
                    Arc::clone,
                )
            })
            .collect();
        if !ranges.is_empty() {
            self.report.damage.push(format!("{} log entries are lost", ranges.len()));
        }
        ranges.extend(self.mark_damaged(sealed_through));
        ranges.retain(|(from, _)| !is_declared(*from));
        self.report.gaps = merged(ranges);
        if self.report.gaps.is_empty() && self.fresh_damage > 0 {
            self.report.gaps.push((end, end));
        }
        self.ingest.state.restore_leaves(start.min(end), leaves.into_iter());
    }

    /// Marks messages with missing pieces; the ACCEPT indices of those not sealed.
    fn mark_damaged(&mut self, sealed_through: u64) -> Vec<(u64, u64)> {
        self.ingest.state.forget_finished();
        let mut unsealed = Vec::new();
        for message in self.ingest.state.messages_mut().filter(|m| !m.is_complete()) {
            message.health = Health::Damaged;
            self.report.damaged_messages.push(message.held.id);
            let index = message.held.accept_index;
            if index >= sealed_through {
                unsealed.push((index, index + 1));
            }
        }
        self.report.damaged_messages.sort_unstable();
        unsealed
    }

    /// Finishes what crashes interrupted: removes partial files, wipes retired ones and torn headers. What is free then. What
    /// cannot be tidied stays out of use, and is tried again at the next start.
    fn tidy(&self, survey: &Survey, ends: &BTreeMap<u64, End>) -> Vec<PathBuf> {
        for path in &survey.unfinished {
            self.disk.remove(path).unwrap_or_else(|e| tracing::warn!(error = %e, "left a partial journal file"));
        }
        let retired = survey.live.iter().filter(|(ordinal, _)| !ends.contains_key(*ordinal)).map(|(_, (path, _))| path);
        let mut free: Vec<PathBuf> = survey.headless.iter().map(|h| &h.path).chain(retired).cloned().collect();
        free.retain(|path| {
            let wiped = file::wipe(self.disk, path);
            wiped.inspect_err(|e| tracing::warn!(error = %e, file = %path.display(), "not freed")).is_ok()
        });
        free
    }

    fn finish(mut self, survey: &Survey, free: Vec<PathBuf>) -> Replayed {
        self.report.damage.append(&mut self.ingest.faults);
        self.report.files = self.files.len();
        self.report.messages = self.ingest.state.messages().count();
        self.report.pending = self.ingest.state.messages().filter(|m| m.held.is_pending()).count();
        let next_ordinal = survey.newest().map_or(1, |h| h.ordinal + 1);
        let next_number = survey.next_number;
        let Replaying { mut ingest, files, report, .. } = self;
        ingest.state.messages_mut().for_each(|message| message.held.pack());
        Replayed { state: ingest.state, files, next_ordinal, next_number, free, report }
    }

    /// Keeps a copy of a damaged file as it was found.
    fn quarantine_copy(&mut self, file: &JournalFile) -> Result<(), Error> {
        let name = format!("{:08}-{}.journal", file.ordinal, hex(&file.incarnation));
        let copied = self.quarantine_dir().and_then(|dir| {
            let path = dir.join(name);
            if self.disk.exists(&path) {
                return Ok(0);
            }
            crate::durable::replace(self.disk, &path, &self.disk.read(&file.path)?).map(|()| 1)
        });
        self.fresh_damage += copied.map_err(|e| Error::disk("quarantine journal file", &e))?;
        Ok(())
    }

    fn quarantine_dir(&self) -> std::io::Result<PathBuf> {
        let dir = self.dir.join(QUARANTINE);
        self.disk.create_dir(&dir)?;
        Ok(dir)
    }
}

/// Joins ranges that touch.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    ranges.dedup();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, until) in ranges {
        match merged.last_mut() {
            Some((_, end)) if *end >= from => *end = until.max(*end),
            _ => merged.push((from, until)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_join() {
        assert_eq!(merged(vec![(3, 4), (1, 2), (2, 3), (7, 8), (3, 4)]), [(1, 4), (7, 8)]);
        assert_eq!(merged(vec![]), []);
    }
}
