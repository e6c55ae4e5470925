//! The path of a message, all of its branches: gather, judge, render, commit. Every step's work is in a leaf.
//!
//! ```text
//! receive   octets                   -> Draft        the listener's session streams them into the journal
//! gather    Draft                    -> Gathered     gather.rs; of a journal report what it states, report.rs
//! judge     Facts                    -> Ruling       policy
//! render    Draft + Ruling           -> Renditions   plan.rs, render.rs
//! commit    Draft + Ruling + Renditions -> id        journal                      ---- only now 250 ----
//! deliver                                            delivery/, after the 250; needs no key any more
//! seal                                               sealing.rs, in the background
//! ```

mod fenced;
mod gather;
mod loops;
pub(super) mod permission;
mod plan;
pub mod received;
mod render;
pub(super) mod replies;
mod report;

use super::config::LoopHeader;
use super::post::{Post, is_large};
use crate::access::Account;
use crate::journal::{AcceptDraft, Draft, RenditionDraft};
use crate::mail::{Client, Direction, Envelope, MailId, Reported, Retention};
use crate::policy::{Disposition, Ruling};
use crate::smtp::server::{Origin, Reply};
use fenced::Refusable;
use gather::{Entrance, Gathered};
use loops::{Base, Guard};
use render::{Made, Top};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A message as a listener has received it.
pub struct Intake {
    /// Index of the listener; `None` for mail of our own.
    pub listener: Option<usize>,
    /// Who handed it over.
    pub client: Client,
    /// From whom the client says to have it; believed for the trace alone.
    pub forwarded: Option<Origin>,
    /// The account that logged in.
    pub account: Option<Account>,
    /// For whom.
    pub envelope: Envelope,
    /// Its octets.
    pub draft: Draft,
}

/// What the client hears.
#[derive(Debug)]
pub enum Answer {
    /// One reply for the message.
    All(Reply),
    /// One for each recipient (LMTP).
    Each(Vec<Reply>),
}

/// What one message may cost: whether some recipients can be refused and others served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// One reply for all: any refused recipient refuses all.
    All,
    /// A reply for each.
    Split,
}

/// Carries a message from its last octet to its reply. Nothing is accepted unless it is durable. A bug on the way costs this message
/// alone.
pub async fn carry(post: &Arc<Post>, intake: Intake, partial: Partial) -> Answer {
    let refusable = if is_journal(&intake) { Refusable::No } else { Refusable::Yes };
    let (message, at_work) = (intake.draft.sha256(), post.clone());
    let steps = async move { steps(&at_work, intake, partial).await };
    fenced::fenced(post.fence(), message, refusable, steps).await
}

async fn steps(post: &Arc<Post>, intake: Intake, partial: Partial) -> Answer {
    let room = match is_large(intake.draft.bytes()) {
        true => match post.rooms().incoming.take_within(intake.draft.bytes(), post.rooms().wait).await {
            None => return Answer::All(replies::NO_ROOM.clone()),
            taken => taken,
        },
        false => None,
    };
    let octets = match post.octets_of(&intake.draft) {
        Ok(octets) => octets,
        Err(e) => return Answer::All(replies::of_journal(&e)),
    };
    let config = post.config();
    let guard = Guard { key: post.loop_key(), hostname: config.hostname.as_str(), direction: intake.client.direction };
    // A journal copy goes no further, so it is in no loop.
    if !is_journal(&intake) && guard.path(&octets) == loops::Path::Loop {
        return Answer::All(replies::LOOP.clone());
    }
    if !is_journal(&intake) && matches!(octets.first(), Some(b' ' | b'\t')) {
        return Answer::All(replies::BEGINS_WITH_FOLD.clone());
    }
    let listener = intake.listener.map(|index| &config.listener[index]);
    let reported = report::reported(listener, &intake, &octets);
    let base = guard.strip(octets);
    let entrance = Entrance { config: &config, listener, account: intake.account.as_ref() };
    let keyring = post.keyring();
    let gathered = gather::gather(entrance, &intake.client, &intake.envelope, &base.octets, &keyring, post.now());
    let block = block(entrance, &intake, guard, &base);
    let Ruled { ruling, retention, made: Made { renditions, room: _rendered } } =
        match rule(post, &intake, gathered, Top { base: &base, block: &block }, partial).await {
            Ok(ruled) => ruled,
            Err(answer) => return answer,
        };
    // The journal has them: what waits for the disk does not keep others from being looked at.
    drop((base, room));
    let recipients = intake.envelope.recipients.len();
    let partial = if is_journal(&intake) { Partial::All } else { partial };
    match commit(post, intake, (&ruling, retention), renditions, reported).await {
        Err(reply) => Answer::All(reply),
        Ok(id) => accepted(id, &ruling, recipients, partial),
    }
}

/// What is to be committed.
struct Ruled<'p> {
    ruling: Ruling,
    retention: Retention,
    made: Made<'p>,
}

