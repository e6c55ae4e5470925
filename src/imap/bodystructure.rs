//! BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2) from a scanned structure. Never opens the message.

use super::envelope::envelope;
use super::reply;
use crate::mail::structure::Content;
use crate::mail::structure::Parameter;
use crate::mail::structure::Part;
use crate::mail::summary::EnvelopeFields;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// BODY.
    Basic,
    /// BODYSTRUCTURE, with extension data.
    Extended,
}

/// What the grammar wants where the message has nothing: a multipart needs a part, a message/rfc822 a body.
const EMPTY_TEXT: &[u8] = b"(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)";

/// `body = "(" (body-type-1part / body-type-mpart) ")"`
pub(super) fn body(out: &mut Vec<u8>, part: &Part, form: Form) {
    out.push(b'(');
    match &part.content {
        Content::Multipart(parts) => {
            parts.iter().for_each(|part| body(out, part, form));
            multipart_end(out, part, form);
        }
        Content::Leaf if part.media_type == "multipart" => {
            out.extend_from_slice(EMPTY_TEXT);
            multipart_end(out, part, form);
        }
        _ => {
            single(out, part, form);
            if form == Form::Extended {
                out.push(b' ');
                reply::nstring(out, part.md5.as_deref());
                extension(out, part);
            }
        }
    }
    out.push(b')');
}

/// `SP media-subtype [SP body-ext-mpart]`
fn multipart_end(out: &mut Vec<u8>, part: &Part, form: Form) {
    out.push(b' ');
    reply::string(out, part.subtype.as_bytes());
    if form == Form::Extended {
        out.push(b' ');
        parameters(out, &part.parameters);
        extension(out, part);
    }
}

/// `media-basic / media-message / media-text`, body-fields, and what the type adds.
fn single(out: &mut Vec<u8>, part: &Part, form: Form) {
    for text in [&part.media_type, &part.subtype] {
        reply::string(out, text.as_bytes());
        out.push(b' ');
    }
    parameters(out, &part.parameters);
    for text in [&part.content_id, &part.description] {
        out.push(b' ');
        reply::nstring(out, text.as_deref());
    }
    out.push(b' ');
    reply::string(out, part.transfer_encoding.as_bytes());
    number(out, part.body.end.saturating_sub(part.body.start));
    match &part.content {
        Content::Message(inner, fields) => message(out, fields, |out| body(out, inner, form)),
        _ if part.media_type == "message" && part.subtype == "rfc822" => {
            // In a transfer encoding, which RFC 2046 forbids: its inside cannot be addressed, but the grammar wants one.
            message(out, &EnvelopeFields::default(), |out| out.extend_from_slice(EMPTY_TEXT));
        }
        _ if part.media_type == "text" => {}
        _ => return,
    }
    number(out, part.lines);
}

fn message(out: &mut Vec<u8>, fields: &EnvelopeFields, inner: impl FnOnce(&mut Vec<u8>)) {
    out.push(b' ');
    envelope(out, fields);
    out.push(b' ');
    inner(out);
}

/// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
fn extension(out: &mut Vec<u8>, part: &Part) {
    out.push(b' ');
    match &part.disposition {
        None => out.extend_from_slice(b"NIL"),
        Some((disposition, list)) => {
            out.push(b'(');
            reply::string(out, disposition.as_bytes());
            out.push(b' ');
            parameters(out, list);
            out.push(b')');
        }
    }
    out.push(b' ');
    language(out, &part.language);
    out.push(b' ');
    reply::nstring(out, part.location.as_deref());
}

/// `body-fld-lang = nstring / "(" string *(SP string) ")"`
fn language(out: &mut Vec<u8>, items: &[String]) {
    match items {
        [] => out.extend_from_slice(b"NIL"),
        [one] => reply::string(out, one.as_bytes()),
        many => strings(out, many.iter().map(String::as_str)),
    }
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn parameters(out: &mut Vec<u8>, list: &[Parameter]) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    strings(out, list.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
}

fn strings<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = &'a str>) {
    for (at, item) in items.enumerate() {
        out.push(if at == 0 { b'(' } else { b' ' });
        reply::string(out, item.as_bytes());
    }
    out.push(b')');
}

fn number(out: &mut Vec<u8>, n: u64) {
    out.push(b' ');
    out.extend_from_slice(n.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::structure::Span;

    fn leaf(media_type: &str, subtype: &str) -> Part {
        Part {
            header: Span { start: 0, end: 0 },
            body: Span { start: 10, end: 52 },
            media_type: media_type.to_owned(),
            subtype: subtype.to_owned(),
            parameters: Vec::new(),
            transfer_encoding: "7bit".to_owned(),
            content_id: None,
            description: None,
            disposition: None,
            md5: None,
            language: Vec::new(),
            location: None,
            lines: 3,
            content: Content::Leaf,
        }
    }

    fn check(part: &Part, form: Form, expected: &str) {
        let mut out = Vec::new();
        body(&mut out, part, form);
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn single_parts() {
        check(&leaf("text", "plain"), Form::Basic, "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 42 3)");
        let attached = Part {
            parameters: vec![("name".to_owned(), "a b".to_owned())],
            disposition: Some(("attachment".to_owned(), vec![("filename".to_owned(), "ü".to_owned())])),
            language: vec!["en".to_owned(), "de".to_owned()],
            content_id: Some("<x>".to_owned()),
            ..leaf("image", "png")
        };
        let expected = "(\"image\" \"png\" (\"name\" \"a b\") \"<x>\" NIL \"7bit\" 42 NIL \
                        (\"attachment\" (\"filename\" {2}\r\nü)) (\"en\" \"de\") NIL)";
        check(&attached, Form::Extended, expected);
    }

    #[test]
    fn nested_parts() {
        let inner = Box::new(leaf("text", "html"));
        let content = Content::Message(inner, Box::default());
        let forwarded = Part { content, ..leaf("message", "rfc822") };
        let content = Content::Multipart(vec![leaf("text", "plain"), forwarded]);
        let mixed =
            Part { content, parameters: vec![("boundary".to_owned(), "b".to_owned())], ..leaf("multipart", "mixed") };
        let nil = ["NIL"; 10].join(" ");
        let expected = format!(
            "((\"text\" \"plain\" NIL NIL NIL \"7bit\" 42 3)(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 42 ({nil}) \
             (\"text\" \"html\" NIL NIL NIL \"7bit\" 42 3) 3) \"mixed\")"
        );
        check(&mixed, Form::Basic, &expected);
        let mut out = Vec::new();
        body(&mut out, &mixed, Form::Extended);
        assert!(out.ends_with(b" \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"));
    }

    #[test]
    fn what_the_grammar_cannot_say_is_filled_in() {
        check(&leaf("multipart", "mixed"), Form::Basic, "((\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0) \"mixed\")");
        let mut out = Vec::new();
        body(&mut out, &leaf("message", "rfc822"), Form::Basic);
        assert!(out.ends_with(b"NIL) (\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0) 3)"), "{}", out.escape_ascii());
    }
}
