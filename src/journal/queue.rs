//! What waits for the writer: urgent work, pieces of large messages, results nobody waits for. Bounded, and never reorders
//! within a lane.

use super::Error;
use super::batch::BATCH_BYTES_MAX;
use super::draft::{Drafting, Ticket};
use super::error::Answer;
use super::record::{Accept, RecipientResult};
use crate::crypto::Secret;
use crate::mail::MailId;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Jobs in a lane; whoever brings more waits.
pub const LANE_JOBS_MAX: usize = 4096;
/// Results that nobody waits for; beyond it they are refused.
pub const LAZY_RESULTS_MAX: usize = 100_000;
/// Octets of frames the jobs of one batch may make, by their own estimate.
pub const BATCH_JOBS_BYTES_MAX: usize = BATCH_BYTES_MAX - 8192;
/// How long a lazy result, and the proof that the last batch was synced, may wait for company.
pub const LAZY_DELAY: Duration = Duration::from_millis(200);
/// Octets a frame adds to its content, and a record to a piece.
pub const FRAME_OVERHEAD_BYTES: usize = 256;

/// A message to be accepted.
pub struct Commit {
    pub drafting: Arc<Drafting>,
    pub accept: Accept,
    pub record: Vec<u8>,
    /// Streams whose octets come along instead of having been streamed.
    pub inline: Vec<Inline>,
    pub mek: Secret<32>,
    /// Whether the record is a stream too, being too long for a frame.
    pub record_place: RecordPlace,
    pub done: Answer<MailId>,
}

/// A message to be carried; its streams are durable already.
pub struct Carry {
    pub drafting: Arc<Drafting>,
    /// The message's changes when the record was made: with another one the CARRY is given up.
    pub changes: u64,
    /// The streams the record names.
    pub streams: Vec<u32>,
    /// The CBOR of the record.
    pub record: Zeroizing<Vec<u8>>,
    pub record_place: RecordPlace,
    pub done: Answer<()>,
}

/// A stream that comes along with its ACCEPT.
pub struct Inline {
    pub stream: u32,
    pub octets: Arc<[u8]>,
}

/// Where a record of acceptance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPlace {
    InFrame,
    Streamed,
}

/// Work for the writer.
pub enum Job {
    /// A piece of a large message.
    Piece { ticket: Ticket, stream: u32, offset: u64, octets: Vec<u8> },
    /// A message to be accepted.
    Commit(Box<Commit>),
    /// Results somebody waits for.
    Results { id: MailId, results: Vec<RecipientResult>, done: Answer<()> },
    /// Leaves of another operation, in the form of `leaf::encode_group`.
    Leaves { group: Vec<u8>, done: Answer<u64> },
    /// A message moves to the file being written.
    Carry(Box<Carry>),
    /// The pieces of a message mean nothing.
    Abort(MailId),
    /// Files may have become free.
    Retire,
    /// Nothing more is written to the file being written; the answer is the ordinal of the newest file that was.
    Turn(Answer<u64>),
}

/// A result nobody waits for; its message shows it already.
pub struct Lazy {
    pub id: MailId,
    pub result: RecipientResult,
    pub done: Option<Answer<()>>,
}

impl Job {
    /// Answers without having done it.
    pub fn refuse(self, error: &Error) {
        match self {
            Job::Piece { ticket, .. } => ticket.fail(error.clone()),
            Job::Commit(commit) => commit.done.give(Err(error.clone())),
            Job::Results { done, .. } => done.give(Err(error.clone())),
            Job::Leaves { done, .. } => done.give(Err(error.clone())),
            Job::Carry(carry) => carry.done.give(Err(error.clone())),
            Job::Turn(done) => done.give(Err(error.clone())),
            Job::Abort(_) | Job::Retire => {}
        }
    }

    /// At least the octets its frames will take.
    pub fn bytes(&self) -> usize {
        match self {
            Job::Piece { octets, .. } => octets.len() + FRAME_OVERHEAD_BYTES,
            Job::Commit(commit) => commit.bytes(),
            Job::Carry(carry) if carry.record_place == RecordPlace::InFrame => {
                carry.record.len() + FRAME_OVERHEAD_BYTES
            }
            Job::Carry(_) => FRAME_OVERHEAD_BYTES,
            Job::Results { results, .. } => results.iter().map(result_bytes).sum(),
            Job::Leaves { group, .. } => group.len() + FRAME_OVERHEAD_BYTES,
            Job::Abort(_) | Job::Retire | Job::Turn(_) => FRAME_OVERHEAD_BYTES,
        }
    }
}

