//! XCLIENT and XFORWARD (Postfix's XCLIENT_README and XFORWARD_README): a proxy says for whom it speaks, a filter from whom it has a
//! message. Believes nobody but the peers that its driver trusts.
//!
//! ```text
//! command   = ( "XCLIENT" / "XFORWARD" ) 1*( SP name "=" value )
//! value     = xtext (RFC 3461 section 4) / "[UNAVAILABLE]" / "[TEMPUNAVAIL]"
//! ADDR      = IPv4-address / "IPV6:" IPv6-address
//! ```

use super::arguments::Extensions;
use super::dialogue::Turn;
use super::reply;
use super::reply::Reply;
use super::session::Session;
use crate::smtp::limits;
use crate::smtp::xtext;
use std::net::{IpAddr, Ipv4Addr};

/// Whether the peer may say for whom it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// It speaks for itself.
    #[default]
    Stranger,
    /// It may use XCLIENT and XFORWARD.
    Trusted,
}

/// What a trusted peer says of the client; what it does not say, or has not, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// ADDR.
    pub ip: Option<IpAddr>,
    /// HELO.
    pub name: Option<String>,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ip = self.ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        write!(f, "{} [{ip}]", self.name.as_deref().unwrap_or("unknown"))
    }
}

type Fault = &'static Reply;

/// One of the two commands.
#[derive(Clone, Copy, Debug)]
pub struct Dictionary {
    /// What it may say, as EHLO offers it.
    pub attributes: &'static str,
    /// Whose rights a client has whose address the peer does not know.
    unknown_ip: Option<IpAddr>,
}

/// For the trace of a message alone; a program on the peer's machine has no address.
pub const XFORWARD: Dictionary = Dictionary { attributes: "NAME ADDR PORT PROTO HELO IDENT SOURCE", unknown_ip: None };
/// A client of no known address has no address's rights. LOGIN is no attribute: a login is ours to check.
pub const XCLIENT: Dictionary =
    Dictionary { attributes: "NAME ADDR PORT PROTO HELO", unknown_ip: Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) };

/// Reads attributes into `origin`; on a fault it may be half changed.
fn read(argument: &str, dictionary: Dictionary, origin: &mut Origin) -> Result<(), Fault> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty()).peekable();
    words.peek().ok_or(&reply::BAD_ARGUMENTS)?;
    for word in words {
        let (name, value) = word.split_once('=').ok_or(&reply::BAD_ARGUMENTS)?;
        let name = name.to_ascii_uppercase();
        if !dictionary.attributes.split(' ').any(|one| one == name) {
            return Err(&reply::UNKNOWN_ATTRIBUTE);
        }
        set(origin, &name, decoded(value)?, dictionary)?;
    }
    Ok(())
}

/// `None`: the peer does not know it.
fn decoded(value: &str) -> Result<Option<String>, Fault> {
    if value.eq_ignore_ascii_case("[UNAVAILABLE]") || value.eq_ignore_ascii_case("[TEMPUNAVAIL]") {
        return Ok(None);
    }
    let text = xtext::decode(value).and_then(|octets| String::from_utf8(octets).ok());
    let is_fit = |text: &String| {
        (1..=limits::CLIENT_NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c == ' ')
    };
    text.filter(is_fit).map(Some).ok_or(&reply::BAD_PARAMETER)
}

/// What is not kept is still looked at.
fn set(origin: &mut Origin, name: &str, value: Option<String>, dictionary: Dictionary) -> Result<(), Fault> {
    let is_one_of = |words: &[&str]| value.as_ref().is_none_or(|v| words.iter().any(|w| v.eq_ignore_ascii_case(w)));
    let is_fit = match name {
        "ADDR" => {
            origin.ip = value.as_deref().map(address).transpose()?.or(dictionary.unknown_ip);
            true
        }
        "HELO" => {
            origin.name = value;
            true
        }
        "PORT" => value.is_none_or(|port| port.parse::<u16>().is_ok()),
        "SOURCE" => is_one_of(&["LOCAL", "REMOTE"]),
        _ => true,
    };
    if is_fit { Ok(()) } else { Err(&reply::BAD_PARAMETER) }
}

fn address(text: &str) -> Result<IpAddr, Fault> {
    let v6 = text.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPV6:")).map(|_| &text[5..]);
    let ip = match v6 {
        Some(v6) => v6.parse().map(IpAddr::V6),
        None => text.parse().map(IpAddr::V4),
    };
    ip.map(|ip| ip.to_canonical()).map_err(|_| &reply::BAD_PARAMETER)
}

