//! The archive unlocked by officers: reads directories, metas and octets. Never writes; the secret lives only here.

use super::Error;
use super::acts::is_dead;
use super::ceremony::ArchiveSecrets;
use super::current_key;
use super::directory::Directory;
use super::files;
use super::gathering::Encrypted;
use super::gathering::Gathering;
use super::gathering::Purpose;
use super::keys::GENERATION_BYTES_MAX;
use super::keys::Generation;
use super::meta::Event;
use super::meta::Meta;
use super::officers::OfficerKey;
use super::officers::OfficerSecret;
use super::open::Archive;
use super::open::SegmentInfo;
use super::open::lock;
use super::segment_reader::ArchiveKeys;
use super::segment_reader::OpenSegment;
use super::shares::Share;
use crate::clock::Timestamp;
use crate::crypto::SecretBytes;
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
    /// CurrentKey use last.
    open: Mutex<VecDeque<(u64, Arc<OpenSegment>)>>,
}

impl Archive {
    /// Unlocks with one officer's key, where one is enough.
    pub fn unlock(&self, key: &[u8], passphrase: &SecretBytes) -> Result<Unlocked, Error> {
        self.unlock_together(&[OfficerSecret { key, passphrase }])
    }

    /// Unlocks with the keys of as many officers as it takes.
    pub fn unlock_together(&self, secrets: &[OfficerSecret<'_>]) -> Result<Unlocked, Error> {
        let parse = |secret: &OfficerSecret<'_>| OfficerKey::parse(secret.key, secret.passphrase);
        let mut keys = secrets.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let generation = self.generation();
        let shares = generation.shares_by(&mut keys, Purpose::Open)?;
        let mut gathering = Gathering::new(generation);
        gathering.add(&shares)?;
        self.unlocked(gathering.secrets_now()?)
    }

    /// Unlocks with secrets that officers' shares made.
    pub fn unlocked(&self, mut secrets: ArchiveSecrets) -> Result<Unlocked, Error> {
        let newest = self.generation();
        if secrets.generation() != newest.number {
            return Err(Error::GenerationMissing { generation: newest.number });
        }
        // A secret that is not what its generation's file says opens nothing, and would pass for damage of what it does not open.
        secrets.retain(|number, key| {
            let public = if number == newest.number { Some(newest.public.clone()) } else { self.public_of(number) };
            public.is_none_or(|public| key.public().is_ok_and(|derived| derived.octets() == public))
        });
        let keys = secrets.into_keys();
        let inner = Inner { archive: self.clone(), keys, open: Mutex::new(VecDeque::new()) };
        Ok(Unlocked { inner: Arc::new(inner) })
    }

    /// With the archive key itself: what thousands of simulated archives have in common.
    #[cfg(test)]
    pub(super) fn unlock_by_key(&self, private: &crate::crypto::hpke::PrivateKey) -> Unlocked {
        let keys = ArchiveKeys::from([(self.generation().number, private.clone())]);
        Unlocked { inner: Arc::new(Inner { archive: self.clone(), keys, open: Mutex::new(VecDeque::new()) }) }
    }

    /// The public half in an older generation's file, if that can be read.
    fn public_of(&self, number: u32) -> Option<Vec<u8>> {
        let path = self.inner.layout.generation(number);
        let octets = files::read(self.inner.disk.as_ref(), &path, GENERATION_BYTES_MAX).ok()?;
        let generation = Generation::parse(&octets).ok()?;
        (generation.archive == self.id() && generation.number == number).then_some(generation.public)
    }
}

impl Generation {
    /// What officers decrypt with the keys that are here. All of them must be this generation's officers.
    pub fn shares_by(&self, keys: &mut [OfficerKey], purpose: Purpose) -> Result<Vec<Share>, Error> {
        let mut present = Vec::new();
        for key in &*keys {
            let fingerprint = key.fingerprint();
            let number = self.officers.iter().position(|o| o.fingerprint == fingerprint);
            let number =
                number.ok_or_else(|| Error::Officer(format!("{fingerprint} is no officer of this archive")))?;
            present.push(number as u8);
        }
        let mut shares = Vec::new();
        for Encrypted { officer, message, .. } in self.pieces_for(&present, purpose) {
            let at = present.iter().position(|number| *number == officer).ok_or(Error::KeyMissing)?;
            let wrong = |what: &str| Error::Officer(format!("the piece of officer {}: {what}", u32::from(officer) + 1));
            let text = keys[at].decrypt(message)?.ok_or_else(|| wrong("it is encrypted to another key"))?;
            shares.extend(Share::parse_all(text.expose()).map_err(|what| wrong(&what.to_string()))?);
        }
        Ok(shares)
    }
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
        self.open_unit(segment, slot)?.meta(slot)
    }
    /// A message's record of acceptance alone, where the rest of what is kept with it cannot be read.
    pub fn accept(&self, segment: &SegmentInfo, slot: u32) -> Result<Accept, Error> {
        self.open_unit(segment, slot)?.accept(slot)
    }
    /// A message's octets as received.
    pub fn octets(&self, segment: &SegmentInfo, slot: u32) -> Result<Vec<u8>, Error> {
        self.open_unit(segment, slot)?.octets(slot)
    }
    /// The events of a segment: results of messages sealed before.
    pub fn events(&self, segment: &SegmentInfo) -> Result<Vec<Event>, Error> {
        let open = self.open(segment)?;
        let Directory { messages, events } = open.directory();
        let first = messages.len() as u32;
        let read = |slot| match self.archive().is_gone(&segment.seal.segment, slot)? {
            true => Err(Error::Erased),
            false => open.event(slot),
        };
        let events = (first..first + events.len() as u32).map(read);
        events.filter(|event| !matches!(event, Err(Error::Erased))).collect()
    }
    /// Where a message lies, by its id; looks from the newest segment back.
    pub fn find(&self, id: &MailId) -> Result<Option<(SegmentInfo, u32)>, Error> {
        for segment in self.segments()?.into_iter().rev() {
            let open = match self.open(&segment) {
                Err(Error::Erased) => continue,
                open => open?,
            };
            if let Some(slot) = open.directory().messages.iter().position(|entry| entry.id == *id) {
                return Ok(Some((segment, slot as u32)));
            }
        }
        Ok(None)
    }

