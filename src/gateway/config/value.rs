//! Values of the configuration: each is read once and strictly, and nothing else makes one. Knows no keys.

use crate::mail::Address;
use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};

/// A name that fits after EHLO and into header fields.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hostname(String);

/// A domain, compared without regard to ASCII case.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Domain(String);

/// `*`, `example.org` or `*.example.org` (subdomains alone).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DomainPattern {
    /// Every domain.
    Any,
    /// This one.
    Exactly(Domain),
    /// Those below this one.
    Below(Domain),
}

/// `*@example.org`, `alice@example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressPattern {
    local: Option<String>,
    domain: Domain,
}

/// A network in CIDR notation, or one address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

/// Where a route connects to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrMany<String>")]
pub enum NextHops {
    /// To the first that answers; at least one.
    Listed(Vec<HostPort>),
    /// To the hosts that the recipient domain's MX records name.
    Mx,
}

/// `host:port`, `[::1]:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// At least one wait, each at least a second.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<u64>")]
pub struct RetrySchedule(Vec<u64>);

/// Octets of a journal file, within what the journal can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub struct JournalFileBytes(u64);

/// A value, or a list of values.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> From<OneOrMany<T>> for Vec<T> {
    fn from(given: OneOrMany<T>) -> Vec<T> {
        match given {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
        }
    }
}

impl Hostname {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Hostname {
    type Error = String;
    fn try_from(text: String) -> Result<Hostname, String> {
        // An address after EHLO needs brackets, and no certificate names it so (RFC 5321 section 4.1.1.1).
        let is_address = text.parse::<IpAddr>().is_ok();
        if text.is_ascii() && is_domain(&text) && !is_address {
            Ok(Hostname(text))
        } else {
            Err(format!("`{text}` is not a host name"))
        }
    }
}

impl Domain {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether it is `domain`.
    pub fn is(&self, domain: &str) -> bool {
        self.0.eq_ignore_ascii_case(domain)
    }
}

impl TryFrom<String> for Domain {
    type Error = String;
    fn try_from(text: String) -> Result<Domain, String> {
        if is_domain(&text) { Ok(Domain(text)) } else { Err(format!("`{text}` is not a domain")) }
    }
}

/// The one address parser decides, so that configuration and mail agree on what a domain is.
fn is_domain(text: &str) -> bool {
    !text.starts_with('[') && Address::parse(&format!("x@{text}")).is_ok()
}

impl DomainPattern {
    /// Whether `domain` is meant.
    pub fn matches(&self, domain: &str) -> bool {
        match self {
            DomainPattern::Any => true,
            DomainPattern::Exactly(this) => this.is(domain),
            DomainPattern::Below(this) => {
                let cut = domain.len().checked_sub(this.0.len() + 1);
                cut.and_then(|at| domain.get(at..)).is_some_and(|tail| {
                    tail.starts_with('.') && tail[1..].eq_ignore_ascii_case(&this.0) && tail.len() < domain.len()
                })
            }
        }
    }
}

impl std::fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DomainPattern::Any => f.write_str("*"),
            DomainPattern::Exactly(domain) => f.write_str(domain.as_str()),
            DomainPattern::Below(domain) => write!(f, "*.{}", domain.as_str()),
        }
    }
}

impl TryFrom<String> for DomainPattern {
    type Error = String;
    fn try_from(text: String) -> Result<DomainPattern, String> {
        if text == "*" {
            return Ok(DomainPattern::Any);
        }
        match text.strip_prefix("*.") {
            Some(rest) => Ok(DomainPattern::Below(Domain::try_from(rest.to_owned())?)),
            None => Ok(DomainPattern::Exactly(Domain::try_from(text)?)),
        }
    }
}

impl AddressPattern {
    /// Whether `address` is meant; case does not count.
    pub fn matches(&self, address: &Address) -> bool {
        let local = |l: &String| l.eq_ignore_ascii_case(address.local_part());
        address.is_in_domain(&self.domain.0) && self.local.as_ref().is_none_or(local)
    }
}

impl TryFrom<String> for AddressPattern {
    type Error = String;
    fn try_from(text: String) -> Result<AddressPattern, String> {
        if let Some(domain) = text.strip_prefix("*@") {
            return Ok(AddressPattern { local: None, domain: Domain::try_from(domain.to_owned())? });
        }
        let address = Address::parse(&text).map_err(|e| format!("`{text}`: {e}; write `*@domain` or an address"))?;
        let local = Some(address.local_part().to_owned());
        Ok(AddressPattern { local, domain: Domain(address.domain().to_owned()) })
    }
}

impl Network {
    /// Whether `ip` is in it; an IPv4 address may come as IPv6.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Network, String> {
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(Network).map_err(|_| format!("`{text}` is not a network like 10.0.0.0/8"))
    }
}

/// Reads what a listener binds to.
pub fn bind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!("`{text}` is not ADDRESS:PORT like 127.0.0.1:2525, 0.0.0.0:25 or [::]:25"))
    })
}