impl Session {
    /// The peer may say for whom it speaks; before the greeting.
    pub fn trust_peer(&mut self) {
        self.peer = Peer::Trusted;
    }

    /// XCLIENT: the session begins anew, as that client's.
    pub(super) fn xclient(&mut self, argument: &str, out: &mut Vec<u8>) -> Turn {
        self.may_forward()?;
        let mut origin = self.client.clone();
        read(argument, XCLIENT, &mut origin)?;
        self.reset();
        self.hello = None;
        self.account = None;
        // It is the proxy's.
        self.tls.iter_mut().for_each(|tls| tls.certificate = None);
        self.client = origin;
        self.greeting(out);
        Ok(None)
    }

    /// XFORWARD: the next transaction is that client's.
    pub(super) fn xforward(&mut self, argument: &str, out: &mut Vec<u8>) -> Turn {
        self.may_forward()?;
        if self.hello.as_ref().is_none_or(|hello| hello.extensions == Extensions::None) {
            return Err(&reply::HELLO_FIRST);
        }
        let mut origin = self.forwarded.clone();
        read(argument, XFORWARD, &mut origin)?;
        self.forwarded = origin;
        self.say(&reply::OK, out);
        Ok(None)
    }

    fn may_forward(&self) -> Result<(), Fault> {
        match (self.peer, &self.transaction) {
            (Peer::Stranger, _) => Err(&reply::NOT_TRUSTED),
            (Peer::Trusted, Some(_)) => Err(&reply::NESTED_MAIL),
            (Peer::Trusted, None) => Ok(()),
        }
    }

    /// The client's address, when a trusted peer speaks for it by XCLIENT: it has that client's rights, not its own.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client.ip
    }
    /// The name in EHLO, HELO or LHLO, as given, here or to the peer that speaks for the client; empty before it.
    pub fn client_name(&self) -> &str {
        let name = self.client.name.as_deref();
        name.unwrap_or_else(|| self.hello.as_ref().map_or("", |hello| &hello.name))
    }
    /// From whom a trusted peer has the message, by XFORWARD: to be told, and no ground for any right.
    pub fn forwarded(&self) -> Option<&Origin> {
        Some(&self.forwarded).filter(|origin| **origin != Origin::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argument: &str, expected: Result<(&str, &str), Fault>) {
        let mut origin = Origin::default();
        let read = read(argument, XFORWARD, &mut origin);
        let ip = origin.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let name = origin.name.unwrap_or_default();
        assert_eq!(read.map(|()| (ip.as_str(), name.as_str())), expected, "{argument}");
    }

    #[test]
    fn attributes_are_read() {
        check("ADDR=192.0.2.1", Ok(("192.0.2.1", "")));
        check("addr=ipv6:2001:db8::1  HELO=a+2Bb", Ok(("2001:db8::1", "a+b")));
        check("ADDR=IPV6:::ffff:192.0.2.1", Ok(("192.0.2.1", "")));
        check("ADDR=[UNAVAILABLE] HELO=[tempunavail]", Ok(("", "")));
        check("HELO=[192.0.2.1] NAME=x PORT=25 PROTO=ESMTP IDENT=4711 SOURCE=LOCAL", Ok(("", "[192.0.2.1]")));
        check(&format!("HELO={}", "h".repeat(limits::CLIENT_NAME_BYTES_MAX)), Ok(("", &"h".repeat(255))));
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        check("", Err(&reply::BAD_ARGUMENTS));
        check("ADDR", Err(&reply::BAD_ARGUMENTS));
        for argument in ["LOGIN=alice", "X=1", "=1", "ADDR=192.0.2.1 DESTADDR=192.0.2.2"] {
            check(argument, Err(&reply::UNKNOWN_ATTRIBUTE));
        }
        for argument in [
            "ADDR=",
            "ADDR=x",
            "ADDR=2001:db8::1",
            "ADDR=IPV6:192.0.2.1",
            "ADDR=192.0.2.1=2",
            "HELO=+0D+0A",
            "HELO=a+20b",
            "HELO=+FF",
            "HELO=+2",
            "PORT=65536",
            "PORT=x",
            "SOURCE=MARS",
        ] {
            check(argument, Err(&reply::BAD_PARAMETER));
        }
        check(&format!("HELO={}", "h".repeat(limits::CLIENT_NAME_BYTES_MAX + 1)), Err(&reply::BAD_PARAMETER));
    }
}
