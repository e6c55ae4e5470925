//! Step 6, deliver: takes accepted messages to their next hops until every recipient is final. Never renders and needs no key:
//! what it sends was durable before the 250.
//!
//! `agenda` says what is due, `connection` speaks with a next hop, `settle` turns replies into results, `record` keeps them,
//! `notify` tells senders (`dsn` is what they read), `desk` is for the administrator.

mod agenda;
mod connection;
mod desk;
pub mod dsn;
pub mod notify;
mod record;
mod settle;

pub use connection::{Connection, credentials, open_for_command};

use super::ending::{stopping, until};
use super::fence::{Fence, Verdict};
use super::post::{AcceptedIds, Post, is_large};
use crate::clock::Timestamp;
use crate::journal::{Entry, RecipientState};
use crate::mail::MailId;
pub use agenda::Down;
use agenda::{Agenda, Answered, Job, Workers};
use connection::{Surroundings, Unreachable};
use record::Source;
pub use record::event;
use settle::Fate;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How long a connection without work is kept for the next message.
const IDLE: Duration = Duration::from_secs(5);
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// All deliveries of a running gateway.
pub struct Delivery {
    post: Arc<Post>,
    agenda: Mutex<Agenda>,
    /// Per route: open connections that nobody uses, newest last.
    idle: Vec<Mutex<Vec<(Connection, Instant)>>>,
    surroundings: Surroundings,
    /// The agenda has changed in a way the timer must see.
    changed: Notify,
    fence: Fence<MailId>,
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
            fence: Fence::default(),
            working: watch::channel(0).0,
            closing,
            post,
        })
    }

    /// Delivers what the journal holds and what is accepted from now on, until `closing`.
    pub async fn run(self: Arc<Self>, mut accepted: AcceptedIds) {
        for id in self.post.journal().pending_ids() {
            if let Some(entry) = self.post.journal().entry(&id) {
                self.enqueue(&entry);
            }
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
            let now = self.post.now();
            (agenda.advance(now), agenda.next_due(now))
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
            connection = match attempt.await {
                Ok(connection) => connection,
                Err(panic) => self.rescue(job, &panic).await,
            };
        }
        if let Some(open) = connection {
            self.idle[route].lock().unwrap_or_else(PoisonError::into_inner).push((open, Instant::now()));
        }
        let workers = self.agenda().worker_ended(route, self.post.now());
        self.staff(route, workers);
        self.changed.notify_one();
    }

    /// A panic costs the connection, never the job or the worker's place.
    async fn rescue(self: &Arc<Self>, job: Job, panic: &tokio::task::JoinError) -> Option<Connection> {
        tracing::error!("bug: {}: an attempt ended: {panic}", job.id);
        match self.post.journal().entry(&job.id) {
            Some(entry) => self.struck(job, &entry, "an attempt to deliver it hit a bug").await,
            None => self.agenda().done(job),
        }
        None
    }

    /// An attempt failed on our side: once more, or fenced.
    async fn struck(self: &Arc<Self>, job: Job, entry: &Entry, why: &str) {
        let open = self.open_recipients(entry, &job);
        let fate = match self.fence.strike(job.id) {
            Verdict::Again => Fate::Deferred { reply: why.to_owned() },
            Verdict::Fence => Fate::Parked { reason: format!("failed twice on our side: {why}") },
        };
        self.record(job, entry, &open, vec![fate; open.len()], Source { next_hops: &[], message: Some(&[]) }).await;
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
        let room = match is_large(bytes) {
            true => self.post.rooms().outgoing.take(bytes).await,
            false => None,
        };
        let octets = match self.octets(&job).await {
            Ok(octets) => octets,
            Err(e) => {
                tracing::error!("{}: {e}", job.id);
                self.struck(job, &entry, &format!("the stored octets cannot be read: {e}")).await;
                return connection;
            }
        };
        let config = self.post.config();
        let route = &config.route[job.route];
        let sending = connection::Transaction { entry: &entry, recipients: &open, octets: &octets };
        match connection::send(&self.post, &self.surroundings, route, connection, &sending).await {
            Ok((fates, next_hops, connection)) => {
                self.reached(job.route, next_hops.first().map_or("", String::as_str));
                let source = Source { next_hops: &next_hops, message: Some(&octets) };
                self.record(job, &entry, &open, fates, source).await;
                connection
            }
            Err(unreachable) => {
                self.unreachable(job, &unreachable);
                let Unreachable { reply, next_hop } = unreachable;
                let deferred = Fate::Deferred { reply };
                let next_hops = vec![next_hop; open.len()];
                let source = Source { next_hops: &next_hops, message: Some(&octets) };
                self.record(job, &entry, &open, vec![deferred; open.len()], source).await;
                drop((octets, room));
                self.tend_blocked(job.route).await;
                None
            }
        }
    }

    fn reached(self: &Arc<Self>, route: usize, next_hop: &str) {
        let (workers, answered) = self.agenda().reached(route, self.post.now());
        if answered == Answered::Again {
            tracing::info!("route {}: {next_hop} answers again", route + 1);
        }
        self.staff(route, workers);
    }

    fn unreachable(&self, job: Job, unreachable: &Unreachable) {
        let (queue, now) = (self.post.config().queue.clone(), self.post.now());
        let until = |failures| settle::after(now, queue.retry_s.wait_s(failures), &job.id, failures);
        self.agenda().unreachable(job.route, now, &unreachable.reply, until);
        let next = self.agenda().down(job.route).map_or(now, |down| down.until);
        let reply = &unreachable.reply;
        tracing::warn!("route {}: {reply}; next try in {} s", job.route + 1, (next.ms() - now.ms() + 999) / 1000);
    }

    async fn octets(&self, job: &Job) -> Result<Vec<u8>, crate::journal::Error> {
        let rendition = usize::try_from(job.rendition).unwrap_or(usize::MAX);
        let journal = self.post.journal();
        match journal.is_in_memory(&job.id, rendition) {
            // Nothing to wait for: no other thread has to take over this one's tasks.
            true => journal.rendition_octets(&job.id, rendition),
            false => tokio::task::block_in_place(|| journal.rendition_octets(&job.id, rendition)),
        }
    }

    /// The recipients a transaction is for: those of its rendition and route that are not final.
    fn open_recipients(&self, entry: &Entry, job: &Job) -> Vec<u32> {
        let config = self.post.config();
        let all = entry.rendition(job.rendition).map_or(&[][..], |rendition| &rendition.recipients);
        let is_open = |recipient: &&u32| {
            pending_since(entry, **recipient).is_some() && route_of(&config, entry, **recipient) == Some(job.route)
        };
        all.iter().filter(is_open).copied().collect()
    }
}

/// When a recipient's next attempt is due; `None` when it is final.
fn pending_since(entry: &Entry, recipient: u32) -> Option<Timestamp> {
    match entry.state(recipient) {
        Some(RecipientState::Pending { next_at, .. }) => Some(*next_at),
        _ => None,
    }
}

fn rendition_bytes(entry: &Entry, job: &Job) -> u64 {
    entry.rendition(job.rendition).map_or(0, |rendition| rendition.bytes)
}

fn route_of(config: &super::config::Config, entry: &Entry, recipient: u32) -> Option<usize> {
    config.route_of(entry.recipient(recipient)?.address.domain())
}
