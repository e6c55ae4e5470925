//! What the administrator may do to the queue, with a running server or without one: which mail, and what becomes of it.

use super::config::AddressPattern;
use super::delivery::event;
use super::observe::Audit;
use crate::clock::Timestamp;
use crate::journal::{self, Entry, Journal, Outcome, RecipientResult, RecipientState, Sync};
use crate::mail::{Address, MailId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::mpsc;

/// Which mail: recipients whose delivery has not ended and that meet every condition given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Messages, 32 hex digits each; empty: all.
    pub ids: Vec<String>,
    /// How far delivery is.
    pub state: Option<Progress>,
    /// The envelope sender: an address, `*@domain`, or `<>`.
    pub from: Option<String>,
    /// The recipient: an address or `*@domain`.
    pub to: Option<String>,
    /// Seconds since it was accepted, at least.
    pub older_than_s: Option<u64>,
}

/// How far delivery to a recipient is that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Not tried yet.
    Queued,
    /// Tried, and to be tried again.
    Deferred,
    /// Waits for a decision.
    Parked,
}

impl Progress {
    /// Of a state; `None` when delivery has ended.
    pub fn of(state: &RecipientState) -> Option<Progress> {
        match state {
            RecipientState::Pending { attempts: 0, .. } => Some(Progress::Queued),
            RecipientState::Pending { .. } => Some(Progress::Deferred),
            RecipientState::Parked { .. } => Some(Progress::Parked),
            RecipientState::Delivered { .. }
            | RecipientState::Failed { .. }
            | RecipientState::Archived { .. }
            | RecipientState::Dropped { .. }
            | RecipientState::Refused => None,
        }
    }
    /// The word in lists.
    pub fn word(self) -> &'static str {
        match self {
            Progress::Queued => "queued",
            Progress::Deferred => "deferred",
            Progress::Parked => "parked",
        }
    }
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Tried now.
    Retry,
    /// Not tried until released.
    Park {
        /// Why.
        reason: String,
    },
    /// No longer parked, and tried now.
    Release,
    /// Taken out of the queue; nobody is told. The archive keeps it.
    Drop {
        /// Why.
        reason: String,
    },
    /// Given up; the sender is told that it failed.
    Return {
        /// Why, as the sender reads it.
        reason: String,
    },
}

impl Action {
    /// What is recorded for a recipient; `None` when nothing changes for it.
    fn outcome(&self, state: &RecipientState, now: Timestamp) -> Option<Outcome> {
        let progress = Progress::of(state)?;
        match self {
            Action::Retry => (progress != Progress::Parked).then_some(Outcome::Released { next_at: now }),
            Action::Release => (progress == Progress::Parked).then_some(Outcome::Released { next_at: now }),
            Action::Park { reason } => {
                (progress != Progress::Parked).then(|| Outcome::Parked { reason: reason.clone(), until: None })
            }
            Action::Drop { reason } => Some(Outcome::Dropped { reason: reason.clone() }),
            Action::Return { reason } => Some(Outcome::Failed {
                status: "5.0.0".to_owned(),
                reply: format!("returned by the administrator: {reason}"),
            }),
        }
    }
    /// What has been done, in lists.
    pub fn done(&self) -> &'static str {
        match self {
            Action::Retry => "retried",
            Action::Park { .. } => "parked",
            Action::Release => "released",
            Action::Drop { .. } => "dropped",
            Action::Return { .. } => "returned",
        }
    }
}

/// A message and what an action records for it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The message.
    pub entry: Entry,
    /// One for each recipient that changes: at least one.
    pub results: Vec<RecipientResult>,
}

/// A selection ready to compare with.
struct Conditions {
    ids: HashSet<MailId>,
    state: Option<Progress>,
    from: Option<Sender>,
    to: Option<AddressPattern>,
    accepted_until: Option<Timestamp>,
}

enum Sender {
    Null,
    Like(AddressPattern),
}

impl Selection {
    /// Whether it says nothing, and so means everything.
    pub fn is_everything(&self) -> bool {
        *self == Selection::default()
    }

    fn conditions(&self, now: Timestamp) -> Result<Conditions, String> {
        let id = |text: &String| MailId::parse(text).ok_or_else(|| format!("`{text}` is not an id: 32 hex digits"));
        let from = match self.from.as_deref() {
            Some("<>" | "") => Some(Sender::Null),
            Some(pattern) => Some(Sender::Like(AddressPattern::try_from(pattern.to_owned())?)),
            None => None,
        };
        let age = self.older_than_s.map(|s| i64::try_from(s).unwrap_or(i64::MAX));
        Ok(Conditions {
            ids: self.ids.iter().map(id).collect::<Result<_, _>>()?,
            state: self.state,
            from,
            to: self.to.clone().map(AddressPattern::try_from).transpose()?,
            accepted_until: age.map(|s| Timestamp::from_ms(now.ms().saturating_sub(s.saturating_mul(1000)))),
        })
    }

