//! The seal pass: what the journal holds below some leaf becomes a segment that counts, in the order that
//! `docs/archive-format.md` section 10 prescribes. A crash at any step loses nothing and covers nothing twice.

use super::Error;
use super::attempt::Attempt;
use super::cursor::Malformed;
use super::data_object;
use super::directory::month_of;
use super::directory::slice_after;
use super::fenced;
use super::fenced::Summarize;
use super::files;
use super::key_object::Wrap;
use super::layout::SegmentId;
use super::leaf::Seal;
use super::leaf::Totals;
use super::meta::Event;
use super::meta::Meta;
use super::meta::ResultRecord;
use super::open::Archive;
use super::open::lock;
use super::segment_reader::WRAP_LABEL;
use super::segment_reader::wrap_aad;
use super::segment_writer::Message;
use super::segment_writer::Plan;
use super::segment_writer::SegmentWriter;
use super::segment_writer::Written;
use super::unit::SegmentKey;
use super::unit::UNITS_MAX;
use crate::clock::Clock;
use crate::crypto::random;
use crate::crypto::sha256;
use crate::journal;
use crate::journal::Held;
use crate::journal::Journal;
use crate::journal::LateResult;
use crate::journal::Leaf;
use crate::journal::Sealable;
use crate::mail::MailId;
use crate::mail::summary::summarize;
use crate::mail::unread::unread;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;

/// Octets of messages that one segment takes; a longer backlog makes several.
const PASS_BYTES_MAX: u64 = 1 << 30;

/// What sealing did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealReport {
    /// Segments written.
    pub segments: u64,
    /// Messages in them.
    pub messages: u64,
    /// Event units in them.
    pub events: u64,
    /// Octets of the messages as received.
    pub raw_bytes: u64,
    /// Octets of the segments' data and key objects.
    pub stored_bytes: u64,
    /// Everything below is sealed.
    pub sealed_through: u64,
}

/// What a pass works with.
#[derive(Clone, Copy)]
pub(super) struct Means<'a> {
    pub journal: &'a Journal,
    pub clock: &'a dyn Clock,
    pub summarize: Summarize,
}

impl Archive {
    /// Seals everything that is durable in the journal when called.
    pub fn seal(&self, journal: &Journal, clock: &dyn Clock) -> Result<SealReport, Error> {
        self.seal_with(&Means { journal, clock, summarize })
    }

    /// Seals what stands below this leaf, which must be durable.
    pub fn seal_below(&self, target: u64, journal: &Journal, clock: &dyn Clock) -> Result<SealReport, Error> {
        self.seal_to(target, &Means { journal, clock, summarize })
    }

    pub(super) fn seal_with(&self, means: &Means<'_>) -> Result<SealReport, Error> {
        self.seal_to(means.journal.durable_leaves(), means)
    }

    fn seal_to(&self, target: u64, means: &Means<'_>) -> Result<SealReport, Error> {
        let _pass = lock(&self.inner.pass);
        self.catch_up(means.journal)?;
        let mut report = SealReport::default();
        while let Some(seal) = self.pass(means, target)? {
            report.segments += 1;
            report.messages += u64::from(seal.messages);
            report.events += u64::from(seal.events);
            report.raw_bytes += seal.raw_bytes;
            report.stored_bytes += seal.data_bytes + seal.keys_bytes;
            if seal.through >= target {
                break;
            }
        }
        report.sealed_through = self.sealed_through();
        Ok(report)
    }

    /// One segment of what lies below `target`, or of less when that is too much; `None` when there is nothing to seal.
    fn pass(&self, means: &Means<'_>, target: u64) -> Result<Option<Seal>, Error> {
        let journal = means.journal;
        let mut through = target;
        let mut sealable = journal.sealable(target);
        if let Some(lower) = bound(&sealable) {
            through = lower;
            sealable = journal.sealable(lower);
        }
        while !sealable.messages.is_empty() || !sealable.results.is_empty() {
            let segment = SegmentId::new(means.clock.now(), random::bytes()?);
            let attempt = Attempt::begin(self.inner.disk.as_ref(), &self.inner.layout, segment);
            let seal = match self.write_segment(means, segment, &sealable, through) {
                Ok(seal) => seal,
                Err(Error::Journal(journal::Error::Damaged(id, _))) => {
                    // The others must not wait for a message that nobody can read any more.
                    declare_lost(journal, &mut sealable, &id)?;
                    continue;
                }
                Err(e) => return Err(e),
            };
            attempt.written();
            append(journal, seal.to_leaf().ok_or(Error::Bug("a SEAL leaf is too long"))?)?;
            // The segment counts from here. After a crash `catch_up` finds its SEAL leaf in the journal.
            self.extend_log(journal)?;
            // The log has it from here; after a crash it is found there.
            journal.sealed(through)?;
            return Ok(Some(seal));
        }
        // Leaves of other kinds, SEAL leaves above all: no segment needs them, the log does.
        self.extend_log(journal)?;
        journal.sealed(through)?;
        Ok(None)
    }

