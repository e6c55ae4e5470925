//! How octets of a part are written: kept, with canonical line ends, or in a transfer encoding. Never decides which.

use super::encoding::{self, Breaks};

/// Text without the space and tab at its end. Other control characters are content.
pub fn without_trailing_blanks(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|o| !matches!(o, b' ' | b'\t')).map_or(0, |at| at + 1);
    &text[..end]
}

/// Appends lines with every line end as CRLF.
pub fn canonical(lines: &[u8], out: &mut Vec<u8>) {
    for line in lines.split_inclusive(|&o| o == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) if !text.ends_with(b"\r") => {
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            _ => out.extend_from_slice(line),
        }
    }
}

/// How the octets of a leaf are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// As they stand, line ends as CRLF.
    Kept,
    /// As they stand, to the octet.
    Exact,
    /// Encoded as quoted-printable.
    Quoted(Breaks),
    /// Decoded from quoted-printable and encoded again.
    QuotedAgain,
    /// Encoded as base64. `Breaks::Text` makes bare LF a CRLF first.
    Base64(Breaks),
    /// Base64 with its lines made anew.
    Base64Again,
}

impl Writing {
    /// Appends `body` so written.
    pub fn write(self, body: &[u8], out: &mut Vec<u8>) {
        match self {
            Writing::Kept => canonical(body, out),
            Writing::Exact => out.extend_from_slice(body),
            Writing::Quoted(breaks) => encoding::quoted_printable(body, breaks, out),
            Writing::QuotedAgain => {
                encoding::quoted_printable(&encoding::from_quoted_printable(body), Breaks::Exact, out);
            }
            Writing::Base64(Breaks::Exact) => encoding::base64(body, out),
            Writing::Base64(Breaks::Text) => {
                let mut lines = Vec::with_capacity(body.len());
                canonical(body, &mut lines);
                encoding::base64(&lines, out);
            }
            Writing::Base64Again => encoding::rewrapped_base64(body, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf() {
        let mut out = Vec::new();
        canonical(b"a\nb\r\n\nc\r", &mut out);
        assert_eq!(out, b"a\r\nb\r\n\r\nc\r");
    }

    #[test]
    fn only_space_and_tab_are_blank() {
        for (text, expected) in [("a \t ", "a"), (" \t", ""), ("a\x0c", "a\x0c"), ("a\r", "a\r"), (" a", " a")] {
            assert_eq!(without_trailing_blanks(text.as_bytes()), expected.as_bytes(), "{text:?}");
        }
    }
}
