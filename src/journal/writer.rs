//! The writer thread: one batch in flight, one write and one sync for all who wait. Never writes to a file that failed once.

use super::Error;
use super::batch::{BATCH_BYTES_MAX, BLOCK_BYTES, HEAD_BYTES};
use super::build::{Batch, Built};
use super::carrier::Candidate;
use super::file;
use super::file::JournalFile;
use super::header::{HEADER_BYTES, Header, LIVE_FILES_MAX, Live};
use super::journal::Shared;
use super::queue::{BATCH_JOBS_BYTES_MAX, FRAME_OVERHEAD_BYTES, Job, LAZY_DELAY, Lazy, Taken};
use crate::crypto::Digest;
use crate::crypto::sha256;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long lazy results wait before another file is tried after none could be opened.
const TROUBLED_DELAY: Duration = Duration::from_secs(2);

/// What must be sealed and freed before a live file may go.
pub struct LiveFile {
    pub file: Arc<JournalFile>,
    /// The index behind the last leaf in it.
    pub leaves_end: u64,
    /// Ordinals of the homes of the lasting results in it.
    pub homes: BTreeSet<u64>,
    /// The last batch that counts.
    pub last_sequence: u64,
    pub condition: Condition,
}

/// Whether a file may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Sound,
    /// A write or sync failed: after that no later sync of it proves anything.
    Poisoned,
}

/// The file being written.
struct Current {
    file: Arc<JournalFile>,
    at: u64,
    sequence: u64,
    chain: Digest,
    /// When a beat is due that proves the last batch was synced.
    beat_at: Option<Instant>,
}

/// Owns all files.
pub struct Writer {
    shared: Arc<Shared>,
    files: BTreeMap<u64, LiveFile>,
    next_ordinal: u64,
    current: Option<Current>,
    lazy_delay: Duration,
}

/// However the thread ends, nobody waits for it any more.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.queue.abandon();
        self.0.spares.close();
        self.0.carrier.close();
    }
}

impl Writer {
    /// Over the live files of a replay. A file of its own is opened by the first batch.
    pub fn new(shared: Arc<Shared>, files: BTreeMap<u64, LiveFile>, next_ordinal: u64) -> Writer {
        let writer = Writer { shared, files, next_ordinal, current: None, lazy_delay: LAZY_DELAY };
        writer.count();
        writer
    }

    /// Works until the queue is closed and empty.
    pub fn run(mut self) {
        let farewell = Farewell(Arc::clone(&self.shared));
        let mut last_chance = true;
        loop {
            let idle_at = self.current.as_ref().and_then(|c| c.beat_at);
            match farewell.0.queue.take(idle_at, self.lazy_delay) {
                Taken::Work(jobs, lazy) => self.turn(jobs, lazy),
                Taken::Closed => break,
            }
            if farewell.0.queue.is_closed() && self.current.is_none() {
                // Lazy results are worth one more file, not an endless end.
                if !std::mem::take(&mut last_chance) {
                    break;
                }
            }
        }
        self.beat();
    }