    /// Messages with recipients that meet it, and which those are, in the order of acceptance. The error is for people.
    pub fn of(&self, journal: &Journal, now: Timestamp) -> Result<Vec<(Entry, Vec<u32>)>, String> {
        let conditions = self.conditions(now)?;
        let entries = match conditions.ids.is_empty() {
            true => journal.pending(),
            false => conditions.ids.iter().filter_map(|id| journal.entry(id)).collect(),
        };
        let chosen = entries.into_iter().map(|entry| {
            let recipients = conditions.recipients(&entry);
            (entry, recipients)
        });
        Ok(chosen.filter(|(_, recipients)| !recipients.is_empty()).collect())
    }
}

impl Conditions {
    fn recipients(&self, entry: &Entry) -> Vec<u32> {
        let accept = &entry.accept;
        let is_meant = self.accepted_until.is_none_or(|until| accept.accepted_at <= until)
            && self.from.as_ref().is_none_or(|from| from.is(accept.envelope.sender.as_ref()));
        if !is_meant {
            return Vec::new();
        }
        let recipients = (0u32..).zip(accept.envelope.recipients.iter().zip(entry.states.iter()));
        let is_meant = |address: &Address, state: &RecipientState| {
            Progress::of(state).is_some_and(|progress| self.state.is_none_or(|state| state == progress))
                && self.to.as_ref().is_none_or(|to| to.matches(address))
        };
        recipients.filter(|(_, (r, state))| is_meant(&r.address, state)).map(|(index, _)| index).collect()
    }
}

impl Sender {
    fn is(&self, sender: Option<&Address>) -> bool {
        match (self, sender) {
            (Sender::Null, sender) => sender.is_none(),
            (Sender::Like(pattern), Some(sender)) => pattern.matches(sender),
            (Sender::Like(_), None) => false,
        }
    }
}

/// What an action means for a selection. The error is for people.
pub fn choose(
    journal: &Journal,
    selection: &Selection,
    action: &Action,
    now: Timestamp,
) -> Result<Vec<Chosen>, String> {
    let chosen = selection.of(journal, now)?.into_iter().map(|(entry, recipients)| {
        let result = |recipient: u32| {
            let outcome = action.outcome(entry.state(recipient)?, now)?;
            Some(RecipientResult { recipient, at: now, next_hop: String::new(), outcome })
        };
        let results = recipients.into_iter().filter_map(result).collect();
        Chosen { entry, results }
    });
    Ok(chosen.filter(|one| !one.results.is_empty()).collect())
}

/// Records it, and returns when all is durable and stands in the audit trail.
pub fn record(journal: &Journal, audit: &Audit, chosen: &[Chosen], now: Timestamp) -> Result<(), journal::Error> {
    let (sender, receiver) = mpsc::channel();
    for Chosen { entry, results } in chosen {
        let sender = sender.clone();
        // Nobody listens any more when another one has failed.
        let done = Box::new(move |result| drop(sender.send(result)));
        journal.record_results(entry.accept.id, results.clone(), Sync::Now, Some(done))?;
    }
    drop(sender);
    receiver.into_iter().collect::<Result<(), _>>()?;
    for Chosen { entry, results } in chosen {
        results.iter().filter_map(|result| event(entry, result, now)).for_each(|event| audit.write(&event));
    }
    Ok(())
}

/// A row for each message.
pub fn rows(chosen: &[Chosen], action: &Action) -> Vec<Value> {
    let row = |one: &Chosen| json!({"id": one.entry.accept.id.to_string(), "recipients": one.results.len(), "done": action.done()});
    chosen.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_changes_only_what_it_can() {
        let at = Timestamp::from_s(1);
        let pending = RecipientState::Pending { attempts: 0, next_at: at, last_reply: String::new(), warned_at: None };
        let parked = RecipientState::Parked { at, attempts: 1, reason: "x".into(), until: None };
        let ended = RecipientState::Archived { at };
        let text = || "x".to_owned();
        for (action, expected) in [
            (Action::Retry, [true, false, false]),
            (Action::Park { reason: text() }, [true, false, false]),
            (Action::Release, [false, true, false]),
            (Action::Drop { reason: text() }, [true, true, false]),
            (Action::Return { reason: text() }, [true, true, false]),
        ] {
            let changes = [&pending, &parked, &ended].map(|state| action.outcome(state, at).is_some());
            assert_eq!(changes, expected, "{action:?}");
        }
    }

    #[test]
    fn a_selection_that_cannot_be_read_is_refused() {
        let now = Timestamp::from_s(1);
        for selection in [
            Selection { ids: vec!["xyz".into()], ..Selection::default() },
            Selection { from: Some("nobody".into()), ..Selection::default() },
            Selection { to: Some("*@".into()), ..Selection::default() },
        ] {
            assert!(selection.conditions(now).is_err() && !selection.is_everything(), "{selection:?}");
        }
        assert!(Selection::default().is_everything());
        let null = Selection { from: Some("<>".into()), ..Selection::default() };
        assert!(null.conditions(now).expect("fine").from.is_some_and(|from| from.is(None)));
    }
}
