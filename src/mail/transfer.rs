//! Content transfer encodings undone (RFC 2045 section 6). Lenient, as readers of real mail have to be; never used where a
//! signature depends on the answer.

use super::encoded_word::BASE64;
use super::encoded_word::hex_octet;
use base64::Engine;
use std::borrow::Cow;

/// Whether an encoding, in lower case, leaves the octets as they are (RFC 2045 section 6.2).
pub fn is_identity(encoding: &str) -> bool {
    matches!(encoding, "7bit" | "8bit" | "binary")
}

/// What a body stands for; `None` for an encoding nobody knows, or base64 that is none. Never longer than the body.
pub fn decoded<'a>(encoding: &str, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match encoding {
        "base64" => from_base64(body).map(Cow::Owned),
        "quoted-printable" => Some(Cow::Owned(from_quoted_printable(body))),
        other => is_identity(other).then_some(Cow::Borrowed(body)),
    }
}

/// Characters outside the alphabet are left out (section 6.8); padding may stand where two encodings were joined.
fn from_base64(body: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(body.len() / 4 * 3);
    for run in body.split(|&b| b == b'=') {
        let run: Vec<u8> =
            run.iter().copied().filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')).collect();
        octets.extend(BASE64.decode(run).ok()?);
    }
    Some(octets)
}

/// What is not valid stands for itself (section 6.7, notes on robustness).
fn from_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&b| b == b'\n') {
        let content = line.strip_suffix(b"\n").map_or(line, |l| l.strip_suffix(b"\r").unwrap_or(l));
        let line_break = &line[content.len()..];
        let content = content.trim_ascii_end();
        let (content, line_break) = match content.strip_suffix(b"=") {
            Some(soft) => (soft, &b""[..]),
            None => (content, line_break),
        };
        unescape(content, &mut octets);
        octets.extend_from_slice(line_break);
    }
    octets
}

fn unescape(content: &[u8], octets: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&octet) = content.get(at) {
        let escaped = content.get(at + 1..at + 3).filter(|_| octet == b'=').and_then(hex_octet);
        octets.push(escaped.unwrap_or(octet));
        at += if escaped.is_some() { 3 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone() {
        for (encoding, body, expected) in [
            ("7bit", "a=3D\r\n", Some("a=3D\r\n")),
            ("8bit", "ä", Some("ä")),
            ("binary", "", Some("")),
            ("base64", "aMOp\r\naA==\r\n", Some("héh")),
            ("base64", "aA==aA", Some("hh")),
            ("base64", "a\r\n", None),
            ("quoted-printable", "h=C3=A9 =\r\nx \t\r\ny=\n=zz=4", Some("hé x\r\ny=zz=4")),
            ("quoted-printable", "=", Some("")),
            ("x-uuencode", "a", None),
            ("", "a", None),
        ] {
            let found = decoded(encoding, body.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{encoding}: {body:?}");
        }
    }
}
