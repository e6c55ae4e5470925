//! What the gateway answers a client, in one table: the only place where errors of the floors below become SMTP replies.
//! Public text never names a rule, a path or a mechanism; the cause goes to the log.

use crate::journal;
use crate::mail::Address;
use crate::protect;
use crate::smtp::server::Reply;
pub use crate::smtp::server::reply::ACCEPTED;

/// The client may not send to this recipient through us.
pub static RELAYING_DENIED: Reply = Reply::new(550, "5.7.1", "Relaying denied");
/// Where a certificate is required, there is nothing to be done in the clear.
pub static TLS_FIRST: Reply = Reply::new(530, "5.7.0", "Must issue a STARTTLS command first");
/// An account gives a sender that is not its own.
pub static NOT_YOUR_SENDER: Reply = Reply::new(553, "5.7.1", "Sender address is none of your account's");
/// More messages or recipients from one address than a minute may have.
pub static SLOW_DOWN: Reply = Reply::new(450, "4.7.1", "Too much mail from your address, try again later");
/// More connections or errors from one address than a minute may have.
pub static TOO_FAST: Reply =
    Reply::new(421, "4.7.0", "Too many connections or errors from your address, try again later");
/// No route serves the recipient's domain.
pub static NO_ROUTE: Reply = Reply::new(550, "5.4.4", "No route to this domain");
/// The message has passed too many hosts (RFC 5321 section 6.3), or this one too often.
pub static LOOP: Reply = Reply::new(554, "5.4.6", "Mail loop: too many hops, or here before");
/// Its first line would go on our Received field, and say what the sender likes in our name.
pub static BEGINS_WITH_FOLD: Reply = Reply::new(554, "5.6.0", "Message begins with a continuation line");
/// A rule, or the lack of a key, forbids the message.
pub static REFUSED: Reply = Reply::new(550, "5.7.1", "Refused by policy");
/// The journal cannot take anything now: it is poisoned, or its directory cannot be written.
pub static ARCHIVE_UNAVAILABLE: Reply = Reply::new(451, "4.3.0", "Cannot store mail now, try again later");
/// Space runs low.
pub static STORAGE_FULL: Reply = Reply::new(452, "4.3.1", "Insufficient storage, try again later");
/// Too many large messages are worked on to begin with one more.
pub static NO_ROOM: Reply = Reply::new(452, "4.3.1", "Too many large messages at once, try again later");
/// A key that should work does not, or a part of ours failed.
pub static TEMPORARY: Reply = Reply::new(451, "4.3.0", "Temporary failure, try again later");
/// It met a bug of ours, twice.
pub static CANNOT_PROCESS: Reply = Reply::new(554, "5.6.0", "The message cannot be processed here");
/// Large, and to be encrypted for so many hidden recipients one by one that there is no room for it.
pub static TOO_MANY_RENDITIONS: Reply = Reply::new(
    554,
    "5.3.4",
    "Too large to be encrypted for so many recipients; name them in To or send to fewer at once",
);
/// The message cannot be put into the protected form that a rule asks for.
pub static CANNOT_PROTECT: Reply = Reply::new(554, "5.6.3", "The message cannot be signed or encrypted as required");

/// The reply for what the journal could not do.
pub fn of_journal(error: &journal::Error) -> Reply {
    tracing::error!("journal: {error}");
    match error {
        journal::Error::StorageFull => STORAGE_FULL.clone(),
        _ => ARCHIVE_UNAVAILABLE.clone(),
    }
}

/// The reply for what could not be rendered.
pub fn of_protect(error: &protect::Error) -> Reply {
    tracing::error!("rendering: {error}");
    match error.class() {
        protect::Class::Reject => CANNOT_PROTECT.clone(),
        _ => TEMPORARY.clone(),
    }
}

/// The reply for what cannot happen.
pub fn bug(what: &str, cause: &dyn std::fmt::Display) -> Reply {
    tracing::error!("bug: {what}: {cause}");
    TEMPORARY.clone()
}

/// A refusal in a rule's own public words. Each text begins with its enhanced status code (RFC 3463).
pub fn refused<'a>(texts: impl IntoIterator<Item = (Option<&'a Address>, &'a str)>) -> Reply {
    let mut status = REFUSED.status();
    let mut lines = Vec::new();
    for (address, text) in texts {
        let (own, words) =
            STATUSES.into_iter().find_map(|s| Some((s, text.strip_prefix(s)?))).unwrap_or((status, text));
        if lines.is_empty() {
            status = own;
        }
        lines.push(match address {
            Some(address) => format!("<{address}>: {}", words.trim_start()),
            None => words.trim_start().to_owned(),
        });
    }
    Reply::new(REFUSED.code(), status, "").with_text(lines.join("\n"))
}

/// The codes that rulings give.
const STATUSES: [&str; 2] = ["5.7.1", "5.7.5"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_its_own_status_once() {
        let bob = Address::parse("bob@partner.example").expect("address");
        let reply = refused([(Some(&bob), "5.7.5 no key"), (None, "5.7.1 not today"), (None, "plain words")]);
        assert_eq!((reply.code(), reply.status()), (550, "5.7.5"));
        assert_eq!(reply.text(), "<bob@partner.example>: no key\nnot today\nplain words");
    }
}
