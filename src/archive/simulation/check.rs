//! The invariants, on the whole store: S1 to S3, J2, L1, and what `verify` says.

use super::super::journal;
use super::super::leaf::Seal;
use super::super::log;
use super::super::*;
use super::steps::MARKER;
use super::template::{archive_dir, template};
use super::world::{Known, Store, World, names};
use crate::journal::LeafKind;
use crate::mail::MailId;
use std::collections::BTreeMap;

/// What the archive holds, read unit by unit.
#[derive(Default)]
pub struct Sealed {
    /// Per message its ACCEPT index.
    messages: BTreeMap<MailId, u64>,
    /// Per RESULT leaf: the message, and how many units tell of it.
    results: BTreeMap<u64, (MailId, usize)>,
}

impl World {
    /// Holds the whole store against what the outside remembers; the first fault found.
    pub fn check(&mut self, store: &Store) -> Result<(), String> {
        if self.disk.is_off() {
            return Ok(());
        }
        self.see(store);
        self.note_keys(store);
        // While the log does not grow, no file of the archive may change.
        let head = Some((self.openings, store.archive.log_size()));
        let sealed = if self.verified == head { std::mem::take(&mut self.sealed) } else { self.read(store)? };
        let waiting = self.waiting(store)?;
        self.known.iter().try_for_each(|(id, known)| check_known(store, id, known, &sealed, &waiting))?;
        let strange = |id: &&MailId| !self.known.contains_key(id) && !self.perhaps.contains_key(id);
        if let Some(id) = sealed.messages.keys().chain(waiting.keys()).find(strange) {
            return Err(format!("{id:?} was never sent"));
        }
        self.check_results(store, &sealed)?;
        if self.verified != head {
            self.check_heads(store)?;
            self.check_verify(store)?;
            self.verified = head;
        }
        self.sealed = sealed;
        Ok(())
    }

    /// S1: every unit once, with the octets that were sent.
    fn read(&mut self, store: &Store) -> Result<Sealed, String> {
        let mut sealed = Sealed::default();
        for segment in store.unlocked.segments().map_err(|e| format!("segments: {e}"))? {
            let name = segment.seal.segment;
            let fault = |e: Error| format!("segment {name}: {e}");
            if !self.segments.contains(&name) {
                self.keys.insert(segment_key(store, &segment.seal)?);
                self.segments.insert(name);
            }
            for entry in store.unlocked.directory(&segment).map_err(fault)? {
                let octets = store.unlocked.octets(&segment, entry.slot).map_err(fault)?;
                let meta = store.unlocked.meta(&segment, entry.slot).map_err(fault)?;
                meta.results.iter().for_each(|result| sealed.result(result.leaf_index, entry.id));
                let expected = self.known.get(&entry.id).map(|known| &known.octets);
                if expected.or(self.perhaps.get(&entry.id)).is_some_and(|expected| *expected != octets) {
                    return Err(format!("{:?}: sealed with other octets", entry.id));
                }
                if sealed.messages.insert(entry.id, entry.accept_index).is_some() {
                    return Err(format!("{:?} is sealed twice", entry.id));
                }
            }
            for event in store.unlocked.events(&segment).map_err(fault)? {
                event.results.iter().for_each(|result| sealed.result(result.leaf_index, event.id));
            }
        }
        Ok(sealed)
    }

    /// What is accepted and not yet sealed, as the next pass would take it.
    fn waiting(&self, store: &Store) -> Result<BTreeMap<MailId, u64>, String> {
        let sealable = store.journal.sealable(store.journal.durable_leaves());
        let mut waiting = BTreeMap::new();
        for held in sealable.messages {
            let octets = store.journal.octets(&held.id).map_err(|e| format!("{:?}: {e}", held.id))?;
            let expected = self.known.get(&held.id).map(|known| &known.octets);
            if expected.or(self.perhaps.get(&held.id)).is_some_and(|expected| *expected != octets) {
                return Err(format!("{:?}: other octets in the journal", held.id));
            }
            waiting.insert(held.id, held.accept_index);
        }
        Ok(waiting)
    }

    /// Every RESULT leaf below the last pass is told of by one unit; every acknowledged one has its leaf.
    fn check_results(&self, store: &Store, sealed: &Sealed) -> Result<(), String> {
        let through = store.archive.sealed_through();
        let inner = &store.archive.inner;
        let mut leaves = log::Leaves::new(inner.disk.as_ref(), &inner.layout, store.archive.log_size());
        for index in 0..store.archive.log_size().min(through) {
            let leaf = leaves.get(index).map_err(|e| format!("leaf {index}: {e}"))?;
            let is_result = leaf.is_some_and(|octets| octets[0] == LeafKind::Result as u8);
            let told = sealed.results.get(&index).map_or(0, |(_, times)| *times);
            if told != usize::from(is_result) {
                return Err(format!("the RESULT leaf {index} is told of {told} times"));
            }
        }
        for (id, known) in &self.known {
            for (recipient, leaf) in &known.ended {
                let is_sealed = sealed.results.get(leaf).is_some_and(|(of, _)| of == id);
                let entry = store.journal.entry(id);
                let is_held = entry.is_some_and(|entry| entry.results.iter().any(|(index, _)| index == leaf));
                if !is_sealed && !is_held {
                    return Err(format!("{id:?}: the result of recipient {recipient}, leaf {leaf}, is lost"));
                }
            }
        }
        Ok(())
    }

