//! The journal as its users see it. Cheap to clone; the last clone dropped ends the writer thread.

use super::Error;
use super::carrier::Carrier;
use super::draft::Draft;
use super::error::{Answer, Done, Gathered};
use super::header::MAIL_FILES_MAX;
use super::held::Held;
use super::leaf;
use super::leaf::Leaf;
use super::message::Reader;
use super::mirror::Mirror;
use super::queue::{BATCH_JOBS_BYTES_MAX, Job, Lazy, Queue, result_bytes};
use super::record::{Entry, LeafEntry, Outcome, RecipientResult, Sealable, takes};
use super::replay;
use super::replay::{Replay, Replayed, Standing};
use super::ring::{Delivered, Ring};
use super::settings::{Keys, Settings};
use super::spares::Spares;
use super::state::State;
use super::writer::Writer;
use crate::clock::Clock;
use crate::clock::Timestamp;
use crate::durable::Disk;
use crate::durable::Filesystem;
use crate::mail::MailId;
use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

/// Octets of a reply kept in a result; the rest is cut off.
pub const REPLY_BYTES_MAX: usize = 2048;

/// Whether somebody waits for a result to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// It shows at once and is durable soon; a crash before that costs a duplicate, never a loss.
    Lazy,
    /// It shows once it is durable.
    Now,
}

/// What threads and drafts share.
pub struct Shared {
    pub disk: Arc<dyn Disk>,
    /// The same disk, where every file has a twin.
    pub mirror: Option<Arc<Mirror>>,
    /// Remembers deliveries over a kill, where it could be opened.
    pub ring: Option<Ring>,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub file_bytes: u64,
    pub keys: Keys,
    pub queue: Queue,
    pub spares: Spares,
    pub carrier: Carrier,
    pub live: LiveCount,
    pub state: Mutex<State>,
}

/// The live files, as the writer counts them.
#[derive(Default)]
pub struct LiveCount {
    pub files: AtomicUsize,
    pub bytes: AtomicU64,
    /// The least ordinal of a live file; `u64::MAX` when there is none.
    pub oldest: AtomicU64,
}

impl Shared {
    fn is_low_on_space(&self) -> Result<bool, Error> {
        let free = self.disk.free_bytes(&self.settings.dir).map_err(|e| Error::disk("free space", &e))?;
        Ok(free < self.settings.low_space_bytes)
    }

    /// Whether as many files are kept as mail may keep.
    fn keeps_too_much(&self) -> bool {
        let (files, bytes) = (self.live.files.load(Ordering::Relaxed), self.live.bytes.load(Ordering::Relaxed));
        files >= MAIL_FILES_MAX || bytes >= self.settings.kept_bytes
    }

    /// The state, whoever panicked while holding it: every change to it is one step.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The durable queue and the hot tail of the archive.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// Where the journal lies.
struct Places {
    disk: Arc<dyn Disk>,
    mirror: Option<Arc<Mirror>>,
    ring: Option<Ring>,
    settings: Settings,
}

struct Threads {
    shared: Arc<Shared>,
    joins: Mutex<Vec<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in `settings.dir` and replays it. `leaves_before` is the size of the archive's durable log; everything
    /// below `sealed_through` is in durable segments. Damage is reported in `Replay` and declared by GAP leaves.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        keys: Keys,
        leaves_before: u64,
        sealed_through: u64,
    ) -> Result<(Journal, Replay), Error> {
        settings.check()?;
        let hints = Arc::clone(&disk);
        let mirror = settings.mirror.as_ref().map(|twin| Arc::new(Mirror::new(Arc::clone(&disk), &settings.dir, twin)));
        let disk: Arc<dyn Disk> = mirror.as_ref().map_or(disk, |mirror| Arc::clone(mirror) as Arc<dyn Disk>);
        let lock = claim(&*disk, &settings)?;
        let recovered = mirror.as_ref().map_or(Ok(Vec::new()), |mirror| mirror.repair());
        let recovered = recovered.map_err(|e| Error::disk("compare the journal with its mirror", &e))?;
        let standing = Standing { leaves_before, sealed_through };
        let replayed = replay::replay(&*disk, &settings.dir, &keys, standing)?;
        let mut report = Replay { recovered, ..replayed.report.clone() };
        let (ring, left) = open_ring(&*hints, &settings, &keys);
        let places = Places { disk, mirror, ring, settings };
        let journal = Journal::start(places, clock, keys, replayed, lock)?;
        journal.declare(&report.gaps)?;
        report.remembered = journal.remember(left).unwrap_or_else(|error| {
            tracing::warn!(%error, "deliveries before a kill could not be recorded: some may be repeated");
            0
        });
        report.pending = journal.shared.state().messages().filter(|m| m.held.is_pending()).count();
        Ok((journal, report))
    }

