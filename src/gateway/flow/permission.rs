//! Who may hand mail over, and in whose name we sign (P11). Never says yes on a doubt.

use crate::access::Account;
use crate::gateway::config::{AccountSenders, Config, Listener};
use crate::mail::header::Author;
use crate::mail::{Address, Client, Direction, Tls};
use crate::policy::Permission;
use std::net::IpAddr;

/// Who hands mail over.
#[derive(Clone, Copy, Debug)]
pub struct Submitter<'a> {
    /// Its address.
    pub ip: IpAddr,
    /// The account it logged in to.
    pub account: Option<&'a Account>,
    /// What its certificate is known as.
    pub certificate: Option<&'a str>,
}

impl<'a> Submitter<'a> {
    /// Whoever handed a message over.
    pub fn of(client: &'a Client, account: Option<&'a Account>) -> Submitter<'a> {
        Submitter { ip: client.ip, account, certificate: certificate(client.tls.as_ref()) }
    }
    /// Whether it may relay by where it is or by the certificate it has shown.
    fn relays(&self, listener: &Listener) -> bool {
        listener.relays_for(self.ip) || self.certificate.is_some_and(|name| listener.relays_for_certificate(name))
    }
}

/// What the certificate of a client is known as.
pub fn certificate(tls: Option<&Tls>) -> Option<&str> {
    tls.and_then(|tls| tls.certificate.as_deref())
}

/// Whether one recipient is taken from one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relaying {
    /// Yes.
    Allowed,
    /// The client may not send to strangers through us.
    Denied,
    /// Nobody could deliver it: no route serves the domain.
    NoRoute,
}

/// Whether `submitter` may send to `recipient` through this listener.
///
/// Clients in `relay_networks`, those with a certificate of `relay_certificates` and those that have logged in may send to
/// everybody. Others reach an inbound listener's own domains and nothing else, on no other listener; without `local_domains` they
/// reach nobody.
pub fn relaying(config: &Config, listener: &Listener, submitter: Submitter<'_>, recipient: &Address) -> Relaying {
    let ours = recipient.domain().is_empty() || config.is_local(recipient.domain());
    let inbound = listener.direction == Some(Direction::Inbound) && !config.local_domains.is_empty();
    let delivers = listener.direction != Some(Direction::Journal);
    let is_known = submitter.account.is_some() || submitter.relays(listener);
    match is_known || (inbound && ours) {
        false => Relaying::Denied,
        // What can fail, fails before the 250 (P2).
        true if delivers && config.route_of(recipient.domain()).is_none() => Relaying::NoRoute,
        true => Relaying::Allowed,
    }
}

/// Whether a journal report is believed: it says in our records who got whose mail. A journal listener's networks and certificates
/// are for servers that write such; so is an account without addresses. A person's account, which hands in mail there too, is not.
pub fn reporting(listener: &Listener, submitter: Submitter<'_>) -> bool {
    let may = match submitter.account {
        Some(account) => account.addresses.is_empty(),
        None => submitter.relays(listener),
    };
    may && listener.direction == Some(Direction::Journal)
}

/// Whether an account may give this sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Yes.
    Allowed,
    /// It is somebody else's address.
    NotItsOwn,
}

/// Whether whoever logged in may send as `sender`. Without a login there is nobody to ask about.
pub fn sending(listener: &Listener, account: Option<&Account>, sender: Option<&Address>) -> Sending {
    let (Some(account), Some(sender)) = (account, sender) else { return Sending::Allowed };
    let is_bound = listener.account_senders.unwrap_or_default() == AccountSenders::Own && !account.addresses.is_empty();
    if is_bound && !account.owns(sender) { Sending::NotItsOwn } else { Sending::Allowed }
}

/// Whether this client may have mail signed as its author. An account signs for its own addresses, wherever it connects from; a
/// network or a certificate for its listener's `sign_for`.
pub fn signing(config: &Config, listener: &Listener, submitter: Submitter<'_>, author: &Author) -> Permission {
    let no = |reason: String| Permission::No { reason };
    let address = match author {
        Author::Single(address) => address,
        Author::Missing => return no("no From field".to_owned()),
        Author::Several => return no("several authors in From".to_owned()),
        Author::Malformed => return no("From field cannot be read".to_owned()),
    };
    if listener.direction != Some(Direction::Outbound) {
        return no("only outbound listeners sign".to_owned());
    }
    if !config.is_local(address.domain()) {
        return no(format!("{} is not in local_domains", address.domain()));
    }
    match refusal(listener, submitter, address) {
        Some(reason) => no(reason),
        None => Permission::Yes(address.clone()),
    }
}

