//! A message in the journal's memory: its record, its states, and where its octets lie. Never its octets.

use super::Error;
use super::blinding::Blinding;
use super::file::JournalFile;
use super::held::Held;
use super::queue::{FRAME_OVERHEAD_BYTES, result_bytes};
use super::record;
use super::record::{Accept, Content, RecipientResult, RecipientState};
use super::streams::Streams;
use crate::crypto::Sha256;
use crate::crypto::sha256;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The stream of the octets as received.
pub const ORIGINAL_STREAM: u32 = 0;
/// Octets of a state and a blind in a CARRY, besides what the state quotes.
const STATE_BYTES: usize = 96;

/// One accepted message.
pub struct Message {
    pub held: Held,
    /// Its pieces; those of a long record too, for a replay reads them and their files must stay.
    pub streams: Streams,
    /// Which streams are here.
    pub kept: Kept,
    /// Holds the ACCEPT frame, or the last CARRY.
    pub home: Arc<JournalFile>,
    /// Results that show in the states and are not durable yet.
    pub unlogged: usize,
    /// Grows with every change of states or results: what was read before may be out of date.
    pub changes: u64,
    /// Pieces are missing.
    pub health: Health,
}

/// Whether all pieces of a message are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Whole,
    Damaged,
}

/// Which streams of a message the journal has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All that the record speaks of.
    All,
    /// What was carried; the octets as received may be in the archive alone.
    Only(Vec<u32>),
}

impl Kept {
    fn has(&self, stream: u32) -> bool {
        match self {
            Kept::All => true,
            Kept::Only(streams) => streams.contains(&stream),
        }
    }
}

/// What a home gives its message.
pub struct Parts {
    pub streams: Streams,
    pub kept: Kept,
    pub blinding: Blinding,
}

impl Message {
    /// A message as its record has it, nothing delivered yet.
    pub fn new(
        accept: Accept,
        accept_octets: Arc<[u8]>,
        accept_index: u64,
        parts: Parts,
        home: &Arc<JournalFile>,
    ) -> Message {
        let Parts { streams, kept, blinding } = parts;
        let held = Held::new(accept, accept_octets, accept_index, blinding);
        let home = Arc::clone(home);
        Message { held, streams, kept, home, unlogged: 0, changes: 0, health: Health::Whole }
    }

    /// Moves to another home, where its CARRY is durable.
    pub fn move_to(&mut self, home: Arc<JournalFile>, parts: Parts) {
        let Parts { streams, kept, blinding } = parts;
        (self.home, self.streams, self.kept) = (home, streams, kept);
        self.held.blinding = Arc::new(blinding);
    }

    /// Shows a result in the states.
    pub fn apply(&mut self, result: &RecipientResult) {
        self.changes += 1;
        let states = Arc::make_mut(&mut self.held.states);
        if let Some(state) = usize::try_from(result.recipient).ok().and_then(|at| states.get_mut(at)) {
            record::apply(state, result);
        }
    }

    /// No recipient is pending and every result is durable.
    pub fn is_final(&self) -> bool {
        self.unlogged == 0 && !self.held.is_pending()
    }

    /// The index behind the last leaf about this message.
    pub fn leaves_end(&self) -> u64 {
        self.held.results.last().map_or(self.held.accept_index, |(leaf, _)| *leaf) + 1
    }

    /// Whether every stream that should be here is here without a hole.
    pub fn is_complete(&self) -> bool {
        let is_whole = |(stream, bytes): (u32, Option<u64>)| bytes.is_some_and(|b| self.streams.is_complete(stream, b));
        stream_lengths(&self.held.accept()).filter(|(stream, _)| self.kept.has(*stream)).all(is_whole)
    }

    /// Whether a stream is here without a hole.
    pub fn has_whole(&self, stream: u32) -> bool {
        let bytes =
            stream_lengths(&self.held.accept()).find(|(number, _)| *number == stream).and_then(|(_, bytes)| bytes);
        bytes.is_some_and(|bytes| self.streams.is_complete(stream, bytes))
    }

    /// The streams that open renditions need, and the octets as received while a recipient is parked.
    pub fn needed_streams(&self) -> Vec<u32> {
        let is_open = |recipient: &u32| self.held.state(*recipient).is_some_and(RecipientState::is_pending);
        let accept = self.held.accept();
        let open = accept.renditions.iter().filter(|r| r.recipients.iter().any(is_open));
        let mut needed: BTreeSet<u32> = open.map(|r| r.content.stream()).collect();
        if self.held.states.iter().any(|state| matches!(state, RecipientState::Parked { .. })) {
            needed.insert(ORIGINAL_STREAM);
        }
        needed.into_iter().collect()
    }

