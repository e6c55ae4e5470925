//! Tells a sender what became of recipients, as far as he wants to know (RFC 3461): composes the notification and accepts it as
//! mail of our own. Never answers a null sender (RFC 5321 section 6.1), so that no bounce is ever bounced.

use super::dsn::{self, About, Action, Report, Return};
use crate::gateway::post::{Post, is_large};
use crate::journal::{self, AcceptDraft, Entry, Outcome, RecipientResult, RenditionDraft};
use crate::mail::{Address, BodyType, Client, Direction, Envelope, MailId, Recipient, Retention};
use crate::policy::{Disposition, RecipientRuling, Ruling, Treatment, Why};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a sender may be told.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    /// The message.
    pub entry: &'a Entry,
    /// What happened.
    pub action: Action,
    /// To whom.
    pub results: &'a [RecipientResult],
    /// The rendition, when the caller has it. Else it is read, and waits for its room: no caller without it may hold that.
    pub message: Option<&'a [u8]>,
}

/// Whether anybody was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// One notification was accepted.
    Yes,
    /// Nobody wants to know.
    Nobody,
}

/// Composes and accepts one notification for all of these results. Durable when it returns.
pub async fn tell_sender(post: &Arc<Post>, news: News<'_>) -> Result<Told, journal::Error> {
    let entry = news.entry;
    let recipients: Vec<About> = news.results.iter().filter_map(|result| about(entry, news.action, result)).collect();
    let Some(sender) = entry.accept.envelope.sender.as_ref().filter(|_| !recipients.is_empty()) else {
        return Ok(Told::Nobody);
    };
    let message = match news.message {
        Some(message) => Cow::Borrowed(message),
        None => Cow::Owned(read(post, &news).await),
    };
    let id = post.new_id()?;
    let octets = dsn::compose(&Report {
        hostname: post.config().hostname.as_str(),
        id,
        about: entry.accept.id,
        arrived: entry.accept.accepted_at,
        now: post.now(),
        to: sender,
        envid: entry.accept.envelope.envid.as_deref(),
        action: news.action,
        recipients: &recipients,
        message: &message,
        wanted: wanted(&entry.accept.envelope),
    });
    // What is said about a message is kept as long as the message, and goes with it.
    let news = Composed { envelope: envelope(entry, sender, &octets), retention: entry.accept.retention() };
    accept(post, id, news, &octets, "delivery status notification").await.map(|()| Told::Yes)
}

/// Whether the sender wants to know of this: RFC 3461 section 4.1; without NOTIFY, of failures and delays.
pub fn wants(recipient: &Recipient, action: Action) -> bool {
    let keyword = match action {
        Action::Failed => "FAILURE",
        Action::Delayed { .. } => "DELAY",
        Action::Relayed => "SUCCESS",
    };
    match recipient.notify.as_deref() {
        None => action != Action::Relayed,
        Some(list) => list.split(',').any(|word| word.eq_ignore_ascii_case(keyword)),
    }
}

/// What protected the message protects the news about it: of a message that required TLS only the header goes back (RFC 8689
/// section 5).
fn wanted(envelope: &Envelope) -> Return {
    let is_full = envelope.ret.as_deref().is_some_and(|ret| ret.eq_ignore_ascii_case("FULL"));
    if is_full && envelope.require_tls.is_none() { Return::Full } else { Return::Header }
}

/// The message as it left for the first of them.
async fn read(post: &Arc<Post>, news: &News<'_>) -> Vec<u8> {
    let accept = &news.entry.accept;
    let is_of = |recipients: &[u32]| news.results.first().is_some_and(|first| recipients.contains(&first.recipient));
    let Some((at, rendition)) = accept.renditions.iter().enumerate().find(|(_, r)| is_of(&r.recipients)) else {
        return Vec::new();
    };
    let _room = match is_large(rendition.bytes) {
        true => post.rooms().outgoing.take(rendition.bytes).await,
        false => None,
    };
    tokio::task::block_in_place(|| post.journal().rendition_octets(&accept.id, at)).unwrap_or_else(|e| {
        // The octets are damaged; that the sender is told matters more than that his header goes back.
        tracing::error!("{}: {e}; the notification goes without the header", accept.id);
        Vec::new()
    })
}

