//! The MIME structure of a message as octet ranges (RFC 2045, 2046). Reads octets once, never decodes or rewrites them.

use super::parameter;
use super::parameter::Written;
use minicbor::{Decode, Encode};

/// Entities within entities, the message itself being the first. Deeper ones are leaves.
pub const DEPTH_MAX: usize = 100;
/// Entities in a message. Behind the last one, multiparts have only epilogue, and messages are leaves.
pub const PARTS_MAX: usize = 10_000;
/// Parameters kept of all entities of a message together; more are left out.
pub const PARAMETERS_KEPT_MAX: usize = 100_000;

/// Finds the entities of a message in one pass. Total: any octets are at least a header or a text body. Never decodes, so
/// that each span can be fetched, signed or verified as it stands.
///
/// A delimiter line is `--boundary`, optional white space and a line end, of any multipart still open: an outer one closes
/// all inner ones (RFC 2046 section 5.1.2). A multipart without its closing delimiter ends with the message.
pub fn scan(message: &[u8]) -> Part {
    super::scan::scan(message)
}

/// A half-open range of octets in the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Span {
    /// First octet.
    #[n(0)]
    pub start: u64,
    /// One past the last octet.
    #[n(1)]
    pub end: u64,
}

impl Span {
    /// Its octets in `message`; none when it does not lie within.
    pub fn of(self, message: &[u8]) -> &[u8] {
        let range = usize::try_from(self.start).ok().zip(usize::try_from(self.end).ok());
        range.and_then(|(start, end)| message.get(start..end)).unwrap_or_default()
    }
}

/// A parameter of a structured field: attribute in lower case, value with quoting removed. In a `Part` otherwise octets as they
/// stood (`filename*0*` of RFC 2231 not resolved), octets that are not UTF-8 replaced by `?`.
pub type Parameter = (String, String);

impl Part {
    /// The whole entity: header, empty line and body, without the line break that belongs to the next delimiter.
    pub fn whole(&self) -> Span {
        Span { start: self.header.start, end: self.body.end }
    }
    /// Whether it or a part of it is an attachment: Content-Disposition says so, or it has a file name and is not said to be inline.
    pub fn has_attachment(&self) -> bool {
        let is_one = match &self.disposition {
            Some((kind, _)) if kind == "inline" => false,
            Some((kind, _)) if kind == "attachment" => true,
            _ => self.file_name().is_some(),
        };
        is_one
            || match &self.content {
                Content::Leaf => false,
                Content::Multipart(parts) => parts.iter().any(Part::has_attachment),
                Content::Message(inner, _) => inner.has_attachment(),
            }
    }
    /// A parameter of Content-Type, RFC 2231 resolved; `name` in lower case.
    pub fn parameter(&self, name: &str) -> Option<String> {
        resolved(&self.parameters, name)
    }
    /// The file name of Content-Disposition, else Content-Type's `name`; RFC 2231 resolved, encoded words not decoded.
    pub fn file_name(&self) -> Option<String> {
        let disposition = self.disposition.as_ref().and_then(|(_, parameters)| resolved(parameters, "filename"));
        disposition.or_else(|| self.parameter("name"))
    }
}

impl Default for Part {
    /// An empty text/plain (RFC 2045 section 5.2).
    fn default() -> Part {
        Part {
            header: Span::default(),
            body: Span::default(),
            media_type: "text".to_owned(),
            subtype: "plain".to_owned(),
            parameters: Vec::new(),
            transfer_encoding: "7bit".to_owned(),
            content_id: None,
            description: None,
            disposition: None,
            md5: None,
            language: Vec::new(),
            location: None,
            lines: 0,
            content: Content::Leaf,
        }
    }
}

fn resolved(parameters: &[Parameter], name: &str) -> Option<String> {
    let octets = |text: &str| text.as_bytes().to_vec();
    let written: Vec<Written> = parameters.iter().map(|(n, v)| Written { name: octets(n), value: octets(v) }).collect();
    parameter::resolved(&written).into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

/// One MIME entity: the message itself, a part of a multipart, or the message inside a message/rfc822.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct Part {
    /// The header without the empty line that ends it.
    #[n(0)]
    pub header: Span,
    /// Behind the empty line, up to the boundary delimiter's own line break (which is not part of it).
    #[n(1)]
    pub body: Span,
    /// Media type in lower case; `text` where the field is missing or malformed.
    #[n(2)]
    pub media_type: String,
    /// Media subtype in lower case; `plain` (in multipart/digest a `message/rfc822`) where missing or malformed.
    #[n(3)]
    pub subtype: String,
    /// Parameters of Content-Type, in order.
    #[n(4)]
    pub parameters: Vec<Parameter>,
    /// Content-Transfer-Encoding in lower case; `7bit` where missing.
    #[n(5)]
    pub transfer_encoding: String,
    /// Content-ID, as it stood.
    #[n(6)]
    pub content_id: Option<String>,
    /// Content-Description, as it stood.
    #[n(7)]
    pub description: Option<String>,
    /// Content-Disposition: type in lower case and parameters.
    #[n(8)]
    pub disposition: Option<(String, Vec<Parameter>)>,
    /// Content-MD5, as it stood.
    #[n(9)]
    pub md5: Option<String>,
    /// Content-Language, items.
    #[n(10)]
    pub language: Vec<String>,
    /// Content-Location, as it stood.
    #[n(11)]
    pub location: Option<String>,
    /// Lines in the body, counted at LF; a last line without LF counts.
    #[n(12)]
    pub lines: u64,
    /// What is inside.
    #[n(13)]
    pub content: Content,
}

/// What a part holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub enum Content {
    /// Octets.
    #[n(0)]
    Leaf,
    /// Parts, in order; never empty (a multipart without any part is a leaf).
    #[n(1)]
    Multipart(#[n(0)] Vec<Part>),
    /// A message/rfc822 in an identity encoding: the inner message and its envelope fields.
    #[n(2)]
    Message(#[n(0)] Box<Part>, #[n(1)] Box<super::summary::EnvelopeFields>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_are_said_to_be_some_or_have_a_name() {
        let mixed = |part: &str| {
            format!(
                "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a\r\n{part}\r\n\r\ny\r\n--a--\r\n"
            )
        };
        for (message, expected) in [
            ("Subject: x\r\n\r\ny".to_owned(), false),
            ("Content-Disposition: attachment\r\n\r\ny".to_owned(), true),
            (mixed("Content-Type: text/html"), false),
            (mixed("Content-Disposition: ATTACHMENT; filename=a"), true),
            (mixed("Content-Disposition: inline; filename=logo.png"), false),
            (mixed("Content-Type: application/pdf; name=a.pdf"), true),
            (mixed("Content-Disposition: x; filename*=utf-8''a"), true),
            (mixed("Content-Type: message/rfc822\r\n\r\nContent-Disposition: attachment"), true),
        ] {
            assert_eq!(scan(message.as_bytes()).has_attachment(), expected, "{message}");
        }
    }
}
