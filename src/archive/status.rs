//! What an archive holds, in numbers, without a key.

use super::Error;
use super::census::Census;
use super::keys::Origin;
use super::open::Archive;
use super::tile::TreeHead;
use crate::clock::Timestamp;
use crate::journal::Journal;
use crate::journal::LeafKind;

/// Leaves looked at in one step when pending messages are counted.
const LEAVES_STEP: usize = 16_384;

/// An archive in numbers.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its id in hexadecimal.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// Sealed messages.
    pub messages: u64,
    /// Segments.
    pub segments: u64,
    /// Octets of data and key objects, one copy of each.
    pub stored_bytes: u64,
    /// Octets of the sealed messages as received.
    pub raw_bytes: u64,
    /// Accepted messages that are not sealed yet, where the journal is at hand.
    pub pending: u64,
    /// Every leaf below this is sealed.
    pub sealed_through: u64,
    /// The newest checkpoint.
    pub tree: TreeHead,
    /// The newest generation of the archive key.
    pub generation: u32,
    /// Fingerprints of its officers' certificates.
    pub officers: Vec<String>,
    /// Officers needed to open.
    pub threshold: u8,
    /// Whether the archive key was made on the gateway's host.
    pub origin: Origin,
    /// What is held of each class and bucket.
    pub census: Census,
}

impl Archive {
    /// The numbers now. Pending messages are counted from the log and, if given, the journal.
    pub fn status(&self, journal: Option<&Journal>) -> Result<Status, Error> {
        let totals = self.last_segment().map(|info| info.seal.totals).unwrap_or_default();
        let generation = self.generation();
        Ok(Status {
            id: self.id().to_string(),
            created: self.created(),
            messages: totals.messages,
            segments: totals.segments,
            stored_bytes: totals.stored_bytes,
            raw_bytes: totals.raw_bytes,
            pending: self.pending(journal)?,
            sealed_through: self.sealed_through(),
            tree: self.tree_head(),
            generation: generation.number,
            officers: generation.officers.iter().map(|o| o.fingerprint.clone()).collect(),
            threshold: generation.threshold,
            origin: generation.origin,
            census: self.census()?,
        })
    }

    fn pending(&self, journal: Option<&Journal>) -> Result<u64, Error> {
        let is_accept = |octets: &[u8]| octets.first() == Some(&(LeafKind::Accept as u8));
        let (from, size) = (self.sealed_through(), self.log_size());
        let mut pending = 0;
        for index in from..size {
            pending += u64::from(self.leaf(index)?.is_some_and(|leaf| is_accept(&leaf)));
        }
        let mut next = size;
        while let Some(journal) = journal {
            let entries = journal.leaves(next, LEAVES_STEP);
            let Some(last) = entries.last() else { break };
            next = last.index + 1;
            pending += entries.iter().filter(|entry| is_accept(&entry.octets)).count() as u64;
        }
        Ok(pending)
    }
}
