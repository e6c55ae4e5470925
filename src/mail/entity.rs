//! The MIME fields of one entity (RFC 2045, 2183, 3282, 2557). Of a field given twice the first counts. Never looks at a body.

use super::header::fields;
use super::header::text;
use super::header::unfold;
use super::header::utf8;
use super::lexer::trimmed;
use super::parameter;
use super::parameter::Written;
use super::structure::Parameter;
use super::structure::Part;

/// Items of one Content-Language that are kept.
pub const LANGUAGES_MAX: usize = 64;
/// Octets in a boundary. RFC 2046 section 5.1.1 says 70; some senders exceed it.
pub const BOUNDARY_BYTES_MAX: usize = 998;

/// What an entity is when Content-Type is missing or malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// text/plain (RFC 2045 section 5.2).
    Text,
    /// message/rfc822, within multipart/digest (RFC 2046 section 5.1.5).
    Message,
}

/// An entity's fields, and the boundary if it is a multipart that has a usable one.
pub(super) struct Entity {
    /// Spans, lines and content are for the scanner to fill in.
    pub part: Part,
    pub boundary: Option<Vec<u8>>,
}

/// Reads the fields of `header`; takes the parameters it keeps off `parameters_left`.
pub(super) fn read(header: &[u8], default: Default, parameters_left: &mut usize) -> Entity {
    let mut entity = Entity { part: unnamed(default), boundary: None };
    let mut seen = 0_u32;
    for field in fields(header).filter(|f| f.name.len() > 8 && f.name[..8].eq_ignore_ascii_case(b"Content-")) {
        let name = field.name[8..].to_ascii_lowercase();
        let Some(known) = KNOWN.iter().position(|(word, _)| word.as_bytes() == name) else { continue };
        if seen & (1 << known) == 0 {
            seen |= 1 << known;
            KNOWN[known].1(&mut entity, field.value, parameters_left);
        }
    }
    entity
}

type Reader = fn(&mut Entity, &[u8], &mut usize);

/// The field names behind `Content-` and what reads each.
const KNOWN: [(&str, Reader); 8] = [
    ("type", content_type),
    ("transfer-encoding", transfer_encoding),
    ("id", |entity, value, _| entity.part.content_id = Some(text(value))),
    ("description", |entity, value, _| entity.part.description = Some(text(value))),
    ("disposition", disposition),
    ("md5", |entity, value, _| entity.part.md5 = Some(text(value))),
    ("language", |entity, value, _| entity.part.language = languages(value)),
    ("location", |entity, value, _| entity.part.location = Some(text(value))),
];

fn unnamed(default: Default) -> Part {
    match default {
        Default::Text => Part::default(),
        Default::Message => Part { media_type: "message".to_owned(), subtype: "rfc822".to_owned(), ..Part::default() },
    }
}

fn content_type(entity: &mut Entity, value: &[u8], parameters_left: &mut usize) {
    let read = parameter::read(value);
    if let Some((media_type, subtype)) = type_and_subtype(&read.token) {
        entity.part.media_type = media_type;
        entity.part.subtype = subtype;
    }
    if entity.part.media_type == "multipart" {
        entity.boundary = boundary(&read.parameters);
    }
    entity.part.parameters = kept(&read.parameters, parameters_left);
}

/// `type "/" subtype`, both tokens.
fn type_and_subtype(token: &[u8]) -> Option<(String, String)> {
    let (media_type, subtype) = std::str::from_utf8(token).ok()?.split_once('/')?;
    (is_token(media_type) && is_token(subtype)).then(|| (media_type.to_owned(), subtype.to_owned()))
}

/// `token = 1*<any CHAR except SPACE, CTLs, or tspecials>` (RFC 2045 section 5.1).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}

/// The boundary's octets, white space at the end removed: a gateway put it there (RFC 2046 section 5.1.1).
fn boundary(parameters: &[Written]) -> Option<Vec<u8>> {
    let octets = match parameters.iter().find(|p| p.name == b"boundary") {
        Some(plain) => plain.value.clone(),
        None => parameter::resolved(parameters).into_iter().find(|(name, _)| name == "boundary")?.1.into_bytes(),
    };
    let length = octets.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map(|last| last + 1)?;
    (length <= BOUNDARY_BYTES_MAX).then(|| octets[..length].to_vec())
}

