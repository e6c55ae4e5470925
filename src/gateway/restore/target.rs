//! Where mail is restored to, as a person writes it.
//!
//! ```text
//! maildir:PATH   mbox:PATH
//! smtp://[USER@]HOST[:PORT][?tls=verified|required|opportunistic|none]
//! imap://USER@HOST[:PORT]/MAILBOX       STARTTLS          imaps://USER@HOST[:PORT]/MAILBOX      TLS from the start
//! ```
//! `%40` and the like stand for octets that have a meaning here (RFC 3986). A password never stands here, where everybody could see it.

use crate::gateway::config::{HostPort, RouteTls};
use std::path::PathBuf;

/// A place for mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Maildir, new or not.
    Maildir(PathBuf),
    /// A new mbox file.
    Mbox(PathBuf),
    /// A mail server that delivers.
    Smtp {
        /// Where it is.
        hop: HostPort,
        /// Who logs in.
        user: Option<String>,
        /// How TLS is done.
        tls: RouteTls,
    },
    /// A mailbox.
    Imap {
        /// Where its server is.
        hop: HostPort,
        /// Who logs in.
        user: String,
        /// The mailbox.
        mailbox: String,
        /// When TLS begins.
        encryption: Encryption,
    },
}

/// When TLS begins. Without it nobody logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With the first octet.
    Implicit,
    /// When STARTTLS was answered.
    StartTls,
}

const FORMS: &str =
    "maildir:PATH, mbox:PATH, smtp://[USER@]HOST[:PORT], imap://USER@HOST[:PORT]/MAILBOX or imaps://...";

impl Target {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Target, String> {
        if let Some(path) = text.strip_prefix("maildir:").filter(|path| !path.is_empty()) {
            return Ok(Target::Maildir(path.into()));
        }
        if let Some(path) = text.strip_prefix("mbox:").filter(|path| !path.is_empty()) {
            return Ok(Target::Mbox(path.into()));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("a target is {FORMS}"))?;
        match scheme {
            "smtp" => smtp(rest),
            "imap" => imap(rest, Encryption::StartTls, 143),
            "imaps" => imap(rest, Encryption::Implicit, 993),
            _ => Err(format!("`{scheme}:` is not known; a target is {FORMS}")),
        }
    }
}

fn smtp(rest: &str) -> Result<Target, String> {
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, hop) = authority_of(authority.trim_end_matches('/'), 25)?;
    let tls = match query {
        "" | "tls=verified" => RouteTls::Verified,
        "tls=required" => RouteTls::Required,
        "tls=opportunistic" => RouteTls::Opportunistic,
        "tls=none" => RouteTls::None,
        _ => return Err("behind `?` stands tls=verified, required, opportunistic or none".to_owned()),
    };
    if user.is_some() && !matches!(tls, RouteTls::Verified | RouteTls::Required) {
        return Err("a password is sent with tls=verified or tls=required only".to_owned());
    }
    Ok(Target::Smtp { hop, user, tls })
}

fn imap(rest: &str, encryption: Encryption, port: u16) -> Result<Target, String> {
    let (authority, mailbox) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hop) = authority_of(authority, port)?;
    let user = user.ok_or("a user is missing: imap://USER@HOST/MAILBOX")?;
    let mailbox = decoded(mailbox)?;
    if mailbox.is_empty() {
        return Err("a mailbox is missing: imap://USER@HOST/MAILBOX".to_owned());
    }
    Ok(Target::Imap { hop, user, mailbox, encryption })
}

fn authority_of(authority: &str, port: u16) -> Result<(Option<String>, HostPort), String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            return Err("a password does not belong here: --password-file takes it".to_owned());
        }
        Some((user, host)) => (Some(decoded(user)?).filter(|user| !user.is_empty()), host),
        None => (None, authority),
    };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let hop = if has_port { HostPort::parse(host) } else { HostPort::parse(&format!("{host}:{port}")) };
    Ok((user, hop?))
}

/// `pct-encoded = "%" HEXDIG HEXDIG`
fn decoded(text: &str) -> Result<String, String> {
    let fault = || format!("`{text}`: behind % stand two hex digits, and all is UTF-8");
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or_else(fault)?;
        let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        octets.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex).ok_or_else(fault)?);
        rest = &rest[2..];
    }
    String::from_utf8(octets).map_err(|_| fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_written() {
        let hop = |host: &str, port| HostPort { host: host.into(), port };
        let smtp = |hop, user: Option<&str>, tls| Target::Smtp { hop, user: user.map(str::to_owned), tls };
        let imap = |hop, mailbox: &str, encryption| Target::Imap {
            hop,
            user: "a@x.example".into(),
            mailbox: mailbox.into(),
            encryption,
        };
        for (text, expected) in [
            ("maildir:/a/b", Target::Maildir("/a/b".into())),
            ("mbox:c", Target::Mbox("c".into())),
            ("smtp://mail.example", smtp(hop("mail.example", 25), None, RouteTls::Verified)),
            ("smtp://u@mail.example:587/?tls=required", smtp(hop("mail.example", 587), Some("u"), RouteTls::Required)),
            ("smtp://[::1]:2525?tls=none", smtp(hop("::1", 2525), None, RouteTls::None)),
            ("smtp://[::1]?tls=opportunistic", smtp(hop("::1", 25), None, RouteTls::Opportunistic)),
            (
                "imap://a%40x.example@mail.example/Old/2003%20a",
                imap(hop("mail.example", 143), "Old/2003 a", Encryption::StartTls),
            ),
            (
                "imaps://a@x.example@mail.example:1993/INBOX",
                imap(hop("mail.example", 1993), "INBOX", Encryption::Implicit),
            ),
        ] {
            assert_eq!(Target::parse(text), Ok(expected), "{text}");
        }
        for (text, said) in [
            ("", "a target is"),
            ("maildir:", "a target is"),
            ("http://x", "not known"),
            ("imap://mail.example/x", "a user is missing"),
            ("imap://u@mail.example", "a mailbox is missing"),
            ("imap://u:secret@mail.example/x", "--password-file"),
            ("imap://u@mail.example/%4", "two hex digits"),
            ("imap://u@mail.example/%+4", "two hex digits"),
            ("smtp://mail.example?tls=no", "tls=verified"),
            ("smtp://u@mail.example?tls=none", "a password is sent"),
            ("smtp://mail.example:99999", "not host:port"),
        ] {
            assert!(Target::parse(text).is_err_and(|e| e.contains(said)), "{text}: {:?}", Target::parse(text));
        }
    }
}