impl std::fmt::Display for NextHops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NextHops::Mx => f.write_str("mx"),
            NextHops::Listed(hops) => f.write_str(&hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl TryFrom<OneOrMany<String>> for NextHops {
    type Error = String;
    fn try_from(given: OneOrMany<String>) -> Result<NextHops, String> {
        let texts = Vec::from(given);
        if texts == ["mx"] {
            return Ok(NextHops::Mx);
        }
        if texts.is_empty() {
            return Err("names no next hop".to_owned());
        }
        if texts.iter().any(|text| text == "mx") {
            return Err("`mx` stands alone: next_hop = \"mx\"".to_owned());
        }
        texts.iter().map(|text| HostPort::parse(text)).collect::<Result<_, _>>().map(NextHops::Listed)
    }
}

impl HostPort {
    /// Reads `host:port`.
    pub fn parse(text: &str) -> Result<HostPort, String> {
        let fault = || format!("`{text}` is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(fault)?;
        let port: u16 = port.parse().map_err(|_| fault())?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let valid = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_domain(host),
        };
        if !valid || port == 0 {
            return Err(fault());
        }
        Ok(HostPort { host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        RetrySchedule(vec![60, 300, 900, 3600])
    }
}

impl RetrySchedule {
    /// The wait before try number `attempt` + 1 (the first retry is attempt 1).
    pub fn wait_s(&self, attempt: u32) -> u64 {
        let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        self.0.get(at).or(self.0.last()).copied().unwrap_or(60)
    }
}

impl TryFrom<Vec<u64>> for RetrySchedule {
    type Error = String;
    fn try_from(waits: Vec<u64>) -> Result<RetrySchedule, String> {
        match waits.iter().all(|&s| s >= 1) && !waits.is_empty() {
            true => Ok(RetrySchedule(waits)),
            false => Err("retry_s needs at least one wait, each at least 1 second".to_owned()),
        }
    }
}

impl Default for JournalFileBytes {
    fn default() -> Self {
        JournalFileBytes(67_108_864)
    }
}

impl JournalFileBytes {
    const MIN: u64 = crate::journal::FILE_BYTES_MIN;
    const MAX: u64 = crate::journal::FILE_BYTES_MAX;
    /// Octets.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for JournalFileBytes {
    type Error = String;
    fn try_from(bytes: u64) -> Result<JournalFileBytes, String> {
        match (Self::MIN..=Self::MAX).contains(&bytes) {
            true => Ok(JournalFileBytes(bytes)),
            false => Err(format!("file_bytes must be between {} and {}", Self::MIN, Self::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops_are_host_and_port() {
        for text in ["mail.example.org:25", "127.0.0.1:2526", "[::1]:25", "localhost:1"] {
            assert_eq!(HostPort::parse(text).expect(text).to_string(), text);
        }
        for text in ["mail.example.org", "mail:0", "mail:65536", ":25", "a b:25", "::1:25", "[x]:25", "h:25 ", ""] {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn host_names_are_names() {
        for (text, fine) in [
            ("gw.example.org", true),
            ("localhost", true),
            ("192.0.2.1", false),
            ("::1", false),
            ("[192.0.2.1]", false),
            ("bad host", false),
            ("m\u{fc}nchen.example", false),
            ("", false),
        ] {
            assert_eq!(Hostname::try_from(text.to_owned()).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn domain_patterns_match_whole_labels() {
        let check = |pattern: &str, domain: &str, expected: bool| {
            let pattern = DomainPattern::try_from(pattern.to_owned()).expect(pattern);
            assert_eq!(pattern.matches(domain), expected, "{pattern:?} {domain}");
        };
        check("*", "any.example", true);
        check("example.org", "EXAMPLE.org", true);
        check("example.org", "sub.example.org", false);
        check("*.example.org", "sub.example.org", true);
        check("*.example.org", "a.b.example.org", true);
        check("*.example.org", "example.org", false);
        check("*.example.org", "badexample.org", false);
        for bad in ["", "*.", "**", "a..b", "a b"] {
            assert!(DomainPattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_hold_addresses_of_either_family() {
        let network = |text: &str| Network::try_from(text.to_owned());
        let contains = |net: &str, ip: &str| network(net).expect(net).contains(ip.parse().expect(ip));
        assert!(contains("10.0.0.0/8", "10.255.0.1") && contains("10.0.0.0/8", "::ffff:10.0.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1") && contains("::1", "::1") && !contains("::1", "127.0.0.1"));
        assert!(network("10.0.0.0/33").is_err() && network("ten").is_err());
    }

    #[test]
    fn the_last_wait_repeats() {
        let waits = RetrySchedule::try_from(vec![1, 2, 4]).expect("waits");
        assert_eq!([0, 1, 2, 3, 4, 99].map(|attempt| waits.wait_s(attempt)), [1, 1, 2, 4, 4, 4]);
        assert!(RetrySchedule::try_from(vec![]).is_err() && RetrySchedule::try_from(vec![0]).is_err());
    }
}
