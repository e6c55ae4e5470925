//! The archive unlocked by officers: reads directories, metas and octets. Never writes; the secret lives only here.

use super::Error;
use super::directory::Directory;
use super::meta::Event;
use super::meta::Meta;
use super::officers;
use super::officers::OfficerSecret;
use super::open::Archive;
use super::open::SegmentInfo;
use super::open::lock;
use super::segment_reader::ArchiveKeys;
use super::segment_reader::OpenSegment;
use super::shares;
use super::shares::Label;
use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::crypto::SecretBytes;
use crate::crypto::hpke::PrivateKey;
use crate::journal::Accept;
use crate::mail::MailId;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// Segments kept open for the next read.
const OPEN_SEGMENTS_MAX: usize = 16;

/// A line of a segment's directory, as a view needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The unit's slot.
    pub slot: u32,
    /// Its ACCEPT leaf.
    pub accept_index: u64,
    /// IMAP UID, for ever the same.
    pub uid: u32,
    /// Our id.
    pub id: MailId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// `Archive/2026/2026-11`, fixed when it was sealed.
    pub mailbox: String,
    /// Octets as received.
    pub octets: u64,
}

/// A reading handle. Cheap to clone; the secret is wiped when the last clone goes.
#[derive(Clone)]
pub struct Unlocked {
    inner: Arc<Inner>,
}

struct Inner {
    archive: Archive,
    keys: ArchiveKeys,
    /// Newest use last.
    open: Mutex<VecDeque<(u64, Arc<OpenSegment>)>>,
}

impl Archive {
    /// Unlocks with one officer's key, where one is enough.
    pub fn unlock(&self, key: &[u8], passphrase: &SecretBytes) -> Result<Unlocked, Error> {
        self.unlock_together(&[OfficerSecret { key, passphrase }])
    }

