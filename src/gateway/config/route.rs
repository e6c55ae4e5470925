//! `[[route]]`: where mail goes, and how.

use super::value::{DomainPattern, Hostname, NextHops, OneOrMany};
use crate::crypto::Digest;
use crate::crypto::hash;
use crate::smtp::Dialect;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Octets of a marker; fewer could be guessed.
const MARKER_BYTES: std::ops::RangeInclusive<usize> = 16..=400;

/// How a route does TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteTls {
    /// Never.
    None,
    /// When offered; any certificate.
    #[default]
    Opportunistic,
    /// Or nothing is sent; any certificate.
    Required,
    /// Or nothing is sent; the certificate must name the host and chain to `ca_file`, or have a pinned key.
    Verified,
}

/// What a route's next hops speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteProtocol {
    /// RFC 5321.
    #[default]
    Smtp,
    /// RFC 2033.
    Lmtp,
}

impl RouteProtocol {
    /// For the client.
    pub fn dialect(self) -> Dialect {
        match self {
            RouteProtocol::Smtp => Dialect::Smtp,
            RouteProtocol::Lmtp => Dialect::Lmtp,
        }
    }
}

/// `[[route]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Recipient domains, `*` for all.
    pub domains: Vec<DomainPattern>,
    /// Where to connect.
    pub next_hop: NextHops,
    /// Port of the hosts that MX records name.
    #[serde(default = "mx_port")]
    pub mx_port: u16,
    /// DNS servers to ask for MX records; none: those of /etc/resolv.conf.
    #[serde(default, deserialize_with = "one_or_many")]
    pub resolver: Vec<SocketAddr>,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: RouteProtocol,
    /// How to do TLS.
    #[serde(default)]
    pub tls: RouteTls,
    /// PEM file of the authorities that `verified` trusts; none: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Keys that `verified` trusts whatever the certificate says; without `ca_file` these alone.
    #[serde(default)]
    pub pinned_keys: Vec<PinnedKey>,
    /// PEM file of the certificate, and what it chains to, that we show.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub client_key: Option<PathBuf>,
    /// Our name in EHLO; none: `hostname`.
    pub ehlo_name: Option<Hostname>,
    /// How to log in there.
    pub credentials: Option<CredentialsFrom>,
    /// Addresses of ours to connect from; none: the system chooses.
    #[serde(default, deserialize_with = "one_or_many")]
    pub source_address: Vec<IpAddr>,
    /// Text of the field `X-Sealpost-Marker` on top of each message on this route.
    pub marker: Option<Marker>,
    /// Connections at once, at most: a quick next hop gets fewer.
    #[serde(default = "connections")]
    pub connections: usize,
}

/// Name and password for AUTH; the password stands in a file or is a credential of the service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsFrom {
    /// The name.
    pub user: String,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// Name of a credential of the service (`LoadCredential=` of systemd).
    pub systemd_credential: Option<String>,
}

impl CredentialsFrom {
    /// The file with the password; `None` when no credentials were passed to this process.
    pub fn file(&self) -> Option<PathBuf> {
        let passed = |name: &String| Some(PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name));
        self.password_file.clone().or_else(|| self.systemd_credential.as_ref().and_then(passed))
    }
}

/// SHA-256 of a SubjectPublicKeyInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PinnedKey(pub Digest);

/// `sha256:` and Base64.
impl std::fmt::Display for PinnedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", STANDARD.encode(self.0))
    }
}

impl TryFrom<String> for PinnedKey {
    type Error = String;
    fn try_from(text: String) -> Result<PinnedKey, String> {
        let fault = || format!("`{text}` is not sha256: and 64 hex digits or Base64 of 32 octets");
        let digest = text.strip_prefix("sha256:").ok_or_else(fault)?;
        let octets = if digest.len() == 64 { hash::unhex(digest) } else { STANDARD.decode(digest).ok() };
        octets.and_then(|octets| octets.try_into().ok()).map(PinnedKey).ok_or_else(fault)
    }
}

/// A secret that a next hop knows us by: one line of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Marker(String);

impl Marker {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Marker {
    type Error = String;
    fn try_from(text: String) -> Result<Marker, String> {
        match MARKER_BYTES.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Marker(text)),
            false => Err("a marker is 16 to 400 letters, digits and signs without spaces, hard to guess".to_owned()),
        }
    }
}

/// A value, or a list of values.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    OneOrMany::deserialize(deserializer).map(Vec::from)
}

/// Without `connections`.
fn connections() -> usize {
    20
}

/// Without `mx_port`.
fn mx_port() -> u16 {
    25
}

