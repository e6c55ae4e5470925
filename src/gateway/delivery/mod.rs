//! Step 6, deliver: takes accepted messages to their next hops until every recipient is final. Never renders and needs no key:
//! what it sends was durable before the 250.
//!
//! `agenda` says what is due, `connection` speaks with a next hop, `settle` turns replies into results, `bounce` tells senders.

mod agenda;
mod bounce;
mod connection;
pub mod dsn;
mod settle;

pub use connection::credentials;

use super::ending::{stopping, until};
use super::observe::Event;
use super::post::{AcceptedIds, Post, is_large};
use crate::clock::Timestamp;
use crate::journal::{Entry, Outcome, RecipientResult, RecipientState, Sync};
use crate::mail::MailId;
use agenda::{Agenda, Job, Workers};
use connection::{Connection, Surroundings, Unreachable};
use settle::Fate;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How long a connection without work is kept for the next message.
const IDLE: Duration = Duration::from_secs(5);
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// How long a message rests whose sender could not be told of a failure, or whose attempt panicked.
const STORE_AGAIN_S: i64 = 60;

/// Whether all results were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Yes,
    No,
}

/// All deliveries of a running gateway.
pub struct Delivery {
    post: Arc<Post>,
    agenda: Mutex<Agenda>,
    /// Per route: open connections that nobody uses, newest last.
    idle: Vec<Mutex<Vec<(Connection, Instant)>>>,
    surroundings: Surroundings,
    /// The agenda has changed in a way the timer must see.
    changed: Notify,
    /// Present while a worker runs; `drained` waits for the last to go.
    working: watch::Sender<usize>,
    closing: watch::Receiver<bool>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Delivery(..)")
    }
}

impl Delivery {
    /// Ready to run; routes are those of the configuration now.
    pub fn new(post: Arc<Post>, closing: watch::Receiver<bool>) -> Arc<Delivery> {
        let config = post.config();
        Arc::new(Delivery {
            agenda: Mutex::new(Agenda::new(config.route.iter().map(|route| route.connections))),
            idle: config.route.iter().map(|_| Mutex::default()).collect(),
            surroundings: Surroundings::default(),
            changed: Notify::new(),
            working: watch::channel(0).0,
            closing,
            post,
        })
    }

    /// Delivers what the journal holds and what is accepted from now on, until `closing`.
    pub async fn run(self: Arc<Self>, mut accepted: AcceptedIds) {
        for entry in self.post.journal().pending() {
            self.enqueue(&entry);
        }
        loop {
            let due = self.advance();
            let now = self.post.now();
            let until_due = due.map_or(SWEEP, |due| Duration::from_millis((due.ms() - now.ms()).max(1).unsigned_abs()));
            tokio::select! {
                () = stopping(&self.closing) => return,
                id = accepted.recv() => match id.and_then(|id| self.post.journal().entry(&id)) {
                    Some(entry) => self.enqueue(&entry),
                    None => tokio::task::yield_now().await,
                },
                () = self.changed.notified() => {}
                () = tokio::time::sleep(until_due.min(SWEEP)) => self.sweep(),
            }
        }
    }

    /// Waits until no transaction is under way.
    pub async fn drained(&self) {
        until(&self.working, |working| *working == 0).await;
    }

