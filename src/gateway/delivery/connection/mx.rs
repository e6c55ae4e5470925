//! Next hops by DNS: MX records and addresses (RFC 5321 section 5.1, RFC 7505). Says what DNS says; it never guesses when DNS is
//! silent.

use crate::gateway::config::HostPort;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RData};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Hosts of one domain that are looked at.
const HOSTS_MAX: usize = 5;

/// Where a domain's mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// To the first of these that takes it.
    Hosts(Vec<HostPort>),
    /// Nowhere, ever.
    Never {
        /// RFC 3463 status.
        status: &'static str,
        /// Why.
        reply: String,
    },
    /// Unknown just now.
    Later {
        /// Why.
        reply: String,
    },
}

/// Asks for a domain's hosts. `ourselves` is our name: hosts that stand behind us in the list would send the mail back to us.
pub async fn hosts(resolver: &TokioResolver, domain: &str, ourselves: &str, port: u16) -> Routing {
    if let Some(ip) = literal(domain) {
        return Routing::Hosts(vec![HostPort { host: ip.to_string(), port }]);
    }
    let Some(name) = absolute(domain) else {
        return never("5.1.2", format!("{domain} is no name that DNS could know"));
    };
    let answer = match resolver.mx_lookup(name).await {
        Ok(answer) => answer,
        Err(e) if e.is_nx_domain() => return never("5.1.2", format!("{domain}: there is no such domain")),
        Err(e) if is_empty(&e) => return implicit(resolver, domain, port).await,
        Err(e) => return Routing::Later { reply: format!("{domain}: DNS: {e}") },
    };
    let records = answer.answers().iter().filter_map(|record| match &record.data {
        RData::MX(mx) => Some((mx.preference, mx.exchange.clone())),
        _ => None,
    });
    chosen(domain, records.collect(), ourselves, port)
}

fn never(status: &'static str, reply: String) -> Routing {
    Routing::Never { status, reply }
}

/// Without MX records the domain itself is the host (RFC 5321 section 5.1).
async fn implicit(resolver: &TokioResolver, domain: &str, port: u16) -> Routing {
    let Some(name) = absolute(domain) else {
        return never("5.1.2", format!("{domain} is no name that DNS could know"));
    };
    match resolver.lookup_ip(name).await {
        Ok(_) => Routing::Hosts(vec![HostPort { host: domain.to_owned(), port }]),
        Err(e) if e.is_nx_domain() || is_empty(&e) => {
            never("5.1.2", format!("{domain}: there is neither an MX record nor an address"))
        }
        Err(e) => Routing::Later { reply: format!("{domain}: DNS: {e}") },
    }
}

/// The order of RFC 5321 section 5.1: by preference, equals shuffled.
fn chosen(domain: &str, mut records: Vec<(u16, Name)>, ourselves: &str, port: u16) -> Routing {
    let count = records.len();
    records.retain(|(_, exchange)| !exchange.is_root());
    if records.is_empty() && count > 0 {
        return never("5.1.10", format!("{domain}: the domain takes no mail (null MX)"));
    }
    let mut hosts: Vec<(u16, u64, String)> = records
        .into_iter()
        .map(|(preference, exchange)| {
            let host = exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase();
            (preference, chance(), host)
        })
        .collect();
    hosts.sort();
    let ours =
        hosts.iter().find(|(_, _, host)| host.eq_ignore_ascii_case(ourselves)).map(|(preference, ..)| *preference);
    hosts.retain(|(preference, ..)| ours.is_none_or(|ours| *preference < ours));
    if hosts.is_empty() && ours.is_some() {
        return never(
            "5.4.6",
            format!("{domain}: the best mail host is this one, and no route says where its mail goes"),
        );
    }
    if hosts.is_empty() {
        return Routing::Later { reply: format!("{domain}: DNS gave an MX answer without MX records") };
    }
    Routing::Hosts(hosts.into_iter().take(HOSTS_MAX).map(|(_, _, host)| HostPort { host, port }).collect())
}

