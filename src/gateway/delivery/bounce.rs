//! Tells a sender which recipients failed: composes the notification and accepts it as mail of our own. Never answers a null
//! sender (RFC 5321 section 6.1), so that no bounce is ever bounced.

use crate::gateway::delivery::dsn::{self, FailedRecipient, Report};
use crate::gateway::post::Post;
use crate::journal::{self, AcceptDraft, Entry, Outcome, RecipientResult, RenditionDraft};
use crate::mail::{Address, BodyType, Client, Direction, Envelope, MailId, Recipient};
use crate::policy::{Disposition, RecipientRuling, Ruling, Treatment, Why};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Composes and accepts one notification for all of these results. Durable when it returns.
pub async fn tell_sender(post: &Arc<Post>, entry: &Entry, failed: &[RecipientResult]) -> Result<(), journal::Error> {
    let failed: Vec<FailedRecipient> = failed.iter().filter_map(|result| of(entry, result)).collect();
    let Some(sender) = entry.accept.envelope.sender.as_ref().filter(|_| !failed.is_empty()) else { return Ok(()) };
    let original = tokio::task::block_in_place(|| post.journal().octets(&entry.accept.id)).unwrap_or_else(|e| {
        // The octets are damaged; that the sender is told matters more than that his header goes back.
        tracing::error!("{}: {e}; the notification goes without the header", entry.accept.id);
        Vec::new()
    });
    let id = post.new_id()?;
    let now = post.now();
    let octets = dsn::compose(&Report {
        hostname: post.config().hostname.as_str(),
        id,
        about: entry.accept.id,
        arrived: entry.accept.accepted_at,
        now,
        to: sender,
        envid: entry.accept.envelope.envid.as_deref(),
        failed: &failed,
        original: &original,
    });
    accept(post, id, envelope(entry, sender), &octets).await
}

/// What protected the message protects the news about it (RFC 8689 section 5).
fn envelope(entry: &Entry, to: &Address) -> Envelope {
    Envelope {
        sender: None,
        recipients: vec![Recipient::new(to.clone())],
        body: BodyType::SevenBit,
        ret: None,
        envid: None,
        smtputf8: to.is_internationalized(),
        require_tls: entry.accept.envelope.require_tls,
    }
}

fn of(entry: &Entry, result: &RecipientResult) -> Option<FailedRecipient> {
    let Outcome::Failed { status, reply } = &result.outcome else { return None };
    let recipient = entry.accept.envelope.recipients.get(usize::try_from(result.recipient).ok()?)?;
    let never = recipient.notify.as_deref().is_some_and(|notify| !wants_failure(notify));
    (!never).then(|| FailedRecipient {
        address: recipient.address.clone(),
        orcpt: recipient.orcpt.clone(),
        status: status.clone(),
        next_hop: result.next_hop.clone(),
        diagnostic: reply.clone(),
    })
}

/// NOTIFY= (RFC 3461 section 4.1): a list without FAILURE, or NEVER, asks not to be told.
fn wants_failure(notify: &str) -> bool {
    notify.split(',').any(|word| word.eq_ignore_ascii_case("FAILURE"))
}

async fn accept(post: &Arc<Post>, id: MailId, envelope: Envelope, octets: &[u8]) -> Result<(), journal::Error> {
    let mut draft = post.journal().draft(id)?;
    draft.append(octets)?;
    let why = Why { action: "deliver".into(), value: "plain".into(), because: "delivery status notification".into() };
    let entry = RecipientRuling { disposition: Disposition::Deliver(Treatment::Plain), why: vec![why] };
    let ruling = Ruling { recipients: vec![entry], policy_digest: post.policy().digest() };
    let (done, durable) = oneshot::channel();
    let accept = AcceptDraft {
        accepted_at: post.now(),
        envelope,
        client: ourselves(post),
        ruling: minicbor::to_vec(&ruling).map_err(|e| journal::Error::Unavailable(e.to_string()))?,
        class: "default".to_owned(),
        renditions: vec![RenditionDraft { recipients: vec![0], prefix: Vec::new(), content: None }],
    };
    draft.commit(accept, Box::new(move |result| drop(done.send(result))));
    let id = durable.await.map_err(|_| journal::Error::Unavailable("closed".to_owned()))??;
    post.accepted(id);
    Ok(())
}

/// The client of mail that the gateway itself writes.
fn ourselves(post: &Post) -> Client {
    Client {
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ehlo: post.config().hostname.as_str().to_owned(),
        protocol: "local".to_owned(),
        tls: None,
        account: None,
        direction: Direction::Outbound,
        at: post.now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_is_obeyed() {
        for (notify, expected) in
            [("FAILURE", true), ("success,failure", true), ("NEVER", false), ("SUCCESS,DELAY", false), ("", false)]
        {
            assert_eq!(wants_failure(notify), expected, "{notify}");
        }
    }
}
