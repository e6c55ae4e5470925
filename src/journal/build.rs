//! Building one batch: jobs become frames, leaves get their indices. Never writes, and changes nothing until the batch is durable.

use super::Error;
use super::batch::{Builder, Placed};
use super::blinding::Blinding;
use super::carried;
use super::draft::Ticket;
use super::effect::{Effect, Indexed, Origin, Resulted};
use super::error::Answer;
use super::file::{Chunk, JournalFile};
use super::frame::{Acceptance, Body, Carrying, Frame, Leafing, PIECE_BYTES_MAX, Resulting};
use super::leaf;
use super::leaf::Leaf;
use super::message::{Kept, Message, ORIGINAL_STREAM, Parts};
use super::queue::{Carry, Commit, Inline, Job, Lazy, RecordPlace};
use super::record;
use super::record::{RecipientResult, takes};
use super::state::State;
use super::streams::Streams;
use crate::mail::MailId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// A batch in the making.
pub struct Batch<'a> {
    state: &'a Mutex<State>,
    file: Arc<JournalFile>,
    at: u64,
    sequence: u64,
    builder: Builder,
    next_leaf: u64,
    effects: Vec<Effect>,
    /// Terminal results of a message in this batch.
    ordinals: HashMap<MailId, u64>,
    /// Messages with a result in this batch.
    touched: HashSet<MailId>,
    /// Recipients that got a terminal result in this batch.
    ended: HashSet<(MailId, u32)>,
    homes: BTreeSet<u64>,
}

/// A batch ready to be written.
pub struct Built {
    pub builder: Builder,
    pub effects: Vec<Effect>,
    /// The index behind its last leaf.
    pub leaves_end: u64,
    /// Ordinals of the homes of its lasting results.
    pub homes: BTreeSet<u64>,
}

/// What a RESULT frame needs of its message.
struct Facts {
    accept_index: u64,
    blinding: Arc<Blinding>,
    ordinal: u64,
    home: u64,
}

