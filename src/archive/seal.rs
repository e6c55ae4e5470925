//! The seal pass: what the journal holds below some leaf becomes segments that count, one for each class and bucket, in the order
//! that `docs/archive-format.md` section 10 prescribes. A crash at any step loses nothing and covers nothing twice.

use super::Error;
use super::attempt::Attempt;
use super::cursor::Malformed;
use super::data_object;
use super::directory::month_of;
use super::directory::slice_after;
use super::fenced;
use super::fenced::Summarize;
use super::files;
use super::group;
use super::group::Content;
use super::group::Group;
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
use super::tile::TreeHead;
use super::unit::SegmentKey;
use crate::clock::Clock;
use crate::clock::Timestamp;
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
use std::path::{Path, PathBuf};
use std::sync::mpsc;

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

impl SealReport {
    fn add(&mut self, seal: &Seal) {
        self.segments += 1;
        self.messages += u64::from(seal.messages);
        self.events += u64::from(seal.events);
        self.raw_bytes += seal.raw_bytes;
        self.stored_bytes += seal.data_bytes + seal.keys_bytes;
    }
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
        self.seal_locked(target, means)
    }

    /// The same for who holds the pass.
    pub(super) fn seal_locked(&self, target: u64, means: &Means<'_>) -> Result<SealReport, Error> {
        self.catch_up(means.journal)?;
        let mut report = SealReport::default();
        while let Some(seals) = self.pass(means, target)? {
            seals.iter().for_each(|seal| report.add(seal));
            if seals.iter().any(|seal| seal.through >= target) {
                break;
            }
        }
        report.sealed_through = self.sealed_through();
        Ok(report)
    }

    /// One pass over what lies below `target`, or over less when that is too much; `None` when there is nothing to seal.
    fn pass(&self, means: &Means<'_>, target: u64) -> Result<Option<Vec<Seal>>, Error> {
        let journal = means.journal;
        let mut through = target;
        let mut sealable = journal.sealable(target);
        if let Some(lower) = group::bound(&sealable, self.last_segment().map(|info| info.seal).as_ref())? {
            through = lower;
            sealable = journal.sealable(lower);
        }
        while !sealable.messages.is_empty() || !sealable.results.is_empty() {
            let seals = match self.write_pass(means, &sealable, through) {
                Ok(seals) => seals,
                Err(Error::Journal(journal::Error::Damaged(id, _))) => {
                    // The others must not wait for a message that nobody can read any more.
                    declare_lost(journal, &mut sealable, &id)?;
                    continue;
                }
                Err(e) => return Err(e),
            };
            // crash point seal-7: the SEAL leaves are written; crash point seal-8: synced.
            append(journal, &leaves(&seals)?)?;
            // The segments count from here, all of them. After a crash `catch_up` finds their SEAL leaves in the journal.
            self.extend_log(journal)?;
            // The log has them from here; after a crash they are found there.
            journal.sealed(through)?;
            return Ok(Some(seals));
        }
        // Leaves of other kinds, SEAL leaves above all: no segment needs them, the log does.
        self.extend_log(journal)?;
        journal.sealed(through)?;
        Ok(None)
    }

    /// Steps 2 to 4: all files of all segments durable and read back. They are gone when this fails.
    pub(super) fn write_pass(&self, means: &Means<'_>, sealable: &Sealable, through: u64) -> Result<Vec<Seal>, Error> {
        let groups = group::split(sealable)?;
        let mut pass = Pass::behind(self, through, count(groups.len())?);
        let (mut attempts, mut written) = (Vec::new(), Vec::new());
        for (group, content) in &groups {
            let segment = SegmentId::new(means.clock.now(), random::bytes()?);
            attempts.push(Attempt::begin(self.inner.disk.as_ref(), &self.inner.layout, segment));
            let made = self.write_segment(means, segment, content, &mut pass)?;
            written.push((pass.describe(&made, group), made));
        }
        self.publish(&written)?;
        attempts.into_iter().for_each(Attempt::written);
        Ok(written.into_iter().map(|(seal, _)| seal).collect())
    }

    /// Step 2 of one segment's data object.
    fn write_segment(
        &self,
        means: &Means<'_>,
        segment: SegmentId,
        content: &Content<'_>,
        pass: &mut Pass,
    ) -> Result<Written, Error> {
        let plan = Plan {
            archive: self.id(),
            segment,
            created: means.clock.now(),
            messages: count(content.messages.len())?,
            events: count(content.late.len())?,
        };
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let data = layout.data(&segment);
        let file = disk.create(&files::temporary(&data)).map_err(|e| Error::io(layout.name(&data), e))?;
        let key = SegmentKey::generate(segment)?;
        let wraps = vec![self.wrap(&key, &segment)?];
        let mut writer = SegmentWriter::begin(file, plan, key).map_err(Error::data)?;
        // crash point seal-1: the data object grows.
        for entry in &content.messages {
            add_message(&mut writer, means, entry, pass.slice(entry.internal_date), pass.through)?;
        }
        for (accept_index, results) in &content.late {
            add_event(&mut writer, &segment, *accept_index, results)?;
        }
        // crash point seal-2: it is synced.
        writer.finish(wraps)
    }

    pub(super) fn wrap(&self, key: &SegmentKey, segment: &SegmentId) -> Result<Wrap, Error> {
        let newest = self.current_key();
        let generation = newest.generation.number;
        let aad = wrap_aad(self.id().octets(), segment.octets(), generation);
        Ok(Wrap { generation, sealed: newest.public.seal(WRAP_LABEL, &aad, key.expose())? })
    }

    /// Gives the data objects their names, with key objects and covers beside them, and reads all back.
    pub(super) fn publish(&self, segments: &[(Seal, Written)]) -> Result<(), Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let mut all: Vec<PathBuf> = Vec::new();
        for (seal, written) in segments {
            for (path, octets) in self.beside(seal, written) {
                files::stage(disk, &path, &octets).map_err(|e| Error::io(layout.name(&path), e))?;
                all.push(path);
            }
            all.push(layout.data(&seal.segment));
        }
        let all: Vec<&Path> = all.iter().map(PathBuf::as_path).collect();
        files::publish(disk, &all).map_err(|e| Error::io("segments", e))?;
        // Durable from here, and still nothing: only SEAL leaves make them segments.
        segments.iter().try_for_each(|(seal, written)| self.read_back(seal, written))
    }

    /// The small files of a segment.
    fn beside(&self, seal: &Seal, written: &Written) -> [(PathBuf, Vec<u8>); 3] {
        let layout = &self.inner.layout;
        let keys = written.keys.encode();
        let [first, second] = layout.keys(&seal.segment);
        [(first, keys.clone()), (second, keys), (layout.cover(&seal.segment), written.cover.encode())]
    }

    fn read_back(&self, seal: &Seal, written: &Written) -> Result<(), Error> {
        let (disk, layout) = (self.inner.disk.as_ref(), &self.inner.layout);
        let other = |path: &Path| Error::damaged(layout.name(path), Malformed("not what was written a moment ago"));
        for (path, octets) in &self.beside(seal, written) {
            let back = files::read(disk, path, octets.len() as u64).map_err(|e| Error::io(layout.name(path), e))?;
            if back != *octets {
                return Err(other(path));
            }
        }
        let data = layout.data(&seal.segment);
        let file = disk.open_read(&data).map_err(|e| Error::io(layout.name(&data), e))?;
        let mut faults = 0u32;
        data_object::check(file.as_ref(), &self.id(), seal, |_| faults += 1)
            .map_err(|e| Error::io(layout.name(&data), e))?;
        if faults == 0 { Ok(()) } else { Err(other(&data)) }
    }
}

