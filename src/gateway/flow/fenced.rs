//! What happens when a message meets a bug of ours before its reply: the session goes on, its client hears "later", and the second
//! time that this message cannot be taken. Nothing else suffers.

use super::{Answer, replies};
use crate::crypto::Digest;
use crate::crypto::hash;
use crate::gateway::fence::{Fence, Verdict};
use std::future::Future;

/// Whether a message may be refused for good: senders of copies for the record stop for ever at the first 5xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusable {
    /// It may.
    Yes,
    /// It is only put off.
    No,
}

/// Runs the steps of one message, known by the hash of its octets.
pub async fn fenced(
    fence: &Fence<Digest>,
    message: Digest,
    refusable: Refusable,
    steps: impl Future<Output = Answer> + Send + 'static,
) -> Answer {
    let ended = match tokio::spawn(steps).await {
        Ok(answer) => return answer,
        Err(ended) => ended,
    };
    tracing::error!("bug: a message with SHA-256 {} cannot be processed: {ended}", hash::hex(&message));
    match (fence.strike(message), refusable) {
        (Verdict::Fence, Refusable::Yes) => Answer::All(replies::CANNOT_PROCESS.clone()),
        (Verdict::Again, _) | (Verdict::Fence, Refusable::No) => Answer::All(replies::TEMPORARY.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn code_after_a_bug(fence: &Fence<Digest>, message: u8, refusable: Refusable) -> u16 {
        let steps = async move { panic!("met by message {message}") };
        match fenced(fence, [message; 32], refusable, steps).await {
            Answer::All(reply) => reply.code(),
            Answer::Each(_) => 0,
        }
    }

    #[tokio::test]
    async fn the_second_time_a_message_is_refused_and_others_are_not() {
        let fence = Fence::default();
        assert_eq!(code_after_a_bug(&fence, 1, Refusable::Yes).await, 451);
        assert_eq!(code_after_a_bug(&fence, 2, Refusable::Yes).await, 451);
        assert_eq!(code_after_a_bug(&fence, 1, Refusable::Yes).await, 554);
        assert_eq!(code_after_a_bug(&fence, 3, Refusable::No).await, 451);
        assert_eq!(code_after_a_bug(&fence, 3, Refusable::No).await, 451, "a copy for the record is put off");
        let fine = async { Answer::All(replies::TEMPORARY.clone()) };
        assert!(matches!(fenced(&fence, [2; 32], Refusable::Yes, fine).await, Answer::All(_)));
    }
}
