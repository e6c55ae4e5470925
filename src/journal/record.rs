//! Records: what the journal keeps about a message, and the leaves of the evidence log that commit to it. Plain values with
//! a fixed CBOR form; never I/O.

use super::held::Held;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::mail::Client;
use crate::mail::Envelope;
use crate::mail::MailId;
use crate::mail::Recipient;
use crate::mail::Reported;
use crate::mail::Retention;
use minicbor::{Decode, Encode};
use std::sync::Arc;

/// The record of acceptance, and all that delivery and archive need besides the octets.
///
/// Its CBOR stands verbatim in the ACCEPT frame and later in the archive unit's meta, and the ACCEPT leaf commits to it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Accept {
    /// The message.
    #[n(0)]
    pub id: MailId,
    /// When it was accepted.
    #[n(1)]
    pub accepted_at: Timestamp,
    /// MAIL and all RCPTs, Bcc recipients included.
    #[n(2)]
    pub envelope: Envelope,
    /// Who handed it over.
    #[n(3)]
    pub client: Client,
    /// Octets as received.
    #[n(4)]
    pub body_bytes: u64,
    /// SHA-256 of the octets as received.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub body_sha256: Digest,
    /// CBOR of the ruling; opaque here.
    #[n(6)]
    #[cbor(with = "minicbor::bytes")]
    pub ruling: Vec<u8>,
    /// The retention class.
    #[n(7)]
    pub class: String,
    /// What is delivered to whom. A recipient in no rendition is never delivered to.
    #[n(8)]
    pub renditions: Vec<Rendition>,
    /// When it may expire; `None`: never.
    #[n(9)]
    pub keep_until: Option<Timestamp>,
    /// Before this no order may erase it; `None`: at any time.
    #[n(10)]
    pub protected_until: Option<Timestamp>,
    /// The message's own date, of one that was not received just now but imported. Left out of the record where there is none, so
    /// that older records and these are alike.
    #[n(11)]
    pub dated_at: Option<Timestamp>,
    /// What it states as a journal report, where it is believed. Left out of other mail's record, so that older ones are alike.
    #[n(12)]
    pub reported: Option<Reported>,
}

impl Accept {
    /// How long it is kept.
    pub fn retention(&self) -> Retention {
        let (keep_until, protected_until) = (self.keep_until, self.protected_until);
        Retention { class: self.class.clone(), keep_until, protected_until }
    }
    /// INTERNALDATE: its own date, else that of its acceptance.
    pub fn internal_date(&self) -> Timestamp {
        self.dated_at.unwrap_or(self.accepted_at)
    }
}

/// One form of a message as it leaves: a retry sends the same octets.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Rendition {
    /// Indices into `envelope.recipients`.
    #[n(0)]
    pub recipients: Vec<u32>,
    /// Our block on top.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub prefix: Vec<u8>,
    /// What follows the prefix.
    #[n(2)]
    pub content: Content,
    /// SHA-256 of prefix and content.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub sha256: Digest,
    /// Octets of prefix and content.
    #[n(4)]
    pub bytes: u64,
}

/// Where a rendition's octets behind the prefix come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// The octets as received.
    #[n(0)]
    Original,
    /// A stream of its own: its number in this message, at least 1.
    #[n(1)]
    Own(#[n(0)] u32),
}

impl Content {
    /// The stream it is.
    pub(super) fn stream(self) -> u32 {
        match self {
            Content::Original => super::message::ORIGINAL_STREAM,
            Content::Own(stream) => stream,
        }
    }
}

/// How far delivery to one recipient is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// To be attempted.
    Pending {
        /// Attempts so far.
        attempts: u32,
        /// Not before this.
        next_at: Timestamp,
        /// What the last attempt got; empty before the first.
        last_reply: String,
        /// When the sender was told of the delay.
        warned_at: Option<Timestamp>,
    },
    /// Waits for a person, or for a moment: no attempt is made.
    Parked {
        /// Since when.
        at: Timestamp,
        /// Attempts so far.
        attempts: u32,
        /// Why, for the administrator.
        reason: String,
        /// When it ends by itself; `None`: never.
        until: Option<Timestamp>,
    },
    /// The next hop took it.
    Delivered {
        /// When.
        at: Timestamp,
        /// The next hop's reply.
        reply: String,
    },
    /// Given up for good.
    Failed {
        /// When.
        at: Timestamp,
        /// RFC 3463 status.
        status: String,
        /// The reply that decided it.
        reply: String,
    },
    /// Kept in the archive only, by intent.
    Archived {
        /// When.
        at: Timestamp,
    },
    /// Taken out of the queue by the administrator.
    Dropped {
        /// When.
        at: Timestamp,
        /// Why, in his words.
        reason: String,
    },
    /// Never queued: in no rendition.
    Refused,
}