fn about(entry: &Entry, action: Action, result: &RecipientResult) -> Option<About> {
    let (status, diagnostic) = match &result.outcome {
        Outcome::Failed { status, reply } => (status.as_str(), reply),
        Outcome::Deferred { reply, .. } => (enhanced(reply, '4').unwrap_or("4.4.1"), reply),
        Outcome::Delivered { reply } => (enhanced(reply, '2').unwrap_or("2.0.0"), reply),
        Outcome::Archived
        | Outcome::Parked { .. }
        | Outcome::Released { .. }
        | Outcome::Dropped { .. }
        | Outcome::Warned => return None,
    };
    let recipient = entry.recipient(result.recipient)?;
    wants(recipient, action).then(|| About {
        address: recipient.address.clone(),
        orcpt: recipient.orcpt.clone(),
        status: status.to_owned(),
        next_hop: result.next_hop.clone(),
        diagnostic: diagnostic.clone(),
        at: result.at,
    })
}

/// The enhanced status code of a reply (`451 4.2.1 later`), if it has one of this class.
fn enhanced(reply: &str, class: char) -> Option<&str> {
    let code = reply.split(' ').nth(1)?;
    let mut parts = code.split('.');
    let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let is_code = parts.next() == Some(class.encode_utf8(&mut [0; 4]))
        && parts.next().is_some_and(is_number)
        && parts.next().is_some_and(is_number)
        && parts.next().is_none();
    is_code.then_some(code)
}

fn envelope(entry: &Entry, to: &Address, octets: &[u8]) -> Envelope {
    Envelope {
        sender: None,
        recipients: vec![Recipient::new(to.clone())],
        body: if octets.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
        ret: None,
        envid: None,
        smtputf8: to.is_internationalized(),
        require_tls: entry.accept.envelope.require_tls,
    }
}

/// A message that the gateway wrote itself, but for its octets.
pub struct Composed {
    /// To one recipient.
    pub envelope: Envelope,
    /// How long it is kept.
    pub retention: Retention,
}

/// Accepts a message that the gateway wrote itself. Durable when it returns.
pub async fn accept(
    post: &Arc<Post>,
    id: MailId,
    news: Composed,
    octets: &[u8],
    because: &str,
) -> Result<(), journal::Error> {
    let mut draft = post.journal().draft(id)?;
    draft.append(octets)?;
    let why = Why { action: "deliver".into(), value: "plain".into(), because: because.into() };
    let entry = RecipientRuling { disposition: Disposition::Deliver(Treatment::Plain), why: vec![why] };
    let ruling = Ruling { recipients: vec![entry], policy_digest: post.policy().digest() };
    let (done, durable) = oneshot::channel();
    let accept = AcceptDraft {
        accepted_at: post.now(),
        envelope: news.envelope,
        client: ourselves(post),
        ruling: minicbor::to_vec(&ruling).map_err(|e| journal::Error::Unavailable(e.to_string()))?,
        retention: news.retention,
        renditions: vec![RenditionDraft { recipients: vec![0], prefix: Vec::new(), content: None }],
        reported: None,
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
        let delayed = Action::Delayed { until: crate::clock::Timestamp::from_s(0) };
        for (notify, expected) in [
            (None, [true, true, false]),
            (Some("FAILURE"), [true, false, false]),
            (Some("success,failure"), [true, false, true]),
            (Some("NEVER"), [false, false, false]),
            (Some("SUCCESS,DELAY"), [false, true, true]),
        ] {
            let mut recipient = Recipient::new(Address::parse("bob@partner.example").expect("address"));
            recipient.notify = notify.map(str::to_owned);
            let told = [Action::Failed, delayed, Action::Relayed].map(|action| wants(&recipient, action));
            assert_eq!(told, expected, "{notify:?}");
        }
    }

    #[test]
    fn a_status_is_read_from_a_reply_of_its_class() {
        for (reply, expected) in [
            ("451 4.2.1 later", Some("4.2.1")),
            ("451 4.2.1", Some("4.2.1")),
            ("451 later", None),
            ("451 5.1.1 later", None),
            ("451 4.2.1.9 x", None),
            ("451 4.x.1 x", None),
            ("", None),
        ] {
            assert_eq!(enhanced(reply, '4'), expected, "{reply}");
        }
    }
}