    /// L1: the log continues every checkpoint that was ever seen.
    fn check_heads(&self, store: &Store) -> Result<(), String> {
        let (disk, layout) = (self.shared_disk(), &store.archive.inner.layout);
        let now = store.archive.log_size();
        for (size, root) in &self.heads {
            if *size > now {
                return Err(format!("a checkpoint over {size} leaves was seen, the log has {now}"));
            }
            let was = log::head_at(disk.as_ref(), layout, now, *size).map_err(|e| format!("head {size}: {e}"))?;
            if was.root != *root {
                return Err(format!("the log is no continuation of the checkpoint over {size} leaves"));
            }
        }
        Ok(())
    }

    fn check_verify(&self, store: &Store) -> Result<(), String> {
        let journal = store.journal.leaves(store.archive.log_size(), usize::MAX);
        let options = VerifyOptions { unlocked: Some(&store.unlocked), journal: &journal, ..VerifyOptions::default() };
        let report = verify(&self.disk, &archive_dir(), &options);
        if !report.is_ok() {
            return Err(format!("verify: {:?}", report.findings));
        }
        if report.accepted != report.covered + report.pending || report.missing > 0 {
            return Err(format!("verify: {report:?}"));
        }
        Ok(())
    }

    /// What holds once a start is through: no damage reported, nothing left over, nothing in the clear.
    pub fn check_start(&mut self, store: &Store) -> Result<(), String> {
        if !store.replay.damage.is_empty() || !store.replay.gaps.is_empty() {
            return Err(format!("false alarm: {:?} {:?}", store.replay.damage, store.replay.gaps));
        }
        let segments = store.archive.segments().map_err(|e| e.to_string())?.len();
        for (dir, each) in [("segments", 2), ("key-copies", 1), ("log/cover", 1)] {
            let names = names(&self.disk, dir);
            if names.len() != segments * each {
                return Err(format!("{segments} segments, and in {dir} {names:?}"));
            }
        }
        self.check(store)?;
        self.check_image()
    }

    /// S3: no word of any message and no key on the disk, sealed or not, in files that are gone either.
    pub fn check_image(&self) -> Result<(), String> {
        let image = self.disk.image();
        if contains(&image, MARKER.as_bytes()) {
            return Err("a message in the clear on the disk".to_owned());
        }
        let secret = *template().secret.expose().expose();
        match self.keys.iter().chain([&secret]).any(|key| contains(&image, key)) {
            true => Err("a key in the clear on the disk".to_owned()),
            false => Ok(()),
        }
    }
}

impl Sealed {
    fn result(&mut self, leaf: u64, of: MailId) {
        self.results.entry(leaf).or_insert((of, 0)).1 += 1;
    }
}

/// J2, S1, S2: either sealed or waiting, never both; and whoever was promised a delivery still waits for it.
fn check_known(
    store: &Store,
    id: &MailId,
    known: &Known,
    sealed: &Sealed,
    waiting: &BTreeMap<MailId, u64>,
) -> Result<(), String> {
    let places = [sealed.messages.get(id).copied(), waiting.get(id).copied()];
    match places {
        [None, None] => return Err(format!("{id:?} is lost")),
        [Some(_), Some(_)] => return Err(format!("{id:?} is sealed, and would be again")),
        _ => {}
    }
    if places.into_iter().flatten().any(|index| index != known.accept_index) {
        return Err(format!("{id:?}: its leaf moved from {} to {places:?}", known.accept_index));
    }
    let entry = store.journal.entry(id);
    for recipient in (0..super::world::RECIPIENTS).filter(|recipient| !known.unsure.contains(recipient)) {
        let state = entry.as_ref().map(|entry| &entry.states[recipient as usize]);
        let is_pending = state.is_some_and(journal::RecipientState::is_pending);
        if is_pending == known.ended.contains_key(&recipient) {
            return Err(format!("{id:?}: recipient {recipient} is {state:?}"));
        }
    }
    Ok(())
}

/// The key of a segment, from its key object.
fn segment_key(store: &Store, seal: &Seal) -> Result<[u8; 32], String> {
    let inner = &store.archive.inner;
    let path = &inner.layout.keys(&seal.segment)[0];
    let octets = inner.disk.read(path).map_err(|e| e.to_string())?;
    let object = key_object::KeyObject::parse(&octets).map_err(|e| e.to_string())?;
    let wrap = object.wraps.first().ok_or("no wrap")?;
    let aad = segment_reader::wrap_aad(store.archive.id().octets(), seal.segment.octets(), wrap.generation);
    let opened = template().secret.open(segment_reader::WRAP_LABEL, &aad, &wrap.sealed);
    opened.ok().and_then(|octets| octets.try_into().ok()).ok_or_else(|| "a wrap that does not open".to_owned())
}

/// By the first octet, which the standard library finds fast, then the rest.
fn contains(image: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(image, needle).is_some()
}