    /// Unlocks with the keys of as many officers as it takes.
    pub fn unlock_together(&self, secrets: &[OfficerSecret<'_>]) -> Result<Unlocked, Error> {
        let private = self.archive_secret(secrets)?;
        let keys = ArchiveKeys::from([(self.inner.generation.number, private)]);
        let inner = Inner { archive: self.clone(), keys, open: Mutex::new(VecDeque::new()) };
        Ok(Unlocked { inner: Arc::new(inner) })
    }

    /// With the archive key itself: what thousands of simulated archives have in common.
    #[cfg(test)]
    pub(super) fn unlock_by_key(&self, private: &PrivateKey) -> Unlocked {
        let keys = ArchiveKeys::from([(self.inner.generation.number, private.clone())]);
        Unlocked { inner: Arc::new(Inner { archive: self.clone(), keys, open: Mutex::new(VecDeque::new()) }) }
    }

    /// The archive key's secret, proved by the public half that it has.
    pub(super) fn archive_secret(&self, secrets: &[OfficerSecret<'_>]) -> Result<PrivateKey, Error> {
        let generation = &self.inner.generation;
        let mut present: Vec<Option<&OfficerSecret<'_>>> = vec![None; generation.officers.len()];
        for secret in secrets {
            let fingerprint = officers::fingerprint(secret.key)?;
            let number = generation.officers.iter().position(|o| o.fingerprint == fingerprint);
            let number =
                number.ok_or_else(|| Error::Officer(format!("{fingerprint} is no officer of this archive")))?;
            present[number] = Some(secret);
        }
        let here = |members: &[u8]| members.iter().all(|&m| present.get(usize::from(m)).is_some_and(Option::is_some));
        let subset = generation.subsets.iter().find(|s| here(&s.members)).ok_or_else(|| {
            Error::Officer(format!("{} officers are needed, {} are here", generation.threshold, secrets.len()))
        })?;
        let mut pieces = Vec::with_capacity(subset.members.len());
        for (&officer, piece) in subset.members.iter().zip(&subset.pieces) {
            let label = Label { archive: self.id(), generation: generation.number, members: &subset.members, officer };
            let secret = present[usize::from(officer)].ok_or(Error::KeyMissing)?;
            pieces.push(open_piece(&piece.0, secret, &label)?);
        }
        let private = PrivateKey::new(shares::combine(&pieces));
        if private.public()?.octets() == generation.public {
            return Ok(private);
        }
        Err(Error::Officer("the pieces do not make the archive key".into()))
    }
}

fn open_piece(piece: &[u8], secret: &OfficerSecret<'_>, label: &Label<'_>) -> Result<Secret<32>, Error> {
    let number = u32::from(label.officer) + 1;
    let text = officers::open(piece, secret)?
        .ok_or_else(|| Error::Officer(format!("the piece of officer {number} is encrypted to another key")))?;
    label.parse(&text).map_err(|what| Error::Officer(format!("the piece of officer {number}: {what}")))
}

impl Unlocked {
    /// The archive that was unlocked.
    pub fn archive(&self) -> &Archive {
        &self.inner.archive
    }
    /// All segments in the order they were sealed.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, Error> {
        self.inner.archive.segments()
    }
    /// The segments whose SEAL leaf has a greater index, in order.
    pub fn segments_after(&self, seal_index: Option<u64>) -> Result<Vec<SegmentInfo>, Error> {
        self.inner.archive.segments_after(seal_index)
    }

    /// The messages of a segment, in slot order.
    pub fn directory(&self, segment: &SegmentInfo) -> Result<Vec<DirectoryEntry>, Error> {
        let open = self.open(segment)?;
        let base = u64::from(self.inner.archive.uid_base());
        let entry = |(slot, entry): (u32, &super::directory::MessageEntry)| {
            let uid = u32::try_from(base + entry.accept_index + 1).map_err(|_| Error::UidsExhausted)?;
            Ok(DirectoryEntry {
                slot,
                accept_index: entry.accept_index,
                uid,
                id: entry.id,
                accepted_at: entry.accepted_at,
                mailbox: entry.mailbox(),
                octets: entry.octets,
            })
        };
        (0u32..).zip(&open.directory().messages).map(entry).collect()
    }

    /// What is kept with a message.
    pub fn meta(&self, segment: &SegmentInfo, slot: u32) -> Result<Meta, Error> {
        self.open(segment)?.meta(slot)
    }
    /// A message's record of acceptance alone, where the rest of what is kept with it cannot be read.
    pub fn accept(&self, segment: &SegmentInfo, slot: u32) -> Result<Accept, Error> {
        self.open(segment)?.accept(slot)
    }
    /// A message's octets as received.
    pub fn octets(&self, segment: &SegmentInfo, slot: u32) -> Result<Vec<u8>, Error> {
        self.open(segment)?.octets(slot)
    }
    /// The events of a segment: results of messages sealed before.
    pub fn events(&self, segment: &SegmentInfo) -> Result<Vec<Event>, Error> {
        let open = self.open(segment)?;
        let Directory { messages, events } = open.directory();
        let first = messages.len() as u32;
        (first..first + events.len() as u32).map(|slot| open.event(slot)).collect()
    }
    /// Where a message lies, by its id; looks from the newest segment back.
    pub fn find(&self, id: &MailId) -> Result<Option<(SegmentInfo, u32)>, Error> {
        for segment in self.segments()?.into_iter().rev() {
            let open = self.open(&segment)?;
            if let Some(slot) = open.directory().messages.iter().position(|entry| entry.id == *id) {
                return Ok(Some((segment, slot as u32)));
            }
        }
        Ok(None)
    }

    /// The segment, opened now or lately.
    pub(super) fn open(&self, segment: &SegmentInfo) -> Result<Arc<OpenSegment>, Error> {
        let mut cache = lock(&self.inner.open);
        if let Some(at) = cache.iter().position(|(index, _)| *index == segment.seal_index) {
            let found = cache.remove(at).ok_or(Error::Bug("a cached segment vanished"))?;
            cache.push_back(found.clone());
            return Ok(found.1);
        }
        drop(cache);
        let archive = &self.inner.archive.inner;
        let disk = archive.disk.as_ref();
        let keys = &self.inner.keys;
        let open = Arc::new(OpenSegment::open(disk, &archive.layout, &archive.epoch, &segment.seal, keys)?);
        cache = lock(&self.inner.open);
        cache.push_back((segment.seal_index, open.clone()));
        if cache.len() > OPEN_SEGMENTS_MAX {
            cache.pop_front();
        }
        Ok(open)
    }
}

impl Unlocked {
    /// Opens a small secret that was sealed to the public half of the archive key, of whatever generation, with the same info and
    /// aad: the catalog's key.
    pub fn open_secret(&self, info: &str, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let opened = self.inner.keys.values().rev().find_map(|key| key.open(info, aad, sealed).ok());
        opened.ok_or(Error::KeyMissing)
    }
}

impl std::fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unlocked({:?})", self.inner.archive.id())
    }
}
