//! The canonical, 7-bit-safe form of an entity (RFC 8551 section 3.1, RFC 3156 sections 3 and 5): what is signed must reach the
//! verifier octet for octet. Leaves that are safe stay as they are; parts others have signed or encrypted are never altered.

use super::Error;
use super::encoding::Breaks;
use super::fields;
use super::hazards::{Hazards, Writing, canonical};
use crate::mail::header;
use crate::mail::header::Field;
use crate::mail::structure::{Content, Part, Span};

/// What the entity is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It will be signed: a part that mail cannot carry and that may not be altered is an error.
    Sign,
    /// It will only be encrypted: such a part is passed on as it is.
    EncryptOnly,
}

/// Writes parts of one message.
pub struct Writer<'a> {
    message: &'a [u8],
    purpose: Purpose,
    out: Vec<u8>,
}

/// How one part is written.
struct Plan {
    writing: Writing,
    /// The Content-Transfer-Encoding to state instead of the part's own.
    label: Option<&'static str>,
}

/// Where a part stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In a multipart.
    BodyPart,
    /// In a message/rfc822, with a header of its own.
    Message,
}

const KEEP: Plan = Plan { writing: Writing::Kept, label: None };
const CONTENT_TRANSFER_ENCODING: &str = "Content-Transfer-Encoding";

impl<'a> Writer<'a> {
    /// For parts that lie in `message`.
    pub fn new(message: &'a [u8], purpose: Purpose) -> Writer<'a> {
        Writer { message, purpose, out: Vec::with_capacity(message.len() + message.len() / 16 + 256) }
    }

    /// The entity of the whole message: its Content-* fields, an empty line, its body.
    pub fn entity(mut self, root: &Part) -> Result<Vec<u8>, Error> {
        let plan = self.plan(root)?;
        let header = self.slice(root.header);
        let inside = header::fields(header).filter(|f| belongs_inside(f.name));
        self.header(inside, &plan)?;
        if header::named(header, "Content-Type").next().is_none() {
            let charset = default_charset(self.slice(root.body));
            self.line(&format!("Content-Type: text/plain; charset={charset}"));
        }
        self.out.extend_from_slice(b"\r\n");
        self.body(root, &plan)?;
        Ok(self.out)
    }

    fn part(&mut self, part: &Part, kind: Kind) -> Result<(), Error> {
        let plan = self.plan(part)?;
        let header = self.slice(part.header);
        self.header(header::fields(header), &plan)?;
        // Without it readers need not look at the encoding just stated (RFC 2045 section 4).
        if kind == Kind::Message && plan.label.is_some() && header::named(header, "MIME-Version").next().is_none() {
            self.line("MIME-Version: 1.0");
        }
        // A part may end with its header; only where the empty line stood does one stand again.
        if part.body.start > part.header.end {
            self.out.extend_from_slice(b"\r\n");
        }
        self.body(part, &plan)
    }

    fn header<'f>(&mut self, fields: impl Iterator<Item = Field<'f>>, plan: &Plan) -> Result<(), Error> {
        let mut label = plan.label;
        for field in fields {
            let names_encoding = field.is(CONTENT_TRANSFER_ENCODING);
            if !names_encoding || plan.label.is_none() {
                fields::write(&field, &mut self.out)?;
            } else if let Some(label) = label.take() {
                self.line(&format!("{CONTENT_TRANSFER_ENCODING}: {label}"));
            }
        }
        if let Some(label) = label {
            self.line(&format!("{CONTENT_TRANSFER_ENCODING}: {label}"));
        }
        Ok(())
    }

    fn body(&mut self, part: &Part, plan: &Plan) -> Result<(), Error> {
        match &part.content {
            Content::Multipart(parts) if !is_sealed(part) => self.multipart(part, parts),
            Content::Message(inner, _) if !is_sealed(part) => self.part(inner, Kind::Message),
            _ => {
                plan.writing.write(self.slice(part.body), &mut self.out);
                Ok(())
            }
        }
    }

