//! Logins at the SMTP door: checks a name and a password on the threads that are for it, leads exchanges of SCRAM, and makes those
//! wait who are wrong. Says nothing of why.

use crate::access::scram::{Exchange, Reached};
use crate::access::{Account, Refused};
use crate::gateway::observe::Event as AuditEvent;
use crate::gateway::post::Post;
use crate::smtp::server::{LoginRefusal, ScramMessage};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Pause after a wrong password.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// The account of that name, if the password is its own.
pub async fn check(
    post: &Arc<Post>,
    ip: IpAddr,
    user: String,
    password: Zeroizing<Vec<u8>>,
) -> Result<Account, LoginRefusal> {
    let (this, name) = (post.clone(), user.clone());
    let answer = post.logins().run(move || this.accounts().authenticate(&name, &password)).await;
    // The login panicked, which is logged.
    let answer = answer.ok_or((LoginRefusal::Unavailable, "the login could not be checked".to_owned()));
    let checked = answer.and_then(|verdict| verdict.map_err(refusal));
    settle(post, &format!("{user} [{ip}]"), checked).await
}

/// Takes a message of an exchange a step further. `under_way` is what the one before has left.
pub async fn advance(
    post: &Arc<Post>,
    ip: IpAddr,
    under_way: Option<Exchange>,
    message: ScramMessage,
) -> Result<Reached, LoginRefusal> {
    let reached = tokio::task::block_in_place(|| match (message, under_way) {
        (ScramMessage::First(octets), _) => post.accounts().scram(&octets),
        (ScramMessage::Next(octets), Some(exchange)) => exchange.respond(&octets).map_err(Refused::from),
        (ScramMessage::Next(_), None) => Err(Refused::Malformed),
    });
    match reached {
        Ok(Reached::Proven(account)) => {
            let who = format!("{} [{ip}]", account.name);
            settle(post, &who, Ok(account)).await.map(Reached::Proven)
        }
        Ok(challenge) => Ok(challenge),
        Err(why) => settle(post, &format!("[{ip}]"), Err(refusal(why))).await.map(Reached::Proven),
    }
}

fn refusal(why: Refused) -> (LoginRefusal, String) {
    let refusal = match why {
        Refused::Credentials => LoginRefusal::Credentials,
        Refused::Malformed => LoginRefusal::Malformed,
        Refused::Unavailable(_) => LoginRefusal::Unavailable,
    };
    (refusal, why.to_string())
}

/// Writes down how a login ended, and keeps the one who failed waiting.
async fn settle(
    post: &Arc<Post>,
    who: &str,
    checked: Result<Account, (LoginRefusal, String)>,
) -> Result<Account, LoginRefusal> {
    let audit = |event: &str, detail: &str| {
        post.audit().write(&AuditEvent { who: Some(who.to_owned()), detail, ..AuditEvent::new(post.now(), event) });
    };
    match checked {
        Ok(account) => {
            audit("login", "smtp");
            Ok(account)
        }
        Err((refusal, reason)) => {
            audit("login-refused", &reason);
            tokio::time::sleep(AFTER_REFUSAL).await;
            Err(refusal)
        }
    }
}
