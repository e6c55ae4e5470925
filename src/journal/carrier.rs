//! Carrying: what is still pending in an old file is copied to the file being written, so that the old one can go. Reads here, in
//! the background; only the writer writes. Rules: docs/journal-format.md section 5a.

use super::Error;
use super::carried::{CARRIED_BYTES_MAX, Carried};
use super::draft::Drafting;
use super::error::Answer;
use super::frame::{PIECE_BYTES_MAX, RECORD_STREAM};
use super::journal::Shared;
use super::message::Health;
use super::queue::{Carry, Job, RecordPlace};
use super::record;
use super::state::State;
use super::streams::Streams;
use crate::mail::MailId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use zeroize::Zeroizing;

/// A file is worth carrying from when less than one part in so many of it is still needed.
const NEEDED_PARTS: u64 = 4;
/// Messages carried together.
const GROUP_MESSAGES_MAX: usize = 64;
/// Octets carried together, unless one message alone has more.
const GROUP_BYTES_MAX: u64 = 1024 * 1024;

/// A file that is sealed and not being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub ordinal: u64,
    /// Octets of the file.
    pub bytes: u64,
}

/// The post between the writer, who knows the files, and the thread that carries.
#[derive(Default)]
pub struct Carrier {
    offer: Mutex<Offer>,
    changed: Condvar,
    /// Files up to this ordinal are to go, however much of them is needed.
    evicted: AtomicU64,
}

#[derive(Default)]
enum Offer {
    #[default]
    Nothing,
    Files(Vec<Candidate>),
    Closed,
}

impl Carrier {
    /// Names the files that might be carried from; replaces what was offered before.
    pub fn offer(&self, files: Vec<Candidate>) {
        let mut offer = self.lock();
        if !matches!(*offer, Offer::Closed) {
            *offer = Offer::Files(files);
            self.changed.notify_all();
        }
    }

    /// Carries all that is needed of files up to this ordinal.
    pub fn evict(&self, ordinal: u64) {
        self.evicted.fetch_max(ordinal, Ordering::Relaxed);
    }

    /// Ends `run`.
    pub fn close(&self) {
        *self.lock() = Offer::Closed;
        self.changed.notify_all();
    }

    /// Carries from one file at a time until closed: the body of the background thread.
    pub fn run(shared: &Shared) {
        while let Some(files) = shared.carrier.next() {
            match carry_one_file(shared, &files) {
                // What is free now is retired, and that offers the rest again.
                Ok(Carrying::Done) => {
                    shared.queue.push(Job::Retire).unwrap_or_else(|e| tracing::debug!(error = %e, "end"))
                }
                Ok(Carrying::NothingWorthIt) => {}
                Err(error) => tracing::info!(%error, "a journal file is kept for the mail pending in it"),
            }
        }
    }

