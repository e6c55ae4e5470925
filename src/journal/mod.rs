//! The journal: the durable queue and the hot tail of the archive in one. Never interprets a ruling, never opens a segment.

#[cfg(test)]
mod fixtures;
mod leaf;
mod record;

pub use leaf::{
    LEAF_BYTES_MAX, LEAF_VERSION, Leaf, LeafKind, accept_blind, accept_commitment, result_blind, result_commitment,
};
pub use record::{
    Accept, Content, Entry, LateResult, LeafEntry, Outcome, RecipientResult, RecipientState, Rendition, Sealable,
    encode, initial_states,
};
