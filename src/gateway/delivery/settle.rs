//! From what a next hop said to what is recorded: retries, and the end of retries. Pure.

use crate::clock::Timestamp;
use crate::gateway::config::Queue;
use crate::journal::{Entry, Outcome, RecipientResult, RecipientState};
use crate::mail::MailId;

/// What one attempt brought one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The next hop took it.
    Delivered {
        /// Its reply.
        reply: String,
        /// Who tells the sender of what comes after.
        reports: Reports,
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
    /// Not until somebody has looked.
    Parked {
        /// Why.
        reason: String,
    },
}

/// Who sends the reports that a sender asked for, once a next hop has a message (RFC 3461 section 5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// The next hop, which offers DSN.
    NextHop,
    /// Nobody.
    Nobody,
}

/// Results for `recipients`, whose fates and next hops stand in the same order. What is deferred beyond the queue's lifetime fails.
pub fn settle(
    queue: &Queue,
    entry: &Entry,
    recipients: &[u32],
    fates: Vec<Fate>,
    next_hops: &[String],
    now: Timestamp,
) -> Vec<RecipientResult> {
    let expired = is_expired(queue, entry, now);
    let outcome = |recipient: u32, fate: Fate| match fate {
        Fate::Delivered { reply, .. } => Outcome::Delivered { reply },
        Fate::Failed { status, reply } => Outcome::Failed { status, reply },
        Fate::Parked { reason } => Outcome::Parked { reason, until: None },
        Fate::Deferred { reply } if expired => {
            Outcome::Failed { status: "5.4.7".to_owned(), reply: format!("delivery time expired; last: {reply}") }
        }
        Fate::Deferred { reply } => {
            let attempt = attempts(entry, recipient).saturating_add(1);
            Outcome::Deferred { reply, next_at: after(now, queue.retry_s.wait_s(attempt), &entry.accept.id, attempt) }
        }
    };
    let next_hops = next_hops.iter().cloned().chain(std::iter::repeat(String::new()));
    let result = |((recipient, fate), next_hop)| RecipientResult {
        recipient,
        at: now,
        next_hop,
        outcome: outcome(recipient, fate),
    };
    recipients.iter().copied().zip(fates).zip(next_hops).map(result).collect()
}

/// A wait of `wait_s` seconds from now and up to a tenth more, so that what failed together does not come back together. Ids are
/// random: a message's share of the tenth is taken from its own.
pub fn after(now: Timestamp, wait_s: u64, id: &MailId, attempt: u32) -> Timestamp {
    let octets = id.octets();
    let share = usize::try_from(attempt).map_or(0, |attempt| octets[attempt % octets.len()]);
    let wait_ms = i64::try_from(wait_s).unwrap_or(i64::MAX).saturating_mul(1000);
    let more_ms = (wait_ms / 2560).saturating_mul(i64::from(share));
    Timestamp::from_ms(now.ms().saturating_add(wait_ms).saturating_add(more_ms))
}

/// When a message will have waited as long as the queue keeps it.
pub fn expires_at(queue: &Queue, entry: &Entry) -> Timestamp {
    entry.accept.accepted_at.plus_s(i64::try_from(queue.lifetime_s).unwrap_or(i64::MAX))
}

/// Whether a message has waited longer than the queue keeps it.
pub fn is_expired(queue: &Queue, entry: &Entry, now: Timestamp) -> bool {
    now >= expires_at(queue, entry)
}

/// Whether the sender is to be told now that it takes long for this recipient. Once is enough; 0 means never.
pub fn is_late(queue: &Queue, entry: &Entry, recipient: u32, now: Timestamp) -> bool {
    let patience = i64::try_from(queue.delay_warning_s).unwrap_or(i64::MAX);
    patience > 0
        && now >= entry.accept.accepted_at.plus_s(patience)
        && matches!(entry.state(recipient), Some(RecipientState::Pending { warned_at: None, .. }))
}

fn attempts(entry: &Entry, recipient: u32) -> u32 {
    match entry.state(recipient) {
        Some(RecipientState::Pending { attempts, .. }) => *attempts,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_by_at_most_a_tenth() {
        let now = Timestamp::from_s(1000);
        for (octet, expected_ms) in [(0, 1_060_000), (128, 1_062_944), (255, 1_065_865)] {
            assert_eq!(after(now, 60, &MailId::from_octets([octet; 16]), 1).ms(), expected_ms);
        }
        assert_eq!(after(now, u64::MAX, &MailId::from_octets([255; 16]), 9), Timestamp::from_ms(i64::MAX));
    }
}