impl<'a> Batch<'a> {
    /// An empty batch that will start at `at` and whose first leaf gets `next_leaf`.
    pub fn new(state: &'a Mutex<State>, file: &Arc<JournalFile>, at: u64, sequence: u64, next_leaf: u64) -> Batch<'a> {
        Batch {
            state,
            file: Arc::clone(file),
            at,
            sequence,
            builder: Builder::new(file.incarnation, sequence),
            next_leaf,
            effects: Vec::new(),
            ordinals: HashMap::new(),
            touched: HashSet::new(),
            ended: HashSet::new(),
            homes: BTreeSet::new(),
        }
    }

    /// The batch as far as it came.
    pub fn finish(self) -> Built {
        let Batch { builder, effects, next_leaf, homes, .. } = self;
        Built { builder, effects, leaves_end: next_leaf, homes }
    }

    /// Adds a job's frames.
    pub fn job(&mut self, job: Job) {
        match job {
            Job::Piece { ticket, stream, offset, octets } => self.piece(ticket, stream, offset, &octets),
            Job::Commit(commit) => self.commit(*commit),
            Job::Results { id, results, done } => self.results(&id, results, done),
            Job::Leaves { group, done } => self.leaves(&group, done),
            Job::Carry(carry) => self.carry(*carry),
            Job::Abort(id) => {
                // Only a hint: without it the pieces vanish at the next replay all the same.
                self.push(&Frame::Abort(id)).map_or_else(|error| tracing::debug!(%error, "no ABORT"), |_| ());
            }
            // The writer's own.
            Job::Retire | Job::Turn(_) => {}
        }
    }

    /// Adds a result that the states show already.
    pub fn lazy(&mut self, lazy: Lazy) {
        let Lazy { id, result, done } = lazy;
        let Some(facts) = self.facts(&id) else { return };
        let mut resulted = Resulted { id, result, leaf: None, origin: Origin::Lazy(done) };
        match self.result(&id, &facts, &resulted.result) {
            Ok(leaf) => resulted.leaf = leaf,
            Err(error) => {
                tracing::error!(%error, %id, "result not written");
                return;
            }
        }
        self.effects.push(Effect::Resulted(Box::new(resulted)));
    }

    /// Adds the frame that says a file is about to become free.
    pub fn retire(&mut self, ordinal: u64) -> Result<(), Error> {
        self.push(&Frame::Retire(ordinal)).map(|_| ())
    }

    fn push(&mut self, frame: &Frame<'_>) -> Result<Placed, Error> {
        Ok(self.builder.push(&self.file.key, &frame.encode())?)
    }

    fn piece(&mut self, ticket: Ticket, stream: u32, offset: u64, octets: &[u8]) {
        let Some(id) = ticket.id() else { return };
        match self.chunk(id, stream, offset, octets) {
            Ok(chunk) => self.effects.push(Effect::Piece { ticket, stream, chunk }),
            Err(error) => ticket.fail(error),
        }
    }

    fn chunk(&mut self, id: MailId, stream: u32, offset: u64, octets: &[u8]) -> Result<Chunk, Error> {
        let placed = self.push(&Frame::Body(Body { id, stream, offset, octets }))?;
        Ok(Chunk::new(&self.file, self.at, self.sequence, placed, offset, octets.len() as u64))
    }

    fn commit(&mut self, commit: Commit) {
        let mut streams = commit.drafting.take_streams();
        match self.acceptance(&commit, &mut streams) {
            Ok(leaf) => self.accepted(commit, streams, leaf),
            Err(error) => commit.done.give(Err(error)),
        }
    }

    fn acceptance(&mut self, commit: &Commit, streams: &mut Streams) -> Result<Indexed, Error> {
        let id = commit.accept.id;
        for Inline { stream, octets } in &commit.inline {
            let offsets = (0u64..).step_by(PIECE_BYTES_MAX);
            for (offset, piece) in offsets.zip(octets.chunks(PIECE_BYTES_MAX)) {
                streams.add(*stream, self.chunk(id, *stream, offset, piece)?);
            }
        }
        let acceptance = Acceptance {
            id,
            leaf: self.next_leaf,
            mek: commit.mek.expose(),
            record_bytes: commit.record.len() as u64,
            record: (commit.record_place == RecordPlace::InFrame).then_some(commit.record.as_slice()),
        };
        self.push(&Frame::Accept(acceptance))?;
        Ok(self.next(Leaf::accept(&commit.mek, &id, &commit.record).octets().into()))
    }

    fn accepted(&mut self, commit: Commit, streams: Streams, leaf: Indexed) {
        let Commit { accept, record, inline, mek, done, .. } = commit;
        let cached = inline.into_iter().find(|inline| inline.stream == ORIGINAL_STREAM).map(|inline| inline.octets);
        let parts = Parts { streams, kept: Kept::All, blinding: Blinding::Key(mek) };
        let message = Message::new(accept, record.into(), leaf.index, parts, &self.file);
        self.effects.push(Effect::Accepted { message: Box::new(message), leaf: leaf.octets, cached, done });
    }

    fn carry(&mut self, carry: Carry) {
        match self.carried(&carry) {
            Ok(parts) => {
                let (id, home, done) = (carry.drafting.id, Arc::clone(&self.file), carry.done);
                self.effects.push(Effect::Carried { id, home, parts: Box::new(parts), done });
            }
            Err(error) => carry.done.give(Err(error)),
        }
    }

    /// A CARRY holds every result before it, or it is not written.
    fn carried(&mut self, carry: &Carry) -> Result<Parts, Error> {
        let id = carry.drafting.id;
        let outdated = || Error::Unavailable(format!("{id} changed while it was carried"));
        let (former, blinding) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let message = state.message(&id).ok_or(Error::Unknown(id))?;
            if message.changes != carry.changes || message.unlogged > 0 || self.touched.contains(&id) {
                return Err(outdated());
            }
            (message.home.ordinal, carried::blinding(message).ok_or_else(outdated)?)
        };
        let record = (carry.record_place == RecordPlace::InFrame).then_some(carry.record.as_slice());
        self.push(&Frame::Carry(Carrying { id, record_bytes: carry.record.len() as u64, record }))?;
        // This file, and every later one with a result, outlasts the former home.
        self.homes.insert(former);
        let kept = Kept::Only(carry.streams.clone());
        Ok(Parts { streams: carry.drafting.take_streams(), kept, blinding })
    }

