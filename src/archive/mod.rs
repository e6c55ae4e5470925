//! The archive: segments, keys, evidence log. Append-only but for key slots; never delivers and never judges.
//!
//! `docs/archive-format.md` fixes every octet and the order of writes. Bottom up:
//!
//! - `cursor`, `strict`, `files`, `layout`: reading, one form of CBOR, durable files, names.
//! - `keys`, `shares`, `officers`: the archive key's public half, and its secret in pieces.
//! - `tile`, `checkpoint`, `leaf`, `log`: the evidence.
//! - `unit`, `meta`, `directory`, `key_object`, `cover`, `data_object`, `segment_writer`, `segment_reader`: a segment.
//! - `open`, `catch_up`, `fenced`, `attempt`, `seal`, `unlocked`, `status`, `verify*`: what the gateway does with them.

mod attempt;
mod catch_up;
mod census;
pub mod checkpoint;
pub mod cover;
pub mod cursor;
pub mod data_object;
pub mod directory;
mod fenced;
mod files;
mod group;
pub mod key_object;
pub mod keys;
pub mod layout;
pub mod leaf;
mod log;
pub mod meta;
mod officers;
mod open;
mod recovery;
mod seal;
mod segment_reader;
mod segment_writer;
mod settled;
pub mod shares;
mod status;
mod strict;
pub mod tile;
pub mod unit;
mod unlocked;
mod verify;
mod verify_deep;
mod verify_log;
mod verify_segments;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use crate::crypto;
use crate::journal;
use cursor::Malformed;
use std::io;

pub use crate::journal::Accept;
pub use census::{Census, Kept};
pub use group::Group;
pub use keys::Origin;
pub use layout::{ArchiveId, SegmentId};
pub use leaf::{Seal, Totals};
pub use meta::{Event, Meta, ResultRecord};
pub use officers::{Certificate, NewOfficer, OfficerSecret, generate, passphrase};
pub use open::{Archive, CreateOptions, SegmentInfo};
pub use seal::SealReport;
pub use status::Status;
pub use tile::TreeHead;
pub use unlocked::{DirectoryEntry, Unlocked};
pub use verify::{FaultKind, Finding, Report, VerifyOptions, verify};

/// What goes wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk refused.
    #[error("{object}: {source}")]
    Io {
        /// File, relative to the archive.
        object: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("{object} is damaged: {what}")]
    Damaged {
        /// File, relative to the archive.
        object: String,
        /// In what way.
        what: Malformed,
    },
    /// There is an archive in this directory.
    #[error("there is an archive already")]
    Exists,
    /// Sealing needs the host key.
    #[error("the archive is open for reading only")]
    ReadOnly,
    /// No key here opens a segment.
    #[error("no archive key here opens this segment")]
    KeyMissing,
    /// The message was erased; its key is gone.
    #[error("the message was erased")]
    Erased,
    /// A segment has no such slot, or not of this kind.
    #[error("no such unit")]
    NoSuchUnit,
    /// UIDs have 32 bits.
    #[error("the UIDs of this archive are used up")]
    UidsExhausted,
    /// An officer's certificate, key or passphrase will not do.
    #[error("officer: {0}")]
    Officer(String),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A cryptographic operation failed.
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
    /// A mistake of ours.
    #[error("bug: {0}")]
    Bug(&'static str),
}

/// Whose turn it is after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Trying again later may help.
    Retry,
    /// What was asked for cannot be had.
    Reject,
    /// Somebody has to look.
    Ours,
}

impl Error {
    /// Who is at fault.
    pub fn class(&self) -> Class {
        match self {
            Error::Io { .. } | Error::Journal(_) => Class::Retry,
            Error::Exists
            | Error::ReadOnly
            | Error::KeyMissing
            | Error::Erased
            | Error::NoSuchUnit
            | Error::Officer(_) => Class::Reject,
            Error::Damaged { .. } | Error::UidsExhausted | Error::Crypto(_) | Error::Bug(_) => Class::Ours,
        }
    }
    fn io(object: impl Into<String>, source: io::Error) -> Error {
        let object = object.into();
        // A file over its bound is damage, not a fault of the disk.
        if source.kind() == io::ErrorKind::InvalidData {
            return Error::damaged(object, Malformed("longer than it can be"));
        }
        Error::Io { object, source }
    }
    fn data(source: io::Error) -> Error {
        Error::io("segments", source)
    }
    fn damaged(object: impl Into<String>, what: Malformed) -> Error {
        Error::Damaged { object: object.into(), what }
    }
    fn openpgp(error: anyhow::Error) -> Error {
        Error::Officer(error.to_string())
    }
}
