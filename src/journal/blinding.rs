//! What makes the leaves of a message: its key, or, once its unit is sealed and it was carried, the blinds of the results to
//! come. Never both.

use super::leaf::{Leaf, result_blind};
use crate::crypto::Secret;

/// Octets of a blind.
pub const BLIND_BYTES: usize = 32;

/// What hides the content of a message's leaves.
#[derive(Debug)]
pub enum Blinding {
    /// The message key, until the message is carried.
    Key(Secret<32>),
    /// The blinds of the terminal results from the ordinal `first` on: all that is still needed of the key.
    Results { first: u64, blinds: Vec<Secret<BLIND_BYTES>> },
}

impl Blinding {
    /// The message key, where it is still kept.
    pub fn key(&self) -> Option<&Secret<32>> {
        match self {
            Blinding::Key(key) => Some(key),
            Blinding::Results { .. } => None,
        }
    }

    /// The leaf of the `ordinal`-th terminal result; `None` when its blind was not carried.
    pub fn result_leaf(&self, accept_index: u64, ordinal: u64, result_octets: &[u8]) -> Option<Leaf> {
        let blind = self.blind(accept_index, ordinal)?;
        Some(Leaf::blinded_result(&blind, accept_index, result_octets))
    }

    /// What a CARRY takes along: the blinds of `count` results from `first` on.
    pub fn results_from(&self, accept_index: u64, first: u64, count: usize) -> Option<Blinding> {
        let blinds: Option<Vec<_>> = (first..).take(count).map(|ordinal| self.blind(accept_index, ordinal)).collect();
        Some(Blinding::Results { first, blinds: blinds? })
    }

    fn blind(&self, accept_index: u64, ordinal: u64) -> Option<Secret<BLIND_BYTES>> {
        match self {
            Blinding::Key(key) => Some(result_blind(key, accept_index, ordinal)),
            Blinding::Results { first, blinds } => {
                let at = usize::try_from(ordinal.checked_sub(*first)?).ok()?;
                blinds.get(at).cloned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carried_blinds_make_the_leaves_the_key_would() {
        let key = Blinding::Key(Secret::new([4; 32]));
        let carried = key.results_from(9, 2, 3).expect("from the key");
        for ordinal in 2..5 {
            assert_eq!(carried.result_leaf(9, ordinal, b"r"), key.result_leaf(9, ordinal, b"r"), "{ordinal}");
        }
        assert_eq!(carried.result_leaf(9, 1, b"r"), None);
        assert_eq!(carried.result_leaf(9, 5, b"r"), None);
        assert_eq!(carried.key(), None);
        let again = carried.results_from(9, 3, 2).expect("from the blinds");
        assert_eq!(again.result_leaf(9, 4, b"r"), key.result_leaf(9, 4, b"r"));
        assert!(carried.results_from(9, 3, 3).is_none(), "one more than there is");
    }
}