    /// Steps 2 to 4: all four files durable and read back.
    pub(super) fn write_segment(
        &self,
        means: &Means<'_>,
        segment: SegmentId,
        sealable: &Sealable,
        through: u64,
    ) -> Result<Seal, Error> {
        let last = self.last_segment();
        let mut months: BTreeMap<u32, u64> = last.iter().flat_map(|info| info.seal.months.iter().copied()).collect();
        let late = by_message(&sealable.results);
        let plan = Plan {
            archive: self.id(),
            segment,
            created: means.clock.now(),
            messages: count(sealable.messages.len())?,
            events: count(late.len())?,
        };
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let data = layout.data(&segment);
        let file = disk.create(&files::temporary(&data)).map_err(|e| Error::io(layout.name(&data), e))?;
        let key = SegmentKey::generate(segment)?;
        let wraps = vec![self.wrap(&key, &segment)?];
        let mut writer = SegmentWriter::begin(file, plan, key).map_err(Error::data)?;
        for entry in &sealable.messages {
            let before = months.entry(month_of(entry.internal_date)).or_default();
            add_message(&mut writer, means, entry, slice_after(*before), through)?;
            *before += 1;
        }
        for (accept_index, results) in &late {
            add_event(&mut writer, &segment, *accept_index, results)?;
        }
        let written = writer.finish(wraps)?;
        let seal = self.describe(&written, through, months.into_iter().collect());
        self.publish(&seal, &written)?;
        Ok(seal)
    }

    pub(super) fn wrap(&self, key: &SegmentKey, segment: &SegmentId) -> Result<Wrap, Error> {
        let generation = self.inner.generation.number;
        let aad = wrap_aad(self.id().octets(), segment.octets(), generation);
        Ok(Wrap { generation, sealed: self.inner.public.seal(WRAP_LABEL, &aad, key.expose())? })
    }

    pub(super) fn describe(&self, written: &Written, through: u64, months: Vec<(u32, u64)>) -> Seal {
        let last = self.last_segment();
        let before = last.as_ref().map(|info| info.seal.totals).unwrap_or_default();
        let keys = written.keys.encode();
        let keys_bytes = keys.len() as u64;
        Seal {
            segment: written.keys.segment,
            through,
            messages: written.keys.messages,
            events: written.keys.events,
            data_bytes: written.data_bytes,
            data_root: written.data_root,
            keys_bytes,
            keys_hash: sha256(&keys),
            slot_root: written.keys.root(),
            cover_hash: sha256(&written.cover.encode()),
            raw_bytes: written.raw_bytes,
            previous: last.map(|info| info.seal_index),
            tree: self.tree_head(),
            totals: Totals {
                segments: before.segments + 1,
                messages: before.messages + u64::from(written.keys.messages),
                stored_bytes: before.stored_bytes + written.data_bytes + keys_bytes,
                raw_bytes: before.raw_bytes + written.raw_bytes,
            },
            months,
        }
    }

    /// Gives the data object its name, with key objects and cover beside it, and reads all back.
    pub(super) fn publish(&self, seal: &Seal, written: &Written) -> Result<(), Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let data = layout.data(&seal.segment);
        let (keys, cover) = (written.keys.encode(), written.cover.encode());
        let [first, second] = layout.keys(&seal.segment);
        let small = [(first, &keys), (second, &keys), (layout.cover(&seal.segment), &cover)];
        for (path, octets) in &small {
            files::stage(disk, path, octets).map_err(|e| Error::io(layout.name(path), e))?;
        }
        let all: Vec<&Path> = std::iter::once(data.as_path()).chain(small.iter().map(|(p, _)| p.as_path())).collect();
        files::publish(disk, &all).map_err(|e| Error::io(layout.name(&data), e))?;
        // Durable from here, and still nothing: only a SEAL leaf makes it a segment.
        for (path, octets) in &small {
            let back = files::read(disk, path, octets.len() as u64).map_err(|e| Error::io(layout.name(path), e))?;
            if back != **octets {
                return Err(Error::damaged(layout.name(path), Malformed("not what was written a moment ago")));
            }
        }
        let file = disk.open_read(&data).map_err(|e| Error::io(layout.name(&data), e))?;
        let mut faults = 0u32;
        data_object::check(file.as_ref(), &self.id(), seal, |_| faults += 1)
            .map_err(|e| Error::io(layout.name(&data), e))?;
        if faults == 0 {
            return Ok(());
        }
        Err(Error::damaged(layout.name(&data), Malformed("not what was written a moment ago")))
    }
}

