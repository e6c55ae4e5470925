//! Addresses: the one parser that SMTP, headers, policies and keys share, so that no two of them disagree about who is meant.
//! Never guesses: what is not a mailbox of RFC 5321 section 4.1.2 (extended by RFC 6531) is no address.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// Octets in a local part (RFC 5321 section 4.5.3.1.1).
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// Octets in a domain (RFC 5321 section 4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;

/// A mailbox: local part and domain exactly as written.
///
/// Two addresses are equal when they mean one mailbox here: domains without regard to ASCII case, local parts too (no mail
/// system in use tells them apart by case, and a rule that does is a leak), quoting that changes nothing removed.
#[derive(Clone, Debug)]
pub struct Address {
    local: String,
    domain: String,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `local-part "@" domain`.
    #[error("not a mailbox address (local-part@domain)")]
    Syntax,
    /// The local part is longer than 64 octets.
    #[error("local part longer than {LOCAL_PART_BYTES_MAX} octets")]
    LocalPartTooLong,
    /// The domain is longer than 255 octets.
    #[error("domain longer than {DOMAIN_BYTES_MAX} octets")]
    DomainTooLong,
}

impl Address {
    /// Reads `local-part "@" ( domain / address-literal )`:
    ///
    /// ```text
    /// local-part      = dot-string / quoted-string
    /// dot-string      = 1*atext *("." 1*atext)
    /// quoted-string   = DQUOTE *( %x20-21 / %x23-5B / %x5D-7E / "\" %x20-7E ) DQUOTE
    /// domain          = sub-domain *("." sub-domain)      letters, digits, hyphens inside; UTF-8 per RFC 6531
    /// address-literal = "[" 1*dcontent "]"
    /// ```
    pub fn parse(text: &str) -> Result<Address, Error> {
        let (local, domain) = split(text).ok_or(Error::Syntax)?;
        if local.len() > LOCAL_PART_BYTES_MAX {
            return Err(Error::LocalPartTooLong);
        }
        if domain.len() > DOMAIN_BYTES_MAX {
            return Err(Error::DomainTooLong);
        }
        if !is_local_part(local) || !is_domain(domain) {
            return Err(Error::Syntax);
        }
        Ok(Address { local: local.to_owned(), domain: domain.to_owned() })
    }

    /// The recipient `<Postmaster>` without a domain (RFC 5321 section 4.5.1).
    pub fn postmaster() -> Address {
        Address { local: "Postmaster".to_owned(), domain: String::new() }
    }

    /// The local part as written, quotes included.
    pub fn local_part(&self) -> &str {
        &self.local
    }
    /// The domain as written; empty for `<Postmaster>` alone.
    pub fn domain(&self) -> &str {
        &self.domain
    }
    /// Whether it needs SMTPUTF8 (RFC 6531).
    pub fn is_internationalized(&self) -> bool {
        !self.local.is_ascii() || !self.domain.is_ascii()
    }
    /// The form to compare and index by: ASCII lower case, needless quoting removed.
    pub fn canonical(&self) -> String {
        let mut text = self.canonical_local_part();
        text.push('@');
        text.push_str(&self.domain);
        text.make_ascii_lowercase();
        text
    }
    /// Whether the domain is `domain`, without regard to ASCII case.
    pub fn is_in_domain(&self, domain: &str) -> bool {
        self.domain.eq_ignore_ascii_case(domain)
    }

    fn canonical_local_part(&self) -> String {
        let Some(quoted) = self.local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) else {
            return self.local.clone();
        };
        let mut content = String::with_capacity(quoted.len());
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            content.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        if is_dot_string(&content) {
            content
        } else {
            let escaped = content.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"")
        }
    }
}

/// Splits at the "@" that ends the local part: behind a quoted string, else the only one.
fn split(text: &str) -> Option<(&str, &str)> {
    let at = if text.starts_with('"') {
        let mut escaped = false;
        let end = text.bytes().skip(1).position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        })? + 2;
        text[end..].starts_with('@').then_some(end)?
    } else {
        text.find('@')?
    };
    Some((&text[..at], &text[at + 1..]))
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_visible(c)
}

/// RFC 6531 admits UTF8-non-ascii; controls, format characters that hide or reorder text, and non-ASCII white space do not
/// belong in an address and serve only to deceive.
fn is_utf8_visible(c: char) -> bool {
    let hidden = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
    !c.is_ascii() && !c.is_control() && !c.is_whitespace() && !hidden
}

fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_local_part(text: &str) -> bool {
    match text.strip_prefix('"') {
        None => is_dot_string(text),
        Some(rest) => rest.strip_suffix('"').is_some_and(is_quoted_content),
    }
}

fn is_quoted_content(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let fine = match c {
            '\\' => chars.next().is_some_and(|e| (' '..='~').contains(&e)),
            '"' => false,
            _ => (' '..='~').contains(&c) || is_utf8_visible(c),
        };
        if !fine {
            return false;
        }
    }
    true
}

fn is_domain(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.strip_suffix(']').is_some_and(is_literal_content);
    }
    text.split('.').all(|label| {
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_utf8_visible(c);
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(inside)
    })
}

/// `IPv4-address-literal / IPv6-address-literal / General-address-literal` (RFC 5321 section 4.1.3).
fn is_literal_content(text: &str) -> bool {
    use std::net::{Ipv4Addr, Ipv6Addr};
    if text.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let Some((tag, rest)) = text.split_once(':') else { return false };
    if tag.eq_ignore_ascii_case("IPv6") {
        return rest.parse::<Ipv6Addr>().is_ok();
    }
    let is_tag = tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && tag.ends_with(|c: char| c.is_ascii_alphanumeric());
    is_tag && !rest.is_empty() && rest.chars().all(|c| matches!(c, '!'..='Z' | '^'..='~'))
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}
impl Eq for Address {}
impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.local)?;
        if self.domain.is_empty() { Ok(()) } else { write!(f, "@{}", self.domain) }
    }
}

impl<C> Encode<C> for Address {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Address {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match d.str()? {
            "Postmaster" => Ok(Address::postmaster()),
            text => Address::parse(text).map_err(|e| decode::Error::message(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_mailboxes_as_written() {
        for text in [
            "a@b",
            "Alice.O'Hara+tag@Example.ORG",
            "\"a b\"@example.org",
            "\"a@b\"@example.org",
            "\"\\\"\"@example.org",
            "\"\"@example.org",
            "x@[127.0.0.1]",
            "x@[IPv6:::1]",
            "x@under_score.example",
            "grüße@bücher.example",
        ] {
            assert_eq!(Address::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "a",
            "@b",
            "a@",
            "a@@b",
            "a@b@c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a b@c",
            "a@b c",
            "a@b.",
            "a@-b",
            "a@b-",
            "\"a@b",
            "\"a\"b@c",
            "a@[127.0.0.1",
            "a@[]",
            "a@[300.1.1.1]",
            "a@b\r\n",
            "a\0@b",
            " a@b",
            "a@b ",
            "a@b\u{200b}",
            "a\u{a0}@b",
            "\u{202e}a@b",
            "<a@b>",
            "a@b>",
            "a,b@c",
            "a@b,c",
        ] {
            assert_eq!(Address::parse(text).unwrap_err(), Error::Syntax, "{text:?}");
        }
    }

    #[test]
    fn lengths_hold_at_their_bounds() {
        let local = "l".repeat(LOCAL_PART_BYTES_MAX);
        assert!(Address::parse(&format!("{local}@d")).is_ok());
        assert_eq!(Address::parse(&format!("{local}l@d")), Err(Error::LocalPartTooLong));
        let domain = format!("{}.{}.{}.{}", "d".repeat(63), "d".repeat(63), "d".repeat(63), "d".repeat(63));
        assert_eq!(domain.len(), DOMAIN_BYTES_MAX);
        assert!(Address::parse(&format!("l@{domain}")).is_ok());
        assert_eq!(Address::parse(&format!("l@{domain}d")), Err(Error::DomainTooLong));
    }

    #[test]
    fn equality_ignores_case_and_needless_quotes() {
        let same = |a: &str, b: &str| Address::parse(a).expect(a) == Address::parse(b).expect(b);
        assert!(same("Alice@Example.org", "alice@example.ORG"));
        assert!(same("\"alice\"@example.org", "alice@example.org"));
        assert!(same("\"a\\lice\"@example.org", "alice@example.org"));
        assert!(!same("\"a b\"@example.org", "\"a  b\"@example.org"));
        assert!(!same("alice@example.org", "alice@example.com"));
    }
}
