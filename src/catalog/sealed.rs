//! What the catalog needs of an unlocked archive. Read-only: nothing here writes a segment.

use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::mail::Address;
use crate::mail::Direction;
use crate::mail::Envelope;
use crate::mail::MailId;
use crate::mail::Slice;
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
    /// MAIL and RCPT, or what a journal report states in their place.
    pub envelope: Envelope,
    /// Others whom searches find it by and who need not have got it.
    pub also: Also,
    /// The listener's direction.
    pub direction: Direction,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// Retention class.
    pub class: String,
    /// When it may expire; `None`: never.
    pub keep_until: Option<Timestamp>,
    /// Octets as received.
    pub size: u64,
    /// SHA-256 of those octets.
    pub sha256: Digest,
    /// Which of those octets people read, if not all.
    pub readable: Option<Slice>,
    /// Header and structure of what people read.
    pub summary: Summary,
}

/// Addresses a journal report names beside sender and recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Also {
    /// For whom the sender wrote.
    pub from: Vec<Address>,
    /// Lists that recipients are members of, and whose mail was redirected to them.
    pub to: Vec<Address>,
}

/// Something that was done to sealed mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Messages came under a hold.
    Held {
        /// The hold.
        hold: [u8; 16],
        /// Its name.
        name: String,
        /// The messages.
        uids: Vec<u32>,
    },
    /// A hold ended.
    Released([u8; 16]),
    /// Messages were erased or expired.
    Gone(Vec<u32>),
}

/// What was done, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acts {
    /// Each act.
    pub acts: Vec<Act>,
    /// The newest act leaf there is.
    pub newest: Option<u64>,
}

/// Sealed mail, opened.
pub trait Sealed: Send + Sync {
    /// The archive, which the catalog and its UIDVALIDITYs are bound to.
    fn archive_id(&self) -> [u8; 16];
    /// The seal passes whose SEAL leaves have greater indices, in log order, each with its segments; all for `None`.
    fn passes_after(&self, seal_index: Option<u64>) -> Result<Vec<Vec<Segment>>, Unreadable>;
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
    /// What was done behind the act leaf with this index; all for `None`.
    fn acts_after(&self, act: Option<u64>) -> Result<Acts, Unreadable>;
    /// Seals the catalog's key to the archive key.
    fn seal_key(&self, key: &[u8]) -> Result<Vec<u8>, Unreadable>;
    /// Opens what `seal_key` made.
    fn open_key(&self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable>;
}
