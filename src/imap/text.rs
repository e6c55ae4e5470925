//! The text of a message as people would search it: transfer encodings and charsets undone, case folded. Never shown to anyone.

use super::locate::range;
use crate::mail::header;
use crate::mail::structure::Content;
use crate::mail::structure::Part;
use mail_parser::decoders::charsets::map::charset_decoder;

/// Folded text of one message.
#[derive(Debug, Default)]
pub(super) struct Haystack {
    /// Its header, and the MIME headers of its parts.
    header: Vec<String>,
    /// Its text parts, and the headers of messages within it.
    body: Vec<String>,
}

impl Haystack {
    /// Reads a message.
    pub(super) fn of(message: &[u8], root: &Part) -> Haystack {
        let mut haystack = Haystack::default();
        haystack.header.push(header_text(message, root));
        haystack.add_content(message, root);
        haystack
    }

    /// Whether the body contains a folded text.
    pub(super) fn body_contains(&self, needle: &str) -> bool {
        self.body.iter().any(|text| text.contains(needle))
    }

    /// Whether header or body contain a folded text.
    pub(super) fn contains(&self, needle: &str) -> bool {
        self.header.iter().any(|text| text.contains(needle)) || self.body_contains(needle)
    }

    /// The scanner bounds the depth (`mail::structure`).
    fn add_content(&mut self, message: &[u8], part: &Part) {
        match &part.content {
            Content::Leaf if part.media_type == "text" => self.body.push(leaf_text(message, part)),
            Content::Leaf => {}
            Content::Multipart(parts) => {
                for part in parts {
                    self.header.push(header_text(message, part));
                    self.add_content(message, part);
                }
            }
            Content::Message(inner, _) => {
                self.body.push(header_text(message, inner));
                self.add_content(message, inner);
            }
        }
    }
}

/// Folds case: each character to its lower case, without regard to its neighbours, so that parts fold as the whole does.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().flat_map(char::to_lowercase).collect() }
}

/// `name: value` lines, decoded.
fn header_text(message: &[u8], part: &Part) -> String {
    let mut text = String::new();
    for field in header::fields(&message[range(part.header, message.len())]) {
        text.push_str(&String::from_utf8_lossy(field.name));
        text.push_str(": ");
        text.push_str(&header::decode(field.value));
        text.push('\n');
    }
    fold(&text)
}

fn leaf_text(message: &[u8], part: &Part) -> String {
    let body = &message[range(part.body, message.len())];
    let charset = part.parameters.iter().find(|(name, _)| name == "charset").map_or("us-ascii", |(_, value)| value);
    fold(&match part.transfer_encoding.as_str() {
        "base64" => charset_text(&base64(body), charset),
        "quoted-printable" => charset_text(&quoted_printable(body), charset),
        _ => charset_text(body, charset),
    })
}

/// What is UTF-8 is UTF-8, whatever it says; then the charset; then what can be saved.
fn charset_text(octets: &[u8], charset: &str) -> String {
    let is_seven_bit_code =
        charset.to_ascii_lowercase().starts_with("iso-2022") || charset.eq_ignore_ascii_case("utf-7");
    match (std::str::from_utf8(octets), charset_decoder(charset.as_bytes())) {
        (Ok(text), _) if !is_seven_bit_code => text.to_owned(),
        (_, Some(decode)) => decode(octets),
        (_, None) => String::from_utf8_lossy(octets).into_owned(),
    }
}

/// RFC 2045 section 6.8, leniently: other octets are skipped, padding separates.
fn base64(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for &b in encoded {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = (bits << 6 | u32::from(value)) & 0xfff;
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    decoded
}

/// RFC 2045 section 6.7, leniently: what is no escape stays.
fn quoted_printable(encoded: &[u8]) -> Vec<u8> {
    let hex = |b: &u8| char::from(*b).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&b, behind)) = rest.split_first() {
        rest = behind;
        match (b, behind) {
            (b'=', [b'\r', b'\n', ..]) => rest = &behind[2..],
            (b'=', [b'\n', ..]) => rest = &behind[1..],
            (b'=', [high, low, ..]) => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = &behind[2..];
                }
                _ => decoded.push(b),
            },
            _ => decoded.push(b),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone() {
        assert_eq!(base64(b"SGVs\r\nbG8="), b"Hello");
        assert_eq!(base64(b"SGk=SGk= !"), b"HiHi");
        assert_eq!(base64(b"S"), b"");
        assert_eq!(quoted_printable(b"a=3Db=\r\nc=\nd=zz="), b"a=bcd=zz=");
        assert_eq!(quoted_printable(b"=c3=BC"), "ü".as_bytes());
    }

    #[test]
    fn charsets_are_undone() {
        assert_eq!(charset_text(b"\xfc", "iso-8859-1"), "ü");
        assert_eq!(charset_text("ü".as_bytes(), "us-ascii"), "ü");
        assert_eq!(charset_text(b"\x1b$B$3\x1b(B", "ISO-2022-JP"), "こ");
        assert_eq!(charset_text(b"a\xff", "x-unknown"), "a\u{fffd}");
    }

    #[test]
    fn case_is_folded_piece_by_piece() {
        assert_eq!(fold("GRÜSSE"), fold("grüsse"));
        assert_eq!(fold("ΣΑΣ"), [fold("ΣΑ"), fold("Σ")].concat());
    }
}
