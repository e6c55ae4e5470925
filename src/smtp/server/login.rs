//! AUTH (RFC 4954): the exchanges of PLAIN (RFC 4616) and LOGIN, up to a name and a password, and those of SCRAM-SHA-256 (RFC 7677),
//! whose messages it carries to its driver and back. Checks no password and forgets each at once.
//!
//! ```text
//! auth-command = "AUTH" SP sasl-mech [ SP ( base64 / "=" ) ] *( CRLF [ base64 ] ) [ CRLF "*" ] CRLF
//! ```

use super::arguments::Extensions;
use super::dialogue::Turn;
use super::reply;
use super::reply::Reply;
use super::session::{Auth, Event, Phase, Question, Session};
use crate::smtp::limits;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Who a client says it is.
pub struct Login {
    /// The name, as given.
    pub user: String,
    /// The password, as given.
    pub password: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({:?})", self.user)
    }
}

/// A message of the client's in an exchange that its driver leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScramMessage {
    /// The first; what there was of an exchange before has come to nothing.
    First(Vec<u8>),
    /// What answers a challenge.
    Next(Vec<u8>),
}

/// Whether AUTH SCRAM-SHA-256 is offered beside PLAIN and LOGIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scram {
    /// No: there is nobody who could use it.
    #[default]
    Absent,
    /// Wherever AUTH is.
    Offered,
}

/// Why a login is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginRefusal {
    /// Name or password is wrong; which one is not told.
    Credentials,
    /// The client does not speak the mechanism.
    Malformed,
    /// It cannot be checked now.
    Unavailable,
}

/// The response that is awaited.
#[derive(Debug)]
pub enum Exchange {
    /// `[authzid] NUL authcid NUL passwd`.
    Plain,
    /// LOGIN's name.
    Name,
    /// LOGIN's password, for this name.
    Password(Zeroizing<Vec<u8>>),
    /// SCRAM's first message.
    ScramFirst,
    /// SCRAM's other messages.
    ScramNext,
}

/// How far an exchange has come.
#[derive(Debug)]
enum Reached {
    Challenge(Exchange),
    Login(Login),
    Scram(ScramMessage),
}