    fn results(&mut self, id: &MailId, results: Vec<RecipientResult>, done: Answer<()>) {
        for result in results {
            // Another result may have ended this recipient's delivery while this one was queued.
            if !self.is_open(id, &result) {
                continue;
            }
            let Some(facts) = self.facts(id) else { return done.give(Err(Error::Unknown(*id))) };
            match self.result(id, &facts, &result) {
                Ok(leaf) => {
                    let resulted = Resulted { id: *id, result, leaf, origin: Origin::Waited };
                    self.effects.push(Effect::Resulted(Box::new(resulted)));
                }
                Err(error) => return done.give(Err(error)),
            }
        }
        self.effects.push(Effect::Answer(done));
    }

    fn result(&mut self, id: &MailId, facts: &Facts, result: &RecipientResult) -> Result<Option<Indexed>, Error> {
        self.touched.insert(*id);
        let octets = record::encode(result);
        let terminal = result.outcome.is_terminal();
        let frame = Resulting {
            id: *id,
            accept_index: facts.accept_index,
            leaf: terminal.then_some(self.next_leaf),
            ordinal: facts.ordinal,
            record: &octets,
        };
        let leaf = || facts.blinding.result_leaf(facts.accept_index, facts.ordinal, &octets).ok_or(Error::Unknown(*id));
        let leaf = if terminal { Some(leaf()?) } else { None };
        self.push(&Frame::Result(frame))?;
        if result.outcome.is_lasting() {
            self.homes.insert(facts.home);
        }
        let Some(leaf) = leaf else { return Ok(None) };
        *self.ordinals.entry(*id).or_default() += 1;
        self.ended.insert((*id, result.recipient));
        Ok(Some(self.next(leaf.octets().into())))
    }

    /// One frame, so that a damaged batch gives all of them back or none too.
    fn leaves(&mut self, group: &[u8], done: Answer<u64>) {
        let first = self.next_leaf;
        let pushed = leaf::parse_group(group).ok_or(Error::OutOfBounds("no group of leaves"));
        let pushed = pushed.and_then(|members| {
            self.push(&Frame::Leaves(Leafing { first, group }))?;
            Ok(members)
        });
        match pushed {
            Ok(members) => {
                let leaves = members.into_iter().map(|octets| self.next(octets.into()).octets).collect();
                self.effects.push(Effect::Leaves { first, leaves, done });
            }
            Err(error) => done.give(Err(error)),
        }
    }

    /// Gives a leaf its index.
    fn next(&mut self, octets: Arc<[u8]>) -> Indexed {
        self.next_leaf += 1;
        Indexed { index: self.next_leaf - 1, octets }
    }

    fn facts(&self, id: &MailId) -> Option<Facts> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let message = state.message(id)?;
        let held = &message.held;
        let before = self.ordinals.get(id).copied().unwrap_or_default();
        Some(Facts {
            accept_index: held.accept_index,
            blinding: Arc::clone(&held.blinding),
            ordinal: held.next_ordinal() + before,
            home: message.home.ordinal,
        })
    }

    fn is_open(&self, id: &MailId, result: &RecipientResult) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.message(id).and_then(|message| message.held.state(result.recipient));
        known.is_none_or(|state| takes(state, &result.outcome)) && !self.ended.contains(&(*id, result.recipient))
    }
}
