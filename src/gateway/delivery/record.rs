//! Records what came of transactions and tells senders. Of failures the sender is told first, so that a crash between repeats the
//! notification rather than loses it.

use super::agenda::Job;
use super::dsn::Action;
use super::notify::{self, News, Told};
use super::settle::{self, Fate, Reports};
use super::{Delivery, pending_since, route_of};
use crate::clock::Timestamp;
use crate::gateway::ending::stopping;
use crate::gateway::observe::Event;
use crate::journal::{Entry, Outcome, RecipientResult, Sync};
use std::sync::Arc;
use std::time::Duration;

/// How long a message rests whose sender could not be told of a failure.
const STORE_AGAIN_S: i64 = 60;
/// Blocked jobs looked at in one go.
const BLOCKED_AT_ONCE: usize = 256;

/// Where results come from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Whom we spoke to, for each recipient; empty when nobody.
    pub next_hops: &'a [String],
    /// The rendition, when it is at hand: part of it goes back to the sender.
    pub message: Option<&'a [u8]>,
}

/// Whether all results were recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Yes,
    No,
}

impl Delivery {
    /// Records what came of a transaction, tells the sender, and puts the job back if something is left.
    pub(super) async fn record(
        self: &Arc<Self>,
        job: Job,
        entry: &Entry,
        recipients: &[u32],
        fates: Vec<Fate>,
        source: Source<'_>,
    ) {
        let unreported = unreported(entry, recipients, &fates);
        let results =
            settle::settle(&self.post.config().queue, entry, recipients, fates, source.next_hops, self.post.now());
        let next_at = results.iter().filter_map(|result| match result.outcome {
            Outcome::Deferred { next_at, .. } => Some(next_at),
            _ => None,
        });
        let next_at = next_at.min();
        self.tell_relayed(entry, &results, &unreported, source.message).await;
        let next_at = match self.store(entry, results, source.message).await {
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

    /// What was delivered or deferred waits for nothing. When a sender cannot be told of a failure, the failed recipients alone
    /// stay open.
    async fn store(&self, entry: &Entry, results: Vec<RecipientResult>, message: Option<&[u8]>) -> Stored {
        let is_failed = |result: &RecipientResult| matches!(result.outcome, Outcome::Failed { .. });
        let (failed, others): (Vec<_>, Vec<_>) = results.into_iter().partition(is_failed);
        let is_lasting = others.iter().any(|result| matches!(result.outcome, Outcome::Parked { .. }));
        self.keep(entry, others.clone(), if is_lasting { Sync::Now } else { Sync::Lazy });
        self.warn_of_delay(entry, &others, message).await;
        if failed.is_empty() {
            return Stored::Yes;
        }
        let news = News { entry, action: Action::Failed, results: &failed, message };
        if let Err(e) = notify::tell_sender(&self.post, news).await {
            tracing::error!("{}: the sender could not be told: {e}; trying again", entry.accept.id);
            return Stored::No;
        }
        self.keep(entry, failed, Sync::Now);
        Stored::Yes
    }

    /// For those who asked for it and get no report from the next hop. One that cannot be stored is not sent: the message is
    /// delivered, and must not be again.
    async fn tell_relayed(
        &self,
        entry: &Entry,
        results: &[RecipientResult],
        unreported: &[u32],
        message: Option<&[u8]>,
    ) {
        if unreported.is_empty() {
            return;
        }
        let relayed: Vec<_> = results.iter().filter(|r| unreported.contains(&r.recipient)).cloned().collect();
        let news = News { entry, action: Action::Relayed, results: &relayed, message };
        if let Err(e) = notify::tell_sender(&self.post, news).await {
            tracing::error!("{}: the sender asked to be told that it was relayed, which failed: {e}", entry.accept.id);
        }
    }

    /// Once for each recipient; when it cannot be stored, the next deferral tries again.
    async fn warn_of_delay(&self, entry: &Entry, results: &[RecipientResult], message: Option<&[u8]>) {
        let (queue, now) = (&self.post.config().queue, self.post.now());
        let action = Action::Delayed { until: settle::expires_at(queue, entry) };
        let is_late = |result: &&RecipientResult| {
            matches!(result.outcome, Outcome::Deferred { .. })
                && settle::is_late(queue, entry, result.recipient, now)
                && is_asked_for(entry, result.recipient, action)
        };
        let late: Vec<_> = results.iter().filter(is_late).cloned().collect();
        if late.is_empty() {
            return;
        }
        match notify::tell_sender(&self.post, News { entry, action, results: &late, message }).await {
            Ok(Told::Nobody) => {}
            Ok(Told::Yes) => {
                let warned = late.into_iter().map(|result| RecipientResult { outcome: Outcome::Warned, ..result });
                self.keep(entry, warned.collect(), Sync::Now);
            }
            Err(e) => tracing::error!("{}: the sender could not be told of the delay: {e}", entry.accept.id),
        }
    }

    /// Records, and then audits: a kill between costs a line of the audit trail, the other way round a duplicate.
    pub(super) fn keep(&self, entry: &Entry, results: Vec<RecipientResult>, sync: Sync) {
        if results.is_empty() {
            return;
        }
        if let Err(e) = self.post.journal().record_results(entry.accept.id, results.clone(), sync, None) {
            // A lost result costs a duplicate after the next start, never a loss.
            tracing::error!("{}: result not recorded: {e}", entry.accept.id);
        }
        for event in results.iter().filter_map(|result| event(entry, result, self.post.now())) {
            self.post.audit().write(&event);
        }
    }

    /// No route serves these recipients any more: the configuration has changed since they were accepted. Once for all renditions.
    pub(super) fn fail_unroutable(self: &Arc<Self>, entry: Entry) {
        let config = self.post.config();
        let unroutable = |recipient: &u32| {
            pending_since(&entry, *recipient).is_some() && route_of(&config, &entry, *recipient).is_none()
        };
        let count = u32::try_from(entry.states.len()).unwrap_or(u32::MAX);
        let recipients: Vec<u32> = (0..count).filter(unroutable).collect();
        let reply = "no route to the recipient's domain".to_owned();
        let fates = vec![Fate::Failed { status: "5.4.4".to_owned(), reply }; recipients.len()];
        let results = settle::settle(&config.queue, &entry, &recipients, fates, &[], self.post.now());
        let this = self.clone();
        tokio::spawn(async move {
            while this.store(&entry, results.clone(), None).await == Stored::No {
                tokio::select! {
                    () = stopping(&this.closing) => return,
                    () = tokio::time::sleep(Duration::from_secs(STORE_AGAIN_S.unsigned_abs())) => {}
                }
            }
        });
    }

    /// While a route is down its mail is not tried, but it still grows late and too old. The caller holds no room.
    pub(super) async fn tend_blocked(self: &Arc<Self>, route: usize) {
        let (blocked, down) = {
            let agenda = self.agenda();
            (agenda.blocked(route), agenda.down(route).cloned())
        };
        let Some(down) = down else { return };
        let config = self.post.config();
        for (count, job) in blocked.into_iter().enumerate() {
            if count % BLOCKED_AT_ONCE == BLOCKED_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let Some(entry) = self.post.journal().entry(&job.id) else { continue };
            let (open, now) = (self.open_recipients(&entry, &job), self.post.now());
            if settle::is_expired(&config.queue, &entry, now) && self.agenda().pull(job, now) {
                let deferred = Fate::Deferred { reply: down.reply.clone() };
                let source = Source { next_hops: &[], message: None };
                self.record(job, &entry, &open, vec![deferred; open.len()], source).await;
            } else {
                let outcome = Outcome::Deferred { reply: down.reply.clone(), next_at: down.until };
                let delayed = |&recipient: &u32| RecipientResult {
                    recipient,
                    at: now,
                    next_hop: String::new(),
                    outcome: outcome.clone(),
                };
                let delayed: Vec<_> = open.iter().map(delayed).collect();
                self.warn_of_delay(&entry, &delayed, None).await;
            }
        }
    }
}

/// A result as an event of the audit trail; `None` for those that only the archive is about.
pub fn event<'a>(entry: &Entry, result: &'a RecipientResult, now: Timestamp) -> Option<Event<'a>> {
    let (event, detail) = match &result.outcome {
        Outcome::Delivered { reply } => ("delivered", reply.as_str()),
        Outcome::Deferred { reply, .. } => ("deferred", reply.as_str()),
        Outcome::Failed { reply, .. } => ("failed", reply.as_str()),
        Outcome::Parked { reason, .. } => ("parked", reason.as_str()),
        Outcome::Dropped { reason } => ("dropped", reason.as_str()),
        Outcome::Released { .. } => ("released", ""),
        Outcome::Warned => ("warned", ""),
        Outcome::Archived => return None,
    };
    Some(Event {
        id: Some(entry.accept.id.to_string()),
        who: Some(entry.accept.envelope.sender.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string)),
        recipient: entry.recipient(result.recipient).map(|r| r.address.to_string()),
        next_hop: Some(result.next_hop.clone()).filter(|next_hop| !next_hop.is_empty()),
        detail,
        ..Event::new(now, event)
    })
}

/// Recipients whose sender asked to be told of success, and whose next hop tells nobody.
fn unreported(entry: &Entry, recipients: &[u32], fates: &[Fate]) -> Vec<u32> {
    let is_unreported = |(recipient, fate): &(&u32, &Fate)| {
        matches!(fate, Fate::Delivered { reports: Reports::Nobody, .. })
            && is_asked_for(entry, **recipient, Action::Relayed)
    };
    recipients.iter().zip(fates).filter(is_unreported).map(|(recipient, _)| *recipient).collect()
}

fn is_asked_for(entry: &Entry, recipient: u32, action: Action) -> bool {
    entry.recipient(recipient).is_some_and(|recipient| notify::wants(recipient, action))
}
