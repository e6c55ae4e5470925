//! Header fields as octet ranges. Accepts CRLF and bare LF, is total on any octets, and never rewrites a field.

use super::lexer::trimmed;
use super::lines::line_at;
use super::lines::lines;
use super::lines::without_break;
use super::structure::Span;

pub use super::address_list::addresses;
pub use super::author::Author;
pub use super::author::author;
pub use super::parameter::structured;

/// One field (RFC 5322 section 2.2) with its continuation lines, or a line that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Left of the colon, without white space before the colon (section 4.5); empty when the line is no field: no colon, or
    /// something other than `ftext` (printable US-ASCII) before it.
    pub name: &'a [u8],
    /// Behind the colon up to the last line break, folds as they stood; the whole line when it is no field.
    pub value: &'a [u8],
    /// The whole field with its last line break.
    pub raw: &'a [u8],
    /// Where it begins in the header.
    pub start: usize,
}

impl Field<'_> {
    /// Whether this is a field called `name`, without regard to case.
    pub fn is(&self, name: &str) -> bool {
        !self.name.is_empty() && self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A span from octet offsets of a message in memory.
pub(super) fn span(start: usize, end: usize) -> Span {
    Span { start: start as u64, end: end as u64 }
}

/// Splits a message into its header, without the empty line that ends it, and its body behind that line. Without an empty
/// line all is header, and the body is empty at the end.
pub fn split(message: &[u8]) -> (Span, Span) {
    let (header_end, body_start) = lines(message, 0)
        .find(|line| line.content.is_empty())
        .map_or((message.len(), message.len()), |empty| (empty.start, empty.end));
    (span(0, header_end), span(body_start, message.len()))
}

/// The fields of a header, in order, up to an empty line if there is one. Together their `raw` octets are the header: lines
/// that are no field (and continuation lines with nothing before them) are yielded too, with an empty name.
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let field = field_at(header, at)?;
        at += field.raw.len();
        Some(field)
    })
}

/// The fields called `name`, without regard to case, in order.
pub fn named<'a>(header: &'a [u8], name: &str) -> impl Iterator<Item = Field<'a>> {
    fields(header).filter(move |field| field.is(name))
}

fn field_at(header: &[u8], start: usize) -> Option<Field<'_>> {
    let first = line_at(header, start).filter(|line| !line.content.is_empty())?;
    let mut end = first.end;
    while let Some(b' ' | b'\t') = header.get(end) {
        end = line_at(header, end)?.end;
    }
    let raw = &header[start..end];
    let field = match field_name(first.content) {
        Some((name, colon)) => Field { name, value: without_break(&raw[colon + 1..]), raw, start },
        None => Field { name: b"", value: without_break(raw), raw, start },
    };
    Some(field)
}

/// `field-name *WSP ":"`: the name, and where the colon stands.
fn field_name(line: &[u8]) -> Option<(&[u8], usize)> {
    let colon = line.iter().position(|&b| b == b':')?;
    let spaces = line[..colon].iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let name = &line[..colon - spaces];
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some((name, colon))
}

/// Undoes folding (RFC 5322 section 2.2.3): the line breaks go, the white space behind them stays as it stood; outer white
/// space is trimmed.
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let value = trimmed(value);
    let mut line = Vec::with_capacity(value.len());
    for part in lines(value, 0) {
        line.extend_from_slice(part.content);
    }
    line
}

/// Unfolds and decodes encoded words (RFC 2047) to Unicode, for people, policies and search. Octets that are not UTF-8 and
/// control characters become U+FFFD; what is behind the first 64 KiB is cut off.
pub fn decode(value: &[u8]) -> String {
    super::encoded_word::decode(&unfold(value))
}

/// Unfolded, otherwise as it stood; each octet that is not UTF-8 becomes `?` in this copy.
pub(super) fn text(value: &[u8]) -> String {
    utf8(&unfold(value))
}

/// `octets` with each octet that is not UTF-8 replaced by `?`.
pub(super) fn utf8(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_first_empty_line() {
        let check = |message: &[u8], header_end: usize, body_start: usize| {
            let expected = (span(0, header_end), span(body_start, message.len()));
            assert_eq!(split(message), expected, "{}", message.escape_ascii());
        };
        check(b"", 0, 0);
        check(b"\r\nbody", 0, 2);
        check(b"\nbody", 0, 1);
        check(b"A: b\r\n\r\nbody\r\n\r\n", 6, 8);
        check(b"A: b\n\nbody", 5, 6);
        check(b"A: b\n\r\nbody", 5, 7);
        check(b"A: b\r\n", 6, 6);
        check(b"A: b", 4, 4);
        check(b"A: b\r\n \r\nC: d", 13, 13);
        check(b"A: b\r\r\n\r\n", 7, 9);
        check(b"A: b\r\r", 6, 6);
    }

    #[test]
    fn fields_cover_the_header() {
        let header = b"A: b\r\nFold:\r\n c\r\n\td\r\nno field\r\n more\r\nSpaced \t: e\nBad name: f\n: g\nH:";
        let found: Vec<_> = fields(header).map(|f| (f.name, f.value)).collect();
        let expected: [(&[u8], &[u8]); 7] = [
            (b"A", b" b"),
            (b"Fold", b"\r\n c\r\n\td"),
            (b"", b"no field\r\n more"),
            (b"Spaced", b" e"),
            (b"", b"Bad name: f"),
            (b"", b": g"),
            (b"H", b""),
        ];
        assert_eq!(found, expected);
        let whole: Vec<u8> = fields(header).flat_map(|f| f.raw.to_vec()).collect();
        assert_eq!(whole, header);
        assert!(fields(header).all(|f| header[f.start..].starts_with(f.raw)));
        assert_eq!(fields(b" lost\r\nA: b").next().map(|f| f.name), Some(&b""[..]));
        assert_eq!(fields(b"A: b\r\n\r\nC: d").count(), 1);
    }

    #[test]
    fn names_are_found_in_any_case() {
        let header = b"to: a\r\nTo: b\r\nToo: c\r\nTO : d\r\n";
        let values: Vec<_> = named(header, "To").map(|f| unfold(f.value)).collect();
        assert_eq!(values, [b"a", b"b", b"d"]);
        assert_eq!(named(b"x\r\n", "").count(), 0);
    }

    #[test]
    fn unfolding_keeps_inner_white_space() {
        for (input, expected) in [
            (&b""[..], &b""[..]),
            (b" a \r\n", b"a"),
            (b" a\r\n b", b"a b"),
            (b"\r\n\ta\n  b", b"a  b"),
            (b"a\rb", b"a\rb"),
            (b" \r\n ", b""),
        ] {
            assert_eq!(unfold(input), expected, "{}", input.escape_ascii());
        }
        assert_eq!(decode(b" =?utf-8?q?a?=\r\n =?utf-8?q?b?= c"), "ab c");
        assert_eq!(text(b" a\xff\xfe\xc3 "), "a???");
    }
}
