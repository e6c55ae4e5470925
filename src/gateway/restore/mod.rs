//! Restore: mail of the archive goes back into a mail system, octet for octet as it was received.
//!
//! ```text
//! target     where to, as a person writes it
//! place      the same opened: a Maildir, an mbox file, or
//! appending  IMAP APPEND        sending  SMTP
//! progress   what was handed over, so that a restore that is run again goes on
//! ```

pub mod appending;
pub mod place;
pub mod progress;
pub mod sending;
pub mod target;

use crate::catalog::Row;
use crate::mail::Envelope;

/// One message to be restored.
#[derive(Debug)]
pub struct Message<'a> {
    /// What the catalog knows of it.
    pub row: &'a Row,
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// The octets received.
    pub octets: &'a [u8],
}

/// What became of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Done,
    /// It was there before.
    Skipped,
}

/// Why one is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This message cannot be taken, in the other side's words; others may be.
    Message(String),
    /// No more can be.
    Ended(String),
}
