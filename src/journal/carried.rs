//! The record of a CARRY: what is still needed of a message whose unit is sealed. A plain value with a fixed CBOR form; never I/O,
//! and never the message key. Layout: docs/journal-format.md section 4.

use super::blinding::{BLIND_BYTES, Blinding};
use super::draft;
use super::file::JournalFile;
use super::frame::RECORD_STREAM;
use super::message::{Kept, Message, Parts};
use super::record::{Accept, RecipientResult, RecipientState};
use super::streams::Streams;
use crate::clock::Timestamp;
use crate::crypto::Secret;
use crate::mail::MailId;
use minicbor::{Decode, Encode};
use std::sync::Arc;
use zeroize::Zeroize;

/// Octets of the longest record; a message with a longer one keeps its file.
pub const CARRIED_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What a CARRY says of its message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Carried {
    #[n(0)]
    accept_index: u64,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    accept: Vec<u8>,
    #[n(2)]
    ended: Vec<Ended>,
    #[n(3)]
    open: Vec<Open>,
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    blinds: Vec<u8>,
    #[n(5)]
    streams: Vec<u32>,
}

/// A terminal result; its place in the list is its ordinal.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Ended {
    #[n(0)]
    leaf: u64,
    #[n(1)]
    result: RecipientResult,
}

/// A recipient whose delivery has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Open {
    #[n(0)]
    recipient: u32,
    #[n(1)]
    state: OpenState,
}

/// How far its delivery is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum OpenState {
    #[n(0)]
    Pending {
        #[n(0)]
        attempts: u32,
        #[n(1)]
        next_at: Timestamp,
        #[n(2)]
        last_reply: String,
        #[n(3)]
        warned_at: Option<Timestamp>,
    },
    #[n(1)]
    Parked {
        #[n(0)]
        at: Timestamp,
        #[n(1)]
        attempts: u32,
        #[n(2)]
        reason: String,
        #[n(3)]
        until: Option<Timestamp>,
    },
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.blinds.zeroize();
    }
}

impl Carried {
    /// Of an open message as it stands; `None` when its blinds are not at hand.
    pub fn of(message: &Message) -> Option<Carried> {
        let held = &message.held;
        let numbered = (0u32..).zip(held.states.iter());
        let open = numbered.filter_map(|(recipient, state)| Some(Open { recipient, state: OpenState::of(state)? }));
        let ended = held.results.iter().map(|(leaf, result)| Ended { leaf: *leaf, result: result.clone() });
        let blinding = blinding(message)?;
        let Blinding::Results { blinds, .. } = &blinding else { return None };
        Some(Carried {
            accept_index: held.accept_index,
            accept: held.accept_octets.to_vec(),
            ended: ended.collect(),
            open: open.collect(),
            blinds: blinds.iter().flat_map(|blind| *blind.expose()).collect(),
            streams: message.needed_streams(),
        })
    }

    /// The streams whose octets come along.
    pub fn streams(&self) -> &[u32] {
        &self.streams
    }

    /// The index of the ACCEPT leaf.
    pub fn accept_index(&self) -> u64 {
        self.accept_index
    }

    /// The message again, with what was carried of its streams; `None` when the record contradicts itself.
    pub fn restore(&self, id: MailId, mut streams: Streams, home: &Arc<JournalFile>) -> Option<Message> {
        let accept: Accept = minicbor::decode(&self.accept).ok()?;
        draft::check(&accept).ok()?;
        if accept.id != id || !self.blinds.len().is_multiple_of(BLIND_BYTES) {
            return None;
        }
        let blinds: Option<Vec<_>> = self.blinds.chunks(BLIND_BYTES).map(Secret::from_slice).collect();
        let blinding = Blinding::Results { first: self.ended.len() as u64, blinds: blinds? };
        streams.retain(|stream| stream == RECORD_STREAM || self.streams.contains(&stream));
        let parts = Parts { streams, kept: Kept::Only(self.streams.clone()), blinding };
        let octets = self.accept.as_slice().into();
        let mut message = Message::new(accept, octets, self.accept_index, parts, home);
        for ended in &self.ended {
            message.apply(&ended.result);
        }
        message.held.results = Arc::new(self.ended.iter().map(|e| (e.leaf, e.result.clone())).collect());
        self.restore_open(&mut message)?;
        Some(message)
    }

    /// Every recipient that has not ended has a state here, and nobody else.
    fn restore_open(&self, message: &mut Message) -> Option<()> {
        let states = Arc::make_mut(&mut message.held.states);
        let pending = states.iter().filter(|state| state.is_pending()).count();
        for Open { recipient, state } in &self.open {
            let known = states.get_mut(usize::try_from(*recipient).ok()?)?;
            *known = known.is_pending().then(|| state.state())?;
        }
        (pending == self.open.len()).then_some(())
    }
}

/// The blinds of all results that can still come: each recipient that has not ended gives one at most.
pub fn blinding(message: &Message) -> Option<Blinding> {
    let held = &message.held;
    if held.lost.is_some() {
        // Its results would be counted anew.
        return None;
    }
    let can_end = |state: &&RecipientState| state.is_pending() || **state == RecipientState::Refused;
    let count = held.states.iter().filter(can_end).count();
    held.blinding.results_from(held.accept_index, held.results.len() as u64, count)
}

impl OpenState {
    fn of(state: &RecipientState) -> Option<OpenState> {
        match state.clone() {
            RecipientState::Pending { attempts, next_at, last_reply, warned_at } => {
                Some(OpenState::Pending { attempts, next_at, last_reply, warned_at })
            }
            RecipientState::Parked { at, attempts, reason, until } => {
                Some(OpenState::Parked { at, attempts, reason, until })
            }
            _ => None,
        }
    }

    fn state(&self) -> RecipientState {
        match self.clone() {
            OpenState::Pending { attempts, next_at, last_reply, warned_at } => {
                RecipientState::Pending { attempts, next_at, last_reply, warned_at }
            }
            OpenState::Parked { at, attempts, reason, until } => RecipientState::Parked { at, attempts, reason, until },
        }
    }
}
