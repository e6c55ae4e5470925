//! The fence around mail that we cannot process ourselves: what fails on our side twice is parked, so that it does not come back
//! for ever, and everything else goes on.

use crate::mail::MailId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Failures on our side after which mail is parked.
const STRIKES_MAX: u32 = 2;
/// Messages remembered; beyond it all are forgotten, and each gets two tries more.
const REMEMBERED_MAX: usize = 10_000;

/// What to do with mail that failed on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try once more.
    Again,
    /// Park it.
    Park,
}

/// Counts failures of messages.
#[derive(Debug, Default)]
pub struct Fence {
    strikes: Mutex<HashMap<MailId, u32>>,
}

impl Fence {
    /// A message failed once more.
    pub fn strike(&self, id: MailId) -> Verdict {
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        if strikes.len() >= REMEMBERED_MAX {
            strikes.clear();
        }
        let count = strikes.entry(id).or_default();
        *count += 1;
        if *count < STRIKES_MAX {
            return Verdict::Again;
        }
        strikes.remove(&id);
        Verdict::Park
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_failure_parks() {
        let fence = Fence::default();
        let [one, other] = [1, 2].map(|n| MailId::from_octets([n; 16]));
        assert_eq!(fence.strike(one), Verdict::Again);
        assert_eq!(fence.strike(other), Verdict::Again);
        assert_eq!(fence.strike(one), Verdict::Park);
        assert_eq!(fence.strike(one), Verdict::Again, "released, it gets two tries again");
    }
}