    /// Makes deferred mail due now: these messages, or all. Answers how many transactions waited.
    pub fn hurry(&self, ids: Option<&HashSet<MailId>>) -> usize {
        let hurried = self.agenda().hurry(ids, self.post.now());
        self.changed.notify_one();
        hurried
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message's open transactions on the agenda: one for each rendition and route.
    fn enqueue(self: &Arc<Self>, entry: &Entry) {
        let config = self.post.config();
        let now = self.post.now();
        let mut is_routable = true;
        for (rendition, plan) in (0u32..).zip(&entry.accept.renditions) {
            let mut due_by_route: BTreeMap<Option<usize>, Timestamp> = BTreeMap::new();
            for &recipient in &plan.recipients {
                let Some(next_at) = pending_since(entry, recipient) else { continue };
                let route = route_of(&config, entry, recipient);
                due_by_route.entry(route).and_modify(|due| *due = (*due).min(next_at)).or_insert(next_at);
            }
            for (route, due) in due_by_route {
                match route {
                    Some(route) => self.add(Job { id: entry.accept.id, rendition, route }, due, now),
                    None => is_routable = false,
                }
            }
        }
        if !is_routable {
            self.fail_unroutable(entry.clone());
        }
    }

    fn add(self: &Arc<Self>, job: Job, due: Timestamp, now: Timestamp) {
        let workers = self.agenda().add(job, due, now);
        self.staff(job.route, workers);
    }

    fn advance(self: &Arc<Self>) -> Option<Timestamp> {
        let (routes, due) = {
            let mut agenda = self.agenda();
            (agenda.advance(self.post.now()), agenda.next_due())
        };
        for route in routes {
            self.staff(route, Workers::StartOne);
        }
        due
    }

    fn staff(self: &Arc<Self>, route: usize, workers: Workers) {
        if workers == Workers::StartOne {
            self.working.send_modify(|working| *working += 1);
            let this = self.clone();
            tokio::spawn(async move {
                this.work(route).await;
                this.working.send_modify(|working| *working -= 1);
            });
        }
    }

    /// One worker: takes jobs of its route while there are any, over one connection after the other.
    async fn work(self: &Arc<Self>, route: usize) {
        let mut connection = self.idle_connection(route);
        while !*self.closing.borrow() {
            let Some(job) = self.agenda().take(route, self.post.now()) else { break };
            let this = self.clone();
            let attempt = tokio::spawn(async move { this.attempt(job, connection).await });
            connection = attempt.await.unwrap_or_else(|e| self.rescue(job, &e));
        }
        if let Some(open) = connection {
            self.idle[route].lock().unwrap_or_else(PoisonError::into_inner).push((open, Instant::now()));
        }
        let workers = self.agenda().worker_ended(route, self.post.now());
        self.staff(route, workers);
        self.changed.notify_one();
    }

    /// A panic costs the connection, never the job or the worker's place.
    fn rescue(self: &Arc<Self>, job: Job, panic: &tokio::task::JoinError) -> Option<Connection> {
        tracing::error!("bug: {}: an attempt ended: {panic}", job.id);
        let now = self.post.now();
        let workers = self.agenda().again(job, now.plus_s(STORE_AGAIN_S), now);
        self.staff(job.route, workers);
        None
    }

    fn idle_connection(&self, route: usize) -> Option<Connection> {
        let mut idle = self.idle[route].lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().filter(|(_, since)| since.elapsed() < IDLE).map(|(connection, _)| connection)
    }

    /// Says goodbye to connections that nobody wanted.
    fn sweep(&self) {
        for route in &self.idle {
            let mut idle = route.lock().unwrap_or_else(PoisonError::into_inner);
            let stale = idle.iter().take_while(|(_, since)| since.elapsed() >= IDLE).count();
            for (connection, _) in idle.drain(..stale) {
                tokio::spawn(connection.quit());
            }
        }
    }

    /// One transaction, recorded. Gives the connection back when it can be used again.
    async fn attempt(self: &Arc<Self>, job: Job, connection: Option<Connection>) -> Option<Connection> {
        let entry = self.post.journal().entry(&job.id);
        let open = entry.as_ref().map_or_else(Vec::new, |entry| self.open_recipients(entry, &job));
        let Some(entry) = entry.filter(|_| !open.is_empty()) else {
            self.agenda().done(job);
            return connection;
        };
        let bytes = rendition_bytes(&entry, &job);
        let _room = match is_large(bytes) {
            true => self.post.rooms().outgoing.take(bytes).await,
            false => None,
        };
        let octets = match self.octets(&job).await {
            Ok(octets) => octets,
            Err(e) => {
                tracing::error!("{}: {e}", job.id);
                let deferred = Fate::Deferred { reply: format!("the stored octets cannot be read: {e}") };
                self.record(job, &entry, &open, vec![deferred; open.len()], "").await;
                return connection;
            }
        };
        let config = self.post.config();
        let route = &config.route[job.route];
        let sending = connection::Transaction { entry: &entry, recipients: &open, octets: &octets };
        match connection::send(&self.post, &self.surroundings, route, connection, &sending).await {
            Ok((fates, next_hop, connection)) => {
                let workers = self.agenda().reached(job.route, self.post.now());
                self.staff(job.route, workers);
                self.record(job, &entry, &open, fates, &next_hop).await;
                connection
            }
            Err(Unreachable { reply, next_hop }) => {
                let queue = config.queue.clone();
                self.agenda().unreachable(job.route, self.post.now(), |failures| queue.retry_s.wait_s(failures));
                tracing::warn!("route {}: {reply}", job.route);
                let deferred = Fate::Deferred { reply };
                self.record(job, &entry, &open, vec![deferred; open.len()], &next_hop).await;
                self.expire_blocked(job.route).await;
                None
            }
        }
    }

    async fn octets(&self, job: &Job) -> Result<Vec<u8>, crate::journal::Error> {
        let rendition = usize::try_from(job.rendition).unwrap_or(usize::MAX);
        tokio::task::block_in_place(|| self.post.journal().rendition_octets(&job.id, rendition))
    }

    /// The recipients a transaction is for: those of its rendition and route that are not final.
    fn open_recipients(&self, entry: &Entry, job: &Job) -> Vec<u32> {
        let config = self.post.config();
        let rendition = usize::try_from(job.rendition).ok().and_then(|at| entry.accept.renditions.get(at));
        let all = rendition.map_or(&[][..], |rendition| &rendition.recipients);
        let is_open = |recipient: &&u32| {
            pending_since(entry, **recipient).is_some() && route_of(&config, entry, **recipient) == Some(job.route)
        };
        all.iter().filter(is_open).copied().collect()
    }

    /// Records what came of a transaction, tells the sender of failures, and puts the job back if something is left.
    async fn record(self: &Arc<Self>, job: Job, entry: &Entry, recipients: &[u32], fates: Vec<Fate>, next_hop: &str) {
        let results = settle::settle(&self.post.config().queue, entry, recipients, fates, next_hop, self.post.now());
        let next_at = results.iter().filter_map(|result| match result.outcome {
            Outcome::Deferred { next_at, .. } => Some(next_at),
            _ => None,
        });
        let next_at = next_at.min();
        let next_at = match self.store(entry, results).await {
            Stored::Yes => next_at,
            // The recipients that failed are as open as before.
            Stored::No => Some(self.post.now().plus_s(STORE_AGAIN_S)),
        };
        match next_at {
            None => self.agenda().done(job),
            Some(due) => {
                let workers = self.agenda().again(job, due, self.post.now());
                self.staff(job.route, workers);
                self.changed.notify_one();
            }
        }
    }

    /// Records results. What was delivered or deferred waits for nothing; of failures the sender is told first, so that a crash
    /// between repeats the notification rather than loses it. When he cannot be told, the failed recipients alone stay open.
    async fn store(&self, entry: &Entry, results: Vec<RecipientResult>) -> Stored {
        let is_failed = |result: &RecipientResult| matches!(result.outcome, Outcome::Failed { .. });
        let (failed, others): (Vec<_>, Vec<_>) = results.into_iter().partition(is_failed);
        self.keep(entry, others, Sync::Lazy);
        if failed.is_empty() {
            return Stored::Yes;
        }
        if let Err(e) = bounce::tell_sender(&self.post, entry, &failed).await {
            tracing::error!("{}: the sender could not be told: {e}; trying again", entry.accept.id);
            return Stored::No;
        }
        self.keep(entry, failed, Sync::Now);
        Stored::Yes
    }

    fn keep(&self, entry: &Entry, results: Vec<RecipientResult>, sync: Sync) {
        for result in &results {
            self.audit(entry, result);
        }
        if let Err(e) = self.post.journal().record_results(entry.accept.id, results, sync, None) {
            // A lost result costs a duplicate after the next start, never a loss.
            tracing::error!("{}: result not recorded: {e}", entry.accept.id);
        }
    }

    fn audit(&self, entry: &Entry, result: &RecipientResult) {
        let (event, detail) = match &result.outcome {
            Outcome::Delivered { reply } => ("delivered", reply),
            Outcome::Deferred { reply, .. } => ("deferred", reply),
            Outcome::Failed { reply, .. } => ("failed", reply),
            Outcome::Parked { reason, .. } => ("parked", reason),
            Outcome::Dropped { reason } => ("dropped", reason),
            Outcome::Archived | Outcome::Released { .. } | Outcome::Warned => return,
        };
        let index = usize::try_from(result.recipient).unwrap_or(usize::MAX);
        let recipient = entry.accept.envelope.recipients.get(index).map(|r| r.address.to_string());
        let id = Some(entry.accept.id.to_string());
        self.post.audit().write(&Event { id, recipient, detail, ..Event::new(self.post.now(), event) });
    }

    /// No route serves these recipients any more: the configuration has changed since they were accepted. Once for all renditions.
    fn fail_unroutable(self: &Arc<Self>, entry: Entry) {
        let config = self.post.config();
        let unroutable = |recipient: &u32| {
            pending_since(&entry, *recipient).is_some() && route_of(&config, &entry, *recipient).is_none()
        };
        let count = u32::try_from(entry.states.len()).unwrap_or(u32::MAX);
        let recipients: Vec<u32> = (0..count).filter(unroutable).collect();
        let reply = "no route to the recipient's domain".to_owned();
        let fates = vec![Fate::Failed { status: "5.4.4".to_owned(), reply }; recipients.len()];
        let results = settle::settle(&config.queue, &entry, &recipients, fates, "", self.post.now());
        let this = self.clone();
        tokio::spawn(async move {
            while this.store(&entry, results.clone()).await == Stored::No {
                tokio::select! {
                    () = stopping(&this.closing) => return,
                    () = tokio::time::sleep(Duration::from_secs(STORE_AGAIN_S.unsigned_abs())) => {}
                }
            }
        });
    }

    /// While a route is down its mail is not tried, but it still grows too old.
    async fn expire_blocked(self: &Arc<Self>, route: usize) {
        let blocked = self.agenda().blocked(route);
        let config = self.post.config();
        for job in blocked {
            let Some(entry) = self.post.journal().entry(&job.id) else { continue };
            if settle::is_expired(&config.queue, &entry, self.post.now()) && self.agenda().pull(job) {
                let open = self.open_recipients(&entry, &job);
                let deferred = Fate::Deferred { reply: "the next hop could not be reached".to_owned() };
                self.record(job, &entry, &open, vec![deferred; open.len()], "").await;
            }
        }
    }
}

/// When a recipient's next attempt is due; `None` when it is final.
fn pending_since(entry: &Entry, recipient: u32) -> Option<Timestamp> {
    match usize::try_from(recipient).ok().and_then(|at| entry.states.get(at)) {
        Some(RecipientState::Pending { next_at, .. }) => Some(*next_at),
        _ => None,
    }
}

fn rendition_bytes(entry: &Entry, job: &Job) -> u64 {
    let rendition = usize::try_from(job.rendition).ok().and_then(|at| entry.accept.renditions.get(at));
    rendition.map_or(0, |rendition| rendition.bytes)
}

fn route_of(config: &super::config::Config, entry: &Entry, recipient: u32) -> Option<usize> {
    let address = &entry.accept.envelope.recipients.get(usize::try_from(recipient).ok()?)?.address;
    config.route_of(address.domain())
}