    fn multipart(&mut self, whole: &Part, parts: &[Part]) -> Result<(), Error> {
        let mut from = whole.body.start;
        for (number, part) in parts.iter().enumerate() {
            let place = if number == 0 { Gap::First } else { Gap::Between };
            self.gap(Span { start: from, end: part.header.start }, place)?;
            self.part(part, Kind::BodyPart)?;
            from = part.body.end;
        }
        self.gap(Span { start: from, end: whole.body.end }, Gap::Last)
    }

    /// Writes what lies between parts: delimiter lines, and the preamble or epilogue, which mean nothing (RFC 2046 section 5.1.1)
    /// and are left out when mail cannot carry them.
    fn gap(&mut self, span: Span, place: Gap) -> Result<(), Error> {
        let octets = self.slice(span);
        let kept = if Hazards::of(octets).breaks_mail() { place.delimiter(octets) } else { octets };
        if Hazards::of(kept).breaks_mail() {
            return Err(Error::Unreadable(
                "a multipart inside the message has a boundary that is not ASCII, or too many parts",
            ));
        }
        canonical(kept, &mut self.out);
        Ok(())
    }

    fn plan(&self, part: &Part) -> Result<Plan, Error> {
        if is_container(part) {
            return Ok(Plan { label: relabel(part), ..KEEP });
        }
        let hazards = Hazards::of(self.slice(part.body));
        if is_sealed(part) || is_unencodable(part) {
            return self.unalterable(part, hazards);
        }
        Ok(leaf(part, hazards))
    }

    fn unalterable(&self, part: &Part, hazards: Hazards) -> Result<Plan, Error> {
        let is_binary = part.transfer_encoding == "binary";
        let broken = hazards.breaks_mail() || is_binary && hazards.bare_lf;
        match self.purpose {
            Purpose::Sign if broken => Err(Error::Unalterable(format!("{}/{}", part.media_type, part.subtype))),
            Purpose::EncryptOnly if broken => Ok(Plan { writing: Writing::Exact, label: None }),
            _ => Ok(kept(hazards)),
        }
    }

    fn slice(&self, span: Span) -> &'a [u8] {
        span.of(self.message)
    }
    fn line(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Where between the parts of a multipart something stands.
#[derive(Clone, Copy)]
enum Gap {
    /// Preamble and first delimiter line.
    First,
    /// Line break and delimiter line.
    Between,
    /// Line break, close delimiter line and epilogue.
    Last,
}

impl Gap {
    /// The delimiter with its line breaks.
    fn delimiter(self, octets: &[u8]) -> &[u8] {
        let is_break = |o: &u8| *o == b'\n';
        match self {
            Gap::Between => octets,
            Gap::First => {
                let text = octets.strip_suffix(b"\n").unwrap_or(octets);
                &octets[text.iter().rposition(is_break).map_or(0, |at| at + 1)..]
            }
            Gap::Last => {
                let mut breaks = octets.iter().enumerate().filter(|(_, o)| is_break(o)).map(|(at, _)| at);
                let end = breaks.nth(1).map_or(octets.len(), |at| at + 1);
                // Behind another delimiter there are parts that the scanner did not read any more, not an epilogue.
                if octets[..end].trim_ascii_end().ends_with(b"--") { &octets[..end] } else { octets }
            }
        }
    }
}

/// Fields that move inside. Content-Length counts octets of the body as it was, so it would lie in either place.
pub fn belongs_inside(name: &[u8]) -> bool {
    fields::is_content(name) && !name.eq_ignore_ascii_case(b"Content-Length")
}

/// RFC 2045 section 5.2 has `us-ascii`; 8-bit text that names no charset gets a name that is not a lie.
fn default_charset(body: &[u8]) -> &'static str {
    if body.is_ascii() { "us-ascii" } else { fields::charset(body) }
}

