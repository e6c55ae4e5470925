//! What the administrator does to the queue of a running server.

use super::agenda::Down;
use super::dsn::Action as Told;
use super::notify::{self, News};
use super::{Delivery, route_of};
use crate::gateway::queue::{self, Action, Chosen, Selection};
use crate::journal::{self, Entry};
use crate::mail::MailId;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;

impl Delivery {
    /// Does it, and answers a row for each message; what is being delivered just now is left alone and said to be. The error is
    /// for people. Blocks until all is durable.
    pub async fn change(self: &Arc<Self>, selection: &Selection, action: &Action) -> Result<Vec<Value>, String> {
        let (post, now) = (&self.post, self.post.now());
        let chosen = queue::choose(post.journal(), selection, action, now)?;
        if *action == Action::Retry {
            self.hurry(&chosen);
            return Ok(queue::rows(&chosen, action));
        }
        let (busy, chosen): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|one| self.is_busy(one, action));
        match action {
            // One after the other: should one fail, those before it have not been told in vain.
            Action::Return { .. } => {
                for one in &chosen {
                    self.give_back(one).await.map_err(|e| format!("{}: {e}", one.entry.accept.id))?;
                }
            }
            _ => queue::record(post.journal(), post.audit(), &chosen, now).map_err(|e| e.to_string())?,
        }
        if *action == Action::Release {
            self.resume(&chosen);
        }
        let mut rows = queue::rows(&chosen, action);
        let busy =
            busy.iter().map(|one| json!({"id": one.entry.accept.id.to_string(), "recipients": 0, "done": "busy"}));
        rows.extend(busy);
        Ok(rows)
    }

    /// The sender is told before it is recorded, as of every failure.
    async fn give_back(&self, chosen: &Chosen) -> Result<(), journal::Error> {
        let Chosen { entry, results } = chosen;
        notify::tell_sender(&self.post, News { entry, action: Told::Failed, results, message: None }).await?;
        queue::record(self.post.journal(), self.post.audit(), std::slice::from_ref(chosen), self.post.now())
    }

    /// What ends a delivery must not overtake one that is under way.
    fn is_busy(&self, chosen: &Chosen, action: &Action) -> bool {
        matches!(action, Action::Drop { .. } | Action::Return { .. })
            && self.agenda().is_under_way(&chosen.entry.accept.id)
    }

    fn hurry(&self, chosen: &[Chosen]) {
        let ids: HashSet<MailId> = chosen.iter().map(|one| one.entry.accept.id).collect();
        self.agenda().hurry(&ids, self.post.now());
        self.changed.notify_one();
    }

    /// Puts on the agenda what is no longer parked.
    fn resume(self: &Arc<Self>, chosen: &[Chosen]) {
        for entry in chosen.iter().filter_map(|one| self.post.journal().entry(&one.entry.accept.id)) {
            self.enqueue(&entry);
        }
        self.hurry(chosen);
    }

    /// Why a recipient is not being tried, when its route is down.
    pub fn obstacle(&self, entry: &Entry, recipient: u32) -> Option<Down> {
        let route = route_of(&self.post.config(), entry, recipient)?;
        self.agenda().down(route).cloned()
    }
}
