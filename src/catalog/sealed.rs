//! What the catalog needs of an unlocked archive. Read-only: nothing here writes a segment.

use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::mail::Direction;
use crate::mail::Envelope;
use crate::mail::MailId;
use crate::mail::summary::Summary;

/// A segment and its place in the evidence log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of its SEAL leaf: later segments have greater ones.
    pub seal_index: u64,
    /// Its id.
    pub id: [u8; 16],
}

/// Why sealed mail cannot be read; the texts are for the log.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its key is gone, on purpose.
    #[error("erased")]
    Erased,
    /// The object is not what it was. Reading it again helps nothing; `archive verify` names it too.
    #[error("damaged: {0}")]
    Damaged(String),
    /// It may work another time: the disk failed, or the archive is locked.
    #[error("{0}")]
    Failed(String),
}

/// One message of a segment's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its slot.
    pub slot: u32,
    /// `uid_base` + ACCEPT index + 1.
    pub uid: u32,
    /// Our id.
    pub id: MailId,
    /// Its mailbox, fixed when it was sealed.
    pub mailbox: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
}

/// What lists, searches and mailboxes need of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// MAIL and RCPT.
    pub envelope: Envelope,
    /// The listener's direction.
    pub direction: Direction,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// Retention class.
    pub class: String,
    /// Octets as received.
    pub size: u64,
    /// SHA-256 of those octets.
    pub sha256: Digest,
    /// Header and structure.
    pub summary: Summary,
}

/// Sealed mail, opened.
pub trait Sealed: Send + Sync {
    /// The archive, which the catalog and its UIDVALIDITYs are bound to.
    fn archive_id(&self) -> [u8; 16];
    /// The segments whose SEAL leaf has a greater index, in log order; all for `None`.
    fn segments_after(&self, seal_index: Option<u64>) -> Result<Vec<Segment>, Unreadable>;
    /// The segment whose SEAL leaf has this index, if that leaf is one.
    fn segment_at(&self, seal_index: u64) -> Result<Option<Segment>, Unreadable>;
    /// A segment's messages, in slot order.
    fn directory(&self, segment: &Segment) -> Result<Vec<Entry>, Unreadable>;
    /// UIDs of messages sealed before of which the segment holds later results.
    fn events(&self, segment: &Segment) -> Result<Vec<u32>, Unreadable>;
    /// One message's facts.
    fn facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable>;
    /// The same where the summary cannot be read: made of the record of acceptance, with a summary that says so.
    fn bare_facts(&self, segment: &Segment, slot: u32) -> Result<Facts, Unreadable>;
    /// One message's octets, as received.
    fn octets(&self, segment: &Segment, slot: u32) -> Result<Vec<u8>, Unreadable>;
    /// Seals the catalog's key to the archive key.
    fn seal_key(&self, key: &[u8]) -> Result<Vec<u8>, Unreadable>;
    /// Opens what `seal_key` made.
    fn open_key(&self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable>;
}