fn count(n: usize) -> Result<u32, Error> {
    u32::try_from(n).map_err(|_| Error::Bug("more units than a segment takes"))
}

/// The leaf below which all fits into one segment, if not everything does.
fn bound(sealable: &Sealable) -> Option<u64> {
    let messages = sealable.messages.iter().map(|entry| (entry.accept_index, entry.body_bytes));
    // Each result counts as a unit, which is never less than the event units it makes.
    let results = sealable.results.iter().map(|late| (late.leaf_index, 0));
    first_beyond(messages.chain(results).collect(), UNITS_MAX, PASS_BYTES_MAX)
}

/// Of units by leaf index and octets: the first that does not fit, unless it is the first of all.
fn first_beyond(mut units: Vec<(u64, u64)>, units_max: usize, octets_max: u64) -> Option<u64> {
    units.sort_unstable();
    let mut octets = 0u64;
    units.iter().enumerate().find_map(|(before, (index, bytes))| {
        octets = octets.saturating_add(*bytes);
        (before > 0 && (before >= units_max || octets > octets_max)).then_some(*index)
    })
}

/// Late results per message, by ACCEPT index.
fn by_message(results: &[LateResult]) -> BTreeMap<u64, Vec<&LateResult>> {
    let mut late: BTreeMap<u64, Vec<&LateResult>> = BTreeMap::new();
    for result in results {
        late.entry(result.accept_index).or_default().push(result);
    }
    late
}

fn add_message(
    writer: &mut SegmentWriter,
    means: &Means<'_>,
    entry: &Held,
    slice: u32,
    through: u64,
) -> Result<(), Error> {
    let octets = means.journal.octets(&entry.id)?;
    let results = (0u64..)
        .zip(entry.results.iter())
        .filter(|(_, (leaf_index, _))| *leaf_index < through)
        .map(|(ordinal, (leaf_index, result))| ResultRecord {
            leaf_index: *leaf_index,
            ordinal,
            record: journal::encode(result),
        })
        .collect();
    let meta = Meta::new(entry.accept_index, entry.accept_octets.to_vec(), results, unread(&octets));
    writer.message(&Message {
        mek: entry.mek().ok_or(Error::Bug("a message to be sealed has no key"))?,
        accept_index: entry.accept_index,
        id: entry.id,
        accepted_at: entry.accepted_at,
        month: month_of(entry.internal_date),
        slice,
        octets: &octets,
        meta: &fenced::encode(meta, &entry.id, &octets, means.summarize),
    })
}

fn add_event(
    writer: &mut SegmentWriter,
    segment: &SegmentId,
    accept_index: u64,
    late: &[&LateResult],
) -> Result<(), Error> {
    let Some(first) = late.first() else { return Ok(()) };
    let record = |late: &&LateResult| ResultRecord {
        leaf_index: late.leaf_index,
        ordinal: late.ordinal,
        record: journal::encode(&late.result),
    };
    let event = Event::new(accept_index, first.id, late.iter().map(record).collect());
    let mek = random::hedged("event key", &[segment.octets(), &accept_index.to_be_bytes()])?;
    writer.event(&mek, accept_index, &event.encode())
}

/// A GAP leaf for a message whose octets cannot be read back, and the pass goes on without it.
fn declare_lost(journal: &Journal, sealable: &mut Sealable, id: &MailId) -> Result<(), Error> {
    let at = sealable.messages.iter().position(|entry| entry.id == *id);
    let entry = sealable.messages.remove(at.ok_or(Error::Bug("another message than the pass has is damaged"))?);
    append(journal, Leaf::gap(entry.accept_index, entry.accept_index + 1)).map(|_| ())
}

/// Step 5: a leaf, durable when this returns.
pub(super) fn append(journal: &Journal, leaf: Leaf) -> Result<u64, Error> {
    let (sender, receiver) = mpsc::channel();
    journal.append_leaf(
        leaf,
        Box::new(move |result| {
            // The receiver waits below; should it be gone, nobody needs the answer.
            let _ = sender.send(result);
        }),
    );
    let index = receiver.recv().map_err(|_| Error::Bug("the journal forgot a leaf"))?;
    Ok(index?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_takes_what_fits() {
        for (units, expected) in [
            (vec![], None),
            (vec![(5, 10), (3, 10), (4, 0)], None),
            (vec![(5, 10), (3, 10), (4, 0), (6, 0)], Some(6)),
            (vec![(3, 10), (4, 11)], Some(4)),
            (vec![(3, 99)], None),
            (vec![(3, 99), (9, 0)], Some(9)),
        ] {
            assert_eq!(first_beyond(units.clone(), 3, 20), expected, "{units:?}");
        }
    }
}
