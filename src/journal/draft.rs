//! A message being received: in memory while small, streamed into the journal beyond. Dropping it forgets it.

use super::Error;
use super::error::{Answer, Done};
use super::file::Chunk;
use super::frame::{PIECE_BYTES_MAX, RECORD_BYTES_MAX, RECORD_STREAM};
use super::journal::Shared;
use super::message::ORIGINAL_STREAM;
use super::queue::{Commit, Inline, Job, Queue, RecordPlace};
use super::record;
use super::record::{Accept, Content, Rendition};
use super::streams::Streams;
use crate::clock::Timestamp;
use crate::crypto::Digest;
use crate::crypto::Sha256;
use crate::crypto::random;
use crate::mail::Client;
use crate::mail::Envelope;
use crate::mail::MailId;
use crate::mail::Reported;
use crate::mail::Retention;
use crate::mail::retention::is_class_name;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Octets of a message kept in memory until it is committed; a longer one is streamed.
pub const DRAFT_MEMORY_BYTES: usize = 256 * 1024;
/// Pieces of one draft that may wait for the disk; its sender waits with more.
const PIECES_IN_FLIGHT_MAX: usize = 4;
/// Octets of own renditions and record that may come along with the ACCEPT; else they are streamed first.
const INLINE_BYTES_MAX: usize = 384 * 1024;
/// Streams that may come along with the ACCEPT.
const INLINE_STREAMS_MAX: usize = 64;

/// What the commit adds to the octets.
#[derive(Clone, Debug)]
pub struct AcceptDraft {
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// MAIL and all RCPTs.
    pub envelope: Envelope,
    /// Who handed it over.
    pub client: Client,
    /// CBOR of the ruling; opaque here.
    pub ruling: Vec<u8>,
    /// How long it is kept.
    pub retention: Retention,
    /// What is delivered to whom.
    pub renditions: Vec<RenditionDraft>,
    /// What it states as a journal report.
    pub reported: Option<Reported>,
}

/// One form of the message as it will leave.
#[derive(Clone, Debug)]
pub struct RenditionDraft {
    /// Indices into `envelope.recipients`.
    pub recipients: Vec<u32>,
    /// Our block on top.
    pub prefix: Vec<u8>,
    /// What follows the prefix; `None`: the octets as received.
    pub content: Option<Vec<u8>>,
}

/// A message being received. Finished by `commit`; dropped, it never was.
#[must_use = "a draft that is not committed is forgotten"]
pub struct Draft {
    shared: Arc<Shared>,
    drafting: Arc<Drafting>,
    /// Octets not yet streamed.
    buffer: Vec<u8>,
    streamed: u64,
    hasher: Sha256,
    dated_at: Option<Timestamp>,
}

impl Draft {
    pub(super) fn new(shared: Arc<Shared>, id: MailId) -> Draft {
        let drafting = Drafting::begin(id);
        Draft { shared, drafting, buffer: Vec::new(), streamed: 0, hasher: Sha256::new(), dated_at: None }
    }