/// A host's addresses.
pub async fn addresses(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, String> {
    let name = absolute(host).ok_or_else(|| "no name that DNS could know".to_owned())?;
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(mixed(found.iter().collect())),
        Err(e) if e.is_nx_domain() || is_empty(&e) => Err("has no address in DNS".to_owned()),
        Err(e) => Err(format!("DNS: {e}")),
    }
}

/// One family after the other: where only one of them works, the other costs little.
fn mixed(ips: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = ips.into_iter().partition(IpAddr::is_ipv4);
    let mut mixed: Vec<(usize, IpAddr)> = v6.into_iter().enumerate().chain(v4.into_iter().enumerate()).collect();
    mixed.sort_by_key(|(nth, _)| *nth);
    mixed.into_iter().map(|(_, ip)| ip).collect()
}

/// An answer without records; an error of the server is none.
fn is_empty(error: &NetError) -> bool {
    error.is_no_records_found()
}

/// With the root at its end, so that no search list is appended.
fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_utf8(name).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3).
fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:")) {
        Some(_) => inner[5..].parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

fn chance() -> u64 {
    let mut octets = [0; 8];
    match getrandom::fill(&mut octets) {
        Ok(()) => u64::from_ne_bytes(octets),
        // Equals then stay in the order of their names, which loses no mail.
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(records: &[(u16, &str)], expected: Result<&[&str], &str>) {
        let records = records.iter().map(|(preference, host)| (*preference, absolute(host).expect("a name"))).collect();
        match (chosen("d.example", records, "gw.example.org", 25), expected) {
            (Routing::Hosts(hops), Ok(hosts)) => {
                assert_eq!(hops.iter().map(|hop| hop.host.as_str()).collect::<Vec<_>>(), hosts);
            }
            (Routing::Never { status, .. }, Err(expected)) => assert_eq!(status, expected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hosts_come_by_preference() {
        check(&[(20, "b.example"), (10, "A.example.")], Ok(&["a.example", "b.example"]));
        check(&[(0, ".")], Err("5.1.10"));
        check(&[(0, "."), (5, "a.example")], Ok(&["a.example"]));
        check(&[(5, "a.example"), (10, "GW.example.org"), (10, "b.example"), (20, "c.example")], Ok(&["a.example"]));
        check(&[(10, "gw.example.org"), (20, "c.example")], Err("5.4.6"));
        let many: Vec<(u16, String)> = (0..20).map(|n| (n, format!("h{n}.example"))).collect();
        let many: Vec<(u16, &str)> = many.iter().map(|(n, host)| (*n, host.as_str())).collect();
        let first: Vec<&str> = many.iter().take(HOSTS_MAX).map(|(_, host)| *host).collect();
        check(&many, Ok(&first));
    }

    #[test]
    fn equals_are_shuffled() {
        let records = |_| {
            let record = |host: &str| (10, absolute(host).expect("a name"));
            match chosen("d.example", vec![record("a.example"), record("b.example")], "gw.example.org", 25) {
                Routing::Hosts(hops) => hops[0].host.clone(),
                other => panic!("{other:?}"),
            }
        };
        let firsts: std::collections::HashSet<String> = (0..100).map(records).collect();
        assert_eq!(firsts.len(), 2);
    }

    #[test]
    fn families_take_turns() {
        let ips = |texts: &[&str]| texts.iter().map(|ip| ip.parse().expect("an address")).collect::<Vec<IpAddr>>();
        let given = ips(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]);
        assert_eq!(mixed(given), ips(&["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]));
    }

    #[test]
    fn literals_are_addresses() {
        assert_eq!(literal("[192.0.2.1]"), "192.0.2.1".parse().ok());
        assert_eq!(literal("[IPv6:2001:db8::1]"), "2001:db8::1".parse().ok());
        assert_eq!((literal("192.0.2.1"), literal("[x]"), literal("d.example")), (None, None, None));
    }
}