impl Exchange {
    fn of(mechanism: &str, scram: Scram) -> Option<Exchange> {
        match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Exchange::Plain),
            "LOGIN" => Some(Exchange::Name),
            "SCRAM-SHA-256" if scram == Scram::Offered => Some(Exchange::ScramFirst),
            _ => None,
        }
    }

    fn challenge(&self) -> &'static Reply {
        match self {
            Exchange::Plain | Exchange::ScramFirst | Exchange::ScramNext => &reply::AUTH_GO_ON,
            Exchange::Name => &reply::AUTH_NAME,
            Exchange::Password(_) => &reply::AUTH_PASSWORD,
        }
    }

    fn respond(self, response: &[u8]) -> Result<Reached, &'static Reply> {
        let octets = STANDARD.decode(response).map(Zeroizing::new).map_err(|_| &reply::AUTH_MALFORMED)?;
        match self {
            Exchange::Plain => plain(&octets).map(Reached::Login),
            Exchange::Name => Ok(Reached::Challenge(Exchange::Password(octets))),
            Exchange::Password(name) => login(&name, &octets).map(Reached::Login),
            Exchange::ScramFirst => Ok(Reached::Scram(ScramMessage::First(octets.to_vec()))),
            Exchange::ScramNext => Ok(Reached::Scram(ScramMessage::Next(octets.to_vec()))),
        }
    }
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd`. We let nobody act for another.
fn plain(message: &[u8]) -> Result<Login, &'static Reply> {
    let mut parts = message.splitn(3, |octet| *octet == 0);
    let (Some(acting_for), Some(user), Some(password)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(&reply::AUTH_MALFORMED);
    };
    if !acting_for.is_empty() && acting_for != user {
        return Err(&reply::AUTH_FAILED);
    }
    login(user, password)
}

fn login(user: &[u8], password: &[u8]) -> Result<Login, &'static Reply> {
    let is_sound = !user.is_empty() && !password.contains(&0);
    match std::str::from_utf8(user) {
        Ok(user) if is_sound => Ok(Login { user: user.to_owned(), password: Zeroizing::new(password.to_vec()) }),
        _ => Err(&reply::AUTH_MALFORMED),
    }
}

impl Session {
    /// Whether AUTH is offered now.
    pub(super) fn offers_auth(&self) -> bool {
        self.settings.auth == Auth::InsideTls && self.tls.is_some()
    }

    /// AUTH SCRAM-SHA-256 is offered from now on.
    pub fn offer_scram(&mut self) {
        self.scram = Scram::Offered;
    }

    /// Runs AUTH.
    pub(super) fn auth(&mut self, argument: &str, out: &mut Vec<u8>) -> Turn {
        self.may_log_in()?;
        if self.logins_refused >= limits::LOGINS_REFUSED_MAX {
            return self.last(&reply::TOO_MANY_LOGINS, out);
        }
        let mut words = argument.split(' ').filter(|word| !word.is_empty());
        let (Some(mechanism), initial, None) = (words.next(), words.next(), words.next()) else {
            return Err(&reply::BAD_ARGUMENTS);
        };
        let exchange = Exchange::of(mechanism, self.scram).ok_or(&reply::AUTH_UNKNOWN_MECHANISM)?;
        let reached = match initial {
            None => Reached::Challenge(exchange),
            // An empty initial response (RFC 4954 section 4).
            Some("=") => exchange.respond(b"")?,
            Some(initial) => exchange.respond(initial.as_bytes())?,
        };
        Ok(self.reach(reached, out))
    }

    fn may_log_in(&self) -> Result<(), &'static Reply> {
        if self.settings.auth == Auth::Absent {
            return Err(&reply::NOT_IMPLEMENTED);
        }
        if self.hello.as_ref().is_none_or(|hello| hello.extensions == Extensions::None) {
            return Err(&reply::HELLO_FIRST);
        }
        if self.tls.is_none() {
            return Err(&reply::AUTH_NEEDS_TLS);
        }
        if self.account.is_some() {
            return Err(&reply::ALREADY_AUTHENTICATED);
        }
        if self.transaction.is_some() { Err(&reply::AUTH_IN_TRANSACTION) } else { Ok(()) }
    }

    /// Takes the client's next line as its response.
    pub(super) fn respond(&mut self, exchange: Exchange, line: &[u8], out: &mut Vec<u8>) -> Option<Event<'static>> {
        let reached = match line {
            b"*" => Err(&reply::AUTH_CANCELLED),
            _ => exchange.respond(line),
        };
        match reached {
            Ok(reached) => self.reach(reached, out),
            Err(error) => {
                self.fault(error, out);
                None
            }
        }
    }

    fn reach(&mut self, reached: Reached, out: &mut Vec<u8>) -> Option<Event<'static>> {
        match reached {
            Reached::Challenge(exchange) => {
                exchange.challenge().write(out);
                self.phase = Phase::Response(exchange);
                None
            }
            Reached::Login(login) => {
                self.phase = Phase::Asked(Question::Login);
                Some(Event::Authenticate(login))
            }
            Reached::Scram(message) => {
                self.phase = Phase::Asked(Question::Login);
                Some(Event::Scram(message))
            }
        }
    }

    /// The driver's answer to [`Event::Scram`] that the client has to answer in turn.
    pub fn challenge(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if matches!(self.phase, Phase::Asked(Question::Login)) {
            self.phase = Phase::Response(Exchange::ScramNext);
            // One line however long it is: only a response may be as long (RFC 4954 section 4).
            out.extend_from_slice(format!("334 {}\r\n", STANDARD.encode(octets)).as_bytes());
        }
    }

    /// Yes to [`Event::Authenticate`] or [`Event::Scram`]: the client is this account.
    pub fn authenticated(&mut self, account: impl Into<String>, out: &mut Vec<u8>) {
        if matches!(self.phase, Phase::Asked(Question::Login)) {
            self.phase = Phase::Command;
            self.account = Some(account.into());
            reply::AUTH_OK.write(out);
        }
    }

    /// No to [`Event::Authenticate`] or [`Event::Scram`]. After [`limits::LOGINS_REFUSED_MAX`] the next AUTH ends the session.
    pub fn refuse_login(&mut self, why: LoginRefusal, out: &mut Vec<u8>) {
        if !matches!(self.phase, Phase::Asked(Question::Login)) {
            return;
        }
        self.phase = Phase::Command;
        match why {
            LoginRefusal::Unavailable => self.say(&reply::AUTH_UNAVAILABLE, out),
            LoginRefusal::Malformed => self.fault(&reply::AUTH_MALFORMED, out),
            LoginRefusal::Credentials => {
                self.logins_refused += 1;
                self.say(&reply::AUTH_FAILED, out);
            }
        }
    }

    /// The account that logged in.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_read() {
        let check = |message: &[u8], expected: Result<(&str, &[u8]), &'static Reply>| {
            let found = plain(message);
            let found = found.as_ref().map(|l| (l.user.as_str(), l.password.as_slice())).map_err(|e| *e);
            assert_eq!(found, expected, "{}", message.escape_ascii());
        };
        check(b"\0alice\0secret", Ok(("alice", b"secret")));
        check(b"alice\0alice\0s", Ok(("alice", b"s")));
        check(b"\0alice\0", Ok(("alice", b"")));
        check("\0\u{fc}\0\u{fc}".as_bytes(), Ok(("\u{fc}", "\u{fc}".as_bytes())));
        check(b"bob\0alice\0s", Err(&reply::AUTH_FAILED));
        for message in [&b""[..], b"\0alice", b"\0\0s", b"\0a\0s\0t", b"\0\xff\0s", b"alice"] {
            check(message, Err(&reply::AUTH_MALFORMED));
        }
    }

    #[test]
    fn a_login_does_not_show_its_password() {
        let login = login(b"alice", b"secret").expect("a login");
        assert_eq!(format!("{login:?}"), "Login(\"alice\")");
    }
}