    fn turn(&mut self, mut jobs: Vec<Job>, lazy: Vec<Lazy>) {
        let before = jobs.len();
        jobs.retain(|job| !matches!(job, Job::Retire));
        let retire = before > jobs.len();
        let (turns, jobs): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| matches!(job, Job::Turn(_)));
        let turned = !turns.is_empty();
        if !jobs.is_empty() || !lazy.is_empty() {
            self.commit(jobs, lazy);
        } else if !retire && !turned {
            self.beat();
        }
        if turned {
            self.turn_over(turns);
        }
        if retire {
            self.retire();
            self.shared.carrier.offer(self.candidates());
        }
    }

    /// Leaves the file being written; what comes next opens another one.
    fn turn_over(&mut self, turns: Vec<Job>) {
        self.beat();
        self.current = None;
        for turn in turns {
            if let Job::Turn(done) = turn {
                done.give(Ok(self.next_ordinal - 1));
            }
        }
    }

    /// One batch for everything that waits.
    fn commit(&mut self, jobs: Vec<Job>, lazy: Vec<Lazy>) {
        let bytes: usize = jobs.iter().map(Job::bytes).sum();
        let bytes = bytes + lazy.iter().map(|l| super::queue::result_bytes(&l.result)).sum::<usize>();
        if let Err(error) = self.make_room(bytes) {
            tracing::error!(%error, "no journal file can be opened");
            self.lazy_delay = TROUBLED_DELAY;
            jobs.into_iter().for_each(|job| job.refuse(&error));
            return self.shared.queue.return_lazy(lazy);
        }
        self.lazy_delay = LAZY_DELAY;
        let next_leaf = self.shared.state().leaves_end();
        let shared = Arc::clone(&self.shared);
        let Some(mut batch) = self.batch(&shared, next_leaf) else { return };
        lazy.into_iter().for_each(|lazy| batch.lazy(lazy));
        jobs.into_iter().for_each(|job| batch.job(job));
        self.settle(batch.finish(), next_leaf);
    }

    fn batch<'a>(&self, shared: &'a Shared, next_leaf: u64) -> Option<Batch<'a>> {
        let current = self.current.as_ref()?;
        Some(Batch::new(&shared.state, &current.file, current.at, current.sequence, next_leaf))
    }

    /// Writes a batch, then lets its effects happen; or tells everyone that they did not.
    fn settle(&mut self, built: Built, first_leaf: u64) {
        let Built { builder, effects, leaves_end, homes } = built;
        if let Err(error) = self.write(builder.total_bytes(), |c| builder.finish(c.file.ordinal, first_leaf, c.chain)) {
            let lazy = effects.into_iter().filter_map(|effect| effect.fail(&error)).collect();
            return self.shared.queue.return_lazy(lazy);
        }
        // Durable from here: after a crash replay gives all of this batch.
        if let Some(live) = self.current.as_ref().and_then(|c| self.files.get_mut(&c.file.ordinal)) {
            live.leaves_end = live.leaves_end.max(leaves_end);
            live.homes.extend(homes);
        }
        let mut state = self.shared.state();
        let told: Vec<_> = effects.into_iter().map(|effect| effect.apply(&mut state)).collect();
        drop(state);
        told.into_iter().for_each(super::effect::Told::tell);
    }

    /// The one place that writes batches: a failure poisons the file.
    fn write(&mut self, bytes: usize, batch: impl FnOnce(&Current) -> Vec<u8>) -> Result<(), Error> {
        let mut current = self.current.take().ok_or_else(|| Error::Unavailable("no journal file".to_owned()))?;
        if bytes > BATCH_BYTES_MAX || current.at + bytes as u64 > current.file.batches_end() {
            self.current = Some(current);
            return Err(Error::OutOfBounds("a batch is longer than its jobs said"));
        }
        let octets = batch(&current);
        let live = self.files.get_mut(&current.file.ordinal);
        // crash point journal-5: a batch is written; crash point journal-6: synced.
        if let Err(error) = current.file.write(current.at, &octets) {
            tracing::error!(%error, file = %current.file.path.display(), "journal file is poisoned");
            live.into_iter().for_each(|l| l.condition = Condition::Poisoned);
            return Err(Error::Unavailable(format!("write {}: {error}", current.file.path.display())));
        }
        live.into_iter().for_each(|l| l.last_sequence = current.sequence);
        current.at += octets.len() as u64;
        current.sequence += 1;
        current.chain = sha256(&octets);
        current.beat_at = Some(Instant::now() + LAZY_DELAY);
        self.current = Some(current);
        Ok(())
    }

    /// Says that the last batch was synced, so that damage to it cannot pass for a torn write.
    fn beat(&mut self) {
        if self.current.as_ref().is_none_or(|c| c.beat_at.is_none()) || self.is_full(0) {
            self.current.iter_mut().for_each(|c| c.beat_at = None);
            return;
        }
        let next_leaf = self.shared.state().leaves_end();
        let shared = Arc::clone(&self.shared);
        if let Some(batch) = self.batch(&shared, next_leaf) {
            self.settle(batch.finish(), next_leaf);
        }
        self.current.iter_mut().for_each(|c| c.beat_at = None);
    }

    /// Whether the current file has no room for frames of `bytes` octets.
    fn is_full(&self, bytes: usize) -> bool {
        let batch = (HEAD_BYTES + bytes).next_multiple_of(BLOCK_BYTES) as u64;
        self.current.as_ref().is_none_or(|c| c.at + batch > c.file.batches_end())
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        if !self.is_full(bytes) {
            return Ok(());
        }
        // A beat in the old file is not needed: the new header says where it ends.
        self.current = None;
        if self.files.len() >= LIVE_FILES_MAX {
            return Err(Error::StorageFull);
        }
        let path = self.shared.spares.take().map_err(|e| Error::disk("make journal file", &e))?;
        self.open(&path).inspect_err(|_| self.give_up(&path))
    }

    fn open(&mut self, path: &Path) -> Result<(), Error> {
        let shared = &self.shared;
        let ordinal = self.next_ordinal;
        // An ordinal is used up even when the activation fails: its header may be on the disk.
        self.next_ordinal += 1;
        let counts = |(ordinal, live): (&u64, &LiveFile)| Live { ordinal: *ordinal, last_sequence: live.last_sequence };
        let live = self.files.iter().map(counts).collect();
        let next_leaf = shared.state().leaves_end();
        let (header, key) =
            Header::create(&shared.keys, ordinal, next_leaf, shared.clock.now(), live, shared.file_bytes)?;
        let file = JournalFile::activate(&*shared.disk, path, &header, key);
        let file = Arc::new(file.map_err(|e| Error::disk("write journal header", &e))?);
        let chain = file.header_digest;
        let live = LiveFile {
            file: Arc::clone(&file),
            leaves_end: 0,
            homes: BTreeSet::new(),
            last_sequence: 0,
            condition: Condition::Sound,
        };
        self.files.insert(ordinal, live);
        self.count();
        self.current = Some(Current { file, at: HEADER_BYTES as u64, sequence: 1, chain, beat_at: None });
        Ok(())
    }

    /// Tells how much is kept, which decides about new mail.
    fn count(&self) {
        let bytes = self.files.values().map(|live| live.file.bytes).sum();
        let oldest = self.files.first_key_value().map_or(u64::MAX, |(ordinal, _)| *ordinal);
        self.shared.live.oldest.store(oldest, Ordering::Release);
        self.shared.live.files.store(self.files.len(), Ordering::Relaxed);
        self.shared.live.bytes.store(bytes, Ordering::Relaxed);
    }

    /// A file whose activation failed is never touched again but for its name.
    fn give_up(&self, path: &Path) {
        let removed = self.shared.disk.remove(path).and_then(|()| self.shared.disk.sync_dir(&self.shared.settings.dir));
        removed.unwrap_or_else(|error| tracing::warn!(%error, "left a journal file that could not be activated"));
    }

    /// Frees the files nobody needs, oldest first; the order keeps ACCEPTs from outliving their RESULTs.
    fn retire(&mut self) {
        let freeable = self.freeable();
        if freeable.is_empty() || self.make_room(FRAME_OVERHEAD_BYTES * freeable.len()).is_err() {
            return;
        }
        let next_leaf = self.shared.state().leaves_end();
        let shared = Arc::clone(&self.shared);
        let Some(mut batch) = self.batch(&shared, next_leaf) else { return };
        let pushed = freeable.iter().try_for_each(|ordinal| batch.retire(*ordinal));
        let built = batch.finish();
        let written = pushed.and_then(|()| {
            self.write(built.builder.total_bytes(), |c| built.builder.finish(c.file.ordinal, next_leaf, c.chain))
        });
        if written.is_err() {
            return;
        }
        // Durable from here: replay will not miss these files.
        for ordinal in freeable {
            let freed = self.free(ordinal);
            self.count();
            if let Err(error) = freed {
                tracing::error!(%error, ordinal, "journal file cannot be freed");
                return;
            }
        }
    }

    fn freeable(&self) -> Vec<u64> {
        let sealed_through = self.shared.state().sealed_through();
        let current = self.current.as_ref().map(|c| c.file.ordinal);
        let mut free: BTreeSet<u64> = BTreeSet::new();
        for (ordinal, live) in &self.files {
            let is_live = |home: &u64| home != ordinal && self.files.contains_key(home) && !free.contains(home);
            // The table's own is the only reference left: no message, draft or reader needs a frame of it.
            let unused = Arc::strong_count(&live.file) == 1 && Some(*ordinal) != current;
            if unused && live.leaves_end <= sealed_through && !live.homes.iter().any(is_live) {
                free.insert(*ordinal);
            }
        }
        free.into_iter().take(BATCH_JOBS_BYTES_MAX / FRAME_OVERHEAD_BYTES).collect()
    }

    /// Files that are sealed and not written any more, yet cannot go.
    fn candidates(&self) -> Vec<Candidate> {
        let sealed_through = self.shared.state().sealed_through();
        let current = self.current.as_ref().map(|c| c.file.ordinal);
        let sealed = self.files.values().filter(|live| live.leaves_end <= sealed_through);
        let candidates = sealed.map(|live| Candidate { ordinal: live.file.ordinal, bytes: live.file.bytes });
        candidates.filter(|candidate| Some(candidate.ordinal) != current).collect()
    }

    fn free(&mut self, ordinal: u64) -> std::io::Result<()> {
        let Some(live) = self.files.get(&ordinal) else { return Ok(()) };
        let (path, condition) = (live.file.path.clone(), live.condition);
        if condition == Condition::Poisoned {
            // Not even zeros are written to it.
            self.shared.disk.remove(&path)?;
            self.shared.disk.sync_dir(&self.shared.settings.dir)?;
            self.files.remove(&ordinal);
            return Ok(());
        }
        if let Err(error) = file::wipe(&*self.shared.disk, &path) {
            // The next attempt removes it.
            self.files.get_mut(&ordinal).into_iter().for_each(|live| live.condition = Condition::Poisoned);
            return Err(error);
        }
        self.files.remove(&ordinal);
        if self.shared.mirror.as_ref().is_some_and(|mirror| mirror.is_halved(&path)) {
            // A new file has both sides again, if it can be made.
            self.shared.disk.remove(&path)?;
            return self.shared.disk.sync_dir(&self.shared.settings.dir);
        }
        self.shared.spares.give_back(&path)
    }
}
