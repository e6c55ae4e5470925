//! Header fields inside a protected entity: kept as they stand where mail can carry them, else written in the ASCII form that
//! RFC 2047 and RFC 2231 have for them. Never changes a field's meaning, and never touches a field that is safe.

use super::Error;
use super::hazards::{LINE_MAX, canonical};
use crate::mail::header::Field;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of text in one encoded word: 45 make 60 characters, 75 with the longest frame here (RFC 2047 section 2).
const WORD_OCTETS: usize = 39;
/// Octets of a parameter value in one RFC 2231 section; tripled they still make a line of common length.
const SECTION_OCTETS: usize = 20;

/// Appends one field with its line end.
pub fn write(field: &Field, out: &mut Vec<u8>) -> Result<(), Error> {
    let raw = field.raw;
    if raw.contains(&0) || bare_cr(raw) {
        return Err(Error::Unreadable("a header field inside the message holds NUL or a bare CR"));
    }
    let start = out.len();
    if !raw.is_ascii() {
        encoded(field, out)?;
    } else if is_content(field.name) {
        trimmed(raw, out);
    } else {
        canonical(raw, out);
    }
    if !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    if out[start..].split(|&o| o == b'\n').any(|line| line.len() > LINE_MAX + 1) {
        let long = out.split_off(start);
        folded(&long, out)?;
    }
    Ok(())
}