impl RecipientState {
    /// Whether delivery has not ended: an attempt is still to be made, or a parked mail to be decided on.
    pub fn is_pending(&self) -> bool {
        matches!(self, RecipientState::Pending { .. } | RecipientState::Parked { .. })
    }
}

/// What happened to one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RecipientResult {
    /// Index into `envelope.recipients`.
    #[n(0)]
    pub recipient: u32,
    /// When.
    #[n(1)]
    pub at: Timestamp,
    /// Whom we spoke to; empty when nobody.
    #[n(2)]
    pub next_hop: String,
    /// What came of it.
    #[n(3)]
    pub outcome: Outcome,
}

/// The kinds of result. Terminal ones have a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// The next hop took it.
    #[n(0)]
    Delivered {
        /// Its reply.
        #[n(0)]
        reply: String,
    },
    /// Not now.
    #[n(1)]
    Deferred {
        /// Its reply, or what went wrong.
        #[n(0)]
        reply: String,
        /// The next attempt is not before this.
        #[n(1)]
        next_at: Timestamp,
    },
    /// Never.
    #[n(2)]
    Failed {
        /// RFC 3463 status.
        #[n(0)]
        status: String,
        /// The reply that decided it.
        #[n(1)]
        reply: String,
    },
    /// For the archive alone (a journal listener): never delivered.
    #[n(3)]
    Archived,
    /// Not until somebody has decided.
    #[n(4)]
    Parked {
        /// Why, for the administrator.
        #[n(0)]
        reason: String,
        /// When it ends by itself; `None`: never.
        #[n(1)]
        until: Option<Timestamp>,
    },
    /// No longer parked; or, of what was pending, the next attempt moved.
    #[n(5)]
    Released {
        /// The next attempt is not before this.
        #[n(0)]
        next_at: Timestamp,
    },
    /// Taken out of the queue by the administrator; nobody is told.
    #[n(6)]
    Dropped {
        /// Why, in his words.
        #[n(0)]
        reason: String,
    },
    /// The sender was told that delivery takes long; it goes on.
    #[n(7)]
    Warned,
}

impl Outcome {
    /// Whether it ends the recipient's delivery. Terminal results have a leaf.
    pub fn is_terminal(&self) -> bool {
        match self {
            Outcome::Delivered { .. } | Outcome::Failed { .. } | Outcome::Archived | Outcome::Dropped { .. } => true,
            Outcome::Deferred { .. } | Outcome::Parked { .. } | Outcome::Released { .. } | Outcome::Warned => false,
        }
    }
    /// Whether every replay must see it for as long as it sees the message. A lost deferral costs an early attempt, no more.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Outcome::Deferred { .. })
    }
}

/// One leaf with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafEntry {
    /// Place in the log, counted from 0.
    pub index: u64,
    /// Kind octet and body, as the log hashes them.
    pub octets: Arc<[u8]>,
}

/// A message as delivery and people see it: without its key. Cheap to clone; a snapshot that does not change under its holder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record of acceptance.
    pub accept: Arc<Accept>,
    /// The index of its ACCEPT leaf.
    pub accept_index: u64,
    /// One state per recipient, in envelope order.
    pub states: Arc<Vec<RecipientState>>,
    /// Terminal results with the index of their leaf, in log order. The position in this list is the result's ordinal.
    pub results: Arc<Vec<(u64, RecipientResult)>>,
}

impl Entry {
    /// The recipient with this number in the envelope.
    pub fn recipient(&self, number: u32) -> Option<&Recipient> {
        self.accept.envelope.recipients.get(usize::try_from(number).ok()?)
    }
    /// How far delivery to that recipient is.
    pub fn state(&self, number: u32) -> Option<&RecipientState> {
        state_of(&self.states, number)
    }
    /// The rendition with this number.
    pub fn rendition(&self, number: u32) -> Option<&Rendition> {
        self.accept.renditions.get(usize::try_from(number).ok()?)
    }
    /// Whether any recipient is still to be delivered to.
    pub fn is_pending(&self) -> bool {
        self.states.iter().any(RecipientState::is_pending)
    }
}