    /// Generations of the archive key up to the newest whose secret is not here: what was sealed to them alone stays closed.
    pub fn absent(&self) -> Vec<u32> {
        (1..=self.inner.archive.generation().number).filter(|number| !self.inner.keys.contains_key(number)).collect()
    }

    /// Says which generation a segment asks for that this was not unlocked with.
    fn missing(&self, segment: &SegmentInfo, error: Error) -> Error {
        let archive = &self.inner.archive.inner;
        let wrapped = || current_key::wrapped_to(archive.disk.as_ref(), &archive.layout, &segment.seal.segment);
        match error {
            Error::KeyMissing => {
                wrapped().map_or(Error::KeyMissing, |generation| Error::GenerationMissing { generation })
            }
            other => other,
        }
    }

    /// The segment of a unit; what an act took is not read, be its key still in memory or on the disk.
    fn open_unit(&self, segment: &SegmentInfo, slot: u32) -> Result<Arc<OpenSegment>, Error> {
        if self.archive().is_gone(&segment.seal.segment, slot)? {
            return Err(Error::Erased);
        }
        self.open(segment)
    }

    /// The segment, opened now or lately; `Erased` when nothing of it is left.
    pub(super) fn open(&self, segment: &SegmentInfo) -> Result<Arc<OpenSegment>, Error> {
        if is_dead(&*self.archive().acts()?, &segment.seal) {
            return Err(Error::Erased);
        }
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
        let opened = OpenSegment::open(disk, &archive.layout, &archive.epoch, &segment.seal, keys);
        let open = Arc::new(opened.map_err(|e| self.missing(segment, e))?);
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