impl Route {
    /// For messages to the administrator: where it stands in the file, among the routes.
    pub fn name(&self) -> String {
        let domains: Vec<String> = self.domains.iter().map(ToString::to_string).collect();
        format!("route for {}", domains.join(", "))
    }
    /// What is wrong with its keys together, and what to do.
    pub fn fault(&self) -> Option<(String, &'static str)> {
        let is_mx = self.next_hop == NextHops::Mx;
        let verifies = self.tls == RouteTls::Verified;
        let faults = [
            (self.domains.is_empty(), "this route serves no domain", "domains = [\"*\"] for all"),
            (self.connections == 0, "connections = 0 would deliver nothing", "at least 1"),
            (
                !self.pinned_keys.is_empty() && !verifies,
                "pinned_keys are looked at by `verified` alone",
                "tls = \"verified\"",
            ),
            (
                self.client_certificate.is_some() != self.client_key.is_some(),
                "client_certificate and client_key go together",
                "name both PEM files, or neither",
            ),
            (
                self.credentials.is_some() && !matches!(self.tls, RouteTls::Required | RouteTls::Verified),
                "credentials are never sent without TLS",
                "tls = \"verified\", or \"required\" if the next hop's certificate cannot be checked",
            ),
            (
                self.credentials.as_ref().is_some_and(|c| c.password_file.is_some() == c.systemd_credential.is_some()),
                "credentials need one place for the password",
                "credentials = { user = \"gw\", password_file = \"secret/password\" }, or systemd_credential = \"name\"",
            ),
            (
                is_mx && self.protocol == RouteProtocol::Lmtp,
                "LMTP does not go to other people's hosts",
                "name the host: next_hop = \"host:port\"",
            ),
            (!is_mx && !self.resolver.is_empty(), "resolver serves `mx` alone", "next_hop = \"mx\""),
        ];
        let found = faults.into_iter().find(|(is_fault, ..)| *is_fault);
        found.map(|(_, message, help)| (message.to_owned(), help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(lines: &str) -> Result<Route, String> {
        toml::from_str(&format!("domains = [\"*\"]\n{lines}")).map_err(|e: toml::de::Error| e.message().to_owned())
    }

    #[test]
    fn keys_that_need_each_other_are_there() {
        let check = |lines: &str, expected: Option<&str>| {
            let fault = route(lines).expect(lines).fault().map(|(message, _)| message);
            assert_eq!(fault.as_deref(), expected, "{lines}");
        };
        check("next_hop = \"h:25\"", None);
        check("next_hop = \"mx\"\nresolver = \"127.0.0.1:53\"\nmx_port = 26", None);
        check("next_hop = \"mx\"\nprotocol = \"lmtp\"", Some("LMTP does not go to other people's hosts"));
        check("next_hop = \"h:25\"\nresolver = [\"127.0.0.1:53\"]", Some("resolver serves `mx` alone"));
        let pins = format!("next_hop = \"h:25\"\npinned_keys = [\"sha256:{}\"]", "a0".repeat(32));
        check(&pins, Some("pinned_keys are looked at by `verified` alone"));
        check(&format!("{pins}\ntls = \"verified\""), None);
        check("next_hop = \"h:25\"\nclient_key = \"k\"", Some("client_certificate and client_key go together"));
        let login = |tls: &str, place: &str| {
            format!("next_hop = \"h:25\"\ntls = \"{tls}\"\ncredentials = {{ user = \"u\"{place} }}")
        };
        check(&login("opportunistic", ", password_file = \"p\""), Some("credentials are never sent without TLS"));
        check(&login("required", ", password_file = \"p\""), None);
        check(&login("verified", ""), Some("credentials need one place for the password"));
        let both = ", password_file = \"p\", systemd_credential = \"c\"";
        check(&login("verified", both), Some("credentials need one place for the password"));
    }

    #[test]
    fn values_are_read_strictly() {
        let hex = PinnedKey::try_from(format!("sha256:{}", "a0".repeat(32))).expect("hex");
        assert_eq!(PinnedKey::try_from(hex.to_string()), Ok(hex), "Base64");
        for bad in ["", "sha256:", "sha1:a0", "sha256:zz", &"a0".repeat(32), &format!("sha256:{}", "g0".repeat(32))] {
            assert!(PinnedKey::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for (marker, fine) in [
            ("x".repeat(16), true),
            ("x".repeat(15), false),
            ("x".repeat(401), false),
            (format!("{} x", "x".repeat(16)), false),
        ] {
            assert_eq!(Marker::try_from(marker.clone()).is_ok(), fine, "{marker}");
        }
        assert!(route("next_hop = [\"mx\", \"h:25\"]").is_err_and(|e| e.contains("alone")));
        assert!(route("next_hop = \"h:25\"\nsource_address = \"nowhere\"").is_err());
        let two = route("next_hop = \"h:25\"\nsource_address = [\"192.0.2.1\", \"2001:db8::1\"]").expect("two");
        assert_eq!(two.source_address.len(), 2);
    }
}