/// Signed or encrypted by someone else: altering an octet would destroy it.
fn is_sealed(part: &Part) -> bool {
    matches!(
        (part.media_type.as_str(), part.subtype.as_str()),
        ("multipart", "signed" | "encrypted") | ("application", "pkcs7-mime" | "x-pkcs7-mime")
    )
}

/// Not encoded, and may not become so: a type that RFC 2045 section 6.4 allows no encoding and whose inside cannot be reached, or
/// a private encoding.
fn is_unencodable(part: &Part) -> bool {
    let type_forbids = match part.media_type.as_str() {
        "multipart" => true,
        // RFC 6532 section 3.7 and RFC 6533 allow encodings to the message/global family.
        "message" => !part.subtype.starts_with("global"),
        _ => false,
    };
    match part.transfer_encoding.as_str() {
        "quoted-printable" | "base64" => false,
        private if private.starts_with("x-") || private == "uuencode" => true,
        // quirk_unknown_encoding (`8-bit`, `utf-8`, from scripts): readers in use take them for no encoding at all.
        _ => type_forbids,
    }
}

/// Whether the part is written by writing the parts in it.
fn is_container(part: &Part) -> bool {
    !is_sealed(part) && !matches!(part.content, Content::Leaf)
}

/// All that is inside will be 7-bit, so the container is (RFC 2045 section 6.4).
fn relabel(part: &Part) -> Option<&'static str> {
    matches!(part.transfer_encoding.as_str(), "8bit" | "binary").then_some("7bit")
}

fn kept(hazards: Hazards) -> Plan {
    Plan { writing: if hazards.bare_lf { Writing::Kept } else { Writing::Exact }, label: None }
}

fn leaf(part: &Part, hazards: Hazards) -> Plan {
    let is_binary = part.transfer_encoding == "binary";
    let is_safe = !hazards.any() && !(is_binary && hazards.bare_lf);
    match part.transfer_encoding.as_str() {
        "quoted-printable" | "base64" if is_safe => kept(hazards),
        "quoted-printable" => Plan { writing: Writing::QuotedAgain, label: None },
        "base64" => Plan { writing: Writing::Base64Again, label: None },
        _ if is_safe => Plan { label: relabel(part), ..kept(hazards) },
        _ if part.media_type == "text" && !hazards.nul && !is_wide(part) => {
            Plan { writing: Writing::Quoted(Breaks::Text), label: Some("quoted-printable") }
        }
        _ => {
            let breaks = if is_binary || is_wide(part) { Breaks::Exact } else { Breaks::Text };
            Plan { writing: Writing::Base64(breaks), label: Some("base64") }
        }
    }
}