impl Commit {
    fn bytes(&self) -> usize {
        let pieces =
            |octets: &[u8]| octets.len() + FRAME_OVERHEAD_BYTES * (1 + octets.len() / super::frame::PIECE_BYTES_MAX);
        let inline: usize = self.inline.iter().map(|inline| pieces(&inline.octets)).sum();
        let record = if self.record_place == RecordPlace::InFrame { self.record.len() } else { 0 };
        inline + record + FRAME_OVERHEAD_BYTES
    }
}

/// At least the octets the frame of a result takes.
pub fn result_bytes(result: &RecipientResult) -> usize {
    super::record::encode(result).len() + FRAME_OVERHEAD_BYTES
}

/// What the writer gets.
pub enum Taken {
    /// Work for one batch, the lazy results to stand before the jobs; both empty when only the delay has passed.
    Work(Vec<Job>, Vec<Lazy>),
    /// Nothing is left and nothing will come.
    Closed,
}

#[derive(Default)]
struct Lanes {
    urgent: VecDeque<Job>,
    bulk: VecDeque<Job>,
    lazy: VecDeque<Lazy>,
    gate: Gate,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    Closed,
}

/// The writer's queue.
#[derive(Default)]
pub struct Queue {
    lanes: Mutex<Lanes>,
    work: Condvar,
    room: Condvar,
}