    /// Records what a killed predecessor had delivered; how many results that are.
    fn remember(&self, left: Vec<Delivered>) -> Result<usize, Error> {
        let is_open = |one: &Delivered| {
            let state = self.shared.state();
            let known = state.message(&one.id).and_then(|message| message.held.state(one.result.recipient));
            known.is_some_and(|known| takes(known, &one.result.outcome))
        };
        let open: Vec<Delivered> = left.into_iter().filter(is_open).collect();
        let (sender, receiver) = mpsc::channel();
        let count = open.len();
        for Delivered { id, result } in open {
            let sender = sender.clone();
            let tell = move |result| sender.send(result).unwrap_or_else(|e| tracing::debug!(error = %e, "ring"));
            self.record_results(id, vec![result], Sync::Now, Some(Box::new(tell)))?;
        }
        drop(sender);
        receiver.into_iter().collect::<Result<(), Error>>()?;
        Ok(count)
    }

    fn start(
        places: Places,
        clock: Arc<dyn Clock>,
        keys: Keys,
        replayed: Replayed,
        lock: Box<dyn Any + Send>,
    ) -> Result<Journal, Error> {
        let Places { disk, mirror, ring, settings } = places;
        let Replayed { state, files, next_ordinal, next_number, free, .. } = replayed;
        let file_bytes = settings.file_bytes / 4096 * 4096;
        let (spares, low) = (settings.spares, settings.low_space_bytes);
        let spares = Spares::new(&disk, &settings.dir, file_bytes, spares, low, next_number);
        for path in free {
            spares.give_back(&path).unwrap_or_else(|e| tracing::warn!(error = %e, "a free journal file stays unused"));
        }
        let (queue, carrier, state) = (Queue::default(), Carrier::default(), Mutex::new(state));
        let shared = Arc::new(Shared {
            disk,
            mirror,
            ring,
            clock,
            settings,
            file_bytes,
            keys,
            queue,
            spares,
            carrier,
            live: LiveCount::default(),
            state,
        });
        let writer = Writer::new(Arc::clone(&shared), files, next_ordinal);
        let threads = Arc::new(Threads { shared: Arc::clone(&shared), joins: Mutex::default() });
        threads.spawn("journal-writer", move || {
            writer.run();
            drop(lock);
        })?;
        if shared.settings.spares > 0 {
            let shared = Arc::clone(&shared);
            threads.spawn("journal-spares", move || shared.spares.run())?;
        }
        let carrying = Arc::clone(&shared);
        threads.spawn("journal-carrier", move || Carrier::run(&carrying))?;
        Ok(Journal { shared, threads })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn declare(&self, gaps: &[(u64, u64)]) -> Result<(), Error> {
        for (from, until) in gaps {
            let (sender, receiver) = mpsc::channel();
            let tell = move |result| sender.send(result).unwrap_or_else(|e| tracing::debug!(error = %e, "GAP leaf"));
            self.append_leaf(Leaf::gap(*from, *until), Box::new(tell));
            receiver.recv().map_err(|_| Error::closed())??;
        }
        Ok(())
    }

    /// Begins a message. `StorageFull` when space is low or too many files are kept: results, sealing and delivery still go on.
    pub fn draft(&self, id: MailId) -> Result<Draft, Error> {
        if self.shared.is_low_on_space()? {
            let trimmed = self.shared.spares.trim();
            trimmed.unwrap_or_else(|error| tracing::warn!(%error, "free journal files could not be removed"));
            if self.shared.is_low_on_space()? {
                return Err(Error::StorageFull);
            }
        }
        if self.shared.keeps_too_much() {
            tracing::warn!("journal files are kept up to the bound kept_bytes: is sealing or delivery stuck?");
            return Err(Error::StorageFull);
        }
        if self.shared.state().message(&id).is_some() {
            return Err(Error::OutOfBounds("the id is taken"));
        }
        Ok(Draft::new(Arc::clone(&self.shared), id))
    }

    /// Records what happened to recipients. A result for a recipient whose delivery has ended is ignored. `done` is told when
    /// all are durable, or that they are not; an `Err` here comes besides.
    pub fn record_results(
        &self,
        id: MailId,
        results: Vec<RecipientResult>,
        sync: Sync,
        done: Option<Done<()>>,
    ) -> Result<(), Error> {
        if let (Sync::Lazy, Some(ring)) = (sync, &self.shared.ring) {
            let put = results.iter().try_for_each(|result| ring.put(id, result));
            put.unwrap_or_else(
                |error| tracing::warn!(%error, "no ring of deliveries any more: a kill may repeat some"),
            );
        }
        let mut state = self.shared.state();
        let message = state.message_mut(&id).ok_or(Error::Unknown(id))?;
        let mut open = Vec::with_capacity(results.len());
        for mut result in results {
            let known = message.held.state(result.recipient);
            if takes(known.ok_or(Error::OutOfBounds("no such recipient"))?, &result.outcome) {
                clip(&mut result);
                open.push(result);
            }
        }
        let done = done.unwrap_or_else(|| Box::new(|_| {}));
        match sync {
            Sync::Lazy => {
                let mut done = Some(Answer::new(done));
                let count = open.len();
                let lazy = |(n, result): (usize, RecipientResult)| {
                    let done = if n + 1 == count { done.take() } else { None };
                    Lazy { id, result, done }
                };
                let applied = open.clone();
                self.shared.queue.push_lazy(open.into_iter().enumerate().map(lazy).collect())?;
                message.unlogged += count;
                applied.iter().for_each(|result| message.apply(result));
                drop(state);
                done.into_iter().for_each(|done| done.give(Ok(())));
                Ok(())
            }
            Sync::Now => {
                drop(state);
                self.push_results(id, open, done)
            }
        }
    }

    /// In jobs that fit a batch each.
    fn push_results(&self, id: MailId, results: Vec<RecipientResult>, done: Done<()>) -> Result<(), Error> {
        let mut parts = vec![Vec::new()];
        let mut bytes = 0;
        for result in results {
            bytes += result_bytes(&result);
            if bytes > BATCH_JOBS_BYTES_MAX {
                bytes = result_bytes(&result);
                parts.push(Vec::new());
            }
            parts.last_mut().into_iter().for_each(|part| part.push(result.clone()));
        }
        let gathered = Arc::new(Gathered::new(parts.len(), done));
        for results in parts {
            let gathered = Arc::clone(&gathered);
            let done = Answer::new(Box::new(move |result| gathered.settle(result)));
            self.shared.queue.push(Job::Results { id, results, done })?;
        }
        Ok(())
    }

    /// Appends a leaf of another operation; `done` gets its index once it is durable.
    pub fn append_leaf(&self, leaf: Leaf, done: Done<u64>) {
        self.append_leaves(&[leaf], done);
    }
    /// Appends leaves that follow each other, all of them or none whatever happens, at most `GROUP_BYTES_MAX` octets with 2 more for
    /// each; `done` gets the index of the first once they are durable.
    pub fn append_leaves(&self, leaves: &[Leaf], done: Done<u64>) {
        let done = Answer::new(done);
        let Some(group) = leaf::encode_group(leaves) else {
            return done.give(Err(Error::OutOfBounds("no leaves, or more than a frame takes")));
        };
        let pushed = self.shared.queue.push(Job::Leaves { group, done });
        pushed.unwrap_or_else(|error| tracing::debug!(%error, "leaves refused"));
    }

    /// Every leaf below is durable.
    pub fn durable_leaves(&self) -> u64 {
        self.shared.state().leaves_end()
    }
    /// Durable leaves from `from` on, in order, at most `max`. Kept until `sealed` passes them.
    pub fn leaves(&self, from: u64, max: usize) -> Vec<LeafEntry> {
        self.shared.state().leaves(from, max)
    }

    /// A message.
    pub fn entry(&self, id: &MailId) -> Option<Entry> {
        let held = self.shared.state().message(id).map(|m| m.held.clone());
        held.map(|held| held.entry())
    }
    /// All messages that are not both sealed and final, in the order of acceptance.
    pub fn entries(&self) -> Vec<Entry> {
        let mut held: Vec<Held> = self.shared.state().messages().map(|m| m.held.clone()).collect();
        held.sort_unstable_by_key(|held| held.accept_index);
        held.iter().map(Held::entry).collect()
    }
    /// Messages with a recipient to deliver to, in the order of acceptance.
    pub fn pending(&self) -> Vec<Entry> {
        self.pending_ids().iter().filter_map(|id| self.entry(id)).collect()
    }

    /// The same, by id.
    pub fn pending_ids(&self) -> Vec<MailId> {
        let state = self.shared.state();
        let mut pending: Vec<&Held> = state.messages().map(|m| &m.held).filter(|held| held.is_pending()).collect();
        pending.sort_unstable_by_key(|held| held.accept_index);
        pending.into_iter().map(|held| held.id).collect()
    }

    /// The octets as received, checked against the record's hash.
    pub fn octets(&self, id: &MailId) -> Result<Vec<u8>, Error> {
        self.reader(id)?.original()
    }
    /// Whether the octets of a rendition are still in memory, so that reading them waits for no disk.
    pub fn is_in_memory(&self, id: &MailId, rendition: usize) -> bool {
        self.shared.state().is_cached(id, rendition)
    }
    /// Prefix and content of a rendition, checked against its hash: the same octets at every retry.
    pub fn rendition_octets(&self, id: &MailId, rendition: usize) -> Result<Vec<u8>, Error> {
        self.reader(id)?.rendition(rendition)
    }
    /// All that is kept of a message.
    #[cfg(test)]
    pub(super) fn held(&self, id: &MailId) -> Option<Held> {
        self.shared.state().message(id).map(|m| m.held.clone())
    }
    /// The file a message lives in.
    #[cfg(test)]
    pub(super) fn home_of(&self, id: &MailId) -> Option<Arc<super::file::JournalFile>> {
        self.shared.state().message(id).map(|message| Arc::clone(&message.home))
    }
    /// The record with which it would be carried.
    #[cfg(test)]
    pub(super) fn carried(&self, id: &MailId) -> Option<Vec<u8>> {
        let carried = self.shared.state().message(id).and_then(super::carried::Carried::of);
        carried.map(|carried| super::record::encode(&carried))
    }
    /// Whether the octets as received are in memory.
    #[cfg(test)]
    pub(super) fn is_cached(&self, id: &MailId) -> bool {
        self.reader(id).is_ok_and(|reader| reader.cached.is_some())
    }
    fn reader(&self, id: &MailId) -> Result<Reader, Error> {
        self.shared.state().reader(id).ok_or(Error::Unknown(*id))
    }

    /// What a seal pass up to `through` takes.
    pub fn sealable(&self, through: u64) -> Sealable {
        self.shared.state().sealable(through)
    }
    /// Everything below `through` is in durable segments and durable log tiles: releases memory at once, files in the background.
    pub fn sealed(&self, through: u64) -> Result<(), Error> {
        self.shared.state().sealed(through);
        self.shared.queue.push(Job::Retire)
    }
    /// Everything below is sealed.
    pub fn sealed_through(&self) -> u64 {
        self.shared.state().sealed_through()
    }
    /// Octets of messages not yet sealed.
    pub fn unsealed_bytes(&self) -> u64 {
        self.shared.state().unsealed_bytes()
    }
    /// When the oldest message not yet sealed was accepted.
    pub fn oldest_unsealed(&self) -> Option<Timestamp> {
        self.shared.state().oldest_unsealed()
    }

    /// Finishes what is queued and ends the threads. Other clones answer `Unavailable` from then on.
    pub fn close(self) {
        self.threads.end();
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({})", self.shared.settings.dir.display())
    }
}

impl Threads {
    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        let join = spawned.map_err(|e| Error::disk("start journal thread", &e))?;
        self.joins.lock().unwrap_or_else(PoisonError::into_inner).push(join);
        Ok(())
    }