/// A terminal result that became known after its message was sealed.
#[derive(Clone, Debug)]
pub struct LateResult {
    /// The message.
    pub id: MailId,
    /// The index of its ACCEPT leaf.
    pub accept_index: u64,
    /// The index of the RESULT leaf.
    pub leaf_index: u64,
    /// The result's place among the message's terminal results, counted from 0.
    pub ordinal: u64,
    /// The result.
    pub result: RecipientResult,
    /// The record of its message, verbatim.
    pub accept_octets: Arc<[u8]>,
}

impl LateResult {
    /// How long its message is kept, and it with it; `None` for octets that are no record.
    pub fn retention(&self) -> Option<Retention> {
        minicbor::decode::<Accept>(&self.accept_octets).ok().map(|accept| accept.retention())
    }
}

/// What a seal pass up to some index takes.
#[derive(Clone, Debug, Default)]
pub struct Sealable {
    /// Messages accepted in the range, in log order; their `results` end at the pass's index.
    pub messages: Vec<Held>,
    /// Results whose leaf lies in the range and whose message was accepted before it, in log order.
    pub results: Vec<LateResult>,
}

/// The deterministic CBOR of a record: definite lengths, shortest integers, fields in order (RFC 8949 section 4.2.1).
pub fn encode<T: Encode<()>>(record: &T) -> Vec<u8> {
    minicbor::to_vec(record).unwrap_or_else(|_| unreachable!("encoding into memory cannot fail"))
}

/// The state of the recipient with this number in the envelope.
pub(super) fn state_of(states: &[RecipientState], number: u32) -> Option<&RecipientState> {
    states.get(usize::try_from(number).ok()?)
}

/// The initial states: `Pending` for every recipient of a rendition, `Refused` for the others.
pub fn initial_states(accept: &Accept) -> Vec<RecipientState> {
    let mut states = vec![RecipientState::Refused; accept.envelope.recipients.len()];
    for recipient in accept.renditions.iter().flat_map(|r| &r.recipients) {
        if let Some(state) = usize::try_from(*recipient).ok().and_then(|at| states.get_mut(at)) {
            *state = RecipientState::Pending {
                attempts: 0,
                next_at: accept.accepted_at,
                last_reply: String::new(),
                warned_at: None,
            };
        }
    }
    states
}

/// Whether a result can change this state: a refused recipient may be archived, a parked one waits for a decision, and what is
/// final stays.
pub(super) fn takes(state: &RecipientState, outcome: &Outcome) -> bool {
    match state {
        RecipientState::Pending { .. } => true,
        // An attempt under way when it was parked may still deliver it.
        RecipientState::Parked { .. } => outcome.is_terminal() || matches!(outcome, Outcome::Released { .. }),
        RecipientState::Refused => *outcome == Outcome::Archived,
        RecipientState::Delivered { .. }
        | RecipientState::Failed { .. }
        | RecipientState::Archived { .. }
        | RecipientState::Dropped { .. } => false,
    }
}

/// The state after a result. Terminal states stay: a second terminal result changes nothing.
pub(super) fn apply(state: &mut RecipientState, result: &RecipientResult) {
    if !takes(state, &result.outcome) {
        return;
    }
    let at = result.at;
    *state = match result.outcome.clone() {
        Outcome::Delivered { reply } => RecipientState::Delivered { at, reply },
        Outcome::Failed { status, reply } => RecipientState::Failed { at, status, reply },
        Outcome::Archived => RecipientState::Archived { at },
        Outcome::Dropped { reason } => RecipientState::Dropped { at, reason },
        outcome => waiting(state, outcome, at),
    };
}

