//! Values of `[archive]` that say where checkpoints go and how often the archive is read. Knows no keys, asks nobody.

use super::HostPort;
use crate::mail::Address;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where checkpoints go: `mail:officer@example.org`, `file:/mnt/other/checkpoints`, `tsa`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum CheckpointTo {
    /// A message to somebody.
    Mail(Address),
    /// A directory, best on a volume that keeps what it gets; relative to `data_dir`.
    File(PathBuf),
    /// The authority that `tsa` names.
    TimeStamp,
}

/// Where a time stamping authority answers: `http://host[:port][/path]` or `https://`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AuthorityUrl {
    text: String,
    scheme: Scheme,
    peer: HostPort,
    path: String,
}

/// How an authority is spoken to. Its answer is signed, so that plain HTTP is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Inside TLS, with a certificate that the system's authorities vouch for.
    Https,
}

/// How often the archive is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scrub {
    /// Once a day.
    Daily,
    /// Only when somebody runs `archive verify`.
    Off,
}

impl CheckpointTo {
    pub(super) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            CheckpointTo::File(path) => Some(path),
            CheckpointTo::Mail(_) | CheckpointTo::TimeStamp => None,
        }
    }
    /// The directory, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            CheckpointTo::File(path) => Some(path),
            CheckpointTo::Mail(_) | CheckpointTo::TimeStamp => None,
        }
    }
}

impl std::fmt::Display for CheckpointTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CheckpointTo::Mail(address) => write!(f, "mail:{address}"),
            CheckpointTo::File(path) => write!(f, "file:{}", path.display()),
            CheckpointTo::TimeStamp => f.write_str("tsa"),
        }
    }
}

impl TryFrom<String> for CheckpointTo {
    type Error = String;
    fn try_from(text: String) -> Result<CheckpointTo, String> {
        let fault = || format!("`{text}` is not `mail:ADDRESS`, `file:DIRECTORY` or `tsa`");
        match text.split_once(':') {
            Some(("mail", address)) => {
                Address::parse(address).map(CheckpointTo::Mail).map_err(|e| format!("`{text}`: {e}"))
            }
            Some(("file", path)) if !path.is_empty() => Ok(CheckpointTo::File(path.into())),
            None if text == "tsa" => Ok(CheckpointTo::TimeStamp),
            _ => Err(fault()),
        }
    }
}

impl AuthorityUrl {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// How.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// Where.
    pub fn peer(&self) -> &HostPort {
        &self.peer
    }
    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl TryFrom<String> for AuthorityUrl {
    type Error = String;
    fn try_from(text: String) -> Result<AuthorityUrl, String> {
        let fault = || format!("`{text}` is not a URL like http://tsa.example.org/tsr");
        let (scheme, port, rest) = match text.split_once("://").ok_or_else(fault)? {
            ("http", rest) => (Scheme::Http, 80, rest),
            ("https", rest) => (Scheme::Https, 443, rest),
            _ => return Err(fault()),
        };
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let peer = if has_port { HostPort::parse(host) } else { HostPort::parse(&format!("{host}:{port}")) };
        let is_plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        let (peer, path) = (peer.map_err(|_| fault())?, path.to_owned());
        if is_plain { Ok(AuthorityUrl { scheme, peer, path, text }) } else { Err(fault()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_have_one_spelling() {
        for text in ["mail:officer@example.org", "file:/mnt/other/checkpoints", "tsa"] {
            assert_eq!(CheckpointTo::try_from(text.to_owned()).expect(text).to_string(), text);
        }
        for text in ["", "mail:", "mail:nobody", "file:", "tsa:", "ftp:x", "tsa2", "/mnt"] {
            assert!(CheckpointTo::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn authorities_are_hosts_with_a_path() {
        for (text, peer, path) in [
            ("http://127.0.0.1:3161", "127.0.0.1:3161", "/"),
            ("http://tsa.example.org/tsr?x=1", "tsa.example.org:80", "/tsr?x=1"),
            ("https://tsa.example.org/a/b", "tsa.example.org:443", "/a/b"),
            ("http://[::1]:1/", "[::1]:1", "/"),
        ] {
            let url = AuthorityUrl::try_from(text.to_owned()).expect(text);
            assert_eq!((url.peer().to_string().as_str(), url.path()), (peer, path));
        }
        for text in
            ["", "http://", "ftp://x/", "http://a b/", "http://h:0/", "http://h/a b", "http://h/\r\nX: y", "h:80"]
        {
            assert!(AuthorityUrl::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
