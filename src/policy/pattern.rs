//! Address patterns: whom a rule means. Read strictly: a pattern that no address can match is a fault, not a silent never.

use super::glob::{Folded, Glob};
use crate::mail::Address;

/// A sender or recipient in the form patterns are matched against: case and needless quoting removed.
#[derive(Clone, Debug)]
pub(super) enum Party {
    /// The null sender `<>`.
    Null,
    /// Somebody.
    Mailbox { address: Folded, domain: String },
}

impl Party {
    pub(super) fn mailbox(address: &Address) -> Party {
        Party::Mailbox { address: Folded::new(&address.canonical()), domain: address.domain().to_ascii_lowercase() }
    }
    pub(super) fn sender(sender: Option<&Address>) -> Party {
        sender.map_or(Party::Null, Party::mailbox)
    }
}

/// One entry of a sender or recipient condition.
#[derive(Clone, Debug)]
pub(super) enum AddressPattern {
    /// `<>`: the null sender, which no other pattern matches.
    Null,
    /// `@example.org`: everybody in exactly that domain.
    Domain(String),
    /// `*@example.org`, `alice@*`, `a.b@example.org`.
    Glob(Glob),
}

/// Why a text is not an address pattern; the texts are for the administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the pattern is empty")]
    Empty,
    #[error("the pattern is longer than {max} characters", max = super::GLOB_CHARS_MAX)]
    TooLong,
    #[error("no address can match this: it has no `@`")]
    NoAt,
    #[error("`@domain` stands for everybody in one domain and takes no `*` or `?`")]
    GlobInDomain,
    #[error("no address can match this: it has white space")]
    Space,
}

impl Unusable {
    pub(super) fn help(self) -> &'static str {
        match self {
            Unusable::Empty => "leave the condition out to match everybody",
            Unusable::TooLong => "use several shorter patterns",
            Unusable::NoAt => "write `@example.org` for everybody in a domain, `<>` for the null sender",
            Unusable::GlobInDomain => "write `*@*.example.org` for everybody below a domain",
            Unusable::Space => "separate patterns as list entries: [\"a@example.org\", \"@example.com\"]",
        }
    }
}

impl AddressPattern {
    pub(super) fn parse(text: &str) -> Result<AddressPattern, Unusable> {
        let has_glob = text.contains(['*', '?']);
        match text {
            "<>" => Ok(AddressPattern::Null),
            "" => Err(Unusable::Empty),
            _ if text.contains(char::is_whitespace) && !text.contains('"') => Err(Unusable::Space),
            _ if text.starts_with('@') && has_glob => Err(Unusable::GlobInDomain),
            _ if text.len() > 1 && text.starts_with('@') => Ok(AddressPattern::Domain(text[1..].to_ascii_lowercase())),
            _ if !text.contains('@') && !text.contains('*') => Err(Unusable::NoAt),
            _ => Glob::parse(text).map(AddressPattern::Glob).map_err(|_| Unusable::TooLong),
        }
    }

    pub(super) fn matches(&self, party: &Party) -> bool {
        match (self, party) {
            (AddressPattern::Null, Party::Null) => true,
            (AddressPattern::Domain(domain), Party::Mailbox { domain: of, .. }) => domain == of,
            (AddressPattern::Glob(glob), Party::Mailbox { address, .. }) => glob.matches(address),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_say() {
        for (pattern, address, expected) in [
            ("@example.org", "a@Example.org", true),
            ("@example.org", "a@sub.example.org", false),
            ("@example.org", "a@example.org.evil.example", false),
            ("@example.org", "\"x@example.org\"@evil.example", false),
            ("*@example.org", "\"x@example.org\"@evil.example", false),
            ("A.b@example.org", "\"a.B\"@EXAMPLE.org", true),
            ("*", "a@b", true),
            ("a@*", "a@b", true),
            ("?@b", "ab@b", false),
            ("<>", "a@b", false),
        ] {
            let party = Party::mailbox(&Address::parse(address).expect(address));
            let pattern = AddressPattern::parse(pattern).expect(pattern);
            assert_eq!(pattern.matches(&party), expected, "{pattern:?} {address}");
        }
    }

    #[test]
    fn only_its_own_sign_matches_the_null_sender() {
        for (pattern, expected) in [("<>", true), ("*", false), ("*@*", false), ("@b", false)] {
            let pattern = AddressPattern::parse(pattern).expect(pattern);
            assert_eq!(pattern.matches(&Party::sender(None)), expected, "{pattern:?}");
        }
    }

    #[test]
    fn what_can_match_nobody_is_refused() {
        let longest = format!("{}@", "a".repeat(super::super::GLOB_CHARS_MAX));
        for (text, expected) in [
            ("", Unusable::Empty),
            ("example.org", Unusable::NoAt),
            ("@*.example.org", Unusable::GlobInDomain),
            ("a@b c@d", Unusable::Space),
            (longest.as_str(), Unusable::TooLong),
        ] {
            assert_eq!(AddressPattern::parse(text).err(), Some(expected), "{text}");
            assert!(!expected.help().is_empty());
        }
        assert!(AddressPattern::parse("\"a b\"@example.org").is_ok());
    }
}