/// Whether the field describes content and so belongs to the entity (RFC 2045 section 9).
pub fn is_content(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"content-";
    name.get(..PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
}

fn bare_cr(raw: &[u8]) -> bool {
    raw.split_inclusive(|&o| o == b'\n').any(|line| {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        text.contains(&b'\r')
    })
}

/// Without white space before line breaks; a fold that held nothing else is left out, since an empty line would end the header.
fn trimmed(raw: &[u8], out: &mut Vec<u8>) {
    for line in raw.split(|&o| o == b'\n') {
        let text = line.trim_ascii_end();
        if !text.is_empty() {
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Breaks lines at white space so that none is over 998 octets.
fn folded(field: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    for line in field.split_inclusive(|&o| o == b'\n') {
        let mut rest = line;
        while rest.len() > LINE_MAX + 2 {
            // A fold must leave something other than white space on both lines.
            let text_start = rest.iter().position(|o| !matches!(o, b' ' | b'\t')).unwrap_or(0);
            let head = &rest[..LINE_MAX];
            let at = head.iter().rposition(|o| matches!(o, b' ' | b'\t')).filter(|&at| at > text_start);
            let at = at.ok_or(Error::Unreadable("a header field inside the message has a word of over 998 octets"))?;
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(b"\r\n");
            rest = &rest[at..];
        }
        out.extend_from_slice(rest);
    }
    Ok(())
}

/// How a field's value is built.
enum Grammar {
    Parameters,
    Addresses,
    Text,
}

fn grammar(name: &[u8]) -> Grammar {
    const PARAMETERS: [&str; 2] = ["content-type", "content-disposition"];
    const ADDRESSES: [&str; 7] = ["from", "sender", "reply-to", "to", "cc", "bcc", "disposition-notification-to"];
    let lower = name.to_ascii_lowercase();
    let named = |list: &[&str]| list.iter().any(|n| n.as_bytes() == lower);
    if named(&PARAMETERS) {
        Grammar::Parameters
    } else if named(&ADDRESSES) || lower.starts_with(b"resent-") {
        Grammar::Addresses
    } else {
        Grammar::Text
    }
}

fn encoded(field: &Field, out: &mut Vec<u8>) -> Result<(), Error> {
    if !field.name.is_ascii() || field.name.is_empty() {
        return Err(Error::Unreadable("a header inside the message holds a line that is no field"));
    }
    out.extend_from_slice(field.name);
    out.extend_from_slice(b":");
    let value: Vec<u8> = field.value.iter().copied().filter(|o| !matches!(o, b'\r' | b'\n')).collect();
    let value = value.trim_ascii_end();
    match grammar(field.name) {
        Grammar::Parameters => parameters(value, out),
        Grammar::Addresses => addresses(value, out),
        Grammar::Text => {
            text(value, out);
            Ok(())
        }
    }
}

/// Pieces of `value` between separators that stand outside quoted strings; each begins with its separator but the first.
fn pieces(value: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut found, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, &octet) in value.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if octet == separator && !quoted => {
                found.push(&value[from..at]);
                from = at;
            }
            _ => {}
        }
    }
    found.push(&value[from..]);
    found
}

/// `token *( ";" attribute "=" value )`: values above ASCII become RFC 2231 extended values.
fn parameters(value: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    for piece in pieces(value, b';') {
        if piece.is_ascii() {
            out.extend_from_slice(piece);
            continue;
        }
        let unreadable =
            Error::Unreadable("a Content-* field inside the message is not ASCII outside its parameter values");
        let inner = piece.strip_prefix(b";").ok_or(unreadable.clone())?;
        let equals = inner.iter().position(|&o| o == b'=').ok_or(unreadable.clone())?;
        let name = inner[..equals].trim_ascii();
        if name.is_empty() || !name.iter().all(|o| o.is_ascii_graphic() && !b"*'%\"()<>@,;:\\/[]?=".contains(o)) {
            return Err(unreadable);
        }
        extended(name, &unquoted(inner[equals + 1..].trim_ascii()), out);
    }
    Ok(())
}

/// `; name*0*=charset''percent-encoded;` and its continuations (RFC 2231 sections 3 and 4).
fn extended(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let sections: Vec<&[u8]> = chunks(value, SECTION_OCTETS);
    for (number, section) in sections.iter().enumerate() {
        out.extend_from_slice(b";\r\n ");
        out.extend_from_slice(name);
        if sections.len() > 1 {
            out.extend_from_slice(format!("*{number}").as_bytes());
        }
        out.extend_from_slice(b"*=");
        if number == 0 {
            out.extend_from_slice(charset(value).as_bytes());
            out.extend_from_slice(b"''");
        }
        for &octet in *section {
            if octet.is_ascii_alphanumeric() || b"-._~!#$&+^`|".contains(&octet) {
                out.push(octet);
            } else {
                out.extend_from_slice(format!("%{octet:02X}").as_bytes());
            }
        }
    }
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else { return value.to_vec() };
    let (mut out, mut escaped) = (Vec::with_capacity(inner.len()), false);
    for &octet in inner {
        match octet {
            _ if escaped => {
                out.push(octet);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => break,
            _ => out.push(octet),
        }
    }
    out
}

/// The charset to name; `unknown-8bit` (RFC 1428) lets readers guess, as they had to before.
pub fn charset(octets: &[u8]) -> &'static str {
    if std::str::from_utf8(octets).is_ok() { "utf-8" } else { "unknown-8bit" }
}

/// Slices of at most `most` octets that do not split a UTF-8 character; one at least.
fn chunks(octets: &[u8], most: usize) -> Vec<&[u8]> {
    let (mut found, mut rest) = (Vec::new(), octets);
    while rest.len() > most {
        // A character has at most three octets behind its first.
        let at = (most - 3..=most).rev().find(|&at| rest[at] & 0xc0 != 0x80).unwrap_or(most);
        found.push(&rest[..at]);
        rest = &rest[at..];
    }
    found.push(rest);
    found
}

/// Mailboxes: quoted strings and words above ASCII become encoded words; an address itself has no ASCII form.
fn addresses(value: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    for piece in pieces(value, b',') {
        let separator = usize::from(piece.starts_with(b","));
        out.extend_from_slice(&piece[..separator]);
        mailbox(&piece[separator..], out)?;
    }
    Ok(())
}

fn mailbox(piece: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    if piece.is_ascii() {
        out.extend_from_slice(piece);
        return Ok(());
    }
    let at = piece.iter().rposition(|&o| o == b'<');
    let (phrase, address) = piece.split_at(at.unwrap_or(0));
    if !address.is_ascii() {
        return Err(Error::Unreadable("an address in a message inside is not ASCII"));
    }
    out.push(b' ');
    words(&unquoted(phrase.trim_ascii()), out);
    out.push(b' ');
    out.extend_from_slice(address);
    Ok(())
}

/// Unstructured text: each run of words above ASCII becomes encoded words, the white space between them included.
fn text(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(first) = rest.iter().position(|o| !o.is_ascii()) {
        let is_space = |o: &u8| matches!(o, b' ' | b'\t');
        let start = rest[..first].iter().rposition(is_space).map_or(0, |at| at + 1);
        let mut end = start;
        loop {
            let space = rest[end..].iter().take_while(|o| is_space(o)).count();
            let word = rest[end + space..].iter().take_while(|o| !is_space(o)).count();
            if rest[end..end + space + word].is_ascii() {
                break;
            }
            end += space + word;
        }
        out.extend_from_slice(&rest[..start]);
        if start == 0 {
            out.push(b' ');
        }
        words(&rest[start..end], out);
        rest = &rest[end..];
    }
    out.extend_from_slice(rest);
}

/// Encoded words (RFC 2047), each but the first on a line of its own.
fn words(octets: &[u8], out: &mut Vec<u8>) {
    let charset = charset(octets);
    for (number, chunk) in chunks(octets, WORD_OCTETS).into_iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\r\n ");
        }
        out.extend_from_slice(format!("=?{charset}?B?{}?=", STANDARD.encode(chunk)).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header;

    fn written(raw: &[u8]) -> Result<String, Error> {
        let field = header::fields(raw).next().expect("a field");
        let mut out = Vec::new();
        write(&field, &mut out)?;
        Ok(String::from_utf8(out).expect("ASCII"))
    }

    fn check(raw: &str, expected: &str) {
        assert_eq!(written(raw.as_bytes()).expect(raw), expected, "{raw:?}");
    }

    #[test]
    fn safe_fields_stay() {
        for raw in
            ["Subject: a  b\r\n\tc\r\n", "X-Trailing: space \r\n", "Content-Type: text/plain;\r\n charset=utf-8\r\n"]
        {
            check(raw, raw);
        }
        check("Subject: bare\n fold\n", "Subject: bare\r\n fold\r\n");
        check("Content-Type: text/plain; \r\n \r\n\tcharset=x  \r\n", "Content-Type: text/plain;\r\n\tcharset=x\r\n");
    }

    #[test]
    fn parameters_become_rfc_2231() {
        check(
            "Content-Disposition: attachment; filename=\"Ü ber.pdf\"; size=3\r\n",
            "Content-Disposition: attachment;\r\n filename*=utf-8''%C3%9C%20ber.pdf; size=3\r\n",
        );
        check(
            "Content-Type: a/b; name=äääääääääää\r\n",
            "Content-Type: a/b;\r\n name*0*=utf-8''%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4%C3%A4;\r\n name*1*=%C3%A4\r\n",
        );
        assert!(written("Content-Type: tüxt/plain\r\n".as_bytes()).is_err());
        assert!(written("Content-Type: text/plain; näme=x\r\n".as_bytes()).is_err());
    }

    #[test]
    fn text_becomes_encoded_words() {
        check("Subject: a ü ö b\r\n", "Subject: a =?utf-8?B?w7wgw7Y=?= b\r\n");
        check("Subject:ü\r\n", "Subject: =?utf-8?B?w7w=?=\r\n");
        check("From: \"Ü, x\" <a@b>, c <d@e>\r\n", "From: =?utf-8?B?w5wsIHg=?= <a@b>, c <d@e>\r\n");
        assert_eq!(written(b"Subject: \xe4\r\n").expect("latin"), "Subject: =?unknown-8bit?B?5A==?=\r\n");
        assert!(written("To: <ü@b>\r\n".as_bytes()).is_err());
        assert!(written("To: ü@b\r\n".as_bytes()).is_err());
        let long = written(format!("Subject: {}\r\n", "ü".repeat(100)).as_bytes()).expect("words");
        assert!(long.lines().all(|line| line.len() <= 84), "{long}");
    }

    #[test]
    fn long_lines_are_folded_and_the_hopeless_refused() {
        let long = written(format!("X: {} {}\r\n", "a".repeat(900), "b".repeat(900)).as_bytes()).expect("folded");
        assert_eq!(long, format!("X: {}\r\n {}\r\n", "a".repeat(900), "b".repeat(900)));
        let line = format!("X: {}\r\n", "a".repeat(995));
        check(&line, &line);
        check(&format!("X: {}\r\n", "a".repeat(996)), &format!("X:\r\n {}\r\n", "a".repeat(996)));
        assert!(written(format!("X:{}\r\n", "a".repeat(997)).as_bytes()).is_err());
        assert!(written(b"X: a\0\r\n").is_err() && written(b"X: a\rb\r\n").is_err());
    }
}
