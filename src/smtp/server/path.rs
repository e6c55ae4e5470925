//! Paths: what stands in `MAIL FROM:<...>` and `RCPT TO:<...>`. Source routes are read and forgotten.

use crate::mail::Address;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// `<>`.
    Null,
    /// `<Postmaster>` in any case (RFC 5321 section 4.5.1).
    Postmaster,
    /// `<local-part@domain>`.
    Mailbox(Address),
}

/// Reads a path and says what stands behind it; `None` when there is none at the start of `text`.
///
/// ```text
/// path     = *SP "<" [ route ":" ] mailbox ">"            quirk_space_before_path (many clients): *SP is not in RFC 5321
/// route    = "@" domain *( "," "@" domain )               MUST be accepted, SHOULD be ignored (RFC 5321 appendix C)
/// ```
pub fn parse(text: &str) -> Option<(Path, &str)> {
    let inside = text.trim_start_matches(' ').strip_prefix('<')?;
    let end = closing_bracket(inside)?;
    let (path, rest) = (&inside[..end], &inside[end + 1..]);
    let path = match path {
        "" => Path::Null,
        _ if path.eq_ignore_ascii_case("postmaster") => Path::Postmaster,
        _ => Path::Mailbox(Address::parse(behind_route(path)?).ok()?),
    };
    Some((path, rest))
}

/// The first ">" outside a quoted string.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn behind_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    // A ":" inside the route can only be that of an IPv6 literal, which a route of its time does not hold.
    let (route, mailbox) = path.split_once(':')?;
    let hosts = route.split(',').map(|host| host.strip_prefix('@'));
    hosts.map(|host| Address::parse(&format!("x@{}", host?)).ok()).collect::<Option<Vec<_>>>()?;
    Some(mailbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, address: &str, rest: &str) {
        let (path, behind) = parse(text).unwrap_or_else(|| panic!("{text}"));
        let shown = match path {
            Path::Null => String::new(),
            Path::Postmaster => "POSTMASTER".to_owned(),
            Path::Mailbox(address) => address.to_string(),
        };
        assert_eq!((shown.as_str(), behind), (address, rest), "{text}");
    }

    #[test]
    fn reads_paths_as_written() {
        check("<>", "", "");
        check("<> SIZE=3", "", " SIZE=3");
        check(" <a@b.example>", "a@b.example", "");
        check("<a@b.example>SIZE=3", "a@b.example", "SIZE=3");
        check("<postMaster>", "POSTMASTER", "");
        check("<Postmaster@b.example>", "Postmaster@b.example", "");
        check("<\"a > \\\" b\"@c.example> X", "\"a > \\\" b\"@c.example", " X");
        check("<a@[127.0.0.1]>", "a@[127.0.0.1]", "");
        check("<a@[IPv6:::1]>", "a@[IPv6:::1]", "");
        check("<@one.example:a@b.example>", "a@b.example", "");
        check("<@one.example,@two.example:\"x:y\"@b.example>", "\"x:y\"@b.example", "");
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in [
            "",
            "a@b",
            "<",
            "<a@b",
            "<a>",
            "<a@b@c>",
            "< a@b>",
            "<a@b >",
            "<<a@b>>",
            "<@one.example>",
            "<@:a@b>",
            "<@one,two:a@b>",
            "<@one,:a@b>",
            "<@a b:c@d>",
            "<\"a@b>",
            "<postmaster@>",
            "< >",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
