//! Logins at the SMTP door: checks a name and a password on the threads that are for it, and makes those wait who are wrong. Says nothing of why.

use crate::access::{Account, Refused};
use crate::gateway::observe::Event as AuditEvent;
use crate::gateway::post::Post;
use crate::smtp::server::LoginRefusal;
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
    let who = Some(format!("{user} [{ip}]"));
    let audit = |event: &str, detail: &str| {
        post.audit().write(&AuditEvent { who: who.clone(), detail, ..AuditEvent::new(post.now(), event) });
    };
    match verified(post, user, password).await {
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

async fn verified(
    post: &Arc<Post>,
    user: String,
    password: Zeroizing<Vec<u8>>,
) -> Result<Account, (LoginRefusal, String)> {
    let this = post.clone();
    match post.logins().run(move || this.accounts().authenticate(&user, &password)).await {
        Some(Ok(account)) => Ok(account),
        Some(Err(e @ Refused::Credentials)) => Err((LoginRefusal::Credentials, e.to_string())),
        Some(Err(e @ Refused::Unavailable(_))) => Err((LoginRefusal::Unavailable, e.to_string())),
        None => Err((LoginRefusal::Unavailable, "the login could not be checked".to_owned())),
    }
}
