//! The fence around mail that we cannot process ourselves: what fails on our side twice is kept out, so that it does not come back
//! for ever, and everything else goes on.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Failures on our side after which mail is kept out.
const STRIKES_MAX: u32 = 2;
/// Messages remembered; beyond it all are forgotten, and each gets two tries more.
const REMEMBERED_MAX: usize = 10_000;

/// What to do with mail that failed on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try once more.
    Again,
    /// Keep it out.
    Fence,
}

/// Counts failures of messages, known by `K`.
#[derive(Debug)]
pub struct Fence<K> {
    strikes: Mutex<HashMap<K, u32>>,
}

impl<K> Default for Fence<K> {
    fn default() -> Fence<K> {
        Fence { strikes: Mutex::default() }
    }
}

impl<K: Eq + Hash> Fence<K> {
    /// A message failed once more.
    pub fn strike(&self, message: K) -> Verdict {
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        if strikes.len() >= REMEMBERED_MAX {
            strikes.clear();
        }
        let so_far = strikes.get(&message).copied().unwrap_or_default();
        if so_far + 1 < STRIKES_MAX {
            strikes.insert(message, so_far + 1);
            return Verdict::Again;
        }
        strikes.remove(&message);
        Verdict::Fence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_failure_fences() {
        let fence = Fence::default();
        let [one, other] = [1, 2];
        assert_eq!(fence.strike(one), Verdict::Again);
        assert_eq!(fence.strike(other), Verdict::Again);
        assert_eq!(fence.strike(one), Verdict::Fence);
        assert_eq!(fence.strike(one), Verdict::Again, "let in again, it gets two tries again");
    }
}