/// What the SEAL leaves of a pass say, as far as it has come.
pub(super) struct Pass {
    pub through: u64,
    previous: Option<u64>,
    tree: TreeHead,
    acts: Option<u64>,
    part: u32,
    parts: u32,
    totals: Totals,
    months: BTreeMap<u32, u64>,
}

impl Pass {
    /// A pass of so many segments behind what the archive's log has.
    pub fn behind(archive: &Archive, through: u64, parts: u32) -> Pass {
        let last = archive.last_segment();
        Pass {
            through,
            previous: last.as_ref().map(|info| info.seal_index),
            tree: archive.tree_head(),
            acts: archive.last_act(),
            part: 0,
            parts,
            totals: last.as_ref().map(|info| info.seal.totals).unwrap_or_default(),
            months: last.iter().flat_map(|info| info.seal.months.iter().copied()).collect(),
        }
    }

    /// The slice of its month's mailbox that the next message goes to.
    pub fn slice(&mut self, accepted_at: Timestamp) -> u32 {
        let before = self.months.entry(month_of(accepted_at)).or_default();
        *before += 1;
        slice_after(*before - 1)
    }

    /// The SEAL leaf of the next segment.
    pub fn describe(&mut self, written: &Written, group: &Group) -> Seal {
        let keys = written.keys.encode();
        let keys_bytes = keys.len() as u64;
        self.totals.segments += 1;
        self.totals.messages += u64::from(written.keys.messages);
        self.totals.stored_bytes += written.data_bytes + keys_bytes;
        self.totals.raw_bytes += written.raw_bytes;
        self.part += 1;
        Seal {
            segment: written.keys.segment,
            through: self.through,
            messages: written.keys.messages,
            events: written.keys.events,
            data_bytes: written.data_bytes,
            data_root: written.data_root,
            keys_bytes,
            keys_hash: sha256(&keys),
            slot_root: written.keys.root(),
            cover_hash: sha256(&written.cover.encode()),
            raw_bytes: written.raw_bytes,
            previous: self.previous,
            tree: self.tree,
            totals: self.totals,
            months: self.months.iter().map(|(month, messages)| (*month, *messages)).collect(),
            part: self.part - 1,
            parts: self.parts,
            class: group.class.clone(),
            expires: group.expires,
            protected: group.protected,
            acts: self.acts,
        }
    }
}

