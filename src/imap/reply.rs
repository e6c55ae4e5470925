//! Writes the data formats of IMAP responses (RFC 3501 section 4). Holds the texts we answer with; decides nothing.

use super::cursor::is_astring_char;

/// Strings longer than this go as literals, so that lines stay readable for clients with small line buffers.
const QUOTED_BYTES_MAX: usize = 1000;
/// IMAP cannot carry NUL (RFC 3501 section 9: CHAR8). It is shown as this octet, as Dovecot does.
pub(super) const NUL_SHOWN_AS: u8 = 0x80;

/// The flags of every message.
pub(super) const FLAGS: &str = "FLAGS (\\Seen)";

// Answers behind the tag (RFC 3501 section 7.1, codes of RFC 5530). Public text names no file, rule or mechanism.
pub(super) const BAD_LITERAL: &str = "BAD No literal was expected";
pub(super) const BAD_NOT_LOGGED_IN: &str = "BAD Log in first";
pub(super) const BAD_NOT_SELECTED: &str = "BAD No mailbox is selected";
pub(super) const BAD_TAG: &str = "BAD Syntax: a tag is missing";
pub(super) const BAD_TOO_LONG: &str = "BAD [TOOBIG] The command is too long";
pub(super) const NO_CREDENTIALS: &str = "NO [AUTHENTICATIONFAILED] User name or password is wrong";
pub(super) const NO_MAILBOX: &str = "NO [NONEXISTENT] No such mailbox";
pub(super) const NO_PERMISSION: &str = "NO [NOPERM] The archive is read-only";
pub(super) const NO_PRIVACY: &str = "NO [PRIVACYREQUIRED] Start TLS first";
pub(super) const NO_UNAVAILABLE: &str = "NO [UNAVAILABLE] The archive is not available now";

/// `tag SP text CRLF`; the text begins with OK, NO or BAD.
pub(super) fn tagged(out: &mut Vec<u8>, tag: &str, text: &str) {
    line(out, &[tag, text]);
}

/// `"*" SP text CRLF`
pub(super) fn untagged(out: &mut Vec<u8>, text: &str) {
    line(out, &["*", text]);
}

fn line(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(words.join(" ").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `string = quoted / literal`
pub(super) fn string(out: &mut Vec<u8>, octets: &[u8]) {
    let is_plain = |b: &u8| matches!(b, b' '..=b'~' | b'\t');
    if octets.len() <= QUOTED_BYTES_MAX && octets.iter().all(is_plain) {
        return quoted(out, octets);
    }
    literal_header(out, octets.len());
    out.extend(octets.iter().map(|&b| if b == 0 { NUL_SHOWN_AS } else { b }));
}

fn quoted(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'"');
    for &b in octets {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(b);
    }
    out.push(b'"');
}

/// `"{" number "}" CRLF`, the octets follow.
pub(super) fn literal_header(out: &mut Vec<u8>, bytes: usize) {
    out.extend_from_slice(format!("{{{bytes}}}\r\n").as_bytes());
}

/// `nstring = string / nil`
pub(super) fn nstring(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text.as_bytes()),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// `astring = 1*ASTRING-CHAR / string`
pub(super) fn astring(out: &mut Vec<u8>, octets: &[u8]) {
    let is_nil = octets.eq_ignore_ascii_case(b"NIL");
    if !octets.is_empty() && !is_nil && octets.iter().all(|&b| is_astring_char(b)) {
        out.extend_from_slice(octets);
    } else {
        string(out, octets);
    }
}

/// A mailbox name on the wire: modified UTF-7 (RFC 3501 section 5.1.3), in which our ASCII names differ by `&-` alone.
pub(super) fn mailbox(out: &mut Vec<u8>, name: &str) {
    quoted(out, name.replace('&', "&-").as_bytes());
}

/// A mailbox name as a client writes it. `None`: not one of ours can have this name.
pub(super) fn mailbox_name(wire: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(wire).ok()?;
    let encoded = text.match_indices('&').any(|(at, _)| !text[at + 1..].starts_with('-'));
    if encoded || !text.is_ascii() {
        return None;
    }
    let name = text.replace("&-", "&");
    Some(if name.eq_ignore_ascii_case("INBOX") { "INBOX".to_owned() } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_when_safe() {
        let check = |octets: &[u8], expected: &[u8]| {
            let mut out = Vec::new();
            string(&mut out, octets);
            assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        };
        check(b"", b"\"\"");
        check(b"a \"b\" \\", b"\"a \\\"b\\\" \\\\\"");
        check(b"a\r\nb", b"{4}\r\na\r\nb");
        check(b"\xc3\xbc", b"{2}\r\n\xc3\xbc");
        check(b"a\0b", b"{3}\r\na\x80b");
        assert!(long(QUOTED_BYTES_MAX).starts_with(b"\"") && long(QUOTED_BYTES_MAX + 1).starts_with(b"{1001}"));
    }

    fn long(bytes: usize) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, &vec![b'x'; bytes]);
        out
    }

    #[test]
    fn mailbox_names_come_back() {
        let check = |wire: &str, expected: Option<&str>| {
            assert_eq!(mailbox_name(wire.as_bytes()).as_deref(), expected, "{wire}");
        };
        check("inbox", Some("INBOX"));
        check("inbox/x", Some("inbox/x"));
        check("Archive/2026/2026-11", Some("Archive/2026/2026-11"));
        check("R&-D", Some("R&D"));
        check("&ZeVnLIqe-", None);
        check("&", None);
        check("ü", None);
        let mut out = Vec::new();
        mailbox(&mut out, "R&D \"x\"");
        assert_eq!(out, b"\"R&-D \\\"x\\\"\"");
    }
}
