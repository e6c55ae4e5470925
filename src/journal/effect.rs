//! What becomes true when a batch is durable, and who is told. Never happens before.

use super::Error;
use super::draft::Ticket;
use super::error::Answer;
use super::file::{Chunk, JournalFile};
use super::message::{Message, Parts};
use super::queue::Lazy;
use super::record::RecipientResult;
use super::state::State;
use crate::mail::MailId;
use std::sync::Arc;

/// A leaf and its index.
pub struct Indexed {
    pub index: u64,
    pub octets: Arc<[u8]>,
}

/// A result and how it came.
pub struct Resulted {
    pub id: MailId,
    pub result: RecipientResult,
    /// For terminal results.
    pub leaf: Option<Indexed>,
    pub origin: Origin,
}

/// Whether the states show a result already.
pub enum Origin {
    /// Somebody waits; it shows once it is durable.
    Waited,
    /// It shows already.
    Lazy(Option<Answer<()>>),
}

/// One thing a batch makes true.
pub enum Effect {
    Piece { ticket: Ticket, stream: u32, chunk: Chunk },
    Accepted { message: Box<Message>, leaf: Arc<[u8]>, cached: Option<Arc<[u8]>>, done: Answer<MailId> },
    Carried { id: MailId, home: Arc<JournalFile>, parts: Box<Parts>, done: Answer<()> },
    Resulted(Box<Resulted>),
    Leaves { first: u64, leaves: Vec<Arc<[u8]>>, done: Answer<u64> },
    Answer(Answer<()>),
}

/// Somebody to be told, once the lock is released.
pub enum Told {
    Mail(Answer<MailId>, MailId),
    Index(Answer<u64>, u64),
    Done(Answer<()>),
    Piece(Ticket, u32, Chunk),
    Nobody,
}

impl Effect {
    /// The batch is durable: changes the state.
    pub fn apply(self, state: &mut State) -> Told {
        match self {
            Effect::Piece { ticket, stream, chunk } => Told::Piece(ticket, stream, chunk),
            Effect::Accepted { message, leaf, cached, done } => {
                let (id, mut message) = (message.held.id, message);
                if cached.is_none() {
                    message.held.pack();
                }
                state.push_leaf(leaf);
                state.accepted(message, cached);
                Told::Mail(done, id)
            }
            Effect::Carried { id, home, parts, done } => {
                // States and results stay: what came meanwhile is logged behind the CARRY.
                if let Some(message) = state.message_mut(&id) {
                    message.move_to(home, *parts);
                }
                Told::Done(done)
            }
            Effect::Resulted(resulted) => resulted.apply(state),
            Effect::Leaves { first, leaves, done } => {
                leaves.into_iter().for_each(|octets| state.push_leaf(octets));
                Told::Index(done, first)
            }
            Effect::Answer(done) => Told::Done(done),
        }
    }

    /// The batch is not durable: refuses. Lazy results are given back, to be written elsewhere.
    pub fn fail(self, error: &Error) -> Option<Lazy> {
        match self {
            Effect::Piece { ticket, .. } => ticket.fail(error.clone()),
            Effect::Accepted { done, .. } => done.give(Err(error.clone())),
            Effect::Leaves { done, .. } => done.give(Err(error.clone())),
            Effect::Answer(done) | Effect::Carried { done, .. } => done.give(Err(error.clone())),
            Effect::Resulted(resulted) => {
                let Resulted { id, result, origin, .. } = *resulted;
                if let Origin::Lazy(done) = origin {
                    return Some(Lazy { id, result, done });
                }
            }
        }
        None
    }
}

impl Resulted {
    fn apply(self, state: &mut State) -> Told {
        let Some(message) = state.message_mut(&self.id) else { return Told::Nobody };
        let told = match self.origin {
            Origin::Waited => {
                message.apply(&self.result);
                Told::Nobody
            }
            Origin::Lazy(done) => {
                message.unlogged = message.unlogged.saturating_sub(1);
                done.map_or(Told::Nobody, Told::Done)
            }
        };
        if let Some(leaf) = self.leaf {
            state.push_leaf(leaf.octets);
            state.resulted(&self.id, leaf.index, self.result);
        }
        state.cool(&self.id);
        told
    }
}

impl Told {
    /// Tells them.
    pub fn tell(self) {
        match self {
            Told::Mail(done, id) => done.give(Ok(id)),
            Told::Index(done, index) => done.give(Ok(index)),
            Told::Done(done) => done.give(Ok(())),
            Told::Piece(ticket, stream, chunk) => ticket.done(stream, chunk),
            Told::Nobody => {}
        }
    }
}