    /// Whether a CARRY may move it: still open, whole, all leaves sealed and all results durable.
    pub fn can_be_carried(&self, sealed_through: u64) -> bool {
        let settled = self.unlogged == 0 && self.leaves_end() <= sealed_through;
        settled && self.held.is_pending() && self.health == Health::Whole
    }

    /// Octets a CARRY writes, about.
    pub fn carried_bytes(&self) -> u64 {
        let chunks = self.needed_streams().into_iter().flat_map(|stream| self.streams.of(stream));
        let pieces: usize = chunks.map(|chunk| chunk.bytes + FRAME_OVERHEAD_BYTES).sum();
        let results: usize = self.held.results.iter().map(|(_, result)| result_bytes(result)).sum();
        let states = self.held.states.len() * STATE_BYTES + self.held.states.iter().map(said).sum::<usize>();
        (pieces + results + states + self.held.accept_octets.len() + FRAME_OVERHEAD_BYTES) as u64
    }

    /// The ordinals of the files it has a frame in.
    pub fn files(&self) -> BTreeSet<u64> {
        let chunks = self.streams.chunks().map(|chunk| chunk.file.ordinal);
        chunks.chain([self.home.ordinal]).collect()
    }
}

/// The streams a record speaks of, and their lengths; `None` for one that contradicts it.
fn stream_lengths(accept: &Accept) -> impl Iterator<Item = (u32, Option<u64>)> {
    let own = accept.renditions.iter().filter_map(|r| match r.content {
        Content::Original => None,
        Content::Own(stream) => Some((stream, r.bytes.checked_sub(r.prefix.len() as u64))),
    });
    std::iter::once((ORIGINAL_STREAM, Some(accept.body_bytes))).chain(own)
}

/// Octets of what an open state quotes.
fn said(state: &RecipientState) -> usize {
    match state {
        RecipientState::Pending { last_reply: text, .. } | RecipientState::Parked { reason: text, .. } => text.len(),
        _ => 0,
    }
}

/// What reading a message's octets needs, taken out of the lock.
pub struct Reader {
    pub held: Held,
    pub streams: Streams,
    pub kept: Kept,
    /// The octets as received, when they are still in memory.
    pub cached: Option<Arc<[u8]>>,
}

impl Reader {
    /// The octets as received, checked against the record's hash.
    pub fn original(&self) -> Result<Vec<u8>, Error> {
        let octets = self.received()?;
        if sha256(&octets) != self.held.accept().body_sha256 {
            return Err(Error::Damaged(self.held.id, "the octets do not have the recorded hash".to_owned()));
        }
        Ok(octets)
    }

    /// The octets as received, for somebody who checks them.
    fn received(&self) -> Result<Vec<u8>, Error> {
        self.cached.as_ref().map_or_else(|| self.stream(ORIGINAL_STREAM), |cached| Ok(cached.to_vec()))
    }

    fn stream(&self, stream: u32) -> Result<Vec<u8>, Error> {
        if !self.kept.has(stream) {
            return Err(Error::NotKept(self.held.id));
        }
        self.streams.read(&self.held.id, stream)
    }

    /// Prefix and content of a rendition, checked against its hash.
    pub fn rendition(&self, number: usize) -> Result<Vec<u8>, Error> {
        let accept = self.held.accept();
        let rendition = accept.renditions.get(number).ok_or(Error::OutOfBounds("no such rendition"))?;
        let content = match rendition.content {
            // Prefix and octets have a hash together.
            Content::Original => self.received()?,
            Content::Own(stream) => self.stream(stream)?,
        };
        let octets = [rendition.prefix.as_slice(), &content].concat();
        let mut hasher = Sha256::new();
        hasher.update(&octets);
        if hasher.finish() != rendition.sha256 {
            return Err(Error::Damaged(self.held.id, "a rendition does not have the recorded hash".to_owned()));
        }
        Ok(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::crypto::Secret;

    #[test]
    fn octets_without_the_recorded_hash_are_damaged() {
        for (octets, is_whole) in [(&b"body"[..], true), (b"Body", false), (b"bod", false)] {
            let accept = fixtures::accept(1, 1);
            let record = record::encode(&accept).into();
            let held = Held::new(accept, record, 0, Blinding::Key(Secret::new([1; 32])));
            let cached = Some(octets.into());
            let reader = Reader { held, streams: Streams::default(), kept: Kept::All, cached };
            assert_eq!(reader.original().ok(), is_whole.then(|| octets.to_vec()));
            assert_eq!(reader.rendition(0).ok(), is_whole.then(|| [b"Received: x\r\n", octets].concat()));
        }
    }
}
