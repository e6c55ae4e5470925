//! What the journal keeps of a message in memory until it is sealed and final: its record as octets, and decoded only while its
//! first delivery is near.

use super::blinding::Blinding;
use super::record;
use super::record::{Accept, Entry, RecipientResult, RecipientState};
use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::mail::MailId;
use crate::mail::Retention;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A message's record and how far its delivery is. Cheap to clone; a snapshot that does not change under its holder.
#[derive(Clone, Debug)]
pub struct Held {
    /// The message.
    pub id: MailId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// INTERNALDATE, which decides the mailbox.
    pub internal_date: Timestamp,
    /// Octets as received.
    pub body_bytes: u64,
    /// The record's CBOR, verbatim as committed to.
    pub accept_octets: Arc<[u8]>,
    /// The index of its ACCEPT leaf.
    pub accept_index: u64,
    /// One state per recipient, in envelope order.
    pub states: Arc<Vec<RecipientState>>,
    /// Terminal results with the index of their leaf, in log order. The position in this list gives the result's `ordinal`.
    pub results: Arc<Vec<(u64, RecipientResult)>>,
    /// Ordinals of results before others that were lost to declared damage.
    pub(super) lost: Option<Arc<BTreeSet<u64>>>,
    pub(super) blinding: Arc<Blinding>,
    /// The record decoded, while somebody will ask for it soon.
    decoded: Option<Arc<Accept>>,
}

impl Held {
    /// A message as its record has it, nothing delivered yet. `accept_octets` are the record's.
    pub(super) fn new(accept: Accept, accept_octets: Arc<[u8]>, accept_index: u64, blinding: Blinding) -> Held {
        Held {
            id: accept.id,
            accepted_at: accept.accepted_at,
            internal_date: accept.internal_date(),
            body_bytes: accept.body_bytes,
            accept_octets,
            accept_index,
            states: Arc::new(record::initial_states(&accept)),
            results: Arc::new(Vec::new()),
            lost: None,
            blinding: Arc::new(blinding),
            decoded: Some(Arc::new(accept)),
        }
    }

    /// The record.
    pub(super) fn accept(&self) -> Arc<Accept> {
        let decode = || minicbor::decode(&self.accept_octets).map(Arc::new);
        let decoded = self.decoded.clone().map_or_else(decode, Ok);
        decoded.unwrap_or_else(|_| unreachable!("it was read from these octets, or they were made of it"))
    }

    /// Keeps the octets alone: a third of the memory, and reading them takes microseconds.
    pub(super) fn pack(&mut self) {
        self.decoded = None;
    }

    /// How long it is kept.
    pub fn retention(&self) -> Retention {
        self.accept().retention()
    }

    /// As everybody but the sealer sees it.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            accept: self.accept(),
            accept_index: self.accept_index,
            states: Arc::clone(&self.states),
            results: Arc::clone(&self.results),
        }
    }

    /// The message key, for the sealer only: it encrypts one message in one archive unit. `None` once that unit is sealed and the
    /// message was carried.
    pub fn mek(&self) -> Option<&Secret<32>> {
        self.blinding.key()
    }

    /// The ordinal of the result at this position.
    pub fn ordinal(&self, position: usize) -> u64 {
        let mut ordinal = position as u64;
        // Each lost one before it moves it on.
        self.lost.iter().flat_map(|lost| lost.iter()).for_each(|lost| ordinal += u64::from(*lost <= ordinal));
        ordinal
    }
    /// The ordinal of the next result.
    pub(super) fn next_ordinal(&self) -> u64 {
        self.ordinal(self.results.len())
    }
    /// A replay finds a result with this ordinal: those it skips are lost, and their commitments stand in the log all the same.
    pub(super) fn skip_to(&mut self, ordinal: u64) {
        let next = self.next_ordinal();
        if ordinal > next {
            Arc::make_mut(self.lost.get_or_insert_default()).extend(next..ordinal);
        }
    }

    /// How far delivery to the recipient with this number is.
    pub(super) fn state(&self, number: u32) -> Option<&RecipientState> {
        record::state_of(&self.states, number)
    }

    /// Whether any recipient is still to be delivered to.
    pub fn is_pending(&self) -> bool {
        self.states.iter().any(RecipientState::is_pending)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn what_is_lost_keeps_its_ordinal() {
        let accept = fixtures::accept(1, 1);
        let mut held = Held::new(accept, Arc::from([]), 5, Blinding::Key(Secret::new([1; 32])));
        assert_eq!([held.ordinal(0), held.ordinal(1), held.next_ordinal()], [0, 1, 0]);
        held.skip_to(0);
        assert!(held.lost.is_none());
        held.skip_to(2);
        assert_eq!([held.ordinal(0), held.ordinal(1), held.next_ordinal()], [2, 3, 2]);
        held.lost = Some(Arc::new([1, 2, 4].into()));
        assert_eq!([0, 1, 2].map(|position| held.ordinal(position)), [0, 3, 5]);
    }
}
