//! A message in the journal's memory: its record, its states, and where its octets lie. Never its octets.

use super::Error;
use super::file;
use super::file::{JournalFile, Streams};
use super::frame::RECORD_STREAM;
use super::record;
use super::record::{Accept, Content, Entry, RecipientResult};
use crate::crypto::Secret;
use crate::crypto::Sha256;
use crate::crypto::sha256;
use std::sync::Arc;

/// The stream of the octets as received.
pub const ORIGINAL_STREAM: u32 = 0;

/// One accepted message.
pub struct Message {
    pub entry: Entry,
    pub streams: Streams,
    /// Holds the ACCEPT frame.
    pub home: Arc<JournalFile>,
    /// Results that show in the states and are not durable yet.
    pub unlogged: usize,
    /// Pieces are missing.
    pub health: Health,
}

/// Whether all pieces of a message are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Whole,
    Damaged,
}

impl Message {
    /// A message just accepted, nothing delivered yet.
    pub fn new(
        accept: Accept,
        accept_octets: Arc<[u8]>,
        accept_index: u64,
        mek: Secret<32>,
        mut streams: Streams,
        home: &Arc<JournalFile>,
    ) -> Message {
        streams.remove(&RECORD_STREAM);
        let entry = Entry {
            states: Arc::new(record::initial_states(&accept)),
            accept: Arc::new(accept),
            accept_octets,
            accept_index,
            results: Arc::new(Vec::new()),
            mek: Arc::new(mek),
        };
        Message { entry, streams, home: Arc::clone(home), unlogged: 0, health: Health::Whole }
    }

    /// Shows a result in the states.
    pub fn apply(&mut self, result: &RecipientResult) {
        let states = Arc::make_mut(&mut self.entry.states);
        if let Some(state) = usize::try_from(result.recipient).ok().and_then(|at| states.get_mut(at)) {
            record::apply(state, result);
        }
    }

    /// No recipient is pending and every result is durable.
    pub fn is_final(&self) -> bool {
        self.unlogged == 0 && !self.entry.is_pending()
    }

    /// The index behind the last leaf about this message.
    pub fn leaves_end(&self) -> u64 {
        self.entry.results.last().map_or(self.entry.accept_index, |(leaf, _)| *leaf) + 1
    }

    /// Whether every stream the record speaks of is there without a hole.
    pub fn is_complete(&self) -> bool {
        let accept = &self.entry.accept;
        let own = accept.renditions.iter().filter_map(|r| match r.content {
            Content::Original => None,
            Content::Own(stream) => Some((stream, r.bytes.checked_sub(r.prefix.len() as u64))),
        });
        let mut wanted = std::iter::once((ORIGINAL_STREAM, Some(accept.body_bytes))).chain(own);
        wanted.all(|(stream, bytes)| bytes.is_some_and(|bytes| file::is_complete(&self.streams, stream, bytes)))
    }
}

/// What reading a message's octets needs, taken out of the lock.
pub struct Reader {
    pub accept: Arc<Accept>,
    pub streams: Streams,
    /// The octets as received, when they are still in memory.
    pub cached: Option<Arc<[u8]>>,
}

impl Reader {
    /// The octets as received, checked against the record's hash.
    pub fn original(&self) -> Result<Vec<u8>, Error> {
        let octets = match &self.cached {
            Some(cached) => cached.to_vec(),
            None => file::read_stream(&self.streams, &self.accept.id, ORIGINAL_STREAM)?,
        };
        if sha256(&octets) != self.accept.body_sha256 {
            return Err(Error::Damaged(self.accept.id, "the octets do not have the recorded hash".to_owned()));
        }
        Ok(octets)
    }

    /// Prefix and content of a rendition, checked against its hash.
    pub fn rendition(&self, number: usize) -> Result<Vec<u8>, Error> {
        let rendition = self.accept.renditions.get(number).ok_or(Error::OutOfBounds("no such rendition"))?;
        let content = match rendition.content {
            Content::Original => self.original()?,
            Content::Own(stream) => file::read_stream(&self.streams, &self.accept.id, stream)?,
        };
        let octets = [rendition.prefix.as_slice(), &content].concat();
        let mut hasher = Sha256::new();
        hasher.update(&octets);
        if hasher.finish() != rendition.sha256 {
            return Err(Error::Damaged(self.accept.id, "a rendition does not have the recorded hash".to_owned()));
        }
        Ok(octets)
    }
}