    fn end(&self) {
        self.shared.queue.close();
        self.shared.spares.close();
        self.shared.carrier.close();
        let joins = std::mem::take(&mut *self.joins.lock().unwrap_or_else(PoisonError::into_inner));
        // A `Done` may hold the last clone: the writer cannot wait for itself.
        let own = std::thread::current().id();
        for join in joins.into_iter().filter(|join| join.thread().id() != own) {
            if join.join().is_err() {
                tracing::error!("a journal thread panicked");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end();
    }
}

/// Without a ring a kill costs a few duplicates, nothing else.
fn open_ring(disk: &dyn Disk, settings: &Settings, keys: &Keys) -> (Option<Ring>, Vec<Delivered>) {
    match Ring::open(disk, &settings.dir, &keys.host) {
        Ok((ring, left)) => (Some(ring), left),
        Err(error) => {
            tracing::warn!(%error, "no ring of deliveries: a kill may repeat some");
            (None, Vec::new())
        }
    }
}

/// Makes the directory and takes its lock, on a file system that keeps what it syncs.
fn claim(disk: &dyn Disk, settings: &Settings) -> Result<Box<dyn Any + Send>, Error> {
    let failed = |e: io::Error| Error::disk("open journal directory", &e);
    disk.create_dir(&settings.dir).map_err(failed)?;
    match disk.filesystem(&settings.dir).map_err(failed)? {
        Filesystem::Volatile(kind) if !settings.danger_volatile_filesystem => {
            return Err(Error::Volatile(kind.to_owned()));
        }
        Filesystem::Volatile(kind) | Filesystem::Doubtful(kind) => {
            tracing::warn!(kind, dir = %settings.dir.display(), "journal lies on a doubtful file system");
        }
        Filesystem::Durable => {}
    }
    disk.lock(&settings.dir).map_err(|e| if e.kind() == io::ErrorKind::WouldBlock { Error::Locked } else { failed(e) })
}

/// Bounds what strangers put into a result.
fn clip(result: &mut RecipientResult) {
    let clip = |text: &mut String| text.truncate(text.floor_char_boundary(REPLY_BYTES_MAX));
    clip(&mut result.next_hop);
    match &mut result.outcome {
        Outcome::Delivered { reply } | Outcome::Deferred { reply, .. } => clip(reply),
        Outcome::Failed { status, reply } => {
            clip(status);
            clip(reply);
        }
        Outcome::Parked { reason, .. } | Outcome::Dropped { reason } => clip(reason),
        Outcome::Archived | Outcome::Released { .. } | Outcome::Warned => {}
    }
}
