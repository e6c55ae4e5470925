//! `[[listener]]`: who may connect, and how.

use super::value::{self, AddressPattern, Hostname, Network};
use crate::crypto::Digest;
use crate::crypto::hash;
use crate::mail::Address;
use crate::mail::Direction;
use crate::smtp::server::BareLf;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033.
    Lmtp,
    /// RFC 3501.
    Imap,
    /// RFC 1939.
    Pop3,
}

impl Protocol {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::Smtp => "smtp",
            Protocol::Lmtp => "lmtp",
            Protocol::Imap => "imap",
            Protocol::Pop3 => "pop3",
        }
    }
    /// Whether mail comes in here.
    pub fn takes_mail(self) -> bool {
        matches!(self, Protocol::Smtp | Protocol::Lmtp)
    }
}

/// How a listener does TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerTls {
    /// Never.
    None,
    /// Offered.
    #[default]
    Starttls,
    /// From the first octet.
    Implicit,
}

impl ListenerTls {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            ListenerTls::None => "none",
            ListenerTls::Starttls => "starttls",
            ListenerTls::Implicit => "implicit",
        }
    }
}

/// Whether a client has to show a certificate inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// It is asked for one; one that is not known counts for nothing.
    Optional,
    /// Without a known one there is no TLS.
    Required,
}

/// A certificate that a listener knows: `sha256:` and the 64 hex digits of its fingerprint, or a DNS name or mailbox among its
/// subject's alternative names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum CertificateName {
    /// SHA-256 of the whole certificate.
    Sha256(Digest),
    /// Of a certificate under `client_ca_file`.
    Name(String),
}

impl TryFrom<String> for CertificateName {
    type Error = String;
    fn try_from(text: String) -> Result<CertificateName, String> {
        let fault = || format!("`{text}` is neither sha256:FINGERPRINT nor a host name nor an address");
        if let Some(hex) = text.strip_prefix("sha256:") {
            let digest = hash::unhex(&hex.replace(':', "")).and_then(|octets| octets.try_into().ok());
            return digest.map(CertificateName::Sha256).ok_or_else(fault);
        }
        let is_name = Address::parse(&text).is_ok() || Hostname::try_from(text.clone()).is_ok();
        if is_name { Ok(CertificateName::Name(text)) } else { Err(fault()) }
    }
}

impl std::fmt::Display for CertificateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CertificateName::Sha256(digest) => write!(f, "sha256:{}", hash::hex(digest)),
            CertificateName::Name(name) => f.write_str(name),
        }
    }
}

/// Whether mail that passes is marked, so that it is known when it comes the same way again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoopHeader {
    /// No; Received fields are counted in any case.
    #[default]
    None,
    /// Yes, by X-Sealpost-Loop.
    Add,
}

/// As whom an account may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountSenders {
    /// As one of its own addresses, or as nobody (`<>`); one that has no address is a program's, and sends as anybody.
    #[default]
    Own,
    /// As anybody.
    Any,
}

/// `[[listener]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    #[serde(deserialize_with = "value::bind")]
    pub bind: SocketAddr,
    /// How it does TLS.
    #[serde(default)]
    pub tls: ListenerTls,
    /// Which way mail goes; for smtp and lmtp.
    pub direction: Option<Direction>,
    /// Who may relay.
    #[serde(default)]
    pub relay_networks: Vec<Network>,
    /// From addresses that `relay_networks` may have signed.
    #[serde(default)]
    pub sign_for: Vec<AddressPattern>,
    /// Whether clients have to show a certificate; for smtp and lmtp.
    pub client_certificate: Option<ClientCertificate>,
    /// Authorities of clients' certificates, PEM.
    pub client_ca_file: Option<PathBuf>,
    /// Whose certificate lets a client relay, as `relay_networks` do.
    #[serde(default)]
    pub relay_certificates: Vec<CertificateName>,
    /// Whether mail is marked for the loop guard; for smtp and lmtp.
    #[serde(default)]
    pub loop_header: LoopHeader,
    /// As whom an account may send; for smtp and lmtp.
    pub account_senders: Option<AccountSenders>,
    /// Proxies that may say by XCLIENT for whom they speak, and filters that may say by XFORWARD from whom they have a message;
    /// for smtp and lmtp.
    #[serde(default)]
    pub xclient_networks: Vec<Network>,
    /// What becomes of lines that end in LF alone; for smtp and lmtp.
    pub bare_lf: Option<BareLf>,
}

impl Listener {
    /// Whether a client at `ip` is in `relay_networks`.
    pub fn relays_for(&self, ip: IpAddr) -> bool {
        self.relay_networks.iter().any(|network| network.contains(ip))
    }
    /// Whether clients are asked for a certificate, and have to have one.
    pub fn asks_for_certificate(&self) -> Option<ClientCertificate> {
        let implied = (!self.relay_certificates.is_empty()).then_some(ClientCertificate::Optional);
        self.client_certificate.or(implied)
    }
    /// Whether a certificate that is known as this is one of `relay_certificates`.
    pub fn relays_for_certificate(&self, known_as: &str) -> bool {
        self.relay_certificates.iter().any(|name| name.to_string() == known_as)
    }
    /// Whether a peer at `ip` is in `xclient_networks`.
    pub fn believes(&self, ip: IpAddr) -> bool {
        self.xclient_networks.iter().any(|network| network.contains(ip))
    }
    /// Whether clients may log in to submit mail: where our users' mail comes in, inside TLS.
    pub fn takes_logins(&self) -> bool {
        self.direction == Some(Direction::Outbound) && self.tls != ListenerTls::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_named_by_fingerprint_host_or_address() {
        let check = |text: &str, shown: Option<&str>| {
            let read = CertificateName::try_from(text.to_owned()).ok().map(|name| name.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        };
        let hex = "ab".repeat(32);
        check(&format!("sha256:{hex}"), Some(&format!("sha256:{hex}")));
        check(&format!("sha256:{}", ["AB"; 32].join(":")), Some(&format!("sha256:{hex}")));
        check("mx.example.org", Some("mx.example.org"));
        check("postmaster@example.org", Some("postmaster@example.org"));
        for text in ["", "sha256:", "sha256:ab", "sha1:ab", "CN=x", "192.0.2.1", "a b"] {
            check(text, None);
        }
    }
}