/// The leaves of a pass.
pub(super) fn leaves(seals: &[Seal]) -> Result<Vec<Leaf>, Error> {
    seals.iter().map(|seal| seal.to_leaf().ok_or(Error::Bug("a SEAL leaf is out of bounds"))).collect()
}

fn count(n: usize) -> Result<u32, Error> {
    u32::try_from(n).map_err(|_| Error::Bug("more units than a segment takes"))
}

fn add_message(
    writer: &mut SegmentWriter,
    means: &Means<'_>,
    entry: &Held,
    slice: u32,
    through: u64,
) -> Result<(), Error> {
    let octets = means.journal.octets(&entry.id)?;
    let results = (0..)
        .zip(entry.results.iter())
        .filter(|(_, (leaf_index, _))| *leaf_index < through)
        .map(|(position, (leaf_index, result))| ResultRecord {
            leaf_index: *leaf_index,
            ordinal: entry.ordinal(position),
            record: journal::encode(result),
        })
        .collect();
    // Lists, searches and mailboxes are about what people read.
    let readable = entry.readable(&octets);
    let meta = Meta::new(entry.accept_index, entry.accept_octets.to_vec(), results, unread(readable));
    writer.message(&Message {
        mek: entry.mek().ok_or(Error::Bug("a message to be sealed has no key"))?,
        accept_index: entry.accept_index,
        id: entry.id,
        accepted_at: entry.accepted_at,
        month: month_of(entry.internal_date),
        slice,
        octets: &octets,
        meta: &fenced::encode(meta, &entry.id, readable, means.summarize),
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
    append(journal, &[Leaf::gap(entry.accept_index, entry.accept_index + 1)]).map(|_| ())
}

/// Step 5: leaves, all durable when this returns; the index of the first.
pub(super) fn append(journal: &Journal, leaves: &[Leaf]) -> Result<u64, Error> {
    let (sender, receiver) = mpsc::channel();
    journal.append_leaves(
        leaves,
        Box::new(move |result| {
            // The receiver waits below; should it be gone, nobody needs the answer.
            let _ = sender.send(result);
        }),
    );
    let index = receiver.recv().map_err(|_| Error::Bug("the journal forgot a leaf"))?;
    Ok(index?)
}
