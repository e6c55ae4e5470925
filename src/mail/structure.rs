//! The MIME structure of a message as octet ranges (RFC 2045, 2046). Reads octets once, never decodes or rewrites them.

use minicbor::{Decode, Encode};

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

/// A parameter of a structured field: attribute in lower case, value with quoting removed, octets as they stood.
pub type Parameter = (String, String);

/// One MIME entity: the message itself, a part of a multipart, or the message inside a message/rfc822.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
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
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
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