fn refusal(listener: &Listener, submitter: Submitter<'_>, address: &Address) -> Option<String> {
    if let Some(account) = submitter.account {
        return (!account.owns(address)).then(|| format!("{address} is no address of account {}", account.name));
    }
    if !submitter.relays(listener) {
        return Some(format!("client {} is not in relay_networks, nor its certificate known", submitter.ip));
    }
    let is_listed = listener.sign_for.iter().any(|pattern| pattern.matches(address));
    (!is_listed).then(|| format!("{address} is not in sign_for of listener {}", listener.bind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(local_domains: &str) -> Config {
        let text = format!(
            r#"
            hostname = "gw.example.org"
            local_domains = [{local_domains}]
            [[listener]]
            protocol = "smtp"
            bind = "127.0.0.1:2525"
            direction = "outbound"
            relay_networks = ["10.0.0.0/8"]
            sign_for = ["*@example.org", "Boss@example.net"]
            [[listener]]
            protocol = "smtp"
            bind = "127.0.0.1:2524"
            direction = "inbound"
            relay_networks = ["10.0.0.0/8"]
            [[listener]]
            protocol = "smtp"
            bind = "127.0.0.1:2523"
            direction = "journal"
            [[route]]
            domains = ["*"]
            next_hop = "127.0.0.1:2526"
            "#
        );
        Config::parse(&text).expect("valid")
    }

    fn from(ip: &str) -> Submitter<'static> {
        Submitter { ip: ip.parse().expect("ip"), account: None, certificate: None }
    }

    const OURS: &str = r#""example.org", "example.net""#;

    #[test]
    fn strangers_reach_our_own_domains_on_inbound_listeners_only() {
        let check = |domains: &str, listener: usize, ip: &str, recipient: &str, expected: Relaying| {
            let config = config(domains);
            let recipient = Address::parse(recipient).unwrap_or_else(|_| Address::postmaster());
            let got = relaying(&config, &config.listener[listener], from(ip), &recipient);
            assert_eq!(got, expected, "{domains} {listener} {ip} {recipient}");
        };
        use Relaying::{Allowed, Denied};
        for (listener, recipient, expected) in [
            (0, "x@example.org", Denied),
            (0, "x@partner.example", Denied),
            (1, "x@example.org", Allowed),
            (1, "x@EXAMPLE.net", Allowed),
            (1, "Postmaster", Allowed),
            (1, "x@partner.example", Denied),
            (1, "x@sub.example.org", Denied),
            (1, "\"x@example.org\"@partner.example", Denied),
            (2, "x@example.org", Denied),
        ] {
            check(OURS, listener, "192.0.2.1", recipient, expected);
        }
        check(OURS, 0, "10.1.2.3", "x@partner.example", Allowed);
        check(OURS, 0, "::ffff:10.1.2.3", "x@partner.example", Allowed);
        check(OURS, 1, "10.1.2.3", "x@partner.example", Allowed);
        check("", 1, "192.0.2.1", "x@example.org", Denied);
        check("", 1, "192.0.2.1", "Postmaster", Denied);
        check("", 1, "10.0.0.1", "x@example.org", Allowed);
    }

    #[test]
    fn what_no_route_serves_is_not_taken() {
        let mut config = config(OURS);
        config.route[0].domains = vec!["*.partner.example".to_owned().try_into().expect("a pattern")];
        config.listener[2].relay_networks = config.listener[0].relay_networks.clone();
        let check = |listener: usize, ip: &str, recipient: &str, expected: Relaying| {
            let recipient = Address::parse(recipient).expect("address");
            let submitter = Submitter { ip: ip.parse().expect("ip"), account: None, certificate: None };
            let got = relaying(&config, &config.listener[listener], submitter, &recipient);
            assert_eq!(got, expected, "{listener} {ip} {recipient}");
        };
        check(0, "10.0.0.1", "x@a.partner.example", Relaying::Allowed);
        check(0, "10.0.0.1", "x@partner.example", Relaying::NoRoute);
        check(0, "192.0.2.1", "x@partner.example", Relaying::Denied);
        check(1, "192.0.2.1", "x@example.org", Relaying::NoRoute);
        check(2, "10.0.0.1", "x@partner.example", Relaying::Allowed);
    }

    #[test]
    fn nobody_gets_anothers_signature() {
        let config = config(OURS);
        let check = |listener: usize, ip: &str, author: Author, expected: bool| {
            let got = signing(&config, &config.listener[listener], from(ip), &author);
            assert_eq!(matches!(got, Permission::Yes(_)), expected, "{listener} {ip} {author:?}: {got:?}");
        };
        let single = |a: &str| Author::Single(Address::parse(a).expect("address"));
        check(0, "10.0.0.1", single("alice@example.org"), true);
        check(0, "10.0.0.1", single("boss@example.net"), true);
        check(0, "10.0.0.1", single("alice@example.net"), false);
        check(0, "10.0.0.1", single("alice@partner.example"), false);
        check(0, "192.0.2.1", single("alice@example.org"), false);
        check(1, "10.0.0.1", single("alice@example.org"), false);
        for unclear in [Author::Missing, Author::Several, Author::Malformed] {
            check(0, "10.0.0.1", unclear, false);
        }
    }

    #[test]
    fn a_certificate_stands_for_a_network() {
        let mut config = config(OURS);
        config.listener[0].relay_certificates = vec!["mx.example.org".to_owned().try_into().expect("a name")];
        let address = |a: &str| Address::parse(a).expect("address");
        let check = |listener: usize, certificate: Option<&str>, relaying_is: Relaying, signs: bool| {
            let listener = &config.listener[listener];
            let submitter = Submitter { certificate, ..from("192.0.2.1") };
            assert_eq!(relaying(&config, listener, submitter, &address("x@partner.example")), relaying_is);
            let signed = signing(&config, listener, submitter, &Author::Single(address("alice@example.org")));
            assert_eq!(matches!(signed, Permission::Yes(_)), signs, "{certificate:?}: {signed:?}");
        };
        check(0, None, Relaying::Denied, false);
        check(0, Some("mx.example.org"), Relaying::Allowed, true);
        check(0, Some("other.example.org"), Relaying::Denied, false);
        check(1, Some("mx.example.org"), Relaying::Denied, false);
    }

    #[test]
    fn accounts_send_as_themselves() {
        let mut listener = config(OURS).listener[0].clone();
        let address = |a: &str| Address::parse(a).expect("address");
        let account = |addresses: &[&str]| Account {
            name: crate::access::AccountName::parse("alice").expect("a name"),
            role: crate::access::Role::User,
            addresses: addresses.iter().map(|a| address(a)).collect(),
        };
        let check = |listener: &Listener, own: Option<&[&str]>, sender: Option<&str>, expected: Sending| {
            let got = sending(listener, own.map(account).as_ref(), sender.map(address).as_ref());
            assert_eq!(got, expected, "{own:?} {sender:?}");
        };
        let alice = Some(&["alice@example.org", "a@example.net"][..]);
        check(&listener, alice, Some("Alice@example.ORG"), Sending::Allowed);
        check(&listener, alice, Some("a@example.net"), Sending::Allowed);
        check(&listener, alice, Some("a@example.org"), Sending::NotItsOwn);
        check(&listener, alice, None, Sending::Allowed);
        check(&listener, Some(&[]), Some("a@example.org"), Sending::Allowed);
        check(&listener, None, Some("a@example.org"), Sending::Allowed);
        listener.account_senders = Some(AccountSenders::Any);
        check(&listener, alice, Some("a@example.org"), Sending::Allowed);
    }

    #[test]
    fn accounts_relay_and_sign_for_their_own_addresses_alone() {
        let config = config(OURS);
        let address = |a: &str| Address::parse(a).expect("address");
        let account = |addresses: &[&str]| Account {
            name: crate::access::AccountName::parse("alice").expect("a name"),
            role: crate::access::Role::User,
            addresses: addresses.iter().map(|a| address(a)).collect(),
        };
        let check = |listener: usize, ip: &str, own: &[&str], author: &str, expected: bool| {
            let account = account(own);
            let submitter = Submitter { account: Some(&account), ..from(ip) };
            let listener = &config.listener[listener];
            let partner = address("x@partner.example");
            assert_eq!(relaying(&config, listener, submitter, &partner), Relaying::Allowed);
            let got = signing(&config, listener, submitter, &Author::Single(address(author)));
            assert_eq!(matches!(got, Permission::Yes(_)), expected, "{own:?} {author}: {got:?}");
        };
        check(0, "192.0.2.1", &["alice@example.org"], "Alice@EXAMPLE.org", true);
        check(0, "192.0.2.1", &["a@example.net", "\"alice\"@example.org"], "alice@example.org", true);
        check(0, "192.0.2.1", &["alice@example.org"], "bob@example.org", false);
        check(0, "192.0.2.1", &["alice@partner.example"], "alice@partner.example", false);
        check(0, "192.0.2.1", &[], "alice@example.org", false);
        // Its network's rights are not added to its own.
        check(0, "10.0.0.1", &["alice@example.org"], "bob@example.org", false);
        check(1, "10.0.0.1", &["alice@example.org"], "alice@example.org", false);
    }

    #[test]
    fn servers_and_programs_write_reports_and_persons_do_not() {
        let mut config = config(OURS);
        config.listener[2].relay_networks = config.listener[0].relay_networks.clone();
        let account = |addresses: &[&str]| Account {
            name: crate::access::AccountName::parse("hub").expect("a name"),
            role: crate::access::Role::User,
            addresses: addresses.iter().map(|a| Address::parse(a).expect("address")).collect(),
        };
        let (program, person) = (account(&[]), account(&["alice@example.org"]));
        for (listener, ip, account, expected) in [
            (2, "10.0.0.1", None, true),
            (2, "192.0.2.1", None, false),
            (2, "192.0.2.1", Some(&program), true),
            (2, "192.0.2.1", Some(&person), false),
            (2, "10.0.0.1", Some(&person), false),
            (0, "10.0.0.1", None, false),
            (1, "10.0.0.1", Some(&program), false),
        ] {
            let submitter = Submitter { account, ..from(ip) };
            assert_eq!(reporting(&config.listener[listener], submitter), expected, "{listener} {ip} {account:?}");
        }
    }
}
