//! SASL PLAIN (RFC 4616) as IMAP carries it (RFC 3501 section 6.2.2, RFC 4959). Checks no password.

use super::reply;
use super::session::Login;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Reads a base64 response; `=` stands for an empty one. The error is the answer behind the tag.
pub(super) fn plain(response: &[u8]) -> Result<Login, &'static str> {
    let encoded = if response == b"=" { b"" } else { response };
    let message = STANDARD.decode(encoded).map(Zeroizing::new).map_err(|_| "BAD Not base64")?;
    parse(&message)
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd`. We let nobody act for another.
fn parse(message: &[u8]) -> Result<Login, &'static str> {
    let mut parts = message.splitn(3, |b| *b == 0);
    let (Some(acting_for), Some(user), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("BAD Not a PLAIN response");
    };
    if !acting_for.is_empty() && acting_for != user {
        return Err("NO [AUTHORIZATIONFAILED] You can only act for yourself");
    }
    login(user, password)
}

/// Name and password as something to check.
pub(super) fn login(user: &[u8], password: &[u8]) -> Result<Login, &'static str> {
    let is_sound = !user.is_empty() && !password.contains(&0);
    match std::str::from_utf8(user) {
        Ok(user) if is_sound => Ok(Login { user: user.to_owned(), password: Zeroizing::new(password.to_vec()) }),
        _ => Err(reply::NO_CREDENTIALS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_read() {
        let check = |message: &[u8], expected: Result<(&str, &[u8]), &str>| {
            let found = plain(STANDARD.encode(message).as_bytes());
            let found = found.as_ref().map(|l| (l.user.as_str(), l.password.as_slice())).map_err(|e| &e[..3]);
            assert_eq!(found, expected, "{}", message.escape_ascii());
        };
        check(b"\0alice\0secret", Ok(("alice", b"secret")));
        check(b"alice\0alice\0s", Ok(("alice", b"s")));
        check(b"\0alice\0", Ok(("alice", b"")));
        check(b"bob\0alice\0s", Err("NO "));
        check(b"\0\0s", Err("NO "));
        check(b"\0a\0s\0t", Err("NO "));
        check(b"\0\xff\0s", Err("NO "));
        check(b"\0alice", Err("BAD"));
        check(b"", Err("BAD"));
        assert!(plain(b"=").is_err() && plain(b"!").is_err());
    }
}