    /// The id it will be accepted under.
    pub fn id(&self) -> MailId {
        self.drafting.id
    }
    /// Octets so far.
    pub fn bytes(&self) -> u64 {
        self.streamed + self.buffer.len() as u64
    }
    /// SHA-256 of the octets so far.
    pub fn sha256(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Gives the message a date of its own.
    pub fn date(&mut self, at: Timestamp) {
        self.dated_at = Some(at);
    }

    /// Adds received octets. Waits for the disk when a large message arrives faster than it writes.
    pub fn append(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.hasher.update(octets);
        self.buffer.extend_from_slice(octets);
        if self.streamed == 0 && self.buffer.len() <= DRAFT_MEMORY_BYTES {
            return Ok(());
        }
        let whole = self.buffer.len() / PIECE_BYTES_MAX * PIECE_BYTES_MAX;
        let rest = self.buffer.split_off(whole);
        let pieces = std::mem::replace(&mut self.buffer, rest);
        self.stream_original(&pieces)
    }

    /// The octets so far, for the ruling and rendering.
    pub fn octets(&self) -> Result<Vec<u8>, Error> {
        let streams = self.drafting.wait_until_settled()?;
        let mut octets = streams.read(&self.drafting.id, ORIGINAL_STREAM)?;
        octets.extend_from_slice(&self.buffer);
        Ok(octets)
    }

    /// Accepts the message. `done` gets its id once everything is durable; before that nobody may be told. Large messages and
    /// renditions wait here for the disk.
    pub fn commit(mut self, accept: AcceptDraft, done: Done<MailId>) {
        match self.prepare(accept) {
            Ok(prepared) => self.push_commit(prepared, done),
            Err(error) => done(Err(error)),
        }
    }

    fn push_commit(self, prepared: Prepared, done: Done<MailId>) {
        let Prepared { accept, inline, record } = prepared;
        let place = if record.len() > PIECE_BYTES_MAX { RecordPlace::Streamed } else { RecordPlace::InFrame };
        // One key, one message in one archive unit; its blinds hide what the leaves commit to.
        let mek = random::hedged("message key", &[self.drafting.id.octets(), &accept.body_sha256]);
        let mek = match mek {
            Ok(mek) => mek,
            Err(error) => return done(Err(error.into())),
        };
        let drafting = Arc::clone(&self.drafting);
        drafting.lock().fate = Fate::Queued;
        let done = Answer::new(done);
        let commit = Commit { drafting, accept, record, inline, mek, record_place: place, done };
        if let Err(error) = self.shared.queue.push(Job::Commit(Box::new(commit))) {
            tracing::debug!(%error, "commit refused");
        }
    }

    /// Makes the record and sees to it that everything that does not fit beside it is streamed.
    fn prepare(&mut self, draft: AcceptDraft) -> Result<Prepared, Error> {
        let hashes = self.rendition_hashes(&draft.renditions)?;
        let (body_bytes, body_sha256) = (self.bytes(), self.sha256());
        let (renditions, mut contents) = split(draft.renditions, hashes, body_bytes)?;
        let mut accept = Accept {
            id: self.drafting.id,
            accepted_at: draft.accepted_at,
            envelope: draft.envelope,
            client: draft.client,
            body_bytes,
            body_sha256,
            ruling: draft.ruling,
            class: draft.retention.class,
            renditions,
            reported: draft.reported,
            keep_until: draft.retention.keep_until,
            protected_until: draft.retention.protected_until,
            dated_at: self.dated_at,
        };
        check(&accept)?;
        trim(&mut accept);
        let record = record::encode(&accept);
        if record.len() as u64 > RECORD_BYTES_MAX {
            return Err(Error::OutOfBounds("the record of acceptance is longer than 16 MiB"));
        }
        contents.insert(0, Inline { stream: ORIGINAL_STREAM, octets: std::mem::take(&mut self.buffer).into() });
        if record.len() > PIECE_BYTES_MAX {
            contents.push(Inline { stream: RECORD_STREAM, octets: record.as_slice().into() });
        }
        let inline = self.place_streams(contents, record.len())?;
        Ok(Prepared { accept, inline, record })
    }

    /// Gives back the contents if they all fit beside the ACCEPT; else streams them.
    fn place_streams(&mut self, contents: Vec<Inline>, record_bytes: usize) -> Result<Vec<Inline>, Error> {
        let total: usize = contents.iter().map(|c| c.octets.len()).sum();
        let fits = total + record_bytes <= INLINE_BYTES_MAX && contents.len() <= INLINE_STREAMS_MAX;
        if fits && self.streamed == 0 {
            return Ok(contents);
        }
        for Inline { stream, octets } in contents {
            if stream == ORIGINAL_STREAM {
                self.stream_original(&octets)?;
            } else {
                self.drafting.stream(&self.shared.queue, stream, 0, &octets)?;
            }
        }
        // The ACCEPT may overtake pieces in the queue, so they must be durable before it is queued.
        self.drafting.wait_until_settled().map(|_| Vec::new())
    }

    fn stream_original(&mut self, octets: &[u8]) -> Result<(), Error> {
        self.drafting.stream(&self.shared.queue, ORIGINAL_STREAM, self.streamed, octets)?;
        self.streamed += octets.len() as u64;
        Ok(())
    }

    /// SHA-256 of every rendition, in one pass over the octets as received. A thousand hidden recipients get a thousand renditions
    /// that are alike: those are hashed once.
    fn rendition_hashes(&self, renditions: &[RenditionDraft]) -> Result<Vec<Digest>, Error> {
        let mut originals: BTreeMap<&[u8], Sha256> = BTreeMap::new();
        for rendition in renditions.iter().filter(|r| r.content.is_none()) {
            originals.entry(&rendition.prefix).or_insert_with(|| begun(&rendition.prefix));
        }
        let mut feed = |octets: &[u8]| originals.values_mut().for_each(|hasher| hasher.update(octets));
        let streams = self.drafting.wait_until_settled()?;
        let mut piece = Vec::new();
        for chunk in streams.of(ORIGINAL_STREAM) {
            piece.clear();
            chunk.read(&self.drafting.id, ORIGINAL_STREAM, &mut piece)?;
            feed(&piece);
        }
        feed(&self.buffer);
        let whole = |rendition: &RenditionDraft| match &rendition.content {
            None => originals.get(rendition.prefix.as_slice()).cloned(),
            Some(content) => {
                let mut hasher = begun(&rendition.prefix);
                hasher.update(content);
                Some(hasher)
            }
        };
        let hash = |rendition| whole(rendition).map(Sha256::finish).ok_or(Error::OutOfBounds("renditions"));
        renditions.iter().map(hash).collect()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let streamed = self.streamed > 0 || !self.drafting.lock().streams.is_empty();
        if streamed && self.drafting.lock().fate == Fate::Open {
            // Without the ABORT the pieces vanish just as well at the next replay.
            self.shared
                .queue
                .push(Job::Abort(self.drafting.id))
                .unwrap_or_else(|e| tracing::debug!(error = %e, "no ABORT"));
        }
    }
}

/// A message ready to be queued.
struct Prepared {
    accept: Accept,
    inline: Vec<Inline>,
    record: Vec<u8>,
}

/// Splits rendition drafts into records and the streams of their own contents.
fn split(
    drafts: Vec<RenditionDraft>,
    hashes: Vec<Digest>,
    body_bytes: u64,
) -> Result<(Vec<Rendition>, Vec<Inline>), Error> {
    let (mut renditions, mut contents) = (Vec::new(), Vec::new());
    for (draft, sha256) in drafts.into_iter().zip(hashes) {
        let content_bytes = draft.content.as_ref().map_or(body_bytes, |c| c.len() as u64);
        let bytes = draft.prefix.len() as u64 + content_bytes;
        let content = match draft.content {
            None => Content::Original,
            Some(octets) => {
                let stream = u32::try_from(contents.len() + 1).map_err(|_| Error::OutOfBounds("renditions"))?;
                contents.push(Inline { stream, octets: octets.into() });
                Content::Own(stream)
            }
        };
        renditions.push(Rendition { recipients: draft.recipients, prefix: draft.prefix, content, sha256, bytes });
    }
    Ok((renditions, contents))
}

fn begun(prefix: &[u8]) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(prefix);
    hasher
}

