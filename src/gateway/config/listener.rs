//! `[[listener]]`: who may connect, and how.

use super::value::{self, AddressPattern, Network};
use crate::mail::Direction;
use crate::smtp::server::BareLf;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

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
    /// Whether a peer at `ip` is in `xclient_networks`.
    pub fn believes(&self, ip: IpAddr) -> bool {
        self.xclient_networks.iter().any(|network| network.contains(ip))
    }
    /// Whether clients may log in to submit mail: where our users' mail comes in, inside TLS.
    pub fn takes_logins(&self) -> bool {
        self.direction == Some(Direction::Outbound) && self.tls != ListenerTls::None
    }
}