impl Queue {
    /// Queues a job, waiting for room. A job that comes too late answers `Unavailable` by being dropped.
    pub fn push(&self, job: Job) -> Result<(), Error> {
        let mut lanes = self.lock();
        loop {
            if lanes.gate == Gate::Closed {
                return Err(Error::closed());
            }
            let lane = lanes.lane(&job);
            if lane.len() < LANE_JOBS_MAX {
                lane.push_back(job);
                self.work.notify_one();
                return Ok(());
            }
            lanes = self.room.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Queues results nobody waits for.
    pub fn push_lazy(&self, results: Vec<Lazy>) -> Result<(), Error> {
        let mut lanes = self.lock();
        if lanes.gate == Gate::Closed {
            return Err(Error::closed());
        }
        if lanes.lazy.len() + results.len() > LAZY_RESULTS_MAX {
            return Err(Error::Unavailable("too many results wait for the disk".to_owned()));
        }
        lanes.lazy.extend(results);
        self.work.notify_one();
        Ok(())
    }

    /// Puts lazy results back in front after a failed batch.
    pub fn return_lazy(&self, results: Vec<Lazy>) {
        let mut lanes = self.lock();
        for lazy in results.into_iter().rev() {
            lanes.lazy.push_front(lazy);
        }
    }

    /// The work of one batch. Waits for urgent or bulk work, at most until `idle_at`, and at most `lazy_delay` when lazy results
    /// wait.
    pub fn take(&self, idle_at: Option<Instant>, lazy_delay: Duration) -> Taken {
        let mut lanes = self.lock();
        let mut until = idle_at;
        loop {
            if !lanes.urgent.is_empty() || !lanes.bulk.is_empty() {
                break;
            }
            if lanes.gate == Gate::Closed {
                return if lanes.lazy.is_empty() { Taken::Closed } else { self.gather(&mut lanes) };
            }
            if until.is_none() && !lanes.lazy.is_empty() {
                until = Some(Instant::now() + lazy_delay);
            }
            lanes = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.work.wait(lanes).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(left) => self.work.wait_timeout(lanes, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
        self.gather(&mut lanes)
    }

    fn gather(&self, lanes: &mut Lanes) -> Taken {
        let mut room = BATCH_JOBS_BYTES_MAX;
        let (mut jobs, mut lazy) = (Vec::new(), Vec::new());
        if lanes.lazy_comes_first() {
            fill(&mut lanes.lazy, &mut lazy, &mut room, |l| result_bytes(&l.result));
            if !lanes.lazy.is_empty() {
                return Taken::Work(jobs, lazy);
            }
        }
        fill(&mut lanes.urgent, &mut jobs, &mut room, Job::bytes);
        fill(&mut lanes.bulk, &mut jobs, &mut room, Job::bytes);
        fill(&mut lanes.lazy, &mut lazy, &mut room, |l| result_bytes(&l.result));
        self.room.notify_all();
        Taken::Work(jobs, lazy)
    }

    /// Whether no more work comes.
    pub fn is_closed(&self) -> bool {
        self.lock().gate == Gate::Closed
    }

    /// Refuses further work. What is queued is still done.
    pub fn close(&self) {
        self.lock().gate = Gate::Closed;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Refuses further work and forgets what is queued, which answers `Unavailable`.
    pub fn abandon(&self) {
        self.close();
        let forgotten = std::mem::take(&mut *self.lock());
        self.close();
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    /// Whether a message has results in both lanes: those nobody waits for came first, and a replay must see them first.
    fn lazy_comes_first(&self) -> bool {
        let awaited = self.urgent.iter().filter_map(|job| match job {
            Job::Results { id, .. } => Some(*id),
            _ => None,
        });
        let awaited: HashSet<MailId> = if self.lazy.is_empty() { HashSet::new() } else { awaited.collect() };
        !awaited.is_empty() && self.lazy.iter().any(|lazy| awaited.contains(&lazy.id))
    }

    /// Pieces and carried messages yield to everything else, so that a huge upload does not delay small mail.
    fn lane(&mut self, job: &Job) -> &mut VecDeque<Job> {
        if matches!(job, Job::Piece { .. } | Job::Carry(_) | Job::Abort(_)) { &mut self.bulk } else { &mut self.urgent }
    }
}

/// Moves what fits. The first of a batch always does: should a job break its bound, the writer refuses it instead of stalling.
fn fill<T>(from: &mut VecDeque<T>, into: &mut Vec<T>, room: &mut usize, bytes: impl Fn(&T) -> usize) {
    while let Some(next) = from.front().map(&bytes) {
        if next > *room && *room < BATCH_JOBS_BYTES_MAX {
            return;
        }
        *room = room.saturating_sub(next);
        into.extend(from.pop_front());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(bytes: usize) -> Job {
        Job::Leaves { group: vec![0; bytes], done: Answer::new(Box::new(|_| {})) }
    }

    fn work(taken: Taken) -> (usize, usize) {
        match taken {
            Taken::Work(jobs, lazy) => (jobs.len(), lazy.len()),
            Taken::Closed => panic!("closed"),
        }
    }

    #[test]
    fn a_batch_holds_what_fits_and_the_rest_waits() {
        let queue = Queue::default();
        let each = BATCH_JOBS_BYTES_MAX / 2 - FRAME_OVERHEAD_BYTES;
        for _ in 0..3 {
            queue.push(leaf(each)).expect("open");
        }
        assert_eq!(work(queue.take(None, LAZY_DELAY)), (2, 0));
        assert_eq!(work(queue.take(None, LAZY_DELAY)), (1, 0));
        assert_eq!(work(queue.take(Some(Instant::now()), LAZY_DELAY)), (0, 0));
    }

    #[test]
    fn a_closed_queue_finishes_its_work_and_takes_no_more() {
        let queue = Queue::default();
        queue.push(leaf(1)).expect("open");
        queue.close();
        assert!(queue.push(leaf(1)).is_err());
        assert!(queue.push_lazy(vec![]).is_err());
        assert_eq!(work(queue.take(None, LAZY_DELAY)), (1, 0));
        assert!(matches!(queue.take(None, LAZY_DELAY), Taken::Closed));
    }

    #[test]
    fn abandoned_work_is_refused() {
        let queue = Queue::default();
        let (sender, receiver) = std::sync::mpsc::channel();
        let done = Answer::new(Box::new(move |r| sender.send(r).expect("send")));
        queue.push(Job::Leaves { group: vec![1], done }).expect("open");
        queue.abandon();
        assert_eq!(receiver.recv(), Ok(Err(Error::closed())));
        assert!(queue.push(leaf(1)).is_err());
    }
}