/// What does not end a delivery keeps what is known of it.
fn waiting(state: &RecipientState, outcome: Outcome, at: Timestamp) -> RecipientState {
    let (attempts, next_at, last_reply, warned_at) = match state.clone() {
        RecipientState::Pending { attempts, next_at, last_reply, warned_at } => {
            (attempts, next_at, last_reply, warned_at)
        }
        RecipientState::Parked { attempts, reason, .. } => (attempts, at, reason, None),
        ended => return ended,
    };
    match outcome {
        Outcome::Deferred { reply, next_at } => {
            RecipientState::Pending { attempts: attempts.saturating_add(1), next_at, last_reply: reply, warned_at }
        }
        Outcome::Parked { reason, until } => RecipientState::Parked { at, attempts, reason, until },
        Outcome::Released { next_at } => RecipientState::Pending { attempts, next_at, last_reply, warned_at },
        _ => RecipientState::Pending { attempts, next_at, last_reply, warned_at: Some(at) },
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn records_survive_cbor_and_encode_the_same_again() {
        let accept = fixtures::accept(3, 1);
        let octets = encode(&accept);
        let back: Accept = minicbor::decode(&octets).expect("decode");
        assert_eq!(back, accept);
        assert_eq!(encode(&back), octets);
    }

    #[test]
    fn a_date_of_its_own_is_left_out_where_there_is_none() {
        let mut accept = fixtures::accept(3, 1);
        let received = encode(&accept);
        assert_eq!((received[0], accept.internal_date()), (0x89, accept.accepted_at), "an array of nine, as ever");
        accept.dated_at = Some(Timestamp::from_s(880_127_706));
        let imported = encode(&accept);
        assert_eq!(imported[0], 0x8c, "an array of twelve");
        assert_eq!(minicbor::decode::<Accept>(&imported).expect("decode"), accept);
        assert_eq!(accept.internal_date(), Timestamp::from_s(880_127_706));
    }

    #[test]
    fn recipients_of_no_rendition_are_refused() {
        let mut accept = fixtures::accept(1, 3);
        accept.renditions[0].recipients = vec![1, 9];
        let states = initial_states(&accept);
        assert!(states[1].is_pending());
        assert_eq!([&states[0], &states[2]], [&RecipientState::Refused, &RecipientState::Refused]);
    }

    #[test]
    fn terminal_states_stay() {
        let at = Timestamp::from_s(9);
        let result = |outcome| RecipientResult { recipient: 0, at, next_hop: String::new(), outcome };
        let delivered = || result(Outcome::Delivered { reply: "250 ok".into() });
        let failed = || result(Outcome::Failed { status: "5.1.1".into(), reply: "550 no".into() });
        let mut state = initial_states(&fixtures::accept(1, 1)).remove(0);
        apply(&mut state, &result(Outcome::Deferred { reply: "451 later".into(), next_at: at }));
        let deferred =
            |warned_at| RecipientState::Pending { attempts: 1, next_at: at, last_reply: "451 later".into(), warned_at };
        assert_eq!(state, deferred(None));
        apply(&mut state, &result(Outcome::Warned));
        assert_eq!(state, deferred(Some(at)));
        apply(&mut state, &delivered());
        apply(&mut state, &failed());
        assert_eq!(state, RecipientState::Delivered { at, reply: "250 ok".into() });
        let mut refused = RecipientState::Refused;
        apply(&mut refused, &delivered());
        assert_eq!(refused, RecipientState::Refused);
        apply(&mut refused, &result(Outcome::Archived));
        assert_eq!(refused, RecipientState::Archived { at });
    }

    #[test]
    fn what_is_parked_waits_for_a_decision() {
        let at = Timestamp::from_s(9);
        let result = |outcome| RecipientResult { recipient: 0, at, next_hop: String::new(), outcome };
        let mut state = initial_states(&fixtures::accept(1, 1)).remove(0);
        apply(&mut state, &result(Outcome::Released { next_at: at }));
        assert!(matches!(state, RecipientState::Pending { attempts: 0, next_at, .. } if next_at == at));
        apply(&mut state, &result(Outcome::Parked { reason: "poison".into(), until: None }));
        apply(&mut state, &result(Outcome::Deferred { reply: "451 later".into(), next_at: at }));
        assert_eq!(state, RecipientState::Parked { at, attempts: 0, reason: "poison".into(), until: None });
        assert!(state.is_pending(), "delivery has not ended");
        apply(&mut state, &result(Outcome::Released { next_at: at }));
        assert!(matches!(&state, RecipientState::Pending { last_reply, .. } if last_reply == "poison"));
        apply(&mut state, &result(Outcome::Dropped { reason: "spam".into() }));
        assert_eq!(state, RecipientState::Dropped { at, reason: "spam".into() });
    }
}
