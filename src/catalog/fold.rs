//! Folding: the form in which addresses, names and subjects are stored for searching and in which queries ask for them.
//! Never shown.

use super::sealed::Facts;
use crate::mail::Address;
use crate::mail::Envelope;
use crate::mail::summary::{ListEntry, Summary};
use std::collections::BTreeSet;

/// Lower case, white space as single spaces.
pub(super) fn fold(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// A Message-ID without white space around it and without angle brackets.
pub(super) fn message_id(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|t| t.strip_suffix('>')).unwrap_or(text)
}

/// Each item on a line of its own, with a line break at both ends: so a whole address can be told from a part of one.
pub(super) fn lines(items: impl IntoIterator<Item = String>) -> String {
    let mut text = "\n".to_owned();
    for item in items {
        text.push_str(&item);
        text.push('\n');
    }
    text
}

/// What a wanted sender or recipient looks like in such lines: `a@b.example` is exactly that address, `@b.example` everybody in
/// exactly that domain, all else any part of an address or a name.
pub(super) fn wanted(folded: &str) -> String {
    if Address::parse(folded).is_ok() {
        return format!("\n{folded}\n");
    }
    let is_domain = folded.strip_prefix('@').is_some_and(|domain| Address::parse(&format!("x@{domain}")).is_ok());
    if is_domain { format!("{folded}\n") } else { folded.to_owned() }
}

/// The canonical addresses of a header's list; what is no address is left out.
pub(super) fn addresses(list: &[ListEntry]) -> impl Iterator<Item = String> + '_ {
    list.iter().filter_map(|entry| match entry {
        ListEntry::Mailbox { local, domain, .. } => canonical(local, domain),
        ListEntry::GroupStart(_) | ListEntry::GroupEnd => None,
    })
}

/// The local part stands without its quotes here; they are put back where it needs them.
fn canonical(local: &str, domain: &str) -> Option<String> {
    let plain = Address::parse(&format!("{local}@{domain}"));
    let quoted = || {
        let escaped = local.replace('\\', "\\\\").replace('"', "\\\"");
        Address::parse(&format!("\"{escaped}\"@{domain}"))
    };
    plain.or_else(|_| quoted()).ok().map(|address| address.canonical())
}

/// Everybody whose mail this is: envelope, From, To and Cc.
pub(super) fn parties(envelope: &Envelope, summary: &Summary) -> BTreeSet<String> {
    let fields = &summary.envelope;
    let mut parties: BTreeSet<String> = envelope.recipients.iter().map(|r| r.address.canonical()).collect();
    parties.extend(envelope.sender.as_ref().map(Address::canonical));
    for list in [&fields.from, &fields.to, &fields.cc] {
        parties.extend(addresses(list));
    }
    parties
}

/// What `from:` searches.
pub(super) fn from_lines(Facts { envelope, also, summary, .. }: &Facts) -> String {
    let sender = envelope.sender.iter().chain(&also.from).map(Address::canonical);
    lines(sender.chain(addresses(&summary.envelope.from)).chain([fold(&summary.from)]))
}

/// What `to:` searches.
pub(super) fn to_lines(Facts { envelope, also, summary, .. }: &Facts) -> String {
    let fields = &summary.envelope;
    let recipients = envelope.recipients.iter().map(|r| &r.address).chain(&also.to).map(Address::canonical);
    let names = [&fields.to, &fields.cc].into_iter().flatten().filter_map(|entry| match entry {
        ListEntry::Mailbox { name, .. } => name.as_deref().map(fold),
        ListEntry::GroupStart(name) => Some(fold(name)),
        ListEntry::GroupEnd => None,
    });
    lines(recipients.chain(addresses(&fields.to)).chain(addresses(&fields.cc)).chain(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_addresses_and_domains_are_told_from_parts() {
        let stored = lines(["alice@example.org".into(), fold("Alice  ÄRGER")]);
        for (asked, found) in [
            ("alice@example.org", true),
            ("lice@example.org", false),
            ("alice@example.or", false),
            ("@example.org", true),
            ("@example.or", false),
            ("@xample.org", false),
            ("alice@", true),
            ("example", true),
            ("alice ärger", true),
            ("bob", false),
        ] {
            assert_eq!(stored.contains(&wanted(&fold(asked))), found, "{asked}");
        }
    }

    #[test]
    fn message_ids_lose_their_brackets() {
        for (text, expected) in [("<a@b>", "a@b"), (" <a@b> ", "a@b"), ("a@b", "a@b"), ("<a@b", "<a@b"), ("", "")] {
            assert_eq!(message_id(text), expected);
        }
    }

    #[test]
    fn header_addresses_meet_envelope_addresses() {
        let mailbox =
            |local: &str, domain: &str| ListEntry::Mailbox { name: None, local: local.into(), domain: domain.into() };
        let list = [
            mailbox("Alice", "Example.org"),
            mailbox("a b", "x"),
            ListEntry::GroupStart("g".into()),
            mailbox("nobody", ""),
            mailbox("q\"q", "x"),
        ];
        assert_eq!(addresses(&list).collect::<Vec<_>>(), ["alice@example.org", "\"a b\"@x", "\"q\\\"q\"@x"]);
    }
}
