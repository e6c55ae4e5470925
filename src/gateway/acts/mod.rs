//! Acts on sealed mail as the gateway carries them out: on request of a command, in the server or without one. Decides nothing
//! that the archive does not; tells the audit trail.

pub mod request;
pub mod settle;
pub mod standing;

use super::observe::{Audit, Event};
use crate::archive::Archive;
use crate::archive::Error;
use crate::archive::HoldId;
use crate::archive::acts::{self, EraseTerms, Erased, ExpireTerms, Expired, ExpiredSegment, NewHold, Run, Tools};
use crate::clock::Clock;
use crate::crypto::hash;
use crate::journal::Journal;
use request::{ActRequest, EraseRequest, ExpireRequest, HoldRequest};
use serde_json::{Value, json};

/// What carries out acts.
#[derive(Clone, Copy)]
pub struct Office<'a> {
    /// The archive, with its host key.
    pub archive: &'a Archive,
    /// Its journal.
    pub journal: &'a Journal,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// Officers who must sign an order.
    pub signatures: usize,
    /// Where acts and refusals are told, if a trail is open.
    pub audit: Option<&'a Audit>,
}

impl<'a> Office<'a> {
    /// What the archive needs for an act.
    pub fn tools(&self) -> Tools<'a> {
        Tools { journal: self.journal, clock: self.clock }
    }

    /// Carries out a request; a row that says what was done.
    pub fn run(&self, request: &ActRequest) -> Result<Value, String> {
        let done = match request {
            ActRequest::Hold(hold) => self.hold(hold),
            ActRequest::Release { name, by, reason } => self.archive.release(&self.tools(), name, reason).map(|act| {
                self.tell("released", by, &format!("hold {name}: {reason}"));
                json!({"hold": name, "act": act})
            }),
            ActRequest::Erase(erase) => self.erase(erase),
            ActRequest::Expire(expire) => self.expire(expire),
        };
        done.map_err(|error| {
            self.tell("act-refused", request.by(), &format!("{}: {error}", request.word()));
            error.to_string()
        })
    }

    fn hold(&self, request: &HoldRequest) -> Result<Value, Error> {
        let HoldRequest { name, by, reason, query, seen, accepts } = request;
        let new = NewHold { name, by, reason, query: query.as_deref(), seen: *seen };
        let accepts = accepts.slots().collect();
        let held = self.archive.hold(&self.tools(), &new, &accepts)?;
        self.tell("held", by, &format!("hold {name}: {} messages: {reason}", held.messages));
        Ok(json!({
            "hold": name, "id": held.hold.to_string(), "act": held.act, "messages": held.messages, "gone": held.gone.len(),
        }))
    }

    fn erase(&self, request: &EraseRequest) -> Result<Value, Error> {
        let bad = || Error::Order("the request is malformed".into());
        let text = hash::unhex(&request.order).ok_or_else(bad)?;
        let signatures: Option<Vec<_>> = request.signatures.iter().map(|hex| hash::unhex(hex)).collect();
        let signed = acts::take(&text, &signatures.ok_or_else(bad)?)?;
        let terms = EraseTerms { signatures: self.signatures, messages_max: request.limit, run: run(request.dry_run) };
        let erased = self.archive.erase(&self.tools(), &signed, &terms)?;
        if erased.act.is_some() {
            let Erased { messages, signers, .. } = &erased;
            self.tell("erased", &request.by, &format!("{} messages, signed by {}", messages.len(), signers.join(", ")));
        }
        Ok(json!({
            "act": erased.act,
            "messages": erased.messages.len(),
            "ids": erased.messages.iter().map(|named| named.id.to_string()).collect::<Vec<_>>(),
            "already": erased.already,
            "units": erased.slots,
            "order": hash::hex(&erased.order),
            "signers": erased.signers,
            "dry_run": request.dry_run,
        }))
    }

    fn expire(&self, request: &ExpireRequest) -> Result<Value, Error> {
        let ExpireRequest { class, before, limit, dry_run, by } = request;
        let terms = ExpireTerms { class: class.as_deref(), before: *before, messages_max: *limit, run: run(*dry_run) };
        let expired = self.archive.expire(&self.tools(), &terms)?;
        if expired.act.is_some() {
            self.tell("expired", by, &format!("{} messages", expired.messages));
        }
        let Expired { act, segments, messages, slots, blind } = expired;
        let sum = |of: fn(&ExpiredSegment) -> u64| segments.iter().map(of).sum::<u64>();
        let segment = |one: &ExpiredSegment| {
            json!({
                "segment": one.segment.to_string(), "class": one.class, "expires": month(one.expires),
                "messages": one.messages, "held": one.held, "queued": one.queued,
            })
        };
        Ok(json!({
            "act": act,
            "messages": messages,
            "units": slots,
            "held": sum(|one| one.held),
            "queued": sum(|one| one.queued),
            "not_yet_compared_with": blind,
            "segments": segments.iter().map(segment).collect::<Vec<_>>(),
            "dry_run": dry_run,
        }))
    }

    fn tell(&self, event: &'static str, by: &str, detail: &str) {
        if let Some(audit) = self.audit {
            audit.write(&Event { who: Some(by.to_owned()), detail, ..Event::new(self.clock.now(), event) });
        }
    }
}

fn run(dry_run: bool) -> Run {
    if dry_run { Run::Dry } else { Run::Real }
}

/// `2026-11`.
pub fn month(number: u32) -> String {
    format!("{:04}-{:02}", number / 12, number % 12 + 1)
}

/// All holds as rows.
pub fn holds(archive: &Archive) -> Result<Vec<Value>, Error> {
    let row = |info: acts::HoldInfo| {
        let file = info.file.as_ref();
        json!({
            "name": file.map_or_else(|| info.hold.to_string(), |file| file.name.clone()),
            "id": info.hold.to_string(),
            "messages": info.messages,
            "standing": file.is_some_and(|file| file.query.is_some()),
            "since": file.map(|file| file.created.rfc3339()),
            "by": file.map(|file| file.by.clone()),
            "reason": file.map(|file| file.reason.clone()),
            "compared_through": info.seen,
            "released": info.released.map(|at| at.rfc3339()),
        })
    };
    Ok(archive.holds()?.into_iter().map(row).collect())
}

/// All erasures and expiries as rows, with what became of their receipts.
pub fn receipts(archive: &Archive) -> Result<Vec<Value>, Error> {
    let row = |one: acts::Decided| {
        let receipt = archive.receipt(one.act)?;
        Ok(json!({
            "act": one.act,
            "kind": acts::word(one.reason),
            "at": one.at.rfc3339(),
            "units": one.segments.values().sum::<u64>(),
            "state": if receipt.is_some() { "complete" } else { "pending" },
            "key_backups_until": receipt.map(|receipt| receipt["key_backups_until"].clone()),
        }))
    };
    archive.decided()?.into_iter().map(row).collect()
}

/// Active holds, and what was erased and has expired, for `archive status`.
pub fn counts(archive: &Archive) -> Result<Value, Error> {
    let registry = archive.acts()?;
    let counts = archive.gone_messages()?;
    let active: Vec<&HoldId> =
        registry.holds().iter().filter(|(_, hold)| hold.released.is_none()).map(|(id, _)| id).collect();
    Ok(json!({
        "holds": active.into_iter().map(|id| archive.hold_name(id)).collect::<Vec<_>>(),
        "erased": counts.erased,
        "expired": counts.expired,
        "receipts_pending": archive.unreceipted()?.len(),
    }))
}