/// A record stays in memory until its message is delivered and sealed: it holds no room for more.
fn trim(accept: &mut Accept) {
    accept.envelope.recipients.shrink_to_fit();
    accept.ruling.shrink_to_fit();
    accept.renditions.shrink_to_fit();
    for rendition in &mut accept.renditions {
        rendition.recipients.shrink_to_fit();
        rendition.prefix.shrink_to_fit();
    }
}

/// A recipient belongs to one rendition at most and must exist.
pub(super) fn check(accept: &Accept) -> Result<(), Error> {
    let mut taken = vec![false; accept.envelope.recipients.len()];
    for recipient in accept.renditions.iter().flat_map(|r| &r.recipients) {
        let slot = usize::try_from(*recipient).ok().and_then(|at| taken.get_mut(at));
        let slot = slot.ok_or(Error::OutOfBounds("a rendition names a recipient that is not there"))?;
        if std::mem::replace(slot, true) {
            return Err(Error::OutOfBounds("two renditions for one recipient"));
        }
    }
    if !is_class_name(&accept.class) {
        // It would stand in the way of every seal pass.
        return Err(Error::OutOfBounds("no name of a class"));
    }
    Ok(())
}

/// The part of a draft that the writer shares.
pub struct Drafting {
    pub id: MailId,
    progress: Mutex<Progress>,
    settled: Condvar,
}

