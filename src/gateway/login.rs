//! Logins at the SMTP door: checks a name and a password away from the sessions' threads, so many at once as there are cores, and
//! makes those wait who are wrong. Says nothing of why.

use super::observe::Event as AuditEvent;
use super::post::Post;
use crate::access::{Account, Refused};
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
    let unavailable = |e: String| (LoginRefusal::Unavailable, e);
    // Argon2 takes 19 MiB and a core.
    let _turn = post.logins().acquire().await.map_err(|e| unavailable(e.to_string()))?;
    let this = post.clone();
    let checked = tokio::task::spawn_blocking(move || this.accounts().authenticate(&user, &password)).await;
    match checked {
        Ok(Ok(account)) => Ok(account),
        Ok(Err(e @ Refused::Credentials)) => Err((LoginRefusal::Credentials, e.to_string())),
        Ok(Err(e @ Refused::Unavailable(_))) => Err(unavailable(e.to_string())),
        Err(e) => Err(unavailable(e.to_string())),
    }
}