/// Steps 3 and 4. A message that turns out to be unsignable is judged once more, knowing it: where a signature is required it is
/// refused, where it is welcome it goes without.
async fn rule<'p>(
    post: &'p Arc<Post>,
    intake: &Intake,
    mut gathered: Gathered,
    top: Top<'_>,
    partial: Partial,
) -> Result<Ruled<'p>, Answer> {
    let policy = post.policy();
    for _ in 0..2 {
        let decision = policy.decide(&gathered.facts);
        let retention = decision.retention(intake.client.at);
        let ruling = decision.ruling;
        let refused = if is_journal(intake) { Vec::new() } else { refused(&ruling) };
        if !refused.is_empty() {
            post.audit_refusals(&intake.client, &intake.envelope, &ruling);
            if partial == Partial::All || refused.len() == ruling.recipients.len() {
                return Err(refusal(&intake.envelope, &ruling, partial));
            }
        }
        match renditions(post, intake, &gathered, &ruling, top).await {
            Ok(made) => return Ok(Ruled { ruling, retention, made }),
            Err(render::Fault::Reply(reply)) => return Err(Answer::All(reply)),
            Err(render::Fault::Unsignable(reason)) => gathered.cannot_be_signed(&reason),
        }
    }
    Err(Answer::All(replies::CANNOT_PROTECT.clone()))
}

/// Whether the message is a copy for the record. Such are never refused for what they contain: senders stop for ever at the first
/// 5xx.
fn is_journal(intake: &Intake) -> bool {
    intake.client.direction == Direction::Journal
}

fn refused(ruling: &Ruling) -> Vec<usize> {
    let is_refused = |index: &usize| matches!(ruling.recipients[*index].disposition, Disposition::Refuse { .. });
    (0..ruling.recipients.len()).filter(is_refused).collect()
}

/// Step 4: what each group of recipients gets. A journal listener's mail is for the archive alone.
async fn renditions<'p>(
    post: &'p Arc<Post>,
    intake: &Intake,
    gathered: &Gathered,
    ruling: &Ruling,
    top: Top<'_>,
) -> Result<Made<'p>, render::Fault> {
    if is_journal(intake) {
        return Ok(Made::default());
    }
    let planned = plan::plan(&ruling.recipients, &gathered.visibility);
    render::render(post, planned, gathered, top).await
}

/// What stands on top of every rendition: our trace, and the mark of the loop guard where it is asked for.
fn block(entrance: Entrance<'_>, intake: &Intake, guard: Guard<'_>, base: &Base) -> Vec<u8> {
    let id = intake.draft.id();
    let mut block = received::received(guard.hostname, &intake.client, intake.forwarded.as_ref(), &id);
    if entrance.listener.is_some_and(|listener| listener.loop_header == LoopHeader::Add) {
        block.extend(guard.mark(&base.octets, &id));
    }
    block
}

/// Step 5. When this answers an id, the message survives whatever happens to this process or machine.
async fn commit(
    post: &Arc<Post>,
    intake: Intake,
    (ruling, retention): (&Ruling, Retention),
    renditions: Vec<RenditionDraft>,
    reported: Option<Reported>,
) -> Result<MailId, Reply> {
    let accept = AcceptDraft {
        accepted_at: intake.client.at,
        envelope: intake.envelope,
        client: intake.client,
        ruling: minicbor::to_vec(ruling).map_err(|e| replies::bug("a ruling does not encode", &e))?,
        retention,
        renditions,
        reported,
    };
    let (done, durable) = oneshot::channel();
    intake.draft.commit(
        accept,
        Box::new(move |result| {
            // The session may be gone; the message is accepted all the same, and its sender will send a duplicate.
            drop(done.send(result));
        }),
    );
    match durable.await {
        Ok(Ok(id)) => {
            // Durable from here: after a crash the queue goes on with delivery.
            post.accepted(id);
            Ok(id)
        }
        Ok(Err(e)) => Err(replies::of_journal(&e)),
        Err(_) => Err(replies::ARCHIVE_UNAVAILABLE.clone()),
    }
}

fn accepted(id: MailId, ruling: &Ruling, recipients: usize, partial: Partial) -> Answer {
    let reply = replies::ACCEPTED.with_text(format!("Accepted {id}"));
    match partial {
        Partial::All => Answer::All(reply),
        Partial::Split => {
            let of = |index: usize| match ruling.recipients.get(index).map(|r| &r.disposition) {
                Some(Disposition::Refuse { text }) => replies::refused([(None, text.as_str())]),
                _ => reply.clone(),
            };
            Answer::Each((0..recipients).map(of).collect())
        }
    }
}

/// The refusal of a whole message: the public texts of the refused recipients, naming them.
fn refusal(envelope: &Envelope, ruling: &Ruling, partial: Partial) -> Answer {
    let refused = envelope.recipients.iter().zip(&ruling.recipients).filter_map(|(recipient, entry)| {
        let Disposition::Refuse { text } = &entry.disposition else { return None };
        Some((Some(&recipient.address), text.as_str()))
    });
    match partial {
        Partial::All => Answer::All(replies::refused(refused)),
        Partial::Split => Answer::Each(refused.map(|one| replies::refused([one])).collect()),
    }
}
