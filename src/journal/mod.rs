//! The journal: the durable queue and the hot tail of the archive in one. Never interprets a ruling, never opens a segment.
//!
//! A message is drafted (`draft`), committed by one group-committed sync (`queue`, `build`, `writer`), delivered and recorded
//! (`state`), read back (`message`), sealed elsewhere, and forgotten; then its files are recycled (`spares`). After a crash
//! `replay` brings back what was acknowledged. The bytes are in docs/journal-format.md.

mod batch;
mod blinding;
mod build;
mod carried;
mod carrier;
mod draft;
mod effect;
mod error;
mod eviction;
mod file;
#[cfg(test)]
mod fixtures;
mod frame;
mod header;
mod held;
mod ingest;
mod inspect;
#[allow(clippy::module_inception, reason = "the room's front door")]
mod journal;
mod leaf;
mod message;
mod mirror;
mod queue;
mod readers;
mod record;
mod replay;
mod reported;
mod ring;
mod scan;
mod settings;
#[cfg(test)]
mod simulation;
mod spares;
mod state;
mod streams;
mod survey;
mod walk;
mod writer;

pub use draft::{AcceptDraft, DRAFT_MEMORY_BYTES, Draft, RenditionDraft};
pub use error::{Class, Done, Error};
pub use eviction::{Evicted, Eviction};
pub use held::Held;
pub use inspect::{Inspected, InspectedBatch, inspect};
pub use journal::{Journal, REPLY_BYTES_MAX, Sync};
pub use leaf::{
    GROUP_BYTES_MAX, LEAF_BYTES_MAX, LEAF_VERSION, Leaf, LeafKind, accept_blind, accept_commitment, encode_group,
    parse_group, result_blind, result_commitment,
};
pub use record::{
    Accept, Content, Entry, LateResult, LeafEntry, Outcome, RecipientResult, RecipientState, Rendition, Sealable,
    encode, initial_states,
};
pub use replay::Replay;
pub use ring::{Delivered, read as read_ring};
pub use settings::{FILE_BYTES_MAX, FILE_BYTES_MIN, KEPT_FILES_MIN, Keys, SPARES_MAX, Settings};
