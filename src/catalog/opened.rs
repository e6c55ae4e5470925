//! The unlocked archive as the catalog reads it. Adds no rights: what the officers' keys do not open stays closed.

use super::reported;
use super::sealed::{Act, Acts, Also, Entry, Facts, Sealed, Segment, Unreadable};
use crate::archive;
use crate::archive::acts::Followed;
use crate::archive::{Accept, Meta, Seal, SegmentInfo, Unlocked};
use crate::crypto;
use crate::mail::Reported;
use crate::mail::summary::Summary;
use crate::mail::unread::unread;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Label of the catalog key's seal.
const KEY_LABEL: &str = "catalog key";
/// The kind octet of SEAL leaves (`docs/archive-format.md` section 4).
const SEAL_KIND: u8 = 4;
/// SEAL leaves kept for the next read.
const KNOWN_SEGMENTS_MAX: usize = 256;

/// An unlocked archive whose segments are found by their SEAL leaf.
#[derive(Debug)]
pub struct OpenedArchive {
    unlocked: Unlocked,
    known: Mutex<HashMap<u64, SegmentInfo>>,
}

impl OpenedArchive {
    /// Over an unlocked archive.
    pub fn new(unlocked: Unlocked) -> OpenedArchive {
        OpenedArchive { unlocked, known: Mutex::default() }
    }
    /// The archive itself.
    pub fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    /// The SEAL leaf of a segment the catalog names, for reading its metas and events.
    pub fn info(&self, segment: &Segment) -> Result<SegmentInfo, Unreadable> {
        let info = self.info_at(segment.seal_index)?;
        let info = info.filter(|info| info.seal.segment.octets() == &segment.id);
        info.ok_or_else(|| Unreadable::Damaged(format!("leaf {} is not the SEAL leaf it was", segment.seal_index)))
    }

    /// What is kept with a message the catalog names.
    pub fn meta(&self, segment: &Segment, slot: u32) -> Result<Meta, Unreadable> {
        Ok(self.unlocked.meta(&self.info(segment)?, slot)?)
    }

    fn info_at(&self, seal_index: u64) -> Result<Option<SegmentInfo>, Unreadable> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(info) = known.get(&seal_index) {
            return Ok(Some(info.clone()));
        }
        let Some(leaf) = self.unlocked.archive().leaf(seal_index)? else { return Ok(None) };
        let Some((&SEAL_KIND, body)) = leaf.split_first() else { return Ok(None) };
        let seal = Seal::from_body(body).map_err(|e| Unreadable::Damaged(format!("leaf {seal_index}: {e}")))?;
        let info = SegmentInfo { seal_index, seal };
        if known.len() >= KNOWN_SEGMENTS_MAX {
            known.clear();
        }
        known.insert(seal_index, info.clone());
        Ok(Some(info))
    }

    /// What the catalog's key is bound to.
    fn key_aad(&self) -> [u8; 16] {
        *self.unlocked.archive().id().octets()
    }
}

impl Sealed for OpenedArchive {
    fn archive_id(&self) -> [u8; 16] {
        *self.unlocked.archive().id().octets()
    }

    fn passes_after(&self, seal_index: Option<u64>) -> Result<Vec<Vec<Segment>>, Unreadable> {
        let segments = self.unlocked.segments_after(seal_index)?;
        let passes = segments.chunk_by(|one, next| one.seal.through == next.seal.through);
        Ok(passes.map(|pass| pass.iter().map(named).collect()).collect())
    }

    fn segment_at(&self, seal_index: u64) -> Result<Option<Segment>, Unreadable> {
        Ok(self.info_at(seal_index)?.as_ref().map(named))
    }

    fn directory(&self, segment: &Segment) -> Result<Vec<Entry>, Unreadable> {
        let entries = self.unlocked.directory(&self.info(segment)?)?;
        let entry = |e: archive::DirectoryEntry| Entry {
            slot: e.slot,
            uid: e.uid,
            id: e.id,
            mailbox: e.mailbox,
            accepted_at: e.accepted_at,
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    fn events(&self, segment: &Segment) -> Result<Vec<u32>, Unreadable> {
        let base = u64::from(self.unlocked.archive().uid_base());
        let events = self.unlocked.events(&self.info(segment)?)?;
        // An event of a message beyond the UIDs is of no message that is shown.
        Ok(events.iter().filter_map(|event| u32::try_from(base + event.accept_index + 1).ok()).collect())
    }

    fn facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable> {
        let meta = self.meta(segment, slot)?;
        let accept = meta.accept().map_err(|e| Unreadable::Damaged(format!("record of acceptance: {e}")))?;
        Ok(facts(accept, meta.summary))
    }

    fn bare_facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable> {
        let accept = self.unlocked.accept(&self.info(segment)?, slot)?;
        let octets = self.octets(segment, slot)?;
        let readable = accept.readable().and_then(|slice| slice.of(&octets)).unwrap_or(&octets);
        let summary = unread(readable);
        Ok(facts(accept, summary))
    }

    fn octets(&self, segment: &Segment, slot: u32) -> Result<Vec<u8>, Unreadable> {
        Ok(self.unlocked.octets(&self.info(segment)?, slot)?)
    }

    fn acts_after(&self, act: Option<u64>) -> Result<Acts, Unreadable> {
        let archive = self.unlocked.archive();
        let base = u64::from(archive.uid_base());
        let uids = |accepts: Vec<u64>| accepts.iter().filter_map(|a| u32::try_from(base + a + 1).ok()).collect();
        let (followed, newest) = archive.followed(act)?;
        let act = |one| match one {
            Followed::Held(hold, accepts) => {
                Act::Held { hold: *hold.octets(), name: archive.hold_name(&hold), uids: uids(accepts) }
            }
            Followed::Released(hold) => Act::Released(*hold.octets()),
            Followed::Gone(accepts) => Act::Gone(uids(accepts)),
        };
        Ok(Acts { acts: followed.into_iter().map(act).collect(), newest })
    }

    fn seal_key(&self, key: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let sealed = self.unlocked.archive().public_key().seal(KEY_LABEL, &self.key_aad(), key);
        sealed.map_err(|e: crypto::Error| Unreadable::Failed(e.to_string()))
    }

    fn open_key(&self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        Ok(self.unlocked.open_secret(KEY_LABEL, &self.key_aad(), sealed)?)
    }
}

fn facts(accept: Accept, summary: Summary) -> Facts {
    let (readable, internal_date) = (accept.readable(), accept.internal_date());
    let (envelope, also) = match accept.reported.as_ref().and_then(Reported::envelope) {
        Some(stated) => reported::parties(stated, accept.envelope),
        None => (accept.envelope, Also::default()),
    };
    Facts {
        internal_date,
        envelope,
        also,
        direction: accept.client.direction,
        class: accept.class,
        keep_until: accept.keep_until,
        size: accept.body_bytes,
        sha256: accept.body_sha256,
        readable,
        summary,
    }
}

fn named(info: &SegmentInfo) -> Segment {
    Segment { seal_index: info.seal_index, id: *info.seal.segment.octets() }
}

impl From<archive::Error> for Unreadable {
    fn from(error: archive::Error) -> Unreadable {
        use archive::Error::{Crypto, Damaged, Erased, NoSuchUnit};
        match error {
            Erased => Unreadable::Erased,
            Damaged { .. } | Crypto(_) | NoSuchUnit => Unreadable::Damaged(error.to_string()),
            _ => Unreadable::Failed(error.to_string()),
        }
    }
}