#[derive(Default)]
struct Progress {
    streams: Streams,
    in_flight: usize,
    failed: Option<Error>,
    fate: Fate,
}

/// Whether dropping the draft means forgetting the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Open,
    Queued,
}

/// A piece on its way to the disk. Forgotten, it fails the draft, so that no sender waits for ever.
pub struct Ticket(Option<Arc<Drafting>>);

impl Ticket {
    /// The message the piece belongs to.
    pub fn id(&self) -> Option<MailId> {
        self.0.as_ref().map(|d| d.id)
    }
    /// The piece is durable.
    pub fn done(mut self, stream: u32, chunk: Chunk) {
        let Some(drafting) = self.0.take() else { return };
        let mut progress = drafting.lock();
        progress.streams.add(stream, chunk);
        progress.in_flight -= 1;
        drafting.settled.notify_all();
    }
    /// The piece is lost, and the draft with it.
    pub fn fail(mut self, error: Error) {
        self.settle(error);
    }
    fn settle(&mut self, error: Error) {
        let Some(drafting) = self.0.take() else { return };
        let mut progress = drafting.lock();
        progress.in_flight -= 1;
        progress.failed.get_or_insert(error);
        drafting.settled.notify_all();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Error::closed());
    }
}

impl Drafting {
    /// Nothing streamed yet.
    pub fn begin(id: MailId) -> Arc<Drafting> {
        Arc::new(Drafting { id, progress: Mutex::default(), settled: Condvar::new() })
    }

    /// Queues octets of a stream in pieces; waits while too many of them wait for the disk.
    pub fn stream(self: &Arc<Self>, queue: &Queue, stream: u32, mut offset: u64, octets: &[u8]) -> Result<(), Error> {
        for piece in octets.chunks(PIECE_BYTES_MAX) {
            self.start_piece()?;
            let ticket = Ticket(Some(Arc::clone(self)));
            queue.push(Job::Piece { ticket, stream, offset, octets: piece.to_vec() })?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// All streamed pieces, handed over to the message.
    pub fn take_streams(&self) -> Streams {
        std::mem::take(&mut self.lock().streams)
    }

    fn start_piece(&self) -> Result<(), Error> {
        let mut progress = self.wait_while(|p| p.in_flight >= PIECES_IN_FLIGHT_MAX)?;
        progress.in_flight += 1;
        Ok(())
    }
    /// All streamed pieces, once they are durable.
    pub fn wait_until_settled(&self) -> Result<Streams, Error> {
        Ok(self.wait_while(|p| p.in_flight > 0)?.streams.clone())
    }
    fn wait_while(&self, busy: impl Fn(&Progress) -> bool) -> Result<MutexGuard<'_, Progress>, Error> {
        let mut progress = self.lock();
        while busy(&progress) && progress.failed.is_none() {
            progress = self.settled.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
        progress.failed.clone().map_or(Ok(progress), Err)
    }
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
