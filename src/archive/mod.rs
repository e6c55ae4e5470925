//! The archive: segments, keys, evidence log. Append-only but for key slots; never delivers and never judges.
//!
//! `docs/archive-format.md` fixes every octet and the order of writes. Bottom up:
//!
//! - `cursor`, `strict`, `files`, `layout`: reading, one form of CBOR, durable files, names.
//! - `keys`, `shares`, `officers`: the archive key's public half, and its secret in pieces.
//! - `ceremony`, `gathering`, `current_key`, `install`: generations are made, opened, found, and taken into use.
//! - `tile`, `checkpoint`, `leaf`, `log`: the evidence.
//! - `unit`, `meta`, `directory`, `key_object`, `cover`, `data_object`, `segment_writer`, `segment_reader`: a segment.
//! - `timestamp`, `token`, `anchor`: checkpoints and the outside.
//! - `open`, `catch_up`, `fenced`, `attempt`, `seal`, `unlocked`, `status`, `verify*`: what the gateway does with them.

pub mod acts;
mod anchor;
mod attempt;
mod catch_up;
mod census;
mod ceremony;
pub mod checkpoint;
pub mod cover;
mod current_key;
pub mod cursor;
pub mod data_object;
pub mod directory;
mod evidence;
mod fenced;
mod files;
mod gathering;
mod group;
mod install;
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
pub mod timestamp;
mod token;
pub mod unit;
mod unlocked;
mod verify;
mod verify_acts;
mod verify_anchors;
mod verify_deep;
mod verify_keys;
mod verify_log;
mod verify_objects;
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
pub use anchor::{Checkpoint, Compared};
pub use census::{Census, Kept};
pub use ceremony::{ArchiveSecrets, Wanted, next_generation};
pub use current_key::parse_hint;
pub use data_object::Pace;
pub use evidence::{Anchored, Evidence, Opened, Stamped};
pub use gathering::{Encrypted, Gathering, Progress, Purpose};
pub use group::Group;
pub use keys::{Generation, Origin};
pub use layout::{ArchiveId, HoldId, SegmentId};
pub use leaf::{Anchor, Seal, Totals};
pub use meta::{Event, Meta, ResultRecord};
pub use officers::{
    Certificate, Described, NewOfficer, OfficerKey, OfficerSecret, PIECE_BYTES_MAX, armored, describe, generate,
    passphrase,
};
pub use open::{Archive, CreateOptions, SegmentInfo};
pub use seal::SealReport;
pub use shares::Share;
pub use status::Status;
pub use tile::TreeHead;
pub use unlocked::{DirectoryEntry, Unlocked};
pub use verify::{FaultKind, Finding, Report, VerifyOptions, verify, verify_heads};
pub use verify_deep::Depth;
pub use verify_objects::{Reading, Watch, Workers};

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
    /// Something is sealed to a generation whose secret, or file, is not here.
    #[error(
        "generation {generation} of the archive key is not here: keys/generation-{generation} and its officers open it"
    )]
    GenerationMissing {
        /// Which.
        generation: u32,
    },
    /// The archive is an older one than what was written down elsewhere.
    #[error("an older copy, or another branch, of this archive: {0}")]
    RolledBack(String),
    /// A time stamp will not do.
    #[error(transparent)]
    Stamp(#[from] timestamp::Fault),
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
    /// An order of erasure that will not do.
    #[error("order: {0}")]
    Order(String),
    /// An act that may not be.
    #[error("{0}")]
    Refused(String),
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
            Error::Io { .. } | Error::Journal(_) | Error::Stamp(_) => Class::Retry,
            Error::Exists
            | Error::ReadOnly
            | Error::KeyMissing
            | Error::GenerationMissing { .. }
            | Error::Erased
            | Error::NoSuchUnit
            | Error::Officer(_)
            | Error::Order(_)
            | Error::Refused(_) => Class::Reject,
            Error::Damaged { .. } | Error::RolledBack(_) | Error::UidsExhausted | Error::Crypto(_) | Error::Bug(_) => {
                Class::Ours
            }
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