fn kept(written: &[Written], left: &mut usize) -> Vec<Parameter> {
    let count = written.len().min(*left);
    *left -= count;
    written[..count].iter().map(|p| (utf8(&p.name), utf8(&p.value))).collect()
}

fn transfer_encoding(entity: &mut Entity, value: &[u8], _: &mut usize) {
    let token = parameter::read(value).token;
    if !token.is_empty() {
        entity.part.transfer_encoding = utf8(&token);
    }
}

fn disposition(entity: &mut Entity, value: &[u8], parameters_left: &mut usize) {
    let read = parameter::read(value);
    if !read.token.is_empty() {
        entity.part.disposition = Some((utf8(&read.token), kept(&read.parameters, parameters_left)));
    }
}

fn languages(value: &[u8]) -> Vec<String> {
    let value = unfold(value);
    let items = value.split(|&b| b == b',').map(trimmed).filter(|item| !item.is_empty());
    items.take(LANGUAGES_MAX).map(utf8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(header: &str) -> Entity {
        read(header.as_bytes(), Default::Text, &mut 100)
    }

    #[test]
    fn types_fall_back_when_malformed() {
        let check = |value: &str, expected: &str| {
            let part = read_text(&format!("Content-Type:{value}\r\n")).part;
            assert_eq!(format!("{}/{}", part.media_type, part.subtype), expected, "{value}");
        };
        check(" Image/PNG", "image/png");
        check("\r\n text/html; charset=x", "text/html");
        check("", "text/plain");
        check("text", "text/plain");
        check("text/", "text/plain");
        check("/html", "text/plain");
        check("text/html/x", "text/plain");
        check("te\u{fc}t/html", "text/plain");
        let digest = read(b"Content-Type: x\r\n", Default::Message, &mut 1).part;
        assert_eq!((digest.media_type.as_str(), digest.subtype.as_str()), ("message", "rfc822"));
    }

    #[test]
    fn boundaries() {
        let check = |parameters: &str, expected: Option<&[u8]>| {
            let found = read_text(&format!("Content-Type: multipart/mixed{parameters}\r\n")).boundary;
            assert_eq!(found.as_deref(), expected, "{parameters}");
        };
        check("; boundary=a", Some(b"a"));
        check("; boundary=\"a b \"", Some(b"a b"));
        check("; boundary*0=a; boundary*1=b", Some(b"ab"));
        check("; boundary=a; boundary=b", Some(b"a"));
        check("", None);
        check("; boundary=\"\"", None);
        check("; boundary=\" \"", None);
        let long = "b".repeat(BOUNDARY_BYTES_MAX);
        check(&format!("; boundary={long}"), Some(long.as_bytes()));
        check(&format!("; boundary={long}b"), None);
        assert!(read_text("Content-Type: text/plain; boundary=a\r\n").boundary.is_none());
    }

    #[test]
    fn every_field_is_read_once() {
        let part = read_text(
            "Content-ID:  <a@x>\r\nContent-Description: =?utf-8?q?a?=\r\n b\r\ncontent-transfer-encoding: BASE64 (c)\r\n\
             Content-Disposition: Attachment; FileName*0*=utf-8''a%20; filename*1=b\r\nContent-MD5: Q2hl\r\n\
             Content-Language: de, en-GB ,\r\nContent-Location: http://x/\r\nContent-ID: <b@x>\r\nContent-: x\r\n",
        )
        .part;
        assert_eq!(part.content_id.as_deref(), Some("<a@x>"));
        assert_eq!(part.description.as_deref(), Some("=?utf-8?q?a?= b"));
        assert_eq!(part.transfer_encoding, "base64");
        let parameter = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![parameter("filename*0*", "utf-8''a%20"), parameter("filename*1", "b")];
        assert_eq!(part.disposition, Some(("attachment".to_owned(), expected)));
        assert_eq!(part.md5.as_deref(), Some("Q2hl"));
        assert_eq!(part.language, ["de", "en-GB"]);
        assert_eq!(part.location.as_deref(), Some("http://x/"));
    }

    #[test]
    fn kept_parameters_are_bounded() {
        let mut left = 3;
        let header = b"Content-Type: a/b; a=1; b=2\r\nContent-Disposition: x; c=3; d=4\r\n";
        let part = read(header, Default::Text, &mut left).part;
        assert_eq!((part.parameters.len(), part.disposition.map(|d| d.1.len()), left), (2, Some(1), 0));
    }
}
