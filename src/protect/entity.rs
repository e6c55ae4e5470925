//! A message taken apart for protection: the fields that stay outside, and the entity that will be signed or encrypted
//! (RFC 8551 section 3.1, RFC 3156 section 5). Never adds a signature or a cipher.

use super::Error;
use super::hazards::canonical;
use super::safe::{self, Purpose, Writer};
use crate::mail::header;
use crate::mail::header::Field;
use crate::mail::structure;

/// A message in two.
#[derive(Debug)]
pub struct Parted {
    /// The outer header up to where the new Content-* fields go, exactly one MIME-Version in it.
    pub outer: Vec<u8>,
    /// Content-* fields, an empty line, the body; canonical and safe to sign.
    pub entity: Vec<u8>,
}

/// Takes `message` apart.
pub fn part(message: &[u8], purpose: Purpose) -> Result<Parted, Error> {
    let (header, _) = header::split(message);
    let outer = outer(header.of(message));
    let entity = Writer::new(message, purpose).entity(&structure::scan(message))?;
    Ok(Parted { outer, entity })
}

/// All fields but those that move inside, in order, octet for octet (bare LF becomes CRLF). Lines and Content-Length would count
/// a body that is no longer there; of several MIME-Version fields the first that says 1.0 stays.
fn outer(header: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + 32);
    let mut versions = 0;
    for field in header::fields(header) {
        match place(&field) {
            Place::Outside => canonical(field.raw, &mut out),
            Place::Version if versions == 0 => {
                versions += 1;
                canonical(field.raw, &mut out);
            }
            Place::Version | Place::Elsewhere => {}
        }
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    if versions == 0 {
        out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    out
}

enum Place {
    Outside,
    /// A MIME-Version of 1.0.
    Version,
    /// Inside, or nowhere.
    Elsewhere,
}

fn place(field: &Field) -> Place {
    if field.is("MIME-Version") {
        return if is_version_1_0(field.value) { Place::Version } else { Place::Elsewhere };
    }
    let counts_body = field.is("Content-Length") || field.is("Lines");
    if counts_body || safe::belongs_inside(field.name) { Place::Elsewhere } else { Place::Outside }
}

/// `1.0`, comments around it allowed (RFC 2045 section 4).
fn is_version_1_0(value: &[u8]) -> bool {
    let (mut depth, mut text) = (0u32, Vec::new());
    for octet in header::unfold(value) {
        match octet {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth == 0 && !octet.is_ascii_whitespace() => text.push(octet),
            _ => {}
        }
    }
    text == b"1.0"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, outer: &str, entity: &str) {
        let parted = part(message.as_bytes(), Purpose::Sign).expect(message);
        assert_eq!(String::from_utf8_lossy(&parted.outer), outer, "outer of {message:?}");
        assert_eq!(String::from_utf8_lossy(&parted.entity), entity, "entity of {message:?}");
    }

    #[test]
    fn content_fields_move_inside_and_all_else_stays() {
        check(
            "A: 1\r\nContent-Type: text/html;\r\n\tcharset=x\r\nSubject: a\r\n  b \r\nMIME-Version: 1.0 (y)\r\ncontent-ID: <i>\r\nZ:\r\n\r\nbody",
            "A: 1\r\nSubject: a\r\n  b \r\nMIME-Version: 1.0 (y)\r\nZ:\r\n",
            "Content-Type: text/html;\r\n\tcharset=x\r\ncontent-ID: <i>\r\n\r\nbody",
        );
        check(
            "Lines: 1\r\nContent-Length: 4\r\nX-Lines: 1\r\nContent-Description: d\r\n\r\nbody",
            "X-Lines: 1\r\nMIME-Version: 1.0\r\n",
            "Content-Description: d\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nbody",
        );
    }

    #[test]
    fn one_mime_version_stays_and_it_says_1_0() {
        let entity = "Content-Type: text/plain; charset=us-ascii\r\n\r\n";
        for (versions, expected) in [
            ("", "MIME-Version: 1.0\r\n"),
            ("mime-version: (a) 1.0\r\nMIME-Version: 1.0\r\n", "mime-version: (a) 1.0\r\n"),
            ("MIME-Version: 2.0\r\n", "MIME-Version: 1.0\r\n"),
            ("MIME-Version: 1 .\r\n 0\r\n", "MIME-Version: 1 .\r\n 0\r\n"),
            ("MIME-Version:\r\n", "MIME-Version: 1.0\r\n"),
        ] {
            check(&format!("{versions}\r\n"), expected, entity);
        }
    }

    #[test]
    fn octets_without_a_structure_have_an_entity_too() {
        let entity = "Content-Type: text/plain; charset=us-ascii\r\n\r\n";
        check("", "MIME-Version: 1.0\r\n", entity);
        check("no field\nA: b", "no field\r\nA: b\r\nMIME-Version: 1.0\r\n", entity);
        check("\nbody\n", "MIME-Version: 1.0\r\n", &format!("{entity}body\r\n"));
    }
}