    fn next(&self) -> Option<Vec<Candidate>> {
        let mut offer = self.lock();
        loop {
            match std::mem::take(&mut *offer) {
                Offer::Files(files) => return Some(files),
                Offer::Closed => {
                    *offer = Offer::Closed;
                    return None;
                }
                Offer::Nothing => offer = self.changed.wait(offer).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Offer> {
        self.offer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Carrying {
    Done,
    NothingWorthIt,
}

fn carry_one_file(shared: &Shared, files: &[Candidate]) -> Result<Carrying, Error> {
    let plan = plan(&shared.state(), files, shared.carrier.evicted.load(Ordering::Relaxed));
    let Some(mut messages) = plan else { return Ok(Carrying::NothingWorthIt) };
    if !is_roomy(shared)? {
        return Ok(Carrying::NothingWorthIt);
    }
    while !messages.is_empty() {
        let rest = messages.split_off(group_end(&messages));
        carry(shared, &messages)?;
        messages = rest;
    }
    Ok(Carrying::Done)
}

/// How many messages go together: as many as share a few syncs, and not more octets than may lie in memory.
fn group_end(messages: &[(MailId, u64)]) -> usize {
    let mut bytes = 0u64;
    let fits = |(_, more): &&(MailId, u64)| {
        bytes = bytes.saturating_add(*more);
        bytes <= GROUP_BYTES_MAX
    };
    messages.iter().take(GROUP_MESSAGES_MAX).take_while(fits).count().max(1)
}

/// Whether another file may be made without taking room that results may need.
fn is_roomy(shared: &Shared) -> Result<bool, Error> {
    let free = shared.disk.free_bytes(&shared.settings.dir).map_err(|e| Error::disk("free space", &e))?;
    Ok(free >= shared.settings.low_space_bytes.saturating_add(shared.file_bytes))
}

/// Whether all messages in a file can be carried now.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Outlook {
    #[default]
    Free,
    Stuck,
}

/// What is needed of a candidate.
#[derive(Default)]
struct Needed {
    bytes: u64,
    messages: Vec<(MailId, u64)>,
    outlook: Outlook,
}

/// The messages of the oldest candidate of which little enough is needed, or that is to go, and all of that can be carried.
fn plan(state: &State, files: &[Candidate], evicted: u64) -> Option<Vec<(MailId, u64)>> {
    if files.is_empty() {
        return None;
    }
    let mut needed: BTreeMap<u64, (u64, Needed)> =
        files.iter().map(|file| (file.ordinal, (file.bytes, Needed::default()))).collect();
    let sealed_through = state.sealed_through();
    for message in state.messages() {
        for ordinal in message.files() {
            let Some((_, needed)) = needed.get_mut(&ordinal) else { continue };
            if message.can_be_carried(sealed_through) {
                needed.bytes += message.carried_bytes();
                needed.messages.push((message.held.id, message.carried_bytes()));
            } else {
                needed.outlook = Outlook::Stuck;
            }
        }
    }
    let is_worth_it = |(ordinal, (bytes, needed)): &(u64, (u64, Needed))| {
        let is_little = needed.bytes.saturating_mul(NEEDED_PARTS) < *bytes || *ordinal <= evicted;
        !needed.messages.is_empty() && needed.outlook == Outlook::Free && is_little
    };
    needed.into_iter().find(is_worth_it).map(|(_, (_, needed))| needed.messages)
}

/// Copies a group of messages; returns when their CARRYs are durable.
fn carry(shared: &Shared, messages: &[(MailId, u64)]) -> Result<(), Error> {
    let copied = messages.iter().filter_map(|(id, _)| copy(shared, id).transpose());
    let copied: Vec<Copied> = copied.collect::<Result<_, _>>()?;
    let mut answers = Vec::with_capacity(copied.len());
    for Copied { drafting, record, streams, changes, record_place } in copied {
        // No piece may be missing when the CARRY says that they are there.
        drafting.wait_until_settled()?;
        let (sender, receiver) = mpsc::channel();
        let tell = move |result| sender.send(result).unwrap_or_else(|e| tracing::debug!(error = %e, "CARRY"));
        let done = Answer::new(Box::new(tell));
        shared.queue.push(Job::Carry(Box::new(Carry { drafting, changes, streams, record, record_place, done })))?;
        answers.push(receiver);
    }
    answers.into_iter().try_for_each(|answer| answer.recv().map_err(|_| Error::closed())?)
}

/// A message whose pieces are on their way.
struct Copied {
    drafting: Arc<Drafting>,
    record: Zeroizing<Vec<u8>>,
    streams: Vec<u32>,
    changes: u64,
    record_place: RecordPlace,
}

/// Queues the pieces of a message; `None` when it has ended meanwhile.
fn copy(shared: &Shared, id: &MailId) -> Result<Option<Copied>, Error> {
    let snapshot = snapshot(&shared.state(), id);
    let Some((carried, streams, changes)) = snapshot else { return Ok(None) };
    let record = Zeroizing::new(record::encode(&carried));
    if record.len() as u64 > CARRIED_BYTES_MAX {
        return Err(Error::OutOfBounds("the record of a message to be carried is longer than 32 MiB"));
    }
    // What an earlier attempt left in files still live must not mix with this one.
    shared.queue.push(Job::Abort(*id))?;
    let drafting = Drafting::begin(*id);
    copy_streams(shared, &drafting, carried.streams(), &streams).inspect_err(|error| {
        if matches!(error, Error::Damaged(..)) {
            tracing::error!(%error, "not carried");
            shared.state().message_mut(id).into_iter().for_each(|message| message.health = Health::Damaged);
        }
    })?;
    let record_place = if record.len() > PIECE_BYTES_MAX { RecordPlace::Streamed } else { RecordPlace::InFrame };
    if record_place == RecordPlace::Streamed {
        drafting.stream(&shared.queue, RECORD_STREAM, 0, &record)?;
    }
    Ok(Some(Copied { drafting, record, streams: carried.streams().to_vec(), changes, record_place }))
}

fn snapshot(state: &State, id: &MailId) -> Option<(Carried, Streams, u64)> {
    let message = state.message(id).filter(|message| message.can_be_carried(state.sealed_through()))?;
    Some((Carried::of(message)?, message.streams.clone(), message.changes))
}

fn copy_streams(shared: &Shared, drafting: &Arc<Drafting>, wanted: &[u32], streams: &Streams) -> Result<(), Error> {
    let mut piece = Vec::new();
    for stream in wanted {
        for chunk in streams.of(*stream) {
            piece.clear();
            chunk.read(&drafting.id, *stream, &mut piece)?;
            drafting.stream(&shared.queue, *stream, chunk.offset, &piece)?;
        }
    }
    Ok(())
}
