//! Login: AUTH as a client (RFC 4954). The caller sees to it that there is TLS.

use super::answer::{Answer, Class};
use super::capabilities::Mechanism;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

/// A name and its password. Neither is ever shown.
#[derive(Clone)]
pub struct Credentials {
    user: String,
    password: Zeroizing<String>,
}

impl Credentials {
    /// Any text without NUL, which PLAIN could not carry; `None` with one.
    pub fn new(user: impl Into<String>, password: Zeroizing<String>) -> Option<Credentials> {
        let user = user.into();
        (!user.contains('\0') && !password.contains('\0')).then_some(Credentials { user, password })
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// How an exchange goes on after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Wait,
    Done,
    Refused,
}

/// An AUTH exchange.
#[derive(Debug)]
pub(super) struct Login {
    credentials: Credentials,
    awaits: Awaited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Name,
    Password,
    Result,
}

impl Login {
    /// Appends AUTH.
    pub fn begin(mechanism: Mechanism, credentials: Credentials, out: &mut Vec<u8>) -> Login {
        let awaits = match mechanism {
            Mechanism::Plain => {
                let text = format!("\0{}\0{}", credentials.user, *credentials.password);
                out.extend_from_slice(b"AUTH PLAIN ");
                line(&Zeroizing::new(text), out);
                Awaited::Result
            }
            Mechanism::Login => {
                out.extend_from_slice(b"AUTH LOGIN\r\n");
                Awaited::Name
            }
        };
        Login { credentials, awaits }
    }

    /// Takes a reply. LOGIN's questions are not read: the first is for the name, the second for the password.
    pub fn hear(&mut self, answer: &Answer, out: &mut Vec<u8>) -> Turn {
        match (answer.code(), self.awaits) {
            (334, Awaited::Name) => {
                line(&self.credentials.user, out);
                self.awaits = Awaited::Password;
                Turn::Wait
            }
            (334, Awaited::Password) => {
                line(&self.credentials.password, out);
                self.awaits = Awaited::Result;
                Turn::Wait
            }
            (_, Awaited::Result) if answer.class() == Class::Positive => Turn::Done,
            _ => Turn::Refused,
        }
    }
}

fn line(text: &str, out: &mut Vec<u8>) {
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(text));
    out.extend_from_slice(encoded.as_bytes());
    out.extend_from_slice(b"\r\n");
}