/// Text in a charset whose line breaks are not the octets CR and LF.
fn is_wide(part: &Part) -> bool {
    let charset =
        part.parameters.iter().find(|(name, _)| name == "charset").map(|(_, value)| value.to_ascii_lowercase());
    charset.is_some_and(|c| c.starts_with("utf-16") || c.starts_with("utf-32"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::structure::{PARTS_MAX, scan};

    fn entity(message: &str, purpose: Purpose) -> Result<String, Error> {
        let octets = Writer::new(message.as_bytes(), purpose).entity(&scan(message.as_bytes()))?;
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    fn check(message: &str, expected: &str) {
        assert_eq!(entity(message, Purpose::Sign).expect(message), expected, "{message:?}");
    }

    fn leaf(kind: &str, encoding: &str, body: &str, expected_encoding: &str, expected: &str) {
        let header = |encoding: &str| match encoding {
            "" => format!("Content-Type: {kind}\r\n"),
            _ => format!("Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n"),
        };
        check(&format!("{}\r\n{body}", header(encoding)), &format!("{}\r\n{expected}", header(expected_encoding)));
    }

    #[test]
    fn leaves_are_encoded_only_when_they_must_be() {
        for (kind, encoding, body, expected_encoding, expected) in [
            ("text/plain", "", "a b\n", "", "a b\r\n"),
            ("text/plain", "8bit", "ascii\r\n", "7bit", "ascii\r\n"),
            ("text/plain", "", "a \r\n", "quoted-printable", "a=20\r\n"),
            ("text/plain", "8bit", "ü\n", "quoted-printable", "=C3=BC\r\n"),
            ("text/plain", "7bit", "\0\n", "base64", "AA0K\r\n"),
            ("text/plain; charset=utf-16", "8bit", "ü\n", "base64", "w7wK\r\n"),
            ("image/png", "8bit", "ü\n", "base64", "w7wNCg==\r\n"),
            ("image/png", "binary", "ü\n", "base64", "w7wK\r\n"),
            ("image/png", "binary", "a\n", "base64", "YQo=\r\n"),
            ("image/png", "base64", "YQ o=\n", "base64", "YQ o=\r\n"),
            ("image/png", "base64", "YQo= \r\n", "base64", "YQo=\r\n"),
            ("text/plain", "quoted-printable", "a=20\r\n", "quoted-printable", "a=20\r\n"),
            ("text/plain", "quoted-printable", "ü= \r\n.", "quoted-printable", "=C3=BC."),
            ("text/plain", "x-uuencode", "a\r\n", "x-uuencode", "a\r\n"),
            ("text/plain", "x-uuencode", "a \r\n", "x-uuencode", "a \r\n"),
            ("application/pkcs7-mime", "7bit", "a \r\n", "7bit", "a \r\n"),
            ("message/delivery-status", "7bit", "a: \r\n", "7bit", "a: \r\n"),
            ("message/global", "8bit", "a: ü\r\n", "base64", "YTogw7wNCg==\r\n"),
        ] {
            leaf(kind, encoding, body, expected_encoding, expected);
        }
    }

    #[test]
    fn containers_keep_their_boundaries_and_become_7bit() {
        check(
            "Content-Type: multipart/mixed; boundary=u\r\nContent-Transfer-Encoding: 8bit\r\n\r\nPräambel\n--u \n\na\n--u\r\n\
             Content-Type: text/html \r\n\r\nü\r\n--u--\r\nÉpilogue\r\n",
            "Content-Type: multipart/mixed; boundary=u\r\nContent-Transfer-Encoding: 7bit\r\n\r\n--u \r\n\r\na\r\n--u\r\n\
             Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n--u--\r\n",
        );
        check(
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: x \r\n\r\nü\r\n",
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: x \r\n\
             Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\n=C3=BC\r\n",
        );
    }

    #[test]
    fn what_may_not_be_altered_is_kept_or_refused() {
        let wrapped = |kind: &str, body: &str| format!("Content-Type: {kind}; boundary=u\r\n\r\n{body}");
        for kind in
            ["multipart/signed", "multipart/encrypted", "application/pkcs7-mime", "message/partial", "multipart/x"]
        {
            let safe = wrapped(kind, "--x\r\n\r\nFrom me \r\n--x--\r\n");
            check(&safe, &safe);
            for body in ["--x\r\n\r\nü\r\n--x--\r\n", "a\rb\r\n", "\0\r\n"] {
                let unsafe_one = wrapped(kind, body);
                assert_eq!(
                    entity(&unsafe_one, Purpose::Sign),
                    Err(Error::Unalterable(kind.to_owned())),
                    "{unsafe_one:?}"
                );
                assert_eq!(entity(&unsafe_one, Purpose::EncryptOnly), Ok(unsafe_one));
            }
        }
    }

    #[test]
    fn parts_beyond_the_scanner_are_never_lost() {
        let many = |last: &str| {
            let parts = "--u\r\n\r\na\r\n".repeat(PARTS_MAX + 1);
            format!("Content-Type: multipart/mixed; boundary=u\r\n\r\n{parts}--u\r\n\r\n{last}\r\n--u--\r\n")
        };
        check(&many("safe"), &many("safe"));
        assert!(matches!(entity(&many("ü"), Purpose::Sign), Err(Error::Unreadable(_))));
    }
}
