//! What the catalog needs of an unlocked archive. Read-only: nothing here writes a segment.

use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::mail::Direction;
use crate::mail::Envelope;
use crate::mail::MailId;
use crate::mail::summary::Summary;

/// A segment's id.
pub type SegmentId = [u8; 16];

/// Why sealed mail cannot be read; the texts are for the log.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The object is not what it was. Reading it again helps nothing; `archive verify` names it too.
    #[error("damaged: {0}")]
    Damaged(String),
    /// It may work another time: the disk failed, or the archive is locked.
    #[error("{0}")]
    Failed(String),
}

/// One line of a segment's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message.
    Message {
        /// Its slot.
        slot: u32,
        /// `uid_base` + ACCEPT index + 1.
        uid: u32,
        /// Our id.
        id: MailId,
        /// Its mailbox, fixed when it was sealed.
        mailbox: String,
        /// When it was accepted.
        accepted_at: Timestamp,
    },
    /// Results of a message that was sealed before.
    Event {
        /// Its slot.
        slot: u32,
        /// The message's UID.
        uid: u32,
    },
}

/// What lists, searches and mailboxes need of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// MAIL and RCPT.
    pub envelope: Envelope,
    /// The listener's direction.
    pub direction: Direction,
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
    /// All segments that count, in log order.
    fn segments(&self) -> Result<Vec<SegmentId>, Unreadable>;
    /// A segment's directory, in slot order.
    fn directory(&self, segment: &SegmentId) -> Result<Vec<Entry>, Unreadable>;
    /// One message's facts.
    fn facts(&self, segment: &SegmentId, slot: u32) -> Result<Facts, Unreadable>;
    /// One message's octets, as received.
    fn octets(&self, segment: &SegmentId, slot: u32) -> Result<Vec<u8>, Unreadable>;
    /// Seals the catalog's key to the archive key.
    fn seal_key(&self, key: &[u8]) -> Result<Vec<u8>, Unreadable>;
    /// Opens what `seal_key` made.
    fn open_key(&self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable>;
}
