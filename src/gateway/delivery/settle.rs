//! From what a next hop said to what is recorded: retries, and the end of retries. Pure.

use crate::clock::Timestamp;
use crate::gateway::config::Queue;
use crate::journal::{Entry, Outcome, RecipientResult, RecipientState};

/// What one attempt brought one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The next hop took it.
    Delivered {
        /// Its reply.
        reply: String,
    },
    /// Not now.
    Deferred {
        /// Its reply, or what went wrong.
        reply: String,
    },
    /// Never.
    Failed {
        /// RFC 3463 status.
        status: String,
        /// Its reply.
        reply: String,
    },
}

/// Results for `recipients`, whose fates stand in the same order. What is deferred beyond the queue's lifetime fails.
pub fn settle(
    queue: &Queue,
    entry: &Entry,
    recipients: &[u32],
    fates: Vec<Fate>,
    next_hop: &str,
    now: Timestamp,
) -> Vec<RecipientResult> {
    let expired = is_expired(queue, entry, now);
    let outcome = |recipient: u32, fate: Fate| match fate {
        Fate::Delivered { reply } => Outcome::Delivered { reply },
        Fate::Failed { status, reply } => Outcome::Failed { status, reply },
        Fate::Deferred { reply } if expired => {
            Outcome::Failed { status: "5.4.7".to_owned(), reply: format!("delivery time expired; last: {reply}") }
        }
        Fate::Deferred { reply } => {
            let wait = queue.retry_s.wait_s(attempts(entry, recipient).saturating_add(1));
            Outcome::Deferred { reply, next_at: now.plus_s(i64::try_from(wait).unwrap_or(i64::MAX)) }
        }
    };
    let result = |(recipient, fate)| RecipientResult {
        recipient,
        at: now,
        next_hop: next_hop.to_owned(),
        outcome: outcome(recipient, fate),
    };
    recipients.iter().copied().zip(fates).map(result).collect()
}

/// Whether a message has waited longer than the queue keeps it.
pub fn is_expired(queue: &Queue, entry: &Entry, now: Timestamp) -> bool {
    let lifetime = i64::try_from(queue.lifetime_s).unwrap_or(i64::MAX);
    now >= entry.accept.accepted_at.plus_s(lifetime)
}

fn attempts(entry: &Entry, recipient: u32) -> u32 {
    match usize::try_from(recipient).ok().and_then(|at| entry.states.get(at)) {
        Some(RecipientState::Pending { attempts, .. }) => *attempts,
        _ => 0,
    }
}
