//! What the wire modules see of the archive: mailboxes and messages, read-only by type.

use crate::clock::Timestamp;
use crate::mail::MailId;
use crate::mail::summary::Summary;

/// Why the archive cannot be read now. Unknown is never shown as empty.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No officer has unlocked the view.
    #[error("the archive is locked")]
    Locked,
    /// Reading failed; the text is for the log, not for the peer.
    #[error("the archive cannot be read: {0}")]
    Failed(String),
}

/// A mailbox of the view. Names are ASCII with `/` between levels: `Archive/2026/2026-11`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its full name.
    pub name: String,
    /// UIDVALIDITY: 31 non-zero bits, the same for ever (ARCHIVE.md section 5).
    pub uid_validity: u32,
    /// UIDNEXT: greater than every UID in it and than every UID that was.
    pub uid_next: u32,
    /// Messages in it.
    pub messages: u32,
}

/// One message of a mailbox without its octets.
#[derive(Clone, Debug)]
pub struct Message {
    /// IMAP UID, stable for ever.
    pub uid: u32,
    /// Our id: POP3 UIDL, EMAILID.
    pub id: MailId,
    /// INTERNALDATE: when it was accepted, but for mail that was imported.
    pub internal_date: Timestamp,
    /// RFC822.SIZE: octets of what `octets` returns.
    pub size: u64,
    /// SHA-256 of the octets received, of which `octets` may return a part.
    pub sha256: [u8; 32],
    /// Header and structure facts, made when the message was sealed.
    pub summary: Summary,
}

/// What a command is about to look at: told by a session before it looks, so that it can be recorded first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// `FETCH`, `SEARCH`, `RETR`, `TOP`.
    pub command: &'static str,
    /// The mailbox.
    pub mailbox: String,
    /// What of it.
    pub aim: Aim,
}

/// Whether messages are chosen or looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// These messages.
    Messages {
        /// Ranges of UIDs, ends inclusive, ascending and apart: all messages of the mailbox between them.
        uids: Vec<(u32, u32)>,
        /// How many.
        count: u64,
        /// What of each.
        items: String,
    },
    /// What these terms find; for whom they are legible is for the record to decide.
    Terms(Vec<u8>),
}

/// Whether what a session asked to look at is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is, durably: it may be shown.
    Durable,
    /// It is not and cannot be: nothing is shown.
    Failed,
}

/// A read-only handle of one session; what it shows is what the session's account may see.
pub trait View: Send {
    /// All mailboxes, in name order.
    fn mailboxes(&self) -> Result<Vec<Mailbox>, Unavailable>;
    /// One mailbox by exact name; `INBOX` in any case is looked up as `INBOX`.
    fn mailbox(&self, name: &str) -> Result<Option<Mailbox>, Unavailable>;
    /// The UIDs in a mailbox that are at least `from_uid`, ascending. A session keeps them as its message sequence.
    fn uids(&self, mailbox: &str, from_uid: u32) -> Result<Vec<u32>, Unavailable>;
    /// One message's facts; `None` when there is no such UID (any more).
    fn message(&self, mailbox: &str, uid: u32) -> Result<Option<Message>, Unavailable>;
    /// One message's octets, exactly as received (or its readable form, if there is one).
    fn octets(&self, mailbox: &str, uid: u32) -> Result<Option<Vec<u8>>, Unavailable>;
}
